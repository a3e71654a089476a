"""Heaps of objects, the kernel's part: their records, and the runs of pages (extents) they are made of.

A heap's record is made when its process first asks for room. The pages carry their process's tag, so its end takes them
back as it does all others; the records go with :func:`heap_forget`. The kernel has such a heap too, whose record there always is
and names no process (:mod:`singlab.kernel.core.kernelheap`).
"""

from singlab.kernel.core.domains import process_pages_alloc, process_pages_return
from singlab.kernel.core.heappolicies import growth_chosen, nursery_chosen, tenure_chosen
from singlab.kernel.core.memory import words_zero
from singlab.kernel.core.pages import pages_alloc, pages_free
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.words import film_step, ld32, ld64, st64
from singlab.kernel.heaplayout import (
    COLLECT_ADAPTIVE,
    COLLECT_GENERATIONAL,
    COLLECT_NONE,
    COLLECT_SEMISPACE,
    EXTENT_BYTES,
    FREE,
    HEAP_BYTES,
    IH_COLLECTOR,
    IH_MAPS,
    IH_MOST,
    IH_TYPE_COUNT,
    IH_TYPES,
    LAST,
    X_END,
    X_MAGIC,
    X_NEXT,
    X_START,
    X_TOP,
    Z_ACTIVE,
    Z_BYTES,
    Z_COLLECTOR,
    Z_END,
    Z_EXTENTS,
    Z_LIMIT,
    Z_MAGIC,
    Z_MAJOR,
    Z_MAPS,
    Z_MOST,
    Z_NURSERY,
    Z_OLD,
    Z_PROCESS,
    Z_REMEMBERED,
    Z_TAG,
    Z_TENURE,
    Z_TYPE_COUNT,
    Z_TYPES,
)
from singlab.kernel.layout import (
    G_COLLECT_EVERY,
    G_COLLECTOR,
    G_FREE_EXTENTS,
    G_FREE_HEAPS,
    G_PAGES,
    G_WINDOW,
    I_HEAP,
    MAGIC_EXTENT,
    MAGIC_HEAP,
    NEVER,
    OWNER_SHIFT,
    P_CODE,
    P_COLLECTOR,
    P_HEAP_MOST,
    P_ID,
    P_IMAGE,
    P_OBJECT_HEAP,
    PAGE,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAM_BASE,
    TAG_HEAP,
    TAG_KERNEL_HEAP,
    TAG_KERNEL_SYSTEM,
    ZONE_KERNEL,
)

SMALLEST_LIMIT = 65536  # a heap grows so far before there is a collection
CHUNK = 4096  # a thread is given so much room at once


def collector_of(m, process):
    """Return the number of a process's collector; COLLECT_NONE if it has none, or its image makes no objects."""
    about = ld64(m, ld64(m, process + P_IMAGE) + I_HEAP)
    if about == 0:
        return COLLECT_NONE
    number = ld64(m, process + P_COLLECTOR)
    if number == 0:
        number = ld64(m, about + IH_COLLECTOR)
    if number == 0:
        number = ld64(m, G_COLLECTOR)
    if number == 0:
        number = COLLECT_NONE
    return number


def heap_of(m, process):
    """Return the record of a process's heap, made now if it has none; 0 if it has no collector, or memory is exhausted."""
    heap = ld64(m, process + P_OBJECT_HEAP)
    if heap != 0:
        return heap
    number = collector_of(m, process)
    if number == COLLECT_NONE:
        return 0
    heap = record_new(m, G_FREE_HEAPS, HEAP_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if heap == 0:
        return 0
    about = ld64(m, ld64(m, process + P_IMAGE) + I_HEAP)
    code = ld64(m, process + P_CODE) + ld64(m, G_WINDOW)
    st64(m, heap + Z_MAGIC, MAGIC_HEAP)
    st64(m, heap + Z_PROCESS, process)
    st64(m, heap + Z_COLLECTOR, number)
    st64(m, heap + Z_TYPES, code + ld64(m, about + IH_TYPES))
    st64(m, heap + Z_TYPE_COUNT, ld64(m, about + IH_TYPE_COUNT))
    st64(m, heap + Z_MAPS, code + ld64(m, about + IH_MAPS))
    st64(m, heap + Z_TAG, ld64(m, process + P_ID) << OWNER_SHIFT | TAG_HEAP)
    most = ld64(m, process + P_HEAP_MOST)
    if most == 0:
        most = ld64(m, about + IH_MOST)
    if most == 0:
        most = NEVER
    limit = SMALLEST_LIMIT
    if limit > most:
        limit = most
    st64(m, heap + Z_MOST, most)
    st64(m, heap + Z_LIMIT, limit)
    st64(m, process + P_OBJECT_HEAP, heap)
    if number == COLLECT_ADAPTIVE:
        number = COLLECT_SEMISPACE
    st64(m, heap + Z_ACTIVE, number)
    if number == COLLECT_GENERATIONAL:
        nursery = nursery_chosen(m, heap, SMALLEST_LIMIT)
        st64(m, heap + Z_NURSERY, nursery)
        st64(m, heap + Z_TENURE, tenure_chosen(m, heap, 1))
        st64(m, heap + Z_MAJOR, SMALLEST_LIMIT * 2)
        st64(m, heap + Z_REMEMBERED, LAST)
        if nursery < most:
            st64(m, heap + Z_LIMIT, nursery)
    return heap


def heap_pages(m, heap, count):
    """Return the address of so many pages of a heap's owner, or 0; the kernel's own are in its zone."""
    process = ld64(m, heap + Z_PROCESS)
    if process == 0:
        return pages_alloc(m, ZONE_KERNEL, count, TAG_KERNEL_HEAP)
    return process_pages_alloc(m, process, count, TAG_HEAP)


def heap_pages_return(m, heap, address, count):
    """Give some pages of a heap back."""
    process = ld64(m, heap + Z_PROCESS)
    if process == 0:
        return pages_free(m, address, count)
    return process_pages_return(m, process, address, count)


def extent_new(m, heap, size):
    """Return a new extent with room for so many bytes, which is on no list yet; 0 = none. Its bytes are not zeroed."""
    count = (size + PAGE - 1) >> PAGE_SHIFT
    extent = record_new(m, G_FREE_EXTENTS, EXTENT_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if extent == 0:
        return 0
    start = heap_pages(m, heap, count)
    if start == 0:
        record_free(m, G_FREE_EXTENTS, extent)
        return 0
    st64(m, extent + X_MAGIC, MAGIC_EXTENT)
    st64(m, extent + X_START, start)
    st64(m, extent + X_TOP, start)
    st64(m, extent + X_END, start + (count << PAGE_SHIFT))
    return extent


def extent_link(m, heap, extent):
    """Make an extent the newest of a heap."""
    st64(m, extent + X_NEXT, ld64(m, heap + Z_EXTENTS))
    st64(m, heap + Z_EXTENTS, extent)
    st64(m, heap + Z_BYTES, ld64(m, heap + Z_BYTES) + ld64(m, extent + X_END) - ld64(m, extent + X_START))
    return 0


def extent_free(m, heap, extent):
    """Give an extent's pages and record back; it is on no list any more."""
    start = ld64(m, extent + X_START)
    end = ld64(m, extent + X_END)
    film_step(m, FREE, start, end - start)
    heap_pages_return(m, heap, start, (end - start) >> PAGE_SHIFT)
    record_free(m, G_FREE_EXTENTS, extent)
    return 0


def extents_free(m, heap, extent):
    """Give back an extent and all that follow it in their list."""
    while extent != 0:
        following = ld64(m, extent + X_NEXT)
        extent_free(m, heap, extent)
        extent = following
    return 0


def extents_used(m, extent):
    """Return how many bytes of the extents of a list threads were given."""
    used = 0
    while extent != 0:
        used += ld64(m, extent + X_TOP) - ld64(m, extent + X_START)
        extent = ld64(m, extent + X_NEXT)
    return used


def extents_bytes(m, extent):
    """Return how many bytes the extents of a list have."""
    size = 0
    while extent != 0:
        size += ld64(m, extent + X_END) - ld64(m, extent + X_START)
        extent = ld64(m, extent + X_NEXT)
    return size


def extent_trim(m, heap, extent, end):
    """Give back the pages of an extent behind the one in which ``end`` lies."""
    first = (end + PAGE - 1) >> PAGE_SHIFT
    last = ld64(m, extent + X_END) >> PAGE_SHIFT
    if first < last:
        film_step(m, FREE, first << PAGE_SHIFT, (last - first) << PAGE_SHIFT)
        heap_pages_return(m, heap, first << PAGE_SHIFT, last - first)
        st64(m, extent + X_END, first << PAGE_SHIFT)
    return 0


def heap_grow(m, heap, size, limit):
    """Add an extent with room for an object of a size, as long as the heap has no more bytes than a limit; returns whether that was possible."""
    bytes = ld64(m, heap + Z_BYTES)
    least = (size + PAGE - 1) & ~(PAGE - 1)
    if (bytes > limit) or (least > limit - bytes):
        return 0
    wanted = bytes >> 2
    if wanted < SMALLEST_LIMIT:
        wanted = SMALLEST_LIMIT
    wanted = growth_chosen(m, heap, size, wanted)
    if wanted > limit - bytes:
        wanted = (limit - bytes) & ~(PAGE - 1)
    if wanted < least:
        wanted = least
    extent = extent_new(m, heap, wanted)
    if extent == 0:
        extent = extent_new(m, heap, least)
        if extent == 0:
            return 0
    extent_link(m, heap, extent)
    return 1


def extent_room(m, heap, size):
    """Return where zeroed room for an object lies in the newest extent, and note where it ends; 0 = there is none."""
    extent = ld64(m, heap + Z_EXTENTS)
    if extent == 0:
        return 0
    top = ld64(m, extent + X_TOP)
    left = ld64(m, extent + X_END) - top
    if size > left:
        return 0
    given = size
    if (given < CHUNK) and (ld64(m, G_COLLECT_EVERY) == 0):
        given = CHUNK
        if given > left:
            given = left
    end = top + given
    window = ld64(m, G_WINDOW)
    words_zero(m, top + window, end + window)
    st64(m, extent + X_TOP, end)
    st64(m, heap + Z_END, end)
    return top


def extent_retire(m, heap, top, limit):
    """Take back from a thread what it has not used of its room, if nobody has been given any since."""
    extent = ld64(m, heap + Z_EXTENTS)
    if extent == 0:
        return 0
    if (limit == ld64(m, extent + X_TOP)) and (top < limit) and (top >= ld64(m, extent + X_START)) and (top & 7 == 0):
        st64(m, extent + X_TOP, top)
    return 0


def pages_tagged(m, address, size, tag):
    """Return whether bytes lie in pages with a tag of objects or stacks, whatever words they are given by."""
    if (address < RAM_BASE) or (size == 0) or (size > 1 << 40) or (address > 1 << 40):
        return 0
    page = (address - RAM_BASE) >> PAGE_SHIFT
    last = (address + size - 1 - RAM_BASE) >> PAGE_SHIFT
    if last >= ld64(m, G_PAGES):
        return 0
    while page <= last:
        if ld32(m, PAGE_TAGS + page * 4) != tag:
            return 0
        page += 1
    return 1


def records_forget(m, extent):
    """Give back the records of a list of extents."""
    while extent != 0:
        following = ld64(m, extent + X_NEXT)
        record_free(m, G_FREE_EXTENTS, extent)
        extent = following
    return 0


def heap_forget(m, process):
    """Give back the records of the heap of a process that ends; its pages go by their tags."""
    heap = ld64(m, process + P_OBJECT_HEAP)
    if heap == 0:
        return 0
    st64(m, process + P_OBJECT_HEAP, 0)
    records_forget(m, ld64(m, heap + Z_EXTENTS))
    records_forget(m, ld64(m, heap + Z_OLD))
    record_free(m, G_FREE_HEAPS, heap)
    return 0
