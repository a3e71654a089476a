"""One open process as the host sees it: how it is, how it ended, what it has, and every byte of its memory."""

from __future__ import annotations

from singlab.kernel import layout as at
from singlab.kernel.damage import links
from singlab.kernel.openprogram import OpenProgram
from singlab.kernel.process import Fault, Process
from singlab.trace.record import FAULTS

_TRIED = {12: "tried to run code at", 13: "tried to read", 15: "tried to write"}


class OpenProcess(Process):
    """An open process.

    Attributes
    ----------
    number : int
    record : int
        Address of its record in the kernel zone.
    """

    def __init__(self, system, record: int, name: str | None = None):
        self._system, self.record, self._named = system, record, name
        self.installed, self.values = None, {}
        self.number = self._field(at.P_ID)
        thread = self._field(at.P_THREADS)
        #: Number of its thread, 0 if it has ended unseen and no event says.
        self.thread_number = system.machine.load_u64(thread + at.T_ID) if thread else next(
            (int(number) for number, about in system._host.threads.items() if about["process"] == self.number), 0)

    @property
    def program(self) -> OpenProgram | None:
        """The program it runs now, or ran last; None for one that did not get so far."""
        return self._system._host.programs.get(self._field(at.P_PROGRAM))

    @property
    def name(self) -> str:
        return self._named or (self.program.name if self.program else "?")

    @property
    def task(self) -> int:
        """Address of its task record, 0 once it has ended."""
        return self._field(at.P_TASK) if self.state != "stopped" else 0

    def about(self) -> dict:
        return {"name": self.name, "image": self.program.name if self.program else ""}

    @property
    def fault(self) -> Fault | None:
        code = self._field(at.P_FAULT)
        if code == 0:
            return None
        pc, line = self._field(at.P_FAULT_PC), self._field(at.P_FAULT_LINE)
        message = FAULTS.get(code, f"fault {code}")
        if (tried := _TRIED.get(self._field(at.P_FAULT_CAUSE))) and pc:
            message += f": {tried} {self._field(at.P_FAULT_ADDRESS):#x}"
        if line == 0 and pc and self.program is not None:
            line = self.program.line_of(pc)
        return Fault(code, message, line)

    @property
    def exit_value(self) -> int | None:
        """The status it ended with, or None if it did not end by itself."""
        if self.state != "stopped" or self.fault is not None or self._was_stopped():
            return None
        return self._field(at.P_EXIT)

    # ---- memory -------------------------------------------------------------------------------------------------------

    def _entries(self):
        """Yield address and page-table entry of each page it has."""
        read, load = self._system.machine.read, self._system.machine.load_u64
        task = self.task
        if not task:
            return
        table = load(task + at.K_TABLE)
        for slot in range(at.OPEN_STACK >> 21):
            if entry := load(table + 8 * slot):
                leaf = read((entry >> 10) << at.PAGE_SHIFT, at.PAGE)
                for index in range(512):
                    if word := int.from_bytes(leaf[8 * index : 8 * index + 8], "little"):
                        yield (slot << 21) + (index << at.PAGE_SHIFT), word

    def memory(self):
        """Return its address space: one row for pages in a row with the same rights and use (a pandas DataFrame).

        Columns: ``address``, ``pages``, ``rights`` (r, w, x, or c for what is copied when it is written), ``also`` (how
        many other tables and the kernel have its first page).
        """
        import pandas as pd

        rows: list[dict] = []
        load = self._system.machine.load_u64
        for address, entry in self._entries():
            rights = "".join(letter for bit, letter in ((at.PTE_R, "r"), (at.PTE_W, "w"), (at.PTE_X, "x"), (at.PTE_COPY, "c")) if entry & bit)
            if not entry & at.PTE_U:
                rights = ""
            rights += " shared" if entry & at.PTE_SHARED else ""
            place = load(at.G_FRAMES) + 4 * (((entry >> 10) << at.PAGE_SHIFT) - at.RAM_BASE >> at.PAGE_SHIFT)
            also = int.from_bytes(self._system.machine.read(place, 4), "little") - 1
            last = rows[-1] if rows else None
            if last and last["end"] == address and last["rights"] == rights and last["also"] == also:
                last["end"] += at.PAGE
            else:
                rows.append({"address": address, "end": address + at.PAGE, "rights": rights, "also": also})
        return pd.DataFrame([{"address": f"{r['address']:#x}", "pages": (r["end"] - r["address"]) // at.PAGE, "rights": r["rights"],
                              "also": r["also"]} for r in rows], columns=["address", "pages", "rights", "also"])  # fmt: skip

    def _place(self, address: int) -> int:
        """Return the physical address of one of its addresses; raises ValueError if it has nothing there."""
        page = address & ~(at.PAGE - 1)
        for known, entry in self._entries():
            if known == page:
                return ((entry >> 10) << at.PAGE_SHIFT) + address - page
        raise ValueError(f"{self.name} has no memory at {address:#x}")

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of its memory; raises ValueError where it has none."""
        found = b""
        while len(found) < size:
            here = address + len(found)
            found += self._system.machine.read(self._place(here), min(size - len(found), at.PAGE - here % at.PAGE))
        return found

    def word(self, address: int) -> int:
        """Return eight bytes of its memory as a number."""
        return int.from_bytes(self.read(address, 8), "little")

    def holdings(self) -> dict[str, int]:
        """Return how many threads, open files and pages it has now; pages that others have too are counted."""
        task, load = self.task, self._system.machine.load_u64
        files = sum(load(task + at.K_FILES + 8 * i) != 0 for i in range(at.MOST_FILES)) if task else 0
        return {"threads": len(self.threads()), "files": files, "pages": sum(1 for _ in self._entries())}

    def files(self) -> dict[int, str]:
        """Return what each of its file numbers means."""
        task, load = self.task, self._system.machine.load_u64
        found = {}
        for number in range(at.MOST_FILES if task else 0):
            if file := load(task + at.K_FILES + 8 * number):
                reads, writes = load(file + at.F_IN), load(file + at.F_OUT)
                ways = " and ".join(way for way, pipe in (("reads", reads), ("writes", writes)) if pipe)
                found[number] = f"{'pipe' if load((reads or writes) + at.Q_PAGE) else 'socket'}, {ways}" if ways else "console"
        return found

    def _doing(self, thread: int) -> str:
        load = self._system.machine.load_u64
        if load(thread + at.T_STATE) != at.BLOCKED:
            return "is ready to run"
        awaited = load(thread + at.T_AWAITS)
        if load(awaited) == at.MAGIC_TASK:
            return "waits for a child to end"
        reading = thread in links(self._system.machine, load(awaited + at.Q_READ_FIRST), at.T_NEXT)
        return "waits for bytes to read" if reading else "waits for room to write"
