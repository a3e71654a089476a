"""ELF files built by hand, so that no compiler is needed to have good ones and every kind of bad one."""

from __future__ import annotations

import struct

RISCV, EXECUTABLE, LOAD = 243, 2, 1
HEADER, SEGMENT, SECTION, SYMBOL = 64, 56, 64, 24


def build_elf(
    segments: list[tuple[int, bytes, int]],
    entry: int,
    symbols: dict[str, int] | None = None,
    *,
    kind: int = EXECUTABLE,
    machine: int = RISCV,
    bits: int = 64,
    order: str = "<",
    types: list[int] | None = None,
) -> bytes:
    """Return a file: header, segment table, the segments' bytes, and with symbols a symbol table.

    Parameters
    ----------
    segments : list of (int, bytes, int)
        Address, bytes in the file, size in memory.
    types : list of int, optional
        Type of each segment; all are loaded if not given.
    """
    at = HEADER + SEGMENT * len(segments)
    table, body = b"", b""
    for index, (address, data, size) in enumerate(segments):
        what = types[index] if types else LOAD
        table += struct.pack(order + "IIQQQQQQ", what, 7, at + len(body), address, address, len(data), size, 1)
        body += data
    body += bytes(-len(body) % 8)
    sections, count = b"", 0
    start = at + len(body)
    if symbols is not None:
        strings = b"\0" + b"".join(name.encode() + b"\0" for name in symbols)
        entries, place = bytes(SYMBOL), 1
        for name, value in symbols.items():
            entries += struct.pack(order + "IBBHQQ", place, 0x10, 0, 0xFFF1, value, 0)
            place += len(name) + 1
        names = b"\0.symtab\0.strtab\0.shstrtab\0"
        places = [start, start + len(entries), start + len(entries) + len(strings)]
        body += entries + strings + names
        start += len(entries) + len(strings) + len(names)
        sections = bytes(SECTION)
        sections += struct.pack(order + "IIQQQQIIQQ", 1, 2, 0, 0, places[0], len(entries), 2, 1, 8, SYMBOL)
        sections += struct.pack(order + "IIQQQQIIQQ", 9, 3, 0, 0, places[1], len(strings), 0, 0, 1, 0)
        sections += struct.pack(order + "IIQQQQIIQQ", 17, 3, 0, 0, places[2], len(names), 0, 0, 1, 0)
        count = 4
    header = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    header += struct.pack(
        order + "HHIQQQIHHHHHH",
        kind,
        machine,
        1,
        entry,
        HEADER,
        start if count else 0,
        0,
        HEADER,
        SEGMENT,
        len(segments),
        SECTION,
        count,
        3 if count else 0,
    )
    return header + table + body + sections
