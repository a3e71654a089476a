"""The still picture of a run: what a place without scripts shows instead of the live view.

A table of what happened, and the data from which an exported page makes a working replay. Leaves out
the drawing itself, which needs the browser.
"""

from __future__ import annotations

import base64
import html
from collections import Counter

from singlab.trace.record import Kind
from singlab.trace.trace import Trace

#: Replays in exported pages are cut after so many events.
_MOST_EVENTS = 20_000


def still_picture(trace: Trace) -> str:
    """Return HTML: totals of the run by process, and the replay's data."""
    from singlab.widgets.export import replay_data

    sent, received = Counter(), Counter()
    for index, event in enumerate(trace.events):
        if event["kind"] in (Kind.SEND, Kind.RECEIVE):
            who = trace.owner(index, int(event["a"]) & 0xFFFF_FFFF, int(event["a"]) >> 56)
            (sent if event["kind"] == Kind.SEND else received)[who] += 1
    rows = "".join(
        f"<tr><td>{html.escape(about['name'])}</td><td>{sent[int(number)]}</td><td>{received[int(number)]}</td></tr>"
        for number, about in trace.meta.get("processes", {}).items()
    )
    data = base64.b64encode(replay_data(trace[:_MOST_EVENTS]).encode()).decode()
    return (
        f'<div class="singlab-still" data-replay="{data}"><p>{len(trace):,} events so far. The live view needs a running '
        "notebook; here is what happened:</p><table><thead><tr><th>process</th><th>sent</th><th>received</th></tr></thead>"
        f"<tbody>{rows}</tbody></table><!-- /singlab-still --></div>"
    )
