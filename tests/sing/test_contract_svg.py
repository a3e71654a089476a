"""The drawing of a contract: everything is in it, nothing lies over anything else, a state can be marked."""

from __future__ import annotations

import re
import time
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from large_contracts import LARGE
from test_contract_slots import texts
from test_contracts import CARD

from singlab.sing import SipError, contract, draw, explore_contract
from singlab.sing.contracts import Contract, Message
from singlab.sing.types import U8
from singlab.trace.layered import layout
from singlab.trace.statemachine import state_machine


def drawing(spoken: Contract) -> ElementTree.Element:
    """Return the parsed picture, checked for what every picture must have."""
    root = ElementTree.fromstring(spoken._repr_html_())
    svg = next(root.iter("svg"))
    boxes = [g for g in svg.iter("g") if g.get("class") == "s"]
    assert [g.find("title").text for g in boxes] == spoken.states
    assert [int(g.get("data-state")) for g in boxes] == list(range(len(spoken.states)))
    labels = {t.find("title").tail for t in svg.iter("text") if t.find("title") is not None}
    used = {m for step in spoken.transitions for m in step}
    assert {name + spoken.messages[name].direction for name in used} == labels
    arrows = {(s, t) for s, step in enumerate(spoken.transitions) for t in step.values()}
    assert sum(p.get("class") == "e" for p in svg.iter("path")) == len(arrows) + 1, "one arrow a pair, one into the start"
    rectangles = [_box(g) for g in boxes] + [_letters(t) for t in svg if t.tag == "text"]
    width, height = map(float, svg.get("viewBox").split()[2:])
    for one, (x0, y0, x1, y1) in enumerate(rectangles):
        assert x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height
        for u0, v0, u1, v1 in rectangles[one + 1 :]:
            assert x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0, "two things lie over each other"
    return svg


def _box(g: ElementTree.Element) -> tuple[float, float, float, float]:
    rect, circle = g.find("rect"), g.find("circle")
    if rect is not None:
        x, y = float(rect.get("x")), float(rect.get("y"))
        return x, y, x + float(rect.get("width")), y + float(rect.get("height"))
    x, y, r = (float(circle.get(name)) for name in ("cx", "cy", "r"))
    return x - r, y - r, x + r, y + r


def _letters(text: ElementTree.Element) -> tuple[float, float, float, float]:
    """Return the room a label's letters take: 6.6 pixels a letter is what a common font needs."""
    x, y, half = float(text.get("x")), float(text.get("y")), 3.3 * len(text.find("title").tail)
    return x - half, y - 11, x + half, y + 3


@settings(max_examples=200, deadline=None, derandomize=True)
@given(texts())
def test_every_contract_can_be_drawn(text):
    try:
        spoken = contract(text)
    except SipError:
        return
    drawing(spoken)


@pytest.mark.parametrize("name", LARGE)
def test_large_contracts(name):
    """They are well-formed, their slots are what exploring them needs, and their drawings are in order."""
    spoken = contract(LARGE[name])
    svg = drawing(spoken)
    assert float(svg.get("width")) <= 1200
    found = explore_contract(spoken)
    assert found.sound and {side: max(1, most) for side, most in found.waiting.items()} == spoken.slots
    assert found.copies == spoken.copies


def test_the_driver_is_drawn_without_a_network():
    svg = drawing(contract(CARD))
    assert "http" not in contract(CARD)._repr_html_(), "nothing is fetched to show it"
    assert "Card" in svg.get("aria-label")


def test_a_small_contract_runs_to_the_right_and_a_long_one_down():
    small = drawing(contract("contract C { in message A(); out message B(); state S: A? -> B! -> S; }"))
    _, _, width, height = map(float, small.get("viewBox").split())
    assert width > 2 * height
    large = contract(LARGE["tcp"])
    boxes = {g.find("title").text: _box(g) for g in drawing(large).iter("g") if g.get("class") == "s"}
    first, last = boxes["Start"], boxes["Closed"]
    assert last[1] - first[3] > 600 > last[0] - first[2], "the conversation runs down, whatever the number of its branches"


def test_a_state_is_marked_by_name_or_number():
    card = contract(CARD)
    number = card.states.index("Running.1")
    by_name, by_number, plain = draw(card, "Running.1"), draw(card, state=number), draw(card)
    assert by_name == by_number and plain != by_name == by_name._repr_html_()
    filled = [g for g in ElementTree.fromstring(by_name).iter("g") if any("fill" in (p.get("style") or "") for p in g.iter("path"))]
    assert [g.get("data-state") for g in filled] == [str(number)]
    for wrong in ("Walking", -1, 99):
        with pytest.raises(ValueError, match="has (no state|states)"):
            draw(card, wrong)


def test_names_are_escaped():
    name = '<b>&"x'
    messages = {name: Message("C", name, 0, "?", ((name, U8),))}
    svg = drawing(Contract(name, "", messages, [name, "T"], [{name: 1}, {}], {"Imp": 1, "Exp": 1}, {name: 1}))
    assert svg.get("aria-label").endswith(name)


def test_a_contract_as_text_says_what_it_needs():
    card = contract(CARD)
    text = str(card)
    assert "slots: Imp 1, Exp 3" in text and re.search(r"in message Tune\(ushort rate, bool duplex\) +at most 1 waiting", text)
    assert re.search(r"Acknowledge +Exp sends: Invalid! -> Configure, Success! -> Configured", text)
    html = card._repr_html_()
    assert "slots: 1 for the client (Imp), 3 for the server (Exp)" in html and "byte[]* in ExHeap packet" in html
    derived = contract("contract Better : Card { }", known={"Card": card})
    assert "contract Better extends Card" in str(derived) and "extends Card" in derived._repr_html_()


def test_a_huge_contract_is_not_drawn_but_counted():
    count = 400
    states = " ".join(f"state S{i}: {'A?' if i % 2 else 'B!'} -> S{(i + 1) % count};" for i in range(count))
    start = time.monotonic()
    assert f"{count} states: too many to draw" in draw(contract(f"contract C {{ in message A(); out message B(); {states} }}"))
    assert time.monotonic() - start < 10


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20), st.booleans())
def test_any_graph_is_laid_out_without_overlaps(count, pairs, horizontal):
    boxes = [(60.0 + 10 * (i % 3), 30.0) for i in range(count)]
    edges = [(a, b, 50.0, 20.0) for a, b in sorted(pairs) if a != b and max(a, b) < count]
    laid = layout(boxes, edges, horizontal)
    assert len(laid.arrows) == len(edges) and all(len(arrow.points) % 3 == 1 for arrow in laid.arrows)
    rectangles = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(laid.places, boxes, strict=True)]
    rectangles += [(x - 25, y - 10, x + 25, y + 10) for x, y in (arrow.label for arrow in laid.arrows)]
    for one, (x0, y0, x1, y1) in enumerate(rectangles):
        assert x0 >= -0.01 and y0 >= -0.01 and x1 <= laid.width + 0.01 and y1 <= laid.height + 0.01
        for u0, v0, u1, v1 in rectangles[one + 1 :]:
            assert x1 <= u0 + 0.01 or u1 <= x0 + 0.01 or y1 <= v0 + 0.01 or v1 <= y0 + 0.01
    for (a, b, *_), arrow in zip(edges, laid.arrows, strict=True):
        for box, (x, y) in ((a, arrow.points[0]), (b, arrow.points[-1])):
            cx, cy = laid.places[box]
            assert abs(x - cx) <= boxes[box][0] / 2 + 0.01 and abs(y - cy) <= boxes[box][1] / 2 + 0.01, "an arrow begins and ends at its boxes"


def test_loops_of_unchecked_data_are_drawn_too():
    data = {"messages": [{"name": "A", "direction": "?", "arguments": []}], "states": ["S"], "transitions": [[0, 0, 0]]}
    svg = ElementTree.fromstring(state_machine("C", data))
    assert sum(p.get("class") == "e" for p in svg.iter("path")) == 2
