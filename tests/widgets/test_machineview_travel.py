"""The machine view moved by real time travel, and what it shows of the control and status registers."""

from __future__ import annotations

import pytest

from singlab.machine import Machine, view
from singlab.machine import state as s
from singlab.machine.asm import assemble
from singlab.widgets import MachineView
from tests.widgets.test_machineview import BASE, PROGRAM, FrontEnd, sent

__all__ = ["sent"]  # a fixture


@pytest.fixture
def views() -> view.Views:
    made = Machine(profile="teaching", ram="256K")
    code = assemble(PROGRAM, BASE)
    made.write(BASE, code.code)
    return view.Views(made, symbols=code.labels)


def test_a_move_that_went_where_it_should_needs_no_word(views):
    shown = MachineView(views)
    for move in (lambda: shown.step(40), lambda: shown.run_to("loop"), lambda: shown.back(3), shown.reset):
        move()
        assert shown._status()["reason"] == ""
    views.machine.write(BASE, assemble("wfi", BASE).code)
    shown.step(2)
    assert "waits" in shown._status()["reason"]


def test_only_some_control_and_status_registers(views):
    html = MachineView(views, opened=["csrs"], csrs=["sepc", "scause"]).panes["csrs"]["html"]
    assert "sepc" in html and "scause" in html and "mstatus" not in html
    assert "mstatus" in MachineView(views, opened=["csrs"]).panes["csrs"]["html"]
    with pytest.raises(ValueError, match="there is no CSR 'cause'"):
        MachineView(views, csrs=["cause"])


# ---- several harts ---------------------------------------------------------------------------------------------


def test_harts_take_turns_and_one_can_be_held_in_sight(sent):
    made = Machine(profile="teaching", ram="256K", harts=3, seed=2)
    code = assemble(PROGRAM, BASE)
    made.write(BASE, code.code)
    shown = MachineView(view.Views(made, symbols=code.labels), opened=("registers", "caches"))
    page = FrontEnd(shown)
    assert page.status["harts"] == 3 and page.status["hart"] == 0
    harts = set()
    for _ in range(40):
        shown.step(20)
        page.take(sent)
        harts.add(page.status["hart"])
        assert page.status["hart"] == int(made.m[s.HART])
    assert harts == {0, 1, 2}, "each is seen when it goes on"
    shown._message(shown, {"type": "look", "hart": "2"}, [])
    page.take(sent)
    assert page.status["hart"] == 2
    before = shown._views.registers().instructions
    shown.step(3000)
    page.take(sent)
    assert page.status["hart"] == 2 and shown._views.registers().instructions > before
    shown._message(shown, {"type": "look", "hart": "7"}, [])
    assert shown.look["hart"] == "2", "there is no hart 7"
    shown.reset()
    page.take(sent)
    assert made.retired == 0
