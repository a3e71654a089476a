"""Python as the oracle: the same text, run by Python with the language's words standing for plain ones."""

from __future__ import annotations

import enum

from running import WIDTHS, wrap


class _Type:
    """An integer type: a conversion."""

    def __init__(self, name: str):
        self.name = name

    def __call__(self, value) -> int:
        return wrap(int(value.value if isinstance(value, enum.Enum) else value), self.name)


class _Indexed:
    """A word that takes types in brackets."""

    def __getitem__(self, item):
        return self


def exchange(cls: type) -> type:
    """Give a class the fields its annotations name, all zero."""
    names = list(cls.__annotations__)

    def start(self):
        for name in names:
            kind = cls.__annotations__[name]
            setattr(self, name, kind(0) if isinstance(kind, type) else 0)

    def assign(self, name, value):
        kind = cls.__annotations__[name]
        object.__setattr__(self, name, kind(value) if isinstance(kind, _Type) else value)

    cls.__init__, cls.__setattr__ = start, assign
    return cls


def new(kind, count: int | None = None):
    if count is None:
        return kind()
    return [0 if isinstance(kind, _Type) else kind() for _ in range(count)]


WORDS = {
    **{name: _Type(name) for name in WIDTHS}, "sip": lambda f: f, "function": lambda f: f, "exchange": exchange, "new": new,
    "free": lambda block: None, "ExVec": _Indexed(), "Borrowed": _Indexed(), "contract": lambda text: None,
    "copy": lambda v: v.copy() if isinstance(v, list) else v, "Enum": enum.Enum, "IntEnum": enum.IntEnum, "auto": enum.auto,
}  # fmt: skip


def python(text: str, name: str = "p", **arguments: int) -> int:
    """Return what Python makes of a function of a text."""
    names = dict(WORDS)
    exec(compile(text, "oracle", "exec", dont_inherit=True), names)
    return names[name](**arguments)
