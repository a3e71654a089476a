"""What a view looks at: the state, the names of its addresses, and how to read memory without touching anything.

Everything here reads. Translation for display looks into the translation buffers and the page table as the
machine would, but counts nothing, fills nothing and makes nothing the last used.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from singlab.machine import devices as _d
from singlab.machine import state as _s
from singlab.machine.isa import REGISTERS

MASK = 0xFFFF_FFFF_FFFF_FFFF
MODE_NAMES = {0: "U", 1: "S", 2: "reserved", 3: "M"}
#: Bytes that a symbol without a size is taken to name, if no other symbol comes before.
_REACH = 4096

DEVICES = (
    ("test finisher", _d.FINISHER, _d.FINISHER_BYTES), ("CLINT", _d.CLINT, _d.CLINT_BYTES), ("PLIC", _d.PLIC, _d.PLIC_BYTES),
    ("UART", _d.UART, _d.UART_BYTES), ("virtio devices", _d.VIRTIO, _d.VIRTIO_BYTES),
)  # fmt: skip


def state_of(source) -> np.ndarray:
    """Return the state of a machine, of what has one (a board, a system, a view), or of a snapshot."""
    if isinstance(source, np.ndarray):
        found = source
    else:
        found = getattr(getattr(source, "machine", source), "m", None)
    if not isinstance(found, np.ndarray) or found.dtype != np.uint64 or len(found) <= _s.RAM_WORD:
        raise TypeError(f"{source!r:.80} is no machine; give a Machine, a Board, or a snapshot of one")
    return found


def state_before(since, now: np.ndarray) -> np.ndarray | None:
    """Return the words of an earlier state to compare ``now`` with: of a snapshot, or of what :func:`mark` returned.

    They are those of the hart that is looked at now.
    """
    if since is None:
        return None
    found = since if isinstance(since, np.ndarray) else state_of(since)
    if found.dtype != np.uint64 or len(found) < _s.TAGS_BASE:
        raise TypeError("since must be a snapshot (machine.snapshot()) or a mark (view.mark(machine))")
    hart = int(now[_s.HART])
    if hart == int(found[_s.HART]):
        return found[: _s.TAGS_BASE].copy()
    saved = _s.TAGS_BASE if len(found) < _s.RAM_WORD else _s.HART_SAVED
    first = saved + hart * _s.HART_WORDS
    if len(found) < first + _s.HART_WORDS:
        raise ValueError(f"what it is to be compared with says nothing of hart {hart}; it is of a machine with fewer harts")
    return found[first : first + _s.HART_WORDS].copy()


def mark(source) -> np.ndarray:
    """Return the registers, CSRs and counters as they are now, to be given as ``since`` later; small, unlike a snapshot."""
    m = state_of(source)
    others = m[_s.HART_SAVED : _s.HART_SAVED + int(m[_s.HARTS]) * _s.HART_WORDS] if m[_s.HARTS] > 1 else m[:0]
    return np.concatenate((m[: _s.TAGS_BASE], others))


def signed(value: int) -> int:
    """Return a 64-bit word read as a signed number."""
    return value - (1 << 64) if value >> 63 else value


# ---- names ---------------------------------------------------------------------------------------------------


class Symbols:
    """Names of addresses, both ways.

    Parameters
    ----------
    names : dict of str to int
        Local, mapping and linker symbols (``.L...``, ``$x``, ``...$``) are left out.
    sizes : dict of str to int, optional
        How many bytes a symbol names, where that is known.
    """

    def __init__(self, names: dict[str, int] | None = None, sizes: dict[str, int] | None = None):
        sizes = sizes or {}
        self.names = {
            n: address & MASK for n, address in (names or {}).items() if n and not n.startswith((".L", "$")) and not n.endswith("$")
        }
        best: dict[int, str] = {}
        # of several names of one place the one with a size, then the one that is not a linker's
        for name, address in sorted(
            self.names.items(), key=lambda item: (not sizes.get(item[0]), item[0].startswith("_"), len(item[0]), item[0])
        ):
            best.setdefault(address, name)
        self._at = sorted(best)
        self._best = best
        self._reach = {address: sizes.get(name) or _REACH for address, name in best.items()}

    def exact(self, address: int) -> str:
        """Return the name of exactly this address, or ''."""
        return self._best.get(address, "")

    def before(self, address: int) -> int | None:
        """Return the nearest named address that is not above this one."""
        at = bisect_right(self._at, address) - 1
        return self._at[at] if at >= 0 and address - self._at[at] < self._reach[self._at[at]] else None

    def name(self, address: int) -> str:
        """Return ``name`` or ``name+0x10``; '' where no symbol is near."""
        start = self.before(address)
        if start is None:
            return ""
        return self._best[start] + (f"+{address - start:#x}" if address > start else "")


NO_SYMBOLS = Symbols()


def symbols_of(source) -> Symbols:
    """Return the names a source knows (a board's come from its program)."""
    found = getattr(source, "symbols", None)
    if isinstance(found, Symbols):
        return found
    return Symbols(found, getattr(getattr(source, "program", None), "sizes", None)) if isinstance(found, dict) and found else NO_SYMBOLS


def lines_of(source):
    """Return the line table of a source's program, or None."""
    return getattr(getattr(source, "program", None), "lines", None)


def _number(text: str) -> int | None:
    digits = text.replace("_", "")
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16) if digits[2:] else None
    return int(digits) if digits.isdigit() else None


def address_of(source, where: int | str) -> int:
    """Return an address from a number or a text: "0x80000000", "main", "main+8", "pc", "sp-16".

    Raises
    ------
    ValueError
        If the text is none of these; the message offers names that are near.
    """
    if isinstance(where, (int, np.integer)) and not isinstance(where, bool):
        return int(where) & MASK
    if not isinstance(where, str):
        raise ValueError(f"{where!r} is no address; give a number, a register such as 'sp', or a symbol")
    text = where.strip()
    names = symbols_of(source).names
    if text in names:
        return names[text]
    match = re.fullmatch(r"([\w.$]+)\s*(?:([+-])\s*(0[xX][\da-fA-F_]+|\d+))?", text, re.ASCII)
    if match:
        base, sign, offset = match[1], match[2], _number(match[3] or "0")
        m = state_of(source)
        value = None
        if re.fullmatch(r"0[xX][\da-fA-F_]+|\d[\d_]*", base, re.ASCII):
            value = _number(base)
        elif base in names:
            value = names[base]
        elif base == "pc":
            value = int(m[_s.PC])
        elif base in REGISTERS:
            value = int(m[_s.X + REGISTERS[base]])
        if value is not None and offset is not None:
            return (value + (-offset if sign == "-" else offset)) & MASK
    near = difflib.get_close_matches(text, [*names, *REGISTERS, "pc"], 3)
    hint = (
        f"; did you mean {' or '.join(near)}?"
        if near
        else "; write 0x80000000, a register such as sp, or a symbol, with +8 or -8 behind it"
    )
    raise ValueError(f"{where!r} is no address{hint}")


# ---- memory -------------------------------------------------------------------------------------------------------


def device_at(address: int) -> str:
    """Return the name of the device at a physical address, or ''."""
    return next((name for name, start, size in DEVICES if start <= address < start + size), "")


def ram_read(m: np.ndarray, address: int, count: int) -> bytes:
    """Return the bytes of RAM at a physical address; fewer where RAM ends, none outside it."""
    at = address - _s.RAM_BASE
    if at < 0 or count <= 0:
        return b""
    size = min(int(m[_s.RAM_BYTES]), (len(m) - _s.RAM_WORD) * 8)
    return m.view(np.uint8)[_s.RAM_OFFSET + at : _s.RAM_OFFSET + max(at, min(size, at + count))].tobytes()


def outside(m: np.ndarray, address: int) -> str:
    """Return the sentence about a physical address at which no RAM lies."""
    end = _s.RAM_BASE + int(m[_s.RAM_BYTES])
    device = device_at(address)
    if device:
        return f"{address:#x} is a register of the {device}: reading it could change it, so it is not shown"
    return f"{address:#x} lies outside RAM, which goes from {_s.RAM_BASE:#x} to {end - 1:#x}"


@dataclass(frozen=True)
class Piece:
    """Bytes that lie together: ``data`` at ``address``, or the reason why nothing is there."""

    address: int
    physical: int | None
    data: bytes
    problem: str = ""


def read(m: np.ndarray, address: int, count: int, virtual: bool) -> list[Piece]:
    """Return the bytes at an address, in pieces of at most a page, up to the first that cannot be read."""
    from singlab.machine.view.paging import locate

    pieces = []
    while count > 0:
        part = min(count, 4096 - (address & 0xFFF))
        physical, problem = locate(m, address) if virtual else (address, "")
        data = ram_read(m, physical, part) if physical is not None else b""
        if len(data) < part:
            if not problem:
                problem = outside(m, (physical + len(data)) & MASK)
                if virtual:
                    problem = f"virtual {(address + len(data)) & MASK:#x} is physical {problem}"
            pieces.append(Piece(address, physical, data, problem))
            break
        pieces.append(Piece(address, physical, data))
        address, count = (address + part) & MASK, count - part
    return pieces


def translates(m: np.ndarray) -> bool:
    """Whether the hart translates the addresses it fetches from now."""
    return int(m[_s.SATP]) != 0 and int(m[_s.MODE]) != _s.M_MODE
