"""Endpoints that come and go: sent in messages, made by a process, lent to helpers, kept in sets; and what is refused."""

from __future__ import annotations

import pytest
from running import ISOLATIONS, image, module, refusal

from singlab.kernel import InstallError, System
from singlab.sing import build, parse_sil, programs_from_source, verify

WORK = '''
Work = contract("""
contract Work {
    in  message Add(ulong n);
    in  message Swap(byte[]* in ExHeap data);
    out message Sum(ulong n);
    out message Swapped(byte[]* in ExHeap data);
    state Start: one { Add? -> Sum! -> Start; Swap? -> Swapped! -> Start; }
}
""")
Names = contract("""
contract Names {
    in  message Connect(Work.Imp:Start ep, ulong rounds);
    out message Ok();
    out message Sorry(Work.Imp ep);
    state Start: Connect? -> (Ok! or Sorry!) -> Start;
}
""")
'''

SERVER = '''
@function
def work(ep: Work.Imp, rounds: u64) -> u64:
    total: u64 = 0
    for i in range(rounds):
        ep.send(Work.Add(i))
        total = ep.receive(Work.Sum)
    return total

@sip
def server(ns: Names.Exp) -> u64:
    total: u64 = 0
    while True:
        match ns.receive():
            case Names.Connect(ep, rounds):
                if rounds == 0:
                    ns.send(Names.Sorry(ep))
                else:
                    ns.send(Names.Ok())
                    total += work(ep, rounds)
                    ep.close()
            case ChannelClosed():
                return total
'''

CLIENT = '''
@sip
def p(ns: Names.Imp, rounds: u64) -> u64:
    imp, exp = new_channel(Work)
    ns.send(Names.Connect(imp, rounds))
    match ns.receive():
        case Names.Sorry(back):
            back.close()
            exp.close()
            return 999
        case Names.Ok():
            pass
    total: u64 = 0
    while True:
        match exp.receive():
            case Work.Add(n):
                total += n
                exp.send(Work.Sum(total))
            case Work.Swap(data):
                exp.send(Work.Swapped(data))
            case ChannelClosed():
                break
    exp.close()
    return total
'''


def pair(text: str, isolation: str = "sip", optimiser: bool = True, **arguments):
    """Run ``p`` and ``server`` of a text, connected over ``ns``; returns the system and both."""
    unit = programs_from_source(text, "text")
    system = System(isolation=isolation, ram="2M")
    one = system.create(build(unit.programs["p"], optimiser=optimiser), **arguments)
    other = system.create(build(unit.programs["server"], optimiser=optimiser))
    system.connect(one["ns"], other["ns"])
    return system, one, other


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("optimiser", [True, False])
@pytest.mark.parametrize(("rounds", "value"), [(5, 10), (0, 999)])
def test_an_endpoint_goes_to_the_server_and_comes_back(isolation, optimiser, rounds, value):
    system, client, server = pair(WORK + SERVER + CLIENT, isolation, optimiser, rounds=rounds)
    assert system.run(cycles=5_000_000).outcome == "finished"
    assert client.exit_value == value and server.end.state == "exit"
    assert set(client.holdings().values()) == set(server.holdings().values()) == {0}


def test_the_trace_knows_who_speaks():
    system, *_ = pair(WORK + SERVER + CLIENT, rounds=2)
    said = list(system.run(cycles=5_000_000).trace.frame()["what"])
    assert "channel 2 (Work) connects p and p" in said and "channel 2 speaks Work" in said
    assert "the Imp end of channel 2 now belongs to server" in said and "server sends Add" in said and "p receives Add" in said


def test_stopping_either_at_any_event_gives_everything_back():
    whole, *_ = pair(WORK + SERVER + CLIENT, rounds=1)
    events = len(whole.run(cycles=5_000_000).trace)
    for victim in (0, 1):
        system, *both = pair(WORK + SERVER + CLIENT, rounds=1)
        system.run(events=1)
        for _ in range(events):
            here = system.snapshot()
            if both[victim].state != "running":
                break
            both[victim].stop()
            assert set(both[victim].holdings().values()) == {0}
            assert system.run(cycles=5_000_000).outcome == "finished"
            assert set(both[1 - victim].holdings().values()) == {0}
            system.restore(here)
            system.advance(events=1)


def test_sil_with_all_of_it_is_read_back():
    for text, name in ((WORK + SERVER + CLIENT, "p"), (WORK + SERVER, "server")):
        written = str(module(text, name))
        assert str(parse_sil(written)) == written
        assert verify(parse_sil(written)).accepted


def test_contracts_of_one_text_may_name_each_other():
    unit = programs_from_source('''
A = contract("""contract A { in message GiveB(B.Imp:Start b); out message Done(); state Start: GiveB? -> Done! -> Start; }""")
B = contract("""contract B { in message GiveA(A.Imp:Start a); out message Done(); state Start: GiveA? -> Done! -> Start; }""")

@sip
def p() -> u64:
    a, a2 = new_channel(A)
    b, b2 = new_channel(B)
    a.send(A.GiveB(b))
    c = a2.receive(A.GiveB)
    a2.send(A.Done())
    a.receive(A.Done)
    c.send(B.GiveA(a))
    d = b2.receive(B.GiveA)
    b2.send(B.Done())
    c.receive(B.Done)
    c.close()
    d.close()
    a2.close()
    b2.close()
    return 7
''')
    system = System(ram="2M")
    process = system.create(build(unit.programs["p"]))
    assert system.run(cycles=1_000_000).outcome == "finished"
    assert process.exit_value == 7 and set(process.holdings().values()) == {0}


def test_images_with_another_idea_of_a_carried_contract_are_refused():
    client = image(WORK + SERVER + CLIENT)
    for old, new in (("ulong n);\n    in  message Swap", "uint n);\n    in  message Swap"), ("Sum! -> Start; Swap", "Sum! -> Add? -> Sum! -> Start; Swap")):
        assert old in WORK
        server = image(WORK.replace(old, new) + "@sip\ndef q(ns: Names.Exp):\n    pass\n", "q")
        system = System(ram="4M")
        system.install(client)
        with pytest.raises(InstallError, match="contract Work is not p's contract Work"):
            system.install(server)


def test_the_types_of_arguments_are_part_of_a_contract():
    """A receiver relies on a value's range: one side sending 64 bits where the other was verified with 8 would be unsound."""
    one, other = (image(f'C = contract("""contract C {{ in message A({t} n); state S: A? -> T; state T: ; }}""")\n@sip\ndef {name}(c: C.{side}):\n    pass\n', name)
                  for t, side, name in (("ulong", "Imp", "p"), ("byte", "Exp", "q")))  # fmt: skip
    system = System(ram="2M")
    system.install(one)
    with pytest.raises(InstallError, match="message A takes u8 or u64"):
        system.install(other)


#: What is refused: rule, and the body of ``def p(ns: Names.Imp, ch: Work.Imp, n: u64) -> u64``.
REFUSED = {
    "used after it was sent": ("endpoint.moved", "imp, exp = new_channel(Work)\nns.send(Names.Connect(imp, n))\nimp.send(Work.Add(n))\nexp.close()\nreturn 0"),
    "used after it was moved": ("endpoint.moved", "other = ch\nch.send(Work.Add(n))\nreturn 0"),
    "perhaps sent": ("endpoint.moved", "if n > 3:\n    ns.send(Names.Connect(ch, n))\nch.send(Work.Add(n))\nreturn 0"),
    "never closed": ("endpoint.leak", "imp, exp = new_channel(Work)\nimp.close()\nreturn 0"),
    "closed on one path": ("endpoint.leak", "imp, exp = new_channel(Work)\nimp.close()\nif n > 3:\n    exp.close()\nreturn 0"),
    "overwritten": ("endpoint.leak", "imp, exp = new_channel(Work)\nexp.close()\nimp, e = new_channel(Work)\nimp.close()\ne.close()\nreturn 0"),
    "lost round a loop": ("endpoint.leak", "for i in range(n):\n    imp, exp = new_channel(Work)\n    imp.close()\nreturn 0"),
    "received and dropped": ("endpoint.leak", "ns.send(Names.Connect(ch, n))\nmatch ns.receive():\n    case Names.Sorry(back):\n        return 1\n    case Names.Ok():\n        return 2"),
    "sent out of state": ("contract.send-state", "ch.send(Work.Add(n))\nns.send(Names.Connect(ch, n))\nreturn 0"),
    "sent closed": ("contract.closed", "ch.close()\nns.send(Names.Connect(ch, n))\nreturn 0"),
    "sent to a helper that loses it": ("endpoint.leak", "return lose(ch)"),
    "added in another state": ("contract.send-state", "s = ESet(Work.Imp)\nch.send(Work.Add(n))\ns.add(ch)\ns.close()\nreturn 0"),
    "used after it was added": ("endpoint.moved", "s = ESet(Work.Imp)\ns.add(ch)\nch.send(Work.Add(n))\ns.close()\nreturn 0"),
    "a set never closed": ("owner.leak", "s = ESet(Work.Imp)\ns.add(ch)\nreturn 0"),
    "a set used after it was closed": ("owner.use-after-free", "s = ESet(Work.Imp)\ns.close()\nreturn len(s)"),
    "waits where it should send": ("contract.receive", "match receive(ns, ch):\n    case (Names.Ok(), _):\n        pass\n    case (_, Work.Sum(x)):\n        pass\nreturn 0"),
    "not every message has its row": ("contract.exhaustive", "ch.send(Work.Add(n))\nns.send(Names.Connect(spare(), n))\nmatch receive(ns, ch):\n    case (Names.Ok(), Work.Sum(x)):\n        pass\nreturn 0"),
    "the sides of a channel under one name": ("types", "imp, imp = new_channel(Work)\nreturn 0"),
    "one end only": ("language", "imp = new_channel(Work)\nreturn 0"),
    "receive without cases": ("language", "x = receive(ns, ch)\nreturn 0"),
    "too many": ("language", "match receive(ch, ch, ch, ch, ch):\n    case _:\n        pass\nreturn 0"),
    "one twice": ("language", "match receive(ch, ch):\n    case (Work.Sum(x), _):\n        pass\nreturn 0"),
    "not an endpoint": ("types", "match receive(ch, n):\n    case (Work.Sum(x), _):\n        pass\nreturn 0"),
    "a row too short": ("language", "match receive(ns, ch):\n    case (Names.Ok(),):\n        pass\nreturn 0"),
    "a row for nothing": ("language", "match receive(ns, ch):\n    case (_, _):\n        pass\nreturn 0"),
    "an endpoint nobody asks": ("language", "match receive(ns, ch):\n    case (Names.Ok(), _):\n        pass\nreturn 0"),
    "a set without its member": ("language", "s = ESet(Work.Imp)\nmatch s.receive():\n    case Work.Sum(x):\n        pass\nreturn 0"),
    "a set of numbers": ("types", "s = ESet(u64)\nreturn 0"),
    "a set in no state": ("types", "s = ESet(Work.Imp, \"Begin\")\nreturn 0"),
}  # fmt: skip

HELPERS = """
@function
def lose(ep: Work.Imp) -> u64:
    mine = ep
    return 0

@function
def spare() -> Work.Imp:
    imp, exp = new_channel(Work)
    exp.close()
    return imp
"""


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    rule, body = REFUSED[name]
    lines = "\n".join("    " + line for line in body.splitlines())
    error = refusal(f"{WORK}{HELPERS}\n@sip\ndef p(ns: Names.Imp, ch: Work.Imp, n: u64) -> u64:\n{lines}\n")
    assert error.rule == rule, error
    assert error.line and error.hint and error.message
