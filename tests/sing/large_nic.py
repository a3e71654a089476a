"""Both sides of the network card's contracts in the language. There is no card: the driver reports packets it was given as events."""

from __future__ import annotations

from large_contracts import NIC_DEVICE, NIC_EVENTS

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
