"""Semispace copying: what can be reached moves to a new space, one object behind the other; the old space goes back whole.

The space that objects move to is as large as what threads were given, for all of it may be alive; so a heap needs twice
its memory while it is collected, and nothing else. A moved object's header says where it is now. Cheney's scan goes along
the new space: what lies before it has only references to the new space, what lies behind waits, so there is no stack.

Source: Cheney, "A nonrecursive list compacting algorithm", CACM 1970.
"""

from singlab.kernel.core.memory import bytes_copy
from singlab.kernel.core.objectheaps import extent_link, extent_new, extent_trim, extents_free, extents_used
from singlab.kernel.core.words import film_step, ld32, ld64, st64
from singlab.kernel.heaplayout import (
    MOVE,
    PHASE,
    ROOT,
    SCAN,
    X_END,
    X_START,
    X_TOP,
    Z_BYTES,
    Z_EXTENTS,
    Z_FREE,
    Z_FREED,
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
from singlab.runtime.objectforms import bytes_by, inside_by, mask_of, row_in, size_of
from singlab.runtime.stackwalk import root_next, roots_begin

MOVED = 0x8000000000000000  # in a header: the rest is where the object is now
ADDRESS = 0x7FFFFFFFFFFFFFFF
ELEMENTS = 16
LENGTH = 8


def evacuate(m, heap, tag, pages, window, word):
    """Return where the object is that a word names, moved there now if it has not been; other words as they are."""
    page = (word - RAM_BASE) >> PAGE_SHIFT
    if page >= pages:  # None
        return word
    if ld32(m, PAGE_TAGS + page * 4) != tag:  # constant text
        return word
    at = word + window
    header = ld64(m, at)
    if header & MOVED != 0:
        return header & ADDRESS
    size = size_of(m, heap, tag, word, header)
    free = ld64(m, heap + Z_FREE)
    if (size == 0) or (size > ld64(m, ld64(m, heap + Z_TO) + X_END) - free):
        st64(m, heap + Z_TROUBLE, word)
        return word
    st64(m, free + window, header)
    bytes_copy(m, at + 8, free + window + 8, size - 8)
    st64(m, at, free | MOVED)
    film_step(m, MOVE, word, free)
    st64(m, heap + Z_FREE, free + size)
    return free


def scan_object(m, heap, tag, pages, window, row, at):
    """Let all references in an object at an address (the kernel's) name where objects are now; returns its size."""
    about = ld64(m, row)
    mask = mask_of(m, row)
    place = at + 8
    while mask != 0:
        if mask & 1 != 0:
            st64(m, place, evacuate(m, heap, tag, pages, window, ld64(m, place)))
        mask = mask >> 1
        place += 8
    if inside_by(m, about) != 0:
        place = at + ELEMENTS
        end = place + ld64(m, at + LENGTH) * 8
        while place < end:
            st64(m, place, evacuate(m, heap, tag, pages, window, ld64(m, place)))
            place += 8
    return bytes_by(m, about, at)


def semispace_collect(m, heap):
    """Collect a heap; returns 0 if there is no memory for the space to move to, and nothing has happened."""
    used = extents_used(m, ld64(m, heap + Z_EXTENTS))
    to = extent_new(m, heap, used + 8)
    if to == 0:
        return 0
    start = ld64(m, to + X_START)
    st64(m, heap + Z_TO, to)
    st64(m, heap + Z_FREE, start)
    tag = ld64(m, heap + Z_TAG)
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    roots = 0
    film_step(m, PHASE, 0, 0)
    roots_begin(m, heap)
    slot = root_next(m, heap)
    while slot != 0:
        film_step(m, ROOT, slot, 0)
        st64(m, slot, evacuate(m, heap, tag, pages, window, ld64(m, slot)))
        roots += 1
        slot = root_next(m, heap)
    scan = start
    film_step(m, PHASE, 1, 0)
    while scan < ld64(m, heap + Z_FREE):
        at = scan + window
        size = scan_object(m, heap, tag, pages, window, row_in(m, types, span, ld64(m, at)), at)
        film_step(m, SCAN, scan, 0)
        scan += size
    live = scan - start
    film_step(m, PHASE, 2, 0)
    old = ld64(m, heap + Z_EXTENTS)
    st64(m, heap + Z_EXTENTS, 0)
    st64(m, heap + Z_BYTES, 0)
    extents_free(m, heap, old)
    st64(m, to + X_TOP, scan)
    extent_trim(m, heap, to, scan + 8)
    extent_link(m, heap, to)
    st64(m, heap + Z_ROOTS, roots)
    st64(m, heap + Z_LIVE, live)
    st64(m, heap + Z_MOVED, live)
    st64(m, heap + Z_FREED, used - live)
    return 1
