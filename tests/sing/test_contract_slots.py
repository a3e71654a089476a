"""Contracts: the slots an endpoint needs against all interleavings of two sides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singlab.sing import SipError, contract


@st.composite
def texts(draw) -> str:
    """Return the text of a small contract whose states all belong to one side; its circles may be endless."""
    count = draw(st.integers(1, 4))
    names = {"?": ["A", "B", "C"], "!": ["X", "Y", "Z"]}
    lines = [f"{'in' if mark == '?' else 'out'} message {name}();" for mark in "?!" for name in names[mark]]
    for state in range(count):
        mark = draw(st.sampled_from("?!"))
        body = ""
        for first in draw(st.lists(st.sampled_from(names[mark]), min_size=1, max_size=2, unique=True)):
            parts = [first + mark]
            for turn in draw(st.text("?!", max_size=3)):
                both = [name + turn for name in draw(st.lists(st.sampled_from(names[turn]), min_size=1, max_size=2, unique=True))]
                parts.append(f"({' or '.join(both)})" if len(both) == 2 else both[0])
            target = draw(st.integers(0, count - 1)) if body else (state + 1) % count
            body += " -> ".join([*parts, f"S{target}"]) + "; "
        lines.append(f"state S{state}: one {{ {body}}}")
    used = "\n".join(lines)
    return f"contract C {{\n{used}\n}}"


def interleavings(transitions, marks) -> tuple[int, int, dict[str, int]] | None:
    """Return the most messages ever waiting for Imp and for Exp, and of each message, or None if there is no limit.

    Both sides walk the contract by themselves, each with its own state and a queue from the other; every
    order in which they can act is followed. A queue longer than the contract has states has gone round a
    circle that is never answered.
    """
    start = (0, 0, (), ())
    seen, todo, most, copies = {start}, [start], [0, 0], dict.fromkeys(marks, 0)
    while todo:
        imp, exp, to_imp, to_exp = todo.pop()
        most = [max(most[0], len(to_imp)), max(most[1], len(to_exp))]
        for name in {*to_imp, *to_exp}:
            copies[name] = max(copies[name], to_imp.count(name), to_exp.count(name))
        if max(most) > len(transitions):
            return None
        following = []
        for name, target in transitions[imp].items():
            if marks[name] == "?":
                following.append((target, exp, to_imp, (*to_exp, name)))
            elif to_imp and to_imp[0] == name:
                following.append((target, exp, to_imp[1:], to_exp))
        for name, target in transitions[exp].items():
            if marks[name] == "!":
                following.append((imp, target, (*to_imp, name), to_exp))
            elif to_exp and to_exp[0] == name:
                following.append((imp, target, to_imp, to_exp[1:]))
        todo += [c for c in following if c not in seen]
        seen.update(following)
    return most[0], most[1], copies


@settings(max_examples=400, deadline=None, derandomize=True)
@given(texts())
def test_slots_are_what_all_interleavings_need(text):
    try:
        spoken = contract(text)
    except SipError as error:
        assert error.rule == "contract.finite", str(error)
        return
    marks = {name: m.direction for name, m in spoken.messages.items()}
    most = interleavings(spoken.transitions, marks)
    assert most is not None, "an accepted contract lets any number of messages be under way"
    assert spoken.slots == {"Imp": max(1, most[0]), "Exp": max(1, most[1])}
    assert spoken.copies == most[2]


@st.composite
def tables(draw) -> tuple[list[str], list[dict[str, int]]]:
    """Return messages' marks and states' steps, well-formed or not."""
    marks = draw(st.lists(st.sampled_from("?!"), min_size=1, max_size=4))
    count = draw(st.integers(1, 4))
    step = st.dictionaries(st.sampled_from(range(len(marks))), st.integers(0, count - 1), max_size=2)
    return marks, [{f"M{i}": t for i, t in s.items()} for s in draw(st.lists(step, min_size=count, max_size=count))]


def reachable(transitions) -> set[int]:
    """Return the states a path from state 0 leads to."""
    found = {0}
    while more := {t for s in found for t in transitions[s].values()} - found:
        found |= more
    return found


@settings(max_examples=400, deadline=None, derandomize=True)
@given(tables())
def test_exactly_the_well_formed_are_accepted(drawn):
    marks, transitions = drawn
    marks = {f"M{i}": mark for i, mark in enumerate(marks)}
    lines = [f"{'in' if mark == '?' else 'out'} message {name}();" for name, mark in marks.items()]
    for index, step in enumerate(transitions):
        lines.append(f"state S{index}: one {{ " + " ".join(f"{n}{marks[n]} -> S{t};" for n, t in step.items()) + " }")
    good = (len(reachable(transitions)) == len(transitions)
            and all(len({marks[name] for name in step}) < 2 for step in transitions)
            and interleavings(transitions, marks) is not None)  # fmt: skip
    try:
        contract("contract C {\n" + "\n".join(lines) + "\n}")
    except SipError as error:
        assert not good, str(error)
    else:
        assert good


@pytest.mark.parametrize(
    ("states", "slots"),
    [
        ("state S: A? -> A? -> A? -> B! -> S;", (1, 3)),
        ("state S: A? -> T; state T: one { B! -> S; D! -> B! -> D! -> S; }", (3, 1)),
        ("state S: one { A? -> A? -> T; E? -> T; } state T: B! -> U; state U: A? -> B! -> S;", (1, 2)),
    ],
)
def test_slots_of_known_contracts(states, slots):
    messages = "in message A(); in message E(); out message B(); out message D();"
    assert tuple(contract(f"contract C {{ {messages} {states} }}").slots.values())[::-1] == slots
