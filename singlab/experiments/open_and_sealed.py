"""The four invariants of sealed processes: an open process that breaks each, and the sealed system's answer.

"Sealing OS Processes to Improve Dependability and Safety" (EuroSys 2007, section 2.1) seals a process by four
invariants: fixed code, state isolation, explicit communication, closed API. Each function here takes one, does what
it forbids in an open system, and tries the same in a sealed one. Nothing is told that did not happen in that call:
every line says what a system answered.

What it leaves out: attacks from devices, and sealed systems whose verifier or compiler is wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from singlab.experiments import open_programs as programs
from singlab.kernel import InstallError, SealError, System
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI, ABI_NUMBER, ABI_VERSION, STATUS_NAMES
from singlab.kernel.image import Manifest, Relocation, SealedImage, seal
from singlab.machine.asm import assemble
from singlab.machine.view import render as r
from singlab.sing import SipError, build, programs_from_source
from singlab.sing.openprocess import build_library, build_process
from singlab.trace.record import Kind

INVARIANTS = {
    "fixed code": "The code of a process does not change once it runs.",
    "state isolation": "No process can reach the memory of another.",
    "explicit communication": "Processes communicate in messages alone; sender and receiver are known.",
    "closed API": "No call of the system breaks the other three.",
}

SEALED = '''
Filter = contract("""
contract Filter {
    in  message Work(byte[]* in ExHeap pixels);
    out message Done(byte[]* in ExHeap pixels);
    state Start: Work? -> Done! -> Start;
}
""")

Prices = contract("""
contract Prices {
    out message Pair(ulong first, ulong second);
    in  message Next();
    state Start: Pair! -> Next? -> Start;
}
""")

@sip
def brighten(ch: Filter.Exp):
    while True:
        match ch.receive():
            case Filter.Work(pixels):
                for i in range(len(pixels) + 1):
                    pixels[i] = pixels[i] + 10
                ch.send(Filter.Done(pixels))
            case ChannelClosed():
                return

@sip
def viewer(ch: Filter.Imp) -> u64:
    till: u64 = 1000
    ch.send(Filter.Work(new(u8, 64)))
    match ch.receive():
        case Filter.Done(pixels):
            free(pixels)
        case ChannelClosed():
            print("the plug-in is gone; the till is not")
    return till

@sip
def keeps_pairs(ch: Prices.Exp, turns: u64):
    for price in range(turns):
        ch.send(Prices.Pair(price, price))
        match ch.receive():
            case Prices.Next():
                pass
            case ChannelClosed():
                return

@sip
def reads_pairs(ch: Prices.Imp) -> u64:
    torn: u64 = 0
    while True:
        match ch.receive():
            case Prices.Pair(first, second):
                if first != second:
                    torn += 1
                ch.send(Prices.Next())
            case ChannelClosed():
                return torn

@sip
def holder() -> u64:
    kept = new(u8, 64)
    kept[0] = 42
    while cycles() < 400000:
        yield_()
    first = u64(kept[0])
    free(kept)
    return first
'''

_FORBIDDEN = {
    "writes to an address": "@sip\ndef s():\n    store64(0x80100000, 1)\n",
    "uses a block it has sent": SEALED[: SEALED.index("Prices = ")] + "@sip\ndef s(ch: Filter.Imp):\n    pixels = new(u8, 64)\n"
    "    ch.send(Filter.Work(pixels))\n    pixels[0] = 1\n    free(ch.receive(Filter.Done))\n",
    "maps shared memory": '@sip\ndef s():\n    shm_open("prices", 4096, 3)\n',
    "writes into another process": "@sip\ndef s():\n    process_write(3, 0, 0, 8)\n",
    "loads a library": '@sip\ndef s():\n    dlopen("rates")\n',
}  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """One attempt in one system.

    Attributes
    ----------
    system : str
        "open" or "sealed".
    attempt : str
    answer : str
        What came of it, as the system said or as was read from its memory.
    broken : bool
        Whether the invariant was broken.
    """

    system: str
    attempt: str
    answer: str
    broken: bool


@dataclass(repr=False)
class Scenario(r.Shown):
    """One invariant: what open processes did to it, and what a sealed system answered to the same.

    Attributes
    ----------
    invariant : str
    rows : list of Attempt
    """

    invariant: str
    rows: list[Attempt] = field(default_factory=list)

    def blocks(self) -> list[r.Block]:
        """Return what there is to see."""
        table = r.Table(("system", "invariant", "attempt", "what came of it"), [
            r.Row((r.Cell(row.system, "strong"), r.Cell("broken", "bad strong") if row.broken else r.Cell("holds", "good"),
                   r.Cell(row.attempt, "wrap"), r.Cell(row.answer, "wrap")))
            for row in self.rows
        ])  # fmt: skip
        return [r.Heading(f"Invariant: {self.invariant}", INVARIANTS[self.invariant]), table]

    def __repr__(self) -> str:
        lines = [f"Invariant: {self.invariant}. {INVARIANTS[self.invariant]}"]
        for row in self.rows:
            lines.append(f"  {row.system:<6} {'broken' if row.broken else 'holds':<6}  {row.attempt}:")
            lines.append(f"                 {row.answer}")
        return "\n".join(lines)

    __str__ = __repr__

    def add(self, system: str, attempt: str, answer: str, broken: bool) -> None:
        """Note what came of an attempt."""
        self.rows.append(Attempt(system, attempt, answer, broken))

    def refused(self, attempt: str, act: Callable[[], object]) -> None:
        """Try something with a sealed system and note the refusal, or that there was none."""
        try:
            act()
        except SipError as error:
            self.add("sealed", attempt, f"the compiler refuses it: {error.message}, line {error.line} (rule {error.rule})", False)
        except InstallError as error:
            self.add("sealed", attempt, f"the installer refuses it: {error}", False)
        except SealError as error:
            self.add("sealed", attempt, f"the loader refuses it: {error}", False)
        else:
            self.add("sealed", attempt, "nobody refused it", True)


def _marks(system: System) -> list[int]:
    events = system.trace.events
    return [int(value) for value in events["a"][events["kind"] == Kind.MARK]]


def _open(*library, **options) -> System:
    system = System(personality="open", **options)
    for program in library:
        system.register(program)
    return system


def hand_made(name: str, text: str, verified: bool = False) -> SealedImage:
    """Return a sealed image from assembly that nobody has verified, whatever it says; ``abi NAME`` or ``abi NUMBER`` is a call of the ABI."""
    lines, calls = [], []
    for line in text.splitlines():
        word, _, function = line.strip().partition(" ")
        if word == "abi":
            lines += [f"site{len(calls)}:", "nop", "nop"]
            calls.append(int(function) if function.isdigit() else ABI_NUMBER[function])
        else:
            lines.append(line)
    made = assemble("\n".join(lines), 0)
    manifest = Manifest(name, ABI_VERSION, 0, len(made.code), 1024,
                        relocations=[Relocation(made.labels[f"site{i}"], "abi", number) for i, number in enumerate(calls)],
                        verified=verified)  # fmt: skip
    return seal(manifest, made.code + bytes(-len(made.code) % 8), np.zeros(0, np.uint64))


def _compile(what: str):
    return lambda: build(programs_from_source(_FORBIDDEN[what], "attempt").programs["s"])


def _images() -> dict[str, SealedImage]:
    return {name: build(program) for name, program in programs_from_source(SEALED, "sealed").programs.items()}


def fixed_code(**options) -> Scenario:
    """An open process changes its own code, and loads other code than was there; a sealed one cannot.

    Parameters
    ----------
    **options
        For both systems: profile and seed.
    """
    found = Scenario("fixed code")
    system = _open(**options)
    program = build_process(programs.patches_itself)
    process = system.create(program)
    text = process.read(at.OPEN_TEXT, at.PAGE)
    while process.state != "stopped" and process.read(at.OPEN_TEXT, at.PAGE) == text:
        system.run(events=1)
    now = process.read(at.OPEN_TEXT, at.PAGE) if process.state != "stopped" else text
    system.run()
    before, after = _marks(system)[0], process.exit_value
    prints = [hashlib.sha256(code).hexdigest()[:8] for code in (text, now)]
    found.add("open", "a process writes over its own function", f"the fee was {before} and is {after}; its code had SHA-256 {prints[0]}… "
              f"and has {prints[1]}…; it ends as if nothing were", before != after)  # fmt: skip
    system = _open(build_library("rates", programs.rate), **options)
    process = system.create(build_process(programs.asks_its_library))
    while not _marks(system) and system.advance():
        pass
    other = build_library("rates", programs.new_rate)
    system.register(type(other)(other.name, other.segments, symbols={"rate": other.symbols["new_rate"]}, library=True))
    system.run()
    first, second = _marks(system)
    found.add("open", "somebody replaces a library that a running process loads", f"the same process asks {first}, then {second}", first != second)
    found.refused("a program says that it writes to an address", _compile("writes to an address"))
    found.refused("a program says that it loads a library", _compile("loads a library"))
    sealed = System(**options)
    for what, text in (("an indirect jump", "jr a0\nabi exit"), ("fence.i, which lets new code be seen", "fence.i\nabi exit")):
        found.refused(f"an image made by hand says it is verified, and has {what}", partial(sealed.install, hand_made("jumper", text, True)))
    store = hand_made("writer", "start:\nla a0, start\nsw x0, 0(a0)\nabi exit")
    found.refused("an image made by hand stores into its own code", partial(sealed.install, store))
    paged = System(isolation="ring3-domains", allow_unverified=True, **options)
    rogue = paged.create(store)
    paged.run()
    found.add("sealed", "the same, where unverified images are allowed and hardware helps", f"it ends with a fault: {rogue.fault}", rogue.fault is None)
    sealed.install(_images()["holder"])
    sealed.flip_bit("holder", 3000)
    found.refused("a bit of an installed image changes", lambda: sealed.create("holder"))
    return found


def state_isolation(**options) -> Scenario:
    """A plug-in in an open process writes over its host's data; in a sealed system it is a process of its own and ends alone."""
    found = Scenario("state isolation")
    system = _open(build_library("brighten", programs.brighten), **options)
    host = system.create(build_process(programs.viewer))
    system.run()
    found.add("open", "a plug-in in the host's process writes one byte too far", f"the till held 1000 and holds {host.exit_value}; "
              f"faults: {sum(p.fault is not None for p in system.processes)}", host.exit_value != 1000)  # fmt: skip
    images, system = _images(), System(**options)
    host, plug_in = system.create(images["viewer"]), system.create(images["brighten"])
    system.connect(host["ch"], plug_in["ch"])
    system.run()
    found.add("sealed", "the same plug-in, a process of its own", f"the plug-in ends with a fault: {plug_in.fault}; the host says "
              f'"{host.console.strip()}" and returns {host.exit_value}', host.exit_value != 1000)  # fmt: skip
    found.refused("a program writes into a block that it has sent", _compile("uses a block it has sent"))
    found.refused("a program writes to an address of another process", _compile("writes to an address"))
    return found


def explicit_communication(turns: int = 5000, quantum_us: int = 7, **options) -> Scenario:
    """Open processes share memory that nobody hands over, and write to pipes nobody gave them.

    Parameters
    ----------
    turns : int
        How often the writer changes what the reader reads.
    quantum_us : int
        Time slice in microseconds: the shorter, the more often one is interrupted between two words.
    """
    found = Scenario("explicit communication")
    system = _open(quantum_us=quantum_us, **options)
    writer = system.create(build_process(programs.keeps_prices), turns=turns)
    reader = system.create(build_process(programs.reads_prices))
    system.run()
    sent = int((system.trace.events["kind"] == Kind.SEND).sum())
    found.add("open", f"two processes share memory; one writes eight equal words, {turns:,} times", f"the other saw first and last differ "
              f"{reader.exit_value:,} times; messages that anybody could have looked at: {sent}", bool(reader.exit_value))  # fmt: skip
    system = _open(**options)
    bank = system.create(build_process(programs.bank))
    system.run()
    found.add("open", "a process nobody meant writes to a pipe it was born with", f"the customer ordered 100, the bank paid {bank.exit_value:,}: "
              "a word in a pipe does not say who wrote it", bank.exit_value != 100)  # fmt: skip
    images = _images()
    system = System(quantum_us=quantum_us, **options)
    writer, reader = system.create(images["keeps_pairs"], turns=min(turns, 500)), system.create(images["reads_pairs"])
    number = system.connect(writer["ch"], reader["ch"])
    system.run()
    channel = system.meta()["channels"][str(number)]
    kinds = system.trace.events["kind"]
    found.add("sealed", "first and last of the prices, in a message", f"they differed {reader.exit_value} times; {int((kinds == Kind.SEND).sum()):,} messages, each "
              f"between process {channel['exp']} and process {channel['imp']}, are in the trace", bool(reader.exit_value))  # fmt: skip
    system = System(allow_unverified=True, **options)
    writer, reader = system.create(images["keeps_pairs"], turns=5), system.create(images["reads_pairs"])
    system.connect(writer["ch"], reader["ch"])
    forged = hand_made("forger", f"li a0, {writer.values['ch']}\nli a1, 0\nli a2, 1\nli a3, 2\nabi send\nabi exit")
    rogue = system.create(forged)
    system.run()
    found.add("sealed", "an image made by hand sends on a channel end that it has guessed", f'the kernel answers "{STATUS_NAMES[rogue.exit_value]}"; the reader '
              f"saw {reader.exit_value} unequal pairs", rogue.exit_value == 0)  # fmt: skip
    found.refused("a program maps shared memory", _compile("maps shared memory"))
    return found


def closed_api(**options) -> Scenario:
    """An open system's calls reach into other processes, and write what their callers did not expect; the ABI has no such call."""
    found = Scenario("closed API")
    system = _open(**options)
    victim = system.create(build_process(programs.victim))
    poker = system.create(build_process(programs.debugger), target=victim.number)
    system.run()
    found.add("open", "a debugger writes into another process", f"{poker.exit_value} bytes written; the other counts to 10 and returns {victim.exit_value}",
              victim.exit_value != 10)  # fmt: skip
    process = _open_run(programs.asks_for_status, options)
    found.add("open", "ioctl writes four words where its caller made room for one", f"the balance beside it was 1000 and is {process.exit_value}; the call said all "
              "is well", process.exit_value != 1000)  # fmt: skip
    found.refused("a program calls process_write", _compile("writes into another process"))
    found.refused("an image made by hand calls function 1000 of the ABI",
                  partial(System(**options).install, hand_made("guesser", "li a0, 0\nabi 1000\nabi exit", True)))  # fmt: skip
    system = System(isolation="ring3-domains", allow_unverified=True, **options)
    holder = system.create(_images()["holder"])
    system.run(cycles=100_000)
    code, block = system._load(holder.record + at.P_CODE), system._load(holder.record + at.P_BLOCKS)
    for what, text in (("prints another process's memory", f"li a0, {code}\nli a1, 16\nabi print_text\nabi exit"),
                       ("frees another process's block", f"li a0, {block}\nabi free\nabi exit")):  # fmt: skip
        rogue = system.create(hand_made(what.split()[0], text))
        system.run(cycles=20_000)
        found.add("sealed", f"an image made by hand {what}", f'the kernel answers "{STATUS_NAMES.get(rogue.exit_value, rogue.exit_value)}"', rogue.exit_value == 0)
    system.run()
    found.add("sealed", "and the other process", f"returns {holder.exit_value}, what it kept in its block", holder.exit_value != 42)
    reaching = [f.name for f in ABI if any(word in argument for argument in f.arguments for word in ("their", "process"))]
    children = sum("child" in f.arguments for f in ABI)
    found.add("sealed", "the ABI's table is read", f"{len(ABI)} functions; with another process's number or address: {', '.join(reaching) or 'none'}; "
              f"with a handle of the caller's own child: {children}", bool(reaching))  # fmt: skip
    return found


def _open_run(program, options):
    system = _open(**options)
    process = system.create(build_process(program))
    system.run()
    return process


SCENARIOS = {"fixed code": fixed_code, "state isolation": state_isolation, "explicit communication": explicit_communication, "closed API": closed_api}


def overview(scenarios: list[Scenario]):
    """Return how many attempts broke each invariant in each system (a pandas DataFrame)."""
    import pandas as pd

    rows = [{"invariant": s.invariant, "system": row.system, "broken": row.broken} for s in scenarios for row in s.rows]
    table = pd.DataFrame(rows).groupby(["invariant", "system"], sort=False)["broken"].agg(["size", "sum"])
    return table.rename(columns={"size": "attempts", "sum": "broke it"})
