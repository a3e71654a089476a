"""Waiting: a thread that receives from one endpoint, or selects among several and among sets of them.

A receive takes a message; a select takes nothing and says what waits where. Whatever arrives first, a message
or the news that the other side has closed, wakes the one thread that waits there.
"""

from singlab.kernel.core.crossing import blocks_arrive
from singlab.kernel.core.endpoints import contract_step, endpoint_give
from singlab.kernel.core.objects import waiter_wake, waits_for
from singlab.kernel.core.scheduler import queue_take, thread_wake
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    E_CHANNEL,
    E_CLOSED,
    E_COUNT,
    E_HEAD,
    E_MAGIC,
    E_MEMBER_NEXT,
    E_MEMBER_PREVIOUS,
    E_PEER,
    E_PROCESS,
    E_QUEUE,
    E_READY,
    E_READY_NEXT,
    E_READY_PREVIOUS,
    E_SET,
    E_SIDE,
    E_SLOTS,
    E_STATE,
    E_TABLE,
    E_TRAVELS,
    E_WAITER,
    G_CHECK,
    G_CONNECTING,
    G_WINDOW,
    MAGIC_SET,
    S_FIRST,
    S_LAST,
    S_MEMBERS,
    SELECT_MOST,
    SLOT_BYTES,
    T_A0,
    T_PROCESS,
    T_SELECTED,
    T_SELECTS,
    T_WAITS,
    WAIT_ANSWER,
    WAIT_EITHER,
    WAIT_ONE,
    WAIT_OTHERS,
)

NAME_CONNECT = 56
OK = 0
E_NO_NAME = 8
E_REFUSED = 10
E_BUSY = 11
NACK_CONNECT = 2
RECEIVE = 17
CHANNEL_STATE = 18
CLOSED_SEEN = 29
CHANNEL_CLOSED = 0xFFFF
NO_MESSAGE = 0xFFFE
NO_ENDPOINT = 0xFFFD


def message_take(m, endpoint):
    """Return the slot of an endpoint's oldest message, which is free from now on."""
    head = ld64(m, endpoint + E_HEAD)
    slot = endpoint + E_QUEUE + head * SLOT_BYTES
    head += 1
    if head == ld64(m, endpoint + E_SLOTS):
        head = 0
    st64(m, endpoint + E_HEAD, head)
    st64(m, endpoint + E_COUNT, ld64(m, endpoint + E_COUNT) - 1)
    return slot


def carried_arrive(m, slot, about):
    """The blocks and endpoints in a message slot are taken: their owner can use them from now on."""
    if ld64(m, G_WINDOW) != 0:
        blocks_arrive(m, slot, about >> 8 & 0xFF)
    ends = about >> 24 & 0xFF
    while ends != 0:
        slot += 8
        if ends & 1 != 0:
            st64(m, ld64(m, slot) + E_TRAVELS, 0)
        ends = ends >> 1
    return 0


def message_deliver(m, endpoint, thread):
    """Move the oldest message of an endpoint into the result registers of a thread of its owner."""
    slot = message_take(m, endpoint)
    message = ld64(m, slot)
    word = ld64(m, slot + 8)
    st64(m, thread + T_A0, message)
    st64(m, thread + T_A0 + 8, word)
    st64(m, thread + T_A0 + 16, ld64(m, slot + 16))
    st64(m, thread + T_A0 + 24, ld64(m, slot + 24))
    st64(m, thread + T_A0 + 32, ld64(m, slot + 32))
    table = ld64(m, endpoint + E_TABLE)
    about = ld64(m, table + 8 + message * 8)
    if (about & 0xFF00_FF00) != 0:
        carried_arrive(m, slot, about)
    side = ld64(m, endpoint + E_SIDE) << 56
    channel = ld64(m, endpoint + E_CHANNEL)
    emit(m, RECEIVE, channel | message << 32 | side, word)
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


def endpoint_head(m, endpoint):
    """Return what waits at an endpoint: its oldest message, CHANNEL_CLOSED or NO_MESSAGE."""
    if ld64(m, endpoint + E_COUNT) != 0:
        return ld64(m, endpoint + E_QUEUE + ld64(m, endpoint + E_HEAD) * SLOT_BYTES)
    if ld64(m, ld64(m, endpoint + E_PEER) + E_CLOSED) != 0:
        return CHANNEL_CLOSED
    return NO_MESSAGE


def ready_remove(m, ends, endpoint):
    """Take a member off its set's queue of those at which something waits."""
    st64(m, endpoint + E_READY, 0)
    following = ld64(m, endpoint + E_READY_NEXT)
    previous = ld64(m, endpoint + E_READY_PREVIOUS)
    if previous != 0:
        st64(m, previous + E_READY_NEXT, following)
    else:
        st64(m, ends + S_FIRST, following)
    if following != 0:
        st64(m, following + E_READY_PREVIOUS, previous)
    else:
        st64(m, ends + S_LAST, previous)
    return 0


def set_first(m, ends):
    """Return the member of a set at which something has waited longest, 0 if there is none."""
    member = ld64(m, ends + S_FIRST)
    while member != 0:
        if endpoint_head(m, member) != NO_MESSAGE:
            return member
        # its owner has taken the message behind the set's back
        ready_remove(m, ends, member)
        member = ld64(m, ends + S_FIRST)
    return 0


def head_of(m, record):
    """Return what waits at an endpoint or a set; nothing can ever come to a set without members."""
    if ld64(m, record + E_MAGIC) != MAGIC_SET:
        return endpoint_head(m, record)
    member = set_first(m, record)
    if member != 0:
        return endpoint_head(m, member)
    if ld64(m, record + E_COUNT) == 0:
        return NO_ENDPOINT
    return NO_MESSAGE


def heads_of(m, thread):
    """Return what waits at each endpoint a thread selects among, 16 bits each."""
    heads = 0
    index = 0
    while index < SELECT_MOST:
        head = NO_MESSAGE
        record = ld64(m, thread + T_SELECTED + index * 8)
        if record != 0:
            head = head_of(m, record)
        heads = heads | head << (index * 16)
        index += 1
    return heads


def waiter_set(m, thread):
    """Let a thread wait wherever nothing is yet; returns the first such place, 0 if there is none."""
    first = 0
    index = SELECT_MOST
    while index != 0:
        index -= 1
        record = ld64(m, thread + T_SELECTED + index * 8)
        if record != 0:
            if head_of(m, record) == NO_MESSAGE:
                st64(m, record + E_WAITER, thread)
                first = record
    if first != 0:
        st64(m, thread + T_SELECTS, 1)
        st64(m, thread + T_WAITS, first)
    return first


def waiter_forget(m, thread):
    """Let a blocked thread wait nowhere any more."""
    st64(m, ld64(m, thread + T_WAITS) + E_WAITER, 0)
    if ld64(m, thread + T_SELECTS) != 0:
        index = 0
        while index < SELECT_MOST:
            record = ld64(m, thread + T_SELECTED + index * 8)
            if record != 0:
                st64(m, record + E_WAITER, 0)
            index += 1
        st64(m, thread + T_SELECTS, 0)
    return 0


def turns_give(m):
    """Let those who wait for their turn at a provider ask again."""
    waiting = queue_take(m, G_CONNECTING)
    while waiting != 0:
        st64(m, waiting + T_SELECTS, WAIT_ONE)
        st64(m, waiting + T_A0, E_BUSY)
        thread_wake(m, waiting, 0)
        waiting = queue_take(m, G_CONNECTING)
    return 0


def name_answered(m, imp, thread):
    """A provider has answered whoever waits for its connection, or is gone: that thread goes on, and others have their turn."""
    status = E_NO_NAME
    handle = 0
    if ld64(m, imp + E_COUNT) != 0:
        slot = message_take(m, imp)
        st64(m, imp + E_STATE, 0)
        status = OK
        if ld64(m, slot) == NACK_CONNECT:
            status = E_REFUSED
            handle = ld64(m, slot + 8)
            endpoint_give(m, handle, ld64(m, imp + E_PROCESS), ld64(m, thread + T_PROCESS))
            st64(m, handle + E_TRAVELS, 0)
    st64(m, thread + T_A0, status)
    st64(m, thread + T_A0 + 8, handle)
    emit(m, NAME_CONNECT, ld64(m, imp + E_CHANNEL), status)
    turns_give(m)
    return 0


def thread_tell(m, record, thread):
    """Something has come to an endpoint or a set on which a thread waits: give it what it waited for, and wake it."""
    selects = ld64(m, thread + T_SELECTS)
    if selects == WAIT_EITHER:
        waiter_wake(m, ld64(m, thread + T_PROCESS), thread, OK, waits_for(m, thread, record))
        return 0
    waiter_forget(m, thread)
    if selects == WAIT_ANSWER:
        name_answered(m, record, thread)
    elif selects == WAIT_OTHERS:
        st64(m, thread + T_A0, E_BUSY)
        turns_give(m)
    elif selects != 0:
        st64(m, thread + T_A0, heads_of(m, thread))
    else:
        if ld64(m, record + E_COUNT) != 0:
            message_deliver(m, record, thread)
        else:
            closed_deliver(m, record, thread)
    thread_wake(m, thread, record)
    return 0


def endpoint_ready(m, endpoint):
    """Something has come to an endpoint: tell who waits for it, there or at its set."""
    waiter = ld64(m, endpoint + E_WAITER)
    if waiter != 0:
        thread_tell(m, endpoint, waiter)
        return 0
    ends = ld64(m, endpoint + E_SET)
    if ends == 0:
        return 0
    if ld64(m, endpoint + E_READY) == 0:
        last = ld64(m, ends + S_LAST)
        st64(m, endpoint + E_READY, 1)
        st64(m, endpoint + E_READY_NEXT, 0)
        st64(m, endpoint + E_READY_PREVIOUS, last)
        if last == 0:
            st64(m, ends + S_FIRST, endpoint)
        else:
            st64(m, last + E_READY_NEXT, endpoint)
        st64(m, ends + S_LAST, endpoint)
        waiter = ld64(m, ends + E_WAITER)
        if waiter != 0:
            thread_tell(m, ends, waiter)
    return 0


def set_leave(m, endpoint):
    """Take an endpoint out of the set it is in."""
    ends = ld64(m, endpoint + E_SET)
    if ld64(m, endpoint + E_READY) != 0:
        ready_remove(m, ends, endpoint)
    following = ld64(m, endpoint + E_MEMBER_NEXT)
    previous = ld64(m, endpoint + E_MEMBER_PREVIOUS)
    if previous != 0:
        st64(m, previous + E_MEMBER_NEXT, following)
    else:
        st64(m, ends + S_MEMBERS, following)
    if following != 0:
        st64(m, following + E_MEMBER_PREVIOUS, previous)
    st64(m, endpoint + E_SET, 0)
    st64(m, ends + E_COUNT, ld64(m, ends + E_COUNT) - 1)
    return 0
