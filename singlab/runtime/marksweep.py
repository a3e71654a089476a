"""Mark-sweep with segregated free lists: what can be reached is marked where it lies; everything else becomes free runs of memory.

Free runs stand in lists by their size, a list for each power of two; a thread is given a run, or a part of one, and puts
its objects there one behind the other. Nothing ever moves, so a heap needs no second space; but room is cut up, and an
object that fits no run asks for new pages though there may be as many bytes free.

Marked objects whose references have not been looked at yet wait in a list that goes through their own headers: the upper
half has the mark, and above it the next object's place as a number of words from the beginning of RAM. So marking needs no
memory. The heap can be read from one end to the other: an object says how large it is, a free run has 0 where an object has
its type and its words above that, and a word 0 is a run of one word.

Source: Wilson, "Uniprocessor garbage collection techniques", IWMM 1992, section 2.2.
"""

from singlab.kernel.core.memory import words_zero
from singlab.kernel.core.objectheaps import CHUNK, extent_free
from singlab.kernel.core.words import film_step, ld32, ld64, st64
from singlab.kernel.heaplayout import (
    FREE,
    LAST,
    MARK,
    PHASE,
    REACH,
    ROOT,
    RUN_LISTS,
    SCAN,
    X_END,
    X_NEXT,
    X_START,
    X_TOP,
    Z_BYTES,
    Z_END,
    Z_EXTENTS,
    Z_FREED,
    Z_GRAY,
    Z_LARGEST,
    Z_LIVE,
    Z_MOVED,
    Z_ROOTS,
    Z_RUNS,
    Z_TAG,
    Z_TROUBLE,
    Z_TYPE_COUNT,
    Z_TYPES,
)
from singlab.kernel.layout import G_COLLECT_EVERY, G_PAGES, G_WINDOW, PAGE_SHIFT, PAGE_TAGS, RAM_BASE
from singlab.runtime.objectforms import bytes_of, inside_of, mask_of, row_in, size_of
from singlab.runtime.stackwalk import root_next, roots_begin

ELEMENTS = 16
LENGTH = 8
TYPE = 0xFFFFFFFF
NEXT_SHIFT = 33  # in a header: where the next waiting object's place begins
SMALLEST_RUN = 16
TRIES = 8  # runs of an object's own list that are looked at

# ---- free runs -------------------------------------------------------------------------------------------------------


def list_of(m, heap, size):
    """Return the list in which runs of a size stand."""
    place = heap + Z_RUNS
    last = place + (RUN_LISTS - 1) * 8
    size = size >> 5
    while (size != 0) and (place < last):
        size = size >> 1
        place += 8
    return place


def runs_forget(m, heap):
    """Empty the lists of free runs."""
    place = heap + Z_RUNS
    while place < heap + Z_RUNS + RUN_LISTS * 8:
        st64(m, place, 0)
        place += 8
    st64(m, heap + Z_LARGEST, 0)
    return 0


def run_file(m, heap, start, size):
    """Make bytes of the heap a free run; one of a single word is in no list."""
    at = start + ld64(m, G_WINDOW)
    st64(m, at, size >> 3 << 32)
    if size > ld64(m, heap + Z_LARGEST):
        st64(m, heap + Z_LARGEST, size)
    if size >= SMALLEST_RUN:
        place = list_of(m, heap, size)
        st64(m, at + 8, ld64(m, place))
        st64(m, place, start)
    return 0


def run_take(m, heap, size):
    """Take a free run out of its list that has room for an object; returns where it is, 0 if there is none."""
    window = ld64(m, G_WINDOW)
    place = list_of(m, heap, size)
    before = place
    run = ld64(m, place)
    tries = TRIES
    while (run != 0) and (tries != 0):  # those of this list may be too small
        if ld64(m, run + window) >> 32 << 3 >= size:
            st64(m, before, ld64(m, run + window + 8))
            return run
        before = run + window + 8
        run = ld64(m, before)
        tries -= 1
    place += 8
    last = heap + Z_RUNS + RUN_LISTS * 8
    while place < last:
        run = ld64(m, place)
        if run != 0:
            st64(m, place, ld64(m, run + window + 8))
            return run
        place += 8
    return 0


def marksweep_room(m, heap, size):
    """Return where zeroed room for an object lies in a free run, and note where it ends; 0 = there is none."""
    extent = ld64(m, heap + Z_EXTENTS)
    if extent != 0:
        top = ld64(m, extent + X_TOP)
        left = ld64(m, extent + X_END) - top
        if left != 0:  # it is new
            run_file(m, heap, top, left)
            st64(m, extent + X_TOP, top + left)
    run = run_take(m, heap, size)
    if run == 0:
        return 0
    window = ld64(m, G_WINDOW)
    there = ld64(m, run + window) >> 32 << 3
    given = size
    if (given < CHUNK) and (ld64(m, G_COLLECT_EVERY) == 0):
        given = CHUNK
    if given >= there:
        given = there
    else:
        run_file(m, heap, run + given, there - given)
    words_zero(m, run + window, run + window + given)
    st64(m, heap + Z_END, run + given)
    return run


# ---- marking ---------------------------------------------------------------------------------------------------------


def shade(m, heap, tag, pages, window, word):
    """Mark the object that a word names, if it is not marked, and let it wait; other words are nothing."""
    page = (word - RAM_BASE) >> PAGE_SHIFT
    if page >= pages:  # None
        return 0
    if ld32(m, PAGE_TAGS + page * 4) != tag:  # constant text
        return 0
    at = word + window
    header = ld64(m, at)
    if header & MARK != 0:
        return 0
    if size_of(m, heap, tag, word, header) == 0:
        st64(m, heap + Z_TROUBLE, word)
        return 0
    st64(m, at, header & TYPE | MARK | ld64(m, heap + Z_GRAY) << NEXT_SHIFT)
    st64(m, heap + Z_GRAY, (word - RAM_BASE) >> 3)
    film_step(m, REACH, word, 0)
    return 0


def shade_fields(m, heap, tag, pages, window, mask, at):
    """Mark what the words of an object at an address (the kernel's) refer to that a mask names."""
    place = at
    while mask != 0:
        if mask & 1 != 0:
            shade(m, heap, tag, pages, window, ld64(m, place))
        mask = mask >> 1
        place += 8
    return 0


def shade_words(m, heap, tag, pages, window, place, end):
    """Mark what words between two addresses (the kernel's) refer to."""
    while place < end:
        shade(m, heap, tag, pages, window, ld64(m, place))
        place += 8
    return 0


def shade_roots(m, heap, tag):
    """Mark what roots name; returns how many roots there are."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    roots = 0
    film_step(m, PHASE, 0, 0)
    roots_begin(m, heap)
    slot = root_next(m, heap)
    while slot != 0:
        film_step(m, ROOT, slot, 0)
        shade(m, heap, tag, pages, window, ld64(m, slot))
        roots += 1
        slot = root_next(m, heap)
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
        st64(m, heap + Z_GRAY, header >> NEXT_SHIFT)
        st64(m, at, header & TYPE | MARK)
        row = row_in(m, types, span, header)
        mask = mask_of(m, row)
        if mask != 0:
            shade_fields(m, heap, tag, pages, window, mask, at)
        elif inside_of(m, row) != 0:
            shade_words(m, heap, tag, pages, window, at + ELEMENTS, at + ELEMENTS + ld64(m, at + LENGTH) * 8)
        film_step(m, SCAN, (waiting << 3) + RAM_BASE, 0)
        waiting = ld64(m, heap + Z_GRAY)
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
        live += alive
        extent = following
    st64(m, heap + Z_LIVE, live)
    st64(m, heap + Z_MOVED, 0)
    st64(m, heap + Z_FREED, before - live)
    return 1
