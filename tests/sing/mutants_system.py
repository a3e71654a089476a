"""Valid programs about regions, handles and devices, names, children, and attempts that may fail."""

from __future__ import annotations

from mutants_trials import MEMORY, TRIALS
from running import SERVER, TALK

#: Vectors put apart, cut off and shared; parts written, lent, handed on, sent and sent back.
REGIONS = '''
Parts = contract("""
contract Parts {
    in  message Give(byte[]* in ExHeap data);
    in  message Look(shared byte[]* in ExHeap data);
    in  message Ask(ulong n);
    out message Back(byte[]* in ExHeap data);
    out message Looked(shared byte[]* in ExHeap data, ulong sum);
    out message Answer(ulong n);
    state Start: one { Give? -> Back! -> Start; Look? -> Looked! -> Start; Ask? -> Answer! -> Start; }
}
""")

@function
def total(v: Borrowed[Shared[u8]]) -> u64:
    t: u64 = 0
    for i in range(len(v)):
        t += v[i]
    return t

@function
def mark_it(v: Borrowed[ExVec[u8]], x: u8) -> u64:
    for i in range(len(v)):
        v[i] = x
    return len(v)

@sip
def server(ch: Parts.Exp) -> u64:
    seen: u64 = 0
    while True:
        match ch.receive():
            case Parts.Give(data):
                seen += mark_it(data, 9)
                ch.send(Parts.Back(data))
            case Parts.Look(seen_too):
                t = total(seen_too)
                ch.send(Parts.Looked(seen_too, t))
            case Parts.Ask(n):
                ch.send(Parts.Answer(n + 1))
            case ChannelClosed():
                return seen

@function
def halves(v: ExVec[u8], n: u64) -> tuple[ExVec[u8], ExVec[u8]]:
    left, right = split(v, n)
    right = truncate(right, len(right) - 1)
    return left, right

@function
def shown(v: ExVec[u8], n: u64) -> Shared[u8]:
    whole, part = share(v, 1, n)
    free(part)
    return whole

@function
def end(v: ExVec[u8]) -> u64:
    n = len(v)
    free(v)
    return n

@sip
def p(ch: Parts.Imp, n: u64) -> u64:
    v = new(u8, 24)
    mark_it(v, 3)
    a, b = halves(v, n)
    a[2] = 5
    t: u64 = u64(a[2]) + mark_it(b, 4)
    ch.send(Parts.Give(b))
    match ch.receive():
        case Parts.Back(c):
            t += u64(c[0]) + end(c)
        case ChannelClosed():
            free(a)
            return 1
    w = new(u16, 12)
    w, rest = split(w, 4)
    rest[3] = 1000
    w[n % 3] = rest[3]
    t += u64(w[1]) + len(rest)
    free(w)
    one = shown(a, 3)
    first, second = share(one, 1, n)
    t += total(first) + total(second)
    ch.send(Parts.Look(second))
    data, m = ch.receive(Parts.Looked)
    t += m + u64(data[1])
    own = copy(first)
    free(first)
    own[0] = 7
    left, right = split(own, 3)
    left, middle = split(left, 1)
    middle[1] = left[0]
    ch.send(Parts.Give(left))
    left = ch.receive(Parts.Back)
    t += u64(left[0]) + u64(middle[1]) + end(right) + end(middle) + end(left)
    free(rest)
    free(data)
    ch.send(Parts.Ask(t))
    return t + ch.receive(Parts.Answer)
'''

#: Events, mutexes, waiting for several with and without a time, the registers of a device and its interrupt.
HANDLES = (
    TALK
    + SERVER
    + """
@function
def add(m: Mutex, done: Event, n: u64) -> u64:
    m.acquire()
    t = n + 1
    yield_()
    m.release()
    done.set()
    return t

@function
def later(e: Event, go: Event, n: u64) -> u64:
    go.wait()
    sleep_until(n & 63)
    e.set()
    return n

@function
def told(uart: IoMemory, line: Interrupt, e: Event) -> u64:
    uart.write8(1, 2)
    got = wait_any(e, line)
    uart.write8(1, 0)
    if got == 1:
        line.ack()
        return 5
    return 6

@sip(io_memory=[(0x10000000, 0x100), (0x10001000, 0x200)], interrupts=[10, 1])
def p(ch: Talk.Imp, n: u64) -> u64:
    m = mutex()
    done = event()
    go = manual_event()
    uart = io_memory(0)
    disk = io_memory(1)
    line = interrupt(0)
    spare = interrupt(1)
    total = u64(disk.read32(0)) & 255
    m.acquire()
    a = thread(add, m, done, n)
    b = thread(later, done, go, n)
    yield_()
    m.release()
    if done.wait_until(3000000):
        total += 1
    go.set()
    total += join(a) + thread_state(b)
    done.wait()
    total += join(b) + told(uart, line, done)
    uart.write8(7, u8(n))
    total += u64(uart.read8(7)) + u64(disk.read16(8))
    go.reset()
    other = event()
    if n > 3:
        other.set()
    k = wait_any(go, m, other, done)
    if k == 1:
        m.release()
    total += k * 10
    ch.send(Talk.Ask(total))
    total += ch.receive(Talk.Answer)
    other.close()
    go.close()
    done.close()
    m.close()
    line.close()
    spare.close()
    return total + thread_id() * 0
"""
)

#: Names provided and connected to, by others and by a thread of its own; principals.
NAMES = '''
Files = contract("""
contract Files {
    out message Ready(ulong number);
    in message Read(ulong offset);
    out message Data(byte[]* in ExHeap data);
    state Start: Ready! -> Open;
    state Open: Read? -> Data! -> Open;
}
""")
Provider = contract("""
contract Provider {
    in message Connect(Files.Exp:Start exp);
    out message AckConnect();
    out message NackConnect(Files.Exp:Start exp);
    state Start: Connect? -> (AckConnect! -> Start or NackConnect! -> Start);
}
""")
Say = contract("""
contract Say {
    in message Ask(ulong n);
    out message Answer(ulong n);
    state Start: Ask? -> Answer! -> Start;
}
""")

@sip(provides=["/far"])
def server(ch: Say.Exp) -> u64:
    imp, exp = new_channel(Provider)
    clients = ESet(Files.Exp, "Open")
    served: u64 = 0
    bound = register("/far", imp)
    while True:
        match receive(ch, exp, clients):
            case (Say.Ask(n), _, _):
                ch.send(Say.Answer(n + 1))
            case (_, Provider.Connect(fresh), _):
                if served > 7:
                    exp.send(Provider.NackConnect(fresh))
                else:
                    exp.send(Provider.AckConnect())
                    fresh.send(Files.Ready(served))
                    clients.add(fresh)
                    served += 1
            case (_, _, (client, Files.Read(offset))):
                data = new(u8, 4)
                data[0] = u8(offset & 7)
                client.send(Files.Data(data))
                clients.add(client)
            case (_, _, (client, ChannelClosed())):
                client.close()
            case (ChannelClosed(), _, _):
                clients.close()
                exp.close()
                return served
            case (_, ChannelClosed(), _):
                clients.close()
                exp.close()
                return served
            case Unsatisfiable():
                clients.close()
                exp.close()
                return served

@function
def read(files: Files.Imp, n: u64) -> u64:
    match files.receive():
        case Files.Ready(number):
            files.send(Files.Read(n))
            match files.receive():
                case Files.Data(data):
                    number += u64(data[0])
                    free(data)
                    return number
                case ChannelClosed():
                    return 3
        case ChannelClosed():
            return 7

@function
def near(n: u64) -> u64:
    files = connect("/near", Files)
    n = read(files, n)
    files.close()
    return n

@function
def serve(fresh: Files.Exp, n: u64) -> u64:
    fresh.send(Files.Ready(n))
    match fresh.receive():
        case Files.Read(offset):
            data = new(u8, 9)
            data[0] = 5
            fresh.send(Files.Data(data))
        case ChannelClosed():
            n = 2
    return n

@sip(provides=["/near", "/extra"], wants=["/far", "/near"])
def p(ch: Say.Imp, n: u64) -> u64:
    ch.send(Say.Ask(n))
    total = ch.receive(Say.Answer)
    files = connect("/far", Files)
    who = peer_principal(files)
    me = principal()
    total += len(who) + len(me)
    free(who)
    if speaks_for(files, "*server*"):
        total += 100
    total += read(files, n)
    imp, exp = new_channel(Provider)
    if register("/near", imp):
        total += 1000
    t = thread(near, n)
    match exp.receive():
        case Provider.Connect(fresh):
            if n > 3:
                exp.send(Provider.AckConnect())
                total += serve(fresh, total)
                fresh.close()
            else:
                exp.send(Provider.NackConnect(fresh))
        case ChannelClosed():
            total += 1
    free(me)
    more, again = new_channel(Files)
    again.send(Files.Ready(4))
    total += more.receive(Files.Ready)
    more.close()
    again.close()
    total += join(t)
    files.close()
    exp.close()
    return total
'''

#: Children that are made, given what they start with, suspended, stopped and waited for.
CHILDREN = (
    TALK
    + SERVER
    + '''
Work = contract("""
contract Work {
    in  message Add(ulong n);
    in  message Give(byte[]* in ExHeap data);
    in  message Lend(Work.Imp:Start end);
    out message Sum(ulong n);
    out message Back(byte[]* in ExHeap data);
    out message Returned(Work.Imp:Start end);
    state Start: one { Add? -> Sum! -> Start; Give? -> Back! -> Start; Lend? -> Returned! -> Start; }
}
""")

@sip
def worker(ch: Work.Exp, base: u64) -> u64:
    total = base
    while True:
        match ch.receive():
            case Work.Add(n):
                total += n
                ch.send(Work.Sum(total))
            case Work.Give(data):
                total += len(data)
                ch.send(Work.Back(data))
            case Work.Lend(end):
                end.send(Work.Add(total))
                match end.receive():
                    case Work.Sum(n):
                        total += n
                        ch.send(Work.Returned(end))
                    case ChannelClosed():
                        end.close()
                        return total
            case ChannelClosed():
                return total

@function
def asked(end: Work.Imp, n: u64) -> u64:
    end.send(Work.Add(n))
    return end.receive(Work.Sum)

@function
def spare(n: u64) -> u64:
    one, other = new_channel(Work)
    one.send(Work.Add(n))
    match other.receive():
        case Work.Add(x):
            n += x
        case Work.Give(data):
            free(data)
        case Work.Lend(end):
            end.close()
        case ChannelClosed():
            n += 1
    one.close()
    other.close()
    return n

@sip(extensions=[("worker", "Work")])
def p(ch: Talk.Imp, n: u64) -> u64:
    imp, exp = new_channel(Work)
    left, right = new_channel(Work)
    child = create("worker", exp, 5)
    second = create("worker", right, n)
    child.start()
    second.start()
    total = asked(imp, n) + asked(left, 3) + spare(n)
    child.suspend()
    imp.send(Work.Add(1))
    child.wait()
    child.resume()
    total += imp.receive(Work.Sum)
    imp.send(Work.Lend(left))
    back = imp.receive(Work.Returned)
    total += asked(back, 4)
    back.close()
    imp.send(Work.Give(new(u8, n)))
    data = imp.receive(Work.Back)
    total += len(data)
    free(data)
    if child.state() == ProcessState.RUNNING:
        total += 100
    ch.send(Talk.Ask(total))
    total += ch.receive(Talk.Answer)
    third, fourth = new_channel(Work)
    fifth = create("worker", fourth, 1)
    third.send(Work.Add(7))
    fifth.start()
    match third.receive():
        case Work.Sum(x):
            total += x
        case ChannelClosed():
            total += 4
    fifth.stop()
    third.close()
    imp.close()
    total += child.join() + second.join() + fifth.how()
    child.close()
    second.close()
    fifth.close()
    return total & 0xFFFF
'''
)

#: Methods that raise, called by whoever knows only the parent; threads and allocations that may not be had.
ATTEMPTS = (
    TALK
    + SERVER
    + """
class Full(Exception): pass
class VeryFull(Full): pass

@managed
class Place:
    size: u64
    used: u64
    def room(self) -> u64:
        return self.size - self.used

@managed
class Shelf(Place):
    full: bool
    def put(self, v: ExVec[u8]) -> u64:
        n = len(v)
        free(v)
        if self.used + n > self.size:
            self.full = True
            raise Full
        self.used += n
        return self.used
    def best(self, k: u64) -> "Shelf":
        if k > self.size:
            raise VeryFull
        return self
    def take(self, n: u64) -> ExVec[u8]:
        if n > self.used:
            raise Full("not so many")
        return new(u8, n)

@managed
class Twin(Shelf):
    other: Place
    def put(self, v: ExVec[u8]) -> u64:
        n = len(v)
        free(v)
        if n > 6:
            raise VeryFull
        self.other.used += n
        return self.other.room()
    def best(self, k: u64) -> Shelf:
        if k > 2:
            raise Full
        self.other = self
        return self

@function
def sum_of(v: ExVec[u8], n: u64) -> u64:
    t = n
    for i in range(len(v)):
        t += v[i]
    free(v)
    return t

@function
def tried(shelf: Shelf, n: u64) -> u64:
    t: u64 = 0
    try:
        t += shelf.put(new(u8, n))
        t += shelf.best(n & 3).used
        v = shelf.take(n & 7)
        t += len(v)
        free(v)
    except VeryFull:
        t += 100
    except Full:
        t += 1000
    return t

@function
def started(n: u64) -> u64:
    v = new(u8, n)
    v[0] = 3
    try:
        t = thread(sum_of, v, n)
        return join(t)
    except RuntimeError:
        n += u64(v[0])
        free(v)
        return n

@function
def idle(n: u64) -> u64:
    for i in range(n):
        yield_()
    return n

@sip
def p(ch: Talk.Imp, n: u64) -> u64:
    one = Shelf(20, 0, False)
    two: Shelf = Twin(9, 1, n > 3, one)
    shelves = array(Shelf, 3, one)
    shelves[n & 1] = two
    total: u64 = started(n)
    for shelf in shelves:
        total += tried(shelf, n) + tried(shelf, 4)
    try:
        w = shelves[1].take(n)
        total += u64(w[0])
        free(w)
    except Full:
        total += 7
    many: u64 = 0
    last: u64 = 0
    try:
        while many < 70:
            last = thread(idle, n & 1)
            many += 1
    except RuntimeError:
        total += started(3)
    total += join(last)
    ch.send(Talk.Ask(total))
    return total + ch.receive(Talk.Answer)
"""
)

SYSTEM = {"regions": REGIONS, "handles": HANDLES, "names": NAMES, "children": CHILDREN, "attempts": ATTEMPTS,
          "memory for devices": MEMORY, "what may fail": TRIALS}  # fmt: skip
