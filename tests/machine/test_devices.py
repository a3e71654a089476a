"""The board's devices, register by register, and as a program sees them."""

from __future__ import annotations

import numpy as np
import pytest
from bench import BASE, machine

from singlab.machine import Board
from singlab.machine import devices as d
from singlab.machine import state as s
from singlab.machine.asm import assemble, encode

W = np.uint64
FULL = (1 << 64) - 1
HANDLER = BASE + 0x400
RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)


class Bus:
    """A board's devices, read and written from outside as the hart would."""

    def __init__(self):
        self.board = Board(ram="1M")
        self.m = self.board.machine.m

    def read(self, address: int, width: int = 4) -> int:
        return int(d.mmio_read(self.m, W(address), W(width))) & (1 << 8 * width) - 1

    def write(self, address: int, value: int, width: int = 4) -> None:
        d.mmio_write(self.m, W(address), W(width), W(value))

    def uart(self, register: int, value: int | None = None) -> int | None:
        if value is None:
            return self.read(d.UART + register, 1)
        return self.write(d.UART + register, value, 1)

    @property
    def external(self) -> int:
        return int(self.m[s.EXTERNAL])

    def line(self, source: int, high: bool) -> None:
        """Set an interrupt line of a device that is not there."""
        bits = int(self.m[d.LINES])
        self.m[d.LINES] = bits | 1 << source if high else bits & ~(1 << source)
        d.plic_update(self.m)

    def plic(self, offset: int, value: int | None = None) -> int | None:
        return self.read(d.PLIC + offset) if value is None else self.write(d.PLIC + offset, value)


@pytest.fixture
def bus():
    return Bus()


# ---- CLINT ----------------------------------------------------------------------------------------------------------


def test_software_interrupt(bus):
    bus.write(d.CLINT, 1)
    assert int(bus.m[s.MIP]) == 8 and bus.read(d.CLINT) == 1
    bus.write(d.CLINT, 0xFFFF_FFFE)
    assert int(bus.m[s.MIP]) == 0 and bus.read(d.CLINT) == 0, "only bit 0 is there"


def test_timer_compare_in_one_and_in_two_halves(bus):
    bus.write(d.CLINT + 0x4000, 0x1122_3344_5566_7788, 8)
    assert bus.read(d.CLINT + 0x4000, 8) == 0x1122_3344_5566_7788
    assert bus.read(d.CLINT + 0x4000) == 0x5566_7788 and bus.read(d.CLINT + 0x4004) == 0x1122_3344
    bus.write(d.CLINT + 0x4004, 0xFFFF_FFFF)
    bus.write(d.CLINT + 0x4000, 5)
    assert int(bus.m[s.MTIMECMP]) == 0xFFFF_FFFF_0000_0005


def test_time(bus):
    bus.m[s.CYCLES] = 0x1_2345_6789
    assert bus.read(d.CLINT + 0xBFF8, 8) == 0x1_2345_6789
    assert bus.read(d.CLINT + 0xBFF8) == 0x2345_6789 and bus.read(d.CLINT + 0xBFFC) == 1


@pytest.mark.parametrize("offset", [4, 8, 0x3FF8, 0x4008, 0x8000, 0xBFF0, 0xC000, 0xFFF8])
def test_the_rest_of_the_clint_is_empty(bus, offset):
    """Only hart 0 is there."""
    before = bus.m.copy()
    bus.write(d.CLINT + offset, FULL, 8 if offset % 8 == 0 else 4)
    assert bus.read(d.CLINT + offset, 4) == 0 and (bus.m == before).all()


# ---- PLIC -----------------------------------------------------------------------------------------------------------

ENABLE = (0x2000, 0x2080)
THRESHOLD = (0x20_0000, 0x20_1000)
CLAIM = (0x20_0004, 0x20_1004)
BIT = (1 << 11, 1 << 9)


@pytest.mark.parametrize("context", [0, 1])
def test_an_interrupt_goes_through_claim_and_completion(bus, context):
    bus.plic(4 * 3, 1)
    bus.line(3, True)
    assert bus.plic(0x1000) == 8 and bus.external == 0, "pending, and nobody wants it"
    bus.plic(ENABLE[context], 8)
    assert bus.external == BIT[context]
    assert bus.plic(CLAIM[context]) == 3
    assert bus.external == 0 and bus.plic(0x1000) == 0, "served"
    assert bus.plic(CLAIM[context]) == 0, "and nobody gets it twice"
    bus.plic(CLAIM[context], 3)
    assert bus.external == BIT[context], "the line is still high"
    assert bus.plic(CLAIM[context]) == 3
    bus.line(3, False)
    bus.plic(CLAIM[context], 3)
    assert bus.external == 0 and bus.plic(0x1000) == 0


def test_a_request_stays_when_its_line_falls_before_it_is_claimed(bus):
    """PLIC specification, chapter on gateways: the handler finds out that there is nothing to do any more."""
    bus.plic(4 * 3, 1)
    bus.plic(ENABLE[1], 8)
    bus.line(3, True)
    bus.line(3, False)
    assert bus.external == BIT[1] and bus.plic(CLAIM[1]) == 3
    bus.plic(CLAIM[1], 3)
    assert bus.external == 0


def test_claiming_takes_the_highest_priority_then_the_lowest_number(bus):
    for source, priority in ((5, 2), (9, 7), (2, 2), (12, 7), (31, 1)):
        bus.plic(4 * source, priority)
        bus.line(source, True)
    bus.plic(ENABLE[1], 0xFFFF_FFFF)
    assert [bus.plic(CLAIM[1]) for _ in range(6)] == [9, 12, 2, 5, 31, 0]


def test_a_threshold_masks_what_is_not_above_it(bus):
    bus.plic(4 * 4, 3)
    bus.plic(ENABLE[0], 1 << 4)
    bus.plic(ENABLE[1], 1 << 4)
    bus.line(4, True)
    for threshold, wanted in ((0, True), (2, True), (3, False), (7, False)):
        bus.plic(THRESHOLD[1], threshold)
        assert (bus.external & BIT[1] != 0) == wanted
        assert bus.external & BIT[0], "of its own context only"
    bus.plic(4 * 4, 0)
    bus.plic(THRESHOLD[1], 0)
    assert bus.external == 0, "priority 0 never interrupts"


def test_what_the_plics_registers_hold(bus):
    for offset, written, read in (
        (0, 7, 0), (4, FULL, 7), (4 * 31, 5, 5), (4 * 32, 5, 0), (0x1000, FULL, 0), (0x1004, FULL, 0), (0x2000, FULL, 0xFFFF_FFFE),
        (0x2004, FULL, 0), (0x2080, 0x400, 0x400), (0x2084, FULL, 0), (0x2100, FULL, 0), (0x20_0000, FULL, 7), (0x20_1000, 3, 3), (0x20_2000, 7, 0),
        (0x20_0008, 7, 0),
    ):  # fmt: skip
        bus.plic(offset, written & 0xFFFF_FFFF)
        assert bus.plic(offset) == read, hex(offset)


def test_completion_of_what_was_not_claimed_changes_nothing(bus):
    bus.plic(4 * 3, 1)
    bus.plic(ENABLE[1], 8)
    bus.line(3, True)
    assert bus.plic(CLAIM[1]) == 3
    for wrong in (0, 4, 31, 32, 0xFFFF_FFFF):
        bus.plic(CLAIM[1], wrong)
        assert bus.plic(CLAIM[1]) == 0
    bus.plic(CLAIM[0], 3)
    assert bus.external == 0, "the machine's context has source 3 not enabled, so its completion is ignored"
    bus.plic(CLAIM[1], 3)
    assert bus.external == BIT[1]


def test_both_contexts_see_it_and_one_gets_it(bus):
    bus.plic(4 * 10, 1)
    for enable in ENABLE:
        bus.plic(enable, 1 << 10)
    bus.line(10, True)
    assert bus.external == BIT[0] | BIT[1]
    assert bus.plic(CLAIM[0]) == 10 and bus.external == 0 and bus.plic(CLAIM[1]) == 0


# ---- UART -----------------------------------------------------------------------------------------------------------


def test_output(bus):
    for character in b"hello":
        bus.uart(RBR, character)
        assert bus.uart(LSR) & 0x60 == 0x60, "there is always room"
    bus.board._drain()
    assert bytes(bus.board.printed) == b"hello"


def test_a_full_queue_asks_for_the_host(bus):
    for number in range(d.TX_ROOM):
        assert not bus.m[s.STOP], number
        bus.uart(RBR, number & 0xFF)
    assert bus.m[s.STOP]
    bus.board._drain()
    assert bytes(bus.board.printed) == bytes(n & 0xFF for n in range(d.TX_ROOM))


def test_input(bus):
    assert bus.uart(LSR) & 1 == 0 and bus.uart(RBR) == 0
    assert bus.board.type(b"ab") == 2
    assert bus.uart(LSR) & 1 and bus.uart(RBR) == ord("a") and bus.uart(RBR) == ord("b")
    assert bus.uart(LSR) & 1 == 0


def test_input_beyond_the_queue_is_left_to_the_caller(bus):
    data = bytes(range(256)) * 2
    assert bus.board.type(data) == d.RX_ROOM
    assert bus.board.type(b"x") == 0
    assert bytes(bus.uart(RBR) for _ in range(10)) == data[:10]
    assert bus.board.type(b"y" * 20) == 10
    assert bytes(bus.uart(RBR) for _ in range(d.RX_ROOM)) == data[10 : d.RX_ROOM] + b"y" * 10


def test_registers_keep_what_is_written(bus):
    for register, written, read in ((SCR, 0xA5, 0xA5), (LCR, 0x1B, 0x1B), (MCR, 0xFF, 0x1F), (IER, 0xFF, 0x0F)):
        bus.uart(register, written)
        assert bus.uart(register) == read


def test_the_divisor_hides_behind_dlab(bus):
    bus.uart(IER, 1)
    bus.uart(LCR, 0x83)
    bus.uart(RBR, 0x34)
    bus.uart(IER, 0x12)
    assert (bus.uart(RBR), bus.uart(IER)) == (0x34, 0x12)
    bus.uart(LCR, 3)
    assert bus.uart(IER) == 1 and bus.uart(RBR) == 0
    bus.board._drain()
    assert not bus.board.printed, "the divisor is not sent"


def test_interrupt_identification(bus):
    assert bus.uart(IIR) == 1, "nothing pending, no FIFO"
    bus.uart(IIR, 1)
    assert bus.uart(IIR) == 0xC1, "the FIFO is on"
    bus.uart(IER, 2)
    assert bus.uart(IIR) == 0xC2, "turning it on tells that there is room to write"
    assert bus.uart(IIR) == 0xC1, "and reading it is being told"
    bus.uart(RBR, ord("x"))
    assert bus.uart(IIR) == 0xC2
    bus.uart(IER, 3)
    bus.board.type(b"k")
    bus.uart(RBR, ord("x"))
    assert [bus.uart(IIR) for _ in range(2)] == [0xC4, 0xC4], "input comes first, and stays until it is read"
    bus.uart(RBR)
    assert [bus.uart(IIR) for _ in range(2)] == [0xC2, 0xC1]
    bus.uart(IER, 0)
    bus.board.type(b"k")
    assert bus.uart(IIR) == 0xC1, "what is not enabled is not identified"


def test_the_interrupt_line(bus):
    bus.plic(4 * d.UART_IRQ, 1)
    bus.plic(ENABLE[1], 1 << d.UART_IRQ)
    bus.board.type(b"k")
    assert bus.external == 0
    bus.uart(IER, 1)
    assert bus.external == BIT[1] and bus.plic(CLAIM[1]) == d.UART_IRQ
    bus.plic(CLAIM[1], d.UART_IRQ)
    assert bus.external == BIT[1], "the byte is still there"
    assert bus.plic(CLAIM[1]) == d.UART_IRQ
    assert bus.uart(RBR) == ord("k")
    bus.plic(CLAIM[1], d.UART_IRQ)
    assert bus.external == 0


def test_clearing_the_receiver(bus):
    bus.board.type(b"old")
    bus.uart(IIR, 3)
    assert bus.uart(LSR) & 1 == 0
    bus.board.type(b"n")
    assert bus.uart(RBR) == ord("n")


def test_loop_back(bus):
    """What is sent is received, and modem control comes back as modem status."""
    assert bus.uart(MSR) == 0xB0
    bus.uart(MCR, 0x1E)
    bus.uart(RBR, 0xAE)
    assert bus.uart(LSR) & 1 and bus.uart(RBR) == 0xAE
    for control, status in ((0x11, 0x20), (0x12, 0x10), (0x14, 0x40), (0x18, 0x80), (0x1F, 0xF0), (0x10, 0)):
        bus.uart(MCR, control)
        assert bus.uart(MSR) == status
    bus.uart(MCR, 0x0F)
    bus.uart(RBR, ord("A"))
    bus.board._drain()
    assert bytes(bus.board.printed) == b"A"


# ---- finisher and empty slots ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "code"), [(0x5555, 0), (0x3333 | 7 << 16, 7), (0x3333, 0), (0x3333 | 0xFFFF << 16, 0xFFFF)])
def test_the_finisher(bus, value, code):
    bus.write(d.FINISHER, value)
    assert bus.m[s.STOP] and int(bus.m[s.EXIT]) == code + 1


def test_the_finisher_takes_nothing_else(bus):
    for value in (0, 1, 0x1234, 0x5554):
        bus.write(d.FINISHER, value)
    bus.write(d.FINISHER + 4, 0x5555)
    assert not bus.m[s.STOP] and not bus.m[s.EXIT] and bus.read(d.FINISHER) == 0


# ---- as a program sees them -----------------------------------------------------------------------------------------


def program(text: str, mode: int = s.M_MODE, **options):
    """Run code whose traps end at a hook; returns the machine."""
    code = assemble(text, BASE).code.ljust(0x400, b"\0") + encode("hook", 1).to_bytes(4, "little")
    made = machine(code, **options)
    made.m[s.MTVEC], made.m[s.MODE] = HANDLER, mode
    assert made.run(cycles=1_000_000) == "hook"
    return made


EMPTY = [0, 0x1000, d.FINISHER - 1, d.FINISHER + d.FINISHER_BYTES, d.CLINT - 8, d.CLINT + d.CLINT_BYTES, d.PLIC - 4, d.PLIC + d.PLIC_BYTES, d.UART - 1,
         d.UART + d.UART_BYTES, BASE - 8, BASE + (4 << 20), 1 << 56, 1 << 63, FULL - 7, BASE + (1 << 32), d.UART + (1 << 32)]  # fmt: skip


@pytest.mark.parametrize("address", EMPTY)
@pytest.mark.parametrize(
    ("name", "cause"), [("lb", 5), ("lhu", 5), ("ld", 5), ("sb", 7), ("sd", 7), ("lr.w", 5), ("sc.d", 7), ("amoadd.w", 7)]
)
def test_where_nothing_is_an_access_faults(address, name, cause):
    address &= ~7
    place = "(a1)" if "." in name else "0(a1)"
    operands = {"lr.w": f"a0, {place}", "sc.d": f"a0, a2, {place}", "amoadd.w": f"a0, a2, {place}"}.get(name, f"a0, {place}")
    found = program(f"li a0, 77\nli a1, {address - (1 << 64) if address >> 63 else address}\n{name} {operands}\nhook 2")
    m = found.m
    assert (int(m[s.MCAUSE]), int(m[s.MTVAL])) == (cause, address) and int(m[s.HOOK_NUMBER]) == 1
    assert found.registers()["a0"] == 77 and int(m[s.MEPC]) % 4 == 0


@pytest.mark.parametrize("address", [d.UART, d.CLINT, d.CLINT + 0x4000, d.PLIC + 4, d.FINISHER, d.VIRTIO])
@pytest.mark.parametrize(
    "text", ["lr.w a0, (a1)", "amoswap.w a0, a0, (a1)", "sc.w a0, a0, (a1)", "ld a0, 1(a1)", "lw a0, 2(a1)", "sh a0, 1(a1)", "jr a1"]
)
def test_what_devices_do_not_take_faults(address, text):
    """Atomic and misaligned accesses, and fetches."""
    found = program(f"li a1, {address}\n{text}\nhook 2")
    expected = 1 if text.startswith("jr") else 5 if text[0] == "l" else 7
    assert int(found.m[s.MCAUSE]) == expected and int(found.m[s.HOOK_NUMBER]) == 1
    assert int(found.m[s.MTVAL]) == address + int(text[-5]) if text[-5].isdigit() else address


@pytest.mark.parametrize("number", range(8))
def test_an_empty_slot_answers_as_one(number):
    at = d.VIRTIO + 0x1000 * number
    found = program(f"li a1, {at}\nlw a2, 0(a1)\nlw a3, 4(a1)\nlw a4, 8(a1)\nsw a1, 16(a1)\nhook 2").registers()
    assert (found["a2"], found["a4"]) == (0x7472_6976, 0), "its magic, and device number 0"


def test_loads_extend_what_a_device_says():
    text = f"li a1, {d.UART}\nli a0, 0xf1\nsb a0, 7(a1)\nlb a2, 7(a1)\nlbu a3, 7(a1)\nhook 2"
    found = program(text).registers()
    assert found["a2"] == FULL - 0xE and found["a3"] == 0xF1
    text = f"li a1, {d.CLINT + 0x4000}\nli a0, -1\nsd a0, 0(a1)\nlw a2, 0(a1)\nlwu a3, 4(a1)\nlhu a4, 2(a1)\nld a5, 0(a1)\nhook 2"
    found = program(text).registers()
    assert (found["a2"], found["a3"], found["a4"], found["a5"]) == (FULL, 0xFFFF_FFFF, 0xFFFF, FULL)


def test_a_store_to_msip_interrupts_before_the_next_instruction():
    text = f"li t0, 8\ncsrw mie, t0\ncsrw mstatus, t0\nli a1, {d.CLINT}\nli a0, 1\nplace: sw a0, 0(a1)\nhook 2"
    found = program(text)
    assert int(found.m[s.MCAUSE]) == 1 << 63 | 3 and int(found.m[s.HOOK_NUMBER]) == 1
    assert int(found.m[s.MEPC]) == BASE + len(assemble(text, BASE).code) - 4, "the hook behind the store"


def test_a_timer_handler_in_the_manner_of_teaching_kernels():
    """Machine-level handler with a scratch area in mscratch: it moves mtimecmp on and raises the supervisor's software interrupt."""
    text = f"""
        la   t0, scratch
        csrw mscratch, t0
        li   t1, {d.CLINT + 0x4000}
        sd   t1, 24(t0)
        li   t2, 5000
        sd   t2, 32(t0)
        li   t3, {d.CLINT + 0xBFF8}
        ld   t4, 0(t3)
        add  t4, t4, t2
        sd   t4, 0(t1)
        la   t0, timer
        csrw mtvec, t0
        la   t0, tick
        csrw stvec, t0
        li   t0, 0x222
        csrw mideleg, t0
        csrw sie, t0
        li   t0, 0x80
        csrw mie, t0
        csrs sie, t0
        li   t0, 0x2
        csrs mie, t0
        li   t0, 0x882        # previous mode supervisor, interrupts on after
        csrw mstatus, t0
        la   t0, there
        csrw mepc, t0
        mret
    there:
        j    there
        .align 2
    timer:
        csrrw a0, mscratch, a0
        sd   a1, 0(a0)
        sd   a2, 8(a0)
        sd   a3, 16(a0)
        ld   a1, 24(a0)
        ld   a2, 32(a0)
        ld   a3, 0(a1)
        add  a3, a3, a2
        sd   a3, 0(a1)
        li   a1, 2
        csrw sip, a1
        ld   a3, 16(a0)
        ld   a2, 8(a0)
        ld   a1, 0(a0)
        csrrw a0, mscratch, a0
        mret
        .align 2
    tick:
        csrr s2, scause
        csrr t0, sip
        andi t0, t0, -3
        csrw sip, t0
        addi s1, s1, 1
        li   t0, 10
        beq  s1, t0, done
        sret
    done:
        hook 3
        .align 3
    scratch: .dword 0, 0, 0, 0, 0
    """
    made = machine(assemble(text, BASE).code)
    assert made.run(cycles=2_000_000) == "hook" and int(made.m[s.HOOK_NUMBER]) == 3
    found = made.registers()
    assert found["s1"] == 10 and found["s2"] == 1 << 63 | 1
    assert 50_000 <= int(made.m[s.CYCLES]) < 60_000


def test_the_uart_interrupts_a_supervisor_through_the_plic():
    text = f"""
        li   t0, {d.PLIC}
        li   t1, 1
        sw   t1, {4 * d.UART_IRQ}(t0)
        li   t1, {1 << d.UART_IRQ}
        li   t2, {d.PLIC + 0x2080}
        sw   t1, 0(t2)
        li   t2, {d.PLIC + 0x201000}
        sw   zero, 0(t2)
        li   t3, {d.UART}
        li   t1, 1
        sb   t1, 1(t3)
        la   t1, handler
        csrw stvec, t1
        li   t1, 0x200
        csrw sie, t1
        csrsi sstatus, 2
    wait: wfi
        j    wait
        .align 2
    handler:
        csrr s2, scause
        lw   s3, 4(t2)
        lbu  s4, 0(t3)
        sw   s3, 4(t2)
        csrr s5, sip
        hook 4
    """.replace("csrsi sstatus, 2", "csrrsi zero, sstatus, 2")  # fmt: skip
    board = Board(ram="4M")
    made = board.machine
    made.write(BASE, assemble(text, BASE).code)
    made.leave_machine_level()
    assert made.run(cycles=100_000) == "wfi"
    board.type(b"!")
    assert made.run(cycles=100_000) == "hook"
    found = made.registers()
    assert (found["s2"], found["s3"], found["s4"], found["s5"]) == (1 << 63 | 9, d.UART_IRQ, ord("!"), 0)
