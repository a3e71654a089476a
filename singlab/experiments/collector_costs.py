"""What each collector costs, and where: workloads, live data, size of the heap, windows of time, barrier, isolation, caches.

Each function runs the same programs with one thing changed, spreads the runs over processors (:mod:`singlab.experiments.spread`)
and returns a :class:`~singlab.experiments.tables.Measured`: a table, a frame, a plot. Times are cycles of the simulated machine.

What it leaves out: collectors beside a running program on a processor of their own; there is one hart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from singlab.experiments import collector_plots as draw
from singlab.experiments.collection import NAMES, heap_peak, pauses, run_workload, workload_matrix
from singlab.experiments.spread import spread
from singlab.experiments.tables import Measured
from singlab.experiments.workloads import workloads
from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.machine.profile import get_profile
from singlab.sing import build, programs_from_source
from singlab.trace.pauses import minimum_utilisation
from singlab.trace.record import Kind

#: Collectors that collect, and settings of isolation from the barest to the strongest.
COLLECTING = NAMES[1:]
LADDER = ("sip", "pages", "domain", "ring3", "ring3-domains")
#: A run that takes so many times what it takes without a collector has too little room, as if it had none.
PATIENCE = 40


def matrix(size: str = "teaching", collectors: Sequence[str] = NAMES, seed: int = 1, *, client=None, workers: int | None = None,
           progress: bool = True, **options) -> Measured:  # fmt: skip
    """Run all workloads under all collectors.

    Parameters
    ----------
    size : {"small", "teaching", "large"}
    collectors : sequence of str
    seed : int
    client, workers, progress
        See :func:`singlab.experiments.spread.spread`.
    **options
        For :func:`singlab.experiments.collection.run_workload`: heap_bytes, isolation, profile.

    Returns
    -------
    Measured
        A row a pair: ``workload``, ``collector``, ``result``, ``cycles`` of the run, ``GC %`` of them, ``collections``, ``pauses``, the ``longest``
        and the 99th percentile (``p99``) in cycles, bytes: ``peak`` of the heap's pages, ``moved``, ``freed``.
    """
    frame = workload_matrix(collectors, size, seed=seed, client=client, workers=workers, progress=progress, **options)
    frame["GC %"] = 100 * frame["gc"]
    columns = ["workload", "collector", "result", "cycles", "GC %", "collections", "pauses", "longest", "p99", "peak", "moved", "freed"]
    return Measured(frame[columns], f"Workloads under collectors, {size} size", {"GC %": "{:.1f}", "result": "{}"}, draw.matrix)


# ---- pause against live data -----------------------------------------------------------------------------------------

_HOLDER = """
@managed
class Node:
    value: u64
    before: "Node | None"
    other: "Node | None"

@sip(collector="{collector}")
def holder(live: u64, garbage: u64) -> u64:
    last: Node | None = None
    middle: Node | None = None
    for i in range(live):
        last = Node(u64(i), last, middle)
        if i % 16 == 0:
            middle = last
    mark(1)
    total: u64 = 0
    for i in range(garbage):
        short = Node(u64(i), None, None)
        total += short.value
    at = last
    while at is not None:
        total += at.value
        at = at.before
    return total
"""
NODE_BYTES = 32


def _held(collector: str, objects: int, profile: str = "athlon64") -> list[dict]:
    """Let a program hold so many objects while it makes garbage; a row for each kind of pause."""
    image = build(programs_from_source(_HOLDER.format(collector=collector), "holder").programs["holder"])
    system = System(ram="64M", profile=profile)
    process = system.create(image, live=objects, garbage=2 * objects + 8192)
    system.run()
    if process.exit_value is None:
        raise RuntimeError(f"{objects:,} objects do not come to be under {collector}: {process.end}")
    table = pauses(system, process)
    events = system.trace.events
    held_since = int(events["cycle"][events["kind"] == Kind.MARK][0])
    since = table[table["cycle"] > held_since]
    kinds = {collector: since}
    if collector == "generational":
        whole = table[(table["moved"] == table["live"]) & (table["cycle"] <= held_since)]
        kinds = {"generational, minor": since[since["moved"] < since["live"]], "generational, major": whole.iloc[-1:]}
    if collector == "concurrent":
        kinds = {"concurrent, a step": since[since["cause"] == "step"]}
        if (rest := since[since["cause"] != "step"]).shape[0]:
            kinds["concurrent, all at once"] = rest
    return [{"collector": name, "live": int(part["live"].iloc[-1]) if name.endswith("major") else objects * NODE_BYTES, "pauses": len(part),
             "median": float(part["cycles"].median()), "longest": int(part["cycles"].max())} for name, part in kinds.items() if len(part)]  # fmt: skip


def pause_by_live_data(objects: Sequence[int] = (500, 2000, 8000, 32000), collectors: Sequence[str] = COLLECTING, profile: str = "athlon64",
                       *, client=None, workers: int | None = None, progress: bool = True) -> Measured:  # fmt: skip
    """Measure pauses of a program that holds more and more objects, of 32 bytes each, and makes garbage meanwhile.

    Returns
    -------
    Measured
        A row for each collector and number of objects: ``live`` bytes, how many ``pauses`` there were once all were made, their ``median`` and the ``longest``
        in cycles. Of the generational collector minor ones count, and the last major one before that with what was alive then; of the concurrent one its steps.
    """
    import pandas as pd

    cases = [{"collector": collector, "objects": count, "profile": profile} for collector in collectors for count in objects]
    rows = spread(_held, cases, client=client, workers=workers, progress=progress, label="pauses by live data")
    return Measured(pd.DataFrame([row for some in rows for row in some]), "Pauses by live data, cycles", None, draw.pause_by_live_data)


# ---- throughput against the heap's size ------------------------------------------------------------------------------


def _comes_through(workload: str, collector: str, size: str, heap_bytes: int, limit: int, seed: int) -> dict | None:
    found = run_workload(workload, collector, size, heap_bytes, seed, limit=limit)
    return None if found["result"] is None else found


def minimum_heap(workload: str, collector: str, size: str = "teaching", seed: int = 1) -> int:
    """Return in how many bytes of pages a workload comes to its end under a collector, to about a fiftieth.

    A run that takes longer than ``PATIENCE`` times what it takes without a collector counts as one that does not.
    """
    free = run_workload(workload, "none", size, None, seed)
    limit = PATIENCE * free["cycles"]
    low, high = 0, -(-free["peak"] // at.PAGE)  # in pages; low is too little
    while _comes_through(workload, collector, size, high * at.PAGE, limit, seed) is None:
        low, high = high, 2 * high
        if high * at.PAGE > 1 << 25:
            raise RuntimeError(f"{workload} comes to no end under {collector} in {low * at.PAGE:,} bytes")
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        if _comes_through(workload, collector, size, middle * at.PAGE, limit, seed) is None:
            low = middle
        else:
            high = middle
    return high * at.PAGE


def throughput(workload: str = "churn", size: str = "teaching", multiples: Sequence[float] = (1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3),
               collectors: Sequence[str] = COLLECTING, seed: int = 1, *, client=None, workers: int | None = None,
               progress: bool = True) -> Measured:  # fmt: skip
    """Run a workload in heaps of several sizes, in multiples of the smallest heap in which any of the collectors brings it to its end.

    Returns
    -------
    Measured
        A row for each collector and size: ``heap`` in bytes, ``multiple`` of the smallest, the collector's own ``minimum`` in bytes, ``cycles``, ``throughput``
        (cycles without a collector, divided by these; empty where memory was exhausted or there was no end to it), ``collections``, ``longest`` pause,
        ``peak`` of the pages really had, which counts what a collector copies to.
    """
    import pandas as pd

    options = {"client": client, "workers": workers, "progress": progress}
    searched = spread(minimum_heap, [{"workload": workload, "collector": c, "size": size, "seed": seed} for c in collectors], label="minimum heaps", **options)
    smallest = min(searched)
    free = run_workload(workload, "none", size, None, seed)
    cases = [{"workload": workload, "collector": c, "size": size, "heap_bytes": int(m * smallest) // at.PAGE * at.PAGE, "limit": PATIENCE * free["cycles"],
              "seed": seed} for c in collectors for m in multiples]  # fmt: skip
    rows = []
    for case, found in zip(cases, spread(run_workload, cases, label="heaps of several sizes", **options), strict=True):
        ended = found["result"] is not None
        rows.append({"collector": case["collector"], "multiple": case["heap_bytes"] / smallest, "heap": case["heap_bytes"],
                     "minimum": searched[list(collectors).index(case["collector"])], "cycles": found["cycles"],
                     "throughput": free["cycles"] / found["cycles"] if ended else np.nan, "collections": found["collections"],
                     "longest": found["longest"], "peak": found["peak"]})  # fmt: skip
    return Measured(pd.DataFrame(rows), f"{workload} in heaps of several sizes", {"throughput": "{:.3f}"}, draw.throughput)


# ---- windows of time -------------------------------------------------------------------------------------------------


def _life(workload: str, collector: str, size: str, seed: int, heap_bytes: int | None = None):
    """Return the pauses of a run, in cycles from its beginning on, and how long it took."""
    system = System(ram="64M")
    workloads()[workload].start(system, size, seed, collector, heap_bytes)
    run = system.run()
    table = pauses(system)
    return table["cycle"].to_numpy() - (system.trace.meta["cycles"] - run.cycles), table["cycles"].to_numpy(), run.cycles


def utilisation(names: Sequence[str] = ("requests", "churn"), collectors: Sequence[str] = COLLECTING, size: str = "teaching", seed: int = 1,
                points: int = 40, *, client=None, workers: int | None = None, progress: bool = True) -> Measured:  # fmt: skip
    """Work out which share of the worst window of time is left for the program, by the window's length.

    Returns
    -------
    Measured
        A row for each workload, collector and ``window`` in cycles: the ``minimum`` utilisation of windows of that length, and of that length or any longer (``bounded``).
    """
    import pandas as pd

    cases = [{"workload": w, "collector": c, "size": size, "seed": seed} for w in names for c in collectors]
    frames = []
    for case, (starts, lengths, cycles) in zip(cases, spread(_life, cases, client=client, workers=workers, progress=progress, label="lives"), strict=True):
        windows = np.unique(np.geomspace(10_000, cycles, points).round())
        table = {"workload": case["workload"], "collector": case["collector"], "window": windows}
        for name, bounded in (("minimum", False), ("bounded", True)):
            table[name] = minimum_utilisation(starts, lengths, windows, 0, cycles, bounded)
        frames.append(pd.DataFrame(table))
    return Measured(pd.concat(frames, ignore_index=True), "What the worst window leaves for the program", None, draw.utilisation)


# ---- barrier, isolation, caches --------------------------------------------------------------------------------------


def _without_collecting(workload: str, barrier: bool, size: str, seed: int) -> dict:
    """Run a workload with nothing that collects, with the write barrier in its code or without."""
    system = System(ram="64M")
    work = workloads()[workload]
    images = work.images("generational" if barrier else "none")
    made = []
    for program, values in work.parameters[size].items():
        given = dict(values)
        if any(parameter.name == "seed" for parameter in images[program].manifest.parameters):
            given["seed"] = seed
        made.append(system.create(images[program], collector="none", **given))
    if len(made) == 2:
        system.connect(made[1]["ch"], made[0]["ch"])
    run = system.run()
    return {"result": made[-1].exit_value, "instructions": run.instructions, "cycles": run.cycles, "code": sum(len(image.code) for image in images.values()),
            "peak": heap_peak(system)}  # fmt: skip


def barrier_cost(size: str = "teaching", names: Sequence[str] | None = None, seed: int = 1, *, client=None, workers: int | None = None,
                 progress: bool = True) -> Measured:  # fmt: skip
    """Run each workload with and without the write barrier in its code, and nothing that collects in either case.

    Returns
    -------
    Measured
        A row a workload: ``instructions``, ``cycles`` and bytes of ``code`` without it, and by how many percent each is more with it. What a barrier that
        comes to the kernel costs is not in it; that is the collector's.
    """
    import pandas as pd

    names = list(names or workloads())
    cases = [{"workload": name, "barrier": barrier, "size": size, "seed": seed} for name in names for barrier in (False, True)]
    found = spread(_without_collecting, cases, client=client, workers=workers, progress=progress, label="barriers")
    rows = []
    for name, without, behind in zip(names, found[::2], found[1::2], strict=True):
        if without["result"] != behind["result"]:
            raise RuntimeError(f"{name} comes to {behind['result']} with a barrier and to {without['result']} without")
        more = {f"{what} +%": 100 * (behind[what] / without[what] - 1) for what in ("instructions", "cycles", "code")}
        rows.append({"workload": name, **{what: without[what] for what in ("instructions", "cycles", "code")}, **more})
    return Measured(pd.DataFrame(rows), "The write barrier, where nothing is collected", None, draw.barrier)


def isolation_cost(workload: str = "cache", collectors: Sequence[str] = COLLECTING, isolations: Sequence[str] = LADDER, size: str = "teaching", seed: int = 1,
                   *, client=None, workers: int | None = None, progress: bool = True) -> Measured:  # fmt: skip
    """Run a workload under each collector in each setting of isolation.

    Returns
    -------
    Measured
        A row for each: ``pausing`` (cycles of all pauses), the rest of the run (``running``), and both in percent of the first setting's (``pausing %``, ``running %``).
    """
    import pandas as pd

    cases = [{"workload": workload, "collector": c, "size": size, "seed": seed, "isolation": i} for c in collectors for i in isolations]
    found = spread(run_workload, cases, client=client, workers=workers, progress=progress, label="isolation")
    rows = []
    for case, run in zip(cases, found, strict=True):
        pausing = int(run["total"])
        if case["isolation"] == isolations[0]:
            first = pausing, run["cycles"] - pausing
        rows.append({"collector": case["collector"], "isolation": case["isolation"], "pausing": pausing, "running": run["cycles"] - pausing,
                     "pausing %": 100 * pausing / max(1, first[0]), "running %": 100 * (run["cycles"] - pausing) / first[1]})  # fmt: skip
    return Measured(pd.DataFrame(rows), f"{workload} along the isolation ladder", None, draw.isolation)


def cache_effect(workload: str = "trees", sizes: Sequence[int] = tuple(1 << n for n in range(15, 21)), collectors: Sequence[str] = ("semispace", "marksweep"),
                 level: str = "l2", size: str = "teaching", seed: int = 1, *, client=None, workers: int | None = None, progress: bool = True) -> Measured:  # fmt: skip
    """Run a workload on machines that differ in the size of one data cache.

    Parameters
    ----------
    workload : str
    sizes : sequence of int
        Bytes of the cache, powers of two.
    collectors : sequence of str
    level : {"l1d", "l2"}
        Which cache; all else is the athlon64's.
    size : str
    seed : int

    Returns
    -------
    Measured
        A row for each size and collector: ``pausing`` and ``running`` cycles, and what one instruction of the whole run takes (``cycles per instruction``).
    """
    import pandas as pd

    if level not in ("l1d", "l2"):
        raise ValueError(f"there is no data cache {level!r}; choose l1d or l2")
    usual = get_profile("athlon64")
    cases = [{"workload": workload, "collector": c, "size": size, "seed": seed, "profile": replace(usual, name=f"{level} of {s}", **{f"{level}_bytes": s})}
             for c in collectors for s in sizes]  # fmt: skip
    found = spread(run_workload, cases, client=client, workers=workers, progress=progress, label="caches")
    rows = [{"collector": case["collector"], "cache": getattr(case["profile"], f"{level}_bytes"), "pausing": int(run["total"]), "running": run["cycles"] - int(run["total"]),
             "cycles per instruction": run["cycles"] / run["instructions"]} for case, run in zip(cases, found, strict=True)]  # fmt: skip
    return Measured(pd.DataFrame(rows), f"{workload} with caches of several sizes", None, draw.cache)
