"""Programs: where the source of a SIP comes from.

``@sip`` and ``@function`` take a Python function's source from the file or notebook cell it stands in;
the function is never called. ``programs_from_source`` takes programs out of a text without executing
any of it, which is what the grader uses.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, TypeVar

from singlab.sing.carried import check_carried
from singlab.sing.constants import UNKNOWN, declared, enum_of, evaluate, resolve
from singlab.sing.contracts import Contract, parse_contracts
from singlab.sing.declaration import declaration
from singlab.sing.enums import DECLARE_ENUM, DECLARE_STRUCT
from singlab.sing.errors import SipError
from singlab.sing.exceptions import ExceptionClass
from singlab.sing.exceptions import declared as declared_exception
from singlab.sing.modulenames import joined
from singlab.sing.names import ProcessState
from singlab.sing.parsing import parse
from singlab.sing.structs import struct_of
from singlab.sing.types import Member, Type


@dataclass(eq=False)
class Program:
    """One SIP, or one helper function, as source.

    Attributes
    ----------
    name : str
    node : ast.FunctionDef
        Its syntax tree; line numbers are those of ``source``.
    source : str
        The whole text it stands in.
    filename : str
        For messages.
    names : Mapping
        What its global names mean: contracts, constants, declared types, other programs. Looked up when it is compiled.
    entry : bool
        True for ``@sip``, False for ``@function``.
    owner : ClassProgram, optional
        The class it is a method of.
    bindings : dict of str to Type
        What its type variables are, for one form of a generic function.
    """

    name: str
    node: ast.FunctionDef
    source: str
    filename: str
    names: Mapping
    entry: bool
    owner: Any = None
    bindings: dict = field(default_factory=dict)

    def __post_init__(self):
        self.names = joined(self.node, self.names)

    def __call__(self, *args, **kwargs):
        from singlab.sing.names import not_python

        not_python(f"{self.name}(...)")

    def __repr__(self) -> str:
        return f"<{'SIP' if self.entry else 'function'} {self.name}, {self.filename}:{self.node.lineno}>"

    def _card(self):
        from singlab.sing.cards import ProgramCard

        return ProgramCard(self)

    def __str__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def _capture(function: FunctionType, entry: bool) -> Program:
    word = "sip" if entry else "function"
    if not isinstance(function, FunctionType):
        raise SipError("language", f"@{word} stands above a function, this is {type(function).__name__}",
                       hint=f"write @{word} above def ...; from a text: programs_from_source(text)")  # fmt: skip
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError, SyntaxError):
        raise SipError("language", f"the source of {getattr(function, '__name__', function)!r} cannot be found",
                       hint="define it in a notebook cell or a file, or use programs_from_source(text)") from None  # fmt: skip
    filename = function.__code__.co_filename
    if "ipykernel" in filename or filename.startswith("<ipython"):
        filename = "cell"
    text = textwrap.dedent("".join(lines))
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise SipError("language", f"@{word} stands above a function with a name, and this is a part of a line", filename=filename, line=first,
                       source_line=text.split("\n")[0], hint=f"write @{word} on a line of its own above def ...")  # fmt: skip
    ast.increment_lineno(tree, first - 1)
    return Program(
        function.__name__, tree.body[0], "\n" * (first - 1) + text, filename, function.__globals__, entry
    )  # fmt: skip


def sip(function: FunctionType | None = None, /, **declared):
    """Make a SIP of a typed function: its parameters are the startup arguments, its result the exit value.

    Parameters
    ----------
    function : function
        With ``@sip`` alone, the function.
    **declared
        With ``@sip(...)``, what its manifest is to say, written as literals: ``name``, ``version``, ``publisher``,
        ``category``; ``io_memory``, a list of (address, bytes), and ``interrupts``, a list of lines;
        ``extensions``, a list of (image, contract) it starts as children; ``imports`` and ``exports``, lists of
        contracts, where the program's types are not to say it alone; ``collector`` and ``heap_bytes``, what collects its
        heap of objects, and how large that may be.

    Examples
    --------
    >>> @sip(name="disk", version="1.2", category="driver", io_memory=[(0x10001000, 0x1000)], interrupts=[1])
    ... def driver(ch: Disk.Exp): ...
    """
    if function is None:
        return _declared_sip
    if declared or not callable(function):
        raise SipError("manifest", "@sip takes its arguments by name", hint='write @sip(name="disk") above the function')
    return _capture(function, True)


def _declared_sip(function: FunctionType) -> Program:
    program = _capture(function, True)
    declaration(program)  # what is wrong in it is said where it stands, not when it is built
    return program


def function(function: FunctionType) -> Program:
    """Make a helper of a typed function, callable from SIPs. Blocks passed to it are handed over for good, unless it says Borrowed[...].

    Examples
    --------
    >>> @function
    ... def square(n: u64) -> u64:
    ...     return n * n
    """
    return _capture(function, False)


@dataclass
class SourceUnit:
    """What a text declares: contracts, programs (``@sip``), helpers, classes (``@managed``), exceptions, constants, texts, types and type variables."""

    contracts: dict[str, Contract] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    functions: dict[str, Program] = field(default_factory=dict)
    constants: dict[str, int | bool | Member] = field(default_factory=dict)
    exceptions: dict[str, ExceptionClass] = field(default_factory=dict)
    types: dict[str, Type] = field(default_factory=dict)
    classes: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, TypeVar] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def names(self) -> dict:
        """Return all of them in one table."""
        return dict(ChainMap(*self.tables()))

    def tables(self) -> list[dict]:
        """Return the tables of them, those first whose names win."""
        return [self.programs, self.functions, self.contracts, self.classes, self.exceptions, self.variables, self.types, self.constants, self.texts]


#: Characters of a text of programs, at most.
LARGEST_TEXT = 4_000_000
#: A cell with more magics than this is not read further.
_MOST_MAGICS = 200


def blank_magics(text: str) -> str:
    """Replace notebook magics by empty lines.

    A magic is a line beginning with % or ! at which Python's own reading fails; such a line inside brackets or
    a long text is not. After a cell magic the whole cell is in another language.
    """
    if text.lstrip().startswith("%%"):
        return "\n" * text.count("\n")
    lines = text.splitlines()
    for _ in range(_MOST_MAGICS):
        try:
            parse("\n".join(lines))
            break
        except SyntaxError as error:
            at = (error.lineno or 0) - 1
            if not (0 <= at < len(lines) and lines[at].lstrip().startswith(("%", "!"))):
                break
            lines[at] = ""
        except (ValueError, RecursionError, MemoryError):
            break
    return "\n".join(lines)


def _decoration(node: ast.FunctionDef | ast.ClassDef) -> str | None:
    for decorator in node.decorator_list:
        decorator = decorator.func if isinstance(decorator, ast.Call) else decorator
        name = decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", None)
        if name in ("sip", "function", "managed"):
            return name
    return None


def _named_in(node: ast.ClassDef, message: str) -> ast.AST:
    """Return the member or field of a class that a message begins with, else the class."""
    for part in node.body:
        target = part.targets[0] if isinstance(part, ast.Assign) else getattr(part, "target", None)
        if isinstance(target, ast.Name) and message.startswith(f"{node.name}.{target.id} "):
            return part
    return node


def programs_from_source(text: str, filename: str = "<source>", names: Mapping | None = None) -> SourceUnit:
    """Take contracts, programs and constants out of a text, executing nothing.

    Parameters
    ----------
    text : str
        Python source; magics and ordinary Python in it are passed over.
    filename : str
        For messages.
    names : Mapping, optional
        Further names the programs may use, such as contracts declared elsewhere; they win over the text's own.

    Raises
    ------
    SipError
        If the text is no Python, or a contract in it is not well-formed.
    """
    from singlab.sing.classes import ClassProgram

    if not isinstance(text, str):
        raise SipError("syntax", f"a program is a text, this is {type(text).__name__}", filename=filename,
                       hint='write programs_from_source("""@sip ..."""); of a file, Path(name).read_text()')  # fmt: skip
    if len(text) > LARGEST_TEXT:
        raise SipError("syntax", f"{len(text)} characters are too many", filename=filename, hint=f"a text has at most {LARGEST_TEXT}")
    text = blank_magics(text)
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", 0) or 0
        message = getattr(error, "msg", None) or str(error) or "too deeply nested"
        raise SipError("syntax", f"this is not Python: {message}", filename=filename, line=line,
                       column=getattr(error, "offset", 0) or 0,
                       hint="correct the line; brackets, colons and indentation are the usual causes",
                       ).at(filename, text) from None  # fmt: skip
    unit = SourceUnit()
    table: dict = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
            called = getattr(value, "func", None)
            if getattr(called, "id", getattr(called, "attr", None)) == "contract" and value.args:
                literal = value.args[0]
                if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                    found = parse_contracts(literal.value, filename, literal.lineno, {**unit.contracts, **(names or {})})
                    if len(found) != 1:
                        raise SipError("contract.syntax", f"{len(found)} contracts where one is expected", filename=filename,
                                       line=node.lineno, column=node.col_offset + 1, hint="call contract() once for each",
                                       ).at(filename, text)  # fmt: skip
                    unit.contracts[name] = next(iter(found.values()))
            elif isinstance(value, ast.Constant) and isinstance(value.value, str):
                unit.texts[name] = value.value
            elif getattr(called, "id", getattr(called, "attr", None)) == "TypeVar":
                unit.variables[name] = TypeVar(name)
            else:
                known = ChainMap(*([names] if names else []), *unit.tables())
                constant, found = evaluate(value, known), resolve(value, known)
                if constant is not None:
                    unit.constants[name] = constant
                elif found is not UNKNOWN and isinstance(found, Type):
                    unit.types[name] = declared(found)
        elif isinstance(node, ast.ClassDef) and _decoration(node) == "managed":
            unit.classes[node.name] = ClassProgram(node.name, node, text, filename, table)
        elif isinstance(node, ast.ClassDef):
            try:
                known = {**unit.names(), **(names or {})}
                type_ = struct_of(node, known) or enum_of(node, known)
            except ValueError as error:
                where = _named_in(node, str(error))
                raise SipError("types", str(error), filename=filename, line=where.lineno, column=where.col_offset + 1,
                               hint=DECLARE_STRUCT if node.decorator_list else DECLARE_ENUM).at(filename, text) from None  # fmt: skip
            found = declared_exception(node, {**(names or {}), **unit.exceptions})
            if isinstance(found, SipError):
                raise found.at(filename, text)
            if type_ is not None:
                unit.types[node.name] = type_
            elif found is not None:
                unit.exceptions[node.name] = found
        elif isinstance(node, ast.FunctionDef) and (kind := _decoration(node)) and kind != "managed":
            into = unit.programs if kind == "sip" else unit.functions
            into[node.name] = found = Program(node.name, node, text, filename, table, kind == "sip")
            if kind == "function":
                declaration(found)  # it has none; a program's is read when it is built, when all names are known
    table.setdefault("ProcessState", ProcessState)
    table.update(unit.names())
    table.update(names or {})
    for contract_ in unit.contracts.values():
        check_carried(contract_, table)
    return unit
