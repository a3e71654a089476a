"""The kernel's own heap: room for its objects, and when there is to be a collection.

It is made of extents as a process's heap is, in pages of the kernel zone with a tag of their own; a process's collector never
looks there, and the kernel's looks nowhere else. Nothing is collected while a function of the kernel is under way, so
its variables may hold references: who makes an object that nobody keeps has made garbage, that is all. When enough has been
made, a collection is due: the service thread does it in its next turn (:mod:`singlab.runtime.kernelcollecting`). Until then
the heap grows, and if there is no memory for that, no object is made.
"""

from singlab.kernel.core.freeruns import marksweep_room, run_file
from singlab.kernel.core.memory import bytes_copy
from singlab.kernel.core.objectheaps import extent_link, extent_new, extent_retire, extent_room
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.heaplayout import (
    CAUSE_FORCED,
    CAUSE_LIMIT,
    CAUSE_MEMORY,
    COLLECT_MARK_SWEEP,
    Z_COLLECTOR,
    Z_END,
    Z_GIVEN,
    Z_LIMIT,
    Z_LIVE,
)
from singlab.kernel.kernelobjects import TEXT, TX_BYTES, TX_LENGTH
from singlab.kernel.layout import G_KERNEL_DUE, G_KERNEL_END, G_KERNEL_EVERY, G_KERNEL_TOP, KERNEL_HEAP

SMALLEST_KERNEL_LIMIT = 1024  # so many bytes of objects there are before there is a collection


def kernel_rest(m):
    """Give back what is left of the kernel's room: there is none from now on."""
    top = ld64(m, G_KERNEL_TOP)
    end = ld64(m, G_KERNEL_END)
    st64(m, G_KERNEL_TOP, 0)
    st64(m, G_KERNEL_END, 0)
    if top < end:
        if ld64(m, KERNEL_HEAP + Z_COLLECTOR) == COLLECT_MARK_SWEEP:
            run_file(m, KERNEL_HEAP, top, end - top)
        else:
            extent_retire(m, KERNEL_HEAP, top, end)
    return 0


def kernel_place(m, size):
    """Return where zeroed room for objects of the kernel lies, 0 if there is none without new pages."""
    if ld64(m, KERNEL_HEAP + Z_COLLECTOR) == COLLECT_MARK_SWEEP:
        return marksweep_room(m, KERNEL_HEAP, size)
    return extent_room(m, KERNEL_HEAP, size)


def kernel_room(m, size):
    """Let there be room for an object of the kernel; returns whether that was possible."""
    kernel_rest(m)
    room = kernel_place(m, size)
    if room == 0:
        extent = extent_new(m, KERNEL_HEAP, size)
        if extent == 0:
            st64(m, G_KERNEL_DUE, CAUSE_MEMORY)
            return 0
        extent_link(m, KERNEL_HEAP, extent)
        room = kernel_place(m, size)
    st64(m, G_KERNEL_TOP, room)
    st64(m, G_KERNEL_END, ld64(m, KERNEL_HEAP + Z_END))
    return 1


def kernel_object(m, number, size):
    """Return a new object of the kernel, of a type and a size, zeroed behind its header; 0 = memory is exhausted."""
    top = ld64(m, G_KERNEL_TOP)
    if size > ld64(m, G_KERNEL_END) - top:
        if kernel_room(m, size) == 0:
            return 0
        top = ld64(m, G_KERNEL_TOP)
    st64(m, G_KERNEL_TOP, top + size)
    st64(m, top, number)
    given = ld64(m, KERNEL_HEAP + Z_GIVEN) + size
    st64(m, KERNEL_HEAP + Z_GIVEN, given)
    if ld64(m, G_KERNEL_EVERY) != 0:
        st64(m, G_KERNEL_DUE, CAUSE_FORCED)
    elif given + ld64(m, KERNEL_HEAP + Z_LIVE) > ld64(m, KERNEL_HEAP + Z_LIMIT):
        st64(m, G_KERNEL_DUE, CAUSE_LIMIT)
    return top


def text_bytes(m, size):
    """Return how many bytes a text of a length takes."""
    return (size + (TX_BYTES + 7)) & ~7


def text_new(m, source, size):
    """Return a new text with the bytes at an address; 0 = memory is exhausted."""
    text = kernel_object(m, TEXT, text_bytes(m, size))
    if text != 0:
        st64(m, text + TX_LENGTH, size)
        bytes_copy(m, source, text + TX_BYTES, size)
    return text
