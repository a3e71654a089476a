"""Page manager: a 32-bit tag for each page of physical memory says who owns it and what it holds.

Leaves out extension in place and physical ranges of devices.
"""

from singlab.kernel.core.policies import policy_fault
from singlab.kernel.core.words import emit, ld32, ld64, policy_pages, policy_trouble, st32, st64
from singlab.kernel.layout import (
    G_KERNEL_FIRST,
    G_KERNEL_HINT,
    G_POLICIES,
    G_RECORD_FIRST,
    G_USER_FIRST,
    NONSENSE,
    OWNER_SHIFT,
    PAGE_SHIFT,
    PAGE_TAGS,
    PAGES,
    RAISED,
    RAM_BASE,
)

PAGES_ALLOC = 23
PAGES_FREE = 24


def find_run(m, first, last, count):
    """Return the first of ``count`` free pages in a row within [first, last), or 0."""
    page = first
    run = 0
    while page < last:
        if ld32(m, PAGE_TAGS + page * 4) == 0:
            run += 1
            if run == count:
                return page + 1 - count
        else:
            run = 0
        page += 1
    return 0


def pages_chosen(m, zone, first, last, count):
    """Return the page at which the policy lets so many begin; 0 if it leaves the choice to the kernel, or had to go."""
    page = policy_pages(m, zone, first, last, count)
    trouble = policy_trouble(m)
    if trouble != 0:
        return policy_fault(m, PAGES, RAISED, trouble)
    if page == 0:
        return 0
    if (page >= first) and (page < last) and (count <= last - page):
        if find_run(m, page, page + count, count) == page:
            return page
    return policy_fault(m, PAGES, NONSENSE, page)


def pages_alloc(m, zone, count, tag):
    """Return the address of ``count`` free pages of a zone in a row, tagged, or 0."""
    first = ld64(m, G_KERNEL_FIRST + zone * 8)
    last = ld64(m, G_KERNEL_FIRST + zone * 8 + 8)
    page = 0
    if ld64(m, G_POLICIES) & (1 << PAGES) != 0:
        page = pages_chosen(m, zone, first, last, count)
    if page == 0:
        page = find_run(m, ld64(m, G_KERNEL_HINT + zone * 8), last, count)
    if page == 0:
        page = find_run(m, first, last, count)
        if page == 0:
            return 0
    at = page
    while at < page + count:
        st32(m, PAGE_TAGS + at * 4, tag)
        at += 1
    st64(m, G_KERNEL_HINT + zone * 8, page + count)
    emit(m, PAGES_ALLOC, page, count | tag << 32)
    return RAM_BASE + (page << PAGE_SHIFT)


def pages_free(m, address, count):
    """Give ``count`` pages from an address on back; the next search of their zone starts there."""
    page = (address - RAM_BASE) >> PAGE_SHIFT
    emit(m, PAGES_FREE, page, count | ld32(m, PAGE_TAGS + page * 4) << 32)
    at = page
    while at < page + count:
        st32(m, PAGE_TAGS + at * 4, 0)
        at += 1
    zone = (page >= ld64(m, G_RECORD_FIRST)) + (page >= ld64(m, G_USER_FIRST))
    if page < ld64(m, G_KERNEL_HINT + zone * 8):
        st64(m, G_KERNEL_HINT + zone * 8, page)
    return 0


def pages_free_owner(m, owner, page, last):
    """Give back every page that a process owns from a page up to another, by tag alone."""
    while page < last:
        tag = ld32(m, PAGE_TAGS + page * 4)
        if tag >> OWNER_SHIFT == owner:
            count = 1
            while ld32(m, PAGE_TAGS + (page + count) * 4) == tag:
                count += 1
            pages_free(m, RAM_BASE + (page << PAGE_SHIFT), count)
            page += count
        else:
            page += 1
    return 0
