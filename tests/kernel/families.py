"""Programs with children, and scenarios of them, that the tests of processes share."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from singlab.kernel import System
from singlab.kernel.image import SealedImage, seal

SOURCE = '''
Work = contract("""
contract Work {
    in  message Ask(ulong n);
    in  message Give(byte[]* in ExHeap data);
    in  message Lend(Work.Imp:Start end);
    out message Answer(ulong n);
    out message Back(byte[]* in ExHeap data);
    out message Returned(Work.Imp:Start end);
    state Start: one { Ask? -> Answer! -> Start; Give? -> Back! -> Start; Lend? -> Returned! -> Start; }
}
""")

@sip
def worker(ch: Work.Exp, base: u64) -> u64:
    done: u64 = 0
    kept = new(u8, 5000)
    notes = array(u64, 100)
    while True:
        match ch.receive():
            case Work.Ask(n):
                notes[n % 100] = n
                ch.send(Work.Answer(n + base))
                done += 1
            case Work.Give(data):
                data[0] = data[0] + 1
                ch.send(Work.Back(data))
                done += 1
            case Work.Lend(end):
                end.send(Work.Ask(done))
                done += end.receive(Work.Answer)
                ch.send(Work.Returned(end))
            case ChannelClosed():
                free(kept)
                return done

@sip(extensions=[("worker", "Work")])
def foreman(ch: Work.Exp, base: u64) -> u64:
    """A child that has a child: what it is asked it lets that one do."""
    imp, exp = new_channel(Work)
    child = create("worker", exp, base)
    child.start()
    while True:
        match ch.receive():
            case Work.Ask(n):
                imp.send(Work.Ask(n))
                ch.send(Work.Answer(imp.receive(Work.Answer) + 1))
            case Work.Give(data):
                imp.send(Work.Give(data))
                ch.send(Work.Back(imp.receive(Work.Back)))
            case Work.Lend(end):
                ch.send(Work.Returned(end))
            case ChannelClosed():
                imp.close()
                return child.join()

@sip(extensions=[("foreman", "Work"), ("worker", "Work")])
def chief(rounds: u64, size: u64) -> u64:
    """Makes a child that makes one, talks with it, hands it blocks and an endpoint of another child, and ends both."""
    total: u64 = 0
    imp, exp = new_channel(Work)
    left, right = new_channel(Work)
    first = create("foreman", exp, 100)
    second = create("worker", right, 7)
    first.start()
    second.start()
    for i in range(rounds):
        imp.send(Work.Ask(i))
        total += imp.receive(Work.Answer)
        data = new(u8, size)
        imp.send(Work.Give(data))
        data = imp.receive(Work.Back)
        total += data[0]
        free(data)
    imp.send(Work.Lend(left))
    left = imp.receive(Work.Returned)
    left.send(Work.Give(new(u8, 100)))
    second.stop()
    match left.receive():
        case Work.Back(data):
            free(data)
            total += 1000
        case ChannelClosed():
            total += 2000
    left.close()
    imp.close()
    total += first.join() * 10000
    second.close()
    first.close()
    return total

@sip
def bystander(turns: u64) -> u64:
    """Somebody whom none of this concerns."""
    x: u64 = 1
    kept = new(u64, 600)
    for i in range(turns):
        x = x * 6364136223846793005 + 1442695040888963407
        kept[i % 600] = x
        if i % 10 == 0:
            yield_()
    for i in range(60):
        x = x ^ kept[10 * i]
    free(kept)
    return x
'''


@cache
def images() -> dict[str, SealedImage]:
    """Return the built images of SOURCE by name."""
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "families").programs.items()}


#: Settings that the members of a family have in a mixed system.
MIXED = {"chief": "ring3-domains", "foreman": "domain", "worker": "ring3", "bystander": "sip"}


@cache
def mixed_images() -> dict[str, SealedImage]:
    """Return the same images with manifests that ask for settings of their own."""
    return {name: seal(replace(image.manifest, isolation=MIXED[name]), image.code, np.frombuffer(image.tables, np.uint64)) for name, image in images().items()}


def family(isolation: str = "sip", rounds: int = 1, size: int = 64, turns: int = 60, **options):
    """Return a system with a chief, whose family there will be, and a bystander; and both."""
    system = System(isolation=isolation, ram="4M", **options)
    built = mixed_images() if isolation == "mixed" else images()
    for name in ("worker", "foreman"):
        system.install(built[name])
    chief = system.create(built["chief"], rounds=rounds, size=size)
    return system, chief, system.create(built["bystander"], turns=turns)
