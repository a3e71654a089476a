"""The experiments on linked stacks: what they measure is there."""

from __future__ import annotations

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
