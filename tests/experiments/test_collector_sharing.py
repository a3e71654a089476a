"""One heap or several: who is stopped follows from whose heap it is, and SIPs' times add up."""

from __future__ import annotations

import pytest

from singlab.experiments import collector_sharing as sharing
from singlab.experiments.collector_plots import total_share
from singlab.experiments.datasets import load_dataset
from singlab.machine.jit import DISABLED

pytestmark = pytest.mark.skipif(DISABLED, reason="long runs")
SMALL = {"live": 1500, "garbage": 6000, "room": 72 << 10}


def test_a_shared_heap_stops_everybody():
    found = sharing.sharing((1, 3), **SMALL, workers=1, progress=False)
    frame = found.frame().set_index(["arrangement", "programs"])
    shared, own = frame.loc[(sharing.SHARED, 3)], frame.loc[(sharing.OWN, 3)]
    assert shared["stopped"] > 2 * shared["collecting"], "nearly always all three"
    assert own["stopped"] == own["collecting"], "always the one whose heap it is"
    assert shared["longest"] > 2 * own["longest"]
    assert own["longest"] < 1.5 * frame.loc[(sharing.OWN, 1), "longest"], "others' data are not in it"
    assert len(found.plot().axes) == 3


def test_stops_are_the_same_moments_or_different_ones():
    frame = sharing.stops(3, **SMALL).frame()
    shared, own = (frame[frame["arrangement"] == name] for name in (sharing.SHARED, sharing.OWN))
    assert shared.groupby("cycle")["program"].count().iloc[0] == 3, "all of them, as long as none has ended"
    assert (own.groupby("cycle")["program"].count() == 1).all() and set(own["program"]) == {1, 2, 3}
    assert len(sharing.stops(2, **SMALL).plot().axes) == 2


def test_each_sip_has_its_share():
    found = sharing.shares({name: "semispace" if name != "strings" else "marksweep" for name in sharing.workloads()}, "small")
    frame = found.frame()
    assert frame["CPU %"].sum() == pytest.approx(100) and frame["GC % of its time"].between(0, 100).all()
    assert frame.set_index("SIP").loc["strings", "collector"] == "marksweep" and len(frame) == 8
    assert total_share(frame) == pytest.approx((frame["CPU %"] * frame["GC % of its time"]).sum() / 100)
    labels = [label.get_text() for label in found.plot().axes[0].get_yticklabels()]
    assert sum(label.startswith("paper: ") for label in labels) == len(load_dataset("gc_share.csv")) == 6
    assert not any(label.startswith("paper") for label in (t.get_text() for t in found.plot(papers=False).axes[0].get_yticklabels()))
