"""Loads and stores the slow way: translated, charged, to RAM or to a device, or trapping.

What the quick tables do not answer comes here, from the interpreter and from translated code alike.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.caches import l1d
from singlab.machine.devices import is_device, mmio_read, mmio_write
from singlab.machine.jit import jit
from singlab.machine.pmp import data_mode, page_permitted, permitted
from singlab.machine.privileged import trap
from singlab.machine.quick import quick_fill
from singlab.machine.state import raw_ld8, raw_ld16, raw_ld32, raw_ld64, raw_st8, raw_st16, raw_st32, raw_st64
from singlab.machine.translate import LOAD, NO_ADDRESS, STORE, translate

_W = np.uint64
_I = np.int64
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (_W(v) for v in range(9))
_FF, _MASK32 = _W(0xFF), _W(0xFFFF_FFFF)
PC, MODE, INSTRET, CYCLES, SATP, STATUS = _s.PC, _s.MODE, _s.INSTRET, _s.CYCLES, _s.SATP, _s.SSTATUS
MMIO_ADDRESS, FAULT_CAUSE, RAM_BYTES, STOP, TOHOST, LOADED, FAULT_ADDRESS = (
    _s.MMIO_ADDRESS,
    _s.FAULT_CAUSE,
    _s.RAM_BYTES,
    _s.STOP,
    _s.TOHOST,
    _s.LOADED,
    _s.FAULT_ADDRESS,
)
FIRST_PART, SECOND_PART = _s.FIRST_PART, _s.SECOND_PART
WATCH, WATCH_BYTES, WATCH_HIT = _s.WATCH, _s.WATCH_BYTES, _s.WATCH_HIT
CODE_AT, CODE_BYTES, CODE_WRITTEN = _s.CODE_AT, _s.CODE_BYTES, _s.CODE_WRITTEN
C_LOAD, C_STORE, C_TRAP = _s.C_STALL_LOAD, _s.C_STALL_STORE, _s.C_STALL_TRAP
RESUME, RESUME_BASE = _s.RESUME, _s.RESUME_BASE
MEMORY_CYCLES, TIMED = _p.P_MEMORY_CYCLES, _p.P_TIMED
QUICK = _s.QUICK
_FETCHES, _MODE_WORDS, _ENTRIES = _W(2 * _s.QUICK_TABLE), _W(_s.QUICK_MODE), _W(_s.QUICK_ENTRIES - 1)
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
_MPRV = _W(1 << 17)
_PAGE_MASK, _PAGE = _W(0xFFF), _W(4096)

#: What :func:`load_slow` and :func:`store_slow` return: go on; a trap was taken; done, and look up before the next.
DONE, TRAPPED, LOOK_UP = 0, 1, 2


@jit("uint64(uint64[::1], uint64, uint64, uint64, uint64)")
def two_parts(m, va, pa, last, kind):
    """Charge an access that goes on at the beginning of another page, where its last byte is; returns as :func:`data_address` does."""
    for part in range(2):
        first, end = (pa, pa | _PAGE_MASK) if part == 0 else (last & ~_PAGE_MASK, last)
        at = first - RAM_BASE
        if at >= m[RAM_BYTES] or not permitted(m, first, end, kind, data_mode(m)):
            m[FAULT_ADDRESS] = va if part == 0 else (va & ~_PAGE_MASK) + _PAGE
            m[FAULT_CAUSE] = _7 if kind == STORE else _5
            return _0
        m[FIRST_PART if part == 0 else SECOND_PART] = at + RAM_OFFSET
    stall = l1d(m, pa, kind) + l1d(m, last & ~_PAGE_MASK, kind)
    m[CYCLES] += stall
    m[C_STORE if kind == STORE else C_LOAD] += stall
    return _2


@jit("uint64(uint64[::1], uint64)")
def part_offset(m, index):
    """Return the byte offset in the state of a byte of an access in two parts."""
    at = m[FIRST_PART] + index
    # pages begin at multiples of their size in the state too
    return at if (at ^ m[FIRST_PART]) & ~_PAGE_MASK == _0 else m[SECOND_PART] + (at & _PAGE_MASK)


@jit("uint64(uint64[::1], uint64, uint64, uint64)")
def data_address(m, va, width, kind):
    """Return the state's byte offset of a load or store, charging it.

    0 if it traps (cause and address set), 1 if it goes to a device (address set); a device takes as long as memory.
    2 if it crosses into a page that lies elsewhere (offsets of both pages' parts set).
    The address of a trap is that of the part of the access which cannot be.
    """
    pa = va
    m[FAULT_ADDRESS] = va
    if m[WATCH_BYTES] != _0 and (va - m[WATCH] < m[WATCH_BYTES] or m[WATCH] - va < width):
        m[WATCH_HIT] = va + _1
    if m[SATP] != _0 and (m[MODE] != _3 or m[STATUS] & _MPRV != _0):
        pa = translate(m, va, kind)
        if pa == NO_ADDRESS:
            return _0
        # an access that crosses into the next page needs that page too
        if (va & _PAGE_MASK) + width > _PAGE:
            other = translate(m, va + width - _1, kind)
            if other == NO_ADDRESS:
                m[FAULT_ADDRESS] = (va + width - _1) & ~_PAGE_MASK
                return _0
            if other != pa + width - _1:
                return two_parts(m, va, pa, other, kind)
    at = pa - RAM_BASE
    if not permitted(m, pa, pa + width - _1, kind, data_mode(m)):
        m[FAULT_CAUSE] = _7 if kind == STORE else _5
        return _0
    if at > m[RAM_BYTES] - width:
        if is_device(pa) and pa & (width - _1) == _0:
            m[MMIO_ADDRESS] = pa
            m[C_STORE if kind == STORE else C_LOAD] += m[MEMORY_CYCLES]
            m[CYCLES] += m[MEMORY_CYCLES]
            return _1
        if at < m[RAM_BYTES]:  # begins within RAM
            m[FAULT_ADDRESS] = va + m[RAM_BYTES] - at
        m[FAULT_CAUSE] = _7 if kind == STORE else _5
        return _0
    if page_permitted(m, pa, kind):
        quick_fill(m, va, pa, kind)
    stall = l1d(m, pa, kind)
    if stall != _0:
        m[CYCLES] += stall
        if kind == STORE:
            m[C_STORE] += stall
        else:
            m[C_LOAD] += stall
    return at + RAM_OFFSET


@jit("uint64(uint64, uint64)")
def extended(funct3, value):
    """Return a loaded value as the load's width and sign have it."""
    if funct3 == _0:
        return _W(_I(np.int8(np.uint8(value & _FF))))
    if funct3 == _1:
        return _W(_I(np.int16(np.uint16(value & _W(0xFFFF)))))
    if funct3 == _2:
        return _W(_I(np.int32(np.uint32(value & _MASK32))))
    if funct3 == _3:
        return value
    return value & ((_1 << (_8 << (funct3 - _4))) - _1)


@jit("void(uint64[::1], uint64)")
def cannot(m, pc):
    """Trap for an access that cannot be: it has not retired, yet its cycle has passed."""
    m[INSTRET] -= _1
    m[C_TRAP] += _1
    trap(m, m[FAULT_CAUSE], m[FAULT_ADDRESS], pc)


@jit("uint64(uint64[::1], uint64, uint64, uint64, uint64, uint64)")
def load_slow(m, funct3, va, pc, after, n):
    """Load; the value goes to LOADED.

    Parameters
    ----------
    m : ndarray of uint64
    funct3 : uint64
        Width and sign, as the instruction has them.
    va, pc, after : uint64
        Addresses of the data, of the instruction, and of the next one.
    n : uint64
        Instructions since the books were brought up to date, with this one.

    Returns
    -------
    uint64
        DONE: go on, the books are as they were. TRAPPED or LOOK_UP: the books are up to date and PC is set.
    """
    width = _1 << (funct3 & _3)
    at = data_address(m, va, width, LOAD)
    if at > _1:
        if at == _2:
            value = _0
            for index in range(width):
                value |= raw_ld8(m, part_offset(m, _W(index))) << (_8 * _W(index))
            m[LOADED] = extended(funct3, value)
        elif width == _8:
            m[LOADED] = raw_ld64(m, at)
        elif width == _4:
            m[LOADED] = extended(funct3, raw_ld32(m, at))
        elif width == _2:
            m[LOADED] = extended(funct3, raw_ld16(m, at))
        else:
            m[LOADED] = extended(funct3, raw_ld8(m, at))
        return _W(DONE)
    m[INSTRET] += n
    m[CYCLES] += n
    if at == _0:
        cannot(m, pc)
        return _W(TRAPPED)
    # what the device does next may follow from this, so the books are up to date, and are looked at afterwards
    m[LOADED] = extended(funct3, mmio_read(m, m[MMIO_ADDRESS], width))
    m[PC] = after
    return _W(LOOK_UP)


@jit("uint64(uint64[::1], uint64, uint64, uint64, uint64, uint64, uint64)")
def store_slow(m, funct3, va, value, pc, after, n):
    """Store; parameters and result as of :func:`load_slow`. STOP is set if the host is wanted."""
    width = _1 << funct3
    at = data_address(m, va, width, STORE)
    also = at
    if at > _1:
        if at == _2:
            for index in range(width):
                raw_st8(m, part_offset(m, _W(index)), value >> (_8 * _W(index)))
            at, also = m[FIRST_PART], m[SECOND_PART]
        elif width == _8:
            raw_st64(m, at, value)
        elif width == _4:
            raw_st32(m, at, value)
        elif width == _2:
            raw_st16(m, at, value)
        else:
            raw_st8(m, at, value)
        reach = m[CODE_BYTES] + width - _1
        written = m[CODE_BYTES] != _0 and (at + width - _1 - m[CODE_AT] < reach or also + width - _1 - m[CODE_AT] < reach)
        if at != m[TOHOST] and not written:
            return _W(DONE)
        m[STOP] = _1
        if written:
            m[CODE_WRITTEN] = at
            # the run stops for this, the guest does not: it goes on within its line
            if pc >> (_6 if m[TIMED] != _0 else _W(12)) == after >> (_6 if m[TIMED] != _0 else _W(12)):
                m[RESUME] = after + _1
                m[RESUME_BASE] = m[m[QUICK] + _FETCHES + m[MODE] * _MODE_WORDS + ((pc >> _W(12) & _ENTRIES) << _1) + _1]
    m[INSTRET] += n
    m[CYCLES] += n
    if at == _0:
        cannot(m, pc)
        return _W(TRAPPED)
    if at == _1:
        mmio_write(m, m[MMIO_ADDRESS], width, value)
    m[PC] = after
    return _W(LOOK_UP)
