"""Enums and constants: as Python has them, checked where they come in, and a match that leaves nothing out."""

from __future__ import annotations

import enum
import types

import pytest
from oracle import python
from running import ISOLATIONS, execute, image, module, refusal, result

from singlab.kernel import InstallError, System
from singlab.sing import SipError, build, contract, function, parse_sil, programs_from_source, sip, u64, verify

DECLARED = """
class Colour(Enum):
    RED = 0
    GREEN = 1
    BLUE = 2

class Level(IntEnum):
    LOW = auto()
    MID = 7
    HIGH = auto()

class Sparse(Enum):
    A = -5
    B = 300
    C = B + 1

SIZE = 3 * 4 + 1
MASK = (1 << SIZE) - 1
LARGE = SIZE > 10 and not SIZE == 11
FIRST = Colour.GREEN
START = Level.MID.value
"""
# Bodies of ``def p(n: u64) -> u64``, Python's own answer is wanted for n from 0 to 9.
BODIES = {
    "compare": "c = Colour.RED if n < 5 else Colour.BLUE\nreturn u64(c == Colour.RED) + u64(c is Colour.BLUE) * 2 + u64(c != FIRST) * 4 + u64(c is not FIRST) * 8",
    "match": "t: u64 = 0\nfor i in range(n):\n    match after(Colour(i % 3)):\n        case Colour.RED:\n            t += 1\n"
             "        case Colour.GREEN | Colour.BLUE:\n            t = t * 3 + 1\nreturn t",
    "match with a rest": "match Colour(n % 3):\n    case Colour.GREEN:\n        return 5\n    case _:\n        return 6\nreturn 7",
    "match on a number": "match n * 2:\n    case 0 | 2:\n        return 1\n    case START:\n        return START\n    case other:\n        return other + 1\nreturn 0".replace("START", "8"),
    "match on a constant": "match n:\n    case Level.MID:\n        return 1\n    case 3:\n        return 2\n    case _:\n        pass\nreturn 3",
    "match on a bool": "match n > 4:\n    case True:\n        return 1\n    case False:\n        return 2\nreturn 0",
    "match inside": "t: u64 = 0\nfor i in range(n):\n    match i:\n        case 2:\n            continue\n        case 7:\n            break\n        case _:\n            t += i\nreturn t",
    "IntEnum counts": "level = Level.HIGH if n > 3 else Level.LOW\nreturn n + level + (level << 2) + u64(level < Level.MID) + u64(level >= n)",
    "members of all widths": "s = Sparse(i64(n) * 0 + 300)\nif n > 4:\n    s = Sparse.A\nreturn u64(i64(s.value) + 10) + u64(s == Sparse.A)",
    "value": "return u64(Colour(n % 3).value) + START",
    "constants": "t = n & MASK\nif LARGE:\n    t += SIZE\nreturn t + u64(LARGE)",
    "number of": "return u64(u8(Colour.BLUE)) + n",
}  # fmt: skip
AFTER = """
@function
def after(c: Colour) -> Colour:
    match c:
        case Colour.RED:
            return Colour.GREEN
        case Colour.GREEN:
            return Colour.BLUE
        case Colour.BLUE:
            return Colour.RED
"""


def program(body: str) -> str:
    lines = "\n".join("    " + line for line in body.splitlines())
    return f"{DECLARED}{AFTER}\n@sip\ndef p(n: u64) -> u64:\n{lines}\n"


@pytest.mark.parametrize("name", BODIES)
def test_enums_and_constants_are_pythons(name):
    text = program(BODIES[name])
    verify(parse_sil(str(module(text))))
    for optimiser in (True, False):
        system = System(ram="8M")
        built = build(programs_from_source(text).programs["p"], optimiser=optimiser)
        processes = [system.create(built, n=n) for n in range(10)]
        assert system.run().outcome == "finished"
        assert [p.exit_value for p in processes] == [python(text, n=n) for n in range(10)]


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(("made", "good"), [("Colour(n)", range(3)), ("Level(n)", (1, 7, 8)), ("Sparse(i16(n))", (-5, 300, 301))])
def test_a_number_that_is_no_member_is_a_fault(isolation, made, good):
    text = program(f"c = {made}\nreturn u64(c == c)")
    system, built = System(isolation=isolation, ram="8M"), image(text)
    numbers = [*range(10), 300, 301, 302, (1 << 64) - 5, (1 << 64) - 1]
    processes = [system.create(built, n=n) for n in numbers]
    system.run()
    for n, process in zip(numbers, processes):
        if (n - (1 << 64) if n >> 63 else n) in good:
            assert process.exit_value == 1
        else:
            assert (process.fault.code, process.fault.line) == (12, text[: text.index(made)].count("\n") + 1)


TALK = '''
Talk = contract("""
enum Colour { RED, GREEN = 5, BLUE }
contract Talk {
    in message Ask(Colour c);
    out message Answer(Colour c, bool found);
    state Start: Ask? -> Answer! -> Start;
}
""")
'''
BOTH = """
@sip
def server(ch: Talk.Exp):
    while True:
        match ch.receive():
            case Talk.Ask(c):
                match c:
                    case Colour.RED:
                        ch.send(Talk.Answer(Colour.GREEN, True))
                    case Talk.Colour.GREEN:
                        ch.send(Talk.Answer(Talk.Colour.BLUE, False))
                    case Colour.BLUE:
                        ch.send(Talk.Answer(c, True))
            case ChannelClosed():
                return

@sip
def p(ch: Talk.Imp) -> u64:
    ch.send(Talk.Ask(Colour.GREEN))
    c, found = ch.receive(Talk.Answer)
    return u64(c) * 10 + u64(found)
"""


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("names", ["Colour = Talk.Colour\n", "class Colour(Enum):\n    RED = 0\n    GREEN = 5\n    BLUE = 6\n"])
def test_enums_travel_in_messages(isolation, names):
    text = TALK + names + BOTH
    verify(parse_sil(str(module(text))))
    system = System(isolation=isolation, ram="2M")
    client, server = system.create(image(text)), system.create(image(text, "server"))
    system.connect(client["ch"], server["ch"])
    assert system.run().outcome == "finished"
    assert client.exit_value == 60


def test_what_a_peer_sends_is_checked():
    """SIL has numbers for members, so a peer compiled by nobody's front end may send any."""
    text = TALK + "Colour = Talk.Colour\n" + BOTH
    hostile = str(module(text)).replace("const 5", "const 7")
    from singlab.sing.build import seal_module

    hostile = parse_sil(hostile)
    verify(hostile)
    system = System(ram="2M")
    client, server = system.create(seal_module(hostile, True)), system.create(image(text, "server"))
    system.connect(client["ch"], server["ch"])
    system.run()
    assert server.fault.code == 12


def test_both_sides_have_the_same_members():
    one = TALK + "Colour = Talk.Colour\n" + BOTH
    other = one.replace("BLUE }", "BLUE = 9 }")
    system = System(ram="2M")
    with pytest.raises(InstallError, match="contract Talk"):
        client, server = system.create(image(one)), system.create(image(other, "server"))
        system.connect(client["ch"], server["ch"])


def test_a_class_that_differs_from_the_contracts_is_refused():
    error = refusal(TALK + "class Colour(Enum):\n    RED = 0\n    GREEN = 4\n" + BOTH)
    assert error.rule == "types" and "two different types named Colour" in error.message


class Colour(enum.Enum):
    RED = 0
    GREEN = 1


limits = types.ModuleType("limits")
limits.MOST, limits.Colour = 40, Colour


@function
def other_one(c: Colour) -> Colour:
    return limits.Colour.GREEN if c == Colour.RED else Colour.RED


@sip
def live() -> u64:
    if other_one(Colour.GREEN) is Colour.RED:
        return limits.MOST + 2
    return 0


def test_names_of_a_notebook_and_of_its_modules():
    system = System(ram="2M")
    process = system.create(build(live))
    system.run()
    assert process.exit_value == 42


def test_startup_arguments_are_checked():
    text = DECLARED + "@sip\ndef p(c: Colour) -> u64:\n    return u64(c)\n"
    assert result(text, c=2) == 2
    assert execute(text, c=3).fault.code == 12


@pytest.mark.parametrize(("declaration", "message"), [
    ("enum E { A, A }", "E.A stands twice"), ("enum E { A } enum E { B }", "type E is declared twice"),
    ("enum int { A }", "int is a type already"), ("enum E { A = -1, B = 0x8000000000000000 }", "no integer of 64 bits"),
])  # fmt: skip
def test_enums_of_contracts_are_checked(declaration, message):
    with pytest.raises(SipError) as refused:
        contract(declaration + " contract C { in message M(E e); out message N(); state S: M? -> N! -> S; }")
    assert message in refused.value.message and refused.value.line
