"""The instruction set as data: RV64IMA with Zicsr, Zifencei and the privileged instructions.

One table serves the assembler and the decoder's tests. Encodings are those of "The RISC-V Instruction
Set Manual", volume I, chapter 37 (instruction set listings), and volume II for the privileged ones.
The C extension has a table of its own, in :mod:`singlab.machine.compressed`. Leaves out floating point.
"""

from __future__ import annotations

#: Register names of the calling convention, in order of number.
REGISTER_NAMES = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", *(f"a{i}" for i in range(8)),
    *(f"s{i}" for i in range(2, 12)), "t3", "t4", "t5", "t6",
)  # fmt: skip
REGISTERS = {name: number for number, name in enumerate(REGISTER_NAMES)}
REGISTERS |= {f"x{number}": number for number in range(32)} | {"fp": 8}

#: mnemonic: (format, opcode, funct3, funct7)
INSTRUCTIONS: dict[str, tuple[str, int, int, int]] = {
    "lui": ("U", 0x37, 0, 0),
    "auipc": ("U", 0x17, 0, 0),
    "jal": ("J", 0x6F, 0, 0),
    "jalr": ("I", 0x67, 0, 0),
    "fence": ("N", 0x0F, 0, 0x0FF),
    "fence.i": ("N", 0x0F, 1, 0),
    "ecall": ("N", 0x73, 0, 0x000),
    "ebreak": ("N", 0x73, 0, 0x001),
    "sret": ("N", 0x73, 0, 0x102),
    "mret": ("N", 0x73, 0, 0x302),
    "wfi": ("N", 0x73, 0, 0x105),
    "sfence.vma": ("F", 0x73, 0, 0x09),
    "hook": ("H", 0x0B, 0, 0),
}
INSTRUCTIONS |= {n: ("B", 0x63, f, 0) for n, f in zip(("beq", "bne", "blt", "bge", "bltu", "bgeu"), (0, 1, 4, 5, 6, 7))}
INSTRUCTIONS |= {n: ("L", 0x03, f, 0) for f, n in enumerate(("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"))}
INSTRUCTIONS |= {n: ("S", 0x23, f, 0) for f, n in enumerate(("sb", "sh", "sw", "sd"))}
INSTRUCTIONS |= {n: ("I", 0x13, f, 0) for n, f in
                 (("addi", 0), ("slti", 2), ("sltiu", 3), ("xori", 4), ("ori", 6), ("andi", 7))}  # fmt: skip
INSTRUCTIONS |= {"slli": ("6", 0x13, 1, 0x00), "srli": ("6", 0x13, 5, 0x00), "srai": ("6", 0x13, 5, 0x20)}
INSTRUCTIONS |= {"addiw": ("I", 0x1B, 0, 0), "slliw": ("5", 0x1B, 1, 0), "srliw": ("5", 0x1B, 5, 0),
                 "sraiw": ("5", 0x1B, 5, 0x20)}  # fmt: skip
INSTRUCTIONS |= {n: ("R", 0x33, f, 0) for f, n in enumerate(("add", "sll", "slt", "sltu", "xor", "srl", "or", "and"))}
INSTRUCTIONS |= {"sub": ("R", 0x33, 0, 0x20), "sra": ("R", 0x33, 5, 0x20)}
INSTRUCTIONS |= {n: ("R", 0x33, f, 1) for f, n in
                 enumerate(("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"))}  # fmt: skip
INSTRUCTIONS |= {"addw": ("R", 0x3B, 0, 0), "subw": ("R", 0x3B, 0, 0x20), "sllw": ("R", 0x3B, 1, 0),
                 "srlw": ("R", 0x3B, 5, 0), "sraw": ("R", 0x3B, 5, 0x20), "mulw": ("R", 0x3B, 0, 1),
                 "divw": ("R", 0x3B, 4, 1), "divuw": ("R", 0x3B, 5, 1), "remw": ("R", 0x3B, 6, 1),
                 "remuw": ("R", 0x3B, 7, 1)}  # fmt: skip
INSTRUCTIONS |= {n: ("C", 0x73, f, 0) for n, f in
                 (("csrrw", 1), ("csrrs", 2), ("csrrc", 3), ("csrrwi", 5), ("csrrsi", 6), ("csrrci", 7))}  # fmt: skip

_FUNCT5 = {"lr": 2, "sc": 3, "amoswap": 1, "amoadd": 0, "amoxor": 4, "amoand": 12, "amoor": 8, "amomin": 16, "amomax": 20,
           "amominu": 24, "amomaxu": 28}  # fmt: skip
INSTRUCTIONS |= {f"{n}.{w}": ("A" if n != "lr" else "1", 0x2F, f, code << 2)
                 for n, code in _FUNCT5.items() for w, f in (("w", 2), ("d", 3))}  # fmt: skip

#: Control and status registers by name.
CSRS = {
    "sstatus": 0x100, "sie": 0x104, "stvec": 0x105, "scounteren": 0x106, "senvcfg": 0x10A, "sscratch": 0x140, "sepc": 0x141,
    "scause": 0x142, "stval": 0x143, "sip": 0x144, "stimecmp": 0x14D, "satp": 0x180,
    "mstatus": 0x300, "misa": 0x301, "medeleg": 0x302, "mideleg": 0x303, "mie": 0x304, "mtvec": 0x305, "mcounteren": 0x306,
    "menvcfg": 0x30A, "mcountinhibit": 0x320, "mscratch": 0x340, "mepc": 0x341, "mcause": 0x342, "mtval": 0x343, "mip": 0x344,
    "pmpcfg0": 0x3A0, "pmpcfg2": 0x3A2, **{f"pmpaddr{n}": 0x3B0 + n for n in range(16)},
    "mcycle": 0xB00, "minstret": 0xB02,
    "cycle": 0xC00, "time": 0xC01, "instret": 0xC02, "mvendorid": 0xF11, "marchid": 0xF12, "mimpid": 0xF13, "mhartid": 0xF14,
}  # fmt: skip
