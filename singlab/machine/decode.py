"""Decoding: a 32-bit instruction word to one packed 64-bit micro-operation.

``op`` (8 bits) | ``rd`` (6), two bits | ``rs1`` (8) | ``rs2`` (8) | immediate (32, signed). The
operation is a dense number, so that the interpreter's chain of comparisons becomes a jump table; a
destination x0 is redirected to a dummy slot, so that writing needs no check. Bit 14 says that the
instruction was a compressed one, of two bytes; bit 15 that it is the last of its line. A load has its width - 1 in place of rs2.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.jit import jit

_W = np.uint64

#: Operations in order of their numbers (from 1; 0 marks what is not decoded yet). Grouped: loads, stores, branches
#: and the system operations are consecutive.
OPS = (
    "lb", "lh", "lw", "ld", "lbu", "lhu", "lwu", "sb", "sh", "sw", "sd",
    "beq", "bne", "blt", "bge", "bltu", "bgeu", "jal", "jalr",
    "addi", "slti", "sltiu", "xori", "ori", "andi", "slli", "srli", "srai", "addiw", "slliw", "srliw", "sraiw",
    "add", "sub", "sll", "slt", "sltu", "xor", "srl", "sra", "or", "and", "addw", "subw", "sllw", "srlw", "sraw",
    "lui", "auipc", "fence",
    "lr.w", "lr.d", "sc.w", "sc.d",
    "amoswap.w", "amoadd.w", "amoxor.w", "amoand.w", "amoor.w", "amomin.w", "amomax.w", "amominu.w", "amomaxu.w",
    "amoswap.d", "amoadd.d", "amoxor.d", "amoand.d", "amoor.d", "amomin.d", "amomax.d", "amominu.d", "amomaxu.d",
    "mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu", "mulw", "divw", "divuw", "remw", "remuw",
    "ecall", "ebreak", "sret", "mret", "wfi", "sfence.vma", "fence.i", "hook",
    "csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci", "illegal",
)  # fmt: skip
OP = {name: number for number, name in enumerate(OPS, 1)}

_LOADS = tuple(OP[n] for n in ("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"))
_STORES = tuple(OP[n] for n in ("sb", "sh", "sw", "sd"))
_BRANCHES = (OP["beq"], OP["bne"], 0, 0, OP["blt"], OP["bge"], OP["bltu"], OP["bgeu"])
_IMMEDIATE = (OP["addi"], OP["slli"], OP["slti"], OP["sltiu"], OP["xori"], OP["srli"], OP["ori"], OP["andi"])
_REGISTER = (OP["add"], OP["sll"], OP["slt"], OP["sltu"], OP["xor"], OP["srl"], OP["or"], OP["and"])
_MULDIV = tuple(OP[n] for n in ("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"))
_WORD = (OP["addw"], OP["sllw"], 0, 0, 0, OP["srlw"], 0, 0)
_WORD_MULDIV = (OP["mulw"], 0, 0, 0, OP["divw"], OP["divuw"], OP["remw"], OP["remuw"])
_CSR = (0, OP["csrrw"], OP["csrrs"], OP["csrrc"], 0, OP["csrrwi"], OP["csrrsi"], OP["csrrci"])

#: By the five bits of funct5: the .w form of each atomic operation; the .d forms follow nine later (lr and sc: one).
_ATOMIC_NAMES = {2: "lr", 3: "sc", 1: "amoswap", 0: "amoadd", 4: "amoxor", 12: "amoand", 8: "amoor", 16: "amomin", 20: "amomax",
                 24: "amominu", 28: "amomaxu"}  # fmt: skip
ATOMIC_W = np.array([OP.get(f"{_ATOMIC_NAMES.get(f)}.w", 0) for f in range(32)], dtype=np.uint64)
ATOMIC_D = np.array([OP.get(f"{_ATOMIC_NAMES.get(f)}.d", 0) for f in range(32)], dtype=np.uint64)

LOADS = np.array((*_LOADS, 0), dtype=np.uint64)
STORES = np.array((*_STORES, 0, 0, 0, 0), dtype=np.uint64)
BRANCHES = np.array(_BRANCHES, dtype=np.uint64)
IMMEDIATE = np.array(_IMMEDIATE, dtype=np.uint64)
REGISTER = np.array(_REGISTER, dtype=np.uint64)
MULDIV = np.array(_MULDIV, dtype=np.uint64)
WORD = np.array(_WORD, dtype=np.uint64)
WORD_MULDIV = np.array(_WORD_MULDIV, dtype=np.uint64)
CSR = np.array(_CSR, dtype=np.uint64)

O_SRAI, O_SUB, O_SRA, O_SUBW, O_SRAW = (_W(OP[n]) for n in ("srai", "sub", "sra", "subw", "sraw"))
O_ADDIW, O_SLLIW, O_SRLIW, O_SRAIW = (_W(OP[n]) for n in ("addiw", "slliw", "srliw", "sraiw"))
O_JAL, O_JALR, O_LUI, O_AUIPC, O_FENCE, O_FENCEI = (
    _W(OP[n]) for n in ("jal", "jalr", "lui", "auipc", "fence", "fence.i")
)  # fmt: skip
O_ECALL, O_EBREAK, O_SRET, O_MRET, O_WFI, O_SFENCE, O_HOOK, O_ILLEGAL = (
    _W(OP[n]) for n in ("ecall", "ebreak", "sret", "mret", "wfi", "sfence.vma", "hook", "illegal")
)

_0, _1, _2, _3, _5, _7 = (_W(v) for v in (0, 1, 2, 3, 5, 7))
#: Set in the micro-operation of a two-byte instruction.
COMPRESSED = _W(1 << 14)
#: Set where the next instruction lies in another line (without timing: page).
LAST = _W(1 << 15)
_8, _12, _15, _16, _20, _24, _25, _32 = (_W(v) for v in (8, 12, 15, 16, 20, 24, 25, 32))
_DUMMY = _W(_s.X_DUMMY)
_FUNCT7_SUB = _W(0x20)
_MASK5, _MASK32 = _W(31), _W(0xFFFF_FFFF)


@jit("uint64(uint64)")
def decode(word):
    """Return the micro-operation of an instruction word; what is no instruction becomes "illegal"."""
    opcode = word & _W(0x7F)
    rd = word >> _7 & _MASK5
    funct3 = word >> _12 & _7
    rs1 = word >> _15 & _MASK5
    rs2 = word >> _20 & _MASK5
    funct7 = word >> _25
    sign = _0 - (word >> _W(31))
    imm = (word >> _20) | sign << _W(12)
    op = _0
    if opcode == _W(0x03):
        op = LOADS[funct3]
        rs2 = (_1 << (funct3 & _3)) - _1
    elif opcode == _W(0x23):
        op = STORES[funct3]
        imm = rd | (word >> _25) << _5 | sign << _12
    elif opcode == _W(0x63):
        op = BRANCHES[funct3]
        imm = (rd & _W(0x1E)) | (funct7 & _W(0x3F)) << _5 | (rd & _1) << _W(11) | sign << _12
    elif opcode == _W(0x6F):
        op = O_JAL
        imm = (word >> _20 & _W(0x7FE)) | (word >> _20 & _1) << _W(11) | word & _W(0xFF000) | sign << _20
    elif opcode == _W(0x67) and funct3 == _0:
        op = O_JALR
    elif opcode == _W(0x13):
        op = IMMEDIATE[funct3]
        if funct3 == _1:
            if word >> _W(26) != _0:
                op = _0
            imm = word >> _20 & _W(63)
        elif funct3 == _5:
            if word >> _W(26) == _W(0x10):
                op = O_SRAI
            elif word >> _W(26) != _0:
                op = _0
            imm = word >> _20 & _W(63)
    elif opcode == _W(0x1B):
        if funct3 == _0:
            op = O_ADDIW
        elif funct3 == _1 and funct7 == _0:
            op = O_SLLIW
            imm = rs2
        elif funct3 == _5 and (funct7 == _0 or funct7 == _FUNCT7_SUB):
            op = O_SRLIW if funct7 == _0 else O_SRAIW
            imm = rs2
    elif opcode == _W(0x33):
        if funct7 == _0:
            op = REGISTER[funct3]
        elif funct7 == _1:
            op = MULDIV[funct3]
        elif funct7 == _FUNCT7_SUB:
            op = O_SUB if funct3 == _0 else (O_SRA if funct3 == _5 else _0)
    elif opcode == _W(0x3B):
        if funct7 == _0:
            op = WORD[funct3]
        elif funct7 == _1:
            op = WORD_MULDIV[funct3]
        elif funct7 == _FUNCT7_SUB:
            op = O_SUBW if funct3 == _0 else (O_SRAW if funct3 == _5 else _0)
    elif opcode == _W(0x2F):
        if funct3 == _2:
            op = ATOMIC_W[word >> _W(27)]
        elif funct3 == _3:
            op = ATOMIC_D[word >> _W(27)]
        if word >> _W(27) == _2 and rs2 != _0:
            op = _0
        imm = _0
    elif opcode == _W(0x37) or opcode == _W(0x17):
        op = O_LUI if opcode == _W(0x37) else O_AUIPC
        imm = word & _W(0xFFFFF000)
    elif opcode == _W(0x0F):
        op = O_FENCEI if funct3 == _1 else (O_FENCE if funct3 == _0 else _0)
    elif opcode == _W(0x0B):
        op = O_HOOK
        imm = word >> _20
    elif opcode == _W(0x73):
        if funct3 != _0:
            op = CSR[funct3]
            imm = word >> _20
            rs2 = rs1
        elif funct7 == _W(9) and rd == _0:
            op = O_SFENCE
        elif word == _W(0x73):
            op = O_ECALL
        elif word == _W(0x100073):
            op = O_EBREAK
        elif word == _W(0x10200073):
            op = O_SRET
        elif word == _W(0x30200073):
            op = O_MRET
        elif word == _W(0x10500073):
            op = O_WFI
    if op == _0:
        op = O_ILLEGAL
        imm = word
    if rd == _0:
        rd = _DUMMY
    return op | rd << _8 | rs1 << _16 | rs2 << _24 | (imm & _MASK32) << _32
