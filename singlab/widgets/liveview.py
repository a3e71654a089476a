"""The live view: threads, memory, messages and contracts of a run, played forwards and backwards.

It reads events only. Given a trace it replays it; given a live source (anything with ``trace``,
``advance(events=n)``, ``done``, ``snapshot()`` and ``restore(...)``, as a system has) it runs the source when the play head reaches
what is known. The front end asks, an asyncio task runs the source in short slices and sends frames of
binary events; so a cell only starts the view and is free again.
"""

from __future__ import annotations

import asyncio
import json
import time

import anywidget
import numpy as np
import traitlets

from singlab.trace.record import EVENT, FAULTS
from singlab.trace.statemachine import drawings
from singlab.trace.trace import SENTENCES, Trace
from singlab.widgets.assets import script, style
from singlab.widgets.still import still_picture

#: Events run before the loop gets a turn, and seconds between two frames.
_SLICE_EVENTS = 256
_FRAME_SECONDS = 1 / 30
#: Events that a saved notebook keeps of a run that has only begun.
_PREVIEW_EVENTS = 1200


class LiveView(anywidget.AnyWidget):
    """Show a run in linked panes: threads, memory, messages, and the contract of each channel with its sides' states.

    Parameters
    ----------
    source : Trace or live source
        What to show.
    position : int
        Events that have happened when the view opens.
    speed : int
        Events a second when playing.

    Attributes
    ----------
    position, speed, total : int
    playing, done : bool
        ``done``: no more events can come.
    """

    _esm = script("model", "contracts", "view", "widget")
    _css = style()
    events = traitlets.Bytes(b"").tag(sync=True)
    meta = traitlets.Dict().tag(sync=True)
    drawings = traitlets.Dict().tag(sync=True)
    sentences = traitlets.Dict().tag(sync=True)
    faults = traitlets.Dict().tag(sync=True)
    position = traitlets.Int(0).tag(sync=True)
    speed = traitlets.Int(8).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)
    done = traitlets.Bool(True).tag(sync=True)
    total = traitlets.Int(0).tag(sync=True)

    def __init__(self, source, position: int = 0, speed: int = 8, **traits):
        live = not isinstance(source, Trace)
        trace = source.trace if live else source
        self._source = source if live else None
        self._sent = len(trace)
        self._meta_sent = json.dumps(trace.meta, sort_keys=True)
        self._task: asyncio.Task | None = None
        super().__init__(
            events=trace.events.tobytes(),
            meta=trace.meta,
            drawings=drawings(trace.meta),
            sentences={str(int(k)): v for k, v in SENTENCES.items()},
            faults={str(k): v for k, v in FAULTS.items()},
            position=min(position, len(trace)),
            speed=speed,
            done=source.done if live else True,
            total=len(trace),
            **traits,
        )
        self.on_msg(self._message)

    @property
    def trace(self) -> Trace:
        """The run so far."""
        if self._source is not None:
            return self._source.trace
        events = np.frombuffer(self.events, dtype=EVENT)
        return Trace(events, self.meta)

    # ---- conversation with the front end -------------------------------------------------------------------

    def _message(self, _widget, content: dict, _buffers) -> None:
        if content.get("type") == "ready":
            have = int(content.get("have", 0))
            if have < self._sent:
                self._frame(have)
        elif content.get("type") == "need":
            count = max(1, min(100_000, int(content.get("count", 1))))
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self.advance(count)
                return
            if self._task is None or self._task.done():
                self._task = loop.create_task(self._advance(count))

    async def _advance(self, count: int) -> None:
        """Run the source until so many more events are known, in slices, with frames at a bounded rate."""
        start, last = self._sent, time.monotonic()
        while self._source is not None and not self._source.done:
            left = start + count - self._known()
            if left <= 0:
                break
            self._source.advance(events=min(left, _SLICE_EVENTS))
            if time.monotonic() - last > _FRAME_SECONDS:
                self._frame(self._sent)
                last = time.monotonic()
            await asyncio.sleep(0)
        self._frame(self._sent)

    def _known(self) -> int:
        return len(self._source.trace) if self._source is not None else self.total

    def advance(self, events: int = 1) -> None:
        """Run the source for so many events and show them."""
        if self._source is not None and not self._source.done:
            self._source.advance(events=events)
        self._frame(self._sent)

    def _frame(self, first: int) -> None:
        """Send events from ``first`` on, and the names if they have changed."""
        trace = self.trace
        done = self._source.done if self._source is not None else True
        content = {"type": "frame", "first": first, "done": done}
        names = {**trace.meta, "cycles": 0}
        text = json.dumps(names, sort_keys=True)
        if text != self._meta_sent:
            content["meta"], content["drawings"], self._meta_sent = trace.meta, drawings(trace.meta), text
        data = trace.events[first:].tobytes()
        self._sent = len(trace)
        self.total, self.done = self._sent, done
        self.send(content, [data])

    # ---- where no front end runs ------------------------------------------------------------------------------

    def _preview(self) -> Trace:
        """Return what a page without a kernel can replay: the run so far and a while beyond it.

        The source goes ahead and back again, so that the view itself starts where it stood.
        """
        if self._source is None or self._source.done:
            return self.trace
        here = self._source.snapshot()
        self._source.advance(events=_PREVIEW_EVENTS)
        trace = self._source.trace
        self._source.restore(here)
        return trace

    def _repr_mimebundle_(self, **kwargs):
        """Add a still picture for places that show no widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data = dict(data or {})
        data.setdefault("text/html", still_picture(self._preview()))
        data["text/plain"] = f"<LiveView of a {repr(self.trace).strip(chr(60) + chr(62))}>"
        return data, metadata
