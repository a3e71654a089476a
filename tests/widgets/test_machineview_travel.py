"""The machine view moved by real time travel, and what it shows of the control and status registers."""

from __future__ import annotations

import pytest

from singlab.machine import Machine, view
from singlab.machine.asm import assemble
from singlab.widgets import MachineView
from tests.widgets.test_machineview import BASE, PROGRAM


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
