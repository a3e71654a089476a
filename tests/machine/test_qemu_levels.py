"""What each level may do, against QEMU: views of the interrupt registers, counters, TVM, TW and TSR, returns, vectors.

One program of many small cases; each notes its number, the values it read, and cause, value and place of its traps.
Left out is where QEMU 7 and the specification differ: misaligned atomic operations.
"""

from __future__ import annotations

import struct

from bench import BASE
from elves import build_elf
from witness import FINISH, OPEN, RESULTS, here, needs_qemu, on_qemu

from singlab.machine.asm import assemble

pytestmark = needs_qemu
NUMBER = 0xABC0_0000
START = f"""
    j    begin
    .align 2
handler:
    csrr t5, mcause
    sd   t5, 0(s1)
    csrr t5, mtval
    sd   t5, 8(s1)
    csrr t5, mepc
    sd   t5, 16(s1)
    addi s1, s1, 24
    li   t6, 0x1800
    csrrs zero, mstatus, t6
    jr   s0
begin:
    la   t0, handler
    csrw mtvec, t0
    li   s1, {RESULTS}
    {OPEN}
"""
#: What of mip is compared: QEMU's CLINT asserts its timer from the start.
PENDING = 0x22A


def note(mask: int, *registers: str) -> str:
    """Store values; of each only some bits."""
    stores = "".join(f"and {r}, {r}, t6\nsd {r}, {8 * i}(s1)\n" for i, r in enumerate(registers))
    return f"li t6, {mask}\n{stores}addi s1, s1, {8 * len(registers)}\n"


def at_level(text: str, mode: int, number: int, status: int = 0) -> str:
    """Do something in a mode; it ends with a call."""
    return f"""
        la   s0, after{number}
        li   t0, {mode << 11 | status}
        csrw mstatus, t0
        la   t0, go{number}
        csrw mepc, t0
        mret
    go{number}: {text}
        ecall
    after{number}:
    """


def cases() -> list[str]:
    found = []
    for mask in (0, 0x222, 0xFFF, 2, 0x200):
        found.append(
            f"li t0, {mask}\ncsrw mideleg, t0\nli t0, -1\ncsrw mip, t0\ncsrr a0, mip\ncsrr a1, sip\ncsrw sip, zero\ncsrr a2, mip\ncsrw mie, t0\ncsrr a3, sie\n"
            "csrw sie, zero\ncsrr a4, mie\ncsrw sip, t0\ncsrr a5, mip\ncsrw mip, zero\ncsrw mie, zero\ncsrw mideleg, zero\n"
            + note(PENDING, "a0", "a1", "a2", "a3", "a4", "a5")
        )
    # the supervisor's timer is software's until STCE, then stimecmp's
    found.append(
        "li t0, -1\ncsrw stimecmp, t0\nslli t0, t0, 63\ncsrw menvcfg, t0\ncsrr a0, mip\nli t1, 0x20\ncsrw mip, t1\ncsrr a1, mip\ncsrw stimecmp, zero\n"
        "csrr a2, mip\ncsrw mip, zero\ncsrr a3, mip\nli t1, -1\ncsrw stimecmp, t1\ncsrr a4, mip\n"
        + note(PENDING, "a0", "a1", "a2", "a3", "a4")
    )
    for machine in (0, 1, 2, 4, 7):
        for supervisor in (0, 2, 7):
            for mode in (0, 1):
                for counter in ("cycle", "time", "instret", "stimecmp"):
                    setting = f"li t0, {machine}\ncsrw mcounteren, t0\nli t0, {supervisor}\ncsrw scounteren, t0\n"
                    found.append(setting + at_level(f"csrr a0, {counter}", mode, len(found)))
    for bit in (0, 1 << 20, 1 << 21, 1 << 22):
        for mode in (0, 1):
            for text in ("csrr a0, satp", "csrw satp, zero", "sfence.vma", "sret", "mret", *(["wfi"] if bit == 1 << 21 else [])):
                number = len(found)
                found.append(f"la t0, spot{number}\ncsrw sepc, t0\n" + at_level(f"{text}\nspot{number}: nop", mode, number, bit))
    for mode in (0, 1, 3):
        for name in ("mret", "sret"):
            number = len(found)
            found.append(
                f"la t0, there{number}\ncsrw mepc, t0\ncsrw sepc, t0\nli t1, 0x1fff\ncsrrc zero, mstatus, t1\nli t0, {mode << 11 | 0x1A2 if mode else 0x22}\n"
                f"csrrs zero, mstatus, t0\nla s0, over{number}\n{name}\nthere{number}: ecall\nover{number}: csrr a0, mstatus\n"
                + note(0x7E_01AA, "a0")
            )
    found.append(
        "la t0, table\nori t0, t0, 1\ncsrw mtvec, t0\nli t0, 2\ncsrw mie, t0\ncsrw mip, t0\nla s0, done\ncsrrsi zero, mstatus, 8\nnop\nj done\n.align 8\n"
        "table: j handler\nli a0, 77\nsd a0, 0(s1)\naddi s1, s1, 8\nj handler\ndone: csrw mip, zero\ncsrw mie, zero\nla t0, handler\ncsrw mtvec, t0\n"
    )
    # fences with fields that later versions may use, and what is no instruction
    for word in (0x0000_100F, 0x0FF0_000F, 0x8330_000F, 0x00A5_800F, 0x0020_0073, 0x7B20_0073, 0x77, 0x6B):
        number = len(found)
        found.append(f"la s0, skip{number}\n.word {word}\nskip{number}:\n")
    return found


def by_case(printed: bytes) -> list[list[int]]:
    found: list[list[int]] = []
    for (word,) in struct.iter_unpack("<Q", printed):
        if word == NUMBER + len(found):
            found.append([])
        else:
            found[-1].append(word)
    return found


def test_what_each_level_may_do(tmp_path):
    texts = cases()
    body = "".join(f"li t3, {NUMBER + i}\nsd t3, 0(s1)\naddi s1, s1, 8\n{text}\n" for i, text in enumerate(texts))
    code = assemble(START + body + FINISH, BASE).code
    elf = build_elf([(BASE, code, len(code))], BASE)
    theirs = by_case(on_qemu(elf, tmp_path))
    assert len(theirs) == len(texts)
    for profile in ("athlon64", "untimed"):
        ours = by_case(here(elf, tmp_path, profile))
        wrong = [f"{a} on QEMU, {b} here: {text}" for a, b, text in zip(theirs, ours, texts, strict=True) if a != b]
        assert not wrong, "\n".join(wrong[:5])
