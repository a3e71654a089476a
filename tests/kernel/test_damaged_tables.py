"""Damage in the kernel's own tables: whatever stands there, the host goes on, and says by name what is wrong."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from families import family

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.boot import LEAST_MOST
from singlab.kernel.damage import TablesDamaged, links
from singlab.kernel.native import host_source
from singlab.machine import state as _s
from singlab.sing import build, programs_from_source

HERE = Path(__file__).parent


def test_every_loop_of_kernel_code_is_bounded_and_nothing_calls_itself():
    functions = [node for node in ast.parse(host_source()).body if isinstance(node, ast.FunctionDef)]
    names, calls, loops = {function.name for function in functions}, {}, 0
    for function in functions:
        nodes = list(ast.walk(function))
        assert not any(isinstance(node, ast.For) for node in nodes), function.name
        for loop in (node for node in nodes if isinstance(node, ast.While)):
            loops += 1
            own = [ast.unparse(statement) for statement in loop.body]
            bound = [text for text in own if text.startswith("if m[") and f"> m[{_s.KERNEL_MOST}]:" in text and text.endswith("break")]
            word = bound[0].removeprefix("if m[").partition("]")[0]
            place = own[0].removeprefix("charge_block(m, _c").partition(",")[0]
            assert len(bound) == 1 and int(word) == _s.DUE_0 + (int(place, 16) >> 4 & 3), (function.name, own)
        calls[function.name] = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)} & names
    assert loops > 150
    while leaves := [name for name, called in calls.items() if not called]:
        for name in leaves:
            del calls[name]
        for called in calls.values():
            called.difference_update(leaves)
    assert not calls  # a circle of calls would be left


def test_the_bound_is_far_above_what_a_call_needs_and_the_same_machine_is_charged():
    """What clears all of memory is the longest a call in order takes: a few instructions for 32 bytes."""
    system = System(ram="4M")
    assert int(system.machine.m[_s.KERNEL_MOST]) == LEAST_MOST + 16 * (4 << 20) > 4 << 20


def test_a_list_that_leads_back_ends_the_kernel_call_and_the_system_and_a_snapshot_helps():
    system, chief, _ = family("unchecked")
    system.run(events=60)
    snapshot = system.snapshot()
    system.run()
    expected, spent = chief.exit_value, int(system.machine.m[_s.CYCLES])
    system.restore(snapshot)
    thread = chief._field(at.P_THREADS)
    system._store(thread + at.T_SIBLING, thread)
    with pytest.raises(TablesDamaged, match="^the kernel's own tables are damaged: one of its lists has no end"):
        system.run()
    assert int(system.machine.m[_s.KERNEL_MOST]) == 0
    for again in (system.run, lambda: system.step(10), lambda: system.run(events=1)):
        with pytest.raises(TablesDamaged):
            again()
    system.restore(snapshot)
    system._store(thread + at.T_SIBLING, thread)
    with pytest.raises(TablesDamaged):
        chief.threads()
    system.restore(snapshot)
    system.run()
    assert chief.exit_value == expected and int(system.machine.m[_s.CYCLES]) == spent


@pytest.mark.parametrize("isolation", ["unchecked", "sip"])
def test_a_list_that_leads_out_of_memory_is_named(isolation):
    system, chief, _ = family(isolation)
    system.run(events=60)
    system._store(chief._field(at.P_THREADS) + at.T_PROCESS, 1 << 50)
    with pytest.raises(TablesDamaged, match="where no memory is|one of its lists"):
        system.run()


def test_a_policy_that_tables_name_and_nobody_made_is_damage():
    system, _, _ = family("unchecked")
    system.run(events=20)
    system._store(at.G_POLICIES, 63)
    with pytest.raises(TablesDamaged):
        system.run()


def test_the_hosts_own_walk_is_bounded():
    system, _, _ = family("unchecked")
    place = at.GLOBALS + at.PAGE - 16
    system._store(place, place)
    with pytest.raises(TablesDamaged, match="no end"):
        list(links(system.machine, place, 0))
    with pytest.raises(TablesDamaged, match="where no memory is"):
        list(links(system.machine, 64, 0))
    assert list(links(system.machine, 0, 0)) == []


def test_a_hart_that_only_traps_ends_a_step():
    system, chief, _ = family("unchecked")
    system.run(events=20)
    system.machine.write(at.TEXT_BASE, bytes(0x4000))  # what handles traps cannot be executed
    with pytest.raises(TablesDamaged, match="from trap to trap|handler of traps"):
        while True:
            system.step(1_000_000)


def test_code_that_writes_everywhere_ends_by_name():
    """A stack that runs over goes down through all that lies below: other programs, the exchange heap, the kernel's tables, its code."""
    text = "@function\ndef f(n: u64) -> u64:\n    if n == 0:\n        return 0\n    return f(n - 1) + 1\n\n@sip\ndef p(n: u64) -> u64:\n    return f(n)\n"
    system = System(isolation="unchecked", ram="2M")
    process = system.create(build(programs_from_source(text, "text").programs["p"], checks=False), n=1 << 60)
    snapshot = system.snapshot()
    try:
        run = system.run(cycles=20_000_000)
        assert run.outcome in ("limit", "finished", "deadlock")
    except TablesDamaged as error:
        assert str(error).startswith("the kernel's own tables are damaged")
    system.restore(snapshot)
    assert process.state == "unstarted"


def damaged(isolation: str, first: int, count: int, seconds: int) -> dict:
    """Damage systems in a process of its own; a crash, a traceback or a hang of that one fails."""
    command = [sys.executable, str(HERE / "damaging.py"), isolation, str(first), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_random_damage_ends_by_name():
    came_to = damaged("unchecked", 0, 60, 600)
    assert came_to["damaged"] > 20 and came_to["finished"] and "PolicyError" not in came_to


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 9000, 2000))
def test_much_random_damage_ends_by_name(first):
    came_to = damaged("unchecked", first, 2000, 3000)
    assert came_to["damaged"] > 500
