"""Guests for the board: C programs of ``guests/`` built with a cross compiler, where one is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

GUESTS = Path(__file__).resolve().parent / "guests"
GCC = shutil.which("riscv64-unknown-elf-gcc")
QEMU = shutil.which("qemu-system-riscv64")
FLAGS = (
    "-nostdlib -ffreestanding -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany -O1 -fno-stack-protector -Wl,--no-warn-rwx-segments"
)


@cache
def built(name: str, start: str = "start.S") -> Path:
    """Return a guest as an ELF file; skips the test if there is no compiler."""
    if GCC is None:
        pytest.skip("no riscv64-unknown-elf-gcc on this computer: guests in C have NOT been run")
    out = Path(tempfile.mkdtemp()) / f"{name}.elf"
    command = [GCC, *FLAGS.split(), "-T", "board.ld", start, f"{name}.c", "-o", str(out)]
    subprocess.run(command, cwd=GUESTS, check=True, capture_output=True, text=True)
    return out
