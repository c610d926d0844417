"""The tensor that a module's output is about, however it is wrapped."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["main_tensor", "tensors"]


def main_tensor(output: Any) -> Tensor | None:
    """The first tensor of floats or complex numbers in ``output``; None where there is none.

    Looked for in tuples and lists, mappings, dataclasses and packed sequences, in their order: of
    an LSTM's output the sequence, of a transformer's the hidden state.

    >>> import torch
    >>> main_tensor((torch.tensor([1]), {"logits": torch.tensor([2.0])}))
    tensor([2.])
    """
    if isinstance(output, Tensor):
        return output if _has_figures(output) else None
    return next((t for t in tensors(output) if _has_figures(t)), None)


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in ``value``, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, PackedSequence):
        yield value.data
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors(each)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))


def _has_figures(tensor: Tensor) -> bool:
    return (tensor.is_floating_point() or tensor.is_complex()) and tensor.device.type != "meta"
