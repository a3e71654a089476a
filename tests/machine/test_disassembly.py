"""The disassembly, against the assembler: what it reads, put through the assembler again, is the code it read."""

from __future__ import annotations

import random
import re

import pytest
from bench import BASE, machine, random_program
from test_sv39 import A, V, X, mapped

from singlab.machine import state as s
from singlab.machine import view
from singlab.machine.asm import AssemblyError, assemble, encode
from singlab.machine.isa import CSRS, INSTRUCTIONS

PROGRAM = """
start: li a0, 10
       la a1, data
loop:  ld t0, 8(a1)
       add a0, a0, t0
       amoadd.d t1, a0, (a1)
       lr.w t2, (a1)
       sc.w t3, t2, (a1)
       bnez a0, loop
       bltu a0, a1, start
       csrrw t0, mscratch, a0
       csrrs t0, stimecmp, a0
       csrr t0, menvcfg
       csrw medeleg, t0
       csrrwi t0, satp, 5
       call start
       jalr ra, 4(a1)
       hook 77
       ecall
       ebreak
       sfence.vma
       fence
       mret
       sret
end:   wfi
data:  .dword 0
"""


def reassemble(row, labels: dict[str, int]) -> bytes:
    """Return the code of a disassembled instruction, through the assembler."""
    text = re.sub(r"\s*<[^>]*>", "", row.operands)
    return assemble(f"{row.mnemonic} {text}", row.address, labels).code


def test_disassembly_against_the_assembler():
    made = assemble(PROGRAM, BASE)
    shown = view.Views(machine(made.code), symbols=made.labels).code(BASE, before=0, count=25)
    assert b"".join(row.data for row in shown.rows) == made.code[: 4 * 25]
    for row in shown.rows:
        if row.address < made.labels["data"]:
            assert reassemble(row, made.labels) == row.data, f"{row.mnemonic} {row.operands}"
    labels = {row.address: row.label for row in shown.rows if row.label}
    assert labels == {made.labels[name]: name for name in labels.values()} and set(labels.values()) >= {"start", "loop", "end"}
    jumps = {row.mnemonic: row for row in shown.rows if row.target is not None}
    assert jumps["bnez"].target == made.labels["loop"] and "<loop>" in jumps["bnez"].operands
    assert jumps["bltu"].target == jumps["jal"].target == made.labels["start"]
    assert [row.is_pc for row in shown.rows] == [row.address == BASE for row in shown.rows]
    assert repr(shown).splitlines()[2].startswith("> 0x80000000")
    assert {"stimecmp", "menvcfg", "medeleg"} <= set(re.findall(r"\w+", " ".join(row.operands for row in shown.rows)))


@pytest.mark.parametrize("name", sorted(INSTRUCTIONS))
def test_every_instruction_reads_back(name):
    draw = random.Random(name)
    form = INSTRUCTIONS[name][0]
    for _ in range(20):
        a, b, c = (draw.randrange(5, 32) for _ in range(3))
        numbers = {
            "R": (a, b, c), "I": (a, b, draw.randint(-2048, 2047)), "6": (a, b, draw.randrange(64)), "5": (a, b, draw.randrange(32)),
            "L": (a, b, draw.randint(-2048, 2047)), "S": (a, b, draw.randint(-2048, 2047)), "B": (a, b, 2 * draw.randint(-2048, 2047)),
            "U": (a, draw.randrange(1 << 20)), "J": (draw.choice((0, 1, a)), 2 * draw.randint(-(1 << 19), (1 << 19) - 1)),
            "C": (a, draw.choice(sorted(CSRS.values())), draw.choice((0, b))), "A": (a, b, c), "1": (a, b), "F": (0, 0), "H": (draw.randrange(4096),),
            "N": (),
        }[form]  # fmt: skip
        word = encode(name, *numbers)
        row = view.code(machine(word.to_bytes(4, "little"), ram="64K"), BASE, before=0, count=1).rows[0]
        assert row.data == word.to_bytes(4, "little")
        assert not row.mnemonic.startswith("."), f"{name} {numbers} reads as {row.mnemonic}"
        try:
            again = reassemble(row, {})
        except AssemblyError:
            # an alias the assembler does not have
            assert row.mnemonic in ("csrwi", "csrsi", "csrci", "rdcycle", "rdtime", "rdinstret", "jalr", "sgtz", "sltz", "negw"), row
            continue
        assert again == row.data, f"{name} {numbers} reads as {row.mnemonic} {row.operands}"


@pytest.mark.parametrize("seed", range(12))
def test_what_lies_before_an_address_is_read_in_step(seed):
    """Two- and four-byte instructions mixed: with the start named, rows are exactly the instructions that are there."""
    code, _ = random_program(seed, 60)
    starts, at = [], 0
    while at < len(code):
        starts.append(BASE + at)
        at += 4 if code[at] & 3 == 3 else 2
    named = view.Views(machine(code), symbols={"start": BASE})
    for here in random.Random(seed).sample(starts, 20):
        rows = named.code(here, before=5, count=9).rows
        first = starts.index(rows[0].address)
        assert [row.address for row in rows] == starts[first : first + len(rows)]
        assert here in [row.address for row in rows] and starts.index(here) - first == min(5, starts.index(here))
        nameless = view.code(machine(code), here, before=5, count=9).rows
        assert here in [row.address for row in nameless]


def test_code_where_none_is():
    made = machine(b"\x13")
    assert view.code(made, BASE + (4 << 20) - 2, before=0).problem
    assert "outside RAM" in view.code(made, 0x1234).problem and "UART" in repr(view.code(made, 0x1000_0000))
    made.write(BASE, b"\xff\xff\xff\xff\x00\x00")
    rows = view.code(made, BASE, before=0, count=2).rows
    assert rows[0].mnemonic == ".word" and rows[0].operands == "0xffffffff"


def test_code_is_read_where_the_hart_fetches():
    made = mapped(BASE + 0x30_0000 >> 12 << 10 | V | X | A)
    made.write(BASE + 0x30_0000, assemble("addi a0, a0, 1\nwfi", 0).code)
    made.m[s.PC] = 0x4000_0000
    assert [row.mnemonic for row in view.code(made).rows][:2] == ["addi", "wfi"]
    assert "not mapped" in view.code(made, 0x4000_1000, before=0).problem
