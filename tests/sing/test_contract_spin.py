"""Contracts against the model checker Spin: the same verdict on deadlock, and on how many slots are enough."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess

import pytest
from test_contract_explorer import CROSSING, DOUBLING, ENDLESS, GUESSING
from test_contract_slots import reachable
from test_contracts import CARD

from singlab.sing import SipError, contract, explore_contract, promela

SIDES = ("Imp", "Exp")
#: Places of the channels of ill-formed contracts.
CAPACITY = 3


@pytest.fixture(scope="module", autouse=True)
def spin():
    """Spin and a C compiler; without them, fail where CI is set and skip loudly elsewhere."""
    missing = [name for name in ("spin", "gcc") if shutil.which(name) is None]
    if missing:
        message = f"no {' and no '.join(missing)} on this computer: the comparison with Spin has NOT been run; install {' '.join(missing)}"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(message)
        pytest.skip(message)


class Checked:
    """A model compiled by Spin and gcc, to be searched for one kind of error at a time."""

    def __init__(self, model: str, folder):
        self.folder = folder
        (folder / "model.pml").write_text(model)
        for command in (["spin", "-a", "model.pml"], ["gcc", "-O0", "-w", "-DSAFETY", "-DMEMLIM=256", "-o", "pan", "pan.c"]):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and "rror" not in done.stdout, done.stdout + done.stderr + model

    def search(self, *options: str) -> str | None:
        """Return what Spin finds wrong, or None."""
        done = subprocess.run(["./pan", *options, "-m100000", "-w18"], cwd=self.folder, capture_output=True, text=True, timeout=60)
        count = re.search(r"errors: (\d+)", done.stdout)
        assert count and "max search depth" not in done.stdout, done.stdout + done.stderr
        if count[1] == "0":
            return None
        return re.search(r"^pan:\d+: (.*?)(?: \(at depth|$)", done.stdout, re.MULTILINE)[1]

    def too_many(self) -> bool:
        found = self.search("-E")
        assert found is None or found.startswith("assertion violated"), found
        return found is not None

    def deadlock(self) -> bool:
        found = self.search("-A", "-q")
        assert found is None or found.startswith("invalid end state"), found
        return found is not None


def generated(seed: int, rules: bool) -> str:
    """Return the text of a contract all of whose states can be reached; it keeps turns if ``rules``."""
    dice = random.Random(seed)
    while True:
        count = dice.randint(3, 6)
        steps = []
        for _ in range(count):
            mark = dice.choice("?!")
            names = [name for name in ("A?", "B?", "D?", "X!", "Y!", "Z!") if name[1] == mark or not rules and dice.random() < 0.25]
            chosen = dice.sample(names, min(len(names), dice.choice((0, 1, 1, 2, 2))))
            steps.append({name: dice.randrange(count) for name in chosen})
        if len(reachable(steps)) == count:
            break
    messages = " ".join(f"{'in' if mark == '?' else 'out'} message {name}();" for name, mark in ("A?", "B?", "D?", "X!", "Y!", "Z!"))
    states = "\n".join(f"  state S{s}: one {{ " + " ".join(f"{n} -> S{t};" for n, t in step.items()) + " }" for s, step in enumerate(steps))
    return f"contract C {{\n  {messages}\n{states}\n}}"


def well_formed(count: int, first: int = 0) -> list[str]:
    """Return so many generated contracts that are accepted and in which something can wait."""
    found = []
    seed = first
    while len(found) < count:
        text = generated(seed, rules=True)
        seed += 1
        try:
            spoken = contract(text)
        except SipError as error:
            assert error.rule == "contract.finite", str(error)
            continue
        if sum(spoken.slots.values()) > 2:
            found.append(text)
    return found


def compare_good(text: str, folder) -> None:
    """Hold an accepted contract's slots and copies against Spin: they suffice, and one less does not."""
    spoken = contract(text)
    enough = Checked(promela(spoken, copies={n: k for n, k in spoken.copies.items() if k}), folder)
    assert not enough.too_many() and not enough.deadlock()
    found = explore_contract(spoken)
    for side in SIDES:
        if found.waiting[side]:
            fewer = {**spoken.slots, side: found.waiting[side] - 1}
            assert Checked(promela(spoken, slots=fewer), folder).too_many()
    most = max(spoken.copies, key=spoken.copies.get)
    assert Checked(promela(spoken, copies={most: spoken.copies[most] - 1}), folder).too_many()


def compare_bad(text: str, folder) -> tuple[bool, bool]:
    """Hold the explorer's verdicts about any contract against Spin's; returns them."""
    found = explore_contract(text, capacity=CAPACITY)
    too_many = any(most is None or most > CAPACITY for most in found.waiting.values())
    checked = Checked(promela(text, slots=dict.fromkeys(SIDES, CAPACITY)), folder)
    assert checked.too_many() == too_many, text
    assert checked.deadlock() == bool(found.deadlocks), text
    return too_many, bool(found.deadlocks)


def test_the_driver_of_the_papers(tmp_path):
    compare_good(CARD, tmp_path)


@pytest.mark.parametrize("text", well_formed(5), ids=range(5))
def test_slots_of_generated_contracts(text, tmp_path):
    compare_good(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [(ENDLESS, (True, False)), (CROSSING, (False, True)), (GUESSING, (False, True)), (DOUBLING, (True, False))],
    ids=["endless", "crossing", "guessing", "doubling"],
)
def test_each_kind_of_fault(text, verdict, tmp_path):
    assert compare_bad(text, tmp_path) == verdict


@pytest.mark.parametrize("seed", range(6))
def test_generated_contracts_that_keep_no_rule(seed, tmp_path):
    compare_bad(generated(seed, rules=False), tmp_path)


@pytest.mark.slow
def test_many_slots(tmp_path):
    for text in well_formed(60, first=10_000):
        compare_good(text, tmp_path)


@pytest.mark.slow
def test_many_that_keep_no_rule(tmp_path):
    verdicts = {compare_bad(generated(seed, rules=bool(seed % 2)), tmp_path) for seed in range(20_000, 20_200)}
    assert verdicts == {(a, b) for a in (False, True) for b in (False, True)}, "every combination has been met"


def test_a_wrong_bound_would_be_noticed(tmp_path):
    """The comparison can fail: a contract that claims one copy too few is not believed."""
    spoken = contract(CARD)
    assert Checked(promela(spoken, slots={**spoken.slots, "Exp": spoken.slots["Exp"] - 1}), tmp_path).too_many()
    assert Checked(promela(spoken, copies={"Listen": 0}), tmp_path).too_many()
