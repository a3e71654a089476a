"""System calls of the open personality: the one table of what an open process can ask of the kernel.

It is what the ABI's table is for sealed processes, and read by the same kinds of readers: entry code, dispatcher,
language, documentation. The number travels in a7, arguments in a0 to a5, the result in a0; all other registers come
back as they were. A result that is negative, read as a signed number, is one of the errors.

Names are UNIX's where UNIX has the call. Unlike the ABI's, arguments are often addresses in the caller's own memory,
from which the kernel takes or to which it gives whatever it likes; several calls reach into other processes; and
``ioctl`` means something else with every file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OpenCall:
    """One system call.

    Attributes
    ----------
    number : int
    name : str
    arguments : tuple of str
        Names of the arguments in a0, a1, ...; ``name`` and ``name_bytes`` are the address and length of a text.
    result : str
        What comes back in a0; empty if nothing does.
    doc : str
    kind : str
        "late": it may block or end its caller, so the kernel puts the result into the thread's record. "prints": the
        host may have something to print. "maps": it changes what is mapped. Several may stand together.
    """

    number: int
    name: str
    arguments: tuple[str, ...]
    result: str
    doc: str
    kind: str = ""

    @property
    def late(self) -> bool:
        return "late" in self.kind


def _table(*rows) -> tuple[OpenCall, ...]:
    return tuple(OpenCall(number, *row) for number, row in enumerate(rows))


OPEN_CALLS = _table(
    ("exit", ("status",), "", "End this process; its parent can read the status.", "late maps"),
    ("abort", ("code", "line"), "", "End this process for a fault of its own at a source line.", "late maps"),
    ("fork", (), "process", "A copy of this process: its number here, 0 in the copy.", "maps"),
    ("execve", ("name", "name_bytes", "word0", "word1", "word2", "word3"), "error",
     "Become the program of this name, which begins with the words in a0 to a3; files stay open.", "late maps"),
    ("waitpid", ("process", "status"), "process", "Wait until a child (0 = any) has ended; how goes to the address status, if that is not 0.", "late maps"),
    ("kill", ("process",), "error", "End any process.", "late maps"),
    ("getpid", (), "process", "The number of this process."),
    ("getppid", (), "process", "The number of the process that made it, 0 if that has ended."),
    ("sched_yield", (), "error", "Let the next ready thread run.", "late"),
    ("pipe", ("files",), "error", "Two new files, their numbers as two words at an address: what is written to the second is read from the first.", "maps"),
    ("socketpair", ("files",), "error", "Two new files, each of which reads what is written to the other, packet by packet.", "maps"),
    ("read", ("file", "address", "bytes"), "bytes", "Read up to so many bytes; blocks while there are none; 0 when nobody can write any more.", "late maps"),
    ("write", ("file", "address", "bytes"), "bytes", "Write bytes; blocks while there is no room for all.", "late prints maps"),
    ("close", ("file",), "error", "Give a file number back."),
    ("dup2", ("file", "other"), "file", "Let another file number mean the same file."),
    ("ioctl", ("file", "request", "address"), "value", "Whatever the file makes of a request, and of the memory at an address.", "maps"),
    ("mmap", ("address", "bytes", "rights", "flags"), "address", "New zeroed memory; 0 leaves the place to the kernel. MAP_SHARED: a child sees it too.", "maps"),
    ("munmap", ("address", "bytes"), "error", "Take memory out of this process.", "maps"),
    ("mprotect", ("address", "bytes", "rights"), "error", "Change what may be done with memory of this process, running it included.", "maps"),
    ("shm_open", ("name", "name_bytes", "bytes", "rights"), "address", "Map the shared memory of this name, made if there is none yet.", "maps"),
    ("process_read", ("process", "their_address", "address", "bytes"), "bytes", "Read another process's memory, as a debugger does.", "maps"),
    ("process_write", ("process", "their_address", "address", "bytes"), "bytes",
     "Write into another process's memory, its code included, as a debugger does.", "maps"),
    ("dlopen", ("name", "name_bytes"), "library", "Load the library of this name into this process.", "maps"),
    ("dlsym", ("library", "name", "name_bytes"), "address", "The address of a function of a loaded library."),
    ("clock_getres", (), "hertz", "Ticks of the clock in a second."),
    ("mark", ("value",), "", "Put a mark with this value into the trace."),
    ("print_text", ("address", "bytes"), "bytes", "Write text to file 1.", "late prints maps"),
    ("print_int", ("value", "signed"), "", "Write a number to the console.", "prints"),
)  # fmt: skip

OPEN_NUMBER = {call.name: call.number for call in OPEN_CALLS}

#: Errors, by the numbers they have elsewhere; a call returns them negated.
EPERM, ENOENT, ESRCH, EBADF, ECHILD, EAGAIN, ENOMEM, EFAULT, EINVAL, EMFILE, EPIPE, ENOSYS = 1, 2, 3, 9, 10, 11, 12, 14, 22, 24, 32, 38
ERRORS = {
    EPERM: "not permitted", ENOENT: "no such name", ESRCH: "no such process", EBADF: "no such file", ECHILD: "no such child",
    EAGAIN: "try again", ENOMEM: "out of memory", EFAULT: "bad address", EINVAL: "bad argument", EMFILE: "too many files",
    EPIPE: "nobody reads any more", ENOSYS: "no such system call",
}  # fmt: skip

#: What ``waitpid`` gives of a process that did not end by itself: this bit, and the fault's code (0 = it was killed).
STATUS_FAULT = 1 << 63

# requests of ioctl: what they write at the address
IOCTL_WAITING = 1  #: one word: bytes that can be read
IOCTL_STATUS = 2  #: four words: bytes that can be read, room, readers, writers
