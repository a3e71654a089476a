"""Stacks: a thread's stack is a list of segments, which grows when a function finds no room and shrinks when that function returns.

A segment is whole pages of the thread's process. Its low end is kept free, for an interrupt's frame and for what enters the
kernel; where that begins is in gp while a thread runs, and compiled code compares its stack pointer with it where it has to.
The record of a segment says where the stack stood before and where the function returns to that needed it, so nothing on the
stack is believed. The kernel keeps one segment of its own back: a thread that can get
none goes on there to its process's end.

Leaves out segments kept for the next time, so a loop at the end of one links and unlinks at each turn; and the kernel's own
stack, which no kernel function here needs.
"""

from singlab.kernel.core.domains import domain_map, domain_reserve, domain_unmap, process_pages_alloc, process_pages_return
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.words import emit, ld64, st32, st64
from singlab.kernel.layout import (
    G_FREE_SEGMENTS,
    G_RESERVATION,
    G_RESERVED,
    G_SEGMENT_PAGES,
    G_STACK_LIMIT,
    HEADROOM,
    KERNEL_OWNER,
    MAGIC_SEGMENT,
    OWNER_SHIFT,
    P_DOMAIN,
    P_ID,
    P_LINKS,
    P_UNLINKS,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAM_BASE,
    SEG_BASE,
    SEG_LIMIT,
    SEG_MAGIC,
    SEG_NEXT,
    SEG_PAGES,
    SEG_RETURN,
    SEG_SP,
    SEGMENT_RECORD_BYTES,
    SMALL_NEED,
    T_CONTEXT,
    T_SEGMENTS,
    T_STACK_PAGES,
    TAG_KERNEL_SYSTEM,
    TAG_STACK,
    ZONE_KERNEL,
)

PAGES_ALLOC = 23
PAGES_FREE = 24
STACK_LINK = 57
STACK_UNLINK = 58


def segment_push(m, thread, record, base, pages):
    """Put a segment at the head of a thread's stack, whose registers then point to its end."""
    limit = base + (HEADROOM + SMALL_NEED)
    st64(m, record + SEG_MAGIC, MAGIC_SEGMENT)
    st64(m, record + SEG_NEXT, ld64(m, thread + T_SEGMENTS))
    st64(m, record + SEG_BASE, base)
    st64(m, record + SEG_PAGES, pages)
    st64(m, record + SEG_LIMIT, limit)
    st64(m, thread + T_SEGMENTS, record)
    st64(m, thread + T_STACK_PAGES, ld64(m, thread + T_STACK_PAGES) + pages)
    st64(m, thread + T_CONTEXT + 16, base + (pages << PAGE_SHIFT))
    st64(m, thread + T_CONTEXT + 24, limit)
    return record


def stack_grow(m, process, thread, pages):
    """Give a thread a segment more, or its first one; returns its record, 0 = memory is exhausted."""
    record = record_new(m, G_FREE_SEGMENTS, SEGMENT_RECORD_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if record == 0:
        return 0
    base = process_pages_alloc(m, process, pages, TAG_STACK)
    if base == 0:
        record_free(m, G_FREE_SEGMENTS, record)
        return 0
    return segment_push(m, thread, record, base, pages)


def reservation_tag(m, owner):
    """Write down whose the kernel's own segment is now."""
    page = (ld64(m, G_RESERVATION) - RAM_BASE) >> PAGE_SHIFT
    tag = owner << OWNER_SHIFT | TAG_STACK
    st32(m, PAGE_TAGS + page * 4, tag)
    emit(m, PAGES_ALLOC, page, 1 | tag << 32)
    return 0


def reservation_lend(m, process, thread):
    """Give a thread that has to end the kernel's own segment; returns its record, 0 if somebody has it."""
    base = ld64(m, G_RESERVATION)
    if (base == 0) or (ld64(m, G_RESERVED) != 0):
        return 0
    domain = ld64(m, process + P_DOMAIN)
    if domain != 0:
        if domain_reserve(m, domain, base, 1) == 0:
            return 0
    record = record_new(m, G_FREE_SEGMENTS, SEGMENT_RECORD_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if record == 0:
        return 0
    if domain != 0:
        domain_map(m, domain, base, 1, TAG_STACK)
    reservation_tag(m, ld64(m, process + P_ID))
    st64(m, G_RESERVED, record)
    return segment_push(m, thread, record, base, 1)


def reservation_return(m, process):
    """Take the kernel's own segment back."""
    domain = ld64(m, process + P_DOMAIN)
    if domain != 0:
        domain_unmap(m, domain, ld64(m, G_RESERVATION), 1)
    reservation_tag(m, KERNEL_OWNER)
    st64(m, G_RESERVED, 0)
    return 0


def segment_pop(m, process, thread):
    """Take the newest segment off a thread's stack, with its pages."""
    record = ld64(m, thread + T_SEGMENTS)
    pages = ld64(m, record + SEG_PAGES)
    if record == ld64(m, G_RESERVED):
        reservation_return(m, process)
    else:
        process_pages_return(m, process, ld64(m, record + SEG_BASE), pages)
    st64(m, thread + T_SEGMENTS, ld64(m, record + SEG_NEXT))
    st64(m, thread + T_STACK_PAGES, ld64(m, thread + T_STACK_PAGES) - pages)
    record_free(m, G_FREE_SEGMENTS, record)
    return 0


def stack_end(m, process, thread):
    """Give the whole stack of a thread back."""
    while ld64(m, thread + T_SEGMENTS) != 0:
        segment_pop(m, process, thread)
    return 0


def stack_forget(m, process, thread):
    """Give back the records of a stack whose pages go with all others of its process, and what is the kernel's own."""
    record = ld64(m, thread + T_SEGMENTS)
    while record != 0:
        following = ld64(m, record + SEG_NEXT)
        if record == ld64(m, G_RESERVED):
            reservation_return(m, process)
        record_free(m, G_FREE_SEGMENTS, record)
        record = following
    return 0


def stack_link(m, process, thread, need, back):
    """Let a thread go on on a new segment with room for what a function needs; returns its record, 0 if there can be none.

    ``back`` is where the function returns to. The stack pointer is the one in the thread's context.
    """
    pages = (need + (HEADROOM + (1 << PAGE_SHIFT) - 1)) >> PAGE_SHIFT
    least = ld64(m, G_SEGMENT_PAGES)
    if pages < least:
        pages = least
    if ld64(m, thread + T_STACK_PAGES) + pages > ld64(m, G_STACK_LIMIT):
        return 0
    stack = ld64(m, thread + T_CONTEXT + 16)
    record = stack_grow(m, process, thread, pages)
    if record == 0:
        return 0
    st64(m, record + SEG_SP, stack)
    st64(m, record + SEG_RETURN, back)
    st64(m, process + P_LINKS, ld64(m, process + P_LINKS) + 1)
    emit(m, STACK_LINK, ld64(m, record + SEG_BASE), pages)
    return record


def stack_unlink(m, process, thread):
    """Take a thread back to the segment before its newest; returns where it goes on, 0 if it has no other."""
    record = ld64(m, thread + T_SEGMENTS)
    before = ld64(m, record + SEG_NEXT)
    if before == 0:
        return 0
    back = ld64(m, record + SEG_RETURN)
    stack = ld64(m, record + SEG_SP)
    emit(m, STACK_UNLINK, ld64(m, record + SEG_BASE), ld64(m, record + SEG_PAGES))
    segment_pop(m, process, thread)
    st64(m, thread + T_CONTEXT + 16, stack)
    st64(m, thread + T_CONTEXT + 24, ld64(m, before + SEG_LIMIT))
    st64(m, process + P_UNLINKS, ld64(m, process + P_UNLINKS) + 1)
    return back
