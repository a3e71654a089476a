"""Code generation, stacks: a function's test for room, and what links and unlinks a segment.

Compiled code finds in gp where its segment ends, less what is kept free there and :data:`SMALL_NEED`. Where there is no
room, what follows asks the kernel, which puts the stack pointer on a new segment; all arguments are in registers, so nothing
is copied. The function then returns to code that gives the segment back and goes on to its caller, past which its
results stay in their registers. A stack that can grow no more ends the process, whether or not anybody catches exceptions:
an exception at the beginning of a function, before anything it was given is anybody's, is none the verifier could follow.
"""

from __future__ import annotations

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.layout import SMALL_NEED
from singlab.kernel.manifest import CodeFrame

RA, SP, GP, T0, T1, T2, A0, A7, T6 = 1, 2, 3, 5, 6, 7, 10, 17, 31
#: Label of the code that gives a segment back.
UNLINK = ".unlink"
#: Parameters of a function that has one in a7, which the way into the kernel takes.
_ALL_REGISTERS = 8


class StackCode:
    """The part of a function's code that sees to its stack."""

    def test_for_room(self) -> None:
        """Emit the test in front of the prologue, if the function has one."""
        need = self.module.placed.need(self.function.name)
        if not need:
            return
        stack = SP
        if need > SMALL_NEED:
            stack = T0
            if need - SMALL_NEED <= 2048:
                self.out.ins("addi", T0, SP, SMALL_NEED - need)
            else:
                self.immediate(T0, SMALL_NEED - need)
                self.out.ins("add", T0, T0, SP)
        self.out.branch("bltu", stack, GP, f"{self.function.name}.overflow")

    def link_segment(self) -> None:
        """Emit what a failed test comes to."""
        out, name, need = self.out, self.function.name, self.module.placed.need(self.function.name)
        if not need:
            return
        out.line = self.function.position.line
        out.label(f"{name}.overflow")
        if len(self.function.params) == _ALL_REGISTERS:
            out.ins("addi", T6, A7, 0)
        out.ins("addi", T2, RA, 0)
        self.immediate(T1, need)
        out.abi(ABI_NUMBER["allocate_stack_segment"])
        out.branch("bne", T1, 0, f"{name}.exhausted")
        out.address(RA, UNLINK)
        out.jump(f"{name}.body")
        out.label(f"{name}.exhausted")
        out.ins("addi", A0, T2, -4)
        out.abi(ABI_NUMBER["stack_overflow"])

    def about(self, labels: dict[str, int]) -> CodeFrame:
        """Return what an image says of the function's frame."""
        name = self.function.name
        kept = self.save_base + 8 * self.saved.index(RA) if RA in self.saved else -1
        end = labels[f"{name}:end"]
        return CodeFrame(name, labels[name], labels[f"{name}.body"], labels.get(f"{name}.overflow", end), end, self.frame, kept, self.module.placed.need(name))


def unlink(out) -> None:
    """Emit what a function returns to that got a segment: its results, and t0, go past."""
    out.label(UNLINK)
    out.ins("addi", T1, T0, 0)
    out.ins("addi", T6, A7, 0)
    out.abi(ABI_NUMBER["free_stack_segment"])
    out.jump(UNLINK)  # the call returns elsewhere
