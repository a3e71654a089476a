"""The board: a machine with its devices and a program in it, and how a run of it ends.

A bare-metal program ends by the test finisher, or by Spike's tohost convention: it stores an odd word in
``tohost`` whose upper bits are its exit code (console characters and the write call go there too). What
it prints on the UART is kept, or handed to a listener as it comes. A kernel finds a disk, a network card
and a source of random bytes in the virtio slots 0, 1 and 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlab.machine import devices as d
from singlab.machine import state as _s
from singlab.machine.devicetree import board_tree
from singlab.machine.disk import Disk
from singlab.machine.elf import Elf, ElfError, read_elf
from singlab.machine.fetch import forget
from singlab.machine.harts import pass_time, wake_time
from singlab.machine.headers import place
from singlab.machine.machine import Machine
from singlab.machine.pmp import ENTRIES
from singlab.machine.privileged import illegal
from singlab.machine.serial import uart_sent, uart_type
from singlab.machine.virtiodevices import DEFAULT_VERSION, Block, Entropy, Net, Slots

if TYPE_CHECKING:
    from singlab.machine.translator import Translation

#: Cycles between two looks at the output.
_SLICE = 20_000_000
#: Above all programs: the device tree, and behind it what a firmware is told of the kernel.
_DTB_ROOM = 0x1_0000
#: OpenSBI's fw_dynamic_info: magic, version, where to go on and in which mode, options, and the hart to do it (0).
_INFO = struct.Struct("<6Q")
_INFO_MAGIC, _INFO_VERSION = 0x4942_534F, 2
#: Calls of the host interface that programs built for Spike use.
_HTIF_WRITE = 64
_NEVER = 0xFFFF_FFFF_FFFF_FFFF
_CLEARED_WORDS = 1 << 19
#: What a reset leaves as it is: a hart's books, and what the host keeps for all of them.
_BOOKS = [_s.INSTRET, _s.CYCLES, *range(_s.COUNTER_BASE, _s.PARAM_BASE)]
_HOST = [_s.STOP_CYCLE, _s.STOP_EVENT, _s.EVENT_COUNT, _s.TRACE_ON, _s.RANDOM, _s.HART_SEED, _s.STOP_INSTRET, _s.STOP_PC, _s.PRECISE, _s.WATCH, _s.WATCH_BYTES,
         d.CLEARED]  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes
    ----------
    reason : str
        "exit" (with a code), "limit", "wfi" (waits; for ever, or for a timer too if asked) or "lost" (a handler that cannot
        be fetched, and no interrupt that would be taken).
    code : int or None
        The exit code, if the program gave one.
    message : str
        One sentence.
    """

    reason: str
    code: int | None
    message: str


@dataclass(frozen=True)
class BoardSnapshot:
    """A board at one moment: the machine's state, what its devices keep outside of it, what was printed."""

    state: np.ndarray
    devices: dict
    printed: bytes


class Board:
    """A computer as QEMU's virt board, whose memory protection has 16 entries.

    Parameters
    ----------
    profile : str or Profile
    ram : str or int
    output : callable, optional
        Is given what the guest prints, as bytes, as it comes.
    disk : str, Path, bytes or Disk, optional
        Contents of a disk: a file, or the bytes. What the guest writes stays in memory.
    writable : bool
        Write to the disk's file as well, as QEMU does.
    net : "loopback", callable, Net or True, optional
        A network card; what it sends comes back, or is handed to the callable, or is kept in ``net.sent``.
    virtio : "legacy", "modern" or dict
        Which register layout the devices have, all or each ("disk", "net", "entropy"). The layout is QEMU's
        default if nothing is said; newer kernels that take only version 2 want "modern".
    seed : int
        Seed of the random bytes, and of how harts interleave.
    harts : int
        1 to 4. All start at the program's entry, with their number in a0.

    Attributes
    ----------
    disk : Disk or None
    net : Net or None
    printed : bytearray

    Raises
    ------
    ValueError
        If one of these cannot be; the message says why.
    """

    def __init__(
        self,
        profile="athlon64",
        ram: str | int = "128M",
        output: Callable[[bytes], None] | None = None,
        disk: str | Path | bytes | Disk | None = None,
        writable: bool = False,
        net: str | bool | Callable[[bytes], None] | Net | None = None,
        virtio: str | dict[str, str] = DEFAULT_VERSION,
        seed: int = 0,
        harts: int = 1,
    ):
        self.machine = Machine(profile=profile, ram=ram, seed=seed, harts=harts)
        self.disk = disk if disk is None or isinstance(disk, Disk) else Disk(disk, writable)
        self.net = _card(net)
        devices = {"disk": (0, Block(self.disk))} if self.disk is not None else {}
        devices |= {"net": (1, self.net)} if self.net is not None else {}
        self.slots = Slots(self.machine, {**devices, "entropy": (2, Entropy())}, virtio)
        self.printed = bytearray()
        self.symbols: dict[str, int] = {}
        self.program: Elf | None = None
        self._output, self._quiet = output, False
        self.machine.m[_s.PMP_ENTRIES] = ENTRIES
        self._tree = self._info = b""
        self._fresh = self.machine.m[: _s.RING_BASE].copy()

    def load(self, program: str | Path | Elf, arguments: str = "", firmware: str | Path | Elf | None = None) -> None:
        """Put a program into RAM, ready to start at its entry in M mode with the device tree in a1.

        Whatever the board did before is gone, but for the contents of its disk and what it printed.

        Parameters
        ----------
        program : str, Path or Elf
        arguments : str
            Command line for a kernel, in the device tree.
        firmware : str, Path or Elf, optional
            A program that starts first, and then the other one in S mode: OpenSBI's fw_jump, or fw_dynamic, which finds
            out by a2 where that is.

        Raises
        ------
        ElfError
            If one is no program for this machine, does not fit into its RAM, or lies where the other does.
        """
        elf = program if isinstance(program, Elf) else read_elf(program)
        info = b""
        if firmware is not None:
            info = _INFO.pack(_INFO_MAGIC, _INFO_VERSION, elf.entry, _s.S, 0, 0)
            elf = elf.above(firmware if isinstance(firmware, Elf) else read_elf(firmware))
        m = self.machine.m
        end = _s.RAM_BASE + int(m[_s.RAM_BYTES])
        for address, _, size in elf.segments:
            if address < _s.RAM_BASE or address + size > end - _DTB_ROOM:
                mega = (end - _s.RAM_BASE) >> 20
                raise ElfError(
                    f"the program wants memory from {address:#x} to {address + size:#x}, and this machine has RAM from "
                    f"{_s.RAM_BASE:#x} to {end - _DTB_ROOM:#x} ({mega} MB). Link it at {_s.RAM_BASE:#x}, or give the machine more RAM."
                )
        if elf.entry & 1 or not _s.RAM_BASE <= elf.entry < end - _DTB_ROOM:
            raise ElfError(
                f"the program starts at {elf.entry:#x}, and this machine has RAM from {_s.RAM_BASE:#x} to {end - _DTB_ROOM:#x}. "
                f"Name its first instruction with ENTRY or -e, and link it at {_s.RAM_BASE:#x}."
            )
        tree = board_tree(int(m[_s.RAM_BYTES]), self.machine.profile.clock_hz, arguments, int(m[_s.HARTS]))
        if len(tree) > _DTB_ROOM - _INFO.size:
            raise ElfError(
                f"the arguments are {len(arguments):,} characters long, and there is room for about {_DTB_ROOM // 1024} K. Pass fewer."
            )
        self.symbols, self.program, self._tree, self._info = elf.symbols, elf, tree, info
        self.machine.translation = None
        for first in range(_s.RING_BASE, len(m), _CLEARED_WORDS):
            part = m[first : first + _CLEARED_WORDS]
            if part.any():  # memory that was never touched stays so
                part[:] = 0
        self._start()

    def reset(self) -> None:
        """Start the loaded program again, as the reset button does; if none was loaded, what lies at the beginning of RAM.

        Registers, devices, caches and the program's memory are as after loading, and so is the clock that the
        guest reads. The rest of RAM, the disk, and the host's count of cycles, instructions and events go on.
        """
        m = self.machine.m
        self.machine.look_at(0)
        headers = [int(place(m, hart, 0)) for hart in range(int(m[_s.HARTS]))]
        books = [m[[header + word for word in _BOOKS]] for header in headers]
        host = m[_HOST]
        unread = m[d.RX_HEAD] - m[d.RX_TAIL]
        translation, self.machine.translation = self.machine.translation, None
        self._start()
        m[_HOST] = host
        m[d.CLEARED] += unread
        for header, kept in zip(headers, books, strict=True):
            m[[header + word for word in _BOOKS]] = kept
            m[header + _s.CYCLE_OFFSET], m[header + _s.INSTRET_OFFSET] = (
                -int(m[header + word]) & _NEVER for word in (_s.CYCLES, _s.INSTRET)
            )
        m[_s.TIME_SEEN] = max(int(m[header + _s.CYCLES]) for header in headers)
        m[_s.TIME_OFFSET] = -int(m[_s.CYCLES if len(headers) == 1 else _s.TIME_SEEN]) & _NEVER
        self.machine.translation = translation
        if translation is not None and translation.intact(self.machine):
            translation.attach(m)

    def _start(self) -> None:
        """Put the program and the device tree into RAM, and the rest of the state as it was when the board was made."""
        m, elf = self.machine.m, self.program
        m[: _s.RING_BASE] = self._fresh
        forget(self.machine.uops, m[_s.RAM_BYTES])
        if elf is None:
            return
        for address, data, size in elf.segments:
            self.machine.write(address, data + bytes(size - len(data)))
        end = _s.RAM_BASE + int(m[_s.RAM_BYTES])
        self.machine.write(end - _DTB_ROOM, self._tree)
        told = end - _INFO.size if self._info else 0
        if told:
            self.machine.write(told, self._info)
        for hart in range(int(m[_s.HARTS])):
            for word, value in ((_s.PC, elf.entry), (_s.X + 10, hart), (_s.X + 11, end - _DTB_ROOM), (_s.X + 12, told)):
                m[int(place(m, hart, word))] = value
        tohost = elf.symbols.get("tohost")
        if tohost is not None and _s.RAM_BASE <= tohost <= end - 8:
            m[_s.TOHOST] = tohost - _s.RAM_BASE + _s.RAM_OFFSET

    def translate(self) -> Translation:
        """Translate the program's code to native code (:meth:`Machine.translate`); returns the translation.

        Raises
        ------
        ValueError
            If nothing is loaded, or its code is not in one piece.
        """
        if self.program is None or not self.program.code:
            raise ValueError("there is no code to translate; load a program first")
        parts = self.program.code
        if len({physical - virtual for physical, virtual, _ in parts}) > 1:
            raise ValueError("the program's code lies in parts that are moved differently; it can only be interpreted")
        physical, virtual, _ = min(parts)
        size = max(p + n for p, _, n in parts) - physical
        return self.machine.translate(physical, size, self.symbols.values(), virtual)

    @property
    def view(self):
        """The views of this board's machine (:mod:`singlab.machine.view`), with its program's symbols and source lines."""
        from singlab.machine.view import Views

        return Views(self)

    def type(self, data: bytes) -> int:
        """Put bytes into the UART's input; returns how many there was room for."""
        return uart_type(self.machine.m, data)

    def run(self, cycles: int | None = None, wait: bool = True) -> Ended:
        """Run until the program ends, waits for ever, or so many cycles have passed.

        Without ``wait`` it also ends, with "wfi", where the program waits for a timer: the caller lets the
        time pass (:meth:`seconds_to_timer`, :meth:`pass_seconds`).
        """
        m = self.machine.m
        limit = None if cycles is None else int(m[_s.CYCLES]) + cycles
        while True:
            left = _SLICE if limit is None else min(_SLICE, limit - int(m[_s.CYCLES]))
            if left <= 0:
                return Ended("limit", None, f"stopped at the limit of {cycles:,} cycles")
            ended = self.attend(self.machine.run(cycles=left, wait=wait))
            if ended is not None:
                return ended

    def attend(self, reason: str, quiet: bool = False) -> Ended | None:
        """Do what the machine has stopped for (:meth:`Machine.run`); returns an end if it was the last thing.

        If ``quiet``, what the guest prints and sends now it has printed and sent before: nobody is told again.
        """
        m = self.machine.m
        self._quiet = quiet
        if self.net is not None:
            self.net.quiet = quiet
        self._drain()
        self.slots.serve()
        if reason == "device":
            m[_s.STOP] = 0
            if int(m[_s.TOHOST]) and (ended := self._tohost()) is not None:
                return ended
            if int(m[_s.EXIT]) == d.RESET:
                self.reset()
            elif int(m[_s.EXIT]):
                code = int(m[_s.EXIT]) - 1
                m[_s.EXIT] = 0
                return Ended("exit", code, f"the program ended with code {code}")
        elif reason == "hook":
            illegal(m)  # hooks are for kernels of the host's; for a program of its own there is no such instruction
        elif reason == "wfi":
            what = "an interrupt that cannot come" if self._timer() is None else "its timer"
            return Ended("wfi", None, f"the program waits for {what}")
        elif reason == "lost":
            machine_level = int(m[_s.MODE]) == _s.M_MODE
            cause, at, vector = (
                int(m[w]) for w in ((_s.MCAUSE, _s.MEPC, _s.MTVEC) if machine_level else (_s.SCAUSE, _s.SEPC, _s.STVEC))
            )
            name = "mtvec" if machine_level else "stvec"
            return Ended("lost", None, f"a trap (cause {cause}) at {at:#x} has no handler in memory: {name} is {vector:#x}")
        return None

    # ---- time that passes while the guest waits ---------------------------------------------------------------

    def _timer(self) -> int | None:
        """Return the cycles until a timer ends a wait, None if none will."""
        wake = int(wake_time(self.machine.m))
        return None if wake == _NEVER else max(0, wake - int(self.machine.m[_s.CYCLES]))

    def seconds_to_timer(self) -> float | None:
        """Return how long a waiting guest waits for its timer, in seconds of its own time; None if no timer will wake it."""
        cycles = self._timer()
        return None if cycles is None else cycles / self.machine.profile.clock_hz

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass for a waiting guest, at most until its timer."""
        m = self.machine.m
        cycles, timer = round(seconds * self.machine.profile.clock_hz), self._timer()
        pass_time(m, np.uint64(int(m[_s.CYCLES]) + max(0, cycles if timer is None else min(cycles, timer))))

    # ---- going back -----------------------------------------------------------------------------------------------

    def snapshot(self) -> BoardSnapshot:
        """Return the whole board as it is now, its disk included."""
        return BoardSnapshot(self.machine.snapshot(), *self.devices())

    def restore(self, snapshot: BoardSnapshot) -> None:
        """Go back to a snapshot of a board with the same RAM and devices; a writable disk's file goes back, too."""
        if snapshot.devices.keys() != self.slots.devices.keys():
            raise ValueError("the snapshot is of a board with other devices; make the board as it was then")
        self.machine.restore(snapshot.state)
        self.put_back(snapshot.devices, snapshot.printed)

    def devices(self) -> tuple[dict, bytes]:
        """Return what a board keeps outside of the machine's state: what its devices do, and what was printed."""
        return self.slots.snapshot(), bytes(self.printed)

    def put_back(self, devices: dict, printed: bytes) -> None:
        """Put that back."""
        self.slots.restore(devices)
        self.printed[:] = printed

    # ---- what the guest says ----------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Take what the UART has sent."""
        if data := uart_sent(self.machine.m):
            self._print(data)

    def _print(self, data: bytes) -> None:
        self.printed += data
        if self._output is not None and not self._quiet:
            self._output(data)

    def _tohost(self) -> Ended | None:
        """Do what the guest asked for in tohost; returns an end if it was the last thing."""
        machine = self.machine
        address = int(machine.m[_s.TOHOST]) - _s.RAM_OFFSET + _s.RAM_BASE
        value = machine.load_u64(address)
        if value == 0:
            return None
        if value & 1 and value >> 48 == 0:
            code = value >> 1
            return Ended("exit", code, f"the program ended with code {code}")
        machine.store_u64(address, 0)
        answer = 1
        if value >> 48 == 0x0101:
            self._print(bytes([value & 0xFF]))
        elif value >> 56 == 0:
            try:
                call, _, place, count = (machine.load_u64(value + 8 * i) for i in range(4))
                if call == _HTIF_WRITE:
                    self._print(machine.read(place, min(count, 1 << 20)))
                    machine.store_u64(value, count)
            except ValueError:
                answer = 1  # the guest pointed outside memory: nothing is printed
        fromhost = self.symbols.get("fromhost")
        if fromhost is not None and _s.RAM_BASE <= fromhost < _s.RAM_BASE + int(machine.m[_s.RAM_BYTES]) - 8:
            machine.store_u64(fromhost, answer)
        return None


def _card(net) -> Net | None:
    """Return the network card that a board is asked for."""
    if net is None or net is False or isinstance(net, Net):
        return net or None
    if net is True:
        return Net()
    if net == "loopback":
        return Net(loopback=True)
    if callable(net):
        return Net(send=net)
    raise ValueError(f"{net!r} is no network; give True, 'loopback', or a function that takes the frames sent")
