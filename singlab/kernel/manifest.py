"""Manifests: what an image says about itself, and how that is read from bytes nobody can be trusted to have written.

The manifest of an image is one JSON object with exactly the fields of a dataclass, each of its declared type:
:func:`read_record` goes by the annotations, so a field that is added there is checked from then on. What the
values mean is the installer's to judge (:mod:`singlab.kernel.admission`). A contract's fingerprint is a hash
over its canonical form, so two images agree on a contract when, and only when, their fingerprints do.

Leaves out I/O ports, for the machine has none.
"""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

#: Types an integer startup argument can have.
SCALARS = frozenset(("bool", *(f"{kind}{bits}" for kind in "ui" for bits in (8, 16, 32, 64))))

#: What names of images, contracts and publishers are made of.
NAME = re.compile(r"[A-Za-z_][\w.+-]{0,63}", re.ASCII)
#: A name one provides is a path of letters, digits and _ . - between slashes; what one wants, and a rule, can have * for any text.
PATH = re.compile(r"(/[\w.-]+)+", re.ASCII)
PATTERN = re.compile(r"[\w.+/*-]+", re.ASCII)
#: Pieces of memory for devices of one program, and bytes of each.
MOST_DMA, LARGEST_DMA = 8, 1 << 20
#: The isolation settings that a single SIP can ask for (see :mod:`singlab.kernel.isolation`).
SIP_SETTINGS = ("sip", "pages", "domain", "ring3", "ring3-domains")
VERSION = re.compile(r"\d{1,9}(\.\d{1,9}){0,3}", re.ASCII)


#: Columns of what a refusal says in a notebook: JupyterLab breaks longer lines in the middle of a word.
COLUMNS = 96


def in_lines(sentence: str) -> str:
    """Return a sentence in lines of at most :data:`COLUMNS`, broken between words."""
    return textwrap.fill(sentence, COLUMNS, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


class InstallError(Exception):
    """An image was refused before anything of it ran; the message says why and what to do."""

    def _render_traceback_(self) -> list[str]:
        return ["\n".join(map(in_lines, f"InstallError: {self}".split("\n")))]


@dataclass(frozen=True)
class Parameter:
    """A startup parameter of a SIP: an endpoint (``contract`` and ``side`` set) or an integer (``type``)."""

    name: str
    type: str
    contract: str | None = None
    side: str | None = None


@dataclass(frozen=True)
class Relocation:
    """A place in the code that the loader fills in; kind "abi": a call of ABI function ``value``."""

    offset: int
    kind: str
    value: int


@dataclass(frozen=True)
class CodeFrame:
    """A function's code and frame.

    Attributes
    ----------
    name : str
        Empty for what asks for pages.
    start, end : int
        Its code, in bytes of the image.
    body : int
        Where it takes its frame, behind its test for room if it has one.
    overflow : int
        Where the code begins to which a test goes that found no room, at the function's end.
    frame : int
        Bytes of the frame.
    kept : int
        Where in it the return address is, -1 if it stays in its register.
    need : int
        Bytes that its test sees to, 0 if it tests nothing.
    """

    name: str
    start: int
    body: int
    overflow: int
    end: int
    frame: int
    kept: int
    need: int


@dataclass(frozen=True)
class IoMemoryRange:
    """Device registers a program is to reach: the bytes from ``start`` on."""

    start: int
    size: int

    def __str__(self) -> str:
        return f"{self.start:#x} to {self.start + self.size - 1:#x}"


@dataclass(frozen=True)
class Extension:
    """A program that this one starts as a child, named by its image; the child exports ``contract`` on its startup channel."""

    image: str
    contract: str


@dataclass(frozen=True)
class Provision:
    """A name that a program provides, and the pattern that the principal of who connects must match."""

    name: str
    rule: str = "*"

    def __str__(self) -> str:
        return self.name if self.rule == "*" else f"{self.name} for {self.rule}"


# ---- contracts ----------------------------------------------------------------------------------------------


def canonical(name: str, description: dict) -> dict:
    """Return what a contract's fingerprint is taken over: all that two sides must agree on.

    That is everything of its description but the names of arguments, and where its table lies in an image.
    """
    messages = [
        {**message, "arguments": [str(argument).rpartition(" ")[0] for argument in message["arguments"]]}
        for message in description["messages"]
    ]
    rest = {key: value for key, value in description.items() if key not in ("table", "messages", "transitions")}
    return {"name": name, "messages": messages, "transitions": sorted(map(list, description["transitions"])), **rest}


def fingerprint(name: str, description: dict) -> str:
    """Return the SHA-256 over a contract's canonical form, in hexadecimal."""
    text = json.dumps(canonical(name, description), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def difference(one: dict, other: dict) -> str:
    """Return in which way two descriptions of a contract differ first, as half a sentence: "message Add takes u64 or u32"."""
    first, second = canonical("", one), canonical("", other)
    here, there = ({m["name"]: m for m in side["messages"]} for side in (first, second))
    for name in [*here, *(n for n in there if n not in here)]:
        if name not in here or name not in there:
            return f"only one of them has message {name}"
        if here[name]["direction"] != there[name]["direction"]:
            return f"message {name} goes in different directions"
        taken = [", ".join(side[name]["arguments"]) or "nothing" for side in (here, there)]
        if taken[0] != taken[1]:
            return f"message {name} takes {taken[0]} or {taken[1]}"
    if list(here) != list(there):
        return "their messages are declared in another order, which gives them other numbers"
    for name in [*first["states"], *(s for s in second["states"] if s not in first["states"])]:
        if (name in first["states"]) != (name in second["states"]):
            return f"only one of them has state {name}"
    return "their states follow each other in different ways"


# ---- strict reading -------------------------------------------------------------------------------------------


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"field {next(n for n in names if names.count(n) > 1)!r:.40} stands there twice")
    return found


def _integer(text: str) -> int:
    if len(text) > 20 or abs(value := int(text)) >= 1 << 64:
        raise ValueError(f"the number {text[:20]}… is larger than 64 bits")
    return value


def _refused(text: str):
    raise ValueError(f"{text[:20]} is no whole number")


def read_json(data: bytes) -> Any:
    """Return JSON of whole numbers and texts; raises ValueError for anything else, in time linear in its length."""
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_no_duplicates, parse_int=_integer, parse_float=_refused, parse_constant=_refused
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_record(cls: type, raw: Any, where: str = "the manifest"):
    """Return an instance of a dataclass from a JSON object that has exactly its fields; raises ValueError."""
    if type(raw) is not dict:
        raise ValueError(f"{where} is {_kind(raw)}, not an object")
    types = _field_types(cls)
    strange = [name for name in raw if name not in types]
    if strange:
        raise ValueError(f"{where} has a field {strange[0]!r:.40} that this kernel does not know")
    missing = [name for name in types if name not in raw]
    if missing:
        raise ValueError(f"{where} lacks the field {missing[0]!r}")
    prefix = "" if where == "the manifest" else f"{where}."
    return cls(**{name: _value(kind, raw[name], prefix + name) for name, kind in types.items()})


@cache
def _field_types(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {item.name: hints[item.name] for item in fields(cls)}


def _value(kind: Any, raw: Any, where: str):
    """Return a value of an annotated type, or raise ValueError."""
    if kind in (int, str, bool, dict):
        if type(raw) is not kind:
            raise ValueError(f"{where} is {_kind(raw)}, not {_KINDS[kind]}")
        if kind is str and not raw.isascii():
            raw.encode()  # half a surrogate pair is no text
        return raw
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if raw is None else _value(arguments[0], raw, where)
    if origin is dict:
        found = _value(dict, raw, where)
        return {_value(str, key, where): _value(arguments[1], value, f"{where}.{key:.40}") for key, value in found.items()}
    if origin in (list, tuple):
        if type(raw) is not list:
            raise ValueError(f"{where} is {_kind(raw)}, not a list")
        if origin is tuple:
            if len(raw) != len(arguments):
                raise ValueError(f"{where} has {len(raw)} values, not {len(arguments)}")
            return tuple(_value(part, value, where) for part, value in zip(arguments, raw))
        return [_value(arguments[0], value, f"{where}[{index}]") for index, value in enumerate(raw)]
    if is_dataclass(kind):
        return read_record(kind, raw, where)
    raise TypeError(f"a manifest's field {where} cannot be of type {kind}")


_KINDS = {int: "a number", str: "a text", bool: "true or false", dict: "an object", list: "a list", type(None): "null"}


def _kind(raw: Any) -> str:
    return _KINDS.get(type(raw), "something else")


def check_description(name: str, description: Any) -> None:
    """Raise ValueError unless a contract's description has the shape ``Contract.describe`` gives it, and a table's place."""
    where = f"contract {name:.40}"
    found = _value(dict, description, where)
    for key in ("messages", "states", "transitions", "table"):
        if key not in found:
            raise ValueError(f"{where} lacks {key!r}")
    for message in _value(list[dict], found["messages"], where):
        if not {"name", "direction", "arguments"} <= set(message) or message["direction"] not in ("?", "!"):
            raise ValueError(f"{where} has a message without name, direction or arguments")
        _value(str, message["name"], where)
        _value(list[str], message["arguments"], where)
    states = _value(list[str], found["states"], where)
    for state, message, target in _value(list[tuple[int, int, int]], found["transitions"], where):
        if not (0 <= state < len(states) and 0 <= target < len(states) and 0 <= message < len(found["messages"])):
            raise ValueError(f"{where} has a transition between states or by a message that it does not have")
    _value(tuple[int, int], found["table"], where)
