"""Lowering, lent blocks: ``Borrowed[...]`` parameters, and the library's functions that borrow, ``copy`` and ``fill``.

A helper takes its blocks for good unless it says ``Borrowed``: then it may read and write them, and they are
still the caller's afterwards. In Sing# it is the other way round, and ``[Claims]`` marks what is taken for
good; here a program that says nothing loses the block, which the verifier notices at once.
"""

from __future__ import annotations

import ast

from singlab.sing import sil
from singlab.sing.types import U64, Int, Struct, Type, Vector


def is_borrowed(annotation: ast.expr | None) -> bool:
    """Whether a parameter's annotation is ``Borrowed[...]``."""
    return isinstance(annotation, ast.Subscript) and getattr(annotation.value, "id", getattr(annotation.value, "attr", "")) == "Borrowed"


class BorrowLowering:
    """The part of a function's lowering that deals with lent blocks."""

    def parameter(self, node: ast.expr) -> Type:
        """Return a parameter's type, borrowed or not."""
        if not is_borrowed(node):
            return self.annotation(node)
        type_ = self.annotation(node.slice)
        if not type_.block:
            raise self.refuse("types", f"{type_} cannot be borrowed", node, "only blocks change owners: write the type alone")
        return type_

    def lend(self, value: sil.Reg, node: ast.expr, to: str) -> None:
        """Refuse to lend a block that no variable holds: nobody could give it back."""
        if value.type.block and value.name is None:
            raise self.refuse("owner.leak", f"{ast.unparse(node)} is lent to {to} and lost afterwards", node,
                              "assign it to a variable before, and free that when it is not needed any more")  # fmt: skip

    # ---- the library -------------------------------------------------------------------------------------------

    def library(self, text: str, node: ast.AST, **values: sil.Reg) -> None:
        """Lower a text of the language in the place of a call."""
        # no variable of a student's begins with a digit
        names = {name: f"{self.count}{name}" for name in (*values, "i")}
        self.variables.update({names[name]: reg for name, reg in values.items()})
        tree = ast.parse(text)
        for part in ast.walk(tree):
            if isinstance(part, ast.Name):
                part.id = names.get(part.id, part.id)
            ast.copy_location(part, node)
        sure, self.sure = self.sure, True
        self.statements(tree.body)
        self.sure = sure

    def call_copy(self, node: ast.Call) -> sil.Reg:
        """``copy(v)``: another block with the same content."""
        block = self.vector(node, "copy", Struct)
        self.lend(block, node.args[0], "copy")
        if isinstance(block.type, Struct):
            made = self.emit("new_struct", node, self.reg(block.type))
            self.library("\n".join(f"w.{name} = v.{name}" for name, _ in block.type.fields), node, v=block, w=made)
            return made
        count = self.emit("len", node, self.reg(U64), (block,))
        made = self.emit("new", node, self.reg(block.type), (count,))
        struct = block.type.element if isinstance(block.type.element, Struct) else None
        places = [f"[i].{name}" for name, _ in struct.fields] if struct else ["[i]"]
        self.library("for i in range(n):\n" + "\n".join(f"    w{place} = v{place}" for place in places), node, v=block, w=made, n=count)
        return made

    def call_fill(self, node: ast.Call) -> None:
        """``fill(v, x)``: every element becomes x."""
        self.arity(node, 2, "fill")
        block = self.expr(node.args[0], None)
        if not isinstance(block.type, Vector) or not isinstance(block.type.element, Int):
            raise self.refuse("types", f"fill works on exchange-heap vectors of integers, not on {block.type}", node, "give it a vector")
        self.lend(block, node.args[0], "fill")
        value = self.coerce(self.expr(node.args[1], block.type.element), block.type.element, node.args[1])
        self.library("for i in range(len(v)):\n    v[i] = x", node, v=block, x=value)
