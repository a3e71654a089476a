"""Firmware: a board that starts in it and goes on in a kernel, with small ones of our own and with OpenSBI and U-Boot.

The real ones are other people's files, taken from where Debian's packages ``opensbi`` and ``u-boot-qemu`` put them; without
them these tests are skipped. QEMU with the same processor is the witness of what OpenSBI and a kernel above it print.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from bench import BASE
from elves import build_elf
from typer.testing import CliRunner
from witness import PROCESSOR, QEMU, needs_qemu

from singlab.cli import app
from singlab.machine import Board, ElfError
from singlab.machine.asm import assemble
from singlab.machine.devicetree import board_tree
from singlab.machine.elf import Elf
from singlab.machine.jit import DISABLED

PROFILES = pytest.mark.parametrize("profile", ["athlon64", "untimed"])
PLACE = BASE + 0x20_0000  #: where OpenSBI's fw_jump goes on
OPENSBI = Path("/usr/lib/riscv64-linux-gnu/opensbi/generic")
UBOOT = Path("/usr/lib/u-boot")


def installed(path: Path, package: str) -> Path:
    """Return a file of firmware; skips the test if it is not there, or would take hours."""
    if DISABLED:
        pytest.skip("firmware runs tens of millions of instructions: too many uncompiled")
    if not path.exists():
        pytest.skip(f"no {path.name} on this computer: it has NOT been booted; install {package}")
    return path


def opensbi(name: str) -> Path:
    return installed(OPENSBI / f"{name}.elf", "opensbi")


def uboot(name: str) -> Path:
    return installed(UBOOT / name / "uboot.elf", "u-boot-qemu")


def elf(text: str, at: int, skip: int = 0) -> Elf:
    """Return a program that is loaded at an address and starts ``skip`` bytes behind it."""
    made = assemble(text, at)
    return Elf(at + skip, [(at, made.code, len(made.code) + 64)], made.labels, [(at, at, len(made.code))])


def put(letter: str) -> str:
    return f"li t0, 0x10000000\nli t1, {ord(letter)}\nsb t1, 0(t0)\n"


# ---- a firmware and a kernel of our own -------------------------------------------------------------------------------

#: Goes on in the kernel as the information in a2 says, in the mode it says, with all of memory open.
FIRMWARE = (
    put("F")
    + """
    ld   s0, 0(a2)
    li   s1, 0x4942534f
    bne  s0, s1, bad
    ld   s0, 8(a2)
    li   s1, 2
    bltu s0, s1, bad
    ld   s0, 32(a2)
    ld   s2, 40(a2)
    or   s0, s0, s2
    bnez s0, bad
    li   t0, -1
    csrw 0x3b0, t0
    li   t0, 0x1f
    csrw 0x3a0, t0
    ld   t0, 24(a2)
    slli t0, t0, 11
    csrw mstatus, t0
    ld   t0, 16(a2)
    csrw mepc, t0
    mret
bad:
"""
    + put("!")
    + "rest: j rest\n"
)
#: Counts in its own memory, and asks for a reset for as long as nothing has been typed; then ends with the count.
KERNEL = (
    ".word 0\n"
    + put("K")
    + """
    la   s0, count
    lw   s1, 0(s0)
    addi s1, s1, 1
    sw   s1, 0(s0)
    li   s2, 0x10000005
    lbu  t1, 0(s2)
    andi t1, t1, 1
    li   t0, 0x100000
    li   t2, 0x7777
    beqz t1, end
    slli s1, s1, 16
    li   t2, 0x3333
    or   t2, t2, s1
end:
    sw   t2, 0(t0)
rest:
    j    rest
count:
    .word 41
"""
)


@PROFILES
@pytest.mark.parametrize("place", [PLACE, BASE + 0x10_0000])
def test_a_kernel_above_a_firmware_is_started_again_as_it_was(profile, place):
    """The firmware is told where the kernel is; after a reset both are as they were loaded."""
    board = Board(ram="4M", profile=profile)
    board.load(elf(KERNEL, place, 4), firmware=elf(FIRMWARE, BASE))
    assert board.symbols["count"] > place and board.symbols["bad"] < place
    assert board.run(cycles=4000).reason == "limit" and board.printed.startswith(b"FKFKFK")
    board.type(b"x")
    ended = board.run(cycles=10_000)
    assert (ended.reason, ended.code) == ("exit", 42)


def test_without_a_firmware_a_program_is_told_nothing():
    board = Board(ram="4M")
    board.load(elf("rest: j rest", BASE))
    assert board.machine.registers()["a2"] == 0


def test_the_kernel_is_what_is_translated_and_named():
    board = Board(ram="4M")
    kernel = elf(KERNEL, PLACE, 4)
    board.load(kernel, firmware=elf("rest: j rest\n" + FIRMWARE.replace("rest", "other"), BASE, 4))
    assert board.symbols["rest"] == kernel.symbols["rest"] and board.program.code == kernel.code
    board.type(b"x")
    translation = board.translate()
    assert translation.address == PLACE and (DISABLED or translation.reason is None)
    ended = board.run(cycles=10_000)
    assert (ended.reason, ended.code) == ("exit", 42)


@pytest.mark.parametrize("at", [BASE, BASE + 16, BASE - 8])
def test_a_kernel_where_the_firmware_lies_is_refused(at):
    board = Board(ram="4M")
    with pytest.raises(ElfError, match=r"kernel.*firmware.*0x800000[01]0.*0x80200000"):
        board.load(elf(KERNEL, at), firmware=elf(FIRMWARE, BASE))


def test_a_kernel_right_behind_the_firmware():
    firmware = elf(FIRMWARE, BASE)
    Board(ram="4M").load(elf(KERNEL, firmware.end), firmware=firmware)
    with pytest.raises(ElfError, match="both want"):
        Board(ram="4M").load(elf(KERNEL, firmware.end - 2), firmware=firmware)


def test_a_kernel_without_room_is_refused():
    with pytest.raises(ElfError, match="more RAM"):
        Board(ram="2M").load(elf(KERNEL, PLACE), firmware=elf(FIRMWARE, BASE))


def test_boot_with_a_firmware(tmp_path):
    for name, text, at in (("kernel", KERNEL.replace("beqz t1, end\n", "\n"), PLACE), ("firmware", FIRMWARE, BASE)):
        made = assemble(text, at)
        (tmp_path / name).write_bytes(build_elf([(at, made.code, len(made.code))], at + 4 * (name == "kernel")))
    result = CliRunner().invoke(app, ["boot", str(tmp_path / "kernel"), "--firmware", str(tmp_path / "firmware"), "--limit", "100000"])
    assert result.exit_code == 42 and "FK" in result.output, result.output
    result = CliRunner().invoke(app, ["boot", str(tmp_path / "kernel"), "--firmware", str(tmp_path / "none")])
    assert result.exit_code == 1 and "none" in result.output and result.output.count("\n") == 1


# ---- the device tree --------------------------------------------------------------------------------------------------


def test_the_device_tree_says_how_to_reset():
    """As QEMU's: the finisher's register, and what to write to it."""
    tree = board_tree(1 << 22, 1e9)
    for node, driver, value in ((b"poweroff", b"syscon-poweroff\0", 0x5555), (b"reboot", b"syscon-reboot\0", 0x7777)):
        at = tree.index(b"\0\0\0\1" + node + b"\0")
        part = tree[at : tree.index(b"\0\0\0\2", at + 8)]
        assert driver in part and part.count(value.to_bytes(4, "big")) == 1


# ---- OpenSBI ----------------------------------------------------------------------------------------------------------

#: A supervisor above an SBI: prints lines of numbers by console putchar and ends by the system reset call.
SUPERVISOR = """
    j    begin
    .align 2
handler:
    csrr s2, scause
    csrr s3, stval
    csrw sie, zero
    csrr t0, sepc
    bltz s2, back
    addi t0, t0, 4
back:
    csrw sepc, t0
    sret
begin:
    li   sp, STACK
    la   t0, handler
    csrw stvec, t0
    mv   s1, a1
    call number
    lwu  a0, 0(s1)
    call number
    csrr a0, scounteren
    call number
    li   s4, 0
base:
    li   a7, 0x10
    mv   a6, s4
    li   a0, 0x54494d45
    ecall
    mv   s5, a1
    call number
    mv   a0, s5
    call number
    addi s4, s4, 1
    li   t0, 5
    bltu s4, t0, base
    li   a7, 0x99999
    ecall
    call number
TRAPS
    li   a7, 0x735049
    li   a6, 0
    li   a0, 1
    li   a1, 0
    ecall
    csrr a0, sip
    call number
    li   t0, 2
    csrw sie, t0
    csrrwi zero, sstatus, 2
    csrrwi zero, sstatus, 0
    mv   a0, s2
    call number
    csrrci zero, sip, 2
    csrr a0, time
    addi a0, a0, 1000
    li   a7, 0x54494d45
    li   a6, 0
    ecall
    li   t0, 0x20
    csrw sie, t0
    li   s2, 0
    csrrwi zero, sstatus, 2
waiting:
    beqz s2, waiting
    csrrwi zero, sstatus, 0
    mv   a0, s2
    call number
    li   a7, 0x52464e43
    li   a6, 1
    li   a0, 1
    li   a1, 0
    li   a2, 0
    li   a3, -1
    ecall
    call number
    li   a7, 0x48534d
    li   a6, 2
    li   a0, 0
    ecall
    mv   a0, a1
    call number
    li   a7, 0x53525354
    li   a6, 0
    li   a0, 0
    li   a1, 0
    ecall
rest:
    j    rest
number:
    addi sp, sp, -32
    sd   ra, 0(sp)
    sd   s0, 8(sp)
    sd   s1, 16(sp)
    mv   s0, a0
    li   s1, 60
digit:
    srl  t0, s0, s1
    andi t0, t0, 15
    addi a0, t0, 48
    li   t1, 10
    bltu t0, t1, decimal
    addi a0, a0, 39
decimal:
    li   a7, 1
    ecall
    addi s1, s1, -4
    bgez s1, digit
    li   a0, 10
    li   a7, 1
    ecall
    ld   ra, 0(sp)
    ld   s0, 8(sp)
    ld   s1, 16(sp)
    addi sp, sp, 32
    ret
"""
#: What OpenSBI hands on to the supervisor, or emulates: its memory and its devices, what is no instruction, machine level.
TRAPS = (
    "ld t1, 0(zero)", "lui t0, 0x80000\nslli t0, t0, 32\nsrli t0, t0, 32\nlw t1, 16(t0)", "sw t1, 16(t0)", "li t0, 0x0200bff8\nld t1, 0(t0)",
    "csrr t1, mstatus", "mret", ".word 0xffffffff", ".word 0x00013007", ".word 0x00000053", "csrr t1, 0x003", "csrw time, zero",
    "csrr t1, cycle", "csrr t1, instret", "csrr t1, time", "csrr t1, 0x600", "la t0, begin\naddi t0, t0, 1\nld t1, 0(t0)",
)  # fmt: skip


def supervisor(at: int) -> bytes:
    traps = "".join(f"li s2, 0\nli s3, 0\n{one}\nmv a0, s2\ncall number\nmv a0, s3\ncall number\n" for one in TRAPS)
    made = assemble(SUPERVISOR.replace("TRAPS", traps).replace("STACK", str(at + 0x1_0000)), at)
    return build_elf([(at, made.code, 0x1_0000)], at)


@needs_qemu
@PROFILES
@pytest.mark.parametrize(("firmware", "place"), [("fw_jump", PLACE), ("fw_dynamic", PLACE), ("fw_dynamic", BASE + 0x40_0000)])
def test_a_supervisor_above_opensbi(tmp_path, firmware, place, profile):
    """What OpenSBI says of the board, and what a supervisor sees of it, is what both print on QEMU."""
    sbi, kernel, printed = opensbi(firmware), tmp_path / "kernel.elf", tmp_path / "printed"
    kernel.write_bytes(supervisor(place))
    board = Board(profile=profile, ram="64M")
    board.load(kernel, firmware=sbi)
    ended = board.run(cycles=100_000_000)
    assert (ended.reason, ended.code) == ("exit", 0), board.printed
    subprocess.run(
        [QEMU, "-machine", "virt", "-m", "64M", "-cpu", PROCESSOR, "-bios", str(sbi), "-display", "none", "-monitor", "none", "-serial", f"file:{printed}",
         "-kernel", str(kernel)],
        check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    own = ("Platform Name", "Platform Timer Device", "Domain0 Next Arg1")  # the last is where the device tree lies
    here, there = (
        [line for line in text.decode().splitlines() if not line.startswith(own)] for text in (bytes(board.printed), printed.read_bytes())
    )
    assert here == there
    assert len(here) > 30 + 2 * len(TRAPS)


# ---- U-Boot -----------------------------------------------------------------------------------------------------------


def until(board: Board, text: bytes, cycles: int = 400_000_000) -> bytes:
    """Run until the guest prints a text; returns what it printed from now on."""
    start = len(board.printed)
    for _ in range(cycles // 1_000_000):
        ended = board.run(cycles=1_000_000)
        assert ended.reason == "limit", (ended, board.printed[start:])
        if text in board.printed[start:]:
            return bytes(board.printed[start:])
    raise AssertionError(bytes(board.printed[start:]))


def at_prompt(board: Board) -> bytes:
    seen = until(board, b"stop autoboot")
    board.type(b"x")
    return seen + until(board, b"=> ")


def says(board: Board, line: str) -> bytes:
    board.type(line.encode() + b"\n")
    return until(board, b"=> ")


@PROFILES
@pytest.mark.parametrize(("machine_level", "virtio"), [(True, "legacy"), (True, "modern"), (False, "modern")])
def test_u_boot(machine_level, virtio, profile):
    """At the machine level, and as a supervisor above OpenSBI: prompt, a command, disk, network card, reset, the end."""
    sectors = os.urandom(2048)
    board = Board(profile=profile, ram="128M", disk=sectors, net=True, virtio=virtio)
    if machine_level:
        board.load(uboot("qemu-riscv64"))
    else:
        board.load(uboot("qemu-riscv64_smode"), firmware=opensbi("fw_jump"))
    for _ in range(2):
        seen = at_prompt(board)
        assert b"DRAM:  128 MiB" in seen and b"eth0: virtio-net" in seen and (machine_level or b"OpenSBI v" in seen)
        assert b"U-Boot 20" in says(board, "version") and b"2 blocks read: OK" in says(board, "virtio read 81000000 1 2")
        assert b"2 blocks written: OK" in says(board, "virtio write 81000000 0 2")
        assert board.machine.read(0x8100_0000, 1024) == sectors[512:1536]
        assert board.disk.read(0, 1024) == sectors[512:1536]
        sectors = sectors[512:1536] + sectors[1024:]
        board.type(b"reset\n")
    at_prompt(board)
    if not machine_level:
        assert b"OpenSBI" in says(board, "sbi")
    board.type(b"poweroff\n")
    ended = board.run(cycles=1_000_000_000)  # U-Boot waits for a tenth of a second first
    assert (ended.reason, ended.code) == ("exit", 0)


def test_u_boot_survives_a_snapshot():
    board = Board(profile="untimed", ram="64M")
    board.load(uboot("qemu-riscv64"))
    at_prompt(board)
    kept = board.snapshot()
    first = says(board, "bdinfo")
    board.restore(kept)
    assert says(board, "bdinfo") == first


@pytest.mark.slow
def test_u_boot_runs_a_program_for_uefi():
    board = Board(profile="untimed", ram="128M")
    board.load(uboot("qemu-riscv64"))
    at_prompt(board)
    board.type(b"bootefi hello\n")
    assert b"Hello, world!" in until(board, b"File path", 2_000_000_000)
