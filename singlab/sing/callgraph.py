"""Who calls whom: how deep calls nest, and which functions call themselves.

A virtual call counts as a call of every function it can come to, a thread's start as a call of what it runs. A function that
calls itself, directly or through others, is a SIP's good right: its stack grows (:mod:`singlab.sing.stacktests`). A program
without a kernel has a stack that is bounded before it starts.
"""

from __future__ import annotations

from singlab.sing.errors import SipError
from singlab.sing.sil import Module, Position
from singlab.sing.sil_classes import reached_by

#: Helpers call each other at most so deep.
MOST_NESTED_CALLS = 64


def calls_of(module: Module) -> dict[str, list[tuple[str, Position]]]:
    """Return for each function what it can call, and where."""
    return {n: [(name, i.position) for b in f.blocks for i in b.instrs for name in reached_by(module, i)] for n, f in module.functions.items()}


def walk(module: Module, again) -> None:
    """Go along all calls, innermost first; ``again`` is told of each that closes a circle. Refuses calls that nest too deep; raises SipError."""
    calls = calls_of(module)
    depth: dict[str, int] = {}
    for root in calls:
        stack, path = [(root, 0)], [root]
        while stack:
            name, index = stack.pop()
            if index >= len(calls[name]):
                depth[name] = 1 + max((depth.get(callee, 0) for callee, _ in calls[name]), default=0)
                if depth[name] > MOST_NESTED_CALLS:
                    raise located(module, "recursion", name, module.functions[name].position, f"{name} nests more than {MOST_NESTED_CALLS} calls",
                                  "write a loop, or join some of the helpers")  # fmt: skip
                path.pop()
                continue
            stack.append((name, index + 1))
            callee, position = calls[name][index]
            if callee in path:
                again(name, callee, position)
            elif callee not in depth and callee in calls:
                stack.append((callee, 0))
                path.append(callee)


def refuse_nesting(module: Module) -> bool:
    """Refuse calls that nest deeper than anybody follows, a circle counted once; returns whether any function calls itself."""
    found: list[str] = []

    def again(name: str, callee: str, position: Position) -> None:
        if callee == module.entry:
            raise located(module, "recursion", name, position, f"{callee} calls itself", "a SIP runs once; write what is done again as a @function")
        found.append(callee)

    walk(module, again)
    return bool(found)


def refuse_recursion(module: Module) -> None:
    """Refuse functions that can call themselves; raises SipError."""

    def again(name: str, callee: str, position: Position) -> None:
        raise located(module, "recursion", name, position, f"{callee} calls itself", "write a loop: without a kernel the stack must be bounded before it starts")

    walk(module, again)


def located(module: Module, rule: str, name: str, position: Position, message: str, hint: str) -> SipError:
    """Return a refusal of the call structure at a place in a function."""
    function = module.functions[name]
    error = SipError(rule, message, line=position.line, column=position.column, hint=hint)
    return error.at(function.filename or module.filename, function.source or module.source)
