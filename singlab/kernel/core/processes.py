"""Process manager: SIPs are made, started and ended here; an end gives everything back.

A process is a record with lists of its threads, endpoints and blocks; its pages are found by tag. The
order of an end matters: threads stop first, so nobody runs in what is being taken away; endpoints
close next, so that peers learn of it; blocks, handles and pages go last.

A process may have children (:mod:`singlab.kernel.core.children`); whatever ends it ends them first, from the last
generation up. The record of a process whose parent can still ask about it stays until the parent has let go of
it; that of a process without a parent, for the operator.
"""

from singlab.kernel.core.channels import endpoint_close
from singlab.kernel.core.dma import resource_close
from singlab.kernel.core.domains import (
    SPP,
    domain_enter,
    domain_leave,
    process_pages_alloc,
    process_pages_free,
    process_status,
    process_way,
)
from singlab.kernel.core.handles import handles_free
from singlab.kernel.core.heap import block_free
from singlab.kernel.core.images import image_load
from singlab.kernel.core.names import names_forget
from singlab.kernel.core.objectheaps import heap_forget
from singlab.kernel.core.objects import ends_forget
from singlab.kernel.core.principals import principal_set
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.scheduler import queue_remove, suspension_settle, thread_wake
from singlab.kernel.core.sets import set_close
from singlab.kernel.core.stacks import stack_forget, stack_grow
from singlab.kernel.core.timers import sleeper_forget
from singlab.kernel.core.waiting import waiter_forget
from singlab.kernel.core.walker import process_walk
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    BLOCKED,
    BLOCKED_HELD,
    E_MAGIC,
    ENDED,
    G_CONNECTING,
    G_CREATE_STATUS,
    G_CURRENT,
    G_FORGOTTEN,
    G_FREE_PROCESSES,
    G_FREE_THREADS,
    G_LIVE,
    G_NAMES,
    G_NEXT_PROCESS,
    G_NEXT_THREAD,
    G_PREEMPTED_HEAD,
    G_PROCESSES,
    G_SERVICE_HEAD,
    G_UNBLOCKED_HEAD,
    G_WALK,
    I_CODE_BYTES,
    I_CONTRACT_COUNT,
    I_CONTRACTS,
    I_ENTRY,
    I_RESOURCES,
    I_STACK_PAGES,
    LAST_PROCESS,
    MAGIC_PROCESS,
    MAGIC_SET,
    MAGIC_THREAD,
    P_BARRIER,
    P_BLOCKS,
    P_CHILDREN,
    P_CODE,
    P_CODE_BYTES,
    P_CONTRACT_COUNT,
    P_CONTRACTS,
    P_ENDPOINTS,
    P_EXIT,
    P_FAULT,
    P_FAULT_LINE,
    P_HELD,
    P_HELD_ABOVE,
    P_ID,
    P_IMAGE,
    P_JOINER,
    P_MAGIC,
    P_NEXT,
    P_NEXT_CHILD,
    P_OBJECTS,
    P_PARENT,
    P_PREVIOUS,
    P_PREVIOUS_CHILD,
    P_PRINCIPAL,
    P_RESOURCES,
    P_STATE,
    P_STOPPED,
    P_THREADS,
    P_WAIT_FIRST,
    P_WAIT_LAST,
    PAGE_SHIFT,
    PROCESS_BYTES,
    READY,
    REQUEST_BARRIER,
    REQUEST_JOIN,
    RUNNING,
    STOPPED,
    T_A0,
    T_CONTEXT,
    T_FULL,
    T_ID,
    T_MAGIC,
    T_PC,
    T_PROCESS,
    T_REQUEST,
    T_SELECTS,
    T_SIBLING,
    T_STATE,
    T_STATUS,
    T_TARGET,
    T_WAITS,
    T_WAY,
    TAG_CODE,
    TAG_KERNEL_SYSTEM,
    THREAD_BYTES,
    UNBORN,
    UNSTARTED,
    WAIT_EITHER,
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
OK = 0
E_BAD_ARGUMENT = 5
E_SEAL = 6
NO_MEMORY = 4


def child_link(m, child, parent):
    """Put a new process on its parent's list; what holds the parent and all below it holds the child."""
    first = ld64(m, parent + P_CHILDREN)
    st64(m, child + P_PARENT, parent)
    st64(m, child + P_NEXT_CHILD, first)
    if first != 0:
        st64(m, first + P_PREVIOUS_CHILD, child)
    st64(m, parent + P_CHILDREN, child)
    st64(m, child + P_HELD_ABOVE, ld64(m, parent + P_HELD_ABOVE) + (ld64(m, parent + P_HELD) >> 1))
    return 0


def process_forget(m, process):
    """Give back the record of a process that has ended, and take it off all lists."""
    following = ld64(m, process + P_NEXT)
    previous = ld64(m, process + P_PREVIOUS)
    if previous != 0:
        st64(m, previous + P_NEXT, following)
    else:
        st64(m, G_PROCESSES, following)
    if following != 0:
        st64(m, following + P_PREVIOUS, previous)
    parent = ld64(m, process + P_PARENT)
    if parent != 0:
        following = ld64(m, process + P_NEXT_CHILD)
        previous = ld64(m, process + P_PREVIOUS_CHILD)
        if previous != 0:
            st64(m, previous + P_NEXT_CHILD, following)
        else:
            st64(m, parent + P_CHILDREN, following)
        if following != 0:
            st64(m, following + P_PREVIOUS_CHILD, previous)
    record_free(m, G_FREE_PROCESSES, process)
    st64(m, G_FORGOTTEN, ld64(m, G_FORGOTTEN) + 1)
    return 0


def process_create(m, parent, image):
    """Return a new process record with one thread that has not begun, or 0: memory or the numbers are used up.

    ``parent`` is the record of the process it is a child of, 0 if the operator makes it; ``image`` says which domain it goes to, if not 0.
    """
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
    if domain_enter(m, process, parent, image) == 0:
        record_free(m, G_FREE_THREADS, thread)
        record_free(m, G_FREE_PROCESSES, process)
        return 0
    st64(m, G_NEXT_PROCESS, number + 1)
    st64(m, process + P_MAGIC, MAGIC_PROCESS)
    st64(m, process + P_ID, number)
    st64(m, process + P_STATE, UNSTARTED)
    st64(m, process + P_THREADS, thread)
    first = ld64(m, G_PROCESSES)
    st64(m, process + P_NEXT, first)
    if first != 0:
        st64(m, first + P_PREVIOUS, process)
    st64(m, G_PROCESSES, process)
    above = 0
    if parent != 0:
        above = ld64(m, parent + P_ID)
        child_link(m, process, parent)
    emit(m, PROCESS_CREATE, number, above)
    thread_number = ld64(m, G_NEXT_THREAD)
    st64(m, G_NEXT_THREAD, thread_number + 1)
    st64(m, thread + T_MAGIC, MAGIC_THREAD)
    st64(m, thread + T_ID, thread_number)
    st64(m, thread + T_PROCESS, process)
    st64(m, thread + T_STATE, UNBORN)
    st64(m, thread + T_FULL, 1)
    emit(m, THREAD_CREATE, thread_number, number)
    return process


def process_load(m, process, image):
    """Give a new process the code, stack and first registers that its image says; returns OK, or why not."""
    size = ld64(m, image + I_CODE_BYTES)
    pages = ld64(m, image + I_STACK_PAGES)
    code = process_pages_alloc(m, process, (size + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT, TAG_CODE)
    thread = ld64(m, process + P_THREADS)
    if code == 0:
        return NO_MEMORY
    if stack_grow(m, process, thread, pages) == 0:
        return NO_MEMORY
    status = process_status(m, process)
    if image_load(m, image, code, status & SPP) == 0:
        return E_SEAL
    st64(m, process + P_IMAGE, image)
    st64(m, process + P_CODE, code)
    st64(m, process + P_CODE_BYTES, size)
    st64(m, process + P_CONTRACTS, ld64(m, image + I_CONTRACTS))
    st64(m, process + P_CONTRACT_COUNT, ld64(m, image + I_CONTRACT_COUNT))
    st64(m, process + P_RESOURCES, ld64(m, image + I_RESOURCES))
    if principal_set(m, process) == 0:
        return NO_MEMORY
    st64(m, thread + T_PC, code + ld64(m, image + I_ENTRY))
    st64(m, thread + T_STATUS, status)
    st64(m, thread + T_WAY, process_way(m, process))
    if status & SPP != 0:  # in ring 0 tp holds the running thread's record, always
        st64(m, thread + T_CONTEXT + 32, thread)
    return OK


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


def request_forget(m, thread, request):
    """Let nobody answer what a thread that ends has asked for."""
    if request == REQUEST_JOIN:
        st64(m, ld64(m, thread + T_TARGET) + P_JOINER, 0)
    elif request == REQUEST_BARRIER:
        st64(m, ld64(m, thread + T_TARGET) + P_BARRIER, 0)
    else:
        queue_remove(m, G_SERVICE_HEAD, thread)
    return 0


def request_answer(m, thread, status, word):
    """Give a thread what it has asked for, and let it go on."""
    st64(m, thread + T_REQUEST, 0)
    st64(m, thread + T_A0, status)
    st64(m, thread + T_A0 + 8, word)
    thread_wake(m, thread, 0)
    return 0


def threads_end(m, process):
    """Stop the threads of a process wherever they are: ready, blocked or running."""
    thread = ld64(m, process + P_THREADS)
    while thread != 0:
        state = ld64(m, thread + T_STATE)
        if state == READY:
            queue_remove(m, G_UNBLOCKED_HEAD, thread)
            queue_remove(m, G_PREEMPTED_HEAD, thread)
        elif (state == BLOCKED) or (state == BLOCKED_HELD):
            request = ld64(m, thread + T_REQUEST)
            if request != 0:
                request_forget(m, thread, request)
            elif ld64(m, thread + T_SELECTS) == WAIT_TURN:
                queue_remove(m, G_CONNECTING, thread)
            elif ld64(m, thread + T_SELECTS) >= WAIT_OBJECTS:
                if ld64(m, thread + T_SELECTS) == WAIT_EITHER:
                    ends_forget(m, thread)
                sleeper_forget(m, thread)
            elif ld64(m, thread + T_WAITS) != 0:
                waiter_forget(m, thread)
        if ld64(m, G_CURRENT) == thread:
            st64(m, G_CURRENT, 0)
        if state != ENDED:
            emit(m, THREAD_EXIT, ld64(m, thread + T_ID), 0)
        stack_forget(m, process, thread)
        following = ld64(m, thread + T_SIBLING)
        record_free(m, G_FREE_THREADS, thread)
        thread = following
    st64(m, process + P_THREADS, 0)
    st64(m, process + P_WAIT_FIRST, 0)
    st64(m, process + P_WAIT_LAST, 0)
    return 0


def process_release(m, process):
    """Take everything back from one process, and tell who waits for its end."""
    state = ld64(m, process + P_STATE)
    if (state != UNSTARTED) and (state != STOPPED):
        st64(m, G_LIVE, ld64(m, G_LIVE) - 1)
    threads_end(m, process)
    if ld64(m, G_WALK) != 0:
        process_walk(m, process)
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
        resource_close(m, process, found)
        found = ld64(m, process + P_OBJECTS)
    handles_free(m, process)
    heap_forget(m, process)
    st64(m, process + P_PRINCIPAL, 0)
    process_pages_free(m, process)
    domain_leave(m, process)
    st64(m, process + P_STATE, STOPPED)
    waiter = ld64(m, process + P_JOINER)
    if waiter != 0:
        st64(m, process + P_JOINER, 0)
        request_answer(m, waiter, OK, ld64(m, process + P_EXIT))
    waiter = ld64(m, process + P_BARRIER)
    if waiter != 0:
        st64(m, process + P_BARRIER, 0)
        request_answer(m, waiter, E_BAD_ARGUMENT, 0)
    if ld64(m, process + P_PARENT) != 0:
        suspension_settle(m, ld64(m, process + P_PARENT))
    return 0


def process_deepest(m, process):
    """Return a process below another that has no children, itself if it has none."""
    child = ld64(m, process + P_CHILDREN)
    while child != 0:
        process = child
        child = ld64(m, process + P_CHILDREN)
    return process


def process_end(m, process):
    """Take everything back from a process and from all below it; its own record stays, so that its exit value can be read."""
    below = process_deepest(m, process)
    while below != process:
        parent = ld64(m, below + P_PARENT)
        if ld64(m, below + P_STATE) != STOPPED:
            st64(m, below + P_STOPPED, 1)
            emit(m, PROCESS_STOP, ld64(m, below + P_ID), ld64(m, parent + P_ID))
            process_release(m, below)
        process_forget(m, below)
        below = process_deepest(m, process)
    process_release(m, process)
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


def process_make(m, parent, image):
    """Return a new process of an image, not started, or 0; then G_CREATE_STATUS says why."""
    process = process_create(m, parent, image)
    if process == 0:
        st64(m, G_CREATE_STATUS, NO_MEMORY)
        return 0
    status = process_load(m, process, image)
    st64(m, G_CREATE_STATUS, status)
    if status != OK:
        process_end(m, process)
        process_forget(m, process)
        return 0
    return process
