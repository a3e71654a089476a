"""What a collection is booked as, whoever's heap it is: its cause, how it went, how the heap stands, how long it took.

The numbers stand in the heap's record, where policies and the host find them, and go into the trace.
"""

from singlab.kernel.core.words import emit, ld64, now, st64
from singlab.kernel.heaplayout import (
    COLLECT_CONCURRENT,
    COLLECT_GENERATIONAL,
    COLLECT_MARK_SWEEP,
    OLDEST,
    X_END,
    X_NEXT,
    X_TOP,
    Z_ACTIVE,
    Z_AGES,
    Z_BARRIERS,
    Z_BYTES,
    Z_CAUSE,
    Z_COLLECTOR,
    Z_COUNT,
    Z_CYCLES,
    Z_EXTENTS,
    Z_FREED,
    Z_LARGEST,
    Z_LIVE,
    Z_LONGEST,
    Z_MOVED,
    Z_PAUSE,
    Z_ROOTS,
    Z_TENURE,
    Z_TOLD,
)
from singlab.kernel.layout import PAGE_SHIFT

GC_BEGIN = 60
GC_END = 61
GC_WORK = 62
GC_HEAP = 64
GC_AGE = 65


def book_begin(m, heap, cause):
    """A collection begins; returns when."""
    began = now(m)
    emit(m, GC_BEGIN, ld64(m, heap + Z_COLLECTOR) | cause << 8, ld64(m, heap + Z_BYTES))
    st64(m, heap + Z_CAUSE, cause)
    return began


def largest_free(m, heap):
    """Return how many bytes the largest piece of a heap has in which there is nothing."""
    collector = ld64(m, heap + Z_ACTIVE)
    if (collector == COLLECT_MARK_SWEEP) or (collector == COLLECT_CONCURRENT):
        return ld64(m, heap + Z_LARGEST)
    largest = 0
    extent = ld64(m, heap + Z_EXTENTS)
    while extent != 0:
        left = ld64(m, extent + X_END) - ld64(m, extent + X_TOP)
        if left > largest:
            largest = left
        extent = ld64(m, extent + X_NEXT)
    return largest


def heap_tell(m, heap):
    """Write down how a heap stands after a collection."""
    barriers = ld64(m, heap + Z_BARRIERS)
    largest = largest_free(m, heap)
    st64(m, heap + Z_LARGEST, largest)
    emit(m, GC_HEAP, ld64(m, heap + Z_ACTIVE) | ld64(m, heap + Z_TENURE) << 8 | (barriers - ld64(m, heap + Z_TOLD)) << 32, ld64(m, heap + Z_BYTES) >> PAGE_SHIFT | largest >> 3 << 32)
    st64(m, heap + Z_TOLD, barriers)
    if ld64(m, heap + Z_COLLECTOR) == COLLECT_GENERATIONAL:
        age = 1
        while age <= OLDEST:
            size = ld64(m, heap + Z_AGES + age * 8)
            if size != 0:
                emit(m, GC_AGE, age, size)
            age += 1
    return 0


def book_work(m, heap):
    """A collection, or a step of one, was possible."""
    st64(m, heap + Z_COUNT, ld64(m, heap + Z_COUNT) + 1)
    heap_tell(m, heap)
    emit(m, GC_WORK, ld64(m, heap + Z_ROOTS), ld64(m, heap + Z_MOVED) | ld64(m, heap + Z_FREED) << 32)
    return 0


def book_end(m, heap, began):
    """A collection is over that began then."""
    took = now(m) - began
    st64(m, heap + Z_PAUSE, took)
    st64(m, heap + Z_CYCLES, ld64(m, heap + Z_CYCLES) + took)
    longest = ld64(m, heap + Z_LONGEST)  # without a branch: both forms retire the same whichever was longer
    st64(m, heap + Z_LONGEST, longest + (took - longest) * (took > longest))
    emit(m, GC_END, ld64(m, heap + Z_LIVE), took)
    return 0
