"""The M extension: multiplication and division, with the results the specification gives for the odd cases.

Division by zero gives all ones (remainder: the dividend); the one signed overflow gives the dividend
(remainder: 0). Neither traps.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.decode import OP
from singlab.machine.jit import jit

_W = np.uint64
_0, _32, _FULL, _MASK32, _TOP = _W(0), _W(32), _W(0xFFFF_FFFF_FFFF_FFFF), _W(0xFFFF_FFFF), _W(1 << 63)
C_MUL, C_DIV = _s.C_MULTIPLIES, _s.C_DIVIDES
MULTIPLY_CYCLES, DIVIDE_CYCLES = _p.P_MULTIPLY_CYCLES, _p.P_DIVIDE_CYCLES
MUL, MULH, MULHSU, MULHU, DIV, DIVU, REM, REMU, MULW, DIVW, DIVUW, REMW, REMUW = (
    _W(OP[n]) for n in ("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu", "mulw", "divw", "divuw",
                        "remw", "remuw")
)  # fmt: skip


@jit("uint64(uint64)")
def _sext32(value):
    return (value & _MASK32 ^ _W(0x8000_0000)) - _W(0x8000_0000)


@jit("uint64(uint64, uint64)")
def high_product(a, b):
    """Return the high 64 bits of the unsigned product."""
    al, ah, bl, bh = a & _MASK32, a >> _32, b & _MASK32, b >> _32
    middle = ah * bl + (al * bl >> _32)
    other = al * bh + (middle & _MASK32)
    return ah * bh + (middle >> _32) + (other >> _32)


@jit("uint64(uint64, uint64, boolean)")
def divide(a, b, remainder):
    """Return the signed quotient or remainder, rounded towards zero, on magnitudes."""
    if b == _0:
        return a if remainder else _FULL
    negative_a = a >= _TOP
    negative_b = b >= _TOP
    x = _0 - a if negative_a else a
    y = _0 - b if negative_b else b
    if remainder:
        r = x % y
        return _0 - r if negative_a else r
    q = x // y
    return _0 - q if negative_a != negative_b else q


@jit("uint64(uint64[::1], uint64, uint64, uint64, uint64)")
def muldiv(m, op, rd, a, b):
    """Execute one instruction of the M extension into register slot ``rd``; returns its stall."""
    if op == MUL:
        m[rd] = a * b
    elif op == MULH:
        high = high_product(a, b)
        if a >= _TOP:
            high -= b
        if b >= _TOP:
            high -= a
        m[rd] = high
    elif op == MULHSU:
        high = high_product(a, b)
        if a >= _TOP:
            high -= b
        m[rd] = high
    elif op == MULHU:
        m[rd] = high_product(a, b)
    elif op == DIV:
        m[rd] = divide(a, b, False)
    elif op == REM:
        m[rd] = divide(a, b, True)
    elif op == DIVU:
        m[rd] = a // b if b != _0 else _FULL
    elif op == REMU:
        m[rd] = a % b if b != _0 else a
    elif op == MULW:
        m[rd] = _sext32(a * b)
    elif op == DIVW:
        m[rd] = _sext32(divide(_sext32(a), _sext32(b), False))
    elif op == REMW:
        m[rd] = _sext32(divide(_sext32(a), _sext32(b), True))
    else:
        x, y = a & _MASK32, b & _MASK32
        if op == DIVUW:
            m[rd] = _sext32(x // y) if y != _0 else _FULL
        else:
            m[rd] = _sext32(x % y) if y != _0 else _sext32(x)
    if op <= MULHU or op == MULW:
        m[C_MUL] += _W(1)
        return m[MULTIPLY_CYCLES]
    m[C_DIV] += _W(1)
    return m[DIVIDE_CYCLES]
