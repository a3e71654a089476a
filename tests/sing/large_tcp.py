"""Both sides of the TCP contracts in the language: a service for two clients at once, and these.

There is no network: what anybody wrote is read by whoever reads next, as seven bytes a block. The service refuses address 0,
port 0, no backlog and what is longer than 1,000 bytes; an empty block cuts the network.
"""

from __future__ import annotations

from large_contracts import TCP, TCP_CONNECTION

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
