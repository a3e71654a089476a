"""Scheduling: what the experiment says agrees with the trace, and the scheduler's rules show in it."""

from __future__ import annotations

import numpy as np
import pytest

from singlab.experiments import scheduling
from singlab.kernel.policyslots import SLOTS
from singlab.sing.policies import policy
from singlab.trace.record import Kind

SMALL = {"rounds": 6, "turns": 40_000, "quantum_us": 4, "ram": "2M"}


@policy("place")
def one_queue(thread, by):
    return 1


@pytest.fixture(scope="module")
def usual():
    system = scheduling.beside_a_hog(pairs=2, **SMALL)
    assert system.run().outcome == "finished"
    return system


def test_every_question_has_a_time(usual):
    waits = scheduling.responses(usual)
    assert list(waits["process"].value_counts().sort_index().items()) == [("asker 1", 6), ("asker 2", 6)]
    assert (waits["cycles"] > 0).all() and waits["cycle"].is_monotonic_increasing


def test_turns_follow_each_other_without_overlap(usual):
    turns = scheduling.runs(usual)
    assert set(turns["process"]) == {"asker 1", "answerer 1", "asker 2", "answerer 2", "hog"}
    assert (turns["begin"].to_numpy()[1:] >= turns["end"].to_numpy()[:-1]).all() and (turns["end"] >= turns["begin"]).all()
    events = usual.trace.events
    assert turns["preempted"].sum() == (events["kind"] == Kind.THREAD_PREEMPT).sum() > 0
    assert len(turns) == (events["kind"] == Kind.THREAD_RUN).sum()


def test_without_the_unblocked_queue_an_answer_waits_for_the_hog():
    table = scheduling.summary({"two queues": scheduling.beside_a_hog(**SMALL), "one queue": scheduling.beside_a_hog([one_queue], **SMALL)})
    assert table.loc["one queue", "median wait"] > 7200 > 2 * table.loc["two queues", "median wait"], "a quantum is 7,200 cycles"
    alone = scheduling.beside_a_hog(**{**SMALL, "turns": 0})
    assert scheduling.summary({"alone": alone}).loc["alone", "hog's share %"] == 0
    assert 0 < table.loc["two queues", "hog's share %"] < table.loc["one queue", "hog's share %"] <= 100
    assert np.all(table["longest wait"] >= table["median wait"]) and "place" in SLOTS


def test_the_drawing_has_a_lane_for_each(usual):
    figure = scheduling.timeline(usual)
    assert len(figure.axes[0].get_yticklabels()) == 5
    assert len(scheduling.timeline(usual, 0, 5000, by="thread").axes[0].get_yticklabels()) == 5
