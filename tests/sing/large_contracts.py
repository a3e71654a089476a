"""Contracts as large as the real system's: a network card's driver, its events, the TCP service and a TCP connection.

Written down from the outline of the research development kit's contracts; endpoints they hand over are endpoints in the
state the outline says. A packet queue is one block. The outline does not say how an end gets to PreConnected, nor what is
said there: here whoever made the channel takes it there from ReadyState, and the service then says OK.
"""

NIC_DEVICE = """
contract NicDevice {
    out message Success();
    in  message GetDeviceProperties();
    out message DeviceProperties(uint kind, ulong address, uint frame);
    in  message ConfigureIO();
    in  message RegisterForEvents(NicDeviceEvent.Exp:READY event);
    out message InvalidParameters(int why);
    in  message SetChecksumProperties(uint properties);
    in  message StartIO();
    in  message StopIO();
    in  message GiveTxPacketsToDevice(byte[]* in ExHeap packets);
    in  message GiveRxPacketsToDevice(byte[]* in ExHeap packets);
    in  message TakeTxPackets();
    in  message TakeRxPackets();
    out message TxPackets(byte[]* in ExHeap packets);
    out message RxPackets(byte[]* in ExHeap packets);
    out message NoPackets();

    state Start: Success! -> READY;
    state READY: one {
        GetDeviceProperties? -> DeviceProperties! -> READY;
        ConfigureIO? -> IO_CONFIGURE_BEGIN;
    }
    state IO_CONFIGURE_BEGIN: RegisterForEvents? -> IO_CONFIGURE_0;
    state IO_CONFIGURE_0: one { InvalidParameters! -> IO_CONFIGURE_BEGIN; Success! -> IO_CONFIGURE_1; }
    state IO_CONFIGURE_1: SetChecksumProperties? -> IO_CONFIGURE_2;
    state IO_CONFIGURE_2: one { InvalidParameters! -> IO_CONFIGURE_1; Success! -> IO_CONFIGURED; }
    state IO_CONFIGURED: one { StartIO? -> Success! -> IO_RUNNING; ConfigureIO? -> IO_CONFIGURE_BEGIN; }
    state IO_RUNNING: one {
        GiveTxPacketsToDevice? -> Success! -> IO_RUNNING;
        GiveRxPacketsToDevice? -> Success! -> IO_RUNNING;
        TakeTxPackets? -> (TxPackets! or NoPackets!) -> IO_RUNNING;
        TakeRxPackets? -> (RxPackets! or NoPackets!) -> IO_RUNNING;
        StopIO? -> Success! -> IO_CONFIGURED;
    }
}
"""

NIC_EVENTS = """
contract NicDeviceEvent {
    out message Success();
    out message NicDeviceEvent(ulong kinds);
    in  message AckNicDeviceEvent();

    state READY: Success! -> RUNNING;
    state RUNNING: NicDeviceEvent! -> AckNicDeviceEvent? -> RUNNING;
}
"""

TCP_CONNECTION = """
contract TcpConnection {
    out message Ready();
    in  message Bind(uint address, ushort port);
    in  message Connect(uint address, ushort port);
    in  message Listen(int backlog);
    in  message PreConnect();
    in  message Accept(TcpConnection.Exp:PreConnected connection);
    in  message Read();
    in  message Write(byte[]* in ExHeap data);
    in  message DoneSending();
    in  message DoneReceiving();
    in  message Abort();
    in  message Close();
    out message OK();
    out message InvalidEndpoint();
    out message CouldNotConnect(int why);
    out message Data(byte[]* in ExHeap data);
    out message NoMoreData();
    out message ConnectionClosed();
    out message CantSend(byte[]* in ExHeap data);

    state Start: Ready! -> ReadyState;
    state ReadyState: one { Connect? -> ConnectResult; Bind? -> BindResult; PreConnect? -> PreConnected; Close? -> Closed; }
    state ConnectResult: one { CouldNotConnect! -> ReadyState; OK! -> Connected; }
    state BindResult: one { InvalidEndpoint! -> ReadyState; OK! -> Bound; }
    state Bound: one { Listen? -> ListenResult; Connect? -> ConnectResult; Close? -> Closed; }
    state ListenResult: one { InvalidEndpoint! -> ReadyState; OK! -> Listening; }
    state Listening: one { Accept? -> OK! -> Listening; Close? -> Closed; }
    state PreConnected: one { OK! -> Connected; ConnectionClosed! -> Zombie; }
    state Connected: one {
        Read? -> ReadResult;
        Write? -> WriteResult;
        DoneSending? -> ReceiveOnly;
        DoneReceiving? -> SendOnly;
        Abort? -> Closed;
        Close? -> Closed;
    }
    state ReadResult: one { Data! -> Connected; NoMoreData! -> SendOnly; ConnectionClosed! -> Zombie; }
    state WriteResult: one { OK! -> Connected; CantSend! -> ReceiveOnly; }
    state ReceiveOnly: one { Read? -> ReceiveOnlyReadResult; DoneReceiving? -> Zombie; Close? -> Closed; }
    state ReceiveOnlyReadResult: one { Data! -> ReceiveOnly; NoMoreData! -> Zombie; ConnectionClosed! -> Zombie; }
    state SendOnly: one { Write? -> SendOnlyWriteResult; DoneSending? -> Zombie; Close? -> Closed; }
    state SendOnlyWriteResult: one { OK! -> SendOnly; CantSend! -> Zombie; }
    state Zombie: one { Abort? -> Closed; Close? -> Closed; }
    state Closed: ;
}
"""

TCP = """
contract Tcp {
    out message Ready();
    in  message CreateTcpSession(TcpConnection.Exp:Start connection);
    out message Ack();

    state Start: Ready! -> ReadyState;
    state ReadyState: CreateTcpSession? -> Ack! -> ReadyState;
}
"""

LARGE = {"nic": NIC_DEVICE, "events": NIC_EVENTS, "tcp": TCP_CONNECTION, "service": TCP}
