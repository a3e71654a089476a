"""An examination: the answer, as one SIP, talks to a client of ours on the simulated machine.

The client puts what it received into the trace with ``mark``; verdicts come from those marks and from how
both processes ended, never from printed text. Limits are in simulated cycles, so a slow computer grades
like a fast one.
"""

from __future__ import annotations

from dataclasses import dataclass

from singlab.kernel import System
from singlab.kernel.image import SealedImage
from singlab.kernel.process import End, blocked_report
from singlab.trace.record import Kind

#: Cycles one examination may take; the longest of the master solutions needs a tenth of it.
LIMIT_CYCLES = 20_000_000


@dataclass(frozen=True)
class Conversation:
    """What an examination came to.

    Attributes
    ----------
    outcome : str
        As in :class:`singlab.kernel.system.Run`.
    marks : list of int
        What the client marked, in order.
    client, server : End
    report : str
        Who waits for what, if not all ended.
    """

    outcome: str
    marks: list[int]
    client: End
    server: End
    report: str


def converse(answer: SealedImage, client: SealedImage, **arguments: int) -> Conversation:
    """Run an answer against a client; each has one endpoint, ``ch``."""
    system = System()
    examiner = system.create(client, name="client", **arguments)
    server = system.create(answer)
    system.connect(examiner["ch"], server["ch"])
    run = system.run(cycles=LIMIT_CYCLES)
    events = system.trace.events
    mine = (events["kind"] == Kind.MARK) & (events["process"] == examiner.number)
    report = run.report or ("" if run.outcome == "finished" else blocked_report(system))
    return Conversation(run.outcome, [int(v) for v in events["a"][mine]], examiner.end, server.end, report)
