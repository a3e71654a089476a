"""How much of the simulated kernel the host gets through: round trips, many SIPs, creation, memory.

A round trip is a message with a number there and another back between two SIPs, through slots, ownership and
scheduler. With many live SIPs all but two wait for a message that never comes. Leaves out what the simulated
machine takes; that is in ``experiments``.
"""

from __future__ import annotations

import time

from singlab.bench.harness import Row, repeat

_ROUNDS = 20_000
#: How many SIPs are alive, each with two endpoints.
_SIPS = (10, 1_000, 10_000, 100_000)

_SOURCE = '''
Talk = contract("""
contract Talk {
    in  message Ask(ulong n);
    out message Answer(ulong n);
    state Start: Ask? -> Answer! -> Start;
}
""")

@sip
def server(ch: Talk.Exp):
    while True:
        match ch.receive():
            case Talk.Ask(n):
                ch.send(Talk.Answer(n + 1))
            case ChannelClosed():
                return

@sip
def client(ch: Talk.Imp, rounds: u64) -> u64:
    total: u64 = 0
    for i in range(rounds):
        ch.send(Talk.Ask(i))
        total += ch.receive(Talk.Answer)
    return total

@sip
def link(left: Talk.Exp, right: Talk.Imp):
    match left.receive():
        case Talk.Ask(n):
            left.send(Talk.Answer(n))
        case ChannelClosed():
            return
'''


def images() -> dict:
    """Return the sealed images by name."""
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(_SOURCE, "bench").programs.items()}


def pair(system, built: dict, rounds: int):
    """Create a client and a server and connect them; returns the client."""
    client, server = system.create(built["client"], rounds=rounds), system.create(built["server"])
    system.connect(client["ch"], server["ch"])
    return client


def round_trips(isolation: str, profile: str = "athlon64", rounds: int = _ROUNDS) -> float:
    """Return round trips a second of host time."""
    from singlab.kernel import System

    system = System(profile=profile, isolation=isolation, trace=False)
    client = pair(system, images(), rounds)
    start = time.perf_counter()
    system.run()
    spent = time.perf_counter() - start
    if client.exit_value != rounds * (rounds + 1) // 2:
        raise RuntimeError(f"the client did not finish: {client!r}")
    return rounds / spent


def _trips() -> list[Row]:
    from singlab.kernel.isolation import SETTINGS

    rows = []
    for name, profile, goal in (("without timing", "untimed", 1_000_000), ("with full timing", "athlon64", 400_000)):
        value, spread = repeat(lambda profile=profile: round_trips("sip", profile))
        rows.append(Row(f"round trips {name}", value, "1/s", spread, goal=goal, less_is_better=False))
    for isolation in SETTINGS:
        if isolation != "sip":
            value, spread = repeat(lambda isolation=isolation: round_trips(isolation), runs=3)
            rows.append(Row(f"round trips with full timing, isolation {isolation}", value, "1/s", spread, less_is_better=False))
    return rows


class Crowd:
    """A ring of SIPs, each of which waits for its neighbour for ever, so all of them stay alive.

    Attributes
    ----------
    system : System
    seconds : float
        Host time that creating, connecting and starting them took.
    """

    def __init__(self, sips: int, built: dict):
        from singlab.kernel import System

        self.built = built
        self.system = System(ram=f"{_ram(sips)}M", trace=False)
        start = time.perf_counter()
        links = [self.system.create(built["link"]) for _ in range(sips)]
        for one, other in zip(links, links[1:] + links[:1], strict=True):
            self.system.connect(one["right"], other["left"])
        self.system.run()
        self.seconds = time.perf_counter() - start

    def microseconds(self, rounds: int = _ROUNDS) -> float:
        """Return host microseconds a message between two more SIPs, which are created and end."""
        client = pair(self.system, self.built, rounds)
        for process in (client, *self.system.processes[-1:]):
            process.start()
        start = time.perf_counter()
        while client.state == "running":
            self.system.run(cycles=100_000_000)
        return 1e6 * (time.perf_counter() - start) / (2 * rounds)


def _ram(sips: int) -> int:
    """Return megabytes of RAM for so many SIPs: their records, 1,920 bytes each, lie in an eighth of it."""
    return max(16, -(-sips * 16 // 1024) + 16)


def _resident() -> int:
    """Return the bytes of memory this process has in use, 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return 0


def _crowds() -> list[Row]:
    rows, alone, built = [], None, images()
    for sips in _SIPS:
        before = _resident()
        crowd = Crowd(sips, built)
        value, spread = repeat(crowd.microseconds)
        alone = value if alone is None else alone
        many = sips != _SIPS[0]
        rows.append(Row(f"a message with {sips:,} live SIPs", value, "us", spread, f"{_SIPS[0]} live SIPs" if many else None,
                        alone if many else None, 2.0 if many else None))  # fmt: skip
        largest = sips == _SIPS[-1]
        rows.append(Row(f"creating {sips:,} SIPs", crowd.seconds, "s", (crowd.seconds,) * 2, goal=20.0 if largest else None))
        each = 1e6 * crowd.seconds / sips
        rows.append(Row(f"each of {sips:,} SIPs", each, "us", (each, each)))
        memory = (_resident() - before) / 2**30
        rows.append(Row(f"memory for {sips:,} SIPs", memory, "GB", (memory, memory), goal=2.0 if largest else None))
        del crowd
    return rows


_POLICY = """
def shorter(thread):
    length = {}
    if thread_number(thread) == 1:
        length += 5_000
    return length
"""


def policy_change(length: int) -> float:
    """Return seconds from the text of a policy nobody has seen to the first result of a system with it."""
    from singlab.kernel import System
    from singlab.sing.policies import policy_from_source

    start = time.perf_counter()
    system = System(policies=[policy_from_source("quantum", _POLICY.format(length))])
    client = pair(system, images(), 10)
    system.run()
    if client.exit_value != 55:
        raise RuntimeError(f"the client did not finish: {client!r}")
    return time.perf_counter() - start


def _policies() -> list[Row]:
    images()
    lengths = iter(range(20_000, 30_000))
    value, spread = repeat(lambda: policy_change(next(lengths)))
    return [Row("a policy change to first result", value, "s", spread, goal=0.5)]


MEASUREMENTS = (_trips, _policies, _crowds)
