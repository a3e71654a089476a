"""What collectors cost: each table agrees with a run that is made by hand, and says what the collectors' construction implies."""

from __future__ import annotations

import numpy as np
import pytest

from singlab.experiments import collector_costs as costs
from singlab.experiments.collection import NAMES, collections, heap_peak, pauses, run_workload
from singlab.experiments.workloads import workloads
from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.machine.jit import DISABLED

pytestmark = pytest.mark.skipif(DISABLED, reason="long runs")
HERE = {"workers": 1, "progress": False}


@pytest.fixture(scope="module")
def small():
    return costs.matrix("small", **HERE)


def test_the_matrix_says_what_a_run_says(small):
    frame = small.frame()
    assert len(frame) == len(NAMES) * len(workloads()) and (frame.groupby("workload")["result"].nunique() == 1).all()
    run = run_workload("strings", "semispace")
    row = frame[(frame["workload"] == "strings") & (frame["collector"] == "semispace")].iloc[0]
    for name in ("cycles", "pauses", "longest", "p99", "moved", "freed", "peak"):
        assert row[name] == run[name], name
    assert row["GC %"] == pytest.approx(100 * run["total"] / run["cycles"])
    none = frame[frame["collector"] == "none"]
    assert (none[["pauses", "collections", "moved", "freed", "GC %"]] == 0).all().all() and (none["peak"] > 0).all()
    assert (frame[frame["collector"] == "marksweep"]["moved"] == 0).all(), "nothing moves under mark-sweep"


def test_the_matrix_is_the_same_whoever_works_it_out(small):
    other = costs.matrix("small", ("none", "semispace"), workers=2, progress=False).frame()
    ours = small.frame()
    ours = ours[ours["collector"].isin(["none", "semispace"])].reset_index(drop=True)
    assert other.equals(ours)


def test_a_map_has_a_number_for_each_pair(small):
    figure = small.plot(values=("cycles", "peak"))
    assert [len(panel.texts) for panel in figure.axes[:2]] == [len(NAMES) * len(workloads())] * 2
    assert "semispace" in repr(small) and "<table" in small._repr_html_()


def test_the_peak_is_what_the_heap_had():
    """Without a collector nothing goes back before the end: so the most there was is all there was."""
    system = System(ram="8M")
    process = workloads()["churn"].start(system, "small", 1, "none")[0]
    most, pages = 0, (8 << 20) // at.PAGE
    while process.state != "stopped":
        system.run(events=1)
        tags = np.array([system.machine.load_u64(at.PAGE_TAGS + pair * 8) for pair in range(pages // 2)], np.uint64).view(np.uint32)
        most = max(most, int(((tags & 15 == at.TAG_HEAP) & (tags >> at.OWNER_SHIFT == process.number)).sum()))
    assert heap_peak(system) == most * at.PAGE > 0


def test_steps_make_collections():
    system = System(ram="64M")
    workloads()["strings"].start(system, "teaching", 1, "concurrent")
    system.run()
    table = pauses(system)
    assert 0 < collections(table) < len(table)
    assert collections(table[table["cause"] != "step"]) == (table["cause"] != "step").sum()


def test_a_pause_grows_with_what_is_alive_and_a_minor_one_does_not():
    frame = costs.pause_by_live_data((1000, 8000), **HERE).frame()
    for name in ("semispace", "marksweep", "compact"):
        fewer, more = frame[frame["collector"] == name]["median"]
        assert 4 * fewer < more < 16 * fewer, name
    minor = frame[frame["collector"] == "generational, minor"]["median"].to_numpy()
    step = frame[frame["collector"] == "concurrent, a step"]["median"].to_numpy()
    assert minor[1] < 2 * minor[0] and step[1] < 2 * step[0]


def test_a_smaller_heap_than_the_minimum_does_not_do():
    least = costs.minimum_heap("cache", "marksweep", "small")
    assert least % at.PAGE == 0 and run_workload("cache", "marksweep", "small", least)["result"] is not None
    assert run_workload("cache", "marksweep", "small", least - at.PAGE)["result"] is None


def test_room_buys_time():
    found = costs.throughput("churn", multiples=(0.5, 1.25, 2), collectors=("semispace", "marksweep"), **HERE)
    frame = found.frame()
    for _, own in frame.groupby("collector"):
        assert np.isnan(own["throughput"].iloc[0]), "half of the minimum is too little for anybody"
        assert own["throughput"].iloc[1] < own["throughput"].iloc[2] <= 1
    assert found.plot().axes and found.plot(by="peak").axes
    with pytest.raises(ValueError, match="not by 'size'"):
        found.plot(by="size")


def test_utilisation_ends_at_the_share_of_the_whole():
    frame = costs.utilisation(("strings",), ("semispace",), "small", **HERE).frame()
    assert frame["minimum"].between(0, 1).all() and (frame["bounded"] <= frame["minimum"] + 1e-12).all()
    assert frame["bounded"].is_monotonic_increasing
    assert frame["minimum"].iloc[-1] == pytest.approx(run_workload("strings", "semispace")["share"])


def test_a_barrier_adds_instructions_where_references_are_stored():
    frame = costs.barrier_cost("small", ("churn", "strings"), **HERE).frame().set_index("workload")
    assert frame.loc["churn", "instructions +%"] > 5 > frame.loc["strings", "instructions +%"] >= 0
    assert (frame["code +%"] > 0).all()


def test_isolation_and_caches_change_cycles_and_nothing_else():
    frame = costs.isolation_cost("churn", ("semispace",), ("sip", "ring3-domains"), "small", **HERE).frame()
    assert frame["running %"].iloc[0] == 100 < frame["running %"].iloc[1]
    found = costs.cache_effect("churn", (1 << 14, 1 << 19), ("marksweep",), "l1d", **HERE)
    fewer, more = found.frame()["cycles per instruction"]
    assert more < fewer and found.plot().axes
    with pytest.raises(ValueError, match="l1d or l2"):
        costs.cache_effect(level="l3")
