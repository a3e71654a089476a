"""A machine: the state, its decoded instructions, and what one does with them from Python."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from singlab.machine import state as _s
from singlab.machine.fetch import PAGE_SLOTS, forget, has_decoded, new_uops
from singlab.machine.hart import STOP_DEVICE, STOP_HERE, STOP_HOOK, STOP_LIMIT, STOP_LOST, STOP_WFI, hart_run
from singlab.machine.harts import change_to, harts_run, pass_time, retired, wake_time
from singlab.machine.headers import place
from singlab.machine.isa import REGISTER_NAMES
from singlab.machine.profile import Profile, apply_profile, get_profile

if TYPE_CHECKING:
    from singlab.machine.translator import Translation

_NEVER = 0xFFFF_FFFF_FFFF_FFFF
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
REASONS = {STOP_LIMIT: "limit", STOP_HOOK: "hook", STOP_WFI: "wfi", STOP_DEVICE: "device", STOP_LOST: "lost", STOP_HERE: "here"}


def parse_size(size: str | int) -> int:
    """Return a size in bytes from a number or a text such as "16M"; raises ValueError."""
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"\s*(\d+)\s*([KMG]?)B?\s*", size, re.IGNORECASE)
    if not match:
        raise ValueError(f"{size!r} is not a size; write it as 16M or 512K")
    return int(match[1]) * _UNITS[match[2].upper()]


class Machine:
    """A simulated RV64IMAC computer.

    Parameters
    ----------
    profile : str or Profile
        Timing.
    ram : str or int
        Size of RAM, a multiple of 4096 bytes.
    seed : int
        Seed of the machine's own random numbers, and of how harts interleave.
    harts : int
        1 to 4.

    Attributes
    ----------
    m : ndarray of uint64
        The whole state (:mod:`singlab.machine.state`).
    uops : ndarray of uint64
        Decoded instructions (:mod:`singlab.machine.fetch`); derived, never part of a snapshot.
    profile : Profile
    """

    def __init__(self, profile: str | Profile = "athlon64", ram: str | int = "16M", seed: int = 0, harts: int = 1):
        if not 1 <= harts <= _s.MAX_HARTS:
            raise ValueError(f"a machine has 1 to {_s.MAX_HARTS} harts, not {harts}")
        self.profile = get_profile(profile)
        self.m = _s.new_state(parse_size(ram))
        apply_profile(self.m, self.profile, harts)
        self.m[_s.HARTS] = harts
        self.m[_s.RANDOM] = seed
        self.m[_s.HART_SEED] = (seed * 0x9E37_79B9_7F4A_7C15 + 0x1234_5678_9ABC_DEF1) & 0xFFFF_FFFF_FFFF_FFFF or 1
        self.uops = new_uops(int(self.m[_s.RAM_BYTES]))
        self.translation: Translation | None = None

    # ---- memory, from outside and untimed ----------------------------------------------------------------

    def _offset(self, address: int, count: int) -> int:
        at = address - _s.RAM_BASE
        if at < 0 or count < 0 or at + count > int(self.m[_s.RAM_BYTES]):
            raise ValueError(f"{count} bytes at {address:#x} lie outside RAM")
        return _s.RAM_OFFSET + at

    def read(self, address: int, count: int) -> bytes:
        """Return ``count`` bytes at a physical address."""
        at = self._offset(address, count)
        return self.m.view(np.uint8)[at : at + count].tobytes()

    def write(self, address: int, data: bytes) -> None:
        """Write bytes at a physical address; instructions there are decoded again."""
        at = self._offset(address, len(data))
        self.m.view(np.uint8)[at : at + len(data)] = np.frombuffer(data, dtype=np.uint8)
        self.code_written(address, len(data))

    def code_written(self, address: int, count: int) -> None:
        """Forget what was made of the instructions that lay at ``count`` bytes, as ``fence.i`` does."""
        if (t := self.translation) is not None and address < t.address + t.size and t.address < address + count:
            self._interpret_from_now("its memory was written from outside")
        # an instruction that begins just before the first byte may reach into what was written
        first, last = max(0, (address - _s.RAM_BASE) // 2 - 1), (address - _s.RAM_BASE + count + 1) // 2
        if count and has_decoded(self.uops, int(self.m[_s.RAM_BYTES]), first // PAGE_SLOTS, (last - 1) // PAGE_SLOTS):
            self.uops[first:last] = 0

    def load_u64(self, address: int) -> int:
        """Return the eight-byte word at a physical address."""
        at = self._offset(address, 8)
        return int(self.m[at >> 3]) if at & 7 == 0 else int.from_bytes(self.read(address, 8), "little")

    def store_u64(self, address: int, value: int) -> None:
        """Write an eight-byte word at a physical address."""
        value &= 0xFFFF_FFFF_FFFF_FFFF
        at = self._offset(address, 8)
        if at & 7:
            self.write(address, value.to_bytes(8, "little"))
        else:
            self.m[at >> 3] = value
            self.code_written(address, 8)

    def leave_machine_level(self) -> None:
        """Do what firmware does before it starts a supervisor: hand it all traps, all memory, its timer and the counters."""
        m = self.m
        m[_s.MEDELEG] = 0xB1FF
        m[_s.MIDELEG] = 0x222
        m[_s.MENVCFG] = 1 << 63
        m[_s.MCOUNTEREN] = m[_s.SCOUNTEREN] = 0xFFFF_FFFF
        m[_s.PMP_ADDRESS], m[_s.PMP_CONFIG] = (1 << 54) - 1, 0x1F
        m[_s.MODE] = _s.S

    # ---- translated code ------------------------------------------------------------------------------------------

    def translate(self, address: int, size: int, entries: Iterable[int] = (), virtual: int | None = None) -> Translation:
        """Translate an image in RAM to native code, which then runs in place of the interpreter.

        Results are the same, and so are cycles. A store into the image ends it: what can change is interpreted.

        Parameters
        ----------
        address, size : int
            Physical address and bytes of the image.
        entries : iterable of int
            Where its functions begin, as the guest sees them.
        virtual : int, optional
            Where the guest sees the image, if not at its physical address.
        """
        from singlab.machine.translator import Translation

        self.translation = Translation(self, address, size, entries, virtual)
        self.m[_s.CODE_WRITTEN] = 0
        if self.translation.reason is None:
            self.translation.attach(self.m)
        else:
            self.m[_s.CODE_BYTES] = 0
        self.forget_pages()
        return self.translation

    def _interpret_from_now(self, reason: str) -> None:
        self.translation.reason = self.translation.reason or reason
        self.m[_s.CODE_BYTES] = 0
        self.m[_s.CODE_WRITTEN] = 0

    def _run(self) -> int:
        """Run by the engine there is; returns a STOP reason."""
        m = self.m
        while True:
            if m[_s.CODE_BYTES] == 0:
                return int(hart_run(m, self.uops))
            if self.translation is None or self.translation.reason is not None:
                m[_s.CODE_BYTES] = 0
                continue
            reason = int(hart_run(m, self.uops) if m[_s.PRECISE] else self.translation.run(self))
            if reason != STOP_DEVICE or not m[_s.CODE_WRITTEN]:
                return reason
            at = int(m[_s.CODE_WRITTEN]) - _s.RAM_OFFSET + _s.RAM_BASE
            wanted = m[_s.CODE_WRITTEN] == m[_s.TOHOST]  # as conformance programs lie, with tohost between two parts of their code
            self._interpret_from_now(f"the program wrote into its code at {at:#x}")
            if wanted:
                return reason
            m[_s.STOP] = 0

    # ---- running ----------------------------------------------------------------------------------------------

    def run(self, cycles: int | None = None, wait: bool = True) -> str:
        """Run for so many cycles (to the next line or jump), or until something else stops it.

        Without ``wait`` it also stops where the hart waits for a timer.

        Returns
        -------
        str
            "limit"; "hook" (at a hook instruction); "wfi" (waiting, and no timer will end the wait); "device"
            (one wants the host); "lost" (a handler that cannot be fetched, and no interrupt that would be taken).
        """
        m = self.m
        limit = _NEVER if cycles is None else int(m[_s.CYCLES]) + cycles
        m[_s.STOP_CYCLE] = limit
        if m[_s.HARTS] > 1:
            self.look_at()  # what was looked at meanwhile does not matter
            limit = _NEVER if cycles is None else int(m[_s.CYCLES]) + cycles
            return REASONS[int(harts_run(m, self.uops, np.uint64(limit), wait))]
        while True:
            reason = self._run()
            if reason != STOP_WFI or not wait or not self._sleep(limit):
                return REASONS[reason]

    def run_precisely(self, position: int | None = None, address: int | None = None, cycles: int | None = None) -> str:
        """Run until so many instructions have retired in all, or until the next one is at an address, or for so many cycles.

        Returns
        -------
        str
            "here", or why it stopped before (:meth:`run`).
        """
        m = self.m
        m[_s.PRECISE] = 1
        m[_s.STOP_INSTRET] = _NEVER if position is None else position
        m[_s.STOP_PC] = _NEVER if address is None else address
        try:
            return self.run(cycles)
        finally:
            m[_s.PRECISE] = 0
            m[_s.STOP_INSTRET] = m[_s.STOP_PC] = _NEVER

    def forget_pages(self) -> None:
        """Empty the quick tables of all harts, as after a change that their promises did not foresee."""
        self.m[_s.QUICK_BASE : _s.DEVICE_BASE] = _s.QUICK_EMPTY

    def _sleep(self, limit: int) -> bool:
        """Let time pass until a timer that is enabled ends a wait, or to the limit; returns whether one ever will."""
        m = self.m
        wake = int(wake_time(m))
        if wake == _NEVER:
            return False
        if wake > limit:
            # the wait goes on when the machine does: it stands at its wfi again, which has not retired
            wake = limit
            m[_s.PC] -= np.uint64(4)
            m[_s.INSTRET] -= np.uint64(1)
            m[_s.C_STALL_IDLE] += np.uint64(1)
        pass_time(m, np.uint64(wake))
        return True

    # ---- looking ------------------------------------------------------------------------------------------------

    @property
    def retired(self) -> int:
        """Instructions that all harts together have retired."""
        return int(retired(self.m))

    def counters(self, hart: int | None = None) -> dict[str, int]:
        """Return cycles, instructions and every event counter, of one hart or of all.

        Of all: the cycles of the clock that is furthest ahead, and sums of the rest.
        """
        words = {"cycles": _s.CYCLES, "instructions": _s.INSTRET} | {name: _s.COUNTER_BASE + i for i, name in enumerate(_s.COUNTERS)}
        harts = range(int(self.m[_s.HARTS])) if hart is None else [self._hart(hart)]
        found = {name: [int(self.m[int(place(self.m, h, word))]) for h in harts] for name, word in words.items()}
        return {name: max(values) if name == "cycles" else sum(values) for name, values in found.items()}

    def _hart(self, hart: int) -> int:
        """Return the number of a hart; raises ValueError if there is none of this number."""
        if not 0 <= hart < int(self.m[_s.HARTS]):
            raise ValueError(f"there is no hart {hart}; this machine has {int(self.m[_s.HARTS])}")
        return hart

    def look_at(self, hart: int | None = None) -> None:
        """Make another hart the one whose registers and counters one sees; which runs next does not depend on it.

        Without a number: the hart that is to go on, where that is decided.
        """
        if hart is None:
            hart = int(self.m[_s.STRETCH_HART] if self.m[_s.STRETCH] else self.m[_s.HART])
        change_to(self.m, np.uint64(self._hart(hart)))

    def registers(self) -> dict[str, int]:
        """Return pc and the general registers by their conventional names."""
        return {"pc": int(self.m[_s.PC])} | {name: int(self.m[i]) for i, name in enumerate(REGISTER_NAMES)}

    @property
    def view(self):
        """The views of this machine (:mod:`singlab.machine.view`): registers, code, caches, page walks, memory."""
        from singlab.machine.view import Views

        return Views(self)

    # ---- going back -----------------------------------------------------------------------------------------------

    def snapshot(self) -> np.ndarray:
        """Return a copy of the whole state."""
        return self.m.copy()

    def restore(self, snapshot: np.ndarray) -> None:
        """Go back to a snapshot of a machine of this size."""
        if snapshot.shape != self.m.shape:
            raise ValueError("the snapshot is of a machine with another amount of RAM")
        self.m[:] = snapshot
        if self.m[_s.CODE_BYTES] and (self.translation is None or not self.translation.intact(self)):
            self.m[_s.CODE_BYTES] = 0
        forget(self.uops, self.m[_s.RAM_BYTES])

    def save(self, path: str | Path) -> Path:
        """Write the state to a compressed file and return its path."""
        path = Path(path)
        with path.open("wb") as file:
            np.savez_compressed(file, m=self.m, profile=np.array(self.profile.name))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Machine:
        """Return a machine with the state saved in a file; raises ValueError if the file is no saved machine."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                m, profile = stored["m"], str(stored["profile"])
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{path} is not a saved machine ({error}); save one with Machine.save") from None
        if m.dtype != np.uint64 or m.ndim != 1 or len(m) <= _s.RAM_WORD or len(m) != _s.RAM_WORD + int(m[_s.RAM_BYTES]) // 8:
            raise ValueError(f"{path} is not a saved machine; save one with Machine.save")
        machine = cls(profile, int(m[_s.RAM_BYTES]))
        machine.m[:] = m
        machine.m[_s.CODE_BYTES] = 0
        return machine

    def __repr__(self) -> str:
        m = self.m
        return (
            f"<Machine {self.profile.name}, {int(m[_s.RAM_BYTES]) >> 20} MB: pc {int(m[_s.PC]):#x}, "
            f"{int(m[_s.CYCLES]):,} cycles, {int(m[_s.INSTRET]):,} instructions>"
        )
