"""Between two instructions of the kernel: how the host lets it finish before it changes anything itself.

A run ends wherever its limit falls, also in the middle of the entry code, where the registers of the thread that a call
suspended are in the hart and nowhere else. Who then stops a process, this one or another, must not throw them away.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.gate import system_run
from singlab.kernel.native import STOP_PRINT
from singlab.machine import state as _s

_NEVER = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
#: The entry code lies in this many bytes.
_TEXT_BYTES = 0x1_0000


def finish(machine, labels: dict[str, int], print_: Callable[[], None]) -> None:
    """Let the hart leave the entry code, for a program or for the idle loop.

    Parameters
    ----------
    machine : Machine
    labels : dict of str to int
        Addresses in the switch code, as :func:`singlab.kernel.boot.boot` returns them.
    print_ : callable
        Called when the call that is finished has text to print.
    """
    m = machine.m
    m[_s.STOP_CYCLE] = m[_s.STOP_EVENT] = _NEVER
    m[_s.PRECISE] = 1
    while at.TEXT_BASE <= (pc := int(m[_s.PC])) < at.TEXT_BASE + _TEXT_BYTES and not labels["idle"] <= pc <= labels["wait"] + 4:
        m[_s.STOP_INSTRET] = m[_s.INSTRET] + np.uint64(1)
        if system_run(m, machine.uops) == STOP_PRINT:
            print_()
    m[_s.PRECISE], m[_s.STOP_INSTRET] = 0, _NEVER
