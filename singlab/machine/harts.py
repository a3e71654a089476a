"""More than one hart, one at a time: an interleaving that a seed decides.

The state has the registers, translation buffers and first-level caches of one hart in its header, the one
that runs; the others' lie aside, and changing over exchanges them. Always the hart whose clock is furthest
behind goes on, for a stretch of random length, so that clocks stay together; it ends at a jump or the end
of a line, never between. Memory is sequentially
consistent. A change of harts breaks reservations, as another hart's store would.

Leaves out the translator and time travel, which are for one hart.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.csr import STCE, pending, sooner
from singlab.machine.hart import STOP_LIMIT, STOP_WFI, hart_run
from singlab.machine.jit import jit

_W = np.uint64
_0, _1 = _W(0), _W(1)
_NEVER = _W(0xFFFF_FFFF_FFFF_FFFF)
SAVED, WORDS = _W(_s.HART_SAVED), _W(_s.HART_WORDS)
HARTS, HART, SEED, WAITING = _s.HARTS, _s.HART, _s.HART_SEED, _s.WAITING
CYCLES, IE, MTIMECMP, TIMECMP, MENVCFG, STOP_CYCLE = _s.CYCLES, _s.SIE, _s.MTIMECMP, _s.TIMECMP, _s.MENVCFG, _s.STOP_CYCLE
RESERVATION, RESUME, C_IDLE, STOP = _s.RESERVATION, _s.RESUME, _s.C_STALL_IDLE, _s.STOP
_SHORTEST, _SPREAD = _W(40), _W(255)

#: Which words of the header belong to one hart.
OWN = np.ones(_s.HART_WORDS, dtype=np.bool_)
OWN[list(_s.SHARED_WORDS)] = False


@jit("void(uint64[::1], uint64)")
def change_to(m, hart):
    """Make another hart the one that runs."""
    if hart == m[HART]:
        return
    old, new = SAVED + m[HART] * WORDS, SAVED + hart * WORDS
    m[RESERVATION] = _0
    for word in range(_s.HART_WORDS):
        if OWN[word]:
            m[old + _W(word)] = m[word]
            m[word] = m[new + _W(word)]
    m[HART] = hart


@jit("uint64(uint64[::1], uint64, uint64)")
def word_of(m, hart, word):
    """Return a word of a hart's header."""
    return m[word] if hart == m[HART] else m[SAVED + hart * WORDS + word]


@jit("uint64(uint64[::1])")
def wake_time(m):
    """Return when a timer will end this hart's wait."""
    at = _NEVER
    if m[IE] >> _W(7) & _1 != _0:
        at = sooner(m, at, m[MTIMECMP])
    if m[IE] >> _W(5) & _1 != _0 and m[MENVCFG] & STCE != _0:
        at = sooner(m, at, m[TIMECMP])
    return at


@jit("uint64(uint64[::1])")
def draw(m):
    """Return the next number of the interleaving's generator (xorshift64)."""
    x = m[SEED]
    x ^= x << _W(13)
    x ^= x >> _W(7)
    x ^= x << _W(17)
    m[SEED] = x
    return x


@jit("uint64(uint64[::1])")
def furthest_behind(m):
    """Return the hart with the earliest clock."""
    best, earliest = _0, _NEVER
    for number in range(m[HARTS]):
        hart = _W(number)
        at = word_of(m, hart, _W(CYCLES))
        if at < earliest:
            best, earliest = hart, at
    return best


@jit("boolean(uint64[::1], uint64)")
def wait(m, limit):
    """Let time pass for the waiting hart that is furthest behind; returns False if nothing will ever end any wait."""
    others = _NEVER
    for number in range(m[HARTS]):
        hart = _W(number)
        if word_of(m, hart, _W(WAITING)) == _0 and word_of(m, hart, _W(CYCLES)) < others:
            others = word_of(m, hart, _W(CYCLES))
    until = wake_time(m)
    if others != _NEVER:
        until = min(until, others + _SHORTEST)
    elif until == _NEVER:
        # this one never wakes by itself: it keeps up with the others that will
        here = m[HART]
        for number in range(m[HARTS]):
            change_to(m, _W(number))
            until = min(until, wake_time(m))
        change_to(m, here)
        if until == _NEVER:
            return False
        until += _1
    until = max(min(until, limit), m[CYCLES] + _1)
    m[C_IDLE] += until - m[CYCLES]
    m[CYCLES] = until
    return True


@jit("int64(uint64[::1], uint64[::1], uint64)")
def harts_run(m, uops, limit):
    """Run all harts until the one furthest behind reaches the limit, or one of them stops (:mod:`singlab.machine.hart`)."""
    while True:
        change_to(m, furthest_behind(m))
        if m[CYCLES] >= limit:
            return STOP_LIMIT
        if m[WAITING] != _0:
            if pending(m) & m[IE] != _0:
                m[WAITING] = _0
            elif not wait(m, limit):
                return STOP_WFI
            continue
        m[STOP_CYCLE] = min(limit, m[CYCLES] + _SHORTEST + (draw(m) & _SPREAD))
        reason = hart_run(m, uops)
        if reason == STOP_WFI:
            m[WAITING] = _1
        elif reason != STOP_LIMIT:
            return reason
