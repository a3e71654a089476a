"""Source lines out of a program's DWARF line table: an executable built here byte by byte, and one from a compiler."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest

from singlab.machine import Board, Machine, view
from singlab.machine.asm import assemble
from singlab.machine.elf import Elf, read_elf

BASE = 0x8000_0000
SOURCE = "int main(void) {\n    int a = 1;\n    return a + 1 < 5; // <b>\n}\n"
CODE = assemble("li a0, 1\naddi a0, a0, 1\nslti a0, a0, 5\nwfi", BASE).code


def uleb(value: int) -> bytes:
    """Return an unsigned LEB128 number."""
    return bytes([value & 0x7F | 0x80]) + uleb(value >> 7) if value > 0x7F else bytes([value])


def sleb(value: int) -> bytes:
    """Return a signed LEB128 number of one byte."""
    assert -64 <= value < 64
    return bytes([value & 0x7F])


def line_program(rows: list[tuple[int, int]], end: int, folder: str, name: str) -> bytes:
    """Return a version 4 line table with one sequence of (address, line)."""
    program, address, line = b"\0\x09\x02" + struct.pack("<Q", rows[0][0]), rows[0][0], 1
    for at, number in rows:
        program += b"\x02" + uleb(at - address) + b"\x03" + sleb(number - line) + b"\x01"
        address, line = at, number
    program += b"\x02" + uleb(end - address) + b"\0\x01\x01"
    lengths = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
    head = struct.pack("<BBBbBB", 1, 1, 1, -5, 14, 13) + lengths + folder.encode() + b"\0\0" + name.encode() + b"\0" + uleb(1) + b"\0\0\0"
    body = struct.pack("<HI", 4, len(head)) + head + program
    return struct.pack("<I", len(body)) + body


def executable(home: str, lines: bytes) -> bytes:
    """Return an ELF file with CODE at BASE, the symbol main, and a line table."""
    abbreviations = bytes([1, 0x11, 0, 0x10, 0x17, 0x03, 0x08, 0x1B, 0x08, 0, 0, 0])
    unit = struct.pack("<HIB", 4, 0, 8) + bytes([1]) + struct.pack("<I", 0) + b"main.c\0" + home.encode() + b"\0"
    strings = b"\0main\0main.c\0"
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, BASE, len(CODE)) + struct.pack("<IBBHQQ", 6, 0x04, 0, 0xFFF1, 0, 0)
    sections = [
        (".text", 1, 6, BASE, CODE, 0, 0), (".debug_abbrev", 1, 0, 0, abbreviations, 0, 0),
        (".debug_info", 1, 0, 0, struct.pack("<I", len(unit)) + unit, 0, 0), (".debug_line", 1, 0, 0, lines, 0, 0),
        (".strtab", 3, 0, 0, strings, 0, 0), (".symtab", 2, 0, 0, symbols, 5, 24),
    ]  # fmt: skip
    names = b"\0" + b"".join(section[0].encode() + b"\0" for section in sections) + b".shstrtab\0"
    sections.append((".shstrtab", 3, 0, 0, names, 0, 0))
    data, headers = bytearray(64 + 56), bytes(64)
    for name, kind, flags, address, body, link, size in sections:
        headers += struct.pack(
            "<IIQQQQIIQQ", names.index(name.encode() + b"\0"), kind, flags, address, len(data), len(body), link, 1, 1, size
        )
        if name == ".text":
            struct.pack_into("<IIQQQQQQ", data, 64, 1, 5, len(data), BASE, BASE, len(body), len(body), 4)
        data += body
    struct.pack_into("<4sBBBB8xHHIQQQIHHHHHH", data, 0, b"\x7fELF", 2, 1, 1, 0, 2, 243, 1, BASE, 64, len(data), 0, 64, 56, 1, 64,
                     len(sections) + 1, len(sections))  # fmt: skip
    return bytes(data) + headers


@pytest.fixture
def program(tmp_path):
    """A program with its source beside it."""
    lines = line_program([(BASE, 2), (BASE + 4, 3), (BASE + 12, 4)], BASE + len(CODE), "src", "main.c")
    (tmp_path / "a.elf").write_bytes(executable(str(tmp_path), lines))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.c").write_text(SOURCE)
    return tmp_path / "a.elf"


def test_every_address_has_its_line(program):
    elf = read_elf(program)
    assert elf.symbols == {"main": BASE} and elf.sizes == {"main": len(CODE)}
    found = [elf.lines.find(BASE + at) for at in range(0, 16, 2)]
    assert [line.number for line in found] == [2, 2, 3, 3, 3, 3, 4, 4]
    assert [line.text for line in found[::2]] == SOURCE.splitlines()[1:3] + SOURCE.splitlines()[2:4]
    assert elf.lines.find(BASE + 16) is None and elf.lines.find(BASE - 1) is None and elf.lines.find(0) is None
    assert elf.lines.addresses("main.c", 3) == [BASE + 4] and elf.lines.addresses("other.c", 3) == []


def test_code_shows_the_source(program):
    board = Board(ram="1M")
    board.load(program)
    shown = board.view.code()
    assert [(row.line, row.label) for row in shown.rows] == [(2, "main"), (3, ""), (3, ""), (4, "")]
    text = repr(shown)
    assert text.count("main.c:3") == 1 and "int a = 1;" in text and "&lt;b&gt;" in shown.html() and "<b>" not in shown.html()
    machine = Machine(ram="64K")
    machine.write(BASE, CODE)
    assert "int a = 1;" in repr(view.Views(machine, program=read_elf(program)).code())


def test_a_source_that_is_elsewhere(program):
    (program.parent / "src" / "main.c").rename(program.parent / "main.c")
    assert read_elf(program).lines.find(BASE).text == "    int a = 1;", "beside the executable"
    (program.parent / "main.c").unlink()
    found = read_elf(program).lines.find(BASE)
    assert (found.number, found.text) == (2, "") and found.file.endswith("src/main.c")


def test_a_source_that_is_no_text(program):
    place = program.parent / "src" / "main.c"
    place.write_bytes(bytes(range(256)))
    assert isinstance(read_elf(program).lines.find(BASE).text, str)
    place.unlink()
    place.mkdir()
    assert read_elf(program).lines.find(BASE).text == ""


def test_damaged_tables_do_not_stop_a_program(program):
    data = program.read_bytes()
    start = data.index(b"src\0\0main.c") - 40
    for at in range(start, start + 90):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            program.write_bytes(data[:at] + bytes([value]) + data[at + 1 :])
            lines = read_elf(program).lines
            for address in (BASE, BASE + 8, 0, (1 << 64) - 1):
                assert lines.find(address) is None or isinstance(lines.find(address).text, str)
    assert len(Elf(BASE, [(BASE, CODE, len(CODE))]).lines) == 0, "a program without a file behind it"


@pytest.mark.skipif(not shutil.which("riscv64-unknown-elf-gcc"), reason="no RISC-V compiler on this computer")
@pytest.mark.parametrize("version", [4, 5])
def test_a_compiled_program(tmp_path, version):
    """Against the compiler's own listing tool."""
    source = tmp_path / "sum.c"
    source.write_text(
        "int sum(int *v, int n) {\n  int t = 0;\n  for (int i = 0; i < n; i++)\n    t += v[i];\n  return t;\n}\n\nint _start(void) { return 0; }\n"
    )
    elf = tmp_path / "sum.elf"
    flags = [
        "-march=rv64imac",
        "-mabi=lp64",
        "-O1",
        f"-gdwarf-{version}",
        "-nostdlib",
        "-static",
        "-mcmodel=medany",
        "-Wl,-N",
        f"-Wl,-Ttext={BASE:#x}",
    ]
    subprocess.run(["riscv64-unknown-elf-gcc", *flags, "-o", elf, source], check=True, capture_output=True)
    read = read_elf(elf)
    addresses = range(BASE, BASE + read.sizes["sum"], 2)
    told = subprocess.run(
        ["riscv64-unknown-elf-addr2line", "-e", elf, *map(hex, addresses)], check=True, capture_output=True, text=True
    ).stdout
    for address, place in zip(addresses, told.splitlines()):
        file, number = place.split(" ")[0].rsplit(":", 1)
        found = read.lines.find(address)
        assert (found.file, found.number) == (file, int(number)) and found.text == source.read_text().splitlines()[int(number) - 1]
