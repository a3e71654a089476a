"""Concurrent mark-sweep: the work of a collection is cut into steps, one whenever a thread asks for room, so no pause is long.

Marking goes on while the program runs and changes what has been looked at. So the compiler's write barrier tells of each
reference that is about to be stored into an object that is marked and waits no more, and what it names is marked: nothing is
looked at twice. Roots have no barrier and are looked at again whenever nothing waits. Marking is over when a step that has
looked at the roots comes to the end of what they name: a program that makes objects always holds a new one, so there is no
waiting for roots that name nothing new. Then the free lists are made afresh, a piece of the heap in each step. Objects that are
made meanwhile lie where sweeping has been already, or in extents it does not come to.

A step looks at so many words (WORK), an array in slices and an object that is none as a whole; one in which roots are looked
at takes these besides, and dead pages go back so many at a time. A room is smaller during a cycle, so that steps keep up with a
program that keeps all it makes. Who asks for room when the heap has reached its limit sweeps on until there is some; during
marking the heap may grow to twice its limit. Where that is not enough, or memory is short, the rest is done at once.

What it leaves out: a thread of its own for the collector; slices of a stack: all roots are looked at in one step.

Sources: Dijkstra et al., "On-the-fly garbage collection: an exercise in cooperation", CACM 1978 (the barrier); Baker, "List
processing in real time", CACM 1978 (steps at allocations).
"""

from singlab.kernel.core.freeruns import run_file, runs_forget
from singlab.kernel.core.heappolicies import OPEN
from singlab.kernel.core.objectheaps import extent_free, extent_trim, pages_tagged
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.heaplayout import (
    LAST,
    MARK,
    X_END,
    X_NEXT,
    X_START,
    X_TOP,
    Z_BYTES,
    Z_EXTENTS,
    Z_FREED,
    Z_GIVEN,
    Z_GRAY,
    Z_LIMIT,
    Z_LIVE,
    Z_MOVED,
    Z_PHASE,
    Z_ROOTS,
    Z_SLICE,
    Z_SLICE_END,
    Z_SWEEP,
    Z_SWEEP_AT,
    Z_SWEEP_LIVE,
    Z_SWEEP_RUN,
    Z_SWEPT,
    Z_TAG,
    Z_TROUBLE,
    Z_TYPE_COUNT,
    Z_TYPES,
)
from singlab.kernel.layout import G_PAGES, G_WINDOW, PAGE_SHIFT, RAM_BASE
from singlab.runtime.marksweep import ELEMENTS, LENGTH, shade, shade_roots, shaded
from singlab.runtime.objectforms import bytes_of, inside_of, mask_of, row_in, row_of, size_in
from singlab.runtime.stackwalk import threads_empty

TYPE = 0xFFFFFFFF
NEXT_SHIFT = 33
WORK = 500
SOONEST = 16384  # bytes made since the last cycle before there is another
IDLE = 0
MARKING = 1
SWEEPING = 2
FOREVER = 0xFFFFFFFFFFFFFFFF


def step_due(m, heap, wanted):
    """Return whether there is a step to do; the first of a cycle if a policy wants it (1), not if it does not (0), else late enough.

    That is when three quarters of what the last cycle left free have been given away: the cycle needs some of the rest, and each
    costs the same however much there is to free.
    """
    if ld64(m, heap + Z_PHASE) != IDLE:
        return 1
    if wanted < OPEN:
        return wanted
    free = ld64(m, heap + Z_LIMIT) - ld64(m, heap + Z_LIVE)
    start = free - (free >> 2)
    if start < SOONEST:
        start = SOONEST
    return ld64(m, heap + Z_GIVEN) >= start


def cycle_begin(m, heap, tag):
    """Begin to mark: with what the roots name."""
    st64(m, heap + Z_PHASE, MARKING)
    st64(m, heap + Z_GIVEN, 0)
    st64(m, heap + Z_GRAY, LAST)
    st64(m, heap + Z_SLICE, 0)
    st64(m, heap + Z_ROOTS, shade_roots(m, heap, tag))
    return 0


def shade_words(m, heap, tag, place, end):
    """Mark what words between two addresses (the kernel's) refer to."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    waiting = ld64(m, heap + Z_GRAY)
    while place < end:
        waiting = shaded(m, heap, tag, pages, window, types, span, waiting, ld64(m, place))
        place += 8
    st64(m, heap + Z_GRAY, waiting)
    return 0


def slice_on(m, heap, tag, work):
    """Look at more of the array that is looked at in slices, at most so many words; returns how many are left to be done."""
    place = ld64(m, heap + Z_SLICE)
    end = ld64(m, heap + Z_SLICE_END)
    if (end - place) >> 3 > work:
        end = place + work * 8
        st64(m, heap + Z_SLICE, end)
    else:
        st64(m, heap + Z_SLICE, 0)
    shade_words(m, heap, tag, place, end)
    return work - ((end - place) >> 3)


def mark_some(m, heap, tag, work):
    """Look at the references of what waits, about so many words; returns how many are left to be done."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    if ld64(m, heap + Z_SLICE) != 0:
        work = slice_on(m, heap, tag, work)
    waiting = ld64(m, heap + Z_GRAY)
    while (waiting != LAST) and (work != 0):
        word = (waiting << 3) + RAM_BASE
        if pages_tagged(m, word, 8, tag) == 0:  # a SIP could have written that
            st64(m, heap + Z_TROUBLE, word)
            return 0
        at = word + window
        header = ld64(m, at)
        row = row_in(m, types, span, header)
        size = size_in(m, tag, row, word, at)
        if (header & MARK == 0) or (header >> NEXT_SHIFT == 0) or (size == 0):
            st64(m, heap + Z_TROUBLE, word)
            return 0
        waiting = header >> NEXT_SHIFT
        st64(m, at, header & TYPE | MARK)
        cost = 1
        if inside_of(m, row) != 0:
            st64(m, heap + Z_GRAY, waiting)
            st64(m, heap + Z_SLICE, at + ELEMENTS)
            st64(m, heap + Z_SLICE_END, at + ELEMENTS + ld64(m, at + LENGTH) * 8)
            work = slice_on(m, heap, tag, work)
            waiting = ld64(m, heap + Z_GRAY)
        else:
            mask = mask_of(m, row)
            if mask != 0:
                cost = size >> 3
            while mask != 0:
                at += 8
                if mask & 1 != 0:
                    waiting = shaded(m, heap, tag, pages, window, types, span, waiting, ld64(m, at))
                mask = mask >> 1
        if cost > work:
            cost = work
        work -= cost
    st64(m, heap + Z_GRAY, waiting)
    return work


def nothing_waits(m, heap):
    """Return whether all that is marked has been looked at."""
    return (ld64(m, heap + Z_GRAY) == LAST) and (ld64(m, heap + Z_SLICE) == 0)


def sweep_begin(m, heap):
    """Marking is over: let the free lists be made afresh. What threads have not used of their room is swept like all else."""
    threads_empty(m, heap)
    runs_forget(m, heap)
    st64(m, heap + Z_PHASE, SWEEPING)
    st64(m, heap + Z_SWEPT, 0)
    st64(m, heap + Z_FREED, 0)
    st64(m, heap + Z_SWEEP, ld64(m, heap + Z_EXTENTS))
    st64(m, heap + Z_SWEEP_AT, 0)
    return 0


def extent_drop(m, heap, extent):
    """Give back an extent in which nothing is alive."""
    link = heap + Z_EXTENTS
    while ld64(m, link) != extent:
        link = ld64(m, link) + X_NEXT
    st64(m, link, ld64(m, extent + X_NEXT))
    st64(m, heap + Z_BYTES, ld64(m, heap + Z_BYTES) - (ld64(m, extent + X_END) - ld64(m, extent + X_START)))
    extent_free(m, heap, extent)
    return 0


def extent_shrink(m, heap, extent, work):
    """Give back as many pages of an extent in which nothing is alive as a step may; returns whether some are left for the next."""
    start = ld64(m, extent + X_START)
    end = ld64(m, extent + X_END)
    if (end - start) >> PAGE_SHIFT <= work:
        return 0
    if work == 0:  # what had just been swept has used it up
        return 1
    least = end - (work << PAGE_SHIFT)
    extent_trim(m, heap, extent, least)
    st64(m, extent + X_TOP, least)
    st64(m, heap + Z_BYTES, ld64(m, heap + Z_BYTES) - (end - least))
    st64(m, heap + Z_FREED, ld64(m, heap + Z_FREED) + (end - least))
    st64(m, heap + Z_SWEEP_AT, least + ld64(m, G_WINDOW))
    return 1


def sweep_some(m, heap, work):
    """Sweep on, about so many words; at the heap's end the cycle is over."""
    window = ld64(m, G_WINDOW)
    extent = ld64(m, heap + Z_SWEEP)
    if extent == 0:
        st64(m, heap + Z_PHASE, IDLE)
        st64(m, heap + Z_LIVE, ld64(m, heap + Z_SWEPT))
        return 0
    at = ld64(m, heap + Z_SWEEP_AT)
    run = ld64(m, heap + Z_SWEEP_RUN)
    live = ld64(m, heap + Z_SWEEP_LIVE)
    if at == 0:
        at = ld64(m, extent + X_START) + window
        run = at
        live = 0
    end = ld64(m, extent + X_END) + window
    while (at < end) and (work != 0):
        header = ld64(m, at)
        size = header >> 32 << 3
        work -= 1
        if header & TYPE != 0:
            row = row_of(m, heap, header)
            size = 0
            if row != 0:
                size = bytes_of(m, row, at)
            if (size == 0) or (size > end - at):
                st64(m, heap + Z_TROUBLE, at - window)
                return 0
            if header & MARK != 0:
                st64(m, at, header & TYPE)
                if run != at:
                    run_file(m, heap, run - window, at - run)
                live += size
                run = at + size
        elif size == 0:
            size = 8
        elif size > end - at:
            st64(m, heap + Z_TROUBLE, at - window)
            return 0
        at += size
    st64(m, heap + Z_SWEEP_AT, at)
    st64(m, heap + Z_SWEEP_RUN, run)
    st64(m, heap + Z_SWEEP_LIVE, live)
    if at >= end:
        if live == 0:
            if extent_shrink(m, heap, extent, work) != 0:
                return 0
        st64(m, heap + Z_SWEEP, ld64(m, extent + X_NEXT))
        st64(m, heap + Z_SWEEP_AT, 0)
        st64(m, heap + Z_SWEPT, ld64(m, heap + Z_SWEPT) + live)
        st64(m, heap + Z_FREED, ld64(m, heap + Z_FREED) + (end - window - ld64(m, extent + X_START)) - live)
        if live == 0:
            extent_drop(m, heap, extent)
        elif run < end:
            run_file(m, heap, run - window, end - run)
    return 0


def concurrent_work(m, heap, work):
    """Do a step of about so many words; all threads are at points."""
    tag = ld64(m, heap + Z_TAG)
    phase = ld64(m, heap + Z_PHASE)
    if phase == IDLE:
        cycle_begin(m, heap, tag)
    elif phase == SWEEPING:
        sweep_some(m, heap, work)
    else:
        left = mark_some(m, heap, tag, work)
        if nothing_waits(m, heap) != 0:
            st64(m, heap + Z_ROOTS, shade_roots(m, heap, tag))
            mark_some(m, heap, tag, left)
            if (nothing_waits(m, heap) != 0) and (ld64(m, heap + Z_TROUBLE) == 0):
                sweep_begin(m, heap)
    return 1


def concurrent_step(m, heap):
    """Do a step of a cycle."""
    return concurrent_work(m, heap, WORK)


def concurrent_collect(m, heap):
    """Do what is left of a cycle at once, or a whole one; what died during the first is found by the next."""
    concurrent_work(m, heap, FOREVER)
    while (ld64(m, heap + Z_PHASE) != IDLE) and (ld64(m, heap + Z_TROUBLE) == 0):
        concurrent_work(m, heap, FOREVER)
    st64(m, heap + Z_MOVED, 0)
    return 1


def shade_stored(m, heap, at, header, value):
    """The write barrier: a reference is about to be stored into an object that is marked and waits no more, so what it names is marked too."""
    if ld64(m, heap + Z_PHASE) == MARKING:
        return shade(m, heap, ld64(m, heap + Z_TAG), value)
    st64(m, at, header & TYPE | MARK | LAST << NEXT_SHIFT)  # it need not be told again before it is swept
    return 0
