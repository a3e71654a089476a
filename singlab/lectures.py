"""Where lectures, exercises and data sets lie.

In a checkout that is the checkout itself. An installed package carries a copy, which is laid out in a
folder of the student's choice; a file that is there already is never overwritten.
"""

from __future__ import annotations

import shutil
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PACKAGED = PACKAGE / "course"
PARTS = ("notebooks", "exercises", "datasets")
FIRST_LECTURE = Path("notebooks") / "00_tour.ipynb"


def checkout() -> Path | None:
    """Return the checkout this package runs from, or None if it is installed."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / FIRST_LECTURE).is_file() else None


def source() -> Path:
    """Return the folder to read lectures from: the checkout, or the installed copy."""
    return checkout() or PACKAGED


def lay_out(folder: Path) -> list[Path]:
    """Copy the course into a folder and return what was new; what is there already stays as it is."""
    copied = []
    for part in PARTS:
        for file in sorted((source() / part).rglob("*")):
            target = folder / part / file.relative_to(source() / part)
            if file.is_file() and ".ipynb_checkpoints" not in file.parts and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                copied.append(target)
    return copied


def working_folder(folder: Path | None) -> Path:
    """Return the folder to work in: the one named (laid out if need be), the checkout, or ``singlab-course`` here."""
    if folder is None:
        if (root := checkout()) is not None:
            return root
        folder = Path("singlab-course")
    lay_out(folder)
    return folder
