"""ELF files: good ones, and every kind of bad one, each with one clear message."""

from __future__ import annotations

import struct

import pytest
from bench import BASE
from elves import build_elf
from hypothesis import given, settings
from hypothesis import strategies as st

from singlab.machine import Board, ElfError
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.machine.elf import read_elf

CODE = bytes(range(64)) * 3


def good(**options) -> bytes:
    return build_elf([(BASE, CODE, len(CODE)), (BASE + 0x1000, b"data", 64)], BASE, {"_start": BASE, "tohost": BASE + 0x1000}, **options)


def refused(data: bytes, folder, ram: str = "1M") -> str:
    """Return the message with which a file is refused; it must name the file or an address, and be one line."""
    path = folder / "program.elf"
    path.write_bytes(data)
    with pytest.raises(ElfError) as caught:
        Board(ram=ram).load(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400 and message.count(". ") >= 1, message
    return message


def test_a_good_file(tmp_path):
    path = tmp_path / "program.elf"
    path.write_bytes(good())
    elf = read_elf(path)
    assert elf.entry == BASE and elf.segments == [(BASE, CODE, len(CODE)), (BASE + 0x1000, b"data", 64)]
    assert elf.symbols == {"_start": BASE, "tohost": BASE + 0x1000} and elf.end == BASE + 0x1040
    board = Board(ram="1M")
    board.machine.write(BASE + 0x1000, b"\xff" * 64)
    board.load(path)
    assert board.machine.read(BASE, len(CODE)) == CODE
    assert board.machine.read(BASE + 0x1000, 64) == b"data" + bytes(60), "what the file does not fill is zero"
    assert int(board.machine.m[s.TOHOST]) == 0x1000 + s.RAM_OFFSET


def test_without_symbols(tmp_path):
    path = tmp_path / "program.elf"
    path.write_bytes(build_elf([(BASE, CODE, len(CODE))], BASE))
    assert read_elf(path).symbols == {}


def test_cut_off_anywhere(tmp_path):
    data = good()
    for length in range(0, len(data), 16):
        (tmp_path / "program.elf").write_bytes(data[:length])
        try:
            elf = read_elf(tmp_path / "program.elf")
        except ElfError:
            continue
        # what is left must be whole: sections may be missing, never bytes of a segment
        assert [len(part) for _, part, _ in elf.segments] == [len(CODE), 4]
    assert refused(b"", tmp_path) and refused(b"\x7fELF", tmp_path)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 64 + 2 * 56 - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_headers(changes):
    for data in (bytearray(good()), bytearray(build_elf([(0, CODE, len(CODE)), (0x1000, bytes(32), 32)], 0, kind=3, types=[1, 2]))):
        for at, value in changes:
            data[at] = value
        loads_or_refuses(bytes(data))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_tables(changes):
    """From the end: the section table, names and symbols."""
    data = bytearray(good())
    for back, value in changes:
        data[-back] = value
    loads_or_refuses(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_anything_after_the_magic(data):
    loads_or_refuses(b"\x7fELF\x02\x01\x01" + data)


def loads_or_refuses(data: bytes) -> None:
    """Load; nothing but ElfError may come of it."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.elf"
        path.write_bytes(data)
        board = Board(ram="1M", profile="untimed")
        try:
            board.load(path)
        except ElfError as error:
            assert str(error)
        else:
            assert board.run(cycles=2000).reason in ("limit", "lost", "wfi", "exit")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bits": 32}, ("32-bit", "-mabi=lp64")), ({"order": ">"}, ("big-endian",)), ({"machine": 62}, ("another machine", "X86_64")),
        ({"machine": 0x9999}, ("another machine",)), ({"kind": 1}, ("not been linked",)), ({"kind": 4}, ("no executable",)),
        ({"types": [3, 1]}, ("dynamic linker", "-static")), ({"types": [4, 4]}, ("nothing to load",)),
    ],
)  # fmt: skip
def test_the_wrong_kind(options, words, tmp_path):
    data = good(**options)
    if options.get("bits") == 32:
        # as a 32-bit file has it: another layout of the header
        data = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, BASE, 52, 0, 0, 52, 32, 1, 40, 0, 0)
        data += struct.pack("<IIIIIIII", 1, 84, BASE, BASE, 0, 0, 7, 1)
    message = refused(data, tmp_path)
    assert all(word in message for word in words), message


M1 = 1 << 20


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ([(BASE, CODE, M1 + 1)], ("more RAM",)), ([(BASE, CODE, (1 << 64) - 1)], ("memory from",)), ([(BASE, CODE, (1 << 64) - BASE)], ("memory from",)),
        ([(BASE - 4096, CODE, 100_000)], ("memory from",)), ([(0, CODE, len(CODE))], ("Link it at 0x80000000",)), ([((1 << 64) - 64, CODE, len(CODE))], ("memory from",)),
        ([(BASE + M1 - 4096, CODE, len(CODE))], ("memory from",)),  # where the device tree will be
        ([(BASE, CODE, 192), (BASE + 64, CODE, 192)], ("overlap at 0x80000040",)), ([(BASE + 64, b"", 64), (BASE, b"", 65)], ("overlap",)),
        ([(BASE, CODE, 10)], ("cut off",)), ([(BASE, b"", 0)], ("nothing to load",)), ([], ("nothing to load",)),
    ],
)  # fmt: skip
def test_segments_that_cannot_be(segments, words, tmp_path):
    message = refused(build_elf(segments, BASE, {}), tmp_path)
    assert all(word in message for word in words), message


def test_segments_that_touch_are_good(tmp_path):
    (tmp_path / "p").write_bytes(build_elf([(BASE + 192, CODE, 192), (BASE, CODE, 192)], BASE))
    Board(ram="1M").load(tmp_path / "p")


@pytest.mark.parametrize("entry", [0, BASE - 4, BASE + 1, BASE + M1, BASE + M1 - 4096, (1 << 64) - 2])
def test_an_entry_outside_memory(entry, tmp_path):
    message = refused(build_elf([(BASE, CODE, len(CODE))], entry), tmp_path)
    assert f"starts at {entry:#x}" in message


def test_no_file(tmp_path):
    for path in (tmp_path / "nothing.elf", tmp_path):
        with pytest.raises(ElfError) as caught:
            read_elf(path)
        assert str(path) in str(caught.value) and "cannot be read" in str(caught.value)


def test_a_tohost_at_the_very_end_is_no_tohost(tmp_path):
    end = BASE + M1
    for place, known in ((end - 8, True), (end - 7, False), (end, False), (0, False), ((1 << 64) - 8, False)):
        (tmp_path / "p").write_bytes(build_elf([(BASE, CODE, len(CODE))], BASE, {"tohost": place}))
        board = Board(ram="1M")
        board.load(tmp_path / "p")
        assert (int(board.machine.m[s.TOHOST]) != 0) == known


def test_arguments_that_do_not_fit(tmp_path):
    (tmp_path / "p").write_bytes(good())
    with pytest.raises(ElfError, match="arguments"):
        Board(ram="1M").load(tmp_path / "p", "x" * 70_000)


# ---- position-independent programs -----------------------------------------------------------------------------------

#: Adds where it lies to the one pointer it has, as its relocation (where, kind, addend) says, and ends with the code that the pointer leads to.
PIE = """
start:  la   a0, start
        la   a1, relocation
        ld   a2, 0(a1)
        add  a2, a2, a0
        ld   a3, 16(a1)
        add  a3, a3, a0
        sd   a3, 0(a2)
        la   a4, pointer
        ld   a4, 0(a4)
        lw   a5, 0(a4)
        li   a6, 0x100000
        sw   a5, 0(a6)
rest:   j    rest
        .align 3
relocation: .dword {pointer}, 3, {code}
pointer: .dword 0
code:   .dword {value}
"""


@pytest.mark.parametrize("linked", [0, BASE, BASE + 0x1_0000])
def test_a_program_that_relocates_itself(linked, tmp_path):
    labels = assemble(PIE.format(pointer=0, code=0, value=0), 0).labels
    made = assemble(PIE.format(pointer=labels["pointer"], code=labels["code"], value=0x3333 | 7 << 16), linked)
    dynamic = struct.pack("<4Q", 7, labels["relocation"], 0, 0)
    symbols = {name: linked + at for name, at in labels.items()}
    data = build_elf([(linked, made.code, len(made.code)), (linked + 0x1000, dynamic, len(dynamic))], linked, symbols, kind=3, types=[1, 2])
    (tmp_path / "p.elf").write_bytes(data)
    elf = read_elf(tmp_path / "p.elf")
    lies = linked or BASE
    assert (elf.slide, elf.entry) == (lies - linked, lies) and elf.code == [(lies, lies, len(made.code))]
    board = Board(ram="1M")
    board.load(tmp_path / "p.elf")
    ended = board.run(cycles=1_000_000)
    assert (ended.reason, ended.code) == ("exit", 7)


def test_a_program_that_needs_libraries(tmp_path):
    """Without an interpreter named, but with a library."""
    tags = struct.pack("<QQQQ", 1, 1, 0, 0)
    message = refused(build_elf([(BASE, CODE, len(CODE)), (BASE + 0x1000, tags, len(tags))], BASE, kind=3, types=[1, 2]), tmp_path)
    assert "dynamic linker" in message
