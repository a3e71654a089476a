"""Address translation against a plain walk in Python, over random page tables and every kind of access."""

from __future__ import annotations

import random

import pytest
from bench import BASE, machine

from singlab.machine import state as s
from singlab.machine.asm import encode
from singlab.machine.translate import FETCH, LOAD, NO_ADDRESS, STORE, translate

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
SUM, MXR = 1 << 18, 1 << 19
ROOT = BASE + 0x20_0000
CAUSE = {int(LOAD): 13, int(STORE): 15, int(FETCH): 12}


def walk(made, address: int, kind: int) -> int | None:
    """Return the physical address as the privileged specification finds it, or None for a page fault."""
    m = made.m
    if (address >> 38) not in (0, (1 << 26) - 1):
        return None
    table, mode, status = (int(m[s.SATP]) & (1 << 44) - 1) << 12, int(m[s.MODE]), int(m[s.SSTATUS])
    for level in (2, 1, 0):
        at = table + 8 * (address >> 12 + 9 * level & 511)
        if not BASE <= at < BASE + int(m[s.RAM_BYTES]):
            return None
        entry = made.load_u64(at)
        if not entry & V or (entry & W and not entry & R):
            return None
        if entry & (R | X):
            break
        table = (entry >> 10 & (1 << 44) - 1) << 12
    else:
        return None
    page = entry >> 10 & (1 << 44) - 1
    if page & (1 << 9 * level) - 1:
        return None
    if mode == s.U and not entry & U:
        return None
    if mode == s.S and entry & U and (kind == int(FETCH) or not status & SUM):
        return None
    readable = entry & R or (status & MXR and entry & X)
    allowed = {int(LOAD): readable, int(STORE): entry & W, int(FETCH): entry & X}[kind]
    if not allowed or not entry & A or (kind == int(STORE) and not entry & D):
        return None
    low = (1 << 12 + 9 * level) - 1
    return (page << 12 & ~low) | address & low


def tables(seed: int):
    """Return a machine with a random page table of three levels, and virtual pages worth asking for."""
    draw = random.Random(seed)
    made = machine(b"", profile=draw.choice(("athlon64", "teaching")), ram="8M")
    free = iter(range(ROOT >> 12, BASE + (7 << 20) >> 12))
    pages = []

    def fill(table: int, level: int, base: int) -> None:
        for index in draw.sample(range(512), draw.randint(2, 6)):
            va = base | index << 12 + 9 * level
            if level and draw.random() < 0.6:
                child = next(free) << 12
                made.store_u64(table + 8 * index, child >> 12 << 10 | V | draw.choice((0, 0, 0, A | D)))
                fill(child, level - 1, va)
            else:
                low = (1 << 9 * level) - 1
                page = draw.randrange(1 << 20) & ~low | draw.choice((0, 0, 0, draw.randrange(low + 1)))
                flags = draw.choice((V | R | W | A | D, V | R | A, V | X | A, V | R | W | X | U | A | D, draw.randrange(256), draw.randrange(256)))
                made.store_u64(table + 8 * index, page << 10 | flags)
            pages.extend([va, va | draw.randrange(1 << 12 + 9 * level)])

    fill(next(free) << 12, 2, 0)
    made.m[s.SATP] = 8 << 60 | ROOT >> 12
    return made, [va | (((1 << 25) - 1) << 39 if va >> 38 & 1 else 0) for va in pages], draw


@pytest.mark.parametrize("seed", range(40))
def test_every_access_goes_where_the_specification_says(seed):
    made, pages, draw = tables(seed)
    wild = [draw.getrandbits(64) for _ in range(10)] + [1 << 38, 1 << 39, (1 << 64) - 4096]
    asked = [(draw.choice([*pages, *pages, *wild]), draw.choice([int(LOAD), int(STORE), int(FETCH)])) for _ in range(400)]
    for address, kind in asked:
        made.m[s.MODE] = draw.choice((s.U, s.S))
        made.m[s.SSTATUS] = draw.choice((0, SUM, MXR, SUM | MXR))
        found = int(translate(made.m, s.np.uint64(address), s.np.uint64(kind)))
        expected = walk(made, address, kind)
        if expected is None:
            assert found == int(NO_ADDRESS) and int(made.m[s.FAULT_CAUSE]) == CAUSE[kind], f"{address:#x}"
        else:
            assert found == expected & (1 << 56) - 1, f"{address:#x}: {found:#x}, not {expected:#x}"


def mapped(entry: int):
    """Return a machine in S mode about to load from virtual 0x4000_0000, whose gigabyte leads to one page by ``entry``."""
    code = b"".join(word.to_bytes(4, "little") for word in (
        encode("lui", 11, 0x40000), encode("ld", 10, 11, 0), encode("hook", 1),
    ))  # fmt: skip
    made = machine(code, mode=s.S, ram="8M")
    made.store_u64(ROOT + 8 * 2, (BASE >> 12) << 10 | V | R | W | X | A | D)  # the gigabyte of RAM onto itself
    made.store_u64(ROOT + 8 * 1, (ROOT + 4096 >> 12) << 10 | V)
    made.store_u64(ROOT + 4096, (ROOT + 8192 >> 12) << 10 | V)
    made.store_u64(ROOT + 8192, entry)
    made.m[s.SATP] = 8 << 60 | ROOT >> 12
    return made


def test_the_buffers_remember_until_sfence():
    first, second = BASE + 0x30_0000, BASE + 0x31_0000
    flags = V | R | A
    made = mapped(first >> 12 << 10 | flags)
    made.store_u64(first, 1)
    made.store_u64(second, 2)
    assert made.run(cycles=10_000) == "hook" and made.registers()["a0"] == 1
    walks = made.counters()["page_walks"]
    made.store_u64(ROOT + 8192, second >> 12 << 10 | flags)
    made.m[s.PC] = BASE
    made.run(cycles=10_000)
    assert made.registers()["a0"] == 1 and made.counters()["page_walks"] == walks, "the old translation is still known"
    made.write(BASE + 0x80, encode("sfence.vma", 0, 0).to_bytes(4, "little") + encode("jal", 0, -0x84).to_bytes(4, "little"))
    made.m[s.PC] = BASE + 0x80
    made.run(cycles=10_000)
    assert made.registers()["a0"] == 2 and made.counters()["page_walks"] > walks


def test_a_clear_accessed_bit_faults_and_nothing_is_set():
    made = mapped(BASE + 0x30_0000 >> 12 << 10 | V | R)
    made.m[s.STVEC] = BASE + 8
    assert made.run(cycles=10_000) == "hook"
    assert (int(made.m[s.SCAUSE]), int(made.m[s.STVAL]), int(made.m[s.SEPC])) == (13, 0x4000_0000, BASE + 4)
    assert made.load_u64(ROOT + 8192) & (A | D) == 0


def test_a_walk_costs_what_its_memory_accesses_cost():
    made = mapped(BASE + 0x30_0000 >> 12 << 10 | V | R | A)
    made.run(cycles=10_000)
    found = made.counters()
    # one walk for the code's gigabyte page (one level), one for the load (three levels), all lines new
    assert found["page_walks"] == 2
    p = made.profile
    # the entries lie in three lines: root (twice), middle, last; each first touch misses everywhere
    assert found["stall_walk"] == 2 * p.l2tlb_cycles + 3 * p.memory_cycles
