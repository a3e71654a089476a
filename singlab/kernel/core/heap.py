"""Exchange heap: blocks with one owner at a time, which pass between processes without being copied.

A block is an allocation record (kernel-owned, so it outlives any process) and its data. Small data
comes from buckets of 16 to 2048 bytes, larger data from whole pages. Each process's blocks are on a
list, so its death gives them back without a walk over everybody's. A small block that is free keeps its record
and its data together on its bucket's list: the kernel keeps nothing it relies on where a SIP can write.

Each protection domain has buckets of its own, so that no page holds data of two domains. Records and data are
written through the kernel's window, wherever their owner's domain has them.

Several blocks can share one region with bounds of their own (:mod:`singlab.kernel.core.regions`); its data goes back
when the last of them does.
"""

from singlab.kernel.core.domains import domain_map, domain_reserve, domain_unmap
from singlab.kernel.core.memory import bytes_copy, words_zero
from singlab.kernel.core.pages import pages_alloc, pages_free
from singlab.kernel.core.policies import answered
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.words import emit, ld32, ld64, policy_fit, st64
from singlab.kernel.layout import (
    B_DATA,
    B_MAGIC,
    B_NEXT,
    B_OWNER,
    B_PREVIOUS,
    B_SIZE,
    B_SPAN,
    B_STAGED,
    BLOCK_BYTES,
    BUCKETS,
    FIT,
    G_BUCKETS,
    G_FREE_RECORDS,
    G_POLICIES,
    G_RECORD_FIRST,
    G_USER_FIRST,
    G_WINDOW,
    LARGEST_BUCKET,
    MAGIC_BLOCK,
    P_BLOCKS,
    P_DOMAIN,
    P_HEAP,
    P_ID,
    PAGE,
    PAGE_SHIFT,
    R_COUNT,
    RAM_BASE,
    SHARED_SPAN,
    SMALLEST_BUCKET,
    TAG_KERNEL_SHARED,
    TAG_SHARED,
    ZONE_RECORD,
    ZONE_USER,
)

BLOCK_ALLOC = 19
BLOCK_OWNER = 20
BLOCK_FREE = 21
BLOCK_COPY = 22
FRESH = BUCKETS * 8
LARGEST_ROOM = 32 * 1024 * 1024
OK = 0
E_BAD_HANDLE = 1
E_NOT_OWNER = 2


def block_link(m, block, process):
    """Put a block on its owner's list."""
    window = ld64(m, G_WINDOW)
    first = ld64(m, process + P_BLOCKS)
    st64(m, block + window + B_NEXT, first)
    st64(m, block + window + B_PREVIOUS, 0)
    if first != 0:
        st64(m, first + window + B_PREVIOUS, block)
    st64(m, process + P_BLOCKS, block)
    return 0


def block_unlink(m, block, process):
    """Take a block off its owner's list."""
    window = ld64(m, G_WINDOW)
    following = ld64(m, block + B_NEXT)
    previous = ld64(m, block + B_PREVIOUS)
    if previous != 0:
        st64(m, previous + window + B_NEXT, following)
    else:
        st64(m, process + P_BLOCKS, following)
    if following != 0:
        st64(m, following + window + B_PREVIOUS, previous)
    return 0


def bucket_of(m, heap, span):
    """Return the bucket of a heap for data of a size."""
    bucket = heap
    size = SMALLEST_BUCKET
    while size < span:
        size = size << 1
        bucket += 8
    return bucket


def record_with(m, data, span):
    """Return a new record for data, or 0."""
    record = record_new(m, G_FREE_RECORDS, BLOCK_BYTES, ZONE_RECORD, TAG_KERNEL_SHARED)
    if record == 0:
        return 0
    st64(m, record + B_DATA, data)
    st64(m, record + B_SPAN, span)
    return record - ld64(m, G_WINDOW)


def small_block(m, bucket, span, domain):
    """Return a free block of a bucket, or one with data never used, from a new page of the domain if need be; 0 = none."""
    block = ld64(m, bucket)
    if block != 0:
        st64(m, bucket, ld64(m, block + B_NEXT))
        return block
    data = ld64(m, bucket + FRESH)
    if data & (PAGE - 1) == 0:
        data = pages_alloc(m, ZONE_USER, 1, TAG_KERNEL_SHARED)
        if data == 0:
            return 0
        if domain != 0:
            if domain_map(m, domain, data, 1, TAG_SHARED) == 0:
                pages_free(m, data, 1)
                return 0
        block = record_with(m, data, span)
        if block == 0:
            if domain != 0:
                domain_unmap(m, domain, data, 1)
            pages_free(m, data, 1)
            return 0
    else:
        block = record_with(m, data, span)
        if block == 0:
            return 0
    st64(m, bucket + FRESH, data + span)
    return block


def large_block(m, count, domain):
    """Return a block of whole pages, or 0."""
    data = pages_alloc(m, ZONE_USER, count, TAG_KERNEL_SHARED)
    if data == 0:
        return 0
    if domain != 0:
        if domain_reserve(m, domain, data, count) == 0:
            pages_free(m, data, count)
            return 0
    block = record_with(m, data, count << 32)
    if block == 0:
        pages_free(m, data, count)
        return 0
    if domain != 0:
        domain_map(m, domain, data, count, TAG_SHARED)
    return block


def room_chosen(m, size):
    """Return how many bytes the policy gives a block; at least what was asked for."""
    return answered(m, FIT, policy_fit(m, size), size, LARGEST_ROOM, size)


def block_new(m, heap, domain, size):
    """Return a block of a heap with room for ``size`` bytes that nobody owns yet and whose data is anything, or 0."""
    room = size
    if ld64(m, G_POLICIES) & (1 << FIT) != 0:
        room = room_chosen(m, size)
    if room <= LARGEST_BUCKET:
        span = SMALLEST_BUCKET
        bucket = heap
        while span < room:
            span = span << 1
            bucket += 8
        block = small_block(m, bucket, span, domain)
    else:
        block = large_block(m, (room + PAGE - 1) >> PAGE_SHIFT, domain)
    if block != 0:
        st64(m, block + ld64(m, G_WINDOW) + B_SIZE, size)
    return block


def block_begin(m, block, process):
    """Make a process the owner of a new block."""
    record = block + ld64(m, G_WINDOW)
    owner = ld64(m, process + P_ID)
    st64(m, record + B_OWNER, owner)
    st64(m, record + B_STAGED, 0)
    st64(m, record + B_MAGIC, MAGIC_BLOCK)
    block_link(m, block, process)
    emit(m, BLOCK_ALLOC, ld64(m, block + B_DATA), ld64(m, block + B_SIZE) | owner << 32)
    return 0


def block_alloc(m, process, size):
    """Return a new zeroed block of a process, or 0 when memory is exhausted."""
    block = block_new(m, ld64(m, process + P_HEAP), ld64(m, process + P_DOMAIN), size)
    if block == 0:
        return 0
    at = ld64(m, block + B_DATA) + ld64(m, G_WINDOW)
    span = ld64(m, block + B_SPAN)
    end = at + span
    if span > LARGEST_BUCKET:
        end = at + ((span >> 32) << PAGE_SHIFT)
    words_zero(m, at, end)
    block_begin(m, block, process)
    return block


def small_free(m, block, heap):
    """Put a small block that nobody owns on its bucket's list."""
    bucket = bucket_of(m, heap, ld64(m, block + B_SPAN))
    st64(m, block + ld64(m, G_WINDOW) + B_NEXT, ld64(m, bucket))
    st64(m, bucket, block)
    return 0


def data_free(m, block, heap, domain):
    """Give back what a block stands for that nobody owns: to its bucket, or its data to the page manager and its record to the free list."""
    span = ld64(m, block + B_SPAN)
    window = ld64(m, G_WINDOW)
    if span >> 63 != 0:
        record_free(m, G_FREE_RECORDS, block + window)
        block = span - SHARED_SPAN
        count = ld64(m, block + R_COUNT) - 1
        st64(m, block + window + R_COUNT, count)
        if count != 0:
            return 0
        span = ld64(m, block + B_SPAN)
        if span <= LARGEST_BUCKET:
            small_free(m, block, heap)
            return 0
    data = ld64(m, block + B_DATA)
    if domain != 0:
        domain_unmap(m, domain, data, span >> 32)
    pages_free(m, data, span >> 32)
    record_free(m, G_FREE_RECORDS, block + window)
    return 0


def staged_free(m, staged):
    """Give back the kernel's copy of what was sent from another domain."""
    if ld64(m, staged + B_SPAN) <= LARGEST_BUCKET:
        small_free(m, staged, G_BUCKETS)
        return 0
    data_free(m, staged, G_BUCKETS, 0)
    return 0


def block_free(m, block, process):
    """Give a block of a process back."""
    emit(m, BLOCK_FREE, ld64(m, block + B_DATA), ld64(m, block + B_SIZE) | ld64(m, block + B_OWNER) << 32)
    block_unlink(m, block, process)
    st64(m, block + ld64(m, G_WINDOW) + B_MAGIC, 0)
    staged = ld64(m, block + B_STAGED)
    if staged != 0:
        staged_free(m, staged)
    if ld64(m, block + B_SPAN) <= LARGEST_BUCKET:
        small_free(m, block, ld64(m, process + P_HEAP))
        return 0
    data_free(m, block, ld64(m, process + P_HEAP), ld64(m, process + P_DOMAIN))
    return 0


def whole_pages(m, block):
    """Return the record that has a block's pages, if it has them for itself; 0 if it is smaller or shares its region."""
    span = ld64(m, block + B_SPAN)
    if span >> 63 != 0:
        block = span - SHARED_SPAN
        if ld64(m, block + R_COUNT) != 1:
            return 0
        span = ld64(m, block + B_SPAN)
    if span <= LARGEST_BUCKET:
        return 0
    return block


def block_give(m, block, giver, taker):
    """Change a block's owner; the data stays where it is, and is seen by the other domain instead."""
    block_unlink(m, block, giver)
    owner = ld64(m, taker + P_ID)
    emit(m, BLOCK_OWNER, ld64(m, block + B_DATA), owner | ld64(m, block + B_OWNER) << 32)
    st64(m, block + ld64(m, G_WINDOW) + B_OWNER, owner)
    block_link(m, block, taker)
    domain = ld64(m, giver + P_DOMAIN)
    other = ld64(m, taker + P_DOMAIN)
    if domain != other:
        whole = whole_pages(m, block)
        data = ld64(m, whole + B_DATA)
        count = ld64(m, whole + B_SPAN) >> 32
        if domain != 0:
            domain_unmap(m, domain, data, count)
        if other != 0:
            domain_map(m, other, data, count, TAG_SHARED)
    return 0


def data_copy(m, source, target, size):
    """Copy data, through the window if there is one."""
    emit(m, BLOCK_COPY, source, size)
    window = ld64(m, G_WINDOW)
    return bytes_copy(m, source + window, target + window, size)


def block_copy(m, block, taker):
    """Return a copy of a block, owned by the taker; 0 when memory is exhausted."""
    size = ld64(m, block + B_SIZE)
    copy = block_alloc(m, taker, size)
    if copy != 0:
        data_copy(m, ld64(m, block + B_DATA), ld64(m, copy + B_DATA), size)
    return copy


def block_check(m, handle, process):
    """Return OK if a handle names a live block of this process, whatever word it is, else why not."""
    if handle & (BLOCK_BYTES - 1) != 0:
        return E_BAD_HANDLE
    page = (handle - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_RECORD_FIRST)) or (page >= ld64(m, G_USER_FIRST)):
        return E_BAD_HANDLE
    if ld32(m, handle + B_MAGIC) != MAGIC_BLOCK:
        return E_BAD_HANDLE
    if ld64(m, handle + B_OWNER) != ld64(m, process + P_ID):
        return E_NOT_OWNER
    return OK
