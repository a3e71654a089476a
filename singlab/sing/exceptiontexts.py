"""What a program may ask of an exception it has caught: its line and its text.

Both are in the exception's one word already: the line as it is, the text by the number, which was given for each
class and each text it is raised with. So ``str(e)`` is a function made for the program, which goes from numbers
to constant texts by halves; a failed run-time check has the words of its fault.
"""

from __future__ import annotations

import ast

from singlab.sing import sil
from singlab.sing.types import BOOL, STR, U64

#: The function's name in a module; no function of a program has this one.
NAME = "exception~text~0"


class ExceptionValues:
    """The part of a function's lowering that deals with what an ``except`` has named."""

    #: The exceptions that have names here.
    exception_names: dict[str, sil.Reg]

    def named_exception(self, node: ast.expr) -> sil.Reg | None:
        """Return the exception that a name stands for, None if it stands for something else."""
        return self.exception_names.get(node.id) if isinstance(node, ast.Name) else None

    def lookup(self, node: ast.Name) -> sil.Reg:
        """Return a variable's register; what an ``except`` names is none."""
        if node.id in self.exception_names:
            raise self.refuse("types", f"{node.id} is an exception, not a value", node,
                              f"{node.id}.line is where it was raised, str({node.id}) its text; raise {node.id} raises it again")  # fmt: skip
        return super().lookup(node)

    def named_constant(self, node: ast.expr):
        """Return the constant that an outside name stands for; a name that an ``except`` gives is no outside name."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        return None if self.named_exception(root) is not None else super().named_constant(node)

    def attribute(self, node: ast.Attribute) -> sil.Reg:
        exception = self.named_exception(node.value)
        if exception is None:
            return super().attribute(node)
        if node.attr != "line":
            raise self.refuse("types", f"an exception has no {node.attr}: it carries its line and one constant text", node,
                              f"use {node.value.id}.line, or str({node.value.id}); let the function return other values, "
                              "or put them into an object that its caller gave it")  # fmt: skip
        by = self.emit("const", node, self.reg(U64), extra=16)
        return self.emit("shr", node, self.reg(U64), (exception, by))

    def text_of(self, exception: sil.Reg, node: ast.AST) -> sil.Reg:
        """Return an exception's text."""
        self.module.exceptions.told = True
        return self.append("call", node, self.reg(STR), (exception,), NAME)

    def to_say(self, node: ast.expr) -> sil.Reg:
        """Return the value of an expression that becomes text."""
        exception = self.named_exception(node)
        return self.expr(node, None) if exception is None else self.text_of(exception, node)

    def call_str(self, node: ast.Call) -> sil.Reg:
        exception = self.named_exception(node.args[0]) if len(node.args) == 1 else None
        return super().call_str(node) if exception is None else self.text_of(exception, node)


def text_function(texts: dict[int, str], position: sil.Position) -> sil.Function:
    """Return the function that gives an exception's text: that of its number, an empty one if it has none."""
    exception, mask, number = sil.Reg(0, U64), sil.Reg(1, U64), sil.Reg(2, U64)
    blocks: list[sil.Block] = []
    count = 3

    def emit(op: str, type_, args: tuple = (), extra=None) -> sil.Reg:
        nonlocal count
        count += 1
        blocks[-1].instrs.append(sil.Instr(op, sil.Reg(count, type_), args, extra, position))
        return blocks[-1].instrs[-1].dest

    def branch(test: sil.Reg, yes: str, no: str) -> None:
        blocks[-1].instrs.append(sil.Instr("cbr", None, (test,), (yes, no), position))

    def say(text: str) -> None:
        found = emit("string", STR, (), text)
        blocks[-1].instrs.append(sil.Instr("ret", None, (found,), None, position))

    def among(numbers: list[int], label: str) -> None:
        blocks.append(sil.Block(label))
        if not numbers:
            return say("")
        half = len(numbers) // 2
        middle = emit("const", U64, (), numbers[half])
        if len(numbers) == 1:
            branch(emit("eq", BOOL, (number, middle)), f"{label}s", f"{label}n")
            blocks.append(sil.Block(f"{label}s"))
            say(texts[numbers[0]])
            blocks.append(sil.Block(f"{label}n"))
            return say("")
        branch(emit("lt", BOOL, (number, middle)), f"{label}l", f"{label}h")
        among(numbers[:half], f"{label}l")
        among(numbers[half:], f"{label}h")

    blocks.append(sil.Block("entry", [sil.Instr("const", mask, (), 0xFFFF, position), sil.Instr("and", number, (exception, mask), None, position),
                                      sil.Instr("br", None, (), "t", position)]))  # fmt: skip
    among(sorted(number for number, text in texts.items() if text), "t")
    return sil.Function(NAME, [exception], STR, blocks, position)
