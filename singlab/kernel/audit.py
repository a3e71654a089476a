"""Audit: whether the kernel's tables agree with each other, read from outside word by word.

Nothing here is run by the kernel, and nothing of the kernel's is believed: each fact is looked for where it is
written down a second time. Pages: each has one owner, who lives, and whose lists account for it. Blocks: each is on
the list of exactly one owner, and named by at most one message, which waits at that owner. Messages: no queue has more than
its slots. Endpoints: peers name each other. Records: each of a page is in use or on its free list. Threads: each
stands in one queue, or where it waits it is known. Domains: they map what their members own, and nothing else.

Leaves out what the contents of blocks and of processes' own memory mean, and pages of contract tables and images.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from singlab.kernel import heaplayout as hp
from singlab.kernel import kernelobjects as ko
from singlab.kernel import layout as at
from singlab.kernel.auditheaps import HeapsAudit
from singlab.machine import state as _s

if TYPE_CHECKING:
    from singlab.kernel.system import System

#: Records of the kernel zone that share pages of their own kind: free list and size.
KINDS = {
    "process": (at.G_FREE_PROCESSES, at.PROCESS_BYTES),
    "thread": (at.G_FREE_THREADS, at.THREAD_BYTES),
    "endpoint": (at.G_FREE_ENDPOINTS, at.ENDPOINT_BYTES),
    "domain": (at.G_FREE_DOMAINS, at.DOMAIN_BYTES),
    "object": (at.G_FREE_OBJECTS, at.OBJECT_BYTES),
    "segment": (at.G_FREE_SEGMENTS, at.SEGMENT_RECORD_BYTES),
    "heap": (at.G_FREE_HEAPS, hp.HEAP_BYTES),
    "extent": (at.G_FREE_EXTENTS, hp.EXTENT_BYTES),
}
_LIVE = (at.RUNNING, at.SUSPENDING, at.SUSPENDING_RECURSIVE, at.SUSPENDED, at.STOPPING)
_AT_REST = (at.SUSPENDING, at.SUSPENDING_RECURSIVE, at.SUSPENDED)
_TYPE = (1 << at.OWNER_SHIFT) - 1


class AuditError(AssertionError):
    """The kernel's tables do not agree; the message has all findings, a line each."""


def check(system: System) -> None:
    """Raise :class:`AuditError` unless the kernel's tables agree with each other."""
    found = audit(system)
    if found:
        raise AuditError("\n".join(found))


def audit(system: System) -> list[str]:
    """Return a sentence for each disagreement between the kernel's tables; none if all is well.

    It can be asked between any two instructions: kernel functions run as a whole, so their tables are never half done.
    """
    return _Audit(system).run()


class _Audit(HeapsAudit):
    """One look at a system."""

    def __init__(self, system: System):
        self.m = system.machine.m
        self.tags = [int(tag) for tag in system.page_tags()]
        self.found: list[str] = []
        self.live: dict[str, set[int]] = {kind: set() for kind in KINDS}
        self.processes: dict[int, int] = {}
        self.threads: dict[int, int] = {}
        self.blocks: dict[int, int] = {}
        self.staged: set[int] = set()
        self.window = self.load(at.G_WINDOW)
        self.first, self.records, self.user, self.pages = (
            self.load(place) for place in (at.G_KERNEL_FIRST, at.G_RECORD_FIRST, at.G_USER_FIRST, at.G_PAGES)
        )

    def load(self, address: int) -> int:
        """Return a word of memory, 0 outside it."""
        index = (address - at.RAM_BASE) // 8 + _s.RAM_OFFSET // 8
        return int(self.m[index]) if address >= at.RAM_BASE and index < len(self.m) else 0

    def need(self, condition: object, finding: str) -> bool:
        if not condition:
            self.found.append(finding)
        return bool(condition)

    def list(self, head: int, link: int, what: str, back: int | None = None, higher: int = 0) -> Iterator[int]:
        """Go along a list; ``back`` is the offset of the link the other way, if it has one, ``higher`` how much higher its addresses are."""
        record, previous, seen = max(0, self.load(head) - higher), 0, set()
        while record:
            if not self.need(record not in seen and at.RAM_BASE <= record < at.RAM_BASE + self.pages * at.PAGE, f"{what} leads to {record:#x}, or in a circle"):
                return
            seen.add(record)
            if back is not None:
                self.need(self.load(record + back) == previous, f"{what}: {record:#x} does not lead back to what stands before it")
            yield record
            previous, record = record, max(0, self.load(record + link) - higher)

    def run(self) -> list[str]:
        self.look_at_processes()
        self.look_at_threads()
        self.look_at_endpoints()
        self.look_at_blocks()
        self.look_at_messages()
        self.look_at_handles()
        self.look_at_objects()
        self.look_at_heaps()
        self.look_at_records()
        self.look_at_pages()
        self.look_at_domains()
        return self.found

    # ---- processes and threads ----------------------------------------------------------------------------------

    def look_at_processes(self) -> None:
        for record in self.list(at.G_PROCESSES, at.P_NEXT, "the list of processes", at.P_PREVIOUS):
            self.need(self.load(record + at.P_MAGIC) == at.MAGIC_PROCESS, f"{record:#x} on the list of processes is none")
            number = self.load(record + at.P_ID)
            self.need(number not in self.processes, f"two processes have number {number}")
            self.processes[number] = record
            self.live["process"].add(record)
        living = 0
        for number, record in self.processes.items():
            state = self.load(record + at.P_STATE)
            living += state in _LIVE
            for child in self.list(record + at.P_CHILDREN, at.P_NEXT_CHILD, f"the children of process {number}", at.P_PREVIOUS_CHILD):
                self.need(child in self.live["process"] and self.load(child + at.P_PARENT) == record, f"{child:#x} is no child of process {number}")
            parent = self.load(record + at.P_PARENT)
            self.need(not parent or parent in self.live["process"], f"the parent of process {number} is gone")
            if state == at.STOPPED:
                for field, what in ((at.P_THREADS, "threads"), (at.P_ENDPOINTS, "endpoints"), (at.P_BLOCKS, "blocks"), (at.P_HANDLES, "handles"),
                                    (at.P_CHILDREN, "children"), (at.P_DOMAIN, "a domain"), (at.P_JOINER, "somebody waiting")):  # fmt: skip
                    self.need(not self.load(record + field), f"process {number} has ended and still has {what}")
            held = self.load(record + at.P_HELD) or self.load(record + at.P_HELD_ABOVE)
            if state in _LIVE and state != at.STOPPING:
                self.need(bool(held) == (state in _AT_REST), f"process {number} is in state {state} and {'is' if held else 'not'} held")
        self.need(living == self.load(at.G_LIVE), f"{living} processes live, the kernel counts {self.load(at.G_LIVE)}")

    def look_at_threads(self) -> None:
        queued: dict[int, str] = {}
        for name, head in (("unblocked", at.G_UNBLOCKED_HEAD), ("preempted", at.G_PREEMPTED_HEAD), ("service", at.G_SERVICE_HEAD)):
            last = 0
            for thread in self.list(head, at.T_NEXT, f"the {name} queue"):
                self.need(thread not in queued, f"thread {thread:#x} stands in two queues")
                queued[thread], last = name, thread
            self.need(self.load(head + 8) == last, f"the {name} queue's tail is not its last thread")
        current = self.load(at.G_CURRENT)
        known = {at.SERVICE_THREAD, at.OPERATOR_THREAD}
        for number, record in self.processes.items():
            state = self.load(record + at.P_STATE)
            for thread in self.list(record + at.P_THREADS, at.T_SIBLING, f"the threads of process {number}"):
                known.add(thread)
                self.threads[thread] = record
                self.live["thread"].add(thread)
                name = f"thread {self.load(thread + at.T_ID)} of process {number}"
                self.need(self.load(thread + at.T_MAGIC) == at.MAGIC_THREAD and self.load(thread + at.T_PROCESS) == record, f"{name} is not its own")
                self.look_at_thread(thread, name, state, queued.get(thread), current)
                self.look_at_stack(thread, name, number)
        self.need(self.load(at.G_RESERVED) in {0, *self.live["segment"]}, "the kernel's own segment is lent to nobody, and gone")
        for thread, queue in queued.items():
            self.need(thread in known, f"the {queue} queue has {thread:#x}, which is no thread of anybody's")
        self.need(not current or current in known, "the running thread is nobody's")
        serving = self.load(at.SERVICE_THREAD + at.T_STATE)
        where = {at.READY: "unblocked or preempted", at.EXECUTING: "running", at.BLOCKED: "asleep"}.get(serving, "lost")
        right = {"asleep": at.SERVICE_THREAD not in queued and current != at.SERVICE_THREAD and not self.load(at.G_SERVICE_HEAD),
                 "running": current == at.SERVICE_THREAD, "unblocked or preempted": at.SERVICE_THREAD in queued}.get(where, False)  # fmt: skip
        self.need(right, f"the service thread is said to be {where}, and is not")

    def look_at_stack(self, thread: int, name: str, number: int) -> None:
        """The segments of a thread: their pages are its process's, each returns into the one before, and none is in two stacks."""
        load, pages = self.load, 0
        for segment in self.list(thread + at.T_SEGMENTS, at.SEG_NEXT, f"the stack of {name}"):
            self.need(load(segment + at.SEG_MAGIC) == at.MAGIC_SEGMENT and segment not in self.live["segment"], f"segment {segment:#x} of {name} is none, or in two stacks")
            self.live["segment"].add(segment)
            base, count = load(segment + at.SEG_BASE), load(segment + at.SEG_PAGES)
            first, before = (base - at.RAM_BASE) // at.PAGE, load(segment + at.SEG_NEXT)
            right = number << at.OWNER_SHIFT | at.TAG_STACK
            self.need(base % at.PAGE == 0 and all(tag == right for tag in self.tags[first : first + count]), f"a segment of {name} lies at {base:#x}, which is no stack of its process")
            if before:
                low, high = load(before + at.SEG_BASE), load(before + at.SEG_BASE) + load(before + at.SEG_PAGES) * at.PAGE
                self.need(low <= load(segment + at.SEG_SP) <= high, f"a segment of {name} leads back to {load(segment + at.SEG_SP):#x}, which is not in the one before")
            self.need((base == load(at.G_RESERVATION)) == (segment == load(at.G_RESERVED)), f"a segment of {name} is the kernel's own, which is not lent to it")
            pages += count
        state = load(thread + at.T_STATE)
        self.need(load(thread + at.T_STACK_PAGES) == pages and (pages == 0) == (state == at.ENDED), f"the stack of {name} has {pages} pages in segments, it counts {load(thread + at.T_STACK_PAGES)}")

    def look_at_thread(self, thread: int, name: str, process_state: int, queue: str | None, current: int) -> None:
        state, load = self.load(thread + at.T_STATE), self.load
        self.need((state == at.EXECUTING) == (thread == current), f"{name} runs and is not the running one, or the other way round")
        self.need((state == at.READY) == (queue in ("unblocked", "preempted")), f"{name} is ready and in no ready queue, or the other way round")
        self.need((state == at.UNBORN) == (process_state == at.UNSTARTED), f"{name} has begun and its process not, or the other way round")
        if state in (at.HELD, at.BLOCKED_HELD):
            self.need(process_state in (*_AT_REST, at.STOPPING), f"{name} is held and its process is not")
        elif process_state in _AT_REST:
            self.need(state == at.ENDED, f"{name} is not held and its process is")
        if state not in (at.BLOCKED, at.BLOCKED_HELD):
            self.need(not load(thread + at.T_REQUEST), f"{name} has asked for something and does not wait for it")
            return
        request, target, record = load(thread + at.T_REQUEST), load(thread + at.T_TARGET), self.threads[thread]
        if request == at.REQUEST_JOIN:
            self.need(load(target + at.P_JOINER) == thread and load(target + at.P_PARENT) == record, f"{name} waits for an end that nobody tells it of")
        elif request == at.REQUEST_BARRIER:
            self.need(load(target + at.P_BARRIER) == thread and load(target + at.P_PARENT) == record, f"{name} waits for a suspension that nobody tells it of")
        elif request:
            self.need(queue == "service", f"{name} has asked for something and is not in the service queue")
        elif load(thread + at.T_SELECTS) in (at.WAIT_ANSWER, at.WAIT_OTHERS):
            where = load(thread + at.T_WAITS)
            self.need(load(where + at.E_WAITER) == thread and load(where + at.E_PROCESS) == load(at.G_NAME_SERVICE), f"{name} waits for no provider")
        elif load(thread + at.T_SELECTS) >= at.WAIT_OBJECTS:
            lists = {at.WAIT_OBJECTS: (record + at.P_WAIT_FIRST, at.T_NEXT), at.WAIT_EITHER: (record + at.P_WAIT_FIRST, at.T_NEXT),
                     at.WAIT_TIME: (at.G_SLEEPERS, at.T_LATER), at.WAIT_TURN: (at.G_CONNECTING, at.T_NEXT)}
            head, link = lists[load(thread + at.T_SELECTS)]
            self.need(thread in self.list(head, link, "a list of threads that wait"), f"{name} waits, and nobody knows of it")
            for where in map(load, range(thread + at.T_SELECTED, thread + at.T_SELECTED + 8 * at.WAIT_MOST, 8)) if load(thread + at.T_SELECTS) == at.WAIT_EITHER else ():
                if load(where) in (at.MAGIC_ENDPOINT, at.MAGIC_SET):
                    self.need(load(where + at.E_WAITER) == thread and load(where + at.E_PROCESS) == record, f"{name} waits at {where:#x}, which does not know of it")
        elif (other := load(thread + at.T_JOINS)) != 0:
            self.need(load(other + at.T_JOINER) == thread and load(other + at.T_PROCESS) == record, f"{name} waits for a thread that does not know of it")
        else:
            where = load(thread + at.T_WAITS)
            self.need(load(where + at.E_WAITER) == thread and load(where + at.E_PROCESS) == record, f"{name} waits at {where:#x}, which does not know of it")

    # ---- channels and blocks ------------------------------------------------------------------------------------

    def look_at_endpoints(self) -> None:
        load = self.load
        self.open: dict[int, int] = {}
        for number, record in self.processes.items():
            for end in self.list(record + at.P_ENDPOINTS, at.E_NEXT, f"the endpoints of process {number}", at.E_PREVIOUS):
                self.live["endpoint"].add(end)
                magic = load(end + at.E_MAGIC)
                self.need(magic in (at.MAGIC_ENDPOINT, at.MAGIC_SET), f"{end:#x} among the endpoints of process {number} is none")
                self.need(end not in self.open and load(end + at.E_PROCESS) == record and load(end + at.E_OWNER) == number, f"endpoint {end:#x} has two owners")
                waiter = load(end + at.E_WAITER)
                self.need(not waiter or self.threads.get(waiter) == record and load(waiter + at.T_STATE) in (at.BLOCKED, at.BLOCKED_HELD),
                          f"endpoint {end:#x} of process {number} is waited at by {waiter:#x}, which does not")  # fmt: skip
                if magic == at.MAGIC_SET:
                    members = list(self.list(end + at.S_MEMBERS, at.E_MEMBER_NEXT, f"the members of set {end:#x}", at.E_MEMBER_PREVIOUS))
                    self.need(len(members) == load(end + at.E_COUNT), f"set {end:#x} does not count its members")
                    self.need(all(load(member + at.E_SET) == end and load(member + at.E_PROCESS) == record for member in members), f"set {end:#x} has a stranger in it")
                else:
                    self.open[end] = number
        for end, number in self.open.items():
            peer = load(end + at.E_PEER)
            about = f"channel {load(end + at.E_CHANNEL)}, the end of process {number}"
            self.need(not load(end + at.E_CLOSED), f"{about} is closed and still its owner's")
            self.need(load(peer + at.E_MAGIC) == at.MAGIC_ENDPOINT and load(peer + at.E_PEER) == end, f"{about}: the other end does not name it")
            self.need(all(load(peer + f) == load(end + f) for f in (at.E_CHANNEL, at.E_TABLE)) and load(peer + at.E_SIDE) ^ load(end + at.E_SIDE) == 1,
                      f"{about}: the other end is of another channel")  # fmt: skip
            if load(peer + at.E_CLOSED):
                self.need(not load(peer + at.E_PROCESS) and not load(peer + at.E_COUNT), f"{about}: the other end is closed and has an owner, or messages")
                self.live["endpoint"].add(peer)
            else:
                service = self.load(at.G_NAME_SERVICE)  # the kernel's ends of channels to providers are its
                self.need(peer in self.open or (service and load(peer + at.E_PROCESS) == service), f"{about}: the other end is open and on nobody's list")
            slots, count, head = (load(end + f) for f in (at.E_SLOTS, at.E_COUNT, at.E_HEAD))
            self.need(count <= slots <= at.MAX_SLOTS and (head < slots or not slots), f"{about} has {count} messages in {slots} slots, the first in slot {head}")

    def messages(self, end: int) -> Iterator[tuple[int, int]]:
        """Give each message that waits at an endpoint: its slot, and what its contract says of it."""
        table, slots, head = (self.load(end + f) for f in (at.E_TABLE, at.E_SLOTS, at.E_HEAD))
        for index in range(min(self.load(end + at.E_COUNT), at.MAX_SLOTS)):
            slot = end + at.E_QUEUE + (head + index) % max(slots, 1) * at.SLOT_BYTES
            message = self.load(slot)
            if self.need(message < self.load(table) >> 16 & 0xFFFF, f"at {end:#x} waits message {message}, which its contract does not have"):
                yield slot, self.load(table + 8 + message * 8)

    def look_at_blocks(self) -> None:
        load = self.load
        for number, record in self.processes.items():
            for block in self.list(record + at.P_BLOCKS, at.B_NEXT, f"the blocks of process {number}", at.B_PREVIOUS):
                self.need(block not in self.blocks, f"block {block:#x} has two owners")
                self.need(load(block + at.B_MAGIC) == at.MAGIC_BLOCK and load(block + at.B_OWNER) == number, f"block {block:#x} on the list of process {number} is not its own")
                self.blocks[block] = number
                if staged := load(block + at.B_STAGED):
                    self.need(staged not in self.staged, f"two blocks wait for one content, {staged:#x}")
                    self.staged.add(staged)

    def look_at_messages(self) -> None:
        """What waits in messages belongs to who waits for them, and is named once."""
        named: Counter[int] = Counter()
        travelling: Counter[int] = Counter()
        staged = set()
        for end, number in self.open.items():
            for slot, about in self.messages(end):
                for index in range(about & 0xFF):
                    word = self.load(slot + 8 * (index + 1))
                    if about >> 8 >> index & 1 and word in self.blocks and self.blocks[word] == number:
                        named[word] += 1
                        if self.load(word + at.B_STAGED):
                            staged.add(word)
                    if about >> 24 >> index & 1 and self.open.get(word) == number and self.load(word + at.E_TRAVELS):
                        travelling[word] += 1
        for word, times in (named + travelling).items():
            self.need(times == 1, f"{word:#x} is in {times} messages")
        for end in self.open:
            self.need(bool(self.load(end + at.E_TRAVELS)) == (end in travelling), f"endpoint {end:#x} travels in no message, or does not in one")
        for block in self.blocks:
            self.need(not self.load(block + at.B_STAGED) or block in staged, f"block {block:#x} waits for its content and is in no message")

    # ---- handles, records, pages ----------------------------------------------------------------------------------

    def look_at_handles(self) -> None:
        self.handle_pages: dict[int, int] = {}
        for number, record in self.processes.items():
            named: Counter[int] = Counter()
            for page in self.list(record + at.P_HANDLES, at.HP_NEXT, f"the handle pages of process {number}"):
                self.handle_pages[page] = number
                free = set(self.list(page + at.HP_FREE, at.H_NEXT, f"the free handles of process {number}"))
                for slot in range(page + at.HANDLE_BYTES, page + at.PAGE, at.HANDLE_BYTES):
                    used = self.load(slot + at.H_KIND) != 0
                    self.need(used != (slot in free), f"handle {slot:#x} of process {number} is in use and free, or neither")
                    if used and self.load(slot + at.H_KIND) == at.HANDLE_PROCESS:
                        named[self.load(slot + at.H_OBJECT)] += 1
            children = list(self.list(record + at.P_CHILDREN, at.P_NEXT_CHILD, f"the children of process {number}"))
            self.need(named == Counter(children), f"the handles of process {number} do not name its children, each once")

    def look_at_objects(self) -> None:
        """What processes wait for is their own; names have the kernel's ends of channels; a region counts the blocks that share it."""
        load = self.load
        self.registers: set[int] = set()
        self.dma: Counter[int] = Counter()
        for number, record in self.processes.items():
            for found in self.list(record + at.P_OBJECTS, at.O_NEXT, f"the objects of process {number}"):
                self.live["object"].add(found)
                self.need(load(found + at.O_PROCESS) == record, f"object {found:#x} of process {number} is not its own")
                if load(found + at.O_MAGIC) in (at.MAGIC_IO_MEMORY, at.MAGIC_DMA):
                    self.registers.add(load(found + at.O_VALUE))
                if load(found + at.O_MAGIC) == at.MAGIC_DMA:
                    self.dma[number] += -(-load(load(found + at.O_VALUE) + at.B_SIZE) // at.PAGE)
            for thread in self.list(record + at.P_WAIT_FIRST, at.T_NEXT, f"the waiting threads of process {number}"):
                self.need(self.threads.get(thread) == record and load(thread + at.T_SELECTS) in (at.WAIT_OBJECTS, at.WAIT_EITHER), f"{thread:#x} waits for no object of process {number}")
        times = [load(thread + at.T_WAKE) for thread in self.list(at.G_SLEEPERS, at.T_LATER, "the sleepers")]
        self.need(times == sorted(times) and load(at.G_WAKE) == (times[0] if times else at.NEVER), "the sleepers do not stand in the order in which they wake")
        if service := load(at.G_NAME_SERVICE):
            self.live["process"].add(service)
            ends = list(self.list(service + at.P_ENDPOINTS, at.E_NEXT, "the name service's endpoints", at.E_PREVIOUS))
            # a provider that has closed its end leaves that record until its name goes
            self.live["endpoint"].update(ends, (peer for end in ends if load((peer := load(end + at.E_PEER)) + at.E_CLOSED)))
        for name in self.list(at.G_NAMES, ko.N_NEXT, "the list of names"):
            self.need(load(name + ko.N_IMP) in self.live["endpoint"], f"name {name:#x} has no endpoint")
        self.regions: Counter[int] = Counter(span - at.SHARED_SPAN for block in self.blocks if (span := load(block + at.B_SPAN)) >> 63)
        for region, count in self.regions.items():
            self.need(load(region + at.R_COUNT) == count, f"region {region:#x} counts {load(region + at.R_COUNT)} blocks, and {count} have parts of it")
            first, span = load(region + at.B_DATA), load(region + at.B_SPAN)
            end = first + (span if span <= at.LARGEST_BUCKET else (span >> 32) * at.PAGE)
            for block in self.blocks:
                if load(block + at.B_SPAN) == at.SHARED_SPAN | region:
                    data = load(block + at.B_DATA)
                    self.need(first <= data and data + load(block + at.B_SIZE) <= end, f"block {block:#x} reaches out of its region")

    def whole_blocks(self) -> set[int]:
        """Return the records that have data: blocks that have theirs alone, what waits for its receiver, and regions."""
        return {block for block in (*self.blocks, *self.staged) if not self.load(block + at.B_SPAN) >> 63} | set(self.regions)

    def look_at_records(self) -> None:
        """Each record of a kernel page is in use or on its free list, once; so is each record of a block."""
        system = {page for page in range(self.first, self.records) if self.tags[page] in (at.TAG_KERNEL_SYSTEM, at.TAG_KERNEL_OBJECTS)}
        for domain in self.all_domains():
            self.live["domain"].add(domain)
        for kind, (head, size) in KINDS.items():
            free = list(self.list(head, 0, f"the free {kind} records"))
            records = Counter(free) + Counter(self.live[kind])
            for record, times in records.items():
                self.need(times == 1, f"{kind} record {record:#x} is in use and free, or free twice")
            pages = {(record - at.RAM_BASE) // at.PAGE for record in records}
            for page in pages:
                base = at.RAM_BASE + page * at.PAGE
                lost = [place for place in range(base, base + at.PAGE - size + 1, size) if place not in records]
                self.need(not lost, f"{len(lost)} {kind} records of page {page} are neither in use nor free")
                self.need(page in system, f"page {page} of {kind} records is not the kernel's, or of two kinds")
            system -= pages
        self.need(not system, f"the kernel's pages {sorted(system)[:5]} hold no records of a known kind")
        free_blocks = set(self.list(at.G_FREE_RECORDS, 0, "the free records of blocks", higher=self.window))
        in_buckets: set[int] = set()
        for heap in (at.G_BUCKETS, *(domain + at.D_BUCKETS for domain in self.live["domain"])):
            for bucket in range(at.BUCKETS):
                for block in self.list(heap + 8 * bucket, at.B_NEXT, f"bucket {bucket} of the heap at {heap:#x}"):
                    self.need(block not in in_buckets and self.load(block + at.B_MAGIC) == 0, f"the free block {block:#x} is in two buckets, or in use")
                    in_buckets.add(block)
        self.small = in_buckets | {block for block in self.whole_blocks() if self.load(block + at.B_SPAN) <= at.LARGEST_BUCKET}
        used = [free_blocks, in_buckets, self.staged, set(self.blocks), set(self.regions), self.registers]
        self.need(sum(map(len, used)) == len(set().union(*used)), "a record of a block is in use and free")
        whole = sum(self.tags[page] == at.TAG_KERNEL_SHARED for page in range(self.records, self.user)) * (at.PAGE // at.BLOCK_BYTES)
        self.need(len(set().union(*used)) == whole, f"of {whole} records of blocks {len(set().union(*used))} are in use or free")

    def look_at_pages(self) -> None:
        """Each page of the user zone is owned by who lives, and accounted for."""
        mine: dict[int, Counter[int]] = defaultdict(Counter)
        kernels = set()
        for page in range(self.user, self.pages):
            if (tag := self.tags[page]) != 0:
                if tag == at.TAG_KERNEL_SHARED:
                    kernels.add(page)
                    continue
                mine[tag >> at.OWNER_SHIFT][tag & _TYPE] += 1
        kept = int(self.load(at.G_RESERVATION) != 0 and not self.load(at.G_RESERVED))
        self.need(mine.pop(at.KERNEL_OWNER, Counter()) == Counter({at.TAG_STACK: 1} if kept else {}), "the segment that the kernel keeps back is not its own")
        for number, kinds in mine.items():
            record = self.processes.get(number)
            if self.need(record is not None and self.load(record + at.P_STATE) != at.STOPPED, f"{kinds.total()} pages belong to process {number}, which is gone"):
                stacks = sum(self.load(thread + at.T_STACK_PAGES) for thread, owner in self.threads.items() if owner == record)
                self.need(kinds[at.TAG_STACK] == stacks, f"process {number} has {kinds[at.TAG_STACK]} pages of stacks, its threads {stacks}")
                code = -(-self.load(record + at.P_CODE_BYTES) // at.PAGE)
                self.need(kinds[at.TAG_CODE] == code, f"process {number} has {kinds[at.TAG_CODE]} pages of code, not {code}")
                self.need(kinds[at.TAG_DMA] == self.dma[number], f"process {number} has {kinds[at.TAG_DMA]} pages for devices, not {self.dma[number]}")
                self.need(set(kinds) <= {at.TAG_STACK, at.TAG_CODE, at.TAG_HEAP, at.TAG_DMA}, f"process {number} has pages of kinds that no process has")
        large: Counter[int] = Counter()
        for block in self.whole_blocks():
            if (span := self.load(block + at.B_SPAN)) > at.LARGEST_BUCKET:
                page = (self.load(block + at.B_DATA) - at.RAM_BASE) // at.PAGE
                large.update(range(page, page + (span >> 32)))
        self.need(all(times == 1 for times in large.values()), "two large blocks have a page in common")
        data = sorted((self.load(block + at.B_DATA), self.load(block + at.B_SPAN)) for block in self.small)
        self.need(all(one + span <= other for (one, span), (other, _) in zip(data, data[1:])), "the data of two small blocks overlap")
        small = {(place - at.RAM_BASE) // at.PAGE for place, _ in data}
        self.need(not small & set(large), "a small block's data lie in a large one's")
        self.need(kernels == small | set(large), f"of the exchange heap's pages {sorted(kernels ^ (small | set(large)))[:5]} are not accounted for")
        for page in range(self.first, self.records):
            tag = self.tags[page]
            if tag & _TYPE == at.TAG_HANDLES and tag:
                self.need(self.handle_pages.get(at.RAM_BASE + page * at.PAGE) == tag >> at.OWNER_SHIFT, f"page {page} of handles is nobody's")

    # ---- domains ----------------------------------------------------------------------------------------------------

    def all_domains(self) -> set[int]:
        return {domain for record in self.processes.values() if (domain := self.load(record + at.P_DOMAIN))}

    def look_at_domains(self) -> None:
        """A domain maps its members' pages and the data of its heap, and nobody else's."""
        seen: dict[int, int] = {}
        owners = {number: self.load(record + at.P_DOMAIN) for number, record in self.processes.items()}
        large: dict[int, int] = {}
        for block, number in self.blocks.items():
            if (span := self.load(block + at.B_SPAN)) >> 63:
                block = span - at.SHARED_SPAN
                span = self.load(block + at.B_SPAN)
            if span > at.LARGEST_BUCKET:
                page = (self.load(block + at.B_DATA) - at.RAM_BASE) // at.PAGE
                large.update(dict.fromkeys(range(page, page + (span >> 32)), owners[number]))
        for domain in self.all_domains():
            name = f"domain {self.load(domain + at.D_ID)}"
            members = sum(joined == domain for joined in owners.values())
            self.need(self.load(domain + at.D_MEMBERS) == members, f"{name} counts {self.load(domain + at.D_MEMBERS)} members and has {members}")
            middle = self.load(domain + at.D_MIDDLE)
            for region in range(self.user >> at.REGION_SHIFT, (self.pages - 1 >> at.REGION_SHIFT) + 1):
                leaf = self.load(middle + 8 * region) >> 10 << at.PAGE_SHIFT
                for page in range(max(self.user, region << at.REGION_SHIFT), min(self.pages, region + 1 << at.REGION_SHIFT)) if leaf else ():
                    if entry := self.load(leaf + (page & at.REGION_MASK) * 8):
                        self.need(entry & at.PTE_U == self.load(domain + at.D_USER), f"{name} maps page {page} for the other ring")
                        self.need(page not in seen, f"page {page} is mapped in two domains")
                        seen[page] = domain
                        tag = self.tags[page]
                        right = large.get(page, domain) == domain if tag == at.TAG_KERNEL_SHARED else owners.get(tag >> at.OWNER_SHIFT) == domain
                        self.need(right, f"{name} maps page {page}, which is not its members'")
        if not self.window:
            return
        for page in range(self.user, self.pages):
            if (owner := self.tags[page] >> at.OWNER_SHIFT) in owners:
                self.need(seen.get(page, 0) == owners[owner], f"page {page} of process {owner} is not mapped where it runs")
