"""Regions: several blocks with bounds of their own over the same data, as the papers' allocation records have it.

A region's record counts the blocks that share it; data and record go back with the last of them. So headers are
stripped and packets put apart without a byte being copied. What overlaps is for its owners to keep apart: the kernel
gives out the records, and the verifier sees to it that blocks which can be written have bounds of their own.

A block that shares its region is copied where it goes to another domain: no two domains see one page.
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.heap import block_begin, block_check
from singlab.kernel.core.records import record_new
from singlab.kernel.core.words import emit, ld32, ld64, st32, st64
from singlab.kernel.layout import (
    B_DATA,
    B_OWNER,
    B_SIZE,
    B_SPAN,
    B_STAGED,
    B_TYPE,
    BLOCK_BYTES,
    G_CURRENT,
    G_FREE_RECORDS,
    G_WINDOW,
    R_COUNT,
    SHARED_SPAN,
    T_A0,
    T_PROCESS,
    TAG_KERNEL_SHARED,
    ZONE_RECORD,
)

REFUSED = 28
BLOCK_SIZE = 50
OK = 0
E_NOT_OWNER = 2
E_BAD_ARGUMENT = 5
ABI_SHARE = ABI_NUMBER["share"]
ABI_SPLIT = ABI_NUMBER["split"]
ABI_TRUNCATE = ABI_NUMBER["truncate"]
ABI_GET_SIZE = ABI_NUMBER["get_size"]
ABI_GET_TYPE = ABI_NUMBER["get_type"]
ABI_SET_TYPE = ABI_NUMBER["set_type"]


def settled_check(m, block, process):
    """Return OK if a handle names a block of this process that has its contents, else why not."""
    status = block_check(m, block, process)
    if status != OK:
        return status
    if ld64(m, block + B_STAGED) != 0:  # it is in a message its owner has not taken
        return E_NOT_OWNER
    return OK


def region_of(m, block):
    """Return the region of a block, made if it has its data for itself so far; 0 = memory is exhausted."""
    span = ld64(m, block + B_SPAN)
    if span >> 63 != 0:
        return span - SHARED_SPAN
    window = ld64(m, G_WINDOW)
    record = record_new(m, G_FREE_RECORDS, BLOCK_BYTES, ZONE_RECORD, TAG_KERNEL_SHARED)
    if record == 0:
        return 0
    st64(m, record + B_DATA, ld64(m, block + B_DATA))
    st64(m, record + B_SPAN, span)
    st64(m, record + R_COUNT, 1)
    st64(m, block + window + B_SPAN, SHARED_SPAN | (record - window))
    return record - window


def block_share(m, process, block, start, end):
    """Return another block of a process: the bytes of one from an offset up to another; 0 = no such bytes, or memory is exhausted."""
    if (start > end) or (end > ld64(m, block + B_SIZE)):
        return 0
    region = region_of(m, block)
    if region == 0:
        return 0
    record = record_new(m, G_FREE_RECORDS, BLOCK_BYTES, ZONE_RECORD, TAG_KERNEL_SHARED)
    if record == 0:
        return 0
    window = ld64(m, G_WINDOW)
    st64(m, record + B_DATA, ld64(m, block + B_DATA) + start)
    st64(m, record + B_SIZE, end - start)
    st64(m, record + B_SPAN, SHARED_SPAN | region)
    st64(m, region + window + R_COUNT, ld64(m, region + R_COUNT) + 1)
    block_begin(m, record - window, process)
    st32(m, record + B_TYPE, ld32(m, block + B_TYPE))
    return record - window


def block_truncate(m, block, size):
    """Let a block end earlier; what it had behind goes back with its region."""
    if size > ld64(m, block + B_SIZE):
        return E_BAD_ARGUMENT
    st64(m, block + ld64(m, G_WINDOW) + B_SIZE, size)
    emit(m, BLOCK_SIZE, ld64(m, block + B_DATA), size | ld64(m, block + B_OWNER) << 32)
    return OK


# ---- the ABI -----------------------------------------------------------------------------------------------------


def parts_deliver(m, number, status, block, part):
    """Put two blocks over one region into the caller's result registers, or 0 and 0 if there is no second one."""
    thread = ld64(m, G_CURRENT)
    if part == 0:
        emit(m, REFUSED, number, status)
        block = 0
    st64(m, thread + T_A0, block)
    st64(m, thread + T_A0 + 8, part)
    return 0


def abi_share(m, block, start, end):
    """Make another block over some bytes of one of the calling process."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = settled_check(m, block, process)
    part = 0
    if status == OK:
        status = E_BAD_ARGUMENT
        part = block_share(m, process, block, start, end)
    parts_deliver(m, ABI_SHARE, status, block, part)
    return 0


def abi_split(m, block, offset):
    """Make a block with the bytes of one of the calling process from an offset on, where that one then ends."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = settled_check(m, block, process)
    part = 0
    if status == OK:
        status = E_BAD_ARGUMENT
        part = block_share(m, process, block, offset, ld64(m, block + B_SIZE))
        if part != 0:
            block_truncate(m, block, offset)
    parts_deliver(m, ABI_SPLIT, status, block, part)
    return 0


def abi_truncate(m, block, size):
    """Let a block of the calling process end earlier; returns it, or 0."""
    status = settled_check(m, block, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))
    if status == OK:
        status = block_truncate(m, block, size)
    if status != OK:
        emit(m, REFUSED, ABI_TRUNCATE, status)
        return 0
    return block


def abi_get_size(m, block):
    """Return how many bytes a block of the calling process has; 0 for what is none."""
    status = block_check(m, block, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))
    if status != OK:
        emit(m, REFUSED, ABI_GET_SIZE, status)
        return 0
    return ld64(m, block + B_SIZE)


def abi_get_type(m, block):
    """Return the number that an owner has given a block of the calling process; 0 for what is none."""
    status = block_check(m, block, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))
    if status != OK:
        emit(m, REFUSED, ABI_GET_TYPE, status)
        return 0
    return ld32(m, block + B_TYPE)


def abi_set_type(m, block, number):
    """Give a block of the calling process a number, which stays with it."""
    status = block_check(m, block, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))
    if status != OK:
        emit(m, REFUSED, ABI_SET_TYPE, status)
        return status
    st32(m, block + ld64(m, G_WINDOW) + B_TYPE, number)
    return OK
