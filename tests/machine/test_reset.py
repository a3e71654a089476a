"""Time that is written, a second start, and when a machine is lost."""

from __future__ import annotations

import numpy as np
import pytest
from bench import BASE, machine
from elves import build_elf

from singlab.machine import Board
from singlab.machine import devices as d
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.machine.elf import Elf
from singlab.machine.jit import DISABLED

FULL = (1 << 64) - 1
PROFILES = pytest.mark.parametrize("profile", ["athlon64", "untimed"])
MTIME = d.CLINT + 0xBFF8


def program(text: str, at: int = BASE) -> Elf:
    made = assemble(text, at)
    return Elf(at, [(at, made.code, len(made.code) + 64)], made.labels, [(at, at, len(made.code))])


def board(text: str, **options) -> Board:
    made = Board(ram="1M", **options)
    made.load(program(text))
    return made


END = "\nli t5, 0x100000\nslli t6, a0, 16\nli t4, 0x3333\nor t6, t6, t4\nsw t6, 0(t5)\nrest: j rest"

# ---- mtime ------------------------------------------------------------------------------------------------------------


@PROFILES
def test_time_goes_on_from_what_was_written(profile):
    made = board(f"li a1, {MTIME}\nli a2, 0x100000000\nsd a2, 0(a1)\nld a3, 0(a1)\ncsrr a4, time\ncsrr a5, cycle{END}", profile=profile)
    made.run(cycles=100_000)
    found = made.machine.registers()
    assert 0x1_0000_0000 <= found["a3"] <= found["a4"] < 0x1_0000_0000 + 5000 and found["a5"] < 10_000, "and cycles are not time"


def test_time_in_halves():
    text = f"li a1, {MTIME}\nli a2, 0x12345678\nsw a2, 4(a1)\nld a3, 0(a1)\nli a2, -16\nsw a2, 0(a1)\nld a4, 0(a1)\nlw a5, 4(a1)\nsb zero, 0(a1)\nsh zero, 4(a1)\nld a6, 0(a1)\nhook 1"
    made = machine(text, profile="untimed")
    made.run(cycles=10_000)
    found = made.registers()
    assert found["a3"] >> 32 == 0x1234_5678 and found["a3"] & 0xFFFF_FFFF < 1000
    assert found["a4"] - 0x1234_5678_FFFF_FFF0 < 100 and found["a5"] in (0x1234_5678, 0x1234_5679) and found["a6"] - found["a4"] < 100


@PROFILES
@pytest.mark.parametrize(("timer", "cause"), [("m", 7), ("s", 5)])
@pytest.mark.parametrize("waiting", [False, True])
def test_timers_go_by_the_written_time(timer, cause, waiting, profile):
    """Set back, the timer waits; set forward, it is due at once."""
    compare = f"li t1, {d.CLINT + 0x4000}\nsd t0, 0(t1)" if timer == "m" else "csrw stimecmp, t0"
    text = f"""
        la   t0, handler
        csrw mtvec, t0
        li   t0, 1
        slli t0, t0, 63
        csrw menvcfg, t0
        li   s1, {MTIME}
        li   t0, 5000000
        {compare}
        li   t0, 4990000
        sd   t0, 0(s1)
        li   t0, {1 << cause}
        csrw mie, t0
        csrrsi zero, mstatus, 8
    loop: {"wfi" if waiting else "addi a1, a1, 1"}
        j    loop
        .align 2
    handler: csrr a0, mcause
        csrr a2, time
        csrr a3, cycle
        andi a0, a0, 15
        {END}
    """
    made = board(text, profile=profile)
    ended = made.run(cycles=200_000)
    found = made.machine.registers()
    assert (ended.reason, ended.code) == ("exit", cause), ended
    assert 5_000_000 <= found["a2"] < 5_003_000 and 10_000 <= found["a3"] < 15_000


def test_a_timer_that_is_never_due_is_waited_for_for_ever_whatever_the_time_is():
    text = f"li a1, {MTIME}\nli a2, 123456\nsd a2, 0(a1)\nli t0, 0x80\ncsrw mie, t0\nwfi"
    assert board(text).run(cycles=1_000_000).reason == "wfi"


@PROFILES
def test_time_that_comes_round(profile):
    """Past the largest number it goes on from zero, and what was due is not any more."""
    text = f"""
        li   a1, {MTIME}
        li   t0, {d.CLINT + 0x4000}
        li   a2, 1000000
        sd   a2, 0(t0)
        li   a2, -1000
        sd   a2, 0(a1)
        csrr a0, mip
    loop: ld a3, 0(a1)
        bltz a3, loop
        csrr a4, mip
        hook 1
    """.replace("bltz a3, loop", "blt a3, zero, loop")
    made = machine(text, profile=profile)
    assert made.run(cycles=100_000) == "hook"
    found = made.registers()
    assert found["a0"] & 0x80 and not found["a4"] & 0x80 and found["a3"] < 1000


# ---- a second start ---------------------------------------------------------------------------------------------------

DIRTY = f"""
    la   t0, handler
    csrw mtvec, t0
    li   t0, 0x3ff
    csrw medeleg, t0
    csrw mideleg, t0
    csrw mie, t0
    csrw mscratch, t0
    li   t0, 0x6000
    csrrs zero, mstatus, t0
    csrw 0x3b0, t0
    li   t0, 0x18
    csrw 0x3a0, t0
    li   t0, {d.UART}
    li   t1, 7
    sb   t1, 1(t0)
    li   t0, {d.PLIC}
    sw   t1, 40(t0)
    li   t0, {MTIME}
    sd   t1, 0(t0)
    li   t0, {d.CLINT + 0x4000}
    sd   t1, 0(t0)
    li   t0, {BASE + 0x4_0000}
    sd   t1, 0(t0)
    lr.d t2, (t0)
    li   t0, {d.VIRTIO}
    sw   t1, 0x70(t0)
handler: wfi
    j    handler
"""


@PROFILES
def test_a_second_program_finds_a_fresh_board(profile):
    second = program("li a0, 3" + END)
    fresh, used = Board(ram="1M", profile=profile), Board(ram="1M", profile=profile)
    used.load(program(DIRTY))
    used.run(cycles=5000)
    for one in (fresh, used):
        one.load(second)
    differ = np.flatnonzero(fresh.machine.m != used.machine.m)
    assert not len(differ), differ[:10]
    assert [one.run(cycles=10_000).code for one in (fresh, used)] == [3, 3]
    assert (fresh.machine.m == used.machine.m).all()


def test_the_second_programs_tohost_is_seen():
    """Its page is one the first program has stored to, so that the quick tables knew it."""
    made = board(f"li t0, {BASE + 0x8000}\nloop: sd t0, 0(t0)\naddi t1, t1, 1\nj loop")
    made.run(cycles=1000)
    text = "la t0, tohost\nli t1, 11\nsd t1, 0(t0)\nrest: j rest"
    code = assemble(text, BASE, {"tohost": BASE + 0x8008}).code
    made.load(Elf(BASE, [(BASE, code, len(code))], {"tohost": BASE + 0x8008}))
    assert made.run(cycles=1000).code == 5
    made.load(program(f"li t0, {BASE + 0x8008}\nli t1, 11\nsd t1, 0(t0)\nrest: j rest"))
    assert made.run(cycles=1000).reason == "limit", "the third has none"


@pytest.mark.skipif(DISABLED, reason="there is no translator without a compiler")
def test_a_translation_is_of_the_program_it_was_made_of():
    made = board("li a0, 3" + END, profile="untimed")
    assert made.translate().reason is None
    assert made.run(cycles=10_000).code == 3
    made.load(program("li a0, 4" + END))
    assert made.machine.translation is None and made.run(cycles=10_000).code == 4


def test_a_program_that_is_refused_changes_nothing():
    made = board("li a0, 3" + END)
    before = made.machine.m.copy()
    for bad in (Elf(BASE, [(BASE, b"", 64), (0, b"", 64)]), Elf(0, [(BASE, b"x", 64)])):
        with pytest.raises(ValueError):
            made.load(bad)
        assert (made.machine.m == before).all() and made.run(cycles=0).reason == "limit"
    with pytest.raises(ValueError):
        made.load(program("nop"), "x" * 70_000)
    assert (made.machine.m == before).all()


#: Counts its starts in memory that no reset touches; the third ends. What is in .data begins anew each time.
AGAIN = f"""
    csrr s0, mscratch
    csrr s1, time
    csrr s2, mcycle
    csrr s3, minstret
    la   t0, own
    ld   s4, 0(t0)
    sd   t0, 0(t0)
    li   t0, {BASE + 0x4_0000}
    ld   a0, 0(t0)
    addi a0, a0, 1
    sd   a0, 0(t0)
    li   t1, {d.UART}
    sb   a0, 0(t1)
    csrw mscratch, a0
    li   t2, 3
    beq  a0, t2, end
    li   t5, 0x100000
    li   t6, 0x7777
    sw   t6, 0(t5)
wait: j  wait
end: nop
{END}
    .align 3
own: .dword 0x55
"""


@PROFILES
@pytest.mark.parametrize("translated", [False, True])
def test_the_guest_may_start_the_board_again(profile, translated):
    if translated and DISABLED:
        pytest.skip("there is no translator without a compiler")
    made = board(AGAIN, profile=profile)
    if translated:
        made.translate()
    ended = made.run(cycles=100_000)
    found = made.machine.registers()
    assert (ended.reason, ended.code, bytes(made.printed)) == ("exit", 3, b"\x01\x02\x03")
    assert found["s0"] == 0 and found["s4"] == 0x55 and max(found["s1"], found["s2"], found["s3"]) < 1500
    counted = made.machine.counters()
    assert counted["instructions"] > 60, "all three starts"
    assert counted["cycles"] == counted["instructions"] + sum(v for n, v in counted.items() if n.startswith("stall_"))


def test_a_guest_that_starts_again_for_ever_comes_to_its_limit():
    made = board("li t5, 0x100000\nli t6, 0x7777\nsw t6, 0(t5)\nwait: j wait")
    ended = made.run(cycles=20_000)
    assert ended.reason == "limit" and 20_000 <= int(made.machine.m[s.CYCLES]) < 21_000


# ---- lost -------------------------------------------------------------------------------------------------------------

OUTSIDE = 0x4000_0000
TO_S = "li t0, 0x800\ncsrw mstatus, t0\nla t0, there\ncsrw mepc, t0\nli t0, -1\ncsrw 0x3b0, t0\nli t0, 31\ncsrw 0x3a0, t0\nmret\nthere: "


@PROFILES
def test_the_first_trap_is_told(profile):
    ended = board(f"li t0, {OUTSIDE}\ncsrw mtvec, t0\nnop\nplace: ebreak", profile=profile).run(cycles=1000)
    assert ended.reason == "lost" and "cause 3" in ended.message and f"mtvec is {OUTSIDE:#x}" in ended.message
    ended = board("jr zero", profile=profile).run(cycles=1000)
    assert ended.reason == "lost" and "cause 1" in ended.message and "0x0" in ended.message


@PROFILES
def test_a_supervisor_without_a_handler_is_rescued_by_the_machines_timer(profile):
    text = f"""
        la   t0, handler
        csrw mtvec, t0
        li   t0, {OUTSIDE}
        csrw stvec, t0
        li   t0, -1
        csrw medeleg, t0
        li   t0, {d.CLINT + 0x4000}
        li   t1, 20000
        sd   t1, 0(t0)
        li   t0, 0x80
        csrw mie, t0
        {TO_S}
        ebreak
        .align 2
    handler: csrr a1, mcause
        csrr a2, mepc
        li   a0, 9
        {END}
    """
    made = board(text, profile=profile)
    ended = made.run(cycles=100_000)
    found = made.machine.registers()
    assert (ended.reason, ended.code) == ("exit", 9) and found["a1"] == 1 << 63 | 7 and found["a2"] == OUTSIDE
    assert int(made.machine.m[s.SCAUSE]) == 1, "the fetch of the handler has failed, again and again"


@PROFILES
def test_a_supervisor_whose_fetch_faults_go_to_the_machine_is_not_lost(profile):
    text = f"la t0, handler\ncsrw mtvec, t0\nli t0, {OUTSIDE}\ncsrw stvec, t0\nli t0, 8\ncsrw medeleg, t0\n{TO_S} ebreak\n.align 2\nhandler: csrr a0, mcause\ncsrr a1, mepc{END}"
    made = board(text, profile=profile)
    assert made.run(cycles=10_000).code == 1 and made.machine.registers()["a1"] == OUTSIDE


@PROFILES
def test_a_supervisor_whom_nobody_rescues_is_lost(profile):
    text = f"la t0, handler\ncsrw mtvec, t0\nli t0, {OUTSIDE}\ncsrw stvec, t0\nli t0, -1\ncsrw medeleg, t0\ncsrw mideleg, t0\ncsrw mie, t0\ncsrw mie, zero\n{TO_S} ebreak\n.align 2\nhandler: nop{END}"
    ended = board(text, profile=profile).run(cycles=10_000)
    assert ended.reason == "lost" and "cause 3" in ended.message and f"stvec is {OUTSIDE:#x}" in ended.message


def test_an_elf_file_with_a_reset(tmp_path):
    made = assemble(AGAIN, BASE)
    (tmp_path / "p").write_bytes(build_elf([(BASE, made.code, len(made.code))], BASE))
    one = Board(ram="1M")
    one.load(tmp_path / "p")
    assert one.run(cycles=100_000).code == 3
