"""Pipelines of SIPs under many schedules, and what the trace says about their blocks.

A source sends blocks down a pipeline, the answer's stages handle them, a sink takes what comes out. Source and sink are
ours and put what they see into the trace as marks; where blocks went comes from the kernel's own events. A schedule is
what may differ between two runs without changing what is right: the machine, the isolation, the length of a time
slice, when somebody yields, who stops early, and who is stopped from outside and when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from singlab.kernel import System
from singlab.kernel.image import SealedImage
from singlab.kernel.process import End, blocked_report
from singlab.trace.record import Kind

LOW32 = 0xFFFF_FFFF
#: Cycles a pipeline may take; the longest with the solution needs a tenth of it.
LIMIT_CYCLES = 30_000_000


@dataclass(frozen=True)
class Schedule:
    """What may differ between runs.

    Attributes
    ----------
    profile, isolation : str
    quantum_us : int
    seed, blocks, size, noise : int
        For the source: seed of its blocks, how many, their largest size, how often it yields (0 = never).
    takes : int
        Blocks the sink takes before it ends; 0 = all.
    kill : (str, int) or None
        Who is stopped from outside, and after how many events.
    """

    profile: str = "athlon64"
    isolation: str = "sip"
    quantum_us: int = 10_000
    seed: int = 1
    blocks: int = 20
    size: int = 64
    noise: int = 0
    takes: int = 0
    kill: tuple[str, int] | None = None


@dataclass
class Passage:
    """One run of pipelines.

    Attributes
    ----------
    outcome : str
        As in :class:`singlab.kernel.system.Run`.
    ends : dict of str to End
        By process name.
    marks : dict of str to list of int
    report : str
        Who waits for what, if not all ended.
    allocated : dict of str to int
        Blocks each process allocated.
    copied : int
        Bytes the kernel copied.
    alive : int
        The most blocks that were alive at once.
    left : int
        Blocks alive at the end.
    arrived : dict of str to list of (int, int)
        For each process, what it was given: data address, and how many blocks had been allocated there before.
    made : dict of str to list of (int, int)
        The same for what it allocated.
    holdings : int
        Threads, endpoints, blocks and pages that ended processes still have.
    """

    outcome: str
    ends: dict[str, End]
    marks: dict[str, list[int]]
    report: str
    allocated: dict[str, int] = field(default_factory=dict)
    copied: int = 0
    alive: int = 0
    left: int = 0
    arrived: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    made: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    holdings: int = 0


def run_pipelines(pipelines: Sequence[Sequence[tuple[str, SealedImage, dict[str, int]]]], schedule: Schedule) -> Passage:
    """Run pipelines side by side.

    Parameters
    ----------
    pipelines : sequence of sequences of (name, image, startup arguments)
        Source first. A stage's endpoint ``output`` is connected to the next one's ``input``.
    schedule : Schedule
    """
    system = System(profile=schedule.profile, isolation=schedule.isolation, quantum_us=schedule.quantum_us, ram="4M")
    named = {}
    for pipeline in pipelines:
        stages = [system.create(image, name=name, **arguments) for name, image, arguments in pipeline]
        for before, after in zip(stages, stages[1:]):
            system.connect(before["output"], after["input"])
        named |= {stage.name: stage for stage in stages}
    if schedule.kill is not None:
        victim, events = schedule.kill
        system.run(cycles=LIMIT_CYCLES, events=events)
        system.stop(named[victim])
    run = system.run(cycles=LIMIT_CYCLES)
    report = run.report or ("" if run.outcome == "finished" else blocked_report(system))
    passage = Passage(run.outcome, {name: process.end for name, process in named.items()}, {name: [] for name in named}, report)
    passage.holdings = sum(sum(p.holdings().values()) for p in named.values() if p.state == "stopped")
    _follow(system, {process.number: name for name, process in named.items()}, passage)
    return passage


def _follow(system: System, names: dict[int, str], passage: Passage) -> None:
    """Follow every block through the trace."""
    generation: dict[int, int] = {}
    alive = 0
    for event in system.trace.events:
        kind, a, b = int(event["kind"]), int(event["a"]), int(event["b"])
        if kind == Kind.MARK:
            passage.marks[names[int(event["process"])]].append(a)
        elif kind == Kind.BLOCK_ALLOC:
            name = names.get(b >> 32, "")
            generation[a] = generation.get(a, 0) + 1
            passage.allocated[name] = passage.allocated.get(name, 0) + 1
            passage.made.setdefault(name, []).append((a, generation[a]))
            alive += 1
            passage.alive = max(passage.alive, alive)
        elif kind == Kind.BLOCK_FREE:
            alive -= 1
        elif kind == Kind.BLOCK_OWNER:
            passage.arrived.setdefault(names.get(b & LOW32, ""), []).append((a, generation.get(a, 0)))
        elif kind == Kind.BLOCK_COPY:
            passage.copied += b
    passage.left = alive
