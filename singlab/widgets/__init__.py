"""Live views on traces and on the machine. Python here, plain ES modules in ``js/``; nothing is fetched from a network."""

from singlab.lazy import lazy_names

_HOME = {"LiveView": "liveview", "MachineView": "machineview", "replay_html": "export", "export_notebook": "export"}
__all__ = sorted(_HOME)
__getattr__ = lazy_names(__name__, _HOME)
