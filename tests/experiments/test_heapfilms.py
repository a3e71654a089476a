"""Films of real collections: what the steps come to is what memory holds afterwards, and nobody notices that one was made."""

from __future__ import annotations

import pytest

from singlab.experiments.heapfilms import PHASES, collection_film, heap_picture
from singlab.experiments.workloads import workloads
from singlab.kernel import KernelError, System
from singlab.sing import build
from singlab.trace.heapfilm import Step
from singlab.trace.record import Kind

#: Parameters that come to several collections in a small heap.
SMALL = {
    "trees": {"depth": 7, "rounds": 60, "seed": 3},
    "graph": {"nodes": 60, "degree": 3, "mutations": 3500, "seed": 3},
    "churn": {"queues": 6, "length": 40, "rounds": 20000, "seed": 3},
    "strings": {"lines": 12, "rounds": 60, "seed": 3},
    "compiler": {"functions": 30, "terms": 60, "seed": 3},
}


def program(workload: str, collector: str):
    return workloads()[workload].programs(collector)[workload]


def started(workload: str, collector: str, **options):
    source = program(workload, collector)
    system = System(ram="16M", **options)
    return source, system, system.create(build(source), heap_bytes=60_000, **SMALL[workload])


@pytest.mark.parametrize("workload", SMALL)
@pytest.mark.parametrize("collector", PHASES)
def test_the_film_ends_where_memory_stands(workload, collector):
    source, _, process = started(workload, collector)
    for _ in range(3):
        film = collection_film(process, source)
        film.before.check()
        told, now = film.after(), heap_picture(process, source)
        told.check()
        assert told.objects["address"].tolist() == now.objects["address"].tolist()
        assert told.objects["type"].tolist() == now.objects["type"].tolist() and told.objects["size"].tolist() == now.objects["size"].tolist()
        assert told.edges.tolist() == now.edges.tolist()
        if collector != "generational":  # which looks at the young ones only
            assert len(told) == film.before.reachable.sum(), "just what roots lead to is left"
        assert film.summary()["roots"] == len(film.before.roots) > 0


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("collector", PHASES)
def test_nobody_notices(collector, isolation):
    _, plain, alone = started("trees", collector, isolation=isolation)
    plain.run()
    source, system, process = started("trees", collector, isolation=isolation)
    film = collection_film(process, source)
    collection_film(process, source)
    assert not (system.trace.events["kind"] == Kind.GC_STEP).any()
    system.run()
    assert process.exit_value == alone.exit_value and system.machine.counters() == plain.machine.counters()
    assert (system.trace.events == plain.trace.events).all()
    assert "Tree" in film.before.types and {r.kind for r in film.before.roots} <= {"register", "stack"}


def test_a_picture_accounts_for_its_pages():
    source, system, process = started("graph", "marksweep")
    collection_film(process, source)
    picture = heap_picture(process, source)
    pages = picture.pages()
    assert pages["free"].sum() > 0 and (pages[["reachable", "unreachable", "free", "unused"]] >= 0).all().all()
    assert sum(space.end - space.start for space in picture.spaces) == system.heap(process).bytes
    assert "Vertex" in picture.by_type()["type"].tolist()
    assert any("object" in name for name in heap_picture(process).types), "without the program, types have no names"


def test_what_cannot_be_filmed_is_refused():
    source, system, process = started("trees", "semispace")
    with pytest.raises(KernelError, match="has no heap to look at"):
        heap_picture(process)
    while True:
        try:
            film = collection_film(process, source)
        except KernelError as error:
            assert "comes to no collection any more" in str(error)
            break
        assert (film.steps["what"] == Step.MOVE).any()
    system.run()
    with pytest.raises(KernelError, match="has no heap to look at"):
        heap_picture(process)
