"""A supervisor that shuts and opens the door to interrupts: whoever waits behind it comes in at once, and no sooner."""

from __future__ import annotations

import pytest
from bench import BASE

from singlab.machine import Board
from singlab.machine import state as s
from singlab.machine.asm import assemble

HEAD = """
    la    t1, handler
    csrw  stvec, t1
    csrrci a1, sstatus, 2
    li    t1, 0x22
    csrw  sie, t1
    li    s1, 0
    li    s2, 0
"""
HANDLER = """
    .align 2
handler:
    csrr  s3, scause
    csrr  s4, sepc
    csrr  s5, time
    csrr  s6, sstatus
    csrrw s7, sscratch, s1
    csrrw s8, sscratch, zero
    hook  3
"""
SOFTWARE, TIMER = 1 << 63 | 1, 1 << 63 | 5


def run(body: str, stepped: bool, profile: str = "athlon64") -> tuple[dict, int]:
    """Run a program to its hook; returns its registers and the address after ``here``."""
    program = assemble(HEAD + body + HANDLER, BASE)
    board = Board(profile=profile, ram="4M")
    made = board.machine
    made.write(BASE, program.code)
    made.leave_machine_level()
    if stepped:
        for _ in range(2000):
            if made.run_precisely(position=int(made.m[s.INSTRET]) + 1) == "hook":
                break
    else:
        assert made.run(cycles=100_000) == "hook"
    assert int(made.m[s.HOOK_NUMBER]) == 3
    return made.registers(), program.labels.get("here", 0)


@pytest.mark.parametrize("stepped", [False, True])
@pytest.mark.parametrize(("wake", "cause"), [("csrrsi zero, sip, 2", SOFTWARE), ("csrw stimecmp, zero", TIMER)])
def test_what_waits_comes_in_behind_the_instruction_that_opens(wake, cause, stepped):
    found, here = run(f"{wake}\n addi s1, s1, 1\n csrrsi a2, sstatus, 2\nhere: addi s1, s1, 100\n addi s1, s1, 100\n", stepped)
    assert (found["s1"], found["s3"], found["s4"]) == (1, cause, here)
    assert found["a1"] & 2 == found["a2"] & 2 == 0 and found["s6"] & 0x22 == 0x20
    assert (found["s7"], found["s8"]) == (0, 1)


@pytest.mark.parametrize("stepped", [False, True])
def test_nobody_comes_in_while_it_is_shut(stepped):
    found, here = run("""
        csrrsi zero, sstatus, 2
        csrrci a2, sstatus, 2
        csrrsi zero, sip, 2
        csrw stimecmp, zero
        li   s2, 50
    more:
        addi s1, s1, 1
        blt  s1, s2, more
        csrrsi a3, sstatus, 2
    here:
        addi s1, s1, 100
    """, stepped)  # fmt: skip
    assert (found["s1"], found["s4"]) == (50, here) and found["a2"] & 2 == 2 and found["a3"] & 2 == 0


def test_a_timer_that_comes_due_meanwhile_is_taken_in_time():
    """The door is opened and shut again and again within a line; a timer is taken when it is open, soon after it is due."""
    body = """
        csrr  t2, time
        addi t2, t2, 500
        csrw stimecmp, t2
    more:
        csrrci zero, sstatus, 2
        addi s1, s1, 1
        csrrsi zero, sstatus, 2
    here:
        addi s1, s1, 1
        j    more
    """
    for profile, late in (("untimed", 20), ("athlon64", 250)):  # the trap itself and the handler's lines take their time
        (found, here), (other, _) = run(body, False, profile), run(body, True, profile)
        assert found["s3"] == TIMER and found["s4"] in (here, here + 4, here - 12), hex(found["s4"] - here)
        assert found["t2"] <= found["s5"] <= found["t2"] + late
        assert [found[n] for n in ("s1", "s4", "s5")] == [other[n] for n in ("s1", "s4", "s5")]
