"""The heap view: what the front end shows is what the film says, at any step, forwards and backwards."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace

import pytest

from singlab.trace.heapfilm import Step
from singlab.widgets.heapview import HeapView
from tests.conftest import outside
from tests.heapfilms import copying, cycling, heap, marking, sliding

_MODEL = """
const binary = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const traits = TRAITS, handlers = {};
for (const name in traits.data) traits.data[name] = binary(traits.data[name]);
window.traits = traits;
const model = { get: (name) => traits[name], set: (name, value) => { traits[name] = value; }, save_changes() {}, on: (name, f) => { handlers[name] = f; }, off() {} };
window.change = (name, value) => { traits[name] = value; handlers["change:" + name](); };
window.Model = HeapModel;
window.leave = render({ model, el: document.getElementById("el") });
"""
_DARK = "--jp-ui-font-color1:#e6e6e6;--jp-ui-font-color2:#a8b0ba;--jp-border-color2:#3b4250;--jp-layout-color1:#14181f;--jp-layout-color0:#0f1319;--jp-layout-color2:#232a35"


def page_of(shown: HeapView, dark: bool = False) -> str:
    """Return a page that holds the front end of a view."""
    traits = {name: getattr(shown, name) for name in ("about", "position", "speed", "playing", "selected")}
    traits["data"] = {name: base64.b64encode(value).decode() for name, value in shown.data.items()}
    script = str(shown._esm).replace("export default { render };", "") + _MODEL.replace("TRAITS", json.dumps(traits).replace("</", "<\\/"))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{shown._css}body{{margin:0;padding:8px;{_DARK if dark else ""}}}</style>'
        f'<body><div id="el"></div><script type="module">{script}</script>'
    )


@pytest.fixture
def opened(watched_page, tmp_path):
    """Return a way to open a view in a page."""
    from contextlib import contextmanager

    @contextmanager
    def open_view(shown: HeapView, dark: bool = False, **options):
        path = tmp_path / "heap.html"
        path.write_text(page_of(shown, dark), encoding="utf-8")
        with watched_page(**options) as page:
            page.goto(path.as_uri())
            page.wait_for_selector("[data-testid=sh-sentence]")
            yield page
            assert page.errors == [] and outside(page.requests) == []

    return open_view


@pytest.mark.browser
@pytest.mark.parametrize("make", [copying, marking, sliding, cycling])
def test_the_front_end_knows_every_state_as_the_film_does(opened, make):
    film = make(count=70, seed=5)
    choose = random.Random(1)
    with opened(HeapView(film)) as page:
        for _ in range(40):
            position = choose.randint(0, len(film))
            page.evaluate("(p) => change('position', p)", position)
            got = page.evaluate(
                "(p) => { const m = window.check ||= new Model(traits.about, traits.data); m.seek(p); const edges = m.out.flatMap((to, i) => m.exists(i) ? to.filter((j) => m.exists(j)).map((j) => [i, j]) : []); return [[...m.state], [...m.where], m.counts, m.position, edges, m.held]; }", position
            )  # fmt: skip
            state, where = film.states(position)
            assert got[0] == state.tolist() and got[3] == position
            assert [0x8010_0000 + 8 * word for word in got[1]] == where.tolist()
            assert got[2] == [int((state == s).sum()) for s in range(5)]
            assert sorted(got[4]) == film.edges(position).tolist() and got[5] == film.holds(position)


@pytest.mark.browser
def test_buttons_keys_and_the_slider(opened):
    film = copying(count=30, seed=3)
    with opened(HeapView(film)) as page:
        sentence, count = page.get_by_test_id("sh-sentence"), page.get_by_test_id("sh-count")
        assert sentence.inner_text() == "before the collection"
        page.get_by_test_id("sh-step").click()
        assert sentence.inner_text() == "copies what roots refer to"
        page.get_by_test_id("sh-step").click()
        assert sentence.inner_text() == "looks at root s0 (register)"
        page.locator(".singlab-view").focus()
        page.keyboard.press("ArrowRight")
        moved = film.steps[2]
        assert (
            sentence.inner_text().startswith("moves ")
            and f"{int(moved['a']):#x} to {int(moved['b']):#x} in to-space" in sentence.inner_text()
        )
        page.keyboard.press("ArrowLeft")
        assert count.inner_text() == f"2 of {len(film)}"
        page.get_by_test_id("sh-last").click()
        assert sentence.inner_text() == "copies what roots refer to" or page.evaluate("traits.position") > 2
        page.get_by_test_id("sh-seek").fill(str(len(film)))
        assert sentence.inner_text() == "gives back 4,096 bytes at 0x80100000"
        assert page.evaluate("traits.position") == len(film)
        page.get_by_test_id("sh-back").click()
        assert page.evaluate("traits.position") == len(film) - 1


@pytest.mark.browser
def test_it_plays_to_the_end_and_begins_again(opened):
    film = copying(count=10, seed=2)
    with opened(HeapView(film, speed=512)) as page:
        page.get_by_test_id("sh-play").click()
        page.wait_for_function(f"traits.position === {len(film)} && !traits.playing")
        assert "Play" in page.get_by_test_id("sh-play").inner_text()
        page.evaluate("change('speed', 512); change('playing', true)")
        page.wait_for_function(f"traits.position === {len(film)} && !traits.playing")


@pytest.mark.browser
def test_an_object_is_chosen_in_memory_and_in_the_graph(opened):
    film = copying(count=30, seed=3)
    with opened(HeapView(film), dark=True) as page:
        box = page.get_by_test_id("sh-space-0").bounding_box()
        page.mouse.click(box["x"] + 3, box["y"] + 8)
        assert page.evaluate("traits.selected") == 0
        page.mouse.move(box["x"] + 4, box["y"] + 8)
        assert "Node at 0x80100000" in page.locator(".sl-tip").inner_text() or "at 0x80100000" in page.locator(".sl-tip").inner_text()
        page.locator(".sh-node[data-object='5']").click()
        assert page.evaluate("traits.selected") == 5
        page.locator(".sh-chip").first.click()
        assert page.evaluate("traits.selected") == film.before.index(film.before.roots[0].target)


@pytest.mark.browser
def test_a_large_heap_is_shown_by_pages_and_in_a_narrow_window(opened):
    film = marking(count=8000, seed=4)
    with opened(HeapView(film, position=len(film)), viewport={"width": 420, "height": 900}) as page:
        assert "a box is a page" in page.locator(".sh-spacehead").inner_text()
        assert "too many to draw" in page.locator(".sh-draw").inner_text()
        page.locator(".sh-chip").first.click()
        assert page.locator(".sh-node").count() >= 1
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.browser
def test_a_cycle_says_who_is_at_work_and_what_the_barrier_is_for(opened):
    film = next(film for film in (cycling(40, seed, roots=3, busy=25) for seed in range(100)) if film.lost_without_barrier().any())
    at = next(n for n, step in enumerate(film.steps["what"]) if step == Step.SHADE) + 1
    with opened(HeapView(film, position=at)) as page:
        who, sentence, legend = (page.get_by_test_id(f"sh-{name}") for name in ("who", "sentence", "legend"))
        assert who.inner_text() == "program" and sentence.inner_text().startswith("the write barrier marks ")
        page.evaluate(f"change('position', {at + 1})")
        assert "the program lets" in sentence.inner_text() and "without the barrier nobody would look" in sentence.inner_text()
        assert "from black to white 0, without the barrier 1" in legend.inner_text() and page.locator(".sh-lost").count() == 1
        page.evaluate("change('position', 1)")
        assert who.inner_text() == "collector" and sentence.inner_text() == "roots 1"
        box = page.get_by_test_id("sh-time").bounding_box()
        page.mouse.click(box["x"] + box["width"] - 1, box["y"] + 8)
        assert page.evaluate("traits.position") >= len(film) - 1
    with opened(HeapView(copying(count=10))) as page:
        assert not page.get_by_test_id("sh-time").is_visible() and not page.get_by_test_id("sh-who").is_visible()


@pytest.mark.browser
def test_what_objects_say_stands_below_them(opened):
    film = copying(count=12, seed=3)
    film = replace(film, before=replace(film.before, said=("/<b>mail", *[""] * 11)))
    with opened(HeapView(film)) as page:
        assert page.locator(".sh-said").all_text_contents() == ["/<b>mail"]
        page.evaluate("change('selected', 0)")
        assert "“/<b>mail”" in page.evaluate("new Model(traits.about, traits.data).name(0)")


def test_without_scripts_there_is_a_table():
    shown = HeapView(copying(count=30, seed=3))
    data, _ = shown._repr_mimebundle_()
    assert "<td>Node</td>" in data["text/html"] and "30 objects" in data["text/html"] and "HeapFilm" in data["text/plain"]
    picture, _ = heap(count=5)
    assert "HeapPicture" in HeapView(picture)._repr_mimebundle_()[0]["text/plain"]


def test_what_is_no_film_is_refused():
    with pytest.raises(TypeError, match="shows a HeapFilm or a HeapPicture, not list"):
        HeapView([1, 2])
