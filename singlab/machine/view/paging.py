"""Page-table walks and translation buffers, looked at from outside.

Privileged specification, chapter "Sv39". What is said about an access is what the machine would do now: the
translation buffers come first, as they do in the hart, so an entry they still remember wins over a page table
that has changed since.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.caches import l1d, set_words
from singlab.machine.pmp import permitted
from singlab.machine.view import render as r
from singlab.machine.view.source import (
    MASK,
    MODE_NAMES,
    address_of,
    device_at,
    ram_read,
    state_of,
    symbols_of,
)

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
_PPN = (1 << 44) - 1
_PAGE = (1 << 52) - 1
_SUM, _MXR, _MPRV = 1 << 18, 1 << 19, 1 << 17
#: Kinds of access, numbered as protection has them.
KINDS = ("load", "store", "fetch")
_VERBS = {"load": "read", "store": "write", "fetch": "execute"}
_KINDS = {"load": 13, "store": 15, "fetch": 12}
_ACCESS = {"load": 5, "store": 7, "fetch": 1}
_RESERVED = 0x3FF << 54
_EVERY = 1 << 49  #: in a key of a tagged buffer: the page is in every address space
_LEVEL = {2: "1 GB", 1: "2 MB", 0: "4 KB"}


def flags(entry: int) -> str:
    """Return the flags of a page-table entry, a dash for each that is clear."""
    return "".join(letter if entry >> bit & 1 else "-" for bit, letter in reversed(list(enumerate("VRWXUGAD"))))


@dataclass(frozen=True)
class Level:
    """One step of a walk.

    Attributes
    ----------
    level : int
        2, 1 or 0.
    table, index, at : int
        Physical address of the table, index into it, physical address of the entry.
    entry : int or None
        None if it lies outside RAM.
    flags : str
    leads : str
        "table", "leaf" or "fault".
    problem : str
        Why it is a fault.
    cached : str
        Where a walk made now would find the entry: "L1D", "L2" or "memory"; empty where nothing is timed.
    cycles : int
        What it would wait for it, by the profile.
    """

    level: int
    table: int
    index: int
    at: int
    entry: int | None
    flags: str
    leads: str
    problem: str
    cached: str = ""
    cycles: int = 0


@dataclass(frozen=True)
class Buffered:
    """A translation some buffer holds.

    Attributes
    ----------
    buffer : str
        "ITLB", "DTLB" or "L2 TLB".
    page, frame : int
        Virtual and physical address of the 4 KB page.
    flags : str
    is_global : bool
    last_use : int
        On the buffers' own clock, which counts first-level misses: of the last use in the second level, of the filling
        in the first, which replaces what came first.
    stale : bool
        Whether the page table says otherwise by now; only known in a walk.
    """

    buffer: str
    page: int
    frame: int
    flags: str
    is_global: bool
    last_use: int
    stale: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a load, store or fetch at an address would do now.

    Attributes
    ----------
    kind : str
    ok : bool
    physical : int or None
        Where the translation leads; there may still be nothing there.
    cause : int or None
        Exception code of the fault.
    reason : str
        Why it faults, or what it reaches.
    via : str
        "ITLB", "DTLB", "L2 TLB", "page table" or "no translation".
    """

    kind: str
    ok: bool
    physical: int | None
    cause: int | None
    reason: str
    via: str


# ---- looking things up ------------------------------------------------------------------------------------


def _cached(m: np.ndarray, address: int) -> str:
    line = address >> 6
    for name in ("L1D", "L2"):
        which = line & int(m[getattr(_p, f"P_{name}_SETS")]) - 1
        if (line + 1) in [int(word) >> 1 for word in set_words(m, name, which)]:
            return name
    return "memory"


def walk_levels(m: np.ndarray, address: int) -> tuple[list[Level], int, str]:
    """Walk without a trace; returns the steps, the leaf as for a 4 KB page (0: none), and why there is none."""
    if address >> 38 not in (0, (1 << 26) - 1):
        return [], 0, f"bits 63 to 39 of {address:#x} are not all equal to bit 38, as a 39-bit address demands"
    levels = []
    table = (int(m[_s.SATP]) & _PPN) << 12
    for level in (2, 1, 0):
        shift = 12 + 9 * level
        index = address >> shift & 511
        at = table + 8 * index
        data = ram_read(m, at, 8)
        if len(data) < 8:
            problem = f"the level {level} entry would be at {at:#x}, outside RAM"
            levels.append(Level(level, table, index, at, None, "", "fault", problem))
            return levels, 0, problem
        entry = int.from_bytes(data, "little")
        low = (1 << 9 * level) - 1
        page = entry >> 10 & _PPN
        leads, problem = "leaf", ""
        if not entry & V:
            leads, problem = "fault", f"the level {level} entry is not valid (V is 0)"
        elif entry & W and not entry & R:
            leads, problem = "fault", f"the level {level} entry has W without R, which is reserved"
        elif entry & _RESERVED:
            leads, problem = "fault", f"the level {level} entry has reserved bits set (54 to 63)"
        elif not entry & (R | X) and level and entry & (D | A | U):
            leads, problem = "fault", f"the level {level} entry points to a table and has D, A or U set, which is reserved"
        elif not entry & (R | X):
            leads = "table" if level else "fault"
            problem = "" if level else "the level 0 entry points to another table (R, W and X are 0), and there is no level below"
        elif page & low:
            leads, problem = "fault", f"the {_LEVEL[level]} superpage is misaligned: the low {9 * level} bits of its frame number must be 0"
        levels.append(Level(level, table, index, at, entry, flags(entry), leads, problem))
        if leads == "fault":
            return levels, 0, problem
        if leads == "leaf":
            return levels, (page | address >> 12 & low) << 10 | entry & 0xFF, ""
        table = page << 12
    raise AssertionError("level 0 never leads to a table")


def _priced(m: np.ndarray, levels: list[Level]) -> list[Level]:
    """Return a walk's steps with where each finds its entry, and what it waits for it."""
    if not int(m[_p.P_TIMED]):
        return levels
    # a step may find the line an earlier one has brought, or miss the one it has replaced: the caches' own code, on a copy
    caches, found = m[: _s.RING_BASE].copy(), []
    for step in levels:
        if step.entry is not None:
            step = replace(step, cached=_cached(caches, step.at), cycles=int(l1d(caches, np.uint64(step.at), np.uint64(0))))
        found.append(step)
    return found


def _entries(m: np.ndarray, first: int, count: int) -> np.ndarray:
    """Return the words of translation-buffer entries, one row each."""
    return m[first : first + count * _p.TLB_WORDS].reshape(count, _p.TLB_WORDS)


def _places(m: np.ndarray) -> dict[str, tuple[int, int]]:
    """Return first word and number of entries of each buffer."""
    return {
        "ITLB": (int(m[_p.P_ITLB_TAGS]), int(m[_p.P_ITLB_ENTRIES])),
        "DTLB": (int(m[_p.P_DTLB_TAGS]), int(m[_p.P_DTLB_ENTRIES])),
        "L2 TLB": (int(m[_p.P_L2TLB_TAGS]), int(m[_p.P_L2TLB_SETS]) * _p.L2TLB_WAYS),
    }


def _lookup(m: np.ndarray, buffer: str, page: int) -> tuple[int, int] | None:
    """Return translation and time of last use of a page in a buffer."""
    first, count = _places(m)[buffer]
    if not int(m[_p.P_TIMED]) or page >> 26 not in (0, (1 << 26) - 1):
        return None
    page &= (1 << 27) - 1
    keys = [page + 1]
    if int(m[_p.P_TLB_TAGGED]):
        keys = [page + 1 | ((int(m[_s.SATP]) >> 44 & 0xFFFF) + 1) << 32, page + 1 | _EVERY]
    if buffer == "L2 TLB":
        first += (page & count // _p.L2TLB_WAYS - 1) * _p.L2TLB_WAYS * _p.TLB_WORDS
        count = _p.L2TLB_WAYS
    for tag, entry, used in _entries(m, first, count).tolist():
        if tag in keys:
            return entry, used
    return None


def locate(m: np.ndarray, address: int) -> tuple[int | None, str]:
    """Return the physical address behind a virtual one, whoever may use it, or None and why not.

    What the buffers remember comes first, as for the hart.
    """
    if not int(m[_s.SATP]):
        return address, ""
    page = address >> 12 & _PAGE
    for buffer in ("DTLB", "ITLB", "L2 TLB"):
        found = _lookup(m, buffer, page)
        if found is not None:
            return ((found[0] >> 10) << 12 | address & 0xFFF) & MASK, ""
    _, leaf, problem = walk_levels(m, address)
    if not leaf:
        return None, f"{address:#x} is not mapped: {problem}"
    return (leaf >> 10) << 12 | address & 0xFFF, ""


# ---- the walk ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class PageWalk(r.Shown):
    """How an address is translated, step by step.

    Attributes
    ----------
    address : int
    mode : str
        The privilege level asked about.
    rows : list of Level
    buffered : list of Buffered
        Where the buffers know the page.
    load, store, fetch : Outcome
    remark : str
        Why no translation takes place, if so.
    name : str
        The address's symbol.
    buffer_cycles : int
        What a miss of the first-level buffer waits for the second, before it walks.
    """

    address: int
    mode: str
    rows: list[Level]
    buffered: list[Buffered]
    load: Outcome
    store: Outcome
    fetch: Outcome
    remark: str = ""
    name: str = ""
    buffer_cycles: int = 0

    @property
    def cycles(self) -> int:
        """What an access would wait for its translation now if no buffer had it."""
        return self.buffer_cycles + sum(step.cycles for step in self.rows)

    @property
    def levels(self) -> list[Level]:
        """The steps; the same as ``rows``."""
        return self.rows

    def blocks(self) -> list[r.Block]:
        vpn = [self.address >> 12 + 9 * level & 511 for level in (2, 1, 0)]
        named = f" <{self.name}>" if self.name else ""
        found: list[r.Block] = [
            r.Heading(
                "Page walk",
                f"{self.address:#x}{named} in {self.mode} mode: indices {vpn[0]}, {vpn[1]}, {vpn[2]}, offset {self.address & 0xFFF:#x}",
            )
        ]
        if self.remark:
            found.append(r.Remark(self.remark, "soft"))
        if self.rows:
            rows = []
            for step in self.rows:
                if step.leads == "table":
                    leads = f"table at {(step.entry >> 10 & _PPN) << 12:#x}"
                elif step.leads == "leaf":
                    leads = f"{_LEVEL[step.level]} page at {(step.entry >> 10 & _PPN) << 12:#x}"
                else:
                    leads = "fault: " + step.problem
                rows.append(
                    r.Row(
                        (
                            r.Cell(str(step.level)), r.Cell(f"{step.table:#x}", "mono", step.table), r.Cell(str(step.index), "num"),
                            r.Cell("outside RAM" if step.entry is None else f"{step.entry:#x}", "mono", step.at), r.Cell(step.flags, "mono"),
                            r.Cell(step.cached, "soft"), r.Cell(f"{step.cycles:,}" if step.cached else "", "num soft"),
                            r.Cell(leads, "bad wrap" if step.leads == "fault" else "wrap"),
                        )
                    )
                )  # fmt: skip
            found.append(r.Table(("level", "table", "index", "entry", "flags", "found in", "cycles", "leads to"), rows))
            if any(step.cached for step in self.rows):
                found.append(
                    r.Remark(
                        f"The walk costs {r.counted(self.cycles, 'cycle')}: {self.buffer_cycles:,} for the look into the L2 TLB before it, "
                        f"{self.cycles - self.buffer_cycles:,} for its entries.",
                        "soft",
                    )
                )
        elif not self.remark:
            found.append(r.Remark(self.load.reason, "bad"))
        rows = []
        for outcome in (self.load, self.store, self.fetch):
            where = f"{outcome.physical:#x}" if outcome.physical is not None else ""
            rows.append(
                r.Row(
                    (
                        r.Cell(outcome.kind, "strong"), r.Cell("✓" if outcome.ok else "✗", "good" if outcome.ok else "bad"),
                        r.Cell(where, "mono", outcome.physical), r.Cell(outcome.reason, "wrap" if outcome.ok else "bad wrap"),
                        r.Cell(outcome.via, "soft"),
                    )
                )
            )  # fmt: skip
        found.append(r.Table(("access", "", "physical", "what happens", "by"), rows))
        for entry in self.buffered:
            old = "; the page table says otherwise by now, and only sfence.vma makes the machine look" if entry.stale else ""
            found.append(
                r.Remark(f"The {entry.buffer} has this page: frame {entry.frame:#x}, {entry.flags}{old}.", "bad" if entry.stale else "soft")
            )
        if not self.buffered and not self.remark:
            found.append(r.Remark("No translation buffer has this page.", "soft"))
        return found


def _mode_number(m: np.ndarray, mode: str | int | None) -> int:
    if mode is None:
        return int(m[_s.MODE]) & 3
    numbers = {name: number for number, name in MODE_NAMES.items() if number != 2}
    if mode in numbers.values():
        return int(mode)
    if str(mode).upper() not in numbers:
        raise ValueError(f"{mode!r} is no privilege level; choose U, S or M")
    return numbers[str(mode).upper()]


def _refusals(entry: int, kind: str, mode: int, status: int) -> list[str]:
    """Return every reason why an entry does not allow an access."""
    found = []
    if mode == 0 and not entry & U:
        found.append("the page is not for U mode (U is 0)")
    if mode == 1 and entry & U:
        if kind == "fetch":
            found.append("the page belongs to U mode (U is 1), and S mode never executes those")
        elif not status & _SUM:
            found.append("the page belongs to U mode (U is 1) and SUM in sstatus is 0")
    if kind == "fetch" and not entry & X:
        found.append("the page may not be executed (X is 0)")
    if kind == "store" and not entry & W:
        found.append("the page may not be written (W is 0)")
    if kind == "load" and not entry & R and not (status & _MXR and entry & X):
        found.append("the page may not be read (R is 0" + (", and MXR in sstatus is 0)" if entry & X else ")"))
    if not entry & A:
        found.append("its accessed bit is clear (A is 0)")
    if kind == "store" and not entry & D:
        found.append("its dirty bit is clear (D is 0)")
    return found


def _outcome(m: np.ndarray, address: int, kind: str, mode: int, leaf: int, problem: str) -> Outcome:
    status = int(m[_s.SSTATUS])
    if mode == 3 and kind != "fetch" and status & _MPRV:
        mode = status >> 11 & 3
    if mode == 3 or not int(m[_s.SATP]):
        physical, via = address, "no translation"
    else:
        page = address >> 12 & _PAGE
        entry, via = leaf, "page table"
        for buffer in ("ITLB" if kind == "fetch" else "DTLB", "L2 TLB"):
            found = _lookup(m, buffer, page)
            if found is not None:
                entry, via = found[0], buffer
                break
        if not entry and "outside RAM" in problem:
            return Outcome(kind, False, None, _ACCESS[kind], f"access fault: {problem}", via)
        if not entry:
            return Outcome(kind, False, None, _KINDS[kind], f"page fault: {problem or 'the buffer holds an empty entry'}", via)
        refusals = _refusals(entry, kind, mode, status)
        if refusals:
            return Outcome(kind, False, None, _KINDS[kind], "page fault: " + "; ".join(refusals), via)
        physical = ((entry >> 10) << 12 | address & 0xFFF) & MASK
    if not permitted(m, np.uint64(physical), np.uint64(physical), np.uint64(KINDS.index(kind)), np.uint64(mode)):
        what = f"physical memory protection does not let {MODE_NAMES[mode]} mode {_VERBS[kind]} {physical:#x}"
        return Outcome(kind, False, physical, _ACCESS[kind], f"access fault: {what}", via)
    if ram_read(m, physical, 1):
        return Outcome(kind, True, physical, None, "reaches RAM", via)
    device = device_at(physical)
    if device and kind != "fetch":
        return Outcome(kind, True, physical, None, f"reaches the {device}", via)
    what = f"is the {device}, from which nothing can be executed" if device else "is neither RAM nor a device"
    return Outcome(kind, False, physical, _ACCESS[kind], f"access fault: physical {physical:#x} {what}", via)


def page_walk(source, address: int | str, mode: str | None = None) -> PageWalk:
    """Return how the machine would translate a virtual address now.

    Parameters
    ----------
    source : Machine, Board or snapshot
    address : int or str
        A number, a symbol, or a register such as "pc".
    mode : {"U", "S", "M"}, optional
        The privilege level to ask about; the present one if left out.
    """
    m = state_of(source)
    address = address_of(source, address)
    number = _mode_number(m, mode)
    status = int(m[_s.SSTATUS])
    remark, levels, leaf, problem = "", [], 0, ""
    satp = int(m[_s.SATP])
    if not satp:
        remark = "satp is 0: addresses are physical, nothing is translated."
    else:
        levels, leaf, problem = walk_levels(m, address)
        levels = _priced(m, levels)
        if number == 3 and not (status & _MPRV and status >> 11 & 3 != 3):
            remark = "M mode uses physical addresses. The walk is what S mode would see."
        elif number == 3:
            remark = f"MPRV is set: loads and stores are made as in {MODE_NAMES[status >> 11 & 3]} mode; fetches use physical addresses."
    buffered = []
    for buffer in _places(m) if satp else ():
        found = _lookup(m, buffer, address >> 12 & _PAGE)
        if found is not None:
            entry, used = found
            buffered.append(
                Buffered(buffer, address & ~0xFFF, (entry >> 10) << 12 & MASK, flags(entry), bool(entry & G), used, entry != leaf)
            )
    buffer_cycles = int(m[_p.P_L2TLB_CYCLES]) if levels and int(m[_p.P_TIMED]) else 0
    load, store, fetch = (_outcome(m, address, kind, number, leaf, problem) for kind in KINDS)
    return PageWalk(
        address, MODE_NAMES[number], levels, buffered, load, store, fetch, remark, symbols_of(source).name(address), buffer_cycles
    )


# ---- the buffers ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Tlbs(r.Shown):
    """What the translation buffers hold, the latest first.

    Attributes
    ----------
    rows : list of Buffered
    capacity : dict of str to int
        Entries each buffer has room for.
    most : int
        How many of a buffer are shown; ``rows`` has them all.
    """

    rows: list[Buffered]
    capacity: dict[str, int]
    names: dict[int, str]
    most: int = 16

    def __getitem__(self, buffer: str) -> list[Buffered]:
        """Return the entries of one buffer."""
        if buffer not in self.capacity:
            raise KeyError(f"there is no buffer {buffer!r}; there are {', '.join(self.capacity)}")
        return [row for row in self.rows if row.buffer == buffer]

    def blocks(self) -> list[r.Block]:
        found: list[r.Block] = [r.Heading("Translation buffers")]
        for buffer, room in self.capacity.items():
            rows = self[buffer]
            found.append(
                r.Heading(
                    buffer, f"{len(rows)} of {r.counted(room, 'entry', 'entries')}, last {'used' if buffer == 'L2 TLB' else 'filled'} first"
                )
            )
            if not rows:
                found.append(r.Remark("empty", "soft"))
                continue
            found.append(
                r.Table(
                    ("page", "frame", "flags", "global", "stamp", ""),
                    [
                        r.Row(
                            (
                                r.Cell(f"{row.page:#x}", "mono", row.page), r.Cell(f"{row.frame:#x}", "mono"), r.Cell(row.flags, "mono"),
                                r.Cell("yes" if row.is_global else "", "soft"), r.Cell(f"{row.last_use:,}", "num"),
                                r.Cell(self.names.get(row.page, ""), "soft"),
                            )
                        )
                        for row in rows[: self.most]
                    ],
                )
            )  # fmt: skip
            if len(rows) > self.most:
                found.append(r.Remark(f"and {len(rows) - self.most} more", "soft"))
        return found


def tlbs(source, most: int = 16) -> Tlbs:
    """Return what the instruction, data and second-level translation buffers hold.

    Parameters
    ----------
    source : Machine, Board or snapshot
    most : int
        How many entries of each to show.
    """
    m, symbols = state_of(source), symbols_of(source)
    rows, capacity, names = [], {}, {}
    for buffer, (first, count) in _places(m).items():
        capacity[buffer] = count
        entries = [
            Buffered(buffer, _virtual((tag & (1 << 28) - 1) - 1), (entry >> 10) << 12 & MASK, flags(entry), bool(entry & G), used)
            for tag, entry, used in _entries(m, first, count).tolist()
            if tag
        ]
        rows += sorted(entries, key=lambda entry: -entry.last_use)
    for row in rows:
        if name := symbols.name(row.page):
            names[row.page] = name
    return Tlbs(rows, capacity, names, most)


def _virtual(page: int) -> int:
    """Return the address of the page a buffer's key begins with: bit 38 is repeated upwards."""
    page &= (1 << 27) - 1
    return ((page ^ 1 << 26) - (1 << 26) & _PAGE) << 12
