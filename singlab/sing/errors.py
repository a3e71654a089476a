"""What the compiler says: one error class, always located, always with a way out.

Every refusal of a contract or a program is a :class:`SipError`. It names the rule, the place in the
student's own text, what is wrong and how to repair it; in a notebook it shows only that.
"""

from __future__ import annotations

import html

from singlab.kernel.manifest import in_lines

#: Characters of a message, and of a source line, that are shown.
_LONGEST_SAID, _LONGEST_LINE = 1000, 240


def printable(text: str) -> str:
    """Return a text in which every character can be shown, in its place; what cannot be is a U+FFFD."""
    return "".join(letter if letter.isprintable() or letter in "\t\n" else "\ufffd" for letter in text)


def said(text: str) -> str:
    """Return a sentence of a message, cut where a program's own text makes it too long to read."""
    text = text if len(text) <= _LONGEST_SAID else f"{text[: _LONGEST_SAID // 2]} … {text[-_LONGEST_SAID // 2 :]}"
    return printable(text)


#: What the compiler says of a statement that makes it stumble.
NOT_UNDERSTOOD = "the compiler does not understand this statement"
OWN_MISTAKES = (AttributeError, TypeError, LookupError, ValueError, ArithmeticError, AssertionError)


class SipError(Exception):
    """A program or a contract was refused.

    Attributes
    ----------
    rule : str
        Identifier of the rule, such as "owner.use-after-send".
    message : str
        What is wrong.
    hint : str
        How to repair it.
    filename : str
    line, column : int
        Where, counted from 1; 0 where there is no place.
    source_line : str
        The line's text.
    """

    def __init__(self, rule: str, message: str, *, hint: str = "", filename: str = "<sip>", line: int = 0,
                 column: int = 0, source_line: str = ""):  # fmt: skip
        self.rule, self.message, self.hint = rule, said(message), said(hint)
        self.filename, self.line, self.column, self.source_line = filename, line, column, source_line.rstrip()
        super().__init__(self.message)

    def at(self, filename: str, source: str) -> SipError:
        """Fill in the file and the text of the line; returns itself."""
        self.filename = filename
        lines = source.splitlines()
        if 0 < self.line <= len(lines):
            self.source_line = lines[self.line - 1].rstrip()
        return self

    @property
    def place(self) -> str:
        """File, line and column as one text."""
        if not self.line:
            return self.filename
        return f"{self.filename}:{self.line}" + (f":{self.column}" if self.column else "")

    @property
    def excerpt(self) -> tuple[str, str]:
        """The line, or of a long one the part around the place, and the mark that stands below it."""
        line, column, start = self.source_line, self.column, 0
        if len(line) > _LONGEST_LINE:
            start = max(0, min(column - _LONGEST_LINE // 2, len(line) - _LONGEST_LINE))
            end = start + _LONGEST_LINE
            line = "…" * (start > 0) + line[start:end] + "…" * (end < len(line))
            column -= start - (start > 0)
        return printable(line), " " * (column - 1) + "^" if self.column and 0 < column <= _LONGEST_LINE + 2 else ""

    @property
    def reason(self) -> str:
        """Why the rule is there, for the verifier's rules; else empty."""
        from singlab.sing.rules import BY_NAME

        rule = BY_NAME.get(self.rule)
        return rule.reason if rule else ""

    def __str__(self) -> str:
        out = [f"{self.place}: {self.message}"]
        if self.source_line:
            line, mark = self.excerpt
            out.append(f"    {line}")
            if mark:
                out.append(f"    {mark}")
        out.append(f"rule: {self.rule}")
        if self.hint:
            out.append(f"repair: {self.hint}")
        return "\n".join(out)

    def _render_traceback_(self) -> list[str]:
        """All that a notebook shows of it: no traceback, the student's line as it is, and sentences broken between words."""
        said = {f"SipError: {self.place}: {self.message}", f"repair: {self.hint}"}
        lines = f"SipError: {self}".split("\n")
        return ["\n".join(in_lines(line) if line in said else line for line in lines)]

    def _repr_html_(self) -> str:
        line, mark = self.excerpt
        code = f"<pre style='margin:.4em 0;overflow-x:auto'>{html.escape(line)}\n{mark}</pre>" if line else ""
        hint = f"<div><b>Repair:</b> {html.escape(self.hint)}</div>" if self.hint else ""
        why = f"<div><b>Why:</b> {html.escape(self.reason)}</div>" if self.reason else ""
        return (
            "<div style='border-left:4px solid #D55E00;padding:.4em .8em'>"
            f"<div><b>Refused:</b> {html.escape(self.message)}</div>{code}{hint}{why}"
            f"<div style='opacity:.7'>{html.escape(self.place)} · rule {html.escape(self.rule)}</div></div>"
        )
