"""Random programs over classes, arrays and text: what the compiled program does, Python does with the same text."""

from __future__ import annotations

import random

import pytest
from oracle_objects import run_as_python

from singlab.kernel import System
from singlab.sing import build, programs_from_source

CLASSES = '''
T = TypeVar("T")
@managed
class Node:
    value: u64
    left: "Node | None"
    right: "Node | None"
    def weight(self) -> u64:
        return self.value
    def shape(self) -> str:
        return "node " + str(self.value)
@managed
class Leaf(Node):
    extra: u64
    names: "Array[str]"
    def __init__(self, value: u64, name: str):
        self.value = value
        self.left = None
        self.right = None
        self.extra = value * 3 % 101
        self.names = array(str, 2, name)
    def weight(self) -> u64:
        return self.value + self.extra
@managed
class Deep(Leaf):
    def __init__(self, value: u64):
        super().__init__(value + 1, f"deep{value}")
        self.left = Node(value, None, self)
    def shape(self) -> str:
        return self.names[0] + "!" + self.names[1][1:3]
@function
def total(a: Array[T]) -> T:
    t: T = 0
    for x in a:
        t += x % 50
    return t
@function
def link(a: Node, b: "Node | None") -> Node:
    if a.left is None:
        a.left = b
    else:
        a.right = b
    return a
@function
def chain(a: "Node | None", most: u64) -> u64:
    n: u64 = 0
    x = a
    while x is not None and n < most:
        n += 1
        if isinstance(x, Leaf):
            n += x.extra % 3
        x = x.left
    return n
'''


class Objects:
    """Makes random programs over objects from a seed."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.nodes, self.maybe, self.texts, self.words = ["a", "b"], ["m", "k"], ["s", "t"], ["n", "x", "y"]
        self.depth = 0

    def pick(self, *choices):
        return self.random.choice(choices)

    def word(self) -> str:
        node, text = self.pick(*self.nodes), self.pick(*self.texts)
        return self.pick(self.pick(*self.words), self.pick(*self.words), str(self.random.randrange(20)), f"{node}.value", f"{node}.weight()",
                         f"len({text})", "total(small) % 40", "u64(total(big) % 40)", f"chain({self.node()}, 9)", "grid[1][2]",
                         f"small[{self.pick(*self.words)} % 9]" if self.random.random() < 0.9 else f"small[{self.pick(*self.words)}]")  # fmt: skip

    def node(self) -> str:
        """Return an expression of a node that is there, most of the time."""
        m = self.pick(*self.maybe)
        return self.pick(*self.nodes, *self.nodes, f"Node({self.pick(*self.words)}, {m}, None)", f"Leaf({self.pick(*self.words)}, {self.text()})",
                         f"Deep({self.pick(*self.words)})", f"link({self.pick(*self.nodes)}, {m})", "pool[x % 6]")  # fmt: skip

    def optional(self) -> str:
        return self.pick(self.node(), self.pick(*self.maybe), "None", f"{self.pick(*self.nodes)}.left", f"{self.pick(*self.nodes)}.right")

    def text(self) -> str:
        one, other = self.pick(*self.texts), self.pick(*self.texts)
        return self.pick(one, f'"{self.pick("", "q", "text", "zz")}"', f"({one} + {other})[:20]", f"str({self.pick(*self.words)})", f"{one}[1:]",
                         f"{one}[:{self.random.randrange(5)}]", f'f"<{{{self.pick(*self.words)}}}>"')  # fmt: skip

    def condition(self) -> str:
        m, node, text = self.pick(*self.maybe), self.pick(*self.nodes), self.pick(*self.texts)
        return self.pick(f"{m} is None", f"{m} is not None", f"isinstance({m}, Leaf)", f"isinstance({node}, Deep)", f"{m} is {node}",
                         f"{text} == {self.text()}", f"{text} < {self.text()}", f"{self.word()} > {self.word()}", f"{m} is not None and {m}.value > 3",
                         f"isinstance({m}, Leaf) and {m}.extra > 9", f"not isinstance({node}, Leaf) or {node}.extra > 9")  # fmt: skip

    def block(self, depth: int) -> list[str]:
        return ["    " + line for _ in range(self.random.randint(1, 3)) for line in self.statement(depth)]

    def statement(self, depth: int) -> list[str]:
        choice, m, node = self.random.random(), self.pick(*self.maybe), self.pick(*self.nodes)
        if depth and choice < 0.15:
            self.depth += 1
            name = f"i{self.depth}"
            self.words.append(name)
            body = self.block(depth - 1)
            self.words.remove(name)
            return [f"for {name} in range({self.random.randrange(1, 5)}):", *body]
        if depth and choice < 0.3:
            return [f"if {self.condition()}:", *self.block(depth - 1), "else:", *self.block(depth - 1)]
        if choice < 0.34:
            return [f"if isinstance({m}, Leaf):", f"    x = {m}.extra", f"    s = {m}.names[x % 2]", f"    {m}.names[y % 2] = {self.text()}"]
        if choice < 0.38:
            return [f"if {m} is not None:", f"    x = {m}.value", f"    {m}.right = {self.optional()}", f"    a = {m}"]
        if choice < 0.42:
            return [f"x = {m}.value"]
        if choice < 0.47:
            return [f"print({self.pick(*self.words)}, {node}.shape(), {self.pick(*self.texts)})"]
        if choice < 0.55:
            return [f"{self.pick(*self.texts)} = ({self.text()})[:30]"]
        if choice < 0.63:
            return [f"{node}.{self.pick('left', 'right')} = {self.optional()}"]
        if choice < 0.7:
            return [f"{node}.value {self.pick('', '+')}= ({self.word()}) % 90"]
        if choice < 0.76:
            return [f"small[{self.pick(*self.words)} % 9] = u8({self.pick(*self.words)} % 200)", f"big[x % 4] += i64({self.pick(*self.words)} % 30) - 15"]
        if choice < 0.82:
            return [f"pool[{self.pick(*self.words)} % 6] = {self.node()}", f"grid[x % 3][y % 5] = {self.pick(*self.words)}"]
        if choice < 0.87:
            return [f"{node} = {self.node()}"]
        if choice < 0.93:
            return [f"{m} = {self.optional()}"]
        return [f"{self.pick('x', 'y')} = ({self.word()} + {self.word()}) % 97"]

    def program(self) -> str:
        lines = ["x: u64 = n % 7", "y: u64 = 5", 's = "abcdef"', 't = "xyz"', "a: Node = Node(3, None, None)", "b: Node = Deep(4)",
                 "m: Node | None = None", "k: Node | None = b", "small = array(u8, 9, 3)", "big = array(i64, 4)", "pool = array(Node, 6, a)",
                 "grid = array(Array[u64], 3)", "for i in range(3):", "    grid[i] = array(u64, 5, i)"]  # fmt: skip
        for _ in range(self.random.randint(4, 14)):
            lines += self.statement(2)
        lines += ["for q in pool:", "    x = (x * 31 + q.weight()) % 1000003", "for c in s:", "    x = (x * 7 + ord(c)) % 1000003",
                  "print(s, t, a.shape(), b.shape())", "x = x + u64(total(big) % 1000) + u64(total(small)) + chain(k, 20)",
                  "return x * 100 + y"]  # fmt: skip
        return CLASSES + "@sip\ndef p(n: u64) -> u64:\n" + "".join(f"    {line}\n" for line in lines)


def behaviour(text: str, isolation: str, optimiser: bool) -> list[tuple]:
    """Return how a program ends for some arguments, and what it prints."""
    built = build(programs_from_source(text, "text").programs["p"], optimiser=optimiser)
    system = System(isolation=isolation, ram="8M", trace=False)
    processes = [system.create(built, n=n) for n in (2, 11)]
    assert system.run(cycles=400_000_000).outcome == "finished"
    found = []
    for process in processes:
        assert set(process.holdings().values()) == {0}
        ends = {1: "bounds", 2: "division", 20: "none", 23: "none"}
        assert process.fault is None or process.fault.code in ends, f"{process.fault}\n{text}"
        found.append((process.exit_value if process.fault is None else ends[process.fault.code], process.console))
    return found


def same(seed: int, isolation: str, optimiser: bool = True) -> tuple:
    text = Objects(seed).program()
    expected = [run_as_python(text, n) for n in (2, 11)]
    assert behaviour(text, isolation, optimiser) == expected, f"seed {seed}\n{text}"
    return tuple(type(e[0]) for e in expected)


@pytest.mark.parametrize(("isolation", "optimiser", "seeds"), [("sip", True, range(120)), ("ring3", True, range(120, 150)), ("sip", False, range(150, 190))])
def test_python_does_the_same(isolation, optimiser, seeds):
    ends = [kind for seed in seeds for kind in same(seed, isolation, optimiser)]
    assert ends.count(int) > len(ends) // 3 and str in ends, "programs of both kinds: those that end well and those that fault"
