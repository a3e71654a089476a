"""Exceptions of objects, methods, text, threads and memory: held against Python itself, and one by one."""

from __future__ import annotations

import warnings

import pytest
from raising_programs import Raising, python_says
from running import ISOLATIONS, execute, image, module, refusal, result
from test_exceptions import alike, ours

from singlab.kernel import System
from singlab.machine.jit import DISABLED
from singlab.sing import SipError, build, format_module, parse_sil, programs_from_source, verify
from singlab.sing.bare import build_bare
from singlab.sing.build import seal_module
from singlab.sing.exceptions import ASSERTION, BUILT_IN, SAID
from singlab.trace.record import FAULTS


def compare(seed: int, isolation: str) -> set[str]:
    """Run a random program here and as Python; returns how it ended."""
    text = Raising(seed).program()
    program = programs_from_source(text, "text").programs["p"]
    ends = set()
    for one in (build(program), build(program, optimiser=False)):
        system = System(isolation=isolation, ram="4M", trace=False)
        processes = [system.create(one, name=f"p{n}", n=n) for n in range(5)]
        system.run(cycles=50_000_000)
        for n, process in enumerate(processes):
            expected, printed = python_says(text, n)
            found = ours(process)
            assert alike(found, expected) and process.console == printed, f"seed {seed}, n = {n}: {found}, Python: {expected}\n{process.console}{printed}{text}"
            assert set(process.holdings().values()) == {0}
            ends.add(expected.name)
    return ends


@pytest.mark.parametrize(("isolation", "seeds"), [("sip", range(60)), ("ring3", range(60, 80))])
def test_random_programs_end_as_in_python(isolation, seeds):
    seen = set().union(*(compare(seed, isolation) for seed in (list(seeds)[:8] if DISABLED else seeds)))
    assert DISABLED or ({"", "AttributeError"} <= seen and len(seen) > 3)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_random_programs_end_as_in_python(part):
    seen = set().union(*(compare(seed, "sip") for seed in range(1000 * (part + 1), 1000 * (part + 1) + 400)))
    assert {"", "AttributeError", "TypeError", "MemoryError", "Full", "VeryFull", "AssertionError"} <= seen


# ---- one by one ------------------------------------------------------------------------------------------------------

DECLARED = """
class Full(Exception): pass
Talk = contract(\"\"\"contract Talk { in message Ask(ulong n); out message Answer(ulong n); state Start: Ask? -> Answer! -> Start; }\"\"\")
@managed
class Node:
    value: u64
    next: "Node | None"
    def get(self) -> u64:
        return self.value
@managed
class Other(Node):
    def get(self) -> u64:
        if self.value == 3:
            raise Full("three")
        return 10 // self.value
@function
def wait(v: ExVec[u8]) -> u64:
    free(v)
    while True:
        yield_()
    return 1
"""


def body(lines: str) -> str:
    return f"{DECLARED}@sip\ndef p(n: u64) -> u64:\n" + "".join(f"    {line}\n" for line in lines.strip("\n").splitlines())


CASES = {
    "a full heap of objects": ("h: Node | None = None\nc: u64 = 0\ntry:\n    while True:\n        h = Node(c, h)\n        c += 1\nexcept MemoryError:\n"
                               "    return u64(c > 1000) + u64(h.value == c - 1)", 2),
    "a full heap of arrays": ("keep = array(Array[u64], 9000)\nc: u64 = 0\ntry:\n    while True:\n«        keep[c] = array(u64, 1000)\n        c += 1\n"
                              "except MemoryError as e:\n    return u64(c > 10) + e.line - {line}", 1),
    "a full heap of text": ('s = "0123456789"\nc: u64 = 0\ntry:\n    while True:\n«        s = s + s\n        c += 1\nexcept MemoryError as e:\n'
                            "    return u64(c > 3) + e.line - {line}", 1),
    "an array too long": ("try:\n    a = array(u64, n << 40)\n    return len(a)\nexcept MemoryError:\n    return 7", 7),
    "a full exchange heap": ("c: u64 = 0\ntry:\n    while True:\n        v = new(u8, 100000)\n        free(v)\n        v = new(u8, 1 << 23)\n        free(v)\n"
                             "        c += 1\nexcept MemoryError:\n    return 5", 5),
    "an object made after the heap was full": ("h: Node | None = None\nfor i in range(3):\n    try:\n        while True:\n            h = Node(1, h)\n"
                                               "    except MemoryError:\n        n += 1\nreturn n", 7),
    "threads without end": ("c: u64 = 0\ntry:\n    while True:\n        t = thread(wait, new(u8, 4))\n        c += 1\nexcept RuntimeError:\n    return c", 63),
    "a method that raises": ("a: Node = Other(3, None)\ntry:\n    return a.get()\nexcept Full as e:\n    return len(str(e))", 5),
    "a check in a method": ("a: Node = Other(0, None)\ntry:\n    return a.get()\nexcept ZeroDivisionError:\n    return 8", 8),
    "a method that does not raise": ("a: Node = Node(3, None)\ntry:\n    return a.get()\nexcept Full as e:\n    return 0", 3),
    "a field that was never filled": ("a = array(Node, 3)\ntry:\n    return a[1].value\nexcept AttributeError:\n    return 4", 4),
    "a set of endpoints": ("try:\n    s = ESet(Talk.Exp)\nexcept MemoryError:\n    return 1\ns.close()\nreturn 2", 2),
    "what the language copies itself cannot fail": ('v = new(u8, 3)\ntry:\n    w = copy(v)\n    fill(w, 1)\n    free(w)\n    w = to_vector("abc")\n'
                                                    "    n = len(w)\n    free(w)\nexcept IndexError:\n    n = 9\nfree(v)\nreturn n", 3),
    "what a test has said is not asked again": ("v = new(u8, 2)\na: Node | None = Node(9, None)\nt: u64 = 0\nif a is not None:\n    try:\n        t = a.value\n"
                                                "    except AttributeError:\n        t = 1\nfree(v)\nreturn t", 9),
    "a test in a try says nothing to its except": ("a: Node | None = None\ntry:\n    if a is None:\n        raise Full\n    n = 1\nexcept Full:\n    try:\n"
                                                   "        n = a.value\n    except AttributeError:\n        n = 2\nreturn n", 2),
}  # fmt: skip


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("name", CASES)
def test_what_fails_in_a_try_is_caught(name, isolation):
    lines, expected = CASES[name]
    line = next((number for number, each in enumerate(body(lines).splitlines(), 1) if "«" in each), 0)
    lines = lines.replace("«", "").replace("{line}", str(line))
    for optimiser in (True, False):
        system = System(isolation=isolation, ram="4M", trace=False)
        process = system.create(build(programs_from_source(body(lines), "text").programs["p"], optimiser=optimiser), n=4)
        system.run(cycles=400_000_000)
        assert process.exit_value == expected, (process.end, optimiser)
        assert set(process.holdings().values()) == {0}
    known = module(body(lines))
    assert format_module(parse_sil(format_module(known))) == format_module(known)


ENDS = {
    "None": ("a: Node | None = None\n«return a.value", "None was used as an object"),
    "no text": ("s: str | None = None\n«return len(s)", "None was used as an array or a text"),
    "the library": ('s = "0123456789"\nwhile True:\n«    s = s + s\nreturn 0', "out of memory"),
    "the library, within itself": ("keep = array(str, 100000)\nfor i in range(100000):\n«    keep[i] = str(i * 1000000000)\nreturn 0", "out of memory"),
    "an assertion with a text": ('«assert n == 0, "no zero"\nreturn 0', "uncaught AssertionError: no zero"),
    "a method that raises": ("a: Node = Other(3, None)\nreturn a.get()", "uncaught Full: three"),
    "a thread that cannot start": ("while True:\n«    mark(thread(wait, new(u8, 1)))\nreturn 0", "no thread could be started"),
}  # fmt: skip


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("name", ENDS)
def test_what_nobody_catches_ends_the_process_at_the_students_line(name, caught):
    lines, message = ENDS[name]
    if caught:  # somewhere else something is
        lines = lines.replace("\n", "\n    ")
        lines = f"try:\n    {lines}\nexcept KeyError:\n    return 0"
    text = body(lines)
    line = next((number for number, each in enumerate(text.splitlines(), 1) if "«" in each), None)
    text = text.replace("«", "")
    fault = execute(text, n=4).fault
    assert fault.message == message and fault.line == (line or text.splitlines().index('            raise Full("three")') + 1), fault


def test_code_outside_any_try_is_what_it_was():
    plain = module(body("a: Node | None = Node(1, None)\nh = array(u64, n)\nreturn a.value + h[0]"))
    instrs = [i.op for b in plain.functions["p"].blocks for i in b.instrs]
    assert "some" in instrs and not {"attempt_new", "cbr", "raise"} & set(instrs)


def test_a_closed_program_asks_for_a_channel_in_a_try():
    lines = "try:\n    imp, exp = new_channel(Talk)\n    imp.close()\n    exp.close()\nexcept MemoryError:\n    return 3\nreturn 4"
    assert "raised(" in format_module(module(body(lines))) and result(body(lines), n=1) == 4
    open_end = lines.replace("    exp.close()\n", "")
    assert refusal(body(open_end)).rule == "endpoint.leak"


def test_what_a_thread_would_have_been_given_stays_the_callers():
    given = "v = new(u8, 4)\ntry:\n    n = thread(wait, v)\nexcept RuntimeError:\n    {0}\nreturn n"
    assert refusal(body(given.format("n = 0"))).rule in ("owner.leak", "owner.merge")
    assert result(body(given.format("free(v)").replace("return n", "return 1")), n=1) == 1


HOSTILE = """
sip p entry p
contracts:
    contract Talk { in message Ask(ulong n); out message Answer(ulong n); state Start: Ask? -> Answer! -> Start; }
class A { x: u64, next: A?, own: A, m = f }
class B(A) { m = g }
function p(%0.n: u64) -> u64
entry:
  {0}
ok:
  ret %0
function f(%0: A, %1: u64) -> u64 raises
entry:
  raise %1
function g(%0: B, %1: u64) -> u64 raises
entry:
  ret %1
function h(%0: u64) -> u64
entry:
  ret %0
function k(%0: ExVec[u8]) -> u64
entry:
  free %0
  %1: u64 = const 0
  ret %1
"""
OBJECT = "%1: A = newobj\n  "
BLOCK = "%1: ExVec[u8] = new %0\n  "


@pytest.mark.parametrize(
    ("instruction", "said"),
    [
        (OBJECT + "%2: u64 = vcall m, %1, %0\n  ret %2", "as if it did not"),
        (OBJECT + "attempt_vcall m, %1, %0 { returned(%2: u64) -> ok }", "other ways"),
        (OBJECT + "attempt_vcall q, %1, %0 { returned(%2: u64) -> ok; raised(%3: u64) -> ok }", "no method"),
        (OBJECT + "attempt_vcall m, %1 { returned(%2: u64) -> ok; raised(%3: u64) -> ok }", "takes 1 arguments"),
        ("attempt_vcall m, %0 { returned(%2: u64) -> ok; raised(%3: u64) -> ok }", "an object is needed"),
        (OBJECT + "%2: A = getf next, %1\n  br ok", "A? is needed"),
        (OBJECT + "%2: u64? = getf x, %1\n  br ok", "is no type"),
        ("attempt_new { returned(%1: A?) -> ok; raised(%2: u64) -> ok }", "makes no A?"),
        ("attempt_new %0 { returned(%1: A) -> ok; raised(%2: u64) -> ok }", "wrong operands"),
        ("attempt_new { returned(%1: Array[u8]) -> ok; raised(%2: u64) -> ok }", "wrong operands"),
        ("attempt_new { returned(%1: str) -> ok; raised(%2: u64) -> ok }", "an object or a set is needed"),
        ("attempt_new { returned(%1: ESet[Talk.Exp:Start]) -> ok; raised(%2: u64) -> ok }", "still owned"),
        ("attempt_spawn f, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> ok }", "takes 2 arguments"),
        ("attempt_spawn h, %0 { returned(%1: u8) -> ok; raised(%2: u64) -> ok }", "u64 is needed"),
        (BLOCK + "attempt_spawn k, %1 { returned(%2: u64) -> ok; raised(%3: u64) -> ok }", "still owned"),
        (BLOCK + "attempt_spawn k, %1 { returned(%2: u64) -> ok; raised(%3: u64) -> bad }\nbad:\n  ret %0", "still owned"),
        (BLOCK + "attempt_spawn k, %1 { returned(%2: u64) -> gone; raised(%3: u64) -> bad }\nbad:\n  free %1\n  ret %0\ngone:\n  free %1\n  ret %0",
         "was handed to a thread"),
        ("new_channel Talk { raised(%1: u64) -> ok }", "no way out"),
        ("new_channel Talk { made(%1: Talk.Imp, %2: Talk.Exp) -> ok; raised(%3: u8) -> ok }", "u64 is needed"),
        ("new_channel Talk { made(%1: Talk.Imp, %2: Talk.Exp) -> made; raised(%3: u64) -> bad }\nmade:\n  close %1\n  close %2\n  ret %0\nbad:\n  close %1\n  ret %0",
         "may have no value"),
    ],
)  # fmt: skip
def test_no_malformed_way_out_passes(instruction, said):
    try:
        findings = verify(parse_sil(HOSTILE.replace("{0}", instruction)), collect=True).findings
    except SipError as error:
        findings = [error]
    assert findings and any(said in f.message for f in findings), findings


def test_methods_that_stand_for_each_other_raise_alike():
    finding = verify(parse_sil(HOSTILE.replace("{0}", "br ok").replace("function g(%0: B, %1: u64) -> u64 raises", "function g(%0: B, %1: u64) -> u64")), collect=True)
    assert [f.rule for f in finding.findings] == ["class"] and "both raise exceptions, or neither" in finding.findings[0].message


def test_a_heap_that_is_full_ends_a_process_without_places_too():
    """A line of 0 in SIL is no wish to go on."""
    text = "sip p entry p file \"x\"\nclass A { x: u64, next: A? }\nfunction p() -> u64\nentry:\n  %0: A? = none\n  br again\nagain:\n  %1: A = newobj\n" \
           "  putf next, %1, %0\n  %0: A? = mov %1\n  br again\n"  # fmt: skip
    for optimiser in (True, False):
        system = System(ram="2M", trace=False)
        process = system.create(seal_module(verify(parse_sil(text)).module, True, optimiser=optimiser))
        system.run(cycles=100_000_000)
        assert process.fault.code == 22


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('s = "text"\nreturn 0', "text needs a kernel"),
        ("a = array(u64, 4)\nreturn 0", "array needs a kernel"),
        ("a: Array[u64] = a\nreturn 0", "lives on the heap of a process"),
        ('return load(0) + u64(str(3) == "3")', "str needs a kernel"),
        ("a = Node(1)\nreturn 0", "an object of class Node needs a kernel"),
        ("v = to_vector(3)\nreturn 0", "to_vector needs a kernel"),
        ("try:\n    return 1 // load(0)\nexcept ZeroDivisionError as e:\n    return u64(len(str(e)))", "needs a kernel"),
        ("imp, exp = new_channel(Talk)\nreturn 0", "needs a kernel"),
        ("s = ESet(Talk.Exp)\nreturn 0", "needs a kernel"),
    ],
)
def test_a_measuring_program_has_no_objects(lines, message):
    text = DECLARED + "@function\ndef f() -> u64:\n" + "".join(f"    {line}\n" for line in lines.splitlines())
    with pytest.raises(SipError) as error:
        build_bare(programs_from_source(text, "text").functions["f"])
    assert error.value.rule == "bare" and message in error.value.message and error.value.line and error.value.hint, error.value


def test_python_says_nothing_of_its_own_about_a_text():
    text = '@sip\ndef p() -> u64:\n    x: "Array[u8]" = array(u8, 3)\n    print("\\d")\n    return len(x)\n'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image(text) is not None


def test_a_failed_check_has_the_words_of_the_trace():
    assert {fault: FAULTS[fault] for cls in BUILT_IN.values() if cls is not ASSERTION for fault in cls.faults} == SAID
