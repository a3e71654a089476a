"""Principals: for whom a process, and each channel of its, speaks.

A principal is a text: the names of the programs in a process's chain, from the first one down, with + between them. It is
made with the process, of its parent's, and lies in the kernel's heap; a process whose program's name finds no room in it, or
has none, shares its parent's.
"""

from singlab.kernel.core.kernelheap import kernel_object, text_bytes, text_new
from singlab.kernel.core.memory import bytes_copy
from singlab.kernel.core.words import ld64, st8, st64
from singlab.kernel.kernelobjects import TEXT, TX_BYTES, TX_LENGTH
from singlab.kernel.layout import LONGEST_PRINCIPAL, P_PARENT, P_PRINCIPAL, P_RESOURCES

PLUS = 43


def entry_text(m, resources, place):
    """Return where a text of a declaration lies; the word at ``place`` has its offset, and its length << 32."""
    return resources + (ld64(m, place) & 0xFFFF_FFFF)


def entry_size(m, place):
    """Return how long a text of a declaration is."""
    return ld64(m, place) >> 32


def text_size(m, text):
    """Return how long a text is; 0 = there is none."""
    if text == 0:
        return 0
    return ld64(m, text + TX_LENGTH)


def principal_made(m, above, name, size):
    """Return a new principal: another one, and a name behind it; 0 = memory is exhausted."""
    before = text_size(m, above)
    if before == 0:
        return text_new(m, name, size)
    whole = before + 1 + size
    text = kernel_object(m, TEXT, text_bytes(m, whole))
    if text != 0:
        st64(m, text + TX_LENGTH, whole)
        bytes_copy(m, above + TX_BYTES, text + TX_BYTES, before)
        st8(m, text + TX_BYTES + before, PLUS)
        bytes_copy(m, name, text + TX_BYTES + before + 1, size)
    return text


def principal_set(m, process):
    """Give a new process its principal; returns whether there was memory for it."""
    above = 0
    parent = ld64(m, process + P_PARENT)
    if parent != 0:
        above = ld64(m, parent + P_PRINCIPAL)
    principal = above
    resources = ld64(m, process + P_RESOURCES)
    if resources != 0:
        size = entry_size(m, resources + 16)
        if (size != 0) and (text_size(m, above) + size < LONGEST_PRINCIPAL):
            principal = principal_made(m, above, entry_text(m, resources, resources + 16), size)
            if principal == 0:
                return 0
    st64(m, process + P_PRINCIPAL, principal)
    return 1
