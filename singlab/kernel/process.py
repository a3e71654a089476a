"""One SIP as the host sees it: its handle, its state, how it ended, what it still holds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from singlab.kernel import layout as at
from singlab.kernel.damage import links, over_tables
from singlab.kernel.image import Parameter
from singlab.kernel.isolation import BY_KIND
from singlab.kernel.loader import Installed
from singlab.trace.record import FAULTS

if TYPE_CHECKING:
    from singlab.kernel.system import System

#: Processes a report has a sentence for.
_TOLD = 20
_STATES = {
    at.UNSTARTED: "unstarted", at.RUNNING: "running", at.STOPPED: "stopped", at.SUSPENDING: "suspending",
    at.SUSPENDING_RECURSIVE: "suspending with all below it", at.SUSPENDED: "suspended", at.STOPPING: "stopping",
}  # fmt: skip


#: What a thread waits for that has asked for something.
_ASKED = {
    at.REQUEST_CREATE: "waits for the service thread to make a process", at.REQUEST_STOP: "waits for the service thread to stop a process",
    at.REQUEST_JOIN: "waits for the end of process {}", at.REQUEST_BARRIER: "waits until process {} is suspended",
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Why the kernel ended a process: a code (see ``trace.record.FAULTS``), its text, the source line (0 = unknown)."""

    code: int
    message: str
    line: int

    def __str__(self) -> str:
        return self.message + (f" (line {self.line})" if self.line else "")


@dataclass(frozen=True)
class End:
    """How a process ended: by itself with a value, by a fault, stopped from outside, or not yet."""

    state: str
    value: int | None
    fault: Fault | None


@dataclass(frozen=True)
class StartupEndpoint:
    """A startup endpoint of a process that has not started; :meth:`System.connect` takes two."""

    process: Process
    parameter: Parameter

    def __str__(self) -> str:
        return f'{self.process.name}["{self.parameter.name}"]'


class Process:
    """A software-isolated process.

    Attributes
    ----------
    number : int
        Its process number; pages and blocks it owns carry it.
    record : int
        Address of its record in the kernel zone.
    name : str
    installed : Installed
    values : dict of str to int or None
        Startup arguments; None where an endpoint is not connected yet.
    """

    def __init__(self, system: System, record: int, installed: Installed, name: str, values: dict[str, int | None]):
        self._system = system
        self.record = record
        self.installed = installed
        self.name = name
        self.values = values
        self.number = self._field(at.P_ID)
        domain = self._field(at.P_DOMAIN)
        kind = system.machine.load_u64(domain + at.D_KIND) if domain else at.KIND_PHYSICAL
        self._setting = BY_KIND[kind] if domain or system._setting.mixed and not self._field(at.P_SATP) else system.isolation
        #: Number of its main thread.
        self.thread_number = system.machine.load_u64(self._field(at.P_THREADS) + at.T_ID)

    def _field(self, offset: int) -> int:
        kept = self._system._host.retired.get(self.number) if hasattr(self, "number") else None
        if kept is not None:
            return int.from_bytes(kept[offset : offset + 8], "little")
        return self._system.machine.load_u64(self.record + offset)

    def __getitem__(self, name: str) -> StartupEndpoint:
        for parameter in self.installed.image.manifest.parameters:
            if parameter.name == name and parameter.contract is not None:
                return StartupEndpoint(self, parameter)
        known = [p.name for p in self.installed.image.manifest.parameters if p.contract is not None]
        raise KeyError(f"{self.name} has no startup endpoint {name!r}; it has: {', '.join(known) or 'none'}")

    def start(self) -> None:
        """Make this process ready to run."""
        self._system.start(self)

    def stop(self) -> None:
        """Stop this process, whatever it is doing."""
        self._system.stop(self)

    def suspend(self, children: bool = False) -> None:
        """Let no thread of this process go on, nor, with ``children``, of any below it."""
        self._system.suspend(self, children)

    def resume(self) -> None:
        """Let this process go on after :meth:`suspend`."""
        self._system.resume(self)

    @property
    def isolation(self) -> str:
        """The setting it runs in, or ran in: its system's, or in a mixed one its own."""
        return self._setting

    @property
    def parent(self) -> Process | None:
        """The process that made it, None if the operator did."""
        number = self._system._host.parents.get(self.number)
        return self._system._host.processes[number] if number else None

    @property
    def children(self) -> list[Process]:
        """The processes it has made, oldest first."""
        return [p for p in self._system.processes if p.parent is self]

    @property
    @over_tables
    def held(self) -> bool:
        """Whether it has been suspended, by itself or with one above it, and not been resumed."""
        return self.state != "stopped" and bool(self._field(at.P_HELD) or self._field(at.P_HELD_ABOVE))

    @property
    @over_tables
    def state(self) -> str:
        """"unstarted", "running", "suspending", "suspending with all below it", "suspended", "stopping" or "stopped"."""
        return _STATES[self._field(at.P_STATE)]

    @property
    @over_tables
    def fault(self) -> Fault | None:
        """What the kernel ended it for, or None."""
        code = self._field(at.P_FAULT)
        if code == 0:
            return None
        line = self._field(at.P_FAULT_LINE)
        if line == 0 and (pc := self._field(at.P_FAULT_PC)):
            line = self.installed.image.line_of(pc - self._field(at.P_CODE))
        name = self.installed.image.manifest.exceptions.get(str(code))
        return Fault(code, f"uncaught {name}" if name else FAULTS.get(code, f"fault {code}"), line)

    @property
    @over_tables
    def exit_value(self) -> int | None:
        """What it returned, or None if it did not end by itself; signed where its result type is."""
        if self.state != "stopped" or self.fault is not None or self._was_stopped():
            return None
        value = self._field(at.P_EXIT)
        signed = self.installed.image.manifest.result.startswith("i")
        return value - (1 << 64) if signed and value >> 63 else value

    def _was_stopped(self) -> bool:
        return bool(self._field(at.P_STOPPED))

    @property
    @over_tables
    def end(self) -> End:
        """How it ended."""
        if self.state != "stopped":
            return End(self.state, None, None)
        if self.fault is not None:
            return End("fault", None, self.fault)
        if self._was_stopped():
            return End("stopped", None, None)
        return End("exit", self.exit_value, None)

    @property
    def console(self) -> str:
        """Everything it has printed."""
        return self._system._host.console.get(self.number, "")

    @over_tables
    def holdings(self) -> dict[str, int]:
        """Return how many threads, endpoints, blocks, block bytes and pages it holds now."""
        load = self._system.machine.load_u64
        found = {"threads": 0, "endpoints": 0, "blocks": 0, "block_bytes": 0, "pages": 0}
        for name, head, link in (
            ("threads", at.P_THREADS, at.T_SIBLING),
            ("endpoints", at.P_ENDPOINTS, at.E_NEXT),
            ("blocks", at.P_BLOCKS, at.B_NEXT),
        ):
            for record in links(self._system.machine, self._field(head), link):
                found[name] += 1
                if name == "blocks":
                    found["block_bytes"] += load(record + at.B_SIZE)
        found["pages"] = int((self._system.page_tags() >> at.OWNER_SHIFT == self.number).sum())
        return found

    @over_tables
    def threads(self) -> list[int]:
        """Return the addresses of the records of its threads, the main one first."""
        found = list(links(self._system.machine, self._field(at.P_THREADS), at.T_SIBLING))
        return found[:1] + found[:0:-1]

    @over_tables
    def gc_states(self):
        """Return what each of its threads is to the collectors: a list of :class:`~singlab.kernel.gcstates.ThreadState`, the main thread first."""
        from singlab.kernel.gcstates import gc_states

        return gc_states(self)

    @over_tables
    def stack(self, thread: int | None = None):
        """Return what stands on the stack of its main thread, or of the thread of a number: frames, segments and markers.

        Returns
        -------
        StackView
            Shows itself; ``.rows`` and ``.frame()`` are the data, the innermost frame first.
        """
        from singlab.kernel.stackview import stack_of

        return stack_of(self, thread)

    @over_tables
    def waits_for(self) -> str:
        """Return in words what its thread is doing, or each of its threads if there are several."""
        threads = self.threads()
        if not threads:
            return "has no thread"
        if len(threads) == 1:
            return self._doing(threads[0])
        number = self._system.machine.load_u64
        return "; ".join(f"{f'thread {number(thread + at.T_ID)}' if index else 'main thread'} {self._doing(thread)}"
                         for index, thread in enumerate(threads))  # fmt: skip

    def _doing(self, thread: int) -> str:
        load = self._system.machine.load_u64
        if load(thread + at.T_STATE) == at.ENDED:
            return "has ended and was not joined"
        state, request = load(thread + at.T_STATE), load(thread + at.T_REQUEST)
        if state == at.HELD or (state == at.UNBORN and self.held):
            return "is held: its process is suspended"
        if state not in (at.BLOCKED, at.BLOCKED_HELD):
            return "is ready to run"
        if request:
            return _ASKED[request].format(load(load(thread + at.T_TARGET) + at.P_ID) if request in (at.REQUEST_JOIN, at.REQUEST_BARRIER) else 0)
        if other := load(thread + at.T_JOINS):
            return f"waits for the end of thread {load(other + at.T_ID)}"
        if load(thread + at.T_SELECTS) == at.WAIT_TIME:
            return f"sleeps until cycle {load(thread + at.T_WAKE):,}"
        if load(thread + at.T_SELECTS) in (at.WAIT_OBJECTS, at.WAIT_EITHER):
            waited = [load(thread + at.T_SELECTED + 8 * i) for i in range(at.WAIT_MOST)]
            until = load(thread + at.T_WAKE)
            return f"waits for {' or '.join(self._object(o) for o in waited if o)}" + (f" until cycle {until:,}" if until != at.NEVER else "")
        if load(thread + at.T_SELECTS):
            among = [load(thread + at.T_SELECTED + 8 * i) for i in range(at.SELECT_MOST)]
            return f"waits for {' or '.join(self._waits_at(record) for record in among if record)}"
        return f"waits for {self._waits_at(load(thread + at.T_WAITS))}"

    def _object(self, record: int) -> str:
        """Return in words what an object is that a thread waits for."""
        load = self._system.machine.load_u64
        magic, state = load(record + at.O_MAGIC), load(record + at.O_STATE)
        if magic in (at.MAGIC_ENDPOINT, at.MAGIC_SET):
            return self._waits_at(record)
        if magic == at.MAGIC_INTERRUPT:
            return f"interrupt {load(record + at.O_VALUE)}"
        if magic == at.MAGIC_MUTEX:
            return f"a mutex that thread {load(state + at.T_ID)} has" if state else "a mutex"
        return "an event"

    def _waits_at(self, record: int) -> str:
        """Return in words what can come to an endpoint or a set."""
        load = self._system.machine.load_u64
        if load(record + at.E_MAGIC) == at.MAGIC_SET:
            return f"a message on one of the {load(record + at.E_COUNT)} endpoints of a set"
        contract, about = self._system.contract_of(record)
        side = "Exp" if load(record + at.E_SIDE) else "Imp"
        return f"a message on its {contract}.{side} endpoint, which is in state {about['states'][load(record + at.E_STATE)]}"

    def about(self) -> dict:
        """Return what a trace says about it."""
        exceptions = self.installed.image.manifest.exceptions
        return {"name": self.name, "image": self.installed.name} | ({"exceptions": exceptions} if exceptions else {})

    @over_tables
    def row(self) -> dict:
        """Return this process as a row for a table."""
        end = self.end
        return {
            "process": self.number,
            "name": self.name,
            "state": end.state,
            "value": end.value,
            "fault": end.fault.message if end.fault else "",
            "line": end.fault.line or None if end.fault else None,
            **self.holdings(),
        }

    def __repr__(self) -> str:
        end = self.end
        detail = f" with {end.value}" if end.state == "exit" else f": {end.fault}" if end.fault else ""
        return f"<Process {self.number} {self.name}: {end.state}{detail}>"


def blocked_report(system: System) -> str:
    """Return a sentence for each process that has not ended, up to a screenful: what it waits for."""
    running = (p for p in system.processes if p.state not in ("unstarted", "stopped"))
    lines = [f"{p.name} {p.waits_for()}" for p in islice(running, _TOLD)]
    if (more := system.machine.load_u64(at.G_LIVE) - len(lines)) > 0:
        lines.append(f"and {more:,} more")
    return "\n".join(lines)
