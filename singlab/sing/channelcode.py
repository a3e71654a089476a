"""Code for channels: sending, receiving, waiting for several, making channels and sets. Part of :mod:`singlab.sing.codegen`."""

from __future__ import annotations

from singlab.kernel.abi import CHANNEL_CLOSED, E_BAD_ARGUMENT
from singlab.kernel.layout import SELECT_MOST
from singlab.sing.sil import Instr, Reg
from singlab.sing.types import Endpoint

SP, T0, A0, A1 = 2, 5, 10, 11
FAULT_CLOSED, FAULT_CONTRACT, FAULT_NO_CHANNEL, FAULT_OWN_CHANNEL = 3, 4, 15, 17


class ChannelCode:
    """What :class:`singlab.sing.codegen.FunctionCode` knows of channels."""

    def op_send(self, instr: Instr, following, skip) -> None:
        endpoint, *values = instr.args
        contract = self.module.module.contracts[endpoint.type.contract]
        self.abi("send", endpoint, contract.messages[instr.extra].index, *values)
        if any(isinstance(value.type, Endpoint) for value in values):
            self.immediate(T0, E_BAD_ARGUMENT)
            self.out.branch("beq", A0, T0, self.fault(FAULT_OWN_CHANNEL, instr))
        self.out.branch("bne", A0, 0, self.fault(FAULT_CONTRACT, instr))

    def op_close(self, instr: Instr, following, skip) -> None:
        self.abi("close", instr.args[0])

    def op_receive(self, instr: Instr, following, skip) -> None:
        out = self.out
        self.abi("receive", instr.args[0])
        contract = self.module.module.contracts[instr.args[0].type.contract]
        for name, (regs, label) in instr.extra.arms.items():
            otherwise = self.module.fresh()
            index = contract.messages[name].index
            if index:
                self.immediate(T0, index)
            out.branch("bne", A0, T0 if index else 0, otherwise)
            self.received(regs, A1)
            out.jump(self.label(label))
            out.label(otherwise)
        self.immediate(T0, CHANNEL_CLOSED)
        closed = self.label(instr.extra.closed) if instr.extra.closed else self.fault(FAULT_CLOSED, instr)
        out.branch("beq", A0, T0, closed)
        out.jump(self.fault(FAULT_CONTRACT, instr))

    def op_new_channel(self, instr: Instr, following, skip) -> None:
        regs, label = instr.extra.arms["made"]
        self.abi("new_channel", sorted(self.module.module.contracts).index(instr.extra.contract))
        attempted = "raised" in instr.extra.arms
        none = self.module.fresh() if attempted else self.fault(FAULT_NO_CHANNEL, instr)
        self.out.branch("beq", A0, 0, none)
        self.received(regs, A0)
        if label != following or attempted:
            self.out.jump(self.label(label))
        if attempted:
            self.out.label(none)
            self.raised(instr, FAULT_NO_CHANNEL)

    def received(self, regs: tuple[Reg, ...], first: int) -> None:
        """Put values that came in a0, a1, ... from ``first`` on where their registers live."""
        moves = []
        for position, reg in enumerate(regs):
            if reg in self.place.registers:
                moves.append((self.place.registers[reg], first + position))
            elif reg in self.place.slots:
                self.out.ins("sd", first + position, SP, 8 * self.place.slots[reg])
        self.parallel(moves)

    def op_heads(self, instr: Instr, following, skip) -> None:
        self.abi("select", *instr.args, *[0] * (1 + SELECT_MOST - len(instr.args)))
        self.write(instr.dest, A0)

    def op_set_new(self, instr: Instr, following, skip) -> None:
        self.abi("new_set")
        self.out.branch("beq", A0, 0, self.fault(FAULT_NO_CHANNEL, instr))
        self.write(instr.dest, A0)

    def op_set_add(self, instr: Instr, following, skip) -> None:
        self.abi("set_add", *instr.args)
        self.out.branch("bne", A0, 0, self.fault(FAULT_CONTRACT, instr))

    def op_set_size(self, instr: Instr, following, skip) -> None:
        self.abi("set_size", *instr.args)
        self.write(instr.dest, A0)

    def op_set_take(self, instr: Instr, following, skip) -> None:
        self.abi("set_take", *instr.args)
        self.out.branch("beq", A0, 0, self.fault(FAULT_CONTRACT, instr))
        self.write(instr.dest, A0)

    def op_set_close(self, instr: Instr, following, skip) -> None:
        self.abi("close", *instr.args)
