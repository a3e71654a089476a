"""How the views of the machine show themselves: the same few blocks as plain text and as HTML.

A view says what it shows as blocks (a heading, a table, a grid of named values, bars, a remark); the text
form aligns them, the HTML form is one ``div`` with its own small style. Colours are laid over whatever the
page has, so it reads on light and on dark paper. Leaves out everything that needs a script.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from html import escape

#: Colours that also those who confuse red and green tell apart.
PALETTE = ("#56B4E9", "#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#B8A800", "#7F5FA8", "#8a93a0")

STYLE = """
.slv{font:13px/1.45 var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",sans-serif);color:inherit;max-width:1100px;overflow-x:auto}
.slv h5{font-size:14px;font-weight:650;margin:6px 0 4px}.slv h5 small{font-weight:400;font-size:12px;opacity:.7;margin-left:8px}
.slv p{margin:3px 0;max-width:90ch}.slv p.slv-soft{opacity:.72}
.slv table.slv-t{border-collapse:collapse;border:0;margin:2px 0 6px;font-size:12.5px;font-variant-numeric:tabular-nums;color:inherit;width:auto}
.slv table.slv-t th,.slv table.slv-t td{text-align:left;padding:1px 12px 1px 4px;border:0;white-space:pre;background:none;vertical-align:baseline;max-width:none;line-height:1.5}
.slv table.slv-t th:last-child,.slv table.slv-t td:last-child{padding-right:2px}
.slv table.slv-t th.slv-num{text-align:right}.slv table.slv-t th{white-space:normal;vertical-align:bottom;font-weight:400;opacity:.65;border-bottom:1px solid rgba(128,128,128,.35)}
.slv table.slv-t tr,.slv table.slv-t tr:nth-child(odd){background:none}
.slv table.slv-t td.slv-num{text-align:right}.slv table.slv-t td.slv-wrap{white-space:normal;min-width:16ch}
@media (max-width:820px){.slv table.slv-t:has(td.slv-wrap:nth-child(n+3)) thead{display:none}
.slv table.slv-t tr:has(td.slv-wrap:nth-child(n+3)){display:flex;flex-wrap:wrap}
.slv table.slv-t tr:has(td.slv-wrap:nth-child(n+3)) td:first-child{flex:0 0 15em}
.slv table.slv-t tr td.slv-wrap:nth-child(n+3){flex:0 0 100%;padding:0 4px 5px 16px;box-sizing:border-box}}
.slv .slv-mono,.slv table.slv-t td.slv-mono{font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px}
.slv .slv-soft,.slv table.slv-t td.slv-soft{opacity:.62}.slv .slv-bad{color:#D55E00;color:color-mix(in srgb,#D55E00 80%,currentColor)}.slv .slv-good{color:#009E73;color:color-mix(in srgb,#009E73 80%,currentColor)}
.slv .slv-strong{font-weight:650}
.slv table.slv-t tr.slv-pc{background:rgba(0,114,178,.17)}.slv table.slv-t tr.slv-pc td:first-child{box-shadow:inset 3px 0 #0072B2}
.slv table.slv-t tr.slv-source td{padding-top:6px;opacity:.75;font-style:italic}.slv table.slv-t tr.slv-changed,.slv .slv-changed{background:rgba(230,159,0,.24)}
.slv table.slv-t tr.slv-label td{padding-top:6px;font-weight:650}
.slv .slv-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(178px,1fr));gap:1px 14px;margin:2px 0 6px}
.slv .slv-grid>div{display:flex;gap:8px;padding:0 4px;border-radius:3px;align-items:baseline;white-space:nowrap;min-width:0}
.slv .slv-grid b{font-weight:500;opacity:.7;min-width:2.6em}.slv .slv-grid span{margin-left:auto}.slv .slv-grid em{margin-left:auto;font-style:normal;opacity:.62}
.slv .slv-grid em+span{margin-left:0}
.slv .slv-bar{display:flex;height:18px;border-radius:4px;overflow:hidden;background:rgba(128,128,128,.2);margin:4px 0 6px;max-width:1000px}
.slv .slv-bar i{display:block;height:100%}.slv i.slv-key{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
.slv [data-address]{cursor:default}
.slv pre.slv-lines{margin:2px 0 6px;padding:4px 8px;max-height:460px;overflow:auto;background:none;color:inherit;font:12px/1.55 var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);border:1px solid rgba(128,128,128,.3);border-radius:4px}
.slv pre.slv-lines b{font-weight:400;opacity:.45;display:inline-block;min-width:3em;padding-right:1em;text-align:right;user-select:none;box-sizing:border-box}
.slv .slv-word{color:var(--jp-mirror-editor-keyword-color,#0072B2);font-weight:600}.slv .slv-text{color:var(--jp-mirror-editor-string-color,#B35900)}
.slv .slv-number{color:var(--jp-mirror-editor-number-color,#00734f)}.slv .slv-comment{color:var(--jp-mirror-editor-comment-color,#6b7785);font-style:italic}
.slv .slv-name{color:var(--jp-mirror-editor-def-color,#0072B2)}
"""


@dataclass(frozen=True)
class Cell:
    """One place in a table.

    Attributes
    ----------
    text : str
    kind : str
        Any of mono, num, soft, strong, bad, good, wrap, changed; separated by spaces.
    address : int or None
        The address it stands for, if it does.
    colour : str
        A colour to key it with.
    aside : str
        The value said in another way; in a grid only.
    """

    text: str
    kind: str = ""
    address: int | None = None
    colour: str = ""
    aside: str = ""


@dataclass(frozen=True)
class Row:
    """Cells side by side; ``kind`` is pc, source, label or changed. A source or label row is one cell across."""

    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True)
class Heading:
    """A title and a few words beside it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Remark:
    """A sentence; ``kind`` is empty, soft or bad."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Rows below column names (none: no head)."""

    columns: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Grid:
    """Named values in as many columns as there is room for: (name, value cell)."""

    items: list[tuple[str, Cell]]


@dataclass(frozen=True)
class Bar:
    """Shares of a whole: (name, share from 0 to 1, colour)."""

    parts: list[tuple[str, float, str]]


@dataclass(frozen=True)
class Listing:
    """Lines of a text: what stands in the margin, and pieces of (text, kind); a kind is word, text, number, comment, name, soft or strong."""

    lines: list[tuple[str, list[tuple[str, str]]]]


Block = Heading | Remark | Table | Grid | Bar | Listing


def counted(number: int, what: str, plural: str = "") -> str:
    """Return a number and what it counts: "1 cycle", "2,000 cycles"; ``plural`` where it is not formed by an s."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


class Shown(ABC):
    """A result that shows itself: ``print`` gives text, a notebook the same as HTML.

    A subclass says in ``blocks`` what there is to see.
    """

    @abstractmethod
    def blocks(self) -> list[Block]:
        """Return what there is to see."""

    def __repr__(self) -> str:
        return "\n".join(_text(block) for block in self.blocks())

    __str__ = __repr__

    def html(self, title: bool = True) -> str:
        """Return it as HTML without the style; with ``title=False`` also without its first heading."""
        blocks = self.blocks()
        if not title and blocks and isinstance(blocks[0], Heading):
            blocks = blocks[1:]
        return '<div class="slv">' + "".join(_html(block) for block in blocks) + "</div>"

    @property
    def note(self) -> str:
        """The words beside its heading."""
        first = self.blocks()[0]
        return first.note if isinstance(first, Heading) else ""

    def _repr_html_(self) -> str:
        return f"<style>{STYLE}</style>{self.html()}"

    def frame(self):
        """Return the rows as a pandas frame."""
        import pandas

        return pandas.DataFrame([asdict(row) for row in self.rows])


# ---- as text ---------------------------------------------------------------------------------------------

#: Characters of a row of named values, and of the bar.
_WIDTH = 112


def _text(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{block.text}  ({block.note})" if block.note else block.text
    if isinstance(block, Remark):
        return f"  {block.text}"
    if isinstance(block, Bar):
        return ""
    if isinstance(block, Listing):
        margin = max((len(number) for number, _ in block.lines), default=0)
        return "\n".join(f"  {number:>{margin}}  {''.join(text for text, _ in pieces)}".rstrip() for number, pieces in block.lines)
    if isinstance(block, Grid):
        names = max((len(name) for name, _ in block.items), default=0)
        texts = [f"{cell.aside}  {_flat(cell)}" if cell.aside else _flat(cell) for _, cell in block.items]
        values = max((len(text) for text in texts), default=0)
        fields = [
            f"{name:<{names}} {text:>{values}}{'*' if 'changed' in cell.kind else ' '}" for text, (name, cell) in zip(texts, block.items)
        ]
        across = max(1, _WIDTH // (names + values + 4))
        return "\n".join("  " + "  ".join(fields[at : at + across]).rstrip() for at in range(0, len(fields), across))
    body = [row for row in block.rows if row.kind not in ("source", "label")]
    heads = [Cell(name) for name in block.columns]
    columns = max((len(row.cells) for row in body), default=len(heads))
    widths = [max((len(_flat(row[i])) for row in [heads, *(r.cells for r in body)] if i < len(row)), default=0) for i in range(columns)]
    lines = []
    if any(block.columns):
        lines.append("  " + "  ".join(f"{cell.text:<{width}}" for cell, width in zip(heads, widths)).rstrip())
    for row in block.rows:
        mark = {"pc": "> ", "changed": "* "}.get(row.kind, "  ")
        if row.kind in ("source", "label"):
            lines.append(f"{mark}{_flat(row.cells[0])}")
            continue
        fields = [
            f"{_flat(cell):>{width}}" if "num" in cell.kind.split() else f"{_flat(cell):<{width}}" for cell, width in zip(row.cells, widths)
        ]
        lines.append((mark + "  ".join(fields)).rstrip())
    return "\n".join(lines)


def _flat(cell: Cell) -> str:
    """Return a cell's text on one line, control characters as dots."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "." for c in cell.text)


# ---- as HTML ---------------------------------------------------------------------------------------------


def _attributes(cell: Cell, extra: str = "") -> str:
    kinds = " ".join(f"slv-{kind}" for kind in (cell.kind.split() + extra.split()))
    classes = f' class="{kinds}"' if kinds else ""
    return classes + (f' data-address="{cell.address:#x}"' if cell.address is not None else "")


def _key(colour: str) -> str:
    return f'<i class="slv-key" style="background:{colour}"></i>' if colour else ""


def _line(line: tuple[str, list[tuple[str, str]]]) -> str:
    number, pieces = line
    marked = "".join(f'<span class="slv-{kind}">{escape(text)}</span>' if kind else escape(text) for text, kind in pieces)
    return f"{f'<b>{escape(number)}</b>' if number else ''}{marked}\n"


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h5>{escape(block.text)}{f'<small>{escape(block.note)}</small>' if block.note else ''}</h5>"
    if isinstance(block, Remark):
        return f"<p{f' class=slv-{block.kind}' if block.kind else ''}>{escape(block.text)}</p>"
    if isinstance(block, Bar):
        parts = "".join(
            f'<i style="width:{100 * share:.3f}%;background:{colour}" title="{escape(name)}: {100 * share:.1f} %"></i>'
            for name, share, colour in block.parts
            if share > 0
        )
        return f'<div class="slv-bar">{parts}</div>'
    if isinstance(block, Listing):
        return f'<pre class="slv-lines">{"".join(map(_line, block.lines))}</pre>'
    if isinstance(block, Grid):
        items = "".join(
            f"<div{_attributes(Cell('', 'changed' if 'changed' in cell.kind else '', cell.address))}><b>{escape(name)}</b>"
            f"{f'<em>{escape(cell.aside)}</em>' if cell.aside else ''}"
            f'<span class="slv-mono{" slv-soft" if "soft" in cell.kind else ""}">{escape(cell.text)}</span></div>'
            for name, cell in block.items
        )
        return f'<div class="slv-grid">{items}</div>'
    numbers = [i for i, cell in enumerate(block.rows[0].cells) if "num" in cell.kind.split()] if block.rows else []
    names = "".join(f"<th{' class=slv-num' if i in numbers else ''}>{escape(name)}</th>" for i, name in enumerate(block.columns))
    head = f"<thead><tr>{names}</tr></thead>" if any(block.columns) else ""
    across = max([len(block.columns), *(len(row.cells) for row in block.rows)], default=1)
    rows = []
    for row in block.rows:
        classes = f' class="slv-{row.kind}"' if row.kind else ""
        span = f' colspan="{across}"' if row.kind in ("source", "label") else ""
        cells = "".join(f"<td{span}{_attributes(cell)}>{_key(cell.colour)}{escape(_flat(cell))}</td>" for cell in row.cells)
        rows.append(f"<tr{classes}>{cells}</tr>")
    return f'<table class="slv-t">{head}<tbody>{"".join(rows)}</tbody></table>'
