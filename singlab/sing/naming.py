"""Lowering, names and principals: what a program provides under a name, whom it connects to, and who is at the other side."""

from __future__ import annotations

import ast
import re

from singlab.kernel.layout import LONGEST_NAME, LONGEST_RULE
from singlab.kernel.manifest import PATH, PATTERN
from singlab.sing import sil
from singlab.sing.declaration import declaration
from singlab.sing.types import BOOL, U8, Endpoint, Vector

_PROVIDER = ("in message Connect(S.Exp exp); out message AckConnect(); out message NackConnect(S.Exp exp); "
             "state Start: Connect? -> (AckConnect! -> Start or NackConnect! -> Start);")  # fmt: skip


def matches(pattern: str, text: str) -> bool:
    """Return whether a text matches a pattern, in which * stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


class NamingLowering:
    """The part of a function's lowering that deals with names and principals."""

    def constant_name(self, node: ast.expr, word: str, pattern, most: int, example: str) -> str:
        """Return a text that is written out in the program."""
        text = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(text, str) or not pattern.fullmatch(text) or len(text) > most:
            raise self.refuse("types", f"{ast.unparse(node)[:64]} is nothing {word} takes", node, f"write it out, at most {most} characters: {example}")
        return text

    def call_register(self, node: ast.Call) -> sil.Reg:
        """``register("/files", imp)``: provide a name; whether it could be had."""
        self.arity(node, 2, "register")
        name = self.constant_name(node.args[0], "register", PATH, LONGEST_NAME, '"/files"')
        if self.program.entry and name not in [one.name for one in declaration(self.program).provides]:
            raise self.refuse("manifest", f"the manifest does not say that this program provides {name}", node.args[0],
                              f'declare it: @sip(provides=["{name}"])')  # fmt: skip
        imp = self.endpoint(node.args[1])
        contract = self.module.contracts[imp.type.contract]
        messages = [(m.name, m.direction, [t for _, t in m.arguments]) for m in contract.messages.values()]
        shape = len(messages) == 3 and [m[:2] for m in messages] == [("Connect", "?"), ("AckConnect", "!"), ("NackConnect", "!")]
        if imp.type.side != "Imp" or not shape or not (len(messages[0][2]) == 1 and isinstance(messages[0][2][0], Endpoint)):
            raise self.refuse("types", f"{imp.type} is not the Imp of a provider's contract", node.args[1], f"a provider's contract is: {_PROVIDER}")
        return self.emit("name_register", node, self.reg(BOOL), (imp,), name)

    def call_connect(self, node: ast.Call) -> sil.Reg:
        """``connect("/files", Files)``: the Imp of a new channel whose Exp goes to who provides the name; nobody there: it is closed."""
        self.arity(node, 2, "connect")
        name = self.constant_name(node.args[0], "connect", PATH, LONGEST_NAME, '"/files"')
        if self.program.entry and not any(matches(one, name) for one in declaration(self.program).wants):
            raise self.refuse("manifest", f"the manifest does not say that this program connects to {name}", node.args[0],
                              f'declare it: @sip(wants=["{name}"])')  # fmt: skip
        imp, exp = self.new_channel(ast.copy_location(ast.Call(node.func, node.args[1:], []), node))
        contract = self.module.contracts[imp.type.contract]
        if contract.turn(0) != "Exp":
            raise self.refuse("contract.send-state", f"{contract.name}.Exp cannot be handed over: in its first state it is not its turn to send", node.args[1],
                              f"let {contract.name} begin with a message of its Exp, such as out message Ready(); state Start: Ready! -> ...")  # fmt: skip
        self.emit("name_connect", node, self.reg(BOOL), (exp,), name)
        return imp

    def call_principal(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 0, "principal")
        return self.emit("principal", node, self.reg(Vector(U8)))

    def call_peer_principal(self, node: ast.Call) -> sil.Reg:
        self.arity(node, 1, "peer_principal")
        return self.emit("peer_principal", node, self.reg(Vector(U8)), (self.endpoint(node.args[0]),))

    def call_speaks_for(self, node: ast.Call) -> sil.Reg:
        """``speaks_for(ch, "shell+*")``: whether the other side's principal matches a pattern."""
        self.arity(node, 2, "speaks_for")
        pattern = self.constant_name(node.args[1], "speaks_for", PATTERN, LONGEST_RULE, '"shell+*"')
        return self.emit("principal_is", node, self.reg(BOOL), (self.endpoint(node.args[0]),), pattern)
