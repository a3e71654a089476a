"""One shared heap against a heap for each program, and what each SIP of a system spends collecting.

The same programs run as threads of one process, whose objects lie on one heap, and as SIPs that have a heap each. A collection
stops every thread of its process. On this machine of one hart the others have no processor meanwhile either, since a collection
is one kernel call; but they are not *stopped*: nothing of theirs is looked at, and nobody waits for them to come to a point.

What it leaves out: heaps that are shared by several processors, where coming to a point together costs more still.
"""

from __future__ import annotations

from collections.abc import Sequence

from singlab.experiments import collector_plots as draw
from singlab.experiments.collection import heap_peak, pauses
from singlab.experiments.scheduling import runs
from singlab.experiments.spread import spread
from singlab.experiments.tables import Measured
from singlab.experiments.workloads import workloads
from singlab.kernel import System
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

SHARED, OWN = "one shared heap", "a heap each"

SOURCE = '''
@managed
class Node:
    value: u64
    before: "Node | None"

@function
def work(live: u64, garbage: u64) -> u64:
    """Hold a list of objects, make others that die at once, and add up the list."""
    last: Node | None = None
    for i in range(live):
        last = Node(u64(i), last)
    total: u64 = 0
    for i in range(garbage):
        short = Node(u64(i), None)
        total += short.value
    at = last
    while at is not None:
        total += at.value
        at = at.before
    return total

@sip(collector="{collector}")
def alone(live: u64, garbage: u64) -> u64:
    return work(live, garbage)

@sip(collector="{collector}")
def together(programs: u64, live: u64, garbage: u64) -> u64:
    threads = array(u64, programs)
    for i in range(programs):
        threads[i] = thread(work, live, garbage)
    total: u64 = 0
    for i in range(programs):
        total += join(threads[i])
    return total
'''


def _system(arrangement: str, programs: int, live: int, garbage: int, collector: str, quantum_us: int, room: int) -> tuple[System, list]:
    """Run the programs in one arrangement; returns the system and its processes."""
    unit = programs_from_source(SOURCE.format(collector=collector), "sharing")
    system = System(ram="64M", quantum_us=quantum_us)
    if arrangement == SHARED:
        made = [system.create(build(unit.programs["together"]), heap_bytes=programs * room, programs=programs, live=live, garbage=garbage)]
    else:
        image = build(unit.programs["alone"])
        made = [system.create(image, name=f"alone {n + 1}", heap_bytes=room, live=live, garbage=garbage) for n in range(programs)]
    system.run()
    total = sum(process.exit_value or 0 for process in made)
    expected = programs * (live * (live - 1) // 2 + garbage * (garbage - 1) // 2)
    if total != expected:
        raise RuntimeError(f"{programs} programs with {arrangement} come to {total} instead of {expected}")
    return system, made


def _stops(arrangement: str, programs: int, live: int, garbage: int, collector: str, quantum_us: int, room: int) -> tuple[list[dict], dict]:
    """Return who was stopped when, and what it all came to."""
    system, made = _system(arrangement, programs, live, garbage, collector, quantum_us, room)
    events = system.trace.events
    table = pauses(system)
    table = table[table["owner"] != "kernel"]
    lanes: list[tuple[int, int, int]] = []  # of a program: its process, when it began and ended
    end = int(system.trace.meta["cycles"])
    if arrangement == SHARED:
        ended = {int(e["a"]): int(e["cycle"]) for e in events[events["kind"] == Kind.THREAD_EXIT]}
        threads = [e for e in events[events["kind"] == Kind.THREAD_CREATE] if int(e["b"]) == made[0].number][1:]
        lanes = [(made[0].number, int(e["cycle"]), ended.get(int(e["a"]), end)) for e in threads]
    else:
        ended = {int(e["a"]): int(e["cycle"]) for e in events[events["kind"] == Kind.PROCESS_EXIT]}
        lanes = [(process.number, 0, ended.get(process.number, end)) for process in made]
    rows = []
    for program, (process, since, until) in enumerate(lanes, 1):
        own = table[(table["process"] == process) & (table["cycle"] >= since) & (table["cycle"] < until)]
        rows += [{"arrangement": arrangement, "program": program, "cycle": int(c), "cycles": int(n)} for c, n in zip(own["cycle"], own["cycles"])]
    told = {"arrangement": arrangement, "programs": programs, "pauses": len(table), "longest": int(table["cycles"].max()) if len(table) else 0,
            "stopped": sum(row["cycles"] for row in rows), "collecting": int(table["cycles"].sum()), "moved": int(table["moved"].sum()),
            "cycles": end, "peak": heap_peak(system)}  # fmt: skip
    return rows, told


def sharing(counts: Sequence[int] = (1, 2, 4, 8), live: int = 3000, garbage: int = 20000, collector: str = "semispace", quantum_us: int = 100, room: int = 144 << 10,
            *, client=None, workers: int | None = None, progress: bool = True) -> Measured:  # fmt: skip
    """Run 1, 2, 4, 8 programs as threads on one heap, and as SIPs with a heap each.

    Parameters
    ----------
    counts : sequence of int
        How many programs, at most 63.
    live, garbage : int
        Objects of 24 bytes that each program holds, and that it makes and lets go.
    collector : str
    quantum_us : int
        Time slice, short enough that they take turns.
    room : int
        Bytes of heap for each program; a shared heap has as many for all of them together. Without a bound a heap of several threads grows
        whenever one of them is interrupted away from a point.
    client, workers, progress
        See :func:`singlab.experiments.spread.spread`.

    Returns
    -------
    Measured
        A row for each: ``pauses``, the ``longest``, cycles of all (``collecting``), and cycles for which programs were ``stopped``, added up over all of them; bytes
        ``moved`` and the heaps' ``peak``; ``cycles`` of the whole run.
    """
    import pandas as pd

    cases = [{"arrangement": a, "programs": n, "live": live, "garbage": garbage, "collector": collector, "quantum_us": quantum_us, "room": room} for a in (SHARED, OWN) for n in counts]
    found = spread(_stops, cases, client=client, workers=workers, progress=progress, label="one heap or several")
    return Measured(pd.DataFrame([told for _, told in found]), f"One shared heap, or a heap each ({collector})", None, draw.sharing)


def stops(programs: int = 4, live: int = 3000, garbage: int = 20000, collector: str = "semispace", quantum_us: int = 100,
          room: int = 144 << 10) -> Measured:
    """Return who was stopped when, with one shared heap and with a heap each: a row for each pause and program it stopped, in cycles."""
    import pandas as pd

    rows = [row for a in (SHARED, OWN) for row in _stops(a, programs, live, garbage, collector, quantum_us, room)[0]]
    return Measured(pd.DataFrame(rows, columns=["arrangement", "program", "cycle", "cycles"]), "Who was stopped when", None, draw.stops)


def shares(collector: str | dict[str, str] = "semispace", size: str = "teaching", seed: int = 1, **options) -> Measured:
    """Run all workloads at the same time in one system, and see what each SIP spends collecting.

    Parameters
    ----------
    collector : str or dict
        Of all, or by workload.
    size : str
    seed : int
    **options
        For :class:`System`.

    Returns
    -------
    Measured
        A row a SIP: its collector, percent of all SIPs' time that it had (``CPU %``), percent of its own time that were collections
        (``GC % of its time``), its ``cycles``, ``pauses`` and the ``longest``. ``plot`` draws the paper's SIPs beside them.
    """
    import pandas as pd

    system = System(**{"ram": "128M", **options})
    collectors, order = {}, []
    for name, workload in workloads().items():
        chosen = collector if isinstance(collector, str) else collector[name]
        for process in workload.start(system, size, seed, chosen):
            collectors[process.number] = chosen
            order.append(process)
    system.run()
    if (unfinished := [process.name for process in order if process.exit_value is None]):
        raise RuntimeError(f"{', '.join(unfinished)} did not come to an end")
    turns, table = runs(system), pauses(system)
    had = (turns["end"] - turns["begin"]).groupby(turns["process"]).sum()
    had = had[[system.trace.process_name(process.number) for process in order]]
    rows = []
    for process in order:
        own = table[table["process"] == process.number]["cycles"]
        cycles = int(had.get(system.trace.process_name(process.number), 0))
        rows.append({"SIP": process.name, "collector": collectors[process.number], "CPU %": 100 * cycles / had.sum(),
                     "GC % of its time": 100 * own.sum() / max(1, cycles), "cycles": cycles, "pauses": len(own),
                     "longest": int(own.max()) if len(own) else 0})  # fmt: skip
    return Measured(pd.DataFrame(rows), "What each SIP spends collecting", None, draw.shares)
