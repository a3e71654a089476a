"""Sliding compaction: what can be reached is marked and then moved together, in the order in which it was made.

Three walks, two of them over the whole heap: mark; give each marked object its new place, which its header keeps, and let
references name new places; move. Objects slide towards the first of the heap's extents and never past where they were, so
no second space is needed, and those made together stay together. What is left over at the end goes back to the kernel.

Most references name older objects, which lie before and have their places already. The others wait: a list of them begins in
the header of the object they name and goes on through the references themselves, until that object has its place. Objects
before the first gap stay where they are; their marks are taken off at once, and the last walk begins behind them.

A header's upper half has the mark, whether there is a new place, and above that the place, or the first reference that
waits, a number of words from the beginning of RAM.

Source: the LISP 2 collector, as in Jones and Lins, "Garbage collection", 1996, section 5.4; references that wait, in one
direction only: Jonkers, "A fast garbage compaction algorithm", Information Processing Letters 9 (1), 1979.
"""

from singlab.kernel.core.memory import bytes_copy
from singlab.kernel.core.objectheaps import extent_trim, extents_free
from singlab.kernel.core.words import film_step, ld32, ld64, st64
from singlab.kernel.heaplayout import (
    FREE,
    LAST,
    MARK,
    MOVE,
    PHASE,
    X_END,
    X_FILLED,
    X_MOVES,
    X_NEXT,
    X_START,
    X_TOP,
    Z_BYTES,
    Z_EXTENTS,
    Z_FREE,
    Z_FREED,
    Z_GRAY,
    Z_LIVE,
    Z_MOVED,
    Z_ROOTS,
    Z_TAG,
    Z_TO,
    Z_TROUBLE,
    Z_TYPE_COUNT,
    Z_TYPES,
)
from singlab.kernel.layout import G_PAGES, G_WINDOW, PAGE_SHIFT, PAGE_TAGS, RAM_BASE
from singlab.runtime.marksweep import shade_roots, trace_all
from singlab.runtime.objectforms import bytes_by, bytes_of, inside_by, mask_of, row_in
from singlab.runtime.stackwalk import root_next, roots_begin

ELEMENTS = 16
TYPE = 0xFFFFFFFF
PLACED = 1 << 33  # in a header whose upper half is a new place; without it that is the first of those that wait for one
PLACE_SHIFT = 34
WAITS = 1  # in a reference, whose lowest bits are 0 otherwise: it waits, and what lies above is the next that does



def extents_turn(m, heap):
    """Turn the order of a heap's extents round."""
    turned = 0
    extent = ld64(m, heap + Z_EXTENTS)
    while extent != 0:
        following = ld64(m, extent + X_NEXT)
        st64(m, extent + X_NEXT, turned)
        turned = extent
        extent = following
    st64(m, heap + Z_EXTENTS, turned)
    return 0


def size_at(m, heap, row, at, header, end):
    """Return how many bytes what lies at an address (the kernel's) of an extent takes: an object, a free run, or a word that nobody used."""
    if row != 0:
        size = bytes_of(m, row, at)
    elif header == 0:
        return 8
    else:
        size = header >> 32 << 3
        if header & TYPE != 0:
            size = 0
    if (size == 0) or (size > end - at):
        st64(m, heap + Z_TROUBLE, at - ld64(m, G_WINDOW))
        return end - at
    return size


def place_of(m, heap, tag, pages, window, place, word):
    """Return where the object will be that a word names; other words as they are, whatever lies there.

    If that is not known yet, the place joins the list of those that wait for it, and what belongs there now is returned.
    """
    page = (word - RAM_BASE) >> PAGE_SHIFT
    if page >= pages:  # None
        return word
    if ld32(m, PAGE_TAGS + page * 4) != tag:  # constant text
        return word
    if word & 7 != 0:
        st64(m, heap + Z_TROUBLE, word)
        return word
    at = word + window
    header = ld64(m, at)
    if header & PLACED != 0:
        return RAM_BASE + (header >> PLACE_SHIFT << 3)
    if header & MARK == 0:  # it stays
        return word
    st64(m, at, header & (TYPE | MARK) | (place - window - RAM_BASE) >> 3 << PLACE_SHIFT)
    return header >> PLACE_SHIFT << 3 | WAITS


def waiting_settle(m, heap, tag, pages, window, waiting, to):
    """Let all places in a list of waiting ones name an object's new place. What a program wrote is no list: it ends where it leaves the heap, or where nothing waits."""
    while waiting != 0:
        if waiting >> PAGE_SHIFT - 3 >= pages:
            st64(m, heap + Z_TROUBLE, to)
            return 0
        if ld32(m, PAGE_TAGS + (waiting >> PAGE_SHIFT - 3) * 4) != tag:
            st64(m, heap + Z_TROUBLE, to)
            return 0
        place = RAM_BASE + (waiting << 3) + window
        link = ld64(m, place)
        if link & WAITS == 0:
            st64(m, heap + Z_TROUBLE, to)
            return 0
        st64(m, place, to)
        waiting = link >> 3
    return 0


def references_update(m, heap, tag, pages, window, about, mask, at, size):
    """Let all references in an object of so many bytes at an address (the kernel's) name where objects will be, or wait for that."""
    place = at + 8
    if inside_by(m, about) != 0:
        place = at + ELEMENTS
        end = at + size
        while place < end:
            word = ld64(m, place)
            to = place_of(m, heap, tag, pages, window, place, word)
            if to != word:
                st64(m, place, to)
            place += 8
    while mask != 0:
        if mask & 1 != 0:
            word = ld64(m, place)
            to = place_of(m, heap, tag, pages, window, place, word)
            if to != word:
                st64(m, place, to)
        mask = mask >> 1
        place += 8
    return 0


def places_find(m, heap, tag):
    """Give each marked object its new place, and let all references in marked objects name new places; returns the bytes of all marked objects."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    live = 0
    extent = ld64(m, heap + Z_EXTENTS)
    to = extent  # the extent that objects go to, the next free byte of it, and its end
    free = ld64(m, to + X_START)
    last = ld64(m, to + X_END)
    while extent != 0:
        first = 0
        at = ld64(m, extent + X_START) + window
        end = ld64(m, extent + X_TOP) + window
        while at < end:
            header = ld64(m, at)
            row = row_in(m, types, span, header)
            if (header & MARK != 0) and (row != 0):  # a free run has its size there
                about = ld64(m, row)
                mask = mask_of(m, row)
                size = bytes_by(m, about, at)
                if (size == 0) or (size > end - at):
                    st64(m, heap + Z_TROUBLE, at - window)
                    return live
                while size > last - free:
                    st64(m, to + X_FILLED, free)
                    to = ld64(m, to + X_NEXT)
                    free = ld64(m, to + X_START)
                    last = ld64(m, to + X_END)
                if free + window == at:
                    st64(m, at, header & TYPE)
                else:
                    st64(m, at, header & TYPE | MARK | PLACED | (free - RAM_BASE) >> 3 << PLACE_SHIFT)
                    if first == 0:
                        first = at
                if header >> PLACE_SHIFT != 0:
                    waiting_settle(m, heap, tag, pages, window, header >> PLACE_SHIFT, free)
                if mask | inside_by(m, about) != 0:
                    references_update(m, heap, tag, pages, window, about, mask, at, size)
                free += size
                live += size
                at += size
            else:
                at += size_at(m, heap, row, at, header, end)
        st64(m, extent + X_MOVES, first)
        extent = ld64(m, extent + X_NEXT)
    st64(m, heap + Z_TO, to)
    st64(m, heap + Z_FREE, free)
    return live


def roots_update(m, heap, tag):
    """Let roots name where objects will be."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    roots_begin(m, heap)
    slot = root_next(m, heap)
    while slot != 0:
        word = ld64(m, slot)
        to = place_of(m, heap, tag, pages, window, slot, word)
        if to & WAITS != 0:
            st64(m, heap + Z_TROUBLE, word)
        st64(m, slot, to)
        slot = root_next(m, heap)
    return 0


def objects_move(m, heap):
    """Move all objects that have new places to them; returns their bytes."""
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    moved = 0
    extent = ld64(m, heap + Z_EXTENTS)
    while extent != 0:
        end = ld64(m, extent + X_TOP) + window
        at = ld64(m, extent + X_MOVES)
        if at == 0:
            at = end
        while at < end:
            header = ld64(m, at)
            row = row_in(m, types, span, header)
            if (header & MARK != 0) and (row != 0):
                size = bytes_of(m, row, at)
                if (size == 0) or (size > end - at):
                    st64(m, heap + Z_TROUBLE, at - window)
                    return moved
                to = (header >> PLACE_SHIFT << 3) + RAM_BASE + window
                bytes_copy(m, at + 8, to + 8, size - 8)
                film_step(m, MOVE, at - window, to - window)
                st64(m, to, header & TYPE)
                moved += size
                at += size
            else:
                at += size_at(m, heap, row, at, header, end)
        extent = ld64(m, extent + X_NEXT)
    return moved


def tops_set(m, heap):
    """Let the extents end where their objects do: full before the last one objects went to, those behind it are given back."""
    last = ld64(m, heap + Z_TO)
    free = ld64(m, heap + Z_FREE)
    st64(m, last + X_FILLED, free)
    extents_free(m, heap, ld64(m, last + X_NEXT))
    st64(m, last + X_NEXT, 0)
    extent_trim(m, heap, last, free + 8)
    total = 0
    extent = ld64(m, heap + Z_EXTENTS)
    while extent != 0:
        filled = ld64(m, extent + X_FILLED)
        end = ld64(m, extent + X_END)
        film_step(m, FREE, filled, end - filled)
        st64(m, extent + X_TOP, filled)
        total += end - ld64(m, extent + X_START)
        extent = ld64(m, extent + X_NEXT)
    st64(m, heap + Z_BYTES, total)
    return 0


def compact_collect(m, heap):
    """Collect a heap; it is always possible."""
    if ld64(m, heap + Z_EXTENTS) == 0:
        return 1
    tag = ld64(m, heap + Z_TAG)
    st64(m, heap + Z_GRAY, LAST)
    st64(m, heap + Z_ROOTS, shade_roots(m, heap, tag))
    trace_all(m, heap, tag)
    if ld64(m, heap + Z_TROUBLE) != 0:
        return 1
    extents_turn(m, heap)
    before = ld64(m, heap + Z_BYTES)
    film_step(m, PHASE, 2, 0)
    live = places_find(m, heap, tag)
    if ld64(m, heap + Z_TROUBLE) == 0:
        roots_update(m, heap, tag)
    if ld64(m, heap + Z_TROUBLE) == 0:
        film_step(m, PHASE, 3, 0)
        st64(m, heap + Z_MOVED, objects_move(m, heap))
        tops_set(m, heap)
    extents_turn(m, heap)
    st64(m, heap + Z_LIVE, live)
    st64(m, heap + Z_FREED, before - live)
    return 1
