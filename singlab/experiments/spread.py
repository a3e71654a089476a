"""Independent runs, spread over processors by Dask: those of this computer, or of a cluster.

A run of the lab holds one processor and shares nothing with another, so processes are what it is spread over. Compiled
functions come from the disk cache: the process that asks has compiled them before it starts others, and on a cluster one
worker of each computer does before the rest begins. So no two compile the same thing.

What it leaves out: runs that depend on each other, and results too large to send.
"""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial

#: Processes of this computer at most: each takes some 300 MB and a few seconds to begin.
MOST_WORKERS = 8
#: Cases from which on starting processes is worth its time.
WORTH = 6

_pools: dict[int, object] = {}


def warm() -> None:
    """Load what runs need, or compile it if this computer never has."""
    import singlab.experiments.collection
    import singlab.kernel.hostcalls  # noqa: F401


def cluster():
    """Return the ``distributed.Client`` that was made last and is still open; None without one."""
    if "distributed" not in sys.modules:  # then nobody made one
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


def spread(work: Callable, cases: Sequence[Mapping], *, client=None, workers: int | None = None, progress: bool = True, label: str = "runs") -> list:
    """Return ``work(**case)`` of each case, in the order of the cases.

    Parameters
    ----------
    work : function
        Of a module that workers can import.
    cases : sequence of dict
        Arguments of each run.
    client : distributed.Client, optional
        Whose workers do it; by default those of an open client, and without one processes of this computer, which stay for the
        next time.
    workers : int, optional
        Processes of this computer: 1 = this one alone. By default one a processor, and this one alone for a few cases.
    progress : bool
        Show a progress bar.
    label : str
        What stands before it.

    Raises
    ------
    RuntimeError
        In a script that begins its work whenever it is read: each process reads it, and would begin it again.
    Exception
        Whatever a run raises.
    """
    from tqdm.auto import tqdm

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError('what this script does must stand below  if __name__ == "__main__":  for each process that helps reads the script too')
    client = client if client is not None else cluster() if workers is None else None
    with tqdm(total=len(cases), desc=label, unit="run", disable=not progress, leave=False) as bar:
        if client is not None:
            return _on_cluster(work, cases, client, bar)
        return _on_this_computer(work, cases, workers, bar)


def _on_this_computer(work, cases, workers, bar) -> list:
    import dask
    from dask.callbacks import Callback
    from dask.system import CPU_COUNT

    count = workers or min(CPU_COUNT, MOST_WORKERS)
    if multiprocessing.parent_process() is not None or (workers is None and len(cases) < WORTH):
        count = 1
    tasks = [dask.delayed(work, pure=False)(**case) for case in cases]
    with Callback(posttask=lambda *_: bar.update()):
        if count == 1:
            return list(dask.compute(*tasks, scheduler="sync"))
        try:
            return list(dask.compute(*tasks, scheduler="processes", pool=_pool(count), chunksize=1, optimize_graph=False))
        except (KeyboardInterrupt, BrokenExecutor):  # what was begun is nobody's any more
            _pools.pop(count).shutdown(wait=False, cancel_futures=True)
            raise


def _pool(count: int):
    """Return processes that are warm, the same ones each time."""
    pool = _pools.get(count)
    if pool is None:
        warm()
        context = multiprocessing.get_context("spawn")  # a forked process has locks of threads it does not have
        pool = _pools[count] = ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
    return pool


def _begin() -> None:
    """Begin a process that works for this one: who interrupts the one that asks means only that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm()


@atexit.register
def close() -> None:
    """Let the processes end that experiments are spread over; the next experiment starts new ones.

    They stay, warm, for as long as the process that asked them to: some 0.5 GB of memory each.
    """
    while _pools:
        _pools.popitem()[1].shutdown(cancel_futures=True)


def _on_cluster(work, cases, client, bar) -> list:
    from distributed import as_completed

    firsts = {address.rpartition(":")[0]: address for address in client.nthreads()}
    client.gather([client.submit(warm, workers=[address], pure=False) for address in firsts.values()])
    futures = [client.submit(partial(work, **case), pure=False) for case in cases]
    for _ in as_completed(futures):
        bar.update()
    return client.gather(futures)
