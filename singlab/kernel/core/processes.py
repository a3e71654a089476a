"""Process manager: SIPs are made, started and ended here; an end gives everything back.

A process is a record with lists of its threads, endpoints and blocks; its pages are found by tag. The
order of an end matters: threads stop first, so nobody runs in what is being taken away; endpoints
close next, so that peers learn of it; blocks and pages go last.

Leaves out child processes and suspension.
"""

from singlab.kernel.core.channels import endpoint_close
from singlab.kernel.core.domains import domain_enter, domain_leave, process_pages_free
from singlab.kernel.core.hardware import object_close
from singlab.kernel.core.heap import block_free
from singlab.kernel.core.names import names_forget
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.scheduler import queue_remove, thread_wake
from singlab.kernel.core.sets import set_close
from singlab.kernel.core.timers import sleeper_forget
from singlab.kernel.core.waiting import waiter_forget
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    BLOCKED,
    E_MAGIC,
    ENDED,
    G_CONNECTING,
    G_CURRENT,
    G_FREE_PROCESSES,
    G_FREE_THREADS,
    G_LIVE,
    G_NAMES,
    G_NEXT_PROCESS,
    G_NEXT_THREAD,
    G_PREEMPTED_HEAD,
    G_PROCESSES,
    G_UNBLOCKED_HEAD,
    LAST_PROCESS,
    MAGIC_PROCESS,
    MAGIC_SET,
    MAGIC_THREAD,
    P_BLOCKS,
    P_ENDPOINTS,
    P_EXIT,
    P_FAULT,
    P_FAULT_LINE,
    P_ID,
    P_MAGIC,
    P_NEXT,
    P_OBJECTS,
    P_STATE,
    P_STOPPED,
    P_THREADS,
    P_WAIT_FIRST,
    P_WAIT_LAST,
    PROCESS_BYTES,
    READY,
    RUNNING,
    STOPPED,
    T_FULL,
    T_ID,
    T_MAGIC,
    T_PROCESS,
    T_SELECTS,
    T_SIBLING,
    T_STATE,
    T_WAITS,
    TAG_KERNEL_SYSTEM,
    THREAD_BYTES,
    UNBORN,
    UNSTARTED,
    WAIT_OBJECTS,
    WAIT_TURN,
    ZONE_KERNEL,
)

PROCESS_CREATE = 2
PROCESS_START = 3
PROCESS_EXIT = 4
PROCESS_STOP = 5
PROCESS_FAULT = 6
THREAD_CREATE = 7
THREAD_EXIT = 13


def process_create(m, parent):
    """Return a new process record with one thread that has not begun, or 0: memory or the numbers are used up."""
    number = ld64(m, G_NEXT_PROCESS)
    if number > LAST_PROCESS:
        return 0
    process = record_new(m, G_FREE_PROCESSES, PROCESS_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if process == 0:
        return 0
    thread = record_new(m, G_FREE_THREADS, THREAD_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if thread == 0:
        record_free(m, G_FREE_PROCESSES, process)
        return 0
    if domain_enter(m, process) == 0:
        record_free(m, G_FREE_THREADS, thread)
        record_free(m, G_FREE_PROCESSES, process)
        return 0
    st64(m, G_NEXT_PROCESS, number + 1)
    st64(m, process + P_MAGIC, MAGIC_PROCESS)
    st64(m, process + P_ID, number)
    st64(m, process + P_STATE, UNSTARTED)
    st64(m, process + P_THREADS, thread)
    st64(m, process + P_NEXT, ld64(m, G_PROCESSES))
    st64(m, G_PROCESSES, process)
    emit(m, PROCESS_CREATE, number, parent)
    thread_number = ld64(m, G_NEXT_THREAD)
    st64(m, G_NEXT_THREAD, thread_number + 1)
    st64(m, thread + T_MAGIC, MAGIC_THREAD)
    st64(m, thread + T_ID, thread_number)
    st64(m, thread + T_PROCESS, process)
    st64(m, thread + T_STATE, UNBORN)
    st64(m, thread + T_FULL, 1)
    emit(m, THREAD_CREATE, thread_number, number)
    return process


def process_start(m, process):
    """Make the threads of an unstarted process ready."""
    st64(m, process + P_STATE, RUNNING)
    st64(m, G_LIVE, ld64(m, G_LIVE) + 1)
    emit(m, PROCESS_START, ld64(m, process + P_ID), 0)
    thread = ld64(m, process + P_THREADS)
    while thread != 0:
        thread_wake(m, thread, 0)
        thread = ld64(m, thread + T_SIBLING)
    return 0


def threads_end(m, process):
    """Stop the threads of a process wherever they are: ready, blocked or running."""
    thread = ld64(m, process + P_THREADS)
    while thread != 0:
        state = ld64(m, thread + T_STATE)
        if state == READY:
            queue_remove(m, G_UNBLOCKED_HEAD, thread)
            queue_remove(m, G_PREEMPTED_HEAD, thread)
        elif state == BLOCKED:
            if ld64(m, thread + T_SELECTS) == WAIT_TURN:
                queue_remove(m, G_CONNECTING, thread)
            elif ld64(m, thread + T_SELECTS) >= WAIT_OBJECTS:
                sleeper_forget(m, thread)
            elif ld64(m, thread + T_WAITS) != 0:
                waiter_forget(m, thread)
        if ld64(m, G_CURRENT) == thread:
            st64(m, G_CURRENT, 0)
        if state != ENDED:
            emit(m, THREAD_EXIT, ld64(m, thread + T_ID), 0)
        following = ld64(m, thread + T_SIBLING)
        record_free(m, G_FREE_THREADS, thread)
        thread = following
    st64(m, process + P_THREADS, 0)
    st64(m, process + P_WAIT_FIRST, 0)
    st64(m, process + P_WAIT_LAST, 0)
    return 0


def process_end(m, process):
    """Take everything back from a process; its record stays, so that its exit value can be read."""
    if ld64(m, process + P_STATE) == RUNNING:
        st64(m, G_LIVE, ld64(m, G_LIVE) - 1)
    threads_end(m, process)
    endpoint = ld64(m, process + P_ENDPOINTS)
    while endpoint != 0:
        if ld64(m, endpoint + E_MAGIC) == MAGIC_SET:
            set_close(m, endpoint, process)
        else:
            endpoint_close(m, endpoint, process)
        endpoint = ld64(m, process + P_ENDPOINTS)
    if ld64(m, G_NAMES) != 0:
        names_forget(m)
    block = ld64(m, process + P_BLOCKS)
    while block != 0:
        block_free(m, block, process)
        block = ld64(m, process + P_BLOCKS)
    found = ld64(m, process + P_OBJECTS)
    while found != 0:
        object_close(m, process, found)
        found = ld64(m, process + P_OBJECTS)
    process_pages_free(m, process)
    domain_leave(m, process)
    st64(m, process + P_STATE, STOPPED)
    return 0


def process_exit(m, process, value):
    """End a process of its own will."""
    st64(m, process + P_EXIT, value)
    emit(m, PROCESS_EXIT, ld64(m, process + P_ID), value)
    process_end(m, process)
    return 0


def process_stop(m, process, by):
    """End a process from outside, whatever it is doing."""
    st64(m, process + P_STOPPED, 1)
    emit(m, PROCESS_STOP, ld64(m, process + P_ID), by)
    process_end(m, process)
    return 0


def process_fault(m, process, code, line):
    """End a process for a fault of its own."""
    st64(m, process + P_FAULT, code)
    st64(m, process + P_FAULT_LINE, line)
    emit(m, PROCESS_FAULT, ld64(m, process + P_ID), code | line << 16)
    process_end(m, process)
    return 0
