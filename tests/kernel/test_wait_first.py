"""One wait for messages and for events: whatever comes first, in all orders, with threads, sets, time and deaths."""

from __future__ import annotations

from functools import cache

import pytest
from programs import IMP, hand_made, images

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import check
from singlab.kernel.isolation import CHOICES
from singlab.trace.record import Kind

SOURCE = '''
Talk = contract("""
contract Talk {
    in  message Ask(ulong n);
    out message Answer(ulong n);
    state Start: Ask? -> Answer! -> Start;
}
""")

@function
def setter(go: Event, count: u64, pause: u64) -> u64:
    for i in range(count):
        for j in range(pause):
            yield_()
        go.set()
    return count

@sip
def server(ch: Talk.Exp, events: u64, pause: u64) -> u64:
    """Serves a client and counts its own thread's events, until the client is gone and all events have come."""
    go = event()
    other = thread(setter, go, events, pause)
    answered: u64 = 0
    came: u64 = 0
    while True:
        which = wait_any(ch, go)
        if which == 1:
            came += 1
        else:
            match ch.receive():
                case Talk.Ask(n):
                    answered += 1
                    ch.send(Talk.Answer(n + 1))
                case ChannelClosed():
                    done = join(other)
                    if go.wait_until(cycles()):
                        came += 1
                    go.close()
                    return answered * 1000 + came

@sip
def client(ch: Talk.Imp, rounds: u64, pause: u64) -> u64:
    total: u64 = 0
    for i in range(rounds):
        for j in range(pause):
            yield_()
        ch.send(Talk.Ask(i))
        total += ch.receive(Talk.Answer)
    return total

@sip
def many(a: Talk.Exp, b: Talk.Exp) -> u64:
    """Waits for a set of two and an event nobody sets."""
    ends = ESet(Talk.Exp, "Start")
    ends.add(a)
    ends.add(b)
    never = event()
    answered: u64 = 0
    which: u64 = 9
    while len(ends) > 0:
        which = wait_any(never, ends)
        match receive(ends):
            case ((ch, Talk.Ask(n)),):
                answered += 1
                ch.send(Talk.Answer(n + 1))
                ends.add(ch)
            case ((ch, ChannelClosed()),):
                ch.close()
    ends.close()
    never.close()
    return answered * 10 + which
'''


@cache
def programs():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "waits").programs.items()}


def scene(isolation: str, events: int = 5, pause: int = 3, rounds: int = 5, slow: int = 2, **options):
    system = System(isolation=isolation, ram="4M", **options)
    server = system.create(programs()["server"], events=events, pause=pause)
    client = system.create(programs()["client"], rounds=rounds, pause=slow)
    system.connect(client["ch"], server["ch"])
    return system, server, client


@pytest.mark.parametrize("isolation", CHOICES)
@pytest.mark.parametrize(("pause", "slow"), [(0, 0), (3, 2), (0, 9), (9, 0), (1, 1)])
def test_messages_and_events_both_come(isolation, pause, slow):
    system, server, client = scene(isolation, pause=pause, slow=slow)
    while not system.done:
        system.run(events=5)
        check(system)
    assert client.exit_value == sum(i + 1 for i in range(5))
    answered, came = divmod(server.exit_value, 1000)
    assert answered == 5 and 1 <= came <= 5, "an event that resets itself may be set twice before somebody looks"
    assert set(server.holdings().values()) == {0}


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains", "mixed"])
def test_sets_are_waited_for_too(isolation):
    system = System(isolation=isolation, ram="4M")
    many = system.create(programs()["many"])
    clients = [system.create(programs()["client"], name=f"c{n}", rounds=3 + n, pause=n) for n in range(2)]
    for client, end in zip(clients, "ab", strict=True):
        system.connect(client["ch"], many[end])
    while not system.done:
        system.run(events=3)
        check(system)
    assert many.exit_value == 7 * 10 + 1
    assert [c.exit_value for c in clients] == [6, 10]


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("who", ["server", "client"])
def test_either_is_stopped_at_every_event(isolation, who):
    system, server, client = scene(isolation, events=3, rounds=3)
    tried = waited = 0
    while not system.done:
        here = system.snapshot()
        victim, other = (server, client) if who == "server" else (client, server)
        if victim.state == "running":
            thread = victim.threads()[0]
            waited += system._load(thread + at.T_SELECTS) == at.WAIT_EITHER and system._load(thread + at.T_STATE) == at.BLOCKED
            victim.stop()
            check(system)
            assert set(victim.holdings().values()) == {0}
            assert system.run().outcome == "finished"
            assert other.state == "stopped"
            system.restore(here)
            tried += 1
        system.run(events=1)
    assert tried > 30 and (waited or who == "client")


@pytest.mark.parametrize("isolation", ["sip", "domain"])
def test_suspended_while_it_waits_for_either(isolation):
    system, server, client = scene(isolation, events=2, rounds=2, pause=40, slow=40)
    while system._load(server.threads()[0] + at.T_SELECTS) != at.WAIT_EITHER:
        system.run(events=1)
    server.suspend()
    check(system)
    system.run(cycles=400_000)
    check(system)
    assert client.state == "running"
    server.resume()
    assert system.run().outcome == "finished"
    check(system)
    assert client.exit_value == 3


def rogue(system, text: str):
    process = system.create(hand_made("rogue", "mv s0, a0\n" + text, [IMP], images()["client"]))
    server = system.create(images()["server"])
    system.connect(process["ch"], server["ch"])
    return process


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_the_time_runs_out(isolation):
    """From hand-made code, for the language has no such word: at once for a time that is past, later for one to come."""
    for text, expected in (("li a0, 0", 7), ("csrr a0, cycle\nli t0, 30000\nadd a0, a0, t0", 7)):
        system = System(isolation=isolation, ram="4M", allow_unverified=True)
        process = rogue(system, f"{text}\nmv a1, s0\nli a2, 0\nli a3, 0\nli a4, 0\nabi wait_first\nabi exit")
        while not system.done:
            system.run(events=1)
            check(system)
        assert process.exit_value == expected


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("word", [1, 8, 2**32, 2**63, 2**64 - 1, at.GLOBALS, at.RAM_BASE + 512, at.KERNEL_PROCESS])
@pytest.mark.parametrize("place", [1, 4])
def test_hostile_words_are_refused_and_nothing_waits(isolation, word, place):
    system = System(isolation=isolation, ram="4M", allow_unverified=True)
    words = ["mv a1, s0" if place != 1 else "", *(f"li a{n}, 0" for n in range(2, 5)), f"li a{place}, {word}"]
    process = rogue(system, "li a0, -1\n" + "\n".join(filter(None, words)) + "\nabi wait_first\nabi exit")
    assert system.run().outcome == "finished"
    assert process.exit_value in (1, 2)
    check(system)


def test_an_endpoint_at_which_another_thread_waits_is_refused():
    """And no message is lost: the one that came first has it."""
    system, server, client = scene("sip")
    system.run()
    refused = system.trace.events[system.trace.events["kind"] == int(Kind.REFUSED)]
    assert len(refused) == 0
    from singlab.sing import SipError, build, programs_from_source

    wrong = SOURCE.replace("which = wait_any(ch, go)\n        if which == 1:\n            came += 1", "ch.send(Talk.Answer(1))\n        which = wait_any(ch, go)\n        if which == 1:\n            came += 1")
    with pytest.raises(SipError):
        build(programs_from_source(wrong, "wrong").programs["server"])
    closed = SOURCE.replace("        which = wait_any(ch, go)\n", "        ch.close()\n        which = wait_any(ch, go)\n", 1)
    with pytest.raises(SipError, match="closed"):
        build(programs_from_source(closed, "wrong").programs["server"])
    own_turn = SOURCE.replace("        ch.send(Talk.Ask(i))\n", "        w = wait_any(ch)\n        ch.send(Talk.Ask(i))\n", 1)
    with pytest.raises(SipError, match="its own turn"):
        build(programs_from_source(own_turn, "wrong").programs["client"])
