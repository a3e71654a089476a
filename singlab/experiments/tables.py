"""Frames as they stand in the lectures: text to the left, numbers to the right, in the look of the lab's other cards.

pandas cuts sentences off, puts text to the right and every row behind a number; a reader wants none of that. What is shown is
the frame's; nothing is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass

from singlab.machine.view import render as r

#: A column with a text longer than this may be broken into lines.
_LONG = 40


@dataclass(repr=False, eq=False)
class FrameTable(r.Shown):
    """A frame to read; prints as text, and shows itself as a table in a notebook."""

    data: object
    title: str = ""
    formats: dict[str, str] | None = None

    def blocks(self) -> list[r.Block]:
        flat = self.data
        if _named(flat.index):
            flat = (flat if flat.index.nlevels > 1 else flat.rename_axis(flat.index.name or "")).reset_index()
        formats = self.formats or {}
        unknown = set(formats) - set(map(str, flat.columns))
        if unknown:
            raise ValueError(f"no column {', '.join(sorted(unknown))}; there are {', '.join(map(str, flat.columns))}")
        columns = [_cells(flat.iloc[:, i], formats.get(str(name), "")) for i, name in enumerate(flat.columns)]
        heading = [r.Heading(self.title)] if self.title else []
        rows = [r.Row(cells) for cells in zip(*columns, strict=True)]
        return [*heading, r.Table(tuple(map(str, flat.columns)), rows)]

    def frame(self):
        """Return the frame it shows."""
        return self.data


def table(frame, title: str = "", **formats: str) -> FrameTable:
    """Return a frame as a table to read.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its index is the first column if it says something: if it has a name, or is no row of numbers.
    title : str
        Above it.
    **formats : str
        By column: how its numbers are written, as in ``"{:.1f}"``. Without, whole numbers with their thousands apart, and others
        with as many places as tell them apart: none from 1,000 on, one from 100 on, else two.

    Raises
    ------
    ValueError
        When shown, if a format is for a column that is not there.
    """
    return FrameTable(frame, title, formats)


def _named(index) -> bool:
    import pandas as pd

    return index.nlevels > 1 or index.name is not None or not pd.api.types.is_integer_dtype(index.dtype)


def _cells(column, form: str) -> list[r.Cell]:
    """Return a column's cells."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        return [r.Cell("yes" if value else "no") for value in column]
    if pd.api.types.is_numeric_dtype(column.dtype):
        if not form:
            known = column.dropna()
            largest = 0 if known.empty else known.abs().max()
            whole = (known == known.round()).all()
            form = "{:,.0f}" if whole or largest >= 1000 else "{:,.1f}" if largest >= 100 else "{:,.2f}"
        return [r.Cell("" if pd.isna(value) else form.format(value), "num") for value in column]
    texts = ["" if value is None or (isinstance(value, float) and pd.isna(value)) else form.format(value) if form else str(value) for value in column]
    kind = "wrap" if any(len(text) > _LONG for text in texts) else ""
    return [r.Cell(text, kind) for text in texts]


@dataclass(repr=False, eq=False)
class Measured(FrameTable):
    """What an experiment has measured: shows itself as a table, gives its ``frame()``, and draws itself with ``plot()``."""

    draw: object = None

    def plot(self, **options):
        """Draw it; returns a matplotlib Figure. The options are those of the drawing named in ``draw``."""
        return self.draw(self.data, **options)
