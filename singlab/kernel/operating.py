"""The operator's side of processes: stopping, suspending and stepping from outside, and the processes that the kernel made.

A base class of ``System``. What the operator asks goes the way of what a parent asks: into the queue of the
service thread. It comes in as an interrupt, so it waits until the kernel is left; an ABI call that has begun is
let to its end, or to where its thread waits.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.damage import TablesDamaged, links, look_for_damage, over_tables
from singlab.kernel.gate import STOP_EVENTS, system_run
from singlab.kernel.isolation import Isolation
from singlab.kernel.native import STOP_ENDED, STOP_PRINT, native
from singlab.kernel.process import Process
from singlab.kernel.startup import KernelError
from singlab.machine import state as _s
from singlab.machine.csr import csr_write
from singlab.machine.hart import STOP_DEVICE, STOP_HERE, STOP_LIMIT, STOP_LOST, STOP_WFI
from singlab.machine.privileged import trap

if TYPE_CHECKING:
    from singlab.kernel.system import System

_W = np.uint64
_NEVER = _W(0xFFFF_FFFF_FFFF_FFFF)
_SATP = _W(0x180)
_SOFTWARE_INTERRUPT = _W(1 << 63 | 1)
#: Instructions in which the kernel is left, at most: its entry code has no loops but over requests. Code that is nobody's
#: business to run there, as unverified code in ring 0 can, is interrupted where it is.
_MOST_STEPS = 20_000
#: Cycles in which an instruction retires: where none does, the hart goes from trap to trap.
_MOST_CYCLES = 20_000_000


def write_service(machine, labels: dict[str, int], setting: Isolation) -> None:
    """Write the kernel's own process, its service thread and the record of the operator's requests, as boot does."""
    satp, status = machine.load_u64(at.G_SATP), 1 << 8 | (1 << 18 if setting.user_pages else 0)
    words = {
        at.KERNEL_PROCESS + at.P_MAGIC: at.MAGIC_PROCESS,
        at.KERNEL_PROCESS + at.P_ID: at.KERNEL_OWNER,
        at.KERNEL_PROCESS + at.P_STATE: at.RUNNING,
        at.KERNEL_PROCESS + at.P_SATP: satp,
        at.KERNEL_PROCESS + at.P_THREADS: at.SERVICE_THREAD,
        at.SERVICE_THREAD + at.T_MAGIC: at.MAGIC_THREAD,
        at.SERVICE_THREAD + at.T_ID: at.SERVICE_NUMBER,
        at.SERVICE_THREAD + at.T_PROCESS: at.KERNEL_PROCESS,
        at.SERVICE_THREAD + at.T_STATE: at.BLOCKED,
        at.SERVICE_THREAD + at.T_FULL: 1,
        at.SERVICE_THREAD + at.T_PC: labels["service"],
        at.SERVICE_THREAD + at.T_STATUS: status,
        at.SERVICE_THREAD + at.T_CONTEXT + 32: 0 if setting.ring3 else at.SERVICE_THREAD,
        at.OPERATOR_THREAD + at.T_MAGIC: at.MAGIC_THREAD,
        at.OPERATOR_THREAD + at.T_PROCESS: at.KERNEL_PROCESS,
    }
    for place, word in words.items():
        machine.store_u64(place, word)


class Operating:
    """What the operator does with processes."""

    def stop(self: System, process: Process) -> None:
        """Stop a process and all its children, whatever they are doing; everything they had comes back and peers see ChannelClosed."""
        if process.state != "stopped":
            self._operate(at.REQUEST_STOP, process)
            self._host.unstarted.pop(process.number, None)

    def suspend(self: System, process: Process, children: bool = False) -> None:
        """Let no thread of a process go on: one in its own code stops at once, one inside an ABI call at the call's end.

        Parameters
        ----------
        process : Process
        children : bool
            All processes below it too.
        """
        if self._operate(at.REQUEST_SUSPEND_ALL if children else at.REQUEST_SUSPEND, process):
            raise KernelError(f"{process.name} is {process.state}; only a process that runs, and that nobody has suspended, can be suspended")

    def resume(self: System, process: Process) -> None:
        """Let a suspended process go on, and what was suspended with it."""
        if self._operate(at.REQUEST_RESUME, process):
            raise KernelError(f"{process.name} is {process.state}; only a process that was suspended itself can be resumed")

    @over_tables
    def step(self: System, instructions: int = 1) -> int:
        """Run so many instructions, or until nothing is left to run; returns how many ran (a kernel function counts as its own).

        What was not started is started first.
        """
        for process in list(self._host.unstarted.values()):
            self.start(process)
        before = int(self._m[_s.INSTRET])
        while (ran := int(self._m[_s.INSTRET]) - before) < instructions and not self.done:
            if self._load(at.G_CURRENT) == 0 and self._ready():
                self._dispatch()
            if not self._precisely(before + instructions):
                raise TablesDamaged("the hart goes from trap to trap, and no instruction retires")
            self._drain()
        return ran

    def in_kernel(self: System) -> bool:
        """Whether the hart is inside the kernel's entry code, and not idle there."""
        pc = int(self._m[_s.PC])
        if not at.TEXT_BASE <= pc < at.CORE_TEXT:
            return False
        return not self._labels["idle"] <= pc < self._labels["service"] or self._load(at.G_CURRENT) != 0

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _precisely(self: System, position: int) -> bool:
        """Run until so many instructions have retired in all, or the host has something to do; does that. Returns whether anything went on."""
        look_for_damage(self.machine)
        m, before = self._m, int(self._m[_s.INSTRET])
        m[_s.PRECISE], m[_s.STOP_INSTRET] = 1, position
        m[_s.STOP_CYCLE], m[_s.STOP_EVENT] = m[_s.CYCLES] + _W(_MOST_CYCLES), m[_s.EVENT_COUNT] + _W(_s.RING_EVENTS // 2)
        try:
            reason = system_run(m, self.machine.uops)
        finally:
            m[_s.PRECISE], m[_s.STOP_INSTRET] = 0, _NEVER
        if reason == STOP_WFI:
            self.machine._sleep(int(_NEVER))
        self._attend(reason, (STOP_LIMIT, STOP_EVENTS, STOP_WFI, STOP_DEVICE, STOP_ENDED, STOP_HERE))
        self._serve_devices()
        return reason != STOP_LIMIT or int(m[_s.INSTRET]) != before

    def _attend(self: System, reason: int, expected: tuple[int, ...]) -> None:
        """Do what the machine has stopped for."""
        look_for_damage(self.machine)
        if reason == STOP_LOST:
            raise TablesDamaged(f"the hart's handler of traps, at {int(self._m[_s.PC]):#x}, is none")
        if reason == STOP_PRINT:
            self._print()
        elif reason not in expected:
            raise RuntimeError(f"the machine stopped for an unknown reason ({reason})")
        self._adopt()

    def _leave_kernel(self: System) -> None:
        """Let the entry code come to where it would take an interrupt."""
        for _ in range(_MOST_STEPS):
            if not self.in_kernel():
                return
            if not self._precisely(int(self._m[_s.INSTRET]) + 1):
                return

    @over_tables
    def _operate(self: System, request: int, process: Process) -> int:
        """Put a request about a process into the service queue and let the operator's interrupt do it; returns its status."""
        self._leave_kernel()
        with self._kernel():
            native.operator_ask(self._m, _W(request), _W(process.record), _W(process.number))
        if self._load(at.G_CURRENT):
            trap(self._m, _SOFTWARE_INTERRUPT, _W(0), self._m[_s.PC])
            self._leave_kernel()
        else:
            with self._kernel():
                native.operator_turn(self._m)
            if self._setting.paged:  # who ran last may be gone, and its page table with it
                csr_write(self._m, _SATP, _W(self._load(at.G_SATP)))
        self._adopt()
        self._drain()
        return self._load(at.OPERATOR_THREAD + at.T_A0)

    def _adopt(self: System) -> None:
        """Know the processes that the kernel has made, and keep the records of those it has let go of."""
        host, load = self._host, self._load
        if (forgotten := load(at.G_FORGOTTEN)) != host.forgotten:
            host.forgotten = forgotten
            for number in [n for n, record in host.children.items() if load(record) != at.MAGIC_PROCESS or load(record + at.P_ID) != n]:
                record = host.children.pop(number)
                host.retired[number] = struct.pack("<Q", at.MAGIC_PROCESS) + bytes(self.machine.read(record + 8, at.PROCESS_BYTES - 8))
        record = load(at.G_PROCESSES)
        if not record or load(record + at.P_ID) <= host.newest:
            return
        newest, found = load(record + at.P_ID), []
        for record in links(self.machine, load(at.G_PROCESSES), at.P_NEXT):
            if load(record + at.P_ID) <= host.newest:
                break
            if load(record + at.P_ID) not in host.processes:
                found.append(record)
        host.newest = newest
        for record in reversed(found):
            installed = host.images.get(load(record + at.P_IMAGE))
            if installed is None:
                continue
            number = load(record + at.P_ID)
            values = {parameter.name: None for parameter in installed.image.manifest.parameters}
            host.processes[number] = Process(self, record, installed, installed.name, values)
            host.children[number] = record
            host.parents[number] = load(load(record + at.P_PARENT) + at.P_ID)
