"""Films of concurrent collections: a whole cycle, and what the program did between the collector's steps.

The system is run from event to event. Where the collector did a step, or the write barrier marked an object, the heap is read, and
compared with how it was before: that gives the objects the program has made, in the order in which they lie, and the references it
has changed. What the collector did it writes down itself, as in a collection done at once. Looking costs no simulated cycle, and the
system goes on as if nobody had looked.

What it leaves out: in which order the program did what it did between two such moments; objects that it made and the collector
took back within the same; roots between two looks at them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import replace

import numpy as np

from singlab.experiments.heappictures import Contents, Heap, contents, find_heap, picture_of, stack_root
from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.process import Process
from singlab.kernel.startup import KernelError
from singlab.machine import state as _s
from singlab.sing import Program
from singlab.trace.heapfilm import BLACK, GREY, OBJECT, STEP, WHITE, HeapFilm, Root, Space, Step
from singlab.trace.record import Kind
from singlab.trace.ring import FILM, read_ring

#: What the phases of a cycle are: the first three by the numbers the collector gives them.
CYCLE_PHASES = ("the collector's step {b}: looks at roots", "the collector's step {b}: looks at what waits", "the collector's step {b}: sweeps",
                "the program runs on for {b} cycles")  # fmt: skip
_LOOKS, _SWEEPS, _PROGRAM = 0, 2, 3
#: What a cycle is at, as in ``singlab.runtime.concurrent``.
IDLE, SWEEPING = 0, 2
_ADDRESS = (1 << 56) - 1


def _trouble(process: Process) -> KernelError:
    return KernelError(f"{process.name} has ended before a cycle of its collector was over; let it allocate more")


def finish_cycle(process: Process) -> bool:
    """Run until the cycle of a concurrent collector is over that is under way; returns whether there was one.

    Raises
    ------
    KernelError
        If the process ends before.
    """
    heap = find_heap(process)
    if heap.load(hp.Z_PHASE) == IDLE:
        return False
    while heap.load(hp.Z_PHASE) != IDLE:
        if process._system.advance() == 0 or process.state == "stopped":
            raise _trouble(process)
    return True


def cycle_film(process: Process, program: Program | None = None) -> HeapFilm:
    """Return the film of a cycle of a concurrent collector that is about to begin; the system has run to its end.

    Raises
    ------
    KernelError
        If the process ends before the cycle does, or the cycle has too many steps.
    """
    system, m = process._system, process._system._m
    heap, trouble = find_heap(process, program), _trouble(process)
    here, writer = system.snapshot(), _Writer(process, heap)
    count = int(m[_s.EVENT_COUNT])
    seen = real = count
    m[_s.TRACE_ON] |= np.uint64(FILM)
    try:
        while not writer.over:
            if system.advance(1) == 0 or process.state == "stopped":
                raise trouble
            events, lost = read_ring(m, seen)
            seen += lost + len(events)
            if lost or len(writer.steps) > _s.RING_EVENTS:
                raise KernelError(f"this cycle has more than {_s.RING_EVENTS:,} steps; film one of a smaller heap")
            real += int((events["kind"] != Kind.GC_STEP).sum())
            events = events[events["process"] == process.number]
            if np.isin(events["kind"], (Kind.GC_STEP, Kind.GC_BEGIN, Kind.GC_END)).any():
                writer.take(events)
    finally:
        system.restore(here)
    system.run(events=real - count)  # once more, with nobody looking
    return writer.film()


class _Writer:
    """Writes a film: what there is, by addresses, and the steps so far."""

    def __init__(self, process: Process, heap: Heap):
        self.process, self.heap = process, heap
        self.before = picture_of(heap)
        self.objects = [tuple(record) for record in self.before.objects.tolist()]
        self.first = len(self.objects)
        self.at = {record[0]: place for place, record in enumerate(self.objects)}
        self.addresses = sorted(self.at)
        self.state = [WHITE] * self.first
        self.references = contents(heap).references
        self.refers = [[self.at.get(word, -1) for word in self.references[record[0]]] for record in self.objects]
        self.spaces = [[space.start, space.end] for space in self.before.spaces]
        self.steps: list[tuple[int, int, int]] = []
        self.born_edges: list[tuple[int, int]] = []
        self.changes: list[tuple[int, int, int]] = []
        self.slots: dict[int, int] = {}
        self.roots: list[Root] = []
        self.held: list[int] = []
        self.pause = self.ended = 0
        self.ran: int | None = None  # the step that says how long the program ran
        self.sweeping = self.swept = self.over = self.stopped = False

    def step(self, what: int, a: int, b: int = 0) -> None:
        self.steps.append((int(what), a, b))

    # ---- the program's --------------------------------------------------------------------------------------------

    def take(self, events: np.ndarray) -> None:
        """Go on with the events of one moment: what the program has done until then, then what the collector has."""
        now = contents(self.heap)
        reached = {int(e["a"]) & _ADDRESS for e in events if e["kind"] == Kind.GC_STEP and int(e["a"]) >> 56 == Step.REACH}
        if self.pause:
            if self.ran is None:
                self.ran = len(self.steps)
                self.step(Step.PHASE, _PROGRAM, 0)
            self.compare(now, reached)
        self.spaces += [[space.start, space.end] for space in now.spaces]
        self.hold([(int(e["a"]) & _ADDRESS, int(e["b"])) for e in events if e["kind"] == Kind.GC_STEP and int(e["a"]) >> 56 == Step.ROOT])
        for event in events:
            if event["kind"] == Kind.GC_BEGIN:
                self.pause += 1
                self.stopped = True
                if self.ran is not None:
                    self.steps[self.ran] = (int(Step.PHASE), _PROGRAM, int(event["cycle"]) - self.ended)
                self.ran = None
            elif event["kind"] == Kind.GC_END:
                self.ended = int(event["cycle"])
                self.stopped = False
                self.over = self.heap.load(hp.Z_PHASE) == IDLE
            elif event["kind"] == Kind.GC_STEP:
                self.collector(int(event["a"]) >> 56, int(event["a"]) & _ADDRESS, int(event["b"]))
        self.sweeping = self.heap.load(hp.Z_PHASE) == SWEEPING

    def compare(self, now: Contents, reached: set[int]) -> None:
        """Write down which objects are new, and which references are others than before."""
        born = set()
        for record in now.objects:
            place = self.at.get(record[0])
            if place is not None:
                self.objects[place] = record  # an array may have had no length yet
                continue
            place = self.at[record[0]] = len(self.objects)
            insort(self.addresses, record[0])
            self.objects.append(record)
            safe = self.sweeping or (now.uppers[record[0]] & 1 and record[0] not in reached)
            self.state.append(BLACK if safe else WHITE)
            refers = [self.at.get(word, -1) for word in now.references[record[0]]]
            self.born_edges += [(place, other) for other in refers if other >= 0]
            self.refers.append(refers)
            self.step(Step.MAKE_BLACK if safe else Step.MAKE, record[0], place - self.first)
            born.add(place)
        for address, words in now.references.items():
            place, before = self.at[address], self.references.get(address, [])
            if words != before or place in born:
                self.changed(place, words, before if place not in born else words)
        self.references = now.references

    def changed(self, place: int, words: list[int], before: list[int]) -> None:
        """Write down which references of an object are others than they were; of a new one, which refer to objects made after it."""
        was = self.refers[place]
        was += [-1] * (len(words) - len(was))
        before = before + [0] * (len(words) - len(before))
        for number, word in enumerate(words):
            target = self.at.get(word, -1)
            if (word != before[number] or was[number] < 0) and target != was[number]:
                self.step(Step.REFER, self.objects[place][0], len(self.changes))
                self.changes.append((place, was[number], target))
                was[number] = target

    def hold(self, seen: list[tuple[int, int]]) -> None:
        """Write down which roots refer to other objects than when they were looked at last."""
        if not seen:
            return
        for number in sorted(set(range(len(self.roots))) - {self.slots.get(slot, -1) for slot, _ in seen}):
            self.holds(number, 0)
        for slot, word in dict(seen).items():
            word = word if word in self.at else 0
            if slot not in self.slots and word:
                self.slots[slot] = len(self.roots)
                first = not self.steps
                self.roots.append(replace(stack_root(self.process, slot), target=word if first else 0))
                self.held.append(word if first else 0)
            if slot in self.slots:
                self.holds(self.slots[slot], word)

    def holds(self, number: int, word: int) -> None:
        if self.held[number] != word:
            self.step(Step.HOLD, number, word)
            self.held[number] = word

    # ---- the collector's ------------------------------------------------------------------------------------------

    def collector(self, what: int, a: int, b: int) -> None:
        """Write down a step of the collector's."""
        if what == Step.PHASE:
            if a == _LOOKS and self.swept:  # the cycle is over, and another one is done at once
                self.step(Step.WHITEN, 0)
                self.state = [WHITE if state in (GREY, BLACK) else state for state in self.state]
            self.swept = a == _SWEEPS
            if self.steps and self.steps[-1][0] == Step.PHASE and self.steps[-1][1] != _PROGRAM:
                self.steps.pop()  # in which there was nothing to do
            self.step(what, a, self.pause)
        elif what == Step.ROOT:
            if self.held[self.slots[a]] if a in self.slots else 0:
                self.step(what, self.slots[a])
        elif what == Step.FREE:
            self.step(what, a, b)
            low, high = (bisect_right(self.addresses, edge - 1) for edge in (a, a + b))
            for address in self.addresses[low:high]:
                del self.at[address]
            del self.addresses[low:high]
        elif what == Step.SCAN:
            self.scanned(a - self.heap.system._load(at.G_WINDOW) if b else a)
        elif a in self.at:  # else it was made since the last look, and is gone again
            self.state[self.at[a]] = GREY
            self.step(what if self.stopped else Step.SHADE, a)

    def scanned(self, word: int) -> None:
        """All references up to a word have been followed: of an array that is the last one of a slice."""
        number = bisect_right(self.addresses, word) - 1
        if number < 0:
            return
        address = self.addresses[number]
        place = self.at[address]
        if word != address and word != address + self.objects[place][1] - 8:
            return  # not yet at the end of this array, or of one that is gone
        self.state[place] = BLACK
        self.step(Step.SCAN, address)

    def film(self) -> HeapFilm:
        """Return the film."""
        spans: list[list[int]] = []
        for start, end in sorted(self.spaces):
            if spans and start < spans[-1][1]:
                spans[-1][1] = max(end, spans[-1][1])
            else:
                spans.append([start, end])
        spaces = tuple(Space(f"extent {number}" if len(spans) > 1 else "extent", start, end) for number, (start, end) in enumerate(spans, 1))
        objects = np.array(self.objects, OBJECT)
        before = replace(self.before, objects=objects[: self.first], roots=tuple(self.roots), spaces=spaces)
        film = HeapFilm(before, np.array(self.steps, STEP), CYCLE_PHASES, (_PROGRAM,), objects[self.first :],
                        np.array(self.born_edges, np.int32).reshape(-1, 2), np.array(self.changes, np.int32).reshape(-1, 3))  # fmt: skip
        film.check()
        return film


__all__ = ["CYCLE_PHASES", "cycle_film", "finish_cycle"]
