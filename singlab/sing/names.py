"""The words of the SIP language as Python objects, so that editors, type checkers and ``help`` know them.

Programs are compiled, never run by Python; each of these says so when it is called as Python.
"""

from __future__ import annotations

import enum
import sys

from singlab.sing.errors import SipError


def not_python(what: str):
    """Raise the error for language words called as ordinary Python."""
    raise SipError(
        "language",
        f"{what} belongs to the SIP language and was called as ordinary Python",
        hint="use it inside a function decorated with @sip or @function, and build() that",
    )


class _Word:
    """A word of the language that is written like a call."""

    def __init__(self, name: str, doc: str):
        self.__name__ = name
        self.__doc__ = doc

    def __call__(self, *args, **kwargs):
        not_python(f"{self.__name__}(...)")

    def __class_getitem__(cls, item):
        return cls

    def __getitem__(self, item):
        return self

    def __or__(self, other):
        return self

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<SIP language: {self.__name__}>"


_Word.__name__ = "word of the SIP language"  # what help() calls it


def _word(name: str, says: str, example: str) -> _Word:
    """Return a word whose help says what it is and shows it in use."""
    lines = "\n".join(("... " if line.startswith(" ") else ">>> ") + line for line in example.splitlines())
    return _Word(name, f"{says}\n\nExample\n-------\n{lines}\n")


def _integer(name: str) -> _Word:
    bits, signed = int(name[1:]), name[0] == "i"
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return _word(
        name,
        f"{'Signed' if signed else 'Unsigned'} integer of {bits} bits, {low} to {high}; arithmetic wraps. A type, and as a call a conversion: "
        f"{name}(x) keeps the low {bits} bits.",
        f"n: {name} = 5\nn = {name}(n * 3)",
    )


u8, u16, u32, u64, i8, i16, i32, i64 = map(_integer, ("u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"))
ExVec = _word(
    "ExVec", "ExVec[u8]: a vector of integers on the exchange heap. It has exactly one owner at a time: sending it, freeing it or passing it to "
    "a function ends its use here.",
    "@function\ndef total(data: ExVec[u8]) -> u64:\n    found: u64 = 0\n    for i in range(len(data)):\n        found += data[i]\n"
    "    free(data)\n    return found",
)  # fmt: skip
new = _word("new", "new(u8, n): a vector of n zeros on the exchange heap, owned by the caller, to be sent, freed or returned.",
            "data = new(u8, 16)\ndata[0] = 255\nfree(data)")  # fmt: skip
free = _word("free", "free(v): give a vector back to the exchange heap. It cannot be used afterwards.", "data = new(u8, 16)\nfree(data)")
Shared = _word(
    "Shared", "Shared[u8]: a vector on the exchange heap that is only read, for other blocks have the same data. share(v, first, stop) makes it; it "
    "has one owner, to be sent, freed or handed on, as an ExVec has.",
    "@function\ndef first(data: Shared[u8]) -> u8:\n    c = data[0]\n    free(data)\n    return c",
)  # fmt: skip
split = _word("split", "split(v, n): the vector v put apart without copying: its first n elements, and the rest.",
              "data = new(u8, 64)\nhead, rest = split(data, 14)\nfree(head)\nfree(rest)")  # fmt: skip
truncate = _word("truncate", "truncate(v, n): the first n elements of the vector v, without copying.", "data = new(u8, 64)\ndata = truncate(data, 14)\nfree(data)")
share = _word("share", "share(v, first, stop): all of the vector v, and its elements from first up to stop, over the same data; both can only be read.",
              "data = new(u8, 64)\nwhole, head = share(data, 0, 14)\nfree(head)\nfree(whole)")  # fmt: skip
Event = _word("Event", "Event: the type of what event() and manual_event() make: set(), reset(), wait(), wait_until(t), close().",
              "@function\ndef worker(go: Event) -> u64:\n    go.wait()\n    return 1")  # fmt: skip
Mutex = _word("Mutex", "Mutex: the type of what mutex() makes: acquire(), release(), wait_until(t), close().",
              "@function\ndef worker(lock: Mutex) -> u64:\n    lock.acquire()\n    lock.release()\n    return 1")  # fmt: skip
event = _word("event", "event(): something threads of this process wait for; each set() lets one of them go on.", "go = event()\ngo.set()\ngo.wait()\ngo.close()")
manual_event = _word("manual_event", "manual_event(): an event that stays set, and lets everybody go on, until reset().",
                     "ready = manual_event()\nready.set()\nready.wait()\nready.reset()")  # fmt: skip
mutex = _word("mutex", "mutex(): what one thread of this process at a time can have; a thread that has it can acquire() it again.",
              "lock = mutex()\nlock.acquire()\nlock.release()")  # fmt: skip
wait_any = _word("wait_any", "wait_any(a, b): wait for up to four events, mutexes, interrupts, endpoints and sets; at which something came first, a u64 from 0. A message "
                 "stays there to be received.",
                 "a, b = event(), event()\nb.set()\nfirst = wait_any(a, b)")  # fmt: skip
sleep = _word("sleep", "sleep(n): let this thread go on n cycles later.", "sleep(100000)")
sleep_until = _word("sleep_until", "sleep_until(t): let this thread go on when cycles() has come to t.", "sleep_until(cycles() + 100000)")
thread_id = _word("thread_id", "thread_id(): the number of this thread, as thread(...) gives it, a u64.", "me: u64 = thread_id()")
thread_state = _word("thread_state", "thread_state(t): what thread t of this process does, a u64: 1 it is ready, 3 it waits, 5 it has ended and was not joined, "
                     "0 there is none.", "state: u64 = thread_state(other)")  # fmt: skip
IoMemory = _word("IoMemory", "IoMemory: the type of device registers: read8(o), read16(o), read32(o), write8(o, x), write16(o, x), write32(o, x), o in bytes.",
                 "@function\ndef ready(uart: IoMemory) -> bool:\n    return uart.read8(5) & 1 != 0")  # fmt: skip
Interrupt = _word("Interrupt", "Interrupt: the type of a device's interrupt: wait(), wait_until(t), ack(), close().",
                  "@function\ndef next(line: Interrupt):\n    line.wait()\n    line.ack()")  # fmt: skip
io_memory = _word("io_memory", "io_memory(n): the device registers that @sip(io_memory=[...]) declares, by their place there from 0.",
                  "uart = io_memory(0)\nuart.write8(0, 65)")  # fmt: skip
interrupt = _word("interrupt", "interrupt(n): the interrupt that @sip(interrupts=[...]) declares, by its place there from 0.",
                  "line = interrupt(0)\nline.wait()\nline.ack()")  # fmt: skip
dma_memory = _word("dma_memory", "dma_memory(n): the memory for a device that @sip(dma=[...]) declares, by its place there from 0: an IoMemory.",
                   "buffer = dma_memory(0)\nbuffer.write32(0, 1)")  # fmt: skip
dma_address = _word("dma_address", "dma_address(m): where a device finds memory that dma_memory(n) has given, a u64.", "place = dma_address(dma_memory(0))")
register = _word(
    "register", 'register("/files", imp): provide a name that @sip(provides=[...]) declares. imp is the Imp of a channel of a provider\'s contract: Connect, '
    "AckConnect, NackConnect; at its Exp those who connect are announced. Whether the name could be had.",
    'imp, exp = new_channel(FilesProvider)\nbound = register("/files", imp)',
)  # fmt: skip
connect = _word("connect", 'connect("/files", Files): the Imp of a new channel with who provides a name that @sip(wants=[...]) declares. If nobody takes it, the '
                "channel is closed.", 'files = connect("/files", Files)\nfiles.close()')  # fmt: skip
principal = _word("principal", "principal(): this process's principal, an ExVec[u8]: the programs of its chain with + between them.", "me = principal()\nfree(me)")
peer_principal = _word("peer_principal", "peer_principal(ch): the principal that the other side of an endpoint speaks for, an ExVec[u8]; empty once it is closed.",
                       "who = peer_principal(ch)\nfree(who)")  # fmt: skip
speaks_for = _word("speaks_for", 'speaks_for(ch, "shell+*"): whether the principal at the other side of an endpoint matches a pattern, * for any text.',
                   'known: bool = speaks_for(ch, "shell*")')  # fmt: skip
cycles = _word("cycles", "cycles(): the machine's cycle counter, a u64.", "before = cycles()\nyield_()\nspent = cycles() - before")
yield_ = _word("yield_", "yield_(): let the next ready thread run.", "while cycles() < 100000:\n    yield_()")
thread = _word(
    "thread", "thread(f, a, b): start the @function f as another thread of this process; its number, a u64. What it is given is its own. "
    "RuntimeError in a try if none can be started.",
    "@sip\ndef both() -> u64:\n    other = thread(work, 5)\n    return join(other)",
)  # fmt: skip
join = _word("join", "join(t): wait until thread t has ended; the u64 it returned, 0 if it returned nothing.", "result: u64 = join(other)")
mark = _word("mark", "mark(v): put a mark with this value into the trace, where views and statistics find it.", "mark(7)")
process_id = _word("process_id", "process_id(): the number of this process, a u64.", "me: u64 = process_id()")
cycles_per_second = _word("cycles_per_second", "cycles_per_second(): how fast cycles() counts, a u64.", "hertz: u64 = cycles_per_second()")
Borrowed = _word(
    "Borrowed", "Borrowed[ExVec[u8]]: the type of a parameter that reads and writes the caller's block and leaves it the caller's.",
    "@function\ndef first(data: Borrowed[ExVec[u8]]) -> u8:\n    return data[0]",
)  # fmt: skip
copy = _word("copy", "copy(v): another block with the same content, owned by the caller.", "data = new(u8, 16)\nother = copy(data)\nfree(data)\nfree(other)")
fill = _word("fill", "fill(v, x): every element of the vector becomes x.", "data = new(u8, 16)\nfill(data, 255)\nfree(data)")


def exchange(cls: type) -> type:
    """Declare a struct on the exchange heap: ``@exchange class Packet:`` with fields such as ``length: u32``.

    Fields are integers of all widths, bools and enums. ``new(Packet)`` makes one, zeroed.

    Raises
    ------
    SipError
        If a field is something else.

    Example
    -------
    >>> @exchange
    ... class Packet:
    ...     length: u32
    ...     urgent: bool
    """
    from singlab.sing.enums import DECLARE_STRUCT
    from singlab.sing.structs import field_of_python, struct_of_python

    if not isinstance(cls, type):
        raise SipError("types", f"@exchange stands above a class, this is {type(cls).__name__}", hint="write @exchange above class Packet: ...")
    caller = sys._getframe(1)
    names = {**caller.f_globals, **caller.f_locals}
    fields = [(name, field_of_python(kind, names)) for name, kind in cls.__dict__.get("__annotations__", {}).items()]
    try:
        cls.__sing_struct__ = struct_of_python(cls, fields)
    except ValueError as error:
        raise SipError("types", str(error), filename=caller.f_code.co_filename, line=caller.f_lineno,
                       hint=DECLARE_STRUCT) from None  # fmt: skip
    cls.__init__ = lambda self: not_python(f"{cls.__name__}()")
    return cls
char = _word("char", "char: one byte of a text; char(65) is the one with that number, ord(c) its number, 'A' one where a char is wanted.", 'c: char = "A"')
Array = _word("Array", "Array[u64]: a reference to an array on this SIP's own heap; it is shared freely and never sent.", "def total(a: Array[u64]) -> u64: ...")
array = _word("array", "array(u64, n): an array of n zeros, or of None; array(u64, n, value): of n times that value.", "a = array(u64, 10, 1)")
to_vector = _word("to_vector", "to_vector(s): the bytes of a str or an array as an ExVec[u8], to be sent; str(v) makes text of one.", 'v = to_vector("hello")')
to_array = _word("to_array", "to_array(s): the bytes of a str or of an ExVec[u8] as an Array[u8].", 'a = to_array("hello")')


class ChannelClosed(Exception):
    """The peer is gone and its messages are drained: a case of a ``match`` on ``receive()``, or an exception to catch.

    Example
    -------
    >>> match ch.receive():
    ...     case ChannelClosed():
    ...         return
    """


receive = _word(
    "receive", "match receive(a, b): wait for several endpoints at once. A case has a pattern for each, _ where it does not matter; the first "
    "satisfied case wins, and only what it names is taken.",
    "match receive(a, b):\n    case (A.Answer(x), _):\n        pass\n    case (_, B.Answer(y)):\n        pass",
)  # fmt: skip
new_channel = _word("new_channel", "new_channel(C): a new channel of contract C. Both ends are this process's, to use or to send in a message.",
                    "imp, exp = new_channel(C)\nimp.close()\nexp.close()")  # fmt: skip
ESet = _word(
    "ESet", 'ESet(C.Exp, "State"): a set of endpoints that are all in one state, the contract\'s first if none is named: add(ep), len(s), close(). '
    "What comes to one of its members is received with the member, which leaves the set.",
    "s = ESet(C.Exp)\ns.add(ep)\nmatch s.receive():\n    case (ep, C.Ask(n)):\n        ep.send(C.Answer(n))\n        s.add(ep)",
)  # fmt: skip


create = _word(
    "create", 'create("plugin", a, b): a child process of an extension that @sip(extensions=...) declares, with its startup arguments in order: '
    "endpoints, which are the child's from then on, integers and bools. It runs after start(). A Child has start, stop, suspend, wait, resume, join, "
    "state, how, code, id and close. A child that cannot be made is an OSError inside a try, and what it was to be given is still the caller's; "
    "what it does not take is a ValueError, and all it was to be given is closed then.",
    'imp, exp = new_channel(C)\nchild = create("plugin", exp)\nchild.start()\nvalue = child.join()\nchild.close()',
)  # fmt: skip
Child = _word("Child", "Child: the type of a child process, for parameters of helpers.", "@function\ndef end(child: Child) -> u64:\n    return child.join()")


class ProcessState(enum.IntEnum):
    """What ``child.state()`` returns; NONE where there is no such child.

    Example
    -------
    >>> if child.state() == ProcessState.STOPPED:
    ...     child.close()
    """

    NONE = 0
    UNSTARTED = 1
    RUNNING = 2
    STOPPED = 3
    SUSPENDING = 4
    SUSPENDING_RECURSIVE = 5
    SUSPENDED = 6
    STOPPING = 7


class Unsatisfiable:
    """A case of a match on several endpoints: nothing that can still come would satisfy one of the others.

    Example
    -------
    >>> match receive(a, b):
    ...     case (A.Answer(x), _):
    ...         pass
    ...     case Unsatisfiable():
    ...         return
    """
