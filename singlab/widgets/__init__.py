"""Live views on traces. Python here, plain ES modules in ``js/``; nothing is fetched from a network."""

from importlib import import_module

_HOME = {"LiveView": "liveview", "replay_html": "export", "export_notebook": "export"}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
