"""The verifier's part about endpoints that come and go, and about waiting for several of them.

An endpoint's register has a set of what it can be, over all paths: states of its contract, and the marks below.
Endpoints that were made or received are owed: on every path they are closed, sent or handed on before their
register is used again and before the function ends. A helper's endpoint parameters are lent to it.
"""

from __future__ import annotations

from singlab.sing.carried import RULE
from singlab.sing.sil import CLOSED as CLOSED_CELL
from singlab.sing.sil import Instr, Reg, Select
from singlab.sing.status import Owned, named
from singlab.sing.types import Endpoint, EndpointSet

CLOSED = -1  #: this side has closed it
PEER_GONE = -2  #: its peer has closed
ASTRAY = -3  #: after a send that was reported
MOVED = -4  #: it was sent, moved or put into a set
UNSET = -5  #: there is a path on which its register has no value
OWED = -6  #: besides a state: it has to be closed or handed on

_LEFT = {"send": "was sent", "mov": "was moved", "ret": "was returned", "set_add": "was put into a set", "give": "was given to a child", "spawn": "was handed to a thread",
         "attempt_spawn": "was handed to a thread", "call": "was handed on by a function",
         "name_register": "was handed to the name service", "name_connect": "was handed to the name service"}
#: Combinations of what can have arrived that are looked at for one select.
_MOST_COMBINATIONS = 20_000


def states_of(status) -> frozenset:
    """Return the states an endpoint can be in, this side having it."""
    return (status or frozenset()) - {MOVED, UNSET, OWED}


class EndpointFlow:
    """What :class:`singlab.sing.verifier.FunctionFlow` knows of endpoints."""

    def arguments(self, instr: Instr) -> tuple:
        """Return the arguments a send's message carries: names and types."""
        return self.flow.module.contracts[instr.args[0].type.contract].messages[instr.extra].arguments

    def gone(self, reg: Reg, status: frozenset, instr: Instr) -> bool:
        """Report an endpoint that this side may not have any more; returns whether it did."""
        if MOVED in status:
            op, position = self.left.get(reg, ("send", instr.position))
            where = f" on line {position.line}" if position.line else ""
            on_some = " on some paths" if states_of(status) else ""
            self.error("endpoint.moved", f"endpoint {named(reg)} {_LEFT[op]}{where}{on_some} and is not this function's any more",
                       instr.position, "use it before, or receive or make another one")  # fmt: skip
            return True
        if UNSET in status:
            self.error("init", f"{named(reg)} may have no value here: it is assigned on some paths only", instr.position,
                       "assign it before the branch or loop")  # fmt: skip
            return True
        return False

    def move_away(self, reg: Reg, state: dict, instr: Instr) -> None:
        """An endpoint leaves its register."""
        self.left[reg] = (instr.op, instr.position)
        state[reg] = frozenset({MOVED})

    def endpoint_comes(self, reg: Reg, old, instr: Instr) -> None:
        """A register gets an endpoint; one it still has to give back would be lost."""
        if old and OWED in old and states_of(old) - {CLOSED}:
            since = self.came.get(reg)
            where, when = f" from line {since.line}" if since and since.line else "", "first"
            if since is not None and since.line and since.line == instr.position.line:
                where, when = " from the last round of the loop", "before the round ends"
            self.error("endpoint.leak", f"endpoint {named(reg)}{where} is overwritten here and lost", instr.position,
                       f"send it or {reg.name or '...'}.close() {when}")  # fmt: skip
        self.came[reg] = instr.position

    def left_open(self, instr: Instr, state: dict, rule: str = "endpoint.leak") -> None:
        """A return, or an exception that leaves: no endpoint may be owed any more but what is returned."""
        how = "returns" if rule == "endpoint.leak" else "is left by an exception raised here"
        for reg, status in state.items():
            if not isinstance(reg.type, Endpoint) or reg in self.function.params or not status or OWED not in status:
                continue
            if states_of(status) - {CLOSED}:
                since = self.came.get(reg)
                some = " on some paths" if {CLOSED, MOVED} & status else ""
                where = instr.position if instr.position.line != self.function.position.line or since is None else since
                self.error(rule, f"endpoint {named(reg)} from line {since.line if since else 0} is still open{some} when "
                           f"{self.function.name} {how}", where, f"send it or {reg.name or '...'}.close() before"
                           if rule == "endpoint.leak" else f"{reg.name or '...'}.close() in the finally of a try around this line")  # fmt: skip

    def travels(self, reg: Reg, type_: Endpoint, argument: str, state: dict, instr: Instr, seen: set) -> None:
        """Check an endpoint among the arguments of a send: it is not the one sent on, not twice there, and in its state."""
        if reg is instr.args[0]:
            self.error("endpoint.moved", f"endpoint {named(reg)} cannot travel over itself", instr.position,
                       "send it over another channel")  # fmt: skip
            return
        if reg in seen:
            self.error("endpoint.moved", f"endpoint {named(reg)} is in this message twice", instr.position,
                       "an endpoint has one owner; send two of them")  # fmt: skip
            return
        contract = self.flow.module.contracts[type_.contract]
        wanted = type_.state or contract.states[0]
        self.in_state(reg, contract, wanted, state, instr, f"{argument} of {instr.extra} is {type_}:{wanted}")

    def in_state(self, reg: Reg, contract, wanted: str, state: dict, instr: Instr, needed: str) -> None:
        """Check that an endpoint is in one state on all paths."""
        for s in sorted(states_of(state.get(reg)) - {ASTRAY}):
            if s == contract.states.index(wanted):
                continue
            if s == CLOSED:
                self.error("contract.closed", f"{named(reg)} is used although this side has closed it", instr.position, "hand it on before")
                continue
            now = f"in state {contract.states[s]}" if s >= 0 else "one whose peer has closed"
            self.error(RULE, f"endpoint {named(reg)} is {now} here, but {needed}", instr.position,
                       f"bring it to state {wanted} first" if s >= 0 else f"close it: {reg.name or '...'}.close()")  # fmt: skip

    def arrive(self, regs: tuple[Reg, ...], message, state: dict, instr: Instr) -> None:
        """The arguments of a message get into their registers."""
        for reg, (_, type_) in zip(regs, message.arguments):
            status = Owned(instr.position) if reg.type.block else True
            if isinstance(type_, Endpoint):
                contract = self.flow.module.contracts[type_.contract]
                status = frozenset({contract.states.index(type_.state or contract.states[0]), OWED})
            self.define(reg, status, state, instr)

    def new_channel(self, instr: Instr, state: dict) -> list[tuple[str, dict]]:
        """Both ends of a new channel are there, in the first state."""
        ways = []
        for name, (regs, label) in instr.extra.arms.items():
            after = dict(state)
            for reg in regs:
                self.define(reg, frozenset({0, OWED}) if name == "made" else True, after, instr)
            ways.append((label, after))
        return self.together(ways)

    def set_add(self, instr: Instr, state: dict) -> None:
        """An endpoint goes into a set, in the set's state."""
        ends, reg = instr.args
        contract = self.flow.module.contracts[ends.type.contract]
        self.in_state(reg, contract, ends.type.state, state, instr, f"the members of {named(ends)} are in state {ends.type.state}")
        self.move_away(reg, state, instr)

    def named_away(self, instr: Instr, state: dict) -> None:
        """An endpoint goes to the name service, in its contract's first state."""
        reg = instr.args[0]
        contract = self.flow.module.contracts[reg.type.contract]
        self.in_state(reg, contract, contract.states[0], state, instr, f"the name service takes it in state {contract.states[0]}")
        self.move_away(reg, state, instr)

    def give(self, instr: Instr, state: dict) -> None:
        """An endpoint becomes a child's startup argument, in its contract's first state."""
        reg = instr.args[1]
        contract = self.flow.module.contracts[reg.type.contract]
        self.in_state(reg, contract, contract.states[0], state, instr, f"a child begins with it in state {contract.states[0]}")
        self.move_away(reg, state, instr)

    def waits(self, instr: Instr, state: dict) -> None:
        """Endpoints among what is waited for can bring something: they are open, and it is the other side's turn."""
        for reg in instr.args[1:]:
            if not isinstance(reg.type, Endpoint):
                continue
            contract = self.flow.module.contracts[reg.type.contract]
            for s in sorted(states_of(state.get(reg)) - {ASTRAY}):
                if s < 0:
                    self.closed(Instr(instr.op, None, (reg,), None, instr.position), s)
                elif contract.turn(s) == reg.type.side:
                    own = " or ".join(contract.transitions[s])
                    self.error("contract.receive", f"{self.function.name} waits for a message on {named(reg)} in state {contract.states[s]}, but "
                               f"there it is its own turn to send {own}: nothing can come", instr.position, f"send {own} first")  # fmt: skip

    # ---- waiting for several ---------------------------------------------------------------------------------------

    def operand_states(self, reg: Reg, state: dict) -> frozenset:
        """Return the states in which the endpoint that an operand of a select stands for can be."""
        if isinstance(reg.type, EndpointSet):
            return frozenset({self.flow.module.contracts[reg.type.contract].states.index(reg.type.state)})
        return states_of(state.get(reg))

    def select(self, instr: Instr, state: dict) -> list[tuple[str, dict]]:
        """Follow the rows of a select; what can arrive is found for each operand by itself."""
        table: Select = instr.extra
        possible = [self.can_arrive(instr, column, state) for column in range(len(instr.args))]
        self.exhaustive(instr, possible)
        result = []
        for cells, (regs, label) in table.arms.items():
            row = dict(state)
            afters = [frozenset({PEER_GONE}) if cell is None or cell[0] == CLOSED_CELL else frozenset(arriving.get(cell[0], ()))
                      for cell, arriving in zip(cells, possible)]  # fmt: skip
            if not all(afters):
                continue  # what it asks for cannot come
            for reg, cell, own, after in zip(instr.args, cells, Select.split(cells, regs), afters):
                if cell is None:
                    continue
                if isinstance(reg.type, EndpointSet):
                    self.define(own[0], after | {OWED}, row, instr)
                    own = own[1:]
                else:
                    row[reg] = after | (state.get(reg) or frozenset()) & {OWED}
                if cell[0] != CLOSED_CELL:
                    self.arrive(own, self.flow.module.contracts[reg.type.contract].messages[cell[0]], row, instr)
            result.append((label, row))
        if table.closed is not None:
            result.append((table.closed, state))
        return self.together(result)

    def can_arrive(self, instr: Instr, column: int, state: dict) -> dict[str, set[int]]:
        """Return which messages can arrive at an operand of a select, with the states they lead to; report where it must not wait."""
        reg, table = instr.args[column], instr.extra
        contract, side = self.flow.module.contracts[reg.type.contract], reg.type.side
        arriving: dict[str, set[int]] = {}
        for s in sorted(self.operand_states(reg, state)):
            if s == ASTRAY:
                for cells in table.arms:
                    if cells[column] is not None:
                        arriving.setdefault(cells[column][0], set()).add(s)
            elif s < 0:
                self.closed(Instr(instr.op, None, (reg,), None, instr.position), s)
            elif contract.turn(s) == side:
                own = " or ".join(contract.transitions[s])
                self.error("contract.receive", f"{self.function.name} waits for a message on {named(reg)} in state {contract.states[s]}, but "
                           f"there it is its own turn to send {own}: both sides would wait for ever (deadlock)",
                           instr.position, f"send {own} first")  # fmt: skip
            elif contract.turn(s) is None and not any(cells[column] is not None and cells[column][0] == CLOSED_CELL for cells in table.arms):
                self.error("contract.receive", f"{self.function.name} waits for a message on {named(reg)} in state {contract.states[s]}, where "
                           "the conversation is over", instr.position, "handle ChannelClosed() there, or leave it out")  # fmt: skip
            else:
                for name, target in contract.transitions[s].items():
                    arriving.setdefault(name, set()).add(target)
        return arriving

    def exhaustive(self, instr: Instr, possible: list[dict[str, set[int]]]) -> None:
        """Check that whatever has arrived everywhere, some row is satisfied; otherwise the wait could end nowhere."""
        table: Select = instr.extra
        if table.closed is not None:
            return
        rows = list(table.arms)
        looked = 0
        todo: list[tuple[int, tuple, list[str]]] = [(0, tuple(range(len(rows))), [])]
        while todo:
            column, alive, arrived = todo.pop()
            looked += 1
            if looked > _MOST_COMBINATIONS:
                self.error("contract.exhaustive", "these rows have too many combinations to see that one is always satisfied", instr.position,
                           "add: case Unsatisfiable():")  # fmt: skip
                return
            if any(all(cell is None for cell in rows[i][column:]) for i in alive):
                continue
            if column == len(instr.args) or not alive:
                what = " and ".join(name for name in arrived if name) or "what can arrive"
                self.error("contract.exhaustive", f"{what} can arrive here and no case takes it", instr.position,
                           "add a case for it, or: case Unsatisfiable():")  # fmt: skip
                return
            asked = {rows[i][column][0] for i in alive if rows[i][column] is not None}
            others = sorted(set(possible[column]) - asked)
            for name in [*sorted(asked & set(possible[column])), *others[:1]]:
                left = tuple(i for i in alive if rows[i][column] is None or rows[i][column][0] == name)
                todo.append((column + 1, left, [*arrived, name]))
            if not possible[column]:  # all that can come there is its end
                left = tuple(i for i in alive if rows[i][column] is None or rows[i][column][0] == CLOSED_CELL)
                todo.append((column + 1, left, arrived))
