"""Names behind a module's: ``lib.square`` in a program is what ``square`` is in the module ``lib``.

Such a name becomes one name of its own, with the dot in it, when a program is taken from its source; what it stands for
is looked up in the module when the program is compiled. So whatever works with a plain name works with it, and
messages show it as it was written.

Leaves out modules that a program's own text imports, since nothing is run to read it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from types import ModuleType

from singlab.sing.parsing import parse


class ModuleNames(Mapping):
    """A table of names in which those behind modules are found, too; only the table's own are counted and listed."""

    def __init__(self, names: Mapping):
        self.names = names

    def __getitem__(self, name: str) -> object:
        head, *rest = name.split(".")
        found = self.names[head]
        for part in rest:
            found = vars(found)[part]
        return found

    def __contains__(self, name: object) -> bool:
        try:
            self[name]
        except (KeyError, TypeError, AttributeError):
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _own(node: ast.AST) -> set[str]:
    """Return the names that a function gives values to."""
    found = {a.arg for part in ast.walk(node) if isinstance(part, ast.arguments) for a in (*part.posonlyargs, *part.args, *part.kwonlyargs)}
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.add(part.id)
        elif isinstance(part, (ast.MatchAs, ast.ExceptHandler)) and part.name:
            found.add(part.name)
    return found


class _Joined(ast.NodeTransformer):
    """Make one name of each ``module.name``."""

    def __init__(self, names: Mapping, own: set[str]):
        self.names, self.own = names, own
        self.any = False

    def module(self, node: ast.expr) -> tuple[str, ModuleType] | None:
        """Return the module that an expression names, and how."""
        if isinstance(node, ast.Name):
            found, called = self.names.get(node.id) if node.id not in self.own else None, node.id
        elif isinstance(node, ast.Attribute) and (outer := self.module(node.value)) is not None:
            found, called = vars(outer[1]).get(node.attr), f"{outer[0]}.{node.attr}"
        else:
            return None
        return (called, found) if isinstance(found, ModuleType) else None

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        outer = self.module(node.value)
        if outer is None:
            return self.generic_visit(node)
        called, module = outer
        if module.__name__ in ("singlab.sing", "singlab.sing.names"):
            import singlab.sing.names as words

            if hasattr(words, node.attr):  # the language's own words are known by their names
                return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        if isinstance(vars(module).get(node.attr), ModuleType) or node.attr not in vars(module):
            return node
        self.any = True
        return ast.copy_location(ast.Name(f"{called}.{node.attr}", node.ctx), node)


    def annotation(self, node: ast.expr | None) -> ast.expr | None:
        """Return an annotation, also one that is written as a text, with its names joined."""
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value):
            return node and self.visit(node)
        try:
            inner = parse(node.value, "eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return node
        for part in ast.walk(inner):
            ast.copy_location(part, node)
        return self.visit(inner)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = self.annotation(node.annotation)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        node.annotation = self.annotation(node.annotation)
        return self.generic_visit(node)


def joined(node: ast.FunctionDef | ast.ClassDef, names: Mapping) -> Mapping:
    """Make one name of each ``module.name`` in a function, or in a class outside its methods; returns the table in which they are found."""
    roots = {part.value.id for part in ast.walk(node) if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name)}
    roots |= {part.value.split(".")[0].strip() for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str) and "." in part.value}
    if isinstance(names, ModuleNames) or not any(isinstance(names.get(root), ModuleType) for root in roots):
        return names
    walk = _Joined(names, _own(node) if isinstance(node, ast.FunctionDef) else set())
    if isinstance(node, ast.ClassDef):
        node.bases = [walk.visit(base) for base in node.bases]
        node.body = [part if isinstance(part, ast.FunctionDef) else walk.visit(part) for part in node.body]
    else:
        node.args = walk.visit(node.args)
        node.returns = walk.annotation(node.returns)
        node.body = [walk.visit(part) for part in node.body]
    return ModuleNames(names) if walk.any else names
