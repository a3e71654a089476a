"""A heap of one process, with roots, types and neighbours, and a program that works on it: exercise 07.

The program keeps a shadow: its own idea of all objects, in Python. It asks a student's ``allocate`` for room, makes objects,
changes references, forgets; and after every collection it compares what roots lead to with the shadow, object by object.
The layout is that of the lab's own heaps: a header word with the number of a type, whose row says which words are
references. Leaves out threads, and whatever a collector does while the program runs.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from singlab.grading.kernelcode import DATA, Words
from singlab.trace.heapfilm import OBJECT, HeapPicture, Root, Space

HEAP_BYTES = 0x2000
_HEAP = DATA + 0x4000
_SCRATCH = DATA + 0x1000
_BLOCKS, _BLOCK_BYTES = DATA + 0x6000, 0x800
WORDS = 0x7000 // 8
REGISTERS, FRAMES, SLOTS = 12, 5, 4
_FRAME_AREA = DATA + 0x400

#: The names a student's functions may use.
LAYOUT = {
    "G_STATE": DATA, "STATE_WORDS": 8,
    "G_REGISTER_MAP": DATA + 0x40, "G_FRAME": DATA + 0x48, "G_REGISTERS": DATA + 0x80, "REGISTERS": REGISTERS,
    "F_CALLER": 0, "F_COUNT": 8, "F_MAP": 16, "F_SLOTS": 24,
    "TYPES": DATA + 0x200, "Y_KIND": 0, "Y_BYTES": 8, "Y_MAP": 16, "TYPE_BYTES": 32, "OBJECT": 0, "NUMBERS": 1, "REFERENCES": 2,
    "O_HEADER": 0, "A_LENGTH": 8, "A_ELEMENTS": 16,
    "SCRATCH": _SCRATCH, "SCRATCH_WORDS": HEAP_BYTES // 16, "HEAP_START": _HEAP, "HEAP_END": _HEAP + HEAP_BYTES,
}  # fmt: skip
L = LAYOUT


@dataclass(frozen=True)
class Kind:
    """A type: its name, what it is (OBJECT, NUMBERS, REFERENCES), words with the header, and which words are references."""

    name: str
    kind: int
    words: int
    map: int


KINDS = (
    Kind("Pair", L["OBJECT"], 3, 0b110),
    Kind("Leaf", L["OBJECT"], 2, 0),
    Kind("Node", L["OBJECT"], 5, 0b01010),
    Kind("Buffer", L["OBJECT"], 4, 0b1000),  # the words before the reference: a number, and where a block lies
    Kind("Array[u64]", L["NUMBERS"], 2, 0),
    Kind("Array[Any]", L["REFERENCES"], 2, 0),
)
_BUFFER, _NUMBERS, _REFERENCES = 3, 4, 5


@dataclass
class Thing:
    """An object as the program knows it: its type, and its words after the header; references are things or None."""

    kind: int
    words: list

    @property
    def bytes(self) -> int:
        return 8 * (len(self.words) + 1)

    def is_reference(self, word: int) -> bool:
        """Whether the word with this number, from 1, is a reference."""
        known = KINDS[self.kind]
        return word > 1 if known.kind == L["REFERENCES"] else bool(known.map >> word & 1)

    def follow(self) -> list[Thing]:
        """Return what it refers to."""
        return [w for n, w in enumerate(self.words, 1) if self.is_reference(n) and w is not None]


class Wrong(Exception):
    """What is wrong with a heap: a key of the exercise's list, and what more there is to say."""

    def __init__(self, key: str, about: str = ""):
        super().__init__(key)
        self.key, self.about = key, about


class Heap(Words):
    """All memory of the exercise: the collector's own words, roots, types, room to scribble, the heap, and others' blocks."""

    size = WORDS

    def object_bytes(self, address: int) -> int:
        """Return the bytes of the object at an address; raises Wrong if there can be none."""
        kind = self.get(address) & 0xFFFF_FFFF
        if kind >= len(KINDS):
            raise Wrong("header", f"at {address:#x} is no type's number")
        known = KINDS[kind]
        if known.kind == L["OBJECT"]:
            return 8 * known.words
        return 16 + 8 * min(self.get(address + 8), HEAP_BYTES)

    def roots(self) -> list[tuple[str, int]]:
        """Return the places of all roots, with their names."""
        found = [(f"s{n}", L["G_REGISTERS"] + 8 * n) for n in range(REGISTERS) if self.get(L["G_REGISTER_MAP"]) >> n & 1]
        frame, number = self.get(L["G_FRAME"]), 0
        while frame and number <= FRAMES:
            found += [(f"frame {number} slot {n}", frame + L["F_SLOTS"] + 8 * n) for n in range(self.get(frame + L["F_COUNT"]))
                      if self.get(frame + L["F_MAP"]) >> n & 1]  # fmt: skip
            frame, number = self.get(frame + L["F_CALLER"]), number + 1
        return found

    def references(self, address: int) -> list[int]:
        """Return the places of an object's references."""
        known = KINDS[self.get(address) & 0xFFFF_FFFF]
        if known.kind == L["REFERENCES"]:
            return [address + 16 + 8 * n for n in range(self.get(address + 8))]
        return [address + 8 * n for n in range(1, known.words) if known.map >> n & 1]

    def reached(self) -> list[int]:
        """Return the addresses of all objects that roots lead to, in order."""
        todo, found = [self.get(place) for _, place in self.roots()], set()
        while todo:
            address = todo.pop()
            if address and address not in found and L["HEAP_START"] <= address < L["HEAP_END"] and address % 8 == 0:
                found.add(address)
                self.object_bytes(address)
                todo += [self.get(place) for place in self.references(address)]
        return sorted(found)

    def picture(self) -> HeapPicture:
        """Return the heap as a picture, of what roots lead to; show it with ``HeapView``."""
        there = self.reached()
        place = {address: n for n, address in enumerate(there)}
        objects = np.array([(a, self.object_bytes(a), self.get(a) & 0xFFFF_FFFF, 0, 0) for a in there], OBJECT)
        edges = [(place[a], place[self.get(p)]) for a in there for p in self.references(a) if self.get(p) in place]
        roots = tuple(Root(name, "register" if name[0] == "s" else "stack", self.get(at)) for name, at in self.roots() if self.get(at) in place)
        return HeapPicture("exercise 07", "yours", objects, np.array(edges, np.int32).reshape(-1, 2), roots,
                           tuple(kind.name for kind in KINDS), (Space("heap", L["HEAP_START"], L["HEAP_END"]),))  # fmt: skip

    def __repr__(self) -> str:
        """Return roots and reachable objects, a line each."""
        try:
            there = self.reached()
        except Wrong as error:
            return f"The heap is broken: {error.about}."
        lines = [f"{name}: {self.get(place):#x}" if self.get(place) else f"{name}: None" for name, place in self.roots()]
        for address in there:
            refers = [f"{self.get(place):#x}" if self.get(place) else "None" for place in self.references(address)]
            lines.append(f"{address:#x}: {KINDS[self.get(address) & 0xFFFF_FFFF].name}, {self.object_bytes(address)} bytes" + (", refers to " if refers else "") + ", ".join(refers))
        used = sum(map(self.object_bytes, there))
        return "\n".join([*lines, f"{len(there)} objects, {used:,} of {HEAP_BYTES:,} bytes"])


@dataclass
class Program:
    """A program that allocates, and what it believes its heap to be.

    Parameters
    ----------
    seed : int
    most : int
        Bytes of reachable objects it keeps below.

    Attributes
    ----------
    heap : Heap
        Memory as it is; the bed's own words while a student's functions are called.
    things : list of Thing or None
        What each root place should refer to.
    """

    seed: int
    most: int = HEAP_BYTES * 3 // 8
    heap: Heap = field(default_factory=Heap)

    def __post_init__(self):
        self.rng = rng = random.Random(self.seed)
        put = self.heap.put
        for offset in range(0, WORDS * 8, 8):
            put(DATA + offset, 0xFEED_0000_0000_0000 | offset)
        for n in range(L["STATE_WORDS"]):
            put(L["G_STATE"] + 8 * n, 0)
        for offset in range(0, HEAP_BYTES, 8):
            put(_HEAP + offset, 0xBAD0_BAD0_BAD0_BAD0)  # what was here before: nobody clears it but allocate
        for number, known in enumerate(KINDS):
            row = L["TYPES"] + number * L["TYPE_BYTES"]
            for name, value in (("Y_KIND", known.kind), ("Y_BYTES", 8 * known.words), ("Y_MAP", known.map)):
                put(row + L[name], value)
        register_map = rng.getrandbits(REGISTERS) | 1 << rng.randrange(REGISTERS)
        put(L["G_REGISTER_MAP"], register_map)
        frame = 0
        for n in range(rng.randint(2, FRAMES)):
            at = _FRAME_AREA + 0x80 * n
            count = rng.randint(1, SLOTS)
            for name, value in (("F_CALLER", frame), ("F_COUNT", count), ("F_MAP", rng.getrandbits(count) | 1)):
                put(at + L[name], value)
            frame = at
        put(L["G_FRAME"], frame)
        self.last: dict[int, int] = {}  # where everything was when it was looked at last
        self.places = self.heap.roots()
        self.things: list[Thing | None] = [None] * len(self.places)
        for n in range(REGISTERS):  # what is in no map is a number, and may look like anything
            put(L["G_REGISTERS"] + 8 * n, 0 if register_map >> n & 1 else self.number())
        at = frame
        while at:
            for n in range(self.heap.get(at + L["F_COUNT"])):
                put(at + L["F_SLOTS"] + 8 * n, 0 if self.heap.get(at + L["F_MAP"]) >> n & 1 else self.number())
            at = self.heap.get(at + L["F_CALLER"])

    def number(self) -> int:
        """Return a number, which may look like the address of an object or of somebody's block."""
        choose = self.rng.random()
        if choose < 0.3:
            return L["HEAP_START"] + 8 * self.rng.randrange(HEAP_BYTES // 8)
        if choose < 0.5:
            return _BLOCKS + 8 * self.rng.randrange(_BLOCK_BYTES // 8)
        return self.rng.getrandbits(64) if choose < 0.7 else self.rng.randrange(100)

    def alive(self) -> list[Thing]:
        """Return all things that roots lead to."""
        found: dict[int, Thing] = {}
        todo = [t for t in self.things if t is not None]
        while todo:
            thing = todo.pop()
            if id(thing) not in found:
                found[id(thing)] = thing
                todo += thing.follow()
        return list(found.values())

    def planned(self) -> Thing:
        """Return a new thing, not in memory yet."""
        kind = self.rng.choice((0, 0, 1, 2, 2, 3, 4, 5))
        if kind in (_NUMBERS, _REFERENCES):
            length = self.rng.choice((0, 1, 2, 5, 9, 20))
            return Thing(kind, [length] + ([self.number() for _ in range(length)] if kind == _NUMBERS else [None] * length))
        thing = Thing(kind, [None] * (KINDS[kind].words - 1))
        for n in range(1, len(thing.words) + 1):
            if not thing.is_reference(n):
                thing.words[n - 1] = _BLOCKS + 8 * self.rng.randrange(_BLOCK_BYTES // 8) if kind == _BUFFER and n == 2 else self.number()
        return thing

    def located(self) -> dict[int, int]:
        """Walk memory and shadow side by side; returns the address of each thing by its id, or raises Wrong."""
        where: dict[int, int] = {}
        who: dict[int, Thing] = {}
        by: dict[int, str] = {}
        todo: list[tuple[int, Thing | None, str]] = []
        for (name, place), thing in zip(self.places, self.things):
            todo.append((self.heap.get(place), thing, "register" if name[0] == "s" else "frame"))
        while todo:
            address, thing, through = todo.pop(0)
            if thing is None:
                if address != 0:
                    raise Wrong(through, f"a reference that was None is {address:#x}")
                continue
            if address == 0 or address % 8 or not L["HEAP_START"] <= address <= L["HEAP_END"] - thing.bytes:
                raise Wrong(through, f"the reference to a {KINDS[thing.kind].name} is {address:#x}")
            if id(thing) in where:
                if (other := where[id(thing)]) != address:
                    old = self.last.get(id(thing))
                    key = through if address == old else by[id(thing)] if other == old else "shared"
                    raise Wrong(key, f"references to a {KINDS[thing.kind].name} lead to {other:#x} and to {address:#x}")
                continue
            if address in who:
                raise Wrong(through, f"references to two objects lead to the one at {address:#x}")
            where[id(thing)], who[address], by[id(thing)] = address, thing, through
            if self.heap.get(address) & 0xFFFF_FFFF != thing.kind:
                raise Wrong(through if through in ("register", "frame") else "header", f"where a {KINDS[thing.kind].name} should be, at {address:#x}, is none")
            for n, wanted in enumerate(thing.words, 1):
                have = self.heap.get(address + 8 * n)
                if thing.is_reference(n):
                    todo.append((have, wanted, "element" if KINDS[thing.kind].kind == L["REFERENCES"] else "field"))
                elif have != wanted:
                    raise Wrong("number", f"word {n} of the {KINDS[thing.kind].name} at {address:#x} is {have:#x}, not {wanted:#x}")
        extents = sorted((address, thing.bytes) for address, thing in who.items())
        for (one, size), (other, _) in zip(extents, extents[1:]):
            if one + size > other:
                raise Wrong("overlap", f"the objects at {one:#x} and at {other:#x} overlap")
        self.last = where
        return where

    def make(self, thing: Thing, room: int, where: dict[int, int]) -> None:
        """Put a thing into room that ``allocate`` has given, and refer to it from somewhere; raises Wrong if it is no room."""
        if room == 0:
            raise Wrong("room", f"{thing.bytes} bytes were asked for, and {sum(t.bytes for t in self.alive()):,} of {HEAP_BYTES:,} are reachable")
        if room % 8 or not L["HEAP_START"] <= room <= L["HEAP_END"] - thing.bytes:
            raise Wrong("outside", f"allocate gave {thing.bytes} bytes at {room:#x}")
        for one in self.alive():
            at = where[id(one)]
            if at < room + thing.bytes and room < at + one.bytes:
                raise Wrong("taken", f"allocate gave {thing.bytes} bytes at {room:#x}, where a reachable {KINDS[one.kind].name} is")
        if any(self.heap.get(room + 8 * n) for n in range(thing.bytes // 8)):
            raise Wrong("dirty", f"allocate gave {thing.bytes} bytes at {room:#x} that are not all zero")
        self.heap.put(room, thing.kind)
        for n, value in enumerate(thing.words, 1):
            self.heap.put(room + 8 * n, 0 if value is None else where[id(value)] if isinstance(value, Thing) else value)
        where[id(thing)] = room
        self.set_root(self.rng.randrange(len(self.places)), thing, where)

    def set_root(self, number: int, thing: Thing | None, where: dict[int, int]) -> None:
        self.things[number] = thing
        self.heap.put(self.places[number][1], where[id(thing)] if thing is not None else 0)

    def mutate(self, where: dict[int, int]) -> None:
        """Change some references; forget more the fuller the heap is."""
        rng, alive = self.rng, self.alive()
        used = sum(thing.bytes for thing in alive)
        for _ in range(rng.randint(1, 3)):
            holders = [thing for thing in alive if any(thing.is_reference(n) for n in range(1, len(thing.words) + 1))]
            if not holders:
                break
            holder, target = rng.choice(holders), rng.choice(alive)
            word = rng.choice([n for n in range(1, len(holder.words) + 1) if holder.is_reference(n)])
            holder.words[word - 1] = target
            self.heap.put(where[id(holder)] + 8 * word, where[id(target)])
        while used > self.most - 200:  # what comes next has at most 176 bytes
            self.set_root(rng.randrange(len(self.places)), None, where)
            holders = [thing for thing in self.alive() if thing.follow()]
            if holders:
                holder = rng.choice(holders)
                for n in range(1, len(holder.words) + 1):
                    if holder.is_reference(n):
                        holder.words[n - 1] = None
                        self.heap.put(where[id(holder)] + 8 * n, 0)
            used = sum(thing.bytes for thing in self.alive())

    def beside(self) -> np.ndarray:
        """Return a copy of the words that are nobody's business here: all but the collector's own, the heap and the roots."""
        words = self.heap.words.copy()
        for start, count in ((L["G_STATE"], L["STATE_WORDS"]), (L["SCRATCH"], L["SCRATCH_WORDS"]), (L["HEAP_START"], HEAP_BYTES // 8)):
            words[(start - DATA) >> 3 : ((start - DATA) >> 3) + count] = 0
        for _, place in self.places:
            words[(place - DATA) >> 3] = 0
        return words
