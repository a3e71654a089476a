"""The machine level: delegation, mret, status fields, views, counters, priorities of interrupts."""

from __future__ import annotations

import pytest
from bench import BASE, machine, run

from singlab.machine import state as s
from singlab.machine.asm import assemble, encode
from singlab.machine.isa import CSRS

M_HANDLER, S_HANDLER, CODE = BASE + 0x100, BASE + 0x180, BASE + 0x200
HOOK = encode("hook", 1).to_bytes(4, "little")


def trapped(text: str, mode: int = s.U, medeleg: int = 0, mideleg: int = 0, **state: int):
    """Run code until a handler; returns the machine and the level ("M" or "S") whose handler it stands in."""
    code = bytes(0x100) + HOOK + bytes(0x7C) + HOOK + bytes(0x7C) + assemble(text, CODE).code
    made = machine(code)
    made.m[s.PC], made.m[s.MODE], made.m[s.MTVEC], made.m[s.STVEC] = CODE, mode, M_HANDLER, S_HANDLER
    made.m[s.MEDELEG], made.m[s.MIDELEG] = medeleg, mideleg
    for name, value in state.items():
        made.m[getattr(s, name)] = value
    assert made.run(cycles=50_000) == "hook"
    place = int(made.m[s.PC])
    assert place in (M_HANDLER, S_HANDLER), f"stands at {place:#x}"
    return made, "M" if place == M_HANDLER else "S"


def status(made) -> dict[str, int]:
    """Return the fields of mstatus."""
    v = int(made.m[s.SSTATUS])
    return {"SIE": v >> 1 & 1, "MIE": v >> 3 & 1, "SPIE": v >> 5 & 1, "MPIE": v >> 7 & 1, "SPP": v >> 8 & 1, "MPP": v >> 11 & 3,
            "MPRV": v >> 17 & 1}  # fmt: skip


@pytest.mark.parametrize("delegated", [False, True])
@pytest.mark.parametrize(("mode", "cause"), [(s.U, 8), (s.S, 9), (s.M_MODE, 11)])
def test_delegation_of_calls(mode, cause, delegated):
    made, level = trapped("ecall", mode, medeleg=0xFFFF if delegated else 0)
    expected = "S" if delegated and mode != s.M_MODE else "M"
    assert level == expected
    word = s.SCAUSE if level == "S" else s.MCAUSE
    assert int(made.m[word]) == cause
    assert int(made.m[s.SEPC if level == "S" else s.MEPC]) == CODE
    assert (status(made)["SPP"] if level == "S" else status(made)["MPP"]) == mode


def test_only_the_delegated_causes_go_to_the_supervisor():
    assert trapped("ebreak", s.U, medeleg=1 << 3)[1] == "S"
    assert trapped(".word 0", s.U, medeleg=1 << 3)[1] == "M"


def test_traps_of_the_machine_level_stay_there():
    made, level = trapped(".word 0", s.M_MODE, medeleg=0xFFFF)
    assert level == "M" and status(made)["MPP"] == 3


def test_mret_goes_where_mpp_says_and_mpp_becomes_user():
    text = f"la t0, there\ncsrw mepc, t0\nli t0, {1 << 11 | 1 << 7 | 1 << 17}\ncsrw mstatus, t0\nmret\nthere: ecall"
    made, level = trapped(text, s.M_MODE)
    assert level == "M" and int(made.m[s.MCAUSE]) == 9
    found = status(made)
    assert found["MPP"] == 1 and found["MPIE"] == 1 and found["MPRV"] == 0, "MPIE came back as MIE, and MPRV is off below M"


@pytest.mark.parametrize("text", ["mret", "csrr a0, mstatus", "csrw mscratch, a0", "csrr a0, mhartid", "csrr a0, 0x7c0", "csrr a0, 0x3a0"])
def test_the_supervisor_may_not(text):
    made, level = trapped(text, s.S)
    assert level == "M" and int(made.m[s.MCAUSE]) == 2


@pytest.mark.parametrize(("bit", "text"), [(20, "csrr a0, satp"), (20, "sfence.vma"), (21, "wfi"), (22, "sret")])
def test_what_the_machine_level_keeps_the_supervisor_from(bit, text):
    """TVM, TW and TSR."""
    made, _ = trapped(f"{text}\necall", s.S, mideleg=0x222, SSTATUS=1 << bit, SEPC=CODE, SIE=0x20, MENVCFG=1 << 63, TIMECMP=0)
    assert int(made.m[s.MCAUSE]) == 2
    if text != "sret":
        made, _ = trapped(f"{text}\necall", s.S, mideleg=0x222, SIE=0x20, MENVCFG=1 << 63, TIMECMP=0)
        assert int(made.m[s.MCAUSE]) == 9


FIELDS = [
    ("misa", (1 << 64) - 1, 2 << 62 | sum(1 << ord(c) - 97 for c in "acimsu")), ("mhartid", None, 0), ("mvendorid", None, 0),
    ("medeleg", (1 << 64) - 1, 0xB3FF), ("mideleg", (1 << 64) - 1, 0x222), ("mie", (1 << 64) - 1, 0xAAA), ("mtvec", (1 << 64) - 1, (1 << 64) - 3),
    ("mepc", (1 << 64) - 1, (1 << 64) - 2), ("mscratch", 0x1234_5678_9ABC_DEF0, 0x1234_5678_9ABC_DEF0), ("mcounteren", (1 << 64) - 1, 0xFFFF_FFFF),
    ("menvcfg", (1 << 64) - 1, 1 << 63 | 1), ("mstatus", (1 << 64) - 1, 10 << 32 | 0x7E_19AA), ("sstatus", (1 << 64) - 1, 2 << 32 | 0xC_0122),
    ("mstatus", 2 << 11, 10 << 32), ("0x3b0", (1 << 54) - 1, 0), ("0x3a0", 0x1F, 0), ("0x323", 7, 1),
]  # fmt: skip


@pytest.mark.parametrize(("csr", "written", "read"), FIELDS)
def test_fields_hold_only_what_they_may(csr, written, read):
    store = f"csrw {csr}, a0\n" if written is not None else ""
    made = run(f"{store}csrr a1, {csr}\nwfi", x10=written or 0)
    assert made.registers()["a1"] == read, hex(made.registers()["a1"])


def test_the_supervisors_registers_are_views():
    text = """
        li   t0, 0x222
        csrw mideleg, t0
        li   t0, 0xaaa
        csrw mie, t0
        csrr a0, sie          # only what is delegated
        csrw sie, zero
        csrr a1, mie          # the machine's own stay
        li   t0, 0x202
        csrw mip, t0
        csrr a2, sip
        csrw sip, zero        # software may clear SSIP, not SEIP
        csrr a3, mip
        wfi
    """
    found = run(text).registers()
    assert [found[f"a{i}"] for i in range(4)] == [0x222, 0x888, 0x202, 0x200]


def test_without_stce_the_machine_drives_the_supervisors_timer():
    text = "li t0, 0x20\ncsrw mip, t0\ncsrr a0, mip\nli t0, -1\nslli t0, t0, 63\ncsrw menvcfg, t0\ncsrr a1, mip\nwfi"
    found = run(text).registers()
    assert found["a0"] & 0x20 and not found["a1"] & 0x20
    made, level = trapped("csrr a0, stimecmp", s.S)
    assert level == "M" and int(made.m[s.MCAUSE]) == 2, "the register is not there without STCE"


@pytest.mark.parametrize(
    ("bits", "first"),
    [(0xAAA, 11), (0x2AA, 3), (0x2A2, 7), (0x222, 9), (0x22, 1), (0x20, 5)],
)
def test_the_most_urgent_interrupt_comes_first(bits, first):
    made, level = trapped("loop: j loop", s.U, SIE=0xAAA, MIP=bits & 0xB0A, MTIMECMP=0 if bits & 0x80 else (1 << 64) - 1, MENVCFG=1 << 63,
                          TIMECMP=0 if bits & 0x20 else (1 << 64) - 1)  # fmt: skip
    assert level == "M" and int(made.m[s.MCAUSE]) == 1 << 63 | first


def test_the_machines_interrupts_beat_the_supervisors():
    made, level = trapped("loop: j loop", s.S, mideleg=0x222, SIE=0xAAA, MIP=0x202 | 8, SSTATUS=2)
    assert level == "M" and int(made.m[s.MCAUSE]) == 1 << 63 | 3


@pytest.mark.parametrize(
    ("mode", "bits", "taken"),
    [(s.U, 0, True), (s.S, 0, False), (s.S, 2, True), (s.M_MODE, 2, False)],
)
def test_a_delegated_interrupt_waits_for_its_level(mode, bits, taken):
    code = bytes(0x180) + HOOK + bytes(0x7C) + assemble("loop: addi a0, a0, 1\nj loop", CODE).code
    made = machine(code)
    made.m[s.PC], made.m[s.MODE], made.m[s.STVEC], made.m[s.MIDELEG], made.m[s.SIE], made.m[s.MIP] = CODE, mode, S_HANDLER, 0x222, 0x222, 2
    made.m[s.SSTATUS] = bits
    assert made.run(cycles=2000) == ("hook" if taken else "limit")
    assert made.counters()["interrupts"] == int(taken)


def test_vectored_handlers():
    code = bytes(0x100) + HOOK * 16 + bytes(0xC0) + assemble("loop: j loop", CODE).code
    made = machine(code)
    made.m[s.PC], made.m[s.MTVEC], made.m[s.SIE], made.m[s.SSTATUS], made.m[s.MTIMECMP] = CODE, M_HANDLER | 1, 0x80, 8, 50
    assert made.run(cycles=5000) == "hook" and int(made.m[s.PC]) == M_HANDLER + 4 * 7
    made, _ = trapped("ecall", s.M_MODE, MTVEC=M_HANDLER | 1)
    assert int(made.m[s.PC]) == M_HANDLER, "exceptions go to the base"


def test_counters_are_read_where_they_are_allowed():
    for mcounteren, scounteren, mode, good in ((0, 0, s.S, False), (7, 0, s.S, True), (7, 0, s.U, False), (7, 7, s.U, True), (0, 7, s.U, False)):
        made, _ = trapped("csrr a0, instret\necall", mode, MCOUNTEREN=mcounteren, SCOUNTEREN=scounteren)
        assert (int(made.m[s.MCAUSE]) != 2) == good


def test_event_counters_are_the_machines():
    made = run("lw a0, 0(a1)\ncsrr a2, 0xc05\ncsrr a3, 0xb06\nwfi", x11=BASE + 4096)
    found, counted = made.registers(), made.counters()
    names = s.COUNTERS
    assert names[2] == "l1d_accesses" and found["a2"] == counted["l1d_accesses"] == 1
    assert names[3] == "l1d_misses" and found["a3"] == counted["l1d_misses"] == 1


def test_a_written_counter_goes_on_from_there():
    found = run("li t0, 1000000\ncsrw mcycle, t0\ncsrr a0, cycle\ncsrr a1, time\nwfi").registers()
    assert 1_000_000 <= found["a0"] < 1_001_000 and found["a1"] < 10_000


def test_mprv_uses_the_earlier_levels_rights_for_data_only():
    """With MPRV the machine level loads as MPP would: through the page table, and with its faults."""
    text = f"li t0, {1 << 17 | 1 << 11}\ncsrw mstatus, t0\nli a1, 0x40000000\nld a0, 0(a1)\nhook 1"
    code = bytes(0x100) + HOOK + bytes(0xFC) + assemble(text, CODE).code
    made = machine(code)
    made.m[s.PC], made.m[s.MTVEC] = CODE, M_HANDLER
    root, page = BASE + 0x20_0000, BASE + 0x30_0000
    made.m[s.SATP] = 8 << 60 | root >> 12
    assert made.run(cycles=20_000) == "hook" and int(made.m[s.MCAUSE]) == 13
    made.store_u64(root + 8, (page & ~((1 << 30) - 1)) >> 12 << 10 | 0xCF)
    made.store_u64(BASE, 0x1122)
    made.m[s.PC] = CODE
    made.run(cycles=20_000)
    assert made.registers()["a0"] == 0x1122


def test_a_lost_machine_says_so():
    made = machine(".word 0")
    assert made.run(cycles=10_000) == "lost"


def test_waiting_passes_the_time():
    text = "li t0, 0x80\ncsrw mie, t0\nwfi\ncsrr a0, cycle\nhook 1"
    made = machine(text)
    made.m[s.MTIMECMP] = 1_000_000
    assert made.run(cycles=5_000_000) == "hook"
    assert 1_000_000 <= made.registers()["a0"] < 1_000_300
    assert made.counters()["stall_idle"] > 900_000
    total = sum(v for n, v in made.counters().items() if n.startswith("stall_"))
    assert int(made.m[s.CYCLES]) == int(made.m[s.INSTRET]) + total


def test_no_csr_crashes_the_host():
    """All 4,096 numbers, all three levels, read, written and bits set: a value or an illegal instruction."""
    known = set(CSRS.values())
    for mode in (s.U, s.S, s.M_MODE):
        for number in range(4096):
            words = [encode("csrrs", 10, number, 0), encode("csrrw", 11, number, 12), encode("csrrs", 11, number, 12), encode("hook", 2)]
            if number in (0x305, 0x105, 0x180, 0x300, 0x302, 0x304, 0x303):
                words = words[:1] + words[3:]
            made = machine(b"".join(w.to_bytes(4, "little") for w in words).ljust(0x90, b"\0") + HOOK, ram="64K", mode=s.M_MODE, x12=0x5555)
            made.m[s.MODE], made.m[s.MTVEC] = mode, BASE + 0x90
            assert made.run(cycles=3000) in ("hook", "lost")
            if mode == s.M_MODE and number in known and number >> 10 != 3 and number != CSRS["mcause"]:
                assert int(made.m[s.MCAUSE]) == 0, hex(number)


@pytest.mark.parametrize("number", [0x321, 0x322, 0x3A1, 0x3AF, 0x744, 0x747, 0x7A8, 0xB01, 0xB20, 0xF16, 0x001, 0x003, 0x008, 0x600, 0x5A8])
def test_numbers_that_are_no_register(number):
    """Odd pmpcfg with 64 bits; floating point and vectors; what later extensions have."""
    made, level = trapped(f"csrr a0, {number}", s.M_MODE)
    assert level == "M" and int(made.m[s.MCAUSE]) == 2 and int(made.m[s.MTVAL]) == encode("csrrs", 10, number, 0)


def test_no_triggers():
    """tselect and tdata1 read zero whatever is written: there is no trigger to be found."""
    found = run("li a0, -1\ncsrw 0x7a0, a0\ncsrw 0x7a1, a0\ncsrr a1, 0x7a0\ncsrr a2, 0x7a1\ncsrr a3, 0x7a2\nli a4, 1\nwfi").registers()
    assert [found[f"a{i}"] for i in (1, 2, 3, 4)] == [0, 0, 0, 1]
    assert int(trapped("csrr a0, 0x7a0", s.S)[0].m[s.MCAUSE]) == 2


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (b"\x00\x00", 0), (b"\x02\x80", 0x8002), (b"\xff\xff\xff\xff", 0xFFFF_FFFF), ((0x8000_0073).to_bytes(4, "little"), 0x8000_0073),
        (encode("csrrw", 5, 0x7C0, 6).to_bytes(4, "little"), encode("csrrw", 5, 0x7C0, 6)), (encode("mret").to_bytes(4, "little"), encode("mret")),
        (encode("sfence.vma", 3, 4).to_bytes(4, "little"), encode("sfence.vma", 3, 4)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("place", [0x200, 0xFFE])
def test_an_illegal_instruction_is_shown_by_its_bits(code, value, place, paged):
    """Two bytes or four, and across two pages."""
    made = machine(bytes(0x100) + HOOK + bytes(place - 0x104) + code)
    made.m[s.PC], made.m[s.MODE], made.m[s.MTVEC] = BASE + place, s.U, M_HANDLER
    if paged:
        made.store_u64(BASE + 0x20_0000 + 16, BASE >> 12 << 10 | 0xDF)
        made.m[s.SATP] = 8 << 60 | BASE + 0x20_0000 >> 12
    assert made.run(cycles=5000) == "hook"
    assert (int(made.m[s.MCAUSE]), int(made.m[s.MTVAL]), int(made.m[s.MEPC])) == (2, value, BASE + place)


def test_setting_bits_of_mip_does_not_keep_what_a_device_asserts():
    """What is read of SEIP is software's bit or the device's; what is written back is software's alone."""
    made = machine("li t0, 0x20\ncsrs mip, t0\ncsrr a0, mip\ncsrc mip, t0\nhook 1\ncsrr a1, mip\nhook 1")
    made.m[s.EXTERNAL] = 0x200
    assert made.run(cycles=2000) == "hook"
    assert made.registers()["a0"] == 0x220
    made.m[s.EXTERNAL] = 0
    made.m[s.PC] += 4
    made.run(cycles=2000)
    assert made.registers()["a1"] == 0


def test_a_written_instruction_counter_is_read_as_written():
    """The write stands in place of the count of the instruction that writes."""
    found = run("li t0, 1000\ncsrw minstret, t0\ncsrr a0, minstret\ncsrr a1, minstret\nli t0, -1\ncsrw minstret, t0\ncsrr a2, instret\ncsrr a3, instret\nwfi").registers()
    assert [found[f"a{i}"] for i in range(4)] == [1000, 1001, (1 << 64) - 1, 0]


@pytest.mark.parametrize(("text", "retired"), [("nop\nnop\necall", 2), ("nop\nebreak", 1), ("nop\n.word 0", 1), ("nop\nld a0, 0(zero)", 1), ("li a0, 1\njr a0", 2)])
def test_what_traps_has_not_retired(text, retired):
    made, _ = trapped(text, s.M_MODE)
    assert int(made.m[s.INSTRET]) - 1 == retired, "and the handler's hook"
    stalls = sum(v for n, v in made.counters().items() if n.startswith("stall_"))
    assert int(made.m[s.CYCLES]) == int(made.m[s.INSTRET]) + stalls


@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
def test_a_supervisor_timer_that_is_not_there_disturbs_nobody(profile):
    """stimecmp is due and its interrupt enabled, but without STCE nothing comes of it."""
    made = machine("loop: addi a0, a0, 1\nj loop", profile=profile, mode=s.S)
    made.m[s.MENVCFG], made.m[s.TIMECMP], made.m[s.SIE], made.m[s.SSTATUS] = 0, 0, 0x20, 2
    assert made.run(cycles=3000) == "limit" and made.registers()["a0"] > 1000
    assert made.counters()["interrupts"] == 0


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("lr.w a0, (a1)", 5), ("sc.w a0, a0, (a1)", 7), ("amoadd.d a0, a0, (a1)", 7), ("addi a1, a1, 2\nlr.w a0, (a1)", 4), ("addi a1, a1, 4\nlr.d a0, (a1)", 4),
        ("addi a1, a1, 2\nsc.w a0, a0, (a1)", 6), ("addi a1, a1, 4\namoswap.d a0, a0, (a1)", 6),
    ],
)  # fmt: skip
def test_faults_of_atomic_operations_are_stores(text, cause):
    """Except for load-reserved; the address in mtval is the operation's own."""
    made, _ = trapped(f"li a1, 0x1000\n{text}", s.M_MODE)
    offset = int(text.split(", ")[2].split("\n")[0]) if text.startswith("addi") else 0
    assert (int(made.m[s.MCAUSE]), int(made.m[s.MTVAL])) == (cause, 0x1000 + offset)


@pytest.mark.parametrize("text", ["csrr a0, 0xc00", "csrrsi a0, 0xc00, 0", "csrrci a0, 0xf14, 0"])
def test_reading_a_read_only_register_by_setting_nothing(text):
    assert int(trapped(f"{text}\necall", s.M_MODE)[0].m[s.MCAUSE]) == 11


@pytest.mark.parametrize("text", ["csrrs a0, 0xc00, a1", "csrrc a0, 0xf14, a1", "csrrw a0, 0xf14, zero", "csrrsi a0, 0xc00, 1"])
def test_a_read_only_register_is_not_written_even_with_zero(text):
    """What counts is the field of the instruction, not the value in the register."""
    assert int(trapped(text, s.M_MODE, X=0)[0].m[s.MCAUSE]) == 2


def test_sret_leaves_mprv_behind():
    made, _ = trapped("la t0, there\ncsrw sepc, t0\nli t0, 0x20100\ncsrw mstatus, t0\nsret\nthere: ecall", s.M_MODE)
    assert int(made.m[s.MCAUSE]) == 9 and status(made)["MPRV"] == 0


def test_an_atomic_operation_ends_the_translation_it_writes_into():
    text = "la a1, spot\nlw a2, 0(a1)\naddi a3, zero, 0\nlui a3, 0x100\namoadd.w zero, a3, (a1)\nfence.i\nspot: addi a0, zero, 1\nhook 1"
    made = machine(text)
    made.translate(BASE, 64, [BASE])
    assert made.run(cycles=5000) == "hook"
    assert made.registers()["a0"] == 2 and made.translation.reason is not None


@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
@pytest.mark.parametrize("address", [1, 2, 3, 4, 5, 7, 9, 0x101, 0xFF9])
@pytest.mark.parametrize(("name", "cause"), [("lh", 5), ("lw", 5), ("ld", 5), ("sh", 7), ("sw", 7), ("sd", 7)])
def test_the_first_page_holds_nothing_at_odd_addresses_either(name, cause, address, profile):
    """Where a program with a null pointer goes: nothing is read, and nothing of the machine's own state is written."""
    made = machine(f"la t0, handler\ncsrw mtvec, t0\nli a0, -1\nli a1, {address}\n{name} a0, 0(a1)\n.align 2\nhandler: hook 1", profile=profile)
    assert made.run(cycles=5000) == "hook"
    assert (int(made.m[s.MCAUSE]), int(made.m[s.MTVAL])) == (cause, address)
    assert int(made.m[0]) == 0 and made.registers()["a0"] == (1 << 64) - 1
