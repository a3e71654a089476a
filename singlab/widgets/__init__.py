"""Live views on traces, on heaps and on the machine, and a console for booted boards. Python here, plain ES modules in ``js/``; nothing is fetched."""

from singlab.lazy import lazy_names

_HOME = {
    "Console": "console", "HeapView": "heapview", "LiveView": "liveview", "MachineView": "machineview", "replay_html": "export",
    "export_notebook": "export",
}  # fmt: skip
__all__ = sorted(_HOME)
__getattr__ = lazy_names(__name__, _HOME)
