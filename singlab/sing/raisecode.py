"""Code generation, exceptions: functions that may raise, and what attempts them.

A function that may raise returns 1 in t0 and the exception in a0 if it did, else 0 in t0 and its results
in a0, a1, ...
"""

from __future__ import annotations

from singlab.kernel.abi import ABI_NUMBER
from singlab.sing.attempted import ATTEMPTED
from singlab.sing.heapcode import FAULT_FULL, FAULT_SIZE
from singlab.sing.sil import Instr
from singlab.sing.types import Array, EndpointSet, Object

RA, T0, A0 = 1, 5, 10
FAULT_MEMORY, FAULT_NO_CHANNEL, FAULT_NO_THREAD = 5, 15, 24
#: Stands for the code of an exception that is in a0 with its line.
UNCAUGHT = -1


class RaiseCode:
    """The part of a function's code that deals with exceptions."""

    #: Where the fault of an instruction that is attempted goes, by code.
    instead: dict[int, str] = {}

    def op_raise(self, instr: Instr, following, skip) -> None:
        self.move(A0, self.read(instr.args[0], A0))
        if self.function.raises:
            self.immediate(T0, 1)
            self.epilogue()
        else:
            self.out.jump(self.fault(UNCAUGHT, instr))

    def arm(self, instr: Instr, name: str) -> str:
        """Put a0, a1, ... into the registers of an arm; returns the label of its block."""
        regs, label = instr.extra.arms[name]
        self.arrive(regs)
        return label

    def raised(self, instr: Instr, code: int) -> None:
        """Go to the arm of an exception: the fault an instruction would end the process with."""
        self.immediate(A0, instr.position.line << 16 | code)
        self.out.jump(self.label(self.arm(instr, "raised")))

    def op_attempt(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        self.out.jump(instr.extra.function, link=RA)
        self.attempted(instr)

    def op_attempt_vcall(self, instr: Instr, following, skip) -> None:
        self.call_method(instr, instr.extra.function)
        self.attempted(instr)

    def attempted(self, instr: Instr) -> None:
        """Take one of the two ways behind a call."""
        raised = self.module.fresh()
        self.out.branch("bne", T0, 0, raised)
        self.out.jump(self.label(self.arm(instr, "returned")))
        self.out.label(raised)
        self.out.jump(self.label(self.arm(instr, "raised")))

    def op_attempt_new(self, instr: Instr, following, skip) -> None:
        (dest,), label = instr.extra.arms["returned"]
        none, large = self.module.fresh(), self.module.fresh()
        code = FAULT_MEMORY
        if isinstance(dest.type, Object):
            self.make_object(instr, dest, none)
            code = FAULT_FULL
        elif isinstance(dest.type, Array):
            self.make_array(instr, dest, large, none)
            code = FAULT_FULL
        else:
            if isinstance(dest.type, EndpointSet):
                self.out.abi(ABI_NUMBER["new_set"])
                code = FAULT_NO_CHANNEL
            else:
                self.room(dest.type, instr, large)
                self.out.abi(ABI_NUMBER["allocate"])
            self.out.branch("beq", A0, 0, none)
            self.write(dest, A0)
        self.out.jump(self.label(label))
        if instr.args:
            self.out.label(large)
            self.raised(instr, FAULT_SIZE)
        self.out.label(none)
        self.raised(instr, code)

    def op_attempt_spawn(self, instr: Instr, following, skip) -> None:
        none = self.module.fresh()
        self.start_thread(instr, instr.extra.function)
        self.out.branch("beq", A0, 0, none)
        self.out.jump(self.label(self.arm(instr, "returned")))
        self.out.label(none)
        self.raised(instr, FAULT_NO_THREAD)

    def op_attempt_op(self, instr: Instr, following, skip) -> None:
        code, failed = ATTEMPTED[instr.extra.function][0], self.module.fresh()
        self.instead = {code: failed}
        plain = instr.extra.plain(instr)
        getattr(self, f"op_{plain.op}")(plain, None, None)
        self.instead = {}
        self.out.jump(self.label(instr.extra.arms["returned"][1]))
        self.out.label(failed)
        self.raised(instr, code)
