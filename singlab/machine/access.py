"""Timed memory access for native kernel code, and the charge for the code itself.

Kernel functions that run natively reach simulated memory through these: the same quick tables, translation,
caches and stalls as the hart's own loads and stores, in whatever mode the hart is. An address outside RAM
reads as 0, writes nothing, and is noted in KERNEL_FAULT: the kernel has a bug, or its tables are damaged. It ends at once then, for
its loops look at KERNEL_MOST, which is also what bounds them: a list that leads back into itself hangs nobody. Looking costs
the simulated machine nothing.

What a kernel function retires goes to a few words (DUE_0 to DUE_3) and from there into the books by :func:`kernel_books`, when
the function returns to the hart or the host: one sum a block instead of three.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.caches import l1d, l1d_slow, l1i_slow
from singlab.machine.devices import is_device, mmio_read, mmio_write
from singlab.machine.jit import jit
from singlab.machine.pmp import page_permitted
from singlab.machine.quick import quick_fill
from singlab.machine.state import raw_ld8, raw_ld16, raw_ld32, raw_ld64, raw_st8, raw_st16, raw_st32, raw_st64
from singlab.machine.translate import LOAD, NO_ADDRESS, STORE, translate

_W = np.uint64
_0, _1, _2, _3, _4, _6, _7, _8, _12 = (_W(v) for v in (0, 1, 2, 3, 4, 6, 7, 8, 12))
SATP, RAM_BYTES, KERNEL_FAULT, KERNEL_MOST, CYCLES, INSTRET = _s.SATP, _s.RAM_BYTES, _s.KERNEL_FAULT, _s.KERNEL_MOST, _s.CYCLES, _s.INSTRET
MEMORY_CYCLES = _p.P_MEMORY_CYCLES
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
C_LOAD, C_STORE, C_FETCH, C_KERNEL = _s.C_STALL_LOAD, _s.C_STALL_STORE, _s.C_STALL_FETCH, _s.C_KERNEL_INSTRUCTIONS
C_L1I, C_L1D, C_DTLB, MODE = _s.C_L1I_ACCESSES, _s.C_L1D_ACCESSES, _s.C_DTLB_ACCESSES, _s.MODE
TIMED, L1I_TAGS, L1I_SETS, L1D_TAGS, L1D_SETS = _p.P_TIMED, _p.P_L1I_TAGS, _p.P_L1I_SETS, _p.P_L1D_TAGS, _p.P_L1D_SETS
C_BRANCH, C_MULDIV, C_MULTIPLIES, C_DIVIDES = _s.C_STALL_BRANCH, _s.C_STALL_MULDIV, _s.C_MULTIPLIES, _s.C_DIVIDES
BRANCH_CYCLES, MULTIPLY_CYCLES, DIVIDE_CYCLES = _p.P_BRANCH_CYCLES, _p.P_MULTIPLY_CYCLES, _p.P_DIVIDE_CYCLES
DUE_0, DUE_1, DUE_2, DUE_3, KERNEL_LINE, PLAIN_RAM = _s.DUE_0, _s.DUE_1, _s.DUE_2, _s.DUE_3, _s.KERNEL_LINE, _s.PLAIN_RAM
_DUE = _W(_s.DUE_0)
QUICK, _STORES, _MODE_WORDS = _s.QUICK, _W(_s.QUICK_TABLE), _W(_s.QUICK_MODE)
_ENTRIES, _PAGE = _W(_s.QUICK_ENTRIES - 1), _W(0xFFFF_FFFF_FFFF_F000)
#: What leads from a byte offset in the state to a line's tag.
_TAGS = _W((_s.RAM_BASE - _s.RAM_OFFSET >> 6) + 1)


@jit("uint64(uint64[::1], uint64, uint64, uint64)")
def unknown_page(m, va, width, kind):
    """Charge an access whose page the quick tables do not know; returns its byte offset in the state, 0 if it lies outside RAM."""
    pa = va
    if m[SATP] != _0:
        pa = translate(m, va, kind)
    at = pa - RAM_BASE
    if pa == NO_ADDRESS or at > m[RAM_BYTES] - width:
        m[KERNEL_FAULT] = va
        m[KERNEL_MOST] = _0
        return _0
    if page_permitted(m, pa, kind):
        quick_fill(m, va, pa, kind)
    stall = l1d(m, pa, kind)
    m[C_STORE if kind == STORE else C_LOAD] += stall
    m[CYCLES] += stall
    return at + RAM_OFFSET


@jit("void(uint64[::1], uint64, uint64)")
def touch_line(m, at, kind):
    """Charge an access at a byte offset in the state to the caches."""
    m[C_L1D] += _1
    if m[SATP] != _0:
        m[C_DTLB] += _1
    tag = (at >> _6) + _TAGS
    first = m[L1D_TAGS] + (tag - _1 & (m[L1D_SETS] - _1))
    word = m[first]
    if word >> _1 == tag:
        m[first] = word | kind
        return
    stall = l1d_slow(m, tag - _1, kind)
    m[C_STORE if kind == STORE else C_LOAD] += stall
    m[CYCLES] += stall


@jit("uint64(uint64[::1], uint64, uint64)")
def load_offset(m, va, width):
    """Charge a load and return the byte offset of its data in the state; 0 if it lies outside RAM."""
    entry = m[QUICK] + m[MODE] * _MODE_WORDS + ((va >> _12 & _ENTRIES) << _1)
    if m[entry] != va & (_PAGE | (width - _1)):
        return unknown_page(m, va, width, LOAD)
    at = va + m[entry + _1]
    if m[TIMED] != _0:
        touch_line(m, at, _0)
    return at


@jit("uint64(uint64[::1], uint64, uint64)")
def store_offset(m, va, width):
    """Charge a store and return the byte offset of its data in the state; 0 if it lies outside RAM."""
    entry = m[QUICK] + m[MODE] * _MODE_WORDS + _STORES + ((va >> _12 & _ENTRIES) << _1)
    if m[entry] != va & (_PAGE | (width - _1)):
        return unknown_page(m, va, width, STORE)
    at = va + m[entry + _1]
    if m[TIMED] != _0:
        touch_line(m, at, _1)
    return at


@jit("void(uint64[::1])")
def plain_begin(m):
    """Let native kernel code reach memory without a look at the tables, if that costs neither time nor translation; until :func:`plain_end`."""
    m[PLAIN_RAM] = m[RAM_BYTES] - _7 if m[SATP] | m[TIMED] == _0 else _0


@jit("void(uint64[::1])")
def plain_end(m):
    """Whoever comes next may be timed or translated."""
    m[PLAIN_RAM] = _0


@jit("uint64(uint64[::1], uint64)")
def ld64(m, va):
    """Load eight bytes."""
    at = va - RAM_BASE
    if at < m[PLAIN_RAM]:
        return raw_ld64(m, at + RAM_OFFSET)
    at = load_offset(m, va, _8)
    return raw_ld64(m, at) if at != _0 else _0


@jit("uint64(uint64[::1], uint64)")
def ld32(m, va):
    """Load four bytes, zero-extended."""
    at = va - RAM_BASE
    if at < m[PLAIN_RAM]:
        return raw_ld32(m, at + RAM_OFFSET)
    at = load_offset(m, va, _4)
    return raw_ld32(m, at) if at != _0 else _0


@jit("uint64(uint64[::1], uint64)")
def ld16(m, va):
    """Load two bytes, zero-extended."""
    at = va - RAM_BASE
    if at < m[PLAIN_RAM]:
        return raw_ld16(m, at + RAM_OFFSET)
    at = load_offset(m, va, _2)
    return raw_ld16(m, at) if at != _0 else _0


@jit("uint64(uint64[::1], uint64)")
def ld8(m, va):
    """Load one byte, zero-extended."""
    at = va - RAM_BASE
    if at < m[PLAIN_RAM]:
        return raw_ld8(m, at + RAM_OFFSET)
    at = load_offset(m, va, _1)
    return raw_ld8(m, at) if at != _0 else _0


@jit("void(uint64[::1], uint64, uint64)")
def st64(m, va, value):
    """Store eight bytes."""
    at = va - RAM_BASE
    if at < m[PLAIN_RAM]:
        raw_st64(m, at + RAM_OFFSET, value)
        return
    at = store_offset(m, va, _8)
    if at != _0:
        raw_st64(m, at, value)


@jit("void(uint64[::1], uint64, uint64)")
def st32(m, va, value):
    """Store the low four bytes."""
    at = va - RAM_BASE
    if at < m[PLAIN_RAM]:
        raw_st32(m, at + RAM_OFFSET, value)
        return
    at = store_offset(m, va, _4)
    if at != _0:
        raw_st32(m, at, value)


@jit("void(uint64[::1], uint64, uint64)")
def st16(m, va, value):
    """Store the low two bytes."""
    at = va - RAM_BASE
    if at < m[PLAIN_RAM]:
        raw_st16(m, at + RAM_OFFSET, value)
        return
    at = store_offset(m, va, _2)
    if at != _0:
        raw_st16(m, at, value)


@jit("void(uint64[::1], uint64, uint64)")
def st8(m, va, value):
    """Store the low byte."""
    at = va - RAM_BASE
    if at < m[PLAIN_RAM]:
        raw_st8(m, at + RAM_OFFSET, value)
        return
    at = store_offset(m, va, _1)
    if at != _0:
        raw_st8(m, at, value)


@jit("uint64(uint64[::1], uint64, uint64)")
def device_address(m, va, kind):
    """Charge an access to a device and return its physical address; 0 if there is no device."""
    pa = va
    if m[SATP] != _0:
        pa = translate(m, va, kind)
    if pa == NO_ADDRESS or not is_device(pa):
        m[KERNEL_FAULT] = va
        m[KERNEL_MOST] = _0
        return _0
    m[C_STORE if kind == STORE else C_LOAD] += m[MEMORY_CYCLES]
    m[CYCLES] += m[MEMORY_CYCLES]
    return pa


@jit("uint64(uint64[::1], uint64)")
def ldio32(m, va):
    """Load four bytes of a device's registers."""
    pa = device_address(m, va, LOAD)
    return mmio_read(m, pa, _4) & _W(0xFFFF_FFFF) if pa != _0 else _0


@jit("void(uint64[::1], uint64, uint64)")
def stio32(m, va, value):
    """Store four bytes to a device's registers."""
    pa = device_address(m, va, STORE)
    if pa != _0:
        mmio_write(m, pa, _4, value & _W(0xFFFF_FFFF))


@jit("void(uint64[::1], uint64, uint64)")
def fetch_lines(m, line, last):
    """Charge the fetch of lines of kernel code; control that stays within a line fetches it once, as on the hart."""
    if line + _1 == m[KERNEL_LINE]:
        line += _1
    while line <= last:
        m[C_L1I] += _1
        if m[m[L1I_TAGS] + (line & (m[L1I_SETS] - _1))] >> _1 != line + _1:
            stall = l1i_slow(m, line)
            m[C_FETCH] += stall
            m[CYCLES] += stall
        line += _1
    m[KERNEL_LINE] = last + _1


@jit("void(uint64[::1], uint64, uint64)", forceinline=True)
def charge_block(m, pa, count):
    """Retire ``count`` instructions of kernel code at a physical address, fetching the lines they lie on."""
    m[_DUE + (pa >> _4 & _3)] += count
    if m[TIMED] != _0:
        line, last = pa >> _6, (pa + count * _4 - _1) >> _6  # constants where this is compiled
        if line != last or line + _1 != m[KERNEL_LINE]:
            fetch_lines(m, line, last)


@jit("void(uint64[::1])")
def charge_wrong_way(m):
    """Charge a branch of kernel code that goes the way the hart did not predict."""
    if m[TIMED] != _0:
        m[C_BRANCH] += m[BRANCH_CYCLES]
        m[CYCLES] += m[BRANCH_CYCLES]


@jit("void(uint64[::1], uint64)")
def charge_multiplications(m, count):
    """Charge what multiplications in kernel code take beyond a cycle."""
    m[C_MULTIPLIES] += count
    if m[TIMED] != _0:
        m[C_MULDIV] += count * m[MULTIPLY_CYCLES]
        m[CYCLES] += count * m[MULTIPLY_CYCLES]


@jit("void(uint64[::1], uint64)")
def charge_divisions(m, count):
    """Charge what divisions in kernel code take beyond a cycle."""
    m[C_DIVIDES] += count
    if m[TIMED] != _0:
        m[C_MULDIV] += count * m[DIVIDE_CYCLES]
        m[CYCLES] += count * m[DIVIDE_CYCLES]


@jit("void(uint64[::1])")
def kernel_books(m):
    """Bring the books up to date with what kernel code has retired, when it returns to the hart or the host."""
    due = m[DUE_0] + m[DUE_1] + m[DUE_2] + m[DUE_3]
    m[DUE_0] = m[DUE_1] = m[DUE_2] = m[DUE_3] = _0
    m[KERNEL_LINE] = _0
    m[INSTRET] += due
    m[CYCLES] += due
    m[C_KERNEL] += due
