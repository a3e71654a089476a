"""A contract drawn as its state machine.

States stand in columns by their distance from the start; a step is an arrow labelled with its message,
coloured by who sends it. Leaves out crossing minimisation: contracts are small.
"""

from __future__ import annotations

import html
from collections import defaultdict, deque

_GAP, _ROW, _HEIGHT = 112, 84, 30
_MARGIN, _ARC, _LABEL = 24, 34, 7.0
_COLOURS = {"?": "#0072B2", "!": "#D55E00"}


def _columns(contract) -> dict[int, int]:
    """Return each state's distance from the start."""
    depth, todo = {0: 0}, deque([0])
    while todo:
        state = todo.popleft()
        for target in contract.transitions[state].values():
            if target not in depth:
                depth[target] = depth[state] + 1
                todo.append(target)
    return depth


def _half(name: str) -> float:
    """Return half the width of a state's box."""
    return 7 if "." in name else max(34, 4.1 * len(name) + 12)


def _box(name: str, x: float, y: float, final: bool, start: bool) -> str:
    """Return one state; an implicit one is a small circle."""
    title = f"<title>{html.escape(name)}</title>"
    if "." in name:
        return f'<g>{title}<circle cx="{x}" cy="{y}" r="7" fill="none" stroke="currentColor"/></g>'
    half, high = _half(name), _HEIGHT / 2
    width = 2 * half
    weight = 2.4 if start else 1.2
    inner = ""
    if final:
        inner = f'<rect x="{x - half + 3}" y="{y - high + 3}" width="{width - 6}" height="{_HEIGHT - 6}" rx="11" fill="none" stroke="currentColor" stroke-width="0.8"/>'
    return (
        f'<g>{title}<rect x="{x - half}" y="{y - high}" width="{width}" height="{_HEIGHT}" rx="14" fill="none" '
        f'stroke="currentColor" stroke-width="{weight}"/>{inner}'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle">{html.escape(name)}</text></g>'
    )


def _labels(x: float, y: float, messages: list) -> str:
    """Return the messages of an arrow, one above the other."""
    out = []
    for index, message in enumerate(reversed(messages)):
        out.append(
            f'<text x="{x:.1f}" y="{y - 13 * index:.1f}" text-anchor="middle" fill="{_COLOURS[message.direction]}">'
            f"<title>{html.escape(str(message))}</title>{html.escape(message.name)}{message.direction}</text>"
        )
    return "".join(out)


def draw(contract) -> str:
    """Return the contract as HTML with one SVG drawing.

    Parameters
    ----------
    contract : Contract
    """
    depth = _columns(contract)
    layers = defaultdict(list)
    for state in sorted(depth, key=lambda s: (depth[s], s)):
        layers[depth[state]].append(state)
    tallest = max(map(len, layers.values()))
    arrows: dict[tuple[int, int], list] = defaultdict(list)
    for state, steps in enumerate(contract.transitions):
        for name, target in steps.items():
            arrows[state, target].append(contract.messages[name])
    back = [pair for pair in arrows if pair[0] != pair[1] and depth[pair[1]] <= depth[pair[0]]]
    selfs = max((len(arrows[p]) for p in arrows if p[0] == p[1]), default=0)
    top = _MARGIN + (30 + 13 * selfs if selfs else 12)
    place, right = {}, float(_MARGIN - 8)
    for column in sorted(layers):
        states = layers[column]
        widest = max(_half(contract.states[s]) for s in states)
        names = [len(m.name) + 1 for (_, t), messages in arrows.items() if t in states for m in messages]
        middle = right + (26 if column == 0 else max(_GAP, 7.2 * max(names, default=0) + 36)) + widest
        right = middle + widest
        for row, state in enumerate(states):
            y = top + (tallest - len(states)) * _ROW / 2 + row * _ROW + _HEIGHT / 2
            place[state] = (middle, y)
    bottom = top + (tallest - 1) * _ROW + _HEIGHT

    def half(state: int) -> float:
        return _half(contract.states[state])

    parts = []
    x0, y0 = place[0]
    parts.append(f'<path d="M{x0 - half(0) - 20},{y0} H{x0 - half(0) - 2}" class="e" marker-end="url(#slc)"/>')
    lane = 0
    for (source, target), messages in arrows.items():
        (x1, y1), (x2, y2) = place[source], place[target]
        if source == target:
            up = y1 - _HEIGHT / 2
            parts.append(f'<path d="M{x1 - 14},{up} C{x1 - 30},{up - 34} {x1 + 30},{up - 34} {x1 + 14},{up - 2}" class="e" marker-end="url(#slc)"/>')  # fmt: skip
            parts.append(_labels(x1, up - 30, messages))
        elif (source, target) in back:
            lane += 1
            low = bottom + _ARC * lane
            longest = max(len(m.name) for m in messages) + 1
            parts.append(
                f'<path d="M{x1},{y1 + (7 if half(source) == 7 else _HEIGHT / 2)} C{x1},{low + 8} {x2},{low + 8} {x2},'
                f'{y2 + (7 if half(target) == 7 else _HEIGHT / 2) + 2}" class="e" marker-end="url(#slc)"/>'
            )
            flat = (y1 + y2) / 2 * 0.25 + low * 0.75 + 12
            x = (x1 + x2) / 2 if x1 != x2 else x1 + longest * _LABEL / 2
            parts.append(_labels(x, flat + 13 * (len(messages) - 1) + 8, messages))
        else:
            a, b = x1 + half(source), x2 - half(target) - 2
            middle = (a + b) / 2
            parts.append(f'<path d="M{a},{y1} C{middle},{y1} {middle},{y2} {b},{y2}" class="e" marker-end="url(#slc)"/>')
            near = middle if y1 == y2 else a + (b - a) * 0.62
            parts.append(_labels(near, (y1 + y2) / 2 - 6 if y1 == y2 else y2 - 8 if y2 < y1 else y2 + 16, messages))
    for state, (x, y) in place.items():
        parts.append(_box(contract.states[state], x, y, not contract.transitions[state], state == 0))
    width = max(x + half(s) for s, (x, _) in place.items()) + _MARGIN
    height = bottom + _ARC * lane + (13 * max((len(arrows[p]) for p in back), default=0)) + 14
    return (
        f'<div><svg class="sl-contract" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" style="max-width:100%;height:auto" '
        f'font-family="system-ui,sans-serif" font-size="12.5" fill="currentColor" role="img" '
        f'aria-label="State machine of contract {html.escape(contract.name)}">'
        '<defs><marker id="slc" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">'
        '<path d="M0,0 L8,4 L0,8 z" fill="currentColor"/></marker></defs>'
        '<style>.sl-contract .e{fill:none;stroke:currentColor;stroke-width:1.1}'
        ".sl-contract text{paint-order:stroke;stroke:var(--jp-layout-color0,Canvas);stroke-width:3px}</style>"
        f'<text x="{_MARGIN - 6}" y="16" font-weight="600">contract {html.escape(contract.name)}</text>'
        f'{"".join(parts)}</svg><div style="font-size:12px;opacity:.75">'
        f'<span style="color:{_COLOURS["?"]}">message?</span> the client (Imp) sends · '
        f'<span style="color:{_COLOURS["!"]}">message!</span> the server (Exp) sends</div></div>'
    )
