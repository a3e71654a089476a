"""A system in which nobody runs: whether it is at an end, waits for the outside, or will never go on.

A base class of ``System``. A system with many processes comes to rest often, so what is asked here is asked of the
kernel's own lists, by a compiled walk that costs the simulated machine nothing, and not of a host's object for each process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.damage import look_for_damage
from singlab.kernel.gate import resting_count
from singlab.trace.record import Kind
from singlab.trace.ring import emit

if TYPE_CHECKING:
    from singlab.kernel.system import System

_W = np.uint64


class Resting:
    """What a system says of itself when nobody runs."""

    def _idle(self: System) -> str:
        """Return the outcome of a run after which nobody can go on by itself."""
        if self._load(at.G_LIVE) == 0:
            return "finished"
        if self._awaits_device():
            return "waiting"
        counted = int(resting_count(self._m))
        look_for_damage(self.machine)
        if counted >> 32:
            return "suspended"
        if not self._host.deadlock_told:
            emit(self._m, _W(Kind.DEADLOCK), _W(counted & 0xFFFF_FFFF), _W(0))
            self._host.deadlock_told = True
            self._drain()
        return "deadlock"
