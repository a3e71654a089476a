"""The C extension: each 16-bit instruction is another way to write a 32-bit one.

Unprivileged specification, chapter "C": RV64C without floating point. ``expand`` returns the 32-bit
word, which the decoder then takes like any other; what is reserved, or belongs to the floating-point
extensions, becomes 0, which is an illegal instruction.
"""

from __future__ import annotations

import numpy as np

from singlab.machine.jit import jit

_W = np.uint64
_0, _1, _2, _3, _4, _5, _6, _7, _8 = (_W(v) for v in range(9))
_9, _10, _11, _12, _15, _20, _25, _31 = (_W(v) for v in (9, 10, 11, 12, 15, 20, 25, 31))
_LOAD, _STORE, _OP_IMM, _OP_IMM_32, _OP, _OP_32 = (_W(v) for v in (0x03, 0x23, 0x13, 0x1B, 0x33, 0x3B))
_LUI, _BRANCH, _JALR, _JAL = (_W(v) for v in (0x37, 0x63, 0x67, 0x6F))
_EBREAK = _W(0x0010_0073)
_SRAI, _SUB = _W(0x400), _W(0x20)
_SP = _2
_MASK12 = _W(0xFFF)


@jit("uint64(uint64, uint64, uint64)", forceinline=True)
def bits(c, at, count):
    """Return ``count`` bits of an instruction from bit ``at`` on."""
    return c >> at & ((_1 << count) - _1)


@jit("uint64(uint64, uint64, uint64, uint64, uint64)", forceinline=True)
def i_type(opcode, funct3, rd, rs1, imm):
    """Return an I-type word."""
    return (imm & _MASK12) << _20 | rs1 << _15 | funct3 << _12 | rd << _7 | opcode


@jit("uint64(uint64, uint64, uint64, uint64)", forceinline=True)
def s_type(funct3, rs2, rs1, imm):
    """Return a store."""
    return bits(imm, _5, _7) << _25 | rs2 << _20 | rs1 << _15 | funct3 << _12 | bits(imm, _0, _5) << _7 | _STORE


@jit("uint64(uint64, uint64, uint64, uint64, uint64, uint64)", forceinline=True)
def r_type(opcode, funct3, funct7, rd, rs1, rs2):
    """Return an R-type word."""
    return funct7 << _25 | rs2 << _20 | rs1 << _15 | funct3 << _12 | rd << _7 | opcode


@jit("uint64(uint64)")
def quadrant0(c):
    """Loads and stores of the eight middle registers."""
    funct3 = c >> _W(13)
    near, base = _8 + bits(c, _2, _3), _8 + bits(c, _7, _3)
    word = bits(c, _10, _3) << _3 | bits(c, _6, _1) << _2 | bits(c, _5, _1) << _6
    double = bits(c, _10, _3) << _3 | bits(c, _5, _2) << _6
    if funct3 == _0:
        imm = bits(c, _11, _2) << _4 | bits(c, _7, _4) << _6 | bits(c, _6, _1) << _2 | bits(c, _5, _1) << _3
        return i_type(_OP_IMM, _0, near, _SP, imm) if imm != _0 else _0
    if funct3 == _2:
        return i_type(_LOAD, _2, near, base, word)
    if funct3 == _3:
        return i_type(_LOAD, _3, near, base, double)
    if funct3 == _6:
        return s_type(_2, near, base, word)
    if funct3 == _7:
        return s_type(_3, near, base, double)
    return _0


@jit("uint64(uint64)")
def arithmetic(c):
    """Shifts, masks and register arithmetic of the eight middle registers (quadrant 1, funct3 4)."""
    rd, other = _8 + bits(c, _7, _3), _8 + bits(c, _2, _3)
    high = bits(c, _12, _1)
    amount = high << _5 | bits(c, _2, _5)
    kind = bits(c, _10, _2)
    if kind == _0:
        return i_type(_OP_IMM, _5, rd, rd, amount)
    if kind == _1:
        return i_type(_OP_IMM, _5, rd, rd, amount | _SRAI)
    if kind == _2:
        return i_type(_OP_IMM, _7, rd, rd, (_0 - high) << _5 | bits(c, _2, _5))
    which = bits(c, _5, _2)
    if high == _0:
        if which == _0:
            return r_type(_OP, _0, _SUB, rd, rd, other)
        if which == _1:
            return r_type(_OP, _4, _0, rd, rd, other)
        return r_type(_OP, _6 if which == _2 else _7, _0, rd, rd, other)
    if which == _0:
        return r_type(_OP_32, _0, _SUB, rd, rd, other)
    return r_type(_OP_32, _0, _0, rd, rd, other) if which == _1 else _0


@jit("uint64(uint64)")
def quadrant1(c):
    """Immediates, jumps and branches."""
    funct3 = c >> _W(13)
    rd = bits(c, _7, _5)
    sign = _0 - bits(c, _12, _1)
    imm = sign << _5 | bits(c, _2, _5)
    if funct3 == _0:
        return i_type(_OP_IMM, _0, rd, rd, imm)
    if funct3 == _1:
        return i_type(_OP_IMM_32, _0, rd, rd, imm) if rd != _0 else _0
    if funct3 == _2:
        return i_type(_OP_IMM, _0, rd, _0, imm)
    if funct3 == _3:
        if imm == _0:
            return _0
        if rd == _SP:
            imm = sign << _9 | bits(c, _6, _1) << _4 | bits(c, _5, _1) << _6 | bits(c, _3, _2) << _7 | bits(c, _2, _1) << _5
            return i_type(_OP_IMM, _0, _SP, _SP, imm)
        return (imm & _W(0xFFFFF)) << _12 | rd << _7 | _LUI
    if funct3 == _4:
        return arithmetic(c)
    if funct3 == _5:
        v = (sign << _11 | bits(c, _11, _1) << _4 | bits(c, _9, _2) << _8 | bits(c, _8, _1) << _10 | bits(c, _7, _1) << _6
             | bits(c, _6, _1) << _7 | bits(c, _3, _3) << _1 | bits(c, _2, _1) << _5)  # fmt: skip
        return bits(v, _20, _1) << _31 | bits(v, _1, _10) << _W(21) | bits(v, _11, _1) << _20 | bits(v, _12, _8) << _12 | _JAL
    rs1 = _8 + bits(c, _7, _3)
    v = sign << _8 | bits(c, _10, _2) << _3 | bits(c, _5, _2) << _6 | bits(c, _3, _2) << _1 | bits(c, _2, _1) << _5
    return (bits(v, _12, _1) << _31 | bits(v, _5, _6) << _25 | rs1 << _15 | (funct3 - _6) << _12 | bits(v, _1, _4) << _8
            | bits(v, _11, _1) << _7 | _BRANCH)  # fmt: skip


@jit("uint64(uint64)")
def quadrant2(c):
    """Shifts, the stack, moves and indirect jumps."""
    funct3 = c >> _W(13)
    rd, rs2 = bits(c, _7, _5), bits(c, _2, _5)
    high = bits(c, _12, _1)
    if funct3 == _0:
        return i_type(_OP_IMM, _1, rd, rd, high << _5 | rs2)
    if funct3 == _2:
        return i_type(_LOAD, _2, rd, _SP, high << _5 | bits(c, _4, _3) << _2 | bits(c, _2, _2) << _6) if rd != _0 else _0
    if funct3 == _3:
        return i_type(_LOAD, _3, rd, _SP, high << _5 | bits(c, _5, _2) << _3 | bits(c, _2, _3) << _6) if rd != _0 else _0
    if funct3 == _4:
        if rs2 != _0:
            return r_type(_OP, _0, _0, rd, rd if high != _0 else _0, rs2)
        if rd == _0:
            return _EBREAK if high != _0 else _0
        return i_type(_JALR, _0, high, rd, _0)
    if funct3 == _6:
        return s_type(_2, rs2, _SP, bits(c, _9, _4) << _2 | bits(c, _7, _2) << _6)
    if funct3 == _7:
        return s_type(_3, rs2, _SP, bits(c, _10, _3) << _3 | bits(c, _7, _3) << _6)
    return _0


@jit("uint64(uint64)")
def expand(c):
    """Return the 32-bit word that a 16-bit instruction stands for, 0 if it is none."""
    quadrant = c & _3
    if quadrant == _0:
        return quadrant0(c)
    if quadrant == _1:
        return quadrant1(c)
    if quadrant == _2:
        return quadrant2(c)
    return _0
