"""The verifier: nothing runs unless SIL alone proves it harmless.

It trusts no claim of the compiler, only SIL and the declared contracts and ABI. For each function it
follows, over all paths to a fixed point: which registers have a value, who owns each exchange-heap
vector, and in which states of its contract each endpoint can be, or that it is gone. Helpers are followed at
each call with the endpoint states of that call. What concerns endpoints that come and go, and waiting for several,
is in :mod:`singlab.sing.endpointflow`.

Rules
-----
sil.malformed           blocks, labels, registers and instructions fit together
types                   operands have the types the instruction wants
class                   classes inherit without a circle, and a method stands for its parent's
init                    a register has a value on every path before it is used
owner.use-after-send    a vector that was sent is not used
owner.use-after-free    nor one that was freed
owner.use-after-move    nor one that was handed on
owner.borrow            a borrowed vector is not sent, freed, returned or handed on
owner.leak              a vector is sent, freed or handed on before its register or function ends
owner.leak-on-raise     and before an exception leaves a function, too
owner.shared            a vector whose data others read is not written
owner.merge             paths that meet agree on who owns a vector
contract.send           a message is sent only where the contract allows it
contract.receive        a SIP waits only where it is the other side's turn
contract.exhaustive     a receive handles every message that can come
contract.closed         a closed endpoint is not used
contract.send-state     an endpoint travels in the state its message says, in which its own side sends next
endpoint.moved          an endpoint that was sent, moved or put into a set is not used
endpoint.leak           an endpoint that was received or made is closed, sent or handed on
closed-api              only functions of the program itself are called
recursion               nothing calls the entry, and calls nest so deep that one can follow them
privileged              no raw memory access

A process that ends by a fault owes nothing: the kernel takes back what it had.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from singlab.sing import sil
from singlab.sing.callgraph import MOST_NESTED_CALLS, located, refuse_nesting
from singlab.sing.contract_flow import ContractFlow
from singlab.sing.endpointflow import CLOSED, MOVED, OWED, UNSET, EndpointFlow, states_of
from singlab.sing.errors import SipError
from singlab.sing.ownership import GONE, give_back, what
from singlab.sing.report import Report
from singlab.sing.sil import Block, Function, Instr, Module, Position, Reg
from singlab.sing.sil_classes import called
from singlab.sing.sil_types import Malformed, check_function, check_module
from singlab.sing.status import Gone, Lent, Owned, Status, Torn, named
from singlab.sing.types import Endpoint


class FunctionFlow(ContractFlow, EndpointFlow):
    """Follow one function from given endpoint states."""

    def __init__(self, function: Function, flow: ModuleFlow, entry: dict[Reg, Status]):
        self.function, self.flow = function, flow
        self.blocks = {block.label: block for block in function.blocks}
        self.order = self.reverse_postorder()
        self.live = self.liveness()
        self.sources: dict[str, list[str]] = {label: [] for label in self.blocks}
        self.incoming: dict[str, dict[Reg, Status]] = {function.blocks[0].label: entry}
        self.outgoing: dict[tuple[str, str], dict[Reg, Status]] = {}
        #: States of the endpoint parameters when the function returns and when it raises; None if it does not.
        self.returned: tuple[frozenset, ...] | None = None
        self.raised: tuple[frozenset, ...] | None = None
        self.result: frozenset = frozenset()
        self.left: dict[Reg, tuple[str, Position]] = {}
        self.came: dict[Reg, Position] = {}
        self.say: Callable[[SipError], None] | None = None

    def reverse_postorder(self) -> dict[str, int]:
        """Return a number for each block, smaller than those of the blocks after it except where a loop closes."""
        done: list[str] = []
        seen = {self.function.blocks[0].label}
        stack = [(self.function.blocks[0].label, iter(sil.successors(self.function.blocks[0].instrs[-1])))]
        while stack:
            label, targets = stack[-1]
            target = next((t for t in targets if t not in seen), None)
            if target is None:
                done.append(label)
                stack.pop()
            else:
                seen.add(target)
                stack.append((target, iter(sil.successors(self.blocks[target].instrs[-1]))))
        return {label: i for i, label in enumerate(reversed(done))}

    def run(self, report: bool) -> None:
        """Go to the fixed point, then once more to report."""
        label = self.function.blocks[0].label
        todo, waiting = [(self.order[label], label)], {label}
        while todo:
            _, label = heappop(todo)
            waiting.discard(label)
            for target, state in self.block(self.blocks[label]):
                if label not in self.sources[target]:
                    self.sources[target].append(label)
                self.outgoing[label, target] = self.worth_knowing(state, target)
                merged = self.merge(target)
                if self.incoming.get(target) != merged:
                    self.incoming[target] = merged
                    if target not in waiting:
                        waiting.add(target)
                        heappush(todo, (self.order[target], target))
        if not report:
            return
        self.say = self.flow.report
        for block in self.function.blocks:
            if block.label in self.incoming:
                self.torn(block)
                self.block(block)
        if report and not self.flow.findings:
            self.adrift()

    def liveness(self) -> dict[str, int]:
        """Return for each block which registers it, or what comes after it, may use before giving them a value: a bit each."""
        # numbers of registers are the program's to choose, so bits are counted anew
        self.bit = {reg: bit for bit, reg in enumerate(self.function.registers())}
        used, given, into = {}, {}, {label: [] for label in self.blocks}
        for label, block in self.blocks.items():
            uses = gives = 0
            for instr in block.instrs:
                for reg in instr.args:
                    uses |= 1 << self.bit[reg] & ~gives
                for reg in instr.results:
                    gives |= 1 << self.bit[reg]
            used[label], given[label] = uses, gives
            for target in sil.successors(block.instrs[-1]):
                into[target].append(label)
        live, todo = dict(used), list(self.blocks)
        while todo:
            label = todo.pop()
            for source in into[label]:
                more = used[source] | (live[label] & ~given[source])
                if more & ~live[source]:
                    live[source] |= more
                    todo.append(source)
        return live

    def worth_knowing(self, state: dict[Reg, Status], target: str) -> dict[Reg, Status]:
        """Leave out of a state what can make no difference from a block on, so that long functions take no longer by the line."""
        live = self.live[target]
        return {
            reg: status
            for reg, status in state.items()
            if live >> self.bit[reg] & 1 or isinstance(status, (Owned, Torn)) or isinstance(reg.type, Endpoint)
        }

    def merge(self, target: str) -> dict[Reg, Status]:
        """Return the state in which a block begins: what all its ways in agree on."""
        states = [self.outgoing[source, target] for source in self.sources[target]]
        if target == self.function.blocks[0].label:
            states.append(self.incoming[target])
        merged = dict(states[0])
        for state in states[1:]:
            for reg in set(merged) | set(state):
                merged[reg] = self.join(reg, merged.get(reg, False), state.get(reg, False))
        return merged

    @staticmethod
    def join(reg: Reg, a: Status, b: Status) -> Status:
        if a == b:
            return a
        if isinstance(reg.type, Endpoint):
            return (a or frozenset({UNSET} if a is False else ())) | (b or frozenset({UNSET} if b is False else ()))
        if reg.type.block:
            for one, other in ((a, b), (b, a)):
                if isinstance(one, Torn):
                    return one
                if isinstance(one, Owned):
                    return one if isinstance(other, Owned) else Torn(one.position)
            for one, other in ((a, b), (b, a)):
                if isinstance(one, Lent):  # where one way has no vector any more, neither has what follows
                    return other
            return a or b
        return False

    def torn(self, block: Block) -> None:
        """Report vectors on whose owner the ways into a block disagree, once, where they first meet."""
        ways = [(source, self.outgoing[source, block.label]) for source in self.sources[block.label]]
        for reg, status in self.incoming[block.label].items():
            if isinstance(status, Torn) and not any(isinstance(s.get(reg), Torn) for _, s in ways):
                again = any(isinstance(s.get(reg), Owned) and self.order[source] >= self.order[block.label] for source, s in ways)
                self.disagree(reg, status, again)

    def adrift(self) -> None:
        """Report vectors whose disagreement goes round a loop, so that no block is the first to see it.

        If the loop was entered owning the vector, some rounds lose it; else each round brings another one.
        """
        entered: set[Reg] = set()
        torn: dict[Reg, Torn] = {}
        for label, incoming in self.incoming.items():
            for reg, status in incoming.items():
                if isinstance(status, Torn):
                    torn.setdefault(reg, status)
            if any(self.order[source] >= self.order[label] for source in self.sources[label]):
                outside = [self.outgoing[source, label] for source in self.sources[label] if self.order[source] < self.order[label]]
                entered |= {reg for state in outside for reg, status in state.items() if isinstance(status, Owned)}
        for reg, status in torn.items():
            self.disagree(reg, status, reg not in entered)

    def disagree(self, reg: Reg, status: Torn, again: bool) -> None:
        """Report one vector that some ways own and others do not."""
        if again:
            self.error("owner.leak", f"{what(reg)} {named(reg)} is still owned here when the loop begins its next round",
                       status.position, f"{give_back(reg)} before the round ends")  # fmt: skip
        else:
            gone = "handed on or closed" if what(reg) == "set" else "sent or freed"
            self.error("owner.merge", f"{what(reg)} {named(reg)} is {gone} on one path only", status.position,
                       f"{give_back(reg)} on every path")  # fmt: skip

    def error(self, rule: str, message: str, position: Position, hint: str) -> None:
        """Report, unless still on the way to the fixed point."""
        if self.say is not None:
            module = self.flow.module
            self.say(SipError(rule, message, hint=hint, line=position.line, column=position.column)
                     .at(self.function.filename or module.filename, self.function.source or module.source))  # fmt: skip

    # ---- one block ------------------------------------------------------------------------------------------------

    def block(self, block: Block) -> list[tuple[str, dict[Reg, Status]]]:
        """Follow a block; returns the state for each block after it."""
        state = dict(self.incoming[block.label])
        for instr in block.instrs[:-1]:
            if not self.instruction(instr, state):
                return []
        last = block.instrs[-1]
        for reg in last.args:
            self.use(reg, state, last)
        if last.op == "receive":
            return self.receive(last, state)
        if last.op in ("attempt", "attempt_vcall"):
            return self.attempt(last, state)
        if last.op == "attempt_spawn":
            return self.attempt_spawn(last, state)
        if last.op == "attempt_op":
            return self.attempt_op(last, state)
        if last.op == "attempt_new":
            return self.ways(last, state, {"returned": state, "raised": state})
        if last.op == "select":
            return self.select(last, state)
        if last.op == "new_channel":
            return self.new_channel(last, state)
        if last.op == "ret":
            self.leave(last, state)
        elif last.op == "raise" and self.function.raises:
            self.thrown(last, state)
        return [(label, state) for label in sil.successors(last)]

    def use(self, reg: Reg, state: dict[Reg, Status], instr: Instr) -> None:
        """Check that a register has a value here, and owns it where that matters."""
        status = state.get(reg, False)
        if reg.type.block:
            if isinstance(status, Gone):
                rule, happened = GONE[status.by]
                where = f" on line {status.position.line}" if status.position.line else ""
                lost = "belongs to somebody else now" if status.by != "set_close" else "is there no more"
                self.error(rule, f"{what(reg)} {named(reg)} {happened}{where} and {lost}", instr.position,
                           "use it before, or allocate another block" if what(reg) == "block" else "use it before, or make another set")  # fmt: skip
            elif status is False:
                self.error("init", f"{named(reg)} may have no value here", instr.position, "assign it on every path before")
            return
        if isinstance(reg.type, Endpoint) and status and self.gone(reg, status, instr):
            return
        if status is False or status == frozenset():
            self.error("init", f"{named(reg)} may have no value here: it is assigned on some paths only", instr.position,
                       "assign it before the branch or loop")  # fmt: skip

    def consume(self, reg: Reg, state: dict[Reg, Status], instr: Instr) -> None:
        """A linear register hands on what it owns; an endpoint that is an argument of a call is lent only."""
        if reg.type.block:
            if isinstance(state.get(reg), Lent) and instr.op != "mov":
                how = {"send": "sent", "free": "freed", "ret": "returned"}.get(instr.op, "handed over")
                self.error("owner.borrow", f"{what(reg)} {named(reg)} is borrowed and cannot be {how}: it belongs to the caller", instr.position,
                           "leave it to the caller, or take it for good: a parameter without Borrowed[...]")  # fmt: skip
            state[reg] = Gone(instr.op, instr.position)
        elif isinstance(reg.type, Endpoint) and instr.op not in ("call", "attempt"):
            self.move_away(reg, state, instr)

    def define(self, reg: Reg, status: Status, state: dict[Reg, Status], instr: Instr) -> None:
        """A register gets a value; a vector it still owned would be lost."""
        old = state.get(reg, False)
        if isinstance(old, Owned):
            self.error("owner.leak", f"{what(reg)} {named(reg)} from line {old.position.line} is overwritten here and lost",
                       instr.position, f"{give_back(reg)} first")  # fmt: skip
        if isinstance(reg.type, Endpoint):
            self.endpoint_comes(reg, old, instr)
        state[reg] = status

    def instruction(self, instr: Instr, state: dict[Reg, Status]) -> bool:
        """Follow one instruction that is not a terminator; returns whether control comes behind it."""
        for reg in instr.args:
            self.use(reg, state, instr)
        op = instr.op
        made: frozenset = frozenset()  # the states of an endpoint that a call returns
        if op.startswith("raw_"):
            self.error("privileged", f"{op} reaches memory directly", instr.position, "only the kernel's own functions may")
        elif op == "send":
            self.send(instr, state)
            seen = set()
            for (argument, type_), reg in zip(self.arguments(instr), instr.args[1:]):
                if isinstance(reg.type, Endpoint):
                    self.travels(reg, type_, argument, state, instr, seen)
                if reg in seen and reg.type.block:
                    self.error("owner.use-after-send", f"block {named(reg)} is in this message twice", instr.position,
                               "a block has one owner; send two blocks")  # fmt: skip
                seen.add(reg)
                self.consume(reg, state, instr)
        elif op == "close":
            if CLOSED in state.get(instr.args[0], frozenset()):
                self.closed(instr, CLOSED)
            state[instr.args[0]] = frozenset({CLOSED})
        elif op == "wait":
            self.waits(instr, state)
        elif op in ("peer_principal", "principal_is"):
            if CLOSED in state.get(instr.args[0], frozenset()):
                self.closed(instr, CLOSED)
        elif op == "set_add":
            self.set_add(instr, state)
        elif op in ("name_register", "name_connect"):
            self.named_away(instr, state)
        elif op == "give" and isinstance(instr.args[1].type, Endpoint):
            self.give(instr, state)
        elif op in ("free", "set_close", "split", "truncate", "share"):
            self.consume(instr.args[0], state, instr)
        elif op == "spawn":
            self.called(self.flow.module.functions[instr.extra], instr, state)
            for reg in instr.args:
                if isinstance(reg.type, Endpoint):
                    self.move_away(reg, state, instr)
        elif op in ("call", "vcall"):
            given = dict(state)
            outcomes = [self.called(self.flow.module.functions[name], instr, state if n == 0 else dict(given))
                        for n, name in enumerate(called(self.flow.module, instr))]  # fmt: skip
            came_back = [after for after in outcomes if after.returned is not None]
            if not came_back:
                return False
            ways = [after.returned for after in came_back]
            made = frozenset().union(*(after.result for after in came_back))
            self.moved(instr, state, tuple(frozenset().union(*states) for states in zip(*ways)))
        for reg in instr.results:
            status: Status = True
            if isinstance(reg.type, Endpoint):
                if op == "mov":
                    status = states_of(state.get(instr.args[0])) | (state.get(instr.args[0]) or frozenset()) & {OWED}
                    self.consume(instr.args[0], state, instr)
                else:
                    status = made | {OWED}
            elif reg.type.block:
                status = Owned(instr.position)
                if op == "mov":
                    before = state.get(instr.args[0])
                    status = before if isinstance(before, (Owned, Lent)) else status
                    self.consume(instr.args[0], state, instr)
            self.define(reg, status, state, instr)
        return True

    # ---- calls -------------------------------------------------------------------------------------------------

    def called(self, callee: Function, instr: Instr, state: dict[Reg, Status]) -> Outcome:
        """Check what a call hands over and follow it; returns what is so after it, all arguments being gone."""
        endpoints = [r for r in instr.args if isinstance(r.type, Endpoint)]
        if len(set(endpoints)) != len(endpoints):
            self.error("contract.send", "one endpoint is handed over twice in this call", instr.position, "hand it over once")
        lent = {r for i, r in enumerate(instr.args) if i in callee.borrowed}
        blocks = [r for i, r in enumerate(instr.args) if r.type.block and i not in callee.borrowed]
        for reg in blocks:
            if reg in lent:
                self.error("owner.borrow", f"block {named(reg)} is lent and handed over in one call", instr.position, "pass two blocks")
                break
            if blocks.count(reg) > 1:
                self.error("owner.use-after-move", f"block {named(reg)} is handed over twice in this call", instr.position,
                           "a block has one owner; pass two blocks")  # fmt: skip
                break
        after = self.flow.follow(callee, tuple(states_of(state.get(r)) for r in endpoints), report=self.say is not None)
        for reg in blocks:
            self.consume(reg, state, instr)
        return after

    def moved(self, instr: Instr, state: dict[Reg, Status], after: tuple[frozenset, ...]) -> dict[Reg, Status]:
        """Put the states of the endpoints after a call into a state, which is returned."""
        for reg, states in zip((r for r in instr.args if isinstance(r.type, Endpoint)), after):
            if MOVED in states:
                self.left[reg] = ("call", instr.position)
            state[reg] = states | (state.get(reg) or frozenset()) & {OWED}
        return state

    def attempt(self, instr: Instr, state: dict[Reg, Status]) -> list[tuple[str, dict[Reg, Status]]]:
        """Follow an attempted call on its two ways, as far as the function takes them."""
        given = dict(state)
        outcomes = [self.called(self.flow.module.functions[name], instr, state if n == 0 else dict(given))
                    for n, name in enumerate(called(self.flow.module, instr))]  # fmt: skip
        ways = {"returned": [o.returned for o in outcomes if o.returned is not None], "raised": [o.raised for o in outcomes if o.raised is not None]}
        taken = {name: self.moved(instr, dict(state), tuple(frozenset().union(*each) for each in zip(*found))) for name, found in ways.items() if found}
        return self.ways(instr, state, taken, frozenset().union(*(o.result for o in outcomes)))

    def attempt_spawn(self, instr: Instr, state: dict[Reg, Status]) -> list[tuple[str, dict[Reg, Status]]]:
        """Follow the start of a thread on its two ways: where there is none, what it would have been given is the caller's still."""
        started = dict(state)
        self.called(self.flow.module.functions[instr.extra.function], instr, started)
        for reg in instr.args:
            if isinstance(reg.type, Endpoint):
                self.move_away(reg, started, instr)
        return self.ways(instr, state, {"returned": started, "raised": state})

    def attempt_op(self, instr: Instr, state: dict[Reg, Status]) -> list[tuple[str, dict[Reg, Status]]]:
        """Follow an instruction that may fail on its two ways: where it does, nothing was handed over."""
        done = dict(state)
        self.instruction(instr.extra.plain(instr), done)
        ways = []
        for name, (_, label) in instr.extra.arms.items():
            ways += [(label, done)] if name == "returned" else self.ways(instr, state, {"raised": state})
        return self.together(ways)

    def ways(self, instr: Instr, state: dict[Reg, Status], taken: dict[str, dict[Reg, Status]],
             result_states: frozenset = frozenset()) -> list[tuple[str, dict[Reg, Status]]]:  # fmt: skip
        """Give the registers of the arms that are taken their values; returns the state for each block after them."""
        result = []
        for name, (regs, label) in instr.extra.arms.items():
            if name in taken:
                arm = dict(taken[name])
                for reg in regs:
                    status = result_states | {OWED} if isinstance(reg.type, Endpoint) else Owned(instr.position) if reg.type.block else True
                    self.define(reg, status, arm, instr)
                result.append((label, arm))
        return self.together(result)

    def leave(self, instr: Instr, state: dict[Reg, Status]) -> None:
        """A return: nothing may be owned any more but what is returned."""
        for index, reg in enumerate(instr.args):
            if reg.type.block and reg in instr.args[:index]:
                self.error("owner.use-after-move", f"{what(reg)} {named(reg)} is returned twice", instr.position,
                           f"a {what(reg)} has one owner; return two {what(reg)}s")  # fmt: skip
            if isinstance(reg.type, Endpoint):
                self.result |= states_of(state.get(reg))
            self.consume(reg, state, instr)
        for reg, status in state.items():
            if isinstance(status, Owned):
                where = instr.position if instr.position.line != self.function.position.line else status.position
                self.error("owner.leak", f"{what(reg)} {named(reg)} from line {status.position.line} is still owned when "
                           f"{self.function.name} returns", where, f"{give_back(reg)} before")  # fmt: skip
        self.left_open(instr, state)
        self.returned = self.exit(self.returned, state)

    def thrown(self, instr: Instr, state: dict[Reg, Status]) -> None:
        """An exception leaves the function: nothing may be owned any more, for nobody could give it back."""
        for reg, status in state.items():
            if isinstance(status, Owned):
                back = f"{reg.name or '...'}.close()" if what(reg) == "set" else f"free({reg.name or '...'})"
                self.error("owner.leak-on-raise", f"{what(reg)} {named(reg)} from line {status.position.line} is still owned when an exception "
                           f"raised here leaves {self.function.name}", instr.position, f"{back} in the finally of a try around this line")  # fmt: skip
        self.left_open(instr, state, "endpoint.leak-on-raise")
        self.raised = self.exit(self.raised, state)

    def exit(self, known: tuple[frozenset, ...] | None, state: dict[Reg, Status]) -> tuple[frozenset, ...]:
        """Return the states of the endpoint parameters at one more way out of the function."""
        params = [p for p in self.function.params if isinstance(p.type, Endpoint)]
        return tuple(old | (state.get(p) or frozenset()) - {OWED} for old, p in zip(known or (frozenset(),) * len(params), params))

#: Turns in which what becomes of endpoints in functions that call themselves has to be found.
_MOST_TURNS = 200


@dataclass(frozen=True)
class Outcome:
    """The states of a function's endpoint parameters when it returns and when it raises; None if it never does."""

    returned: tuple[frozenset, ...] | None
    raised: tuple[frozenset, ...] | None
    result: frozenset = frozenset()


class ModuleFlow:
    """Follow a module from its entry, helpers at each call."""

    def __init__(self, module: Module):
        self.module = module
        self.known: dict[tuple[str, tuple], Outcome] = {}
        self.reported: set[tuple[str, tuple]] = set()
        self.findings: list[SipError] = []
        #: What is being followed, and what is taken for the outcome of a call back into it.
        self.followed: list[tuple[str, tuple]] = []
        self.assumed: dict[tuple[str, tuple], Outcome] = {}

    def settle(self, entry: Function, endpoints: tuple[frozenset, ...]) -> None:
        """Find what becomes of endpoints in functions that call themselves.

        To begin with such a call is taken never to come back; what is found then is taken next, until nothing changes. Each
        turn only adds ways and states, of which there are finitely many.
        """
        for _ in range(_MOST_TURNS):
            self.follow(entry, endpoints, report=False)
            if all(self.assumed.get(key) == outcome for key, outcome in self.known.items()):
                self.known = {}
                return
            self.assumed, self.known = self.known, {}
        raise located(self.module, "recursion", entry.name, entry.position, f"{entry.name} has functions that call themselves with endpoints in more states than "
                      "one can follow", "write a loop")  # fmt: skip

    def report(self, error: SipError) -> None:
        if not any((e.rule, e.line, e.message) == (error.rule, error.line, error.message) for e in self.findings):
            self.findings.append(error)

    def follow(self, function: Function, endpoints: tuple[frozenset, ...], report: bool) -> Outcome:
        """Return the endpoint states after a function, given those before it."""
        key = (function.name, endpoints)
        if key in self.followed:
            return self.assumed.get(key, Outcome(None, None))
        if len(self.followed) > MOST_NESTED_CALLS:
            raise located(self.module, "recursion", function.name, function.position,
                          f"{function.name} is called from itself with endpoints in more states than one can follow", "write a loop")  # fmt: skip
        if key not in self.known or (report and key not in self.reported):
            state: dict[Reg, Status] = {}
            remaining = list(endpoints)
            for index, param in enumerate(function.params):
                if isinstance(param.type, Endpoint):
                    # a startup endpoint is the kernel's to close; one that is lent must not be lost
                    state[param] = remaining.pop(0) | (frozenset() if function.name == self.module.entry else {OWED})
                elif index in function.borrowed:
                    state[param] = Lent(function.position)
                else:
                    state[param] = Owned(function.position) if param.type.block else True
            flow = FunctionFlow(function, self, state)
            if report:
                self.reported.add(key)
            self.followed.append(key)
            flow.run(report)
            self.followed.pop()
            self.known[key] = Outcome(flow.returned, flow.raised, flow.result)
        return self.known[key]


def verify(module: Module, collect: bool = False) -> Report:
    """Verify a module.

    Parameters
    ----------
    module : sil.Module
    collect : bool
        Return a report with every finding instead of raising the first.

    Returns
    -------
    Report
        Accepted if it has no findings.

    Raises
    ------
    SipError
        The first finding, unless ``collect``.
    """
    if not isinstance(module, Module):
        raise SipError("sil.malformed", f"SIL is verified, this is {type(module).__name__}", filename="<sil>",
                       hint="write verify(compile(program)), or verify(parse_sil(text))")  # fmt: skip
    flow = ModuleFlow(module)
    try:
        function = None
        check_module(module)
        for function in module.functions.values():
            check_function(function, module)
        entry = module.functions[module.entry]
        again = refuse_nesting(module)
        endpoints = tuple(frozenset({0}) for p in entry.params if isinstance(p.type, Endpoint))
        if again:
            flow.settle(entry, endpoints)
        flow.follow(entry, endpoints, report=True)
    except SipError as error:
        flow.findings.insert(0, error)
    except Malformed as error:
        flow.findings.insert(0, SipError(error.rule, error.message, line=error.position.line, column=error.position.column,
                                         hint=error.hint)
                             .at(function and function.filename or module.filename, function and function.source or module.source))  # fmt: skip
    flow.findings.sort(key=lambda e: (e.line, e.column))
    if flow.findings and not collect:
        raise flow.findings[0]
    return Report(module, flow.findings)
