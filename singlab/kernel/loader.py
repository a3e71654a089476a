"""Loader: sealed images into memory, and processes out of them.

Installing checks the seal and everything that :mod:`singlab.kernel.admission` asks, and keeps the image's
bytes in the kernel's own pages. Starting computes the seal again over those bytes and compares it with the
one recorded at installation, so a bit that changed meanwhile is noticed before anything runs. Loading copies
the code into pages of the new process and fills in the ABI calls: a direct call of the kernel's vector in
ring 0, or what the function does where that is two instructions; ``ecall`` in ring 3. The host does this
work; it costs no simulated cycles beyond the page manager's own.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from singlab.kernel import layout as at
from singlab.kernel.entry import abi_entry, inlined
from singlab.kernel.image import SealedImage, SealError, open_image
from singlab.kernel.manifest import InstallError
from singlab.machine.asm import encode

__all__ = ["IMAGE_TAG", "TABLE_TAG", "InstallError", "Installed", "relocated", "reopen"]

IMAGE_TAG = at.KERNEL_OWNER << at.OWNER_SHIFT | at.TAG_CODE
TABLE_TAG = at.KERNEL_OWNER << at.OWNER_SHIFT | at.TAG_NONGC


@dataclass(repr=False)
class Installed:
    """An installed image.

    Attributes
    ----------
    image : SealedImage
    address, bytes : int
        Where the image lies in the kernel's memory.
    seal : str
        What it was sealed as.
    tables : dict of str to int
        Address of each contract's table; images that have a contract in common share it.
    directory : int
        Where the kernel finds these addresses by contract number; 0 if there are none.
    notes : list of str
        What was worth knowing when it was installed, such as a contract nobody exported yet.
    resources, resource_bytes : int
        Where the kernel finds what it declares: its name, device registers, interrupts, names provided and wanted.
    """

    image: SealedImage
    address: int
    bytes: int
    seal: str
    tables: dict[str, int]
    directory: int
    notes: list[str] = field(default_factory=list)
    resources: int = 0
    resource_bytes: int = 0

    @property
    def name(self) -> str:
        return self.image.name

    def row(self) -> dict:
        """Return it as one row of ``System.installed``."""
        manifest = self.image.manifest
        return {
            "name": self.name, "version": manifest.version, "publisher": manifest.publisher, "category": manifest.category,
            "verified": manifest.verified, "imports": ", ".join(manifest.imports), "exports": ", ".join(manifest.exports),
            "I/O memory": ", ".join(map(str, manifest.io_memory)), "interrupts": ", ".join(map(str, manifest.interrupts)),
            "provides": ", ".join(map(str, manifest.provides)), "wants": ", ".join(manifest.wants), "extensions": ", ".join(e.image for e in manifest.extensions), "address": f"{self.address:#x}", "bytes": self.bytes,
            "seal": self.seal[:12],
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<Installed {self.name}: {self.bytes} bytes at {self.address:#x}, seal {self.seal[:12]}…>"

    def _card(self):
        from singlab.kernel.cards import InstalledCard

        return InstalledCard(self)

    def __str__(self) -> str:
        return str(self._card())

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(repr(self) if len(printer.stack) > 1 else str(self))

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def reopen(machine, installed: Installed) -> SealedImage:
    """Return the image as it now is in memory; raises SealError if it is not what was installed."""
    data = bytes(machine.read(installed.address, installed.bytes))
    if hashlib.sha256(data[:-32]).digest() == data[-32:] and data[-32:].hex() == installed.seal:
        return installed.image
    open_image(data, installed.name)  # says what is wrong with it
    raise SealError(f"{installed.name}: sealed again with other contents since it was installed. Install it anew.")


def relocated(image: SealedImage, base: int, ring3: bool) -> bytes:
    """Return an image's code as it runs at address ``base``."""
    code = bytearray(image.code)
    for relocation in image.manifest.relocations:
        if ring3:
            pair = (encode("addi", 17, 0, relocation.value), encode("ecall"))
        elif (short := inlined(relocation.value)) is not None:
            pair = short
        else:
            distance = abi_entry(relocation.value) - (base + relocation.offset)
            upper = (distance + 0x800) >> 12
            pair = (encode("auipc", 5, upper & 0xFFFFF), encode("jalr", 1, 5, distance - (upper << 12)))
        struct.pack_into("<II", code, relocation.offset, *pair)
    return bytes(code)
