"""A layered drawing of a directed graph: where its boxes stand and how its arrows run.

The method of Sugiyama, Tagawa and Toda (IEEE Transactions on Systems, Man, and Cybernetics 11, 1981): turn
back the arrows that close cycles, put the boxes into layers, order each layer so that few arrows cross,
then place its members. A label is a member of a layer of its own, so it has room and nothing crosses it.
Positions within a layer are the closest to what their neighbours wish for that keeps the order and the
distances: a least-squares problem with an exact solution (pool adjacent violators).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass

_SWEEPS = 12
_GAP_LAYERS, _GAP_BOXES, _GAP, _THIN = 15.0, 18.0, 9.0, 12.0


@dataclass
class Arrow:
    """An arrow's way, as the points of a chain of cubic Bézier curves (the first point, then three a curve); where its label is."""

    points: list[tuple[float, float]]
    label: tuple[float, float]


@dataclass
class Layout:
    """Where everything is, in pixels from the upper left corner; ``horizontal``: layers follow each other to the right."""

    width: float
    height: float
    horizontal: bool
    places: list[tuple[float, float]]
    arrows: list[Arrow]


class _Member:
    """A box, a label, or a point an arrow passes."""

    def __init__(self, across: float, along: float, box: int | None = None):
        self.across, self.along, self.box = across, along, box
        self.up: list[_Member] = []
        self.down: list[_Member] = []
        self.layer = self.at = 0
        self.centre = 0.0
        self.line = 0.0  # of a label: how far its arrow runs from its centre


def _turned(count: int, edges: list[tuple[int, int]]) -> set[int]:
    """Return the numbers of the edges that close a cycle on a walk from box 0."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    for number, (source, _) in enumerate(edges):
        leaving[source].append(number)
    turned, state = set(), [0] * count
    for root in range(count):
        if state[root]:
            continue
        stack = [(root, iter(leaving[root]))]
        state[root] = 1
        while stack:
            box, numbers = stack[-1]
            number = next(numbers, None)
            if number is None:
                state[box] = 2
                stack.pop()
            elif state[target := edges[number][1]] == 1:
                turned.add(number)
            elif state[target] == 0:
                state[target] = 1
                stack.append((target, iter(leaving[target])))
    return turned


def _layers(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Return each box's layer: two more than the deepest box before it; ``edges`` have no cycle."""
    depth, before = [0] * count, [0] * count
    for _, target in edges:
        before[target] += 1
    todo = [box for box in range(count) if not before[box]]
    for box in todo:
        for source, target in edges:
            if source == box:
                depth[target] = max(depth[target], depth[box] + 2)
                before[target] -= 1
                if not before[target]:
                    todo.append(target)
    return depth


def _crossings(layer: list[_Member]) -> int:
    """Return how many pairs of lines cross between a layer and the next."""
    passed: list[int] = []
    count = 0
    for member in layer:
        for at in sorted((n.at for n in member.down), reverse=True):
            count += len(passed) - bisect_right(passed, at)
            insort(passed, at)
    return count


def _tangled(left: _Member, right: _Member) -> int:
    """Return how many lines of two members of a layer cross, as they stand."""
    return sum(n.at > m.at for near, far in ((left.up, right.up), (left.down, right.down)) for n in near for m in far)


def _order(layers: list[list[_Member]]) -> None:
    """Order every layer by the middle of its neighbours, down and up again, and keep the best."""

    def number() -> None:
        for layer in layers:
            for at, member in enumerate(layer):
                member.at = at

    def total() -> int:
        return sum(map(_crossings, layers[:-1]))

    number()
    best, kept = total(), [list(layer) for layer in layers]
    for sweep in range(_SWEEPS):
        if best == 0:
            break
        downwards = sweep % 2 == 0
        for layer in layers[1:] if downwards else layers[-2::-1]:
            wish = {}
            for member in layer:
                near = member.up if downwards else member.down
                wish[member] = sum(n.at for n in near) / len(near) if near else member.at
            layer.sort(key=wish.get)
            for at, member in enumerate(layer):
                member.at = at
        for layer in layers:
            for at in range(len(layer) - 1):  # exchange neighbours where that helps
                left, right = layer[at], layer[at + 1]
                if _tangled(right, left) < _tangled(left, right):
                    layer[at], layer[at + 1] = right, left
                    right.at, left.at = at, at + 1
        if (now := total()) < best:
            best, kept = now, [list(layer) for layer in layers]
    layers[:] = kept
    number()


def _settle(layer: list[_Member], wishes: list[float], weights: list[float]) -> None:
    """Put a layer's members as close to their wishes as their order and sizes allow."""
    offset, offsets = 0.0, []
    for at, member in enumerate(layer):
        if at:
            both = layer[at - 1].box is not None and member.box is not None
            offset += (layer[at - 1].across + member.across) / 2 + (_GAP_BOXES if both else _GAP)
        offsets.append(offset)
    pools: list[list[float]] = []  # mean, weight, members
    for wish, weight, shift in zip(wishes, weights, offsets, strict=True):
        pools.append([wish - shift, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, heavy, many = pools.pop()
            last = pools[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1] += heavy
            last[2] += many
    at = 0
    for mean, _, many in pools:
        for _ in range(int(many)):
            layer[at].centre = mean + offsets[at]
            at += 1


def _place(layers: list[list[_Member]]) -> None:
    """Give every member its place across its layer."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer), [1.0] * len(layer))
    for sweep in range(2 * _SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wishes, weights = [], []
            for member in layer:
                both = [(n, 8.0 if n.box is None and member.box is None else 1.0) for n in (*member.up, *member.down)]
                heavy = sum(weight for _, weight in both)
                # of a label the line is to be straight, not the text
                wishes.append(sum((n.centre + n.line - member.line) * weight for n, weight in both) / heavy if both else member.centre)
                weights.append(max(heavy, 1.0))
            _settle(layer, wishes, weights)


def layout(boxes: list[tuple[float, float]], edges: list[tuple[int, int, float, float]], horizontal: bool) -> Layout:
    """Lay out a graph whose layers follow each other downwards or, if ``horizontal``, to the right.

    Parameters
    ----------
    boxes : list of (width, height)
        The first is where the drawing begins.
    edges : list of (source, target, label width, label height)
        No two with the same ends; none from a box to itself.
    horizontal : bool
    """

    def member(width: float, height: float, box: int | None = None) -> _Member:
        return _Member(height, width, box) if horizontal else _Member(width, height, box)

    ends = [(source, target) for source, target, *_ in edges]
    turned = _turned(len(boxes), ends)
    drawn = [(b, a) if number in turned else (a, b) for number, (a, b) in enumerate(ends)]
    depth = _layers(len(boxes), drawn)
    layers: list[list[_Member]] = [[] for _ in range(max(depth) + 1)]
    members = [member(*size, box) for box, size in enumerate(boxes)]

    def enter(one: _Member, layer: int) -> None:
        one.layer = layer
        layers[layer].append(one)

    chains: list[list[_Member]] = [[] for _ in edges]
    entered: set[int] = set()
    todo = [box for box in range(len(boxes)) if depth[box] == 0]
    for box in todo:  # breadth first, so that what belongs together begins side by side
        entered.add(box)
        enter(members[box], depth[box])
        for number, (source, target) in enumerate(drawn):
            if source != box:
                continue
            labelled = depth[target] - 1 if number in turned else depth[source] + 1
            chain = [members[source]]
            for layer in range(depth[source] + 1, depth[target]):
                width, height = edges[number][2:]
                link = member(width, height) if layer == labelled else _Member(_THIN, 0.0)
                if layer == labelled:
                    link.line = (link.across / 2 - 4) * (1 if horizontal else -1)
                enter(link, layer)
                chain.append(link)
            chain.append(members[target])
            for upper, lower in zip(chain, chain[1:], strict=False):
                upper.down.append(lower)
                lower.up.append(upper)
            chains[number] = chain
            if target not in entered:
                entered.add(target)
                todo.append(target)
    _order(layers)
    _place(layers)
    return _coordinates(layers, members, chains, edges, turned, horizontal)


def _coordinates(layers, members, chains, edges, turned, horizontal: bool) -> Layout:
    """Turn places in layers into pixels."""
    left = min(m.centre - m.across / 2 for layer in layers for m in layer)
    for layer in layers:
        for one in layer:
            one.centre -= left
    span = max(m.centre + m.across / 2 for layer in layers for m in layer)
    begin, ends = 0.0, []
    for layer in layers:
        thick = max(m.along for m in layer)
        ends.append((begin, begin + thick))
        begin += thick + _GAP_LAYERS
    total = begin - _GAP_LAYERS

    def pixel(across: float, along: float) -> tuple[float, float]:
        return (along, across) if horizontal else (across, along)

    ports: dict[tuple[int, int], float] = {}  # (chain, 0 for its upper end and 1 for its lower) -> shift across
    for one in members:
        for lower in (False, True):
            leaving = [(chain[1 if lower else -2], number) for number, chain in enumerate(chains) if chain[0 if lower else -1] is one]
            leaving.sort(key=lambda pair: (pair[0].centre + pair[0].line, pair[1]))
            step = min(16.0, (one.across - 8) / max(1, len(leaving)))
            for at, (_, number) in enumerate(leaving):
                ports[number, 0 if lower else 1] = (at - (len(leaving) - 1) / 2) * step
    arrows = []
    for number, chain in enumerate(chains):
        stops, label = [], (0.0, 0.0)  # (along, across, whether the arrow goes straight on there)
        for at, one in enumerate(chain):
            near, far = ends[one.layer]
            middle = (near + far) / 2
            if at in (0, len(chain) - 1):
                shift = ports[number, int(at > 0)]
                reach = one.along / 2
                if one.across <= 24:  # a circle
                    reach = max(0.0, reach * reach - shift * shift) ** 0.5
                stops.append((middle + (reach if at == 0 else -reach), one.centre + shift, True))
            elif one.line:
                stops += [(near, one.centre + one.line, True), (far, one.centre + one.line, True)]
                label = pixel(one.centre, middle)
            else:
                stops.append((middle, one.centre, False))
        points = [pixel(across, along) for along, across in _smooth(stops)]
        arrows.append(Arrow(points[::-1] if number in turned else points, label))
    width, height = pixel(span, total)
    places = [pixel(one.centre, sum(ends[one.layer]) / 2) for one in members]
    return Layout(width, height, horizontal, places, arrows)


def _smooth(stops: list[tuple[float, float, bool]]) -> list[tuple[float, float]]:
    """Return a chain of Bézier curves through the stops that never swings beyond them (Fritsch and Carlson's slopes)."""
    steps = [((b[1] - a[1]) / max(b[0] - a[0], 1e-6)) for a, b in zip(stops, stops[1:], strict=False)]
    slopes = [0.0]
    for before, after, (_, _, straight) in zip(steps, steps[1:], stops[1:], strict=False):
        slopes.append(0.0 if straight or before * after <= 0 else 2 * before * after / (before + after))
    slopes.append(0.0)
    out = [stops[0][:2]]
    for (v0, u0, _), (v1, u1, _), s0, s1 in zip(stops, stops[1:], slopes, slopes[1:], strict=False):
        third = (v1 - v0) / 3
        out += [(v0 + third, u0 + s0 * third), (v1 - third, u1 - s1 * third), (v1, u1)]
    return out
