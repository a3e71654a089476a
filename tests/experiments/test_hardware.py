"""The hardware lecture's measurements: what must hold of them, whatever the figures of a profile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from singlab.experiments import hardware, hardware_plots
from singlab.experiments.datasets import load_dataset
from singlab.machine import PROFILES, Machine
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.machine.view import Views

TEACHING, ATHLON = PROFILES["teaching"], PROFILES["athlon64"]
#: A machine no experiment was written for.
ODD = replace(ATHLON, name="odd", l1d_bytes=8192, l1d_ways=4, l2_bytes=32768, l2_ways=8, l2_cycles=23, memory_cycles=77, dtlb_entries=24,
              l2tlb_entries=64, l2tlb_cycles=9, trap_cycles=45, return_cycles=31)  # fmt: skip


@pytest.mark.parametrize("profile", [TEACHING, ODD], ids=lambda profile: profile.name)
def test_the_staircase_has_its_steps_where_the_profile_says(profile):
    frame = hardware.cache_staircase(profile)
    assert not frame.isna().any().any() and set(frame["profile"]) == {profile.name}
    for _, row in frame.iterrows():
        assert row["l1_misses"] == (row["bytes"] > profile.l1d_bytes)
        assert row["l2_misses"] == (row["bytes"] > profile.l2_bytes)
        stall = profile.memory_cycles if row["l2_misses"] else profile.l2_cycles * row["l1_misses"]
        assert stall + 1 <= row["cycles"] <= stall + 2


def test_small_arrays_cost_what_the_loop_costs():
    """Two instructions around eight loads; what leaving the loop costs must not show."""
    cycles = hardware.cache_staircase(TEACHING)["cycles"]
    assert (cycles[:7] - 1.25).abs().max() < 0.01


STEPS = """
    la   t0, kernel
    csrw mtvec, t0
    la   t0, user
    csrw mepc, t0
    mret
user:
    li   a0, -5
    ecall
kernel:
    csrr a5, mcause
    slli a0, a0, 1
    wfi
"""


def test_step_by_step():
    assembled = assemble(STEPS, s.RAM_BASE)
    machine = Machine(profile="athlon64", ram="64K")
    machine.write(s.RAM_BASE, assembled.code)
    view = Views(machine, symbols=assembled.labels)
    travel = view.controls()
    travel.run_to(assembled.labels["user"])
    start, before = travel.position, machine.counters()["cycles"]
    frame = hardware.step_by_step(view, travel, 100, csrs=("mepc", "mcause"), registers=("a0",))
    assert frame["carried out"].tolist()[:3] == ["addi a0, zero, -5", "ecall ⟶ csrr a5, mcause", "slli a0, a0, 1"]
    assert frame["mode"].tolist()[:3] == ["U", "M", "M"] and frame["a0"].tolist()[:3] == [-5, -5, -10]
    assert frame["mepc"].tolist()[:2] == ["user", "user+0x4"] and frame["mcause"].tolist()[:2] == ["0x0", "ecall from U mode"]
    assert frame["cycles"].sum() == machine.counters()["cycles"] - before, "cycles that stand in no row"
    assert frame["cycles"][1] >= ATHLON.trap_cycles + 2
    travel.goto(start)
    again = hardware.step_by_step(view, travel, 3, csrs=("mepc", "mcause"), registers=("a0",))
    assert again.equals(frame[:3])


def test_it_is_reproducible():
    one, two = (hardware.cache_staircase("teaching", sizes=(512, 3072)) for _ in range(2))
    assert one.equals(two)


@pytest.mark.parametrize("profile", [TEACHING, ODD], ids=lambda profile: profile.name)
def test_accesses_share_a_line_up_to_its_size(profile):
    frame = hardware.strides(profile)
    assert frame["l1_misses"].tolist() == [min(1.0, stride / 64) for stride in frame["stride"]]


def test_translation_begins_to_cost_where_the_buffer_is_full():
    frame = hardware.tlb_staircase(ODD)
    bare, paged = (frame[frame["paged"] == which].set_index("pages") for which in (False, True))
    assert (bare["translation"] == 0).all()
    for pages, stall in paged["translation"].items():
        if pages <= ODD.dtlb_entries:
            assert stall == 0
        elif pages < ODD.l2tlb_entries:  # the code has an entry there too
            assert stall == ODD.l2tlb_cycles
        else:
            assert stall >= ODD.l2tlb_cycles
    assert (paged["cycles"] >= bare["cycles"]).all()


@pytest.mark.parametrize("profile", [ATHLON, ODD, TEACHING], ids=lambda profile: profile.name)
def test_a_walk_costs_its_three_loads(profile):
    stall = hardware.translation_costs(profile)["stall"].tolist()
    assert stall[0] == 0 and stall[1] == profile.l2tlb_cycles
    assert stall[3] == profile.l2tlb_cycles + 3 * profile.memory_cycles
    assert stall[2] < stall[3]


@pytest.fixture(scope="module")
def transfers():
    return hardware.control_transfers(ODD, rounds=200)


def test_a_trap_costs_what_the_profile_says_and_its_instructions(transfers):
    table = transfers.pivot_table(index="cause", columns="transfer", values="cycles")
    border = ODD.trap_cycles + ODD.return_cycles + 1  # an ecall does not retire; its cycle is the trap's
    assert table.loc["trap and return"].to_dict() == pytest.approx(
        {"function call": 0, "trap": border, "kernel call, ring 0": 0, "kernel call, ring 3": border}
    )
    assert table.loc["instructions", "function call"] == 2 and table.loc["instructions", "trap"] == 5
    assert hardware.totals(transfers)["function call"] == 2
    assert hardware.totals(transfers)["kernel call, ring 3"] > hardware.totals(transfers)["kernel call, ring 0"] > 2


def test_without_a_border_there_is_still_a_difference():
    totals = hardware.totals(hardware.control_transfers(replace(ODD, trap_cycles=0, return_cycles=0), rounds=100))
    assert totals["trap"] == 6 and totals["kernel call, ring 3"] > totals["kernel call, ring 0"]


def test_the_first_time_pays_for_fetching_and_translating():
    table = hardware.cold_and_warm(ODD).pivot_table(index="transfer", columns="cause", values="cycles")
    for transfer in ("function call", "trap"):
        cold, warm = table.loc[f"{transfer}, first time"], table.loc[f"{transfer}, second time"]
        assert warm["fetching code"] == warm["translation"] == 0 < min(cold["fetching code"], cold["translation"])
        assert (cold - warm)[["instructions", "trap and return"]].tolist() == [0, 0]


def test_after_a_switch():
    frame = hardware.after_a_switch(ODD, pages=(1, 4, 16))
    table = frame.pivot_table(index="pages", columns="case", values="cycles")
    assert (table["page table changed"] >= ODD.l2tlb_cycles * table.index).all()
    assert (table["both"] > table["another program ran"]).all()
    assert (table["both, pages global"] == table["another program ran"]).all(), "global pages survive"


def test_causes_sum_to_the_cycles():
    from singlab.machine import Machine
    from singlab.machine.asm import assemble

    machine = Machine(profile=ODD, ram="4M")
    machine.write(0x8000_0000, assemble("mul a0, a1, a2\nbeq x0, x0, on\nnop\non: sd a0, 1024(sp)\nwfi", 0x8000_0000).code)
    machine.m[2] = 0x8000_0000
    machine.run()
    counters = machine.counters()
    assert sum(hardware.causes(counters).values()) == counters["cycles"]
    frame = hardware.where_cycles_went({"run": counters})
    assert frame["cycles"].sum() == counters["cycles"]


# ---- plots ------------------------------------------------------------------------------------------------------------


def test_the_sizes_are_drawn_only_when_asked_for():
    frame = hardware.cache_staircase("teaching")
    words = [text.get_text() for text in hardware_plots.staircase(frame, sizes=True).axes[0].texts]
    assert words == ["L1 1 KB", "L2 8 KB"] and not hardware_plots.staircase(frame).axes[0].texts
    assert not hardware_plots.staircase(hardware.cache_staircase(ODD, sizes=(4096, 65536)), sizes=True).axes[0].texts


def test_bars_are_as_long_as_the_cycles_and_the_papers_are_theirs(transfers):
    papers = hardware_plots.paper_calls()
    rows = load_dataset("basic_operations.csv").set_index(["system", "machine"])["api_call"]
    assert (
        papers["kernel call, ring 0"][0] == rows["Singularity", "A"]
        and papers["kernel call, ring 3"][0] == rows["Singularity in ring 3", "A"]
    )
    axes = hardware_plots.bars(transfers, "title", papers).axes[0]
    solid = [patch for patch in axes.patches if patch.get_facecolor()[3] > 0]
    hollow = [patch for patch in axes.patches if patch.get_facecolor()[3] == 0]
    assert sum(patch.get_width() for patch in solid) == pytest.approx(transfers["cycles"].sum())
    assert sorted(patch.get_width() for patch in hollow) == sorted(cycles for cycles, _ in papers.values())
    assert any("paper: OSR 2007" in text.get_text() for text in axes.texts)


def test_the_other_plots_show_their_tables():
    by_stride, pages = hardware.strides(TEACHING), hardware.tlb_staircase(TEACHING)
    assert list(hardware_plots.line_size(by_stride).axes[0].get_lines()[0].get_ydata()) == by_stride["cycles"].tolist()
    assert len(hardware_plots.tlb(pages, "teaching", sizes=True).axes[0].texts) == 2
    after = hardware.after_a_switch(TEACHING, pages=(1, 2))
    assert len(hardware_plots.switch(after).axes[0].get_lines()) == after["case"].nunique() == 4


def test_an_unknown_profile_is_named():
    with pytest.raises(ValueError, match="teaching"):
        hardware.cache_staircase("fast")
