"""Time: threads that wait for a moment, and what happens when the timer fires.

Sleepers stand in a list, the earliest first, and the timer is set to the end of the quantum or to the first of
them, whichever comes first. Who wakes runs next, in what is left of the quantum; the thread that was running stands
behind it.
"""

from singlab.kernel.core.words import ld64, st64
from singlab.kernel.layout import (
    G_SLEEPERS,
    G_WAKE,
    NEVER,
    T_LATER,
    T_WAKE,
)


def wake_set(m):
    """Note when the first sleeper wakes."""
    wake = NEVER
    first = ld64(m, G_SLEEPERS)
    if first != 0:
        wake = ld64(m, first + T_WAKE)
    st64(m, G_WAKE, wake)
    return 0


def sleeper_put(m, thread, time):
    """Put a thread among the sleepers, behind those that wake no later."""
    st64(m, thread + T_WAKE, time)
    before = 0
    at = ld64(m, G_SLEEPERS)
    while at != 0:
        if ld64(m, at + T_WAKE) > time:
            break
        before = at
        at = ld64(m, at + T_LATER)
    st64(m, thread + T_LATER, at)
    if before == 0:
        st64(m, G_SLEEPERS, thread)
    else:
        st64(m, before + T_LATER, thread)
    wake_set(m)
    return 0


def sleeper_forget(m, thread):
    """Take a thread out of the sleepers, if it is among them."""
    before = 0
    at = ld64(m, G_SLEEPERS)
    while at != 0:
        following = ld64(m, at + T_LATER)
        if at == thread:
            if before == 0:
                st64(m, G_SLEEPERS, following)
            else:
                st64(m, before + T_LATER, following)
            wake_set(m)
            return 0
        before = at
        at = following
    return 0
