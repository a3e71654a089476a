"""ELF files: 64-bit little-endian RISC-V executables, statically linked, to be put into RAM as they are.

A position-independent one goes where it was linked, or, linked at zero, to the beginning of RAM; it has to relocate itself.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from singlab.machine.linetable import LineTable, read_lines
from singlab.machine.state import RAM_BASE

#: Segments of a program that was linked at zero begin below this.
_LINKED_AT_ZERO = 1 << 20
#: Where OpenSBI's fw_jump for this board goes on.
_BEHIND_FIRMWARE = 0x8020_0000
_NEEDED = 1  #: the tag of a library's name


class ElfError(ValueError):
    """A file that cannot be loaded; the message says why and what to do."""


@dataclass(frozen=True)
class Elf:
    """What is in an executable.

    Attributes
    ----------
    entry : int
        Address of the first instruction.
    segments : list of (int, bytes, int)
        Physical address, bytes in the file, size in memory (what the file does not fill is zero).
    symbols : dict of str to int
    code : list of (int, int, int)
        Physical and virtual address and size of each section that holds instructions; of each executable segment if
        there are no sections.
    sizes : dict of str to int
        Bytes of a function or variable, where the file says.
    path : Path or None
        Where it was read from.
    slide : int
        By how much it lies above where it was linked; all addresses here are those where it lies.
    image : bytes
        The file itself.
    """

    entry: int
    segments: list[tuple[int, bytes, int]]
    symbols: dict[str, int] = field(default_factory=dict)
    code: list[tuple[int, int, int]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    path: Path | None = None
    slide: int = 0
    image: bytes = field(default=b"", repr=False)

    @cached_property
    def lines(self) -> LineTable:
        """Which source line each instruction comes from; empty unless compiled with ``-g``. Read when first asked for."""
        table = read_lines(self.image, self.path.parent if self.path else None)
        table.starts[:] = [start + self.slide for start in table.starts]
        return table

    @property
    def end(self) -> int:
        """The address behind the last segment."""
        return max(address + size for address, _, size in self.segments)

    def above(self, firmware: Elf) -> Elf:
        """Return this program together with a firmware that starts first; raises ElfError if they lie in the same place.

        What has to do with code is this program's. The firmware's symbols are there where their names are free.
        """
        both = [*firmware.segments, *self.segments]
        if (at := _shared(both)) is not None:
            raise ElfError(
                f"the kernel and its firmware both want the memory at {at:#x}. Link the kernel above the firmware, which ends at "
                f"{firmware.end:#x}: for OpenSBI's fw_jump at {_BEHIND_FIRMWARE:#x}."
            )
        symbols = firmware.symbols | self.symbols
        return replace(self, entry=firmware.entry, segments=both, symbols=symbols, sizes=firmware.sizes | self.sizes)


def _shared(segments: list[tuple[int, bytes, int]]) -> int | None:
    """Return the first address that lies in two segments, None if there is none."""
    ordered = sorted((address, size) for address, _, size in segments)
    return next((second for (first, size), (second, _) in zip(ordered, ordered[1:]) if first + size > second), None)


def _needs_libraries(segment) -> bool:
    """Whether a dynamic section asks for other files."""
    data = segment.data()
    return any(tag == _NEEDED for tag, _ in struct.iter_unpack("<qQ", data[: len(data) & ~15]))


def read_elf(path: str | Path) -> Elf:
    """Read an executable.

    Raises
    ------
    ElfError
        If it cannot be read, is no ELF file, cut off, for another machine, 32-bit, or needs a dynamic linker.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ElfError(f"{path} cannot be read: {error.strerror}. Give the path of a RISC-V program.") from None
    if data[:4] != b"\x7fELF":
        raise ElfError(f"{path} is not an ELF file. Compile with riscv64-unknown-elf-gcc -nostdlib, linked at 0x80000000.")
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    try:
        elf = ELFFile(io.BytesIO(data))
        header = elf.header
        kind, machine = header["e_type"], header["e_machine"]
        if machine not in ("EM_RISCV", 243):
            raise ElfError(f"{path} is for another machine ({str(machine).removeprefix('EM_')}). Compile it for RISC-V.")
        if elf.elfclass != 64:
            raise ElfError(f"{path} is a 32-bit program; this machine is RV64. Compile with -march=rv64imac -mabi=lp64.")
        if not elf.little_endian:
            raise ElfError(f"{path} is big-endian, and this machine is little-endian. Compile with -mlittle-endian.")
        if kind == "ET_REL":
            raise ElfError(f"{path} is an object file that has not been linked. Link it at 0x80000000.")
        segments = []
        for segment in elf.iter_segments():
            if segment["p_type"] == "PT_INTERP" or (segment["p_type"] == "PT_DYNAMIC" and _needs_libraries(segment)):
                raise ElfError(f"{path} needs a dynamic linker. Link it with -static -no-pie.")
            if segment["p_type"] == "PT_LOAD" and segment["p_memsz"]:
                start, size = segment["p_offset"], segment["p_filesz"]
                if start + size > len(data) or size > segment["p_memsz"]:
                    raise ElfError(f"{path} is cut off: a segment of {size} bytes at {start} goes beyond its end. Build it again.")
                segments.append((segment["p_paddr"], data[start : start + size], segment["p_memsz"]))
        if kind not in ("ET_EXEC", "ET_DYN"):
            raise ElfError(f"{path} is no executable. Link it with -static -no-pie at 0x80000000.")
        if not segments:
            raise ElfError(f"{path} has nothing to load. Link it at 0x80000000.")
        slide = RAM_BASE if kind == "ET_DYN" and min(segments)[0] < _LINKED_AT_ZERO else 0
        segments = [(address + slide, part, size) for address, part, size in segments]
        if (at := _shared(segments)) is not None:
            raise ElfError(f"{path} has segments that overlap at {at:#x}. Look at the linker script, and build it again.")
        symbols, sizes = {}, {}
        table = elf.get_section_by_name(".symtab")
        if isinstance(table, SymbolTableSection):
            named = [symbol for symbol in table.iter_symbols() if symbol.name and symbol["st_info"]["type"] != "STT_FILE"]
            symbols = {symbol.name: symbol["st_value"] + (slide if symbol["st_shndx"] != "SHN_ABS" else 0) for symbol in named}
            sizes = {symbol.name: symbol["st_size"] for symbol in named if symbol["st_size"]}
        loads = [part for part in elf.iter_segments() if part["p_type"] == "PT_LOAD" and part["p_memsz"]]
        parts = [(part["sh_addr"], part["sh_size"]) for part in elf.iter_sections() if part["sh_flags"] & 4 and part["sh_type"] == "SHT_PROGBITS"]
        parts = parts or [(part["p_vaddr"], part["p_filesz"]) for part in loads if part["p_flags"] & 1]
        code = [
            (load["p_paddr"] + at - load["p_vaddr"] + slide, at + slide, size)
            for at, size in parts for load in loads
            if size and load["p_vaddr"] <= at and at + size <= load["p_vaddr"] + load["p_filesz"]
        ]  # fmt: skip
    except ElfError:
        raise
    except Exception as error:  # the parser raises whatever a damaged file leads it to
        raise ElfError(f"{path} is damaged or cut off ({type(error).__name__}). Build it again.") from None
    return Elf(header["e_entry"] + slide, segments, symbols, code, sizes, path, slide, data)
