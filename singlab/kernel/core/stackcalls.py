"""Linked stacks, the kernel's side of the ABI: a segment linked and unlinked, an end where there is none, and what a thread has.

The first two do not come by the usual entry: they keep a0 to a7, for a function's arguments and results pass by. What
they are asked for comes in t1 and t2, and the entry code puts sp and gp where the kernel says (:mod:`singlab.kernel.entry`).
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.processes import process_fault
from singlab.kernel.core.scheduler import schedule
from singlab.kernel.core.stacks import reservation_lend, stack_link, stack_unlink
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    G_CURRENT,
    I_UNLINK,
    P_CODE,
    P_FAULT_PC,
    P_IMAGE,
    P_LINKS,
    P_THREADS,
    P_UNLINKS,
    PAGE_SHIFT,
    SEG_BASE,
    SEG_NEXT,
    SEG_PAGES,
    SEG_RETURN,
    SEG_SP,
    T_A0,
    T_CONTEXT,
    T_ID,
    T_PC,
    T_PROCESS,
    T_SEGMENTS,
    T_SIBLING,
)

REFUSED = 28
OK = 0
NO_MEMORY = 4
E_BAD_ARGUMENT = 5
STACK_OVERFLOW = 9
#: What one function can need, with those below it that test nothing.
LARGEST_NEED = 65536
#: The code that unlinks.
UNLINK_BYTES = 20
ABI_ALLOCATE_STACK_SEGMENT = ABI_NUMBER["allocate_stack_segment"]
ABI_FREE_STACK_SEGMENT = ABI_NUMBER["free_stack_segment"]


def abi_allocate_stack_segment(m, need, back):
    """Let the calling thread go on on a new segment; returns OK, or why it cannot and has to end, on the kernel's own segment."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    status = E_BAD_ARGUMENT
    if need < LARGEST_NEED:
        status = NO_MEMORY
        if stack_link(m, process, thread, need, back) != 0:
            return OK
        stack = ld64(m, thread + T_CONTEXT + 16)
        record = reservation_lend(m, process, thread)
        if record != 0:
            st64(m, record + SEG_SP, stack)
            st64(m, record + SEG_RETURN, back)
    emit(m, REFUSED, ABI_ALLOCATE_STACK_SEGMENT, status)
    return status


def abi_free_stack_segment(m):
    """Take the calling thread back to the segment before, and to where the function returns that needed the newest."""
    thread = ld64(m, G_CURRENT)
    back = stack_unlink(m, ld64(m, thread + T_PROCESS), thread)
    if back == 0:
        emit(m, REFUSED, ABI_FREE_STACK_SEGMENT, E_BAD_ARGUMENT)
        return 0
    st64(m, thread + T_PC, back)
    return 0


def abi_stack_overflow(m, address):
    """End the calling process: its stack cannot grow any more for the call at an address of its code."""
    thread = ld64(m, G_CURRENT)
    number = ld64(m, thread + T_ID)
    process = ld64(m, thread + T_PROCESS)
    st64(m, process + P_FAULT_PC, address)
    process_fault(m, process, STACK_OVERFLOW, 0)
    schedule(m, number)
    return 0


def abi_walk_stack(m, index):
    """Return where a segment of the calling thread's stack lies, the newest first, and what it was linked for."""
    thread = ld64(m, G_CURRENT)
    record = ld64(m, thread + T_SEGMENTS)
    while (index != 0) and (record != 0):
        record = ld64(m, record + SEG_NEXT)
        index -= 1
    base = 0
    size = 0
    link = 0
    back = 0
    if record != 0:
        base = ld64(m, record + SEG_BASE)
        size = ld64(m, record + SEG_PAGES) << PAGE_SHIFT
        link = ld64(m, record + SEG_SP)
        back = ld64(m, record + SEG_RETURN)
    st64(m, thread + T_A0, base)
    st64(m, thread + T_A0 + 8, size)
    st64(m, thread + T_A0 + 16, link)
    st64(m, thread + T_A0 + 24, back)
    return 0


def abi_get_unlink_stack_range(m):
    """Return between which addresses the code lies that unlinks, 0 and 0 for a program whose stack never grows."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    start = ld64(m, ld64(m, process + P_IMAGE) + I_UNLINK)
    end = 0
    if start != 0:
        start += ld64(m, process + P_CODE)
        end = start + UNLINK_BYTES
    st64(m, thread + T_A0, start)
    st64(m, thread + T_A0 + 8, end)
    return 0


def abi_get_stack_usage(m):
    """Return how many segments the stacks of the calling process's threads have, with how many pages, and how often one came and went."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    segments = 0
    pages = 0
    other = ld64(m, process + P_THREADS)
    while other != 0:
        record = ld64(m, other + T_SEGMENTS)
        while record != 0:
            segments += 1
            pages += ld64(m, record + SEG_PAGES)
            record = ld64(m, record + SEG_NEXT)
        other = ld64(m, other + T_SIBLING)
    st64(m, thread + T_A0, segments)
    st64(m, thread + T_A0 + 8, pages)
    st64(m, thread + T_A0 + 16, ld64(m, process + P_LINKS))
    st64(m, thread + T_A0 + 24, ld64(m, process + P_UNLINKS))
    return 0
