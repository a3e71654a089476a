"""Events, mutexes, waiting and time: what threads of one process agree on, and what nobody else can touch."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import hand_made

from singlab.kernel import System
from singlab.kernel import layout as at

ISOLATIONS = ("sip", "pages", "ring3-domains")

SOURCE = """
@function
def add(lock: Mutex, rounds: u64, counter: u64) -> u64:
    return 0

@function
def waits(go: Event, n: u64) -> u64:
    go.wait()
    return n

@sip
def one_at_a_time() -> u64:
    go = event()
    a = thread(waits, go, 1)
    b = thread(waits, go, 2)
    yield_()
    yield_()
    go.set()
    while thread_state(a) != 5:
        yield_()
    still = thread_state(b)
    go.set()
    return join(a) + join(b) + 10 * still

@sip
def all_at_once() -> u64:
    go = manual_event()
    a = thread(waits, go, 1)
    b = thread(waits, go, 2)
    yield_()
    yield_()
    go.set()
    result = join(a) + join(b)
    go.wait()
    go.reset()
    if go.wait_until(cycles() + 1000):
        return 99
    return result

@function
def critical(lock: Mutex, busy: Event) -> u64:
    seen: u64 = 0
    for i in range(20):
        lock.acquire()
        lock.acquire()
        if busy.wait_until(0):
            seen += 1
        busy.set()
        for k in range(60):
            yield_()
        busy.wait()
        lock.release()
        lock.release()
        yield_()
    return seen

@sip
def exclusion() -> u64:
    lock = mutex()
    busy = event()
    a = thread(critical, lock, busy)
    b = thread(critical, lock, busy)
    return join(a) + join(b)

@sip
def naps(first: u64, second: u64) -> u64:
    start = cycles()
    sleep_until(start + first)
    one = cycles() - start
    sleep(second)
    two = cycles() - start
    if one < first or two < first + second:
        return 1
    if two > first + second + 20000:
        return 2
    sleep_until(start)
    return 0

@function
def late(lock: Mutex) -> u64:
    lock.acquire()
    return 7

@sip
def abandoned() -> u64:
    lock = mutex()
    a = thread(late, lock)
    n = join(a)
    lock.acquire()
    lock.release()
    lock.close()
    return n

@sip
def stale() -> u64:
    go = event()
    go.close()
    go.set()
    return 0

@sip
def not_mine() -> u64:
    lock = mutex()
    lock.release()
    return 0

@sip
def for_ever() -> u64:
    go = event()
    go.wait()
    return 0

@sip
def sleeper(n: u64) -> u64:
    sleep(n)
    return 5
"""


@cache
def programs():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "waiting").programs.items()}


def execute(name, isolation="sip", **arguments):
    system = System(isolation=isolation, ram="4M")
    process = system.create(programs()[name], **arguments)
    return system, process, system.run()


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(("name", "value"), [("one_at_a_time", 33), ("all_at_once", 3), ("exclusion", 0), ("abandoned", 7)])
def test_threads_agree(isolation, name, value):
    _, process, run = execute(name, isolation)
    assert run.outcome == "finished"
    assert process.exit_value == value
    assert set(process.holdings().values()) == {0}


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(("first", "second"), [(1, 1), (5_000, 40_000), (3_000_000, 50_000_000)])
def test_who_sleeps_wakes_in_time(isolation, first, second):
    """Shorter and longer than a quantum, with nobody else there: the machine lets the time pass."""
    _, process, run = execute("naps", isolation, first=first, second=second)
    assert run.outcome == "finished"
    assert process.exit_value == 0
    assert run.cycles >= first + second


def test_a_sleeper_takes_the_processor_from_one_that_only_computes():
    from programs import images

    system = System()
    napper = system.create(programs()["sleeper"], n=40_000)
    hog = system.create(images()["hog"], turns=200_000)
    system.run(cycles=60_000)
    assert napper.exit_value == 5 and hog.state == "running"
    assert system.run().outcome == "finished"


@pytest.mark.parametrize(("name", "code"), [("stale", 26), ("not_mine", 26)])
def test_a_handle_that_is_none_is_a_fault_of_its_process(name, code):
    _, process, run = execute(name)
    assert run.outcome == "finished"
    assert process.fault.code == code and process.fault.line


def test_who_waits_for_an_event_that_nobody_sets_is_told_of():
    system, process, run = execute("for_ever")
    assert run.outcome == "deadlock"
    assert "waits for an event" in run.report
    process.stop()
    assert set(process.holdings().values()) == {0}


def test_a_run_ends_at_its_limit_while_somebody_sleeps():
    system = System()
    process = system.create(programs()["sleeper"], n=10_000_000)
    run = system.run(cycles=1_000_000)
    assert run.outcome == "limit" and process.state == "running"
    assert "sleeps until" in process.waits_for()
    assert system.run().outcome == "finished"
    assert process.exit_value == 5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=6), st.sampled_from(ISOLATIONS), st.integers(0, 300))
def test_sleepers_wake_in_their_order_and_stopping_them_harms_nobody(spans, isolation, stop_at):
    system = System(isolation=isolation, ram="4M")
    made = [system.create(programs()["sleeper"], n=span) for span in spans]
    system.run(events=stop_at)
    victim = made[stop_at % len(made)]
    ended = victim.state == "stopped"
    victim.stop()
    assert system.run().outcome == "finished"
    for process in made:
        if process is not victim or ended:
            assert process.exit_value == 5
        assert set(process.holdings().values()) == {0}
    assert system.machine.load_u64(at.G_SLEEPERS) == 0
    assert system.machine.load_u64(at.G_WAKE) == at.NEVER


def test_the_same_calls_give_the_same_cycles():
    def once():
        system = System(isolation="ring3")
        for span in (5_000, 70_000, 300):
            system.create(programs()["sleeper"], n=span)
        system.create(programs()["exclusion"])
        run = system.run()
        return run.cycles, run.instructions, system.trace.events.tobytes()

    assert once() == once()


def test_going_back_in_time_while_somebody_sleeps():
    system = System()
    process = system.create(programs()["naps"], first=5_000, second=9_000)
    system.run(cycles=4_000)
    snapshot = system.snapshot()
    first = system.run()
    end = system.machine.snapshot()
    system.restore(snapshot)
    second = system.run()
    assert (first.cycles, first.outcome) == (second.cycles, second.outcome)
    assert (end == system.machine.snapshot()).all()
    assert process.exit_value == 0


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_a_handle_of_somebody_else_is_refused(isolation):
    keeper = "li a0, 0\nli a1, 0\nabi create_event\nmv s0, a0\nli s1, 40\nturn:\nabi yield\naddi s1, s1, -1\nbnez s1, turn\nmv a0, s0\nabi exit"
    for call in ("set_event", "reset_event", "close_handle", "release_mutex", "ack_interrupt", "wait_one"):
        system = System(isolation=isolation, allow_unverified=True)
        first = system.create(hand_made("keeper", keeper))
        system.run(events=12)
        event = next(a for a in range(at.RAM_BASE, at.RAM_BASE + (2 << 20), 64) if system.machine.load_u64(a) == at.MAGIC_AUTO_EVENT)
        before = system.machine.read(event, at.OBJECT_BYTES)
        rogue = system.create(hand_made("rogue", f"li a0, {event}\nli a1, 0\nabi {call}\nabi exit"))
        system.start(rogue)
        while rogue.state != "stopped":
            system.advance(1)
        assert rogue.exit_value in (1, 2), call
        assert system.machine.read(event, at.OBJECT_BYTES) == before
        system.run()
        assert first.exit_value == event


def test_a_process_has_a_limit_of_objects():
    text = "li s0, 300\nli s1, 0\nturn:\nli a0, 0\nabi create_mutex\nsnez a0, a0\nadd s1, s1, a0\naddi s0, s0, -1\nbnez s0, turn\nmv a0, s1\nabi exit"
    system = System(allow_unverified=True)
    process = system.create(hand_made("many", text))
    system.run()
    assert process.exit_value == at.MOST_OBJECTS


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_the_kernels_tables_agree_all_the_while(isolation):
    from singlab.kernel.audit import check

    system = System(isolation=isolation, ram="4M")
    system.create(programs()["one_at_a_time"])
    system.create(programs()["naps"], first=3_000, second=9_000)
    while not system.done:
        system.run(events=20)
        check(system)
