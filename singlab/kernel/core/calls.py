"""The kernel's side of the ABI: one function for each entry of the table in :mod:`singlab.kernel.abi`.

Each takes its arguments as words and trusts none of them; each returns the word that goes into a0.
A call that may suspend its thread leaves the thread to run next in G_CURRENT.
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.channels import endpoint_close, message_send
from singlab.kernel.core.domains import process_pages_alloc
from singlab.kernel.core.endpoints import channel_create, endpoint_check, record_check
from singlab.kernel.core.heap import block_alloc, block_check, block_free
from singlab.kernel.core.memory import words_zero
from singlab.kernel.core.processes import process_exit, process_fault
from singlab.kernel.core.scheduler import queue_put, schedule
from singlab.kernel.core.sets import set_add, set_close, set_new, set_take, set_waited
from singlab.kernel.core.threads import thread_create, thread_deliver, thread_exit, thread_find, thread_forget
from singlab.kernel.core.waiting import closed_deliver, heads_of, message_deliver, waiter_set
from singlab.kernel.core.words import emit, ld32, ld64, st64
from singlab.kernel.layout import (
    BLOCKED,
    E_CLOSED,
    E_COUNT,
    E_PEER,
    E_WAITER,
    ENDED,
    G_CURRENT,
    G_HERTZ,
    G_PAGES,
    G_PREEMPTED_HEAD,
    G_PRINT_ADDRESS,
    G_PRINT_BYTES,
    G_USER_FIRST,
    G_WINDOW,
    MAGIC_SET,
    OWNER_SHIFT,
    P_CODE,
    P_CODE_BYTES,
    P_CONTRACT_COUNT,
    P_CONTRACTS,
    P_FAULT_PC,
    P_ID,
    P_THREADS,
    PAGE,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAM_BASE,
    READY,
    SELECT_MOST,
    T_A0,
    T_ID,
    T_JOINER,
    T_JOINS,
    T_PROCESS,
    T_SELECTED,
    T_STATE,
    T_WAITS,
    TAG_HEAP,
)

THREAD_BLOCK = 9
THREAD_YIELD = 12
PRINT = 25
MARK = 26
REFUSED = 28

OK = 0
E_NOT_OWNER = 2
E_BAD_ARGUMENT = 5
NO_MESSAGE = 0xFFFE
NO_ENDPOINTS = 0xFFFD_FFFD_FFFD_FFFD
LARGEST_BLOCK = 16 * 1024 * 1024
MOST_PAGES = 4097  # an array of the largest size, and its header
ILLEGAL_INSTRUCTION = 7
ACCESS_OUTSIDE = 8
BAD_ABI_CALL = 10
CAUSE_ILLEGAL = 2
CAUSE_ECALL = 8
ABI_SEND = ABI_NUMBER["send"]
ABI_RECEIVE = ABI_NUMBER["receive"]
ABI_CLOSE = ABI_NUMBER["close"]
ABI_FREE = ABI_NUMBER["free"]
ABI_PRINT_TEXT = ABI_NUMBER["print_text"]
ABI_CREATE_THREAD = ABI_NUMBER["create_thread"]
ABI_JOIN_THREAD = ABI_NUMBER["join_thread"]
ABI_NEW_CHANNEL = ABI_NUMBER["new_channel"]
ABI_SELECT = ABI_NUMBER["select"]
ABI_SET_ADD = ABI_NUMBER["set_add"]
ABI_SET_TAKE = ABI_NUMBER["set_take"]
ABI_SET_SIZE = ABI_NUMBER["set_size"]


def abi_exit(m, value):
    """End the calling process."""
    thread = ld64(m, G_CURRENT)
    number = ld64(m, thread + T_ID)
    process_exit(m, ld64(m, thread + T_PROCESS), value)
    schedule(m, number)
    return 0


def abi_yield(m):
    """Let the next ready thread run; the caller goes to the end of the preempted queue."""
    thread = ld64(m, G_CURRENT)
    number = ld64(m, thread + T_ID)
    emit(m, THREAD_YIELD, number, 0)
    st64(m, thread + T_STATE, READY)
    queue_put(m, G_PREEMPTED_HEAD, thread)
    schedule(m, number)
    return 0


def abi_send(m, endpoint, message, word0, word1, word2, word3):
    """Send a message on an endpoint of the calling process."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = message_send(m, process, endpoint, message, word0, word1, word2, word3)
    if status != OK:
        emit(m, REFUSED, ABI_SEND, status)
    return status


def abi_receive(m, endpoint):
    """Take the next message into the caller's result registers, or block until there is one."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    status = endpoint_check(m, endpoint, process)
    if status == OK:
        if ld64(m, endpoint + E_WAITER) != 0:  # an endpoint belongs to one thread
            status = E_NOT_OWNER
    if status != OK:
        emit(m, REFUSED, ABI_RECEIVE, status)
        st64(m, thread + T_A0, NO_MESSAGE)
        return 0
    if ld64(m, endpoint + E_COUNT) != 0:
        message_deliver(m, endpoint, thread)
        return 0
    if ld64(m, ld64(m, endpoint + E_PEER) + E_CLOSED) != 0:
        closed_deliver(m, endpoint, thread)
        return 0
    number = ld64(m, thread + T_ID)
    st64(m, endpoint + E_WAITER, thread)
    st64(m, thread + T_WAITS, endpoint)
    st64(m, thread + T_STATE, BLOCKED)
    emit(m, THREAD_BLOCK, number, endpoint)
    schedule(m, number)
    return 0


def abi_close(m, endpoint):
    """Close an endpoint of the calling process, or a set with all its members."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    if record_check(m, endpoint, process, MAGIC_SET) == OK:
        if set_waited(m, endpoint) != 0:  # another thread of this process waits there
            emit(m, REFUSED, ABI_CLOSE, E_NOT_OWNER)
            return E_NOT_OWNER
        set_close(m, endpoint, process)
        return OK
    status = endpoint_check(m, endpoint, process)
    if status == OK:
        if ld64(m, endpoint + E_WAITER) != 0:  # another thread of this process waits on it
            status = E_NOT_OWNER
    if status != OK:
        emit(m, REFUSED, ABI_CLOSE, status)
        return status
    endpoint_close(m, endpoint, process)
    return OK


def abi_allocate(m, size):
    """Return a new exchange-heap block of the calling process, or 0."""
    if size > LARGEST_BLOCK:
        return 0
    return block_alloc(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), size)


def abi_free(m, block):
    """Free a block of the calling process."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = block_check(m, block, process)
    if status != OK:
        emit(m, REFUSED, ABI_FREE, status)
        return status
    block_free(m, block, process)
    return OK


def abi_allocate_pages(m, count):
    """Return zeroed pages in a row for objects of the calling process, or 0."""
    if (count == 0) or (count > MOST_PAGES):
        return 0
    address = process_pages_alloc(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), count, TAG_HEAP)
    if address == 0:
        return 0
    at = address + ld64(m, G_WINDOW)
    words_zero(m, at, at + count * PAGE)
    return address


def heap_holds(m, process, address, size):
    """Return whether bytes lie in pages of a process's own objects, whatever words they are given by."""
    if (address < RAM_BASE) or (size > LARGEST_BLOCK):
        return 0
    page = (address - RAM_BASE) >> PAGE_SHIFT
    last = (address + size - 1 - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_USER_FIRST)) or (page >= ld64(m, G_PAGES)) or (last >= ld64(m, G_PAGES)):
        return 0
    tag = ld64(m, process + P_ID) << OWNER_SHIFT | TAG_HEAP
    while page <= last:
        if ld32(m, PAGE_TAGS + page * 4) != tag:
            return 0
        page += 1
    return 1


def abi_print_text(m, address, size):
    """Print text that lies inside the caller's own image or heap."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    start = ld64(m, process + P_CODE)
    whole = ld64(m, process + P_CODE_BYTES)
    if (address < start) or (size > whole) or (address - start > whole - size):
        if (size == 0) or (heap_holds(m, process, address, size) == 0):
            emit(m, REFUSED, ABI_PRINT_TEXT, E_BAD_ARGUMENT)
            return E_BAD_ARGUMENT
    st64(m, G_PRINT_ADDRESS, address)
    st64(m, G_PRINT_BYTES, size)
    emit(m, PRINT, address, size)
    return OK


def abi_print_int(m, value, signed):
    """Print a number."""
    st64(m, G_PRINT_ADDRESS, value)
    st64(m, G_PRINT_BYTES, 1 << 63 | signed & 1)
    emit(m, PRINT, value, 1 << 63 | signed & 1)
    return OK


def abi_mark(m, value):
    """Put a mark into the trace."""
    emit(m, MARK, value, 0)
    return OK


def abi_fault(m, code, line):
    """End the calling process because a run-time check failed."""
    thread = ld64(m, G_CURRENT)
    number = ld64(m, thread + T_ID)
    code = code & 0xFFFF
    if code == 0:  # there is no fault without a code
        code = BAD_ABI_CALL
    process_fault(m, ld64(m, thread + T_PROCESS), code, line & 0xFFFFFFFF)
    schedule(m, number)
    return 0


def abi_get_process_id(m):
    """Return the number of the calling process."""
    return ld64(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS) + P_ID)


def abi_get_cycles_per_second(m):
    """Return the clock rate of the machine."""
    return ld64(m, G_HERTZ)


def abi_create_thread(m, entry, stack, word0, word1, word2, word3):
    """Start another thread of the calling process; returns its number, or 0."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    thread = thread_create(m, process, entry, stack, word0, word1, word2, word3)
    if thread == 0:
        emit(m, REFUSED, ABI_CREATE_THREAD, E_BAD_ARGUMENT)
        return 0
    return ld64(m, thread + T_ID)


def abi_exit_thread(m, value):
    """End the calling thread."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    number = ld64(m, thread + T_ID)
    if ld64(m, process + P_THREADS) == thread:
        process_exit(m, process, value)
    else:
        thread_exit(m, process, thread, value)
    schedule(m, number)
    return 0


def abi_join_thread(m, number):
    """Take the value of another thread of the calling process, or block until it has ended."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    other = thread_find(m, process, number)
    refused = 1
    if other != 0:
        if (other != thread) and (ld64(m, other + T_JOINER) == 0):
            refused = 0
    if refused != 0:
        emit(m, REFUSED, ABI_JOIN_THREAD, E_BAD_ARGUMENT)
        st64(m, thread + T_A0, E_BAD_ARGUMENT)
        return 0
    if ld64(m, other + T_STATE) == ENDED:
        thread_deliver(m, other, thread)
        thread_forget(m, process, other)
        return 0
    own = ld64(m, thread + T_ID)
    st64(m, other + T_JOINER, thread)
    st64(m, thread + T_JOINS, other)
    st64(m, thread + T_WAITS, 0)
    st64(m, thread + T_STATE, BLOCKED)
    emit(m, THREAD_BLOCK, own, 0)
    schedule(m, own)
    return 0


def abi_new_channel(m, number):
    """Put both ends of a new channel into the caller's result registers; the contract is one of its image's, by number."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    imp = 0
    exp = 0
    if number < ld64(m, process + P_CONTRACT_COUNT):
        imp = channel_create(m, ld64(m, ld64(m, process + P_CONTRACTS) + number * 8), process, process)
        if imp != 0:
            exp = ld64(m, imp + E_PEER)
    else:
        emit(m, REFUSED, ABI_NEW_CHANNEL, E_BAD_ARGUMENT)
    st64(m, thread + T_A0, imp)
    st64(m, thread + T_A0 + 8, exp)
    return 0


def abi_select(m, seen, record0, record1, record2, record3):
    """Put what waits at up to four endpoints or sets into the caller's a0, or block while it is what the caller has seen."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    st64(m, thread + T_SELECTED, record0)
    st64(m, thread + T_SELECTED + 8, record1)
    st64(m, thread + T_SELECTED + 16, record2)
    st64(m, thread + T_SELECTED + 24, record3)
    index = 0
    while index < SELECT_MOST:
        record = ld64(m, thread + T_SELECTED + index * 8)
        if record != 0:
            status = endpoint_check(m, record, process)
            if status != OK:
                status = record_check(m, record, process, MAGIC_SET)
            if status == OK:
                if ld64(m, record + E_WAITER) != 0:
                    status = E_BAD_ARGUMENT
            if status != OK:
                emit(m, REFUSED, ABI_SELECT, status)
                st64(m, thread + T_A0, NO_ENDPOINTS)
                return 0
        index += 1
    heads = heads_of(m, thread)
    st64(m, thread + T_A0, heads)
    if heads != seen:
        return 0
    # where something waits already nothing new can be seen
    first = waiter_set(m, thread)
    if first == 0:
        return 0
    number = ld64(m, thread + T_ID)
    st64(m, thread + T_STATE, BLOCKED)
    emit(m, THREAD_BLOCK, number, first)
    schedule(m, number)
    return 0


def abi_new_set(m):
    """Return a new empty set of endpoints, or 0."""
    return set_new(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS))


def abi_set_add(m, ends, endpoint):
    """Put an endpoint into a set, both the caller's."""
    status = set_add(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), ends, endpoint)
    if status != OK:
        emit(m, REFUSED, ABI_SET_ADD, status)
    return status


def abi_set_take(m, ends):
    """Take a member at which something waits out of a set and return it, or 0."""
    member = set_take(m, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), ends)
    if member == 0:
        emit(m, REFUSED, ABI_SET_TAKE, E_BAD_ARGUMENT)
    return member


def abi_set_size(m, ends):
    """Return how many members a set has; 0 for what is no set of the caller's."""
    status = record_check(m, ends, ld64(m, ld64(m, G_CURRENT) + T_PROCESS), MAGIC_SET)
    if status != OK:
        emit(m, REFUSED, ABI_SET_SIZE, status)
        return 0
    return ld64(m, ends + E_COUNT)


def trap_fault(m, cause, address):
    """A trap that no ABI call explains: end the process that caused it, remembering where."""
    thread = ld64(m, G_CURRENT)
    number = ld64(m, thread + T_ID)
    process = ld64(m, thread + T_PROCESS)
    code = ACCESS_OUTSIDE
    if cause == CAUSE_ILLEGAL:
        code = ILLEGAL_INSTRUCTION
    elif cause == CAUSE_ECALL:
        code = BAD_ABI_CALL
    st64(m, process + P_FAULT_PC, address)
    process_fault(m, process, code, 0)
    schedule(m, number)
    return 0
