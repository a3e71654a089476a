"""Threads of one process: what they compute, what they own, what the kernel takes back, and what nobody can do to them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from running import ISOLATIONS, execute, image, refusal

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.native import native
from singlab.machine.jit import DISABLED
from singlab.sing import parse_sil, verify
from singlab.sing.build import seal_module

WORK = """
@function
def work(v: ExVec[u8], n: u64) -> u64:
    t: u64 = 0
    for i in range(n):
        v[i % len(v)] = u8(i & 255)
        t += u64(v[(i * 7) % len(v)]) + n
    free(v)
    return t

@function
def silent(n: u64):
    mark(n)

@sip
def p(n: u64) -> u64:
    a = thread(work, new(u8, 16), n)
    b = thread(work, new(u8, 32), n + 1)
    c = thread(silent, 5)
    first = join(b)
    return join(a) * 1000000 + first + join(c)
"""

TALK = '''
Talk = contract("""
contract Talk { in message Ask(ulong n); out message Answer(ulong n); state Start: Ask? -> Answer! -> Start; }
""")

@function
def answer(ch: Talk.Exp, more: u64) -> u64:
    count: u64 = 0
    while True:
        match ch.receive():
            case Talk.Ask(n):
                ch.send(Talk.Answer(n + more))
                count += 1
            case ChannelClosed():
                return count
'''

SERVER = (
    TALK
    + """
@sip
def server(one: Talk.Exp, other: Talk.Exp) -> u64:
    a = thread(answer, one, 1)
    b = thread(answer, other, 1000)
    return join(a) * 100 + join(b)

@sip
def p(ch: Talk.Imp, n: u64) -> u64:
    t: u64 = 0
    for i in range(n):
        ch.send(Talk.Ask(t))
        t = ch.receive(Talk.Answer)
    return t
"""
)


def work(size: int, n: int) -> int:
    v, t = [0] * size, 0
    for i in range(n):
        v[i % size] = i & 255
        t += v[(i * 7) % size] + n
    return t


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("quantum", [3, 10_000])
def test_threads_compute_and_are_joined_in_any_order(isolation, quantum):
    system = System(isolation=isolation, ram="2M", quantum_us=quantum)
    process = system.create(image(WORK), n=300)
    assert system.run(cycles=10_000_000).outcome == "finished"
    assert process.exit_value == work(16, 300) * 1000000 + work(32, 301)
    assert set(process.holdings().values()) == {0}
    turns = [event for event in system.trace.events if event["kind"] == 11]
    assert bool(turns) == (quantum == 3)  # time slices go round among the threads of one process
    threads = [about["process"] for about in system.meta()["threads"].values() if about["process"] != at.KERNEL_OWNER]
    assert threads == [process.number] * 4


@cache
def serving() -> tuple:
    return image(SERVER, "server"), image(SERVER)


def serve(system: System):
    server = system.create(serving()[0])
    clients = [system.create(serving()[1], name=f"c{i}", n=3 + i) for i in range(2)]
    for client, name in zip(clients, ("one", "other")):
        system.connect(client["ch"], server[name])
    return server, clients


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_each_thread_has_its_own_channel(isolation):
    system = System(isolation=isolation, ram="4M")
    server, clients = serve(system)
    assert system.run(cycles=10_000_000).outcome == "finished"
    assert [c.exit_value for c in clients] == [3, 4000] and server.exit_value == 304


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_process_stopped_with_its_threads_in_any_state_gives_everything_back(isolation):
    """At each of many moments: threads ready, running, blocked on a message or on each other, ended and not joined."""
    whole = System(isolation=isolation, ram="4M", quantum_us=5)
    serve(whole)
    length = whole.run(cycles=10_000_000).cycles
    states: set[int] = set()
    for moment in range(1, length, max(1, length // (10 if DISABLED else 60))):
        system = System(isolation=isolation, ram="4M", quantum_us=5)
        server, clients = serve(system)
        free = int((system.page_tags() == 0).sum())
        held = server.holdings()["pages"]
        system.run(cycles=moment)
        if server.state == "running":
            states |= {system.machine.load_u64(t + at.T_STATE) + 10 * bool(system.machine.load_u64(t + at.T_JOINS)) for t in server.threads()}
        server.stop()
        assert set(server.holdings().values()) == {0}
        assert system.run(cycles=10_000_000).outcome == "finished"
        assert all(c.end.state in ("exit", "fault") and set(c.holdings().values()) == {0} for c in clients)
        assert all(c.fault is None or c.fault.code == 3 for c in clients)
        assert int((system.page_tags() == 0).sum()) >= free + held
        assert system._load(at.G_LIVE) == 0
    if not DISABLED:
        assert states >= {at.READY, at.EXECUTING, at.BLOCKED, at.BLOCKED + 10}, states


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_the_end_of_the_main_thread_ends_the_others(isolation):
    text = "@function\ndef endless(n: u64):\n    while True:\n        n += 1\n@sip\ndef p() -> u64:\n    a = thread(endless, 1)\n    yield_()\n    return a\n"
    process = execute(text, isolation)
    assert process.exit_value == 2


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_stacks_and_records_come_back_when_threads_end(isolation):
    text = "@function\ndef f(n: u64) -> u64:\n    return n * 2\n@sip\ndef p() -> u64:\n    t: u64 = 0\n    for i in range(300):\n        t += join(thread(f, i))\n    return t\n"
    assert execute(text, isolation).exit_value == 299 * 300


def test_threads_that_nobody_joins_are_limited():
    text = "@function\ndef f(n: u64) -> u64:\n    return n\n@sip\ndef p(n: u64) -> u64:\n    for i in range(n):\n        mark(thread(f, i))\n    return n\n"
    assert execute(text, n=at.MOST_THREADS - 1).exit_value == at.MOST_THREADS - 1
    assert str(execute(text, n=at.MOST_THREADS).fault) == "no thread could be started (line 7)"


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("body", ["return join(999)", "return join(n)", "return join(a) + join(a)", "return join(0)"])
def test_only_threads_of_the_process_are_joined_and_once(isolation, body):
    """Thread 1 is the main thread itself."""
    text = f"@function\ndef f(n: u64) -> u64:\n    return n\n@sip\ndef p(n: u64) -> u64:\n    a = thread(f, 4)\n    yield_()\n    {body}\n"
    fault = execute(text, isolation, n=1).fault
    assert (fault.code, fault.line) == (14, 8)


def test_a_thread_is_not_joined_by_another_process():
    text = "@function\ndef f(n: u64) -> u64:\n    while n > 0:\n        yield_()\n    return n\n@sip\ndef p() -> u64:\n    return join(thread(f, 1))\n"
    other = "@sip\ndef q() -> u64:\n    return join(3)\n"
    system = System(ram="2M")
    first, second = system.create(image(text)), system.create(image(other, "q"))
    system.run(cycles=1_000_000)
    assert second.fault.code == 14 and first.state == "running"
    assert {"1", "2", "3"} == set(system.meta()["threads"]) - {str(at.SERVICE_NUMBER)}


def test_threads_that_wait_for_ever_are_reported():
    text = TALK + """
@sip
def p(ch: Talk.Exp, idle: Talk.Imp) -> u64:
    return join(thread(answer, ch, 1))

@sip
def q(ch: Talk.Imp, mine: Talk.Exp):
    answer(mine, 1)
    ch.close()
"""
    system = System(ram="2M")
    p, q = system.create(image(text)), system.create(image(text, "q"))
    system.connect(p["ch"], q["ch"])
    system.connect(p["idle"], q["mine"])
    run = system.run(cycles=1_000_000)
    assert run.outcome == "deadlock"
    assert p.waits_for() == "main thread waits for the end of thread 3; thread 3 waits for a message on its Talk.Exp endpoint, which is in state Start"
    assert p.waits_for() in run.report
    assert int(system.trace.events[-1]["a"]) == 3  # threads that wait


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_what_a_thread_does_not_catch_ends_the_process(isolation):
    text = """
class Full(Exception): pass

@function
def f(n: u64) -> u64:
    if n > 3:
        raise Full
    return n

@sip
def p(n: u64) -> u64:
    t: u64 = 0
    try:
        t = f(n + 2)
    except Full:
        t = 50
    return t + join(thread(f, n))
"""
    assert execute(text, isolation, n=1).exit_value == 4
    assert execute(text, isolation, n=3).exit_value == 53
    assert str(execute(text, isolation, n=4).fault) == "uncaught Full (line 7)"


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("a = thread(answer, ch, 1)\nch.close()\nreturn join(a)", "endpoint.moved"),
        ("a = thread(answer, ch, 1)\nb = thread(answer, ch, 1)\nreturn join(a) + join(b)", "endpoint.moved"),
        ("a = thread(answer, ch, 1)\nreturn answer(ch, 2) + join(a)", "endpoint.moved"),
        ("v = new(u8, 4)\na = thread(drop, v)\nv[0] = 1\nreturn join(a)", "owner.use-after-move"),
        ("v = new(u8, 4)\na = thread(drop, v)\nfree(v)\nreturn join(a)", "owner.use-after-move"),
        ("return join(thread(leak, new(u8, 4)))", "owner.leak"),
        ("return join(thread(p, ch))", "types"),
        ("return join(thread(answer, ch))", "types"),
        ("return join(thread())", "types"),
        ("return join(thread(many, 1, 2, 3, 4, 5))", "language"),
        ("return join(thread(made))", "types"),
        ("return join(ch)", "types"),
    ],
)
def test_what_belongs_to_a_thread_is_not_touched_by_another(body, rule):
    text = TALK + "\n@sip\ndef p(ch: Talk.Exp) -> u64:\n" + "\n".join("    " + part for part in body.splitlines())
    text += "\n" * (23 - text.count("\n")) + (
        "@function\ndef drop(v: ExVec[u8]) -> u64:\n    free(v)\n    return 1\n"
        + "@function\ndef leak(v: ExVec[u8]) -> u64:\n    return 1\n@function\ndef many(a: u64, b: u64, c: u64, d: u64, e: u64) -> u64:\n    return a\n"
        + "@function\ndef made() -> ExVec[u8]:\n    return new(u8, 1)\n@function\ndef again(n: u64) -> u64:\n    return join(thread(again, n))\n"
    )
    error = refusal(text)
    assert error.rule == rule, error


HOSTILE = """
sip p entry p
function p(%0.n: u64) -> u64
entry:
  {0}
  ret %0
function f(%0: u64) -> u64 raises
entry:
  raise %0
function g(%0: u64) -> u64
entry:
  ret %0
function h(%0: u64, %1: u64, %2: u64, %3: u64, %4: u64) -> u64
entry:
  ret %0
function k() -> u8
entry:
  %0: u8 = const 1
  ret %0
"""


@pytest.mark.parametrize(
    ("instruction", "said"),
    [
        ("%1: u64 = spawn f, %0", "nobody could catch"),
        ("spawn g, %0", "gives a thread's number"),
        ("%1: u8 = spawn g, %0", "u64 is needed"),
        ("%1: u64 = spawn g", "takes 1 arguments"),
        ("%1: u64 = spawn nothing, %0", "no function"),
        ("%1: u64 = spawn h, %0, %0, %0, %0, %0", "more than 4"),
        ("%1: u64 = spawn k", "returns no u64"),
        ("%1: u64 = spawn p, %0", "calls itself"),
        ("%1: u8 = join %0", "u64 is needed"),
        ("join %0", "wrong operands"),
    ],
)
def test_no_malformed_thread_passes(instruction, said):
    findings = verify(parse_sil(HOSTILE.format(instruction)), collect=True).findings
    assert findings and said in findings[0].message, findings


def test_the_kernel_trusts_no_argument_of_a_new_thread():
    system = System(ram="2M")
    process = system.create(image(WORK), n=1)
    code, size = process._field(at.P_CODE), process._field(at.P_CODE_BYTES)

    def create(entry: int, stack: int) -> int:
        words = [np.uint64(w & (1 << 64) - 1) for w in (process.record, entry, stack, 0, 0, 0, 0)]
        return int(native.thread_create(system._m, *words))

    for entry, stack in ((code - 4, 64), (code + size, 64), (code + 2, 64), (0, 64), (at.TEXT_BASE, 64), (-4, 64), (code, 0), (code, 1 << 21), (code, -1)):
        assert create(entry, stack) == 0
        assert process.holdings()["threads"] == 1
    before = process.holdings()["pages"]
    assert create(code, 5000) != 0 and process.holdings()["pages"] == before + 2


def test_an_endpoint_another_thread_waits_on_is_neither_received_from_nor_closed():
    """Verified programs do not try; whoever does is refused, and no stale waiter is left behind."""
    text = TALK + "@sip\ndef p(ch: Talk.Imp):\n    ch.close()\n@sip\ndef s(ch: Talk.Exp):\n    answer(ch, 1)\n"
    system = System(ram="2M")
    one, other = system.create(image(text)), system.create(image(text, "s"))
    system.connect(one["ch"], other["ch"])
    system.start(other)
    system._loop(1_000_000, None)
    endpoint = other._field(at.P_ENDPOINTS)
    waiter = system._load(endpoint + at.E_WAITER)
    assert waiter == other._field(at.P_THREADS)
    system._store(at.G_CURRENT, waiter)  # as if another thread of that process called now
    assert int(native.abi_close(system._m, np.uint64(endpoint))) == 2
    native.abi_receive(system._m, np.uint64(endpoint))
    assert system._load(endpoint + at.E_WAITER) == waiter
    system._store(at.G_CURRENT, 0)
    assert system.run(cycles=1_000_000).outcome == "finished"


def test_threads_stand_at_the_end_of_the_abi():
    assert [ABI_NUMBER[n] for n in ("create_thread", "exit_thread", "join_thread")] == [13, 14, 15]


def test_threads_are_alike_with_and_without_the_optimiser():
    from singlab.sing import programs_from_source
    from singlab.sing.frontend import compile_program

    module = verify(compile_program(programs_from_source(WORK).programs["p"])).module
    values = []
    for optimiser in (True, False):
        system = System(ram="2M", quantum_us=7)
        process = system.create(seal_module(module, True, optimiser=optimiser), n=100)
        system.run(cycles=10_000_000)
        values.append(process.exit_value)
    assert values == [work(16, 100) * 1000000 + work(32, 101)] * 2
