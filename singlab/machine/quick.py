"""Quick tables: which pages a load, store or fetch may reach without asking the slow way again.

For each mode three direct-mapped tables by virtual page (load, store, fetch). An entry says where the page
lies in the state, and promises: the access is allowed there, the page is RAM, and, where time counts and
addresses are translated, it is in the first-level translation buffer. So a hit has nothing to look up
and nothing to note. What breaks a promise empties the entry: a page leaving its buffer, sfence.vma,
a write to satp, or another value of the status bits that decide what is allowed.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.jit import jit

_W = np.uint64
_0, _1, _2, _12 = _W(0), _W(1), _W(2), _W(12)
_MASK, _PAGE = _W(_s.QUICK_ENTRIES - 1), _W(0xFFFF_FFFF_FFFF_F000)
QUICK, TABLE, MODE_WORDS = _s.QUICK, _W(_s.QUICK_TABLE), _W(_s.QUICK_MODE)
_ALL = _W(_s.QUICK_WORDS)
SATP, MODE, SSTATUS, CODE_AT, CODE_BYTES = _s.SATP, _s.MODE, _s.SSTATUS, _s.CODE_AT, _s.CODE_BYTES
TOHOST, WATCH, WATCH_BYTES = _s.TOHOST, _s.WATCH, _s.WATCH_BYTES
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
_MPRV = _W(1 << 17)
_EMPTY = _W(_s.QUICK_EMPTY)
STORE, FETCH = _W(1), _W(2)


@jit("void(uint64[::1])")
def quick_flush(m):
    """Empty every entry."""
    at = m[QUICK]
    end = at + _ALL
    while at < end:
        m[at] = _EMPTY
        at += _2


@jit("void(uint64[::1], uint64, uint64)")
def quick_drop(m, page, fetches):
    """Empty the entries of a page that has left its translation buffer; ``fetches`` = 1 for the one of code."""
    tag = page << _12
    slot = (page & _MASK) << _1
    for mode in range(2):
        at = m[QUICK] + _W(mode) * MODE_WORDS + slot
        if fetches != _0:
            if m[at + _2 * TABLE] == tag:
                m[at + _2 * TABLE] = _EMPTY
        else:
            if m[at] == tag:
                m[at] = _EMPTY
            if m[at + TABLE] == tag:
                m[at + TABLE] = _EMPTY


@jit("boolean(uint64[::1], uint64)")
def _is_code(m, at):
    """Whether translated code lies in the page of a byte offset in the state."""
    first = m[CODE_AT] >> _12
    return m[CODE_BYTES] != _0 and (at >> _12) - first <= (m[CODE_AT] + m[CODE_BYTES] - _1 >> _12) - first


@jit("void(uint64[::1], uint64, uint64, uint64)")
def quick_fill(m, va, pa, kind):
    """Note that the present mode may make this kind of access to the page, whose address lies in RAM.

    An entry is a page's first address and what leads from addresses there to where they are: byte offsets
    in the state, or for fetches slots of decoded instructions.
    """
    mode = m[MODE]
    entry = m[QUICK] + mode * MODE_WORDS + kind * TABLE + ((va >> _12 & _MASK) << _1)
    if kind == FETCH:
        m[entry + _1] = ((pa - RAM_BASE) >> _1) - (va >> _1)
    else:
        if mode == _W(3) and m[SSTATUS] & _MPRV != _0:
            return
        at = pa - RAM_BASE + RAM_OFFSET
        # stores to tohost and into translated code are looked at, and so is what is watched
        if kind == STORE and (m[TOHOST] >> _12 == at >> _12 or _is_code(m, at)):
            return
        if m[WATCH_BYTES] != _0 and (va >> _12) - (m[WATCH] >> _12) <= (m[WATCH] + m[WATCH_BYTES] - _1 >> _12) - (m[WATCH] >> _12):
            return
        m[entry + _1] = at - va
    m[entry] = va & _PAGE
