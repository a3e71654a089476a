"""Source lines of a program, from its DWARF line table: address to file, line and the line's text.

Leaves out everything else DWARF knows (variables, types, inlined calls). Source texts are read from where the
table says they are, or beside the executable.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

#: Source files beyond this size are not read.
_MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class SourceLine:
    """A line of a source file; ``text`` is empty where the file is not at hand."""

    file: str
    number: int
    text: str


@dataclass
class LineTable:
    """Which source line each address comes from.

    Attributes
    ----------
    starts : list of int
        Addresses at which a line begins, ascending.
    places : list of (str, int) or None
        File and line from there on; None behind the end of a stretch of code.
    problem : str
        Why it is empty, if it is.
    """

    starts: list[int] = field(default_factory=list)
    places: list[tuple[str, int] | None] = field(default_factory=list)
    folder: Path | None = None
    problem: str = ""
    _texts: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.starts)

    def find(self, address: int) -> SourceLine | None:
        """Return the source line of the instruction at an address, or None."""
        at = bisect_right(self.starts, address) - 1
        place = self.places[at] if at >= 0 else None
        if place is None:
            return None
        file, number = place
        lines = self.text(file)
        return SourceLine(file, number, lines[number - 1] if 0 < number <= len(lines) else "")

    def addresses(self, file: str, number: int) -> list[int]:
        """Return where the code of a line begins; ``file`` may be given without its folder."""
        return [
            start for start, place in zip(self.starts, self.places)
            if place is not None and place[1] == number and (place[0] == file or place[0].endswith("/" + file))
        ]  # fmt: skip

    def text(self, file: str) -> list[str]:
        """Return the lines of a source file, none if it is not at hand."""
        if file not in self._texts:
            self._texts[file] = self._read(file)
        return self._texts[file]

    def _read(self, file: str) -> list[str]:
        choices = [Path(file)]
        if self.folder is not None:
            choices += [self.folder / file, self.folder / PurePosixPath(file).name]
        for path in choices:
            try:
                if path.is_file() and path.stat().st_size <= _MOST_BYTES:
                    return path.read_text(encoding="utf-8", errors="replace").splitlines()
            except (OSError, ValueError):
                continue
        return []


def read_lines(image: bytes, folder: Path | None = None) -> LineTable:
    """Return the line table of an executable, empty if it has none or it is damaged.

    Parameters
    ----------
    image : bytes
        The ELF file.
    folder : Path, optional
        Where its sources may lie.
    """
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(image))
        if not elf.has_dwarf_info():
            return LineTable(folder=folder, problem="the program has no line table; compile it with -g")
        found = _entries(elf.get_dwarf_info())
    except Exception as error:  # a damaged table raises whatever the reader trips over; the program itself runs without it
        return LineTable(
            folder=folder, problem=f"the program's line table cannot be read ({type(error).__name__}); compile it with -g again"
        )
    table = LineTable(folder=folder)
    for address, _, place in found:
        # of several lines that begin at one address the last has the code
        if table.starts and table.starts[-1] == address:
            table.places[-1] = place
        else:
            table.starts.append(address)
            table.places.append(place)
    return table


def _entries(dwarf) -> list[tuple[int, bool, tuple[str, int] | None]]:
    """Return (address, whether a line begins there, file and line) of all units, ends before beginnings."""
    found, done = [], set()
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None or program.program_start_offset in done:
            continue
        done.add(program.program_start_offset)
        top = unit.get_top_DIE()
        home = top.attributes.get("DW_AT_comp_dir")
        names = _files(program.header, _text(home.value) if home else "")
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if state.end_sequence:
                found.append((state.address, False, None))
            elif state.line and (name := names.get(state.file)):
                found.append((state.address, True, (name, state.line)))
    found.sort(key=lambda item: item[:2])
    return found


def _text(value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _files(header, home: str) -> dict[int, str]:
    """Return the paths of a unit's files by number, which begin at 0 from DWARF 5 on and at 1 before."""
    new = header["version"] >= 5
    folders = [_text(folder) for folder in header["include_directory"]]
    if not new:
        folders = [home, *folders]
    names = {}
    for number, entry in enumerate(header["file_entry"], 0 if new else 1):
        folder = folders[entry.dir_index] if entry.dir_index < len(folders) else ""
        names[number] = str(PurePosixPath(home) / folder / _text(entry.name))
    return names
