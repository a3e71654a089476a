"""What collecting costs: every pause of a run, workloads under each collector, how fast the host gets through a large heap.

A pause is all cycles from when an allocation finds no room until its collection is over. Leaves out where the other costs of
a collector are, which show in a run's whole time: the write barrier, free lists, and what moving objects does to caches.
"""

from __future__ import annotations

import time

import numpy as np

from singlab.experiments.workloads import workloads
from singlab.kernel import System
from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.heaplayout import COLLECTORS
from singlab.kernel.heaps import CAUSES
from singlab.sing import build, programs_from_source
from singlab.trace.pauses import pause_statistics
from singlab.trace.record import Kind

#: Those there are, "none" first.
NAMES = COLLECTORS[1:]


def pauses(system: System, process=None):
    """Return every pause of a run.

    Returns
    -------
    pandas.DataFrame
        A row a pause: the ``process`` number and ``owner`` of the heap (the process's name, or "kernel"), ``collector``, ``cause``,
        the ``cycle`` at which it began, ``cycles`` it took, ``roots``, and bytes: ``heap`` (pages before it), ``live``, ``moved``, ``freed``,
        ``heap_after``, ``largest`` (of the largest piece of it in which there is nothing); ``fragmentation``, the share of what is not
        alive that does not lie in that piece; ``barriers``, calls of the write barrier since the pause before; ``tenure``, the tenuring
        age of a generational heap; and ``active``, what has collected an adaptive heap.
    """
    import pandas as pd

    rows, begun = [], {}
    names = {each.number: each.name for each in system.processes}
    events = system.trace.events
    for event in events[np.isin(events["kind"], (Kind.GC_BEGIN, Kind.GC_WORK, Kind.GC_HEAP, Kind.GC_END))]:
        number = int(event["process"])
        if process is not None and number != process.number:
            continue
        kind, a, b = int(event["kind"]), int(event["a"]), int(event["b"])
        if kind == Kind.GC_BEGIN:
            begun[number] = {"process": number, "owner": names.get(number, "kernel"), "collector": COLLECTORS[a & 0xFF], "cause": CAUSES[a >> 8],
                             "cycle": int(event["cycle"]), "heap": b, "roots": 0, "moved": 0, "freed": 0,
                             "heap_after": b, "largest": 0, "barriers": 0, "tenure": 0, "active": COLLECTORS[a & 0xFF]}  # fmt: skip
        elif kind == Kind.GC_WORK and number in begun:
            begun[number].update(roots=a, moved=b & 0xFFFF_FFFF, freed=b >> 32)
        elif kind == Kind.GC_HEAP and number in begun:
            begun[number].update(active=COLLECTORS[a & 0xFF], tenure=a >> 8 & 0xFF, barriers=a >> 32, heap_after=(b & 0xFFFF_FFFF) * at.PAGE, largest=(b >> 32) * 8)
        elif kind == Kind.GC_END and number in begun:
            row = {**begun.pop(number), "live": a, "cycles": b}
            free = row["heap_after"] - a
            rows.append({**row, "fragmentation": 1 - min(row["largest"], free) / free if free > 0 else 0.0})
    columns = ["process", "owner", "collector", "cause", "cycle", "cycles", "roots", "heap", "live", "moved", "freed", "heap_after", "largest", "fragmentation",
               "barriers", "tenure", "active"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def collections(table) -> int:
    """Return how many collections pauses belong to: each is one, but of the concurrent collector's steps many make one.

    A step that begins to sweep sets ``freed`` to 0, so a cycle is counted when that falls; one that freed nothing at all is not seen.
    """
    steps = table[table["cause"] == "step"]
    cycles = 0
    for _, own in steps.groupby("process"):
        freed = own["freed"].to_numpy()
        cycles += int((np.diff(freed, prepend=0) < 0).sum()) + int(len(freed) > 0 and freed[-1] > 0)
    return len(table) - len(steps) + cycles


def heap_peak(system: System, process=None) -> int:
    """Return how many bytes of pages for objects a process, or all together, had at most; what a collection copies to counts too."""
    events = system.trace.events
    events = events[np.isin(events["kind"], (Kind.PAGES_ALLOC, Kind.PAGES_FREE))]
    tags = events["b"] >> np.uint64(32)
    heap = tags == process.number << at.OWNER_SHIFT | at.TAG_HEAP if process is not None else (tags & np.uint64(15) == at.TAG_HEAP) & (tags != at.TAG_KERNEL_HEAP)
    count = (events["b"] & np.uint64(0xFFFF_FFFF)).astype(np.int64)[heap]
    sign = np.where(events["kind"][heap] == Kind.PAGES_ALLOC, 1, -1)
    return int((np.cumsum(count * sign) * at.PAGE).max(initial=0))


def survivors(system: System, process=None):
    """Return what survived minor collections, by how many it had survived by then.

    Returns
    -------
    pandas.DataFrame
        A row an age and pause: the ``process`` number, the ``cycle`` at which the pause began (as in :func:`pauses`), ``age`` in
        minor collections, ``bytes``.
    """
    import pandas as pd

    rows, begun = [], {}
    for event in system.trace.events:
        number = int(event["process"])
        if process is not None and number != process.number:
            continue
        if event["kind"] == Kind.GC_BEGIN:
            begun[number] = int(event["cycle"])
        elif event["kind"] == Kind.GC_AGE:
            rows.append({"process": number, "cycle": begun[number], "age": int(event["a"]), "bytes": int(event["b"])})
    return pd.DataFrame(rows, columns=["process", "cycle", "age", "bytes"])


def run_workload(workload: str, collector: str, size: str = "small", heap_bytes: int | None = None, seed: int = 1, isolation: str = "sip",
                 ram: str = "64M", profile="athlon64", limit: int = 2_000_000_000) -> dict:  # fmt: skip
    """Run a workload to its end under a collector.

    Parameters
    ----------
    workload, collector, size : str
    heap_bytes : int, optional
        Most bytes of each process's heap.
    seed : int
    isolation, ram, profile
        Of the system.
    limit : int
        Cycles after which it is given up.

    Returns
    -------
    dict
        Its ``result`` (None if it came to none), ``cycles`` and ``instructions`` of the whole run, how many ``pauses``, their ``total``,
        ``longest``, ``p99`` in cycles, the ``share`` of the time left for the program and the collector's (``gc``), ``collections``,
        bytes ``moved`` and ``freed`` by all of them, and the ``peak`` of the heaps' pages in bytes.
    """
    system = System(isolation=isolation, ram=ram, profile=profile)
    made = workloads()[workload].start(system, size, seed, collector, heap_bytes)
    run = system.run(cycles=limit)
    table = pauses(system)
    table = table[table["owner"] != "kernel"]
    about_pauses = pause_statistics(table["cycles"], 0, run.cycles)
    return {"workload": workload, "collector": collector, "size": size, "result": made[-1].exit_value, "cycles": run.cycles,
            "instructions": run.instructions, **{name: about_pauses[name] for name in ("pauses", "total", "longest", "p99", "share")},
            "gc": 1.0 - about_pauses["share"], "collections": collections(table), "moved": int(table["moved"].sum()),
            "freed": _freed(table), "peak": heap_peak(system)}  # fmt: skip


def _freed(table) -> int:
    """Return bytes given back: a step says what its sweep has found so far, so the last step of each counts."""
    total = 0
    for _, own in table.groupby("process"):
        freed = own["freed"].to_numpy()
        grown = np.diff(freed, prepend=0)
        total += int(np.where((own["cause"] == "step").to_numpy(), np.where(grown < 0, freed, grown), freed).sum())
    return total


def workload_matrix(collectors=NAMES, size: str = "small", *, client=None, workers: int | None = None, progress: bool = False, **options):
    """Run all workloads under all collectors; returns a pandas DataFrame, a row for each pair (see :func:`run_workload`).

    The runs are spread as :func:`singlab.experiments.spread.spread` says, where ``client``, ``workers`` and ``progress`` are explained.
    """
    import pandas as pd

    from singlab.experiments.spread import spread

    cases = [{"workload": workload, "collector": collector, "size": size, **options} for workload in workloads() for collector in collectors]
    return pd.DataFrame(spread(run_workload, cases, client=client, workers=workers, progress=progress, label="workloads under collectors"))


_LARGE = '''
@managed
class Node:
    value: u64
    left: "Node | None"
    right: "Node | None"
@sip{declared}
def large(count: u64) -> u64:
    nodes: Array[Optional[Node]] = array(Optional[Node], count // 1000 + 1)
    previous: Node | None = None
    for i in range(count):
        previous = Node(u64(i), previous, nodes[i % len(nodes)])
        nodes[(i * 7919) % len(nodes)] = previous
    mark(1)
    for i in range(100000):
        previous = Node(u64(i), previous, None)
    return len(nodes)
'''


def collect_large(collector: str, objects: int = 1_000_000, profile="athlon64", ram: str = "256M") -> dict:
    """Collect a heap of so many live objects once, and see how long the host takes for it.

    It is for collectors that stop the program for the whole of a collection; the concurrent one does a step.

    Returns
    -------
    dict
        ``objects``, simulated ``cycles`` of the pause, ``seconds`` of the host, ``objects_per_second``.
    """
    text = _LARGE.format(declared=f'(collector="{collector}")')
    system = System(ram=ram, profile=profile)
    process = system.create(build(programs_from_source(text, "large").programs["large"]), count=objects)
    while not (system.trace.events["kind"][-8:] == Kind.MARK).any():
        if system.advance() == 0:
            raise RuntimeError(f"{objects:,} objects do not come to be: {process.end}")
    before = system.heap(process).collections
    system._store(at.G_COLLECT_EVERY, 1)
    if collector == "generational":  # all of it, not the young alone
        system.machine.store_u64(process._field(at.P_OBJECT_HEAP) + hp.Z_MAJOR, 0)
    begun = time.perf_counter()
    while system.heap(process).collections == before:
        system.run(events=1)
    seconds = time.perf_counter() - begun
    last = pauses(system, process).iloc[-1]
    return {"collector": collector, "objects": objects, "live": int(last["live"]), "cycles": int(last["cycles"]), "seconds": seconds,
            "objects_per_second": objects / seconds}  # fmt: skip
