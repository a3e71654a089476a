"""Memory as bytes, words and text, at a physical or a virtual address.

Shows RAM only: a device's registers change when they are read.
"""

from __future__ import annotations

from dataclasses import dataclass

from singlab.machine.view import render as r
from singlab.machine.view.source import MASK, Symbols, address_of, read, state_of, symbols_of, translates

#: Bytes that one view shows at most.
MOST = 1 << 16


@dataclass(frozen=True)
class MemoryRow:
    """A row of memory: ``data`` at ``address``, which lies at ``physical``."""

    address: int
    physical: int
    data: bytes
    name: str = ""


@dataclass(frozen=True, repr=False)
class Memory(r.Shown):
    """A stretch of memory.

    Attributes
    ----------
    address : int
    virtual : bool
        Whether addresses are virtual.
    data : bytes
        All of it, up to where it cannot be read.
    rows : list of MemoryRow
        Sixteen bytes each.
    width : int
        Bytes of a word as shown: 1, 2, 4 or 8.
    problem : str
        Why the rest cannot be shown, if there is a rest.
    """

    address: int
    virtual: bool
    data: bytes
    rows: list[MemoryRow]
    width: int
    problem: str
    symbols: Symbols

    def words(self, width: int = 8, signed: bool = False) -> list[int]:
        """Return the bytes as little-endian words; a rest shorter than a word is left out."""
        whole = len(self.data) // width * width
        return [int.from_bytes(self.data[at : at + width], "little", signed=signed) for at in range(0, whole, width)]

    def blocks(self) -> list[r.Block]:
        how = "virtual" if self.virtual else "physical"
        found: list[r.Block] = [r.Heading("Memory", f"{r.counted(len(self.data), 'byte')} at {how} {self.address:#x}")]
        rows = []
        for row in self.rows:
            if row.name:
                rows.append(r.Row((r.Cell(f"<{row.name}>"),), "label"))
            cells = [r.Cell(f"{row.address:#x}", "mono soft", row.address)]
            if self.width == 1:
                shown = " ".join(f"{byte:02x}" for byte in row.data[:8])
                rest = " ".join(f"{byte:02x}" for byte in row.data[8:])
                cells += [r.Cell(f"{shown:<23}  {rest:<23}", "mono")]
            else:
                for at in range(0, len(row.data), self.width):
                    part = row.data[at : at + self.width]
                    value = int.from_bytes(part, "little")
                    name = self.symbols.name(value) if self.width == 8 else ""
                    cells.append(
                        r.Cell(f"{value:0{2 * len(part)}x}{f' <{name}>' if name else ''}", "mono", value if self.width == 8 else None)
                    )
            cells.append(r.Cell("".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row.data), "mono soft"))
            rows.append(r.Row(tuple(cells)))
        if rows:
            found.append(r.Table((), rows))
        if self.problem:
            found.append(r.Remark(self.problem[0].upper() + self.problem[1:] + ".", "bad"))
        return found


def memory(source, address: int | str, count: int = 128, width: int = 1, virtual: bool | None = None) -> Memory:
    """Return what memory holds.

    Parameters
    ----------
    source : Machine, Board or snapshot
    address : int or str
        A number, a symbol, or a register such as "sp-32".
    count : int
        Bytes, at most 65536.
    width : {1, 2, 4, 8}
        Bytes of a word.
    virtual : bool, optional
        Whether to translate the address; if left out, as the hart would now. Permissions do not matter here.

    Returns
    -------
    Memory
        Its ``problem`` says where and why it ends early (outside RAM, not mapped, a device).
    """
    m, symbols = state_of(source), symbols_of(source)
    if width not in (1, 2, 4, 8):
        raise ValueError(f"a word has 1, 2, 4 or 8 bytes, not {width!r}")
    if not 0 < int(count) <= MOST:
        raise ValueError(f"count must lie between 1 and {MOST} bytes, not {count}")
    start = address_of(source, address)
    if virtual is None:
        virtual = translates(m)
    pieces = read(m, start, int(count), virtual)
    rows, data = [], b""
    for piece in pieces:
        # rows do not cross pages, so each has one physical address
        for at in range(0, len(piece.data), 16):
            here = (piece.address + at) & MASK
            part = piece.data[at : at + 16]
            name = next((n for off in range(len(part)) if (n := symbols.exact(here + off))), "")
            if not rows and not name:
                name = symbols.name(here)
            rows.append(MemoryRow(here, (piece.physical or 0) + at, part, name))
        data += piece.data
    return Memory(start, bool(virtual), data, rows, width, pieces[-1].problem if pieces else "", symbols)
