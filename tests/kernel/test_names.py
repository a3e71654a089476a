"""Names and principals: what is provided, who is connected with whom, who is refused, and what becomes of it when somebody dies."""

from __future__ import annotations

from functools import cache

import pytest

from singlab.kernel import InstallError, System
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI_NUMBER, E_DENIED

ISOLATIONS = ("sip", "pages", "ring3-domains")

SOURCE = '''
Files = contract("""
contract Files {
    out message Ready(ulong number);
    in message Read(ulong offset);
    out message Data(byte[]* in ExHeap data);
    state Start: Ready! -> Open;
    state Open: Read? -> Data! -> Open;
}
""")

FilesProvider = contract("""
contract FilesProvider {
    in message Connect(Files.Exp:Start exp);
    out message AckConnect();
    out message NackConnect(Files.Exp:Start exp);
    state Start: Connect? -> (AckConnect! -> Start or NackConnect! -> Start);
}
""")

@sip(provides=["/files"])
def server(limit: u64, pause: u64) -> u64:
    imp, exp = new_channel(FilesProvider)
    if not register("/files", imp):
        exp.close()
        return 999
    clients = ESet(Files.Exp, "Open")
    served: u64 = 0
    taken: u64 = 0
    while taken < limit or len(clients) > 0:
        match receive(exp, clients):
            case (FilesProvider.Connect(fresh), _):
                for i in range(pause):
                    yield_()
                if taken == limit:
                    exp.send(FilesProvider.NackConnect(fresh))
                else:
                    exp.send(FilesProvider.AckConnect())
                    fresh.send(Files.Ready(taken))
                    clients.add(fresh)
                    taken += 1
            case (_, (client, Files.Read(offset))):
                data = new(u8, 4)
                data[0] = u8(offset + 1)
                client.send(Files.Data(data))
                served += 1
                clients.add(client)
            case (_, (client, ChannelClosed())):
                client.close()
    clients.close()
    exp.close()
    return served

@sip(wants=["/files"])
def client(n: u64) -> u64:
    files = connect("/files", Files)
    match files.receive():
        case Files.Ready(number):
            files.send(Files.Read(n))
            data = files.receive(Files.Data)
            result = number * 1000 + data[0]
            free(data)
            files.close()
            return result
        case ChannelClosed():
            files.close()
            return 77777

@sip(wants=["/other/*"])
def stranger() -> u64:
    files = connect("/other/files", Files)
    match files.receive():
        case Files.Ready(number):
            files.close()
            return number
        case ChannelClosed():
            files.close()
            return 77777

@sip(provides=[("/vault", "admin")])
def vault() -> u64:
    imp, exp = new_channel(FilesProvider)
    bound = register("/vault", imp)
    match exp.receive():
        case FilesProvider.Connect(fresh):
            exp.send(FilesProvider.AckConnect())
            fresh.send(Files.Ready(5))
            who = peer_principal(fresh)
            mine = speaks_for(fresh, "ad*n")
            result = len(who)
            if mine and who[0] == 97:
                result += 1000
            free(who)
            fresh.close()
            exp.close()
            return result
        case ChannelClosed():
            exp.close()
            return 1

@sip(wants=["/vault"])
def admin() -> u64:
    ch = connect("/vault", Files)
    match ch.receive():
        case Files.Ready(number):
            me = principal()
            n = len(me)
            free(me)
            ch.close()
            return number * 10 + n
        case ChannelClosed():
            ch.close()
            return 77777

@sip(name="admin2", wants=["/vault"])
def other() -> u64:
    ch = connect("/vault", Files)
    match ch.receive():
        case Files.Ready(number):
            ch.close()
            return number
        case ChannelClosed():
            ch.close()
            return 77777
'''


@cache
def programs():
    from singlab.sing import build, programs_from_source

    return {name: build(program) for name, program in programs_from_source(SOURCE, "names").programs.items()}


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(("clients", "limit", "pause"), [(1, 1, 0), (3, 3, 0), (4, 4, 25), (4, 2, 10)])
def test_clients_are_connected_by_name(isolation, clients, limit, pause):
    system = System(isolation=isolation, ram="4M")
    server = system.create(programs()["server"], limit=limit, pause=pause)
    system.run()  # until the provider waits
    made = [system.create(programs()["client"], name=f"client{i}", n=i) for i in range(clients)]
    run = system.run()
    values = sorted(process.exit_value % 1000 for process in made if process.exit_value != 77777)
    assert run.outcome == "finished", run.report
    assert len(values) == limit == server.exit_value
    assert [process.fault for process in made] == [None] * clients
    for process in (server, *made):
        assert set(process.holdings().values()) == {0}
    assert system.machine.load_u64(at.G_NAMES) == 0


def test_the_namespace_is_a_table():
    system = System()
    server = system.create(programs()["server"], limit=1, pause=0)
    system.run()  # until the provider waits
    row = system.namespace.loc["/files"]
    assert (row["provider"], row["service"], row["for"]) == ("server", "Files.Exp:Start", "*") and row["open"]
    system.create(programs()["client"], n=3)
    system.run()
    assert server.exit_value == 1 and len(system.namespace) == 0
    assert system.installed.loc["server", "provides"] == "/files" and system.installed.loc["client", "wants"] == "/files"


@pytest.mark.parametrize("isolation", ["sip", "ring3"])
@pytest.mark.parametrize("name", ["client", "stranger"])
def test_a_name_that_nobody_provides_is_a_channel_that_is_closed(isolation, name):
    system = System(isolation=isolation)
    process = system.create(programs()[name], **({"n": 1} if name == "client" else {}))
    assert system.run().outcome == "finished"
    assert process.exit_value == 77777
    assert set(process.holdings().values()) == {0}


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_the_providers_rule_is_checked_against_the_principal(isolation):
    system = System(isolation=isolation, ram="4M")
    vault = system.create(programs()["vault"])
    system.run()  # until the provider waits
    other = system.create(programs()["other"])
    system.run()
    assert other.exit_value == 77777 and vault.state == "running"
    admin = system.create(programs()["admin"], name="under another name")
    assert system.run().outcome == "finished"
    assert admin.exit_value == 55 and vault.exit_value == 1005


def test_two_images_cannot_provide_one_name():
    from singlab.sing import build, programs_from_source

    source = SOURCE + '\n@sip(provides=["/files"])\ndef second():\n    pass\n'
    system = System()
    system.install(programs()["server"])
    with pytest.raises(InstallError, match="/files conflicts with server"):
        system.install(build(programs_from_source(source, "names").programs["second"]))


def test_a_second_process_cannot_take_the_name():
    system = System()
    first = system.create(programs()["server"], limit=1, pause=0)
    system.run()  # until the provider waits
    second = system.create(programs()["server"], name="second", limit=1, pause=0)
    system.run()
    assert second.exit_value == 999 and first.state == "running"
    assert set(second.holdings().values()) == {0}


@pytest.mark.parametrize("victim", ["server", "client0", "client1", "client2"])
@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_whoever_is_stopped_whenever_the_others_come_to_an_end(isolation, victim):
    """Connections under way, waiting for their turn, orphaned: nobody waits for ever, nothing is left."""
    for stop_at in range(0, 160, 9):
        system = System(isolation=isolation, ram="4M")
        server = system.create(programs()["server"], limit=2, pause=6)
        system.run()  # until the provider waits
        made = [system.create(programs()["client"], name=f"client{i}", n=i) for i in range(3)]
        for process in made:
            system.start(process)
        system.run(events=stop_at)
        next(p for p in (server, *made) if p.name == victim).stop()
        run = system.run()
        # a server whose clients are gone waits for others
        assert run.outcome in ("finished", "deadlock")
        assert all(process.state == "stopped" for process in made), (stop_at, run.report)
        if run.outcome == "deadlock":
            late = [system.create(programs()["client"], name=f"late{i}", n=i) for i in range(3)]
            assert system.run().outcome == "finished", (stop_at, run.report)
            made += late
        for process in (server, *made):
            assert set(process.holdings().values()) == {0}, (stop_at, process)
            # a server that is stopped in the middle of a conversation is seen by its client
            assert process.fault is None or (victim == "server" and process.fault.code == 3)
        nobody = system.create(programs()["client"], name="nobody", n=1)
        system.run()
        assert nobody.exit_value == 77777
        assert system.machine.load_u64(at.G_NAMES) == 0 and system.machine.load_u64(at.G_CONNECTING) == 0
        service = system.machine.load_u64(at.G_NAME_SERVICE)
        assert system.machine.load_u64(service + at.P_ENDPOINTS) == 0


@pytest.mark.parametrize("isolation", ["sip", "ring3-domains"])
def test_the_kernels_tables_agree_while_names_are_connected(isolation):
    from singlab.kernel.audit import check

    system = System(isolation=isolation, ram="4M")
    system.create(programs()["server"], limit=2, pause=5)
    system.run()  # until the provider waits
    for i in range(3):
        system.create(programs()["client"], name=f"client{i}", n=i)
    while not system.done:
        system.run(events=15)
        check(system)


_NOBODY = "def nobody(contract, importer, exporter):\n    return 0\n"
_LOW = "def low(contract, importer, exporter):\n    return exporter < importer and importer < 5\n"


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_the_admission_policy_is_asked_about_connections_by_name_too(isolation):
    """Who is not admitted gets the endpoint back, as from a provider that does not take it; the provider hears nothing of it."""
    from singlab.sing.policies import policy_from_source

    system = System(isolation=isolation, ram="4M")
    server = system.create(programs()["server"], limit=1, pause=0)
    system.run()
    system.use(policy_from_source("admit", _NOBODY))
    refused = system.create(programs()["client"], name="refused", n=1)
    system.run()
    assert refused.exit_value == 77777 and refused.fault is None and server.state == "running"
    denied = [(int(e["a"]), int(e["b"])) for e in system.trace.events if e["kind"] == 28]
    assert denied == [(ABI_NUMBER["connect_name"], E_DENIED)]
    system.use(policy_from_source("admit", _LOW))
    admitted = system.create(programs()["client"], name="admitted", n=2)  # the third process; the server is the first
    late = system.create(programs()["client"], name="late", n=2)
    assert admitted.number < 5 or late.number >= 5
    system.run()
    assert (admitted.exit_value, late.exit_value) == (3, 77777) and server.exit_value == 1


def test_an_admission_policy_that_fails_is_put_out_of_force_and_lets_nobody_in_by_name():
    from singlab.kernel.policies import PolicyError
    from singlab.sing.policies import policy_from_source

    system = System(ram="4M")
    server = system.create(programs()["server"], limit=1, pause=0)
    system.run()
    system.use(policy_from_source("admit", "def endless(contract, importer, exporter):\n    while True:\n        importer += 1\n    return 1\n"))
    client = system.create(programs()["client"], n=1)
    with pytest.raises(PolicyError):
        system.run()
    system.run()
    assert client.exit_value == 77777 and server.state == "running"
    again = system.create(programs()["client"], name="again", n=1)
    system.run()
    assert again.exit_value == 2 and server.exit_value == 1
