"""Leaving no trace: what a forward and a backward pass may change is put back as it was."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerscope.engine.probe.again import random_state

__all__ = ["untouched"]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Puts back, however the block ends: parameters, buffers, gradients, modes, plain attributes of
    modules, the random state of torch, NumPy and Python. Hooks that step in the backward pass rest
    meanwhile; warnings are not shown."""
    tensors = [_Kept(t) for t in {id(t): t for t in _tensors(model)}.values()]
    modules = [_Attributes(m) for m in model.modules()]
    gradients = [(p, p.grad) for p in model.parameters()]
    stepping = (p._post_accumulate_grad_hooks for p in model.parameters())
    hooks = [(held, dict(held)) for held in stepping if held]
    for p, gradient in gradients:
        if gradient is not None:
            p.grad = None
    for held, _ in hooks:
        held.clear()
    try:
        with (
            random_state(),
            torch.inference_mode(False),
            torch.enable_grad(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for module in modules:
            module.put_back()
        for tensor in tensors:
            tensor.put_back()
        for p, gradient in gradients:
            p.grad = gradient
        for held, before in hooks:
            held.update(before)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        for held in (module._parameters, module._buffers):
            yield from (t for t in held.values() if t is not None and not is_lazy(t))


class _Kept:
    """A tensor and its bits."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._bits = tensor.detach().clone()
        self._version = tensor._version

    def put_back(self) -> None:
        with torch.no_grad():
            same = self._tensor._version == self._version and _equal(self._tensor, self._bits)
            if not same:
                self._tensor.detach().copy_(self._bits)


def _equal(one: Tensor, other: Tensor) -> bool:
    """Bit for bit but for the kinds of NaN; of sparse ones nothing is compared."""
    if one.layout is not torch.strided or one.shape != other.shape:
        return False
    return bool(torch.equal(one.detach(), other))


CONTAINERS = ("_parameters", "_buffers", "_modules")


class _Attributes:
    """A module's attributes, and what its own lists, dicts, sets and generators hold."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._entries = dict(module.__dict__)
        self._held = [(v, list(v)) for v in self._entries.values() if type(v) is list]
        self._keyed = [
            (v, dict(v))
            for n, v in self._entries.items()
            if n in CONTAINERS or type(v) in (dict, OrderedDict)
        ]
        self._sets = [(v, set(v)) for v in self._entries.values() if type(v) is set]
        self._drawing = [
            (v, v.get_state())
            for v in self._entries.values()
            if isinstance(v, torch.Generator)
        ]  # fmt: skip

    def put_back(self) -> None:
        now = self._module.__dict__
        if now.keys() != self._entries.keys() or any(
            now[name] is not value for name, value in self._entries.items()
        ):
            now.clear()
            now.update(self._entries)
        changed: list[tuple[Any, Any]] = [
            (held, before) for held, before in self._keyed if not _same(held, before)
        ]
        for held, before in changed:
            held.clear()
            held.update(before)
        for items, before_items in self._held:
            items[:] = before_items
        for members, before_members in self._sets:
            members.clear()
            members.update(before_members)
        for generator, state in self._drawing:
            generator.set_state(state)


def _same(held: dict[Any, Any], before: dict[Any, Any]) -> bool:
    return list(held) == list(before) and all(held[k] is v for k, v in before.items())
