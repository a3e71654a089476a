"""A student's minutes in a real JupyterLab: open a lecture, run it, step and play its views, type into a console.

The server is started as ``singlab lab`` starts it. No request may leave this computer.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from singlab.cli import lab_environment
from singlab.lectures import checkout, lay_out
from tests.conftest import outside
from tests.test_notebooks import FAILURES
from tests.widgets.test_console import ECHO

pytestmark = pytest.mark.browser
CONSOLE = f"""
from singlab.machine import Board
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.widgets import Console

board = Board(ram="1M")
board.machine.write(0x8000_0000, assemble({ECHO!r}, 0x8000_0000).code)
board.machine.m[s.PC] = 0x8000_0000
Console(board, height=8)
"""
SHOTS = Path(__file__).resolve().parent.parent / "build" / "screenshots"


@pytest.fixture(scope="module")
def server(tmp_path_factory, request):
    """A running ``singlab lab`` over a fresh course folder; yields its address."""
    from tests.conftest import need_browser

    need_browser()
    folder = tmp_path_factory.mktemp("course")
    lay_out(folder)
    shutil.copy(checkout() / "solutions" / "ex00_first_sip.ipynb", folder / "solved.ipynb")
    console = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A console"), nbformat.v4.new_code_cell(CONSOLE)])
    console.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(console, folder / "console.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "server.log").open("w")
    environment = {
        **lab_environment(),
        "JUPYTER_TOKEN": "classroom",
        # the theme chosen below must not become this user's own
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "singlab", "lab", str(folder), "--port", str(port), "--no-browser"],
        env=environment, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(720):
            try:
                urllib.request.urlopen(f"{address}/api?token=classroom", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.25)
        else:
            pytest.fail("JupyterLab did not come up:\n" + (folder / "server.log").read_text())
        yield address
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def kernels_end(server):
    """Let the kernels of the notebooks that a test has opened end with it: each has half a gigabyte."""
    yield
    with urllib.request.urlopen(f"{server}/api/kernels?token=classroom", timeout=20) as answer:
        kernels = json.load(answer)
    for kernel in kernels:
        urllib.request.urlopen(urllib.request.Request(f"{server}/api/kernels/{kernel['id']}?token=classroom", method="DELETE"), timeout=30).close()


def menu(page, *path: str) -> None:
    """Choose an entry of JupyterLab's menu."""
    page.locator(".lm-MenuBar-itemLabel", has_text=path[0]).first.click()
    for entry in path[1:]:
        page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{re.escape(entry)}$")).last.click()


def run_all(page, seconds: int = 120) -> None:
    """Run all cells and wait until none is running and the kernel rests."""
    page.wait_for_function("() => document.body.innerText.includes('| Idle')", timeout=90_000)  # the status bar
    menu(page, "Run", "Run All Cells")
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.textContent);
            return prompts.some(p => /\\d/.test(p)) && !prompts.some(p => p.includes('*'));
        }""",
        timeout=1000 * seconds,
    )


def _position(view) -> int:
    return int(view.locator("[data-testid=sl-sentence]").get_attribute("data-position"))


def test_lecture_00_in_jupyterlab(server, watched_page):
    SHOTS.mkdir(parents=True, exist_ok=True)
    with watched_page(viewport={"width": 1360, "height": 950}) as page:
        page.goto(f"{server}/lab/tree/notebooks/00_tour.ipynb?token=classroom")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        page.wait_for_selector(".jp-Notebook h1 >> text=A tour", timeout=60_000)
        page.screenshot(path=SHOTS / "opened.png")

        run_all(page)
        view = page.locator(".singlab-view").first
        view.wait_for(state="attached", timeout=60_000)
        view.scroll_into_view_if_needed()
        play = view.locator("[data-testid=sl-play]")
        play.wait_for(state="visible", timeout=60_000)
        page.wait_for_timeout(500)

        before = _position(view)
        for click in range(3):
            view.locator("[data-testid=sl-step]").click()
            page.wait_for_function(
                f"() => Number(document.querySelector('.singlab-view [data-testid=sl-sentence]').dataset.position) > {before + click}"
            )
        assert _position(view) == before + 3
        first = view.locator("[data-testid=sl-sentence]").inner_text()

        view.locator("[data-testid=sl-back]").click()
        page.wait_for_function(
            f"() => Number(document.querySelector('.singlab-view [data-testid=sl-sentence]').dataset.position) === {before + 2}"
        )

        # play until there has been some conversation, at a brisk speed
        view.locator("[data-testid=sl-speed]").evaluate("node => { node.value = 5; node.dispatchEvent(new Event('input')); }")
        arrows = view.locator("[data-testid=sl-messages] .sl-message")
        play.click()
        page.wait_for_function(
            f"() => Number(document.querySelector('.singlab-view [data-testid=sl-sentence]').dataset.position) > {before + 80}",
            timeout=30_000,
        )
        page.locator(".sl-messages").scroll_into_view_if_needed()
        page.wait_for_timeout(200)
        page.screenshot(path=SHOTS / "playing.png")
        play.click()
        assert arrows.count() > 0
        assert view.locator("[data-testid=sl-memory] rect[fill]").count() > 0
        assert view.locator("[data-testid=sl-threads] rect[data-event]").count() > 0
        assert view.locator("[data-testid=sl-sentence]").inner_text() != first
        rest = _position(view)
        page.wait_for_timeout(400)
        assert _position(view) == rest, "the view goes on after pause"

        assert page.locator("text=owner.use-after-send").count(), "the verifier's refusal is missing"
        assert page.locator("text=the seal is broken").count(), "the loader's refusal is missing"
        plot = page.locator(".jp-OutputArea-output img").first
        plot.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        page.screenshot(path=SHOTS / "plot.png")
        assert page.errors == []
        assert outside(page.requests) == []


def test_exercise_in_a_narrow_dark_window(server, watched_page):
    """The solved exercise, run in half a window with the dark theme: the checks pass, the view keeps inside."""
    with watched_page(viewport={"width": 860, "height": 950}) as page:
        page.goto(f"{server}/lab/workspaces/narrow/tree/solved.ipynb?token=classroom")
        page.wait_for_selector(".jp-Notebook h1 >> text=Exercise 00", timeout=60_000)
        menu(page, "Settings", "Theme", "JupyterLab Dark")
        page.keyboard.press("Control+b")  # more room for the notebook
        run_all(page)
        page.screenshot(path=SHOTS / "solved.png")
        page.locator("text=points in the visible checks").first.scroll_into_view_if_needed()
        page.screenshot(path=SHOTS / "checks.png")
        assert "7 of 7 points in the visible checks" in page.locator(".jp-Notebook").inner_text()
        view = page.locator(".singlab-view").first
        view.scroll_into_view_if_needed()
        for _ in range(60):
            view.locator("[data-testid=sl-step]").click()
        page.wait_for_timeout(300)
        page.screenshot(path=SHOTS / "dark.png")
        view.scroll_into_view_if_needed()
        box, around = view.bounding_box(), page.locator(".jp-Notebook").first.bounding_box()
        assert box["x"] + box["width"] <= around["x"] + around["width"] + 1
        paper = view.evaluate("node => getComputedStyle(node).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", paper)[:3]) < 100, f"the view is light ({paper}) in a dark theme"
        assert page.errors == []
        assert outside(page.requests) == []


def _shade(locator) -> int:
    """Return the brightest part of an element's background colour, 0 to 255."""
    return max(int(part) for part in re.findall(r"\d+", locator.evaluate("node => getComputedStyle(node).backgroundColor"))[:3])


def test_lecture_01_through_a_trap_and_back(server, watched_page):
    """The machine view in the lecture: into the kernel by one step, back by one, with the dark theme put on between."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with watched_page(viewport={"width": 1360, "height": 950}) as page:
        page.goto(f"{server}/lab/workspaces/hardware/tree/notebooks/01_hardware.ipynb?token=classroom")
        page.wait_for_selector(".jp-Notebook h1 >> text=Lecture 01", timeout=60_000)
        menu(page, "Settings", "Theme", "JupyterLab Light")  # the server remembers what another test chose
        run_all(page)
        page.locator(".jp-Notebook h3", has_text="Over the border").scroll_into_view_if_needed()
        views = page.locator(".sm-view")
        views.first.wait_for(state="attached", timeout=60_000)
        view = views.filter(has_text="<user+0x8>").first
        view.wait_for(state="attached", timeout=60_000)
        view.scroll_into_view_if_needed()
        status, csrs = view.locator("[data-testid=sm-status]"), view.locator("[data-pane=csrs] .sm-body")
        assert "U mode" in status.inner_text() and "ecall from U mode" not in csrs.inner_text()

        view.locator("[data-testid=sm-step]").click()
        page.wait_for_function("node => node.innerText.includes('S mode')", arg=status.element_handle())
        assert "ecall from U mode" in csrs.inner_text() and "<user+0x8>" in csrs.inner_text()
        assert "mstatus" not in csrs.inner_text(), "the lecture asks for four registers"
        page.screenshot(path=SHOTS / "trap.png")

        assert _shade(view) > 200
        menu(page, "Settings", "Theme", "JupyterLab Dark")
        page.wait_for_function("node => Math.max(...getComputedStyle(node).backgroundColor.match(/\\d+/g).slice(0, 3)) < 100",
                               arg=view.element_handle())  # fmt: skip
        view.locator("[data-testid=sm-back]").click()
        page.wait_for_function("node => node.innerText.includes('U mode')", arg=status.element_handle())
        assert "here" not in status.inner_text(), "how a move was ended is no news when it went where it was to go"
        assert "ecall from U mode" not in csrs.inner_text(), "going back leaves the trap's traces"
        page.screenshot(path=SHOTS / "trap-dark.png")
        menu(page, "Settings", "Theme", "JupyterLab Light")
        view.scroll_into_view_if_needed()
        box, around = view.bounding_box(), page.locator(".jp-Notebook").first.bounding_box()
        assert box["x"] + box["width"] <= around["x"] + around["width"] + 1

        folded = page.locator(".jp-Notebook details").first
        folded.scroll_into_view_if_needed()
        assert not folded.locator("p").first.is_visible()
        folded.locator("summary").click()
        assert folded.locator("p").first.is_visible(), "an answer cannot be uncovered"
        assert not page.locator(".jp-Notebook [data-mime-type='application/vnd.jupyter.stderr']").count()
        assert page.errors == []
        assert outside(page.requests) == []


def _sides(view, channel: int) -> list[str]:
    """Return what the card of a channel says of its two sides."""
    return view.locator(f"[data-channel='{channel}'] .sl-chip span").all_inner_texts()


def _step_until(page, view, done, most: int = 120) -> None:
    """Step a view until something is so."""
    for _ in range(most):
        if done():
            return
        before = _position(view)
        view.locator("[data-testid=sl-step]").click()
        page.wait_for_function("([node, before]) => Number(node.dataset.position) > before",
                               arg=[view.locator("[data-testid=sl-sentence]").element_handle(), before])  # fmt: skip
    pytest.fail(f"not so after {most} steps")


def test_lecture_04_shows_where_each_side_of_a_contract_stands(server, watched_page):
    """The contract is drawn beside the run, the states of both sides are marked in it, and an end that is sent changes hands."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with watched_page(viewport={"width": 1360, "height": 1000}) as page:
        page.goto(f"{server}/lab/workspaces/contracts/tree/notebooks/04_channels_and_contracts.ipynb?token=classroom")
        page.wait_for_selector(".jp-Notebook h1 >> text=Lecture 04", timeout=60_000)
        menu(page, "Settings", "Theme", "JupyterLab Light")
        run_all(page)
        page.locator(".jp-Notebook h3", has_text="And watch it").scroll_into_view_if_needed()
        view = page.locator(".singlab-view").filter(has_text="Card").filter(has_text="driver").first
        view.wait_for(state="attached", timeout=60_000)
        view.scroll_into_view_if_needed()
        card = view.locator("[data-channel='1']")
        marked = card.locator(".sl-now-here > title")
        assert marked.count() == 0 and all("not yet open" in side for side in _sides(view, 1))

        _step_until(page, view, lambda: "user (Imp): Configure.1" in _sides(view, 1)[0])
        assert "driver (Exp): Configure" in _sides(view, 1)[1], "the driver has not received it yet"
        assert sorted(marked.all_text_contents()) == ["Configure", "Configure.1"]
        halves = {title: [card.locator(f".s:has(> title:text-is('{title}')) > .{side}").evaluate("node => node.style.fill")
                          for side in ("imp", "exp")] for title in ("Configure", "Configure.1")}  # fmt: skip
        assert not halves["Configure"][0] and halves["Configure"][1], "the right half is the server's"
        assert halves["Configure.1"][0] and not halves["Configure.1"][1], "the left half is the client's"
        card.scroll_into_view_if_needed()
        page.screenshot(path=SHOTS / "contract.png")
        box, around = card.locator("svg").bounding_box(), view.bounding_box()
        assert box["x"] >= around["x"] and box["x"] + box["width"] <= around["x"] + around["width"] + 1

        # while it plays, the marks move; the states named are states of the drawing
        states = set(card.locator(".s > title").all_text_contents())
        view.locator("[data-testid=sl-speed]").evaluate("node => { node.value = 5; node.dispatchEvent(new Event('input')); }")
        view.locator("[data-testid=sl-play]").click()
        seen = set()
        for _ in range(100):
            now = frozenset(marked.all_text_contents())
            seen.add(now)
            if len(seen) > 6:
                break
            page.wait_for_timeout(50)
        view.locator("[data-testid=sl-play]").click()
        assert len(seen) > 6 and set().union(*seen) <= states and all(len(now) <= 2 for now in seen)

        page.locator(".jp-Notebook h2", has_text="Waiting for several").scroll_into_view_if_needed()
        second = page.locator(".singlab-view").filter(has_text="event_driver").first
        second.wait_for(state="attached", timeout=60_000)
        second.scroll_into_view_if_needed()
        _step_until(page, second, lambda: any("event_user (Exp): Quiet" in side for side in _sides(second, 2)))
        _step_until(page, second, lambda: any("event_driver (Exp): Quiet.1" in side for side in _sides(second, 2)))
        second.locator("[data-channel='2']").scroll_into_view_if_needed()
        page.screenshot(path=SHOTS / "two-contracts.png")
        assert page.locator(".jp-Notebook >> text=endpoint.moved").count() and page.locator(".jp-Notebook >> text=contract.send-state").count()
        assert not page.locator(".jp-Notebook >> text=Traceback").count()
        assert page.errors == []
        assert outside(page.requests) == []


#: Lectures that are run through and looked over, and what must be seen in each.
LECTURES = {
    "02_open_and_sealed_processes": ("Invariant: closed API", "parent has 1 and the child ended with 7"),
    "05_exchange_heap_and_ownership": ("the block at", "fault: used a block it does not own", "refuses it: owner.merge"),
    "06_abi_and_sealed_kernel": ("NOT what was sealed", "owner.use-after-send", "the fee is 0 instead of 50"),
    "07_threads_and_scheduling": ("last come, first served", "thread 1 of team waits for another thread to end"),
    "08_garbage_collection": ("what was there when its first collection began", "fault: out of memory", "all at once"),
}
#: Cards of results that do not show all they have: what is cut off is behind a scroll bar that nobody looks for.
_CUT = """() => [...document.querySelectorAll('.jp-OutputArea-output .slv')]
    .filter(card => card.clientWidth > 0 && card.scrollWidth > card.clientWidth + 2).map(card => card.innerText.slice(0, 80))"""


#: Outputs of cells that failed; what a cell writes to standard error is none.
_FAILED = """() => [...document.querySelectorAll('.jp-OutputArea-output')].map(output => [output.dataset.mimeType || '', output.innerText.trim()])
    .filter(([type, text]) => /jupyter.(error|stderr)$/.test(type) && /^[A-Za-z]*Error\\b/.test(text)).map(([, text]) => text)"""


def _found(page, words: str) -> bool:
    """Whether words stand somewhere in the notebook, of which a page holds only the part in sight."""
    for place in range(0, 100):
        if page.locator(f".jp-Notebook >> text={words}").count():
            return True
        page.evaluate("place => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = 600 * place; }", place)
        page.wait_for_timeout(60)
    return False


@pytest.mark.parametrize("name", LECTURES)
def test_a_lecture_runs_through(server, watched_page, name):
    """No cell fails that is not meant to, no table is cut off, nothing leaves this computer; in a narrow dark window it stays inside."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with watched_page(viewport={"width": 1200, "height": 950}) as page:
        page.goto(f"{server}/lab/workspaces/{name[:2]}/tree/notebooks/{name}.ipynb?token=classroom")
        page.wait_for_selector(f".jp-Notebook h1 >> text=Lecture {name[:2]}", timeout=60_000)
        menu(page, "Settings", "Theme", "JupyterLab Light")  # the server remembers what another test chose
        run_all(page, seconds=400)
        failed = page.evaluate(_FAILED)
        meant = FAILURES.get(f"{name}.ipynb", [])
        # cells far out of sight may not be in the page; test_notebooks.py holds that each of those that are meant to fail does
        assert all(any(words in text for words in meant) for text in failed), failed
        assert not page.locator(".jp-Notebook >> text=Traceback").count()
        for words in LECTURES[name]:
            assert _found(page, words), words
        assert page.evaluate(_CUT) == []
        page.keyboard.press("Control+b")  # more room for the notebook
        page.set_viewport_size({"width": 860, "height": 950})
        menu(page, "Settings", "Theme", "JupyterLab Dark")
        page.wait_for_timeout(500)
        around = page.locator(".jp-Notebook").first.bounding_box()
        outputs = page.locator(".jp-OutputArea-output").evaluate_all("nodes => nodes.map(node => node.getBoundingClientRect().right)")
        assert max(outputs) <= around["x"] + around["width"] + 1, "an output is wider than the notebook"
        page.locator(".jp-OutputArea-output .slv").first.scroll_into_view_if_needed()
        page.screenshot(path=SHOTS / f"lecture-{name[:2]}-dark.png")
        assert page.errors == []
        assert outside(page.requests) == []


def test_a_console_is_typed_into(server, watched_page):
    with watched_page(viewport={"width": 1000, "height": 700}) as page:
        page.goto(f"{server}/lab/workspaces/console/tree/console.ipynb?token=classroom")
        page.wait_for_selector(".jp-Notebook h1 >> text=A console", timeout=60_000)
        run_all(page)
        screen, state = page.locator("[data-testid=sc-screen]"), page.locator("[data-testid=sc-state]")
        screen.wait_for(state="visible", timeout=60_000)
        screen.click()
        page.keyboard.type("dd hello")  # as a command of the notebook, dd would delete the cell
        page.keyboard.press("Enter")
        page.wait_for_function("node => node.innerText.includes('dd hello')", arg=screen.element_handle())
        assert page.locator(".jp-CodeCell").count() == 1, "the notebook heard keys meant for the console"
        page.screenshot(path=SHOTS / "console-lab.png")
        menu(page, "Settings", "Theme", "JupyterLab Dark")
        page.wait_for_timeout(300)
        page.screenshot(path=SHOTS / "console-lab-dark.png")
        menu(page, "Settings", "Theme", "JupyterLab Light")
        page.wait_for_function("() => document.body.dataset.jpThemeLight === 'true'")  # a closing menu gives the focus back, to whoever had it
        screen.click()
        page.get_by_text("Shift+Tab leaves the keyboard").wait_for()
        page.keyboard.type("q")
        page.wait_for_function("node => node.innerText.includes('ended with code 3')", arg=state.element_handle())
        assert page.errors == []
        assert outside(page.requests) == []
