"""Waiting for messages and for objects together, as a driver has to: for its clients and for its device.

A thread that does so stands among those of its process that wait for objects, and at each endpoint or set among what
it waits for. Whatever comes first takes it out of all these places. Of an object that lets one thread go on it takes
that; a message stays where it is, to be received. What stands further left is looked at first.
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.endpoints import endpoint_check, record_check
from singlab.kernel.core.objects import TIMED_OUT, object_take, selected_put, waitable_check, waiter_put
from singlab.kernel.core.scheduler import schedule
from singlab.kernel.core.timers import sleeper_put
from singlab.kernel.core.waiting import NO_ENDPOINT, NO_MESSAGE, head_of
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    BLOCKED,
    E_WAITER,
    G_CURRENT,
    MAGIC_ENDPOINT,
    MAGIC_SET,
    NEVER,
    T_A0,
    T_ID,
    T_PROCESS,
    T_SELECTED,
    T_SELECTS,
    T_STATE,
    T_WAITS,
    T_WAKE,
    WAIT_EITHER,
    WAIT_MOST,
)

THREAD_BLOCK = 9
REFUSED = 28
OK = 0
E_NOT_OWNER = 2
E_BAD_ARGUMENT = 5
NO_INDEX = 0xFFFF
ABI_WAIT_FIRST = ABI_NUMBER["wait_first"]


def brings_messages(m, record):
    """Return whether what a thread waits for is an endpoint or a set."""
    magic = ld64(m, record)
    return (magic == MAGIC_ENDPOINT) or (magic == MAGIC_SET)


def either_check(m, record, process):
    """Return OK if a word names an object of this process that can be waited for, or an endpoint or set at which nobody waits."""
    status = waitable_check(m, record, process)
    if status == OK:
        return OK
    status = endpoint_check(m, record, process)
    if status != OK:
        status = record_check(m, record, process, MAGIC_SET)
    if status == OK:
        if ld64(m, record + E_WAITER) != 0:
            return E_NOT_OWNER
    return status


def either_ready(m, record, thread):
    """Return whether a thread need not wait for an object, an endpoint or a set; what an object gives once it has then taken."""
    if brings_messages(m, record) == 0:
        return object_take(m, record, thread)
    head = head_of(m, record)
    return (head != NO_MESSAGE) and (head != NO_ENDPOINT)


def abi_wait_first(m, until, waited0, waited1, waited2, waited3, now):
    """Wait for the first of up to four objects, endpoints and sets of the calling process until a time."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    selected_put(m, thread, waited0, waited1, waited2, waited3)
    st64(m, thread + T_A0 + 8, NO_INDEX)
    status = E_BAD_ARGUMENT
    index = 0
    while index < WAIT_MOST:
        record = ld64(m, thread + T_SELECTED + index * 8)
        if record != 0:
            status = either_check(m, record, process)
            if status != OK:
                break
        index += 1
    if status != OK:
        emit(m, REFUSED, ABI_WAIT_FIRST, status)
        st64(m, thread + T_A0, status)
        return 0
    index = 0
    while index < WAIT_MOST:
        record = ld64(m, thread + T_SELECTED + index * 8)
        if record != 0:
            if either_ready(m, record, thread) != 0:
                st64(m, thread + T_A0, OK)
                st64(m, thread + T_A0 + 8, index)
                return 0
        index += 1
    if until <= now:
        st64(m, thread + T_A0, TIMED_OUT)
        return 0
    index = 0
    while index < WAIT_MOST:
        record = ld64(m, thread + T_SELECTED + index * 8)
        if record != 0:
            if brings_messages(m, record) != 0:
                st64(m, record + E_WAITER, thread)
        index += 1
    st64(m, thread + T_WAITS, 0)
    st64(m, thread + T_SELECTS, WAIT_EITHER)
    st64(m, thread + T_STATE, BLOCKED)
    waiter_put(m, process, thread)
    st64(m, thread + T_WAKE, until)
    if until != NEVER:
        sleeper_put(m, thread, until)
    number = ld64(m, thread + T_ID)
    emit(m, THREAD_BLOCK, number, 0)
    schedule(m, number)
    return 0
