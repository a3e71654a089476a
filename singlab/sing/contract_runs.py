"""How runs of a contract and findings about it look: as text, and as message sequence charts.

In a chart time runs down; each row is one step of one side; an arrow begins where its message is sent and
ends where it is received. An arrow that ends in a dot is still waiting when the run ends.
"""

from __future__ import annotations

import html
from collections import deque

from singlab.sing.contract_explorer import SIDES, Behaviour, Run

_ROW, _TOP, _LANE = 30, 54, {"Imp": 190, "Exp": 530}
_WIDTH = 720
#: Steps a chart shows at most; of a longer run the last ones.
_MOST_STEPS = 60
_MOST_QUEUE = 6


def _queue(inbox: tuple[str, ...]) -> str:
    shown = " ".join(inbox[:_MOST_QUEUE])
    return f"{shown} … ({len(inbox)})" if len(inbox) > _MOST_QUEUE else shown or "-"


def run_text(run: Run) -> str:
    """Return a run as a table: a row a step, what each side does, and what waits for each."""
    states = run.protocol.states
    rows = [("", "Imp", "waiting for Exp", "waiting for Imp", "Exp")]
    places = run.replay()
    first = max(0, len(run) - _MOST_STEPS)
    rows.append((str(first), states[places[first].imp], _queue(places[first].to_exp), _queue(places[first].to_imp), states[places[first].exp]))
    for number, (step, here) in enumerate(zip(run.steps, places[1:], strict=True), 1):
        if number > first:
            did = f"{step.act}s {step.message}, then {states[step.target]}"
            imp, exp = (did, "") if step.side == "Imp" else ("", did)
            rows.append((str(number), imp, _queue(here.to_exp), _queue(here.to_imp), exp))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if first:
        lines.insert(0, f"the last {_MOST_STEPS} of {len(run)} steps")
    return "\n".join([*lines, *([run.note] if run.note else [])])


def run_html(run: Run) -> str:
    """Return a run as HTML with a message sequence chart."""
    states = run.protocol.states
    places = run.replay()
    first = max(0, len(run) - _MOST_STEPS)
    y = {number: _TOP + 18 + (number - first) * _ROW for number in range(first, len(run) + 1)}
    bottom = _TOP + 18 + (len(run) - first) * _ROW + 22
    parts = []
    for side, x in _LANE.items():
        parts.append(f'<text x="{x}" y="20" text-anchor="middle" font-weight="600">{side}</text>')
        parts.append(f'<line x1="{x}" y1="{_TOP - 24}" x2="{x}" y2="{bottom}" stroke="currentColor" opacity=".45"/>')
        start = places[first].imp if side == "Imp" else places[first].exp
        parts.append(_state(side, states[start], y[first] - _ROW / 2))
    under_way = {"Imp": deque(), "Exp": deque()}
    for number, step in enumerate(run.steps, 1):
        other = SIDES[step.side == "Imp"]
        if number > first:
            parts.append(_state(step.side, states[step.target], y[number]))
            parts.append(f'<circle cx="{_LANE[step.side]}" cy="{y[number]}" r="3.5" fill="currentColor"/>')
        if step.act == "send":
            under_way[other].append((number, step.message))
        else:
            sent, name = under_way[step.side].popleft()
            if number > first:
                parts.append(_arrow(other, y.get(sent, _TOP - 24), y[number], name, run, True))
    for side, waiting in under_way.items():
        for sent, name in waiting:
            if sent > first:
                parts.append(_arrow(SIDES[side == "Imp"], y[sent], y[sent] + _ROW * 0.6, name, run, False))
    end = places[-1]
    waits = "; ".join(f"{len(inbox)} waiting for {side}" for side, inbox in (("Imp", end.to_imp), ("Exp", end.to_exp)) if inbox)
    note = "; ".join(part for part in (f"the last {_MOST_STEPS} of {len(run)} steps" if first else "", waits, run.note) if part)
    return (
        f'<div><svg class="sl-run" viewBox="0 0 {_WIDTH} {bottom + 6}" width="{_WIDTH}" style="max-width:100%;height:auto" '
        f'font-family="system-ui,sans-serif" font-size="13" fill="currentColor" role="img" '
        f'aria-label="A run of contract {html.escape(run.protocol.name)}">'
        "<defs>"
        + "".join(
            f'<marker id="slr{mark}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            f'<path d="M0,0 L8,4 L0,8 z" fill="{colour}"/></marker>'
            for mark, colour in (("Imp", COLOURS["?"]), ("Exp", COLOURS["!"]))
        )
        + "</defs><style>.sl-run text{paint-order:stroke;stroke:var(--jp-layout-color0,Canvas);stroke-width:3px}</style>"
        f'{"".join(parts)}</svg><div style="font-size:13px;opacity:.8">{html.escape(note)}</div></div>'
    )


#: Blue for what the client sends, orange for what the server sends, as in a contract's drawing.
COLOURS = {"?": "#0072B2", "!": "#D55E00"}


def _state(side: str, name: str, y: float) -> str:
    x, anchor = (_LANE["Imp"] - 14, "end") if side == "Imp" else (_LANE["Exp"] + 14, "start")
    return f'<text x="{x}" y="{y + 4:.0f}" text-anchor="{anchor}" opacity=".8">{html.escape(name)}</text>'


def _arrow(sender: str, y0: float, y1: float, name: str, run: Run, arrived: bool) -> str:
    message = run.protocol.messages[name]
    colour = COLOURS[message.direction]
    x0, x1 = _LANE[sender], _LANE["Exp" if sender == "Imp" else "Imp"]
    if not arrived:
        x1 = x0 + (x1 - x0) * 0.6
    sign = 1 if x1 > x0 else -1
    at = x0 + (x1 - x0) * (0.3 if arrived else 0.5)
    label = y0 + (y1 - y0) * (0.3 if arrived else 0.5) - 5
    end = f'marker-end="url(#slr{sender})"' if arrived else 'stroke-dasharray="5 4"'
    dot = "" if arrived else f'<circle cx="{x1:.0f}" cy="{y1:.0f}" r="4" fill="{colour}"/>'
    return (
        f'<line x1="{x0}" y1="{y0:.0f}" x2="{x1 - sign * 2:.0f}" y2="{y1:.0f}" stroke="{colour}" stroke-width="1.5" {end}/>{dot}'
        f'<text x="{at:.0f}" y="{label:.0f}" text-anchor="middle" fill="{colour}"><title>{html.escape(str(message))}</title>'
        f"{html.escape(name)}</text>"
    )


def _lines(found: Behaviour) -> list[tuple[str, str]]:
    """Return what was found, as pairs of a question and its answer."""

    def most(number: int | None) -> str:
        if number is None:
            return "without limit"
        return f"{number}" if found.complete or found.growth else f"at least {number}"

    def named(runs: list[Run]) -> str:
        if not runs:
            return "none" if found.complete else "none found"
        return f"{len(runs)}, the shortest after {_steps(len(runs[0]))}: {runs[0].note}"

    copies = ", ".join(f"{name} {most(number)}" for name, number in found.copies.items())
    return [
        ("configurations", f"{found.configurations:,}" + ("" if found.complete else ", and there are more")),
        ("most waiting for Imp", most(found.waiting["Imp"])),
        ("most waiting for Exp", most(found.waiting["Exp"])),
        ("most copies waiting", copies or "-"),
        ("deadlocks", named(found.deadlocks)),
        ("messages nobody receives", named(found.unspecified)),
        *(("grows for ever", f"{side}'s queue, after {_steps(len(growth.run))}: {growth.run.note}") for side, growth in found.growth.items()),
    ]


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count != 1)}"


def behaviour_text(found: Behaviour) -> str:
    """Return what exploring a contract has found, as text."""
    lines = _lines(found)
    width = max(len(what) for what, _ in lines)
    return "\n".join([f"contract {found.protocol.name}, explored:", *(f"  {what.ljust(width)}  {said}" for what, said in lines)])


def behaviour_html(found: Behaviour) -> str:
    """Return what exploring a contract has found, as HTML; with the first counterexample, if there is any."""
    rows = "".join(
        f'<tr><th style="text-align:left;font-weight:400;opacity:.75">{html.escape(what)}</th>'
        f'<td style="text-align:left">{html.escape(said)}</td></tr>'
        for what, said in _lines(found)
    )
    shown = [growth.run for growth in found.growth.values()] + found.deadlocks + found.unspecified
    chart = min(shown, key=len)._repr_html_() if shown else ""
    return f"<div><b>contract {html.escape(found.protocol.name)}</b>, explored<table>{rows}</table>{chart}</div>"
