"""Boot: what is in memory before the first instruction runs.

Cuts RAM into the three zones, writes the kernel's variables and page tags, the entry code and, for
ring 3, a page table that maps all of RAM where it is: kernel zone for the supervisor only, the rest
open to SIPs. Done by the host, so it costs no simulated cycles.

Leaves out protection of one SIP from another by page tables: in ring 3 all SIPs share one domain, and
what the hardware protects is the kernel.
"""

from __future__ import annotations

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.entry import entry_code
from singlab.machine import Machine
from singlab.machine import state as _s
from singlab.trace.record import Kind
from singlab.trace.ring import emit

#: Shares of RAM that the kernel and record zones take.
KERNEL_SHARE = 8
RECORD_SHARE = 32

_PTE_V, _PTE_R, _PTE_W, _PTE_X, _PTE_U, _PTE_G, _PTE_AD = 1, 2, 4, 8, 16, 32, 64 | 128
_SV39 = 8 << 60
_SUM = 1 << 18  # the supervisor may touch user pages
_MXR_SPIE = 1 << 5
_SPP = 1 << 8
_STIE = 1 << 5


def page_zones(ram_bytes: int) -> tuple[int, int, int, int]:
    """Return the first pages of the kernel, record and user zones that may be given out, and the page count."""
    pages = ram_bytes // at.PAGE
    tags_end = at.PAGE_TAGS - at.RAM_BASE + 4 * pages + 8
    kernel = (tags_end + at.PAGE - 1) // at.PAGE
    record = kernel + max(32, pages // KERNEL_SHARE)
    user = record + max(8, pages // RECORD_SHARE)
    return kernel, record, user, pages


def boot(machine: Machine, *, ring3: bool, copy: bool, check: bool, quantum: int) -> dict[str, int]:
    """Write the kernel into a machine and make it ready to run; returns the labels of its switch code.

    Parameters
    ----------
    machine : Machine
        Freshly made.
    ring3 : bool
        SIPs run in user mode behind a page table and enter the kernel by trap; otherwise they run in
        ring 0 on physical memory and enter by call.
    copy : bool
        Blocks in messages are copied instead of changing owner.
    check : bool
        Contracts are checked at each send and receive.
    quantum : int
        Time slice in cycles.
    """
    m = machine.m
    ram = int(m[_s.RAM_BYTES])
    kernel, record, user, pages = page_zones(ram)
    if user >= pages - 16:
        raise ValueError(f"{ram >> 20} MB of RAM leave no room for SIPs; use at least 2M")
    pieces, labels = entry_code(ring3)
    for address, code in pieces:
        machine.write(address, code)
    variables = {
        at.G_QUANTUM: quantum,
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
        at.G_STATUS: first_status(ring3),
        at.G_RING3: int(ring3),
        at.G_HERTZ: int(machine.profile.clock_hz),
    }
    for address, value in variables.items():
        machine.store_u64(address, value)
    tags = np.full(kernel, at.TAG_KERNEL_SYSTEM, dtype="<u4")
    machine.write(at.PAGE_TAGS, tags.tobytes())
    emit(m, np.uint64(Kind.BOOT), np.uint64(ram), np.uint64(pages))
    emit(m, np.uint64(Kind.PAGES_ALLOC), np.uint64(0), np.uint64(kernel | at.TAG_KERNEL_SYSTEM << 32))
    machine.leave_machine_level()
    m[_s.STVEC] = labels["trap"]
    m[_s.SIE] = _STIE
    m[_s.PC] = labels["idle"]
    if ring3:
        m[_s.SATP] = _page_table(machine, kernel, record, user, pages)
        m[_s.SSTATUS] = _SUM
    return labels


def first_status(ring3: bool) -> int:
    """Return the sstatus with which a new thread starts: its ring, and interrupts on."""
    return _MXR_SPIE | (_SUM if ring3 else _SPP)


def _page_table(machine: Machine, kernel: int, record: int, user: int, pages: int) -> int:
    """Write an Sv39 table that maps RAM where it is, in 4 KB pages; returns the value for satp."""
    leaves = -(-pages // 512)
    needed = leaves + 2
    first = record - needed  # the top of the kernel zone
    page = np.arange(pages, dtype=np.uint64)
    rights = np.full(pages, _PTE_V | _PTE_R | _PTE_W | _PTE_X | _PTE_G | _PTE_AD, dtype=np.uint64)
    # the kernel writes records through the same addresses, and a page its supervisor may write is writable
    # for everybody who may see it, so ring 3 is trusted with them; it cannot run them
    rights[record:user] = _PTE_V | _PTE_R | _PTE_W | _PTE_U | _PTE_AD
    rights[user:] = _PTE_V | _PTE_R | _PTE_W | _PTE_X | _PTE_U | _PTE_AD
    base_page = np.uint64(at.RAM_BASE // at.PAGE)
    table = np.zeros(leaves * 512, dtype=np.uint64)
    table[:pages] = (page + base_page) << np.uint64(10) | rights
    address = at.RAM_BASE + first * at.PAGE
    machine.write(address, table.tobytes())
    middle = np.zeros(512, dtype=np.uint64)
    for leaf in range(leaves):
        middle[leaf] = (address // at.PAGE + leaf) << 10 | _PTE_V
    root = np.zeros(512, dtype=np.uint64)
    middle_page = address // at.PAGE + leaves
    root[at.RAM_BASE >> 30] = middle_page << 10 | _PTE_V
    machine.write(middle_page * at.PAGE, middle.tobytes())
    machine.write((middle_page + 1) * at.PAGE, root.tobytes())
    tags = np.full(needed, at.TAG_KERNEL_SYSTEM, dtype="<u4")
    machine.write(at.PAGE_TAGS + 4 * first, tags.tobytes())
    return _SV39 | (middle_page + 1)
