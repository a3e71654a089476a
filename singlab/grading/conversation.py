"""An examination: the answer, as one SIP, talks to a client of ours on the simulated machine.

The client puts what it received into the trace with ``mark``; verdicts come from those marks and from how
both processes ended, never from printed text. Limits are in simulated cycles, so a slow computer grades
like a fast one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from singlab.kernel import KernelError, System
from singlab.kernel.image import SealedImage
from singlab.kernel.process import End, Process, blocked_report
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
    limit : int
        Cycles it was given.
    """

    outcome: str
    marks: list[int]
    client: End
    server: End
    report: str
    limit: int = LIMIT_CYCLES


def converse(answer: SealedImage, client: SealedImage, data: bytes = b"", limit: int = LIMIT_CYCLES, **arguments: int) -> Conversation:
    """Run an answer against a client; each has one endpoint, ``ch``.

    Parameters
    ----------
    answer, client : SealedImage
    data : bytes
        Contents of the first block the client gets; it marks once before it looks at them, and that mark is left out.
    limit : int
        Cycles it may take.
    **arguments : int
        The client's startup arguments.
    """
    system = System()
    examiner = system.create(client, name="client", **arguments)
    server = system.create(answer)
    system.connect(examiner["ch"], server["ch"])
    if data:
        _fill(system, examiner, data)
    run = system.run(cycles=limit)
    events = system.trace.events
    mine = (events["kind"] == Kind.MARK) & (events["process"] == examiner.number)
    report = run.report or ("" if run.outcome == "finished" else blocked_report(system))
    marks = [int(v) for v in events["a"][mine]]
    return Conversation(run.outcome, marks[1:] if data else marks, examiner.end, server.end, report, limit)


def _fill(system: System, examiner: Process, data: bytes) -> None:
    """Run the client until it has its first block, and write data into it.

    This is how more than a few numbers come into a SIP: nothing it is made of can hold them, and reading them
    costs it what reading any block costs.
    """
    while True:
        if not system.advance():
            raise KernelError("the client ended before it had its data")
        events = system.trace.events
        mine = events[events["process"] == examiner.number]
        if (mine["kind"] == Kind.MARK).any():
            break
    block = mine[mine["kind"] == Kind.BLOCK_ALLOC][0]
    if int(block["b"]) & 0xFFFF_FFFF < len(data):
        raise KernelError(f"the client's first block is too small for {len(data)} bytes")
    system.machine.write(int(block["a"]), data)


def ending(conversation: Conversation, where: Callable[[int], str]) -> str:
    """Return what is wrong with how the conversation ended, if it did not reach its end."""
    server, client = conversation.server, conversation.client
    if conversation.outcome == "limit":
        return (f"No end: after {conversation.limit:,} cycles the server was still computing. "
                "Look for a loop whose condition never becomes false.")  # fmt: skip
    if conversation.outcome == "deadlock":
        return f"Deadlock: nobody can go on.\n{conversation.report}"
    if client.state == "exit":
        return ""
    if server.fault is not None:
        return f"The kernel ended your server: {server.fault.message} ({where(server.fault.line)})."
    if server.state == "exit":
        return ("Your server ended while the client was still waiting for an answer. A server goes on "
                "(while True) until it receives ChannelClosed.")  # fmt: skip
    return f"The conversation broke off: the client ended by {client.fault}."
