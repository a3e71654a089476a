"""Lowering of child processes: ``create("plugin", ...)``, and what a process does with its children.

A child is named by a handle, a plain value that the front end keeps apart from numbers (:class:`~singlab.sing.types.Child`);
SIL has it as u64. No rule is about what it stands for: the kernel looks at each handle it is given.
"""

from __future__ import annotations

import ast

from singlab.sing import sil
from singlab.sing.constants import python_enum
from singlab.sing.declaration import declaration
from singlab.sing.exceptions import VALUE
from singlab.sing.names import ProcessState
from singlab.sing.objects import spoken
from singlab.sing.types import CHILD, U64, Endpoint, Enum, Int, Type

#: Methods of a child without a value, and what SIL calls them.
DOES = {"start": "start", "stop": "stop", "resume": "resume", "wait": "wait", "close": "close"}
#: Those with one.
ASKS = {"join": "join", "state": "state", "how": "how", "code": "code", "id": "id"}
#: Startup parameters of a program, at most.
_MOST_ARGUMENTS = 8


class ChildLowering:
    """The part of a function's lowering that deals with child processes."""

    def call_create(self, node: ast.Call) -> sil.Reg:
        """``create("plugin", a, b)``: a child of an extension, with its startup arguments in order."""
        name = node.args[0] if node.args else None
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            raise self.refuse("types", "create names an extension by a text in the program", node, 'write create("plugin", ...)')
        known = [extension.image for extension in declaration(self.module.program).extensions]
        if name.value not in known:
            there = f": it has {', '.join(known)}" if known else ""
            raise self.refuse("closed-api", f"{self.module.program.name} does not declare {name.value[:64]!r} as an extension{there}", name,
                              f'declare it: @sip(extensions=[("{name.value[:64]}", "C")]), with the contract it exports')  # fmt: skip
        if len(node.args) - 1 > _MOST_ARGUMENTS:
            raise self.refuse("language", f"a child has at most {_MOST_ARGUMENTS} startup arguments", node, "send it the rest in a message")
        values = []
        for argument in node.args[1:]:
            value = self.expr(argument, None)
            if not isinstance(value.type, (Endpoint, Int, Enum)) and str(value.type) != "bool":
                raise self.refuse("types", f"{spoken(value.type)} cannot be a startup argument", argument,
                                  "give endpoints, integers and bools; send it the rest in a message")  # fmt: skip
            values.append(value)
        child = self.emit("create", node, self.reg(CHILD), extra=known.index(name.value))
        for index, (argument, value) in enumerate(zip(node.args[1:], values)):
            self.give(argument, child, index, value, values[index:])
        return child

    def give(self, node: ast.AST, child: sil.Reg, index: int, value: sil.Reg, left: list[sil.Reg]) -> None:
        """Give a child a startup argument. Where somebody catches that it takes it not, it is stopped and what is left for it closed."""
        if not ((self.frames or self.raises) and self.caught(VALUE)):
            self.append("give", node, None, (child, value), index)
            return
        exception = self.reg(U64)
        bad = self.try_op("give", index, (child, value), exception, node)
        good, self.block = self.block, bad
        for end in left:
            if isinstance(end.type, Endpoint):
                self.append("close", node, None, (end,))
        for what in ("stop", "close"):  # it may have been stopped already
            onward = self.try_op("child", what, (child,), self.reg(U64), node)
            self.append("br", node, extra=onward.label)
            self.block = onward
        self.throw(VALUE, 0, node, exception)
        self.block = good

    def try_op(self, op: str, extra, args: tuple, exception: sil.Reg, node: ast.AST) -> sil.Block:
        """Attempt an instruction and go on where it is done; returns the block where it is not."""
        good, bad = self.new_block("good"), self.new_block("bad")
        self.append("attempt_op", node, None, args, sil.Trial({"returned": ((), good.label), "raised": ((exception,), bad.label)}, None, op, extra))
        self.block = good
        return bad

    def method(self, node: ast.Call, statement: bool) -> sil.Reg | None:
        """Call a method; those of a child are here."""
        at = node.func.value
        if self.peeked(at) == CHILD or self.is_call(at, "create"):
            return self.child_method(node)
        return super().method(node, statement)

    def child_method(self, node: ast.Call) -> sil.Reg | None:
        what = node.func.attr
        if what not in DOES and what not in ASKS and what != "suspend":
            raise self.refuse("closed-api", f"there is no operation {what} on a child process", node,
                              f"it has suspend, {', '.join([*DOES, *ASKS])}")  # fmt: skip
        child = self.expr(node.func.value, None)
        if what == "suspend":
            below = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value
            if len(node.args) > 1 or (node.args and type(below) is not bool):
                raise self.refuse("language", "suspend takes nothing, or True for all below it too", node, "write child.suspend() or child.suspend(True)")
            self.emit("child", node, None, (child,), "suspend_all" if below else "suspend")
            return None
        self.arity(node, 0, what)
        if what in DOES:
            self.emit("child", node, None, (child,), DOES[what])
            return None
        type_: Type = U64
        if what == "state":
            type_ = self.same(python_enum(ProcessState), node)
        found = self.emit("ask_child", node, self.reg(U64), (child,), ASKS[what])
        return found if type_ == U64 else self.emit("cast", node, self.reg(type_), (found,))
