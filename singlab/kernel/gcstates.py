"""What each thread of a process is to the collectors: the state word of the real system, as this kernel's records say it.

In the real system each thread has one word with two sets of four bits, one for the kernel's collector and one for its SIP's:
dormant, mutator, asked to stop, collecting. A thread that calls the kernel becomes dormant for its SIP and a mutator for the kernel,
with one compare-and-swap; so a SIP's collector counts it as stopped while it is in the kernel, where it may go on. Here the
kernel runs with interrupts off and a collection is over before anybody else runs, so no two can race for the word and
it need not be stored: what it would be follows from the thread's record. A thread that entered the kernel left
only what a call preserves (T_FULL is 0), one that was interrupted left everything, and one that was asked to stop has lost
the end of its room, so its next allocation brings it into the kernel.

What it leaves out: waiting on the way back into a SIP that is collected, since no collection lasts beyond a call of the kernel;
the moments within the entry code, which count as the kernel.

Source: the real system's Transitions.cs, in base/Imported/Bartok/runtime/shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from singlab.kernel import layout as at
from singlab.kernel.roots import StackMaps
from singlab.machine import state as _s

if TYPE_CHECKING:
    from singlab.kernel.process import Process

#: What a thread is to a collector; the SIP's bits are these, SIP_SHIFT higher.
DORMANT, MUTATOR, GC_REQUEST, GC_CONTROL = 1, 2, 4, 8
SIP_SHIFT = 4
NAMES = {DORMANT: "dormant", MUTATOR: "mutator", GC_REQUEST: "asked to stop", GC_CONTROL: "collects"}
_LIMIT, _TOP = 26, 27  # registers with the end and the beginning of a thread's room for objects


@dataclass(frozen=True)
class ThreadState:
    """What a thread is to the collectors.

    Attributes
    ----------
    thread : int
        Its number.
    word : int
        The state word: four bits for the kernel, and above them four for the SIP.
    stopped : bool
        Whether a collection of the SIP's heap could begin as far as it is concerned: it is in the kernel, has not begun or
        has ended. The thread that runs counts as stopped once it is in the kernel.
    """

    thread: int
    word: int
    stopped: bool

    @property
    def kernel(self) -> str:
        """What it is to the kernel's collector, in words."""
        return NAMES[self.word & 15]

    @property
    def sip(self) -> str:
        """What it is to its SIP's collector, in words."""
        return NAMES[self.word >> SIP_SHIFT]


def word_of(kernel: int, sip: int) -> int:
    """Return the state word of a thread."""
    return kernel | sip << SIP_SHIFT


IN_KERNEL, IN_SIP, NOWHERE = word_of(MUTATOR, DORMANT), word_of(DORMANT, MUTATOR), word_of(DORMANT, DORMANT)


def gc_states(process: Process) -> list[ThreadState]:
    """Return what each thread of a process is to the collectors, the main thread first; none if it has ended."""
    if process.state == "stopped":
        return []
    maps = StackMaps.of(process.installed.image)
    return [_state(process, thread, maps) for thread in process.threads()]


def _state(process: Process, thread: int, maps: StackMaps | None) -> ThreadState:
    machine = process._system.machine
    field = lambda offset: machine.load_u64(thread + offset)  # noqa: E731
    number, state = field(at.T_ID), field(at.T_STATE)
    if state in (at.UNBORN, at.ENDED):
        return ThreadState(number, NOWHERE, True)
    runs = machine.load_u64(at.G_CURRENT) == thread
    pc = int(machine.m[_s.PC]) if runs else field(at.T_PC)
    if at.TEXT_BASE <= pc < at.GLOBALS if runs else not field(at.T_FULL):
        return ThreadState(number, IN_KERNEL, True)
    if runs:
        return ThreadState(number, IN_SIP, False)
    offset = pc - process._field(at.P_CODE)
    inside = 0 <= offset < process._field(at.P_CODE_BYTES)
    stopped = inside and (maps is None or maps.frame(offset + 4) is None)  # else before its first function, or behind its last; outside it is on its way in or out
    asked = field(at.T_CONTEXT + 8 * _LIMIT) == 0 and field(at.T_CONTEXT + 8 * _TOP) != 0
    return ThreadState(number, word_of(DORMANT, GC_REQUEST) if asked and not stopped else IN_SIP, stopped)
