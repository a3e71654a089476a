"""Channel manager: messages between two endpoints, contracts checked as messages pass.

Sending puts a message into the peer's slots; it never blocks, and there is always room, for the
contract bounds what can be under way. Exchange-heap blocks and endpoints among the arguments change owner at
the send. A closed channel is seen on receive only, after the messages still under way are drained; who closes
an endpoint with messages in it gives back what they carry.
"""

from singlab.kernel.core.crossing import blocks_prepare
from singlab.kernel.core.endpoints import contract_carried, endpoint_check, endpoint_give, endpoint_unlink
from singlab.kernel.core.heap import block_check, block_free, block_give
from singlab.kernel.core.records import record_free
from singlab.kernel.core.waiting import endpoint_ready, message_take, set_leave
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.layout import (
    E_CHANNEL,
    E_CLOSED,
    E_COUNT,
    E_DOOMED,
    E_HEAD,
    E_MAGIC,
    E_PEER,
    E_PROCESS,
    E_QUEUE,
    E_SET,
    E_SIDE,
    E_SLOTS,
    E_STATE,
    E_TABLE,
    E_TRAVELS,
    E_WAITER,
    G_CHECK,
    G_FREE_ENDPOINTS,
    MAGIC_ENDPOINT,
    NO_STATE,
    SLOT_BYTES,
)

CHANNEL_CLOSE = 15
SEND = 16
CHANNEL_STATE = 18

OK = 0
E_NOT_OWNER = 2
E_CONTRACT = 3
E_FULL = 4
E_BAD_ARGUMENT = 5


# ---- closing -------------------------------------------------------------------------------------------------


def message_drop(m, endpoint, process, doomed):
    """Take an endpoint's oldest message and give back what it carries; returns the endpoints about to be closed, its own among them."""
    slot = message_take(m, endpoint)
    about = ld64(m, ld64(m, endpoint + E_TABLE) + 8 + ld64(m, slot) * 8)
    blocks = about >> 8 & 0xFF
    ends = about >> 24 & 0xFF
    while (blocks | ends) != 0:
        slot += 8
        carried = ld64(m, slot)
        if blocks & 1 != 0:
            # the owner may have freed it meanwhile, if it knew its address
            if block_check(m, carried, process) == OK:
                block_free(m, carried, process)
        if ends & 1 != 0:
            # at the end of a process it may have been closed before
            if ld64(m, carried + E_MAGIC) == MAGIC_ENDPOINT:
                if ld64(m, carried + E_TRAVELS) != 0:
                    st64(m, carried + E_TRAVELS, 0)
                    st64(m, carried + E_DOOMED, doomed)
                    doomed = carried
        blocks = blocks >> 1
        ends = ends >> 1
    return doomed


def endpoint_shut(m, endpoint, process):
    """Close an empty endpoint: tell who waits at the other end, and free both ends once both are closed."""
    endpoint_unlink(m, endpoint, process)
    if ld64(m, endpoint + E_SET) != 0:
        set_leave(m, endpoint)
    st64(m, endpoint + E_CLOSED, 1)
    st64(m, endpoint + E_PROCESS, 0)
    emit(m, CHANNEL_CLOSE, ld64(m, endpoint + E_CHANNEL), ld64(m, endpoint + E_SIDE))
    peer = ld64(m, endpoint + E_PEER)
    if ld64(m, peer + E_CLOSED) != 0:
        record_free(m, G_FREE_ENDPOINTS, endpoint)
        record_free(m, G_FREE_ENDPOINTS, peer)
        return 0
    if ld64(m, peer + E_COUNT) == 0:
        endpoint_ready(m, peer)
    return 0


def endpoint_close(m, endpoint, process):
    """Close an endpoint of a process, and those in messages that wait in it, and so on."""
    st64(m, endpoint + E_TRAVELS, 0)
    st64(m, endpoint + E_DOOMED, 0)
    while endpoint != 0:
        doomed = ld64(m, endpoint + E_DOOMED)
        while ld64(m, endpoint + E_COUNT) != 0:
            doomed = message_drop(m, endpoint, process, doomed)
        endpoint_shut(m, endpoint, process)
        endpoint = doomed
    return 0


# ---- what a message carries --------------------------------------------------------------------------------------


def twice(m, word, mask):
    """Return whether a word of a message slot stands again further on; ``mask`` has the words that follow."""
    carried = ld64(m, word)
    while mask != 0:
        word += 8
        if mask & 1 != 0:
            if ld64(m, word) == carried:
                return 1
        mask = mask >> 1
    return 0


def blocks_check(m, slot, mask, process):
    """Return OK if every masked word of a message slot is a block of this process, each named once."""
    word = slot + 8
    while mask != 0:
        if mask & 1 != 0:
            status = block_check(m, ld64(m, word), process)
            if status != OK:
                return status
            # the same block twice in one message would have two owners
            if twice(m, word, mask >> 1) != 0:
                return E_NOT_OWNER
        mask = mask >> 1
        word += 8
    return OK


def endpoints_check(m, slot, mask, process, endpoint, carried):
    """Return OK if every masked word of a message slot is an endpoint that may travel as the contract says, each named once.

    ``endpoint`` is where the message is sent, ``carried`` what its contract's table says of them.
    """
    word = slot + 8
    checked = ld64(m, G_CHECK)
    peer = ld64(m, endpoint + E_PEER)
    while mask != 0:
        if mask & 1 != 0:
            handle = ld64(m, word)
            status = endpoint_check(m, handle, process)
            if status != OK:
                return status
            # neither end of a channel can travel over that channel: nobody could ever take it out
            if (handle == endpoint) or (handle == peer):
                return E_BAD_ARGUMENT
            if twice(m, word, mask >> 1) != 0:
                return E_NOT_OWNER
            # what waits in it belongs to its owner, and a thread waits in one place
            if (ld64(m, handle + E_COUNT) != 0) or (ld64(m, handle + E_WAITER) != 0):
                return E_BAD_ARGUMENT
            if ld64(m, handle + E_SET) != 0:
                return E_BAD_ARGUMENT
            about = ld64(m, carried)
            if (ld64(m, handle + E_SIDE) != (about & 1)) or (ld64(m, handle + E_TABLE) != ld64(m, carried + 8)):
                return E_CONTRACT
            if (checked != 0) and (ld64(m, handle + E_STATE) != (about >> 16)):
                return E_CONTRACT
            carried += 16
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


def endpoints_pass(m, slot, mask, giver, taker):
    """Hand the masked endpoints of a message slot to the receiver, or close them if there is none."""
    word = slot + 8
    while mask != 0:
        if mask & 1 != 0:
            if taker == 0:
                endpoint_close(m, ld64(m, word), giver)
            else:
                endpoint_give(m, ld64(m, word), giver, taker)
        mask = mask >> 1
        word += 8
    return 0


def carried_pass(m, slot, about, endpoint, process, taker):
    """Hand over the blocks and endpoints in a message slot; returns OK, or why nothing was. ``about`` is the message's word."""
    blocks = about >> 8 & 0xFF
    ends = about >> 24 & 0xFF
    if blocks != 0:
        status = blocks_check(m, slot, blocks, process)
        if status != OK:
            return status
    if ends != 0:
        status = endpoints_check(m, slot, ends, process, endpoint, contract_carried(m, ld64(m, endpoint + E_TABLE), about))
        if status != OK:
            return status
    if blocks != 0:
        word0 = ld64(m, slot + 8)
        word1 = ld64(m, slot + 16)
        word2 = ld64(m, slot + 24)
        word3 = ld64(m, slot + 32)
        if taker != 0:
            status = blocks_prepare(m, slot, blocks, process, taker)
            if status != OK:
                return status
        block_pass(m, blocks, word0, ld64(m, slot + 8), process, taker)
        block_pass(m, blocks >> 1, word1, ld64(m, slot + 16), process, taker)
        block_pass(m, blocks >> 2, word2, ld64(m, slot + 24), process, taker)
        block_pass(m, blocks >> 3, word3, ld64(m, slot + 32), process, taker)
    if ends != 0:
        endpoints_pass(m, slot, ends, process, taker)
    return OK


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
        messages = header >> 16 & 0xFFFF
        following = ld64(m, table + (1 + messages + state * messages + message) * 8)  # contract_step, where it stands
        if (following == NO_STATE) or ((about >> 16 & 1) != side):
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
    if (about & 0xFF00_FF00) != 0:
        status = carried_pass(m, slot, about, endpoint, process, taker)
        if status != OK:
            return status
    channel = ld64(m, endpoint + E_CHANNEL)
    st64(m, endpoint + E_STATE, following)
    emit(m, SEND, channel | message << 32 | side << 56, ld64(m, slot + 8))
    emit(m, CHANNEL_STATE, channel | side << 56, following)
    if taker != 0:
        st64(m, peer + E_COUNT, count + 1)
        if count == 0:
            endpoint_ready(m, peer)
    return OK
