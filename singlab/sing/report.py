"""What the verifier says: accepted or refused, which rules it applied and at how many places of the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from singlab.machine.view import render as r
from singlab.sing.errors import SipError
from singlab.sing.rules import RULES
from singlab.sing.sil import Arms, Function, Instr, Module, Reg, successors
from singlab.sing.types import Endpoint


def _given(instr: Instr) -> list[Reg]:
    """Return the registers an instruction gives values to."""
    arms = [reg for regs, _ in instr.extra.ways() for reg in regs] if isinstance(instr.extra, Arms) else []
    return [*instr.results, *arms]


def _is(*ops: str) -> Callable[[Instr], int]:
    return lambda instr: int(instr.op in ops)


def _blocks_used(instr: Instr) -> int:
    return sum(reg.type.block for reg in instr.args)


def _endpoints_used(instr: Instr) -> int:
    return sum(isinstance(reg.type, Endpoint) for reg in instr.args)


def _endpoints_given(instr: Instr) -> int:
    return sum(isinstance(reg.type, Endpoint) for reg in _given(instr))


def _waits(instr: Instr) -> int:
    """Return at how many endpoints and sets an instruction waits."""
    return len(instr.args) if instr.op in ("receive", "select") else 0


def _travelling(instr: Instr) -> int:
    """Return how many endpoints an instruction sends along or puts into a set."""
    return _endpoints_used(instr) - 1 if instr.op == "send" else int(instr.op == "set_add")


_CALLS = ("call", "vcall", "attempt", "spawn")

#: For each rule, what is counted of an instruction, and what a place is. A rule that is not here looks at every instruction.
_PLACES: dict[str, tuple[str, Callable[[Instr], int]]] = {
    "sil.malformed": ("instruction", lambda instr: 1),
    "class": ("class", lambda instr: 0),
    "types": ("operand", lambda instr: len(instr.args) + len(_given(instr))),
    "init": ("use", lambda instr: len(instr.args)),
    "owner.use-after-send": ("use of a block", _blocks_used),
    "owner.use-after-free": ("use of a block", _blocks_used),
    "owner.use-after-move": ("use of a block", _blocks_used),
    "owner.borrow": ("use of a block", _blocks_used),
    "owner.shared": ("write into a block", _is("store")),
    "owner.leak": ("block acquired", lambda instr: sum(reg.type.block for reg in _given(instr))),
    "owner.leak-on-raise": ("raise", _is("raise")),
    "contract.send": ("send", _is("send")),
    "contract.arguments": ("send", _is("send")),
    "contract.receive": ("wait", _waits),
    "contract.exhaustive": ("receive", _is("receive", "select")),
    "contract.send-state": ("endpoint handed on", _travelling),
    "endpoint.moved": ("use of an endpoint", _endpoints_used),
    "endpoint.leak": ("endpoint acquired", _endpoints_given),
    "endpoint.leak-on-raise": ("raise", _is("raise")),
    "contract.closed": ("use of an endpoint", _endpoints_used),
    "closed-api": ("call", _is(*_CALLS)),
    "recursion": ("call", _is(*_CALLS)),
    "privileged": ("instruction", lambda instr: 1),
}
_PLURALS = {"write into a block": "writes into blocks", "use of a block": "uses of blocks", "block acquired": "blocks acquired", "use of an endpoint": "uses of endpoints",
            "endpoint acquired": "endpoints acquired", "class": "classes", "endpoint handed on": "endpoints handed on"}  # fmt: skip
_ONE = ("instruction", lambda instr: 1)


def _merges(function: Function) -> int:
    """Return at how many blocks paths meet."""
    into: dict[str, int] = {}
    for block in function.blocks:
        for label in successors(block.instrs[-1]) if block.instrs else ():
            into[label] = into.get(label, 0) + 1
    return sum(count > 1 for count in into.values())


@dataclass
class Report:
    """What the verifier found; no findings means accepted.

    Attributes
    ----------
    module : Module
    findings : list of SipError
    """

    module: Module
    findings: list[SipError] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return not self.findings

    @property
    def checked(self) -> dict[str, int]:
        """For each rule, at how many places of the program it was applied; empty for SIL that has no meaning."""
        if any(finding.rule == "sil.malformed" for finding in self.findings):
            return {}
        instructions = [i for f in self.module.functions.values() for b in f.blocks for i in b.instrs]
        found = {rule.name: sum(map(_PLACES.get(rule.name, _ONE)[1], instructions)) for rule in RULES}
        found["owner.merge"] = sum(map(_merges, self.module.functions.values()))
        found["class"] = len(self.module.classes)
        return found

    def _card(self) -> r.Shown:
        return _ReportCard(self)

    def __repr__(self) -> str:
        return "accepted" if self.accepted else "\n".join(str(f) for f in self.findings)

    def __str__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        if not self.accepted:
            return "".join(finding._repr_html_() for finding in self.findings) + self._card()._repr_html_()
        return f"<div style='border-left:4px solid #009E73;padding:.1em .8em'>{self._card()._repr_html_()}</div>"


@dataclass(repr=False)
class _ReportCard(r.Shown):
    report: Report

    def blocks(self) -> list[r.Block]:
        report = self.report
        broken = {finding.rule for finding in report.findings}
        rows, idle = [], []
        for name, places in report.checked.items():
            if not places and name not in broken:
                idle.append(name)
                continue
            rule = next(rule for rule in RULES if rule.name == name)
            what = "place where paths meet" if name == "owner.merge" else _PLACES.get(name, _ONE)[0]
            many = "places where paths meet" if name == "owner.merge" else _PLURALS.get(what, what + "s")
            verdict = r.Cell("holds", "good") if report.accepted else r.Cell("no finding", "soft")
            if name in broken:
                verdict = r.Cell("broken", "bad strong")
            rows.append(r.Row((r.Cell(name, "mono"), verdict, r.Cell(f"{places:,}", "num"), r.Cell(what if places == 1 else many),
                               r.Cell(rule.holds, "wrap soft"))))  # fmt: skip
        count = len(report.findings)
        head = r.Heading(f"Accepted: {report.module.name}", "every rule holds at every place") if report.accepted else r.Heading(
            f"Refused: {report.module.name}", r.counted(count, "finding"))  # fmt: skip
        if not rows:
            return [head, r.Remark("Its SIL has no meaning, so no further rule was looked at.", "soft")]
        rest = [r.Remark(f"Nothing in it for {len(idle)} other rules to look at.", "soft")] if len(idle) > 1 else []
        return [head, r.Table(("rule", "", "places", "", "what holds"), rows), *rest]
