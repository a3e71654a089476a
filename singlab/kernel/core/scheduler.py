"""Scheduler: two first-in first-out queues, unblocked threads before preempted ones.

A thread that a message wakes goes to the unblocked queue and, when picked, goes on in what is left of
the running quantum; a thread from the preempted queue starts a new one. When the timer fires, the
unblocked threads and then the running one move to the tail of the preempted queue.
"""

from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    EXECUTING,
    G_CURRENT,
    G_FRESH,
    G_PREEMPTED_HEAD,
    G_UNBLOCKED_HEAD,
    READY,
    T_ID,
    T_NEXT,
    T_STATE,
)

THREAD_RUN = 8
THREAD_READY = 10
THREAD_PREEMPT = 11


def queue_put(m, queue, thread):
    """Append a thread to a queue; ``queue`` is the address of its head, the tail is the next word."""
    st64(m, thread + T_NEXT, 0)
    tail = ld64(m, queue + 8)
    if tail == 0:
        st64(m, queue, thread)
    else:
        st64(m, tail + T_NEXT, thread)
    st64(m, queue + 8, thread)
    return 0


def queue_take(m, queue):
    """Return the first thread of a queue and remove it; 0 when the queue is empty."""
    thread = ld64(m, queue)
    if thread != 0:
        following = ld64(m, thread + T_NEXT)
        st64(m, queue, following)
        if following == 0:
            st64(m, queue + 8, 0)
    return thread


def queue_remove(m, queue, thread):
    """Remove a thread from a queue, wherever in it it stands."""
    at = ld64(m, queue)
    if at == thread:
        queue_take(m, queue)
        return 0
    while at != 0:
        following = ld64(m, at + T_NEXT)
        if following == thread:
            after = ld64(m, thread + T_NEXT)
            st64(m, at + T_NEXT, after)
            if after == 0:
                st64(m, queue + 8, at)
            return 0
        at = following
    return 0


def thread_wake(m, thread, endpoint):
    """Make a blocked or new thread ready; ``endpoint`` is what woke it."""
    st64(m, thread + T_STATE, READY)
    queue_put(m, G_UNBLOCKED_HEAD, thread)
    emit(m, THREAD_READY, ld64(m, thread + T_ID), endpoint)
    return 0


def schedule(m, previous):
    """Pick the thread to run next and make it current; 0 = nobody is ready. ``previous`` is the number of the last."""
    thread = queue_take(m, G_UNBLOCKED_HEAD)
    if thread == 0:
        thread = queue_take(m, G_PREEMPTED_HEAD)
        st64(m, G_FRESH, 1)
    st64(m, G_CURRENT, thread)
    if thread != 0:
        st64(m, thread + T_STATE, EXECUTING)
        emit(m, THREAD_RUN, ld64(m, thread + T_ID), previous)
    return thread


def timer_fired(m):
    """The quantum is over: everybody who waited for it goes to the preempted queue, the running thread last."""
    thread = ld64(m, G_UNBLOCKED_HEAD)
    if thread != 0:
        tail = ld64(m, G_PREEMPTED_HEAD + 8)
        if tail == 0:
            st64(m, G_PREEMPTED_HEAD, thread)
        else:
            st64(m, tail + T_NEXT, thread)
        st64(m, G_PREEMPTED_HEAD + 8, ld64(m, G_UNBLOCKED_HEAD + 8))
        st64(m, G_UNBLOCKED_HEAD, 0)
        st64(m, G_UNBLOCKED_HEAD + 8, 0)
    running = ld64(m, G_CURRENT)
    number = ld64(m, running + T_ID)
    emit(m, THREAD_PREEMPT, number, 0)
    st64(m, running + T_STATE, READY)
    queue_put(m, G_PREEMPTED_HEAD, running)
    schedule(m, number)
    return 0
