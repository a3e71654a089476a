"""Tuples: several values at once, through variables and out of helpers, as Python has them."""

from __future__ import annotations

import pytest
from oracle import python
from running import ISOLATIONS, module, result

from singlab.kernel import System
from singlab.sing import build, parse_sil, programs_from_source, verify

HELPERS = """
@function
def both(a: u64, b: u64) -> tuple[u64, u64]:
    return a // (b + 1), a % (b + 1)

@function
def nested(a: u64) -> tuple[bool, tuple[u8, u64], i32]:
    if a > 5:
        return True, (3, a), -4
    t = (False, (u8(9), a), i32(4))
    return t

@function
def product(t: tuple[u64, u64], k: u64) -> u64:
    return t[0] * t[1] + k

@function
def swapped(t: tuple[u64, u64]) -> tuple[u64, u64]:
    t = (t[1], t[0])
    return t

@function
def eight(n: u64) -> tuple[u64, u64, u64, u64, u64, u64, u64, u64]:
    t: u64 = 0
    for i in range(n):
        t += i * i
        if t > 1000:
            return t, 1, 2, 3, 4, 5, 6, 7
    return t, t + 1, t + 2, t + 3, t + 4, t + 5, t + 6, t + 7

@function
def filled(n: u64) -> tuple[ExVec[u8], u64]:
    v = new(u8, n + 1)
    for i in range(n):
        v[i] = u8(i)
    return v, n * 2

@function
def two(n: u64) -> tuple[ExVec[u8], ExVec[u8]]:
    v, _ = filled(n)
    w, _ = filled(n + 1)
    return w, v
"""
BODIES = {
    "unpacked": "q, r = both(n, 2)\nreturn q * 100 + r",
    "indexed": "t = both(n, 2)\nreturn t[0] * 100 + t[-1]",
    "directly": "return both(n, 2)[1] * 3 + (n, n + 7)[1]",
    "nested": "ok, pair, k = nested(n)\nx, y = pair\nreturn u64(ok) * 1000 + u64(x) * 100 + y + u64(k + 4)",
    "nested index": "t = nested(n)\nreturn t[1][1] + u64(t[1][0])",
    "as an argument": "return product((n, n + 1), 5) + product(both(n, 3), 1)",
    "swap in place": "t = (n, n + 1)\nt = (t[1], t[0])\nu = swapped(t)\nreturn t[0] * 100 + u[0] * 10 + product(swapped(u), 0)",
    "a copy stays": "t = (n, n + 1)\nu = t\nt = (u64(0), u64(0))\nreturn u[0] * 100 + u[1] + t[0]",
    "either": "t = (n, u64(1)) if n > 4 else both(n, 1)\nreturn t[0] * 10 + t[1]",
    "round a loop": "t = (u64(0), u64(1))\nfor i in range(n):\n    t = (t[1], t[0] + t[1])\nreturn t[0]",
    "annotated": "t: tuple[u64, tuple[u8, bool]] = (n, (1, True))\nreturn t[0] + u64(t[1][0]) + u64(t[1][1])",
    "eight results": "a, b, c, d, e, f, g, h = eight(n)\nreturn a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8",
    "some results": "a, _, c, _, _, _, g, _ = eight(n)\nreturn a + c * 3 + g * 7",
    "blocks among results": "v, m = filled(n)\nw, x = two(n)\nt = u64(v[n]) + m + len(w) * 100 + len(x) * 10\nfree(v)\nfree(w)\nfree(x)\nreturn t",
    "elements change places": "v, _ = filled(9)\nfor i in range(n):\n    v[i], v[8 - i] = v[8 - i], v[i]\nv[0], t, v[1] = 200, n, 7\n"
                              "for x in v:\n    t = t * 3 + x\nfree(v)\nreturn t",
    "results into elements": "v = new(u64, 3)\nv[0], v[n % 2 + 1] = both(n, 2)\nt = v[0] * 100 + v[1] * 10 + v[2]\nfree(v)\nreturn t",
    "a block in a tuple": "v, m = filled(n)\nt = (m, v)\nk = len(t[1])\nfree(t[1])\nreturn k + t[0]",
}  # fmt: skip


def program(body: str) -> str:
    lines = "\n".join("    " + line for line in body.splitlines())
    return f"{HELPERS}\n@sip\ndef p(n: u64) -> u64:\n{lines}\n"


@pytest.mark.parametrize("name", BODIES)
def test_tuples_are_pythons(name):
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
def test_results_under_register_pressure(isolation):
    """More values alive than registers: results arrive in places on the stack too."""
    names = [f"x{i}" for i in range(24)]
    body = "\n".join(f"{a}, {b}, *_".replace(", *_", "") + f" = both(n + {i}, {i})" for i, (a, b) in enumerate(zip(names[::2], names[1::2])))
    body += "\na, b, c, d, e, f, g, h = eight(n)\n" + "return " + " + ".join(f"{x} * {i + 1}" for i, x in enumerate([*names, *"abcdefgh"]))
    text = program(body)
    assert result(text, isolation=isolation, n=9) == python(text, n=9)
