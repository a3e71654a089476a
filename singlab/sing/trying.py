"""Lowering, exceptions: ``try``, ``raise``, and the checks that raise where somebody could catch it.

Every way an exception can take is made explicit. Where a check can fail inside a ``try``, or in a function that
is called from one, it becomes a test and a branch; a call becomes an ``attempt`` with two ways out. What is
raised with a known class goes straight to the clause that takes it. Where nobody could catch it nothing
changes: the instruction keeps its own check, which ends the process.

``finally`` is lowered once for each way out of its ``try``: going on, an exception, ``return``, ``break``, ``continue``.
"""

from __future__ import annotations

import ast

from singlab.sing import sil
from singlab.sing.exceptions import (
    ASSERTION,
    BUILT_IN,
    CLOSED,
    DIVISION,
    EXCEPTION,
    INDEX,
    MEMORY,
    ExceptionClass,
    Finally,
    Handlers,
)
from singlab.sing.types import BOOL, U64

#: A function's ``finally`` bodies are lowered at most so often.
MOST_FINALLY = 400


class TryLowering:
    """The part of a function's lowering that deals with exceptions.

    Attributes
    ----------
    frames : list of Handlers or Finally
        What encloses the statement being lowered, innermost last.
    raises : bool
        Whether the function hands exceptions to its caller.
    handled : list of Reg or None
        The exceptions of the clauses being lowered, innermost last; None for a ``finally``.
    """

    def prepare_exceptions(self, raises: bool) -> None:
        self.frames: list[Handlers | Finally] = []
        self.raises = raises
        self.handled: list[sil.Reg | None] = []
        self.exception_names: dict[str, sil.Reg] = {}
        self.loop_frames: dict[str, int] = {}
        self.finallys = 0

    # ---- checks ------------------------------------------------------------------------------------------------

    def emit(self, op: str, node: ast.AST, dest: sil.Reg | None = None, args: tuple = (), extra=None,
             more: tuple = ()) -> sil.Reg | None:  # fmt: skip
        """Append an instruction, its check made explicit where somebody could catch it; returns its destination."""
        if op == "call":
            if self.frames:
                self.module.exceptions.attempted.add(extra)
            if extra in self.module.exceptions.raising:
                return self.attempt(node, dest, args, extra, more)
        elif op in _EXPLICIT and (self.frames or self.raises):
            cls, explicit = _EXPLICIT[op]
            if self.caught(cls):
                explicit(self, op, node, dest, tuple(args), extra)
                if op in ("new", "new_struct"):
                    return dest
        return self.append(op, node, dest, args, extra, more)

    def caught(self, cls: ExceptionClass) -> bool:
        """Whether anything would become of an exception of a class raised here."""
        for frame in reversed(self.frames):
            if isinstance(frame, Finally) or any(self.takes(classes, cls) for classes, _ in frame.clauses):
                return True
        return self.raises and self.module.exceptions.catchable(cls)

    @staticmethod
    def takes(classes: list[ExceptionClass] | None, cls: ExceptionClass) -> bool:
        return classes is None or any(one in classes for one in cls.lineage())

    def unless(self, test: sil.Reg, cls: ExceptionClass, node: ast.AST) -> None:
        """Go on if a test holds, else raise."""
        good, bad = self.new_block("good"), self.new_block("bad")
        self.append("cbr", node, None, (test,), (good.label, bad.label))
        self.block = bad
        self.throw(cls, cls.faults[0], node)
        self.block = good

    def check_element(self, op, node, dest, args, extra) -> None:
        length = self.append("len", node, self.reg(U64), (args[0],))
        self.unless(self.append("lt", node, self.reg(BOOL), (args[1], length)), INDEX, node)

    def check_part(self, op, node, dest, args, extra) -> None:
        length = self.append("len", node, self.reg(U64), (args[0],))
        self.unless(self.append("le", node, self.reg(BOOL), (args[-1], length)), INDEX, node)
        if op == "share":
            self.unless(self.append("le", node, self.reg(BOOL), args[1:]), INDEX, node)

    def check_divisor(self, op, node, dest, args, extra) -> None:
        if any(i.dest is args[1] and i.op == "const" and i.extra for i in self.block.instrs[-2:]):
            return
        zero = self.append("const", node, self.reg(args[1].type), extra=0)
        self.unless(self.append("ne", node, self.reg(BOOL), (args[1], zero)), DIVISION, node)

    def check_memory(self, op, node, dest, args, extra) -> None:
        good, bad, exception = self.new_block("good"), self.new_block("bad"), self.reg(U64)
        self.append("attempt_new", node, None, args, sil.Attempt({"returned": ((dest,), good.label), "raised": ((exception,), bad.label)}))
        self.block = bad
        self.throw(MEMORY, 0, node, exception)
        self.block = good

    def check_closed(self, op, node, dest, args, extra: sil.Receive) -> None:
        if extra.closed is None:
            before, self.block = self.block, self.new_block("closed")
            extra.closed = self.block.label
            self.throw(CLOSED, CLOSED.faults[0], node)
            self.block = before

    def attempt(self, node: ast.AST, dest: sil.Reg | None, args: tuple, name: str, more: tuple = ()) -> sil.Reg | None:
        good, bad, exception = self.new_block("good"), self.new_block("bad"), self.reg(U64)
        arms = {"returned": ((dest, *more) if dest is not None else (), good.label), "raised": ((exception,), bad.label)}
        self.append("attempt", node, None, args, sil.Attempt(arms, None, name))
        self.block = bad
        self.rethrow(exception, node)
        self.block = good
        return dest

    # ---- raising -----------------------------------------------------------------------------------------------

    def throw(self, cls: ExceptionClass, number: int, node: ast.AST, exception: sil.Reg | None = None) -> None:
        """End the block by raising an exception of a known class; without a register it is made of its number and this line."""
        known = exception is None

        def value() -> sil.Reg:
            return self.append("const", node, self.reg(U64), extra=number | self.place(node).line << 16) if known else exception

        for frame in reversed(self.frames):
            if isinstance(frame, Finally):
                return self.land(frame.exception, value(), frame.landing, node)
            for classes, block in frame.clauses:
                if self.takes(classes, cls):
                    return self.land(frame.exception, value(), block, node)
        if known and not (self.raises and self.module.exceptions.catchable(cls)):
            self.append("fault", node, extra=number)
        else:
            self.append("raise", node, None, (value(),))

    def land(self, register: sil.Reg, value: sil.Reg, block: sil.Block, node: ast.AST) -> None:
        self.append("mov", node, register, (value,))
        self.append("br", node, extra=block.label)

    def rethrow(self, exception: sil.Reg, node: ast.AST) -> None:
        """End the block by raising an exception of which nothing is known."""
        number = None
        for frame in reversed(self.frames):
            if isinstance(frame, Finally):
                return self.land(frame.exception, exception, frame.landing, node)
            for classes, block in frame.clauses:
                if classes is None:
                    return self.land(frame.exception, exception, block, node)
                if number is None:
                    mask = self.append("const", node, self.reg(U64), extra=0xFFFF)
                    number = self.append("and", node, self.reg(U64), (exception, mask))
                take = self.new_block("take")
                for cls in classes:
                    self.match(cls, number, take, node)
                onward, self.block = self.block, take
                self.land(frame.exception, exception, block, node)
                self.block = onward
        self.append("raise", node, None, (exception,))

    def match(self, cls: ExceptionClass, number: sil.Reg, take: sil.Block, node: ast.AST) -> None:
        """Branch to a block if a number is that of a class or of one that inherits from it."""
        faults, (first, last) = self.module.exceptions.matching(cls)
        for fault in faults:
            self.otherwise(self.append("eq", node, self.reg(BOOL), (number, self.append("const", node, self.reg(U64), extra=fault))), take, node)
        if first == last:
            self.otherwise(self.append("eq", node, self.reg(BOOL), (number, self.append("const", node, self.reg(U64), extra=first))), take, node)
        else:
            low = self.append("const", node, self.reg(U64), extra=first)
            width = self.append("const", node, self.reg(U64), extra=last - first)
            distance = self.append("sub", node, self.reg(U64), (number, low))
            self.otherwise(self.append("le", node, self.reg(BOOL), (distance, width)), take, node)

    def otherwise(self, test: sil.Reg, take: sil.Block, node: ast.AST) -> None:
        onward = self.new_block("other")
        self.append("cbr", node, None, (test,), (take.label, onward.label))
        self.block = onward

    def do_Raise(self, node: ast.Raise) -> None:
        if node.cause is not None:
            raise self.refuse("language", "raise ... from ...", node.cause, "write raise and the exception alone")
        if node.exc is None:
            if not self.handled or self.handled[-1] is None:
                raise self.refuse("language", "raise without an exception outside an except", node, "name the exception: raise ValueError")
            return self.rethrow(self.handled[-1], node)
        if isinstance(node.exc, ast.Name) and node.exc.id in self.exception_names:
            return self.rethrow(self.exception_names[node.exc.id], node)
        called, text = node.exc, None
        if isinstance(called, ast.Call):
            if called.keywords or len(called.args) > 1 or not all(isinstance(a, ast.Constant) and isinstance(a.value, str) for a in called.args):
                raise self.refuse("language", "an exception carries one constant text, or nothing", called,
                                  f'write raise {ast.unparse(called.func)}, or raise {ast.unparse(called.func)}("text")')  # fmt: skip
            text = called.args[0].value if called.args else None
            called = called.func
        cls = self.exception_class(called)
        self.module.exceptions.note(cls, text)
        self.throw(cls, self.module.exceptions.number(cls, text), node)

    def lookup(self, node: ast.Name) -> sil.Reg:
        """Return a variable's register; what an ``except`` names is none."""
        if node.id in self.exception_names:
            raise self.refuse("types", f"{node.id} is an exception, not a value", node, f"raise {node.id} raises it again; nothing else can be done with it")
        return super().lookup(node)

    def exception_class(self, node: ast.expr) -> ExceptionClass:
        """Return the class an expression names."""
        found = self.module.exceptions.find(node.id, self.program.names) if isinstance(node, ast.Name) and node.id not in self.variables else None
        if isinstance(found, ExceptionClass):
            return found
        unknown = isinstance(node, ast.Name) and node.id not in self.variables and node.id not in self.program.names
        raise self.refuse("types", found or f"{ast.unparse(node)} is no exception", node,
                          "use one of these, or class Full(Exception): pass" if found and "has no" in found
                          else f"declare it first: class {node.id}(Exception): pass" if unknown and not found
                          else "name a class of exceptions, such as class Full(Exception): pass")  # fmt: skip

    # ---- try ---------------------------------------------------------------------------------------------------

    def do_Try(self, node: ast.Try) -> None:
        outer = len(self.frames)
        after, done = self.new_block("after"), self.new_block("done")
        last = None
        if node.finalbody:
            last = Finally(node.finalbody, self.new_block("finally"), self.reg(U64), list(self.loops))
            self.module.exceptions.caught.add(EXCEPTION)
            self.frames.append(last)
        handlers = Handlers([(self.classes(clause, index == len(node.handlers) - 1), self.new_block("except"))
                             for index, clause in enumerate(node.handlers)], self.reg(U64))  # fmt: skip
        self.frames.append(handlers)
        self.statements(node.body)
        self.frames.pop()
        self.statements(node.orelse)
        self.go(done, node)
        for clause, (_, block) in zip(node.handlers, handlers.clauses):
            self.block = block
            self.clause(clause, handlers.exception)
            self.go(done, clause)
        del self.frames[outer:]
        self.block = done
        if last is not None:
            self.final(last)
            self.go(after, node)
            self.block = last.landing
            self.final(last)
            if not self.ended():
                self.rethrow(last.exception, node)
        else:
            self.go(after, node)
        self.block = after

    def do_TryStar(self, node: ast.AST) -> None:
        raise self.refuse("language", "the SIP language has no except*", node, "write except")

    def classes(self, clause: ast.ExceptHandler, last: bool) -> list[ExceptionClass] | None:
        """Return the classes a clause takes, None for all."""
        if clause.type is None:
            if not last:
                raise self.refuse("language", "an except for everything stands before others", clause, "put it last")
            self.module.exceptions.caught.add(EXCEPTION)
            return None
        nodes = clause.type.elts if isinstance(clause.type, ast.Tuple) else [clause.type]
        found = [self.exception_class(one) for one in nodes]
        for cls in found:
            self.module.exceptions.note(cls)
            self.module.exceptions.caught.add(cls)
        if EXCEPTION in found or BUILT_IN["BaseException"] in found:
            self.module.exceptions.caught.add(EXCEPTION)
            return None
        return found

    def clause(self, clause: ast.ExceptHandler, exception: sil.Reg) -> None:
        """Lower the body of an ``except``."""
        before = dict(self.exception_names)
        if clause.name:
            if clause.name in self.variables:
                raise self.refuse("types", f"{clause.name} is a variable already", clause, "use another name for the exception")
            self.exception_names[clause.name] = exception
        self.handled.append(exception)
        self.statements(clause.body)
        self.handled.pop()
        self.exception_names = before

    def final(self, frame: Finally) -> None:
        """Lower the body of a ``finally`` once, as it stands outside its ``try``."""
        self.finallys += 1
        if self.finallys > MOST_FINALLY:
            raise self.refuse("size", f"more than {MOST_FINALLY} ways lead out of the try statements with finally in {self.program.name}",
                              frame.body[0], "move the body of the try into a @function")  # fmt: skip
        self.handled.append(None)
        self.statements(frame.body)
        self.handled.pop()

    def unwind(self, depth: int) -> None:
        """Lower the ``finally`` bodies between here and a depth: control leaves their ``try`` by return, break or continue."""
        frames, loops = self.frames, self.loops
        for index in range(len(frames) - 1, depth - 1, -1):
            if isinstance(frames[index], Finally) and not self.ended():
                self.frames, self.loops = frames[:index], list(frames[index].loops)
                self.final(frames[index])
        self.frames, self.loops = frames, loops


_EXPLICIT = {
    "load": (INDEX, TryLowering.check_element), "store": (INDEX, TryLowering.check_element),
    "load_item": (INDEX, TryLowering.check_element), "store_item": (INDEX, TryLowering.check_element),
    "new_struct": (MEMORY, TryLowering.check_memory),
    "div": (DIVISION, TryLowering.check_divisor), "rem": (DIVISION, TryLowering.check_divisor),
    **dict.fromkeys(("split", "truncate", "share"), (INDEX, TryLowering.check_part)),
    "new": (MEMORY, TryLowering.check_memory), "receive": (CLOSED, TryLowering.check_closed),
}  # fmt: skip

__all__ = ["ASSERTION", "TryLowering"]
