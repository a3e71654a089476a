"""Synchronisation and hardware, the kernel's side of the ABI: events, mutexes, waiting, time, device registers, interrupts.

A function that may wait is given the time it was called at, which the entry code reads from the cycle counter.
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.hardware import (
    interrupt_acknowledge,
    interrupt_open,
    io_memory_open,
    lines_count,
    object_close,
    ranges_count,
)
from singlab.kernel.core.objects import (
    kind_check,
    mutex_release,
    object_new,
    object_ready,
    object_take,
    object_waited,
    selected_put,
    waitable_check,
    waiter_put,
)
from singlab.kernel.core.scheduler import schedule
from singlab.kernel.core.threads import thread_find
from singlab.kernel.core.timers import sleeper_put
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    BLOCKED,
    G_CURRENT,
    MAGIC_AUTO_EVENT,
    MAGIC_MANUAL_EVENT,
    MAGIC_MUTEX,
    NEVER,
    O_COUNT,
    O_STATE,
    T_A0,
    T_ID,
    T_PROCESS,
    T_SELECTED,
    T_SELECTS,
    T_STATE,
    T_WAITS,
    T_WAKE,
    WAIT_MOST,
    WAIT_OBJECTS,
    WAIT_TIME,
)

THREAD_BLOCK = 9
REFUSED = 28
OBJECT_NEW = 52
OBJECT_SIGNAL = 53
OK = 0
E_NOT_OWNER = 2
E_BAD_ARGUMENT = 5
TIMED_OUT = 7
NO_INDEX = 0xFFFF
ABI_CREATE_EVENT = ABI_NUMBER["create_event"]
ABI_CREATE_MUTEX = ABI_NUMBER["create_mutex"]
ABI_SET_EVENT = ABI_NUMBER["set_event"]
ABI_RESET_EVENT = ABI_NUMBER["reset_event"]
ABI_RELEASE_MUTEX = ABI_NUMBER["release_mutex"]
ABI_CLOSE_HANDLE = ABI_NUMBER["close_handle"]
ABI_WAIT_ONE = ABI_NUMBER["wait_one"]
ABI_WAIT_ANY = ABI_NUMBER["wait_any"]
ABI_GET_IO_MEMORY = ABI_NUMBER["get_io_memory"]
ABI_OPEN_INTERRUPT = ABI_NUMBER["open_interrupt"]
ABI_ACK_INTERRUPT = ABI_NUMBER["ack_interrupt"]


def abi_create_event(m, manual, signalled):
    """Return a handle of a new event of the calling process, or 0."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    magic = MAGIC_AUTO_EVENT
    if manual != 0:
        magic = MAGIC_MANUAL_EVENT
    event = object_new(m, process, magic)
    if event == 0:
        emit(m, REFUSED, ABI_CREATE_EVENT, E_BAD_ARGUMENT)
        return 0
    if signalled != 0:
        st64(m, event + O_STATE, 1)
    emit(m, OBJECT_NEW, event, magic)
    return event


def abi_create_mutex(m, owned):
    """Return a handle of a new mutex of the calling process, which the calling thread has if it says so; or 0."""
    thread = ld64(m, G_CURRENT)
    mutex = object_new(m, ld64(m, thread + T_PROCESS), MAGIC_MUTEX)
    if mutex == 0:
        emit(m, REFUSED, ABI_CREATE_MUTEX, E_BAD_ARGUMENT)
        return 0
    if owned != 0:
        st64(m, mutex + O_STATE, thread)
        st64(m, mutex + O_COUNT, 1)
    emit(m, OBJECT_NEW, mutex, MAGIC_MUTEX)
    return mutex


def event_check(m, handle, process):
    """Return OK if a handle names an event of this process, else why not."""
    status = kind_check(m, handle, process, MAGIC_AUTO_EVENT)
    if status != OK:
        status = kind_check(m, handle, process, MAGIC_MANUAL_EVENT)
    return status


def abi_set_event(m, handle):
    """Set an event: one thread that waits for it goes on, or all if it does not reset itself."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = event_check(m, handle, process)
    if status != OK:
        emit(m, REFUSED, ABI_SET_EVENT, status)
        return status
    emit(m, OBJECT_SIGNAL, handle, 1)
    st64(m, handle + O_STATE, 1)
    object_ready(m, handle, process)
    return OK


def abi_reset_event(m, handle):
    """Reset an event: whoever waits for it from now on waits."""
    status = event_check(m, handle, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))
    if status != OK:
        emit(m, REFUSED, ABI_RESET_EVENT, status)
        return status
    emit(m, OBJECT_SIGNAL, handle, 0)
    st64(m, handle + O_STATE, 0)
    return OK


def abi_release_mutex(m, handle):
    """Let go of a mutex that the calling thread has."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    status = kind_check(m, handle, process, MAGIC_MUTEX)
    if status == OK:
        status = mutex_release(m, handle, process, thread)
    if status != OK:
        emit(m, REFUSED, ABI_RELEASE_MUTEX, status)
    return status


def abi_close_handle(m, handle):
    """Give back an event, a mutex or an interrupt for which nobody waits."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = waitable_check(m, handle, process)
    if status == OK:
        if object_waited(m, handle, process) != 0:
            status = E_NOT_OWNER
    if status != OK:
        emit(m, REFUSED, ABI_CLOSE_HANDLE, status)
        return status
    object_close(m, process, handle)
    return OK


# ---- waiting -------------------------------------------------------------------------------------------------------


def objects_wait(m, thread, until, now):
    """Let a thread wait for the objects among T_SELECTED, which are its process's; what there is at once it takes."""
    process = ld64(m, thread + T_PROCESS)
    index = 0
    while index < WAIT_MOST:
        handle = ld64(m, thread + T_SELECTED + index * 8)
        if handle != 0:
            if object_take(m, handle, thread) != 0:
                st64(m, thread + T_A0, OK)
                st64(m, thread + T_A0 + 8, index)
                return 0
        index += 1
    st64(m, thread + T_A0 + 8, NO_INDEX)
    if until <= now:
        st64(m, thread + T_A0, TIMED_OUT)
        return 0
    st64(m, thread + T_WAITS, 0)
    st64(m, thread + T_SELECTS, WAIT_OBJECTS)
    st64(m, thread + T_STATE, BLOCKED)
    waiter_put(m, process, thread)
    st64(m, thread + T_WAKE, until)
    if until != NEVER:
        sleeper_put(m, thread, until)
    number = ld64(m, thread + T_ID)
    emit(m, THREAD_BLOCK, number, 0)
    schedule(m, number)
    return 0


def abi_wait_one(m, handle, until, now):
    """Wait for an object of the calling process until a time."""
    thread = ld64(m, G_CURRENT)
    status = waitable_check(m, handle, ld64(m, thread + T_PROCESS))
    if status != OK:
        emit(m, REFUSED, ABI_WAIT_ONE, status)
        st64(m, thread + T_A0, status)
        return 0
    selected_put(m, thread, handle, 0, 0, 0)
    objects_wait(m, thread, until, now)
    return 0


def abi_wait_any(m, until, handle0, handle1, handle2, handle3, now):
    """Wait for the first of up to four objects of the calling process until a time."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    selected_put(m, thread, handle0, handle1, handle2, handle3)
    status = E_BAD_ARGUMENT
    index = 0
    while index < WAIT_MOST:
        handle = ld64(m, thread + T_SELECTED + index * 8)
        if handle != 0:
            status = waitable_check(m, handle, process)
            if status != OK:
                break
        index += 1
    if status != OK:
        emit(m, REFUSED, ABI_WAIT_ANY, status)
        st64(m, thread + T_A0, status)
        st64(m, thread + T_A0 + 8, NO_INDEX)
        return 0
    objects_wait(m, thread, until, now)
    return 0


def abi_sleep_until(m, until, now):
    """Let the calling thread go on at a time, or at once if that is past."""
    thread = ld64(m, G_CURRENT)
    st64(m, thread + T_A0, OK)
    if until <= now:
        return 0
    number = ld64(m, thread + T_ID)
    st64(m, thread + T_WAITS, 0)
    st64(m, thread + T_SELECTS, WAIT_TIME)
    st64(m, thread + T_STATE, BLOCKED)
    sleeper_put(m, thread, until)
    emit(m, THREAD_BLOCK, number, 0)
    schedule(m, number)
    return 0


def abi_get_thread_id(m):
    """Return the number of the calling thread."""
    return ld64(m, ld64(m, G_CURRENT) + T_ID)


def abi_get_thread_state(m, number):
    """Return what another thread of the calling process does, 0 = there is none of this number."""
    thread = thread_find(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), number)
    if thread == 0:
        return 0
    return ld64(m, thread + T_STATE)


# ---- hardware ------------------------------------------------------------------------------------------------------------


def abi_get_io_memory_count(m):
    """Return how many ranges of device registers the calling process's program declares."""
    return ranges_count(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))


def abi_get_io_memory(m, index):
    """Return the record of a range of device registers that the calling process's program declares, or 0."""
    record = io_memory_open(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), index)
    if record == 0:
        emit(m, REFUSED, ABI_GET_IO_MEMORY, E_BAD_ARGUMENT)
    return record


def abi_get_interrupt_count(m):
    """Return how many interrupt lines the calling process's program declares."""
    return lines_count(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))


def abi_open_interrupt(m, index):
    """Return a handle of an interrupt that the calling process's program declares, or 0."""
    handle = interrupt_open(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), index)
    if handle == 0:
        emit(m, REFUSED, ABI_OPEN_INTERRUPT, E_BAD_ARGUMENT)
    return handle


def abi_ack_interrupt(m, handle):
    """Let an interrupt of the calling process come again."""
    status = interrupt_acknowledge(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), handle)
    if status != OK:
        emit(m, REFUSED, ABI_ACK_INTERRUPT, status)
    return status
