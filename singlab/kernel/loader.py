"""Loader: sealed images into memory, and processes out of them.

Installing checks the seal and everything that :mod:`singlab.kernel.admission` asks, and keeps the image's
bytes in the kernel's own pages, with a record of what the kernel must know. ``System.create`` computes the seal again
over those bytes and compares it with the one recorded at installation, so a bit that changed meanwhile is noticed
before anything runs; a child that a process makes has the kernel's sum over the code instead. Loading is the
kernel's work (:mod:`singlab.kernel.core.images`): it copies the code and fills in the ABI calls, a direct call of
the kernel's vector in ring 0, or what the function does where that is two instructions; ``ecall`` in ring 3. The
seal, and what is done at installation, costs no simulated cycles.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from singlab.kernel import layout as at
from singlab.kernel.entry import abi_entry, inlined
from singlab.kernel.heaplayout import COLLECTORS, IMAGE_HEAP_BYTES
from singlab.kernel.image import SealedImage, SealError, open_image
from singlab.kernel.isolation import BESIDE, Isolation
from singlab.kernel.manifest import InstallError
from singlab.machine.asm import encode

__all__ = ["IMAGE_TAG", "TABLE_TAG", "InstallError", "Installed", "image_lead", "image_record", "record_bytes", "relocated", "reopen"]

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
    pages, whole : int
        The kernel's pages it takes, and bytes of them: the image and what the kernel must know of it.
    record : int
        Where the kernel finds what it must know to make a process of it (``I_...`` in :mod:`singlab.kernel.layout`).
    resources : int
        Where the kernel finds what it declares: its name, device registers, interrupts, names provided and wanted.
    """

    image: SealedImage
    address: int
    bytes: int
    seal: str
    tables: dict[str, int]
    directory: int
    notes: list[str] = field(default_factory=list)
    pages: int = 0
    whole: int = 0
    record: int = 0
    resources: int = 0

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
            "DMA": ", ".join(map(str, manifest.dma)), "isolation": manifest.isolation,
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
    """Return an image's code as a process runs it at address ``base``: what the kernel makes of it."""
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


def image_lead(image: SealedImage) -> int:
    """Return how many bytes lie before an image's in its pages, so that its code begins at a multiple of 8."""
    return -(len(image.data) - 32 - len(image.tables) - len(image.code)) % 8


def record_bytes(image: SealedImage, setting: Isolation) -> bytes:
    """Return room for an image's record and its lists, with what makes its place a multiple of 8."""
    about = image.manifest
    size = at.IMAGE_BYTES + (16 << setting.mixed) * len(about.relocations) + 16 * len(about.parameters) + 8 * len(about.extensions) + IMAGE_HEAP_BYTES * bool(about.heap)
    return bytes(size + -(image_lead(image) + len(image.data)) % 8)


def code_sum(code: bytes) -> int:
    """Return the sum over code that the kernel takes as it copies it: 31 times what it was, plus the next word."""
    found = 0
    for word in struct.unpack(f"<{len(code) // 8}Q", code):
        found = found * 31 + word & 0xFFFF_FFFF_FFFF_FFFF
    return found


def relocation_list(image: SealedImage, ring3: bool) -> list[int]:
    """Return what the kernel fills in where an image calls it, two words each, in a ring."""
    found = []
    for relocation in image.manifest.relocations:
        if ring3:
            pair = (encode("addi", 17, 0, relocation.value), encode("ecall"))
        elif (short := inlined(relocation.value)) is not None:
            pair = short
        else:
            found += [relocation.offset | at.RELOCATION_CALL, abi_entry(relocation.value)]
            continue
        found += [relocation.offset, pair[0] | pair[1] << 32]
    return found


def image_record(installed: Installed, children: list[int], setting: Isolation) -> bytes:
    """Return the record of an installed image, with its lists behind it.

    Parameters
    ----------
    installed : Installed
        ``record`` says where it will lie.
    children : list of int
        Records of its extensions.
    setting : Isolation
        The system's. Processes in user mode enter the kernel by a trap, and where there are both a list is kept for each.
    """
    image, about = installed.image, installed.image.manifest
    parameters: list[int] = []
    lists = [relocation_list(image, ring3) for ring3 in ((False, True) if setting.mixed else (setting.ring3,))]
    relocations = [word for one in lists for word in one]
    for parameter in about.parameters:
        if parameter.contract is not None:
            parameters += [(parameter.side == "Exp") << 8, installed.tables[parameter.contract]]
        else:
            bits = 1 if parameter.type == "bool" else int(parameter.type[1:])
            parameters += [at.PARAMETER_INTEGER | bits << 8 | (parameter.type[0] == "i") << 16, 0]
    place = installed.record + at.IMAGE_BYTES
    words = dict.fromkeys(range(0, at.IMAGE_BYTES, 8), 0) | {
        at.I_MAGIC: at.MAGIC_IMAGE,
        at.I_CODE: installed.address + len(image.data) - 32 - len(image.tables) - len(image.code),
        at.I_CODE_BYTES: len(image.code),
        at.I_SUM: code_sum(image.code),
        at.I_ENTRY: about.entry,
        at.I_STACK_PAGES: -(-about.stack_bytes // at.PAGE),
        at.I_CONTRACTS: installed.directory,
        at.I_CONTRACT_COUNT: len(installed.tables),
        at.I_RELOCATIONS: place,
        at.I_USER_RELOCATIONS: place + 8 * len(relocations) - 8 * len(lists[-1]),
        at.I_RELOCATION_COUNT: len(about.relocations),
        at.I_PARAMETERS: place + 8 * len(relocations),
        at.I_PARAMETER_COUNT: len(about.parameters),
        at.I_EXTENSIONS: place + 8 * len(relocations) + 8 * len(parameters),
        at.I_EXTENSION_COUNT: len(children),
        at.I_RESOURCES: installed.resources,
        at.I_UNLINK: about.unlink,
        at.I_DOMAIN_KIND: BESIDE[about.isolation].domain_kind if setting.mixed and about.isolation else 0,
    }
    heap = []
    if about.heap:
        words[at.I_HEAP] = place + 8 * len(relocations) + 8 * len(parameters) + 8 * len(children)
        heap = [about.heap["types"], about.heap["type_count"], about.heap["maps"], COLLECTORS.index(about.collector), about.heap_bytes]
    whole = [*words.values(), *relocations, *parameters, *children, *heap]
    return struct.pack(f"<{len(whole)}Q", *whole)
