"""Service thread: what makes and stops processes, one request after the other; and how processes are suspended.

Whoever asks waits in the thread's queue; the request stands in the record of the thread that asks. The service
thread is a kernel thread like any other: the scheduler picks it, and one request is done in each of its turns. What
the operator asks from outside comes in as an interrupt, whose handler does all requests at once.

A process is suspended when none of its threads can go on. Threads in its own code stop at once; one inside an ABI
call is let to its end first. With what is below it, a process has come to rest only when that has.
"""

from singlab.kernel.core.handles import handle_new
from singlab.kernel.core.processes import process_end, process_forget, process_make, process_stop, request_answer
from singlab.kernel.core.scheduler import queue_put, queue_remove, queue_take, schedule, suspension_settle, thread_ready, thread_wake
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    BLOCKED,
    BLOCKED_HELD,
    EXECUTING,
    G_CREATE_STATUS,
    G_CURRENT,
    G_KERNEL_DUE,
    G_PREEMPTED_HEAD,
    G_SERVICE_HEAD,
    G_UNBLOCKED_HEAD,
    HANDLE_PROCESS,
    HELD,
    MAGIC_PROCESS,
    OPERATOR_THREAD,
    P_BARRIER,
    P_CHILDREN,
    P_HELD,
    P_HELD_ABOVE,
    P_ID,
    P_MAGIC,
    P_NEXT_CHILD,
    P_PARENT,
    P_STATE,
    P_THREADS,
    READY,
    REQUEST_CREATE,
    REQUEST_RESUME,
    REQUEST_STOP,
    REQUEST_SUSPEND,
    RUNNING,
    SERVICE_NUMBER,
    SERVICE_THREAD,
    STOPPED,
    STOPPING,
    SUSPENDING,
    SUSPENDING_RECURSIVE,
    T_A0,
    T_ID,
    T_PROCESS,
    T_REQUEST,
    T_SIBLING,
    T_STATE,
    T_TARGET,
    T_TARGET_ID,
    UNSTARTED,
)

SERVICE_REQUEST = 40
SERVICE_DONE = 41
PROCESS_SUSPEND = 44
PROCESS_RESUME = 45

OK = 0
E_BAD_HANDLE = 1
E_FULL = 4
E_BAD_ARGUMENT = 5


# ---- suspension ------------------------------------------------------------------------------------------------


def process_hold(m, process, state):
    """Keep the threads of a process that runs from going on; one inside an ABI call is held at its end."""
    if ld64(m, process + P_STATE) != RUNNING:
        return 0
    st64(m, process + P_STATE, state)
    emit(m, PROCESS_SUSPEND, ld64(m, process + P_ID), state)
    thread = ld64(m, process + P_THREADS)
    while thread != 0:
        doing = ld64(m, thread + T_STATE)
        if doing == READY:
            queue_remove(m, G_UNBLOCKED_HEAD, thread)
            queue_remove(m, G_PREEMPTED_HEAD, thread)
            st64(m, thread + T_STATE, HELD)
            if ld64(m, G_CURRENT) == thread:
                st64(m, G_CURRENT, 0)
        elif doing == BLOCKED:
            st64(m, thread + T_STATE, BLOCKED_HELD)
        thread = ld64(m, thread + T_SIBLING)
    return 0


def process_let(m, process):
    """Let the threads of a process go on if nothing holds it any more."""
    if (ld64(m, process + P_HELD) != 0) or (ld64(m, process + P_HELD_ABOVE) != 0):
        return 0
    state = ld64(m, process + P_STATE)
    if (state == UNSTARTED) or (state == RUNNING) or (state == STOPPED) or (state == STOPPING):
        return 0
    st64(m, process + P_STATE, RUNNING)
    emit(m, PROCESS_RESUME, ld64(m, process + P_ID), 0)
    thread = ld64(m, process + P_THREADS)
    while thread != 0:
        doing = ld64(m, thread + T_STATE)
        if doing == HELD:
            thread_ready(m, thread, 0)
        elif doing == BLOCKED_HELD:
            st64(m, thread + T_STATE, BLOCKED)
        thread = ld64(m, thread + T_SIBLING)
    waiter = ld64(m, process + P_BARRIER)
    if waiter != 0:
        st64(m, process + P_BARRIER, 0)
        request_answer(m, waiter, E_BAD_ARGUMENT, 0)
    return 0


def process_after(m, process, top):
    """Return the process that follows one in a walk over all below another, parents first; 0 after the last."""
    child = ld64(m, process + P_CHILDREN)
    if child != 0:
        return child
    while process != top:
        child = ld64(m, process + P_NEXT_CHILD)
        if child != 0:
            return child
        process = ld64(m, process + P_PARENT)
    return 0


def process_suspend(m, process, below):
    """Suspend a process, with all below it if that is wanted; returns OK, or why not."""
    state = ld64(m, process + P_STATE)
    if (state == UNSTARTED) or (state == STOPPING) or (state == STOPPED) or (ld64(m, process + P_HELD) != 0):
        return E_BAD_ARGUMENT
    if below == 0:
        st64(m, process + P_HELD, 1)
        process_hold(m, process, SUSPENDING)
        suspension_settle(m, process)
        return OK
    st64(m, process + P_HELD, 2)
    process_hold(m, process, SUSPENDING_RECURSIVE)
    other = process_after(m, process, process)
    while other != 0:
        st64(m, other + P_HELD_ABOVE, ld64(m, other + P_HELD_ABOVE) + 1)
        process_hold(m, other, SUSPENDING_RECURSIVE)
        other = process_after(m, other, process)
    other = process
    while other != 0:
        # those without children first come to rest, and take along who is above them
        if ld64(m, other + P_CHILDREN) == 0:
            suspension_settle(m, other)
        other = process_after(m, other, process)
    return OK


def process_resume(m, process):
    """Let a suspended process go on, and what was suspended with it; returns OK, or why not."""
    held = ld64(m, process + P_HELD)
    state = ld64(m, process + P_STATE)
    if (held == 0) or (state == STOPPING) or (state == STOPPED):
        return E_BAD_ARGUMENT
    st64(m, process + P_HELD, 0)
    process_let(m, process)
    if held == 1:
        return OK
    other = process_after(m, process, process)
    while other != 0:
        above = ld64(m, other + P_HELD_ABOVE)
        if above != 0:
            st64(m, other + P_HELD_ABOVE, above - 1)
        process_let(m, other)
        other = process_after(m, other, process)
    return OK


# ---- requests ----------------------------------------------------------------------------------------------------


def request_put(m, thread, request, target, number):
    """Put a request of a thread into the queue."""
    st64(m, thread + T_REQUEST, request)
    st64(m, thread + T_TARGET, target)
    st64(m, thread + T_TARGET_ID, number)
    queue_put(m, G_SERVICE_HEAD, thread)
    emit(m, SERVICE_REQUEST, request, number)
    return 0


def service_ask(m, thread, request, target, number):
    """Put a request of the running thread into the queue, and wake the service thread if it sleeps."""
    request_put(m, thread, request, target, number)
    if ld64(m, SERVICE_THREAD + T_STATE) == BLOCKED:
        thread_wake(m, SERVICE_THREAD, 0)
    return 0


def collector_wake(m):
    """Let the service thread collect the kernel's heap if that is due."""
    if ld64(m, G_KERNEL_DUE) != 0:
        if ld64(m, SERVICE_THREAD + T_STATE) == BLOCKED:
            thread_wake(m, SERVICE_THREAD, 0)
    return 0


def child_make(m, parent, image):
    """Return a handle of the parent for a new child of an image, or 0; then G_CREATE_STATUS says why."""
    child = process_make(m, parent, image)
    if child == 0:
        return 0
    handle = handle_new(m, parent, HANDLE_PROCESS, child)
    if handle == 0:
        st64(m, G_CREATE_STATUS, E_FULL)
        process_end(m, child)
        process_forget(m, child)
    return handle


def request_do(m, thread, request, target):
    """Do what is asked of a process that is still the one that was meant; returns OK, or why it was not done."""
    state = ld64(m, target + P_STATE)
    if request == REQUEST_STOP:
        if state != STOPPED:
            by = 0
            if thread != OPERATOR_THREAD:
                by = ld64(m, ld64(m, thread + T_PROCESS) + P_ID)
            process_stop(m, target, by)
        return OK
    if request == REQUEST_RESUME:
        return process_resume(m, target)
    return process_suspend(m, target, request - REQUEST_SUSPEND)


def service_do(m):
    """Do the first request of the queue, if there is one."""
    thread = queue_take(m, G_SERVICE_HEAD)
    if thread == 0:
        return 0
    request = ld64(m, thread + T_REQUEST)
    target = ld64(m, thread + T_TARGET)
    status = OK
    word = 0
    if request == REQUEST_CREATE:
        status = child_make(m, ld64(m, thread + T_PROCESS), target)
        if status == 0:
            word = ld64(m, G_CREATE_STATUS)
    elif (ld64(m, target + P_MAGIC) != MAGIC_PROCESS) or (ld64(m, target + P_ID) != ld64(m, thread + T_TARGET_ID)):
        status = E_BAD_HANDLE
    else:
        status = request_do(m, thread, request, target)
    emit(m, SERVICE_DONE, request, status)
    if thread == OPERATOR_THREAD:
        st64(m, OPERATOR_THREAD + T_REQUEST, 0)
        st64(m, OPERATOR_THREAD + T_A0, status)
    else:
        request_answer(m, thread, status, word)
    return 0


def service_turn(m):
    """One turn of the service thread: a request, and sleep if there is no other and no collection of the kernel's heap is due."""
    service_do(m)
    if ld64(m, G_SERVICE_HEAD) | ld64(m, G_KERNEL_DUE) == 0:
        st64(m, SERVICE_THREAD + T_STATE, BLOCKED)
        schedule(m, SERVICE_NUMBER)
    return 0


def operator_ask(m, request, target, number):
    """Put a request of the operator into the queue."""
    request_put(m, OPERATOR_THREAD, request, target, number)
    return 0


def operator_turn(m):
    """The operator's interrupt: all requests are done; the interrupted thread goes on if it still can."""
    running = ld64(m, G_CURRENT)
    number = 0
    if running != 0:
        number = ld64(m, running + T_ID)
        st64(m, running + T_STATE, READY)
    while ld64(m, G_SERVICE_HEAD) != 0:
        service_do(m)
    if running != 0:
        if ld64(m, G_CURRENT) == 0:
            schedule(m, number)
        else:
            st64(m, running + T_STATE, EXECUTING)
    return 0
