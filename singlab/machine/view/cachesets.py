"""What the caches hold: each set's lines in order of last use.

Reads the tags of :mod:`singlab.machine.caches` as they lie in the state; looking at a line is no access.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.caches import set_words
from singlab.machine.view import render as r
from singlab.machine.view.source import MASK, Symbols, address_of, state_of, symbols_of

NAMES = {"l1i": "L1I", "l1d": "L1D", "l2": "L2"}
_TITLES = {"l1i": "L1 instruction cache", "l1d": "L1 data cache", "l2": "L2 cache"}


@dataclass(frozen=True)
class Line:
    """A line in a cache.

    Attributes
    ----------
    set, order : int
        Its set, and its place in order of last use: 0 is the last used, the highest goes next.
    address : int
        Physical address of its first byte.
    dirty : bool
    name : str
        Symbol there.
    """

    set: int
    order: int
    address: int
    dirty: bool
    name: str = ""


@dataclass(frozen=True, repr=False)
class Place(r.Shown):
    """Where a physical address belongs in a cache.

    Attributes
    ----------
    address : int
    set, offset, tag : int
        Index of its set, place in its line, what tells it from other lines of the set.
    order : int or None
        Its place in order of last use if the cache has it.
    dirty : bool
    """

    address: int
    cache: str
    set: int
    offset: int
    tag: int
    order: int | None
    dirty: bool

    def blocks(self) -> list[r.Block]:
        held = "not there" if self.order is None else f"there, {_ordinal(self.order)}{', dirty' if self.dirty else ''}"
        return [
            r.Remark(
                f"{self.address:#x} belongs into set {self.set} of the {NAMES[self.cache]} (tag {self.tag:#x}, byte {self.offset} of its line): {held}"
            )
        ]


def _ordinal(order: int) -> str:
    return "last used" if order == 0 else f"{order + 1}{ {1: 'nd', 2: 'rd'}.get(order, 'th') } last used"


@dataclass(frozen=True, repr=False)
class CacheView(r.Shown):
    """One cache.

    Attributes
    ----------
    name : str
        "l1i", "l1d" or "l2".
    sets, ways, line_bytes : int
    words : ndarray of uint64, shape (sets, ways)
        The tag words: (line number + 1) << 1 | dirty, 0 where nothing is; the last used first.
    accesses, misses : int
    shown : int or None
        The set to show; None shows all that are not empty.
    """

    name: str
    sets: int
    ways: int
    line_bytes: int
    words: np.ndarray
    accesses: int
    misses: int
    symbols: Symbols
    shown: int | None = None
    most: int = 24

    @property
    def rows(self) -> list[Line]:
        """All lines, set by set, the last used first."""
        return [line for index in np.flatnonzero(self.words.any(axis=1)).tolist() for line in self.lines(index)]

    def lines(self, index: int) -> list[Line]:
        """Return the lines of one set, the last used first."""
        if not 0 <= index < self.sets:
            raise ValueError(f"the {NAMES[self.name]} has sets 0 to {self.sets - 1}, not {index}")
        found = []
        for order, word in enumerate(self.words[index].tolist()):
            if word:
                address = ((word >> 1) - 1) * self.line_bytes & MASK
                found.append(Line(index, order, address, bool(word & 1), self.symbols.name(address)))
        return found

    def set_of(self, address: int) -> int:
        """Return the set a physical address belongs into."""
        return address // self.line_bytes & self.sets - 1

    def where(self, address: int) -> Place:
        """Return where a physical address belongs, and whether it is there."""
        address &= MASK
        index = self.set_of(address)
        held = next((line for line in self.lines(index) if line.address == address - address % self.line_bytes), None)
        tag = address // self.line_bytes // self.sets
        return Place(address, self.name, index, address % self.line_bytes, tag, held.order if held else None, bool(held and held.dirty))

    def blocks(self) -> list[r.Block]:
        among = r.counted(self.accesses, "access", "accesses")
        rate = f", {100 * self.misses / self.accesses:.1f} % of {among} missed" if self.accesses else ""
        size = self.sets * self.ways * self.line_bytes
        if self.shown is not None:
            found: list[r.Block] = [
                r.Heading(f"{NAMES[self.name]}, set {self.shown}", f"{r.counted(self.ways, 'way')}, the last used first")
            ]
            chosen, rows = [self.shown], self.lines(self.shown)
        else:
            held = int(np.count_nonzero(self.words))
            dirty = int(np.count_nonzero(self.words & np.uint64(1)))
            found = [
                r.Heading(
                    _TITLES[self.name],
                    f"{size // 1024} KB, {r.counted(self.sets, 'set')} of {r.counted(self.ways, 'way')}; {r.counted(held, 'line')} held, {dirty} dirty{rate}",
                )
            ]
            chosen = np.flatnonzero(self.words.any(axis=1)).tolist()
            rows = [line for index in chosen[: self.most] for line in self.lines(index)]
        if not rows:
            return [*found, r.Remark("empty", "soft")]
        table, last = [], None
        for line in rows:
            table.append(
                r.Row(
                    (
                        r.Cell(str(line.set) if line.set != last else "", "num strong"), r.Cell(_ordinal(line.order), "soft"),
                        r.Cell(f"{line.address:#x}", "mono", line.address), r.Cell("dirty" if line.dirty else "", "bad"),
                        r.Cell(line.name, "soft"),
                    )
                )
            )  # fmt: skip
            last = line.set
        found.append(r.Table(("set", "order", "address", "", ""), table))
        if len(chosen) > self.most and self.shown is None:
            found.append(
                r.Remark(
                    f"and {r.counted(len(chosen) - self.most, 'more set')}; cache(machine, {self.name!r}, set=5) shows one, .rows has them all",
                    "soft",
                )
            )
        return found


def cache(source, name: str = "l1d", set: int | None = None, address: int | str | None = None, most: int = 24) -> CacheView:
    """Return what one cache holds.

    Parameters
    ----------
    source : Machine, Board or snapshot
    name : {"l1i", "l1d", "l2"}
    set : int, optional
        Show this set only.
    address : int or str, optional
        Show only the set this physical address belongs into.
    most : int
        Sets to show at most.
    """
    m = state_of(source)
    if str(name).lower() not in NAMES:
        raise ValueError(f"there is no cache {name!r}; choose l1i, l1d or l2")
    name = str(name).lower()
    upper = name.upper()
    sets, ways = (int(m[getattr(_p, f"P_{upper}_{what}")]) for what in ("SETS", "WAYS"))
    accesses, misses = (int(m[getattr(_s, f"C_{upper}_{what}")]) for what in ("ACCESSES", "MISSES"))
    words = set_words(m, upper, np.arange(sets))
    if address is not None:
        set = address_of(source, address) // _p.LINE & sets - 1
    if set is not None and not 0 <= set < sets:
        raise ValueError(f"the {NAMES[name]} has sets 0 to {sets - 1}, not {set}")
    return CacheView(name, sets, ways, _p.LINE, words, accesses, misses, symbols_of(source), set, most)


@dataclass(frozen=True, repr=False)
class Caches(r.Shown):
    """All caches, one after the other; index by name."""

    l1i: CacheView
    l1d: CacheView
    l2: CacheView

    def __getitem__(self, name: str) -> CacheView:
        """Return one of them."""
        return {"l1i": self.l1i, "l1d": self.l1d, "l2": self.l2}[name]

    @property
    def rows(self) -> list[Line]:
        """All lines of all caches."""
        return self.l1i.rows + self.l1d.rows + self.l2.rows

    def blocks(self) -> list[r.Block]:
        return [*self.l1i.blocks(), *self.l1d.blocks(), *self.l2.blocks()]


def caches(source, most: int = 8) -> Caches:
    """Return what the three caches hold, showing at most so many sets of each."""
    return Caches(*(cache(source, name, most=most) for name in NAMES))
