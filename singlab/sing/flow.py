"""The shape of a function's graph: predecessors, dominators and natural loops.

Every answer is computed once for the graph as it is; who changes the graph makes a new one.
"""

from __future__ import annotations

from singlab.sing import sil
from singlab.sing.sil import Block, Function


class Flow:
    """What can be said about a graph.

    Attributes
    ----------
    blocks : dict of str to Block
        The reachable ones, in reverse postorder.
    predecessors, successors : dict of str to list of str
    dominator : dict of str to str
        The immediate dominator; the entry's is itself.
    children : dict of str to list of str
        The dominator tree.
    loops : dict of str to set of str
        Header to the labels of its natural loop, inner loops before outer ones.
    """

    def __init__(self, function: Function):
        known = {block.label: block for block in function.blocks}
        self.entry = function.blocks[0].label
        self.successors = {label: sil.successors(block.instrs[-1]) for label, block in known.items()}
        self.blocks: dict[str, Block] = {label: known[label] for label in self.reverse_postorder()}
        self.order = {label: i for i, label in enumerate(self.blocks)}
        self.predecessors: dict[str, list[str]] = {label: [] for label in self.blocks}
        for label in self.blocks:
            for target in self.successors[label]:
                self.predecessors[target].append(label)
        self.dominator = self.dominators()
        self.children: dict[str, list[str]] = {label: [] for label in self.blocks}
        for label, above in self.dominator.items():
            if label != above:
                self.children[above].append(label)
        self.first: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.number()
        self.loops = self.natural_loops()

    def reverse_postorder(self) -> list[str]:
        done, seen = [], {self.entry}
        stack = [(self.entry, iter(self.successors[self.entry]))]
        while stack:
            label, targets = stack[-1]
            target = next((t for t in targets if t not in seen), None)
            if target is None:
                done.append(label)
                stack.pop()
            else:
                seen.add(target)
                stack.append((target, iter(self.successors[target])))
        return done[::-1]

    def dominators(self) -> dict[str, str]:
        above = {self.entry: self.entry}
        changed = True
        while changed:
            changed = False
            for label in list(self.blocks)[1:]:
                best = None
                for source in self.predecessors[label]:
                    if source in above:
                        best = source if best is None else self.meet(best, source, above)
                if above.get(label) != best:
                    above[label] = best
                    changed = True
        return above

    def meet(self, one: str, other: str, above: dict[str, str]) -> str:
        while one != other:
            while self.order[one] > self.order[other]:
                one = above[one]
            while self.order[other] > self.order[one]:
                other = above[other]
        return one

    def number(self) -> None:
        """Number the dominator tree, so that dominance is a comparison."""
        clock, stack = 0, [(self.entry, False)]
        while stack:
            label, left = stack.pop()
            if left:
                self.last[label] = clock
                continue
            clock += 1
            self.first[label] = clock
            stack.append((label, True))
            stack += [(child, False) for child in self.children[label]]

    def dominates(self, one: str, other: str) -> bool:
        """Whether every path to ``other`` goes through ``one``."""
        return self.first[one] <= self.first[other] <= self.last[one]

    def natural_loops(self) -> dict[str, set[str]]:
        bodies: dict[str, set[str]] = {}
        for label in self.blocks:
            for head in self.successors[label]:
                if self.dominates(head, label):
                    body, todo = bodies.setdefault(head, {head}), [label]
                    while todo:
                        inner = todo.pop()
                        if inner not in body:
                            body.add(inner)
                            todo += self.predecessors[inner]
        return dict(sorted(bodies.items(), key=lambda item: (len(item[1]), self.order[item[0]])))

    def depths(self) -> dict[str, int]:
        """Return in how many loops each block lies."""
        depth = dict.fromkeys(self.blocks, 0)
        for body in self.loops.values():
            for label in body:
                depth[label] += 1
        return depth

    def outside(self, head: str) -> list[str]:
        """Return the predecessors of a loop's header that are not in the loop."""
        return [label for label in self.predecessors[head] if label not in self.loops[head]]
