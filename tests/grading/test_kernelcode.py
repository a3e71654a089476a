"""Kernel functions of students: what they compute is what Python says, what is no such function is refused where it stands."""

from __future__ import annotations

import pytest

from singlab.grading.kernelcode import DATA, WORDS, KernelBed, compile_kernel, kernel_functions
from singlab.sing import SipError

MASK = (1 << 64) - 1
GIVEN = {"SIZE": 24, "TOP": MASK}


def bed(text: str, name: str = "f", **options) -> KernelBed:
    """Return a bed with one function of a text."""
    return KernelBed(compile_kernel(kernel_functions(text, "notebook", GIVEN)[name], GIVEN), 64, **options)


PROGRAMS = {
    "short circuits": "@kernel\ndef f(a, b):\n    if a != 0 and ld64(a) == 7 or b == 3:\n        return 1\n    return 2\n",
    "a while with two conditions": "@kernel\ndef f(a, b):\n    n = 0\n    while n < 10 and (b == 0 or n < b) and not n == 7:\n        n += 1\n    return n\n",
    "chained comparison": "@kernel\ndef f(a, b):\n    if 3 <= b < 9:\n        return b\n    return SIZE\n",
    "minus one": "@kernel\ndef f(a, b):\n    return -1 + b\n",
    "a condition as a value": "@kernel\ndef f(a, b):\n    same = b == 3 or b == 4\n    return same + (b > 4 and b < 8)\n",
    "loops over ranges": "@kernel\ndef f(a, b):\n    total = 0\n    for i in range(b):\n        if i == 5:\n            continue\n        if i == 9:\n            break\n"
                         "        total += i * i\n    return total\n",
    "helpers": "@kernel\ndef g(x):\n    return x * x\n\n@kernel\ndef f(a, b):\n    '''Says so.'''\n    pass\n    return h(g(b), SIZE) ^ TOP\n\n@kernel\ndef h(x, y):\n    return x << 3 | y\n",
    "a variable set on one way only": "@kernel\ndef f(a, b):\n    if b == 3:\n        x = 5\n    return x\n",
    "nothing returned": "@kernel\ndef f(a, b):\n    if b == 3:\n        pass\n    else:\n        return b\n",
}  # fmt: skip
EXPECTED = {
    "short circuits": lambda b: 1 if b == 3 else 2,
    "a while with two conditions": lambda b: min(7, b) if b else 7,
    "chained comparison": lambda b: b if 3 <= b < 9 else 24,
    "minus one": lambda b: b - 1 & MASK,
    "a condition as a value": lambda b: (b in (3, 4)) + (4 < b < 8),
    "loops over ranges": lambda b: sum(i * i for i in range(min(b, 9)) if i != 5),
    "helpers": lambda b: (b * b << 3 | 24) ^ MASK,
    "a variable set on one way only": lambda b: 5 if b == 3 else 0,
    "nothing returned": lambda b: 0 if b == 3 else b,
}


@pytest.mark.parametrize("case", PROGRAMS)
def test_a_function_computes_what_it_says(case):
    made = bed(PROGRAMS[case])
    for b in (0, 1, 3, 4, 7, 8, 9, 12):
        called = made.call("f", 0, b)
        assert (called.broken, called.value) == ("", EXPECTED[case](b)), b


REFUSED = {
    "a list": ("return [a]", "no List in a kernel function", 3),
    "text": ('return "a"', "'a' is no word", 3),
    "a float": ("return 1.5", "1.5 is no word", 3),
    "division": ("return a / 2", "no BinOp", 3),
    "an unknown name": ("return c", "c is not known", 3),
    "an unknown function": ("return open(a)", "open is nothing a kernel function can call", 3),
    "a method": ("return a.bit_length()", "a.bit_length is nothing", 3),
    "too few words": ("st64(a)", "st64 takes 2 words", 3),
    "a store as a value": ("x = st64(a, 1)", "st64 gives nothing", 3),
    "a word by name": ("return ld64(address=a)", "ld64 takes 1 word", 3),
    "two names at once": ("x, y = a, a", "one name at a time", 3),
    "names in a row": ("x = y = a", "one name at a time", 3),
    "membership": ("return a in 3", "words are compared by", 3),
    "identity": ("return a is 3", "words are compared by", 3),
    "try": ("try:\n        return 1\n    except ValueError:\n        return 2", "no Try", 3),
    "raise": ("raise ValueError", "raises nothing", 3),
    "an attribute": ("a.b = 3", "one name at a time", 3),
    "import": ("import os", "no Import", 3),
    "a loop over something else": ("for x in a:\n        pass", "a kernel function's for goes over range", 3),
    "a while with an else": ("while a:\n        a -= 1\n    else:\n        return 3", "has no else", 3),
    "an idle expression": ("a + 1", "this does nothing", 3),
    "itself": ("return f(a)", "f calls itself", 2),
    "each other": ("return g(a)\n\n@kernel\ndef g(a):\n    return f(a)", "calls itself", 2),
    "a name of a word": ("ld64 = 3", "ld64 is no name for a variable", 2),
    "a function as a value": ("return g + 1\n\n@kernel\ndef g(a):\n    return 1", "g is a function, not a value", 3),
    "what is no kernel function": ("return g(a)\n\n@function\ndef g(a: u64) -> u64:\n    return a", "g is nothing a kernel function can call", 3),
    "break alone": ("break", "break outside a loop", 3),
    "a walrus": ("return (b := a)", "no NamedExpr", 3),
    "too deep": ("return " + "(" * 60 + "a" + " + 1)" * 60, "too deeply nested", 3),
    "a middle that calls": ("return 1 < ld64(a) < 3", "the middle of a chained comparison", 3),
    "a lambda": ("return (lambda: 3)()", "is nothing a kernel function can call", 3),
    "star": ("return ld64(*a)", "ld64 takes 1 word", 3),
    "yield": ("yield a", "this does nothing", 3),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_in_the_subset_is_refused_where_it_stands(case):
    body, words, line = REFUSED[case]
    with pytest.raises(SipError) as caught:
        bed(f"@kernel\ndef f(a):\n    {body}\n")
    assert words in caught.value.message and caught.value.hint, str(caught.value)
    assert abs(caught.value.line - line) <= 4 and caught.value.source_line


def test_odd_signatures_and_huge_functions_are_refused():
    for head in ("a, *b", "a, b=3", "*, a", "a, /", ", ".join(f"a{i}" for i in range(9))):
        with pytest.raises(SipError, match="up to eight parameters"):
            bed(f"@kernel\ndef f({head}):\n    return 1\n")
    with pytest.raises(SipError, match="too long"):
        bed("@kernel\ndef f(a):\n" + "    a += a * 3 + a\n" * 5000 + "    return a\n")
    with pytest.raises(SipError, match="bytes of code"):
        bed("@kernel\ndef f(a):\n" + "    st64(a, ld64(a) + 123456789123456789 + 923456789123456789)\n" * 1100 + "    return a\n")


def test_what_breaks_is_named_with_its_line():
    made = bed("@kernel\ndef f(a, b):\n    x = 1\n    if b == 1:\n        return ld64(a)\n    if b == 2:\n        st64(a, 5)\n"
               "    while b == 3:\n        x += 1\n    return x\n", limit=20_000)  # fmt: skip
    assert made.call("f", DATA, 0).value == 1
    for a, b, line, words in ((1 << 63, 1, 5, "loads from 0x8000000000000000"), (0, 2, 7, "stores to 0x0"), (0, 3, 8, "finds no end")):
        called = made.call("f", a, b)
        assert words in called.broken and line <= called.line <= line + 1, called
        assert not made.call("f", DATA, 0).broken, "the next call finds a machine in order"
    for place in (DATA - 8, DATA - 0x8000):
        assert "kernel's own code" in made.call("f", place, 2).broken


def test_the_memory_is_what_stays_and_narrow_words_are_narrow():
    made = bed("@kernel\ndef f(a, b):\n    st8(a, b)\n    st16(a + 2, b)\n    st32(a + 4, b)\n    st64(a + 8, b)\n    return ld8(a) + ld16(a + 2) + ld32(a + 4) + ld64(a + 8)\n")
    made.memory[:] = 0
    word = 0x1122_3344_5566_7788
    assert made.call("f", DATA, word).value == 0x88 + 0x7788 + 0x5566_7788 + word
    assert made.memory[:3].tolist() == [0x5566_7788_7788_0088, word, 0]
    assert set(WORDS) == {"ld8", "ld16", "ld32", "ld64", "st8", "st16", "st32", "st64"}


def test_the_later_of_two_definitions_counts_and_constants_of_the_exercise_win():
    text = "SIZE = 5\nOWN = 7\n@kernel\ndef f(a):\n    return 1\n\n@kernel\ndef f(a):\n    return SIZE + OWN\n"
    assert bed(text).call("f", 0).value == 31
