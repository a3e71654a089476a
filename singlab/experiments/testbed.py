"""A test bed: measuring programs on a bare machine with a clock that costs and neighbours that disturb.

A program of :mod:`singlab.sing.bare` runs in user mode behind an Sv39 page table. It sees an arena of memory
from address 0 and nothing else; reading the clock is a system call and takes its time. Now and then a timer
interrupt gives the machine to another program, which works for a while and uses caches and translation
buffers of its own; when, is drawn from a seed. That other program is a loop in the supervisor; the machine runs it
instruction by instruction like everything else.

Parts of this can be taken away (:class:`Bed`), so that one can ask what a measurement would have been in a quiet
house, with a clock that costs nothing, or on caches already warm. Leaves out writing to the arena.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from random import Random

import numpy as np

from singlab.kernel.abi import ABI_NUMBER
from singlab.machine import Machine, Profile
from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.asm import assemble
from singlab.machine.profile import get_profile
from singlab.sing.bare import CLOCK, NOTE, TRAP, BareCode, build_bare
from singlab.sing.errors import SipError
from singlab.sing.program import Program, programs_from_source
from singlab.trace.record import FAULTS

ARENA = 1 << 20  #: bytes a measuring program can load from, at addresses 0 to ARENA - 8
LINE = 64  #: bytes of a cache line, on every machine
PAGE = 4096  #: bytes of a page

#: Cycles one run may take, instructions of its own, and how often it may read the clock; the master solution, which repeats
#: each sweep 25 times, needs at most a quarter of each.
LIMIT_CYCLES = 1_000_000_000
LIMIT_INSTRUCTIONS = 50_000_000
LIMIT_CLOCK = 20_000
LIMIT_NOTES = 10_000

# ---- where things lie: physical addresses, and the virtual ones of what a program sees ----------------------------
_BASE = _s.RAM_BASE
_SAVE, _NEIGHBOUR, _ROOT = _BASE + 0x2000, _BASE + 0x4000, _BASE + 0x2_0000
_TEXT, _STACK, _ARENA = _BASE + 0x4_0000, _BASE + 0x8_0000, _BASE + 0x10_0000
MOST_CODE, MOST_STACK = 0x4_0000, 0x8000  #: bytes
TEXT_AT, STACK_AT = 0x4000_0000, 0x4100_0000
_V, _R, _W, _X, _U, _G, _A, _D = (1 << bit for bit in range(8))

_BUSY_INSTRUCTIONS = 3  #: of a turn of the loop in which a neighbour works; one of them is a division
_AT_CLOCK, _AT_SERVICE, _AT_FAULT = 1, 2, 3
_EXIT, _FAULT = ABI_NUMBER["exit"], ABI_NUMBER["fault"]

#: Neighbours: the machine has just been switched on when a program starts, so the first readings of the clock are
#: always disturbed, and long; later ones with this chance. The scheduler is fair: who has computed for long makes others wait, so
#: their time is drawn as a part of the longest of the last stretches, and lies between these bounds.
_RESTLESS_READINGS, _CHANCE = 4, 1 / 3
_LONG, _SHORTEST, _LONGEST = 600_000, 2_000, 1_000_000
_LEAST_PART, _MOST_PART, _STRETCHES = 0.15, 1.0, 4
#: Loads between two readings of the clock from which on their misses say something: about lines, about pages.
_LINE_STRETCH, _PAGE_STRETCH = 128, 16
#: Cycles after which a running program is looked at.
_SLICE = 10_000_000


def _supervisor(spin: int) -> str:
    """Return the supervisor: system calls, and the neighbour that a timer interrupt lets run."""
    return f"""
    csrrw t0, sscratch, t0
    csrr t0, scause
    addi t0, t0, -8
    bnez t0, other
    csrr t1, sepc                       # a system call: t registers are the caller's to lose
    addi t1, t1, 4
    csrw sepc, t1
    addi t0, a7, -{TRAP}
    bnez t0, service
    sret                                # trap(): nothing to do
service:
    addi t0, t0, {TRAP - CLOCK}
    bnez t0, host
    li t0, {spin}
before:
    addi t0, t0, -1
    bnez t0, before
    hook {_AT_CLOCK}                    # the reading goes into a0
    li t0, {spin}
after:
    addi t0, t0, -1
    bnez t0, after
    sret
host:
    hook {_AT_SERVICE}
    sret
other:
    csrr t0, scause
    bltz t0, timer
    hook {_AT_FAULT}
timer:
    la t0, {_SAVE}
    sd t1, 0(t0)
    sd t2, 8(t0)
    li t1, -1
    csrw stimecmp, t1
    ld t1, 16(t0)                       # how long the neighbour works
busy:
    div t2, t1, t1
    addi t1, t1, -1
    bnez t1, busy
    la t1, {_NEIGHBOUR}
    li t2, {_NEIGHBOUR + 12 * (PAGE + LINE)}
touch:
    ld x0, 0(t1)
    ld x0, {LINE}(t1)
    addi t1, t1, 2047
    addi t1, t1, 2047
    addi t1, t1, {PAGE + LINE - 2 * 2047}
    bltu t1, t2, touch
    ld t1, 0(t0)
    ld t2, 8(t0)
    csrr t0, sscratch
    sret
"""


@dataclass(frozen=True)
class Bed:
    """A machine to measure on.

    Attributes
    ----------
    profile : Profile
    spin : int
        How slow its clock is: turns of a loop before the reading, and again after it.
    seed : int
        Of the neighbours.
    quiet : bool
        No neighbours.
    free_clock : bool
        The clock does not count what reading it costs.
    warm : bool
        Whatever a program does between two readings of the clock it has just done once before.
    """

    profile: Profile
    spin: int = 20
    seed: int = 1
    quiet: bool = False
    free_clock: bool = False
    warm: bool = False

    def __post_init__(self):
        object.__setattr__(self, "profile", get_profile(self.profile))

    def but(self, **changes) -> Bed:
        """Return the same machine with something changed."""
        return replace(self, **changes)

    def __repr__(self) -> str:
        return f"<Bed {self.profile.name}{', quiet' * self.quiet}>"


@dataclass
class Outcome:
    """What a run came to.

    Attributes
    ----------
    ended : str
        "exit", "limit" (too many cycles), "clock" (too many readings of the clock), "notes" (too many notes),
        "outside" (access outside the arena) or "fault".
    value : int or None
        What the program returned.
    detail : str
        For "outside" the address, for "fault" what happened.
    line : int
        Source line of a fault.
    counters : dict of str to int
        The machine's counters at the end.
    notes : list of (int, int)
    clock_readings : int
    line_share, page_share : float
        Of the loads between two readings of the clock, the part that missed the first-level cache or translation buffer:
        the highest over the run, of stretches long enough.
    """

    ended: str
    value: int | None = None
    detail: str = ""
    line: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    notes: list[tuple[int, int]] = field(default_factory=list)
    clock_readings: int = 0
    line_share: float = 0.0
    page_share: float = 0.0

    @property
    def frame(self):
        """The notes as a pandas DataFrame with columns a and b."""
        import pandas as pd

        return pd.DataFrame(self.notes, columns=["a", "b"])

    def __repr__(self) -> str:
        what = {"exit": f"returned {self.value:,}" if self.value is not None else "", "limit": "stopped: it found no end",
                "clock": f"stopped: more than {LIMIT_CLOCK:,} readings of the clock",
                "notes": f"stopped: more than {LIMIT_NOTES:,} notes",
                "outside": f"line {self.line}: load({self.detail}) is outside the arena, which ends at {ARENA:,}",
                "fault": f"line {self.line}: {self.detail}"}[self.ended]  # fmt: skip
        return (f"{what}; {self.counters.get('cycles', 0):,} cycles, {self.clock_readings:,} readings of the clock, "
                f"interrupted {self.counters.get('interrupts', 0):,} times")  # fmt: skip


def _page_table(machine: Machine) -> int:
    """Write the page table; returns the value for satp."""
    free = iter(range(_ROOT + PAGE, _TEXT, PAGE))
    middles: dict[int, int] = {}
    leaves: dict[tuple[int, int], int] = {}

    def table(known: dict, key, parent: int, index: int) -> int:
        if key not in known:
            known[key] = next(free)
            machine.store_u64(parent + 8 * index, known[key] >> 12 << 10 | _V)
        return known[key]

    for start, physical, size, rights in (
        (0, _ARENA, ARENA, _R), (TEXT_AT, _TEXT, MOST_CODE, _R | _X), (STACK_AT, _STACK, MOST_STACK, _R | _W | _D),
    ):  # fmt: skip
        for offset in range(0, size, PAGE):
            top, mid, low = ((start + offset) >> shift & 511 for shift in (30, 21, 12))
            middle = table(middles, top, _ROOT, top)
            leaf = table(leaves, (top, mid), middle, mid)
            machine.store_u64(leaf + 8 * low, (physical + offset) >> 12 << 10 | rights | _V | _U | _A)
    machine.store_u64(_ROOT + 8 * (_BASE >> 30), _BASE >> 12 << 10 | _V | _R | _W | _X | _G | _A | _D)
    return 8 << 60 | _ROOT >> 12


class _Run:
    """One program on one machine, from switching on to its end."""

    def __init__(self, code: BareCode, bed: Bed, limit: int):
        self.code, self.bed, self.limit = code, bed, limit
        self.machine = machine = Machine(profile=bed.profile, ram="4M")
        machine.write(_BASE, assemble(_supervisor(bed.spin), _BASE).code)
        machine.write(_TEXT, code.text)
        m = self.m = machine.m
        machine.leave_machine_level()
        m[_s.STVEC] = _BASE
        m[_s.SATP] = _page_table(machine)
        m[_s.SIE] = 1 << 5
        m[_s.MODE], m[_s.PC], m[2] = _s.U, TEXT_AT, STACK_AT + MOST_STACK
        self.random = Random(bed.seed)
        self.skew = _clock_cost(bed.but(free_clock=False, quiet=True, warm=False)) if bed.free_clock else 0
        self.outcome = Outcome("exit")
        self.before = (0, 0, 0)
        self.stretches = [0]
        self.last = self.theirs = self.their_instructions = 0

    def run(self) -> Outcome:
        """Run to the end."""
        going = True
        while going:
            going = self.step()
            self.m[_s.PC] += np.uint64(4)
        self.outcome.counters = self.machine.counters()
        return self.outcome

    def stop(self, ended: str) -> bool:
        self.outcome.ended = ended
        return False

    def step(self) -> bool:
        """Run to the next hook and do what it asks for; returns whether to go on."""
        out, m = self.outcome, self.m
        reason = "limit"
        while reason == "limit":
            left = self.limit - int(m[_s.CYCLES])
            if left <= 0 or int(m[_s.INSTRET]) - self.their_instructions > LIMIT_INSTRUCTIONS:
                return self.stop("limit")
            reason = self.machine.run(cycles=min(left, _SLICE))
        hook = int(m[_s.HOOK_NUMBER])
        if hook == _AT_CLOCK:
            return self.clock()
        if hook == _AT_FAULT:
            out.line = self.code.line(int(m[_s.SEPC]) - TEXT_AT)
            address = int(m[_s.STVAL])
            out.detail = f"{address:,}" if address < 1 << 63 else f"{address - (1 << 64):,}"
            return self.stop("outside")
        number, a0, a1 = (int(m[r]) for r in (17, 10, 11))
        if number == NOTE:
            out.notes.append((a0, a1))
            return len(out.notes) <= LIMIT_NOTES or self.stop("notes")
        if number == _EXIT:
            out.value = a0
            return self.stop("exit")
        out.detail, out.line = FAULTS.get(a0, f"fault {a0}"), a1
        return self.stop("fault")

    def clock(self) -> bool:
        """Answer a reading of the clock, and let a neighbour have the machine soon if it is its turn."""
        out, m = self.outcome, self.m
        out.clock_readings += 1
        # accesses to the first-level cache would count those of page walks too
        now = (int(m[_s.C_DTLB_ACCESSES]), int(m[_s.C_L1D_MISSES]), int(m[_s.C_DTLB_MISSES]))
        loads, lines, pages = (after - before for after, before in zip(now, self.before))
        self.before = now
        if loads >= _LINE_STRETCH:
            out.line_share = max(out.line_share, lines / loads)
        if loads >= _PAGE_STRETCH:
            out.page_share = max(out.page_share, pages / loads)
        m[10] = int(m[_s.CYCLES]) - out.clock_readings * self.skew
        if not self.bed.quiet:
            restless = out.clock_readings <= _RESTLESS_READINGS
            now = int(m[_s.CYCLES])
            self.stretches = [*self.stretches[1 - _STRETCHES :], now - self.last - self.theirs]
            self.last, self.theirs = now, 0
            part = int(max(self.stretches) * self.random.uniform(_LEAST_PART, _MOST_PART))
            length = _LONG if restless else min(max(part, _SHORTEST), _LONGEST)
            if restless or self.random.random() < _CHANCE:
                turn = _BUSY_INSTRUCTIONS + self.bed.profile.divide_cycles
                self.machine.store_u64(_SAVE + 16, -(-length // turn))
                self.theirs = length
                self.their_instructions += _BUSY_INSTRUCTIONS * length // turn
                m[_s.TIMECMP] = m[_s.CYCLES] + np.uint64(self.random.randrange(32))
        if self.bed.warm:
            self.rehearse()
        return out.clock_readings <= LIMIT_CLOCK or self.stop("clock")

    def rehearse(self) -> None:
        """Run to the next hook and go back, but keep what caches and translation buffers have learned."""
        m, machine = self.m, self.machine
        kept, stack = m[: _s.TAGS_BASE].copy(), machine.read(_STACK, MOST_STACK)
        m[_s.PC] += np.uint64(4)
        machine.run(cycles=max(1, min(_SLICE, self.limit - int(m[_s.CYCLES]))))
        ticks = m[_p.P_TLB_CLOCK]
        m[: _s.TAGS_BASE] = kept
        m[_p.P_TLB_CLOCK] = ticks  # entries were stamped with it; it only ever grows
        machine.write(_STACK, stack)


def fitting(program: Program | BareCode) -> BareCode:
    """Compile a measuring program, if it is not compiled yet, and hold that it has room on a test bed.

    Raises
    ------
    SipError
        If it is refused, or too large.
    """
    code = program if isinstance(program, BareCode) else build_bare(program)
    if len(code.text) > MOST_CODE or code.stack_bytes > MOST_STACK:
        raise SipError("size", f"{code.name} is too large for the test bed: {len(code.text):,} bytes of code, {code.stack_bytes:,} of stack",
                       filename=code.name, hint="make it shorter")  # fmt: skip
    return code


def run(program: Program | BareCode, bed: Bed | Profile | str = "athlon64", *, limit: int = LIMIT_CYCLES) -> Outcome:
    """Run a measuring program.

    Parameters
    ----------
    program : Program or BareCode
        A ``@function`` without parameters that returns a number.
    bed : Bed, Profile or str
        The machine.
    limit : int
        Cycles it may take.

    Returns
    -------
    Outcome

    Raises
    ------
    SipError
        If the program is refused.
    """
    return _Run(fitting(program), bed if isinstance(bed, Bed) else Bed(bed), limit).run()


_REFERENCE = """
@function
def clock() -> u64:
    least: u64 = 1 << 62
    for turn in range(8):
        start = cycles()
        took = cycles() - start
        if took < least:
            least = took
    return least

@function
def trapped() -> u64:
    least: u64 = 1 << 62
    for turn in range(8):
        start = cycles()
        trap()
        took = cycles() - start
        if took < least:
            least = took
    return least
"""


@cache
def _reference(name: str) -> BareCode:
    return build_bare(programs_from_source(_REFERENCE, "reference").functions[name])


@cache
def _clock_cost(bed: Bed) -> int:
    """Return what two readings of the clock cost, in a quiet house."""
    return run(_reference("clock"), bed).value


def truth(bed: Bed) -> dict[str, int]:
    """Return what there is to find out about a machine, from its profile; the trap from a quiet run.

    Returns
    -------
    dict of str to int
        ``trap_cost``, ``l1_bytes``, ``l2_hit_cost``, ``l2_bytes``, ``memory_cost``, ``tlb_entries``, ``tlb_miss_cost``.
    """
    profile, still = bed.profile, Bed(bed.profile, bed.spin, quiet=True)
    return {
        "trap_cost": run(_reference("trapped"), still).value - _clock_cost(still),
        "l1_bytes": profile.l1d_bytes,
        "l2_hit_cost": profile.l2_cycles,
        "l2_bytes": profile.l2_bytes,
        "memory_cost": profile.memory_cycles,
        "tlb_entries": profile.dtlb_entries,
        "tlb_miss_cost": profile.l2tlb_cycles,
    }


def random_bed(seed: int, name: str = "") -> Bed:
    """Return a machine drawn from a seed: cache sizes are powers of two, the translation buffer's is any number.

    Twice the first-level cache fits into the first-level buffer, twice the second level into the second-level buffer, and the lines
    of twice the buffer's pages into the first-level cache, so each quantity can be seen by itself.
    """
    draw = Random(f"bed {seed}")
    l1 = draw.choice((8, 16, 32)) * 1024
    l2 = draw.choice([size * 1024 for size in (64, 128, 256) if size * 1024 >= 4 * l1])
    l2_cycles = draw.randint(20, 40)
    profile = Profile(
        name or f"bed{seed}", 1e9, l1i_bytes=16384, l1i_ways=2, l1d_bytes=l1, l1d_ways=draw.choice((2, 4)),
        l2_bytes=l2, l2_ways=draw.choice((4, 8)), l2_cycles=l2_cycles, memory_cycles=draw.randint(150, 300),
        itlb_entries=16, dtlb_entries=draw.randint(20, 31), l2tlb_entries=256, l2tlb_cycles=draw.randint(25, 50),
        branch_cycles=draw.randint(5, 15), multiply_cycles=draw.randint(2, 5), divide_cycles=draw.randint(15, 30),
        trap_cycles=draw.randint(80, 160), return_cycles=draw.randint(40, 80),
    )  # fmt: skip
    return Bed(profile, spin=draw.randint(15, 45), seed=draw.randrange(1 << 30))


#: Two machines to practise on, whose data anybody may see.
PRACTICE = (random_bed(3, "practice-1"), random_bed(7109, "practice-2"))


def compare(programs, beds=PRACTICE):
    """Run measuring programs on machines and set what they report beside what is right.

    Parameters
    ----------
    programs : iterable of Program
        Each named after what it measures; see :func:`truth`.
    beds : iterable of Bed

    Returns
    -------
    pandas.DataFrame
        One row for each program and machine: reported, right, and how far off in percent. A program that is refused has
        one row, in which the reason stands for what it reports.
    """
    import pandas as pd

    class Table(pd.DataFrame):
        """Shows messages to their end."""

        def _repr_html_(self) -> str:
            with pd.option_context("display.max_colwidth", None):
                return super()._repr_html_()

    rows = []
    for program in programs:
        try:
            code = fitting(program)
            if code.name not in (known := truth(PRACTICE[0])):
                raise SipError("answer.name", f"there is nothing called {code.name} to measure", filename=program.filename,
                               hint=f"name it after what it measures: {', '.join(known)}")  # fmt: skip
        except SipError as error:
            name = getattr(program, "name", None) or getattr(program, "__name__", repr(program))
            rows.append((name, "any", f"refused: {error.place}: {error.message}; repair: {error.hint}", "", "", ""))
            continue
        for bed in beds:
            outcome, right = run(code, bed), truth(bed)[code.name]
            ended = outcome.ended == "exit"
            reported = outcome.value if ended else f"none: {outcome.ended}"
            off = round(100 * (outcome.value - right) / right, 1) if ended else None
            rows.append((code.name, bed.profile.name, reported, right, off, outcome.counters["interrupts"]))
    columns = ["function", "machine", "reported", "right", "off by %", "interrupted"]
    return Table(pd.DataFrame(rows, columns=columns).set_index(columns[:2]))


def plot_notes(outcome: Outcome, title: str, xlabel: str = "a", ylabel: str = "b"):
    """Draw a run's notes, each as a point: a to the right in bytes, b upwards; returns the figure."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from singlab.experiments import style

    figure, axes = style.new_axes(8.0, 3.8)
    axes.scatter([a for a, _ in outcome.notes], [b for _, b in outcome.notes], s=28, color=style.BLUE, alpha=0.55, linewidths=0, zorder=3)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({a for a, _ in outcome.notes}))
    axes.xaxis.set_major_formatter(FuncFormatter(style.bytes_label))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(xlabel, fontsize=12)
    axes.set_ylabel(ylabel, fontsize=12)
    axes.set_title(title, loc="left", fontsize=14, fontweight="bold")
    return figure
