"""Roots of the kernel's heap: the words of kernel records that hold references, as the kernel's table of them says.

No function of the kernel is under way when its heap is collected, so there is no stack to walk: what the kernel needs of its
objects stands in its records.
"""

from singlab.kernel.core.words import ld64, st64
from singlab.kernel.heaplayout import Z_WALK_THREAD, Z_WALK_WORDS
from singlab.kernel.kernelobjects import NO_LIST, ROOT_BYTES, ROOTS_AT, RT_FIELD, RT_HEAD, RT_LINK
from singlab.kernel.layout import KERNEL_TABLES


def kernel_roots_begin(m, heap):
    """Begin a walk over all roots of the kernel."""
    st64(m, heap + Z_WALK_WORDS, KERNEL_TABLES + ROOTS_AT)
    st64(m, heap + Z_WALK_THREAD, 0)
    return 0


def kernel_root_next(m, heap):
    """Return where the next word is that is a root of the kernel; 0 = there are no more."""
    row = ld64(m, heap + Z_WALK_WORDS)
    record = ld64(m, heap + Z_WALK_THREAD)
    while record == 0:
        head = ld64(m, row + RT_HEAD)
        if head == 0:
            return 0
        link = ld64(m, row + RT_LINK)
        row += ROOT_BYTES
        st64(m, heap + Z_WALK_WORDS, row)
        if link == NO_LIST:
            return head
        record = ld64(m, head)
    row -= ROOT_BYTES
    st64(m, heap + Z_WALK_THREAD, ld64(m, record + ld64(m, row + RT_LINK)))
    return record + ld64(m, row + RT_FIELD)
