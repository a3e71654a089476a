"""Benchmarks of the lab itself, all in one form.

``run_area`` returns one object, ``{"area", "machine", "rows"}``; a row has a value with its unit, the
spread over repeated runs, where there is one a peer measured in the same run with the ratio of ours to
it, and the goal the row must reach. Leaves out what simulated programs cost: that is in ``experiments``.
"""

from __future__ import annotations

from importlib import import_module

from singlab.bench.harness import Row, draw, machine_name, table

#: Areas and the modules whose ``rows()`` measures them.
AREAS = {"start": ("start",), "machine": ("machine",), "kernel": ("kernel",), "sing": ("sing",), "gc": ("gc",),
         "all": ("start", "machine", "kernel", "sing", "gc")}  # fmt: skip

__all__ = ["AREAS", "Row", "draw", "run_area", "table"]


def run_area(area: str, progress: bool = True) -> dict:
    """Measure an area.

    Parameters
    ----------
    area : str
        One of ``AREAS``.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict
        Plain data, ready for JSON.
    """
    from tqdm.auto import tqdm

    rows: list[Row] = []
    measurements = [m for name in AREAS[area] for m in import_module(f"singlab.bench.{name}").MEASUREMENTS]
    for measurement in tqdm(measurements, desc="bench", unit="measurement", disable=not progress, leave=False):
        rows += measurement()
    return {"area": area, "machine": machine_name(), "rows": [row.as_dict() for row in rows]}
