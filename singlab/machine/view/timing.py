"""Where the cycles went: one cycle for each instruction, and every stall by its cause.

The machine keeps ``cycles = instructions + the sum of all stalls`` always, so nothing is left over here.
"""

from __future__ import annotations

from dataclasses import dataclass

from singlab.machine import state as _s
from singlab.machine.view import render as r
from singlab.machine.view.source import signed, state_before, state_of

_NAMES = {
    "stall_fetch": ("instruction fetch", "#56B4E9"),
    "stall_load": ("loads", "#0072B2"),
    "stall_store": ("stores", "#7F5FA8"),
    "stall_walk": ("address translation", "#CC79A7"),
    "stall_branch": ("mispredicted branches", "#E69F00"),
    "stall_muldiv": ("multiply and divide", "#B8A800"),
    "stall_trap": ("traps and returns", "#D55E00"),
    "stall_idle": ("waiting", "#8a93a0"),
}
_WORK = "#009E73"
_STALLS = [(i, name) for i, name in enumerate(_s.COUNTERS) if name.startswith("stall_")]


@dataclass(frozen=True)
class Part:
    """Cycles of one cause.

    Attributes
    ----------
    counter : str
        "instructions" or the stall counter's name.
    cause : str
        In words.
    cycles : int
    share : float
        Of all cycles, from 0 to 1.
    colour : str
    """

    counter: str
    cause: str
    cycles: int
    share: float
    colour: str


@dataclass(frozen=True, repr=False)
class Cycles(r.Shown):
    """Where the cycles went.

    Attributes
    ----------
    cycles, instructions : int
    rows : list of Part
        They add up to ``cycles``.
    """

    cycles: int
    instructions: int
    rows: list[Part]

    def __getitem__(self, counter: str) -> Part:
        """Return a part by its counter's name, with or without ``stall_``."""
        for row in self.rows:
            if counter in (row.counter, row.counter.removeprefix("stall_")):
                return row
        raise KeyError(f"there is no cause {counter!r}; there are {', '.join(row.counter for row in self.rows)}")

    @property
    def per_instruction(self) -> float:
        """Cycles per instruction; nan before the first."""
        return self.cycles / self.instructions if self.instructions else float("nan")

    def blocks(self) -> list[r.Block]:
        rate = f", {self.per_instruction:.2f} cycles per instruction" if self.instructions > 0 else ""
        rows = [
            r.Row((r.Cell(row.cause, colour=row.colour), r.Cell(f"{row.cycles:,}", "num"), r.Cell(f"{100 * row.share:.1f} %", "num soft")))
            for row in self.rows
            if row.cycles or row.counter == "instructions"
        ]
        return [
            r.Heading("Where the cycles went", f"{r.counted(self.cycles, 'cycle')}, {r.counted(self.instructions, 'instruction')}{rate}"),
            r.Bar([(row.cause, max(0.0, min(1.0, row.share)), row.colour) for row in self.rows]),
            r.Table(("cause", "cycles", "share"), rows),
        ]


def cycles(source, since=None) -> Cycles:
    """Return where the cycles went, since the beginning or since a snapshot.

    Parameters
    ----------
    source : Machine, Board or snapshot
    since : snapshot or mark, optional
    """
    m = state_of(source)
    before = state_before(since, m)

    def count(word: int) -> int:
        return int(m[word]) if before is None else signed((int(m[word]) - int(before[word])) & (1 << 64) - 1)

    total, work = count(_s.CYCLES), count(_s.INSTRET)
    parts = [("instructions", "instructions", work, _WORK)]
    for index, name in _STALLS:
        words, colour = _NAMES.get(name, (name.removeprefix("stall_").replace("_", " "), "#8a93a0"))
        parts.append((name, words, count(_s.COUNTER_BASE + index), colour))
    return Cycles(total, work, [Part(counter, words, n, n / total if total else 0.0, colour) for counter, words, n, colour in parts])


# ---- counters ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counter:
    """One event counter; ``rate`` is its share of what it is counted among, if anything."""

    name: str
    value: int
    rate: float | None
    among: str


#: Counters that are a share of another one.
_AMONG = {"l1i_misses": "l1i_accesses", "l1d_misses": "l1d_accesses", "l2_misses": "l2_accesses", "dtlb_misses": "dtlb_accesses"}


@dataclass(frozen=True, repr=False)
class Counters(r.Shown):
    """Event counters; ``rows`` is a list of Counter. Index it by name."""

    rows: list[Counter]

    def __getitem__(self, name: str) -> int:
        """Return a counter's value by name."""
        for row in self.rows:
            if row.name == name:
                return row.value
        raise KeyError(f"there is no counter {name!r}; there are {', '.join(row.name for row in self.rows)}")

    def blocks(self) -> list[r.Block]:
        items = []
        for row in self.rows:
            rate = "" if row.rate is None else f" ({100 * row.rate:.1f} %)"
            items.append((row.name.replace("_", " "), r.Cell(f"{row.value:,}{rate}")))
        return [r.Heading("Counters"), r.Grid(items)]


def counters(source, since=None) -> Counters:
    """Return cycles, instructions and every event counter, since the beginning or since a snapshot."""
    m = state_of(source)
    before = state_before(since, m)
    words = {"cycles": _s.CYCLES, "instructions": _s.INSTRET} | {name: _s.COUNTER_BASE + i for i, name in enumerate(_s.COUNTERS)}
    values = {name: int(m[word]) - (0 if before is None else int(before[word])) for name, word in words.items()}
    rows = []
    for name, value in values.items():
        among = _AMONG.get(name, "")
        rate = value / values[among] if among and values[among] else None
        rows.append(Counter(name, value, rate, among))
    return Counters(rows)
