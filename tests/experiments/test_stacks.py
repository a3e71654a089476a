"""The experiments on linked stacks: what they measure is there."""

from __future__ import annotations

import pytest

from singlab.experiments import stacks


def test_a_loop_at_the_end_of_a_segment_costs_many_times_more():
    frame = stacks.segment_thrash(turns=10)
    small, large = (frame[frame["segment"] == segment] for segment in ("4K", "16K"))
    assert small["links"].max() == 11 and small["cycles"].max() > 5 * small["cycles"].median()
    assert large["links"].max() == 1 and large["cycles"].max() < 2 * large["cycles"].median()


def test_a_test_is_one_instruction_of_each_call():
    frame = stacks.tests_cost(n=10).set_index("tests")
    assert frame["instructions"][True] - frame["instructions"][False] == 176, "fib(10) makes so many calls more than fib(0)"
    assert frame["code"][True] > frame["code"][False]


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_who_can_have_no_more_stack_is_ended_on_the_kernels_segment(isolation):
    frame = stacks.last_segment(isolation=isolation).set_index("short of")
    assert frame.loc["nothing", "ends"] == "exit with 5002" and frame.loc["nothing", "links"] > 10 and not frame.loc["nothing", "on the kernel's segment"]
    for short in stacks.SHORT_OF[1:]:
        assert frame.loc[short, "ends"] == "fault: stack overflow" and frame.loc[short, "on the kernel's segment"]
    assert 0 < frame.loc["memory", "links"] <= 16, "pages that were left"
    assert frame["has it back"].all() and not frame["audit finds"].any()
