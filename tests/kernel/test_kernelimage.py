"""The kernel's image: sealed at boot, and whatever changes in it is found and named."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from singlab.kernel import System
from singlab.kernel import layout as at
from singlab.kernel.abi import ABI, ABI_NUMBER
from singlab.kernel.entry import abi_entry, entry_code
from singlab.kernel.isolation import SETTINGS
from singlab.kernel.kernelimage import core_code, core_places
from singlab.kernel.opencalls import OPEN_CALLS


@pytest.mark.parametrize("isolation", SETTINGS)
def test_the_image_is_what_lies_in_memory(isolation):
    system = System(ram="2M", isolation=isolation)
    image = system.kernel_image
    assert image.data == image.entry + image.core + image.tables and image.seal == hashlib.sha256(image.data).hexdigest()
    assert image.core == core_code() == system.machine.read(at.CORE_TEXT, len(image.core))
    for address, code in entry_code(SETTINGS[isolation])[0]:
        assert image.entry[address - at.TEXT_BASE :][: len(code)] == code
    assert system.check_kernel() and "intact" in repr(system.check_kernel())


def test_two_settings_have_two_seals_and_one_setting_has_one():
    seals = {name: System(ram="2M", isolation=name).kernel_image.seal for name in SETTINGS}
    assert seals["sip"] == System(ram="4M", seed=3).kernel_image.seal == seals["unchecked"]
    assert len(set(seals.values())) == 3, "ring 0 without pages and with them, ring 3"


def test_the_parts_are_known():
    """One function after the other, with less than an alignment between them."""
    assert len(core_places()) > 100
    end = at.CORE_TEXT
    for address, size, name in core_places():
        assert 0 <= address - end < 8 and size > 0, name
        end = address + size
    assert 0 <= at.CORE_TEXT + len(core_code()) - end < 8


def test_any_flipped_bit_is_found_and_named():
    system, random = System(ram="2M"), Random(1)
    image = system.kernel_image
    pieces = ((at.TEXT_BASE, image.entry), (at.CORE_TEXT, image.core), (at.KERNEL_TABLES, image.tables))
    addresses = [range(start, start + len(piece)) for start, piece in pieces]
    for number in range(60):
        address = random.choice(addresses[number % 3])
        byte = system.machine.read(address, 1)[0]
        system.machine.write(address, bytes([byte ^ 1 << random.randrange(8)]))
        found = system.check_kernel()
        assert not found and not found.intact and len(found.rows) == 1
        (change,) = found.rows
        assert (change.address, change.bytes) == (address, 1) and change.was != change.now
        assert f"{address:#x}" in repr(found) and "NOT what was sealed" in found.html()
        system.machine.write(address, bytes([byte]))
        assert system.check_kernel()


def test_it_says_which_function_has_changed():
    system = System(ram="2M")
    offset = next(address for address, _, name in core_places() if name == "heap.block_free")
    system.machine.write(offset, bytes(8))
    send = abi_entry(ABI_NUMBER["send"])
    system.machine.write(send + 3, b"\xff")
    system.machine.write(at.TEXT_BASE + 4, b"\xff\xff\xff\xff")
    found = system.check_kernel()
    assert [change.part for change in found.rows] == ["trap and switch code", "entry of send", "heap.block_free"]
    assert found.rows[1].address == send + 3 and found.rows[2].now == "0x00000000"
    assert list(found.frame()["part"]) == [change.part for change in found.rows]


def test_running_and_going_back_leave_the_kernel_as_it_was():
    system = System(ram="2M")
    before = system.snapshot()
    system.machine.write(abi_entry(len(ABI) - 1), b"\0")
    assert not system.check_kernel()
    system.restore(before)
    assert system.check_kernel()


def test_an_open_kernel_is_named_by_its_own_parts():
    """Its entries are those of system calls; behind the last there is nothing of an ABI to speak of."""
    system = System(ram="2M", personality="open")
    assert system.check_kernel()
    last = OPEN_CALLS[-1]
    fork = next(call for call in OPEN_CALLS if call.name == "fork")
    for call in (fork, last):
        system.machine.write(abi_entry(call.number) + 3, b"\xff")
    heap = next(address for address, _, name in core_places() if name == "opens.sys_fork")
    system.machine.write(heap, bytes(8))
    found = system.check_kernel()
    assert [change.part for change in found.rows] == ["entry of fork", f"entry of {last.name}", "opens.sys_fork"]
    assert len(system.kernel_image.entry) == abi_entry(len(OPEN_CALLS)) - at.TEXT_BASE
