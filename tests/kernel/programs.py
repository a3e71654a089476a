"""SIP programs and hand-made images that the kernel's tests share."""

from __future__ import annotations

from functools import cache

import numpy as np

from singlab.kernel.abi import ABI_NUMBER, ABI_VERSION
from singlab.kernel.image import Manifest, Parameter, Relocation, SealedImage, seal
from singlab.machine.asm import assemble

SOURCE = '''
Talk = contract("""
contract Talk {
    in  message Ask(ulong n);
    in  message Give(byte[]* in ExHeap data);
    out message Answer(ulong n);
    out message Back(byte[]* in ExHeap data);
    state Start: one { Ask? -> Answer! -> Start; Give? -> Back! -> Start; }
}
""")

@sip
def server(ch: Talk.Exp):
    while True:
        match ch.receive():
            case Talk.Ask(n):
                ch.send(Talk.Answer(n + 1))
            case Talk.Give(data):
                for i in range(len(data)):
                    data[i] = data[i] + 1
                ch.send(Talk.Back(data))
            case ChannelClosed():
                return

@sip
def client(ch: Talk.Imp, rounds: u64, size: u64) -> u64:
    total: u64 = 0
    for i in range(rounds):
        ch.send(Talk.Ask(i))
        total += ch.receive(Talk.Answer)
        data = new(u8, size)
        data[0] = 41
        ch.send(Talk.Give(data))
        data = ch.receive(Talk.Back)
        total += data[0]
        free(data)
    return total

@sip
def hoarder(ch: Talk.Imp, blocks: u64):
    kept = new(u8, 5000)
    for i in range(blocks):
        block = new(u8, 100)
        ch.send(Talk.Give(block))
        block = ch.receive(Talk.Back)
        free(block)
    while True:
        yield_()

@sip
def hog(turns: u64) -> u64:
    x: u64 = 1
    for i in range(turns):
        x = x * 6364136223846793005 + 1442695040888963407
    return x

@sip
def chatty():
    print("one", 1)
    print(" two ", 2)
'''


@cache
def images() -> dict[str, SealedImage]:
    """Return the built images of SOURCE by name."""
    from singlab.sing import build, programs_from_source

    unit = programs_from_source(SOURCE, "programs")
    return {name: build(program) for name, program in unit.programs.items()}


def talk(system, rounds: int = 3, size: int = 64):
    """Create and connect a client and a server; returns both processes."""
    client = system.create(images()["client"], rounds=rounds, size=size)
    server = system.create(images()["server"])
    system.connect(client["ch"], server["ch"])
    return client, server


def expected_total(rounds: int) -> int:
    """What the client returns: the answers plus the first byte of each block, changed by the server."""
    return sum(i + 1 + 42 for i in range(rounds))


def hand_made(name: str, text: str, parameters: list[Parameter] | None = None, contracts_of: SealedImage | None = None):
    """Return an unverified image from assembly; ``call NAME`` lines become ABI calls.

    The contracts and their tables are taken from another image, so that hostile code can hold real endpoints.
    """
    lines, relocations = [], []
    numbers = {f"abi {function}": number for function, number in ABI_NUMBER.items()}
    for line in text.splitlines():
        line = line.strip()
        if line in numbers:
            lines.append(f"abi_site_{len(relocations)}:")
            relocations.append(numbers[line])
            lines += ["nop", "nop"]
        else:
            lines.append(line)
    assembled = assemble("\n".join(lines), 0)
    code = assembled.code + bytes(-len(assembled.code) % 8)
    manifest = Manifest(
        name=name,
        abi_version=ABI_VERSION,
        entry=0,
        text_bytes=len(assembled.code),
        stack_bytes=1024,
        parameters=parameters or [],
        relocations=[Relocation(assembled.labels[f"abi_site_{i}"], "abi", n) for i, n in enumerate(relocations)],
        contracts=contracts_of.manifest.contracts if contracts_of else {},
        imports=contracts_of.manifest.imports if contracts_of else {},
        exports=contracts_of.manifest.exports if contracts_of else {},
        verified=False,
    )
    return seal(manifest, code, contracts_of.tables if contracts_of else np.zeros(0, np.uint64))


IMP = Parameter("ch", "Talk.Imp", "Talk", "Imp")
