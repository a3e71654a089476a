"""Hardware: the device registers and interrupts that a program's manifest declares, and nobody else's.

Device registers are a record that the process can read, with their first address and how many bytes there are: its
accesses are checked against it, as those to a block are. It stays until the process ends. Where addresses are
translated the process's domain maps their page. An interrupt is an object one can wait for: when its line is up the
interrupt controller says so once, and again only after it has been acknowledged.

What one process has open no other process of the same program can open. Memory for devices is in
:mod:`singlab.kernel.core.dma`.
"""

from singlab.kernel.core.domains import table_entry, table_new
from singlab.kernel.core.objects import kind_check, object_forget, object_new, object_ready
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.words import emit, ld64, ldio32, st64, stio32
from singlab.kernel.layout import (
    B_DATA,
    B_SIZE,
    BLOCK_BYTES,
    D_DEVICES,
    D_LOW,
    D_ROOT,
    D_USER,
    DEVICES_REGION,
    G_FENCE,
    G_FREE_RECORDS,
    G_HARDWARE,
    G_LOW,
    G_WINDOW,
    MAGIC_INTERRUPT,
    MAGIC_IO_MEMORY,
    O_COUNT,
    O_LINK,
    O_MAGIC,
    O_PROCESS,
    O_STATE,
    O_VALUE,
    P_DOMAIN,
    P_RESOURCES,
    PAGE,
    PAGE_SHIFT,
    PLIC,
    PLIC_CLAIM,
    PLIC_ENABLE,
    PTE_A,
    PTE_D,
    PTE_R,
    PTE_V,
    PTE_W,
    REGION_MASK,
    REGION_SHIFT,
    TAG_KERNEL_SHARED,
    ZONE_RECORD,
)

INTERRUPT = 54
OK = 0
E_BAD_ARGUMENT = 5


# ---- what is declared ------------------------------------------------------------------------------------------


def ranges_count(m, process):
    """Return how many ranges of device registers a process's program declares."""
    resources = ld64(m, process + P_RESOURCES)
    if resources == 0:
        return 0
    return ld64(m, resources) & 0xFFFF


def lines_count(m, process):
    """Return how many interrupt lines a process's program declares."""
    resources = ld64(m, process + P_RESOURCES)
    if resources == 0:
        return 0
    return ld64(m, resources) >> 32


def hardware_find(m, magic, value):
    """Return the object for an interrupt line, or for device registers from an address on, that a process has; 0 = nobody."""
    at = ld64(m, G_HARDWARE)
    while at != 0:
        if ld64(m, at + O_MAGIC) == magic:
            known = ld64(m, at + O_VALUE)
            if magic == MAGIC_IO_MEMORY:
                known = ld64(m, known + B_DATA)
            if known == value:
                return at
        at = ld64(m, at + O_LINK)
    return 0


def hardware_unlink(m, handle):
    """Take an object off the list of all processes' hardware."""
    at = ld64(m, G_HARDWARE)
    if at == handle:
        st64(m, G_HARDWARE, ld64(m, handle + O_LINK))
        return 0
    while ld64(m, at + O_LINK) != handle:
        at = ld64(m, at + O_LINK)
    st64(m, at + O_LINK, ld64(m, handle + O_LINK))
    return 0


# ---- device registers ----------------------------------------------------------------------------------------------


def devices_leaf(m, domain):
    """Return a domain's lowest table for the devices' addresses, made if there is none; 0 = memory is exhausted."""
    leaf = ld64(m, domain + D_DEVICES)
    if leaf != 0:
        return leaf
    low = ld64(m, domain + D_LOW)
    if low == 0:
        low = table_new(m, ld64(m, G_LOW))
        if low == 0:
            return 0
        st64(m, domain + D_LOW, low)
        st64(m, ld64(m, domain + D_ROOT), table_entry(m, low))
    leaf = table_new(m, 0)
    if leaf == 0:
        return 0
    st64(m, domain + D_DEVICES, leaf)
    st64(m, low + DEVICES_REGION * 8, table_entry(m, leaf))
    return leaf


def device_map(m, process, address, size):
    """Let a process's domain see the pages of device registers; returns 0 if memory for tables is exhausted."""
    domain = ld64(m, process + P_DOMAIN)
    if domain == 0:
        return 1
    page = address >> PAGE_SHIFT
    last = (address + size + PAGE - 1) >> PAGE_SHIFT
    if (page >> REGION_SHIFT != DEVICES_REGION) or ((last - 1) >> REGION_SHIFT != DEVICES_REGION):
        return 0
    leaf = devices_leaf(m, domain)
    if leaf == 0:
        return 0
    rights = ld64(m, domain + D_USER) | PTE_V | PTE_R | PTE_W | PTE_A | PTE_D
    while page < last:
        st64(m, leaf + (page & REGION_MASK) * 8, page << 10 | rights)
        page += 1
    st64(m, G_FENCE, 1)
    return 1


def device_unmap(m, process, address, size):
    """Take the pages of device registers out of a process's domain."""
    domain = ld64(m, process + P_DOMAIN)
    if domain == 0:
        return 0
    page = address >> PAGE_SHIFT
    last = (address + size + PAGE - 1) >> PAGE_SHIFT
    leaf = ld64(m, domain + D_DEVICES)
    while page < last:
        st64(m, leaf + (page & REGION_MASK) * 8, 0)
        page += 1
    st64(m, G_FENCE, 1)
    return 0


def hardware_close(m, process, handle):
    """Give back device registers or an interrupt."""
    value = ld64(m, handle + O_VALUE)
    hardware_unlink(m, handle)
    if ld64(m, handle + O_MAGIC) == MAGIC_INTERRUPT:
        if ld64(m, handle + O_COUNT) != 0:
            stio32(m, PLIC_CLAIM, value)
        stio32(m, PLIC_ENABLE, ldio32(m, PLIC_ENABLE) & ~(1 << value))
    else:
        if ld64(m, process + P_DOMAIN) != 0:
            if ld64(m, ld64(m, process + P_DOMAIN) + D_DEVICES) != 0:
                device_unmap(m, process, ld64(m, value + B_DATA), ld64(m, value + B_SIZE))
        record_free(m, G_FREE_RECORDS, value + ld64(m, G_WINDOW))
    object_forget(m, handle, process)
    return 0


def io_memory_open(m, process, index):
    """Return the record of a range of device registers that a process's program declares; 0 = it cannot have it."""
    if index >= ranges_count(m, process):
        return 0
    place = ld64(m, process + P_RESOURCES) + 24 + index * 16
    start = ld64(m, place)
    size = ld64(m, place + 8)
    known = hardware_find(m, MAGIC_IO_MEMORY, start)
    if known != 0:
        if ld64(m, known + O_PROCESS) != process:
            return 0
        return ld64(m, known + O_VALUE)
    record = record_new(m, G_FREE_RECORDS, BLOCK_BYTES, ZONE_RECORD, TAG_KERNEL_SHARED)
    if record == 0:
        return 0
    found = object_new(m, process, MAGIC_IO_MEMORY)
    if found == 0:
        record_free(m, G_FREE_RECORDS, record)
        return 0
    st64(m, record + B_DATA, start)
    st64(m, record + B_SIZE, size)
    record -= ld64(m, G_WINDOW)
    st64(m, found + O_VALUE, record)
    st64(m, found + O_LINK, ld64(m, G_HARDWARE))
    st64(m, G_HARDWARE, found)
    if device_map(m, process, start, size) == 0:
        hardware_close(m, process, found)
        return 0
    return record


# ---- interrupts ------------------------------------------------------------------------------------------------------


def interrupt_open(m, process, index):
    """Return the object for an interrupt line that a process's program declares; 0 = it cannot have it."""
    if index >= lines_count(m, process):
        return 0
    resources = ld64(m, process + P_RESOURCES)
    line = ld64(m, resources + 24 + ranges_count(m, process) * 16 + index * 8)
    known = hardware_find(m, MAGIC_INTERRUPT, line)
    if known != 0:
        if ld64(m, known + O_PROCESS) != process:
            return 0
        return known
    found = object_new(m, process, MAGIC_INTERRUPT)
    if found == 0:
        return 0
    st64(m, found + O_VALUE, line)
    st64(m, found + O_LINK, ld64(m, G_HARDWARE))
    st64(m, G_HARDWARE, found)
    stio32(m, PLIC + line * 4, 1)
    stio32(m, PLIC_ENABLE, ldio32(m, PLIC_ENABLE) | 1 << line)
    return found


def interrupt_acknowledge(m, process, handle):
    """Let an interrupt come again; returns OK, or why not."""
    status = kind_check(m, handle, process, MAGIC_INTERRUPT)
    if status != OK:
        return status
    if ld64(m, handle + O_COUNT) == 0:
        return E_BAD_ARGUMENT
    st64(m, handle + O_COUNT, 0)
    stio32(m, PLIC_CLAIM, ld64(m, handle + O_VALUE))
    return OK


def interrupts_take(m):
    """Take what the interrupt controller has: whoever waits for one of them goes on; returns whether anything came."""
    came = 0
    line = ldio32(m, PLIC_CLAIM)
    while line != 0:
        emit(m, INTERRUPT, line, 0)
        handle = hardware_find(m, MAGIC_INTERRUPT, line)
        if handle == 0:
            stio32(m, PLIC_CLAIM, line)
        else:
            st64(m, handle + O_STATE, 1)
            st64(m, handle + O_COUNT, 1)
            object_ready(m, handle, ld64(m, handle + O_PROCESS))
        came = 1
        line = ldio32(m, PLIC_CLAIM)
    return came


def object_close(m, process, handle):
    """Give back any object of a process."""
    magic = ld64(m, handle + O_MAGIC)
    if (magic == MAGIC_INTERRUPT) or (magic == MAGIC_IO_MEMORY):
        hardware_close(m, process, handle)
    else:
        object_forget(m, handle, process)
    return 0
