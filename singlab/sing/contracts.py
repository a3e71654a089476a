"""Contracts: which messages a channel carries, and in which order.

Written in Sing#'s notation and read from the exporting side: ``?`` arrives there, ``!`` leaves. The
steps of a sequence go through implicit states. A contract is well-formed if it is deterministic,
every state is reachable, a state's actions all go in one direction, and every cycle has at least one
send and one receive; then the messages under way in each direction are bounded, and the bound is the
number of slots an endpoint needs. (EuroSys 2006, section 2.)

``contract D : B { ... }`` extends B: D has all messages and states of B, begins in its first state, and may
add messages, states, and sequences to states of B. Whatever B allows, D allows, under the same numbers of
messages and states. All checks are made on the whole.

A message may carry endpoints of this or another contract, in a named state (:mod:`singlab.sing.carried`). Enums and
exchange-heap structs stand before the contracts whose messages carry them, in Sing#'s notation too; both sides of a
channel must have been built with the same ones.

Leaves out a channel between a side of B and a side of D.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from lark import Lark, Token, Tree, UnexpectedInput

from singlab.kernel.abi import MAX_MESSAGE_WORDS, NO_STATE
from singlab.sing.carried import Carried, check_carried
from singlab.sing.contract_limits import within
from singlab.sing.contract_types import TypeBuilder, declaration, type_text
from singlab.sing.errors import SipError
from singlab.sing.types import Endpoint, Enum, Struct, Type, Vector


@dataclass(frozen=True)
class Message:
    """A message of a contract. ``C.M`` in a program names it; ``C.M(values)`` is what ``send`` takes."""

    contract: str
    name: str
    index: int
    direction: str
    arguments: tuple[tuple[str, Type], ...]

    @property
    def sender(self) -> str:
        """The side that sends it."""
        return "Imp" if self.direction == "?" else "Exp"

    def __call__(self, *values):
        from singlab.sing.names import not_python

        not_python(f"{self.contract}.{self.name}(...)")

    def __str__(self) -> str:
        arguments = ", ".join(f"{type_text(t)} {n}" for n, t in self.arguments)
        return f"{'in' if self.direction == '?' else 'out'} message {self.name}({arguments})"


@dataclass(frozen=True)
class EndpointType:
    """One side of a contract, ``C.Imp`` or ``C.Exp``: the annotation of an endpoint parameter."""

    contract: Contract
    side: str

    def __str__(self) -> str:
        return f"{self.contract.name}.{self.side}"


class Contract:
    """A well-formed contract.

    Attributes
    ----------
    name : str
    text : str
    messages : dict of str to Message
    states : list of str
        State 0 is the start; implicit states are named after the one they belong to.
    transitions : list of dict
        For each state, message name to next state's index.
    slots : dict of str to int
        By side ("Imp", "Exp"), how many messages its inbox can hold at most.
    copies : dict of str to int
        By message, how many of it can wait at once; 0 for a message no state has.
    base : Contract or None
        The contract it extends.
    types : dict of str to Type
        The types declared in its text; ``C.Colour`` names one in a program.
    """

    def __init__(self, name, text, messages, states, transitions, slots, copies, base=None, carried=(), known=None, types=None):
        self.name, self.text, self.messages, self.base, self.types = name, text, messages, base, types or {}
        self.carried, self.known = tuple(carried), known if known is not None else {}
        self.states, self.transitions, self.slots, self.copies = states, transitions, slots, copies
        self.Imp, self.Exp = EndpointType(self, "Imp"), EndpointType(self, "Exp")

    def __getattr__(self, name: str) -> Message | Type:
        messages = self.__dict__.get("messages", {})
        if name in messages:
            return messages[name]
        if name in self.__dict__.get("types", {}):
            return self.types[name]
        raise AttributeError(f"contract {self.__dict__.get('name')} has no message {name}")

    @property
    def lineage(self) -> list[Contract]:
        """The contracts it extends, the first of all first, and itself."""
        return [*(self.base.lineage if self.base else []), self]

    def turn(self, state: int) -> str | None:
        """Return whose turn it is to send in a state, "Imp" or "Exp"; None in a final state."""
        for name in self.transitions[state]:
            return self.messages[name].sender
        return None

    def table(self, contracts: Mapping[str, Contract] | None = None) -> np.ndarray:
        """Return the kernel's form: an array of uint64 in the layout of :mod:`singlab.kernel.abi`.

        Parameters
        ----------
        contracts : Mapping of str to Contract, optional
            The contracts of the image, among them those whose endpoints its messages carry.
        """
        contracts = contracts if contracts is not None else {self.name: self}
        order, carried = sorted(contracts), []
        n, k = len(self.states), len(self.messages)
        words = [n | k << 16 | self.slots["Imp"] << 32 | self.slots["Exp"] << 48]
        for message in self.messages.values():
            blocks = sum(1 << i for i, (_, t) in enumerate(message.arguments) if t.block)
            ends = [(i, t) for i, (_, t) in enumerate(message.arguments) if isinstance(t, Endpoint)]
            mask = sum(1 << i for i, _ in ends)
            words.append(len(message.arguments) | blocks << 8 | (message.direction == "!") << 16 | mask << 24 | len(carried) // 2 << 32)
            for _, type_ in ends:
                other = contracts[type_.contract]
                carried += [(type_.side == "Exp") | other.states.index(type_.state or other.states[0]) << 16, order.index(other.name)]
        for step in self.transitions:
            words += [step.get(name, NO_STATE) for name in self.messages]
        return np.array(words + carried, dtype=np.uint64)

    def describe(self) -> dict:
        """Return messages, states and transitions as plain data, for manifests and traces."""
        index = {name: i for i, name in enumerate(self.messages)}
        return {
            "messages": [
                {"name": m.name, "direction": m.direction,
                 "arguments": [f"{type_text(t) if isinstance(t, Endpoint) else t} {n}" for n, t in m.arguments]}
                for m in self.messages.values()
            ],
            "types": [declaration(type_) for type_ in self.declared()],
            "states": list(self.states),
            "transitions": [[s, index[m], t] for s, step in enumerate(self.transitions) for m, t in step.items()],
        }

    def declared(self) -> list[Type]:
        """Return the declared types its messages carry."""
        found: dict[str, Type] = {}
        todo = [t for m in self.messages.values() for _, t in m.arguments]
        for type_ in todo:
            type_ = type_.element if isinstance(type_, Vector) else type_
            if isinstance(type_, (Enum, Struct)):
                found[type_.name] = type_
                todo += [t for _, t in getattr(type_, "fields", ())]
        return [found[name] for name in sorted(found)]

    def __repr__(self) -> str:
        return f"<contract {self.name}: {len(self.messages)} messages, {len(self.states)} states>"

    def __str__(self) -> str:
        """What it says, as text: its messages, what each state leads to, and the slots it needs."""
        head = f"contract {self.name}" + (f" extends {self.base.name}" if self.base else "")
        width = max((len(str(m)) for m in self.messages.values()), default=0)
        lines = [head, f"  slots: Imp {self.slots['Imp']}, Exp {self.slots['Exp']}"]
        lines += [f"  {str(m).ljust(width)}  at most {self.copies[m.name]} waiting" for m in self.messages.values()]
        width = max(map(len, self.states))
        for state, step in enumerate(self.transitions):
            ways = ", ".join(f"{name}{self.messages[name].direction} -> {self.states[t]}" for name, t in step.items())
            lines.append(f"  {self.states[state].ljust(width)}  {f'{self.turn(state)} sends: {ways}' if ways else 'the end'}")
        return "\n".join(lines)

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        from singlab.sing.contract_svg import draw

        return draw(self)


@cache
def _parser() -> Lark:
    grammar = (Path(__file__).parent / "contract.lark").read_text()
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


class _Builder(TypeBuilder):
    """From a parse tree to a checked contract, or to a :class:`Protocol` that obeys no rule about its behaviour."""

    def __init__(self, tree: Tree, text: str, filename: str, first_line: int, known: Mapping[str, Contract | Protocol], types: dict[str, Type]):
        self.types = types
        self.tree, self.text, self.filename, self.first_line = tree, text, filename, first_line
        self.name = str(tree.children[0])
        self.known = known
        self.base: Contract | Protocol | None = None
        self.lenient = False
        self.messages: dict[str, Message] = {}
        self.states: list[str] = []
        self.transitions: list[dict[str, int]] = []
        self.edges: list[list[tuple[str, int]]] = []
        self.places: list[Token | None] = []
        self.carried: list[Carried] = []

    def refuse(self, rule: str, message: str, where, hint: str) -> SipError:
        """Return an error at a token or tree of the contract's text."""
        meta = where.meta if isinstance(where, Tree) and not where.meta.empty else where
        line, column = getattr(meta, "line", 0), getattr(meta, "column", 0)
        source = self.text.splitlines()
        return SipError(
            rule, message, hint=hint, filename=self.filename, line=line + self.first_line - 1, column=column,
            source_line=source[line - 1] if 0 < line <= len(source) else "",
        )  # fmt: skip

    def build(self) -> Contract:
        """Return the contract or raise."""
        self.read()
        self.check()
        copies = {m.name: self.longest(m.direction, m.name) for m in self.messages.values()}
        return Contract(self.name, self.text, self.messages, self.states, self.transitions, self.bounds(), copies, self.base,
                        self.carried, types=dict(self.types))  # fmt: skip

    def build_lenient(self) -> Protocol:
        """Return what is written, whatever it leads to; raise where it cannot be read."""
        self.lenient = True
        self.read()
        return Protocol(self.name, self.messages, self.states, self.edges)

    def read(self) -> None:
        """Take in messages, states and their sequences."""
        members = [m for m in self.tree.children[1:] if m.data != "base"]
        for tree in self.tree.children[1:]:
            if tree.data == "base":
                self.extend(tree.children[0])
        states = []
        for member in members:
            if member.data == "message":
                self.add_message(member)
            else:
                states.append(member)
        if not states and not self.states:
            raise self.refuse("contract.states", f"contract {self.name} has no state", self.tree.children[0],
                              "add at least: state Start: ...;")  # fmt: skip
        for state in states:
            token = state.children[0]
            if str(token) not in self.states:
                self.new_state(str(token), token)
            elif self.places[self.states.index(str(token))] is None:
                self.places[self.states.index(str(token))] = token  # a state of the base gets more sequences
            else:
                raise self.refuse("contract.states", f"state {token} is declared twice", token, "rename one of them")
        for state in states:
            self.add_state(state)

    def extend(self, token: Token) -> None:
        """Begin with all a known contract has; its states have no place in this text yet."""
        base = find_contract(self.known, str(token)) if str(token) != self.name else None
        if base is None or (isinstance(base, Protocol) and not self.lenient):
            raise self.refuse("contract.base", f"{token}, which {self.name} extends, is no contract known here", token,
                              f"declare contract {token} above, in this text or in a cell that has run")  # fmt: skip
        within(self, "contracts it extends", len(getattr(base, "lineage", ())), token)
        self.base = base
        self.carried = list(base.carried) if isinstance(base, Contract) else []
        self.types = {**getattr(base, "types", {}), **self.types}
        for message in base.messages.values():
            self.messages[message.name] = replace(message, contract=self.name)
        self.states = list(base.states)
        self.edges = [list(step.items()) for step in base.transitions] if isinstance(base, Contract) else [list(e) for e in base.edges]
        self.transitions = [dict(step) for step in self.edges]
        self.places = [None] * len(self.states)

    def place(self, *states: int) -> Token:
        """Return where the first of these states that this text speaks of stands; else where it names its base."""
        own = [self.places[s] for s in states if self.places[s] is not None]
        return own[0] if own else self.tree.children[1].children[0]

    def add_message(self, tree: Tree) -> None:
        direction, name, *arguments = tree.children
        within(self, "messages", len(self.messages), name)
        if str(name) in self.messages:
            inherited = self.base is not None and str(name) in self.base.messages
            raise self.refuse("contract.messages", f"message {name} is already one of {self.base.name}'s" if inherited
                              else f"message {name} is declared twice", name,
                              "leave it out, or choose another name" if inherited else "rename one of them")  # fmt: skip
        if str(name) in ("Imp", "Exp"):
            raise self.refuse("contract.messages", f"{name} is the name of a side", name, "choose another name")
        types = []
        for argument in arguments:
            type_tree, argument_name = argument.children
            type_ = self.type(type_tree)
            if isinstance(type_, Endpoint):
                token, line = type_tree.children[0], type_tree.children[0].line + self.first_line - 1
                self.carried.append(Carried(str(name), str(argument_name), type_, self.filename, line, token.column,
                                            self.text.splitlines()[token.line - 1]))  # fmt: skip
            types.append((str(argument_name), type_))
        if len(types) > MAX_MESSAGE_WORDS:
            raise self.refuse("contract.messages", f"message {name} has {len(types)} arguments", name,
                              f"a message carries at most {MAX_MESSAGE_WORDS}; put more into an exchange-heap block")  # fmt: skip
        mark = "?" if direction == "in" else "!"
        self.messages[str(name)] = Message(self.name, str(name), len(self.messages), mark, tuple(types))

    def new_state(self, name: str, token: Token) -> int:
        within(self, "states", len(self.states), token)
        self.states.append(name)
        self.transitions.append({})
        self.edges.append([])
        self.places.append(token)
        return len(self.states) - 1

    def add_state(self, tree: Tree) -> None:
        name, body = tree.children
        start = self.states.index(str(name))
        if body.data == "empty":
            return
        todo = [(start, list(sequence.children)) for sequence in reversed(body.children)]
        while todo:  # not by recursion: a sequence can be long
            todo += self.step(*todo.pop(), str(name))

    def step(self, state: int, steps: list, owner: str) -> list[tuple[int, list]]:
        """Add the first of the steps that go on from a state; returns what is to be done then, the last of it first."""
        if not steps:
            raise self.refuse("contract.returns", f"a sequence of state {owner} leads nowhere", self.place(state),
                              "end it with -> and the name of a state; an ended conversation needs a state without actions: state Done: ;")  # fmt: skip
        step, *after = steps
        if step.data == "target":
            raise self.refuse("contract.states", f"{step.children[0]} stands where a message is expected",
                              step.children[0], "write a message with ? or ! before the target state")  # fmt: skip
        if step.data == "choice":
            return [(state, list(branch.children) + after) for branch in reversed(step.children)]
        token, mark = step.children
        message = self.messages.get(str(token))
        if message is None:
            raise self.refuse("contract.messages", f"message {token} is not declared", token,
                              f"declare it: {'in' if mark == '?' else 'out'} message {token}(...);")  # fmt: skip
        if message.direction != mark:
            raise self.refuse("contract.direction", f"{token} is an {'in' if message.direction == '?' else 'out'} message",
                              token, f"write {token}{message.direction}")  # fmt: skip
        if message.name in self.transitions[state] and not self.lenient:
            raise self.refuse("contract.deterministic", f"state {self.states[state]} has {token}{mark} twice", token,
                              "one message may lead to one state only; join the two alternatives")  # fmt: skip
        if after and after[0].data == "target":
            target = after[0].children[0]
            if len(after) > 1:
                raise self.refuse("contract.states", f"something stands after the target state {target}", target,
                                  "end the sequence there")  # fmt: skip
            if str(target) not in self.states:
                raise self.refuse("contract.states", f"state {target} is not declared", target,
                                  f"declare it: state {target}: ...;")  # fmt: skip
            self.connect(state, message.name, self.states.index(str(target)))
            return []
        following = self.new_state(f"{owner}.{self.implicit(owner)}", token)
        self.connect(state, message.name, following)
        return [(following, after)]

    def connect(self, state: int, message: str, target: int) -> None:
        """Note one step."""
        self.transitions[state][message] = target
        self.edges[state].append((message, target))

    def implicit(self, owner: str) -> int:
        return 1 + sum(name.startswith(f"{owner}.") for name in self.states)

    def check(self) -> None:
        """Check reachability, one direction a state, and the finiteness rule."""
        reached, todo = {0}, [0]
        while todo:
            for target in self.transitions[todo.pop()].values():
                if target not in reached:
                    reached.add(target)
                    todo.append(target)
        for state, name in enumerate(self.states):
            if state not in reached:
                raise self.refuse("contract.reachable", f"state {name} can never be reached", self.place(state),
                                  "lead to it from another state, or remove it")  # fmt: skip
            marks = {self.messages[m].direction for m in self.transitions[state]}
            if len(marks) == 2:
                raise self.refuse("contract.turn", f"in state {name} both sides may send", self.place(state),
                                  "give a state only ? or only ! actions, so that it is always clear whose turn it is")  # fmt: skip
        for mark, what in (("?", "answer (!)"), ("!", "request (?)")):
            cycle = self.cycle_of_only(mark)
            if cycle:
                path = " -> ".join(self.states[s] for s in [*cycle, cycle[0]])
                raise self.refuse("contract.finite", f"the cycle {path} never returns the turn: it has only {mark} messages, "
                                  "so any number of them could be under way", self.place(*cycle),
                                  f"put an {what} from the other side into the cycle")  # fmt: skip

    def cycle_of_only(self, mark: str) -> list[int]:
        """Return a cycle whose messages all go in one direction, or nothing."""
        edges = [[t for m, t in step.items() if self.messages[m].direction == mark] for step in self.transitions]
        colour = [0] * len(edges)
        for root in range(len(edges)):
            if colour[root]:
                continue
            stack, path = [(root, iter(edges[root]))], [root]
            colour[root] = 1
            while stack:
                state, targets = stack[-1]
                target = next(targets, None)
                if target is None:
                    colour[state] = 2
                    stack.pop()
                    path.pop()
                elif colour[target] == 1:
                    return path[path.index(target) :]
                elif colour[target] == 0:
                    colour[target] = 1
                    stack.append((target, iter(edges[target])))
                    path.append(target)
        return []

    def bounds(self) -> dict[str, int]:
        """Return the most messages that can wait in each side's inbox: the longest run of one direction."""
        return {side: max(1, self.longest(mark)) for side, mark in (("Exp", "?"), ("Imp", "!"))}

    def longest(self, mark: str, counted: str | None = None) -> int:
        """Return the most messages (of one name, if given) on a run of one direction; such a run has no cycle.

        An inbox is empty when the turn changes: who sends next has received everything before.
        """
        edges = [[(m, t) for m, t in step.items() if self.messages[m].direction == mark] for step in self.transitions]
        most = [0] * len(edges)
        indegree = [0] * len(edges)
        for step in edges:
            for _, target in step:
                indegree[target] += 1
        todo = deque(s for s, d in enumerate(indegree) if d == 0)
        while todo:
            state = todo.popleft()
            for name, target in edges[state]:
                most[target] = max(most[target], most[state] + (counted is None or name == counted))
                indegree[target] -= 1
                if indegree[target] == 0:
                    todo.append(target)
        return max(most)


class Protocol:
    """What a contract's text says, with no rule about behaviour checked: for exploring what such rules prevent.

    Attributes
    ----------
    name : str
    messages : dict of str to Message
    states : list of str
    edges : list of list of tuple
        For each state, pairs of a message's name and the next state's index; one message may stand twice.
    """

    def __init__(self, name, messages, states, edges):
        self.name, self.messages, self.states, self.edges = name, messages, states, edges

    def __repr__(self) -> str:
        return f"<unchecked contract {self.name}: {len(self.messages)} messages, {len(self.states)} states>"


def find_contract(known: Mapping, name: str) -> Contract | Protocol | None:
    """Return the contract a table of names has under this name: by its key, or else by its own name; or None."""
    found = known.get(name)
    if isinstance(found, Contract | Protocol):
        return found
    return next((c for c in reversed(list(known.values())) if isinstance(c, Contract | Protocol) and c.name == name), None)


_READS = "a contract reads: contract C { in message Ask(ulong n); out message Answer(ulong n); state Start: Ask? -> Answer! -> Start; }"


def _builders(text: str, filename: str, first_line: int, known: Mapping | None, types: dict[str, Type] | None = None):
    """Yield a builder for each contract in a text; each sees the ones built before it. Declared types go into ``types``."""
    types = {} if types is None else types
    if not isinstance(text, str):
        raise SipError("contract.syntax", f"a contract is a text, this is {type(text).__name__}", filename=filename,
                       hint='write contract("""contract C { ... }""")')  # fmt: skip
    if not text.strip():
        raise SipError("contract.syntax", "there is no contract here", filename=filename, line=first_line, hint=_READS)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        line, column = max(1, getattr(error, "line", 1) or 1), max(1, getattr(error, "column", 1) or 1)
        lines = text.splitlines() or [""]
        token = getattr(error, "token", None)
        found = f"{token}" if token is not None and str(token) else "the end of the text" if token is not None else (
            text[error.pos_in_stream] if error.pos_in_stream is not None and error.pos_in_stream < len(text) else "the end"
        )  # fmt: skip
        raise SipError(
            "contract.syntax", f"the contract cannot be read at {found[:40]!r}", filename=filename,
            line=min(line, len(lines)) + first_line - 1, column=column, source_line=lines[min(line, len(lines)) - 1],
            hint=_READS,
        ) from None  # fmt: skip
    seen: set[str] = set()
    for part in tree.children:
        builder = _Builder(part, text, filename, first_line, known if known is not None else {}, types)
        if part.data != "contract":
            type_ = builder.declaration()
            types[type_.name] = type_
            continue
        if builder.name in seen:
            raise builder.refuse("contract.states", f"contract {builder.name} is declared twice", part.children[0],
                                 "rename one of them")  # fmt: skip
        within(builder, "contracts before it in this text", len(seen), part.children[0])
        seen.add(builder.name)
        yield builder


def parse_contracts(text: str, filename: str = "<contract>", first_line: int = 1, known: Mapping | None = None) -> dict[str, Contract]:
    """Parse and check every contract in a text; parameters and errors as of :func:`parse_declarations`."""
    return parse_declarations(text, filename, first_line, known)[0]


def parse_declarations(text: str, filename: str = "<contract>", first_line: int = 1,
                       known: Mapping | None = None) -> tuple[dict[str, Contract], dict[str, Type]]:  # fmt: skip
    """Parse and check every contract, enum and struct in a text.

    Parameters
    ----------
    text : str
    filename : str
        For messages.
    first_line : int
        Line of the file on which the text begins.
    known : Mapping, optional
        Names the text may refer to; what is no contract in it is passed over. Contracts further up in the text win.
        Contracts whose endpoints messages carry may also stand further down; those that are nowhere yet are
        looked for when a program uses them.

    Returns
    -------
    dict of str to Contract, dict of str to Type

    Raises
    ------
    SipError
        If the text is no contract or a contract is not well-formed.
    """
    contracts: dict[str, Contract] = {}
    types: dict[str, Type] = {}
    for builder in _builders(text, filename, first_line, known, types):
        builder.known = {**builder.known, **contracts}
        contracts[builder.name] = builder.build()
    beside = {name: c for name, c in (known or {}).items() if isinstance(c, Contract)} if any(c.carried for c in contracts.values()) else {}
    for contract_ in contracts.values():
        contract_.known = {**beside, **contracts}
        check_carried(contract_, contract_.known)
    return contracts, types


def parse_lenient(text: str, filename: str = "<contract>", known: Mapping | None = None) -> dict[str, Protocol]:
    """Parse every contract in a text, well-formed or not; see :func:`parse_contracts`.

    What a contract may do is not checked: not turns, reachability, cycles, nor that a message leads to one state.
    """
    protocols: dict[str, Protocol] = {}
    for builder in _builders(text, filename, 1, known):
        builder.known = {**builder.known, **protocols}
        protocols[builder.name] = builder.build_lenient()
    return protocols


def contract(text: str, filename: str = "<contract>", known: Mapping | None = None) -> Contract:
    """Return the contract a text declares; the text must declare exactly one.

    Parameters
    ----------
    text : str
    filename : str
        For messages.
    known : Mapping, optional
        Names of contracts it may extend; by default the variables where this is called.

    Raises
    ------
    SipError
        If it is not well-formed; the message names the place, the rule and the repair.
    """
    if known is None:
        caller = sys._getframe(1)
        known = {**caller.f_globals, **caller.f_locals}
    contracts = parse_contracts(text, filename, known=known)
    if len(contracts) != 1:
        raise SipError("contract.syntax", f"{len(contracts)} contracts where one is expected", filename=filename,
                       hint="call contract() once for each")  # fmt: skip
    return next(iter(contracts.values()))
