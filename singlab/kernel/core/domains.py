"""Protection domains: address spaces that hold one or more SIPs, and which pages each of them sees.

A domain has a page table of three levels. What the kernel needs is in every one: its own zone for the
supervisor, the blocks' records to be read, and its window. Of the user zone a domain maps its own pages only:
code to be read and run, stacks and the data of blocks to be read and written. So it is the table that keeps
one domain out of another, where SIPs run in ring 3; in ring 0 nothing but good manners keeps them from the
window. Beside domains a process can be in physical memory: nothing is translated for it, so nothing is mapped, and it sees all there is.

Address-space identifiers are the numbers of the tables' own pages, so no two domains that live have the same.
Leaves out superpages for SIPs and pages that several domains map.
"""

from singlab.kernel.core.memory import bytes_copy, words_zero
from singlab.kernel.core.pages import pages_alloc, pages_free, pages_free_owner
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.words import ld32, ld64, st64
from singlab.kernel.layout import (
    B_NEXT,
    BUCKETS,
    D_BUCKETS,
    D_DEVICES,
    D_ID,
    D_KIND,
    D_LOW,
    D_MAGIC,
    D_MEMBERS,
    D_MIDDLE,
    D_ROOT,
    D_SATP,
    D_STATUS,
    D_USER,
    DOMAIN_BYTES,
    FIRST_FRAME,
    G_BUCKETS,
    G_CHOICE,
    G_DOMAIN,
    G_DOMAIN_KIND,
    G_FENCE,
    G_FREE_DOMAINS,
    G_FREE_RECORDS,
    G_KERNEL_FIRST,
    G_LEAF,
    G_MIDDLE,
    G_NEXT_DOMAIN,
    G_OPEN,
    G_PAGES,
    G_ROOT,
    G_SATP,
    G_STATUS,
    G_USER_DOMAIN,
    G_USER_FIRST,
    G_WINDOW,
    I_DOMAIN_KIND,
    KERNEL_OWNER,
    KIND_OWN,
    KIND_PHYSICAL,
    KIND_RING3,
    MAGIC_DOMAIN,
    NEW_DOMAIN,
    OWNER_SHIFT,
    P_DOMAIN,
    P_FIRST_PAGE,
    P_HEAP,
    P_ID,
    P_LAST_PAGE,
    P_SATP,
    PAGE,
    PAGE_SHIFT,
    PAGE_TAGS,
    PTE_A,
    PTE_D,
    PTE_R,
    PTE_U,
    PTE_V,
    PTE_W,
    PTE_X,
    RAM_BASE,
    REGION_MASK,
    REGION_SHIFT,
    ROOT_SLOT,
    SV39,
    TAG_CODE,
    TAG_KERNEL_SYSTEM,
    TAG_TABLE,
    ZONE_KERNEL,
    ZONE_USER,
)

ASID_SHIFT = 44
# of sstatus: interrupts on after sret, back to ring 0, and the supervisor may touch user pages
SPIE, SPP, SUM = 1 << 5, 1 << 8, 1 << 18


def table_new(m, source):
    """Return a new table, a copy of another or empty (source 0); 0 = memory is exhausted."""
    table = pages_alloc(m, ZONE_KERNEL, 1, TAG_TABLE)
    if table == 0:
        return 0
    if source != 0:
        bytes_copy(m, source, table, PAGE)
    else:
        words_zero(m, table, table + PAGE)
    return table


def table_entry(m, table):
    """Return the entry that leads to a table."""
    return (table >> PAGE_SHIFT) << 10 | PTE_V


def table_free(m, table):
    """Give a table back, if there is one."""
    if table != 0:
        pages_free(m, table, 1)
    return 0


# ---- pages of a domain -------------------------------------------------------------------------------------------


def domain_leaf(m, domain, page):
    """Return the lowest table of a page of RAM in a domain, made if there is none; 0 = memory is exhausted."""
    slot = ld64(m, domain + D_MIDDLE) + (page >> REGION_SHIFT) * 8
    entry = ld64(m, slot)
    if entry != 0:
        return (entry >> 10) << PAGE_SHIFT
    leaf = table_new(m, 0)
    if leaf != 0:
        st64(m, slot, table_entry(m, leaf))
    return leaf


def domain_reserve(m, domain, address, count):
    """Return whether a domain can map pages from an address on; then mapping them cannot fail."""
    page = (address - RAM_BASE) >> PAGE_SHIFT
    last = page + count
    while page < last:
        if domain_leaf(m, domain, page) == 0:
            return 0
        page = (page | REGION_MASK) + 1
    return 1


def domain_map(m, domain, address, count, kind):
    """Map pages into a domain, with the rights that their kind has; returns 0 if memory for tables is exhausted."""
    rights = ld64(m, domain + D_USER) | PTE_V | PTE_R | PTE_A
    if kind == TAG_CODE:
        rights = rights | PTE_X
    else:
        rights = rights | PTE_W | PTE_D
    page = (address - RAM_BASE) >> PAGE_SHIFT
    last = page + count
    while page < last:
        leaf = domain_leaf(m, domain, page)
        if leaf == 0:
            return 0
        end = (page | REGION_MASK) + 1
        if end > last:
            end = last
        while page < end:
            st64(m, leaf + (page & REGION_MASK) * 8, (page + FIRST_FRAME) << 10 | rights)
            page += 1
    return 1


def domain_unmap(m, domain, address, count):
    """Take pages out of a domain."""
    page = (address - RAM_BASE) >> PAGE_SHIFT
    last = page + count
    while page < last:
        st64(m, domain_leaf(m, domain, page) + (page & REGION_MASK) * 8, 0)
        page += 1
    st64(m, G_FENCE, 1)
    return 0


def run_unmap(m, leaf, page, end, owner):
    """Take pages of one owner and tag in a row out of a lowest table; returns how many there were."""
    tag = ld32(m, PAGE_TAGS + page * 4)
    if tag >> OWNER_SHIFT != owner:
        return 0
    count = 0
    while page < end:
        if (ld64(m, leaf + (page & REGION_MASK) * 8) == 0) or (ld32(m, PAGE_TAGS + page * 4) != tag):
            break
        st64(m, leaf + (page & REGION_MASK) * 8, 0)
        page += 1
        count += 1
    return count


def domain_sweep(m, domain, owner, page, last):
    """Give back the pages from one up to another that a domain maps and an owner has; only what is mapped is looked at."""
    middle = ld64(m, domain + D_MIDDLE)
    while page < last:
        entry = ld64(m, middle + (page >> REGION_SHIFT) * 8)
        end = (page | REGION_MASK) + 1
        if end > last:
            end = last
        if entry == 0:
            page = end
        leaf = (entry >> 10) << PAGE_SHIFT
        while page < end:
            count = 0
            if ld64(m, leaf + (page & REGION_MASK) * 8) != 0:
                count = run_unmap(m, leaf, page, end, owner)
            if count != 0:
                pages_free(m, RAM_BASE + (page << PAGE_SHIFT), count)
                page += count
            else:
                page += 1
    st64(m, G_FENCE, 1)
    return 0


# ---- domains -----------------------------------------------------------------------------------------------------


def domain_new(m, kind):
    """Return a new domain of a kind with nobody in it and nothing but the kernel mapped, or 0."""
    domain = record_new(m, G_FREE_DOMAINS, DOMAIN_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if domain == 0:
        return 0
    root = table_new(m, ld64(m, G_ROOT))
    middle = table_new(m, ld64(m, G_MIDDLE))
    leaf = table_new(m, ld64(m, G_LEAF))
    if (root == 0) or (middle == 0) or (leaf == 0):
        table_free(m, root)
        table_free(m, middle)
        table_free(m, leaf)
        record_free(m, G_FREE_DOMAINS, domain)
        return 0
    st64(m, root + ROOT_SLOT, table_entry(m, middle))
    # the table in which the user zone begins has pages of the kernel too
    st64(m, middle + (ld64(m, G_USER_FIRST) >> REGION_SHIFT) * 8, table_entry(m, leaf))
    frame = root >> PAGE_SHIFT
    number = ld64(m, G_NEXT_DOMAIN) + 1
    st64(m, G_NEXT_DOMAIN, number)
    st64(m, domain + D_MAGIC, MAGIC_DOMAIN)
    st64(m, domain + D_ID, number)
    st64(m, domain + D_SATP, SV39 | (frame - FIRST_FRAME - ld64(m, G_KERNEL_FIRST) + 1) << ASID_SHIFT | frame)
    st64(m, domain + D_ROOT, root)
    st64(m, domain + D_MIDDLE, middle)
    st64(m, domain + D_KIND, kind)
    status = SPIE | (ld64(m, G_STATUS) & SUM)
    if kind & KIND_RING3 != 0:
        st64(m, domain + D_USER, PTE_U)
    else:
        status = status | SPP
    st64(m, domain + D_STATUS, status)
    return domain


def domain_shared(m, kind):
    """Return where the kernel keeps the domain that SIPs of a ring share."""
    if kind & KIND_RING3 != 0:
        return G_USER_DOMAIN
    return G_DOMAIN


def domain_free(m, domain):
    """Give back a domain that nobody is in any more: the data and records of its free blocks, its tables, itself."""
    heads = domain + D_BUCKETS
    end = heads + BUCKETS * 8
    window = ld64(m, G_WINDOW)
    while heads < end:
        block = ld64(m, heads)
        while block != 0:
            following = ld64(m, block + B_NEXT)
            record_free(m, G_FREE_RECORDS, block + window)
            block = following
        heads += 8
    domain_sweep(m, domain, KERNEL_OWNER, ld64(m, G_USER_FIRST), ld64(m, G_PAGES))
    middle = ld64(m, domain + D_MIDDLE)
    region = ld64(m, G_USER_FIRST) >> REGION_SHIFT
    last = (ld64(m, G_PAGES) - 1) >> REGION_SHIFT
    while region <= last:
        entry = ld64(m, middle + region * 8)
        if entry != 0:
            pages_free(m, (entry >> 10) << PAGE_SHIFT, 1)
        region += 1
    pages_free(m, middle, 1)
    table_free(m, ld64(m, domain + D_LOW))
    table_free(m, ld64(m, domain + D_DEVICES))
    pages_free(m, ld64(m, domain + D_ROOT), 1)
    st64(m, domain + D_MAGIC, 0)
    shared = domain_shared(m, ld64(m, domain + D_KIND))
    if ld64(m, shared) == domain:
        st64(m, shared, 0)
    record_free(m, G_FREE_DOMAINS, domain)
    return 0


def kind_wanted(m, parent, image):
    """Return the kind of domain of a new process: as its image asks, else as its parent's, else as the setting says."""
    kind = 0
    if image != 0:
        kind = ld64(m, image + I_DOMAIN_KIND)
    if (kind == 0) and (parent != 0):
        kind = KIND_PHYSICAL
        domain = ld64(m, parent + P_DOMAIN)
        if domain != 0:
            kind = ld64(m, domain + D_KIND)
    if kind == 0:
        kind = ld64(m, G_DOMAIN_KIND)
    return kind


def domain_enter(m, process, parent, image):
    """Put a new process into the domain that the choice, its image, its parent or the setting says, or into none; returns 0 if memory is exhausted."""
    st64(m, process + P_HEAP, G_BUCKETS)
    if (ld64(m, G_WINDOW) == 0) or (ld64(m, G_OPEN) != 0):
        return 1
    domain = ld64(m, G_CHOICE)
    if domain < NEW_DOMAIN << 1:
        kind = domain & (NEW_DOMAIN - 1)
        if kind == 0:
            kind = kind_wanted(m, parent, image)
        if kind == KIND_PHYSICAL:
            return 1
        if (domain & NEW_DOMAIN != 0) or (kind & KIND_OWN != 0):
            domain = domain_new(m, kind)
        else:
            shared = domain_shared(m, kind)
            domain = ld64(m, shared)
            if domain == 0:
                domain = domain_new(m, kind)
                st64(m, shared, domain)
    if domain == 0:
        return 0
    st64(m, domain + D_MEMBERS, ld64(m, domain + D_MEMBERS) + 1)
    st64(m, process + P_DOMAIN, domain)
    st64(m, process + P_HEAP, domain + D_BUCKETS)
    st64(m, process + P_SATP, ld64(m, domain + D_SATP))
    return 1


def domain_leave(m, process):
    """Take a process out of its domain, which goes with the last of them."""
    domain = ld64(m, process + P_DOMAIN)
    if domain == 0:
        return 0
    st64(m, process + P_DOMAIN, 0)
    st64(m, process + P_HEAP, G_BUCKETS)
    st64(m, process + P_SATP, ld64(m, G_SATP))
    members = ld64(m, domain + D_MEMBERS) - 1
    st64(m, domain + D_MEMBERS, members)
    if members == 0:
        domain_free(m, domain)
    return 0


def process_status(m, process):
    """Return the sstatus with which a process's threads start: its ring, interrupts on."""
    domain = ld64(m, process + P_DOMAIN)
    if domain == 0:
        return ld64(m, G_STATUS)
    return ld64(m, domain + D_STATUS)


def process_way(m, process):
    """Return how a call of the kernel comes back to a process: to user mode or to physical memory (KIND_...), else 0."""
    domain = ld64(m, process + P_DOMAIN)
    if domain == 0:
        return KIND_PHYSICAL
    return ld64(m, domain + D_KIND) & KIND_RING3


# ---- pages of a process ------------------------------------------------------------------------------------------


def process_pages_alloc(m, process, count, kind):
    """Return the address of ``count`` pages of the user zone that a process owns and its domain maps, or 0."""
    address = pages_alloc(m, ZONE_USER, count, ld64(m, process + P_ID) << OWNER_SHIFT | kind)
    domain = ld64(m, process + P_DOMAIN)
    if address == 0:
        return 0
    if domain != 0:
        if domain_reserve(m, domain, address, count) == 0:
            pages_free(m, address, count)
            return 0
        domain_map(m, domain, address, count, kind)
    page = (address - RAM_BASE) >> PAGE_SHIFT
    last = ld64(m, process + P_LAST_PAGE)
    if (last == 0) or (page < ld64(m, process + P_FIRST_PAGE)):
        st64(m, process + P_FIRST_PAGE, page)
    if page + count > last:
        st64(m, process + P_LAST_PAGE, page + count)
    return address


def process_pages_return(m, process, address, count):
    """Give some pages of a process back."""
    domain = ld64(m, process + P_DOMAIN)
    if domain != 0:
        domain_unmap(m, domain, address, count)
    pages_free(m, address, count)
    return 0


def process_pages_free(m, process):
    """Give back every page of the user zone that a process owns."""
    domain = ld64(m, process + P_DOMAIN)
    owner = ld64(m, process + P_ID)
    first = ld64(m, process + P_FIRST_PAGE)
    last = ld64(m, process + P_LAST_PAGE)
    if domain == 0:
        pages_free_owner(m, owner, first, last)
    else:
        domain_sweep(m, domain, owner, first, last)
    return 0
