"""Students' functions in the kernel's subset of Python: what Python has beyond it is written in it, or refused where it stands.

``for`` over a range becomes ``while``, annotated assignments plain ones; numbers become words. What a function may call is for
those who use this to say: policies (:mod:`singlab.sing.policies`) and the kernel functions of exercises.
"""

from __future__ import annotations

import ast

from singlab.sing.errors import SipError

_MOST_NESTED = 50


class Subset(ast.NodeTransformer):
    """Write a function in the kernel's subset, or refuse what is not in it.

    Whoever subclasses it says what it is called, how it refuses, and what a function may call.
    """

    what = "a kernel function"

    def __init__(self):
        self.count = 0
        self.depth = 0

    def refuse(self, node: ast.AST, message: str, hint: str) -> SipError:
        """Return the error that a piece of the function is refused with."""
        raise NotImplementedError

    def called(self, node: ast.Call, name: str, wanted: tuple[str, ...]) -> ast.Call:
        """Return a call of a function that takes the words ``wanted``, with the machine's state before them."""
        if node.keywords or any(isinstance(one, ast.Starred) for one in node.args) or len(node.args) != len(wanted):
            raise self.refuse(node, f"{name} takes {len(wanted)} word{'s' * (len(wanted) != 1)}", f"write {name}({', '.join(wanted)})")
        arguments = [ast.Name("m", ast.Load()), *(self.visit(argument) for argument in node.args)]
        return ast.copy_location(ast.Call(node.func, arguments, []), node)

    def visit(self, node: ast.AST) -> ast.AST:
        self.depth += 1
        if self.depth > _MOST_NESTED:
            raise self.refuse(node, "this is too deeply nested", "split it into several statements")
        found = super().visit(node)
        self.depth -= 1
        return found

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        call = node.iter
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range" and 1 <= len(call.args) <= 2
                and not call.keywords and isinstance(node.target, ast.Name) and not node.orelse):  # fmt: skip
            raise self.refuse(node, f"{self.what}'s for goes over range(end) or range(first, end)", "write for i in range(n):, or a while")
        self.count += 1
        turn, end = f"_turn{self.count}", f"_end{self.count}"
        first = call.args[0] if len(call.args) == 2 else ast.Constant(0)
        begin = [ast.Assign([ast.Name(turn, ast.Store())], self.visit(first)), ast.Assign([ast.Name(end, ast.Store())], self.visit(call.args[-1]))]
        test = ast.Compare(ast.Name(turn, ast.Load()), [ast.Lt()], [ast.Name(end, ast.Load())])
        step = [ast.Assign([node.target], ast.Name(turn, ast.Load())), ast.AugAssign(ast.Name(turn, ast.Store()), ast.Add(), ast.Constant(1))]
        loop = ast.While(test, step + self.body(node.body), [])
        return [ast.fix_missing_locations(ast.copy_location(one, node)) for one in (*begin, loop)]

    def visit_While(self, node: ast.While) -> ast.While:
        if node.orelse:
            raise self.refuse(node, f"{self.what}'s while has no else", "put it after the loop")
        return ast.copy_location(ast.While(self.visit(node.test), self.body(node.body), []), node)

    def visit_If(self, node: ast.If) -> ast.If:
        return ast.copy_location(ast.If(self.visit(node.test), self.body(node.body), self.body(node.orelse)), node)

    def body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for statement in body:
            made = self.visit(statement)
            out += made if isinstance(made, list) else [made]
            if isinstance(statement, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
                break  # nothing after it is reached
        return [one for one in out if not isinstance(one, ast.Pass)] or ([ast.copy_location(ast.Expr(ast.Constant(0)), body[0])] if body else [])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is None or not isinstance(node.target, ast.Name):
            raise self.refuse(node, "a variable needs a value", "write name = value")
        return ast.copy_location(ast.Assign([node.target], self.visit(node.value)), node)

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if not isinstance(node.value, int):
            raise self.refuse(node, f"{node.value!r} is no word", f"{self.what} computes with whole numbers alone")
        return ast.copy_location(ast.Constant(int(node.value) & (1 << 64) - 1), node)
