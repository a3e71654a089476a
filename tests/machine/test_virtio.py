"""Virtio devices: registers, queues, the three devices, interrupts; driven from Python and by guests, and compared with QEMU."""

from __future__ import annotations

import random
import subprocess

import pytest
from driver import (
    ACCEPTED,
    ACCEPTED_SEL,
    ACK,
    BASE,
    BUFFERS,
    CONFIG,
    DEVICE,
    GENERATION,
    INTERRUPTS,
    MAGIC,
    OFFERED,
    OFFERED_SEL,
    PAGE_SIZE,
    QUEUE_MAX,
    QUEUE_NUM,
    QUEUE_PFN,
    QUEUE_READY,
    QUEUE_SEL,
    SHM,
    STATUS,
    VENDOR,
    VERSION,
    Driver,
)
from guestbuild import QEMU, built
from hypothesis import given, settings
from hypothesis import strategies as st

from singlab.machine import Board
from singlab.machine import devices as d
from singlab.machine import state as s
from singlab.machine import virtio as v
from singlab.machine.asm import assemble
from singlab.machine.devicetree import board_tree
from singlab.machine.virtiodevices import Net

IMAGE = random.Random(1).randbytes(64 * 512)
VERSIONS = pytest.mark.parametrize("version", ["legacy", "modern"])
IN, OUT, FLUSH, GET_ID = 0, 1, 4, 8


def board(version: str = "modern", **options) -> Board:
    """Return a small board with a disk and a network card that loops back."""
    return Board(ram="4M", **{"disk": IMAGE, "net": "loopback", "virtio": version, **options})


# ---- registers ----------------------------------------------------------------------------------------------------


@VERSIONS
def test_slots_say_what_they_are(version):
    made = board(version)
    found = [[Driver(made, slot).read(r) for r in (MAGIC, VERSION, DEVICE, VENDOR)] for slot in range(8)]
    number = {"legacy": 1, "modern": 2}[version]
    assert found == [[0x7472_6976, number, kind, 0x554D_4551] for kind in (2, 1, 4, 0, 0, 0, 0, 0)]


def test_each_device_may_have_its_own_version():
    made = board({"net": "modern"})
    assert [Driver(made, slot).read(VERSION) for slot in range(3)] == [1, 2, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"virtio": "newest"}, ("'newest'", "legacy or modern")), ({"virtio": {"disk": 3}}, ("3", "legacy or modern")),
        ({"virtio": {"printer": "modern"}}, ("'printer'", "disk, net, entropy")), ({"net": "dsl"}, ("'dsl'", "loopback")), ({"net": 7}, ("7", "True")),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(ValueError) as error:
        board(**options)
    assert all(word in str(error.value) for word in words)


def test_a_modern_driver_has_to_agree_on_what_is_offered():
    driver = Driver(board(), 0)
    offered = driver.offered()
    assert offered >> 32 == 1 and offered >> 28 & 1
    driver.write(OFFERED_SEL, 2)
    assert driver.read(OFFERED) == 0
    for features, agreed in (
        (offered, True),
        (1 << 32, True),
        (0, False),
        (1 << 28, False),
        (1 << 32 | 1 << 29, False),
        (1 << 32 | 1 << 63, False),
    ):
        driver.write(STATUS, 0)
        driver.write(STATUS, 1)
        driver.write(STATUS, 3)
        driver.accept(features)
        driver.write(STATUS, 11)
        assert driver.read(STATUS) == (11 if agreed else 3), hex(features)


def test_features_are_settled_once():
    driver = Driver(board(), 0).start(wanted=0)
    driver.write(ACCEPTED_SEL, 0)
    driver.write(ACCEPTED, 1 << 28)
    assert int(driver.board.machine.m[v.SLOT_BASE + v.ACCEPTED]) == 1 << 32


def test_legacy_features():
    driver = Driver(board("legacy"), 0)
    offered = driver.offered()
    assert offered >> 32 == 0 and offered >> 27 & 3 == 3
    driver.accept((1 << 64) - 1)
    assert int(driver.board.machine.m[v.SLOT_BASE + v.ACCEPTED]) == offered


@VERSIONS
def test_a_reset_forgets_what_the_driver_set(version):
    made = board(version)
    words = made.machine.m[v.SLOT_BASE : v.SLOT_BASE + 8 * v.SLOT_WORDS].copy()
    driver = Driver(made, 0).start()
    assert driver.disk(IN, 0, room=512)[0] == 0
    assert driver.read(INTERRUPTS) == 1 and int(made.machine.m[d.LINES]) == 2
    driver.write(STATUS, 0)
    words[v.PAGE_SIZE] = 4096 if version == "legacy" else 0
    assert (made.machine.m[v.SLOT_BASE : v.SLOT_BASE + 8 * v.SLOT_WORDS] == words).all()
    assert int(made.machine.m[d.LINES]) == 0


def test_the_legacy_page_size_outlives_a_reset():
    """Drivers write it when they find the device, and reset the device afterwards."""
    driver = Driver(board("legacy"), 0)
    driver.write(PAGE_SIZE, 4096)
    driver.write(STATUS, 0)
    driver.set_up(0)
    assert int(driver.board.machine.m[v.SLOT_BASE + v.QUEUE_BASE + v.DESCRIPTORS]) == driver.table()
    assert driver.disk(IN, 3, room=512) == (0, 513, IMAGE[1536:2048])


@VERSIONS
def test_queue_registers(version):
    driver = Driver(board(version), 1)
    for queue, most in ((0, 1024), (1, 1024), (2, 0), (0xFFFF_FFFF, 0)):
        driver.write(QUEUE_SEL, queue)
        assert driver.read(QUEUE_MAX) == most
        driver.write(QUEUE_NUM, 8)
        driver.write(QUEUE_READY, 1)
        driver.write(QUEUE_PFN, 0x80010)
        assert driver.read(QUEUE_READY) == int(version == "modern" and most > 0)
        assert driver.read(QUEUE_PFN) == (0x80010 if version == "legacy" and most else 0)


@VERSIONS
def test_config_space_in_any_width(version):
    driver = Driver(board(version), 0)
    data = bytes(driver.read(CONFIG + i, 1) for i in range(64))
    assert int.from_bytes(data[:8], "little") == 64 and int.from_bytes(data[20:24], "little") == 512
    for width in (1, 2, 4, 8):
        for at in range(0, 64, width):
            assert driver.read(CONFIG + at, width) == int.from_bytes(data[at : at + width], "little")
    assert [driver.read(at, width) for at in (0x140, 0x800, 0xFF8) for width in (1, 2, 4, 8)] == [0] * 12
    driver.write(CONFIG, 99)
    assert driver.read(CONFIG) == 64 and driver.read(GENERATION) == 0
    assert driver.read(SHM) == (0xFFFF_FFFF if version == "modern" else 0)


@VERSIONS
def test_only_words_are_registers(version):
    driver = Driver(board(version), 0)
    for width in (1, 2, 8):
        driver.write(STATUS, 1, width)
        assert driver.read(STATUS) == 0 and driver.read(MAGIC, width) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 0x50).map(lambda n: 4 * n), st.sampled_from((1, 2, 4, 8)),
                       st.one_of(st.integers(0, 16), st.integers(0, 0xFFFF_FFFF))), max_size=40),
)  # fmt: skip
def test_registers_compiled_and_not(legacy, accesses):
    """The compiled functions and the same text run by Python: the same answers and the same state."""
    one, two = (board("legacy" if legacy else "modern").machine.m for _ in range(2))
    plain_read, plain_write = (getattr(f, "py_func", f) for f in (v.virtio_read, v.virtio_write))
    for store, slot, register, width, value in accesses:
        at, width, value = (u(n) for u, n in zip([type(one[0])] * 3, (slot * 0x1000 + register, width, value)))
        if store:
            assert bool(v.virtio_write(one, at, width, value)) == bool(plain_write(two, at, width, value))
        else:
            assert int(v.virtio_read(one, at, width)) == int(plain_read(two, at, width))
    assert (one == two).all()


# ---- the disk -------------------------------------------------------------------------------------------------------


@VERSIONS
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_disk_is_an_array_of_sectors(version, data):
    """Random reads and writes, cut into buffers anyhow, against a byte array."""
    made, model = board(version), bytearray(IMAGE)
    driver = Driver(made, 0).start()
    for number in range(data.draw(st.integers(1, 14))):
        sector, count = data.draw(st.integers(0, 70)), data.draw(st.integers(1, 20))
        cuts = tuple(data.draw(st.lists(st.integers(0, 10_000), max_size=4)))
        indirect, inside = data.draw(st.booleans()), sector + count <= 64
        if data.draw(st.booleans()):
            content = random.Random(number).randbytes(512 * count)
            status, written, _ = driver.disk(OUT, sector, content, cuts=cuts, indirect=indirect)
            assert (status, written) == (0 if inside else 1, 1)
            if inside:
                model[512 * sector : 512 * (sector + count)] = content
        else:
            status, written, found = driver.disk(IN, sector, room=512 * count, cuts=cuts, indirect=indirect)
            assert (status, written) == ((0, 512 * count + 1) if inside else (1, 1))
            assert found == (model[512 * sector : 512 * (sector + count)] if inside else b"\xdd" * 512 * count)
    assert made.disk.contents() == bytes(model)


@VERSIONS
def test_a_disk_refuses(version):
    driver = Driver(board(version), 0).start()
    for sector, room in ((64, 512), (63, 1024), ((1 << 64) - 1, 512), (1 << 55, 512), (0, 511), (0, 1)):
        assert driver.disk(IN, sector, room=room)[:2] == (1, 1)
    for sector, size in ((64, 512), (63, 1024), ((1 << 64) - 1, 512), (0, 100)):
        assert driver.disk(OUT, sector, bytes(size))[:2] == (1, 1)
    for kind in (2, 3, 5, 11, 13, 0xFFFF_FFFF):
        assert driver.disk(kind, 0, room=512)[:2] == (2, 1)
    assert driver.disk(FLUSH, 0)[:2] == (0, 1)
    assert driver.disk(GET_ID, 0, room=20) == (0, 21, b"singlab disk".ljust(20, b"\0"))
    assert driver.board.disk.contents() == IMAGE


@VERSIONS
def test_rings_go_round(version):
    """More requests than the indices of the rings can count, and several at one notify."""
    driver = Driver(board(version), 0, number=4).start()
    m = driver.board.machine.m
    queue = v.SLOT_BASE + v.QUEUE_BASE
    m[queue + v.TAKEN] = m[queue + v.GIVEN] = driver.seen[0] = 0xFFFE
    driver.board.machine.write(driver.available() + 2, b"\xfe\xff")
    driver.board.machine.write(driver.used() + 2, b"\xfe\xff")
    for sector in range(9):
        assert driver.disk(IN, sector, room=512) == (0, 513, IMAGE[512 * sector :][:512])
    driver.chain((BUFFERS, 16, False), (BUFFERS + 64, 513, True))
    for _ in range(4):
        driver.offer(0)
    driver.notify()
    assert driver.taken_back() == [(0, 514 - 1)] * 4


@VERSIONS
def test_the_driver_may_ask_for_no_interrupt(version):
    driver = Driver(board(version), 0).start()
    driver.board.machine.write(driver.available(), b"\1\0")
    driver.disk(IN, 0, room=512)
    assert driver.read(INTERRUPTS) == 0
    driver.board.machine.write(driver.available(), b"\0\0")
    driver.disk(IN, 0, room=512)
    assert driver.read(INTERRUPTS) == 1
    driver.write(ACK, 1)
    assert driver.read(INTERRUPTS) == 0


def test_a_modern_device_waits_until_the_driver_is_ready():
    driver = Driver(board(), 0).start()
    driver.write(STATUS, 11)
    driver.chain((BUFFERS, 16, False), (BUFFERS + 64, 513, True))
    driver.offer(0)
    driver.notify()
    assert driver.taken_back() == []
    driver.write(STATUS, 15)
    driver.notify()
    assert driver.taken_back() == [(0, 513)]


def test_what_a_device_writes_ends_a_reservation():
    driver = Driver(board(), 0).start()
    driver.board.machine.m[s.RESERVATION] = 1234
    driver.disk(IN, 0, room=512)
    assert int(driver.board.machine.m[s.RESERVATION]) == 0


def test_code_that_a_disk_brings_is_run():
    """A device's write reaches instructions that were decoded before."""
    made = board()
    driver = Driver(made, 0).start()
    made.machine.write(BASE, assemble("addi a0, a0, 1\nwfi", BASE).code)
    for address in (BASE, BASE):
        made.machine.m[s.PC] = address
        made.run(cycles=10_000)
    assert made.machine.registers()["a0"] == 2
    made.disk.write(0, assemble("addi a0, a0, 16\nwfi", BASE).code.ljust(512, b"\0"))
    driver.chain((BUFFERS, 16, False), (BASE, 512, True), (BUFFERS + 16, 1, True))
    made.machine.write(BUFFERS, bytes(16))
    driver.offer(0)
    driver.notify()
    made.machine.m[s.PC] = BASE
    made.run(cycles=10_000)
    assert made.machine.registers()["a0"] == 18


def test_a_notify_by_the_guest_is_served_in_a_run():
    """Without a compiler: one store of the guest's notifies, and the next load finds the status."""
    made = board()
    driver = Driver(made, 0).start()
    made.machine.write(BUFFERS, bytes(16) + b"\xee")
    driver.chain((BUFFERS, 16, False), (BUFFERS + 64, 512, True), (BUFFERS + 16, 1, True))
    driver.offer(0)
    text = f"li a1, {d.VIRTIO}\nsw zero, 0x50(a1)\nli a2, {BUFFERS}\nlbu a0, 16(a2)\nld a3, 64(a2)\nwfi"
    made.machine.write(BASE, assemble(text, BASE).code)
    made.machine.m[s.PC] = BASE
    assert made.run(cycles=100_000).reason == "wfi"
    found = made.machine.registers()
    assert found["a0"] == 0 and found["a3"] == int.from_bytes(IMAGE[:8], "little")
    assert int(made.machine.m[d.LINES]) == 2


# ---- the network card -----------------------------------------------------------------------------------------------


def net(version: str, **options) -> Driver:
    """Return the driver of a card with three buffers for receiving."""
    driver = Driver(board(version, **options), 1).start(queues=2)
    for i in range(3):
        driver.chain((BUFFERS + 0x4000 + 0x1000 * i, 1600, True), queue=0, first=i)
        driver.offer(i, 0)
    driver.notify(0)
    return driver


def send(driver: Driver, frame: bytes) -> None:
    """Send a frame, its header in a buffer of its own."""
    header = 12 if driver.modern else 10
    driver.board.machine.write(BUFFERS, bytes(header) + frame)
    driver.chain((BUFFERS, header, False), (BUFFERS + header, len(frame), False), queue=1)
    driver.offer(0, 1)
    driver.notify(1)
    assert driver.taken_back(1) == [(0, 0)]


@VERSIONS
def test_what_is_sent_comes_back(version):
    driver = net(version)
    header = 12 if version == "modern" else 10
    for number, size in enumerate((14, 60, 1514)):
        frame = random.Random(size).randbytes(size)
        send(driver, frame)
        assert driver.taken_back(0) == [(number, header + size)]
        found = driver.board.machine.read(BUFFERS + 0x4000 + 0x1000 * number, header + size)
        assert found[header:] == frame and found[:header] == bytes(10) + (b"\1\0" if version == "modern" else b"")
        assert driver.board.net.sent[-1] == frame
    assert driver.read(INTERRUPTS) == 1 and int(driver.board.machine.m[d.LINES]) == 4


@VERSIONS
def test_the_host_is_the_network(version):
    heard = []
    driver = net(version, net=heard.append)
    send(driver, b"a" * 60)
    send(driver, b"short")
    send(driver, b"b" * 2000)
    assert heard == [b"a" * 60]
    for i in range(5):
        driver.board.net.receive(bytes([i]) * 64)
    assert [head for head, _ in driver.taken_back(0)] == [0, 1, 2], "the others wait for room"
    for i in range(3):
        driver.offer(i, 0)
    driver.notify(0)
    assert [head for head, _ in driver.taken_back(0)] == [0, 1]
    assert driver.board.machine.read(BUFFERS + 0x5000 + 20, 1) == b"\4"


@pytest.mark.parametrize("size", [0, 13, 1519, 100_000])
def test_what_is_no_frame(size):
    with pytest.raises(ValueError, match=f"not {size}"):
        net("modern").board.net.receive(bytes(size))


def test_a_frame_for_which_the_buffer_is_too_small_is_lost():
    driver = Driver(board(net=True), 1).start(queues=2)
    driver.chain((BUFFERS, 70, True), queue=0)
    driver.offer(0, 0)
    driver.board.net.receive(bytes(200))
    assert driver.taken_back(0) == []
    driver.board.net.receive(b"x" * 58)
    assert driver.taken_back(0) == [(0, 70)]


def test_frames_before_the_driver_wait_and_do_not_pile_up():
    made = board(net=True)
    for i in range(1000):
        made.net.receive(bytes([i & 255]) * 60)
    driver = Driver(made, 1).start(queues=2)
    driver.chain((BUFFERS, 1600, True), queue=0)
    count = 0
    while True:
        driver.offer(0, 0)
        driver.notify(0)
        if not driver.taken_back(0):
            break
        assert made.machine.read(BUFFERS + 12, 1)[0] == count & 255
        count += 1
    assert 0 < count <= 256


def test_the_address_is_told():
    driver = Driver(board(net=Net(mac=b"\2singl")), 1)
    assert bytes(driver.read(CONFIG + i, 1) for i in range(8)) == b"\2singl\1\0"


# ---- random bytes -----------------------------------------------------------------------------------------------------


def entropy(seed: int, *sizes: int) -> list[bytes]:
    """Return what requests of these sizes are answered with."""
    driver = Driver(board(seed=seed), 2).start()
    out = []
    for size in sizes:
        driver.board.machine.write(BUFFERS, bytes(size + 8))
        driver.chain((BUFFERS, size // 3, True), (BUFFERS + size // 3, size - size // 3, True))
        driver.offer(0)
        driver.notify()
        ((_, written),) = driver.taken_back()
        assert driver.board.machine.read(BUFFERS + size, 8) == bytes(8)
        out.append(driver.board.machine.read(BUFFERS, written))
    return out


def test_random_bytes_are_those_of_the_seed():
    def splitmix(state: int):
        while True:
            state = state + 0x9E3779B97F4A7C15 & (1 << 64) - 1
            z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
            z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
            yield (z ^ z >> 31).to_bytes(8, "little")

    words = splitmix(77)
    first, second = entropy(77, 100, 3)
    assert first == b"".join(next(words) for _ in range(13))[:100] and second == next(words)[:3]
    assert entropy(78, 100)[0] != first
    assert len(entropy(1, 1_000_000)[0]) == 1 << 16, "a device may give less"


# ---- going back ---------------------------------------------------------------------------------------------------------


@VERSIONS
def test_a_snapshot_has_the_devices(version):
    made = board(version, net=True)
    driver = Driver(made, 0).start()
    driver.disk(OUT, 3, b"one".ljust(512))
    made.net.receive(b"n" * 60)
    made.printed += b"hello"
    kept = made.snapshot()
    driver.disk(OUT, 3, b"two".ljust(512))
    driver.disk(OUT, 40, b"two".ljust(512))
    made.net.receive(b"m" * 60)
    made.printed += b" world"
    later = made.snapshot()
    made.restore(kept)
    assert made.disk.contents() == IMAGE[:1536] + b"one".ljust(512) + IMAGE[2048:] and made.printed == b"hello"
    assert (made.machine.m == kept.state).all()
    driver.seen[0] = 1
    assert driver.disk(IN, 3, room=512)[2] == b"one".ljust(512)
    made.restore(later)
    assert made.disk.read(40 * 512, 3) == b"two" and made.printed == b"hello world"
    with pytest.raises(ValueError, match="other devices"):
        Board(ram="4M").restore(kept)


# ---- interrupts, and guests -----------------------------------------------------------------------------------------------


def test_the_device_tree_names_the_slots():
    tree = board_tree(1 << 22, 1e9)
    assert tree.count(b"virtio_mmio@") == 8 and tree.count(b"virtio,mmio\0") == 8
    for slot in range(8):
        at = tree.index(b"virtio_mmio@%x" % (0x1000_1000 + 0x1000 * slot))
        node = tree[at : at + 140]
        assert (0x1000_1000 + 0x1000 * slot).to_bytes(8, "big") + (0x1000).to_bytes(8, "big") in node
        assert (slot + 1).to_bytes(4, "big") in node


def run_guest(name: str, version: str, typed: bytes = b"") -> tuple[str, int | None]:
    """Return what a guest prints on our board, and its exit code."""
    made = board(version)
    made.load(built(name))
    if typed:
        made.run(cycles=2_000_000)
        made.type(typed)
    ended = made.run(cycles=400_000_000)
    return made.printed.decode(errors="replace"), ended.code


@VERSIONS
def test_a_guest_does_block_io_polled_and_by_interrupts(version):
    printed, code = run_guest("block", version)
    assert code == 7, printed
    assert f"version {1 if version == 'legacy' else 2}\n" in printed and "count 14\nsource 1\ncause b\nunwanted 14\n" in printed


@VERSIONS
def test_a_guest_sends_and_receives(version):
    printed, code = run_guest("net", version)
    assert code == 0, printed
    assert printed.count("same 1\n") == 6 and "random 32\n" in printed and "untouched 0\n" in printed
    assert printed.count("  buffers 1\n") == (6 if version == "modern" else 0)


SCRIPT = b"write 3 hello disk\rread 3\rbogus\rticks\rread 999\rexit 5\r"
CONVERSATION = """high 1234
disk 40
> write 3 hello disk
status 0
> read 3
hello disk
> bogus
what?
> ticks
three ticks
> read 999
failed 1
> exit 5
"""


@VERSIONS
def test_a_kernel_in_miniature(version):
    """Supervisor mode, Sv39, timer, console and disk by interrupts."""
    assert run_guest("kernel", version, SCRIPT) == (CONVERSATION, 5)


@VERSIONS
@pytest.mark.skipif(QEMU is None, reason="no qemu-system-riscv64 on this computer: NOT compared with QEMU")
@pytest.mark.parametrize("name", ["block", "kernel"])
def test_as_on_qemu(name, version, tmp_path):
    """The same guest, the same disk, the same output."""
    image = tmp_path / "disk.img"
    image.write_bytes(IMAGE)
    command = [
        QEMU, "-machine", "virt", "-bios", "none", "-kernel", str(built(name)), "-nographic", "-m", "16M",
        "-global", f"virtio-mmio.force-legacy={str(version == 'legacy').lower()}",
        "-drive", f"file={image},if=none,format=raw,id=x0", "-device", "virtio-blk-device,drive=x0,bus=virtio-mmio-bus.0",
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            theirs = b""
            if name == "kernel":
                while not theirs.endswith(b"> "):
                    theirs += process.stdout.read(1)
                process.stdin.write(SCRIPT)
                process.stdin.flush()
            theirs += process.communicate(timeout=60)[0]
        finally:
            process.kill()
    printed, code = run_guest(name, version, SCRIPT if name == "kernel" else b"")
    assert printed == theirs.decode(errors="replace").replace("\r\n", "\n") and code == process.returncode
