"""The application binary interface: the one table of what a SIP can ask of the kernel.

Everything that needs to know the ABI reads this table: the compiler (how to call a function), the
kernel's gate (what to dispatch), the documentation and the notebook table. Arguments and results are
values only, 64-bit words in registers a0 to a5, never references into the caller's memory, except the
text address of ``print_text``, which the kernel checks lies inside the caller's own image or heap, and the entry of
``create_thread``, which it checks lies inside the image. The number
travels in a7 when the call is a trap.

The version is part of every image: the kernel refuses an image built for another one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType

ABI_VERSION = 1


@dataclass(frozen=True)
class AbiFunction:
    """One entry of the ABI.

    Attributes
    ----------
    number : int
        Index into the kernel's entry vector, and the value of a7 in a trap.
    group : str
        Functional group, as in the Singularity papers (OSR 2007, table 2).
    name : str
    arguments : tuple of str
        Names of the arguments, in a0, a1, ...
    results : tuple of str
        Names of the results, in a0, a1, ...
    blocks : bool
        Whether the calling thread may be suspended in it.
    doc : str
    kind : str
        "ends": it never returns to its caller. "prints": when it succeeds the host has something to print.
        "retires": a process record may be gone, of which the host keeps a copy. "timed": it is given the cycle counter
        behind its arguments, and may change when the timer fires. "stack": it keeps a0 to a7 and changes sp and gp. Else empty.
    """

    number: int
    group: str
    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    blocks: bool
    doc: str
    kind: str = ""

    @property
    def by_record(self) -> bool:
        """Whether the kernel writes the results into the caller's thread record: several, or one that may come late."""
        return len(self.results) > 1 or (self.blocks and bool(self.results))


def _table(*rows) -> tuple[AbiFunction, ...]:
    return tuple(AbiFunction(number, *row) for number, row in enumerate(rows))


ABI = _table(
    ("Child Processes", "exit", ("value",), (), True, "End this process; the value is what its parent reads.", "ends"),
    ("Threads & Synchronization", "yield", (), (), True, "Let the next ready thread run."),
    ("Channels", "send", ("endpoint", "message", "word0", "word1", "word2", "word3"), ("status",), False,
     "Put a message into the peer's slots; exchange-heap arguments change owner. Never blocks, never allocates."),
    ("Channels", "receive", ("endpoint",), ("message", "word0", "word1", "word2", "word3"), True,
     "Take the next message; blocks while there is none. CHANNEL_CLOSED once the peer is gone and the slots are empty."),
    ("Channels", "close", ("endpoint",), ("status",), False, "Close this end of the channel, or a set of endpoints with all its members."),
    ("Exchange Heap", "allocate", ("bytes",), ("block",), False,
     "A zeroed block owned by this process; 0 when the heap is exhausted."),
    ("Exchange Heap", "free", ("block",), ("status",), False, "Give a block back; only its owner can."),
    ("Debugging & Diagnostics", "print_text", ("address", "bytes"), ("status",), False,
     "Write text of this process's image or of its own heap to its console.", "prints"),
    ("Debugging & Diagnostics", "print_int", ("value", "signed"), ("status",), False,
     "Write a number to this process's console; signed = 1 reads it as two's complement.", "prints"),
    ("Debugging & Diagnostics", "mark", ("value",), (), False, "Put a mark with this value into the trace."),
    ("Debugging & Diagnostics", "fault", ("code", "line"), (), True,
     "A run-time check failed: end this process with a fault at this source line.", "ends"),
    ("Child Processes", "get_process_id", (), ("process",), False, "The number of the calling process."),
    ("Configuration", "get_cycles_per_second", (), ("hertz",), False, "Clock rate of the machine's profile."),
    ("Threads & Synchronization", "create_thread", ("entry", "stack", "word0", "word1", "word2", "word3"), ("thread",), False,
     "Start another thread of this process at an address of its own image, the words in a0 to a3; 0 if that cannot be."),
    ("Threads & Synchronization", "exit_thread", ("value",), (), True, "End the calling thread; the main thread's end is its process's.", "ends"),
    ("Threads & Synchronization", "join_thread", ("thread",), ("status", "value"), True,
     "Wait until another thread of this process has ended, and take its value; each thread is joined once."),
    ("Channels", "new_channel", ("contract",), ("imp", "exp"), False,
     "A channel whose two ends this process owns, of a contract of its image by number; 0 when memory is exhausted."),
    ("Channels", "select", ("seen", "endpoint0", "endpoint1", "endpoint2", "endpoint3"), ("heads",), True,
     "What waits at up to four endpoints or sets (0 = none), 16 bits each: the oldest message, CHANNEL_CLOSED, NO_MESSAGE, or "
     "NO_ENDPOINT for a set without members. Takes nothing; blocks as long as that is what the caller has seen."),
    ("Channels", "new_set", (), ("set",), False, "An empty set of endpoints; 0 when memory is exhausted."),
    ("Channels", "set_add", ("set", "endpoint"), ("status",), False, "Put an endpoint into a set."),
    ("Channels", "set_take", ("set",), ("endpoint",), False,
     "Take the member at which something has waited longest out of a set; 0 if nothing waits at any."),
    ("Channels", "set_size", ("set",), ("members",), False, "How many members a set has."),
    ("Paged Memory", "allocate_pages", ("count",), ("address",), False,
     "So many zeroed pages in a row for this process's own objects; 0 when there are none. Its end gives them back."),
    ("Child Processes", "create_child", ("extension",), ("child", "status"), True,
     "Make a child process of an extension of the caller's image, by number; a handle for it, 0 and why if it cannot be made. It has not started. "
     "The service thread does it."),
    ("Child Processes", "set_startup_endpoint", ("child", "index", "endpoint"), ("status",), False,
     "Give a child that has not started an endpoint as startup argument number index; it is the child's from then on."),
    ("Child Processes", "set_startup_argument", ("child", "index", "value"), ("status",), False,
     "Give a child that has not started a number that its parameter's type can hold."),
    ("Child Processes", "start_child", ("child",), ("status",), False, "Let a child run that has all its startup arguments."),
    ("Child Processes", "join_child", ("child",), ("status", "value"), True,
     "Wait for a child's end; its exit value, 0 if it did not end by itself. One thread waits for a child at a time."),
    ("Child Processes", "suspend_child", ("child", "below"), ("status",), False,
     "Suspend a child, with all below it if below is not 0. Its threads stop at once, one inside an ABI call at the call's end."),
    ("Child Processes", "resume_child", ("child",), ("status",), False, "Let a suspended child go on, and what was suspended with it."),
    ("Child Processes", "suspend_barrier", ("child",), ("status",), True, "Wait until a child that is being suspended has come to rest."),
    ("Child Processes", "stop_child", ("child",), ("status",), True,
     "Stop a child and all below it, whatever they are doing; all they had comes back. The service thread does it."),
    ("Child Processes", "get_child_state", ("child",), ("state",), False,
     "The state a child is in: 1 unstarted, 2 running, 3 stopped, 4 suspending, 5 suspending with all below it, 6 suspended, 7 stopping; 0 for no handle."),
    ("Child Processes", "get_exit_code", ("child",), ("how", "code"), False,
     "How a child has ended: 1 by itself, and its value; 2 by a fault, and its code; 3 it was stopped; 0 if it has not, or for no handle."),
    ("Child Processes", "get_child_id", ("child",), ("process",), False, "The number of a child; 0 for no handle."),
    ("Child Processes", "dispose_child", ("child",), ("status",), False,
     "Let go of a child that has ended; the handle names nothing from then on.", "retires"),
    ("Exchange Heap", "share", ("block", "start", "end"), ("block", "part"), False,
     "Another block over the same data: the bytes of one from start up to end. 0 and 0 if it has no such bytes, or memory is exhausted."),
    ("Exchange Heap", "split", ("block", "offset"), ("block", "part"), False,
     "Another block with the bytes of one from offset on; that one then ends there. Nothing is copied. 0 and 0 if that cannot be."),
    ("Exchange Heap", "truncate", ("block", "bytes"), ("block",), False, "Let a block end earlier; 0 if it has not so many bytes."),
    ("Exchange Heap", "get_size", ("block",), ("bytes",), False, "How many bytes a block has; 0 for what is none of the caller's."),
    ("Exchange Heap", "get_type", ("block",), ("type",), False, "The number that an owner has given a block; 0 for what is none of the caller's."),
    ("Exchange Heap", "set_type", ("block", "type"), ("status",), False, "Give a block a number of 32 bits, which stays with it when it is sent."),
    ("Paged Memory", "free_pages", ("address", "count"), ("status",), False, "Give pages of this process's own objects back; those of a heap with a collector only that gives back."),
    ("Paged Memory", "extend_pages", ("address", "count"), ("status",), False,
     "So many zeroed pages more, behind those for this process's own objects that end at the address, if they are free."),
    ("Paged Memory", "query_pages", ("address",), ("kind", "count"), False,
     "What the page of this process at an address holds, as page tags say it, and how many like it follow; 0 for others' pages."),
    ("Paged Memory", "get_page_usage", (), ("total", "own"), False, "How many pages the machine has, and how many this process."),
    ("Threads & Synchronization", "create_event", ("manual", "signalled"), ("handle",), False,
     "An event; set, it lets one thread go on, or with manual = 1 every thread until it is reset. 0 if there are too many."),
    ("Threads & Synchronization", "set_event", ("handle",), ("status",), False, "Set an event."),
    ("Threads & Synchronization", "reset_event", ("handle",), ("status",), False, "Reset an event."),
    ("Threads & Synchronization", "create_mutex", ("owned",), ("handle",), False,
     "A mutex, which the calling thread has if owned = 1. 0 if there are too many."),
    ("Threads & Synchronization", "release_mutex", ("handle",), ("status",), False, "Let go of a mutex that the calling thread has."),
    ("Threads & Synchronization", "close_handle", ("handle",), ("status",), False,
     "Give back an event, a mutex or an interrupt that no thread waits for."),
    ("Threads & Synchronization", "wait_one", ("handle", "until"), ("status",), True,
     "Wait until an event is set, a mutex is free or an interrupt has come, and take it; TIMED_OUT if it is not by that cycle.", "timed"),
    ("Threads & Synchronization", "wait_any", ("until", "handle0", "handle1", "handle2", "handle3"), ("status", "index"), True,
     "Wait for the first of up to four of them (0 = none); index says which.", "timed"),
    ("Threads & Synchronization", "sleep_until", ("until",), ("status",), True, "Let the thread go on when the cycle counter has come so far.", "timed"),
    ("Threads & Synchronization", "get_thread_id", (), ("thread",), False, "The number of the calling thread."),
    ("Threads & Synchronization", "get_thread_state", ("thread",), ("state",), False,
     "What another thread of this process does: 1 ready, 3 blocked, 5 ended and not joined; 0 if there is none of this number."),
    ("Hardware Access", "get_io_memory_count", (), ("count",), False, "How many ranges of device registers the manifest declares."),
    ("Hardware Access", "get_io_memory", ("index",), ("io_memory",), False,
     "The record of one of them, by its place in the manifest, from now on this process's; 0 if it cannot be had."),
    ("Hardware Access", "get_interrupt_count", (), ("count",), False, "How many interrupt lines the manifest declares."),
    ("Hardware Access", "open_interrupt", ("index",), ("handle",), False,
     "One of them as something to wait for, by its place in the manifest; 0 if it cannot be had."),
    ("Hardware Access", "ack_interrupt", ("handle",), ("status",), False, "The interrupt has been dealt with and may come again."),
    ("Channels", "register_name", ("endpoint", "address", "bytes"), ("status", "endpoint"), False,
     "Provide a name that the manifest declares: the endpoint is the Imp of a provider's channel, on which those who connect are announced. "
     "If that cannot be it comes back."),
    ("Channels", "connect_name", ("endpoint", "address", "bytes"), ("status", "endpoint"), True,
     "Hand the Exp of a channel to whoever provides a name, and wait for its answer. If it is not taken the endpoint comes back."),
    ("Security Principals", "get_principal", (), ("block",), False,
     "The caller's principal as text, in a new block: the programs of its chain, the first one first, with + between them; 0 if memory is exhausted."),
    ("Security Principals", "get_peer_principal", ("endpoint",), ("block",), False,
     "The principal that an endpoint's other side speaks for, in a new block; empty once it is closed, 0 if there is no such endpoint."),
    ("Security Principals", "match_principal", ("endpoint", "address", "bytes"), ("matches",), False,
     "1 if that principal matches a pattern, a text of the caller's with * for any text; else 0."),
    ("Threads & Synchronization", "wait_first", ("until", "waited0", "waited1", "waited2", "waited3"), ("status", "index"), True,
     "Like wait_any, of endpoints and sets as well: index says where something waits first. A message stays where it is.", "timed"),
    ("Hardware Access", "get_dma_count", (), ("count",), False, "How many pieces of memory for devices the manifest declares."),
    ("Hardware Access", "get_dma_memory", ("index",), ("io_memory",), False,
     "The record of one of them, by its place in the manifest: whole pages in a row, zeroed, this process's until it ends; 0 if it cannot be had."),
    ("Hardware Access", "get_dma_address", ("io_memory",), ("address",), False,
     "Where a device finds memory that get_dma_memory has given this process; 0 for anything else."),
    ("Paged Memory", "get_room", ("bytes", "top", "limit", "stack"), ("status", "top", "limit"), True,
     "Room for an object of this process, from top up to limit, in place of what the caller had. Its heap may be collected for that: objects move, "
     "and words that stack maps name are changed. Status 1: there is none; 2: another thread is at no point yet, ask again; 3: the heap is damaged."),
    ("Paged Memory", "remember", ("object", "value"), ("status",), False,
     "The write barrier: a reference is about to be stored into this object of the caller's, whose header says that its collector wants to know."),
    ("Linked Stacks", "allocate_stack_segment", ("need", "return"), ("status",), False,
     "Go on on a new segment with room for so many bytes, on behalf of a function that returns to an address. The words come in t1 and t2, the "
     "status in t1; a0 to a6 stay as they are, a7 is t6. Where there is no segment the caller is put on the kernel's own, to end there.", "stack"),
    ("Linked Stacks", "free_stack_segment", (), (), False,
     "Give the newest segment back and return to where the function does that needed it. a0 to a6 stay as they are, a7 is t6, t0 is t1.", "stack"),
    ("Linked Stacks", "stack_overflow", ("address",), (), True,
     "The stack cannot grow for the call at this address: end this process with that fault.", "ends"),
    ("Linked Stacks", "walk_stack", ("index",), ("address", "bytes", "link", "return"), False,
     "A segment of the calling thread's stack, the newest first: where it lies, where the stack stood before, and where the function returns to that needed "
     "it; 0 if there is none."),
    ("Linked Stacks", "get_unlink_stack_range", (), ("start", "end"), False,
     "Between which addresses of the caller's image the code lies that gives segments back: who walks a stack and finds a return address there goes on in the "
     "segment before."),
    ("Linked Stacks", "get_stack_usage", (), ("segments", "pages", "links", "unlinks"), False,
     "How many segments the stacks of the caller's threads have, of how many pages, and how many came and went so far."),
)

#: By name.
ABI_NUMBER = {function.name: function.number for function in ABI}

#: What ``receive`` returns as message once the peer has closed and its messages are drained.
CHANNEL_CLOSED = 0xFFFF
#: What ``select`` returns for an endpoint at which nothing waits, and for an empty set or a word that is nothing of the caller's.
NO_MESSAGE = 0xFFFE
NO_ENDPOINT = 0xFFFD

#: Status values.
OK = 0
E_BAD_HANDLE = 1
E_NOT_OWNER = 2
E_CONTRACT = 3
E_FULL = 4
E_BAD_ARGUMENT = 5
E_SEAL = 6
TIMED_OUT = 7
E_NO_NAME = 8
E_DENIED = 9
E_REFUSED = 10
E_BUSY = 11
STATUS_NAMES = {
    OK: "ok",
    E_BAD_HANDLE: "bad handle",
    E_NOT_OWNER: "not the owner",
    E_CONTRACT: "the contract forbids this message in the current state",
    E_FULL: "the peer's message slots are full",
    E_BAD_ARGUMENT: "bad argument",
    E_SEAL: "the image is not what was installed",
    TIMED_OUT: "not by the time said",
    E_NO_NAME: "nobody provides this name",
    E_DENIED: "the manifest, or the provider's rule, does not allow it",
    E_REFUSED: "the provider did not take the connection",
    E_BUSY: "others connect at the moment: ask again",
}

# ---- layout of a block (exchange-heap allocation record), read directly by compiled SIP code -------
# A block handle is the address of its record. Data and size are read by SIPs, written by the kernel.
BLOCK_DATA = 0  #: address of the data
BLOCK_SIZE = 8  #: bytes

# ---- layout of a contract table (an array of 64-bit words) -------------------------------------------
# word 0: states | messages << 16 | slots of the Imp's inbox << 32 | slots of the Exp's inbox << 48
# then one word a message: argument count | mask of exchange-heap arguments << 8 | direction << 16
#      | mask of endpoint arguments << 24 | number of its first carried endpoint << 32
#      (direction 0 = '?', Imp to Exp; 1 = '!', Exp to Imp)
# then states x messages words: the next state, or NO_STATE. State 0 is the start.
# then two words for each endpoint that messages carry, in their order: side (0 = Imp) | its state << 16; the
#      contract it speaks: its number among the image's contracts by name, and once installed its table's address.
# The kernel has one table of each contract: endpoints speak the same contract if their tables are one.
NO_STATE = 0xFFFF
MAX_MESSAGE_WORDS = 4


class _Module(ModuleType):
    """This module; called, it is the table to read: ``singlab.kernel.abi()`` means one thing, whatever was imported before."""

    def __call__(self, group: str | None = None):
        from singlab.kernel.abitable import abi

        return abi(group)


sys.modules[__name__].__class__ = _Module
