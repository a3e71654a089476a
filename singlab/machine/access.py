"""Timed memory access for native kernel code, and the charge for the code itself.

Kernel functions that run natively reach simulated memory through these: the same translation, caches
and stalls as the hart's own loads and stores, in whatever mode the hart is. An address outside RAM
reads as 0, writes nothing, and is noted in KERNEL_FAULT, for it is a bug of the kernel.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.caches import l1d, l1i
from singlab.machine.jit import jit
from singlab.machine.state import raw_ld8, raw_ld16, raw_ld32, raw_ld64, raw_st8, raw_st16, raw_st32, raw_st64
from singlab.machine.translate import LOAD, NO_ADDRESS, STORE, translate

_W = np.uint64
_0, _1, _2, _4, _6, _8 = (_W(v) for v in (0, 1, 2, 4, 6, 8))
SATP, RAM_BYTES, KERNEL_FAULT, CYCLES, INSTRET = _s.SATP, _s.RAM_BYTES, _s.KERNEL_FAULT, _s.CYCLES, _s.INSTRET
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
C_LOAD, C_STORE, C_FETCH, C_KERNEL = _s.C_STALL_LOAD, _s.C_STALL_STORE, _s.C_STALL_FETCH, _s.C_KERNEL_INSTRUCTIONS


@jit("uint64(uint64[::1], uint64, uint64)")
def load_offset(m, va, width):
    """Charge a load and return the byte offset of its data in the state; 0 if it lies outside RAM."""
    pa = va
    if m[SATP] != _0:
        pa = translate(m, va, LOAD)
    at = pa - RAM_BASE
    if pa == NO_ADDRESS or at > m[RAM_BYTES] - width:
        m[KERNEL_FAULT] = va
        return _0
    stall = l1d(m, pa, _0)
    m[C_LOAD] += stall
    m[CYCLES] += stall
    return at + RAM_OFFSET


@jit("uint64(uint64[::1], uint64, uint64)")
def store_offset(m, va, width):
    """Charge a store and return the byte offset of its data in the state; 0 if it lies outside RAM."""
    pa = va
    if m[SATP] != _0:
        pa = translate(m, va, STORE)
    at = pa - RAM_BASE
    if pa == NO_ADDRESS or at > m[RAM_BYTES] - width:
        m[KERNEL_FAULT] = va
        return _0
    stall = l1d(m, pa, _1)
    m[C_STORE] += stall
    m[CYCLES] += stall
    return at + RAM_OFFSET


@jit("uint64(uint64[::1], uint64)")
def ld64(m, va):
    """Load eight bytes."""
    at = load_offset(m, va, _8)
    return raw_ld64(m, at) if at != _0 else _0


@jit("uint64(uint64[::1], uint64)")
def ld32(m, va):
    """Load four bytes, zero-extended."""
    at = load_offset(m, va, _4)
    return raw_ld32(m, at) if at != _0 else _0


@jit("uint64(uint64[::1], uint64)")
def ld16(m, va):
    """Load two bytes, zero-extended."""
    at = load_offset(m, va, _2)
    return raw_ld16(m, at) if at != _0 else _0


@jit("uint64(uint64[::1], uint64)")
def ld8(m, va):
    """Load one byte, zero-extended."""
    at = load_offset(m, va, _1)
    return raw_ld8(m, at) if at != _0 else _0


@jit("void(uint64[::1], uint64, uint64)")
def st64(m, va, value):
    """Store eight bytes."""
    at = store_offset(m, va, _8)
    if at != _0:
        raw_st64(m, at, value)


@jit("void(uint64[::1], uint64, uint64)")
def st32(m, va, value):
    """Store the low four bytes."""
    at = store_offset(m, va, _4)
    if at != _0:
        raw_st32(m, at, value)


@jit("void(uint64[::1], uint64, uint64)")
def st16(m, va, value):
    """Store the low two bytes."""
    at = store_offset(m, va, _2)
    if at != _0:
        raw_st16(m, at, value)


@jit("void(uint64[::1], uint64, uint64)")
def st8(m, va, value):
    """Store the low byte."""
    at = store_offset(m, va, _1)
    if at != _0:
        raw_st8(m, at, value)


@jit("void(uint64[::1], uint64, uint64)")
def charge_block(m, pa, count):
    """Retire ``count`` instructions of kernel code at a physical address, fetching the lines they lie on."""
    m[INSTRET] += count
    m[CYCLES] += count
    m[C_KERNEL] += count
    line = pa >> _6
    last = (pa + count * _4 - _1) >> _6
    while line <= last:
        stall = l1i(m, line << _6)
        m[C_FETCH] += stall
        m[CYCLES] += stall
        line += _1
