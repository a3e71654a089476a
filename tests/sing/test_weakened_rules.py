"""The soundness fuzz can fail: a verifier with one rule switched off is found out by what the programs it accepts then do."""

from __future__ import annotations

import pytest
from harm import harmless
from mutants import OBJECTS, RICH, SUBJECT
from mutants_endpoints import LAYOUTS, PASSING, SETS, THREADS
from mutants_system import ATTEMPTS, CHILDREN, HANDLES, NAMES, REGIONS
from mutants_trials import MEMORY, TRIALS

from singlab.machine.jit import DISABLED
from singlab.sing import SipError, sil_handles, sil_operands, sil_types
from singlab.sing.endpointflow import ASTRAY, OWED, EndpointFlow
from singlab.sing.sil import Instr
from singlab.sing.status import Lent
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


def kept(*ops: str):
    """Return the verifier's way to let an endpoint leave its register, not knowing that some instructions take it."""
    leaves = EndpointFlow.move_away

    def move_away(self, reg, state, instr: Instr) -> None:
        before = state.get(reg, frozenset())
        leaves(self, reg, state, instr)
        if instr.op in ops:
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


def raw_is_let_through():
    """Return the form check, which looks at no raw instruction."""
    check = sil_types.check_instruction

    def weak(instr, *rest) -> None:
        if not instr.op.startswith("raw_"):
            check(instr, *rest)

    return sil_types, "check_instruction", weak


def thread_leaves_a_look():
    """Return the verifier's way to follow the attempt to start a thread, after which blocks it was given can still be read and written."""

    def attempt_spawn(self, instr: Instr, state: dict) -> list:
        started = dict(state)
        self.called(self.flow.module.functions[instr.extra.function], instr, started)
        started.update({reg: Lent(instr.position) for reg in instr.args if reg.type.block})
        return self.ways(instr, state, {"returned": started, "raised": state})

    return FunctionFlow, "attempt_spawn", attempt_spawn


def made_though_it_failed():
    """Return the verifier's way to follow an attempt, after which what was to be made is there on both ways."""

    def attempt_op(self, instr: Instr, state: dict) -> list:
        done = dict(state)
        self.instruction(instr.extra.plain(instr), done)
        return self.together([(instr.extra.arms["returned"][1], done), *self.ways(instr, state, {"raised": done})])

    return FunctionFlow, "attempt_op", attempt_op


def whole_though_put_apart():
    """Return the verifier's way to follow an attempt, after which a vector that was put apart or shared is what it was."""
    follow = FunctionFlow.attempt_op

    def attempt_op(self, instr: Instr, state: dict) -> list:
        ways = follow(self, instr, state)
        for label, row in ways:
            if label == instr.extra.arms["returned"][1]:
                row.update({reg: Lent(instr.position) for reg in instr.args if reg.type.block and reg not in instr.results})
        return ways

    return FunctionFlow, "attempt_op", attempt_op


def anything(*_) -> None:
    """Check nothing."""


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
    "a vector may be used after it was put apart or shared": (silent("owner.use-after-move"), (REGIONS,)),
    "what others read may be written": ((sil_operands, "_unshared", anything), (REGIONS,)),
    "shared parts are vectors like others": ((sil_operands, "_check_share", anything), (REGIONS,)),
    "a borrowed vector may be put apart": (silent("owner.borrow"), (REGIONS,)),
    "a part may be lost": (silent("owner.leak", "owner.merge"), (REGIONS,)),
    "a number is a handle": ([(sil_handles, "of_type", anything), (sil_handles, "_waitable", anything), (sil_operands, "_type", anything)], (HANDLES,)),
    "a handle may be used before it has a value": (silent("init"), (HANDLES,)),
    "an endpoint may be used after it was handed to the name service": (kept("name_register", "name_connect"), (NAMES,)),
    "the name service takes endpoints in any state": ((EndpointFlow, "in_state", anything), (NAMES,)),
    "the name service takes either side": ((sil_handles, "_endpoint", anything), (NAMES,)),
    "an endpoint may be used after a child was given it": (kept("give"), (CHILDREN,)),
    "a child is given endpoints in any state": ((EndpointFlow, "in_state", anything), (CHILDREN,)),
    "an endpoint may be lost where there are children": (silent("endpoint.leak"), (CHILDREN,)),
    "what a thread was given may be used once it was started": (thread_leaves_a_look(), (ATTEMPTS,)),
    "a method that raises may stand for one that does not": ((sil_types, "_methods", anything), (ATTEMPTS,)),
    "what an attempt was to make is there though it failed": (made_though_it_failed(), (MEMORY,)),
    "a vector is whole after it was put apart in an attempt": (whole_though_put_apart(), (TRIALS,)),
    "a number is memory for devices": ([(sil_handles, "of_type", anything), (sil_operands, "_type", anything)], (MEMORY,)),
    "memory may be reached by an address": ([silent("privileged"), raw_is_let_through()], (REGIONS,)),
}


#: The seed the search begins with, where the first that does harm is far from 0: it goes round all of them from there.
FIRST = {
    "operands may have any type": 1380, "an endpoint may be used after it was sent": 840, "None is an object": 330, "messages may be sent in any state": 245,
    "a reference is one of any class": 230, "objects: operands may have any type": 150, "a borrowed block may be given away": 125,
    "what others read may be written": 130, "shared parts are vectors like others": 1390, "a borrowed vector may be put apart": 375,
    "an endpoint may be used after a child was given it": 505, "a child is given endpoints in any state": 95,
    "an endpoint may be lost where there are children": 90, "what a thread was given may be used once it was started": 190,
    "a method that raises may stand for one that does not": 240, "a vector is whole after it was put apart in an attempt": 2170,
}  # fmt: skip
SEEDS = 5000


@pytest.mark.skipif(DISABLED, reason="many programs run: too slow uncompiled")
@pytest.mark.parametrize("rule", WEAKENED)
def test_a_weakened_verifier_is_found_out(rule, monkeypatch):
    weak, texts = WEAKENED[rule]
    for one in weak if isinstance(weak, list) else [weak]:
        monkeypatch.setattr(*one)
    for seed in (number % SEEDS for number in range(FIRST.get(rule, 0), FIRST.get(rule, 0) + SEEDS)):
        try:
            harmless(seed, "sip", False, texts[seed % len(texts)])
        except AssertionError:
            return
        except (AttributeError, KeyError, TypeError, IndexError, ValueError, SipError):
            continue  # what was let through makes no code at all
    raise AssertionError(f"{SEEDS} programs, and none did harm")
