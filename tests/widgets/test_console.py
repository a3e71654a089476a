"""The console: what a guest prints becomes lines, keys reach the guest, and the board runs beside the notebook's own work."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singlab.machine import Board
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.widgets import Console
from singlab.widgets.assets import script, style
from singlab.widgets.screen import Screen
from tests.conftest import outside

#: Greets, then gives back each byte typed, a newline behind each carriage return; "q" ends it with code 3. Waits in wfi.
ECHO = """
        li   s0, 0x10000000
        li   s1, 0x0c000000
        li   t0, 1
        sb   t0, 1(s0)
        sw   t0, 40(s1)
        li   t0, 0x400
        li   t1, 0x0c002000
        sw   t0, 0(t1)
        li   t0, 0x800
        csrw mie, t0
        li   a0, 62
        sb   a0, 0(s0)
wait:   wfi
drain:  lbu  t0, 5(s0)
        andi t0, t0, 1
        beqz t0, wait
        lbu  a0, 0(s0)
        li   t1, 113
        beq  a0, t1, end
        sb   a0, 0(s0)
        li   t1, 13
        bne  a0, t1, drain
        li   a0, 10
        sb   a0, 0(s0)
        j    drain
end:    li   t0, 0x33333
        li   t1, 0x100000
        sw   t0, 0(t1)
        j    end
"""
CHATTER = "li s0, 0x10000000\nli a0, 120\nli a1, 10\nloop: sb a0, 0(s0)\nsb a1, 0(s0)\nj loop"


def guest(text: str) -> Board:
    made = Board(ram="1M")
    made.machine.write(s.RAM_BASE, assemble(text, s.RAM_BASE).code)
    made.machine.m[s.PC] = s.RAM_BASE
    return made


@pytest.fixture
def sent(monkeypatch):
    """Everything a console sends to its front end."""
    frames = []
    monkeypatch.setattr(Console, "send", lambda self, content, buffers=None: frames.append(json.loads(json.dumps(content))))
    return frames


def lines_of(frames: list[dict]) -> tuple[int, list[str]]:
    """Return what a front end that got these frames shows: number of its first line, and the lines."""
    first, lines = 0, [""]
    for frame in frames:
        if frame["start"] < first or frame["start"] > first + len(lines):
            first, lines = frame["start"], []
        lines = lines[: frame["start"] - first] + frame["lines"]
        lines, first = lines[max(0, frame["first"] - first) :], max(first, frame["first"])
    return first, lines


# ---- the screen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "text", "column"),
    [
        (b"abc", "abc", 3), (b"abc\n", "abc\n", 0), (b"abc\r\ndef", "abc\ndef", 3), (b"abc\rX", "Xbc", 1), (b"abc\b\bX", "aXc", 2),
        (b"ab\b \b", "a ", 1), (b"\b\bx", "x", 1), (b"a\tb", "a       b", 9), (b"\x07a\0b\x7fc", "abc", 3), ("é→".encode(), "é→", 2),
        (b"a\xffb", "a\ufffdb", 3), (b"\x1b[1;31mred\x1b[0m", "red", 3), (b"old\x1b[2Jnew", "new", 3), (b"old\n\x1b[H\x1b[Jx", "old\nx", 1),
        (b"abcdef\r\x1b[Kx", "x", 1), (b"\x1b(Bx", "Bx", 2), (b"<b>&", "<b>&", 4), (b"\xc2\x9b1m", "\ufffd1m", 3),
    ],
)  # fmt: skip
def test_what_is_printed_becomes_lines(printed, text, column):
    screen = Screen()
    screen.feed(printed)
    assert (screen.text, screen.column) == (text, column)


@given(st.binary(max_size=300) | st.text("ab\r\n\b\t\x1b[2JK;é", max_size=300).map(str.encode), st.lists(st.integers(0, 300), max_size=5))
def test_pieces_make_no_difference(data, cuts):
    """However the output is cut up, the screen is the same, has no control characters, and says what changed."""
    whole, pieces, seen = Screen(rows=5, columns=20), Screen(rows=5, columns=20), [(0, "")]
    whole.feed(data)
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    for a, b in zip(edges, edges[1:]):
        pieces.feed(data[a:b])
        start = max(pieces.first, min(pieces.changed, pieces.end - 1))
        kept = [(n, t) for n, t in seen if pieces.first <= n < start]
        seen = kept + list(enumerate(pieces.lines[start - pieces.first :], start))
        pieces.changed = pieces.end
        assert seen == list(enumerate(pieces.lines, pieces.first))
    assert (whole.lines, whole.first, whole.column) == (pieces.lines, pieces.first, pieces.column)
    assert (
        len(whole.lines) <= 5 and max(map(len, whole.lines)) <= 20 and whole.text.replace("\n", "").isprintable() or "\ufffd" in whole.text
    )


# ---- the Python half ------------------------------------------------------------------------------------------------


def test_a_conversation(sent):
    console = Console(guest(ECHO), running=False)
    console._message(console, {"type": "ready"}, [])
    while console.advance() is None:
        pass
    assert console.screen.text == ">"
    console._message(console, {"type": "keys", "text": "hällo\r"}, [])
    for _ in range(20):
        console.advance()
    assert console.screen.text == ">hällo\n"
    console.type("q")
    for _ in range(20):
        if not console.ended:
            console.advance()
    assert console.ended and console.status == "the program ended with code 3" and console.text == ">hällo\n"
    assert lines_of(sent) == (0, [">hällo", ""])


def test_it_runs_beside_other_work(sent):
    """In a task of its own: the loop gets its turns while the guest runs, sleeps while it waits, and wakes for a key."""
    console = Console(guest(ECHO))
    turns = 0

    async def main():
        nonlocal turns
        console._message(console, {"type": "ready"}, [])
        assert console.running is False or console._task is not None
        for _ in range(200):
            turns += 1
            await asyncio.sleep(0.005)
            if console.screen.text == ">":
                break
        console.type("abc\rq")
        await asyncio.wait_for(console._task, 60)

    asyncio.run(main())
    assert console.ended and not console.running and lines_of(sent) == (0, [">abc", ""])


def test_a_guest_that_prints_without_end_is_stopped_and_goes_on(sent):
    """Frames come at most thirty times a second and hold what changed only; the screen keeps its last lines."""
    console = Console(guest(CHATTER))

    start = time.monotonic()

    async def main():
        console.go_on()
        first = console._task
        console.go_on()
        assert console._task is first, "it runs once"
        while console.screen.first < 5000:
            await asyncio.sleep(0.01)
        console.stop()
        await asyncio.wait_for(console._task, 60)
        assert console.status == "stopped" and not console.running and not console.ended
        stood = int(console._board.machine.m[s.CYCLES])
        await asyncio.sleep(0.05)
        assert int(console._board.machine.m[s.CYCLES]) == stood
        console.go_on()
        await asyncio.sleep(0.2)
        assert int(console._board.machine.m[s.CYCLES]) > stood
        console.stop()
        await console._task

    asyncio.run(main())
    assert len(sent) <= (time.monotonic() - start) * 30 + 4
    first, lines = lines_of(sent)
    assert (first, lines) == (console.screen.first, console.screen.lines) and len(lines) == 2000
    assert console.text == "\n".join(lines)


def test_an_error_of_the_board_is_shown(sent):
    board = guest(CHATTER)
    board._output = lambda data: 1 / 0
    console = Console(board)

    async def main():
        console.go_on()
        with pytest.raises(ZeroDivisionError):
            await console._task

    asyncio.run(main())
    assert console.ended and "division" in console.status


@pytest.mark.parametrize(
    "content", [{}, {"type": "keys"}, {"type": "keys", "text": 7}, {"type": "other"}, {"type": "stop"}, {"type": "keys", "text": "\ud800"}]
)
def test_odd_messages_do_no_harm(sent, content):
    console = Console(guest(ECHO), running=False)
    console._message(console, content, [])
    console.advance()
    assert console.screen.text.startswith(">") or not console.screen.text


def test_keys_that_nobody_reads_do_not_pile_up(sent):
    console = Console(guest("loop: j loop"), running=False)
    for _ in range(20):
        console.type("x" * 10_000)
    assert len(console._typed) <= 1 << 16


def test_outside_a_notebook_it_says_so(sent):
    with pytest.raises(RuntimeError, match="run\\(\\)"):
        Console(guest(ECHO)).go_on()


def test_it_follows_a_board_that_goes_back(sent):
    board = guest(ECHO)
    console = Console(board, running=False)
    console.advance()
    kept = board.snapshot()
    console.type("abc\r")
    for _ in range(5):
        console.advance()
    console._frame()
    board.restore(kept)
    console.advance()
    console._frame()
    assert console.screen.text == ">" and lines_of(sent) == (0, [">"])


def test_a_page_without_widgets_shows_the_text(sent):
    board = guest(ECHO)
    board.printed += b"<script>&"
    bundle = Console(board, running=False)._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["text/plain"] == "<script>&" and "&lt;script&gt;&amp;" in data["text/html"]


# ---- in a browser -----------------------------------------------------------------------------------------------------

#: A page with the console's own scripts, and in the place of a notebook a model whose messages the test passes on.
PAGE = """<!doctype html><meta charset="utf-8"><style>%(theme)s body { margin: 16px; background: var(--jp-layout-color0, #fff); }</style>
<style>%(style)s</style><body data-jp-theme-light="%(light)s"><div id="place"></div><script type="module">
%(script)s
const traits = %(traits)s, heard = {};
window.sent = [];
window.model = {
  get: (name) => traits[name],
  set(name, value) { traits[name] = value; (heard["change:" + name] || []).forEach((f) => f()); },
  send: (content) => window.sent.push(content),
  on(name, f) { (heard[name] ||= []).push(f); },
  off(name, f) { heard[name] = (heard[name] || []).filter((g) => g !== f); },
  hear: (content) => (heard["msg:custom"] || []).forEach((f) => f(content, [])),
};
window.gone = render({ model: window.model, el: document.getElementById("place") });
</script>"""
DARK = (
    ":root { --jp-ui-font-color1: #e0e0e0; --jp-ui-font-color2: #a8a8a8; --jp-border-color2: #555; --jp-layout-color0: #111; "
    "--jp-layout-color1: #212121; --jp-layout-color2: #2e2e2e; }"
)
SHOTS = Path(__file__).resolve().parent.parent.parent / "build" / "screenshots"


class Shown:
    """A console in a page: what either half says is carried to the other."""

    def __init__(self, page, console: Console, frames: list[dict], tmp_path, dark: bool = False):
        traits = {name: getattr(console, name) for name in ("text", "status", "running", "ended", "height")}
        path = tmp_path / "console.html"
        path.write_text(PAGE % {
            "theme": DARK if dark else "", "style": style("console"), "script": script("console"), "traits": json.dumps(traits),
            "light": str(not dark).lower(),
        }, encoding="utf-8")  # fmt: skip
        self.page, self.console, self.frames = page, console, frames
        page.goto(path.as_uri())
        page.wait_for_function("() => window.gone")
        console._wanted = False
        self.carry()

    def carry(self, slices: int = 10) -> None:
        """Pass messages on and let the board run."""
        for content in self.page.evaluate("window.sent.splice(0)"):
            self.console._message(self.console, content, [])
        for _ in range(slices):
            if not self.console.ended:
                self.console.advance()
        self.console._frame()
        self.page.evaluate("frames => frames.forEach((frame) => window.model.hear(frame))", self.frames)
        self.frames.clear()
        for name in ("status", "ended", "running"):
            self.page.evaluate("([name, value]) => window.model.set(name, value)", [name, getattr(self.console, name)])

    @property
    def lines(self) -> list[str]:
        return [
            t.replace("\u200b", "").rstrip() for t in self.page.eval_on_selector_all(".sc-line", "nodes => nodes.map((n) => n.textContent)")
        ]


@pytest.mark.browser
def test_typing_in_a_page(watched_page, sent, tmp_path):
    with watched_page() as page:
        shown = Shown(page, Console(guest(ECHO), running=False), sent, tmp_path)
        assert shown.lines == [">"]
        page.click("[data-testid=sc-screen]")
        page.keyboard.type("hello, wörld <b>")
        page.keyboard.press("Backspace")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Control+d")
        page.keyboard.press("ArrowUp")
        page.keyboard.insert_text("two\nlines")  # as pasting does
        assert page.evaluate("window.sent.map((m) => m.text || '').join('')") == "hello, wörld <b>\x7f\r\t\x04\x1b[Atwo\rlines"
        shown.carry(40)
        assert shown.lines == [">hello, wörld <b>", "        two", "lines"]
        page.keyboard.type("q")
        shown.carry(40)
        assert page.inner_text("[data-testid=sc-state]") == "the program ended with code 3"
        assert page.is_disabled("[data-testid=sc-go]") and page.errors == [] and outside(page.requests) == []
        page.evaluate("window.gone()")
        page.evaluate("window.model.hear({ type: 'frame', first: 0, start: 0, lines: ['x'], column: 0 })")
        assert shown.lines[0].startswith(">hello"), "a view that is gone listens no more"


@pytest.mark.browser
def test_the_screen_scrolls_and_stays_bounded(watched_page, sent, tmp_path):
    with watched_page() as page:
        board = guest("wfi")
        console = Console(board, running=False)
        shown = Shown(page, console, sent, tmp_path)
        for start in range(0, 5000, 500):
            board.printed += b"".join(b"line %d\n" % i for i in range(start, start + 500))
            console._take()
            shown.carry(0)
        assert shown.lines == [f"line {i}" for i in range(3001, 5000)] + [""]
        bottom = "n => n.scrollHeight - n.scrollTop - n.clientHeight"
        assert page.eval_on_selector("[data-testid=sc-screen]", bottom) < 2
        page.eval_on_selector("[data-testid=sc-screen]", "n => { n.scrollTop = 0; }")
        board.printed += b"more\n"
        console._take()
        shown.carry(0)
        assert page.eval_on_selector("[data-testid=sc-screen]", "n => n.scrollTop") == 0, "who reads above is left there"
        # another front end comes late and gets all that is left
        page.evaluate("window.model.send({ type: 'ready' })")
        shown.carry(0)
        assert shown.lines == [f"line {i}" for i in range(3002, 5000)] + ["more", ""]


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [420, 900])
def test_how_it_looks(watched_page, sent, tmp_path, dark, width):
    SHOTS.mkdir(parents=True, exist_ok=True)
    with watched_page(viewport={"width": width, "height": 600}) as page:
        board = guest(ECHO)
        board.printed += b"\nmini kernel is booting\n\ndisk: 64 sectors\n$ ls\n.              1 1 1024\n..             1 1 1024\nREADME         2 2 2403\ncat            2 3 32864\n"
        board.printed += b"$ cat README | a long line that goes on and on to see how it is broken: " + b"lorem ipsum dolor " * 8 + b"\n$ "
        console = Console(board, running=False)
        shown = Shown(page, console, sent, tmp_path, dark)
        page.click("[data-testid=sc-screen]")
        console.status, console.running = "running", True
        shown.carry(0)
        page.screenshot(path=SHOTS / f"console-{'dark' if dark else 'light'}-{width}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        contrast = page.evaluate(
            """() => {
                const shade = (c) => c.match(/[\\d.]+/g).slice(0, 3).map((v) => { v /= 255; return v <= .04 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; })
                    .reduce((a, v, i) => a + v * [.2126, .7152, .0722][i], 0);
                return ['.sc-screen', '.sc-state', '.sc-hint', '.sc-go', '.sc-cursor'].map((name) => {
                    let node = document.querySelector(name), back = node;
                    while (getComputedStyle(back).backgroundColor === 'rgba(0, 0, 0, 0)') back = back.parentElement;
                    const [a, b] = [shade(getComputedStyle(node).color), shade(getComputedStyle(back).backgroundColor)];
                    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
                });
            }"""
        )
        assert min(contrast) >= 4.5, contrast
