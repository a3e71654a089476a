"""Borrowed parameters: the helper works on the block, the caller keeps it; nothing else can be done with it."""

from __future__ import annotations

import pytest
from oracle import python
from running import ISOLATIONS, module, refusal, result

from singlab.kernel import System
from singlab.sing import build, parse_sil, programs_from_source, verify

HELPERS = """
@exchange
class Pair:
    first: u64
    second: u8

@function
def total(v: Borrowed[ExVec[u8]]) -> u64:
    t: u64 = 0
    for x in v:
        t += x
    return t

@function
def put(v: Borrowed[ExVec[u8]], i: u64, x: u8):
    v[i] = x

@function
def both(v: Borrowed[ExVec[u8]], w: Borrowed[ExVec[u8]]) -> u64:
    v[0] = 9
    return total(v) * 100 + total(w)

@function
def first(p: Borrowed[Pair]) -> u64:
    p.first += 1
    q = p
    q.second += 2
    return q.first

@function
def joined(v: Borrowed[ExVec[u8]], w: ExVec[u8]) -> ExVec[u8]:
    r = new(u8, len(v) + len(w))
    for i in range(len(v)):
        r[i] = v[i]
    for i in range(len(w)):
        r[len(v) + i] = w[i]
    free(w)
    return r

@function
def replaced(v: Borrowed[ExVec[u8]]) -> u64:
    t = len(v)
    v = new(u8, 3)
    v[0] = u8(t)
    t += total(v)
    free(v)
    return t

@function
def sums(v: Borrowed[ExVec[Pair]]) -> tuple[u64, u64]:
    a: u64 = 0
    b: u64 = 0
    for i in range(len(v)):
        a += v[i].first
        b += v[i].second
        v[i].second = 1
    return a, b
"""
BODIES = {
    "read and write": "v = new(u8, 10)\nfor i in range(n):\n    put(v, i, u8(i * 3))\nt = total(v) + total(v)\nfree(v)\nreturn t",
    "two": "v = new(u8, 2)\nw = new(u8, 3)\nput(w, 1, u8(n))\nt = both(v, w)\nfree(v)\nfree(w)\nreturn t",
    "one block twice": "v = new(u8, 2)\nput(v, 1, u8(n))\nt = both(v, v)\nfree(v)\nreturn t",
    "a struct": "p = new(Pair)\np.first = n\nt = first(p) + first(p) + p.second\nfree(p)\nreturn t",
    "one lent, one given": "v = new(u8, n + 1)\nw = new(u8, 2)\nput(v, n, 7)\nw[1] = 5\nw = joined(v, w)\nt = total(w) * 10 + len(w) + total(v)\nfree(v)\nfree(w)\nreturn t",
    "a parameter's name used again": "v = new(u8, n)\nt = replaced(v) + len(v)\nfree(v)\nreturn t",
    "several results": "v = new(Pair, n)\nfor i in range(n):\n    v[i].first = i\na, b = sums(v)\nc, d = sums(v)\nfree(v)\nreturn a + b * 10 + c * 100 + d * 1000",
    "copies": "v = new(u8, n)\nfor i in range(n):\n    v[i] = u8(i)\nw = copy(v)\nif n > 0:\n    w[0] = 50\nt = total(v) * 1000 + total(w)\nfree(v)\nfree(w)\nreturn t",
}  # fmt: skip


def program(body: str) -> str:
    lines = "\n".join("    " + line for line in body.splitlines())
    return f"{HELPERS}\n@sip\ndef p(n: u64) -> u64:\n{lines}\n"


@pytest.mark.parametrize("name", BODIES)
def test_lent_blocks_are_pythons(name):
    text = program(BODIES[name])
    read = parse_sil(str(module(text)))
    assert str(read) == str(module(text))
    verify(read)
    for optimiser in (True, False):
        system = System(ram="8M")
        built = build(programs_from_source(text).programs["p"], optimiser=optimiser)
        processes = [system.create(built, n=n) for n in range(10)]
        assert system.run().outcome == "finished"
        assert [p.exit_value for p in processes] == [python(text, n=n) for n in range(10)]
        assert all(set(p.holdings().values()) == {0} for p in processes)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_copy_and_fill(isolation):
    body = """p = new(Pair)
p.first = 7
q = copy(p)
q.first += 1
v = new(Pair, 3)
v[2].first = 100
w = copy(v)
w[2].first += 1
b = new(i16, n)
fill(b, -3)
c = copy(b)
fill(c, 5)
t: i64 = 0
for x in b:
    t += x
for x in c:
    t += x
r = p.first + q.first * 10 + v[2].first * 100 + w[2].first * 100000 + u64(t)
free(p)
free(q)
free(v)
free(w)
free(b)
free(c)
return r"""
    assert result(program(body), isolation=isolation, n=6) == 7 + 80 + 10000 + 10100000 + 12


# Bodies of ``def f(v: Borrowed[ExVec[u8]], ch: Talk.Imp) -> ...``: what cannot be done with a borrowed block.
TALK = '''
Talk = contract("""
contract Talk { in message Give(byte[]* in ExHeap v); out message Back(); state Start: Give? -> Back! -> Start; }
""")
'''


@pytest.mark.parametrize(("lines", "result_", "what"), [
    ("free(v)", "", "freed"), ("ch.send(Talk.Give(v))\nch.receive(Talk.Back)", "", "sent"), ("return v", " -> ExVec[u8]", "returned"),
    ("return 1, v", " -> tuple[u64, ExVec[u8]]", "returned"), ("taken(v)", "", "handed over"), ("w = v\nfree(w)", "", "freed"),
    ("t = (v, 1)\nfree(t[0])", "", "freed"), ("if len(v) > 3:\n    free(v)", "", "freed"),
])  # fmt: skip
def test_what_a_borrowed_block_cannot_be(lines, result_, what):
    body = "\n".join("    " + line for line in lines.splitlines())
    text = f"""{TALK}
@function
def taken(v: ExVec[u8]):
    free(v)

@function
def f(v: Borrowed[ExVec[u8]], ch: Talk.Imp){result_}:
{body}

@sip
def p(ch: Talk.Imp):
    v = new(u8, 4)
    f(v, ch)
    free(v)
"""
    error = refusal(text)
    assert error.rule == "owner.borrow" and f"cannot be {what}" in error.message and error.hint and error.reason


@pytest.mark.parametrize(("call", "rule", "message"), [
    ("joined(v, v)", "owner.borrow", "lent and handed over in one call"), ("total(new(u8, 3))", "owner.leak", "lent to total and lost"),
    ("total(joined(v, new(u8, 3)))", "owner.leak", "lost"), ("copy(new(u8, 3))", "owner.leak", "lost"),
])  # fmt: skip
def test_calls_that_lend_wrongly(call, rule, message):
    error = refusal(program(f"v = new(u8, 3)\nx = {call}\nreturn 0"))
    assert error.rule == rule and message in error.message


@pytest.mark.parametrize(("annotation", "message"), [("Borrowed[u64]", "u64 cannot be borrowed"), ("tuple[Borrowed[ExVec[u8]], u64]", "only a parameter")])
def test_what_cannot_be_borrowed(annotation, message):
    error = refusal(f"@function\ndef f(v: {annotation}):\n    pass\n@sip\ndef p() -> u64:\n    f(3)\n    return 0\n")
    assert error.rule == "types" and message in error.message and error.line == 2


@pytest.mark.parametrize("borrowed", [{0}, frozenset({1}), frozenset({-1}), frozenset({"x"}), frozenset({0.0}), None, 3, frozenset({7})])
def test_borrowing_what_is_no_block_is_malformed(borrowed):
    made = module(program("v = new(u8, 3)\nput(v, 0, 1)\nfree(v)\nreturn 0"))
    made.functions["put"].borrowed = borrowed
    assert verify(made, collect=True).findings[0].rule == "sil.malformed"
