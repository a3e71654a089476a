"""The installer: what it refuses, before anything runs, with one message and a way out."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, fields, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import hand_made, images, talk
from test_image import JSON, changes, manifest_of, resealed

from singlab.kernel import InstallError, SealedImage, SealError, System
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI_NUMBER, ABI_VERSION
from singlab.kernel.image import Manifest, open_image, seal
from singlab.kernel.manifest import Extension, IoMemoryRange, Relocation, fingerprint
from singlab.kernel.resources import DEVICES
from singlab.machine.asm import assemble, encode
from singlab.sing import build, programs_from_source


def altered(image: SealedImage, code: bytes | None = None, **changes) -> SealedImage:
    """Return an image sealed again with another manifest or other code."""
    return seal(replace(image.manifest, **changes), image.code if code is None else code, image.tables)


@cache
def booted() -> tuple[System, object]:
    """Return a system that all tests here go back to, and its state."""
    system = System(ram="4M")
    return system, system.snapshot()


def fresh() -> System:
    """Return the shared system with nothing installed."""
    system, empty = booted()
    system.restore(empty)
    return system


def refused(image: SealedImage, *before: SealedImage) -> str:
    """Return with which words an image is refused after others; nothing of it is left, and nothing ran."""
    system = fresh()
    for other in before:
        system.install(other)
    tags, count = system.page_tags().tobytes(), len(system.installed)
    with pytest.raises(InstallError) as refusal:
        system.install(image)
    assert system.page_tags().tobytes() == tags and len(system.installed) == count
    assert not system.processes and system.run().cycles == 0
    said = str(refusal.value)
    assert said.startswith(f"{image.name}: ") and said.count("\n") == 0 and said[-1] in '.)"'
    return said


DISK = IoMemoryRange(0x1000_1000, 0x1000)


def driver(name: str = "driver", **changes) -> SealedImage:
    return altered(images()["hog"], name=name, **changes)


# ---- resources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (IoMemoryRange(0x8000_0000, 0x1000), "lies in RAM"),
        (IoMemoryRange(0x7FFF_FFFF, 2), "lies in RAM"),
        (IoMemoryRange(at.GLOBALS, 8), "lies in RAM"),
        (IoMemoryRange(0, (1 << 64) - 1), "lies in RAM"),
        (IoMemoryRange(0x0200_0000, 8), "belongs to the CLINT"),
        (IoMemoryRange(0x0C00_0000, 4), "belongs to the PLIC"),
        (IoMemoryRange(0x0010_0000, 4), "belongs to the test finisher"),
        (IoMemoryRange(0x2000_0000, 0x1000), "there is no device at 0x20000000"),
        (IoMemoryRange(0x1000_0000, 0x101), "there is no device at 0x10000100"),
        (IoMemoryRange(0x1000_8000, 0x1001), "there is no device at 0x10009000"),
        (IoMemoryRange(0x1000_1000, 0), "no range"),
        (IoMemoryRange(-8, 16), "no range"),
        (IoMemoryRange((1 << 64) - 1, 2), "no range"),
    ],
)
def test_io_memory_that_cannot_be_had(wanted, words):
    assert words in refused(driver(io_memory=[wanted]))


def test_devices_can_be_had_whole_in_part_and_side_by_side():
    free = [d for d in DEVICES if not d.kernels]
    system = fresh()
    for number, device in enumerate(free):
        system.install(driver(f"d{number}", io_memory=[IoMemoryRange(device.start, device.size)], interrupts=[device.interrupt]))
    assert list(system.resources["registers held by"])[3:] == [f"d{n}" for n in range(len(free))]
    assert list(system.resources["interrupt held by"])[3:] == [f"d{n}" for n in range(len(free))]
    system = fresh()
    system.install(driver("two", io_memory=[IoMemoryRange(0x1000_1000, 0x2000)]))  # two slots next to each other
    system.install(driver("half", io_memory=[IoMemoryRange(0x1000_0000, 4)]))
    system.install(driver("rest", io_memory=[IoMemoryRange(0x1000_0004, 0xFC)]))


@pytest.mark.parametrize("wanted", [DISK, IoMemoryRange(0x1000_1FFF, 1), IoMemoryRange(0x1000_1000, 1), IoMemoryRange(0x1000_1FF0, 0x20)])
def test_a_conflict_names_the_image_and_the_range(wanted):
    said = refused(driver("second", io_memory=[wanted]), driver("first", io_memory=[DISK]))
    assert f"I/O memory {wanted} conflicts with first, which has 0x10001000 to 0x10001fff" in said
    assert 'system.uninstall("first")' in said


def test_interrupts_exist_and_have_one_holder():
    assert "interrupt 99 does not exist" in refused(driver(interrupts=[99]))
    assert "interrupt 0 does not exist" in refused(driver(interrupts=[0]))
    assert "declared twice" in refused(driver(interrupts=[3, 3]))
    assert "declared twice" in refused(driver(io_memory=[DISK, DISK]))
    assert "interrupt 3 conflicts with first" in refused(driver("second", interrupts=[2, 3]), driver("first", interrupts=[3]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 0x90), st.integers(1, 0x30)), min_size=1, max_size=6))
def test_no_two_images_ever_have_a_byte_in_common(ranges):
    """Against a plain count of bytes, in units of 256 bytes from the UART on."""
    system = fresh()
    device = {a for d in DEVICES if not d.kernels for a in range(d.start, d.start + d.size, 0x100)}
    taken: set[int] = set()
    for number, (start, size) in enumerate(ranges):
        wanted = IoMemoryRange(0x1000_0000 + 0x100 * start, 0x100 * size)
        bytes_ = set(range(wanted.start, wanted.start + wanted.size, 0x100))
        image = driver(f"d{number}", io_memory=[wanted])
        if bytes_ <= device and not bytes_ & taken:
            system.install(image)
            taken |= bytes_
        else:
            with pytest.raises(InstallError):
                system.install(image)


# ---- identity, ABI, contracts, extensions ------------------------------------------------------------------------


def test_another_abi_version_is_refused():
    said = refused(altered(images()["hog"], abi_version=ABI_VERSION + 1))
    assert f"built for ABI version {ABI_VERSION + 1}, this kernel has version {ABI_VERSION}" in said and "Build it again" in said


def test_two_programs_of_one_name():
    system = fresh()
    first = system.install(images()["hog"])
    assert system.install(images()["hog"]) is first
    assert system.install(open_image(images()["hog"].data)) is first
    said = refused(altered(images()["hog"], version="2.0"), images()["hog"])
    assert "another program of this name is installed" in said and 'system.uninstall("hog")' in said and '@sip(name="...")' in said


@pytest.mark.parametrize("name", ["", "a b", "1a", "a" * 65, "a\n", "../x", "ä"])
def test_names_that_are_none(name):
    with pytest.raises(InstallError, match="its name is not one"):
        fresh().install(altered(images()["hog"], name=name))


def test_an_undeclared_contract_is_refused():
    server, client = images()["server"], images()["client"]
    assert "neither imports nor exports" in refused(altered(server, exports={}))
    said = refused(altered(server, exports={}, imports=server.manifest.exports))
    assert "startup endpoint ch speaks Talk.Exp, but the manifest does not list Talk under exports" in said
    assert "does not say what it is" in refused(altered(client, imports={**client.manifest.imports, "More": "00"}))
    assert "not the one that its fingerprint stands for" in refused(altered(client, imports={"Talk": "0" * 64}))
    assert "not the one that its fingerprint stands for" in refused(altered(client, exports={"Talk": "0" * 64}))


def test_a_table_that_is_not_the_contracts():
    """The kernel goes by the table, a partner by the fingerprint: they must say the same."""
    image = images()["server"]
    for word in range(len(image.tables) // 8):
        tables = bytearray(image.tables)
        tables[8 * word] ^= 1
        said = refused(seal(image.manifest, image.code, bytes(tables)))
        assert "table of contract Talk" in said
    header = struct.unpack_from("<Q", image.tables)[0] | 0xFF << 32
    tables = struct.pack("<Q", header) + image.tables[8:]
    assert "messages be under way" in refused(seal(image.manifest, image.code, tables))


@pytest.mark.parametrize("said, other", changes(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_partner_with_another_contract_of_the_same_name(said, other):
    """The description alone is changed here; that the table does not fit is found first, so the check is asked itself."""
    from singlab.kernel.admission import check_partners

    image = images()["client"]
    manifest = replace(image.manifest, name="other", contracts={"Talk": other}, imports={"Talk": fingerprint("Talk", other)})
    system = fresh()
    system.install(images()["server"])
    with pytest.raises(InstallError) as refusal:
        check_partners(manifest, system._host.installed)
    assert "its contract Talk is not server's contract Talk" in str(refusal.value)
    assert "uninstall" in str(refusal.value)


def test_a_partner_built_from_another_text():
    text = '''
Talk = contract("""
contract Talk {
    in  message Ask(uint n);
    out message Answer(ulong n);
    state Start: Ask? -> Answer! -> Start;
}
""")

@sip
def asker(ch: Talk.Imp) -> u64:
    ch.send(Talk.Ask(1))
    return ch.receive(Talk.Answer)
'''
    image = build(programs_from_source(text).programs["asker"])
    assert "message Ask takes u32 or u64" in refused(image, images()["server"])


def test_extensions_must_be_installed_and_speak_the_contract():
    client = images()["client"]
    parent = altered(client, extensions=[Extension("server", "Talk")])
    said = refused(parent)
    assert "starts server as an extension, which is not installed. Install that first." in said
    said = refused(altered(client, extensions=[Extension("hog", "Talk")]), images()["hog"])
    assert "hog has no startup endpoint Talk.Exp" in said
    assert "does not import" in refused(altered(client, extensions=[Extension("server", "More")]), images()["server"])
    assert "cannot be its extension" in refused(altered(client, extensions=[Extension("client", "Talk")]))
    system = fresh()
    system.install(images()["server"])
    system.install(parent)
    with pytest.raises(InstallError, match="client starts it as an extension"):
        system.uninstall("server")
    system.uninstall("client")
    system.uninstall("server")


def test_a_contract_without_a_partner_is_only_a_note():
    system = fresh()
    assert system.install(images()["client"]).notes == ["imports Talk, which no installed program exports yet"]
    assert system.install(images()["server"]).notes == []


@pytest.mark.parametrize("thing", [None, 3, "hog", b"SINGIMG2", Manifest])
def test_what_is_no_image(thing):
    with pytest.raises(InstallError, match="is no sealed image"):
        fresh().install(thing)


def test_what_counts_are_the_bytes():
    """An object may say what it likes about itself."""
    good, evil = images()["hog"], hand_made("hog", "csrw sscratch, zero\nret")
    disguised = SealedImage(good.manifest, good.code, good.tables, evil.data)
    with pytest.raises(InstallError, match="not verified"):
        fresh().install(disguised)
    with pytest.raises(SealError):
        fresh().install(SealedImage(good.manifest, good.code, good.tables, b"nothing"))


# ---- uninstalling --------------------------------------------------------------------------------------------------


def test_uninstalling_gives_memory_and_resources_back():
    system = fresh()
    images_ = [images()["server"], driver("disk", io_memory=[DISK], interrupts=[1])]
    for image in images_:
        system.install(image)
    tags = system.page_tags().tobytes()
    for _ in range(300):  # more than memory would hold
        for image in images_:
            system.uninstall(image.name)
        for image in images_:
            system.install(image)
    assert system.page_tags().tobytes() == tags
    system.uninstall("disk")
    system.install(driver("other", io_memory=[DISK], interrupts=[1]))


def test_an_image_in_use_stays():
    system = fresh()
    client, server = talk(system)
    for name in ("client", "server"):
        with pytest.raises(InstallError, match="of it is unstarted"):
            system.uninstall(name)
    system.run(events=20)
    with pytest.raises(InstallError, match="of it is running"):
        system.uninstall("server")
    client.stop()
    system.uninstall("client")  # the server still has its end of the channel, and the contract's table
    system.install(images()["hog"])
    assert system.run().outcome == "finished" and server.end.state == "exit"
    with pytest.raises(InstallError, match="no image 'client' is installed; there are: server, hog"):
        system.uninstall("client")


def test_snapshots_know_what_was_installed():
    system = fresh()
    system.install(images()["server"])
    before = system.snapshot()
    system.uninstall("server")
    system.restore(before)
    assert list(system.installed.index) == ["server"]
    assert system.create("server").state == "unstarted"


# ---- the scan ------------------------------------------------------------------------------------------------------


def claimed(text: str, calls: tuple = (), pad: str = "ret", **changes) -> SealedImage:
    """Return an image of assembly that says it was verified; ``calls`` are (offset, ABI function)."""
    code = assemble(f"{text}\n{pad}", 0).code
    changes = {"text_bytes": len(code), "relocations": [Relocation(o, "abi", n) for o, n in calls], "lines": [], **changes}
    return altered(images()["hog"], code + bytes(-len(code) % 8), name="liar", parameters=[], **changes)


@pytest.mark.parametrize(
    "instruction",
    ["csrw sscratch, a0", "csrr a0, satp", "csrrwi zero, sstatus, 2", "csrw satp, zero", "csrs sie, a0", "csrr a0, mhartid",
     "sret", "mret", "wfi", "sfence.vma", "csrrs a0, cycle, a0", "csrr a0, time", ".word 0x22000073"],
)  # fmt: skip
def test_privileged_instructions_are_refused_whatever_the_image_says(instruction):
    said = refused(claimed(f"nop\n{instruction}"))
    assert "at offset 0x4 of its code stands" in said and "privileged instruction" in said


@pytest.mark.parametrize(
    ("instruction", "words"),
    [
        ("ecall", "no declared call"), ("ebreak", "no declared call"), ("fence.i", "code is fixed"),
        ("jr t0", "indirect jump"), ("jalr ra, 0(t0)", "indirect jump"), ("jalr zero, 8(ra)", "indirect jump"),
        (".word 0", "no unprivileged"), (".word 0xffffffff", "no unprivileged"), (".word 0x00010001", "no unprivileged"),
        (".word 0x0000000b", "no unprivileged"), (".word 0x12a5050b", "no unprivileged"),
        ("j .-8", "leads out"), ("j .+1000", "leads out"), ("beq a0, a1, .-8", "leads out"), ("bne a0, a1, .+4000", "leads out"),
        ("auipc t0, 1\naddi t0, t0, 0", "outside the image"), ("auipc t0, 0\nnop", "outside the image"),
        ("auipc t0, 0xfffff\naddi t0, t0, 0", "outside the image"), ("auipc t0, 0\naddi t1, t0, 0", "outside the image"),
    ],
)  # fmt: skip
def test_instructions_that_no_compiled_program_has(instruction, words):
    assert words in refused(claimed(f"nop\n{_absolute(instruction)}"))


def _absolute(text: str) -> str:
    """Spell branches that leave as words: the assembler knows labels only."""
    if ".-" not in text and ".+" not in text:
        return text
    mnemonic, *operands = text.replace(",", "").split()
    distance = int(operands[-1][1:])
    word = encode("jal", 0, distance) if mnemonic == "j" else encode(mnemonic, 10, 11, distance)
    return f".word {word:#x}"


def test_nothing_may_run_into_the_middle_of_a_call():
    """Its second half is a jump by a register: who comes there with another register would jump anywhere."""
    site = "nop\nnop"
    exit_ = ABI_NUMBER["exit"]
    system = fresh()
    system.install(claimed(f"j .over\n{site}\n.over:\nnop", [(4, exit_)]))
    system.uninstall("liar")
    assert "middle of a call" in refused(claimed("j .half\nnop\n.half:\nnop\n.over: nop", [(4, exit_)]))
    assert "starts in the middle of a call" in refused(claimed(site, [(0, exit_)], entry=4))
    assert "overlap" in refused(claimed(f"{site}\nnop", [(0, exit_), (4, exit_)]))
    assert "overlap" in refused(claimed(f"{site}\nnop", [(0, exit_), (0, exit_)]))
    assert "outside its text" in refused(claimed(site, [(8, exit_)]))
    assert "not in the ABI" in refused(claimed(site, [(0, 9999)]))
    assert "runs off its end" in refused(claimed(site, pad="nop"))
    assert "runs off its end" in refused(claimed("nop", [(4, ABI_NUMBER["yield"])], pad=site))
    for last in ("exit", "exit_thread", "fault"):
        fresh().install(claimed("nop", [(4, ABI_NUMBER[last])], pad=site))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 2**25 - 1).map(lambda w: w << 7 | 0x73)), min_size=1, max_size=6))
def test_random_words_are_refused_or_unprivileged(words):
    """capstone as a second reader: what was let through is no system instruction but a read of the cycle counter."""
    from singlab.kernel.scan import spelt

    image = claimed("\n".join(f".word {word:#x}" for word in words))
    try:
        fresh().install(image)
    except InstallError:
        return
    for offset in range(0, 4 * len(words), 4):
        text = spelt(image.code, offset)
        if text.startswith(("csr", "ecall", "ebreak", "sret", "mret", "wfi", "sfence", "hfence", "rd", "fence.i")):
            assert text.startswith("csrr") and "cycle" in text or text.startswith("rdcycle"), text


def test_every_compiled_program_passes():
    for image in images().values():
        fresh().install(image)


def test_unverified_code_is_not_looked_at_where_it_is_allowed():
    """To see what unverified code can do, it has to be let in."""
    System(allow_unverified=True).install(hand_made("rogue", "csrw sscratch, zero\nwfi"))
    with pytest.raises(InstallError, match="privileged"):
        System(allow_unverified=True).install(claimed("wfi"))


# ---- any manifest at all ---------------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([item.name for item in fields(Manifest)]), st.one_of(JSON, st.integers(-(2**64), 2**64)))
def test_any_value_in_any_field_is_installed_and_run_or_refused(name, value):
    image = images()["hog"]
    system = fresh()
    try:
        system.install(open_image(resealed({**manifest_of(image), name: value}, image)))
    except (InstallError, SealError):
        return
    arguments = {p["name"]: 1 for p in value} if name == "parameters" else {"turns": 1}
    process = system.create(next(iter(system._host.installed)), **arguments)
    assert system.run(cycles=100_000).outcome in ("finished", "limit")
    assert process.state in ("stopped", "running")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["parameters", "relocations", "io_memory", "extensions"]), st.data())
def test_any_value_in_a_record_is_refused_or_installed(name, data):
    image = images()["client"]
    header = manifest_of(image)
    record = {
        "parameters": {"name": "ch", "type": "u64", "contract": None, "side": None},
        "relocations": {"offset": 0, "kind": "abi", "value": 0},
        "io_memory": {"start": 0x1000_0000, "size": 4},
        "extensions": {"image": "server", "contract": "Talk"},
    }[name]
    record = {**record, data.draw(st.sampled_from(sorted(record))): data.draw(JSON)}
    header[name] = [*header[name], record]
    system = fresh()
    system.install(images()["server"])
    try:
        system.install(open_image(resealed(header, image)))
    except (InstallError, SealError) as refusal:
        assert len(str(refusal)) < 2000


def test_a_manifest_of_all_kinds_is_whole():
    """What is sealed is what is installed, in every field."""
    image = driver(version="1.2.3", publisher="MSR", category="driver", io_memory=[DISK], interrupts=[1, 2])
    system = fresh()
    assert json.dumps(asdict(system.install(image).image.manifest)) == json.dumps(asdict(image.manifest))
    row = system.installed.loc["driver"]
    assert (row["version"], row["publisher"], row["I/O memory"], row["interrupts"]) == ("1.2.3", "MSR", "0x10001000 to 0x10001fff", "1, 2")
