"""Traps, the supervisor's registers and interrupts, as the privileged specification has them."""

from __future__ import annotations

import pytest
from bench import BASE, machine, run

from singlab.machine import state as s
from singlab.machine.asm import assemble, encode

#: A handler at 0x100 that stops there; code under test begins at 0x200.
HANDLER = BASE + 0x100


def trapped(text: str | bytes, mode: int = s.U, **state: int):
    """Run code until the first trap; returns the machine, standing in its handler."""
    code = assemble(text, BASE + 0x200).code if isinstance(text, str) else text
    made = machine(bytes(0x100) + encode("hook", 1).to_bytes(4, "little") + bytes(0xFC) + code, mode=mode)
    made.m[s.PC], made.m[s.STVEC] = BASE + 0x200, HANDLER
    made.m[s.MEDELEG] = 0xB3FF  # the supervisor's own calls too, so that one handler sees everything
    for name, value in state.items():
        made.m[getattr(s, name)] = value
    assert made.run(cycles=100_000) == "hook"
    assert int(made.m[s.PC]) == HANDLER, "no trap was taken"
    return made


def where(made) -> tuple[int, int, int]:
    """Return cause, faulting address and offset of the trapping instruction."""
    return int(made.m[s.SCAUSE]), int(made.m[s.STVAL]), int(made.m[s.SEPC]) - BASE - 0x200


@pytest.mark.parametrize(("mode", "cause"), [(s.U, 8), (s.S, 9)])
def test_ecall_tells_who_called(mode, cause):
    made = trapped("nop\necall", mode)
    assert where(made) == (cause, 0, 4)
    assert bool(made.m[s.SSTATUS] & 0x100) == (mode == s.S)


def test_ebreak():
    assert where(trapped("ebreak")) == (3, BASE + 0x200, 0)


@pytest.mark.parametrize(
    "text",
    ["sret", "wfi", "sfence.vma", "hook 3", "csrr a0, sstatus", "csrw satp, a0", "csrr a0, 0x300", "csrw cycle, a0", "csrrwi a0, instret, 0",
     "csrr a0, sepc", ".word 0", ".word 0xffffffff", "mret"],
)  # fmt: skip
def test_what_a_user_may_not_do(text):
    made = trapped(f"li a1, 7\n{text}")
    assert where(made)[0] == 2 and where(made)[2] == 4
    assert made.registers()["a0"] == 0


def test_reading_counters_is_allowed_and_reads_them():
    made = run("csrr a0, cycle\ncsrr a1, instret\ncsrr a2, time\nwfi", mode=s.S)
    found = made.registers()
    assert found["a1"] in (1, 2) and found["a0"] <= found["a2"] and found["a0"] > 0


@pytest.mark.parametrize(
    ("text", "cause", "value"),
    [
        ("li a1, 0x1000\nld a0, 0(a1)", 5, 0x1000), ("li a1, 0x1000\nsd a0, 0(a1)", 7, 0x1000),
        ("li a1, 0x80400000\nlb a0, 0(a1)", 5, 0x8040_0000), ("li a1, 0x803ffffc\nld a0, 0(a1)", 5, 0x8040_0000), ("li a1, -8\nld a0, 0(a1)", 5, (1 << 64) - 8),
    ],
)  # fmt: skip
def test_bad_addresses(text, cause, value):
    made = trapped(text)
    assert where(made)[:2] == (cause, value)
    assert made.registers()["a0"] == 0


def test_misaligned_accesses_work():
    """The specification lets a machine do them itself, and this one does."""
    text = "li a1, 0x80100001\nli a2, 0x0123456789abcdef\nsd a2, 0(a1)\nlw a3, 1(a1)\nlhu a4, 5(a1)\nwfi"
    found = run(text).registers()
    assert found["a3"] == 0x6789ABCD and found["a4"] == 0x2345


def test_a_jump_out_of_memory_traps_at_its_target():
    made = trapped("li a1, 0x1000\njr a1")
    assert int(made.m[s.SCAUSE]) == 1 and int(made.m[s.SEPC]) == 0x1000 and int(made.m[s.STVAL]) == 0x1000


def test_sret_goes_back_and_restores_the_interrupt_bit():
    text = """
        la t0, user
        csrw sepc, t0
        li t0, 0x120          # SPP = supervisor, SPIE = 1
        csrw sstatus, t0
        sret
    user:
        csrr a0, sstatus
        wfi
    """
    made = run(text, mode=s.S)
    assert made.registers()["a0"] & 0x122 == 0x22, "SIE and SPIE set, SPP clear"


def test_a_trap_saves_the_interrupt_bit_and_turns_it_off():
    made = trapped("csrrsi zero, sstatus, 2\necall", s.S)
    assert int(made.m[s.SSTATUS]) & 0x122 == 0x120


def test_timer_interrupts_a_loop_exactly_once_while_masked_in_the_handler():
    made = trapped("loop: addi a0, a0, 1\nj loop", s.U, SIE=0x20, TIMECMP=500)
    assert int(made.m[s.SCAUSE]) == 1 << 63 | 5
    assert int(made.m[s.CYCLES]) >= 500 and made.counters()["interrupts"] == 1
    assert made.registers()["a0"] > 10


def test_no_interrupt_where_it_is_off():
    made = machine("loop: addi a0, a0, 1\nj loop", mode=s.S)
    made.m[s.SIE], made.m[s.TIMECMP], made.m[s.STVEC] = 0x20, 100, HANDLER
    assert made.run(cycles=5000) == "limit"
    assert made.counters()["interrupts"] == 0
    made.m[s.SSTATUS] = 2
    made.run(cycles=5000)
    assert made.counters()["interrupts"] == 1


def test_wfi_ends_at_once_when_an_interrupt_is_pending():
    made = machine("wfi\naddi a0, a0, 1\nhook 1", mode=s.S)
    made.m[s.SIE], made.m[s.TIMECMP] = 0x20, 0
    assert made.run(cycles=5000) == "hook"
    assert made.registers()["a0"] == 1


@pytest.mark.parametrize(
    ("csr", "written", "read"),
    [("sepc", (1 << 64) - 1, (1 << 64) - 2), ("stvec", 0x1237, 0x1235), ("sie", (1 << 64) - 1, 0x222), ("sscratch", 0xDEAD_BEEF_0BAD_CAFE, 0xDEAD_BEEF_0BAD_CAFE),
     ("satp", 5 << 60 | 3, 0), ("satp", 8 << 60 | 0x80010, 8 << 60 | 0x80010)],
)  # fmt: skip
def test_registers_hold_only_values_they_may(csr, written, read):
    made = machine(f"csrw {csr}, a0\nwfi" if csr != "satp" else "csrw satp, a0\nnop\nnop\nwfi", mode=s.M_MODE, x10=written)
    made.m[s.MIDELEG] = 0x222
    made.run(cycles=3000)
    assert int(made.m[getattr(s, csr.upper())]) == read


def test_set_and_clear_return_the_old_value():
    made = run("li a0, 0xf0\ncsrw sscratch, a0\ncsrrsi a1, sscratch, 0x0f\ncsrrci a2, sscratch, 0x11\ncsrr a3, sscratch\ncsrrs a4, sscratch, zero\nwfi", mode=s.S)
    found = made.registers()
    assert [found[f"a{i}"] for i in range(1, 5)] == [0xF0, 0xFF, 0xEE, 0xEE]


def test_a_hook_stops_before_itself():
    made = machine("addi a0, a0, 1\nhook 77\naddi a0, a0, 1\nwfi", mode=s.S)
    assert made.run(cycles=1000) == "hook"
    assert int(made.m[s.HOOK_NUMBER]) == 77 and int(made.m[s.PC]) == BASE + 4
    made.m[s.PC] += 4
    assert made.run(cycles=1000) == "wfi" and made.registers()["a0"] == 2


def test_fence_i_sees_new_code():
    text = f"""
        la   t0, spot
        li   t1, {encode("addi", 10, 0, 42)}
        sw   t1, 0(t0)
        fence.i
    spot: addi a0, zero, 1
        wfi
    """
    assert run(text, mode=s.S).registers()["a0"] == 42
