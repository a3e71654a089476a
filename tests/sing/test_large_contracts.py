"""Contracts as large as the real system's, implemented by both sides: verified on all paths, and run through every state."""

from __future__ import annotations

import pytest
from large_contracts import NIC_DEVICE, TCP_CONNECTION

from singlab.kernel import System
from singlab.sing import build, programs_from_source
from singlab.trace.record import Kind

NIC = f'''
NicDevice = contract("""{NIC_DEVICE}""")

@sip
def server(ch: NicDevice.Exp) -> u64:
    moved: u64 = 0
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
        while True:
            match ch.receive():
                case NicDevice.RegisterForEvents(event):
                    if event == 0:
                        ch.send(NicDevice.InvalidParameters(1))
                    else:
                        ch.send(NicDevice.Success())
                        break
                case ChannelClosed():
                    return moved
        while True:
            match ch.receive():
                case NicDevice.SetChecksumProperties(properties):
                    if properties > 3:
                        ch.send(NicDevice.InvalidParameters(2))
                    else:
                        ch.send(NicDevice.Success())
                        break
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
                        moved += len(packets)
                        waiting += 1
                        free(packets)
                        ch.send(NicDevice.Success())
                    case NicDevice.GiveRxPacketsToDevice(packets):
                        free(packets)
                        ch.send(NicDevice.Success())
                    case NicDevice.TakeTxPackets():
                        if waiting > 0:
                            waiting -= 1
                            ch.send(NicDevice.TxPackets(new(u8, 4)))
                        else:
                            ch.send(NicDevice.NoPackets())
                    case NicDevice.TakeRxPackets():
                        if waiting > 5:
                            ch.send(NicDevice.RxPackets(new(u8, 4)))
                        else:
                            ch.send(NicDevice.NoPackets())
                    case NicDevice.StopIO():
                        ch.send(NicDevice.Success())
                        break
                    case ChannelClosed():
                        return moved

@sip
def client(ch: NicDevice.Imp) -> u64:
    ch.receive(NicDevice.Success)
    ch.send(NicDevice.GetDeviceProperties())
    match ch.receive():
        case NicDevice.DeviceProperties(kind, address, frame):
            found = u64(kind) + address + u64(frame)
        case ChannelClosed():
            return 0
    ch.send(NicDevice.ConfigureIO())
    event: u64 = 0
    while True:
        ch.send(NicDevice.RegisterForEvents(event))
        match ch.receive():
            case NicDevice.InvalidParameters(why):
                event += 1
            case NicDevice.Success():
                break
            case ChannelClosed():
                return 0
    properties: u32 = 5
    while True:
        ch.send(NicDevice.SetChecksumProperties(properties))
        match ch.receive():
            case NicDevice.InvalidParameters(why):
                properties -= 1
            case NicDevice.Success():
                break
            case ChannelClosed():
                return 0
    ch.send(NicDevice.StartIO())
    ch.receive(NicDevice.Success)
    ch.send(NicDevice.GiveTxPacketsToDevice(new(u8, 100)))
    ch.receive(NicDevice.Success)
    ch.send(NicDevice.GiveRxPacketsToDevice(new(u8, 100)))
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
                return 0
    ch.send(NicDevice.TakeRxPackets())
    match ch.receive():
        case NicDevice.RxPackets(packets):
            free(packets)
        case NicDevice.NoPackets():
            found += 20000
        case ChannelClosed():
            return 0
    ch.send(NicDevice.StopIO())
    ch.receive(NicDevice.Success)
    return found
'''

TCP = f'''
TcpConnection = contract("""{TCP_CONNECTION}""")

@sip
def server(ch: TcpConnection.Exp) -> u64:
    written: u64 = 0
    ch.send(TcpConnection.Ready())
    while True:
        match ch.receive():
            case TcpConnection.Connect(address, port):
                if address == 0:
                    ch.send(TcpConnection.CouldNotConnect(1))
                    continue
                ch.send(TcpConnection.OK())
                break
            case TcpConnection.Bind(address, port):
                if port == 0:
                    ch.send(TcpConnection.InvalidEndpoint())
                    continue
                ch.send(TcpConnection.OK())
            case TcpConnection.Close():
                return written
            case ChannelClosed():
                return written
        match ch.receive():
            case TcpConnection.Connect(address, port):
                if address == 0:
                    ch.send(TcpConnection.CouldNotConnect(1))
                    continue
                ch.send(TcpConnection.OK())
                break
            case TcpConnection.Listen(backlog):
                if backlog <= 0:
                    ch.send(TcpConnection.InvalidEndpoint())
                    continue
                ch.send(TcpConnection.OK())
            case TcpConnection.Close():
                return written
            case ChannelClosed():
                return written
        while True:
            match ch.receive():
                case TcpConnection.Accept(connection):
                    ch.send(TcpConnection.OK())
                case TcpConnection.Close():
                    return written
                case ChannelClosed():
                    return written
    reads: u64 = 0
    while True:
        match ch.receive():
            case TcpConnection.Read():
                reads += 1
                if reads < 3:
                    ch.send(TcpConnection.Data(new(u8, 7)))
                elif reads < 5:
                    ch.send(TcpConnection.NoMoreData())
                else:
                    ch.send(TcpConnection.ConnectionClosed())
            case TcpConnection.Write(data):
                if len(data) > 1000:
                    ch.send(TcpConnection.CantSend(data))
                else:
                    written += len(data)
                    free(data)
                    ch.send(TcpConnection.OK())
            case TcpConnection.DoneSending():
                pass
            case TcpConnection.DoneReceiving():
                pass
            case TcpConnection.Abort():
                return written
            case TcpConnection.Close():
                return written
            case ChannelClosed():
                return written

@sip
def client(ch: TcpConnection.Imp) -> u64:
    read: u64 = 0
    ch.receive(TcpConnection.Ready)
    address: u32 = 0
    while True:
        ch.send(TcpConnection.Connect(address, 80))
        match ch.receive():
            case TcpConnection.CouldNotConnect(why):
                address += 1
            case TcpConnection.OK():
                break
            case ChannelClosed():
                return 0
    ch.send(TcpConnection.Write(new(u8, 300)))
    match ch.receive():
        case TcpConnection.OK():
            read += 0
        case TcpConnection.CantSend(data):
            free(data)
            ch.send(TcpConnection.Close())
            return 0
        case ChannelClosed():
            return 0
    while True:
        ch.send(TcpConnection.Read())
        match ch.receive():
            case TcpConnection.Data(data):
                read += len(data)
                free(data)
            case TcpConnection.NoMoreData():
                break
            case TcpConnection.ConnectionClosed():
                ch.send(TcpConnection.Abort())
                return read
            case ChannelClosed():
                return 0
    ch.send(TcpConnection.Write(new(u8, 2000)))
    match ch.receive():
        case TcpConnection.OK():
            ch.send(TcpConnection.DoneSending())
        case TcpConnection.CantSend(data):
            free(data)
            read += 1000
        case ChannelClosed():
            return 0
    ch.send(TcpConnection.Close())
    return read
'''


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
@pytest.mark.parametrize(("text", "values"), [(NIC, (1543 + 4 + 10000 + 20000, 100)), (TCP, (14 + 1000, 300))], ids=["nic", "tcp"])
def test_both_sides_are_verified_and_run(text, values, isolation):
    unit = programs_from_source(text)
    system = System(isolation=isolation)
    client, server = (system.create(build(unit.programs[name])) for name in ("client", "server"))
    system.connect(client["ch"], server["ch"])
    assert system.run().outcome == "finished"
    assert (client.exit_value, server.exit_value) == values
    assert not (system.trace.events["kind"] == Kind.REFUSED).any()
    assert not any(any(process.holdings().values()) for process in (client, server))
