"""What threads of one process wait for besides messages: events, mutexes and interrupts.

An object is a record that its process's handles name. An event that resets itself lets one thread go on for each
time it is set, the other kind lets all go on until it is reset; a mutex belongs to one thread at a time, which may
take it again. A thread waits for one object, or for the first of up to four, and no longer than it says. The threads of
a process that wait stand in one list in their order, so what becomes free goes to the one that has waited longest.

Objects never leave their process: threads of different processes have nothing in common but channels.
"""

from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.scheduler import thread_wake
from singlab.kernel.core.timers import sleeper_forget
from singlab.kernel.core.words import ld32, ld64, st64
from singlab.kernel.layout import (
    E_WAITER,
    G_FREE_OBJECTS,
    G_KERNEL_FIRST,
    G_RECORD_FIRST,
    MAGIC_AUTO_EVENT,
    MAGIC_ENDPOINT,
    MAGIC_INTERRUPT,
    MAGIC_MANUAL_EVENT,
    MAGIC_MUTEX,
    MAGIC_SET,
    MOST_OBJECTS,
    NEVER,
    O_COUNT,
    O_MAGIC,
    O_NEXT,
    O_PROCESS,
    O_STATE,
    OBJECT_BYTES,
    P_OBJECTS,
    P_WAIT_FIRST,
    P_WAIT_LAST,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAM_BASE,
    T_A0,
    T_NEXT,
    T_SELECTED,
    T_SELECTS,
    T_WAKE,
    TAG_KERNEL_OBJECTS,
    WAIT_EITHER,
    WAIT_MOST,
    WAIT_ONE,
    ZONE_KERNEL,
)

OK = 0
E_BAD_HANDLE = 1
E_NOT_OWNER = 2
E_BAD_ARGUMENT = 5
TIMED_OUT = 7
NONE = 0xFFFF


def object_new(m, process, magic):
    """Return a new object of a process, or 0: it has too many, or memory is exhausted."""
    count = 0
    at = ld64(m, process + P_OBJECTS)
    while at != 0:
        count += 1
        at = ld64(m, at + O_NEXT)
    if count >= MOST_OBJECTS:
        return 0
    found = record_new(m, G_FREE_OBJECTS, OBJECT_BYTES, ZONE_KERNEL, TAG_KERNEL_OBJECTS)
    if found == 0:
        return 0
    st64(m, found + O_MAGIC, magic)
    st64(m, found + O_PROCESS, process)
    st64(m, found + O_NEXT, ld64(m, process + P_OBJECTS))
    st64(m, process + P_OBJECTS, found)
    return found


def selected_put(m, thread, first, second, third, fourth):
    """Note what a thread waits for: up to four words, 0 = none."""
    st64(m, thread + T_SELECTED, first)
    st64(m, thread + T_SELECTED + 8, second)
    st64(m, thread + T_SELECTED + 16, third)
    st64(m, thread + T_SELECTED + 24, fourth)
    return 0


def object_check(m, handle, process):
    """Return OK if a handle names an object of this process, whatever word it is, else why not."""
    if handle & (OBJECT_BYTES - 1) != 0:
        return E_BAD_HANDLE
    page = (handle - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_KERNEL_FIRST)) or (page >= ld64(m, G_RECORD_FIRST)):
        return E_BAD_HANDLE
    if ld32(m, PAGE_TAGS + page * 4) != TAG_KERNEL_OBJECTS:
        return E_BAD_HANDLE
    magic = ld64(m, handle + O_MAGIC)
    if (magic == 0) or (magic >= RAM_BASE):  # a free record has its list's link there
        return E_BAD_HANDLE
    if ld64(m, handle + O_PROCESS) != process:
        return E_NOT_OWNER
    return OK


def kind_check(m, handle, process, magic):
    """Return OK if a handle names an object of this process and kind, else why not."""
    status = object_check(m, handle, process)
    if status == OK:
        if ld64(m, handle + O_MAGIC) != magic:
            status = E_BAD_HANDLE
    return status


def waitable_check(m, handle, process):
    """Return OK if a handle names an object of this process that can be waited for, else why not."""
    status = object_check(m, handle, process)
    if status == OK:
        magic = ld64(m, handle + O_MAGIC)
        if (magic != MAGIC_AUTO_EVENT) and (magic != MAGIC_MANUAL_EVENT) and (magic != MAGIC_MUTEX) and (magic != MAGIC_INTERRUPT):
            status = E_BAD_HANDLE
    return status


def waits_for(m, thread, handle):
    """Return at which place an object stands among those a thread waits for, NONE if it is not there."""
    index = 0
    while index < WAIT_MOST:
        if ld64(m, thread + T_SELECTED + index * 8) == handle:
            return index
        index += 1
    return NONE


def object_waited(m, handle, process):
    """Return whether a thread waits for an object."""
    thread = ld64(m, process + P_WAIT_FIRST)
    while thread != 0:
        if waits_for(m, thread, handle) != NONE:
            return 1
        thread = ld64(m, thread + T_NEXT)
    return 0


def object_forget(m, handle, process):
    """Take an object off its process's list and give its record back."""
    at = ld64(m, process + P_OBJECTS)
    if at == handle:
        st64(m, process + P_OBJECTS, ld64(m, handle + O_NEXT))
    else:
        while ld64(m, at + O_NEXT) != handle:
            at = ld64(m, at + O_NEXT)
        st64(m, at + O_NEXT, ld64(m, handle + O_NEXT))
    record_free(m, G_FREE_OBJECTS, handle)
    return 0


# ---- waiting -----------------------------------------------------------------------------------------------------


def object_take(m, handle, thread):
    """Return whether an object lets a thread go on, and let it: what it takes for that it has taken."""
    magic = ld64(m, handle + O_MAGIC)
    state = ld64(m, handle + O_STATE)
    if magic == MAGIC_MUTEX:
        if (state != 0) and (state != thread):
            return 0
        st64(m, handle + O_STATE, thread)
        st64(m, handle + O_COUNT, ld64(m, handle + O_COUNT) + 1)
        return 1
    if state == 0:
        return 0
    if magic != MAGIC_MANUAL_EVENT:
        st64(m, handle + O_STATE, 0)
    return 1


def waiter_put(m, process, thread):
    """Put a thread behind those of its process that wait for objects."""
    st64(m, thread + T_NEXT, 0)
    last = ld64(m, process + P_WAIT_LAST)
    if last == 0:
        st64(m, process + P_WAIT_FIRST, thread)
    else:
        st64(m, last + T_NEXT, thread)
    st64(m, process + P_WAIT_LAST, thread)
    return 0


def waiter_leave(m, process, thread):
    """Take a thread out of those of its process that wait for objects."""
    before = 0
    at = ld64(m, process + P_WAIT_FIRST)
    while at != 0:
        following = ld64(m, at + T_NEXT)
        if at == thread:
            if before == 0:
                st64(m, process + P_WAIT_FIRST, following)
            else:
                st64(m, before + T_NEXT, following)
            if following == 0:
                st64(m, process + P_WAIT_LAST, before)
            return 0
        before = at
        at = following
    return 0


def ends_forget(m, thread):
    """A thread that waits for objects and messages waits at no endpoint or set any more."""
    index = 0
    while index < WAIT_MOST:
        record = ld64(m, thread + T_SELECTED + index * 8)
        if record != 0:
            magic = ld64(m, record)
            if (magic == MAGIC_ENDPOINT) or (magic == MAGIC_SET):
                st64(m, record + E_WAITER, 0)
        index += 1
    return 0


def waiter_wake(m, process, thread, status, index):
    """Let a thread go on that waited for objects, or for messages too."""
    waiter_leave(m, process, thread)
    if ld64(m, thread + T_SELECTS) == WAIT_EITHER:
        ends_forget(m, thread)
    if ld64(m, thread + T_WAKE) != NEVER:
        sleeper_forget(m, thread)
    st64(m, thread + T_SELECTS, WAIT_ONE)
    st64(m, thread + T_A0, status)
    st64(m, thread + T_A0 + 8, index)
    thread_wake(m, thread, 0)
    return 0


def object_ready(m, handle, process):
    """An object may let somebody go on: those who have waited longest first, as many as it lets."""
    thread = ld64(m, process + P_WAIT_FIRST)
    while thread != 0:
        following = ld64(m, thread + T_NEXT)
        index = waits_for(m, thread, handle)
        if index != NONE:
            if object_take(m, handle, thread) == 0:
                return 0
            waiter_wake(m, process, thread, OK, index)
        thread = following
    return 0


def mutex_release(m, handle, process, thread):
    """Let go of a mutex once; returns OK, or that the thread does not have it."""
    if ld64(m, handle + O_STATE) != thread:
        return E_NOT_OWNER
    count = ld64(m, handle + O_COUNT) - 1
    st64(m, handle + O_COUNT, count)
    if count == 0:
        st64(m, handle + O_STATE, 0)
        object_ready(m, handle, process)
    return OK


def mutexes_drop(m, process, thread):
    """Let go of every mutex that a thread has which ends."""
    handle = ld64(m, process + P_OBJECTS)
    while handle != 0:
        if ld64(m, handle + O_MAGIC) == MAGIC_MUTEX:
            if ld64(m, handle + O_STATE) == thread:
                st64(m, handle + O_COUNT, 0)
                st64(m, handle + O_STATE, 0)
                object_ready(m, handle, process)
        handle = ld64(m, handle + O_NEXT)
    return 0
