"""Names and principals, the kernel's side of the ABI.

A channel speaks for whoever has its other end (:mod:`singlab.kernel.core.principals`). What a program may provide and whom it may connect to stands in its
manifest; a provider's own rule is a pattern over principals.
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.calls import heap_holds
from singlab.kernel.core.channels import message_send
from singlab.kernel.core.endpoints import channel_admit, endpoint_check, endpoint_give
from singlab.kernel.core.heap import block_alloc
from singlab.kernel.core.memory import bytes_copy
from singlab.kernel.core.names import (
    answers_drop,
    name_bind,
    name_find,
    name_service,
    name_unbind,
    names_forget,
    provider_check,
    same_text,
    service_of,
    text_matches,
)
from singlab.kernel.core.principals import entry_size, entry_text, text_size
from singlab.kernel.core.scheduler import queue_put, schedule
from singlab.kernel.core.service import collector_wake
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.kernelobjects import N_IMP, N_RULE, TX_BYTES
from singlab.kernel.layout import (
    B_DATA,
    BLOCKED,
    E_CLOSED,
    E_COUNT,
    E_PEER,
    E_PROCESS,
    E_SET,
    E_SIDE,
    E_STATE,
    E_TABLE,
    E_TRAVELS,
    E_WAITER,
    G_CONNECTING,
    G_CURRENT,
    G_WINDOW,
    LONGEST_NAME,
    LONGEST_PRINCIPAL,
    P_CODE,
    P_CODE_BYTES,
    P_ID,
    P_PRINCIPAL,
    P_RESOURCES,
    SELECT_MOST,
    T_A0,
    T_ID,
    T_PROCESS,
    T_SELECTED,
    T_SELECTS,
    T_STATE,
    T_WAITS,
    WAIT_ANSWER,
    WAIT_OTHERS,
    WAIT_TURN,
)

THREAD_BLOCK = 9
REFUSED = 28
OK = 0
E_CONTRACT = 3
E_FULL = 4
E_BAD_ARGUMENT = 5
E_NO_NAME = 8
E_DENIED = 9
ABI_REGISTER_NAME = ABI_NUMBER["register_name"]
ABI_CONNECT_NAME = ABI_NUMBER["connect_name"]
ABI_GET_PEER_PRINCIPAL = ABI_NUMBER["get_peer_principal"]
ABI_MATCH_PRINCIPAL = ABI_NUMBER["match_principal"]


# ---- texts ---------------------------------------------------------------------------------------------------------


def text_check(m, process, address, size, most):
    """Return where the kernel finds a text of a process's own image or heap, 0 if it is none or longer than may be."""
    if (size == 0) or (size > most):
        return 0
    start = ld64(m, process + P_CODE)
    whole = ld64(m, process + P_CODE_BYTES)
    if (address < start) or (size > whole) or (address - start > whole - size):
        if heap_holds(m, process, address, size) == 0:
            return 0
    return address + ld64(m, G_WINDOW)


def names_place(m, resources):
    """Return where a declaration has the names that are provided; those that are wanted follow."""
    header = ld64(m, resources)
    return resources + 24 + (header & 0xFFFF) * 16 + (header >> 32) * 8 + (header >> 16 & 0xFFFF) * 8


def provided(m, process, text, size):
    """Return where a process's program declares that it provides a name: two words, the name and the rule; 0 if it does not."""
    resources = ld64(m, process + P_RESOURCES)
    if resources == 0:
        return 0
    place = names_place(m, resources)
    end = place + (ld64(m, resources + 8) & 0xFFFF_FFFF) * 16
    while place < end:
        if entry_size(m, place) == size:
            if same_text(m, entry_text(m, resources, place), text, size) != 0:
                return place
        place += 16
    return 0


def wanted(m, process, text, size):
    """Return whether a process's program declares that it connects to a name, by a pattern."""
    resources = ld64(m, process + P_RESOURCES)
    if resources == 0:
        return 0
    counts = ld64(m, resources + 8)
    place = names_place(m, resources) + (counts & 0xFFFF_FFFF) * 16
    end = place + (counts >> 32) * 8
    while place < end:
        if text_matches(m, text, size, entry_text(m, resources, place), entry_size(m, place)) != 0:
            return 1
        place += 8
    return 0


# ---- principals ------------------------------------------------------------------------------------------------------


def principal_matches(m, process, pattern, length):
    """Return whether a process's principal matches a pattern."""
    principal = ld64(m, process + P_PRINCIPAL)
    return text_matches(m, principal + TX_BYTES, text_size(m, principal), pattern, length)


def principal_block(m, process, other):
    """Return a block of a process with another one's principal, empty if there is none; 0 = memory is exhausted."""
    principal = 0
    if other != 0:
        principal = ld64(m, other + P_PRINCIPAL)
    size = text_size(m, principal)
    block = block_alloc(m, process, size)
    if block != 0:
        bytes_copy(m, principal + TX_BYTES, ld64(m, block + B_DATA) + ld64(m, G_WINDOW), size)
    return block


def peer_process(m, endpoint):
    """Return the process at the other side of an endpoint, 0 if that is closed."""
    peer = ld64(m, endpoint + E_PEER)
    if ld64(m, peer + E_CLOSED) != 0:
        return 0
    return ld64(m, peer + E_PROCESS)


def abi_get_principal(m):
    """Return a block with the calling process's principal, or 0."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    return principal_block(m, process, process)


def abi_get_peer_principal(m, endpoint):
    """Return a block with the principal that the other side of an endpoint speaks for, or 0."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = endpoint_check(m, endpoint, process)
    if status != OK:
        emit(m, REFUSED, ABI_GET_PEER_PRINCIPAL, status)
        return 0
    return principal_block(m, process, peer_process(m, endpoint))


def abi_match_principal(m, endpoint, address, size):
    """Return whether the principal that the other side of an endpoint speaks for matches a pattern."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    status = endpoint_check(m, endpoint, process)
    if status == OK:
        text = text_check(m, process, address, size, LONGEST_PRINCIPAL)
        if text == 0:
            status = E_BAD_ARGUMENT
    if status != OK:
        emit(m, REFUSED, ABI_MATCH_PRINCIPAL, status)
        return 0
    other = peer_process(m, endpoint)
    if other == 0:
        return 0
    return principal_matches(m, other, text, size)


# ---- names ---------------------------------------------------------------------------------------------------------------


def free_check(m, endpoint, process, side):
    """Return OK if an endpoint is this process's, of a side, in its contract's first state, and free to be handed over."""
    status = endpoint_check(m, endpoint, process)
    if status != OK:
        return status
    if (ld64(m, endpoint + E_COUNT) != 0) or (ld64(m, endpoint + E_WAITER) != 0) or (ld64(m, endpoint + E_SET) != 0):
        return E_BAD_ARGUMENT
    if (ld64(m, endpoint + E_SIDE) != side) or (ld64(m, endpoint + E_STATE) != 0):
        return E_CONTRACT
    return OK


def register_status(m, process, endpoint, address, size):
    """Bind a name if that can be; returns OK, or why not."""
    status = free_check(m, endpoint, process, 0)
    if status != OK:
        return status
    if provider_check(m, ld64(m, endpoint + E_TABLE)) == 0:
        return E_CONTRACT
    text = text_check(m, process, address, size, LONGEST_NAME)
    if text == 0:
        return E_BAD_ARGUMENT
    place = provided(m, process, text, size)
    if place == 0:
        return E_DENIED
    names_forget(m)
    if name_find(m, text, size) != 0:
        return E_DENIED
    service = name_service(m)
    if service == 0:
        return E_FULL
    rule = entry_text(m, ld64(m, process + P_RESOURCES), place + 8)
    if name_bind(m, endpoint, text, size, rule, entry_size(m, place + 8), ld64(m, process + P_ID)) == 0:
        return E_FULL
    endpoint_give(m, endpoint, process, service)
    st64(m, endpoint + E_TRAVELS, 0)
    return OK


def abi_register_name(m, endpoint, address, size):
    """Provide a name of the calling process's manifest."""
    thread = ld64(m, G_CURRENT)
    status = register_status(m, ld64(m, thread + T_PROCESS), endpoint, address, size)
    if status != OK:
        emit(m, REFUSED, ABI_REGISTER_NAME, status)
    else:
        endpoint = 0
    collector_wake(m)
    st64(m, thread + T_A0, status)
    st64(m, thread + T_A0 + 8, endpoint)
    return 0


def connect_status(m, process, endpoint, name):
    """Return OK if a process may connect to a name with an endpoint, else why not."""
    if name == 0:
        return E_NO_NAME
    imp = ld64(m, name + N_IMP)
    if ld64(m, ld64(m, imp + E_PEER) + E_CLOSED) != 0:
        name_unbind(m, name)
        return E_NO_NAME
    rule = ld64(m, name + N_RULE)
    if principal_matches(m, process, rule + TX_BYTES, text_size(m, rule)) == 0:
        return E_DENIED
    about = service_of(m, imp)
    if (ld64(m, endpoint + E_TABLE) != ld64(m, about + 8)) or (ld64(m, about) >> 16 != 0):
        return E_CONTRACT
    # who asks keeps the Imp of the channel, and the provider is to have the Exp
    if channel_admit(m, ld64(m, endpoint + E_TABLE), process, ld64(m, ld64(m, imp + E_PEER) + E_PROCESS)) == 0:
        return E_DENIED
    return OK


def abi_connect_name(m, endpoint, address, size):
    """Hand an endpoint of the calling process to who provides a name, and wait for the answer."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    number = ld64(m, thread + T_ID)
    status = free_check(m, endpoint, process, 1)
    name = 0
    if status == OK:
        text = text_check(m, process, address, size, LONGEST_NAME)
        if text == 0:
            status = E_BAD_ARGUMENT
        elif wanted(m, process, text, size) == 0:
            status = E_DENIED
        else:
            name = name_find(m, text, size)
            status = connect_status(m, process, endpoint, name)
    st64(m, thread + T_A0 + 8, endpoint)
    if status != OK:
        emit(m, REFUSED, ABI_CONNECT_NAME, status)
        st64(m, thread + T_A0, status)
        return 0
    imp = ld64(m, name + N_IMP)
    answers_drop(m, imp)
    index = 0
    while index < SELECT_MOST:
        st64(m, thread + T_SELECTED + index * 8, 0)
        index += 1
    service = ld64(m, imp + E_PROCESS)
    waits = WAIT_ANSWER
    if ld64(m, imp + E_WAITER) != 0:  # another connection is under way
        st64(m, thread + T_WAITS, 0)
        st64(m, thread + T_SELECTS, WAIT_TURN)
        st64(m, thread + T_STATE, BLOCKED)
        queue_put(m, G_CONNECTING, thread)
        emit(m, THREAD_BLOCK, number, 0)
        schedule(m, number)
        return 0
    if ld64(m, imp + E_STATE) != 0:  # and who asked for it is gone
        waits = WAIT_OTHERS
    else:
        endpoint_give(m, endpoint, process, service)
        st64(m, endpoint + E_TRAVELS, 0)
        status = message_send(m, service, imp, 0, endpoint, 0, 0, 0)
        if status != OK:
            endpoint_give(m, endpoint, service, process)
            st64(m, endpoint + E_TRAVELS, 0)
            st64(m, thread + T_A0, status)
            return 0
    st64(m, imp + E_WAITER, thread)
    st64(m, thread + T_WAITS, imp)
    st64(m, thread + T_SELECTS, waits)
    st64(m, thread + T_STATE, BLOCKED)
    emit(m, THREAD_BLOCK, number, imp)
    schedule(m, number)
    return 0
