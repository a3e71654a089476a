"""Any text given as a program ends in a located refusal or a sealed image, never in an error from inside the compiler.

The texts are those of the faulty programs and of docs/language.md, with statements and expressions exchanged
among all of them and tokens dropped, doubled and swapped. What is built also runs, for a while.
"""

from __future__ import annotations

import ast
import copy
import random
import re
from functools import cache
from pathlib import Path

import pytest

from singlab.kernel import System
from singlab.kernel.manifest import InstallError
from singlab.kernel.startup import KernelError
from singlab.sing import SipError, build, programs_from_source
from singlab.sing.errors import NOT_UNDERSTOOD
from singlab.sing.program import Program

HERE = Path(__file__).resolve().parent


@cache
def corpus() -> tuple[str, ...]:
    """Return the texts that are mutated."""
    faulty = re.findall(r"^=== .*\n((?:.*\n)*?)--- expected$", (HERE / "faulty_programs.txt").read_text(encoding="utf-8"), re.MULTILINE)
    page = re.findall(r"^```python\n(.*?)^```", (HERE.parents[1] / "docs" / "language.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return tuple(text for text in (*faulty, *page * (len(faulty) // len(page))))


@cache
def material() -> tuple[list[ast.stmt], list[ast.expr]]:
    """Return all statements and expressions of the texts."""
    statements, expressions = [], []
    for text in corpus():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for function in (n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))):
            for node in ast.walk(function):
                if isinstance(node, ast.stmt):
                    statements.append(node)
                elif isinstance(node, ast.expr):
                    expressions.append(node)
    return statements, expressions


class Exchange(ast.NodeTransformer):
    """Put other statements and expressions in the place of some."""

    def __init__(self, random: random.Random, rate: float):
        self.random, self.rate = random, rate

    def generic_visit(self, node: ast.AST) -> ast.AST:
        node = super().generic_visit(node)
        if self.random.random() < self.rate:
            statements, expressions = material()
            if isinstance(node, ast.stmt) and not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                return copy.deepcopy(self.random.choice(statements))
            if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
                return copy.deepcopy(self.random.choice(expressions))
        return node


def exchanged(text: str, draw: random.Random) -> str:
    tree = Exchange(draw, draw.choice((0.003, 0.01, 0.05))).visit(ast.parse(text))
    return ast.unparse(ast.fix_missing_locations(tree))


def shuffled(text: str, draw: random.Random) -> str:
    """Drop, double or swap tokens."""
    tokens = re.findall(r"\w+|[ ]+|\n|[^\w\s]+", text)
    for _ in range(draw.randint(1, 3)):
        at, other = draw.randrange(len(tokens)), draw.randrange(len(tokens))
        kind = draw.randrange(3)
        if kind == 0:
            del tokens[at]
        elif kind == 1:
            tokens.insert(at, tokens[other])
        else:
            tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens)


def mutant(seed: int) -> str:
    """Return one text."""
    draw = random.Random(seed)
    text = draw.choice(corpus())
    try:
        return (exchanged if draw.random() < 0.7 else shuffled)(text, draw)
    except (SyntaxError, ValueError, RecursionError):
        return text[: draw.randrange(len(text))]


def judge(text: str) -> int:
    """Build and run what a text has; returns how many programs were built."""
    built = 0
    try:
        unit = programs_from_source(text, "cell")
    except SipError as error:
        assert str(error) and error.hint and error.message != NOT_UNDERSTOOD, text
        return 0
    for program in unit.programs.values():
        assert isinstance(program, Program)
        try:
            image = build(program)
        except SipError as error:
            assert error.rule and error.message and error.hint and not error.message.startswith(NOT_UNDERSTOOD), text
            assert error.line > 0 or error.rule in ("size", "recursion"), text
            continue
        built += 1
        system = System(ram="4M", trace=False)
        parameters = image.manifest.parameters
        if any(p.contract for p in parameters):
            continue
        try:
            system.create(image, **{p.name: 3 for p in parameters})
        except (InstallError, KernelError) as error:  # an extension that is not there, a device another image has
            assert str(error), text
            continue
        assert system.run(cycles=200_000).outcome in ("finished", "limit", "deadlock", "waiting", "suspended"), text
    return built


def judge_all(first: int, count: int) -> int:
    built = 0
    for seed in range(first, first + count):
        text = mutant(seed)
        try:
            built += judge(text)
        except Exception as error:
            error.add_note(f"seed {seed}:\n{text}")
            raise
    return built


@pytest.mark.parametrize("first", range(0, 1200, 300))
def test_any_text_is_refused_or_built(first):
    assert judge_all(first, 300) > 20


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 60_000, 5_000))
def test_any_of_many_texts_is_refused_or_built(first):
    assert judge_all(first, 5_000) > 300
