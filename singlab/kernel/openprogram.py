"""Programs of open processes: segments of bytes with an entry, from an assembler's text, an ELF file or a compiler.

Nothing about them is checked: what is in the segments runs. Leaves out dynamic linking of programs; a library is code
that runs wherever it is put, and the kernel stands in for the linker that finds a function in it by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from singlab.kernel import layout as at
from singlab.kernel.startup import KernelError
from singlab.machine.asm import assemble
from singlab.machine.elf import read_elf

#: Pages a program gets for its data and for its stack, where nothing else is said.
DATA_PAGES = STACK_PAGES = 4
_READ_WRITE, _READ_EXECUTE = at.PROT_READ | at.PROT_WRITE, at.PROT_READ | at.PROT_EXEC


@dataclass(frozen=True)
class Segment:
    """A part of a program: where it begins (a multiple of 4,096), its bytes, how many there are in memory, the rights."""

    address: int
    data: bytes
    size: int
    rights: int

    @property
    def pages(self) -> int:
        return -(-self.size // at.PAGE)


@dataclass(frozen=True, repr=False)
class OpenProgram:
    """A program or library for open processes.

    Attributes
    ----------
    name : str
        What ``execve`` or ``dlopen`` finds it by; at most 31 bytes.
    segments : tuple of Segment
        For a library their addresses count from where it is put.
    entry : int
        Address of the first instruction; 0 for a library.
    symbols : dict of str to int
        Addresses of its functions.
    library : bool
    lines : list of (int, int)
        (address, source line), ascending.
    parameters : tuple of str
        Names of the words it begins with.
    source : str
        For views.
    """

    name: str
    segments: tuple[Segment, ...]
    entry: int = 0
    symbols: dict[str, int] = field(default_factory=dict)
    library: bool = False
    lines: list[tuple[int, int]] = field(default_factory=list)
    parameters: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self):
        for text in (self.name, *self.symbols):
            if not 0 < len(text.encode()) < at.OPEN_NAME_BYTES:
                raise KernelError(f"{text!r}: a name has 1 to {at.OPEN_NAME_BYTES - 1} bytes")
        for segment in self.segments:
            if segment.address % at.PAGE or segment.size <= 0 or not 0 <= segment.address < at.OPEN_STACK - segment.size + 1:
                raise KernelError(f"{self.name}: a segment of {segment.size} bytes at {segment.address:#x} is where no process can have one; "
                                  f"segments begin at multiples of {at.PAGE} and end at {at.OPEN_STACK:#x}")  # fmt: skip
            if len(segment.data) > segment.size:
                raise KernelError(f"{self.name}: {len(segment.data)} bytes do not fit a segment of {segment.size}")

    @classmethod
    def of_code(cls, name: str, text: bytes, *, library: bool = False, entry: int = 0, **more) -> OpenProgram:
        """Return the program whose text is these bytes, entered at an offset, with zeroed data and a stack."""
        size = -(-max(1, len(text)) // at.PAGE) * at.PAGE
        if library:
            return cls(name, (Segment(0, text, size, _READ_EXECUTE),), library=True, **more)
        return cls(name, (Segment(at.OPEN_TEXT, text, size, _READ_EXECUTE), *_room()), at.OPEN_TEXT + entry, **more)

    @classmethod
    def from_assembly(cls, name: str, text: str, *, library: bool = False, parameters: tuple[str, ...] = ()) -> OpenProgram:
        """Assemble a program, which begins at its first instruction, or a library; its labels are its symbols.

        Raises
        ------
        AssemblyError
            With the line.
        """
        code = assemble(text, 0 if library else at.OPEN_TEXT)
        symbols = {label: place for label, place in code.labels.items() if len(label.encode()) < at.OPEN_NAME_BYTES}
        return cls.of_code(name, code.code, library=library, symbols=symbols, parameters=parameters, source=text)

    @classmethod
    def from_elf(cls, path: str | Path, name: str | None = None) -> OpenProgram:
        """Read a program from a statically linked RISC-V executable, linked below 0x20000000.

        Raises
        ------
        ElfError
            If it is no such file.
        KernelError
            If it is linked to where no process can have memory.
        """
        elf = read_elf(path)
        pages: dict[int, tuple[bytearray, int]] = {}
        code = [(virtual, virtual + size) for _, virtual, size in elf.code]
        for address, data, size in elf.segments:
            runs = any(first < address + size and address < last for first, last in code)
            for page in range(address // at.PAGE, -(-(address + size) // at.PAGE)):
                there, rights = pages.get(page, (bytearray(at.PAGE), 0))
                low, high = max(address, page * at.PAGE), min(address + len(data), (page + 1) * at.PAGE)
                if low < high:
                    there[low - page * at.PAGE : high - page * at.PAGE] = data[low - address : high - address]
                pages[page] = there, rights | (_READ_EXECUTE if runs else _READ_WRITE)
        segments: list[Segment] = []
        for page, (there, rights) in sorted(pages.items()):
            last = segments[-1] if segments else None
            if last and last.rights == rights and last.address + last.size == page * at.PAGE:
                segments[-1] = Segment(last.address, last.data + bytes(there), last.size + at.PAGE, rights)
            else:
                segments.append(Segment(page * at.PAGE, bytes(there), at.PAGE, rights))
        symbols = {text: place for text, place in elf.symbols.items() if 0 < len(text.encode()) < at.OPEN_NAME_BYTES}
        return cls(name or Path(path).stem, (*segments, _room()[1]), elf.entry, symbols)

    def line_of(self, address: int) -> int:
        """Return the source line of the code at an address, 0 if it has none."""
        line = 0
        for place, number in self.lines:
            if place > address:
                break
            line = number
        return line

    def __repr__(self) -> str:
        size = sum(segment.size for segment in self.segments)
        return f"<{'library' if self.library else 'open program'} {self.name}: {size // at.PAGE} pages, {len(self.symbols)} symbols, not verified>"


def _room() -> tuple[Segment, Segment]:
    """Return the zeroed data and the stack of a program."""
    return (Segment(at.OPEN_DATA, b"", DATA_PAGES * at.PAGE, _READ_WRITE),
            Segment(at.OPEN_STACK - STACK_PAGES * at.PAGE, b"", STACK_PAGES * at.PAGE, _READ_WRITE))  # fmt: skip
