"""PyTorch's own files, through ``torch.load(weights_only=True)`` alone: tensors, and no code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.store.checkpoints.base import (
    MOST_TENSORS,
    CheckpointError,
    StoredTensor,
    piece_entries,
)  # fmt: skip

__all__ = ["read_torch"]

DEEPEST = 50


def read_torch(path: Path) -> list[StoredTensor]:
    """Every tensor in the file's nested mappings and lists, by its path: ``model.layer.weight``.

    Errors: ``CheckpointError`` for a file that holds anything but tensors and plain values;
    ``OSError``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch says, the error alone counts
            value = _loaded(path)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path}: it holds more than tensors and plain values, and reading the rest would run "
            "its code; save a state_dict, or safetensors"
        ) from None
    except OSError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:300]
        raise CheckpointError(f"{path}: torch can't load it: {reason}") from None
    found = [_stored(name, tensor) for name, tensor in _tensors("", value, 0)]
    if len(found) > MOST_TENSORS:
        raise CheckpointError(f"{path}: {len(found)} tensors; expected at most {MOST_TENSORS}")
    return found


def _loaded(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError):  # written by torch before 1.6: nothing to be mapped
        return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(name: str, value: Any, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name or "tensor", value
    elif depth < DEEPEST and isinstance(value, Mapping | list | tuple):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, each in pairs:
            yield from _tensors(f"{name}.{key}" if name else str(key), each, depth + 1)


def _stored(name: str, tensor: Tensor) -> StoredTensor:
    tensor = tensor.detach()
    shape, dtype = tuple(tensor.shape), dtype_name(tensor.dtype)
    nbytes = tensor.numel() * tensor.dtype.itemsize
    why = _unread(tensor)
    pieces = (lambda: iter(())) if why else partial(_pieces, tensor)
    return StoredTensor(name, dtype, shape, nbytes, pieces, why)


def _unread(tensor: Tensor) -> str | None:
    if tensor.layout != torch.strided:
        return f"its layout is {str(tensor.layout).removeprefix('torch.')}"
    if tensor.is_quantized:
        return "it is quantised"
    if tensor.device.type != "cpu":
        return f"its entries are not in the file, but on {tensor.device.type}"
    held = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.dtype.itemsize > held:
        return f"{tensor.numel()} entries lie over one another in {held} bytes"
    return None


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    if not tensor.numel():
        return
    count = piece_entries(tuple(tensor.shape), tensor.dtype.itemsize)
    if tensor.is_contiguous():
        yield from torch.split(tensor.view(-1), count)
        return
    rows = tensor if tensor.dim() > 1 else tensor.unsqueeze(-1)
    for part in torch.split(rows, max(1, count // max(1, rows[0].numel()))):
        yield from torch.split(part.contiguous().view(-1), count)
