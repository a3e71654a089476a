"""Scheduler: two first-in first-out queues, unblocked threads before preempted ones.

A thread that a message wakes goes to the unblocked queue and, when picked, goes on in what is left of
the running quantum; a thread from the preempted queue starts a new one. When the timer fires, the
unblocked threads and then the running one move to the tail of the preempted queue.

A thread of a suspended process stands in no queue. One that is inside an ABI call when its process is suspended
stays there; when the call ends it is held, and once all are the process is suspended.
"""

from singlab.kernel.core.policies import answered, is_ready, policy_fault
from singlab.kernel.core.words import emit, ld64, policy_pick, policy_place, policy_quantum, policy_trouble, st64
from singlab.kernel.layout import (
    BLOCKED_HELD,
    ENDED,
    EXECUTING,
    G_CURRENT,
    G_FRESH,
    G_POLICIES,
    G_PREEMPTED_HEAD,
    G_QUANTUM,
    G_UNBLOCKED_HEAD,
    G_USUAL_QUANTUM,
    HELD,
    LONGEST_QUANTUM,
    NONSENSE,
    P_BARRIER,
    P_CHILDREN,
    P_ID,
    P_NEXT_CHILD,
    P_PARENT,
    P_STATE,
    P_THREADS,
    PICK,
    PLACE,
    QUANTUM,
    RAISED,
    READY,
    SHORTEST_QUANTUM,
    SUSPENDED,
    SUSPENDING,
    SUSPENDING_RECURSIVE,
    T_A0,
    T_ID,
    T_NEXT,
    T_PROCESS,
    T_REQUEST,
    T_SIBLING,
    T_STATE,
)

THREAD_RUN = 8
THREAD_READY = 10
THREAD_PREEMPT = 11
THREAD_HOLD = 43
PROCESS_SUSPENDED = 42


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


def queue_push(m, queue, thread):
    """Put a thread before all others of a queue."""
    first = ld64(m, queue)
    st64(m, thread + T_NEXT, first)
    st64(m, queue, thread)
    if first == 0:
        st64(m, queue + 8, thread)
    return 0


def thread_place(m, thread, by):
    """Put a thread that has become ready where the policy says: the unblocked queue's end, the preempted one's, or the former's front."""
    place = answered(m, PLACE, policy_place(m, thread, by), 0, 2, 0)
    if place == 2:
        queue_push(m, G_UNBLOCKED_HEAD, thread)
    elif place == 1:
        queue_put(m, G_PREEMPTED_HEAD, thread)
    else:
        queue_put(m, G_UNBLOCKED_HEAD, thread)
    return 0


def thread_ready(m, thread, endpoint):
    """Put a thread among the ready ones."""
    st64(m, thread + T_STATE, READY)
    if ld64(m, G_POLICIES) & (1 << PLACE) != 0:
        thread_place(m, thread, endpoint)
    else:
        queue_put(m, G_UNBLOCKED_HEAD, thread)
    emit(m, THREAD_READY, ld64(m, thread + T_ID), endpoint)
    return 0


def thread_hold(m, thread):
    """Keep a thread of a suspended process from going on."""
    st64(m, thread + T_STATE, HELD)
    emit(m, THREAD_HOLD, ld64(m, thread + T_ID), 0)
    return 0


def suspension_done(m, process):
    """Return whether a process that is being suspended has come to rest: its threads, and what is below it if that is wanted."""
    state = ld64(m, process + P_STATE)
    if (state != SUSPENDING) and (state != SUSPENDING_RECURSIVE):
        return 0
    thread = ld64(m, process + P_THREADS)
    while thread != 0:
        doing = ld64(m, thread + T_STATE)
        if (doing != HELD) and (doing != ENDED):
            return 0
        thread = ld64(m, thread + T_SIBLING)
    if state == SUSPENDING:
        return 1
    child = ld64(m, process + P_CHILDREN)
    while child != 0:
        state = ld64(m, child + P_STATE)
        if (state == SUSPENDING) or (state == SUSPENDING_RECURSIVE):
            return 0
        child = ld64(m, child + P_NEXT_CHILD)
    return 1


def suspension_settle(m, process):
    """A process may have come to rest, and with it those above that waited for it: tell who waits for that."""
    while process != 0:
        if suspension_done(m, process) == 0:
            return 0
        st64(m, process + P_STATE, SUSPENDED)
        emit(m, PROCESS_SUSPENDED, ld64(m, process + P_ID), 0)
        waiter = ld64(m, process + P_BARRIER)
        if waiter != 0:
            st64(m, process + P_BARRIER, 0)
            st64(m, waiter + T_REQUEST, 0)
            st64(m, waiter + T_A0, 0)
            if ld64(m, waiter + T_STATE) == BLOCKED_HELD:
                thread_hold(m, waiter)
            else:
                thread_ready(m, waiter, 0)
        process = ld64(m, process + P_PARENT)
    return 0


def thread_wake(m, thread, endpoint):
    """Make a blocked or new thread ready; ``endpoint`` is what woke it. One of a suspended process is held instead."""
    if ld64(m, thread + T_STATE) == BLOCKED_HELD:
        thread_hold(m, thread)
        suspension_settle(m, ld64(m, thread + T_PROCESS))
        return 0
    thread_ready(m, thread, endpoint)
    return 0


def thread_picked(m, previous):
    """Return the ready thread the policy picks, out of its queue; 0 if nobody is ready or the policy had to go."""
    if (ld64(m, G_UNBLOCKED_HEAD) | ld64(m, G_PREEMPTED_HEAD)) == 0:
        return 0
    thread = policy_pick(m, previous)
    trouble = policy_trouble(m)
    if trouble != 0:
        return policy_fault(m, PICK, RAISED, trouble)
    if is_ready(m, thread) == 0:
        return policy_fault(m, PICK, NONSENSE, thread)
    queue_remove(m, G_UNBLOCKED_HEAD, thread)
    queue_remove(m, G_PREEMPTED_HEAD, thread)
    st64(m, G_FRESH, 1)
    return thread


def quantum_chosen(m, thread):
    """Let the policy say how long a thread may run."""
    quantum = answered(m, QUANTUM, policy_quantum(m, thread), SHORTEST_QUANTUM, LONGEST_QUANTUM, ld64(m, G_USUAL_QUANTUM))
    st64(m, G_QUANTUM, quantum)
    return 0


def schedule(m, previous):
    """Pick the thread to run next and make it current; 0 = nobody is ready. ``previous`` is the number of the last."""
    thread = 0
    policies = ld64(m, G_POLICIES)
    if policies & (1 << PICK) != 0:
        thread = thread_picked(m, previous)
    if thread == 0:
        thread = queue_take(m, G_UNBLOCKED_HEAD)
        if thread == 0:
            thread = queue_take(m, G_PREEMPTED_HEAD)
            st64(m, G_FRESH, 1)
    st64(m, G_CURRENT, thread)
    if policies & (1 << QUANTUM) != 0:
        if (thread != 0) and (ld64(m, G_FRESH) != 0):
            quantum_chosen(m, thread)
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
