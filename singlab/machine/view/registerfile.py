"""Registers, counters, and control and status registers with their fields.

CSR values are what a ``csrr`` would read. Field names and cause texts follow the privileged specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from singlab.machine import state as _s
from singlab.machine.csr import csr_read
from singlab.machine.isa import CSRS, REGISTER_NAMES
from singlab.machine.view import render as r
from singlab.machine.view.source import MODE_NAMES, mark, signed, state_before, state_of, symbols_of

EXCEPTIONS = {
    0: "instruction address misaligned", 1: "instruction access fault", 2: "illegal instruction", 3: "breakpoint",
    4: "load address misaligned", 5: "load access fault", 6: "store address misaligned", 7: "store access fault",
    8: "ecall from U mode", 9: "ecall from S mode", 11: "ecall from M mode", 12: "instruction page fault",
    13: "load page fault", 15: "store page fault",
}  # fmt: skip
INTERRUPTS = {
    1: "supervisor software interrupt", 3: "machine software interrupt", 5: "supervisor timer interrupt",
    7: "machine timer interrupt", 9: "supervisor external interrupt", 11: "machine external interrupt",
}  # fmt: skip
_LINES = {1: "SSI", 3: "MSI", 5: "STI", 7: "MTI", 9: "SEI", 11: "MEI"}


def cause_text(cause: int) -> str:
    """Return what an mcause or scause value means."""
    known = INTERRUPTS if cause >> 63 else EXCEPTIONS
    code = cause & (1 << 63) - 1
    return known.get(code, f"{'interrupt' if cause >> 63 else 'exception'} {code}, which is reserved")


# ---- general registers -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Register:
    """One register.

    Attributes
    ----------
    name : str
        By the calling convention; "pc" too.
    number : int or None
        n of xn.
    value, signed : int
        The same bits, read unsigned and signed.
    before : int or None
        Its value in the snapshot compared with.
    changed : bool
    """

    name: str
    number: int | None
    value: int
    signed: int
    before: int | None
    changed: bool


@dataclass(frozen=True, repr=False)
class Registers(r.Shown):
    """pc, mode and the general registers.

    Attributes
    ----------
    rows : list of Register
        pc first, then x0 to x31.
    mode : str
        "U", "S" or "M".
    decimal : bool
        Whether to show signed decimals beside the hexadecimal.
    hart : str
        Which of several harts this is.
    """

    rows: list[Register]
    mode: str
    cycles: int
    instructions: int
    names: dict[int, str] = field(default_factory=dict)
    decimal: bool = True
    hart: str = ""

    def __getitem__(self, name: str) -> Register:
        """Return a register by its name or as xn."""
        for row in self.rows:
            if name == row.name or (row.number is not None and name == f"x{row.number}") or (name == "fp" and row.number == 8):
                return row
        raise KeyError(f"there is no register {name!r}; there are pc, x0 to x31 and {', '.join(REGISTER_NAMES)}")

    @property
    def changed(self) -> list[str]:
        """Names of the registers that changed since the snapshot."""
        return [row.name for row in self.rows if row.changed]

    def blocks(self) -> list[r.Block]:
        pc = self.rows[0]
        named = f" <{self.names[pc.value]}>" if pc.value in self.names else ""
        items = []
        for row in self.rows[1:]:
            short = f"{row.signed:,}" if self.decimal and -100_000 < row.signed < 100_000 and not 0 <= row.signed < 10 else ""
            kind = "changed" if row.changed else "" if row.value else "soft"
            items.append((row.name, r.Cell(f"{row.value:#x}", kind, row.value, aside=short)))
        return [
            r.Heading(
                "Registers",
                f"{self.hart}pc {pc.value:#x}{named}, {self.mode} mode, {r.counted(self.instructions, 'instruction')}, {r.counted(self.cycles, 'cycle')}",
            ),
            r.Grid(items),
        ]


def registers(source, since=None, decimal: bool = True) -> Registers:
    """Return pc, mode and the general registers.

    Parameters
    ----------
    source : Machine, Board or snapshot
    since : snapshot or mark, optional
        What changed since then is marked.
    decimal : bool
        Show small values as signed decimals too.
    """
    m, symbols = state_of(source), symbols_of(source)
    before = state_before(since, m)
    rows = []
    for name, number in (("pc", None), *((name, n) for n, name in enumerate(REGISTER_NAMES))):
        word = _s.PC if number is None else _s.X + number
        value = int(m[word])
        old = None if before is None else int(before[word])
        rows.append(Register(name, number, value, signed(value), old, old is not None and old != value))
    names = {row.value: name for row in rows if (name := symbols.name(row.value))}
    hart = f"hart {int(m[_s.HART])} of {int(m[_s.HARTS])}: " if m[_s.HARTS] > 1 else ""
    return Registers(rows, MODE_NAMES[int(m[_s.MODE]) & 3], int(m[_s.CYCLES]), int(m[_s.INSTRET]), names, decimal, hart)


# ---- control and status registers ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Csr:
    """One control and status register.

    Attributes
    ----------
    name : str
    number, value : int
    fields : dict of str to int or str
    text : str
        The fields in words.
    changed : bool
    """

    name: str
    number: int
    value: int
    fields: dict[str, int | str]
    text: str
    changed: bool = False


def _bits(value: int, **places: int) -> dict[str, int]:
    return {name: value >> bit & 1 for name, bit in places.items()}


def _status(value: int) -> dict:
    machine = {"MPRV": value >> 17 & 1, "TVM": value >> 20 & 1, "TW": value >> 21 & 1, "TSR": value >> 22 & 1}
    return (
        _bits(value, SIE=1, MIE=3, SPIE=5, MPIE=7)
        | {"SPP": MODE_NAMES[value >> 8 & 1], "MPP": MODE_NAMES[value >> 11 & 3]}
        | _bits(value, SUM=18, MXR=19)
        | machine
        | {"UXL": {2: "64"}.get(value >> 32 & 3, str(value >> 32 & 3)), "SXL": {2: "64"}.get(value >> 34 & 3, str(value >> 34 & 3))}
    )


def _sstatus(value: int) -> dict:
    found = _status(value)
    return {name: found[name] for name in ("SIE", "SPIE", "SPP", "SUM", "MXR", "UXL")}


def _satp(value: int) -> dict:
    mode = {0: "bare", 8: "Sv39"}.get(value >> 60, f"{value >> 60} (reserved)")
    frame = value & (1 << 44) - 1
    return {"MODE": mode, "ASID": value >> 44 & 0xFFFF, "PPN": frame, "root": f"{frame << 12:#x}" if frame else 0}


def _cause(value: int) -> dict:
    return {"interrupt": value >> 63, "code": value & (1 << 63) - 1, "text": cause_text(value)}


def _vector(value: int) -> dict:
    return {"base": f"{value & ~3:#x}", "mode": {0: "direct", 1: "vectored"}.get(value & 3, "reserved")}


def _lines(value: int) -> dict:
    return {f"{name}": value >> bit & 1 for bit, name in _LINES.items()}


def _exceptions(value: int) -> dict:
    return {text: 1 for code, text in EXCEPTIONS.items() if value >> code & 1}


def _isa(value: int) -> dict:
    letters = "".join(chr(ord("A") + bit) for bit in range(26) if value >> bit & 1)
    return {"MXL": {1: 32, 2: 64, 3: 128}.get(value >> 62, 0), "extensions": letters}


def _counter_enable(value: int) -> dict:
    return _bits(value, CY=0, TM=1, IR=2) | {"HPM": f"{value >> 3 & (1 << 29) - 1:#x}" if value >> 3 & (1 << 29) - 1 else 0}


_FIELDS = {
    "mstatus": _status, "sstatus": _sstatus, "satp": _satp, "mcause": _cause, "scause": _cause, "mtvec": _vector, "stvec": _vector,
    "mie": _lines, "mip": _lines, "mideleg": _lines, "sie": _lines, "sip": _lines, "medeleg": _exceptions, "misa": _isa,
    "mcounteren": _counter_enable, "scounteren": _counter_enable, "menvcfg": lambda value: _bits(value, STCE=63, FIOM=0),
    "senvcfg": lambda value: _bits(value, FIOM=0),
}  # fmt: skip
_ADDRESSES = {"mepc", "sepc", "mtval", "stval"}


def _words(name: str, fields: dict) -> str:
    """Return fields as words: flags that are set by name, others with their values."""
    if name in ("mcause", "scause"):
        return str(fields["text"]) if fields["interrupt"] or fields["code"] else f"no trap yet, or {fields['text']}"
    if name == "medeleg":
        return ", ".join(fields) or "nothing delegated"
    parts = [field if value == 1 else f"{field}={value}" for field, value in fields.items() if value != 0]
    return "  ".join(parts) or "no bit set"


@dataclass(frozen=True, repr=False)
class CsrTable(r.Shown):
    """Control and status registers; ``rows`` is a list of Csr. Index it by name."""

    rows: list[Csr]

    def __getitem__(self, name: str) -> Csr:
        """Return a CSR by name."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} is not among these CSRs")

    def blocks(self) -> list[r.Block]:
        groups: dict[str, list[Csr]] = {}
        for row in self.rows:
            level = row.number >> 8 & 3
            title = "Counters and identity" if row.number >= 0xB00 else {0: "User level", 1: "Supervisor level"}.get(level, "Machine level")
            groups.setdefault(title, []).append(row)
        found: list[r.Block] = [r.Heading("Control and status registers")]
        for title in ("Machine level", "Supervisor level", "User level", "Counters and identity"):
            if title in groups:
                rows = [
                    r.Row(
                        (
                            r.Cell(c.name, "strong"),
                            r.Cell(f"{c.value:#x}", "mono num", c.value if c.name in _ADDRESSES else None),
                            r.Cell(c.text, "wrap"),
                        ),
                        "changed" if c.changed else "",
                    )
                    for c in groups[title]
                ]
                found += [r.Heading(title), r.Table(("name", "value", "meaning"), rows)]
        return found


def csrs(source, *names: str, since=None) -> CsrTable:
    """Return control and status registers with their fields.

    Parameters
    ----------
    source : Machine, Board or snapshot
    *names : str
        Which; all if left out.
    since : snapshot or mark, optional
        What changed since then is marked.
    """
    m, symbols = mark(source), symbols_of(source)
    before = state_before(since, m)
    for name in names:
        if name not in CSRS:
            raise ValueError(f"there is no CSR {name!r}; there are {', '.join(CSRS)}")
    for state in (m, before):
        if state is not None:
            # a csrr that reads its own count has been counted by then, and takes itself off; as a slice, it wraps without a warning
            state[_s.INSTRET : _s.INSTRET + 1] += np.uint64(1)
    rows = []
    some = [name for name in CSRS if m[_s.PMP_ENTRIES] or not name.startswith("pmp")]
    for name in names or some:
        number = CSRS[name]
        value = int(csr_read(m, np.uint64(number)))
        old = value if before is None else int(csr_read(before, np.uint64(number)))
        fields = _FIELDS[name](value) if name in _FIELDS else {}
        text = _words(name, fields) if fields or name in _FIELDS else ""
        if name in _ADDRESSES and symbols.name(value):
            text = f"<{symbols.name(value)}>"
        elif name in ("mcycle", "minstret", "cycle", "time", "instret"):
            text = f"{value:,}"
        rows.append(Csr(name, number, value, fields, text, old != value))
    return CsrTable(rows)
