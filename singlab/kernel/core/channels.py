"""Channel manager: two endpoints, fixed message slots, contracts checked as messages pass.

Sending puts a message into the peer's slots; it never blocks, and there is always room, for the
contract bounds what can be under way. Exchange-heap arguments change owner at the send. A closed
channel is seen on receive only, after the messages still under way are drained.

Leaves out endpoints as message arguments and waiting on several endpoints at once.
"""

from singlab.kernel.core.crossing import blocks_arrive, blocks_prepare
from singlab.kernel.core.heap import block_free, block_give
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.scheduler import thread_wake
from singlab.kernel.core.words import emit, ld32, ld64, st64
from singlab.kernel.layout import (
    B_MAGIC,
    B_OWNER,
    BLOCK_BYTES,
    E_CHANNEL,
    E_CLOSED,
    E_COUNT,
    E_HEAD,
    E_MAGIC,
    E_NEXT,
    E_OWNER,
    E_PEER,
    E_PREVIOUS,
    E_PROCESS,
    E_QUEUE,
    E_SIDE,
    E_SLOTS,
    E_STATE,
    E_TABLE,
    E_WAITER,
    ENDPOINT_BYTES,
    G_CHECK,
    G_FREE_ENDPOINTS,
    G_KERNEL_FIRST,
    G_NEXT_CHANNEL,
    G_RECORD_FIRST,
    G_USER_FIRST,
    G_WINDOW,
    MAGIC_BLOCK,
    MAGIC_ENDPOINT,
    NO_STATE,
    P_ENDPOINTS,
    P_ID,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAM_BASE,
    SLOT_BYTES,
    T_A0,
    TAG_KERNEL_SYSTEM,
    ZONE_KERNEL,
)

CHANNEL_CREATE = 14
CHANNEL_CLOSE = 15
SEND = 16
RECEIVE = 17
CHANNEL_STATE = 18
REFUSED = 28
CLOSED_SEEN = 29

CHANNEL_CLOSED = 0xFFFF
OK = 0
E_BAD_HANDLE = 1
E_NOT_OWNER = 2
E_CONTRACT = 3
E_FULL = 4
ABI_SEND = 2


def endpoint_link(m, endpoint, process):
    """Put an endpoint on its owner's list."""
    first = ld64(m, process + P_ENDPOINTS)
    st64(m, endpoint + E_NEXT, first)
    st64(m, endpoint + E_PREVIOUS, 0)
    if first != 0:
        st64(m, first + E_PREVIOUS, endpoint)
    st64(m, process + P_ENDPOINTS, endpoint)
    return 0


def endpoint_new(m, process, side, channel, table):
    """Return a new endpoint of a process in the contract's first state, or 0."""
    endpoint = record_new(m, G_FREE_ENDPOINTS, ENDPOINT_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
    if endpoint == 0:
        return 0
    st64(m, endpoint + E_MAGIC, MAGIC_ENDPOINT)
    st64(m, endpoint + E_OWNER, ld64(m, process + P_ID))
    st64(m, endpoint + E_PROCESS, process)
    st64(m, endpoint + E_CHANNEL, channel)
    st64(m, endpoint + E_SIDE, side)
    st64(m, endpoint + E_TABLE, table)
    st64(m, endpoint + E_SLOTS, ld64(m, table) >> (32 + side * 16) & 0xFFFF)
    endpoint_link(m, endpoint, process)
    return endpoint


def channel_create(m, table, imp_process, exp_process):
    """Return the Imp end of a new channel between two processes (its peer is the Exp end), or 0."""
    channel = ld64(m, G_NEXT_CHANNEL)
    imp = endpoint_new(m, imp_process, 0, channel, table)
    exp = endpoint_new(m, exp_process, 1, channel, table)
    if (imp == 0) or (exp == 0):
        return 0
    st64(m, imp + E_PEER, exp)
    st64(m, exp + E_PEER, imp)
    st64(m, G_NEXT_CHANNEL, channel + 1)
    emit(m, CHANNEL_CREATE, channel, ld64(m, imp_process + P_ID) | ld64(m, exp_process + P_ID) << 32)
    return imp


def endpoint_check(m, handle, process):
    """Return OK if a handle names an open endpoint of this process, whatever word it is, else why not."""
    if handle & (ENDPOINT_BYTES - 1) != 0:
        return E_BAD_HANDLE
    page = (handle - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_KERNEL_FIRST)) or (page >= ld64(m, G_RECORD_FIRST)):
        return E_BAD_HANDLE
    if ld32(m, PAGE_TAGS + page * 4) != TAG_KERNEL_SYSTEM:
        return E_BAD_HANDLE
    if ld64(m, handle + E_MAGIC) != MAGIC_ENDPOINT:
        return E_BAD_HANDLE
    if ld64(m, handle + E_PROCESS) != process:
        return E_NOT_OWNER
    return OK


def block_check(m, handle, process):
    """Return OK if a handle names a live block of this process, whatever word it is, else why not."""
    if handle & (BLOCK_BYTES - 1) != 0:
        return E_BAD_HANDLE
    page = (handle - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_RECORD_FIRST)) or (page >= ld64(m, G_USER_FIRST)):
        return E_BAD_HANDLE
    if ld64(m, handle + B_MAGIC) != MAGIC_BLOCK:
        return E_BAD_HANDLE
    if ld64(m, handle + B_OWNER) != ld64(m, process + P_ID):
        return E_NOT_OWNER
    return OK


def contract_step(m, table, state, message):
    """Return the state a message leads to, or NO_STATE if the contract forbids it there."""
    header = ld64(m, table)
    messages = header >> 16 & 0xFFFF
    return ld64(m, table + (1 + messages + state * messages + message) * 8)


def message_deliver(m, endpoint, thread):
    """Move the oldest message of an endpoint into the result registers of a thread of its owner."""
    head = ld64(m, endpoint + E_HEAD)
    slot = endpoint + E_QUEUE + head * SLOT_BYTES
    head += 1
    if head == ld64(m, endpoint + E_SLOTS):
        head = 0
    st64(m, endpoint + E_HEAD, head)
    st64(m, endpoint + E_COUNT, ld64(m, endpoint + E_COUNT) - 1)
    message = ld64(m, slot)
    word = ld64(m, slot + 8)
    st64(m, thread + T_A0, message)
    st64(m, thread + T_A0 + 8, word)
    st64(m, thread + T_A0 + 16, ld64(m, slot + 16))
    st64(m, thread + T_A0 + 24, ld64(m, slot + 24))
    st64(m, thread + T_A0 + 32, ld64(m, slot + 32))
    side = ld64(m, endpoint + E_SIDE) << 56
    channel = ld64(m, endpoint + E_CHANNEL)
    emit(m, RECEIVE, channel | message << 32 | side, word)
    table = ld64(m, endpoint + E_TABLE)
    if ld64(m, G_WINDOW) != 0:
        blocks_arrive(m, slot, ld64(m, table + 8 + message * 8) >> 8 & 0xFF)
    if ld64(m, G_CHECK) != 0:
        state = contract_step(m, table, ld64(m, endpoint + E_STATE), message)
        st64(m, endpoint + E_STATE, state)
        emit(m, CHANNEL_STATE, channel | side, state)
    return 0


def closed_deliver(m, endpoint, thread):
    """Tell a thread of the owner that the channel is closed and drained."""
    st64(m, thread + T_A0, CHANNEL_CLOSED)
    emit(m, CLOSED_SEEN, ld64(m, endpoint + E_CHANNEL) | ld64(m, endpoint + E_SIDE) << 56, 0)
    return 0


def blocks_check(m, slot, mask, process):
    """Return OK if every masked word of a message slot is a block of this process, each named once."""
    word = slot + 8
    while mask != 0:
        if mask & 1 != 0:
            block = ld64(m, word)
            status = block_check(m, block, process)
            if status != OK:
                return status
            # the same block twice in one message would have two owners
            later = word + 8
            rest = mask >> 1
            while rest != 0:
                if rest & 1 != 0:
                    if ld64(m, later) == block:
                        return E_NOT_OWNER
                later += 8
                rest = rest >> 1
        mask = mask >> 1
        word += 8
    return OK


def block_pass(m, masked, block, given, giver, taker):
    """Hand one argument of a message over if it is a block: to the receiver, or back if there is none or it gets a copy."""
    if masked & 1 == 0:
        return 0
    if (taker == 0) or (given != block):
        block_free(m, block, giver)
    else:
        block_give(m, block, giver, taker)
    return 0


def message_send(m, process, endpoint, message, word0, word1, word2, word3):
    """Send a message; returns OK, or why nothing was sent."""
    status = endpoint_check(m, endpoint, process)
    if status != OK:
        return status
    table = ld64(m, endpoint + E_TABLE)
    header = ld64(m, table)
    if message >= (header >> 16 & 0xFFFF):
        return E_CONTRACT
    about = ld64(m, table + 8 + message * 8)
    side = ld64(m, endpoint + E_SIDE)
    state = ld64(m, endpoint + E_STATE)
    following = state
    if ld64(m, G_CHECK) != 0:
        following = contract_step(m, table, state, message)
        if (following == NO_STATE) or (about >> 16 != side):
            return E_CONTRACT
    peer = ld64(m, endpoint + E_PEER)
    count = ld64(m, peer + E_COUNT)
    slots = ld64(m, peer + E_SLOTS)
    if count == slots:
        return E_FULL
    at = ld64(m, peer + E_HEAD) + count
    if at >= slots:
        at -= slots
    slot = peer + E_QUEUE + at * SLOT_BYTES
    st64(m, slot, message)
    st64(m, slot + 8, word0)
    st64(m, slot + 16, word1)
    st64(m, slot + 24, word2)
    st64(m, slot + 32, word3)
    taker = ld64(m, peer + E_PROCESS)
    mask = about >> 8 & 0xFF
    if mask != 0:
        status = blocks_check(m, slot, mask, process)
        if status != OK:
            return status
        if taker != 0:
            status = blocks_prepare(m, slot, mask, process, taker)
            if status != OK:
                return status
        block_pass(m, mask, word0, ld64(m, slot + 8), process, taker)
        block_pass(m, mask >> 1, word1, ld64(m, slot + 16), process, taker)
        block_pass(m, mask >> 2, word2, ld64(m, slot + 24), process, taker)
        block_pass(m, mask >> 3, word3, ld64(m, slot + 32), process, taker)
    channel = ld64(m, endpoint + E_CHANNEL)
    st64(m, endpoint + E_STATE, following)
    emit(m, SEND, channel | message << 32 | side << 56, ld64(m, slot + 8))
    emit(m, CHANNEL_STATE, channel | side << 56, following)
    if taker != 0:
        st64(m, peer + E_COUNT, count + 1)
        waiter = ld64(m, peer + E_WAITER)
        if waiter != 0:
            st64(m, peer + E_WAITER, 0)
            message_deliver(m, peer, waiter)
            thread_wake(m, waiter, peer)
    return OK


def endpoint_close(m, endpoint, process):
    """Close an endpoint of a process: wake the peer if it waits, and free both ends once both are closed."""
    following = ld64(m, endpoint + E_NEXT)
    previous = ld64(m, endpoint + E_PREVIOUS)
    if previous != 0:
        st64(m, previous + E_NEXT, following)
    else:
        st64(m, process + P_ENDPOINTS, following)
    if following != 0:
        st64(m, following + E_PREVIOUS, previous)
    st64(m, endpoint + E_CLOSED, 1)
    st64(m, endpoint + E_PROCESS, 0)
    emit(m, CHANNEL_CLOSE, ld64(m, endpoint + E_CHANNEL), ld64(m, endpoint + E_SIDE))
    peer = ld64(m, endpoint + E_PEER)
    if ld64(m, peer + E_CLOSED) != 0:
        record_free(m, G_FREE_ENDPOINTS, endpoint)
        record_free(m, G_FREE_ENDPOINTS, peer)
        return 0
    waiter = ld64(m, peer + E_WAITER)
    if waiter != 0:
        st64(m, peer + E_WAITER, 0)
        closed_deliver(m, peer, waiter)
        thread_wake(m, waiter, peer)
    return 0
