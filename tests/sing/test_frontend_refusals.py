"""The SIP language: what is refused, by which rule and where; and texts whose programs are taken without running them."""

from __future__ import annotations

import builtins

import pytest
from running import TALK, execute, marked, refusal, result

from singlab.kernel import InstallError, SealError
from singlab.sing import SipError, build, contract, programs_from_source, sip, verify
from singlab.sing.lower import FunctionLowering

HEADER = TALK + """
@function
def twice(x: u64) -> u64:
    return x * 2

@function
def note(x: u64):
    mark(x)

@function
def spent(v: ExVec[u8]):
    free(v)

@sip
def other(n: u64):
    mark(n)
"""

# Bodies of ``def p(ch: Talk.Imp, n: u64, s: i64, b: bool) -> u64``; the mark « stands where the refusal points.
BODIES = {
    "types": [
        "try:\n    pass\nexcept «E:\n    pass\nreturn 0", "raise «n\nreturn 0", "raise «s + 1\nreturn 0", "raise «Full\nreturn 0",
        "try:\n    pass\nexcept KeyError as e:\n    return «e\nreturn 0", "raise «EOFError\nreturn 0",
        "try:\n    pass\nexcept (KeyError, «n):\n    pass\nreturn 0", "try:\n    pass\n«except KeyError as n:\n    pass\nreturn 0",
        "x: u8 = «n\nreturn 0", "x: u8 = 1\n«x = n\nreturn 0", "x = 1\n«x = n\nreturn 0", "x: u8 = «256\nreturn 0",
        "x: u32 = «-1\nreturn 0", "return «n + s", "return «b + n", "return «b", "return «s", "«return",
        "if «n:\n    return 1\nreturn 0", "while «s:\n    pass\nreturn 0", "return u64(not «n)", "return «unknown",
        "x = «y\ny = 1\nreturn x", "return «twice", "return twice(«s)", "return «twice(n, n)", "return «twice()",
        "x = «note(n)\nreturn 0", "return «u64(ch)", "other = ch\nreturn «other", "return «n[0]", "x = «ch[0]\nreturn 0",
        "x = new(u8, 1)\ny = «x + x\nreturn 0", "x = new(u8, 1)\nif «x == x:\n    pass\nreturn 0", "x = «new(bool, 1)\nreturn 0",
        "x = «new(8)\nreturn 0", "x = new(u8, «b)\nreturn 0", "«free(n)\nreturn 0", "return «len(n)", "print(«ch)\nreturn 0",
        "«mark(b)\nreturn 0", "«cycles(1)\nreturn 0", "x: «float = 1\nreturn 0", "x: str = «1\nreturn 0", 'x: «"u64 u64" = 1\nreturn 0',
        "x: «ExVec[bool] = new(u8, 1)\nreturn 0", "x: u8 = 1\n«x: u16 = 2\nreturn 0", "for i in «range(b):\n    pass\nreturn 0",
        "for i in «range(n, 0, -1):\n    pass\nreturn 0", "«n.send(Talk.Ask(1))\nreturn 0", "ch.send(«Talk.Nothing(1))\nreturn 0",
        "ch.send(Talk.Ask(n))\n«a, c = ch.receive(Talk.Answer)\nreturn 0", "x = new(u8, 1)\ny = «x if b else x\nreturn 0",
        "return u64(«b < b)", "«x = y = new(u8, 1)\nreturn 0", "«a, c = 1, 2, 3\nreturn 0", "«for x in new(u8, 3):\n    pass\nreturn 0",
        "return 1 if «n is s else 0", 'return «"text"', "«n.x = 1\nreturn 0", "«n.x += 1\nreturn 0",
    ],
    "language": [
        "return «n / 2", "return «n ** 2", "return 1 if «n in s else 0", "return «1.5", 
        "x = «[1, 2]\nreturn 0", "x = «[i for i in n]\nreturn 0", "x = «{}\nreturn 0", "f = «lambda: 1\nreturn 0",
        "x = «()\nreturn 0", "«import os\nreturn 0", "«from os import path\nreturn 0",
        "«try:\n    pass\nexcept* KeyError:\n    pass\nreturn 0", "raise KeyError from «n\nreturn 0", "«raise\nreturn 0",
        "try:\n    pass\n«except:\n    pass\nexcept KeyError:\n    pass\nreturn 0", "raise «KeyError(n)\nreturn 0",
        "raise «KeyError('a', 'b')\nreturn 0", "«with n:\n    pass\nreturn 0", "assert b, «n\nreturn 0",
        "«del n\nreturn 0", "«global n\nreturn 0", "«def f():\n    pass\nreturn 0", "«class A:\n    pass\nreturn 0", "«n\nreturn 0",
        "«x = y[0] = 1\nreturn 0", "«a, (c, d) = 1, 2\nreturn 0", "«a, c = n\nreturn 0", "«x: u64\nreturn 0",
        "«break\nreturn 0", "«continue\nreturn 0", "while b:\n    pass\nelse:\n    «return 1\nreturn 0",
        "«for i in n:\n    pass\nreturn 0", "for «i, j in range(n):\n    pass\nreturn 0", "for i in «range():\n    pass\nreturn 0",
        "for i in range(1, 2, «n):\n    pass\nreturn 0", "for i in range(1, 2, «0):\n    pass\nreturn 0",
        "match «n:\n    case 1:\n        return 0\nreturn 0", "match ch.receive():\n    case «1:\n        pass\nreturn 0",
        "match ch.receive():\n    case Talk.Answer(x) if «b:\n        pass\nreturn 0",
        "match ch.receive():\n    case Talk.Answer(«1):\n        pass\nreturn 0",
        "match ch.receive():\n    case Talk.Answer(x):\n        pass\n    case «Talk.Answer(x):\n        pass\nreturn 0",
        "match ch.receive():\n    case ChannelClosed():\n        pass\n    case «ChannelClosed():\n        pass\nreturn 0",
        "x = «ch.receive()\nreturn 0", "ch.send(«n)\nreturn 0", "ch.send(«Ask(1))\nreturn 0", "return «twice(x=n)", "return «twice(*n)",
        "return «(twice)(n)(n)", "x = new(u8, 4)\ny = «x[0:2]\nreturn 0", "x = «f'{n:x}'\nreturn 0", "return («y := n)",
        "«yield n\nreturn 0",
    ],
    "closed-api": [
        "return «open(n)", "return «exec(n)", "return «other(n)", "return «fault(n)", "«ch.peek()\nreturn 0", "return «n.bit_length()",
        "return «bool(n)",
    ],
    "contract.arguments": [
        "ch.send(«Talk.Ask())\nreturn 0", "ch.send(«Talk.Ask(n, n))\nreturn 0", "ch.send(Talk.Ask(«s))\nreturn 0",
        "ch.send(Talk.Give(«n))\nreturn 0", "match ch.receive():\n    case «Talk.Answer(x, y):\n        pass\nreturn 0",
        "match ch.receive():\n    case «Talk.Answer(n=x):\n        pass\nreturn 0",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("rule", "lines"), [(rule, lines) for rule, all_ in BODIES.items() for lines in all_])
def test_each_refusal_names_rule_place_and_repair(rule, lines):
    indented = "\n".join("    " + line for line in lines.splitlines())
    text, line, column = marked(f"{HEADER}\n@sip\ndef p(ch: Talk.Imp, n: u64, s: i64, b: bool) -> u64:\n{indented}\n", "«")
    error = refusal(text)
    assert (error.rule, error.line, error.column) == (rule, line, column), str(error)
    assert error.hint and error.message and error.filename == "text"
    assert error.source_line == text.splitlines()[line - 1]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("types", "@sip\ndef p(«n):\n    pass"),
        ("types", "@sip\ndef p(n: «float):\n    pass"),
        ("types", "@sip\ndef p(«v: ExVec[u8]):\n    free(v)"),
        ("types", "@sip\ndef p() -> «ExVec[u8]:\n    return new(u8, 1)"),
        ("types", "@sip\ndef p(ch: «Unknown.Imp):\n    pass"),
        ("types", "@sip\ndef p():\n    «return 1"),
        ("types", "@sip\n«def p(n: u64) -> u64:\n    if n == 0:\n        return 1"),
        ("types", "@sip\n«def p(n: u64) -> u64:\n    while n > 0:\n        return 1"),
        ("language", "@sip\ndef p(n: u64 = «3):\n    pass"),
        ("language", "@sip\ndef p(*«n):\n    pass"),
        ("language", "@sip\ndef p(**«n):\n    pass"),
        ("language", "@sip\ndef p(*, «n: u64):\n    pass"),
        ("language", "@sip\n«def p(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8):\n    pass"),
        ("types", "@function\ndef f(«x) -> u64:\n    return x\n@sip\ndef p() -> u64:\n    return f(1)"),
        ("recursion", "@function\ndef f0(x: u64) -> u64:\n    return x\n" + "".join(
            f"@function\n{'«' * (n == 64)}def f{n}(x: u64) -> u64:\n    return f{n - 1}(x)\n" for n in range(1, 65))
                      + "@sip\ndef p() -> u64:\n    return f64(1)"),
        ("init", "@sip\ndef p(n: u64) -> u64:\n    if n > 0:\n        x = n\n    «return x"),
        ("init", "@sip\ndef p(n: u64) -> u64:\n    for i in range(n):\n        x = i\n    «return x"),
        ("syntax", "@sip\ndef p(«:\n    pass"),
        ("contract.finite", 'X = contract("""\ncontract X {\n  in message A();\n  state «S: A? -> S;\n}""")\n@sip\ndef p():\n    pass'),
    ],
)  # fmt: skip
def test_signatures_and_whole_programs(rule, text):
    text, line, column = marked(text, "«")
    error = refusal(text)
    assert (error.rule, error.line, error.column) == (rule, line, column), str(error)
    assert error.hint


def test_the_caret_stands_under_the_place_after_letters_of_any_alphabet():
    text, line, column = marked('@sip\ndef p():\n    print("größer", «unknown)\n', "«")
    error = refusal(text)
    assert (error.line, error.column) == (line, column), str(error)


def test_a_mistake_in_a_helper_is_shown_in_the_text_of_the_helper():
    helpers = programs_from_source("\n\n@function\ndef lose(n: u64):\n    v = new(u8, n)\n", "helpers")
    unit = programs_from_source("@sip\ndef p():\n    lose(1)\n", "text", names=helpers.functions)
    with pytest.raises(SipError) as caught:
        build(unit.programs["p"])
    assert (caught.value.rule, caught.value.filename, caught.value.line) == ("owner.leak", "helpers", 5)
    assert caught.value.source_line == "    v = new(u8, n)"


def test_a_step_that_does_not_fit_the_range_is_refused_at_the_step():
    text, line, column = marked("@sip\ndef p(n: u8):\n    for i in range(u8(0), n, «300):\n        pass\n", "«")
    error = refusal(text)
    assert (error.rule, error.line, error.column) == ("types", line, column), str(error)


def test_text_that_cannot_be_printed_is_refused():
    assert refusal('@sip\ndef p():\n    print("\\ud800")\n').line == 3


@pytest.mark.parametrize(
    "text",
    [
        "@sip\ndef p() -> u64:\n    return " + "+".join(["1"] * 5000),
        "@sip\ndef p() -> u64:\n    return " + "-" * 5000 + "1",
        "@sip\ndef p() -> u64:\n    return " + "(" * 150 + "1" + ")" * 150,
        "@sip\ndef p(n: u64) -> u64:\n" + "".join(f"{' ' * (i + 1)}if n > {i}:\n" for i in range(90)) + " " * 91 + "return 1",
        "".join(f"@function\ndef f{i}() -> u64:\n    return f{i + 1}()\n" for i in range(400))
        + "@function\ndef f400() -> u64:\n    return 1\n@sip\ndef p() -> u64:\n    return f0()",
    ],
    ids=["sum", "signs", "brackets", "ifs", "calls"],
)
def test_deep_nesting_is_built_or_refused_and_nothing_else(text):
    try:
        build(programs_from_source(text, "text").programs["p"])
    except SipError as error:
        assert error.message and error.hint


def test_an_error_shows_only_itself():
    error = refusal("@sip\ndef p(n: u64) -> u64:\n    return n < b'<i>'\n")
    assert error._render_traceback_() == [f"SipError: {error}"]
    long = SipError("types", "word " * 60, hint="do " * 60, filename="cell", line=1, column=1, source_line="x" * 200)
    shown = "".join(long._render_traceback_()).split("\n")
    assert "    " + "x" * 200 in shown and max(len(line) for line in shown if "xx" not in line) <= 96
    assert " ".join("\n".join(shown).split()) == " ".join(f"SipError: {long}".split()), "nothing is lost, no word is broken"
    for refused in (InstallError("word " * 60), SealError("word " * 60)):
        lines = refused._render_traceback_()[0].split("\n")
        assert max(map(len, lines)) <= 96 and " ".join(" ".join(lines).split()) == f"{type(refused).__name__}: {' '.join(['word'] * 60)}"
    page = error._repr_html_()
    assert "&lt;i&gt;" in page and "<i>" not in page and error.rule in page and "Repair:" in page


def test_what_is_no_text_and_no_sil_is_refused_in_words():
    program = programs_from_source("@sip\ndef p():\n    pass\n").programs["p"]
    for call, words in ((lambda: contract(3), "this is int"), (lambda: verify("sip"), "this is str"), (lambda: verify(program), "this is Program")):
        with pytest.raises(SipError, match=words) as caught:
            call()
        assert caught.value.hint


# ---- texts are read, never run ---------------------------------------------------------------------------------


def test_nothing_in_a_text_is_executed():
    text = '''
import builtins
builtins.ran.append("top level")
builtins.ran.append(__import__("os").getpid())
def decorate(x):
    builtins.ran.append("decorator made")
    return lambda f: f
N = 3
LATE = builtins.ran.append("assignment")
C = contract(builtins.ran.append("argument of contract"))
class Side:
    builtins.ran.append("class body")
    @sip
    def inner(n: u64):
        pass

@decorate(builtins.ran.append("decorator"))
@sip
def p(n: u64) -> u64:
    return n + N

@sip
def q(n: u64 = builtins.ran.append("default")):
    pass

@sip
def r(n: builtins.ran.append("annotation")):
    pass

@sip
def s(n: u64) -> u64:
    return builtins.ran.append("body")

@sip
def t(n: "builtins.ran.append('annotation in quotes')"):
    pass

if builtins.ran.append("condition"):
    @sip
    def never():
        pass
'''
    builtins.ran = []
    try:
        unit = programs_from_source(text, "text")
        assert set(unit.programs) == {"p", "q", "r", "s", "t"}
        assert unit.constants == {"N": 3} and not unit.contracts
        build(unit.programs["p"])
        for name in "qrst":
            with pytest.raises(SipError):
                build(unit.programs[name])
        assert builtins.ran == []
    finally:
        del builtins.ran


def test_a_text_declares_contracts_constants_helpers_and_programs():
    unit = programs_from_source(HEADER + "\nA = 5\nB = -7\nD = True\nE = A + 1\n", "text")
    assert set(unit.contracts) == {"Talk"} and set(unit.functions) == {"twice", "note", "spent"}
    assert set(unit.programs) == {"other"} and unit.constants == {"A": 5, "B": -7, "D": True, "E": 6}
    assert unit.names()["Talk"] is unit.contracts["Talk"]
    with pytest.raises(SipError, match="ordinary Python"):
        unit.programs["other"](3)


def test_two_contracts_in_one_call_are_refused_for_that():
    text, line, _ = marked('«X = contract("contract X { state S: ; } contract Y { state S: ; }")\n@sip\ndef p(ch: X.Imp):\n    pass\n', "«")
    error = refusal(text)
    assert "2 contracts" in error.message and error.line == line


def test_names_given_win_over_those_of_the_text():
    unit = programs_from_source("N = 3\n@sip\ndef p() -> u64:\n    return N\n", "text", names={"N": 40})
    assert unit.programs["p"].names["N"] == 40


def test_magics_are_passed_over_and_lines_keep_their_numbers():
    text = "%load_ext singlab.sing\n!ls -l\n%%time\n  %timeit x = 1\n@sip\ndef p() -> u64:\n    return 7\n"
    unit = programs_from_source(text, "text")
    assert unit.programs["p"].node.lineno == 6
    assert result(text) == 7


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("    return (n\n        % 7\n    )", 3),
        ("    return u64(n\n        != 10\n    )", 0),
        ('    print("""\n%d""")\n    return 1', 1),
    ],
)
def test_a_line_inside_brackets_or_text_is_no_magic(lines, expected):
    process = execute(f"@sip\ndef p(n: u64) -> u64:\n{lines}\n", n=10)
    assert process.exit_value == expected
    if "print" in lines:
        assert process.console == "\n%d\n"


def test_a_function_without_source_is_refused():
    names: dict = {}
    exec("def p(): pass", names)  # a function that stands in no file
    with pytest.raises(SipError, match="source") as caught:
        sip(names["p"])
    assert caught.value.hint


def test_a_mistake_of_the_compiler_is_told_at_its_statement(monkeypatch):
    def stumble(self, node):
        return node.nothing

    monkeypatch.setattr(FunctionLowering, "do_Pass", stumble)
    text = "@sip\ndef p(n: u64) -> u64:\n    while n > 3:\n        pass\n    return n\n"
    with pytest.raises(SipError, match="does not understand this statement") as caught:
        build(programs_from_source(text, "text").programs["p"])
    assert (caught.value.line, caught.value.column) == (4, 9) and "simpler" in caught.value.hint
    assert isinstance(caught.value.__cause__, AttributeError)
