"""Plots of the hardware model's tables (:mod:`singlab.experiments.hardware`)."""

from __future__ import annotations

from singlab.experiments import style
from singlab.experiments.hardware import CAUSES
from singlab.machine import PROFILES

_COLOURS = dict(
    zip(CAUSES.values(), (style.BLUE, style.VERMILION, style.PURPLE, style.ORANGE, style.SKY, style.YELLOW, style.GREEN, style.GREY))
)


def _plain_numbers(axis) -> None:
    """Write numbers in full; on a logarithmic axis none between the powers of ten."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def _labels(axes, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_title(title, loc="left", fontsize=14, fontweight="bold")
    axes.set_xlabel(xlabel, fontsize=12)
    axes.set_ylabel(ylabel, fontsize=12)


def _mark(axes, at: float, words: str, colour: str) -> None:
    """Draw where something is full."""
    axes.axvline(at, color=colour, linewidth=1.1, linestyle=":", zorder=1)
    axes.text(at, 0.985, words, transform=axes.get_xaxis_transform(), rotation=90, ha="right", va="top", fontsize=9, color=colour)


def staircase(*frames, sizes: bool = False):
    """Draw cycles per access over the size of the array, a line for each profile.

    Parameters
    ----------
    *frames : pandas.DataFrame
        From :func:`singlab.experiments.hardware.cache_staircase`.
    sizes : bool
        Whether to draw in what the profiles say.
    """
    from matplotlib.ticker import FuncFormatter

    figure, axes = style.new_axes(8.0, 4.4)
    for frame, colour in zip(frames, (style.BLUE, style.VERMILION, style.GREEN)):
        name = frame["profile"].iloc[0]
        axes.plot(frame["bytes"], frame["cycles"], color=colour, label=name, zorder=3, **{**style.OURS, "markersize": 4})
        if sizes and (known := PROFILES.get(name)):
            _mark(axes, known.l1d_bytes, f"L1 {style.bytes_label(known.l1d_bytes)}", colour)
            _mark(axes, known.l2_bytes, f"L2 {style.bytes_label(known.l2_bytes)}", colour)
    low, high = min(f["bytes"].min() for f in frames), max(f["bytes"].max() for f in frames)
    axes.set_xscale("log", base=2)
    axes.set_xticks([1 << n for n in range(int(low).bit_length() - 1, int(high).bit_length(), 2)])
    axes.xaxis.set_major_formatter(FuncFormatter(style.bytes_label))
    axes.set_yscale("log")
    axes.set_ylim(1)
    _plain_numbers(axes.yaxis)
    _labels(axes, "A walk through arrays of growing size", "size of the array", "cycles per access")
    axes.legend(frameon=False, fontsize=10, loc="lower right")
    return figure


def line_size(frame):
    """Draw cycles per access over the stride; from :func:`singlab.experiments.hardware.strides`."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = style.new_axes(8.0, 3.4)
    axes.plot(frame["stride"], frame["cycles"], color=style.BLUE, **style.OURS)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(frame["stride"]))
    axes.xaxis.set_major_formatter(FuncFormatter(style.bytes_label))
    axes.set_ylim(0)
    _labels(axes, "In order, through twice the first-level cache", "from one access to the next", "cycles per access")
    return figure


def tlb(frame, profile: str = "athlon64", sizes: bool = False):
    """Draw cycles per access over the number of pages; from :func:`singlab.experiments.hardware.tlb_staircase`."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = style.new_axes(8.0, 3.8)
    for paged, points in frame.groupby("paged"):
        words, colour = ("behind a page table", style.PURPLE) if paged else ("on physical memory", style.BLUE)
        axes.plot(points["pages"], points["cycles"], color=colour, label=words, zorder=3, **{**style.OURS, "markersize": 4})
    if sizes and (known := PROFILES.get(profile)):
        _mark(axes, known.dtlb_entries, f"first buffer: {known.dtlb_entries}", style.GREY)
        _mark(axes, known.l2tlb_entries, f"second: {known.l2tlb_entries}", style.GREY)
    axes.set_xscale("log", base=2)
    axes.set_xticks([n for n in frame["pages"].unique() if n & n - 1 == 0])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0)
    _labels(axes, f"One word in each of many pages ({profile})", "pages", "cycles per access")
    axes.legend(frameon=False, fontsize=10, loc="center right")
    return figure


def bars(frame, title: str, papers: dict[str, tuple[float, str]] | None = None):
    """Draw where cycles went: a bar for each transfer, in pieces by cause.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``transfer``, ``cause`` and ``cycles``.
    title : str
    papers : dict, optional
        For a transfer the cycles a paper gives for its own, and which paper and row: drawn hollow and dashed beneath.
    """
    table = frame.pivot_table(index="transfer", columns="cause", values="cycles", sort=False)
    names, papers = list(table.index), papers or {}
    figure, axes = style.new_axes(8.0, 1.6 + 0.55 * len(names))
    at = {name: -index for index, name in enumerate(names)}
    height = 0.36 if papers else 0.6
    left = dict.fromkeys(names, 0.0)
    for cause in CAUSES.values():
        if cause not in table.columns or table[cause].abs().sum() == 0:
            continue
        widths = [max(0.0, table.loc[name, cause]) for name in names]
        axes.barh(
            [at[n] + 0.2 * bool(papers) for n in names],
            widths,
            height,
            left=[left[n] for n in names],
            color=_COLOURS[cause],
            label=cause,
            zorder=3,
        )
        for name, width in zip(names, widths):
            left[name] += width
    for name in names:
        axes.text(left[name], at[name] + 0.2 * bool(papers), f" {left[name]:,.0f}", va="center", ha="left", fontsize=11)
    for name, (cycles, words) in papers.items():
        axes.barh(at[name] - 0.2, cycles, height, facecolor="none", edgecolor=style.GREY, linestyle=(0, (4, 3)), linewidth=1.2, zorder=3)
        axes.text(cycles, at[name] - 0.2, f" {cycles:,.0f}  {words}", va="center", ha="left", fontsize=9, color=style.GREY)
    axes.set_yticks([at[n] for n in names], names)
    axes.set_xlim(0, 1.25 * max([*left.values(), *(1.25 * cycles for cycles, _ in papers.values())]))
    axes.grid(False, axis="y")
    _plain_numbers(axes.xaxis)
    _labels(axes, title, "cycles", "")
    figure.legend(frameon=False, fontsize=10, loc="outside lower center", ncols=4)
    if papers:
        words = "solid: simulated machine, measured now\nhollow: the papers' figures, real hardware"
        axes.text(1.0, 0.98, words, transform=axes.transAxes, ha="right", va="top", fontsize=9, color=style.GREY)
    return figure


def paper_calls() -> dict[str, tuple[float, str]]:
    """Return the papers' figures for the two kernel calls, for :func:`bars`."""
    from singlab.experiments.datasets import load_dataset

    rows = load_dataset("basic_operations.csv").set_index(["system", "machine"])
    pairs = {"kernel call, ring 0": ("Singularity", "A"), "kernel call, ring 3": ("Singularity in ring 3", "A")}
    return {name: (float(rows.loc[row, "api_call"]), f"paper: {rows.loc[row, 'source']}") for name, row in pairs.items()}


def switch(frame):
    """Draw what a switch costs afterwards; from :func:`singlab.experiments.hardware.after_a_switch`."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = style.new_axes(8.0, 4.2)
    looks = {"page table changed": (style.PURPLE, "o"), "another program ran": (style.SKY, "s"), "both": (style.VERMILION, "o"),
             "both, pages global": (style.GREEN, "x")}  # fmt: skip
    for case, points in frame.groupby("case", sort=False):
        colour, marker = looks[case]
        axes.plot(
            points["pages"], points["cycles"] / points["pages"], color=colour, label=case, zorder=3, **{**style.OURS, "marker": marker}
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(frame["pages"].unique()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0)
    _labels(axes, "The first round after a switch", "pages the program works on", "more cycles per page")
    axes.legend(frameon=False, fontsize=10)
    return figure
