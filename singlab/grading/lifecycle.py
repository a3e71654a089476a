"""A small kernel's tables of processes and what they hold, lives to lead with them, and what an end must come to: exercise 04.

Lives are drawn at random: processes with children make channels, threads, blocks, send, receive, wait. After each step
anybody may be stopped. What must come of it is said on sets and lists, not on memory: in which order free lists hold their
records is nobody's business. Leaves out time slices, contracts and memory behind the blocks.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from singlab.grading.kernelcode import DATA, Words

PROCESSES, THREADS, ENDPOINTS, BLOCKS, HANDLES, PAGES = 6, 12, 12, 16, 24, 32
_RECORD = 64
_ENDPOINT_BYTES = 128
_START = {"process": DATA + 0x100, "thread": DATA + 0x300, "endpoint": DATA + 0x700, "block": DATA + 0xE00, "handle": DATA + 0x1300}
COUNT = {"process": PROCESSES, "thread": THREADS, "endpoint": ENDPOINTS, "block": BLOCKS, "handle": HANDLES}
_PROCESS_BYTES = 80
_SIZE = {"process": _PROCESS_BYTES, "endpoint": _ENDPOINT_BYTES}
WORDS = 0x2000 // 8

#: The names a student's functions may use.
LAYOUT = {
    "G_READY": DATA, "G_CURRENT": DATA + 8, "G_FREE_THREADS": DATA + 16, "G_FREE_ENDPOINTS": DATA + 24, "G_FREE_BLOCKS": DATA + 32,
    "G_FREE_HANDLES": DATA + 40, "PAGE_OWNERS": DATA + 0x1A00, "PAGES": PAGES,
    "P_NUMBER": 0, "P_STATE": 8, "P_PARENT": 16, "P_CHILDREN": 24, "P_SIBLING": 32, "P_THREADS": 40, "P_ENDPOINTS": 48, "P_BLOCKS": 56,
    "P_HANDLES": 64, "ALIVE": 1, "ENDED": 2,
    "T_STATE": 0, "T_PROCESS": 8, "T_SIBLING": 16, "T_NEXT": 24, "T_WAITS": 32, "OK": 0, "READY": 1, "RUNNING": 2, "BLOCKED": 3,
    "E_OWNER": 0, "E_PEER": 8, "E_CLOSED": 16, "E_WAITER": 24, "E_NEXT": 32, "E_HEAD": 40, "E_COUNT": 48, "E_QUEUE": 56, "E_SLOTS": 4,
    "B_OWNER": 0, "B_NEXT": 8, "B_REFS": 16,
    "H_NEXT": 0, "H_KIND": 8, "H_USES": 16,
}  # fmt: skip
L = LAYOUT
_FREE_LINK = {"thread": "T_SIBLING", "endpoint": "E_NEXT", "block": "B_NEXT", "handle": "H_NEXT"}
_LISTS = {"thread": ("P_THREADS", "T_SIBLING"), "endpoint": ("P_ENDPOINTS", "E_NEXT"), "block": ("P_BLOCKS", "B_NEXT"), "handle": ("P_HANDLES", "H_NEXT")}


def at(what: str, number: int) -> int:
    """Return the address of a record."""
    return _START[what] + number * _SIZE.get(what, _RECORD)


class Broken(Exception):
    """A list of the tables leads nowhere or in a circle; says which."""


class Tables(Words):
    """All tables."""

    size = WORDS

    def number(self, what: str, address: int, where: str) -> int:
        """Return the number of the record at an address; raises Broken."""
        number, rest = divmod(address - _START[what], _SIZE.get(what, _RECORD))
        if rest or not 0 <= number < COUNT[what]:
            raise Broken(f"{where} leads to where no {what} is")
        return number

    def walk(self, what: str, first: int, link: str, where: str) -> list[int]:
        """Return the numbers on a list; raises Broken."""
        found: list[int] = []
        while first:
            number = self.number(what, first, where)
            if number in found:
                raise Broken(f"{where} leads in a circle: {'an' if what == 'endpoint' else 'a'} {what} is on it twice")
            found.append(number)
            first = self.get(first + L[link])
        return found

    def state(self) -> State:
        """Return what the tables say; raises Broken."""
        g = self.get
        free = {what: frozenset(self.walk(what, g(L[f"G_FREE_{what.upper()}S"]), link, f"G_FREE_{what.upper()}S")) for what, link in _FREE_LINK.items()}
        state = State(tuple(self.walk("thread", g(L["G_READY"]), "T_NEXT", "the ready queue")), g(L["G_CURRENT"]), free)
        for n in range(PROCESSES):
            p = at("process", n)
            if g(p + L["P_STATE"]) != L["ALIVE"]:
                state.processes[n] = (g(p + L["P_STATE"]),)
                continue
            lists = {what: frozenset(self.walk(what, g(p + L[head]), link, f"{head} of a process")) for what, (head, link) in _LISTS.items()}
            children = frozenset(self.walk("process", g(p + L["P_CHILDREN"]), "P_SIBLING", "P_CHILDREN of a process"))
            state.processes[n] = (L["ALIVE"], g(p), g(p + L["P_PARENT"]), children, lists)
        for what, fields in (("thread", ("T_STATE", "T_PROCESS", "T_WAITS")), ("endpoint", ("E_OWNER", "E_PEER", "E_CLOSED", "E_WAITER")),
                             ("block", ("B_OWNER", "B_REFS")), ("handle", ("H_KIND", "H_USES"))):  # fmt: skip
            for n in range(COUNT[what]):
                if n not in free[what]:
                    state.records[what, n] = tuple(g(at(what, n) + L[name]) for name in fields)
                elif what == "handle":
                    state.records[what, n] = (g(at(what, n) + L["H_USES"]),)
        for n in set(range(ENDPOINTS)) - free["endpoint"]:
            e = at("endpoint", n)
            head, count = g(e + L["E_HEAD"]), g(e + L["E_COUNT"])
            if head >= L["E_SLOTS"] or count > L["E_SLOTS"]:
                raise Broken("E_HEAD or E_COUNT of an endpoint is out of range")
            state.queues[n] = tuple(g(e + L["E_QUEUE"] + 8 * ((head + i) % L["E_SLOTS"])) for i in range(count))
        state.pages = tuple(g(L["PAGE_OWNERS"] + 8 * n) for n in range(PAGES))
        return state

    def __repr__(self) -> str:
        """Return who has what, in a line each."""
        try:
            state = self.state()
        except Broken as error:
            return f"The tables are broken: {error}."
        name = {at(what, n): f"{what} {n + (what == 'process')}" for what in COUNT for n in range(COUNT[what])} | {0: "nobody"}
        lines = [f"ready: {', '.join(map(str, state.ready)) or 'none'}; running: {name.get(state.current, '?')}"]
        for n, told in state.processes.items():
            if len(told) > 1:
                has = ", ".join(f"{what}s {sorted(numbers)}" for what, numbers in told[4].items() if numbers)
                pages = state.pages.count(told[1])
                lines.append(f"process {n + 1}: {has}; {pages} pages; children {sorted(c + 1 for c in told[3])}")
        for n, queue in state.queues.items():
            owner, peer, closed, waiter = state.records["endpoint", n]
            about = "closed" if closed else f"of {name.get(owner, '?')}"
            lines.append(f"endpoint {n}: {about}, peer {name.get(peer, '?')}, queue [{', '.join(name.get(b, '?') if b else '-' for b in queue)}]"
                         + f", waiter {name.get(waiter, '?')}" * bool(waiter))  # fmt: skip
        lines += [f"block {n}: B_REFS {told[1]}, of {name.get(told[0], '?')}" for (what, n), told in state.records.items() if what == "block"]
        return "\n".join(lines)


@dataclass
class State:
    """What the tables say, without the order of what has none."""

    ready: tuple[int, ...]
    current: int
    free: dict[str, frozenset[int]]
    processes: dict[int, tuple] = field(default_factory=dict)
    records: dict[tuple[str, int], tuple] = field(default_factory=dict)
    queues: dict[int, tuple[int, ...]] = field(default_factory=dict)
    pages: tuple[int, ...] = ()


# ---- what processes do ----------------------------------------------------------------------------------------------


class Life:
    """Processes that do something: the tables, changed step by step."""

    def __init__(self, seed: int, empty: bool = False):
        self.rng = random.Random(seed)
        self.tables = t = Tables()
        for offset in range(0, WORDS * 8, 8):
            t.put(DATA + offset, 0xD15EA5ED_0000_0000 | offset)
        for name in ("G_READY", "G_CURRENT"):
            t.put(L[name], 0)
        for what, link in _FREE_LINK.items():
            following = 0
            for n in self.rng.sample(range(COUNT[what]), COUNT[what]):
                for offset in range(0, _SIZE.get(what, _RECORD), 8):
                    t.put(at(what, n) + offset, 0 if what != "handle" else 1)
                t.put(at(what, n) + L[link], following)
                following = at(what, n)
            t.put(L[f"G_FREE_{what.upper()}S"], following)
        for n in range(PROCESSES):
            for offset in range(0, _PROCESS_BYTES, 8):
                t.put(at("process", n) + offset, 0)
        for n in range(PAGES):
            t.put(L["PAGE_OWNERS"] + 8 * n, 0)
        self.born = 0
        if not empty:
            self.create(0)
            self.create(0)
            self.create(at("process", 1))

    def alive(self) -> list[int]:
        """Return the records of the processes that live."""
        return [p for p in (at("process", n) for n in range(self.born)) if self.tables.get(p + L["P_STATE"]) == L["ALIVE"]]

    def take(self, what: str, process: int) -> int:
        """Return a free record, put on its owner's list if there is an owner; 0 if none is left."""
        t, name = self.tables, f"G_FREE_{what.upper()}S"
        if record := t.get(L[name]):
            t.put(L[name], t.get(record + L[_FREE_LINK[what]]))
            self.link(what, record, process)
        return record

    def take_loose(self, what: str) -> int:
        """Return a free record that is on no list."""
        t, name = self.tables, f"G_FREE_{what.upper()}S"
        record = t.get(L[name])
        t.put(L[name], t.get(record + L[_FREE_LINK[what]]))
        t.put(record + L[_FREE_LINK[what]], 0)
        return record

    def link(self, what: str, record: int, process: int) -> None:
        head, link = _LISTS[what]
        self.tables.put(record + L[link], self.tables.get(process + L[head]))
        self.tables.put(process + L[head], record)

    def unlink(self, head: int, link: str, record: int) -> None:
        """Take a record off a list whose first word is at ``head``."""
        t, place = self.tables, head
        while t.get(place) != record:
            place = t.get(place) + L[link]
        t.put(place, t.get(record + L[link]))

    def ready(self, thread: int) -> None:
        """Put a thread at the end of the ready queue."""
        t, place = self.tables, L["G_READY"]
        while t.get(place):
            place = t.get(place) + L["T_NEXT"]
        t.put(place, thread)
        t.put(thread + L["T_NEXT"], 0)
        t.put(thread + L["T_STATE"], L["READY"])
        t.put(thread + L["T_WAITS"], 0)

    def create(self, parent: int) -> None:
        if self.born == PROCESSES:
            return
        t, p = self.tables, at("process", self.born)
        self.born += 1
        t.put(p + L["P_NUMBER"], self.born)
        t.put(p + L["P_STATE"], L["ALIVE"])
        t.put(p + L["P_PARENT"], parent)
        if parent:
            t.put(p + L["P_SIBLING"], t.get(parent + L["P_CHILDREN"]))
            t.put(parent + L["P_CHILDREN"], p)
        self.thread(p)
        for _ in range(2):
            self.page(p)

    def thread(self, p: int) -> None:
        if thread := self.take("thread", p):
            self.tables.put(thread + L["T_PROCESS"], p)
            self.ready(thread)

    def page(self, p: int) -> None:
        free = [n for n in range(PAGES) if self.tables.get(L["PAGE_OWNERS"] + 8 * n) == 0]
        if free:
            self.tables.put(L["PAGE_OWNERS"] + 8 * self.rng.choice(free), self.tables.get(p))

    def handle(self, p: int) -> None:
        if handle := self.take("handle", p):
            self.tables.put(handle + L["H_KIND"], self.rng.randrange(1, 4))

    def block(self, p: int) -> None:
        if block := self.take("block", p):
            self.tables.put(block + L["B_OWNER"], p)
            self.tables.put(block + L["B_REFS"], 1)

    def channel(self, p: int) -> None:
        t = self.tables
        if len(t.walk("endpoint", t.get(L["G_FREE_ENDPOINTS"]), "E_NEXT", "")) < 2:
            return
        owners = p, self.rng.choice(self.alive())
        ends = [self.take("endpoint", owner) for owner in owners]
        for end, peer, owner in zip(ends, ends[::-1], owners):
            for name, value in (("E_OWNER", owner), ("E_PEER", peer), ("E_CLOSED", 0), ("E_WAITER", 0), ("E_HEAD", self.rng.randrange(L["E_SLOTS"])), ("E_COUNT", 0)):
                t.put(end + L[name], value)

    def ends(self, p: int) -> list[int]:
        """Return the endpoints of a process."""
        t = self.tables
        return [at("endpoint", n) for n in t.walk("endpoint", t.get(p + L["P_ENDPOINTS"]), "E_NEXT", "")]

    def send(self, p: int) -> None:
        """Send a message, in most cases with a block: given away, or shared."""
        t = self.tables
        ends = [e for e in self.ends(p) if not t.get(t.get(e + L["E_PEER"]) + L["E_CLOSED"])]
        if not ends:
            return
        peer = t.get(self.rng.choice(ends) + L["E_PEER"])
        count = t.get(peer + L["E_COUNT"])
        if count == L["E_SLOTS"]:
            return
        block = t.get(p + L["P_BLOCKS"]) if self.rng.random() < 0.8 else 0
        if block and self.rng.random() < 0.5:
            self.unlink(p + L["P_BLOCKS"], "B_NEXT", block)
            t.put(block + L["B_OWNER"], 0)
        elif block:
            t.put(block + L["B_REFS"], t.get(block + L["B_REFS"]) + 1)
        t.put(peer + L["E_QUEUE"] + 8 * ((t.get(peer + L["E_HEAD"]) + count) % L["E_SLOTS"]), block)
        t.put(peer + L["E_COUNT"], count + 1)
        self.wake(peer)

    def wake(self, end: int) -> None:
        if waiter := self.tables.get(end + L["E_WAITER"]):
            self.tables.put(end + L["E_WAITER"], 0)
            self.ready(waiter)

    def receive(self, p: int) -> None:
        """Take a message, or wait for one."""
        t = self.tables
        if not (ends := self.ends(p)):
            return
        end = self.rng.choice(ends)
        if count := t.get(end + L["E_COUNT"]):
            head = t.get(end + L["E_HEAD"])
            block = t.get(end + L["E_QUEUE"] + 8 * head)
            t.put(end + L["E_HEAD"], (head + 1) % L["E_SLOTS"])
            t.put(end + L["E_COUNT"], count - 1)
            if block and t.get(block + L["B_OWNER"]) == 0:
                t.put(block + L["B_OWNER"], p)
                self.link("block", block, p)
            elif block:
                drop(self, block)
            return
        if not t.get(t.get(end + L["E_PEER"]) + L["E_CLOSED"]) and not t.get(end + L["E_WAITER"]):
            mine = [x for x in (at("thread", n) for n in t.state().ready) if t.get(x + L["T_PROCESS"]) == p]
            if mine:
                thread = self.rng.choice(mine)
                self.unlink(L["G_READY"], "T_NEXT", thread)
                for name, value in (("T_STATE", L["BLOCKED"]), ("T_WAITS", end)):
                    t.put(thread + L[name], value)
                t.put(end + L["E_WAITER"], thread)

    def run(self) -> None:
        """Let the first ready thread run, and the running one be ready."""
        t = self.tables
        if current := t.get(L["G_CURRENT"]):
            self.ready(current)
        first = t.get(L["G_READY"])
        if first:
            t.put(L["G_READY"], t.get(first + L["T_NEXT"]))
            t.put(first + L["T_STATE"], L["RUNNING"])
        t.put(L["G_CURRENT"], first)

    def step(self) -> None:
        """Let somebody do something."""
        if not (alive := self.alive()):
            return
        p = self.rng.choice(alive)
        what = self.rng.choice(("channel", "block", "block", "send", "send", "send", "receive", "receive", "thread", "page", "handle", "create", "run", "run"))
        self.run() if what == "run" else getattr(self, what)(p)


def drop(life: Life, block: int) -> None:
    """Give up one reference to a block; the last one frees it."""
    t = life.tables
    refs = t.get(block + L["B_REFS"]) - 1
    t.put(block + L["B_REFS"], refs)
    if refs == 0:
        t.put(block + L["B_NEXT"], t.get(L["G_FREE_BLOCKS"]))
        t.put(L["G_FREE_BLOCKS"], block)


# ---- what an end must come to ------------------------------------------------------------------------------------------


def generations(tables: Tables, p: int) -> list[int]:
    """Return a process and all below it, the last generation first."""
    children = tables.walk("process", tables.get(p + L["P_CHILDREN"]), "P_SIBLING", "")
    return [one for n in children for one in generations(tables, at("process", n))] + [p]


def stopped(life: Life, p: int) -> None:
    """End a process and all below it, as it must be done."""
    for one in generations(life.tables, p):
        _end(life, one)


def _end(life: Life, p: int) -> None:
    t = life.tables
    give = {what: L[f"G_FREE_{what.upper()}S"] for what in _FREE_LINK}

    def free(what: str, record: int) -> None:
        t.put(record + L[_FREE_LINK[what]], t.get(give[what]))
        t.put(give[what], record)

    for n in t.walk("thread", t.get(p + L["P_THREADS"]), "T_SIBLING", ""):
        thread = at("thread", n)
        if t.get(thread) == L["READY"]:
            life.unlink(L["G_READY"], "T_NEXT", thread)
        elif t.get(thread) == L["RUNNING"]:
            t.put(L["G_CURRENT"], 0)
        else:
            t.put(t.get(thread + L["T_WAITS"]) + L["E_WAITER"], 0)
        t.put(thread, 0)
        free("thread", thread)
    for end in life.ends(p):
        head = t.get(end + L["E_HEAD"])
        for i in range(t.get(end + L["E_COUNT"])):
            if block := t.get(end + L["E_QUEUE"] + 8 * ((head + i) % L["E_SLOTS"])):
                drop(life, block)
        t.put(end + L["E_COUNT"], 0)
        t.put(end + L["E_OWNER"], 0)
        t.put(end + L["E_CLOSED"], 1)
        peer = t.get(end + L["E_PEER"])
        if t.get(peer + L["E_CLOSED"]):
            free("endpoint", end)
            free("endpoint", peer)
        else:
            life.wake(peer)
    for n in t.walk("block", t.get(p + L["P_BLOCKS"]), "B_NEXT", ""):
        t.put(at("block", n) + L["B_OWNER"], 0)
        drop(life, at("block", n))
    for n in t.walk("handle", t.get(p + L["P_HANDLES"]), "H_NEXT", ""):
        handle = at("handle", n)
        t.put(handle + L["H_KIND"], 0)
        t.put(handle + L["H_USES"], t.get(handle + L["H_USES"]) + 1)
        free("handle", handle)
    for n in range(PAGES):
        if t.get(L["PAGE_OWNERS"] + 8 * n) == t.get(p):
            t.put(L["PAGE_OWNERS"] + 8 * n, 0)
    if parent := t.get(p + L["P_PARENT"]):
        life.unlink(parent + L["P_CHILDREN"], "P_SIBLING", p)
    t.put(p + L["P_STATE"], L["ENDED"])
