"""Classes of the SIP language: taken from the student's text, laid out, and their methods found.

``@managed`` above a class makes its objects live on the SIP's own heap. In a notebook or a file the decorator
finds the class's text where it stands; in a text that is only read, the class is taken as it is. Either way
nothing of the class is ever run by Python.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, dataclass_transform

from singlab.sing import sil
from singlab.sing.errors import SipError
from singlab.sing.modulenames import joined
from singlab.sing.parsing import parse
from singlab.sing.program import Program
from singlab.sing.sil_classes import MOST_CLASSES, MOST_FIELDS, ancestry, fields, is_element, subclasses
from singlab.sing.types import Handle, Type

if TYPE_CHECKING:
    from singlab.sing.lower import FunctionLowering, ModuleLowering


@dataclass(eq=False)
class ClassProgram:
    """One class, as source.

    Attributes
    ----------
    name : str
    node : ast.ClassDef
        Its syntax tree; line numbers are those of ``source``.
    source : str
        The whole text it stands in.
    filename : str
        For messages.
    names : Mapping
        What its global names mean.
    """

    name: str
    node: ast.ClassDef
    source: str
    filename: str
    names: Mapping
    methods: dict[str, Program] = field(default_factory=dict)
    #: As a program has them: a class is not generic.
    bindings: dict[str, Type] = field(default_factory=dict)

    def __post_init__(self):
        names, self.names = self.names, joined(self.node, self.names)
        for part in self.node.body:
            if isinstance(part, ast.FunctionDef):
                self.methods[part.name] = Program(f"{self.name}~{part.name}", part, self.source, self.filename, names, False, owner=self)

    def __call__(self, *args, **kwargs):
        from singlab.sing.names import not_python

        not_python(f"{self.name}(...)")

    def __or__(self, other):
        return self

    __ror__ = __or__

    def __mro_entries__(self, bases):
        """Let Python go on when a class inherits from this one; the compiler reads the text."""
        return ()

    def __repr__(self) -> str:
        return f"<class {self.name}, {self.filename}:{self.node.lineno}>"


@dataclass_transform()
def managed(cls: type) -> ClassProgram:
    """Make a class of the SIP language: its objects live on the SIP's own heap.

    Fields are annotations (``value: u64``, ``next: "Node | None"``), methods typed functions with ``self``; a class
    without ``__init__`` is called with its fields in order. It may inherit from one other such class.
    """
    if not isinstance(cls, type):
        raise SipError("language", f"@managed stands above a class, this is {type(cls).__name__}", hint="write @managed above class Node: ...")
    frame = sys._getframe(1)
    filename, line = frame.f_code.co_filename, frame.f_lineno
    text = "".join(linecache.getlines(filename, frame.f_globals))
    try:
        nodes = [n for n in ast.walk(parse(text)) if isinstance(n, ast.ClassDef) and n.name == cls.__name__]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        nodes = []
    around = [n for n in nodes if min(d.lineno for d in (n, *n.decorator_list)) <= line <= (n.end_lineno or 0)]
    if not around:
        raise SipError("language", f"the source of class {cls.__name__} cannot be found",
                       hint="define it in a notebook cell or a file, or use programs_from_source(text)")  # fmt: skip
    if "ipykernel" in filename or filename.startswith("<ipython"):
        filename = "cell"
    return ClassProgram(cls.__name__, around[-1], text, filename, frame.f_globals)


class Classes:
    """The classes of one module, while it is lowered."""

    def __init__(self, module: ModuleLowering):
        self.module = module
        self.programs: dict[str, ClassProgram] = {}
        self.sil: dict[str, sil.Class] = {}
        #: (class, method) of each virtual call.
        self.virtual: set[tuple[str, str]] = set()

    @property
    def classes(self) -> dict[str, sil.Class]:
        """So that what works on a module works on this."""
        return self.sil

    def use(self, program: ClassProgram, probe: FunctionLowering, node: ast.AST) -> str:
        """Return a class's name in the module; the first use lays it out."""
        name, number = program.name, 1
        while self.programs.get(name, program) is not program:
            number += 1
            name = f"{program.name}~{number}"
        if name not in self.programs:
            if len(self.programs) >= MOST_CLASSES:
                raise probe.refuse("class", f"more than {MOST_CLASSES} classes", node, "use fewer, with a field that says which kind it is")
            self.programs[name] = program
            self.lay_out(name, program)
        return name

    def lay_out(self, name: str, program: ClassProgram) -> None:
        probe = self.module.lowering(program, self.module)
        node, made = program.node, sil.Class(name, position=probe.place(program.node))
        self.sil[name] = made
        if len(node.bases) > 1 or node.keywords:
            raise probe.refuse("class", f"{program.name} inherits from more than one class", node, "a class inherits from one class at most")
        if node.bases:
            base = program.names.get(getattr(node.bases[0], "id", ""))
            if isinstance(node.bases[0], ast.Name) and node.bases[0].id == "object":
                base = None
            elif not isinstance(base, ClassProgram):
                raise probe.refuse("class", f"{ast.unparse(node.bases[0])} is no class of the SIP language", node.bases[0],
                                   "write @managed above it")  # fmt: skip
            made.parent = base and self.use(base, probe, node)
            if name in [c.name for c in list(ancestry(self, made.parent))] if made.parent else False:
                raise probe.refuse("class", f"{program.name} inherits from itself", node, "let one of the classes stand alone")
        inherited = fields(self, made.parent) if made.parent else {}
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                self.field(name, part, made, inherited, probe)
            elif not isinstance(part, (ast.FunctionDef, ast.Pass)) and not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)):
                if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
                    label = part.targets[0].id
                    raise probe.refuse("class", f"field {label} has no type", part, f"write {label}: u64, and give it its value in __init__")
                raise probe.refuse("class", f"{ast.unparse(part).splitlines()[0]} does not belong into a class", part,
                                   "a class has fields, name: type, and methods")  # fmt: skip

    def field(self, name: str, part: ast.AnnAssign, made: sil.Class, inherited: dict[str, Type], probe: FunctionLowering) -> None:
        label = part.target.id
        if part.value is not None:
            raise probe.refuse("class", f"field {label} has a default value", part.value, "set it in __init__")
        if label in made.fields or label in inherited:
            raise probe.refuse("class", f"{made.name} has two fields {label}", part, "rename one; a class has all fields of its parent")
        type_ = probe.annotation(part.annotation)
        if not is_element(type_):
            raise probe.refuse("class", f"field {label} cannot be {type_.called if isinstance(type_, Handle) else type_}", part.annotation,
                               "an object has numbers, bools, chars and references; pass vectors and endpoints as parameters")  # fmt: skip
        if len(inherited) + len(made.fields) >= MOST_FIELDS:
            raise probe.refuse("class", f"{made.name} has more than {MOST_FIELDS} fields", part, "use an array")
        made.fields[label] = type_

    def method(self, name: str, called: str) -> tuple[str, Program] | None:
        """Return the class, a class or one it inherits from, that has a method, and the method."""
        for c in ancestry(self, name):
            if called in self.programs[c.name].methods:
                return c.name, self.programs[c.name].methods[called]
        return None

    def close(self) -> bool:
        """See that every method a virtual call can come to is lowered; returns whether there was anything new."""
        new = False
        for name, called in sorted(self.virtual):
            first = self.method(name, called)[0]
            for each in (first, *subclasses(self, name)):
                program, known = self.programs[each].methods.get(called), self.sil[each].methods
                if program is not None and called not in known:
                    new = True
                    types, result, borrowed = self.module.signature(program)
                    known[called] = self.module.label(program)
                    parent = self.sil[each].parent
                    above = self.method(parent, called) if parent else None
                    if above is not None and self.module.signature(above[1]) != ([self.module.signature(above[1])[0][0], *types[1:]], result, borrowed):
                        probe = self.module.lowering(program, self.module)
                        raise probe.refuse("class", f"method {called} of {each} is called in another way than that of {above[0]}, for which it stands",
                                           program.node, f"give it the same parameters and result as {above[0]}.{called}")  # fmt: skip
        return new
