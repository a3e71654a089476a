"""What the tests of the language share: building a text's SIP, running it, and the values a register can hold."""

from __future__ import annotations

from singlab.kernel import System
from singlab.sing import SipError, build, programs_from_source
from singlab.sing.frontend import compile_program
from singlab.sing.sil import Module

MASK = (1 << 64) - 1
ISOLATIONS = ("sip", "ring3")
WIDTHS = {f"{kind}{bits}": (bits, kind == "i") for kind in "ui" for bits in (8, 16, 32, 64)}

TALK = '''
Talk = contract("""
contract Talk {
    in  message Ask(ulong n);
    in  message Give(byte[]* in ExHeap data);
    out message Answer(ulong n);
    out message Back(byte[]* in ExHeap data);
    state Start: one { Ask? -> Answer! -> Start; Give? -> Back! -> Start; }
}
""")
'''

SERVER = '''
@sip
def server(ch: Talk.Exp):
    while True:
        match ch.receive():
            case Talk.Ask(n):
                ch.send(Talk.Answer(n + 1))
            case Talk.Give(data):
                data[0] = data[0] + 1
                ch.send(Talk.Back(data))
            case ChannelClosed():
                return
'''


def wrap(value: int, type_: str) -> int:
    """Return the value a type keeps of an integer: its low bits, read as the type says."""
    bits, signed = WIDTHS[type_]
    low = value & (1 << bits) - 1
    return low - (1 << bits) if signed and low >> bits - 1 else low


def module(text: str, name: str = "p") -> Module:
    """Return the SIL of a SIP in a text, not verified."""
    return compile_program(programs_from_source(text, "text").programs[name])


def image(text: str, name: str = "p", verify: bool = True):
    """Return the built image of a SIP in a text."""
    return build(programs_from_source(text, "text").programs[name], verify=verify)


def execute(text: str, isolation: str = "sip", name: str = "p", **arguments: int):
    """Run one SIP of a text alone; returns its process."""
    system = System(isolation=isolation, ram="2M")
    process = system.create(image(text, name), **arguments)
    run = system.run(cycles=50_000_000)
    assert run.outcome == "finished", run
    assert set(process.holdings().values()) == {0}
    return process


def result(text: str, type_: str = "u64", isolation: str = "sip", **arguments: int) -> int:
    """Return what a SIP returned, read as a type."""
    process = execute(text, isolation, **arguments)
    assert process.end.state == "exit", process.end
    return wrap(process.end.value, type_)


def marked(text: str, mark: str = "^") -> tuple[str, int, int]:
    """Return a text without its one mark, and the line and column (from 1) the mark stood at."""
    before, found, after = text.partition(mark)
    assert found and mark not in after
    return before + after, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def refusal(text: str, name: str = "p") -> SipError:
    """Return the error with which a text is refused."""
    try:
        build(programs_from_source(text, "text").programs[name])
    except SipError as error:
        return error
    raise AssertionError("the program was accepted")
