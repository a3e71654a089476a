"""Random systems: processes come, talk, are held, let go, stopped and go back in time, and the audit always holds."""

from __future__ import annotations

from families import images as family_images
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from programs import images as talking_images

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import audit
from singlab.kernel.isolation import CHOICES

MOST = 12


class Systems(RuleBasedStateMachine):
    """One system, and an operator who does anything to it."""

    #: How a run may end when nobody is suspended any more.
    ENDS = ("finished", "limit")

    def __init__(self):
        super().__init__()
        self.system: System | None = None
        self.snapshots: list = []

    @initialize(isolation=st.sampled_from(sorted(CHOICES)), transfer=st.sampled_from(["ownership", "copy"]), quantum=st.sampled_from([1, 20, 10_000]),
                reclaim=st.sampled_from(["lists", "walk"]))  # fmt: skip
    def boot(self, isolation, transfer, quantum, reclaim):
        self.system = System(isolation=isolation, transfer=transfer, ram="4M", quantum_us=quantum, reclaim=reclaim)
        for name in ("worker", "foreman"):
            self.system.install(family_images()[name])

    def alive(self) -> list:
        return [p for p in self.system.processes if p.state != "stopped"]

    @precondition(lambda self: self.system and len(self.alive()) < MOST)
    @rule(rounds=st.integers(0, 30), size=st.sampled_from([1, 64, 3000, 9000]), data=st.data())
    def two_who_talk(self, rounds, size, data):
        """In a mixed system each in a setting of its own."""
        one, other = (data.draw(st.sampled_from(self.system.settings())) for _ in range(2))
        client = self.system.create(talking_images()["client"], rounds=rounds, size=size, isolation=one)
        server = self.system.create(talking_images()["server"], isolation=other)
        self.system.connect(client["ch"], server["ch"])

    @precondition(lambda self: self.system and len(self.alive()) < MOST)
    @rule(rounds=st.integers(0, 20), size=st.sampled_from([1, 5000]), data=st.data())
    def a_family(self, rounds, size, data):
        self.system.create(family_images()["chief"], rounds=rounds, size=size, isolation=data.draw(st.sampled_from(self.system.settings())))

    @precondition(lambda self: self.system and self.alive())
    @rule(instructions=st.integers(1, 4000))
    def some_instructions(self, instructions):
        self.system.step(instructions)

    @precondition(lambda self: self.system and self.alive())
    @rule(events=st.integers(1, 60))
    def some_events(self, events):
        self.system.advance(events)

    @precondition(lambda self: self.system and self.alive())
    @rule(data=st.data())
    def stop_one(self, data):
        victim = data.draw(st.sampled_from(self.alive()))
        victim.stop()
        assert set(victim.holdings().values()) == {0}

    @precondition(lambda self: self.system and any(p.state == "running" and not p.held for p in self.system.processes))
    @rule(data=st.data(), children=st.booleans())
    def suspend_one(self, data, children):
        data.draw(st.sampled_from([p for p in self.system.processes if p.state == "running" and not p.held])).suspend(children)

    @precondition(lambda self: self.system and any(p.held for p in self.alive()))
    @rule(data=st.data())
    def resume_one(self, data):
        from singlab.kernel.startup import KernelError

        held = data.draw(st.sampled_from([p for p in self.alive() if p.held]))
        try:
            held.resume()
        except KernelError:
            assert held.held  # by what is above it

    @rule()
    def remember(self):
        self.snapshots = [self.system.snapshot()]

    @precondition(lambda self: self.snapshots)
    @rule()
    def go_back(self):
        self.system.restore(self.snapshots[-1])

    @invariant()
    def the_tables_agree(self):
        if self.system:
            assert audit(self.system) == []

    def teardown(self):
        """Whatever was done, all can be let go and come to an end, or be stopped."""
        if self.system is None:
            return
        for process in [p for p in self.alive() if p._field(at.P_HELD)]:
            process.resume()
        run = self.system.run(cycles=50_000_000)
        assert run.outcome in self.ENDS, run.report
        for process in self.alive():
            process.stop()
        assert audit(self.system) == []
        assert all(set(p.holdings().values()) == {0} for p in self.system.processes)


Systems.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
test_random_systems = Systems.TestCase
