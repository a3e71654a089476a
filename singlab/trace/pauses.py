"""What pauses do to a program: how much of any window of time is left for it.

Minimum mutator utilisation of a window length is the smallest share of any window of that length in which the program
(the mutator) ran; the bounded form asks it of that length and all longer ones, so its curve never falls
(Cheng and Blelloch, PLDI 2001; Sachindran, Moss and Berger, OOPSLA 2004).

What it leaves out: work that a collector does beside the program without stopping it; that is part of what the program
takes longer for, and shows in its throughput.
"""

from __future__ import annotations

import numpy as np


def _checked(starts, lengths, begin: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    starts, lengths = np.asarray(starts, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    if starts.shape != lengths.shape or starts.ndim != 1:
        raise ValueError(f"there are {starts.size} starts and {lengths.size} lengths of pauses")
    if not end > begin:
        raise ValueError(f"the time from {begin} to {end} is no time")
    if (lengths < 0).any():
        raise ValueError("a pause cannot be shorter than nothing")
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], starts[order] + lengths[order]
    if (starts[1:] < ends[:-1]).any():
        raise ValueError("two pauses overlap; give those of one process at a time")
    if len(starts) and (starts[0] < begin or ends[-1] > end):
        raise ValueError(f"a pause lies outside the time from {begin} to {end}")
    return starts, ends


def minimum_utilisation(starts, lengths, windows, begin: float, end: float, bounded: bool = False) -> np.ndarray:
    """Return the minimum mutator utilisation for window lengths.

    Parameters
    ----------
    starts, lengths : array of float, shape (n,)
        Pauses that do not overlap, in any unit of time.
    windows : array of float
        Lengths of the window; one longer than the whole time counts as the whole time.
    begin, end : float
        The time that is looked at.
    bounded : bool
        Ask it of each length and all longer ones that are given.

    Returns
    -------
    numpy.ndarray
        float64, one a window, between 0 and 1.

    Raises
    ------
    ValueError
        If pauses overlap or lie outside, or a window is not longer than nothing.
    """
    starts, ends = _checked(starts, lengths, begin, end)
    windows = np.minimum(np.asarray(windows, dtype=np.float64), end - begin)
    if not (windows > 0).all():
        raise ValueError("a window must be longer than nothing")
    paused = np.concatenate([[0.0], np.cumsum(ends - starts)])

    def paused_before(t: np.ndarray) -> np.ndarray:
        """Pause time from the beginning to moments."""
        place = np.searchsorted(starts, t, side="right")
        whole = paused[place]
        last = np.maximum(place - 1, 0)
        over = np.where(place > 0, ends[last] - t, 0.0) if len(starts) else np.zeros_like(t)
        return whole - np.maximum(over, 0.0)

    found = np.empty(len(windows))
    for i, w in enumerate(windows):
        # the worst window begins with a pause or ends with one
        first = np.clip(np.concatenate([[begin], starts, ends - w]), begin, end - w)
        found[i] = 1.0 - float((paused_before(first + w) - paused_before(first)).max()) / w
    found = np.clip(found, 0.0, 1.0)
    if bounded:
        order = np.argsort(windows, kind="stable")
        found[order] = np.minimum.accumulate(found[order][::-1])[::-1]
    return found


def pause_statistics(lengths, begin: float, end: float) -> dict[str, float]:
    """Return how many ``pauses`` there were, their ``total``, ``longest``, ``mean``, 50th, 90th and 99th percentiles, and the
    ``share`` of the time from ``begin`` to ``end`` that was left for the program."""
    lengths = np.asarray(lengths, dtype=np.float64)
    if not end > begin:
        raise ValueError(f"the time from {begin} to {end} is no time")
    some = lengths if len(lengths) else np.zeros(1)
    half, most, nearly = np.percentile(some, [50, 90, 99], method="inverted_cdf")
    total = float(lengths.sum())
    return {"pauses": len(lengths), "total": total, "longest": float(some.max()), "mean": float(some.mean()), "p50": float(half),
            "p90": float(most), "p99": float(nearly), "share": 1.0 - total / (end - begin)}  # fmt: skip
