"""Timing profiles: what a machine's pipeline, caches, translation buffers and memory cost, as data.

The pipeline retires one instruction a cycle and stalls for the causes named here; a hit in a
first-level cache costs nothing beyond the instruction itself. Branches are predicted statically
(backward taken, forward not taken, returns known). Leaves out out-of-order execution, prefetching and
the memory bus's occupancy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from singlab.machine import state as _s


@dataclass(frozen=True)
class Profile:
    """Timing of one machine. Sizes in bytes or entries, times in cycles.

    Attributes
    ----------
    name : str
    clock_hz : float
    l1i_bytes, l1i_ways, l1d_bytes, l1d_ways, l2_bytes, l2_ways : int
        Set-associative, least recently used out first, write-back, write-allocate, 64-byte lines.
    l2_cycles : int
        Stall of a first-level miss that hits in the second level.
    memory_cycles : int
        Stall of a miss in both.
    itlb_entries, dtlb_entries : int
        Fully associative first-level translation buffers.
    l2tlb_entries : int
        Second level, 4-way, shared by code and data.
    l2tlb_cycles : int
        Stall of a first-level miss that hits there; a miss in both walks the page table through the data cache.
    branch_cycles : int
        Stall of a wrongly predicted branch or jump.
    multiply_cycles, divide_cycles : int
        Stalls beyond the instruction's own cycle.
    trap_cycles, return_cycles : int
        Pipeline refill when a trap is taken, and when ``sret`` returns from it.
    tlb_tagged : bool
        Translations carry their address-space identifier; without, a write to satp empties the buffers.
    timed : bool
        False: no caches, no buffers, one cycle an instruction.
    """

    name: str
    clock_hz: float
    l1i_bytes: int
    l1i_ways: int
    l1d_bytes: int
    l1d_ways: int
    l2_bytes: int
    l2_ways: int
    l2_cycles: int
    memory_cycles: int
    itlb_entries: int
    dtlb_entries: int
    l2tlb_entries: int
    l2tlb_cycles: int
    branch_cycles: int
    multiply_cycles: int
    divide_cycles: int
    trap_cycles: int
    return_cycles: int
    tlb_tagged: bool = False
    timed: bool = True


PROFILES = {
    profile.name: profile
    for profile in (
        # AMD Athlon 64 3000+, 1.8 GHz, machine A of the Singularity papers. Caches and buffers: 64 KB two-way L1s,
        # 512 KB 16-way L2, 32-entry L1 and 512-entry 4-way L2 translation buffers, flushed when the page table
        # changes. Latencies: about 12 cycles to L2 and 50 to 60 ns to memory for this generation.
        Profile("athlon64", 1.8e9, 65536, 2, 65536, 2, 524288, 16, 12, 100, 32, 32, 512, 5, 10, 2, 30, 60, 40),
        # Small enough that a class sees every effect: 1 KB caches, 4-entry translation buffers.
        Profile("teaching", 1.0e8, 1024, 2, 1024, 2, 8192, 4, 10, 50, 4, 4, 16, 4, 3, 3, 20, 20, 10),
        # A contemporary in-order view of a desktop core.
        Profile("modern", 4.0e9, 32768, 8, 32768, 8, 1048576, 16, 14, 250, 64, 64, 1024, 7, 15, 2, 16, 120, 80, True),
        # No timing: as fast as the interpreter goes.
        Profile("untimed", 1.0e9, 64, 1, 64, 1, 64, 1, 0, 0, 1, 1, 4, 0, 0, 0, 0, 0, 0, timed=False),
    )
}

LINE = 64
L2TLB_WAYS = 4

# ---- where a profile lies in the state: parameters, then tags ------------------------------------------
_NAMES = (
    "L1I_SETS", "L1I_WAYS", "L1I_TAGS", "L1D_SETS", "L1D_WAYS", "L1D_TAGS", "L2_SETS", "L2_WAYS", "L2_TAGS",
    "L2_CYCLES", "MEMORY_CYCLES", "ITLB_ENTRIES", "ITLB_TAGS", "DTLB_ENTRIES", "DTLB_TAGS", "L2TLB_SETS",
    "L2TLB_TAGS", "L2TLB_CYCLES", "BRANCH_CYCLES", "MULTIPLY_CYCLES", "DIVIDE_CYCLES", "TRAP_CYCLES",
    "RETURN_CYCLES", "ITLB_HINTS", "DTLB_HINTS", "TLB_CLOCK", "TIMED", "TLB_TAGGED",
)  # fmt: skip
for _i, _name in enumerate(_NAMES):
    globals()["P_" + _name] = _s.PARAM_BASE + _i

HINTS = 64  #: size of each translation buffer's table of hints (where an entry was last found)
TLB_WORDS = 3  #: words an entry: page + 1, translation, time of last use


def get_profile(profile: str | Profile) -> Profile:
    """Return a profile by name; raises ValueError naming those there are."""
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise ValueError(f"there is no profile {profile!r}; choose one of {', '.join(PROFILES)}")
    return PROFILES[profile]


def apply_profile(m: np.ndarray, profile: Profile, harts: int = 1) -> None:
    """Write a profile's parameters into a state and lay out its tags, all empty: one second-level cache, the rest for each hart."""
    word = globals()
    end = _s.TAGS_BASE + _s.TAGS_WORDS

    def cache(name: str, at: int) -> int:
        size, ways = getattr(profile, f"{name}_bytes"), getattr(profile, f"{name}_ways")
        sets = size // LINE // ways
        if sets < 1 or sets & (sets - 1):
            raise ValueError(f"{profile.name}: {name} of {size} bytes and {ways} ways has no power-of-two number of sets")
        upper = name.upper()
        m[word[f"P_{upper}_SETS"]], m[word[f"P_{upper}_WAYS"]], m[word[f"P_{upper}_TAGS"]] = sets, ways, at
        return at + sets * ways

    for name in ("l2_cycles", "memory_cycles", "l2tlb_cycles", "branch_cycles", "multiply_cycles", "divide_cycles",
                 "trap_cycles", "return_cycles"):  # fmt: skip
        m[word["P_" + name.upper()]] = getattr(profile, name)
    m[word["P_TIMED"]], m[word["P_TLB_TAGGED"]] = profile.timed, profile.tlb_tagged
    at = cache("l2", _s.TAGS_BASE)
    for hart in reversed(range(harts)):
        at = cache("l1d", cache("l1i", at))
        for name in ("itlb", "dtlb"):
            entries = getattr(profile, f"{name}_entries")
            upper = name.upper()
            m[word[f"P_{upper}_ENTRIES"]], m[word[f"P_{upper}_TAGS"]], m[word[f"P_{upper}_HINTS"]] = entries, at, at + entries * TLB_WORDS
            at += entries * TLB_WORDS + HINTS
        m[word["P_L2TLB_SETS"]], m[word["P_L2TLB_TAGS"]] = profile.l2tlb_entries // L2TLB_WAYS, at
        at += profile.l2tlb_entries * TLB_WORDS
        m[_s.QUICK] = _s.QUICK_BASE + hart * _s.QUICK_WORDS
        if at > end:
            raise ValueError(f"{profile.name}: caches and translation buffers are too large for the state")
        if hart:
            # a hart starts as the first does; what is in the header now is put aside as its own
            saved = _s.HART_SAVED + hart * _s.HART_WORDS
            m[saved : saved + _s.HART_WORDS] = m[: _s.HART_WORDS]
    m[_s.TAGS_BASE : end] = 0
