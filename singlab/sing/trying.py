"""Lowering, exceptions: ``try``, ``raise``, and the checks that raise where somebody could catch it.

Every way an exception can take is made explicit. Where a check can fail inside a ``try``, or in a function that
is called from one, it becomes a test and a branch; a call becomes an ``attempt`` with two ways out. What is
raised with a known class goes straight to the clause that takes it. Where nobody could catch it nothing
changes: the instruction keeps its own check, which ends the process.

``finally`` is lowered once for each way out of its ``try``: going on, an exception, ``return``, ``break``, ``continue``.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from singlab.sing import sil
from singlab.sing.attempted import ATTEMPTED
from singlab.sing.exceptions import (
    ASSERTION,
    ATTRIBUTE,
    BUILT_IN,
    CLOSED,
    DIVISION,
    EXCEPTION,
    INDEX,
    MEMORY,
    THREAD,
    TYPE,
    ExceptionClass,
    Finally,
    Handlers,
)
from singlab.sing.exceptiontexts import ExceptionValues
from singlab.sing.heapcode import ALLOCATIONS, FAULT_FULL, FAULT_SIZE, none_fault
from singlab.sing.library import FILENAME
from singlab.sing.sil_classes import implementations
from singlab.sing.types import BOOL, U64, Endpoint, EndpointSet, Reference

#: A function's ``finally`` bodies are lowered at most so often.
MOST_FINALLY = 400


class TryLowering(ExceptionValues):
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
        #: The language's own library raises MemoryError always, so that whoever calls it says where.
        self.in_library = self.program.filename == FILENAME
        #: Whether what is being lowered is a text of the language's own, whose accesses cannot fail.
        self.sure = self.in_library
        self.raises = raises or self.in_library
        self.handled: list[sil.Reg | None] = []
        self.exception_names: dict[str, sil.Reg] = {}
        self.loop_frames: dict[str, int] = {}
        self.finallys = 0

    # ---- checks ------------------------------------------------------------------------------------------------

    def emit(self, op: str, node: ast.AST, dest: sil.Reg | None = None, args: tuple = (), extra=None,
             more: tuple = ()) -> sil.Reg | None:  # fmt: skip
        """Append an instruction, its check made explicit where somebody could catch it; returns its destination."""
        exceptions = self.module.exceptions
        if op == "call":
            if self.frames:
                exceptions.attempted.add(extra)
            if extra in exceptions.raising or self.module.of_library(extra):
                return self.attempt("attempt", node, dest, args, extra, more)
        elif op == "vcall":
            found = implementations(self.module.classes, args[0].type.cls, extra) if self.frames or exceptions.raising else []
            if self.frames:
                exceptions.attempted_methods.add((args[0].type.cls, extra))
            if exceptions.raising.intersection(found):
                return self.attempt("attempt_vcall", node, dest, args, extra, more)
        elif (self.frames or self.raises) and (not self.sure or op in ALLOCATIONS):
            return self.checked(op, node, dest, tuple(args), extra, more)
        return self.append(op, node, dest, args, extra, more)

    def checked(self, op: str, node: ast.AST, dest: sil.Reg | None, args: tuple, extra, more: tuple) -> sil.Reg | None:
        """Append an instruction, and before it the test of what would end the process, if somebody could catch that."""
        if op in _EXPLICIT:
            cls, explicit = _EXPLICIT[op]
            if self.caught(cls):
                explicit(self, op, node, dest, args, extra)
        if op in _MAKES:
            cls, terminator = _MAKES[op]
            if self.caught(cls):
                return self.make(terminator, cls, node, dest, args, extra)
        elif op in ATTEMPTED and (op != "ask_child" or extra == "join"):
            cls = BUILT_IN[ATTEMPTED[op][1]]
            if self.caught(cls):
                return self.make("attempt_op", cls, node, dest, args, sil.Trial({}, None, op, extra), more)
        if op in ("load", "getf", "some") and isinstance(dest.type, Reference) and not dest.type.nullable and self.caught(self.missing(dest.type)):
            return self.there(op, node, dest, args, extra)
        return self.append(op, node, dest, args, extra, more)

    def element(self, node: ast.AST, dest: sil.Reg, sequence: sil.Reg, index: sil.Reg) -> sil.Reg:
        """Read an element of which it is known that it lies within the sequence."""
        if isinstance(dest.type, Reference) and not dest.type.nullable and (self.frames or self.raises) and self.caught(self.missing(dest.type)):
            return self.there("load", node, dest, (sequence, index))
        return self.append("load", node, dest, (sequence, index))

    def there(self, op: str, node: ast.AST, dest: sil.Reg, args: tuple, extra=None) -> sil.Reg:
        """Read a reference that must not be None, and raise an exception if it is."""
        if op != "some":
            args = (self.append(op, node, self.reg(dest.type.perhaps), args, extra),)
        none = self.append("none", node, self.reg(dest.type.perhaps))
        self.unless(self.append("ne", node, self.reg(BOOL), (args[0], none)), self.missing(dest.type), node)
        return self.append("some", node, dest, args)

    @staticmethod
    def missing(type_: Reference) -> ExceptionClass:
        """Return what is raised where something of a type is wanted and None is there."""
        return next(cls for cls in (ATTRIBUTE, TYPE) if none_fault(type_) in cls.faults)

    def caught(self, cls: ExceptionClass) -> bool:
        """Whether anything would become of an exception of a class raised here."""
        if self.in_library:
            return True
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

    def make(self, terminator: str, cls: ExceptionClass, node: ast.AST, dest: sil.Reg | None, args: tuple, extra,
             more: tuple = ()) -> sil.Reg | None:  # fmt: skip
        """Make or do something in a way that says so if it cannot be made or done."""
        bad, exception = self.new_block("bad"), self.reg(U64)
        raised = ((exception,), bad.label)
        if terminator == "new_channel":
            extra.arms["raised"] = raised
            good = None
        else:
            good = self.new_block("good")
            arms = {"returned": ((dest, *more) if dest is not None else (), good.label), "raised": raised}
            extra = replace(extra, arms=arms) if terminator == "attempt_op" else sil.Attempt(arms, None, extra)
        self.append(terminator, node, None, args, extra)
        self.block = bad
        if terminator in ("attempt_spawn", "attempt_op"):
            self.drop(args, node)
        self.throw(cls, 0, node, exception)
        self.block = good
        return dest

    def drop(self, values: tuple[sil.Reg, ...], node: ast.AST) -> None:
        """Give back what has no name, for nobody else could."""
        for value in values:
            if value.name is None and value.type.block:
                self.append("set_close" if isinstance(value.type, EndpointSet) else "free", node, None, (value,))
            elif value.name is None and isinstance(value.type, Endpoint):
                self.append("close", node, None, (value,))

    def check_closed(self, op, node, dest, args, extra: sil.Receive) -> None:
        if extra.closed is None:
            before, self.block = self.block, self.new_block("closed")
            extra.closed = self.block.label
            self.throw(CLOSED, CLOSED.faults[0], node)
            self.block = before

    def attempt(self, op: str, node: ast.AST, dest: sil.Reg | None, args: tuple, name: str, more: tuple = ()) -> sil.Reg | None:
        good, bad, exception = self.new_block("good"), self.new_block("bad"), self.reg(U64)
        arms = {"returned": ((dest, *more) if dest is not None else (), good.label), "raised": ((exception,), bad.label)}
        self.append(op, node, None, args, sil.Attempt(arms, None, name))
        self.block = bad
        if op == "attempt" and self.module.of_library(name) and not self.in_library:
            self.throw_here(exception, node)
        else:
            self.rethrow(exception, node)
        self.block = good
        return dest

    def throw_here(self, exception: sil.Reg, node: ast.AST) -> None:
        """End the block by what the language's library has raised, which is MemoryError, as if this line had."""
        mask = self.append("const", node, self.reg(U64), extra=0xFFFF)
        number = self.append("and", node, self.reg(U64), (exception, mask))
        if self.raises and not self.caught(MEMORY):  # nobody expects it: it must not look like something that could be caught
            large = self.append("const", node, self.reg(U64), extra=FAULT_SIZE)
            too_large, full = self.new_block("large"), self.new_block("full")
            self.append("cbr", node, None, (self.append("eq", node, self.reg(BOOL), (number, large)),), (too_large.label, full.label))
            for self.block, code in ((too_large, FAULT_SIZE), (full, FAULT_FULL)):
                self.append("fault", node, extra=code)
            return
        line = self.append("const", node, self.reg(U64), extra=self.place(node).line << 16)
        self.throw(MEMORY, 0, node, self.append("or", node, self.reg(U64), (number, line)))

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

    def do_Assert(self, node: ast.Assert) -> None:
        """``assert condition``, or with a constant text: what it says holds afterwards."""
        if node.msg is not None and not (isinstance(node.msg, ast.Constant) and isinstance(node.msg.value, str)):
            raise self.refuse("language", "the text of an assertion is constant", node.msg,
                              'write assert condition, "text"; print what else there is to say before it')  # fmt: skip
        good, bad = self.new_block("holds"), self.new_block("fails")
        yes, _ = self.facts(node.test)
        self.condition(node.test, good, bad)
        self.block, number = bad, ASSERTION.faults[0]
        if node.msg is not None:
            self.module.exceptions.note(ASSERTION, self.sayable(node.msg))
            number = self.module.exceptions.number(ASSERTION, node.msg.value)
        self.throw(ASSERTION, number, node)
        self.block = good
        self.narrowed.update(yes)

    def sayable(self, node: ast.Constant) -> str:
        """Return a constant text that can be shown."""
        if any("\ud800" <= letter <= "\udfff" for letter in node.value):
            raise self.refuse("types", "half of a surrogate pair is no text", node, "write the whole character")
        return node.value

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
                                  f'write raise {ast.unparse(called.func)}, or raise {ast.unparse(called.func)}("text"); '
                                  "let the function return other values, or put them into an object that its caller gave it")  # fmt: skip
            text = self.sayable(called.args[0]) if called.args else None
            called = called.func
        cls = self.exception_class(called)
        self.module.exceptions.note(cls, text)
        self.throw(cls, self.module.exceptions.number(cls, text), node)

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
        outer, before = len(self.frames), dict(self.narrowed)
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
            self.block, self.narrowed = block, dict(before)
            self.clause(clause, handlers.exception)
            self.go(done, clause)
        del self.frames[outer:]
        self.block, self.narrowed = done, dict(before)
        if last is not None:
            self.final(last)
            self.go(after, node)
            self.block, self.narrowed = last.landing, dict(before)
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


#: What an instruction raises instead of ending the process, and the test that comes before it.
_EXPLICIT = {
    "load": (INDEX, TryLowering.check_element), "store": (INDEX, TryLowering.check_element),
    "load_item": (INDEX, TryLowering.check_element), "store_item": (INDEX, TryLowering.check_element),
    "div": (DIVISION, TryLowering.check_divisor), "rem": (DIVISION, TryLowering.check_divisor),
    **dict.fromkeys(("split", "truncate", "share"), (INDEX, TryLowering.check_part)),
    "receive": (CLOSED, TryLowering.check_closed),
}  # fmt: skip
#: What an instruction that makes something raises, and the one with two ways out that stands in its place.
_MAKES = {
    **dict.fromkeys(("new", "new_struct", "newobj", "newarr", "set_new"), (MEMORY, "attempt_new")),
    "new_channel": (MEMORY, "new_channel"), "spawn": (THREAD, "attempt_spawn"),
}  # fmt: skip
