"""Contracts as large as the real system's, implemented by both sides: verified on all paths, and every message of them said."""

from __future__ import annotations

import pytest
from large_nic import NIC
from large_tcp import TCP_SERVICE
from running import ISOLATIONS

from singlab.kernel import System
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

#: Text, programs, channels as (client, its endpoint, server, its endpoint), and what each program returns.
CASES = {
    "nic": (NIC, {"driver": 100, "user": 1543 + 5000 + 4 + 10_000 + 4 + 100_000 + 20_000}, [("user", "ch", "driver", "ch")]),
    "tcp": (TCP_SERVICE, {"service": 300 + 40 + 10 + 100 + 101 + 102, "browser": 7 + 7 + 2000 + 3 * 7 + 30_000 + 50_000, "visitor": 1},
            [("browser", "tcp", "service", "first"), ("visitor", "tcp", "service", "second")]),
}  # fmt: skip


@pytest.fixture(scope="module")
def images():
    """The contracts and the built images of each case; the programs are not small."""
    units = {name: programs_from_source(text, name) for name, (text, _, _) in CASES.items()}
    return {name: (unit.contracts, {n: build(program) for n, program in unit.programs.items()}) for name, unit in units.items()}


def started(case: str, images, isolation: str):
    """Return a system with a case's processes, connected and not yet run, and the processes by name."""
    system = System(isolation=isolation)
    processes = {name: system.create(images[case][1][name]) for name in CASES[case][1]}
    for client, one, server, other in CASES[case][2]:
        system.connect(processes[client][one], processes[server][other])
    return system, processes


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("case", CASES)
def test_both_sides_are_verified_and_say_every_message(case, isolation, images):
    system, processes = started(case, images, isolation)
    assert system.run().outcome == "finished"
    assert {name: process.exit_value for name, process in processes.items()} == CASES[case][1]
    assert not (system.trace.events["kind"] == Kind.REFUSED).any()
    assert not any(any(process.holdings().values()) for process in processes.values())
    said = {what.rpartition(" sends ")[2] for what in system.trace.frame()["what"] if " sends " in what}
    assert said == {message for spoken in images[case][0].values() for message in spoken.messages}


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("case", CASES)
def test_whoever_is_stopped_takes_nobody_along(case, isolation, images):
    """Stopped at events all over the run: no message is refused, nobody waits for ever, and everything is given back."""
    whole, _ = started(case, images, isolation)
    events = len(whole.run().trace)
    for at in range(1, events, max(1, events // 12)):
        for victim in CASES[case][1]:
            system, processes = started(case, images, isolation)
            system.run(events=at)
            processes[victim].stop()
            assert system.run(cycles=5_000_000).outcome == "finished", (victim, at)
            assert not (system.trace.events["kind"] == Kind.REFUSED).any()
            assert not any(any(process.holdings().values()) for process in processes.values()), (victim, at)
