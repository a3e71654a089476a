"""Plots of what collectors cost; the tables come from :mod:`singlab.experiments.collector_costs` and :mod:`singlab.experiments.collector_sharing`.

A collector has its colour and its marker in every plot. Nothing is computed here but ratios that are written beside what is drawn.
"""

from __future__ import annotations

from singlab.experiments import style

#: Colour and marker of each collector.
LOOKS = {"none": (style.GREY, "o"), "semispace": (style.BLUE, "o"), "marksweep": (style.ORANGE, "s"), "compact": (style.GREEN, "^"),
         "generational": (style.VERMILION, "D"), "concurrent": (style.PURPLE, "v"), "adaptive": (style.SKY, "P")}  # fmt: skip
_OTHERS = ("#222222", "X")


def _look(name: str) -> dict:
    colour, marker = LOOKS.get(name.split(",")[0], _OTHERS)
    return {"color": colour, **style.OURS, "marker": marker, "markersize": 5}


def _title(axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold")
    axes.set_xlabel(x, fontsize=11)
    axes.set_ylabel(y, fontsize=11)


def _panels(count: int, width: float = 9.0, height: float = 4.2, **options):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(width, height), layout="constrained", squeeze=False, **options)
    for panel in axes[0]:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(True, color="#E5E7EB", linewidth=0.8)
        panel.set_axisbelow(True)
    return figure, list(axes[0])


def short(cycles: float, _position=None) -> str:
    """Return a number of cycles as a short label: 950, 12k, 3.4M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(cycles) >= size:
            return f"{cycles / size:.3g}{letter}"
    return f"{cycles:.3g}"


def matrix(frame, values=("cycles", "GC %", "p99", "peak")):
    """Draw workloads by collectors as maps, one for each column named; the darker, the more, within a workload's row.

    Times and bytes are coloured by their ratio to the row's least, on a logarithmic scale up to tenfold.
    """
    import numpy as np
    from matplotlib.ticker import NullLocator

    names = {"cycles": "whole run, cycles", "GC %": "time in the collector, %", "p99": "99th percentile of pauses, cycles", "longest": "longest pause, cycles",
             "peak": "most memory of the heap", "moved": "bytes moved", "freed": "bytes freed", "collections": "collections", "pauses": "pauses"}  # fmt: skip
    import matplotlib.pyplot as plt

    rows = -(-len(values) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(10.5, 3.6 * rows), layout="constrained", squeeze=False)
    for panel, value in zip(axes.flat, values):
        table = frame.pivot_table(index="workload", columns="collector", values=value, sort=False)
        numbers = table.to_numpy(dtype=float)
        if value == "GC %":
            shade = numbers / 100
        else:
            least = np.where(numbers > 0, numbers, np.inf).min(axis=1, keepdims=True)
            least[np.isinf(least)] = 1
            shade = np.clip(np.log10(np.maximum(numbers, least) / least), 0, 1)
        panel.imshow(shade, cmap="YlGnBu", vmin=0, vmax=1.15, aspect="auto")
        for (row, column), number in np.ndenumerate(numbers):
            text = f"{number:.0f}" if value == "GC %" else style.bytes_label(round(number / 1024) * 1024) if value == "peak" else short(number)
            if value == "peak" and number >= 1 << 20:
                text = f"{number / (1 << 20):.1f} MB"
            dark = shade[row, column] > 0.62
            panel.text(column, row, "-" if number == 0 else text, ha="center", va="center", fontsize=8.5, color="white" if dark else "#111827")
        panel.set_xticks(range(table.shape[1]), table.columns, rotation=28, ha="right", fontsize=9)
        panel.set_yticks(range(table.shape[0]), table.index, fontsize=9)
        panel.xaxis.set_minor_locator(NullLocator())
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        panel.set_title(names.get(value, value), loc="left", fontsize=11, fontweight="bold")
    for panel in list(axes.flat)[len(values) :]:
        panel.set_visible(False)
    return figure


def pause_by_live_data(frame):
    """Draw the median pause over the bytes alive, a line for each kind of pause; a stroke above it ends at the longest."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = style.new_axes(9.5, 4.6)
    for name, points in frame.groupby("collector", sort=False):
        look = _look(name)
        if name.endswith(("minor", "all at once")):
            look |= {"linestyle": ":", "markerfacecolor": "white"}
        axes.plot(points["live"], points["median"], label=name, zorder=3, **look)
        axes.vlines(points["live"], points["median"], points["longest"], color=look["color"], linewidth=1.2)
        axes.plot(points["live"], points["longest"], linestyle="none", marker="_", markersize=9, color=look["color"])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(style.bytes_label))
    axes.yaxis.set_major_formatter(FuncFormatter(short))
    _title(axes, "How long a pause is, by what is alive", "bytes alive", "median pause, cycles (stroke: to the longest)")
    figure.legend(frameon=False, fontsize=9.5, loc="outside right center")
    return figure


def throughput(frame, by: str = "heap"):
    """Draw throughput over the heap's size; crosses at the bottom are sizes in which memory was exhausted, or there was no end to it.

    Parameters
    ----------
    by : {"heap", "peak"}
        The bound a process was given, or the pages it really had at most, what a collector copies to included.
    """
    from matplotlib.ticker import FuncFormatter

    if by not in ("heap", "peak"):
        raise ValueError(f"draw it by 'heap' or by 'peak', not by {by!r}")
    smallest = (frame["heap"] / frame["multiple"]).iloc[0]
    figure, axes = style.new_axes(8.5, 4.6)
    for place, (name, points) in enumerate(frame.groupby("collector", sort=False)):
        points = points.sort_values(by)
        known = points["throughput"].notna()
        axes.plot(points[by][known] / smallest, points["throughput"][known], label=f"{name}, minimum {points['minimum'].iloc[0] / smallest:.2f}", zorder=3, **_look(name))
        if by == "heap" and (~known).any():
            look = {**_look(name), "linestyle": "none", "marker": "x", "markersize": 7}
            axes.plot(points[by][~known] / smallest, [-0.012 - 0.018 * place] * int((~known).sum()), clip_on=False, **look)
    axes.set_ylim(bottom=-0.11 if by == "heap" else 0)
    axes.axhline(0, color=style.GREY, linewidth=0.8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}" if value >= 0 else ""))
    words = "bound on the heap" if by == "heap" else "pages really had at most"
    _title(axes, "Room buys time", f"{words}, in multiples of the smallest heap of all ({style.bytes_label(smallest)})", "speed, of that without a collector")
    axes.legend(frameon=False, fontsize=9.5)
    if by == "heap":
        axes.text(1.0, -0.16, "crosses: memory was exhausted, or no end was in sight", transform=axes.transAxes, ha="right", va="top", fontsize=8.5, color=style.GREY)
    return figure


def utilisation(frame):
    """Draw minimum (thin) and bounded (thick) mutator utilisation over the window's length, a panel for each workload."""
    from matplotlib.ticker import FuncFormatter

    names = list(dict.fromkeys(frame["workload"]))
    figure, axes = _panels(len(names), 9.5, 4.3, sharey=True)
    for panel, workload in zip(axes, names, strict=True):
        for name, points in frame[frame["workload"] == workload].groupby("collector", sort=False):
            colour = _look(name)["color"]
            panel.plot(points["window"], points["minimum"], color=colour, linewidth=0.9, alpha=0.7)
            panel.plot(points["window"], points["bounded"], color=colour, linewidth=2.4, label=name)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(short))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        panel.set_ylim(-0.02, 1.02)
        _title(panel, workload, "length of the window, cycles", "left for the program, at worst" if panel is axes[0] else "")
    axes[0].legend(frameon=False, fontsize=9.5, loc="upper left")
    return figure


def barrier(frame):
    """Draw by how many percent the write barrier makes each workload longer: instructions, cycles, code."""
    import numpy as np

    figure, axes = style.new_axes(8.5, 3.8)
    places = np.arange(len(frame))
    for index, (what, colour) in enumerate((("instructions", style.BLUE), ("cycles", style.SKY), ("code", style.GREY))):
        values = frame[f"{what} +%"]
        axes.bar(places + 0.27 * (index - 1), values, 0.25, color=colour, label=what, zorder=3)
        for place, value in zip(places, values):
            axes.text(place + 0.27 * (index - 1), max(0.0, value), f"{value:.1f}", ha="center", va="bottom", fontsize=7.5)
    axes.set_xticks(places, frame["workload"])
    axes.grid(False, axis="x")
    _title(axes, "What the write barrier adds", "", "more, in percent")
    axes.legend(frameon=False, fontsize=10)
    return figure


def isolation(frame):
    """Draw what pauses and the rest of a run cost in each setting, in percent of the first."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = _panels(2, 9.5, 4.0, sharey=True)
    for panel, what, title in zip(axes, ("pausing %", "running %"), ("In the collector", "In the program"), strict=True):
        for name, points in frame.groupby("collector", sort=False):
            panel.plot(points["isolation"], points[what], label=name, **_look(name))
        panel.tick_params(axis="x", rotation=18)
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
        _title(panel, title, "", f"cycles, of those in {frame['isolation'].iloc[0]}" if panel is axes[0] else "")
    axes[1].legend(frameon=False, fontsize=9.5)
    return figure


def cache(frame):
    """Draw cycles in the collector and in the program over the size of the cache."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = _panels(2, 9.5, 4.0)
    for panel, what, title in zip(axes, ("pausing", "running"), ("In the collector", "In the program"), strict=True):
        for name, points in frame.groupby("collector", sort=False):
            panel.plot(points["cache"], points[what], label=name, **_look(name))
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter(FuncFormatter(style.bytes_label))
        panel.yaxis.set_major_formatter(FuncFormatter(short))
        panel.set_ylim(0)
        _title(panel, title, "size of the cache", "cycles" if panel is axes[0] else "")
    axes[0].legend(frameon=False, fontsize=9.5)
    return figure


# ---- one heap or several ---------------------------------------------------------------------------------------------

_ARRANGEMENTS = {"one shared heap": (style.VERMILION, "s"), "a heap each": (style.BLUE, "o")}


def sharing(frame):
    """Draw the longest pause, what programs were stopped for, and the whole work, over the number of programs."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = _panels(3, 10.5, 3.8)
    about = (("longest", "Longest pause"), ("stopped", "Stopped, all programs together"), ("collecting", "Work of collecting"))
    for panel, (what, title) in zip(axes, about, strict=True):
        for name, points in frame.groupby("arrangement", sort=False):
            colour, marker = _ARRANGEMENTS[name]
            panel.plot(points["programs"], points[what], color=colour, label=name, **{**style.OURS, "marker": marker})
        panel.set_xticks(sorted(frame["programs"].unique()))
        panel.yaxis.set_major_formatter(FuncFormatter(short))
        panel.set_ylim(0)
        _title(panel, title, "programs", "cycles" if panel is axes[0] else "")
    axes[0].legend(frameon=False, fontsize=10)
    return figure


def stops(frame):
    """Draw who was stopped when: a lane for each program, a panel for each arrangement."""
    from matplotlib.ticker import FuncFormatter

    names = list(dict.fromkeys(frame["arrangement"]))
    lanes = int(frame["program"].max())
    figure, axes = _panels(len(names), 10.0, 1.3 + 0.42 * lanes, sharey=True, sharex=True)
    for panel, name in zip(axes, names, strict=True):
        for program, spans in frame[frame["arrangement"] == name].groupby("program"):
            panel.broken_barh(list(zip(spans["cycle"], spans["cycles"])), (program - 0.35, 0.7), color=_ARRANGEMENTS[name][0])
        panel.set_yticks(range(1, lanes + 1), [f"program {n}" for n in range(1, lanes + 1)])
        panel.xaxis.set_major_formatter(FuncFormatter(short))
        _title(panel, name, "cycle", "")
    axes[0].invert_yaxis()
    return figure


def shares(frame, papers: bool = True):
    """Draw which share of its time each SIP spends collecting, beside what the paper gives for its own SIPs (hollow)."""
    from singlab.experiments.datasets import load_dataset

    theirs = load_dataset("gc_share.csv") if papers else None
    count = len(frame) + (len(theirs) + 1 if papers else 0)
    figure, axes = style.new_axes(8.5, 1.4 + 0.36 * count)
    for place, row in enumerate(frame.itertuples(index=False)):
        cpu, gc = row[2], row[3]
        axes.barh(-place, gc, 0.62, color=style.BLUE, zorder=3)
        axes.text(gc, -place, f"  {gc:.1f}   ({cpu:.1f}% of the processor)", va="center", fontsize=9)
    labels = list(frame["SIP"])
    if papers:
        for place, row in enumerate(theirs.itertuples(index=False)):
            at = -(len(frame) + 1 + place)
            axes.barh(at, row.gc_percent, 0.62, facecolor="none", edgecolor=style.GREY, linestyle=(0, (4, 3)), linewidth=1.2, zorder=3)
            axes.text(row.gc_percent, at, f"  {row.gc_percent:.1f}   ({row.cpu_percent:.1f}%)", va="center", fontsize=9, color=style.GREY)
        labels += ["", *(f"paper: {name}" for name in theirs["sip"])]
        ours, paper = total_share(frame), float((theirs["cpu_percent"] * theirs["gc_percent"]).sum() / 100)
        axes.text(1.0, 0.03, f"collecting takes {ours:.1f}% of all time here\nand took {paper:.1f}% there: ours : theirs = {ours / paper:.2f}\n(other programs; {theirs['source'].iloc[0]})",
                  transform=axes.transAxes, ha="right", va="bottom", fontsize=9, color=style.GREY)  # fmt: skip
    axes.set_yticks([-n for n in range(len(labels))], labels)
    axes.set_xlim(0, max(20.0, 1.5 * float(frame["GC % of its time"].max())))
    axes.grid(False, axis="y")
    _title(axes, "How much of its time a SIP spends collecting", "percent of the SIP's own time", "")
    return figure


def total_share(frame) -> float:
    """Return which percentage of all SIPs' time was collecting."""
    return float((frame["cycles"] * frame["GC % of its time"]).sum() / frame["cycles"].sum())
