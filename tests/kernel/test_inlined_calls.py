"""ABI functions that are put into the program where they are called, in ring 0."""

from __future__ import annotations

import pytest

from singlab.kernel import System
from singlab.sing import build, programs_from_source

SOURCE = """
@sip
def asks(rounds: u64) -> u64:
    wrong: u64 = 0
    mine = process_id()
    for i in range(rounds):
        if process_id() != mine:
            wrong += 1
    return mine * 1000 + wrong
"""
PROGRAMS = programs_from_source(SOURCE, "text").programs


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_each_process_learns_its_own_number_however_often_it_is_interrupted(isolation):
    system = System(isolation=isolation, quantum_us=1)
    running = [system.create(build(PROGRAMS["asks"]), rounds=2000) for _ in range(3)]
    assert system.run().outcome == "finished"
    assert [p.exit_value for p in running] == [p.number * 1000 for p in running]


def test_the_number_costs_two_loads_in_ring_0_and_a_trap_in_ring_3():
    def instructions(isolation, rounds):
        system = System(isolation=isolation)
        system.create(build(PROGRAMS["asks"]), rounds=rounds)
        return system.run().instructions

    a_round = {isolation: (instructions(isolation, 300) - instructions(isolation, 100)) / 200 for isolation in ("sip", "ring3")}
    # two loads, a comparison, and what the loop itself takes
    assert a_round["sip"] <= 2 + 5
    assert a_round["ring3"] > 20
