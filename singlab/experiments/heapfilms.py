"""Pictures of a process's heap, and films of its collections, for :class:`singlab.widgets.HeapView`.

A picture is read out of simulated memory between two instructions. For a film the system is run up to the kernel call in
which the next collection takes place, the picture is taken there, and the collector writes down what it does to each
object. That costs no simulated cycle, and the system goes on as if nobody had looked.

What it leaves out: the concurrent collector, whose steps lie between the program's; collections of more steps than the event ring has places for, some 65,000.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.process import Process
from singlab.kernel.roots import OBJECT, TEXT, StackMaps, TypeRow
from singlab.kernel.startup import KernelError
from singlab.machine import state as _s
from singlab.sing import Program, compile_program
from singlab.sing.sil_classes import numbers
from singlab.trace.heapfilm import OBJECT as RECORD
from singlab.trace.heapfilm import STEP, HeapFilm, HeapPicture, Root, Space, Step
from singlab.trace.record import Kind
from singlab.trace.ring import FILM

#: What the phases of each collector are, by the numbers it gives them.
PHASES = {
    "semispace": ("moves what roots refer to", "moves what moved objects refer to", "gives the old space back"),
    "marksweep": ("marks what roots refer to", "marks what marked objects refer to", "sweeps"),
    "compact": ("marks what roots refer to", "marks what marked objects refer to", "gives each marked object its new place",
                "lets all references name new places", "moves objects together"),
    "generational": ("moves what roots refer to", "moves what remembered objects refer to", "moves what moved objects refer to"),
}  # fmt: skip
_REGISTERS = ["zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"]
_ELEMENTS = ("bytes", "2-byte numbers", "4-byte numbers", "words")


def _type_names(rows: tuple[TypeRow, ...], program: Program | None) -> tuple[str, ...]:
    """Return what types are called, from 0 on: an image knows no names of classes, the program it was built of does."""
    classes = {number: name for name, (number, _) in numbers(compile_program(program)).items()} if program is not None else {}
    found = ["free"]
    for number, row in enumerate(rows, 1):
        if row.kind == OBJECT:
            found.append(classes.get(number, f"object {number} of {row.words} words"))
        elif row.kind == TEXT:
            found.append("str")
        else:
            found.append("array of references" if row.inside else f"array of {_ELEMENTS[row.power]}")
    return tuple(found)


def heap_picture(process: Process, program: Program | None = None) -> HeapPicture:
    """Return the heap of a process as it stands, without roots; a :func:`collection_film` has those.

    Parameters
    ----------
    process : Process
    program : Program, optional
        What its image was built of, for the names of its classes.

    Raises
    ------
    KernelError
        If it has no heap: no collector, no objects yet, or no process any more.
    """
    load = process._system._load
    heap = process._field(at.P_OBJECT_HEAP) if process.state != "stopped" else 0
    maps = StackMaps.of(process.installed.image)
    if not heap or maps is None:
        raise KernelError(f"{process.name} has no heap to look at: it has no collector, has made no objects yet, or has ended")
    collector = hp.COLLECTORS[load(heap + hp.Z_ACTIVE)]  # of an adaptive heap what collects it now
    spaces, objects, references, free = [], [], [], []
    for old, head in enumerate((hp.Z_EXTENTS, hp.Z_OLD)[: 1 + (collector == "generational")]):
        extent, count = load(heap + head), 0
        while extent:
            start, end, top = (load(extent + field) for field in (hp.X_START, hp.X_END, hp.X_TOP))
            count += 1
            kind = {"semispace": "from-space", "generational": "old" if old else "young"}.get(collector, "extent")
            spaces.append(Space(f"{kind} {count}" if count > 1 or load(extent + hp.X_NEXT) else kind, start, end))
            place = start
            while place < top:
                header = load(place)
                if header & 0xFFFF_FFFF == 0:  # not used yet; or a free run, which says how large it is
                    size = max(8, header >> 32 << 3)
                    if size > 8:
                        free.append((place, size))
                else:
                    row = maps.types[(header & 0xFFFF_FFFF) - 1]
                    length = load(place + 8) if row.kind != OBJECT else 0
                    size = row.bytes(length)
                    upper = header >> 32
                    age = upper >> hp.AGE_SHIFT - 32 & hp.OLDEST if collector == "generational" and not old else old
                    objects.append((place, size, header & 0xFFFF, age, old and upper not in (0, hp.OLD >> 32)))
                    references += [(place, load(place + offset)) for offset in row.references(length)]
                place += size
            extent = load(extent + hp.X_NEXT)
    found = np.array(sorted(objects), RECORD)
    index = {int(address): n for n, address in enumerate(found["address"])}
    edges = sorted((index[source], index[target]) for source, target in references if target in index)
    return HeapPicture(process.name, collector, found, np.array(edges, np.int32).reshape(-1, 2), (), _type_names(maps.types, program),
                       tuple(sorted(spaces, key=lambda s: s.start)), np.array(sorted(free), np.uint64).reshape(-1, 2))  # fmt: skip


def _begins(process: Process, since: int) -> int | None:
    """Return which event from a number on says that a collection of the process begins."""
    events = process._system.trace.events[since:]
    found = np.flatnonzero((events["kind"] == Kind.GC_BEGIN) & (events["process"] == process.number))
    return since + int(found[0]) if len(found) else None


def _run_before(process: Process) -> None:
    """Run until the next collection of the process is one instruction away.

    Raises
    ------
    KernelError
        If there is none.
    """
    system = process._system
    first = len(system.trace.events)
    start = system.snapshot()
    while _begins(process, first) is None:
        if system.advance(256) == 0:
            system.restore(start)
            raise KernelError(f"{process.name} comes to no collection any more; let it allocate more, or give it less room: create(..., heap_bytes=...)")
    number, spare = _begins(process, first), 1
    cycle = int(system.trace.events["cycle"][number])
    while True:  # a kernel call may write several events at once
        system.restore(start)
        if number - spare > first:
            system.run(events=number - spare - first)
        if _begins(process, first) is None:
            break
        spare *= 2
    near, low = system.snapshot(), 0
    high = cycle + 1 - int(system._m[_s.CYCLES])
    while high - low > 1:
        middle = (low + high) // 2
        system.restore(near)
        system.run(cycles=middle)
        low, high = (low, middle) if _begins(process, first) is not None else (middle, high)
    system.restore(near)
    if low:
        system.run(cycles=low)


def collection_film(process: Process, program: Program | None = None) -> HeapFilm:
    """Run a process's system to the end of its next collection, and return the film of it.

    Parameters
    ----------
    process : Process
        It must have a collector and come to a collection.
    program : Program, optional
        What its image was built of, for the names of its classes.

    Raises
    ------
    KernelError
        If there is no collection any more, or it has too many steps.
    """
    system, m = process._system, process._system._m
    _run_before(process)
    collector = heap_picture(process).collector
    if collector not in PHASES:
        raise KernelError(f"a {collector} collection cannot be filmed: its steps lie between the program's own. There are films of: {', '.join(PHASES)}")
    before, here = heap_picture(process, program), system.snapshot()
    first = len(system.trace.events)
    m[_s.TRACE_ON] |= np.uint64(FILM)
    count = int(m[_s.EVENT_COUNT])
    try:
        while _begins(process, first) is None:
            system.run(events=1)
        if int(m[_s.EVENT_COUNT]) - count >= _s.RING_EVENTS:
            raise KernelError(f"this collection has more than {_s.RING_EVENTS:,} steps; film one of a smaller heap")
        events = system.trace.events[first:]
        events = events[events["kind"] == Kind.GC_STEP]
        slots = {int(a) & (1 << 56) - 1 for a in events["a"][(events["a"] >> np.uint64(56)) == Step.ROOT]}
        system.restore(here)
        roots = _roots(process, before, slots)
    finally:
        system.restore(here)
    while _begins(process, first) is None:  # once more, with nobody looking
        system.run(events=1)
    collector = hp.COLLECTORS[system._load(process._field(at.P_OBJECT_HEAP) + hp.Z_ACTIVE)]  # one that adapts has chosen now
    return _film(replace(before, collector=collector), events, roots)


def _roots(process: Process, before: HeapPicture, slots: set[int]) -> dict[int, Root]:
    """Return the roots in slots as the kernel names them, but those that refer to nothing in the heap."""
    load, window = process._system._load, process._system._load(at.G_WINDOW)
    there = set(before.objects["address"].tolist())
    threads = process.threads()
    found = {}
    for slot in slots:
        home = next((t for t in threads if t <= slot < t + at.THREAD_BYTES), None)
        value = load(slot if home is not None else slot - window)
        if value not in there:
            continue
        which = f" of thread {threads.index(home) + 1}" if home is not None and len(threads) > 1 else ""
        name = f"{_REGISTERS[(slot - home - at.T_CONTEXT) // 8]}{which}" if home is not None else f"{slot - window:#x}"
        found[slot] = Root(name, "register" if home is not None else "stack", value)
    return found


def _new_spaces(before: HeapPicture, steps: list[tuple[int, int, int]]) -> list[Space]:
    """Return the spaces that objects move to which are not in the picture: within one they lie behind each other."""
    sizes = {int(o["address"]): int(o["size"]) for o in before.objects}
    spans: list[list[int]] = []
    for b, a in sorted((b, a) for what, a, b in steps if what == Step.MOVE and not any(space.start <= b < space.end for space in before.spaces)):
        if not spans or b != spans[-1][1]:
            spans.append([b, b])
        spans[-1][1] = b + sizes.get(a, 8)
    name = "to-space" if before.collector != "generational" else "new old" if len(spans) < 2 else "new"
    return [Space(name if len(spans) < 2 else f"{name} {number}", start // at.PAGE * at.PAGE, -(-end // at.PAGE) * at.PAGE)
            for number, (start, end) in enumerate(spans, 1)]  # fmt: skip


def _film(before: HeapPicture, events: np.ndarray, roots: dict[int, Root]) -> HeapFilm:
    """Put a film together from a picture and what the collector has written down."""
    order: dict[int, int] = {}
    steps = []
    for a, b in zip(events["a"].tolist(), events["b"].tolist()):
        what, place = a >> 56, a & (1 << 56) - 1
        if what == Step.ROOT:
            if place not in roots:
                continue
            place = order.setdefault(place, len(order))
        steps.append((what, place, b))
    spaces = list(before.spaces)
    if before.collector == "generational":  # the young ones' room is free again, whether or not its pages went back
        steps += [(Step.FREE, space.start, space.end - space.start) for space in spaces if space.name.startswith("young")]
    spaces += _new_spaces(before, steps)
    picture = HeapPicture(before.process, before.collector, before.objects, before.edges, tuple(roots[slot] for slot in order), before.types,
                          tuple(spaces), before.free)  # fmt: skip
    return HeapFilm(picture, np.array(steps, STEP), PHASES[before.collector])


__all__ = ["PHASES", "collection_film", "heap_picture"]
