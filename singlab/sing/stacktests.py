"""Where a function looks whether its stack has room, found from frame sizes over the call graph before anything runs.

Whoever has tested for n bytes may call down to frames of n bytes together, and none of those functions tests again. So a
program whose deepest path fits a first segment tests nowhere, nor does a chain of small functions at the end of any path; a path that is longer is
cut where what has been seen to is used up, and a circle of calls once. On or below a circle a function is seen to by its
caller only if it needs little, so that a segment is not left half empty at each turn.

Leaves out the least set of cuts, which nobody finds quickly: a circle is cut at the function by which one comes into it.
"""

from __future__ import annotations

from dataclasses import dataclass

from singlab.kernel.layout import FIRST_SEGMENT, SMALL_NEED


@dataclass(frozen=True)
class Placement:
    """Which functions test, and for how much.

    Attributes
    ----------
    bounds : dict of str to int
        For each function the most bytes of frames from its own down to where the next test is.
    tests : frozenset of str
        The functions that test; each for its bound.
    """

    bounds: dict[str, int]
    tests: frozenset[str]

    def need(self, name: str) -> int:
        """Return the bytes a function tests for, 0 if it tests nothing."""
        return self.bounds[name] if name in self.tests else 0


def circles(callees: dict[str, list[str]]) -> tuple[list[str], frozenset[str]]:
    """Return the functions, callees first, and those by which one comes into a circle of calls."""
    order: list[str] = []
    entered: set[str] = set()
    state: dict[str, int] = {}
    for root in callees:
        if root in state:
            continue
        state[root] = 1
        path = [(root, iter(callees[root]))]
        while path:
            name, rest = path[-1]
            for callee in rest:
                if state.get(callee) == 1:
                    entered.add(callee)
                elif callee not in state and callee in callees:
                    state[callee] = 1
                    path.append((callee, iter(callees[callee])))
                    break
            else:
                state[name] = 2
                order.append(name)
                path.pop()
    return order, frozenset(entered)


def below(callees: dict[str, list[str]], names) -> set[str]:
    """Return functions and all that they can come to."""
    found, todo = set(names), list(names)
    while todo:
        for callee in callees[todo.pop()]:
            if callee in callees and callee not in found:
                found.add(callee)
                todo.append(callee)
    return found


def place(frames: dict[str, int], callees: dict[str, list[str]], budget: int = FIRST_SEGMENT, small: int = SMALL_NEED) -> Placement:
    """Place the tests of a module.

    Parameters
    ----------
    frames : dict of str to int
        Bytes of each function's frame; those from which the program begins stand first.
    callees : dict of str to list of str
        The functions each can call.
    budget : int
        Bytes that what is between two tests may need; no frame is larger.
    small : int
        Bytes that a function on or below a circle may need and leave to its caller's test.
    """
    order, entered = circles(callees)
    again = below(callees, entered)
    tests = set(entered)
    bounds: dict[str, int] = {}
    for _ in range(2):  # a test that was put in for one caller serves the others too
        for name in order:
            deepest = 0
            for callee in callees[name]:
                if callee in tests:
                    continue
                if frames[name] + bounds[callee] > budget or (name in again and bounds[callee] > small):
                    tests.add(callee)
                else:
                    deepest = max(deepest, bounds[callee])
            bounds[name] = frames[name] + deepest
    return Placement(bounds, frozenset(tests))
