"""Sealed images as bytes and as files: whatever is not what was sealed is refused with its reason, in bounded time."""

from __future__ import annotations

import json
import os
import pickle
from contextlib import suppress
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import images

from singlab.kernel import SealedImage, SealError
from singlab.kernel.image import FORMAT, MAGIC, Manifest, open_image, seal, sealed_bytes
from singlab.kernel.manifest import difference, fingerprint


def manifest_of(image: SealedImage) -> dict:
    """Return an image's manifest as JSON has it."""
    return json.loads(json.dumps(asdict(image.manifest)))


def resealed(header: bytes | dict, image: SealedImage) -> bytes:
    """Return an image's bytes with another manifest, and the right seal over it."""
    if isinstance(header, dict):
        header = json.dumps(header).encode()
    return sealed_bytes(header, image.code, image.tables)


def test_what_is_sealed_is_what_is_opened():
    for image in images().values():
        again = open_image(image.data)
        assert again == image and again.seal == image.seal
        assert open_image(resealed(manifest_of(image), image)).manifest == image.manifest


def test_every_bit_counts():
    image = images()["chatty"]
    for at in range(len(image.data)):
        for bit in range(8) if at < 400 or at > len(image.data) - 40 else (at % 8,):
            broken = bytearray(image.data)
            broken[at] ^= 1 << bit
            with pytest.raises(SealError):
                open_image(bytes(broken))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_altered_bytes_are_refused(data):
    whole = images()[data.draw(st.sampled_from(sorted(images())))].data
    kind = data.draw(st.sampled_from(["flip", "cut", "grow", "swap", "splice", "front"]))
    at = data.draw(st.integers(0, len(whole) - 1))
    more = data.draw(st.binary(min_size=1, max_size=80))
    altered = {
        "flip": lambda: whole[:at] + bytes([whole[at] ^ 1 << more[0] % 8]) + whole[at + 1 :],
        "cut": lambda: whole[:at],
        "grow": lambda: whole + more,
        "swap": lambda: whole[:at] + more + whole[at + len(more) :],
        "splice": lambda: whole[:at] + more + whole[at:],
        "front": lambda: more + whole,
    }[kind]()
    if altered != whole:
        with pytest.raises(SealError):
            open_image(altered)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_random_bytes_are_refused(data, magic):
    with pytest.raises(SealError):
        open_image((MAGIC + b"2" if magic else b"") + data)


@pytest.mark.parametrize("data", [None, 7, "text", [1, 2]])
def test_what_are_no_bytes_is_refused(data):
    with pytest.raises(SealError, match="is no image's bytes"):
        open_image(data)


# ---- a manifest that lies, under the right seal ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "cannot be read"), (b"null", "null, not an object"), (b"[]", "a list, not an object"), (b"{}", "lacks the field"),
        (b'{"name": 1e400}', "no whole number"), (b'{"name": NaN}', "no whole number"), (b'{"name": -Infinity}', "no whole number"),
        (b'{"name": 1.5}', "no whole number"), (b'{"entry": 99999999999999999999999}', "larger than 64 bits"),
        (b'{"entry": ' + b"9" * 1_000_000 + b"}", "larger than 64 bits"), (b"[" * 1_000_000, "nested too deeply"),
        (b'{"a":' * 1_000_000, "nested too deeply"), (b'{"name": "a", "name": "b"}', "there twice"), (b"\xff\xfe", "it is no text"),
        (b'{"name": "x"', "cannot be read"), (b'{"nam\\u0000": 1}', "does not know"),
    ],
)  # fmt: skip
def test_hostile_json_is_refused(header, words):
    with pytest.raises(SealError, match=words):
        open_image(resealed(header, images()["client"]))


WRONG = [None, True, 0, -1, 2**63, "x", "\ud800", [], [[]], [None], [[1, "x"]], {}, {"x": 1}, {"x": {}}, [{"name": 1}], [{}], [0, 1, 2]]


@pytest.mark.parametrize("name", [item.name for item in fields(Manifest)])
def test_a_field_of_another_type_is_refused_or_read_as_it_is(name):
    image = images()["client"]
    for value in WRONG:
        header = {**manifest_of(image), name: value}
        try:
            opened = open_image(resealed(header, image))
        except SealError as refusal:
            assert "the manifest cannot be read" in str(refusal) and "Build it again" in str(refusal)
        else:
            assert json.loads(json.dumps(asdict(opened.manifest)))[name] == value


def test_missing_and_unknown_fields_are_named():
    image = images()["client"]
    for item in fields(Manifest):
        header = manifest_of(image)
        del header[item.name]
        with pytest.raises(SealError, match=f"lacks the field '{item.name}'"):
            open_image(resealed(header, image))
    with pytest.raises(SealError, match="a field 'colour' that this kernel does not know"):
        open_image(resealed({**manifest_of(image), "colour": 1}, image))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([item.name for item in fields(Manifest)]), JSON)
def test_any_value_in_any_field(name, value):
    image = images()["client"]
    try:
        opened = open_image(resealed({**manifest_of(image), name: value}, image))
    except SealError:
        return
    opened._repr_html_()
    str(opened)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["messages", "states", "transitions", "table"]), JSON)
def test_any_value_in_a_contract(name, value):
    image = images()["client"]
    header = manifest_of(image)
    header["contracts"]["Talk"][name] = value
    with suppress(SealError):
        open_image(resealed(header, image))


@pytest.mark.parametrize("digit", [b"1", b"3", b"9", b"x"])
def test_another_format_is_refused_with_its_reason(digit):
    data = images()["client"].data
    with pytest.raises(SealError, match=r"an image of (format|no format).*; this kernel reads format 2\. Build it again"):
        open_image(MAGIC + digit + data[len(MAGIC) + 1 :])
    assert FORMAT == 2


def test_sealing_nonsense_is_refused_too():
    image = images()["chatty"]
    with pytest.raises(SealError, match="entry"):
        seal(replace(image.manifest, entry="start"), image.code, image.tables)


# ---- files ------------------------------------------------------------------------------------------------------


def test_images_go_through_files(tmp_path):
    image = images()["client"]
    path = image.save(tmp_path / "client.img")
    assert SealedImage.load(path) == image == SealedImage.load(str(path))
    assert pickle.loads(pickle.dumps(image)) == image


def test_files_that_are_no_images(tmp_path):
    image = images()["client"]
    with pytest.raises(SealError, match="no such file"):
        SealedImage.load(tmp_path / "nowhere.img")
    with pytest.raises(SealError, match="it is a folder"):
        SealedImage.load(tmp_path)
    with pytest.raises(SealError, match="it is a folder"):
        image.save(tmp_path)
    with pytest.raises(SealError, match="no such file or folder"):
        image.save(tmp_path / "no" / "folder.img")
    with pytest.raises(SealError, match="no image can be read"):
        SealedImage.load("nul\0byte")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(SealError, match="not a singlab image"):
        SealedImage.load(tmp_path / "empty")
    (tmp_path / "text").write_text("hello, this is a text that is not an image and is long enough to be one")
    with pytest.raises(SealError, match="not a singlab image"):
        SealedImage.load(tmp_path / "text")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path):
    path = images()["client"].save(tmp_path / "client.img")
    path.chmod(0)
    with pytest.raises(SealError, match="this user may not"):
        SealedImage.load(path)


def test_an_endless_file_is_not_read_to_its_end():
    if not os.path.exists("/dev/zero"):
        pytest.skip("no /dev/zero here")
    with pytest.raises(SealError, match="not a singlab image"):
        SealedImage.load("/dev/zero")


# ---- fingerprints --------------------------------------------------------------------------------------------------


def changes() -> list[tuple[str, dict]]:
    """Return descriptions that differ from Talk's in one thing, with a word of what is said of it."""
    def other(change):
        found = json.loads(json.dumps(images()["client"].manifest.contracts["Talk"]))
        change(found)
        return found

    return [
        ("message Ask takes u64 or u32", other(lambda d: d["messages"][0]["arguments"].__setitem__(0, "u32 n"))),
        ("message Ask takes u64 or u64, u64", other(lambda d: d["messages"][0]["arguments"].append("u64 m"))),
        ("message Ask goes in different directions", other(lambda d: d["messages"][0].update(direction="!"))),
        ("only one of them has message", other(lambda d: d["messages"][0].update(name="Query"))),
        ("declared in another order", other(lambda d: d["messages"].reverse())),
        ("only one of them has state", other(lambda d: d["states"].__setitem__(1, "Other"))),
        ("follow each other in different ways", other(lambda d: d["transitions"][0].__setitem__(2, 2))),
    ]


def test_a_fingerprint_is_of_what_both_sides_must_agree_on():
    talk = images()["client"].manifest.contracts["Talk"]
    print_ = fingerprint("Talk", talk)
    assert images()["client"].manifest.imports == {"Talk": print_} == images()["server"].manifest.exports
    renamed = json.loads(json.dumps(talk))
    renamed["messages"][0]["arguments"][0] = "u64 another_name"
    renamed["table"] = [99, 1]
    renamed["transitions"].reverse()
    assert fingerprint("Talk", renamed) == print_
    assert fingerprint("Talks", talk) != print_
    for said, other in changes():
        assert fingerprint("Talk", other) != print_
        assert said in difference(talk, other)
