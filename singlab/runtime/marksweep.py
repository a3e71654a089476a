"""Mark-sweep with segregated free lists: what can be reached is marked where it lies; everything else becomes free runs of memory.

Free runs stand in lists by their size (:mod:`singlab.kernel.core.freeruns`). Nothing ever moves, so a heap needs no second
space; but room is cut up, and an object that fits no run asks for new pages though there may be as many bytes free.

Marked objects whose references have not been looked at yet wait in a list that goes through their own headers: the upper
half has the mark, and above it the next object's place as a number of words from the beginning of RAM. So marking needs no
memory. The heap can be read from one end to the other: an object says how large it is, a free run has 0 where an object has
its type and its words above that, and a word 0 is a run of one word.

Source: Wilson, "Uniprocessor garbage collection techniques", IWMM 1992, section 2.2.
"""

from singlab.kernel.core.freeruns import run_file, runs_forget
from singlab.kernel.core.objectheaps import extent_free
from singlab.kernel.core.words import film_step, ld32, ld64, st64
from singlab.kernel.heaplayout import (
    FREE,
    LAST,
    MARK,
    PHASE,
    REACH,
    ROOT,
    SCAN,
    X_END,
    X_NEXT,
    X_START,
    X_TOP,
    Z_BYTES,
    Z_EXTENTS,
    Z_FREED,
    Z_GRAY,
    Z_LIVE,
    Z_MOVED,
    Z_ROOTS,
    Z_TAG,
    Z_TROUBLE,
    Z_TYPE_COUNT,
    Z_TYPES,
)
from singlab.kernel.layout import G_PAGES, G_WINDOW, PAGE_SHIFT, PAGE_TAGS, RAM_BASE
from singlab.runtime.objectforms import bytes_of, inside_of, mask_of, row_in, size_in
from singlab.runtime.stackwalk import root_next, roots_begin

ELEMENTS = 16
LENGTH = 8
TYPE = 0xFFFFFFFF
NEXT_SHIFT = 33  # in a header: where the next waiting object's place begins

# ---- marking ---------------------------------------------------------------------------------------------------------


def shaded(m, heap, tag, pages, window, types, span, waiting, word):
    """Mark the object that a word names, if it is not marked, and let it wait before ``waiting``; returns who waits first. Other words are nothing."""
    page = (word - RAM_BASE) >> PAGE_SHIFT
    if page >= pages:  # None
        return waiting
    if ld32(m, PAGE_TAGS + page * 4) != tag:  # constant text
        return waiting
    at = word + window
    header = ld64(m, at)
    if header & MARK != 0:
        return waiting
    if size_in(m, tag, row_in(m, types, span, header), word, at) == 0:
        st64(m, heap + Z_TROUBLE, word)
        return waiting
    st64(m, at, header & TYPE | MARK | waiting << NEXT_SHIFT)
    film_step(m, REACH, word, 0)
    return (word - RAM_BASE) >> 3


def shade(m, heap, tag, word):
    """Mark the object that a word names, if it is not marked, and let it wait."""
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    st64(m, heap + Z_GRAY, shaded(m, heap, tag, ld64(m, G_PAGES), ld64(m, G_WINDOW), types, span, ld64(m, heap + Z_GRAY), word))
    return 0


def shade_roots(m, heap, tag):
    """Mark what roots name; returns how many roots there are."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    waiting = ld64(m, heap + Z_GRAY)
    roots = 0
    film_step(m, PHASE, 0, 0)
    roots_begin(m, heap)
    slot = root_next(m, heap)
    while slot != 0:
        word = ld64(m, slot)
        film_step(m, ROOT, slot, word)
        waiting = shaded(m, heap, tag, pages, window, types, span, waiting, word)
        roots += 1
        slot = root_next(m, heap)
    st64(m, heap + Z_GRAY, waiting)
    return roots


def trace_all(m, heap, tag):
    """Look at the references of everything that waits, until nothing does."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    waiting = ld64(m, heap + Z_GRAY)
    film_step(m, PHASE, 1, 0)
    while waiting != LAST:
        at = (waiting << 3) + RAM_BASE + window
        header = ld64(m, at)
        waiting = header >> NEXT_SHIFT
        st64(m, at, header & TYPE | MARK)
        row = row_in(m, types, span, header)
        mask = mask_of(m, row)
        place = at + 8
        if mask == 0:
            if inside_of(m, row) != 0:
                place = at + ELEMENTS
                end = place + ld64(m, at + LENGTH) * 8
                while place < end:
                    waiting = shaded(m, heap, tag, pages, window, types, span, waiting, ld64(m, place))
                    place += 8
        while mask != 0:
            if mask & 1 != 0:
                waiting = shaded(m, heap, tag, pages, window, types, span, waiting, ld64(m, place))
            mask = mask >> 1
            place += 8
        film_step(m, SCAN, at - window, 0)
    st64(m, heap + Z_GRAY, LAST)
    return 0


# ---- sweeping --------------------------------------------------------------------------------------------------------


def extent_sweep(m, heap, extent):
    """Make free runs of what is not marked in an extent, and take the marks off; returns the bytes of what is alive.

    An extent in which nothing is alive has no runs in lists afterwards.
    """
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    at = ld64(m, extent + X_START) + window
    end = ld64(m, extent + X_END) + window
    live = 0
    run = at
    while at < end:
        header = ld64(m, at)
        size = header >> 32 << 3
        if header & TYPE != 0:
            row = row_in(m, types, span, header)
            size = 0
            if row != 0:
                size = bytes_of(m, row, at)
            if (size == 0) or (size > end - at):
                st64(m, heap + Z_TROUBLE, at - window)
                return live
            if header & MARK != 0:
                st64(m, at, header & TYPE)
                if run != at:
                    run_file(m, heap, run - window, at - run)
                    film_step(m, FREE, run - window, at - run)
                live += size
                run = at + size
        elif size == 0:
            size = 8
        at += size
    if (run < end) and (live != 0):
        run_file(m, heap, run - window, end - run)
        film_step(m, FREE, run - window, end - run)
    return live


def marksweep_collect(m, heap):
    """Collect a heap; it is always possible."""
    tag = ld64(m, heap + Z_TAG)
    st64(m, heap + Z_GRAY, LAST)
    st64(m, heap + Z_ROOTS, shade_roots(m, heap, tag))
    trace_all(m, heap, tag)
    runs_forget(m, heap)
    film_step(m, PHASE, 2, 0)
    before = ld64(m, heap + Z_BYTES)
    live = 0
    link = heap + Z_EXTENTS
    extent = ld64(m, link)
    while extent != 0:
        following = ld64(m, extent + X_NEXT)
        size = ld64(m, extent + X_END) - ld64(m, extent + X_START)
        alive = 0
        if ld64(m, heap + Z_TROUBLE) == 0:
            alive = extent_sweep(m, heap, extent)
        if (alive == 0) and (ld64(m, heap + Z_TROUBLE) == 0):
            st64(m, link, following)
            st64(m, heap + Z_BYTES, ld64(m, heap + Z_BYTES) - size)
            extent_free(m, heap, extent)
        else:
            link = extent + X_NEXT
            st64(m, extent + X_TOP, ld64(m, extent + X_END))  # what a thread has left of the newest one is in a run now
        live += alive
        extent = following
    st64(m, heap + Z_LIVE, live)
    st64(m, heap + Z_MOVED, 0)
    st64(m, heap + Z_FREED, before - live)
    return 1
