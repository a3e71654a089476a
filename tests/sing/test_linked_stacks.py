"""Linked stacks: functions that call themselves do what they do in Python, on segments that come and go, and nothing else is touched."""

from __future__ import annotations

import pytest
from running import TALK, image, refusal

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import audit
from singlab.kernel.damage import TablesDamaged
from singlab.kernel.roots import roots
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

SETTINGS = ("sip", "pages", "domain", "ring3", "ring3-domains")

CALLS = '''
Pair = tuple[u64, u64]
@function
def even(n: u64) -> bool:
    if n == 0:
        return True
    return odd(n - 1)
@function
def odd(n: u64) -> bool:
    if n == 0:
        return False
    return even(n - 1)
@function
def ackermann(m: u64, n: u64) -> u64:
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))
@function
def many(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64) -> u64:
    if a == 0:
        return b + 2 * c + 3 * d + 4 * e + 5 * f + 6 * g + 7 * h
    return many(a - 1, c, d, e, f, g, h, b + a) + a
@function
def halves(n: u64) -> tuple[u64, u64]:
    if n < 2:
        return n, 1
    low, deep = halves(n - 1)
    return low + n, deep + 1
@function
def digits(n: u64):
    if n >= 10:
        digits(n // 10)
    print(n % 10)
@sip
def p(n: u64) -> u64:
    total = many(n, 1, 2, 3, 4, 5, 6, 7)
    low, deep = halves(n)
    if even(n):
        total = total + 1
    digits(90210)
    return total + 1000 * low + deep + ackermann(2, 5)
'''


def python_of(text: str, n: int):
    """Run the text of programs without messages as Python; returns p's result."""
    plain = text.replace("@function", "").replace("@sip", "").replace("Pair = tuple[u64, u64]", "")
    names: dict = {"u64": int, "print": lambda value: None}
    exec(plain, names)
    return names["p"](n)


def run(text: str, isolation: str, optimiser: bool = True, checks: bool = True, ram: str = "4M", **arguments: int):
    sealed = build(programs_from_source(text, "text").programs["p"], optimiser=optimiser, checks=checks)
    system = System(isolation=isolation, ram=ram)
    process = system.create(sealed, **arguments)
    system.run(cycles=200_000_000)
    assert audit(system) == []
    return system, process


@pytest.mark.parametrize("optimiser", [True, False])
@pytest.mark.parametrize("isolation", SETTINGS)
def test_what_calls_itself_does_what_it_does_in_python(isolation, optimiser):
    _, process = run(CALLS, isolation, optimiser, n=400)
    assert process.exit_value == python_of(CALLS, 400) and process.console.split() == list("90210")
    assert process._field(at.P_LINKS) == process._field(at.P_UNLINKS) > 2


ENDLESS = """
@function
def down(n: u64) -> u64:
    if n == 0:
        return 0

    return down(n - 1) + 1
@sip
def p(n: u64) -> u64:
    return down(n)
@sip
def other(n: u64) -> u64:
    total: u64 = 0
    for i in range(n):
        yield_()
        total = total + down(20)
    return total
"""


@pytest.mark.parametrize("isolation", SETTINGS)
def test_a_stack_grows_until_there_is_no_memory_and_then_the_process_ends_with_its_line(isolation):
    programs = programs_from_source(ENDLESS, "text").programs
    system = System(isolation=isolation, ram="2M")
    process, other = system.create(build(programs["p"]), n=1 << 60), system.create(build(programs["other"]), n=50)
    assert system.run().outcome == "finished"
    assert str(process.fault) == "stack overflow (line 7)"
    assert other.exit_value == 1000 and audit(system) == []
    assert process._field(at.P_LINKS) > 100 and set(process.holdings().values()) == {0}
    lent = [int(e["b"]) for e in system.trace.events if e["kind"] == Kind.PAGES_ALLOC and int(e["a"]) == system._load(at.G_PAGES) - 1]
    own, its = at.TAG_KERNEL_STACK, process.number << at.OWNER_SHIFT | at.TAG_STACK
    assert lent == [1 | own << 32, 1 | its << 32, 1 | own << 32], "the kernel's own segment is lent once and comes back"
    assert [int(tag) for tag in system.page_tags() if tag & 15 == at.TAG_STACK] == [own]


def test_a_stack_has_a_limit_of_its_own():
    system = System(ram="4M", stack_limit="64K")
    process = system.create(image(ENDLESS), n=1 << 60)
    system.run()
    assert process.fault.code == 9 and process._field(at.P_LINKS) == 15
    for wrong in ({"stack_limit": 0}, {"stack_segment": 0}, {"stack_segment": "2M"}):
        with pytest.raises(Exception, match="not possible"):
            System(**wrong)


@pytest.mark.parametrize(("segment", "links"), [("4K", 10), ("16K", 3), ("64K", 1)])
def test_larger_segments_are_linked_less_often(segment, links):
    system = System(ram="4M", stack_segment=segment)
    process = system.create(image(ENDLESS), n=2300)
    system.run()
    assert process.exit_value == 2300 and process._field(at.P_LINKS) == links


RAISING = """
class Deep(Exception):
    pass
@function
def down(n: u64) -> u64:
    if n == 0:
        raise Deep
    return down(n - 1) + 1
@sip
def p(n: u64) -> u64:
    found: u64 = 0
    for i in range(3):
        try:
            found = found + down(n)
        except Deep as e:
            found = found + e.line
    return found
"""


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_an_exception_goes_up_through_segments(isolation):
    _, process = run(RAISING, isolation, n=1000)
    assert process.exit_value == 3 * 7
    assert process._field(at.P_LINKS) == process._field(at.P_UNLINKS) >= 9


THREADS = """
@function
def down(n: u64) -> u64:
    if n == 0:
        yield_()
        return 0
    return down(n - 1) + 1
@sip
def p(n: u64) -> u64:
    a = thread(down, n)
    b = thread(down, n + 200)
    c = thread(down, n + 400)
    return join(a) + join(b) + join(c)
"""


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_each_thread_has_a_stack_that_grows(isolation):
    system, process = run(THREADS, isolation, n=500)
    assert process.exit_value == 2100 and process._field(at.P_LINKS) == process._field(at.P_UNLINKS) >= 6


OBJECTS = """
@managed
class Node:
    value: u64
    below: "Node | None"
@function
def built(n: u64, above: "Node | None") -> u64:
    mine = Node(n, above)
    if n == 0:
        return total(mine)
    found = built(n - 1, mine)
    return found + mine.value
@function
def total(node: "Node | None") -> u64:
    if node is None:
        return 0
    return node.value + total(node.below)
@sip
def p(n: u64) -> u64:
    return built(n, None)
"""


WAITING = TALK + OBJECTS.replace("built(n: u64", "built(ch: Talk.Imp, n: u64").replace("built(n - 1", "built(ch, n - 1").replace("p(n: u64)", "p(ch: Talk.Imp, n: u64)").replace(
    "built(n, None)", "built(ch, n, None)").replace("        return total(mine)\n", "        ch.send(Talk.Ask(1))\n        return total(mine) + ch.receive(Talk.Answer)\n") + """
@sip
def silent(ch: Talk.Exp) -> u64:
    while True:
        yield_()
    return 0
"""


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_the_walk_finds_the_roots_of_all_segments(isolation):
    """While the innermost call waits, each frame of 300 still needs its own object, and most lie in segments before the newest."""
    system = System(isolation=isolation, ram="8M")
    process, other = system.create(image(WAITING), n=300), system.create(image(WAITING, "silent"))
    system.connect(process["ch"], other["ch"])
    system.run(cycles=2_000_000)
    view = process.stack()
    assert view.functions.count("built") == 301 and len(view.segments) > 2
    assert [entry.kind for entry in view.rows[:3]] == ["kernel", "marker", "segment"] and "receive: waits for a message" in view.rows[0].what
    found = list(roots(process))
    assert {system._load(root.value + 8) for root in found if root.value} >= set(range(1, 301))
    newest = [root for root in found if root.register is None and view.segments[0].base <= root.address < view.segments[0].top]
    assert len(newest) < len(found) / 2


@pytest.mark.parametrize("collector", ["semispace", "marksweep", "compact", "generational", "concurrent"])
def test_collectors_find_what_frames_of_other_segments_hold(collector):
    """A collection at every allocation, with objects held by frames of several segments."""
    programs = programs_from_source(OBJECTS.replace("@sip", f'@sip(collector="{collector}")'), "text").programs
    system = System(ram="8M", collect_every=True, trace=False)
    process = system.create(build(programs["p"], optimiser=False), n=300)
    system.run()
    assert process.exit_value == 2 * sum(range(301)) and process._field(at.P_LINKS) >= 2 and audit(system) == []


OWNING = TALK + """
@function
def passed(v: ExVec[u8], n: u64) -> ExVec[u8]:
    v[0] = v[0] + 1
    if n == 0:
        return v
    return passed(v, n - 1)
@function
def talk(ch: Talk.Imp, n: u64) -> u64:
    if n == 0:
        return 0
    ch.send(Talk.Ask(n))
    answer = ch.receive(Talk.Answer)
    return answer + talk(ch, n - 1)
@sip
def p(ch: Talk.Imp, n: u64) -> u64:
    v = passed(new(u8, 4), n)
    found = u64(v[0])
    free(v)
    return found + talk(ch, n)
@sip
def server(ch: Talk.Exp):
    while True:
        match ch.receive():
            case Talk.Ask(n):
                ch.send(Talk.Answer(n + 1))
            case Talk.Give(data):
                ch.send(Talk.Back(data))
            case ChannelClosed():
                return
"""


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_blocks_and_endpoints_go_down_and_come_back(isolation):
    system = System(isolation=isolation, ram="4M")
    process, server = system.create(image(OWNING), n=150), system.create(image(OWNING, "server"))
    system.connect(process["ch"], server["ch"])
    system.run()
    assert process.exit_value == 151 + sum(n + 1 for n in range(1, 151)) and audit(system) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (("    answer = ch.receive(Talk.Answer)\n    return answer + talk(ch, n - 1)", "    return talk(ch, n - 1)"), "contract.send"),
        (("    return passed(v, n - 1)", "    free(v)\n    return passed(v, n - 1)"), "owner.use-after-free"),
        (("    return passed(v, n - 1)", "    return passed(new(u8, 1), n - 1)"), "owner.leak"),
        (("        return 0\n    ch.send", "        ch.close()\n        return 0\n    ch.send"), ""),
        (("    return answer + talk(ch, n - 1)", "    x = talk(ch, n - 1)\n    ch.send(Talk.Ask(n))\n    return x + ch.receive(Talk.Answer)"), ""),
    ],
)
def test_the_verifier_follows_blocks_and_endpoints_through_circles(change, rule):
    text = OWNING.replace(*change)
    assert text != OWNING
    if rule:
        assert refusal(text).rule == rule
    else:
        image(text)


def test_an_endpoint_that_a_circle_has_closed_is_closed():
    text = OWNING.replace("        return 0\n    ch.send", "        ch.close()\n        return 0\n    ch.send")
    text = text.replace("    return found + talk(ch, n)", "    x = talk(ch, n)\n    ch.send(Talk.Ask(n))\n    return x + ch.receive(Talk.Answer)")
    assert refusal(text).rule == "contract.closed"


def test_without_checks_nothing_tests_and_a_stack_runs_over():
    """The image is larger by the tests alone; a thousand calls use far more than the stack's one page, and what runs over is somebody else's."""
    programs = programs_from_source(ENDLESS, "text").programs
    plain, checked = build(programs["p"], checks=False), build(programs["p"])
    assert not plain.manifest.verified and plain.manifest.unlink == 0 and len(plain.code) < len(checked.code)
    assert not any(about.need for about in plain.manifest.functions)
    system = System(isolation="unchecked", ram="2M")
    process = system.create(plain, n=1000)
    system.run()
    assert process.exit_value == 1000 and process._field(at.P_LINKS) == 0
    process = system.create(plain, n=1 << 60)
    try:
        system.run(cycles=3_000_000)
        assert process.fault is None or process.fault.code != 9
    except TablesDamaged:
        pass
