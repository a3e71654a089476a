"""Code around an address: disassembly, symbols, and the lines of the source it was compiled from.

capstone reads the instructions; the one it does not know, this machine's ``hook``, is read here. Instructions
have two or four bytes, so what lies before an address is found by reading forwards from a symbol, or from the
first start that meets the address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from singlab.machine import state as _s
from singlab.machine.isa import CSRS
from singlab.machine.view import render as r
from singlab.machine.view.source import MASK, Symbols, address_of, lines_of, read, state_of, symbols_of, translates

_BRANCH = re.compile(r"(?:c\.)?(?:j|jal|beq|bne|blt|bge|bltu|bgeu|beqz|bnez|bltz|bgez|blez|bgtz|bgt|ble|bgtu|bleu)$")
_OFFSET = re.compile(r"-?(?:0x[\da-f]+|\d+)$")
_CSR = re.compile(r"csr\w+$")
_CSR_NAMES = {number: name for name, number in CSRS.items()}
_HOOK = 0x0B
#: A function that begins further away is not read from its start.
_ANCHOR = 4096


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes
    ----------
    address : int
    data : bytes
        Two or four bytes; fewer where memory ends.
    mnemonic, operands : str
        A branch's target as an absolute address.
    target : int or None
        Where a direct jump or branch goes.
    name : str
        ``symbol+offset``.
    label : str
        The symbol of exactly this address.
    file, line, source : str, int, str
        Source line, where the program tells; line 0 where it does not.
    is_pc : bool
    """

    address: int
    data: bytes
    mnemonic: str
    operands: str
    target: int | None
    name: str
    label: str
    file: str
    line: int
    source: str
    is_pc: bool


@cache
def _reader():
    try:
        import capstone
    except ImportError:
        raise ImportError("disassembly needs the package capstone; install singlab again to get it") from None
    return capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)


def read_instruction(data: bytes, address: int, symbols: Symbols) -> tuple[int, str, str, int | None]:
    """Return length, mnemonic, operands and target of the instruction at the beginning of some bytes."""
    if len(data) < 2:
        return max(1, len(data)), ".byte", ", ".join(f"{byte:#04x}" for byte in data), None
    low = int.from_bytes(data[:2], "little")
    size = 4 if low & 3 == 3 else 2
    if len(data) < size:
        return 2, ".half", f"{low:#06x}", None
    word = int.from_bytes(data[:size], "little")
    found = next(_reader().disasm_lite(data[:size], address, 1), None)
    if found is None or found[1] != size:
        if size == 4 and word & 0x7F == _HOOK:
            return 4, "hook", str(_hook_number(word)), None
        return size, ".word" if size == 4 else ".half", f"{word:#0{2 + 2 * size}x}", None
    _, _, mnemonic, operands = found
    parts = operands.split(", ")
    if _BRANCH.match(mnemonic) and _OFFSET.match(parts[-1]):
        target = (address + int(parts[-1], 0)) & MASK
        name = symbols.name(target)
        operands = ", ".join([*parts[:-1], f"{target:#x}{f' <{name}>' if name else ''}"])
        return size, mnemonic, operands, target
    if _CSR.match(mnemonic):
        # capstone writes a CSR it has no name for as a number, and calls pmpaddr14 pmpaddr13
        place = 0 if len(parts) < 3 and not mnemonic.startswith("csrr") or len(parts) == 1 else 1
        if place < len(parts):
            parts[place] = _CSR_NAMES.get(word >> 20, parts[place])
        operands = ", ".join(parts)
    return size, mnemonic, operands, None


def _hook_number(word: int) -> int:
    return word >> 20


@dataclass(frozen=True, repr=False)
class Code(r.Shown):
    """Disassembly.

    Attributes
    ----------
    rows : list of Instruction
    pc : int
    problem : str
        Why it ends early, if it does.
    """

    rows: list[Instruction]
    pc: int
    problem: str

    def __getitem__(self, address: int) -> Instruction:
        """Return the instruction at an address."""
        for row in self.rows:
            if row.address == address:
                return row
        raise KeyError(f"no instruction here begins at {address:#x}")

    def blocks(self) -> list[r.Block]:
        rows: list[r.Row] = []
        last = None
        for row in self.rows:
            if row.label:
                rows.append(r.Row((r.Cell(f"{row.label}:"),), "label"))
            if row.line and (row.file, row.line) != last:
                name = row.file.replace("\\", "/").rsplit("/", 1)[-1]
                rows.append(r.Row((r.Cell(f"{name}:{row.line}  {row.source.strip()}", "mono"),), "source"))
                last = (row.file, row.line)
            rows.append(
                r.Row(
                    (
                        r.Cell(f"{row.address:#x}", "mono soft", row.address), r.Cell(row.data[::-1].hex(), "mono soft"),
                        r.Cell(row.mnemonic, "mono strong"), r.Cell(row.operands, "mono", row.target),
                    ),
                    "pc" if row.is_pc else "",
                )
            )  # fmt: skip
        start = self.rows[0].name if self.rows else ""
        found: list[r.Block] = [r.Heading("Code", f"from <{start}>" if start else "")]
        if rows:
            found.append(r.Table((), rows))
        if self.problem:
            found.append(r.Remark(self.problem[0].upper() + self.problem[1:] + ".", "bad"))
        return found


def _start(m, address: int, before: int, symbols: Symbols, virtual: bool) -> int:
    """Return an address from which reading forwards meets ``address`` after about ``before`` instructions."""
    if before <= 0 or address & 1:
        return address
    anchor = symbols.before(address)
    starts = [] if anchor is None or not 0 < address - anchor <= _ANCHOR or anchor & 1 else [anchor]
    reach = 4 * before
    starts += [address - back for back in range(reach, 0, -2) if back <= address]
    for start in starts:
        pieces = read(m, start, address - start, virtual)
        if not pieces or pieces[-1].problem:
            continue
        data = b"".join(piece.data for piece in pieces)
        at, addresses = 0, []
        while at < len(data):
            addresses.append(start + at)
            at += 4 if data[at] & 3 == 3 else 2
        if at == len(data):
            addresses = addresses[-before:]
            # zeros before a function are padding
            while addresses and data[addresses[0] - start : addresses[0] - start + 2] == b"\0\0":
                addresses.pop(0)
            return addresses[0] if addresses else address
    return address


def code(source, address: int | str | None = None, before: int = 6, count: int = 16, virtual: bool | None = None) -> Code:
    """Return the instructions around an address.

    Parameters
    ----------
    source : Machine, Board or snapshot
        A board's program gives symbols and, if it was compiled with -g, source lines.
    address : int or str, optional
        A number, a symbol or a register; pc if left out.
    before : int
        Instructions to show before it.
    count : int
        Instructions in all; fewer where only zeros follow.
    virtual : bool, optional
        Whether to translate; if left out, as the hart would now.
    """
    m, symbols, lines = state_of(source), symbols_of(source), lines_of(source)
    pc = int(m[_s.PC])
    here = pc if address is None else address_of(source, address)
    count = max(1, min(4096, int(count)))
    if virtual is None:
        virtual = translates(m)
    at = _start(m, here, min(int(before), count - 1), symbols, virtual)
    pieces = read(m, at, 4 * count, virtual)
    data, problem = b"".join(piece.data for piece in pieces), pieces[-1].problem
    rows, offset = [], 0
    while len(rows) < count and offset < len(data):
        place = (at + offset) & MASK
        if place > here and place != pc and data[offset : offset + 4] == bytes(4):
            break  # zeros behind the code
        size, mnemonic, operands, target = read_instruction(data[offset : offset + 4], place, symbols)
        found = lines.find(place) if lines is not None else None
        file, number, text = (found.file, found.number, found.text) if found else ("", 0, "")
        rows.append(
            Instruction(
                place, data[offset : offset + size], mnemonic, operands, target, symbols.name(place), symbols.exact(place),
                file, number, text, place == pc,
            )
        )  # fmt: skip
        offset += size
    return Code(rows, pc, problem if len(rows) < count else "")
