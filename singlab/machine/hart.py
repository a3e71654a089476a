"""The hart: the interpreter of decoded instructions, once with full timing and once without.

Unprivileged specification, RV64IMAC. One cycle an instruction; stalls as the profile says, each counted
under its cause, so that CYCLES is always INSTRET plus the stalls. pc and the instructions since the
last book-keeping are locals. Where control enters a line (a page, without timing) the fetch is charged
and limits and interrupts are looked at; within it only jumps do so. Data goes through the quick tables
(:mod:`singlab.machine.quick`) or the slow way (:mod:`singlab.machine.memory`).

A precise run also looks before each instruction whether it is to stop there; what it does otherwise is
the same, to the last counter.

Leaves out floating point.
"""

from __future__ import annotations

from types import FunctionType

import numpy as np

from singlab.machine import profile as _p
from singlab.machine import state as _s
from singlab.machine.atomic import atomic
from singlab.machine.caches import l1d_slow, l1i_slow
from singlab.machine.decode import COMPRESSED, LAST, OP
from singlab.machine.fetch import fetch, forget
from singlab.machine.jit import jit
from singlab.machine.memory import cannot, data_address, load_slow, store_slow
from singlab.machine.muldiv import muldiv
from singlab.machine.pmp import page_permitted, parcel_denied
from singlab.machine.privileged import AT_HOOK, AT_WFI, deadline, exchanges, lost, opens, shuts, system, take_interrupt, trap
from singlab.machine.quick import quick_fill
from singlab.machine.state import raw_ld8, raw_ld16, raw_ld32, raw_ld64, raw_st8, raw_st16, raw_st32, raw_st64
from singlab.machine.translate import FETCH, LOAD, NO_ADDRESS, STORE, translate

#: Why :func:`hart_run` returned.
STOP_LIMIT, STOP_HOOK, STOP_WFI = 0, 1, 3
STOP_DEVICE = 4  #: a device wants the host: its queue is full, or the guest has ended
STOP_LOST = 5  #: a handler that cannot be fetched, and no interrupt to come: nothing more can happen
STOP_HERE = 6  #: a precise run has come to where it was to stop
STOP_CODE = 7  #: what comes next has been translated

_W = np.uint64
_I = np.int64
_0, _1, _2, _3, _4, _6, _8, _11, _12, _13, _16, _24, _32 = (_W(v) for v in (0, 1, 2, 3, 4, 6, 8, 11, 12, 13, 16, 24, 32))
_5, _7 = _W(5), _W(7)
_FULL = _W(0xFFFF_FFFF_FFFF_FFFF)
_EVEN = _W(0xFFFF_FFFF_FFFF_FFFE)
_PAGE = _W(0xFFFF_FFFF_FFFF_F000)
_PAGE8, _PAGE4, _PAGE2 = _PAGE | _7, _PAGE | _3, _PAGE | _1
_LATEST = _W(1 << 62)
_FF, _MASK32, _31, _63 = _W(0xFF), _W(0xFFFF_FFFF), _W(31), _W(63)
_SIGN32 = _I(32)
X_DUMMY = _s.X_DUMMY
#: What an instruction leaves to do: nothing, an access the slow way, a branch.
PLAIN, SLOW_LOAD, SLOW_STORE, BRANCH = 0, 1, 2, 3
PC, MODE, INSTRET, CYCLES, SATP, STOP_CYCLE = _s.PC, _s.MODE, _s.INSTRET, _s.CYCLES, _s.SATP, _s.STOP_CYCLE
IE, MIP, MTIMECMP, EXTERNAL, LOADED, TOHOST = _s.SIE, _s.MIP, _s.MTIMECMP, _s.EXTERNAL, _s.LOADED, _s.TOHOST
TIMECMP, RAM_BYTES, FAULT_CAUSE, FAULT_ADDRESS, STOP = _s.TIMECMP, _s.RAM_BYTES, _s.FAULT_CAUSE, _s.FAULT_ADDRESS, _s.STOP
PRECISE, STOP_INSTRET, STOP_PC, WATCH_HIT = _s.PRECISE, _s.STOP_INSTRET, _s.STOP_PC, _s.WATCH_HIT
RESUME, RESUME_BASE, UNTIL, TIME_OFFSET, LIVE = _s.RESUME, _s.RESUME_BASE, _s.UNTIL, _s.TIME_OFFSET, _s.LIVE
CODE, CODE_BYTES, INTERPRET, CODE_AT, CODE_WRITTEN = _s.CODE, _s.CODE_BYTES, _s.INTERPRET, _s.CODE_AT, _s.CODE_WRITTEN
RAM_BASE, RAM_OFFSET = _W(_s.RAM_BASE), _W(_s.RAM_OFFSET)
#: What leads from a byte offset in the state to a physical address, in lines.
_LINES = _W((_s.RAM_BASE - _s.RAM_OFFSET >> 6) + 1)
_SLOT_LINES = _W((_s.RAM_BASE >> 6) + 1)
C_FETCH, C_LOAD, C_STORE, C_BRANCH = _s.C_STALL_FETCH, _s.C_STALL_LOAD, _s.C_STALL_STORE, _s.C_STALL_BRANCH
C_MULTIPLIES = _s.C_MULTIPLIES
C_MULDIV, C_TRAP, C_TAKEN = _s.C_STALL_MULDIV, _s.C_STALL_TRAP, _s.C_BRANCHES_TAKEN
C_L1I, C_L1D, C_DTLB = _s.C_L1I_ACCESSES, _s.C_L1D_ACCESSES, _s.C_DTLB_ACCESSES
BRANCH_CYCLES, MULTIPLY_CYCLES, TIMED = _p.P_BRANCH_CYCLES, _p.P_MULTIPLY_CYCLES, _p.P_TIMED
L1I_TAGS, L1I_SETS, L1D_TAGS, L1D_SETS = _p.P_L1I_TAGS, _p.P_L1I_SETS, _p.P_L1D_TAGS, _p.P_L1D_SETS
PMP_ENTRIES, _QUICK_EMPTY = _s.PMP_ENTRIES, _W(_s.QUICK_EMPTY)
QUICK, _TABLE, _MODE_WORDS = _s.QUICK, _W(_s.QUICK_TABLE), _W(_s.QUICK_MODE)
_ENTRIES = _W(_s.QUICK_ENTRIES - 1)

_LAST_LR, _LAST_ATOMIC = _W(OP["lr.d"]), _W(OP["amomaxu.d"])
_LR_D, _SC_D, _FIRST_AMO_D = _W(OP["lr.d"]), _W(OP["sc.d"]), _W(OP["amoswap.d"])
MUL, _LAST_MULDIV = _W(OP["mul"]), _W(OP["remuw"])
_STORE_FUNCT3 = _W(OP["sb"])
_FUNCT3 = np.array([0, 0, 1, 2, 3, 4, 5, 6], dtype=np.uint64)  # by the number of a load
(LB, LH, LW, LD, LBU, LHU, LWU, SB, SH, SW, SD, BEQ, BNE, BLT, BGE, BLTU, BGEU, JAL, JALR, ADDI, SLTI, SLTIU, XORI, ORI, ANDI,
 SLLI, SRLI, SRAI, ADDIW, SLLIW, SRLIW, SRAIW, ADD, SUB, SLL, SLT, SLTU, XOR, SRL, SRA, OR, AND, ADDW, SUBW, SLLW,
 SRLW, SRAW, LUI, AUIPC, FENCE, FENCEI, CSRRW, CSRRSI, CSRRCI) = (
    _W(OP[n]) for n in (
        "lb", "lh", "lw", "ld", "lbu", "lhu", "lwu", "sb", "sh", "sw", "sd", "beq", "bne", "blt", "bge", "bltu", "bgeu", "jal",
        "jalr", "addi", "slti", "sltiu", "xori", "ori", "andi", "slli", "srli", "srai", "addiw", "slliw", "srliw",
        "sraiw", "add", "sub", "sll", "slt", "sltu", "xor", "srl", "sra", "or", "and", "addw", "subw", "sllw", "srlw",
        "sraw", "lui", "auipc", "fence", "fence.i", "csrrw", "csrrsi", "csrrci",
    )
)  # fmt: skip


@jit("uint64(uint64)", forceinline=True)
def sext32(value):
    """Sign-extend the low 32 bits."""
    return _W(_I(np.int32(np.uint32(value & _MASK32))))



@jit("uint64(uint64[::1], uint64, uint64)")
def touch(m, at, dirty):
    """Charge a load or store of the line at a byte offset in the state that is not first in its set; returns ``at``."""
    stall = l1d_slow(m, (at >> _6) + _LINES - _1, dirty)
    if stall != _0:
        m[CYCLES] += stall
        m[C_STORE if dirty != _0 else C_LOAD] += stall
    return at


@jit("uint64(uint64[::1], uint64, uint64, uint64)", forceinline=True)
def known(m, table, va, mask):
    """Return the byte offset of an address the quick table knows, 0 for the slow way."""
    entry = table + ((va >> _12 & _ENTRIES) << _1)
    if m[entry] != va & mask:
        return _0
    return va + m[entry + _1]


@jit("uint64(uint64[::1], uint64, uint64, uint64)", forceinline=True)
def timed_load(m, table, va, mask):
    """As :func:`known`, charging the access to the caches."""
    at = known(m, table, va, mask)
    if at != _0:
        line = (at >> _6) + _LINES
        if m[m[L1D_TAGS] + (line - _1 & (m[L1D_SETS] - _1))] >> _1 != line:
            return touch(m, at, _0)
    return at


@jit("uint64(uint64[::1], uint64, uint64, uint64)", forceinline=True)
def timed_store(m, table, va, mask):
    """As :func:`known`, charging the access to the caches."""
    at = known(m, table, va, mask)
    if at != _0:
        line = (at >> _6) + _LINES
        tag = m[L1D_TAGS] + (line - _1 & (m[L1D_SETS] - _1))
        if m[tag] != (line << _1 | _1):
            if m[tag] >> _1 != line:
                return touch(m, at, _1)
            m[tag] = line << _1 | _1
    return at


load = store = known  #: the way to memory without timing; :func:`_make` knows the other


@jit("uint64(uint64)", forceinline=True)
def length(u):
    """Return the bytes of an instruction."""
    return _4 - (u >> _13 & _2)


@jit("uint64(uint64)", forceinline=True)
def half(imm):
    """Return a distance in bytes as one in slots of decoded instructions."""
    return _W(_I(imm) >> _I(1))


@jit("void(uint64[::1], uint64, uint64)", forceinline=True)
def count_data(m, data, translated):
    """Count loads and stores that the quick tables answered."""
    m[C_L1D] += data
    m[C_DTLB] += data * translated


def _make(timed):
    """Return the interpreter, with or without timing; one text for both."""
    slots = _5 if timed else _11  # of a line, of a page, as a shift
    counted = _1 if timed else _0

    def run(m, uops):
        pc = m[PC]
        n = _0  # instructions since the books were last brought up to date
        data = _0  # loads and stores that the quick tables answered, in the mode of the last look-up
        translated = _0
        precise = m[PRECISE] != _0
        resumed = m[RESUME] == pc + _1
        m[RESUME] = _0
        m[WATCH_HIT] = _0
        while True:
            # ---- look up: limits, interrupts, the tables of this mode -----------------------------------------
            count_data(m, data, translated)
            data = _0
            if not resumed:
                m[INSTRET] += n
                m[CYCLES] += n
                n = _0
                m[PC] = pc
                if m[CYCLES] >= m[STOP_CYCLE]:
                    return STOP_LIMIT
                time = m[CYCLES] + m[TIME_OFFSET]
                if (time >= m[TIMECMP] or (m[MIP] | m[EXTERNAL]) & m[IE] != _0 or time >= m[MTIMECMP]) and take_interrupt(m):
                    pc = m[PC]
                if m[CODE_BYTES] != _0 and not precise:
                    if m[INTERPRET] == _0 and pc - m[CODE] < m[CODE_BYTES]:
                        m[UNTIL] = min(deadline(m), _LATEST)  # signed where it is used
                        return STOP_CODE
                    m[INTERPRET] = _0
            until = deadline(m)
            quick_loads = m[QUICK] + m[MODE] * _MODE_WORDS
            quick_stores = quick_loads + _TABLE
            quick_fetches = quick_stores + _TABLE
            translated = _1 if m[SATP] != _0 and m[MODE] != _3 else _0
            look_up = False
            while not look_up:
                # ---- enter a line ------------------------------------------------------------------------------
                careful = False
                if resumed:
                    resumed = False
                    careful = m[PMP_ENTRIES] != _0
                    base = m[RESUME_BASE]
                else:
                    if m[CYCLES] + n >= until:
                        break
                    entry = quick_fetches + ((pc >> _12 & _ENTRIES) << _1)
                    if m[entry] != pc & _PAGE:
                        pa = translate(m, pc, FETCH) if translated != _0 else pc
                        if pa == NO_ADDRESS or pa - RAM_BASE > m[RAM_BYTES] - _2 or parcel_denied(m, pa) == _1:
                            m[INSTRET] += n
                            m[CYCLES] += n
                            n = _0
                            if lost(m, pc):
                                m[PC] = pc
                                count_data(m, data, translated)
                                return STOP_LOST
                            m[CYCLES] += _1
                            m[C_TRAP] += _1  # so that time passes where a handler cannot be fetched either
                            trap(m, m[FAULT_CAUSE] if pa == NO_ADDRESS else _1, pc, pc)
                            pc = m[PC]
                            break
                        quick_fill(m, pc, pa, FETCH)
                        if not page_permitted(m, pa, FETCH):
                            # each instruction is looked at, and the page is looked up again the next time
                            careful = True
                            m[entry] = _QUICK_EMPTY
                    base = m[entry + _1]
                    if timed:
                        tag = ((pc >> _1) + base >> _5) + _SLOT_LINES
                        m[C_L1I] += _1
                        if m[m[L1I_TAGS] + (tag - _1 & (m[L1I_SETS] - _1))] >> _1 != tag:
                            stall = l1i_slow(m, tag - _1)
                            m[C_FETCH] += stall
                            m[CYCLES] += stall
                m[LIVE] = _0 if precise or careful else _FULL  # these go the way of what is not decoded
                here = (pc >> _1) + base
                while True:
                    u = uops[here] & m[LIVE]
                    if u == _0:
                        pc = here - base << _1
                        if precise and (m[INSTRET] + n >= m[STOP_INSTRET] or pc == m[STOP_PC] or m[WATCH_HIT] != _0):
                            m[INSTRET] += n
                            m[CYCLES] += n
                            m[PC] = pc
                            m[RESUME] = pc + _1
                            m[RESUME_BASE] = base
                            count_data(m, data, translated)
                            return STOP_HERE
                        denied = _0  # which half of the instruction cannot be fetched: 1 or 2
                        if careful:
                            denied = parcel_denied(m, RAM_BASE + (here << _1))
                            m[FAULT_CAUSE] = _1
                        if denied == _0:
                            u = uops[here]
                            if u == _0:
                                m[PC] = pc
                                u = fetch(m, uops, pc, here)
                                if u == _0:
                                    denied = _2
                        if denied != _0:
                            m[INSTRET] += n
                            m[CYCLES] += n + _1
                            m[C_TRAP] += _1
                            n = _0
                            trap(m, m[FAULT_CAUSE], pc + (denied - _1 << _1), pc)
                            pc = m[PC]
                            look_up = True
                            break
                    op = u & _FF
                    rd = u >> _8 & _63
                    a = m[u >> _16 & _FF]
                    imm = _W(_I(u) >> _SIGN32)
                    n += _1
                    then = PLAIN
                    taken = False
                    if op == LD:
                        at = load(m, quick_loads, a + imm, _PAGE8)
                        if at != _0:
                            data += counted
                            m[rd] = raw_ld64(m, at)
                        else:
                            then = SLOW_LOAD
                    elif op == LW:
                        at = load(m, quick_loads, a + imm, _PAGE4)
                        if at != _0:
                            data += counted
                            m[rd] = sext32(raw_ld32(m, at))
                        else:
                            then = SLOW_LOAD
                    elif op == LBU:
                        at = load(m, quick_loads, a + imm, _PAGE)
                        if at != _0:
                            data += counted
                            m[rd] = raw_ld8(m, at)
                        else:
                            then = SLOW_LOAD
                    elif op == LWU:
                        at = load(m, quick_loads, a + imm, _PAGE4)
                        if at != _0:
                            data += counted
                            m[rd] = raw_ld32(m, at)
                        else:
                            then = SLOW_LOAD
                    elif op == LHU:
                        at = load(m, quick_loads, a + imm, _PAGE2)
                        if at != _0:
                            data += counted
                            m[rd] = raw_ld16(m, at)
                        else:
                            then = SLOW_LOAD
                    elif op == SD:
                        at = store(m, quick_stores, a + imm, _PAGE8)
                        if at != _0:
                            data += counted
                            raw_st64(m, at, m[u >> _24 & _FF])
                        else:
                            then = SLOW_STORE
                    elif op == SW:
                        at = store(m, quick_stores, a + imm, _PAGE4)
                        if at != _0:
                            data += counted
                            raw_st32(m, at, m[u >> _24 & _FF])
                        else:
                            then = SLOW_STORE
                    elif op == SB:
                        at = store(m, quick_stores, a + imm, _PAGE)
                        if at != _0:
                            data += counted
                            raw_st8(m, at, m[u >> _24 & _FF])
                        else:
                            then = SLOW_STORE
                    elif op == BEQ:
                        then, taken = BRANCH, a == m[u >> _24 & _FF]
                    elif op == BNE:
                        then, taken = BRANCH, a != m[u >> _24 & _FF]
                    elif op == BLT:
                        then, taken = BRANCH, _I(a) < _I(m[u >> _24 & _FF])
                    elif op == BGE:
                        then, taken = BRANCH, _I(a) >= _I(m[u >> _24 & _FF])
                    elif op == BLTU:
                        then, taken = BRANCH, a < m[u >> _24 & _FF]
                    elif op == BGEU:
                        then, taken = BRANCH, a >= m[u >> _24 & _FF]
                    elif op == JAL:
                        m[rd] = (here - base << _1) + length(u)
                        target = here + half(imm)
                        if (here ^ target) >> slots != _0 or m[CYCLES] + n >= until:
                            pc = target - base << _1
                            break
                        here = target
                        continue
                    elif op == JALR:
                        m[rd] = (here - base << _1) + length(u)
                        if timed and u >> _16 & _FF != _1:  # returns are predicted, other indirect jumps are not
                            m[C_BRANCH] += m[BRANCH_CYCLES]
                            m[CYCLES] += m[BRANCH_CYCLES]
                        pc = (a + imm) & _EVEN
                        look_up = m[CODE_BYTES] != _0
                        break
                    elif op == ADDI:
                        m[rd] = a + imm
                    elif op == ADD:
                        m[rd] = a + m[u >> _24 & _FF]
                    elif op == SUB:
                        m[rd] = a - m[u >> _24 & _FF]
                    elif op == SLLI:
                        m[rd] = a << imm
                    elif op == SRLI:
                        m[rd] = a >> imm
                    elif op == SRAI:
                        m[rd] = _W(_I(a) >> _I(imm))
                    elif op == ANDI:
                        m[rd] = a & imm
                    elif op == AND:
                        m[rd] = a & m[u >> _24 & _FF]
                    elif op == OR:
                        m[rd] = a | m[u >> _24 & _FF]
                    elif op == XOR:
                        m[rd] = a ^ m[u >> _24 & _FF]
                    elif op == ADDIW:
                        m[rd] = sext32(a + imm)
                    elif op == ADDW:
                        m[rd] = sext32(a + m[u >> _24 & _FF])
                    elif op == LUI:
                        m[rd] = imm
                    elif op == AUIPC:
                        m[rd] = (here - base << _1) + imm
                    elif op == SLLIW:
                        m[rd] = sext32(a << imm)
                    elif op == MUL:
                        m[rd] = a * m[u >> _24 & _FF]
                        m[C_MULTIPLIES] += _1
                        if timed:
                            m[C_MULDIV] += m[MULTIPLY_CYCLES]
                            m[CYCLES] += m[MULTIPLY_CYCLES]
                    # the compiler makes one jump table of 32 comparisons: what is rare comes second
                    elif op == LB:
                        at = load(m, quick_loads, a + imm, _PAGE)
                        if at != _0:
                            data += counted
                            m[rd] = _W(_I(np.int8(np.uint8(raw_ld8(m, at)))))
                        else:
                            then = SLOW_LOAD
                    elif op == LH:
                        at = load(m, quick_loads, a + imm, _PAGE2)
                        if at != _0:
                            data += counted
                            m[rd] = _W(_I(np.int16(np.uint16(raw_ld16(m, at)))))
                        else:
                            then = SLOW_LOAD
                    elif op == SH:
                        at = store(m, quick_stores, a + imm, _PAGE2)
                        if at != _0:
                            data += counted
                            raw_st16(m, at, m[u >> _24 & _FF])
                        else:
                            then = SLOW_STORE
                    elif op == SLL:
                        m[rd] = a << (m[u >> _24 & _FF] & _63)
                    elif op == SRL:
                        m[rd] = a >> (m[u >> _24 & _FF] & _63)
                    elif op == SRA:
                        m[rd] = _W(_I(a) >> _I(m[u >> _24 & _FF] & _63))
                    elif op == XORI:
                        m[rd] = a ^ imm
                    elif op == SLTI:
                        m[rd] = _1 if _I(a) < _I(imm) else _0
                    elif op == SLT:
                        m[rd] = _1 if _I(a) < _I(m[u >> _24 & _FF]) else _0
                    elif op == SLTIU:
                        m[rd] = _1 if a < imm else _0
                    elif op == SLTU:
                        m[rd] = _1 if a < m[u >> _24 & _FF] else _0
                    elif op == SUBW:
                        m[rd] = sext32(a - m[u >> _24 & _FF])
                    elif op == SLLW:
                        m[rd] = sext32(a << (m[u >> _24 & _FF] & _31))
                    elif op == SRLIW:
                        m[rd] = sext32((a & _MASK32) >> imm)
                    elif op == SRLW:
                        m[rd] = sext32((a & _MASK32) >> (m[u >> _24 & _FF] & _31))
                    elif op == SRAIW:
                        m[rd] = _W(_I(sext32(a)) >> _I(imm))
                    elif op == SRAW:
                        m[rd] = _W(_I(sext32(a)) >> _I(m[u >> _24 & _FF] & _31))
                    elif op == FENCE:
                        pass
                    elif op == ORI:
                        m[rd] = a | imm
                    elif op <= _LAST_ATOMIC:
                        pc = here - base << _1
                        width = _8 if op == _LR_D or op == _SC_D or op >= _FIRST_AMO_D else _4
                        kind = LOAD if op <= _LAST_LR else STORE
                        at = _0
                        if a & (width - _1) != _0:
                            m[FAULT_CAUSE], m[FAULT_ADDRESS] = _4 if op <= _LAST_LR else _6, a
                        else:
                            at = data_address(m, a, width, kind)
                        if at <= _1:
                            if at == _1:  # devices take no atomic operations
                                m[FAULT_ADDRESS] = a
                                m[FAULT_CAUSE] = _5 if op <= _LAST_LR else _7
                            m[INSTRET] += n
                            m[CYCLES] += n
                            n = _0
                            cannot(m, pc)
                            pc = m[PC]
                            look_up = True
                            break
                        atomic(m, op, rd, at, m[u >> _24 & _FF])
                        written = m[CODE_BYTES] != _0 and at + _7 - m[CODE_AT] < m[CODE_BYTES] + _7
                        if kind == STORE and (at == m[TOHOST] or written):
                            if written:
                                m[CODE_WRITTEN] = at
                            m[INSTRET] += n
                            m[CYCLES] += n
                            m[PC] = pc + length(u)
                            m[STOP] = _1
                            count_data(m, data, translated)
                            return STOP_DEVICE
                    elif op <= _LAST_MULDIV:
                        stall = muldiv(m, op, rd, a, m[u >> _24 & _FF])
                        if timed:
                            m[C_MULDIV] += stall
                            m[CYCLES] += stall
                    elif op == FENCEI:
                        forget(uops, m[RAM_BYTES])
                        pc = (here - base << _1) + _4
                        break
                    elif op == CSRRCI and shuts(m, u) or op == CSRRW and exchanges(m, u):
                        then = PLAIN  # so frequent in a kernel that it is no reason to look up again
                    elif op == CSRRSI and opens(m, u):
                        m[INSTRET] += n
                        m[CYCLES] += n
                        n = _0
                        until = deadline(m)
                        if m[CYCLES] >= until:
                            pc = (here - base << _1) + _4
                            look_up = True
                            break
                    else:
                        m[INSTRET] += n
                        m[CYCLES] += n
                        n = _0
                        m[PC] = here - base << _1
                        count_data(m, data, translated)
                        data = _0
                        what = system(m, op, u)
                        if what == AT_HOOK:
                            return STOP_HOOK
                        if what == AT_WFI:
                            return STOP_WFI
                        pc = m[PC]
                        look_up = True
                        break
                    if then == BRANCH:
                        if timed:
                            # static prediction: backward taken, forward not taken
                            if taken != (_I(imm) < _I(0)):
                                m[C_BRANCH] += m[BRANCH_CYCLES]
                                m[CYCLES] += m[BRANCH_CYCLES]
                            if taken:
                                m[C_TAKEN] += _1
                        if taken:
                            target = here + half(imm)
                            if (here ^ target) >> slots != _0 or m[CYCLES] + n >= until:
                                pc = target - base << _1
                                break
                            here = target
                            continue
                    elif then == SLOW_LOAD:
                        pc = here - base << _1
                        what = load_slow(m, _FUNCT3[op], a + imm, pc, pc + length(u), n)
                        if what != _1:
                            m[rd] = m[LOADED]
                        if what != _0:
                            n = _0
                            pc = m[PC]
                            look_up = True
                            break
                    elif then == SLOW_STORE:
                        pc = here - base << _1
                        what = store_slow(m, op - _STORE_FUNCT3, a + imm, m[u >> _24 & _FF], pc, pc + length(u), n)
                        if what != _0:
                            n = _0
                            pc = m[PC]
                            if m[STOP] != _0:
                                count_data(m, data, translated)
                                return STOP_DEVICE
                            look_up = True
                            break
                    if u & LAST != _0:
                        pc = (here - base << _1) + length(u)
                        break
                    # a branch, not a sum: what comes next is fetched before this instruction's length is known.
                    # The store keeps the compiler from making it a sum again.
                    if u & COMPRESSED != _0:
                        m[X_DUMMY] = _0
                        here += _1
                    else:
                        here += _2

    # The two ways to memory are names of a module, not of the enclosing function: in the disk cache numba never
    # finds again what holds on to a compiled function.
    names = globals() | ({"load": timed_load, "store": timed_store} if timed else {})
    # Without a signature, so that it is compiled within hart_run alone: a second pass there makes it faster by a tenth.
    return jit()(FunctionType(run.__code__, names, "run", None, run.__closure__))


timed_run = _make(True)
plain_run = _make(False)


@jit("int64(uint64[::1], uint64[::1])")
def hart_run(m, uops):
    """Run until the limit, a hook, or nothing to wait for; see the STOP constants.

    Parameters
    ----------
    m : ndarray of uint64
        The computer.
    uops : ndarray of uint64
        Decoded instructions (:mod:`singlab.machine.fetch`).
    """
    reason = timed_run(m, uops) if m[TIMED] != _0 else plain_run(m, uops)
    m[LIVE] = _0  # the state of a machine that stands does not tell how it was run
    return reason
