"""The SIP language: what each construct does when it runs, and how what it lacks is refused."""

from __future__ import annotations

import operator

import pytest
from running import ISOLATIONS, MASK, SERVER, TALK, WIDTHS, execute, image, result, wrap

from singlab.kernel import System
from singlab.sing import SipError, build, function, mark, new, programs_from_source, sip, u8, u64
from singlab.trace.record import Kind

OPERATIONS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod,
    "&": operator.and_, "|": operator.or_, "^": operator.xor, "<<": operator.lshift, ">>": operator.rshift,
}  # fmt: skip


def edges(type_: str) -> list[int]:
    """Return the values at which a type's arithmetic goes wrong if it does."""
    bits, signed = WIDTHS[type_]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return sorted({low, low + 1, 0, 1, 2, 7, high // 3, high - 1, high} | ({-1, -7} if signed else set()))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("type_", WIDTHS)
def test_arithmetic_of_every_width(type_, operation):
    """Python's own result, wrapped to the width; shifts take their count modulo the width; x // 0 is a fault."""
    text = f"@sip\ndef p(a: {type_}, b: {type_}) -> {type_}:\n    return a {operation} b\n"
    built, system = image(text), System(ram="8M")
    pairs = [(a, b) for a in edges(type_) for b in edges(type_)]
    processes = [system.create(built, a=a, b=b) for a, b in pairs]
    assert system.run().outcome == "finished"
    for (a, b), process in zip(pairs, processes):
        if operation in ("//", "%") and b == 0:
            assert (process.fault.code, process.fault.line) == (2, 3)
            continue
        count = b % WIDTHS[type_][0] if operation in ("<<", ">>") else b
        assert process.end.value & MASK == wrap(OPERATIONS[operation](a, count), type_) & MASK, f"{a} {operation} {b}"


@pytest.mark.parametrize("type_", WIDTHS)
def test_comparisons_negation_and_casts_of_every_width(type_):
    narrower = "".join(f"    t = t * 31 + u64({w}(a))\n" for w in WIDTHS)
    text = f"""@sip
def p(a: {type_}, b: {type_}) -> u64:
    t: u64 = 0
    for c in range(1):
        t = t * 2 + u64(a < b)
        t = t * 2 + u64(a <= b)
        t = t * 2 + u64(a == b)
        t = t * 2 + u64(a != b)
        t = t * 2 + u64(a >= b)
        t = t * 2 + u64(a > b)
    t = t * 31 + u64(-a)
    t = t * 31 + u64(~b)
{narrower}    return t
"""
    built, system = image(text), System(ram="8M")
    pairs = [(a, b) for a in edges(type_) for b in edges(type_)]
    processes = [system.create(built, a=a, b=b) for a, b in pairs]
    assert system.run().outcome == "finished"
    for (a, b), process in zip(pairs, processes):
        total = 0
        for holds in (a < b, a <= b, a == b, a != b, a >= b, a > b):
            total = total * 2 + holds
        for value in (wrap(-a, type_), wrap(~b, type_), *(wrap(a, w) for w in WIDTHS)):
            total = total * 31 + value
        assert process.end.value & MASK == total & MASK


# Each body is that of ``def p(n: u64) -> u64``, run with n = 10.
BODIES = {
    "if": ("if n > 10:\n    return 1\nelif n == 10:\n    return 2\nelse:\n    return 3", 2),
    "if without else": ("t: u64 = 5\nif n < 10:\n    t = 6\nreturn t", 5),
    "while": ("t: u64 = 0\nwhile n > 0:\n    t += n\n    n -= 1\nreturn t", 55),
    "while True": ("while True:\n    if n == 100:\n        return n\n    n += 1", 100),
    "break": ("t: u64 = 0\nwhile True:\n    if t * t > n:\n        break\n    t += 1\nreturn t", 4),
    "continue": ("t: u64 = 0\nfor i in range(n):\n    if i % 3 == 0:\n        continue\n    t += i\nreturn t", 27),
    "break of the inner loop": (
        "t: u64 = 0\nfor i in range(n):\n    for j in range(n):\n        if j > i:\n            break\n        t += 1\nreturn t", 55,
    ),
    "range of two": ("t: u64 = 0\nfor i in range(3, n):\n    t = t * 10 + i\nreturn t", 3456789),
    "range of three": ("t: u64 = 0\nfor i in range(1, n, 4):\n    t = t * 10 + i\nreturn t", 159),
    "range downwards": ("t: u64 = 0\nfor i in range(i64(n), 0, -3):\n    t = t * 100 + u64(i)\nreturn t", 10070401),
    "empty range": ("for i in range(n, 3):\n    return 1\nreturn 2", 2),
    "range keeps its end": ("t: u64 = 0\nfor i in range(n):\n    n = 3\n    t += 1\nreturn t", 10),
    "range variable assigned": ("t: u64 = 0\nfor i in range(n):\n    i += 5\n    t += i\nreturn t", 95),
    "range variable afterwards": ("i: u64 = 77\nfor i in range(n):\n    pass\nreturn i", 9),
    "chained comparison": ("return u64(3 < n <= 10) * 2 + u64(3 < n < 10)", 2),
    "and or not": ("return u64(n > 3 and not n > 10 or n == 77)", 1),
    "short circuit and": ("return u64(n != 10 and 1 // (n - 10) == 0)", 0),
    "short circuit or": ("return u64(n == 10 or 1 // (n - 10) == 0)", 1),
    "bool variables": ("a = n > 3\nb = not a\nreturn u64(a) * 2 + u64(b) + u64(a ^ b) * 4 + u64(a != True) * 8", 6),
    "conditional expression": ("return n if n > 20 else n * 3", 30),
    "literals take their type": ("a: u8 = 200\nreturn u64(a + 100)", 44),
    "widening": ("a: u8 = 200\nb: u32 = a\nreturn n + a + b", 410),
    "augmented": ("t: u64 = 100\nt += 7\nt -= 1\nt *= 3\nt //= 2\nt %= 100\nt <<= 2\nt >>= 1\nt |= 1\nt &= 0xFF\nt ^= 2\nreturn t",
                  (((((100 + 7 - 1) * 3 // 2) % 100) << 2 >> 1) | 1) & 0xFF ^ 2),
    "annotation as text": ('t: "u32" = 7\nreturn u64(t)', 7),
    "docstring and pass": ('"""What it does."""\npass\nreturn 1', 1),
    "constants": ("return LIMIT * 2 - NEGATIVE", 2007),
    "helper": ("return twice(twice(n) + 1) + twice(1)", 44),
    "helper without result": ("note(n)\nreturn n", 10),
    "helper takes and gives blocks": ("v = filled(n)\nw = filled(3)\nreturn spent(v) * 100 + spent(w)", 4503),
    "vector": ("v = new(u16, n)\nv[n - 1] = 65535\nv[0] += 3\nt = u64(v[0]) + v[9] + v[5] + len(v)\nfree(v)\nreturn t", 65548),
    "signed index": ("v = new(u8, 3)\ni: i8 = 2\nv[i] = 9\nt = v[u8(2)]\nfree(v)\nreturn u64(t)", 9),
    "process id": ("return process_id()", 2),
    "clock rate": ("return cycles_per_second() // 1000000", 1800),
    "cycles go on": ("a = cycles()\nb = cycles()\nreturn u64(0 < a < b)", 1),
    "yield": ("yield_()\nreturn n", 10),
    "unary plus": ("return +n", 10),
    "two at once": ("a = n\nb: u64 = 3\na, b = b, a\na, b = a + 1, a + b\nreturn a * 100 + b", 413),
    "three at once": ("a, b, c = u64(1), u64(2), n\na, b, c = c, a, b\nreturn a * 100 + b * 10 + c", 1012),
    "two vectors change names": ("v, w = filled(n), filled(3)\nv, w = w, v\nt = len(v) * 100 + len(w)\nfree(v)\nfree(w)\nreturn t", 310),
    "one value for several": ("t: u64 = 0\na = b = n * n\nt += a\na = 1\nreturn t + a + b", 201),
    "elements of a vector": ("t: u64 = 0\nv = filled(n)\nfor x in v:\n    if x == 3:\n        continue\n    if x == 7:\n        break\n"
                             "    t = t * 10 + x\nfree(v)\nreturn t", 12456),
    "elements as they are now": ("t: u64 = 0\nv = filled(n)\nfor x in v:\n    v[n - 1] = 100\n    t += x\nfree(v)\nreturn t", 136),
    "elements of an empty vector": ("v = new(i8, 0)\nfor x in v:\n    mark(x)\nfree(v)\nreturn 5", 5),
    "assert": ("assert n == 10\nassert n > 3 and n < 11\nreturn n", 10),
}  # fmt: skip

HELPERS = """
LIMIT = 1000
NEGATIVE = -7

@function
def twice(x: u64) -> u64:
    return x * 2

@function
def note(x: u64):
    mark(x)

@function
def filled(count: u64) -> ExVec[u8]:
    v = new(u8, count)
    for i in range(count):
        v[i] = u8(i)
    return v

@function
def spent(v: ExVec[u8]) -> u64:
    total: u64 = 0
    for i in range(len(v)):
        total += v[i]
    free(v)
    return total
"""


def body(lines: str) -> str:
    """Return a text with these statements as the body of ``p``."""
    indented = "\n".join("    " + line for line in lines.splitlines())
    return f"{HELPERS}\n@sip\ndef p(n: u64) -> u64:\n{indented}\n"


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("case", BODIES)
def test_what_each_construct_does(case, isolation):
    lines, expected = BODIES[case]
    assert result(body(lines), isolation=isolation, n=10) == expected


@pytest.mark.parametrize("type_", WIDTHS)
def test_vector_elements_of_every_width(type_):
    text = f"""@sip
def p(a: {type_}) -> {type_}:
    v = new({type_}, 5)
    v[1] = ~a
    v[2] = a
    v[3] = ~a
    x = v[2]
    if v[1] != v[3] or v[0] != 0 or v[4] != 0:
        x = 99
    free(v)
    return x
"""
    for value in edges(type_):
        assert result(text, type_, a=value) == value


def test_match_takes_each_message_to_its_case():
    text = TALK + SERVER + """
@sip
def client(ch: Talk.Imp, n: u64) -> u64:
    ch.send(Talk.Ask(n))
    t = ch.receive(Talk.Answer)
    v = new(u8, 4)
    v[0] = 7
    ch.send(Talk.Give(v))
    match ch.receive():
        case Talk.Back(w):
            t = t * 100 + w[0]
            free(w)
        case ChannelClosed():
            t = 0
    ch.close()
    return t
"""
    for isolation in ISOLATIONS:
        system = System(isolation=isolation)
        client = system.create(image(text, "client"), n=41)
        server = system.create(image(text, "server"))
        system.connect(client["ch"], server["ch"])
        assert system.run().outcome == "finished"
        assert (client.exit_value, server.end.state) == (4208, "exit")


def test_several_arguments_are_unpacked():
    text = '''
Pair = contract("contract Pair { in message Two(int a, ulong b, bool c); state S: Two? -> E; state E: ; }")
@sip
def giver(ch: Pair.Imp):
    ch.send(Pair.Two(-5, 1 << 40, True))
@sip
def taker(ch: Pair.Exp) -> i64:
    a, b, c = ch.receive(Pair.Two)
    return i64(b) + a + i64(c)
'''
    system = System()
    giver, taker = system.create(image(text, "giver")), system.create(image(text, "taker"))
    system.connect(giver["ch"], taker["ch"])
    system.run()
    assert taker.exit_value == (1 << 40) - 4


def test_print_writes_as_python_does():
    text = '@sip\ndef p(a: i8, b: u64):\n    print("é", a, "x", b, a < 0)\n    print()\n    print(a)\n    print("end")\n'
    assert execute(text, a=-3, b=2**64 - 1).console == f"é -3 x {2**64 - 1} 1\n\n-3\nend\n"


def test_marks_are_in_the_trace():
    system = System()
    system.create(image("@sip\ndef p():\n    mark(7)\n    mark(1 << 63)\n"))
    events = system.run().trace.events
    assert [int(e["a"]) for e in events if e["kind"] == Kind.MARK] == [7, 1 << 63]


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    ("lines", "code", "line"),
    [
        ("v = new(u8, n)\nx = 1\nt = v[10]\nfree(v)\nreturn u64(t)", 1, 3),
        ("v = new(i64, n)\nv[10] = 1\nfree(v)\nreturn 0", 1, 2),
        ("v = new(u8, n)\ni: i64 = -1\nv[i] = 1\nfree(v)\nreturn 0", 1, 3),
        ("v = new(u8, 0)\nt = v[0]\nfree(v)\nreturn u64(t)", 1, 2),
        ("\nreturn n % (n - 10)", 2, 2),
        ("return n // 0", 2, 1),
        ("v = new(u8, 1 << 40)\nfree(v)\nreturn 0", 11, 1),
        ("v = new(u64, (1 << 61) + 1)\nfree(v)\nreturn 0", 11, 1),
        ("v = new(u8, i64(n) - 11)\nfree(v)\nreturn 0", 11, 1),
        ("v = new(u8, 16 << 20)\nfree(v)\nreturn 0", 5, 1),
        ("v = new(u8, 4)\nassert n > 3\nassert n > 10\nfree(v)\nreturn 0", 13, 3),
    ],
)
def test_failed_checks_end_the_process_with_code_and_line(lines, code, line, isolation):
    first = body("").count("\n")
    fault = execute(body(lines), isolation, n=10).fault
    assert (fault.code, fault.line) == (code, first + line - 1)


def test_a_range_ends_where_the_next_step_would_leave_its_type():
    """As in Python, range(0, 255, 2) has 128 numbers, of whatever width they are."""
    text = "@sip\ndef p(n: u8) -> u64:\n    t: u64 = 0\n    for i in range(u8(0), n, 2):\n        t += 1\n    return t\n"
    assert result(text, n=255) == 128


@pytest.mark.parametrize(
    ("line", "said", "left"),
    [
        ("x = u64(say(1) < say(2) < say(3))", "123", 1),
        ("x = u64(say(3) < say(2) < say(1))", "32", 0),
        ("x = say(1) + say(2) * say(3)", "123", 7),
        ("x = pair(say(1), pair(say(2), say(3)))", "123", 33),
        ("x = say(1) if say(0) > 0 else say(2)", "02", 2),
        ("for i in range(say(1), say(3)):\n        x += say(i)", "1312", 3),
        ("v[say(1)] = say(2)", "21", 200),
        ("v[say(1)] += say(2)", "12", 200),
        ("v[say(1)] *= 2", "1", 0),
        ("x = v[say(3)] + len(v)", "3", 4),
    ],
)
def test_everything_is_evaluated_once_and_in_the_order_of_python(line, said, left):
    text = f"""
@function
def say(x: u64) -> u64:
    print(x)
    return x
@function
def pair(x: u64, y: u64) -> u64:
    return x * 10 + y
@sip
def p() -> u64:
    v = new(u64, 4)
    x: u64 = 0
    {line}
    x += v[1] * 100
    free(v)
    return x
"""
    for isolation in ISOLATIONS:
        process = execute(text, isolation)
        assert (process.console.replace("\n", ""), process.exit_value) == (said, left)


def test_building_twice_gives_the_same_image():
    """Lowering leaves the syntax tree as it was."""
    lines = "    v = new(u64, 4)\n    v[len(v) - 1] += 3\n    x = 1 < len(v) < 9\n    free(v)\n"
    program = programs_from_source(f"@sip\ndef p():\n{lines}", "text").programs["p"]
    assert build(program).data == build(program).data


def test_a_negative_result_reads_as_negative():
    assert execute("@sip\ndef p(n: i16) -> i16:\n    return -n\n", n=5).exit_value == -5


# ---- programs captured from Python -----------------------------------------------------------------------------


@function
def _half(x: u64) -> u64:
    return x // 2


@sip
def _captured(n: u64) -> u64:
    v = new(u8, n)
    mark(len(v))
    v[0] = u8(_half(n))
    return v[0]  # the block is lost here


def test_a_decorated_function_is_source_and_is_never_called():
    with pytest.raises(SipError, match="ordinary Python"):
        _captured(3)
    with pytest.raises(SipError) as caught:
        build(_captured)
    error = caught.value
    assert error.rule == "owner.leak" and error.filename == __file__
    with open(__file__, encoding="utf-8") as file:
        assert file.read().splitlines()[error.line - 1] == error.source_line == "    return v[0]  # the block is lost here"
    with pytest.raises(SipError, match="helper, not a SIP"):
        build(_half)
    with pytest.raises(SipError, match="no SIP"):
        build(len)


def test_a_helper_may_have_another_name_where_it_is_used():
    text = "@sip\ndef p(n: u64) -> u64:\n    return other(n)\n"
    unit = programs_from_source(text, "text", names={"other": _half})
    system = System()
    process = system.create(build(unit.programs["p"]), n=10)
    system.run()
    assert process.exit_value == 5
