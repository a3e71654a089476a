"""Open operations: what is measured is a cost, comes with its spread, and stands beside what the papers measured."""

from __future__ import annotations

import pytest

from singlab.experiments import open_operations
from singlab.experiments.open_operations import OPERATIONS, comparison, measure, plot, plot_sizes, size_comparison, sweep

FEW = {"iterations": 10, "batches": 2, "progress": False}


@pytest.fixture(scope="module")
def frame():
    return measure(sealed=("sip",), **FEW)


def test_there_is_a_row_a_point(frame):
    opened = frame[frame["system"] == "open"]
    assert list(opened["operation"]) == list(OPERATIONS)
    assert set(frame[frame["system"] == "sealed, sip"]["operation"]) == {"system_call", "yield", "ping_pong", "create_process"}
    assert (frame["cycles"] > 0).all() and (frame["least"] <= frame["cycles"]).all() and (frame["cycles"] <= frame["most"]).all()


def test_what_does_more_costs_more(frame):
    cycles = frame[frame["system"] == "open"].set_index("operation")["cycles"]
    sealed = frame[frame["system"] == "sealed, sip"].set_index("operation")["cycles"]
    assert cycles["system_call"] < cycles["ping_pong_pipe"] < cycles["fork"] < cycles["create_process"]
    assert sealed["system_call"] < cycles["system_call"] and sealed["ping_pong"] < cycles["ping_pong_pipe"]


def test_the_comparison_is_with_the_papers(frame):
    table = comparison(frame)
    linux = table[(table["paper's system"] == "Linux 2.6.11") & (table["operation"] == "system_call")].iloc[0]
    assert linux["paper"] == 437 and linux["ratio"] == pytest.approx(linux["cycles"] / 437, abs=0.01)
    assert linux["error %"] == pytest.approx(100 * (linux["cycles"] / 437 - 1), abs=0.01)
    sealed = table[table["system"] == "sealed, sip"]
    assert set(sealed["paper's system"]) == {"Singularity"} and "create_process" not in set(sealed["operation"])
    assert not (table["operation"] == "fork").any()


def test_copying_at_once_costs_more_where_nothing_is_written():
    lazy, eager = (measure(("fork", "create_process"), (), fork=fork, **FEW).set_index("operation")["cycles"] for fork in ("on write", "at once"))
    assert (eager > lazy).all()


def test_larger_messages_cost_more_and_channels_do_not():
    from singlab.experiments import message_size

    sizes = (4, 1024, 16384)
    opened = sweep(sizes, progress=False)  # fewer rounds would measure cold caches
    sealed = message_size.sweep(sizes, ("ownership",), rounds=4, progress=False)
    table = size_comparison(opened, sealed)
    for way in ("pipe", "socket"):
        assert table[way].is_monotonic_increasing and table.loc[16384, way] > 3 * table.loc[4, way]
    assert table.loc[16384, "channel"] < 1.5 * table.loc[4, "channel"]
    assert table.loc[4, "paper: Linux"] == 5544
    axes = plot_sizes(opened, sealed).axes[0]
    assert len(axes.get_lines()) == 6


def test_the_plot_has_ours_and_theirs(frame):
    figure = plot(frame)
    assert len(figure.axes) == 4
    assert [len(axes.get_lines()) for axes in figure.axes] == [7, 7, 7, 5]  # EuroSys 2006 made no processes
    assert all(not axes.get_lines() for axes in plot(frame, papers=False).axes)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="not known"):
        measure(("teleport",), (), **FEW)
    with pytest.raises(ValueError, match="not known"):
        sweep((4,), ("pigeon",), progress=False)


def test_a_measuring_process_that_fails_is_an_error(monkeypatch):
    from singlab.kernel import OpenProgram

    images = open_operations.programs()
    images["idle"] = OpenProgram.from_assembly("other", "li a7, 0\necall")
    with pytest.raises(RuntimeError, match="did not finish"):
        open_operations._batches({**images, "forks": OpenProgram.from_assembly("forks", "ld a0, 0(zero)", parameters=("batches", "iterations"))},
                                 "forks", 1, 1, {})  # fmt: skip
