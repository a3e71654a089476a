"""The kernel's image: the kernel's code as it lies in simulated memory, sealed at boot.

The papers' sealed kernel keeps the rules of sealed processes itself; the first is that its code is fixed. At boot
the entry code, the compiled core functions and the tables of the kernel's objects are put in place and a SHA-256 is taken over them.
``System.check_kernel`` takes it again and says in which function bytes differ, should any.

What runs of the core is its native form; the bytes here are the RV64 form of the same text, whose instructions and
places the native one charges. The entry code is run from these bytes. Policies have their own place and are no part of it.
Leaves out a check while the system runs: nothing looks at the seal by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from singlab.kernel import layout as at
from singlab.kernel.abi import ABI
from singlab.kernel.entry import STUB_BYTES, VECTOR, abi_entry
from singlab.kernel.native_files import CHARGES, CORE_CODE
from singlab.kernel.opencalls import OPEN_CALLS
from singlab.machine import Machine
from singlab.machine.view import render as r

#: Names of the calls by number: of the ABI, and of an open system.
ABI_ENTRIES = tuple(function.name for function in ABI)
OPEN_ENTRIES = tuple(call.name for call in OPEN_CALLS)


@cache
def core_code() -> bytes:
    """Return the kernel's functions as RV64 code."""
    return bytes.fromhex(CORE_CODE.read_text(encoding="utf-8"))


@cache
def core_places() -> tuple[tuple[int, int, str], ...]:
    """Return address, size and name of each core function."""
    functions = json.loads(CHARGES.read_text(encoding="utf-8"))["functions"]
    return tuple((at.CORE_TEXT + about["offset"], about["bytes"], name.replace(":", ".")) for name, about in functions.items())


def places(entries: Sequence[str] = ABI_ENTRIES) -> list[tuple[int, int, str]]:
    """Return address, size and name of all parts of the kernel's code, by address; ``entries`` are the names of its calls by number."""
    stubs = [(abi_entry(number), STUB_BYTES, f"entry of {name}") for number, name in enumerate(entries)]
    return [(at.TEXT_BASE, VECTOR - at.TEXT_BASE, "trap and switch code"), *stubs, *core_places(), (at.KERNEL_TABLES, at.KERNEL_TABLE_BYTES, "tables of objects")]


@dataclass(frozen=True)
class KernelImage:
    """The kernel's code at boot.

    Attributes
    ----------
    entry : bytes
        Trap handler, context switch and ABI vector, from ``layout.TEXT_BASE`` on.
    core : bytes
        The core functions, from ``layout.CORE_TEXT`` on.
    tables : bytes
        What the kernel's objects are, from ``layout.KERNEL_TABLES`` on.
    seal : str
        SHA-256 over all of it, in hexadecimal.
    entries : tuple of str
        Names of the calls by number: the ABI's functions, or the system calls of an open system.
    """

    entry: bytes = field(repr=False)
    core: bytes = field(repr=False)
    tables: bytes = field(repr=False)
    seal: str
    entries: tuple[str, ...] = field(default=ABI_ENTRIES, repr=False)

    @property
    def data(self) -> bytes:
        """The pieces, one after the other."""
        return self.entry + self.core + self.tables


def read_kernel(machine: Machine, entries: tuple[str, ...] = ABI_ENTRIES) -> KernelImage:
    """Return the kernel's code as it lies in a machine's memory now, with an entry for each of its calls."""
    entry = machine.read(at.TEXT_BASE, abi_entry(len(entries)) - at.TEXT_BASE)
    core = machine.read(at.CORE_TEXT, len(core_code()))
    tables = machine.read(at.KERNEL_TABLES, at.KERNEL_TABLE_BYTES)
    return KernelImage(entry, core, tables, hashlib.sha256(entry + core + tables).hexdigest(), entries)


@dataclass(frozen=True)
class Change:
    """Bytes of a part of the kernel that are not what they were at boot.

    Attributes
    ----------
    part : str
        Core function (file and name), or piece of entry code.
    address : int
        Of the first such byte.
    bytes : int
        How many there are.
    was, now : str
        The aligned four bytes around the first, as a word, in hexadecimal.
    """

    part: str
    address: int
    bytes: int
    was: str
    now: str


@dataclass(frozen=True, repr=False)
class KernelCheck(r.Shown):
    """What a look at the kernel's code found.

    Attributes
    ----------
    sealed, found : str
        SHA-256 at boot, and now.
    rows : tuple of Change
        What differs; empty if nothing does.
    size : int
        Bytes that were looked at.
    """

    sealed: str
    found: str
    rows: tuple[Change, ...]
    size: int

    @property
    def intact(self) -> bool:
        """Whether the kernel is what it was at boot."""
        return self.sealed == self.found

    def __bool__(self) -> bool:
        return self.intact

    def blocks(self) -> list[r.Block]:
        verdict = r.Cell("intact", "good") if self.intact else r.Cell("NOT what was sealed", "bad strong")
        rows = [
            ("kernel", verdict),
            ("sealed at boot", r.Cell(f"SHA-256 {self.sealed[:32]}…", "mono")),
            ("found now", r.Cell(f"SHA-256 {self.found[:32]}…", "mono")),
        ]
        rows += [(change.part, r.Cell(f"{r.counted(change.bytes, 'byte')} changed, first at {change.address:#x}: {change.was} → {change.now}", "mono"))
                 for change in self.rows]  # fmt: skip
        return [
            r.Heading("The kernel's code", r.counted(self.size, "byte")),
            r.Table((), [r.Row((r.Cell(name, "soft"), cell)) for name, cell in rows]),
        ]


def _changes(before: bytes, after: bytes, base: int, entries: tuple[str, ...]) -> list[Change]:
    """Compare a piece of code with what it was, part by part."""
    differ = [base + i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    changes = []
    for address, size, part in [*places(entries), (0, 1 << 62, "between the parts")]:
        here = [one for one in differ if address <= one < address + size]
        differ = [one for one in differ if not address <= one < address + size]
        if here:
            first = (here[0] - base) & ~3
            was, now = (f"{int.from_bytes(code[first : first + 4], 'little'):#010x}" for code in (before, after))
            changes.append(Change(part, here[0], len(here), was, now))
    return changes


class Sealed:
    """The part of a system that knows its kernel's seal."""

    @property
    def kernel_image(self) -> KernelImage:
        """The kernel's code as it was sealed at boot."""
        return self._kernel_image

    def check_kernel(self) -> KernelCheck:
        """Compare the kernel's code in memory with its seal.

        Returns
        -------
        KernelCheck
            True if nothing has changed; shows what has.
        """
        sealed = self.kernel_image
        found = read_kernel(self.machine, sealed.entries)
        rows = []
        if sealed.seal != found.seal:
            rows = _changes(sealed.entry, found.entry, at.TEXT_BASE, sealed.entries) + _changes(sealed.core, found.core, at.CORE_TEXT, sealed.entries)
            rows += _changes(sealed.tables, found.tables, at.KERNEL_TABLES, sealed.entries)
        return KernelCheck(sealed.seal, found.seal, tuple(rows), len(found.data))
