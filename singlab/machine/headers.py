"""Where the words of each hart lie, and the time they all see.

The header has the words of the hart that runs; those of the others lie aside (:mod:`singlab.machine.harts`).
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.jit import jit

_W = np.uint64
SAVED, WORDS = _W(_s.HART_SAVED), _W(_s.HART_WORDS)
HART, HARTS, CYCLES, TIME_OFFSET, TIME_SEEN = _s.HART, _s.HARTS, _s.CYCLES, _s.TIME_OFFSET, _s.TIME_SEEN


@jit("uint64(uint64[::1], uint64, uint64)")
def place(m, hart, word):
    """Return where a word of a hart's header lies now."""
    return word if hart == m[HART] else SAVED + hart * WORDS + word


@jit("uint64(uint64[::1])")
def time_now(m):
    """Return mtime.

    Harts run in turns, so their clocks differ by some cycles; yet none ever sees a time before one that another has seen.
    """
    if m[HARTS] == _W(1):
        return m[CYCLES] + m[TIME_OFFSET]
    m[TIME_SEEN] = max(m[TIME_SEEN], m[CYCLES])
    return m[TIME_SEEN] + m[TIME_OFFSET]
