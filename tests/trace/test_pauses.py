"""Minimum mutator utilisation against a window pushed along the time, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from singlab.trace.pauses import minimum_utilisation, pause_statistics

#: Times of pause and of run in turn, whole numbers so that pushing by one finds the worst window.
TURNS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=12)


def pauses_of(turns):
    at, starts, lengths = 0, [], []
    for run, pause in turns:
        at += run
        starts.append(at)
        lengths.append(pause)
        at += pause
    return np.array(starts), np.array(lengths), at + 1


@given(TURNS, st.integers(0, 5))
def test_it_is_the_worst_of_all_windows(turns, after):
    starts, lengths, end = pauses_of(turns)
    end += after
    busy = np.ones(end, dtype=int)
    for start, length in zip(starts, lengths):
        busy[start : start + length] = 0
    windows = np.arange(1, end + 3)
    expected = []
    for w in np.minimum(windows, end):
        expected.append(min(busy[s : s + w].sum() for s in range(end - w + 1)) / w)
    assert minimum_utilisation(starts, lengths, windows, 0, end) == pytest.approx(expected)
    bounded = minimum_utilisation(starts, lengths, windows, 0, end, bounded=True)
    assert bounded == pytest.approx([min(expected[i:]) for i in range(len(expected))])
    assert (np.diff(bounded) >= -1e-12).all()


@given(TURNS, st.randoms(use_true_random=False))
def test_order_and_origin_do_not_matter(turns, choose):
    starts, lengths, end = pauses_of(turns)
    order = list(range(len(starts)))
    choose.shuffle(order)
    windows = [1, 2.5, 7, 1000]
    one = minimum_utilisation(starts, lengths, windows, 0, end)
    assert minimum_utilisation(starts[order] + 100, lengths[order], windows, 100, end + 100) == pytest.approx(one)


def test_statistics():
    found = pause_statistics([10] * 98 + [20, 400], 0, 10_000)
    assert found["pauses"] == 100 and found["longest"] == 400 and found["p50"] == found["p90"] == 10 and found["p99"] == 20
    assert found["share"] == pytest.approx(1 - 1400 / 10_000)
    assert pause_statistics([], 0, 5) == {"pauses": 0, "total": 0, "longest": 0, "mean": 0, "p50": 0, "p90": 0, "p99": 0, "share": 1}


@pytest.mark.parametrize("pauses, message", [
    (([1, 3], [3, 1], [1], 0, 10), "overlap"),
    (([1], [1, 2], [1], 0, 10), "1 starts and 2 lengths"),
    (([9], [3], [1], 0, 10), "outside the time from 0 to 10"),
    (([1], [1], [0], 0, 10), "longer than nothing"),
    (([1], [-1], [1], 0, 10), "shorter than nothing"),
    (([1], [1], [1], 5, 5), "no time"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(pauses, message):
    with pytest.raises(ValueError, match=message):
        minimum_utilisation(*pauses)
