"""The board: how programs end, what they are handed, and ``singlab run``."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess

import pytest
from bench import BASE, DATA
from elves import build_elf
from typer.testing import CliRunner

from singlab.cli import app
from singlab.machine import Board
from singlab.machine import devices as d
from singlab.machine import state as s
from singlab.machine.asm import assemble, encode
from singlab.machine.elf import Elf
from singlab.machine.jit import DISABLED

TOHOST, FROMHOST = BASE + 0x1000, BASE + 0x1040
SYMBOLS = {"_start": BASE, "tohost": TOHOST, "fromhost": FROMHOST}


def program(text: str) -> bytes:
    code = assemble(text, BASE, SYMBOLS).code
    return build_elf([(BASE, code, len(code)), (TOHOST, bytes(0x80), 0x80)], BASE, SYMBOLS)


def board(text: str, ram: str = "4M", **options) -> Board:
    code = assemble(text, BASE, SYMBOLS).code
    made = Board(ram=ram, **options)
    made.load(Elf(BASE, [(BASE, code, len(code)), (TOHOST, bytes(0x80), 0x80)], SYMBOLS))
    return made


def ends(text: str, cycles: int = 1_000_000, **options):
    made = board(text, **options)
    return made.run(cycles=cycles), made


# ---- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["sd", "sw"])
@pytest.mark.parametrize("code", [0, 1, 42, 1000])
def test_tohost(store, code):
    """The last store of a conformance program: an odd word, and perhaps its upper half after it, for ever."""
    ended, made = ends(f"la t0, tohost\nli t1, {code << 1 | 1}\nagain: {store} t1, 0(t0)\nsw zero, 4(t0)\nj again")
    assert (ended.reason, ended.code) == ("exit", code) and str(code) in ended.message


def test_tohost_by_an_atomic_operation():
    ended, _ = ends("la t0, tohost\nli t1, 7\namoswap.d t2, t1, (t0)\nrest: j rest")
    assert (ended.reason, ended.code) == ("exit", 3)


def test_a_zero_in_tohost_is_nothing():
    ended, _ = ends("la t0, tohost\nsd zero, 0(t0)\nsw zero, 4(t0)\nli t1, 5\nsd t1, 0(t0)\nrest: j rest")
    assert (ended.reason, ended.code) == ("exit", 2)


def test_the_host_interface_prints_characters():
    text = (
        "la t0, tohost\nli s0, 0x0101000000000000\n"
        + "".join(f"li t1, {c}\nadd t1, t1, s0\nsd t1, 0(t0)\n" for c in b"yes")
        + "li t1, 1\nsd t1, 0(t0)\nrest: j rest"
    )
    ended, made = ends(text)
    assert ended.code == 0 and bytes(made.printed) == b"yes"
    assert made.machine.load_u64(FROMHOST) == 1


WRITE = """
    la   t0, tohost
    la   t1, call
    sd   t1, 0(t0)
wait: ld t2, 0(t0)
    bnez t2, wait
    la   t1, call
    ld   a0, 0(t1)
    slli a0, a0, 1
    ori  a0, a0, 1
    sd   a0, 0(t0)
rest: j rest
    .align 6
call: .dword 64, 1, {where}, {count}, 0, 0, 0, 0
text: .ascii "written"
"""


def test_the_host_interface_writes():
    ended, made = ends(WRITE.format(where="text", count=7))
    assert (ended.code, bytes(made.printed)) == (7, b"written"), "the call answers with how many bytes it wrote"


@pytest.mark.parametrize("where", [0, BASE - 1, BASE + (4 << 20) - 3, (1 << 64) - 1])
def test_the_host_interface_refuses_what_lies_outside(where):
    ended, made = ends(WRITE.format(where=where, count=7))
    assert (ended.reason, ended.code, bytes(made.printed)) == ("exit", 64, b"")


@pytest.mark.parametrize("value", [2, 0x1000, BASE + (4 << 20) - 8, (1 << 56) - 2, 0x0202_0000_0000_0000, (1 << 64) - 2])
def test_requests_that_make_no_sense_are_answered_and_forgotten(value):
    ended, made = ends(
        f"la t0, tohost\nli t1, {value}\nsd t1, 0(t0)\nwait: ld t2, 0(t0)\nbnez t2, wait\nli t1, 1\nsd t1, 0(t0)\nrest: j rest"
    )
    assert (ended.reason, ended.code) == ("exit", 0)


@pytest.mark.parametrize(("value", "code"), [("0x5555", 0), (str(0x3333 | 3 << 16), 3)])
def test_the_finisher(value, code):
    ended, _ = ends(f"li t0, {d.FINISHER}\nli t1, {value}\nsw t1, 0(t0)\nrest: j rest")
    assert (ended.reason, ended.code) == ("exit", code)


def test_output_comes_before_the_end_and_as_it_comes():
    text = f"li t0, {d.UART}\nli t2, 3000\nloop: sb t2, 0(t0)\naddi t2, t2, -1\nbnez t2, loop\nli t0, {d.FINISHER}\nli t1, 0x5555\nsw t1, 0(t0)\nrest: j rest"
    pieces: list[bytes] = []
    ended, made = ends(text, output=pieces.append)
    expected = bytes(n & 0xFF for n in range(3000, 0, -1))
    assert ended.reason == "exit" and bytes(made.printed) == expected == b"".join(pieces) and len(pieces) > 1


def test_a_limit():
    ended, made = ends("loop: j loop", cycles=12_345)
    assert ended.reason == "limit" and ended.code is None and "12,345" in ended.message
    assert 12_345 <= int(made.machine.m[s.CYCLES]) < 12_500
    assert made.run(cycles=100).reason == "limit", "and it can go on"


def test_waiting_for_ever():
    ended, _ = ends("wfi\nrest: j rest")
    assert ended.reason == "wfi"


@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
def test_waiting_long_is_not_waiting_for_ever(profile):
    """A timer may lie further away than the board looks at a time."""
    far = 90_000_000
    text = f"""
        li   t0, {d.CLINT + 0x4000}
        li   t1, {far}
        sd   t1, 0(t0)
        li   t0, 0x80
        csrw mie, t0
        wfi
        csrr a0, mip
        li   t0, {d.FINISHER}
        li   t1, 0x5555
        sw   t1, 0(t0)
    rest: j rest
    """
    ended, made = ends(text, cycles=200_000_000, profile=profile)
    assert (ended.reason, ended.code) == ("exit", 0)
    assert made.machine.registers()["a0"] & 0x80 and far <= int(made.machine.m[s.CYCLES]) < far + 10_000
    counted = made.machine.counters()
    assert counted["cycles"] == counted["instructions"] + sum(v for n, v in counted.items() if n.startswith("stall_"))


def test_a_wait_that_a_limit_cuts_goes_on_waiting():
    text = f"li t0, {d.CLINT + 0x4000}\nli t1, 50000\nsd t1, 0(t0)\nli t0, 0x80\ncsrw mie, t0\nwfi\nli a0, 1\nrest: j rest"
    made = board(text)
    assert made.run(cycles=20_000).reason == "limit" and made.machine.registers()["a0"] == 0
    assert 20_000 <= int(made.machine.m[s.CYCLES]) < 20_200
    assert made.run(cycles=20_000).reason == "limit" and made.machine.registers()["a0"] == 0
    assert made.run(cycles=20_000).reason == "limit" and made.machine.registers()["a0"] == 1


def test_a_wait_that_input_ends():
    text = f"""
        li   t0, {d.PLIC}
        li   t1, 1
        sw   t1, {4 * d.UART_IRQ}(t0)
        li   t1, {1 << d.UART_IRQ}
        li   t2, {d.PLIC + 0x2000}
        sw   t1, 0(t2)
        li   t2, {d.PLIC + 0x20_0000}
        li   t3, {d.UART}
        li   t1, 1
        sb   t1, 1(t3)
        li   t0, 0x800
        csrw mie, t0
    loop: wfi
        lbu  t1, 5(t3)
        andi t1, t1, 1
        beqz t1, loop
        lw   t4, 4(t2)
        lbu  a0, 0(t3)
        sb   a0, 0(t3)
        sw   t4, 4(t2)
        j    loop
    """
    made = board(text)
    for character in b"abc":
        assert made.run(cycles=100_000).reason == "wfi"
        made.type(bytes([character]))
    made.run(cycles=100_000)
    assert bytes(made.printed) == b"abc"


@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
@pytest.mark.parametrize("vector", [0, 0x1000, BASE - 4, BASE + (4 << 20), -4])
def test_a_trap_without_a_handler(vector, profile):
    ended, _ = ends(f"li t0, {vector}\ncsrw mtvec, t0\n.word 0", profile=profile)
    assert ended.reason == "lost" and "mtvec" in ended.message and "cause" in ended.message


@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
@pytest.mark.parametrize("handler", ["handler: .word 0", "handler: ecall", "handler: ld a0, 0(zero)", "handler: jr zero"])
def test_a_handler_that_traps_runs_into_the_limit(handler, profile):
    ended, made = ends(f"la t0, handler\ncsrw mtvec, t0\necall\n.align 3\n{handler}", cycles=100_000, profile=profile)
    assert ended.reason in ("limit", "lost")
    assert int(made.machine.m[s.CYCLES]) < 200_000


@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
def test_a_handler_that_is_not_mapped_runs_into_the_limit(profile):
    """Page faults are delegated to a supervisor whose handler has no page either."""
    text = f"""
        li   t0, -1
        csrw medeleg, t0
        csrw stvec, zero
        li   t0, {8 << 60 | DATA >> 12}
        csrw satp, t0
        li   t0, 0x800
        csrw mstatus, t0
        csrw mepc, zero
        mret
    """
    ended, made = ends(text, cycles=50_000, profile=profile)
    assert ended.reason == "limit" and 50_000 <= int(made.machine.m[s.CYCLES]) < 60_000


def test_the_hosts_own_instruction_is_illegal_in_a_program():
    text = "la t0, handler\ncsrw mtvec, t0\nhook 5\nhandler:\ncsrr a0, mcause\ncsrr a1, mtval\nla t0, tohost\nli t1, 1\nsd t1, 0(t0)\nrest: j rest"
    ended, made = ends(text.replace("handler:\n", ".align 2\nhandler:\n"))
    found = made.machine.registers()
    assert ended.code == 0 and (found["a0"], found["a1"]) == (2, encode("hook", 5))


# ---- what a program is handed -------------------------------------------------------------------------------------------


def parse(blob: bytes) -> dict:
    """Read a flattened device tree; properties as bytes, nodes as dicts."""
    magic, total, structure, strings, reserved, version, last, _, strings_size, structure_size = struct.unpack_from(">10I", blob)
    assert (magic, version, last) == (0xD00D_FEED, 17, 16) and structure % 4 == 0 and reserved % 8 == 0
    assert structure + structure_size <= total and strings + strings_size <= total
    at = structure
    stack: list[dict] = [{}]
    while True:
        (token,) = struct.unpack_from(">I", blob, at)
        at += 4
        if token == 1:
            end = blob.index(b"\0", at)
            node: dict = {}
            stack[-1][blob[at:end].decode()] = node
            stack.append(node)
            at = end + 4 & ~3
        elif token == 2:
            stack.pop()
        elif token == 3:
            size, name = struct.unpack_from(">II", blob, at)
            end = blob.index(b"\0", strings + name)
            stack[-1][blob[strings + name : end].decode()] = blob[at + 8 : at + 8 + size]
            at = at + 8 + size + 3 & ~3
        else:
            assert token == 9 and len(stack) == 1 and at == structure + structure_size
            return stack[0][""]


def tree(arguments: str = "", ram: str = "8M") -> tuple[bytes, Board]:
    """Return the blob a program finds through a1."""
    made = Board(ram=ram)
    made.load(Elf(BASE, [(BASE, b"\x73\0\0\0", 4)]), arguments)
    registers = made.machine.registers()
    assert registers["a0"] == 0, "hart 0"
    address = registers["a1"]
    size = int.from_bytes(made.machine.read(address + 4, 4), "big")
    return made.machine.read(address, size), made


def test_the_device_tree_describes_this_board():
    blob, made = tree("console=ttyS0 quiet")
    root = parse(blob)
    assert root["chosen"]["bootargs"] == b"console=ttyS0 quiet\0"
    assert root["memory@80000000"]["reg"] == struct.pack(">QQ", BASE, 8 << 20)
    assert root["cpus"]["timebase-frequency"] == struct.pack(">I", int(made.machine.profile.clock_hz))
    soc = root["soc"]
    for name, address, size in (("test@100000", d.FINISHER, d.FINISHER_BYTES), ("clint@2000000", d.CLINT, d.CLINT_BYTES),
                                ("plic@c000000", d.PLIC, d.PLIC_BYTES), ("serial@10000000", d.UART, d.UART_BYTES)):  # fmt: skip
        assert soc[name]["reg"] == struct.pack(">QQ", address, size)
    assert soc["serial@10000000"]["interrupts"] == struct.pack(">I", d.UART_IRQ)
    assert soc["serial@10000000"]["interrupt-parent"] == soc["plic@c000000"]["phandle"]
    hart = root["cpus"]["cpu@0"]["interrupt-controller"]["phandle"]
    assert soc["plic@c000000"]["interrupts-extended"] == hart + struct.pack(">I", 11) + hart + struct.pack(">I", 9)
    assert soc["clint@2000000"]["interrupts-extended"] == hart + struct.pack(">I", 3) + hart + struct.pack(">I", 7)
    assert root["chosen"]["stdout-path"] == b"/soc/serial@10000000\0"


def test_arguments_of_every_length():
    for length in (0, 1, 2, 3, 4, 5, 1000):
        assert parse(tree("x" * length)[0])["chosen"]["bootargs"] == b"x" * length + b"\0"


@pytest.mark.skipif(
    shutil.which("dtc") is None, reason="no dtc on this computer: the device tree has NOT been checked by it; install device-tree-compiler"
)
def test_the_device_tree_compiler_reads_it(tmp_path):
    (tmp_path / "board.dtb").write_bytes(tree("hello")[0])
    done = subprocess.run(["dtc", "-I", "dtb", "-O", "dts", str(tmp_path / "board.dtb")], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and 'bootargs = "hello";' in done.stdout
    wrong = [line for line in done.stderr.splitlines() if "Warning" in line or "ERROR" in line]
    assert not wrong, wrong


# ---- the command line -----------------------------------------------------------------------------------------------------


def invoke(path, *arguments: str):
    return CliRunner().invoke(app, ["run", str(path), *arguments])


HELLO = (
    f"li t0, {d.UART}\n"
    + "".join(f"li t1, {c}\nsb t1, 0(t0)\n" for c in b"hello\n")
    + "la t0, tohost\nli t1, {last}\nsd t1, 0(t0)\nrest: j rest"
)


@pytest.mark.parametrize("code", [0, 3, 255, 256, 100_000])
def test_run_ends_with_the_programs_code(code, tmp_path):
    (tmp_path / "p.elf").write_bytes(program(HELLO.replace("{last}", str(code << 1 | 1))))
    found = invoke(tmp_path / "p.elf")
    assert found.exit_code == min(code, 255)
    found = invoke(tmp_path / "p.elf", "--json", "--profile", "teaching", "--ram", "2M")
    told = json.loads(found.stdout)
    assert found.exit_code == min(code, 255)
    assert (told["reason"], told["exit_code"], told["output"], told["profile"]) == ("exit", code, "hello\n", "teaching")
    assert told["cycles"] == told["instructions"] + sum(v for n, v in told["counters"].items() if n.startswith("stall_"))


@pytest.mark.skipif(DISABLED, reason="there is no translator without a compiler")
def test_run_by_either_engine(tmp_path):
    """The same to the last counter; and where the interpreter does the work of the other, why."""
    code = assemble(HELLO.replace("{last}", "7"), BASE, SYMBOLS).code
    (tmp_path / "p.elf").write_bytes(build_elf([(BASE, code, len(code))], BASE, SYMBOLS))
    told = [json.loads(invoke(tmp_path / "p.elf", "--json", "--engine", engine).stdout) for engine in ("interpreter", "translator")]
    assert [one.pop("engine") for one in told] == ["interpreter", "translator"]
    assert told[0] == told[1] and told[0]["fallback"] is None and told[0]["exit_code"] == 3
    patch = "la t0, patch\nlw t1, 0(t0)\nsw t1, 0(t0)\nfence.i\npatch: la t0, tohost\nli t1, 5\nsd t1, 0(t0)\nrest: j rest"
    (tmp_path / "p.elf").write_bytes(program(HELLO.replace("{last}", "7")))
    found = json.loads(invoke(tmp_path / "p.elf", "--json", "--engine", "translator", "--limit", "100000").stdout)
    assert found["exit_code"] == 3 and "wrote into its code" in found["fallback"], "tohost lies between two parts that may hold code"
    (tmp_path / "p.elf").write_bytes(program(patch))
    found = json.loads(invoke(tmp_path / "p.elf", "--json", "--engine", "translator").stdout)
    assert found["exit_code"] == 2 and "wrote into its code" in found["fallback"]
    found = invoke(tmp_path / "p.elf", "--engine", "translator")
    assert found.exit_code == 2 and "interpreted: " in found.output
    found = invoke(tmp_path / "p.elf", "--engine", "steam")
    assert found.exit_code == 1 and "'steam'" in found.output and "interpreter or translator" in found.output


def test_run_tells_a_limit_and_a_lost_trap(tmp_path):
    (tmp_path / "p.elf").write_bytes(program("loop: j loop"))
    found = invoke(tmp_path / "p.elf", "--limit", "1000", "--json")
    assert found.exit_code == 124 and json.loads(found.stdout)["reason"] == "limit"
    (tmp_path / "p.elf").write_bytes(program(".word 0"))
    found = invoke(tmp_path / "p.elf", "--json")
    assert found.exit_code == 70 and json.loads(found.stdout)["reason"] == "lost"
    (tmp_path / "p.elf").write_bytes(program("wfi"))
    found = invoke(tmp_path / "p.elf", "--json")
    assert found.exit_code == 70 and json.loads(found.stdout)["reason"] == "wfi"


@pytest.mark.parametrize("what", ["missing", "folder", "text", "profile", "ram", "small"])
def test_run_refuses_with_one_message(what, tmp_path):
    path, arguments = tmp_path / "p.elf", []
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("print('hello')")
    elif what != "missing":
        path.write_bytes(program("loop: j loop"))
        arguments = {"profile": ["--profile", "pentium"], "ram": ["--ram", "lots"], "small": ["--ram", "64K"]}[what]
    found = invoke(path, *arguments)
    assert found.exit_code == 1, found.output
    assert "Traceback" not in found.output and "singlab:" in found.output and found.exception.__class__ is SystemExit


# ---- what conformance programs do before anything else ------------------------------------------------------------------

PROBE = """
    la   t0, {label}
    csrw mtvec, t0
    {text}
    .align 2
{label}:
"""
#: Each under a handler that goes on behind it, for a machine that has not got it.
PROBES = (
    "csrw 0x744, zero", "csrw 0x747, zero",
    "li t1, 0x3fffffffffffff\n    csrw 0x3b0, t1\n    li t1, 0x1f\n    csrw 0x3a0, t1", "csrw satp, zero", "csrw medeleg, zero\n    csrw mideleg, zero",
    "csrw mie, zero", "csrw 0x7a0, zero", "csrw 0x30a, zero", "csrw 0x320, zero", "csrw 0x003, zero", "li t1, -1\n    csrw mcounteren, t1\n    csrw scounteren, t1",
    "li t1, 0x6600\n    csrs mstatus, t1", "csrw 0x60c, zero",
)  # fmt: skip


def test_the_beginning_of_a_conformance_program():
    """Probes under a skipping handler, another hart sent away, then a test in user mode whose call ends it."""
    probes = "".join(PROBE.format(label=f"probe{i}", text=text) for i, text in enumerate(PROBES))
    text = f"""
        csrr a0, mhartid
    other: bnez a0, other
        {probes}
        csrr s2, mstatus
        csrr s3, misa
        la   t0, trapped
        csrw mtvec, t0
        csrw mstatus, zero
        la   t0, body
        csrw mepc, t0
        csrr a0, mhartid
        mret
        .align 2
    trapped:
        csrr t5, mcause
        li   t6, 8
        beq  t5, t6, done
        li   gp, 1337
    done:
        slli gp, gp, 1
        ori  gp, gp, 1
        la   t5, tohost
    write:
        sw   gp, 0(t5)
        sw   zero, 4(t5)
        j    write
    body:
        fence
        li   gp, 0
        ecall
    """
    ended, made = ends(text)
    found = made.machine.registers()
    assert (ended.reason, ended.code) == ("exit", 0)
    assert found["s2"] & 0x6600 == 0, "no floating point, no vectors: their states stay off"
    assert found["s3"] >> 62 == 2 and found["s3"] >> 2 & 1
