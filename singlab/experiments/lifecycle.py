"""Life and death of processes, as experiments: what becomes of what a SIP had, and what that costs.

Each function builds a small system, does one thing to it and returns a table. They show what the papers and the
research kit's sources say of the end of a process: messages it sent still arrive, what waited for it comes back, its
peers learn of it on receiving, and what the kernel keeps of it never was where the process could write.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.audit import audit
from singlab.kernel.image import SealedImage
from singlab.kernel.native import native
from singlab.kernel.process import Process
from singlab.machine import state as _s
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

SOURCE = '''
Post = contract("""
contract Post {
    in  message Letter(byte[]* in ExHeap text);
    out message Read(ulong first);
    state Start: Letter? -> Read! -> Start;
}
""")

@sip
def writer(ch: Post.Imp, size: u64) -> u64:
    """Sends one letter, and waits a while before it looks for the answer."""
    text = new(u8, size)
    text[0] = 42
    ch.send(Post.Letter(text))
    for i in range(1000):
        yield_()
    match ch.receive():
        case Post.Read(first):
            return first
        case ChannelClosed():
            return 1000

@sip
def reader(ch: Post.Exp, patience: u64) -> u64:
    """Looks for letters after a while; what it has read, and 1000 once it has seen the end of the channel."""
    for i in range(patience):
        yield_()
    seen: u64 = 0
    while True:
        match ch.receive():
            case Post.Letter(text):
                seen = text[0]
                free(text)
                ch.send(Post.Read(seen))
            case ChannelClosed():
                return seen + 1000

@sip
def holder(ch: Post.Exp, channels: u64, size: u64):
    """Has channels to itself, in each of them a letter, and waits for a letter from somebody else."""
    ends = ESet(Post.Exp)
    sent = ESet(Post.Imp, "Start.1")
    for i in range(channels):
        imp, exp = new_channel(Post)
        imp.send(Post.Letter(new(u8, size)))
        ends.add(exp)
        sent.add(imp)
    while True:
        match ch.receive():
            case Post.Letter(text):
                free(text)
                ch.send(Post.Read(0))
            case ChannelClosed():
                ends.close()
                sent.close()
                return

@sip
def waiting(ch: Post.Imp) -> u64:
    """Writes letters, and waits for an answer each time, until there is none."""
    while True:
        ch.send(Post.Letter(new(u8, 16)))
        match ch.receive():
            case Post.Read(first):
                yield_()
            case ChannelClosed():
                return 1000

@sip
def bystander(patience: u64):
    """Does nothing, and is there."""
    for i in range(patience):
        yield_()
'''


#: A block is lost on one way out of its ``try`` alone, which the papers' own checker did not follow.
CARELESS = '''
@sip
def careless(rounds: u64, divisor: u64) -> u64:
    total: u64 = 0
    for i in range(rounds):
        try:
            data = new(u8, 100)
            total += 100 // divisor
            free(data)
        except ZeroDivisionError:
            mark(i)
    return total
'''


@cache
def images() -> dict[str, SealedImage]:
    """Return the sealed images of the experiments by name."""
    return {name: build(program) for name, program in programs_from_source(SOURCE, "lifecycle").programs.items()}


def _pair(system: System, one: str, other: str, first: dict, second: dict) -> tuple[Process, Process]:
    made = system.create(images()[one], **first), system.create(images()[other], **second)
    system.connect(made[0]["ch"], made[1]["ch"])
    return made


def _until(system: System, kind: Kind) -> None:
    """Run until something of a kind has happened."""
    while not (system.trace.events["kind"] == kind).any():
        if system.advance() == 0:
            raise RuntimeError(f"nothing of kind {kind.name} happens")


def _owner(system: System) -> str:
    """Return who was the last to get a block in a message."""
    events = system.trace.events
    return system.trace.process_name(int(events["b"][events["kind"] == Kind.BLOCK_OWNER][-1]) & 0xFFFF_FFFF)


def _blocked(process: Process) -> bool:
    """Whether a process's main thread waits inside an ABI call."""
    return process._system._load(process.threads()[0] + at.T_STATE) == at.BLOCKED


def _frame(rows: list[dict]):
    import pandas as pd

    return pd.DataFrame(rows)


def killed_after_sending(isolation: str = "sip", **options):
    """Kill one side of a channel while a letter is under way, then the other side.

    The owner of a block changes at the send. So who kills the sender does not keep the letter from arriving, and
    only after it the receiver sees ChannelClosed; who kills the receiver loses the letter with it.

    Returns
    -------
    pandas.DataFrame
        A row for each victim: ``killed``, the letter's ``owner then``, how many blocks the ``survivor holds``, what
        the ``survivor ends with`` (1000: it saw ChannelClosed; 42: the letter's content), and how many ``blocks left`` anywhere.
    """
    rows = []
    for killed in ("writer", "reader"):
        system = System(isolation=isolation, ram="4M", **options)
        pair = _pair(system, "writer", "reader", {"size": 5000}, {"patience": 500})
        _until(system, Kind.SEND)
        owner = _owner(system)
        victim, survivor = pair if killed == "writer" else pair[::-1]
        victim.stop()
        held = survivor.holdings()["blocks"]
        system.run()
        rows.append({"killed": killed, "owner then": owner, "survivor holds": held, "survivor ends with": survivor.exit_value,
                     "blocks left": sum(p.holdings()["blocks"] for p in pair)})  # fmt: skip
    return _frame(rows)


def death_to_closed(channels: Sequence[int] = (0, 1, 4, 16, 64), size: int = 100, isolation: str = "sip", **options):
    """Measure how long a blocked peer waits for the news that a process has died, by how much that process had.

    A peer wakes only when the reclaim comes to the dead endpoint: here they are closed along the process's own list,
    the latest first, so the oldest channel's peer waits longest. The whole reclaim is one kernel call.

    Parameters
    ----------
    channels : sequence of int
        How many channels to itself, with a letter in each, the process has when it is stopped.
    size : int
        Bytes of each letter.

    Returns
    -------
    pandas.DataFrame
        Per number of ``channels``: cycles from the stop to the moment the ``peer wakes``, and of the ``whole stop``.
    """
    rows = []
    for count in channels:
        system = System(isolation=isolation, ram="8M", **options)
        victim, peer = _pair(system, "holder", "waiting", {"channels": count, "size": size}, {})
        _until(system, Kind.RECEIVE)
        while victim.holdings()["endpoints"] < 2 * count + 3 or not _blocked(peer):
            if system.advance() == 0:
                raise RuntimeError("the two do not come to talk")
        rows.append({"channels": count, **_stopped(system, victim)})
    return _frame(rows)


def _stopped(system: System, victim: Process) -> dict:
    """Stop a process; returns the cycles until its blocked peer woke, and of the whole stop."""
    before, start = len(system.trace.events), system.machine.counters()["cycles"]
    victim.stop()
    whole = system.machine.counters()["cycles"] - start
    events = system.trace.events[before:]
    stopped = int(events["cycle"][events["kind"] == Kind.PROCESS_STOP][0])
    woken = int(events["cycle"][events["kind"] == Kind.CLOSED_SEEN][0])
    return {"peer wakes": woken - stopped, "whole stop": whole}


def reclaim_compared(crowd: Sequence[int] = (0, 4, 16, 32), isolation: str = "sip", **options):
    """Stop the same process among more and more others, with both ways to find what it had.

    The real system's walker looks at everybody's records for those with the dead one's number; its comments debate lists
    for each process, which this kernel has. A walk costs by how many records there are at all, lists by how many were
    the dead one's; but lists are paid for whenever a block changes hands.

    Parameters
    ----------
    crowd : sequence of int
        How many other pairs of processes live, each with eight channels to itself and a letter in each.

    Returns
    -------
    pandas.DataFrame
        Per ``reclaim`` and ``crowd``: cycles until the dead one's ``peer wakes`` and of the ``whole stop``.
    """
    rows = []
    for reclaim in ("lists", "walk"):
        for count in crowd:
            system = System(isolation=isolation, ram="16M", reclaim=reclaim, **options)
            others = [_pair(system, "holder", "waiting", {"channels": 8, "size": 100}, {})[0] for _ in range(count)]
            victim, peer = _pair(system, "holder", "waiting", {"channels": 4, "size": 100}, {})
            everybody = [(other, 8) for other in others] + [(victim, 4)]
            while any(one.holdings()["endpoints"] < 2 * channels + 3 for one, channels in everybody) or not _blocked(peer):
                if system.advance() == 0:  # one at a time: longer steps can fall in with the rhythm of the two
                    raise RuntimeError("they do not come to talk")
            rows.append({"reclaim": reclaim, "crowd": count, **_stopped(system, victim)})
    return _frame(rows)


def endpoint_outlives_its_owner(isolation: str = "sip", **options):
    """Stop one side of a channel, then the other, and see when the endpoints' records come back: both, with the second.

    Returns
    -------
    pandas.DataFrame
        A row a moment: ``when``, and how many of the two ``records kept``.
    """
    system = System(isolation=isolation, ram="4M", **options)
    pair = _pair(system, "writer", "reader", {"size": 16}, {"patience": 500})
    _until(system, Kind.SEND)
    handles = [process.values["ch"] for process in pair]
    rows = []

    def note(when: str) -> None:
        free, record = set(), system._load(at.G_FREE_ENDPOINTS)
        while record:
            free.add(record)
            record = system._load(record)
        rows.append({"when": when, "records kept": sum(handle not in free for handle in handles)})

    note("both run")
    pair[0].stop()
    note("one is stopped")
    pair[1].stop()
    note("both are stopped")
    return _frame(rows)


#: Where a process can be when it is stopped.
PLACES = ("in its own code", "in the kernel's entry code", "blocked in a receive")


def stopped_where(isolation: str = "sip", **options):
    """Stop a process in its own code, in the middle of an ABI call, and blocked in one.

    The operator's request comes in as an interrupt. The kernel takes none inside a call, so a call that has begun is
    let to where its thread would go on or waits; a thread that waits there is taken out of whatever it waits for.

    Returns
    -------
    pandas.DataFrame
        For each of the ``PLACES``: the instructions until it was left for the stop, the cycles of the stop, and how many
        disagreements the ``audit finds``.
    """
    rows = []
    for place in PLACES:
        system = System(isolation=isolation, ram="4M", **options)
        victim, peer = _pair(system, "holder", "waiting", {"channels": 3, "size": 100}, {})
        _until(system, Kind.RECEIVE)
        for _ in range(200_000):
            running = system._load(at.G_CURRENT) == victim.threads()[0]
            if {PLACES[0]: running and not system.in_kernel(), PLACES[1]: running and system.in_kernel(),
                PLACES[2]: _blocked(victim) and not system.in_kernel()}[place]:  # fmt: skip
                break
            system.step()
        before = system.machine.counters()
        system._leave_kernel()
        left = system.machine.counters()["instructions"] - before["instructions"]
        start = system.machine.counters()["cycles"]
        victim.stop()
        rows.append({"stopped": place, "instructions to leave": left, "cycles of the stop": system.machine.counters()["cycles"] - start,
                     "audit finds": len(audit(system))})  # fmt: skip
        system.run()
        if peer.exit_value != 1000:
            raise RuntimeError(f"the peer did not see the end: {peer}")
    return _frame(rows)


def lost_on_an_exception(isolation: str = "sip", rounds: int = 6, **options):
    """Let a program that nobody verified raise between ``new`` and ``free``: a block a round is lost until it ends.

    The checker of the papers left the ways of exceptions out, so it would have accepted the program. The verifier here
    follows them like all others and refuses it. That the blocks come back at the end is the kernel's doing: it has a list.

    Parameters
    ----------
    rounds : int
        How often the program makes a block.

    Returns
    -------
    pandas.DataFrame
        Whether anything is ``raised``; ``rounds``; how many ``blocks at most`` it holds while it runs, how many ``blocks after``
        its end; and the rule by which ``the verifier`` refuses it.
    """
    from singlab.sing import compile_program, verify

    program = programs_from_source(CARELESS, "careless").programs["careless"]
    refused = verify(compile_program(program), collect=True).findings[0].rule
    image, rows = build(program, verify=False), []
    for raised, divisor in (("never", 10), ("in each round", 0)):
        system = System(isolation=isolation, ram="4M", allow_unverified=True, **options)
        process, most = system.create(image, rounds=rounds, divisor=divisor), 0
        while system.advance():
            most = max(most, process.holdings()["blocks"])
        rows.append({"raised": raised, "rounds": rounds, "blocks at most": most, "blocks after": process.holdings()["blocks"],
                     "the verifier": f"refuses it: {refused}"})  # fmt: skip
    return _frame(rows)


def _hand_over(system: System, endpoint: int, giver: Process, taker: Process) -> None:
    """Move an endpoint by force, whatever waits in it, as when the message that carried it has been received."""
    native.endpoint_give(system._m, *(np.uint64(word) for word in (endpoint, giver.record, taker.record)))
    system._store(endpoint + at.E_TRAVELS, 0)


def handed_on_too_late(isolation: str = "sip", **options):
    """Hand an endpoint from one process to another before a letter comes, and while one waits in it.

    A letter belongs to whoever has the endpoint when it is *sent*. If the endpoint then moves on, its new owner receives a
    block that is not its own, and that goes with the old owner. So an endpoint may travel only in a state in which its own
    side sends next: then no letter can be on its way to it. The verifier holds programs to that, and the kernel moves no
    endpoint in which something waits; here it is moved by force.

    Returns
    -------
    pandas.DataFrame
        For each moment at which the endpoint ``moved``: who ``owns the letter``, who ``receives it``, and how ``the receiver ends``
        after the endpoint's first owner was stopped.
    """
    rows = []
    for moved in ("before the letter is sent", "while the letter waits in it"):
        system = System(isolation=isolation, ram="4M", **options)
        sender = system.create(images()["writer"], size=5000)
        receiver = system.create(images()["reader"], name="second owner", patience=400)
        system.connect(sender["ch"], receiver["ch"])
        first = system.create(images()["bystander"], name="first owner", patience=10_000)
        end = receiver.values["ch"]

        _hand_over(system, end, receiver, first)  # who is to receive in the end knows its handle
        if moved.startswith("before"):
            _hand_over(system, end, first, receiver)
        while system._load(end + at.E_COUNT) == 0:
            if system.advance() == 0:
                raise RuntimeError("no letter comes")
        owner = _owner(system)
        if moved.startswith("while"):
            _hand_over(system, end, first, receiver)
        first.stop()
        system.run()
        ends = f"fault: {receiver.fault.message}" if receiver.fault else f"exit with {receiver.exit_value}"
        rows.append({"the endpoint moved": moved, "owns the letter": owner, "receives it": receiver.name, "the receiver ends": ends})
    return _frame(rows)


def scribbled_over(isolation: str = "sip", seed: int = 1, **options):
    """Overwrite everything a process can write with noise, then stop it: all it had comes back.

    The lists by which the kernel finds what a process has lie in the kernel's own records, not in the process's
    memory; its pages are found by their tags. So there is nothing it could have spoilt.

    Returns
    -------
    pandas.DataFrame
        One row: ``bytes overwritten``, how many blocks, endpoints and pages it ``held before`` and still ``holds after``, and how
        many disagreements the ``audit finds`` among the kernel's tables.
    """
    system = System(isolation=isolation, ram="4M", **options)
    victim, _ = _pair(system, "holder", "waiting", {"channels": 5, "size": 3000}, {})
    _until(system, Kind.RECEIVE)
    noise, written = np.random.default_rng(seed), 0
    held = victim.holdings()
    for page, tag in enumerate(system.page_tags()):
        if int(tag) >> at.OWNER_SHIFT == victim.number and int(tag) & 0xFF != at.TAG_HANDLES:
            system.machine.write(at.RAM_BASE + page * at.PAGE, noise.bytes(at.PAGE))
            written += at.PAGE
    block = victim._field(at.P_BLOCKS)
    while block:
        size = system._load(block + at.B_SIZE)
        system.machine.write(system._load(block + at.B_DATA), noise.bytes(size))
        written, block = written + size, system._load(block + at.B_NEXT)
    victim.stop()
    return _frame([{"bytes overwritten": written, "held before": held["blocks"] + held["endpoints"] + held["pages"],
                    "holds after": sum(victim.holdings().values()), "audit finds": len(audit(system))}])  # fmt: skip


def number_used_twice(isolation: str = "sip", **options):
    """Give a new process the number of one that has died, and of one that still lives.

    Owners of blocks and pages are told apart by number. After the reclaim nothing is left under a number, so using it
    again harms nobody; before it, what the dead had would be the newcomer's. This kernel never uses a number again, and
    reclaims in the call that ends a process; the second row shows why it must do one of the two.

    Returns
    -------
    pandas.DataFrame
        For a number ``whose process is`` in a state: how many pages a newcomer with it has at once beyond its own.
    """
    rows = []
    for state in ("dead and reclaimed", "not reclaimed yet"):
        system = System(isolation=isolation, ram="4M", **options)
        victim, _ = _pair(system, "holder", "waiting", {"channels": 5, "size": 3000}, {})
        _until(system, Kind.RECEIVE)
        own = system.create(images()["reader"], patience=1).holdings()["pages"]
        if state == "dead and reclaimed":
            victim.stop()
        system._store(at.G_NEXT_PROCESS, victim.number)
        newcomer = system.create(images()["reader"], patience=1)
        rows.append({"whose process is": state, "pages of the newcomer too many": newcomer.holdings()["pages"] - own})
    return _frame(rows)


def _sent_by(process: Process) -> int:
    """Return how many messages a process has sent."""
    events = process._system.trace.events
    return int(((events["kind"] == Kind.SEND) & (events["process"] == process.number)).sum())


#: What a process's copies of its endpoint's handle are made.
FORGED = ("what it was", "somebody else's endpoint", "the other end of its channel", "a place within the record", "nothing")


def handle_forged(isolation: str = "sip", **options):
    """Change all that a process has of its endpoint: the handle, in every register and word of its stack.

    What an endpoint is (whose, in which state, where its messages are) stands in the kernel's record alone. A process has a
    number for it, and the kernel looks at each number it is given; so a wrong one harms nobody but who uses it.

    Returns
    -------
    pandas.DataFrame
        For each of ``FORGED``: how many ``copies`` there were, how ``the process ends`` (or that it still runs), whether
        ``the others`` still talk, and how many disagreements the ``audit finds``.
    """
    rows = []
    for forged in FORGED:
        system = System(isolation=isolation, ram="4M", **options)
        victim, _ = _pair(system, "waiting", "holder", {}, {"channels": 0, "size": 0})
        other, _ = _pair(system, "waiting", "holder", {}, {"channels": 0, "size": 0})
        handle = victim.values["ch"]
        becomes = dict(zip(FORGED, (handle, other.values["ch"], system._load(handle + at.E_PEER), handle + 8, 0), strict=True))[forged]
        _until(system, Kind.RECEIVE)
        thread, copies = victim.threads()[0], 0
        while system._load(at.G_CURRENT) != thread or system.in_kernel():
            system.step()
        registers = system.machine.m[_s.X + 1 : _s.X + 32]
        copies += int((registers == handle).sum())
        registers[registers == handle] = becomes
        for segment in victim.stack().segments:
            for place in range(segment.base, segment.top, 8):
                if system._load(place) == handle:
                    system._store(place, becomes)
                    copies += 1
        before = _sent_by(other)
        system.run(cycles=300_000)
        ends = f"fault: {victim.fault.message}" if victim.fault else "goes on"
        rows.append({"the handle became": forged, "copies": copies, "the process ends": ends, "the others": "talk" if _sent_by(other) > before + 2 else "are silent",
                     "audit finds": len(audit(system))})  # fmt: skip
    return _frame(rows)
