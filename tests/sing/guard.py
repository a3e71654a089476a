"""A guard beside one process: the address of each of its loads, stores and fetches is held against what it owns.

What a process may touch is read from the kernel's own records at that moment: its code (fetches and loads),
the pages of its stack, the data of the blocks it owns, the two words of their records that say where the
data is, and its objects: in the pages of its heap only what lies inside one object, as the image's type table
says, or begins the next one. The system runs one instruction at a time while the guarded process is at work.
When it returns, it may own no block, no set and no endpoint but those it was started with.
"""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

import numpy as np

from singlab.kernel import gate, system
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.gate import hook
from singlab.machine import state as _s
from singlab.machine.hart import STOP_HERE, STOP_HOOK, hart_run
from singlab.machine.jit import jit
from singlab.machine.state import raw_ld32, raw_ld64
from singlab.sing.expand import FAULT_UNSATISFIABLE

STRAY = 90  #: why the loop ended: the process touched what is not its own
LEAVING = 91  #: it is about to end, by a return or because it waited for what can never come
_START, _BYTES, _RECORD, _ID, _PC_SEEN, _ADDRESS, _CHECKED, _TYPES, _COUNT, _OVER_ITSELF, _THREADS, _LEFT = range(12)

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
def owns(m, watch, address, width, loading):
    """Return whether the guarded process may touch these bytes now."""
    if address - watch[_START] <= watch[_BYTES] - width and address >= watch[_START]:
        return loading
    if address < _BASE:
        return False
    page = address - _BASE >> _PAGE_SHIFT
    if page != address + width - _1 - _BASE >> _PAGE_SHIFT:
        return False
    if _W(raw_ld32(m, _TAGS + page * _4)) == (watch[_ID] << _OWNER | _STACK):
        return True
    if _W(raw_ld32(m, _TAGS + page * _4)) == (watch[_ID] << _OWNER | _HEAP):
        return in_object(m, watch, address, width, loading)
    block = raw_ld64(m, watch[_RECORD] + _OFFSET + _BLOCKS)
    while block != _0:
        data, size = raw_ld64(m, block + _OFFSET + _DATA), raw_ld64(m, block + _OFFSET + _SIZE)
        if address >= data and address - data + width <= size:
            return True
        if loading and (address == block + _DATA or address == block + _SIZE):
            return True
        block = raw_ld64(m, block + _OFFSET + _NEXT)
    return False


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


@jit("void(uint64[::1], uint64[::1])")
def asked(m, watch):
    """Count calls of the guarded process: threads it makes, and sends of one end of a channel over the other."""
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
    """What the guard saw: accesses looked at, threads made, sends of one end of a channel over the other."""

    accesses: int
    threads: int
    own_channel: int


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
    watch = np.array([start, size, process.record, process.number, 0, 0, 0, start + heap.get("types", 0), heap.get("type_count", 0), 0, 0, 0],
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
    return done, Seen(int(watch[_CHECKED]), int(watch[_THREADS]), int(watch[_OVER_ITSELF]))
