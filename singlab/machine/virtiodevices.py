"""The virtio devices of the board: a disk, a network card and a source of random bytes.

Virtio 1.2, sections 5.1 (network), 5.2 (block) and 5.4 (entropy). A request is done when the guest
notifies, in no simulated time: a guest that waits and one that polls both find it done. The network card
is connected to nothing but this process. Random bytes are splitmix64 over the machine's own seed.

Leaves out: time of disk and network; discard, topology and write cache mode of disks; offloads, merged
buffers and the control queue of network cards.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

import numpy as np

from singlab.machine import devices as d
from singlab.machine import state as _s
from singlab.machine import virtio as v
from singlab.machine.disk import SECTOR, Disk
from singlab.machine.machine import Machine
from singlab.machine.virtqueue import Chain, Queue, QueueError, total

#: Versions by their names, and the one there is unless another is asked for: QEMU's virt board has it as
#: its default, so a kernel that is started there without further options finds what it expects.
VERSIONS = {"legacy": v.LEGACY, "modern": v.MODERN}
DEFAULT_VERSION = "legacy"
#: Largest block request, so that a hostile queue cannot keep the host busy for ever.
MAX_REQUEST = 16 << 20
_IN, _OUT, _FLUSH, _GET_ID = 0, 1, 4, 8
_OK, _IOERR, _UNSUPP = 0, 1, 2
_BLK_SIZE, _BLK_FLUSH = 6, 9
_SEGMENTS_MAX, _SEGMENTS = 2, v.QUEUE_SIZE - 2
_HEADER = struct.Struct("<IIQ")
_ID_BYTES = 20

_RECEIVE, _TRANSMIT = 0, 1
_NET_MAC, _NET_STATUS, _LINK_UP = 5, 16, 1
#: An Ethernet frame: its header, and header, payload and a VLAN tag.
FRAME_MIN, FRAME_MAX = 14, 1518
_WAITING = 256  #: frames that wait for the guest; more are lost
_KEPT = 1024  #: frames sent that are kept for the host to look at

_ENTROPY_MAX = 1 << 16
_GOLDEN = 0x9E37_79B9_7F4A_7C15
_MASK = 0xFFFF_FFFF_FFFF_FFFF


class Device(ABC):
    """What devices share: a slot, queues, and what to do when one of them is notified.

    Attributes
    ----------
    version : int
        1 (legacy) or 2 (modern).
    used : bool
        Whether the guest has had anything done here.
    """

    kind, queues, features = 0, 1, 0

    def attach(self, machine: Machine, slot: int, version: int) -> None:
        """Take a slot of a machine."""
        self._machine, self._slot = machine, v.SLOT_BASE + slot * v.SLOT_WORDS
        self.version, self.used = version, False
        self._queues = [Queue(machine, slot, number) for number in range(self.queues)]
        m = machine.m
        offered = self.features | 1 << v.INDIRECT | (1 << v.VERSION_1 if version == v.MODERN else 1 << v.ANY_LAYOUT)
        m[self._slot + v.KIND], m[self._slot + v.OFFERED], m[self._slot + v.QUEUE_COUNT] = self.kind, offered, self.queues
        config = self.config().ljust(8 * v.CONFIG_WORDS, b"\0")
        m[self._slot + v.CONFIG : self._slot + v.CONFIG + v.CONFIG_WORDS] = np.frombuffer(config, dtype="<u8")

    @property
    def ready(self) -> bool:
        """Whether a driver has set the device up."""
        return bool(int(self._machine.m[self._slot + v.STATUS]) & v.DRIVER_OK)

    def config(self) -> bytes:
        """Return the configuration space."""
        return b""

    def serve(self, number: int) -> None:
        """Do what waits in a queue; a broken one makes the device want a reset."""
        queue = self._queues[number]
        try:
            if queue.usable:
                self.used = True
                self.work(number, queue)
                queue.interrupt()
        except QueueError:
            m = self._machine.m
            status = int(m[self._slot + v.STATUS])
            if self.version == v.LEGACY:
                m[self._slot + v.QUEUE_BASE + number * v.QUEUE_WORDS + v.READY] = 0
            else:
                m[self._slot + v.STATUS] = status | v.NEEDS_RESET
                if status & v.DRIVER_OK:
                    m[self._slot + v.INTERRUPTS] |= np.uint64(v.CONFIG_CHANGED)
        d.virtio_update(self._machine.m)

    def work(self, number: int, queue: Queue) -> None:
        """Do what waits in a queue: no more than a queue can hold, for requests may write to the queue itself."""
        for _ in range(v.QUEUE_SIZE):
            if (chain := queue.take()) is None:
                return
            queue.give(chain, self.request(queue, chain))

    @abstractmethod
    def request(self, queue: Queue, chain: Chain) -> int:
        """Do one request; returns how many bytes were written."""

    def snapshot(self):
        """Return what this device keeps outside the machine's state; nothing unless a kind of device says otherwise."""
        return None

    def restore(self, snapshot) -> None:
        """Go back to it."""
        assert snapshot is None


class Block(Device):
    """A disk.

    Parameters
    ----------
    disk : Disk
    """

    kind = v.BLOCK
    features = 1 << _SEGMENTS_MAX | 1 << _BLK_SIZE | 1 << _BLK_FLUSH

    def __init__(self, disk: Disk):
        self.disk = disk

    def config(self) -> bytes:
        """Return capacity (in sectors), no largest segment, most segments, no geometry, block size."""
        return struct.pack("<QIIII", self.disk.size // SECTOR, 0, _SEGMENTS, 0, SECTOR)

    def request(self, queue: Queue, chain: Chain) -> int:
        """Read, write, flush or identify; the last writable byte is the status."""
        sent, room = total(chain.readable), total(chain.writable)
        if sent < _HEADER.size or room < 1:
            raise QueueError("a disk request without header or status")
        kind, _, sector = _HEADER.unpack(queue.gather(chain.readable, _HEADER.size))
        data, status = b"", _OK
        try:
            if kind == _IN:
                status = self._span(sector, room - 1)
                if status == _OK:
                    data = self.disk.read(sector * SECTOR, room - 1)
            elif kind == _OUT:
                status = self._span(sector, sent - _HEADER.size)
                if status == _OK:
                    self.disk.write(sector * SECTOR, queue.gather(chain.readable)[_HEADER.size :])
            elif kind == _GET_ID:
                data = b"singlab disk".ljust(_ID_BYTES, b"\0")[: room - 1]
            elif kind != _FLUSH:
                status = _UNSUPP
        except OSError:
            data, status = b"", _IOERR
        # when it fails, what lies before the status stays as it was
        self._finish(queue, chain, data, status)
        return len(data) + 1

    def _span(self, sector: int, count: int) -> int:
        whole = count % SECTOR == 0 and count <= MAX_REQUEST and sector * SECTOR + count <= self.disk.size
        return _OK if whole else _IOERR

    def _finish(self, queue: Queue, chain: Chain, data: bytes, status: int) -> None:
        queue.scatter(chain.writable, data)
        address, length = next(buffer for buffer in reversed(chain.writable) if buffer[1])
        queue.scatter([(address + length - 1, 1)], bytes([status]))

    def snapshot(self) -> dict[int, bytes]:
        """Return the disk's changes."""
        return self.disk.snapshot()

    def restore(self, snapshot: dict[int, bytes]) -> None:
        """Put the disk back."""
        self.disk.restore(snapshot)


class Net(Device):
    """A network card whose other end is the host's code.

    Parameters
    ----------
    send : callable, optional
        Is given each frame the guest sends, as bytes.
    loopback : bool
        What is sent comes back.
    mac : bytes
        Six bytes.

    Attributes
    ----------
    sent : deque of bytes
        The last frames the guest has sent.
    quiet : bool
        Do not hand on what is sent: it was before.
    """

    kind, queues = v.NET, 2
    features = 1 << _NET_MAC | 1 << _NET_STATUS

    def __init__(self, send: Callable[[bytes], None] | None = None, loopback: bool = False, mac: bytes = b"\x52\x54\x00\x12\x34\x56"):
        self.sent: deque[bytes] = deque(maxlen=_KEPT)
        self._waiting: deque[bytes] = deque()
        self._send, self._loopback, self._mac = send, loopback, mac
        self.quiet = False

    def config(self) -> bytes:
        """Return the address and that the link is up."""
        return self._mac + struct.pack("<H", _LINK_UP)

    @property
    def _header(self) -> int:
        """Bytes before a frame: the modern header counts buffers, too."""
        return 12 if self.version == v.MODERN else 10

    def receive(self, frame: bytes) -> None:
        """Hand the guest a frame; it waits until the guest has room, and is lost if too many wait.

        Raises
        ------
        ValueError
            If it is no Ethernet frame.
        """
        if not FRAME_MIN <= len(frame) <= FRAME_MAX:
            raise ValueError(f"a frame has {FRAME_MIN} to {FRAME_MAX} bytes, not {len(frame)}; send longer data in several")
        if len(self._waiting) < _WAITING:
            self._waiting.append(bytes(frame))
        self.serve(_RECEIVE)

    def work(self, number: int, queue: Queue) -> None:
        """Send what the guest wants sent, or fill its buffers with what waits."""
        if number == _TRANSMIT:
            super().work(number, queue)
            return
        header = bytes(10) if self._header == 10 else struct.pack("<10xH", 1)
        while self._waiting and (chain := queue.take()) is not None:
            if chain.readable:
                raise QueueError("a buffer for receiving that the device may not write")
            packet = header + self._waiting.popleft()
            if len(packet) > total(chain.writable):
                queue.put_back()  # too small a buffer: the frame is lost
                continue
            queue.scatter(chain.writable, packet)
            queue.give(chain, len(packet))

    def request(self, queue: Queue, chain: Chain) -> int:
        """Send one frame; what is no frame is dropped."""
        header = self._header
        if chain.writable or total(chain.readable) < header:
            raise QueueError("a packet without header")
        frame = queue.gather(chain.readable, header + FRAME_MAX + 1)[header:]
        if FRAME_MIN <= len(frame) <= FRAME_MAX:
            self.sent.append(frame)
            if self._send is not None and not self.quiet:
                self._send(frame)
            if self._loopback:
                self.receive(frame)
        return 0

    def snapshot(self) -> tuple[list[bytes], list[bytes]]:
        """Return the frames sent and waiting."""
        return list(self.sent), list(self._waiting)

    def restore(self, snapshot: tuple[list[bytes], list[bytes]]) -> None:
        """Put them back."""
        self.sent = deque(snapshot[0], maxlen=_KEPT)
        self._waiting = deque(snapshot[1])


class Entropy(Device):
    """A source of random bytes; from one seed always the same."""

    kind = v.ENTROPY

    def request(self, queue: Queue, chain: Chain) -> int:
        """Fill the buffers, or the first 64 KB of them."""
        if chain.readable:
            raise QueueError("a buffer for random bytes that the device may not write")
        count = min(total(chain.writable), _ENTROPY_MAX)
        queue.scatter(chain.writable, self.random_bytes(count))
        return count

    def random_bytes(self, count: int) -> bytes:
        """Return the next random bytes of the machine."""
        m, steps = self._machine.m, -(-count // 8)
        seed = int(m[_s.RANDOM])
        z = np.arange(1, steps + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(seed)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
        m[_s.RANDOM] = (seed + steps * _GOLDEN) & _MASK
        return (z ^ (z >> np.uint64(31))).astype("<u8").tobytes()[:count]


class Slots:
    """The eight slots of a board, and which device is in which.

    Parameters
    ----------
    machine : Machine
    devices : dict of str to (int, Device)
        Name to slot and device.
    version : str or dict of str to str
        "legacy" or "modern", for all or for each device by its name.

    Raises
    ------
    ValueError
        If there is no such version or device.
    """

    def __init__(self, machine: Machine, devices: dict[str, tuple[int, Device]], version: str | dict[str, str]):
        self._machine = machine
        self.devices = {name: device for name, (_, device) in devices.items()}
        self._at = dict(devices.values())
        each = dict(version) if isinstance(version, dict) else {}
        default = DEFAULT_VERSION if isinstance(version, dict) else version
        for value in (default, *each.values()):
            if value not in VERSIONS:
                raise ValueError(f"there is no virtio version {value!r}; choose {' or '.join(VERSIONS)}")
        for name in each.keys() - devices.keys():
            raise ValueError(f"this board has no virtio device {name!r}; it has {', '.join(devices) or 'none'}")
        machine.m[v.SLOT_BASE + v.VERSION : v.SLOT_BASE + v.SLOTS * v.SLOT_WORDS : v.SLOT_WORDS] = VERSIONS[default]
        for name, (slot, device) in devices.items():
            chosen = VERSIONS[each.get(name, default)]
            machine.m[v.SLOT_BASE + slot * v.SLOT_WORDS + v.VERSION] = chosen
            device.attach(machine, slot, chosen)

    def serve(self) -> None:
        """Do what the guest has notified of."""
        m = self._machine.m
        while notified := int(m[v.NOTIFIED]):
            m[v.NOTIFIED] = 0
            for bit in range(v.SLOTS * v.QUEUES):
                if notified >> bit & 1 and (device := self._at.get(bit // v.QUEUES)) is not None:
                    device.serve(bit % v.QUEUES)

    def snapshot(self) -> dict:
        """Return what the devices keep outside the machine's state."""
        return {name: device.snapshot() for name, device in self.devices.items()}

    def restore(self, snapshot: dict) -> None:
        """Go back to it."""
        for name, device in self.devices.items():
            device.restore(snapshot[name])
