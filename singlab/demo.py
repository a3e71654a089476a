"""The demonstration: lecture 00 run without a browser, as HTML with working replays, and its plots."""

from __future__ import annotations

import base64
from pathlib import Path

from singlab.lectures import FIRST_LECTURE, source

#: Seconds a single cell may take.
_CELL_SECONDS = 300


def execute(notebook: Path, progress: bool = True):
    """Run a notebook's cells in a fresh kernel and return it with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails that is not meant to.
    """
    import nbformat
    from nbclient import NotebookClient
    from rich.progress import Progress

    node = nbformat.read(notebook, as_version=4)
    client = NotebookClient(node, timeout=_CELL_SECONDS, kernel_name="python3", extra_arguments=["--log-level=ERROR"], resources={"metadata": {"path": str(notebook.parent)}})  # fmt: skip
    with Progress(disable=not progress) as bar:
        task = bar.add_task(f"Running {notebook.name}", total=len(node.cells))
        with client.setup_kernel():
            for index, cell in enumerate(node.cells):
                client.execute_cell(cell, index)
                bar.update(task, advance=1)
            client.set_widgets_metadata()
    return node


def plots(node) -> list[bytes]:
    """Return the pictures (PNG) in a notebook's outputs."""
    found = []
    for cell in node.cells:
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture:
                found.append(base64.b64decode(picture))
    return found


def run_demo(out: Path, progress: bool = True) -> list[Path]:
    """Run lecture 00 and write ``00_tour.html`` and ``00_tour_plot_N.png`` into a folder; returns the paths."""
    import nbformat

    from singlab.widgets import export_notebook

    out.mkdir(parents=True, exist_ok=True)
    lecture = source() / FIRST_LECTURE
    node = execute(lecture, progress)
    executed = out / lecture.name
    nbformat.write(node, executed)
    written = [executed, export_notebook(executed, executed.with_suffix(".html"))]
    for number, picture in enumerate(plots(node), 1):
        path = out / f"{lecture.stem}_plot_{number}.png"
        path.write_bytes(picture)
        written.append(path)
    return written
