"""install(): an image, a program, and an image whose proof is looked at once more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from running import SERVER, TALK

from singlab.kernel import InstallError, SealError, System
from singlab.kernel.image import SealedImage, seal
from singlab.sing import SipError, build, install, programs_from_source

UNIT = programs_from_source(TALK + SERVER + '''
@sip
def client(ch: Talk.Imp, n: u64) -> u64:
    data = new(u8, n)
    data[0] = 41
    ch.send(Talk.Give(data))
    data = ch.receive(Talk.Back)
    value = data[0]
    free(data)
    return u64(value)
''')  # fmt: skip
SERVER_IMAGE = build(UNIT.programs["server"], carry_sil=True)


def test_install_takes_images_and_programs():
    system = System()
    assert install(system, SERVER_IMAGE).name == "server"
    assert install(system, UNIT.programs["client"]).name == "client"
    assert list(system.installed.index) == ["server", "client"]
    with pytest.raises(InstallError, match="is no system"):
        install(SERVER_IMAGE, system)
    with pytest.raises(InstallError, match="is no sealed image"):
        install(system, "server")


@pytest.mark.parametrize("optimiser", [True, False])
def test_an_image_that_carries_its_sil_is_verified_again(optimiser):
    system = System()
    for name in ("server", "client"):
        image = build(UNIT.programs[name], optimiser=optimiser, carry_sil=True)
        assert image.code == build(UNIT.programs[name], optimiser=optimiser).code
        install(system, image, reverify=True)
    client, server = system.create("client", n=8), system.create("server")
    system.connect(client["ch"], server["ch"])
    system.run()
    assert client.exit_value == 42
    install(System(), UNIT.programs["client"], reverify=True)


def test_without_its_sil_it_cannot_be():
    with pytest.raises(InstallError, match="does not carry its SIL.*carry_sil=True"):
        install(System(), build(UNIT.programs["server"]), reverify=True)


def forged(code: bytes | None = None, **changes) -> SealedImage:
    return seal(replace(SERVER_IMAGE.manifest, **changes), SERVER_IMAGE.code if code is None else code, SERVER_IMAGE.tables)


def test_one_word_of_other_code_is_found():
    """Code that the scan lets through, and that reaches where it likes: only compiling again finds it."""
    calls = {r.offset for r in SERVER_IMAGE.manifest.relocations}
    for offset in range(0, SERVER_IMAGE.manifest.text_bytes, 4):
        if offset in calls or offset - 4 in calls:
            continue
        code = bytearray(SERVER_IMAGE.code)
        code[offset : offset + 4] = (0x0005_3503).to_bytes(4, "little")  # ld a0, 0(a0)
        with pytest.raises(InstallError):
            install(System(ram="2M"), forged(bytes(code)), reverify=True) if offset < 40 else check(forged(bytes(code)))


def check(image):
    from singlab.sing.install import check_again

    check_again(image)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sil": "nonsense"}, "the SIL it carries is refused, at line 1 of it: this cannot be read"),
        ({"sil": build(UNIT.programs["client"], carry_sil=True).manifest.sil}, "its code is not what the SIL"),
        ({"stack_bytes": 16}, "its manifest says of its stack bytes"),
        ({"parameters": []}, "its manifest says of its parameters"),
        ({"result": "u8"}, "its manifest says of its result"),
        ({"relocations": SERVER_IMAGE.manifest.relocations[1:]}, "its manifest says of its relocations"),
        ({"contracts": {}}, "its contract Talk is not the one"),
    ],
)
def test_a_manifest_that_says_something_else(changes, words):
    with pytest.raises(InstallError, match=words):
        check(forged(**changes))


def test_sil_that_the_verifier_refuses():
    sil = SERVER_IMAGE.manifest.sil
    changed = sil.replace("send", "close", 1)
    assert changed != sil
    with pytest.raises(InstallError, match="the SIL it carries is refused"):
        check(forged(sil=changed))


def test_broken_bytes_are_no_image_here_either():
    with pytest.raises(SealError):
        check(SealedImage(SERVER_IMAGE.manifest, b"", b"", SERVER_IMAGE.data[:-1]))
    with pytest.raises(SipError):
        install(System(), programs_from_source("@sip\ndef p():\n    x = [1]\n").programs["p"])
