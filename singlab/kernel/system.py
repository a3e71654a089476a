"""The system: a machine with the kernel booted on it, and everything one does with it.

``System`` boots, installs, creates, connects, runs, stops, takes snapshots and hands out traces;
``Process`` is one SIP in it; ``Run`` is what a run came to. A system is deterministic: the same calls
give the same cycles and the same events.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.boot import boot
from singlab.kernel.damage import look_for_damage, over_tables
from singlab.kernel.devices import Devices
from singlab.kernel.gate import STOP_EVENTS, STOP_POLICY, mirror_current, system_run
from singlab.kernel.heaps import Collected
from singlab.kernel.host import HostSide
from singlab.kernel.image import SealedImage
from singlab.kernel.installer import Installing
from singlab.kernel.isolation import CHOICES
from singlab.kernel.kernelimage import Sealed, read_kernel
from singlab.kernel.loader import InstallError, reopen
from singlab.kernel.native import STOP_ENDED, native
from singlab.kernel.operating import Operating, write_service
from singlab.kernel.placing import Placing
from singlab.kernel.policies import Policies
from singlab.kernel.process import Process, blocked_report
from singlab.kernel.resting import Resting
from singlab.kernel.stackview import stack_pages
from singlab.kernel.startup import KernelError, startup_values
from singlab.kernel.tables import first_difference
from singlab.machine import Machine
from singlab.machine import state as _s
from singlab.machine.access import kernel_books
from singlab.machine.csr import csr_write
from singlab.machine.hart import STOP_DEVICE, STOP_LIMIT, STOP_WFI
from singlab.machine.translate import tlb_flush
from singlab.trace.record import EVENT, Kind
from singlab.trace.ring import read_ring
from singlab.trace.trace import Trace

_W = np.uint64
_NEVER = _W(0xFFFF_FFFF_FFFF_FFFF)
_SATP, _SUM = _W(0x180), _W(1 << 18)

ISOLATION = {name: setting.doc for name, setting in CHOICES.items()}
TRANSFER = ("ownership", "copy")
RECLAIM = ("lists", "walk")

#: Cycles a run may take when the caller sets no limit: a program that never ends must not hang a class.
DEFAULT_LIMIT = 2_000_000_000
#: Cycles between two looks at the keyboard and the event ring.
_SLICE = 20_000_000
#: Events between two emptyings of the ring, well below its size.
_DRAIN = _s.RING_EVENTS // 2


@dataclass
class Run:
    """What a run came to.

    Attributes
    ----------
    outcome : str
        "finished" (no process left), "deadlock" (all that are left wait for each other), "waiting" (somebody waits for a device,
        which only the outside can move), "suspended" (nobody can go on before a suspended process is resumed), "limit" (cycle
        limit reached) or "events" (event limit reached).
    cycles, instructions : int
        Of this run alone.
    counters : dict of str to int
        The machine's counters over this run.
    report : str
        For a deadlock or a limit: who is doing what, in a sentence each.
    system : System
    """

    outcome: str
    cycles: int
    instructions: int
    counters: dict[str, int]
    report: str
    system: System = field(repr=False)

    @property
    @over_tables
    def trace(self) -> Trace:
        """All events of the system so far."""
        return self.system.trace

    def __str__(self) -> str:
        head = f"{self.outcome} after {self.cycles:,} cycles, {self.instructions:,} instructions"
        return head + (f"\n{self.report}" if self.report else "")

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(str(self))


class System(Installing, Operating, Placing, Resting, Devices, Policies, Sealed, Collected):
    """A Singularity-style system on a simulated machine.

    Parameters
    ----------
    profile : str or Profile
        Timing of the machine: "athlon64", "teaching" or "modern".
    isolation : {"unchecked", "sip", "pages", "domain", "ring3", "ring3-domains", "mixed"}
        How SIPs are kept apart, from nothing at all to user mode and an address space for each (see
        :mod:`singlab.kernel.isolation`); with "mixed" each SIP has a setting of its own.
    transfer : {"ownership", "copy"}
        Whether exchange-heap blocks in messages change owner or are copied.
    seed : int
        Seed of whatever is random.
    quantum_us : int
        Time slice in microseconds of simulated time.
    ram : str or int
        Size of RAM, such as "16M" or a number of bytes.
    check_contracts : bool
        Check each message against its contract as it is sent and received.
    allow_unverified : bool
        Install images the verifier has not accepted, to see what they can do.
    trace : bool
        Keep events.
    personality : {"sealed", "open"}
        With "open" it is an :class:`~singlab.kernel.opensystem.OpenSystem`, for comparison.
    policies : iterable of policy
        Functions made with ``@policy`` that decide in the kernel's place (see :mod:`singlab.kernel.policies`).
    reclaim : {"lists", "walk"}
        How the kernel finds what a dead process had: by the process's own lists, or by a walk over everybody's records,
        as the real system's does.
    collector : str
        What collects the heaps of processes whose manifests do not say (see :mod:`singlab.runtime`): "none", "semispace",
        "marksweep", "compact", "adaptive".
    collect_every : bool or "call"
        Collect whenever a program makes an object, and with "call" behind every call of the kernel too: for tests, and to see what moves.
    kernel_collector : {"marksweep", "semispace", "compact", "none"}
        What collects the kernel's own heap.
    kernel_collect_every : bool
        Collect it whenever the kernel has made an object.
    disk : path, bytes or Disk, optional
        Contents of a virtio disk in slot 0.
    net : "loopback", callable or Net, optional
        A virtio network card in slot 1.
    stack_segment, stack_limit : str or int
        Bytes of a segment that a thread's stack grows by, at least, and of one thread's stack, at most.
    """

    def __new__(cls, *arguments, personality: str = "sealed", **options):
        """Return an empty system of a personality."""
        if personality not in ("sealed", "open"):
            raise KernelError(f"personality {personality!r} is not known; choose sealed or open")
        if personality == "open":
            from singlab.kernel.opensystem import OpenSystem as cls
        return super().__new__(cls)

    def __init__(
        self,
        profile="athlon64",
        isolation: str = "sip",
        transfer: str = "ownership",
        seed: int = 0,
        quantum_us: int = 10_000,
        ram: str | int = "16M",
        check_contracts: bool = True,
        allow_unverified: bool = False,
        trace: bool = True,
        policies=(),
        reclaim: str = "lists",
        collector: str = "none",
        collect_every: bool | str = False,
        kernel_collector: str = "marksweep",
        kernel_collect_every: bool = False,
        disk=None,
        net=None,
        stack_segment: str | int = "4K",
        stack_limit: str | int = "8M",
        personality: str = "sealed",
    ):
        if isolation not in ISOLATION:
            raise KernelError(f"isolation {isolation!r} is not known; choose one of {', '.join(ISOLATION)}")
        if transfer not in TRANSFER:
            raise KernelError(f"transfer {transfer!r} is not known; choose one of {', '.join(TRANSFER)}")
        if reclaim not in RECLAIM:
            raise KernelError(f"reclaim {reclaim!r} is not known; choose one of {', '.join(RECLAIM)}")
        if quantum_us <= 0:
            raise KernelError(f"a time slice must be longer than {quantum_us} microseconds")
        self.machine = Machine(profile=profile, ram=ram, seed=seed)
        self.isolation, self.transfer = isolation, transfer
        self._setting = CHOICES[isolation]
        self.allow_unverified = allow_unverified or not self._setting.checked
        self._ring3 = self._setting.ring3
        self._m = self.machine.m
        self._m[_s.TRACE_ON] = int(trace)
        self._host = HostSide()
        self._attach(disk, net)
        quantum = max(1, int(quantum_us * self.machine.profile.clock_hz / 1e6))
        self._labels = boot(
            self.machine, isolation=self._setting, copy=transfer == "copy", check=check_contracts, quantum=quantum,
            **stack_pages(stack_segment, stack_limit),
        )
        self._kernel_image = read_kernel(self.machine)
        write_service(self.machine, self._labels, self._setting)
        self._store(at.G_POLICY_RANDOM, (seed * 0x9E37_79B9_7F4A_7C15 + 1) & 0xFFFF_FFFF_FFFF_FFFF or 1)
        for policy in policies:
            self.use(policy)
        self._store(at.G_WALK, reclaim == "walk")
        self._choose_collectors(collector, collect_every, kernel_collector, kernel_collect_every)

    # ---- putting programs in --------------------------------------------------------------------------

    @over_tables
    def create(
        self, image: SealedImage | str, name: str | None = None, *, domain: str | None = None, isolation: str | None = None,
        collector: str | None = None, heap_bytes: int | None = None, policies=(), **arguments: int,
    ) -> Process:
        """Create a process that has not started.

        Parameters
        ----------
        image : SealedImage or str
            An image (installed if it is not yet) or the name of an installed one.
        name : str, optional
            Name of the process; the image's name by default.
        domain : str, optional
            Name of the protection domain it runs in, together with all others created with this name; by
            default what the isolation setting says. Only where addresses are translated.
        isolation : {"pages", "domain", "ring3", "ring3-domains"}, optional
            Its setting, in a system in which SIPs of several can be; by default what its manifest asks for, else the system's.
        collector : str, optional
            What collects its heap, whatever its manifest says.
        heap_bytes : int, optional
            Most bytes of its heap.
        policies : iterable of policy
            Policies that decide about its heap, and not about others' (see :meth:`use`).
        **arguments : int
            Its integer startup arguments, by name. Endpoints come with :meth:`connect`.

        Raises
        ------
        SealError
            If a bit of the installed image has changed.
        """
        if isinstance(image, str):
            if image not in self._host.installed:
                raise KernelError(f"no image {image!r:.64} is installed; there are {', '.join(self._host.installed) or 'none'}")
            installed = self._host.installed[image]
        else:
            installed = self.install(image)
        intact = reopen(self.machine, installed)
        values = startup_values(intact.manifest, arguments)
        record = self._new_process(domain, isolation, installed)
        if record == 0:
            raise KernelError(
                f"no room for another process: give the machine more RAM, or begin afresh if it has had {at.LAST_PROCESS:,} of them"
            )
        process = Process(self, record, installed, name or installed.name, values)
        code, size = process._field(at.P_CODE), process._field(at.P_CODE_BYTES)
        self.machine.code_written(code, size)  # what stands for the kernel's fence.i
        self._store(at.G_NEW_CODE, 0)
        self._choose_collector(process, collector, heap_bytes)
        self._host.processes[process.number] = self._host.unstarted[process.number] = process
        for policy in policies:
            self.use(policy, [process])
        return process

    @over_tables
    def connect(self, one, other) -> int:
        """Make a channel between two startup endpoints, such as ``client["ch"]`` and ``server["ch"]``; returns its number."""
        ends = {end.parameter.side: end for end in (one, other)}
        for end in (one, other):
            if end.process.state != "unstarted":
                raise KernelError(f"{end}: the process has started; connect its startup endpoints before")
            if end.process.values[end.parameter.name] is not None:
                raise KernelError(f"{end}: already connected")
        if one.parameter.contract != other.parameter.contract:
            raise KernelError(
                f"{one} speaks contract {one.parameter.contract} and {other} speaks {other.parameter.contract}; "
                "a channel has one contract"
            )
        if len(ends) != 2:
            raise KernelError(f"{one} and {other} are both the {one.parameter.side} side; a channel has one Imp, one Exp")
        imp, exp = ends["Imp"], ends["Exp"]
        contract = one.parameter.contract
        table = imp.process.installed.tables[contract]
        if table != exp.process.installed.tables[contract]:
            differs = first_difference(imp.process.installed.image, exp.process.installed.image, contract)
            whose = f"contract {contract}" if differs == contract else f"contract {differs}, whose endpoints {contract} carries"
            raise InstallError(f"{one} and {other} were built with different versions of {whose}; build both again")
        with self._kernel():
            admitted = int(native.channel_admit(self._m, _W(table), _W(imp.process.record), _W(exp.process.record)))
        if (error := self._policy_fault()) is not None:
            raise error
        if not admitted:
            raise KernelError(f"policy admit ({self.policies['admit']}) does not let {imp} and {exp} be connected")
        with self._kernel():
            handle = int(native.channel_create(self._m, _W(table), _W(imp.process.record), _W(exp.process.record)))
        if handle == 0:
            raise KernelError("the kernel zone is full; give the machine more RAM")
        peer = self.machine.load_u64(handle + at.E_PEER)
        imp.process.values[imp.parameter.name] = handle
        exp.process.values[exp.parameter.name] = peer
        number = self.machine.load_u64(handle + at.E_CHANNEL)
        self._host.contracts[contract] = self._host.described[table]
        self._host.channels[str(number)] = {
            "contract": contract,
            "imp": imp.process.number,
            "exp": exp.process.number,
            "endpoints": [handle, peer],
        }
        return number

    def flip_bit(self, name: str, bit: int = 0) -> None:
        """Flip one bit of an installed image in memory, as a stray write or a failing chip would."""
        installed = self._host.installed[name]
        if not 0 <= bit < installed.bytes * 8:
            raise KernelError(f"{name} has {installed.bytes * 8} bits; there is no bit {bit}")
        address = installed.address + bit // 8
        byte = self.machine.read(address, 1)[0] ^ 1 << bit % 8
        self.machine.write(address, bytes([byte]))

    # ---- running ------------------------------------------------------------------------------------------

    @property
    @over_tables
    def processes(self) -> list[Process]:
        """All processes ever created, oldest first; those that other processes made too."""
        self._adopt()
        return list(self._host.processes.values())

    @over_tables
    def start(self, process: Process) -> None:
        """Make a created process ready to run."""
        if process.state != "unstarted":
            raise KernelError(f"{process.name} is {process.state}; only an unstarted process can be started")
        if process.held:
            raise KernelError(f"{process.name} is held with a process above it; resume that first")
        for parameter in process.installed.image.manifest.parameters:
            if process.values[parameter.name] is None:
                raise KernelError(
                    f"{process.name}: startup endpoint {parameter.name} ({parameter.contract}.{parameter.side}) is not "
                    f'connected; call system.connect(...["{parameter.name}"], ...) first'
                )
        thread = self.machine.load_u64(process.record + at.P_THREADS)
        for index, parameter in enumerate(process.installed.image.manifest.parameters):
            value = process.values[parameter.name] & 0xFFFF_FFFF_FFFF_FFFF
            self.machine.store_u64(thread + at.T_A0 + 8 * index, value)
        with self._kernel():
            native.process_start(self._m, _W(process.record))
        del self._host.unstarted[process.number]

    @over_tables
    def run(self, cycles: int | None = None, events: int | None = None) -> Run:
        """Start what is unstarted and run.

        Parameters
        ----------
        cycles : int, optional
            Stop after so many cycles; two thousand million where neither limit is given.
        events : int, optional
            Stop once so many more events have happened (a kernel call may write a few at once).

        Returns
        -------
        Run
        """
        for process in list(self._host.unstarted.values()):
            self.start(process)
        before = self.machine.counters()
        start = int(self._m[_s.CYCLES]), int(self._m[_s.INSTRET])
        limit = start[0] + (cycles if cycles is not None else DEFAULT_LIMIT)
        stop_event = None if events is None else int(self._m[_s.EVENT_COUNT]) + events
        outcome = self._loop(limit, stop_event)
        report = ""
        if outcome in ("deadlock", "waiting"):
            report = blocked_report(self)
        elif outcome == "limit" and cycles is None:
            report = f"stopped at the limit of {DEFAULT_LIMIT:,} cycles: something runs without end\n" + blocked_report(self)
        after = self.machine.counters()
        return Run(
            outcome,
            int(self._m[_s.CYCLES]) - start[0],
            int(self._m[_s.INSTRET]) - start[1],
            {name: after[name] - before[name] for name in after},
            report,
            self,
        )

    def advance(self, events: int = 1) -> int:
        """Run until so many more events have happened; returns how many did (0 once nothing is left to run)."""
        before = int(self._m[_s.EVENT_COUNT])
        if not self.done:
            self.run(events=events)
        return int(self._m[_s.EVENT_COUNT]) - before

    @property
    @over_tables
    def done(self) -> bool:
        """Whether nothing can run any more: every process ended, or all wait for each other or for a device."""
        if self._host.unstarted:
            return False
        return self._load(at.G_CURRENT) == 0 and not self._ready() and not self._can_wake()

    def _loop(self, limit: int, stop_event: int | None) -> str:
        m, uops = self._m, self.machine.uops
        look_for_damage(self.machine)
        while True:
            if self._load(at.G_CURRENT) == 0:
                if self._ready():
                    self._dispatch()
                elif not self._can_wake():
                    return self._idle()
            now, count = int(m[_s.CYCLES]), int(m[_s.EVENT_COUNT])
            if now >= limit:
                return "limit"
            if stop_event is not None and count >= stop_event:
                return "events"
            m[_s.STOP_CYCLE] = min(limit, now + _SLICE)
            drain_at = count + _DRAIN
            m[_s.STOP_EVENT] = drain_at if stop_event is None else min(stop_event, drain_at)
            reason = system_run(m, uops)
            if reason == STOP_WFI:
                self.machine._sleep(limit)
            self._attend(reason, (STOP_LIMIT, STOP_EVENTS, STOP_WFI, STOP_DEVICE, STOP_ENDED, STOP_POLICY))
            self._serve_devices()
            self._drain()
            if m[_s.POLICY_STOP] and (error := self._policy_fault()) is not None:
                raise error

    def _ready(self) -> bool:
        return bool(self._load(at.G_UNBLOCKED_HEAD) or self._load(at.G_PREEMPTED_HEAD))

    def _dispatch(self) -> None:
        """Leave the idle loop: pick a thread and go through the switch code to it."""
        self._host.deadlock_told = False
        thread = native.schedule(self._m, _W(0))
        kernel_books(self._m)
        look_for_damage(self.machine)
        self._store(at.G_FRESH, 1)
        self._m[_s.X + 7] = thread  # t2, where the switch code expects it
        self._m[_s.PC] = self._labels["switch_in"]
        self._m[_s.MODE] = _s.S
        self._m[_s.SSTATUS] = _W(1 << 18) if self._setting.user_pages else _W(0)
        mirror_current(self._m)

    # ---- looking and going back ---------------------------------------------------------------------------

    @property
    def trace(self) -> Trace:
        """All events so far, with the names that belong to them."""
        self._drain()
        host = self._host
        if len(host.chunks) > 1:
            host.chunks = [np.concatenate(host.chunks)]
        events = host.chunks[0] if host.chunks else np.zeros(0, dtype=EVENT)
        return Trace(events, self.meta(), host.lost)

    def meta(self) -> dict:
        """Return what a trace says about the system besides its events."""
        host = self._host
        return {
            "clock_hz": float(self.machine.profile.clock_hz),
            "cycles": int(self._m[_s.CYCLES]),
            "profile": self.machine.profile.name,
            "isolation": self.isolation,
            "transfer": self.transfer,
            "page_size": at.PAGE,
            "pages": self.machine.m[_s.RAM_BYTES].item() // at.PAGE,
            "ram_base": at.RAM_BASE,
            "processes": {str(p.number): p.about() for p in self.processes},
            "threads": {str(p.thread_number): {"process": p.number} for p in self.processes} | host.threads,
            "channels": dict(host.channels),
            "contracts": dict(host.contracts),
        }

    def snapshot(self):
        """Return the whole state, machine and books alike; :meth:`restore` goes back to it exactly."""
        self._drain()
        return self.machine.snapshot(), self._host.copy(), self._slots and self._slots.snapshot()

    def restore(self, snapshot) -> None:
        """Go back to a snapshot of this system."""
        machine, host, devices = snapshot
        self.machine.restore(machine)
        if devices is not None:
            self._slots.restore(devices)
        self._host = host.copy()
        self._place_policies()

    def frame(self):
        """Return one row a process: name, state, exit value, fault and its line, and what it still holds (a pandas DataFrame)."""
        import pandas as pd

        table = pd.DataFrame([p.row() for p in self.processes])
        return table.astype({"value": "object", "line": "Int64"}) if len(table) else table

    def __repr__(self) -> str:
        rows = ", ".join(f"{p.name} {p.state}" for p in self.processes) or "no processes"
        return f"<System {self.machine.profile.name}, {ISOLATION[self.isolation]}: {rows}>"

    # ---- inside ---------------------------------------------------------------------------------------------

    def _load(self, address: int) -> int:
        return self.machine.load_u64(address)

    def _store(self, address: int, value: int) -> None:
        self.machine.store_u64(address, value)

    @contextmanager
    def _kernel(self):
        """Call kernel functions from the host as the kernel would run: in supervisor mode, with its own page table."""
        m = self._m
        mode, satp, status = m[_s.MODE], m[_s.SATP], m[_s.SSTATUS]
        m[_s.MODE] = _s.S
        if self._setting.paged:
            csr_write(m, _SATP, _W(self._load(at.G_SATP)))
            m[_s.SSTATUS] |= _SUM
        try:
            yield
            look_for_damage(self.machine)
        finally:
            kernel_books(m)
            if self._setting.paged:
                if self._load(at.G_FENCE):
                    self._store(at.G_FENCE, 0)
                    tlb_flush(m, _W(0))
                csr_write(m, _SATP, satp)
            m[_s.MODE], m[_s.SSTATUS] = mode, status

    def _drain(self) -> None:
        """Take new events out of the ring before they are overwritten."""
        host = self._host
        events, lost = read_ring(self._m, host.read)
        host.read += lost + len(events)
        host.lost += lost
        if len(events):
            host.chunks.append(events)
            for event in events[events["kind"] == Kind.THREAD_CREATE]:
                host.threads[str(event["a"])] = {"process": int(event["b"])}
            self._note_channels(events)

    def _note_channels(self, events: np.ndarray) -> None:
        """Note the channels that processes have made, as those made with :meth:`connect` are."""
        host = self._host
        ends: dict[int, int] = {}
        for event in events[(events["kind"] == Kind.CHANNEL_CREATE) | (events["kind"] == Kind.CHANNEL_CONTRACT)]:
            number, word = int(event["a"]), int(event["b"])
            if event["kind"] == Kind.CHANNEL_CREATE:
                ends[number] = word
            elif str(number) not in host.channels and word in host.speaks:
                contract, both = host.speaks[word], ends.get(number, 0)
                host.contracts.setdefault(contract, host.described[word])
                host.channels[str(number)] = {"contract": contract, "imp": both & 0xFFFF_FFFF, "exp": both >> 32, "endpoints": []}

    def contract_of(self, endpoint: int) -> tuple[str, dict]:
        """Return the contract an endpoint's record speaks: its name, and what it says (as ``Contract.describe``)."""
        table = self._load(endpoint + at.E_TABLE)
        return self._host.speaks[table], self._host.described[table]

    def _print(self) -> None:
        """Put what was printed on the console of the process that printed it."""
        process = self._host.processes[int(self._m[_s.CURRENT_PROCESS])]
        value, size = self._load(at.G_PRINT_ADDRESS), self._load(at.G_PRINT_BYTES)
        if size >> 63:
            signed = size & 1 and value >> 63
            self._host.console[process.number] += str(value - (1 << 64) if signed else value)
        else:
            self._host.console[process.number] += bytes(self.machine.read(value, size)).decode("utf-8", "replace")

    def page_tags(self) -> np.ndarray:
        """Return the tag of each page of RAM (uint32; owner in bits 8 to 31, type in bits 0 to 3)."""
        pages = self._load(at.G_PAGES)
        return np.frombuffer(bytes(self.machine.read(at.PAGE_TAGS, 4 * pages)), dtype="<u4")
