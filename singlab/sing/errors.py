"""What the compiler says: one error class, always located, always with a way out.

Every refusal of a contract or a program is a :class:`SipError`. It names the rule, the place in the
student's own text, what is wrong and how to repair it; in a notebook it shows only that.
"""

from __future__ import annotations

import html

from singlab.kernel.manifest import in_lines


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
        self.rule, self.message, self.hint = rule, message, hint
        self.filename, self.line, self.column, self.source_line = filename, line, column, source_line.rstrip()
        super().__init__(message)

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
    def reason(self) -> str:
        """Why the rule is there, for the verifier's rules; else empty."""
        from singlab.sing.rules import BY_NAME

        rule = BY_NAME.get(self.rule)
        return rule.reason if rule else ""

    def __str__(self) -> str:
        out = [f"{self.place}: {self.message}"]
        if self.source_line:
            out.append(f"    {self.source_line}")
            if self.column:
                out.append("    " + " " * (self.column - 1) + "^")
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
        caret = " " * max(0, self.column - 1) + "^" if self.column else ""
        code = f"<pre style='margin:.4em 0'>{html.escape(self.source_line)}\n{caret}</pre>" if self.source_line else ""
        hint = f"<div><b>Repair:</b> {html.escape(self.hint)}</div>" if self.hint else ""
        why = f"<div><b>Why:</b> {html.escape(self.reason)}</div>" if self.reason else ""
        return (
            "<div style='border-left:4px solid #D55E00;padding:.4em .8em'>"
            f"<div><b>Refused:</b> {html.escape(self.message)}</div>{code}{hint}{why}"
            f"<div style='opacity:.7'>{html.escape(self.place)} · rule {html.escape(self.rule)}</div></div>"
        )
