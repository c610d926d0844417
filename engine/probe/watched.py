"""The modules and parameters of a model that are watched, as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter, is_
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.optim import Optimizer

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.probe.facts import (
    ModuleFacts,
    ParameterFacts,
    facts_of,
    hidden_parameters,
    leaves,
    own_parameters,
)
from layerscope.engine.probe.kinds import kind_of
from layerscope.engine.probe.step import Group, ModuleStep, Quantity, Slot
from layerscope.engine.statistics.device import is_here, readable_there

__all__ = ["Key", "Leaf", "Tracked", "Watched", "unwrapped"]

CPU = torch.device("cpu")


class Key:
    """Which tensor a figure is about, before modules have their places in forward order.

    There is one object a tensor: keys are compared and hashed by identity, which is quick.
    """

    __slots__ = ("at_once", "leaf", "parameter", "quantity")

    def __init__(self, leaf: Leaf, quantity: Quantity, parameter: int = 0) -> None:
        self.leaf = leaf
        self.quantity = quantity
        self.parameter = parameter
        self.at_once = False
        """Whether the tensor has to be read when it is seen, since it is changed in place later."""


class Leaf:
    """One watched module, and what has been learned of how its tensors are treated."""

    __slots__ = (
        "activation", "calls", "facts", "gradient", "index", "input", "kind", "line", "matrix",
        "module", "name", "said", "settled", "shape",
    )  # fmt: skip

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.kind = kind_of(module)
        self.index = -1
        """Place in forward order, from its first call on; −1 before."""
        self.facts: ModuleFacts | None = None
        self.matrix: nn.Parameter | None = None
        """The first of its own parameters that has more than one axis, as it was when the facts
        were last told."""
        self.settled = False
        """Whether one recorded step has shown which of its tensors change after it was called."""
        self.shape: tuple[int, ...] = ()
        self.calls = 0
        self.said: ModuleStep | None = None
        """What the last recorded step told of it, where nothing but shape and calls may change."""
        self.line: str | None = None
        """The user's line that called it first."""
        self.activation = Key(self, Quantity.ACTIVATION)
        self.gradient = Key(self, Quantity.GRADIENT)
        self.input = Key(self, Quantity.INPUT)


class Tracked:
    """One parameter, measured once however many modules share it."""

    def __init__(self, leaf: Leaf, place: int, name: str, parameter: nn.Parameter) -> None:
        self.leaf = leaf
        self.name = name
        self.parameter = parameter
        self.group: int | None = None
        self.value = Key(leaf, Quantity.VALUE, place)
        self.gradient = Key(leaf, Quantity.PARAMETER_GRADIENT, place)
        self.unclipped = Key(leaf, Quantity.UNCLIPPED, place)
        self.update = Key(leaf, Quantity.UPDATE, place)
        self.snapshot: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where its numbers are read: there, or brought over."""
        return self.parameter.device if readable_there(self.parameter) else CPU

    def room(self) -> Tensor:
        """Where the value before the optimiser's step is kept; another one where the parameter's
        size or dtype has changed."""
        p = self.parameter
        size = p.numel() * (2 if p.is_complex() else 1)
        dtype = torch.float64 if p.dtype in (torch.float64, torch.complex128) else torch.float32
        if (
            self.snapshot is None
            or self.snapshot.numel() != size
            or self.snapshot.dtype is not dtype
            or self.snapshot.device != self.device
        ):
            self.snapshot = torch.empty(size, dtype=dtype, device=self.device)
        return self.snapshot


class Watched:
    """What is watched of ``model``; ``refresh`` finds what was added or replaced since."""

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self.model = model
        self.optimizers = optimizers
        self.leaves: dict[int, Leaf] = {}
        """By the module's id; the leaf holds the module, so that no other gets this id."""
        self.tracked: dict[int, Tracked] = {}
        """By the parameter's id."""
        self.order: list[Leaf] = []
        """Those that were called, in the order of their first call; others behind them."""
        self.others: list[Tensor] = []
        """What the optimisers step and is none of the model's."""
        self.hidden: list[tuple[str, nn.Parameter]] = []
        """What modules hold where PyTorch does not look for it, by the names it has there."""
        self._as_found: dict[int, tuple[int, object]] = {}
        """In which state each of them was at first, by its id."""
        self._modules: list[nn.Module] = []
        self._kinds: list[type[nn.Module]] = []
        """Another one of a lazy module, once it has seen its first input."""
        self._tables: list[dict[str, Any]] = []
        """Where the modules hold their parameters and children."""
        self._parts: list[object] = []
        """What was there when it was last looked."""
        self._set: list[object] = []
        self.changes = 0
        """How often it has found others than before."""
        self.refresh()

    def refresh(self) -> bool:
        """Looks for modules and parameters that came, went or were replaced; whether any did."""
        parts, settings = list(chain.from_iterable(map(_values, self._tables))), self._settings()
        kinds = list(map(type, self._modules))
        same = len(parts) == len(self._parts) and all(map(is_, parts, self._parts))
        if self._modules and same and kinds == self._kinds and settings == self._set:
            return False
        self.changes += 1
        known, self.leaves = self.leaves, {}
        for name, module in leaves(self.model):
            leaf = known.get(id(module))
            self.leaves[id(module)] = leaf if leaf is not None else Leaf(name, module)
        self._track()
        for leaf in self.order:
            if leaf.facts is not None:
                leaf.facts = self._with_parameters(leaf, leaf.facts)
        self._modules = list(self.model.modules())
        self._kinds = list(map(type, self._modules))
        self._tables = [t for m in self._modules for t in (m._parameters, m._modules)]
        self._parts = list(chain.from_iterable(map(_values, self._tables)))
        self._set = self._settings()
        self.hidden = list(hidden_parameters(self.model))
        return True

    def name_of(self, parameter: nn.Parameter) -> str | None:
        """As ``named_parameters`` has it; None of one that is not the model's."""
        tracked = self.tracked.get(id(parameter))
        return f"{tracked.leaf.name}.{tracked.name}".lstrip(".") if tracked else None

    def full_rate(self) -> float | None:
        """The highest of the rates from which PyTorch's schedulers started: those that they
        multiply. None without one, and of one that lies on an accelerator, which would be waited
        for."""
        rates = [group.get("initial_lr") for o in self.optimizers for group in o.param_groups]
        return max((float(r) for r in rates if isinstance(r, int | float)), default=None)

    def groups(self) -> tuple[Group, ...]:
        """How the optimisers are set up, by group."""
        return tuple(
            Group(
                type(optimizer).__name__, _number(group.get("eps")),
                _number(group.get("momentum") or (group.get("betas") or (None,))[0]),
                _number((*(group.get("betas") or ()), None, None)[1]),
                _number(group.get("weight_decay")),
            )
            for optimizer in self.optimizers for group in optimizer.param_groups
        )  # fmt: skip

    def idle(self) -> list[tuple[int, ...]]:
        """The shapes of what the optimisers hold and nothing in a step has to do with."""
        return [tuple(parameter.shape) for parameter in self.others if parameter.grad is None]

    def unseen(self) -> tuple[str, ...]:
        """What is hidden from the optimisers, gets gradients, and has not changed since it was
        asked for first: else somebody steps it who is not watched."""
        stepped = {id(parameter) for parameter in self.others}
        asked = [(n, p) for n, p in self.hidden if p.grad is not None and id(p) not in stepped]
        return tuple(
            name for name, p in asked
            if self._as_found.setdefault(id(p), now := _state(p)) == now
        )  # fmt: skip

    def _settings(self) -> list[object]:
        """What may change without a change of objects: groups, and of parameters what asks for a
        gradient, shapes and dtypes."""
        parameters = [t.parameter for t in self.tracked.values()]
        return [
            *(len(g["params"]) for o in self.optimizers for g in o.param_groups),
            *map(_setting, parameters),
        ]

    def _track(self) -> None:
        known, self.tracked = self.tracked, {}
        for leaf in self.leaves.values():
            for place, (name, parameter) in enumerate(own_parameters(leaf.module)):
                if id(parameter) in self.tracked:
                    continue
                before = known.get(id(parameter))
                if before is None or before.leaf is not leaf or before.value.parameter != place:
                    before = Tracked(leaf, place, name, parameter)
                self.tracked[id(parameter)] = before
        self.regroup()

    def regroup(self) -> None:
        """Reads from the optimisers which group each parameter is in."""
        for tracked in self.tracked.values():
            tracked.group = None
        number, self.others = 0, []
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if id(parameter) in self.tracked:
                        self.tracked[id(parameter)].group = number
                    else:
                        self.others.append(parameter)
                number += 1

    def called(self, leaf: Leaf, output: Tensor | None) -> None:
        """Gives ``leaf`` its place and its facts, by the first output seen of it."""
        before = self.order[-1].facts if self.order else None
        leaf.index = len(self.order)
        self.order.append(leaf)
        facts = facts_of(leaf.index, leaf.name, leaf.module, output, before)
        leaf.facts = self._with_parameters(leaf, facts)

    def place_the_rest(self) -> None:
        """Gives what has parameters and was not called a place behind the others."""
        for leaf in self.leaves.values():
            if leaf.index < 0 and any(True for _ in own_parameters(leaf.module)):
                self.called(leaf, None)

    def facts(self) -> list[ModuleFacts]:
        """Of every module that has a place, in order."""
        return [leaf.facts for leaf in self.order if leaf.facts is not None]

    def release(self) -> None:
        """Lets go of the copies of parameters."""
        for tracked in self.tracked.values():
            tracked.snapshot = None

    def _with_parameters(self, leaf: Leaf, facts: ModuleFacts) -> ModuleFacts:
        """Facts of their own, since those before are held by whoever was told them."""
        told = {}
        own = list(own_parameters(leaf.module))
        leaf.matrix = next((p for _, p in own if p.dim() > 1), None)
        for name, parameter in own:
            tracked = self.tracked.get(id(parameter))
            owner = tracked.leaf if tracked else leaf
            tied = None
            if tracked and (owner is not leaf or tracked.name != name):
                tied = f"{owner.name}.{tracked.name}".lstrip(".")
            told[name] = ParameterFacts(
                tuple(parameter.shape),
                dtype_name(parameter.dtype),
                parameter.requires_grad,
                tracked.group if tracked else None,
                tied,
            )
        return replace(facts, parameters=told)

    @staticmethod
    def slot(key: Key) -> Slot:
        """A key as it is written."""
        return Slot(key.leaf.index, key.quantity, key.parameter)


def unwrapped(optimizer: object) -> Optimizer | None:
    """The optimiser of PyTorch that steps: ``optimizer`` itself, or what a wrapper, as of
    Accelerate or Lightning, holds under that name; None where it is none."""
    inner = getattr(optimizer, "optimizer", None)
    if isinstance(inner, Optimizer):
        return inner
    return optimizer if isinstance(optimizer, Optimizer) else None


def _number(setting: object) -> float | None:
    """A setting that is one; none that lies on an accelerator, which would be waited for."""
    return float(setting) if isinstance(setting, int | float) else None


def _state(parameter: nn.Parameter) -> tuple[int, object]:
    """What tells whether a parameter has been changed: ``.data`` is changed without its version.
    Numbers of an accelerator would be waited for."""
    total = parameter.detach().sum().item() if is_here(parameter) else None
    return parameter._version, total


_setting = attrgetter("requires_grad", "shape", "dtype")
_values = dict.values
