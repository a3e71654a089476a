"""Programs of open processes: what the language has for them, what it refuses, and where it says so."""

from __future__ import annotations

import pytest

from singlab.kernel import OpenProgram, System
from singlab.kernel import layout as at
from singlab.kernel.opencalls import OPEN_CALLS
from singlab.sing import SipError, function, parse_sil, sip, verify
from singlab.sing import openprocess as words
from singlab.sing.openprocess import (
    DATA,
    address_of,
    build_library,
    build_process,
    call,
    exit,
    failed,
    fence_i,
    getpid,
    helper,
    load64,
    process,
    store64,
    text_at,
    u8,
    u64,
    write,
)


def build_text(text: str):
    """Build the first function of a text as a process; other functions in it are its helpers."""
    from singlab.sing import programs_from_source

    unit = programs_from_source(text, "cell")
    return build_process(next(iter(unit.functions.values())))


def refusal(text: str) -> SipError:
    with pytest.raises(SipError) as caught:
        build_text(text)
    return caught.value


def result(program, *, library=None, **words_):
    """Return what a process of a program ends with."""
    system = System(personality="open", profile="untimed", ram="4M")
    if library is not None:
        system.register(library)
    first = system.create(program, **words_)
    assert system.run().outcome == "finished"
    assert first.fault is None, first.fault
    return first.exit_value


@helper
def triple(n: u64) -> u64:
    return 3 * n


@helper
def six(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64:
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f


@process
def many(n: u64) -> u64:
    # values that live across calls, an indirect call with six words, a condition on what is no error
    a = n + 1
    b = triple(n)
    c = call(address_of(triple), b)
    d = call(address_of(six), 1, 2, 3, 4, 5, 6)
    store64(DATA, a)
    fence_i()
    if failed(getpid()):
        return 0
    if not failed(write(9, "x")):
        return 1
    small: u8 = 200
    store64(DATA + 8, small)
    return a + b + c + d + load64(DATA) + load64(DATA + 8) + load64(text_at("\0\0\0\0\0\0\0\0"))


def test_values_survive_raw_calls():
    assert result(build_process(many), n=7) == 8 + 21 + 63 + 654321 + 8 + 200


def test_parameters_reach_the_program():
    program = build_text("@function\ndef p(a: u64, b: u32, c: i64, d: u64) -> u64:\n    return a * 1000 + b * 100 + u64(c) * 10 + d\n")
    assert program.parameters == ("a", "b", "c", "d")
    assert result(program, a=1, b=2, c=3, d=4) == 1234


def test_a_program_without_result_ends_with_0():
    assert result(build_text("@function\ndef p():\n    print(1)\n")) == 0


def test_symbols_and_lines_are_those_of_the_source():
    program = build_process(many)
    assert {"many", "triple", "six"} <= set(program.symbols)
    assert program.entry == at.OPEN_TEXT and not program.library
    first = many.node.lineno
    assert program.line_of(program.symbols["many"]) == first and all(line for _, line in program.lines)
    assert "not verified" in repr(program)


def test_a_library_has_its_functions_by_name():
    library = build_library("lib", triple, six)
    assert isinstance(library, OpenProgram) and library.library and set(library.symbols) == {"triple", "six"}


@pytest.mark.parametrize("body, rule, words_", [
    ("store64(5)", "types", "takes 2 words, not 1"),
    ("x = load64()", "types", "takes 1 word, not 0"),
    ("store64(DATAA, 1)", "names", "DATAA"),
    ("x = call()", "types", "an address"),
    ("x = call(1, 2, 3, 4, 5, 6, 7, 8)", "types", "up to 6 words"),
    ("x = address_of(nothing)", "types", "no function of this program"),
    ("x = text_at(5)", "types", "text in quotes"),
    ("v = new(u8, 5)", "open", "sealed processes"),
    ("t = thread(p)", "open", "sealed processes"),
    ("ch.send(1)", "open", "sealed processes"),
    ("x = frob(1)", "open", "frob is not a function an open process can call"),
    ("x = getpid(1)", "types", "takes 0 words, not 1"),
    ('x = write(1, "a", 2)', "types", "takes 3 words, not 4"),
    ("x = load64(True)", "types", ""),
    ("x: u64 = failed(1)", "types", ""),
    ("for i in 5:\n        pass", "language", ""),
])  # fmt: skip
def test_refusals_are_located(body, rule, words_):
    error = refusal(f"@function\ndef p():\n    {body}\n")
    assert error.line == 3, error
    assert words_ in str(error)
    assert error.rule == rule or rule == "names"


def test_uninitialised_variables_are_refused():
    error = refusal("@function\ndef p(n: u64) -> u64:\n    if n > 1:\n        x = load64(n)\n    return load64(x)\n")
    assert error.line == 5 and "x" in str(error)


def test_what_is_no_open_program_is_refused():
    @sip
    def sealed() -> u64:
        return 1

    for wrong in (sealed, 5, "many", None):
        with pytest.raises(SipError):
            build_process(wrong)
    with pytest.raises(SipError):
        build_library("empty")
    with pytest.raises(SipError, match="at most four"):
        build_text("@function\ndef p(a: u64, b: u64, c: u64, d: u64, e: u64):\n    print(a)\n")


def test_no_verified_program_has_raw_operations():
    for op in ("raw_call %0", "raw_function p", "raw_text", "raw_fence"):
        with pytest.raises(SipError):
            verify(parse_sil(f"sip p entry p\nfunction p(%0: u64) -> u64\nstart:\n  %1: u64 = {op}\n  ret %1\n"))


def test_no_sip_can_say_the_words():
    from singlab.sing import build, programs_from_source

    for name in [*words.__all__, "raw_call"]:
        if name in ("process", "build_process", "build_library", "helper", "cycles", "mark", "u8", "u16", "u32", "u64") or name.isupper():
            continue
        with pytest.raises(SipError) as caught:
            build(programs_from_source(f"@sip\ndef s():\n    {name}(1)\n").programs["s"])
        assert caught.value.rule in ("closed-api", "types"), name


def test_every_call_is_a_word_with_help():
    for each in OPEN_CALLS:
        if each.name in words._CALLS:
            assert each.doc in getattr(words, each.name).__doc__
    for python in (getpid, exit, load64):
        with pytest.raises(SipError, match="ordinary Python"):
            python()


def test_a_function_decorator_of_the_language_will_do():
    @function
    def plain(n: u64) -> u64:
        return n + 1

    assert result(build_process(plain), n=4) == 5
