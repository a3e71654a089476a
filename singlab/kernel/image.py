"""Sealed images: what is installed, hashed and started.

An image is one byte string: magic and format, three lengths, a JSON manifest, the code (text followed
by read-only data), the contract tables, and a SHA-256 over all that came before. It is sealed when it
is made and can only be read afterwards; the loader recomputes the hash before a process starts.

What it leaves out: signatures. The seal proves that an image is the one that was installed, not who
made it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from singlab.kernel.manifest import (
    CodeFrame,
    Extension,
    IoMemoryRange,
    Parameter,
    Provision,
    Relocation,
    check_description,
    in_lines,
    read_json,
    read_record,
)

#: An image begins with these and the digit of its format.
MAGIC = b"SINGIMG"
FORMAT = 2
#: No image is larger: what reads one reads no further.
MAX_IMAGE_BYTES = 64 << 20
_HASH_BYTES = 32
_PREFIX = len(MAGIC) + 1 + 12


#: Characters of a path that a message shows.
_LONGEST_PATH = 300


class SealError(Exception):
    """An image is not (or no longer) what was sealed; the message says what is wrong and what to do."""

    def _render_traceback_(self) -> list[str]:
        return ["\n".join(map(in_lines, f"SealError: {self}".split("\n")))]


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
        What the first segment of its stack must hold: what can be needed before a function tests for room.
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
    version, publisher, category : str
        Who it is, besides its name; category is what kind of program, such as "driver".
    imports, exports : dict of str to str
        The contracts it speaks as Imp and as Exp, each with its fingerprint.
    io_memory : list of IoMemoryRange
    interrupts : list of int
        The device registers and interrupt lines it is to have, and nobody else.
    dma : list of int
        Pieces of memory that a device is to read and write, in bytes each.
    isolation : str
        The setting it asks for where a system has SIPs of several; empty if it does not matter.
    extensions : list of Extension
        The programs it starts as children.
    provides : list of Provision
    wants : list of str
        The names it provides, and those it connects to, which may have * for any text.
    sil : str
        Its SIL as text, if it was built to carry it; else empty.
    collector : str
        What collects its heap, one of ``heaplayout.COLLECTORS``; empty leaves it to the system.
    heap_bytes : int
        Most bytes of its heap, 0 = no bound.
    heap : dict
        For a program that makes objects: byte offsets in the code section of its ``types`` (``type_count`` of them), its
        stack ``maps`` and of ``grow``, which asks for pages.
    unlink : int
        Byte offset of the code to which a function returns that needed a segment of the stack; 0 if none tests for room.
    functions : list of CodeFrame
        Where each function's code lies and what its frame is like, ascending: for views of the stack.
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
    version: str = "1.0"
    publisher: str = ""
    category: str = ""
    imports: dict[str, str] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    io_memory: list[IoMemoryRange] = field(default_factory=list)
    interrupts: list[int] = field(default_factory=list)
    extensions: list[Extension] = field(default_factory=list)
    provides: list[Provision] = field(default_factory=list)
    wants: list[str] = field(default_factory=list)
    dma: list[int] = field(default_factory=list)
    isolation: str = ""
    sil: str = ""
    heap: dict[str, int] = field(default_factory=dict)
    collector: str = ""
    heap_bytes: int = 0
    unlink: int = 0
    functions: list[CodeFrame] = field(default_factory=list)

    def _card(self):
        from singlab.kernel.cards import ManifestCard

        return ManifestCard(self)

    def __str__(self) -> str:
        return str(self._card())

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(f"<Manifest of {self.name}>" if len(printer.stack) > 1 else str(self))

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


@dataclass(frozen=True)
class SealedImage:
    """An immutable program: manifest, code, contract tables and the seal over all of it.

    Attributes
    ----------
    manifest : Manifest
    code, tables, data : bytes
        ``data`` is the whole image; the others are parts of it.
    remarks : callable, optional
        What its builder adds to its card, as (name, text) pairs; not sealed, not saved.
    """

    manifest: Manifest
    code: bytes
    tables: bytes
    data: bytes
    remarks: Callable[[], list[tuple[str, str]]] | None = field(default=None, compare=False, repr=False)

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
        """Write the image to a file and return its path; raises SealError if the file cannot be written."""
        path = Path(path)
        try:
            path.write_bytes(self.data)
        except OSError as error:
            raise SealError(f"{path}: the image cannot be saved there: {_reason(error)}.") from None
        return path

    @classmethod
    def load(cls, path: str | Path) -> SealedImage:
        """Read an image from a file; raises SealError if it cannot be read or is not intact."""
        try:
            path = Path(path)
        except TypeError:
            raise SealError(f"{type(path).__name__} is no path. Write SealedImage.load(\"name.img\"); what is in memory already, open_image(data) opens.") from None
        try:
            with path.open("rb") as file:
                data = file.read(MAX_IMAGE_BYTES + 1)
        except (OSError, ValueError) as error:
            shown = str(path) if len(str(path)) <= _LONGEST_PATH and str(path).isprintable() else f"{str(path)[:_LONGEST_PATH]!a}"
            raise SealError(f"{shown}: no image can be read there: {_reason(error)}.") from None
        return open_image(data, str(path))

    def code_view(self):
        """Return its machine code as a table: offset, instruction, source line; calls of the ABI by name."""
        from singlab.kernel.cards import CodeView

        return CodeView(self)

    def __reduce__(self):
        return open_image, (self.data, self.name)

    def __repr__(self) -> str:
        verified = "verified" if self.manifest.verified else "NOT VERIFIED"
        return f"<SealedImage {self.name}: {len(self.code)} bytes of code, {verified}, seal {self.seal[:12]}…>"

    def _card(self):
        from singlab.kernel.cards import ImageCard

        return ImageCard(self)

    def __str__(self) -> str:
        return str(self._card())

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(repr(self) if len(printer.stack) > 1 else str(self))

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def _reason(error: Exception) -> str:
    """Return what a file's error means and what to do."""
    if isinstance(error, ValueError):
        return "this is no path that a file can have; look at its characters"
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder; look at the path"
    if isinstance(error, IsADirectoryError):
        return "it is a folder; name a file in it"
    if isinstance(error, PermissionError):
        return "this user may not; choose another place, or ask its owner"
    return str(getattr(error, "strerror", None) or error)


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
    return open_image(sealed_bytes(header, code, tables), str(manifest.name))


def sealed_bytes(header: bytes, code: bytes, tables: bytes, format_: int = FORMAT) -> bytes:
    """Return the bytes of an image around a manifest as it is, whatever it says."""
    body = MAGIC + b"%d" % format_ + struct.pack("<III", len(header), len(code), len(tables)) + header + code + tables
    return body + hashlib.sha256(body).digest()


def open_image(data: bytes, name: str = "image") -> SealedImage:
    """Check the seal of an image's bytes and return it.

    Raises
    ------
    SealError
        If the bytes are cut off, are no image, are of another format, or do not match their seal.
    """
    again = "Build it again from its source and install that."
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise SealError(f"{name}: {type(data).__name__} is no image's bytes. Give what SealedImage.data holds, or load a file.")
    data = bytes(data)
    if not data.startswith(MAGIC[: len(data)]) or not data:
        raise SealError(f"{name}: not a singlab image (it does not start with {MAGIC.decode()}). {again}")
    if len(data) < _PREFIX + _HASH_BYTES:
        raise SealError(f"{name}: cut off after {len(data)} bytes, too short for a sealed image. {again}")
    if len(data) > MAX_IMAGE_BYTES:
        raise SealError(f"{name}: larger than {MAX_IMAGE_BYTES >> 20} MB, which no image is. {again}")
    if data[len(MAGIC) : len(MAGIC) + 1] != b"%d" % FORMAT:
        found = data[len(MAGIC) : len(MAGIC) + 1].decode("latin-1")
        what = f"format {found}" if found.isdigit() else f"no format that there is ({found!r})"
        raise SealError(f"{name}: an image of {what}; this kernel reads format {FORMAT}. {again}")
    header_len, code_len, tables_len = struct.unpack_from("<III", data, len(MAGIC) + 1)
    expected = _PREFIX + header_len + code_len + tables_len + _HASH_BYTES
    if len(data) != expected:
        raise SealError(f"{name}: {len(data)} bytes where its header promises {expected}: cut off or altered. {again}")
    if hashlib.sha256(data[:-_HASH_BYTES]).digest() != data[-_HASH_BYTES:]:
        raise SealError(f"{name}: the seal is broken: at least one bit differs from what was sealed. {again}")
    try:
        manifest = read_record(Manifest, read_json(data[_PREFIX : _PREFIX + header_len]))
        for contract, description in manifest.contracts.items():
            check_description(contract, description)
    except ValueError as error:
        reason = "it is no text" if isinstance(error, UnicodeError) else str(error)
        raise SealError(f"{name}: the manifest cannot be read: {reason}. {again}") from None
    code = data[_PREFIX + header_len : _PREFIX + header_len + code_len]
    tables = data[_PREFIX + header_len + code_len : -_HASH_BYTES]
    return SealedImage(manifest, code, tables, data)
