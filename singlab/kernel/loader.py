"""Loader: sealed images into memory, and processes out of them.

Installing checks the seal, the ABI version and whether the verifier accepted the program, and keeps
the image's bytes in the kernel's own pages. Starting computes the seal again over those bytes and
compares it with the one recorded at installation, so a bit that changed meanwhile is noticed before
anything runs. Loading copies the code into pages of the new process and fills in the ABI calls: a
direct call of the kernel's vector in ring 0, or what the function does where that is two instructions;
``ecall`` in ring 3. The host does this work; it costs
no simulated cycles beyond the page manager's own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from singlab.kernel import layout as at
from singlab.kernel.abi import ABI, ABI_VERSION
from singlab.kernel.entry import abi_entry, inlined
from singlab.kernel.image import SealedImage, SealError, open_image
from singlab.machine.asm import encode

IMAGE_TAG = at.KERNEL_OWNER << 16 | at.TAG_CODE
TABLE_TAG = at.KERNEL_OWNER << 16 | at.TAG_NONGC


class InstallError(Exception):
    """An image was refused before anything of it ran; the message says why and what to do."""


@dataclass
class Installed:
    """An installed image: where its bytes are, what it was sealed as, where its contract tables are."""

    image: SealedImage
    address: int
    bytes: int
    seal: str
    tables: int

    @property
    def name(self) -> str:
        return self.image.name


def check_admission(image: SealedImage, allow_unverified: bool) -> None:
    """Refuse an image of another ABI version, an unverified one, or one that calls outside the ABI."""
    manifest = image.manifest
    if manifest.abi_version != ABI_VERSION:
        raise InstallError(
            f"{image.name}: built for ABI version {manifest.abi_version}, this kernel has version {ABI_VERSION}. "
            "Build it again from its source."
        )
    if not manifest.verified and not allow_unverified:
        raise InstallError(
            f"{image.name}: not verified, so a sealed system does not install it. Build it with verify=True, or "
            "boot with allow_unverified=True to see what unverified code can do."
        )
    for relocation in manifest.relocations:
        if relocation.kind != "abi" or not 0 <= relocation.value < len(ABI):
            raise InstallError(f"{image.name}: calls {relocation.kind} {relocation.value}, which is not in the ABI.")
        if relocation.offset % 4 or not 0 <= relocation.offset <= manifest.text_bytes - 8:
            raise InstallError(f"{image.name}: a call at offset {relocation.offset} lies outside its text.")
    for name, contract in manifest.contracts.items():
        offset, words = contract["table"]
        if not 0 <= offset <= offset + words <= len(image.tables) // 8 or words < 1:
            raise InstallError(f"{image.name}: the table of contract {name} lies outside the image.")
        header = struct.unpack_from("<Q", image.tables, offset * 8)[0]
        states, messages, slots_imp, slots_exp = (header >> shift & 0xFFFF for shift in (0, 16, 32, 48))
        if words != 1 + messages + states * messages:
            raise InstallError(f"{image.name}: the table of contract {name} has the wrong size.")
        if max(slots_imp, slots_exp) > at.MAX_SLOTS:
            raise InstallError(
                f"{image.name}: contract {name} lets {max(slots_imp, slots_exp)} messages be under way in one "
                f"direction; an endpoint has {at.MAX_SLOTS} slots. Add an answer from the other side in between."
            )


def reopen(machine, installed: Installed) -> SealedImage:
    """Return the image as it now is in memory; raises SealError if it is not what was installed."""
    data = bytes(machine.read(installed.address, installed.bytes))
    image = open_image(data, installed.name)
    if image.seal != installed.seal:
        raise SealError(f"{installed.name}: sealed again with other contents since it was installed. Install it anew.")
    return image


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
