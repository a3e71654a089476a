"""All 65,536 halfwords: the expansion is what an independent disassembler reads, and what it cannot read is illegal."""

from __future__ import annotations

import struct

import capstone
import numpy as np
import pytest

from singlab.machine.compressed import expand


def reader(compressed: bool):
    mode = capstone.CS_MODE_RISCV64 | (capstone.CS_MODE_RISCVC if compressed else 0)
    return capstone.Cs(capstone.CS_ARCH_RISCV, mode)


#: What a compressed mnemonic is called in full; the others lose their "c." only.
FULL = {"c.addi4spn": "addi", "c.addi16sp": "addi", "c.lwsp": "lw", "c.ldsp": "ld", "c.swsp": "sw", "c.sdsp": "sd", "c.li": "addi",
        "c.mv": "add", "c.j": "jal", "c.jr": "jalr", "c.jalr": "jalr", "c.beqz": "beq", "c.bnez": "bne", "c.nop": "addi"}  # fmt: skip


@pytest.mark.parametrize("quadrant", [0, 1, 2])
def test_every_halfword(quadrant):
    short = reader(True)
    checked = illegal = 0
    for half in range(quadrant, 1 << 16, 4):
        word = int(expand(np.uint64(half)))
        found = list(short.disasm(struct.pack("<H", half), 0))
        name = found[0].mnemonic if found else None
        if name is None or name.startswith(("c.f", "c.unimp")):
            assert word == 0 or name is None, f"{half:#06x}: {name}"
            illegal += 1
            continue
        if word == 0:
            # reserved by the specification, though the disassembler names it
            rd, zero = half >> 7 & 31, not half >> 2 & 31 and not half >> 12 & 1
            reserved = (name in ("c.addiw", "c.lwsp", "c.ldsp", "c.jr") and rd == 0) or (name in ("c.lui", "c.addi16sp", "c.addi4spn") and (zero or not half >> 5 & 0xFF))
            assert reserved, f"{half:#06x}: {found[0].mnemonic} {found[0].op_str}"
            continue
        assert word & 3 == 3
        read = operands(word)[:3] if name == "c.nop" else operands(word)  # its immediate is a hint
        assert read == meant(name, found[0].op_str), f"{half:#06x}: {name} {found[0].op_str} became {word:#010x}"
        checked += 1
    assert checked > 5_000


def fields(word: int) -> tuple[int, int, int, int]:
    return word >> 7 & 31, word >> 15 & 31, word >> 20 & 31, (word >> 20) - ((word >> 31) << 12)


NAMES = ("zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", *(f"a{i}" for i in range(8)), *(f"s{i}" for i in range(2, 12)), "t3", "t4", "t5", "t6")
NUMBER = {name: i for i, name in enumerate(NAMES)} | {"fp": 8}


def operands(word: int) -> tuple:
    """Return a 32-bit word as (name, numbers), decoded here from the specification's formats."""
    opcode, funct3 = word & 0x7F, word >> 12 & 7
    rd, rs1, rs2, imm = fields(word)
    if opcode == 0x13:
        names = {0: "addi", 7: "andi"}
        if funct3 in names:
            return names[funct3], rd, rs1, imm
        return ("slli" if funct3 == 1 else "srai" if word >> 30 & 1 else "srli"), rd, rs1, word >> 20 & 63
    if opcode == 0x1B:
        return "addiw", rd, rs1, imm
    if opcode == 0x03:
        return {2: "lw", 3: "ld"}[funct3], rd, rs1, imm
    if opcode == 0x23:
        return {2: "sw", 3: "sd"}[funct3], rs2, rs1, (word >> 25 << 5) | rd
    if opcode == 0x33:
        return {(0, 0): "add", (0, 32): "sub", (4, 0): "xor", (6, 0): "or", (7, 0): "and"}[funct3, word >> 25], rd, rs1, rs2
    if opcode == 0x3B:
        return ("subw" if word >> 30 & 1 else "addw"), rd, rs1, rs2
    if opcode == 0x37:
        return "lui", rd, word >> 12
    if opcode == 0x67:
        return "jalr", rd, rs1, imm
    if opcode == 0x6F:
        v = (word >> 21 & 0x3FF) << 1 | (word >> 20 & 1) << 11 | (word >> 12 & 0xFF) << 12
        return "jal", rd, v - ((word >> 31) << 20)
    if opcode == 0x63:
        v = (word >> 8 & 15) << 1 | (word >> 25 & 63) << 5 | (word >> 7 & 1) << 11
        return {0: "beq", 1: "bne"}[funct3], rs1, rs2, v - ((word >> 31) << 12)
    return ("ebreak",) if word == 0x0010_0073 else ("unknown", word)


def meant(name: str, text: str) -> tuple:
    """Return the disassembler's reading in the same form."""
    parts = [p for p in text.replace("(", ", ").replace(")", "").replace(" ", "").split(",") if p]
    v = [NUMBER[p] if p in NUMBER else int(p, 0) for p in parts]
    full = FULL.get(name, name.removeprefix("c."))
    if name == "c.nop":
        return ("addi", 0, 0)
    if name in ("c.addi", "c.addiw", "c.andi", "c.slli", "c.srli", "c.srai", "c.add", "c.sub", "c.xor", "c.or", "c.and", "c.addw", "c.subw"):
        return full, v[0], v[0], v[-1]
    if name == "c.addi16sp":
        return "addi", 2, 2, v[-1]
    if name == "c.addi4spn":
        return "addi", v[0], 2, v[-1]
    if name in ("c.li", "c.mv"):
        return full, v[0], 0, v[1]
    if name == "c.lui":
        return "lui", v[0], v[1] & 0xFFFFF
    if name in ("c.jr", "c.jalr"):
        return "jalr", int(name == "c.jalr"), v[0], 0
    if name == "c.j":
        return "jal", 0, v[0]
    if name in ("c.beqz", "c.bnez"):
        return full, v[0], 0, v[1]
    if name == "c.ebreak":
        return ("ebreak",)
    if name in ("c.lw", "c.ld", "c.lwsp", "c.ldsp", "c.sw", "c.sd", "c.swsp", "c.sdsp"):
        return full, v[0], next(x for x, p in zip(v[1:], parts[1:], strict=True) if p in NUMBER), next(x for x, p in zip(v[1:], parts[1:], strict=True) if p not in NUMBER)
    return (name, *v)
