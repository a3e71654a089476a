"""Random programs with exceptions in them, and what Python itself makes of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

HEADER = """
class Full(Exception):
    pass

class VeryFull(Full):
    \"\"\"More than full.\"\"\"

class Late(LookupError): pass
"""

CLASSES = ["Full", "VeryFull", "Late", "ValueError", "IndexError", "ZeroDivisionError", "AssertionError", "LookupError", "KeyError",
           "ArithmeticError", "Exception"]  # fmt: skip


class Writer:
    """Writes a random program; it computes with small numbers, so that integers of 64 bits are as good as Python's."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.count = 0

    def program(self) -> str:
        self.lines = HEADER.splitlines()
        self.helpers: list[str] = []
        for index in range(self.random.randint(0, 3)):
            name = f"f{index}"
            self.lines += ["", "@function", f"def {name}(n: u64) -> u64:", "    t: u64 = n", "    i: u64 = n"]
            self.function(1, index == 0 and self.random.random() < 0.5)
            self.helpers.append(name)
        self.lines += ["", "@sip", "def p(n: u64) -> u64:", "    t: u64 = 1", "    i: u64 = n"]
        self.function(1, True)
        return "\n".join(self.lines) + "\n"

    def function(self, depth: int, vector: bool) -> None:
        """Write a function's body; a vector is owned throughout and given back on every way out."""
        self.vector = vector
        if vector:
            self.say(depth, f"v = new(u8, {self.random.randint(1, 4)})")
            self.say(depth, "try:")
            self.block(depth + 1, 3, False, False)
            self.say(depth, "finally:")
            self.say(depth + 1, "free(v)")
        else:
            self.block(depth, 3, False, False)
        self.say(depth, "return t")

    def say(self, depth: int, line: str) -> None:
        self.lines.append("    " * depth + line)

    def block(self, depth: int, budget: int, loop: bool, handler: bool) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.statement(depth, budget, loop, handler)

    def statement(self, depth: int, budget: int, loop: bool, handler: bool) -> None:
        chance = self.random
        kind = chance.choice(["add", "add", "check", "check", "raise", "leave", "if", "if", "loop", "try", "try", "try", "call"])
        if budget <= 0 and kind in ("if", "loop", "try"):
            kind = "check"
        self.count += 1
        if kind == "add":
            self.say(depth, f"t = (t * 31 + {self.count}) & 0xFFFFFF")
        elif kind == "check":
            self.say(depth, self.check())
        elif kind == "raise":
            self.say(depth, f"if {self.test()}:")
            self.say(depth + 1, self.thrown(handler))
        elif kind == "leave":
            self.say(depth, f"if {self.test()}:")
            self.say(depth + 1, chance.choice(["break", "continue", "return t"] if loop else ["return t", f"return t + {self.check_value()}"]))
        elif kind == "if":
            self.say(depth, f"if {self.test()}:")
            self.block(depth + 1, budget - 1, loop, handler)
            if chance.random() < 0.4:
                self.say(depth, "else:")
                self.block(depth + 1, budget - 1, loop, handler)
        elif kind == "loop":
            self.say(depth, f"for i in range({chance.randint(1, 3)}):")
            self.block(depth + 1, budget - 1, True, handler)
        elif kind == "call" and self.helpers:
            self.say(depth, f"t = (t + {chance.choice(self.helpers)}({chance.choice(['i', 'n', 't & 3', '0'])})) & 0xFFFFFF")
        elif kind == "try":
            self.attempt(depth, budget - 1, loop, handler)
        else:
            self.say(depth, "t += 1")

    def check_value(self) -> str:
        options = ["7 // i", "(t & 7) % (n & 3)", "100 // (i - i + (t & 1))"]
        if self.vector:
            options += ["v[i]", "v[t & 3]", "v[n]"]
        return self.random.choice(options)

    def check(self) -> str:
        options = [f"t = (t + {self.check_value()}) & 0xFFFFFF"] * 3 + [f"assert {self.test()}"]
        if self.vector:
            options += ["v[i] = u8(t & 255)", "v[t & 3] += 1"]
        return self.random.choice(options)

    def test(self) -> str:
        return self.random.choice(["t & 1 == 1", "i == 0", "i != 2", "n > 1", "t % 3 == 0", "n == i", "True"])

    def thrown(self, handler: bool) -> str:
        name = self.random.choice(CLASSES)
        return self.random.choice([f"raise {name}", f"raise {name}()", f'raise {name}("text {self.random.randint(0, 2)}")', *(["raise", "raise"] * handler)])

    def attempt(self, depth: int, budget: int, loop: bool, handler: bool) -> None:
        chance = self.random
        self.say(depth, "try:")
        self.block(depth + 1, budget, loop, handler)
        clauses = chance.randint(0, 3)
        for index in range(clauses):
            names = chance.sample(CLASSES, chance.choice([1, 1, 2]))
            one = names[0] if len(names) == 1 else f"({', '.join(names)})"
            bare = index == clauses - 1 and chance.random() < 0.3
            named = not bare and chance.random() < 0.3
            self.say(depth, "except:" if bare else f"except {one}{' as e' if named else ''}:")
            self.block(depth + 1, budget, loop, True)
            if named and chance.random() < 0.5:
                self.say(depth + 1, f"if {self.test()}:")
                self.say(depth + 2, "raise e")
        if clauses and chance.random() < 0.3:
            self.say(depth, "else:")
            self.block(depth + 1, budget, loop, handler)
        if not clauses or chance.random() < 0.4:
            self.say(depth, "finally:")
            self.block(depth + 1, budget - 1, loop, False)


@dataclass(frozen=True)
class Answer:
    """What became of a run: a value, or an exception's class, text and line."""

    value: int | None = None
    name: str = ""
    text: str = ""
    line: int = 0


def python_says(text: str, n: int) -> Answer:
    """Run a program as Python."""
    names = {"sip": lambda f: f, "function": lambda f: f, "u64": int, "u8": int, "new": lambda _, count: [0] * count, "free": lambda v: None}
    exec(compile(text, "program", "exec"), names)
    try:
        return Answer(names["p"](n))
    except Exception as error:
        trace = error.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        return Answer(None, type(error).__name__, str(error.args[0]) if error.args else "", trace.tb_lineno)
