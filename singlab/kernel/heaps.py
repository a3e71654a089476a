"""Heaps of objects as the host sees them: which collector a process has, how its heap stands, whether an image's tables hold together.

What is said here is the operator's choice and costs no simulated cycles; everything else about heaps is kernel code
(:mod:`singlab.kernel.core.objectheaps`) and the runtime's (:mod:`singlab.runtime`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from singlab.kernel import heaplayout as hp
from singlab.kernel import kernelobjects as ko
from singlab.kernel import layout as at
from singlab.kernel.gate import mirror_current
from singlab.kernel.image import SealedImage
from singlab.kernel.manifest import InstallError
from singlab.kernel.native import native
from singlab.kernel.startup import KernelError
from singlab.machine import state as _s

_W = np.uint64
#: What can collect the kernel's own heap: the kernel has no write barrier.
KERNEL_COLLECTORS = ("none", "marksweep", "semispace", "compact")
CAUSES = {hp.CAUSE_LIMIT: "limit", hp.CAUSE_MEMORY: "memory", hp.CAUSE_FORCED: "forced", hp.CAUSE_STEP: "step", hp.CAUSE_POLICY: "policy"}


@dataclass(frozen=True)
class HeapState:
    """How a heap stands.

    Attributes
    ----------
    collector : str
    bytes : int
        Of its pages.
    limit, most : int
        Bytes beyond which there is a collection, and the most there can be (None: no bound).
    collections : int
        Of a concurrent collector every step counts.
    cause : str
        Of the last one: "limit", "memory", "forced", "step", "policy"; empty if there was none.
    roots, live, moved, freed : int
        Of the last one: how many roots, and bytes.
    cycles, longest : int
        Of all collections, and of the longest.
    active : str
        What collects it now: another than ``collector`` if that is adaptive.
    """

    collector: str
    bytes: int
    limit: int
    most: int | None
    collections: int
    cause: str
    roots: int
    live: int
    moved: int
    freed: int
    cycles: int
    longest: int
    active: str


def collector_number(name: str) -> int:
    """Return the number of a collector; raises KernelError if there is none of that name."""
    if name not in hp.COLLECTORS[1:]:
        raise KernelError(f"collector {name!r:.40} is not known; choose one of {', '.join(hp.COLLECTORS[1:])}")
    return hp.COLLECTORS.index(name)


class Collected:
    """The part of a system that says what collects heaps."""

    def _choose_collectors(self, collector: str, every: bool | str, kernel: str, kernel_every: bool) -> None:
        if kernel not in KERNEL_COLLECTORS:
            raise KernelError(f"the kernel's heap cannot have collector {kernel!r:.40}; choose one of {', '.join(KERNEL_COLLECTORS)}")
        for field in (hp.Z_COLLECTOR, hp.Z_ACTIVE):
            self._store(at.KERNEL_HEAP + field, hp.COLLECTORS.index(kernel))
        self.kernel_collect_every = kernel_every
        if collector in hp.WITH_BARRIER:
            raise KernelError(f'the {collector} collector needs a write barrier in the program: build it with @sip(collector="{collector}")')
        self._store(at.G_COLLECTOR, collector_number(collector))
        self.collect_every = every

    def _choose_collector(self, process, collector: str | None, heap_bytes: int | None) -> None:
        """Let a process that has not started have another collector, or bound, than its manifest says."""
        if heap_bytes is not None:
            if not hp.SMALLEST_HEAP <= heap_bytes < 1 << 40:
                raise KernelError(f"{process.name}: a heap of {heap_bytes} bytes cannot be; it has at least {hp.SMALLEST_HEAP} bytes, a page")
            self._store(process.record + at.P_HEAP_MOST, heap_bytes)
        if collector is not None:
            if collector in hp.WITH_BARRIER and not process.installed.image.manifest.heap.get("barrier", 1):
                raise KernelError(f"{process.name}: its code has no write barrier, which the {collector} collector needs: "
                                  f'build it with @sip(collector="{collector}")')  # fmt: skip
            self._store(process.record + at.P_COLLECTOR, collector_number(collector))

    @property
    def collect_every(self) -> bool | str:
        """Whether there is a collection whenever a program makes an object, or "call": and behind every call of the kernel; it can be set between two runs."""
        every = self._load(at.G_COLLECT_EVERY)
        return "call" if every == at.COLLECT_AT_CALLS else bool(every)

    @collect_every.setter
    def collect_every(self, every: bool | str) -> None:
        if every not in (False, True, "call"):
            raise KernelError(f'collect_every is {every!r:.40}; choose False, True (at every allocation) or "call" (behind every call of the kernel, too)')
        self._store(at.G_COLLECT_EVERY, at.COLLECT_AT_CALLS if every == "call" else int(every))

    @property
    def kernel_collect_every(self) -> bool:
        """Whether there is a collection of the kernel's heap whenever the kernel has made an object; it can be set between two runs."""
        return bool(self._load(at.G_KERNEL_EVERY))

    @kernel_collect_every.setter
    def kernel_collect_every(self, every: bool) -> None:
        self._store(at.G_KERNEL_EVERY, int(every))

    @property
    def kernel_heap(self) -> HeapState:
        """How the kernel's own heap stands."""
        return self._heap_state(at.KERNEL_HEAP)

    def heap(self, process) -> HeapState | None:
        """Return how the heap of a process stands; None if it has no collector, has made no objects yet, or has ended.

        ``"kernel"`` for a process is the kernel.
        """
        if process == "kernel":
            return self.kernel_heap
        heap = process._field(at.P_OBJECT_HEAP) if process.state != "stopped" else 0
        return self._heap_state(heap) if heap else None

    def collect_kernel(self) -> HeapState:
        """Let the kernel collect its own heap now, as its thread would in its next turn; returns how it stands then."""
        self._leave_kernel()
        with self._kernel():
            self._m[_s.CURRENT_THREAD], self._m[_s.CURRENT_PROCESS] = at.SERVICE_NUMBER, at.KERNEL_OWNER
            native.kernel_collect(self._m, _W(self._load(at.G_KERNEL_DUE) or hp.CAUSE_FORCED))
        mirror_current(self._m)
        return self.kernel_heap

    def _kernel_text(self, text: int) -> str:
        """Return a text of the kernel's heap; 0 is none."""
        return bytes(self.machine.read(text + ko.TX_BYTES, self._load(text + ko.TX_LENGTH))).decode() if text else ""

    def _heap_state(self, heap: int) -> HeapState:
        field = lambda offset: self._load(heap + offset)  # noqa: E731
        most = field(hp.Z_MOST)
        return HeapState(
            hp.COLLECTORS[field(hp.Z_COLLECTOR)], field(hp.Z_BYTES), field(hp.Z_LIMIT), None if most == at.NEVER else most, field(hp.Z_COUNT),
            CAUSES.get(field(hp.Z_CAUSE), ""), *(field(offset) for offset in (hp.Z_ROOTS, hp.Z_LIVE, hp.Z_MOVED, hp.Z_FREED, hp.Z_CYCLES, hp.Z_LONGEST)),
            hp.COLLECTORS[field(hp.Z_ACTIVE)],
        )  # fmt: skip


def check_heap(image: SealedImage) -> None:
    """Refuse an image whose type table or stack maps reach outside its code or their frames, or whose collector is unknown.

    Nothing can be said here about whether a map is right; but what is wrong in it stays within the process.
    """
    manifest = image.manifest
    again = "Build it again from its source."
    if manifest.collector not in hp.COLLECTORS:
        raise InstallError(f"{image.name}: asks for collector {manifest.collector!r:.40}; there are {', '.join(hp.COLLECTORS[1:])}.")
    if manifest.heap_bytes and not hp.SMALLEST_HEAP <= manifest.heap_bytes < 1 << 40:
        raise InstallError(f"{image.name}: a heap of {manifest.heap_bytes} bytes cannot be; it has at least {hp.SMALLEST_HEAP} bytes, a page.")
    if manifest.heap and not _tables_hold(manifest.heap, image.code):
        raise InstallError(f"{image.name}: its tables of types and stack maps do not hold together. {again}")
    if manifest.heap and manifest.collector in hp.WITH_BARRIER and not manifest.heap["barrier"]:
        raise InstallError(f"{image.name}: its code has no write barrier, which the {manifest.collector} collector needs. {again}")


def _tables_hold(heap: dict[str, int], code: bytes) -> bool:
    if set(heap) != {"types", "type_count", "maps", "grow", "barrier"}:
        return False
    types, count, where = heap["types"], heap["type_count"], heap["maps"]
    if types < 0 or types % 8 or not 0 < count <= 1 << 20 or types + 16 * count > len(code) or where % 8 or not 0 <= where <= len(code) - 12:
        return False
    for index in range(count):
        kind, power, inside, words, parent, mask = struct.unpack_from("<BBBBIQ", code, types + 16 * index)
        if kind not in (1, 2, 3) or power > 3 or (inside and (kind != 2 or power != 3)) or parent > count or (kind == 1 and (not words or mask >> words or mask & 1 or inside)) or (kind != 1 and mask):
            return False
    functions, points, _ = struct.unpack_from("<III", code, where)
    rows = where + 12
    first = rows + 16 * functions + 8 * points
    if functions > len(code) or points > len(code) or first > len(code):
        return False
    frames, before = [], 0
    for index in range(functions):
        start, end, size, kept, mask = struct.unpack_from("<IIHHI", code, rows + 16 * index)
        if not before <= start <= end <= len(code) or size % 8 or kept % 8 or (mask and kept + 8 * mask.bit_count() > size):
            return False
        frames.append((start, end, size))
        before = end
    before, frame = -1, 0
    for index in range(points):
        point, place = struct.unpack_from("<II", code, rows + 16 * functions + 8 * index)
        if point <= before or place % 4 or first + place + 8 > len(code):
            return False
        before = point
        registers, words = struct.unpack_from("<II", code, first + place)
        if registers & ~0x0FFC_0300 or first + place + 8 + 4 * words > len(code):
            return False
        while frame < len(frames) and frames[frame][1] < point:
            frame += 1
        inside = frames[frame][2] if frame < len(frames) and frames[frame][0] < point else 0
        if any(8 * word + 8 > inside for word in struct.unpack_from(f"<{words}I", code, first + place + 8)):
            return False
    return True
