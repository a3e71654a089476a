"""What a student sees of a program's life: its numbers beside the kernel's, every pause, and how often pauses are long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from singlab.experiments import style
from singlab.experiments.collector_plots import short
from singlab.experiments.tables import FrameTable, table
from singlab.grading.heaplives import PATIENCE, Bed, Life, baseline, live
from singlab.sing.errors import SipError
from singlab.sing.policies import Policy

#: By what collected: how a pause is drawn, and what it did.
_MARKERS = {"semispace": ("o", "copied"), "marksweep": ("s", "swept"), "compact": ("^", "compacted")}


@dataclass(repr=False, eq=False)
class Attempt(FrameTable):
    """A program's life with a student's policies and with the kernel's rule; a table, a ``frame()``, a ``plot()``."""

    bed: Bed | None = None
    lives: tuple[tuple[str, Life, str], ...] = ()

    def plot(self):
        """Draw every pause over the run, and which share of the pauses is longer than so much; returns a matplotlib Figure."""
        import matplotlib.pyplot as plt
        from matplotlib.ticker import FuncFormatter

        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
        for name, life, colour in reversed(self.lives):
            pauses, tail = life.pauses, life.statistics["p99"]
            begun = pauses["cycle"].to_numpy(np.float64)
            lengths = pauses["cycles"].to_numpy(np.float64)
            for how, (marker, word) in _MARKERS.items():
                chosen = (pauses["active"] == how).to_numpy()
                if chosen.any():
                    left.scatter(begun[chosen], lengths[chosen], s=26, color=colour, marker=marker, alpha=0.8, label=f"{name}: {word}", zorder=3)
            if len(lengths):
                left.axhline(tail, color=colour, linestyle="--", linewidth=1.2)
                steps = np.sort(lengths)
                right.step(np.concatenate([[0.0], steps]), np.concatenate([1 - np.arange(len(steps)) / len(steps), [1 / len(steps) / 2]]),
                           where="post", color=colour, linewidth=2.2, label=name)  # fmt: skip
                right.axvline(tail, color=colour, linestyle="--", linewidth=1.2)
        asked = self.bed.tail * baseline(self.bed).statistics["p99"]
        for axes, line in ((left, left.axhline), (right, right.axvline)):
            line(asked, color=style.GREEN, linewidth=1.2, linestyle=":", label="asked at most")
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(True, color="#E5E7EB", linewidth=0.8)
            axes.set_axisbelow(True)
        left.xaxis.set_major_formatter(FuncFormatter(short))
        left.yaxis.set_major_formatter(FuncFormatter(short))
        right.xaxis.set_major_formatter(FuncFormatter(short))
        left.set_ylim(0, 1.4 * max([asked, *(life.statistics["longest"] for _, life, _ in self.lives)]))  # what is drawn leaves room for the legend
        left.legend(frameon=False, fontsize=9, loc="upper left", ncols=2)
        right.legend(frameon=False, fontsize=9, loc="lower left")
        right.set_yscale("log")
        right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        left.set_title(f"{self.bed}: every pause", loc="left", fontsize=13, fontweight="bold")
        left.set_xlabel("cycle", fontsize=11)
        left.set_ylabel("cycles", fontsize=11)
        right.set_title("How many are that long", loc="left", fontsize=13, fontweight="bold")
        right.set_xlabel("cycles", fontsize=11)
        right.set_ylabel("share of the pauses", fontsize=11)
        return figure


def _row(name: str, life: Life) -> dict:
    hows = life.pauses["active"].value_counts()
    return {"": name, "pauses": len(life.pauses), "mean": life.statistics["mean"], "99th percentile": life.statistics["p99"],
            **{word: int(hows.get(how, 0)) for how, (_, word) in _MARKERS.items()}, "whole run": life.cycles, "most memory": life.peak}  # fmt: skip


def attempt(bed: Bed, *policies: Policy) -> Attempt:
    """Run a program with policies of one's own, and compare it with the kernel's rule.

    Raises
    ------
    SipError
        If something else than policies is given, or a policy fails.
    """
    import pandas as pd

    if not isinstance(bed, Bed) or not policies or not all(isinstance(one, Policy) for one in policies):
        raise SipError("answer.missing", "attempt takes a program and policies", hint="write attempt(PRACTICE[0], when, how)")
    life, theirs = live(bed, policies), baseline(bed)
    if life.trouble:
        raise SipError("policy", f"the policy {life.trouble}", hint="what it may answer says docs/policies.md")
    rows = pd.DataFrame([_row("yours", life), _row("the kernel", theirs)])
    asked = {"": "asked at most", "99th percentile": bed.tail * theirs.statistics["p99"], "whole run": bed.time * theirs.cycles, "most memory": bed.room}
    how = f", given up after {PATIENCE} times the kernel's cycles" if life.given_up else ", which came to no result: memory was exhausted" if life.died else ""
    return Attempt(pd.concat([rows, pd.DataFrame([asked])], ignore_index=True), f"{bed}{how}", None, bed,
                   (("yours", life, style.BLUE), ("the kernel", theirs, style.GREY)))  # fmt: skip


def programs(beds: tuple[Bed, ...]) -> FrameTable:
    """Return what beds are and what is asked there, as a table; in multiples of the kernel's."""
    import pandas as pd

    rows = [{"": number, "program": bed.workload, "memory": bed.room, "pauses, the kernel's": baseline(bed).statistics["p99"], "asked at most": bed.tail,
             "whole run, the kernel's": baseline(bed).cycles, "asked at most ": bed.time} for number, bed in enumerate(beds)]  # fmt: skip
    return table(pd.DataFrame(rows), "What each program may come to", **{"asked at most": "{:.2f} times", "asked at most ": "{:.2f} times"})
