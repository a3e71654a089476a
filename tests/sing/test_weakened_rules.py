"""The soundness fuzz can fail: a verifier with one rule switched off is found out by what the programs it accepts then do."""

from __future__ import annotations

import pytest
from harm import harmless
from mutants import OBJECTS, RICH, SUBJECT
from mutants_endpoints import LAYOUTS, PASSING, SETS, THREADS

from singlab.machine.jit import DISABLED
from singlab.sing import SipError, sil_operands, sil_types
from singlab.sing.endpointflow import ASTRAY, OWED, EndpointFlow
from singlab.sing.sil import Instr
from singlab.sing.types import Endpoint, Reference
from singlab.sing.verifier import FunctionFlow


def silent(*rules: str):
    """Return the verifier's way to report, deaf to some rules."""
    report = FunctionFlow.error

    def error(self, rule: str, *rest) -> None:
        if rule not in rules:
            report(self, rule, *rest)

    return FunctionFlow, "error", error


def any_class(module, one, other) -> bool:
    """As ``is_subtype``, for a verifier that takes a reference for one of any class."""
    return one == other or (isinstance(one, Reference) and isinstance(other, Reference) and (other.nullable or not one.nullable))


def kept(op: str):
    """Return the verifier's way to let an endpoint leave its register, not knowing that an instruction takes it."""
    leaves = EndpointFlow.move_away

    def move_away(self, reg, state, instr: Instr) -> None:
        before = state.get(reg, frozenset())
        leaves(self, reg, state, instr)
        if instr.op == op:
            state[reg] = before - {OWED}

    return FunctionFlow, "move_away", move_away


def select_forgets():
    """Return the verifier's way to follow a select, which does not know afterwards in which state the endpoints are."""
    follow = EndpointFlow.select

    def select(self, instr: Instr, state: dict) -> list:
        ways = follow(self, instr, state)
        for _, row in ways:
            row.update({reg: frozenset({ASTRAY}) | row[reg] & {OWED} for reg in instr.args if isinstance(reg.type, Endpoint) and reg in row})
        return ways

    return FunctionFlow, "select", select


def threads_borrow():
    """Return the check of a spawn, which lets a thread borrow a block."""
    check = sil_operands._check_spawn

    def weak(instr, function, module, *rest) -> None:
        callee = module.functions.get(instr.extra)
        borrowed, callee.borrowed = callee.borrowed, frozenset()
        try:
            check(instr, function, module, *rest)
        finally:
            callee.borrowed = borrowed

    return sil_operands, "_check_spawn", weak


#: What is weakened: where, and the programs among which it is found out.
WEAKENED = {
    "a vector may be used after it has gone": (silent("owner.use-after-free", "owner.use-after-send", "owner.use-after-move"), (SUBJECT, RICH)),
    "a register may be used before it has a value": (silent("init"), (SUBJECT, RICH)),
    "a borrowed block may be given away": (silent("owner.borrow"), (SUBJECT, RICH)),
    "messages may be sent in any state": (silent("contract.send"), (SUBJECT, RICH)),
    "operands may have any type": ((sil_operands, "_type", lambda *_: None), (SUBJECT, RICH)),
    "a block may be lost": (silent("owner.leak", "owner.merge"), (SUBJECT, RICH)),
    "None is an object": ((sil_operands, "_certain", lambda *_: None), (OBJECTS,)),
    "objects: operands may have any type": ((sil_operands, "_type", lambda *_: None), (OBJECTS,)),
    "a method may stand for any other": ((sil_types, "_methods", lambda *_: None), (OBJECTS,)),
    "a reference is one of any class": ((sil_operands, "is_subtype", any_class), (LAYOUTS,)),
    "a field may be asked of any class": ((sil_operands, "_object_field", lambda instr, module: (instr.dest or instr.args[-1]).type), (LAYOUTS,)),
    "an endpoint may be used after it has gone": (silent("endpoint.moved"), (PASSING, SETS)),
    "an endpoint may be used after it was sent": (kept("send"), (PASSING,)),
    "an endpoint may be used after it was put into a set": (kept("set_add"), (SETS,)),
    "an endpoint may be used after a thread was given it": (kept("spawn"), (THREADS,)),
    "an endpoint travels in any state": (silent("contract.send-state"), (PASSING,)),
    "a set has members in any state": ((EndpointFlow, "in_state", lambda *_: None), (SETS,)),
    "a set may be used after it was closed or handed on": (silent("owner.use-after-free", "owner.use-after-move"), (SETS,)),
    "a select leaves endpoints in any state": (select_forgets(), (PASSING,)),
    "a select may leave out what can arrive": ((EndpointFlow, "exhaustive", lambda *_: None), (PASSING,)),
    "a receive may leave out what can arrive": (silent("contract.exhaustive"), (PASSING, SUBJECT)),
    "an endpoint may be used after it was closed": (silent("contract.closed"), (PASSING,)),
    "an endpoint may be lost": (silent("endpoint.leak"), (PASSING,)),
    "a thread may borrow what its caller owns": (threads_borrow(), (THREADS,)),
}


@pytest.mark.skipif(DISABLED, reason="many programs run: too slow uncompiled")
@pytest.mark.parametrize("rule", WEAKENED)
def test_a_weakened_verifier_is_found_out(rule, monkeypatch):
    weak, texts = WEAKENED[rule]
    monkeypatch.setattr(*weak)
    for seed in range(5000):
        try:
            harmless(seed, "sip", False, texts[seed % len(texts)])
        except AssertionError:
            return
        except (AttributeError, KeyError, TypeError, IndexError, ValueError, SipError):
            continue  # what was let through makes no code at all
    raise AssertionError("5000 programs, and none did harm")
