"""The papers' own figures, as data frames.

The files lie in ``datasets/`` of a checkout and inside the installed package; each is described in
``datasets/README.md``.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGED = Path(__file__).resolve().parent.parent / "course" / "datasets"
_CHECKOUT = Path(__file__).resolve().parent.parent.parent / "datasets"


def dataset_path(name: str) -> Path:
    """Return the path of a data set, such as "message_size.csv"; raises FileNotFoundError naming those there are."""
    for folder in (_PACKAGED, _CHECKOUT):
        if (folder / name).is_file():
            return folder / name
    there = sorted({p.name for folder in (_PACKAGED, _CHECKOUT) if folder.is_dir() for p in folder.glob("*.csv")})
    raise FileNotFoundError(f"there is no data set {name!r}; there are: {', '.join(there) or 'none'}")


def load_dataset(name: str):
    """Return a data set as a pandas DataFrame."""
    import pandas as pd

    return pd.read_csv(dataset_path(name))
