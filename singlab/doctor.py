"""A look at the computer: what the lab needs, what it found, what to do."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

#: Packages the lab needs to run, and those only some commands need.
NEEDED = ("numpy", "numba", "pandas", "matplotlib", "jupyterlab", "ipykernel", "ipywidgets", "anywidget", "dask", "distributed", "lark", "nbclient")
EXTRA = {"nbgrader": "only to make exercises from solutions", "playwright": "only for the browser tests"}
_NEEDED_BYTES = 300 << 20


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``verdict`` is "good", "note" (works without) or "bad"."""

    verdict: str
    what: str
    found: str
    advice: str = ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def chromium() -> str | None:
    """Return the path of a Chromium or Chrome on this computer."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    return str(mac) if mac.is_file() else None


def checkup() -> list[Finding]:
    """Return what there is to say about this computer."""
    python = platform.python_version()
    findings = [Finding("good" if sys.version_info >= (3, 11) else "bad", "Python", python, "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer")]  # fmt: skip
    for name in NEEDED:
        version = _version(name)
        findings.append(Finding("good", name, version) if version else Finding("bad", name, "missing", f"pip install {name}"))
    for name, purpose in EXTRA.items():
        version = _version(name)
        findings.append(Finding("good", name, version) if version else Finding("note", name, "missing", purpose))
    if _version("numba"):
        from singlab.machine.jit import CACHE
        from singlab.warmup import is_warm

        state = "compiled" if is_warm() else "not compiled yet"
        findings.append(Finding("good" if is_warm() else "note", "cache", f"{CACHE} ({state})", "" if is_warm() else "run: singlab warm"))  # fmt: skip
        free = shutil.disk_usage(CACHE).free
        if free < _NEEDED_BYTES:
            findings.append(Finding("bad", "disk", f"{free >> 20} MB free", "make room; the lab keeps its compiled code there"))
    from singlab.cli import has_browser

    findings.append(Finding("good", "browser", "found") if has_browser() else Finding("note", "browser", "none", "use: singlab lab --no-browser"))  # fmt: skip
    tests = chromium()
    findings.append(Finding("good", "Chromium", tests) if tests else Finding("note", "Chromium", "none", "only for the browser tests"))  # fmt: skip
    return findings
