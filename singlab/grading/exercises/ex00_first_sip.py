"""Exercise 00: write a server that greets, takes chunks of bytes, and reports their sum and their largest.

The client draws its bytes from a linear congruential generator; the same generator here says what the
server must answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from singlab.grading.conversation import Conversation, ending
from singlab.grading.exercises import Check, Exercise

_MULTIPLIER, _INCREMENT = 6364136223846793005, 1442695040888963407
_MASK = (1 << 64) - 1

SOURCE = f'''
Tally = contract("""
contract Tally {{
    out message Welcome(ulong version);
    in  message Chunk(byte[]* in ExHeap data);
    out message Accepted(ulong bytes);
    in  message Finish();
    out message Sum(ulong total);
    out message Largest(ulong value);

    state Start: Welcome! -> Ready;
    state Ready: one {{
        Chunk?  -> Accepted! -> Ready;
        Finish? -> Sum! -> Largest! -> Ready;
    }}
}}
""")

@sip
def client(ch: Tally.Imp, seed: u64, chunks: u64, size: u64, vary: u64, reports: u64):
    mark(ch.receive(Tally.Welcome))
    state: u64 = seed
    for report in range(reports):
        for chunk in range(chunks):
            n: u64 = size
            if vary > 0:
                state = state * {_MULTIPLIER} + {_INCREMENT}
                n = 1 + (state >> 33) % vary
            data = new(u8, n)
            for i in range(n):
                state = state * {_MULTIPLIER} + {_INCREMENT}
                data[i] = u8(state >> 56)
            ch.send(Tally.Chunk(data))
            mark(ch.receive(Tally.Accepted))
        ch.send(Tally.Finish())
        mark(ch.receive(Tally.Sum))
        mark(ch.receive(Tally.Largest))
'''

#: What the server announces in Welcome.
VERSION = 1


def _answers(seed: int, chunks: int, size: int, vary: int, reports: int) -> Iterator[tuple[str, int]]:
    """Yield what the client must receive, each with words for it."""

    def draw() -> int:
        nonlocal state
        state = (state * _MULTIPLIER + _INCREMENT) & _MASK
        return state

    state = seed
    yield "Welcome at the start", VERSION
    for report in range(1, reports + 1):
        seen: list[int] = []
        which = f" of round {report}" if reports > 1 else ""
        for chunk in range(1, chunks + 1):
            n = 1 + (draw() >> 33) % vary if vary else size
            data = [draw() >> 56 for _ in range(n)]
            seen += data
            shown = " ".join(map(str, data[:6])) + (" ..." if n > 6 else "")
            yield f"Accepted after chunk {chunk}{which} ({n} bytes: {shown})", n
        yield f"Sum{which} over {len(seen)} bytes", sum(seen)
        yield f"Largest{which} over {len(seen)} bytes", max(seen, default=0)


def _judge(hidden: bool, arguments: dict[str, int], only: str = "") -> Callable:
    """Return a judge that compares what the client received with what it must have received."""
    expected = list(_answers(**arguments))

    def judge(conversation: Conversation, where: Callable[[int], str]) -> str:
        for (what, value), got in zip(expected, conversation.marks, strict=False):
            if got != value and what.startswith(only):
                message = what.split()[0]
                detail = "" if hidden else f" {what}: expected {value}, your server sent {got}."
                return f"Wrong value in {message}." + detail + _hint(message, value, got)
            if got != value:
                break
        broken = ending(conversation, where)
        reached = [what for (what, _), _ in zip(expected, conversation.marks, strict=False)]
        if broken and not (only and any(what.startswith(only) for what in reached)):
            return broken
        return ""

    return judge


def _hint(message: str, value: int, got: int) -> str:
    """Return a guess at the cause of a wrong value."""
    if message == "Welcome":
        return f" The exercise asks for version {VERSION}."
    if message == "Sum" and got == value % 256:
        return " Only the low 8 bits came through: add into a variable of type u64."
    if message in ("Sum", "Largest") and got > value:
        return " It is too large: does the next round start from zero again?"
    if message == "Largest":
        return " Compare every byte with the largest so far."
    if message == "Accepted":
        return " It is the number of bytes in this chunk: len(data)."
    return ""


def _closing(conversation: Conversation, where: Callable[[int], str]) -> str:
    """Judge how the server ends once the client is gone."""
    if broken := ending(conversation, where):
        return broken
    if conversation.server.fault is not None:
        return (f"When the client had gone, the kernel ended your server: {conversation.server.fault.message} "
                f"({where(conversation.server.fault.line)}). Handle case ChannelClosed(): and return.")  # fmt: skip
    return ""


def _check(title: str, points: float, hidden: bool = False, only: str = "", **arguments: int) -> Check:
    filled = {"seed": 1, "chunks": 1, "size": 5, "vary": 0, "reports": 1, **arguments}
    return Check(title, points, filled, _judge(hidden, filled, only), hidden)


EXERCISE = Exercise(
    name="ex00_first_sip",
    answer="tally",
    source=SOURCE,
    client="client",
    checks=(
        _check("greets the client with Welcome(1)", 1, only="Welcome"),
        _check("accepts one chunk and says how many bytes it had", 1, only="Accepted"),
        _check("reports sum and largest of one chunk", 2),
        _check("reports sum and largest over several chunks", 1, chunks=4, size=9, seed=5),
        _check("starts from zero after each report", 1, reports=3, seed=9),
        Check("ends in order when the client has gone", 1, {"seed": 3, "chunks": 1, "size": 4, "vary": 0, "reports": 1}, _closing),
        _check("takes large chunks", 1, hidden=True, chunks=3, size=3000, seed=11),
        _check("survives a long conversation with chunks of all sizes", 2, hidden=True, chunks=12, vary=70, reports=8, seed=77),
    ),
)
