"""The A extension: load-reserved, store-conditional, and atomic memory operations.

Unprivileged specification, chapter "A". A reservation is one naturally aligned word or doubleword by its
physical address; a store-conditional succeeds only where the last load-reserved of this hart reserved,
and ends the reservation either way. On one hart every operation is atomic by itself, so ordering bits
change nothing.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.decode import OP
from singlab.machine.jit import jit
from singlab.machine.state import raw_ld32, raw_ld64, raw_st32, raw_st64

_W = np.uint64
_I = np.int64
_0, _1 = _W(0), _W(1)
RESERVATION = _s.RESERVATION
_MASK32 = _W(0xFFFF_FFFF)
_FIRST_D = _W(OP["amoswap.d"])
_NINE = _W(9)
LR_W, LR_D, SC_W, SC_D, AMOSWAP, AMOADD, AMOXOR, AMOAND, AMOOR, AMOMIN, AMOMAX, AMOMINU = (
    _W(OP[n]) for n in ("lr.w", "lr.d", "sc.w", "sc.d", "amoswap.w", "amoadd.w", "amoxor.w", "amoand.w", "amoor.w", "amomin.w",
                        "amomax.w", "amominu.w")
)  # fmt: skip


@jit("uint64(uint64)", forceinline=True)
def sext32(value):
    """Sign-extend the low 32 bits."""
    return _W(_I(np.int32(np.uint32(value & _MASK32))))


@jit("uint64(uint64, uint64, uint64)")
def combine(op, old, value):
    """Return what an atomic operation (its .w number) stores; both operands are sign-extended."""
    if op == AMOSWAP:
        return value
    if op == AMOADD:
        return old + value
    if op == AMOXOR:
        return old ^ value
    if op == AMOAND:
        return old & value
    if op == AMOOR:
        return old | value
    if op == AMOMIN:
        return old if _I(old) < _I(value) else value
    if op == AMOMAX:
        return old if _I(old) > _I(value) else value
    if op == AMOMINU:
        return old if old < value else value
    return old if old > value else value


@jit("void(uint64[::1], uint64, uint64, uint64, uint64)")
def atomic(m, op, rd, at, value):
    """Do one atomic instruction at the state's byte offset ``at``, which is aligned and may be written."""
    if op <= LR_D:
        m[RESERVATION] = at + _1
        m[rd] = raw_ld64(m, at) if op == LR_D else sext32(raw_ld32(m, at))
    elif op <= SC_D:
        if m[RESERVATION] == at + _1:
            if op == SC_D:
                raw_st64(m, at, value)
            else:
                raw_st32(m, at, value)
            m[rd] = _0
        else:
            m[rd] = _1
        m[RESERVATION] = _0
    elif op >= _FIRST_D:
        old = raw_ld64(m, at)
        raw_st64(m, at, combine(op - _NINE, old, value))
        m[rd] = old
    else:
        old = sext32(raw_ld32(m, at))
        raw_st32(m, at, combine(op, old, sext32(value)))
        m[rd] = old
