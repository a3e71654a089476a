"""Exercise 03: write the calls of a closed API, so that they survive whatever they are passed.

The answer is five kernel functions over given tables. Each is called with legal arguments and with hostile ones, which have
one thing wrong with them (:mod:`singlab.grading.hostile`), and the whole memory is compared with what it must be
(:mod:`singlab.grading.closedapi`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from singlab.grading import closedapi as api
from singlab.grading.answers import KernelPart
from singlab.grading.closedapi import CALLS, DATA, ERRORS, LAYOUT, Right, Tables
from singlab.grading.examination import Examination, Handed, Trial
from singlab.grading.hostile import FAULTS, HANDLE_FAULTS, WORDS, calls, draw, handles
from singlab.grading.kernelcode import Called, KernelBed, KernelFunction, compile_kernel

PARAMETERS = {
    "lookup": ("caller", "handle", "kind"), "allocate": ("caller", "size"), "release": ("caller", "handle"),
    "send": ("caller", "endpoint", "message", "block"), "print_text": ("caller", "address", "length"),
}  # fmt: skip
_PRACTICE_SEEDS, _HIDDEN_SEEDS = (3, 4), tuple(range(1000, 1006))
_RUN_SEED, _RUN_CALLS = 77, 2500
BEFORE_THAT = "It calls lookup, which is wrong too: repair that first."


def bed_of(handed: Handed, name: str) -> KernelBed:
    """Return the machine on which one function of an answer is tried."""
    return handed.once(("bed", name), lambda: KernelBed(handed.kernel[name], api.WORDS))


def shown(name: str, arguments: tuple[int, ...]) -> str:
    """Return a call as text."""
    caller, *rest = arguments
    who = "ABCD"[(caller - api.process(0)) // 64]
    return f"{name}({', '.join([f'process {who}', *(f'{word:#x}' for word in rest)])})"


def practice() -> Tables:
    """Return tables to try functions on."""
    return draw(_PRACTICE_SEEDS[0])


def attempt(tables: Tables, function: KernelFunction, *arguments: int) -> Attempt:
    """Call a kernel function on a copy of the tables, and say what came of it.

    Raises
    ------
    SipError
        If the function is refused.
    """
    code = compile_kernel(function, LAYOUT)
    bed = KernelBed(code, api.WORDS)
    bed.memory[:] = tables.words
    called = bed.call(function.name, *arguments)
    changed = [(api.place(DATA + 8 * int(i)), int(tables.words[i]), int(bed.memory[i])) for i in np.flatnonzero(bed.memory != tables.words)]
    return Attempt(called, changed, Tables(bed.memory.copy()))


@dataclass(frozen=True)
class Attempt:
    """What a call came to: its result, each word it changed (where, before, after), and the tables after it."""

    called: Called
    changed: list[tuple[str, int, int]]
    tables: Tables

    def __repr__(self) -> str:
        line = f" (line {self.called.line})" * bool(self.called.line)
        head = f"It {self.called.broken}{line}." if self.called.broken else f"It returns {self.called.value:#x}."
        return "\n".join([head, *(f"  {where}: {before:#x} -> {after:#x}" for where, before, after in self.changed)])


def verdict(name: str, right: Right, called: Called, before: Tables, wanted: Tables, found: np.ndarray, where: Callable[[int], str],
            exact: str = "") -> str:  # fmt: skip
    """Return what is wrong with what a call came to; empty if nothing is.

    Parameters
    ----------
    right : Right
        What it must come to.
    before, wanted : Tables
        As they were, and as they must be.
    found : ndarray of uint64
        The memory as it is.
    where : callable
        Says where a line is.
    exact : str
        The call as text, where it may be told.
    """
    what, look = _about(right.why)
    told = f" The call was {exact}." if exact else ""
    passed = f" It was passed {what}. Look: {look}." if what else ""
    if called.broken:
        broken = called.broken if exact else re.sub("0x[0-9a-f]+, which", "an address that", called.broken)
        return f"{name} {broken}{f' ({where(called.line)})' if called.line else ''}.{told}{passed}"
    refuses = called.value == 0 if name == "lookup" else called.value in ERRORS
    if right.why and called.value not in right.values:
        if not refuses:
            return f"{name} accepts {what}.{told} Look: {look}."
        return f"{name} refuses {what} with {ERRORS[called.value]}; it must be {' or '.join(ERRORS[v] for v in sorted(right.values))}.{told}"
    if right.why:
        changed = np.flatnonzero(found != before.words)
        if len(changed):
            return (f"{name} refuses {what}, but by then it has changed {api.place(DATA + 8 * int(changed[0]), bool(exact))}.{told} "
                    "Check everything first, then act: who is refused must find all as it was.")  # fmt: skip
        return ""
    if called.value not in right.values:
        if refuses:
            return f"{name} refuses a legal call{'' if name == 'lookup' else f' with {ERRORS[called.value]}'}.{told}"
        return f"{name} returns the wrong word: {_values(name, called.value, right, exact)}.{told}"
    meant, have = wanted.meant(), Tables(found).meant()
    wrong = np.flatnonzero(meant != have)
    if not len(wrong):
        return ""
    at = int(wrong[0])
    address, was = DATA + 8 * at, int(before.words[at])
    here = api.place(address, bool(exact))
    numbers = f" It is {int(found[at]):#x}, and must be {int(wanted.words[at]):#x}." if exact else ""
    if int(wanted.words[at]) == was:
        return f"{name} changes {here} in a legal call, which it must leave as it is.{numbers}{told}"
    if int(found[at]) == was:
        return f"{name} leaves {here} as it is in a legal call, and must change it.{numbers}{told}"
    return f"{name} puts the wrong word into {here} in a legal call.{numbers}{told}"


def _values(name: str, value: int, right: Right, exact: str) -> str:
    wanted = {"lookup": "the slot's address", "allocate": "the handle, S_USES << 32 | slot"}.get(name, "OK")
    return f"{value:#x} where {wanted}, {next(iter(right.values)):#x}, is asked for" if exact else f"{wanted} is asked for"


def _about(why: tuple[str, ...]) -> tuple[str, str]:
    """Return in words what is wrong with a call's arguments, and what to look at."""
    if not why:
        return "", ""
    what, look = WORDS[why[0].removeprefix("block ")]
    return (f"as its block {what}" if why[0].startswith("block ") else what), look


def _tried(handed: Handed, name: str, faults: tuple[str, ...], seeds: tuple[int, ...], hidden: bool) -> str:
    """Return feedback on one function, called with these faults."""
    bed = bed_of(handed, name)
    for fault in faults:
        for seed in seeds:
            tables = draw(seed)
            for arguments in calls(tables, name, fault, random.Random(seed)):
                wanted = tables.copy()
                right = api.model(wanted, name, arguments)
                bed.memory[:] = tables.words
                called = bed.call(name, *arguments)
                said = verdict(name, right, called, tables, wanted, bed.memory, handed.places.line, "" if hidden else shown(name, arguments))
                if said:
                    return said
    return ""


def _judge(name: str, faults: tuple[str, ...], hidden: bool):
    """Return a judge of one function; whoever refuses everything fails at the legal calls, which come first."""

    def judge(handed: Handed) -> str:
        def find(faults: tuple[str, ...]) -> str:
            seeds = _HIDDEN_SEEDS if hidden else _PRACTICE_SEEDS
            return handed.once((name, faults, hidden), lambda: _tried(handed, name, faults, seeds, hidden))

        said = find(("",)) or find(faults)
        calls_lookup = name != "lookup" and "lookup" in handed.kernel[name].places and "lookup" in handed.kernel
        if said and calls_lookup and (_judge("lookup", _VISIBLE["lookup"], False)(handed) or (hidden and _judge("lookup", HANDLE_FAULTS, True)(handed))):
            return f"{said} {BEFORE_THAT}"
        return said

    return judge


def _in_a_row(handed: Handed) -> str:
    """Judge thousands of calls, one after the other, by processes that remember every word they have ever seen."""
    rng = random.Random(_RUN_SEED)
    tables = draw(_RUN_SEED)
    known = [tables.handle(s) for kind in (LAYOUT["BLOCK"], LAYOUT["ENDPOINT"]) for s in tables.slots(kind)]
    for number in range(api.PROCESS_COUNT):
        tables.put(api.process(number) + LAYOUT["P_MOST"], 5)
    for _ in range(_RUN_CALLS):
        name, arguments = _drawn(tables, known, rng)
        wanted = tables.copy()
        right = api.model(wanted, name, arguments)
        bed = bed_of(handed, name)
        bed.memory[:] = tables.words
        called = bed.call(name, *arguments)
        if said := verdict(name, right, called, tables, wanted, bed.memory, handed.places.line):
            return f"In a long row of calls: {said}"
        tables = wanted
        if name == "allocate" and not right.why:
            known.append(called.value)
        if not right.why and name == "send" and arguments[3]:
            known.append(tables.handle(arguments[3] & (1 << 32) - 1))
        _receive(tables, rng)
    return ""


def _drawn(tables: Tables, known: list[int], rng: random.Random) -> tuple[str, tuple[int, ...]]:
    name = rng.choice(CALLS)
    caller = api.process(rng.randrange(api.PROCESS_COUNT))
    kind = LAYOUT["ENDPOINT"] if name == "send" else LAYOUT["BLOCK"]

    def handle(kind: int) -> int:
        fine = list(handles(tables, caller, kind, "", rng))
        return rng.choice(fine) if fine and rng.random() < 0.6 else rng.choice(known)

    if name == "allocate":
        return name, (caller, rng.choice((0, 1, 64, 128, 129, rng.getrandbits(64))))
    if name == "print_text":
        first = tables.get(caller + LAYOUT["P_FIRST"])
        return name, (caller, first + rng.randrange(-4, api.MEMORY_BYTES + 4), rng.choice((0, 1, rng.randrange(80), rng.getrandbits(64))))
    if name == "send":
        return name, (caller, handle(kind), rng.choice((0, 3, 7, 7, 8, rng.getrandbits(64))), handle(LAYOUT["BLOCK"]) if rng.random() < 0.5 else 0)
    return name, (caller, handle(kind)) + ((kind,) if name == "lookup" else ())


def _receive(tables: Tables, rng: random.Random) -> None:
    """Let a receiver take a message now and then, and the console be read."""
    record = api.endpoint(rng.randrange(api.ENDPOINT_COUNT))
    if rng.random() < 0.5 and (count := tables.get(record + LAYOUT["E_COUNT"])):
        tables.put(record + LAYOUT["E_COUNT"], count - 1)
        tables.put(record + LAYOUT["E_HEAD"], (tables.get(record + LAYOUT["E_HEAD"]) + 1) % tables.get(record + LAYOUT["E_SLOTS"]))
    if tables.get(LAYOUT["G_PRINTED"]) > 200:
        tables.put(LAYOUT["G_PRINTED"], 0)


#: The faults of the visible checks; the hidden ones look for all others too.
_VISIBLE = {
    "lookup": ("wild", "foreign", "kind"), "allocate": ("size", "none"), "release": ("foreign", "free"),
    "send": ("foreign", "message", "full"), "print_text": ("length", "address"),
}  # fmt: skip
_HIDDEN = (
    ("lookup", "words that are no address of a slot", ("beside", "end", "forged", "wild")),
    ("lookup", "addresses in the middle of a slot", ("misaligned",)),
    ("lookup", "handles that are stale, foreign, or of another kind", ("stale", "uses", "free", "foreign", "kind")),
    ("allocate", "sizes, quotas, and what the block's last owner left in it", FAULTS["allocate"]),
    ("release", "every way a handle can be wrong", FAULTS["release"]),
    ("send", "every way the endpoint can be wrong", HANDLE_FAULTS),
    ("send", "every way the block can be wrong", tuple(f for f in FAULTS["send"] if f.startswith("block "))),
    ("send", "message numbers, closed peers and full queues", ("message", "closed", "full")),
    ("print_text", "both ends of the caller's memory, and of the console", ("past the end", "length", "address", "console")),
    ("print_text", "lengths that wrap around", ("wrap",)),
)


def _trials() -> tuple[Trial, ...]:
    return (
        *(Trial(f"{name}: legal calls, and some that are not", 1, (name,), _judge(name, faults, False)) for name, faults in _VISIBLE.items()),
        *(Trial(f"{name}: {title}", 1, (name,), _judge(name, faults, True), hidden=True) for name, title, faults in _HIDDEN),
        Trial(f"{_RUN_CALLS:,} calls in a row, with all the handles there ever were", 2, CALLS, _in_a_row, hidden=True),
    )


EXERCISE = Examination(
    name="ex03_closed_api",
    source="",
    constants=LAYOUT,
    parts=tuple(KernelPart(name, words=words) for name, words in PARAMETERS.items()),
    trials=_trials(),
)
