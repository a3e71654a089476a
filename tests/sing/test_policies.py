"""Policies: both forms agree, each slot's answer decides, and nothing a student writes there breaks the kernel."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import SERVER, TALK, image
from test_kernel_costs import Twins

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.policies import PolicyError
from singlab.kernel.policyslots import FUNCTIONS, HEAP_SLOTS, SLOTS
from singlab.kernel.startup import KernelError
from singlab.sing import SipError
from singlab.sing.policies import Policy, policy, policy_from_source
from singlab.trace.record import Kind

CLIENT = """
@sip
def client(ch: Talk.Imp) -> u64:
    total: u64 = 0
    for i in range(50):
        ch.send(Talk.Ask(i))
        total += ch.receive(Talk.Answer)
    return total
"""
COUNT = """
@sip
def count(n: u64) -> u64:
    total: u64 = 0
    for i in range(n):
        total += i
    mark(total)
    return total
"""


def made(slot: str, text: str, **names) -> Policy:
    """Return a policy from its text."""
    return policy_from_source(slot, text, "policy.py", names)


def talk(**given) -> tuple:
    """Return a system with two pairs that talk, and their clients."""
    system = System(ram="4M", **given)
    clients = []
    for _ in range(2):
        client, server = system.create(image(TALK + SERVER + CLIENT, "client")), system.create(image(TALK + SERVER + CLIENT, "server"))
        system.connect(client["ch"], server["ch"])
        clients.append(client)
    return system, clients


def finished(system, clients) -> None:
    assert system.run().outcome == "finished"
    assert len({client.exit_value for client in clients}) == 1 and clients[0].exit_value


LAST = """
def last(previous):
    thread = first_unblocked()
    if thread == 0:
        thread = first_preempted()
    while next_thread(thread) != 0:
        thread = next_thread(thread)
    return thread
"""
LOTTERY = """
def lottery(previous):
    count = 0
    thread = first_unblocked()
    while thread != 0:
        count += 1
        thread = next_thread(thread)
    thread = first_preempted()
    while thread != 0:
        count += 1
        thread = next_thread(thread)
    winner = random_word() % count
    thread = first_unblocked()
    if thread == 0:
        thread = first_preempted()
    for turn in range(winner):
        if next_thread(thread) == 0:
            thread = first_preempted()
        else:
            thread = next_thread(thread)
    set_thread_note(thread, 0, thread_note(thread, 0) + 1)
    return thread
"""


@pytest.mark.parametrize("text", [LAST, LOTTERY])
@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_a_policy_that_picks(text, isolation):
    system, clients = talk(policies=[made("pick", text)], isolation=isolation, seed=3)
    finished(system, clients)
    assert system.policies and not (system.trace.events["kind"] == Kind.POLICY_FAULT).any()


def runs(system) -> list[int]:
    events = system.trace.events
    return [int(a) for a in events["a"][events["kind"] == Kind.THREAD_RUN]]


def test_picking_the_last_turns_the_order_round():
    orders = []
    for policies in ([], [made("pick", LAST)]):
        system = System(ram="2M", policies=policies)
        for n in (3, 4, 5):
            system.create(image(COUNT, "count"), n=n)
        assert system.run().outcome == "finished"
        orders.append(runs(system))
    assert orders[0] == [1, 2, 3] and orders[1] == [3, 2, 1]


def test_where_a_woken_thread_goes():
    """At the end of the preempted queue the woken partner waits for the hog's quantum, in the unblocked queue it does not."""
    waits = []
    for answer in (0, 1, 2):
        system, _ = talk(policies=[made("place", f"def where(thread, by):\n    return {answer}\n")], quantum_us=20)
        hog = system.create(image(COUNT, "count"), n=3000)
        system.run()
        events = system.trace.events
        end = int(events["cycle"][(events["kind"] == Kind.PROCESS_EXIT) & (events["a"] == hog.number)][0])
        waits.append(end)
    assert len(set(waits)) > 1


def test_how_long_a_thread_may_run():
    preemptions = []
    for quantum in (2_000, 200_000):
        system = System(ram="2M", policies=[made("quantum", f"def short(thread):\n    return {quantum}\n")])
        for n in (3000, 3000):
            system.create(image(COUNT, "count"), n=n)
        assert system.run().outcome == "finished"
        preemptions.append(int((system.trace.events["kind"] == Kind.THREAD_PREEMPT).sum()))
    assert preemptions[0] > 5 * max(1, preemptions[1])


BLOCKS = """
@sip
def blocks() -> u64:
    a = new(u8, 100)
    b = new(u8, 100)
    n: u64 = len(a) + len(b)
    free(a)
    free(b)
    return n
"""


def test_how_much_room_a_block_gets():
    taken = []
    for text in ("def usual(size):\n    return size\n", "def large(size):\n    if size < 4096:\n        return 4096\n    return size\n"):
        system = System(ram="2M", policies=[made("fit", text)])
        process = system.create(image(BLOCKS, "blocks"))
        system.run()
        assert process.exit_value == 200
        tags = system.trace.events
        taken.append(int(((tags["kind"] == Kind.PAGES_ALLOC) & (tags["b"] >> np.uint64(32) == at.TAG_KERNEL_SHARED)).sum()))
    assert taken[1] == taken[0] + 1, "a page each instead of one for both"


def test_which_pages_are_given():
    text = """
def highest(zone, first, last, count):
    page = last - count
    while page >= first:
        run = 0
        while run < count and page_free(page + run):
            run += 1
        if run == count:
            return page
        page -= 1
    return 0
"""
    places = []
    for policies in ([], [made("pages", text)]):
        system = System(ram="2M", policies=policies)
        process = system.create(image(COUNT, "count"), n=3)
        places.append(process._field(at.P_CODE))
        assert system.run().outcome == "finished"
    assert places[1] > places[0] and places[1] > at.RAM_BASE + (1 << 20)


def test_who_may_be_connected():
    only = made("admit", "def only(contract, importer, exporter):\n    return importer == 2\n")
    system = System(ram="2M", policies=[only])
    first, second = (system.create(image(TALK + SERVER + CLIENT, "client")) for _ in range(2))
    servers = [system.create(image(TALK + SERVER + CLIENT, "server")) for _ in range(2)]
    system.connect(first["ch"], servers[0]["ch"])
    with pytest.raises(KernelError, match=r"policy admit \(only\) does not let client"):
        system.connect(second["ch"], servers[1]["ch"])
    system.drop("admit")
    system.connect(second["ch"], servers[1]["ch"])
    finished(system, [first, second])


# ---- both forms ------------------------------------------------------------------------------------------------

CASES = [
    ("pick", LAST), ("pick", LOTTERY), ("place", "def f(thread, by):\n    set_note(3, note(3) + by)\n    return (thread_number(thread) + process_number(thread)) % 3\n"),
    ("quantum", "def f(thread):\n    q = 1000 // thread_note(thread, 1)\n    return (q >> 50) + (q % 0 << 65) + 4000\n"),
    ("fit", "def f(size):\n    room = 16\n    while room < size:\n        room *= 2\n    return room\n"),
    ("pages", "def f(zone, first, last, count):\n    for page in range(first + 40, last):\n        if page_owner(page) != 0:\n            continue\n"
              "        if page_free(page) and page_free(page + count - 1):\n            return page\n    return 0\n"),
    ("admit", "def f(contract, importer, exporter):\n    return importer < exporter\n"),
]  # fmt: skip


@pytest.mark.parametrize(("slot", "text"), CASES)
def test_both_forms_of_a_policy_agree(slot, text):
    """As kernel code: the same answer, memory, instructions and branches, natively and as RV64 code on the hart."""
    twins = Twins(policies=[made(slot, text)])
    thread = twins.systems[0].machine.load_u64(twins.process + at.P_THREADS)
    other = twins.systems[0].machine.load_u64(twins.other + at.P_THREADS)
    if slot in ("pick", "place"):
        twins.call("scheduler:thread_wake", thread, 5)
        twins.call("scheduler:thread_wake", other, 6)
    if slot in ("pick", "quantum"):
        twins.call("scheduler:queue_put", at.G_PREEMPTED_HEAD, thread) if slot == "quantum" else None
        twins.call("scheduler:schedule", 0)
    elif slot == "fit":
        twins.call("heap:block_alloc", twins.process, 300)
    elif slot == "pages":
        twins.call("pages:pages_alloc", at.ZONE_USER, 3, 9 << at.OWNER_SHIFT | at.TAG_NONGC)
    elif slot == "admit":
        assert twins.call("endpoints:channel_admit", twins.table, twins.process, twins.other) == 1
        assert twins.call("endpoints:channel_admit", twins.table, twins.other, twins.process) == 0


# ---- misbehaving -----------------------------------------------------------------------------------------------

BAD = [
    ("pick", "def f(previous):\n    return 12345\n", "answered 12345, which is not a thread that is ready"),
    ("pick", "def f(previous):\n    return 0\n", "answered 0"),
    ("pick", "def f(previous):\n    return first_unblocked() + 512\n", "answered 0x"),
    ("pick", "def f(previous):\n    while True:\n        previous += 1\n    return previous\n", "runs without end: its loop in line 2"),
    ("pick", "def f(previous):\n    if previous == 0:\n        raise ValueError('no')\n    return 0\n", "raised in line 3"),
    ("place", "def f(thread, by):\n    return 3\n", "answered 3, which is not 0, 1 or 2"),
    ("quantum", "def f(thread):\n    return 0\n", "answered 0, which is not a number of cycles"),
    ("quantum", "def f(thread):\n    return 0 - 1\n", "answered 0xffffffffffffffff"),
    ("quantum", "def f(thread):\n    for i in range(0 - 1):\n        set_note(i, thread_note(i, i) + next_thread(i))\n    return 5000\n", "runs without end"),
]  # fmt: skip


@pytest.mark.parametrize(("slot", "text", "said"), BAD)
@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_a_policy_that_misbehaves_is_put_out_of_force(slot, text, said, isolation):
    system, clients = talk(policies=[made(slot, text)], isolation=isolation)
    with pytest.raises(PolicyError, match="^policy.py:1: policy " + slot) as error:
        system.run()
    assert said in str(error.value) and error.value.slot == slot and not system.policies
    finished(system, clients)
    assert sum(p.holdings()["pages"] for p in system.processes) == 0
    assert [e for e in system.trace.events if e["kind"] == Kind.POLICY_FAULT]


def test_a_block_as_large_as_nothing_or_everything_and_pages_that_are_taken():
    for slot, text in (("fit", "def f(size):\n    return size - 1\n"), ("fit", "def f(size):\n    return 1 << 63\n"),
                       ("pages", "def f(zone, first, last, count):\n    return 1\n"), ("pages", "def f(zone, first, last, count):\n    return last - 1 + count\n")):  # fmt: skip
        system = System(ram="2M", policies=[made(slot, text)])
        process = system.create(image(BLOCKS, "blocks"))
        with pytest.raises(PolicyError):
            system.run()
        assert system.run().outcome == "finished" and process.exit_value == 200


def test_going_back_takes_the_policy_along():
    system, clients = talk(policies=[made("pick", LAST)])
    before = system.snapshot()
    finished(system, clients)
    first = runs(system)
    system.use(made("pick", LOTTERY))
    system.restore(before)
    assert system.policies == {"pick": "last"}
    finished(system, clients)
    assert runs(system) == first
    system.restore(before)
    system.drop("pick")
    assert system.policies == {}
    with pytest.raises(KernelError, match="the slots are pick"):
        system.drop("choose")


# ---- what is refused -------------------------------------------------------------------------------------------

REFUSED = [
    ("def f():\n    return 1\n", 1, "is given 1 word"),
    ("def f(a, *b):\n    return 1\n", 1, "is given 1 word"),
    ("def f(a):\n    a += 1\n", 1, "answers nothing"),
    ("def f(a):\n    return g(a)\n", 2, "g is nothing a policy can call"),
    ("def f(a):\n    return ld64(a)\n", 2, "ld64 is nothing a policy can call"),
    ("def f(a):\n    return thread_note(a)\n", 2, "takes 2 words"),
    ("def f(a):\n    return 1.5\n", 2, "1.5 is no word"),
    ("def f(a):\n    return a.b\n", 2, "Attribute"),
    ("def f(a):\n    for x in a:\n        pass\n    return 1\n", 2, "range"),
    ("def f(a):\n    return b\n", 2, "b is not known"),
    ("def f(a):\n    return 1 < a < 3\n", 2, "chained"),
    ("def f(a):\n    with a:\n        return 1\n", 2, "With"),
    ("def f(a):\n    m = 1\n    return m\n", 1, "m is no name"),
    ("def f(a):\n    note = 1\n    return note\n", 1, "note is no name"),
    ("def f(a):\n    return [a]\n", 2, "List"),
    ("def f(a):\n    return a if a else 1\n", 2, "IfExp"),
    ("def f(a):\n    break\n    return 1\n", 2, "outside a loop"),
    ("def f(a):\n    def g():\n        return 1\n    return 1\n", 2, "FunctionDef"),
    ("def f(a):\n    return " + "(" * 60 + "a" + " + 1)" * 60 + "\n", 2, "nested"),
    ("def f(a):\n" + "    a = a * 3 + thread_note(a, 1)\n" * 400 + "    return a\n", 1, "bytes of code"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "said"), REFUSED)
def test_what_is_no_policy_is_refused_where_it_stands(text, line, said):
    with pytest.raises(SipError) as error:
        made("quantum", text)
    assert said in error.value.message and error.value.line == line and error.value.hint, str(error.value)


def test_a_slot_that_is_not_there():
    for slot in ("choose", 5, len):
        with pytest.raises(SipError, match="slot"):
            policy(slot)
    with pytest.raises(SipError, match="slot"):
        policy_from_source("choose", "def f(a):\n    return 1\n")
    for text in ("def f(a)\n", "def f(a):\n    return 1\0\n", "x = 1\n", "", "return " + "(" * 500):
        with pytest.raises(SipError) as error:
            policy_from_source("quantum", text)
        assert error.value.hint, text
    assert set(SLOTS) == {"pick", "place", "quantum", "fit", "pages", "admit", *HEAP_SLOTS}


names = st.sampled_from(["a", "x", "y", *FUNCTIONS, "now"])
lines = st.sampled_from(
    ["x = a", "y = x + 1", "x = y // a", "x = a % 0", "if a < x:", "while x < 9:", "for y in range(x):", "return x", "raise E", "pass", "break", "continue",
     "x += 1", "y -= x << a", "set_note(a, x)", "x = random_word()", "x = next_thread(a)", "x = thread_note(a, y)", "return a and not x", "x = now()"]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), lines), min_size=1, max_size=12))
def test_any_text_is_refused_or_runs(drawn):
    """Random bodies: a located refusal, or a policy under which the system ends as ever, with or without it."""
    text = "def f(a):\n    x = 1\n    y = 2\n" + "".join("    " * (depth + 1) + line + "\n" for depth, line in drawn) + "    return x\n"
    try:
        one = made("quantum", text)
    except SipError as error:
        assert error.line and error.hint
        return
    system, clients = talk(policies=[one], quantum_us=50)
    with contextlib.suppress(PolicyError):
        system.run()
    finished(system, clients)


def test_the_documentation_of_what_a_policy_may_call_is_there():
    from singlab.sing import policies

    for name in policies.__all__:
        assert name in (getattr(policies, name).__doc__ or "policy"), name
