"""The harness: warm-up, repeated runs, median and spread, peers in the same run."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Row:
    """One measured figure.

    Attributes
    ----------
    name, unit : str
    value : float
        Median over the runs.
    spread : tuple of float
        Smallest and largest.
    peer : str or None
        What ours is compared with, measured in the same run; None where it is not installed.
    peer_value : float or None
        In the same unit.
    goal : float or None
        The bound: a ceiling where less is better, a floor where more is; of the ratio if there is a peer.
    less_is_better : bool
    """

    name: str
    value: float
    unit: str
    spread: tuple[float, float]
    peer: str | None = None
    peer_value: float | None = None
    goal: float | None = None
    less_is_better: bool = True

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        measured = self.ratio if self.peer is not None else self.value
        if measured is None:
            return None
        return measured <= self.goal if self.less_is_better else measured >= self.goal

    def as_dict(self) -> dict:
        """Return the row as plain data."""
        return {
            "name": self.name, "value": self.value, "unit": self.unit, "spread": list(self.spread), "peer": self.peer,
            "peer_value": self.peer_value, "ratio": self.ratio, "goal": self.goal, "met": self.met,
        }  # fmt: skip


def repeat(measure: Callable[[], float], runs: int = 5, warm_ups: int = 1) -> tuple[float, tuple[float, float]]:
    """Call ``measure`` after warm-ups and return the median of its results and their range."""
    for _ in range(warm_ups):
        measure()
    values = [measure() for _ in range(runs)]
    return statistics.median(values), (min(values), max(values))


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine_name() -> str:
    """Return processor, number of cores, system and Python in a line."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            processor = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _short(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def table(result: dict):
    """Return a result as a Rich table."""
    from rich.table import Table

    out = Table("what", "value", "unit", "spread", "peer", "ratio", "goal", box=None, title=result["machine"], title_justify="left")
    for row in result["rows"]:
        goal = ""
        if row["goal"] is not None:
            sign = {True: "[green]✓[/]", False: "[red]✗[/]", None: "·"}[row["met"]]
            goal = f"{sign} {_short(row['goal'])}"
        peer = f"{row['peer']} {_short(row['peer_value'])}" if row["peer_value"] else ""
        low, high = row["spread"]
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else ""
        spread = f"{_short(low)} – {_short(high)}" if low != high else ""
        out.add_row(row["name"], _short(row["value"]), row["unit"], spread, peer, ratio, goal)
    return out


def draw(result: dict, path) -> None:
    """Draw the rows as bars, one panel a unit, into a file."""
    from matplotlib.figure import Figure

    units = list(dict.fromkeys(row["unit"] for row in result["rows"]))
    figure = Figure(figsize=(9, 1.2 + 0.5 * len(result["rows"]) + 0.6 * len(units)), layout="constrained")
    heights = [sum(row["unit"] == unit for row in result["rows"]) + 0.6 for unit in units]
    axes = figure.subplots(len(units), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, unit in zip(axes, units, strict=True):
        rows = [row for row in result["rows"] if row["unit"] == unit][::-1]
        axis.barh([row["name"] for row in rows], [row["value"] for row in rows], color="#0072B2", height=0.55)
        for place, row in enumerate(rows):
            axis.plot(row["spread"], [place, place], color="#222222", linewidth=2)
            if row["goal"] is not None and row["peer"] is None:
                axis.plot([row["goal"]] * 2, [place - 0.4, place + 0.4], color="#D55E00", linewidth=2)
        axis.set_xlabel(unit)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"singlab bench {result['area']}", x=0.01, ha="left", fontweight="bold")
    figure.savefig(path, dpi=150)
