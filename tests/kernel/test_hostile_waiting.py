"""Channels of its own, sets and waiting for several: hostile arguments, other threads, and ends at any moment harm nobody."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import IMP, expected_total, hand_made, images, talk
from test_hostile import NUMBERS

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI_NUMBER, E_BAD_ARGUMENT, E_BAD_HANDLE, E_NOT_OWNER, NO_ENDPOINT, NO_MESSAGE
from singlab.machine.jit import DISABLED
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

ISOLATIONS = ("sip", "ring3")
#: What a rogue has in hand: both ends of a channel of its own, a set with the Imp end of another in it, an empty one, its startup endpoint.
HELD = {"s0": "its Imp end", "s1": "its Exp end", "s2": "a set with a member", "s3": "an empty set", "s4": "the member", "s5": "its startup endpoint"}
BEGIN = """mv s5, a0
li a0, 0
abi new_channel
mv s0, a0
mv s1, a1
abi new_set
mv s2, a0
abi new_set
mv s3, a0
li a0, 0
abi new_channel
mv s4, a0
mv a1, a0
mv a0, s2
abi set_add
"""
CALLS = ("new_channel", "select", "new_set", "set_add", "set_take", "set_size", "close", "send", "receive", "yield")
NOTHING = NO_MESSAGE | NO_MESSAGE << 16 | NO_MESSAGE << 32 | NO_MESSAGE << 48
NO_ENDPOINTS = NO_ENDPOINT | NO_ENDPOINT << 16 | NO_ENDPOINT << 32 | NO_ENDPOINT << 48


def put(register: int, word: int | str) -> str:
    """Return the instruction that puts a number, or what is held in a register, into an argument."""
    return f"mv a{register}, {word}" if isinstance(word, str) else f"li a{register}, {word}"


def rogue(text: str):
    """Return hand-made code that is started with a Talk endpoint and can make channels of Talk."""
    return hand_made("rogue", text, [IMP], images()["client"])


def beside_good(text: str, isolation: str):
    """Return a system with a good pair and a rogue connected to a server of its own; and the rogue, run to the end."""
    system = System(isolation=isolation, ram="4M", allow_unverified=True)
    client, server = talk(system, rounds=5, size=3000)
    bad, its_server = system.create(rogue(text)), system.create(images()["server"], name="its server")
    system.connect(bad["ch"], its_server["ch"])
    run = system.run(cycles=50_000_000)
    assert run.outcome in ("finished", "deadlock"), run
    assert client.exit_value == expected_total(5) and server.fault is None
    assert its_server.fault is None or its_server.fault.code == 1  # an empty block was given to it: data[0]
    return system, bad


@settings(max_examples=8 if DISABLED else 150, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from(CALLS), st.lists(st.one_of(st.sampled_from(sorted(HELD)), st.sampled_from(sorted(HELD)), NUMBERS),
                                                        min_size=6, max_size=6)), min_size=1, max_size=14),
    st.booleans(),
    st.sampled_from(ISOLATIONS),
)  # fmt: skip
def test_hostile_calls_on_channels_and_sets_change_nobody_else(calls, waits, isolation):
    """Half of the selects say that they have seen nothing, so that they wait, perhaps for ever."""
    text = [BEGIN]
    for name, words in calls:
        if name == "select" and waits:
            words = [NOTHING, *words[1:]]
        text += [put(i, word) for i, word in enumerate(words)] + [f"abi {name}"]
    system, bad = beside_good("\n".join([*text, "li a0, 0", "abi exit"]), isolation)
    bad.stop()
    assert set(bad.holdings().values()) == {0}
    assert system.run(cycles=50_000_000).outcome == "finished"
    assert all(set(process.holdings().values()) == {0} for process in system.processes)


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("number", [1, 2, 0x1_0000, 1 << 61, (1 << 63) + 1, (1 << 64) - 1])
def test_a_contract_the_image_does_not_have_makes_no_channel(isolation, number):
    system, bad = beside_good(f"li a0, {number}\nabi new_channel\nor a0, a0, a1\nabi exit", isolation)
    assert bad.exit_value == 0
    assert refusals(system, bad) == [("new_channel", E_BAD_ARGUMENT)]


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("word", [8, at.RAM_BASE, at.GLOBALS, at.PAGE_TAGS, (1 << 64) - 512, "foreign endpoint", "foreign set"])
def test_what_is_not_its_own_is_neither_waited_for_nor_looked_into(isolation, word):
    """Not even between two things that are the caller's."""
    system = System(isolation=isolation, ram="4M", allow_unverified=True)
    owner = system.create(hand_made("owner", BEGIN + "abi yield\n" * 30 + "li a0, 0\nabi exit", [IMP], images()["client"]))
    peer = system.create(images()["server"])
    system.connect(owner["ch"], peer["ch"])
    guess = word
    if isinstance(word, str):
        magic, guess = at.MAGIC_SET if "set" in word else at.MAGIC_ENDPOINT, 0
        while not guess:
            system.run(events=1)
            guess = next((r for r in records(system, owner) if system.machine.load_u64(r + at.E_MAGIC) == magic), 0)
    wanted = E_NOT_OWNER if isinstance(word, str) else E_BAD_HANDLE
    calls = {
        "select": f"li a0, {NOTHING}\nmv a1, s1\nli a2, {guess}\nmv a3, s2\nli a4, 0",
        "set_size": f"li a0, {guess}",
        "set_take": f"li a0, {guess}",
        "set_add": f"mv a0, s3\nli a1, {guess}",
        "close": f"li a0, {guess}",
        "receive": f"li a0, {guess}",
    }
    text = BEGIN + "\n".join(f"{arguments}\nabi {name}\nmv s{6 + k}, a0" for k, (name, arguments) in enumerate(calls.items()))
    bad = system.create(hand_made("rogue", text + f"\nli t0, {NO_ENDPOINTS}\nsub s6, s6, t0\nor a0, s6, s7\nor a0, a0, s8\nabi exit", [IMP], images()["client"]))
    second = system.create(images()["server"], name="second")
    system.connect(bad["ch"], second["ch"])
    assert system.run(cycles=5_000_000).outcome == "finished"
    assert bad.exit_value == 0
    seen = dict(refusals(system, bad))
    assert seen.keys() == calls.keys() and seen["set_take"] == E_BAD_ARGUMENT
    assert {seen[name] for name in ("select", "set_size", "close", "receive")} <= {wanted, E_BAD_HANDLE}
    assert owner.exit_value == 0


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("operands", [("s5", "s5", "s5", "s5"), ("s2", "s5", 0, 0), ("s5", "s2", "s2", 0)])
def test_one_thing_named_twice_and_a_set_beside_its_member_wake_the_thread_once(isolation, operands):
    """The startup endpoint is put into the set as well: what comes to it is seen, and taken once."""
    text = BEGIN + "mv a0, s2\nmv a1, s5\nabi set_add\nmv a0, s5\nli a1, 0\nli a2, 41\nabi send\n"
    text += "\n".join(put(i, word) for i, word in enumerate((NOTHING, *operands))) + "\nabi select\nmv s6, a0\nmv a0, s5\nabi receive\nmv a0, a1\nabi exit"
    system, bad = beside_good(text, isolation)
    assert bad.exit_value == 42 and set(bad.holdings().values()) == {0}


def records(system: System, process) -> list[int]:
    """Return the addresses of a process's endpoints and sets."""
    found, record = [], process._field(at.P_ENDPOINTS)
    while record:
        found.append(record)
        record = system.machine.load_u64(record + at.E_NEXT)
    return found


def refusals(system: System, process) -> list[tuple[str, int]]:
    """Return which calls of a process the kernel refused, and why."""
    names = {number: name for name, number in ABI_NUMBER.items()}
    events = system.trace.events
    return [(names[int(e["a"])], int(e["b"])) for e in events[(events["kind"] == Kind.REFUSED) & (events["process"] == process.number)]]


# ---- two threads that share what the verifier would not let them share --------------------------------------------------

SHARED = """
C = contract('''contract C { in message Go(); out message Done(); state Start: Go? -> Done! -> Start; }''')

@function
def at_set(s: ESet[C.Exp]) -> u64:
    match s.receive():
        case (ep, C.Go()):
            ep.send(C.Done())
            return 1
        case (ep, ChannelClosed()):
            return 2

@function
def at_member(ep: C.Exp) -> u64:
    match ep.receive():
        case C.Go():
            ep.send(C.Done())
            return 3
        case ChannelClosed():
            return 4

@function
def at_both(ep: C.Exp, s: ESet[C.Exp]) -> u64:
    match receive(ep, s):
        case (C.Go(), _):
            return 5
        case (_, (other, C.Go())):
            return 6
        case (ChannelClosed(), _):
            return 7
        case (_, (other, ChannelClosed())):
            return 8

@sip
def p() -> u64:
    a, x = new_channel(C)
    b, y = new_channel(C)
    s = ESet(C.Exp)
    s.add(x)
    BODY
    a.send(C.Go())
    return join(t) * 10 + len(s)
"""


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(("body", "value", "refused"), [
    ("t = thread(at_set, s)\n    yield_()\n    s.close()", 10, [("close", E_NOT_OWNER)]),
    ("t = thread(at_member, x)\n    yield_()\n    s.close()", 31, [("close", E_NOT_OWNER)]),
    ("t = thread(at_member, x)\n    yield_()\n    x.close()", 31, [("close", E_NOT_OWNER)]),
    ("t = thread(at_both, y, s)\n    yield_()\n    s.close()\n    y.close()", 60, [("close", E_NOT_OWNER)] * 2),
    ("t = thread(at_member, y)\n    yield_()\n    b.close()", 41, []),
])  # fmt: skip
def test_what_another_thread_waits_at_is_not_closed_under_it(isolation, body, value, refused):
    """A set counts as waited at where a thread waits at a member of it behind its back."""
    system = System(isolation=isolation, ram="2M", allow_unverified=True)
    process = system.create(build(programs_from_source(SHARED.replace("BODY", body), "text").programs["p"], verify=False))
    assert system.run(cycles=5_000_000).outcome == "finished"
    assert process.exit_value == value, process.end
    assert refusals(system, process) == refused
    assert set(process.holdings().values()) == {0}


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_two_threads_do_not_wait_at_one_set(isolation):
    """The second is told that it may not, and ends its process; nothing is left behind."""
    body = "t = thread(at_set, s)\n    u = thread(at_set, s)\n    yield_()"
    system = System(isolation=isolation, ram="2M", allow_unverified=True)
    process = system.create(build(programs_from_source(SHARED.replace("BODY", body), "text").programs["p"], verify=False))
    assert system.run(cycles=5_000_000).outcome == "finished"
    assert process.fault.code == 16 and refusals(system, process) == [("select", E_BAD_ARGUMENT)]
    assert set(process.holdings().values()) == {0}


# ---- what comes, and who ends, while a thread waits for several -----------------------------------------------------------

MEETING = """
C = contract('''contract C { in message Go(ulong n); out message Done(ulong n); state Start: Go? -> Asked; state Asked: Done! -> Start; }''')

@sip
def server(ch: C.Exp, turns: u64):
    match ch.receive():
        case C.Go(n):
            for i in range(turns):
                yield_()
            ch.send(C.Done(n * 2))
        case ChannelClosed():
            return

@sip
def p(one: C.Imp, two: C.Imp, three: C.Imp) -> u64:
    s = ESet(C.Imp, "Asked")
    one.send(C.Go(1))
    two.send(C.Go(10))
    three.send(C.Go(100))
    s.add(two)
    s.add(three)
    match receive(one, s):
        case (C.Done(n), (ep, C.Done(m))):
            n += m
            ep.close()
        case (C.Done(n), (ep, ChannelClosed())):
            n += 1000
            ep.close()
        case (ChannelClosed(), (ep, C.Done(m))):
            n = 2000 + m
            ep.close()
        case (ChannelClosed(), (ep, ChannelClosed())):
            n = 3000
            ep.close()
    s.close()
    return n
"""


def meeting(isolation: str, turns: tuple[int, int, int]):
    """Return a system with a process that waits for three servers, one by itself and two in a set."""
    unit = programs_from_source(MEETING, "text")
    system = System(isolation=isolation, ram="2M")
    waiter, image = system.create(build(unit.programs["p"])), build(unit.programs["server"])
    servers = [system.create(image, name=f"s{i}", turns=n) for i, n in enumerate(turns)]
    for server, name in zip(servers, ("one", "two", "three")):
        system.connect(waiter[name], server["ch"])
    return system, waiter, servers


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(("turns", "value"), [((0, 3, 9), 22), ((9, 6, 2), 202), ((2, 9, 1), 202), ((9, 1, 5), 22), ((0, 0, 0), 22)])
def test_arrivals_in_any_order_satisfy_the_wait(isolation, turns, value):
    system, waiter, servers = meeting(isolation, turns)
    assert system.run(cycles=5_000_000).outcome == "finished"
    assert waiter.exit_value == value
    assert all(set(process.holdings().values()) == {0} for process in system.processes)


@pytest.mark.parametrize("victim", range(4))
def test_whoever_ends_at_any_event_while_others_wait_leaves_nothing_behind(victim):
    """The waiting process, or one of those it waits for, is stopped at each event; the rest goes on to its end."""
    system, waiter, servers = meeting("sip", (2, 5, 3))
    values = set()
    system.run(events=1)
    while not system.done:
        here = system.snapshot()
        one = [waiter, *servers][victim]
        if one.state == "running":
            one.stop()
            assert set(one.holdings().values()) == {0}
            assert system.run(cycles=5_000_000).outcome == "finished"
            assert all(set(process.holdings().values()) == {0} for process in system.processes)
            assert [process.fault for process in system.processes] == [None] * 4
            values.add(waiter.exit_value if waiter.end.state == "exit" else None)
        system.restore(here)
        system.advance(events=3 if DISABLED else 1)
    if not DISABLED:
        assert len(values) > 1 or victim == 0, values
