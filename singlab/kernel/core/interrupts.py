"""Interrupts as they come: the timer's and the devices', while a thread runs and while nobody does."""

from singlab.kernel.core.hardware import interrupts_take
from singlab.kernel.core.objects import TIMED_OUT, ends_forget, waiter_leave
from singlab.kernel.core.scheduler import queue_put, schedule, thread_wake, timer_fired
from singlab.kernel.core.timers import wake_set
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    G_CURRENT,
    G_FRESH,
    G_QUANTUM_END,
    G_SLEEPERS,
    G_UNBLOCKED_HEAD,
    READY,
    T_A0,
    T_ID,
    T_LATER,
    T_PROCESS,
    T_SELECTS,
    T_STATE,
    T_WAKE,
    WAIT_EITHER,
    WAIT_OBJECTS,
    WAIT_ONE,
)

THREAD_PREEMPT = 11
EXTERNAL = 9
OK = 0


def sleepers_wake(m, now):
    """Wake the threads whose time has come; returns whether there was one."""
    woken = 0
    thread = ld64(m, G_SLEEPERS)
    while thread != 0:
        if ld64(m, thread + T_WAKE) > now:
            break
        st64(m, G_SLEEPERS, ld64(m, thread + T_LATER))
        status = OK
        waits = ld64(m, thread + T_SELECTS)
        if (waits == WAIT_OBJECTS) or (waits == WAIT_EITHER):
            waiter_leave(m, ld64(m, thread + T_PROCESS), thread)
            if waits == WAIT_EITHER:
                ends_forget(m, thread)
            status = TIMED_OUT
        st64(m, thread + T_SELECTS, WAIT_ONE)
        st64(m, thread + T_A0, status)
        st64(m, thread + T_A0 + 8, 0)
        thread_wake(m, thread, 0)
        woken = 1
        thread = ld64(m, G_SLEEPERS)
    wake_set(m)
    return woken


def interrupted(m, cause, now):
    """An interrupt while a thread runs: who was woken by it runs next; at the end of the quantum it is the others' turn."""
    if cause & 0xFF == EXTERNAL:
        interrupts_take(m)
    else:
        sleepers_wake(m, now)
    if (now >= ld64(m, G_QUANTUM_END)) and (cause & 0xFF != EXTERNAL):
        timer_fired(m)
        return 0
    if ld64(m, G_UNBLOCKED_HEAD) == 0:
        return 0
    running = ld64(m, G_CURRENT)
    number = ld64(m, running + T_ID)
    emit(m, THREAD_PREEMPT, number, 1)
    st64(m, running + T_STATE, READY)
    queue_put(m, G_UNBLOCKED_HEAD, running)
    schedule(m, number)
    return 0


def idle_over(m, pending, now):
    """An interrupt while nobody runs; ``pending`` is what sip says."""
    if pending >> EXTERNAL & 1 != 0:
        interrupts_take(m)
    sleepers_wake(m, now)
    if schedule(m, 0) != 0:
        st64(m, G_FRESH, 1)
    return 0
