"""Memory for devices: a driver SIP reads and writes a virtio disk, and verified code names no memory that is not its own."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from programs import hand_made, images, talk

from singlab.kernel import InstallError, System
from singlab.kernel import layout as at
from singlab.kernel.audit import check
from singlab.kernel.image import seal
from singlab.kernel.isolation import BESIDE, SETTINGS

SECTORS = 8
CONTENTS = bytes((7 * i + i // 512) & 255 for i in range(512 * SECTORS))

SOURCE = '''
Disk = contract("""
contract Disk {
    in message Read(ulong sector);
    in message Write(ulong sector, byte[]* in ExHeap data);
    out message Data(byte[]* in ExHeap data);
    out message Written();
    out message Failed();
    state Start: one { Read? -> (Data! -> Start or Failed! -> Start); Write? -> (Written! -> Start or Failed! -> Start); }
}
""")

@function
def word(memory: IoMemory, offset: u64, value: u64):
    memory.write32(offset, u32(value & 0xFFFFFFFF))
    memory.write32(offset + 4, u32(value >> 32))

@function
def descriptor(queue: IoMemory, n: u64, address: u64, size: u32, flags: u16, following: u16):
    word(queue, 16 * n, address)
    queue.write32(16 * n + 8, size)
    queue.write16(16 * n + 12, flags)
    queue.write16(16 * n + 14, following)

@function
def ask(disk: IoMemory, queue: IoMemory, buffer: IoMemory, line: Interrupt, kind: u32, sector: u64, turn: u16) -> bool:
    """One request (virtio 1.2, 2.7 and 5.2): header, data, status; whether the device says it is done."""
    place = dma_address(buffer)
    buffer.write32(0, kind)
    buffer.write32(4, 0)
    word(buffer, 8, sector)
    buffer.write8(16, 255)
    way: u16 = 1
    if kind == 0:
        way = 3
    descriptor(queue, 0, place, 16, 1, 1)
    descriptor(queue, 1, place + 512, 512, way, 2)
    descriptor(queue, 2, place + 16, 1, 2, 0)
    queue.write16(128 + 4 + 2 * u64(turn % 8), 0)
    queue.write16(128 + 2, turn + 1)
    disk.write32(0x50, 0)
    line.wait()
    disk.write32(0x64, disk.read32(0x60))
    line.ack()
    return queue.read16(4096 + 2) == turn + 1 and buffer.read8(16) == 0

@sip(category="driver", io_memory=[(0x10001000, 0x1000)], interrupts=[1], dma=[8192, 1024])
def driver(ch: Disk.Exp) -> u64:
    disk = io_memory(0)
    line = interrupt(0)
    queue = dma_memory(0)
    buffer = dma_memory(1)
    disk.write32(0x70, 0)
    disk.write32(0x70, 3)
    disk.write32(0x28, 4096)
    disk.write32(0x30, 0)
    disk.write32(0x38, 8)
    disk.write32(0x3C, 4096)
    disk.write32(0x40, u32(dma_address(queue) >> 12))
    disk.write32(0x70, 7)
    turn: u16 = 0
    while True:
        which = wait_any(ch, line)
        if which == 1:
            line.ack()
            continue
        match ch.receive():
            case Disk.Read(sector):
                good = ask(disk, queue, buffer, line, 0, sector, turn)
                turn += 1
                if good:
                    data = new(u8, 512)
                    for i in range(512):
                        data[i] = buffer.read8(512 + i)
                    ch.send(Disk.Data(data))
                else:
                    ch.send(Disk.Failed())
            case Disk.Write(sector, data):
                for i in range(len(data)):
                    if i < 512:
                        buffer.write8(512 + i, data[i])
                free(data)
                good = ask(disk, queue, buffer, line, 1, sector, turn)
                turn += 1
                if good:
                    ch.send(Disk.Written())
                else:
                    ch.send(Disk.Failed())
            case ChannelClosed():
                disk.write32(0x70, 0)
                return u64(turn)

@sip
def reader(ch: Disk.Imp, first: u64, count: u64) -> u64:
    total: u64 = 0
    for sector in range(first, first + count):
        ch.send(Disk.Read(sector))
        match ch.receive():
            case Disk.Data(data):
                for i in range(len(data)):
                    total = total * 31 + data[i]
                free(data)
            case Disk.Failed():
                total = total * 31 + 999
            case ChannelClosed():
                return 0
    return total

@sip
def writer(ch: Disk.Imp, sector: u64, value: u64) -> u64:
    data = new(u8, 512)
    fill(data, u8(value))
    ch.send(Disk.Write(sector, data))
    match ch.receive():
        case Disk.Written():
            return 1
        case Disk.Failed():
            return 2
        case ChannelClosed():
            return 3

@sip(dma=[100, 5000])
def measurer(n: u64, offset: u64) -> u64:
    memory = dma_memory(n)
    memory.write8(offset, 7)
    return u64(memory.read8(offset)) + dma_address(memory) % 4096

@sip(dma=[4096], io_memory=[(0x10001000, 0x1000)])
def teller() -> u64:
    first = dma_memory(0)
    again = dma_memory(0)
    return dma_address(first) - dma_address(again)

@sip(io_memory=[(0x10002000, 0x1000)])
def confused() -> u64:
    return dma_address(io_memory(0))
'''


@cache
def programs():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "dma").programs.items()}


def expected(first: int, count: int) -> int:
    total = 0
    for sector in range(first, first + count):
        if sector >= SECTORS:
            total = (total * 31 + 999) % 2**64
            continue
        for byte in CONTENTS[512 * sector : 512 * sector + 512]:
            total = (total * 31 + byte) % 2**64
    return total


def reading(system: System, first: int = 2, count: int = 3, **choice):
    client = system.create(programs()["reader"], first=first, count=count)
    driver = system.create(programs()["driver"], **choice)
    system.connect(client["ch"], driver["ch"])
    return client, driver


@pytest.mark.parametrize("isolation", [*SETTINGS, *(f"mixed:{name}" for name in BESIDE)])
def test_a_driver_reads_sectors(isolation):
    boot, _, own = isolation.partition(":")
    system = System(isolation=boot, ram="4M", disk=CONTENTS)
    client, driver = reading(system, 6, 3, **({"isolation": own} if own else {}))
    while not system.done:
        system.run(events=40)
        check(system)
    assert client.exit_value == expected(6, 3), "two sectors there are, and one there is not"
    assert driver.exit_value == 3
    assert set(driver.holdings().values()) == {0}


def test_a_driver_writes_sectors():
    system = System(ram="4M", disk=CONTENTS)
    client = system.create(programs()["writer"], sector=3, value=0x5A)
    driver = system.create(programs()["driver"])
    system.connect(client["ch"], driver["ch"])
    assert system.run().outcome == "finished" and client.exit_value == 1
    assert system.disk.read(3 * 512, 512) == b"\x5a" * 512 and system.disk.read(4 * 512, 512) == CONTENTS[4 * 512 : 5 * 512]


@pytest.mark.parametrize("isolation", ["sip", "domain", "ring3-domains"])
def test_a_driver_is_stopped_anywhere_and_its_successor_works(isolation):
    system = System(isolation=isolation, ram="4M", disk=CONTENTS)
    client, driver = reading(system, 0, 1)
    tried = 0
    while not system.done and tried < 25:
        system.run(events=3)
        if driver.state != "running":
            break
        here = system.snapshot()
        driver.stop()
        assert set(driver.holdings().values()) == {0}
        check(system)
        system.run()
        again, other = reading(system, 1, 1)
        assert system.run().outcome == "finished"
        assert again.exit_value == expected(1, 1) and other.exit_value == 1
        system.restore(here)
        tried += 1
    assert tried > 5


@pytest.mark.parametrize("isolation", ["sip", "pages", "ring3-domains"])
@pytest.mark.parametrize(("place", "offset", "good"), [(0, 0, True), (0, 99, True), (0, 100, False), (1, 4999, True), (1, 5000, False), (1, 2**64 - 1, False)])
def test_memory_for_a_device_is_whole_pages_of_ones_own_and_is_checked(isolation, place, offset, good):
    system = System(isolation=isolation, ram="4M")
    process = system.create(programs()["measurer"], n=place, offset=offset)
    while process.state != "stopped":
        system.run(events=1)
        mine = int((system.page_tags() == (process.number << at.OWNER_SHIFT | at.TAG_DMA)).sum())
        assert mine in (0, (1, 2)[place])
        check(system)
    assert (process.exit_value == 7) if good else process.fault.code == 1


def test_the_same_memory_is_given_each_time_and_registers_are_none():
    system = System(ram="4M")
    teller, confused = system.create(programs()["teller"]), system.create(programs()["confused"])
    system.run()
    assert teller.exit_value == 0 and confused.fault.code == 27


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("call", ["get_dma_memory", "get_dma_address"])
@pytest.mark.parametrize("word", [0, 1, 2**32, 2**63, 2**64 - 1, at.GLOBALS, at.RAM_BASE + 64])
def test_hostile_words_get_nothing(isolation, call, word):
    system = System(isolation=isolation, allow_unverified=True)
    client, _ = talk(system, rounds=3)
    rogue = system.create(hand_made("rogue", f"li a0, {word}\nabi {call}\nabi exit"))
    system.run()
    assert rogue.exit_value == 0 and client.exit_value is not None
    check(system)


def test_the_record_of_another_drivers_memory_is_no_address_for_oneself():
    system = System(ram="4M", allow_unverified=True, disk=CONTENTS)
    _, driver = reading(system)
    system.run(events=60)
    found = system._load(driver.record + at.P_OBJECTS)
    while system._load(found + at.O_MAGIC) != at.MAGIC_DMA:
        found = system._load(found + at.O_NEXT)
    rogue = system.create(hand_made("rogue", f"li a0, {system._load(found + at.O_VALUE)}\nabi get_dma_address\nabi exit"))
    system.run()
    assert rogue.exit_value == 0


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_without_a_unit_that_checks_it_a_device_goes_wherever_its_driver_says(isolation):
    """What does not protect: a driver that tells its device another's address. No page table is asked."""
    system = System(isolation=isolation, ram="4M", disk=CONTENTS, allow_unverified=True)
    victim = system.create(images()["hoarder"], blocks=0)
    server = system.create(images()["server"])
    system.connect(victim["ch"], server["ch"])
    system.run(cycles=200_000)
    block = system._load(victim.record + at.P_BLOCKS)
    place = system._load(block + at.B_DATA)
    assert bytes(system.machine.read(place, 512)) == bytes(512)
    source = SOURCE.replace("descriptor(queue, 1, place + 512, 512, way, 2)", f"descriptor(queue, 1, {place}, 512, way, 2)")
    from singlab.sing import build, programs_from_source

    rogue = build(programs_from_source(source, "rogue").programs["driver"])
    assert rogue.manifest.verified, "the verifier sees a number, and a driver may write numbers into its device's queue"
    client = system.create(programs()["reader"], first=1, count=1)
    driver = system.create(rogue)
    system.connect(client["ch"], driver["ch"])
    while client.state == "running" or client.state == "unstarted":
        system.run(cycles=100_000)
    assert bytes(system.machine.read(place, 512)) == CONTENTS[512:1024], "the disk's sector lies in another process's block"
    assert driver.fault is None


def test_manifests_with_memory_that_cannot_be_are_refused():
    image = programs()["measurer"]
    for dma, message in (([0], "cannot be had"), ([-1], "cannot be had"), ([(1 << 20) + 1], "cannot be had"), ([1] * 9, "Declare fewer")):
        with pytest.raises(InstallError, match=message):
            System(ram="4M").install(seal(replace(image.manifest, dma=dma), image.code, image.tables))


def test_no_memory_is_a_fault_of_the_driver_alone():
    from singlab.sing import build, programs_from_source

    text = "@sip(dma=[1000000, 1000000])\ndef greedy(n: u64) -> u64:\n    m = dma_memory(0)\n    if n == 2:\n        m = dma_memory(1)\n    return n\n"
    image = build(programs_from_source(text, "greedy").programs["greedy"])
    system = System(ram="2M")
    greedy, modest = system.create(image, n=2), system.create(image, name="modest", n=1)
    system.run()
    assert greedy.fault.code == 27 and modest.exit_value == 1
    check(system)
