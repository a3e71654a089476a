"""A student's text as a syntax tree, without a word on the console.

Python's parser warns of what it will refuse one day, such as "\\d" in a text. Such a warning is said where Python itself
runs the cell; here it would be said again, without a place the student knows.
"""

from __future__ import annotations

import ast
import warnings


def parse(text: str, mode: str = "exec") -> ast.AST:
    """Return the syntax tree of a text; raises what ``ast.parse`` raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text, mode=mode)
