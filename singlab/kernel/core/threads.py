"""Threads of a process beyond its first: made, ended and waited for.

A thread begins at an address inside its process's own image, on a stack of its own. When it ends, the stack
goes back at once; its record stays until another thread of the process has taken its value, or the process
ends. The first thread of a process is its main thread: when that one returns the process ends, with all others.

A mutex that it has is free when it ends. Leaves out suspension and priorities.
"""

from singlab.kernel.core.domains import SPP, process_status, process_way
from singlab.kernel.core.objects import mutexes_drop
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.scheduler import thread_wake
from singlab.kernel.core.stacks import stack_end, stack_grow
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    ENDED,
    G_FREE_THREADS,
    G_NEXT_THREAD,
    MAGIC_THREAD,
    MOST_THREADS,
    P_CODE,
    P_CODE_BYTES,
    P_ID,
    P_THREADS,
    PAGE_SHIFT,
    T_A0,
    T_EXIT,
    T_FULL,
    T_ID,
    T_JOINER,
    T_JOINS,
    T_MAGIC,
    T_PC,
    T_PROCESS,
    T_SIBLING,
    T_STATE,
    T_STATUS,
    T_WAY,
    TAG_KERNEL_SYSTEM,
    THREAD_BYTES,
    ZONE_KERNEL,
)

THREAD_CREATE = 7
THREAD_EXIT = 13

LARGEST_STACK = 1024 * 1024


def threads_count(m, process):
    """Return how many threads a process has, those included that have ended and nobody joined."""
    count = 0
    thread = ld64(m, process + P_THREADS)
    while thread != 0:
        count += 1
        thread = ld64(m, thread + T_SIBLING)
    return count


def thread_create(m, process, entry, stack, word0, word1, word2, word3):
    """Return a new ready thread of a process, or 0: no such entry, too many threads, or no memory."""
    offset = entry - ld64(m, process + P_CODE)
    if (offset >= ld64(m, process + P_CODE_BYTES)) or (offset & 3 != 0):
        return 0
    if (stack == 0) or (stack > LARGEST_STACK):
        return 0
    if threads_count(m, process) >= MOST_THREADS:
        return 0
    thread = record_new(m, G_FREE_THREADS, THREAD_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if thread == 0:
        return 0
    count = (stack + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT
    if stack_grow(m, process, thread, count) == 0:
        record_free(m, G_FREE_THREADS, thread)
        return 0
    number = ld64(m, G_NEXT_THREAD)
    st64(m, G_NEXT_THREAD, number + 1)
    st64(m, thread + T_MAGIC, MAGIC_THREAD)
    st64(m, thread + T_ID, number)
    st64(m, thread + T_PROCESS, process)
    st64(m, thread + T_FULL, 1)
    st64(m, thread + T_PC, entry)
    status = process_status(m, process)
    st64(m, thread + T_STATUS, status)
    st64(m, thread + T_WAY, process_way(m, process))
    if status & SPP != 0:
        st64(m, thread + T_PC + 32, thread)
    st64(m, thread + T_A0, word0)
    st64(m, thread + T_A0 + 8, word1)
    st64(m, thread + T_A0 + 16, word2)
    st64(m, thread + T_A0 + 24, word3)
    # behind the main thread, which stays the first
    main = ld64(m, process + P_THREADS)
    st64(m, thread + T_SIBLING, ld64(m, main + T_SIBLING))
    st64(m, main + T_SIBLING, thread)
    emit(m, THREAD_CREATE, number, ld64(m, process + P_ID))
    thread_wake(m, thread, 0)
    return thread


def thread_forget(m, process, thread):
    """Give the record of a thread back that is not the main one."""
    before = ld64(m, process + P_THREADS)
    while ld64(m, before + T_SIBLING) != thread:
        before = ld64(m, before + T_SIBLING)
    st64(m, before + T_SIBLING, ld64(m, thread + T_SIBLING))
    record_free(m, G_FREE_THREADS, thread)
    return 0


def thread_find(m, process, number):
    """Return the thread of a process that has a number and is not its main one, or 0."""
    thread = ld64(m, ld64(m, process + P_THREADS) + T_SIBLING)
    while thread != 0:
        if ld64(m, thread + T_ID) == number:
            return thread
        thread = ld64(m, thread + T_SIBLING)
    return 0


def thread_deliver(m, thread, joiner):
    """Put the value of a thread that has ended into the result registers of one that waited for it."""
    st64(m, joiner + T_A0, 0)
    st64(m, joiner + T_A0 + 8, ld64(m, thread + T_EXIT))
    return 0


def thread_exit(m, process, thread, value):
    """End a thread that is not the main one: its stack goes back, and who waits for it goes on."""
    st64(m, thread + T_EXIT, value)
    emit(m, THREAD_EXIT, ld64(m, thread + T_ID), value)
    stack_end(m, process, thread)
    st64(m, thread + T_STATE, ENDED)
    mutexes_drop(m, process, thread)
    joiner = ld64(m, thread + T_JOINER)
    if joiner != 0:
        st64(m, joiner + T_JOINS, 0)
        thread_deliver(m, thread, joiner)
        thread_wake(m, joiner, 0)
        thread_forget(m, process, thread)
    return 0
