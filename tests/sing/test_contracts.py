"""Contracts: what is read from a text, and what is refused, by which rule and where."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from running import marked

from singlab.kernel.abi import NO_STATE
from singlab.sing import SipError, contract, parse_contracts
from singlab.sing.magic import load_ipython_extension
from singlab.sing.types import BOOL, I8, I16, I32, I64, U8, U16, U32, U64, Vector

# A network card's driver, in the manner of the contract in the EuroSys 2006 paper.
CARD = """
public contract Card {
    out message Info(uint kind);
    in  message Listen();
    in  message Tune(ushort rate, bool duplex);   // two in a row: Listen, then Tune
    out message Invalid(int why);
    out message Success();
    in  message Start();
    in  message Again();
    in  message Send(byte[]* in ExHeap packet);
    out message Sent(byte[]* in ExHeap packet);
    out message TooLong(byte[]* in ExHeap packet, long most);
    in  message Poll();
    out message Packet(byte[]* in ExHeap packet);
    out message Nothing();

    state Begin: Info! -> Configure;
    state Configure: one { Listen? -> Tune? -> Acknowledge; }
    state Acknowledge: one { Invalid! -> Configure; Success! -> Configured; }
    state Configured: one {
        Start? -> Running;
        Again? -> Configure;      /* starts
                                     over */
    }
    state Running: one {
        Send? -> (Sent! or TooLong!) -> Running;
        Poll? -> (Packet! -> Running or Nothing! -> Running);
    }
}
"""


def test_a_driver_contract_of_the_papers():
    card = contract(CARD)
    named = {
        card.states[s]: {m: card.states[t] for m, t in step.items()} for s, step in enumerate(card.transitions)
    }
    assert named == {
        "Begin": {"Info": "Configure"},
        "Configure": {"Listen": "Configure.1"},
        "Configure.1": {"Tune": "Acknowledge"},
        "Acknowledge": {"Invalid": "Configure", "Success": "Configured"},
        "Configured": {"Start": "Running", "Again": "Configure"},
        "Running": {"Send": "Running.1", "Poll": "Running.2"},
        "Running.1": {"Sent": "Running", "TooLong": "Running"},
        "Running.2": {"Packet": "Running", "Nothing": "Running"},
    }
    assert card.slots == {"Imp": 1, "Exp": 3}, "Again, Listen, Tune can all be under way"
    assert [card.turn(card.states.index(s)) for s in ("Begin", "Configure", "Running.1")] == ["Exp", "Imp", "Exp"]
    assert card.Tune.arguments == (("rate", U16), ("duplex", BOOL))
    assert card.TooLong.arguments == (("packet", Vector(U8)), ("most", I64))
    assert (card.Info.sender, card.Listen.sender) == ("Exp", "Imp")


def test_table_and_description_say_the_same():
    card = contract(CARD)
    described = card.describe()
    words = card.table()
    assert words.dtype == np.uint64
    states, messages = len(card.states), len(card.messages)
    assert int(words[0]) == states | messages << 16 | 1 << 32 | 3 << 48
    names = [m["name"] for m in described["messages"]]
    for index, about in enumerate(described["messages"]):
        mask = sum(1 << i for i, a in enumerate(about["arguments"]) if a.startswith("ExVec"))
        assert int(words[1 + index]) == len(about["arguments"]) | mask << 8 | (about["direction"] == "!") << 16
    grid = words[1 + messages :].reshape(states, messages)
    steps = [[s, m, int(grid[s, m])] for s in range(states) for m in range(messages) if grid[s, m] != NO_STATE]
    assert sorted(described["transitions"]) == steps
    assert described["messages"][names.index("TooLong")]["arguments"] == ["ExVec[u8] packet", "i64 most"]


@pytest.mark.parametrize(
    ("word", "type_"),
    [("byte", U8), ("sbyte", I8), ("short", I16), ("ushort", U16), ("int", I32), ("uint", U32), ("long", I64),
     ("ulong", U64), ("bool", BOOL), ("char", U16)],
)  # fmt: skip
def test_every_argument_type(word, type_):
    spoken = contract(f"contract C {{ in message A({word} x); state S: A? -> T; state T: ; }}")
    assert spoken.A.arguments == (("x", type_),)
    text = f"contract C {{ in message A({word}[]* in ExHeap x); state S: A? -> T; state T: ; }}"
    if type_ == BOOL:
        with pytest.raises(SipError, match="vector of bool"):
            contract(text)
    else:
        assert contract(text).A.arguments == (("x", Vector(type_)),)


@pytest.mark.parametrize("end", ["state End: ;", "state End: one { }", "state End: one { };"])
def test_a_state_without_actions_is_final(end):
    spoken = contract(f"contract C {{ in message A(); state S: A? -> End; {end} }}")
    assert spoken.transitions == [{"A": 1}, {}] and spoken.turn(1) is None


# Each text has a mark ^ where the refusal has to point.
REFUSED = {
    "no contract": ("contract.syntax", "^state S: ;"),
    "an arrow missing": ("contract.syntax", "contract C {\n  in message A();\n  state S: A? ^S; }"),
    "a mark missing": ("contract.states", "contract C {\n  in message A();\n  state S: ^A -> S; }"),
    "unknown character": ("contract.syntax", "contract C {\n  in message ^#A(); state S: ; }"),
    "a keyword as name": ("contract.syntax", "contract ^in { state S: ; }"),
    "no state": ("contract.states", "contract ^C { in message A(); }"),
    "state twice": ("contract.states", "contract C {\n in message A();\n state S: A? -> S;\n state ^S: ; }"),
    "state undeclared": ("contract.states", "contract C {\n in message A();\n state S: A? -> ^T; }"),
    "state for a message": ("contract.states", "contract C { in message A();\n state S: ^T; state T: ; }"),
    "after the target": ("contract.states",
                         "contract C { in message A(); out message B(); state S: A? -> ^S -> B! -> S; }"),
    "message twice": ("contract.messages", "contract C {\n in message A();\n out message ^A();\n state S: ; }"),
    "message named Imp": ("contract.messages", "contract C { in message Ask(); in message ^Exp(); state S: ; }"),
    "too many arguments": ("contract.messages",
                           "contract C { in message ^A(int a, int b, int c, int d, int e); state S: ; }"),
    "message undeclared": ("contract.messages", "contract C {\n in message A();\n state S: A? -> ^B! -> S; }"),
    "type": ("contract.types", "contract C {\n in message A(int a, ^string s);\n state S: ; }"),
    "vector type": ("contract.types", "contract C {\n in message A(^bool[]* in ExHeap s);\n state S: ; }"),
    "an endpoint out of turn": ("contract.send-state", "contract C {\n in message A(^C.Exp:S e);\n state S: A? -> T; state T: ; }"),
    "an endpoint at its end": ("contract.send-state", "contract C {\n in message A(^C.Imp:T e);\n state S: A? -> T; state T: ; }"),
    "an endpoint in no state": ("contract.states", "contract C {\n in message A(^C.Imp:U e);\n state S: A? -> T; state T: ; }"),
    "no target": ("contract.returns",
                  "contract C {\n in message A(); out message B();\n state S: A? -> ^B!; }"),
    "choice without target": ("contract.returns",
                              "contract C { in message A(); out message B(); out message D();\n"
                              " state S: A? -> (B! -> S or ^D!); }"),
    "direction": ("contract.direction", "contract C {\n in message A(); out message B();\n state S: A? -> ^B? -> S; }"),
    "twice in one": ("contract.deterministic",
                     "contract C { in message A(); out message B();\n state S: one { A? -> B! -> S; ^A? -> T; }\n state T: ; }"),
    "twice in a choice": ("contract.deterministic",
                          "contract C { in message A(); out message B();\n state S: A? -> (B! -> S or ^B! -> T); state T: ; }"),
    "unreachable": ("contract.reachable", "contract C {\n in message A();\n state S: A? -> T;\n state T: ;\n state ^U: ; }"),
    "unreachable loop": ("contract.reachable",
                         "contract C { in message A(); out message B();\n state S: A? -> B! -> S;\n state ^U: A? -> B! -> U; }"),
    "both may send": ("contract.turn",
                      "contract C { in message A(); out message B();\n state ^S: one { A? -> B! -> S; B! -> T; }\n state T: ; }"),
    "both, implicit": ("contract.turn",
                       "contract C { in message A(); out message B();\n state S: ^A? -> (A? -> T or B! -> T); state T: ; }"),
    "endless requests": ("contract.finite", "contract C {\n in message A();\n state ^S: A? -> S; }"),
    "endless answers": ("contract.finite",
                        "contract C { in message A(); out message B();\n state S: A? -> T;\n"
                        " state ^T: one { B! -> U; }\n state U: B! -> T; }"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_rule_place_and_repair(case):
    rule, text = REFUSED[case]
    text, line, column = marked(text)
    with pytest.raises(SipError) as caught:
        contract(text, "somewhere")
    error = caught.value
    assert (error.rule, error.line, error.column) == (rule, line, column), str(error)
    assert error.filename == "somewhere" and error.message and error.hint
    assert error.source_line == text.splitlines()[line - 1].rstrip()
    shown = str(error).splitlines()
    assert shown[0].startswith(f"somewhere:{line}:{column}: ")
    assert shown[2].index("^") - 4 == column - 1, "the caret stands under the place"


def test_an_endless_circle_is_named_in_the_message():
    with pytest.raises(SipError, match=r"S -> T -> S"):
        contract("contract C { in message A(); in message B(); state S: A? -> T; state T: B? -> S; }")


def test_a_contract_declared_twice_is_located():
    text = "contract C { state S: ; }\ncontract D { state S: ; }\ncontract C { state S: ; }"
    with pytest.raises(SipError, match="declared twice") as caught:
        parse_contracts(text, "somewhere")
    assert (caught.value.line, caught.value.column) == (3, 10)


def test_contract_wants_exactly_one():
    with pytest.raises(SipError, match="2 contracts"):
        contract("contract C { state S: ; } contract D { state S: ; }")
    assert list(parse_contracts("contract C { state S: ; } contract D { state S: ; }")) == ["C", "D"]


def test_lines_are_counted_from_the_first_line_given():
    with pytest.raises(SipError) as caught:
        parse_contracts("\n contract C {\n state S: A? -> S; }", "cell", first_line=40)
    assert (caught.value.line, caught.value.column) == (42, 11)


def test_every_truncation_is_refused_in_its_place():
    text = "contract C { in message Ask(ulong n); out message Answer(byte[]* in ExHeap d);\n state S: Ask? -> Answer! -> S; }"
    contract(text)
    for length in range(len(text)):
        with pytest.raises(SipError) as caught:
            contract(text[:length])
        assert 1 <= caught.value.line <= 2 and caught.value.hint


def test_names_of_a_contract_are_not_python():
    spoken = contract(CARD)
    with pytest.raises(SipError, match="ordinary Python"):
        spoken.Poll()
    with pytest.raises(AttributeError, match="no message Pol"):
        _ = spoken.Pol


def test_the_notebook_magic_declares_and_draws(monkeypatch):
    shown = []
    monkeypatch.setattr("singlab.sing.magic.display", shown.append)
    magics, names = {}, {}
    shell = SimpleNamespace(
        register_magic_function=lambda f, kind, name: magics.update({(kind, name): f}), push=names.update, user_ns=names
    )
    load_ipython_extension(shell)
    drawn = magics["cell", "contract"]("", "contract A { state S: ; }\ncontract B { state S: ; }")
    assert set(names) == {"A", "B"} and drawn is names["B"] and shown == [names["A"]]
    with pytest.raises(SipError, match="stands behind"):
        magics["cell", "contract"]("A", "contract A { state S: ; }")
    with pytest.raises(SipError) as caught:
        magics["cell", "contract"]("", "contract A { state S: X? -> S; }")
    assert caught.value.place == "cell:2:23"
