"""The trusted computing base of this very code, counted: what has to be right for processes to be isolated.

The papers count how much of Singularity's kernel is unsafe C#, assembler or C++; all that is left to be believed, once a
type checker has looked at the rest. The same question about singlab: which files, were they wrong, could let one SIP reach
another's memory, and which could at most make a program slow, be refused or compute nonsense of its own?

Each file has one role; the rooms' table in ``docs/architecture.md`` says what lives where. Lines are those with code: neither
empty, nor a comment, nor a docstring. The simulated machine counts as hardware does in the papers: it is believed, and not counted
with the software.

Leaves out what is below: Python, numba, LLVM and the computer this runs on.
"""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent

#: Roles in order: name, whether isolation needs it, and why.
ROLES = {
    "verifier": (True, "what it accepts is run in ring 0 without a wall"),
    "SIL": (True, "what the verifier reads must mean what the code generator makes of it"),
    "code generator": (True, "it writes the machine code of what was verified"),
    "optimiser": (True, "it changes what was verified, after it was verified"),
    "kernel core": (True, "allocation records, messages and contracts, pages, threads"),
    "collectors": (True, "they move objects, and run behind a call of the kernel"),
    "entry code": (True, "assembler: traps, the context switch, the way into the kernel"),
    "native form": (True, "makes of the kernel's text the functions that run and their charges"),
    "loader and boot": (True, "checks seals, puts code in place, writes the first tables"),
    "front end": (False, "what it makes of a source is verified"),
    "views and books": (False, "cards, audits and messages look on"),
    "machine": (True, "the hardware: believed as a processor is"),
    "open personality": (False, "another kernel's system calls, for comparison: no sealed process runs on it"),
    "experiments and lessons": (False, "they run as programs do, or outside"),
}
_SIL = ("sil", "types", "ownership", "contracts", "contract_limits", "contract_types", "exceptions")
_VERIFIER = ("verifier", "rules", "borrow", "carried", "contract_flow", "endpointflow", "callgraph", "status")
_CODE = ("codegen", "modulecode", "emitter", "regalloc", "heapcode", "heaptables", "channelcode", "childcode", "raisecode", "handlecode", "fieldcode", "rawcode", "stackcode", "stacktests", "attempted", "build", "expand")
_OPTIMISER = ("optimise", "plainobjects", "ssa", "flow", "inline", "simplify", "loops", "ranges")
_NATIVE = ("native", "native_files", "gate", "policynative", "policycalls", "hostcalls")
_LOOKS = ("cards", "audit", "auditheaps", "abitable", "host", "process", "operating", "system", "devices", "__init__")


def _is(stem: str, names: tuple[str, ...]) -> bool:
    return stem in names or any(name == "sil" and stem.startswith("sil_") for name in names)


def role_of(path: Path) -> str:
    """Return the role of a file of the package."""
    parts = path.relative_to(PACKAGE).parts
    room, stem = parts[0], path.stem
    if room == "machine":
        return "views and books" if "view" in parts else "machine"
    if room == "trace":
        return "views and books"
    if room == "runtime":
        return "collectors"
    if room == "kernel" and stem.startswith("open"):
        return "open personality"
    if room == "kernel":
        if "core" in parts:
            return "native form" if stem == "words" else "kernel core"
        if stem == "entry":
            return "entry code"
        for names, role in ((_NATIVE, "native form"), (_LOOKS, "views and books")):
            if stem in names:
                return role
        return "loader and boot"
    if room == "sing":
        if stem in ("words", "subset", "policies", "kernel_costs"):
            return "native form"
        for names, role in ((_VERIFIER, "verifier"), (_SIL, "SIL"), (_CODE, "code generator"), (_OPTIMISER, "optimiser")):
            if _is(stem, names):
                return role
        return "front end"
    return "experiments and lessons"


def lines_of(text: str) -> int:
    """Return how many lines of a Python text have code: neither empty, nor a comment, nor a docstring."""
    silent = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False) is not None:
            silent.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    skip = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    coded = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skip:
            coded.update(range(token.start[0], token.end[0] + 1))
    return len(coded - silent)


def files():
    """Return one row a file: ``file``, ``role``, ``needed`` (whether isolation needs it to be right) and ``lines`` (a pandas DataFrame)."""
    import pandas as pd

    rows = []
    for path in sorted(PACKAGE.rglob("*.py")):
        role = role_of(path)
        rows.append((path.relative_to(PACKAGE).as_posix(), role, ROLES[role][0], lines_of(path.read_text(encoding="utf-8"))))
    return pd.DataFrame(rows, columns=["file", "role", "needed", "lines"])


def count():
    """Return the trusted base by role.

    Returns
    -------
    pandas.DataFrame
        Index ``role``; ``files``, ``lines``, ``needed`` for isolation, ``% of lines`` of all software (the machine, which stands for
        hardware, has none) and ``why``.
    """
    found = files()
    table = found.groupby("role").agg(files=("file", "count"), lines=("lines", "sum")).reindex(list(ROLES))
    table["needed"] = [needed for needed, _ in ROLES.values()]
    software = table["lines"].drop("machine").sum()
    table["% of lines"] = (100 * table["lines"] / software).round(1)
    table.loc["machine", "% of lines"] = float("nan")
    table["why"] = [why for _, why in ROLES.values()]
    return table


def plot(table, papers: bool = True):
    """Draw the roles' lines, and what the papers say of theirs; returns a matplotlib figure.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`count`.
    papers : bool
        Whether to write the papers' shares below.
    """
    from singlab.experiments import style
    from singlab.experiments.datasets import load_dataset

    rows = table.drop("machine")
    figure, axes = style.new_axes(8.5, 0.4 * len(rows) + (2.6 if papers else 1.2))
    colours = [style.VERMILION if needed else style.SKY for needed in rows["needed"]]
    axes.barh(range(len(rows)), rows["% of lines"], color=colours)
    names = list(rows.index)
    if papers:
        theirs = load_dataset("trusted_base.csv")
        places = range(len(rows) + 1, len(rows) + 1 + len(theirs))
        axes.barh(places, theirs["percent"], facecolor="none", edgecolor=style.GREY, linestyle="--", linewidth=1.2)
        names = [*names, "", *(f"paper: {what}" for what in theirs["what"])]
    axes.set_yticks([i for i, name in enumerate(names) if name], [name for name in names if name], fontsize=9.5)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlabel("percent; ours: of all lines of software; theirs: of what each line says", fontsize=10)
    axes.set_title("What has to be right (red), and what need not be (blue)", loc="left", fontsize=12, fontweight="bold")
    return figure
