"""Memory: filling and copying it, four words a turn, for whoever in the kernel has to."""

from singlab.kernel.core.words import ld8, ld64, st8, st64


def words_zero(m, at, end):
    """Put zeros from an address up to another, both multiples of eight."""
    while at + 32 <= end:
        st64(m, at, 0)
        st64(m, at + 8, 0)
        st64(m, at + 16, 0)
        st64(m, at + 24, 0)
        at += 32
    while at < end:
        st64(m, at, 0)
        at += 8
    return 0


def bytes_copy(m, source, target, size):
    """Copy bytes between addresses of the kernel."""
    end = source + size
    if (source | target) & 7 == 0:
        while source + 32 <= end:
            st64(m, target, ld64(m, source))
            st64(m, target + 8, ld64(m, source + 8))
            st64(m, target + 16, ld64(m, source + 16))
            st64(m, target + 24, ld64(m, source + 24))
            source += 32
            target += 32
        while source + 8 <= end:
            st64(m, target, ld64(m, source))
            source += 8
            target += 8
    while source < end:
        st8(m, target, ld8(m, source))
        source += 1
        target += 1
    return 0
