"""A request-serving loop: a client asks, a server reads the request, makes objects of it, and answers.

Texts and objects of a request die with it; sessions live over many of them. What travels lies on the exchange heap,
which no collector touches. The longest pauses are what a client sees.
"""

from __future__ import annotations

from singlab.sing import ChannelClosed, array, contract, free, function, managed, mark, sip, to_vector, u64

Serve = contract("""
contract Serve {
    in  message Request(byte[]* in ExHeap text);
    out message Response(byte[]* in ExHeap text);
    state Start: Request? -> Response! -> Start;
}
""")


@managed
class Session:
    user: u64
    visits: u64
    history: Visit | None


@managed
class Visit:
    path: str
    earlier: Visit | None


@function
def number_in(text: str, start: u64) -> u64:
    """The number that stands at a place of a text."""
    n: u64 = 0
    i = start
    while i < len(text) and ord(text[i]) >= 48 and ord(text[i]) < 58:
        n = n * 10 + u64(ord(text[i])) - 48
        i += 1
    return n


@function
def answer(session: Session, path: str) -> str:
    """A page with the last paths of this session."""
    page = f"user {session.user} visit {session.visits}\n"
    at = session.history
    shown: u64 = 0
    while at is not None and shown < 4:
        page = page + " after " + at.path
        at = at.earlier
        shown += 1
    session.history = Visit(path, session.history)
    if session.visits % 16 == 15:
        session.history = None
    session.visits += 1
    return page


@sip
def server(ch: Serve.Exp, users: u64) -> u64:
    """Returns how many requests it has served."""
    sessions = array(Session | None, users)
    served: u64 = 0
    while True:
        match ch.receive():
            case Serve.Request(text):
                request = str(text)
                free(text)
                user = number_in(request, 5)
                session = sessions[user % users]
                if session is None:
                    session = Session(user, 0, None)
                    sessions[user % users] = session
                ch.send(Serve.Response(to_vector(answer(session, request[5 : len(request)]))))
                served += 1
            case ChannelClosed():
                return served


@sip
def client(ch: Serve.Imp, users: u64, requests: u64, seed: u64) -> u64:
    """Asks as one user after the other, and returns a sum over all it was told."""
    state = seed
    total: u64 = 0
    for r in range(requests):
        state = state * 6364136223846793005 + 1442695040888963407
        ch.send(Serve.Request(to_vector(f"GET /{(state >> 40) % users}/page{(state >> 20) % 100}")))
        page = ch.receive(Serve.Response)
        for i in range(len(page)):
            total = total * 31 + page[i]
        free(page)
        mark(r)
    return total
