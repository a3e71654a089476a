"""The ABI as a table to read: ``abi()`` in a notebook, and ``docs/abi.md``.

Both are made from :data:`singlab.kernel.abi.ABI`. What a function costs is read off the kernel's own code: whether it
can wait, whether it can take memory, whether it goes through something of any length, or is a fixed number of steps.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache

from singlab.kernel.abi import ABI, ABI_VERSION, STATUS_NAMES, AbiFunction
from singlab.kernel.entry import inlined
from singlab.kernel.native_files import CORE_FILES, source_path
from singlab.machine.view import render as r

#: What the words mean that functions take and give, by name; what is not here is a number.
KINDS = {
    **dict.fromkeys(("endpoint", "endpoint0", "endpoint1", "endpoint2", "endpoint3", "imp", "exp"), "endpoint"),
    **dict.fromkeys(("block", "part"), "block"),
    **dict.fromkeys(("handle", "handle0", "handle1", "handle2", "handle3"), "handle"),
    **dict.fromkeys(("waited0", "waited1", "waited2", "waited3"), "waited"),
    **dict.fromkeys(("word0", "word1", "word2", "word3"), "word"),
    **dict.fromkeys(("bytes", "stack", "size"), "bytes"), **dict.fromkeys(("address", "entry"), "own address"),
    **dict.fromkeys(("until", "cycles"), "cycles"), "set": "set", "child": "child", "status": "status", "io_memory": "I/O memory",
    **dict.fromkeys(("signed", "manual", "signalled", "owned"), "bool"),
}  # fmt: skip
#: What each of these is.
SAID = {
    "number": "a number of 64 bits",
    "word": "a number, or a block or an endpoint where the message's contract says so",
    "endpoint": "an endpoint that the caller has",
    "set": "a set of endpoints that the caller has",
    "block": "a block that the caller owns",
    "child": "a child process that the caller has made",
    "handle": "an event, a mutex or an interrupt that the caller has opened",
    "waited": "a handle, an endpoint or a set that the caller has",
    "I/O memory": "the record of device registers, or of memory for devices, that the caller has opened",
    "bytes": "a size",
    "own address": "an address in the caller's own image, or of its own pages",
    "cycles": "a time, as the cycle counter counts",
    "bool": "1 or 0",
    "status": "0, or why nothing was done",
}
COSTS = {
    "inlined": "stands in the program itself in ring 0, without a call",
    "constant": "a bounded number of steps",
    "linear": "goes through something: bytes, pages, members of a set, objects of the process",
    "allocates": "may take pages or records",
    "blocks": "may let other threads run before it returns",
    "ends": "does not return",
}
#: Kernel functions that take memory.
_TAKING = frozenset(("pages_alloc", "record_new"))
#: A call that stands in the code and takes nothing: what is taken out of a domain's table has a table.
_TAKES_NOTHING = ("domain_unmap", "domain_leaf")


@cache
def _calls() -> dict[str, tuple[frozenset[str], bool]]:
    """Return for each kernel function which others it calls, and whether it has a loop."""
    found = {}
    for file in CORE_FILES:
        for node in ast.parse(source_path(file).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                names = {part.func.id for part in ast.walk(node) if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)}
                if node.name == _TAKES_NOTHING[0]:
                    names.discard(_TAKES_NOTHING[1])
                found[node.name] = frozenset(names), any(isinstance(part, ast.While) for part in ast.walk(node))
    return found


def _reached(name: str) -> set[str]:
    """Return a kernel function and all that it can come to."""
    calls, reached, todo = _calls(), {name}, [name]
    while todo:
        for other in calls[todo.pop()][0]:
            if other in calls and other not in reached:
                reached.add(other)
                todo.append(other)
    return reached


def cost_class(function: AbiFunction) -> str:
    """Return what kind of cost an ABI function has, a key of :data:`COSTS`."""
    if function.kind == "ends":
        return "ends"
    if inlined(function.number) is not None:
        return "inlined"
    if function.blocks:
        return "blocks"
    reached = _reached(f"abi_{function.name}")
    if reached & _TAKING:
        return "allocates"
    return "linear" if any(_calls()[name][1] for name in reached) else "constant"


def kind_of(word: str) -> str:
    """Return what kind of word an argument or result is, a key of :data:`SAID`."""
    return KINDS.get(word, "number")


def signature(function: AbiFunction) -> str:
    """Return a function as it is declared: its words and what they are."""
    takes = ", ".join(f"{name}: {kind_of(name)}" for name in function.arguments)
    gives = ", ".join(f"{name}: {kind_of(name)}" for name in function.results)
    return f"{function.name}({takes})" + (f" -> {gives}" if gives else "")


def groups() -> dict[str, list[AbiFunction]]:
    """Return the functions by their group, the groups by name."""
    return {group: [f for f in ABI if f.group == group] for group in sorted({f.group for f in ABI})}


@dataclass(repr=False)
class AbiTable(r.Shown):
    """The ABI, or the functions of one group."""

    group: str | None = None

    @property
    def rows(self) -> list[AbiFunction]:
        """The functions, those of a group together."""
        return [f for group, functions in groups().items() if self.group in (None, group) for f in functions]

    def blocks(self) -> list[r.Block]:
        chosen = {group: functions for group, functions in groups().items() if self.group in (None, group)}
        out: list[r.Block] = [r.Heading(f"ABI version {ABI_VERSION}", f"{r.counted(len(self.rows), 'function')}, values only")]
        for group, functions in chosen.items():
            out.append(r.Heading(group, r.counted(len(functions), "function")))
            out.append(r.Table(("no.", "function", "cost", "what it does"), [
                r.Row((r.Cell(str(f.number), "num soft"), r.Cell(signature(f), "mono wrap"), r.Cell(cost_class(f), "soft"), r.Cell(f.doc, "wrap")))
                for f in functions
            ]))  # fmt: skip
        return out

    def frame(self):
        """Return one row a function (a pandas DataFrame): number, group, name, arguments, results, cost, what it does."""
        import pandas as pd

        rows = [{"number": f.number, "group": f.group, "name": f.name, "arguments": ", ".join(f.arguments), "results": ", ".join(f.results),
                 "cost": cost_class(f), "does": f.doc} for f in self.rows]  # fmt: skip
        return pd.DataFrame(rows).set_index("number")


def abi(group: str | None = None) -> AbiTable:
    """Return the ABI as a table that shows itself, or one group of it.

    Raises
    ------
    ValueError
        If there is no such group.
    """
    if group is not None and group not in groups():
        raise ValueError(f"the ABI has no group {group!r}; there are {', '.join(groups())}")
    return AbiTable(group)


def document() -> str:
    """Return the documentation of the ABI as Markdown."""
    out = [
        "# The ABI",
        "",
        f"What a process can ask of the kernel: version {ABI_VERSION}, {len(ABI)} functions in {len(groups())} groups, named and grouped as in the",
        "Singularity papers (OSR 2007, table 2). All of it is one table, `singlab/kernel/abi.py`, from which the compiler's calls, the kernel's",
        "dispatcher, `abi()` in a notebook and this page are made. An image carries the version it was built for, and a kernel of another one",
        "refuses it.",
        "",
        "Arguments and results are values of 64 bits in a0 to a5, never references into the caller's memory but for its own text and pages. In",
        "ring 0 a program calls the function's entry, in ring 3 it executes `ecall` with the number in a7; a call keeps sp and s0 to s11. The kernel",
        "trusts no argument: what is no handle of the caller's, or out of bounds, is answered with a status, or with 0 where a handle is wanted,",
        "and changes nothing.",
        "",
        "| word | what it is |",
        "|---|---|",
        *(f"| {name} | {what} |" for name, what in SAID.items()),
        "",
        "| cost | a call |",
        "|---|---|",
        *(f"| {name} | {what} |" for name, what in COSTS.items()),
        "",
        "| status | why |",
        "|---|---|",
        *(f"| {number} | {what} |" for number, what in STATUS_NAMES.items()),
        "",
    ]
    for group, functions in groups().items():
        out += [f"## {group}", "", "| no. | function | cost | what it does |", "|---|---|---|---|"]
        out += [f"| {f.number} | `{signature(f)}` | {cost_class(f)} | {f.doc.replace('|', chr(92) + '|')} |" for f in functions]
        out.append("")
    return "\n".join(out)
