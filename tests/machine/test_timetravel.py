"""Time travel: a step is a step, back is exactly back, and looking changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from bench import BASE, DATA, WINDOW, machine, random_program, window

from singlab.machine import TimeTravel
from singlab.machine import state as s
from singlab.machine.asm import assemble

#: Words that say how a run is to be stopped, not what the machine is; the dummy register.
NOT_STATE = [s.X_DUMMY, s.STOP_CYCLE, s.STOP_INSTRET, s.STOP_PC, s.PRECISE, s.RESUME, s.RESUME_BASE, s.WATCH, s.WATCH_BYTES, s.WATCH_HIT,
             s.UNTIL, s.LOADED]  # fmt: skip

#: Counts down, with a subroutine, a store and a load in each round.
LOOP = f"""
        li   s0, {DATA:#x}
        li   s1, 50
round:  call work
        sd   s1, 0(s0)
        addi s0, s0, 8
        addi s1, s1, -1
        bnez s1, round
        wfi
work:   mul  a0, s1, s1
        ret
"""


def clean(made) -> np.ndarray:
    """Return the state without the words that only steer."""
    m = made.m.copy()
    m[NOT_STATE] = 0
    m[s.QUICK_BASE : s.QUICK_BASE + s.QUICK_WORDS] = 0
    return m


def prepared(seed: int, profile: str):
    code, registers = random_program(seed, 400)
    made = machine(code, profile=profile, **{f"x{n}": v for n, v in registers.items()})
    made.write(DATA - WINDOW // 2, window(seed))
    return made


@pytest.mark.parametrize("profile", ["teaching", "untimed"])
@pytest.mark.parametrize("seed", range(6))
def test_stepping_is_running(seed, profile):
    whole, stepped = prepared(seed, profile), prepared(seed, profile)
    assert whole.run(cycles=1_000_000) == "wfi"
    travel = TimeTravel(stepped)
    seen = []
    while travel.step() == "here":
        seen.append(travel.position)
    assert seen == list(range(1, len(seen) + 1)), "each step retires one instruction"
    assert (clean(whole) == clean(stepped)).all()


@pytest.mark.parametrize("profile", ["teaching", "untimed"])
def test_back_is_where_one_was(profile):
    made = machine(LOOP, profile=profile)
    travel = TimeTravel(made)
    travel._spacing = 40
    states = {0: clean(made)}
    while travel.step() == "here":
        states[travel.position] = clean(made)
    for position in (300, 17, 299, 1, 120, 121, 0, 200):
        travel.goto(position)
        assert travel.position == position
        assert (clean(made) == states[position]).all(), position
    travel.goto(100)
    travel.back(3)
    assert (clean(made) == states[97]).all()
    travel.step(5)
    assert (clean(made) == states[102]).all()


def test_run_to_an_address_and_to_a_watch():
    made = machine(LOOP)
    travel = TimeTravel(made)
    work = BASE + len(assemble(LOOP, BASE).code) - 8
    for round_ in (50, 49):
        assert travel.run_to(work, limit=1000) == "here"
        assert int(made.m[s.PC]) == work and made.registers()["s1"] == round_
    travel.goto(0)
    assert travel.watch(DATA + 24, 8, limit=10_000) == "here"
    assert made.load_u64(DATA + 24) == 47, "the store has just been made"
    assert made.load_u64(DATA + 32) == 0, "and nothing after it"
    assert travel.watch(DATA + 100_000, 8, limit=50) == "limit"
    before = travel.position
    assert travel.run_to(0x1234, limit=7) == "limit" and travel.position == before + 7


def test_many_checkpoints_are_thinned_and_still_exact():
    made = machine(LOOP.replace("li   s1, 50", "li   s1, 3000"), ram="4M")
    travel = TimeTravel(made)
    travel._spacing = 100
    travel.goto(9_000)
    there = clean(made)
    travel.goto(20_000)
    assert len(travel._checkpoints) <= 40
    travel.goto(9_000)
    assert (clean(made) == there).all()


def test_the_past_has_a_beginning_and_outside_changes_end_the_future():
    made = machine(LOOP)
    travel = TimeTravel(made)
    travel.step(20)
    with pytest.raises(ValueError, match="past begins"):
        travel.back(21)
    travel.goto(50)
    travel.goto(30)
    made.store_u64(DATA + 8, 99)
    travel.changed()
    travel.goto(40)
    travel.goto(30)
    assert made.load_u64(DATA + 8) == 99


@pytest.mark.parametrize("profile", ["teaching", "untimed"])
def test_a_machine_that_only_traps_is_given_up(profile):
    made = machine("la t0, handler\ncsrw mtvec, t0\nhandler: ld a0, 0(zero)", profile=profile)
    travel = TimeTravel(made)
    assert travel.run_to(BASE + 0x100) == "lost"
    assert travel.goto(1) == "here"
