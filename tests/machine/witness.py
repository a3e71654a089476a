"""QEMU as a witness: the same bare-metal program there and here, and what each printed."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest
from bench import BASE

from singlab.machine import Board

QEMU = shutil.which("qemu-system-riscv64")
needs_qemu = pytest.mark.skipif(
    QEMU is None, reason="no qemu-system-riscv64 on this computer: the comparison with QEMU has NOT been run; install qemu-system-misc"
)

#: QEMU's processor with what this machine has; it has no choice to leave out its other page-table formats.
PROCESSOR = "rv64,f=off,d=off,h=off,debug=off,pmu-num=0,sstc=on,svinval=off,zba=off,zbb=off,zbc=off,zbs=off"
RESULTS = BASE + 0x20_0000
MASK = (1 << 64) - 1

#: Lets the supervisor and users reach all of memory, as every program must that goes there.
OPEN = "li t0, -1\ncsrw 0x3b0, t0\nli t0, 0x1f\ncsrw 0x3a0, t0\n"

#: Prints the results and ends; s1 stands behind the last of them.
FINISH = f"""
    li   t0, {RESULTS}
    li   t1, 0x10000000
print:
    bgeu t0, s1, end
    lbu  t2, 0(t0)
    sb   t2, 0(t1)
    addi t0, t0, 1
    j    print
end:
    li   t0, 0x100000
    li   t1, 0x5555
    sw   t1, 0(t0)
rest:
    j    rest
"""


def words(code: list[int]) -> bytes:
    return struct.pack(f"<{len(code)}I", *code)


def on_qemu(elf: bytes, folder, *options: str) -> bytes:
    """Return what a program prints on QEMU, started with further options."""
    program, printed = folder / "program.elf", folder / "printed"
    program.write_bytes(elf)
    subprocess.run(
        [QEMU, "-machine", "virt", "-m", "64M", "-cpu", PROCESSOR, "-bios", "none", "-display", "none", "-monitor", "none", "-serial", f"file:{printed}",
         "-kernel", str(program), *options],
        check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    return printed.read_bytes()


def here(elf: bytes, folder, profile: str = "athlon64", **options) -> bytes:
    """Return what it prints on this machine; the options are the board's."""
    program = folder / "program.elf"
    program.write_bytes(elf)
    board = Board(profile=profile, ram="64M", **options)
    board.load(program)
    ended = board.run(cycles=400_000_000)
    assert (ended.reason, ended.code) == ("exit", 0), ended
    return bytes(board.printed)
