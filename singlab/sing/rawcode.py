"""Code of raw operations, which programs of open processes and measuring ones have beyond the language, and of the clock."""

from __future__ import annotations

from singlab.sing.sil import Instr

_RA, _T1, _A0, _A7 = 1, 6, 10, 17


class RawCode:
    """The part of a function's code that jumps to addresses and makes some."""

    def op_raw_call(self, instr: Instr, following, skip) -> None:
        """A call of whatever lies at an address."""
        self.arguments(list(instr.args[1:]))
        self.out.ins("jalr", _RA, self.read(instr.args[0], _T1), 0)
        self.arrive(instr.results)

    def op_raw_function(self, instr: Instr, following, skip) -> None:
        """The address of a function."""
        self.place_of(instr, instr.extra)

    def op_raw_text(self, instr: Instr, following, skip) -> None:
        """The address of constant bytes."""
        self.place_of(instr, self.module.text(instr.extra))

    def place_of(self, instr: Instr, label: str) -> None:
        rd = self.target(instr.dest)
        self.out.address(rd, label)
        self.write(instr.dest, rd)

    def op_raw_fence(self, instr: Instr, following, skip) -> None:
        """What was written as data is fetched as code from here on."""
        self.out.ins("fence.i")

    def op_ecall(self, instr: Instr, following, skip) -> None:
        self.arguments(list(instr.args))
        self.immediate(_A7, instr.extra)
        self.out.ins("ecall")
        if instr.dest is not None:
            self.write(instr.dest, _A0)

    def op_cycles(self, instr: Instr, following, skip) -> None:
        rd = self.target(instr.dest)
        self.out.ins("csrrs", rd, 0xC00, 0)
        self.write(instr.dest, rd)
