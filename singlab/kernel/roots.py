"""Roots: where on its stack and in its registers a stopped process holds references to its own objects.

An image of a program that makes objects has stack maps (``singlab.sing.heaptables`` writes them, and says how
they lie in the image). They are exact at points, which are the places behind calls and ABI calls: there a thread
stands when it waits, when it asks for room, and, in every function below the top one, always. The walk goes
from the top function down; a preserved register that a function keeps is its caller's from there on. Where a function
returns to the code that unlinks a segment of the stack, the walk goes on in the segment before, as that segment's record says.

What it leaves out: threads stopped by an interrupt between two points, of which no map says anything.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singlab.kernel import layout as at
from singlab.kernel.image import SealedImage
from singlab.kernel.stackview import segments_of
from singlab.machine import state as _s

if TYPE_CHECKING:
    from singlab.kernel.process import Process

_RA, _SP = 1, 2
OBJECT, ARRAY, TEXT = 1, 2, 3
#: Byte offsets in an object: its header, and in arrays and text the length and the first element.
HEADER, LENGTH, ELEMENTS = 0, 8, 16


class NoMap(Exception):
    """A thread stands where no stack map says what it holds."""


@dataclass(frozen=True)
class TypeRow:
    """What an image says about one type of objects: see ``singlab.sing.heaptables``."""

    kind: int
    power: int
    inside: bool
    words: int
    parent: int
    mask: int

    def bytes(self, length: int) -> int:
        """Return how large an object of this type is; ``length`` is that of an array or text."""
        if self.kind == OBJECT:
            return 8 * self.words
        return ELEMENTS + -(-(length << self.power) // 8) * 8

    def references(self, length: int) -> range | list[int]:
        """Return the byte offsets of the references in an object of this type."""
        if self.kind == OBJECT:
            return [8 * word for word in range(1, self.words) if self.mask >> word & 1]
        return range(ELEMENTS, ELEMENTS + 8 * length, 8) if self.inside else []


@dataclass(frozen=True)
class Frame:
    """How one function keeps its caller's registers: code from ``start`` to ``end``, in bytes of the image."""

    start: int
    end: int
    bytes: int
    kept: int
    registers: tuple[int, ...]


@dataclass(frozen=True)
class StackMaps:
    """The tables of one image, read."""

    types: tuple[TypeRow, ...]
    frames: tuple[Frame, ...]
    points: dict[int, tuple[tuple[int, ...], tuple[int, ...]]]

    @classmethod
    def of(cls, image: SealedImage) -> StackMaps | None:
        """Read an image's tables; None if its program makes no objects."""
        about, code = image.manifest.heap, image.code
        if not about:
            return None
        rows = (struct.unpack_from("<BBBBIQ", code, about["types"] + 16 * i) for i in range(about["type_count"]))
        types = tuple(TypeRow(kind, power, bool(inside), words, parent, mask) for kind, power, inside, words, parent, mask in rows)
        where = about["maps"]
        functions, points, distinct = struct.unpack_from("<III", code, where)
        where += 12
        frames = []
        for _ in range(functions):
            start, end, size, kept, mask = struct.unpack_from("<IIHHI", code, where)
            frames.append(Frame(start, end, size, kept, _bits(mask)))
            where += 16
        pairs = [struct.unpack_from("<II", code, where + 8 * i) for i in range(points)]
        first = where = where + 8 * points
        maps = {}
        for _ in range(distinct):
            registers, count = struct.unpack_from("<II", code, where)
            maps[where - first] = _bits(registers), struct.unpack_from(f"<{count}I", code, where + 8)
            where += 8 + 4 * count
        return cls(types, tuple(sorted(frames, key=lambda f: f.start)), {point: maps[place] for point, place in pairs})

    def frame(self, offset: int) -> Frame | None:
        """Return the function whose call returns to a byte of the code; None in the code that starts and ends the process."""
        index = bisect_right([f.start for f in self.frames], offset - 4) - 1
        return self.frames[index] if index >= 0 and offset - 4 < self.frames[index].end else None


def _bits(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


@dataclass(frozen=True)
class Root:
    """A place that holds a reference, or None: a register of the thread, or a word of its stack.

    Attributes
    ----------
    register : int or None
        The machine register, or None for a word of the stack.
    address : int
        Where the word lies in memory; 0 for a register of the thread that runs now.
    value : int
        Address of the object, 0 for None; constant text lies in the image.
    point : int
        The return address, as a byte offset in the image, whose map says so.
    """

    register: int | None
    address: int
    value: int
    point: int


class Thread:
    """The registers of a process's thread, wherever they are: in the hart while it runs, else in its record."""

    def __init__(self, process: Process):
        self.machine = process._system.machine
        self.record = process._field(at.P_THREADS)
        self.runs = self.machine.load_u64(at.G_CURRENT) == self.record

    def place(self, register: int) -> int:
        """Return the address of a register's word, 0 in the hart."""
        return 0 if self.runs else self.record + at.T_CONTEXT + 8 * register

    def read(self, register: int, address: int) -> int:
        return self.machine.load_u64(address) if address else int(self.machine.m[_s.X + register])

    @property
    def pc(self) -> int:
        return int(self.machine.m[_s.PC]) if self.runs else self.machine.load_u64(self.record + at.T_PC)


def roots(process: Process) -> Iterator[Root]:
    """Yield every place in which a process that stands at a point holds a reference.

    Raises
    ------
    NoMap
        If it stands, or a function of it would return, where there is no map.
    """
    image = process.installed.image
    maps = StackMaps.of(image)
    if maps is None or not process._field(at.P_THREADS):
        return
    thread, code = Thread(process), process._field(at.P_CODE)
    places = {register: thread.place(register) for register in range(32)}
    offset, stack = thread.pc - code, thread.read(_SP, thread.place(_SP))
    unlink, segments = image.manifest.unlink, iter(segments_of(process, thread.record))
    while (frame := maps.frame(offset)) is not None:
        if offset not in maps.points:
            raise NoMap(f"{process.name} stands at byte {offset} of its code, which no stack map knows")
        registers, words = maps.points[offset]
        for register in registers:
            yield Root(register, places[register], thread.read(register, places[register]), offset)
        for word in words:
            address = stack + 8 * word
            yield Root(None, address, thread.machine.load_u64(address), offset)
        for index, register in enumerate(frame.registers):
            places[register] = stack + frame.kept + 8 * index
        offset = thread.read(_RA, places[_RA]) - code
        stack += frame.bytes
        if unlink and offset == unlink and (segment := next(segments, None)) is not None:
            offset, stack = segment.back - code, segment.link
