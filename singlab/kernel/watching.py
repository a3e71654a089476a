"""How whoever watches the kernel reads its records: at no cost, where they are in RAM or in the kernel's window on it."""

from __future__ import annotations

import numpy as np

from singlab.kernel.layout import WINDOW
from singlab.machine import state as _s
from singlab.machine.jit import inner
from singlab.machine.state import raw_ld32, raw_ld64

_W = np.uint64
_0, _7 = _W(0), _W(7)
RAM_BYTES, RAM_BASE, RAM_OFFSET, _WINDOW = _s.RAM_BYTES, _W(_s.RAM_BASE), _W(_s.RAM_OFFSET), _W(WINDOW)


@inner()
def looked_at(m, va):
    """Return the byte offset in the state of what lies at an address of the kernel; 0 outside RAM, of which whoever must use it will complain."""
    at = va - RAM_BASE
    if at >= m[RAM_BYTES] - _7:
        at -= _WINDOW
        if at >= m[RAM_BYTES] - _7:
            return _0
    return at + RAM_OFFSET


@inner()
def look64(m, va):
    """Return eight bytes."""
    at = looked_at(m, va)
    return raw_ld64(m, at) if at != _0 else _0


@inner()
def look32(m, va):
    """Return four bytes, zero-extended."""
    at = looked_at(m, va)
    return raw_ld32(m, at) if at != _0 else _0
