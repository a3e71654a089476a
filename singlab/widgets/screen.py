"""What a guest prints, as lines of text: a terminal that knows as much as kernels and their shells use.

Carriage return, newline, backspace, tab; of the escape sequences, those that erase; others are left out.
UTF-8; what is none shows as the replacement character.
"""

from __future__ import annotations

import codecs
import re

_PART = re.compile(r"\x1b\[[0-9;?]*[@-~]|\x1b\[[0-9;?]*$|\x1b[^\[]|\x1b$|[\x00-\x1f\x7f]|[^\x00-\x1f\x7f]+")
_CONTROL = re.compile(r"[\x80-\x9f]")
_TAB = 8


class Screen:
    """Lines, and a cursor in the last one.

    Parameters
    ----------
    rows, columns : int
        How many lines are kept, and where a line is broken.

    Attributes
    ----------
    lines : list of str
        The last one is where the cursor is.
    first : int
        Number of the first line that is kept; lines are counted from the start.
    column : int
        Of the cursor.
    changed : int
        Number of the first line that has changed since this was last set.
    """

    def __init__(self, rows: int = 2000, columns: int = 500):
        self.lines = [""]
        self.first = self.column = self.changed = 0
        self._rows, self._columns = rows, columns
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def end(self) -> int:
        """Number of the line after the last."""
        return self.first + len(self.lines)

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)

    def feed(self, data: bytes) -> None:
        """Print bytes."""
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        if data:
            self.changed = min(self.changed, self.end - 1)
        for part in _PART.findall(text):
            if part[0] == "\x1b":
                if part == "\x1b" or (part.startswith("\x1b[") and not "@" <= part[-1] <= "~") or part == "\x1b[":
                    self._rest = part[:64]  # the rest of it has not come yet
                else:
                    self._escape(part)
            elif part == "\n":
                self._line()
            elif part == "\r":
                self.column = 0
            elif part == "\b":
                self.column = max(0, self.column - 1)
            elif part == "\t":
                self._put(" " * (_TAB - self.column % _TAB))
            elif part > "\x1f" and part != "\x7f":
                self._put(_CONTROL.sub("\ufffd", part))

    def _put(self, text: str) -> None:
        while text:
            if self.column >= self._columns:
                self._line()
            piece, text = text[: self._columns - self.column], text[self._columns - self.column :]
            line = self.lines[-1].ljust(self.column)
            self.lines[-1] = line[: self.column] + piece + line[self.column + len(piece) :]
            self.column += len(piece)

    def _line(self) -> None:
        self.lines.append("")
        self.column = 0
        if len(self.lines) > self._rows:
            gone = len(self.lines) - self._rows
            del self.lines[:gone]
            self.first += gone
            self.changed = max(self.changed, self.first)

    def _escape(self, sequence: str) -> None:
        if sequence.endswith("K"):
            self.lines[-1] = self.lines[-1][: self.column]
        elif sequence in ("\x1b[2J", "\x1b[3J", "\x1bc"):
            self.first = self.changed = self.end
            self.lines, self.column = [""], 0
