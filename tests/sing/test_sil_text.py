"""SIL as text: what is written is read back, what cannot be read is refused with its place, and the documentation is the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutants import EXCEPTIONAL, OBJECTS, RICH
from mutants_endpoints import LAYOUTS, PASSING, SETS, THREADS
from running import SERVER, TALK, module
from test_verifier_fuzz import Graph

from singlab.sing import SipError, format_module, parse_sil, sil, verify
from singlab.sing.build import seal_module
from singlab.sing.sil_table import OPS, document

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = (
    TALK
    + SERVER
    + '''
@function
def fill(v: ExVec[u8], n: u64) -> ExVec[u8]:
    for i in range(n):
        v[i] = u8(i)
    return v

@sip
def p(ch: Talk.Imp, count: u64) -> u64:
    total: u64 = 0
    for i in range(count):
        ch.send(Talk.Ask(i * 3 - 1))
        total += ch.receive(Talk.Answer)
    v = fill(new(u8, 16), 16)
    print("the \\"sum\\" ist größer\\n", total)
    ch.send(Talk.Give(v))
    match ch.receive():
        case Talk.Back(data):
            total += u64(data[0])
            free(data)
        case ChannelClosed():
            return 0
    mark(total)
    return total // 7 + process_id() + cycles_per_second()
'''
)


@pytest.mark.parametrize("text", [PASSING, SETS, THREADS, LAYOUTS, OBJECTS, RICH, EXCEPTIONAL])
def test_endpoints_sets_threads_and_objects_are_read_back(text):
    written = format_module(module(text))
    again = parse_sil(written)
    assert format_module(again) == written
    assert verify(again, collect=True).accepted


def test_two_members_at_once_are_refused_where_they_stand():
    text = format_module(module(SETS)).replace("%51.back: Work.Imp = closed", "%51.back: Work.Imp, %49.back: Work.Imp = closed")
    with pytest.raises(SipError, match="one member at a time") as refusal:
        parse_sil(text)
    assert "%51.back" in text.splitlines()[refusal.value.line - 1]


def same(one: sil.Module, other: sil.Module) -> None:
    """Hold that two modules are one."""
    assert format_module(one) == format_module(other)
    assert (one.name, one.entry, one.filename, list(one.functions)) == (other.name, other.entry, other.filename, list(other.functions))
    assert [(c.name, c.describe()) for c in one.contracts.values()] == [(c.name, c.describe()) for c in other.contracts.values()]
    for name, function in one.functions.items():
        twin = other.functions[name]
        assert [(i.op, i.extra if not isinstance(i.extra, sil.Receive) else i.extra.closed, i.position)
                for b in function.blocks for i in b.instrs] == [
            (i.op, i.extra if not isinstance(i.extra, sil.Receive) else i.extra.closed, i.position) for b in twin.blocks for i in b.instrs
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["p", "server"])
def test_a_program_is_read_back(name):
    made = module(PROGRAM, name)
    read = parse_sil(format_module(made))
    same(made, read)
    verify(read)
    assert seal_module(made, True).code == seal_module(read, True).code


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_random_graphs_are_read_back(seed):
    made = Graph(seed).module
    try:
        read = parse_sil(format_module(made))
    except SipError as error:
        assert "never given a value" in error.message
        return
    same(made, read)
    assert verify(made, collect=True).accepted == verify(read, collect=True).accepted


def test_the_documentation_is_the_table():
    assert (ROOT / "docs" / "sil.md").read_text(encoding="utf-8") == document()


def test_the_example_of_the_documentation_is_right():
    text = document().split("```\n")[1]
    read = parse_sil(text)
    verify(read)
    assert parse_sil(str(read)).functions.keys() == {"main"}


def test_every_instruction_is_in_the_table():
    assert set(sil.ARITHMETIC + sil.COMPARISONS + sil.TERMINATORS) <= OPS.keys()


HAND = """sip p entry p
function p(%0: u64) -> u64
start:
  %1: ExVec[u8] = new %0
  %2: u64 = len %1
  ret %2
"""


def test_a_text_without_a_file_is_its_own_source():
    with pytest.raises(SipError) as refusal:
        verify(parse_sil(HAND, "hand.sil"))
    error = refusal.value
    assert (error.rule, error.filename, error.line) == ("owner.leak", "hand.sil", 6), error
    assert "from line 4" in error.message and error.source_line == "  ret %2"


@pytest.mark.parametrize(
    ("before", "after", "line", "said"),
    [
        ("new %0", "new %9", 4, "register %9 is never given a value"),
        ("%2: u64 = len", "%1: u64 = len", 5, "register %1 is ExVec[u8] elsewhere and u64 here"),
        ("u64 = len", "u65 = len", 5, "u65 is no type"),
        ("len %1", "length %1", 5, "length is no instruction"),
        ("start:\n", "", 3, "an instruction stands before the first block"),
        ("ret %2", "ret %2 %1", 6, "this cannot be read at '%1'"),
        ("ret %2", "cbr %2, start", 6, "cbr has the wrong operands"),
        ("ret %2", 'print_text "\\q"', 6, "is no text"),
        ("ret %2", "fault " + "9" * 5000, 6, "is no number"),
        ("ret %2", "receive %2 { A -> start }", 6, "the arm A has no arguments"),
        ("ret %2", "receive %2 { closed -> start; closed -> start }", 6, "closed stands twice"),
        ("sip p entry p", "sip p", 1, "this cannot be read at the end of the line"),
        ("function p(", "contracts:\n    contract C {\nfunction p(", 3, "the contract cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(before, after, line, said):
    assert before in HAND
    with pytest.raises(SipError) as refusal:
        parse_sil(HAND.replace(before, after))
    assert said in refusal.value.message
    assert (refusal.value.line, bool(refusal.value.hint)) == (line, True), str(refusal.value)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.integers(0, len(HAND)), st.integers(0, 12))
@example("\x00", 0, 0)
def test_any_text_is_a_module_or_an_error(text, at, gone):
    for whole in (text, HAND[:at] + text + HAND[at + gone :]):
        try:
            found = verify(parse_sil(whole), collect=True)
        except SipError as error:
            assert error.hint
        else:
            assert found.accepted or all(f.rule for f in found.findings)
