"""The kernel's own heap: whatever collects it whenever, the system does the same; and it ends as empty as it began."""

from __future__ import annotations

import ast
from functools import cache

import numpy as np
import pytest
import test_names
from families import SOURCE, family
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from test_random_systems import Systems

from singlab.experiments.collection import pauses
from singlab.kernel import InstallError, System, audit, kernelobjects
from singlab.kernel import layout as at
from singlab.kernel.abi import E_FULL
from singlab.kernel.audit import check
from singlab.kernel.heaps import KERNEL_COLLECTORS
from singlab.kernel.isolation import CHOICES
from singlab.kernel.native_files import CORE_FILES, source_path
from singlab.kernel.startup import KernelError
from singlab.machine.jit import DISABLED
from singlab.machine.state import KERNEL_MOST
from singlab.trace.record import Kind

COLLECTING = KERNEL_COLLECTORS[1:]

MAKER = SOURCE + '''
@sip(extensions=[("worker", "Work")])
def maker(times: u64) -> u64:
    """Makes one child after the other, each for one question."""
    total: u64 = 0
    for i in range(times):
        imp, exp = new_channel(Work)
        child = create("worker", exp, i)
        child.start()
        imp.send(Work.Ask(i))
        total += imp.receive(Work.Answer)
        imp.close()
        total += child.join()
        child.close()
    return total
'''


@cache
def maker_images():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(MAKER, "makers").programs.items() if name in ("maker", "worker")}


def making(times: int, **options):
    """Return a system with a maker of children, and the maker."""
    system = System(ram="4M", **options)
    system.install(maker_images()["worker"])
    return system, system.create(maker_images()["maker"], times=times)


def naming(**options):
    """Return a system with a server of a name and clients of it; a client has a name that is no program's."""
    system = System(ram="4M", **options)
    system.create(test_names.programs()["server"], limit=2, pause=3)
    for number in range(3):
        system.create(test_names.programs()["client"], name=f"client{number}", n=number)
    system.create(test_names.programs()["vault"])
    system.create(test_names.programs()["admin"])
    return system


SCENES = {"names": naming, "family": lambda **options: family(rounds=2, **options)[0], "making": lambda **options: making(8 if DISABLED else 40, **options)[0]}


def story(system: System) -> list[tuple]:
    """Return what has happened but for when and where: addresses are numbered as they first come up, pages and the kernel's own thread left out."""
    places: dict[int, int] = {}
    end = at.RAM_BASE + system._load(at.G_PAGES) * at.PAGE
    left_out = {Kind.GC_BEGIN, Kind.GC_WORK, Kind.GC_HEAP, Kind.GC_END, Kind.PAGES_ALLOC, Kind.PAGES_FREE}
    found = []
    for event in system.trace.events:
        kind, process, a, b = (int(event[field]) for field in ("kind", "process", "a", "b"))
        if kind in left_out or a == at.SERVICE_NUMBER:
            continue
        if kind == Kind.THREAD_RUN:  # and who ran before
            process = b = 0
        # a handle has an address in its lower bits
        a, b = ((places.setdefault(low, len(places)), word >> at.HANDLE_SHIFT) if at.RAM_BASE <= (low := word & (1 << at.HANDLE_SHIFT) - 1) < end else word
                for word in (a, b))  # fmt: skip
        found.append((kind, process, a, b))
    return found


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("collector", COLLECTING)
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("by", ["its thread", "anybody"])
def test_a_collection_whenever_there_could_be_one_changes_nothing(scene, collector, isolation, by):
    """The kernel's own thread collects after every object; or there is a collection whenever the kernel is left."""
    plain = SCENES[scene](isolation=isolation, kernel_collector="none")
    outcome = plain.run(cycles=400_000_000).outcome
    system = SCENES[scene](isolation=isolation, kernel_collector=collector, kernel_collect_every=by == "its thread")
    while not system.done:
        system.run(events=40 if by == "its thread" else 1)
        if by == "anybody":
            system.collect_kernel()
        check(system)
    assert system.run().outcome == outcome
    assert system.kernel_heap.collections > ((5 if DISABLED else 20) if by == "anybody" or scene == "making" else 0) and (pauses(system)["owner"] == "kernel").all()
    assert plain.kernel_heap.collections == 0 and not len(pauses(plain))
    assert [(p.name, p.end.state, p.exit_value) for p in system.processes] == [(p.name, p.end.state, p.exit_value) for p in plain.processes]
    assert story(system) == story(plain)


@pytest.mark.parametrize("collector", COLLECTING)
def test_whoever_makes_processes_makes_garbage_and_it_goes(collector):
    times = 30 if DISABLED else 300
    system, maker = making(times, kernel_collector=collector)
    most = 0
    while not system.done:
        system.run(events=500)
        most = max(most, system.kernel_heap.bytes)
    assert maker.exit_value == sum(2 * i + 1 for i in range(times))
    table = pauses(system)
    state = system.heap("kernel")
    assert state == system.kernel_heap and state.collector == collector and state.cause == "limit"
    assert len(table) == state.collections >= times * 32 // 1200 and (table["owner"] == "kernel").all() and set(table["process"]) == {at.KERNEL_OWNER}
    assert table["cycles"].sum() == state.cycles and table["cycles"].max() == state.longest
    assert most <= 3 * at.PAGE, "of so many principals nearly all are garbage"
    check(system)


@pytest.mark.parametrize("collector", COLLECTING)
@pytest.mark.parametrize("scene", SCENES)
def test_who_is_gone_leaves_nothing(scene, collector):
    system = SCENES[scene](kernel_collector=collector)
    empty = (system.page_tags() == at.TAG_KERNEL_HEAP).sum()
    system.run(events=70)
    assert empty and system.collect_kernel().live > 0
    for process in system.processes:
        process.stop()
    check(system)
    state = system.collect_kernel()
    assert (state.live, state.bytes, state.roots >= 1) == (0, 0, True) and not (system.page_tags() == at.TAG_KERNEL_HEAP).any()
    assert system._load(at.G_NAMES) == 0
    check(system)


def test_a_snapshot_has_the_kernels_objects():
    system = naming(kernel_collect_every=True)
    system.run(events=150)
    snapshot = system.snapshot()
    before = len(system.trace.events)
    system.run()
    first = system.trace.events[before:].copy()
    system.restore(snapshot)
    check(system)
    system.run()
    assert (system.trace.events[before:] == first).all() and len(first) > 50


# ---- nobody else's ------------------------------------------------------------------------------------------------------


def words(system: System, page: int) -> np.ndarray:
    return np.frombuffer(bytes(system.machine.read(at.RAM_BASE + page * at.PAGE, at.PAGE)), "<u8")


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("collector", COLLECTING)
def test_the_kernels_collector_looks_at_no_page_of_a_process(collector, isolation):
    """All memory of processes is filled with what would lead a collector astray: references into the kernel's heap."""
    results = []
    for scrambled in (False, True):
        system = naming(isolation=isolation, kernel_collector=collector)
        system.run(events=70)
        tags = system.page_tags()
        lure = int(np.flatnonzero(tags == at.TAG_KERNEL_HEAP)[0]) * at.PAGE + at.RAM_BASE
        theirs = [page for page in range(system._load(at.G_USER_FIRST), len(tags)) if tags[page]]
        assert len(theirs) > 10
        for page in theirs if scrambled else ():
            system.machine.write(at.RAM_BASE + page * at.PAGE, np.full(at.PAGE // 8, lure, "<u8").tobytes())
        seen = {page: words(system, page) for page in theirs}
        system.collect_kernel()
        assert all((words(system, page) == seen[page]).all() for page in theirs), "nothing is written there"
        kernels = np.flatnonzero(system.page_tags() == at.TAG_KERNEL_HEAP)
        results.append((system.kernel_heap.live, system.kernel_heap.roots, {int(page): words(system, page).tolist() for page in kernels}))
    assert results[0] == results[1], "nothing is read there"


# ---- no memory --------------------------------------------------------------------------------------------------------


def fill(system: System) -> list[int]:
    """Take every free page of the kernel zone, as pages of which nobody knows anything."""
    taken = []
    while True:
        try:
            taken.append(system._kernel_pages(at.PAGE, at.KERNEL_OWNER << at.OWNER_SHIFT | 6))
        except InstallError:
            return taken


def use_up(system: System) -> None:
    """Let what is left of the kernel's room be lost until the next collection."""
    system._store(at.G_KERNEL_END, system._load(at.G_KERNEL_TOP))


@pytest.mark.parametrize("collector", COLLECTING)
def test_without_memory_there_is_no_process(collector):
    """What collects in place finds the room that was lost; what copies has no page to copy to."""
    system = System(ram="4M", kernel_collector=collector)
    system.create(test_names.programs()["admin"])
    system.install(test_names.programs()["vault"])
    taken = fill(system)
    use_up(system)
    if collector == "semispace":
        with pytest.raises(KernelError, match="no room for another process"):
            system.create("vault")
        check(system)
        system._free_kernel_pages(taken.pop(), at.PAGE)
    assert system.create("vault").state == "unstarted"
    assert system.kernel_heap.cause == "memory" and system.kernel_heap.collections == (collector != "semispace")
    for page in taken:
        system._free_kernel_pages(page, at.PAGE)
    check(system)


@pytest.mark.parametrize("tight", [True, False])
def test_without_memory_no_name_is_bound(tight):
    system = System(ram="4M")
    server = system.create(test_names.programs()["server"], limit=0, pause=0)
    system.advance(3)
    if tight:
        fill(system)
        use_up(system)
    assert system.run(cycles=5_000_000).outcome == "finished"
    refused = [event for event in system.trace.events if event["kind"] == Kind.REFUSED and event["b"] == E_FULL]
    assert (len(refused), server.exit_value) == ((1, 999) if tight else (0, 0))
    check(system)


# ---- what must be found out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", range(len(kernelobjects.ROOTS)))
@pytest.mark.parametrize("collector", COLLECTING)
def test_a_root_that_the_table_leaves_out_is_found_out(missing, collector, monkeypatch):
    rows = [root for number, root in enumerate(kernelobjects.ROOTS) if number != missing]
    monkeypatch.setattr(kernelobjects, "ROOTS", tuple(rows))
    system = naming(kernel_collector=collector, kernel_collect_every=True)
    with pytest.raises((audit.AuditError, KernelError)):
        while not system.done:
            system.run(events=5)
            check(system)


@pytest.mark.parametrize("field", [kernelobjects.N_NEXT, kernelobjects.N_TEXT, kernelobjects.N_RULE])
@pytest.mark.parametrize("collector", COLLECTING)
def test_a_reference_that_its_type_leaves_out_is_found_out(field, collector, monkeypatch):
    rows = [(name, kind, size, tuple(f for f in fields if f != field)) for name, kind, size, fields in kernelobjects.TYPES]
    monkeypatch.setattr(kernelobjects, "TYPES", tuple(rows))
    system = naming(kernel_collector=collector, kernel_collect_every=True)
    system.machine.m[KERNEL_MOST] = 1 << 22  # a collector that has lost its way is given up soon
    with pytest.raises((audit.AuditError, KernelError, RuntimeError)):
        while not system.done:
            system.run(events=5)
            check(system)


@pytest.mark.parametrize("collector", COLLECTING)
def test_a_pause_of_the_kernel_says_in_what_pieces_its_heap_is_left(collector):
    system = making(5, kernel_collector=collector, kernel_collect_every=True)[0]
    system.run()
    table = pauses(system)
    assert len(table) and (table["owner"] == "kernel").all() and (table["active"] == collector).all()
    left = table[table["heap_after"] > 0]
    assert len(left) and ((left["largest"] > 0) & (left["largest"] <= left["heap_after"] - left["live"])).all()
    assert ((left["fragmentation"] >= 0) & (left["fragmentation"] < 1)).all()


def test_the_tables_are_sealed():
    system = System(ram="2M")
    assert system.machine.read(at.KERNEL_TABLES, at.KERNEL_TABLE_BYTES) == kernelobjects.tables() == system.kernel_image.tables
    assert system.check_kernel()
    system.machine.write(at.KERNEL_TABLES + 9, b"\x55")
    assert not system.check_kernel() and "tables of objects" in repr(system.check_kernel())


def test_nothing_is_collected_while_a_function_of_the_kernel_is_under_way():
    """So no variable of the kernel's need be a root. Only the service thread's turn begins a collection, and first of all."""
    callers = set()
    for file in CORE_FILES:
        for node in ast.parse(source_path(file).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(isinstance(call, ast.Call) and getattr(call.func, "id", "") == "kernel_collect" for call in ast.walk(node)):
                callers.add(node.name)
    assert callers == {"kernel_turn"}


def test_what_cannot_be_chosen_is_said():
    for wrong in ("generational", "concurrent", "", "mark"):
        with pytest.raises(KernelError, match="choose one of none, marksweep, semispace, compact"):
            System(ram="2M", kernel_collector=wrong)


# ---- anything at all ---------------------------------------------------------------------------------------------------------


class Kernels(Systems):
    """A random system whose kernel collects after every object; what its texts say is known from outside."""

    #: Who provides a name waits for ever if all who wanted it were stopped.
    ENDS = (*Systems.ENDS, "deadlock")

    @initialize(isolation=st.sampled_from(sorted(CHOICES)), collector=st.sampled_from(COLLECTING), every=st.booleans(), quantum=st.sampled_from([1, 10_000]))
    def boot(self, isolation, collector, every, quantum):
        self.system = System(isolation=isolation, ram="4M", quantum_us=quantum, kernel_collector=collector, kernel_collect_every=every)
        from families import images

        for name in ("worker", "foreman"):
            self.system.install(images()[name])

    @rule(number=st.integers(1, 3))
    def a_name_and_who_wants_it(self, number):
        if self.system and len(self.alive()) < 9:
            for name in ("vault", *["admin"] * number):
                self.system.create(test_names.programs()[name])

    @rule()
    def collect_now(self):
        if self.system:
            self.system.collect_kernel()

    @invariant()
    def texts_say_what_they_should(self):
        if not self.system:
            return
        known = {p.number: p for p in self.system.processes}
        for process in known.values():
            if process.state == "stopped":
                continue
            chain, one = [], process
            while one is not None:
                chain.insert(0, one.installed.name)
                one = known.get(self.system._host.parents.get(one.number, 0))
            assert self.system._kernel_text(process._field(at.P_PRINCIPAL)) == "+".join(chain)
        assert set(self.system.namespace.index) <= {"/vault"}


Kernels.TestCase.settings = settings(max_examples=3 if DISABLED else 8, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
TestKernels = Kernels.TestCase
