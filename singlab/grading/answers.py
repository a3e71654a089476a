"""The answer in a notebook, as source.

Code cells are read, never run. A cell that is no Python is left out (and remembered, in case the answer
stands in it), so that a scratch cell does not cost points; of two definitions the later one counts, as it
would in a notebook that was run from top to bottom.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from singlab.sing.contracts import Contract, parse_contracts
from singlab.sing.errors import SipError
from singlab.sing.parsing import parse
from singlab.sing.policies import Policy
from singlab.sing.program import Program, blank_magics, programs_from_source

#: An answer is a page of code; more than this is no answer, and compiling it would only cost time.
MOST_CHARACTERS = 200_000


class GradingError(Exception):
    """A notebook cannot be graded at all; the message says why and what to do."""


class Places:
    """Where the lines of an answer are, in words for its author; here they are those of the source itself."""

    def locate(self, error: SipError) -> SipError:
        """Move a refusal to a place the author knows; returns the error."""
        return error

    def line(self, line: int) -> str:
        """Return in words where a line stands."""
        return f"line {line}"


@dataclass(frozen=True)
class Part:
    """A part of an answer that has several.

    Attributes
    ----------
    name : str
    parameters : tuple of (str, str)
        Of a SIP: names and types, such as ``("ch", "Tally.Exp")``. A contract has none.
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> str:
        """What it is: "sip" or "contract"."""
        return "sip" if self.parameters else "contract"

    def __str__(self) -> str:
        inside = ", ".join(f"{name}: {type_}" for name, type_ in self.parameters)
        return f"def {self.name}({inside}):" if self.parameters else f'{self.name} = contract("""...""")'


@dataclass(frozen=True)
class KernelPart(Part):
    """A part that is a kernel function; its parameters, names alone, are words."""

    words: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What it is: "kernel"."""
        return "kernel"

    def __str__(self) -> str:
        return f"def {self.name}({', '.join(self.words)}):"


#: Of an answer that was not read out of a notebook.
PLAIN = Places()


@dataclass
class Answer(Places):
    """The code of a notebook.

    Attributes
    ----------
    text : str
        All code cells, one after the other; line numbers of programs refer to it.
    places : list of (int, int)
        For each line of ``text``: number of the code cell and line in it, both from 1.
    broken : list of (int, str, SyntaxError)
        Cells that are no Python: number, text, why.
    exercise : str
        Which exercise the notebook says it is.
    """

    text: str
    places: list[tuple[int, int]]
    exercise: str
    broken: list[tuple[int, str, Exception]] = field(default_factory=list)

    def program(self, name: str, given: dict, kind: str = "sip") -> Program:
        """Return the program of a name, compiled against the given names whatever the notebook says.

        Parameters
        ----------
        name : str
        given : dict
            Contracts and constants of the exercise.
        kind : {"sip", "function"}
            What it is decorated with.

        Raises
        ------
        SipError
            If there is none, or the cell it stands in is no Python.
        """
        self._not_broken(rf"\bdef\s+{re.escape(name)}\b")
        unit = programs_from_source(self._without_contracts(given), "notebook", given)
        found = unit.programs if kind == "sip" else unit.functions
        if name not in found:
            raise SipError("answer.missing", f"there is no {'SIP' if kind == 'sip' else kind} called {name}", filename="notebook",
                           hint=f"define it with @{kind} above def {name}(...):")  # fmt: skip
        return found[name]

    def part(self, part: Part, given: dict) -> Program | Contract | Policy:
        """Return a part of the answer: a program as above, a kernel function, a policy, or a contract.

        Raises
        ------
        SipError
            If there is none, it stands in a cell that is no Python, or it is a contract that is not well-formed.
        """
        if part.kind == "sip":
            return self.program(part.name, given)
        if part.kind == "kernel":
            return self._kernel(part, given)
        if part.kind == "policy":
            self._not_broken(rf"@\s*policy\s*\(\s*[\"']{re.escape(part.name)}\b")
            return part.find(self._without_contracts(given), "notebook", given)
        self._not_broken(rf"^{re.escape(part.name)}\s*=")
        statements = _contracts(self.text).get(part.name)
        if not statements:
            raise SipError("answer.missing", f"there is no contract called {part.name}", filename="notebook", hint=f"write {part}")
        literal = statements[-1].value.args[0]
        found = parse_contracts(literal.value, "notebook", literal.lineno)
        if len(found) != 1:
            raise SipError("contract.syntax", f"{len(found)} contracts where one is expected", filename="notebook", line=literal.lineno,
                           hint="write one contract")  # fmt: skip
        return next(iter(found.values()))

    def _kernel(self, part: Part, given: dict) -> Program:
        """Return a kernel function."""
        from singlab.grading.kernelcode import kernel_functions

        self._not_broken(rf"\bdef\s+{re.escape(part.name)}\b")
        found = kernel_functions(self._without_contracts(given), "notebook", given)
        if part.name not in found:
            raise SipError("answer.missing", f"there is no kernel function called {part.name}", filename="notebook",
                           hint=f"define it with @kernel above {part}")  # fmt: skip
        return found[part.name]

    def _not_broken(self, pattern: str) -> None:
        """Refuse an answer whose definition stands in a cell that is no Python."""
        for number, text, error in self.broken:
            if re.search(pattern, text):
                line = getattr(error, "lineno", 0) or 0
                raise SipError(
                    "syntax", f"this is not Python: {getattr(error, 'msg', None) or error}", filename=f"cell {number}",
                    line=line, column=getattr(error, "offset", 0) or 0,
                    source_line=text.splitlines()[line - 1] if 0 < line <= len(text.splitlines()) else "",
                    hint="correct the line; brackets, colons and indentation are the usual causes",
                )  # fmt: skip

    def _without_contracts(self, names: Iterable[str]) -> str:
        """Return the text without its own contracts of some names, and without those that are not well-formed; lines stay.

        A contract that is refused costs what uses it, not the rest of the answer.
        """
        lines = self.text.split("\n")
        for name, statements in _contracts(self.text).items():
            for node in statements:
                if name in names or not _well_formed(node.value.args[0].value):
                    lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
        return "\n".join(lines)

    def locate(self, error: SipError) -> SipError:
        """Turn a line of the joined text into a cell and a line of that cell; returns the error."""
        if error.filename == "notebook" and 0 < error.line <= len(self.places):
            number, line = self.places[error.line - 1]
            error.filename, error.line = f"cell {number}", line
        return error

    def line(self, line: int) -> str:
        """Return in words where a line of the joined text stands."""
        if 0 < line <= len(self.places):
            number, inside = self.places[line - 1]
            return f"cell {number}, line {inside}"
        return super().line(line)


def _contracts(text: str) -> dict[str, list[ast.Assign]]:
    """Return by name the statements of a text that declare a contract, in order."""
    found: dict[str, list[ast.Assign]] = {}
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return found
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Call)):
            continue
        called = getattr(node.value.func, "id", getattr(node.value.func, "attr", None))
        literal = node.value.args[0] if node.value.args else None
        if called == "contract" and isinstance(literal, ast.Constant) and isinstance(literal.value, str):
            found.setdefault(node.targets[0].id, []).append(node)
    return found


def _well_formed(text: str) -> bool:
    try:
        parse_contracts(text)
    except SipError:
        return False
    return True


def read_answer(path: str | Path) -> Answer:
    """Read the code of a notebook.

    Raises
    ------
    GradingError
        If the file is missing or no notebook.
    """
    import nbformat

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise GradingError(f"{path} does not exist. Name a notebook, such as exercises/ex00_first_sip.ipynb.") from None
    except IsADirectoryError:
        raise GradingError(f"{path} is a folder. Name a notebook in it.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GradingError(f"{path} cannot be read ({error}).") from None
    again = "Save it again from JupyterLab, or fetch the exercise anew; your file is as it was."
    try:
        node = nbformat.reads(text, as_version=4)
        cells = [cell for cell in node.cells if cell.cell_type == "code"]
        sources = ["".join(cell.source) for cell in cells]
        named = dict(node.metadata.get("singlab", {})).get("exercise")
    except Exception as error:  # a damaged file can fail anywhere in the reader; whatever it was, it is no notebook
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GradingError(f"{path} is not a notebook: {reason[:200]}. {again}") from None
    if sum(map(len, sources)) > MOST_CHARACTERS:
        raise GradingError(f"{path} holds more than {MOST_CHARACTERS:,} characters of code. Remove what is not the answer.")
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    broken = []
    for number, source in enumerate(sources, 1):
        plain = blank_magics(source)
        try:
            parse(plain)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            broken.append((number, plain, error))
            continue
        for inside, line in enumerate(plain.splitlines() or [""], 1):
            lines.append(line)
            places.append((number, inside))
    return Answer("\n".join(lines), places, str(named or path.stem), broken)
