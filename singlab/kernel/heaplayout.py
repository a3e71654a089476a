"""The records of a SIP's heap of objects: what collectors and the kernel's part of them have in common.

A heap is a list of extents, runs of pages. Its record, and those of the extents, lie in the kernel zone, so what a SIP
writes into its own memory changes nothing in them. See :mod:`singlab.runtime`.
"""

from __future__ import annotations

# ---- what an image says about its objects (I_HEAP) -----------------------------------------------------------------
IMAGE_HEAP_BYTES = 40
IH_TYPES = 0  #: byte offset in the code of its type table, how many types, byte offset of its stack maps
IH_TYPE_COUNT = 8
IH_MAPS = 16
IH_COLLECTOR = 24  #: number of its collector, 0 = whatever the system's is; most bytes of its heap, 0 = no bound
IH_MOST = 32

#: Collectors, in the order of their numbers; a heap without one grows until its process ends.
COLLECTORS = ("", "none", "semispace", "marksweep", "compact", "generational", "concurrent", "adaptive")
#: Those whose programs have a write barrier.
WITH_BARRIER = ("generational", "concurrent")
#: A bound on a heap's bytes is at least that: a page.
SMALLEST_HEAP = 4096
COLLECT_NONE, COLLECT_SEMISPACE, COLLECT_MARK_SWEEP, COLLECT_COMPACT, COLLECT_GENERATIONAL, COLLECT_CONCURRENT, COLLECT_ADAPTIVE = range(1, 8)
#: Why there is a collection: the heap has come to its limit, memory is exhausted, it is forced at every allocation, there is a step of one
#: to do, or a policy wants it.
CAUSE_LIMIT, CAUSE_MEMORY, CAUSE_FORCED, CAUSE_STEP, CAUSE_POLICY = range(1, 6)
#: How a request for room has ended.
ROOM, FULL, AGAIN, DAMAGED = 0, 1, 2, 3

#: Where lists of extents begin in a heap's record.
EXTENT_LISTS = (56, 192)
#: In the upper half of an object's header: it is marked; it is old. What lies above is the collector's.
MARK = 1 << 32
OLD = 1 << 32
#: What a collector does in a step of a film, as in ``singlab.trace.heapfilm``.
PHASE, ROOT, REACH, SCAN, MOVE, FREE, REMEMBER = range(7)
#: In a list through the headers of its objects: there is no next one.
LAST = 0x3FFF_FFFF
#: Lists of free runs, each of runs twice as large as the one before it.
RUN_LISTS = 16

# ---- the heap's record -------------------------------------------------------------------------------------------
HEAP_BYTES = 1024
Z_MAGIC = 0
Z_PROCESS = 8
Z_COLLECTOR = 16
Z_TYPES = 24  #: where the kernel finds the type table, how many types there are, where it finds the stack maps
Z_TYPE_COUNT = 32
Z_MAPS = 40
Z_TAG = 48  #: tag of the heap's pages
Z_EXTENTS = 56  #: list of its extents, the newest first
Z_BYTES = 64  #: of its extents
Z_LIMIT = 72  #: beyond so many there is a collection, and the most there can be
Z_MOST = 80
Z_END = 88  #: where the room ends that was given last
Z_TROUBLE = 96  #: address of what is no object, or of a stack that no map explains
Z_COUNT = 104  #: collections; then of the last one: why it was, roots, bytes alive, bytes moved, bytes given back; cycles of all, and of the longest
Z_CAUSE = 112
Z_ROOTS = 120
Z_LIVE = 128
Z_MOVED = 136
Z_FREED = 144
Z_CYCLES = 152
Z_LONGEST = 160
Z_TO = 168  #: during a collection: extent that objects move to, and the next free byte of it
Z_FREE = 176
Z_STACK = 184  #: stack pointer of the thread that asks
# of collectors, each its own
Z_OLD = 192  #: list of the extents of old objects
Z_REMEMBERED = 200  #: the first remembered object's place, as a number of words from the beginning of RAM
Z_NURSERY = 208  #: bytes of young objects that make a collection, bytes of old ones' extents that make a major one
Z_MAJOR = 216
Z_MAJORS = 224  #: how many of them there were, and how often the write barrier came to the kernel
Z_BARRIERS = 232
Z_GRAY = 240  #: the first marked object whose references are to be looked at, as Z_REMEMBERED
Z_RUNS = 320  #: lists of free runs
Z_PHASE = 448  #: what a cycle of steps is at, and bytes that threads were given since it began
Z_GIVEN = 456
Z_SWEEP = 464  #: the extent that is swept, how far (0 = not yet begun), where the free run began that ends there, bytes alive before it
Z_SWEEP_AT = 472
Z_SWEEP_RUN = 480
Z_SWEEP_LIVE = 488
Z_SWEPT = 496  #: bytes alive in the extents before it
# where the walk over the stacks is
Z_WALK_THREAD = 256
Z_WALK_FRAME = 264  #: row of the function, 0 = the walk has not begun with this thread
Z_WALK_OFFSET = 272  #: return address as byte offset in the code, and stack pointer
Z_WALK_STACK = 280
Z_WALK_REGISTERS = 288  #: registers of this frame that are still to be named, a bit each
Z_WALK_WORDS = 296  #: where the numbers of its words are, and how many are still to be named
Z_WALK_COUNT = 304
Z_PLACES = 512  #: where the kernel finds what each register held, 0 = nowhere
# of policies (see singlab.kernel.core.heappolicies)
Z_ACTIVE = 768  #: number of the collector that collects; another than Z_COLLECTOR if that is adaptive
Z_PAUSE = 776  #: cycles of the last collection
Z_TENURE = 784  #: how many minor collections an object survives before it is old
Z_NOTES = 792  #: words that policies keep for the heap
HEAP_NOTES = 4
Z_AGES = 824  #: bytes that survived the last minor collection, by how many they have survived now: from 1 to OLDEST
OLDEST = 15
AGE_SHIFT = 33  #: in the header of a young object: how many collections it has survived
Z_AGING = 952  #: during a collection: what becomes old, as Z_TENURE; extent that younger ones move to, and its next free byte, as Z_TO; where it begins
Z_YOUNG_TO = 960
Z_YOUNG_FREE = 968
Z_YOUNG_START = 976
Z_LARGEST = 984  #: bytes of the largest free run that was filed since the last collection
Z_TOLD = 992  #: calls of the write barrier up to the last collection
Z_SLICE = 1000  #: of an array that is looked at in slices: where the next one begins (the kernel's address), 0 = there is none, and its end
Z_SLICE_END = 1008
Z_WAITED = 1016  #: how often in a row a thread has waited for others to come to points

EXTENT_BYTES = 64
X_MAGIC = 0
X_NEXT = 8
X_START = 16
X_END = 24
X_TOP = 32  #: what lies below has been given to threads
X_FILLED = 40  #: of a compaction: where its objects will end; where its first object is that moves (the kernel's address), 0 = there is none
X_MOVES = 48
