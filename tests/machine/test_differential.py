"""The hart against Unicorn: random programs leave the same registers and the same memory."""

from __future__ import annotations

import itertools
import struct

import pytest
import unicorn
from bench import BASE, DATA, EDGES, MASK, WINDOW, machine, random_program, window
from unicorn import riscv_const

from singlab.machine import state as s
from singlab.machine.asm import encode
from singlab.machine.isa import INSTRUCTIONS

REGISTERS = [getattr(riscv_const, f"UC_RISCV_REG_X{i}") for i in range(32)]


def peer(code: bytes, registers: dict[int, int], data: bytes) -> tuple[list[int], bytes]:
    """Return registers and the data window after Unicorn has run a program up to its wfi."""
    emulator = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    emulator.mem_map(BASE, 4 << 20)
    emulator.mem_write(BASE, code)
    emulator.mem_write(DATA - WINDOW // 2, data)
    for number, value in registers.items():
        emulator.reg_write(REGISTERS[number], value)
    emulator.emu_start(BASE, BASE + len(code) - 4)
    return [emulator.reg_read(r) for r in REGISTERS], bytes(emulator.mem_read(DATA - WINDOW // 2, WINDOW))


def ours(code: bytes, registers: dict[int, int], data: bytes, profile: str) -> tuple[list[int], bytes]:
    """Return the same of our hart."""
    made = machine(code, profile=profile, **{f"x{n}": v for n, v in registers.items()})
    made.write(DATA - WINDOW // 2, data)
    assert made.run(cycles=10_000_000) == "wfi"
    assert int(made.m[s.PC]) == BASE + len(code)
    return [int(v) for v in made.m[:32]], made.read(DATA - WINDOW // 2, WINDOW)


def compare(seeds: range, profile: str, compressed: bool = True) -> None:
    """Run random programs on both and compare everything."""
    for seed in seeds:
        code, registers = random_program(seed, 400, compressed)
        data = window(seed)
        theirs, mine = peer(code, registers, data), ours(code, registers, data, profile)
        for number, (a, b) in enumerate(zip(theirs[0], mine[0], strict=True)):
            assert a == b, f"seed {seed}: x{number} is {b:#x}, Unicorn has {a:#x}"
        assert theirs[1] == mine[1], f"seed {seed}: memory differs"


@pytest.mark.parametrize("profile", ["athlon64", "teaching"])
@pytest.mark.parametrize("block", range(8))
def test_random_programs(block, profile):
    compare(range(25 * block, 25 * block + 25), profile, compressed=block % 4 != 0)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(50))
def test_a_million_random_instructions(block):
    """Fifty blocks of fifty programs of four hundred instructions."""
    compare(range(10_000 + 50 * block, 10_050 + 50 * block), "athlon64")


OPERATIONS = sorted(n for n, i in INSTRUCTIONS.items() if i[0] == "R")


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_on_edge_values(name):
    """Every pair of values at which arithmetic goes wrong, ten a program."""
    pairs = list(itertools.product(EDGES, EDGES))
    for first in range(0, len(pairs), 10):
        batch = pairs[first : first + 10]
        words = [encode(name, 22 + i, 2 + 2 * i, 3 + 2 * i) for i in range(len(batch))]
        code = struct.pack(f"<{len(words) + 1}I", *words, encode("wfi"))
        registers = {2 + 2 * i + j: pair[j] & MASK for i, pair in enumerate(batch) for j in (0, 1)}
        theirs, mine = peer(code, registers, bytes(WINDOW)), ours(code, registers, bytes(WINDOW), "modern")
        assert theirs[0] == mine[0], (name, batch)
