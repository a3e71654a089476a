"""The verifier, contracts: in which states an endpoint can be, and what may be sent and received there."""

from __future__ import annotations

from singlab.sing.endpointflow import ASTRAY, CLOSED, OWED, PEER_GONE, states_of
from singlab.sing.sil import Instr, Receive, Reg
from singlab.sing.status import Status, named


class ContractFlow:
    """The part of following a function that deals with its endpoints."""

    def closed(self, instr: Instr, state: int) -> None:
        how = "this side has closed it" if state == CLOSED else "the peer has closed it"
        self.error("contract.closed", f"{named(instr.args[0])} is used although {how}", instr.position,
                   "end the conversation here")  # fmt: skip

    def send(self, instr: Instr, state: dict[Reg, Status]) -> None:
        endpoint = instr.args[0]
        contract, side = self.flow.module.contracts[endpoint.type.contract], endpoint.type.side
        after = set(state.get(endpoint) or ()) & {OWED}
        for s in sorted(states_of(state.get(endpoint))):
            if s == ASTRAY:
                after.add(s)
                continue
            if s < 0:
                self.closed(instr, s)
                continue
            step = contract.transitions[s]
            if instr.extra in step and contract.messages[instr.extra].sender == side:
                after.add(step[instr.extra])
                continue
            turn = contract.turn(s)
            if turn is None:
                allowed = "there the conversation is over"
                hint = "remove the send, or close the endpoint"
            elif turn != side:
                allowed = f"there it is the other side's turn to send {' or '.join(step)}"
                hint = f"receive {' or '.join(step)} first"
            else:
                allowed = f"there it may send {' or '.join(step)}"
                hint = f"send {' or '.join(step)} here"
            self.error("contract.send", f"{instr.extra} is sent in state {contract.states[s]}; {allowed}", instr.position, hint)
            after.add(ASTRAY)  # reported once: what follows on this path is not held against the contract
        state[endpoint] = frozenset(after)

    def receive(self, instr: Instr, state: dict[Reg, Status]) -> list[tuple[str, dict[Reg, Status]]]:
        endpoint = instr.args[0]
        contract, side = self.flow.module.contracts[endpoint.type.contract], endpoint.type.side
        table: Receive = instr.extra
        arrive: dict[str, set[int]] = {name: set() for name in table.arms}
        owed = (state.get(endpoint) or frozenset()) & {OWED}
        for s in sorted(states_of(state.get(endpoint))):
            if s == ASTRAY:
                for name in table.arms:
                    arrive[name].add(s)
                continue
            if s < 0:
                self.closed(instr, s)
                continue
            step = contract.transitions[s]
            turn = contract.turn(s)
            if turn == side:
                own = " or ".join(step)
                self.error("contract.receive", f"{self.function.name} waits for a message in state {contract.states[s]}, but "
                           f"there it is its own turn to send {own}: both sides would wait for ever (deadlock)",
                           instr.position, f"send {own} first")  # fmt: skip
                for name in table.arms:
                    arrive[name] |= {t for st in contract.transitions for m, t in st.items() if m == name}
                continue
            if turn is None and table.closed is None:
                self.error("contract.receive", f"{self.function.name} waits for a message in state {contract.states[s]}, where "
                           "the conversation is over", instr.position, "handle case ChannelClosed():, or return")  # fmt: skip
            for name, target in step.items():
                if name in arrive:
                    arrive[name].add(target)
                else:
                    where = contract.states[s]
                    self.error("contract.exhaustive", f"{name} can arrive here (state {where}) and is not handled",
                               instr.position, f"add: case {contract.name}.{name}"
                               f"({', '.join(n for n, _ in contract.messages[name].arguments)}):")  # fmt: skip
        result = []
        for name, (regs, label) in table.arms.items():
            if not arrive[name]:
                continue
            arm = dict(state)
            arm[endpoint] = frozenset(arrive[name]) | owed
            self.arrive(regs, contract.messages[name], arm, instr)
            result.append((label, arm))
        if table.closed is not None:
            result.append((table.closed, {**state, endpoint: frozenset({PEER_GONE}) | owed}))
        return self.together(result)

    def together(self, ways: list[tuple[str, dict[Reg, Status]]]) -> list[tuple[str, dict[Reg, Status]]]:
        """Join the ways of one receive that lead to the same block."""
        joined: dict[str, dict[Reg, Status]] = {}
        for label, state in ways:
            if label in joined:
                joined[label] = {r: self.join(r, joined[label].get(r, False), state.get(r, False))
                                 for r in set(joined[label]) | set(state)}  # fmt: skip
            else:
                joined[label] = state
        return list(joined.items())
