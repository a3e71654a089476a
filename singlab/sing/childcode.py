"""Code for child processes: each instruction is one call of the ABI. Part of :mod:`singlab.sing.codegen`."""

from __future__ import annotations

from singlab.sing.sil import Instr
from singlab.sing.types import Endpoint

A0, A1 = 10, 11
FAULT_CREATE, FAULT_CHILD, FAULT_GIVE = 30, 31, 32

#: ``child``: what is done, the ABI function, and its further arguments.
DO = {
    "start": ("start_child", ()), "stop": ("stop_child", ()), "suspend": ("suspend_child", (0,)), "suspend_all": ("suspend_child", (1,)),
    "resume": ("resume_child", ()), "wait": ("suspend_barrier", ()), "close": ("dispose_child", ()),
}  # fmt: skip
#: ``ask_child``: what is asked, the ABI function, and where its answer is.
ASK = {
    "join": ("join_child", A1), "state": ("get_child_state", A0), "how": ("get_exit_code", A0), "code": ("get_exit_code", A1),
    "id": ("get_child_id", A0),
}  # fmt: skip


class ChildCode:
    """What :class:`singlab.sing.codegen.FunctionCode` knows of child processes."""

    def op_create(self, instr: Instr, following, skip) -> None:
        self.abi("create_child", instr.extra)
        self.out.branch("beq", A0, 0, self.fault(FAULT_CREATE, instr))
        self.write(instr.dest, A0)

    def op_give(self, instr: Instr, following, skip) -> None:
        child, value = instr.args
        self.abi("set_startup_endpoint" if isinstance(value.type, Endpoint) else "set_startup_argument", child, instr.extra, value)
        self.out.branch("bne", A0, 0, self.fault(FAULT_GIVE, instr))

    def op_child(self, instr: Instr, following, skip) -> None:
        name, more = DO[instr.extra]
        self.abi(name, instr.args[0], *more)
        self.out.branch("bne", A0, 0, self.fault(FAULT_CHILD, instr))

    def op_ask_child(self, instr: Instr, following, skip) -> None:
        name, where = ASK[instr.extra]
        self.abi(name, instr.args[0])
        if instr.extra == "join":
            self.out.branch("bne", A0, 0, self.fault(FAULT_CHILD, instr))
        self.write(instr.dest, where)
