"""What @sip(...) declares: read from the source, refused at its place, and in the image's manifest."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import SERVER, TALK

from singlab.kernel import InstallError, System
from singlab.kernel.manifest import Extension, IoMemoryRange
from singlab.sing import ChannelClosed, SipError, build, contract, function, programs_from_source, sip, u64  # noqa: F401


def manifest(declared: str, text: str = "", body: str = "p():\n    return", name: str = "p"):
    return build(programs_from_source(f"{text}\n@sip{declared}\ndef {body}\n", "cell").programs[name]).manifest


def test_bare_sip_says_the_functions_name():
    found = manifest("")
    assert (found.name, found.version, found.publisher, found.category) == ("p", "1.0", "", "")
    assert {**asdict(found), "source": ""} == {**asdict(manifest("()")), "source": ""}


def test_everything_that_can_be_declared():
    text = TALK + SERVER
    found = manifest(
        '(name="disk", version="1.2", publisher="MSR", category="driver", io_memory=[(0x10001000, 0x1000), (0x10000000, 8)], '
        'interrupts=[1, 10], imports=["Talk"], exports=[], extensions=[("server", "Talk")])', text)  # fmt: skip
    assert (found.name, found.version, found.publisher, found.category) == ("disk", "1.2", "MSR", "driver")
    assert found.io_memory == [IoMemoryRange(0x1000_1000, 0x1000), IoMemoryRange(0x1000_0000, 8)]
    assert found.interrupts == [1, 10] and found.extensions == [Extension("server", "Talk")]
    assert set(found.imports) == {"Talk"} and not found.exports
    system = System()
    with pytest.raises(InstallError, match="not installed"):
        system.install(image := build(programs_from_source(f'{text}\n@sip(extensions=[("server", "Talk")])\ndef p():\n    return').programs["p"]))
    system.install(build(programs_from_source(text).programs["server"]))
    system.install(image)


def test_contracts_come_from_the_types():
    found = manifest("", TALK, SERVER.split("def ")[1], "server")
    assert set(found.exports) == {"Talk"} and not found.imports


@sip(name="shop.clerk", version="2.0")
def clerk(n: u64) -> u64:
    return n + 1


def test_the_decorator_in_a_file():
    image = build(clerk)
    assert image.name == "shop.clerk" and image.manifest.version == "2.0"
    system = System()
    process = system.create(image, n=41)
    system.run()
    assert process.exit_value == 42


def test_a_wrong_declaration_is_refused_where_it_stands():
    with pytest.raises(SipError) as refusal:
        @sip(version="one")
        def wrong():
            return
    assert refusal.value.rule == "manifest" and "'one' is no version" in str(refusal.value)
    assert refusal.value.source_line.strip() == '@sip(version="one")'
    with pytest.raises(SipError, match="by name"):
        sip("disk")
    with pytest.raises(SipError, match="a helper has no manifest"):
        programs_from_source('@function(name="x")\ndef f(n: u64) -> u64:\n    return n\n\n@sip\ndef p() -> u64:\n    return f(1)')


LITERALS = st.recursive(
    st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=6), st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.binary(max_size=3)),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["name", "version", "publisher", "category", "io_memory", "interrupts", "imports", "exports", "extensions"]), LITERALS)
def test_any_literal_is_taken_or_refused_at_its_place(name, value):
    try:
        manifest(f"({name}={value!r})", TALK)
    except SipError as refusal:
        assert refusal.rule in ("manifest", "syntax")
        if refusal.rule == "manifest":
            assert refusal.hint and refusal.column >= 1 and refusal.source_line.startswith("@sip")
