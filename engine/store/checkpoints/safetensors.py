"""The safetensors format: a length, a JSON header, and the entries of every tensor one by one.

Read by its specification (huggingface/safetensors, README, "Format"), refusing what that refuses:
repeated names, gaps, overlaps, and offsets that do not fit a tensor's shape.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.store.checkpoints.base import (
    MOST_TENSORS,
    CheckpointError,
    StoredTensor,
    piece_entries,
    repeated,
)  # fmt: skip

__all__ = ["is_safetensors", "read_safetensors"]

LENGTH = struct.Struct("<Q")
MOST_HEADER_BYTES = 100_000_000  # as the reference implementation has it
LONGEST_RANK = 64  # of a tensor of torch's
LARGEST = 2**63 - 1
DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "C64": "complex64", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
"""The format's names by torch's."""
PACKED = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
"""Bits of formats below a byte, which no dtype of torch's holds one by one."""


def is_safetensors(head: bytes, size: int | None = None) -> bool:
    """Whether a file begins as one: a length, then an object; a header of this length has room in
    the file where its ``size`` in bytes is given, which no text and no archive passes."""
    if len(head) <= LENGTH.size or head[LENGTH.size :].lstrip()[:1] != b"{":
        return False
    return size is None or LENGTH.unpack_from(head)[0] <= size - LENGTH.size


def read_safetensors(path: Path) -> list[StoredTensor]:
    """Every tensor of the file, in the order of its entries. Nothing but the header is read.

    Errors: ``CheckpointError`` for a header that is not what the format asks for; ``OSError``.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < LENGTH.size:
            raise CheckpointError(f"{path}: {size} bytes; expected a length of 8 bytes first")
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        if length > min(size - LENGTH.size, MOST_HEADER_BYTES):
            raise CheckpointError(
                f"{path}: a header of {length} bytes is told; the file has {size}, and expected "
                f"are at most {MOST_HEADER_BYTES}"
            )
        header = _header(path, file.read(length))
    start = LENGTH.size + length
    header.pop("__metadata__", None)
    if len(header) > MOST_TENSORS:
        raise CheckpointError(f"{path}: {len(header)} tensors; expected at most {MOST_TENSORS}")
    found = [_Entry(path, name, about) for name, about in header.items()]
    found.sort(key=lambda entry: (entry.begin, entry.end))
    position = 0
    for entry in found:
        if entry.begin != position:
            kind = "overlaps the one before it" if entry.begin < position else "begins after a gap"
            raise CheckpointError(f"{path}: {entry.name!r} {kind}, at byte {entry.begin}")
        position = entry.end
    if start + position != size:
        raise CheckpointError(
            f"{path}: the header tells of {position} bytes of entries, the file has "
            f"{size - start}: it was cut, or is no safetensors file"
        )
    return [entry.stored(start) for entry in found]


def _header(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its header is no JSON of the format: {error}") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: its header is no JSON object")
    return header


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (twice := repeated(name for name, _ in pairs)) is not None:
        raise ValueError(f"{twice[:100]!r} stands there twice")
    return dict(pairs)


class _Entry:
    """One tensor's part of the header, checked."""

    def __init__(self, path: Path, name: str, about: Any) -> None:
        self.path = path
        self.name = name
        shown = name[:100]
        try:
            dtype, shape, offsets = about["dtype"], about["shape"], about["data_offsets"]
        except (KeyError, TypeError, IndexError):
            raise CheckpointError(
                f"{path}: {shown!r}: expected dtype, shape and data_offsets"
            ) from None
        if not (_sizes(shape) and len(shape) <= LONGEST_RANK and math.prod(shape) <= LARGEST):
            raise CheckpointError(
                f"{path}: {shown!r}: expected a shape of at most {LONGEST_RANK} sizes, "
                f"got {str(shape)[:100]}"
            )
        if not (_sizes(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
            raise CheckpointError(
                f"{path}: {shown!r}: expected two ascending offsets, got {str(offsets)[:100]}"
            )
        self.dtype, self.shape = str(dtype), tuple(shape)
        self.begin, self.end = offsets
        bits = self._bits() * math.prod(shape)
        if bits % 8 or bits // 8 != self.end - self.begin:
            raise CheckpointError(
                f"{path}: {shown!r}: shape {list(shape)} of {self.dtype} takes {bits / 8:g} bytes, "
                f"its offsets {self.end - self.begin}"
            )

    def _bits(self) -> int:
        if self.dtype in PACKED:
            return PACKED[self.dtype]
        known = getattr(torch, DTYPES.get(self.dtype, ""), None)
        if known is None:
            raise CheckpointError(f"{self.path}: {self.name[:100]!r}: unknown dtype {self.dtype!r}")
        return int(known.itemsize * 8)

    def stored(self, start: int) -> StoredTensor:
        nbytes = self.end - self.begin
        if self.dtype in PACKED:
            why = f"{self.dtype} packs entries of {PACKED[self.dtype]} bits"
            return StoredTensor(self.name, self.dtype, self.shape, nbytes, lambda: iter(()), why)
        name = DTYPES[self.dtype]
        pieces = partial(_pieces, self.path, start + self.begin, self.shape, getattr(torch, name))
        return StoredTensor(self.name, name, self.shape, nbytes, pieces)


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= LARGEST for n in value
    )


def _pieces(
    path: Path, offset: int, shape: tuple[int, ...], dtype: torch.dtype
) -> Iterator[Tensor]:
    """Read, not mapped: a file that is cut meanwhile is an error then, and not the end of us."""
    left = math.prod(shape)
    with path.open("rb") as file:
        file.seek(offset)
        while left:
            count = min(left, piece_entries(shape, dtype.itemsize))
            memory = bytearray(count * dtype.itemsize)
            if file.readinto(memory) != len(memory):
                raise CheckpointError(f"{path}: it was cut while it was read")
            yield torch.frombuffer(memory, dtype=dtype)
            left -= count
