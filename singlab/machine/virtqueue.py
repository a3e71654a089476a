"""Virtqueues from the device's side: taking chains of buffers off a queue and giving them back.

Virtio 1.2, section 2.7, split virtqueues with indirect descriptors. Every number here comes from the
guest and is believed only when checked: addresses lie in RAM, indices in their tables, and chains have
an end. What breaks these rules raises :class:`QueueError`, and the guest has to reset.

Leaves out event indices and packed queues; neither is offered.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from singlab.machine import state as _s
from singlab.machine import virtio as v
from singlab.machine.machine import Machine

_NEXT, _WRITE, _INDIRECT = 1, 2, 4
_NO_INTERRUPT = 1
_DESCRIPTOR = struct.Struct("<QIHH")
_WRAP = 0xFFFF

Buffers = list[tuple[int, int]]


class QueueError(Exception):
    """The driver broke the rules of the queue."""


def total(buffers: Buffers) -> int:
    """Return how many bytes buffers (address, length) hold together."""
    return sum(length for _, length in buffers)


@dataclass(frozen=True)
class Chain:
    """A chain of buffers: what the device may read, and then what it may write."""

    head: int
    readable: Buffers
    writable: Buffers


class Queue:
    """One queue of one slot.

    Parameters
    ----------
    machine : Machine
    slot, number : int
    """

    def __init__(self, machine: Machine, slot: int, number: int):
        self._machine = machine
        self._slot = v.SLOT_BASE + slot * v.SLOT_WORDS
        self._base = self._slot + v.QUEUE_BASE + number * v.QUEUE_WORDS
        self._due = False

    def _word(self, which: int) -> int:
        return int(self._machine.m[self._base + which])

    def _u16(self, address: int) -> int:
        return int.from_bytes(self._read(address, 2), "little")

    def _read(self, address: int, count: int) -> bytes:
        try:
            return self._machine.read(address, count)
        except ValueError as error:
            raise QueueError(str(error)) from None

    def _check(self) -> int:
        """Return the number of entries; raises unless the queue can be used."""
        number = self._word(v.NUMBER)
        if not 0 < number <= v.QUEUE_SIZE or number & (number - 1):
            raise QueueError(f"a queue of {number} entries")
        for part, align in ((v.DESCRIPTORS, 16), (v.AVAILABLE, 2), (v.USED, 4)):
            if self._word(part) % align:
                raise QueueError(f"a part of the queue at {self._word(part):#x}, no multiple of {align}")
        return number

    @property
    def usable(self) -> bool:
        """Whether the driver has set the queue up and the device may look at it."""
        m = self._machine.m
        status = int(m[self._slot + v.STATUS])
        if not self._word(v.READY) or status & v.NEEDS_RESET:
            return False
        # the specification has legacy drivers use a device before they say so
        return bool(status & v.DRIVER_OK) or int(m[self._slot + v.VERSION]) == v.LEGACY

    def take(self) -> Chain | None:
        """Return the next chain the driver has made available, or None."""
        number = self._check()
        available, taken = self._word(v.AVAILABLE), self._word(v.TAKEN)
        ahead = (self._u16(available + 2) - taken) & _WRAP
        if ahead == 0:
            return None
        if ahead > number:
            raise QueueError(f"{ahead} chains are available in a queue of {number}")
        head = self._u16(available + 4 + 2 * (taken % number))
        chain = self._follow(head, number)
        self._machine.m[self._base + v.TAKEN] = (taken + 1) & _WRAP
        return chain

    def put_back(self) -> None:
        """Undo the last take."""
        self._machine.m[self._base + v.TAKEN] = (self._word(v.TAKEN) - 1) & _WRAP

    def _follow(self, head: int, number: int) -> Chain:
        table, entries, index, indirect = self._word(v.DESCRIPTORS), number, head, False
        readable: Buffers = []
        writable: Buffers = []
        most = number  # descriptors of a table of their own take no room in the queue
        while len(readable) + len(writable) < most:
            if index >= entries:
                raise QueueError(f"descriptor {index} of {entries}")
            address, length, flags, following = _DESCRIPTOR.unpack(self._read(table + 16 * index, 16))
            if flags & _INDIRECT:
                if indirect or flags & _NEXT or not length or length % 16 or not self._accepted(v.INDIRECT):
                    raise QueueError(f"an indirect table of {length} bytes that may not be here")
                table, entries, index, indirect, most = address, length // 16, 0, True, v.QUEUE_SIZE
                continue
            if length:
                self._in_ram(address, length)
            if flags & _WRITE:
                writable.append((address, length))
            elif writable:
                raise QueueError("a buffer to read behind one to write")
            else:
                readable.append((address, length))
            if not flags & _NEXT:
                return Chain(head, readable, writable)
            index = following
        raise QueueError("a chain longer than its queue")

    def _accepted(self, feature: int) -> bool:
        return bool(int(self._machine.m[self._slot + v.ACCEPTED]) >> feature & 1)

    def _in_ram(self, address: int, length: int) -> None:
        if address < _s.RAM_BASE or address + length > _s.RAM_BASE + int(self._machine.m[_s.RAM_BYTES]):
            raise QueueError(f"{length} bytes at {address:#x} lie outside RAM")

    # ---- the buffers of a chain -----------------------------------------------------------------------------

    def gather(self, buffers: Buffers, count: int | None = None) -> bytes:
        """Return what buffers hold, or their first so many bytes."""
        parts, left = [], total(buffers) if count is None else count
        for address, length in buffers:
            if left <= 0:
                break
            if length:
                parts.append(self._read(address, min(length, left)))
                left -= length
        return b"".join(parts)

    def scatter(self, buffers: Buffers, data: bytes) -> None:
        """Write data into buffers, one behind the other."""
        at = 0
        for address, length in buffers:
            if length and at < len(data):
                self._machine.write(address, data[at : at + length])
                at += length

    def give(self, chain: Chain, written: int) -> None:
        """Give a chain back, of whose writable buffers so many bytes were written."""
        number = self._check()
        used, given = self._word(v.USED), self._word(v.GIVEN)
        try:
            self._machine.write(used + 4 + 8 * (given % number), struct.pack("<II", chain.head, written))
            given = (given + 1) & _WRAP
            self._machine.write(used + 2, struct.pack("<H", given))
        except ValueError as error:
            raise QueueError(str(error)) from None
        m = self._machine.m
        m[self._base + v.GIVEN] = given
        m[_s.RESERVATION] = np.uint64(0)  # the device has written to memory
        self._due = True

    def interrupt(self) -> None:
        """Raise the slot's interrupt if chains were given back and the driver wants to know."""
        if self._due and not self._u16(self._word(v.AVAILABLE)) & _NO_INTERRUPT:
            self._machine.m[self._slot + v.INTERRUPTS] |= np.uint64(v.USED_BUFFERS)
        self._due = False
