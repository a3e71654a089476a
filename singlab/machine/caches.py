"""Caches: which lines are where, and how long an access stalls.

Two first-level caches and a shared second level. A set keeps its lines in order of last use, so the
first way is the usual hit and the last the victim. A tag word is (line + 1) << 1 | dirty; 0 is empty.
The first level's words lie way by way, so the first ways, which nearly every access hits, are one array. The second
level's lie set by set: who comes here looks at most ways of one set, which are a line or two of the host's own caches then.
Data itself is only in RAM: the caches decide time, never values. Written-back lines go through a
buffer and stall nobody.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.jit import jit

_W = np.uint64
_0, _1, _6 = _W(0), _W(1), _W(6)

L1I_SETS, L1I_WAYS, L1I_TAGS = _p.P_L1I_SETS, _p.P_L1I_WAYS, _p.P_L1I_TAGS
L1D_SETS, L1D_WAYS, L1D_TAGS = _p.P_L1D_SETS, _p.P_L1D_WAYS, _p.P_L1D_TAGS
L2_SETS, L2_WAYS, L2_TAGS = _p.P_L2_SETS, _p.P_L2_WAYS, _p.P_L2_TAGS
L2_CYCLES, MEMORY_CYCLES, TIMED = _p.P_L2_CYCLES, _p.P_MEMORY_CYCLES, _p.P_TIMED
C_L1I_ACC, C_L1I_MISS, C_L1D_ACC, C_L1D_MISS = (
    _s.C_L1I_ACCESSES, _s.C_L1I_MISSES, _s.C_L1D_ACCESSES, _s.C_L1D_MISSES,
)  # fmt: skip
C_L2_ACC, C_L2_MISS = _s.C_L2_ACCESSES, _s.C_L2_MISSES


def set_words(m: np.ndarray, level: str, which: int | np.ndarray) -> np.ndarray:
    """Return the tag words of a set, or of several, of a level ("L1I", "L1D" or "L2"), the last used way first; shape (..., ways), dtype uint64."""
    sets, ways, tags = (int(m[getattr(_p, f"P_{level}_{what}")]) for what in ("SETS", "WAYS", "TAGS"))
    way = np.arange(ways)
    first = np.asarray(which)[..., None]
    return m[tags + (first * ways + way if level == "L2" else first + way * sets)]


@jit("uint64(uint64[::1], uint64, uint64, uint64, uint64, uint64)")
def find_in_set(m, first, step, ways, tag, dirty):
    """Look for a tag in a set, whose ways are so many words apart, and make it the first; returns 0 if it was there, else the victim's word | 2^63."""
    last = first + step * (ways - _1)
    at = first
    word = m[at]
    result = _0
    while word >> _1 != tag:
        if at == last:
            result = word | _W(1 << 63)
            word = tag << _1
            break
        at += step
        word = m[at]
    while at > first:
        m[at] = m[at - step]
        at -= step
    m[first] = word | dirty
    return result


@jit("uint64(uint64[::1], uint64, uint64)")
def l2_access(m, line, dirty):
    """Bring a line into the second level if it is not there; returns the stall of the access."""
    m[C_L2_ACC] += _1
    first = m[L2_TAGS] + (line & (m[L2_SETS] - _1)) * m[L2_WAYS]
    if find_in_set(m, first, _1, m[L2_WAYS], line + _1, dirty) == _0:
        return m[L2_CYCLES]
    m[C_L2_MISS] += _1
    return m[MEMORY_CYCLES]


@jit("uint64(uint64[::1], uint64, uint64)")
def l1d_slow(m, line, dirty):
    """First-level data access that does not hit the first way; returns the stall."""
    first = m[L1D_TAGS] + (line & (m[L1D_SETS] - _1))
    second = first + m[L1D_SETS]
    if m[L1D_WAYS] > _1 and m[second] >> _1 == line + _1:  # so often that it is worth a look of its own
        word = m[first]
        m[first] = m[second] | dirty
        m[second] = word
        return _0
    victim = find_in_set(m, first, m[L1D_SETS], m[L1D_WAYS], line + _1, dirty)
    if victim == _0:
        return _0
    m[C_L1D_MISS] += _1
    stall = l2_access(m, line, _0)
    victim &= _W((1 << 63) - 1)
    if victim & _1 != _0:
        l2_access(m, (victim >> _1) - _1, _1)
    return stall


@jit("uint64(uint64[::1], uint64, uint64)")
def l1d(m, address, dirty):
    """One data access at a physical address; ``dirty`` = 1 for a store. Returns the stall."""
    if m[TIMED] == _0:
        return _0
    m[C_L1D_ACC] += _1
    line = address >> _6
    first = m[L1D_TAGS] + (line & (m[L1D_SETS] - _1))
    word = m[first]
    if word >> _1 == line + _1:
        m[first] = word | dirty
        return _0
    return l1d_slow(m, line, dirty)


@jit("uint64(uint64[::1], uint64)")
def l1i_slow(m, line):
    """Fetch of a line that is not first in its set; returns the stall."""
    first = m[L1I_TAGS] + (line & (m[L1I_SETS] - _1))
    if find_in_set(m, first, m[L1I_SETS], m[L1I_WAYS], line + _1, _0) == _0:
        return _0
    m[C_L1I_MISS] += _1
    return l2_access(m, line, _0)


@jit("uint64(uint64[::1], uint64)")
def l1i(m, address):
    """Fetch of the line that holds a physical address; returns the stall."""
    if m[TIMED] == _0:
        return _0
    m[C_L1I_ACC] += _1
    line = address >> _6
    if m[m[L1I_TAGS] + (line & (m[L1I_SETS] - _1))] >> _1 == line + _1:
        return _0
    return l1i_slow(m, line)
