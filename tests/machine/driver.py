"""A virtio driver in Python: lays queues out in a board's RAM and pokes the registers, with no guest at all."""

from __future__ import annotations

import struct

from singlab.machine import Board
from singlab.machine import devices as d
from singlab.machine import state as s

BASE = s.RAM_BASE
BUFFERS = BASE + 0x10_0000
(MAGIC, VERSION, DEVICE, VENDOR, OFFERED, OFFERED_SEL, ACCEPTED, ACCEPTED_SEL, PAGE_SIZE, QUEUE_SEL, QUEUE_MAX, QUEUE_NUM,
 QUEUE_ALIGN, QUEUE_PFN, QUEUE_READY, NOTIFY, INTERRUPTS, ACK, STATUS, QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE, SHM, GENERATION,
 CONFIG) = (
    0, 4, 8, 0xC, 0x10, 0x14, 0x20, 0x24, 0x28, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x50, 0x60, 0x64, 0x70, 0x80, 0x90, 0xA0, 0xB0,
    0xFC, 0x100,
)  # fmt: skip
NEXT, WRITE, INDIRECT = 1, 2, 4


class Driver:
    """Drives one slot of a board.

    Each queue has a page for descriptors and available ring and one for the used ring, from 64 KB * (queue + 1) of RAM on.
    """

    def __init__(self, board: Board, slot: int, number: int = 8):
        self.board, self.slot, self.number = board, slot, number
        self.at = d.VIRTIO + slot * 0x1000
        self.seen: dict[int, int] = {}

    def read(self, register: int, width: int = 4) -> int:
        return int(d.mmio_read(self.board.machine.m, self.at + register, width)) & (1 << 8 * width) - 1

    def write(self, register: int, value: int, width: int = 4) -> None:
        d.mmio_write(self.board.machine.m, self.at + register, width, value)

    @property
    def modern(self) -> bool:
        return self.read(VERSION) == 2

    def offered(self) -> int:
        found = 0
        for i in range(2):
            self.write(OFFERED_SEL, i)
            found |= self.read(OFFERED) << 32 * i
        return found

    def accept(self, features: int) -> None:
        for i in range(2):
            self.write(ACCEPTED_SEL, i)
            self.write(ACCEPTED, features >> 32 * i & 0xFFFF_FFFF)

    def start(self, wanted: int = 1 << 28, queues: int = 1) -> Driver:
        """Reset, negotiate, set up the queues, and go."""
        self.write(STATUS, 0)
        self.write(STATUS, 3)
        self.accept(self.offered() & (wanted | 1 << 32))
        if self.modern:
            self.write(STATUS, 11)
            assert self.read(STATUS) == 11
        else:
            self.write(PAGE_SIZE, 4096)
        for queue in range(queues):
            self.set_up(queue)
        self.write(STATUS, self.read(STATUS) | 4)
        return self

    def table(self, queue: int = 0) -> int:
        return BASE + 0x1_0000 * (queue + 1)

    def available(self, queue: int = 0) -> int:
        return self.table(queue) + 16 * self.number

    def used(self, queue: int = 0) -> int:
        return self.table(queue) + 4096

    def set_up(self, queue: int) -> None:
        self.board.machine.write(self.table(queue), bytes(8192))
        self.seen[queue] = 0
        self.write(QUEUE_SEL, queue)
        self.write(QUEUE_NUM, self.number)
        if self.modern:
            for register, place in (
                (QUEUE_DESC, self.table(queue)),
                (QUEUE_DRIVER, self.available(queue)),
                (QUEUE_DEVICE, self.used(queue)),
            ):
                self.write(register, place & 0xFFFF_FFFF)
                self.write(register + 4, place >> 32)
            self.write(QUEUE_READY, 1)
        else:
            self.write(QUEUE_ALIGN, 4096)
            self.write(QUEUE_PFN, self.table(queue) >> 12)

    def descriptor(self, index: int, address: int, length: int, flags: int = 0, following: int = 0, queue: int = 0) -> None:
        self.board.machine.write(self.table(queue) + 16 * index, struct.pack("<QIHH", address, length, flags, following))

    def chain(self, *buffers: tuple[int, int, bool], queue: int = 0, first: int = 0) -> int:
        """Write descriptors first, first + 1, ... for buffers (address, length, for the device to write)."""
        for i, (address, length, writable) in enumerate(buffers):
            last = i == len(buffers) - 1
            self.descriptor(
                (first + i) % self.number,
                address,
                length,
                (WRITE if writable else 0) | (0 if last else NEXT),
                (first + i + 1) % self.number,
                queue,
            )
        return first

    def offer(self, head: int, queue: int = 0) -> None:
        machine, at = self.board.machine, self.available(queue)
        index = int.from_bytes(machine.read(at + 2, 2), "little")
        machine.write(at + 4 + 2 * (index % self.number), struct.pack("<H", head))
        machine.write(at + 2, struct.pack("<H", index + 1 & 0xFFFF))

    def notify(self, queue: int = 0) -> None:
        """Notify, and let the host do its part as the board's run loop does."""
        self.write(NOTIFY, queue)
        self.board.machine.m[s.STOP] = 0
        self.board.slots.serve()

    def taken_back(self, queue: int = 0) -> list[tuple[int, int]]:
        """Return the chains given back since the last call: (head, written)."""
        machine, at = self.board.machine, self.used(queue)
        end = int.from_bytes(machine.read(at + 2, 2), "little")
        found = []
        while self.seen[queue] != end:
            found.append(struct.unpack("<II", machine.read(at + 4 + 8 * (self.seen[queue] % self.number), 8)))
            self.seen[queue] = self.seen[queue] + 1 & 0xFFFF
        return found

    # ---- a disk -------------------------------------------------------------------------------------------------

    def disk(
        self, kind: int, sector: int, data: bytes = b"", room: int = 0, cuts: tuple[int, ...] = (), indirect: bool = False
    ) -> tuple[int, int, bytes]:
        """Do a disk request; returns status, bytes written, and what was read. ``cuts`` splits the data into buffers."""
        machine = self.board.machine
        header, status = BUFFERS, BUFFERS + 16
        place = BUFFERS + 64
        machine.write(header, struct.pack("<IIQ", kind, 0, sector) + b"\xee")
        machine.write(place, data or bytes([0xDD]) * room)
        length = len(data) or room
        edges = [0, *sorted(c % (length + 1) for c in cuts), length] if length else []
        middle = [(place + a, b - a, not data) for a, b in zip(edges, edges[1:])]
        buffers = [(header, 16, False), *middle, (status, 1, True)]
        if indirect:
            table = BUFFERS + 0x8_0000
            for i, (address, size, writable) in enumerate(buffers):
                flags = (WRITE if writable else 0) | (NEXT if i < len(buffers) - 1 else 0)
                machine.write(table + 16 * i, struct.pack("<QIHH", address, size, flags, i + 1))
            self.descriptor(0, table, 16 * len(buffers), INDIRECT)
        else:
            self.chain(*buffers)
        self.offer(0)
        self.notify()
        ((head, written),) = self.taken_back()
        assert head == 0
        return machine.read(status, 1)[0], written, machine.read(place, room)
