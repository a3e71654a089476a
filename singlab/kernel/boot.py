"""Boot: what is in memory before the first instruction runs.

Cuts RAM into the three zones, writes the kernel's variables and page tags, the entry code and, where addresses
are translated, the kernel's own page table, of which each domain's is a copy to begin with: the kernel zone
for the supervisor only, records to be read, nothing of the user zone, the interrupt controller, and the kernel's window on all of RAM.
Done by the host, so it costs no simulated cycles.
"""

from __future__ import annotations

import numpy as np

from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.core.kernelheap import SMALLEST_KERNEL_LIMIT
from singlab.kernel.entry import entry_code
from singlab.kernel.isolation import Isolation
from singlab.kernel.kernelimage import core_code
from singlab.kernel.kernelobjects import TYPES, tables
from singlab.kernel.openentry import open_entry_code
from singlab.machine import Machine
from singlab.machine import state as _s
from singlab.trace.record import Kind
from singlab.trace.ring import emit

#: Shares of RAM that the kernel and record zones take.
KERNEL_SHARE = 8
RECORD_SHARE = 32

_KERNEL_PAGE = at.PTE_V | at.PTE_R | at.PTE_W | at.PTE_X | at.PTE_G | at.PTE_A | at.PTE_D
_WINDOW_PAGE = at.PTE_V | at.PTE_R | at.PTE_W | at.PTE_G | at.PTE_A | at.PTE_D
_RECORD_PAGE = at.PTE_V | at.PTE_R | at.PTE_G | at.PTE_A
_REGION = 512  #: pages that one lowest table maps
_SUM = 1 << 18  # the supervisor may touch user pages
_SPIE = 1 << 5
_SPP = 1 << 8
_STIE = 1 << 5
_SEIE = 1 << 9
_BIG_PAGE = 1 << 21


def page_zones(ram_bytes: int) -> tuple[int, int, int, int]:
    """Return the first pages of the kernel, record and user zones that may be given out, and the page count."""
    pages = ram_bytes // at.PAGE
    tags_end = at.PAGE_TAGS - at.RAM_BASE + 4 * pages + 8
    kernel = (tags_end + at.PAGE - 1) // at.PAGE
    record = kernel + max(32, pages // KERNEL_SHARE)
    user = record + max(8, pages // RECORD_SHARE)
    return kernel, record, user, pages


#: Instructions that a loop of a kernel call may come to on a machine with hardly any RAM; with each byte of it there are sixteen more, which
#: is many times what clearing it takes, or collecting it full of the smallest objects.
LEAST_MOST = 1 << 25


def boot(machine: Machine, *, isolation: Isolation, copy: bool, check: bool, quantum: int, segment: int = 1, stack_limit: int = 2048) -> dict[str, int]:
    """Write the kernel into a machine and make it ready to run; returns the labels of its switch code.

    Parameters
    ----------
    machine : Machine
        Freshly made.
    isolation : Isolation
        How SIPs are kept apart.
    copy : bool
        Blocks in messages are copied instead of changing owner.
    check : bool
        Contracts are checked at each send and receive.
    quantum : int
        Time slice in cycles.
    segment, stack_limit : int
        Pages of a segment of a stack, at least, and of one thread's segments together, at most.
    """
    m = machine.m
    ram = int(m[_s.RAM_BYTES])
    m[_s.KERNEL_MOST] = LEAST_MOST + 16 * ram
    kernel, record, user, pages = page_zones(ram)
    if user >= pages - 16:
        raise ValueError(f"{ram >> 20} MB of RAM leave no room for SIPs; use at least 2M")
    if isolation.paged and ram > at.MOST_PAGED_RAM:
        raise ValueError(f"{ram >> 20} MB of RAM are more than the kernel maps; use at most 1024M, or isolation 'sip'")
    pieces, labels = open_entry_code() if isolation.open else entry_code(isolation)
    for address, code in pieces:
        machine.write(address, code)
    machine.write(at.CORE_TEXT, core_code())
    machine.write(at.KERNEL_TABLES, tables())
    variables = {
        at.G_QUANTUM: quantum,
        at.G_USUAL_QUANTUM: quantum,
        at.G_FRESH: 1,
        at.G_NEXT_PROCESS: at.KERNEL_OWNER + 1,
        at.G_NEXT_THREAD: 1,
        at.G_NEXT_CHANNEL: 1,
        at.G_COPY: int(copy),
        at.G_CHECK: int(check),
        at.G_KERNEL_FIRST: kernel,
        at.G_RECORD_FIRST: record,
        at.G_USER_FIRST: user,
        at.G_PAGES: pages,
        at.G_KERNEL_HINT: kernel,
        at.G_RECORD_HINT: record,
        at.G_USER_HINT: user,
        at.G_STATUS: first_status(isolation.ring3, isolation.user_pages),
        at.G_WAKE: at.NEVER,
        at.G_HERTZ: int(machine.profile.clock_hz),
        at.G_SEGMENT_PAGES: segment,
        at.G_STACK_LIMIT: stack_limit,
        at.KERNEL_HEAP + hp.Z_MAGIC: at.MAGIC_HEAP,
        at.KERNEL_HEAP + hp.Z_COLLECTOR: hp.COLLECT_MARK_SWEEP,
        at.KERNEL_HEAP + hp.Z_ACTIVE: hp.COLLECT_MARK_SWEEP,
        at.KERNEL_HEAP + hp.Z_TYPES: at.KERNEL_TABLES,
        at.KERNEL_HEAP + hp.Z_TYPE_COUNT: len(TYPES),
        at.KERNEL_HEAP + hp.Z_TAG: at.TAG_KERNEL_HEAP,
        at.KERNEL_HEAP + hp.Z_MOST: at.NEVER,
        at.KERNEL_HEAP + hp.Z_LIMIT: SMALLEST_KERNEL_LIMIT,
    }
    if not isolation.open:
        variables[at.G_RESERVATION] = at.RAM_BASE + (pages - 1) * at.PAGE
    for address, value in variables.items():
        machine.store_u64(address, value)
    tags = np.full(kernel, at.TAG_KERNEL_SYSTEM, dtype="<u4")
    machine.write(at.PAGE_TAGS, tags.tobytes())
    emit(m, np.uint64(Kind.BOOT), np.uint64(ram), np.uint64(pages))
    emit(m, np.uint64(Kind.PAGES_ALLOC), np.uint64(0), np.uint64(kernel | at.TAG_KERNEL_SYSTEM << 32))
    if not isolation.open:
        machine.write(at.PAGE_TAGS + 4 * (pages - 1), at.TAG_KERNEL_STACK.to_bytes(4, "little"))
        emit(m, np.uint64(Kind.PAGES_ALLOC), np.uint64(pages - 1), np.uint64(1 | at.TAG_KERNEL_STACK << 32))
    machine.leave_machine_level()
    m[_s.STVEC] = labels["trap"]
    m[_s.SIE] = _STIE | _SEIE
    m[_s.PC] = labels["idle"]
    if isolation.paged:
        m[_s.SATP] = _page_table(machine, isolation, record, user, pages)
    if isolation.user_pages:
        m[_s.SSTATUS] = _SUM
    return labels


def first_status(ring3: bool, user_pages: bool) -> int:
    """Return the sstatus with which a new thread starts: its ring, interrupts on, and whether the supervisor may touch user pages."""
    return _SPIE | (0 if ring3 else _SPP) | (_SUM if user_pages else 0)


def _page_table(machine: Machine, isolation: Isolation, record: int, user: int, pages: int) -> int:
    """Write the kernel's own Sv39 table and what the kernel must know of it; returns the value for satp."""
    regions = user // _REGION + 1  # those with pages below the user zone, and the one in which it begins
    needed = regions + 4
    first = record - needed  # the top of the kernel zone
    page = np.arange(user, dtype=np.uint64)
    user_bit = at.PTE_U if isolation.user_pages and not isolation.open else 0  # open processes have no blocks to read
    rights = np.full(user, _KERNEL_PAGE, dtype=np.uint64)
    # SIPs read records where they are; the kernel writes them through its window, for a page its supervisor may write
    # is writable for everybody who may see it
    rights[record:] = _RECORD_PAGE | user_bit
    leaves = np.zeros(regions * _REGION, dtype=np.uint64)
    leaves[:user] = (page + np.uint64(at.FIRST_FRAME)) << np.uint64(10) | rights
    address = at.RAM_BASE + first * at.PAGE
    machine.write(address, leaves.tobytes())
    middle, window, low, root = (np.zeros(_REGION, dtype=np.uint64) for _ in range(4))
    middle_at, window_at, low_at, root_at = (address + (regions + i) * at.PAGE for i in range(4))
    for region in range(regions):
        middle[region] = (address // at.PAGE + region) << 10 | at.PTE_V
    for region in range(-(-pages // _REGION)):  # superpages
        window[region] = (at.FIRST_FRAME + region * _REGION) << 10 | _WINDOW_PAGE
    for page_at in range(at.PLIC, at.PLIC + at.PLIC_BYTES, _BIG_PAGE):
        low[page_at // _BIG_PAGE] = page_at // at.PAGE << 10 | _WINDOW_PAGE
    root[0] = low_at // at.PAGE << 10 | at.PTE_V
    root[at.ROOT_SLOT // 8] = middle_at // at.PAGE << 10 | at.PTE_V
    root[at.WINDOW_SLOT // 8] = window_at // at.PAGE << 10 | at.PTE_V
    for place, table in ((middle_at, middle), (window_at, window), (low_at, low), (root_at, root)):
        machine.write(place, table.tobytes())
    machine.write(at.PAGE_TAGS + 4 * first, np.full(needed, at.TAG_TABLE, dtype="<u4").tobytes())
    satp = at.SV39 | root_at // at.PAGE
    variables = {
        at.G_WINDOW: at.WINDOW,
        at.G_SATP: satp,
        at.G_ROOT: root_at,
        at.G_LOW: low_at,
        at.G_MIDDLE: middle_at,
        at.G_LEAF: address + (regions - 1) * at.PAGE,
        at.G_DOMAIN_KIND: isolation.domain_kind,
    }
    for place, value in variables.items():
        machine.store_u64(place, value)
    return satp
