"""The system as a whole: two SIPs talk, are watched, stopped, refused and run again."""

from __future__ import annotations

import pytest
from programs import expected_total, images, talk

from singlab.kernel import InstallError, KernelError, SealError, System
from singlab.kernel import layout as at
from singlab.kernel.image import open_image
from singlab.trace.record import Kind

ISOLATIONS = ("sip", "ring3")


def free_pages(system: System) -> int:
    """Count the pages of the user zone that nobody has, plus what idle buckets hold."""
    tags = system.page_tags()
    first = system.machine.load_u64(at.G_USER_FIRST)
    return int((tags[first:] == 0).sum())


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("transfer", ["ownership", "copy"])
@pytest.mark.parametrize("size", [1, 16, 4096, 20_000])
def test_two_processes_talk(isolation, transfer, size):
    system = System(isolation=isolation, transfer=transfer)
    client, server = talk(system, rounds=3, size=size)
    run = system.run()
    assert run.outcome == "finished"
    assert client.exit_value == expected_total(3)
    assert server.end.state == "exit"
    for process in (client, server):
        assert set(process.holdings().values()) == {0}


def test_a_block_keeps_its_address_by_ownership_and_not_by_copy():
    def addresses(transfer):
        system = System(transfer=transfer)
        talk(system, rounds=1, size=8192)
        events = system.run().trace.events
        return {int(e["a"]) for e in events if e["kind"] in (Kind.BLOCK_ALLOC,)}, system

    owned, system = addresses("ownership")
    copied, _ = addresses("copy")
    assert len(owned) == 1 and len(copied) > 1
    kinds = set(system.trace.events["kind"].tolist())
    assert Kind.BLOCK_OWNER in kinds and Kind.BLOCK_COPY not in kinds


def test_the_same_calls_give_the_same_cycles_and_events():
    def once():
        system = System(seed=3)
        talk(system, rounds=5)
        run = system.run()
        return run.cycles, run.instructions, system.trace.events.tobytes()

    assert once() == once()


def test_stepping_is_running():
    whole = System()
    talk(whole, rounds=4)
    whole.run()
    stepped = System()
    talk(stepped, rounds=4)
    while not stepped.done:
        stepped.advance(events=1)
    assert stepped.trace.events.tobytes() == whole.trace.events.tobytes()
    assert stepped.machine.counters() == whole.machine.counters()


def test_cycle_slices_do_not_change_the_run():
    whole = System()
    talk(whole, rounds=4)
    whole.run()
    sliced = System()
    talk(sliced, rounds=4)
    while not sliced.done:
        sliced.run(cycles=97)
    assert sliced.trace.events.tobytes() == whole.trace.events.tobytes()


def test_going_back_replays_exactly():
    system = System()
    client, _ = talk(system, rounds=6)
    system.run(events=60)
    here = system.snapshot()
    first = system.run()
    events = first.trace.events.tobytes()
    value = client.exit_value
    system.restore(here)
    assert client.state == "running"
    again = system.run()
    assert again.trace.events.tobytes() == events
    assert (again.cycles, client.exit_value) == (first.cycles, value)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_stopping_a_process_at_any_event_gives_everything_back(isolation):
    whole = System(isolation=isolation)
    talk(whole, rounds=2, size=5000)
    baseline = free_pages(System(isolation=isolation))
    events = len(whole.run().trace)
    for victim_index in (0, 1):
        system = System(isolation=isolation)
        pair = talk(system, rounds=2, size=5000)
        system.run(events=1)
        for _ in range(events):
            here = system.snapshot()
            victim, other = pair[victim_index], pair[1 - victim_index]
            if victim.state != "running":
                break
            victim.stop()
            assert set(victim.holdings().values()) == {0}
            run = system.run()
            assert run.outcome == "finished"
            assert other.state == "stopped"
            assert set(other.holdings().values()) == {0}
            assert free_pages(system) == baseline
            system.restore(here)
            system.advance(events=1)


def test_messages_under_way_are_received_before_channel_closed():
    """A client that stops after sending: the server still gets the message, and only then ChannelClosed."""
    system = System()
    client, server = talk(system, rounds=1)
    while not any(e["kind"] == Kind.SEND for e in system.trace.events):
        system.advance(events=1)
    client.stop()
    system.run()
    after = [int(e["kind"]) for e in system.trace.events]
    stop = after.index(Kind.PROCESS_STOP)
    assert Kind.CLOSED_SEEN in after[stop:]
    received = [i for i, e in enumerate(system.trace.events) if e["kind"] == Kind.RECEIVE]
    assert received and received[0] < after.index(Kind.CLOSED_SEEN)


def test_two_hogs_share_the_processor():
    system = System(quantum_us=100)
    hogs = [system.create(images()["hog"], name=f"hog{i}", turns=100_000) for i in range(2)]
    run = system.run()
    assert run.outcome == "finished"
    kinds = [Kind(k) for k in run.trace.events["kind"]]
    assert kinds.count(Kind.THREAD_PREEMPT) >= 4
    x = 1
    for _ in range(100_000):
        x = (x * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
    assert [h.exit_value for h in hogs] == [x, x]


def test_a_woken_thread_goes_before_a_hog():
    system = System(quantum_us=1000)
    system.create(images()["hog"], turns=3_000_000)
    client, _ = talk(system, rounds=200)
    system.run()
    events = system.trace.events
    ends = {int(e["a"]): int(e["cycle"]) for e in events if e["kind"] == Kind.PROCESS_EXIT}
    assert ends[client.number] < ends[2], "the conversation waited for the hog"


def test_console():
    system = System()
    process = system.create(images()["chatty"])
    system.run()
    assert process.console.replace("\n", "").replace("  ", " ").strip().startswith("one 1")
    assert "2" in process.console


def test_a_flipped_bit_stops_the_start():
    system = System()
    image = images()["server"]
    system.install(image)
    for bit in (0, 8 * len(image.data) // 2, 8 * len(image.data) - 1):
        system.flip_bit("server", bit)
        with pytest.raises(SealError):
            system.create("server")
        system.flip_bit("server", bit)
    assert system.create("server").state == "unstarted"


def test_every_truncation_and_flip_of_an_image_is_noticed():
    data = images()["chatty"].data
    for length in range(0, len(data), 37):
        with pytest.raises(SealError):
            open_image(data[:length])
    for at_byte in range(0, len(data), 11):
        broken = bytearray(data)
        broken[at_byte] ^= 0x10
        with pytest.raises(SealError):
            open_image(bytes(broken))


def test_unverified_images_are_refused():
    from programs import hand_made

    image = hand_made("rogue", "li a0, 0\nabi exit")
    with pytest.raises(InstallError, match="not verified"):
        System().install(image)
    system = System(allow_unverified=True)
    process = system.create(image)
    system.run()
    assert process.exit_value == 0


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda s: System(isolation="ring7"), "isolation"),
        (lambda s: System(transfer="magic"), "transfer"),
        (lambda s: s.create("nobody"), "no image"),
        (lambda s: s.create(images()["hog"]), "turns=<u64>"),
        (lambda s: s.create(images()["hog"], turns=-1), "does not fit"),
        (lambda s: s.create(images()["hog"], turns=1, more=2), "no integer startup argument"),
        (lambda s: s.create(images()["server"]).start(), "not connected"),
        (lambda s: s.connect(s.create(images()["server"])["ch"], s.create(images()["server"])["ch"]), "both the Exp"),
    ],
)
def test_misuse_has_a_clear_message(act, words):
    with pytest.raises(KernelError, match=words):
        act(System())


def test_a_limit_names_who_is_still_running():
    system = System()
    system.create(images()["hog"], turns=10**12)
    run = system.run(cycles=200_000)
    assert run.outcome == "limit" and run.cycles >= 200_000


def test_running_out_of_memory_is_a_refusal():
    system = System(ram="4M")
    with pytest.raises(KernelError, match="RAM"):
        for _ in range(10_000):
            system.create(images()["server"])
