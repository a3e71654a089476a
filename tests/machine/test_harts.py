"""More than one hart: atomic across harts, decided by the seed alone, each with its own timer and interrupts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench import BASE, DATA
from test_timetravel import NOT_STATE

from singlab.machine import Board, Machine, TimeTravel
from singlab.machine import devices as d
from singlab.machine import state as s
from singlab.machine.asm import assemble

#: Each hart adds to one word by amoadd, to another under lr/sc, and to a third carelessly; then it waits.
COUNT = f"""
        li   s0, {DATA:#x}
        li   s1, 200
        li   t2, 1
again:  amoadd.d zero, t2, (s0)
        addi t3, s0, 64
retry:  lr.d t0, (t3)
        addi t0, t0, 1
        sc.d t1, t0, (t3)
        bnez t1, retry
        ld   t0, 128(s0)
        addi t0, t0, 1
        sd   t0, 128(s0)
        addi s1, s1, -1
        bnez s1, again
        csrr a0, mhartid
        wfi
"""


def made_of(text: str, harts: int, seed: int = 0, profile: str = "teaching") -> Machine:
    made = Machine(profile=profile, ram="4M", harts=harts, seed=seed)
    made.write(BASE, assemble(text, BASE).code)
    return made


def ran(text: str, harts: int, seed: int = 0, profile: str = "teaching", end: str = "wfi") -> Machine:
    made = made_of(text, harts, seed, profile)
    assert made.run(cycles=10_000_000) == end
    return made


def clean(made: Machine) -> np.ndarray:
    """Return the state without the words that only steer, of any hart."""
    m = made.m.copy()
    for first in (0, *range(s.HART_SAVED, s.HART_SAVED + s.MAX_HARTS * s.HART_WORDS, s.HART_WORDS)):
        m[[first + word for word in NOT_STATE]] = 0
    m[s.QUICK_BASE : s.DEVICE_BASE] = 0
    return m


@pytest.mark.parametrize("profile", ["teaching", "untimed", "modern"])
@pytest.mark.parametrize("harts", [1, 2, 3, 4])
def test_what_is_atomic_loses_nothing(harts, profile):
    made = ran(COUNT, harts, 1, profile)
    assert made.load_u64(DATA) == made.load_u64(DATA + 64) == 200 * harts
    if harts > 1:
        assert 200 <= made.load_u64(DATA + 128) < 200 * harts, "a load and a store are not atomic"
    seen = []
    for hart in range(harts):
        made.look_at(hart)
        seen.append(made.registers()["a0"])
    assert seen == list(range(harts))


def test_the_seed_decides():
    first, again, other = ran(COUNT, 3, 5), ran(COUNT, 3, 5), ran(COUNT, 3, 6)
    assert (first.m == again.m).all()
    assert (first.m != other.m).any()


def test_causes_sum_to_the_cycles_of_each_hart():
    made = ran(COUNT, 4, 2)
    for hart in range(4):
        counted = made.counters(hart)
        assert counted["cycles"] == counted["instructions"] + sum(n for name, n in counted.items() if name.startswith("stall_"))
    every = [made.counters(hart) for hart in range(4)]
    assert made.counters()["instructions"] == sum(c["instructions"] for c in every) == made.retired
    assert made.counters()["cycles"] == max(c["cycles"] for c in every)


def test_clocks_stay_together():
    made = made_of(COUNT.replace("li   s1, 200", "li   s1, 100000"), 4)
    for _ in range(200):
        made.run(cycles=1000)
        clocks = [made.counters(hart)["cycles"] for hart in range(4)]
        assert max(clocks) - min(clocks) < 20_000


# ---- a run is one run, however it is cut ----------------------------------------------------------------------------


@pytest.mark.parametrize("slice_", [1, 7, 333, 5000])
@pytest.mark.parametrize("text", ["COUNT", "MAIL", "ALARM", "SPIN"])
def test_pieces_make_the_whole(slice_, text):
    text = globals()[text]
    whole, pieces = ran(text, 4, 9), made_of(text, 4, 9)
    while pieces.run(cycles=slice_) == "limit":
        pieces.look_at(2)  # looking changes nothing
    for hart in range(4):
        one, other = whole.counters(hart), pieces.counters(hart)
        for counted in (one, other):
            del counted["l1i_accesses"]  # a line is entered anew where a run goes on
        assert one == other
    for address in (DATA, DATA + 64, DATA + 128):
        assert whole.load_u64(address) == pieces.load_u64(address)


@pytest.mark.parametrize("profile", ["teaching", "untimed"])
def test_stepping_is_running(profile):
    whole, stepped = ran(COUNT, 3, 4, profile), made_of(COUNT, 3, 4, profile)
    travel = TimeTravel(stepped)
    seen = []
    while travel.step() == "here":
        seen.append(travel.position)
    assert seen == list(range(1, len(seen) + 1)), "each step retires one instruction of one hart"
    whole.look_at(0)
    stepped.look_at(0)
    assert (clean(whole) == clean(stepped)).all()


def test_back_is_where_one_was():
    made = made_of(COUNT, 4, 8)
    travel = TimeTravel(made)
    travel._spacing = 300
    states = {0: clean(made)}
    for steps in (1, 2, 300, 1, 1, 1, 200, 494, 1, 500, 498, 1):
        for _ in range(steps):
            travel.step()
        states[travel.position] = clean(made)
    for position in (1999, 3, 1501, 1001, 0, 304, 2000, 305, 303):
        travel.goto(position)
        assert (clean(made) == states[position]).all(), position
    travel.goto(506)
    travel.back(1)
    travel.back(201)
    assert (clean(made) == states[304]).all()


def test_run_to_an_address_stops_each_hart_once_a_round():
    code = assemble(COUNT, BASE)
    made = made_of(COUNT, 3, 3)
    travel = TimeTravel(made)
    stopped = []
    while travel.run_to(code.labels["again"]) == "here":
        stopped.append(int(made.m[s.HART]))
    assert [stopped.count(hart) for hart in range(3)] == [200] * 3
    travel.goto(0)
    assert travel.watch(DATA + 128) == "here" and int(made.m[s.WATCH_HIT]) == DATA + 128 + 1


# ---- interrupts of each hart ---------------------------------------------------------------------------------------------

#: Hart 0 sends each other hart 50 software interrupts, one after the other; they count them, and sleep between.
MAIL = f"""
        csrr s0, mhartid
        la   t0, handler
        csrw mtvec, t0
        li   s1, {d.CLINT:#x}
        li   s2, {DATA:#x}
        csrrwi zero, mie, 8
        beqz s0, sender
        csrrwi zero, mstatus, 8
        li   s4, 50
        slli s6, s0, 3
        add  s6, s6, s2           # where this one counts
sleep:  wfi
        ld   t0, (s6)
        blt  t0, s4, sleep
        csrw mie, zero
        wfi
sender: csrr s3, mhartid
        li   s4, 50
post:   addi s3, s3, 1
        li   t1, 4
        remu s3, s3, t1
        bnez s3, send
        addi s4, s4, -1
        beqz s4, done
        j    post
send:   slli t0, s3, 2
        add  t0, t0, s1
wait:   lw   t1, (t0)             # the last one has not been taken
        bnez t1, wait
        li   t1, 1
        sw   t1, (t0)
        j    post
done:   csrw mie, zero
        wfi
        .align 2
handler: csrr t3, mhartid
        slli t4, t3, 2
        add  t4, t4, s1
        sw   zero, (t4)
        slli t3, t3, 3
        add  t3, t3, s2
        ld   t4, (t3)
        addi t4, t4, 1
        sd   t4, (t3)
        mret
"""


#: Hart 0 interrupts the others while they go round in one line, thirty times each, and waits until each has answered.
SPIN = f"""
        csrr s0, mhartid
        la   t0, handler
        csrw mtvec, t0
        li   s1, {d.CLINT:#x}
        li   s2, {DATA:#x}
        slli s6, s0, 3
        add  s6, s6, s2
        li   s4, 30
        beqz s0, sender
        csrrwi zero, mie, 8
        csrrwi zero, mstatus, 8
        j    spin
        .align 6
spin:   addi a0, a0, 1
        addi a1, a1, 3
        blt  s5, s4, spin
        csrw mie, zero
        wfi
sender: li   s3, 3
call:   slli t0, s3, 2
        add  t0, t0, s1
        slli t1, s3, 3
        add  t1, t1, s2
        ld   t2, (t1)
        li   t3, 1
        sw   t3, (t0)
answer: ld   t3, (t1)
        beq  t3, t2, answer
        addi s3, s3, -1
        bnez s3, call
        addi s4, s4, -1
        bnez s4, sender
        wfi
        .align 2
handler: slli t4, s0, 2
        add  t4, t4, s1
        sw   zero, (t4)
        addi s5, s5, 1
        sd   s5, (s6)
        mret
"""


@pytest.mark.parametrize("profile", ["teaching", "untimed"])
def test_interrupts_come_in_the_middle_of_a_line(profile):
    made = ran(SPIN, 4, 1, profile)
    assert [made.load_u64(DATA + 8 * hart) for hart in range(4)] == [0, 30, 30, 30]


def test_software_interrupts_reach_the_hart_they_are_for():
    text = MAIL.replace("li   s4, 50\npost", "li   s4, 51\npost")
    made = ran(text, 4, 3)
    assert [made.load_u64(DATA + 8 * hart) for hart in range(4)] == [0, 50, 50, 50]


#: Each hart sleeps until a time of its own, and notes when it woke by mtime and by whom it was preceded.
ALARM = f"""
        csrr s0, mhartid
        li   s1, {d.CLINT + 0x4000:#x}
        li   s2, {DATA:#x}
        slli t0, s0, 3
        add  s1, s1, t0
        li   t1, 4
        sub  t1, t1, s0
        li   t2, 30000
        mul  t1, t1, t2
        sd   t1, (s1)             # the last hart first
        li   t0, 128
        csrw mie, t0
        wfi
        csrr a0, time
        li   t0, 1
        amoadd.d a1, t0, (s2)
        csrw mie, zero
        wfi
"""


@pytest.mark.parametrize("profile", ["teaching", "untimed"])
def test_each_hart_has_its_timer(profile):
    made = ran(ALARM, 4, 1, profile)
    for hart in range(4):
        made.look_at(hart)
        found = made.registers()
        assert found["a1"] == 3 - hart
        assert (4 - hart) * 30_000 <= found["a0"] < (4 - hart) * 30_000 + 1500


def test_a_wait_can_be_left_to_the_caller():
    board = Board(profile="teaching", ram="4M", harts=4)
    board.machine.write(BASE, assemble(ALARM, BASE).code)
    ends = []
    for _ in range(5):
        ended = board.run(wait=False)
        ends.append(ended.message)
        board.pass_seconds(board.seconds_to_timer() or 0)
    assert ends == ["the program waits for its timer"] * 4 + ["the program waits for an interrupt that cannot come"]


#: mtime as each hart reads it, handed round under a ticket: it must never go back.
CLOCKS = f"""
        csrr s0, mhartid
        li   s1, {DATA:#x}
        li   s2, 2000
        li   s3, {d.CLINT + 0xBFF8:#x}
turn:   addi t0, s1, 64
        li   t1, 1
        amoadd.d t2, t1, (t0)     # a ticket
mine:   ld   t3, 128(s1)
        bne  t3, t2, mine
        csrr t4, time
        ld   t5, (s1)             # what the one before read
        bltu t4, t5, wrong
        ld   t4, (s3)
        sd   t4, (s1)
        addi t3, t3, 1
        sd   t3, 128(s1)
        addi s2, s2, -1
        bnez s2, turn
        wfi
wrong:  amoadd.d zero, t1, 192(s1)
        wfi
""".replace("amoadd.d zero, t1, 192(s1)", "sd t1, 192(s1)")


@pytest.mark.parametrize("seed", range(4))
def test_no_hart_sees_time_go_back(seed):
    made = ran(CLOCKS, 4, seed)
    assert made.load_u64(DATA + 192) == 0
    assert made.load_u64(DATA + 128) == 8000


#: The UART's interrupt goes to the supervisor of one hart; all others sleep.
ROUTE = f"""
        csrr s0, mhartid
        la   t0, handler
        csrw stvec, t0
        li   t0, 0x222
        csrw mideleg, t0
        csrw mie, t0
        li   t0, -1
        csrw pmpaddr0, t0
        li   t0, 0x1f
        csrw pmpcfg0, t0
        li   t0, 0x0822           # to the supervisor, its interrupts on
        csrw mstatus, t0
        la   t0, super
        csrw mepc, t0
        li   s1, {d.PLIC:#x}
        li   t0, 1
        sw   t0, {4 * d.UART_IRQ}(s1)
        li   t1, %d               # the hart it is for
        slli t1, t1, 1
        addi t1, t1, 1            # its supervisor's context
        slli t2, t1, 7
        li   t3, 0x2000
        add  t2, t2, t3
        add  t2, t2, s1
        li   t0, {1 << d.UART_IRQ}
        sw   t0, (t2)
        li   s2, {d.UART:#x}
        sb   zero, 1(s2)
        li   t0, 1
        sb   t0, 1(s2)
        mret
super:  csrrsi zero, sstatus, 2
sleep:  wfi
        j    sleep
        .align 2
handler: slli t1, s0, 1
        addi t1, t1, 1
        slli t1, t1, 12
        add  t1, t1, s1
        li   t2, 0x200004
        add  t1, t1, t2
        lw   t3, (t1)
        lbu  t4, (s2)
        sw   t3, (t1)
        li   t5, {DATA:#x}
        slli t6, s0, 4
        add  t5, t5, t6
        sd   t3, (t5)
        sd   t4, 8(t5)
        sret
"""


@pytest.mark.parametrize("target", range(4))
def test_the_plic_asks_the_hart_it_was_told(target):
    board = Board(profile="teaching", ram="4M", harts=4)
    board.machine.write(BASE, assemble(ROUTE % target, BASE).code)
    assert board.run(cycles=1_000_000).reason == "wfi"
    board.type(b"K")
    assert board.run(cycles=1_000_000).reason == "wfi"
    found = [(board.machine.load_u64(DATA + 16 * hart), board.machine.load_u64(DATA + 16 * hart + 8)) for hart in range(4)]
    assert found == [(d.UART_IRQ, ord("K")) if hart == target else (0, 0) for hart in range(4)]


# ---- reservations ------------------------------------------------------------------------------------------------------------

#: Hart 0 reserves a word, waits until hart 1 has stored there what was there before, and stores conditionally.
ROBBED = f"""
        li   s0, {DATA:#x}
        csrr t0, mhartid
        bnez t0, robber
        lr.d a0, (s0)
        li   t1, 1
        sd   t1, 64(s0)
seen:   ld   t1, 128(s0)
        beqz t1, seen
        sc.d a1, a0, (s0)
        wfi
robber: ld   t1, 64(s0)
        beqz t1, robber
        ld   t2, (s0)
        sd   t2, (s0)
        li   t1, 1
        sd   t1, 128(s0)
        wfi
"""


@pytest.mark.parametrize("seed", range(8))
def test_another_harts_store_breaks_a_reservation(seed):
    made = ran(ROBBED, 2, seed)
    made.look_at(0)
    assert made.registers()["a1"] == 1


#: Peterson's algorithm: loads and stores alone keep two harts apart, if they come in order.
PETERSON = f"""
        li   s0, {DATA:#x}
        csrr s1, mhartid
        li   s2, 500
        li   t0, 8
        mul  t1, s1, t0
        add  s3, s0, t1           # my flag
        xori t1, s1, 1
        mul  t1, t1, t0
        add  s4, s0, t1           # the other's
        xori s5, s1, 1
again:  li   t0, 1
        %s
        %s
wait:   ld   t1, (s4)
        beqz t1, enter
        ld   t1, 64(s0)
        beq  t1, s5, wait
enter:  ld   t2, 128(s0)
        addi t2, t2, 1
        sd   t2, 128(s0)
        sd   zero, (s3)
        addi s2, s2, -1
        bnez s2, again
        wfi
"""
FLAG, TURN = "sd t0, (s3)", "sd s5, 64(s0)"


@pytest.mark.parametrize("profile", ["teaching", "untimed"])
@pytest.mark.parametrize("seed", range(6))
def test_peterson_keeps_two_harts_apart(seed, profile):
    assert ran(PETERSON % (FLAG, TURN), 2, seed, profile).load_u64(DATA + 128) == 1000


def test_peterson_turned_round_does_not():
    counts = {ran(PETERSON % (TURN, FLAG), 2, seed, "untimed").load_u64(DATA + 128) for seed in range(30)}
    assert min(counts) < 1000, "the race is found"


# ---- ends --------------------------------------------------------------------------------------------------------------------


def test_a_lost_hart_stops_nobody_else():
    text = f"""
        csrr t0, mhartid
        li   t1, 1
        beq  t0, t1, away
        {COUNT}
away:   csrw mtvec, zero
        jr   zero
    """
    made = made_of(text, 3)
    assert made.run(cycles=10_000_000) == "lost"
    assert made.load_u64(DATA) == 400 and int(made.m[s.HART]) == 1


def test_numbers_of_harts_that_cannot_be():
    for harts in (0, 5):
        with pytest.raises(ValueError, match="1 to 4"):
            Machine(harts=harts)
    with pytest.raises(ValueError, match="no hart 1"):
        Machine().look_at(1)
    with pytest.raises(ValueError, match="no hart 2"):
        Machine(harts=2).counters(2)


def test_several_harts_are_interpreted_and_say_why():
    made = made_of(COUNT, 2)
    translation = made.translate(BASE, 4096)
    assert "one hart" in translation.reason
    assert made.run(cycles=10_000_000) == "wfi" and made.load_u64(DATA) == 400


@pytest.mark.parametrize("name", ["COUNT", "ALARM", "CLOCKS"])
def test_uncompiled_they_do_the_same(name):
    code = (
        "import sys, hashlib, warnings; sys.path.insert(0, sys.argv[1]); warnings.simplefilter('ignore')\n"
        "import test_harts as t\n"
        f"made = t.made_of(t.{name}.replace('2000', '30').replace('200', '15'), 3, 5)\n"
        "made.run(cycles=200_000)\nprint(hashlib.sha256(t.clean(made).tobytes()).hexdigest(), made.retired)"
    )
    here = Path(__file__).resolve().parent
    found = []
    for disabled in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": str(here.parent.parent)}
        out = subprocess.run([sys.executable, "-c", code, str(here)], capture_output=True, text=True, env=environment, check=False)
        assert out.returncode == 0, out.stderr[-2000:]
        found.append(out.stdout.strip())
    assert found[0] == found[1]
