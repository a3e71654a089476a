"""Films of collections, for :class:`singlab.widgets.HeapView`: of a process's heap, and of the kernel's own.

For a film the system is run up to the kernel call in which the next collection takes place, the picture is taken there, and the
collector writes down what it does to each object. That costs no simulated cycle, and the system goes on as if nobody had
looked. The concurrent collector's steps lie between the program's: :mod:`singlab.experiments.cyclefilms` films a whole cycle of them.

What it leaves out: collections of more steps than the event ring has places for, some 65,000.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from singlab.experiments.cyclefilms import cycle_film, finish_cycle
from singlab.experiments.heappictures import find_heap, heap_picture, kernel_roots, picture_of, stack_root
from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.process import Process
from singlab.kernel.startup import KernelError
from singlab.machine import state as _s
from singlab.sing import Program
from singlab.trace.heapfilm import STEP, HeapFilm, HeapPicture, Root, Space, Step
from singlab.trace.record import Kind
from singlab.trace.ring import FILM

#: What the phases of each collector are, by the numbers it gives them.
PHASES = {
    "semispace": ("moves what roots refer to", "moves what moved objects refer to", "gives the old space back"),
    "marksweep": ("marks what roots refer to", "marks what marked objects refer to", "sweeps"),
    "compact": ("marks what roots refer to", "marks what marked objects refer to", "gives each marked object its new place, which references name",
                "moves objects together"),
    "generational": ("moves what roots refer to", "moves what remembered objects refer to", "moves what moved objects refer to"),
}  # fmt: skip
#: Beyond so many cycles without a collection there is none to wait for.
_LONGEST_WAIT = 2_000_000_000


def _begins(system: System, number: int, since: int) -> int | None:
    """Return which event from a number on says that a collection of the process of a number begins."""
    events = system.trace.events[since:]
    found = np.flatnonzero((events["kind"] == Kind.GC_BEGIN) & (events["process"] == number))
    return since + int(found[0]) if len(found) else None


def _run_before(system: System, number: int, none: str) -> None:
    """Run until the next collection of the process of a number is one instruction away.

    Raises
    ------
    KernelError
        If there is none: ``none``.
    """
    first = len(system.trace.events)
    start, until = system.snapshot(), int(system._m[_s.CYCLES]) + _LONGEST_WAIT
    while _begins(system, number, first) is None:
        if system.advance(256) == 0 or int(system._m[_s.CYCLES]) > until:
            system.restore(start)
            raise KernelError(none)
    event, spare = _begins(system, number, first), 1
    cycle = int(system.trace.events["cycle"][event])
    while True:  # a kernel call may write several events at once
        system.restore(start)
        if event - spare > first:
            system.run(events=event - spare - first)
        if _begins(system, number, first) is None:
            break
        spare *= 2
    near, low = system.snapshot(), 0
    high = cycle + 1 - int(system._m[_s.CYCLES])
    while high - low > 1:
        middle = (low + high) // 2
        system.restore(near)
        system.run(cycles=middle)
        low, high = (low, middle) if _begins(system, number, first) is not None else (middle, high)
    system.restore(near)
    if low:
        system.run(cycles=low)


def collection_film(whose: Process | System, program: Program | None = None, now: bool = False) -> HeapFilm:
    """Run a system to the end of the next collection of a process's heap, or of its kernel's own, and return the film of it.

    Parameters
    ----------
    whose : Process or System
        A process must have a collector and come to a collection; of a concurrent collector the film is of a whole cycle, with what
        the program does between its steps. A system stands for its kernel.
    program : Program, optional
        What a process's image was built of, for the names of its classes.
    now : bool
        Whether the kernel is to collect at once, as ``system.collect_kernel()`` lets it.

    Raises
    ------
    KernelError
        If there is no collection any more, or it has too many steps.
    """
    kernel = isinstance(whose, System)
    if now and not kernel:
        raise KernelError("only the kernel's heap can be collected at once; of a process the next collection is filmed")
    if kernel:
        system, number = whose, at.KERNEL_OWNER
        if system.kernel_heap.collector == "none":
            raise KernelError('the kernel of this system has no collector; choose one: System(kernel_collector="marksweep")')
        if now:
            heap_picture(system)  # there must be something in it
        else:
            _run_before(system, number, "the kernel comes to no collection any more; let it make more objects (processes, names), "
                                        "or film one at once: collection_film(system, now=True)")  # fmt: skip
    elif isinstance(whose, Process):
        system, number = whose._system, whose.number
        none = f"{whose.name} comes to no collection any more; let it allocate more, or give it less room: create(..., heap_bytes=...)"
        _run_before(system, number, none)
        while not whose._field(at.P_OBJECT_HEAP):  # a collection of nothing, where there is one at each allocation
            system.advance()
            _run_before(system, number, none)
        if find_heap(whose).collector == "concurrent":
            if finish_cycle(whose):
                _run_before(system, number, none)
            return cycle_film(whose, program)
    heap = find_heap(whose, program)
    before, here, m = picture_of(heap), system.snapshot(), system._m
    first = len(system.trace.events)

    def collect() -> None:
        if now:
            system.collect_kernel()
        while _begins(system, number, first) is None:
            system.run(events=1)

    m[_s.TRACE_ON] |= np.uint64(FILM)
    count = int(m[_s.EVENT_COUNT])
    try:
        collect()
        if int(m[_s.EVENT_COUNT]) - count >= _s.RING_EVENTS:
            raise KernelError(f"this collection has more than {_s.RING_EVENTS:,} steps; film one of a smaller heap")
        events = system.trace.events[first:]
        events = events[(events["kind"] == Kind.GC_STEP) & (events["process"] == number)]
        slots = {int(a) & (1 << 56) - 1 for a in events["a"][(events["a"] >> np.uint64(56)) == Step.ROOT]}
        system.restore(here)
        there = set(before.objects["address"].tolist())
        found = kernel_roots(system) if kernel else ((slot, stack_root(whose, slot)) for slot in slots)
        roots = {slot: root for slot, root in found if root.target in there}
    finally:
        system.restore(here)
    collect()  # once more, with nobody looking
    return _film(replace(before, collector=heap.collector), events, roots)  # one that adapts has chosen now


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
            place, b = order.setdefault(place, len(order)), 0
        steps.append((what, place, b))
    spaces = list(before.spaces)
    if before.collector == "generational":  # the young ones' room is free again, whether or not its pages went back
        steps += [(Step.FREE, space.start, space.end - space.start) for space in spaces if space.name.startswith("young")]
    spaces += _new_spaces(before, steps)
    return HeapFilm(replace(before, roots=tuple(roots[slot] for slot in order), spaces=tuple(spaces)), np.array(steps, STEP), PHASES[before.collector])


__all__ = ["PHASES", "collection_film", "heap_picture"]
