"""A contract drawn as its state machine, from the plain data a trace keeps of it.

One drawing for notebooks and for the live view. A state is a rounded box, an implicit one a circle with its
number, a final one has a double line. An arrow bears the messages that lead along it, coloured by who sends
them. Each state has two halves, the client's on the left and the server's on the right, which are filled
where that side is now.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Mapping

from singlab.trace.layered import Layout, layout

_HEIGHT, _RADIUS, _LINE = 30, 11, 15
_MARGIN, _ENTRY = 8, 22
#: Pixels a character takes in a drawing's letters of 12.5 pixels.
_LETTER = 7.1
#: A drawing is laid out to the right up to this width, and downwards beyond it.
_WIDEST = 840
#: A drawing is made smaller where there is no room for it, down to this part of its size.
_LEAST = 0.8
#: A contract with more states or steps than this is not drawn.
_MOST = 120
COLOURS = {"?": "#0072B2", "!": "#D55E00"}
#: Fill of the state a drawing is asked to mark.
_MARK = "#E69F00"


def _implicit(name: str) -> bool:
    return "." in name


def _size(name: str) -> tuple[float, float]:
    return (2 * _RADIUS, 2 * _RADIUS) if _implicit(name) else (max(64, _LETTER * 1.06 * len(name) + 26), _HEIGHT)


def _halves(name: str, x: float, y: float) -> tuple[str, str]:
    """Return the outlines of a state's left and right half."""
    width, high = _size(name)
    half, tall = width / 2, high / 2
    radius = tall if _implicit(name) else 14

    def side(sign: int) -> str:
        edge, sweep = x + sign * half, int(sign > 0)
        return (
            f"M{x:.1f},{y - tall:.1f} H{edge - sign * radius:.1f} A{radius},{radius} 0 0 {sweep} {edge:.1f},{y - tall + radius:.1f} "
            f"V{y + tall - radius:.1f} A{radius},{radius} 0 0 {sweep} {edge - sign * radius:.1f},{y + tall:.1f} H{x:.1f} z"
        )

    return side(-1), side(1)


def _state(number: int, name: str, x: float, y: float, final: bool, start: bool, marked: bool) -> str:
    width, high = _size(name)
    left, right = _halves(name, x, y)
    fill = f' style="fill:{_MARK};fill-opacity:.55"' if marked else ""
    weight = 2.4 if start or marked else 1.2
    if _implicit(name):
        box = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}" class="o" stroke-width="{1.2 if not marked else 2.4}"/>'
        text = html.escape(name.rpartition(".")[2])
    else:
        box = (f'<rect x="{x - width / 2:.1f}" y="{y - high / 2:.1f}" width="{width:.1f}" height="{high}" rx="14" class="o" '
               f'stroke-width="{weight}"/>')  # fmt: skip
        if final:
            box += (f'<rect x="{x - width / 2 + 3.5:.1f}" y="{y - high / 2 + 3.5:.1f}" width="{width - 7:.1f}" height="{high - 7}" '
                    'rx="10.5" class="o" stroke-width="0.8"/>')  # fmt: skip
        text = html.escape(name)
    return (
        f'<g class="s" data-state="{number}"><title>{html.escape(name)}</title>'
        f'<path d="{left}" class="h imp"{fill}/><path d="{right}" class="h exp"{fill}/>{box}'
        f'<text x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="middle">{text}</text></g>'
    )


def _curve(points: list[tuple[float, float]]) -> str:
    """Return a path along a chain of Bézier curves."""
    (x, y), *rest = points
    return f"M{x:.1f},{y:.1f} C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in rest)


def _tip(points: list[tuple[float, float]], horizontal: bool) -> str:
    """Return an arrow's head; it ends straight on, as its curve does."""
    (x0, y0), (x, y) = points[0 if len(points) < 4 else -4], points[-1]
    if horizontal:
        back = -7 if x > x0 else 7
        return f'<path d="M{x:.1f},{y:.1f} l{back},-3.6 v7.2 z" class="t"/>'
    back = -7 if y > y0 else 7
    return f'<path d="M{x:.1f},{y:.1f} l-3.6,{back} h7.2 z" class="t"/>'


def _label(at: tuple[float, float], messages: list[dict]) -> str:
    """Return the messages of an arrow, one above the other around a place."""
    x, y = at
    first = y - (len(messages) - 1) * _LINE / 2 + 4
    return "".join(
        f'<text x="{x:.1f}" y="{first + _LINE * row:.1f}" text-anchor="middle" fill="{COLOURS[m["direction"]]}">'
        f"<title>{html.escape(message_text(m))}</title>{html.escape(m['name'])}{m['direction']}</text>"
        for row, m in enumerate(messages)
    )


def message_text(message: Mapping) -> str:
    """Return a message with its arguments, such as ``in message Ask(u64 n)``."""
    return f"{'in' if message['direction'] == '?' else 'out'} message {message['name']}({', '.join(message['arguments'])})"


def _laid_out(states: list[str], arrows: dict[tuple[int, int], list[dict]]) -> Layout:
    boxes = [_size(name) for name in states]
    edges = []
    for (source, target), messages in arrows.items():
        width = _LETTER * (max(len(m["name"]) for m in messages) + 1) + 14
        edges.append((source, target, width, float(_LINE * len(messages) + 4)))
    wide = layout(boxes, edges, True)
    if wide.width + _ENTRY + 2 * _MARGIN <= _WIDEST:
        return wide
    tall = layout(boxes, edges, False)
    return tall if tall.width < wide.width else wide


def state_machine(name: str, contract: Mapping, state: int | None = None) -> str:
    """Return a contract's drawing as SVG.

    Parameters
    ----------
    name : str
        The contract's.
    contract : Mapping
        As in a trace's ``meta["contracts"]``: "messages", "states" and "transitions".
    state : int, optional
        A state to mark.
    """
    states, messages = list(contract["states"]), list(contract["messages"])
    arrows: dict[tuple[int, int], list[dict]] = defaultdict(list)
    loops: dict[int, list[dict]] = defaultdict(list)
    for source, message, target in contract["transitions"]:
        (loops[source] if source == target else arrows[source, target]).append(messages[message])
    if len(states) > _MOST or len(arrows) > _MOST:
        return (f'<svg class="sl-machine" width="420" height="24" viewBox="0 0 420 24" role="img" aria-label="{html.escape(name)}">'
                f'<text x="4" y="16">{len(states)} states: too many to draw</text></svg>')  # fmt: skip
    leaving = {source for source, *_ in contract["transitions"]}
    laid = _laid_out(states, arrows)
    dx, dy = (_MARGIN + _ENTRY, _MARGIN) if laid.horizontal else (_MARGIN, _MARGIN + _ENTRY)
    loose = max((max(_LETTER * (len(m["name"]) + 1) for m in ms) + 34 for ms in loops.values()), default=0)
    places = [(x + dx, y + dy) for x, y in laid.places]
    parts = []
    x, y = places[0]
    width, high = _size(states[0])
    end = (x - width / 2, y) if laid.horizontal else (x, y - high / 2)
    begin = (end[0] - 20, y) if laid.horizontal else (x, end[1] - 20)
    parts.append(f'<path d="{_curve([begin, begin, end, end])}" class="e"/>{_tip([begin, end], laid.horizontal)}')
    labels = []
    for arrow, along in zip(laid.arrows, arrows.values(), strict=True):
        points = [(x + dx, y + dy) for x, y in arrow.points]
        parts.append(f'<path d="{_curve(points)}" class="e"/>{_tip(points, laid.horizontal)}')
        x, y = arrow.label
        labels.append(_label((x + dx + (0 if laid.horizontal else 4), y + dy - (2 if laid.horizontal else 0)), along))
    for source, along in loops.items():
        x, y = places[source]
        edge = x + _size(states[source])[0] / 2
        parts.append(f'<path d="M{edge:.1f},{y - 7:.1f} C{edge + 26:.1f},{y - 16:.1f} {edge + 26:.1f},{y + 16:.1f} {edge:.1f},{y + 7:.1f}" '
                     f'class="e"/><path d="M{edge:.1f},{y + 7:.1f} l7,-0.5 l-2.5,6 z" class="t"/>')  # fmt: skip
        labels.append(_label((edge + 22 + _LETTER * (max(len(m["name"]) for m in along) + 1) / 2, y), along))
    boxes = [_state(n, s, *places[n], n not in leaving, n == 0, n == state) for n, s in enumerate(states)]
    width, height = laid.width + dx + _MARGIN + loose, laid.height + dy + _MARGIN
    return (
        f'<svg class="sl-machine" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'style="width:{width:.0f}px;max-width:100%;min-width:{width * _LEAST:.0f}px;height:auto" font-family="system-ui,sans-serif" font-size="12.5" fill="currentColor" role="img" '
        f'aria-label="State machine of contract {html.escape(name)}">'
        "<style>.sl-machine .e,.sl-machine .o,.sl-machine .h{fill:none}.sl-machine .e{stroke:currentColor;stroke-width:1.1;opacity:.65}"
        ".sl-machine .o{stroke:currentColor}.sl-machine .t{fill:currentColor;opacity:.75}"
        ".sl-machine>text{paint-order:stroke;stroke:var(--jp-layout-color0,Canvas);stroke-width:3px;stroke-linejoin:round}</style>"
        f'{"".join(parts)}{"".join(boxes)}{"".join(labels)}</svg>'
    )


def drawings(meta: Mapping) -> dict[str, str]:
    """Return the drawing of every contract in a trace's ``meta``, by name."""
    return {name: state_machine(name, contract) for name, contract in meta.get("contracts", {}).items()}
