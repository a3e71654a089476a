"""The kernel's own heap in pictures and films: what they say is what the kernel's tables and memory say, and nobody notices."""

from __future__ import annotations

from functools import cache

import pytest

from singlab.experiments.heapfilms import PHASES, collection_film, heap_picture
from singlab.kernel import KernelError, System
from singlab.kernel import kernelobjects as ko
from singlab.kernel import layout as at
from singlab.kernel.heaps import KERNEL_COLLECTORS
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind
from singlab.widgets.heapview import HeapView

COLLECTING = KERNEL_COLLECTORS[1:]

SOURCE = '''
Talk = contract("""
contract Talk {
    out message Ready();
    in message Ask(ulong n);
    state Start: Ready! -> Ask? -> Start;
}
""")
Provider = contract("""
contract Provider {
    in message Connect(Talk.Exp:Start exp);
    out message AckConnect();
    out message NackConnect(Talk.Exp:Start exp);
    state Start: Connect? -> (AckConnect! -> Start or NackConnect! -> Start);
}
""")

@sip(provides=["/mail", "/news"])
def desk(turns: u64, times: u64) -> u64:
    """Provides two names for so many turns, so many times."""
    bound: u64 = 0
    while bound < times:
        mail, mails = new_channel(Provider)
        news, newses = new_channel(Provider)
        if register("/mail", mail):
            bound += 1
        register("/news", news)
        for i in range(turns):
            yield_()
        mails.close()
        newses.close()
    return bound
'''


@cache
def desk():
    return build(programs_from_source(SOURCE, "desks").programs["desk"])


def desks(turns: int = 5, times: int = 1, **options) -> System:
    """Return a system in which one has provided two names, and another one does."""
    system = System(ram="8M", **options)
    system.create(desk(), turns=turns, times=times)
    system.run(cycles=2_000_000)
    system.create(desk(), turns=100_000, times=times)
    system.run(cycles=100_000)
    return system


def test_a_picture_says_what_the_kernels_tables_say():
    system = desks()
    picture = heap_picture(system)
    picture.check()
    assert picture.process == "the kernel" and picture.collector == "marksweep" and picture.types == ("free", "text", "name")
    provider = next(process for process in system.processes if process.state == "running")
    assert [(root.name, root.target) for root in picture.roots] == [
        ("names", system._load(at.G_NAMES)), (f"desk {provider.number}", provider._field(at.P_PRINCIPAL))]  # fmt: skip
    names = {picture.said[i] for i in range(len(picture)) if picture.reachable[i] and picture.types[picture.objects["type"][i]] == "name"}
    assert names == set(system.namespace.index) == {"/mail", "/news"}
    assert {text for text, held in zip(picture.said, picture.reachable) if held} == {"/mail", "/news", "*", "desk"}
    assert picture.by_type()["bytes"].sum() == picture.objects["size"].sum() and not picture.reachable.all(), "who is gone leaves garbage"
    pages = picture.pages()
    assert (pages["space"] == "extent").all() and pages[["reachable", "unreachable", "free", "unused"]].to_numpy().sum() == system.kernel_heap.bytes
    state = system.collect_kernel()
    picture = heap_picture(system)
    assert picture.objects["size"].sum() == state.live and picture.reachable.all() and picture.pages()["free"].sum() > 0


@pytest.mark.parametrize("now", [True, False])
@pytest.mark.parametrize("collector", COLLECTING)
def test_the_film_ends_where_memory_stands(collector, now):
    system = desks(kernel_collector=collector) if now else System(ram="8M", kernel_collector=collector)
    system.create(desk(), turns=3, times=40)
    for _ in range(2):
        film = collection_film(system, now=now)
        film.before.check()
        told, current = film.after(), heap_picture(system)
        assert (told.objects == current.objects).all() and told.edges.tolist() == current.edges.tolist() and told.said == current.said
        assert sorted(root.target for root in told.roots) == sorted(root.target for root in current.roots)
        assert len(told) == film.before.reachable.sum() and film.phases == PHASES[collector]
        assert film.summary()["roots"] == len(film.before.roots) > 0
        HeapView(film)


@pytest.mark.parametrize("collector", COLLECTING)
def test_nobody_notices(collector):
    def make() -> System:
        system = System(ram="8M", kernel_collector=collector)
        system.create(desk(), turns=3, times=40)
        return system

    plain, system = make(), make()
    plain.run()
    for _ in range(3):
        collection_film(system)
    assert not (system.trace.events["kind"] == Kind.GC_STEP).any()
    system.run()
    assert system.machine.counters() == plain.machine.counters() and (system.trace.events == plain.trace.events).all()
    one, other = desks(), desks()
    one.collect_kernel()
    assert collection_film(other, now=True).summary()["gone"] > 0
    assert one.kernel_heap == other.kernel_heap and (one.trace.events == other.trace.events).all()


def test_a_large_heap_of_the_kernel_is_shown_by_pages():
    system = System(ram="16M", kernel_collector="none")
    process = system.create(desk(), turns=1, times=900)
    while not system.done:
        system.run(events=2000)
        if process.state == "running" and len(heap_picture(system)) > 5000:
            break
    picture = heap_picture(system)
    assert len(picture) > 5000 and picture.reachable.sum() < 20 and len(picture.pages()) > 20
    assert "name" in HeapView(picture)._repr_mimebundle_()[0]["text/html"]


def test_what_cannot_be_shown_is_said():
    system = System(ram="4M", kernel_collector="none")
    with pytest.raises(KernelError, match="the kernel's heap is empty"):
        heap_picture(system)
    process = system.create(desk(), turns=1, times=1)
    assert heap_picture(system).said == ("desk",)
    with pytest.raises(KernelError, match=r'the kernel of this system has no collector; choose one: System\(kernel_collector="marksweep"\)'):
        collection_film(system)
    with pytest.raises(TypeError, match=r"heap_picture\(system\)"):
        heap_picture(system.kernel_heap)
    with pytest.raises(TypeError, match="give a process, or a system for its kernel's own heap, not str"):
        heap_picture("kernel")
    with pytest.raises(KernelError, match="only the kernel's heap can be collected at once"):
        collection_film(process, now=True)
    with pytest.raises(TypeError, match="not int"):
        collection_film(3)
    quiet = System(ram="4M")
    with pytest.raises(KernelError, match="the kernel's heap is empty"):
        collection_film(quiet, now=True)
    quiet.create(desk(), turns=1, times=1)
    with pytest.raises(KernelError, match=r"comes to no collection any more; .*collection_film\(system, now=True\)"):
        collection_film(quiet)


def test_a_heap_in_which_something_is_no_object():
    system = desks()
    address = int(heap_picture(system).objects["address"][0])
    system._store(address, len(ko.TYPES) + 1)
    with pytest.raises(KernelError, match=f"what lies at {address:#x} in the heap of the kernel is no object"):
        heap_picture(system)
