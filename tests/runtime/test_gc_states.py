"""The state word of threads: what the records say is what the collector finds when it asks whether it can begin."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import program, system_of
from test_collectors import LISTS, THREADS

from singlab.kernel import layout as at
from singlab.kernel.gcstates import IN_KERNEL, IN_SIP, NOWHERE
from singlab.kernel.native import native
from singlab.machine.jit import DISABLED
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

REQUEST = 0x41


def test_one_that_waits_in_the_kernel_counts_as_stopped():
    system = system_of()
    process = system.create(program(LISTS, "semispace"), keep=3, drop=2)
    other = system.create(build(programs_from_source(LISTS, "text").programs["silent"]))
    system.connect(process["ch"], other["ch"])
    assert [state.stopped for state in process.gc_states()] == [True] and process.gc_states()[0].word in (NOWHERE, IN_SIP, IN_KERNEL)
    while "waits for a message" not in process.waits_for():
        system.advance(20)
    (state,) = process.gc_states()
    assert state.word == IN_KERNEL == 0x12 and state.stopped and (state.kernel, state.sip) == ("mutator", "dormant")
    system.run()
    assert process.gc_states() == []


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_what_the_records_say_is_what_the_collector_finds(isolation):
    """At every look: all but the thread that runs are stopped just when the collector, asked on a copy of the machine, says so."""
    n = 8 if DISABLED else 200
    system = system_of(isolation, quantum_us=1)
    process = system.create(program(THREADS, "semispace"), n=n)
    words, looks, asked = set(), 0, 0
    while not system.done and looks < (60 if DISABLED else 600):
        system.run(cycles=1 + looks * 7919 % (30_000 if DISABLED else 9_000))
        looks += 1
        heap = process._field(at.P_OBJECT_HEAP) if process.state != "stopped" else 0
        if not heap:
            continue
        states, current = process.gc_states(), system._load(at.G_CURRENT)
        words |= {state.word for state in states}
        others = [state.stopped for state, thread in zip(states, process.threads()) if thread != current]
        before = system.snapshot()
        with system._kernel():
            stopped = int(native.threads_stopped(system._m, np.uint64(heap)))
        assert bool(stopped) == all(others), [hex(state.word) for state in states]
        for state, thread in zip(process.gc_states(), process.threads()):
            if thread != current and not state.stopped and system._load(thread + at.T_CONTEXT + 8 * 27):
                assert state.word == REQUEST and state.sip == "asked to stop"
                asked += 1
        system.restore(before)
    assert {IN_KERNEL, IN_SIP} <= words and (asked or DISABLED)


@pytest.mark.skipif(DISABLED, reason="long runs")
def test_who_is_asked_to_stop_comes_to_the_kernel_and_the_others_go_on():
    """With short quanta threads are interrupted between points; the collection comes when they have come to one."""
    system = system_of(every=True, quantum_us=1)
    process = system.create(program(THREADS, "semispace"), n=200)
    seen = False
    while not system.done:
        system.advance(1)
        seen = seen or any(state.word == REQUEST for state in process.gc_states())
        events = system.trace.events[-4:]
        if len(events) and events["kind"][-1] == Kind.GC_END:
            assert all(state.stopped for state in process.gc_states() if state.thread != events["thread"][-1])
    assert seen
