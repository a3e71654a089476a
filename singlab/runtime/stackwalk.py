"""Roots: the words outside its heap in which a process holds references to its objects, found by the image's stack maps.

Constant text is in the image, and a program has no variables outside its functions: so roots are words of stacks, and the
registers that a call preserves. Every thread of the process must stand at a point, a place of which a map says what it
holds: behind a call, or in a call of the kernel. A thread that was interrupted elsewhere is asked to come to one: its room
is declared used up, so that its next allocation asks the kernel.

The walk goes from the top function down, as :mod:`singlab.kernel.roots` does from outside. What a SIP can write, stack
pointer and return addresses, is only followed within its own stacks. Where a function returns to the code that unlinks a segment of
the stack, the walk goes on in the segment before, as the kernel's record of that segment says.
"""

from singlab.kernel.core.objectheaps import pages_tagged
from singlab.kernel.core.words import ld32, ld64, st64
from singlab.kernel.heaplayout import (
    Z_MAPS,
    Z_PLACES,
    Z_PROCESS,
    Z_STACK,
    Z_TROUBLE,
    Z_WALK_COUNT,
    Z_WALK_FRAME,
    Z_WALK_OFFSET,
    Z_WALK_REGISTERS,
    Z_WALK_STACK,
    Z_WALK_THREAD,
    Z_WALK_WORDS,
)
from singlab.kernel.layout import (
    ENDED,
    G_CURRENT,
    G_WINDOW,
    I_UNLINK,
    OWNER_SHIFT,
    P_CODE,
    P_CODE_BYTES,
    P_ID,
    P_IMAGE,
    P_THREADS,
    PAGE_SHIFT,
    SEG_BASE,
    SEG_NEXT,
    SEG_PAGES,
    SEG_RETURN,
    SEG_SP,
    T_CONTEXT,
    T_FULL,
    T_PC,
    T_SEGMENTS,
    T_SIBLING,
    T_STATE,
    TAG_STACK,
)
from singlab.runtime.kernelroots import kernel_root_next, kernel_roots_begin

RA = 1
SP = 2
LIMIT = 26
TOP = 27
REGISTERS = 32
HEADER_WORDS = 12  # bytes before the functions' rows in the stack maps
FUNCTION_ROW = 16
POINT_ROW = 8


def frame_of(m, maps, offset):
    """Return the row of the function whose call returns to a byte of the code; 0 if it is none that has one."""
    low = 0
    count = ld32(m, maps)
    high = count
    rows = maps + HEADER_WORDS
    while low < high:
        middle = (low + high) >> 1
        if ld32(m, rows + middle * FUNCTION_ROW + 4) < offset:
            low = middle + 1
        else:
            high = middle
    row = rows + low * FUNCTION_ROW
    if low == count:
        return 0
    if ld32(m, row) + 4 > offset:
        return 0
    return row


def point_of(m, maps, offset):
    """Return the map of a return address, 0 if it has none."""
    low = 0
    count = ld32(m, maps + 4)
    high = count
    rows = maps + HEADER_WORDS + ld32(m, maps) * FUNCTION_ROW
    while low < high:
        middle = (low + high) >> 1
        if ld32(m, rows + middle * POINT_ROW) < offset:
            low = middle + 1
        else:
            high = middle
    row = rows + low * POINT_ROW
    if low == count:
        return 0
    if ld32(m, row) != offset:
        return 0
    return rows + count * POINT_ROW + ld32(m, row + 4)


def threads_stopped(m, heap):
    """Return whether every thread of the heap's process stands at a point; who does not is asked to come to one."""
    process = ld64(m, heap + Z_PROCESS)
    code = ld64(m, process + P_CODE)
    maps = ld64(m, heap + Z_MAPS)
    stopped = 1
    thread = ld64(m, process + P_THREADS)
    while thread != 0:
        if (thread != ld64(m, G_CURRENT)) and (ld64(m, thread + T_STATE) != ENDED) and (ld64(m, thread + T_FULL) != 0):
            offset = ld64(m, thread + T_PC) - code
            # one that has not begun stands before its function; one outside the image is on its way into the kernel, or out
            if (offset >= ld64(m, process + P_CODE_BYTES)) or (frame_of(m, maps, offset + 4) != 0):
                st64(m, thread + T_CONTEXT + LIMIT * 8, 0)
                stopped = 0
        thread = ld64(m, thread + T_SIBLING)
    return stopped


def threads_empty(m, heap):
    """Let every other thread of the heap's process ask for room at its next allocation: what it had is gone."""
    thread = ld64(m, ld64(m, heap + Z_PROCESS) + P_THREADS)
    while thread != 0:
        if thread != ld64(m, G_CURRENT):
            st64(m, thread + T_CONTEXT + LIMIT * 8, 0)
            st64(m, thread + T_CONTEXT + TOP * 8, 0)
        thread = ld64(m, thread + T_SIBLING)
    return 0


def thread_begin(m, heap, thread):
    """Begin the walk with a thread; 0 = the walk is over."""
    st64(m, heap + Z_WALK_THREAD, thread)
    if thread == 0:
        return 0
    register = 0
    places = heap + Z_PLACES
    running = thread == ld64(m, G_CURRENT)
    while register < REGISTERS:
        place = thread + T_CONTEXT + register * 8
        if running != 0:  # it has put them on its stack before it called
            place = 0
        st64(m, places + register * 8, place)
        register += 1
    stack = ld64(m, thread + T_CONTEXT + SP * 8)
    if running != 0:
        stack = ld64(m, heap + Z_STACK)
    offset = 0
    if ld64(m, thread + T_STATE) != ENDED:
        offset = ld64(m, thread + T_PC) - ld64(m, ld64(m, heap + Z_PROCESS) + P_CODE)
    st64(m, heap + Z_WALK_FRAME, 0)
    st64(m, heap + Z_WALK_OFFSET, offset)
    st64(m, heap + Z_WALK_STACK, stack)
    return 1


def segment_ending(m, heap, stack):
    """Return the segment of the walked thread's stack that ends at an address, if it was linked; 0 if there is none."""
    segment = ld64(m, ld64(m, heap + Z_WALK_THREAD) + T_SEGMENTS)
    while segment != 0:
        if ld64(m, segment + SEG_BASE) + (ld64(m, segment + SEG_PAGES) << PAGE_SHIFT) == stack:
            if ld64(m, segment + SEG_NEXT) != 0:
                return segment
            return 0
        segment = ld64(m, segment + SEG_NEXT)
    return 0


def frame_leave(m, heap, frame):
    """Go from a function to its caller: what it keeps are the caller's registers."""
    stack = ld64(m, heap + Z_WALK_STACK)
    about = ld32(m, frame + 8)
    place = stack + (about >> 16) + ld64(m, G_WINDOW)
    mask = ld32(m, frame + 12)
    at = heap + Z_PLACES
    while mask != 0:
        if mask & 1 != 0:
            st64(m, at, place)
            place += 8
        at += 8
        mask = mask >> 1
    back = ld64(m, heap + Z_PLACES + RA * 8)
    offset = 0
    process = ld64(m, heap + Z_PROCESS)
    if back != 0:
        offset = ld64(m, back) - ld64(m, process + P_CODE)
    st64(m, heap + Z_PLACES + RA * 8, 0)  # a function that calls has kept its own
    stack += about & 0xFFFF
    unlink = ld64(m, ld64(m, process + P_IMAGE) + I_UNLINK)
    if (unlink != 0) and (offset == unlink):
        segment = segment_ending(m, heap, stack)
        if segment != 0:
            offset = ld64(m, segment + SEG_RETURN) - ld64(m, process + P_CODE)
            stack = ld64(m, segment + SEG_SP)
    st64(m, heap + Z_WALK_OFFSET, offset)
    st64(m, heap + Z_WALK_STACK, stack)
    return 0


def frame_next(m, heap):
    """Go to the next function below, of this thread; 0 = there is none, or something is wrong."""
    frame = ld64(m, heap + Z_WALK_FRAME)
    if frame != 0:
        frame_leave(m, heap, frame)
    maps = ld64(m, heap + Z_MAPS)
    offset = ld64(m, heap + Z_WALK_OFFSET)
    frame = frame_of(m, maps, offset)
    st64(m, heap + Z_WALK_FRAME, frame)
    if frame == 0:
        return 0
    point = point_of(m, maps, offset)
    stack = ld64(m, heap + Z_WALK_STACK)
    process = ld64(m, heap + Z_PROCESS)
    tag = ld64(m, process + P_ID) << OWNER_SHIFT | TAG_STACK
    if (point == 0) or (stack & 7 != 0) or (pages_tagged(m, stack, ld32(m, frame + 8) & 0xFFFF, tag) == 0):
        st64(m, heap + Z_TROUBLE, offset + ld64(m, process + P_CODE))
        return 0
    st64(m, heap + Z_WALK_REGISTERS, ld32(m, point))
    st64(m, heap + Z_WALK_COUNT, ld32(m, point + 4))
    st64(m, heap + Z_WALK_WORDS, point + 8)
    return 1


def roots_begin(m, heap):
    """Begin a walk over all roots of the heap's process, or of the kernel if it is the kernel's."""
    if ld64(m, heap + Z_PROCESS) == 0:
        return kernel_roots_begin(m, heap)
    st64(m, heap + Z_WALK_REGISTERS, 0)
    st64(m, heap + Z_WALK_COUNT, 0)
    thread_begin(m, heap, ld64(m, ld64(m, heap + Z_PROCESS) + P_THREADS))
    return 0


def root_next(m, heap):
    """Return where the kernel finds the next word that is a root; 0 = there are no more."""
    if ld64(m, heap + Z_PROCESS) == 0:
        return kernel_root_next(m, heap)
    mask = ld64(m, heap + Z_WALK_REGISTERS)
    count = ld64(m, heap + Z_WALK_COUNT)
    while mask | count == 0:
        if frame_next(m, heap) == 0:
            if thread_begin(m, heap, ld64(m, ld64(m, heap + Z_WALK_THREAD) + T_SIBLING)) == 0:
                return 0
        mask = ld64(m, heap + Z_WALK_REGISTERS)
        count = ld64(m, heap + Z_WALK_COUNT)
    if mask != 0:
        register = 0
        while mask >> register & 1 == 0:
            register += 1
        st64(m, heap + Z_WALK_REGISTERS, mask & (mask - 1))
        return ld64(m, heap + Z_PLACES + register * 8)
    at = ld64(m, heap + Z_WALK_WORDS)
    st64(m, heap + Z_WALK_WORDS, at + 4)
    st64(m, heap + Z_WALK_COUNT, count - 1)
    return ld64(m, heap + Z_WALK_STACK) + ld32(m, at) * 8 + ld64(m, G_WINDOW)
