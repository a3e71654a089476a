"""Scheduling: pairs that talk beside a hog that only computes, under the kernel's own scheduler or somebody's policies.

Each asker sends a question and waits for the answer, over and over, and marks how many cycles that took. The hog computes
from beginning to end and never waits. So the askers' times say how soon a conversation gets the processor, and
the hog's end says what is left for those who compute.

What it leaves out: more than one processor, and devices that wake threads.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from singlab.kernel import System
from singlab.kernel.image import SealedImage
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

#: Questions of each asker, turns of the hog's loop and the time slice, small enough to watch.
ROUNDS, TURNS, QUANTUM_US = 20, 400_000, 10

SOURCE = '''
Chat = contract("""
contract Chat {
    in  message Ask(ulong n);
    out message Answer(ulong n);
    state Start: Ask? -> Answer! -> Start;
}
""")

@sip
def asker(ch: Chat.Imp, rounds: u64):
    for i in range(rounds):
        before = cycles()
        ch.send(Chat.Ask(i))
        ch.receive(Chat.Answer)
        mark(cycles() - before)

@sip
def answerer(ch: Chat.Exp):
    while True:
        match ch.receive():
            case Chat.Ask(n):
                ch.send(Chat.Answer(n + 1))
            case ChannelClosed():
                return

@sip
def hog(turns: u64) -> u64:
    total: u64 = 0
    for i in range(turns):
        total += i
    return total
'''


@cache
def images() -> dict[str, SealedImage]:
    """Return the sealed images of the experiment by name."""
    return {name: build(program) for name, program in programs_from_source(SOURCE, "scheduling").programs.items()}


def beside_a_hog(policies=(), *, pairs: int = 1, rounds: int = ROUNDS, turns: int = TURNS, quantum_us: int = QUANTUM_US, **options) -> System:
    """Return a system in which pairs talk beside a hog, ready to run.

    Parameters
    ----------
    policies : iterable of policy
        In force from the beginning.
    pairs, rounds, turns : int
        Pairs that talk, questions of each, turns of the hog's loop (0 = no hog).
    quantum_us : int
        Time slice in microseconds.
    **options
        For :class:`System`.
    """
    system = System(policies=policies, quantum_us=quantum_us, **options)
    for number in range(pairs):
        label = "" if pairs == 1 else f" {number + 1}"
        one = system.create(images()["asker"], name=f"asker{label}", rounds=rounds)
        other = system.create(images()["answerer"], name=f"answerer{label}")
        system.connect(one["ch"], other["ch"])
    if turns:
        system.create(images()["hog"], turns=turns)
    return system


def responses(system: System):
    """Return the askers' waiting times: one row a question, columns ``process``, ``cycle`` (of the answer) and ``cycles``."""
    import pandas as pd

    events = system.trace.events
    marks = events[events["kind"] == Kind.MARK]
    names = [system.trace.process_name(int(number)) for number in marks["process"]]
    return pd.DataFrame({"process": names, "cycle": marks["cycle"], "cycles": marks["a"]})


def runs(system: System):
    """Return who ran when.

    Returns
    -------
    pandas.DataFrame
        One row a turn: ``process``, ``thread``, ``begin`` and ``end`` in cycles, and ``preempted``, whether the timer ended it.
    """
    import pandas as pd

    trace = system.trace
    events = trace.events
    kinds = np.isin(events["kind"], [Kind.THREAD_RUN, Kind.THREAD_PREEMPT, Kind.THREAD_BLOCK, Kind.THREAD_EXIT, Kind.PROCESS_EXIT, Kind.PROCESS_FAULT])
    owners = trace.meta["threads"]
    rows, running, preempted = [], None, False
    last = trace.meta["cycles"]
    for event in [*events[kinds], None]:
        kind = event["kind"] if event is not None else Kind.THREAD_RUN
        if kind == Kind.THREAD_PREEMPT:
            preempted = True
        elif kind != Kind.THREAD_RUN:
            last = int(event["cycle"])  # the run ends here if nobody is picked after it
        else:
            if running is not None:
                thread, begin = running
                process = trace.process_name(int(owners[str(thread)]["process"]))
                rows.append((process, thread, begin, int(event["cycle"]) if event is not None else last, preempted))
            running = None if event is None else (int(event["a"]), int(event["cycle"]))
            preempted = False
    return pd.DataFrame(rows, columns=["process", "thread", "begin", "end", "preempted"])


def summary(systems: dict[str, System]):
    """Run systems and compare them.

    Parameters
    ----------
    systems : dict of str to System
        By name of what is in force, each from :func:`beside_a_hog`.

    Returns
    -------
    pandas.DataFrame
        One row a system: mean, median and longest wait for an answer and the cycle at which the last answer came, the
        hog's share of the processor until then in percent, and how often the processor changed hands in all.
    """
    import pandas as pd

    rows = {}
    for name, system in systems.items():
        system.run()
        waits, events = responses(system), system.trace.events
        last, turns = int(waits["cycle"].max()), runs(system)
        hog = turns[(turns["process"] == "hog") & (turns["begin"] < last)]
        computed = (hog["end"].clip(upper=last) - hog["begin"]).sum()
        rows[name] = {
            "mean wait": waits["cycles"].mean(), "median wait": waits["cycles"].median(), "longest wait": waits["cycles"].max(),
            "last answer at": last, "hog's share %": round(100 * computed / last), "switches": int((events["kind"] == Kind.THREAD_RUN).sum()),
        }  # fmt: skip
    return pd.DataFrame(rows).T.astype("int64")


def timeline(system: System, first: int = 0, last: int | None = None, by: str = "process"):
    """Draw who had the processor when.

    Parameters
    ----------
    system : System
        That has run.
    first, last : int
        Cycles between which to look; to the end if ``last`` is not given.
    by : {"process", "thread"}
        What has a row of its own.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import FuncFormatter

    from singlab.experiments import style

    frame = runs(system)
    last = int(frame["end"].max()) if last is None else last
    seen = frame[(frame["end"] > first) & (frame["begin"] < last)]
    lanes = list(dict.fromkeys(frame[by]))
    shades = (style.BLUE, style.GREEN, style.VERMILION, style.PURPLE, style.ORANGE, style.SKY)
    figure, axes = style.new_axes(9.0, 0.9 + 0.5 * len(lanes))
    for lane, name in enumerate(lanes):
        turns = seen[seen[by] == name]
        spans = [(begin, end - begin) for begin, end in zip(turns["begin"], turns["end"], strict=True)]
        axes.broken_barh(spans, (lane - 0.36, 0.72), facecolors=shades[lane % len(shades)])
        cut = turns[turns["preempted"]]
        axes.plot(cut["end"], [lane + 0.42] * len(cut), linestyle="", marker="v", markersize=5, color="#222222")
    axes.set_yticks(range(len(lanes)), [f"{by} {name}" if by == "thread" else name for name in lanes])
    axes.invert_yaxis()
    axes.set_xlim(first, last)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("cycles; a triangle: the timer ended the turn", fontsize=10)
    return figure
