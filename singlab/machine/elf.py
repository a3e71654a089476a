"""ELF files: 64-bit little-endian RISC-V executables, statically linked, to be put into RAM as they are."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path


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
    code : list of (int, int)
        Address and size of each section that holds instructions; of each executable segment if there are no sections.
    """

    entry: int
    segments: list[tuple[int, bytes, int]]
    symbols: dict[str, int] = field(default_factory=dict)
    code: list[tuple[int, int]] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The address behind the last segment."""
        return max(address + size for address, _, size in self.segments)


def read_elf(path: str | Path) -> Elf:
    """Read an executable.

    Raises
    ------
    ElfError
        If it is no ELF file, cut off, for another machine, 32-bit, or needs a dynamic linker.
    FileNotFoundError
    """
    path = Path(path)
    data = path.read_bytes()
    if data[:4] != b"\x7fELF":
        raise ElfError(f"{path} is not an ELF file. Compile with riscv64-unknown-elf-gcc -nostdlib, linked at 0x80000000.")
    from elftools.common.exceptions import ELFError, ELFParseError
    from elftools.construct.core import ConstructError
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
            raise ElfError(f"{path} is big-endian; RISC-V programs for this machine are little-endian.")
        if kind == "ET_REL":
            raise ElfError(f"{path} is an object file that has not been linked. Link it at 0x80000000.")
        segments = []
        for segment in elf.iter_segments():
            if segment["p_type"] in ("PT_INTERP", "PT_DYNAMIC"):
                raise ElfError(f"{path} needs a dynamic linker. Link it with -static -no-pie.")
            if segment["p_type"] == "PT_LOAD" and segment["p_memsz"]:
                start, size = segment["p_offset"], segment["p_filesz"]
                if start + size > len(data) or size > segment["p_memsz"]:
                    raise ElfError(f"{path} is cut off: a segment of {size} bytes at {start} goes beyond its end. Build it again.")
                segments.append((segment["p_paddr"], data[start : start + size], segment["p_memsz"]))
        if kind != "ET_EXEC":
            raise ElfError(f"{path} is no executable for a fixed address. Link it with -static -no-pie at 0x80000000.")
        if not segments:
            raise ElfError(f"{path} has nothing to load. Link it at 0x80000000.")
        symbols = {}
        table = elf.get_section_by_name(".symtab")
        if isinstance(table, SymbolTableSection):
            symbols = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols() if symbol.name}
        code = [(part["sh_addr"], part["sh_size"]) for part in elf.iter_sections() if part["sh_flags"] & 4 and part["sh_type"] == "SHT_PROGBITS"]
        code = code or [(part["p_paddr"], part["p_filesz"]) for part in elf.iter_segments() if part["p_type"] == "PT_LOAD" and part["p_flags"] & 1]
    except ElfError:
        raise
    except (ELFError, ELFParseError, ConstructError, ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError, OverflowError,
            MemoryError, IndexError) as error:  # fmt: skip
        raise ElfError(f"{path} is damaged or cut off ({type(error).__name__}). Build it again.") from None
    return Elf(header["e_entry"], segments, symbols, code)
