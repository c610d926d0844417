"""Writes down every elementary operation of PyTorch that a function runs, tensors by identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch._decomp import decomposition_table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

__all__ = ["Index", "Step", "Tape", "index_of"]

Index = tuple[int, ...]
"""The place of one entry in a tensor."""

SUMS = frozenset({"mm", "addmm", "bmm", "baddbmm", "sum", "mean"})
"""Operations that add up; followed as they are, though PyTorch could take some apart."""


def index_of(place: Tensor | int, shape: tuple[int, ...]) -> Index:
    """The index of an entry, counted through a tensor's entries in their order.

    >>> index_of(5, (2, 3))
    (1, 2)
    """
    return tuple(map(int, np.unravel_index(int(place), shape)))  # torch's own: 30 times slower


@dataclass(slots=True, eq=False)
class Step:
    """One elementary operation as it was run."""

    function: Any
    name: str
    inputs: list[Any]
    """Positional arguments, tensors among them as they were before the call."""
    arguments: Mapping[str, Any]
    output: Tensor

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that went in, those within lists too."""
        every = tree_flatten([self.inputs, dict(self.arguments)])[0]
        return [a for a in every if isinstance(a, Tensor)]

    @property
    def adds_up(self) -> bool:
        """Whether the output is a sum of many terms."""
        return self.name in SUMS


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, every operation is written down under the tensor that it made.

    What is not elementary (a layer norm, a softmax, a loss) is run by the elementary operations
    that PyTorch itself says it consists of.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._made_by: dict[int, Step] = {}
        self._kept: list[Any] = []  # an id is reused once its tensor is gone

    def step(self, tensor: Tensor) -> Step | None:
        """The operation that made ``tensor``; None for one that was there before."""
        return self._made_by.get(id(tensor))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _name(func, args, kwargs)
        if _composed(func, name):
            with self:
                return decomposition_table[func](*args, **kwargs)
        changes = any(a.alias_info and a.alias_info.is_write for a in func._schema.arguments)
        inputs = [self._before(a) for a in args] if changes else list(args)
        out = func(*args, **kwargs)
        for made in out if isinstance(out, tuple | list) else (out,):
            unchanged = not changes and any(made is a for a in args)  # ``to`` the same format
            if isinstance(made, Tensor) and not unchanged:
                self._made_by[id(made)] = Step(func, name, inputs, kwargs, made)
        self._kept += [out, args, inputs, kwargs]
        return out

    def _before(self, argument: Any) -> Any:
        """What ``argument`` was before the call changes it."""
        if not isinstance(argument, Tensor):
            return argument
        copy = argument.clone()
        if id(argument) in self._made_by:
            self._made_by[id(copy)] = self._made_by[id(argument)]
        return copy


def _name(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    name: str = func._schema.name.split("::")[1].rstrip("_")
    if name == "clamp":  # with one bound it is called by that
        low, high = [*args[1:3], None, None][:2]
        low, high = kwargs.get("min", low), kwargs.get("max", high)
        return "clamp_max" if low is None else "clamp_min" if high is None else name
    return name


def _composed(func: Any, name: str) -> TypeGuard[Any]:
    returned = func._schema.returns
    elementary = (
        torch.Tag.pointwise in func.tags
        or torch.Tag.core in func.tags
        or name in SUMS
        or any(r.alias_info is not None for r in returned)
    )
    return func in decomposition_table and (not elementary or name in COMPOSED)


COMPOSED = frozenset({"native_layer_norm", "native_group_norm", "_softmax", "_log_softmax",
                      "_native_batch_norm_legit", "native_batch_norm", "native_layer_norm_backward",
                      "_native_batch_norm_legit_no_training"})  # fmt: skip
"""Operations that PyTorch counts as elementary and yet can take apart."""
