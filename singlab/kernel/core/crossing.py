"""Crossing: what becomes of a block that is sent from one protection domain to another.

Large data is seen by the receiver's domain instead of the sender's: entries of page tables change, no byte
moves. A small block shares its page with others, and a part of a region its region, so it is copied in two stages, as the papers' domains do it: at
the send into the kernel's own exchange heap, at the receive into the receiver's. Its place there is set aside
at the send already, so a receive cannot fail for want of memory.
"""

from singlab.kernel.core.domains import domain_reserve
from singlab.kernel.core.heap import block_begin, block_copy, block_free, block_new, data_copy, staged_free, whole_pages
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.layout import (
    B_DATA,
    B_SIZE,
    B_SPAN,
    B_STAGED,
    G_BUCKETS,
    G_COPY,
    G_WINDOW,
    P_DOMAIN,
    P_HEAP,
)

OK = 0
E_FULL = 4


def block_stage(m, block, taker):
    """Return a new block of the taker that gets the contents of another when it is received; 0 when memory is exhausted."""
    size = ld64(m, block + B_SIZE)
    staged = block_new(m, G_BUCKETS, 0, size)
    if staged == 0:
        return 0
    reserved = block_new(m, ld64(m, taker + P_HEAP), ld64(m, taker + P_DOMAIN), size)
    if reserved == 0:
        staged_free(m, staged)
        return 0
    data_copy(m, ld64(m, block + B_DATA), ld64(m, staged + B_DATA), size)
    block_begin(m, reserved, taker)
    st64(m, reserved + ld64(m, G_WINDOW) + B_STAGED, staged)
    return reserved


def block_arrive(m, block):
    """Give a block that is received its contents, if the kernel has them."""
    staged = ld64(m, block + B_STAGED)
    if staged != 0:
        data_copy(m, ld64(m, staged + B_DATA), ld64(m, block + B_DATA), ld64(m, block + B_SIZE))
        st64(m, block + ld64(m, G_WINDOW) + B_STAGED, 0)
        staged_free(m, staged)
    return 0


def blocks_arrive(m, slot, mask):
    """Give the masked blocks of a message that is received their contents."""
    word = slot + 8
    while mask != 0:
        if mask & 1 != 0:
            block_arrive(m, ld64(m, word))
        mask = mask >> 1
        word += 8
    return 0


def block_prepare(m, block, giver, taker):
    """Return what the taker gets for a block: itself, ready to be given, or a copy; 0 when memory is exhausted."""
    domain = ld64(m, taker + P_DOMAIN)
    if ld64(m, giver + P_DOMAIN) != domain:
        whole = whole_pages(m, block)
        if whole == 0:
            return block_stage(m, block, taker)
        if ld64(m, G_COPY) == 0:
            if domain != 0:
                if domain_reserve(m, domain, ld64(m, whole + B_DATA), ld64(m, whole + B_SPAN) >> 32) == 0:
                    return 0
            return block
    if ld64(m, G_COPY) != 0:
        return block_copy(m, block, taker)
    return block


def blocks_prepare(m, slot, mask, giver, taker):
    """Put into a message slot what the taker gets for each masked block; E_FULL, and nothing done, if memory is exhausted."""
    if ld64(m, giver + P_DOMAIN) == ld64(m, taker + P_DOMAIN):
        if ld64(m, G_COPY) == 0:
            return OK
    word = slot + 8
    rest = mask
    made = 0
    bit = 1
    while rest != 0:
        if rest & 1 != 0:
            block = ld64(m, word)
            given = block_prepare(m, block, giver, taker)
            if given == 0:
                break
            if given != block:
                st64(m, word, given)
                made = made | bit
        rest = rest >> 1
        bit = bit << 1
        word += 8
    if rest == 0:
        return OK
    word = slot + 8
    while made != 0:
        if made & 1 != 0:
            block_free(m, ld64(m, word), taker)
        made = made >> 1
        word += 8
    return E_FULL
