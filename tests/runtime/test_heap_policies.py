"""Policies of heaps: each slot's answer decides, for the processes it is meant for; what misbehaves is put out of force and named."""

from __future__ import annotations

import pytest
from graphs import GRAPH, program
from oracle_objects import run_as_python
from test_collectors import HUNGRY, LISTS

from singlab.experiments.collection import pauses
from singlab.experiments.workloads import workloads
from singlab.kernel import System
from singlab.kernel import heaplayout as hp
from singlab.kernel import layout as at
from singlab.kernel.audit import check
from singlab.kernel.policies import PolicyError
from singlab.kernel.policyslots import HEAP_SLOTS
from singlab.kernel.startup import KernelError
from singlab.machine.jit import DISABLED
from singlab.sing import build, programs_from_source
from singlab.sing.policies import policy_from_source
from singlab.trace.record import Kind

N = 31_050 if DISABLED else 31_999
IMAGES = {name: program(GRAPH, name) for name in ("semispace", "marksweep", "compact", "generational", "concurrent", "adaptive")}


def made(slot: str, body: str):
    """Return a policy of a heap by the lines of its body."""
    given = "heap, size" if slot == "growth" else "heap"
    return policy_from_source(slot, f"def f({given}):\n" + "".join(f"    {line}\n" for line in body.splitlines()), "policy.py")


def run(collector: str, *policies, n: int = N, every: bool = False, **options):
    """Run the program that changes a graph; it must do what Python does. Returns the system, and its table of pauses."""
    system = System(ram="8M", policies=policies, collect_every=every, **options)
    process = system.create(IMAGES[collector], n=n)
    assert system.run().outcome == "finished"
    assert process.exit_value == run_as_python(GRAPH, n)[0], process.end
    check(system)
    return system, pauses(system)


@pytest.mark.parametrize("collector", IMAGES)
def test_a_trigger_says_when(collector):
    """Whenever 8 KB have been made: that often, and for that reason; a concurrent collector begins a cycle then."""
    _, table = run(collector, made("trigger", "return heap_made(heap) >= 8192"))
    if collector == "concurrent":
        assert set(table["cause"]) == {"step"} and len(table) > 5
    else:
        assert set(table["cause"]) == {"policy"}
        _, rare = run(collector, made("trigger", "return heap_made(heap) >= 16384"))
        assert 2 * len(table) > 3 * len(rare) > 3
    _, never = run(collector, made("trigger", "return 0"))
    assert len(never) == 0, "memory is enough, so the heap grows"


def test_a_trigger_that_never_wants_a_collection_comes_to_the_end_of_memory():
    system = System(ram="8M", policies=[made("trigger", "return 0")])
    process = system.create(program(HUNGRY, "semispace", "hungry"), heap_bytes=100_000, n=2)
    system.run()
    assert process.fault.code == 22
    assert set(pauses(system)["cause"]) <= {"limit", "memory"} and (pauses(system)["heap"] > 90_000).all()


def test_growth_says_by_how_much():
    sizes = {}
    for bytes in (4096, 32_768, 200_000):
        system, _ = run("semispace", made("growth", f"if size > {bytes}:\n    return size\nreturn {bytes}"))
        events = system.trace.events
        tag = system.processes[0].number << at.OWNER_SHIFT | at.TAG_HEAP
        counts = events["b"][(events["kind"] == Kind.PAGES_ALLOC) & (events["b"] >> 32 == tag)] & 0xFFFF_FFFF
        sizes[bytes] = int(counts[0])
    assert sizes == {4096: 1, 32_768: 8, 200_000: 16}, "no further than the limit"


def test_the_nursery_says_how_much_room_young_objects_have():
    few, many = (len(run("generational", made("nursery", f"return {size}"))[1]) for size in (65_536, 8192))
    assert many >= few + 3 - 2 * DISABLED


COLLECTORS = {2: "semispace", 3: "marksweep", 4: "compact"}


@pytest.mark.parametrize("number", COLLECTORS)
def test_the_collector_of_an_adaptive_heap(number):
    system = System(ram="8M", policies=[made("collector", f"return {number}")], collect_every=True)
    process = system.create(IMAGES["adaptive"], n=7_040)
    while system.heap(process) is None or system.heap(process).collections < 5:
        system.advance(1)
    state = system.heap(process)
    assert (state.collector, state.active) == ("adaptive", COLLECTORS[number])
    system.run()
    assert process.exit_value == run_as_python(GRAPH, 7_040)[0]


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
@pytest.mark.parametrize("body", ["return 2 + heap_count(heap) % 3", "return 4 - heap_count(heap) % 3", "return 2 + random_word() % 3"])
def test_a_heap_goes_from_each_collector_to_each_other(body, isolation):
    for n in (9_060,) if DISABLED else (9_060, 21_150, 5_999):
        run("adaptive", made("collector", body), n=n, every=True, isolation=isolation)
    run("adaptive", made("collector", body), made("trigger", "return heap_made(heap) >= 8192"), isolation=isolation)


def test_what_adapts():
    """Copying while little survives, compaction when nearly all does, or when there is no room for a copy."""
    image = build(programs_from_source(LISTS.replace("@sip\n", '@sip(collector="adaptive")\n'), "text").programs["p"])
    seen = {}
    for name, keep, bound in (("little lives", 50, None), ("much lives", 1500 if DISABLED else 20_000, None), ("no room", 1000, 80_000)):
        system = System(ram="8M", policies=[made("trigger", "return heap_made(heap) >= 16384")])
        process = system.create(image, keep=keep, drop=100 if DISABLED else 1000, heap_bytes=bound)
        other = system.create(build(programs_from_source(LISTS, "text").programs["silent"]))
        system.connect(process["ch"], other["ch"])
        while "waits for a message" not in process.waits_for():
            system.advance(20)
        seen[name] = system.heap(process).active
        system.run()
        assert process.exit_value == keep * (keep - 1) // 2 + 7
    assert seen == {"little lives": "semispace", "much lives": "compact", "no room": "compact"}


def test_one_process_has_a_policy_and_the_other_has_not():
    often = made("trigger", "return heap_made(heap) >= 8192")
    system = System(ram="8M")
    one = system.create(IMAGES["semispace"], n=N, policies=[often])
    other = system.create(IMAGES["semispace"], n=N)
    system.run()
    assert len(pauses(system, one)) > 2 and not (pauses(system, other)["cause"] == "policy").any()
    system = System(ram="8M")
    one, other, third = (system.create(IMAGES["semispace"], n=N) for _ in range(3))
    system.use(often, [one])
    system.use(often, [third])
    system.run()
    assert [bool((pauses(system, process)["cause"] == "policy").any()) for process in (one, other, third)] == [True, False, True]
    system = System(ram="8M")
    one, other = (system.create(IMAGES["semispace"], n=N) for _ in range(2))
    system.use(often, [one])
    system.use(made("trigger", "return heap_made(heap) >= 16384"), [other])
    system.run()
    assert [bool((pauses(system, process)["cause"] == "policy").any()) for process in (one, other)] == [False, True], "a slot has one function"
    system.use(often)
    third = system.create(IMAGES["semispace"], n=N)
    system.run()
    assert (pauses(system, third)["cause"] == "policy").any()


def test_a_policy_that_is_about_no_heap_cannot_be_limited():
    system = System(ram="4M")
    process = system.create(IMAGES["semispace"], n=3)
    with pytest.raises(KernelError, match="policy quantum decides for the whole system; only trigger, growth"):
        system.use(policy_from_source("quantum", "def f(thread):\n    return 5000\n", "policy.py"), [process])
    assert not system.policies


BAD = [
    ("trigger", "return 2", "answered 2, which is not 0 or 1"),
    ("trigger", "while heap == heap:\n    heap = heap + 0\nreturn 0", "runs without end"),
    ("trigger", "if heap_made(heap) >= 0:\n    raise ValueError('no')\nreturn 0", "raised in line 3"),
    ("growth", "return size - 1", "is not a number of bytes in which the object has room"),
    ("growth", "return 0 - 1", "answered 0xffffffffffffffff"),
    ("nursery", "return 100", "answered 100, which is not a number of bytes from 4,096"),
    ("tenure", "return 0", "answered 0, which is not a number of collections from 1 to 15"),
    ("tenure", "return 16", "answered 16"),
    ("collector", "return 1", "answered 1, which is not 2 (semispace), 3 (marksweep) or 4 (compact)"),
    ("collector", "return 5", "answered 5"),
    ("collector", "for i in range(0 - 1):\n    set_heap_note(heap, i, i)\nreturn 2", "runs without end"),
]


@pytest.mark.parametrize(("slot", "body", "said"), BAD)
@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_a_policy_that_misbehaves_is_put_out_of_force_with_its_name(slot, body, said, isolation):
    collector = {"nursery": "generational", "tenure": "generational", "collector": "adaptive"}.get(slot, "semispace")
    system = System(ram="8M", isolation=isolation, policies=[made(slot, body)], collect_every=slot == "collector")
    n = 7_040
    process = system.create(IMAGES[collector], n=n)
    with pytest.raises(PolicyError, match=f"^policy.py:1: policy {slot} ") as error:
        system.run()
    assert said in str(error.value) and error.value.slot == slot and not system.policies
    assert system.run().outcome == "finished" and process.exit_value == run_as_python(GRAPH, n)[0]
    check(system)


def test_what_policies_see_of_a_heap():
    """Each function gives what the host sees; of what is no heap, 0."""
    names = ("bytes", "live", "freed", "limit", "most", "count", "cycles", "collector")
    body = "\n".join(f"set_note({index}, heap_{name}(heap))" for index, name in enumerate(names))
    body += "\nset_note(8, heap_process(heap))\nset_note(9, heap_bytes(heap + 8) + heap_live(0) + heap_count(heap + 1024 * 1024) + heap_process(1 << 63))"
    body += "\nset_heap_note(heap, 1, heap_note(heap, 1) + 1)\nset_note(10, heap_note(heap, 1) + heap_note(heap, 4))\nset_heap_note(heap, 4, 7)"
    body += "\nset_note(11, heap_pause(heap))\nreturn heap_made(heap) >= 8192"
    system = System(ram="8M", policies=[made("trigger", body)])
    process = system.create(IMAGES["semispace"], n=N)
    asked = 0
    while system.heap(process) is None or system.heap(process).collections < 2:
        before = system.heap(process)
        system.advance(1)
    asked = [system._load(at.G_POLICY_NOTES + 8 * index) for index in range(12)]
    assert asked[:8] == [before.bytes, before.live, before.freed, before.limit, at.NEVER, 1, before.cycles, hp.COLLECT_SEMISPACE]
    assert asked[8] == process.number and asked[9] == 0 and asked[10] > 3
    assert asked[11] == before.cycles, "there was one collection"


@pytest.mark.parametrize("slot", HEAP_SLOTS)
def test_both_forms_of_a_heap_policy_agree(slot):
    """As kernel code: the same answer, memory and instructions, natively and as RV64 code on the hart."""
    from test_kernel_costs import Twins

    body = {"trigger": "return heap_made(heap) * 2 > heap_bytes(heap)", "growth": "set_heap_note(heap, 2, size)\nreturn size + heap_count(heap) * 4096",
            "nursery": "return 4096 * (1 + heap_process(heap) % 7)", "tenure": "return 1 + heap_survivors(heap, 1) % 3",
            "collector": "return 2 + heap_live(heap) % 3"}[slot]  # fmt: skip
    twins = Twins(policies=[made(slot, body)])
    heap = twins.call("records:record_new", at.G_FREE_HEAPS, hp.HEAP_BYTES, at.ZONE_KERNEL, at.TAG_KERNEL_SYSTEM)
    for system in twins.systems:
        for field, value in ((hp.Z_MAGIC, at.MAGIC_HEAP), (hp.Z_PROCESS, twins.process), (hp.Z_BYTES, 8192), (hp.Z_GIVEN, 5000), (hp.Z_LIVE, 304)):
            system.machine.store_u64(heap + field, value)
    usual = {"trigger": (), "growth": (100, 65_536)}.get(slot, (65_536,))
    number = system.processes[0].number
    wanted = {"trigger": 1, "growth": 4096, "nursery": 4096 * (1 + number % 7), "tenure": 1, "collector": 2 + 304 % 3}[slot]
    assert twins.call(f"heappolicies:{slot}_chosen", heap, *usual) == wanted


@pytest.mark.parametrize("collector", ["marksweep", "adaptive"])
def test_what_a_thread_leaves_of_its_room_at_a_collection_is_given_once(collector):
    """A policy may want a collection while the end of the newest extent is a thread's: swept, it must not be filed once more as new."""
    policies = [made("trigger", "return heap_made(heap) >= 6000"), made("growth", "if size > 4096:\n    return size\nreturn 4096"), made("collector", "return 3")]
    results = []
    for name, some in (("none", []), (collector, policies)):
        system = System(ram="4M", policies=some)
        process = workloads()["cache"].start(system, "teaching", 1, name, entries=20, keys=80, requests=500)[0]
        assert system.run().outcome == "finished"
        results.append(process.exit_value)
        check(system)
    assert results[0] == results[1] is not None
