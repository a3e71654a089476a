"""Generational semispace: young objects are collected often, the whole heap seldom.

Objects are born young. A minor collection copies the young ones that can be reached, and all room of the young is free
again: it costs as much as survives. A young object's header counts the collections it has survived; when they are as
many as the heap's tenuring age it is copied behind the old ones, else to a space of survivors, which are still young.
An old object's header has the bit OLD. References from old
objects to young ones are roots of a minor collection, and the compiler's write barrier finds them: a store into an object
whose upper half of the header is OLD and nothing else calls ``remember``, which puts the object into the
remembered set, a list through the headers of its objects; so each comes into it once. A minor collection looks at all the
references of a remembered object and takes it out of the set, unless it still refers to a young one; one that has just
become old comes into the set if it does.

When the old objects have doubled since all were looked at last, a major collection copies everything, as the semispace
collector does.

With a tenuring age of 1 what survives once is old, and there are no survivors' spaces; that is what a heap has if no policy
says otherwise.

Source: Ungar, "Generation scavenging", 1984; Bartok's generational semi-space collector is described in Singularity's OSR paper.
"""

from singlab.kernel.core.heappolicies import nursery_chosen, tenure_chosen
from singlab.kernel.core.memory import bytes_copy, words_zero
from singlab.kernel.core.objectheaps import (
    SMALLEST_LIMIT,
    extent_free,
    extent_new,
    extent_trim,
    extents_bytes,
    extents_free,
    extents_used,
    pages_tagged,
)
from singlab.kernel.core.words import film_step, ld32, ld64, st64
from singlab.kernel.heaplayout import (
    AGE_SHIFT,
    CAUSE_MEMORY,
    LAST,
    MOVE,
    OLD,
    OLDEST,
    PHASE,
    REMEMBER,
    ROOT,
    SCAN,
    X_END,
    X_NEXT,
    X_START,
    X_TOP,
    Z_AGES,
    Z_AGING,
    Z_BYTES,
    Z_EXTENTS,
    Z_FREE,
    Z_FREED,
    Z_LIMIT,
    Z_LIVE,
    Z_MAJOR,
    Z_MAJORS,
    Z_MOST,
    Z_MOVED,
    Z_NURSERY,
    Z_OLD,
    Z_REMEMBERED,
    Z_ROOTS,
    Z_TAG,
    Z_TENURE,
    Z_TO,
    Z_TROUBLE,
    Z_TYPE_COUNT,
    Z_TYPES,
    Z_YOUNG_FREE,
    Z_YOUNG_START,
    Z_YOUNG_TO,
)
from singlab.kernel.layout import G_PAGES, G_WINDOW, PAGE_SHIFT, PAGE_TAGS, RAM_BASE
from singlab.runtime.objectforms import bytes_by, inside_by, inside_of, mask_of, row_in, row_of, size_of
from singlab.runtime.stackwalk import root_next, roots_begin

MOVED = 0x8000000000000000  # in a header: the rest is where the object is now
ADDRESS = 0x7FFFFFFFFFFFFFFF
ELEMENTS = 16
LENGTH = 8
TYPE = 0xFFFFFFFF
NEXT_SHIFT = 33  # in a header of one that is: the next one's place, a number of words from the beginning of RAM


def promote(m, heap, tag, skip, pages, window, word):
    """Return where the object is that a word names, copied to the old ones now if it has not been; one with a bit of ``skip`` stays."""
    page = (word - RAM_BASE) >> PAGE_SHIFT
    if page >= pages:  # None
        return word
    if ld32(m, PAGE_TAGS + page * 4) != tag:  # constant text
        return word
    at = word + window
    header = ld64(m, at)
    if header & MOVED != 0:
        return header & ADDRESS
    if header & skip != 0:
        return word
    size = size_of(m, heap, tag, word, header)
    to = heap + Z_TO
    upper = OLD
    aging = ld64(m, heap + Z_AGING)
    if aging > 1:
        age = (header >> AGE_SHIFT & OLDEST) + 1
        count = heap + Z_AGES + age * 8
        st64(m, count, ld64(m, count) + size)
        if age < aging:
            to = heap + Z_YOUNG_TO
            upper = age << AGE_SHIFT
    free = ld64(m, to + (Z_FREE - Z_TO))
    if (size == 0) or (size > ld64(m, ld64(m, to) + X_END) - free):
        st64(m, heap + Z_TROUBLE, word)
        return word
    st64(m, free + window, header & TYPE | upper)
    bytes_copy(m, at + 8, free + window + 8, size - 8)
    st64(m, at, free | MOVED)
    film_step(m, MOVE, word, free)
    st64(m, to + (Z_FREE - Z_TO), free + size)
    return free


def promote_inside(m, heap, tag, skip, pages, window, row, at):
    """Let all references in an object at an address (the kernel's) name where objects are now; returns its size."""
    about = ld64(m, row)
    mask = mask_of(m, row)
    place = at + 8
    while mask != 0:
        if mask & 1 != 0:
            st64(m, place, promote(m, heap, tag, skip, pages, window, ld64(m, place)))
        mask = mask >> 1
        place += 8
    if inside_by(m, about) != 0:
        place = at + ELEMENTS
        end = place + ld64(m, at + LENGTH) * 8
        while place < end:
            st64(m, place, promote(m, heap, tag, skip, pages, window, ld64(m, place)))
            place += 8
    return bytes_by(m, about, at)


def still_young(m, heap, at):
    """Return whether an object at an address (the kernel's) refers to one among the survivors."""
    start = ld64(m, heap + Z_YOUNG_START)
    length = ld64(m, heap + Z_YOUNG_FREE) - start
    row = row_of(m, heap, ld64(m, at))
    mask = mask_of(m, row)
    place = at + 8
    while mask != 0:
        if mask & 1 != 0:
            if ld64(m, place) - start < length:
                return 1
        mask = mask >> 1
        place += 8
    if inside_of(m, row) != 0:
        place = at + ELEMENTS
        end = place + ld64(m, at + LENGTH) * 8
        while place < end:
            if ld64(m, place) - start < length:
                return 1
            place += 8
    return 0


def remember_young(m, heap, at, word):
    """Take an old object into the remembered set if it refers to one among the survivors."""
    if still_young(m, heap, at) != 0:
        st64(m, at, ld64(m, at) & TYPE | OLD | ld64(m, heap + Z_REMEMBERED) << NEXT_SHIFT)
        st64(m, heap + Z_REMEMBERED, (word - RAM_BASE) >> 3)
        film_step(m, REMEMBER, word, 1)
    return 0


def promote_roots(m, heap, tag, skip):
    """Copy what roots name; returns how many roots there are."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    roots = 0
    film_step(m, PHASE, 0, 0)
    roots_begin(m, heap)
    slot = root_next(m, heap)
    while slot != 0:
        film_step(m, ROOT, slot, 0)
        st64(m, slot, promote(m, heap, tag, skip, pages, window, ld64(m, slot)))
        roots += 1
        slot = root_next(m, heap)
    return roots


def old_room(m, heap, size):
    """Let objects go behind the old ones, where so many bytes have room; returns whether there is memory for that."""
    to = ld64(m, heap + Z_OLD)
    if to != 0:
        if ld64(m, to + X_END) - ld64(m, to + X_TOP) >= size:
            st64(m, heap + Z_TO, to)
            st64(m, heap + Z_FREE, ld64(m, to + X_TOP))
            return 1
    wanted = size
    if wanted < SMALLEST_LIMIT:
        wanted = SMALLEST_LIMIT
    to = extent_new(m, heap, wanted)
    if to == 0:
        to = extent_new(m, heap, size)
        if to == 0:
            return 0
    st64(m, to + X_NEXT, ld64(m, heap + Z_OLD))
    st64(m, heap + Z_OLD, to)
    st64(m, heap + Z_BYTES, ld64(m, heap + Z_BYTES) + ld64(m, to + X_END) - ld64(m, to + X_START))
    st64(m, heap + Z_TO, to)
    st64(m, heap + Z_FREE, ld64(m, to + X_START))
    return 1


def scan_on(m, heap, tag, skip, scan):
    """Look at the references of all objects that have come behind a place, until none comes any more."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    types = ld64(m, heap + Z_TYPES)
    span = ld64(m, heap + Z_TYPE_COUNT) << 4
    aging = ld64(m, heap + Z_AGING)
    young = ld64(m, heap + Z_YOUNG_START)
    film_step(m, PHASE, 2, 0)
    going = 1
    while going != 0:
        going = 0
        while scan < ld64(m, heap + Z_FREE):
            at = scan + window
            size = promote_inside(m, heap, tag, skip, pages, window, row_in(m, types, span, ld64(m, at)), at)
            film_step(m, SCAN, scan, 0)
            if aging > 1:
                remember_young(m, heap, at, scan)
            scan += size
        if aging > 1:
            while young < ld64(m, heap + Z_YOUNG_FREE):
                at = young + window
                size = promote_inside(m, heap, tag, skip, pages, window, row_in(m, types, span, ld64(m, at)), at)
                film_step(m, SCAN, young, 0)
                young += size
                going = 1
    st64(m, ld64(m, heap + Z_TO) + X_TOP, scan)
    return scan


def survivors_begin(m, heap, size):
    """Let objects that survive, and stay young, go to a space of so many bytes; where there is no memory for it all become old."""
    to = extent_new(m, heap, size)
    if to == 0:
        st64(m, heap + Z_AGING, 1)
        return 0
    st64(m, heap + Z_YOUNG_TO, to)
    st64(m, heap + Z_YOUNG_START, ld64(m, to + X_START))
    st64(m, heap + Z_YOUNG_FREE, ld64(m, to + X_START))
    return 0


def survivors_keep(m, heap, kept):
    """Put the space of survivors behind the extent that threads are given room from."""
    to = ld64(m, heap + Z_YOUNG_TO)
    free = ld64(m, heap + Z_YOUNG_FREE)
    if free == ld64(m, heap + Z_YOUNG_START):
        extent_free(m, heap, to)
        return 0
    extent_trim(m, heap, to, free)
    st64(m, to + X_TOP, free)
    st64(m, heap + Z_BYTES, ld64(m, heap + Z_BYTES) + ld64(m, to + X_END) - ld64(m, to + X_START))
    if kept != 0:
        st64(m, kept + X_NEXT, to)
    else:
        st64(m, heap + Z_EXTENTS, to)
    return 0


def young_empty(m, heap):
    """Give back the young extents but one, whose room is free again; the survivors' is one of the young from now on."""
    most = ld64(m, heap + Z_NURSERY)
    kept = ld64(m, heap + Z_EXTENTS)
    while kept != 0:
        if ld64(m, kept + X_END) - ld64(m, kept + X_START) <= most:
            break
        kept = ld64(m, kept + X_NEXT)
    extent = ld64(m, heap + Z_EXTENTS)
    st64(m, heap + Z_EXTENTS, kept)
    while extent != 0:
        following = ld64(m, extent + X_NEXT)
        if extent == kept:
            st64(m, extent + X_TOP, ld64(m, extent + X_START))
            st64(m, extent + X_NEXT, 0)
        else:
            st64(m, heap + Z_BYTES, ld64(m, heap + Z_BYTES) - (ld64(m, extent + X_END) - ld64(m, extent + X_START)))
            extent_free(m, heap, extent)
        extent = following
    if ld64(m, heap + Z_AGING) > 1:
        survivors_keep(m, heap, kept)
    return 0


def remembered_scan(m, heap, tag):
    """Let the remembered objects name where young ones are now, and forget them."""
    pages = ld64(m, G_PAGES)
    window = ld64(m, G_WINDOW)
    place = ld64(m, heap + Z_REMEMBERED)
    st64(m, heap + Z_REMEMBERED, LAST)
    film_step(m, PHASE, 1, 0)
    while place != LAST:
        word = (place << 3) + RAM_BASE
        if pages_tagged(m, word, 8, tag) == 0:  # a SIP could have written that
            st64(m, heap + Z_TROUBLE, word)
            return 0
        at = word + window
        header = ld64(m, at)
        st64(m, at, header & TYPE | OLD)
        if (size_of(m, heap, tag, word, header) == 0) or (header & OLD == 0):
            st64(m, heap + Z_TROUBLE, word)
            return 0
        promote_inside(m, heap, tag, OLD, pages, window, row_of(m, heap, header), at)
        film_step(m, REMEMBER, word, 0)
        if ld64(m, heap + Z_AGING) > 1:
            remember_young(m, heap, at, word)
        place = header >> NEXT_SHIFT
    return 0


def minor(m, heap):
    """Collect the young objects; returns 0 if there is no memory for what may survive."""
    tag = ld64(m, heap + Z_TAG)
    used = extents_used(m, ld64(m, heap + Z_EXTENTS))
    if old_room(m, heap, used + 8) == 0:
        return 0
    start = ld64(m, heap + Z_FREE)
    aging = tenure_chosen(m, heap, ld64(m, heap + Z_TENURE))
    st64(m, heap + Z_TENURE, aging)
    st64(m, heap + Z_AGING, aging)
    words_zero(m, heap + Z_AGES, heap + Z_AGES + (OLDEST + 1) * 8)
    if aging > 1:
        survivors_begin(m, heap, used + 8)
    st64(m, heap + Z_ROOTS, promote_roots(m, heap, tag, OLD))
    remembered_scan(m, heap, tag)
    moved = scan_on(m, heap, tag, OLD, start) - start
    live = extents_used(m, ld64(m, heap + Z_OLD))
    if ld64(m, heap + Z_AGING) > 1:
        survived = ld64(m, heap + Z_YOUNG_FREE) - ld64(m, heap + Z_YOUNG_START)
        moved += survived
        live += survived
    else:
        st64(m, heap + Z_AGES + 8, moved)
    young_empty(m, heap)
    st64(m, heap + Z_LIVE, live)
    st64(m, heap + Z_MOVED, moved)
    st64(m, heap + Z_FREED, used - moved)
    return 1


def major(m, heap):
    """Collect the whole heap; returns 0 if there is no memory for a copy of it."""
    tag = ld64(m, heap + Z_TAG)
    used = extents_used(m, ld64(m, heap + Z_EXTENTS)) + extents_used(m, ld64(m, heap + Z_OLD))
    old = ld64(m, heap + Z_OLD)
    st64(m, heap + Z_OLD, 0)
    if old_room(m, heap, used + 8) == 0:
        st64(m, heap + Z_OLD, old)
        return 0
    start = ld64(m, heap + Z_FREE)
    st64(m, heap + Z_REMEMBERED, LAST)
    st64(m, heap + Z_AGING, 1)
    st64(m, heap + Z_ROOTS, promote_roots(m, heap, tag, 0))
    moved = scan_on(m, heap, tag, 0, start) - start
    young_empty(m, heap)
    extents_free(m, heap, old)
    to = ld64(m, heap + Z_TO)
    extent_trim(m, heap, to, start + moved + 8)
    st64(m, heap + Z_BYTES, extents_bytes(m, to) + extents_bytes(m, ld64(m, heap + Z_EXTENTS)))
    st64(m, heap + Z_LIVE, moved)
    st64(m, heap + Z_MOVED, moved)
    st64(m, heap + Z_FREED, used - moved)
    threshold = moved * 2
    if threshold < SMALLEST_LIMIT * 2:
        threshold = SMALLEST_LIMIT * 2
    st64(m, heap + Z_MAJOR, threshold)
    st64(m, heap + Z_MAJORS, ld64(m, heap + Z_MAJORS) + 1)
    return 1


def survivors_bytes(m, heap):
    """Return how many bytes the young extents have behind the one that threads are given room from."""
    extent = ld64(m, heap + Z_EXTENTS)
    if (ld64(m, heap + Z_AGING) == 1) or (extent == 0):
        return 0
    if ld64(m, extent + X_NEXT) == 0:  # they are alone
        return (ld64(m, extent + X_TOP) != ld64(m, extent + X_START)) * (ld64(m, extent + X_END) - ld64(m, extent + X_START))
    return extents_bytes(m, ld64(m, extent + X_NEXT))


def generational_collect(m, heap, cause):
    """Collect the young objects, or all if the old ones have become many, or there is no memory for more of them or for the program."""
    done = 0
    most = ld64(m, heap + Z_MOST)
    old = extents_bytes(m, ld64(m, heap + Z_OLD))
    if (old <= ld64(m, heap + Z_MAJOR)) and (old + ld64(m, heap + Z_NURSERY) <= most) and (cause != CAUSE_MEMORY):
        done = minor(m, heap)
    if (done == 0) or ((ld64(m, heap + Z_BYTES) > most) and (survivors_bytes(m, heap) != 0)):  # survivors leave no room for new ones
        done = done | major(m, heap)
    if done == 0:
        return 0
    young = ld64(m, heap + Z_EXTENTS)
    if (ld64(m, heap + Z_BYTES) > most) and (survivors_bytes(m, heap) == 0):  # what has survived leaves no room for young ones
        st64(m, heap + Z_EXTENTS, 0)
        st64(m, heap + Z_BYTES, ld64(m, heap + Z_BYTES) - extents_bytes(m, young))
        extents_free(m, heap, young)
    st64(m, heap + Z_NURSERY, nursery_chosen(m, heap, ld64(m, heap + Z_NURSERY)))
    limit = extents_bytes(m, ld64(m, heap + Z_OLD)) + ld64(m, heap + Z_NURSERY) + survivors_bytes(m, heap)
    if limit > most:
        limit = most
    st64(m, heap + Z_LIMIT, limit)
    return 1


def remember_old(m, heap, word, at, header):
    """The write barrier: an old object is about to be changed; from now on it is remembered."""
    st64(m, at, header & TYPE | OLD | ld64(m, heap + Z_REMEMBERED) << NEXT_SHIFT)
    st64(m, heap + Z_REMEMBERED, (word - RAM_BASE) >> 3)
    return 0
