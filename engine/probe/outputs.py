"""The tensor that a module's output is about, however it is wrapped."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from layerscope.engine.execution.masks import can_mask
from layerscope.engine.probe.kinds import kind_of

__all__ = [
    "fresh", "has_figures", "has_parameters", "is_mask", "main_tensor", "mapped", "tensors",
]  # fmt: skip


def main_tensor(output: Any) -> Tensor | None:
    """The first tensor of floats or complex numbers in ``output``; None where there is none.

    Looked for in tuples and lists, mappings, dataclasses and packed sequences, in their order: of
    an LSTM's output the sequence, of a transformer's the hidden state.

    >>> import torch
    >>> main_tensor((torch.tensor([1]), {"logits": torch.tensor([2.0])}))
    tensor([2.])
    """
    if isinstance(output, Tensor):
        return output if has_figures(output) else None
    return next((t for t in tensors(output) if has_figures(t)), None)


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


def fresh(value: Any) -> Any:
    """The same with every tensor copied, so that nobody writes into the caller's.

    >>> import torch
    >>> x = torch.ones(2)
    >>> fresh((x, [x], "mask"))[0].zero_(), x
    (tensor([0., 0.]), tensor([1., 1.]))
    """
    return mapped(value, _copied)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with every tensor in tuples, lists, mappings and dataclasses changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(each, change) for key, each in value.items()}
    if isinstance(value, tuple | list):
        parts = [mapped(each, change) for each in value]
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        return tuple(parts) if isinstance(value, tuple) else parts
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        twin = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(twin, field.name, mapped(getattr(value, field.name), change))
        return twin
    return value


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def has_figures(tensor: Tensor) -> bool:
    """Whether there are numbers to be told of: floats or complex ones, and in some memory."""
    return (tensor.is_floating_point() or tensor.is_complex()) and tensor.device.type != "meta"


def has_parameters(module: nn.Module) -> bool:
    """Whether it has any of its own, or its children have."""
    return any(True for _ in module.parameters())


def is_mask(module: nn.Module, output: Tensor) -> bool:
    """Whether minus infinity is all that is not finite in an output that is not: what a softmax
    behind a module without parameters is to make zeros of. As quick as reading it once.

    >>> scores = torch.tensor([1.0, float("-inf")])
    >>> is_mask(nn.Identity(), scores), is_mask(nn.Identity(), -scores)
    (True, False)
    """
    may = can_mask(kind_of(module).role, parameters=has_parameters(module))
    if not may or output.is_complex() or output.layout is not torch.strided:
        return False
    return bool(output.max() < math.inf)  # of a NaN the largest is NaN
