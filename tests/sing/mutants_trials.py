"""Valid programs about memory for devices, and about what may fail where a ``try`` sees it."""

from __future__ import annotations

#: Memory for devices beside a device's registers, and one wait for messages and an interrupt.
MEMORY = '''
Disk = contract("""
contract Disk {
    in  message Read(ulong at);
    out message Data(ulong n);
    state Start: Read? -> Data! -> Start;
}
""")

@sip
def server(ch: Disk.Exp) -> u64:
    seen: u64 = 0
    while True:
        match ch.receive():
            case Disk.Read(place):
                seen += 1
                ch.send(Disk.Data(place + 1))
            case ChannelClosed():
                return seen

@function
def fill(ring: IoMemory, n: u64) -> u64:
    for i in range(8):
        ring.write32(i * 4, u32(n + i))
    return u64(ring.read16(6)) + u64(ring.read8(31))

@function
def place_of(ring: IoMemory) -> u64:
    try:
        return dma_address(ring)
    except ValueError:
        return 1

@sip(io_memory=[(0x10000000, 0x100)], interrupts=[10], dma=[4096, 100, 8192])
def p(ch: Disk.Imp, n: u64) -> u64:
    ring = dma_memory(0)
    small = dma_memory(1)
    uart = io_memory(0)
    line = interrupt(0)
    total = fill(ring, n) + fill(small, 3)
    total += dma_address(ring) & 4095
    if place_of(uart) > 1:
        total += 100
    done = event()
    imp, exp = new_channel(Disk)
    ch.send(Disk.Read(total))
    uart.write8(1, 2)
    first = wait_any(exp, ch, line, done)
    uart.write8(1, 0)
    if first == 2:
        line.ack()
    total += ch.receive(Disk.Data)
    try:
        large = dma_memory(2)
        large.write32(8188, 7)
        total += u64(large.read32(8188)) + (place_of(large) & 1)
    except OSError:
        total += 1000
    imp.send(Disk.Read(n))
    total += wait_any(done, exp)
    total += exp.receive(Disk.Read)
    small.write8(99, u8(total & 255))
    imp.close()
    exp.close()
    done.close()
    line.close()
    return total + u64(small.read8(99))
'''

#: Vectors put apart and shared, events, mutexes and principals, each where it may fail.
TRIALS = '''
Trials = contract("""
contract Trials {
    in  message Ask(ulong n);
    in  message Give(byte[]* in ExHeap data);
    out message Answer(ulong n);
    out message Back(byte[]* in ExHeap data);
    state Start: one { Ask? -> Answer! -> Start; Give? -> Back! -> Start; }
}
""")

@sip
def server(ch: Trials.Exp) -> u64:
    seen: u64 = 0
    while True:
        match ch.receive():
            case Trials.Ask(n):
                ch.send(Trials.Answer(n + 1))
            case Trials.Give(data):
                seen += len(data)
                ch.send(Trials.Back(data))
            case ChannelClosed():
                return seen

@function
def sum_of(v: Borrowed[ExVec[u8]]) -> u64:
    t: u64 = 0
    for i in range(len(v)):
        t += v[i]
    return t

@function
def apart(v: ExVec[u8], n: u64) -> u64:
    t: u64 = 0
    try:
        left, right = split(v, n)
        left[0] = 1
        t += sum_of(left) + sum_of(right)
        free(right)
        free(left)
    except MemoryError:
        t += 1000 + sum_of(v)
        free(v)
    return t

@function
def shown(v: ExVec[u8], n: u64) -> u64:
    t: u64 = 0
    try:
        whole, part = share(v, 1, n)
        t += u64(whole[0]) + u64(part[0]) + len(part)
        free(part)
        free(whole)
    except MemoryError:
        v[0] = 3
        t += 2000
        free(v)
    return t

@function
def rung(n: u64) -> u64:
    t: u64 = 0
    try:
        e = event()
        m = mutex()
        m.acquire()
        e.set()
        t += wait_any(e, m)
        m.release()
        m.close()
        e.close()
    except MemoryError:
        t += n
    except ValueError:
        t += 5
    return t

@sip
def p(ch: Trials.Imp, n: u64) -> u64:
    total: u64 = rung(n)
    v = new(u8, 12)
    v[3] = 5
    w = new(u8, 9)
    w[1] = 2
    total += apart(v, n & 7) + shown(w, 4)
    mine = new(u8, 8)
    try:
        mine, other = split(mine, 3)
        total += len(other)
        ch.send(Trials.Give(other))
        other = ch.receive(Trials.Back)
        other[0] = 1
        total += sum_of(mine) + sum_of(other)
        free(other)
    except MemoryError:
        total += 7
    free(mine)
    try:
        who = peer_principal(ch)
        total += len(who)
        free(who)
    except MemoryError:
        total += 9
    ch.send(Trials.Ask(total))
    return total + ch.receive(Trials.Answer)
'''
