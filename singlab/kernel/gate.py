"""The gate: where the hart's hooks meet the native kernel, and the loop that runs the whole system.

A hook instruction stands where the entry code would call a kernel function. The gate runs the native
function through the dispatcher that :mod:`singlab.kernel.native` makes from the ABI's table, and goes on
after the hook. Leaves the loop when the kernel has something for the host: text to print, an event
limit reached, nothing left to run, its tables damaged.
"""

from __future__ import annotations

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.abi import ABI
from singlab.kernel.native import STOP_DAMAGED, native
from singlab.machine import state as _s
from singlab.machine.access import kernel_books, plain_begin, plain_end
from singlab.machine.hart import STOP_HOOK, hart_run
from singlab.machine.jit import inner, jit
from singlab.machine.state import raw_ld64, raw_st64

#: Reason to leave the loop, beyond the hart's own and those of the dispatcher.
STOP_EVENTS = 2
#: A policy was put out of force.
STOP_POLICY = 22

_W = np.uint64
_ZERO, _FOUR = _W(0), _W(4)
_CURRENT = _W(_s.RAM_OFFSET + at.G_CURRENT - at.RAM_BASE)
_LIVE = _W(_s.RAM_OFFSET + at.G_LIVE - at.RAM_BASE)
_PROCESSES = _W(_s.RAM_OFFSET + at.G_PROCESSES - at.RAM_BASE)
_P_NEXT, _P_STATE, _P_THREADS, _P_HELD, _P_HELD_ABOVE, _T_SIBLING, _T_STATE = (
    _W(offset) for offset in (at.P_NEXT, at.P_STATE, at.P_THREADS, at.P_HELD, at.P_HELD_ABOVE, at.T_SIBLING, at.T_STATE)
)
_RUNNING, _STOPPED, _BLOCKED = _W(at.RUNNING), _W(at.STOPPED), _W(at.BLOCKED)
_ONE, _HELD_ONE = _W(1), _W(1 << 32)
#: Room that any record has; how many there can be.
_RECORD, _RECORD_SHIFT = _W(max(at.PROCESS_BYTES, at.THREAD_BYTES)), _W(7)
_RAM_BASE, _RAM_OFFSET = _W(at.RAM_BASE), _W(_s.RAM_OFFSET)
_T_ID, _T_PROCESS, _P_ID = _W(at.T_ID), _W(at.T_PROCESS), _W(at.P_ID)

_PC, _NUMBER, _EVENTS, _STOP_EVENT = _s.PC, _s.HOOK_NUMBER, _s.EVENT_COUNT, _s.STOP_EVENT
_POLICY_STOP, _MOST, _RAM_BYTES = _s.POLICY_STOP, _s.KERNEL_MOST, _s.RAM_BYTES
_THREAD, _PROCESS = _s.CURRENT_THREAD, _s.CURRENT_PROCESS

_dispatch, _collect_at_call = native.inside("dispatch"), native.inside("collect_at_call")
#: Calls behind which there is a collection if there is to be one at every call; the others have no map of their caller, or need none.
_MAPPED = np.array([function.kind not in ("ends", "retires", "stack") and function.name not in ("get_room", "remember") for function in ABI])
_COLLECT_EVERY = _W(_s.RAM_OFFSET + at.G_COLLECT_EVERY - at.RAM_BASE)
_AT_CALLS = _W(at.COLLECT_AT_CALLS)
_CONTEXT, _FULL = _W(at.T_CONTEXT), _W(at.T_FULL)
_TP, _KEPT = 4, (2, 8, 9, *range(18, 28))


@jit("uint64(uint64[::1], uint64)")
def record_offset(m, address):
    """Return the byte offset in the state of a record that is read with no cost; where none can be, the tables are damaged and it is the first page's."""
    offset = address - _RAM_BASE
    if offset > m[_RAM_BYTES] - _RECORD:
        m[_MOST] = _ZERO
        return _RAM_OFFSET
    return offset + _RAM_OFFSET


@jit("void(uint64[::1])")
def mirror_current(m):
    """Copy who is running into the header, for the trace events to carry."""
    thread = raw_ld64(m, _CURRENT)
    if thread == _ZERO:
        m[_THREAD] = _ZERO
        m[_PROCESS] = _ZERO
    else:
        record = record_offset(m, thread)
        m[_THREAD] = raw_ld64(m, record + _T_ID)
        m[_PROCESS] = raw_ld64(m, record_offset(m, raw_ld64(m, record + _T_PROCESS)) + _P_ID)


@jit("uint64(uint64[::1])")
def resting_count(m):
    """Return how many threads of running processes are blocked, and how many processes are held, << 32."""
    found = _ZERO
    left = m[_RAM_BYTES] >> _RECORD_SHIFT
    process = raw_ld64(m, _PROCESSES)
    while process != _ZERO and m[_MOST] != _ZERO:
        process = record_offset(m, process)
        state = raw_ld64(m, process + _P_STATE)
        if state != _STOPPED and (raw_ld64(m, process + _P_HELD) | raw_ld64(m, process + _P_HELD_ABOVE)) != _ZERO:
            found += _HELD_ONE
        if state == _RUNNING:
            thread = raw_ld64(m, process + _P_THREADS)
            while thread != _ZERO and left != _ZERO:
                left -= _ONE
                thread = record_offset(m, thread)
                if raw_ld64(m, thread + _T_STATE) == _BLOCKED:
                    found += _ONE
                thread = raw_ld64(m, thread + _T_SIBLING)
        process = raw_ld64(m, process + _P_NEXT)
        if left == _ZERO:
            m[_MOST] = _ZERO
        left -= _ONE
    return found


@inner()
def collect_here(m):
    """Collect the heap of the thread whose call the kernel has just done: to try collectors, so its registers are put into its record for that."""
    thread = m[_TP]
    record = record_offset(m, thread)
    for register in _KEPT:
        raw_st64(m, record + _CONTEXT + _W(8 * register), m[register])
    raw_st64(m, record + _FULL, _ZERO)
    _collect_at_call(m, thread)
    for register in _KEPT:
        m[register] = raw_ld64(m, record + _CONTEXT + _W(8 * register))


@inner()
def hook(m):
    """Run the kernel function the hart stopped for; returns a reason to leave the loop, or 0."""
    plain_begin(m)
    number = m[_NUMBER]
    reason = _dispatch(m, number)
    if raw_ld64(m, _COLLECT_EVERY) == _AT_CALLS and number < len(_MAPPED) and _MAPPED[number]:
        collect_here(m)
    plain_end(m)
    kernel_books(m)
    m[_PC] += _FOUR
    mirror_current(m)
    if m[_MOST] == _ZERO:
        return STOP_DAMAGED
    if m[_POLICY_STOP] != _ZERO and reason == 0:
        return STOP_POLICY
    return reason


@jit("int64(uint64[::1], uint64[::1])")
def system_run(m, uops):
    """Run hart and kernel until one of them has something for the host; returns the reason."""
    while True:
        reason = hart_run(m, uops)
        if reason != STOP_HOOK:
            return reason
        reason = hook(m)
        if reason != 0:
            return reason
        if m[_EVENTS] >= m[_STOP_EVENT]:
            return STOP_EVENTS
