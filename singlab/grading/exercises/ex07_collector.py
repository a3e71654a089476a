"""Exercise 07: write a collector for one process.

The answer is two kernel functions over a given heap. Programs work on it (:mod:`singlab.grading.objectheap`), with a collection
before every allocation or with none that is asked for; after each, what roots lead to is compared with what the
program believes to be there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from singlab.grading import objectheap
from singlab.grading.answers import KernelPart
from singlab.grading.examination import Examination, Handed, Trial
from singlab.grading.kernelcode import KernelBed, KernelFunction, compile_kernel
from singlab.grading.objectheap import KINDS, LAYOUT, Heap, Program, Thing, Wrong
from singlab.sing.errors import SipError

#: Cycles a call may take: enough to walk over the heap some dozens of times.
_LIMIT = 3_000_000
_PRACTICE_SEEDS, _HIDDEN_SEEDS = (21, 22), tuple(range(700, 706))
_LONG_SEEDS = (750, 751, 752)
_STEPS, _LONG = 260, 500

#: What may be wrong, in the order in which it is looked for: what to say, and what to look at.
WRONG = {
    "end": ("a call does not come to its end", "a graph has cycles: what has been reached once must not be followed again"),
    "register": ("a reference in a register does not lead to its object any more", "the bits of G_REGISTER_MAP say which of the registers hold references"),
    "frame": ("a reference in a frame of the stack does not lead to its object any more", "go on from G_FRAME by F_CALLER until it is 0; F_MAP says which slots"),
    "shared": ("an object has become two", "who has moved an object leaves a note of where it is, for the next one who comes by: and before the note is overwritten"),
    "field": ("a reference in an object does not lead to its object any more", "bit n of Y_MAP is word n of the object, and word 0 is the header"),
    "element": ("a reference in an array does not lead to its object any more", "of an array of REFERENCES, all elements are"),
    "header": ("a reachable object has lost its header", "the lower half of the header is the type's number; the upper half is yours, and whoever reads the type must know"),
    "number": ("a number in an object has changed", "what is in no map is a number, whatever it looks like: do not follow it and do not write it"),
    "overlap": ("two reachable objects overlap", "how large is each? an array's size is in its A_LENGTH"),
    "taken": ("room was given that a reachable object has", "what roots lead to, directly or not, is in use"),
    "outside": ("room was given that is not in the heap", "from HEAP_START up to HEAP_END, at multiples of eight"),
    "dirty": ("room was given that is not zero", "clear it when you give it, not before: the heap holds what was there"),
    "room": ("no room was found, though there is enough", "garbage must come back, again and again, with all of the heap in use"),
    "beside": ("memory that is not the heap's was written", "others' blocks, the types and what is in no map belong to others"),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Something that went wrong: where, and in words."""

    seed: int
    step: int
    about: str


def practice(seed: int = 21, steps: int = 30) -> Heap:
    """Return a heap that a program has been at work on, whose objects lie one behind the other."""
    program, free = Program(seed), LAYOUT["HEAP_START"]
    for _ in range(steps):
        thing, where = program.planned(), program.located()
        for offset in range(0, thing.bytes, 8):
            program.heap.put(free + offset, 0)
        program.make(thing, free, where)
        free += thing.bytes
        program.mutate(where)
    program.heap.put(LAYOUT["G_STATE"], free)
    return program.heap


def attempt(heap: Heap, function: KernelFunction, *arguments: int) -> Heap:
    """Return a copy of a heap after a function has been called there.

    Raises
    ------
    SipError
        If the function is refused, or does not come to its end.
    """
    bed = KernelBed(compile_kernel(function, LAYOUT), objectheap.WORDS, _LIMIT)
    bed.memory[:] = heap.words
    called = bed.call(function.name, *arguments)
    if called.broken:
        raise SipError("kernel", f"{function.name} {called.broken}", line=called.line, hint="look at the heap it was called with").at(
            function.filename, function.source)  # fmt: skip
    return Heap(bed.memory.copy())


class _Work:
    """A program at work with a student's functions."""

    def __init__(self, handed: Handed, seed: int):
        self.program = Program(seed)
        self.places = handed.places
        self.beds = {name: KernelBed(code, objectheap.WORDS, _LIMIT) for name, code in handed.kernel.items()}
        self.words = self.program.heap.words

    def call(self, name: str, *arguments: int) -> int:
        """Call a function with the memory as it is; raises Wrong."""
        bed, before = self.beds[name], self.program.beside()
        bed.memory[:] = self.words
        called = bed.call(name, *arguments)
        if called.broken:
            where = f" ({self.places.line(called.line)})" if called.line else ""
            raise Wrong("end", f"{name} {called.broken}{where}")
        self.words[:] = bed.memory
        if not np.array_equal(before, self.program.beside()):
            place = int(np.flatnonzero(before != self.program.beside())[0])
            raise Wrong("beside", f"{name} wrote at {objectheap.DATA + 8 * place:#x}")
        return called.value

    def allocated(self, thing: Thing) -> dict[int, int]:
        """Ask for room, look at everything, and put the thing there; returns where everything is."""
        room = self.call("allocate", thing.bytes)
        where = self.program.located()
        self.program.make(thing, room, where)
        return where


def _few(work: _Work, _forced: bool) -> None:
    """A few objects, for which nothing has to be collected."""
    for step in range(12):
        yield step
        work.program.mutate(work.allocated(work.program.planned()))


def _many(steps: int):
    def run(work: _Work, forced: bool):
        for step in range(steps):
            yield step
            if forced:
                work.call("collect")
                work.program.located()
            work.program.mutate(work.allocated(work.program.planned()))

    return run


def _chains(work: _Work, forced: bool):
    """Long lists, rings and wide arrays, one after the other."""
    program = work.program
    for step in range(6):
        yield step
        for number in range(len(program.things)):
            program.set_root(number, None, {})
        last = first = None
        for _ in range((80, 40, 60)[step % 3]):
            thing = Thing(0, [last, None])
            where = work.allocated(thing)
            for number in range(len(program.things)):
                program.set_root(number, None, where)
            program.set_root(0, thing, where)
            last, first = thing, first or thing
        if step % 2 and first is not None:
            first.words[0] = last  # a ring, and each half refers to the other's middle
            program.heap.put(where[id(first)] + 8, where[id(last)])
        wide = Thing(len(KINDS) - 1, [40] + [None] * 40)
        where = work.allocated(wide)
        program.set_root(0, last, where)
        program.set_root(len(program.things) - 1, wide, where)
        at = last
        for n in range(1, 41):
            wide.words[n], at = at, at.words[0]
            program.heap.put(where[id(wide)] + 8 * (n + 1), where[id(wide.words[n])])
        for _ in range(0 if forced else 150):  # so much that it must be collected meanwhile
            where = work.allocated(Thing(1, [step]))
            program.set_root(0, last, where)
            program.set_root(len(program.things) - 1, wide, where)
        if forced:
            work.call("collect")
            program.located()


def _tried(handed: Handed, seeds: tuple[int, ...], run, forced: bool) -> dict[str, Found]:
    """Return what went wrong in any program's work, each with the first place. A program ends with its first mistake."""

    def find() -> dict[str, Found]:
        found: dict[str, Found] = {}
        for seed in seeds:
            work = _Work(handed, seed)
            step = 0
            try:
                for reached in run(work, forced):
                    step = reached
            except Wrong as wrong:
                found.setdefault(wrong.key, Found(seed, step, wrong.about))
        return found

    return handed.once((seeds, getattr(run, "__qualname__", ""), id(run), forced), find)


def _judge(seeds: tuple[int, ...], run, forced: bool, hidden: bool):
    def judge(handed: Handed) -> str:
        found = _tried(handed, seeds, run, forced)
        for key, (what, look) in WRONG.items():
            if key in found:
                one = found[key]
                place = "" if hidden else f" It is so at step {one.step} of program {one.seed}: {one.about}."
                if key == "end":
                    return f"{one.about}." + (f" Look: {look}." if "finds no end" in one.about else "")
                return f"{what[0].upper()}{what[1:]}.{place} Look: {look}."
        return ""

    return judge


_SOME, _LONG_WORK = _many(_STEPS), _many(_LONG)


def _trials() -> tuple[Trial, ...]:
    both, one = ("allocate", "collect"), ("allocate",)
    return (
        Trial("room is given, as long as there is some", 1, one, _judge(_PRACTICE_SEEDS, _few, False, False)),
        Trial("a collection before every allocation, two programs", 2, both, _judge(_PRACTICE_SEEDS, _SOME, True, False)),
        Trial("allocate collects when there is no room, two programs", 2, one, _judge(_PRACTICE_SEEDS, _LONG_WORK, False, False)),
        Trial("a collection before every allocation, six programs", 4, both, _judge(_HIDDEN_SEEDS, _SOME, True, True), hidden=True),
        Trial("long programs: garbage comes back again and again", 4, one, _judge(_LONG_SEEDS, _LONG_WORK, False, True), hidden=True),
        Trial("long lists, rings and wide arrays", 3, both, _judge(_HIDDEN_SEEDS[:3], _chains, True, True), hidden=True),
        Trial("the same with what allocate does by itself", 2, one, _judge(_HIDDEN_SEEDS[:3], _chains, False, True), hidden=True),
    )


EXERCISE = Examination(
    name="ex07_collector",
    source="",
    constants=LAYOUT,
    parts=(KernelPart("allocate", words=("bytes",)), KernelPart("collect", words=())),
    trials=_trials(),
)
