"""Address translation: Sv39 page tables and the translation buffers in front of them.

Privileged specification, chapter "Sv39": three levels, 4 KB pages and superpages (buffered as their
4 KB parts). A clear A bit, or a clear D bit on a store, is a page fault (the Svade choice). The first-level
buffers replace the entry that came first, the second level the one longest unused. With tagged buffers
an entry belongs to its address space, or to all if the page is global; without tags a write to satp
empties them except for global pages. Neither of the extensions for page types and for larger pages is there:
their bits are reserved, and an entry with a reserved bit is a page fault.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.caches import l1d
from singlab.machine.jit import jit
from singlab.machine.pmp import data_mode, permitted
from singlab.machine.quick import quick_drop, quick_flush
from singlab.machine.state import raw_ld64

_W = np.uint64
_0, _1, _2, _3, _10, _12 = _W(0), _W(1), _W(2), _W(3), _W(10), _W(12)
_FULL = _W(0xFFFF_FFFF_FFFF_FFFF)
NO_ADDRESS = _FULL  #: returned where a translation failed; the cause is in m[_s.FAULT_CAUSE]

SATP, MODE, SSTATUS, CYCLES, RAM_BYTES = _s.SATP, _s.MODE, _s.SSTATUS, _s.CYCLES, _s.RAM_BYTES
FAULT_CAUSE = _s.FAULT_CAUSE
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
C_WALKS, C_STALL_WALK = _s.C_PAGE_WALKS, _s.C_STALL_WALK
C_DTLB_ACC, C_DTLB_MISS, C_ITLB_MISS = _s.C_DTLB_ACCESSES, _s.C_DTLB_MISSES, _s.C_ITLB_MISSES
L2TLB_SETS, L2TLB_TAGS, L2TLB_CYCLES = _p.P_L2TLB_SETS, _p.P_L2TLB_TAGS, _p.P_L2TLB_CYCLES
ITLB_TAGS, ITLB_ENTRIES, ITLB_HINTS = _p.P_ITLB_TAGS, _p.P_ITLB_ENTRIES, _p.P_ITLB_HINTS
DTLB_TAGS, DTLB_ENTRIES, DTLB_HINTS = _p.P_DTLB_TAGS, _p.P_DTLB_ENTRIES, _p.P_DTLB_HINTS
CLOCK, TIMED, TLB_TAGGED = _p.P_TLB_CLOCK, _p.P_TIMED, _p.P_TLB_TAGGED
_SPACE = _W(32)
_EVERY = _W(1 << 49)  #: in a key: the page is in every address space
_HINT_MASK = _W(_p.HINTS - 1)
_WAYS = _W(_p.L2TLB_WAYS)
_ENTRY = _W(_p.TLB_WORDS)
_PAGE_MASK = _W(0xFFF)
_PPN_MASK = _W((1 << 44) - 1)
_V, _R, _WR, _X, _U, _G, _A, _D = (_W(1 << bit) for bit in range(8))
_RESERVED = _W(0x3FF << 54)
_SUM, _MXR = _W(1 << 18), _W(1 << 19)
_39, _9 = _W(39), _W(9)

LOAD, STORE, FETCH = _W(0), _W(1), _W(2)
OUTSIDE = _W(1)  #: what a walk leaves in FAULT_CAUSE that found a table outside RAM, or where it may not read


@jit("uint64(uint64[::1], uint64)")
def walk(m, va):
    """Walk the page table; returns the leaf entry as for a 4 KB page (ppn << 10 | flags), or 0 if there is none."""
    m[C_WALKS] += _1
    top = va >> _39
    sign = va >> _W(38) & _1
    if (sign == _0 and top != _0) or (sign == _1 and top != _W((1 << 25) - 1)):
        return _0
    table = m[SATP] & _PPN_MASK
    level = _3
    while level > _0:
        level -= _1
        shift = _12 + _9 * level
        at = (table << _12) + ((va >> shift & _W(511)) << _3)
        if at - RAM_BASE > m[RAM_BYTES] - _W(8) or not permitted(m, at, at | _W(7), LOAD, _1):
            m[FAULT_CAUSE] = OUTSIDE
            return _0
        stall = l1d(m, at, _0)
        m[C_STALL_WALK] += stall
        m[CYCLES] += stall
        entry = raw_ld64(m, at - RAM_BASE + RAM_OFFSET)
        if entry & _V == _0 or (entry & _R == _0 and entry & _WR != _0) or entry & _RESERVED != _0:
            return _0
        if entry & (_R | _X) != _0:
            ppn = entry >> _10 & _PPN_MASK
            low = (_1 << (_9 * level)) - _1
            if ppn & low != _0:
                return _0
            return (ppn | (va >> _12 & low)) << _10 | entry & _W(0xFF)
        if entry & (_D | _A | _U) != _0:
            return _0
        table = entry >> _10 & _PPN_MASK
    return _0


@jit("uint64(uint64[::1], uint64, uint64)")
def oldest(m, first, count):
    """Return the entry to replace: an empty one, else the one with the earliest stamp."""
    best = first
    entry = first
    while entry < first + count * _ENTRY:
        if m[entry] == _0:
            return entry
        if m[entry + _2] < m[best + _2]:
            best = entry
        entry += _ENTRY
    return best


@jit("uint64(uint64[::1], uint64, uint64)")
def put(m, entry, found):
    """Write what a walk found into an entry whose key is set already; returns it."""
    m[entry + _1] = found
    m[entry + _2] = m[CLOCK]
    return found


@jit("uint64(uint64)")
def as_in_address(page):
    """Return a page's number as an address has it: its uppermost bit repeated upwards."""
    return ((page ^ _W(1 << 26)) - _W(1 << 26)) & _W((1 << 52) - 1)


@jit("uint64(uint64[::1], uint64, uint64)")
def l2tlb_fill(m, page, space):
    """Return the translation of a page from the second-level buffer or by a walk; 0 if there is none."""
    first = m[L2TLB_TAGS] + (page & (m[L2TLB_SETS] - _1)) * _WAYS * _ENTRY
    m[C_STALL_WALK] += m[L2TLB_CYCLES]
    m[CYCLES] += m[L2TLB_CYCLES]
    entry = first
    while entry < first + _WAYS * _ENTRY:
        if m[entry] == page + _1 | space or (m[entry] == page + _1 | _EVERY and space != _0):
            m[entry + _2] = m[CLOCK]
            return m[entry + _1]
        entry += _ENTRY
    found = walk(m, as_in_address(page) << _12)
    if found != _0:
        entry = oldest(m, first, _WAYS)
        m[entry] = page + _1 | (_EVERY if space != _0 and found & _G != _0 else space)
        put(m, entry, found)
    return found


@jit("uint64(uint64[::1], uint64, uint64, uint64, uint64, uint64)")
def tlb_lookup(m, page, first, count, hint, misses):
    """Return the translation of a page through one first-level buffer, filled on a miss; 0 if there is none.

    The key of an entry is the page + 1 and above it, in tagged buffers, the address space + 1 or the mark of a
    global page. Of a page only what Sv39 translates is kept; a page beyond that has no translation.
    """
    if page + _W(1 << 26) & _W((1 << 52) - 1) >= _W(1 << 27):
        m[C_WALKS] += _1
        return _0
    page &= _W((1 << 27) - 1)
    space = _0
    if m[TLB_TAGGED] != _0:
        space = ((m[SATP] >> _W(44) & _W(0xFFFF)) + _1) << _SPACE
    entry = m[hint]
    if entry == _0 or (m[entry] != page + _1 | space and (m[entry] != page + _1 | _EVERY or space == _0)):
        entry = first
        while entry < first + count * _ENTRY:
            if m[entry] == page + _1 | space or (m[entry] == page + _1 | _EVERY and space != _0):
                break
            entry += _ENTRY
    if entry < first + count * _ENTRY:
        m[hint] = entry
        return m[entry + _1]
    m[misses] += _1
    m[CLOCK] += _1
    found = l2tlb_fill(m, page, space)
    if found != _0:
        entry = oldest(m, first, count)
        gone = m[entry] & _W((1 << 28) - 1)
        if gone != _0:
            quick_drop(m, as_in_address(gone - _1), _1 if misses == _W(C_ITLB_MISS) else _0)
        m[entry] = page + _1 | (_EVERY if space != _0 and found & _G != _0 else space)
        m[hint] = entry
        put(m, entry, found)
    return found


@jit("uint64(uint64[::1], uint64, uint64)")
def translate(m, va, kind):
    """Return the physical address of a virtual one for a load, store or fetch, or NO_ADDRESS with the cause set."""
    mode = data_mode(m) if kind != FETCH else m[MODE]
    if mode == _3:
        return va
    page = (va >> _12) & _W((1 << 52) - 1)
    m[FAULT_CAUSE] = _0
    if m[TIMED] == _0:
        entry = walk(m, va)
    elif kind == FETCH:
        entry = tlb_lookup(m, page, m[ITLB_TAGS], m[ITLB_ENTRIES], m[ITLB_HINTS] + (page & _HINT_MASK), _W(C_ITLB_MISS))
    else:
        m[C_DTLB_ACC] += _1
        entry = tlb_lookup(m, page, m[DTLB_TAGS], m[DTLB_ENTRIES], m[DTLB_HINTS] + (page & _HINT_MASK), _W(C_DTLB_MISS))
    allowed = entry & _A != _0
    if mode == _0:
        if entry & _U == _0:
            allowed = False
    elif entry & _U != _0:
        if kind == FETCH or m[SSTATUS] & _SUM == _0:
            allowed = False
    if kind == FETCH:
        if entry & _X == _0:
            allowed = False
    elif kind == STORE:
        if entry & _WR == _0 or entry & _D == _0:
            allowed = False
    elif entry & _R == _0:
        if m[SSTATUS] & _MXR == _0 or entry & _X == _0:
            allowed = False
    if not allowed:
        if m[FAULT_CAUSE] == OUTSIDE:  # an access fault, of the access that the walk was for
            m[FAULT_CAUSE] = _1 if kind == FETCH else (_W(7) if kind == STORE else _W(5))
        else:
            m[FAULT_CAUSE] = _12 if kind == FETCH else (_W(15) if kind == STORE else _W(13))
        return NO_ADDRESS
    return (entry >> _10) << _12 | va & _PAGE_MASK


@jit("void(uint64[::1], uint64)")
def tlb_flush(m, keep_global):
    """Empty the translation buffers; with ``keep_global`` entries of global pages stay."""
    quick_flush(m)
    first = m[ITLB_TAGS]
    entry = first
    end = m[L2TLB_TAGS] + m[L2TLB_SETS] * _WAYS * _ENTRY
    # the three buffers and the hints between them lie one after the other; hints are checked on use, so entries only
    while entry < first + m[ITLB_ENTRIES] * _ENTRY:
        if keep_global == _0 or m[entry + _1] & _G == _0:
            m[entry] = _0
        entry += _ENTRY
    entry = m[DTLB_TAGS]
    while entry < m[DTLB_TAGS] + m[DTLB_ENTRIES] * _ENTRY:
        if keep_global == _0 or m[entry + _1] & _G == _0:
            m[entry] = _0
        entry += _ENTRY
    entry = m[L2TLB_TAGS]
    while entry < end:
        if keep_global == _0 or m[entry + _1] & _G == _0:
            m[entry] = _0
        entry += _ENTRY
