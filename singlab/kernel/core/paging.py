"""Paged memory, the kernel's side of the ABI beyond ``allocate_pages``: pages of a process's own objects given back, added to, asked about."""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.calls import heap_holds
from singlab.kernel.core.domains import domain_map, domain_reserve, process_pages_return
from singlab.kernel.core.memory import words_zero
from singlab.kernel.core.words import emit, ld32, ld64, st32, st64
from singlab.kernel.layout import (
    G_CURRENT,
    G_PAGES,
    G_USER_FIRST,
    G_WINDOW,
    OWNER_SHIFT,
    P_DOMAIN,
    P_FIRST_PAGE,
    P_ID,
    P_LAST_PAGE,
    P_OBJECT_HEAP,
    PAGE,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAM_BASE,
    T_A0,
    T_PROCESS,
    TAG_HEAP,
)

PAGES_ALLOC = 23
REFUSED = 28
OK = 0
E_BAD_ARGUMENT = 5
MOST_PAGES = 4096
ABI_FREE_PAGES = ABI_NUMBER["free_pages"]
ABI_EXTEND_PAGES = ABI_NUMBER["extend_pages"]


def own_pages(m, process, address, count):
    """Return whether pages from an address on are a process's own objects'."""
    if (address & (PAGE - 1) != 0) or (count == 0) or (count > MOST_PAGES):
        return 0
    return heap_holds(m, process, address, count << PAGE_SHIFT)


def abi_free_pages(m, address, count):
    """Give pages of the calling process's own objects back."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    if (own_pages(m, process, address, count) == 0) or (ld64(m, process + P_OBJECT_HEAP) != 0):  # a collector's pages only that gives back
        emit(m, REFUSED, ABI_FREE_PAGES, E_BAD_ARGUMENT)
        return E_BAD_ARGUMENT
    process_pages_return(m, process, address, count)
    return OK


def pages_extend(m, process, page, count):
    """Take free pages from one on for a process's own objects; returns OK, or E_BAD_ARGUMENT if one is not free or there is no memory."""
    last = page + count
    if last > ld64(m, G_PAGES):
        return E_BAD_ARGUMENT
    at = page
    while at < last:
        if ld32(m, PAGE_TAGS + at * 4) != 0:
            return E_BAD_ARGUMENT
        at += 1
    address = RAM_BASE + (page << PAGE_SHIFT)
    domain = ld64(m, process + P_DOMAIN)
    if domain != 0:
        if domain_reserve(m, domain, address, count) == 0:
            return E_BAD_ARGUMENT
        domain_map(m, domain, address, count, TAG_HEAP)
    tag = ld64(m, process + P_ID) << OWNER_SHIFT | TAG_HEAP
    at = page
    while at < last:
        st32(m, PAGE_TAGS + at * 4, tag)
        at += 1
    emit(m, PAGES_ALLOC, page, count | tag << 32)
    if last > ld64(m, process + P_LAST_PAGE):
        st64(m, process + P_LAST_PAGE, last)
    at = address + ld64(m, G_WINDOW)
    words_zero(m, at, at + count * PAGE)
    return OK


def abi_extend_pages(m, address, count):
    """Add zeroed pages behind those of the calling process's own objects that end at an address."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = E_BAD_ARGUMENT
    if own_pages(m, process, address - PAGE, 1) != 0:
        if (count != 0) and (count <= MOST_PAGES):
            status = pages_extend(m, process, (address - RAM_BASE) >> PAGE_SHIFT, count)
    if status != OK:
        emit(m, REFUSED, ABI_EXTEND_PAGES, status)
    return status


def abi_query_pages(m, address):
    """Return what kind of page of the calling process an address is in, and how many like it follow in a row; 0 for others' pages."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    kind = 0
    count = 0
    page = (address - RAM_BASE) >> PAGE_SHIFT
    if (address >= RAM_BASE) and (page >= ld64(m, G_USER_FIRST)) and (page < ld64(m, G_PAGES)):
        tag = ld32(m, PAGE_TAGS + page * 4)
        if tag >> OWNER_SHIFT == ld64(m, process + P_ID):
            kind = tag & 0xF
            while (page < ld64(m, G_PAGES)) and (ld32(m, PAGE_TAGS + page * 4) == tag):
                count += 1
                page += 1
    st64(m, thread + T_A0, kind)
    st64(m, thread + T_A0 + 8, count)
    return 0


def abi_get_page_usage(m):
    """Return how many pages the machine has, and how many the calling process."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    number = ld64(m, process + P_ID)
    page = ld64(m, process + P_FIRST_PAGE)
    last = ld64(m, process + P_LAST_PAGE)
    count = 0
    while page < last:
        if ld32(m, PAGE_TAGS + page * 4) >> OWNER_SHIFT == number:
            count += 1
        page += 1
    st64(m, thread + T_A0, ld64(m, G_PAGES))
    st64(m, thread + T_A0 + 8, count)
    return 0
