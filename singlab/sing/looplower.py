"""Lowering, loops: ``while``, ``for`` over a range, a vector, an array or a text, and the ways out of them."""

from __future__ import annotations

import ast

from singlab.sing import sil
from singlab.sing.heapcode import element_of
from singlab.sing.types import BOOL, U64, Array, Int, Str, Vector


class LoopLowering:
    """The part of a function's lowering that deals with loops."""

    #: The blocks that ``continue`` and ``break`` of each loop lead to, the innermost last.
    loops: list[tuple[str, str]]

    def do_While(self, node: ast.While) -> None:
        if node.orelse:
            raise self.refuse("language", "else after a loop", node.orelse[0], "write it after the loop with a flag")
        head, body, after = self.new_block("while"), self.new_block("body"), self.new_block("after")
        self.go(head, node)
        self.block = head
        self.forget(node)
        before, (yes, no) = dict(self.narrowed), self.facts(node.test)
        self.condition(node.test, body, after)
        self.narrowed = {**before, **yes}
        self.loop(node.body, body, head, after, node)
        left = any(isinstance(part, ast.Break) for statement in node.body for part in ast.walk(statement))
        self.narrowed = before if left else {**before, **no}

    def loop(self, statements: list[ast.stmt], body: sil.Block, again: sil.Block, after: sil.Block, node: ast.AST) -> None:
        self.loops.append((again.label, after.label))
        self.loop_frames[again.label] = len(self.frames)
        self.block = body
        self.statements(statements)
        self.go(again, node)
        self.loops.pop()
        self.block = after

    def do_For(self, node: ast.For) -> None:
        call = node.iter
        self.forget(node)
        if node.orelse:
            raise self.refuse("language", "else after a loop", node.orelse[0], "write it after the loop with a flag")
        if not isinstance(node.target, ast.Name):
            raise self.refuse("language", "a loop with several variables", node.target, "write for i in range(n):")
        if getattr(getattr(call, "func", None), "id", "") != "range":
            return self.each(node)
        if call.keywords or not 1 <= len(call.args) <= 3:
            raise self.refuse("language", "range takes one to three values", call, "write range(stop) or range(start, stop, step)")
        step = self.literal(call.args[2]) if len(call.args) == 3 else 1
        if not step:
            raise self.refuse("language", "the step of a range must be a number other than 0", call.args[-1], "write it as a literal")
        known = self.variables.get(node.target.id)
        first_node = call.args[0] if len(call.args) > 1 else ast.copy_location(ast.Constant(0), call)
        stop_node = call.args[1] if len(call.args) > 1 else call.args[0]
        want = known.type if known else None
        bounds = [self.literal(first_node), self.literal(stop_node)]
        if want is None and step > 0 and all(bound is not None and bound >= 0 for bound in bounds):
            want = U64  # as in range(len(v)), so that both kinds of index go together
        first, stop = self.pair(first_node, stop_node, want, call)
        if not isinstance(stop.type, Int):
            raise self.refuse("types", f"a range over {stop.type}", call, "use integers")
        if step < 0 and not stop.type.signed:
            raise self.refuse("types", f"a range that counts down over {stop.type}", call, "use i64 values")
        if abs(step) > stop.type.maximum:
            raise self.refuse("types", f"the step {step} does not fit {stop.type}", call.args[2], "use a wider type for start and stop")
        counter, limit = self.reg(stop.type), self.reg(stop.type)
        self.emit("mov", node, counter, (first,))
        self.emit("mov", node, limit, (stop,))
        head, body, again, after = (self.new_block(n) for n in ("for", "body", "next", "after"))
        self.emit("br", node, extra=head.label)
        self.block = head
        going = self.emit("lt" if step > 0 else "gt", node, self.reg(BOOL), (counter, limit))
        self.emit("cbr", node, None, (going,), (body.label, after.label))
        self.block = body
        self.assign(node.target.id, counter, node)
        self.loop(node.body, body, again, after, node)
        self.block = again
        if abs(step) > 1:
            self.stay_within(node, stop.type, (limit, counter) if step > 0 else (counter, limit), abs(step), after)
        by = self.emit("const", node, self.reg(stop.type), extra=abs(step))
        self.emit("add" if step > 0 else "sub", node, counter, (counter, by))
        self.emit("br", node, extra=head.label)
        self.block = after

    def each(self, node: ast.For) -> None:
        """``for x in v:`` over the elements a vector has when the loop begins; v stays its owner's."""
        vector = self.expr(node.iter, None)
        if isinstance(vector.type, (Array, Str)):
            vector = self.held(self.certain(vector, node), node)
        elif not isinstance(vector.type, Vector) or vector.name is None:
            raise self.refuse("language" if not isinstance(vector.type, Vector) else "types", f"a loop over {ast.unparse(node.iter)}", node,
                              "loop over range(n), or over a variable that holds a vector")  # fmt: skip
        else:
            self.of_values(vector, node.iter)
        counter, limit = self.reg(U64), self.emit("len", node, self.reg(U64), (vector,))
        self.emit("const", node, counter, extra=0)
        head, body, again, after = (self.new_block(n) for n in ("for", "body", "next", "after"))
        self.emit("br", node, extra=head.label)
        self.block = head
        going = self.emit("lt", node, self.reg(BOOL), (counter, limit))
        self.emit("cbr", node, None, (going,), (body.label, after.label))
        self.block = body
        self.assign(node.target.id, self.element(node, self.reg(element_of(vector.type)), vector, counter), node)
        self.loop(node.body, body, again, after, node)
        self.block = again
        one = self.emit("const", node, self.reg(U64), extra=1)
        self.emit("add", node, counter, (counter, one))
        self.emit("br", node, extra=head.label)
        self.block = after

    def stay_within(self, node: ast.AST, type_: Int, ends: tuple[sil.Reg, sil.Reg], step: int, after: sil.Block) -> None:
        """Leave a range whose next step would reach its end, before the step can leave the type."""
        width = Int(type_.bits, False)
        left = self.emit("cast", node, self.reg(width), (self.emit("sub", node, self.reg(type_), ends),))
        bound = self.emit("const", node, self.reg(width), extra=step)
        more = self.emit("gt", node, self.reg(BOOL), (left, bound))
        onward = self.new_block("step")
        self.emit("cbr", node, None, (more,), (onward.label, after.label))
        self.block = onward

    def do_Break(self, node: ast.Break) -> None:
        self.jump(node, *self.innermost(node)[::-1])

    def do_Continue(self, node: ast.Continue) -> None:
        again, _ = self.innermost(node)
        self.jump(node, again, again)

    def jump(self, node: ast.AST, to: str, again: str) -> None:
        """Leave what stands between here and a loop, and go to a block."""
        self.unwind(self.loop_frames[again])
        if not self.ended():
            self.emit("br", node, extra=to)

    def innermost(self, node: ast.AST) -> tuple[str, str]:
        if not self.loops:
            raise self.refuse("language", "break or continue outside a loop", node, "put it into a loop")
        return self.loops[-1]
