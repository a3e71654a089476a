"""Physical memory protection: which physical addresses each level may reach.

Privileged specification, chapter "Physical Memory Protection": 16 entries with regions from four bytes on, all
forms of addresses, and the lock. The slow way of loads, stores and fetches asks here, and so do page walks; the
quick tables (:mod:`singlab.machine.quick`) hold only pages that are allowed as a whole. A state says how many
entries there are: none, and everything is allowed, or all.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.jit import jit
from singlab.machine.quick import quick_flush
from singlab.machine.state import raw_ld16

_W = np.uint64
_0, _1, _2, _3, _4, _7 = (_W(v) for v in (0, 1, 2, 3, 4, 7))
MODE, STATUS = _s.MODE, _s.SSTATUS
PMP_ENTRIES, PMP_ADDRESS, PMP_CONFIG = _s.PMP_ENTRIES, _s.PMP_ADDRESS, _s.PMP_CONFIG
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
ENTRIES = 16
_PAGE_MASK = _W(0xFFF)
_FETCH = _W(2)
_MPRV, _MPP_SHIFT = _W(1 << 17), _W(11)
_LOCK, _TOR, _NA4 = _W(0x80), _1, _2
_FIELDS = _W(0x9F)
_ADDRESS = _W((1 << 54) - 1)


@jit("uint64(uint64[::1], uint64)")
def configuration(m, index):
    """Return the configuration of an entry."""
    return m[_W(PMP_CONFIG) + (index >> _3)] >> ((index & _7) << _3) & _W(0xFF)


@jit("boolean(uint64[::1], uint64, uint64, uint64, uint64)")
def permitted(m, first, last, kind, mode):
    """Whether a level may load (0), store (1) or fetch (2) the bytes from ``first`` to ``last`` in one access.

    The lowest entry with any of the bytes decides, and must have all of them.
    """
    if m[PMP_ENTRIES] == _0:
        return True
    for number in range(ENTRIES):
        index = _W(number)
        how = configuration(m, index)
        form = how >> _3 & _3
        if form == _0:
            continue
        address = m[_W(PMP_ADDRESS) + index]
        if form == _TOR:
            low = m[_W(PMP_ADDRESS) + index - _1] << _2 if index != _0 else _0
            high = address << _2
        else:
            span = _0 if form == _NA4 else address ^ (address + _1)
            low = (address & ~span) << _2
            high = low + ((span + _1) << _2)
        if low < high and first < high and last >= low:
            if first < low or last >= high:
                return False
            return (mode == _3 and how & _LOCK == _0) or how >> kind & _1 != _0
    return mode == _3


@jit("uint64(uint64[::1])")
def data_mode(m):
    """Return the level whose rights loads and stores have."""
    if m[MODE] == _3 and m[STATUS] & _MPRV != _0:
        return m[STATUS] >> _MPP_SHIFT & _3
    return m[MODE]


@jit("boolean(uint64[::1], uint64, uint64)")
def page_permitted(m, pa, kind):
    """Whether the present mode may make every access of a kind to the page of a physical address; MPRV counts for data."""
    page = pa & ~_PAGE_MASK
    return permitted(m, page, page | _PAGE_MASK, kind, data_mode(m) if kind != _FETCH else m[MODE])


@jit("uint64(uint64[::1], uint64)")
def parcel_denied(m, pa):
    """Return which half of an instruction in RAM may not be fetched: 1, 2, or 0 if it may. What lies on the next page is not asked."""
    if not permitted(m, pa, pa + _1, _FETCH, m[MODE]):
        return _1
    if raw_ld16(m, pa - RAM_BASE + RAM_OFFSET) & _3 == _3 and (pa + _2) & _PAGE_MASK != _0:
        if not permitted(m, pa + _2, pa + _3, _FETCH, m[MODE]):
            return _2
    return _0


@jit("uint64(uint64[::1], uint64)")
def pmp_read(m, number):
    """Return the value of pmpcfg0 to pmpcfg14 or pmpaddr0 to pmpaddr63."""
    if number >= _W(0x3B0):
        index = number - _W(0x3B0)
        return m[_W(PMP_ADDRESS) + index] if index < _W(ENTRIES) else _0
    index = number - _W(0x3A0) >> _1
    return m[_W(PMP_CONFIG) + index] if index < _2 else _0


@jit("void(uint64[::1], uint64, uint64)")
def pmp_write(m, number, value):
    """Write one of them: what is locked stays, and so does the address below a locked range."""
    if m[PMP_ENTRIES] == _0:
        return
    if number >= _W(0x3B0):
        index = number - _W(0x3B0)
        if index >= _W(ENTRIES) or configuration(m, index) & _LOCK != _0:
            return
        if index + _1 < _W(ENTRIES):
            above = configuration(m, index + _1)
            if above & _LOCK != _0 and above >> _3 & _3 == _TOR:
                return
        m[_W(PMP_ADDRESS) + index] = value & _ADDRESS
    else:
        word = number - _W(0x3A0) >> _1
        if word >= _2:
            return
        new = _0
        for entry in range(8):
            shift = _W(8 * entry)
            old, wanted = m[_W(PMP_CONFIG) + word] >> shift & _W(0xFF), value >> shift & _FIELDS
            if wanted & _3 == _2:
                wanted &= ~_2  # to write without reading is reserved
            new |= (old if old & _LOCK != _0 else wanted) << shift
        m[_W(PMP_CONFIG) + word] = new
    quick_flush(m)
