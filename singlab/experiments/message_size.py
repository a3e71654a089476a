"""Message size: what a round trip costs, when a block changes owner and when it is copied.

Two SIPs pass one block back and forth. By ownership the kernel changes a word, whatever the size; by
copying it moves every byte, as a conventional system does between address spaces. The client times
its own rounds with the cycle counter, after a warm-up that fills the caches, and returns the cycles of
them all as its result.

What it leaves out: filling and reading the block, which costs the same either way.
"""

from __future__ import annotations

from collections.abc import Sequence

from singlab.kernel import System
from singlab.sing import build, programs_from_source

#: Sizes of the papers' table (EuroSys 2007, table 9), in bytes.
SIZES = (4, 16, 64, 256, 1024, 4096, 16384, 65536)
MODES = ("ownership", "copy")
WARM_UP = 8
ROUNDS = 24

SOURCE = '''
Echo = contract("""
contract Echo {
    in  message Ping(byte[]* in ExHeap data);
    out message Pong(byte[]* in ExHeap data);
    state Start: Ping? -> Pong! -> Start;
}
""")

@sip
def echo_server(ch: Echo.Exp):
    while True:
        match ch.receive():
            case Echo.Ping(data):
                ch.send(Echo.Pong(data))
            case ChannelClosed():
                return

@sip
def echo_client(ch: Echo.Imp, size: u64, warm_up: u64, rounds: u64) -> u64:
    data = new(u8, size)
    for i in range(warm_up):
        ch.send(Echo.Ping(data))
        data = ch.receive(Echo.Pong)
    start = cycles()
    for i in range(rounds):
        ch.send(Echo.Ping(data))
        data = ch.receive(Echo.Pong)
    total = cycles() - start
    free(data)
    return total
'''


def programs():
    """Return the sealed images (client, server) of the experiment."""
    unit = programs_from_source(SOURCE, "message_size")
    return build(unit.programs["echo_client"]), build(unit.programs["echo_server"])


def round_trip(size: int, mode: str, *, rounds: int = ROUNDS, images=None, **system_options) -> float:
    """Measure one point.

    Parameters
    ----------
    size : int
        Bytes of the block.
    mode : {"ownership", "copy"}
    rounds : int
        Round trips that are timed.
    images : pair of SealedImage, optional
        From :func:`programs`, to build them once.
    **system_options
        For :class:`System`: profile, isolation, seed and so on.

    Returns
    -------
    float
        Cycles per round trip.
    """
    client_image, server_image = images or programs()
    system = System(transfer=mode, trace=False, **system_options)
    client = system.create(client_image, size=size, warm_up=WARM_UP, rounds=rounds)
    server = system.create(server_image)
    system.connect(client["ch"], server["ch"])
    run = system.run()
    if client.exit_value is None:
        raise RuntimeError(f"the client did not finish: {client!r}\n{run}")
    return client.exit_value / rounds


def sweep(
    sizes: Sequence[int] = SIZES,
    modes: Sequence[str] = MODES,
    *,
    rounds: int = ROUNDS,
    progress: bool = True,
    **system_options,
):
    """Measure cycles per round trip over sizes and modes.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of the block.
    modes : sequence of str
        "ownership" and "copy".
    rounds : int
        Round trips of each point that are timed.
    progress : bool
        Show a progress bar.
    **system_options
        For :class:`System`. ``isolation`` may be several settings; then there is a row a point and setting.

    Returns
    -------
    pandas.DataFrame
        Columns ``bytes``, ``mode``, ``cycles`` (per round trip), ``profile`` and ``isolation``; one row a point.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    images = programs()
    chosen = system_options.pop("isolation", "sip")
    isolations = [chosen] if isinstance(chosen, str) else list(chosen)
    profile = system_options.get("profile", "athlon64")
    points = [(size, mode, isolation) for isolation in isolations for mode in modes for size in sizes]
    rows = []
    for size, mode, isolation in tqdm(points, desc="message size", unit="point", disable=not progress, leave=False):
        measured = round_trip(size, mode, rounds=rounds, images=images, isolation=isolation, **system_options)
        rows.append(
            {"bytes": size, "mode": mode, "cycles": measured, "profile": getattr(profile, "name", profile), "isolation": isolation}
        )
    return pd.DataFrame(rows)


def plot(frame, papers: bool = True):
    """Draw a sweep, and beside it what the paper measured on the real systems.

    Parameters
    ----------
    frame : pandas.DataFrame
        From :func:`sweep`.
    papers : bool
        Whether to draw the figures of EuroSys 2007, table 9, too.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    from singlab.experiments import style
    from singlab.experiments.datasets import load_dataset

    figure, axes = style.new_axes()
    ours = {"ownership": ("block changes owner", style.BLUE, "o"), "copy": ("block is copied", style.VERMILION, "s")}
    shades = (style.BLUE, style.GREEN, style.PURPLE, style.VERMILION, style.YELLOW, "#222222")
    isolations = list(dict.fromkeys(frame["isolation"]))
    for (isolation, mode), points in frame.groupby(["isolation", "mode"], sort=False):
        label, colour, marker = ours[mode]
        if len(isolations) > 1:
            label, colour = f"{isolation}, {label}", shades[isolations.index(isolation) % len(shades)]
        look = {**style.OURS, "marker": marker}
        axes.plot(points["bytes"], points["cycles"], color=colour, label=f"singlab: {label}", zorder=3, **look)
    if papers:
        colours = {"Singularity": style.SKY, "Linux": style.ORANGE, "Windows": style.GREY}
        for system, points in load_dataset("message_size.csv").groupby("system", sort=False):
            axes.plot(
                points["bytes"], points["cycles"], color=colours[system], label=f"paper: {system}", **style.THEIRS
            )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted(frame["bytes"].unique()))
    axes.xaxis.set_major_formatter(FuncFormatter(style.bytes_label))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("message size", fontsize=12)
    axes.set_ylabel("cycles per round trip", fontsize=12)
    axes.set_title("A message there and back", loc="left", fontsize=14, fontweight="bold")
    if papers:
        axes.legend(frameon=False, fontsize=10, loc="upper left")
    else:  # the curves may go anywhere
        axes.legend(frameon=False, fontsize=10, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    if papers:
        axes.text(
            1.0, -0.16, "paper: EuroSys 2007, table 9, real hardware; singlab: simulated machine, measured now",
            transform=axes.transAxes, ha="right", va="top", fontsize=8.5, color=style.GREY,
        )
    return figure


def comparison(frame):
    """Return a table of ours beside the paper's Singularity and Linux, with the ratio of copying to ownership."""
    from singlab.experiments.datasets import load_dataset

    if frame["isolation"].nunique() != 1:
        raise ValueError("the frame has several isolation settings; compare one: comparison(frame[frame.isolation == 'sip'])")
    ours = frame.pivot(index="bytes", columns="mode", values="cycles")
    ours["copy / ownership"] = ours["copy"] / ours["ownership"]
    theirs = load_dataset("message_size.csv").pivot(index="bytes", columns="system", values="cycles")
    ours["paper: Singularity"] = theirs["Singularity"]
    ours["ownership / paper"] = ours["ownership"] / theirs["Singularity"]
    ours["paper: Linux"] = theirs["Linux"]
    ours["paper: Linux / Singularity"] = theirs["Linux"] / theirs["Singularity"]
    return ours.round(2)
