"""The explorer of contracts: against what contracts promise, against a second search, and its runs against replay."""

from __future__ import annotations

import time
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contract_slots import reachable, tables, texts
from test_contracts import CARD

from singlab.sing import SipError, contract, explore_contract, parse_lenient
from singlab.sing.contract_explorer import SIDES, Configuration, Run, Step, after, as_protocol, steps_from

MESSAGES = "in message A(); in message B(); out message X(); out message Y();"
#: The smallest contracts that break one rule each, and what then happens.
ENDLESS = f"contract Endless {{ {MESSAGES} state S: one {{ A? -> S; B? -> X! -> S; }} }}"
CROSSING = f"contract Crossing {{ {MESSAGES} state S: one {{ A? -> X! -> S; Y! -> End; }} state End: ; }}"
GUESSING = f"contract Guessing {{ {MESSAGES} state S: one {{ A? -> X! -> S; A? -> Y! -> S; }} }}"
DOUBLING = f"contract Doubling {{ {MESSAGES} state S: one {{ A? -> T; X! -> U; }} state T: X! -> A? -> A? -> T; state U: A? -> X! -> U; }}"


def waiting(here: Configuration, side: str) -> tuple[str, ...]:
    return here.to_imp if side == "Imp" else here.to_exp


@settings(max_examples=300, deadline=None, derandomize=True)
@given(texts())
def test_contracts_keep_what_they_promise(text):
    try:
        spoken = contract(text)
    except SipError:
        return
    found = explore_contract(spoken)
    assert found.sound, str(found)
    assert {side: max(1, most) for side, most in found.waiting.items()} == spoken.slots
    assert found.copies == spoken.copies
    for side in SIDES:
        run = found.fullest[side]
        assert len(waiting(run.end, side)) == found.waiting[side] == max(len(waiting(here, side)) for here in run.replay())
        assert found.overflow(side, found.waiting[side]) is None
        if found.waiting[side]:
            assert len(waiting(found.overflow(side, found.waiting[side] - 1).end, side)) == found.waiting[side]
    for name, message in spoken.messages.items():
        inbox = waiting(found.fullest[name].end, "Exp" if message.sender == "Imp" else "Imp")
        assert inbox.count(name) == found.copies[name]


def text_of(marks, transitions, twice) -> str:
    """Return a contract's text from its messages' marks and its states' steps, and steps that may repeat a message."""
    lines = [f"{'in' if mark == '?' else 'out'} message M{i}();" for i, mark in enumerate(marks)]
    for index, step in enumerate(transitions):
        edges = [*step.items(), *((n, t) for s, n, t in twice if s == index)]
        lines.append(f"state S{index}: one {{ " + " ".join(f"{n}{marks[int(n[1:])]} -> S{t};" for n, t in edges) + " }")
    return "contract C {\n" + "\n".join(lines) + "\n}"


@st.composite
def anything(draw) -> str:
    """Return the text of a contract that may break every rule about behaviour."""
    marks, transitions = draw(tables())
    edge = st.tuples(st.integers(0, len(transitions) - 1), st.sampled_from([f"M{i}" for i in range(len(marks))]),
                     st.integers(0, len(transitions) - 1))  # fmt: skip
    return text_of(marks, transitions, draw(st.lists(edge, max_size=2)))


def second_search(protocol, capacity: int):
    """Return the pairs of states in which both sides are stuck, and the stuck receptions, with queues up to a capacity.

    Written without the explorer's functions: queues are texts, moves are looked up in tables.
    """
    number = {name: chr(97 + i) for i, name in enumerate(protocol.messages)}
    sends = {side: [[(number[n], t) for n, t in e if (protocol.messages[n].direction == mark)] for e in protocol.edges]
             for side, mark in (("Imp", "?"), ("Exp", "!"))}  # fmt: skip
    start = (0, 0, "", "")
    todo, seen, dead, lost = [start], {start}, set(), set()
    while todo:
        i, e, left, right = todo.pop()  # left: under way to Imp, right: to Exp
        following, moves = [], 0
        for m, t in sends["Imp"][i]:
            moves += 1
            following.append((t, e, left, right + m))
        for m, t in sends["Exp"][e]:
            moves += 1
            following.append((i, t, left + m, right))
        for m, t in sends["Exp"][i]:
            if left[:1] == m:
                moves += 1
                following.append((t, e, left[1:], right))
        for m, t in sends["Imp"][e]:
            if right[:1] == m:
                moves += 1
                following.append((i, t, left, right[1:]))
        if not moves and (left or right or protocol.edges[i] or protocol.edges[e]):
            dead.add((i, e))
        if left and not sends["Imp"][i] and left[0] not in [m for m, _ in sends["Exp"][i]]:
            lost.add(("Imp", i, left[0]))
        if right and not sends["Exp"][e] and right[0] not in [m for m, _ in sends["Imp"][e]]:
            lost.add(("Exp", e, right[0]))
        for place in following:
            if place not in seen and max(len(place[2]), len(place[3])) <= capacity:
                seen.add(place)
                todo.append(place)
    return dead, lost, len(seen)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(anything())
def test_findings_about_any_contract_are_those_of_a_second_search(text):
    protocol = as_protocol(text)
    found = explore_contract(text, capacity=3)
    dead, lost, places = second_search(protocol, 3)
    assert found.configurations == places
    assert {(r.end.imp, r.end.exp) for r in found.deadlocks} <= dead and len(found.deadlocks) == min(8, len(dead))
    assert bool(found.unspecified) == bool(lost) and len(found.unspecified) == min(8, len(lost))
    for run in found.deadlocks:
        assert not steps_from(protocol, run.end)
    for run in [*found.unspecified, *found.deadlocks]:
        assert run.note in str(run) and ElementTree.fromstring(run._repr_html_()) is not None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(anything())
def test_what_grows_for_ever_can_be_repeated(text):
    found = explore_contract(text, most=3000)
    for side, growth in found.growth.items():
        heights = [len(waiting(growth.repeated(times).end, side)) for times in range(1, 8)]
        assert heights == sorted(set(heights)), "each time round, more wait"
        run = found.overflow(side, 20)
        assert len(waiting(run.end, side)) == 21
        assert found.waiting[side] is None
    if found.sound:
        assert all(found.overflow(side, found.waiting[side]) is None for side in SIDES)
    assert ElementTree.fromstring(found._repr_html_()) is not None and str(found)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(tables())
def test_rules_about_turns_and_cycles_are_enough(drawn):
    """Whatever is reachable, takes turns and has no cycle of one direction is sound: no deadlock, no lost message, no growth."""
    marks, transitions = drawn
    text = text_of(marks, transitions, [])
    try:
        contract(text)
    except SipError as error:
        if error.rule == "contract.finite" and len(reachable(transitions)) == len(transitions):
            assert explore_contract(text).growth, "a refused cycle does make a queue grow for ever"
        return
    assert explore_contract(text).sound


def test_the_driver_of_the_papers():
    found = explore_contract(contract(CARD))
    assert found.sound and found.waiting == {"Imp": 1, "Exp": 3}
    last = [step.message for step in found.fullest["Exp"].steps if step.act == "send"][-3:]
    assert last == ["Again", "Listen", "Tune"]


def test_an_endless_contract():
    found = explore_contract(ENDLESS)
    assert not found.sound and found.waiting["Exp"] is None and found.copies["A"] is None and found.copies["B"] == 1
    assert found.growth["Exp"].run.steps == (Step("Imp", "send", "A", 0),) and found.growth["Exp"].begin == 0
    assert [step.message for step in found.overflow("Exp", 3).steps] == ["A"] * 4
    assert not found.deadlocks and found.overflow("Imp", 1) is None
    assert "without limit" in str(found) and "can be repeated for ever" in str(found)


def test_crossing_messages_deadlock_and_are_lost():
    found = explore_contract(CROSSING)
    assert not found.growth and found.complete
    (deadlock,) = found.deadlocks
    assert "neither side can go on" in deadlock.note and len(deadlock.end.to_exp) >= 1
    assert any("never receives" in run.note for run in found.unspecified)


def test_a_message_that_leads_to_two_states():
    found = explore_contract(GUESSING)
    assert any("which never receives" in run.note for run in found.unspecified)
    assert not contract_is_accepted(GUESSING)


def contract_is_accepted(text: str) -> bool:
    try:
        contract(text)
    except SipError:
        return False
    return True


def test_growth_without_a_cycle_of_one_direction():
    found = explore_contract(DOUBLING)
    assert found.growth["Exp"].begin > 0
    assert {step.side for step in found.growth["Exp"].run.steps[found.growth["Exp"].begin :]} == set(SIDES)


def test_runs_are_cut_and_replayed():
    run = explore_contract(CROSSING).deadlocks[0]
    places = run.replay()
    assert len(places) == len(run) + 1 and places[0] == Configuration()
    for length in range(len(run) + 1):
        assert run[:length].replay() == places[: length + 1]
        assert len(str(run[:length]).splitlines()) == length + 2 + (length == len(run))
    with pytest.raises(TypeError, match="from its start"):
        run[2:]


def test_an_impossible_step_is_refused():
    protocol = as_protocol(CROSSING)
    for step in (Step("Imp", "send", "X", 0), Step("Exp", "receive", "A", 1), Step("Exp", "send", "Y", 0)):
        with pytest.raises(ValueError, match=f"cannot {step.act}"):
            after(protocol, Configuration(), step)
        with pytest.raises(ValueError):
            Run(protocol, (step,)).replay()


def test_a_chart_has_an_arrow_a_message():
    run = explore_contract(contract(CARD)).fullest["Exp"]
    svg = ElementTree.fromstring(run._repr_html_()).find("svg")
    lanes = 2
    assert len(list(svg.iter("line"))) == lanes + sum(step.act == "send" for step in run.steps)
    assert sum(line.get("stroke-dasharray") is not None for line in svg.iter("line")) == 3, "three wait at the end"
    width, height = map(float, svg.get("viewBox").split()[2:])
    for text in svg.iter("text"):
        assert 0 <= float(text.get("x")) <= width and 0 <= float(text.get("y")) <= height


def test_a_long_run_shows_its_end():
    run = explore_contract(ENDLESS).growth["Exp"].repeated(500)
    assert "the last 60 of 500 steps" in str(run) and len(str(run).splitlines()) < 70
    assert "… (500)" in str(run)
    svg = ElementTree.fromstring(run._repr_html_()).find("svg")
    assert len(list(svg.iter("line"))) < 80


def test_a_huge_contract_ends_within_bounds():
    """Every state may send everything: the search says that it has not seen all."""
    names = [f"M{i}" for i in range(40)]
    text = ("contract C { " + " ".join(f"{'in' if i % 2 else 'out'} message {n}();" for i, n in enumerate(names))
            + " ".join(f" state S{s}: one {{ " + " ".join(f"{n}{'?' if i % 2 else '!'} -> S{(s * 7 + i) % 40};" for i, n in enumerate(names)) + " }"
                       for s in range(40)) + " }")  # fmt: skip
    start = time.monotonic()
    found = explore_contract(text, most=2000)
    assert not found.complete and found.configurations <= 2000
    assert time.monotonic() - start < 60, "the search is bounded"


def test_leniently_read_texts_still_have_to_be_read():
    with pytest.raises(SipError, match="cannot be read"):
        parse_lenient("contract C { state S: A? - > S; }")
    with pytest.raises(SipError, match="not declared"):
        explore_contract("contract C { state S: A? -> S; }")
    with pytest.raises(SipError, match="2 contracts"):
        explore_contract("contract C { state S: ; } contract D { state S: ; }")


def test_an_extension_is_explored_with_its_base():
    known = parse_lenient(ENDLESS)
    derived = parse_lenient("contract D : Endless { out message Z(); state S: Z! -> S; }", known=known)["D"]
    assert set(explore_contract(derived).growth) == set(SIDES)
