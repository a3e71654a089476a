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
ACCESS = {int(LOAD): 5, int(STORE): 7, int(FETCH): 1}
OUTSIDE = -1
#: Bits of an entry that stay free for extensions this machine has not: a set one is a page fault.
RESERVED = 0x3FF << 54


def walk(made, address: int, kind: int) -> int | None:
    """Return the physical address as the privileged specification finds it, None for a page fault, or OUTSIDE."""
    m = made.m
    if (address >> 38) not in (0, (1 << 26) - 1):
        return None
    table, mode, status = (int(m[s.SATP]) & (1 << 44) - 1) << 12, int(m[s.MODE]), int(m[s.SSTATUS])
    for level in (2, 1, 0):
        at = table + 8 * (address >> 12 + 9 * level & 511)
        if not BASE <= at < BASE + int(m[s.RAM_BYTES]):
            return OUTSIDE
        entry = made.load_u64(at)
        if not entry & V or (entry & W and not entry & R) or entry & RESERVED:
            return None
        if entry & (R | X):
            break
        if entry & (D | A | U):
            return None
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
                wrong = draw.choice((0,) * 12 + (A, D, U, 1 << 54, 1 << 61, 1 << 63))
                # the two bits software may use, and G, change nothing
                made.store_u64(table + 8 * index, child >> 12 << 10 | V | draw.choice((0, 0, G, 3 << 8)) | wrong)
                fill(child, level - 1, va)
            else:
                low = (1 << 9 * level) - 1
                page = draw.randrange(1 << 20) & ~low | draw.choice((0, 0, 0, draw.randrange(low + 1)))
                flags = draw.choice((V | R | W | A | D, V | R | A, V | X | A, V | R | W | X | U | A | D, draw.randrange(256), draw.randrange(256)))
                wrong = draw.choice((0,) * 12 + (1 << 54, 1 << 60, 1 << 62, 1 << 63))
                made.store_u64(table + 8 * index, page << 10 | flags | draw.choice((0, 0, 3 << 8)) | wrong)
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
        if expected in (None, OUTSIDE):
            cause = CAUSE[kind] if expected is None else ACCESS[kind]
            assert found == int(NO_ADDRESS) and int(made.m[s.FAULT_CAUSE]) == cause, f"{address:#x}"
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


def test_where_a_table_lies_outside_memory_the_access_faults():
    """Not a page fault: the walk itself could not be done."""
    for entry, levels in ((0, 0), (0x1000 >> 12 << 10 | V, 1), (1 << 43 << 10 | V, 1)):
        for name, cause in (("ld", 5), ("sd", 7), ("jalr", 1)):
            made = machine(b"", mode=s.S, ram="8M")
            made.store_u64(ROOT + 8 * 2, (BASE >> 12) << 10 | V | R | W | X | A | D)
            made.store_u64(ROOT + 8, entry)
            made.write(BASE, encode(name, 10, 11, 0).to_bytes(4, "little") + encode("hook", 1).to_bytes(4, "little"))
            made.m[11], made.m[s.STVEC], made.m[s.SATP] = 0x4000_0000, BASE + 4, 8 << 60 | ROOT >> 12
            assert made.run(cycles=5000) == "hook"
            expected = cause if levels else {5: 13, 7: 15, 1: 12}[cause]
            assert (int(made.m[s.SCAUSE]), int(made.m[s.STVAL])) == (expected, 0x4000_0000)


def pair(first: int, second: int):
    """Return a machine in S mode with two pages in a row at 0x4000_0000, and its data pointer four bytes before their border."""
    made = machine(b"", mode=s.S, ram="8M")
    made.store_u64(ROOT + 8 * 2, (BASE >> 12) << 10 | V | R | W | X | A | D)
    made.store_u64(ROOT + 8 * 1, (ROOT + 4096 >> 12) << 10 | V)
    made.store_u64(ROOT + 4096, (ROOT + 8192 >> 12) << 10 | V)
    made.store_u64(ROOT + 8192, first)
    made.store_u64(ROOT + 8200, second)
    made.m[s.SATP], made.m[s.STVEC], made.m[11] = 8 << 60 | ROOT >> 12, BASE + 0x100, 0x4000_0FFC
    made.write(BASE + 0x100, encode("hook", 2).to_bytes(4, "little"))
    return made


FIRST, SECOND = BASE + 0x30_0000, BASE + 0x50_0000
ALL = V | R | W | X | A | D


@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(("store", "load", "width", "back"), [("sd", "ld", 8, 4), ("sd", "ld", 8, 7), ("sd", "ld", 8, 1), ("sw", "lw", 4, 2), ("sw", "lwu", 4, 1), ("sh", "lh", 2, 1)])
def test_an_access_to_two_pages_goes_to_both(store, load, width, back, apart, profile):
    second = SECOND if apart else FIRST + 4096
    made = pair(FIRST >> 12 << 10 | ALL, second >> 12 << 10 | ALL)
    value = 0x8182_8384_8586_8788
    made.m[11], made.m[12] = 0x4000_1000 - back, value
    made.write(BASE, b"".join(encode(*w).to_bytes(4, "little") for w in ((store, 12, 11, 0), (load, 10, 11, 0), ("hook", 1))))
    assert made.run(cycles=5000) == "hook" and int(made.m[s.HOOK_NUMBER]) == 1
    data = value.to_bytes(8, "little")[:width]
    assert made.read(FIRST + 4096 - back, back) == data[:back] and made.read(second, width - back) == data[back:]
    assert made.read(FIRST + 4096 - back - 4, 4) == bytes(4) == made.read(second + width - back, 4), "and nothing beside"
    expected = int.from_bytes(data, "little", signed=load in ("lw", "lh")) & (1 << 64) - 1
    assert made.registers()["a0"] == (expected if load != "ld" else value)


@pytest.mark.parametrize(("name", "causes"), [("ld", (13, 5)), ("sd", (15, 7))])
def test_a_fault_of_the_second_page_tells_its_address(name, causes):
    """Or a handler that brings in the page of the first byte would do so for ever."""
    for second, cause in ((0, causes[0]), (0x1000 >> 12 << 10 | ALL, causes[1])):
        made = pair(FIRST >> 12 << 10 | ALL, second)
        made.write(FIRST + 0xFF8, b"\x55" * 8)
        made.write(BASE, encode(name, 10, 11, 0).to_bytes(4, "little"))
        assert made.run(cycles=5000) == "hook"
        assert (int(made.m[s.SCAUSE]), int(made.m[s.STVAL]), int(made.m[s.SEPC])) == (cause, 0x4000_1000, BASE)
        assert made.read(FIRST + 0xFF8, 8) == b"\x55" * 8, "nothing was written to the first page either"
    made = pair(0, FIRST >> 12 << 10 | ALL)
    made.write(BASE, encode(name, 10, 11, 0).to_bytes(4, "little"))
    made.run(cycles=5000)
    assert (int(made.m[s.SCAUSE]), int(made.m[s.STVAL])) == (causes[0], 0x4000_0FFC)


def test_an_instruction_whose_second_half_is_not_there():
    for second, cause in ((0, 12), (0x1000 >> 12 << 10 | ALL, 1), (FIRST >> 12 << 10 | V | R | A, 12)):
        made = pair(FIRST >> 12 << 10 | ALL, second)
        made.write(FIRST + 0xFFE, encode("addi", 10, 10, 1).to_bytes(4, "little")[:2])
        made.m[s.PC] = 0x4000_0FFE
        assert made.run(cycles=5000) == "hook"
        assert (int(made.m[s.SCAUSE]), int(made.m[s.STVAL]), int(made.m[s.SEPC])) == (cause, 0x4000_1000, 0x4000_0FFE)


@pytest.mark.parametrize(
    ("flags", "mode", "status", "load", "store", "fetch"),
    [
        (V | R | W | X | A | D, s.S, 0, 1, 1, 1), (V | R | W | X | U | A | D, s.S, 0, 0, 0, 0), (V | R | W | X | U | A | D, s.S, SUM, 1, 1, 0),
        (V | R | W | X | A | D, s.U, SUM | MXR, 0, 0, 0), (V | R | W | X | U | A | D, s.U, 0, 1, 1, 1), (V | X | A | D, s.S, 0, 0, 0, 1), (V | X | A | D, s.S, MXR, 1, 0, 1),
        (V | X | U | A | D, s.S, MXR, 0, 0, 0), (V | X | U | A | D, s.S, MXR | SUM, 1, 0, 0), (V | R | W | A, s.S, 0, 1, 0, 0), (V | R | W | D, s.S, 0, 0, 0, 0),
        (V | X, s.S, 0, 0, 0, 0), (V | W | A | D, s.S, 0, 0, 0, 0), (V | R | A | D | 3 << 8, s.S, 0, 1, 0, 0), (V | R | A | D | 1 << 61, s.S, 0, 0, 0, 0),
    ],
)  # fmt: skip
def test_rights(flags, mode, status, load, store, fetch):
    made = pair(FIRST >> 12 << 10 | flags, 0)
    made.m[s.MODE], made.m[s.SSTATUS] = mode, status
    for kind, allowed in ((LOAD, load), (STORE, store), (FETCH, fetch)):
        found = int(translate(made.m, s.np.uint64(0x4000_0ABC), kind))
        assert found == (FIRST + 0xABC if allowed else int(NO_ADDRESS))


@pytest.mark.parametrize(("rs1", "rs2"), [(0, 0), (11, 0), (0, 12), (11, 12)])
def test_every_form_of_sfence_lets_new_entries_be_seen(rs1, rs2):
    made = pair(FIRST >> 12 << 10 | ALL, 0)
    made.store_u64(FIRST, 1)
    made.store_u64(SECOND, 2)
    made.m[11], made.m[12], made.m[13], made.m[14] = 0x4000_0000, 0, 0x8050_0000 >> 12 << 10 | ALL, ROOT + 8192
    made.write(BASE, b"".join(encode(*w).to_bytes(4, "little") for w in (
        ("ld", 10, 11, 0), ("sd", 13, 14, 0), ("sfence.vma", rs1, rs2), ("ld", 15, 11, 0), ("hook", 1),
    )))  # fmt: skip
    assert made.run(cycles=5000) == "hook"
    assert (made.registers()["a0"], made.registers()["a5"]) == (1, 2)
