"""Stopping anything at any time: wherever a process is stopped, the kernel's tables agree, peers learn of it, and nobody else is touched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from families import family
from programs import talk

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import audit, check
from singlab.kernel.isolation import CHOICES
from singlab.sing import build, programs_from_source


def expected_of_bystander(isolation: str, **options) -> int:
    system, _, bystander = family(isolation, **options)
    system.run()
    return bystander.exit_value


def points(system: System, stride: int) -> Iterator[tuple]:
    """Run a system and give a snapshot of each stopping point on the way, every so many instructions; who stops there goes back to it."""
    while not system.done:
        yield system.snapshot()
        system.step(stride)


def memory_of_others(system: System, victims: set[int]) -> dict[int, bytes]:
    """Return the contents of the pages of every process but some, and of the blocks it owns."""
    tags = system.page_tags()
    found = {}
    for page in range(system._load(at.G_USER_FIRST), system._load(at.G_PAGES)):
        owner = int(tags[page]) >> at.OWNER_SHIFT
        if owner > at.KERNEL_OWNER and owner not in victims:
            found[page] = bytes(system.machine.read(at.RAM_BASE + page * at.PAGE, at.PAGE))
    for process in system.processes:
        block = process._field(at.P_BLOCKS) if process.number not in victims else 0
        while block:
            data, size = system._load(block + at.B_DATA), system._load(block + at.B_SIZE)
            found[block] = bytes(system.machine.read(data, size))
            block = system._load(block + at.B_NEXT)
    return found


def below(process) -> set[int]:
    """Return the numbers of a process and of all below it."""
    return {process.number}.union(*(below(child) for child in process.children))


def stop_and_look(system: System, victim, bystander, value: int) -> None:
    """Stop a process; the tables agree, nobody else's memory changes, and all others come to an end."""
    system._leave_kernel()  # the operator's interrupt waits for that too; what it writes is not the stop's doing
    gone = below(victim)
    before, asked = memory_of_others(system, gone), system._load(at.G_SERVICE_HEAD)
    victim.stop()
    assert victim.state == "stopped" and set(victim.holdings().values()) == {0}
    check(system)
    after = memory_of_others(system, gone)
    if asked:  # what stands in the queue before it is done too: somebody may be made, or stopped
        assert all(after[place] == before[place] for place in before.keys() & after.keys())
    else:
        assert after == before
    run = system.run()
    assert run.outcome == "finished", run.report
    check(system)
    if victim is not bystander:
        assert bystander.exit_value == value
    assert all(set(p.holdings().values()) == {0} for p in system.processes)


def kill_all_over(isolation: str, stride: int, everybody: bool) -> int:
    options = {"rounds": 1, "size": 5000, "turns": 60}
    value = expected_of_bystander(isolation, **options)
    system, chief, bystander = family(isolation, **options)
    stopped = 0
    for here in points(system, stride):
        alive = [p for p in system.processes if p.state != "stopped"]
        for index, victim in enumerate(alive):
            if not everybody and index != stopped % len(alive):
                continue
            stop_and_look(system, victim, bystander, value)
            system.restore(here)
        stopped += 1
    assert chief.exit_value
    return stopped


@pytest.mark.parametrize("isolation", CHOICES)
def test_a_family_is_stopped_here_and_there(isolation):
    assert kill_all_over(isolation, 409, everybody=True) > 30


@pytest.mark.slow
@pytest.mark.parametrize("isolation", CHOICES)
def test_a_family_is_stopped_at_every_instruction(isolation):
    assert kill_all_over(isolation, 1, everybody=False) > 2_500


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains", "mixed"])
def test_stopped_at_every_instruction_of_one_kernel_call(isolation):
    """From the call to the return: entry code, the call's function, the switch to another thread, its resumption."""
    system, chief, bystander = family(isolation, rounds=1, size=5000)
    value = expected_of_bystander(isolation, rounds=1, size=5000)
    system.run(events=120)
    while not system.in_kernel():
        system.step()
    inside = 0
    while inside < 60:
        here = system.snapshot()
        running = [p for p in system.processes if p.state == "running"]
        stop_and_look(system, running[inside % len(running)], bystander, value)
        system.restore(here)
        inside += 1
        system.step()


@pytest.mark.parametrize("isolation", ["sip", "domain", "ring3"])
def test_what_others_save_is_whole_though_the_thread_to_run_next_is_stopped(isolation):
    """A thread that blocks has its registers saved by entry code while the next one is already the running one."""
    whole = System(isolation=isolation, ram="4M")
    talk(whole, rounds=4)
    whole.run()
    system = System(isolation=isolation, ram="4M")
    client, server = talk(system, rounds=4)
    third = system.create("client", rounds=1, size=8)
    fourth = system.create("server")
    system.connect(third["ch"], fourth["ch"])
    tried = 0
    while not system.done and tried < 25:
        current = system._load(at.G_CURRENT)
        if system.in_kernel() and current in (third._field(at.P_THREADS), fourth._field(at.P_THREADS)):
            here = system.snapshot()
            (third if current == third._field(at.P_THREADS) else fourth).stop()
            assert audit(system) == []
            system.run()
            assert client.exit_value == whole.processes[0].exit_value
            system.restore(here)
            tried += 1
        system.step(3)
    assert tried


@pytest.mark.parametrize("isolation", ["pages", "domain", "ring3", "ring3-domains"])
def test_who_ran_last_takes_its_page_table_along(isolation):
    """Everybody waits and the hart idles with the table of the one that ran last; stopped then, that table is gone."""
    text = "@sip\ndef sleeper():\n    sleep(100_000_000)\n\n@sip\ndef count(n: u64) -> u64:\n    total: u64 = 0\n    for i in range(n):\n        total += i\n    return total\n"
    programs = programs_from_source(text, "text").programs
    system = System(ram="4M", isolation=isolation)
    sleeper = system.create(build(programs["sleeper"]))
    assert system.run(cycles=100_000).outcome == "limit"
    sleeper.stop()
    others = [system.create(build(programs["count"]), n=n) for n in (10, 100)]
    assert system.run(cycles=1_000_000).outcome == "finished"
    assert [p.exit_value for p in others] == [45, 4950]
    check(system)
