"""A C program of four harts, built with a stock compiler: the same here, for any seed, as on QEMU."""

from __future__ import annotations

import json

import pytest
from guestbuild import built
from typer.testing import CliRunner
from witness import needs_qemu, on_qemu

from singlab.cli import app
from singlab.machine import Board, TimeTravel

EXPECTED = """\
spin lock      1200
ticket lock    1200
amoadd         179400
pushed         1200
their sum      719400
not more than  1
squares        333283335000
calls          16
calls          16
calls          16
calls          16
alarms         1
alarms         1
alarms         1
alarms         1
tree           1
"""


@pytest.mark.parametrize("profile", ["athlon64", "untimed", "modern"])
@pytest.mark.parametrize("seed", range(5))
def test_any_interleaving_prints_the_same(seed, profile):
    board = Board(profile=profile, ram="16M", harts=4, seed=seed)
    board.load(built("smp", "smpstart.S"))
    ended = board.run(cycles=200_000_000)
    assert (ended.reason, ended.code, board.printed.decode()) == ("exit", 0, EXPECTED)


@needs_qemu
def test_qemu_prints_it_too(tmp_path):
    assert on_qemu(built("smp", "smpstart.S").read_bytes(), tmp_path, "-smp", "4").decode() == EXPECTED


def test_the_command_line_knows_harts():
    run = CliRunner().invoke(app, ["run", str(built("smp", "smpstart.S")), "--harts", "4", "--seed", "3", "--json"])
    found = json.loads(run.stdout)
    assert run.exit_code == 0 and found["output"] == EXPECTED
    assert [h["instructions"] > 10_000 for h in found["harts"]] == [True] * 4
    assert found["instructions"] == sum(h["instructions"] for h in found["harts"])
    assert found["cycles"] == max(h["cycles"] for h in found["harts"])
    wrong = CliRunner().invoke(app, ["run", str(built("smp", "smpstart.S")), "--harts", "9"])
    assert wrong.exit_code == 1 and "1 to 4 harts" in wrong.output


def test_back_in_time_with_four_harts():
    board = Board(profile="athlon64", ram="16M", harts=4, seed=1)
    board.load(built("smp", "smpstart.S"))
    travel = TimeTravel(board)
    travel.goto(150_000)
    there = board.machine.m.copy()
    while travel.step(1_000_000) == "here":
        pass
    assert board.printed.decode() == EXPECTED
    travel.goto(150_000)
    assert board.printed == b"" and (board.machine.m == there).all()
