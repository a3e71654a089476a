"""Policies: what functions of students may see of the kernel, and what happens to one that misbehaves.

A policy sees threads and pages through the functions of the first part. They take any word: what names no thread has
no number, no notes and nobody after it. A policy whose answer cannot be is put out of force on the spot, the kernel
takes its own choice, and the host is told.
"""

from singlab.kernel.core.words import emit, ld32, ld64, policy_stop, policy_trouble, st64
from singlab.kernel.heaplayout import (
    HEAP_BYTES,
    HEAP_NOTES,
    OLDEST,
    Z_ACTIVE,
    Z_AGES,
    Z_BYTES,
    Z_COUNT,
    Z_CYCLES,
    Z_FREED,
    Z_GIVEN,
    Z_LIMIT,
    Z_LIVE,
    Z_MAGIC,
    Z_MOST,
    Z_NOTES,
    Z_PAUSE,
    Z_PROCESS,
)
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
    MAGIC_HEAP,
    MAGIC_THREAD,
    NONSENSE,
    OWNER_SHIFT,
    P_ID,
    PAGE_SHIFT,
    PAGE_TAGS,
    POLICY_NOTES,
    RAISED,
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


def is_record(m, word, size):
    """Return whether a record of the kernel's, of a size that is a power of two, can lie at an address."""
    if word & (size - 1) != 0:
        return 0
    page = (word - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_KERNEL_FIRST)) or (page >= ld64(m, G_RECORD_FIRST)):
        return 0
    return ld32(m, PAGE_TAGS + page * 4) == TAG_KERNEL_SYSTEM


def is_thread(m, word):
    """Return whether a word names a thread."""
    if is_record(m, word, THREAD_BYTES) == 0:
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


def is_heap(m, word):
    """Return whether a word names a heap of objects."""
    if is_record(m, word, HEAP_BYTES) == 0:
        return 0
    return ld64(m, word + Z_MAGIC) == MAGIC_HEAP


def heap_process(m, heap):
    """Return the number of a heap's process."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, ld64(m, heap + Z_PROCESS) + P_ID)


def heap_bytes(m, heap):
    """Return how many bytes the pages of a heap have."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_BYTES)


def heap_live(m, heap):
    """Return how many bytes were alive after the last collection of a heap."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_LIVE)


def heap_freed(m, heap):
    """Return how many bytes the last collection of a heap gave back."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_FREED)


def heap_made(m, heap):
    """Return how many bytes threads were given since the last collection of a heap, or cycle of steps."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_GIVEN)


def heap_limit(m, heap):
    """Return beyond how many bytes the kernel would collect a heap."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_LIMIT)


def heap_most(m, heap):
    """Return how many bytes a heap can have; all ones if there is no bound."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_MOST)


def heap_count(m, heap):
    """Return how many collections of a heap there were."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_COUNT)


def heap_cycles(m, heap):
    """Return how many cycles all collections of a heap took."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_CYCLES)


def heap_pause(m, heap):
    """Return how many cycles the last collection of a heap took."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_PAUSE)


def heap_collector(m, heap):
    """Return the number of the collector that a heap has now."""
    if is_heap(m, heap) == 0:
        return 0
    return ld64(m, heap + Z_ACTIVE)


def heap_survivors(m, heap, age):
    """Return how many bytes the last minor collection found that have survived so many now."""
    if (is_heap(m, heap) == 0) or (age > OLDEST):
        return 0
    return ld64(m, heap + Z_AGES + age * 8)


def heap_note(m, heap, index):
    """Return one of the words that policies keep for a heap; 0 at first."""
    if (is_heap(m, heap) == 0) or (index >= HEAP_NOTES):
        return 0
    return ld64(m, heap + Z_NOTES + index * 8)


def set_heap_note(m, heap, index, value):
    """Keep a word for a heap."""
    if (is_heap(m, heap) == 0) or (index >= HEAP_NOTES):
        return 0
    st64(m, heap + Z_NOTES + index * 8, value)
    return 0


def policy_fault(m, slot, why, value):
    """Put a policy out of force; ``value`` is the word it gave, or what the one that gave none says."""
    st64(m, G_POLICIES, ld64(m, G_POLICIES) & ~(1 << slot))
    st64(m, G_POLICY_FAULT, slot + 1 | why << 8)
    st64(m, G_POLICY_VALUE, value)
    emit(m, POLICY_FAULT, slot | why << 8, value)
    policy_stop(m)
    return 0


def answered(m, slot, answer, least, most, usual):
    """Return what a policy has answered, or what the kernel would do without it if it could not, or that cannot be: then it is out of force."""
    trouble = policy_trouble(m)
    if trouble != 0:
        policy_fault(m, slot, RAISED, trouble)
        return usual
    if (answer < least) or (answer > most):
        policy_fault(m, slot, NONSENSE, answer)
        return usual
    return answer
