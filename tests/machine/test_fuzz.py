"""Nonsense: random code, registers, page tables and device accesses. The host never falls, and every run ends in time.

A guard of known words lies before and behind the state. The same runs, uncompiled, check every index.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from bench import BASE

from singlab.machine import Board
from singlab.machine import devices as d
from singlab.machine import state as s
from singlab.machine.asm import encode, load_immediate
from singlab.machine.jit import DISABLED

MASK = (1 << 64) - 1
#: Words that steer the two engines.
NOT_STATE = [s.X_DUMMY, s.UNTIL, s.LOADED, s.CODE, s.CODE_BYTES, s.CODE_AT, s.CODE_WRITTEN, s.INTERPRET, s.RESUME, s.RESUME_BASE]
RAM = 1 << 18
GUARD, MARK = 1 << 16, 0xA5A5_5A5A_DEAD_BEEF
CSRS = (
    0x100,
    0x104,
    0x105,
    0x106,
    0x141,
    0x142,
    0x144,
    0x14D,
    0x180,
    0x300,
    0x302,
    0x303,
    0x304,
    0x305,
    0x306,
    0x30A,
    0x340,
    0x341,
    0x344,
    0xB00,
    0xB02,
    0x3A0,
    0x3B0,
    0x3B1,
)
REGIONS = (
    d.UART,
    d.CLINT,
    d.CLINT + 0x4000,
    d.CLINT + 0xBFF8,
    d.PLIC,
    d.PLIC + 0x1000,
    d.PLIC + 0x2000,
    d.PLIC + 0x20_0000,
    d.PLIC + 0x20_1000,
    d.FINISHER,
    d.VIRTIO,
)


def guarded(profile: str) -> Board:
    """Return a board whose state lies between guards."""
    board = Board(profile=profile, ram=RAM)
    machine = board.machine
    room = np.full(len(machine.m) + 2 * GUARD, MARK, dtype=np.uint64)
    room[GUARD:-GUARD] = machine.m
    machine.m = room[GUARD:-GUARD]
    board.room = room
    slots = np.full(len(machine.uops) + 2 * GUARD, MARK, dtype=np.uint64)
    slots[GUARD:-GUARD] = machine.uops
    machine.uops = slots[GUARD:-GUARD]
    board.decoded = slots
    return board


def intact(board: Board) -> bool:
    return all((a[:GUARD] == MARK).all() and (a[-GUARD:] == MARK).all() for a in (board.room, board.decoded))


def address(draw: random.Random) -> int:
    """Return an address where something goes wrong: ends of memory, of pages, of devices, of everything."""
    place = draw.choice((BASE, BASE + RAM, BASE + draw.randrange(RAM), BASE + RAM - 4096, 0, MASK, 1 << 38, MASK - (1 << 38), 1 << 56, 1 << 63, *REGIONS,
                         draw.getrandbits(64), BASE + draw.randrange(RAM) & ~4095, MASK - BASE, (MASK - s.RAM_OFFSET)))  # fmt: skip
    return place + draw.choice((0, 0, 1, 2, 3, 4, 7, 8, -1, -2, -4, -7, -8, 4088, 4092, 4094, 4095)) & MASK


def instruction(draw: random.Random) -> bytes:
    """Return one of any kind; most use registers that hold addresses."""
    kind = draw.randrange(8)
    if kind == 0:
        return draw.randbytes(draw.choice((2, 4)))
    rd, a, b = draw.randrange(32), draw.randrange(32), draw.randrange(32)
    if kind in (1, 2):
        return encode(draw.choice(("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu")), rd, a, draw.choice((0, 0, -1, 1, -2048, 2047))).to_bytes(
            4, "little"
        )
    if kind == 3:
        return encode(draw.choice(("sb", "sh", "sw", "sd")), b, a, draw.choice((0, 0, -1, 1, -2048, 2047))).to_bytes(4, "little")
    if kind == 4:
        name = draw.choice(("amoadd.w", "amoswap.d", "lr.w", "lr.d", "sc.w", "sc.d", "amomax.d"))
        return encode(name, rd, a, *([] if name[:2] == "lr" else [b])).to_bytes(4, "little")
    if kind == 5:
        return encode(draw.choice(("csrrw", "csrrs", "csrrc")), rd, draw.choice(CSRS), a).to_bytes(4, "little")
    if kind == 6:
        name = draw.choice(("ecall", "ebreak", "sret", "mret", "wfi", "sfence.vma", "fence.i", "hook"))
        return encode(name, *{"sfence.vma": (0, 0), "hook": (3,)}.get(name, ())).to_bytes(4, "little")
    if draw.random() < 0.3:
        return encode("jalr", rd, a, 0).to_bytes(4, "little")
    return encode("jal", rd, draw.choice((-8, 4, 8, 12, 4096, -4096))).to_bytes(4, "little")


def entry(draw: random.Random) -> int:
    """Return an entry of a page table: leaves, pointers, superpages, into RAM, to its end, to devices and to nowhere."""
    page = (
        draw.choice(
            (
                BASE + draw.randrange(RAM),
                BASE + RAM - 4096,
                BASE + RAM,
                0,
                d.UART,
                d.PLIC,
                (1 << 56) - 4096,
                BASE - 4096,
                BASE & ~((1 << 30) - 1),
            )
        )
        >> 12
    )
    flags = draw.choice((1, 1, 0xCF, 0xDF, 0xCB, 0xD7, 0xC9, 0xC3, draw.randrange(256)))
    return page << 10 | flags | draw.choice((0, 0, 0, 0, draw.getrandbits(64)))


def scenario(seed: int) -> Board:
    """Return a board full of nonsense."""
    draw = random.Random(seed)
    board = guarded(draw.choice(("athlon64", "teaching", "modern", "untimed")))
    machine = board.machine
    m = machine.m
    machine.write(BASE, b"".join(instruction(draw) for _ in range(2000))[:8192])
    machine.write(BASE + RAM - 4096, b"".join(instruction(draw) for _ in range(1200))[:4096])
    tables = [BASE + RAM // 2 + 4096 * k for k in range(4)]
    for table in tables:
        for index in draw.sample(range(512), 60) + [0, 1, 2, 511]:
            value = (draw.choice(tables) >> 12 << 10 | 1) if draw.random() < 0.4 else entry(draw)
            machine.store_u64(table + 8 * index, value)
    for register in range(1, 32):
        m[register] = draw.choice((address(draw), address(draw), draw.getrandbits(64), draw.randrange(16)))
    for word in (s.MTVEC, s.STVEC, s.MEPC, s.SEPC):
        m[word] = draw.choice((BASE + 4 * draw.randrange(2000), BASE + RAM - 64, address(draw) & ~2, 0)) & ~2
    for word in (s.MEPC, s.SEPC):
        m[word] = int(m[word]) & ~1
    m[s.SSTATUS] = draw.getrandbits(23) & 0x7E_19AA & ~(0x1800 if draw.random() < 0.5 else 0)
    if int(m[s.SSTATUS]) >> 11 & 3 == 2:
        m[s.SSTATUS] = int(m[s.SSTATUS]) & ~0x1800
    m[s.MEDELEG], m[s.MIDELEG], m[s.SIE] = (
        draw.getrandbits(16) & 0xB3FF,
        draw.choice((0, 0x222)),
        draw.choice((0, 0xAAA, draw.getrandbits(12) & 0xAAA)),
    )
    m[s.MENVCFG] = draw.choice((0, 1 << 63))
    m[s.MTIMECMP], m[s.TIMECMP] = (draw.choice((0, 500, 5000, MASK)) for _ in range(2))
    m[s.MCOUNTEREN] = m[s.SCOUNTEREN] = draw.choice((0, 7, 0xFFFF_FFFF))
    m[s.SATP] = draw.choice(
        (0, 8 << 60 | tables[0] >> 12, 8 << 60 | tables[0] >> 12, 8 << 60 | draw.getrandbits(60), 8 << 60 | (BASE + RAM - 4096) >> 12)
    )
    if draw.random() < 0.3:  # protection: some holes and locks in the open whole
        for entry_ in range(15):
            m[s.PMP_ADDRESS + entry_] = draw.choice((address(draw) >> 2, address(draw) >> 2 | 0x1FF, draw.getrandbits(54)))
            way = draw.choice((0, 0, 0, draw.randrange(256) & 0x9F))
            m[s.PMP_CONFIG + entry_ // 8] = int(m[s.PMP_CONFIG + entry_ // 8]) | way << 8 * (entry_ % 8)
    m[s.PMP_ADDRESS + 15], m[s.PMP_CONFIG + 1] = (1 << 54) - 1, int(m[s.PMP_CONFIG + 1]) | draw.choice((0x1F, 0x1F, 0x1F, 0x1D, 0)) << 56
    m[s.MODE] = draw.choice((s.U, s.S, s.M_MODE))
    m[s.PC] = draw.choice((BASE, BASE, BASE + RAM - 2, BASE + RAM - 4, BASE + RAM - 4096, address(draw))) & ~1
    return board


def stands(board: Board, limit: int) -> None:
    """Run, and look whether all is as it must be."""
    m = board.machine.m
    for _ in range(3):
        before = int(m[s.CYCLES])
        ended = board.run(cycles=limit)
        assert ended.reason in ("limit", "lost", "wfi", "exit")
        # a wait may end behind the limit by one line of instructions and one trap, not by more
        assert int(m[s.CYCLES]) - before < limit + 40_000, ended
        assert intact(board), "something was written outside the state"
        assert int(m[0]) == 0 and int(m[s.MODE]) in (s.U, s.S, s.M_MODE) and int(m[s.PC]) % 2 == 0
        assert int(m[s.SSTATUS]) & ~0x7E_19AA == 0 and int(m[s.SSTATUS]) >> 11 & 3 != 2
        counted = board.machine.counters()
        assert counted["cycles"] == counted["instructions"] + sum(v for n, v in counted.items() if n.startswith("stall_"))


@pytest.mark.parametrize("block", range(6))
def test_nonsense(block):
    for seed in range(100 * block, 100 * block + 100):
        try:
            stands(scenario(seed), 5000)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None


def translated(seed: int, cycles: int) -> None:
    """The same nonsense on both engines: the same end, whatever is translated of it."""
    draw = random.Random(seed)
    boards = [scenario(seed), scenario(seed)]
    translation = boards[1].machine.translate(BASE, draw.choice((512, 8192)), [BASE + 4 * draw.randrange(128) for _ in range(8)])
    assert translation.reason is None
    for one in boards:
        stands(one, cycles)
    a, b = boards
    for made in (a, b):
        made.machine.m[NOT_STATE] = 0
        made.machine.m[s.QUICK_BASE : s.QUICK_BASE + s.QUICK_WORDS] = s.QUICK_EMPTY
    differ = np.flatnonzero(a.machine.m != b.machine.m)
    assert not len(differ), f"seed {seed}: words {differ[:8].tolist()} differ"


@pytest.mark.skipif(DISABLED, reason="there is no translator without a compiler")
@pytest.mark.parametrize("seed", range(12))
def test_nonsense_translated(seed):
    translated(seed, 5000)


@pytest.mark.slow
@pytest.mark.skipif(DISABLED, reason="there is no translator without a compiler")
@pytest.mark.parametrize("block", range(10))
def test_much_nonsense_translated(block):
    for seed in range(1000 + 20 * block, 1020 + 20 * block):
        translated(seed, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(60))
def test_much_nonsense(block):
    for seed in range(10_000 + 50 * block, 10_050 + 50 * block):
        stands(scenario(seed), 20_000)


def poke(seed: int, count: int) -> None:
    """Devices under random accesses of a program: loads and stores at random registers."""
    draw = random.Random(seed)
    board = guarded("untimed")
    machine = board.machine
    words: list[int] = []
    for _ in range(count):
        where = draw.choice(REGIONS) + draw.choice((0, 0, 4, 8, draw.randrange(0, 64, 4), draw.randrange(0x1000)))
        width = draw.randrange(4)
        where &= ~((1 << width) - 1)
        if not d.is_device(np.uint64(where)):
            continue
        words += [encode(*step) for step in load_immediate(5, where)]
        if draw.random() < 0.5:
            words.append(encode(("lb", "lh", "lw", "ld")[width], 6, 5, 0))
        else:
            words += [encode(*step) for step in load_immediate(6, draw.choice((0, 1, MASK, draw.getrandbits(64), draw.getrandbits(5))))]
            words.append(encode(("sb", "sh", "sw", "sd")[width], 6, 5, 0))
    words.append(encode("jal", 0, 0))
    machine.write(BASE, b"".join(w.to_bytes(4, "little") for w in words))
    for _ in range(20):
        board.type(draw.randbytes(draw.randrange(300)))
        ended = board.run(cycles=len(words) // 4)
        assert ended.reason in ("limit", "exit", "lost") and intact(board)
        head, tail = int(machine.m[d.RX_HEAD]), int(machine.m[d.RX_TAIL])
        assert 0 <= head - tail <= d.RX_ROOM
    assert int(machine.m[s.MCAUSE]) == 0, "aligned accesses to devices never fault"


@pytest.mark.parametrize("seed", range(20))
def test_devices_take_any_access(seed):
    poke(seed, 1500)


@pytest.mark.slow
def test_uncompiled_every_index_is_checked():
    """The same functions as plain Python over NumPy, where an index outside the state is an exception."""
    script = "import test_fuzz as f\nfor seed in range(40): f.stands(f.scenario(seed), 1500)\nf.poke(1, 200)\nprint('done')"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.stdout.strip() == "done", done.stderr[-3000:]
