"""Pictures of heaps as they stand: a process's, and the kernel's own.

A picture is read out of simulated memory between two instructions, and costs no simulated cycle. What a word of an object means is
said by a table of types: the image's for a process, the sealed kernel's for the kernel. The kernel's roots are in a table too, so
its picture has them; a process's are known where its threads stand at points, which a film has.

What it leaves out: what objects hold besides references, but for the texts of the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from singlab.kernel import System
from singlab.kernel import heaplayout as hp
from singlab.kernel import kernelobjects as ko
from singlab.kernel import layout as at
from singlab.kernel.heaps import HeapState
from singlab.kernel.process import Process
from singlab.kernel.roots import OBJECT, TEXT, StackMaps, TypeRow
from singlab.kernel.startup import KernelError
from singlab.sing import Program, compile_program
from singlab.sing.sil_classes import numbers
from singlab.trace.heapfilm import OBJECT as RECORD
from singlab.trace.heapfilm import HeapPicture, Root, Space

KERNEL = "the kernel"
_REGISTERS = ["zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"]
_ELEMENTS = ("bytes", "2-byte numbers", "4-byte numbers", "words")


@dataclass(frozen=True)
class Heap:
    """A heap to look at: of which ``system``, its ``record``, whose it is (``name``, ``number``), and the types of its objects."""

    system: System
    record: int
    name: str
    number: int
    rows: tuple[TypeRow, ...]
    types: tuple[str, ...]

    def load(self, offset: int) -> int:
        """Return a word of its record."""
        return self.system._load(self.record + offset)

    @property
    def collector(self) -> str:
        """What collects it now."""
        return hp.COLLECTORS[self.load(hp.Z_ACTIVE)]


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


def find_heap(whose: Process | System, program: Program | None = None) -> Heap:
    """Return the heap of a process, or the kernel's own of a system.

    Raises
    ------
    KernelError
        If there is none: no collector, no objects yet, or no process any more.
    TypeError
        If it is neither a process nor a system.
    """
    if isinstance(whose, System):
        table = whose.machine.read(at.KERNEL_TABLES, ko.ROOTS_AT)
        rows = tuple(TypeRow(kind, power, bool(inside), words, parent, mask)
                     for kind, power, inside, words, parent, mask in struct.iter_unpack("<BBBBIQ", table))  # fmt: skip
        return Heap(whose, at.KERNEL_HEAP, KERNEL, at.KERNEL_OWNER, rows, ("free", *(name for name, *_ in ko.TYPES)))
    if isinstance(whose, HeapState):
        raise TypeError("a HeapState says how a heap stands, not what lies in it; give the process, or for the kernel's own heap the system: heap_picture(system)")
    if not isinstance(whose, Process):
        raise TypeError(f"give a process, or a system for its kernel's own heap, not {type(whose).__name__}")
    record = whose._field(at.P_OBJECT_HEAP) if whose.state != "stopped" else 0
    maps = StackMaps.of(whose.installed.image)
    if not record or maps is None:
        raise KernelError(f"{whose.name} has no heap to look at: it has no collector, has made no objects yet, or has ended")
    return Heap(whose._system, record, whose.name, whose.number, maps.types, _type_names(maps.types, program))


@dataclass
class Contents:
    """What lies in a heap at a moment.

    Attributes
    ----------
    spaces : list of Space
    objects : list of tuple
        As the fields of ``singlab.trace.heapfilm.OBJECT``, by address.
    references : dict
        The words of each object, by its address, that may refer to another one.
    uppers : dict
        The upper half of each object's header.
    free : list of tuple
        Address and bytes of each free run.
    """

    spaces: list[Space] = field(default_factory=list)
    objects: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    references: dict[int, list[int]] = field(default_factory=dict)
    uppers: dict[int, int] = field(default_factory=dict)
    free: list[tuple[int, int]] = field(default_factory=list)


def contents(heap: Heap) -> Contents:
    """Return what lies in a heap; raises KernelError if something in it is no object."""
    load, collector, found = heap.system._load, heap.collector, Contents()
    for old, head in enumerate((hp.Z_EXTENTS, hp.Z_OLD)[: 1 + (collector == "generational")]):
        extent, count = heap.load(head), 0
        while extent:
            start, end, top = (load(extent + offset) for offset in (hp.X_START, hp.X_END, hp.X_TOP))
            count += 1
            kind = {"semispace": "from-space", "generational": "old" if old else "young"}.get(collector, "extent")
            found.spaces.append(Space(f"{kind} {count}" if count > 1 or load(extent + hp.X_NEXT) else kind, start, end))
            words = np.frombuffer(heap.system.machine.read(start, top - start), "<u8").tolist()
            place = 0
            while place < len(words):
                header, address = words[place], start + 8 * place
                if header & 0xFFFF_FFFF == 0:  # not used yet; or a free run, which says how large it is
                    size = max(8, header >> 32 << 3)
                    if size > 8:
                        found.free.append((address, size))
                else:
                    number, upper = header & 0xFFFF_FFFF, header >> 32
                    row = heap.rows[number - 1] if number <= len(heap.rows) else None
                    length = words[place + 1] if row and row.kind != OBJECT and place + 1 < len(words) else 0
                    size = row.bytes(length) if row else 0
                    if not 0 < size <= 8 * (len(words) - place):
                        raise KernelError(f"what lies at {address:#x} in the heap of {heap.name} is no object")
                    age = upper >> hp.AGE_SHIFT - 32 & hp.OLDEST if collector == "generational" and not old else old
                    found.objects.append((address, size, number, age, old and upper not in (0, hp.OLD >> 32)))
                    found.references[address] = [words[place + offset // 8] for offset in row.references(length)]
                    found.uppers[address] = upper
                place += size // 8
            extent = load(extent + hp.X_NEXT)
    found.objects.sort()
    found.free.sort()
    found.spaces.sort(key=lambda space: space.start)
    return found


def picture_of(heap: Heap) -> HeapPicture:
    """Return the picture of a heap; of the kernel's with its roots and what its texts say."""
    here = contents(heap)
    objects = np.array(here.objects, RECORD)
    index = {int(address): n for n, address in enumerate(objects["address"])}
    edges = sorted((index[source], index[target]) for source, targets in here.references.items() for target in targets if target in index)
    kernel = heap.record == at.KERNEL_HEAP
    roots = tuple(root for _, root in kernel_roots(heap.system) if root.target in index) if kernel else ()
    texts = {address for address, _, number, _, _ in here.objects if number == ko.TEXT}
    said = tuple(_said(heap, address, texts) for address in index) if kernel else ()
    return HeapPicture(heap.name, heap.collector, objects, np.array(edges, np.int32).reshape(-1, 2), roots, heap.types,
                       tuple(here.spaces), np.array(here.free, np.uint64).reshape(-1, 2), said)  # fmt: skip


def heap_picture(whose: Process | System, program: Program | None = None) -> HeapPicture:
    """Return a heap as it stands: of a process, without roots (a :func:`collection_film` has those); or the kernel's own of a system.

    Parameters
    ----------
    whose : Process or System
    program : Program, optional
        What a process's image was built of, for the names of its classes.

    Raises
    ------
    KernelError
        If a process has no heap: no collector, no objects yet, or no process any more; or if the kernel's is empty.
    """
    picture = picture_of(find_heap(whose, program))
    if isinstance(whose, System) and not len(picture):
        raise KernelError("the kernel's heap is empty: there are objects in it while there are processes, whose principals they are, or names that somebody provides")
    return picture


def kernel_roots(system: System) -> Iterator[tuple[int, Root]]:
    """Yield where each root of the kernel's heap is and what it is, as the sealed kernel's table says."""
    load, row = system._load, at.KERNEL_TABLES + ko.ROOTS_AT
    processes = {process.record: process for process in system.processes if process.state != "stopped"}
    while (head := load(row + ko.RT_HEAD)) != 0:
        link, offset = load(row + ko.RT_LINK), load(row + ko.RT_FIELD)
        row += ko.ROOT_BYTES
        if link == ko.NO_LIST:
            yield head, Root("names" if head == at.G_NAMES else f"{head:#x}", "word of the kernel", load(head))
            continue
        record = load(head)
        while record:
            owner = processes.get(record)
            yield record + offset, Root(f"{owner.name} {owner.number}" if owner else f"{record:#x}", "record of a process", load(record + offset))
            record = load(record + link)


def stack_root(process: Process, slot: int) -> Root:
    """Return what a root of a process is, by where the kernel finds it: a register that is kept in a thread's record, or a word of a stack."""
    load, window = process._system._load, process._system._load(at.G_WINDOW)
    threads = process.threads()
    home = next((thread for thread in threads if thread <= slot < thread + at.THREAD_BYTES), None)
    if home is None:
        return Root(f"{slot - window:#x}", "stack", load(slot - window))
    which = f" of thread {threads.index(home) + 1}" if len(threads) > 1 else ""
    return Root(f"{_REGISTERS[(slot - home - at.T_CONTEXT) // 8]}{which}", "register", load(slot))


def _said(heap: Heap, address: int, texts: set[int]) -> str:
    """Return what an object of the kernel's heap says: a text itself, a name its text."""
    text = address if address in texts else heap.system._load(address + ko.N_TEXT)
    return heap.system._kernel_text(text) if text in texts else ""


__all__ = ["contents", "find_heap", "heap_picture", "kernel_roots", "picture_of", "stack_root"]
