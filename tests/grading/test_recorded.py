"""The recorded life is what the kernel's records say, and has in it what an end must cope with."""

from __future__ import annotations

import csv

from singlab.experiments.datasets import dataset_path
from singlab.grading import recorded
from singlab.grading.lifecycle import LAYOUT, PROCESSES, Life, at, stopped


def test_it_is_what_would_be_recorded_now():
    """If a change of the kernel or the compiler moves a moment, record it anew."""
    with dataset_path(recorded.NAME).open(encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == recorded.COLUMNS
    assert [tuple(row) for row in rows] == [tuple(map(str, row)) for row in recorded.record()]


def test_moments_are_whole_tables():
    """Lists lead somewhere, each block has as many references as places, each peer is a peer, and queues are as they were."""
    seen = recorded.moments()
    assert len(seen) == 12
    for tables in seen:
        state = tables.state()
        assert len(state.processes) == PROCESSES and all(told[0] == LAYOUT["ALIVE"] for told in state.processes.values())
        running = [n for (what, n), told in state.records.items() if what == "thread" and told[0] == LAYOUT["RUNNING"]]
        assert [at("thread", n) for n in running] == [state.current] * bool(state.current)
        assert {n for (what, n), told in state.records.items() if what == "thread" and told[0] == LAYOUT["READY"]} == set(state.ready)
        places = [block for queue in state.queues.values() for block in queue if block]
        for (what, n), told in state.records.items():
            if what == "block":
                listed = sum(n in process[4]["block"] for process in state.processes.values())
                assert told[1] == listed + places.count(at("block", n)) == 1 and bool(told[0]) == bool(listed)
            if what == "endpoint":
                assert tables.get(told[1] + LAYOUT["E_PEER"]) == at("endpoint", n)


def test_in_it_somebody_is_killed_with_letters_under_way_both_ways_and_while_everybody_sleeps():
    kinds = set()
    for tables in recorded.moments():
        state = tables.state()
        kinds |= {"letters"} if any(state.queues.values()) else {"none"}
        kinds |= {"children"} if any(told[3] for told in state.processes.values()) else set()
        kinds |= {"sleeper"} if any(what == "thread" and told[2] for (what, _), told in state.records.items()) else set()
        for number in range(PROCESSES):
            led = Life(1, empty=True)
            led.tables = tables.copy()
            stopped(led, at("process", number))
            assert led.tables.state().processes[number] == (LAYOUT["ENDED"],)
    assert kinds == {"letters", "none", "children", "sleeper"}
