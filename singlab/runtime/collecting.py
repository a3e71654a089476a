"""Room for objects: what an allocation comes to that finds none, and which collector does what.

A collector is two functions, for a heap whose process has all its threads at points: ``NAME_room(m, heap, size)`` returns
where zeroed room for an object lies without any collection, 0 if there is none, and leaves in Z_END where that room ends;
``NAME_collect(m, heap)`` collects, returns 0 if it could not even begin, and leaves its numbers in Z_ROOTS to Z_FREED. A
collector is added in :func:`heap_room` and :func:`heap_collect`.

A process whose threads are not all at points grows instead, to twice the limit of its heap; from there on the one that asks waits,
as if it had yielded. When it has waited PATIENCE times the heap grows all the same: a thread may be at no point for as long
as it likes, even until the waiting one has done something. Only if there is no memory does the one that asks wait for good.
"""

from singlab.kernel.abi import ABI_NUMBER
from singlab.kernel.core.domains import process_pages_alloc
from singlab.kernel.core.freeruns import marksweep_room
from singlab.kernel.core.heappolicies import OPEN, trigger_chosen
from singlab.kernel.core.memory import words_zero
from singlab.kernel.core.objectheaps import SMALLEST_LIMIT, collector_of, extent_retire, extent_room, heap_grow, heap_of, pages_tagged
from singlab.kernel.core.scheduler import queue_put, schedule
from singlab.kernel.core.words import emit, ld64, st64
from singlab.kernel.heaplayout import (
    AGAIN,
    CAUSE_FORCED,
    CAUSE_LIMIT,
    CAUSE_MEMORY,
    CAUSE_POLICY,
    CAUSE_STEP,
    COLLECT_ADAPTIVE,
    COLLECT_COMPACT,
    COLLECT_CONCURRENT,
    COLLECT_GENERATIONAL,
    COLLECT_MARK_SWEEP,
    COLLECT_NONE,
    DAMAGED,
    FULL,
    ROOM,
    Z_ACTIVE,
    Z_BARRIERS,
    Z_BYTES,
    Z_COLLECTOR,
    Z_COUNT,
    Z_END,
    Z_GIVEN,
    Z_LIMIT,
    Z_LIVE,
    Z_MOST,
    Z_PHASE,
    Z_STACK,
    Z_TAG,
    Z_TROUBLE,
    Z_WAITED,
)
from singlab.kernel.layout import (
    ENDED,
    G_COLLECT_EVERY,
    G_CURRENT,
    G_PREEMPTED_HEAD,
    G_WINDOW,
    P_OBJECT_HEAP,
    P_STATE,
    PAGE,
    PAGE_SHIFT,
    READY,
    STOPPED,
    T_A0,
    T_ID,
    T_PROCESS,
    T_STATE,
    TAG_HEAP,
)
from singlab.runtime.adaptive import adaptive_collect
from singlab.runtime.booking import book_begin, book_end, book_work
from singlab.runtime.compact import compact_collect
from singlab.runtime.concurrent import IDLE, SWEEPING, concurrent_collect, concurrent_step, concurrent_work, shade_stored, step_due
from singlab.runtime.generational import generational_collect, remember_old
from singlab.runtime.marksweep import marksweep_collect
from singlab.runtime.semispace import semispace_collect
from singlab.runtime.stackwalk import threads_empty, threads_stopped

THREAD_YIELD = 12
REFUSED = 28
CHUNK_PAGES = 4  # what a process without a collector is given at once
LARGEST_OBJECT = 0x1000040
E_BAD_ARGUMENT = 5
PATIENCE = 64
ABI_REMEMBER = ABI_NUMBER["remember"]
ALONE = 1  # upper half of the header of an object whose collector wants to know of stores


def heap_room(m, heap, size):
    """Return where zeroed room for an object lies, 0 if there is none without a collection."""
    collector = ld64(m, heap + Z_COLLECTOR)
    if collector == COLLECT_ADAPTIVE:
        collector = ld64(m, heap + Z_ACTIVE)
    if (collector == COLLECT_MARK_SWEEP) or (collector == COLLECT_CONCURRENT):
        return marksweep_room(m, heap, size)
    return extent_room(m, heap, size)


def heap_collect(m, heap, cause):
    """Collect a heap, or do a step of that; returns whether it was possible."""
    collector = ld64(m, heap + Z_COLLECTOR)
    if collector == COLLECT_MARK_SWEEP:
        return marksweep_collect(m, heap)
    if collector == COLLECT_COMPACT:
        return compact_collect(m, heap)
    if collector == COLLECT_GENERATIONAL:
        return generational_collect(m, heap, cause)
    if collector == COLLECT_CONCURRENT:
        if cause == CAUSE_STEP:
            return concurrent_step(m, heap)
        if cause == CAUSE_FORCED:  # steps of all sizes, the smallest too
            return concurrent_work(m, heap, 1 + (ld64(m, heap + Z_COUNT) & 63))
        return concurrent_collect(m, heap)
    if collector == COLLECT_ADAPTIVE:
        return adaptive_collect(m, heap)
    return semispace_collect(m, heap)


def next_limit(m, heap):
    """Return beyond how many bytes of a heap there is to be the next collection."""
    limit = ld64(m, heap + Z_LIMIT)
    if ld64(m, heap + Z_COLLECTOR) != COLLECT_GENERATIONAL:
        limit = ld64(m, heap + Z_LIVE) * 2
        if limit < SMALLEST_LIMIT:
            limit = SMALLEST_LIMIT
        if limit > ld64(m, heap + Z_MOST):
            limit = ld64(m, heap + Z_MOST)
    return limit


def collection(m, heap, cause):
    """Collect a heap whose threads are all at points, and book it; returns whether it was possible."""
    began = book_begin(m, heap, cause)
    done = heap_collect(m, heap, cause)
    if done != 0:
        if ld64(m, heap + Z_COLLECTOR) != COLLECT_CONCURRENT:
            threads_empty(m, heap)
            st64(m, heap + Z_GIVEN, 0)
        st64(m, heap + Z_LIMIT, next_limit(m, heap))
        book_work(m, heap)
    book_end(m, heap, began)
    return done


def room_found(m, heap, size, limit):
    """Return room for an object, with more pages if the heap may have so many bytes; 0 = none."""
    room = heap_room(m, heap, size)
    if room == 0:
        if heap_grow(m, heap, size, limit) != 0:
            room = heap_room(m, heap, size)
    return room


def room_beside(m, heap, size):
    """Return room for an object while threads of the process are at no points; 1 = the one that asks is to wait."""
    most = ld64(m, heap + Z_MOST)
    waited = ld64(m, heap + Z_WAITED)
    if (waited < PATIENCE) and (ld64(m, heap + Z_LIMIT) < most >> 1):
        most = ld64(m, heap + Z_LIMIT) << 1
    room = room_found(m, heap, size, most)
    if room == 0:
        st64(m, heap + Z_WAITED, waited + 1)
        return 1
    st64(m, heap + Z_WAITED, 0)
    return room


def room_meanwhile(m, heap, size, limit):
    """Return room for an object in a heap that is collected in steps and has reached its limit: by sweeping on, else beyond the limit; 0 = none."""
    if threads_stopped(m, heap) == 0:
        return 0
    if ld64(m, heap + Z_PHASE) == IDLE:
        collection(m, heap, CAUSE_STEP)
    room = 0
    while (room == 0) and (ld64(m, heap + Z_PHASE) == SWEEPING) and (ld64(m, heap + Z_TROUBLE) == 0):
        collection(m, heap, CAUSE_STEP)
        room = room_found(m, heap, size, limit)
    if (room == 0) and (ld64(m, heap + Z_TROUBLE) == 0):
        most = ld64(m, heap + Z_MOST)
        if (limit << 1) + size < most:
            most = (limit << 1) + size
        room = room_found(m, heap, size, most)
    return room


def room_made(m, heap, size):
    """Return room for an object, with a collection if need be; 0 = none, 1 = none as long as other threads run on."""
    forced = ld64(m, G_COLLECT_EVERY)
    limit = 0
    wanted = OPEN
    room = 0
    if forced == 0:
        wanted = trigger_chosen(m, heap)
        bound = heap + Z_MOST
        if wanted == OPEN:
            bound = heap + Z_LIMIT
        if ld64(m, heap + Z_COLLECTOR) == COLLECT_CONCURRENT:
            if step_due(m, heap, wanted) != 0:
                if threads_stopped(m, heap) != 0:
                    collection(m, heap, CAUSE_STEP)
            wanted = 0
        limit = ld64(m, bound)
        if wanted != 1:
            room = room_found(m, heap, size, limit)
        if (room == 0) and (ld64(m, heap + Z_COLLECTOR) == COLLECT_CONCURRENT):
            room = room_meanwhile(m, heap, size, limit)
    if room == 0:
        if threads_stopped(m, heap) == 0:
            return room_beside(m, heap, size)
        cause = CAUSE_LIMIT
        if forced != 0:
            cause = CAUSE_FORCED
        elif wanted == 1:
            cause = CAUSE_POLICY
        elif ld64(m, heap + Z_BYTES) + size <= limit:
            cause = CAUSE_MEMORY
        collection(m, heap, cause)
        room = room_found(m, heap, size, ld64(m, heap + Z_LIMIT))
        if room == 0:
            room = room_found(m, heap, size, ld64(m, heap + Z_MOST))
        collector = ld64(m, heap + Z_COLLECTOR)
        if (room == 0) and ((cause == CAUSE_FORCED) or (collector == COLLECT_GENERATIONAL) or (collector == COLLECT_CONCURRENT)):  # that may not have been all
            collection(m, heap, CAUSE_MEMORY)
            room = room_found(m, heap, size, ld64(m, heap + Z_MOST))
    return room


def collect_at_call(m, thread):
    """Collect the heap of a thread that is in a call of the kernel, if that can be now; what it keeps is in its record."""
    process = ld64(m, thread + T_PROCESS)
    heap = ld64(m, process + P_OBJECT_HEAP)
    if (heap == 0) or (ld64(m, process + P_STATE) == STOPPED) or (ld64(m, thread + T_STATE) == ENDED):
        return 0
    current = ld64(m, G_CURRENT)
    st64(m, G_CURRENT, 0)
    done = 0
    if threads_stopped(m, heap) != 0:
        done = collection(m, heap, CAUSE_FORCED)
    st64(m, G_CURRENT, current)
    return done


def pages_room(m, thread, process, size, top, limit):
    """Give a process without a collector pages for its objects; they are taken back at its end."""
    count = (size + PAGE - 1) >> PAGE_SHIFT
    if count < CHUNK_PAGES:
        count = CHUNK_PAGES
    address = process_pages_alloc(m, process, count, TAG_HEAP)
    if address == 0:
        return 0
    at = address + ld64(m, G_WINDOW)
    words_zero(m, at, at + count * PAGE)
    if address != limit:  # else the pages go on where the last ones ended
        top = address
    st64(m, thread + T_A0, ROOM)
    st64(m, thread + T_A0 + 8, top)
    st64(m, thread + T_A0 + 16, address + count * PAGE)
    return 0


def abi_get_room(m, size, top, limit, stack):
    """Give the calling thread room for an object, collecting its process's heap if need be."""
    thread = ld64(m, G_CURRENT)
    process = ld64(m, thread + T_PROCESS)
    st64(m, thread + T_A0, FULL)
    if (size == 0) or (size > LARGEST_OBJECT):
        return 0
    heap = heap_of(m, process)
    if heap == 0:
        if collector_of(m, process) == COLLECT_NONE:
            pages_room(m, thread, process, size, top, limit)
        return 0
    st64(m, heap + Z_STACK, stack)
    if ld64(m, heap + Z_COLLECTOR) != COLLECT_CONCURRENT:  # what is left may be swept already
        extent_retire(m, heap, top, limit)
    room = room_made(m, heap, (size + 7) & ~7)
    if ld64(m, heap + Z_TROUBLE) != 0:
        st64(m, thread + T_A0, DAMAGED)
        return 0
    if room == 1:  # as if it had yielded; then it asks again
        number = ld64(m, thread + T_ID)
        st64(m, thread + T_A0, AGAIN)
        emit(m, THREAD_YIELD, number, 0)
        st64(m, thread + T_STATE, READY)
        queue_put(m, G_PREEMPTED_HEAD, thread)
        schedule(m, number)
        return 0
    if room != 0:
        st64(m, heap + Z_GIVEN, ld64(m, heap + Z_GIVEN) + ld64(m, heap + Z_END) - room)
        st64(m, thread + T_A0, ROOM)
        st64(m, thread + T_A0 + 8, room)
        st64(m, thread + T_A0 + 16, ld64(m, heap + Z_END))
    return 0


def abi_remember(m, word, value):
    """The write barrier: a reference is about to be stored into an object of the calling process, whose collector wants to know."""
    process = ld64(m, ld64(m, G_CURRENT) + T_PROCESS)
    heap = ld64(m, process + P_OBJECT_HEAP)
    if heap != 0:
        collector = ld64(m, heap + Z_COLLECTOR)
        if (word & 7 == 0) and (pages_tagged(m, word, 8, ld64(m, heap + Z_TAG)) != 0):
            at = word + ld64(m, G_WINDOW)
            header = ld64(m, at)
            if header >> 32 == ALONE:
                st64(m, heap + Z_BARRIERS, ld64(m, heap + Z_BARRIERS) + 1)
                if collector == COLLECT_GENERATIONAL:
                    return remember_old(m, heap, word, at, header)
                if collector == COLLECT_CONCURRENT:
                    return shade_stored(m, heap, at, header, value)
    emit(m, REFUSED, ABI_REMEMBER, E_BAD_ARGUMENT)
    return E_BAD_ARGUMENT
