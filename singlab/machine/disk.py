"""A disk image: its bytes, what was written to it since, and the file they came from.

The image is read once and never changed; writes lie beside it in chunks, so a snapshot of a disk is a
copy of a small table. A file is left as it was unless the disk is writable; then each write also goes to
the file before the guest hears that it is done.
"""

from __future__ import annotations

from pathlib import Path

SECTOR = 512
_CHUNK = 4096


class Disk:
    """The contents of a block device.

    Parameters
    ----------
    image : str, Path or bytes
        A file, or the bytes themselves.
    writable : bool
        Write to the file, too.

    Raises
    ------
    ValueError
        If it cannot be a disk.
    """

    def __init__(self, image: str | Path | bytes | bytearray, writable: bool = False):
        self.path = None if isinstance(image, (bytes, bytearray)) else Path(image)
        self._file = None
        if self.path is None:
            if writable:
                raise ValueError("a disk of bytes has no file to write to; give the path of a file, or leave writable out")
            self._image = bytes(image)
        else:
            self._image = self._load(writable)
        name = "the disk image" if self.path is None else f"the disk image {self.path}"
        if not self._image or len(self._image) % SECTOR:
            size = len(self._image)
            raise ValueError(
                f"{name} is {size:,} bytes long, and a disk is one or more sectors of {SECTOR}. "
                f"Fill it up with zeros to {max(1, -(-size // SECTOR)) * SECTOR:,} bytes."
            )
        self.size = len(self._image)
        self._chunks: dict[int, bytes] = {}
        if writable:
            self._file = self._opened("r+b")

    def _opened(self, mode: str):
        try:
            return self.path.open(mode, buffering=0)
        except OSError as error:
            what = "read" if mode == "rb" else "written"
            raise ValueError(
                f"the disk image {self.path} cannot be {what} ({error.strerror}); name a file that can, or change its rights"
            ) from None

    def _load(self, writable: bool) -> bytes:
        if not self.path.exists():
            raise ValueError(f"there is no disk image {self.path}; make one, or look at how its name is spelled")
        if not self.path.is_file():
            raise ValueError(f"the disk image {self.path} is not a file; name a file with the disk's bytes")
        with self._opened("rb") as file:
            return file.readall()

    def read(self, offset: int, count: int) -> bytes:
        """Return bytes of the disk."""
        if not self._chunks:
            return self._image[offset : offset + count]
        data = bytearray(self._image[offset : offset + count])
        for chunk in range(offset // _CHUNK, -(-(offset + count) // _CHUNK)):
            if (written := self._chunks.get(chunk)) is not None:
                start = chunk * _CHUNK
                first, last = max(start, offset), min(start + len(written), offset + count)
                data[first - offset : last - offset] = written[first - start : last - start]
        return bytes(data)

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes that lie within the disk; raises OSError if their file does not take them."""
        if self._file is not None:
            self._put(offset, data)
        end = offset + len(data)
        for chunk in range(offset // _CHUNK, -(-end // _CHUNK)):
            start = chunk * _CHUNK
            content = bytearray(self.read(start, min(_CHUNK, self.size - start)))
            first, last = max(start, offset), min(start + len(content), end)
            content[first - start : last - start] = data[first - offset : last - offset]
            self._chunks[chunk] = bytes(content)

    def _put(self, offset: int, data: bytes) -> None:
        self._file.seek(offset)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    @property
    def writable(self) -> bool:
        """Whether writes go to the file."""
        return self._file is not None

    @property
    def written(self) -> int:
        """Bytes in the parts that were written to."""
        return sum(map(len, self._chunks.values()))

    def contents(self) -> bytes:
        """Return the whole disk as it is now."""
        return self.read(0, self.size)

    def snapshot(self) -> dict[int, bytes]:
        """Return what was written so far."""
        return dict(self._chunks)

    def restore(self, snapshot: dict[int, bytes]) -> None:
        """Go back to a snapshot, and the file of a writable disk with it."""
        before, self._chunks = self._chunks, dict(snapshot)
        if self._file is not None:
            for chunk in before.keys() | snapshot.keys():
                if before.get(chunk) is not snapshot.get(chunk):
                    start = chunk * _CHUNK
                    self._put(start, self.read(start, min(_CHUNK, self.size - start)))

    def close(self) -> None:
        """Close the file of a writable disk."""
        if self._file is not None:
            self._file.close()
            self._file = None
