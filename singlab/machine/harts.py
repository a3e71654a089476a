"""More than one hart, one at a time: an interleaving that a seed decides.

The state has the registers, translation buffers and first-level caches of one hart in its header, the one
that runs; the others' lie aside, and changing over exchanges them. The hart whose clock is furthest behind
goes on for a stretch of random length, so that clocks stay together. A stretch may end between any
two instructions: its first part runs at full speed to a jump or the end of a line, its second counts
instructions. Now and then comes a flurry of stretches of a few instructions each, of any harts. Memory is sequentially consistent. Another
hart's stretch breaks a reservation, as a store of its might; lr and sc close together succeed before long.

How far a stretch is belongs to the state, so where a run is interrupted changes nothing.

Leaves out the translator, whose code knows the caches of one hart, and what caches do to keep each other
coherent: a line that another hart has written costs no more than one that it has not.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import state as _s
from singlab.machine.csr import MTIP, STCE, STIP, sooner
from singlab.machine.hart import STOP_HERE, STOP_LIMIT, STOP_LOST, STOP_WFI, hart_run
from singlab.machine.headers import SAVED, WORDS, place
from singlab.machine.jit import jit
from singlab.machine.privileged import take_interrupt

_W = np.uint64
_0, _1, _2 = _W(0), _W(1), _W(2)
_NEVER = _W(0xFFFF_FFFF_FFFF_FFFF)
HARTS, HART, SEED, WAITING = _s.HARTS, _s.HART, _s.HART_SEED, _s.WAITING
CYCLES, IE, MTIMECMP, TIMECMP, MENVCFG, STOP_CYCLE = _s.CYCLES, _s.SIE, _s.MTIMECMP, _s.TIMECMP, _s.MENVCFG, _s.STOP_CYCLE
MIP, EXTERNAL, RESERVATION, C_IDLE, INSTRET, PC, RESUME = _s.MIP, _s.EXTERNAL, _s.RESERVATION, _s.C_STALL_IDLE, _s.INSTRET, _s.PC, _s.RESUME
PRECISE, STOP_INSTRET, STOP_PC, WATCH_HIT = _s.PRECISE, _s.STOP_INSTRET, _s.STOP_PC, _s.WATCH_HIT
STRETCH, STRETCH_HART, STRETCH_END, STRETCH_TAIL, STRETCH_STOP = _s.STRETCH, _s.STRETCH_HART, _s.STRETCH_END, _s.STRETCH_TAIL, _s.STRETCH_STOP
FLURRY = _s.FLURRY
#: How far a stretch is: there is none, in its first part, in its second.
NONE, FIRST, SECOND = _W(0), _W(1), _W(2)
#: Why a hart does not go on: at a wfi, lost.
AT_WFI, LOST = _W(1), _W(2)
#: Cycles of a first part, at least, and how many more.
_SHORTEST, _SPREAD = _W(40), _W(255)
#: How many short stretches a flurry has, and how many cycles ahead a hart may be that goes on then all the same.
_FLURRY, _APART = _W(24), _W(1024)
#: Cycles after which a second part ends in any case, for where traps follow traps nothing retires.
_LONGEST, _EACH = _W(4096), _W(64)

#: Which words of the header belong to one hart, as first and last of each row of them.
_OWN = [word for word in range(_s.HART_WORDS) if word not in _s.SHARED_WORDS]
OWN = np.array([[a, min(b for b in _OWN if b >= a and b + 1 not in _OWN)] for a in _OWN if a - 1 not in _OWN], dtype=np.uint64)


@jit("void(uint64[::1], uint64)")
def change_to(m, hart):
    """Make another hart the one that runs."""
    if hart == m[HART]:
        return
    old, new = SAVED + m[HART] * WORDS, SAVED + hart * WORDS
    for row in range(len(OWN)):
        for number in range(OWN[row, 0], OWN[row, 1] + _1):
            word = _W(number)
            m[old + word] = m[word]
            m[word] = m[new + word]
    m[HART] = hart


@jit("uint64(uint64[::1], uint64, uint64)")
def word_of(m, hart, word):
    """Return a word of a hart's header."""
    return m[place(m, hart, word)]


@jit("uint64(uint64[::1])")
def retired(m):
    """Return the instructions that all harts together have retired."""
    total = _0
    for number in range(m[HARTS]):
        total += m[place(m, _W(number), _W(INSTRET))]
    return total


@jit("boolean(uint64[::1], uint64)")
def called(m, hart):
    """Whether an interrupt ends a hart's wait that does not come from a timer."""
    found = (word_of(m, hart, _W(MIP)) | word_of(m, hart, _W(EXTERNAL))) & word_of(m, hart, _W(IE))
    if word_of(m, hart, _W(MENVCFG)) & STCE != _0:
        found &= ~STIP
    return found != _0 and word_of(m, hart, _W(WAITING)) != LOST


@jit("uint64(uint64[::1], uint64)")
def alarm(m, hart):
    """Return the cycle at which a timer will end a hart's wait, all ones if none will."""
    at, now, enabled = _NEVER, word_of(m, hart, _W(CYCLES)), word_of(m, hart, _W(IE))
    if word_of(m, hart, _W(WAITING)) == LOST:
        return at
    if enabled & MTIP != _0:
        at = sooner(m, now, at, word_of(m, hart, _W(MTIMECMP)))
    if enabled & STIP != _0 and word_of(m, hart, _W(MENVCFG)) & STCE != _0:
        at = sooner(m, now, at, word_of(m, hart, _W(TIMECMP)))
    return at


@jit("uint64(uint64[::1])")
def wake_time(m):
    """Return the earliest cycle at which a timer will end a hart's wait, all ones if none will."""
    at = _NEVER
    for number in range(m[HARTS]):
        at = min(at, alarm(m, _W(number)))
    return at


@jit("void(uint64[::1], uint64, uint64)")
def let_pass(m, hart, until):
    """Let the time of a waiting hart pass, to a cycle."""
    clock = place(m, hart, _W(CYCLES))
    if m[clock] < until:
        m[place(m, hart, _W(C_IDLE))] += until - m[clock]
        m[clock] = until


@jit("void(uint64[::1], uint64)")
def pass_time(m, until):
    """Let time pass while every hart waits, to a cycle."""
    for number in range(m[HARTS]):
        let_pass(m, _W(number), until)


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
    """Return the hart with the earliest clock of those that do not wait; all ones if all do."""
    best, earliest = _NEVER, _NEVER
    for number in range(m[HARTS]):
        hart = _W(number)
        if word_of(m, hart, _W(WAITING)) == _0 and word_of(m, hart, _W(CYCLES)) < earliest:
            best, earliest = hart, word_of(m, hart, _W(CYCLES))
    return best


@jit("uint64(uint64[::1])")
def wake(m):
    """End the waits that end now; returns the hart that is to go on, all ones if all wait still.

    It is the time of the hart furthest behind of those that go on, or of the last one that did; a clock that waits is only
    put forward when it is to be seen.
    """
    go = furthest_behind(m)
    now = word_of(m, go if go != _NEVER else m[STRETCH_HART], _W(CYCLES))
    for number in range(m[HARTS]):
        hart = _W(number)
        waiting = place(m, hart, _W(WAITING))
        if m[waiting] != _0:
            at, clock = alarm(m, hart), word_of(m, hart, _W(CYCLES))
            if called(m, hart) or at <= clock:
                m[waiting] = _0
                let_pass(m, hart, now)
            elif at != _NEVER and at <= now:
                m[waiting] = _0
                let_pass(m, hart, at)
    return furthest_behind(m)


@jit("void(uint64[::1])")
def show_clocks(m):
    """Put forward the clocks of harts that wait, to the one furthest behind of those that go on."""
    go = furthest_behind(m)
    if go != _NEVER:
        for number in range(m[HARTS]):
            if word_of(m, _W(number), _W(WAITING)) != _0:
                let_pass(m, _W(number), min(word_of(m, go, _W(CYCLES)), alarm(m, _W(number))))


@jit("int64(uint64[::1], uint64, boolean)")
def all_wait(m, limit, sleep):
    """Let time pass while every hart waits; returns why that is no use, or -1."""
    at = wake_time(m)
    if at == _NEVER:
        for number in range(m[HARTS]):
            pass_time(m, word_of(m, _W(number), _W(CYCLES)))  # all clocks end as one
        for number in range(m[HARTS]):
            if word_of(m, _W(number), _W(WAITING)) == LOST:
                change_to(m, _W(number))
                return STOP_LOST
    if at == _NEVER or not sleep:
        return STOP_WFI
    pass_time(m, min(at, limit))
    return STOP_LIMIT if at > limit else -1


@jit("void(uint64[::1])")
def begin_second(m):
    """Go on to the second part of a stretch."""
    m[STRETCH] = SECOND if m[STRETCH_TAIL] != _0 else NONE
    m[STRETCH_STOP] = m[INSTRET] + m[STRETCH_TAIL]
    m[STRETCH_END] = m[CYCLES] + m[STRETCH_TAIL] * _EACH + _LONGEST


@jit("int64(uint64[::1], uint64, boolean)")
def begin_stretch(m, limit, sleep):
    """Choose the hart that goes on, and for how long; returns why there is none, or -1."""
    go = wake(m)
    while go == _NEVER:
        why = all_wait(m, limit, sleep)
        if why != -1:
            return why
        go = wake(m)
    change_to(m, go)
    if m[CYCLES] >= limit:
        return STOP_LIMIT
    chance = draw(m)
    if m[FLURRY] != _0:
        m[FLURRY] -= _1
    elif chance >> _W(40) & _W(31) == _0:
        m[FLURRY] = _FLURRY
    flurry = m[FLURRY] != _0
    if flurry:
        other = (chance >> _W(48)) % m[HARTS]
        if word_of(m, other, _W(WAITING)) == _0 and word_of(m, other, _W(CYCLES)) - m[CYCLES] < _APART:
            change_to(m, other)
    if m[HART] != m[STRETCH_HART]:
        m[STRETCH_HART] = m[HART]
        m[RESERVATION] = _0
    if take_interrupt(m):
        m[RESUME] = _0
    m[STRETCH_TAIL] = chance >> _W(8) & _W(31)
    if chance >> _W(16) & _W(31) == _0:  # now and then so long that no straight code is spared
        m[STRETCH_TAIL] = chance >> _W(24) & _W(2047)
    if flurry:
        m[STRETCH_TAIL] = (chance >> _W(8) & chance >> _W(11) & _W(7)) + _1
        begin_second(m)
    else:
        m[STRETCH] = FIRST
        m[STRETCH_END] = m[CYCLES] + _SHORTEST + (chance & _SPREAD)
    return -1


@jit("int64(uint64[::1], uint64[::1], uint64, boolean)")
def harts_run(m, uops, limit, sleep):
    """Run all harts until one of them stops (:mod:`singlab.machine.hart`), or the one that goes on has reached the limit.

    In a precise run STOP_INSTRET counts the instructions of all harts. Without ``sleep`` it also stops where all wait
    for a timer.
    """
    wanted, position, address = m[PRECISE] != _0, m[STOP_INSTRET], m[STOP_PC]
    if m[STRETCH] != NONE:
        change_to(m, m[STRETCH_HART])
    reason = -1
    while reason == -1:
        if m[STRETCH] == NONE:
            reason = begin_stretch(m, limit, sleep)
            if reason != -1:
                break
        left = _NEVER
        if wanted and position != _NEVER:
            if retired(m) >= position:
                reason = STOP_HERE
                break
            left = position - retired(m)
        stop = m[INSTRET] + left if left != _NEVER else _NEVER
        if m[STRETCH] == SECOND:
            stop = min(stop, m[STRETCH_STOP])
        m[PRECISE] = _1 if wanted or m[STRETCH] == SECOND else _0
        m[STOP_INSTRET] = stop
        m[STOP_CYCLE] = min(limit, m[STRETCH_END])
        why = hart_run(m, uops)
        if why == STOP_LIMIT:
            if m[CYCLES] < m[STRETCH_END]:
                reason = why
            elif m[STRETCH] == FIRST:
                begin_second(m)
            else:
                m[STRETCH] = NONE
            if wanted and m[WATCH_HIT] != _0:
                reason = STOP_HERE
        elif why == STOP_HERE:
            if m[STRETCH] == SECOND and m[INSTRET] >= m[STRETCH_STOP]:
                m[STRETCH] = NONE
            # where the stretch is over as well, it stops there when this hart is to go on
            if wanted and (m[WATCH_HIT] != _0 or (m[PC] == address and m[STRETCH] != NONE)):
                reason = why
        elif why == STOP_WFI or why == STOP_LOST:
            m[STRETCH] = NONE
            m[WAITING] = AT_WFI if why == STOP_WFI else LOST
        else:
            reason = why
    show_clocks(m)
    m[PRECISE] = _1 if wanted else _0
    m[STOP_INSTRET], m[STOP_PC] = position, address
    return reason
