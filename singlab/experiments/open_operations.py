"""Open personality beside the sealed one: system calls, yields, messages and new processes, and what the papers measured.

Open processes time themselves with the cycle counter, in batches after a warm-up, as the SIPs of
:mod:`singlab.experiments.basic_operations` do. A system call is ``clock_getres``, as in the papers. A ping-pong is a
byte there and another back, through two pipes or a pair of sockets. A new process is made by ``fork``, becomes a
program that ends at once by ``execve``, and is waited for; of a sealed process the row is the kernel's part of
creating and starting it. A message of a size is written, read, written back and read.

What it leaves out of a conventional system: permissions, signals, a file system, protocols above packets, demand
paging, dynamic linking. So ours does less than those the papers measured, and the error says how much.
"""

from __future__ import annotations

from collections.abc import Sequence

from singlab.experiments import basic_operations, message_size
from singlab.kernel import OpenSystem
from singlab.sing.openprocess import (
    DATA,
    PRIVATE,
    READ,
    WRITE,
    build_process,
    clock_getres,
    cycles,
    execve,
    exit,
    fork,
    helper,
    load64,
    mark,
    mmap,
    pipe,
    process,
    read,
    sched_yield,
    socketpair,
    u64,
    waitpid,
    write,
)
from singlab.trace.record import Kind

OPERATIONS = {
    "system_call": "system call", "yield": "yield, nobody else ready", "ping_pong_pipe": "ping-pong, 1 byte, pipes",
    "ping_pong_socket": "ping-pong, 1 byte, sockets", "fork": "fork, exit and wait", "create_process": "fork, exec, exit and wait",
}  # fmt: skip
#: Operation of the sealed system that stands beside each of ours, and the papers' column.
BESIDE = {"system_call": "abi_call", "yield": "yield", "ping_pong_pipe": "ping_pong", "ping_pong_socket": "ping_pong", "create_process": "create_process"}
PAPER_COLUMNS = {"system_call": "api_call", "yield": "yield", "ping_pong_pipe": "ping_pong", "ping_pong_socket": "ping_pong", "create_process": "create_process"}
SEALED = ("sip", "ring3-domains")
BATCHES = 9
ITERATIONS = 100
#: A process takes as long as hundreds of calls.
FEWER = 10
WAYS = ("pipe", "socket")


@helper
def transfer_in(file: u64, address: u64, size: u64):
    """Read all of a message."""
    got: u64 = 0
    while got < size:
        got += read(file, address + got, size - got)


@process
def empty(batches: u64, iterations: u64) -> u64:
    for _batch in range(batches):
        start = cycles()
        for _i in range(iterations):
            pass
        mark(cycles() - start)
    return 0


@process
def calls(batches: u64, iterations: u64) -> u64:
    for _batch in range(batches):
        start = cycles()
        for _i in range(iterations):
            clock_getres()
        mark(cycles() - start)
    return 0


@process
def yields(batches: u64, iterations: u64) -> u64:
    for _batch in range(batches):
        start = cycles()
        for _i in range(iterations):
            sched_yield()
        mark(cycles() - start)
    return 0


@process
def forks(batches: u64, iterations: u64, execs: u64) -> u64:
    for _batch in range(batches):
        start = cycles()
        for _i in range(iterations):
            child = fork()
            if child == 0:
                if execs != 0:
                    execve("idle", 0, 0, 0, 0)
                exit(0)
            waitpid(child, 0)
        mark(cycles() - start)
    return 0


@process
def idle() -> u64:
    return 0


@process
def players(batches: u64, iterations: u64, sockets: u64, size: u64) -> u64:
    """The parent sends a message to its child and waits for it to come back."""
    there: u64 = DATA
    back: u64 = DATA + 16
    ball = mmap(0, size, READ | WRITE, PRIVATE)
    if sockets == 0:
        pipe(there)
        pipe(back)
    else:
        socketpair(there)
    reads_here = load64(back)
    writes_here = load64(there + 8)
    reads_there = load64(there)
    writes_there = load64(back + 8)
    if sockets != 0:
        reads_here = load64(there)
        writes_here = load64(there)
        reads_there = load64(there + 8)
        writes_there = load64(there + 8)
    if fork() == 0:
        for _round in range(batches * iterations):
            transfer_in(reads_there, ball, size)
            write(writes_there, ball, size)
        exit(0)
    for _batch in range(batches):
        start = cycles()
        for _i in range(iterations):
            write(writes_here, ball, size)
            transfer_in(reads_here, ball, size)
        mark(cycles() - start)
    return 0


def programs() -> dict:
    """Return the open programs of the experiment by name."""
    return {program.name: build_process(program) for program in (empty, calls, yields, forks, idle, players)}


def _batches(images: dict, name: str, batches: int, iterations: int, options: dict, **words: int) -> list[float]:
    """Return the cycles of an iteration, one value a batch, the warm-up batch left out."""
    system = OpenSystem(**options)
    system.register(images["idle"])
    system.create(images[name], batches=batches + 1, iterations=iterations, **words)
    outcome = system.run()
    if outcome.outcome != "finished" or any(one.end.state != "exit" for one in system.processes):
        raise RuntimeError(f"a measuring process did not finish: {system.processes}\n{outcome}")
    events = system.trace.events
    return [int(value) / iterations for value in events["a"][events["kind"] == Kind.MARK]][1:]


def measure(
    operations: Sequence[str] = tuple(OPERATIONS), sealed: Sequence[str] = SEALED, *, iterations: int = ITERATIONS, batches: int = BATCHES,
    fork: str = "on write", progress: bool = True, **system_options,
):  # fmt: skip
    """Measure operations in the open personality, and those beside them in sealed settings.

    Parameters
    ----------
    operations : sequence of str
        Of ``OPERATIONS``.
    sealed : sequence of str
        Isolation settings of the sealed system to measure too; none if empty.
    iterations, batches : int
        Operations in a batch (a tenth of it where processes are made), and batches that count; one more warms up.
    fork : {"on write", "at once"}
        When a copied process gets pages of its own.
    progress : bool
        Show a progress bar.
    **system_options
        For both systems: profile, seed and so on.

    Returns
    -------
    pandas.DataFrame
        Columns ``operation``, ``system`` ("open", or "sealed, " and its isolation), ``cycles`` (median over the batches, per
        operation), ``least`` and ``most``, ``batches``, ``iterations`` and ``profile``; one row a point.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    for name in operations:
        if name not in OPERATIONS:
            raise ValueError(f"{name!r} is not known; choose of {', '.join(OPERATIONS)}")
    images, options = programs(), {**system_options, "fork": fork}
    profile = system_options.get("profile", "athlon64")
    loop = min(_batches(images, "empty", 2, iterations, options))
    plan = {
        "system_call": ("calls", {}), "yield": ("yields", {}), "ping_pong_pipe": ("players", {"sockets": 0, "size": 1}),
        "ping_pong_socket": ("players", {"sockets": 1, "size": 1}), "fork": ("forks", {"execs": 0}), "create_process": ("forks", {"execs": 1}),
    }  # fmt: skip
    rows = []
    for operation in tqdm(operations, desc="open operations", unit="point", disable=not progress, leave=False):
        name, words = plan[operation]
        count = max(1, iterations // FEWER) if name == "forks" else iterations
        values = pd.Series(_batches(images, name, batches, count, options, **words)) - loop
        rows.append({"operation": operation, "system": "open", "cycles": values.median(), "least": values.min(), "most": values.max(),
                     "batches": len(values), "iterations": count, "profile": getattr(profile, "name", profile)})  # fmt: skip
    beside = list(dict.fromkeys(BESIDE[operation] for operation in operations if operation in BESIDE))
    if sealed and beside:
        theirs = basic_operations.measure(sealed, beside, iterations=iterations, batches=batches, progress=progress, **system_options)
        for row in theirs.to_dict("records"):
            name = next(ours for ours, other in BESIDE.items() if other == row["operation"])
            isolation = row.pop("isolation")
            rows.append({**row, "operation": name.removesuffix("_pipe") if "ping" in name else name, "system": f"sealed, {isolation}"})
    return pd.DataFrame(rows)


def comparison(frame):
    """Return ours beside what the papers measured: cycles of both, ratio of ours to theirs, error in per cent.

    The open personality stands beside FreeBSD, Linux and Windows, the sealed settings beside Singularity. Nothing here was
    fitted to these figures.
    """
    import pandas as pd

    from singlab.experiments.datasets import load_dataset

    papers = load_dataset("basic_operations.csv")
    rows = []
    for row in frame.itertuples():
        column = PAPER_COLUMNS.get(row.operation) or PAPER_COLUMNS.get(f"{row.operation}_pipe")
        if column is None:
            continue
        names = _OPEN_ONES if row.system == "open" else [_THEIR_NAMES.get(row.system)]
        if row.system != "open" and row.operation == "create_process":
            continue  # ours is the kernel's part alone
        for paper in papers[papers["system"].isin(names) & (papers["machine"] == "A")].to_dict("records"):
            value = paper[column]
            if value != value:  # not measured there
                continue
            rows.append({"operation": row.operation, "system": row.system, "cycles": row.cycles, "paper's system": paper["system"], "paper": value,
                         "ratio": row.cycles / value, "error %": 100 * (row.cycles / value - 1)})  # fmt: skip
    return pd.DataFrame(rows).round(2)


_OPEN_ONES = ["FreeBSD 5.3", "Linux 2.6.11", "Linux 2.6 (getpid)", "Windows", "Windows (GetProcessId)"]
_THEIR_NAMES = {"sealed, sip": "Singularity", "sealed, ring3-domains": "Singularity in ring 3"}


def plot(frame, papers: bool = True):
    """Draw each operation in the open and the sealed systems, and beside it what the papers measured.

    Parameters
    ----------
    frame : pandas.DataFrame
        From :func:`measure`.
    papers : bool
        Whether to draw the papers' figures (EuroSys 2007, table 8; MSPC 2006, table 1) too.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    from singlab.experiments import style
    from singlab.experiments.datasets import load_dataset

    groups = {"system_call": ("system_call",), "yield": ("yield",), "ping_pong": ("ping_pong_pipe", "ping_pong_socket", "ping_pong"),
              "create_process": ("fork", "create_process")}  # fmt: skip
    titles = {"system_call": "system call", "yield": "yield", "ping_pong": "ping-pong, 1 byte", "create_process": "a new process"}
    known = [name for name, members in groups.items() if set(members) & set(frame["operation"])]
    columns = min(2, max(1, len(known)))
    lines = -(-max(1, len(known)) // columns)
    figure, grid = plt.subplots(lines, columns, figsize=(5.4 * columns, 3.5 * lines), layout="constrained", squeeze=False)
    theirs = load_dataset("basic_operations.csv")
    theirs = theirs[theirs["machine"] == "A"]
    for axes, name in zip(grid.flat, known, strict=False):
        points = frame[frame["operation"].isin(groups[name])]
        labels, values, colours = [], [], []
        for row in points.itertuples():
            way = {"ping_pong_pipe": ", pipes", "ping_pong_socket": ", sockets", "fork": ", fork alone", "create_process": ", fork and exec"}
            labels.append(row.system + (way.get(row.operation, "") if row.system == "open" else ", without loading" if "create" in row.operation else ""))
            values.append(row.cycles)
            colours.append(style.VERMILION if row.system == "open" else style.BLUE)
        places = list(range(len(labels)))
        axes.scatter(values, places, c=colours, s=52, zorder=3)
        axes.hlines(places, points["least"], points["most"], colors=colours, linewidth=2.2, zorder=2)
        if papers:
            column = {"system_call": "api_call"}.get(name, name)
            for row in theirs.dropna(subset=[column]).to_dict("records"):
                labels.append(row["system"])
                axes.plot([row[column]], [len(labels) - 1], color=style.GREY, zorder=4, **{**style.THEIRS, "linestyle": "none"})
        axes.set_yticks(range(len(labels)), labels, fontsize=9)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.margins(x=0.12)
        axes.grid(True, axis="x", color="#E5E7EB", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_title(titles[name], loc="left", fontsize=11, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="x", labelsize=9)
        low, high = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if high > 200 * low else (1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    for axes in list(grid.flat)[len(known) :]:
        axes.remove()
    figure.supxlabel("cycles per operation, each step of a scale a factor", fontsize=11)
    if papers:
        figure.suptitle("full: simulated machine, measured now (line: least to most); circles: real hardware, EuroSys 2007 table 8 and MSPC 2006 table 1",
                        fontsize=9, color=style.GREY, x=0.01, ha="left")  # fmt: skip
    return figure


def sweep(sizes: Sequence[int] = message_size.SIZES, ways: Sequence[str] = WAYS, *, rounds: int = 24, progress: bool = True, **system_options):
    """Measure a message there and back through pipes and sockets, which copy it into the kernel and out of it each time.

    Parameters
    ----------
    sizes : sequence of int
        Bytes.
    ways : sequence of str
        "pipe" and "socket".
    rounds : int
        Round trips of each point that are timed, after as many to warm up.
    progress : bool
    **system_options
        For :class:`OpenSystem`.

    Returns
    -------
    pandas.DataFrame
        Columns ``bytes``, ``mode`` ("pipe" or "socket"), ``cycles`` (per round trip), ``profile`` and ``isolation`` ("open"), as
        :func:`singlab.experiments.message_size.sweep` has them.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    for way in ways:
        if way not in WAYS:
            raise ValueError(f"{way!r} is not known; choose of {', '.join(WAYS)}")
    images, profile, rows = programs(), system_options.get("profile", "athlon64"), []
    for way, size in tqdm([(way, size) for way in ways for size in sizes], desc="message size", unit="point", disable=not progress, leave=False):
        cycles_ = _batches(images, "players", 1, rounds, system_options, sockets=int(way == "socket"), size=size)[0]
        rows.append({"bytes": size, "mode": way, "cycles": cycles_, "profile": getattr(profile, "name", profile), "isolation": "open"})
    return pd.DataFrame(rows)


def size_comparison(opened, sealed):
    """Return round trips by size: pipes and sockets, the sealed system by ownership, and the papers' with the error of ours (per cent).

    Parameters
    ----------
    opened : pandas.DataFrame
        From :func:`sweep`.
    sealed : pandas.DataFrame
        From :func:`singlab.experiments.message_size.sweep`, one isolation setting.
    """
    from singlab.experiments.datasets import load_dataset

    table = opened.pivot(index="bytes", columns="mode", values="cycles")
    table["channel"] = sealed[sealed["mode"] == "ownership"].set_index("bytes")["cycles"]
    theirs = load_dataset("message_size.csv").pivot(index="bytes", columns="system", values="cycles")
    for name in ("Linux", "Windows", "Singularity"):
        table[f"paper: {name}"] = theirs[name]
    way = "socket" if "socket" in table else "pipe"
    table[f"{way} / channel"] = table[way] / table["channel"]
    table["paper: Linux / Singularity"] = theirs["Linux"] / theirs["Singularity"]
    table[f"error % of {way}, Linux"] = 100 * (table[way] / theirs["Linux"] - 1)
    table["error % of channel"] = 100 * (table["channel"] / theirs["Singularity"] - 1)
    return table.round(2)


def plot_sizes(opened, sealed, papers: bool = True):
    """Draw round trips by size, open and sealed, and what the paper measured (EuroSys 2007, table 9).

    Parameters
    ----------
    opened, sealed : pandas.DataFrame
        As for :func:`size_comparison`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from singlab.experiments import style
    from singlab.experiments.datasets import load_dataset

    figure, axes = style.new_axes()
    looks = {"pipe": (style.VERMILION, "s"), "socket": (style.PURPLE, "D")}
    for way, points in opened.groupby("mode", sort=False):
        colour, marker = looks[way]
        axes.plot(points["bytes"], points["cycles"], color=colour, label=f"singlab, open: {way}", zorder=3, **{**style.OURS, "marker": marker})
    points = sealed[sealed["mode"] == "ownership"]
    axes.plot(points["bytes"], points["cycles"], color=style.BLUE, label="singlab, sealed: block changes owner", zorder=3, **style.OURS)
    if papers:
        colours = {"Singularity": style.SKY, "Linux": style.ORANGE, "Windows": style.GREY}
        for system, points in load_dataset("message_size.csv").groupby("system", sort=False):
            axes.plot(points["bytes"], points["cycles"], color=colours[system], label=f"paper: {system}", **style.THEIRS)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted(opened["bytes"].unique()))
    axes.xaxis.set_major_formatter(FuncFormatter(style.bytes_label))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("message size", fontsize=12)
    axes.set_ylabel("cycles per round trip", fontsize=12)
    axes.set_title("A message there and back, open and sealed", loc="left", fontsize=14, fontweight="bold")
    axes.legend(frameon=False, fontsize=10, loc="upper left")
    return figure
