"""Collections behind every call of the kernel, not only at allocations: in all settings, with threads, and with processes that are stopped."""

from __future__ import annotations

import pytest
from graphs import GRAPH, program, reached, system_of
from oracle_objects import run_as_python
from test_collectors import ALL, IMAGES, LISTS, THREADS, pauses, threads_alone

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import audit, check
from singlab.kernel.isolation import SETTINGS
from singlab.kernel.startup import KernelError
from singlab.machine.jit import DISABLED
from singlab.sing import build, programs_from_source

#: The program of graphs with calls of the kernel wherever objects are held in registers and frames.
CALLING = GRAPH.replace("        s = mix(s)\n", "        s = mix(s)\n        mark(s)\n        yield_()\n").replace(
    "    sum: u64 = 0\n    for i in range(len(roots)):\n", "    sum: u64 = 0\n    mark(stamp)\n    for i in range(len(roots)):\n        mark(sum)\n"
).replace("    node = table[a]\n    other = table[b]\n", "    node = table[a]\n    mark(a)\n    other = table[b]\n    yield_()\n")  # fmt: skip
PLAIN = CALLING.replace("yield_()", "pass")


def run_calling(collector: str, n: int, isolation: str = "sip", every="call") -> int:
    system = system_of(isolation, every)
    process = system.create(program(CALLING, collector), n=n)
    assert system.run(cycles=800_000_000).outcome == "finished"
    assert process.end.state == "exit", process.end
    assert process.exit_value == run_as_python(PLAIN.replace("mark(", "abs("), n)[0], f"{collector}, {n}"
    check(system)
    return pauses(system)


@pytest.mark.parametrize("isolation", SETTINGS)
@pytest.mark.parametrize("collector", ALL)
def test_every_setting(collector, isolation):
    steps = 6 if DISABLED else 40
    at_calls = run_calling(collector, 7_000 + steps, isolation)
    assert at_calls > 4 * steps, "far more than at allocations alone"


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("seed", range(3, 30, 4))
@pytest.mark.parametrize("collector", ALL)
def test_random_graphs(collector, seed):
    assert run_calling(collector, seed * 1000 + seed * 7) > run_calling(collector, seed * 1000 + seed * 7, every=True)


@pytest.mark.parametrize("collector", ALL)
def test_threads_that_are_collected_in_and_out_of_calls(collector):
    n = 6 if DISABLED else 60
    for quantum in (10_000, 10):
        system = system_of(every="call", quantum_us=quantum)
        process = system.create(program(THREADS, collector), n=n)
        assert system.run(cycles=400_000_000).outcome == "finished"
        assert process.exit_value == run_as_python(threads_alone(), n)[0], process.end
        check(system)


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("collector", ALL)
def test_one_that_blocks_is_collected_while_it_waits(collector):
    system = system_of(every="call")
    process = system.create(program(LISTS, collector), keep=40, drop=3)
    other = system.create(build(programs_from_source(LISTS, "text").programs["silent"]))
    system.connect(process["ch"], other["ch"])
    while "waits for a message" not in process.waits_for():
        system.advance(20)
    assert reached(process)[0] == 40
    system.collect_every = False
    system.run()
    assert process.exit_value == 40 * 39 // 2 + 7
    check(system)


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("collector", ALL)
def test_a_process_that_is_stopped_between_two_calls_leaves_nothing_and_the_other_is_unharmed(collector, isolation):
    n = 7_000 + (6 if DISABLED else 25)
    for stop in (3, 8) if DISABLED else range(1, 60, 7):
        system = system_of(isolation, every="call")
        victim, other = system.create(IMAGES[collector], n=31_500), system.create(program(CALLING, collector, called="other"), n=n)
        while pauses(system) < stop and not system.done:
            system.advance(1 + stop % 3)
        victim.stop()
        system.run()
        assert victim.end.state == "stopped" and other.exit_value == run_as_python(PLAIN.replace("mark(", "abs("), n)[0]
        assert not audit(system)
        assert not (system.page_tags() >> at.OWNER_SHIFT == victim.number).any()


def test_a_word_that_is_none_of_the_three_is_refused():
    system = System(ram="4M", collect_every="call")
    assert system.collect_every == "call"
    system.collect_every = True
    assert system.collect_every is True
    with pytest.raises(KernelError, match='choose False, True .* or "call"'):
        system.collect_every = "always"
