"""Basic operations: what the papers' table of them comes to here, in each isolation setting.

SIPs time themselves with the cycle counter, in batches after a warm-up, and mark the cycles of each batch in
the trace; so a figure comes with its spread. The cost of the loop around an operation is measured in a loop
without it and subtracted. An ABI call is one that is really called; the process number, which is put into the
program in ring 0, stands beside it. A yield is of a SIP that finds nobody else ready, a thread switch one
between two SIPs. A ping-pong is a message with one byte there and another back: between two SIPs, between two threads
of one, and to a server that waits on a set of endpoints. Threads, channels and processes are made and given back: a
thread runs and is joined, a channel is closed at both ends, a child runs and has ended.

What it leaves out: binding a name. Our child is one page of code that returns at once; the papers' has a runtime
and a heap to set up, so that row says little as a prediction.
"""

from __future__ import annotations

from collections.abc import Sequence

from singlab.kernel import System
from singlab.kernel.isolation import SETTINGS
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

#: In the order of the ladder.
ISOLATIONS = tuple(SETTINGS)
OPERATIONS = {
    "abi_call": "ABI call",
    "process_id": "process number",
    "yield": "yield, nobody else ready",
    "thread_switch": "thread switch",
    "ping_pong": "ping-pong, 1 byte",
    "thread_ping_pong": "ping-pong, 1 byte, one process",
    "set_ping_pong": "ping-pong, 1 byte, a set waited on",
    "block_ping_pong": "ping-pong, a block of 64 bytes",
    "page_ping_pong": "ping-pong, a block of 4 KB",
    "allocate": "allocate and free 64 bytes",
    "allocate_page": "allocate and free 4 KB",
    "create_thread": "create and join a thread",
    "create_channel": "create and close a channel",
    "create_process": "create, run and end a process",
}
BATCHES = 9
ITERATIONS = 100
#: Of making processes, which use up their numbers.
_FEW = 10
#: The papers' rows our operations are compared with; the others have none.
PAPER_ROWS = {
    "abi_call": "abi_call", "ping_pong": "message_cross_process", "thread_ping_pong": "message_same_process", "create_thread": "create_thread",
    "create_channel": "create_channel", "create_process": "create_process",
}  # fmt: skip
#: Which program measures an operation, where it is not one with a partner; of those the second is the partner.
_ALONE = {
    "loop": "empty", "abi_call": "abi_call", "process_id": "number", "yield": "yields", "create_thread": "threads", "create_channel": "channels",
    "create_process": "processes", "thread_ping_pong": "two_threads",
}  # fmt: skip
_SIZES = {"allocate": 64, "allocate_page": 4096, "block_ping_pong": 64, "page_ping_pong": 4096}
_PARTNERS = {"ping_pong": ("player", "wall"), "set_ping_pong": ("player", "set_wall"), "block_ping_pong": ("giver", "wall"), "page_ping_pong": ("giver", "wall")}

SOURCE = '''
Ball = contract("""
contract Ball {
    in  message Ping(byte b);
    out message Pong(byte b);
    in  message Give(byte[]* in ExHeap data);
    out message Back(byte[]* in ExHeap data);
    state Start: one { Ping? -> Pong! -> Start; Give? -> Back! -> Start; }
}
""")

@sip
def wall(ch: Ball.Exp):
    while True:
        match ch.receive():
            case Ball.Ping(b):
                ch.send(Ball.Pong(b))
            case Ball.Give(data):
                ch.send(Ball.Back(data))
            case ChannelClosed():
                return

@sip
def empty(batches: u64, iterations: u64):
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            pass
        mark(cycles() - start)

@sip
def abi_call(batches: u64, iterations: u64) -> u64:
    hertz: u64 = 0
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            hertz = cycles_per_second()
        mark(cycles() - start)
    return hertz

@sip
def number(batches: u64, iterations: u64) -> u64:
    mine: u64 = 0
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            mine = process_id()
        mark(cycles() - start)
    return mine

@sip
def yields(batches: u64, iterations: u64):
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            yield_()
        mark(cycles() - start)

@sip
def allocates(batches: u64, iterations: u64, size: u64):
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            data = new(u8, size)
            free(data)
        mark(cycles() - start)

@sip
def player(ch: Ball.Imp, batches: u64, iterations: u64):
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            ch.send(Ball.Ping(1))
            b = ch.receive(Ball.Pong)
        mark(cycles() - start)

@sip
def giver(ch: Ball.Imp, batches: u64, iterations: u64, size: u64):
    data = new(u8, size)
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            ch.send(Ball.Give(data))
            data = ch.receive(Ball.Back)
        mark(cycles() - start)
    free(data)

@sip
def set_wall(ch: Ball.Exp):
    ends = ESet(Ball.Exp)
    ends.add(ch)
    while len(ends) > 0:
        match ends.receive():
            case (ep, Ball.Ping(b)):
                ep.send(Ball.Pong(b))
                ends.add(ep)
            case (ep, Ball.Give(data)):
                ep.send(Ball.Back(data))
                ends.add(ep)
            case (ep, ChannelClosed()):
                ep.close()
    ends.close()

@function
def wall_thread(ch: Ball.Exp) -> u64:
    while True:
        match ch.receive():
            case Ball.Ping(b):
                ch.send(Ball.Pong(b))
            case Ball.Give(data):
                ch.send(Ball.Back(data))
            case ChannelClosed():
                ch.close()
                return 0

@sip
def two_threads(batches: u64, iterations: u64):
    imp, exp = new_channel(Ball)
    wall = thread(wall_thread, exp)
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            imp.send(Ball.Ping(1))
            b = imp.receive(Ball.Pong)
        mark(cycles() - start)
    imp.close()
    ended = join(wall)

@function
def nothing() -> u64:
    return 0

@sip
def threads(batches: u64, iterations: u64):
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            ended = join(thread(nothing))
        mark(cycles() - start)

@sip
def channels(batches: u64, iterations: u64):
    for batch in range(batches):
        start = cycles()
        for i in range(iterations):
            imp, exp = new_channel(Ball)
            imp.close()
            exp.close()
        mark(cycles() - start)

@sip
def idle(ch: Ball.Exp):
    return

@sip(extensions=[("idle", "Ball")])
def processes(batches: u64, iterations: u64):
    for batch in range(batches):
        spent: u64 = 0
        for i in range(iterations):
            imp, exp = new_channel(Ball)
            start = cycles()
            child = create("idle", exp)
            child.start()
            value = child.join()
            spent += cycles() - start
            child.close()
            imp.close()
        mark(spent)
'''


def programs() -> dict:
    """Return the sealed images of the experiment by name."""
    return {name: build(program) for name, program in programs_from_source(SOURCE, "basic_operations").programs.items()}


def _marks(system: System) -> list[int]:
    events = system.trace.events
    return [int(value) for value in events["a"][events["kind"] == Kind.MARK]]


def _finish(system: System) -> None:
    run = system.run()
    if run.outcome != "finished" or any(p.end.state != "exit" for p in system.processes):
        raise RuntimeError(f"a measuring SIP did not finish: {system.processes}\n{run}")


def _batches(images: dict, operation: str, batches: int, iterations: int, options: dict) -> list[float]:
    """Return the cycles of an iteration, one value a batch, the warm-up batch left out; the loop's own are still in."""
    system = System(**options)
    both = {"batches": batches + 1, "iterations": iterations}
    share = 1
    if operation in _ALONE:
        if operation == "create_process":
            system.install(images["idle"])
        system.create(images[_ALONE[operation]], **both)
    elif operation == "thread_switch":
        for _ in range(2):
            system.create(images["yields"], **both)
        share = 2  # while one yields once, the other does too
    elif operation in _PARTNERS:
        size = {"size": _SIZES[operation]} if operation in _SIZES else {}
        client, server = (images[name] for name in _PARTNERS[operation])
        client, server = system.create(client, **both, **size), system.create(server)
        system.connect(client["ch"], server["ch"])
    else:
        system.create(images["allocates"], size=_SIZES[operation], **both)
    _finish(system)
    marks = _marks(system)
    if operation == "thread_switch":
        # the last to end has no partner for a part of its last batch
        marks = marks[2:-2]
    else:
        marks = marks[1:]
    return [value / iterations / share for value in marks]


def measure(
    isolations: Sequence[str] = ISOLATIONS,
    operations: Sequence[str] = tuple(OPERATIONS),
    *,
    iterations: int = ITERATIONS,
    batches: int = BATCHES,
    progress: bool = True,
    **system_options,
):
    """Measure operations in isolation settings.

    Parameters
    ----------
    isolations, operations : sequence of str
        Of ``ISOLATIONS`` and ``OPERATIONS``.
    iterations, batches : int
        Operations in a batch, and batches that count; one more before them warms up.
    progress : bool
        Show a progress bar.
    **system_options
        For :class:`System`: profile, seed and so on.

    Returns
    -------
    pandas.DataFrame
        Columns ``operation``, ``isolation``, ``cycles`` (median over the batches, per operation), ``least`` and ``most``
        (its spread), ``batches``, ``iterations`` and ``profile``; one row a point.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    for given, known in ((isolations, ISOLATIONS), (operations, OPERATIONS)):
        for name in given:
            if name not in known:
                raise ValueError(f"{name!r} is not known; choose of {', '.join(known)}")
    images = programs()
    profile = system_options.get("profile", "athlon64")
    rows = []
    points = [(isolation, operation) for isolation in isolations for operation in operations]
    loops = {}
    for isolation, operation in tqdm(points, desc="basic operations", unit="point", disable=not progress, leave=False):
        options = {**system_options, "isolation": isolation}
        if isolation not in loops:
            loops[isolation] = min(_batches(images, "loop", 2, iterations, options))
        count = min(iterations, _FEW) if operation == "create_process" else iterations
        values = [value - loops[isolation] for value in _batches(images, operation, batches, count, options)]
        values = pd.Series(values)
        rows.append({
            "operation": operation, "isolation": isolation, "cycles": values.median(), "least": values.min(), "most": values.max(),
            "batches": len(values), "iterations": count, "profile": getattr(profile, "name", profile),
        })  # fmt: skip
    return pd.DataFrame(rows)


def comparison(frame):
    """Return ours beside the papers' ladder (MSPC 2006, table 1): cycles of both, ratio of ours to theirs, error in per cent.

    Only settings and operations that the paper has; nothing here was fitted to these figures.
    """
    from singlab.experiments.datasets import load_dataset

    theirs = load_dataset("isolation_ladder.csv").set_index("operation")
    rows = []
    for row in frame.itertuples():
        setting = SETTINGS[row.isolation].paper
        if row.operation not in PAPER_ROWS or not setting:
            continue
        paper = theirs.loc[PAPER_ROWS[row.operation], setting]
        if paper == paper:  # the paper leaves some out
            rows.append({
                "operation": row.operation, "isolation": row.isolation, "paper's name": setting, "cycles": row.cycles, "paper": paper,
                "ratio": row.cycles / paper, "error %": 100 * (row.cycles / paper - 1),
            })  # fmt: skip
    import pandas as pd

    return pd.DataFrame(rows).round(2)


def relative(frame):
    """Return each operation's cycles as multiples of its cost in isolation "sip", a column a setting."""
    wide = frame.pivot(index="operation", columns="isolation", values="cycles")
    wide = wide.reindex(index=[o for o in OPERATIONS if o in wide.index], columns=[i for i in ISOLATIONS if i in wide.columns])
    if "sip" not in wide.columns:
        raise ValueError("the frame has no isolation 'sip' to compare with; measure it too")
    return wide.div(wide["sip"], axis=0).round(2)


def plot(frame, papers: bool = True):
    """Draw the ladder of each operation, and beside it what the papers measured on the real systems.

    Parameters
    ----------
    frame : pandas.DataFrame
        From :func:`measure`.
    papers : bool
        Whether to draw the figures of MSPC 2006, table 1, too, with the error of ours as a prediction of them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    from singlab.experiments import style

    operations = [name for name in OPERATIONS if name in set(frame["operation"])]
    isolations = [name for name in ISOLATIONS if name in set(frame["isolation"])]
    compared = comparison(frame) if papers else None
    columns = min(3, len(operations))
    lines = -(-len(operations) // columns)
    figure, grid = plt.subplots(lines, columns, figsize=(4.6 * columns, 2.7 * lines + 0.5), layout="constrained", squeeze=False)
    for axes, operation in zip(grid.flat, operations, strict=False):
        points = frame[frame["operation"] == operation].set_index("isolation").reindex(isolations)
        places = range(len(isolations))
        axes.barh(places, points["cycles"], height=0.55, color=style.BLUE, label="singlab, measured now", zorder=2)
        axes.hlines(places, points["least"], points["most"], color="#222222", linewidth=1.5, zorder=3)
        theirs = compared[compared["operation"] == operation] if papers and len(compared) else []
        if len(theirs):
            at = [isolations.index(name) for name in theirs["isolation"]]
            axes.plot(theirs["paper"], at, label="paper", color=style.VERMILION, zorder=4, **{**style.THEIRS, "linestyle": "none"})
            for place, paper, error in zip(at, theirs["paper"], theirs["error %"], strict=True):
                axes.annotate(f"{error:+.0f} %", (paper, place), xytext=(6, 0), textcoords="offset points", va="center",
                              fontsize=8.5, color=style.VERMILION, zorder=5,
                              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8})  # fmt: skip
        axes.set_yticks(list(places), isolations, fontsize=9)
        axes.invert_yaxis()
        axes.margins(x=0.18)
        axes.set_xlim(left=0)
        axes.set_title(OPERATIONS[operation], loc="left", fontsize=11, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="x", labelsize=9)
        axes.xaxis.set_major_locator(plt.MaxNLocator(4))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    for axes in list(grid.flat)[len(operations) :]:
        axes.set_axis_off()
    figure.supxlabel("cycles per operation", fontsize=11)
    if papers and len(compared):
        figure.suptitle("circles: MSPC 2006, table 1, real hardware, and the error of ours as a prediction; bars: simulated machine",
                        fontsize=9, color=style.GREY, x=0.01, ha="left")  # fmt: skip
    return figure
