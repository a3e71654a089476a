"""Collections of the kernel's own heap.

The service thread does them, between two of its turns: then no function of the kernel is under way, and what the kernel
needs of its objects is in its records. So a collection costs whoever runs the kernel's thread, not who made the last object,
and no collector of a process has anything to do with it: neither waits for the other, or looks at its pages.

The collectors are those of processes that need no write barrier, on a heap that is the kernel's.
"""

from singlab.kernel.core.kernelheap import SMALLEST_KERNEL_LIMIT, kernel_rest
from singlab.kernel.core.objectheaps import extents_free
from singlab.kernel.core.service import service_turn
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.heaplayout import (
    COLLECT_COMPACT,
    COLLECT_NONE,
    COLLECT_SEMISPACE,
    Z_BYTES,
    Z_COLLECTOR,
    Z_EXTENTS,
    Z_GIVEN,
    Z_LIMIT,
    Z_LIVE,
)
from singlab.kernel.layout import G_KERNEL_DUE, KERNEL_HEAP
from singlab.runtime.booking import book_begin, book_end, book_work
from singlab.runtime.compact import compact_collect
from singlab.runtime.marksweep import marksweep_collect
from singlab.runtime.semispace import semispace_collect


def kernel_collected(m, collector):
    """Let a collector collect the kernel's heap; returns whether that was possible."""
    if collector == COLLECT_SEMISPACE:
        return semispace_collect(m, KERNEL_HEAP)
    if collector == COLLECT_COMPACT:
        return compact_collect(m, KERNEL_HEAP)
    return marksweep_collect(m, KERNEL_HEAP)


def kernel_settle(m):
    """After a collection of the kernel's heap: if nothing is alive it has no pages, and so many bytes may be made before the next one."""
    live = ld64(m, KERNEL_HEAP + Z_LIVE)
    if live == 0:
        extents_free(m, KERNEL_HEAP, ld64(m, KERNEL_HEAP + Z_EXTENTS))
        st64(m, KERNEL_HEAP + Z_EXTENTS, 0)
        st64(m, KERNEL_HEAP + Z_BYTES, 0)
    limit = live * 2
    if limit < SMALLEST_KERNEL_LIMIT:
        limit = SMALLEST_KERNEL_LIMIT
    st64(m, KERNEL_HEAP + Z_LIMIT, limit)
    st64(m, KERNEL_HEAP + Z_GIVEN, 0)
    return 0


def kernel_collect(m, cause):
    """Collect the kernel's heap, and book it; no function of the kernel may be under way."""
    collector = ld64(m, KERNEL_HEAP + Z_COLLECTOR)
    st64(m, G_KERNEL_DUE, 0)
    if collector == COLLECT_NONE:
        return 0
    began = book_begin(m, KERNEL_HEAP, cause)
    kernel_rest(m)
    done = kernel_collected(m, collector)
    if done != 0:
        kernel_settle(m)
        book_work(m, KERNEL_HEAP)
    book_end(m, KERNEL_HEAP, began)
    return done


def kernel_turn(m):
    """One turn of the service thread: a collection if one is due, then what it has to do."""
    cause = ld64(m, G_KERNEL_DUE)
    if cause != 0:
        kernel_collect(m, cause)
    service_turn(m)
    return 0
