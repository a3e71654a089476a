"""Pictures of a heap, and films of a collection: a picture, and what the collector then did, one object at a time.

A picture has the objects of one heap at a moment, the references among them, the roots, and what the heap's room is
used for. A film has a picture and steps; the state after any number of steps can be worked out, so a film
plays backwards as well. Where the program runs between the collector's steps, the film has what it did meanwhile: objects
it made, references it changed. Both are plain arrays: views and statistics read them and know no kernel.

What it leaves out: the contents of objects other than references and the kernel's texts, and what the program did between two
collections.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

OBJECT = np.dtype([("address", "<u8"), ("size", "<u4"), ("type", "<u2"), ("age", "u1"), ("remembered", "u1")])
STEP = np.dtype([("what", "u1"), ("a", "<u8"), ("b", "<u8")])
PAGE = 4096


class Step(IntEnum):
    """What a collector does in a step, and what ``a`` and ``b`` are then."""

    PHASE = 0  #: a phase begins: its number
    ROOT = 1  #: looks at a root: its number
    REACH = 2  #: reaches an object for the first time: its address
    SCAN = 3  #: has followed all references of an object: its address
    MOVE = 4  #: moves an object: from, to
    FREE = 5  #: gives room back, with all objects in it: address, bytes
    REMEMBER = 6  #: takes an object into the remembered set (b = 1) or out of it (b = 0): address
    SHADE = 7  #: the write barrier marks an object that the program is about to store into one that has been looked at: its address
    # what a program does between the collector's steps
    MAKE = 8  #: makes an object: its address, its number among those made
    MAKE_BLACK = 9  #: the same, where the collection comes no more: it is kept without being looked at
    REFER = 10  #: changes a reference of an object: its address, the number of the change
    HOLD = 11  #: lets a root refer to another object: the root's number, the object's address (0: to none)
    WHITEN = 12  #: the collection before is over, and nothing is reached yet in the next one


#: What an object is to the collector: tricolour, and gone; or not made yet.
WHITE, GREY, BLACK, GONE, LATER = range(5)


@dataclass(frozen=True)
class Root:
    """A reference from outside the heap: its ``name`` (a register, a slot of a frame), of what ``kind``, and what it refers to; 0 is nothing yet."""

    name: str
    kind: str
    target: int


@dataclass(frozen=True)
class Space:
    """A part of a heap: its ``name``, first address and the address behind it."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class HeapPicture:
    """A heap at a moment.

    Attributes
    ----------
    process, collector : str
    objects : numpy.ndarray
        ``OBJECT`` records by address: size in bytes, number of the type, collections survived, in the remembered set.
    edges : numpy.ndarray
        int32, shape (n, 2): which object refers to which, by their places in ``objects``.
    roots : tuple of Root
    types : tuple of str
    spaces : tuple of Space
        By address; no object lies outside.
    free : numpy.ndarray
        uint64, shape (n, 2): address and bytes of each free chunk that a list knows.
    said : tuple of str
        What each object says, if anything: the kernel's texts. Empty where nothing is known of any.
    """

    process: str
    collector: str
    objects: np.ndarray
    edges: np.ndarray
    roots: tuple[Root, ...]
    types: tuple[str, ...]
    spaces: tuple[Space, ...]
    free: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.uint64))
    said: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.objects)

    def index(self, address: int) -> int:
        """Return the place of the object at an address; raises KeyError if none begins there."""
        place = int(np.searchsorted(self.objects["address"], np.uint64(address)))
        if place == len(self.objects) or int(self.objects["address"][place]) != address:
            raise KeyError(f"no object begins at {address:#x}")
        return place

    @property
    def reachable(self) -> np.ndarray:
        """Which objects a chain of references from a root leads to: bool, one an object."""
        found = np.zeros(len(self.objects), dtype=bool)
        order = np.argsort(self.edges[:, 0], kind="stable") if len(self.edges) else np.empty(0, np.int64)
        targets = self.edges[order, 1] if len(self.edges) else np.empty(0, np.int32)
        starts = (
            np.searchsorted(self.edges[order, 0], np.arange(len(self.objects) + 1))
            if len(self.edges)
            else np.zeros(len(self.objects) + 1, int)
        )
        front = np.unique([self.index(root.target) for root in self.roots if root.target]).astype(np.int64)
        while len(front):
            found[front] = True
            after = np.concatenate([targets[starts[i] : starts[i + 1]] for i in front]) if len(front) else front
            after = np.unique(after)
            front = after[~found[after]].astype(np.int64)
        return found

    def check(self) -> None:
        """Raise ValueError if the picture contradicts itself: objects that overlap or lie outside, references to nowhere."""
        start, size = self.objects["address"].astype(np.int64), self.objects["size"].astype(np.int64)
        if (start[1:] < start[:-1] + size[:-1]).any():
            place = int(np.flatnonzero(start[1:] < start[:-1] + size[:-1])[0])
            raise ValueError(f"the object at {start[place]:#x} of {size[place]} bytes reaches into the one at {start[place + 1]:#x}")
        inside = np.zeros(len(self.objects), dtype=bool)
        for space in self.spaces:
            inside |= (start >= space.start) & (start + size <= space.end)
        if not inside.all():
            raise ValueError(f"the object at {start[np.flatnonzero(~inside)[0]]:#x} lies in no space of the heap")
        if len(self.edges) and (self.edges.min() < 0 or self.edges.max() >= len(self.objects)):
            raise ValueError(f"a reference names object {int(self.edges.max())} of {len(self.objects)}")
        if len(self.objects) and int(self.objects["type"].max()) >= len(self.types):
            raise ValueError(f"an object has type {int(self.objects['type'].max())} of {len(self.types)}")
        for root in self.roots:
            if root.target:
                self.index(root.target)
        if self.said and len(self.said) != len(self.objects):
            raise ValueError(f"{len(self.said)} of {len(self.objects)} objects say something; where one does, there is a text, maybe empty, for each")

    def pages(self):
        """Return how full each page is.

        Returns
        -------
        pandas.DataFrame
            A row a page: ``space``, ``page`` (address), bytes ``reachable``, ``unreachable``, ``free`` (known to a list) and
            ``unused`` (the rest).
        """
        import pandas as pd

        alive = self.reachable
        rows = []
        for space in self.spaces:
            first = space.start // PAGE
            used = np.zeros(((space.end + PAGE - 1) // PAGE - first, 3), dtype=np.int64)
            for column, (starts, sizes) in enumerate([
                (self.objects["address"][alive], self.objects["size"][alive]),
                (self.objects["address"][~alive], self.objects["size"][~alive]),
                (self.free[:, 0], self.free[:, 1]),
            ]):  # fmt: skip
                for start, size in zip(starts.tolist(), sizes.tolist()):
                    if space.start <= start < space.end:
                        at, end = start, start + size
                        while at < end:
                            stop = min(end, (at // PAGE + 1) * PAGE)
                            used[at // PAGE - first, column] += stop - at
                            at = stop
            for number, (live, dead, free) in enumerate(used.tolist()):
                address = (first + number) * PAGE
                there = min(space.end, address + PAGE) - max(space.start, address)
                rows.append({"space": space.name, "page": address, "reachable": live, "unreachable": dead, "free": free,
                             "unused": there - live - dead - free})  # fmt: skip
        return pd.DataFrame(rows)

    def by_type(self):
        """Return, for each type, how many ``objects`` and ``bytes`` there are and how many of them are ``reachable``, the largest first.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        frame = pd.DataFrame({"type": np.array(self.types, dtype=object)[self.objects["type"]] if len(self) else [],
                              "bytes": self.objects["size"].astype(np.int64), "reachable": self.reachable})  # fmt: skip
        table = frame.groupby("type").agg(objects=("bytes", "size"), bytes=("bytes", "sum"), reachable=("reachable", "sum"))
        return table.sort_values("bytes", ascending=False).reset_index()

    def __repr__(self) -> str:
        size = int(self.objects["size"].sum())
        return f"<HeapPicture of {self.process}: {len(self):,} objects, {size:,} bytes, {len(self.roots)} roots, {self.collector}>"


@dataclass(frozen=True)
class HeapFilm:
    """A collection, one object at a time.

    Attributes
    ----------
    before : HeapPicture
        The heap when the collection begins. Its roots and spaces are all that there are at any time.
    steps : numpy.ndarray
        ``STEP`` records.
    phases : tuple of str
        Names of the phases that PHASE steps number; ``{b}`` in one is the step's ``b``.
    program : tuple of int
        The phases in which the program runs, not the collector.
    born : numpy.ndarray
        ``OBJECT`` records of what the program makes meanwhile, in that order. In what follows an object is named by its place: those of
        the picture come first, then these.
    born_edges : numpy.ndarray
        int32, shape (n, 2): what they refer to when they are made.
    changes : numpy.ndarray
        int32, shape (n, 3): references that the program changes: of which object, what it referred to, and refers to then; -1 is nothing.
    """

    before: HeapPicture
    steps: np.ndarray
    phases: tuple[str, ...] = ()
    program: tuple[int, ...] = ()
    born: np.ndarray = field(default_factory=lambda: np.empty(0, OBJECT))
    born_edges: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int32))
    changes: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int32))

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def objects(self) -> np.ndarray:
        """All objects there are at any time: those of the picture, then those made meanwhile."""
        return np.concatenate([self.before.objects, self.born]) if len(self.born) else self.before.objects

    def check(self) -> None:
        """Raise ValueError if the film contradicts itself: its picture, or a step that speaks of what is not there."""
        self.before.check()
        count = len(self.objects)
        for name, array in (("an object is made that refers to", self.born_edges), ("a change names", self.changes)):
            if len(array) and (array.min() < -1 or array.max() >= count):
                raise ValueError(f"{name} object {int(array.max())} of {count}")
        self.states(len(self))

    def states(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return each object's state (WHITE, GREY, BLACK, GONE, LATER) and its address after so many steps.

        Raises
        ------
        ValueError
            If a step speaks of an object that is not there.
        """
        here, objects = len(self.before), self.objects
        state = np.full(len(objects), WHITE, dtype=np.uint8)
        state[here:] = LATER
        where = objects["address"].copy()
        at = {int(address): place for place, address in enumerate(where[:here])}
        size = objects["size"]

        def there(address: int, number: int) -> int:
            if address not in at:
                raise ValueError(f"step {number} speaks of an object at {address:#x}, where there is none")
            return at[address]

        for number, (what, a, b) in enumerate(self.steps[:position].tolist()):
            if what in (Step.REACH, Step.SHADE):
                state[there(a, number)] = GREY
            elif what == Step.SCAN:
                state[there(a, number)] = BLACK
            elif what == Step.MOVE:
                place = there(a, number)
                del at[a]
                for address in range(b, b + int(size[place]), 8):  # what it comes to lie on is gone
                    if address in at:
                        state[at.pop(address)] = GONE
                at[b] = place
                where[place] = b
                if state[place] == WHITE:
                    state[place] = GREY
            elif what == Step.FREE:
                for address in range(a, a + b, 8):
                    if address in at:
                        state[at.pop(address)] = GONE
            elif what in (Step.MAKE, Step.MAKE_BLACK):
                if a in at or b >= len(self.born) or self.born["address"][b] != a or state[here + b] != LATER:
                    raise ValueError(f"step {number} makes an object at {a:#x}, where there can be none")
                at[a] = here + b
                state[here + b] = WHITE if what == Step.MAKE else BLACK
            elif what == Step.REFER:
                if b >= len(self.changes) or there(a, number) != self.changes[b, 0]:
                    raise ValueError(f"step {number} changes a reference of {a:#x}, which is none of that object")
            elif what == Step.HOLD:
                if a >= len(self.before.roots):
                    raise ValueError(f"step {number} speaks of root {a} of {len(self.before.roots)}")
                if b:
                    there(b, number)
            elif what == Step.WHITEN:
                state[(state == GREY) | (state == BLACK)] = WHITE
        return state, where

    def edges(self, position: int) -> np.ndarray:
        """Return which object refers to which after so many steps: int32, shape (n, 2); what is gone refers to nothing any more.

        Where the collector moves objects, references go with them.
        """
        found: dict[int, list[int]] = {}
        for a, b in self.before.edges.tolist():
            found.setdefault(a, []).append(b)
        for what, _, b in self.steps[:position][self.steps["what"][:position] >= Step.MAKE].tolist():
            if what in (Step.MAKE, Step.MAKE_BLACK):
                place = len(self.before) + b
                found[place] = self.born_edges[self.born_edges[:, 0] == place, 1].tolist()
            elif what == Step.REFER:
                place, old, new = self.changes[b].tolist()
                if old >= 0:
                    found[place].remove(old)
                if new >= 0:
                    found.setdefault(place, []).append(new)
        state = self.states(position)[0]
        rows = [(a, b) for a, targets in found.items() for b in targets if state[a] not in (GONE, LATER) and state[b] not in (GONE, LATER)]
        return np.array(sorted(rows), np.int32).reshape(-1, 2)

    def holds(self, position: int) -> list[int]:
        """Return the object that each root refers to after so many steps, by its place; -1 is none."""
        found = [self.before.index(root.target) if root.target else -1 for root in self.before.roots]
        if not (self.steps["what"][:position] == Step.HOLD).any():
            return found
        objects = self.objects["address"]
        at = {int(address): place for place, address in enumerate(objects[: len(self.before)])}
        for what, a, b in self.steps[:position].tolist():
            if what in (Step.MAKE, Step.MAKE_BLACK):
                at[a] = len(self.before) + b
            elif what == Step.HOLD:
                found[a] = at[b] if b else -1
        return found

    def lost_without_barrier(self) -> np.ndarray:
        """Return which objects the collector would have taken from the program, had the write barrier marked nothing.

        All else is as in the film: when the collector looks at roots, and when at which object. What such an object refers to then
        is reached; what the program stores into it afterwards is not. Before sweeping begins, all that waits is looked at.

        Returns
        -------
        numpy.ndarray
            bool, one an object: the program still has it when sweeping begins, and it would have been swept.
        """
        refers: dict[int, list[int]] = {}
        for a, b in [*self.before.edges.tolist(), *self.born_edges.tolist()]:
            refers.setdefault(a, []).append(b)
        objects, here = self.objects["address"], len(self.before)
        at = {int(address): place for place, address in enumerate(objects[:here])}
        held, waits, done, made = self.holds(0), set(), set(), set()

        def look(place: int) -> None:
            waits.discard(place)
            done.add(place)
            waits.update(target for target in refers.get(place, ()) if target not in done)

        freed = np.flatnonzero(self.steps["what"] == Step.FREE)
        position = int(freed[0]) if len(freed) else len(self)
        for what, a, b in self.steps[:position].tolist():
            if what in (Step.MAKE, Step.MAKE_BLACK):
                at[a] = here + b
                if what == Step.MAKE_BLACK:
                    made.add(here + b)
            elif what == Step.REFER:
                place, old, new = self.changes[b].tolist()
                if old >= 0:
                    refers[place].remove(old)
                if new >= 0:
                    refers.setdefault(place, []).append(new)
            elif what == Step.HOLD:
                held[a] = at[b] if b else -1
            elif what == Step.ROOT and held[a] not in done:
                waits.add(held[a])
            elif what == Step.SCAN and at[a] in waits:
                look(at[a])
        while waits:
            look(next(iter(waits)))
        known: set[int] = set()
        front = [place for place in held if place >= 0]
        while front:
            place = front.pop()
            if place not in known:
                known.add(place)
                front += refers.get(place, [])
        kept = np.zeros(len(self.objects), dtype=bool)
        kept[list(known - done - made)] = True
        kept &= self.states(position)[0] == BLACK
        return kept

    def after(self) -> HeapPicture:
        """Return the heap at the end as the steps tell it, without what is in no step: new roots, ages, free lists."""
        state, where = self.states(len(self))
        kept = np.flatnonzero((state != GONE) & (state != LATER))
        order = kept[np.argsort(where[kept], kind="stable")]
        place = np.full(len(state), -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        objects = self.objects[order].copy()
        objects["address"] = where[order]
        edges = place[self.edges(len(self))].astype(np.int32)
        edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
        roots = tuple(Root(r.name, r.kind, int(where[held])) for r, held in zip(self.before.roots, self.holds(len(self))) if held >= 0)
        said = tuple(self.before.said[i] if i < len(self.before) else "" for i in order) if self.before.said else ()
        return replace(self.before, objects=objects, edges=edges, roots=roots, free=np.empty((0, 2), np.uint64), said=said)

    def summary(self) -> dict[str, int]:
        """Return what the collection did: roots looked at, objects and bytes reached, moved and gone; and what the program did meanwhile.

        ``made`` are objects it made, ``changed`` references it changed, ``shaded`` objects that the write barrier marked.
        """
        what, objects = self.steps["what"], self.objects
        state, where = self.states(len(self))
        moved = np.flatnonzero(where != objects["address"])
        sizes = objects["size"].astype(np.int64)
        gone = state == GONE
        made = np.isin(what, (Step.MAKE, Step.MAKE_BLACK))
        return {"roots": int((what == Step.ROOT).sum()), "reached": int(((state == GREY) | (state == BLACK)).sum()), "moved": len(moved),
                "moved_bytes": int(sizes[moved].sum()), "gone": int(gone.sum()), "gone_bytes": int(sizes[gone].sum()),
                "made": int(made.sum()), "changed": int((what == Step.REFER).sum()), "shaded": int((what == Step.SHADE).sum())}  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Write the film to a file, which :meth:`load` reads; returns the path."""
        before, buffer = self.before, io.BytesIO()
        about = {"process": before.process, "collector": before.collector, "types": before.types, "phases": self.phases, "program": self.program,
                 "said": before.said, "roots": [[r.name, r.kind, r.target] for r in before.roots],
                 "spaces": [[s.name, s.start, s.end] for s in before.spaces]}  # fmt: skip
        np.savez_compressed(buffer, objects=before.objects, edges=before.edges, free=before.free, steps=self.steps, born=self.born,
                            born_edges=self.born_edges, changes=self.changes, about=np.frombuffer(json.dumps(about).encode(), np.uint8))  # fmt: skip
        Path(path).write_bytes(buffer.getvalue())
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> HeapFilm:
        """Read a film; raises OSError if there is no such file, ValueError, naming it, if it is no film."""
        content = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(content, allow_pickle=False) as data:
                about = json.loads(data["about"].tobytes())
                arrays = {name: data[name] for name in ("objects", "edges", "free", "steps", "born", "born_edges", "changes")}
            if any(arrays[name].dtype != form for name, form in (("objects", OBJECT), ("born", OBJECT), ("steps", STEP))):
                raise ValueError("its records have another form")
            roots = tuple(Root(str(name), str(kind), int(target)) for name, kind, target in about["roots"])
            spaces = tuple(Space(str(name), int(start), int(end)) for name, start, end in about["spaces"])
            before = HeapPicture(str(about["process"]), str(about["collector"]), arrays["objects"], arrays["edges"], roots,
                                 tuple(map(str, about["types"])), spaces, arrays["free"], tuple(map(str, about["said"])))  # fmt: skip
            film = cls(before, arrays["steps"], tuple(map(str, about["phases"])), tuple(map(int, about["program"])), arrays["born"],
                       arrays["born_edges"], arrays["changes"])  # fmt: skip
            film.check()
            return film
        except Exception as error:  # archive, arrays and text have each their own ways to be broken
            raise ValueError(f"{path} is no film of a collection: {error}; write one with film.save(path)") from None

    def __repr__(self) -> str:
        done = self.summary()
        made = f"{done['made']:,} made meanwhile, " if done["made"] else ""
        return (f"<HeapFilm of {self.before.process}: {len(self):,} steps, {done['reached']:,} objects reached, {done['moved']:,} moved, "
                f"{done['gone']:,} gone, {made}{self.before.collector}>")  # fmt: skip
