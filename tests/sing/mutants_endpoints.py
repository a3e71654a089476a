"""Valid programs full of endpoints that come and go, sets of them, waiting for several, threads, and classes of many layouts."""

from __future__ import annotations

from running import SERVER, TALK

WORK = '''
Work = contract("""
contract Work {
    in  message Add(ulong n);
    in  message Swap(byte[]* in ExHeap data);
    out message Sum(ulong n);
    out message Swapped(byte[]* in ExHeap data);
    state Start: one { Add? -> Added; Swap? -> Swapped! -> Start; }
    state Added: Sum! -> Start;
}
""")
Names = contract("""
contract Names {
    in  message Connect(Work.Imp:Start ep, ulong rounds);
    in  message Ask(ulong n);
    out message Ok();
    out message Sorry(Work.Imp ep);
    out message Answer(ulong n);
    state Start: one { Connect? -> (Ok! or Sorry!) -> Start; Ask? -> Answer! -> Start; }
}
""")

@function
def work(ep: Work.Imp, rounds: u64) -> u64:
    total: u64 = 0
    for i in range(rounds):
        ep.send(Work.Add(i))
        match ep.receive():
            case Work.Sum(n):
                total = n
            case ChannelClosed():
                return total
    return total

@sip
def server(ch: Names.Exp) -> u64:
    total: u64 = 0
    while True:
        match ch.receive():
            case Names.Connect(ep, rounds):
                if rounds == 0:
                    ch.send(Names.Sorry(ep))
                else:
                    ch.send(Names.Ok())
                    total += work(ep, rounds & 7)
                    ep.close()
            case Names.Ask(n):
                ch.send(Names.Answer(n + 1))
            case ChannelClosed():
                return total

@function
def serve(exp: Work.Exp, left: u64) -> u64:
    total: u64 = 0
    while left > 0:
        match exp.receive():
            case Work.Add(n):
                total += n
                exp.send(Work.Sum(total))
            case Work.Swap(data):
                total += u64(data[0])
                exp.send(Work.Swapped(data))
            case ChannelClosed():
                return total
        left -= 1
    return total
'''

#: Endpoints that are made, sent, sent back, lent, returned, and waited for two at a time.
PASSING = (
    WORK
    + """
@function
def made(n: u64) -> Work.Imp:
    imp, exp = new_channel(Work)
    imp.send(Work.Add(n))
    n += serve(exp, 1)
    imp.receive(Work.Sum)
    exp.close()
    return imp

@function
def back_again(ch: Names.Imp, n: u64) -> u64:
    spare, gone = new_channel(Work)
    mine = spare
    ch.send(Names.Connect(mine, 0))
    match ch.receive():
        case Names.Sorry(back):
            back.send(Work.Add(n))
            n = serve(gone, 1)
            back.close()
        case Names.Ok():
            n = 2
        case ChannelClosed():
            n = 3
    gone.close()
    return n

@sip
def p(ch: Names.Imp, n: u64) -> u64:
    total: u64 = 0
    imp, exp = new_channel(Work)
    one, other = new_channel(Work)
    ch.send(Names.Connect(imp, n & 3))
    one.send(Work.Add(n))
    for i in range(n & 3):
        match receive(exp, other):
            case (Work.Add(x), _):
                total += x
                exp.send(Work.Sum(total))
            case (Work.Swap(data), _):
                exp.send(Work.Swapped(data))
            case (_, Work.Add(x)):
                other.send(Work.Sum(x))
                one.receive(Work.Sum)
                one.send(Work.Add(x))
            case (_, Work.Swap(data)):
                free(data)
                other.close()
                one.close()
                exp.close()
                return total
            case (ChannelClosed(), _):
                other.close()
                one.close()
                exp.close()
                return total
    exp.close()
    match receive(ch, other):
        case (Names.Ok(), Work.Add(x)):
            other.send(Work.Sum(x))
            total += x
        case (Names.Ok(), Work.Swap(data)):
            other.send(Work.Swapped(data))
        case (Names.Sorry(back), Work.Add(x)):
            back.close()
            other.send(Work.Sum(x))
        case (Names.Sorry(back), Work.Swap(data)):
            other.send(Work.Swapped(data))
            back.close()
    one.receive(Work.Sum)
    one.close()
    last = made(3)
    last.send(Work.Swap(new(u8, 9)))
    last.close()
    total += back_again(ch, total & 7)
    other.close()
    return total
"""
)

#: Sets: filled, lent, returned, handed over, waited for alone and beside an endpoint; members taken out and put back.
SETS = (
    WORK
    + """
@function
def size(s: Borrowed[ESet[Work.Exp]]) -> u64:
    return len(s)

@function
def end(s: ESet[Work.Exp]) -> u64:
    n = len(s)
    s.close()
    return n

@function
def empty(n: u64) -> ESet[Work.Exp]:
    s = ESet(Work.Exp)
    mark(n)
    return s

@function
def once(s: Borrowed[ESet[Work.Exp]]) -> u64:
    match s.receive():
        case (ep, Work.Add(x)):
            ep.send(Work.Sum(x))
            s.add(ep)
            return x
        case (ep, Work.Swap(data)):
            free(data)
            ep.close()
            return 1
        case (ep, ChannelClosed()):
            ep.close()
            return 2

@sip
def p(ch: Names.Imp, n: u64) -> u64:
    s = empty(n)
    waiting = ESet(Work.Imp, "Added")
    one, first = new_channel(Work)
    two, second = new_channel(Work)
    s.add(first)
    s.add(second)
    one.send(Work.Add(n))
    total: u64 = size(s) + once(s)
    two.send(Work.Swap(new(u8, 3)))
    ch.send(Names.Ask(total))
    match receive(ch, s):
        case (Names.Answer(x), (ep, Work.Swap(data))):
            total += x + u64(data[2])
            ep.send(Work.Swapped(data))
            s.add(ep)
        case (Names.Answer(x), (ep, ChannelClosed())):
            ep.close()
        case (Names.Answer(x), (ep, Work.Add(y))):
            ep.send(Work.Sum(y))
            ep.close()
        case (ChannelClosed(), _):
            total += 9
        case Unsatisfiable():
            total += 99
    four, fourth = new_channel(Work)
    four.send(Work.Swap(new(u8, 1)))
    match fourth.receive():
        case Work.Swap(data):
            fourth.send(Work.Swapped(data))
        case Work.Add(x):
            fourth.send(Work.Sum(x))
        case ChannelClosed():
            pass
    waiting.add(one)
    match waiting.receive():
        case (back, Work.Sum(x)):
            total += x
            back.send(Work.Add(x))
            back.close()
        case (back, ChannelClosed()):
            back.close()
    waiting.close()
    four.close()
    fourth.close()
    two.close()
    while size(s) > 1:
        total += once(s)
    three, third = new_channel(Work)
    s.add(third)
    three.close()
    return total + end(s) + end(empty(0))
"""
)

#: Threads that are given vectors, endpoints and sets, and joined.
THREADS = (
    WORK
    + """
@function
def count(v: ExVec[u8], n: u64) -> u64:
    t: u64 = 0
    for i in range(n & 31):
        v[i % len(v)] = u8(i)
        t += u64(v[(i * 7) % len(v)]) + n
    free(v)
    return t

@function
def look(v: Borrowed[ExVec[u8]], n: u64) -> u64:
    t: u64 = 0
    for i in range((n & 7) * 8):
        t += u64(v[i % len(v)])
    return t

@function
def speak(ep: Work.Imp, n: u64) -> u64:
    n = work(ep, n & 3)
    ep.close()
    return n

@function
def answer(exp: Work.Exp, v: ExVec[u8]) -> u64:
    n = serve(exp, len(v) & 7)
    free(v)
    exp.close()
    return n

@function
def many(s: ESet[Work.Exp], n: u64) -> u64:
    while len(s) > 0:
        match s.receive():
            case (ep, Work.Add(x)):
                ep.send(Work.Sum(x + n))
                s.add(ep)
            case (ep, Work.Swap(data)):
                n += 1
                ep.send(Work.Swapped(data))
                s.add(ep)
            case (ep, ChannelClosed()):
                ep.close()
    s.close()
    return n

@sip
def p(ch: Names.Imp, n: u64) -> u64:
    v = new(u8, 16)
    w = new(u8, 3)
    imp, exp = new_channel(Work)
    one, other = new_channel(Work)
    s = ESet(Work.Exp)
    s.add(other)
    x = new(u8, 7)
    total = look(x, n)
    free(x)
    a = thread(count, v, n)
    b = thread(answer, exp, w)
    c = thread(speak, imp, n)
    d = thread(many, s, n)
    total += join(a)
    one.send(Work.Add(total))
    total += one.receive(Work.Sum)
    one.close()
    ch.send(Names.Ask(n))
    total += ch.receive(Names.Answer)
    total += join(c) + join(b)
    return total + join(d)
"""
)

#: Classes and arrays in which a word means another thing in each: numbers where others have references, and the other way round.
LAYOUTS = (
    TALK
    + SERVER
    + """
@managed
class Number:
    value: u64
    more: u64
    def weight(self, k: u64) -> u64:
        return self.value + k
@managed
class Link:
    next: "Link | None"
    value: u64
    def weight(self, k: u64) -> u64:
        return self.value * k
@managed
class Text:
    small: u8
    name: str
    cells: Array[u64]
    def weight(self, k: u64) -> u64:
        return self.cells[k & 1] + len(self.name)
@managed
class Long(Text):
    link: Link
    number: Number

@function
def of_number(x: Number) -> u64:
    return x.value + x.more

@function
def of_link(x: Link) -> u64:
    t = x.value
    y = x.next
    if y is not None:
        t += y.value
    return t

@function
def of_text(x: Text) -> u64:
    if isinstance(x, Long):
        return of_link(x.link) + of_number(x.number) + u64(x.small)
    return x.cells[0] + len(x.name)

@sip
def p(ch: Talk.Imp, n: u64) -> u64:
    number = Number(n, 3)
    link = Link(None, 5)
    second = Link(link, n + 1)
    cells = array(u64, 2, 7)
    bytes_ = array(u8, 9, 1)
    text = Text(4, "abc", cells)
    long = Long(5, "de", cells, second, number)
    texts = array(Text, 2, text)
    texts[1] = long
    links = array(Link, 3, link)
    links[n % 3] = second
    total = of_number(number) + of_link(second) + of_text(text) + of_text(texts[n & 1])
    total += number.weight(2) + links[0].weight(3) + texts[0].weight(1) + u64(bytes_[n & 7])
    number.more = links[1].value
    second.next = links[2]
    text.cells = cells
    ch.send(Talk.Ask(total))
    total += ch.receive(Talk.Answer)
    return total + of_link(links[1]) + of_text(long) + of_number(long.number)
"""
)
