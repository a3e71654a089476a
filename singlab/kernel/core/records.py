"""Kernel records: fixed-size pieces of kernel pages, each kind with its own free list.

A record's first word is its magic number while it lives and the link of the free list when it does
not, so a stale handle is recognised. Records that SIPs may read are written through the kernel's window: their
free list holds addresses there, and so does what ``record_new`` returns.
"""

from singlab.kernel.core.memory import words_zero
from singlab.kernel.core.pages import pages_alloc
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.layout import G_WINDOW, PAGE, ZONE_RECORD


def record_new(m, free_list, size, zone, tag):
    """Return a zeroed record from a free list, taking another page when the list is empty; 0 = none left."""
    record = ld64(m, free_list)
    if record == 0:
        page = pages_alloc(m, zone, 1, tag)
        if page == 0:
            return 0
        if zone == ZONE_RECORD:
            page += ld64(m, G_WINDOW)
        record = page
        while record + size <= page + PAGE:
            st64(m, record, ld64(m, free_list))
            st64(m, free_list, record)
            record += size
        record = ld64(m, free_list)
    st64(m, free_list, ld64(m, record))
    words_zero(m, record, record + size)
    return record


def record_free(m, free_list, record):
    """Give a record back to its free list."""
    st64(m, record, ld64(m, free_list))
    st64(m, free_list, record)
    return 0
