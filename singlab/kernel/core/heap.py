"""Exchange heap: blocks with one owner at a time, which pass between processes without being copied.

A block is an allocation record (kernel-owned, so it outlives any process) and its data. Small data
comes from buckets of 16 to 2048 bytes, larger data from whole pages. Each process's blocks are on a
list, so its death gives them back without a walk over everybody's.

Leaves out sharing, splitting and truncating a region.
"""

from singlab.kernel.core.pages import pages_alloc, pages_free
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    B_DATA,
    B_MAGIC,
    B_NEXT,
    B_OWNER,
    B_PREVIOUS,
    B_SIZE,
    B_SPAN,
    BLOCK_BYTES,
    G_BUCKETS,
    G_FREE_RECORDS,
    G_RECORD_FIRST,
    G_USER_FIRST,
    LARGEST_BUCKET,
    MAGIC_BLOCK,
    P_BLOCKS,
    P_ID,
    PAGE,
    PAGE_SHIFT,
    RAM_BASE,
    SMALLEST_BUCKET,
    TAG_KERNEL_SHARED,
    ZONE_RECORD,
    ZONE_USER,
)

BLOCK_ALLOC = 19
BLOCK_OWNER = 20
BLOCK_FREE = 21
BLOCK_COPY = 22
OK = 0
E_BAD_HANDLE = 1
E_NOT_OWNER = 2


def block_link(m, block, process):
    """Put a block on its owner's list."""
    first = ld64(m, process + P_BLOCKS)
    st64(m, block + B_NEXT, first)
    st64(m, block + B_PREVIOUS, 0)
    if first != 0:
        st64(m, first + B_PREVIOUS, block)
    st64(m, process + P_BLOCKS, block)
    return 0


def block_unlink(m, block, process):
    """Take a block off its owner's list."""
    following = ld64(m, block + B_NEXT)
    previous = ld64(m, block + B_PREVIOUS)
    if previous != 0:
        st64(m, previous + B_NEXT, following)
    else:
        st64(m, process + P_BLOCKS, following)
    if following != 0:
        st64(m, following + B_PREVIOUS, previous)
    return 0


def bucket_take(m, size, bucket):
    """Return data of ``size`` bytes from a bucket's free list, or 0."""
    data = ld64(m, bucket)
    if data == 0:
        page = pages_alloc(m, ZONE_USER, 1, TAG_KERNEL_SHARED)
        if page == 0:
            return 0
        data = page
        while data < page + PAGE:
            st64(m, data, ld64(m, bucket))
            st64(m, bucket, data)
            data += size
        data = ld64(m, bucket)
    st64(m, bucket, ld64(m, data))
    return data


def block_alloc(m, process, size):
    """Return a new zeroed block of a process, or 0 when memory is exhausted."""
    block = record_new(m, G_FREE_RECORDS, BLOCK_BYTES, ZONE_RECORD, TAG_KERNEL_SHARED)
    if block == 0:
        return 0
    if size <= LARGEST_BUCKET:
        span = SMALLEST_BUCKET
        bucket = G_BUCKETS
        while span < size:
            span = span << 1
            bucket += 8
        data = bucket_take(m, span, bucket)
        end = data + span
    else:
        count = (size + PAGE - 1) >> PAGE_SHIFT
        data = pages_alloc(m, ZONE_USER, count, TAG_KERNEL_SHARED)
        span = count << 32
        end = data + (count << PAGE_SHIFT)
    if data == 0:
        record_free(m, G_FREE_RECORDS, block)
        return 0
    at = data
    while at < end:
        st64(m, at, 0)
        at += 8
    owner = ld64(m, process + P_ID)
    st64(m, block + B_DATA, data)
    st64(m, block + B_SIZE, size)
    st64(m, block + B_OWNER, owner)
    st64(m, block + B_SPAN, span)
    st64(m, block + B_MAGIC, MAGIC_BLOCK)
    block_link(m, block, process)
    emit(m, BLOCK_ALLOC, data, size | owner << 32)
    return block


def block_free(m, block, process):
    """Give a block of a process back: its data to the bucket or the page manager, its record to the free list."""
    emit(m, BLOCK_FREE, ld64(m, block + B_DATA), ld64(m, block + B_SIZE) | ld64(m, block + B_OWNER) << 32)
    block_unlink(m, block, process)
    data = ld64(m, block + B_DATA)
    span = ld64(m, block + B_SPAN)
    if span <= LARGEST_BUCKET:
        bucket = G_BUCKETS
        size = SMALLEST_BUCKET
        while size < span:
            size = size << 1
            bucket += 8
        st64(m, data, ld64(m, bucket))
        st64(m, bucket, data)
    else:
        pages_free(m, data, span >> 32)
    st64(m, block + B_MAGIC, 0)
    record_free(m, G_FREE_RECORDS, block)
    return 0


def block_give(m, block, giver, taker):
    """Change a block's owner; the data stays where it is."""
    block_unlink(m, block, giver)
    owner = ld64(m, taker + P_ID)
    emit(m, BLOCK_OWNER, ld64(m, block + B_DATA), owner | ld64(m, block + B_OWNER) << 32)
    st64(m, block + B_OWNER, owner)
    block_link(m, block, taker)
    return 0


def block_copy(m, block, taker):
    """Return a copy of a block owned by the taker; 0 when memory is exhausted."""
    size = ld64(m, block + B_SIZE)
    copy = block_alloc(m, taker, size)
    if copy == 0:
        return 0
    source = ld64(m, block + B_DATA)
    target = ld64(m, copy + B_DATA)
    emit(m, BLOCK_COPY, source, size)
    end = source + size
    # four words a turn; data is padded to 16 bytes, so the tail is copied by pairs
    while source + 32 <= end:
        st64(m, target, ld64(m, source))
        st64(m, target + 8, ld64(m, source + 8))
        st64(m, target + 16, ld64(m, source + 16))
        st64(m, target + 24, ld64(m, source + 24))
        source += 32
        target += 32
    while source < end:
        st64(m, target, ld64(m, source))
        st64(m, target + 8, ld64(m, source + 8))
        source += 16
        target += 16
    return copy


def block_check(m, handle, process):
    """Return OK if a handle names a live block of this process, whatever word it is, else why not."""
    if handle & (BLOCK_BYTES - 1) != 0:
        return E_BAD_HANDLE
    page = (handle - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_RECORD_FIRST)) or (page >= ld64(m, G_USER_FIRST)):
        return E_BAD_HANDLE
    if ld64(m, handle + B_MAGIC) != MAGIC_BLOCK:
        return E_BAD_HANDLE
    if ld64(m, handle + B_OWNER) != ld64(m, process + P_ID):
        return E_NOT_OWNER
    return OK
