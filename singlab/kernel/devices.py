"""The devices beside the kernel: a serial line with its two ends, and a disk and a network card if a system is to have them.

A base class of ``System``. The registers are the machine's (QEMU's virt board); programs reach them by their manifests. What
a device does outside of the machine is done here whenever the run stops: what was sent on the serial line is kept, and
requests in a virtio device's queue are served.
"""

from __future__ import annotations

from singlab.kernel import layout as at
from singlab.kernel.damage import links
from singlab.machine import state as _s
from singlab.machine.disk import Disk
from singlab.machine.serial import uart_sent, uart_type
from singlab.machine.virtiodevices import DEFAULT_VERSION, Block, Net, Slots


class Devices:
    """What a system does with its devices."""

    def _attach(self, disk, net) -> None:
        """Put the devices where QEMU has them: a disk in virtio slot 0, a network card in slot 1."""
        there = {}
        if disk is not None:
            self.disk = disk if isinstance(disk, Disk) else Disk(disk, False)
            there["disk"] = (0, Block(self.disk))
        if net is not None:
            self.net = net if isinstance(net, Net) else Net(send=net) if callable(net) else Net(loopback=net == "loopback")
            there["net"] = (1, self.net)
        self._slots = Slots(self.machine, there, DEFAULT_VERSION) if there else None

    @property
    def serial(self) -> bytes:
        """Everything that was sent on the serial line (the UART's)."""
        self._serve_devices()
        return bytes(self._host.serial)

    def type(self, data: bytes | str) -> int:
        """Put bytes into the serial line's other end, for the UART to receive; returns how many there was room for."""
        data = data.encode() if isinstance(data, str) else bytes(data)
        return uart_type(self._m, data)

    def _serve_devices(self) -> None:
        """Do what devices have for the outside."""
        self._host.serial += uart_sent(self._m)
        if self._slots is not None:
            self._slots.serve()
        self._m[_s.STOP] = 0

    def _can_wake(self) -> bool:
        """Whether a thread will run although none is ready: one sleeps, or a device has something to say."""
        return self._load(at.G_WAKE) != at.NEVER or bool(int(self._m[_s.EXTERNAL]) & 1 << 9)

    def _awaits_device(self) -> bool:
        """Whether a thread waits for an interrupt, which only the outside can cause."""
        load = self._load
        for known in links(self.machine, load(at.G_HARDWARE), at.O_LINK):  # few have hardware, however many processes there are
            if load(known + at.O_MAGIC) == at.MAGIC_INTERRUPT:
                for thread in links(self.machine, load(load(known + at.O_PROCESS) + at.P_WAIT_FIRST), at.T_NEXT):
                    waited = range(thread + at.T_SELECTED, thread + at.T_SELECTED + 8 * at.WAIT_MOST, 8)
                    if load(thread + at.T_STATE) == at.BLOCKED and known in map(load, waited):
                        return True
        return False
