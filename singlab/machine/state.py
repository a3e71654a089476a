"""The state of one computer: a single flat array of 64-bit words.

Word 0 onwards is the header (registers, CSRs, counters, timing parameters, cache and TLB tags, the event
ring); RAM follows. A snapshot is a copy of the array, and everything that happens to a computer
happens to this array alone, so a run is a pure function of it. Compiled code gets the array as its
argument ``m`` and reaches it through the raw accessors below, which exist twice: as LLVM loads and
stores when compiled, and as plain NumPy when not.

What it leaves out: decoded instructions (:mod:`singlab.machine.hart` keeps them apart, for they can
always be made again from RAM).
"""

from __future__ import annotations

import contextlib
import mmap

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

# ---- header layout (word indices) --------------------------------------------------------------

X = 0  #: x0..x31 at words 0..31; word 0 stays zero
X_DUMMY = 32  #: where a write to x0 goes
PC = 33
MODE = 34  #: privilege: 0 = U, 1 = S, 3 = M
INSTRET = 35  #: instructions retired
CYCLES = 36  #: cycles; the clock that cycle and time count by
SATP = 37
STVEC = 38
SSCRATCH = 39
SEPC = 40
SCAUSE = 41
STVAL = 42
SSTATUS = 43  #: mstatus; sstatus is a view of it
SIE = 44  #: mie; sie is a view of it
TIMECMP = 45  #: the supervisor timer interrupt is pending while the time has reached it
RAM_BYTES = 46
STOP = 47  #: set by a device that wants the host
STOP_CYCLE = 48  #: run loop leaves when CYCLES reaches this
STOP_EVENT = 49  #: run loop leaves when EVENT_COUNT reaches this
EVENT_COUNT = 50  #: events ever written to the ring
TRACE_ON = 51  #: 0 = write no events; bit 1: what collectors do to single objects too
KERNEL_FAULT = 52  #: address of a kernel access outside RAM, else 0
RANDOM = 53  #: state of the seeded generator
CURRENT_THREAD = 54  #: mirror of the kernel's current thread id, for events
CURRENT_PROCESS = 55  #: mirror of the kernel's current process id, for events
HOOK_NUMBER = 56  #: number of the hook instruction the hart stopped at
FAULT_CAUSE = 57  #: cause of the last failed translation or access
RESERVATION = 58  #: physical address that lr has reserved + 1, 0 = none
STOP_INSTRET = 59  #: in a precise run, leave exactly when INSTRET reaches this
STOP_PC = 60  #: in a precise run, leave before the instruction at this address
PRECISE = 61  #: 1 = look at the two above, and at the watch, before each instruction
RESUME = 62  #: address + 1 at which a precise run left within a line, 0 = at none
RESUME_BASE = 63  #: what leads there from pc/2 to a slot of decoded instructions

#: Event counters, one word each, in this order.
COUNTERS = (
    "l1i_accesses", "l1i_misses", "l1d_accesses", "l1d_misses", "l2_accesses", "l2_misses",
    "dtlb_accesses", "dtlb_misses", "itlb_misses", "page_walks", "traps", "interrupts",
    "branches_taken", "multiplies", "divides", "kernel_instructions",
    # where cycles beyond one per instruction went; these and INSTRET sum to CYCLES
    "stall_fetch", "stall_load", "stall_store", "stall_walk", "stall_branch", "stall_muldiv", "stall_trap",
    "stall_idle",
)
COUNTER_BASE = 64
for _i, _name in enumerate(COUNTERS):
    globals()["C_" + _name.upper()] = COUNTER_BASE + _i

#: Timing parameters (copied from a Profile when the machine is made).
PARAM_BASE = 96
PARAM_WORDS = 64

#: Registers of the machine level, and the board's state that lies in single words.
MTVEC, MSCRATCH, MEPC, MCAUSE, MTVAL, MEDELEG, MIDELEG, MIP = range(160, 168)
MCOUNTEREN, SCOUNTEREN, MENVCFG, SENVCFG = range(168, 172)
CYCLE_OFFSET, INSTRET_OFFSET = 172, 173  #: what mcycle and minstret show beyond CYCLES and INSTRET
MTIMECMP = 174  #: of the CLINT
MMIO_ADDRESS = 175  #: physical address of the device access that data_address found
EXIT = 176  #: exit code the guest gave the test finisher, + 1; 0 = none yet
TOHOST = 177  #: byte offset in the state of the tohost word, 0 = none; a store there stops the run
EXTERNAL = 178  #: the interrupts the PLIC asserts, as bits of mip
LOADED = 179  #: value of the last load that went the slow way
WATCH, WATCH_BYTES = 180, 181  #: virtual addresses watched: first, and how many
WATCH_HIT = 182  #: address of the access that touched them, + 1
UNTIL = 183  #: cycle at which translated code must look up
CODE, CODE_BYTES = 184, 185  #: virtual addresses that have been translated: first, and how many
CODE_AT = 186  #: where they lie: byte offset in the state
CODE_WRITTEN = 187  #: byte offset in the state of a store that hit them, 0 = none
INTERPRET = 188  #: 1 = interpret the next line, translated or not
FAULT_ADDRESS = 189  #: virtual address of the last access that could not be
HANDLER = 203  #: address of the handler that the last trap went to, + 1
TIME_OFFSET = 204  #: what mtime shows beyond CYCLES
LIVE = 206  #: all ones while decoded instructions may be taken as they are, else 0
FIRST_PART, SECOND_PART = 195, 196  #: byte offsets in the state of the parts of an access to two pages that lie apart

#: Physical memory protection: how many entries there are (0 or 16), their addresses, their configurations, eight in a word.
PMP_ENTRIES, PMP_ADDRESS, PMP_CONFIG = 205, 208, 224

#: More than one hart (:mod:`singlab.machine.harts`).
HARTS, HART = 190, 191  #: how many there are; the one whose registers the header has
HART_SEED = 192  #: of the interleaving
WAITING = 193  #: 1 = this hart has come to a wfi, 2 = it is lost
QUICK = 194  #: word at which this hart's quick tables begin
#: The stretch that a hart runs before others may: how far it is (:mod:`singlab.machine.harts`), whose it is, the cycle
#: at which its first part ends, the instructions of its second, and the instruction at which that ends.
STRETCH, STRETCH_HART, STRETCH_END, STRETCH_TAIL, STRETCH_STOP = range(226, 231)
FLURRY = 232  #: how many more stretches are of a few instructions only
TIME_SEEN = 231  #: the latest cycle that any hart has read as the time
KERNEL_LINE = 234  #: line of the kernel's text fetched last, + 1; 0 = none since the hart ran
PLAIN_RAM = 233  #: offsets in RAM below which native kernel code reaches memory at no charge, 0 = none: set while it runs untimed and untranslated
POLICY_TROUBLE = 235  #: why the student's function that ran last has no result, 0 = it has one
POLICY_STOP = 236  #: 1 = a policy was put out of force, and the host is to say so
POLICY_CODE = 237  #: eleven words: where the functions of the policy slots lie in the host's memory, 0 = none
#: Instructions that native kernel code has retired and that are not in the books yet, in four words: consecutive blocks add
#: to different ones, so that none waits for the sum of the one before.
DUE_0, DUE_1, DUE_2, DUE_3 = range(248, 252)
#: Instructions that each of these words may come to within one call of native kernel code: more, and a loop of it goes round
#: in tables that are not in order. 0 from then on, as after an access outside RAM; no loop of kernel code goes on after that.
#: All ones until a kernel is booted.
KERNEL_MOST = 252
HART_WORDS = 256  #: words of the header, most of them a hart's own
MAX_HARTS = 4
HART_SAVED = 63 * 1024  #: the headers of the harts that do not run
#: Words of the header that all harts share.
SHARED_WORDS = (
    RAM_BYTES, KERNEL_MOST, TIME_OFFSET, PMP_ENTRIES, STOP, STOP_CYCLE, STOP_EVENT, EVENT_COUNT, TRACE_ON, RANDOM, STOP_INSTRET, STOP_PC, PRECISE, EXIT, TOHOST, WATCH,
    WATCH_BYTES, WATCH_HIT, CODE, CODE_BYTES, CODE_AT, CODE_WRITTEN, INTERPRET, HARTS, HART, HART_SEED, STRETCH, STRETCH_HART,
    STRETCH_END, STRETCH_TAIL, STRETCH_STOP, FLURRY, TIME_SEEN,
)  # fmt: skip

#: Device state: UART registers and its two queues, PLIC, virtio.
DEVICE_BASE = 60 * 1024
DEVICE_WORDS = 3 * 1024

#: Cache and TLB tags and their replacement state.
TAGS_BASE = 256

#: Quick tables (:mod:`singlab.machine.quick`): for each mode, U, S, none and M, one for loads, stores and fetches.
QUICK_ENTRIES = 256
QUICK_TABLE = 2 * QUICK_ENTRIES
QUICK_MODE = 3 * QUICK_TABLE
QUICK_WORDS = 4 * QUICK_MODE
QUICK_BASE = DEVICE_BASE - MAX_HARTS * QUICK_WORDS
#: What an empty entry holds: what is compared with entries is a page's address and the lowest three bits, so never this.
QUICK_EMPTY = 8
TAGS_WORDS = QUICK_BASE - TAGS_BASE

#: The event ring: RING_EVENTS records of four words.
RING_BASE = 64 * 1024
RING_EVENTS = 1 << 16
EVENT_WORDS = 4

RAM_WORD = RING_BASE + RING_EVENTS * EVENT_WORDS  #: index of RAM's first word
RAM_OFFSET = RAM_WORD * 8  #: the same in bytes
PAGE_WORDS = 512
RAM_BASE = 0x8000_0000  #: physical address of RAM, as on QEMU's virt board

U, S, M_MODE = 0, 1, 3


def empty_words(count: int) -> np.ndarray:
    """Return zeros that take the computer's memory as they are written, 4 KB at a time, and give it back when they are let go.

    NumPy's own zeros do neither once large arrays have come and gone: the C library then keeps what it had for the next
    array, clears it by writing it all, and what many machines have had stays with the process.

    Parameters
    ----------
    count : int
        How many words; at least 1.

    Returns
    -------
    ndarray of uint64, shape (count,)
    """
    room = mmap.mmap(-1, count * 8)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):
            room.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(room, dtype=np.uint64)


def new_state(ram_bytes: int) -> np.ndarray:
    """Return the state of a machine that has just been switched on.

    Parameters
    ----------
    ram_bytes : int
        Size of RAM; a multiple of 4096.

    Returns
    -------
    ndarray of uint64, shape (RAM_WORD + ram_bytes // 8,)
    """
    if ram_bytes <= 0 or ram_bytes % 4096:
        raise ValueError(f"RAM must be a positive multiple of 4096 bytes, not {ram_bytes}")
    m = empty_words(RAM_WORD + ram_bytes // 8)
    m[RAM_BYTES] = ram_bytes
    m[PC] = RAM_BASE
    m[MODE] = M_MODE
    for word in (TIMECMP, MTIMECMP, STOP_CYCLE, STOP_EVENT, STOP_INSTRET, STOP_PC, KERNEL_MOST):
        m[word] = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    m[TRACE_ON] = 1
    m[HARTS], m[HART_SEED] = 1, 1
    m[QUICK] = QUICK_BASE
    m[QUICK_BASE:DEVICE_BASE] = QUICK_EMPTY
    return m


# ---- raw accessors: byte offset into the array, no timing, no checks ------------------------------


def _make_raw(width: int):
    """Return (load, store) of ``width`` bytes at a byte offset; loads zero-extend to uint64."""
    llvm_int = ir.IntType(width * 8)
    word = ir.IntType(64)

    @intrinsic
    def load_intrinsic(typingctx, m, offset):
        def codegen(context, builder, signature, args):
            array = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
            base = builder.bitcast(array.data, ir.IntType(8).as_pointer())
            pointer = builder.bitcast(builder.gep(base, [args[1]]), llvm_int.as_pointer())
            value = builder.load(pointer)
            value.align = 1
            return builder.zext(value, word) if width < 8 else value

        return types.uint64(m, types.uint64), codegen

    @intrinsic
    def store_intrinsic(typingctx, m, offset, value):
        def codegen(context, builder, signature, args):
            array = cgutils.create_struct_proxy(signature.args[0])(context, builder, value=args[0])
            base = builder.bitcast(array.data, ir.IntType(8).as_pointer())
            pointer = builder.bitcast(builder.gep(base, [args[1]]), llvm_int.as_pointer())
            narrow = builder.trunc(args[2], llvm_int) if width < 8 else args[2]
            builder.store(narrow, pointer).align = 1
            return context.get_dummy_value()

        return types.void(m, types.uint64, types.uint64), codegen

    dtype = np.dtype(f"<u{width}")
    mask = (1 << (8 * width)) - 1

    def load(m, offset):
        offset = int(offset)
        return np.uint64(m.view(np.uint8)[offset : offset + width].view(dtype)[0])

    def store(m, offset, value):
        offset = int(offset)
        m.view(np.uint8)[offset : offset + width].view(dtype)[0] = int(value) & mask

    @overload(load, inline="never")
    def load_overload(m, offset):
        return lambda m, offset: load_intrinsic(m, offset)

    @overload(store, inline="never")
    def store_overload(m, offset, value):
        return lambda m, offset, value: store_intrinsic(m, offset, value)

    return load, store


raw_ld8, raw_st8 = _make_raw(1)
raw_ld16, raw_st16 = _make_raw(2)
raw_ld32, raw_st32 = _make_raw(4)
raw_ld64, raw_st64 = _make_raw(8)
