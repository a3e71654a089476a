"""What collecting costs: workloads come to the same result under every collector, and every pause is accounted for."""

from __future__ import annotations

import pytest

from singlab.experiments.collection import NAMES, collect_large, run_workload, workload_matrix
from singlab.experiments.workloads import workloads
from singlab.machine.jit import DISABLED

pytestmark = pytest.mark.skipif(DISABLED, reason="long runs")


@pytest.mark.parametrize("workload", workloads())
def test_every_collector_comes_to_the_same_result(workload):
    runs = [run_workload(workload, collector) for collector in NAMES]
    assert len({run["result"] for run in runs}) == 1 and runs[0]["result"] is not None
    assert runs[0]["pauses"] == 0 and runs[0]["share"] == 1.0, "without a collector there is no pause"
    for run in runs[1:]:
        assert run["total"] < run["cycles"] and run["longest"] <= run["total"]


def test_the_matrix_has_a_row_for_each_pair():
    table = workload_matrix(("semispace", "generational"), heap_bytes=1 << 20)
    assert len(table) == 2 * len(workloads()) and set(table["collector"]) == {"semispace", "generational"}
    assert table["result"].notna().all()


@pytest.mark.parametrize("collector", [name for name in NAMES[1:] if name != "concurrent"])
def test_a_large_heap_is_collected_whole(collector):
    found = collect_large(collector, 5000, ram="16M")
    assert found["live"] > 5000 * 32 and found["cycles"] > 5000 and found["objects_per_second"] > 0
