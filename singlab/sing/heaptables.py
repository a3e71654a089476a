"""What an image says about its objects: type rows, constant text, and stack maps.

They are read-only data behind the code, and position-independent. Everything is little-endian::

    type table    a row of 16 bytes for each type, numbered from 1:
                  u8 kind (1 object, 2 array, 3 text), u8 log2 of an element's size, u8 1 if elements are references, u8 an object's words,
                  u32 number of the class it inherits from (0 none), u64 an object's words that are references, a bit each
                  (bit 0 is the header's word)
    stack maps    u32 functions, u32 points, u32 distinct maps
                  functions: u32 first byte of code, u32 behind the last, u16 bytes of the frame, u16 where in it the registers
                  are kept, u32 which ones, a bit each; they lie in ascending order, 8 bytes each
                  points, ascending: u32 return address as byte offset in the code, u32 byte offset of its map from the first one on
                  maps: u32 preserved registers that hold references, a bit each, u32 n, n times u32 number of a word of the
                  frame that holds one

A point is a place where a thread can stop in a known state: behind each call and each ABI call. What a function
keeps in preserved registers over a call is in these or in the frame of a function below it that uses them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from singlab.sing.heapcode import GROW, GROW_FRAME, GROW_KEEPS, REMEMBER, REMEMBER_FRAME, element_power
from singlab.sing.sil import Module, Reg
from singlab.sing.sil_classes import fields, numbers
from singlab.sing.types import STR, Array, Object, Reference, Type

OBJECT, ARRAY, TEXT = 1, 2, 3
ROW = 16


@dataclass
class Late:
    """Data of known size whose bytes follow from where the labels come to lie."""

    size: int
    make: Callable[[dict[str, int]], bytes]

    def __len__(self) -> int:
        return self.size


class HeapTables:
    """Collects, while code is generated, what a module's objects need beside it."""

    def __init__(self, module: Module):
        self.module = module
        self.classes = numbers(module)
        self.rows: list[Type] = []
        self.data: dict[str, bytes | Late] = {}
        self.strings: dict[bytes, str] = {}
        #: (name of the function, bytes of its frame, where registers are kept, which)
        self.frames: list[tuple[str, str, int, int, list[int]]] = []
        #: (the call's item, registers, words of the frame that hold references behind it)
        self.points: list[tuple[object, int, tuple[int, ...]]] = []

    def number(self, type_: Type) -> int:
        """Return the number of a type of objects."""
        if isinstance(type_, Object):
            return self.classes[type_.cls][0]
        type_ = type_.certain
        if type_ not in self.rows:
            self.rows.append(type_)
        return 1 + len(self.classes) + self.rows.index(type_)

    @property
    def count(self) -> int:
        """How many types there are."""
        return len(self.classes) + len(self.rows)

    def string(self, content: bytes) -> str:
        """Return the label of a constant text."""
        label = self.strings.setdefault(content, f".S{len(self.strings)}")
        if label not in self.data:
            self.data[label] = struct.pack("<QQ", self.number(STR), len(content)) + content
        return label

    def types(self) -> bytes:
        """Return the type table."""
        rows = []
        for name in self.classes:
            own = fields(self.module, name)
            mask = sum(2 << place for place, type_ in enumerate(own.values()) if isinstance(type_, Reference))
            parent = self.module.classes[name].parent
            rows.append(struct.pack("<BBBBIQ", OBJECT, 3, 0, 1 + len(own), self.classes[parent][0] if parent is not None else 0, mask))
        for type_ in self.rows:
            array = isinstance(type_, Array)
            power = element_power(type_.element) if array else 0
            inside = array and isinstance(type_.element, Reference)
            rows.append(struct.pack("<BBBBIQ", ARRAY if array else TEXT, power, inside, 0, 0, 0))
        return b"".join(rows)

    def function(self, name: str, end: str, frame: int, kept: int, saved: list[int]) -> None:
        """Note how a function keeps the registers of its caller."""
        self.frames.append((name, end, frame, kept, saved))

    def stack_maps(self) -> Late:
        """Return the stack maps."""
        distinct: dict[tuple[int, tuple[int, ...]], int] = {}
        where = 0
        for _, registers, words in self.points:
            if (registers, words) not in distinct:
                distinct[registers, words] = where
                where += 8 + 4 * len(words)
        pool = b"".join(struct.pack(f"<II{len(words)}I", registers, len(words), *words) for registers, words in distinct)
        size = 12 + 16 * len(self.frames) + 8 * len(self.points) + len(pool)

        def make(labels: dict[str, int]) -> bytes:
            out = [struct.pack("<III", len(self.frames), len(self.points), len(distinct))]
            for name, end, frame, kept, saved in self.frames:
                out.append(struct.pack("<IIHHI", labels[name], labels[end], frame, kept, sum(1 << r for r in saved)))
            rows = sorted((item.offset + item.size, distinct[registers, words]) for item, registers, words in self.points)
            out += [struct.pack("<II", *row) for row in rows]
            return b"".join(out) + pool

        return Late(size, make)

    def finish(self, barrier: bool = False) -> dict[str, bytes | Late]:
        """Return all data, by label."""
        self.function(GROW, ".grow.end", GROW_FRAME, 0, list(GROW_KEEPS))
        if barrier:
            self.function(REMEMBER, ".remember.end", REMEMBER_FRAME, 0, [1])
        return {**self.data, ".types": self.types(), ".maps": self.stack_maps()}


def references(regs: set[Reg]) -> list[Reg]:
    """Return the registers that hold references."""
    return [reg for reg in regs if isinstance(reg.type, Reference)]


