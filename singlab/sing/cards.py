"""Programs and SIL as a reader sees them: cards with the text highlighted, line by line."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singlab.machine.view import render as r
from singlab.sing.sil_table import OPS

if TYPE_CHECKING:
    from singlab.sing.program import Program
    from singlab.sing.sil import Module

#: A card shows so many lines; print() shows all of SIL.
_MOST_LINES = 400
_KINDS = {tokenize.STRING: "text", tokenize.NUMBER: "number", tokenize.COMMENT: "comment"}
_SOFT_WORDS = {"match", "case"}

Pieces = list[tuple[str, str]]


def python_lines(text: str) -> list[Pieces]:
    """Return the lines of a Python text as pieces; where it is no Python, as they are."""
    lines = text.splitlines()
    marks: list[tuple[int, int, int, str]] = []  # line, from, to, kind
    try:
        before = ""
        for token in tokenize.generate_tokens(io.StringIO(text + "\n").readline):
            kind = _KINDS.get(token.type, "")
            if token.type == tokenize.NAME:
                starts = not token.line[: token.start[1]].strip()
                if keyword.iskeyword(token.string) or (token.string in _SOFT_WORDS and starts):
                    kind = "word"
                elif before in ("def", "@"):
                    kind = "name"
            before = token.string
            if kind:
                for line in range(token.start[0], token.end[0] + 1):
                    first = token.start[1] if line == token.start[0] else 0
                    last = token.end[1] if line == token.end[0] else 1 << 30
                    marks.append((line, first, last, kind))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass
    out: list[Pieces] = [[] for _ in lines]
    at = [0] * len(lines)
    for line, first, last, kind in marks:
        if line > len(lines):
            continue
        whole = lines[line - 1]
        out[line - 1] += [(whole[at[line - 1] : first], ""), (whole[first:last], kind)]
        at[line - 1] = min(last, len(whole))
    for line, whole in enumerate(lines):
        out[line].append((whole[at[line] :], ""))
    return [[piece for piece in pieces if piece[0]] for pieces in out]


_SIL = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")|(?P<comment>^\s*;.*$)|(?P<soft>@\d+:\d+)|(?P<name>%\d+(?:\.\w+)?)|(?P<strong>^\w+:$)|(?P<number>-?\b\d+\b)|(?P<word>[\w~]+)'
)
_SIL_WORDS = {*OPS, "sip", "entry", "function", "contracts", "contract", "closed"}


def sil_lines(text: str) -> list[Pieces]:
    """Return the lines of SIL as pieces."""
    out = []
    for line in text.splitlines():
        pieces, at = [], 0
        for found in _SIL.finditer(line):
            kind = found.lastgroup or ""
            if kind == "word" and found[0] not in _SIL_WORDS:
                kind = ""
            pieces += [(line[at : found.start()], ""), (found[0], kind)]
            at = found.end()
        out.append([piece for piece in [*pieces, (line[at:], "")] if piece[0]])
    return out


@dataclass(repr=False)
class ProgramCard(r.Shown):
    """A program's own lines."""

    program: Program

    def blocks(self) -> list[r.Block]:
        program, node = self.program, self.program.node
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        last = node.end_lineno or node.lineno
        lines = "\n".join(program.source.splitlines()[first - 1 : last])
        listing = [(str(first + index), pieces) for index, pieces in enumerate(python_lines(lines)[:_MOST_LINES])]
        arguments = ", ".join(f"{a.arg}: {ast.unparse(a.annotation) if a.annotation else '?'}" for a in node.args.args) or "nothing"
        returns = ast.unparse(node.returns) if node.returns is not None else "nothing"
        kind = "SIP" if program.entry else "Helper"
        takes = "starts with" if program.entry else "takes"
        note = f"{program.filename}, line {node.lineno}; {takes} {arguments}; returns {returns}"
        blocks: list[r.Block] = [r.Heading(f"{kind} {program.name}", note), r.Listing(listing)]
        if last - first >= _MOST_LINES:
            blocks.append(r.Remark(f"and {last - first + 1 - _MOST_LINES:,} lines more", "soft"))
        return blocks


@dataclass(repr=False)
class ModuleCard(r.Shown):
    """A module's SIL."""

    module: Module

    def blocks(self) -> list[r.Block]:
        module = self.module
        functions = module.functions.values()
        sizes = [
            r.counted(len(functions), "function"), r.counted(sum(len(f.blocks) for f in functions), "block"),
            r.counted(sum(len(b.instrs) for f in functions for b in f.blocks), "instruction"),
        ]  # fmt: skip
        if module.contracts:
            sizes.append(f"speaks {', '.join(module.contracts)}")
        lines = sil_lines(str(module))
        blocks: list[r.Block] = [r.Heading(f"SIL of {module.name}", ", ".join(sizes)), r.Listing([("", p) for p in lines[:_MOST_LINES]])]
        if len(lines) > _MOST_LINES:
            blocks.append(r.Remark(f"and {len(lines) - _MOST_LINES:,} lines more: print(module) writes them all", "soft"))
        return [*blocks, r.Remark("Nobody has to trust this text: verify(module) judges it.", "soft")]
