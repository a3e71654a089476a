"""The live view's Python half: it runs its source when asked, sends what is new, and leaves a picture behind."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from singlab.experiments.message_size import programs
from singlab.kernel import System
from singlab.trace.record import EVENT
from singlab.widgets import LiveView


def talking(rounds: int = 20) -> System:
    """Return a system with two processes that have not begun."""
    client_image, server_image = programs()
    system = System()
    client = system.create(client_image, size=16, warm_up=0, rounds=rounds)
    server = system.create(server_image)
    system.connect(client["ch"], server["ch"])
    return system


@pytest.fixture
def sent(monkeypatch):
    """Everything a view sends to its front end."""
    frames = []
    monkeypatch.setattr(LiveView, "send", lambda self, content, buffers=None: frames.append((content, buffers or [])))
    return frames


def events_of(view, frames) -> np.ndarray:
    """Return the events a front end would have after these frames."""
    data = bytes(view.events)
    for content, buffers in frames:
        if content["first"] * EVENT.itemsize == len(data):
            data += b"".join(buffers)
    return np.frombuffer(data, dtype=EVENT)


def test_a_trace_is_all_there_at_once(sent):
    system = talking()
    system.run()
    view = LiveView(system.trace)
    assert view.done and view.total == len(system.trace)
    assert (np.frombuffer(view.events, dtype=EVENT) == system.trace.events).all()


def test_frames_add_up_to_the_run(sent):
    """Asked in odd portions, the view ends with exactly the events of the same run done at once."""
    other = talking()
    other.run()
    system = talking()
    view = LiveView(system)
    for count in (1, 3, 50, 1, 100_000):
        view._message(view, {"type": "need", "count": count}, [])
    assert view.done and system.done
    assert (events_of(view, sent) == other.trace.events).all()


def test_the_run_advances_in_a_task_and_the_loop_stays_free(sent):
    system = talking(rounds=300)
    view = LiveView(system)
    turns = 0

    async def main():
        nonlocal turns
        view._message(view, {"type": "need", "count": 4000}, [])
        while not view._task.done():
            turns += 1
            await asyncio.sleep(0)

    asyncio.run(main())
    assert len(system.trace) >= 4000 and turns > 5
    assert (events_of(view, sent) == system.trace.events).all()


def test_a_late_front_end_gets_what_it_missed(sent):
    view = LiveView(talking())
    view.advance(30)
    sent.clear()
    view._message(view, {"type": "ready", "have": 4}, [])
    (content, buffers), = sent
    assert content["first"] == 4 and len(buffers[0]) == (view.total - 4) * EVENT.itemsize


@pytest.mark.parametrize("content", [{}, {"type": "need"}, {"type": "need", "count": -5}, {"type": "other"}, {"type": "ready", "have": 10**9}])
def test_odd_messages_do_no_harm(sent, content):
    view = LiveView(talking())
    view._message(view, content, [])
    assert (events_of(view, sent) == view.trace.events).all()


def test_the_still_picture_looks_ahead_and_the_view_does_not_move(sent):
    system = talking()
    view = LiveView(system)
    before, total = system.machine.m.copy(), view.total
    bundle = view._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "data-replay" in data["text/html"] and "<td>echo_client</td>" in data["text/html"]
    assert (system.machine.m == before).all() and view.total == total
    system.run()
    other = talking()
    other.run()
    assert (system.trace.events == other.trace.events).all()
