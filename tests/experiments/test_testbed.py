"""The test bed: what disturbs, what can be taken away, and that nothing of it touches a program's values."""

from __future__ import annotations

from html import escape

import pytest

from singlab.experiments import testbed
from singlab.experiments.testbed import ARENA, LINE, PAGE, PRACTICE, Bed, compare, plot_notes, random_bed, run, truth
from singlab.sing import programs_from_source
from singlab.sing.errors import SipError

SOURCE = """
@function
def interval() -> u64:
    start = cycles()
    return cycles() - start

@function
def sweeps() -> u64:
    for turn in range(6):
        start = cycles()
        address: u64 = 0
        while address < 65536:
            load(address)
            address += LINE
        note(turn, cycles() - start)
    return 7

@function
def spread() -> u64:
    for turn in range(4):
        start = cycles()
        address: u64 = 0
        while address < 40 * PAGE:
            load(address)
            address += STEP
        start = cycles()
    return 0

@function
def beyond() -> u64:
    return load(ARENA)

@function
def before() -> u64:
    x: u64 = 0
    return load(x - 8)

@function
def zero() -> u64:
    x = load(0)
    return 1 // x

@function
def endless() -> u64:
    x: u64 = 0
    while x == 0:
        x = 0
    return x

@function
def curious() -> u64:
    x: u64 = 0
    while x == 0:
        start = cycles()
    return x

@function
def chatty() -> u64:
    for i in range(20000):
        note(i, i)
    return 0
"""


def program(name: str, step: int = LINE):
    """Return a program of the text above."""
    return programs_from_source(SOURCE, "test", {"ARENA": ARENA, "LINE": LINE, "PAGE": PAGE, "STEP": step}).functions[name]


def stalls(counters: dict[str, int]) -> int:
    """Return all stall cycles."""
    return sum(value for name, value in counters.items() if name.startswith("stall_"))


@pytest.mark.parametrize("changes", [{}, {"quiet": True}, {"warm": True, "quiet": True}, {"free_clock": True}])
def test_cycles_are_instructions_and_stalls_and_values_do_not_change(changes):
    outcome = run(program("sweeps"), PRACTICE[0].but(**changes))
    counters = outcome.counters
    assert outcome.ended == "exit" and outcome.value == 7 and [a for a, _ in outcome.notes] == list(range(6))
    assert counters["cycles"] == counters["instructions"] + stalls(counters)
    assert (counters["interrupts"] > 0) == ("quiet" not in changes)


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    one, two = (run(program("sweeps"), PRACTICE[0]) for _ in range(2))
    assert (one.notes, one.counters) == (two.notes, two.counters)
    assert run(program("sweeps"), PRACTICE[0].but(seed=99)).notes != one.notes


def test_neighbours_make_sweeps_longer_and_never_shorter():
    loud, calm = (dict(run(program("sweeps"), PRACTICE[0].but(quiet=quiet)).notes) for quiet in (False, True))
    assert all(loud[turn] >= calm[turn] for turn in calm)
    assert loud[0] > calm[0] + 500_000, "the first readings of the clock are always disturbed"
    assert min(loud.values()) == min(calm.values()), "some sweep is undisturbed"


def test_a_free_clock_takes_nothing():
    bed = PRACTICE[0].but(quiet=True)
    dear, cheap = run(program("interval"), bed.but(warm=True)).value, run(program("interval"), bed.but(warm=True, free_clock=True)).value
    assert dear > 150 and cheap == 0


def test_a_rehearsed_sweep_is_a_warm_one():
    plain, warm = (run(program("sweeps"), PRACTICE[0].but(quiet=True, warm=warm)).notes for warm in (False, True))
    assert warm[0][1] == plain[-1][1] < plain[0][1]


def test_how_densely_a_program_loads():
    bed = PRACTICE[0].but(quiet=True)
    assert run(program("spread", LINE), bed).line_share > 0.9
    assert run(program("spread", 8), bed).line_share == pytest.approx(1 / 8, abs=0.03)
    assert run(program("spread", PAGE), bed).page_share > 0.9
    assert run(program("spread", PAGE // 4), bed).page_share == pytest.approx(1 / 4, abs=0.05)


def test_what_ends_a_run_is_told():
    bed = PRACTICE[0].but(quiet=True)
    lines = SOURCE.splitlines()
    outside = run(program("beyond"), bed)
    assert (outside.ended, outside.detail) == ("outside", f"{ARENA:,}") and "load(ARENA)" in lines[outside.line - 1]
    assert run(program("before"), bed).detail == "-8"
    fault = run(program("zero"), bed)
    assert (fault.ended, fault.detail) == ("fault", "division by zero") and "1 // x" in lines[fault.line - 1]
    assert run(program("endless"), bed, limit=1_000_000).ended == "limit"
    assert run(program("curious"), bed).ended == "clock"
    assert run(program("chatty"), bed).ended == "notes"
    for name in ("beyond", "zero", "chatty"):
        assert "line" in repr(run(program(name), bed)) or "notes" in repr(run(program(name), bed))


def test_a_trap_costs_what_the_profile_says_and_a_few_instructions():
    over = {truth(bed)["trap_cost"] - bed.profile.trap_cycles - bed.profile.return_cycles for bed in map(random_bed, range(6))}
    assert len(over) == 1 and over.pop() == 12, "the instructions from li a7 to sret"


def test_every_bed_lets_each_quantity_be_seen_by_itself():
    for seed in range(200):
        profile = random_bed(seed).profile
        assert 2 * profile.l1d_bytes <= profile.dtlb_entries * PAGE
        assert 2 * profile.l2_bytes <= min(profile.l2tlb_entries * PAGE, ARENA)
        assert profile.l1d_bytes // LINE >= 64 and profile.dtlb_entries < 48
        assert profile.l2_cycles >= 20 and profile.memory_cycles >= 3 * profile.l2_cycles
    one, two = (truth(bed) for bed in PRACTICE)
    assert all(abs(one[name] - two[name]) > 0.1 * max(one[name], two[name]) for name in one), "one number must not do for both"


def test_comparing_and_drawing():
    table = compare([programs_from_source("@function\ndef l1_bytes() -> u64:\n    return 16384\n", "t").functions["l1_bytes"]])
    assert table["right"].tolist() == [truth(bed)["l1_bytes"] for bed in PRACTICE]
    lost = programs_from_source("@function\ndef l1_bytes() -> u64:\n    return load(1 << 40)\n", "t").functions["l1_bytes"]
    assert compare([lost])["reported"].tolist() == ["none: outside"] * 2
    seen = run(program("sweeps"), PRACTICE[0].but(quiet=True))
    axes = plot_notes(seen, "title").axes[0]
    assert len(axes.collections[0].get_offsets()) == len(seen.frame) == 6


def test_what_is_refused_is_a_row_of_its_own_beside_the_others():
    good, bad = (programs_from_source(f"@function\ndef {name}() -> u64:\n    return {value}\n", "t").functions[name]
                 for name, value in (("l1_bytes", "16384"), ("l2_bytes", "unheard_of")))  # fmt: skip
    large = programs_from_source("@function\ndef l2_bytes() -> u64:\n    return 7\n", "t").functions["l2_bytes"]
    odd = programs_from_source("@function\ndef speed() -> u64:\n    return 7\n", "t").functions["speed"]
    alone = compare([good])
    table = compare([bad, good, odd, len, large])
    assert table.index.get_level_values("function").tolist() == ["l2_bytes", *["l1_bytes"] * 2, "speed", "len", *["l2_bytes"] * 2]
    assert table.loc[["l1_bytes"]].values.tolist() == alone.values.tolist(), "the others are as without it"
    assert "unheard_of" in table["reported"].iloc[0] and "repair:" in table["reported"].iloc[0]
    assert "trap_cost" in table.loc["speed", "reported"].iloc[0] and "@function" in table.loc["len", "reported"].iloc[0]
    refused = table.loc[["speed", "len"]]
    assert (refused[["right", "off by %", "interrupted"]] == "").all(axis=None)
    html = compare([bad])._repr_html_()
    assert escape(compare([bad])["reported"].iloc[0]) in html and "16,384" not in html, "the message is shown to its end"


def test_a_program_too_large_for_the_bed_is_a_row_too(monkeypatch):
    monkeypatch.setattr(testbed, "MOST_CODE", 8)
    found = programs_from_source("@function\ndef l1_bytes() -> u64:\n    return 16384\n", "t").functions["l1_bytes"]
    assert "too large" in compare([found])["reported"].iloc[0]


def test_an_unknown_machine_and_a_program_that_is_too_large():
    with pytest.raises(ValueError, match="athlon64"):
        Bed("fast")
    body = "".join(f"    x = x * 3 + load({i} * 8)\n" for i in range(14000))
    with pytest.raises(SipError, match="too large"):
        run(programs_from_source(f"@function\ndef f() -> u64:\n    x: u64 = 1\n{body}    return x\n", "t").functions["f"], PRACTICE[0])
    assert testbed.MOST_CODE == 1 << 18
