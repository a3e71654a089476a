"""The verifier's look at who calls whom: no function calls itself, so the stack is bounded before it starts.

A virtual call counts as a call of every function it can come to, a thread's start as a call of what it runs.
"""

from __future__ import annotations

from singlab.sing.errors import SipError
from singlab.sing.sil import Module, Position
from singlab.sing.sil_classes import reached_by

#: Helpers call each other at most so deep.
MOST_NESTED_CALLS = 64


def refuse_recursion(module: Module) -> None:
    """Refuse functions that can call themselves, and calls nested deeper than a stack should be; raises SipError."""
    calls = {n: [(name, i.position) for b in f.blocks for i in b.instrs for name in reached_by(module, i)]
             for n, f in module.functions.items()}  # fmt: skip
    depth: dict[str, int] = {}
    for root in calls:
        stack, path = [(root, 0)], [root]
        while stack:
            name, index = stack.pop()
            if index >= len(calls[name]):
                depth[name] = 1 + max((depth.get(callee, 0) for callee, _ in calls[name]), default=0)
                if depth[name] > MOST_NESTED_CALLS:
                    raise located(module, name, module.functions[name].position, f"{name} nests more than {MOST_NESTED_CALLS} calls",
                                  "write a loop, or join some of the helpers")  # fmt: skip
                path.pop()
                continue
            stack.append((name, index + 1))
            callee, position = calls[name][index]
            if callee in path:
                raise located(module, name, position, f"{callee} calls itself",
                              "write a loop: the stack must be bounded before it starts")  # fmt: skip
            if callee not in depth and callee in calls:
                stack.append((callee, 0))
                path.append(callee)


def located(module: Module, name: str, position: Position, message: str, hint: str) -> SipError:
    """Return a refusal of the call structure at a place in a function."""
    function = module.functions[name]
    error = SipError("recursion", message, line=position.line, column=position.column, hint=hint)
    return error.at(function.filename or module.filename, function.source or module.source)
