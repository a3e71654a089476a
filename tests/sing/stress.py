"""A collector for tests: at every allocation all that can be reached moves, and what stays behind is spoilt.

It knows nothing but the image's tables and the walk over the stack. A reference that a stack map leaves out
goes on pointing to spoilt memory; a number that a map takes for a reference is found out here.
"""

from __future__ import annotations

from unittest import mock

import numpy as np

from singlab.kernel import gate, system
from singlab.kernel import layout as at
from singlab.kernel.native import native
from singlab.kernel.roots import LENGTH, OBJECT, StackMaps, roots
from singlab.machine import state as _s
from singlab.machine.hart import STOP_HERE, STOP_HOOK, hart_run
from singlab.machine.jit import jit

AT_POINT = 91
_W = np.uint64
_0, _1, _2 = _W(0), _W(1), _W(2)
_NEVER = _W((1 << 64) - 1)
_PC, _INSTRET, _PRECISE, _STOP = _s.PC, _s.INSTRET, _s.PRECISE, _s.STOP_INSTRET
_LIMIT, _TOP, _SIZE = 26, 27, 6
SPOILT = 0xA5


@jit("int64(uint64[::1], uint64[::1], uint64, uint64[::1], uint64)")
def run_to_point(m, uops, start, points, skip):
    """Run the hart, one instruction at a time, until it wants the kernel or is at a point (a mark for each word of code)."""
    m[_PRECISE] = _1
    while True:
        word = m[_PC] - start >> _2
        if skip == _0 and word < _W(len(points)) and points[word] != _0:
            reason = AT_POINT
            break
        skip = _0
        m[_STOP] = m[_INSTRET] + _1
        reason = hart_run(m, uops)
        if reason != STOP_HERE:
            break
    m[_PRECISE], m[_STOP] = _0, _NEVER
    return reason


class Wrong(AssertionError):
    """A map names something that is no reference, or the heap is not what the tables say."""


class Mover:
    """Moves a process's objects."""

    def __init__(self, process):
        self.process, self.machine = process, process._system.machine
        self.maps = StackMaps.of(process.installed.image)
        self.start, self.size = process._field(at.P_CODE), process._field(at.P_CODE_BYTES)
        self.collections = self.moved = 0

    def allocation_points(self) -> np.ndarray:
        """Return a mark for each word of code that stands behind a call of the routine that asks for room."""
        marks = np.zeros(self.size // 4, dtype=np.uint64)
        grow, load = self.process.installed.image.manifest.heap["grow"], self.machine.read
        for point in self.maps.points:
            word = int.from_bytes(load(self.start + point - 4, 4), "little")
            if word & 0xFFF == 0xEF:  # jal ra
                distance = (word >> 31 << 20 | (word >> 12 & 255) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 1023) << 1)
                distance -= (distance >> 20) << 21
                if point - 4 + distance == grow:
                    marks[point // 4] = 1
        return marks

    def pages(self) -> list[int]:
        tags = self.process._system.page_tags()
        return [at.RAM_BASE + int(page) * at.PAGE for page in np.nonzero(tags == (self.process.number << at.OWNER_SHIFT | at.TAG_HEAP))[0]]

    def row(self, address: int):
        number = self.machine.load_u64(address) & 0xFFFF_FFFF
        if not 1 <= number <= len(self.maps.types):
            raise Wrong(f"{address:#x} is no object: its header is {number:#x}")
        row = self.maps.types[number - 1]
        length = self.machine.load_u64(address + LENGTH) if row.kind != OBJECT else 0
        return row, length

    def collect(self) -> None:
        """Move everything, with the rights of the kernel."""
        m, mode = self.machine.m, int(self.machine.m[_s.MODE])
        m[_s.MODE] = _s.S
        self.move_all()
        m[_s.MODE] = mode

    def kernel(self, name: str, *words: int) -> int:
        """Call a function of the kernel as the host does."""
        with self.process._system._kernel():
            return int(getattr(native, name)(self.machine.m, *map(_W, words)))

    def move_all(self) -> None:
        old = self.pages()
        inside = set(old)
        m = self.machine
        wanted = int(m.m[_s.X + _SIZE])
        wanted = 512 + (wanted if wanted <= 1 << 16 else 0)  # what the allocation that goes on from here takes
        room = len(old) * at.PAGE + wanted
        count = -(-room // at.PAGE)
        base = self.kernel("process_pages_alloc", self.process.record, count, at.TAG_HEAP)
        assert base, f"no room for {count} pages to move {len(old)} to, after {self.collections}"
        m.write(base, bytes(count * at.PAGE))
        self.top, self.moved_to, self.todo = base, {}, []
        for root in list(roots(self.process)):
            to = self.move(root.value, inside, f"root {root}")
            if root.address:
                m.store_u64(root.address, to)
            else:
                m.m[_s.X + root.register] = to
        while self.todo:
            address = self.todo.pop()
            row, length = self.row(address)
            for place in row.references(length):
                m.store_u64(address + place, self.move(m.load_u64(address + place), inside, f"word {place} of {row}"))
        kept = -(-(self.top + wanted - base) // at.PAGE)
        if kept < count:
            self.kernel("process_pages_return", self.process.record, base + kept * at.PAGE, count - kept)
        m.m[_s.X + _TOP], m.m[_s.X + _LIMIT] = self.top, base + kept * at.PAGE
        for page in old:
            m.write(page, bytes([SPOILT]) * at.PAGE)
            self.kernel("process_pages_return", self.process.record, page, 1)
        self.collections += 1
        self.moved += len(self.moved_to)

    def move(self, address: int, inside: set[int], what: str) -> int:
        if address == 0 or self.start <= address < self.start + self.size:
            return address
        if address & 7 or address & -at.PAGE not in inside:
            raise Wrong(f"{what} is no reference: {address:#x}")
        if address not in self.moved_to:
            row, length = self.row(address)
            size = row.bytes(length)
            self.machine.write(self.top, bytes(self.machine.read(address, size)))
            self.moved_to[address] = self.top
            self.todo.append(self.top)
            self.top += size
        return self.moved_to[address]


def run_moving(machine_system, process, cycles: int, every: int = 1) -> Mover:
    """Run a system with one process whose objects move at every so many allocations; returns what moved them."""
    mover = Mover(process)
    marks = mover.allocation_points()
    state = {"skip": 0, "seen": 0}

    def run(m, uops):
        while True:
            reason = run_to_point(m, uops, _W(mover.start), marks, _W(state["skip"]))
            state["skip"] = 0
            if reason == STOP_HOOK:
                m[_PRECISE], m[_STOP] = _1, m[_INSTRET] + _1
                reason = gate.system_run(m, uops)
                m[_PRECISE], m[_STOP] = _0, _NEVER
                if reason == STOP_HERE:
                    continue
            if reason != AT_POINT:
                return reason
            state["skip"] = 1
            state["seen"] += 1
            if state["seen"] % every == 0:
                mover.collect()

    with mock.patch.object(system, "system_run", run):
        machine_system.run(cycles=cycles)
    return mover


