"""Memory for devices: whole pages in a row that a program's manifest asks for, where a device can be told to read and write.

A process gets them from the page manager, tagged as such memory of its own, and reaches them as it reaches device
registers, through a record that its accesses are checked against. They stay until it ends. What a device is told is
their physical address, which is the address itself, for every page table maps RAM where it is.

There is no unit that translates or checks what a device does: verified code names no memory that is not its own, but
which number a driver writes into a device's register nobody looks at. A driver that has the registers of a device that
reads and writes memory is trusted with all of memory.
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.domains import process_pages_alloc
from singlab.kernel.core.hardware import lines_count, object_close, ranges_count
from singlab.kernel.core.memory import words_zero
from singlab.kernel.core.objects import object_forget, object_new
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    B_DATA,
    B_SIZE,
    BLOCK_BYTES,
    G_CURRENT,
    G_FREE_RECORDS,
    G_WINDOW,
    MAGIC_DMA,
    O_COUNT,
    O_MAGIC,
    O_NEXT,
    O_VALUE,
    P_OBJECTS,
    P_RESOURCES,
    PAGE,
    PAGE_SHIFT,
    T_PROCESS,
    TAG_DMA,
    TAG_KERNEL_SHARED,
    ZONE_RECORD,
)

REFUSED = 28
E_BAD_ARGUMENT = 5
ABI_GET_DMA_MEMORY = ABI_NUMBER["get_dma_memory"]
ABI_GET_DMA_ADDRESS = ABI_NUMBER["get_dma_address"]


def dma_count(m, process):
    """Return how many pieces of memory for devices a process's program declares."""
    resources = ld64(m, process + P_RESOURCES)
    if resources == 0:
        return 0
    return ld64(m, resources) >> 16 & 0xFFFF


def dma_object(m, process, index):
    """Return the object of a piece of memory that a process has already, or 0."""
    at = ld64(m, process + P_OBJECTS)
    while at != 0:
        if (ld64(m, at + O_MAGIC) == MAGIC_DMA) and (ld64(m, at + O_COUNT) == index):
            return at
        at = ld64(m, at + O_NEXT)
    return 0


def dma_make(m, process, index, size):
    """Return the record of new memory for devices of a process, zeroed, or 0."""
    record = record_new(m, G_FREE_RECORDS, BLOCK_BYTES, ZONE_RECORD, TAG_KERNEL_SHARED)
    if record == 0:
        return 0
    found = object_new(m, process, MAGIC_DMA)
    if found == 0:
        record_free(m, G_FREE_RECORDS, record)
        return 0
    count = (size + PAGE - 1) >> PAGE_SHIFT
    address = process_pages_alloc(m, process, count, TAG_DMA)
    if address == 0:
        object_forget(m, found, process)
        record_free(m, G_FREE_RECORDS, record)
        return 0
    window = ld64(m, G_WINDOW)
    words_zero(m, address + window, address + window + (count << PAGE_SHIFT))
    st64(m, record + B_DATA, address)
    st64(m, record + B_SIZE, size)
    st64(m, found + O_VALUE, record - window)
    st64(m, found + O_COUNT, index)
    return record - window


def dma_open(m, process, index):
    """Return the record of a piece of memory for devices that a process's program declares; 0 = it cannot have it."""
    if index >= dma_count(m, process):
        return 0
    found = dma_object(m, process, index)
    if found != 0:
        return ld64(m, found + O_VALUE)
    size = ld64(m, ld64(m, process + P_RESOURCES) + 24 + ranges_count(m, process) * 16 + lines_count(m, process) * 8 + index * 8)
    return dma_make(m, process, index, size)


def resource_close(m, process, handle):
    """Give back any object of a process that ends; the pages of memory for devices go with its others."""
    if ld64(m, handle + O_MAGIC) == MAGIC_DMA:
        record_free(m, G_FREE_RECORDS, ld64(m, handle + O_VALUE) + ld64(m, G_WINDOW))
        object_forget(m, handle, process)
        return 0
    object_close(m, process, handle)
    return 0


# ---- the ABI -----------------------------------------------------------------------------------------------------


def abi_get_dma_count(m):
    """Return how many pieces of memory for devices the calling process's program declares."""
    return dma_count(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))


def abi_get_dma_memory(m, index):
    """Return the record of memory for devices that the calling process's program declares, or 0."""
    record = dma_open(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), index)
    if record == 0:
        emit(m, REFUSED, ABI_GET_DMA_MEMORY, E_BAD_ARGUMENT)
    return record


def abi_get_dma_address(m, record):
    """Return where a device finds memory of the calling process's; 0 if the word is no record of such memory."""
    at = ld64(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS) + P_OBJECTS)
    while at != 0:
        if (ld64(m, at + O_MAGIC) == MAGIC_DMA) and (ld64(m, at + O_VALUE) == record):
            return ld64(m, record + B_DATA)
        at = ld64(m, at + O_NEXT)
    emit(m, REFUSED, ABI_GET_DMA_ADDRESS, E_BAD_ARGUMENT)
    return 0
