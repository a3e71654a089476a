"""Random writes into the kernel's tables, then everything one does with a system; run as a program, so that whoever runs it sees a crash and a hang."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter

from families import family

from singlab.kernel import KernelError
from singlab.kernel import layout as at
from singlab.kernel.damage import TablesDamaged


def words_in_use(system) -> list[int]:
    """Return the addresses of the kernel's variables and of the words of its records that are not 0, those that may be links three times."""
    tags = system.page_tags()
    kinds = (at.TAG_KERNEL_SYSTEM, at.TAG_KERNEL_OBJECTS, at.TAG_KERNEL_SHARED)
    first, last = system._load(at.G_KERNEL_FIRST), system._load(at.G_USER_FIRST)
    pages = [at.RAM_BASE + page * at.PAGE for page in range(first, last) if tags[page] in kinds or tags[page] & 15 == at.TAG_HANDLES]
    found = [place for page in (at.KERNEL_PROCESS, at.GLOBALS, *pages) for place in range(page, page + at.PAGE, 8) if system._load(place)]
    links = [place for place in found if at.RAM_BASE <= system._load(place) < at.RAM_BASE + last * at.PAGE]
    return found + 2 * links


def damage(system, rng: random.Random, words: list[int]) -> None:
    """Write a few words: other words of the tables, or what is nothing."""
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        place = rng.choice(words)
        here = system._load(place)
        new = [system._load(rng.choice(words)) for _ in range(9)] + [
            0, 1, 8, place, place - 8, (1 << 64) - 1, 1 << 63, rng.getrandbits(64), rng.getrandbits(32), here ^ 1 << rng.randrange(64), at.RAM_BASE + system.machine.m.nbytes,
        ]  # fmt: skip
        system._store(place, rng.choice(new))


def uses(system, rng: random.Random, stop: bool):
    """Return what one does with a system, as functions."""
    def look(process):
        return process.state, process.fault, process.exit_value, process.holdings(), process.waits_for(), repr(process), process.row()

    yield lambda: system.run(cycles=2_000_000)
    yield lambda: system.run(events=5)
    yield lambda: system.step(200)
    known: list = []
    yield lambda: known.extend(system.processes)
    for process in known:
        yield lambda process=process: look(process)
        yield lambda process=process: process.stack()
    for what in ("stop", "suspend", "resume") if stop and known else ():
        yield lambda what=what: getattr(rng.choice(known), what)()
    yield lambda: system.run(cycles=500_000)
    yield lambda: (system.frame(), repr(system), system.namespace, system.done, system.trace.meta)


def main(isolation: str, first: int, count: int, stop: bool = True) -> None:
    """Damage so many systems; print how many uses came to what, as JSON. Anything but a named error is one of this program's own."""
    system, chief, _ = family(isolation, rounds=3, size=5000, turns=200)
    system.run()
    expected = chief.exit_value
    system, chief, _ = family(isolation, rounds=3, size=5000, turns=200)
    moments = []
    for events in (1, 40, 80, 120, 100):
        system.run(events=events)
        moments.append((system.snapshot(), words_in_use(system)))
    came_to: Counter[str] = Counter()
    for seed in range(first, first + count):
        rng = random.Random(seed)
        snapshot, words = rng.choice(moments)
        system.restore(snapshot)
        damage(system, rng, words)
        for use in uses(system, rng, stop):
            try:
                result = use()
                came_to[getattr(result, "outcome", "done")] += 1
            except TablesDamaged:
                came_to["damaged"] += 1
            except KernelError as error:
                came_to[type(error).__name__] += 1
            except Exception:
                print(f"seed {seed}", file=sys.stderr)
                raise
    system.restore(moments[1][0])
    system.run()
    assert chief.exit_value == expected
    print(json.dumps(came_to))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
