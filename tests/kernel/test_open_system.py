"""Open processes: made, copied, replaced, waited for, ended; their memory comes back; runs are repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from openprograms import begin, run

from singlab.kernel import KernelError, OpenProgram, OpenSystem, System
from singlab.kernel import layout as at
from singlab.kernel.openprogram import Segment
from singlab.sing import build, programs_from_source
from singlab.sing.openprocess import (
    DATA,
    build_process,
    call,
    execve,
    exit,
    fork,
    getppid,
    load64,
    pipe,
    process,
    read,
    sched_yield,
    store64,
    u64,
    waitpid,
)


@process
def nothing() -> u64:
    return 5


@process
def family(children: u64) -> u64:
    """Fork children that write to what all have, and add up how they ended."""
    store64(DATA, 1000)
    total: u64 = 0
    for i in range(children):
        child = fork()
        if child == 0:
            store64(DATA, load64(DATA) + i)
            exit(load64(DATA))
        waitpid(child, DATA + 8)
        total += load64(DATA + 8)
    return total + load64(DATA)


@process
def spawner() -> u64:
    child = fork()
    if child == 0:
        execve("target", 6, 7, 0, 0)
        exit(99)
    waitpid(0, DATA)
    return load64(DATA)


@process
def target(a: u64, b: u64) -> u64:
    # a new program: nothing of the old one's data is there
    return a * b + load64(DATA)


@process
def orphan() -> u64:
    if fork() == 0:
        if fork() == 0:
            while getppid() != 0:
                sched_yield()
            exit(3)
        exit(2)
    waitpid(0, 0)
    return 1


@process
def sleeper(pair: u64) -> u64:
    pipe(pair)
    return read(load64(pair), pair + 64, 8)


@process
def wild(address: u64) -> u64:
    return load64(address)


@process
def writer_to(address: u64) -> u64:
    store64(address, 1)
    return 1


@process
def jumper(address: u64) -> u64:
    return call(address, 1)


@process
def divider(n: u64) -> u64:
    return 100 // n


@process
def deadlocked() -> u64:
    pipe(DATA)
    return read(load64(DATA), DATA + 64, 8)


def test_a_process_runs_to_its_end():
    system, process = run(nothing)
    assert process.exit_value == 5 and process.end.state == "exit"
    assert isinstance(system, OpenSystem)
    assert "OpenSystem" in repr(system) and "nothing" in repr(process)


@pytest.mark.parametrize("fork", ["on write", "at once"])
def test_a_copy_has_memory_of_its_own(fork):
    system, process = run(family, children=4, fork=fork)
    assert process.exit_value == sum(1000 + i for i in range(4)) + 1000
    assert [p.end.state for p in system.processes] == ["exit"] * 5


def test_exec_replaces_the_program():
    system, process = run(spawner, target)
    assert process.exit_value == 42
    child = system.processes[1]
    assert child.name == "target" and child.exit_value == 42


def test_exec_of_an_unknown_name_changes_nothing():
    _, process = run(spawner)
    assert process.exit_value == 99


def test_orphans_have_no_parent_and_leave_nothing():
    system, process = run(orphan)
    assert process.exit_value == 1
    assert sorted(p.exit_value for p in system.processes) == [1, 2, 3]
    assert system.machine.load_u64(at.G_TASKS) == 0


@pytest.mark.parametrize("program, words", [
    (wild, {"address": 0}), (wild, {"address": 0x8000_0000}), (wild, {"address": 0x8003_0000}), (wild, {"address": 1 << 63}),
    (wild, {"address": 0x1_0000_0000}), (wild, {"address": 0x8010_0000}), (writer_to, {"address": 0x1_0000}), (writer_to, {"address": 0x3000_0000}),
    (jumper, {"address": 0x10_0000}), (jumper, {"address": 0}), (jumper, {"address": 0x8000_0000}), (divider, {"n": 0}),
])  # fmt: skip
def test_a_fault_ends_that_process_alone(program, words):
    system, process = begin(program, **words)
    other = system.create(build_process(family), children=1)
    system.run()
    assert process.end.state == "fault"
    assert process.fault.line or program is jumper
    assert other.exit_value == 2000


def test_a_fault_says_what_was_tried_and_where():
    _, process = run(writer_to, address=0x1_0000)
    assert str(process.fault).startswith("access outside its memory: tried to write 0x10000 (line ")
    assert process.fault.line == writer_to.node.lineno + 1


def test_all_memory_comes_back():
    system = System(personality="open", profile="untimed", ram="4M")
    system.register(build_process(target))
    images = [build_process(program) for program in (family, spawner, orphan, wild)]
    words = ({"children": 3}, {}, {}, {"address": 0})
    for _ in range(3):  # the first time leaves pages of records, which are used again
        before = system.page_tags() != 0
        for image, given in zip(images, words, strict=True):
            system.create(image, **given)
        system.run()
        after = system.page_tags() != 0
    assert not after[system.machine.load_u64(at.G_USER_FIRST) :].any()
    assert (after & ~before).sum() <= 1  # records of processes stay, ten in a page
    assert all(p.holdings() == {"threads": 0, "files": 0, "pages": 0} for p in system.processes)


def test_stopping_at_any_moment_gives_everything_back():
    probe = System(personality="open", profile="untimed", ram="4M")
    image = build_process(family)
    probe.create(image, children=2)
    steps = probe.run().cycles
    for cycles in np.linspace(1, steps, 25).astype(int):
        system = System(personality="open", profile="untimed", ram="4M")
        system.create(image, children=2)
        system.run(cycles=int(cycles))
        for one in system.processes:
            one.stop()
        assert system.run().outcome == "finished"
        user = system.machine.load_u64(at.G_USER_FIRST)
        assert not system.page_tags()[user:].any(), cycles
        assert system.machine.load_u64(at.G_TASKS) == 0


def test_runs_are_repeatable_and_snapshots_go_back():
    def again():
        system, process = begin(family, children=2, profile="teaching")
        system.run(cycles=40_000)
        return system, process

    one, _ = again()
    other, _ = again()
    assert np.array_equal(one.machine.m, other.machine.m)
    saved = one.snapshot()
    first = one.run()
    values = [p.exit_value for p in one.processes]
    events = len(one.trace.events)
    one.restore(saved)
    second = one.run()
    assert (first.cycles, first.instructions) == (second.cycles, second.instructions)
    assert [p.exit_value for p in one.processes] == values and len(one.trace.events) == events
    assert other.run().cycles == first.cycles


def test_a_process_that_waits_for_ever_is_a_deadlock():
    system, _ = begin(deadlocked)
    outcome = system.run()
    assert outcome.outcome == "deadlock"
    assert "deadlocked waits for bytes to read" in outcome.report


def test_the_host_sees_all_memory():
    system, process = begin(sleeper, pair=0x10_0000)
    system.run()
    assert process.word(0x10_0000 + 8) == process.word(0x10_0000) + 1
    rows = process.memory()
    assert rows["rights"].tolist() == ["rx", "rw", "rw"]
    assert process.files() == {0: "console", 1: "console", 2: "console", 3: "pipe, reads", 4: "pipe, writes"}
    with pytest.raises(ValueError):
        process.read(0, 1)
    assert process.holdings()["pages"] == rows["pages"].sum()


def test_what_is_asked_wrongly_is_refused():
    system = System(personality="open", profile="untimed", ram="4M")
    sealed = build(programs_from_source("@sip\ndef s() -> u64:\n    return 1\n").programs["s"])
    for wrong in (sealed, "nothing", 5):
        with pytest.raises(KernelError):
            system.create(wrong)
        with pytest.raises(KernelError):
            system.install(wrong)
    with pytest.raises(KernelError, match="children"):
        system.create(build_process(family))
    with pytest.raises(KernelError, match="no parameter"):
        system.create(build_process(nothing), n=1)
    with pytest.raises(KernelError, match="channels"):
        system.connect(1, 2)
    with pytest.raises(KernelError, match="fork"):
        System(personality="open", fork="never")
    with pytest.raises(KernelError, match="isolation: only a sealed system"):
        System(personality="open", isolation="sip")
    with pytest.raises(KernelError, match="suspended"):
        system.suspend(system.create(build_process(nothing)))
    with pytest.raises(KernelError, match="personality"):
        System(personality="ajar")
    with pytest.raises(KernelError, match="bytes"):
        OpenProgram.from_assembly("n" * 32, "ecall")
    with pytest.raises(KernelError, match="segment"):
        OpenProgram("far", (Segment(at.OPEN_STACK, b"", 4096, 1),))


def test_a_sealed_system_is_still_sealed():
    assert type(System(profile="untimed")) is System
    assert type(System(profile="untimed", personality="sealed")) is System


def test_assembly_and_every_register_comes_back():
    text = ["li sp, 0x1ffff000"]
    kept = [r for r in range(1, 32) if r not in (2, 10, 17)]
    text += [f"li x{r}, {1000 + r}" for r in kept]
    text += ["li a7, 6", "ecall"]  # getpid
    text += ["mv sp, a0", "li a0, 0"]
    text += [line for r in kept for line in (f"addi x{r}, x{r}, -{1000 + r}", f"or a0, a0, x{r}")]
    text += ["li a7, 0", "ecall"]
    system = System(personality="open", profile="untimed", ram="4M")
    process = system.create(OpenProgram.from_assembly("registers", "\n".join(text)))
    system.run()
    assert process.exit_value == 0


def test_an_unknown_call_is_an_error_and_no_fault():
    system = System(personality="open", profile="untimed", ram="4M")
    text = "li a7, {}\necall\nmv s0, a0\nli a7, -1\necall\nadd a0, a0, s0\nli a7, 0\necall"
    process = system.create(OpenProgram.from_assembly("unknown", text.format(1000)))
    system.run()
    assert process.exit_value == (1 << 64) - 2 * 38
