"""The code generator: what a program computes on the machine is what its text says, in both isolations.

Random programs come as pairs of a text and a Python function that computes what the text means with
integers that wrap; a division by zero is the fault it is on the machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import ISOLATIONS, MASK, WIDTHS, image, refusal, result, wrap

from singlab.kernel import System
from singlab.sing import programs_from_source
from singlab.sing.build import seal_module
from singlab.sing.sil import Block, Function, Instr, Module, Receive, Reg
from singlab.sing.types import INTS, U64, Endpoint
from singlab.sing.verifier import verify

TYPES = tuple(WIDTHS)
PARAMETERS = dict(zip("abcdefgh", TYPES))
ARITHMETIC = {
    "+": lambda x, y, bits: x + y, "-": lambda x, y, bits: x - y, "*": lambda x, y, bits: x * y,
    "//": lambda x, y, bits: x // y, "%": lambda x, y, bits: x % y, "&": lambda x, y, bits: x & y,
    "|": lambda x, y, bits: x | y, "^": lambda x, y, bits: x ^ y,
    "<<": lambda x, y, bits: x << y % bits, ">>": lambda x, y, bits: x >> y % bits,
}  # fmt: skip
SIGNS = {"-": lambda x: -x, "~": lambda x: ~x, "+": lambda x: x}
COMPARE = {
    "<": lambda x, y: x < y, "<=": lambda x, y: x <= y, "==": lambda x, y: x == y, "!=": lambda x, y: x != y,
    ">=": lambda x, y: x >= y, ">": lambda x, y: x > y,
}  # fmt: skip


@dataclass
class Source:
    """A piece of program: its text, and what it computes or does, given the variables' values."""

    text: str
    run: object


class Leave(Exception):
    """A break or continue under way in the oracle."""


def bounds(type_: str) -> tuple[int, int]:
    return INTS[type_].minimum, INTS[type_].maximum


class Writer:
    """Makes random programs over typed variables from a seeded generator."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.variables = dict(PARAMETERS)
        self.fixed: set[str] = set()
        self.depth = 0

    def number(self, type_: str) -> int:
        """Return a constant of a type: small, at an edge, or anything."""
        low, high = bounds(type_)
        pick = self.random.choice([self.random.randint(-3, 40), low, high, high // 2, self.random.randint(low, high), 2047, -2048, 2048])
        return min(max(pick, low), high)

    def value(self, type_: str, depth: int) -> Source:
        """Return an expression of a type."""
        choice = self.random.random()
        if depth <= 0 or choice < 0.15:
            names = [n for n, t in self.variables.items() if t == type_]
            if names and self.random.random() < 0.7:
                name = self.random.choice(names)
                return Source(name, lambda env: env[name])
            number = self.number(type_)
            return Source(f"{type_}({number})", lambda env: number)
        if choice < 0.27:
            other = self.random.choice(TYPES)
            inner = self.value(other, depth - 1)
            return Source(f"{type_}({inner.text})", lambda env: wrap(inner.run(env), type_))
        if choice < 0.37:
            sign, inner = self.random.choice("-~+"), self.value(type_, depth - 1)
            return Source(f"({sign}{inner.text})", lambda env: wrap(SIGNS[sign](inner.run(env)), type_))
        if choice < 0.45:
            test, yes, no = self.condition(depth - 1), self.value(type_, depth - 1), self.value(type_, depth - 1)
            return Source(f"({yes.text} if {test.text} else {no.text})", lambda env: yes.run(env) if test.run(env) else no.run(env))
        if choice < 0.5:
            test = self.condition(depth - 1)
            return Source(f"{type_}({test.text})", lambda env: int(test.run(env)))
        operation = self.random.choice(sorted(ARITHMETIC))
        left = self.value(type_, depth - 1)
        divides = operation in ("//", "%") and self.random.random() < 0.6
        if divides or self.random.random() < 0.3:  # a bare literal, which takes the other side's type
            number = (self.number(type_) or 3) if divides else self.number(type_)
            right = Source(f"({number})", lambda env: number)
        else:
            right = self.value(self.random.choice(TYPES) if operation in ("<<", ">>") else type_, depth - 1)
        bits = WIDTHS[type_][0]
        swap = self.random.random() < 0.2 and operation not in ("<<", ">>") and not divides
        a, b = (right, left) if swap else (left, right)
        return Source(f"({a.text} {operation} {b.text})", lambda env: wrap(ARITHMETIC[operation](a.run(env), b.run(env), bits), type_))

    def condition(self, depth: int) -> Source:
        """Return a bool expression."""
        choice = self.random.random()
        if depth > 0 and choice < 0.3:
            word, left, right = self.random.choice(["and", "or"]), self.condition(depth - 1), self.condition(depth - 1)
            both = (lambda env: left.run(env) and right.run(env)) if word == "and" else (lambda env: left.run(env) or right.run(env))
            return Source(f"({left.text} {word} {right.text})", both)
        if depth > 0 and choice < 0.4:
            inner = self.condition(depth - 1)
            return Source(f"(not {inner.text})", lambda env: not inner.run(env))
        type_, operation = self.random.choice(TYPES), self.random.choice(sorted(COMPARE))
        left, right = self.value(type_, depth - 1), self.value(type_, depth - 1)
        return Source(f"({left.text} {operation} {right.text})", lambda env: COMPARE[operation](left.run(env), right.run(env)))

    def statements(self, depth: int, loop: bool) -> Source:
        """Return some statements, one a line, indented from the left margin."""
        parts = [self.statement(depth, loop) for _ in range(self.random.randint(1, 4))]

        def run(env):
            for part in parts:
                part.run(env)

        return Source("\n".join(part.text for part in parts), run)

    def statement(self, depth: int, loop: bool) -> Source:
        choice = self.random.random()
        if depth > 0 and choice < 0.2:
            test, then, other = self.condition(2), self.statements(depth - 1, loop), self.statements(depth - 1, loop)
            return Source(f"if {test.text}:\n{indent(then.text)}\nelse:\n{indent(other.text)}",
                          lambda env: (then if test.run(env) else other).run(env))  # fmt: skip
        if depth > 0 and choice < 0.38:
            return self.loop(depth)
        if loop and choice < 0.46:
            word, test = self.random.choice(["break", "continue"]), self.condition(1)

            def leave(env):
                if test.run(env):
                    raise Leave(word)

            return Source(f"if {test.text}:\n    {word}", leave)
        name = self.random.choice([n for n in self.variables if n not in self.fixed])
        type_ = self.variables[name]
        value = self.value(type_, 3)
        return Source(f"{name} = {value.text}", lambda env: env.__setitem__(name, value.run(env)))

    def loop(self, depth: int) -> Source:
        """Return a for or while loop of at most twelve rounds."""
        self.depth += 1
        name, type_, rounds = f"i{self.depth}", self.random.choice(TYPES), self.random.randint(0, 12)
        self.variables[name] = type_
        self.fixed.add(name)
        body = self.statements(depth - 1, True)
        del self.variables[name]
        counted = self.random.random() < 0.5
        low, high = bounds(type_)
        start = self.random.choice([0, 1, high - 20, low]) if counted else 0

        def run(env):
            env[name] = start
            for round_ in range(rounds):
                env[name] = start + round_ if counted else round_ + 1
                try:
                    body.run(env)
                except Leave as leave:
                    if str(leave) == "break":
                        break

        if counted:
            head = f"for {name} in range({type_}({start}), {start + rounds}):"
            return Source(f"{head}\n{indent(body.text)}", run)
        return Source(f"{name}: {type_} = 0\nwhile {name} < {rounds}:\n    {name} += 1\n{indent(body.text)}", run)

    def program(self) -> tuple[str, object]:
        """Return a whole program and its oracle: the value it returns, or None for a division by zero."""
        local = {f"v{i}": self.random.choice(TYPES) for i in range(self.random.randint(0, 12))}
        first = {n: self.value(t, 1) for n, t in local.items()}
        self.variables |= local
        body = self.statements(3, False)
        lines = [f"{n}: {t} = {first[n].text}" for n, t in local.items()] + [body.text, "sum: u64 = 0"]
        mixed = [*local, *PARAMETERS]
        lines += [f"sum = sum * 31 + u64({n})" for n in mixed] + ["return sum"]
        signature = ", ".join(f"{n}: {t}" for n, t in PARAMETERS.items())
        text = f"@sip\ndef p({signature}) -> u64:\n" + indent("\n".join(lines)) + "\n"

        def oracle(arguments):
            env = dict(arguments)
            try:
                for name, source in first.items():
                    env[name] = source.run(env)
                body.run(env)
            except ZeroDivisionError:
                return None
            total = 0
            for name in mixed:
                total = total * 31 + env[name]
            return total & MASK

        return text, oracle


def indent(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_random_programs_compute_what_they_say(seed):
    writer = Writer(seed)
    text, oracle = writer.program()
    built = image(text)
    inputs = [{n: writer.number(t) for n, t in PARAMETERS.items()} for _ in range(6)]
    for isolation in ISOLATIONS:
        system = System(isolation=isolation, ram="2M")
        processes = [system.create(built, **arguments) for arguments in inputs]
        assert system.run(cycles=20_000_000).outcome == "finished", text
        for arguments, process in zip(inputs, processes):
            expected = oracle(arguments)
            assert process.end.value == expected, f"{text}\n{arguments} {isolation}"
            assert (process.fault and process.fault.code) == (2 if expected is None else None)


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("count", [10, 30, 120])
def test_many_live_variables(count, isolation):
    """Every variable is alive across a call and read afterwards, in another order: most of them are on the stack."""
    types = [TYPES[i % 8] for i in range(count)]
    lines = [f"v{i}: {t} = {t}(n * {i + 3} + {i})" for i, t in enumerate(types)]
    lines += ["print(n)"] + [f"v{i} = v{i} + {t}(v{(i * 7 + 1) % count})" for i, t in enumerate(types)]
    lines += ["t: u64 = 0", "for i in range(3):", *(f"    t = t * 3 + u64(v{i * 11 % count})" for i in range(count)), "return t"]
    values = [wrap(1000 * (i + 3) + i, t) for i, t in enumerate(types)]
    for i, t in enumerate(types):
        values[i] = wrap(values[i] + values[(i * 7 + 1) % count], t)
    total = 0
    for _ in range(3):
        for i in range(count):
            total = total * 3 + values[i * 11 % count]
    text = "@sip\ndef p(n: u64) -> u64:\n" + indent("\n".join(lines)) + "\n"
    assert result(text, isolation=isolation, n=1000) == total & MASK


def test_more_variables_than_a_frame_holds_are_refused():
    lines = [f"v{i} = n + {i}" for i in range(400)] + ["print(n)", "t: u64 = 0", *(f"t += v{i}" for i in range(400)), "return t"]
    error = refusal("@sip\ndef p(n: u64) -> u64:\n" + indent("\n".join(lines)) + "\n")
    assert (error.rule, error.line) == ("size", 2) and "function" in error.hint


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.permutations(range(8)), st.permutations(range(8)), st.sampled_from(ISOLATIONS))
def test_arguments_change_places_on_the_way_to_helpers(first, second, isolation):
    """Arguments travel through the registers they arrived in: any permutation must survive, and swaps in a loop."""
    names = "abcdefgh"
    digits = " + ".join(f"{n} * {10**i}" for i, n in enumerate(names))
    header = ", ".join(f"{n}: u64" for n in names)
    text = f"""
@function
def last({header}) -> u64:
    return {digits}
@function
def between({header}) -> u64:
    return last({", ".join(names[i] for i in second)})
@sip
def p({header}) -> u64:
    for i in range(3):
        t = a
        a = b
        b = c
        c = t
    x = between({", ".join(names[i] for i in first)})
    return x * 10 + a
"""
    inner = [first[second[i]] + 1 for i in range(8)]
    expected = sum(digit * 10**i for i, digit in enumerate(inner)) * 10 + 1
    assert result(text, isolation=isolation, **{n: i + 1 for i, n in enumerate(names)}) == expected


def test_branches_reach_over_long_bodies():
    lines = "".join(f"            t = t * 3 + {i}\n" for i in range(1200))
    text = f"""@sip
def p(n: u64) -> u64:
    t: u64 = 0
    for i in range(n):
        if i % 2 == 0:
{lines}        elif i > 2:
            break
        else:
{lines}            t += 1
    return t
"""
    assert len(image(text).code) > 16_000, "both halves are longer than a branch reaches"
    total = 0
    for round_ in range(3):
        for i in range(1200):
            total = total * 3 + i & MASK
        total += round_ % 2
    assert result(text, n=9) == total


def test_calls_nest_to_the_depth_of_the_stack_that_was_computed():
    """A chain of helpers with large frames: the stack begins with a page and grows where the chain is cut."""
    live = range(60)
    helper = """
@function
def f{i}(n: u64) -> u64:
{make}
    x = {call}
    return x{use}
"""
    make = indent("\n".join(f"v{k} = n * {k + 1}" for k in live))
    use = "".join(f" + v{k}" for k in live)
    text = "".join(helper.format(i=i, make=make, use=use, call=f"f{i + 1}(n + 1)" if i < 11 else "yielded(n)") for i in range(12))
    text += "@function\ndef yielded(n: u64) -> u64:\n    yield_()\n    return n\n@sip\ndef p() -> u64:\n    return f0(1)\n"
    expected = 12 + sum(n * sum(k + 1 for k in live) for n in range(1, 13))
    manifest = image(text).manifest
    assert sum(about.frame for about in manifest.functions) > 12 * 8 * 50 and manifest.stack_bytes <= 4096
    for isolation in ISOLATIONS:
        assert result(text, isolation=isolation) == expected


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_variable_one_case_overwrites_keeps_its_value_in_the_others(isolation):
    """SIL may take an argument straight into a register that another case still reads."""
    text = """
Two = contract("contract Two { in message A(ulong n); in message B(ulong n); state S: one { A? -> E; B? -> E; } state E: ; }")
@sip
def c(ch: Two.Imp):
    ch.send(Two.B(5))
"""
    contracts = programs_from_source(text).contracts
    ch, (x, y, n) = Reg(0, Endpoint("Two", "Exp"), "ch"), (Reg(i, U64) for i in (1, 2, 3))
    arms = Receive({"A": ((x,), "a"), "B": ((n,), "b")}, "b")
    blocks = [
        Block("start", [Instr("const", x, (), 123456789), Instr("cycles", y), Instr("const", n, (), 1 << 40),
                        Instr("mark", None, (y,)), Instr("receive", None, (ch,), arms)]),
        Block("a", [Instr("ret", None, (x,))]),
        Block("b", [Instr("add", x, (x, n)), Instr("ret", None, (x,))]),
    ]  # fmt: skip
    module = Module("p", {"p": Function("p", [ch], U64, blocks)}, "p", contracts)
    verify(module)
    system = System(isolation=isolation)
    server = system.create(seal_module(module, verified=True))
    client = system.create(image(text, "c"))
    system.connect(client["ch"], server["ch"])
    system.run()
    assert server.exit_value == 123456789 + 5
