"""Policies: what functions of students may see of the kernel, and what happens to one that misbehaves.

A policy sees threads and pages through the functions of the first part. They take any word: what names no thread has
no number, no notes and nobody after it. A policy whose answer cannot be is put out of force on the spot, the kernel
takes its own choice, and the host is told.
"""

from singlab.kernel.core.words import emit, ld32, ld64, policy_stop, st64
from singlab.kernel.layout import (
    G_KERNEL_FIRST,
    G_PAGES,
    G_POLICIES,
    G_POLICY_FAULT,
    G_POLICY_NOTES,
    G_POLICY_RANDOM,
    G_POLICY_VALUE,
    G_PREEMPTED_HEAD,
    G_RECORD_FIRST,
    G_UNBLOCKED_HEAD,
    MAGIC_THREAD,
    OWNER_SHIFT,
    P_ID,
    PAGE_SHIFT,
    PAGE_TAGS,
    POLICY_NOTES,
    RAM_BASE,
    READY,
    T_ID,
    T_MAGIC,
    T_NEXT,
    T_NOTES,
    T_PROCESS,
    T_STATE,
    TAG_KERNEL_SYSTEM,
    THREAD_BYTES,
    THREAD_NOTES,
)

POLICY_FAULT = 33


def is_thread(m, word):
    """Return whether a word names a thread."""
    if word & (THREAD_BYTES - 1) != 0:
        return 0
    page = (word - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_KERNEL_FIRST)) or (page >= ld64(m, G_RECORD_FIRST)):
        return 0
    if ld32(m, PAGE_TAGS + page * 4) != TAG_KERNEL_SYSTEM:
        return 0
    return ld64(m, word + T_MAGIC) == MAGIC_THREAD


def is_ready(m, word):
    """Return whether a word names a thread that is ready."""
    if is_thread(m, word) == 0:
        return 0
    return ld64(m, word + T_STATE) == READY


def first_unblocked(m):
    """Return the first thread of the unblocked queue, 0 if it is empty."""
    return ld64(m, G_UNBLOCKED_HEAD)


def first_preempted(m):
    """Return the first thread of the preempted queue, 0 if it is empty."""
    return ld64(m, G_PREEMPTED_HEAD)


def next_thread(m, thread):
    """Return the thread after another in its queue, 0 after the last."""
    if is_ready(m, thread) == 0:
        return 0
    return ld64(m, thread + T_NEXT)


def thread_number(m, thread):
    """Return a thread's number, as in the trace."""
    if is_thread(m, thread) == 0:
        return 0
    return ld64(m, thread + T_ID)


def process_number(m, thread):
    """Return the number of a thread's process."""
    if is_thread(m, thread) == 0:
        return 0
    return ld64(m, ld64(m, thread + T_PROCESS) + P_ID)


def thread_note(m, thread, index):
    """Return one of the words that policies keep for a thread; 0 at first."""
    if (is_thread(m, thread) == 0) or (index >= THREAD_NOTES):
        return 0
    return ld64(m, thread + T_NOTES + index * 8)


def set_thread_note(m, thread, index, value):
    """Keep a word for a thread."""
    if (is_thread(m, thread) == 0) or (index >= THREAD_NOTES):
        return 0
    st64(m, thread + T_NOTES + index * 8, value)
    return 0


def note(m, index):
    """Return one of the words that policies keep; 0 at first."""
    if index >= POLICY_NOTES:
        return 0
    return ld64(m, G_POLICY_NOTES + index * 8)


def set_note(m, index, value):
    """Keep a word."""
    if index >= POLICY_NOTES:
        return 0
    st64(m, G_POLICY_NOTES + index * 8, value)
    return 0


def random_word(m):
    """Return a random word, from a generator whose seed is the system's."""
    state = ld64(m, G_POLICY_RANDOM)
    state = state ^ state << 13
    state = state ^ state >> 7
    state = state ^ state << 17
    st64(m, G_POLICY_RANDOM, state)
    return state


def page_free(m, page):
    """Return whether a page of RAM is free."""
    if page >= ld64(m, G_PAGES):
        return 0
    return ld32(m, PAGE_TAGS + page * 4) == 0


def page_owner(m, page):
    """Return the number of the process that owns a page, 0 if nobody does."""
    if page >= ld64(m, G_PAGES):
        return 0
    return ld32(m, PAGE_TAGS + page * 4) >> OWNER_SHIFT


def policy_fault(m, slot, why, value):
    """Put a policy out of force; ``value`` is the word it gave, or what the one that gave none says."""
    st64(m, G_POLICIES, ld64(m, G_POLICIES) & ~(1 << slot))
    st64(m, G_POLICY_FAULT, slot + 1 | why << 8)
    st64(m, G_POLICY_VALUE, value)
    emit(m, POLICY_FAULT, slot | why << 8, value)
    policy_stop(m)
    return 0
