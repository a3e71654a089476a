"""Exceptions, what they are: classes with one base, numbers for them, and which functions have to raise them.

An exception is one word: its number in the low 16 bits, the source line it was raised on above them. A failed
run-time check has the number of the fault it would end the process with; a class, and each text it is raised
with, has a number from 256 on. Numbers are given in preorder, so a class and all that inherit from it are one
range, and ``except`` is a comparison or two.

Leaves out values in exceptions: a class is a name, and a text is constant.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from singlab.sing import sil
from singlab.sing.errors import SipError
from singlab.sing.sil_classes import ancestry, called, implementations
from singlab.sing.types import U64

#: Numbers below this one are those of faults.
FIRST_NUMBER = 256
LAST_NUMBER = 0xFFFF


@dataclass(frozen=True, eq=False)
class ExceptionClass:
    """A class of exceptions; ``faults`` are the codes of failed run-time checks that belong to it."""

    name: str
    base: ExceptionClass | None
    faults: tuple[int, ...] = ()

    def lineage(self) -> Iterator[ExceptionClass]:
        """Yield the class itself and all it inherits from."""
        one: ExceptionClass | None = self
        while one is not None:
            yield one
            one = one.base


def _built_in() -> dict[str, ExceptionClass]:
    table: dict[str, ExceptionClass] = {}
    for name, base, *faults in (
        ("BaseException", None), ("Exception", "BaseException"), ("ArithmeticError", "Exception"), ("ZeroDivisionError", "ArithmeticError", 2),
        ("OverflowError", "ArithmeticError"), ("AssertionError", "Exception", 13), ("LookupError", "Exception"), ("IndexError", "LookupError", 1),
        ("KeyError", "LookupError"), ("MemoryError", "Exception", 5, 11, 15, 22), ("OSError", "Exception", 30, 27), ("RuntimeError", "Exception", 24), ("NotImplementedError", "RuntimeError"),
        ("ValueError", "Exception", 12, 14, 26, 31, 32), ("AttributeError", "Exception", 20), ("TypeError", "Exception", 23, 21), ("ChannelClosed", "Exception", 3),
    ):  # fmt: skip
        table[name] = ExceptionClass(name, table.get(base), tuple(faults))
    return table


#: The classes of exceptions every program has, by name; they inherit as Python's do.
BUILT_IN = _built_in()
EXCEPTION = BUILT_IN["Exception"]
#: The class a failed check of an instruction belongs to, and its code.
INDEX, DIVISION, CLOSED, MEMORY, ASSERTION, VALUE, ATTRIBUTE, TYPE, THREAD = (BUILT_IN[name] for name in (
    "IndexError", "ZeroDivisionError", "ChannelClosed", "MemoryError", "AssertionError", "ValueError", "AttributeError", "TypeError", "RuntimeError"))  # fmt: skip


#: What failed checks say, as the trace does; but as in Python nothing of an assertion.
SAID = {1: "index out of bounds", 2: "division by zero", 3: "channel closed while a message was expected", 5: "exchange heap exhausted",
        11: "allocation size out of range", 12: "integer conversion out of range", 15: "no memory left for a channel", 20: "None was used as an object",
        21: "an object of another class", 22: "out of memory", 23: "None was used as an array or a text", 24: "no thread could be started",
        14: "joined what is no thread of its own that runs, or was joined before", 26: "used a handle that is closed, or let go of what this thread does not have",
        27: "a device that its manifest does not declare, or that another process has", 30: "no child process can be made",
        31: "no child process has this handle, or it cannot do this in the state it is in", 32: "a startup argument that the child does not take"}  # fmt: skip


def declared(node: ast.ClassDef, known: Mapping) -> ExceptionClass | SipError | None:
    """Return the exception class a class statement declares, None if it is about something else.

    A class that inherits from exceptions and is more than a name is refused: the error is returned, not raised.
    """
    bases = [_known(base.id, known) if isinstance(base, ast.Name) else None for base in node.bases]
    if not any(isinstance(base, ExceptionClass) for base in bases):
        return None

    def wrong(message: str, hint: str) -> SipError:
        return SipError("language", message, line=node.lineno, column=node.col_offset + 1, hint=hint)

    if len(bases) > 1 or node.keywords:
        return wrong(f"exception {node.name} inherits from more than one class", "name one class it inherits from")
    for part in node.body:
        if isinstance(part, (ast.AnnAssign, ast.FunctionDef, ast.Assign)):
            return SipError("language", f"exception {node.name} carries values, and an exception is a class and a constant text", line=part.lineno,
                            column=part.col_offset + 1, hint=f"write class {node.name}({node.bases[0].id}): pass; let the function return the values, "
                            "or put them into an object that its caller gave it")  # fmt: skip
    plain = all(isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in node.body)
    if not plain or node.decorator_list:
        return wrong(f"exception {node.name} is more than a name", f"write class {node.name}({node.bases[0].id}): pass")
    return ExceptionClass(node.name, bases[0])


def _known(name: str, names: Mapping):
    return names[name] if name in names else BUILT_IN.get(name)


class ExceptionTable:
    """The exceptions of one module: what is raised, what is caught, and by which number.

    Lowering goes over a module twice where exceptions are used: the first time this table learns what there is.

    Attributes
    ----------
    raising : frozenset of str
        Functions that may be called from within a ``try``: they raise where others would end the process.
    """

    def __init__(self):
        self.made: dict[type, ExceptionClass] = {}
        self.classes: dict[ExceptionClass, dict[str, None]] = {}
        self.caught: set[ExceptionClass] = set()
        self.attempted: set[str] = set()
        #: (class, method) of each virtual call in a ``try``.
        self.attempted_methods: set[tuple[str, str]] = set()
        self.raised: set[int] = set()
        #: Whether the program asks for an exception's text.
        self.told = False
        self.raising: frozenset[str] = frozenset()
        self.numbers: dict[tuple[ExceptionClass, str | None], int] = {}
        self.ranges: dict[ExceptionClass, tuple[int, int]] = {}

    @property
    def used(self) -> bool:
        """Whether the module has anything to do with exceptions."""
        return bool(self.classes or self.caught or self.attempted or self.attempted_methods)

    def find(self, name: str, names: Mapping) -> ExceptionClass | str | None:
        """Return the class a name stands for, None if it is none, a text if it is one the language does not have."""
        found = _known(name, names) or getattr(builtins, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return self.of(found)
        return found if isinstance(found, ExceptionClass) else None

    def of(self, python: type) -> ExceptionClass | str:
        """Return the class that a Python class stands for, or what is wrong with it."""
        from singlab.sing.names import ChannelClosed

        name = python.__name__
        if python is ChannelClosed or getattr(builtins, name, None) is python:
            return BUILT_IN.get(name) or f"the SIP language has no {name}; it has {', '.join(list(BUILT_IN)[1:])}"
        if python not in self.made:
            own = set(vars(python)) - {"__module__", "__doc__", "__weakref__", "__qualname__", "__firstlineno__", "__static_attributes__"}
            if len(python.__bases__) != 1 or own:
                return f"exception {name} is more than a name with one class it inherits from"
            base = self.of(python.__base__)
            if isinstance(base, str):
                return base
            self.made[python] = ExceptionClass(name, base)
        return self.made[python]

    def note(self, cls: ExceptionClass, text: str | None = None) -> None:
        """Note a class that is raised or caught, and a text it is raised with."""
        for one in cls.lineage():
            self.classes.setdefault(one, {})
        if text is not None:
            self.classes[cls].setdefault(text)

    def catchable(self, cls: ExceptionClass) -> bool:
        """Whether some ``except`` or ``finally`` of the module could have to do with a class."""
        return any(one in self.caught for one in cls.lineage())

    def count(self) -> None:
        """Give the numbers, once all classes are known; raises OverflowError if there are too many."""
        below: dict[ExceptionClass | None, list[ExceptionClass]] = {}
        for cls in self.classes:
            below.setdefault(cls.base, []).append(cls)
        number = FIRST_NUMBER
        self.raised = set()
        todo: list[tuple[ExceptionClass, bool]] = [(cls, False) for cls in reversed(below.get(None, []))]
        while todo:
            cls, done = todo.pop()
            if done:
                self.ranges[cls] = self.ranges[cls][0], number - 1
                continue
            self.ranges[cls] = number, number
            for text in (None, *self.classes[cls]):
                self.numbers[cls, text] = number
                number += 1
            todo.append((cls, True))
            todo += [(other, False) for other in reversed(below.get(cls, []))]
        if number > LAST_NUMBER:
            raise OverflowError

    def matching(self, cls: ExceptionClass) -> tuple[list[int], tuple[int, int]]:
        """Return the fault codes and the range of numbers that an ``except`` of a class takes."""
        faults = [fault for one in {*BUILT_IN.values(), *self.classes} if cls in one.lineage() for fault in one.faults]
        return sorted(faults), self.ranges.get(cls, (0, 0))

    def number(self, cls: ExceptionClass, text: str | None) -> int:
        """Return the number of a class raised with a text; any, as long as the numbers are not given."""
        number = self.numbers.get((cls, text), FIRST_NUMBER)
        self.raised.add(number)
        return number

    def names(self) -> dict[int, str]:
        """Return what the numbers that are raised are called."""
        return {number: cls.name + (f": {text}" if text is not None else "") for (cls, text), number in self.numbers.items() if number in self.raised}

    def texts(self) -> dict[int, str]:
        """Return the texts of exceptions, by number: those of what is raised, and what is said of failed checks."""
        own = {number: text for (_, text), number in self.numbers.items() if text and number in self.raised}
        return SAID | own

    def raisers(self, functions: dict[str, sil.Function], classes) -> frozenset[str]:
        """Return the functions that are attempted, and all they call; methods that stand for each other all, if one is among them."""
        families = method_families(classes)
        found: set[str] = set()
        todo = [name for name in self.attempted if name in functions]
        todo += [name for cls, method in self.attempted_methods for name in implementations(classes, cls, method)]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += [each for b in functions[name].blocks for i in b.instrs for each in called(classes, i)]
                todo += families.get(name, ())
        return frozenset(found)


@dataclass(eq=False)
class Handlers:
    """The ``except`` clauses of a ``try`` while its body is lowered: classes (None for all) and block, in order."""

    clauses: list[tuple[list[ExceptionClass] | None, sil.Block]]
    exception: sil.Reg


@dataclass(eq=False)
class Finally:
    """The ``finally`` of a ``try`` while what it guards is lowered; exceptions land in ``landing``."""

    body: list[ast.stmt]
    landing: sil.Block
    exception: sil.Reg
    loops: list = field(default_factory=list)


def start_threads(functions: dict[str, sil.Function]) -> None:
    """Let a thread whose function raises begin in a function that does not, where what nobody catches ends the process."""
    wrapped: dict[str, str] = {}
    for function in list(functions.values()):
        for instr in (i for b in function.blocks for i in b.instrs if sil.started(i) is not None):
            inner = functions[sil.started(instr)]
            if not inner.raises:
                continue
            if inner.name not in wrapped:
                stem = inner.name.partition("~")[0]
                wrapped[inner.name] = next(name for n in range(2, len(functions) + 3) if (name := f"{stem}~{n}") not in functions)
                params = [sil.Reg(n, p.type, p.name) for n, p in enumerate(inner.params)]
                result = [] if inner.result is None else [sil.Reg(len(params), inner.result)]
                raised, at = sil.Reg(len(params) + 1, U64), inner.position
                arms = {"returned": (tuple(result), "end"), "raised": ((raised,), "bad")}
                blocks = [sil.Block("entry", [sil.Instr("attempt", None, tuple(params), sil.Attempt(arms, None, inner.name), at)]),
                          sil.Block("end", [sil.Instr("ret", None, tuple(result), None, at)]),
                          sil.Block("bad", [sil.Instr("raise", None, (raised,), None, at)])]  # fmt: skip
                name = wrapped[inner.name]
                functions[name] = sil.Function(name, params, inner.result, blocks, at, inner.filename, inner.source)
            if instr.op == "spawn":
                instr.extra = wrapped[inner.name]
            else:
                instr.extra.function = wrapped[inner.name]


def method_families(classes) -> dict[str, set[str]]:
    """Return for each function behind a method those behind the methods that it stands for, or that stand for it, its own among them."""
    families: dict[str, set[str]] = {}
    for name, known in classes.classes.items():
        for method_name, label in known.methods.items():
            family = families.setdefault(label, {label})
            for above in ancestry(classes, name):
                if method_name in above.methods and (other := families.setdefault(above.methods[method_name], {above.methods[method_name]})) is not family:
                    family |= other
                    families.update(dict.fromkeys(family, family))
    return families


def settle(functions: dict[str, sil.Function], classes) -> None:
    """Call plainly what turned out to raise nothing; of methods that stand for each other all or none."""
    waiting = [f for f in functions.values() if f.raises]
    families = method_families(classes) if waiting else {}
    while waiting:
        quiet = {f.name for f in waiting if not any(b.instrs[-1].op == "raise" for b in f.blocks)}
        quiet = {name for name in quiet if families.get(name, quiet) <= quiet}
        if not quiet:
            return
        waiting = [f for f in waiting if f.name not in quiet]
        for name in quiet:
            functions[name].raises = False
        for function in functions.values():
            changed = False
            for block in function.blocks:
                last = block.instrs[-1]
                if last.op in ("attempt", "attempt_vcall") and quiet.issuperset(called(classes, last)):
                    regs, label = last.extra.arms["returned"]
                    block.instrs[-1:] = [sil.Instr(last.op.removeprefix("attempt_") if last.op != "attempt" else "call", regs[0] if regs else None,
                                                   last.args, last.extra.function, last.position, regs[1:]),
                                         sil.Instr("br", None, (), label, last.position)]  # fmt: skip
                    changed = True
            if changed:
                function.blocks = sil.reachable(function.blocks)
