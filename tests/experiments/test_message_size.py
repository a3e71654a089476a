"""The message size experiment: what must hold of any measurement, whatever the figures."""

from __future__ import annotations

import pandas as pd
import pytest

from singlab.experiments import message_size
from singlab.experiments.datasets import dataset_path, load_dataset
from singlab.kernel.isolation import SETTINGS

SMALL = (4, 256, 4096)


@pytest.fixture(scope="module")
def frame():
    return message_size.sweep(SMALL, rounds=6, progress=False)


def test_the_table_is_tidy(frame):
    assert list(frame.columns) == ["bytes", "mode", "cycles", "profile", "isolation"]
    assert len(frame) == len(SMALL) * 2 and not frame.isna().any().any()
    assert set(frame["mode"]) == {"ownership", "copy"}


def test_ownership_does_not_depend_on_the_size(frame):
    cycles = frame[frame["mode"] == "ownership"]["cycles"]
    assert cycles.max() - cycles.min() < 0.05 * cycles.min()


def test_copying_costs_at_least_a_cycle_for_eight_bytes_each_way(frame):
    copied = frame[frame["mode"] == "copy"].set_index("bytes")["cycles"]
    owned = frame[frame["mode"] == "ownership"].set_index("bytes")["cycles"]
    assert copied.is_monotonic_increasing
    for size in SMALL:
        assert copied[size] - owned[size] >= 2 * size / 8


def test_it_is_reproducible(frame):
    pd.testing.assert_frame_equal(frame, message_size.sweep(SMALL, rounds=6, progress=False))


def test_other_machines_and_isolation_give_other_costs_of_the_same_shape():
    """Every cost comes from the machine: another profile, or ring 3, changes it."""
    here = message_size.round_trip(64, "ownership", rounds=6)
    assert message_size.round_trip(64, "ownership", rounds=6, profile="teaching") != here
    assert message_size.round_trip(64, "ownership", rounds=6, isolation="ring3") > here


def test_every_isolation_setting_can_be_swept_and_shows_where_blocks_are_remapped():
    """Small blocks cross a domain's border by copying, large ones by changing page tables: the cost falls where it turns."""
    sizes = (1024, 2048, 4096, 16384)
    frame = message_size.sweep(sizes, ("ownership",), rounds=4, progress=False, isolation=tuple(SETTINGS))
    assert set(frame["isolation"]) == set(SETTINGS) and len(frame) == len(sizes) * len(SETTINGS)
    crossing = frame[frame["isolation"] == "ring3-domains"].set_index("bytes")["cycles"]
    assert crossing[1024] < crossing[2048] and crossing[4096] < crossing[2048]
    figure = message_size.plot(frame)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert sum("singlab" in label for label in labels) == len(SETTINGS)
    with pytest.raises(ValueError, match="several"):
        message_size.comparison(frame)


def test_the_papers_figures_are_drawn_as_theirs(frame):
    figure = message_size.plot(frame)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert sum(label.startswith("paper:") for label in labels) == 3
    assert sum(label.startswith("singlab:") for label in labels) == 2
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    drawn = list(lines["paper: Singularity"].get_ydata())
    theirs = load_dataset("message_size.csv").query("system == 'Singularity'")["cycles"].tolist()
    assert drawn == theirs
    assert list(lines["singlab: block is copied"].get_ydata()) == frame[frame["mode"] == "copy"]["cycles"].tolist()


def test_the_comparison_holds_both_and_the_ratio(frame):
    table = message_size.comparison(frame)
    assert {"ownership", "copy", "copy / ownership", "paper: Singularity", "paper: Linux"} <= set(table.columns)
    assert (table["copy / ownership"].dropna() >= 1).all()


def test_a_data_set_that_is_not_there_names_those_that_are():
    with pytest.raises(FileNotFoundError, match=r"message_size\.csv"):
        dataset_path("weather.csv")


def test_the_datasets_are_described():
    text = dataset_path("README.md").read_text(encoding="utf-8")
    for path in dataset_path("README.md").parent.glob("*.csv"):
        assert path.name in text
        assert not pd.read_csv(path).empty
