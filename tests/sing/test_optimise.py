"""The optimiser: what a program does with it, it does without: same value, same output, same fault at the same line.

Random programs over vectors, loops, branches and helpers are run both ways. Deliberately wrong optimisers
must be found out by the same programs.
"""

from __future__ import annotations

import random
import shutil

import pytest
from running import ISOLATIONS, SERVER, TALK, execute, image, module

from singlab.bench.sing import ours, theirs
from singlab.bench.sing_programs import PROGRAMS, long_text
from singlab.kernel import InstallError, System
from singlab.sing import build, format_module, programs_from_source
from singlab.sing import optimise as optimiser
from singlab.sing.build import tree_shaking
from singlab.sing.flow import Flow
from singlab.sing.optimise import optimise
from singlab.sing.ranges import Ranges
from singlab.sing.simplify import Simplifier

HELPERS = """
@function
def mix(a: u64, b: u64) -> u64:
    if a > b:
        return a - b
    return b * 3 + a
@function
def total(v: ExVec[u32], k: u64) -> u64:
    t: u64 = k
    for i in range(len(v)):
        t = t * 7 + u64(v[i])
    free(v)
    return t
@function
def turned(v: ExVec[u32], k: u64) -> ExVec[u32]:
    if len(v) > 1:
        v[k % len(v)] = v[0]
    return v
"""
ELEMENTS = ("u8", "i16", "u32", "u64", "i64")
CONSTANTS = (0, 1, 2, 3, 7, 8, 12, 100, 2047, 2048, 70_000, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


class Vectors:
    """Makes random programs over vectors from a seed; some of them fault."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.depth = 0
        self.words = ["n", "m", "x", "y"]
        self.vectors = {f"v{i}": self.random.choice(ELEMENTS) for i in range(self.random.randint(1, 3))}

    def pick(self, *choices):
        return self.random.choice(choices)

    def size(self) -> str:
        return self.pick("8", "12", "n", "n + 1", "m % 9 + 4")

    def index(self, vector: str) -> str:
        word, other = self.random.choice(self.words), self.random.choice(self.words)
        if self.random.random() < 0.4:
            return self.pick(f"{word} & 3", f"({word} + {other}) % len({vector})", "2")
        return self.pick(word, word, f"{word} + 1", f"{word} - 1", f"{word} - {self.pick(1, 2, 3)}", f"{word} & 7", f"{word} % len({vector})",
                         f"{word} * 2 + {other}", f"{word} * 4", f"{self.pick(0, 3, 7, 8, 11)}", f"len({vector}) - 1", f"{word} + {other}",
                         f"{other} - {word}", f"{word} // 2")  # fmt: skip

    def value(self, depth: int = 2) -> str:
        if depth == 0 or self.random.random() < 0.3:
            return self.pick(self.random.choice(self.words), self.random.choice(self.words), f"u64({self.random.choice(CONSTANTS)})")
        if self.random.random() < 0.3:
            vector = self.random.choice(sorted(self.vectors))
            return f"u64({vector}[{self.index(vector)}])"
        left, right = self.value(depth - 1), self.value(depth - 1)
        if self.random.random() < 0.15:
            return f"mix({left}, {right})"
        if self.random.random() < 0.15:
            type_ = self.pick("u8", "i8", "u16", "i32", "u32")
            return f"u64({type_}({left}) {self.pick('+', '-', '*', '<<', '>>')} {type_}({right}))"
        return f"({left} {self.pick('+', '-', '*', '&', '|', '^', '<<', '>>', '//', '%')} {right})"

    def condition(self) -> str:
        vector = self.random.choice(sorted(self.vectors))
        left, right = self.random.choice(self.words), self.pick("0", "1", "7", f"len({vector})", self.value(1))
        one = f"{left} {self.pick('<', '<=', '>', '>=', '==', '!=')} {right}"
        return one if self.random.random() < 0.7 else f"{one} {self.pick('and', 'or')} {self.condition()}"

    def block(self, depth: int, loop: bool) -> list[str]:
        return ["    " + line for _ in range(self.random.randint(1, 3)) for line in self.statement(depth, loop)]

    def statement(self, depth: int, loop: bool) -> list[str]:
        choice = self.random.random()
        vector = self.random.choice(sorted(self.vectors))
        if depth and choice < 0.3:
            return self.loop(depth, vector)
        if depth and choice < 0.42:
            return [f"if {self.condition()}:", *self.block(depth - 1, loop), "else:", *self.block(depth - 1, loop)]
        if loop and choice < 0.47:
            return [f"if {self.condition()}:", f"    {self.pick('break', 'continue')}"]
        if choice < 0.5:
            return [f"print({self.random.choice(self.words)})"]
        if choice < 0.54 and self.vectors[vector] == "u32":
            return [f"{vector} = turned({vector}, x)"]
        if choice < 0.57:
            return [f"free({vector})", f"{vector} = new({self.vectors[vector]}, {self.size()})"]
        if choice < 0.78:
            return [f"{vector}[{self.index(vector)}] {self.pick('', '', '+', '^')}= {self.vectors[vector]}({self.value()})"]
        return [f"{self.pick('x', 'y')} = {self.value()}"]

    def loop(self, depth: int, vector: str) -> list[str]:
        self.depth += 1
        name = f"i{self.depth}"
        kind = self.random.randint(0, 4)
        if kind == 4:
            head = [f"{name} = u64({self.pick(3, 6, 12)})", f"while {name} > 0:", f"    {name} -= {self.pick(1, 1, 3)}"]
            head += [f"    if {name} > 20:", "        break"]
        else:
            bound = self.pick("8", "12", "n", f"len({vector})", "m % 13", f"len({vector}) + 1", "n + 1")
            head = [(f"for {name} in range({bound}):", f"for {name} in range({bound}):",
                     f"for {name} in range({self.pick(1, 2)}, {bound}):", f"for {name} in range(0, {bound}, {self.pick(1, 2, 3)}):")[kind]]  # fmt: skip
        self.words.append(name)
        body = self.block(depth - 1, True)
        self.words.remove(name)
        return head + body

    def program(self) -> str:
        lines = [f"{v} = new({t}, {self.size()})" for v, t in self.vectors.items()] + ["x: u64 = m", "y: u64 = 5"]
        for _ in range(self.random.randint(2, 5)):
            lines += self.statement(3, False)
        for vector, type_ in self.vectors.items():
            if type_ == "u32":
                lines.append(f"x = x * 31 + total({vector}, y)")
            else:
                lines += [f"for i in range(len({vector})):", f"    x = x * 31 + u64({vector}[i])", f"free({vector})"]
        lines.append("return x * 5 + y")
        return HELPERS + "@sip\ndef p(n: u64, m: u64) -> u64:\n" + "".join(f"    {line}\n" for line in lines)


def behaviour(text: str, optimised: bool, isolation: str) -> list[tuple]:
    """Return how a program ends on some arguments: value or fault with its line, and what it printed."""
    built = build(programs_from_source(text, "text").programs["p"], optimiser=optimised)
    system = System(isolation=isolation, ram="4M", trace=False)
    processes = [system.create(built, n=n, m=m) for n, m in ((2, 3), (8, 1), (12, 50), (9, (1 << 64) - 2))]
    system.run(cycles=30_000_000)
    return [
        (p.end.state, p.end.value, p.fault and (p.fault.code, p.fault.line), p.console, tuple(p.holdings().values())) for p in processes
    ]


def differs(seed: int, isolation: str = "sip") -> bool:
    text = Vectors(seed).program()
    return behaviour(text, True, isolation) != behaviour(text, False, isolation)


@pytest.mark.parametrize("part", range(8))
def test_random_programs_do_the_same_with_and_without(part):
    for seed in range(part * 60, part * 60 + 60):
        isolation = ISOLATIONS[seed % 2]
        text = Vectors(seed).program()
        assert behaviour(text, True, isolation) == behaviour(text, False, isolation), f"seed {seed} {isolation}\n{text}"


def test_the_random_programs_fault_and_end_well():
    ends = [end for seed in range(60) for end in behaviour(Vectors(seed).program(), False, "sip")]
    faults = {end[2][0] for end in ends if end[2]}
    assert {1, 2} <= faults and sum(end[0] == "exit" for end in ends) > 60


def always(self, index, size, label):
    return True


def off_by_one(self, index, size, label):
    return self.at(index, label)[1] <= self.at(size, label)[0]


def unforgetting(self, table, key, value):
    """Take what holds in one block for what holds everywhere."""
    table.setdefault(key, value)


def careless(self, op, type_, args, c, at):
    if op == "add" and c == 1:
        return args[0] if args[0].type == type_ else None
    return simple(self, op, type_, args, c, at)


simple = Simplifier.with_constant


@pytest.mark.parametrize(
    ("where", "name", "wrong"),
    [(Ranges, "below", always), (Ranges, "below", off_by_one), (Simplifier, "note", unforgetting), (Simplifier, "with_constant", careless)],
)
def test_a_wrong_optimiser_is_found_out(monkeypatch, where, name, wrong):
    monkeypatch.setattr(where, name, wrong)
    assert any(differs(seed) for seed in range(150))


def operations(text: str) -> list[str]:
    return [i.op for f in optimise(module(text)).functions.values() for b in f.blocks for i in b.instrs]


@pytest.mark.parametrize(
    "body",
    [
        "for i in range(len(v)):\n        v[i] = u8(i)",
        "for i in range(64):\n        v[i] = v[63 - i]",
        "for i in range(1, len(v)):\n        v[i] = v[i - 1]",
        "j: u64 = 63\n    while j > 0 and v[j - 1] > 3:\n        v[j] = v[j - 1]\n        j -= 1",
        "for i in range(8):\n        for j in range(8):\n            v[i * 8 + j] = u8(i)",
        "v[n & 63] = 1",
        "if n < len(v):\n        v[n] = 1",
    ],
)
def test_checks_that_cannot_fail_are_left_out(body):
    text = f"@sip\ndef p(n: u64):\n    v = new(u8, 64)\n    {body}\n    free(v)\n"
    assert "check" not in operations(text) and "poke" in operations(text)
    assert execute(text, n=5).end.state == "exit"


@pytest.mark.parametrize(
    "body",
    [
        "for i in range(len(v) + 1):\n        v[i] = 1",
        "for i in range(65):\n        v[i] = 1",
        "for i in range(len(v)):\n        v[i - 1] = 1",
        "for i in range(len(v)):\n        v[i + 1] = 1",
        "v[n & 64] = 1\n    v[64 + n] = 1",
        "if n <= len(v):\n        v[n + 59] = 1",
        "for i in range(8):\n        for j in range(8):\n            v[i * 9 + j] = 1",
    ],
)
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_checks_that_can_fail_stay_and_say_where(body, isolation):
    text = f"@sip\ndef p(n: u64):\n    v = new(u8, 64)\n    {body}\n    free(v)\n"
    assert "check" in operations(text)
    process = execute(text, isolation, n=5)
    assert (process.fault.code, process.fault.line) == (1, 4 + body.count("\n"))


def test_a_check_that_was_made_is_not_made_again():
    text = "@sip\ndef p(n: u64) -> u64:\n    v = new(u8, n)\n    v[n // 2] += 1\n    x = u64(v[n // 2])\n    free(v)\n    return x\n"
    assert operations(text).count("check") == 1


def test_size_and_address_of_a_vector_are_read_before_the_loop():
    text = TALK + "@sip\ndef p(ch: Talk.Imp, n: u64):\n    ch.send(Talk.Give(new(u8, 9)))\n    v = ch.receive(Talk.Back)\n" + (
        "    for i in range(n):\n        v[i] = 1\n    free(v)\n")  # fmt: skip
    function = optimise(module(text)).functions["p"]
    flow = Flow(function)
    inside = {label for body in flow.loops.values() for label in body}
    found = {i.op for label in inside for i in flow.blocks[label].instrs}
    assert "check" in found and not found & {"len", "base"}
    assert len(inside) == 1, "the test stands at the loop's end"


def test_a_vector_that_comes_back_is_another_one():
    """Size and address are of one vector; after it was sent, the register holds another."""
    text = (
        TALK
        + SERVER
        + """
@sip
def p(ch: Talk.Imp) -> u64:
    v = new(u8, 16)
    t: u64 = 0
    for i in range(3):
        v[i] = u8(i)
        ch.send(Talk.Give(v))
        v = ch.receive(Talk.Back)
        t = t * 100 + len(v) + u64(v[0])
        free(v)
        v = new(u8, 20 + i)
    free(v)
    ch.close()
    return t
"""
    )
    for isolation in ISOLATIONS:
        system = System(isolation=isolation)
        client, server = system.create(image(text)), system.create(image(text, "server"))
        system.connect(client["ch"], server["ch"])
        system.run()
        assert client.exit_value == (17 * 100 + 21) * 100 + 22


def test_small_functions_go_in_and_unreached_ones_stay_out():
    text = HELPERS + "@sip\ndef p(n: u64) -> u64:\n    if n > 5 and n < 3:\n        return mix(n, 2)\n    return mix(3, n) + mix(n, 7)\n"
    assert set(module(text).functions) == {"p", "mix"} and set(optimise(module(text)).functions) == {"p"}


def test_what_is_left_out_is_reported():
    text = HELPERS + "@sip\ndef p(n: u64) -> u64:\n    v = new(u32, 9)\n    return mix(n, 2) + total(v, 3)\n"
    program = programs_from_source(text).programs["p"]
    report = tree_shaking(program)
    assert report.functions == ("mix", "total", "turned")
    assert report.bytes_before > report.bytes_after == build(program).manifest.text_bytes


def test_the_module_itself_is_left_alone():
    subject = module(Vectors(7).program())
    before = format_module(subject)
    optimise(subject)
    assert format_module(subject) == before


def test_unchecked_images_are_refused_by_a_sealed_system():
    program = programs_from_source(
        "@sip\ndef p(n: u64) -> u64:\n    v = new(u8, 4)\n    x = u64(v[n])\n    free(v)\n    return x\n"
    ).programs["p"]
    unchecked = build(program, checks=False)
    assert not unchecked.manifest.verified and len(unchecked.code) < len(build(program).code)
    with pytest.raises(InstallError, match="not verified"):
        System().create(unchecked, n=1)
    system = System(allow_unverified=True)
    process = system.create(unchecked, n=2)
    system.run()
    assert process.exit_value == 0
    for wrong in ({"verify": False}, {"optimiser": False}):
        with pytest.raises(ValueError, match="checks=False needs"):
            build(program, checks=False, **wrong)


def test_what_is_not_verified_is_not_optimised(monkeypatch):
    monkeypatch.setattr(optimiser, "optimised", None)
    image("@sip\ndef p() -> u64:\n    return 1\n", verify=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_measured_programs_compute_what_c_computes(name, tmp_path):
    results = {ours(name, checks)[1] for checks in (True, False)}
    assert len(results) == 1
    if shutil.which("riscv64-unknown-elf-gcc") is not None:
        assert results == {theirs(tmp_path, name)[1]}


def test_the_long_text_is_as_long_as_it_says_and_runs():
    assert abs(long_text(2500).count("\n") - 2500) < 250
    assert behaviour_of_long(True) == behaviour_of_long(False)


def behaviour_of_long(optimised: bool) -> int:
    built = build(programs_from_source(long_text(400), "text").programs["p"], optimiser=optimised)
    system = System(trace=False)
    process = system.create(built, n=77)
    system.run()
    return process.exit_value
