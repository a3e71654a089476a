"""The event record: what one entry of a trace is, and how compiled code writes it.

An event is four 64-bit words in the machine's ring: cycle; kind, process and thread packed; two
arguments ``a`` and ``b`` whose meaning depends on the kind. The ring is part of the machine's state,
so a restored snapshot has the trace it had. Writing an event costs the simulated machine nothing.
Events have one order everywhere: the order in which they were written.
"""

from __future__ import annotations

import enum

import numpy as np


class Kind(enum.IntEnum):
    """What happened; ``a`` and ``b`` as listed. A process or thread is named by its number."""

    BOOT = 1  #: a = RAM bytes, b = number of pages
    PROCESS_CREATE = 2  #: a = process, b = parent process
    PROCESS_START = 3  #: a = process
    PROCESS_EXIT = 4  #: a = process, b = exit value
    PROCESS_STOP = 5  #: a = process, b = who stopped it (0 = the operator)
    PROCESS_FAULT = 6  #: a = process, b = fault code | source line << 16
    THREAD_CREATE = 7  #: a = thread, b = process
    THREAD_RUN = 8  #: a = thread now running, b = thread that ran before (0 = none)
    THREAD_BLOCK = 9  #: a = thread, b = endpoint address it waits on (0 = it waits for another thread's end, 2 for the service thread, 4 for a child's end, 6 for its suspension)
    THREAD_READY = 10  #: a = thread, b = endpoint address that woke it (0 = other)
    THREAD_PREEMPT = 11  #: a = thread
    THREAD_YIELD = 12  #: a = thread
    THREAD_EXIT = 13  #: a = thread, b = what it ended with
    CHANNEL_CREATE = 14  #: a = channel, b = Imp process | Exp process << 32
    CHANNEL_CLOSE = 15  #: a = channel, b = side that closed: 0 = Imp, 1 = Exp
    SEND = 16  #: a = channel | message << 32 | side << 56 (side of the sender), b = first argument
    RECEIVE = 17  #: a = channel | message << 32 | side << 56 (side of the receiver), b = first argument
    CHANNEL_STATE = 18  #: a = channel | side << 56, b = contract state that side is now in
    BLOCK_ALLOC = 19  #: a = address of the data, b = bytes | owner process << 32
    BLOCK_OWNER = 20  #: a = address of the data, b = new owner process | old owner << 32
    BLOCK_FREE = 21  #: a = address of the data, b = bytes | last owner << 32
    BLOCK_COPY = 22  #: a = address of the source data, b = bytes copied
    PAGES_ALLOC = 23  #: a = first page, b = pages | tag << 32
    PAGES_FREE = 24  #: a = first page, b = pages | old tag << 32
    PRINT = 25  #: a = address of text (b = bytes) or a number (b = 1 << 63); the console keeps the text
    MARK = 26  #: a = value given by the program, b = 0
    DEADLOCK = 27  #: a = number of blocked threads
    REFUSED = 28  #: a = ABI function, b = error code: a call the kernel refused
    CLOSED_SEEN = 29  #: a = channel | side << 56 (side that saw it): ChannelClosed delivered
    ABI = 30  #: a = ABI function, b = first argument (only when ABI tracing is on)
    CHANNEL_CONTRACT = 31  #: a = channel, b = address of its contract's table in the kernel
    ENDPOINT_OWNER = 32  #: a = channel | side << 56, b = new owner process | old owner << 32: an endpoint went along in a message
    POLICY_FAULT = 33  #: a = policy slot | why << 8, b = the word it gave: a policy that misbehaved was put out of force
    SERVICE_REQUEST = 40  #: a = what is asked (1 create, 2 stop, 3 suspend, 4 suspend with all below, 5 resume), b = process; of a create, number of the extension
    SERVICE_DONE = 41  #: a = what was asked, b = status; of a create the handle
    PROCESS_SUSPENDED = 42  #: a = process: it has come to rest
    THREAD_HOLD = 43  #: a = thread: an ABI call of a suspended process has ended, and its thread does not go on
    PROCESS_SUSPEND = 44  #: a = process, b = state it is in now: 4 suspending, 5 with all below it
    PROCESS_RESUME = 45  #: a = process
    BLOCK_SIZE = 50  #: a = address of the data, b = bytes now | owner << 32: a block was split or truncated
    OBJECT_NEW = 52  #: a = handle of an event or a mutex, b = which kind (its magic number)
    OBJECT_SIGNAL = 53  #: a = handle of an event, b = 1 = it was set, 0 = reset
    INTERRUPT = 54  #: a = line: a device's interrupt was taken
    NAME_BIND = 55  #: a = channel to who provides it, b = process that does (0 = it is bound no more)
    NAME_CONNECT = 56  #: a = channel to who provides it, b = status: what became of a connection by name
    STACK_LINK = 57  #: a = address of the segment, b = its pages: the running thread's stack grew
    STACK_UNLINK = 58  #: a = address of the segment, b = its pages: the function it was for has returned
    GC_BEGIN = 60  #: a = collector | cause << 8 (1 the heap's limit, 2 memory, 3 forced), b = bytes of the heap's pages
    GC_END = 61  #: a = bytes alive, b = cycles it took
    GC_WORK = 62  #: a = roots, b = bytes moved | bytes given back << 32
    GC_HEAP = 64  #: a = collector that collected | tenuring age << 8 | calls of the write barrier since the collection before << 32, b = pages of the heap after it | words of the largest free run << 32
    GC_AGE = 65  #: a = how many minor collections they have survived, b = bytes of the survivors
    GC_STEP = 63  #: a = address | what << 56, b = address or bytes: one object of a collection (only while a collection is filmed)


#: Structured view of a ring or of a saved trace.
EVENT = np.dtype(
    [("cycle", "<u8"), ("kind", "<u2"), ("process", "<u2"), ("thread", "<u4"), ("a", "<u8"), ("b", "<u8")]
)
assert EVENT.itemsize == 32

#: Page types, the low four bits of a page tag; the owner is in the bits from OWNER_SHIFT on (0 = nobody, 1 = kernel).
OWNER_SHIFT = 8
PAGE_TYPES = ("unallocated", "nongc", "stack", "system", "shared", "code", "unknown", "heap", "handles", "objects", "dma")

#: Slots for policies, in their order.
POLICIES = ("pick", "place", "quantum", "fit", "pages", "admit", "trigger", "growth", "nursery", "tenure", "collector")

#: Fault codes in PROCESS_FAULT.
FAULTS = {
    1: "index out of bounds",
    2: "division by zero",
    3: "channel closed while a message was expected",
    4: "contract violation",
    5: "exchange heap exhausted",
    6: "used a block it does not own",
    7: "illegal instruction",
    8: "access outside its memory",
    9: "stack overflow",
    10: "bad ABI call",
    11: "allocation size out of range",
    12: "integer conversion out of range",
    13: "an assertion does not hold",
    14: "joined what is no thread of its own that runs, or was joined before",
    15: "no memory left for a channel",
    16: "waited for what can never come: no case can be satisfied any more",
    17: "sent one end of a channel over the other",
    20: "None was used as an object",
    21: "an object of another class",
    22: "out of memory",
    23: "None was used as an array or a text",
    24: "no thread could be started",
    26: "used a handle that is closed, or let go of what this thread does not have",
    27: "a device that its manifest does not declare, or that another process has",
    30: "no child process can be made",
    31: "no child process has this handle, or it cannot do this in the state it is in",
    32: "a startup argument that the child does not take",
    40: "its heap is not what its image says",
}

