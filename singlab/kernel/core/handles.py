"""Handles: words by which a process names what the kernel keeps for it.

A handle is the address of a slot in one of its process's handle pages, and how often that slot has been used. The
page's tag says whose it is, so a foreign handle is refused as is a stale one; slots are used again by the same
process only, and its end gives the pages back.
"""

from singlab.kernel.core.pages import pages_alloc, pages_free
from singlab.kernel.core.words import ld32, ld64, st64
from singlab.kernel.layout import (
    G_KERNEL_FIRST,
    G_RECORD_FIRST,
    H_KIND,
    H_NEXT,
    H_OBJECT,
    H_USES,
    HANDLE_BYTES,
    HANDLE_SHIFT,
    HP_FREE,
    HP_NEXT,
    OWNER_SHIFT,
    P_HANDLES,
    P_ID,
    PAGE,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAM_BASE,
    TAG_HANDLES,
    ZONE_KERNEL,
)

USES_MASK = 0x7FFFFF


def handle_page_new(m, process):
    """Return a new page of free slots of a process, or 0."""
    page = pages_alloc(m, ZONE_KERNEL, 1, ld64(m, process + P_ID) << OWNER_SHIFT | TAG_HANDLES)
    if page == 0:
        return 0
    st64(m, page + HP_NEXT, ld64(m, process + P_HANDLES))
    st64(m, process + P_HANDLES, page)
    free = 0
    slot = page + PAGE - HANDLE_BYTES
    while slot != page:
        st64(m, slot + H_KIND, 0)
        st64(m, slot + H_USES, 1)
        st64(m, slot + H_NEXT, free)
        free = slot
        slot -= HANDLE_BYTES
    st64(m, page + HP_FREE, free)
    return page


def handle_new(m, process, kind, named):
    """Return a handle of a process for something of a kind; 0 = memory is exhausted."""
    page = ld64(m, process + P_HANDLES)
    while page != 0:
        if ld64(m, page + HP_FREE) != 0:
            break
        page = ld64(m, page + HP_NEXT)
    if page == 0:
        page = handle_page_new(m, process)
        if page == 0:
            return 0
    slot = ld64(m, page + HP_FREE)
    st64(m, page + HP_FREE, ld64(m, slot + H_NEXT))
    st64(m, slot + H_KIND, kind)
    st64(m, slot + H_OBJECT, named)
    return ld64(m, slot + H_USES) << HANDLE_SHIFT | slot


def handle_slot(m, process, handle, kind):
    """Return the slot that a handle of a process names, if it is of a kind and in use, whatever word it is; else 0."""
    slot = handle & ((1 << HANDLE_SHIFT) - 1)
    page = (slot - RAM_BASE) >> PAGE_SHIFT
    if (slot & (HANDLE_BYTES - 1) != 0) or (slot & (PAGE - 1) == 0):
        return 0
    if (page < ld64(m, G_KERNEL_FIRST)) or (page >= ld64(m, G_RECORD_FIRST)):
        return 0
    if ld32(m, PAGE_TAGS + page * 4) != (ld64(m, process + P_ID) << OWNER_SHIFT | TAG_HANDLES):
        return 0
    if (ld64(m, slot + H_KIND) != kind) or (ld64(m, slot + H_USES) != (handle >> HANDLE_SHIFT)):
        return 0
    return slot


def handle_object(m, process, handle, kind):
    """Return what a handle of a process names, or 0."""
    slot = handle_slot(m, process, handle, kind)
    if slot == 0:
        return 0
    return ld64(m, slot + H_OBJECT)


def handle_free(m, slot):
    """Give a slot back; its old handle is stale from now on."""
    page = slot & ~(PAGE - 1)
    st64(m, slot + H_KIND, 0)
    uses = (ld64(m, slot + H_USES) + 1) & USES_MASK
    if uses == 0:
        uses = 1
    st64(m, slot + H_USES, uses)
    st64(m, slot + H_NEXT, ld64(m, page + HP_FREE))
    st64(m, page + HP_FREE, slot)
    return 0


def handles_free(m, process):
    """Give all handle pages of a process back."""
    page = ld64(m, process + P_HANDLES)
    while page != 0:
        following = ld64(m, page + HP_NEXT)
        pages_free(m, page, 1)
        page = following
    st64(m, process + P_HANDLES, 0)
    return 0
