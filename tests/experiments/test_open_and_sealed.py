"""Each invariant: the open system breaks it, and every attempt on the sealed one is answered."""

from __future__ import annotations

import pytest

from singlab.experiments import open_and_sealed as experiment
from singlab.experiments.open_and_sealed import INVARIANTS, SCENARIOS, Scenario, overview

QUICK = {"profile": "untimed"}


@pytest.fixture(scope="module")
def scenarios() -> dict[str, Scenario]:
    return {name: scenario(**QUICK, **({"turns": 1000, "quantum_us": 2} if name == "explicit communication" else {}))
            for name, scenario in SCENARIOS.items()}  # fmt: skip


@pytest.mark.parametrize("name", INVARIANTS)
def test_open_systems_break_it_and_sealed_ones_do_not(scenarios, name):
    rows = scenarios[name].rows
    assert sum(row.system == "open" for row in rows) >= 1 and sum(row.system == "sealed" for row in rows) >= 2
    for row in rows:
        assert row.broken == (row.system == "open"), row


def test_who_answers(scenarios):
    """Every guard has its part: compiler, installer, loader, kernel, hardware."""
    answers = " ".join(row.answer for scenario in scenarios.values() for row in scenario.rows)
    for words in ("the compiler refuses it", "the installer refuses it", "the loader refuses it", 'the kernel answers "not the owner"',
                  'the kernel answers "bad argument"', "it ends with a fault", "rule owner.use-after-send", "an indirect jump that is no return",
                  "not in the ABI", "the seal is broken", "index out of bounds (line"):  # fmt: skip
        assert words in answers, words


def test_an_attempt_that_nobody_refuses_is_told_as_such():
    found = Scenario("fixed code")
    found.refused("nothing", lambda: None)
    assert found.rows[0].broken and found.rows[0].answer == "nobody refused it"


def test_a_scenario_shows_itself(scenarios):
    one = scenarios["state isolation"]
    assert "Invariant: state isolation" in str(one) and "broken" in str(one)
    page = one._repr_html_()
    assert "<table" in page and "the till held 1000 and holds 1010" in page
    frame = one.frame()
    assert list(frame.columns) == ["system", "attempt", "answer", "broken"] and len(frame) == len(one.rows)


def test_overview_counts(scenarios):
    table = overview(list(scenarios.values()))
    assert set(table.loc[(slice(None), "sealed"), "broke it"]) == {0}
    opened = table.loc[(slice(None), "open"), :]
    assert (opened["attempts"] == opened["broke it"]).all() and len(opened) == 4


def test_hand_made_images_are_what_they_say():
    image = experiment.hand_made("m", "li a0, 5\nabi exit")
    assert not image.manifest.verified and len(image.manifest.relocations) == 1
    assert experiment.hand_made("m", "li a0, 5\nabi exit", verified=True).manifest.verified
