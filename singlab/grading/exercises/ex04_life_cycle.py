"""Exercise 04: write the end of a process, so that everything comes back and nobody else notices.

The answer is one kernel function over given tables. Lives are led at random (:mod:`singlab.grading.lifecycle`), one was recorded
from real processes (:mod:`singlab.grading.recorded`), and after each step somebody is stopped; what the tables say then is compared with what they must say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from singlab.grading import lifecycle as life
from singlab.grading.answers import KernelPart
from singlab.grading.examination import Examination, Handed, Trial
from singlab.grading.kernelcode import Called, KernelBed, KernelFunction, compile_kernel
from singlab.grading.lifecycle import LAYOUT, Broken, Life, State, Tables, at
from singlab.grading.recorded import moments
from singlab.sing.errors import SipError

_STEPS = 40
_PRACTICE_SEEDS, _HIDDEN_SEEDS = (11, 12, 13), tuple(range(500, 515))
#: Stands for the recorded life where others have the seed they are drawn by.
RECORDED = 0

#: What may be wrong after an end, in the order in which it is looked for: what to say, and what to look at.
WRONG = {
    "children": ("a child of the stopped process lives on", "whatever ends a process ends its children first, and theirs before them"),
    "state": ("a stopped process is not marked ENDED", "set P_STATE, of the children's records too"),
    "family": ("the parent still lists a stopped child, or lost another", "take the process off its parent's list, wherever on it it is"),
    "alive": ("a process that has nothing to do with it was ended or lost what it had", "follow this process's own lists only"),
    "ready": ("a thread of the stopped process is still in the ready queue, or another's place in it is lost",
              "take its READY threads out of the queue, wherever they stand, and leave the others in their order"),
    "current": ("G_CURRENT is wrong", "if a stopped thread was running, it is 0 afterwards; else it stays"),
    "woken": ("who waits at the other end of a closed channel is not woken as it must be",
              "the peer's waiter, if there is one, becomes READY at the end of the ready queue; its T_WAITS and the peer's E_WAITER become 0"),
    "waiter": ("an endpoint still names a thread that is gone as its waiter", "a BLOCKED thread waits at the endpoint in T_WAITS: its E_WAITER becomes 0"),
    "threads": ("the free list of threads does not hold what it must", "each thread goes there exactly once"),
    "peer": ("an endpoint's record is given back while its peer is open", "the peer still reads E_CLOSED of its own peer; only when both are closed do both records go"),
    "endpoints": ("the free list of endpoints does not hold what it must", "when both ends of a channel are closed, both records go back, each once"),
    "closed": ("an end of the stopped process is not closed", "E_CLOSED becomes 1, E_OWNER and E_COUNT 0"),
    "drained": ("messages that others have still to receive are lost, or were changed", "what waits in the PEER's queue stays: ChannelClosed comes after it"),
    "lost block": ("a block never comes back", "it may be in a message in a queue of the stopped process, or on its list: each is one reference"),
    "freed block": ("a block is given back that somebody else still refers to", "only when B_REFS comes to 0 may it go to the free list"),
    "blocks": ("B_OWNER or B_REFS of a block is wrong", "each place it was in counts one; who is no owner any more is not in B_OWNER"),
    "handles": ("handles do not come back as they must", "each: H_KIND 0, H_USES one more, on the free list once"),
    "pages": ("pages do not come back as they must", "PAGE_OWNERS becomes 0 where it was the process's number, and stays elsewhere"),
    "beside": ("memory that is in no table was written", "look at your addresses"),
}  # fmt: skip

_OF_FREE_LISTS = {"G_FREE_THREADS": "threads", "G_FREE_ENDPOINTS": "endpoints", "G_FREE_BLOCKS": "freed block", "G_FREE_HANDLES": "handles"}
_OF_CHILDREN = {"children", "state", "family"}


@dataclass(frozen=True)
class Stop:
    """An end to try: tables, whom to stop, and where in a life it is."""

    tables: Tables
    process: int
    seed: int
    step: int
    wanted: State


def stops(seed: int) -> list[Stop]:
    """Return the ends of everybody after each step of a life."""
    found: list[Stop] = []
    if seed == RECORDED:
        for step, tables in enumerate(moments()):
            found += _ends(tables, seed, step)
        return found
    led = Life(seed)
    for step in range(_STEPS):
        led.step()
        found += _ends(led.tables, seed, step)
        if led.rng.random() < 0.08 and len(led.alive()) > 1:
            life.stopped(led, led.rng.choice(led.alive()))
    return found


def _ends(tables: Tables, seed: int, step: int) -> list[Stop]:
    """Return the ends of everybody who lives at a moment."""
    found = []
    for process in (at("process", n) for n in range(life.PROCESSES)):
        if tables.get(process + LAYOUT["P_STATE"]) == LAYOUT["ALIVE"]:
            other = Life(seed)
            other.tables = tables.copy()
            life.stopped(other, process)
            found.append(Stop(tables.copy(), process, seed, step, other.tables.state()))
    return found


def practice(seed: int = 11, step: int = 23) -> Tables:
    """Return the tables after a step of a life; life 0 is the recorded one, and has steps 0 to 11."""
    return next(stop.tables for stop in stops(seed) if stop.step == step)


def attempt(tables: Tables, function: KernelFunction, process: int) -> Tables:
    """Return a copy of the tables after ``stop`` has been called with a process's number there, from 1.

    Raises
    ------
    SipError
        If the function is refused, or does not come to its end.
    """
    bed = KernelBed(compile_kernel(function, LAYOUT), life.WORDS)
    bed.memory[:] = tables.words
    called = bed.call(function.name, at("process", process - 1))
    if called.broken:
        raise SipError("kernel", f"{function.name} {called.broken}", line=called.line, hint="look at the tables it was called with").at(
            function.filename, function.source)  # fmt: skip
    return Tables(bed.memory.copy())


def differences(stop: Stop, found: Tables) -> set[str]:
    """Return what is wrong after an end, as keys of WRONG.

    Raises
    ------
    Broken
        If a list leads nowhere.
    """
    have, want, was = found.state(), stop.wanted, stop.tables.state()
    wrong: set[str] = set()
    gone = {n for n in want.processes if want.processes[n] != was.processes[n] and want.processes[n] == (LAYOUT["ENDED"],)}
    me = stop.tables.number("process", stop.process, "")
    for n, wanted in want.processes.items():
        got = have.processes[n]
        if n in gone and got[0] != LAYOUT["ENDED"]:
            wrong.add("state" if n == me else "children")
        elif n not in gone and got != wanted:
            wrong.add("family" if len(got) == len(wanted) > 1 and (got[:3], got[4]) == (wanted[:3], wanted[4]) else "alive")
    stay = [n for n in want.ready if n in was.ready]
    if [n for n in have.ready if n in was.ready] != stay:
        wrong.add("ready")
    elif set(have.ready) != set(want.ready) or set(have.ready[: len(stay)]) != set(stay):
        wrong.add("woken")
    if have.current != want.current:
        wrong.add("current")
    if have.free["thread"] != want.free["thread"]:
        wrong.add("threads")
    if have.free["endpoint"] - want.free["endpoint"]:
        wrong.add("peer")
    elif have.free["endpoint"] != want.free["endpoint"]:
        wrong.add("endpoints")
    if want.free["block"] - have.free["block"]:
        wrong.add("lost block")
    if have.free["block"] - want.free["block"]:
        wrong.add("freed block")
    if have.free["handle"] != want.free["handle"]:
        wrong.add("handles")
    for (what, n), wanted in want.records.items():
        got = have.records.get((what, n))
        if got is None or got == wanted:
            continue
        if what == "thread":
            wrong.add("woken")
        elif what == "endpoint":
            wrong.add("waiter" if got[:3] == wanted[:3] else "closed")
        else:
            wrong.add({"block": "blocks", "handle": "handles"}[what] if len(got) == len(wanted) else "handles")
    for n, wanted in want.queues.items():
        if n in have.queues and have.queues[n] != wanted:
            wrong.add("closed" if not wanted and want.records["endpoint", n][2] else "drained")
    if have.pages != want.pages:
        wrong.add("pages")
    beside = found.words != stop.tables.words
    for what in ("process", "thread", "endpoint", "block", "handle"):
        first = (at(what, 0) - life.DATA) >> 3
        beside[first : (at(what, life.COUNT[what]) - life.DATA) >> 3] = False
    beside[:6] = False
    pages = (LAYOUT["PAGE_OWNERS"] - life.DATA) >> 3
    beside[pages : pages + life.PAGES] = False
    return wrong | ({"beside"} if np.any(beside) else set())


def _tried(handed: Handed, hidden: bool) -> dict[str, tuple[Stop, str]]:
    """Return what went wrong in any end, each with the first in which it did, and in words if they are not those of WRONG.

    "broken" is what did not come to its end, or left a list that leads nowhere.
    """

    def find() -> dict[str, tuple[Stop, str]]:
        bed = KernelBed(handed.kernel["stop"], life.WORDS)
        found: dict[str, tuple[Stop, str]] = {}
        for seed in (*(_HIDDEN_SEEDS if hidden else _PRACTICE_SEEDS), RECORDED):
            for stop in stops(seed):
                bed.memory[:] = stop.tables.words
                called: Called = bed.call("stop", stop.process)
                if called.broken:
                    where = f" ({handed.places.line(called.line)})" if called.line else ""
                    return found | {"broken": (stop, f"stop {called.broken}{where}")}
                try:
                    all_ = differences(stop, Tables(bed.memory))
                    # what a child that lives on still has is no mistake of its own
                    for wrong in all_ & _OF_CHILDREN if "children" in all_ else all_:
                        found.setdefault(wrong, (stop, ""))
                except Broken as error:
                    kind = next((kind for name, kind in _OF_FREE_LISTS.items() if name in str(error)), "broken")
                    found.setdefault(kind, (stop, str(error) if kind != "broken" else f"After an end, {error}"))
                    if kind == "broken":
                        return found
        return found

    return handed.once(("stop", hidden), find)


def _judge(kinds: tuple[str, ...], hidden: bool):
    def judge(handed: Handed) -> str:
        found = _tried(handed, hidden)
        for kind in WRONG:
            if kind in kinds and kind in found:
                stop, said = found[kind]
                what, look = WRONG[kind]
                what = said or what
                place = "" if hidden else f" It is so when process {stop.tables.number('process', stop.process, '') + 1} is stopped after step {stop.step} of life {stop.seed}."
                return f"After an end, {what}.{place} Look: {look}."
        if "state" in found:
            return "Nothing of this counts while the stopped process is not ENDED."
        return f"{found['broken'][1]}." if "broken" in found else ""

    return judge


_GROUPS = (
    ("threads leave the queue, and sleepers their endpoints", ("ready", "current", "waiter", "threads")),
    ("channels close, and peers find out when they have read all", ("woken", "peer", "endpoints", "closed", "drained")),
    ("each block comes back once, and when nobody has it", ("lost block", "freed block", "blocks")),
    ("handles and pages come back", ("handles", "pages")),
    ("children end first", ("children", "state", "family")),
    ("nobody else notices", ("alive", "ready", "drained", "freed block", "beside", "pages")),
)


def _trials() -> tuple[Trial, ...]:
    return (
        *(Trial(f"{title}, in three lives and a recorded one", 1, ("stop",), _judge(kinds, False)) for title, kinds in _GROUPS[:-1]),
        *(Trial(f"{title}, in {len(_HIDDEN_SEEDS)} lives and the recorded one", 2, ("stop",), _judge(kinds, True), hidden=True) for title, kinds in _GROUPS),
    )


EXERCISE = Examination(
    name="ex04_life_cycle",
    source="",
    constants=LAYOUT,
    parts=(KernelPart("stop", words=("process",)),),
    trials=_trials(),
)
