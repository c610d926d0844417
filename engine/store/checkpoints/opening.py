"""Which reader a file is for, by how it begins; and a model's files by their index."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerscope.engine.store.checkpoints.base import CheckpointError, StoredTensor
from layerscope.engine.store.checkpoints.npz import read_npz
from layerscope.engine.store.checkpoints.safetensors import is_safetensors, read_safetensors
from layerscope.engine.store.checkpoints.torch_file import read_torch

__all__ = ["Checkpoint", "open_checkpoint"]

HEAD_BYTES = 64
MOST_INDEX_BYTES = 100_000_000
PICKLE = b"\x80"  # how a pickle begins from protocol 2 on


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of one model, in one file or several."""

    path: Path
    tensors: list[StoredTensor]

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return sum(tensor.nbytes for tensor in self.tensors)


def open_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a safetensors file, a sharded model's ``*.index.json``, an ``.npz`` or a file
    of ``torch.save``, told apart by their content. No entry is read yet.

    Errors: ``CheckpointError`` with a sentence; for what the operating system refuses, too.
    """
    try:
        return Checkpoint(path, _read(path))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None


def _read(path: Path) -> list[StoredTensor]:
    with path.open("rb") as file:
        head, size = file.read(HEAD_BYTES), os.fstat(file.fileno()).st_size
    if is_safetensors(head, size):  # first: its length may look like anything
        return read_safetensors(path)
    if head.lstrip()[:1] == b"{":
        return _shards(path)
    if head[:2] == b"PK":
        # torch's own zip has its pickle in a folder; NumPy's has arrays alone.
        return read_torch(path) if _has_pickle(path) else read_npz(path)
    if is_safetensors(head):
        return read_safetensors(path)
    if head[:1] == PICKLE:
        return read_torch(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path)  # which says what is wrong with it
    raise CheckpointError(
        f"{path}: expected a safetensors file, its *.index.json, an .npz or a file of torch.save"
    )


def _has_pickle(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{path}: not readable as a zip: {error}") from None


def _shards(path: Path) -> list[StoredTensor]:
    if path.stat().st_size > MOST_INDEX_BYTES:
        raise CheckpointError(f"{path}: expected an index of at most {MOST_INDEX_BYTES} bytes")
    try:
        index: Any = json.loads(path.read_bytes())
        places: dict[str, Any] = index["weight_map"]
        names = sorted(set(places.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(
            f'{path}: expected an index, {{"weight_map": {{"tensor": "file.safetensors"}}}}'
        ) from None
    found = []
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
            raise CheckpointError(f"{path}: expected a file beside it, got {str(name)[:100]!r}")
        shard = path.with_name(name)
        if not shard.is_file():
            raise CheckpointError(f"{path}: {name!r}, of which it tells, is not there")
        inside = {tensor.name: tensor for tensor in read_safetensors(shard)}
        told = [tensor for tensor, place in places.items() if place == name]
        if missing := [tensor for tensor in told if tensor not in inside]:
            raise CheckpointError(f"{path}: {name!r} has no tensor {missing[0][:100]!r}")
        found += [inside[tensor] for tensor in told]
    return found
