"""The machine view: what it sends adds up to what the machine shows, it moves the machine as asked, and it looks whole."""

from __future__ import annotations

import asyncio
import base64
import json
import struct

import numpy as np
import pytest

from singlab.machine import Machine, view
from singlab.machine import state as s
from singlab.machine.asm import assemble, encode
from singlab.widgets import MachineView
from singlab.widgets import machineview as module
from tests.conftest import outside

BASE = s.RAM_BASE
PROGRAM = """
start: la sp, table
       li a0, 0
       li a1, 300
loop:  andi t1, a1, 15
       slli t1, t1, 6
       add t1, t1, sp
       sd a1, 0(t1)
       ld t2, 64(t1)
       mul a0, a0, a1
       add a0, a0, t2
       addi a1, a1, -1
       bnez a1, loop
done:  j done
table: .dword 1, 2, 3, 4
"""


class Travel:
    """The plainest way to move a machine: a hook behind each instruction; to go back, start again."""

    def __init__(self, machine):
        self.machine, self.first, self.start = machine, machine.snapshot(), int(machine.m[s.INSTRET])
        self.stuck_at = None

    @property
    def position(self) -> int:
        return int(self.machine.m[s.INSTRET])

    def step(self, n=1) -> str:
        for _ in range(n):
            if self.position == self.stuck_at:
                return "wfi"
            before = self.position
            self._one()
            assert self.position == before + 1
        return "limit"

    def _one(self) -> None:
        machine, pc = self.machine, int(self.machine.m[s.PC])
        row = view.code(machine, pc, before=0, count=1).rows[0]
        if row.target == pc:
            machine.m[s.INSTRET] += np.uint64(1)
            machine.m[s.CYCLES] += np.uint64(1)
            return
        kept = {place: machine.read(place, 4) for place in {pc + len(row.data), row.target or pc + len(row.data)}}
        for place in kept:
            machine.write(place, struct.pack("<I", encode("hook", 1)))
        assert machine.run() == "hook"
        # the hook itself counts as an instruction of one cycle
        machine.m[s.INSTRET] -= np.uint64(1)
        machine.m[s.CYCLES] -= np.uint64(1)
        for place, data in kept.items():
            machine.write(place, data)

    def goto(self, position) -> str:
        self.machine.restore(self.first)
        self.step(max(0, position - self.start))
        return "limit"

    def back(self, n=1) -> str:
        return self.goto(max(self.start, self.position - n))

    def run_to(self, address, limit=None) -> str:
        for _ in range(limit or 1_000_000):
            before = self.position
            reason = self.step()
            if int(self.machine.m[s.PC]) == address:
                return "address"
            if self.position == before:
                return reason
        return "limit"


def stepped(profile: str = "teaching") -> tuple[view.Views, Travel]:
    """Return the views of a machine about to run PROGRAM, and what moves it."""
    made = Machine(profile=profile, ram="256K")
    code = assemble(PROGRAM, BASE)
    made.write(BASE, code.code)
    return view.Views(made, symbols=code.labels), Travel(made)


@pytest.fixture
def sent(monkeypatch):
    """Everything a view sends to its front end."""
    frames = []
    monkeypatch.setattr(MachineView, "send", lambda self, content, buffers=None: frames.append((content, buffers or [])))
    return frames


class FrontEnd:
    """What a page would have: the initial traits and all frames after them."""

    def __init__(self, shown: MachineView):
        self.panes, self.status = dict(shown.panes), dict(shown.status)
        self.cells = {
            name: np.frombuffer(getattr(shown, name), "<u4").reshape(about["sets"], 2 * about["ways"]).copy()
            for name, about in shown.shape.items()
        }
        self.touched = {}

    def take(self, frames) -> None:
        for content, buffers in frames:
            json.dumps(content)
            self.panes.update(content.get("panes", {}))
            self.status = content.get("status", self.status)
            buffers = list(buffers)
            for about in content.get("caches", []):
                self.touched[about["name"]] = about["touched"]
                if about["sets"]:
                    cells = self.cells[about["name"]]
                    rows = np.frombuffer(buffers.pop(0), "<u4").reshape(about["sets"], 1 + cells.shape[1])
                    cells[rows[:, 0]] = rows[:, 1:]
            assert not buffers
        frames.clear()


def as_it_is(front: FrontEnd, views: view.Views) -> None:
    """Hold that a front end shows the machine as it is."""
    m = views.machine.m
    assert (front.status["pc"], front.status["cycles"], front.status["instructions"]) == (
        hex(int(m[s.PC])),
        int(m[s.CYCLES]),
        int(m[s.INSTRET]),
    )
    for name, cells in front.cells.items():
        words = views.cache(name).words
        lines, states = cells[:, 0::2], cells[:, 1::2]
        held = states > 0
        assert ((words != 0) == held).all() and ((words >> np.uint64(1))[held] - np.uint64(1) == lines[held]).all()
        assert ((words & np.uint64(1)).astype(bool) == (states == 2)).all()
    assert f">{int(m[10]):#x}<" in front.panes["registers"]["html"]
    assert f'data-address="{int(m[s.PC]):#x}"' in front.panes["code"]["html"].split("slv-pc")[1].split("</tr>")[0]
    assert front.panes["memory"]["html"] == views.memory("sp", 128).html(title=False)


@pytest.mark.parametrize("profile", ["teaching", "athlon64"])
def test_frames_add_up_to_what_the_machine_shows(sent, profile):
    views, travel = stepped(profile)
    shown = MachineView(views, travel=travel)
    front = FrontEnd(shown)
    as_it_is(front, views)
    for action, value in (
        ("step", None),
        ("step", "7"),
        ("address", "loop"),
        ("step", 40),
        ("back", 3),
        ("cycle", "2500"),
        ("reset", None),
        ("step", 9),
    ):
        shown._message(shown, {"type": "do", "action": action, "value": value}, [])
        front.take(sent)
        assert not front.status["error"]
        as_it_is(front, views)


def test_only_what_has_changed_is_sent(sent):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    shown.step(3)
    sent.clear()
    shown.refresh()
    ((content, buffers),) = sent
    assert "panes" not in content and "status" not in content and not buffers
    shown.refresh()
    shown._message(shown, {"type": "look", "memory": "start"}, [])
    assert set(sent[-1][0]["panes"]) == {"memory"}


def test_marks_are_those_of_the_last_action(sent):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    front = FrontEnd(shown)
    shown.step(6)
    before = travel.machine.snapshot()
    shown.step(10)
    front.take(sent)
    assert front.panes["registers"]["html"] == views.registers(since=before).html(title=False)
    assert front.panes["registers"]["html"].count("slv-changed") == len(set(views.registers(since=before).changed) - {"pc"})
    touched = {name: [i for i in range(len(a)) if (a[i] != b[i]).any()] for name in front.cells
               for a, b in [(view.cache(before, name).words, views.cache(name).words)]}  # fmt: skip
    assert front.touched == touched and touched["l1d"]


@pytest.mark.parametrize("cycle", [1, 57, 311, 312, 313, 998, 1499])
def test_running_to_a_cycle_stops_at_the_first_instruction_behind_it(sent, cycle):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    shown.run_to_cycle(cycle)
    other_views, other = stepped()
    while other_views.cycles().cycles < cycle:
        other.step()
    assert travel.position == other.position and views.cycles().cycles == other_views.cycles().cycles
    assert views.registers().rows == other_views.registers().rows


def test_going_back_and_resetting(sent):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    front = FrontEnd(shown)
    shown.step(20)
    kept = travel.machine.snapshot()
    shown.step(15)
    shown.back(15)
    assert np.array_equal(travel.machine.m, kept)
    front.take(sent)
    assert not front.status["start"]
    shown.reset()
    front.take(sent)
    assert front.status["start"] and front.status["position"] == 0


def test_what_cannot_be_done_is_said(sent):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    front = FrontEnd(shown)
    shown.run_to("loop")
    for action, value, why in (
        ("cycle", "1", "has passed"), ("cycle", "soon", "whole number"), ("cycle", None, "whole number"), ("address", "lop", "did you mean loop"),
        ("address", None, "is no address"), ("step", "0", "at least 1"), ("step", "x", "whole number"), ("fly", None, "nothing the view can do"),
    ):  # fmt: skip
        position = travel.position
        shown._message(shown, {"type": "do", "action": action, "value": value}, [])
        front.take(sent)
        assert why in front.status["error"] and travel.position == position
    shown._message(shown, {"type": "do", "action": "step"}, [])
    front.take(sent)
    assert front.status["error"] == ""
    with pytest.raises(ValueError, match="did you mean loop"):
        shown.run_to("lop")
    with pytest.raises(ValueError, match="no pane 'stack'"):
        MachineView(views, travel=travel, opened=("stack",))
    shown._message(shown, {"type": "look", "memory": "nowhere"}, [])
    front.take(sent)
    assert "is no address" in front.panes["memory"]["html"]


def test_a_machine_that_waits_ends_a_run(sent):
    views, travel = stepped()
    travel.stuck_at = 12
    shown = MachineView(views, travel=travel)
    front = FrontEnd(shown)
    for action, value in (("step", 50), ("cycle", 100_000), ("address", "done")):
        shown._message(shown, {"type": "do", "action": action, "value": value}, [])
        front.take(sent)
        assert travel.position == 12 and "waits for an interrupt" in front.status["reason"] and not front.status["running"]


def test_a_run_is_a_task_that_can_be_stopped(sent, monkeypatch):
    monkeypatch.setattr(module, "_SLICE", 5)
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    turns = 0

    async def main():
        nonlocal turns
        shown._message(shown, {"type": "do", "action": "step", "value": 1_000_000}, [])
        shown._message(shown, {"type": "do", "action": "reset"}, [])  # while a run is under way nothing else begins
        while not shown._task.done():
            turns += 1
            if turns == 30:
                shown._message(shown, {"type": "stop"}, [])
            await asyncio.sleep(0)

    asyncio.run(main())
    assert turns >= 30 and 100 < travel.position < 1000 and not shown.running
    assert sent[-1][0]["status"]["reason"] == "stopped by you" and not sent[-1][0]["status"]["running"]


def test_frames_come_at_a_bounded_rate(sent, monkeypatch):
    """The clock stands still: there is no time for a frame but the last."""
    monkeypatch.setattr(module, "_SLICE", 1)
    monkeypatch.setattr(module.time, "monotonic", lambda: 5.0)
    views, travel = stepped()
    shown = MachineView(views, travel=travel)

    async def main():
        shown._message(shown, {"type": "do", "action": "step", "value": 100}, [])
        await shown._task

    asyncio.run(main())
    assert len(sent) == 1 and travel.position == 100


def test_what_moves_the_machine_may_fail(sent):
    views, travel = stepped()
    travel.step = lambda n=1: 1 // 0
    shown = MachineView(views, travel=travel)

    async def main():
        shown._message(shown, {"type": "do", "action": "step"}, [])
        await shown._task

    asyncio.run(main())
    assert "ZeroDivisionError" in sent[-1][0]["status"]["error"] and not shown.running


def test_folded_panes_cost_nothing(sent):
    views, travel = stepped()
    shown = MachineView(views, travel=travel, opened=("registers",))
    assert set(shown.panes) == {"registers"}
    shown.step()
    assert set(sent[-1][0]["panes"]) == {"registers"} and "caches" not in sent[-1][0]
    shown._message(shown, {"type": "open", "panes": ["registers", "csrs", "tlbs", "nonsense"]}, [])
    assert set(sent[-1][0]["panes"]) == {"csrs", "tlbs"} and shown.opened == ["registers", "tlbs", "csrs"]


def test_the_listing_stands_still_while_pc_moves_in_it(sent):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    listings = set()
    for _ in range(10):
        listings.add(shown._code_at)
        shown.step()
    assert len(listings) == 1


def test_a_late_front_end_gets_everything(sent):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    front = FrontEnd(shown)
    shown._message(shown, {"type": "ready"}, [])
    assert not sent, "nothing has changed since the traits"
    shown.step(60)
    sent.clear()
    shown._message(shown, {"type": "ready"}, [])
    front.take(sent)
    as_it_is(front, views)


@pytest.mark.parametrize(
    "content",
    [{}, {"type": "do"}, {"type": "open"}, {"type": "open", "panes": 3 * ["x"]}, {"type": "look", "set": -1}, {"type": "look", "set": 10**9},
     {"type": "look", "memory": 5, "walk": "", "width": "9", "mode": "Q", "cache": "l9"}, {"type": "stop"}, {"type": "other"},
     {"type": "do", "action": "step", "value": [1]}, {"type": "look", "walk": "(" * 999}],
)  # fmt: skip
def test_odd_messages_do_no_harm(sent, content):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    shown._message(shown, content, [])
    shown._message(shown, {"type": "open", "panes": list(module.PANES)}, [])
    shown.step()
    assert travel.position == 1 and set(sent[-1][0]["panes"]) & {"code", "registers"}


def test_looking_moves_nothing(sent):
    views, travel = stepped()
    travel.step(30)
    before = travel.machine.m.copy()
    shown = MachineView(views, travel=travel, opened=module.PANES)
    for look in ({"memory": "pc", "width": 8, "space": "virtual"}, {"walk": "0x4000", "mode": "U"}, {"cache": "l2", "set": 3}):
        shown._message(shown, {"type": "look", **look}, [])
    shown._repr_mimebundle_()
    assert np.array_equal(travel.machine.m, before)


def test_places_without_widgets_get_a_picture(sent):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    bundle = shown._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "Where the cycles went" in data["text/html"] and "&lt;start&gt;" in data["text/html"] and "Registers" in data["text/plain"]


def test_a_machine_itself_can_be_given(sent):
    pytest.importorskip("singlab.machine.timetravel")
    views, _ = stepped()
    shown = MachineView(views.machine)
    front = FrontEnd(shown)
    shown.step(20)
    shown.run_to(BASE)  # never reached: the program ends in a loop
    shown.back(5)
    shown.run_to_cycle(views.cycles().cycles + 100)
    shown.reset()
    front.take(sent)
    as_it_is(front, views)


# ---- in a browser -------------------------------------------------------------------------------------------------------------

#: A model as the front end knows it: traits, messages out, messages in.
_MODEL = """
const binary = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const traits = TRAITS, handlers = {};
for (const name of ["l1i", "l1d", "l2"]) traits[name] = binary(traits[name]);
window.sent = [];
const model = { get: (name) => traits[name], send: (content) => sent.push(content), on: (name, f) => { handlers[name] = f; }, off() {} };
window.receive = (content, buffers) => handlers["msg:custom"](content, buffers.map(binary));
window.leave = render({ model, el: document.getElementById("el") });
"""
_DARK = "--jp-ui-font-color1:#e6e6e6;--jp-ui-font-color2:#a8b0ba;--jp-border-color2:#3b4250;--jp-layout-color1:#14181f;--jp-layout-color0:#0f1319;--jp-layout-color2:#232a35"


def page_of(shown: MachineView, dark: bool = False) -> str:
    """Return a page that holds the front end of a view."""
    traits = {name: getattr(shown, name) for name in ("panes", "status", "shape", "look", "opened", "sheet")}
    traits |= {name: base64.b64encode(getattr(shown, name)).decode() for name in ("l1i", "l1d", "l2")}
    script = str(shown._esm).replace("export default { render };", "") + _MODEL.replace("TRAITS", json.dumps(traits).replace("</", "<\\/"))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{shown._css}body{{margin:0;padding:8px;{_DARK if dark else ""}}}</style>'
        f'<body><div id="el"></div><script type="module">{script}</script>'
    )


@pytest.fixture
def opened(watched_page, tmp_path, sent, monkeypatch):
    """Return a way to open a view in a page; ``page.exchange()`` hands messages over, both ways."""
    from contextlib import contextmanager

    def no_loop():
        raise RuntimeError

    @contextmanager
    def open_view(shown: MachineView, dark: bool = False, **options):
        path = tmp_path / "view.html"
        path.write_text(page_of(shown, dark), encoding="utf-8")
        with watched_page(**options) as page:
            page.goto(path.as_uri())
            page.wait_for_selector("[data-testid=sm-status] span")

            def exchange():
                for content in page.evaluate("window.sent.splice(0)"):
                    with monkeypatch.context() as patch:
                        # the browser's driver has a loop in this thread; here each message is worked off at once
                        patch.setattr(asyncio, "get_running_loop", no_loop)
                        shown._message(shown, content, [])
                for content, buffers in sent:
                    page.evaluate(
                        "([content, buffers]) => receive(content, buffers)", [content, [base64.b64encode(b).decode() for b in buffers]]
                    )
                sent.clear()

            page.exchange = exchange
            exchange()
            yield page
            assert page.errors == [] and outside(page.requests) == []

    return open_view


@pytest.mark.browser
def test_buttons_and_fields_move_the_machine(opened):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    with opened(shown) as page:

        def position() -> int:
            page.exchange()
            return int(page.locator("[data-testid=sm-status]").get_attribute("data-position"))

        assert page.locator("[data-testid=sm-back]").is_disabled()
        page.click("[data-testid=sm-step]")
        assert position() == 1
        page.fill("[data-testid=sm-count]", "12")
        page.click("[data-testid=sm-step]")
        assert position() == 13
        page.click("[data-testid=sm-back]")
        assert position() == 1
        page.fill("[data-testid=sm-address]", "loop")
        page.keyboard.press("Enter")
        position()
        assert page.locator(".slv-pc").inner_text().split()[0] == hex(views.address("loop"))
        assert "<loop>" in page.locator("[data-testid=sm-status]").inner_text()
        page.fill("[data-testid=sm-cycle]", "900")
        page.click("[data-testid=sm-run-cycle]")
        assert position() > 13 and views.cycles().cycles >= 900
        page.fill("[data-testid=sm-address]", "lop")
        page.click("[data-testid=sm-run-address]")
        position()
        assert "did you mean loop" in page.locator("[data-testid=sm-status]").inner_text()
        page.click("[data-testid=sm-reset]")
        assert position() == 0
        page.fill("[data-testid=sm-count]", "1")
        page.locator(".sm-view").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert position() == 2
        page.keyboard.press("ArrowLeft")
        assert position() == 1


@pytest.mark.browser
def test_panes_fold_and_look_where_they_are_told(opened):
    views, travel = stepped()
    shown = MachineView(views, travel=travel)
    travel.step(60)
    shown.refresh()
    with opened(shown) as page:
        page.click("[data-pane=csrs] .sm-fold")
        page.exchange()
        assert "mstatus" in page.locator("[data-pane=csrs] .sm-body").inner_text()
        page.click("[data-pane=registers] .sm-fold")
        page.exchange()
        assert not page.locator("[data-pane=registers] .sm-body").is_visible() and "registers" not in shown.opened
        page.fill("[data-testid=sm-memory]", "table")
        page.keyboard.press("Tab")
        page.select_option("[data-testid=sm-width]", "8")
        page.exchange()
        assert page.locator("[data-pane=memory] .sm-body").inner_text().startswith("<table>")
        page.click("[data-pane=memory] [data-page='1']")
        page.exchange()
        assert page.locator("[data-testid=sm-memory]").input_value() == hex(views.address("table") + 128)
        page.locator("[data-pane=code] [data-address]").first.click()
        page.exchange()
        assert page.locator("[data-testid=sm-memory]").input_value() == hex(BASE)


@pytest.mark.browser
@pytest.mark.parametrize("profile", ["teaching", "athlon64", "modern"])
def test_a_click_on_a_set_shows_its_lines(opened, profile):
    views, travel = stepped(profile)
    shown = MachineView(views, travel=travel)
    shown.step(200)
    with opened(shown) as page:
        for name in ("l1i", "l1d", "l2"):
            canvas = page.locator(f"[data-testid=sm-{name}]")
            canvas.scroll_into_view_if_needed()
            box = canvas.bounding_box()
            # the set in which the first line of the program or its table lies, where the drawing says it is
            target = views.cache(name).rows[-1].set
            columns, wide, high = page.evaluate(
                """([name, sets]) => { const c = document.querySelector(`[data-testid=sm-${name}]`); c.focus();
                   const set = (x, y) => { c.dispatchEvent(new MouseEvent("mousemove", { clientX: c.getBoundingClientRect().left + x,
                     clientY: c.getBoundingClientRect().top + y })); return Number(c.title.match(/set (\\d+)/)[1]); };
                   const width = c.clientWidth, last = set(width - 2, 1); return [last + 1, width / (last + 1), c.clientHeight / (sets / (last + 1))]; }""",
                [name, shown.shape[name]["sets"]],
            )
            x, y = (target % columns + 0.5) * wide, (target // columns + 0.5) * high
            assert x < box["width"] and y < box["height"]
            canvas.click(position={"x": x, "y": y})
            page.exchange()
            assert (shown.look["cache"], shown.look["set"]) == (name, target)
            text = page.locator("[data-pane=caches] .sm-body").inner_text()
            assert all(hex(line.address) in text for line in views.cache(name).lines(target))
            page.keyboard.press("ArrowLeft")
            page.exchange()
            assert shown.look["set"] == max(0, target - 1)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(420, True), (700, False), (1200, True)])
def test_nothing_sticks_out(opened, width, dark):
    views, travel = stepped()
    shown = MachineView(views, travel=travel, opened=module.PANES)
    with opened(shown, dark, viewport={"width": width, "height": 900}) as page:
        shown.step(50)
        page.exchange()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = page.evaluate(
            "[...document.querySelectorAll('.sm-view *')].filter(e => e.children.length === 0 && e.textContent.trim()).map(e => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(size for size in sizes if size) >= 10
        assert page.evaluate("[...document.querySelectorAll('.sm-grids canvas')].every(c => c.clientWidth > 0 && c.clientHeight > 20)")


@pytest.mark.browser
def test_names_cannot_break_the_view(opened):
    views, travel = stepped()
    named = view.Views(views.machine, symbols={"<img src=x onerror=alert(1)>": BASE, "</script><b>": BASE + 4})
    shown = MachineView(named, travel=travel)
    with opened(shown) as page:
        shown.step(1)
        page.exchange()
        assert page.locator(".sm-view img, .sm-view b[onerror]").count() == 0
        assert "<img" in page.locator("[data-pane=code] .sm-body").inner_text()
        assert "</script><b>" in page.locator("[data-testid=sm-status]").inner_text()


@pytest.mark.browser
def test_the_view_leaves_nothing_behind(opened):
    views, travel = stepped()
    with opened(MachineView(views, travel=travel)) as page:
        page.evaluate("leave()")
        page.set_viewport_size({"width": 640, "height": 400})
