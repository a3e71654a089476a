"""Free runs: the memory of a heap that is swept, where its extents are not new any more.

Runs stand in lists by their size, a list for each power of two; a thread is given a run, or a part of one, and puts its
objects there one behind the other. Of a run the first word says how many words it has, in its upper half, and the second is the
next one of its list; a run of one word stands in no list.

Source: Wilson, "Uniprocessor garbage collection techniques", IWMM 1992, section 2.2.
"""

from singlab.kernel.core.memory import words_zero
from singlab.kernel.core.objectheaps import CHUNK
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.heaplayout import RUN_LISTS, X_END, X_TOP, Z_END, Z_EXTENTS, Z_LARGEST, Z_PHASE, Z_RUNS
from singlab.kernel.layout import G_COLLECT_EVERY, G_WINDOW

SMALLEST_RUN = 16
TRIES = 8  # runs of an object's own list that are looked at


def list_of(m, heap, size):
    """Return the list in which runs of a size stand."""
    place = heap + Z_RUNS
    last = place + (RUN_LISTS - 1) * 8
    size = size >> 5
    while (size != 0) and (place < last):
        size = size >> 1
        place += 8
    return place


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
    chunk = CHUNK
    if ld64(m, heap + Z_PHASE) != 0:  # it is collected in steps, one for each room that is given
        chunk = CHUNK >> 2
    given = size
    if (given < chunk) and (ld64(m, G_COLLECT_EVERY) == 0):
        given = chunk
    if given >= there:
        given = there
    else:
        run_file(m, heap, run + given, there - given)
    words_zero(m, run + window, run + window + given)
    st64(m, heap + Z_END, run + given)
    return run


def runs_forget(m, heap):
    """Empty the lists: whoever sweeps the heap fills them again."""
    place = heap + Z_RUNS
    while place < heap + Z_RUNS + RUN_LISTS * 8:
        st64(m, place, 0)
        place += 8
    st64(m, heap + Z_LARGEST, 0)
    return 0
