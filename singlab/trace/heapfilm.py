"""Pictures of a heap, and films of a collection: a picture, and what the collector then did, one object at a time.

A picture has the objects of one heap at a moment, the references among them, the roots, and what the heap's room is
used for. A film has a picture and steps; the state after any number of steps can be worked out, so a film
plays backwards as well. Both are plain arrays: views and statistics read them and know no kernel.

What it leaves out: the contents of objects other than references, and what the program did between two collections.
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


#: What an object is to the collector: tricolour, and gone.
WHITE, GREY, BLACK, GONE = range(4)


@dataclass(frozen=True)
class Root:
    """A reference from outside the heap: its ``name`` (a register, a slot of a frame), of what ``kind``, and what it refers to."""

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
    """

    process: str
    collector: str
    objects: np.ndarray
    edges: np.ndarray
    roots: tuple[Root, ...]
    types: tuple[str, ...]
    spaces: tuple[Space, ...]
    free: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.uint64))

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
        front = np.unique([self.index(root.target) for root in self.roots]).astype(np.int64)
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
            self.index(root.target)

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
        The heap when the collection begins.
    steps : numpy.ndarray
        ``STEP`` records.
    phases : tuple of str
        Names of the phases that PHASE steps number.
    """

    before: HeapPicture
    steps: np.ndarray
    phases: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.steps)

    def states(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return each object's state (WHITE, GREY, BLACK, GONE) and its address after so many steps.

        Raises
        ------
        ValueError
            If a step speaks of an object that is not there.
        """
        before = self.before
        state = np.full(len(before), WHITE, dtype=np.uint8)
        where = before.objects["address"].copy()
        at = {int(address): place for place, address in enumerate(where)}
        size = before.objects["size"]

        def there(address: int, number: int) -> int:
            if address not in at:
                raise ValueError(f"step {number} speaks of an object at {address:#x}, where there is none")
            return at[address]

        for number, (what, a, b) in enumerate(self.steps[:position].tolist()):
            if what == Step.REACH:
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
        return state, where

    def after(self) -> HeapPicture:
        """Return the heap at the end as the steps tell it, without what is in no step: new roots, ages, free lists."""
        state, where = self.states(len(self))
        kept = np.flatnonzero(state != GONE)
        order = kept[np.argsort(where[kept], kind="stable")]
        place = np.full(len(self.before), -1, dtype=np.int64)
        place[order] = np.arange(len(order))
        objects = self.before.objects[order].copy()
        objects["address"] = where[order]
        edges = place[self.before.edges]
        edges = edges[(edges >= 0).all(axis=1)].astype(np.int32) if len(edges) else self.before.edges
        edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
        roots = tuple(Root(r.name, r.kind, int(where[self.before.index(r.target)])) for r in self.before.roots)
        return replace(self.before, objects=objects, edges=edges, roots=roots, free=np.empty((0, 2), np.uint64))

    def summary(self) -> dict[str, int]:
        """Return what the collection did: roots looked at, objects and bytes reached, moved and gone."""
        what = self.steps["what"]
        state, where = self.states(len(self))
        moved = np.flatnonzero(where != self.before.objects["address"])
        sizes = self.before.objects["size"].astype(np.int64)
        gone = state == GONE
        return {"roots": int((what == Step.ROOT).sum()), "reached": int((state != WHITE)[~gone].sum()), "moved": len(moved),
                "moved_bytes": int(sizes[moved].sum()), "gone": int(gone.sum()), "gone_bytes": int(sizes[gone].sum())}  # fmt: skip

    def save(self, path: str | Path) -> Path:
        """Write the film to a file, which :meth:`load` reads; returns the path."""
        before, buffer = self.before, io.BytesIO()
        about = {"process": before.process, "collector": before.collector, "types": before.types, "phases": self.phases,
                 "roots": [[r.name, r.kind, r.target] for r in before.roots], "spaces": [[s.name, s.start, s.end] for s in before.spaces]}  # fmt: skip
        np.savez_compressed(buffer, objects=before.objects, edges=before.edges, free=before.free, steps=self.steps,
                            about=np.frombuffer(json.dumps(about).encode(), np.uint8))  # fmt: skip
        Path(path).write_bytes(buffer.getvalue())
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> HeapFilm:
        """Read a film; raises OSError if there is no such file, ValueError, naming it, if it is no film."""
        content = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(content, allow_pickle=False) as data:
                about = json.loads(data["about"].tobytes())
                arrays = {name: data[name] for name in ("objects", "edges", "free", "steps")}
            if arrays["objects"].dtype != OBJECT or arrays["steps"].dtype != STEP:
                raise ValueError("its records have another form")
            roots = tuple(Root(str(name), str(kind), int(target)) for name, kind, target in about["roots"])
            spaces = tuple(Space(str(name), int(start), int(end)) for name, start, end in about["spaces"])
            before = HeapPicture(str(about["process"]), str(about["collector"]), arrays["objects"], arrays["edges"], roots,
                                 tuple(map(str, about["types"])), spaces, arrays["free"])  # fmt: skip
            before.check()
            return cls(before, arrays["steps"], tuple(map(str, about["phases"])))
        except Exception as error:  # archive, arrays and text have each their own ways to be broken
            raise ValueError(f"{path} is no film of a collection: {error}; write one with film.save(path)") from None

    def __repr__(self) -> str:
        done = self.summary()
        return (f"<HeapFilm of {self.before.process}: {len(self):,} steps, {done['reached']:,} objects reached, {done['moved']:,} moved, "
                f"{done['gone']:,} gone, {self.before.collector}>")  # fmt: skip
