"""The same harm twice: as hand-made SIL for a sealed system, and as a program for the open one.

Hostile code need not come from the compiler: SIL is a text, and anybody can write it. Here is some for each thing that a
process must not do to others, with what the verifier says to it; and beside it a program of the open personality that does the
same harm with the system calls and addresses it has, and what came of that. What it leaves out: code that goes around the
verifier too, which meets the installer and the kernel (lectures 03 and 06).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from singlab.experiments import open_programs as programs
from singlab.kernel import System
from singlab.machine.view import render as r
from singlab.sing import SipError, parse_sil, verify
from singlab.sing.openprocess import build_library, build_process

CONTRACT = """
contracts:
    contract Talk {
        in message Give(byte[]* in ExHeap data);
        in message Ask();
        out message Answer(ulong n);
        state Start: one { Give? -> Answer! -> Start; Ask? -> Answer! -> Start; }
    }
"""


def _sil(body: str, parameters: str = "%0.n: u64", contract: bool = False) -> str:
    return f"sip rogue entry main{CONTRACT if contract else chr(10)}function main({parameters}) -> u64\nstart:\n{body.rstrip()}\n"


def _writes_into_another() -> str:
    system = System(personality="open")
    victim = system.create(build_process(programs.victim))
    system.create(build_process(programs.debugger), target=victim.number)
    system.run()
    return f"the other counts to {victim.exit_value} instead of 10"


def _reaches_by_a_number() -> str:
    system = System(personality="open")
    system.register(build_library("brighten", programs.brighten))
    host = system.create(build_process(programs.viewer))
    system.run()
    return f"the till beside the picture has {host.exit_value} instead of 1000"


def _goes_on_writing() -> str:
    system = System(personality="open", quantum_us=10)
    system.create(build_process(programs.keeps_prices), turns=1000)
    reader = system.create(build_process(programs.reads_prices))
    system.run()
    return f"the reader saw two different prices {reader.exit_value:,} times"


def _runs_what_is_not_its_own() -> str:
    system = System(personality="open")
    process = system.create(build_process(programs.patches_itself))
    system.run()
    return f"the fee is {process.exit_value} instead of 50"


def _speaks_out_of_turn() -> str:
    system = System(personality="open")
    bank = system.create(build_process(programs.bank))
    system.run()
    return f"the bank pays {bank.exit_value:,} for an order of 100"


def _asks_for_anything() -> str:
    system = System(personality="open")
    process = system.create(build_process(programs.asks_for_status))
    system.run()
    return f"the balance beside the answer is {process.exit_value:,} instead of 1000"


@dataclass(frozen=True)
class Harm:
    """Something that a process must not do to others.

    Attributes
    ----------
    what : str
    sil : str
        A module that does it, as text.
    needs : str
        What does it in an open system.
    open : callable
        Does it there, and says what came of it.
    """

    what: str
    sil: str
    needs: str
    open: Callable[[], str]


HARMS = (
    Harm("write where one likes", _sil("  raw_store64 %0, %0\n  ret %0"), "process_write(process, address, ...)", _writes_into_another),
    Harm("take a number for a block", _sil("  %1: u8 = const 7\n  store %0, %0, %1\n  ret %0"), "store8(address, value) in a plug-in", _reaches_by_a_number),
    Harm("write into what one has sent",
         _sil("  %1: u64 = const 8\n  %2.data: ExVec[u8] = new %1\n  send %0, Give, %2\n  %3: u64 = const 0\n  %4: u8 = const 1\n  store %2, %3, %4\n"
              "  receive %0 { Answer(%5: u64) -> end; closed -> gone }\nend:\n  ret %5\ngone:\n  %6: u64 = const 0\n  ret %6", "%0.ch: Talk.Imp", True),
         "shm_open(name, ...) by both", _goes_on_writing),
    Harm("run what is not one's own code", _sil("  %1: u64 = call elsewhere, %0\n  ret %1"), "mprotect(...), store32(address, ...)", _runs_what_is_not_its_own),
    Harm("speak out of turn",
         _sil("  send %0, Ask\n  send %0, Ask\n  receive %0 { Answer(%1: u64) -> end; closed -> gone }\nend:\n  ret %1\ngone:\n  %2: u64 = const 0\n  ret %2",
              "%0.ch: Talk.Imp", True),
         "write(file, ...) after a fork", _speaks_out_of_turn),
    Harm("ask the kernel for anything", _sil("  %1: u64 = ioctl %0\n  ret %1"), "ioctl(file, request, address)", _asks_for_anything),
)  # fmt: skip


def refusal(sil: str) -> SipError | None:
    """Return why a text of SIL is refused, when it is read or when it is verified; None if it is accepted."""
    try:
        findings = verify(parse_sil(sil), collect=True).findings
    except SipError as error:
        return error
    return findings[0] if findings else None


@dataclass(frozen=True)
class Outcome:
    """What came of a harm in both systems; ``rule`` is that by which the sealed one refuses it, empty if it does not."""

    what: str
    rule: str
    says: str
    needs: str
    came: str


@dataclass(repr=False)
class Comparison(r.Shown):
    """All harms beside each other."""

    rows: list[Outcome]

    def blocks(self) -> list[r.Block]:
        return [r.Table(("to ...", "the verifier", "the open system has", "what comes of it"), [
            r.Row((r.Cell(row.what, "wrap strong"), r.Cell(f"{row.rule}: {row.says}", "wrap") if row.rule else r.Cell("accepts it", "bad strong"),
                   r.Cell(row.needs, "mono wrap"), r.Cell(row.came, "wrap")))
            for row in self.rows
        ])]  # fmt: skip


def compare() -> Comparison:
    """Offer each harm's SIL to the verifier and run its open program; returns both answers, a row a harm."""
    rows = []
    for harm in HARMS:
        error = refusal(harm.sil)
        rows.append(Outcome(harm.what, error.rule if error else "", error.message if error else "", harm.needs, harm.open()))
    return Comparison(rows)
