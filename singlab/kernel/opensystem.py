"""The open personality: the same machine and kernel with conventional processes on it, for comparison.

Open processes run in user mode, each in an address space of its own that begins at 0, and enter the kernel by a trap.
They are copied and replaced (fork and exec), speak through pipes and sockets that copy, load code while they run,
share memory, and write into each other as debuggers do: everything a sealed system forbids. Page manager, records,
scheduler and process records are the sealed system's; the rest is in ``core/spaces.py``, ``pipes.py``, ``tasks.py``
and ``opens.py``.

What it leaves out: files on a disk, users and permissions, signals that can be caught, several threads in a process,
pages made when they are first touched. Registering a program is done by the host and costs no simulated cycles, as
installing an image does in a sealed system.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import takewhile

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.boot import boot
from singlab.kernel.damage import links
from singlab.kernel.gate import mirror_current
from singlab.kernel.host import HostSide
from singlab.kernel.isolation import OPEN
from singlab.kernel.kernelimage import OPEN_ENTRIES, read_kernel
from singlab.kernel.loader import IMAGE_TAG, TABLE_TAG, InstallError
from singlab.kernel.native import native
from singlab.kernel.openprocess import OpenProcess
from singlab.kernel.openprogram import OpenProgram
from singlab.kernel.startup import KernelError
from singlab.kernel.system import System
from singlab.machine import Machine
from singlab.machine import state as _s
from singlab.machine.csr import csr_write
from singlab.machine.fetch import forget

_W = np.uint64
_SATP = _W(0x180)
FORKS = ("on write", "at once")


class OpenSystem(System):
    """A system of open processes; ``System(personality="open")`` makes one too.

    Parameters
    ----------
    profile : str or Profile
        Timing of the machine: "athlon64", "teaching" or "modern".
    fork : {"on write", "at once"}
        When a copied process gets pages of its own: when somebody writes to them, or all when it is made.
    seed : int
    quantum_us : int
        Time slice in microseconds of simulated time.
    ram : str or int
    trace : bool
        Keep events.
    """

    def __init__(
        self, profile="athlon64", fork: str = "on write", seed: int = 0, quantum_us: int = 10_000, ram: str | int = "16M",
        trace: bool = True, personality: str = "open", **sealed,
    ):  # fmt: skip
        if sealed:
            raise KernelError(f"{', '.join(sealed)}: only a sealed system has a choice there; an open one takes profile, fork, seed, quantum_us, ram, trace")
        if personality != "open":
            raise KernelError(f"an open system has no personality {personality!r}; use System for a sealed one")
        if fork not in FORKS:
            raise KernelError(f"fork {fork!r} is not known; choose one of {', '.join(map(repr, FORKS))}")
        if quantum_us <= 0:
            raise KernelError(f"a time slice must be longer than {quantum_us} microseconds")
        self.machine = Machine(profile=profile, ram=ram, seed=seed)
        self.isolation, self.transfer, self.fork = "open", "copy", fork
        self._setting, self._ring3, self.allow_unverified = OPEN, True, True
        self._m = self.machine.m
        self._m[_s.TRACE_ON] = int(trace)
        self._host = _OpenSide()
        self._attach(None, None)
        quantum = max(1, int(quantum_us * self.machine.profile.clock_hz / 1e6))
        self._labels = boot(self.machine, isolation=OPEN, copy=True, check=False, quantum=quantum)
        self._kernel_image = read_kernel(self.machine, OPEN_ENTRIES)
        self._store(at.G_POLICY_RANDOM, (seed * 0x9E37_79B9_7F4A_7C15 + 1) & 0xFFFF_FFFF_FFFF_FFFF or 1)
        self._store(at.G_OPEN, 1)
        self._store(at.G_EAGER, int(fork == "at once"))
        self._store(at.G_CONSOLE, self._kernel_pages(at.PAGE, TABLE_TAG))
        self._store(at.G_FRAMES, self._kernel_pages(4 * self._load(at.G_PAGES), TABLE_TAG))

    # ---- programs -----------------------------------------------------------------------------------------------------

    def register(self, program: OpenProgram) -> None:
        """Make a program or library known by its name; another of that name counts from now on for who loads it.

        Raises
        ------
        InstallError
            If there is no room for it.
        """
        if not isinstance(program, OpenProgram):
            raise KernelError(f"{program!r:.80} is no open program; build_process(function) makes one, OpenProgram.from_elf(path) reads one")
        if any(known is program for known in self._host.programs.values()):
            return
        segments = []
        for segment in program.segments:
            place = 0
            if segment.data:
                size = segment.pages * at.PAGE
                place = self._kernel_pages(size, IMAGE_TAG)
                self.machine.write(place, segment.data.ljust(size, b"\0"))
                counts = self._load(at.G_FRAMES) + 4 * (place - at.RAM_BASE >> at.PAGE_SHIFT)
                self.machine.write(counts, np.ones(segment.pages, dtype="<u4").tobytes())
            segments += [segment.address, place, segment.pages, segment.rights]
        symbols = b"".join(name.encode().ljust(at.OPEN_NAME_BYTES, b"\0") + (place + int(program.library)).to_bytes(8, "little")
                           for name, place in program.symbols.items())  # fmt: skip
        words = np.array(segments, dtype="<u8").tobytes()
        table = self._kernel_pages(len(words) + len(symbols), TABLE_TAG)
        self.machine.write(table, words + symbols)
        with self._kernel():
            record = int(native.record_new(self._m, _W(at.G_FREE_PROGRAMS), _W(at.PROGRAM_BYTES), _W(at.ZONE_KERNEL), _W(at.TAG_KERNEL_SYSTEM)))
        if record == 0:
            raise InstallError("the kernel zone has no room for another program; give the machine more RAM")
        self.machine.write(record + at.PG_NAME, program.name.encode().ljust(at.OPEN_NAME_BYTES, b"\0"))
        for offset, value in {
            at.PG_NEXT: self._load(at.G_PROGRAMS), at.PG_KIND: at.IMAGE_LIBRARY if program.library else at.IMAGE_PROGRAM,
            at.PG_SEGMENTS: table, at.PG_SEGMENT_COUNT: len(program.segments), at.PG_ENTRY: program.entry,
            at.PG_SYMBOLS: table + len(words), at.PG_SYMBOL_COUNT: len(program.symbols),
            at.PG_PAGES: max((s.address // at.PAGE + s.pages for s in program.segments), default=0),
        }.items():  # fmt: skip
            self._store(record + offset, value)
        self._store(at.G_PROGRAMS, record)
        self._host.programs[record] = program

    def install(self, image):
        """Refuse: an open system has no sealed images; :meth:`register` takes an open program."""
        raise KernelError(f"{image!r:.80} cannot be installed in an open system; build_process(function) and register that")

    def create(self, program: OpenProgram, name: str | None = None, **arguments: int) -> OpenProcess:
        """Create a process that has not started, with the console as its files 0, 1 and 2.

        Parameters
        ----------
        program : OpenProgram
            Registered if it is not yet.
        name : str, optional
            Name of the process; the program's by default.
        **arguments : int
            The words it begins with, by name.
        """
        self.register(program)
        if program.library:
            raise KernelError(f"{program.name} is a library; a process loads it with dlopen")
        for given in arguments:
            if given not in program.parameters:
                raise KernelError(f"{program.name} has no parameter {given!r}; it has: {', '.join(program.parameters) or 'none'}")
        for wanted in program.parameters:
            if wanted not in arguments:
                raise KernelError(f"{program.name} needs a word to begin with: create(..., {wanted}=<number>)")
        words = [_W(int(arguments[wanted]) & 0xFFFF_FFFF_FFFF_FFFF) for wanted in program.parameters][:4]
        image = next(record for record, known in self._host.programs.items() if known is program)
        with self._kernel():
            record = int(native.open_create(self._m, _W(image), *words, *[_W(0)] * (4 - len(words))))
        if record == 0:
            raise KernelError(f"no room for a process of {program.name}; give the machine more RAM")
        process = OpenProcess(self, record, name)
        self._host.processes[process.number] = self._host.unstarted[process.number] = process
        self._drain()
        return process

    def connect(self, one, other):
        """Refuse: open processes have no channels."""
        raise KernelError("open processes have no channels; a process makes pipes, and those it forks have them too")

    def start(self, process: OpenProcess) -> None:
        """Make a created process ready to run."""
        if process.state != "unstarted":
            raise KernelError(f"{process.name} is {process.state}; only an unstarted process can be started")
        with self._kernel():
            native.process_start(self._m, _W(process.record))
        del self._host.unstarted[process.number]

    def stop(self, process: OpenProcess) -> None:
        """End a process, whatever it is doing."""
        if process.state == "stopped":
            return
        self._leave_kernel()
        with self._kernel():
            native.open_stop(self._m, _W(process.record), _W(0))
        self._host.unstarted.pop(process.number, None)
        if self._load(at.G_CURRENT) == 0:
            self._m[_s.PC] = self._labels["idle"]
            self._m[_s.MODE] = _s.S
            csr_write(self._m, _SATP, _W(self._load(at.G_SATP)))
        mirror_current(self._m)
        self._drain()

    def _operate(self, request: int, process: OpenProcess) -> int:
        """Refuse: nobody serves an operator's requests here."""
        raise KernelError("an open process cannot be suspended; stop it, or let the run end after so many cycles")

    # ---- looking --------------------------------------------------------------------------------------------------------

    @property
    def processes(self) -> list[OpenProcess]:
        """All processes there have been, those made by processes included, oldest first."""
        self._adopt()
        return [self._host.processes[number] for number in sorted(self._host.processes)]

    @property
    def shared_memory(self):
        """Named shared memory: one row each (a pandas DataFrame)."""
        import pandas as pd

        rows = []
        for record in links(self.machine, self._load(at.G_SHARED), at.SH_NEXT):
            name = self.machine.read(record + at.SH_NAME, at.OPEN_NAME_BYTES).rstrip(b"\0").decode("utf-8", "replace")
            rows.append({"name": name, "pages": self._load(record + at.SH_PAGES), "physical": f"{self._load(record + at.SH_FRAMES):#x}"})
        return pd.DataFrame(rows, columns=["name", "pages", "physical"])

    def __repr__(self) -> str:
        rows = ", ".join(f"{p.name} {p.state}" for p in self.processes) or "no processes"
        return f"<OpenSystem {self.machine.profile.name}: {rows}>"

    # ---- inside ---------------------------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Know the processes that processes have made; the newest stand first in the kernel's list."""
        known = self._host.processes
        found = list(takewhile(lambda record: self._load(record + at.P_ID) not in known, links(self.machine, self._load(at.G_PROCESSES), at.P_NEXT)))
        for one in reversed(found):
            process = OpenProcess(self, one)
            self._host.processes[process.number] = process

    def _print(self) -> None:
        self._adopt()
        super()._print()
        self._store(at.G_PRINT_BYTES, 0)

    @contextmanager
    def _kernel(self):
        with super()._kernel():
            yield
            code = self._load(at.G_FENCE) & 2
        if code:
            forget(self.machine.uops, self._m[_s.RAM_BYTES])


class _OpenSide(HostSide):
    """What the host keeps beside the machine; of an open system also which record stands for which program."""

    def __init__(self):
        super().__init__()
        self.programs: dict[int, OpenProgram] = {}

    def copy(self) -> _OpenSide:
        other = _OpenSide()
        other.__dict__.update(super().copy().__dict__)
        other.programs = dict(self.programs)
        return other
