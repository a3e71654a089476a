"""Objects as the image's type table describes them: how large one is, and which of its words are references.

An object's header has the number of its type in the lower half; the upper half is a collector's (``singlab.sing.heapcode``
says how objects lie, ``heaptables`` what a row of the type table has).

A collector looks at each object of a heap, so what is the same for all (where the table is, how large it is, the kernel's window)
is handed from function to function, not loaded for each.

What to do with each reference is the collectors' own, and so is the walk over them: functions of the kernel's subset are not
handed to functions, and asking for one reference after the other would cost every collection dearly.
"""

from singlab.kernel.core.objectheaps import pages_tagged
from singlab.kernel.core.words import ld64
from singlab.kernel.heaplayout import Z_TYPE_COUNT, Z_TYPES
from singlab.kernel.layout import G_WINDOW, PAGE

OBJECT = 1
ARRAY = 2
LENGTH = 8
ELEMENTS = 16
LARGEST = 0x1000000  # bytes of an array's elements


def row_in(m, types, span, header):
    """Return the row that a header names of a type table of so many bytes, 0 if it names none."""
    place = ((header & 0xFFFFFFFF) - 1) << 4  # of number 0 it is larger than any table
    if place >= span:
        return 0
    return types + place


def row_of(m, heap, header):
    """Return the row of the type table that a header names, 0 if it names none."""
    return row_in(m, ld64(m, heap + Z_TYPES), ld64(m, heap + Z_TYPE_COUNT) << 4, header)


def bytes_by(m, about, at):
    """Return how many bytes the object at an address (the kernel's) takes, by the first word of its row; 0 if that cannot be."""
    if about & 0xFF == OBJECT:
        return (about >> 24 & 0xFF) * 8
    power = about >> 8 & 3
    length = ld64(m, at + LENGTH)
    if length > LARGEST >> power:
        return 0
    return ((length << power) + (ELEMENTS + 7)) & ~7


def bytes_of(m, row, at):
    """Return how many bytes the object at an address (the kernel's) takes, 0 if that cannot be."""
    return bytes_by(m, ld64(m, row), at)


def size_in(m, tag, row, word, at):
    """Return how many bytes the object of a row takes that an address names (``at`` is the kernel's); 0 if it is none that lies in the heap as a whole."""
    if (row == 0) or (word & 7 != 0):
        return 0
    size = bytes_of(m, row, at)
    if (word & (PAGE - 1)) + size > PAGE:
        if (size == 0) or (pages_tagged(m, word, size, tag) == 0):
            return 0
    return size


def size_of(m, heap, tag, word, header):
    """Return how many bytes the object at an address takes; 0 if it is none that lies in the heap as a whole."""
    return size_in(m, tag, row_of(m, heap, header), word, word + ld64(m, G_WINDOW))


def mask_of(m, row):
    """Return which of an object's words behind its header are references, a bit each; 0 for arrays."""
    return ld64(m, row + 8) >> 1


def inside_by(m, about):
    """Return whether a row whose first word this is is that of arrays of references."""
    return about >> 16 & 0xFF


def inside_of(m, row):
    """Return whether a row is that of arrays of references."""
    return inside_by(m, ld64(m, row))
