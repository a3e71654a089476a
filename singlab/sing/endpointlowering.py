"""Lowering of endpoints that come and go: new channels, sets of endpoints, and waiting for several at once.

``match receive(a, b):`` takes rows with a pattern for each endpoint, ``_`` for those a row does not ask; the first
satisfied row wins (EuroSys 2006, section 3). At a set, a pattern is the member and its message: ``(ep, C.M(x))``.
"""

from __future__ import annotations

import ast

from singlab.kernel.layout import SELECT_MOST
from singlab.sing import sil
from singlab.sing.types import Endpoint, EndpointSet


class EndpointLowering:
    """The part of a function's lowering that deals with endpoints beyond sending and receiving."""

    @staticmethod
    def is_call(node: ast.expr, name: str) -> bool:
        """Whether an expression calls a word of the language."""
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name

    def lent_parameters(self, node: ast.FunctionDef) -> None:
        """Give an endpoint parameter that is assigned to a variable of its own: the parameter itself stays the caller's."""
        stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        stored |= {n.name for n in ast.walk(node) if isinstance(n, ast.MatchAs) and n.name}
        for name, reg in list(self.variables.items()):
            if isinstance(reg.type, Endpoint) and name in stored:
                self.variables[name] = self.reg(reg.type, name)
                self.emit("mov", node, self.variables[name], (reg,))

    # ---- channels and sets --------------------------------------------------------------------------------------------

    def new_channel(self, node: ast.Call) -> list[sil.Reg]:
        """``imp, exp = new_channel(C)``: both ends, in the contract's first state."""
        self.arity(node, 1, "new_channel")
        if not isinstance(node.args[0], ast.Name):
            raise self.refuse("types", f"{ast.unparse(node.args[0])} is no contract", node.args[0], "write imp, exp = new_channel(C)")
        contract = self.contract(node.args[0])
        ends = self.reg(Endpoint(contract.name, "Imp")), self.reg(Endpoint(contract.name, "Exp"))
        block = self.new_block("made")
        self.emit("new_channel", node, extra=sil.NewChannel({"made": (ends, block.label)}, contract=contract.name))
        self.block = block
        return list(ends)

    def call_new_channel(self, node: ast.Call) -> None:
        raise self.refuse("language", "a channel has two ends", node, "write imp, exp = new_channel(C)")

    def call_receive(self, node: ast.Call) -> None:
        raise self.refuse("language", "receive over several endpoints without cases", node,
                          "write match receive(a, b): with rows such as case (C.M(x), _):")  # fmt: skip

    def set_type(self, parts: list[ast.expr], node: ast.expr) -> EndpointSet:
        """Return the type of a set: ``C.Exp`` and the state its members are in, the first one if none is named."""
        member = self.annotation(parts[0]) if parts else None
        if not isinstance(member, Endpoint) or len(parts) > 2:
            raise self.refuse("types", f"{ast.unparse(node)} is no set of endpoints", node, 'write ESet(C.Exp), or ESet(C.Exp, "State")')
        contract = self.module.contracts[member.contract]
        state = contract.states[0]
        if len(parts) == 2:
            state = parts[1].value if isinstance(parts[1], ast.Constant) else None
            if state not in contract.states:
                named = [name for name in contract.states if "." not in name]
                raise self.refuse("types", f"contract {contract.name} has no state {ast.unparse(parts[1])}", parts[1], f"it has {', '.join(named)}")
        return EndpointSet(member.contract, member.side, state)

    def call_ESet(self, node: ast.Call) -> sil.Reg:
        return self.emit("set_new", node, self.reg(self.set_type(node.args, node)))

    def set_method(self, node: ast.Call, what: str) -> None:
        ends = self.expr(node.func.value, None)
        if what == "receive":
            raise self.refuse("language", "receive() on a set without cases", node,
                              "write match s.receive(): with cases such as case (ep, C.M(x)):")  # fmt: skip
        if what == "close":
            self.arity(node, 0, "close")
            self.emit("set_close", node, None, (ends,))
            return
        self.arity(node, 1, "add")
        endpoint = self.coerce(self.expr(node.args[0], None), ends.type.member, node.args[0])
        self.emit("set_add", node, None, (ends, endpoint))

    # ---- waiting for several ----------------------------------------------------------------------------------------------

    def switch_receive(self, node: ast.Match, operands: list[ast.expr]) -> None:
        """``match receive(a, b):``, and ``match s.receive():`` on a set."""
        if not 1 <= len(operands) <= SELECT_MOST or any(isinstance(o, ast.Starred) for o in operands) or getattr(node.subject, "keywords", None):
            raise self.refuse("language", f"receive takes one to {SELECT_MOST} endpoints or sets", node.subject,
                              "put more of one kind into a set: ESet(C.Exp)")  # fmt: skip
        regs = [self.expr(o, None) for o in operands]
        for operand, reg in zip(operands, regs):
            if not isinstance(reg.type, (Endpoint, EndpointSet)):
                raise self.refuse("types", f"{ast.unparse(operand)} is {reg.type}, not an endpoint", operand, "receive from endpoints and sets of them")
        if len(set(regs)) != len(regs):
            raise self.refuse("language", "one endpoint twice in a receive", node.subject, "name each once")
        single = isinstance(node.subject.func, ast.Attribute)
        after = self.new_block("after")
        rows: dict[tuple, tuple[tuple[sil.Reg, ...], str]] = {}
        never: str | None = None
        todo = []
        for case in node.cases:
            if case.guard is not None:
                raise self.refuse("language", "a case with a condition", case.guard, "test it with if inside the case")
            block = self.new_block("case")
            if self.unsatisfiable(case.pattern):
                if never is not None:
                    raise self.refuse("language", "Unsatisfiable is handled twice", case.pattern, "remove one of the cases")
                never = block.label
                todo.append((block, case.body, [], case.pattern))
                continue
            cells, own, bindings = self.row(case.pattern, regs, single)
            if cells in rows:
                raise self.refuse("language", "this case stands above already", case.pattern, "the first one wins; remove this one")
            rows[cells] = tuple(own), block.label
            todo.append((block, case.body, bindings, case.pattern))
        if not rows:
            raise self.refuse("language", "no case names a message", node, "write rows such as case (C.M(x), _):")
        for index, operand in enumerate(operands):
            if all(cells[index] is None for cells in rows):
                raise self.refuse("language", f"no case asks for a message of {ast.unparse(operand)}", operand, "add one, or leave it out")
        self.emit("select", node.subject, None, tuple(regs), sil.Select(rows, never))
        for block, body, bindings, pattern in todo:
            self.block = block
            self.came_in(next((own for own, label in rows.values() if label == block.label), ()), pattern)
            for name, reg in bindings:
                self.assign(name, reg, pattern)
            self.statements(body)
            self.go(after, node)
        self.block = after

    @staticmethod
    def unsatisfiable(pattern: ast.pattern) -> bool:
        """Whether a pattern is ``Unsatisfiable()``, or ``_`` for all."""
        if isinstance(pattern, ast.MatchAs):
            return pattern.pattern is None and pattern.name is None
        return isinstance(pattern, ast.MatchClass) and getattr(pattern.cls, "id", "") == "Unsatisfiable" and not pattern.patterns

    def row(self, pattern: ast.pattern, regs: list[sil.Reg], single: bool) -> tuple[tuple, list[sil.Reg], list[tuple[str, sil.Reg]]]:
        """Return a row's cells, the registers they give, and the names these get."""
        parts = [pattern] if single else pattern.patterns if isinstance(pattern, ast.MatchSequence) else [pattern]
        if len(parts) != len(regs):
            raise self.refuse("language", f"a case has a pattern for each of the {len(regs)} endpoints, here {len(parts)}", pattern,
                              f"write case ({', '.join(['C.M(x)'] + ['_'] * (len(regs) - 1))}):")  # fmt: skip
        cells: list[tuple[str, int] | None] = []
        own: list[sil.Reg] = []
        bindings: list[tuple[str, sil.Reg]] = []
        for part, reg in zip(parts, regs):
            if isinstance(part, ast.MatchAs) and part.pattern is None and part.name is None:
                cells.append(None)
                continue
            before = len(own)
            if isinstance(reg.type, EndpointSet):
                part = self.set_member(part, reg, own, bindings)
            if not isinstance(part, ast.MatchClass):
                raise self.refuse("language", "a case must name a message", part, "write C.M(argument), ChannelClosed() or _")
            if getattr(part.cls, "id", getattr(part.cls, "attr", "")) == "ChannelClosed":
                name = sil.CLOSED
            else:
                message = self.message(part.cls, reg)
                name = message.name
                self.bind(part, message, own, bindings)
            cells.append((name, len(own) - before))
        if not any(cells):
            raise self.refuse("language", "this case asks for nothing", pattern, "write case Unsatisfiable():, if that is meant")
        return tuple(cells), own, bindings

    def set_member(self, part: ast.pattern, ends: sil.Reg, own: list[sil.Reg], bindings: list) -> ast.pattern:
        """Take the member out of a set's pattern ``(ep, C.M(x))``; returns the message's."""
        pair = part.patterns if isinstance(part, ast.MatchSequence) else []
        if len(pair) != 2 or not isinstance(pair[0], ast.MatchAs) or pair[0].pattern is not None or pair[0].name is None:
            raise self.refuse("language", "a message from a set comes with the endpoint it came over", part,
                              f"write (ep, {ends.type.contract}.M(x))")  # fmt: skip
        reg = self.reg(Endpoint(ends.type.contract, ends.type.side), pair[0].name)
        own.append(reg)
        bindings.append((pair[0].name, reg))
        return pair[1]

    def bind(self, pattern: ast.MatchClass, message, own: list[sil.Reg], bindings: list, form: str = "{}") -> None:
        """Give a message's arguments registers and names; ``form`` is how a case with the pattern is written."""
        if pattern.kwd_patterns or len(pattern.patterns) != len(message.arguments):
            raise self.refuse("contract.arguments", f"{message.name} carries {len(message.arguments)} arguments, the case "
                              f"takes {len(pattern.patterns)}", pattern,
                              "write " + form.format(f"{message.contract}.{message.name}({', '.join(n for n, _ in message.arguments)})"))  # fmt: skip
        for sub, (name, type_) in zip(pattern.patterns, message.arguments):
            if not isinstance(sub, ast.MatchAs) or sub.pattern is not None:
                raise self.refuse("language", "a message's argument is taken by a plain name", sub, "write a name, or _")
            reg = self.reg(type_, sub.name or f"_{name}")
            own.append(reg)
            if sub.name:
                bindings.append((sub.name, reg))
