"""What is known of a module of PyTorch before any figure: role, units, where it is flat."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerscope.engine.basis.serial import Serial
from layerscope.engine.basis.text import dtype_name
from layerscope.engine.execution.records import Facts
from layerscope.engine.execution.saturation import (
    FlatRegion,
    derivative_by_autograd,
    flat_region,
)
from layerscope.engine.layers.activations.base import activation_of
from layerscope.engine.probe.kinds import kind_of
from layerscope.engine.probe.outputs import has_figures

__all__ = [
    "ModuleFacts", "ParameterFacts", "facts_of", "flat_of", "hidden_parameters", "leaves",
    "own_parameters",
]  # fmt: skip


class ParameterFacts(Serial):
    """A parameter before any figure. ``trains``: it asks for a gradient; ``group`` is the place of
    its group over all optimisers, None where none has it. ``tied_to`` is the qualified name under
    which it is measured, where that is another one."""

    shape: tuple[int, ...]
    dtype: str
    trains: bool
    group: int | None = None
    tied_to: str | None = None


class ModuleFacts(Facts):
    """The facts of a record, and those of the module's own parameters, by name in it."""

    parameters: dict[str, ParameterFacts] = msgspec.field(default_factory=dict)


def leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """What has an output worth recording: modules without children, and those with parameters of
    their own; each once, under its first qualified name ('' is the model itself).

    What computes a parametrised weight is no module of the network; its parameters are those of
    the module whose weight it is.

    >>> [name for name, _ in leaves(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU())))]
    ['0', '1.0']
    """
    within: set[int] = set()
    for name, module in model.named_modules():
        inner = module._modules.get("parametrizations")
        if inner is not None:
            within.update(map(id, inner.modules()))
        if id(module) in within:
            continue
        children = [c for n, c in module._modules.items() if c is not None and c is not inner]
        if not children or any(True for _ in own_parameters(module)):
            yield name, module


def hidden_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters that ask for a gradient and lie in a list, a tuple or a dictionary of a module's,
    or in one within such a one, where neither ``parameters()`` nor an optimiser made by it finds
    them. A module that contains the one whose list it lies in is its owner and none of its parts.

    >>> model = nn.Linear(2, 2)
    >>> model.more = [nn.Linear(2, 1, bias=False)]
    >>> [name for name, _ in hidden_parameters(model)]
    ['more[0].weight']
    """
    known = {id(parameter) for parameter in model.parameters()}
    for place, module in model.named_modules():
        for name, held in vars(module).items():
            if name in _REGISTERED or not isinstance(held, _CONTAINERS):
                continue
            for key, each in _within(held, NESTED):
                for own, parameter in _held(each, module):
                    if parameter.requires_grad and id(parameter) not in known:
                        known.add(id(parameter))
                        yield f"{place}.{name}{key}.{own}".strip("."), parameter


_REGISTERED = frozenset(vars(nn.Module()))
"""Where PyTorch keeps what it knows of."""


_CONTAINERS = (list, tuple, dict)
NESTED = 3
"""Containers within containers that are looked into."""
MANY = 1000
"""Entries: more are data."""


def _within(held: Any, deep: int) -> Iterator[tuple[str, object]]:
    """What a container holds, and those in it, with where it is there."""
    if len(held) > MANY:
        return
    for key, each in list(held.items() if isinstance(held, dict) else enumerate(held)):
        if not isinstance(each, _CONTAINERS):
            yield f"[{key}]", each
        elif deep > 1:
            yield from ((f"[{key}]{more}", one) for more, one in _within(each, deep - 1))


def _held(each: object, holder: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    if isinstance(each, nn.Module):
        if all(part is not holder for part in each.modules()):
            yield from each.named_parameters()
    elif isinstance(each, nn.Parameter):
        yield "", each


def own_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The module's own parameters by name, those of its parametrised weights too, as far as they
    have figures: of a lazy module only what is there already, no whole numbers. Those of more than
    one axis come first: the first of all is the module's weight, where it has one.

    >>> from torch.nn.utils import parametrizations
    >>> [name for name, _ in own_parameters(parametrizations.weight_norm(nn.Linear(2, 2)))]
    ['parametrizations.weight.original0', 'parametrizations.weight.original1', 'bias']
    """
    inner = module._modules.get("parametrizations")
    more = () if inner is None else inner.named_parameters("parametrizations")
    found = [
        (name, parameter) for name, parameter in (*module._parameters.items(), *more)
        if parameter is not None and not is_lazy(parameter) and has_figures(parameter)
    ]  # fmt: skip
    yield from sorted(found, key=lambda named: named[1].dim() < 2)


def facts_of(
    index: int, name: str, module: nn.Module, output: Tensor | None, before: Facts | None = None
) -> ModuleFacts:
    """The facts of ``module``, whose first ``output`` has been seen, or has not: then None.

    ``before`` are those of what the signal passed just before: what acts entry by entry has its
    units along the same axis.

    >>> facts = facts_of(0, "fc", nn.Linear(3, 2), torch.zeros(5, 3, 2))
    >>> facts.role, facts.width, facts.shape
    ('linear_map', 2, (5, 3, 2))
    """
    kind, activation = kind_of(module), activation_of(module)
    shape = () if output is None else tuple(output.shape)
    own = dict(own_parameters(module))
    dtype = output.dtype if output is not None else next((p.dtype for p in own.values()), None)
    return ModuleFacts(
        index=index,
        name=name,
        kind=activation.name if activation and kind.role else type(module).__name__,
        role=kind.role,
        shape=shape,
        dtype=dtype_name(dtype or torch.get_default_dtype()),
        unit_axis=_unit_axis(shape, before) if kind.as_input else _fitting(kind.unit_axis, shape),
        weight_unit_axis=kind.weight_unit_axis,
        centres=kind.centres,
        flat=flat_of(module),
        parameters={
            n: ParameterFacts(tuple(p.shape), dtype_name(p.dtype), p.requires_grad)
            for n, p in own.items()
        },
    )


def _unit_axis(shape: tuple[int, ...], before: Facts | None) -> int | None:
    if before is not None and before.shape == shape:
        return before.unit_axis
    return _fitting(1 if len(shape) in (2, 4, 5) else -1, shape)


def _fitting(axis: int | None, shape: tuple[int, ...]) -> int | None:
    """None where the output has no such axis beside the samples'."""
    if axis is None or len(shape) < 2 or axis >= len(shape):
        return None
    return axis


def flat_of(module: nn.Module) -> FlatRegion | None:
    """Where an activation is flat; None where it is none, or one whose derivative is not told by
    its class and settings.

    >>> flat_of(nn.ReLU(inplace=True)).intervals
    ((None, 0.0),)
    """
    if not kind_of(module).elementwise:
        return None
    return _flat(_Settled(module))


class _Settled:
    """A module known by its class and settings: what is equal computes the same."""

    def __init__(self, module: nn.Module) -> None:
        self.module = copy.copy(module)
        if getattr(module, "inplace", False):
            self.module.inplace = False  # type: ignore[assignment]
        self.key = (type(module), module.extra_repr())

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Settled) and self.key == other.key


@lru_cache(maxsize=256)
def _flat(settled: _Settled) -> FlatRegion:
    with torch.device("cpu"):
        return flat_region(derivative_by_autograd(settled.module.forward))
