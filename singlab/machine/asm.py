"""Assembler: one instruction to its 32-bit word, and texts with labels to code.

``encode`` takes numbers; ``assemble`` takes text with labels and the usual pseudo-instructions. Both
refuse what does not fit and say why. Leaves out macros, sections and linking.
"""

from __future__ import annotations

import ast
import re
import struct
from dataclasses import dataclass

from singlab.machine.isa import CSRS, INSTRUCTIONS, REGISTERS


class AssemblyError(ValueError):
    """A text or an operand that cannot be assembled; the message names the line where there is one."""


@dataclass(frozen=True)
class Assembled:
    """Code and the addresses of its labels."""

    code: bytes
    labels: dict[str, int]


def _field(value: int, bits: int, what: str, *, signed: bool = True, multiple: int = 1) -> int:
    """Return a value as a field of so many bits, or refuse it."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= value <= high or value % multiple:
        extra = f" and be a multiple of {multiple}" if multiple > 1 else ""
        raise AssemblyError(f"{what} {value} must lie between {low} and {high}{extra}")
    return value & (1 << bits) - 1


def encode(mnemonic: str, *operands: int) -> int:
    """Return the 32-bit word of one instruction.

    Parameters
    ----------
    mnemonic : str
        A name of :data:`singlab.machine.isa.INSTRUCTIONS`.
    *operands : int
        In assembly order: rd, rs1, rs2 or immediate. Loads: rd, rs1, offset. Stores: rs2, rs1, offset.
        Branches and jumps: offset in bytes from the instruction itself. ``lui``/``auipc``: the upper
        20 bits. CSR instructions: rd, csr number, rs1 or 5-bit immediate. Atomics: rd, rs1 (address), rs2
        (``lr`` without). ``hook``: its number.
    """
    try:
        form, opcode, funct3, funct7 = INSTRUCTIONS[mnemonic]
    except KeyError:
        raise AssemblyError(f"unknown instruction {mnemonic!r}") from None
    expected = {"N": 0, "H": 1, "U": 2, "J": 2, "F": 2, "1": 2}.get(form, 3)
    if len(operands) != expected:
        raise AssemblyError(f"{mnemonic} takes {expected} operands, not {len(operands)}")
    word = opcode | funct3 << 12
    if form == "R":
        rd, rs1, rs2 = operands
        return word | rd << 7 | rs1 << 15 | rs2 << 20 | funct7 << 25
    if form in "IL":
        rd, rs1, immediate = operands
        return word | rd << 7 | rs1 << 15 | _field(immediate, 12, f"{mnemonic} immediate") << 20
    if form in "65":
        rd, rs1, amount = operands
        return word | rd << 7 | rs1 << 15 | _field(amount, int(form), "shift amount", signed=False) << 20 | funct7 << 25
    if form == "S":
        rs2, rs1, offset = operands
        value = _field(offset, 12, f"{mnemonic} offset")
        return word | (value & 0x1F) << 7 | rs1 << 15 | rs2 << 20 | value >> 5 << 25
    if form == "B":
        rs1, rs2, offset = operands
        v = _field(offset, 13, "branch distance", multiple=2)
        return word | (v >> 11 & 1) << 7 | (v >> 1 & 0xF) << 8 | rs1 << 15 | rs2 << 20 | (v >> 5 & 0x3F) << 25 | v >> 12 << 31
    if form == "U":
        rd, upper = operands
        return word | rd << 7 | (upper & 0xFFFFF) << 12
    if form == "J":
        rd, offset = operands
        v = _field(offset, 21, "jump distance", multiple=2)
        return word | rd << 7 | (v >> 12 & 0xFF) << 12 | (v >> 11 & 1) << 20 | (v >> 1 & 0x3FF) << 21 | v >> 20 << 31
    if form == "C":
        rd, csr, source = operands
        return word | rd << 7 | source << 15 | csr << 20
    if form in "A1":  # rd, address, value; lr has no value
        rd, rs1, rs2 = (*operands, 0) if form == "1" else operands
        return word | rd << 7 | rs1 << 15 | rs2 << 20 | funct7 << 25
    if form == "F":
        rs1, rs2 = operands
        return word | rs1 << 15 | rs2 << 20 | funct7 << 25
    if form == "H":
        return word | _field(operands[0], 12, "hook number", signed=False) << 20
    return word | funct7 << 20


def load_immediate(rd: int, value: int) -> list[tuple]:
    """Return the shortest usual sequence that puts a 64-bit constant into a register, as encode() arguments."""
    value &= (1 << 64) - 1
    signed = value - (1 << 64) if value >> 63 else value
    if -2048 <= signed < 2048:
        return [("addi", rd, 0, signed)]
    if -(1 << 31) <= signed < 1 << 31:
        low = (signed & 0xFFF) - ((signed & 0x800) << 1)
        upper = (signed - low) >> 12 & 0xFFFFF
        return [("lui", rd, upper)] + ([("addiw", rd, rd, low)] if low else [])
    if value < 1 << 32:  # a physical address: build it one bit lower, or clear the sign extension
        below = load_immediate(rd, value >> 1) if not value & 1 else None
        if below is not None and len(below) == 1 + bool(value >> 1 & 0xFFF):
            return [*below, ("slli", rd, rd, 1)]
        return [*load_immediate(rd, value | 0xFFFF_FFFF_0000_0000), ("slli", rd, rd, 32), ("srli", rd, rd, 32)]
    low = (signed & 0xFFF) - ((signed & 0x800) << 1)
    rest = (signed - low) >> 12
    shift = 12
    while not rest & 1:
        rest >>= 1
        shift += 1
    tail = [("addi", rd, rd, low)] if low else []
    return [*load_immediate(rd, rest), ("slli", rd, rd, shift), *tail]


_BRANCH_ZERO = {"beqz": ("beq", 0), "bnez": ("bne", 0), "bltz": ("blt", 0), "bgez": ("bge", 0),
                "bgtz": ("blt", 1), "blez": ("bge", 1)}  # fmt: skip
_SWAPPED = {"bgt": "blt", "ble": "bge", "bgtu": "bltu", "bleu": "bgeu"}
_CSR = {"csrr": "csrrs", "csrw": "csrrw", "csrs": "csrrs", "csrc": "csrrc"}
_MEMORY = re.compile(r"^(.*)\(\s*(\w+)\s*\)$")


class _Assembler:
    """Two passes: sizes and labels first, then words."""

    def __init__(self, text: str, base: int, symbols: dict[str, int] | None):
        self.lines = text.splitlines()
        self.base = base
        self.symbols = dict(symbols or {})
        self.final = False

    def value(self, text: str) -> int:
        """Return the value of a number, a label or a sum of them."""
        text = text.strip()
        if text in self.symbols:
            return self.symbols[text]
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            pass
        parts = re.match(r"^([A-Za-z_.]\w*)\s*([+-])\s*(\w+)$", text)
        if parts:
            offset = self.value(parts[3])
            return self.value(parts[1]) + (offset if parts[2] == "+" else -offset)
        if re.match(r"^[A-Za-z_.][\w.]*$", text) and not self.final:
            return self.base
        raise AssemblyError(f"{text!r} is neither a number nor a known label")

    @staticmethod
    def register(text: str) -> int:
        """Return the number of a register."""
        if text.strip() not in REGISTERS:
            raise AssemblyError(f"{text.strip()!r} is not a register")
        return REGISTERS[text.strip()]

    @staticmethod
    def csr(text: str) -> int:
        """Return the number of a control and status register."""
        text = text.strip()
        if text in CSRS:
            return CSRS[text]
        try:
            return int(text, 0)
        except ValueError:
            raise AssemblyError(f"{text!r} is not a CSR") from None

    def instruction(self, name: str, args: list[str], at: int) -> list[tuple]:
        """Return encode() arguments for one source instruction."""
        reg, val = self.register, self.value
        if name == "nop":
            return [("addi", 0, 0, 0)]
        if name == "li":
            return load_immediate(reg(args[0]), val(args[1]))
        if name == "la":
            distance = val(args[1]) - at
            upper = distance + 0x800 >> 12
            return [("auipc", reg(args[0]), upper), ("addi", reg(args[0]), reg(args[0]), distance - (upper << 12))]
        if name == "mv":
            return [("addi", reg(args[0]), reg(args[1]), 0)]
        if name == "not":
            return [("xori", reg(args[0]), reg(args[1]), -1)]
        if name == "neg":
            return [("sub", reg(args[0]), 0, reg(args[1]))]
        if name == "seqz":
            return [("sltiu", reg(args[0]), reg(args[1]), 1)]
        if name == "snez":
            return [("sltu", reg(args[0]), 0, reg(args[1]))]
        if name == "sext.w":
            return [("addiw", reg(args[0]), reg(args[1]), 0)]
        if name == "j":
            return [("jal", 0, val(args[0]) - at)]
        if name == "call" or (name == "jal" and len(args) == 1):
            return [("jal", 1, val(args[0]) - at)]
        if name == "jr":
            return [("jalr", 0, reg(args[0]), 0)]
        if name == "ret":
            return [("jalr", 0, 1, 0)]
        if name in _BRANCH_ZERO:
            base, swapped = _BRANCH_ZERO[name]
            pair = (0, reg(args[0])) if swapped else (reg(args[0]), 0)
            return [(base, *pair, val(args[1]) - at)]
        if name in _SWAPPED:
            return [(_SWAPPED[name], reg(args[1]), reg(args[0]), val(args[2]) - at)]
        if name == "csrr":
            return [("csrrs", reg(args[0]), self.csr(args[1]), 0)]
        if name in _CSR:
            return [(_CSR[name], 0, self.csr(args[0]), reg(args[1]))]
        if name not in INSTRUCTIONS:
            raise AssemblyError(f"unknown instruction {name!r}")
        form = INSTRUCTIONS[name][0]
        if form == "R":
            return [(name, *map(reg, args))]
        if form in "LS" or (name == "jalr" and len(args) == 2):
            place = _MEMORY.match(args[1])
            if not place:
                raise AssemblyError(f"{name} wants offset(register), not {args[1]!r}")
            return [(name, reg(args[0]), reg(place[2]), val(place[1] or "0"))]
        if form in "I65":
            return [(name, reg(args[0]), reg(args[1]), val(args[2]))]
        if form == "B":
            return [(name, reg(args[0]), reg(args[1]), val(args[2]) - at)]
        if form == "U":
            return [(name, reg(args[0]), val(args[1]))]
        if form == "J":
            return [(name, reg(args[0]), val(args[1]) - at)]
        if form == "C":
            source = val(args[2]) if name.endswith("i") else reg(args[2])
            return [(name, reg(args[0]), self.csr(args[1]), source)]
        if form in "A1":
            *values, place = args
            return [(name, reg(values[0]), reg(place.strip("()")), *map(reg, values[1:]))]
        if form == "F":
            return [(name, *(map(reg, args) if args else (0, 0)))]
        if form == "H":
            return [(name, val(args[0]))]
        return [(name,)]

    def directive(self, name: str, rest: str, at: int) -> bytes:
        """Return the bytes of a directive."""
        if name in (".word", ".dword"):
            size = 4 if name == ".word" else 8
            return b"".join((self.value(v) & (1 << 8 * size) - 1).to_bytes(size, "little") for v in rest.split(","))
        if name in (".ascii", ".asciz"):
            return ast.literal_eval(rest.strip()).encode() + (b"\0" if name == ".asciz" else b"")
        if name == ".align":
            return bytes(-at % (1 << self.value(rest)))
        raise AssemblyError(f"unknown directive {name!r}")

    def run(self) -> Assembled:
        """Assemble: the second pass knows every label."""
        code = b""
        for self.final in (False, True):
            code = b""
            for number, line in enumerate(self.lines, 1):
                try:
                    code += self.line(line, self.base + len(code))
                except (AssemblyError, IndexError, TypeError, struct.error) as error:
                    raise AssemblyError(f"line {number}: {error} in {line.strip()!r}") from None
        return Assembled(code, self.labels)

    def line(self, line: str, at: int) -> bytes:
        """Return the bytes of one source line; labels it defines are noted."""
        line = line.split("#")[0].strip()
        while match := re.match(r"^([A-Za-z_.][\w.]*):", line):
            self.symbols[match[1]] = at
            self.labels[match[1]] = at
            line = line[match.end() :].strip()
        if not line:
            return b""
        name, _, rest = line.partition(" ")
        if name.startswith("."):
            return self.directive(name, rest, at)
        args = [a.strip() for a in rest.split(",")] if rest.strip() else []
        words = [encode(*step) for step in self.instruction(name, args, at)] if self.final else self.sized(name, args, at)
        return struct.pack(f"<{len(words)}I", *words)

    def sized(self, name: str, args: list[str], at: int) -> list[int]:
        """First pass: as many words as the instruction will have; forward labels count as near."""
        if name == "li":
            return [0] * len(load_immediate(1, self.value(args[1])))
        if name == "la":
            return [0, 0]
        return [0]

    @property
    def labels(self) -> dict[str, int]:
        return self.__dict__.setdefault("_labels", {})


def assemble(text: str, base: int, symbols: dict[str, int] | None = None) -> Assembled:
    """Assemble a text.

    Parameters
    ----------
    text : str
        One instruction a line, ``label:``, ``# comment``, ``.word .dword .ascii .asciz .align``.
    base : int
        Address of the first instruction.
    symbols : dict of str to int, optional
        Addresses of labels defined elsewhere.
    """
    return _Assembler(text, base, symbols).run()
