"""Guests that break the rules of virtio: no request leaves RAM, none keeps the host for ever, and a reset repairs all."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from driver import BASE, BUFFERS, INDIRECT, INTERRUPTS, NEXT, NOTIFY, PAGE_SIZE, QUEUE_NUM, QUEUE_READY, QUEUE_SEL, STATUS, WRITE, Driver
from hypothesis import given, settings
from hypothesis import strategies as st

from singlab.machine import Board
from singlab.machine import devices as d
from singlab.machine import state as s
from singlab.machine import virtio as v

IMAGE = random.Random(2).randbytes(64 * 512)
RAM = 4 << 20
END = BASE + RAM
VERSIONS = pytest.mark.parametrize("version", ["legacy", "modern"])


def board(version: str = "modern") -> Board:
    return Board(ram=RAM, disk=IMAGE, net="loopback", virtio=version)


def must_be_broken(driver: Driver) -> None:
    """The device has stopped as its version says, gives nothing back, and works again after a reset."""
    driver.notify()
    assert driver.taken_back() == []
    if driver.modern:
        assert driver.read(STATUS) == 0x4F and driver.read(INTERRUPTS) & 2
    else:
        assert driver.read(STATUS) == 7 and driver.read(INTERRUPTS) == 0
    driver.notify()
    assert driver.taken_back() == []
    driver.start()
    assert driver.read(INTERRUPTS) == 0
    assert driver.disk(0, 5, room=1024) == (0, 1025, IMAGE[2560:3584])


def good_chain(driver: Driver) -> None:
    driver.board.machine.write(BUFFERS, bytes(16))
    driver.chain((BUFFERS, 16, False), (BUFFERS + 64, 512, True), (BUFFERS + 16, 1, True))


BUFFER_PLACES = [
    (0, 16), (BASE - 1, 16), (END - 15, 16), (END, 1), ((1 << 64) - 8, 16), ((1 << 64) - 1, 1), (0x1000_0000, 16), (BASE, 0xFFFF_FFFF),
    (1 << 63, 16), (d.VIRTIO, 16), (s.RAM_OFFSET, 16),
]  # fmt: skip


@VERSIONS
@pytest.mark.parametrize(("address", "length"), BUFFER_PLACES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_buffers_outside_ram(version, address, length, which):
    driver = Driver(board(version), 0).start()
    good_chain(driver)
    driver.descriptor(which, address, length, (NEXT if which < 2 else 0) | (WRITE if which else 0), which + 1)
    driver.offer(0)
    must_be_broken(driver)


@VERSIONS
@pytest.mark.parametrize("head", [8, 9, 0x7FFF, 0xFFFF])
def test_a_head_that_is_no_descriptor(version, head):
    driver = Driver(board(version), 0).start()
    driver.offer(head)
    must_be_broken(driver)


@VERSIONS
@pytest.mark.parametrize("following", [0, 1, 2, 8, 0xFFFF])
def test_chains_without_end(version, following):
    driver = Driver(board(version), 0).start()
    good_chain(driver)
    driver.descriptor(2, BUFFERS + 64, 16, NEXT | WRITE, following if following != 2 else 2)
    driver.offer(0)
    must_be_broken(driver)


@VERSIONS
@pytest.mark.parametrize("ahead", [9, 1000, 0x8000, 0xFFFF])
def test_more_chains_than_a_queue_holds(version, ahead):
    driver = Driver(board(version), 0).start()
    good_chain(driver)
    driver.board.machine.write(driver.available() + 2, struct.pack("<H", ahead))
    must_be_broken(driver)


@VERSIONS
@pytest.mark.parametrize(
    "buffers",
    [
        [], [(BUFFERS, 16, False)], [(BUFFERS, 15, False), (BUFFERS + 16, 1, True)], [(BUFFERS, 16, True)], [(BUFFERS, 0, False), (BUFFERS, 0, True)],
        [(BUFFERS, 16, False), (BUFFERS + 64, 1, True), (BUFFERS, 16, False)], [(BUFFERS, 16, False), (BUFFERS + 16, 0, True)],
    ],
)  # fmt: skip
def test_requests_without_header_or_status(version, buffers):
    driver = Driver(board(version), 0).start()
    driver.chain(*buffers)
    driver.offer(0)
    must_be_broken(driver)


TABLES = {
    "empty": (BUFFERS, 0, INDIRECT), "ragged": (BUFFERS, 50, INDIRECT), "chained": (BUFFERS, 48, INDIRECT | NEXT), "outside": (END - 16, 48, INDIRECT),
    "nowhere": (1 << 62, 48, INDIRECT), "itself": (BASE + 0x1_0000, 128, INDIRECT), "zeros": (BASE + 0x20_0000, 0xFFFF_FFF0, INDIRECT),
}  # fmt: skip


@VERSIONS
@pytest.mark.parametrize("name", TABLES)
def test_indirect_tables_that_may_not_be(version, name):
    driver = Driver(board(version), 0).start()
    # a table of endless, empty buffers where the last case points
    driver.board.machine.write(BASE + 0x20_0000, struct.pack("<QIHH", BASE, 0, NEXT, 0))
    driver.descriptor(0, *TABLES[name])
    driver.offer(0)
    must_be_broken(driver)


def test_indirect_tables_have_to_be_agreed_on():
    driver = Driver(board(), 0).start(wanted=0)
    driver.descriptor(0, BUFFERS, 48, INDIRECT)
    driver.offer(0)
    must_be_broken(driver)


@pytest.mark.parametrize("number", [0, 3, 1000])
@VERSIONS
def test_queues_of_odd_sizes(version, number):
    driver = Driver(board(version), 0).start()
    driver.write(QUEUE_SEL, 0)
    driver.write(QUEUE_NUM, number)
    driver.offer(0)
    must_be_broken(driver)


def test_a_queue_size_beyond_the_largest_is_not_taken():
    driver = Driver(board(), 0).start()
    driver.write(QUEUE_NUM, 1025)
    assert driver.disk(0, 0, room=512)[0] == 0


@pytest.mark.parametrize("part", [0x80, 0x90, 0xA0])
@pytest.mark.parametrize("place", [0, 0x1000_0000, END - 2, END, (1 << 64) - 4, BASE + 1, BASE - 16])
def test_queues_outside_ram(part, place):
    driver = Driver(board(), 0).start()
    good_chain(driver)
    driver.offer(0)
    driver.write(part, place & 0xFFFF_FFFF)
    driver.write(part + 4, place >> 32)
    must_be_broken(driver)


@pytest.mark.parametrize(("page", "frame"), [(0, 0x80010), (4096, 1), (0xFFFF_FFFF, 0xFFFF_FFFF), (4096, END >> 12), (3, 0x80010)])
def test_legacy_queues_outside_ram(page, frame):
    driver = Driver(board("legacy"), 0).start()
    driver.write(PAGE_SIZE, page)
    driver.write(0x40, frame)
    must_be_broken(driver)


@pytest.mark.parametrize("align", [0, 1, 2, 3, 64, 4096, 0x8000_0000, 0xFFFF_FFFF])
def test_legacy_alignments(align):
    """Whatever it is, nothing breaks; 0 is a page, as for drivers that never say."""
    driver = Driver(board("legacy"), 0).start()
    driver.write(0x3C, align)
    driver.write(0x40, driver.table() >> 12)
    good_chain(driver)
    driver.offer(0)
    driver.notify()
    if align in (0, 4096):
        assert driver.taken_back() == [(0, 513)]


def test_requests_that_make_more_requests_come_to_an_end():
    """Each request moves the available index on, as one can that writes into the ring it lies in."""
    made = board()
    driver = Driver(made, 2, number=1).start()
    place, calls = driver.available() + 2, []

    def request(queue, chain):
        calls.append(1)
        made.machine.write(place, struct.pack("<H", len(calls) + 1 & 0xFFFF))
        return 0

    made.slots.devices["entropy"].request = request
    driver.chain((BUFFERS, 8, True))
    driver.offer(0)
    driver.notify()
    assert len(calls) == 1024


@VERSIONS
def test_a_request_for_more_than_the_host_likes(version):
    """A write of gigabytes fails before a byte is copied."""
    driver = Driver(board(version), 0).start()
    driver.board.machine.write(BUFFERS, struct.pack("<IIQ", 1, 0, 0))
    buffers = [(BASE, RAM, False)] * 1000
    table = BASE + 0x30_0000
    driver.board.machine.write(table, struct.pack("<QIHH", BUFFERS, 16, NEXT, 1))
    for i, (address, length, _) in enumerate(buffers, 1):
        driver.board.machine.write(table + 16 * i, struct.pack("<QIHH", address, length, NEXT, i + 1))
    driver.board.machine.write(table + 16 * 1001, struct.pack("<QIHH", BUFFERS + 16, 1, WRITE, 0))
    driver.descriptor(0, table, 16 * 1002, INDIRECT)
    driver.offer(0)
    driver.notify()
    assert driver.taken_back() == [(0, 1)] and driver.board.machine.read(BUFFERS + 16, 1) == b"\1"


@pytest.mark.parametrize("queue", [2, 3, 255, 0xFFFF_FFFF])
def test_notifies_of_no_queue(queue):
    driver = Driver(board(), 1).start(queues=2)
    driver.write(NOTIFY, queue)
    assert int(driver.board.machine.m[s.STOP]) == 0 and int(driver.board.machine.m[v.NOTIFIED]) == 0


def test_a_queue_that_is_not_ready_is_left_alone():
    driver = Driver(board(), 0).start()
    driver.write(QUEUE_READY, 0)
    driver.offer(99)
    driver.notify()
    assert driver.read(STATUS) == 15


# ---- at random ------------------------------------------------------------------------------------------------------

#: Words of the state that a device may change: its own, the interrupts', and these.
MAY = [s.STOP, s.RESERVATION, s.RANDOM, s.EXTERNAL]
NEAR = st.one_of(
    st.integers(BASE, END - 1), st.integers(END - 64, END + 64), st.integers(BASE - 64, BASE + 64), st.integers(0, (1 << 64) - 1),
    st.just(BUFFERS), st.integers(BASE + 0x1_0000, BASE + 0x1_2000),
)  # fmt: skip
DESCRIPTOR = st.tuples(NEAR, st.one_of(st.integers(0, 600), st.integers(0, 0xFFFF_FFFF)), st.integers(0, 7), st.integers(0, 9))
POKE = st.tuples(
    st.sampled_from((QUEUE_NUM, 0x3C, 0x40, 0x44, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4, PAGE_SIZE, QUEUE_SEL, STATUS, 0x20, 0x64)),
    st.integers(0, 0xFFFF_FFFF),
)


@settings(max_examples=300, deadline=None)
@given(
    version=st.sampled_from(["legacy", "modern"]), slot=st.integers(0, 2), queue=st.integers(0, 1),
    descriptors=st.lists(DESCRIPTOR, max_size=8), ring=st.lists(st.integers(0, 9), min_size=8, max_size=8), index=st.integers(0, 12),
    header=st.tuples(st.integers(0, 9), st.integers(0, 70)), pokes=st.lists(POKE, max_size=3), noise=st.one_of(st.none(), st.integers(0, 1 << 30)),
)  # fmt: skip
def test_no_queue_reaches_beyond_ram(version, slot, queue, descriptors, ring, index, header, pokes, noise):
    made = board(version)
    machine = made.machine
    driver = Driver(made, slot).start(queues=2 if slot == 1 else 1)
    queue = queue if slot == 1 else 0
    machine.write(BUFFERS, struct.pack("<IIQ", header[0], 0, header[1]))
    for i, (address, length, flags, following) in enumerate(descriptors):
        machine.write(driver.table(queue) + 16 * i, struct.pack("<QIHH", address, length, flags, following))
    if noise is not None:
        machine.write(driver.table(queue), random.Random(noise).randbytes(128))
    machine.write(driver.available(queue) + 2, struct.pack("<9H", index, *ring))
    for register, value in pokes:
        driver.write(register, value)
    before = machine.m[: s.RAM_WORD].copy()
    driver.notify(queue)
    after = machine.m[: s.RAM_WORD]
    changed = set(np.nonzero(before != after)[0].tolist())
    own = set(range(v.NOTIFIED, v.SLOT_BASE + v.SLOTS * v.SLOT_WORDS)) | set(range(d.PENDING, d.LINES + 1))
    assert changed <= own | set(MAY)
    assert len(made.disk.contents()) == len(IMAGE)
    # and all is well again after a reset
    disk = Driver(made, 0).start()
    assert disk.disk(0, 9, room=512)[:2] == (0, 513)
