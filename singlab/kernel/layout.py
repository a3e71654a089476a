"""Where the kernel keeps what: addresses, record layouts and constants of the kernel's tables.

All of it is in simulated physical memory. RAM is cut into three zones at boot::

    kernel zone   text, globals, page tags, contract tables, process, thread and endpoint records
    record zone   exchange-heap allocation records: written by the kernel, read by SIPs
    user zone     images, stacks, exchange-heap data

On bare physical memory the zones are only a habit. With pages, each protection domain has a table that maps RAM
where it is: the kernel zone for the supervisor, records to be read, and of the user zone the domain's own
pages. The kernel reaches everything else through its window, which is RAM once more, WINDOW bytes higher.
"""

from __future__ import annotations

RAM_BASE = 0x8000_0000
PAGE = 4096
PAGE_SHIFT = 12

TEXT_BASE = RAM_BASE  #: entry code: ABI vector, trap handler, context switch
CORE_TEXT = RAM_BASE + 0x4000  #: compiled kernel functions (see charges.json)
POLICY_TEXT = RAM_BASE + 0x2_9000  #: policies, each in its slot; there is room for twelve
POLICY_BYTES = 0x800
GLOBALS = RAM_BASE + 0x3_0000  #: one page of kernel variables
PAGE_TAGS = GLOBALS + PAGE  #: one 32-bit tag a page

# ---- kernel variables (addresses) ---------------------------------------------------------------------
G_CURRENT = GLOBALS + 0  #: running thread's record, 0 = idle
G_FRESH = GLOBALS + 8  #: 1 = the thread about to run gets a new quantum
G_QUANTUM = GLOBALS + 16  #: cycles
G_UNBLOCKED_HEAD = GLOBALS + 24
G_UNBLOCKED_TAIL = GLOBALS + 32
G_PREEMPTED_HEAD = GLOBALS + 40
G_PREEMPTED_TAIL = GLOBALS + 48
G_PROCESSES = GLOBALS + 56  #: list of all process records
G_NEXT_PROCESS = GLOBALS + 64  #: next process number
G_NEXT_THREAD = GLOBALS + 72
G_NEXT_CHANNEL = GLOBALS + 80
G_COPY = GLOBALS + 88  #: 1 = blocks in messages are copied, 0 = they change owner
G_CHECK = GLOBALS + 96  #: 1 = contracts are checked at each send and receive
G_KERNEL_FIRST = GLOBALS + 104  #: first page of the kernel zone that may be given out
G_RECORD_FIRST = GLOBALS + 112  #: first page of the record zone
G_USER_FIRST = GLOBALS + 120  #: first page of the user zone
G_PAGES = GLOBALS + 128  #: pages of RAM
G_KERNEL_HINT = GLOBALS + 136  #: where the next search for a free page starts, by zone
G_RECORD_HINT = GLOBALS + 144
G_USER_HINT = GLOBALS + 152
G_FREE_PROCESSES = GLOBALS + 160  #: free lists of kernel records
G_FREE_THREADS = GLOBALS + 168
G_FREE_ENDPOINTS = GLOBALS + 176
G_FREE_RECORDS = GLOBALS + 184
G_LIVE = GLOBALS + 192  #: processes started and not ended
G_PRINT_ADDRESS = GLOBALS + 200  #: the last print: address or value, and length (1 << 63 marks a number)
G_PRINT_BYTES = GLOBALS + 208
G_HERTZ = GLOBALS + 216  #: clock rate of the machine's profile
G_STATUS = GLOBALS + 224  #: sstatus with which a thread starts whose process is in no domain
G_BUCKETS = GLOBALS + 256  #: free lists of small exchange-heap data, 16 to 2048 bytes
G_FRESH_DATA = G_BUCKETS + 64  #: for each of them the next piece of a page that has never been used
G_WINDOW = GLOBALS + 384  #: how much higher the kernel finds RAM in its window; 0 without pages
G_USER_DOMAIN = GLOBALS + 392  #: the domain that those share which share one in user mode, 0 = none yet
G_SATP = GLOBALS + 400  #: the kernel's own page table: no SIP's pages
G_ROOT = GLOBALS + 408  #: tables that a new domain copies: top, middle, and the lowest one in which the user zone begins
G_MIDDLE = GLOBALS + 416
G_LEAF = GLOBALS + 424
G_DOMAIN_KIND = GLOBALS + 432  #: kind of domain (KIND_...) for who chooses none; 0 without pages
G_DOMAIN = GLOBALS + 440  #: the domain that those share which share one in ring 0, 0 = none yet
G_CHOICE = GLOBALS + 448  #: where the next process goes, whatever its image and parent say: a domain's record, a kind of domain, with NEW_DOMAIN in a new one; or 0
G_FREE_DOMAINS = GLOBALS + 456
G_NEXT_DOMAIN = GLOBALS + 464
G_FENCE = GLOBALS + 472  #: 1 = translations may be remembered that no longer hold
#: Policies in force, one bit a slot; what was wrong with the last one that had to go (its slot + 1, why << 8), and the
#: word it gave or the line; the usual quantum; the state of their random numbers; words they may keep.
G_POLICIES = GLOBALS + 1536
G_POLICY_FAULT = GLOBALS + 1544
G_POLICY_VALUE = GLOBALS + 1552
G_USUAL_QUANTUM = GLOBALS + 1560
G_POLICY_RANDOM = GLOBALS + 1568
G_POLICY_NOTES = GLOBALS + 1576
POLICY_NOTES = 16
KIND_OWN, KIND_RING0, KIND_RING3 = 1, 2, 4  #: a domain of one's own, or the shared one (without it), in ring 0 or user mode
KIND_PHYSICAL = 8  #: none: physical memory
NEW_DOMAIN = 16
# of waiting for time, of devices and of names
G_FREE_OBJECTS = GLOBALS + 768  #: free list of what handles of synchronisation and hardware name
G_WAKE = GLOBALS + 776  #: when the first sleeper wakes, NEVER = nobody sleeps
G_SLEEPERS = GLOBALS + 784  #: threads that wait for a time, the earliest first
G_QUANTUM_END = GLOBALS + 792
G_HARDWARE = GLOBALS + 808  #: list of the device registers and interrupts that processes have
G_LOW = GLOBALS + 816  #: table of the addresses below RAM, 0 without pages: the interrupt controller, for the supervisor
G_NAMES = GLOBALS + 824  #: list of the names that are bound
G_NAME_SERVICE = GLOBALS + 840  #: record of a process that never runs: the kernel's ends of the channels to providers are its
G_CONNECTING = GLOBALS + 848  #: queue of threads that wait for their turn at a provider; the tail is the next word
NEVER = 0xFFFF_FFFF_FFFF_FFFF
BUCKETS = 8
SMALLEST_BUCKET = 16
LARGEST_BUCKET = 2048

# ---- processes' own part of the page: the service thread and its queue --------------------------------------
G_SERVICE_HEAD = GLOBALS + 512  #: queue of threads whose requests the service thread has to do
G_SERVICE_TAIL = GLOBALS + 520
G_NEW_CODE = GLOBALS + 528  #: 1 = code has been written that instruction fetches may not see yet
G_CREATE_STATUS = GLOBALS + 536  #: why the last process was not made
G_WALK = GLOBALS + 544  #: 1 = what a dead process had is found by a walk over everybody's records, 0 = by its own lists
G_FORGOTTEN = GLOBALS + 552  #: how many process records have been given back
# of linked stacks (see singlab.kernel.core.stacks)
G_FREE_SEGMENTS = GLOBALS + 560  #: free list of segments' records
G_SEGMENT_PAGES = GLOBALS + 568  #: pages of a segment that is linked, at least
G_STACK_LIMIT = GLOBALS + 576  #: pages that one thread's segments can have together
G_RESERVATION = GLOBALS + 584  #: the kernel's own segment, for a thread that cannot get one and has to end; 0 = there is none
G_RESERVED = GLOBALS + 592  #: the record of that segment while somebody has it

#: A page before the kernel's variables: the kernel's own process, its service thread, and the operator's requests.
KERNEL_PROCESS = GLOBALS - PAGE
SERVICE_THREAD = KERNEL_PROCESS + 512
OPERATOR_THREAD = KERNEL_PROCESS + 1024
SERVICE_NUMBER = 0xFFFF_FFFF  #: number of the service thread

# ---- page tags: owner << OWNER_SHIFT | type ----------------------------------------------------------------------
TAG_UNALLOCATED = 0
TAG_NONGC = 1
TAG_STACK = 2
TAG_SYSTEM = 3
TAG_SHARED = 4
TAG_CODE = 5
TAG_HEAP = 7  #: objects of a process; 6 is a page nobody knows anything of
TAG_HANDLES = 8  #: handles of a process, in the kernel zone
TAG_OBJECTS = 9  #: what handles of synchronisation and hardware name
TAG_DMA = 10  #: memory of a process that a device is told of
KERNEL_OWNER = 1  #: process number of the kernel
#: The real system has 16 bits for the owner, which end a system after 65,535 processes; here the type's four unused
#: neighbours are four, not twelve, and the owner has 24.
OWNER_SHIFT = 8
LAST_PROCESS = 0xFF_FFFF  #: what a tag has room for
TAG_KERNEL_SYSTEM = KERNEL_OWNER << OWNER_SHIFT | TAG_SYSTEM
TAG_KERNEL_STACK = KERNEL_OWNER << OWNER_SHIFT | TAG_STACK  #: the segment that the kernel keeps back
TAG_KERNEL_SHARED = KERNEL_OWNER << OWNER_SHIFT | TAG_SHARED
TAG_KERNEL_OBJECTS = KERNEL_OWNER << OWNER_SHIFT | TAG_OBJECTS
TAG_TABLE = KERNEL_OWNER << OWNER_SHIFT | TAG_NONGC  #: page tables

ZONE_KERNEL = 0
ZONE_RECORD = 1
ZONE_USER = 2

# ---- records (byte offsets); word 0 of each is its magic number -----------------------------------------
MAGIC_PROCESS = 0x5052_4F43
MAGIC_THREAD = 0x5448_5244
MAGIC_ENDPOINT = 0x454E_4450
MAGIC_BLOCK = 0x424C_4F43
MAGIC_DOMAIN = 0x444F_4D4E
MAGIC_IMAGE = 0x494D_4147

PROCESS_BYTES = 384
P_MAGIC = 0
P_ID = 8
P_STATE = 16
P_PARENT = 24
P_THREADS = 32  #: list of thread records
P_ENDPOINTS = 40  #: list of endpoint records
P_BLOCKS = 48  #: list of allocation records
P_EXIT = 56
P_CODE = 64  #: address and bytes of the loaded image
P_CODE_BYTES = 72
P_NEXT = 80
P_FAULT = 88  #: fault code, 0 = none
P_FAULT_LINE = 96
P_FAULT_PC = 104
P_STOPPED = 112  #: 1 = it was stopped from outside
P_CONTRACTS = 120  #: addresses of its image's contract tables, by contract number, and how many there are
P_CONTRACT_COUNT = 128
P_CHILDREN = 136  #: list of its children's records
P_NEXT_CHILD = 144  #: links of its parent's list
P_PREVIOUS_CHILD = 152
P_IMAGE = 160  #: record of the image it runs
P_HANDLES = 168  #: first of its handle pages
P_PREVIOUS = 176  #: the other link of the list of all processes
P_JOINER = 184  #: thread of its parent that waits for its end
P_BARRIER = 240  #: thread of its parent that waits until it is suspended
P_HELD = 248  #: 1 = it was suspended, 2 = with all below it
P_HELD_ABOVE = 256  #: how many processes above it were suspended with all below them
P_GIVEN = 264  #: which startup arguments it has been given, a bit each
P_DOMAIN = 192  #: protection domain, 0 = none: it has ended, or runs in physical memory
P_HEAP = 200  #: free lists of the exchange heap its small blocks come from
P_SATP = 208  #: page table it runs with, 0 = none
P_FIRST_PAGE = 216  #: its pages of the user zone lie between these two
P_LAST_PAGE = 224
P_OBJECTS = 280  #: list of what its handles of synchronisation and hardware name
P_WAIT_FIRST = 288  #: its threads that wait for such objects, in their order
P_WAIT_LAST = 296
P_LINKS = 344  #: how many segments its threads' stacks have grown by
P_UNLINKS = 352  #: how many of these they have given back when a function returned
P_RESOURCES = 304  #: what its image declares: device registers and interrupts (see singlab.kernel.resources)

UNSTARTED, RUNNING, STOPPED = 1, 2, 3
SUSPENDING, SUSPENDING_RECURSIVE, SUSPENDED, STOPPING = 4, 5, 6, 7

THREAD_BYTES = 512
T_MAGIC = 0
T_ID = 8
T_PROCESS = 16
T_STATE = 24
T_NEXT = 32  #: link in the queue it stands in
T_WAITS = 40  #: endpoint it is blocked on, the first of them in a select; 0 if it waits for another thread
T_SIBLING = 48  #: next thread of the process
T_FULL = 56  #: 1 = the context holds all registers, 0 = those a call preserves
T_CONTEXT = 64  #: resume address, then x1 to x31
T_STATUS = T_CONTEXT + 32 * 8  #: sstatus of a full context
T_EXIT = T_STATUS + 8  #: what it ended with, for who joins it
T_JOINER = T_STATUS + 16  #: thread that waits for its end
T_JOINS = T_STATUS + 24  #: thread whose end it waits for
T_SEGMENTS = T_STATUS + 32  #: list of the segments of its stack, the newest first
T_STACK_PAGES = T_STATUS + 40  #: pages they have together
T_SELECTS = T_STATUS + 48  #: 1 = it waits on what stands in T_SELECTED
T_SELECTED = T_STATUS + 56  #: endpoints of a select, 0 = none
#: What a thread that waits waits for (T_SELECTS).
WAIT_ONE, WAIT_SELECT, WAIT_ANSWER, WAIT_OTHERS, WAIT_OBJECTS, WAIT_TIME, WAIT_TURN, WAIT_EITHER = range(8)
# a call loses its caller's t3 to t6, so while a thread is blocked their places are free
T_WAKE = T_CONTEXT + 28 * 8  #: when it wakes at the latest
T_LATER = T_CONTEXT + 29 * 8  #: the next sleeper
T_REQUEST = T_STATUS + 88  #: what it has asked of the service thread, or of a child, and waits for
T_TARGET = T_STATUS + 96  #: the process or image it is about, and its number
T_TARGET_ID = T_STATUS + 104
T_WAY = 464  #: how a call of the kernel comes back to it where there are several ways: KIND_RING3 or KIND_PHYSICAL, 0 = in ring 0 with pages
T_PC = T_CONTEXT
T_A0 = T_CONTEXT + 10 * 8  #: a0 to a4 take the results of a call that blocked

T_NOTES = 480  #: words that policies keep for a thread
THREAD_NOTES = 4

READY, EXECUTING, BLOCKED, UNBORN, ENDED = 1, 2, 3, 4, 5
HELD = 6  #: of a suspended process: it would be ready
BLOCKED_HELD = 7  #: of a process being suspended: it is in an ABI call, at whose end it is held

REQUEST_CREATE, REQUEST_STOP, REQUEST_SUSPEND, REQUEST_SUSPEND_ALL, REQUEST_RESUME = 1, 2, 3, 4, 5  #: all: with what is below it
REQUEST_JOIN, REQUEST_BARRIER = 6, 7  #: these no service thread does: the child's end or suspension answers them
#: What THREAD_BLOCK says of a thread that waits for neither a message nor another thread.
AWAITS_SERVICE, AWAITS_CHILD, AWAITS_SUSPENSION = 2, 4, 6
#: Threads of a process, those included that have ended and were not joined.
MOST_THREADS = 64

ENDPOINT_BYTES = 512
E_MAGIC = 0
E_OWNER = 8  #: process number of the owner
E_PROCESS = 16  #: process record of the owner, 0 once closed
E_PEER = 24
E_CHANNEL = 32
E_SIDE = 40  #: 0 = Imp, 1 = Exp
E_STATE = 48  #: contract state as this side sees it
E_TABLE = 56  #: contract table
E_SLOTS = 64
E_HEAD = 72  #: next slot to read
E_COUNT = 80  #: messages waiting
E_WAITER = 88  #: thread blocked in receive, 0 = none
E_CLOSED = 96
E_NEXT = 104  #: list of the owner's endpoints
E_PREVIOUS = 112
E_TRAVELS = 120  #: 1 = it is in a message its owner has not taken yet, so nobody can use it
E_DOOMED = 128  #: next of the endpoints about to be closed
E_SET = 136  #: the set it is in, 0 = none
E_READY = 144  #: 1 = it is in its set's queue of endpoints at which something waits
E_READY_NEXT = 152
E_READY_PREVIOUS = 160
E_MEMBER_NEXT = 168  #: list of its set's members
E_MEMBER_PREVIOUS = 176
E_QUEUE = 192  #: the message slots
SLOT_BYTES = 40
SLOT_WORDS = 4  #: argument words; word 0 of a slot is the message, argument i at 8 * (i + 1)
MAX_SLOTS = (ENDPOINT_BYTES - E_QUEUE) // SLOT_BYTES

# A set of endpoints is a record of the same size on its owner's list of endpoints, with the fields it shares at
# the same offsets: owner, links and waiter; E_COUNT is the number of its members.
MAGIC_SET = 0x4553_4554
S_FIRST = 192  #: queue of members at which something waits, the oldest first
S_LAST = 200
S_MEMBERS = 208  #: list of all of them

SELECT_MOST = 4  #: endpoints of one select
DOMAIN_BYTES = 256
D_MAGIC = 0
D_ID = 8
D_SATP = 16
D_ROOT = 24  #: its top and middle tables
D_MIDDLE = 32
D_MEMBERS = 40  #: processes in it
D_LOW = 48  #: its own table of the addresses below RAM, and the lowest one in which the devices are; 0 = none
D_DEVICES = 56
D_BUCKETS = 64  #: its own exchange heap's free lists, and fresh data
D_KIND = 192  #: ring of its members, and whether it was made for one of them (KIND_...)
D_USER = 200  #: the bit that lets user mode reach its pages, 0 in ring 0
D_STATUS = 208  #: sstatus with which its members' threads start

# An installed image as the kernel has it: what a process is made from. It lies in the kernel zone, with its lists.
IMAGE_BYTES = 152
I_MAGIC = 0
I_CODE = 8  #: where its code lies in the sealed image, at a multiple of 8
I_CODE_BYTES = 16
I_SUM = 24  #: sum over the code, taken when it was installed
I_ENTRY = 32
I_STACK_PAGES = 40
I_CONTRACTS = 48  #: as P_CONTRACTS
I_CONTRACT_COUNT = 56
I_RELOCATIONS = 64  #: two words each: offset, and RELOCATION_CALL if the second is an address, not two instructions
I_RELOCATION_COUNT = 72
I_PARAMETERS = 80  #: two words each, see PARAMETER_INTEGER
I_PARAMETER_COUNT = 88
I_EXTENSIONS = 96  #: records of the images it may start as children
I_EXTENSION_COUNT = 104
I_RESOURCES = 112  #: as P_RESOURCES
I_USER_RELOCATIONS = 128  #: as I_RELOCATIONS, for a process in user mode
I_DOMAIN_KIND = 136  #: kind of domain that its manifest asks for, 0 = none
I_UNLINK = 144  #: byte offset of the code that unlinks a segment of the stack, 0 = there is none
RELOCATION_CALL = 1 << 32
#: First word of a parameter: this | bits << 8 | signed << 16; or of an endpoint its side << 8, and the second is its contract's table.
PARAMETER_INTEGER = 1

# A page of handles: link and free list, then slots. A handle is a slot's address and how often the slot has been used.
HP_NEXT = 0
HP_FREE = 8
HANDLE_BYTES = 32
H_KIND = 0  #: 0 = free
H_OBJECT = 8
H_USES = 16
H_NEXT = 24
HANDLE_SHIFT = 40
HANDLE_PROCESS = 1

BLOCK_BYTES = 64
B_DATA = 0
B_SIZE = 8
B_OWNER = 16
B_NEXT = 24
B_PREVIOUS = 32
B_SPAN = 40  #: bucket's byte size, or pages << 32 for large data
B_MAGIC = 48
B_STAGED = 56  #: the kernel's block that holds its contents until it is received, 0 = it has them itself

# A block whose data is part of a region that several blocks share has the region's record in B_SPAN, with this bit;
# the record is like that of a block with all the data, but counts the blocks that share it.
SHARED_SPAN = 1 << 63
R_COUNT = B_OWNER
B_TYPE = B_MAGIC + 4  #: a number that its owner has given it; the magic number takes four bytes

LONGEST_NAME = 64
LONGEST_RULE = 128
#: A principal is the names of a chain of programs, the first of them first.
LONGEST_PRINCIPAL = 256

#: A segment of a thread's stack: pages of the thread's process, and how to get back to the segment before it.
SEGMENT_RECORD_BYTES = 64
SEG_MAGIC = 0
SEG_NEXT = 8  #: the segment before it
SEG_BASE = 16  #: its lowest address
SEG_PAGES = 24
SEG_SP = 32  #: where the stack stood when it was linked; 0 for a thread's first segment
SEG_RETURN = 40  #: where the function that needed it returns to
SEG_LIMIT = 48  #: what gp holds while it is the newest
MAGIC_SEGMENT = 0x5345_474D
#: What a segment keeps free at its low end: an interrupt's frame, 31 registers and where it came, and what enters the kernel.
HEADROOM = 256
#: A function that needs no more compares sp with gp itself.
SMALL_NEED = 256
#: What a first segment of one page leaves a program: 0xF00 bytes, as in the real system.
FIRST_SEGMENT = PAGE - HEADROOM

OBJECT_BYTES = 64
O_MAGIC = 0
O_PROCESS = 8  #: whose it is
O_NEXT = 16  #: list of its process's objects
O_STATE = 24  #: event, interrupt: 1 = signalled; mutex: the thread that has it
O_COUNT = 32  #: mutex: how often that thread has it; interrupt: 1 = it came and was not acknowledged
O_VALUE = 40  #: interrupt: its line; device registers: their record
O_LINK = 48  #: list of all processes' hardware
MAGIC_AUTO_EVENT = 0x4155_544F
MAGIC_MANUAL_EVENT = 0x4D41_4E55
MAGIC_MUTEX = 0x4D55_5458
MAGIC_INTERRUPT = 0x4952_5121
MAGIC_IO_MEMORY = 0x494F_4D45
MAGIC_DMA = 0x444D_4121  #: O_VALUE is its record as of device registers, O_COUNT its place in the manifest
WAIT_MOST = 4  #: objects of one wait_any
#: Objects of one process.
MOST_OBJECTS = 256

IMP, EXP = 0, 1

# ---- page tables (privileged specification, "Sv39") ---------------------------------------------------------
WINDOW = 0x8000_0000
PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = 1, 2, 4, 8, 16, 32, 64, 128
SV39 = 8 << 60
REGION_SHIFT = 9  #: pages that one lowest table maps, as a shift
REGION_MASK = 511
FIRST_FRAME = RAM_BASE >> PAGE_SHIFT
ROOT_SLOT = (RAM_BASE >> 30) * 8  #: where the top table has RAM, and the window
WINDOW_SLOT = ((RAM_BASE + WINDOW) >> 30) * 8
MOST_PAGED_RAM = 1 << 30

# ---- devices (QEMU's virt board; RISC-V PLIC 1.0) -------------------------------------------------------------
PLIC = 0x0C00_0000
PLIC_BYTES = 0x60_0000
PLIC_ENABLE = PLIC + 0x2080  #: the supervisor of the first hart is context 1
PLIC_CLAIM = PLIC + 0x20_1004
DEVICES_REGION = 0x1000_0000 >> 21  #: the superpage in which the registers of all devices lie that SIPs can have

# ---- contract table (see singlab.kernel.abi) ----------------------------------------------------------------
NO_STATE = 0xFFFF

# ---- policies (see singlab.kernel.policies) ------------------------------------------------------------------
PICK, PLACE, QUANTUM, FIT, PAGES, ADMIT, TRIGGER, GROWTH, NURSERY, TENURE, COLLECTOR = range(11)
#: In less a thread would be interrupted before it has begun, and nobody would ever get on.
SHORTEST_QUANTUM = 1000
LONGEST_QUANTUM = 1 << 40
#: Why a policy had to go: it gave a word that cannot be, it raised, it ran without end.
NONSENSE, RAISED, ENDLESS = 1, 2, 3

# ---- heaps of objects with a collector: the last words of older records; the rest is in singlab.kernel.heaplayout -----
P_HEAP_MOST = 360  #: most bytes of objects the operator allows, 0 = as the manifest says
P_COLLECTOR = 368  #: collector the operator has chosen, 0 = as the manifest says
P_OBJECT_HEAP = 376  #: record of its heap, 0 = none yet
I_HEAP = 120  #: what the image says about its objects, 0 = it makes none
G_FREE_HEAPS = GLOBALS + 2048
G_FREE_EXTENTS = GLOBALS + 2056
G_COLLECTOR = GLOBALS + 2064  #: number of the collector of those who do not say
G_POLICIES_FOR = GLOBALS + 2080  #: slots, one bit each, whose policy is asked only about the heaps of processes that have the bit in P_POLICIES
P_POLICIES = 232
G_COLLECT_EVERY = GLOBALS + 2072  #: 1 = whenever somebody asks for room there is a collection, and room for one object alone; 2 = behind every call of the kernel, too
COLLECT_AT_CALLS = 2
MAGIC_HEAP = 0x4845_4150
MAGIC_EXTENT = 0x4558_544E

# ---- the kernel's own heap; what lies in it is in singlab.kernel.kernelobjects ---------------------------------------
KERNEL_TABLES = RAM_BASE + 0x2_8C00  #: its types and its roots, a part of the sealed kernel
KERNEL_TABLE_BYTES = 0x400
KERNEL_HEAP = GLOBALS + 3072  #: its record, as of a process's heap
G_KERNEL_TOP = GLOBALS + 2304  #: where the kernel's next object goes, and where the room for it ends
G_KERNEL_END = GLOBALS + 2312
G_KERNEL_DUE = GLOBALS + 2320  #: why there is to be a collection in the service thread's next turn, 0 = there is none to be
G_KERNEL_EVERY = GLOBALS + 2328  #: 1 = whenever the kernel has made an object
P_PRINCIPAL = 272  #: its principal, a text in the kernel's heap; 0 = none
TAG_KERNEL_HEAP = KERNEL_OWNER << OWNER_SHIFT | TAG_HEAP

# ---- hooks: numbers below HOOK_TIMER are ABI functions --------------------------------------------------------
HOOK_TIMER = 512
HOOK_FAULT = 513
HOOK_SERVICE = 514
HOOK_OPERATOR = 515
HOOK_IDLE = 516
HOOK_OPEN_FAULT = 1023
HOOK_OPEN = 1024  #: system calls of the open personality from here on

# ---- the open personality (see singlab.kernel.opensystem) -----------------------------------------------------
G_OPEN = GLOBALS + 1024  #: 1 = processes are open ones
G_EAGER = GLOBALS + 1032  #: 1 = fork copies every page at once, 0 = when somebody writes to it
G_FRAMES = GLOBALS + 1040  #: for each page of RAM how often page tables of open processes have it, 32 bits each
G_TASKS = GLOBALS + 1048  #: list of task records, those included whose end nobody has asked for yet
G_PROGRAMS = GLOBALS + 1056  #: list of programs and libraries that can be loaded, the newest first
G_SHARED = GLOBALS + 1064  #: list of named shared memory
G_FREE_TASKS = GLOBALS + 1072
G_FREE_FILES = GLOBALS + 1080
G_FREE_PIPES = GLOBALS + 1088
G_FREE_PROGRAMS = GLOBALS + 1096
G_FREE_SHARED = GLOBALS + 1104
G_FREE_PACKETS = GLOBALS + 1112
G_CONSOLE = GLOBALS + 1120  #: page in which text for the console waits for the host
G_PAIR = GLOBALS + 1136  #: two files that have just been made
G_NAME = GLOBALS + 1152  #: the name a call is about, 32 bytes
P_TASK = 312  #: an open process's task record
P_FAULT_ADDRESS = 320  #: what it tried to reach when it was ended
P_FAULT_CAUSE = 328  #: the hardware's word for it
P_PROGRAM = 336  #: the program it runs
T_AWAITS = 432  #: pipe, or task (of its own process: any child), that a call of an open process waits for
T_BUFFER = 440  #: the rest of a read or write that waits: where, how much is left, how much is done
T_LEFT = 448
T_DONE = 456

MAGIC_TASK = 0x5441_534B
MAGIC_FILE = 0x4649_4C45
MAGIC_PIPE = 0x5049_5045

TASK_BYTES = 512
K_MAGIC = 0
K_PROCESS = 8  #: its process record
K_NEXT = 16
K_PARENT = 24  #: task that may ask how it ended, 0 = nobody will
K_ENDED = 32  #: 1 = it has ended, and its parent has not asked yet
K_STATUS = 40  #: how it ended
K_NUMBER = 48  #: process number
K_ROOT = 56  #: its page table, top and the user part's middle
K_TABLE = 64
K_NEXT_MAP = 72  #: where the next mapping goes
K_FILES = 128  #: open files
MOST_FILES = 16
K_LIBRARIES = 256  #: libraries it has loaded: where, and the image
MOST_LIBRARIES = 8

FILE_BYTES = 64
F_MAGIC = 0
F_KIND = 8
F_REFS = 16
F_IN = 24  #: pipe it reads from, and pipe it writes to
F_OUT = 32
FILE_CONSOLE, FILE_STREAM = 1, 2

PIPE_BYTES = 128
Q_MAGIC = 0
Q_READERS = 8  #: files that read from it, and that write to it
Q_WRITERS = 16
Q_PAGE = 24  #: a pipe's buffer
Q_HEAD = 32  #: place of the oldest byte
Q_COUNT = 40  #: bytes in it
Q_READ_FIRST = 48  #: threads that wait for bytes, and for room
Q_READ_LAST = 56
Q_WRITE_FIRST = 64
Q_WRITE_LAST = 72
Q_PACKETS = 80  #: a socket's queue of packets, first and last; it has no page
Q_LAST_PACKET = 88
SOCKET_ROOM = 16384  #: bytes on their way in one direction of a socket pair

PACKET_BYTES = 256
PK_NEXT = 0
PK_COUNT = 8  #: bytes not read yet, and where they begin
PK_START = 16
PK_PAGE = 24  #: a page of its own for more than fit here, 0 = none
PK_DATA = 32
PACKET_ROOM = PACKET_BYTES - PK_DATA

PROGRAM_BYTES = 128
PG_NEXT = 0
PG_KIND = 8  #: 1 = a program, 2 = a library
PG_NAME = 16  #: 32 bytes
PG_SEGMENTS = 48  #: table of segments, four words each: address, where the kernel has the bytes (0 = zeros), pages, rights
PG_SEGMENT_COUNT = 56
PG_ENTRY = 64
PG_SYMBOLS = 72  #: table of symbols, five words each: name, address
PG_SYMBOL_COUNT = 80
PG_PAGES = 88  #: pages of a library's address range
IMAGE_PROGRAM, IMAGE_LIBRARY = 1, 2
SEGMENT_BYTES = 32
SYMBOL_BYTES = 40
OPEN_NAME_BYTES = 32

SHARED_BYTES = 64
SH_NEXT = 0
SH_NAME = 8
SH_PAGES = 40
SH_FRAMES = 48  #: table of its pages' addresses
MOST_SHARED_PAGES = 64

# where an open process has what
OPEN_TEXT = 0x1_0000
OPEN_DATA = 0x10_0000
OPEN_MAP = 0x1000_0000
OPEN_STACK = 0x2000_0000  #: end of its stack, and of all it can have
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED = 1
PTE_COPY = 1 << 8  #: to be copied when somebody writes to it
PTE_SHARED = 1 << 9  #: the same page for a child
