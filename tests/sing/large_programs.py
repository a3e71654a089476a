"""Both sides of the large contracts in the language: a network card's driver and its user, a TCP service and its two clients.

There is neither card nor network behind them. The driver reports each packet it was given as an event; the service
answers a connection's first two reads with seven bytes each, refuses address 0, port 0 and what is longer than 1,000 bytes.
"""

from __future__ import annotations

from large_contracts import NIC_DEVICE, NIC_EVENTS, TCP, TCP_CONNECTION

NIC = f'''
NicDevice = contract("""{NIC_DEVICE}""")
NicDeviceEvent = contract("""{NIC_EVENTS}""")

@function
def given(ch: NicDevice.Exp, packets: ExVec[u8]) -> u64:
    size = len(packets)
    free(packets)
    ch.send(NicDevice.Success())
    return size

@function
def taken(ch: NicDevice.Exp, waiting: u64) -> u64:
    if waiting == 0:
        ch.send(NicDevice.NoPackets())
        return 0
    ch.send(NicDevice.TxPackets(new(u8, 4)))
    return waiting - 1

@sip
def driver(ch: NicDevice.Exp) -> u64:
    moved: u64 = 0
    attempts: u64 = 0
    ch.send(NicDevice.Success())
    while True:
        match ch.receive():
            case NicDevice.GetDeviceProperties():
                ch.send(NicDevice.DeviceProperties(1, 42, 1500))
            case NicDevice.ConfigureIO():
                break
            case ChannelClosed():
                return moved
    while True:
        match ch.receive():
            case NicDevice.RegisterForEvents(event):
                attempts += 1
                if attempts == 1:
                    event.close()
                    ch.send(NicDevice.InvalidParameters(1))
                    continue
                ch.send(NicDevice.Success())
            case ChannelClosed():
                return moved
        try:
            event.send(NicDeviceEvent.Success())
            while True:
                match ch.receive():
                    case NicDevice.SetChecksumProperties(properties):
                        if properties <= 3:
                            ch.send(NicDevice.Success())
                            break
                        ch.send(NicDevice.InvalidParameters(2))
                    case ChannelClosed():
                        return moved
            while True:
                match ch.receive():
                    case NicDevice.StartIO():
                        ch.send(NicDevice.Success())
                    case NicDevice.ConfigureIO():
                        break
                    case ChannelClosed():
                        return moved
                waiting: u64 = 0
                while True:
                    match ch.receive():
                        case NicDevice.GiveTxPacketsToDevice(packets):
                            moved += given(ch, packets)
                            waiting += 1
                        case NicDevice.GiveRxPacketsToDevice(packets):
                            given(ch, packets)
                            continue
                        case NicDevice.TakeTxPackets():
                            waiting = taken(ch, waiting)
                            continue
                        case NicDevice.TakeRxPackets():
                            ch.send(NicDevice.NoPackets())
                            continue
                        case NicDevice.StopIO():
                            ch.send(NicDevice.Success())
                            break
                        case ChannelClosed():
                            return moved
                    event.send(NicDeviceEvent.NicDeviceEvent(waiting))
                    while True:                   # until it is acknowledged, requests go on
                        match receive(event, ch):
                            case (NicDeviceEvent.AckNicDeviceEvent(), _):
                                break
                            case (ChannelClosed(), _):
                                return moved
                            case (_, NicDevice.GiveTxPacketsToDevice(packets)):
                                moved += given(ch, packets)
                                waiting += 1
                            case (_, NicDevice.GiveRxPacketsToDevice(packets)):
                                given(ch, packets)
                            case (_, NicDevice.TakeTxPackets()):
                                waiting = taken(ch, waiting)
                            case (_, NicDevice.TakeRxPackets()):
                                ch.send(NicDevice.RxPackets(new(u8, 4)))
                            case (_, NicDevice.StopIO()):
                                ch.send(NicDevice.Success())
                                return moved + 100000
                            case (_, ChannelClosed()):
                                return moved
        finally:
            event.close()

@function
def received(ch: NicDevice.Imp) -> u64:
    ch.send(NicDevice.TakeRxPackets())
    match ch.receive():
        case NicDevice.RxPackets(packets):
            size = len(packets)
            free(packets)
            return size
        case NicDevice.NoPackets():
            return 20000
        case ChannelClosed():
            assert False

@sip
def user(ch: NicDevice.Imp) -> u64:
    ch.receive(NicDevice.Success)
    ch.send(NicDevice.GetDeviceProperties())
    match ch.receive():
        case NicDevice.DeviceProperties(kind, address, frame):
            found = u64(kind) + address + u64(frame)
        case ChannelClosed():
            return 0
    ch.send(NicDevice.ConfigureIO())
    while True:
        events, theirs = new_channel(NicDeviceEvent)
        ch.send(NicDevice.RegisterForEvents(theirs))
        match ch.receive():
            case NicDevice.InvalidParameters(why):
                match events.receive():
                    case NicDeviceEvent.Success():
                        pass
                    case ChannelClosed():
                        found += 5000             # the driver has closed its end
                events.close()
            case NicDevice.Success():
                break
            case ChannelClosed():
                events.close()
                return 0
    events.receive(NicDeviceEvent.Success)
    properties: u32 = 5
    while True:
        ch.send(NicDevice.SetChecksumProperties(properties))
        match ch.receive():
            case NicDevice.InvalidParameters(why):
                properties -= 1
            case NicDevice.Success():
                break
            case ChannelClosed():
                events.close()
                return 0
    ch.send(NicDevice.StartIO())
    ch.receive(NicDevice.Success)
    ch.send(NicDevice.GiveTxPacketsToDevice(new(u8, 100)))
    ch.receive(NicDevice.Success)
    ch.send(NicDevice.GiveRxPacketsToDevice(new(u8, 100)))   # the event waits meanwhile
    ch.receive(NicDevice.Success)
    for i in range(2):
        ch.send(NicDevice.TakeTxPackets())
        match ch.receive():
            case NicDevice.TxPackets(packets):
                found += len(packets)
                free(packets)
            case NicDevice.NoPackets():
                found += 10000
            case ChannelClosed():
                events.close()
                return 0
    found += received(ch)
    match events.receive():
        case NicDeviceEvent.NicDeviceEvent(kinds):
            found += 100000 * kinds
            events.send(NicDeviceEvent.AckNicDeviceEvent())
        case ChannelClosed():
            events.close()
            return 0
    found += received(ch)
    events.close()
    ch.send(NicDevice.StopIO())
    ch.receive(NicDevice.Success)
    return found
'''

TCP_SERVICE = f'''
TcpConnection = contract("""{TCP_CONNECTION}""")
Tcp = contract("""{TCP}""")
Hand = contract("""
contract Hand {{
    in  message Take(TcpConnection.Exp:ConnectResult connection);
    in  message Accepted(TcpConnection.Exp:PreConnected connection);
    out message Ok();
    state Start: one {{ Take? -> Ok! -> Start; Accepted? -> Ok! -> Start; }}
}}
""")

@function
def data(hand: Hand.Exp) -> u64:
    written: u64 = 0
    unread: u64 = 0                               # blocks: who reads gets one of what anybody wrote
    cut = False                                   # an empty block was written
    connected = ESet(TcpConnection.Exp, "Connected")
    receive_only = ESet(TcpConnection.Exp, "ReceiveOnly")
    send_only = ESet(TcpConnection.Exp, "SendOnly")
    while True:
        match receive(hand, connected, receive_only, send_only):
            case (Hand.Take(c), _, _, _):
                hand.send(Hand.Ok())
                c.send(TcpConnection.OK())
                connected.add(c)
            case (Hand.Accepted(c), _, _, _):
                hand.send(Hand.Ok())
                if cut:
                    c.send(TcpConnection.ConnectionClosed())
                    c.close()
                else:
                    c.send(TcpConnection.OK())
                    connected.add(c)
            case (ChannelClosed(), _, _, _):
                break
            case (_, (c, TcpConnection.Read()), _, _):
                if cut:
                    c.send(TcpConnection.ConnectionClosed())
                    c.close()
                elif unread > 0:
                    unread -= 1
                    c.send(TcpConnection.Data(new(u8, 7)))
                    connected.add(c)
                else:
                    c.send(TcpConnection.NoMoreData())
                    send_only.add(c)
            case (_, (c, TcpConnection.Write(block)), _, _):
                if len(block) > 1000:
                    c.send(TcpConnection.CantSend(block))
                    receive_only.add(c)
                else:
                    written += len(block)
                    unread += 1
                    cut = len(block) == 0
                    free(block)
                    c.send(TcpConnection.OK())
                    connected.add(c)
            case (_, (c, TcpConnection.DoneSending()), _, _):
                receive_only.add(c)
            case (_, (c, TcpConnection.DoneReceiving()), _, _):
                send_only.add(c)
            case (_, (c, TcpConnection.Abort()), _, _):
                c.close()
            case (_, (c, TcpConnection.Close()), _, _):
                c.close()
            case (_, (c, ChannelClosed()), _, _):
                c.close()
            case (_, _, (c, TcpConnection.Read()), _):
                if unread > 0:
                    unread -= 1
                    c.send(TcpConnection.Data(new(u8, 7)))
                    receive_only.add(c)
                else:
                    c.send(TcpConnection.NoMoreData())
                    c.close()
            case (_, _, (c, TcpConnection.DoneReceiving()), _):
                c.close()
            case (_, _, (c, TcpConnection.Close()), _):
                c.close()
            case (_, _, (c, ChannelClosed()), _):
                c.close()
            case (_, _, _, (c, TcpConnection.Write(block))):
                if len(block) > 1000:
                    c.send(TcpConnection.CantSend(block))
                    c.close()
                else:
                    written += len(block)
                    unread += 1
                    free(block)
                    c.send(TcpConnection.OK())
                    send_only.add(c)
            case (_, _, _, (c, TcpConnection.DoneSending())):
                c.close()
            case (_, _, _, (c, TcpConnection.Close())):
                c.close()
            case (_, _, _, (c, ChannelClosed())):
                c.close()
    connected.close()
    receive_only.close()
    send_only.close()
    hand.close()
    return written

@function
def passed(hand: Hand.Imp, connection: TcpConnection.Exp):
    hand.send(Hand.Take(connection))
    hand.receive(Hand.Ok)

@sip
def service(first: Tcp.Exp, second: Tcp.Exp) -> u64:
    hand, other = new_channel(Hand)
    worker = thread(data, other)
    clients = ESet(Tcp.Exp, "ReadyState")
    ready = ESet(TcpConnection.Exp, "ReadyState")
    bound = ESet(TcpConnection.Exp, "Bound")
    listening = ESet(TcpConnection.Exp, "Listening")
    first.send(Tcp.Ready())
    clients.add(first)
    second.send(Tcp.Ready())
    clients.add(second)
    while True:
        match receive(clients, ready, bound, listening):
            case ((client, Tcp.CreateTcpSession(c)), _, _, _):
                client.send(Tcp.Ack())
                clients.add(client)
                c.send(TcpConnection.Ready())
                ready.add(c)
            case ((client, ChannelClosed()), _, _, _):
                client.close()
                if len(clients) == 0:
                    break
            case (_, (c, TcpConnection.Connect(address, port)), _, _):
                if address == 0:
                    c.send(TcpConnection.CouldNotConnect(1))
                    ready.add(c)
                else:
                    passed(hand, c)
            case (_, (c, TcpConnection.Bind(address, port)), _, _):
                if port == 0:
                    c.send(TcpConnection.InvalidEndpoint())
                    ready.add(c)
                else:
                    c.send(TcpConnection.OK())
                    bound.add(c)
            case (_, (c, TcpConnection.PreConnect()), _, _):
                c.send(TcpConnection.ConnectionClosed())
                c.close()                         # nobody was accepted
            case (_, (c, TcpConnection.Close()), _, _):
                c.close()
            case (_, (c, ChannelClosed()), _, _):
                c.close()
            case (_, _, (c, TcpConnection.Listen(backlog)), _):
                if backlog <= 0:
                    c.send(TcpConnection.InvalidEndpoint())
                    ready.add(c)
                else:
                    c.send(TcpConnection.OK())
                    listening.add(c)
            case (_, _, (c, TcpConnection.Connect(address, port)), _):
                if address == 0:
                    c.send(TcpConnection.CouldNotConnect(1))
                    ready.add(c)
                else:
                    passed(hand, c)
            case (_, _, (c, TcpConnection.Close()), _):
                c.close()
            case (_, _, (c, ChannelClosed()), _):
                c.close()
            case (_, _, _, (c, TcpConnection.Accept(connection))):
                hand.send(Hand.Accepted(connection))
                hand.receive(Hand.Ok)
                c.send(TcpConnection.OK())
                listening.add(c)
            case (_, _, _, (c, TcpConnection.Close())):
                c.close()
            case (_, _, _, (c, ChannelClosed())):
                c.close()
    clients.close()
    ready.close()
    bound.close()
    listening.close()
    hand.close()
    return join(worker)

@function
def session(tcp: Tcp.Imp) -> TcpConnection.Imp:
    imp, exp = new_channel(TcpConnection)
    tcp.send(Tcp.CreateTcpSession(exp))
    tcp.receive(Tcp.Ack)
    return imp

@function
def write(c: TcpConnection.Imp, size: u64):
    c.send(TcpConnection.Write(new(u8, size)))
    match c.receive():
        case TcpConnection.OK():
            pass
        case TcpConnection.CantSend(block):
            free(block)
            assert False
        case ChannelClosed():
            assert False

@function
def connect(tcp: Tcp.Imp) -> TcpConnection.Imp:
    c = session(tcp)
    c.receive(TcpConnection.Ready)
    address: u32 = 0
    while True:
        c.send(TcpConnection.Connect(address, 80))
        match c.receive():
            case TcpConnection.CouldNotConnect(why):
                address += 1
            case TcpConnection.OK():
                return c
            case ChannelClosed():
                assert False

@sip
def visitor(tcp: Tcp.Imp) -> u64:
    tcp.receive(Tcp.Ready)
    c = connect(tcp)
    c.send(TcpConnection.Abort())
    c.close()
    c = session(tcp)
    c.receive(TcpConnection.Ready)
    c.send(TcpConnection.Close())
    c.close()
    c = session(tcp)
    c.receive(TcpConnection.Ready)
    c.send(TcpConnection.PreConnect())
    found: u64 = 0
    match c.receive():
        case TcpConnection.OK():
            pass
        case TcpConnection.ConnectionClosed():
            c.send(TcpConnection.Abort())
            found = 1
        case ChannelClosed():
            pass
    c.close()
    return found

@function
def read(c: TcpConnection.Imp) -> u64:
    c.send(TcpConnection.Read())
    match c.receive():
        case TcpConnection.Data(block):
            size = len(block)
            free(block)
            return size
        case TcpConnection.NoMoreData():
            assert False
        case TcpConnection.ConnectionClosed():
            assert False
        case ChannelClosed():
            assert False

@function
def refused(c: TcpConnection.Imp) -> u64:
    c.send(TcpConnection.Write(new(u8, 2000)))
    match c.receive():
        case TcpConnection.OK():
            assert False
        case TcpConnection.CantSend(block):
            size = len(block)
            free(block)
            return size
        case ChannelClosed():
            assert False

@function
def drained(c: TcpConnection.Imp):
    c.send(TcpConnection.Read())
    match c.receive():
        case TcpConnection.Data(block):
            free(block)
            assert False
        case TcpConnection.NoMoreData():
            pass
        case TcpConnection.ConnectionClosed():
            assert False
        case ChannelClosed():
            assert False

@function
def listen(tcp: Tcp.Imp) -> TcpConnection.Imp:
    c = session(tcp)
    c.receive(TcpConnection.Ready)
    port: u16 = 0
    backlog: i32 = 0
    while True:
        c.send(TcpConnection.Bind(0, port))
        match c.receive():
            case TcpConnection.InvalidEndpoint():
                port = 80
                continue
            case TcpConnection.OK():
                pass
            case ChannelClosed():
                assert False
        c.send(TcpConnection.Listen(backlog))
        match c.receive():
            case TcpConnection.InvalidEndpoint():
                backlog = 5
            case TcpConnection.OK():
                return c
            case ChannelClosed():
                assert False

@function
def accept(listener: TcpConnection.Imp) -> TcpConnection.Imp:
    imp, exp = new_channel(TcpConnection)
    exp.send(TcpConnection.Ready())               # both ends are ours: we take them to PreConnected ourselves
    imp.receive(TcpConnection.Ready)
    imp.send(TcpConnection.PreConnect())
    match exp.receive():
        case TcpConnection.PreConnect():
            pass
        case TcpConnection.Connect(address, port):
            assert False
        case TcpConnection.Bind(address, port):
            assert False
        case TcpConnection.Close():
            assert False
        case ChannelClosed():
            assert False
    listener.send(TcpConnection.Accept(exp))
    listener.receive(TcpConnection.OK)
    return imp

@sip
def browser(tcp: Tcp.Imp) -> u64:
    tcp.receive(Tcp.Ready)
    c = connect(tcp)
    write(c, 300)
    write(c, 40)
    found = read(c)
    c.send(TcpConnection.DoneSending())
    c.send(TcpConnection.Read())
    match c.receive():
        case TcpConnection.Data(block):
            found += len(block)
            free(block)
        case TcpConnection.NoMoreData():
            assert False
        case TcpConnection.ConnectionClosed():
            assert False
        case ChannelClosed():
            assert False
    c.send(TcpConnection.DoneReceiving())
    c.send(TcpConnection.Abort())
    c.close()
    c = connect(tcp)
    found += refused(c)                           # what could not be sent comes back; from here on it only receives
    drained_too(c)
    c.close()
    c = connect(tcp)
    drained(c)                                    # and here it only sends
    write_last(c)
    c.close()
    return found + serve(tcp)

@function
def drained_too(c: TcpConnection.Imp):
    c.send(TcpConnection.Read())
    match c.receive():
        case TcpConnection.Data(block):
            free(block)
            assert False
        case TcpConnection.NoMoreData():
            c.send(TcpConnection.Close())
        case TcpConnection.ConnectionClosed():
            assert False
        case ChannelClosed():
            assert False

@function
def write_last(c: TcpConnection.Imp):
    c.send(TcpConnection.Write(new(u8, 10)))
    match c.receive():
        case TcpConnection.OK():
            c.send(TcpConnection.DoneSending())
        case TcpConnection.CantSend(block):
            free(block)
            assert False
        case ChannelClosed():
            assert False

@function
def serve(tcp: Tcp.Imp) -> u64:
    """A server of three connections: reads are asked of all, and answered in whatever order they come."""
    listener = listen(tcp)
    waiting = ESet(TcpConnection.Imp, "ReadResult")
    for i in range(3):
        c = accept(listener)
        match c.receive():
            case TcpConnection.OK():
                write(c, 100 + i)
                c.send(TcpConnection.Read())
                waiting.add(c)
            case TcpConnection.ConnectionClosed():
                c.close()
            case ChannelClosed():
                c.close()
    total: u64 = 0
    while True:
        match waiting.receive():
            case (c, TcpConnection.Data(block)):
                total += len(block)
                free(block)
                c.send(TcpConnection.Close())
                c.close()
            case (c, TcpConnection.NoMoreData()):
                total += 10000
                c.close()
            case (c, TcpConnection.ConnectionClosed()):
                total += 20000
                c.close()
            case (c, ChannelClosed()):
                c.close()
            case Unsatisfiable():
                break
    waiting.close()
    cutting = connect(tcp)                        # an empty block, and the network is gone
    write(cutting, 0)
    cutting.send(TcpConnection.Read())
    match cutting.receive():
        case TcpConnection.ConnectionClosed():
            total += 30000
            cutting.send(TcpConnection.Close())
        case TcpConnection.NoMoreData():
            pass
        case TcpConnection.Data(block):
            free(block)
        case ChannelClosed():
            pass
    cutting.close()
    late = accept(listener)
    match late.receive():
        case TcpConnection.OK():
            pass
        case TcpConnection.ConnectionClosed():
            total += 50000
        case ChannelClosed():
            pass
    late.close()
    listener.send(TcpConnection.Close())
    listener.close()
    return total
'''
