"""The explorer: a program's source, SIL, machine code and findings side by side, linked by line.

``explore(program)`` compiles and verifies, and generates code only for what the verifier accepts: line by line,
or as an image has it, after the optimiser. Pointing at a line marks what came of it in the other panes; a click
also brings it into sight. Everything is in the
page itself, so a saved notebook and an exported page show the same.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from itertools import count

from singlab.kernel.abi import ABI
from singlab.machine.view.disassembly import read_instruction
from singlab.machine.view.source import Symbols
from singlab.sing.build import compiled
from singlab.sing.errors import SipError
from singlab.sing.frontend import compile_program
from singlab.sing.program import Program
from singlab.sing.sil import Function, Module
from singlab.sing.sil_text import format_instr, format_signature
from singlab.sing.verifier import verify

_NEXT = count(1)

_STYLE = """
.slx{container-type:inline-size;font:13px/1.45 var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",sans-serif);color:inherit}
.slx .slx-panes{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,6fr) minmax(0,6fr);gap:10px}
.slx .slx-pane{border:1px solid rgba(128,128,128,.35);border-radius:6px;min-width:0;display:flex;flex-direction:column}
.slx h5{font-size:13px;font-weight:650;margin:0;padding:6px 10px;border-bottom:1px solid rgba(128,128,128,.25)}
.slx h5 small{font-weight:400;font-size:12px;opacity:.7;margin-left:8px}
.slx .slx-lines{overflow:auto;max-height:460px;padding:4px 0;font:12px/1.55 var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace)}
.slx .slx-lines>div{white-space:pre;padding:0 6px;width:max-content;min-width:100%;box-sizing:border-box}
.slx .slx-lines>div[data-line]{cursor:pointer}
.slx .slx-lines b{font-weight:400;opacity:.5;display:inline-block;min-width:2.8em;user-select:none}
.slx .slx-label{font-weight:650;padding-top:4px!important}.slx .slx-soft{opacity:.65}
.slx .slx-bad{box-shadow:inset 3px 0 #D55E00}
.slx .slx-on{background:rgba(0,114,178,.18)}
.slx .slx-findings{margin-top:8px;display:flex;flex-direction:column;gap:6px}
.slx .slx-ok{border-left:4px solid #009E73;padding:.3em .8em}
@container (max-width:1000px){.slx .slx-panes{grid-template-columns:minmax(0,6fr) minmax(0,7fr)}.slx .slx-pane:last-child{grid-column:1/-1}.slx .slx-pane:last-child .slx-lines{max-height:260px}}
@container (max-width:600px){.slx .slx-panes{grid-template-columns:minmax(0,1fr)}}
"""

# Marks the lines of one place in every pane; a click brings them into sight.
_SCRIPT = """
(() => {
  const root = document.getElementById("%s");
  if (!root || root.dataset.ready) return;
  root.dataset.ready = "1";
  const at = (event) => event.target.closest ? event.target.closest("[data-line]") : null;
  let pinned = null;
  const mark = (line) => {
    for (const row of root.querySelectorAll(".slx-on")) row.classList.remove("slx-on");
    if (line) for (const row of root.querySelectorAll(`[data-line="${line}"]`)) row.classList.add("slx-on");
  };
  root.addEventListener("mouseover", (event) => { const row = at(event); if (row) mark(row.dataset.line); });
  root.addEventListener("mouseleave", () => mark(pinned));
  root.addEventListener("click", (event) => {
    const row = at(event);
    if (!row) return;
    pinned = row.dataset.line;
    mark(pinned);
    for (const lines of root.querySelectorAll(".slx-lines")) {
      const first = lines.querySelector(`[data-line="${pinned}"]`);
      if (first && !lines.contains(row)) lines.scrollTop = first.offsetTop - lines.offsetTop - lines.clientHeight / 3;
    }
  });
})();
"""


@dataclass(frozen=True)
class Row:
    """A line of a pane.

    Attributes
    ----------
    text : str
    line : str
        Key of the source line it belongs to, the same in every pane; empty if to none.
    margin : str
        What stands before it: a line number, an address.
    kind : str
        "label" for names of functions and blocks, else empty.
    """

    text: str
    line: str = ""
    margin: str = ""
    kind: str = ""


@dataclass
class Exploration:
    """What :func:`explore` shows.

    Attributes
    ----------
    module : Module
    source, sil, code : list of Row
        The three panes; ``code`` is empty where the program was refused.
    findings : list of SipError
    bytes : int
        Size of the machine code.
    optimised : bool
        Whether it is the code an image has.
    """

    module: Module
    source: list[Row] = field(default_factory=list)
    sil: list[Row] = field(default_factory=list)
    code: list[Row] = field(default_factory=list)
    findings: list[SipError] = field(default_factory=list)
    bytes: int = 0
    optimised: bool = False

    def of_line(self, line: int) -> tuple[list[str], list[str]]:
        """Return the SIL and the machine code of a source line of the entry function's file."""
        key = f"0-{line}"
        return [r.text for r in self.sil if r.line == key], [r.text for r in self.code if r.line == key]

    def __str__(self) -> str:
        out = []
        for row in self.source:
            out.append(f"{row.margin:>4}  {row.text}")
            if row.line:
                out += [f"          {r.text}" for r in self.sil if r.line == row.line]
                out += [f"          {r.margin}  {r.text}" for r in self.code if r.line == row.line]
        return "\n".join([*out, "", "\n".join(map(str, self.findings)) or "accepted"])

    def __repr__(self) -> str:
        verdict = "accepted" if not self.findings else f"refused: {len(self.findings)} finding{'s' * (len(self.findings) != 1)}"
        return f"<Exploration of {self.module.name}: {len(self.sil)} lines of SIL, {self.bytes} bytes of code, {verdict}>"

    def _repr_html_(self) -> str:
        wrong = {row.line for row in self.source for f in self.findings if row.margin == str(f.line) and row.text.rstrip() == f.source_line}
        size = f"{self.bytes:,} bytes, {'as in the image' if self.optimised else 'line by line'}" if self.code else ""
        code = self.code or [Row("None: a refused program gets no code.", kind="soft")]
        panes = (("Source", "", self.source), ("SIL", "what is verified", self.sil), ("Machine code", size, code))
        verdict = "".join(f._repr_html_() for f in self.findings) or (
            f"<div class='slx-ok'><b>Accepted:</b> {html.escape(self.module.name)}. What runs is what was verified.</div>"
        )
        name = f"slx{next(_NEXT)}"
        body = "".join(
            f"<div class='slx-pane'><h5>{title}<small>{html.escape(note)}</small></h5><div class='slx-lines' tabindex='0'>"
            f"{''.join(_row(row, wrong) for row in rows)}</div></div>"
            for title, note, rows in panes
        )
        return (
            f"<style>{_STYLE}</style><div class='slx' id='{name}'><div class='slx-panes'>{body}</div>"
            f"<div class='slx-findings'>{verdict}</div></div><script>{_SCRIPT % name}</script>"
        )


def _row(row: Row, wrong: set[str]) -> str:
    kind = " ".join(filter(None, (f"slx-{row.kind}" if row.kind else "", "slx-bad" if row.line in wrong and row.line else "")))
    line = f" data-line='{row.line}'" if row.line else ""
    margin = f"<b>{html.escape(row.margin)}</b>" if row.margin else ""
    return f"<div class='{kind}'{line}>{margin}{html.escape(row.text) or ' '}</div>"


def _sources(module: Module) -> dict[tuple[str, str], int]:
    """Return a number for each text the functions stand in, the entry's first."""
    functions = sorted(module.functions.values(), key=lambda f: f.name != module.entry)
    texts = dict.fromkeys((function.filename, function.source) for function in functions)
    return {text: number for number, text in enumerate(texts)}


def _key(function: Function, line: int, numbers: dict) -> str:
    return f"{numbers[function.filename, function.source]}-{line}" if line else ""


def _source(module: Module, numbers: dict) -> list[Row]:
    """Return the lines of the functions' own texts, from each definition to its last line."""
    rows = []
    for function in sorted(module.functions.values(), key=lambda f: f.name != module.entry):
        lines = (function.source or module.source).splitlines()
        used = {i.position.line for b in function.blocks for i in b.instrs} | {function.position.line}
        first, last = min(used - {0}, default=1), max(used)
        if function.source and 0 < first <= len(lines):
            while first > 1 and lines[first - 2].lstrip().startswith("@"):
                first -= 1
        rows += [Row(lines[n - 1], _key(function, n, numbers), str(n)) for n in range(max(1, first), min(last, len(lines)) + 1)]
        rows.append(Row(""))
    return rows[:-1]


def _sil(module: Module, numbers: dict) -> list[Row]:
    rows = []
    for function in module.functions.values():
        rows.append(Row(f"function {function.name}{format_signature(function)}", _key(function, function.position.line, numbers), kind="label"))
        for block in function.blocks:
            rows.append(Row(f"{block.label}:", kind="soft"))
            rows += [Row(f"  {format_instr(i)}", _key(function, i.position.line, numbers)) for i in block.instrs]
    return rows


def _code(module: Module, numbers: dict, known: set[str], optimiser: bool) -> tuple[list[Row], int]:
    code = compiled(module, optimiser=optimiser).code
    calls = {r.offset: ABI[r.value].name for r in code.relocations if r.kind == "abi"}
    starts = sorted((code.labels[name], name) for name in module.functions if name in code.labels)
    blocks = {code.labels[label]: label.partition(":")[2] for label in code.labels if ":" in label}
    # a block is named after its function; a jump out of one is rare enough to be spelt out
    symbols = Symbols({label.replace(":", "."): offset for label, offset in code.labels.items()})
    rows, offset, lines = [Row("start:", kind="label")], 0, iter([*code.lines, (code.text_bytes, 0)])
    (_, line), (until, following) = next(lines), next(lines)
    function = module.functions[module.entry]
    names = dict(starts)
    while offset < code.text_bytes:
        while offset >= until:
            line = following
            until, following = next(lines)
        if offset in names:
            function = module.functions[names[offset]]
            rows.append(Row(f"{names[offset]}:", _key(function, function.position.line, numbers), kind="label"))
        if offset in blocks:
            rows.append(Row(f"{blocks[offset]}:", kind="soft"))
        key = _key(function, line, numbers)
        if optimiser:  # a function's lines may stand in another by now: linked where only one text has such a line
            possible = [k for number in set(numbers.values()) if (k := f"{number}-{line}") in known]
            key = possible[0] if len(possible) == 1 else ""
        if offset in calls:
            rows.append(Row(f"abi     {calls[offset]}", key, f"{offset:04x}"))
            offset += 8
            continue
        size, mnemonic, operands, _ = read_instruction(code.text[offset : code.text_bytes], offset, symbols)
        rows.append(Row(f"{mnemonic:<7} {operands}".rstrip(), key, f"{offset:04x}"))
        offset += size
    return rows, code.text_bytes


def explore(program: Program | Module, optimiser: bool = False) -> Exploration:
    """Return a program's source, SIL, machine code and findings.

    Parameters
    ----------
    program : Program or Module
        A function decorated with ``@sip``, or SIL.
    optimiser : bool
        Show the code an image has. Without, it is generated line by line, which is easier to follow.

    Raises
    ------
    SipError
        If the program cannot be brought to SIL at all; what the verifier refuses is shown, not raised.
    """
    module = program if isinstance(program, Module) else compile_program(program)
    report = verify(module, collect=True)
    found = Exploration(module, findings=report.findings)
    well_formed = not any(finding.rule == "sil.malformed" for finding in report.findings)
    numbers = _sources(module) if well_formed else {}
    if well_formed:
        found.source, found.sil = _source(module, numbers), _sil(module, numbers)
    else:
        found.sil = [Row(line) for line in str(module).splitlines()]
    if report.accepted:
        found.optimised = optimiser
        found.code, found.bytes = _code(module, numbers, {row.line for row in found.source}, optimiser)
    return found
