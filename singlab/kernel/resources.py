"""Device resources: which I/O memory and interrupts the machine has, and who holds them.

A program declares what it needs; the installer gives each range and each line to one image only
(``IoMemoryRange``, ``IoIrqRange`` and the resource tracker of the real system). What is the kernel's own,
and RAM, is given to nobody. The kernel opens them for its processes by their place in the declaration
(:mod:`singlab.kernel.core.hardware`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from singlab.kernel.layout import LONGEST_NAME, LONGEST_RULE
from singlab.kernel.manifest import LARGEST_DMA, MOST_DMA, PATH, PATTERN, InstallError, IoMemoryRange, Provision
from singlab.machine import devices as _d
from singlab.machine import virtio as _v
from singlab.machine.state import RAM_BASE


@dataclass(frozen=True)
class Device:
    """Registers at an address, the interrupt line they come with (0: none), and whether the kernel keeps them."""

    name: str
    start: int
    size: int
    interrupt: int = 0
    kernels: bool = False


#: Where QEMU's virt board has them, lowest address first.
DEVICES = (
    Device("test finisher", _d.FINISHER, _d.FINISHER_BYTES, kernels=True),
    Device("CLINT", _d.CLINT, _d.CLINT_BYTES, kernels=True),
    Device("PLIC", _d.PLIC, _d.PLIC_BYTES, kernels=True),
    Device("UART", _d.UART, _d.UART_BYTES, _d.UART_IRQ),
    *(Device(f"virtio slot {n}", _d.VIRTIO + n * _v.SLOT_BYTES, _v.SLOT_BYTES, _v.FIRST_IRQ + n) for n in range(_v.SLOTS)),
)
INTERRUPTS = {device.interrupt: device.name for device in DEVICES if device.interrupt}


#: What one program can declare of each.
MOST_RANGES = MOST_LINES = MOST_NAMES = 32


def declared_table(manifest) -> bytes:
    """Return what the kernel keeps of a manifest, as 64-bit words and then texts.

    The number of ranges of device registers, of pieces of memory for devices << 16, and of interrupt lines << 32; the number of names provided, and wanted << 32; the
    program's name; start and size of each range; the lines; the bytes of each piece of memory; for each name provided that name and its rule; each name wanted.
    A text is its offset, and its length << 32.
    """
    texts = [manifest.name, *(text for one in manifest.provides for text in (one.name, one.rule)), *manifest.wants]
    numbers = [word for one in manifest.io_memory for word in (one.start, one.size)] + [*manifest.interrupts, *manifest.dma]
    at, places, data = 8 * (2 + len(texts) + len(numbers)), [], b""
    for text in texts:
        places.append(at + len(data) | len(text.encode()) << 32)
        data += text.encode()
    counts = [len(manifest.io_memory) | len(manifest.dma) << 16 | len(manifest.interrupts) << 32, len(manifest.provides) | len(manifest.wants) << 32]
    words = [*counts, places[0], *numbers, *places[1:]]
    return struct.pack(f"<{len(words)}Q", *words) + data


def check_names(name: str, provides: list[Provision], wants: list[str], installed: Iterable) -> None:
    """Refuse names that are none, or that an installed image provides."""
    for one in provides:
        if not PATH.fullmatch(one.name) or len(one.name) > LONGEST_NAME:
            raise InstallError(f"{name}: {one.name[:80]!r} is no name to provide: a path such as /dev/uart, at most {LONGEST_NAME} characters.")
        if not PATTERN.fullmatch(one.rule) or len(one.rule) > LONGEST_RULE:
            raise InstallError(f"{name}: {one.rule[:80]!r} is no rule: programs with + between them, * for any text, at most {LONGEST_RULE} "
                               "characters.")  # fmt: skip
        other = next((i for i in installed if any(p.name == one.name for p in i.image.manifest.provides)), None)
        if other is not None:
            raise InstallError(f"{name}: {one.name} conflicts with {other.name}, which provides it. Choose another name, or take that image out "
                               f'first: system.uninstall("{other.name}").')  # fmt: skip
    for one in wants:
        if not PATTERN.fullmatch(one) or len(one) > LONGEST_NAME:
            raise InstallError(f"{name}: {one[:80]!r} is no name to connect to: a path such as /dev/uart, with * for any text.")
    if len(provides) > MOST_NAMES or len(wants) > MOST_NAMES or len({one.name for one in provides}) != len(provides):
        raise InstallError(f"{name}: it declares one name twice, or more than {MOST_NAMES}. Declare fewer.")


def overlap(one: IoMemoryRange, start: int, size: int) -> bool:
    """Whether a range has a byte in common with another."""
    return one.start < start + size and start < one.start + one.size


def check_resources(name: str, io_memory: list[IoMemoryRange], interrupts: list[int], ram_bytes: int) -> None:
    """Refuse resources that the machine does not have, that are not a program's to have, or that are asked for twice."""
    free = [device for device in DEVICES if not device.kernels]
    for what, wanted, most in (("ranges of device registers", io_memory, MOST_RANGES), ("interrupts", interrupts, MOST_LINES)):
        if len(wanted) > most:
            raise InstallError(f"{name}: it declares {len(wanted)} {what}, and a program can have {most}. Declare fewer.")
    there_is = ", ".join(f"{d.name} at {d.start:#x} ({d.size:#x} bytes)" for d in free[:2]) + ", and so on"
    for index, wanted in enumerate(io_memory):
        if wanted.size <= 0 or wanted.start < 0 or wanted.start + wanted.size > 1 << 64:
            raise InstallError(f"{name}: I/O memory of {wanted.size} bytes at {wanted.start:#x} is no range of addresses. "
                               "Declare (start, size) with a size of at least 1.")  # fmt: skip
        if overlap(wanted, RAM_BASE, ram_bytes):
            raise InstallError(f"{name}: I/O memory {wanted} lies in RAM, where the kernel and every process live. "
                               "Declare a device's registers; memory comes from new() and the kernel.")  # fmt: skip
        kept = next((d for d in DEVICES if d.kernels and overlap(wanted, d.start, d.size)), None)
        if kept is not None:
            raise InstallError(f"{name}: I/O memory {wanted} belongs to the {kept.name}, which the kernel keeps for itself. "
                               "Leave it out.")  # fmt: skip
        at = wanted.start
        for device in DEVICES:
            if device.start <= at < device.start + device.size:
                at = device.start + device.size
        if at < wanted.start + wanted.size:
            raise InstallError(f"{name}: I/O memory {wanted} does not exist on this machine: there is no device at {at:#x}. "
                               f"There are: {there_is} (see system.resources).")  # fmt: skip
        if any(overlap(wanted, other.start, other.size) for other in io_memory[:index]):
            raise InstallError(f"{name}: I/O memory {wanted} is declared twice. Remove one of the ranges.")
    for index, line in enumerate(interrupts):
        if line not in INTERRUPTS:
            raise InstallError(f"{name}: interrupt {line} does not exist on this machine. "
                               f"There are: {', '.join(map(str, sorted(INTERRUPTS)))} (see system.resources).")  # fmt: skip
        if line in interrupts[:index]:
            raise InstallError(f"{name}: interrupt {line} is declared twice. Remove one.")


def check_dma(name: str, dma: list[int]) -> None:
    """Refuse memory for devices of sizes that cannot be."""
    if len(dma) > MOST_DMA:
        raise InstallError(f"{name}: it declares {len(dma)} pieces of memory for devices, and a program can have {MOST_DMA}. Declare fewer.")
    for size in dma:
        if not 0 < size <= LARGEST_DMA:
            raise InstallError(f"{name}: {size} bytes of memory for devices cannot be had. Declare 1 to {LARGEST_DMA}.")


def check_conflicts(name: str, io_memory: list[IoMemoryRange], interrupts: list[int], installed: Iterable) -> None:
    """Refuse resources that an installed image has."""
    for other in installed:
        manifest = other.image.manifest
        for wanted in io_memory:
            for held in manifest.io_memory:
                if overlap(wanted, held.start, held.size):
                    raise InstallError(f"{name}: I/O memory {wanted} conflicts with {other.name}, which has {held}. Declare another "
                                       f'device, or take that image out first: system.uninstall("{other.name}").')  # fmt: skip
        for line in interrupts:
            if line in manifest.interrupts:
                raise InstallError(f"{name}: interrupt {line} conflicts with {other.name}, which has it. Declare another device, or "
                                   f'take that image out first: system.uninstall("{other.name}").')  # fmt: skip


def resource_rows(installed: Iterable) -> list[dict]:
    """Return one row a device: its registers, its interrupt line, and who has them."""
    images = list(installed)
    rows = []
    for device in DEVICES:
        holders = [i.name for i in images if any(overlap(r, device.start, device.size) for r in i.image.manifest.io_memory)]
        lines = [i.name for i in images if device.interrupt and device.interrupt in i.image.manifest.interrupts]
        rows.append({
            "device": device.name, "start": f"{device.start:#x}", "bytes": device.size, "interrupt": str(device.interrupt or ""),
            "registers held by": "kernel" if device.kernels else ", ".join(holders),
            "interrupt held by": ", ".join(lines),
        })  # fmt: skip
    return rows
