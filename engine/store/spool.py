"""Batches on the disk while their server is away: appended, read in order, torn tails left out.

A file holds the batches of one run for one server: a line of JSON that says which, then frames of
length, checksum (CRC-32) and batch; the length's highest bit says that it was delivered. Who writes
or delivers it holds its lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

__all__ = ["MOST_SPOOL_BYTES", "Spool"]

MOST_SPOOL_BYTES = 2**30
FRAME = struct.Struct("<II")
SUFFIX = ".spool"
DELIVERED = 1 << 31


class Spool:
    """What waits for one server of one run; made on the disk by the first batch.

    Errors: of every method, ``OSError``.
    """

    def __init__(self, folder: Path, address: str, run: str) -> None:
        self.path = folder / f"{run}{SUFFIX}"
        self.run = run
        self._head = json.dumps({"version": 1, "server": address, "run": run}).encode() + b"\n"
        self._file: int | None = None
        self._begin = len(self._head)
        """Where what was not delivered begins, as far as is known."""
        self._end = 0

    @classmethod
    def left(cls, folder: Path, address: str) -> Iterator[Self]:
        """What earlier programs could not deliver to this server, locked one after another."""
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            spool = cls(folder, address, path.name.removesuffix(SUFFIX))
            if spool._taken_over():
                yield spool

    def __bool__(self) -> bool:
        return self._file is not None

    def add(self, batch: bytes) -> None:
        """Append a batch, wholly or not at all."""
        file = self._opened()
        frame = FRAME.pack(len(batch), zlib.crc32(batch)) + batch
        if self._end + len(frame) > MOST_SPOOL_BYTES:
            raise OSError(f"{self.path} has reached {MOST_SPOOL_BYTES >> 20} MiB")
        try:
            _write(file, frame, self._end)
        except OSError:
            os.ftruncate(file, self._end)
            raise
        self._end += len(frame)

    def batches(self) -> Iterator[bytes]:
        """Every whole batch that was not delivered, in order; who asks for the next has delivered
        the one before."""
        while (
            self._file is not None
            and len(head := os.pread(self._file, FRAME.size, self._begin)) == FRAME.size
        ):
            told, checksum = FRAME.unpack(head)
            length = told & ~DELIVERED
            if told == length:
                batch = os.pread(self._file, length, self._begin + FRAME.size)
                if len(batch) < length or zlib.crc32(batch) != checksum:
                    return  # its writer was killed in the middle
                yield batch
                with contextlib.suppress(OSError):  # delivered twice, it is taken once
                    _write(self._file, FRAME.pack(told | DELIVERED, checksum), self._begin)
            self._begin += FRAME.size + length

    def clear(self) -> None:
        """All of it was delivered."""
        try:
            self.path.unlink(missing_ok=True)
        finally:
            self.release()

    def release(self) -> None:
        """Leave it to the next who delivers."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            lock = _locks()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                lock(file)
                _write(file, self._head, 0)
            except OSError:
                os.close(file)
                raise
            self._file, self._begin, self._end = file, len(self._head), len(self._head)
        return self._file

    def _taken_over(self) -> bool:
        """Whether this file is for our server, and nobody else's any more."""
        try:
            lock = _locks()
            file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            lock(file)
        except OSError:
            os.close(file)
            return False
        try:
            ours = os.pread(file, len(self._head), 0) == self._head
        except OSError:
            ours = False
        if not ours:
            os.close(file)
            return False
        self._file, self._end = file, os.fstat(file).st_size
        return True


def _locks() -> Callable[[int], None]:
    """What locks a file, or ``OSError``: asked for before anything that some systems have not."""
    try:
        import fcntl
    except ImportError:
        raise OSError("this system has no locks that a spool could be held by") from None
    return lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write(file: int, data: bytes, position: int) -> None:
    while data:
        done = os.pwrite(file, data, position)
        data, position = data[done:], position + done
