"""Going forward and back in time, to the instruction.

A run is a pure function of the state, so going back is restoring a checkpoint and running forward again.
Time is the count of instructions retired, by all harts together. Checkpoints hold the pages that differ from
the beginning, and of a board what its devices keep; the further back, the fewer are kept. What a board has
said before it does not say again. What comes from outside (keys, packets) is not of the machine's making: after
such a change call :meth:`TimeTravel.changed`, and what lay ahead is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from singlab.machine import state as _s
from singlab.machine.fetch import forget
from singlab.machine.machine import Machine

_NEVER = 0xFFFF_FFFF_FFFF_FFFF
#: Instructions between two checkpoints at first, and how many checkpoints are kept.
_SPACING, _KEPT = 2_000_000, 32
#: A run pauses when its clock comes to a multiple of this, to see whether anything is still to be expected.
_SLICE = 5_000_000


@dataclass(frozen=True)
class _Checkpoint:
    position: int
    pages: np.ndarray
    content: np.ndarray
    devices: tuple | None


class TimeTravel:
    """A machine with a past.

    Parameters
    ----------
    machine : Machine or Board
        Whatever it has done so far is before the beginning.

    Attributes
    ----------
    start : int
        The earliest position one can go to.
    """

    def __init__(self, machine):
        self._board = machine if hasattr(machine, "machine") else None
        self.machine: Machine = machine.machine if self._board is not None else machine
        # the state's header and RAM are whole pages
        self._beginning = self.machine.m.copy()
        self.start = self._furthest = self.position
        self._spacing = _SPACING
        self._checkpoints = [_Checkpoint(self.start, np.empty(0, np.int64), np.empty((0, _s.PAGE_WORDS), np.uint64), self._devices())]

    @property
    def position(self) -> int:
        """Instructions retired so far."""
        return self.machine.retired

    # ---- forward -------------------------------------------------------------------------------------------------

    def step(self, n: int = 1) -> str:
        """Run ``n`` instructions on; returns "here", or why it stopped before (:meth:`Machine.run`, :class:`Ended`)."""
        if n < 0:
            return self.back(-n)
        return self._forward(self.position + n)

    def run_to(self, address: int, limit: int | None = None) -> str:
        """Run until the next instruction is the one at an address, at least one; ``limit`` counts instructions.

        Returns
        -------
        str
            "here", "limit" (it did not come there), or why the machine stopped.
        """
        end = _NEVER if limit is None else self.position + limit
        reason = self._forward(self.position + 1)
        while reason == "here" and int(self.machine.m[_s.PC]) != address:
            if self.position >= end:
                return "limit"
            reason = self._forward(end, address)
        return reason

    def watch(self, address: int, length: int = 8, limit: int | None = None) -> str:
        """Run until an instruction has read or written any of these bytes (virtual addresses); returns as :meth:`run_to`."""
        if length < 1:
            raise ValueError("a watch needs at least one byte")
        m = self.machine.m
        end = _NEVER if limit is None else self.position + limit
        m[_s.WATCH], m[_s.WATCH_BYTES] = address, length
        self.machine.forget_pages()
        try:
            reason = self._forward(end)
        finally:
            m[_s.WATCH_BYTES] = 0
        if reason == "here" and not m[_s.WATCH_HIT]:
            return "limit"
        return reason

    # ---- back ----------------------------------------------------------------------------------------------------

    def back(self, n: int = 1) -> str:
        """Go ``n`` instructions back."""
        return self.goto(self.position - n)

    def goto(self, position: int) -> str:
        """Go to a position, before or after this one.

        Raises
        ------
        ValueError
            If it lies before the start.
        """
        if position < self.start:
            raise ValueError(f"the past begins at instruction {self.start:,}; {position:,} lies before it")
        if position < self.position:
            self._restore(max((c for c in self._checkpoints if c.position <= position), key=lambda c: c.position))
        return "here" if position == self.position else self._forward(position)

    def changed(self) -> None:
        """Say that the state was changed from outside: what lay ahead is forgotten, the past ends here."""
        self._checkpoints = [c for c in self._checkpoints if c.position < self.position]
        self._furthest = self.position
        self._keep()

    # ---- inside --------------------------------------------------------------------------------------------------

    def _forward(self, position: int, address: int | None = None) -> str:
        """Run to a position or an address, leaving checkpoints on the way."""
        m = self.machine.m
        watched = m[_s.WATCH_BYTES] != 0
        self.machine.look_at()
        while True:
            last, before, idle = self._checkpoints[-1].position, self.position, self.machine.counters()["stall_idle"]
            pause = min(position, max(last, before) + self._spacing)
            if again := before < self._furthest:
                pause = min(pause, self._furthest)
            reason = self.machine.run_precisely(pause, address, _SLICE - int(m[_s.CYCLES]) % _SLICE)
            if self._board is not None:
                ended = self._board.attend(reason, quiet=again)
                if ended is not None:
                    reason = ended.reason
            here = self.position
            self._furthest = max(self._furthest, here)
            if watched and m[_s.WATCH_HIT] and reason in ("limit", "device", "hook"):
                return "here"  # it touched with its last instruction
            if reason == "limit":
                if here == before and self.machine.counters()["stall_idle"] == idle:
                    return "lost"  # trap after trap, and nothing retires: it would never come anywhere
                continue
            if self._board is not None and reason in ("device", "hook") and here < position:
                continue
            if reason != "here":
                return reason
            if here >= position or (address is not None and int(m[_s.PC]) == address) or (watched and m[_s.WATCH_HIT]):
                return reason
            if here >= last + self._spacing:
                self._keep()

    def _devices(self) -> tuple | None:
        """Return what a board's devices keep outside of the state."""
        return None if self._board is None else self._board.devices()

    def _keep(self) -> None:
        now, then = self.machine.m.reshape(-1, _s.PAGE_WORDS), self._beginning.reshape(-1, _s.PAGE_WORDS)
        pages = np.flatnonzero((now != then).any(axis=1))
        self._checkpoints.append(_Checkpoint(self.position, pages, now[pages], self._devices()))
        if len(self._checkpoints) > _KEPT:
            # every other one of the older half goes; from now on they lie twice as far apart
            half = len(self._checkpoints) // 2
            self._checkpoints = self._checkpoints[:half:2] + self._checkpoints[half:]
            self._spacing += self._spacing // 2

    def _restore(self, checkpoint: _Checkpoint) -> None:
        m = self.machine.m
        limit, watch = m[_s.STOP_CYCLE], m[_s.WATCH : _s.WATCH_BYTES + 1].copy()
        m[:] = self._beginning
        m.reshape(-1, _s.PAGE_WORDS)[checkpoint.pages] = checkpoint.content
        m[_s.STOP_CYCLE], m[_s.WATCH : _s.WATCH_BYTES + 1] = limit, watch
        forget(self.machine.uops, m[_s.RAM_BYTES])
        if self._board is not None:
            self._board.put_back(*checkpoint.devices)
