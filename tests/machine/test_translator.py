"""The translator against the interpreter: the same state, to the last counter, wherever one stops."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
from bench import BASE, DATA, WINDOW, machine, random_program, window

from singlab.machine import Machine
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.machine.jit import DISABLED

pytestmark = pytest.mark.skipif(DISABLED, reason="there is no translator without a compiler")

#: Words that steer the two engines, and the dummy register.
NOT_STATE = [s.X_DUMMY, s.UNTIL, s.LOADED, s.CODE, s.CODE_BYTES, s.CODE_AT, s.CODE_WRITTEN, s.INTERPRET, s.RESUME, s.RESUME_BASE]

#: Calls, a loop over an array, multiplication and division, a jump through a table.
BUSY = f"""
        li   sp, {BASE + 0x20_0000:#x}
        li   s0, {DATA:#x}
        li   s1, 40
again:  mv   a0, s1
        call fill
        andi t0, s1, 3
        slli t0, t0, 2
        la   t1, table
        add  t1, t1, t0
        jr   t1
table:  j    one
        j    two
        j    one
        j    three
one:    addi s2, s2, 1
        j    next
two:    mul  s2, s2, s1
        j    next
three:  li   t2, 3
        div  s3, s2, t2
        remu s4, s2, t2
next:   addi s1, s1, -1
        bnez s1, again
        wfi
fill:   addi sp, sp, -16
        sd   ra, 8(sp)
        li   t0, 64
1:      sll  t1, a0, t0
        sd   t1, 0(s0)
        lbu  t2, 3(s0)
        lw   t3, 4(s0)
        addw t2, t2, t3
        sh   t2, 2(s0)
        addi s0, s0, 72
        addi t0, t0, -1
        bnez t0, 1b
        li   t1, 4608
        sub  s0, s0, t1
        ld   ra, 8(sp)
        addi sp, sp, 16
        ret
""".replace("1b", "loop").replace("1:", "loop:")


def clean(made: Machine) -> np.ndarray:
    """Return the state without what only steers."""
    m = made.m.copy()
    m[NOT_STATE] = 0
    return m


def assert_same(a: Machine, b: Machine, where) -> None:
    differ = np.flatnonzero(clean(a) != clean(b))
    assert not len(differ), f"{where}: words {differ[:8].tolist()} differ: {a.m[differ[:8]]} and {b.m[differ[:8]]}"


def forget_tables(*machines: Machine) -> None:
    """Empty the quick tables: a page with translated code in it has no entry for stores, which costs time and nothing else."""
    for made in machines:
        made.m[s.QUICK_BASE : s.QUICK_BASE + s.QUICK_WORDS] = s.QUICK_EMPTY


def pair(code: bytes, profile: str, entries=(), registers=None, seed: int = 0) -> tuple[Machine, Machine]:
    """Return two machines with the same program, the second with its code translated."""
    made = []
    for _ in range(2):
        m = machine(code, profile=profile, **{f"x{n}": v for n, v in (registers or {}).items()})
        m.write(DATA - WINDOW // 2, window(seed))
        made.append(m)
    translation = made[1].translate(BASE, len(code), entries)
    assert translation.reason is None
    return made[0], made[1]


@pytest.mark.parametrize("profile", ["untimed", "teaching", "athlon64"])
@pytest.mark.parametrize("seed", range(5))
def test_random_programs(seed, profile):
    code, registers = random_program(seed + 900, 250)
    a, b = pair(code, profile, registers=registers, seed=seed)
    draw = random.Random(seed)
    for step in range(200):
        cycles = draw.choice((1, 7, 50, 400, 1000))
        reason = a.run(cycles=cycles)
        assert b.run(cycles=cycles) == reason
        assert_same(a, b, (seed, step))
        if reason == "wfi":
            return
    raise AssertionError("the program did not end")


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["untimed", "teaching", "athlon64", "modern"])
@pytest.mark.parametrize("block", range(10))
def test_a_million_random_instructions(block, profile):
    """For each profile ten blocks of a hundred thousand retired, compared whenever a program ends; it begins again with what it left."""
    retired, seed = 0, 20_000 + 100 * block
    while retired < 100_000:
        code, registers = random_program(seed, 400)
        a, b = pair(code, profile, registers=registers, seed=seed)
        for turn in range(100):
            assert a.run(cycles=10_000_000) == b.run(cycles=10_000_000) == "wfi"
            assert_same(a, b, (seed, turn))
            for made in (a, b):
                made.m[s.PC] = BASE
        assert b.translation.reason is None
        retired += int(b.m[s.INSTRET])
        seed += 1


@pytest.mark.parametrize("profile", ["untimed", "teaching", "athlon64", "modern"])
def test_calls_loops_and_tables(profile):
    program = assemble(BUSY, BASE)
    a, b = pair(program.code, profile, [program.labels["fill"]])
    draw = random.Random(1)
    while True:
        cycles = draw.choice((1, 20, 300, 5000))
        reason = a.run(cycles=cycles)
        assert b.run(cycles=cycles) == reason
        assert_same(a, b, int(a.m[s.CYCLES]))
        if reason == "wfi":
            break
    assert b.translation.reason is None


def test_traps_and_interrupts_come_at_the_same_cycle():
    text = f"""
        la   t0, handler
        csrw mtvec, t0
        li   t0, 128
        csrw mie, t0
        csrrsi zero, mstatus, 8
        li   s0, {DATA:#x}
        li   s2, 0x02004000
        csrr t1, cycle
        addi t1, t1, 500
        sd   t1, 0(s2)
        li   s1, 3000
loop:   ld   a0, 0(s0)
        addi a0, a0, 1
        sd   a0, 0(s0)
        addi s1, s1, -1
        bnez s1, loop
        ld   a1, 0(zero)
end:    wfi
        j    end
handler: csrr t2, mcause
        blt  t2, zero, timer
        csrr t3, mepc
        addi t3, t3, 4
        csrw mepc, t3
        addi s5, s5, 1
        mret
timer:  addi s4, s4, 1
        csrr t1, cycle
        addi t1, t1, 700
        sd   t1, 0(s2)
        mret
"""
    for profile in ("teaching", "untimed"):
        a, b = pair(assemble(text, BASE).code, profile)
        for _ in range(40):
            assert a.run(cycles=997) == b.run(cycles=997)
            assert_same(a, b, profile)
        assert a.registers()["s4"] > 3 and a.registers()["s5"] == 1


def test_code_that_is_written_to_is_interpreted_from_then_on():
    text = f"""
        la   t0, patch
        li   t1, 0x00500513
        li   s1, 3
loop:   addi s1, s1, -1
        bnez s1, loop
        sw   t1, 0(t0)
        fence.i
patch:  li   a0, 1
        li   s0, {DATA:#x}
        sd   a0, 0(s0)
        wfi
"""
    a, b = pair(assemble(text, BASE).code, "teaching")
    assert a.run(cycles=100_000) == b.run(cycles=100_000) == "wfi"
    assert b.registers()["a0"] == 5, "the new instruction ran"
    assert "wrote into its code" in b.translation.reason
    forget_tables(a, b)
    assert_same(a, b, "end")


def test_memory_written_from_outside_ends_the_translation():
    code = assemble("loop: addi a0, a0, 1\nj loop", BASE).code
    made = machine(code, profile="untimed")
    made.translate(BASE, len(code))
    made.run(cycles=1000)
    snapshot = made.snapshot()
    made.write(BASE, assemble("loop: addi a0, a0, 2\nj loop", BASE).code)
    assert "from outside" in made.translation.reason
    before = made.registers()["a0"]
    made.run(cycles=1000)
    assert (made.registers()["a0"] - before) % 2 == 0
    made.restore(snapshot)
    made.run(cycles=1000)
    assert made.registers()["a0"] > before


def test_the_second_process_finds_it_on_disk():
    script = (
        "from singlab.machine import Machine\n"
        "from singlab.machine.asm import assemble\n"
        "code = assemble('li a0, 7\\nloop: addi a0, a0, -1\\nbnez a0, loop\\nwfi', 0x80000000).code\n"
        "m = Machine(profile='untimed', ram='1M')\n"
        "m.write(0x80000000, code)\n"
        "t = m.translate(0x80000000, len(code))\n"
        "print(m.run(cycles=1000), t.from_disk)\n"
    )
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
    assert runs[1] == ["wfi", "True"]


def test_under_a_page_table_that_moves_the_code_it_falls_back():
    """Translated for one place, seen at another: the quick table says so, and the interpreter does the work."""
    root, middle, leaf = BASE + 0x8_0000, BASE + 0x8_1000, BASE + 0x8_2000
    code = assemble("li s0, 0x40000800\nloop: addi a0, a0, 1\nsd a0, 0(s0)\nli t0, 100\nblt a0, t0, loop\nend: j end", 0x4000_0000).code
    machines = []
    for translated in (False, True):
        made = Machine(profile="teaching", ram="4M")
        made.write(BASE + 0x1_0000, code)
        made.store_u64(root + 8, middle >> 12 << 10 | 1)
        made.store_u64(middle, leaf >> 12 << 10 | 1)
        made.store_u64(leaf, (BASE + 0x1_0000) >> 12 << 10 | 0xCF)
        made.leave_machine_level()
        made.m[s.SATP] = 8 << 60 | root >> 12
        made.m[s.PC] = 0x4000_0000
        if translated:
            made.translate(BASE + 0x1_0000, len(code), virtual=0x4000_0000)
        made.run(cycles=20_000)
        machines.append(made)
    assert machines[0].registers()["a0"] == 100
    assert machines[1].translation.reason is None, "its data is in the page, not in the code"
    forget_tables(*machines)
    assert_same(*machines, "end")


def test_gaps_between_sections_are_not_taken_for_code():
    """Zeros are illegal instructions, and control does not go on behind one: a megabyte of them costs next to nothing."""
    from singlab.machine.lift import Function

    made = machine(assemble("li a0, 5\nloop: addi a0, a0, -1\nbnez a0, loop\n.word 0\nli a1, 1", BASE).code)
    function = Function("f", made.read(BASE, 8192), BASE, BASE, BASE + 8192, 0, made.profile, lambda index: int(made.m[index]))
    assert len(function.instructions) == 4
