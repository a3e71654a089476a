"""What the machine's tests share: running a text, and random programs whose end is certain."""

from __future__ import annotations

import random
import struct

from singlab.machine import Machine
from singlab.machine import state as s
from singlab.machine.asm import assemble, encode
from singlab.machine.isa import INSTRUCTIONS

BASE = s.RAM_BASE
DATA = BASE + 0x10_0000
#: Bytes around the data pointer that random programs read and write.
WINDOW = 4096
MASK = (1 << 64) - 1

#: Registers random programs do not write: zero, and the pointer to their data.
POINTER = 8
EDGES = (0, 1, 2, 7, 63, 64, MASK, MASK - 1, 1 << 63, (1 << 63) - 1, 1 << 31, (1 << 31) - 1, 0xFFFF_FFFF, 0xFFFF_FFFF_8000_0000)


def machine(code: bytes | str, profile: str = "athlon64", ram: str = "4M", mode: int = s.M_MODE, **registers: int) -> Machine:
    """Return a machine with code at the beginning of RAM, about to run it."""
    if isinstance(code, str):
        code = assemble(code, BASE).code
    made = Machine(profile=profile, ram=ram)
    made.write(BASE, code)
    made.m[s.PC], made.m[s.MODE] = BASE, mode
    for name, value in registers.items():
        made.m[int(name[1:])] = value & MASK
    return made


def run(code: bytes | str, cycles: int = 2_000_000, **options) -> Machine:
    """Run code to its end (a wfi) and return the machine."""
    made = machine(code, **options)
    made.run(cycles=cycles)
    return made


def random_program(seed: int, length: int) -> tuple[bytes, dict[int, int]]:
    """Return code and starting registers of a random program.

    Only forward branches, and loads and stores in a window around the pointer, so it ends at its last
    instruction, a ``wfi``.
    """
    draw = random.Random(seed)
    forms = {form: [n for n, i in INSTRUCTIONS.items() if i[0] == form] for form in "RI65LSBU"}
    forms["I"].remove("jalr")
    words = []
    for place in range(length):
        left = length - place
        form = draw.choices("RI65LSBUJ", (40, 20, 6, 4, 10, 8, 8, 4, 2))[0]
        rd = draw.choice([r for r in range(32) if r != POINTER])
        a, b = draw.randrange(32), draw.randrange(32)
        if form == "J" or form == "B":
            ahead = 4 * draw.randint(1, min(left, 12))
            if form == "J":
                words.append(encode("jal", rd, ahead))
            else:
                words.append(encode(draw.choice(forms["B"]), a, b, ahead))
            continue
        name = draw.choice(forms[form])
        if form == "R":
            words.append(encode(name, rd, a, b))
        elif form == "I":
            words.append(encode(name, rd, a, draw.randint(-2048, 2047)))
        elif form in "65":
            words.append(encode(name, rd, a, draw.randrange(1 << int(form))))
        elif form == "U":
            words.append(encode(name, rd, draw.randrange(1 << 20)))
        else:
            size = {"b": 1, "h": 2, "w": 4, "d": 8}[name.rstrip("u")[-1]]
            offset = draw.randrange(-WINDOW // 2 // size, WINDOW // 2 // size) * size
            words.append(encode(name, b if form == "S" else rd, POINTER, max(-2048, min(2048 - size, offset))))
    words.append(encode("wfi"))
    registers = {r: draw.choice((draw.choice(EDGES), draw.getrandbits(64), draw.getrandbits(8))) for r in range(1, 32)}
    registers[POINTER] = DATA
    return struct.pack(f"<{len(words)}I", *words), registers


def window(seed: int) -> bytes:
    """Return the bytes the data window holds at the start."""
    return random.Random(seed).randbytes(WINDOW)
