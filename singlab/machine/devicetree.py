"""The device tree a booting system is handed: which memory, harts and devices there are, and where.

Writes the flattened form (Devicetree Specification 0.4, chapter 5), with the nodes and properties that
QEMU's virt board has for what this board has too.
"""

from __future__ import annotations

import struct

from singlab.machine import devices as d
from singlab.machine import state as s
from singlab.machine import virtio as v

_MAGIC, _VERSION, _COMPATIBLE = 0xD00D_FEED, 17, 16
_BEGIN, _END, _PROPERTY, _FINISH = 1, 2, 3, 9
#: Phandles: the PLIC, the test finisher, and the interrupt controller of the first hart; the other harts' follow.
_PLIC, _TEST, _HART = 16, 17, 18

Node = dict


def _value(value) -> bytes:
    """Return a property's bytes: text, a list of texts, 32-bit cells, or nothing."""
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode() + b"\0"
    if isinstance(value, int):
        value = [value]
    if value and isinstance(value[0], str):
        return b"".join(_value(v) for v in value)
    return b"".join(struct.pack(">I", v) for v in value)


def flatten(root: Node) -> bytes:
    """Return a tree as a device tree blob.

    Parameters
    ----------
    root : dict
        Property name to str, list of str, int, list of int (32-bit cells) or None; a dict is a child node.
    """
    names: dict[str, int] = {}
    strings = b""

    def node(name: str, content: Node) -> bytes:
        nonlocal strings
        out = struct.pack(">I", _BEGIN) + name.encode() + b"\0"
        out += bytes(-len(out) % 4)
        for key, value in content.items():
            if isinstance(value, dict):
                continue
            if key not in names:
                names[key] = len(strings)
                strings += key.encode() + b"\0"
            data = _value(value)
            out += struct.pack(">III", _PROPERTY, len(data), names[key]) + data + bytes(-len(data) % 4)
        for key, value in content.items():
            if isinstance(value, dict):
                out += node(key, value)
        return out + struct.pack(">I", _END)

    body = node("", root) + struct.pack(">I", _FINISH)
    reserved = bytes(16)
    first = 40 + len(reserved)
    total = first + len(body) + len(strings)
    header = struct.pack(">10I", _MAGIC, total, first, first + len(body), 40, _VERSION, _COMPATIBLE, 0, len(strings), len(body))
    return header + reserved + body + strings


def _reg(address: int, size: int) -> list[int]:
    return [address >> 32, address & 0xFFFF_FFFF, size >> 32, size & 0xFFFF_FFFF]


def _lines(harts: int, *lines: int) -> list[int]:
    """Return which interrupts of which harts a controller drives."""
    return [cell for hart in range(harts) for line in lines for cell in (_HART + hart, line)]


def board_tree(ram_bytes: int, clock_hz: float, arguments: str = "", harts: int = 1) -> bytes:
    """Return the device tree of this board.

    Parameters
    ----------
    ram_bytes : int
    clock_hz : float
        Rate of the cycle counter, which is the time base.
    arguments : str
        Command line for the kernel.
    harts : int
    """
    cpus = {
        f"cpu@{hart}": {
            "device_type": "cpu", "reg": hart, "status": "okay", "compatible": "riscv", "riscv,isa": "rv64imac_zicntr_zicsr_zifencei_sstc",
            "mmu-type": "riscv,sv39",
            "interrupt-controller": {
                "#interrupt-cells": 1, "#address-cells": 0, "interrupt-controller": None, "compatible": "riscv,cpu-intc",
                "phandle": _HART + hart,
            },
        }
        for hart in range(harts)
    }  # fmt: skip
    serial = f"serial@{d.UART:x}"
    slots = {
        f"virtio_mmio@{at:x}": {
            "compatible": "virtio,mmio", "reg": _reg(at, v.SLOT_BYTES), "interrupts": v.FIRST_IRQ + slot, "interrupt-parent": _PLIC,
        }
        for slot in range(v.SLOTS) for at in (d.VIRTIO + slot * v.SLOT_BYTES,)
    }  # fmt: skip
    return flatten({
        "#address-cells": 2, "#size-cells": 2, "compatible": "riscv-virtio", "model": "riscv-virtio,singlab",
        "chosen": {"stdout-path": f"/soc/{serial}", "bootargs": arguments},
        "poweroff": {"compatible": "syscon-poweroff", "regmap": _TEST, "offset": 0, "value": 0x5555},
        "reboot": {"compatible": "syscon-reboot", "regmap": _TEST, "offset": 0, "value": 0x7777},
        f"memory@{s.RAM_BASE:x}": {"device_type": "memory", "reg": _reg(s.RAM_BASE, ram_bytes)},
        "cpus": {
            "#address-cells": 1, "#size-cells": 0, "timebase-frequency": int(clock_hz), **cpus,
        },
        "soc": {
            "#address-cells": 2, "#size-cells": 2, "compatible": "simple-bus", "ranges": None,
            f"test@{d.FINISHER:x}": {"compatible": ["sifive,test1", "sifive,test0", "syscon"], "reg": _reg(d.FINISHER, d.FINISHER_BYTES), "phandle": _TEST},
            f"clint@{d.CLINT:x}": {
                "compatible": ["sifive,clint0", "riscv,clint0"], "reg": _reg(d.CLINT, d.CLINT_BYTES),
                "interrupts-extended": _lines(harts, 3, 7),
            },
            f"plic@{d.PLIC:x}": {
                "compatible": ["sifive,plic-1.0.0", "riscv,plic0"], "reg": _reg(d.PLIC, d.PLIC_BYTES), "interrupt-controller": None,
                "#interrupt-cells": 1, "#address-cells": 0, "riscv,ndev": 31, "interrupts-extended": _lines(harts, 11, 9),
                "phandle": _PLIC,
            },
            serial: {
                "compatible": "ns16550a", "reg": _reg(d.UART, d.UART_BYTES), "interrupts": d.UART_IRQ, "interrupt-parent": _PLIC,
                "clock-frequency": 3_686_400,
            },
            **slots,
        },
    })  # fmt: skip
