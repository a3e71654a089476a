"""Endpoints: records in pairs, owned by one process each, in a state of their contract.

An endpoint is a record in the kernel zone on its owner's list. It can change owner inside a message; from the
send on it belongs to the receiver, and nobody can use it until the receiver takes the message.
"""

from singlab.kernel.core.policies import policy_fault
from singlab.kernel.core.records import record_free, record_new
from singlab.kernel.core.words import emit, ld32, ld64, policy_admit, policy_trouble, st64
from singlab.kernel.layout import (
    ADMIT,
    E_CHANNEL,
    E_MAGIC,
    E_NEXT,
    E_OWNER,
    E_PEER,
    E_PREVIOUS,
    E_PROCESS,
    E_SIDE,
    E_SLOTS,
    E_TABLE,
    E_TRAVELS,
    ENDPOINT_BYTES,
    G_FREE_ENDPOINTS,
    G_KERNEL_FIRST,
    G_NEXT_CHANNEL,
    G_POLICIES,
    G_RECORD_FIRST,
    MAGIC_ENDPOINT,
    P_ENDPOINTS,
    P_ID,
    PAGE_SHIFT,
    PAGE_TAGS,
    RAISED,
    RAM_BASE,
    TAG_KERNEL_SYSTEM,
    ZONE_KERNEL,
)

CHANNEL_CREATE = 14
CHANNEL_CONTRACT = 31
ENDPOINT_OWNER = 32
OK = 0
E_BAD_HANDLE = 1
E_NOT_OWNER = 2


def endpoint_link(m, endpoint, process):
    """Put an endpoint on its owner's list."""
    first = ld64(m, process + P_ENDPOINTS)
    st64(m, endpoint + E_NEXT, first)
    st64(m, endpoint + E_PREVIOUS, 0)
    if first != 0:
        st64(m, first + E_PREVIOUS, endpoint)
    st64(m, process + P_ENDPOINTS, endpoint)
    return 0


def endpoint_unlink(m, endpoint, process):
    """Take an endpoint off its owner's list."""
    following = ld64(m, endpoint + E_NEXT)
    previous = ld64(m, endpoint + E_PREVIOUS)
    if previous != 0:
        st64(m, previous + E_NEXT, following)
    else:
        st64(m, process + P_ENDPOINTS, following)
    if following != 0:
        st64(m, following + E_PREVIOUS, previous)
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


def channel_admit(m, table, importer, exporter):
    """Return whether the policy lets two processes be connected; without one everybody is."""
    if ld64(m, G_POLICIES) & (1 << ADMIT) == 0:
        return 1
    admits = policy_admit(m, table, ld64(m, importer + P_ID), ld64(m, exporter + P_ID))
    trouble = policy_trouble(m)
    if trouble != 0:
        policy_fault(m, ADMIT, RAISED, trouble)
        return 0  # who cannot say that two may talk has not said so
    return admits != 0


def channel_create(m, table, imp_process, exp_process):
    """Return the Imp end of a new channel between two processes (its peer is the Exp end), or 0."""
    channel = ld64(m, G_NEXT_CHANNEL)
    imp = endpoint_new(m, imp_process, 0, channel, table)
    if imp == 0:
        return 0
    exp = endpoint_new(m, exp_process, 1, channel, table)
    if exp == 0:
        endpoint_unlink(m, imp, imp_process)
        record_free(m, G_FREE_ENDPOINTS, imp)
        return 0
    st64(m, imp + E_PEER, exp)
    st64(m, exp + E_PEER, imp)
    st64(m, G_NEXT_CHANNEL, channel + 1)
    emit(m, CHANNEL_CREATE, channel, ld64(m, imp_process + P_ID) | ld64(m, exp_process + P_ID) << 32)
    emit(m, CHANNEL_CONTRACT, channel, table)
    return imp


def record_check(m, handle, process, magic):
    """Return OK if a handle names a record of endpoints' size of this process and kind, whatever word it is, else why not."""
    if handle & (ENDPOINT_BYTES - 1) != 0:
        return E_BAD_HANDLE
    page = (handle - RAM_BASE) >> PAGE_SHIFT
    if (page < ld64(m, G_KERNEL_FIRST)) or (page >= ld64(m, G_RECORD_FIRST)):
        return E_BAD_HANDLE
    if ld32(m, PAGE_TAGS + page * 4) != TAG_KERNEL_SYSTEM:
        return E_BAD_HANDLE
    if ld64(m, handle + E_MAGIC) != magic:
        return E_BAD_HANDLE
    if ld64(m, handle + E_PROCESS) != process:
        return E_NOT_OWNER
    return OK


def endpoint_check(m, handle, process):
    """Return OK if a handle names an open endpoint that this process can use, else why not."""
    status = record_check(m, handle, process, MAGIC_ENDPOINT)
    if status != OK:
        return status
    if ld64(m, handle + E_TRAVELS) != 0:
        return E_NOT_OWNER
    return OK


def endpoint_give(m, endpoint, giver, taker):
    """Change the owner of an endpoint that a message carries; it is usable once the message is taken."""
    endpoint_unlink(m, endpoint, giver)
    owner = ld64(m, taker + P_ID)
    emit(m, ENDPOINT_OWNER, ld64(m, endpoint + E_CHANNEL) | ld64(m, endpoint + E_SIDE) << 56, owner | ld64(m, endpoint + E_OWNER) << 32)
    st64(m, endpoint + E_OWNER, owner)
    st64(m, endpoint + E_PROCESS, taker)
    st64(m, endpoint + E_TRAVELS, 1)
    endpoint_link(m, endpoint, taker)
    return 0


def contract_step(m, table, state, message):
    """Return the state a message leads to, or NO_STATE if the contract forbids it there."""
    header = ld64(m, table)
    messages = header >> 16 & 0xFFFF
    return ld64(m, table + (1 + messages + state * messages + message) * 8)


def contract_carried(m, table, about):
    """Return where a contract's table says which endpoints a message carries; ``about`` is the message's word."""
    header = ld64(m, table)
    messages = header >> 16 & 0xFFFF
    return table + (1 + messages + (header & 0xFFFF) * messages + (about >> 32) * 2) * 8
