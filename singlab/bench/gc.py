"""How fast the host collects: a heap of a million live objects with full timing, under each collector; all workloads under all collectors.

Leaves out what a collection takes on the simulated machine, which is in ``experiments``, and the concurrent collector, which
never collects all at once.
"""

from __future__ import annotations

import statistics

from singlab.bench.harness import Row, repeat, seconds

_OBJECTS = 1_000_000
_RUNS = 3


def _collections() -> list[Row]:
    from singlab.experiments.collection import NAMES, collect_large

    rows = []
    for collector in NAMES[1:]:
        if collector == "concurrent":  # its collections are steps between the program's
            continue
        runs = [collect_large(collector, _OBJECTS)["seconds"] for _ in range(_RUNS)]
        rows.append(Row(f"a million live objects, {collector}", statistics.median(runs), "s", (min(runs), max(runs)), goal=0.5))
        rows.append(Row(f"live objects collected a second, {collector}", _OBJECTS / statistics.median(runs), "1/s",
                        (_OBJECTS / max(runs), _OBJECTS / min(runs)), less_is_better=False))  # fmt: skip
    return rows


def _matrix() -> list[Row]:
    from singlab.experiments.collector_costs import matrix

    took, spread = repeat(lambda: seconds(lambda: matrix(progress=False)), runs=_RUNS)  # the warm-up starts the processes
    return [Row("all workloads under all collectors, teaching size", took, "s", spread, goal=60.0)]


MEASUREMENTS = (_collections, _matrix)
