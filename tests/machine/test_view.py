"""The views of the hardware: they say what is so, they change nothing, and no state makes them fail."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from bench import BASE, DATA, machine, random_program, window
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_sv39 import OUTSIDE, ROOT, A, D, G, R, U, V, W, X, mapped, tables, walk
from test_timing import Cache

from singlab.machine import PROFILES, Board, Machine, view
from singlab.machine import profile as p
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.machine.caches import l1d
from singlab.machine.csr import csr_write
from singlab.machine.isa import CSRS, REGISTER_NAMES
from singlab.machine.timetravel import TimeTravel
from singlab.machine.translate import FETCH, LOAD, NO_ADDRESS, STORE, translate

KINDS = {"load": LOAD, "store": STORE, "fetch": FETCH}

#: Every view, as a student would ask for it.
VIEWS = {
    "registers": lambda made: view.registers(made),
    "csrs": lambda made: view.csrs(made),
    "cycles": lambda made: view.cycles(made),
    "counters": lambda made: view.counters(made),
    "code": lambda made: view.code(made),
    "code elsewhere": lambda made: view.code(made, "a0", before=9, count=30),
    "cache l1i": lambda made: view.cache(made, "l1i"),
    "cache l1d": lambda made: view.cache(made, "l1d", address="sp"),
    "cache l2": lambda made: view.cache(made, "l2", most=1000),
    "caches": lambda made: view.caches(made),
    "where": lambda made: view.cache(made).where(int(made.m[2])),
    "tlbs": lambda made: view.tlbs(made),
    "page walk": lambda made: view.page_walk(made, "pc"),
    "page walk of sp": lambda made: view.page_walk(made, "sp", mode="U"),
    "memory": lambda made: view.memory(made, "sp", 300),
    "virtual memory": lambda made: view.memory(made, "a0", 300, width=8, virtual=True),
    "physical memory": lambda made: view.memory(made, "a1", 64, width=4, virtual=False),
    "all": lambda made: made.view,
}


def look_at_everything(made: Machine) -> None:
    """Ask for every view in every form, and hold that not one word of the machine changes."""
    before, decoded = made.m.copy(), made.uops.copy()
    mark = view.mark(made)
    for name, ask in VIEWS.items():
        shown = ask(made)
        text, html = repr(shown), shown._repr_html_()
        assert text and html.count("<table") == html.count("</table>") and "http" not in html, name
        if hasattr(type(shown), "rows") or hasattr(shown, "rows"):
            assert len(shown.frame()) == len(shown.rows)
        assert np.array_equal(made.m, before), f"{name} changed the machine"
    for since in (view.registers, view.csrs, view.cycles, view.counters):
        repr(since(made, since=mark))
    assert np.array_equal(made.m, before) and np.array_equal(made.uops, decoded)


@pytest.mark.parametrize("profile", PROFILES)
def test_looking_changes_nothing(profile):
    code, registers = random_program(4, 300)
    made = machine(code, profile=profile, **{f"x{n}": v for n, v in registers.items()})
    made.write(DATA, window(4))
    look_at_everything(made)
    made.run(cycles=400)
    look_at_everything(made)


def test_looking_at_a_translating_machine_changes_nothing():
    for seed in range(6):
        made, pages, draw = tables(seed)
        for address in draw.choices(pages, k=20):
            made.m[s.MODE] = draw.choice((s.U, s.S))
            translate(made.m, np.uint64(address), LOAD)
        made.m[s.PC], made.m[10], made.m[2] = draw.choice(pages), draw.choice(pages), draw.choice(pages)
        look_at_everything(made)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), share=st.sampled_from([0.02, 0.3, 1.0]), profile=st.sampled_from(sorted(PROFILES)))
def test_no_state_makes_a_view_fail(seed, share, profile):
    """Registers, CSRs, counters, page tables, cache and translation-buffer tags full of random words."""
    draw = np.random.default_rng(seed)
    made = Machine(profile=profile, ram="256K")
    m = made.m
    words = [s.X + n for n in range(1, 32)] + [
        s.PC,
        s.INSTRET,
        s.CYCLES,
        *range(s.SATP, s.SIE + 2),
        *range(s.COUNTER_BASE, s.COUNTER_BASE + len(s.COUNTERS)),
    ]
    words += [*range(s.MTVEC, s.EXTERNAL + 1)]
    edges = np.array(
        [0, 1, 2**63, 2**64 - 1, s.RAM_BASE, s.RAM_BASE + 4096, s.RAM_BASE + 2**18 - 1, 8 << 60 | s.RAM_BASE >> 12, 0x1000_0000],
        dtype=np.uint64,
    )
    for word in words:
        if draw.random() < share:
            m[word] = draw.choice(edges) if draw.random() < 0.5 else draw.integers(0, 2**64, dtype=np.uint64)
    m[s.MODE] = draw.choice([0, 1, 3])
    tags = slice(s.TAGS_BASE, s.TAGS_BASE + s.TAGS_WORDS)
    m[tags] = np.where(draw.random(s.TAGS_WORDS) < share, draw.integers(0, 2**64, s.TAGS_WORDS, dtype=np.uint64), 0)
    ram = draw.integers(0, 2**64, (1 << 18) // 8, dtype=np.uint64)
    # pointers into RAM with any flags, so that walks go deep
    pointers = (np.uint64(s.RAM_BASE >> 12) + draw.integers(0, 64, len(ram), dtype=np.uint64)) << np.uint64(10) | draw.integers(
        0, 256, len(ram), dtype=np.uint64
    )
    m[s.RAM_WORD :] = np.where(draw.random(len(ram)) < 0.6, pointers, ram)
    look_at_everything(made)


# ---- registers ------------------------------------------------------------------------------------------------


def test_registers_and_what_changed():
    made = machine("li a0, -5\nli s1, 7\nwfi", x9=7)
    before = made.snapshot()
    made.run(cycles=1000)
    for since in (before, made.view.mark(), None):
        shown = view.registers(made, since=since)
        assert {row.name: row.value for row in shown.rows} == made.registers()
        assert shown["a0"].signed == -5 and shown["x10"] == shown["a0"] and shown["fp"] == shown["s0"]
    shown = view.registers(made, since=before)
    assert shown.changed == ["pc", "a0"], "s1 got the value it had"
    assert shown["a0"].before == 0 and shown["a0"].number == 10 and shown.mode == "M"
    assert re.search(r"a0 +-5 +0xfffffffffffffffb\*", repr(shown))
    with pytest.raises(KeyError, match="no register"):
        shown["a9"]


def test_a_snapshot_can_be_looked_at_too():
    made = machine("li a0, 3\nwfi")
    made.run(cycles=1000)
    kept = made.snapshot()
    made.m[10] = 9
    assert view.registers(kept)["a0"].value == 3 and view.registers(made)["a0"].value == 9
    kept.flags.writeable = False
    assert view.csrs(kept)["mcycle"].value == made.counters()["cycles"]
    for wrong in (3, "machine", kept[:10]):
        with pytest.raises(TypeError, match="Machine"):
            view.registers(wrong)


# ---- CSRs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_csrs_are_what_the_hart_reads(seed):
    """The program reads each CSR with csrr; the view must have shown that value."""
    draw = random.Random(seed)
    for name, number in CSRS.items():
        if name in ("time", "cycle", "mcycle", "instret", "minstret"):
            continue
        made = machine(f"csrr a0, {name}\nwfi")
        for other in CSRS.values():
            if other not in (CSRS["mie"], CSRS["sie"]):
                csr_write(made.m, np.uint64(other), np.uint64(draw.getrandbits(64)))
        made.m[s.TIMECMP] = made.m[s.MTIMECMP] = 1 << 63
        made.m[s.PC], made.m[s.MODE] = BASE, s.M_MODE
        shown = view.csrs(made, name)[name]
        made.run(cycles=1)
        assert made.registers()["pc"] >= BASE + 4, name
        assert made.registers()["a0"] == shown.value and shown.number == number, name


def test_the_count_of_instructions_is_what_the_hart_reads():
    for name in ("instret", "minstret"):
        made = machine(f"nop\nnop\ncsrr a0, {name}\nwfi")
        TimeTravel(made).step(2)
        mark = view.mark(made)
        assert view.csrs(made, name)[name].value == 2
        assert not view.csrs(made, name, since=mark)[name].changed
        made.run(cycles=1)
        assert made.registers()["a0"] == 2


def test_csr_fields():
    made = machine("wfi")
    m = made.m
    for bit, name in (
        (1, "SIE"),
        (3, "MIE"),
        (5, "SPIE"),
        (7, "MPIE"),
        (17, "MPRV"),
        (18, "SUM"),
        (19, "MXR"),
        (20, "TVM"),
        (21, "TW"),
        (22, "TSR"),
    ):
        m[s.SSTATUS] = 1 << bit
        fields = view.csrs(made, "mstatus")["mstatus"].fields
        assert {field for field, value in fields.items() if value == 1} == {name}
    for number, mode in ((0, "U"), (1, "S"), (3, "M")):
        m[s.SSTATUS] = number << 11
        assert view.csrs(made)["mstatus"].fields["MPP"] == mode
    m[s.SATP] = 8 << 60 | 5 << 44 | 0x80200
    assert view.csrs(made)["satp"].fields == {"MODE": "Sv39", "ASID": 5, "PPN": 0x80200, "root": "0x80200000"}
    for cause, text in ((2, "illegal instruction"), (13, "load page fault"), (1 << 63 | 7, "machine timer interrupt"), (10, "reserved")):
        m[s.MCAUSE] = cause
        assert text in view.csrs(made)["mcause"].text
    m[s.MTVEC] = 0x8000_1001
    assert view.csrs(made)["mtvec"].fields == {"base": "0x80001000", "mode": "vectored"}
    m[s.MEDELEG] = 1 << 8 | 1 << 13
    assert view.csrs(made)["medeleg"].text == "ecall from U mode, load page fault"
    m[s.MIP], m[s.MTIMECMP] = 2, 0
    assert view.csrs(made)["mip"].text == "SSI  MTI"
    before = made.snapshot()
    m[s.MSCRATCH] = 1
    assert [row.name for row in view.csrs(made, since=before).rows if row.changed] == ["mscratch"]
    with pytest.raises(ValueError, match="no CSR 'mfoo'"):
        view.csrs(made, "mfoo")


# ---- cycles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_cycles_add_up(profile):
    for seed in range(8):
        code, registers = random_program(seed, 300)
        made = machine(code, profile=profile, **{f"x{n}": v for n, v in registers.items()})
        before, counts = made.snapshot(), made.counters()
        while made.run(cycles=150) == "limit":
            whole, part = view.cycles(made), view.cycles(made, since=before)
            now = made.counters()
            for shown, old in ((whole, dict.fromkeys(now, 0)), (part, counts)):
                assert sum(row.cycles for row in shown.rows) == shown.cycles == now["cycles"] - old["cycles"]
                assert all(row.cycles == now[row.counter] - old[row.counter] for row in shown.rows)
                assert sum(row.share for row in shown.rows) == pytest.approx(1)
            assert {row.name: row.value for row in view.counters(made, since=before).rows} == {n: now[n] - counts[n] for n in now}
            before, counts = made.snapshot(), now


# ---- caches and translation buffers --------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [name for name, about in PROFILES.items() if about.timed])
@pytest.mark.parametrize("spread", [3_000, 300_000])
def test_cache_contents_are_those_of_a_plain_cache(profile, spread):
    about = PROFILES[profile]
    made = Machine(profile=profile, ram="4M")
    first, second = Cache(about.l1d_bytes, about.l1d_ways), Cache(about.l2_bytes, about.l2_ways)
    draw = random.Random(spread)
    for _ in range(3000):
        here, dirty = BASE + draw.randrange(spread), draw.random() < 0.3
        hit, gone = first.touch(here // 64, dirty)
        if not hit:
            second.touch(here // 64, False)
            if gone is not None:
                second.touch(gone, True)
        l1d(made.m, np.uint64(here), np.uint64(dirty))
    for name, plain in (("l1d", first), ("l2", second)):
        shown = view.cache(made, name)
        assert (shown.sets, shown.ways) == (len(plain.sets), plain.ways)
        for index, lines in enumerate(plain.sets):
            assert [(line.address // 64, line.dirty) for line in shown.lines(index)] == [(line, bool(dirty)) for line, dirty in lines]
        assert len(shown.rows) == sum(map(len, plain.sets))
        for _ in range(50):
            address = BASE + draw.randrange(spread)
            place = shown.where(address)
            lines = [line for line, _ in plain.sets[place.set]]
            assert place.set == address // 64 % len(plain.sets) and place.offset == address % 64
            assert place.order == (lines.index(address // 64) if address // 64 in lines else None)
            assert (place.tag * shown.sets + place.set) * 64 + place.offset == address
    with pytest.raises(ValueError, match="choose l1i"):
        view.cache(made, "l3")
    with pytest.raises(ValueError, match="sets 0 to"):
        view.cache(made, "l1d", set=5000)


def test_translation_buffers_are_those_of_a_plain_one():
    """Fully associative, what came first goes; the second level by set, the least recently used goes, asked only when the first misses."""
    made = machine(b"", profile="teaching", mode=s.S, ram="8M")
    made.store_u64(ROOT, ROOT + 4096 >> 12 << 10 | V)
    made.store_u64(ROOT + 4096, ROOT + 8192 >> 12 << 10 | V)
    for page in range(512):
        made.store_u64(ROOT + 8192 + 8 * page, (BASE >> 12) + page << 10 | V | R | X | A | (G if page % 3 == 0 else 0))
    made.m[s.SATP] = 8 << 60 | ROOT >> 12
    draw, data, code, second = random.Random(1), [], [], [[] for _ in range(4)]
    for _ in range(400):
        page, kind = draw.choice((draw.randrange(6), draw.randrange(40))), draw.choice((LOAD, FETCH))
        translate(made.m, np.uint64(page << 12), kind)
        level = code if kind == FETCH else data
        if page not in level:
            ways = second[page % 4]
            if page in ways:
                ways.remove(page)
            ways.insert(0, page)
            del ways[4:]
            level.insert(0, page)
            del level[4:]
        shown = view.tlbs(made)
        assert [row.page >> 12 for row in shown["DTLB"]] == data and [row.page >> 12 for row in shown["ITLB"]] == code
        for index in range(4):
            assert [row.page >> 12 for row in shown["L2 TLB"] if row.page >> 12 & 3 == index] == second[index]
    assert {row.is_global for row in shown.rows} == {True, False} and all(row.frame == BASE + row.page for row in shown.rows)
    assert all(row.is_global == ((row.page >> 12) % 3 == 0) for row in shown.rows)
    assert all(row.flags == ("-AG-X-RV" if row.is_global else "-A--X-RV") for row in shown.rows)


# ---- page walks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
def test_page_walks_say_what_the_machine_does(seed):
    """Asked before each access, with buffers filling up, page tables changing behind them, and MPRV."""
    made, pages, draw = tables(seed)
    m = made.m
    wild = [draw.getrandbits(64) for _ in range(10)] + [1 << 38, 1 << 39, (1 << 64) - 4096]
    for turn in range(300):
        address, kind = draw.choice([*pages, *pages, *wild]), draw.choice(sorted(KINDS))
        m[s.MODE] = draw.choice((s.U, s.S, s.S, s.M_MODE))
        m[s.SSTATUS] = draw.choice((0, 1 << 18, 1 << 19, 3 << 18)) | draw.choice((0, 1 << 17)) | draw.choice((0, 1, 3)) << 11
        if turn % 40 == 39:
            made.store_u64(ROOT + 8 * draw.randrange(512), draw.getrandbits(64))
        shown = view.page_walk(made, address)
        outcome = getattr(shown, kind)
        found = int(translate(m, np.uint64(address), KINDS[kind]))
        if found == int(NO_ADDRESS):
            assert not outcome.ok and outcome.physical is None and outcome.cause == int(m[s.FAULT_CAUSE]), repr(shown)
        else:
            assert outcome.physical == found, repr(shown)


@pytest.mark.parametrize("seed", range(10))
def test_page_walks_follow_the_specification(seed):
    """With empty buffers, against the plain walk."""
    made, pages, draw = tables(seed)
    for address in [*pages, draw.getrandbits(64)]:
        made.m[s.MODE] = draw.choice((s.U, s.S))
        shown = view.page_walk(made, address)
        for name, kind in KINDS.items():
            expected = walk(made, address, int(kind))
            assert getattr(shown, name).physical == (None if expected in (None, OUTSIDE) else expected & (1 << 56) - 1)
        table = ROOT
        for step in shown.levels:
            assert step.table == table and step.at == table + 8 * step.index and step.index == address >> 12 + 9 * step.level & 511
            if step.entry is None:
                assert not BASE <= step.at < BASE + (8 << 20) and step is shown.levels[-1]
                break
            assert step.entry == made.load_u64(step.at)
            table = (step.entry >> 10 & (1 << 44) - 1) << 12


@pytest.mark.parametrize(
    ("entry", "kind", "why"),
    [
        (0, "load", "not valid"),
        (V | W | A | D, "load", "W without R"),
        (V, "load", "no level below"),
        (V | R, "load", "accessed bit is clear"),
        (V | R | W | A, "store", "dirty bit is clear"),
        (V | R | A, "store", "may not be written"),
        (V | R | A, "fetch", "may not be executed"),
        (V | X | A, "load", "MXR"),
        (V | R | U | A, "load", "SUM"),
        (V | X | U | A, "fetch", "S mode never executes"),
    ],
)
def test_the_reason_of_a_fault(entry, kind, why):
    made = mapped(BASE + 0x30_0000 >> 12 << 10 | entry)
    outcome = getattr(view.page_walk(made, 0x4000_0000), kind)
    assert why in outcome.reason and outcome.cause == {"load": 13, "store": 15, "fetch": 12}[kind]
    assert why in repr(view.page_walk(made, 0x4000_0000))


def test_other_reasons_of_a_fault():
    made = mapped(BASE + 0x30_0000 >> 12 << 10 | V | R | A)
    assert "bit 38" in view.page_walk(made, 1 << 40).load.reason
    assert "not for U mode" in view.page_walk(made, 0x4000_0000, mode="U").load.reason
    made.store_u64(ROOT + 8 * 3, (1 << 40) | V)
    assert "outside RAM" in view.page_walk(made, 3 << 30).load.reason
    made.store_u64(ROOT + 8 * 4, (BASE + 4096 >> 12) << 10 | V | R | A)
    assert "misaligned" in view.page_walk(made, 4 << 30).load.reason
    made.store_u64(ROOT + 8192, 0x1000_0000 >> 12 << 10 | V | R | W | A | D)
    assert "UART" in view.page_walk(made, 0x4000_0000).store.reason
    made.store_u64(ROOT + 8192, 0x4000_0000 >> 12 << 10 | V | R | W | A | D)
    outcome = view.page_walk(made, 0x4000_0000).load
    assert not outcome.ok and outcome.cause == 5 and outcome.physical == 0x4000_0000
    with pytest.raises(ValueError, match="choose U, S or M"):
        view.page_walk(made, 0, mode="H")


def test_a_stale_translation_is_seen():
    made = mapped(BASE + 0x30_0000 >> 12 << 10 | V | R | A)
    made.run(cycles=10_000)
    made.store_u64(ROOT + 8192, 0)
    shown = view.page_walk(made, 0x4000_0123)
    assert shown.load.physical == BASE + 0x30_0123 and shown.load.via == "DTLB"
    assert [entry.buffer for entry in shown.buffered] == ["DTLB", "L2 TLB"] and all(entry.stale for entry in shown.buffered)
    assert shown.levels[-1].problem and "sfence.vma" in repr(shown)
    assert view.memory(made, 0x4000_0000, 8).data == made.read(BASE + 0x30_0000, 8)


def test_where_a_walk_finds_its_entries():
    made = mapped(BASE + 0x30_0000 >> 12 << 10 | V | R | A)
    assert [step.cached for step in view.page_walk(made, 0x4000_0000).levels] == ["memory"] * 3
    made.run(cycles=10_000)
    assert [step.cached for step in view.page_walk(made, 0x4000_0000).levels] == ["L1D"] * 3


@pytest.mark.parametrize("profile", ["athlon64", "other", "untimed", "tiny"])
def test_what_a_walk_costs_is_what_the_machine_pays(profile):
    """Every step's stall, and their sum with the look into the second-level buffer, against a walk that is then made."""
    tiny = replace(PROFILES["athlon64"], name="tiny", l1d_bytes=64, l1d_ways=1, l2_bytes=128, l2_ways=1)
    other = replace(PROFILES["athlon64"], name="other", l2_cycles=7, memory_cycles=91, l2tlb_cycles=5)
    given = {"tiny": tiny, "other": other}.get(profile, profile)
    stall = s.COUNTER_BASE + s.COUNTERS.index("stall_walk")
    seen = set()
    for seed in range(6):
        source, pages, draw = tables(seed)
        made = Machine(profile=given, ram="8M")
        made.write(BASE, source.read(BASE, int(source.m[s.RAM_BYTES])))
        made.m[s.SATP], made.m[s.MODE] = source.m[s.SATP], s.S
        # a table that holds itself: all three entries of some addresses lie in one line
        made.store_u64(ROOT + 8 * 5, ROOT >> 12 << 10 | V)
        for _ in range(150):
            address = draw.choice([*pages, 5 << 30 | 5 << 21 | draw.randrange(16) << 12, draw.getrandbits(38)])
            shown = view.page_walk(made, address)
            known = bool(shown.buffered)
            before = int(made.m[stall])
            translate(made.m, np.uint64(address), LOAD)
            if not known:
                assert shown.cycles == int(made.m[stall]) - before, repr(shown)
                assert shown.cycles == shown.buffer_cycles + sum(step.cycles for step in shown.levels)
            for step in shown.levels:
                seen.add((step.cached, step.cycles))
            if draw.random() < 0.3:  # something else uses the caches
                l1d(made.m, np.uint64(BASE + 64 * draw.randrange(1 << 14)), np.uint64(draw.randrange(2)))
    timing = made.profile
    paid = {("L1D", 0), ("L2", timing.l2_cycles), ("memory", timing.memory_cycles)}
    assert {pair for pair in seen if pair[0]} == (set() if profile == "untimed" else paid)
    assert "cycles" in repr(view.page_walk(made, pages[0])) or profile == "untimed"


# ---- one and many ----------------------------------------------------------------------------------------------------------


def test_one_is_singular_everywhere():
    """With every number of a heading or a remark at one, no plural follows it."""
    lone = replace(
        PROFILES["athlon64"],
        name="lone",
        l1i_bytes=64,
        l1i_ways=1,
        l1d_bytes=64,
        l1d_ways=1,
        l2_bytes=64,
        l2_ways=1,
        itlb_entries=1,
        dtlb_entries=1,
    )
    made = Machine(profile=lone, ram="4M")
    made.write(BASE, assemble("lb t0, 0(t1)\nadd a0, a0, a0\n", BASE).code)
    made.m[s.PC], made.m[6] = BASE, BASE + 0x1000
    made.run(cycles=1)
    for name, value in (("CYCLES", 1), ("INSTRET", 1)):
        made.m[getattr(s, name)] = value
    shown = [ask(made) for ask in VIEWS.values()] + [view.memory(made, BASE, 1), view.cache(made, "l2", set=0), view.cache(made, "l1d")]
    shown.append(replace(view.cache(made, "l1d"), sets=2, words=np.array([[2], [4]], dtype=np.uint64), most=1))
    texts = "\n".join(repr(one) for one in shown)
    assert "1 instruction, 1 cycle" in texts and "1 set of 1 way; 1 line held" in texts and "and 1 more set;" in texts
    assert not re.findall(r"(?<![\d.,x])1 (?:more )?[a-z]*[a-rt-z]s\b", texts)


# ---- memory ----------------------------------------------------------------------------------------------------------------


def test_memory_at_physical_addresses():
    made = machine(b"")
    data = random.Random(3).randbytes(200)
    made.write(DATA, data)
    for count in (1, 15, 16, 17, 200):
        shown = view.memory(made, DATA, count)
        assert shown.data == data[:count] and not shown.problem
        assert b"".join(row.data for row in shown.rows) == data[:count]
    assert shown.words(8) == np.frombuffer(data, "<u8").tolist() and shown.words(4, signed=True) == np.frombuffer(data, "<i4").tolist()
    made.write(DATA, b"Hello, world\n\0\xff")
    assert "48 65 6c 6c 6f 2c 20 77  6f 72 6c 64 0a 00 ff" in repr(view.memory(made, DATA, 16)) and "Hello, world" in repr(
        view.memory(made, DATA, 16)
    )
    assert f"{int.from_bytes(b'Hello, w', 'little'):016x}" in repr(view.memory(made, DATA, 16, width=8))


def test_memory_that_is_not_there_is_one_message():
    made = machine(b"", ram="4M")
    end = BASE + (4 << 20)
    shown = view.memory(made, end - 20, 64)
    assert len(shown.data) == 20 and shown.problem == f"{end:#x} lies outside RAM, which goes from 0x80000000 to {end - 1:#x}"
    assert "outside RAM" in view.memory(made, 0, 8).problem and "UART" in view.memory(made, 0x1000_0000, 8).problem
    assert len(repr(view.memory(made, 0, 8)).splitlines()) == 2
    assert "outside RAM" in view.memory(made, (1 << 64) - 4, 64).problem
    for bad, why in (({"count": 0}, "between 1"), ({"count": 1 << 20}, "65536"), ({"width": 3}, "1, 2, 4 or 8")):
        with pytest.raises(ValueError, match=why):
            view.memory(made, BASE, **bad)


def test_memory_at_virtual_addresses_crosses_pages():
    made = mapped(BASE + 0x30_0000 >> 12 << 10 | V | R | A)
    made.store_u64(ROOT + 8192 + 8, BASE + 0x20_0000 + 0x5_0000 >> 12 << 10 | V | W | R)
    first, second = random.Random(1).randbytes(4096), random.Random(2).randbytes(4096)
    made.write(BASE + 0x30_0000, first)
    made.write(BASE + 0x25_0000, second)
    shown = view.memory(made, 0x4000_0FF0, 32)
    assert shown.virtual and shown.data == first[-16:] + second[:16]
    assert [row.physical for row in shown.rows] == [BASE + 0x30_0FF0, BASE + 0x25_0000]
    shown = view.memory(made, 0x4000_1FF0, 32)
    assert shown.data == second[-16:] and "0x40002000 is not mapped: the level 0 entry is not valid" in shown.problem
    assert not view.memory(made, BASE, 16, virtual=False).virtual


def test_addresses_as_a_student_writes_them():
    made = machine(b"", x2=DATA + 64)
    shown = view.Views(made, symbols={"main": BASE + 8, "table": DATA, "a0": 5, ".L3": 1, "$x": 2})
    for text, expected in (
        ("main", BASE + 8), ("main+8", BASE + 16), ("main + 0x10", BASE + 24), ("sp-16", DATA + 48), ("x2", DATA + 64), ("fp", 0),
        ("pc", BASE), ("0x80000000", BASE), ("0x8000_0000+4", BASE + 4), ("64", 64), ("a0", 5), (BASE, BASE), (-1, (1 << 64) - 1),
        (np.uint64(7), 7),
    ):  # fmt: skip
        assert shown.address(text) == expected, text
    for text in ("mian", "", "0x", "main+", "main*2", "12fg", "sp-sp", None, 1.5, True, "main+0x", "１２"):
        with pytest.raises(ValueError, match="is no address"):
            shown.address(text)
    with pytest.raises(ValueError, match="did you mean main"):
        shown.address("mian")
    assert "<table>" in repr(shown.memory("table", 16)) and "<main+" not in repr(shown.memory(DATA + 0x2000, 16))


# ---- together ---------------------------------------------------------------------------------------------------------------------


def test_the_same_as_methods():
    made = machine("li a0, 1\nwfi")
    made.run(cycles=100)
    assert made.view.registers().rows == view.registers(made).rows
    assert repr(made.view.page_walk("pc")) == repr(view.page_walk(made, "pc"))
    assert "Where the cycles went" in repr(made.view) and set(REGISTER_NAMES) < {row.name for row in made.view.registers().rows}
    board = Board(ram="4M")
    board.symbols = {"here": BASE}
    board.machine.m[s.PC] = BASE
    assert board.view.registers().names[BASE] == "here" and "<here>" in repr(view.registers(board))


def test_names_cannot_break_a_page():
    named = view.Views(machine("j there\nthere: wfi"), symbols={"<script>alert(1)</script>": BASE, "a\"b'c&": BASE + 4})
    html = named._repr_html_() + named.memory(BASE).html() + named.page_walk(BASE)._repr_html_()
    assert "<script" not in html and 'a"b' not in html and "&lt;script&gt;" in html


def test_p_words_are_those_of_the_profile():
    """The views read sizes from the state, so a snapshot of another machine is read with its own."""
    for name, about in PROFILES.items():
        made = Machine(profile=name, ram="64K")
        shown = view.caches(made.snapshot())
        for cache in ("l1i", "l1d", "l2"):
            assert shown[cache].sets * shown[cache].ways * p.LINE == getattr(about, f"{cache}_bytes")
        assert view.tlbs(made).capacity == {"ITLB": about.itlb_entries, "DTLB": about.dtlb_entries, "L2 TLB": about.l2tlb_entries}
