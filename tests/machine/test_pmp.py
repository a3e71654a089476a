"""Physical memory protection: against QEMU where the two must agree, and against the specification in the rest.

QEMU 7 fetches whole pages where one may be fetched from, remembers pages that are allowed in part (so here it forgets
before every access), splits misaligned accesses, and takes a fault of an atomic operation for a load's.
"""

from __future__ import annotations

import random
import struct

import pytest
from bench import BASE, machine
from elves import build_elf
from witness import FINISH, RESULTS, here, needs_qemu, on_qemu, words

from singlab.machine import Board
from singlab.machine import state as s
from singlab.machine.asm import assemble, encode
from singlab.machine.jit import DISABLED

TABLE, WINDOW = BASE + 0x10_0000, BASE + 0x8_0000
NAMES = ("lb", "lh", "lw", "ld", "sb", "sh", "sw", "sd")
NAPOT, TOR, LOCK, RWX = 3 << 3, 1 << 3, 0x80, 7
#: A row of the table: pmpcfg0 and 2, pmpaddr0 to 15, mstatus, the snippet, the address, mstatus for the snippet.
ROW = 8 * 22
LOOP = f"""
    j    begin
    .align 2
handler:
    csrr t5, mcause
    sd   t5, 0(s1)
    csrr t5, mtval
    sd   t5, 8(s1)
    sd   a0, 16(s1)
    addi s1, s1, 24
next:
    addi s0, s0, {ROW}
    addi s2, s2, -1
    bnez s2, row
    j    finish
begin:
    la   t0, handler
    csrw mtvec, t0
    li   s0, {TABLE}
    li   s1, {RESULTS}
    li   s2, {{count}}
row:
    {"".join(f"ld t0, {16 + 8 * i}(s0){chr(10)}csrw {0x3B0 + i}, t0{chr(10)}" for i in range(16))}
    ld   t0, 0(s0)
    csrw 0x3a0, t0
    ld   t0, 8(s0)
    csrw 0x3a2, t0
    ld   t0, 144(s0)
    csrw mstatus, t0
    ld   s3, 168(s0)
    ld   t0, 152(s0)
    csrw mepc, t0
    ld   a1, 160(s0)
    li   a0, 0
    li   a2, -1
    sfence.vma
    mret
finish:
"""


def around(draw: random.Random) -> int:
    """Return an address in or just beside the window of four pages."""
    page = draw.randrange(4) * 4096
    return WINDOW + page + draw.choice((0, 4, 8, 64, 2048, 4088, 4092, draw.randrange(0, 4096, 4)))


def protected(seed: int, count: int) -> bytes:
    """Return a program of random settings, one access after each."""
    draw = random.Random(seed)
    text = LOOP.format(count=count)
    start = assemble(text, BASE).code + assemble(FINISH, BASE).code
    snippets = {}
    code = b""
    for name in NAMES:
        one = encode(name, 10 if name[0] == "l" else 12, 11, 0)
        for through in (False, True):  # s3: mstatus with MPRV
            snippets[name, through] = BASE + 0x1000 + len(code)
            code += words(
                [encode("csrrw", 0, 0x300, 19), one, encode("csrrw", 0, 0x300, 0), encode("ecall")] if through else [one, encode("ecall")]
            )
    assert len(start) < 0x1000
    table = b""
    for _ in range(count):
        addresses, ways = [], []
        for entry in range(15):
            place, form = around(draw), draw.choice((0, 0, 1, 2, 3)) if entry else draw.choice((0, 2, 3))
            if form == 3:
                size = 1 << draw.choice((3, 4, 6, 11, 12, 13, 14))
                addresses.append((place & ~(size - 1) | size // 2 - 1) >> 2)
            else:
                addresses.append(place >> 2)
            ways.append(form << 3 | draw.choice((0, 1, 3, 4, 5, 7, 7)) | (LOCK if draw.random() < 0.004 else 0))
        addresses.append((1 << 54) - 1)
        ways.append(draw.choice((NAPOT | RWX, NAPOT | RWX, NAPOT | RWX, NAPOT | 5, NAPOT | 1, 0)))
        mode, through = draw.choice((0, 1, 3)), draw.random() < 0.2
        status = (3 if through else mode) << 11
        name = draw.choice(NAMES)
        place = around(draw) & ~((1 << NAMES.index(name) % 4) - 1)
        table += struct.pack(
            "<22Q",
            *(sum(w << 8 * i for i, w in enumerate(ways[k : k + 8])) for k in (0, 8)),
            *addresses,
            status,
            snippets[name, through],
            place,
            1 << 17 | mode << 11,
        )
    window = random.Random(seed + 1).randbytes(4 * 4096)
    parts = [(BASE, start), (BASE + 0x1000, code), (WINDOW, window), (TABLE, table)]
    return build_elf([(a, d, len(d)) for a, d in parts], BASE)


@needs_qemu
@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
@pytest.mark.parametrize("seed", range(4))
def test_random_settings_against_qemu(seed, profile, tmp_path):
    count = 500
    elf = protected(seed, count)
    ours, theirs = here(elf, tmp_path, profile), on_qemu(elf, tmp_path)
    assert len(ours) == 24 * count
    wrong = []
    causes = set()
    for number in range(count):
        a, b = (struct.unpack_from("<3Q", v, 24 * number) for v in (theirs, ours))
        causes.add(b[0])
        if a != b:
            wrong.append(f"row {number}: QEMU {[hex(v) for v in a]}, here {[hex(v) for v in b]}")
    assert causes >= {1, 5, 7, 8, 9, 11}
    assert not wrong, f"{len(wrong)} of {count}\n" + "\n".join(wrong[:20])


@pytest.mark.skipif(DISABLED, reason="there is no translator without a compiler")
@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
def test_translated_code_is_protected_from_the_same(profile, tmp_path):
    (tmp_path / "p").write_bytes(protected(7, 300))
    printed = []
    for translated in (False, True):
        board = Board(profile=profile, ram="64M")
        board.load(tmp_path / "p")
        if translated:
            assert board.machine.translate(BASE, 0x2000).reason is None
        assert board.run(cycles=100_000_000).reason == "exit"
        printed.append(bytes(board.printed))
    assert printed[0] == printed[1]


# ---- against the specification ---------------------------------------------------------------------------------------

HANDLER, CODE = BASE + 0x400, BASE + 0x1000


def trapped(text: str, entries: list[tuple[int, int]], mode: int = s.U, profile: str = "athlon64", place: int = CODE, **state: int):
    """Run code at a place, with these (pmpaddr, pmpcfg), up to the machine's handler; returns the machine."""
    code = assemble(text, place).code
    made = machine(b"", profile=profile)
    made.write(HANDLER, encode("hook", 1).to_bytes(4, "little"))
    made.write(place, code)
    made.m[s.PMP_ENTRIES] = 16
    for index, (address, how) in enumerate(entries):
        made.m[s.PMP_ADDRESS + index] = address
        made.m[s.PMP_CONFIG + index // 8] = int(made.m[s.PMP_CONFIG + index // 8]) | how << 8 * (index % 8)
    made.m[s.PC], made.m[s.MODE], made.m[s.MTVEC] = place, mode, HANDLER
    for name, value in state.items():
        made.m[getattr(s, name)] = value
    assert made.run(cycles=50_000) == "hook"
    counted = made.counters()
    assert counted["cycles"] == counted["instructions"] + sum(v for n, v in counted.items() if n.startswith("stall_"))
    return made


def cause(made) -> tuple[int, int, int]:
    return int(made.m[s.MCAUSE]), int(made.m[s.MTVAL]), int(made.m[s.MEPC])


ALL = ((1 << 54) - 1, NAPOT | RWX)
BOTH = pytest.mark.parametrize("profile", ["athlon64", "untimed"])


@BOTH
@pytest.mark.parametrize("mode", [s.U, s.S])
def test_without_an_entry_only_the_machine_level_reaches_anything(mode, profile):
    assert cause(trapped("ecall", [], mode, profile)) == (1, CODE, CODE)
    assert cause(trapped("ecall", [], s.M_MODE, profile))[0] == 11
    assert cause(trapped("ecall", [ALL], mode, profile))[0] == 8 + mode


def test_a_board_has_sixteen_entries_and_a_granule_of_four_bytes():
    """The probe that firmware does: write all ones, look how many of the lowest stay zero."""
    text = "csrw 0x3a0, zero\nli t0, -1\ncsrw 0x3b0, t0\ncsrr a0, 0x3b0\ncsrw 0x3bf, t0\ncsrr a1, 0x3bf\ncsrw 0x3c0, t0\ncsrr a2, 0x3c0\nhook 1"
    board = Board(ram="1M")
    board.machine.write(BASE, assemble(text, BASE).code)
    assert board.machine.run(cycles=5000) == "hook"
    found = board.machine.registers()
    assert (found["a0"], found["a1"], found["a2"]) == ((1 << 54) - 1, (1 << 54) - 1, 0)


@BOTH
@pytest.mark.parametrize("mode", [s.U, s.M_MODE])
def test_code_stops_exactly_where_a_region_begins(mode, profile):
    """A hole of four bytes in a page of code, reached by running on, by a jump, and by the second half of an instruction."""
    hole = [((CODE + 12) >> 2, 2 << 3 | LOCK), ALL]
    made = trapped("addi a0, a0, 1\naddi a0, a0, 1\naddi a0, a0, 1\naddi a0, a0, 1\necall", hole, mode, profile)
    assert cause(made) == (1, CODE + 12, CODE + 12) and made.registers()["a0"] == 3
    made = trapped("j over\nnop\nnop\nnop\nover: addi a0, a0, 5\nj back\nnop\nback: ecall", hole, mode, profile)
    assert cause(made)[0] == 8 + mode and made.registers()["a0"] == 5
    made = trapped('.ascii "' + r"\x01\x00" * 5 + '"\naddi a0, a0, 1\necall', hole, mode, profile)
    assert cause(made) == (1, CODE + 12, CODE + 10)
    made = trapped("j there\nnop\nnop\nnop\nthere: ecall", hole, mode, profile, place=CODE)
    assert cause(made)[0] == 8 + mode


@BOTH
def test_a_hole_that_is_made_while_code_runs_in_the_page(profile):
    """The quick tables know the page by then."""
    text = f"li a0, 1\nj on\non: li t0, {(CODE + 0x40) >> 2}\ncsrw 0x3b0, t0\nli t0, 0x90\ncsrw 0x3a0, t0\nli a0, 2\nj spot\n.align 6\nspot: li a0, 3"
    made = trapped(text, [], s.M_MODE, profile)
    assert cause(made) == (1, CODE + 0x40, CODE + 0x40) and made.registers()["a0"] == 2


@BOTH
def test_an_instruction_across_pages_needs_both(profile):
    place = CODE + 0xFFE
    entries = [((CODE + 0x1000) >> 2 | 0x1FF, NAPOT), ALL]
    assert cause(trapped("addi a0, a0, 1", entries, s.S, profile, place=place)) == (1, CODE + 0x1000, place)


@BOTH
@pytest.mark.parametrize(
    ("text", "expected"), [("ld a0, 0(a1)", 5), ("sd a0, 0(a1)", 7), ("amoadd.d a0, a0, (a1)", 7), ("jr a1", 1), ("lr.d a0, (a1)", 5)]
)
def test_a_page_table_that_may_not_be_read(text, expected, profile):
    """The fault is an access fault of the access that the walk was for."""
    root, leaf = BASE + 0x20_0000, BASE + 0x20_1000
    entries = [((leaf >> 2) | 0x1FF, NAPOT), ALL]
    for protected_ in (entries, entries[1:]):
        code = assemble(f"li a1, 0x40000000\n{text}\necall", CODE).code
        made = machine(b"", profile=profile)
        made.write(HANDLER, encode("hook", 1).to_bytes(4, "little"))
        made.write(CODE, code)
        made.store_u64(root + 16, BASE >> 12 << 10 | 0xDF)
        made.store_u64(root + 8, leaf >> 12 << 10 | 1)
        made.store_u64(leaf, BASE >> 12 << 10 | 0xDF)
        made.store_u64(BASE, 0x73)
        made.m[s.PMP_ENTRIES] = 16
        for index, (address, how) in enumerate(protected_):
            made.m[s.PMP_ADDRESS + index] = address
            made.m[s.PMP_CONFIG] = int(made.m[s.PMP_CONFIG]) | how << 8 * index
        made.m[s.PC], made.m[s.MODE], made.m[s.MTVEC], made.m[s.SATP] = CODE, s.U, HANDLER, 8 << 60 | root >> 12
        assert made.run(cycles=50_000) == "hook"
        found = cause(made)
        assert found[:2] == (expected, 0x4000_0000) if protected_ is entries else found[0] == 8


@BOTH
def test_devices_are_protected_too(profile):
    entries = [(0x1000_0000 >> 2 | 0x1F, NAPOT | 1), ALL]
    assert cause(trapped("li a1, 0x10000000\nlbu a0, 5(a1)\nsb a0, 0(a1)", entries, s.S, profile))[:2] == (7, 0x1000_0000)


@BOTH
@pytest.mark.parametrize("text", ["lr.w a0, (a1)", "sc.w a0, a0, (a1)", "amoor.w a0, a0, (a1)"])
def test_atomic_operations(text, profile):
    place = BASE + 0x3000
    entries = [(place >> 2, 2 << 3 | 1), ALL]
    found = cause(trapped(f"li a1, {place}\n{text}\necall", entries, s.U, profile))
    assert found[0] == (8 if text.startswith("lr") else 7)


def test_the_quick_tables_forget():
    """Read before, protected, read again."""
    place = BASE + 0x3008
    text = f"li a1, {place}\nld a0, 0(a1)\nld a0, 0(a1)\nli t0, {place >> 2}\ncsrw 0x3b0, t0\nli t0, 0x90\ncsrw 0x3a0, t0\nld a2, -8(a1)\nld a0, 0(a1)"
    assert cause(trapped(text, [], s.M_MODE))[:2] == (5, place)


def test_the_view_of_an_access_knows_what_is_protected():
    """What a page walk says of each access is what the hart then does."""
    board = Board(ram="4M", profile="teaching")
    m = board.machine.m
    m[s.PMP_ADDRESS], m[s.PMP_ADDRESS + 1] = BASE + 0x10_0000 >> 2, (1 << 54) - 1
    m[s.PMP_CONFIG] = 0x08 | 0x1D << 8  # nothing up to there (TOR), then everything may be read and executed
    m[s.MODE] = s.S
    for address, may in ((BASE, (False, False, False)), (BASE + 0x10_0000, (True, False, True)), (BASE + 0x10_0000 - 1, (False, False, False))):
        shown = board.view.page_walk(address)
        assert tuple(outcome.ok for outcome in (shown.load, shown.store, shown.fetch)) == may
        assert (shown.store.cause, "protection does not let S mode write" in shown.store.reason) == (7, True)
    m[s.MODE] = s.M_MODE
    assert board.view.page_walk(BASE).store.ok, "an entry that is not locked does not bind M mode"
