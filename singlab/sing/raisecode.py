"""Code generation for exceptions: raising, and calls with two ways out."""

from __future__ import annotations

from singlab.kernel.abi import ABI_NUMBER
from singlab.sing.sil import Instr
from singlab.sing.types import Int

RA, T0, A0, A1 = 1, 5, 10, 11
LARGEST_BLOCK = 16 * 1024 * 1024
FAULT_MEMORY, FAULT_SIZE = 5, 11
#: Stands for the code of an exception that is in a0 with its line.
UNCAUGHT = -1


def power(element: Int) -> int:
    """Return log2 of an element's size in bytes."""
    return (element.bits // 8).bit_length() - 1


class RaiseCode:
    """The part of a function's code generation that deals with exceptions."""

    # ---- exceptions: a function that may raise one returns 1 in a1 and the exception in a0 if it did, else 0 in a1 ----

    def op_raise(self, instr: Instr, following, skip) -> None:
        self.move(A0, self.read(instr.args[0], A0))
        if self.function.raises:
            self.immediate(A1, 1)
            self.epilogue()
        else:
            self.out.jump(self.fault(UNCAUGHT, instr))

    def arm(self, instr: Instr, name: str) -> str:
        """Put a0 into the register of an arm, if it has one; returns the label of its block."""
        regs, label = instr.extra.arms[name]
        for reg in regs:
            self.write(reg, A0)
        return label

    def op_attempt(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        self.out.jump(instr.extra.function, link=RA)
        raised = self.module.fresh()
        self.out.branch("bne", A1, 0, raised)
        self.out.jump(self.label(self.arm(instr, "returned")))
        self.out.label(raised)
        self.out.jump(self.label(self.arm(instr, "raised")))

    def op_attempt_new(self, instr: Instr, following, skip) -> None:
        raised, large = self.module.fresh(), self.module.fresh()
        size = power(instr.extra.arms["returned"][0][0].type.element)
        line = instr.position.line << 16
        count = self.read(instr.args[0], A0)
        self.immediate(T0, LARGEST_BLOCK >> size)
        self.out.branch("bltu", T0, count, large)
        if size:
            self.out.ins("slli", A0, count, size)
        else:
            self.move(A0, count)
        self.out.abi(ABI_NUMBER["allocate"])
        none = self.module.fresh()
        self.out.branch("beq", A0, 0, none)
        self.out.jump(self.label(self.arm(instr, "returned")))
        self.out.label(large)
        self.immediate(A0, line | FAULT_SIZE)
        self.out.jump(raised)
        self.out.label(none)
        self.immediate(A0, line | FAULT_MEMORY)
        self.out.label(raised)
        self.out.jump(self.label(self.arm(instr, "raised")))
