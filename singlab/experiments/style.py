"""How the lab's plots look: one place for sizes, colours and the difference between ours and theirs.

Ours are solid lines with filled markers; figures from a paper are dashed with hollow ones, always
labelled with the paper. Colours are the Okabe-Ito set, which colour-blind readers can tell apart.
"""

from __future__ import annotations

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#6B7280"

OURS = {"linestyle": "-", "marker": "o", "linewidth": 2.2, "markersize": 6}
THEIRS = {"linestyle": (0, (4, 3)), "marker": "o", "markerfacecolor": "none", "linewidth": 1.2, "markersize": 5}


def new_axes(width: float = 8.0, height: float = 4.8):
    """Return a fresh figure and axes in the lab's style; readable when projected."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="#E5E7EB", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=11)
    return figure, axes


def bytes_label(size: float, _position=None) -> str:
    """Return a size in bytes as a short label: 64 B, 4 KB, 1 MB."""
    if size >= 1 << 20:
        return f"{size / (1 << 20):g} MB"
    return f"{size / 1024:g} KB" if size >= 1024 else f"{size:g} B"
