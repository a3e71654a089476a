"""The basic operations: what must hold of any measurement, whatever the figures."""

from __future__ import annotations

import pandas as pd
import pytest

from singlab.experiments import basic_operations
from singlab.experiments.datasets import load_dataset

FEW = ("abi_call", "process_id", "ping_pong", "create_process")
SETTINGS = ("sip", "pages", "domain", "ring3-domains")


@pytest.fixture(scope="module")
def frame():
    return basic_operations.measure(SETTINGS, FEW, iterations=20, batches=3, progress=False)


def cycles(frame, operation, isolation) -> float:
    return frame.query("operation == @operation and isolation == @isolation")["cycles"].item()


def test_the_table_is_tidy(frame):
    assert list(frame.columns) == ["operation", "isolation", "cycles", "least", "most", "batches", "iterations", "profile"]
    assert len(frame) == len(SETTINGS) * len(FEW) and not frame.isna().any().any()
    assert ((frame["least"] <= frame["cycles"]) & (frame["cycles"] <= frame["most"])).all() and (frame["cycles"] > 0).all()


def test_it_is_reproducible(frame):
    pd.testing.assert_frame_equal(frame, basic_operations.measure(SETTINGS, FEW, iterations=20, batches=3, progress=False))


def test_each_rung_costs_what_it_adds(frame):
    """A trap costs more than a call; the number of a process is no call in ring 0; pages and rings show in a message."""
    assert cycles(frame, "abi_call", "ring3-domains") > cycles(frame, "abi_call", "sip") + 100
    assert cycles(frame, "process_id", "sip") < 5 < cycles(frame, "abi_call", "sip")
    assert cycles(frame, "process_id", "ring3-domains") > 100
    ladder = [cycles(frame, "ping_pong", isolation) for isolation in SETTINGS]
    assert ladder[0] < min(ladder[1:]) and ladder[-1] > max(ladder[:-1])
    assert cycles(frame, "create_process", "domain") > cycles(frame, "create_process", "sip")


@pytest.mark.parametrize("operation", ["yield", "thread_switch", "block_ping_pong", "page_ping_pong", "allocate", "allocate_page",
                                       "thread_ping_pong", "set_ping_pong", "create_thread", "create_channel"])  # fmt: skip
def test_the_other_operations_are_measured_too(operation):
    found = basic_operations.measure(("sip", "ring3-domains"), (operation,), iterations=10, batches=2, progress=False)
    assert (found["cycles"] > 0).all() and len(found) == 2


def test_the_papers_figures_stand_beside_ours_with_the_error(frame):
    table = basic_operations.comparison(frame)
    theirs = load_dataset("isolation_ladder.csv").set_index("operation")
    # the paper has no ABI call for HIP-R0
    assert len(table) == 3 + 4 + 4 and set(table["operation"]) == {"abi_call", "ping_pong", "create_process"}
    for row in table.itertuples():
        assert row.paper == theirs.loc[basic_operations.PAPER_ROWS[row.operation], row[3]]
        assert row.ratio == pytest.approx(row.cycles / row.paper, abs=0.01)
    relative = basic_operations.relative(frame)
    assert (relative["sip"] == 1).all() and relative.loc["abi_call", "ring3-domains"] > 1


def test_the_plot_draws_both(frame):
    figure = basic_operations.plot(frame)
    drawn = {axes.get_title(loc="left"): axes for axes in figure.axes}
    axes = drawn[basic_operations.OPERATIONS["ping_pong"]]
    assert [bar.get_width() for bar in axes.patches] == [cycles(frame, "ping_pong", isolation) for isolation in SETTINGS]
    paper = next(line for line in axes.get_lines() if line.get_label() == "paper")
    assert sorted(paper.get_xdata()) == [1041, 1415, 1826, 2580]
    assert any("%" in text.get_text() for text in axes.texts)


def test_what_is_not_known_is_named():
    with pytest.raises(ValueError, match="ring7"):
        basic_operations.measure(("ring7",))
    with pytest.raises(ValueError, match="sip"):
        basic_operations.relative(basic_operations.measure(("pages",), ("abi_call",), iterations=2, batches=1, progress=False))
