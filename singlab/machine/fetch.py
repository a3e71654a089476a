"""Fetching what is not decoded yet, and forgetting it again.

Decoded instructions lie in an array apart from the state: one slot for each halfword of RAM, then a
count of the pages that have any, their list, and a mark for each page. So ``fence.i`` and a restored
snapshot forget only what there is, and a large RAM costs nothing where no code runs.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.compressed import expand
from singlab.machine.decode import COMPRESSED, LAST, decode
from singlab.machine.jit import jit
from singlab.machine.pmp import permitted
from singlab.machine.state import raw_ld16, raw_ld32
from singlab.machine.translate import FETCH, NO_ADDRESS, translate

_W = np.uint64
_0, _1, _2, _3, _4, _11, _12 = (_W(v) for v in (0, 1, 2, 3, 4, 11, 12))
SATP, MODE, RAM_BYTES, FAULT_CAUSE = _s.SATP, _s.MODE, _s.RAM_BYTES, _s.FAULT_CAUSE
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
_PAGE, _PAGE_MASK, _LAST_HALF = _W(4096), _W(0xFFF), _W(0xFFE)
_LINE, _LINE_MASK = _W(64), _W(63)
TIMED = _p.P_TIMED
#: Slots a page of RAM has.
PAGE_SLOTS = 2048


def new_uops(ram_bytes: int) -> np.ndarray:
    """Return the array of decoded instructions of a machine, all empty."""
    return _s.empty_words(ram_bytes // 2 + 1 + 2 * (ram_bytes // 4096))  # four times as large as RAM and hardly ever full


def has_decoded(uops: np.ndarray, ram_bytes: int, page: int, last: int) -> bool:
    """Whether any page of RAM from one up to another, counted from the first, has decoded instructions."""
    marks = ram_bytes // 2 + 1 + ram_bytes // 4096
    return bool(uops[marks + page : marks + last + 1].any())


@jit("void(uint64[::1], uint64, uint64, uint64)")
def keep(uops, ram_bytes, slot, u):
    """Put a decoded instruction into its slot and note its page."""
    count = ram_bytes >> _1
    page = slot >> _11
    mark = count + _1 + (ram_bytes >> _12) + page
    if uops[mark] == _0:
        uops[mark] = _1
        uops[count + _1 + uops[count]] = page
        uops[count] += _1
    uops[slot] = u


@jit("void(uint64[::1], uint64)")
def forget(uops, ram_bytes):
    """Empty every slot."""
    count = ram_bytes >> _1
    for index in range(uops[count]):
        page = uops[count + _1 + _W(index)]
        first = page << _11
        for slot in range(PAGE_SLOTS):
            uops[first + _W(slot)] = _0
        uops[count + _1 + (ram_bytes >> _12) + page] = _0
    uops[count] = _0


@jit("uint64(uint64[::1], uint64[::1], uint64, uint64)")
def fetch(m, uops, pc, slot):
    """Return the micro-operation at a slot of RAM; 0 if its second half cannot be fetched (cause set).

    An instruction that crosses into the next page is decoded anew each time: which page follows depends
    on the page table.
    """
    at = (slot << _1) + RAM_OFFSET
    low = raw_ld16(m, at)
    room = _LINE - (pc & _LINE_MASK) if m[TIMED] != _0 else _PAGE - (pc & _PAGE_MASK)
    if low & _3 != _3:
        u = decode(expand(low)) | COMPRESSED | (LAST if room == _2 else _0)
        keep(uops, m[RAM_BYTES], slot, u)
        return u
    if pc & _PAGE_MASK == _LAST_HALF:
        pa = pc + _2
        if m[SATP] != _0 and m[MODE] != _3:
            pa = translate(m, pa, FETCH)
            if pa == NO_ADDRESS:
                return _0
        if pa - RAM_BASE > m[RAM_BYTES] - _2 or not permitted(m, pa, pa + _1, FETCH, m[MODE]):
            m[FAULT_CAUSE] = _1
            return _0
        return LAST | decode(low | raw_ld16(m, pa - RAM_BASE + RAM_OFFSET) << _W(16))
    u = decode(raw_ld32(m, at)) | (LAST if room <= _4 else _0)
    keep(uops, m[RAM_BYTES], slot, u)
    return u
