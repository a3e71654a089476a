"""What stands on a thread's stack: one list from the innermost frame out, with segments and markers between the frames.

The walk begins with what the kernel has of the thread. A thread that called the kernel left a transition record there: stack
pointer, preserved registers and the address it goes on at; so its frames on both sides of the call are told apart, and the
walk goes on behind it. An interrupted thread left all its registers, and may stand before its frame is there
or after it has gone. From then on each frame says where the next begins. Where a function returns to the code that
unlinks, the segment's record says what it was linked for, and the walk goes on in the segment before.

Kernel functions have no frames here: they run as a whole, and what the kernel keeps of a call is its record. While the hart is in the
entry code, what a thread's registers were lies partly in them and partly in the record; which, follows from where in that code it is
(:meth:`Walk.entering`). A test holds the walk against the calls and returns of a run, at every instruction.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from singlab.kernel import layout as at
from singlab.kernel.abi import ABI
from singlab.kernel.damage import links
from singlab.kernel.manifest import CodeFrame
from singlab.kernel.startup import KernelError
from singlab.machine import state as _s
from singlab.machine.machine import parse_size
from singlab.machine.view import render as r

if TYPE_CHECKING:
    from singlab.kernel.image import SealedImage
    from singlab.kernel.process import Process

_RA, _SP, _TP, _T2 = 1, 2, 4, 7
#: scause of a call from user mode.
_CALL_FROM_USER = 8
#: addi sp, sp, -16 and 16; sd ra, 0(sp); jal ra; addi t6, a7, 0.
_PUSH, _POP, _KEEPS, _CALL, _KEEP_A7 = 0xFE01_0113, 0x0201_0113, (0x0011_3023, 0x00A1_3423, 0x00B1_3823), 0x0EF, 0x0008_8F93
_KEPT = 32  #: bytes that the rare way of a write barrier keeps, in three registers
#: Bytes of the code that unlinks, and the instruction that returns.
UNLINK_BYTES = 20
_RETURN = 0x0000_8067
#: No walk goes further; equal frames in a row from which on they are shown as one, and rows that are shown.
MOST_FRAMES = 1_000_000
_ALIKE, _SHOWN = 4, 200
_WORD = (1 << 64) - 1
KERNEL, MARKER, FRAME, SEGMENT, END = "kernel", "marker", "frame", "segment", "end"
_COLOURS = {KERNEL: r.PALETTE[3], MARKER: r.PALETTE[2], FRAME: r.PALETTE[1], SEGMENT: r.PALETTE[4], END: r.PALETTE[8]}


def stack_pages(segment: str | int, limit: str | int) -> dict[str, int]:
    """Return the sizes of a segment and of a whole stack in pages; raises KernelError for sizes that cannot be."""
    segment, limit = (-(-parse_size(size) // at.PAGE) for size in (segment, limit))
    if not 1 <= segment <= 256:
        raise KernelError(f"a segment of {segment * at.PAGE:,} bytes is not possible; stack_segment is from 4K to 1M")
    if not 1 <= limit <= 1 << 20:
        raise KernelError(f"a stack of {limit * at.PAGE:,} bytes is not possible; stack_limit is from 4K to 4096M")
    return {"segment": segment, "stack_limit": limit}


@dataclass(frozen=True)
class Segment:
    """A segment of a thread's stack: where it lies, and, where it was linked, what for."""

    record: int
    base: int
    bytes: int
    link: int
    back: int

    @property
    def top(self) -> int:
        return self.base + self.bytes


@dataclass(frozen=True)
class Entry:
    """One row of a stack.

    Attributes
    ----------
    kind : str
        "kernel" (what the thread is doing there), "marker" (a transition record, an interrupt's registers, or a link between segments), "segment",
        "frame" or "end" (the code that began the thread).
    what : str
        Name of the function, or a sentence.
    line : int
        Source line it stands at, 0 for none.
    address : int
        Lowest address of the frame or segment, or of the record.
    bytes : int
    segment : int
        Which segment it lies in, the first one being 1; 0 for what the kernel keeps.
    point : int
        Where it goes on, as a byte offset in the image; -1 where it does not.
    """

    kind: str
    what: str
    line: int = 0
    address: int = 0
    bytes: int = 0
    segment: int = 0
    point: int = -1


def segments_of(process: Process, thread: int) -> list[Segment]:
    """Return the segments of a thread's stack, the newest first."""
    load, found = process._system.machine.load_u64, []
    for record in links(process._system.machine, load(thread + at.T_SEGMENTS), at.SEG_NEXT):
        base, pages, link, back = (load(record + place) for place in (at.SEG_BASE, at.SEG_PAGES, at.SEG_SP, at.SEG_RETURN))
        found.append(Segment(record, base, pages * at.PAGE, link, back))
    return found


def _distance(word: int) -> int:
    """Return how far a jal goes."""
    far = (word >> 31) << 20 | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1
    return far - (far >> 20 << 21)


class Functions:
    """The functions of an image by place; what an image says of them may be nonsense, and nobody but views goes by it."""

    def __init__(self, image: SealedImage):
        self.code, self.known = image.code, []
        for about in sorted(image.manifest.functions, key=lambda about: about.start):
            before = self.known[-1].end if self.known else 0
            if before <= about.start <= about.body <= about.overflow <= about.end and 0 <= about.frame <= at.PAGE and -1 <= about.kept <= max(0, about.frame - 8):
                self.known.append(about)
        self.stubs: list[tuple[int, int]] = []
        self.look_for_barriers(np.frombuffer(image.code[: image.manifest.text_bytes & ~3], dtype="<u4"))
        self.known.sort(key=lambda about: about.start)
        self.starts = [about.start for about in self.known]

    def look_for_barriers(self, words: np.ndarray) -> None:
        """Find the rare ways of write barriers, which keep three registers below their function's frame, and what they all call."""
        for place in np.flatnonzero(words == _PUSH):
            part = words[place : place + 12]
            pops = np.flatnonzero(part == _POP)
            if len(pops) and tuple(part[1:4]) == _KEEPS:
                last = int(place + pops[0])
                self.stubs.append((4 * int(place), 4 * last))
                call = last - 4
                target = call + (_distance(int(words[call])) >> 2)
                if words[call] & 0xFFF == _CALL and not any(about.start == 4 * target for about in self.known):
                    self.note_of_barrier(words, target)

    def note_of_barrier(self, words: np.ndarray, first: int) -> None:
        """Know the function that tells the collector of an object, which no table has."""
        returns = np.flatnonzero(words[first:] == _RETURN) if 0 <= first < len(words) else ()
        if len(returns):
            end = 4 * int(first + returns[0] + 1)
            frame = -(int(words[first]) >> 20 | -(int(words[first]) >> 31 << 12))
            self.known.append(CodeFrame("write barrier", 4 * first, 4 * first, end, end, frame, 0, 0))

    def links(self, about: CodeFrame, offset: int) -> bool:
        """Whether a byte is of the code in which a function asks for a segment."""
        return about.overflow <= offset < about.end and not any(first <= offset <= last + 4 for first, last in self.stubs)

    def second_from(self, about: CodeFrame) -> int:
        """Return the byte of that code behind which t2 has the return address."""
        return about.overflow + 4 * (int.from_bytes(self.code[about.overflow : about.overflow + 4], "little") == _KEEP_A7)

    def kept_below(self, offset: int) -> tuple[int, bool]:
        """Return how many bytes a write barrier keeps below the frame of the function that stands at a byte, and whether the return address is there."""
        for first, last in self.stubs:
            if first < offset <= last:
                return _KEPT, offset > first + 4
        return 0, False

    def at(self, offset: int) -> CodeFrame | None:
        """Return the function whose code has a byte."""
        index = bisect_right(self.starts, offset) - 1
        return self.known[index] if index >= 0 and offset < self.known[index].end else None


class Walk:
    """The walk along one thread's stack."""

    def __init__(self, process: Process, thread: int):
        self.process, self.thread, self.machine = process, thread, process._system.machine
        self.image = process.installed.image
        self.functions = Functions(self.image)
        self.code, self.code_bytes = process._field(at.P_CODE), process._field(at.P_CODE_BYTES)
        self.segments = segments_of(process, thread)
        self.entries: list[Entry] = []
        self.second = 0  #: where the return address is while a segment is being linked
        self.place = 0  #: which segment the walk is in, the newest being 0

    def kept(self, register: int) -> int:
        """Return a register as the kernel has it."""
        return self.machine.load_u64(self.thread + at.T_CONTEXT + 8 * register)

    def run(self) -> list[Entry]:
        """Return what stands on the stack, the innermost first."""
        load, m = self.machine.load_u64, self.machine.m
        state = load(self.thread + at.T_STATE)
        if not self.segments:
            return [Entry(END, "has ended: its stack went back")]
        entering = self.entering()
        if 0 <= int(m[_s.PC]) - self.code < self.code_bytes and load(at.G_CURRENT) == self.thread:
            pc, stack, ra, exact = int(m[_s.PC]), int(m[_s.X + _SP]), int(m[_s.X + _RA]), True
            self.second = int(m[_s.X + _T2])
        elif entering is not None:
            self.entries.append(Entry(KERNEL, "is entering or leaving the kernel"))
            pc, stack, ra, exact = entering
        else:
            pc, stack, ra, exact = self.recorded()
            if state == at.UNBORN:
                return [*self.enter(), Entry(END, "has not begun", self.image.line_of(pc - self.code), stack, 0, len(self.segments), pc - self.code)]
            if exact:
                self.entries.append(Entry(KERNEL, self.process._doing(self.thread)))
                self.entries.append(Entry(MARKER, "interrupt: all 31 registers, where it came", 0, self.thread + at.T_CONTEXT, 32 * 8))
            else:
                self.entries.append(Entry(KERNEL, f"{self.asked(pc)}: {self.process._doing(self.thread)}"))
                self.entries.append(Entry(MARKER, "transition record: sp, s0 to s11, return address", 0, self.thread + at.T_CONTEXT, 14 * 8))
        if exact and at.TEXT_BASE <= pc < at.CORE_TEXT:  # interrupted at the return from the kernel, in ring 0
            pc, exact = ra, False
        self.enter()
        self.go(pc - self.code, stack, ra, exact)
        return self.entries

    def recorded(self) -> tuple[int, int, int, bool]:
        """Return where the thread goes on, its stack pointer, the return address, and whether it stands at that instruction, as its record says."""
        self.second = self.kept(_T2)
        return self.machine.load_u64(self.thread + at.T_PC), self.kept(_SP), self.kept(_RA), bool(self.machine.load_u64(self.thread + at.T_FULL))

    def entering(self) -> tuple[int, int, int, bool] | None:
        """Return the same of the thread for which the hart is in the entry code, from the registers or the record; None for any other thread.

        ``tp`` has that thread's record but for the first instruction of a trap and the last ones before user mode, where ``sscratch`` has it.
        Entry code keeps the stack pointer and the return address of who came in until it switches to another thread.
        """
        m, labels, pc = self.machine.m, self.process._system._labels, int(self.machine.m[_s.PC])
        if not at.TEXT_BASE <= pc < at.CORE_TEXT or "link_stack" not in labels or labels["idle"] <= pc < labels.get("other_domain", labels["link_stack"]):
            return None
        if self.thread != int(m[_s.X + _TP] if self.is_thread(int(m[_s.X + _TP])) else m[_s.SSCRATCH]):
            return None
        came, stack, ra, self.second = (int(m[word]) for word in (_s.SEPC, _s.X + _SP, _s.X + _RA, _s.X + _T2))
        if int.from_bytes(self.machine.read(pc, 4), "little") == _RETURN:  # in ring 0 an interrupt comes before it, and has changed the record
            return ra, stack, 0, False
        inside = lambda first, last: labels[first] <= pc < labels[last]  # noqa: E731
        if inside("trap", "pick"):
            called = int(m[_s.SCAUSE]) == _CALL_FROM_USER
            return came + 4 * called, stack, ra, not called
        if inside("ecall", "switch_out"):
            return came + 4, stack, ra, False
        if labels["link_stack"] <= pc < labels.get("to_user", labels["service"]):  # from the third instruction on the record has what is said here
            stored = pc - labels["unlink_stack" if pc >= labels["unlink_stack"] else "link_stack"] >= 8
            return (self.machine.load_u64(self.thread + at.T_PC), self.kept(_SP), 0, False) if stored else (ra, stack, 0, False)
        if inside("pick", "ecall") or inside("switch_in", "link_stack") or labels["service"] <= pc < at.TEXT_BASE + 0x800:
            return self.recorded()
        return ra, stack, 0, False

    def is_thread(self, record: int) -> bool:
        """Whether an address is that of a thread's record."""
        return record % 8 == 0 and at.RAM_BASE <= record < at.RAM_BASE + int(self.machine.m[_s.RAM_BYTES]) - 8 and self.machine.load_u64(record) == at.MAGIC_THREAD

    def asked(self, pc: int) -> str:
        """Return the name of the ABI function that a thread is in."""
        found = [relocation.value for relocation in self.image.manifest.relocations if relocation.offset == pc - self.code - 8]
        return ABI[found[0]].name if found else "the kernel"

    def enter(self) -> list[Entry]:
        """Note that the walk comes into a segment."""
        segment, number = self.segments[self.place], len(self.segments) - self.place
        own = ", the kernel's own" if segment.base == self.machine.load_u64(at.G_RESERVATION) else ""
        self.entries.append(Entry(SEGMENT, f"segment {number} of {len(self.segments)}{own}", 0, segment.base, segment.bytes, number))
        return self.entries

    def go(self, offset: int, stack: int, ra: int, exact: bool) -> None:
        """Go from frame to frame; ``exact``: the thread stands at this instruction, else it returns here from a call."""
        unlink = self.image.manifest.unlink
        for _ in range(MOST_FRAMES):
            if unlink and unlink <= offset < unlink + UNLINK_BYTES:
                if self.place + 1 >= len(self.segments):
                    break
                segment = self.segments[self.place]
                self.entries.append(Entry(MARKER, f"link: the stack goes on in segment {len(self.segments) - self.place - 1}", 0, segment.record, 0))
                self.place += 1
                self.enter()
                offset, stack, exact = segment.back - self.code, segment.link, False
                continue
            about = self.functions.at(offset if exact else offset - 4)
            number = len(self.segments) - self.place
            if about is None:
                self.entries.append(Entry(END, "where the thread begins", self.image.line_of(max(0, offset - 4)), stack, 0, number, offset))
                return
            segment = self.segments[self.place]
            pushed, saved = self.pushed(about, offset, exact)
            if self.functions.links(about, offset):
                ra = self.second if not exact or offset > self.functions.second_from(about) else ra
            below, return_below = self.functions.kept_below(offset)
            if below and (return_below or not exact):
                ra = self.machine.load_u64(stack)
            stack += below
            if not segment.base <= stack <= segment.top - (about.frame if pushed else 0):
                break
            line = self.image.line_of(offset if exact else offset - 4)
            self.entries.append(Entry(FRAME, about.name or "room for an object", line, stack, about.frame if pushed else 0, number, offset))
            linked = stack == segment.top and not pushed and segment.link  # between the link and the function's first instruction
            if saved:
                ra = self.machine.load_u64(stack + about.kept)
            offset = unlink if linked else (ra - self.code) & _WORD
            stack += about.frame if pushed else 0
            exact = False
        self.entries.append(Entry(END, "from here on nothing can be said", 0, stack))

    def pushed(self, about: CodeFrame, offset: int, exact: bool) -> tuple[bool, bool]:
        """Return whether a function has its frame where it stands, and whether its return address is in it."""
        if self.functions.links(about, offset):
            return False, False
        if not exact:
            return True, about.kept >= 0
        if about.frame == 0 or offset <= about.body:
            return False, False
        if int.from_bytes(self.machine.read(self.code + offset, 4), "little") == _RETURN:
            return False, False
        return True, about.kept >= 0 and offset > about.body + 4


@dataclass(repr=False)
class StackView(r.Shown):
    """The stack of a thread.

    Attributes
    ----------
    title : str
    rows : list of Entry
        The innermost first.
    segments : list of Segment
        The newest first.
    """

    title: str
    rows: list[Entry]
    segments: list[Segment]

    @property
    def functions(self) -> list[str]:
        """Names of the functions that have a frame, the innermost first."""
        return [entry.what for entry in self.rows if entry.kind == FRAME]

    @property
    def bytes(self) -> int:
        """What its segments take."""
        return sum(segment.bytes for segment in self.segments)

    def blocks(self) -> list[r.Block]:
        used = sum(entry.bytes for entry in self.rows if entry.kind == FRAME)
        note = f"{r.counted(len(self.segments), 'segment')} of {self.bytes:,} bytes together, {used:,} of them frames"
        rows, left = [], 0
        for entry, count in self.alike():
            if len(rows) >= _SHOWN:
                left += 1
                continue
            marked = "strong" if entry.kind == FRAME else "soft" if entry.kind in (SEGMENT, END) else ""
            what = entry.what + (f", {count:,} times" if count > 1 else "")
            place = f"{entry.address:#x}" if entry.address else ""
            size = f"{entry.bytes * count:,}" if entry.bytes else ""
            rows.append(r.Row((r.Cell(entry.kind, "soft", colour=_COLOURS[entry.kind]), r.Cell(what, f"mono {marked}" if entry.kind == FRAME else marked),
                               r.Cell(str(entry.line) if entry.line else "", "num"), r.Cell(place, "mono", entry.address or None), r.Cell(size, "num"))))  # fmt: skip
        blocks: list[r.Block] = [r.Heading(self.title, note), r.Table(("", "innermost first", "line", "at", "bytes"), rows)]
        if left:
            blocks.append(r.Remark(f"and {left:,} rows more; .frame() has them all", "soft"))
        return blocks

    def alike(self) -> list[tuple[Entry, int]]:
        """Return the rows, more than a few equal frames in a row as one, with how many it stands for; its address is the lowest."""
        found: list[tuple[Entry, int]] = []
        first = 0
        while first < len(self.rows):
            last, entry = first, self.rows[first]
            while last < len(self.rows) and entry.kind == FRAME and (self.rows[last].kind, self.rows[last].point) == (FRAME, entry.point):
                last += 1
            if last - first >= _ALIKE:
                found.append((entry, last - first))
                first = last
            else:
                found.append((entry, 1))
                first += 1
        return found


def stack_of(process: Process, number: int | None = None) -> StackView:
    """Return the stack of a process's thread, its main one where no number is given.

    Raises
    ------
    KernelError
        If the process has no such thread.
    """
    load = process._system.machine.load_u64
    known = {load(thread + at.T_ID): thread for thread in process.threads()}
    if not known:
        raise KernelError(f"{process.name} is {process.state}: it has no thread, so no stack")
    number = next(iter(known)) if number is None else number
    if number not in known:
        raise KernelError(f"{process.name} has no thread {number}; it has {', '.join(map(str, known))}")
    name = f"Stack of {process.name}" + (f", thread {number}" if len(known) > 1 else "")
    return StackView(name, Walk(process, known[number]).run(), segments_of(process, known[number]))
