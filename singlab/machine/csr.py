"""Control and status registers: which exist, who may touch them, and which values they hold.

Privileged specification, machine and supervisor level. The supervisor's registers are views of the
machine's where the specification says so. Of the performance counters, hpmcounter3 onwards show the
machine's event counters, in the order of ``state.COUNTERS``, and count always. Debugging has no triggers: their
registers read zero and ignore writes.
"""

from __future__ import annotations

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.headers import time_now
from singlab.machine.jit import jit
from singlab.machine.pmp import pmp_read, pmp_write
from singlab.machine.quick import quick_flush
from singlab.machine.translate import tlb_flush

_W = np.uint64
_0, _1, _3 = _W(0), _W(1), _W(3)
MODE, CYCLES, INSTRET, SATP, STVEC, SSCRATCH = _s.MODE, _s.CYCLES, _s.INSTRET, _s.SATP, _s.STVEC, _s.SSCRATCH
SEPC, SCAUSE, STVAL, STATUS, IE, TIMECMP = _s.SEPC, _s.SCAUSE, _s.STVAL, _s.SSTATUS, _s.SIE, _s.TIMECMP
MTVEC, MSCRATCH, MEPC, MCAUSE, MTVAL = _s.MTVEC, _s.MSCRATCH, _s.MEPC, _s.MCAUSE, _s.MTVAL
MEDELEG, MIDELEG, MIP, MCOUNTEREN, SCOUNTEREN = _s.MEDELEG, _s.MIDELEG, _s.MIP, _s.MCOUNTEREN, _s.SCOUNTEREN
MENVCFG, SENVCFG, CYCLE_OFFSET, INSTRET_OFFSET, MTIMECMP = (
    _s.MENVCFG, _s.SENVCFG, _s.CYCLE_OFFSET, _s.INSTRET_OFFSET, _s.MTIMECMP,
)  # fmt: skip

# mstatus
SIE, MIE, SPIE, MPIE, SPP = _W(1 << 1), _W(1 << 3), _W(1 << 5), _W(1 << 7), _W(1 << 8)
MPP_SHIFT = _W(11)
MPP = _W(3 << 11)
MPRV, SUM, MXR, TVM, TW, TSR = (_W(1 << bit) for bit in (17, 18, 19, 20, 21, 22))
_XL = _W(2 << 32 | 2 << 34)
SSTATUS_BITS = SIE | SPIE | SPP | SUM | MXR
_MSTATUS = SSTATUS_BITS | MIE | MPIE | MPP | MPRV | TVM | TW | TSR

# interrupts: software 1 and 3, timer 5 and 7, external 9 and 11
SSIP, STIP, SEIP = _W(1 << 1), _W(1 << 5), _W(1 << 9)
MSIP, MTIP, MEIP = _W(1 << 3), _W(1 << 7), _W(1 << 11)
_SUPERVISOR = SSIP | STIP | SEIP
_ALL = _SUPERVISOR | MSIP | MTIP | MEIP
STCE = _W(1 << 63)  #: in menvcfg: stimecmp is there and drives STIP
_FIOM = _W(1)

_EXCEPTIONS = _W(0xB3FF)  #: what may be delegated: all but an ecall from the machine level
_MISA = _W(2 << 62 | sum(1 << ord(letter) - ord("a") for letter in "acimsu"))
_EVEN, _DIRECT = _W(0xFFFF_FFFF_FFFF_FFFE), _W(0xFFFF_FFFF_FFFF_FFFD)
_SATP_MODE, _SV39 = _W(60), _W(8)
_COUNTERS = _W(len(_s.COUNTERS))
COUNTER_BASE = _W(_s.COUNTER_BASE)
EXTERNAL, HART, TIME_OFFSET, TLB_TAGGED = _s.EXTERNAL, _s.HART, _s.TIME_OFFSET, _p.P_TLB_TAGGED
_NONE = _W(0xFFFF_FFFF_FFFF_FFFF)

#: CSRs that are plain words of the state: number to word.
_PLAIN = np.zeros(4096, dtype=np.uint64)
for _number, _word in {
    0x105: STVEC, 0x106: SCOUNTEREN, 0x10A: SENVCFG, 0x140: SSCRATCH, 0x141: SEPC, 0x142: SCAUSE, 0x143: STVAL, 0x14D: TIMECMP, 0x180: SATP,
    0x302: MEDELEG, 0x303: MIDELEG, 0x304: IE, 0x305: MTVEC, 0x306: MCOUNTEREN, 0x30A: MENVCFG, 0x340: MSCRATCH, 0x341: MEPC,
    0x342: MCAUSE, 0x343: MTVAL,
}.items():  # fmt: skip
    _PLAIN[_number] = _word


@jit("uint64(uint64[::1])")
def pending(m):
    """Return mip: what software and devices have set, and the timers that are due."""
    found = m[MIP] | m[EXTERNAL]
    time = m[CYCLES] + m[TIME_OFFSET]
    if time >= m[MTIMECMP]:
        found |= MTIP
    if m[MENVCFG] & STCE != _0:
        found &= ~STIP
        if time >= m[TIMECMP]:
            found |= STIP
    return found


@jit("uint64(uint64[::1], uint64, uint64, uint64)")
def sooner(m, now, at, compare):
    """Return a cycle, or the one from now on at which the time reaches ``compare`` if that is sooner; all ones is never reached."""
    time = now + m[TIME_OFFSET]
    left = compare - time if compare > time else _0
    return now + left if compare != _NONE and at > now and left < at - now else at


@jit("boolean(uint64[::1], uint64)")
def counter_allowed(m, number):
    """Whether the present mode may read a user-level counter (0xC00 to 0xC1F)."""
    bit = _1 << (number & _W(31))
    if m[MODE] != _3 and m[MCOUNTEREN] & bit == _0:
        return False
    return m[MODE] != _0 or m[SCOUNTEREN] & bit != _0


@jit("boolean(uint64[::1], uint64, boolean)")
def csr_exists(m, number, writes):
    """Whether the present mode may access a CSR this way."""
    level = number >> _W(8) & _3
    if m[MODE] < level or (writes and number >> _W(10) == _3):
        return False
    if number >= _W(0xC00) and number <= _W(0xC1F):
        return counter_allowed(m, number)
    if number == _W(0x180):
        return m[MODE] == _3 or m[STATUS] & TVM == _0
    if number == _W(0x14D):
        return m[MODE] == _3 or (m[MENVCFG] & STCE != _0 and m[MCOUNTEREN] & _W(2) != _0)
    if _PLAIN[number] != _0 or number == _W(0x100) or number == _W(0x300) or number == _W(0x104) or number == _W(0x144) or number == _W(0x344):
        return True
    if number == _W(0x301) or (number >= _W(0xF11) and number <= _W(0xF15)):
        return True
    if (number >= _W(0xB00) and number <= _W(0xB1F) and number != _W(0xB01)) or (number >= _W(0x323) and number <= _W(0x33F)):
        return True
    if number == _W(0x320) or (number >= _W(0x7A0) and number <= _W(0x7A3)):
        return True
    # with 64 bits the odd ones of pmpcfg0 to pmpcfg15 are not there
    return number >= _W(0x3A0) and number <= _W(0x3EF) and (number >= _W(0x3B0) or number & _1 == _0)


@jit("uint64(uint64[::1], uint64)")
def csr_read(m, number):
    """Return the value of a CSR that exists."""
    word = _PLAIN[number]
    if word != _0:
        return m[word]
    if number == _W(0x100):
        return m[STATUS] & SSTATUS_BITS | _W(2 << 32)
    if number == _W(0x300):
        return m[STATUS] | _XL
    if number == _W(0x104):
        return m[IE] & m[MIDELEG]
    if number == _W(0x144):
        return pending(m) & m[MIDELEG]
    if number == _W(0x344):
        return pending(m)
    if number == _W(0x301):
        return _MISA
    if number == _W(0xF14):
        return m[HART]
    if number == _W(0xC01):
        return time_now(m)
    if number >= _W(0xB00) and number <= _W(0xC1F):
        index = number & _W(31)
        if index == _0:
            return m[CYCLES] + m[CYCLE_OFFSET]
        if index == _W(2):
            return m[INSTRET] - _1 + m[INSTRET_OFFSET]  # as before the instruction that reads it
        return m[COUNTER_BASE + index - _3] if index - _3 < _COUNTERS else _0
    if number >= _W(0x323) and number <= _W(0x33F):
        return number - _W(0x322) if number - _W(0x323) < _COUNTERS else _0
    if number >= _W(0x3A0) and number <= _W(0x3EF):
        return pmp_read(m, number)
    return _0


@jit("uint64(uint64[::1], uint64, uint64)")
def csr_stored(m, number, seen):
    """Return what setting or clearing bits starts from: what was read, but of mip only what software has set."""
    return m[MIP] if number == _W(0x344) else seen


@jit("void(uint64[::1], uint64, uint64)")
def csr_write(m, number, value):
    """Write a CSR that exists, keeping to the values it may hold."""
    if number == _W(0x100) or number == _W(0x300):
        mask = SSTATUS_BITS if number == _W(0x100) else _MSTATUS
        new = m[STATUS] & ~mask | value & mask
        if new & MPP == _W(2 << 11):
            new = new & ~MPP | m[STATUS] & MPP
        if (new ^ m[STATUS]) & (MPRV | SUM | MXR | MPP) != _0:
            quick_flush(m)
        m[STATUS] = new
    elif number == _W(0x104):
        m[IE] = m[IE] & ~m[MIDELEG] | value & m[MIDELEG] & _ALL
    elif number == _W(0x304):
        m[IE] = value & _ALL
    elif number == _W(0x144):
        mask = SSIP & m[MIDELEG]
        m[MIP] = m[MIP] & ~mask | value & mask
    elif number == _W(0x344):
        m[MIP] = m[MIP] & ~_SUPERVISOR | value & _SUPERVISOR
    elif number == _W(0x141) or number == _W(0x341):
        m[_PLAIN[number]] = value & _EVEN
    elif number == _W(0x105) or number == _W(0x305):
        m[_PLAIN[number]] = value & _DIRECT
    elif number == _W(0x180):
        mode = value >> _SATP_MODE
        if mode == _0 or mode == _SV39:
            m[SATP] = value if mode != _0 else _0
            if m[TLB_TAGGED] == _0:
                tlb_flush(m, _1)
            else:
                quick_flush(m)
    elif number == _W(0x302):
        m[MEDELEG] = value & _EXCEPTIONS
    elif number == _W(0x303):
        m[MIDELEG] = value & _SUPERVISOR
    elif number == _W(0x106) or number == _W(0x306):
        m[_PLAIN[number]] = value & _W(0xFFFF_FFFF)
    elif number == _W(0x30A):
        m[MENVCFG] = value & (STCE | _FIOM)
    elif number == _W(0x10A):
        m[SENVCFG] = value & _FIOM
    elif number == _W(0xB00):
        m[CYCLE_OFFSET] = value - m[CYCLES]
    elif number == _W(0xB02):
        m[INSTRET_OFFSET] = value - m[INSTRET]
    elif number >= _W(0x3A0) and number <= _W(0x3EF):
        pmp_write(m, number, value)
    elif _PLAIN[number] != _0:
        m[_PLAIN[number]] = value
