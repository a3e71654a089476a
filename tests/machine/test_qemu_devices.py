"""The board's devices against QEMU's: guests that probe the UART, the virtio slots and the device tree, and what each printed.

The guests are C programs (``guests/uart.c``, ``slots.c``, ``tree.c``) and print nothing that may rightly differ: clock rates, the ISA
string, a device's other features, and the UART's divisor before it is set.
"""

from __future__ import annotations

import random

import pytest
from guestbuild import built
from witness import here, needs_qemu, on_qemu

pytestmark = needs_qemu
IMAGE = random.Random(5).randbytes(40 * 512)


def compare(theirs: bytes, ours: bytes) -> None:
    """Hold that two outputs are the same, and say where they are not."""
    one, other = theirs.decode(errors="replace").splitlines(), ours.decode(errors="replace").splitlines()
    wrong = [
        f"line {i + 1}: {a!r} on QEMU, {b!r} here, after {one[max(0, i - 2) : i]}" for i, (a, b) in enumerate(zip(one, other)) if a != b
    ]
    assert not wrong, "\n".join(wrong[:20])
    assert len(one) == len(other) > 20


@pytest.mark.parametrize("profile", ["athlon64", "untimed"])
def test_the_uart(profile, tmp_path):
    elf = built("uart").read_bytes()
    compare(on_qemu(elf, tmp_path), here(elf, tmp_path, profile))


def test_the_device_tree(tmp_path):
    elf = built("tree").read_bytes()
    compare(on_qemu(elf, tmp_path), here(elf, tmp_path))


@pytest.mark.parametrize("version", ["legacy", "modern"])
def test_the_virtio_slots(version, tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(IMAGE)
    elf = built("slots").read_bytes()
    options = (
        "-global", f"virtio-mmio.force-legacy={str(version == 'legacy').lower()}",
        "-drive", f"file={image},if=none,format=raw,id=x0", "-device", "virtio-blk-device,drive=x0,bus=virtio-mmio-bus.0",
        "-object", "rng-builtin,id=r0", "-device", "virtio-rng-device,rng=r0,bus=virtio-mmio-bus.2",
    )  # fmt: skip
    compare(on_qemu(elf, tmp_path, *options), here(elf, tmp_path, disk=IMAGE, virtio=version))
