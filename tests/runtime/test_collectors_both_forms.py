"""The collectors' two forms, side by side through whole runs: each call of the kernel is made natively and as RV64 code on the hart.

What ``tests/kernel/test_both_forms.py`` holds of the kernel's calls is held here of allocations and collections: the same
memory afterwards, but for the cycles that collections took, the same instructions, and cycles that differ by the traffic of stack frames alone, which the native
form does not have.
"""

from __future__ import annotations

import numpy as np
import pytest
from graphs import GRAPH, program
from oracle_objects import run_as_python
from test_both_forms import BothForms
from test_heap_policies import made

from singlab.experiments.collection import pauses
from singlab.kernel import System
from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.heaplayout import COLLECTORS, WITH_BARRIER
from singlab.machine.jit import DISABLED


class Collected(BothForms):
    """Calls are compared but for how long collections took: the frames' traffic is in that."""

    def memory(self, m: np.ndarray) -> np.ndarray:
        found = super().memory(m).copy()
        for process in self.system.processes:
            heap = process._field(at.P_OBJECT_HEAP) if process.state != "stopped" else 0
            if heap:
                for field in (hp.Z_CYCLES, hp.Z_LONGEST, hp.Z_PAUSE):
                    found[(heap + field - at.GLOBALS) // 8] = 0
        return found


def both_forms(collector: str, n: int, isolation: str, every: bool, policies=()) -> tuple[BothForms, int]:
    """Run the program that changes a graph with all its kernel calls made twice; returns that, and how many collections there were."""
    system = System(ram="4M", isolation=isolation, collect_every=every, policies=policies)
    process = system.create(program(GRAPH, collector), n=n)
    both = Collected(system).run(calls=5_000)
    assert process.exit_value == run_as_python(GRAPH, n)[0]
    return both, len(pauses(system))


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("collector", COLLECTORS[2:])
def test_every_collection_is_the_same_in_both_forms(collector, isolation):
    both, collections = both_forms(collector, 5_000 + (7 if DISABLED else 40), isolation, every=True)
    assert collections > 10 and both.made["get_room"] >= collections and (both.made["remember"] > 0) == (collector in WITH_BARRIER)
    share = 0.2 if collector == "concurrent" else 0.15  # forced steps of a few words each: the frames count for more
    assert 0 <= both.hart - both.native <= share * both.hart, f"{both.native:,} cycles natively, {both.hart:,} on the hart"


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("collector", COLLECTORS[2:])
def test_and_so_are_those_of_larger_heaps(collector):
    often = made("trigger", "return heap_made(heap) >= 8192")
    both, collections = both_forms(collector, 31_999, "sip", every=False, policies=[often])
    assert collections > 3 and 0 <= both.hart - both.native <= 0.15 * both.hart


@pytest.mark.parametrize("body", ["return 2 + heap_count(heap) % 3", "return 4 - heap_count(heap) % 3"])
def test_and_those_that_go_from_one_collector_to_another(body):
    assert both_forms("adaptive", 9_000 + (7 if DISABLED else 40), "sip", every=True, policies=[made("collector", body)])[1] > 10


@pytest.mark.parametrize("age", [2, 3, 15])
def test_and_those_that_let_objects_age(age):
    assert both_forms("generational", 9_000 + (7 if DISABLED else 40), "sip", every=True, policies=[made("tenure", f"return {age}")])[1] > 10
