"""The hart against Unicorn: random programs leave the same registers and the same memory."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable

import pytest
import unicorn
from bench import BASE, DATA, EDGES, MASK, WINDOW, machine, random_program, window
from unicorn import riscv_const

from singlab.machine import state as s
from singlab.machine.asm import encode
from singlab.machine.instruction import instruction_at
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


def ours(code: bytes, registers: dict[int, int], data: bytes, profile: str) -> tuple[list[int], bytes, int]:
    """Return the same of our hart, and how many instructions it retired."""
    made = machine(code, profile=profile, **{f"x{n}": v for n, v in registers.items()})
    made.write(DATA - WINDOW // 2, data)
    assert made.run(cycles=10_000_000) == "wfi"
    assert int(made.m[s.PC]) == BASE + len(code)
    return [int(v) for v in made.m[:32]], made.read(DATA - WINDOW // 2, WINDOW), int(made.m[s.INSTRET])


def compare(seeds: Iterable[int], profile: str, compressed: bool = True, enough: int | None = None) -> None:
    """Run random programs on both and compare everything; end after so many instructions retired."""
    retired = 0
    for seed in seeds:
        code, registers = random_program(seed, 400, compressed)
        data = window(seed)
        theirs, mine = peer(code, registers, data), ours(code, registers, data, profile)
        for number, (a, b) in enumerate(zip(theirs[0], mine[0], strict=True)):
            assert a == b, f"seed {seed}: x{number} is {b:#x}, Unicorn has {a:#x}"
        assert theirs[1] == mine[1], f"seed {seed}: memory differs"
        retired += mine[2]
        if enough is not None and retired >= enough:
            return
    assert enough is None, f"only {retired:,} instructions"


@pytest.mark.parametrize("profile", ["athlon64", "teaching"])
@pytest.mark.parametrize("block", range(8))
def test_random_programs(block, profile):
    compare(range(25 * block, 25 * block + 25), profile, compressed=block % 4 != 0)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(50))
def test_a_million_random_instructions(block):
    """Fifty blocks of twenty thousand instructions retired."""
    compare(range(10_000 + 100 * block, 10_100 + 100 * block), "athlon64", enough=20_000)


def test_random_programs_have_every_instruction():
    """All of RV64IMAC but what traps, waits or is of the privileged kind; and every compressed form of those."""
    found, short = set(), set()
    for seed in range(60):
        code, _ = random_program(seed, 400)
        at = 0
        while at < len(code):
            one = instruction_at(code, at)
            found.add(one.name)
            if one.size == 2:
                half = int.from_bytes(code[at : at + 2], "little")
                short.add(
                    (
                        half & 3,
                        half >> 13,
                        (half >> 10 & 3, half >> 5 & 3)
                        if (half & 3, half >> 13) == (1, 4)
                        else half >> 12 & 1
                        if (half & 3, half >> 13) == (2, 4)
                        else 0,
                    )
                )
            at += one.size
    wanted = {name for name, form in INSTRUCTIONS.items() if form[0] in "RI65LSBUJA"}
    assert wanted <= found, wanted - found
    assert {one[:2] for one in short} == {
        (0, 0),
        (0, 2),
        (0, 3),
        (0, 6),
        (0, 7),
        (1, 0),
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (2, 0),
        (2, 2),
        (2, 3),
        (2, 4),
        (2, 6),
        (2, 7),
    }
    assert len([one for one in short if one[:2] == (1, 4)]) >= 9


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
