"""Disk images: which are refused and how, what happens to the file, and going back."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singlab.machine import Board
from singlab.machine.disk import Disk

IMAGE = random.Random(3).randbytes(20 * 512)


@pytest.mark.parametrize("size", [0, 1, 511, 513, 100_001])
@pytest.mark.parametrize("as_file", [True, False])
def test_images_that_are_no_sectors(tmp_path, size, as_file):
    path = tmp_path / "fs.img"
    path.write_bytes(bytes(size))
    with pytest.raises(ValueError) as error:
        Board(ram="1M", disk=path if as_file else bytes(size))
    message = str(error.value)
    assert f"{size:,} bytes" in message and "512" in message and f"{max(512, -(-size // 512) * 512):,} bytes" in message
    assert ("fs.img" in message) == as_file and "\n" not in message


def test_images_that_are_no_files(tmp_path):
    with pytest.raises(ValueError, match="there is no disk image .*none.img"):
        Disk(tmp_path / "none.img")
    with pytest.raises(ValueError, match="not a file; name a file"):
        Disk(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read and write everything")
def test_images_that_may_not_be_read_or_written(tmp_path):
    path = tmp_path / "fs.img"
    path.write_bytes(IMAGE)
    path.chmod(0o400)
    assert Disk(path).contents() == IMAGE
    with pytest.raises(ValueError, match="cannot be written .*change its rights"):
        Disk(path, writable=True)
    path.chmod(0)
    with pytest.raises(ValueError, match="cannot be read .*change its rights"):
        Disk(path)


def test_bytes_have_no_file_to_write_to():
    with pytest.raises(ValueError, match="leave writable out"):
        Disk(IMAGE, writable=True)


def test_the_file_stays_as_it_was(tmp_path):
    path = tmp_path / "fs.img"
    path.write_bytes(IMAGE)
    disk = Disk(path)
    disk.write(512, b"x" * 512)
    assert path.read_bytes() == IMAGE and disk.contents() == IMAGE[:512] + b"x" * 512 + IMAGE[1024:]
    assert disk.written > 0 and not disk.writable


@settings(max_examples=40, deadline=None)
@given(writes=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 20), st.booleans()), min_size=1, max_size=10))
def test_a_writable_disk_and_its_file_are_the_same(tmp_path_factory, writes):
    """After each write, and after going back to any of the moments between them."""
    path = tmp_path_factory.mktemp("disk") / "fs.img"
    path.write_bytes(IMAGE)
    disk, model, moments = Disk(path, writable=True), bytearray(IMAGE), []
    for number, (sector, count, back) in enumerate(writes):
        moments.append((disk.snapshot(), bytes(model)))
        count = min(count, 20 - sector)
        data = random.Random(number).randbytes(512 * count)
        disk.write(512 * sector, data)
        model[512 * sector : 512 * (sector + count)] = data
        assert disk.contents() == bytes(model) == path.read_bytes()
        assert disk.read(512 * sector, 512 * count) == data
        if back:
            kept, content = moments[number // 2]
            disk.restore(kept)
            model[:] = content
            assert disk.contents() == content == path.read_bytes()
    disk.close()
