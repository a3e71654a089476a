"""Code generation, exceptions: functions that may raise, and what attempts them.

A function that may raise returns 1 in t0 and the exception in a0 if it did, else 0 in t0 and its results
in a0, a1, ...
"""

from __future__ import annotations

from singlab.kernel.abi import ABI_NUMBER
from singlab.sing.sil import Instr

RA, T0, A0 = 1, 5, 10
FAULT_MEMORY, FAULT_SIZE = 5, 11
#: Stands for the code of an exception that is in a0 with its line.
UNCAUGHT = -1


class RaiseCode:
    """The part of a function's code that deals with exceptions."""

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

    def op_attempt(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        self.out.jump(instr.extra.function, link=RA)
        raised = self.module.fresh()
        self.out.branch("bne", T0, 0, raised)
        self.out.jump(self.label(self.arm(instr, "returned")))
        self.out.label(raised)
        self.out.jump(self.label(self.arm(instr, "raised")))

    def op_attempt_new(self, instr: Instr, following, skip) -> None:
        raised, large = self.module.fresh(), self.module.fresh()
        line = instr.position.line << 16
        self.room(instr.extra.arms["returned"][0][0].type, instr, large)
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
