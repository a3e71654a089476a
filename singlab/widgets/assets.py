"""The front end's files: plain scripts, joined here in order. No build step, nothing fetched."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_JS = Path(__file__).parent / "js"


@cache
def script(*names: str) -> str:
    """Return the named scripts joined into one module; each may use what the ones before it declare."""
    return "\n".join((_JS / f"{name}.js").read_text(encoding="utf-8") for name in names)


@cache
def style(*names: str) -> str:
    """Return the style sheet of the live view, and the named ones behind it."""
    return "\n".join((_JS / f"{name}.css").read_text(encoding="utf-8") for name in ("view", *names))
