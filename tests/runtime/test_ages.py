"""Tenuring: how many minor collections an object survives before it is old, in its header, in the numbers, and in films; and what each pause says of itself."""

from __future__ import annotations

import pytest
from graphs import GRAPH, program, reached
from oracle_objects import run_as_python
from test_collectors import ALL, IMAGES, LISTS
from test_heap_policies import made

from singlab.experiments.collection import pauses, survivors
from singlab.experiments.heapfilms import collection_film, heap_picture
from singlab.kernel import System
from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.audit import check
from singlab.machine.jit import DISABLED
from singlab.sing import build, programs_from_source
from singlab.sing.codegen import FunctionCode


def aging(age: int, n: int, every: bool = True, image=None, isolation: str = "sip") -> System:
    """Run the program that changes a graph with a tenuring age; it must do what Python does."""
    system = System(ram="8M", policies=[made("tenure", f"return {age}")], collect_every=every, isolation=isolation)
    process = system.create(image or IMAGES["generational"], n=n)
    assert system.run(cycles=400_000_000).outcome == "finished"
    assert process.exit_value == run_as_python(GRAPH, n)[0], process.end
    check(system)
    return system


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("age", [1, 2, 3, 7, 15])
def test_random_graphs(age, isolation):
    for seed in (3,) if DISABLED else range(3, 40, 5):
        aging(age, seed * 1000 + (15 if DISABLED else 100 + seed), isolation=isolation)
    aging(age, 31_000 + (50 if DISABLED else 999), every=False)


def test_an_age_that_changes_all_the_time():
    for n in (9_030,) if DISABLED else (9_120, 17_300):
        system = System(ram="8M", policies=[made("tenure", "return 1 + random_word() % 6")], collect_every=True)
        process = system.create(IMAGES["generational"], n=n)
        system.run()
        assert process.exit_value == run_as_python(GRAPH, n)[0], process.end
        check(system)


@pytest.mark.parametrize("age", [2, 4])
def test_who_is_old_and_who_is_not(age):
    """Objects that are kept from the beginning: as old as there were collections, and then in the old space."""
    image = build(programs_from_source(LISTS.replace("@sip\n", '@sip(collector="generational")\n'), "text").programs["p"])
    drop = 300 if DISABLED else 1500
    system = System(ram="8M", policies=[made("tenure", f"return {age}"), made("trigger", "return heap_made(heap) >= 8192")])
    process = system.create(image, keep=50, drop=drop)
    other = system.create(build(programs_from_source(LISTS, "text").programs["silent"]))
    system.connect(process["ch"], other["ch"])
    seen = set()
    while "waits for a message" not in process.waits_for():
        system.advance(1)
        if process.state != "stopped" and system.heap(process):
            counted = system.heap(process).collections
            old, young = (system._load(process._field(at.P_OBJECT_HEAP) + field) for field in (hp.Z_OLD, hp.Z_EXTENTS))
            seen.add((counted, bool(old and system._load(old + hp.X_TOP) > system._load(old + hp.X_START)), bool(young)))
    assert min(counted for counted, old, _ in seen if old) == age, "at the collection of that number the first become old"
    system.advance(20)  # its registers are in its record
    picture = heap_picture(process)
    assert set(picture.objects["age"].tolist()) <= set(range(age)) | {1}
    assert reached(process)[0] == 50
    table, ages = pauses(system, process), survivors(system, process)
    assert (table["tenure"] == age).all() and ages["age"].max() == age
    assert ages["bytes"].sum() == table["moved"].sum(), "what is moved has an age"
    by_age = ages.groupby("age")["bytes"].sum()
    assert (by_age.diff().dropna() <= 0).all(), "the older, the fewer"
    system.run()
    assert process.exit_value == 50 * 49 // 2 + 7


@pytest.mark.skipif(DISABLED, reason="long runs")
def test_what_dies_young_does_not_become_old():
    """A request's objects live through one collection, or two: with a tenuring age of 3 hardly anything becomes old, and there are fewer major collections."""
    text = GRAPH.split("@function")[0] + '''
@sip(collector="generational")
def p(n: u64) -> u64:
    window: Array[Optional[Node]] = array(Optional[Node], 400)
    for i in range(n):
        window[i % 400] = Node(u64(i), 0, window[(i * 7) % 400], None, None, "x")
        if i % 7 == 0:
            window[(i * 7) % 400] = None
    return n
'''
    image = build(programs_from_source(text, "text").programs["p"])
    old = {}
    for age in (1, 3):
        system = System(ram="8M", policies=[made("tenure", f"return {age}")])
        process = system.create(image, n=60_000)
        system.run()
        assert process.exit_value == 60_000
        ages = survivors(system)
        old[age] = int(ages[ages["age"] == age]["bytes"].sum())
    assert old[3] < old[1] / 2


@pytest.mark.parametrize("age", [2, 3])
def test_a_film_of_objects_that_age_ends_where_memory_stands(age):
    system = System(ram="8M", policies=[made("tenure", f"return {age}"), made("trigger", "return heap_made(heap) >= 4096")])
    process = system.create(IMAGES["generational"], n=31_000 + (150 if DISABLED else 600))
    for _ in range(4):
        film = collection_film(process)
        film.before.check()
        told, now = film.after(), heap_picture(process)
        told.check()
        assert told.objects["address"].tolist() == now.objects["address"].tolist() and told.edges.tolist() == now.edges.tolist()
    assert now.objects["age"].max() >= 1


@pytest.mark.skipif(DISABLED, reason="long runs")
def test_a_barrier_that_leaves_stores_out_is_found_out_whatever_the_age(monkeypatch):
    plain, barrier, silent = FunctionCode.array_store, FunctionCode.barrier, {"now": False}

    def without(self, *arguments, **more):
        silent["now"] = True
        plain(self, *arguments, **more)
        silent["now"] = False

    monkeypatch.setattr(FunctionCode, "array_store", without)
    monkeypatch.setattr(FunctionCode, "barrier", lambda self, *a: None if silent["now"] else barrier(self, *a))
    image = program(GRAPH, "generational")
    found = 0
    for age in (1, 2, 3):
        for seed in range(3, 40):
            try:
                aging(age, seed * 1000 + 150, image=image)
            except (AssertionError, RuntimeError):
                found += 1
                break
    assert found == 3


# ---- what a pause says of itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("collector", ALL)
def test_what_each_pause_says(collector):
    system = System(ram="8M", collect_every=True)
    process = system.create(IMAGES[collector], n=7_000 + (20 if DISABLED else 90))
    seen = {}
    while not system.done:
        system.advance(1)
        if process.state != "stopped" and (state := system.heap(process)) and state.collections:
            heap = process._field(at.P_OBJECT_HEAP)
            seen.setdefault(state.collections, (state.live, state.moved, state.freed, state.active, system._load(heap + hp.Z_BARRIERS)))
    table = pauses(system, process)
    assert len(table) == max(seen)
    assert table["barriers"].cumsum().tolist()[: len(seen)][-1] <= seen[max(seen)][4] and (table["barriers"].sum() > 0) == (collector in hp.WITH_BARRIER)
    for number, (live, moved, freed, active, _) in list(seen.items())[:40]:
        row = table.iloc[number - 1]
        assert (row["live"], row["moved"], row["freed"], row["active"]) == (live, moved, freed, active)
    assert (table["heap_after"] >= table["live"]).all() and (table["largest"] <= table["heap_after"]).all()
    assert table["fragmentation"].between(0, 1).all() and (table["heap_after"] % at.PAGE == 0).all()


@pytest.mark.skipif(DISABLED, reason="long runs")
def test_free_lists_are_in_pieces_and_compaction_leaves_one():
    """Every second object dies: what is free is in pieces for mark-sweep, in one for the others."""
    text = '''
@managed
class Item:
    value: u64
    next: "Item | None"
@sip(collector="COLLECTOR")
def p(n: u64) -> u64:
    kept: Item | None = None
    for i in range(n):
        kept = Item(u64(i), kept)
        Item(7, None)
    made: u64 = 0
    while made < n:
        Item(made, None)
        made += 1
    return n
'''
    shares = {}
    for collector in ("marksweep", "compact", "semispace"):
        system = System(ram="8M", policies=[made("trigger", "return heap_count(heap) == 0 and heap_made(heap) >= 100000")])
        process = system.create(build(programs_from_source(text.replace("COLLECTOR", collector), "text").programs["p"]), n=4000)
        system.run()
        assert process.exit_value == 4000
        shares[collector] = pauses(system)["fragmentation"].iloc[0]
    assert shares["marksweep"] > 0.5 > 0.1 > shares["compact"] == shares["semispace"] == 0


LARGE = '''
@managed
class Item:
    value: u64
    next: "Item | None"
@function
def churn(n: u64) -> u64:
    first: Item | None = None
    for i in range(n):
        first = Item(u64(i), None)
    return n
@sip(collector="concurrent")
def p(n: u64, rounds: u64) -> u64:
    large: Array[Optional[Item]] = array(Optional[Item], n)
    for i in range(n // 50):
        large[i * 50] = Item(u64(i), None)
    for i in range(rounds):
        churn(300)
        large[(i * 7919) % n] = Item(1, large[(i * 31) % n])
        if i % 40 == 0:
            dead: Array[Optional[Item]] = array(Optional[Item], n // 4)
            dead[0] = large[0]
    sum: u64 = 0
    for i in range(n):
        item = large[i]
        while item is not None:
            sum += item.value
            item = item.next
    return sum
'''


@pytest.mark.skipif(DISABLED, reason="long runs")
def test_a_step_is_as_short_however_large_an_array_is():
    longest = {}
    image = build(programs_from_source(LARGE, "text").programs["p"])
    for n in (500, 50_000):
        system = System(ram="16M")
        process = system.create(image, n=n, rounds=300)
        system.run()
        assert process.exit_value == run_as_python(LARGE.replace('@sip(collector="concurrent")', "@sip"), n, 300)[0]
        table = pauses(system)
        steps = table[table["cause"] == "step"]
        assert len(steps) > 20
        longest[n] = steps["cycles"].max()
        check(system)
    assert longest[50_000] < 3 * longest[500], longest
