"""Names: what processes provide under a name, and how another one is connected with it.

The name service is the kernel's, as the real system's directory is. Who provides a name makes a channel of a
provider's contract and hands over the Imp end of it; who wants to connect makes a channel of the service's contract
and hands over the Exp end, which the kernel forwards in a message Connect. The provider answers AckConnect and has it, or
NackConnect and gives it back. A provider's contract has these three messages, in this order, and goes round.

One connection at a provider is under way at a time; others wait for their turn. A name goes when its provider closes
its end of the channel.
"""

from singlab.kernel.core.channels import endpoint_close
from singlab.kernel.core.endpoints import contract_carried, contract_step
from singlab.kernel.core.kernelheap import kernel_object, text_new
from singlab.kernel.core.records import record_new
from singlab.kernel.core.waiting import message_take, turns_give
from singlab.kernel.core.words import emit, ld8, ld64, st64
from singlab.kernel.kernelobjects import N_IMP, N_NEXT, N_RULE, N_TEXT, NAME, NAME_BYTES, TX_BYTES, TX_LENGTH
from singlab.kernel.layout import (
    E_CHANNEL,
    E_CLOSED,
    E_COUNT,
    E_PEER,
    E_STATE,
    E_TABLE,
    E_TRAVELS,
    G_FREE_PROCESSES,
    G_NAME_SERVICE,
    G_NAMES,
    KERNEL_OWNER,
    P_ID,
    PROCESS_BYTES,
    TAG_KERNEL_SYSTEM,
    ZONE_KERNEL,
)

NAME_BIND = 55
CONNECT, ACK, NACK = 0, 1, 2
STAR = 42
NOWHERE = 0xFFFF_FFFF


def name_service(m):
    """Return the record that the kernel's ends of providers' channels belong to, made at the first; 0 = memory is exhausted."""
    service = ld64(m, G_NAME_SERVICE)
    if service == 0:
        service = record_new(m, G_FREE_PROCESSES, PROCESS_BYTES, ZONE_KERNEL, TAG_KERNEL_SYSTEM)
        if service != 0:
            st64(m, service + P_ID, KERNEL_OWNER)
            st64(m, G_NAME_SERVICE, service)
    return service


def provider_check(m, table):
    """Return whether a contract's table is a provider's: Connect with one Exp, AckConnect, NackConnect with the same."""
    header = ld64(m, table)
    if header >> 16 & 0xFFFF != 3:
        return 0
    connect = ld64(m, table + 8)
    ack = ld64(m, table + 16)
    nack = ld64(m, table + 24)
    if (connect & 0xFFFF_FFFF != 0x0100_0001) or (ack & 0xFFFF_FFFF != 0x0001_0000) or (nack & 0xFFFF_FFFF != 0x0101_0001):
        return 0
    given = contract_carried(m, table, connect)
    back = contract_carried(m, table, nack)
    if (ld64(m, given) & 1 == 0) or (ld64(m, given) != ld64(m, back)) or (ld64(m, given + 8) != ld64(m, back + 8)):
        return 0
    asked = contract_step(m, table, 0, CONNECT)
    if asked >= (header & 0xFFFF):
        return 0
    if (contract_step(m, table, asked, ACK) != 0) or (contract_step(m, table, asked, NACK) != 0):
        return 0
    return 1


def same_text(m, one, other, size):
    """Return whether two texts of a size are the same."""
    end = one + size
    while one < end:
        if ld8(m, one) != ld8(m, other):
            return 0
        one += 1
        other += 1
    return 1


def text_matches(m, text, size, pattern, length):
    """Return whether a text matches a pattern, in which * stands for any text."""
    at = 0
    place = 0
    star = NOWHERE
    kept = 0
    while at < size:
        letter = 0
        if place < length:
            letter = ld8(m, pattern + place)
        if (place < length) and (letter == STAR):
            star = place
            kept = at
            place += 1
        elif (place < length) and (letter == ld8(m, text + at)):
            at += 1
            place += 1
        elif star != NOWHERE:
            kept += 1
            at = kept
            place = star + 1
        else:
            return 0
    while place < length:
        if ld8(m, pattern + place) != STAR:
            return 0
        place += 1
    return 1


def name_unbind(m, name):
    """Take a name out of the list and close the kernel's end of its channel."""
    at = ld64(m, G_NAMES)
    if at == name:
        st64(m, G_NAMES, ld64(m, name + N_NEXT))
    else:
        while ld64(m, at + N_NEXT) != name:
            at = ld64(m, at + N_NEXT)
        st64(m, at + N_NEXT, ld64(m, name + N_NEXT))
    imp = ld64(m, name + N_IMP)
    emit(m, NAME_BIND, ld64(m, imp + E_CHANNEL), 0)
    endpoint_close(m, imp, ld64(m, G_NAME_SERVICE))
    return 0


def names_forget(m):
    """Take the names out whose providers have closed their ends; who waited behind a thread that is gone asks again."""
    turns_give(m)
    name = ld64(m, G_NAMES)
    while name != 0:
        following = ld64(m, name + N_NEXT)
        if ld64(m, ld64(m, ld64(m, name + N_IMP) + E_PEER) + E_CLOSED) != 0:
            name_unbind(m, name)
        name = following
    return 0


def name_find(m, text, size):
    """Return the name of a text if somebody provides it, or 0."""
    name = ld64(m, G_NAMES)
    while name != 0:
        own = ld64(m, name + N_TEXT)
        if ld64(m, own + TX_LENGTH) == size:
            if same_text(m, own + TX_BYTES, text, size) != 0:
                return name
        name = ld64(m, name + N_NEXT)
    return 0


def name_bind(m, imp, text, size, rule, length, owner):
    """Bind a name to the kernel's end of a channel; returns 0 if memory is exhausted."""
    own = text_new(m, text, size)
    pattern = text_new(m, rule, length)
    name = kernel_object(m, NAME, NAME_BYTES)
    if (own == 0) or (pattern == 0) or (name == 0):
        return 0
    st64(m, name + N_IMP, imp)
    st64(m, name + N_TEXT, own)
    st64(m, name + N_RULE, pattern)
    st64(m, name + N_NEXT, ld64(m, G_NAMES))
    st64(m, G_NAMES, name)
    emit(m, NAME_BIND, ld64(m, imp + E_CHANNEL), owner)
    return 1


def answers_drop(m, imp):
    """Take answers that nobody waits for any more: what they give back is closed."""
    while ld64(m, imp + E_COUNT) != 0:
        slot = message_take(m, imp)
        st64(m, imp + E_STATE, 0)
        if ld64(m, slot) == NACK:
            endpoint = ld64(m, slot + 8)
            st64(m, endpoint + E_TRAVELS, 0)
            endpoint_close(m, endpoint, ld64(m, G_NAME_SERVICE))
    return 0


def service_of(m, imp):
    """Return where a provider's contract says which endpoints it takes: side and state, then the table."""
    table = ld64(m, imp + E_TABLE)
    return contract_carried(m, table, ld64(m, table + 8))
