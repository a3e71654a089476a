"""Walker: the other way to find what a dead process had, by looking at everybody's records.

The real system's shared-heap walker goes over all records when a process dies and takes those that carry its number.
It needs no lists, so owning and giving cost less; but a death costs more the more others live. Which of the two is
done is chosen at boot.
"""

from singlab.kernel.core.channels import endpoint_close
from singlab.kernel.core.heap import block_free
from singlab.kernel.core.sets import set_close
from singlab.kernel.core.words import ld32, ld64
from singlab.kernel.layout import (
    B_MAGIC,
    B_OWNER,
    BLOCK_BYTES,
    E_MAGIC,
    E_PROCESS,
    ENDPOINT_BYTES,
    G_KERNEL_FIRST,
    G_RECORD_FIRST,
    G_USER_FIRST,
    MAGIC_BLOCK,
    MAGIC_ENDPOINT,
    MAGIC_SET,
    P_ID,
    PAGE,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAM_BASE,
    TAG_KERNEL_SHARED,
    TAG_KERNEL_SYSTEM,
)


def endpoints_walk(m, process, magic):
    """Close every endpoint, or every set, of a process, wherever it lies."""
    page = ld64(m, G_KERNEL_FIRST)
    last = ld64(m, G_RECORD_FIRST)
    while page < last:
        if ld32(m, PAGE_TAGS + page * 4) == TAG_KERNEL_SYSTEM:
            record = RAM_BASE + (page << PAGE_SHIFT)
            end = record + PAGE
            while record < end:
                if (ld64(m, record + E_MAGIC) == magic) and (ld64(m, record + E_PROCESS) == process):
                    if magic == MAGIC_SET:
                        set_close(m, record, process)
                    else:
                        endpoint_close(m, record, process)
                record += ENDPOINT_BYTES
        page += 1
    return 0


def blocks_walk(m, process):
    """Free every block that carries the number of a process."""
    number = ld64(m, process + P_ID)
    page = ld64(m, G_RECORD_FIRST)
    last = ld64(m, G_USER_FIRST)
    while page < last:
        if ld32(m, PAGE_TAGS + page * 4) == TAG_KERNEL_SHARED:
            block = RAM_BASE + (page << PAGE_SHIFT)
            end = block + PAGE
            while block < end:
                if (ld64(m, block + B_MAGIC) == MAGIC_BLOCK) and (ld64(m, block + B_OWNER) == number):
                    block_free(m, block, process)
                block += BLOCK_BYTES
        page += 1
    return 0


def process_walk(m, process):
    """Take back the endpoints and blocks of a process by looking at everybody's."""
    endpoints_walk(m, process, MAGIC_SET)
    endpoints_walk(m, process, MAGIC_ENDPOINT)
    blocks_walk(m, process)
    return 0
