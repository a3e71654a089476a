"""Runs are spread without getting mixed up, by whatever does them, and what a run raises is heard."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from singlab.experiments import spread as module
from singlab.experiments.spread import cluster, spread
from singlab.machine.jit import DISABLED


def _square(n: int) -> tuple[int, int]:
    return n * n, os.getpid()


def _angry(n: int) -> int:
    raise ValueError(f"not {n}")


def test_results_come_in_the_order_of_the_cases():
    assert [value for value, _ in spread(_square, [{"n": n} for n in range(5)], progress=False)] == [0, 1, 4, 9, 16]
    assert spread(_square, [], progress=False) == []


def test_one_worker_is_this_process():
    assert {process for _, process in spread(_square, [{"n": n} for n in range(20)], workers=1, progress=False)} == {os.getpid()}


def test_what_a_run_raises_is_raised():
    with pytest.raises(ValueError, match="not 3"):
        spread(_angry, [{"n": 3}], progress=False)


@pytest.mark.skipif(DISABLED, reason="processes that compile nothing would be slow")
def test_other_processes_do_it_and_stay():
    first = spread(pow, [{"base": 2, "exp": n} for n in range(8)], workers=2, progress=False)
    assert first == [2**n for n in range(8)]
    pool = module._pools[2]
    others = set(spread(os.getpid, [{}] * 8, workers=2, progress=False))
    assert os.getpid() not in others and module._pools[2] is pool


def test_a_script_that_would_begin_again_is_told_so(monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(RuntimeError, match="__main__"):
        spread(_square, [{"n": 1}], progress=False)


@pytest.mark.skipif(DISABLED, reason="workers load compiled functions")
def test_a_cluster_does_it_when_there_is_one():
    distributed = pytest.importorskip("distributed")
    assert cluster() is None
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        assert cluster() is client
        assert spread(pow, [{"base": n, "exp": 2} for n in range(4)], client=client, progress=False) == [0, 1, 4, 9]
        assert spread(pow, [{"base": n, "exp": 3} for n in range(4)], progress=False) == [0, 1, 8, 27], "the open client is found"
    assert cluster() is None
