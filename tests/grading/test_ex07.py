"""Exercise 07: collectors of different kinds get everything, the student's version next to nothing, each mistake its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from singlab.grading import check, grade_notebook, objectheap
from singlab.grading.answers import read_answer
from singlab.grading.examination import grade_examination
from singlab.grading.exercises import ex07_collector as ex
from singlab.grading.exercises import exercise
from singlab.grading.kernelcode import kernel_functions
from singlab.grading.objectheap import LAYOUT, Heap, Program, Thing, Wrong
from singlab.sing import SipError

ROOT = Path(__file__).resolve().parent.parent.parent
SOLUTION, STUDENT = ROOT / "solutions" / "ex07_collector.ipynb", ROOT / "exercises" / "ex07_collector.ipynb"
KNOWN = exercise("ex07")
WHOLE = read_answer(SOLUTION).text
GOOD = WHOLE[WHOLE.index("FREE = G_STATE") : WHOLE.index("HeapView(attempt")]

MARK_SWEEP = """
GAP = 1 << 63
MARK = 1 << 32
DEPTH = G_STATE + 8

@kernel
def bytes_of(at):
    header = ld64(at)
    if header & GAP:
        return header & ~GAP
    row = TYPES + (header & 0xFFFFFFFF) * TYPE_BYTES
    if ld64(row + Y_KIND) == OBJECT:
        return ld64(row + Y_BYTES)
    return A_ELEMENTS + 8 * ld64(at + A_LENGTH)

@kernel
def begin():
    if ld64(G_STATE) == 0:
        st64(HEAP_START, GAP | (HEAP_END - HEAP_START))
        st64(G_STATE, 1)
    return 0

@kernel
def mark(place):
    at = ld64(place)
    if at != 0 and ld64(at) & MARK == 0:
        st64(at, ld64(at) | MARK)
        st64(SCRATCH + 8 * ld64(DEPTH), at)
        st64(DEPTH, ld64(DEPTH) + 1)
    return 0

@kernel
def collect():
    begin()
    st64(DEPTH, 0)
    for i in range(REGISTERS):
        if ld64(G_REGISTER_MAP) >> i & 1:
            mark(G_REGISTERS + 8 * i)
    frame = ld64(G_FRAME)
    while frame != 0:
        for i in range(ld64(frame + F_COUNT)):
            if ld64(frame + F_MAP) >> i & 1:
                mark(frame + F_SLOTS + 8 * i)
        frame = ld64(frame + F_CALLER)
    while ld64(DEPTH) != 0:
        st64(DEPTH, ld64(DEPTH) - 1)
        at = ld64(SCRATCH + 8 * ld64(DEPTH))
        row = TYPES + (ld64(at) & 0xFFFFFFFF) * TYPE_BYTES
        if ld64(row + Y_KIND) == REFERENCES:
            for i in range(ld64(at + A_LENGTH)):
                mark(at + A_ELEMENTS + 8 * i)
        elif ld64(row + Y_KIND) == OBJECT:
            for i in range(1, ld64(row + Y_BYTES) // 8):
                if ld64(row + Y_MAP) >> i & 1:
                    mark(at + 8 * i)
    at = HEAP_START
    while at < HEAP_END:
        size = bytes_of(at)
        if ld64(at) & MARK and ld64(at) & GAP == 0:
            st64(at, ld64(at) & ~MARK)
        else:
            st64(at, GAP | size)
        at += size
    return 0

@kernel
def found(bytes):
    at = HEAP_START
    while at < HEAP_END:
        size = bytes_of(at)
        if ld64(at) & GAP:
            while at + size < HEAP_END and ld64(at + size) & GAP:
                size += bytes_of(at + size)
            st64(at, GAP | size)
            if size >= bytes:
                if size > bytes:
                    st64(at + bytes, GAP | (size - bytes))
                for i in range(bytes // 8):
                    st64(at + 8 * i, 0)
                return at
        at += size
    return 0

@kernel
def allocate(bytes):
    begin()
    room = found(bytes)
    if room == 0:
        collect()
        room = found(bytes)
    return room
"""


def text(*changes: tuple[str, str], of: str = GOOD) -> str:
    """Return an answer with pieces of text exchanged."""
    for old, new in changes:
        assert old in of, old
        of = of.replace(old, new)
    return of


def graded(answer: str, hidden: bool = True):
    """Return the report on an answer."""
    functions = kernel_functions(answer, "notebook", KNOWN.given())
    return grade_examination(KNOWN, lambda part, given: functions[part.name], hidden)


def test_the_solution_gets_all_points():
    report = grade_notebook(SOLUTION)
    assert (report.points, report.most) == (18, 18), report
    assert all(not result.feedback for result in report.results)


def test_a_collector_that_moves_nothing_gets_all_points():
    report = graded(MARK_SWEEP)
    assert report.points == 18, report


def test_the_students_version_gets_the_point_for_giving_room():
    report = grade_notebook(STUDENT)
    assert (report.points, report.most) == (1, 18)
    assert all("Look:" in result.feedback or "As above" in result.feedback for result in report.results if not result.passed), report


@pytest.mark.parametrize("answer", [GOOD, MARK_SWEEP], ids=["copying", "marking"])
def test_they_are_right_in_programs_they_were_not_written_for(monkeypatch, answer):
    monkeypatch.setattr(ex, "_HIDDEN_SEEDS", (11, 12, 13))
    handed_seeds = [(900 + n,) for n in range(3)]
    functions = kernel_functions(answer, "notebook", KNOWN.given())
    from singlab.grading.answers import PLAIN
    from singlab.grading.examination import Handed, _take

    handed = Handed(PLAIN)
    for part in KNOWN.parts:
        _take(handed, part, functions[part.name], KNOWN)
    for seeds in handed_seeds:
        for run, forced in ((ex._SOME, True), (ex._LONG_WORK, False), (ex._chains, True), (ex._chains, False)):
            assert ex._tried(handed, seeds, run, forced) == {}


_VISIT = "    if ld64(object) & MOVED == 0:\n"
# What a student may plausibly do, and what the feedback must say.
WRONG = {
    "register roots missed": (text(("        if ld64(G_REGISTER_MAP) >> i & 1:\n", "        if ld64(G_REGISTER_MAP) >> i & 1 and False:\n")), "a reference in a register"),
    "only the newest frame": (text(("        frame = ld64(frame + F_CALLER)\n", "        frame = 0\n")), "a reference in a frame"),
    "every register is a root": (text(("        if ld64(G_REGISTER_MAP) >> i & 1:\n", "        if ld64(G_REGISTERS + 8 * i) >= HEAP_START and ld64(G_REGISTERS + 8 * i) < HEAP_END:\n")), None),
    "cycles": (text((_VISIT, "    if True:\n"), ("        size = moved(object, free)\n", "        size = moved(object, free)\n        st64(object, ld64(free))\n")), None),
    "forwarding forgotten": (text(("    st64(object, free | MOVED)\n", "    st64(object, ld64(free))\n")), None),
    "forwarding overwritten": (text(("    st64(object, free | MOVED)\n", "    st64(object, free | MOVED)\n    st64(object + 8, 0)\n"), ("        st64(place, free)\n        return free + size\n",
                               "        st64(place, free)\n        st64(object, kind_of(free))\n        return free + size\n"), ("@kernel\ndef visit", "@kernel\ndef kind_of(at):\n    return ld64(at)\n\n\n@kernel\ndef visit")), None),
    "arrays of references": (text(("        if ld64(row + Y_KIND) == REFERENCES:\n", "        if ld64(row + Y_KIND) == 99:\n")), "a reference in an array"),
    "the map is off by one": (text(("                if ld64(row + Y_MAP) >> i & 1:\n", "                if i > 0 and ld64(row + Y_MAP) >> (i - 1) & 1:\n")), None),
    "objects not scanned": (text(("        elif ld64(row + Y_KIND) == OBJECT:\n", "        elif ld64(row + Y_KIND) == 99:\n")), "a reference in an object"),
    "not zero": (text(("        st64(room + 8 * i, 0)\n", "        room = room\n")), "room was given that is not zero"),
    "the whole heap as one half": (text(("    return HEAP_START + number * ((HEAP_END - HEAP_START) // 2)\n", "    return HEAP_START + number * (HEAP_END - HEAP_START)\n")), None),
    "collects nothing": (text(("        collect()\n", "        st64(SPACE, ld64(SPACE))\n")), "garbage must come back"),
    "forgets to swap": (text(("    st64(SPACE, 1 - ld64(SPACE))\n", "")), None),
    "arrays without their header": (text(("    return A_ELEMENTS + 8 * ld64(object + A_LENGTH)\n", "    return 8 * ld64(object + A_LENGTH)\n")), None),
    "nothing is marked": (text(("        st64(SCRATCH + 8 * ld64(DEPTH), at)\n", "        st64(DEPTH, ld64(DEPTH) - 1)\n"), of=MARK_SWEEP), None),
    "follows everything": (text(("                if ld64(row + Y_MAP) >> i & 1:\n                    mark(at + 8 * i)\n", "                mark(at + 8 * i)\n"), of=MARK_SWEEP), None),
    "marks stay": (text(("            st64(at, ld64(at) & ~MARK)\n", "            size = size\n"), of=MARK_SWEEP), None),
    "neighbours stay apart": (text(("            while at + size < HEAP_END and ld64(at + size) & GAP:\n", "            while at + size < HEAP_START and ld64(at + size) & GAP:\n"), of=MARK_SWEEP), "No room was found"),
    "writes what is no root": (text(("@kernel\ndef allocate(bytes):\n", "@kernel\ndef allocate(bytes):\n    st64(TYPES - 8, 1)\n")), "memory that is not the heap's"),
    "room behind the heap": (text(("ld64(FREE) + bytes > half(ld64(SPACE) + 1)", "ld64(FREE) + bytes > HEAP_END + 64")), "memory that is not the heap's"),
    "room that is not aligned": (text(("    return room\n", "    return room + 4\n")), "room was given that is not in the heap"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_costs_points_and_is_named(case):
    answer, feedback = WRONG[case]
    report = graded(answer)
    said = "\n".join(result.feedback for result in report.results)
    assert report.points < 18 and any(result.hidden and not result.passed for result in report.results), report
    if feedback:
        assert feedback.lower() in said.lower(), report
    assert "Look:" in said or "loads" in said or "stores" in said or "finds no end" in said, report


def test_hidden_checks_name_no_program():
    for result in graded(WRONG["only the newest frame"][0]).results:
        assert ("of program" in result.feedback) == (bool(result.feedback) and not result.hidden)


# ---- the program and its shadow -----------------------------------------------------------------------------------------------


def at_work(seed: int, steps: int) -> Program:
    """Return a program whose objects lie one behind the other."""
    program, free = Program(seed), LAYOUT["HEAP_START"]
    for _ in range(steps):
        thing, where = program.planned(), program.located()
        for offset in range(0, thing.bytes, 8):
            program.heap.put(free + offset, 0)
        program.make(thing, free, where)
        free += thing.bytes
        program.mutate(where)
    return program


@pytest.mark.parametrize("seed", range(12))
def test_whatever_word_of_an_object_changes_is_noticed(seed):
    program = at_work(seed, 30)
    where = program.located()
    for thing in program.alive():
        for word in range(len(thing.words) + 1):
            place = where[id(thing)] + 8 * word
            was = program.heap.get(place)
            program.heap.put(place, was ^ 1 << (seed % 32))
            with pytest.raises(Wrong):
                program.located()
            program.heap.put(place, was)
    assert program.located() == where


def test_programs_come_to_everything_a_collector_must_cope_with():
    seen: set[str] = set()
    for seed in ex._HIDDEN_SEEDS:
        program = at_work(seed, 60)
        alive = program.alive()
        seen |= {"garbage"} if sum(t.bytes for t in alive) < 60 * 20 else set()
        for thing in alive:
            seen |= {f"kind {thing.kind}"}
            seen |= {"to itself"} if any(t is thing for t in thing.follow()) else set()
            seen |= {"like a reference"} if any(isinstance(w, int) and LAYOUT["HEAP_START"] <= w < LAYOUT["HEAP_END"] for w in thing.words) else set()
        counts = [sum(t is thing for other in alive for t in other.follow()) for thing in alive]
        seen |= {"shared"} if max(counts, default=0) > 1 else set()
        seen |= {"frames"} if any(name[0] == "f" and thing for (name, _), thing in zip(program.places, program.things)) else set()
    assert seen == {"garbage", "to itself", "like a reference", "shared", "frames", *(f"kind {n}" for n in range(6))}


def test_a_broken_heap_says_so():
    heap = ex.practice()
    assert "objects," in repr(heap) and "frame 0 slot" in repr(heap)
    heap.picture().check()
    heap.put(heap.reached()[0], 77)
    assert repr(heap).startswith("The heap is broken: at 0x8001")
    assert Thing(0, [None, None]).bytes == 24 and isinstance(heap.copy(), Heap)


# ---- the notebook ----------------------------------------------------------------------------------------------------------


def test_check_and_trying_in_the_notebook():
    functions = kernel_functions(GOOD, "notebook", KNOWN.given())
    report = check("ex07", functions["allocate"], functions["collect"])
    assert (report.points, report.most) == (5, 5) and "visible checks only" in report._repr_html_()
    heap = ex.practice()
    after = ex.attempt(heap, functions["collect"])
    before, now = heap.picture(), after.picture()
    assert sorted(before.objects["type"].tolist()) == sorted(now.objects["type"].tolist()) and len(before.edges) == len(now.edges)
    endless = kernel_functions("@kernel\ndef collect():\n    while True:\n        pass\n", "notebook", {})["collect"]
    with pytest.raises(SipError, match="finds no end"):
        ex.attempt(heap, endless)


def test_the_notebook_gives_what_is_graded_and_the_points_add_up():
    names: dict = {}
    exec(WHOLE[WHOLE.index("G_STATE, STATE_WORDS") : WHOLE.index("heap = practice()")], names)
    assert {name: names[name] for name in LAYOUT} == LAYOUT
    assert sum(trial.points for trial in KNOWN.trials) == 18
    assert LAYOUT["SCRATCH_WORDS"] == objectheap.HEAP_BYTES // 16
