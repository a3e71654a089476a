"""Programs in C, compiled by a stock gcc for this machine, against the same sources compiled for the host."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from singlab.machine import Board

GUESTS = Path(__file__).parent / "guests"
GCC, HOST, USER = shutil.which("riscv64-unknown-elf-gcc"), shutil.which("gcc") or shutil.which("cc"), shutil.which("qemu-riscv64")
PROGRAMS = ("numbers", "memory", "digests")
ARCHITECTURES = ("rv64imac_zicsr_zifencei", "rv64ima_zicsr_zifencei")
LEVELS = ("-O0", "-O2", "-Os")


def need(tool: str | None, name: str, package: str) -> None:
    """Skip without a tool, saying so; fail where CI is set."""
    if tool is None:
        message = f"no {name} on this computer: these tests have NOT been run; install {package}"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(message)
        pytest.skip(message)


@cache
def library(architecture: str) -> str:
    """Return gcc's own library for an architecture; it has none for the longer names."""
    plain = {"rv64imac_zicsr_zifencei": "rv64imac", "rv64ima_zicsr_zifencei": "rv64im"}[architecture]
    done = subprocess.run([GCC, f"-march={plain}", "-mabi=lp64", "-print-libgcc-file-name"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def compiled(program: str, level: str, architecture: str, folder: Path, *extra: str) -> Path:
    """Return a program for the board; skips if there is no compiler."""
    need(GCC, "riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf")
    path = folder / f"{program}{level}-{architecture}.elf"
    command = [GCC, "-nostdlib", "-ffreestanding", "-fno-builtin", "-mcmodel=medany", "-mabi=lp64", f"-march={architecture}", level, "-Wall", "-static", *extra,
               "-T", "link.ld", "board.S", "board.c", f"{program}.c", library(architecture), "-o", str(path)]  # fmt: skip
    done = subprocess.run(command, cwd=GUESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


@cache
def expected(program: str) -> bytes:
    """Return what the program prints on the host."""
    need(HOST, "gcc", "gcc")
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / program
        subprocess.run(
            [HOST, "-O1", "-fno-strict-aliasing", "host.c", f"{program}.c", "-o", str(path)], cwd=GUESTS, check=True, capture_output=True
        )
        return subprocess.run([str(path)], check=True, capture_output=True, timeout=20).stdout


def check(program: str, level: str, architecture: str, profile: str, folder: Path) -> None:
    path = compiled(program, level, architecture, folder)
    board = Board(profile=profile, ram="4M")
    board.load(path)
    ended = board.run(cycles=400_000_000)
    assert (ended.reason, ended.code) == ("exit", 0), ended
    assert bytes(board.printed) == expected(program)
    counted = board.machine.counters()
    assert counted["cycles"] == counted["instructions"] + sum(v for n, v in counted.items() if n.startswith("stall_"))


def test_the_hosts_answers_are_right():
    """The oracle's own oracle: known digests and counts."""
    lines = dict(line.split(" ") for p in ("numbers", "digests") for line in expected(p).decode().splitlines() if line.count(" ") == 1)
    assert int(lines["primes"], 16) >> 32 == 2262 and int(lines["queens"], 16) == 40 and int(lines["divisions"], 16) == 0
    assert expected("digests").startswith(b"crc 00000000cbf43926\n") and lines["abc"] == "ba7816bf8f01cfea"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs(program, architecture, tmp_path):
    check(program, "-O2", architecture, "athlon64", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["teaching", "modern", "untimed"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_in_every_way(program, level, architecture, profile, tmp_path):
    check(program, level, architecture, profile, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_translated_programs_do_the_same(program, profile, tmp_path):
    """As native code: the same output, and the same counters."""
    path = compiled(program, "-O2", ARCHITECTURES[0], tmp_path)
    found = []
    for translated in (False, True):
        board = Board(profile=profile, ram="4M")
        board.load(path)
        if translated:
            made = board.translate()
            assert made.reason is None
        assert board.run(cycles=400_000_000).code == 0
        found.append((bytes(board.printed), board.machine.counters(), board.machine.registers()))
        if translated:
            assert made.reason is None
    assert found[0] == found[1]


@pytest.mark.parametrize("program", PROGRAMS)
def test_another_emulator_agrees(program, tmp_path):
    """QEMU's user mode runs the same code with Linux's calls in place of the UART."""
    need(GCC, "riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf")
    need(USER, "qemu-riscv64", "qemu-user")
    (tmp_path / "linux.c").write_text(
        '#include "guest.h"\n'
        "static long call(long n, long a, long b, long c) { register long a7 __asm__(\"a7\") = n, a0 __asm__(\"a0\") = a, a1 __asm__(\"a1\") = b, a2 __asm__(\"a2\") = c;\n"
        ' __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory"); return a0; }\n'
        "void put(char c) { call(64, 1, (long)&c, 1); }\nvoid begin(void) { call(93, run(), 0, 0); }\n"
    )  # fmt: skip
    (tmp_path / "start.S").write_text(".globl _start\n_start:\n.option norelax\nla gp, __global_pointer$\ncall begin\n")
    source = (GUESTS / "board.c").read_text()
    (tmp_path / "library.c").write_text("\n".join(line for line in source.splitlines() if not line.startswith("void put(")))
    path = tmp_path / "program"
    subprocess.run([GCC, "-nostdlib", "-ffreestanding", "-fno-builtin", "-mabi=lp64", f"-march={ARCHITECTURES[0]}", "-O2", "-static", f"-I{GUESTS}", "start.S", "linux.c",
                    "library.c", str(GUESTS / f"{program}.c"), library(ARCHITECTURES[0]), "-o", str(path)], cwd=tmp_path, check=True, capture_output=True)  # fmt: skip
    done = subprocess.run([USER, str(path)], capture_output=True, check=True, timeout=30)
    assert done.stdout == expected(program)
