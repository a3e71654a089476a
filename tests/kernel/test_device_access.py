"""Device registers and interrupts: a driver SIP runs the 16550, and nobody reaches what its manifest does not declare."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from programs import hand_made

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.image import seal
from singlab.kernel.isolation import SETTINGS
from singlab.kernel.manifest import InstallError, IoMemoryRange
from singlab.machine import devices as d

UART, UART_BYTES, UART_IRQ = 0x1000_0000, 0x100, 10

SOURCE = '''
Serial = contract("""
contract Serial {
    in message Write(byte[]* in ExHeap text);
    in message ReadLine();
    out message Written(uint count);
    out message Line(byte[]* in ExHeap text);
    state Start: one { Write? -> Written! -> Start; ReadLine? -> Line! -> Start; }
}
""")

@function
def put(uart: IoMemory, c: u8):
    while uart.read8(5) & 0x20 == 0:
        yield_()
    uart.write8(0, c)

@sip(category="driver", io_memory=[(0x10000000, 0x100)], interrupts=[10])
def driver(ch: Serial.Exp) -> u64:
    uart = io_memory(0)
    line = interrupt(0)
    uart.write8(3, 0x03)
    uart.write8(2, 0x07)
    uart.write8(1, 0x01)
    taken: u64 = 0
    while True:
        match ch.receive():
            case Serial.Write(text):
                for i in range(len(text)):
                    put(uart, text[i])
                ch.send(Serial.Written(u32(len(text))))
                free(text)
            case Serial.ReadLine():
                text = new(u8, 80)
                n: u64 = 0
                ended = False
                while not ended:
                    line.wait()
                    taken += 1
                    while not ended and uart.read8(5) & 1 != 0:
                        c = uart.read8(0)
                        if c == 10 or n == 80:
                            ended = True
                        else:
                            text[n] = c
                            n += 1
                    line.ack()
                ch.send(Serial.Line(truncate(text, n)))
            case ChannelClosed():
                uart.write8(1, 0)
                return taken

@sip
def greeter(ch: Serial.Imp) -> u64:
    ch.send(Serial.Write(to_vector("name? ")))
    n = ch.receive(Serial.Written)
    ch.send(Serial.ReadLine())
    name = ch.receive(Serial.Line)
    size = len(name)
    ch.send(Serial.Write(name))
    n = ch.receive(Serial.Written)
    return size

@sip(io_memory=[(0x10000000, 0x100)], interrupts=[10])
def prober(offset: u64, width: u64) -> u64:
    uart = io_memory(0)
    if width == 1:
        return u64(uart.read8(offset))
    if width == 2:
        return u64(uart.read16(offset))
    return u64(uart.read32(offset))

@sip(io_memory=[(0x10000000, 0x100)], interrupts=[10])
def waiter() -> u64:
    uart = io_memory(0)
    line = interrupt(0)
    uart.write8(1, 1)
    line.wait()
    return 1

@sip(interrupts=[10])
def impatient() -> u64:
    line = interrupt(0)
    line.ack()
    return 0
'''


@cache
def programs():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "devices").programs.items()}


@pytest.mark.parametrize("isolation", SETTINGS)
def test_a_driver_sip_runs_the_uart(isolation):
    system = System(isolation=isolation, ram="4M")
    client, driver = system.create(programs()["greeter"]), system.create(programs()["driver"])
    system.connect(client["ch"], driver["ch"])
    run = system.run()
    assert run.outcome == "waiting"
    assert "driver waits for interrupt 10" in run.report
    assert system.serial == b"name? "
    assert system.type("Ad") == 2
    assert system.run().outcome == "waiting"
    system.type("a\n")
    assert system.run().outcome == "finished"
    assert system.serial == b"name? Ada"
    assert client.exit_value == 3
    assert driver.exit_value == 2
    for process in (client, driver):
        assert set(process.holdings().values()) == {0}
    assert system.machine.load_u64(at.G_HARDWARE) == 0


@pytest.mark.parametrize("isolation", ["sip", "pages", "ring3-domains"])
@pytest.mark.parametrize(("offset", "width", "good"), [(0xFF, 1, True), (0x100, 1, False), (0xFF, 2, False), (0xFE, 2, True), (0xFD, 4, False),
                                                       (0xFC, 4, True), (2**64 - 1, 1, False), (2**64 - 2, 4, False)])  # fmt: skip
def test_an_access_outside_the_range_is_a_fault(isolation, offset, width, good):
    system = System(isolation=isolation, ram="4M")
    process = system.create(programs()["prober"], offset=offset, width=width)
    system.run()
    assert (process.fault is None) == good
    if not good:
        assert process.fault.code == 1 and process.fault.line


def rogue(text: str, **changes):
    """Return hand-made code whose manifest declares resources."""
    made = hand_made("rogue", text)
    manifest = replace(made.manifest, **changes)
    return seal(manifest, made.code, made.tables)


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
@pytest.mark.parametrize("call", ["get_io_memory", "open_interrupt"])
@pytest.mark.parametrize("index", [0, 1, 2**32, 2**63, 2**64 - 1])
def test_what_is_not_declared_cannot_be_had(isolation, call, index):
    system = System(isolation=isolation, allow_unverified=True)
    process = system.create(hand_made("rogue", f"li a0, {index}\nabi {call}\nabi exit"))
    system.run()
    assert process.exit_value == 0
    assert system.machine.load_u64(at.G_HARDWARE) == 0


def test_a_second_process_of_the_program_cannot_have_its_device_meanwhile():
    system = System()
    first = system.create(programs()["waiter"])
    second = system.create(programs()["waiter"], name="second")
    assert system.run().outcome == "waiting"
    assert second.fault.code == 27 and second.fault.line
    system.type("x")
    assert system.run().outcome == "finished"
    assert first.exit_value == 1
    third = system.create(programs()["waiter"], name="third")
    assert system.run().outcome == "finished"  # the byte is still unread
    assert third.exit_value == 1


def test_a_driver_that_is_stopped_leaves_the_device_to_its_successor():
    """In the middle of an interrupt that it has not acknowledged."""
    for stop_at in range(1, 40, 3):
        system = System(isolation="ring3-domains", ram="4M")
        process = system.create(programs()["waiter"])
        system.type("x")
        system.run(events=stop_at)
        process.stop()
        assert set(process.holdings().values()) == {0}
        assert system.machine.load_u64(at.G_HARDWARE) == 0
        again = system.create(programs()["waiter"], name="again")
        assert system.run().outcome == "finished"
        assert again.exit_value == 1


def test_who_acknowledges_what_has_not_come_is_ended():
    system = System()
    process = system.create(programs()["impatient"])
    system.run()
    assert process.fault.code == 26


def test_in_user_mode_no_device_is_seen_that_was_not_opened():
    """Hand-made code that knows the addresses: the page tables keep it out, but not where there are none."""
    text = f"li t0, {UART}\nli t1, 65\nsb t1, 0(t0)\nli a0, 0\nabi exit"
    outcome = {}
    for isolation in ("sip", "pages", "ring3", "ring3-domains"):
        system = System(isolation=isolation, allow_unverified=True, ram="4M")
        process = system.create(hand_made("rogue", text))
        system.run()
        outcome[isolation] = (process.end.state, system.serial)
    assert outcome == {"sip": ("exit", b"A"), "pages": ("fault", b""), "ring3": ("fault", b""), "ring3-domains": ("fault", b"")}


@pytest.mark.parametrize("address", [at.PLIC, at.PLIC_CLAIM, 0x0200_0000, 0x0010_0000, 0x1000_1000])
def test_in_user_mode_nobody_reaches_the_kernels_devices(address):
    """Not even who has a device of its own."""
    text = f"li a0, 0\nabi get_io_memory\nli t0, {address}\nlw t1, 0(t0)\nli a0, 1\nabi exit"
    system = System(isolation="ring3-domains", allow_unverified=True, ram="4M")
    process = system.create(rogue(text, io_memory=[IoMemoryRange(UART, UART_BYTES)]))
    system.run()
    assert process.fault.code == 8


def test_a_manifest_with_too_many_resources_is_refused():
    many = [IoMemoryRange(UART + i, 1) for i in range(33)]
    with pytest.raises(InstallError, match="33 ranges"):
        System(allow_unverified=True).install(rogue("abi exit", io_memory=many))


def test_a_full_output_queue_does_not_stop_the_system():
    from singlab.sing import build, programs_from_source

    source = """
@sip(io_memory=[(0x10000000, 0x100)])
def printer(n: u64):
    uart = io_memory(0)
    for i in range(n):
        uart.write8(0, u8(i))
"""
    system = System()
    system.create(build(programs_from_source(source, "printer").programs["printer"]), n=3000)
    assert system.run().outcome == "finished"
    assert system.serial == bytes(i & 255 for i in range(3000))


def test_devices_are_part_of_a_snapshot():
    system = System()
    client, driver = system.create(programs()["greeter"]), system.create(programs()["driver"])
    system.connect(client["ch"], driver["ch"])
    system.run()
    snapshot = system.snapshot()
    system.type("Bob\n")
    system.run()
    assert system.serial == b"name? Bob"
    system.restore(snapshot)
    assert system.serial == b"name? "
    system.type("Eve\n")
    system.run()
    assert system.serial == b"name? Eve" and int(system.machine.m[d.TX_HEAD]) == 9


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_the_kernels_tables_agree_all_the_while(isolation):
    from singlab.kernel.audit import check

    system = System(isolation=isolation, ram="4M")
    client, driver = system.create(programs()["greeter"]), system.create(programs()["driver"])
    system.connect(client["ch"], driver["ch"])
    while not system.done:
        system.run(events=20)
        check(system)
