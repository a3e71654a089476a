"""The assembler, against capstone: an independent disassembler reads what was meant."""

from __future__ import annotations

import random
import struct

import capstone
import pytest
from bench import BASE, EDGES, MASK, run

from singlab.machine.asm import AssemblyError, assemble, encode, load_immediate
from singlab.machine.isa import CSRS, INSTRUCTIONS, REGISTER_NAMES


def disassemble(word: int) -> tuple[str, str]:
    """Return mnemonic and operands as capstone reads them, without its aliases."""
    reader = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64)
    reader.syntax = capstone.CS_OPT_SYNTAX_DEFAULT
    found = list(reader.disasm(struct.pack("<I", word), 0))
    assert found, f"{word:#010x} is no instruction"
    return found[0].mnemonic, found[0].op_str


def operands(name: str, draw: random.Random) -> tuple[tuple[int, ...], str]:
    """Return operands for encode() and how a disassembler writes them."""
    form = INSTRUCTIONS[name][0]
    # neither zero nor ra, so that no alias (nop, ret, beqz, ...) applies
    a, b, c = (draw.randrange(5, 32) for _ in range(3))
    x = REGISTER_NAMES
    if form == "R":
        return (a, b, c), f"{x[a]}, {x[b]}, {x[c]}"
    if form == "I":
        i = draw.choice((-2048, 2047, draw.randint(-2048, 2047), 5)) or 3
        i = 3 if i in (-1, 1, 0) else i
        return (a, b, i), f"{x[a]}, {x[b]}, {i}"
    if form in "65":
        i = draw.randrange(2, 1 << int(form))
        return (a, b, i), f"{x[a]}, {x[b]}, {i}"
    if form in "LS":
        i = draw.choice((-2048, 2047, draw.randint(-2048, 2047)))
        return (a, b, i), f"{x[a]}, {i}({x[b]})"
    if form == "B":
        i = 2 * draw.choice((-2048, 2047, draw.randint(-2048, 2047)))
        return (a, b, i), f"{x[a]}, {x[b]}, {i}"
    if form == "U":
        i = draw.choice((1, (1 << 20) - 1, draw.randrange(1, 1 << 20)))
        return (a, i), f"{x[a]}, {i}"
    if form == "J":
        i = 2 * draw.choice((-(1 << 19), (1 << 19) - 1, draw.randint(-(1 << 19), (1 << 19) - 1)))
        return (a, i), f"{x[a]}, {i}"
    raise AssertionError(form)


def numbers(text: str) -> list:
    """Return operands as comparable values: names, and numbers modulo the width they are printed with."""
    out = []
    for part in text.replace("(", ", ").replace(")", "").split(","):
        part = part.strip()
        try:
            out.append(int(part, 0))
        except ValueError:
            out.append(part)
    return out


@pytest.mark.parametrize("name", [n for n, i in INSTRUCTIONS.items() if i[0] in "RI65LSBUJ"])
def test_capstone_reads_what_was_meant(name):
    draw = random.Random(name)
    for _ in range(40):
        arguments, written = operands(name, draw)
        mnemonic, text = disassemble(encode(name, *arguments))
        assert mnemonic == name
        assert numbers(text) == numbers(written)


@pytest.mark.parametrize("name", ["ecall", "ebreak", "sret", "mret", "wfi", "fence.i"])
def test_instructions_without_operands(name):
    assert disassemble(encode(name))[0] == name


def test_csr_instructions():
    for name in ("csrrw", "csrrs", "csrrc"):
        mnemonic, text = disassemble(encode(name, 10, CSRS["sscratch"], 11))
        assert mnemonic == name and text.replace(" ", "") == "a0,sscratch,a1"
    for name in ("csrrwi", "csrrsi", "csrrci"):
        mnemonic, text = disassemble(encode(name, 10, CSRS["satp"], 17))
        assert mnemonic == name and numbers(text) == ["a0", "satp", 17]


def test_constants_arrive_whole():
    draw = random.Random(5)
    values = [*EDGES, *(1 << i for i in range(64)), *((1 << i) - 1 for i in range(64)), *(-(1 << i) for i in range(64)),
              *(draw.getrandbits(draw.randint(1, 64)) for _ in range(1500))]  # fmt: skip
    for first in range(0, len(values), 28):
        batch = [v & MASK for v in values[first : first + 28]]
        words = [encode(*step) for i, value in enumerate(batch) for step in load_immediate(4 + i, value)]
        done = run(struct.pack(f"<{len(words) + 1}I", *words, encode("wfi")))
        assert [int(done.m[4 + i]) for i in range(len(batch))] == batch
        assert all(1 <= len(load_immediate(1, value)) <= 8 for value in batch)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("addi", (1, 2, 2048)), ("addi", (1, 2, -2049)), ("slli", (1, 1, 64)), ("slliw", (1, 1, 32)), ("beq", (1, 2, 4096)), ("beq", (1, 2, 3)),
     ("jal", (1, 1 << 20)), ("jal", (1, 1)), ("sd", (1, 2, 5000)), ("add", (1, 2)), ("nonsense", ()), ("hook", (4096,))],
)  # fmt: skip
def test_what_does_not_fit_is_refused(name, arguments):
    with pytest.raises(AssemblyError):
        encode(name, *arguments)


def test_labels_and_directives():
    text = """
    start:  la   a0, table
            ld   a1, 8(a0)
            call double
            j    end
            .word 0
    double: add  a1, a1, a1
            ret
            .align 3
    table:  .dword 5, 21
    end:    wfi
    """
    made = assemble(text, BASE)
    assert made.labels["start"] == BASE and made.labels["table"] % 8 == 0
    assert run(text).registers()["a1"] == 42


@pytest.mark.parametrize("line", ["add a0, a1", "add a0, a1, q9", "ld a0, a1", "j nowhere", "li a0, x", ".half 3", "frob", "csrr a0, nothing", "addi a0, a0, 9999"])
def test_errors_name_the_line(line):
    with pytest.raises(AssemblyError, match="line 2"):
        assemble(f"nop\n{line}\n", BASE)
