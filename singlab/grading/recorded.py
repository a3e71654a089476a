"""A life recorded from the lab's own kernel, for exercise 04: real processes, stopped at none of the moments that are kept.

Two writers send letters to two chiefs; each chief has a child, hands it every letter with two blocks of its own, and waits for
its thanks. At some moments what the kernel's records say is written down as rows of a table, ``datasets/recorded_life.csv``,
and from there it is put into the exercise's tables. What the exercise's kernel has otherwise is translated: a letter in a queue
is on its receiver's list in the kernel, and in the message alone there; the only handles are those of children. Leaves out
moments at which a thread waits for something else than a message.

``python -m singlab.grading.recorded --write`` records it anew.
"""

from __future__ import annotations

import sys

from singlab.grading import lifecycle as life
from singlab.grading.lifecycle import LAYOUT as L
from singlab.grading.lifecycle import Life, Tables, at

NAME = "recorded_life.csv"
COLUMNS = ("moment", "what", "number", "owner", "state", "other", "queue")
_MOMENTS, _EVERY = 12, 9

SOURCE = '''
Post = contract("""
contract Post {
    in  message Letter(byte[]* in ExHeap text);
    out message Read(ulong n);
    state Start: Letter? -> Read! -> Start;
}
""")

Batch = contract("""
contract Batch {
    in  message Put(byte[]* in ExHeap text);
    out message Thanks();
    state Start: Put? -> Put? -> Put? -> Thanks! -> Start;
}
""")

@sip
def clerk(ch: Batch.Exp):
    kept = new(u8, 64)
    while True:
        match ch.receive():
            case Batch.Put(first):
                second = ch.receive(Batch.Put)
                for i in range(60):
                    kept[i % 64] = u8(i)
                third = ch.receive(Batch.Put)
                free(first)
                free(second)
                free(third)
                ch.send(Batch.Thanks())
            case ChannelClosed():
                free(kept)
                return

@sip(extensions=[("clerk", "Batch")])
def chief(ch: Post.Exp):
    imp, exp = new_channel(Batch)
    child = create("clerk", exp)
    child.start()
    kept = new(u8, 200)
    while True:
        match ch.receive():
            case Post.Letter(text):
                imp.send(Batch.Put(text))
                imp.send(Batch.Put(new(u8, 16)))
                for i in range(60):
                    kept[i] = u8(i)
                imp.send(Batch.Put(new(u8, 32)))
                imp.receive(Batch.Thanks)
                ch.send(Post.Read(1))
            case ChannelClosed():
                free(kept)
                imp.close()
                return

@sip
def writer(ch: Post.Imp, rounds: u64):
    for i in range(rounds):
        ch.send(Post.Letter(new(u8, 100)))
        ch.receive(Post.Read)
'''


# ---- recording -----------------------------------------------------------------------------------------------------------


def record() -> list[tuple]:
    """Run the processes and return the rows of all moments."""
    from singlab.kernel import System
    from singlab.kernel.audit import audit
    from singlab.sing import build, programs_from_source

    images = {name: build(program) for name, program in programs_from_source(SOURCE, "recorded").programs.items()}
    system = System(ram="4M", quantum_us=2)
    system.install(images["clerk"])
    for _ in range(2):
        one, other = system.create(images["writer"], rounds=6), system.create(images["chief"])
        system.connect(one["ch"], other["ch"])
    rows: list[tuple] = []
    moments = since = 0
    while moments < _MOMENTS and system.advance():
        since += 1
        if since < _EVERY or len(system.processes) < life.PROCESSES:
            continue
        system._leave_kernel()  # in the middle of a call its records are between two states
        if audit(system):
            raise RuntimeError(f"the kernel's records disagree: {audit(system)}")
        found = _moment(system)
        if found:
            rows += [(moments, *row) for row in found]
            moments, since = moments + 1, 0
    return rows


def _moment(system) -> list[tuple]:
    """Return what the kernel's records say now; nothing if it is no moment of the exercise's."""
    from singlab.kernel import layout as at_

    load = system.machine.load_u64
    processes = {p.record: n for n, p in enumerate(system.processes)}
    if any(p.state != "running" for p in system.processes):
        return []
    threads = [t for p in system.processes for t in p.threads()]
    ends = [e for p in system.processes for e in _listed(load, p.record + at_.P_ENDPOINTS, at_.E_NEXT)]
    blocks = [b for p in system.processes for b in _listed(load, p.record + at_.P_BLOCKS, at_.B_NEXT)]
    queues = {end: _queue(load, at_, end, blocks) for end in ends}
    under_way = {block for queue in queues.values() for block in queue if block}
    rows: list[tuple] = [("process", n, processes[p.parent.record] if p.parent else -1, "", -1, "") for n, p in enumerate(system.processes)]
    queue = [t for head in (at_.G_UNBLOCKED_HEAD, at_.G_PREEMPTED_HEAD) for t in _listed(load, head, at_.T_NEXT) if t in threads]
    for n, thread in enumerate(threads):
        owner, waits = processes[load(thread + at_.T_PROCESS)], load(thread + at_.T_WAITS)
        if thread in queue:
            rows.append(("thread", n, owner, "ready", queue.index(thread), ""))
        elif thread == load(at_.G_CURRENT):
            rows.append(("thread", n, owner, "running", -1, ""))
        elif waits in ends and load(waits + at_.E_WAITER) == thread:
            rows.append(("thread", n, owner, "blocked", ends.index(waits), ""))
        else:
            return []
    for n, end in enumerate(ends):
        peer = load(end + at_.E_PEER)
        if peer not in ends:
            return []
        told = " ".join("-" if not block else str(blocks.index(block)) for block in queues[end])
        rows.append(("endpoint", n, processes[load(end + at_.E_PROCESS)], "open", ends.index(peer), told))
    owners = {b: n for n, p in enumerate(system.processes) for b in _listed(load, p.record + at_.P_BLOCKS, at_.B_NEXT)}
    rows += [("block", n, -1 if block in under_way else owners[block], "", 1, "") for n, block in enumerate(blocks)]
    numbers = {p.number: n for n, p in enumerate(system.processes)}
    pages = [numbers[int(tag) >> at_.OWNER_SHIFT] for tag in system.page_tags() if int(tag) >> at_.OWNER_SHIFT in numbers]
    rows += [("page", n, owner, "", -1, "") for n, owner in enumerate(pages[: life.PAGES])]
    rows += [("handle", n, processes[p.parent.record], "", -1, "") for n, p in enumerate(p for p in system.processes if p.parent)]
    return rows


def _listed(load, head: int, link: int) -> list[int]:
    found, record = [], load(head)
    while record:
        found.append(record)
        record = load(record + link)
    return found


def _queue(load, layout, end: int, blocks: list[int]) -> list[int]:
    """Return the blocks in an endpoint's queue, the oldest first, 0 for a message without."""
    head, count, slots = (load(end + field) for field in (layout.E_HEAD, layout.E_COUNT, layout.E_SLOTS))
    words = [load(end + layout.E_QUEUE + (head + i) % slots * layout.SLOT_BYTES + 8) for i in range(count)]
    return [word if word in blocks else 0 for word in words]


# ---- reading -------------------------------------------------------------------------------------------------------------


def moments() -> list[Tables]:
    """Return the recorded moments as tables of the exercise."""
    from singlab.experiments.datasets import load_dataset

    frame = load_dataset(NAME).fillna({"state": "", "queue": ""})
    return [_tables(list(rows.itertuples(index=False)), int(moment)) for moment, rows in frame.groupby("moment")]


def _tables(rows: list, seed: int) -> Tables:
    """Put one moment into tables, on records drawn by the seed."""
    led = Life(seed, empty=True)
    t = led.tables
    of: dict[str, dict[int, int]] = {what: {} for what in ("process", "thread", "endpoint", "block")}
    for row in rows:
        if row.what == "process":
            led.born += 1
            p = of["process"][row.number] = at("process", row.number)
            t.put(p + L["P_NUMBER"], led.born)
            t.put(p + L["P_STATE"], L["ALIVE"])
    for row in rows:
        owner = of["process"].get(row.owner, 0)
        if row.what == "process" and owner:
            p = of["process"][row.number]
            t.put(p + L["P_PARENT"], owner)
            t.put(p + L["P_SIBLING"], t.get(owner + L["P_CHILDREN"]))
            t.put(owner + L["P_CHILDREN"], p)
        elif row.what == "page":
            t.put(L["PAGE_OWNERS"] + 8 * row.number, t.get(owner + L["P_NUMBER"]))
        elif row.what == "handle":
            t.put(led.take("handle", owner) + L["H_KIND"], 1)
        elif row.what in of and row.what != "process":
            of[row.what][row.number] = led.take(row.what, owner) if owner else led.take_loose(row.what)
    threads = [row for row in rows if row.what == "thread"]
    for row in sorted(threads, key=lambda row: row.other):
        thread, owner = of["thread"][row.number], of["process"][row.owner]
        t.put(thread + L["T_PROCESS"], owner)
        if row.state == "ready":
            led.ready(thread)
        elif row.state == "running":
            t.put(thread + L["T_STATE"], L["RUNNING"])
            t.put(L["G_CURRENT"], thread)
    for row in (row for row in rows if row.what == "endpoint"):
        end, head = of["endpoint"][row.number], led.rng.randrange(L["E_SLOTS"])
        queue = [0 if word == "-" else of["block"][int(word)] for word in str(row.queue).split()]
        for name, value in (("E_OWNER", of["process"][row.owner]), ("E_PEER", of["endpoint"][row.other]), ("E_CLOSED", 0), ("E_WAITER", 0),
                            ("E_HEAD", head), ("E_COUNT", len(queue))):  # fmt: skip
            t.put(end + L[name], value)
        for i, block in enumerate(queue):
            t.put(end + L["E_QUEUE"] + 8 * ((head + i) % L["E_SLOTS"]), block)
    for row in (row for row in threads if row.state == "blocked"):
        thread, end = of["thread"][row.number], of["endpoint"][row.other]
        for place, value in ((thread + L["T_STATE"], L["BLOCKED"]), (thread + L["T_WAITS"], end), (end + L["E_WAITER"], thread)):
            t.put(place, value)
    for row in (row for row in rows if row.what == "block"):
        t.put(of["block"][row.number] + L["B_OWNER"], of["process"].get(row.owner, 0))
        t.put(of["block"][row.number] + L["B_REFS"], 1)
    return t


def main(arguments: list[str]) -> int:
    """Record anew with ``--write``, else say whether what is there is what would be recorded; returns the exit code."""
    import csv
    import io

    from singlab.experiments.datasets import dataset_path

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(record())
    path = dataset_path("README.md").parent / NAME
    if "--write" in arguments:
        path.write_text(out.getvalue(), encoding="utf-8")
        return 0
    return int(not path.is_file() or path.read_text(encoding="utf-8") != out.getvalue())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
