"""When an image's code is closed: the rules, and who breaks them.

A sealed SIP in ring 0 shares its address space with the kernel; what keeps control inside its text is that the text
is fixed and closed. Whether it is can be decided by one walk over the words, without running any: every word is an
instruction a SIP may have, every jump lands on one, and nothing leads out but the calls of the kernel's ABI vector.
(Singularity's fixed code invariant: EuroSys 2007, section 2.)

This is the grader's own answer, read with the machine's decoder. It leaves out what needs types to decide: where a
store goes, and what the return address holds. That is the verifier's part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from singlab.kernel.abi import ABI_NUMBER
from singlab.machine.decode import OPS, decode
from singlab.machine.isa import INSTRUCTIONS
from singlab.machine.view.disassembly import read_instruction
from singlab.machine.view.source import Symbols

#: Rules, with what breaking one means.
RULES = {
    "unknown": "this word is no instruction of a SIP: RV64I and M without fence, and every field must have a value that is listed",
    "system": "the only system instruction of a SIP reads the cycle counter: csrrs rd, cycle, zero",
    "tp": "this writes tp, where the kernel keeps the record of the running thread",
    "outside": "this jump leads out of the text",
    "middle": "this jump does not lead to the beginning of an instruction, or of a call of the ABI",
    "indirect": "an indirect jump is a return, jalr zero, 0(ra), or the second half of a call of the ABI",
    "abi": "this call does not lead to an entry of the kernel's vector",
    "end": "after the last word control runs off the end",
}

RA, TP, T0 = 1, 4, 5
CYCLE = 0xC00
MASK = (1 << 64) - 1
#: ABI functions that never come back.
NO_RETURN = (ABI_NUMBER["exit"], ABI_NUMBER["fault"])

_OPCODES = (0x03, 0x13, 0x17, 0x1B, 0x23, 0x33, 0x37, 0x3B, 0x63, 0x67, 0x6F)
#: Names of what a SIP's text may consist of, system instructions apart.
USER = frozenset(name for name, (_, opcode, *_) in INSTRUCTIONS.items() if opcode in _OPCODES)
_SYSTEM = frozenset(name for name, (_, opcode, *_) in INSTRUCTIONS.items() if opcode == 0x73)


@dataclass(frozen=True)
class Finding:
    """A broken rule: index of the word, the rule."""

    index: int
    rule: str


@dataclass(frozen=True)
class _Word:
    """One decoded word: name, destination, first source (register numbers), immediate."""

    name: str
    rd: int
    rs1: int
    imm: int


@cache
def _decoded(word: int) -> _Word:
    u = int(decode(np.uint64(word))) if word & 3 == 3 else 0
    name = OPS[(u & 255) - 1] if u & 255 else "illegal"
    # the fields come from the word itself: the decoder names registers by their place in its state
    rd = 0 if word & 0x7F in (0x23, 0x63) else word >> 7 & 31
    imm = u >> 32
    return _Word(name, rd, word >> 15 & 31, imm - (imm >> 31 << 32))


def call_target(words: Sequence[int], base: int, index: int) -> int | None:
    """Return where the two words from ``index`` on call, or None if they are no call of the ABI."""
    if index + 1 >= len(words) or index < 0:
        return None
    first, second = _decoded(words[index]), _decoded(words[index + 1])
    if (first.name, first.rd) != ("auipc", T0) or (second.name, second.rd, second.rs1) != ("jalr", RA, T0):
        return None
    upper = words[index] >> 12 << 12
    upper -= (upper >> 31) << 32
    lower = words[index + 1] >> 20
    lower -= (lower >> 11) << 12
    return (base + 4 * index + upper + lower) & MASK & ~1


def findings(words: Sequence[int], base: int, vector: int, entries: int, entry_bytes: int) -> list[Finding]:
    """Return every broken rule of a text; it is closed if there is none.

    Parameters
    ----------
    words : sequence of int
        The text, 32-bit words; it is entered at the first.
    base : int
        Address of the first word.
    vector, entries, entry_bytes : int
        Address of the kernel's ABI vector, number of its entries, bytes from one to the next.
    """
    found: list[Finding] = []
    calls = {i: t for i in range(len(words)) if (t := call_target(words, base, i)) is not None}
    halves = {i + 1 for i in calls}
    numbers = {vector + entry_bytes * n: n for n in range(entries)}
    for index, word in enumerate(words):
        at = _decoded(word)
        if word & 0x7F == 0x73 and at.name in _SYSTEM:
            if not (at.name == "csrrs" and word >> 20 == CYCLE and at.rs1 == 0):
                found.append(Finding(index, "system"))
                continue
        elif at.name not in USER:
            # what the decoder does not know of the system instructions is as privileged as what it does
            found.append(Finding(index, "system" if word & 0x7F == 0x73 else "unknown"))
            continue
        if at.rd == TP:
            found.append(Finding(index, "tp"))
        if word & 0x7F in (0x63, 0x6F):
            target = 4 * index + at.imm
            if not 0 <= target < 4 * len(words):
                found.append(Finding(index, "outside"))
            elif target % 4 or target // 4 in halves:
                found.append(Finding(index, "middle"))
        elif at.name == "jalr":
            if index in halves:
                if calls[index - 1] not in numbers:
                    found.append(Finding(index, "abi"))
            elif word != 0x00008067:
                found.append(Finding(index, "indirect"))
    last = len(words) - 1
    if last in halves:
        stops = numbers.get(calls[last - 1]) in NO_RETURN
    else:
        at = _decoded(words[last])
        stops = at.name in ("jal", "jalr") and at.rd == 0
    if not stops:
        found.append(Finding(last, "end"))
    return found


def shown(words: Sequence[int], base: int, index: int) -> str:
    """Return a word with its place and its disassembly, for feedback."""
    word = words[index]
    _, mnemonic, operands, _ = read_instruction(word.to_bytes(4, "little"), base + 4 * index, Symbols())
    return f"word {index}, {word:#010x}: {mnemonic} {operands}".rstrip()
