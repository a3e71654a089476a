"""Writing to and reading from the event ring in a machine's state (see :mod:`singlab.trace.record`)."""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.jit import jit
from singlab.trace.record import EVENT, Kind

_RING_BASE = np.uint64(_s.RING_BASE)
_RING_MASK = np.uint64(_s.RING_EVENTS - 1)
_COUNT = _s.EVENT_COUNT
_ON = _s.TRACE_ON
_CYCLES, _DUE_0, _DUE_1, _DUE_2, _DUE_3 = _s.CYCLES, _s.DUE_0, _s.DUE_1, _s.DUE_2, _s.DUE_3
_THREAD = _s.CURRENT_THREAD
_PROCESS = _s.CURRENT_PROCESS
_W1, _W2, _W4 = np.uint64(1), np.uint64(2), np.uint64(4)
#: In TRACE_ON: what collectors do to single objects is written down too.
FILM = 2
_FILM, _STEP, _S56 = np.uint64(FILM), np.uint64(Kind.GC_STEP), np.uint64(56)
_S16, _S32, _LOW16 = np.uint64(16), np.uint64(32), np.uint64(0xFFFF)


@jit("void(uint64[::1], uint64, uint64, uint64)")
def emit(m, kind, a, b):
    """Append one event to the ring; free of charge for the simulated machine."""
    if m[_ON] == np.uint64(0):
        return
    at = _RING_BASE + (m[_COUNT] & _RING_MASK) * _W4
    m[at] = m[_CYCLES] + m[_DUE_0] + m[_DUE_1] + m[_DUE_2] + m[_DUE_3]
    m[at + _W1] = kind | ((m[_PROCESS] & _LOW16) << _S16) | (m[_THREAD] << _S32)
    m[at + _W2] = a
    m[at + _W2 + _W1] = b
    m[_COUNT] += _W1


@jit("void(uint64[::1], uint64, uint64, uint64)")
def film_step(m, what, a, b):
    """Append one step of a collection to the ring, if a collection is filmed; free of charge for the simulated machine."""
    if m[_ON] & _FILM == np.uint64(0):
        return
    emit(m, _STEP, a | what << _S56, b)


def read_ring(m: np.ndarray, since: int) -> tuple[np.ndarray, int]:
    """Return the events numbered ``since`` and later, and how many of them the ring has already lost.

    Returns
    -------
    events : structured ndarray of dtype EVENT
        A copy, oldest first.
    lost : int
        Events that were overwritten before they could be read.
    """
    count = int(m[_s.EVENT_COUNT])
    first = max(since, count - _s.RING_EVENTS)
    lost = first - since
    ring = m[_s.RING_BASE : _s.RAM_WORD].view(EVENT)
    index = np.arange(first, count) % _s.RING_EVENTS
    return ring[index].copy(), lost
