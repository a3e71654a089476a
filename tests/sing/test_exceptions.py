"""Exceptions: held against Python itself, and one by one."""

from __future__ import annotations

import pytest
from python_oracle import Answer, Writer, python_says
from running import ISOLATIONS, MASK, execute, image, module, refusal, result

from singlab.kernel import System
from singlab.machine.jit import DISABLED
from singlab.sing import SipError, build, format_module, parse_sil, programs_from_source, verify
from singlab.sing.build import seal_module
from singlab.sing.exceptions import BUILT_IN
from singlab.trace.record import FAULTS

#: What a process is said to have ended by where a check of the machine's own code failed.
CHECKS = {FAULTS[fault]: cls.name for cls in BUILT_IN.values() for fault in cls.faults}


def ours(process) -> Answer:
    """Return what became of a process."""
    if process.end.state == "exit":
        return Answer(process.end.value)
    fault = process.end.fault
    name, _, text = fault.message.removeprefix("uncaught ").partition(": ")
    if fault.message in CHECKS:  # Python has words of its own for these
        name, text = CHECKS[fault.message], ""
    return Answer(None, name, text, fault.line)


def alike(one: Answer, other: Answer) -> bool:
    worded = other.name in CHECKS.values() and not one.text
    return (one.value, one.name, one.line) == (other.value, other.name, other.line) and (one.text == other.text or worded)


def compare(seed: int, isolation: str) -> str:
    """Run a random program here and as Python; returns how it ended, or why it was refused."""
    text = Writer(seed).program()
    try:
        program = programs_from_source(text, "text").programs["p"]
        images = [build(program), build(program, optimiser=False)]
    except SipError as error:
        return f"refused: {error.rule} {error.message}\n{text}"
    for one in images:
        system = System(isolation=isolation, ram="2M", trace=False)
        processes = [system.create(one, name=f"p{n}", n=n) for n in range(5)]
        system.run(cycles=20_000_000)
        for n, process in enumerate(processes):
            assert alike(ours(process), python_says(text, n)), f"seed {seed}, n = {n}: {ours(process)}, Python: {python_says(text, n)}\n{text}"
            assert set(process.holdings().values()) == {0}
    return "ran"


@pytest.mark.parametrize(("isolation", "seeds"), [("sip", range(100)), ("ring3", range(100, 130))])
def test_random_programs_end_as_in_python(isolation, seeds):
    seen = [compare(seed, isolation) for seed in (list(seeds)[:20] if DISABLED else seeds)]
    refused = [s for s in seen if s != "ran"]
    assert not refused, refused[0]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_random_programs_end_as_in_python(part):
    assert {compare(seed, "sip") for seed in range(1000 * (part + 1), 1000 * (part + 2))} == {"ran"}


# ---- one by one ------------------------------------------------------------------------------------------------------

DECLARED = """
class Full(Exception): pass
class VeryFull(Full): pass
"""


def ends(body: str, isolation: str = "sip", before: str = "", **arguments: int) -> str:
    """Return how a SIP with this body ends, in words."""
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    parameters = ", ".join(f"{name}: u64" for name in arguments)
    text = f"{DECLARED}{before}\n@sip\ndef p({parameters}) -> u64:\n{lines}\n"
    process = execute(text, isolation, **arguments)
    again = parse_sil(format_module(module(text)))
    assert format_module(again) == format_module(module(text))
    return str(process.end.value) if process.end.state == "exit" else str(process.end.fault)


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise Full", "uncaught Full (line 7)"),
        ("raise Full('the queue has no room')", "uncaught Full: the queue has no room (line 7)"),
        ("try:\n    raise VeryFull('much')\nexcept ValueError:\n    return 1\nreturn 2", "uncaught VeryFull: much (line 8)"),
        ("try:\n    raise IndexError\nfinally:\n    mark(1)\nreturn 2", "uncaught IndexError (line 8)"),
        ("try:\n    return 1 // n\nexcept ZeroDivisionError:\n    return 5", "5"),
        ("try:\n    return 1 // n\nexcept ArithmeticError as e:\n    raise e", "division by zero (line 8)"),
        ("try:\n    return 1 // n\nfinally:\n    mark(n)", "division by zero (line 8)"),
        ("v = new(u8, 3)\ntry:\n    v[7 + n] = 1\nexcept LookupError:\n    n = 9\nfree(v)\nreturn n", "9"),
        ("try:\n    v = new(u8, 1 << 40)\nexcept MemoryError:\n    return 8\nfree(v)\nreturn 7", "8"),
        ("try:\n    v = new(u64, 300000 + n)\nexcept MemoryError:\n    return 8\nfree(v)\nreturn 7", "8"),
        ("try:\n    v = new(u8, 1 << 40)\nfinally:\n    mark(1)\nfree(v)\nreturn 7", "allocation size out of range (line 8)"),
        ("try:\n    assert n == 1\nexcept AssertionError:\n    return 3\nreturn 4", "3"),
        ("try:\n    raise VeryFull\nexcept VeryFull as e:\n    try:\n        raise Full\n    except Full:\n        raise e\nreturn 4",
         "uncaught VeryFull (line 8)"),
    ],
)  # fmt: skip
def test_an_exception_is_caught_or_names_itself(isolation, body, said):
    assert ends(body, isolation, n=0) == said


HELPERS = """
@function
def third(v: ExVec[u8], i: u64) -> u64:
    t: u64 = 0
    try:
        t = u64(v[i]) + 10 // i
    finally:
        free(v)
    return t

@function
def second(i: u64) -> u64:
    v = new(u8, 4)
    return third(v, i) + 1
"""


def test_an_exception_goes_through_functions_and_their_blocks_are_given_back():
    body = "t: u64 = 0\nfor i in range(6):\n    try:\n        t += second(i)\n    except IndexError:\n        t += 1000\n    except ArithmeticError:\n        t += 100000\nreturn t"
    assert ends(body, before=HELPERS) == str(100000 + 2000 + sum(10 // i + 1 for i in range(1, 4)))


def test_a_function_called_outside_any_try_ends_the_process_as_ever():
    assert ends("return second(4)", before=HELPERS) == "index out of bounds (line 9)"
    both = "t: u64 = 0\ntry:\n    t = second(9)\nexcept IndexError:\n    t = 1\nreturn t + second(9)"
    assert ends(both, before=HELPERS) == "index out of bounds (line 9)"


def test_where_nobody_could_catch_it_nothing_changes():
    helper = "@function\ndef f(v: ExVec[u8], n: u64) -> u64:\n    t = u64(v[n]) // n\n    free(v)\n    return t\n"
    plain = f"{helper}@sip\ndef p(n: u64) -> u64:\n    return f(new(u8, 4), n)\n"
    with_try = f"{helper}@sip\ndef p(n: u64) -> u64:\n    try:\n        return f(new(u8, 4), n)\n    except KeyError:\n        return 0\n"
    plain, with_try = module(plain), module(with_try)
    assert [i.op for b in plain.functions["f"].blocks for i in b.instrs] == [i.op for b in with_try.functions["f"].blocks for i in b.instrs]
    assert not with_try.functions["f"].raises


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_closed_channel_is_an_exception_in_a_try(isolation):
    text = '''
Talk = contract("""
contract Talk { in message Ask(ulong n); out message Answer(ulong n); state Start: Ask? -> Answer! -> Start; }
""")
@function
def ask(ch: Talk.Imp, n: u64) -> u64:
    ch.send(Talk.Ask(n))
    return ch.receive(Talk.Answer)

@sip
def p(ch: Talk.Imp) -> u64:
    t: u64 = 0
    try:
        while True:
            t += ask(ch, t)
    except ChannelClosed:
        return t

@sip
def server(ch: Talk.Exp):
    for i in range(3):
        match ch.receive():
            case Talk.Ask(n):
                ch.send(Talk.Answer(n + 1))
            case ChannelClosed():
                return
'''
    system = System(isolation=isolation, ram="2M")
    one, other = system.create(image(text)), system.create(image(text, "server"))
    system.connect(one["ch"], other["ch"])
    system.run(cycles=10_000_000)
    assert one.end.value == 7 and other.end.state == "exit"
    lost = text.replace("    except ChannelClosed:\n        return t\n", "    except KeyError:\n        return t\n    return t\n")
    assert "ChannelClosed" not in format_module(module(lost))
    using_it = text.replace("        return t\n", "        ch.send(Talk.Ask(1))\n        return t\n")
    assert refusal(using_it).rule == "contract.closed"


def test_the_trace_names_an_exception():
    process = execute(DECLARED + "@sip\ndef p():\n    raise Full('to the brim')\n")
    trace = process._system.trace
    said = [trace.describe(i) for i in range(len(trace))]
    assert "p ends by a fault: uncaught Full: to the brim (line 6)" in said


def test_classes_of_a_notebook_are_found_and_their_own_classes_too():
    class Jam(ValueError):
        """The tray is empty."""

    class BadJam(Jam):
        pass

    class WithNumber(Exception):
        number = 3

    text = "@sip\ndef p() -> u64:\n    try:\n        raise BadJam\n    except Jam:\n        return 6\n"
    names = {"Jam": Jam, "BadJam": BadJam, "WithNumber": WithNumber, "Cancelled": KeyboardInterrupt}
    system = System(ram="2M")
    process = system.create(build(programs_from_source(text, "text", names).programs["p"]))
    system.run()
    assert process.exit_value == 6
    for name, said in (("WithNumber", "more than a name"), ("Cancelled", "has no KeyboardInterrupt")):
        with pytest.raises(SipError, match=said):
            build(programs_from_source(text.replace("BadJam", name), "text", names).programs["p"])


def test_tests_made_explicit_cost_no_second_check():
    """The optimiser knows what the test before an access or a division has found out."""
    text = """
@sip
def p(n: u64, s: i64) -> u64:
    v = new(u32, 8)
    t: u64 = 0
    try:
        t = u64(v[n]) + 100 // n + u64(100 // s)
        v[n + 1] = 4
    except IndexError:
        t = 1
    except ZeroDivisionError:
        t = 2
    free(v)
    return t
"""
    from singlab.sing.optimise import optimise

    best = optimise(verify(module(text)).module)
    instrs = [i for b in best.functions["p"].blocks for i in b.instrs]
    assert not [i for i in instrs if i.op == "check"]
    assert [i.extra for i in instrs if i.op == "div"] == ["nonzero", "nonzero"]
    for n, s, value in ((1, 2, 150), (9, 1, 1), (8, 1, 1), (7, 0, 2), (0, 1, 2), (3, MASK, MASK & (33 - 100))):
        assert result(text, n=n, s=s - (1 << 64) if s > 99 else s) == value


# ---- what the verifier proves about the ways exceptions take ---------------------------------------------------------------


def test_a_block_between_allocation_and_free_is_lost_by_an_exception():
    helper = "@function\ndef f(n: u64) -> u64:\n    v = new(u8, 4)\n    t = u64({0})\n    free(v)\n    return t\n"
    caller = "@sip\ndef p(n: u64) -> u64:\n    try:\n        return f(n)\n    except {1}:\n        return 0\n"
    for what, caught in (("v[n]", "IndexError"), ("1 // n", "ZeroDivisionError"), ("v[n]", "Exception"), ("g(n)", "KeyError")):
        inner = "@function\ndef g(n: u64) -> u64:\n    raise KeyError\n"
        error = refusal(inner + helper.format(what) + caller.format(0, caught))
        assert (error.rule, error.line) == ("owner.leak-on-raise", 7), error
        assert "finally" in error.hint
    assert result(inner + helper.format("v[n]") + caller.format(0, "KeyError"), n=2) == 0  # nobody catches what v[n] could raise


def test_a_block_in_the_body_of_a_try_is_followed_to_each_clause():
    text = "@sip\ndef p(n: u64) -> u64:\n    try:\n        v = new(u8, n)\n        v[n] = 1\n        free(v)\n    except {0}:\n        {1}\n    return 0\n"
    assert refusal(text.format("IndexError", "pass")).rule == "owner.merge"
    assert result(text.format("IndexError", "free(v)"), n=1) == 0  # MemoryError ends the process: in the clause there is always a block
    assert refusal(text.format("MemoryError", "free(v)")).rule == "init"
    assert refusal(text.format("(IndexError, MemoryError)", "free(v)")).rule == "owner.merge"


def test_arguments_of_a_call_are_gone_on_both_ways():
    text = """
@function
def f(v: ExVec[u8], n: u64) -> u64:
    free(v)
    return 1 // n

@sip
def p(n: u64) -> u64:
    v = new(u8, 4)
    try:
        return f(v, n)
    except ZeroDivisionError:
        {0}
        return 0
"""
    assert result(text.format("pass"), n=0) == 0
    assert refusal(text.format("free(v)")).rule == "owner.use-after-move"


def test_what_ends_the_process_owes_nothing():
    text = "@sip\ndef p(n: u64) -> u64:\n    v = new(u8, 4)\n    if n == 0:\n        raise KeyError\n    free(v)\n    return 1\n"
    assert str(execute(text, n=0).end.fault) == "uncaught KeyError (line 5)"


HOSTILE = """
sip p entry p
function p(%0.n: u64) -> u64
entry:
  {0}
ok:
  ret %0
function f(%0: u64) -> u64 raises
entry:
  raise %0
function g(%0: u64) -> u64
entry:
  raise %0
"""


@pytest.mark.parametrize(
    ("instruction", "said"),
    [
        ("%1: u64 = call f, %0\n  ret %1", "as if it did not"),
        ("attempt g, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> ok }", "raises no exception"),
        ("attempt f, %0 { returned(%1: u64) -> ok }", "other ways"),
        ("attempt f, %0 { returned() -> ok; raised(%2: u64) -> ok }", "gives 1 values"),
        ("attempt f, %0 { returned(%1: u8) -> ok; raised(%2: u64) -> ok }", "u64 is needed"),
        ("attempt f, %0 { returned(%1: u64) -> ok; raised(%2: u8) -> ok }", "u64 is needed"),
        ("attempt f, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> nowhere }", "leads nowhere"),
        ("attempt f { returned(%1: u64) -> ok; raised(%2: u64) -> ok }", "takes 1 arguments"),
        ("attempt h, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> ok }", "no function"),
        ("attempt f, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> ok; closed -> ok }", "other ways"),
        ("attempt_new %0 { returned(%1: u64) -> ok; raised(%2: u64) -> ok }", "a block, an array, an object or a set is needed"),
        ("attempt_new %0 { returned() -> ok; raised(%2: u64) -> ok }", "gives 1 values"),
        ("attempt_new %0 { returned(%1: ExVec[u8]) -> ok; raised(%2: u64) -> ok }", "still owned"),
        ("%1: bool = lt %0, %0\n  raise %1", "u64 is needed"),
    ],
)
def test_no_malformed_exception_passes(instruction, said):
    findings = verify(parse_sil(HOSTILE.format(instruction)), collect=True).findings
    assert findings and any(said in f.message for f in findings), findings


def test_an_exception_of_zero_is_an_exception_still():
    """Whatever is raised, the caller does not take it for a return."""
    text = HOSTILE.format("attempt f, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> bad }\nbad:\n  %3: u64 = const 77\n  ret %3")
    for optimiser in (True, False):
        system = System(ram="2M")
        process = system.create(seal_module(verify(parse_sil(text)).module, True, optimiser=optimiser), n=0)
        system.run(cycles=1_000_000)
        assert process.exit_value == 77


def test_what_ends_the_process_when_called_does_so_where_it_is_inlined():
    """A raise in a function that is not declared so is not handed on by one that is."""
    text = """
sip p entry p
function p(%0.n: u64) -> u64
entry:
  attempt f, %0 { returned(%1: u64) -> ok; raised(%2: u64) -> bad }
ok:
  ret %0
bad:
  ret %2
function f(%0: u64) -> u64 raises
entry:
  %1: u64 = call g, %0
  raise %1
function g(%0: u64) -> u64
entry:
  raise %0
"""
    for optimiser in (True, False):
        system = System(ram="2M")
        process = system.create(seal_module(verify(parse_sil(text)).module, True, optimiser=optimiser), n=300 | 5 << 16)
        system.run(cycles=1_000_000)
        assert process.end.fault.code == 300 and process.end.fault.line == 5
