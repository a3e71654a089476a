"""Films of concurrent collections: what the steps come to is what memory holds, the colours are those of the headers, and nobody notices."""

from __future__ import annotations

import numpy as np
import pytest

from singlab.experiments import cyclefilms
from singlab.experiments.heapfilms import collection_film, heap_picture
from singlab.experiments.heappictures import contents, find_heap
from singlab.experiments.workloads import workloads
from singlab.kernel import KernelError, System
from singlab.kernel import heaplayout as hp
from singlab.kernel.layout import G_WINDOW
from singlab.runtime.concurrent import IDLE, MARKING, SWEEPING
from singlab.sing import build
from singlab.trace.heapfilm import BLACK, GONE, GREY, LATER, WHITE, Step
from singlab.trace.record import Kind

#: Parameters that come to several cycles.
SMALL = {
    "trees": {"depth": 7, "rounds": 60, "seed": 3},
    "graph": {"nodes": 60, "degree": 3, "mutations": 3500, "seed": 3},
    "strings": {"lines": 12, "rounds": 60, "seed": 3},
}


def started(workload: str, **options):
    source = workloads()[workload].programs("concurrent")[workload]
    system = System(ram="16M", **options)
    return source, system, system.create(build(source), **SMALL[workload])


def missed(film, position: int) -> list[tuple[int, int]]:
    """References from black objects to white ones."""
    state, _ = film.states(position)
    return [(int(a), int(b)) for a, b in film.edges(position) if (state[a], state[b]) == (BLACK, WHITE)]


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("workload", SMALL)
def test_the_film_ends_where_memory_stands(workload, every):
    source, system, process = started(workload)
    system.run(cycles=300_000)
    system.collect_every = every
    for _ in range(2):
        film = collection_film(process, source)
        told, now = film.after(), heap_picture(process, source)
        told.check()
        assert (told.objects[["address", "type", "size"]] == now.objects[["address", "type", "size"]]).all()
        assert told.edges.tolist() == now.edges.tolist()
        for position in np.linspace(0, len(film), 12).astype(int):
            assert not missed(film, position), "the barrier lets no black object refer to a white one"
        state, _ = film.states(len(film))
        assert set(state.tolist()) <= {BLACK, GONE} and film.program == (3,)
        made = np.isin(film.steps["what"], (Step.MAKE, Step.MAKE_BLACK)).sum()
        assert made == len(film.born) and (not every or made)
    assert not (system.trace.events["kind"] == Kind.GC_STEP).any()


def test_what_a_cycle_is_at_is_said_once_more():
    assert (cyclefilms.IDLE, cyclefilms.SWEEPING) == (IDLE, SWEEPING)


def test_the_colours_are_those_of_the_headers():
    """The same system once more: while it marks, a header says at the end of each step what its object is."""
    source, system, process = started("graph", collect_every=True)
    system.run(cycles=200_000)
    before = system.snapshot()
    film = collection_film(process, source)
    system.restore(before)
    ends = [n for n, (what, a, _) in enumerate(film.steps.tolist()) if what == Step.PHASE and a == 3]
    heap, compared = find_heap(process, source), 0
    while heap.load(hp.Z_PHASE):  # the cycle that was under way
        system.advance()
    for position in ends:
        first = len(system.trace.events)
        while not (system.trace.events["kind"][first:] == Kind.GC_END).any():
            system.advance()
        if heap.load(hp.Z_PHASE) != MARKING:
            break
        state, where = film.states(position)
        told = {int(where[i]): int(state[i]) for i in range(len(state)) if state[i] not in (GONE, LATER)}
        here = contents(heap)
        sliced = max((r[0] for r in here.objects if r[0] < heap.load(hp.Z_SLICE_END) - system._load(G_WINDOW)), default=0)
        assert sorted(told) == [record[0] for record in here.objects]
        for address, upper in here.uppers.items():
            waits = upper >> 1 or heap.load(hp.Z_SLICE) and address == sliced
            assert told[address] == (WHITE if not upper else GREY if waits else BLACK), hex(address)
            compared += upper != 0
    assert compared > 30


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_nobody_notices(isolation):
    _, plain, alone = started("trees", isolation=isolation)
    plain.run()
    source, system, process = started("trees", isolation=isolation)
    collection_film(process, source)
    film = collection_film(process, source)
    assert not (system.trace.events["kind"] == Kind.GC_STEP).any()
    system.run()
    assert process.exit_value == alone.exit_value and system.machine.counters() == plain.machine.counters()
    assert (system.trace.events == plain.trace.events).all()
    assert "Tree" in film.before.types and film.summary()["made"] > 0


def test_somebody_elses_collections_are_not_in_it():
    """Another process and the kernel collect meanwhile."""
    source, system, process = started("graph", collect_every=True, kernel_collect_every=True)
    other = workloads()["trees"].programs("marksweep")["trees"]
    system.create(build(other), depth=4, rounds=40, seed=3)
    system.run(cycles=300_000)
    film = collection_film(process, source)
    told, now = film.after(), heap_picture(process, source)
    assert (told.objects[["address", "type", "size"]] == now.objects[["address", "type", "size"]]).all()


def test_a_film_in_which_the_barrier_matters():
    source, system, process = started("graph", collect_every=True)
    system.run(cycles=200_000)
    for _ in range(30):
        film = collection_film(process, source)
        if (lost := film.lost_without_barrier()).any():
            break
    what = film.steps["what"].tolist()
    state, _ = film.states(what.index(Step.FREE) if Step.FREE in what else len(film))
    assert lost.any() and (state[lost] == BLACK).all() and Step.SHADE in what


def test_a_cycle_that_is_not_over_when_its_process_ends_is_no_film():
    source, system, process = started("strings")
    with pytest.raises(KernelError, match="has ended before a cycle of its collector was over|comes to no collection any more"):
        while True:
            collection_film(process, source)
    system.run()
    assert process.state == "stopped" and process.exit_value is not None
