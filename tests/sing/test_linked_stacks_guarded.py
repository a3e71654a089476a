"""Linked stacks, looked at access by access: no access leaves them, and objects move under frames of many segments."""

from __future__ import annotations

import pytest
from guard import run_guarded
from stress import run_moving
from test_linked_stacks import CALLS, OBJECTS

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import audit
from singlab.machine.jit import DISABLED
from singlab.sing import build, programs_from_source

pytestmark = pytest.mark.skipif(DISABLED, reason="one instruction at a time: too slow uncompiled")


@pytest.mark.parametrize("optimiser", [True, False])
@pytest.mark.parametrize("isolation", ["sip", "ring3"])
def test_objects_move_under_frames_of_many_segments(isolation, optimiser):
    system = System(isolation=isolation, ram="8M", trace=False)
    process = system.create(build(programs_from_source(OBJECTS, "text").programs["p"], optimiser=optimiser), n=300)
    mover = run_moving(system, process, 200_000_000, every=40)
    assert process.exit_value == 2 * sum(range(301)) and mover.moved > 500
    assert process._field(at.P_LINKS) > 2 and audit(system) == []


def test_no_access_leaves_the_stack():
    system = System(ram="4M")
    process = system.create(build(programs_from_source(CALLS, "text").programs["p"]), n=400)
    _, seen = run_guarded(system, process, 20_000_000, startup=0)
    assert process.end.state == "exit" and seen.accesses > 5000 and process._field(at.P_LINKS) > 1
