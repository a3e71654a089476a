"""Sealed images: what is installed, hashed and started.

An image is one byte string: magic, header length, a JSON manifest, the code (text followed by
read-only data), the contract tables, and a SHA-256 over all that came before. It is sealed when it is
made and can only be read afterwards; the loader recomputes the hash before a process starts.

What it leaves out: signatures. The seal proves that an image is the one that was installed, not who
made it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

MAGIC = b"SINGIMG1"
_HASH_BYTES = 32


class SealError(Exception):
    """An image is not (or no longer) what was sealed; the message says what is wrong and what to do."""

    def _render_traceback_(self) -> list[str]:
        return [f"SealError: {self}"]


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


@dataclass
class Manifest:
    """What an image says about itself; part of what is sealed.

    Attributes
    ----------
    name : str
    abi_version : int
    entry : int
        Byte offset of the first instruction to run.
    text_bytes : int
        Bytes of code; what follows in the code section is read-only data.
    stack_bytes : int
        Largest stack the program can need, computed from its call graph.
    parameters : list of Parameter
    relocations : list of Relocation
    contracts : dict
        For each contract its description (see ``Contract.describe``) and ``table``: offset and length,
        in words, in the contract section.
    lines : list of (int, int)
        (byte offset, source line), ascending: which line the code from that offset on comes from.
    verified : bool
        Whether the verifier accepted the program.
    source : str
        The program's own text, for views.
    result : str
        Type of the exit value; empty if it has none.
    exceptions : dict of str to str
        What the exceptions are called that can end it, by number; they are fault codes of this program alone.
    """

    name: str
    abi_version: int
    entry: int
    text_bytes: int
    stack_bytes: int
    parameters: list[Parameter] = field(default_factory=list)
    relocations: list[Relocation] = field(default_factory=list)
    contracts: dict = field(default_factory=dict)
    lines: list[tuple[int, int]] = field(default_factory=list)
    verified: bool = False
    source: str = ""
    result: str = ""
    exceptions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SealedImage:
    """An immutable program: manifest, code, contract tables and the seal over all of it."""

    manifest: Manifest
    code: bytes
    tables: bytes
    data: bytes

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def seal(self) -> str:
        """The SHA-256 over the image, in hexadecimal."""
        return self.data[-_HASH_BYTES:].hex()

    def line_of(self, offset: int) -> int:
        """Return the source line of the code at a byte offset, 0 if it has none."""
        line = 0
        for at, number in self.manifest.lines:
            if at > offset:
                break
            line = number
        return line

    def save(self, path: str | Path) -> Path:
        """Write the image to a file and return its path."""
        path = Path(path)
        path.write_bytes(self.data)
        return path

    @classmethod
    def load(cls, path: str | Path) -> SealedImage:
        """Read an image from a file; raises SealError if it is not intact."""
        return open_image(Path(path).read_bytes(), str(path))

    def __repr__(self) -> str:
        verified = "verified" if self.manifest.verified else "NOT VERIFIED"
        return f"<SealedImage {self.name}: {len(self.code)} bytes of code, {verified}, seal {self.seal[:12]}…>"


def seal(manifest: Manifest, code: bytes, tables: np.ndarray | bytes) -> SealedImage:
    """Make a sealed image.

    Parameters
    ----------
    manifest : Manifest
    code : bytes
        Text, then read-only data; a multiple of 8 bytes.
    tables : ndarray of uint64 or bytes
        The contract tables, one after the other (layout in :mod:`singlab.kernel.abi`).
    """
    tables = tables if isinstance(tables, bytes) else np.ascontiguousarray(tables, dtype="<u8").tobytes()
    header = json.dumps(asdict(manifest), sort_keys=True, separators=(",", ":")).encode()
    body = MAGIC + struct.pack("<III", len(header), len(code), len(tables)) + header + code + tables
    data = body + hashlib.sha256(body).digest()
    return open_image(data, manifest.name)


def open_image(data: bytes, name: str = "image") -> SealedImage:
    """Check the seal of an image's bytes and return it.

    Raises
    ------
    SealError
        If the bytes are cut off, are no image, or do not match their seal.
    """
    again = "Build it again from its source and install that."
    prefix = len(MAGIC) + 12
    if len(data) < prefix + _HASH_BYTES:
        raise SealError(f"{name}: cut off after {len(data)} bytes, too short for a sealed image. {again}")
    if data[: len(MAGIC)] != MAGIC:
        raise SealError(f"{name}: not a singlab image (it does not start with {MAGIC.decode()}). {again}")
    header_len, code_len, tables_len = struct.unpack_from("<III", data, len(MAGIC))
    expected = prefix + header_len + code_len + tables_len + _HASH_BYTES
    if len(data) != expected:
        raise SealError(f"{name}: {len(data)} bytes where its header promises {expected}: cut off or altered. {again}")
    if hashlib.sha256(data[:-_HASH_BYTES]).digest() != data[-_HASH_BYTES:]:
        raise SealError(f"{name}: the seal is broken: at least one bit differs from what was sealed. {again}")
    try:
        raw = json.loads(data[prefix : prefix + header_len])
        raw["parameters"] = [Parameter(**p) for p in raw["parameters"]]
        raw["relocations"] = [Relocation(**r) for r in raw["relocations"]]
        raw["lines"] = [tuple(pair) for pair in raw["lines"]]
        manifest = Manifest(**raw)
        if not all(isinstance(name, str) for name in manifest.exceptions.values()):
            raise TypeError("an exception without a name")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SealError(f"{name}: the manifest cannot be read ({error}). {again}") from None
    code = data[prefix + header_len : prefix + header_len + code_len]
    tables = data[prefix + header_len + code_len : -_HASH_BYTES]
    return SealedImage(manifest, code, tables, data)
