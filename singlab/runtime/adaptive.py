"""Adaptive: copying as long as little survives and there is memory for a copy, sliding compaction when much does.

Copying costs what is alive and a second space; compaction costs walks over the whole heap, and moves only what lies behind
a gap. So the first is good for a heap in which most of what was made has died, the second for one that is nearly all alive, or
whose limit leaves no room for a copy. Which it is, the last collection's numbers say: what is true of the next one is
guessed from them.

The choice is made anew at each collection. A policy in the slot ``collector`` makes it instead, and may take mark-sweep too:
its heap has free runs in it, so their ends are filed when it begins, and the walks of compaction know how large a free run is.

What it leaves out: the real system's adaptive collector is this pair with generations in the copying half.

Source: the collectors named in "Singularity: Rethinking the software stack", OSR 2007, section 3.4.
"""

from singlab.kernel.core.freeruns import run_file
from singlab.kernel.core.heappolicies import collector_chosen
from singlab.kernel.core.words import ld64, st64
from singlab.kernel.heaplayout import (
    COLLECT_COMPACT,
    COLLECT_MARK_SWEEP,
    COLLECT_SEMISPACE,
    X_END,
    X_NEXT,
    X_TOP,
    Z_ACTIVE,
    Z_BYTES,
    Z_EXTENTS,
    Z_FREED,
    Z_LIVE,
    Z_MOST,
)
from singlab.runtime.compact import compact_collect
from singlab.runtime.marksweep import marksweep_collect
from singlab.runtime.semispace import semispace_collect


def adaptive_usual(m, heap):
    """Return which collector suits a heap, by what its last collection has found."""
    bytes = ld64(m, heap + Z_BYTES)
    most = ld64(m, heap + Z_MOST)
    if (bytes > most) or (bytes > most - bytes):  # no room for a copy
        return COLLECT_COMPACT
    if ld64(m, heap + Z_LIVE) > ld64(m, heap + Z_FREED):  # more than half has survived
        return COLLECT_COMPACT
    return COLLECT_SEMISPACE


def runs_begin(m, heap):
    """File what lies behind the objects of each extent as a free run: mark-sweep reads extents from one end to the other."""
    extent = ld64(m, heap + Z_EXTENTS)
    while extent != 0:
        top = ld64(m, extent + X_TOP)
        end = ld64(m, extent + X_END)
        if top < end:
            run_file(m, heap, top, end - top)
            st64(m, extent + X_TOP, end)
        extent = ld64(m, extent + X_NEXT)
    return 0


def adaptive_collect(m, heap):
    """Collect a heap by what suits it now."""
    active = collector_chosen(m, heap, adaptive_usual(m, heap))
    if active == COLLECT_MARK_SWEEP:
        if ld64(m, heap + Z_ACTIVE) != active:
            runs_begin(m, heap)
        st64(m, heap + Z_ACTIVE, active)
        return marksweep_collect(m, heap)
    done = 0
    if active == COLLECT_SEMISPACE:
        done = semispace_collect(m, heap)
    if done == 0:  # or there is no memory for a copy
        active = COLLECT_COMPACT
        done = compact_collect(m, heap)
    st64(m, heap + Z_ACTIVE, active)
    return done
