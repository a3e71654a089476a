"""A guard beside one process: the address of each of its loads, stores and fetches is held against what it owns.

What a process may touch is read from the kernel's own records at that moment: its code (fetches and loads),
the pages of its stack, the data of the blocks it owns, the two words of their records that say where the
data is, its objects: in the pages of its heap only what lies inside one object, as the image's type table
says, or begins the next one; the registers of the devices and the memory for devices it has opened. What another block has too it may read but
not write. The system runs one instruction at a time while the guarded process is at work.
What it hands to the kernel as a handle, or for good to a child or the name service, is looked at before the kernel does.
When it returns, it may own no block, no set and no endpoint but those it was started with.
"""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

import numpy as np

from singlab.kernel import gate, system
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI, ABI_NUMBER
from singlab.kernel.gate import hook
from singlab.machine import state as _s
from singlab.machine.hart import STOP_HERE, STOP_HOOK, hart_run
from singlab.machine.jit import jit
from singlab.machine.state import raw_ld32, raw_ld64
from singlab.sing.expand import FAULT_UNSATISFIABLE

STRAY = 90  #: why the loop ended: the process touched what is not its own
LEAVING = 91  #: it is about to end, by a return or because it waited for what can never come
_START, _BYTES, _RECORD, _ID, _PC_SEEN, _ADDRESS, _CHECKED, _TYPES, _COUNT, _OVER_ITSELF, _THREADS, _LEFT, _UNPROVEN = range(13)

_W = np.uint64
_I = np.int64
_0, _1, _3, _7, _20, _31, _52, _127 = (_W(n) for n in (0, 1, 3, 7, 20, 31, 52, 127))
_NEVER = _W((1 << 64) - 1)
_OFFSET = _W(_s.RAM_OFFSET - at.RAM_BASE & (1 << 64) - 1)
_TAGS, _BASE, _TEXT, _TEXT_BYTES = _W(at.PAGE_TAGS + _s.RAM_OFFSET - at.RAM_BASE), _W(at.RAM_BASE), _W(at.TEXT_BASE), _W(0x1_0000)
_PAGE_SHIFT, _STACK, _16, _4 = _W(at.PAGE_SHIFT), _W(at.TAG_STACK), _W(16), _W(4)
_OWNER = _W(at.OWNER_SHIFT)
_HEAP, _PAGE, _8, _255, _LOW, _TOP = (_W(n) for n in (at.TAG_HEAP, at.PAGE, 8, 255, 0xFFFF_FFFF, _s.X + 27))
_BLOCKS, _DATA, _SIZE, _NEXT = (_W(n) for n in (at.P_BLOCKS, at.B_DATA, at.B_SIZE, at.B_NEXT))
_X, _PC, _INSTRET, _PRECISE, _STOP = _s.X, _s.PC, _s.INSTRET, _s.PRECISE, _s.STOP_INSTRET
_EVENTS, _STOP_EVENT, _PROCESS, _RAM_BYTES = _s.EVENT_COUNT, _s.STOP_EVENT, _s.CURRENT_PROCESS, _s.RAM_BYTES
_HOOK, _A0 = _s.HOOK_NUMBER, _s.X + 10
_SEND, _EXIT, _FAULT, _CREATE_THREAD = (_W(ABI_NUMBER[name]) for name in ("send", "exit", "fault", "create_thread"))
_UNSATISFIABLE = _W(FAULT_UNSATISFIABLE)
_PEER = _W(at.E_PEER)
_GIVE, _REGISTER, _CONNECT = (_W(ABI_NUMBER[name]) for name in ("set_startup_endpoint", "register_name", "connect_name"))
_WAIT_ANY = _W(ABI_NUMBER["wait_any"])
#: Calls that are given one handle, as a bit each.
_ABOUT_ONE = _W(sum(1 << ABI_NUMBER[name] for name in (
    "wait_one", "set_event", "reset_event", "release_mutex", "close_handle", "ack_interrupt")))  # fmt: skip
_HARDWARE, _PROCESSES, _IO_MEMORY = _W(at.G_HARDWARE), _W(at.G_PROCESSES), _W(at.MAGIC_IO_MEMORY)
_O_MAGIC, _O_PROCESS, _O_VALUE, _O_LINK = (_W(n) for n in (at.O_MAGIC, at.O_PROCESS, at.O_VALUE, at.O_LINK))
_O_NEXT, _OBJECTS_OF, _DMA, _DMA_PAGE = _W(at.O_NEXT), _W(at.P_OBJECTS), _W(at.MAGIC_DMA), _W(at.TAG_DMA)
_OBJECT, _OBJECTS = _W(at.OBJECT_BYTES), _W(at.TAG_KERNEL_OBJECTS)
_SPAN, _63, _2 = _W(at.B_SPAN), _W(63), _W(2)
_P_NEXT = _W(at.P_NEXT)
_MAGIC, _E_PROCESS, _SIDE, _STATE, _TRAVELS, _SET = (_W(n) for n in (at.E_MAGIC, at.E_PROCESS, at.E_SIDE, at.E_STATE, at.E_TRAVELS, at.E_SET))
_ENDPOINT, _A_SET = _W(at.MAGIC_ENDPOINT), _W(at.MAGIC_SET)
STOP_EVENTS = gate.STOP_EVENTS


@jit("boolean(uint64[::1], uint64[::1], uint64, uint64, boolean)")
def in_object(m, watch, address, width, loading):
    """Return whether bytes in a page of the heap lie inside one object, or begin the one being made."""
    tag = watch[_ID] << _OWNER | _HEAP
    page = address - _BASE >> _PAGE_SHIFT
    while _W(raw_ld32(m, _TAGS + (page - _1) * _4)) == tag:
        page -= _1
    place = _BASE + (page << _PAGE_SHIFT)
    while place <= address:
        number = raw_ld64(m, place + _OFFSET) & _LOW
        if number == _0:
            if not loading and place == m[_I(_TOP)] and address + width <= place + _8:
                return True
            place = (place | _PAGE - _1) + _1
            continue
        if number > watch[_COUNT]:
            return False
        row = raw_ld64(m, watch[_TYPES] + (number - _1) * _16 + _OFFSET)
        if row & _255 == _1:
            size = (row >> _W(24) & _255) << _3
        else:
            size = _16 + ((raw_ld64(m, place + _8 + _OFFSET) << (row >> _8 & _255)) + _7 & ~_7)
        if address + width <= place + size:
            return True
        place += size
    return False


@jit("boolean(uint64[::1], uint64[::1], uint64, uint64, boolean)")
def in_dma(m, watch, address, width, loading):
    """Return whether bytes lie in memory for devices that the guarded process has opened, or in what says where it is."""
    found = raw_ld64(m, watch[_RECORD] + _OBJECTS_OF + _OFFSET)
    while found != _0:
        if raw_ld64(m, found + _O_MAGIC + _OFFSET) == _DMA:
            record = raw_ld64(m, found + _O_VALUE + _OFFSET)
            start, size = raw_ld64(m, record + _DATA + _OFFSET), raw_ld64(m, record + _SIZE + _OFFSET)
            if loading and (address == record + _DATA or address == record + _SIZE):
                return True
            if address >= start and address - start + width <= size:
                first, last = _W(raw_ld32(m, _TAGS + (address - _BASE >> _PAGE_SHIFT) * _4)), _W(raw_ld32(m, _TAGS + (address + width - _1 - _BASE >> _PAGE_SHIFT) * _4))
                return first == last and first == (watch[_ID] << _OWNER | _DMA_PAGE)
        found = raw_ld64(m, found + _O_NEXT + _OFFSET)
    return False


@jit("boolean(uint64[::1], uint64[::1], uint64, uint64, boolean)")
def in_device(m, watch, address, width, loading):
    """Return whether bytes lie in the registers of a device the guarded process has, or in what says where these are."""
    found = raw_ld64(m, _HARDWARE + _OFFSET)
    while found != _0:
        if raw_ld64(m, found + _O_MAGIC + _OFFSET) == _IO_MEMORY and raw_ld64(m, found + _O_PROCESS + _OFFSET) == watch[_RECORD]:
            record = raw_ld64(m, found + _O_VALUE + _OFFSET)
            if loading and (address == record + _DATA or address == record + _SIZE):
                return True
            start, size = raw_ld64(m, record + _DATA + _OFFSET), raw_ld64(m, record + _SIZE + _OFFSET)
            if address >= start and address - start + width <= size:
                return True
        found = raw_ld64(m, found + _O_LINK + _OFFSET)
    return in_dma(m, watch, address, width, loading)


@jit("boolean(uint64[::1], uint64, uint64, uint64)")
def alone(m, block, address, width):
    """Return whether no other block, of whomever, has any of these bytes too."""
    process = raw_ld64(m, _PROCESSES + _OFFSET)
    while process != _0:
        other = raw_ld64(m, process + _BLOCKS + _OFFSET)
        while other != _0:
            data = raw_ld64(m, other + _DATA + _OFFSET)
            if other != block and address < data + raw_ld64(m, other + _SIZE + _OFFSET) and data < address + width:
                return False
            other = raw_ld64(m, other + _NEXT + _OFFSET)
        process = raw_ld64(m, process + _P_NEXT + _OFFSET)
    return True


@jit("boolean(uint64[::1], uint64[::1], uint64, uint64, boolean)")
def owns(m, watch, address, width, loading):
    """Return whether the guarded process may touch these bytes now."""
    if address - watch[_START] <= watch[_BYTES] - width and address >= watch[_START]:
        return loading
    if address < _BASE:
        return in_device(m, watch, address, width, loading)
    page = address - _BASE >> _PAGE_SHIFT
    if page != address + width - _1 - _BASE >> _PAGE_SHIFT:
        return in_dma(m, watch, address, width, loading)
    if _W(raw_ld32(m, _TAGS + page * _4)) == (watch[_ID] << _OWNER | _STACK):
        return True
    if _W(raw_ld32(m, _TAGS + page * _4)) == (watch[_ID] << _OWNER | _HEAP):
        return in_object(m, watch, address, width, loading)
    block = raw_ld64(m, watch[_RECORD] + _OFFSET + _BLOCKS)
    while block != _0:
        data, size = raw_ld64(m, block + _OFFSET + _DATA), raw_ld64(m, block + _OFFSET + _SIZE)
        if address >= data and address - data + width <= size:
            return loading or raw_ld64(m, block + _OFFSET + _SPAN) >> _63 == _0 or alone(m, block, address, width)
        if loading and (address == block + _DATA or address == block + _SIZE):
            return True
        block = raw_ld64(m, block + _OFFSET + _NEXT)
    return in_device(m, watch, address, width, loading)


@jit("boolean(uint64[::1], uint64[::1])")
def strays(m, watch):
    """Return whether the next instruction of the guarded process would touch what is not its own."""
    pc = m[_PC]
    if pc - watch[_START] >= watch[_BYTES]:
        return m[_PROCESS] == watch[_ID] and pc - _TEXT >= _TEXT_BYTES
    word = _W(raw_ld32(m, pc + _OFFSET))
    opcode = word & _127
    if opcode != _3 and opcode != _W(0x23):
        return False
    offset = _W(_I(word << _W(32)) >> _I(52))
    if opcode != _3:
        offset = offset & ~_31 | (word >> _7 & _31)
    address = m[_X + _I(word >> _W(15) & _31)] + offset
    watch[_CHECKED] += _1
    if owns(m, watch, address, _1 << (word >> _W(12) & _3), opcode == _3):
        return False
    watch[_PC_SEEN], watch[_ADDRESS] = pc, address
    return True


@jit("boolean(uint64[::1], uint64[::1], uint64)")
def is_handle(m, watch, word):
    """Return whether a word is, or was, a handle of an event, a mutex or an interrupt, or is an endpoint or a set of the guarded process."""
    if word < _BASE or word - _BASE >= _W(m[_RAM_BYTES]) or word & _W(7) != _0:
        return False
    magic = raw_ld64(m, word + _MAGIC + _OFFSET)
    if (magic == _ENDPOINT or magic == _A_SET) and raw_ld64(m, word + _E_PROCESS + _OFFSET) == watch[_RECORD]:
        return True
    if word & _OBJECT - _1 != _0:
        return False
    return _W(raw_ld32(m, _TAGS + (word - _BASE >> _PAGE_SHIFT) * _4)) == _OBJECTS


@jit("boolean(uint64[::1], uint64[::1], uint64, uint64)")
def may_leave(m, watch, endpoint, side):
    """Return whether a word is an endpoint of the guarded process in its contract's first state, of a side (2 = any)."""
    if endpoint < _BASE or endpoint - _BASE >= _W(m[_RAM_BYTES]) or endpoint & _W(7) != _0:
        return False
    here = endpoint + _OFFSET
    if raw_ld64(m, here + _MAGIC) != _ENDPOINT or raw_ld64(m, here + _E_PROCESS) != watch[_RECORD]:
        return False
    if raw_ld64(m, here + _STATE) != _0 or raw_ld64(m, here + _TRAVELS) != _0 or raw_ld64(m, here + _SET) != _0:
        return False
    return side == _2 or raw_ld64(m, here + _SIDE) == side


@jit("boolean(uint64[::1], uint64[::1])")
def proven(m, watch):
    """Return whether a call of the guarded process is given what the verifier proves that it is."""
    number = _W(m[_HOOK])
    if number == _GIVE:
        return may_leave(m, watch, m[_A0 + 2], _2)
    if number == _REGISTER:
        return may_leave(m, watch, m[_A0], _0)
    if number == _CONNECT:
        return may_leave(m, watch, m[_A0], _1)
    if number == _WAIT_ANY:
        good = True
        for word in range(1, 5):
            good = good and (m[_A0 + word] == _0 or is_handle(m, watch, m[_A0 + word]))
        return good
    if number < _W(64) and _ABOUT_ONE >> number & _1 != _0:
        return is_handle(m, watch, m[_A0])
    return True


@jit("void(uint64[::1], uint64[::1])")
def asked(m, watch):
    """Look at a call of the guarded process: threads it makes, sends of one end of a channel over the other, what is not proven."""
    if not proven(m, watch):
        watch[_UNPROVEN] = m[_HOOK] + _1
    if m[_HOOK] == _CREATE_THREAD:
        watch[_THREADS] += _1
    elif m[_HOOK] == _SEND:
        endpoint = m[_A0]
        if endpoint >= _BASE and endpoint - _BASE < _W(m[_RAM_BYTES]):
            peer = raw_ld64(m, endpoint + _OFFSET + _PEER)
            for word in range(2, 6):
                if m[_A0 + word] == peer:
                    watch[_OVER_ITSELF] += _1
                    break


@jit("int64(uint64[::1], uint64[::1], uint64[::1])")
def guarded_run(m, uops, watch):
    """As the gate's loop, one instruction at a time, looking before each."""
    m[_PRECISE] = _1
    resumed = watch[_LEFT] == _1
    while True:
        if resumed:  # the loop was left before the hook of its end
            resumed = False
            watch[_LEFT] = _3
            reason = STOP_HOOK
        elif strays(m, watch):
            reason = STRAY
            break
        else:
            m[_STOP] = m[_INSTRET] + _1
            reason = hart_run(m, uops)
            if reason == STOP_HOOK and m[_PROCESS] == watch[_ID]:
                if (m[_HOOK] == _EXIT or m[_HOOK] == _FAULT and m[_A0] == _UNSATISFIABLE) and watch[_LEFT] == _0:
                    watch[_LEFT] = _1
                    reason = LEAVING
                    break
                asked(m, watch)
        if reason == STOP_HOOK:
            reason = hook(m)
            if reason == 0 and m[_EVENTS] >= m[_STOP_EVENT]:
                reason = STOP_EVENTS
            if reason != 0:
                break
        elif reason != STOP_HERE:
            break
    m[_PRECISE], m[_STOP] = _0, _NEVER
    return reason


class Strayed(AssertionError):
    """The guarded process was about to touch what is not its own."""


class Owing(AssertionError):
    """The guarded process returned and still owned something, or waited in vain where that cannot be."""


@dataclass
class Seen:
    """What the guard saw: accesses looked at, threads made, sends of one end of a channel over the other.

    ``unproven`` is the last call that was given as a handle, or to take an endpoint for good, what is none, or "".
    """

    accesses: int
    threads: int
    own_channel: int
    unproven: str


def owed(machine, process, startup: int) -> str:
    """Return what a process still owns as it ends, beyond so many startup endpoints and what waits for it in messages, or ""."""
    load = machine.load_u64
    ends, blocks, waiting = [], [], set()
    record = process._field(at.P_ENDPOINTS)
    while record:
        ends.append(record)
        record = load(record + at.E_NEXT)
    block = process._field(at.P_BLOCKS)
    while block:
        blocks.append(block)
        block = load(block + at.B_NEXT)
    sets = [end for end in ends if load(end + at.E_MAGIC) == at.MAGIC_SET]
    ends = [end for end in ends if load(end + at.E_MAGIC) == at.MAGIC_ENDPOINT]
    for end in ends:
        slots, head = load(end + at.E_SLOTS), load(end + at.E_HEAD)
        for k in range(load(end + at.E_COUNT)):
            slot = end + at.E_QUEUE + (head + k) % slots * at.SLOT_BYTES
            about = load(load(end + at.E_TABLE) + 8 + 8 * load(slot))
            waiting |= {load(slot + 8 + 8 * i) for i in range(at.SLOT_WORDS) if (about >> 8 | about >> 24) >> i & 1}
    blocks, ends = set(blocks) - waiting, set(ends) - waiting
    over = {"sets": len(sets), "blocks": len(blocks), "endpoints": max(0, len(ends) - startup)}
    return ", ".join(f"{count} {what}" for what, count in over.items() if count)


def hopeless(machine) -> bool:
    """Return whether something the running thread last selected among is closed and drained, or a set without members."""
    load = machine.load_u64
    thread = load(at.G_CURRENT)
    for record in filter(None, (load(thread + at.T_SELECTED + 8 * i) for i in range(at.SELECT_MOST))):
        if load(record + at.E_COUNT) == 0 and (load(record + at.E_MAGIC) == at.MAGIC_SET or load(load(record + at.E_PEER) + at.E_CLOSED)):
            return True
        if load(record + at.E_MAGIC) == at.MAGIC_SET:
            first = load(record + at.S_FIRST)
            if first and load(first + at.E_COUNT) == 0:
                return True
    return False


def run_guarded(machine_system, process, cycles: int, startup: int = 1):
    """Run a system with the guard on one of its processes; returns the run and what the guard saw.

    ``startup`` is how many endpoints the process was started with: at its return it may have so many. Where it made
    threads, what these were given may still be there.
    """
    start, size = process._field(at.P_CODE), process._field(at.P_CODE_BYTES)
    heap = process.installed.image.manifest.heap
    watch = np.array([start, size, process.record, process.number, 0, 0, 0, start + heap.get("types", 0), heap.get("type_count", 0), 0, 0, 0, 0],
                     dtype=np.uint64)  # fmt: skip

    def run(m, uops):
        reason = guarded_run(m, uops, watch)
        if reason == LEAVING:
            if m[_HOOK] != _EXIT:
                if not hopeless(machine_system.machine):
                    raise Owing(f"{process.name} waits for what can never come, although nothing it waits for is closed or empty")
            elif not watch[_THREADS] and (still := owed(machine_system.machine, process, startup)):
                raise Owing(f"{process.name} returns and still owns {still}")
            reason = guarded_run(m, uops, watch)
        if reason == STRAY:
            raise Strayed(f"{process.name} at {int(watch[_PC_SEEN]):#x} touches {int(watch[_ADDRESS]):#x}, which it does not own")
        return reason

    with mock.patch.object(system, "system_run", run):
        done = machine_system.run(cycles=cycles)
    unproven = ABI[int(watch[_UNPROVEN]) - 1].name if watch[_UNPROVEN] else ""
    return done, Seen(int(watch[_CHECKED]), int(watch[_THREADS]), int(watch[_OVER_ITSELF]), unproven)
