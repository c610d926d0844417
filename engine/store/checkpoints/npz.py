"""NumPy's ``.npz``: a zip of arrays. Object arrays would have to be unpickled, and are not read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.store.checkpoints.base import (
    MOST_TENSORS,
    CheckpointError,
    StoredTensor,
    piece_entries,
    repeated,
)  # fmt: skip

__all__ = ["read_npz"]

MOST_BYTES = 2**32
"""An archive may grow to this, whatever it is made of; beyond,"""
MOST_GROWTH = 200
"""only to so many times its own size: what a bomb is made for."""
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What ``zipfile`` raises of a file that is damaged, encrypted or of another method."""


def read_npz(path: Path) -> list[StoredTensor]:
    """Every array of the archive, in its order; each is unpacked piece by piece when it is read.

    Errors: ``CheckpointError``; ``OSError``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check(path, members)
            return [_stored(path, archive, member) for member in members]
    except BROKEN as error:
        raise CheckpointError(f"{path}: not readable as a zip of arrays: {error}") from None


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_TENSORS:
        raise CheckpointError(f"{path}: {len(members)} arrays; expected at most {MOST_TENSORS}")
    names = [member.filename for member in members]
    if (twice := repeated(names)) is not None:
        raise CheckpointError(f"{path}: {twice[:100]!r} stands there twice")
    grown, size = sum(member.file_size for member in members), path.stat().st_size
    if grown > max(MOST_BYTES, MOST_GROWTH * size):
        raise CheckpointError(
            f"{path}: {size} bytes would become {grown}; expected at most {MOST_GROWTH} times as "
            "many"
        )


def _stored(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> StoredTensor:
    name = member.filename.removesuffix(".npy")
    with archive.open(member) as file:
        shape, by_rows, dtype, begin = _array_header(path, name, file)
    nbytes = int(np.prod([*shape, dtype.itemsize], dtype=object))
    if not dtype.hasobject and nbytes != member.file_size - begin:
        raise CheckpointError(
            f"{path}: {name!r}: shape {list(shape)} of {dtype} takes {nbytes} bytes, there are "
            f"{member.file_size - begin}"
        )
    native = dtype.newbyteorder("=")
    try:
        torch_dtype = dtype_name(torch.from_numpy(np.empty(0, native)).dtype)
    except TypeError:
        why = "objects would have to be unpickled" if dtype.hasobject else "torch has no such dtype"
        return StoredTensor(name, str(dtype), shape, member.file_size, lambda: iter(()), why)
    pieces = partial(_pieces, path, member.filename, begin, shape, dtype)
    return StoredTensor(name, torch_dtype, shape, nbytes, pieces, by_rows=by_rows or len(shape) < 2)


def _array_header(
    path: Path, name: str, file: IO[bytes]
) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    try:
        major, minor = npy.read_magic(file)
        read = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}.get(major)
        if read is None:
            raise ValueError(f"version {major}.{minor} of the format")
        shape, fortran, dtype = read(file)
    except BROKEN:
        raise
    except Exception as error:
        raise CheckpointError(f"{path}: {name[:100]!r} is no array: {error}") from None
    if any(size < 0 for size in shape):
        raise CheckpointError(f"{path}: {name[:100]!r}: expected sizes, got {list(shape)}")
    return shape, not fortran, dtype, file.tell()


def _pieces(
    path: Path, member: str, begin: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[Tensor]:
    left = int(np.prod(shape, dtype=object))
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            file.read(begin)
            while left:
                count = min(left, piece_entries(shape, dtype.itemsize))
                memory = bytearray(file.read(count * dtype.itemsize))
                if len(memory) != count * dtype.itemsize:
                    raise CheckpointError(f"{path}: {member!r} ends too early")
                array = np.frombuffer(memory, dtype)
                yield torch.from_numpy(array.astype(dtype.newbyteorder("="), copy=False))
                left -= count
    except BROKEN as error:
        raise CheckpointError(f"{path}: {member!r}: {error}") from None
