"""The collectors: programs do what Python does with the same text, whatever is collected when; and what must be found out is."""

from __future__ import annotations

import re

import pytest
from graphs import GRAPH, program, reached, system_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle_objects import run_as_python

from singlab.experiments.collection import pauses as pauses_of
from singlab.experiments.workloads import workloads
from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import audit, check
from singlab.kernel.damage import TablesDamaged
from singlab.kernel.heaplayout import COLLECTORS, WITH_BARRIER
from singlab.kernel.isolation import SETTINGS
from singlab.kernel.manifest import InstallError
from singlab.kernel.startup import KernelError
from singlab.machine.jit import DISABLED
from singlab.sing import SipError, build, programs_from_source
from singlab.sing.codegen import FunctionCode
from singlab.sing.install import install
from singlab.trace.record import Kind

ALL = COLLECTORS[2:]
IMAGES = {name: program(GRAPH, name) for name in ALL}
FEW = 3 if DISABLED else 25


def pauses(system) -> int:
    return int((system.trace.events["kind"] == Kind.GC_END).sum())


def run_graph(collector: str, seed: int, isolation: str = "sip", every: bool = True, image=None) -> int:
    """Run the program that changes a graph; returns how many collections there were. It must do what Python does."""
    system = system_of(isolation, every)
    process = system.create(image or IMAGES[collector], n=seed)
    assert system.run(cycles=400_000_000).outcome == "finished"
    assert process.end.state == "exit", process.end
    assert process.exit_value == run_as_python(GRAPH, seed)[0], f"{collector}, seed {seed}"
    check(system)
    return pauses(system)


@pytest.mark.parametrize("collector", ALL)
@settings(max_examples=FEW, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 999).map(lambda n: n * 1000 + n % 61 + 3))
def test_random_graphs_with_a_collection_at_every_allocation(collector, seed):
    run_graph(collector, seed)


@pytest.mark.parametrize("isolation", SETTINGS)
@pytest.mark.parametrize("collector", ALL)
def test_all_isolation_settings(collector, isolation):
    assert run_graph(collector, 7 * 1000 + (9 if DISABLED else 60), isolation) > 5


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("collector", ALL)
def test_heaps_are_collected_when_they_come_to_their_limit(collector):
    assert run_graph(collector, 31 * 1000 + 999, every=False) > 1


def test_without_a_collector_nothing_is_collected():
    image = program(GRAPH, "none")
    assert run_graph("none", 5 * 1000 + 12, image=image) == 0
    system = system_of()
    assert system.heap(system.create(image, n=3)) is None


@pytest.mark.parametrize("collector", ALL)
def test_two_runs_are_one(collector):
    runs = []
    for _ in range(2):
        system = system_of(every=True)
        system.create(IMAGES[collector], n=11_013)
        system.run()
        runs.append((system.machine.counters(), system.trace.events.tobytes()))
    assert runs[0] == runs[1]


# ---- what there is and what it says -------------------------------------------------------------------------------------

LISTS = '''
Talk = contract("""
contract Talk {
    in  message Ask(ulong n);
    out message Answer(ulong n);
    state Start: Ask? -> Answer! -> Start;
}
""")
@managed
class Item:
    value: u64
    next: "Item | None"
@function
def made(n: u64) -> "Item | None":
    first: Item | None = None
    for i in range(n):
        first = Item(u64(i), first)
    return first
@sip
def p(ch: Talk.Imp, keep: u64, drop: u64) -> u64:
    kept = made(keep)
    for i in range(drop):
        made(10)
    ch.send(Talk.Ask(1))
    n = ch.receive(Talk.Answer)
    made(2000)
    made(2000)
    sum: u64 = 0
    while kept is not None:
        sum += kept.value
        kept = kept.next
    return sum + n
@sip
def silent(ch: Talk.Exp) -> u64:
    match ch.receive():
        case Talk.Ask(n):
            for i in range(50):
                yield_()
            ch.send(Talk.Answer(7))
        case ChannelClosed():
            pass
    return 0
'''


def lists(collector: str, keep: int, drop: int, isolation: str = "sip", **options):
    system = system_of(isolation, ram="8M", **options)
    process = system.create(program(LISTS, collector), keep=keep, drop=drop)
    other = system.create(build(programs_from_source(LISTS, "text").programs["silent"]))
    system.connect(process["ch"], other["ch"])
    return system, process


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("collector", ALL)
def test_garbage_is_reclaimed_and_what_is_alive_is_not(collector, isolation):
    system, process = lists(collector, 500, 3000, isolation)
    assert system.run(cycles=100_000_000).outcome == "finished"
    assert process.exit_value == 500 * 499 // 2 + 7
    system, process = lists(collector, 500, 3000, isolation)
    while system.heap(process) is None or "waits for a message" not in process.waits_for():
        system.advance(20)
    system.advance(20)  # its registers are in its record when somebody else runs
    state = system.heap(process)
    objects, size = reached(process)
    assert (objects, size) == (500, 500 * 24)
    assert state.collections > 3 and state.cause == ("step" if collector == "concurrent" else "limit") and state.roots > 0
    assert 500 * 24 <= state.live <= 500 * 24 + 3000, "of 3000 * 240 bytes made and dropped nearly nothing is left"
    assert state.bytes <= 4 * 65536
    assert process.holdings()["pages"] * 4096 <= 5 * 65536
    check(system)
    system.stop(process)
    assert not audit(system)


@pytest.mark.parametrize("collector", ALL)
def test_every_pause_is_in_the_trace(collector):
    system = system_of(every=True)
    process = system.create(IMAGES[collector], n=4_012)
    while system.heap(process) is None or system.heap(process).collections < 4:
        system.advance(1)
    state = system.heap(process)
    system.run()
    events = system.trace.events
    begin, work, end = (events[events["kind"] == kind] for kind in (Kind.GC_BEGIN, Kind.GC_WORK, Kind.GC_END))
    assert len(begin) == len(work) == len(end) > 4
    assert {int(a) for a in begin["a"]} == {COLLECTORS.index(collector) | 3 << 8}, "all forced"
    took = [int(e) - int(b) for b, e in zip(begin["cycle"], end["cycle"])]
    assert all(0 < b <= t for b, t in zip(map(int, end["b"]), took)) or [int(b) for b in end["b"]] == took
    assert state.cause == "forced" and state.cycles == sum(int(b) for b in end["b"][:4]) and state.longest == max(int(b) for b in end["b"][:4])


@pytest.mark.skipif(DISABLED, reason="long runs")
def test_the_steps_of_a_concurrent_collection_are_short():
    """Marking and sweeping 20,000 objects at once takes long; a step does not, however much is alive."""
    longest = {}
    for collector in ("marksweep", "concurrent"):
        system, process = lists(collector, 20_000, 2000)
        assert system.run(cycles=200_000_000).outcome == "finished" and process.exit_value == 20_000 * 19_999 // 2 + 7
        table = pauses_of(system)
        longest[collector] = table["cycles"].max()
        if collector == "concurrent":
            assert (table["cause"] == "step").sum() > 50
            longest["step"] = table[table["cause"] == "step"]["cycles"].max()
    assert longest["step"] < longest["marksweep"] / 5


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("workload", ["trees", "churn", "cache", "strings", "requests", "compiler"])
def test_a_cycle_of_steps_ends_before_the_heap_is_full(workload):
    """Programs that change what has been marked, that hold a new object at every moment, whose live data grows: all is done in steps."""
    system = System(ram="64M")
    workloads()[workload].start(system, "teaching", 1, "concurrent")
    assert system.run().outcome == "finished"
    table = pauses_of(system)
    assert (table["cause"] == "step").all() and len(table) > 100
    assert table["cycles"].max() < 200_000 and table["cycles"].median() < 100_000


@pytest.mark.skipif(DISABLED, reason="long runs")
def test_a_large_object_is_not_waited_for_in_steps():
    """Arrays of a third of the heap, one soon after the other: the rest of a cycle is done at once, as nothing bounds both heap and pause then."""
    system = System(ram="64M")
    workloads()["graph"].start(system, "teaching", 1, "concurrent")
    assert system.run().outcome == "finished"
    causes = pauses_of(system)["cause"].value_counts()
    assert causes["limit"] > 10 and causes["step"] > 20 * causes["limit"]


# ---- threads ------------------------------------------------------------------------------------------------------------

THREADS = '''
@managed
class Item:
    value: u64
    next: "Item | None"
@function
def work(n: u64) -> u64:
    first: Item | None = None
    sum: u64 = 0
    for i in range(n):
        first = Item(u64(i), first)
        if i % 3 == 0:
            yield_()
        other = Item(sum, first)
        mark(i)
        sum += other.value % 7 + first.value
    while first is not None:
        sum += first.value
        first = first.next
        if sum % 5 == 0:
            yield_()
    return sum
@sip
def p(n: u64) -> u64:
    a = thread(work, n)
    b = thread(work, n + 1)
    mine = work(n + 2)
    return mine + join(a) + join(b)
'''


def threads_alone() -> str:
    """Return the same program as Python can run it."""
    text = re.sub(r"thread\((\w+), (.*)\)", r"\1(\2)", THREADS)
    return re.sub(r"join\((\w)\)", r"\1", text).replace("yield_()", "pass").replace("mark(i)", "pass")


@pytest.mark.parametrize(("every", "quantum"), [(True, 10_000), (False, 10_000), (True, 10), (False, 10)])
@pytest.mark.parametrize("collector", ALL)
def test_the_roots_of_all_threads(collector, every, quantum):
    """Threads stand in calls of the kernel while another one's allocation collects, and are interrupted anywhere."""
    n = 12 if DISABLED else 120
    system = system_of(every=every, quantum_us=quantum)
    process = system.create(program(THREADS, collector), n=n)
    assert system.run(cycles=200_000_000).outcome == "finished"
    assert process.exit_value == run_as_python(threads_alone(), n)[0], process.end
    assert not every or pauses(system) > n // 3
    check(system)


APART = '''
@managed
class Item:
    value: u64
    next: "Item | None"
@function
def compute(n: u64) -> u64:
    x: u64 = 1
    for i in range(n):
        x = x * 5 % 8191 + i
    return x
@function
def make(n: u64) -> u64:
    sum: u64 = 0
    for i in range(n):
        sum += Item(u64(i), None).value
    return sum
@sip
def p(n: u64, long: u64) -> u64:
    a = thread(compute, long)
    mine = make(n)
    mark(1)
    return mine + join(a)
'''


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("collector", ALL)
def test_a_thread_that_computes_on_and_on_lets_the_heap_grow_a_little(collector):
    """It is at no point before it ends: who makes objects waits for it now and then, but not until it ends, and does not have all memory instead."""
    system = system_of(quantum_us=100)
    process = system.create(program(APART, collector), n=60_000, long=1_500_000)
    most = 0
    while not system.done:
        system.run(events=50)
        heap = system.heap(process)
        most = max(most, heap.bytes if heap else 0)
    assert process.end.state == "exit", process.end
    assert 131_072 <= most < 60_000 * 24 / 3, "what it made in all"
    events = system.trace.events
    waits, made = events[events["kind"] == Kind.THREAD_YIELD], events[events["kind"] == Kind.MARK]
    ended = events[(events["kind"] == Kind.THREAD_EXIT)]
    assert len(waits) > 64 and len(made) == 1 and made["cycle"][0] < ended["cycle"].max()
    check(system)


# ---- ends -----------------------------------------------------------------------------------------------------------------

HUNGRY = '''
@managed
class Item:
    value: u64
    next: "Item | None"
@sip
def hungry(n: u64) -> u64:
    first: Item | None = None
    caught: u64 = 0
    while caught < n:
        try:
            while True:
                first = Item(7, first)
        except MemoryError:
            caught += 1
            first = None
    while True:
        first = Item(7, first)
    return 1
'''


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("collector", ALL)
def test_a_full_heap_is_the_programs_exception(collector):
    system = System(ram="8M")
    hungry = system.create(program(HUNGRY, collector, "hungry", called="hungry"), heap_bytes=20_000, n=3)
    other = system.create(IMAGES["semispace"], n=9_120)
    assert system.run(cycles=200_000_000).outcome == "finished"
    assert hungry.fault.code == 22 and "out of memory" in str(hungry.fault), "caught three times, then not"
    assert other.exit_value == run_as_python(GRAPH, 9_120)[0]
    check(system)


@pytest.mark.skipif(DISABLED, reason="long runs")
@pytest.mark.parametrize("collector", ALL)
def test_memory_that_is_exhausted_is_the_programs_exception(collector):
    system = System(ram="4M")
    hungry = system.create(program(HUNGRY, collector, "hungry", called="hungry"), n=1)
    assert system.run(cycles=2_000_000_000).outcome == "finished"
    assert hungry.fault.code == 22
    check(system)
    again = system.create(IMAGES[collector], n=9_060)
    system.run()
    assert again.exit_value == run_as_python(GRAPH, 9_060)[0], "all of it has come back"


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("collector", ALL)
def test_a_process_that_is_stopped_around_its_collections_leaves_nothing(collector, isolation):
    for step in range(2, 60, 17):
        system = system_of(isolation, every=True)
        before = system.page_tags().tobytes()
        process = system.create(IMAGES[collector], n=5_040)
        while pauses(system) < step // 4 and not system.done:
            system.advance(1)
        system.advance(step % 3)
        process.stop()
        system.run()
        assert process.end.state in ("stopped", "exit")
        check(system)
        own = system.page_tags()
        assert not (own >> at.OWNER_SHIFT == process.number).any() and before


# ---- what must be found out ------------------------------------------------------------------------------------------------


def misbehaves(collector: str, image, seeds=range(3, 12)) -> bool:
    """Whether some run does not do what Python does."""
    for seed in seeds:
        try:
            run_graph(collector, seed * 1000 + (20 if DISABLED else 150), image=image)
        except (AssertionError, RuntimeError, TablesDamaged):
            return True
    return False


@pytest.mark.parametrize("collector", ALL)
def test_a_map_that_leaves_a_root_out_is_found_out(collector, monkeypatch):
    plain = FunctionCode.__init__

    def init(self, *arguments):
        plain(self, *arguments)
        self.across = {instr: held[1:] for instr, held in self.across.items()}

    monkeypatch.setattr(FunctionCode, "__init__", init)
    assert misbehaves(collector, program(GRAPH, collector), range(3, 60))


@pytest.mark.parametrize("collector", WITH_BARRIER)
def test_a_barrier_that_leaves_stores_out_is_found_out(collector, monkeypatch):
    for name in ("op_putf", "array_store", "op_put"):
        with monkeypatch.context() as patch:
            plain, barrier = getattr(FunctionCode, name), FunctionCode.barrier
            silent = {"now": False}

            def without(self, *arguments, plain=plain, silent=silent, **more):
                silent["now"] = True
                plain(self, *arguments, **more)
                silent["now"] = False

            patch.setattr(FunctionCode, name, without)
            patch.setattr(FunctionCode, "barrier", lambda self, *a, barrier=barrier, silent=silent: None if silent["now"] else barrier(self, *a))
            image = program(GRAPH, collector, optimiser=name != "op_putf")
        assert misbehaves(collector, image, range(3, 30)), name


def test_the_barrier_comes_to_the_kernel_once_for_an_object_and_collection():
    system = system_of(every=False)
    process = system.create(IMAGES["generational"], n=9_999 if not DISABLED else 9_010)
    system.run(cycles=300_000)
    heap = process._field(at.P_OBJECT_HEAP)
    assert not heap or system.heap(process).collector == "generational"
    system.run()
    assert process.exit_value == run_as_python(GRAPH, 9_999 if not DISABLED else 9_010)[0]


# ---- choosing ---------------------------------------------------------------------------------------------------------------


def test_the_manifest_the_system_and_the_operator_choose():
    plain = build(programs_from_source(GRAPH, "text").programs["p"])
    for options, created, wanted in (({}, {}, None), ({"collector": "compact"}, {}, "compact"), ({"collector": "compact"}, {"collector": "marksweep"}, "marksweep"),
                                     ({"collector": "compact"}, {"collector": "none"}, None)):  # fmt: skip
        system = System(ram="4M", collect_every=True, **options)
        process = system.create(plain, n=5_030, **created)
        while process.state != "stopped" and system.heap(process) is None:
            system.advance(5)
        state = system.heap(process)
        assert (state and state.collector) == wanted
    system = System(ram="4M", collector="compact", collect_every=True)
    process = system.create(IMAGES["semispace"], n=5_030)
    while system.heap(process) is None:
        system.advance(5)
    assert system.heap(process).collector == "semispace", "the manifest says so"


def test_a_choice_that_cannot_be_is_refused():
    with pytest.raises(KernelError, match="choose one of none, semispace"):
        System(collector="magic")
    with pytest.raises(KernelError, match="write barrier"):
        System(collector="generational")
    system = System(ram="4M")
    plain = build(programs_from_source(GRAPH, "text").programs["p"])
    with pytest.raises(KernelError, match=r'no write barrier.*@sip\(collector="generational"\)'):
        system.create(plain, n=1, collector="generational")
    with pytest.raises(KernelError, match="at least 4096 bytes"):
        system.create(plain, n=1, heap_bytes=100)
    for text, message in (('collector="magic"', "no collector 'magic'"), ("collector=3", "not a text"), ("heap_bytes=100", "cannot be")):
        with pytest.raises(SipError, match=message):
            build(programs_from_source(GRAPH.replace("@sip\n", f"@sip({text})\n"), "text").programs["p"])


def test_an_image_with_a_barrier_can_be_verified_again():
    system = System(ram="4M")
    install(system, build(programs_from_source(GRAPH.replace("@sip\n", '@sip(collector="generational")\n'), "text").programs["p"], carry_sil=True), reverify=True)


def test_tables_that_do_not_hold_together_are_refused():
    from dataclasses import replace

    from singlab.kernel.image import open_image, seal

    image = IMAGES["semispace"]
    code = bytearray(image.code)
    for change in ({"maps": len(code) - 8}, {"types": 4}, {"type_count": 1 << 19}, {"maps": image.manifest.heap["maps"] + 8}):
        import numpy as np

        bad = seal(replace(image.manifest, heap={**image.manifest.heap, **change}), image.code, np.frombuffer(image.tables, np.uint64))
        with pytest.raises(InstallError, match="do not hold together"):
            System(ram="4M").install(open_image(bad.data, "bad"))
