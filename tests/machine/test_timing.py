"""Timing: cycles are instructions plus named stalls, always; caches hit where a plain model of them hits."""

from __future__ import annotations

import random

import pytest
from bench import BASE, DATA, WINDOW, machine, random_program, window

from singlab.machine import PROFILES, Machine, Profile
from singlab.machine import state as s
from singlab.machine.caches import l1d

LINE = 64


def stalls(made: Machine) -> int:
    """Return all stall cycles."""
    return sum(value for name, value in made.counters().items() if name.startswith("stall_"))


@pytest.mark.parametrize("profile", PROFILES)
def test_cycles_are_instructions_and_stalls(profile):
    for seed in range(30):
        code, registers = random_program(seed, 300)
        made = machine(code, profile=profile, **{f"x{n}": v for n, v in registers.items()})
        while made.run(cycles=97) == "limit":
            assert int(made.m[s.CYCLES]) == int(made.m[s.INSTRET]) + stalls(made)
        assert int(made.m[s.CYCLES]) == int(made.m[s.INSTRET]) + stalls(made)


def test_the_profile_changes_time_and_nothing_else():
    for seed in range(20):
        code, registers = random_program(seed, 300)
        ends = []
        for profile in PROFILES:
            made = machine(code, profile=profile, **{f"x{n}": v for n, v in registers.items()})
            made.write(DATA - WINDOW // 2, window(seed))
            made.run(cycles=1_000_000)
            ends.append((made.m[:34].tolist(), int(made.m[s.INSTRET]), made.read(BASE, 4 << 20)))
        assert ends[0] == ends[1] == ends[2]


class Cache:
    """A set-associative cache, the last used first, as plain as can be."""

    def __init__(self, size: int, ways: int):
        self.sets = [[] for _ in range(size // LINE // ways)]
        self.ways = ways

    def touch(self, line: int, dirty: bool) -> tuple[bool, int | None]:
        """Return whether a line was there, and the dirty line that had to go."""
        lines = self.sets[line % len(self.sets)]
        for entry in lines:
            if entry[0] == line:
                lines.remove(entry)
                lines.insert(0, (line, entry[1] or dirty))
                return True, None
        gone = lines.pop() if len(lines) == self.ways else None
        lines.insert(0, (line, dirty))
        return False, gone[0] if gone and gone[1] else None


@pytest.mark.parametrize("profile", [name for name, profile in PROFILES.items() if profile.timed])
@pytest.mark.parametrize("spread", [2_000, 20_000, 2_000_000])
def test_data_caches_against_a_plain_model(profile, spread):
    p: Profile = PROFILES[profile]
    made = Machine(profile=profile, ram="4M")
    first, second = Cache(p.l1d_bytes, p.l1d_ways), Cache(p.l2_bytes, p.l2_ways)
    draw = random.Random(spread)
    misses, misses2 = 0, 0
    here = BASE
    for _ in range(6000):
        here = BASE + draw.randrange(spread) if draw.random() < 0.5 else BASE + (here - BASE + 8) % spread
        dirty = draw.random() < 0.3
        hit, gone = first.touch(here // LINE, dirty)
        expected = 0
        if not hit:
            misses += 1
            hit2, _ = second.touch(here // LINE, False)
            expected = p.l2_cycles if hit2 else p.memory_cycles
            misses2 += not hit2
            if gone is not None:
                hit3, _ = second.touch(gone, True)
                misses2 += not hit3
        assert int(l1d(made.m, s.np.uint64(here), s.np.uint64(dirty))) == expected
    found = made.counters()
    assert (found["l1d_accesses"], found["l1d_misses"], found["l2_misses"]) == (6000, misses, misses2)


def test_each_stall_has_its_cause():
    p = PROFILES["athlon64"]
    made = machine("mul a0, a1, a2\ndiv a3, a1, a2\nwfi", x11=100, x12=7)
    made.run(cycles=10_000)
    found = made.counters()
    assert found["stall_muldiv"] == p.multiply_cycles + p.divide_cycles
    assert found["stall_fetch"] == p.memory_cycles and found["stall_load"] == 0
    made = machine("beq zero, zero, out\nnop\nout: wfi")
    made.run(cycles=10_000)
    assert made.counters()["stall_branch"] == p.branch_cycles, "a forward branch is predicted as not taken"
    made = machine("li a0, 10\nback: addi a0, a0, -1\nbnez a0, back\nwfi")
    made.run(cycles=10_000)
    assert made.counters()["stall_branch"] == p.branch_cycles, "only the last round of a loop is mispredicted"


@pytest.mark.parametrize(
    "changes",
    [{"l1d_ways": 3}, {"l1i_bytes": 100}, {"l2_bytes": 1 << 26}],
)
def test_a_profile_that_cannot_be_built_is_refused(changes):
    from dataclasses import replace

    with pytest.raises(ValueError, match="athlon64"):
        Machine(profile=replace(PROFILES["athlon64"], **changes))


def test_unknown_profile_and_size():
    with pytest.raises(ValueError, match="teaching"):
        Machine(profile="fast")
    for size in ("12X", 0, 5000, -4096):
        with pytest.raises(ValueError, match=r"size|RAM"):
            Machine(ram=size)
