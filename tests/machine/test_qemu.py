"""The machine against QEMU: the same bare-metal programs on both, and all they printed compared.

Where the two differ and both are right, a table here says so and why.
"""

from __future__ import annotations

import struct

import pytest
from bench import BASE
from elves import build_elf
from witness import FINISH, OPEN, RESULTS, here, needs_qemu, on_qemu, words

from singlab.machine.asm import assemble, encode

pytestmark = needs_qemu
MASK = (1 << 64) - 1

# ---- every number of a control and status register --------------------------------------------------------------

PATTERNS = {"s2": MASK, "s3": 0x5555_5555_5555_5555, "s4": 0, "s5": 0x1234_5678_9ABC_DEF0, "s6": 0x0F0F_0F0F_0F0F_0F0F}
#: Patterns that leave the program able to go on: mstatus without MIE and MPRV, satp without a format QEMU has, and so on.
GENTLE = {
    0x300: {"s2": 0x7C_19A2 | 0xF << 32 | 1 << 63 | 0x6000, "s3": 0x54_0922, "s5": 0x1800, "s6": 0x28_0080},
    0x305: {}, **dict.fromkeys((0x3A0, 0x3A2), {"s2": 0x1F1F_1F1F_1F1F_1F1F, "s3": 0x0F01_0D05_0403_0007, "s5": 0x1819_1110_0908_0000, "s6": 0x0804_0810_0101_0101}),
    0x180: {"s2": MASK, "s3": 0x5555_5555_5555_5555, "s5": 0x1234_5678_9ABC_DEF0, "s6": 0x0F0F_0F0F_0F0F_0F0F},
}  # fmt: skip
OPERATIONS = 8
#: The handler: cause to s11, value to s10, and on behind the instruction.
SKIP = "csrr s11, mcause\ncsrr s10, mtval\ncsrr t6, mepc\naddi t6, t6, 4\ncsrw mepc, t6\nmret"


def csr_program(mode: int) -> bytes:
    """Return a program that reads, writes, sets and clears each of the 4,096 registers from a mode, and notes value, cause and mtval."""
    start = assemble(
        f"""
        j    begin
        .align 2
    skip: {SKIP}
    begin:
        la   t0, skip
        csrw mtvec, t0
        li   s1, {RESULTS}
        li   t0, -1
        li   t1, 0x2004000
        sd   t0, 0(t1)
        csrw stimecmp, t0
        {OPEN}
        csrw mcounteren, t0
        csrw scounteren, t0
        li   t0, 0x222
        csrw mideleg, t0
        li   t0, {mode << 11}
        csrw mstatus, t0
        la   t0, there
        csrw mepc, t0
        mret
    there:
    """.replace("\n    skip: ", "\n    skip:\n        "), BASE,
    ).code  # fmt: skip
    names = {f"s{i}": 16 + i for i in range(2, 12)}
    code: list[int] = []

    def load(register: str, value: int) -> None:
        code.extend(struct.unpack(f"<{len(made) // 4}I", made) if (made := assemble(f"li {register}, {value}", 0).code) else ())

    for register, value in PATTERNS.items():
        load(register, value)
    for number in range(4096):
        patterns = GENTLE.get(number)
        if patterns is not None:
            for register, value in patterns.items():
                load(register, value)
        only_reads = patterns == {}
        steps = [("csrrs", 0), ("csrrw", names["s2"]), ("csrrw", names["s3"]), ("csrrw", names["s4"]), ("csrrs", names["s5"]), ("csrrc", names["s6"]),
                 ("csrrs", 0), ("csrrw", names["s7"])]  # fmt: skip
        for index, (name, source) in enumerate(steps):
            code.append(encode("addi", 27, 0, 0))  # s11: no cause
            code.extend([encode("addi", 26, 0, 0), encode("addi", 10, 0, 0)])
            code.append(encode("csrrs" if only_reads else name, 10, number, 0 if only_reads else source))
            if index == 0:
                code.append(encode("addi", 23, 10, 0))  # s7: what it held
            code.extend([encode("sd", 10, 9, 24 * index), encode("sd", 27, 9, 24 * index + 8), encode("sd", 26, 9, 24 * index + 16)])
        code.append(encode("addi", 9, 9, 24 * OPERATIONS))
        if patterns:
            for register, value in PATTERNS.items():
                load(register, value)
    finish = assemble(FINISH, BASE).code
    data = start + words(code) + finish
    assert len(data) < RESULTS - BASE
    return build_elf([(BASE, data, len(data))], BASE)


# ---- what differs, and why both are right ---------------------------------------------------------------------------

#: Registers whose values differ: which bits are compared (None: nothing, not even whether it is there), and why not all.
DIFFER = {
    0x100: (0x800D_E133 & ~0x6600, "QEMU 7 lets sstatus.UXL be written, and keeps floating-point and vector state bits"),
    0x300: (0x7E_19AA, "QEMU 7 lets mstatus.UXL be written, and keeps floating-point and vector state bits"),
    0x106: (0xFFFF_FFFF, "scounteren has 32 bits"), 0x306: (0xFFFF_FFFF, "mcounteren has 32 bits"),
    0x10A: (0x1, "QEMU has cache-block operations, which senvcfg turns on"),
    0x30A: (1 << 63 | 1, "QEMU has cache-block operations and page types, which menvcfg turns on"),
    0x141: (MASK - 1, "QEMU 7 keeps bit 0 of sepc; the specification says it is zero"),
    0x341: (MASK - 1, "QEMU 7 keeps bit 0 of mepc; the specification says it is zero"),
    0x105: (0, "QEMU 7 refuses a reserved mode of stvec altogether; here only the mode's upper bit is dropped"),
    0x24D: (None, "QEMU 7 has vstimecmp even without the hypervisor extension"),
    0x302: (0xB3FF, "QEMU delegates the hypervisor's causes and the call from the machine level, which can never be delegated"),
    0x303: (0x222, "QEMU delegates the hypervisor's interrupts"), 0x304: (0xAAA, "QEMU enables the hypervisor's interrupts"),
    0x344: (0x222, "QEMU has the hypervisor's interrupts"),
    0x320: (0, "QEMU's counters can be stopped; the specification lets mcountinhibit be zero"),
    0xB00: (0, "time"), 0xB02: (0, "time"), 0xC00: (0, "time"), 0xC01: (0, "time"), 0xC02: (0, "time"),
    0xF12: (0, "marchid may be anything"), 0xF13: (0, "mimpid may be anything"),
    **dict.fromkeys((*range(0xB03, 0xB20), *range(0xC03, 0xC20), *range(0x323, 0x340)), (None, "here the event counters of the machine, which QEMU has not")),
    **dict.fromkeys(range(0x3B0, 0x3C0), ((1 << 54) - 1, "QEMU 7 keeps the uppermost ten bits of pmpaddr; the specification says they are zero")),
    **dict.fromkeys((*range(0x3A4, 0x3B0, 2), *range(0x3C0, 0x3F0)), (None, "of the entries beyond the sixteenth the registers read zero here; QEMU has none")),
    **dict.fromkeys(range(0x7A0, 0x7A4), (None, "debugging has no triggers here; QEMU is run without")),
}  # fmt: skip
#: Registers that hold an address of the program's last trap, and so what happened before.
ECHO = (0x341, 0x342, 0x343)


@pytest.mark.parametrize("mode", [3, 1, 0])
def test_every_register_number(mode, tmp_path):
    elf = csr_program(mode)
    theirs, ours = on_qemu(elf, tmp_path), here(elf, tmp_path)
    assert len(theirs) == len(ours) == 4096 * 24 * OPERATIONS
    wrong = []
    for number in range(4096):
        compared, _ = DIFFER.get(number, (MASK, ""))
        if compared is None:
            continue
        at = number * 24 * OPERATIONS
        for step in range(OPERATIONS):
            a, b = (struct.unpack_from("<3Q", v, at + 24 * step) for v in (theirs, ours))
            if number in ECHO and step in (0, 1):
                continue
            if a[1:] != b[1:] or (a[0] ^ b[0]) & compared:
                wrong.append(f"{number:#x}, step {step}: QEMU {[hex(v) for v in a]}, here {[hex(v) for v in b]}")
    assert not wrong, "\n".join(wrong[:40])
