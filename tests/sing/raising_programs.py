"""Random programs in which objects, methods, text and memory raise exceptions, and what Python itself makes of them."""

from __future__ import annotations
import __future__

import contextlib
import io
import random

from oracle_objects import words
from python_oracle import Answer

HEADER = """
class Full(Exception): pass
class VeryFull(Full): pass

@managed
class Node:
    value: u64
    next: "Node | None"
    name: "str | None"

    def weigh(self, n: u64) -> u64:
        return self.value + n

    def after(self) -> "Node | None":
        return self.next

@managed
class Strict(Node):
    def weigh(self, n: u64) -> u64:
        assert self.value != n, "the same"
        if n == 2:
            raise VeryFull("two")
        return 12 // (self.value % 3) + self.next.value

@managed
class Odd(Strict):
    limit: u64

    def weigh(self, n: u64) -> u64:
        try:
            return super().weigh(n) + self.limit
        except Full as e:
            if n == self.limit:
                raise e
            return e.line

@function
def chain(n: u64) -> "Node | None":
    first: "Node | None" = None
    for i in range(n):
        first = Node(i, first, "n" + str(i))
    return first

@function
def deep(node: "Node | None", n: u64) -> u64:
    v = new(u8, 3)
    t: u64 = 0
    try:
        v[n] = 1
        t = node.after().weigh(n) + len(node.name)
    finally:
        free(v)
    return t
"""

CLASSES = ["AttributeError", "TypeError", "MemoryError", "Full", "VeryFull", "AssertionError", "IndexError", "LookupError", "ZeroDivisionError", "Exception",
           "(AttributeError, TypeError)", "(Full, MemoryError)"]  # fmt: skip


class Raising:
    """Makes a random program from a seed."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.depth = 0

    def program(self) -> str:
        lines = ["t: u64 = 0", "i: u64 = n", "a: Node = Strict(n, None, None)", "b: Node = Odd(n + 1, a, \"b\", 2)", "m: Node | None = chain(n)",
                 "s: str | None = None", "if n > 2:", '    s = "text"', "pool = array(Node, 4, a)"]  # fmt: skip
        for _ in range(self.random.randint(2, 5)):
            lines += self.statement(3)
        lines += ["print(t)", "return t"]
        return HEADER + "\n@sip\ndef p(n: u64) -> u64:\n" + "".join(f"    {line}\n" for line in lines)

    def value(self) -> str:
        pick = self.random.choice
        return pick(["m.value", "m.next.value", "len(s)", "a.weigh(i)", "b.weigh(i)", "b.weigh(2)", "deep(m, i)", "deep(chain(i), 1)", "pool[i].weigh(1)",
                     "a.after().value", "len(m.name)", "len(s + str(t))", "len(array(u64, 1 << 40))", "Odd(i, m, s, 2).weigh(i)", "7 // i", "b.weigh(i) + m.value"])

    def block(self, budget: int) -> list[str]:
        return ["    " + line for _ in range(self.random.randint(1, 2)) for line in self.statement(budget)]

    def statement(self, budget: int) -> list[str]:
        pick = self.random.choice
        kind = pick(["value", "value", "value", "assert", "raise", "if", "try", "try", "try", "loop", "change"]) if budget else pick(["value", "assert", "change"])
        if kind == "value":
            return [f"t = (t * 7 + {self.value()}) & 0xFFFF"]
        if kind == "assert":
            return [pick([f'assert {self.test()}, "says {self.random.randint(0, 2)}"', f"assert {self.test()}", "assert m is not None"])]
        if kind == "raise":
            return [f"if {self.test()}:", "    " + pick(["raise Full", 'raise VeryFull("very")', 'raise Full("full")'])]
        if kind == "if":
            return [f"if {self.test()}:", *self.block(budget - 1), "else:", *self.block(budget - 1)]
        if kind == "loop":
            return [f"for i in range({self.random.randint(1, 4)}):", *self.block(budget - 1)]
        if kind == "change":
            return [pick(["m = chain(i)", "m = None", 's = "x" + str(i)', "s = None", "a = b", "b = Odd(i, m, None, 1)"])]
        lines = ["try:", *self.block(budget - 1)]
        clauses = self.random.randint(0, 2)
        for _ in range(clauses):
            self.depth += 1
            name = f"e{self.depth}"
            lines += [f"except {pick(CLASSES)} as {name}:", f"    t += {name}.line", *self.block(budget - 1)]
            if self.random.random() < 0.3:
                lines += [f"    if {self.test()}:", f"        raise {name}"]
        if clauses and self.random.random() < 0.5:  # the words of a check are Python's own; those of Full and its like are the program's
            lines[-1:] = [lines[-1], "    t += 1"]
        if not clauses or self.random.random() < 0.3:
            lines += ["finally:", f"    t = (t + {self.random.randint(1, 9)}) & 0xFFFF"]
        if self.random.random() < 0.4:
            self.depth += 1
            lines = ["try:", *("    " + line for line in lines), f"except Full as e{self.depth}:", f'    print("full:", e{self.depth}, e{self.depth}.line)',
                     f'    t += len(f"<{{e{self.depth}}}>") + len(str(e{self.depth}))']  # fmt: skip
        return lines

    def test(self) -> str:
        return self.random.choice(["m is None", "m is not None", "s is not None", "i == 0", "t % 3 == 0", "n > 1", "i != 2", "s is not None and len(s) > 1"])


def line_of(error: BaseException) -> int:
    """Return the line an exception was raised on first."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_lineno


def python_says(text: str, n: int) -> tuple[Answer, str]:
    """Run a program as Python; returns how it ended and what it printed."""
    names = words()

    names |= {"new": lambda _, count: [0] * count, "free": lambda v: None, "_line_of": line_of}
    python = text
    for number in range(200, 0, -1):
        python = python.replace(f"e{number}.line", f"_line_of(e{number})")
    python = python.replace("e.line", "_line_of(e)").replace("array(u64, 1 << 40)", "bytearray(1 << 62)")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(python, "program", "exec", flags=__future__.annotations.compiler_flag), names)
        try:
            return Answer(names["p"](n)), out.getvalue()
        except Exception as error:
            return Answer(None, type(error).__name__, str(error), line_of(error)), out.getvalue()
