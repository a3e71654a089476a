"""The optimiser on structs, tuples and lent blocks: random programs do the same with and without it."""

from __future__ import annotations

import pytest
from running import ISOLATIONS
from test_optimise import HELPERS, Vectors, behaviour

from singlab.sing import simplify

FIELDS = {"a": "u8", "b": "i32", "c": "u16", "d": "u64", "e": "i8"}
DECLARED = """
class Kind(Enum):
    DATA = 0
    ACK = 1
    NONE = 2

@exchange
class Packet:
    a: u8
    b: i32
    ok: bool
    c: u16
    d: u64
    what: Kind
    e: i8

@exchange
class Odd:
    a: u8
    b: i32
    c: u16
    ok: bool
    what: Kind
    d: u64
    e: i8

@function
def pair(a: u64, b: u64) -> tuple[u64, u64]:
    if a < b:
        return b, a
    return a + 1, b

@function
def look(v: Borrowed[ExVec[Packet]], i: u64) -> u64:
    t: u64 = 0
    for k in range(len(v)):
        t = t * 3 + u64(v[k].a) + v[k].d
    return t + u64(v[i & 7].c)

@function
def change(v: Borrowed[ExVec[Packet]], q: Borrowed[Packet], i: u64) -> tuple[bool, u64]:
    if i < len(v):
        q.d = v[i].d
        v[i].d += 1
        v[i].ok = not v[i].ok
        return True, q.d
    return False, i

@function
def swapped(q: Packet, r: Packet) -> tuple[Packet, Packet]:
    q.d, r.d = r.d + 1, q.d
    return r, q

@function
def spent(v: ExVec[Packet]) -> u64:
    t: u64 = 0
    for i in range(len(v)):
        t = t * 31 + u64(v[i].a) + u64(v[i].b) * 3 + u64(v[i].ok) * 5 + u64(v[i].c) * 7 + v[i].d * 11 + u64(v[i].what) * 13 + u64(v[i].e)
    free(v)
    return t
"""


class Structs(Vectors):
    """Makes random programs over a vector of structs, two structs and some vectors of integers."""

    def field(self) -> str:
        return self.random.choice(sorted(FIELDS))

    def place(self) -> str:
        return self.pick(f"s[{self.index('s')}]", f"s[{self.index('s')}]", "q", "r")

    def value(self, depth: int = 2) -> str:
        choice = self.random.random()
        if depth == 0 or choice > 0.3:
            return super().value(depth)
        if choice < 0.2:
            return f"u64({self.place()}.{self.pick(self.field(), self.field(), 'ok', 'what')})"
        if choice < 0.25:
            return f"pair({self.value(depth - 1)}, {self.value(depth - 1)})[{self.pick(0, 1)}]"
        return f"look(s, {self.value(depth - 1)})"

    def statement(self, depth: int, loop: bool) -> list[str]:
        choice = self.random.random()
        if choice > 0.35:
            return super().statement(depth, loop)
        if choice < 0.2:
            name = self.field()
            return [f"{self.place()}.{name} {self.pick('', '', '+', '^', '<<')}= {FIELDS[name]}({self.value()})"]
        return self.pick(
            [f"{self.place()}.ok = {self.condition()}"], [f"{self.place()}.what = Kind({self.value()} % {self.pick(3, 3, 3, 4)})"],
            [f"x, y = pair({self.value()}, y)"], [f"_, y = change(s, q, {self.value()})"], ["q, r = swapped(q, r)"], ["q, r = r, q"],
            ["w = copy(s)", "free(s)", "s = w"], [f"fill(v0, {self.vectors['v0']}({self.value()}))"],
            [f"match {self.place()}.what:", "    case Kind.ACK:", f"        x += {self.value()}", "    case _:", "        y ^= 5"],
        )  # fmt: skip

    def program(self) -> str:
        lines = [f"s = new(Packet, {self.size()})", "q = new(Packet)", "r = new(Packet)", "q.d = n"]
        lines += [f"{v} = new({t}, {self.size()})" for v, t in self.vectors.items()] + ["x: u64 = m", "y: u64 = 5"]
        for _ in range(self.random.randint(2, 5)):
            lines += self.statement(3, False)
        for vector in self.vectors:
            lines += [f"for i in range(len({vector})):", f"    x = x * 31 + u64({vector}[i])", f"free({vector})"]
        lines += ["x = x * 31 + spent(s) + q.d * 3 + r.d", "free(q)", "free(r)", "return x * 5 + y"]
        text = HELPERS + DECLARED + "@sip\ndef p(n: u64, m: u64) -> u64:\n" + "".join(f"    {line}\n" for line in lines)
        if self.random.random() < 0.5:  # elements of another size
            text = text.replace("class Packet", "class Unused").replace("class Odd", "class Packet")
        return text


@pytest.mark.parametrize("part", range(4))
def test_random_programs_over_structs_do_the_same_with_and_without(part):
    for seed in range(part * 25, part * 25 + 25):
        isolation, text = ISOLATIONS[seed % 2], Structs(seed).program()
        assert behaviour(text, True, isolation) == behaviour(text, False, isolation), f"seed {seed} {isolation}\n{text}"


def test_the_random_programs_fault_and_end_well():
    ends = [end for seed in range(60) for end in behaviour(Structs(seed).program(), False, "sip")]
    faults = {end[2][0] for end in ends if end[2]}
    assert {1, 12} <= faults and sum(end[0] == "exit" for end in ends) > 50
    assert all(set(end[4]) == {0} for end in ends if end[0] == "exit")


@pytest.mark.parametrize("wrong", [lambda type_: 8, lambda type_: 1], ids=["eight", "one"])
def test_a_wrong_size_of_elements_is_found_out(monkeypatch, wrong):
    monkeypatch.setattr(simplify, "bytes_of", wrong)
    assert any(behaviour(text, True, "sip") != behaviour(text, False, "sip") for text in (Structs(seed).program() for seed in range(60)))
