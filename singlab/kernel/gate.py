"""The gate: where the hart's hooks meet the native kernel, and the loop that runs the whole system.

A hook instruction stands where the entry code would call a kernel function. The gate takes the
arguments from the hart's registers, runs the native function, puts the result into a0 and goes on
after the hook. Leaves the loop when the kernel has something for the host: text to print, an event
limit reached, nothing left to run.
"""

from __future__ import annotations

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.native import native
from singlab.machine import state as _s
from singlab.machine.hart import STOP_HOOK, hart_run
from singlab.machine.jit import jit
from singlab.machine.state import raw_ld64

#: Reasons to leave the loop, beyond the hart's own.
STOP_EVENTS = 2
STOP_PRINT = 20
STOP_ENDED = 21

_W = np.uint64
_ZERO, _FOUR = _W(0), _W(4)
_RA0, _RA1, _RA2, _RA3, _RA4, _RA5 = (_W(10 + i) for i in range(6))
_CURRENT = _W(_s.RAM_OFFSET + at.G_CURRENT - at.RAM_BASE)
_LIVE = _W(_s.RAM_OFFSET + at.G_LIVE - at.RAM_BASE)
_TO_OFFSET = _W(_s.RAM_OFFSET - at.RAM_BASE & 0xFFFF_FFFF_FFFF_FFFF)
_T_ID, _T_PROCESS, _P_ID = _W(at.T_ID), _W(at.T_PROCESS), _W(at.P_ID)

_PC, _NUMBER, _EVENTS, _STOP_EVENT = _s.PC, _s.HOOK_NUMBER, _s.EVENT_COUNT, _s.STOP_EVENT
_THREAD, _PROCESS = _s.CURRENT_THREAD, _s.CURRENT_PROCESS

(
    _EXIT, _YIELD, _SEND, _RECEIVE, _CLOSE, _ALLOCATE, _FREE, _TEXT, _INT, _MARK, _FAULT, _PID, _HERTZ, _THREAD_NEW, _THREAD_END, _JOIN,
    _PAGES,
) = (
    _W(ABI_NUMBER[name])
    for name in (
        "exit", "yield", "send", "receive", "close", "allocate", "free", "print_text", "print_int", "mark",
        "fault", "get_process_id", "get_cycles_per_second", "create_thread", "exit_thread", "join_thread", "allocate_pages",
    )
)
_NEW_CHANNEL, _SELECT, _NEW_SET, _SET_ADD, _SET_TAKE, _SET_SIZE = (
    _W(ABI_NUMBER[name]) for name in ("new_channel", "select", "new_set", "set_add", "set_take", "set_size")
)
_TIMER, _TRAP = _W(at.HOOK_TIMER), _W(at.HOOK_FAULT)

# Bound to plain names: numba resolves them once, as compile-time constants.
abi_exit, abi_yield, abi_send, abi_receive = native.abi_exit, native.abi_yield, native.abi_send, native.abi_receive
abi_close, abi_allocate, abi_free = native.abi_close, native.abi_allocate, native.abi_free
abi_print_text, abi_print_int, abi_mark = native.abi_print_text, native.abi_print_int, native.abi_mark
abi_fault, abi_get_process_id = native.abi_fault, native.abi_get_process_id
abi_get_cycles_per_second = native.abi_get_cycles_per_second
abi_new_channel, abi_select = native.abi_new_channel, native.abi_select
abi_new_set, abi_set_add, abi_set_take, abi_set_size = native.abi_new_set, native.abi_set_add, native.abi_set_take, native.abi_set_size
abi_create_thread, abi_exit_thread, abi_join_thread = native.abi_create_thread, native.abi_exit_thread, native.abi_join_thread
abi_allocate_pages = native.abi_allocate_pages
timer_fired, trap_fault = native.timer_fired, native.trap_fault


@jit("void(uint64[::1])")
def mirror_current(m):
    """Copy who is running into the header, for the trace events to carry."""
    thread = raw_ld64(m, _CURRENT)
    if thread == _ZERO:
        m[_THREAD] = _ZERO
        m[_PROCESS] = _ZERO
    else:
        record = thread + _TO_OFFSET
        m[_THREAD] = raw_ld64(m, record + _T_ID)
        m[_PROCESS] = raw_ld64(m, raw_ld64(m, record + _T_PROCESS) + _TO_OFFSET + _P_ID)


@jit("int64(uint64[::1])")
def hook(m):
    """Run the kernel function the hart stopped for; returns a reason to leave the loop, or 0."""
    number = m[_NUMBER]
    a0 = m[_RA0]
    reason = 0
    if number == _SEND:
        m[_RA0] = abi_send(m, a0, m[_RA1], m[_RA2], m[_RA3], m[_RA4], m[_RA5])
    elif number == _RECEIVE:
        abi_receive(m, a0)
    elif number == _YIELD:
        abi_yield(m)
    elif number == _ALLOCATE:
        m[_RA0] = abi_allocate(m, a0)
    elif number == _FREE:
        m[_RA0] = abi_free(m, a0)
    elif number == _CLOSE:
        m[_RA0] = abi_close(m, a0)
    elif number == _TIMER:
        timer_fired(m)
    elif number == _EXIT:
        abi_exit(m, a0)
        reason = STOP_ENDED
    elif number == _FAULT:
        abi_fault(m, a0, m[_RA1])
        reason = STOP_ENDED
    elif number == _TRAP:
        trap_fault(m, a0, m[_RA1])
        reason = STOP_ENDED
    elif number == _TEXT:
        m[_RA0] = abi_print_text(m, a0, m[_RA1])
        if m[_RA0] == _ZERO:
            reason = STOP_PRINT
    elif number == _INT:
        m[_RA0] = abi_print_int(m, a0, m[_RA1])
        reason = STOP_PRINT
    elif number == _MARK:
        m[_RA0] = abi_mark(m, a0)
    elif number == _PID:
        m[_RA0] = abi_get_process_id(m)
    elif number == _HERTZ:
        m[_RA0] = abi_get_cycles_per_second(m)
    elif number == _SELECT:
        abi_select(m, a0, m[_RA1], m[_RA2], m[_RA3], m[_RA4])
    elif number == _NEW_CHANNEL:
        abi_new_channel(m, a0)
    elif number == _SET_TAKE:
        m[_RA0] = abi_set_take(m, a0)
    elif number == _SET_ADD:
        m[_RA0] = abi_set_add(m, a0, m[_RA1])
    elif number == _SET_SIZE:
        m[_RA0] = abi_set_size(m, a0)
    elif number == _NEW_SET:
        m[_RA0] = abi_new_set(m)
    elif number == _THREAD_NEW:
        m[_RA0] = abi_create_thread(m, a0, m[_RA1], m[_RA2], m[_RA3], m[_RA4], m[_RA5])
    elif number == _JOIN:
        abi_join_thread(m, a0)
    elif number == _THREAD_END:
        abi_exit_thread(m, a0)
        reason = STOP_ENDED
    elif number == _PAGES:
        m[_RA0] = abi_allocate_pages(m, a0)
    m[_PC] += _FOUR
    mirror_current(m)
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
