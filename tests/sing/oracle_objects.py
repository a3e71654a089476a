"""Python itself as an oracle: the same text run as Python, with the words of the language as ordinary functions.

Numbers do not wrap here, so the programs that are compared keep theirs small. What would end a process ends
this with an exception of the same meaning.
"""

from __future__ import annotations

import contextlib
import io
import typing


class _Type:
    """A type of the language: a call converts, indexing gives another type."""

    def __call__(self, value):
        return int(value)

    def __getitem__(self, item):
        return self

    def __or__(self, other):
        return self

    __ror__ = __or__


class _Char(str):
    """One character."""


def _array(type_, count, value=None):
    return [(0 if isinstance(type_, _Type) else None) if value is None else value] * count


def _managed(cls):
    """Give a class the constructor that takes its fields in order, if it has none."""
    names = [name for c in reversed(cls.__mro__) for name in vars(c).get("__annotations__", {})]
    if getattr(cls.__init__, "generated", cls.__init__ is object.__init__):

        def init(self, *values):
            assert len(values) == len(names)
            for name, value in zip(names, values):
                setattr(self, name, value)

        init.generated = True
        cls.__init__ = init
    return cls


def words() -> dict:
    """Return the names a program sees."""
    types = {f"{kind}{bits}": _Type() for kind in "ui" for bits in (8, 16, 32, 64)}
    plain = {name: lambda f: f for name in ("sip", "function")}
    return {**types, **plain, "managed": _managed, "array": _array, "Array": _Type(), "TypeVar": typing.TypeVar, "char": chr,
            "Optional": typing.Optional}  # fmt: skip


def run_as_python(text: str, *arguments: int) -> tuple:
    """Return what a text's ``p`` returns and prints, or which kind of error ended it."""
    names = words()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("from __future__ import annotations\n" + text, "text", "exec"), names)
        try:
            value = names["p"](*arguments)
        except IndexError:
            return "bounds", out.getvalue()
        except (AttributeError, TypeError):
            return "none", out.getvalue()
        except ZeroDivisionError:
            return "division", out.getvalue()
    return value, out.getvalue()
