"""Open processes that the kernel's tests share, and what they do with them."""

from __future__ import annotations

import numpy as np

from singlab.kernel import System
from singlab.sing.openprocess import build_process


def begin(program, *others, name=None, profile="untimed", fork="on write", ram="4M", **words):
    """Return a system with a process of a program, others registered, not yet run."""
    system = System(personality="open", profile=profile, fork=fork, ram=ram)
    for other in others:
        system.register(other if hasattr(other, "segments") else build_process(other))
    process = system.create(build_process(program), name, **words)
    return system, process


def run(program, *others, **options):
    """Run a program to its end; returns the system and its first process."""
    system, process = begin(program, *others, **options)
    outcome = system.run()
    assert outcome.outcome == "finished", outcome
    return system, process


def state(system) -> dict:
    """Return what must be the same before a process is made and after all have ended."""
    tags = system.page_tags()
    counts = np.frombuffer(system.machine.read(_frames(system), 4 * len(tags)), dtype="<u4")
    return {"pages": (tags != 0).tolist(), "counts": counts.tolist()}


def _frames(system) -> int:
    from singlab.kernel import layout as at

    return system.machine.load_u64(at.G_FRAMES)
