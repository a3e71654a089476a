"""A console for notebooks: shows what a booted board prints, and types what the reader types.

The board is handed in; anything will do that has ``run(cycles, wait)``, ``type(data)``, ``printed``,
``seconds_to_timer()`` and ``pass_seconds(seconds)``. It runs in an asyncio task, in short slices, so the
notebook's kernel answers in between; while the guest waits, so does the task. What changed on the
screen is sent at most 30 times a second.
"""

from __future__ import annotations

import asyncio
import html
import time

import anywidget
import traitlets

from singlab.widgets.assets import script, style
from singlab.widgets.screen import Screen

#: How long a slice shall take, and how far apart frames are (seconds).
_SLICE_SECONDS, _FRAME_SECONDS = 0.015, 1 / 30
_FIRST_SLICE, _LEAST_SLICE = 200_000, 10_000
_NAP = 1.0
#: Most keys that wait for the guest, in bytes.
_MOST_TYPED = 1 << 16


class Console(anywidget.AnyWidget):
    """Show a board's console and run the board.

    Parameters
    ----------
    board : Board
        A board with a program in it.
    running : bool
        Run as soon as the console is shown.
    height : int
        Rows that are shown; the others scroll.

    Attributes
    ----------
    running, ended : bool
    status : str
        What the board does, in a few words.
    text : str
        The screen when the board last came to rest.
    """

    _esm = script("console")
    _css = style("console")
    text = traitlets.Unicode("").tag(sync=True)
    status = traitlets.Unicode("stopped").tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    ended = traitlets.Bool(False).tag(sync=True)
    height = traitlets.Int(20).tag(sync=True)

    def __init__(self, board, running: bool = True, height: int = 20, **traits):
        self._board = board
        self.screen = Screen()
        self._shown = 0
        self._typed = bytearray()
        self._task: asyncio.Task | None = None
        self._key: asyncio.Event | None = None
        self._slice, self._last_frame, self._dirty = _FIRST_SLICE, 0.0, False
        self._wanted = running
        super().__init__(height=max(3, min(100, height)), **traits)
        self._take()
        self.text = self.screen.text
        self.on_msg(self._message)

    # ---- conversation with the front end --------------------------------------------------------------------

    def _message(self, _widget, content: dict, _buffers) -> None:
        kind = content.get("type")
        if kind == "ready":
            self._frame(everything=True)
            if self._wanted:
                self._wanted = False
                self.go_on()
        elif kind == "keys":
            self.type(str(content.get("text", "")))
        elif kind == "go":
            self.go_on()
        elif kind == "stop":
            self.stop()

    def type(self, text: str) -> None:
        """Type a text on the board's console."""
        self._typed += text.encode("utf-8", "replace")[: max(0, _MOST_TYPED - len(self._typed))]
        if self._key is not None:
            self._key.set()

    def go_on(self) -> None:
        """Run the board from now on, in the background."""
        if self.ended or (self._task is not None and not self._task.done()):
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("a console runs its board in a notebook; elsewhere, call the board's own run()") from None
        self._task = loop.create_task(self._run())

    def stop(self) -> None:
        """Let the board stand still."""
        self.running = False
        if self._key is not None:
            self._key.set()

    def _frame(self, everything: bool = False) -> None:
        """Send what has changed on the screen."""
        screen = self.screen
        start = screen.first if everything else max(screen.first, min(screen.changed, screen.end - 1))
        self.send({
            "type": "frame", "first": screen.first, "start": start, "lines": screen.lines[start - screen.first :],
            "column": screen.column,
        })  # fmt: skip
        if not everything:
            screen.changed = screen.end
            self._dirty, self._last_frame = False, time.monotonic()

    # ---- running ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._key = asyncio.Event()
        self.running, self.status = True, "running"
        try:
            while self.running:
                wait = self.advance()
                if self.ended:
                    break
                now = time.monotonic()
                if self._dirty and now - self._last_frame >= _FRAME_SECONDS:
                    self._frame()
                if wait is None:
                    await asyncio.sleep(0)
                    continue
                if self._dirty:
                    wait = min(wait, max(0.0, _FRAME_SECONDS - (now - self._last_frame)))
                await self._sleep(wait)
        except Exception as error:
            self.ended, self.status = True, f"stopped: {error}"
            raise
        finally:
            if not self.ended:
                self.status = "stopped"
            self.running = False
            self._rest()

    def advance(self) -> float | None:
        """Run the board for one slice; returns None, or for how many seconds it now waits if no key comes."""
        board = self._board
        typed = board.type(bytes(self._typed)) if self._typed else 0
        del self._typed[:typed]
        start = time.monotonic()
        ended = board.run(cycles=self._slice, wait=False)
        seconds = time.monotonic() - start
        self._take()
        if ended.reason == "limit":
            if seconds < _SLICE_SECONDS / 2:
                self._slice *= 2
            elif seconds > _SLICE_SECONDS * 2:
                self._slice = max(_LEAST_SLICE, self._slice // 2)
            return None
        if ended.reason != "wfi":
            self.ended, self.running, self.status = True, False, ended.message
            self._rest()
            return None
        timer = board.seconds_to_timer()
        return 0.0 if typed else min(_NAP, _NAP if timer is None else timer)

    async def _sleep(self, seconds: float) -> None:
        """Let the guest wait, until a key if one comes first."""
        start = time.monotonic()
        if not self._typed:
            self._key.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._key.wait()
            except TimeoutError:
                pass
        self._board.pass_seconds(time.monotonic() - start)

    def _take(self) -> None:
        """Print what the board has printed since the last time."""
        printed = self._board.printed
        if len(printed) < self._shown:  # the board went back to a snapshot
            self.screen, self._shown = Screen(), 0
        if len(printed) > self._shown:
            self.screen.feed(bytes(printed[self._shown :]))
            self._shown, self._dirty = len(printed), True

    def _rest(self) -> None:
        """Leave the screen where a saved notebook finds it."""
        self._frame()
        self.text = self.screen.text

    # ---- where no front end runs ------------------------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs):
        """Add the text for places that show no widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data = dict(data or {})
        data["text/plain"] = self.screen.text or "<Console>"
        data.setdefault("text/html", f"<pre>{html.escape(self.screen.text)}</pre><p>The console needs a running notebook.</p>")
        return data, metadata
