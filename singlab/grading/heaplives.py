"""Lives of programs whose heaps a student's policies decide about, each beside the same life under the kernel's own rule.

A bed is a workload with its parameters, its seed and the memory it has. It is run twice: the baseline is what the kernel does on
an adaptive heap without a policy, measured like everything else and in the same process. Of both, every pause counts, the cycles of
the whole run, and the pages of each process's heap; what a collector copies to is among them.

Leaves out the other slots of heaps: all heaps grow in the same steps, and none has a nursery.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from singlab.experiments.collection import heap_peak, pauses
from singlab.experiments.workloads import workloads
from singlab.kernel import System
from singlab.kernel.policies import PolicyError
from singlab.sing.policies import Policy, policy_from_source
from singlab.trace.pauses import pause_statistics

#: A life that takes so many times the baseline's cycles is given up.
PATIENCE = 5
#: Bytes a heap grows by.
STEP = 16384
_GROWTH = f"""
def step(heap, size):
    if size > {STEP}:
        return size
    return {STEP}
"""
#: Cycles of a baseline, whatever it does.
_LIMIT = 1_000_000_000


@dataclass(frozen=True)
class Bed:
    """A program with its memory, and what is asked of whoever decides about its heap.

    Attributes
    ----------
    workload : str
    room : int
        The most bytes that each process's heap can have.
    tail, time : float
        The 99th percentile of pauses, and the cycles of the whole run: so many times the kernel's at most.
    seed : int
    changed : tuple of (str, int)
        Parameters of the workload that are not those of its teaching size.
    """

    workload: str
    room: int
    tail: float
    time: float
    seed: int = 1
    changed: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        """Return what a student would call it."""
        return f"{self.workload} in {self.room // 1024:,} KB"


@dataclass(frozen=True)
class Life:
    """What became of a program.

    Attributes
    ----------
    cycles : int
        Of the whole run.
    pauses : pandas.DataFrame
        As in :func:`singlab.experiments.collection.pauses`.
    statistics : dict
        As in :func:`singlab.trace.pauses.pause_statistics`.
    peak : int
        The most bytes of pages that the heap of any process had, the space it was copied to included.
    trouble : str
        What was wrong with a policy; empty if nothing.
    given_up : bool
        It took too long.
    died : bool
        A program did not come to its result.
    """

    cycles: int
    pauses: object
    statistics: dict[str, float]
    peak: int
    trouble: str = ""
    given_up: bool = False
    died: bool = False


def live(bed: Bed, policies: tuple[Policy, ...] = ()) -> Life:
    """Run a bed's program to its end, or until a policy fails or it takes too long."""
    limit = PATIENCE * baseline(bed).cycles if policies else _LIMIT
    system = System(ram="64M", policies=[_growth(), *policies])
    made = workloads()[bed.workload].start(system, "teaching", bed.seed, "adaptive", bed.room, **dict(bed.changed))
    begun = system.trace.meta["cycles"]
    trouble, outcome = "", ""
    try:
        outcome = system.run(cycles=limit).outcome
    except PolicyError as error:
        trouble = re.sub(r"^.*?: policy ", "", str(error)).partition(";")[0]
    cycles = system.trace.meta["cycles"] - begun
    table = pauses(system)
    table = table[table["process"].isin([process.number for process in made])].reset_index(drop=True)  # not what is the kernel's own
    return Life(cycles, table, pause_statistics(table["cycles"], 0, max(1, cycles)), max(heap_peak(system, process) for process in made), trouble,
                outcome == "limit", outcome not in ("", "limit") and any(process.exit_value is None for process in made))  # fmt: skip


@cache
def baseline(bed: Bed) -> Life:
    """Return the same life as the kernel leads it without a policy."""
    return live(bed)


@cache
def _growth() -> Policy:
    return policy_from_source("growth", _GROWTH, "exercise 08")
