"""The hardware model, measured: caches, translation, traps, and what a change of the page table costs.

Small assembly programs run on a bare machine; the machine's counters are read from outside, so looking costs
nothing. Everything is measured warm, unless it says otherwise: what is timed has been done before. Where code
runs behind a page table, RAM is mapped where it is, in 4 KB pages. The call into the lab's kernel is the real one,
made by a SIP, by call and by trap.

Plots of these tables are in :mod:`singlab.experiments.hardware_plots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import gcd

import numpy as np

from singlab.kernel import System
from singlab.machine import Machine, Profile
from singlab.machine import state as _s
from singlab.machine.asm import assemble
from singlab.machine.profile import LINE, apply_profile, get_profile
from singlab.sing import build, programs_from_source

PAGE = 4096
#: A page further and a line further: so each page is met at another line, and pages do not compete for one cache set.
PAGE_STRIDE = PAGE + LINE
#: Where experiments put their data and page tables; code lies at the beginning of RAM. Data begins eight lines into its
#: page, for each table's first entries lie at the beginning of one, and the two would compete for the same cache set.
DATA = _s.RAM_BASE + 0x10_0000 + 8 * LINE
USER = _s.RAM_BASE + 0x1000
RAM = 16 << 20
_TABLES = _s.RAM_BASE + RAM - 0x10_0000
#: A second view of the data, whose page table entries share no cache line with any other.
FAR = 16 << 30

_V, _R, _W, _X, _U, _G, _A, _D = (1 << bit for bit in range(8))

#: Where cycles go, in the order in which bars are stacked: counter to words.
CAUSES = {
    "instructions": "instructions",
    "stall_trap": "trap and return",
    "stall_walk": "translation",
    "stall_fetch": "fetching code",
    "stall_load": "loads",
    "stall_store": "stores",
    "stall_branch": "wrong predictions",
    "stall_muldiv": "multiply, divide",
}

#: Rounds a loop is measured over.
ROUNDS = 1000
#: Eight accesses each, in a walk through a small array.
_LEAST_ROUNDS = 64

_CHASE = """
chase:                              # a0: an element; each holds the address of the next. a1: rounds of eight
    ld a0, 0(a0)
    ld a0, 0(a0)
    ld a0, 0(a0)
    ld a0, 0(a0)
    ld a0, 0(a0)
    ld a0, 0(a0)
    ld a0, 0(a0)
    ld a0, 0(a0)
    addi a1, a1, -1
    bnez a1, chase
    hook 0
single:
    ld a0, 0(a0)
    addi a1, a1, -1
    bnez a1, single
    hook 0
change:
    csrw satp, a2
    hook 0
flush:
    sfence.vma
    hook 0
"""

TRAPS = """
trap:                               # a7 = 0: a system call that does nothing; else the program has ended
    bnez a7, ended
    csrr t0, sepc
    addi t0, t0, 4
    csrw sepc, t0
    sret
ended:
    hook 0
    .align 12
nothing:
    addi a1, a1, -1
    bnez a1, nothing
    li a7, 1
    ecall
calling:
    call callee
    addi a1, a1, -1
    bnez a1, calling
    li a7, 1
    ecall
trapping:
    ecall
    addi a1, a1, -1
    bnez a1, trapping
    li a7, 1
    ecall
callee:
    ret
"""

_CALLER = """
@sip
def caller(calls: u64) -> u64:
    seen: u64 = 0
    for i in range(calls):
        seen = cycles_per_second()
    return seen

@sip
def idler(calls: u64) -> u64:
    seen: u64 = 0
    for i in range(calls):
        seen = i
    return seen
"""


class Rig:
    """A bare machine with one of the programs above in it.

    Parameters
    ----------
    profile : str or Profile
    text : str
        Assembly; its labels are where it can be started.
    paged : bool
        Whether it runs as supervisor behind a page table; otherwise at the machine level, on physical memory.
    global_pages : bool
        Whether the page table marks its pages as the same for everybody.
    user_from : int
        Address from which on pages belong to user mode.
    """

    def __init__(self, profile: str | Profile = "athlon64", text: str = _CHASE, *, paged: bool = False, global_pages: bool = False,
                 user_from: int = 1 << 63):  # fmt: skip
        self.machine = Machine(profile=profile, ram=RAM)
        self.m = self.machine.m
        assembled = assemble(text, _s.RAM_BASE)
        self.labels = assembled.labels
        self.machine.write(_s.RAM_BASE, assembled.code)
        self.mode = _s.M_MODE
        if paged:
            self.machine.leave_machine_level()
            self.mode = _s.S
            self.m[_s.STVEC] = _s.RAM_BASE
            self.m[_s.SATP] = _identity_table(self.machine, global_pages, user_from)

    def run(self, start: str, *, mode: int | None = None, **registers: int) -> dict[str, int]:
        """Start at a label and run to the next hook; returns what the counters counted meanwhile."""
        m = self.m
        names = {"a0": 10, "a1": 11, "a2": 12, "a7": 17}
        for name, value in {"a7": 0, **registers}.items():
            m[names[name]] = value
        m[_s.PC], m[_s.MODE] = self.labels[start], self.mode if mode is None else mode
        before = self.machine.counters()
        if self.machine.run(cycles=1_000_000_000) != "hook":
            raise RuntimeError(f"the program at {start} did not come to its end: {self.machine!r}")
        return {name: value - before[name] for name, value in self.machine.counters().items()}

    def until(self, start: str, address: int, mode: int) -> dict[str, int]:
        """Start at a label and run until control comes to an address; returns what the counters counted meanwhile."""
        m = self.m
        m[_s.PC], m[_s.MODE], m[17] = self.labels[start], mode, 0
        before = self.machine.counters()
        for _ in range(1000):
            self.machine.run(cycles=1)  # to the next line or jump
            if int(m[_s.PC]) == address:
                return {name: value - before[name] for name, value in self.machine.counters().items()}
        raise RuntimeError(f"the program at {start} did not come to {address:#x}: {self.machine!r}")

    def chain(self, count: int, stride: int, seed: int | None = 0, at: int = DATA) -> int:
        """Link elements ``stride`` apart into a circle, in random order unless ``seed`` is None; returns the first's address."""
        order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
        data = np.zeros(count * stride // 8, dtype="<u8")
        data[order * (stride // 8)] = at + np.roll(order, -1) * stride
        self.machine.write(at, data.tobytes())
        return at + int(order[0]) * stride

    def empty_caches(self) -> None:
        """Empty caches and translation buffers, as after switching on."""
        apply_profile(self.m, self.machine.profile)


def _identity_table(machine: Machine, global_pages: bool, user_from: int) -> int:
    """Map RAM where it is, and once more at FAR; returns the value for satp."""
    pages = RAM // PAGE
    leaves, middle, far, root = _TABLES, _TABLES + 0x8000, _TABLES + 0x9000, _TABLES + 0xA000
    page = np.arange(pages, dtype=np.uint64)
    rights = np.full(pages, _V | _R | _W | _X | _A | _D | (_G if global_pages else 0), dtype=np.uint64)
    rights[(user_from - _s.RAM_BASE) // PAGE :] |= np.uint64(_U)
    machine.write(leaves, ((page + np.uint64(_s.RAM_BASE // PAGE)) << np.uint64(10) | rights).tobytes())
    tables = np.zeros(512, dtype=np.uint64)
    tables[: pages // 512] = (np.arange(pages // 512, dtype=np.uint64) + np.uint64(leaves // PAGE)) << np.uint64(10) | np.uint64(_V)
    machine.write(middle, tables.tobytes())
    machine.write(far, tables.tobytes())
    machine.store_u64(root + 8 * (_s.RAM_BASE >> 30), middle // PAGE << 10 | _V)
    machine.store_u64(root + 8 * (FAR >> 30), far // PAGE << 10 | _V)
    return 8 << 60 | root // PAGE


def causes(counters: dict[str, int], per: float = 1.0) -> dict[str, float]:
    """Return where cycles went, by cause, each divided by ``per``; the values sum to the cycles."""
    return {words: counters[name] / per for name, words in CAUSES.items()}


def where_cycles_went(runs: dict[str, dict[str, int]]):
    """Return the cycles of some runs by cause.

    Parameters
    ----------
    runs : dict of str to dict
        A name for each, and what its machine's ``counters()`` say.

    Returns
    -------
    pandas.DataFrame
        Columns ``transfer`` (the name), ``cause`` and ``cycles``.
    """
    import pandas as pd

    rows = [(name, cause, value) for name, counters in runs.items() for cause, value in causes(counters).items()]
    return pd.DataFrame(rows, columns=["transfer", "cause", "cycles"])


def step_by_step(view, travel, steps: int, csrs: Sequence[str] = ("sepc", "scause"), registers: Sequence[str] = ("a0",)):
    """Step a machine and write down what each step left behind.

    A step retires one instruction. An ``ecall`` retires none, so it stands in one row with the handler's first instruction.

    Parameters
    ----------
    view : singlab.machine.view.Views
    travel : singlab.machine.timetravel.TimeTravel
        Of the same machine; the next step begins where this one ended.
    steps : int
        Fewer are made if the machine stops before.
    csrs, registers : sequence of str
        Whose values to note.

    Returns
    -------
    pandas.DataFrame
        Columns ``carried out``, ``mode`` (afterwards), one for each register named, and ``cycles`` (of this step).
    """
    import pandas as pd

    def instruction(address: int) -> str:
        row = view.code(address, before=0, count=1).rows[0]
        return f"{row.mnemonic} {row.operands}".strip()

    def value(name: str) -> str:
        found = view.csrs(name)[name]
        return found.text.strip("<>") if found.text and found.value else f"{found.value:#x}"

    counters = view.machine.counters
    rows = []
    for _ in range(steps):
        before, position = counters(), travel.position
        carried_out = instruction(view.address("pc"))
        travel.step()
        if travel.position == position:
            break
        after, shown = counters(), view.registers()
        if after["traps"] > before["traps"]:
            vector = f"{shown.mode.lower()}tvec"
            carried_out = f"{carried_out} ⟶ {instruction(view.csrs(vector)[vector].value & ~3)}"
        rows.append(
            (carried_out, shown.mode, *map(value, csrs), *(shown[name].signed for name in registers), after["cycles"] - before["cycles"])
        )
    return pd.DataFrame(rows, columns=["carried out", "mode", *csrs, *registers, "cycles"])


def _rounds(elements: int) -> int:
    """Return how many rounds of eight lead through a circle and end where they began; so many that leaving the loop does not show."""
    whole = elements // gcd(elements, 8)
    return whole * -(-_LEAST_ROUNDS // whole)


# ---- caches -------------------------------------------------------------------------------------------------------


def cache_staircase(profile: str | Profile = "athlon64", sizes: Sequence[int] | None = None, seed: int = 0):
    """Measure an access to arrays of growing size: a chase through all their lines, in random order.

    Returns
    -------
    pandas.DataFrame
        Columns ``profile``, ``bytes``, ``cycles`` (per access, the loop's own instructions among them), ``l1_misses`` and
        ``l2_misses`` (per access).
    """
    import pandas as pd

    known = get_profile(profile)
    if sizes is None:
        powers = [1 << n for n in range((known.l1d_bytes // 8).bit_length() - 1, (known.l2_bytes * 8).bit_length())]
        sizes = sorted({*powers, *(size + size // 2 for size in powers[:-1])})
    rig = Rig(known)
    rows = []
    for size in sizes:
        lines = size // LINE
        first, rounds = rig.chain(lines, LINE, seed), _rounds(lines)
        rig.run("chase", a0=first, a1=rounds)
        found = rig.run("chase", a0=first, a1=rounds)
        loads = rounds * 8
        rows.append((known.name, size, found["cycles"] / loads, found["l1d_misses"] / loads, found["l2_misses"] / loads))
    return pd.DataFrame(rows, columns=["profile", "bytes", "cycles", "l1_misses", "l2_misses"])


def strides(profile: str | Profile = "athlon64", steps: Sequence[int] = (8, 16, 32, 64, 128, 256)):
    """Measure an access to an array twice as large as the first-level cache, in order, by the distance of two accesses.

    Returns
    -------
    pandas.DataFrame
        Columns ``stride`` (bytes), ``cycles`` and ``l1_misses`` (per access).
    """
    import pandas as pd

    known = get_profile(profile)
    rig = Rig(known)
    rows = []
    for stride in steps:
        count = 2 * known.l1d_bytes // stride
        first, rounds = rig.chain(count, stride, None), _rounds(count)
        rig.run("chase", a0=first, a1=rounds)
        found = rig.run("chase", a0=first, a1=rounds)
        rows.append((stride, found["cycles"] / (rounds * 8), found["l1d_misses"] / (rounds * 8)))
    return pd.DataFrame(rows, columns=["stride", "cycles", "l1_misses"])


# ---- translation --------------------------------------------------------------------------------------------------


def tlb_staircase(profile: str | Profile = "athlon64", pages: Sequence[int] | None = None, seed: int = 0):
    """Measure an access to one word in each of many pages, on physical memory and behind a page table.

    Returns
    -------
    pandas.DataFrame
        Columns ``paged``, ``pages``, ``cycles``, and of these ``translation`` and ``loads`` (per access).
    """
    import pandas as pd

    known = get_profile(profile)
    if pages is None:
        largest = min(2 * known.l2tlb_entries, 2048)
        powers = [1 << n for n in range((known.dtlb_entries // 4).bit_length(), largest.bit_length())]
        pages = sorted({*powers, *(n + n // 2 for n in powers[:-1])})
    rows = []
    for paged in (False, True):
        for count in pages:
            # with buffers that are empty: first in, first out remembers for ever in which order it was filled
            rig = Rig(known, paged=paged)
            first, rounds = rig.chain(count, PAGE_STRIDE, seed), _rounds(count)
            rig.run("chase", a0=first, a1=rounds)
            found = rig.run("chase", a0=first, a1=rounds)
            loads = rounds * 8
            rows.append((paged, count, found["cycles"] / loads, found["stall_walk"] / loads, found["stall_load"] / loads))
    return pd.DataFrame(rows, columns=["paged", "pages", "cycles", "translation", "loads"])


def translation_costs(profile: str | Profile = "athlon64"):
    """Measure what one load stalls for its translation, by where the translation is found.

    Returns
    -------
    pandas.DataFrame
        Index ``translation found in``; columns ``stall`` (cycles) and ``table entries read``.
    """
    import pandas as pd

    known = get_profile(profile)
    rig = Rig(known, paged=True)
    place = FAR + DATA - _s.RAM_BASE
    rows = []

    def load(where: str) -> None:
        before = rig.machine.counters()["page_walks"]
        found = rig.run("single", a0=place, a1=1)
        rows.append((where, found["stall_walk"], 3 * (rig.machine.counters()["page_walks"] - before)))

    rig.run("single", a0=_s.RAM_BASE, a1=1)  # the code's own page and lines are known from here on
    load("page table, all of it in memory")
    load("first buffer")
    others = known.dtlb_entries + 1
    rig.run("single", a0=rig.chain(others, PAGE_STRIDE, None, at=DATA + 0x20_0000), a1=others)
    load("second buffer")
    rig.run("flush")
    rig.run("single", a0=_s.RAM_BASE, a1=1)
    load("page table, all of it in the first-level cache")
    order = [1, 2, 3, 0]
    frame = pd.DataFrame([rows[i] for i in order], columns=["translation found in", "stall", "table entries read"])
    return frame.set_index("translation found in")


# ---- control transfers --------------------------------------------------------------------------------------------


@cache
def _images():
    unit = programs_from_source(_CALLER, "hardware")
    return build(unit.programs["caller"]), build(unit.programs["idler"])


def _kernel_run(isolation: str, calls: int, idle: bool, profile) -> dict[str, int]:
    """Return the counters of a SIP that makes so many calls, or as many rounds of an empty loop."""
    system = System(profile=profile, isolation=isolation, trace=False)
    process = system.create(_images()[idle], calls=calls)
    counters = system.run().counters
    if process.exit_value is None:
        raise RuntimeError(f"the caller did not finish: {process!r}")
    return counters


def _less(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one[name] - other[name] for name in CAUSES}


def control_transfers(profile: str | Profile = "athlon64", rounds: int = ROUNDS):
    """Measure four round trips, warm, each in a loop whose own cost is taken off.

    A function call and a trap that do nothing, both from user mode; and the smallest call into the lab's kernel, which
    asks for the caller's number, from ring 0 by call and from ring 3 by trap.

    Returns
    -------
    pandas.DataFrame
        Columns ``transfer``, ``cause`` and ``cycles`` (per round trip).
    """
    import pandas as pd

    rig = Rig(profile, TRAPS, paged=True, user_from=USER)
    found: dict[str, dict[str, int]] = {}
    for label in ("nothing", "calling", "trapping"):
        rig.run(label, mode=_s.U, a1=rounds)
        found[label] = rig.run(label, mode=_s.U, a1=rounds)
    rows = []
    for transfer, label in (("function call", "calling"), ("trap", "trapping")):
        rows += [(transfer, cause, value) for cause, value in causes(_less(found[label], found["nothing"]), rounds).items()]
    for transfer, isolation in (("kernel call, ring 0", "sip"), ("kernel call, ring 3", "ring3")):
        runs = [
            _less(_kernel_run(isolation, 100 + rounds, idle, profile), _kernel_run(isolation, 100, idle, profile)) for idle in (False, True)
        ]
        rows += [(transfer, cause, value) for cause, value in causes(_less(*runs), rounds).items()]
    return pd.DataFrame(rows, columns=["transfer", "cause", "cycles"])


def totals(frame):
    """Return the cycles of each transfer as a pandas Series."""
    return frame.groupby("transfer", sort=False)["cycles"].sum()


def cold_and_warm(profile: str | Profile = "athlon64", times: int = 2):
    """Measure one function call and one trap from the first time on, each starting with empty caches and buffers.

    Returns
    -------
    pandas.DataFrame
        Columns ``transfer`` (with which time it is), ``cause`` and ``cycles``.
    """
    import pandas as pd

    rig = Rig(profile, TRAPS, paged=True, user_from=USER)
    words = ("first", "second", "third", "fourth", "fifth")
    rows = []
    for transfer, label in (("function call", "calling"), ("trap", "trapping")):
        rig.empty_caches()
        for time in range(times):
            found = rig.until(label, rig.labels[label] + 4, mode=_s.U)
            rows += [(f"{transfer}, {words[time]} time", cause, value) for cause, value in causes(found).items()]
    return pd.DataFrame(rows, columns=["transfer", "cause", "cycles"])


# ---- changing the page table ---------------------------------------------------------------------------------------


def after_a_switch(profile: str | Profile = "athlon64", pages: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256)):
    """Measure how much longer a program's next round over its pages takes after something happened in between.

    Three things: the page table was changed and changed back; another program went through twice as much memory as the
    first-level cache holds, without a change; and both, which is a switch between processes that hardware keeps apart. In a
    fourth case both happen, but all pages are marked global, so the buffers keep them.

    Returns
    -------
    pandas.DataFrame
        Columns ``case``, ``pages``, ``cycles`` (beyond a warm round), and of these ``translation`` and ``loads``.
    """
    import pandas as pd

    rows = []
    for case, change, other, global_pages in (
        ("page table changed", True, False, False), ("another program ran", False, True, False), ("both", True, True, False),
        ("both, pages global", True, True, True),
    ):  # fmt: skip
        rig = Rig(profile, paged=True, global_pages=global_pages)
        table, lines = int(rig.m[_s.SATP]), 2 * rig.machine.profile.l1d_bytes // LINE
        theirs = rig.chain(lines, LINE, None, at=DATA + 0x40_0000)
        for count in pages:
            mine = rig.chain(count, PAGE_STRIDE, 0)
            for _ in range(3):
                warm = rig.run("single", a0=mine, a1=count)
            for happens, label, registers in ((change, "change", {"a2": table}), (other, "single", {"a0": theirs, "a1": lines}),
                                              (change, "change", {"a2": table})):  # fmt: skip
                if happens:
                    rig.run(label, **registers)
            found = rig.run("single", a0=mine, a1=count)
            more = {name: found[name] - warm[name] for name in ("cycles", "stall_walk", "stall_load")}
            rows.append((case, count, *more.values()))
    return pd.DataFrame(rows, columns=["case", "pages", "cycles", "translation", "loads"])
