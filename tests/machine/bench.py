"""What the machine's tests share: running a text, and random programs whose end is certain."""

from __future__ import annotations

import random
import struct

import numpy as np

from singlab.machine import Machine
from singlab.machine import state as s
from singlab.machine.asm import assemble, encode
from singlab.machine.compressed import expand
from singlab.machine.isa import INSTRUCTIONS

BASE = s.RAM_BASE
DATA = BASE + 0x10_0000
#: Bytes around the data pointer that random programs read and write; a compressed load reaches 504 bytes up.
WINDOW = 4112
MASK = (1 << 64) - 1

POINTER = 8
EDGES = (0, 1, 2, 7, 63, 64, MASK, MASK - 1, 1 << 63, (1 << 63) - 1, 1 << 31, (1 << 31) - 1, 0xFFFF_FFFF, 0xFFFF_FFFF_8000_0000)


def machine(code: bytes | str, profile: str = "athlon64", ram: str = "4M", mode: int = s.M_MODE, **registers: int) -> Machine:
    """Return a machine with code at the beginning of RAM, about to run it."""
    if isinstance(code, str):
        code = assemble(code, BASE).code
    made = Machine(profile=profile, ram=ram)
    made.write(BASE, code)
    if mode != s.M_MODE:
        made.leave_machine_level()
    made.m[s.PC], made.m[s.MODE] = BASE, mode
    for name, value in registers.items():
        made.m[int(name[1:])] = value & MASK
    return made


def run(code: bytes | str, cycles: int = 2_000_000, **options) -> Machine:
    """Run code to its end (a wfi) and return the machine."""
    made = machine(code, **options)
    made.run(cycles=cycles)
    return made


#: Registers that point into the window and are not written: s0 and the stack pointer.
POINTERS = (POINTER, 2)


def _compressed(draw: random.Random) -> int:
    """Return a random two-byte instruction that neither jumps nor leaves the window nor writes a pointer."""
    while True:
        half = draw.getrandbits(16)
        word = int(expand(np.uint64(half))) if half & 3 != 3 else 0
        opcode, rd, rs1 = word & 0x7F, word >> 7 & 31, word >> 15 & 31
        if opcode in (0x13, 0x1B, 0x33, 0x3B, 0x37) and rd not in POINTERS:
            return half
        if (opcode == 0x03 and rs1 in POINTERS and rd not in POINTERS) or (opcode == 0x23 and rs1 in POINTERS):
            return half


def random_program(seed: int, length: int, compressed: bool = True) -> tuple[bytes, dict[int, int]]:
    """Return code and starting registers of a random program over all of RV64IMAC.

    Only forward branches, and loads, stores and atomics in a window around the pointers, so it ends at its
    last instruction, a ``wfi``. A store-conditional stands right behind its load-reserved, or alone.
    """
    draw = random.Random(seed)
    forms = {form: [n for n, i in INSTRUCTIONS.items() if i[0] == form] for form in "RI65LSBUA"}
    forms["I"].remove("jalr")
    writable = [r for r in range(32) if r not in POINTERS]
    items: list = []  # a word, a halfword, or (mnemonic, registers, how many items ahead)
    for place in range(length):
        form = draw.choices("RI65LSBUJrAC", (40, 20, 6, 4, 10, 8, 8, 4, 2, 2, 6, 40 if compressed else 0))[0]
        rd, a, b = draw.choice(writable), draw.randrange(32), draw.randrange(32)
        if form in "JB":
            name = "jal" if form == "J" else draw.choice(forms["B"])
            items.append((name, (rd,) if form == "J" else (a, b), draw.randint(1, min(length - place, 12))))
            continue
        if form == "r":
            # an indirect jump, in four bytes or two: auipc, addi, then to where that leads
            at = draw.choice([r for r in writable if r])
            short = compressed and draw.random() < 0.5
            items.append(
                ("short" if short else "long", (at, draw.choice((0, 1)) if short else rd), draw.randint(1, min(length - place, 12)))
            )
            continue
        if form == "C":
            items.append(("half", _compressed(draw)))
            continue
        name = draw.choice(forms[form])
        if form == "A":
            if name.startswith("sc") and draw.random() < 0.7:
                items.append(("pair", encode(f"lr{name[2:]}", draw.choice(writable), POINTER), encode(name, rd, POINTER, b)))
            else:
                items.append(("word", encode(name, rd, POINTER, b)))
        elif form == "R":
            items.append(("word", encode(name, rd, a, b)))
        elif form == "I":
            items.append(("word", encode(name, rd, a, draw.randint(-2048, 2047))))
        elif form in "65":
            items.append(("word", encode(name, rd, a, draw.randrange(1 << int(form)))))
        elif form == "U":
            items.append(("word", encode(name, rd, draw.randrange(1 << 20))))
        else:
            items.append(("word", encode(name, b if form == "S" else rd, POINTER, draw.randint(-2000, 2000))))
    size = {"half": 2, "pair": 8, "short": 10, "long": 12}
    starts = [0]
    for item in items:
        starts.append(starts[-1] + size.get(item[0], 4))
    code = b""
    for index, item in enumerate(items):
        if item[0] == "half":
            code += struct.pack("<H", item[1])
        elif item[0] in ("word", "pair"):
            code += struct.pack(f"<{len(item) - 1}I", *item[1:])
        elif item[0] in ("short", "long"):
            (at, link), ahead = item[1:]
            code += struct.pack("<II", encode("auipc", at, 0), encode("addi", at, at, starts[index + ahead] - starts[index]))
            code += (
                struct.pack("<H", 0x8002 | link << 12 | at << 7) if item[0] == "short" else struct.pack("<I", encode("jalr", link, at, 0))
            )
        else:
            name, registers, ahead = item
            code += struct.pack("<I", encode(name, *registers, starts[index + ahead] - starts[index]))
    code += struct.pack("<I", encode("wfi"))
    registers = {r: draw.choice((draw.choice(EDGES), draw.getrandbits(64), draw.getrandbits(8))) for r in range(1, 32)}
    registers.update(dict.fromkeys(POINTERS, DATA))
    return code, registers


def window(seed: int) -> bytes:
    """Return the bytes the data window holds at the start."""
    return random.Random(seed).randbytes(WINDOW)
