"""Measuring programs: what the compiler takes and refuses, and that kernels and SIPs never see their words."""

from __future__ import annotations

import pytest

from singlab.experiments.testbed import ARENA, Bed, run
from singlab.machine.asm import encode
from singlab.sing import SipError, build, programs_from_source, sil, verify
from singlab.sing.bare import CLOCK, NOTE, TRAP, build_bare
from singlab.sing.types import U64

GIVEN = {"ARENA": ARENA}


def program(body: str, name: str = "main"):
    """Return the program of a name in a text."""
    return programs_from_source(body, "test", GIVEN).functions[name]


def value(body: str) -> int:
    """Return what a program reports."""
    return run(program(body), Bed("teaching", quiet=True)).value


def test_arithmetic_is_that_of_the_language():
    assert (
        value("@function\ndef main() -> u64:\n    total: u64 = 0\n    for i in range(10):\n        total += i * i\n    return total\n")
        == 285
    )
    helpers = (
        "@function\ndef twice(x: u64) -> u64:\n    return 2 * x\n\n@function\ndef main() -> u64:\n    return twice(twice(5)) + ARENA\n"
    )
    assert value(helpers) == 20 + ARENA


def test_the_new_words_become_calls_and_a_load():
    text = build_bare(program("@function\ndef main() -> u64:\n    trap()\n    note(1, 2)\n    x = load(8)\n    return cycles() + x\n")).text
    words = [int.from_bytes(text[i : i + 4], "little") for i in range(0, len(text) - 3, 4)]
    before = [words[i - 1] for i, word in enumerate(words) if word == encode("ecall")]
    assert {encode("addi", 17, 0, number) for number in (TRAP, CLOCK, NOTE)} <= set(before)


def test_an_empty_arena_reads_zero_everywhere():
    assert value("@function\ndef main() -> u64:\n    return load(0) + load(ARENA - 8) + load(4092)\n") == 0


REFUSED = {
    "a vector": ("@function\ndef main() -> u64:\n    v = new(u8, 4)\n    return 1\n", "needs a kernel"),
    "printing": ("@function\ndef main() -> u64:\n    print(1)\n    return 1\n", "note(a, b)"),
    "a message": ("@function\ndef main() -> u64:\n    x: u64 = 1\n    x.send(1)\n    return 1\n", "needs a kernel"),
    "unknown": ("@function\ndef main() -> u64:\n    return sum(1)\n", "load, cycles, trap, note"),
    "no value": ("@function\ndef main() -> u64:\n    x = trap()\n    return x\n", "no value"),
    "arguments": ("@function\ndef main() -> u64:\n    return load(1, 2)\n", "takes 1 argument"),
    "no type": ("@function\ndef main():\n    trap()\n", "-> u64"),
    "parameters": ("@function\ndef main(x: u64) -> u64:\n    return x\n", "take nothing"),
    "no start value": ("@function\ndef main() -> u64:\n    if load(0) > 1:\n        x: u64 = 1\n    return x\n", "may have no value"),
    "recursion": ("@function\ndef main() -> u64:\n    return main()\n", "calls itself"),
    "a SIP": ("@sip\ndef other() -> u64:\n    return 1\n\n@function\ndef main() -> u64:\n    return other()\n", "is a SIP"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_has_a_place_and_a_way_out(case):
    body, words = REFUSED[case]
    with pytest.raises(SipError) as caught:
        build_bare(program(body))
    assert words in str(caught.value)
    assert caught.value.hint and caught.value.line > 0, str(caught.value)


def test_a_sip_is_no_measuring_program_and_gets_none_of_its_words():
    unit = programs_from_source("@sip\ndef main() -> u64:\n    return 1\n\n@sip\ndef other() -> u64:\n    return load(0)\n", "test")
    with pytest.raises(SipError, match="no measuring program"):
        build_bare(unit.programs["main"])
    with pytest.raises(SipError, match="load is not a function a SIP can call"):
        build(unit.programs["other"])


def test_the_verifier_takes_no_environment_call():
    """It is an instruction of the generator, never of a SIP."""
    instrs = [sil.Instr("ecall", None, (), TRAP), sil.Instr("ret")]
    module = sil.Module("m", {"m": sil.Function("m", [], None, [sil.Block("entry", instrs)])}, "m", {})
    assert not verify(module, collect=True).accepted
    instrs[0] = sil.Instr("raw_load64", sil.Reg(0, U64), (), 0)
    assert not verify(module, collect=True).accepted
