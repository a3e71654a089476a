"""Pages that need nothing: a replay, or a whole executed notebook, in one HTML file.

Everything is in the file and nothing is fetched, so it opens from a disk without a network.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

from singlab.trace.record import FAULTS
from singlab.trace.statemachine import drawings
from singlab.trace.trace import SENTENCES, Trace
from singlab.widgets.assets import script, style

#: Where a live view stands in an executed notebook's HTML; the still picture carries it.
_PLACE = re.compile(r'<div class="singlab-still" data-replay="([^"]*)">.*?<!-- /singlab-still --></div>', re.DOTALL)


def replay_data(trace: Trace) -> str:
    """Return what a page needs to replay a trace, as JSON."""
    return json.dumps(
        {
            "events": base64.b64encode(trace.events.tobytes()).decode(),
            "meta": trace.meta,
            "drawings": drawings(trace.meta),
            "sentences": {str(int(k)): v for k, v in SENTENCES.items()},
            "faults": {str(k): v for k, v in FAULTS.items()},
        }
    ).replace("</", "<\\/")


def _scripts() -> str:
    return f"<style>{style()}</style><script>{script('model', 'contracts', 'view', 'replay')}</script>"


def replay_html(trace: Trace, path: str | Path | None = None, title: str = "singlab replay") -> str:
    """Return a page that replays a trace, and write it to ``path`` if given."""
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title>{_scripts()}"
        "<style>body{margin:0;padding:16px;background:#f3f4f6}#view{max-width:1500px;margin:auto}"
        "@media(prefers-color-scheme:dark){body{background:#0b0f14}.singlab-view{--sl-ink:#e5e7eb;--sl-soft:#9ca3af;"
        "--sl-line:#374151;--sl-paper:#111827;--sl-pane:#0f172a;--sl-fill:#1f2937}}</style></head>"
        f'<body><div id="view"></div><script>window.singlabView=replay(document.getElementById("view"),{replay_data(trace)});'
        "</script></body></html>"
    )
    if path is not None:
        Path(path).write_text(page, encoding="utf-8")
    return page


def export_notebook(notebook: str | Path, page: str | Path) -> Path:
    """Turn an executed notebook into one HTML file in which the live views are working replays.

    Parameters
    ----------
    notebook : path
        With outputs.
    page : path
        Where to write.
    """
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    node = nbformat.read(str(notebook), as_version=4)
    node.metadata.pop("widgets", None)
    for cell in node.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "application/vnd.jupyter.widget-view+json" in data:
                # the still picture takes the widget's place and becomes the replay below; a bare progress bar goes
                del data["application/vnd.jupyter.widget-view+json"]
                if "text/html" not in data:
                    data.clear()
        cell["outputs"] = [o for o in cell.get("outputs", []) if o.get("data") != {}] if "outputs" in cell else []
        if cell.cell_type != "code":
            cell.pop("outputs", None)
    config = Config()
    config.HTMLExporter.mathjax_url = ""
    config.HTMLExporter.require_js_url = ""
    config.HTMLExporter.jquery_url = ""
    config.HTMLExporter.mermaid_js_url = ""
    config.HTMLExporter.widget_renderer_url = ""
    config.HTMLExporter.embed_images = True
    body, _ = HTMLExporter(config=config).from_notebook_node(node)
    body = re.sub(r"<script\b[^>]*\bsrc=\"[^\"]*\"[^>]*>\s*</script>", "", body)
    body = re.sub(r"<script type=\"module\">.*?</script>", "", body, flags=re.DOTALL)
    count = 0

    def place(match: re.Match) -> str:
        nonlocal count
        count += 1
        data = base64.b64decode(match[1]).decode()
        return f'<div id="sl-{count}"></div><script>replay(document.getElementById("sl-{count}"),{data});</script>'

    body = _PLACE.sub(place, body)
    body = body.replace("</head>", _scripts() + "</head>", 1)
    Path(page).write_text(body, encoding="utf-8")
    return Path(page)
