"""The verifier on programs: who owns a block on every path, and which messages a contract lets pass."""

from __future__ import annotations

import pytest
from running import ISOLATIONS, SERVER, TALK, image, marked, module, result

from singlab.kernel import System
from singlab.sing import SipError, build, parse_sil, programs_from_source, verifier, verify
from singlab.sing.verifier import FunctionFlow

HELPERS = """
@function
def spend(v: ExVec[u8]):
    free(v)

@function
def through(v: ExVec[u8]) -> ExVec[u8]:
    return v

@function
def both(v: ExVec[u8], w: ExVec[u8]):
    free(v)
    free(w)

@function
def ask(ch: Talk.Imp, n: u64) -> u64:
    ch.send(Talk.Ask(n))
    return ch.receive(Talk.Answer)

@function
def begin(ch: Talk.Imp):
    ch.send(Talk.Ask(1))

@function
def maybe(ch: Talk.Imp, n: u64):
    if n > 3:
        ch.send(Talk.Ask(1))

@function
def finish(ch: Talk.Imp):
    ch.close()
"""

V, W = "v = new(u8, 8)\n", "w = new(u8, 8)\n"

# Bodies of ``def p(ch: Talk.Imp, n: u64) -> u64``; « stands where the refusal points. None: accepted.
OWNERSHIP = {
    "use after send": ("owner.use-after-send", V + "ch.send(Talk.Give(v))\n«v[0] = 1\nfree(ch.receive(Talk.Back))\nreturn 0"),
    "read after send": ("owner.use-after-send", V + "ch.send(Talk.Give(v))\nfree(ch.receive(Talk.Back))\nreturn u64(«v[0])"),
    "length after send": ("owner.use-after-send", V + "ch.send(Talk.Give(v))\nfree(ch.receive(Talk.Back))\nreturn «len(v)"),
    "sent twice": ("owner.use-after-send", V + "ch.send(Talk.Give(v))\nfree(ch.receive(Talk.Back))\n«ch.send(Talk.Give(v))\nreturn 0"),
    "freed after send": ("owner.use-after-send", V + "ch.send(Talk.Give(v))\n«free(v)\nreturn 0"),
    "freed twice": ("owner.use-after-free", V + "free(v)\n«free(v)\nreturn 0"),
    "used after free": ("owner.use-after-free", V + "free(v)\nx = «v[1]\nreturn u64(x)"),
    "sent after free": ("owner.use-after-free", V + "free(v)\n«ch.send(Talk.Give(v))\nreturn 0"),
    "freed after helper": ("owner.use-after-move", V + "spend(v)\n«free(v)\nreturn 0"),
    "used after helper": ("owner.use-after-move", V + "w = through(v)\n«v[0] = 1\nfree(w)\nreturn 0"),
    "used after assignment": ("owner.use-after-move", V + "w = v\n«v[0] = 1\nfree(w)\nreturn 0"),
    "handed over twice": ("owner.use-after-move", V + "«both(v, v)\nreturn 0"),
    "lost": ("owner.leak", V + "«return 0"),
    "lost early": ("owner.leak", V + "if n > 1:\n    «return 1\nfree(v)\nreturn 0"),
    "overwritten": ("owner.leak", V + "«v = new(u8, 4)\nfree(v)\nreturn 0"),
    "overwritten by message": ("owner.leak", V + W + "ch.send(Talk.Give(w))\n«v = ch.receive(Talk.Back)\nfree(v)\nreturn 0"),
    "result lost": ("owner.leak", V + "through(v)\n«return 0"),
    "received and lost": ("owner.leak", V + "ch.send(Talk.Give(v))\nch.receive(Talk.Back)\n«return 0"),
    "lost in a case": ("owner.merge", V + "ch.send(Talk.Give(v))\nmatch «ch.receive():\n    case Talk.Back(w):\n        mark(len(w))\n"
                       "    case ChannelClosed():\n        mark(1)\nreturn 0"),
    "one branch frees": ("owner.merge", "v = «new(u8, 8)\nif n > 1:\n    free(v)\nreturn 0"),
    "one branch sends": ("owner.merge",
        "v = «new(u8, 8)\nif n > 1:\n    ch.send(Talk.Give(v))\n    free(ch.receive(Talk.Back))\nelse:\n    v[0] = 1\nreturn 0"),
    "one branch makes": ("owner.merge", "if n > 1:\n    v = «new(u8, 8)\n    v[0] = 1\nreturn 0"),
    "loop makes": ("owner.leak", "for i in range(n):\n    v = «new(u8, 8)\n    v[0] = 1\nreturn 0"),
    "loop frees": ("owner.merge", "v = «new(u8, 8)\nfor i in range(n):\n    free(v)\nreturn 0"),
    "loop frees once": ("owner.merge", "v = «new(u8, 8)\ni: u64 = 0\nwhile i < n:\n    if i == 3:\n        free(v)\n    i += 1\nreturn 0"),
    "loop frees once, then uses": ("owner.merge",
        "v = «new(u8, 8)\nfor i in range(n):\n    if i == 3:\n        free(v)\n    else:\n        v[0] = 1\nreturn 0"),
    "loop sends once": ("owner.merge", "v = «new(u8, 8)\nfor i in range(n):\n    if i == 3:\n        ch.send(Talk.Give(v))\n"
                        "        free(ch.receive(Talk.Back))\nreturn u64(v[0])"),
    "loop ends early": ("owner.merge",
        "v = «new(u8, 8)\nwhile True:\n    if n > 3:\n        free(v)\n        break\n    if n > 2:\n        break\n    n += 1\nreturn 0"),
    "freed on one branch, unset on the other": ("owner.use-after-free",
        "if n > 1:\n    v = new(u8, 1)\n    free(v)\nelse:\n    mark(1)\n«free(v)\nreturn 0"),
}  # fmt: skip

ACCEPTED = {
    "sent and taken back": V + "ch.send(Talk.Give(v))\nv = ch.receive(Talk.Back)\nfree(v)\nreturn 0",
    "freed on both branches": V + "if n > 1:\n    free(v)\nelse:\n    spend(v)\nreturn 0",
    "made on both branches": "if n > 1:\n    v = new(u8, 8)\nelse:\n    v = through(new(u8, 4))\nfree(v)\nreturn 0",
    "made and freed in a loop": "for i in range(n):\n    v = new(u8, 8)\n    if i == 2:\n        free(v)\n        continue\n    free(v)\n"
                                "return 0",
    "replaced in a loop": V + "for i in range(n):\n    free(v)\n    v = new(u8, 8)\nfree(v)\nreturn 0",
    "freed before each way out": V + "while True:\n    n += 1\n    if n > 3:\n        free(v)\n        break\n    v[0] = 1\nreturn 0",
    "moved to and fro": V + "w = v\nv = w\nfree(v)\nreturn 0",
    "two in turn": V + W + "both(v, w)\nreturn 0",
    "closed peer frees nothing": V + "ch.send(Talk.Give(v))\nmatch ch.receive():\n    case Talk.Back(w):\n        free(w)\n"
                                     "    case ChannelClosed():\n        pass\nreturn 0",
    "send through a helper": "x = ask(ch, n)\nx = ask(ch, x)\nreturn x",
    "helper begins": "begin(ch)\nreturn ch.receive(Talk.Answer)",
    "closed at the end": "finish(ch)\nreturn n",
    "different turns, then closed": "if n > 3:\n    begin(ch)\nch.close()\nreturn 0",
}  # fmt: skip

CONTRACT = {
    "wrong turn": ("contract.send", "ch.send(Talk.Ask(1))\n«ch.send(Talk.Ask(2))\nreturn ch.receive(Talk.Answer)"),
    "wrong direction": ("contract.send", "«ch.send(Talk.Answer(1))\nreturn 0"),
    "waits at its own turn": ("contract.receive", "return «ch.receive(Talk.Answer)"),
    "waits twice": ("contract.receive", "ch.send(Talk.Ask(1))\nx = ch.receive(Talk.Answer)\ny = «ch.receive(Talk.Answer)\nreturn x + y"),
    "matches at its own turn": ("contract.receive",
        "match «ch.receive():\n    case Talk.Answer(x):\n        return x\n    case ChannelClosed():\n        return 0"),
    "unhandled": ("contract.exhaustive", "ch.send(Talk.Ask(1))\nmatch «ch.receive():\n    case ChannelClosed():\n        return 0"),
    "expects another": ("contract.exhaustive", "ch.send(Talk.Ask(1))\nfree(«ch.receive(Talk.Back))\nreturn 0"),
    "after close": ("contract.closed", "ch.close()\n«ch.send(Talk.Ask(1))\nreturn 0"),
    "closed twice": ("contract.closed", "ch.close()\n«ch.close()\nreturn 0"),
    "closed by a helper": ("contract.closed", "finish(ch)\n«ch.send(Talk.Ask(1))\nreturn 0"),
    "receives after close": ("contract.closed", "ch.close()\nreturn «ch.receive(Talk.Answer)"),
    "after the peer closed": ("contract.closed", "ch.send(Talk.Ask(1))\nmatch ch.receive():\n    case Talk.Answer(x):\n        pass\n"
                              "    case ChannelClosed():\n        «ch.send(Talk.Ask(1))\nreturn 0"),
    "a loop goes on after closing": ("contract.closed",
        "while True:\n    «ch.send(Talk.Ask(1))\n    match ch.receive():\n        case Talk.Answer(x):\n"
                                     "            mark(x)\n        case ChannelClosed():\n            mark(0)\nreturn 0"),
    "branches disagree": ("contract.send", "if n > 3:\n    ch.send(Talk.Ask(1))\n«ch.send(Talk.Ask(2))\nreturn ch.receive(Talk.Answer)"),
    "helper disagrees": ("contract.receive", "maybe(ch, n)\nreturn «ch.receive(Talk.Answer)"),
    "loop sends again": ("contract.send", "for i in range(n):\n    «ch.send(Talk.Ask(i))\nreturn 0"),
    "helper sends twice": ("contract.send", "begin(ch)\nreturn ask(ch, n)"),
}  # fmt: skip


def program(lines: str) -> str:
    indented = "\n".join("    " + line for line in lines.splitlines())
    return f"{TALK}{HELPERS}\n@sip\ndef p(ch: Talk.Imp, n: u64) -> u64:\n{indented}\n"


@pytest.mark.parametrize("case", [*OWNERSHIP, *CONTRACT])
def test_refusals_name_rule_place_and_repair(case):
    rule, lines = {**OWNERSHIP, **CONTRACT}[case]
    if "«" in lines:
        text, line, column = marked(program(lines), "«")
    else:  # the mistake shows inside the helper that is called
        text, line, column = program(lines), program("").splitlines().index("    ch.send(Talk.Ask(n))") + 1, 5
    with pytest.raises(SipError) as caught:
        build(programs_from_source(text, "text").programs["p"])
    error = caught.value
    assert (error.rule, error.line, error.column) == (rule, line, column), str(error)
    assert error.message and error.hint and error.source_line == text.splitlines()[line - 1]


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted_programs_run_to_their_end(case):
    text = program(ACCEPTED[case]) + SERVER
    for isolation in ISOLATIONS:
        system = System(isolation=isolation, ram="2M")
        client, server = system.create(image(text, "p"), n=5), system.create(image(text, "server"))
        system.connect(client["ch"], server["ch"])
        assert system.run().outcome == "finished"
        assert client.end.state == "exit" and server.end.state == "exit"
        for process in (client, server):
            assert set(process.holdings().values()) == {0}


# Contracts of other shapes: what each side must say, and where ChannelClosed is needed.
SHAPES = {
    "final state wants ChannelClosed": (
        "contract.receive", "state S: A? -> E; state E: ;",
        "def p(ch: C.Exp):\n    while True:\n        match «ch.receive():\n            case C.A(n):\n                mark(n)"),
    "final state with ChannelClosed": (
        None, "state S: A? -> E; state E: ;",
        "def p(ch: C.Exp):\n    while True:\n        match ch.receive():\n            case C.A(n):\n                mark(n)\n"
        "            case ChannelClosed():\n                return"),
    "nothing is sent in a final state": (
        "contract.send", "state S: A? -> E; state E: ;", "def p(ch: C.Imp):\n    ch.send(C.A(1))\n    «ch.send(C.A(2))"),
    "either of two answers": (
        "contract.exhaustive", "state S: A? -> (B! or D!) -> S;",
        "def p(ch: C.Imp):\n    ch.send(C.A(1))\n    mark(«ch.receive(C.B))"),
    "each answer leads elsewhere": (
        "contract.send", "state S: A? -> (B! -> S or D! -> E); state E: ;",
        "def p(ch: C.Imp):\n    ch.send(C.A(1))\n    match ch.receive():\n        case C.B(n):\n            mark(n)\n"
        "        case C.D():\n            mark(2)\n"
        "        case ChannelClosed():\n            return\n    «ch.send(C.A(2))"),
    "two requests before an answer": (
        None, "state S: A? -> F? -> B! -> S;",
        "def p(ch: C.Imp):\n    ch.send(C.A(1))\n    ch.send(C.F())\n    mark(ch.receive(C.B))\n    ch.send(C.A(1))"),
    "the second request is missing": (
        "contract.receive", "state S: A? -> F? -> B! -> S;", "def p(ch: C.Imp):\n    ch.send(C.A(1))\n    mark(«ch.receive(C.B))"),
    "the server begins": (
        "contract.send", "state S: B! -> A? -> S;", "def p(ch: C.Imp):\n    «ch.send(C.A(1))\n    mark(ch.receive(C.B))"),
    "an endpoint handed over twice": (
        "contract.send", "state S: A? -> B! -> S;",
        "def p(ch: C.Imp):\n    «two(ch, ch)\n\n@function\ndef two(a: C.Imp, b: C.Imp):\n    a.send(C.A(1))\n    mark(b.receive(C.B))"),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_contracts_of_other_shapes(case):
    rule, states, text = SHAPES[case]
    messages = "in message A(ulong n); out message B(ulong n); out message D(); in message F();"
    text = f'C = contract("contract C {{ {messages} {states} }}")\n@sip\n{text}\n'
    if rule is None:
        assert verify(module(text)).accepted
        return
    text, line, column = marked(text, "«")
    with pytest.raises(SipError) as caught:
        verify(module(text))
    assert (caught.value.rule, caught.value.line, caught.value.column) == (rule, line, column), str(caught.value)


def test_all_findings_are_collected_in_the_order_of_lines():
    text = program(V + "free(v)\nfree(v)\n" + W + "ch.send(Talk.Answer(1))\nreturn 0")
    report = verify(module(text), collect=True)
    assert [f.rule for f in report.findings] == ["owner.use-after-free", "contract.send", "owner.leak"]
    assert not report.accepted and [f.line for f in report.findings] == sorted(f.line for f in report.findings)
    assert all(f.rule in report._repr_html_() for f in report.findings)
    accepted = verify(module(program("return n")), collect=True)
    assert accepted.accepted and "Accepted" in accepted._repr_html_()


def test_a_helper_that_never_returns_leaves_nothing_to_say_about_what_follows():
    text = program("serve(ch)\nch.send(Talk.Ask(1))\nreturn 0") + (
        "\n@function\ndef serve(ch: Talk.Imp):\n    while True:\n        mark(ask(ch, 1))\n"
    )
    assert verify(module(text)).accepted


def test_a_fault_owes_nothing():
    """A process that expects a message from a closed channel ends by a fault; the kernel takes its block back."""
    text = program(V + "x = ask(ch, n)\nfree(v)\nreturn x") + "\n@sip\ndef rude(ch: Talk.Exp):\n    ch.close()\n"
    system = System(ram="2M")
    client, server = system.create(image(text, "p"), n=5), system.create(image(text, "rude"))
    system.connect(client["ch"], server["ch"])
    assert system.run().outcome == "finished"
    assert client.fault.code == 3 and set(client.holdings().values()) == {0}


def test_the_work_grows_in_proportion_to_the_program(monkeypatch):
    """A chain of ifs has no loop: a few visits to each block are enough, however long it is."""
    visits = 0
    follow = verifier.FunctionFlow.block

    def counted(self, block):
        nonlocal visits
        visits += 1
        return follow(self, block)

    monkeypatch.setattr(verifier.FunctionFlow, "block", counted)
    lines = "\n".join(f"if n % 7 == {i % 7}:\n    n += {i}" for i in range(80))
    lowered = module(program(lines + "\nreturn n"))
    verify(lowered)
    assert visits <= 20 * sum(len(f.blocks) for f in lowered.functions.values())


def test_what_the_verifier_lets_pass_computes_what_it_says():
    assert result(f"{TALK}{HELPERS}\n@sip\ndef p() -> u64:\n    v = through(new(u8, 9))\n    n = len(v)\n    free(v)\n    return n\n") == 9


def test_what_is_remembered_grows_in_proportion_to_the_program(monkeypatch):
    """Long functions of many loops: no more is carried from block to block than what may still be used."""

    def remembered(loops: int) -> int:
        lines = "".join(f"    for i{k} in range(n):\n        t += i{k}\n        if t > {k}:\n            v[3] = u8(t)\n" for k in range(loops))
        text = f"@sip\ndef p(n: u64) -> u64:\n    t: u64 = n\n    v = new(u8, 16)\n{lines}    free(v)\n    return t\n"
        kept = []
        keep = FunctionFlow.worth_knowing

        def counted(self, state, target):
            found = keep(self, state, target)
            kept.append(len(found))
            return found

        monkeypatch.setattr(FunctionFlow, "worth_knowing", counted)
        verify(module(text))
        monkeypatch.setattr(FunctionFlow, "worth_knowing", keep)
        return sum(kept)

    small, large = remembered(20), remembered(80)
    assert large < 5 * small


def test_a_register_may_have_any_number():
    text = "sip p entry p\nfunction p(%999999999: u64) -> u64\nstart:\n  br end\nend:\n  %0: u64 = mov %999999999\n  ret %0\n"
    assert verify(parse_sil(text)).accepted
