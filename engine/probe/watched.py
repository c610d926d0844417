"""The modules and parameters of a model that are watched, as they are now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.optim import Optimizer

from layerscope.engine.probe.facts import (
    ModuleFacts,
    ParameterFacts,
    facts_of,
    leaves,
    own_parameters,
)
from layerscope.engine.probe.kinds import kind_of
from layerscope.engine.probe.step import Quantity, Slot

__all__ = ["Key", "Leaf", "Tracked", "Watched", "unwrapped"]


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

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.kind = kind_of(module)
        self.index = -1
        """Place in forward order, from its first call on; −1 before."""
        self.facts: ModuleFacts | None = None
        self.settled = False
        """Whether one recorded step has shown which of its tensors change after it was called."""
        self.shape: tuple[int, ...] = ()
        self.calls = 0
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
        ):
            self.snapshot = torch.empty(size, dtype=dtype, device="cpu")
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
        self._walked: list[object] = []
        self._set: list[object] = []
        self.refresh()

    def refresh(self) -> bool:
        """Looks for modules and parameters that came, went or were replaced; whether any did."""
        walked, settings = list(_walk(self.model)), self._settings()
        same = len(walked) == len(self._walked) and all(map(_same, walked, self._walked))
        if same and settings == self._set:
            return False
        self._walked, self._set = walked, settings
        known, self.leaves = self.leaves, {}
        for name, module in leaves(self.model):
            leaf = known.get(id(module))
            self.leaves[id(module)] = leaf if leaf is not None else Leaf(name, module)
        self._track()
        for leaf in self.order:
            if leaf.facts is not None:
                leaf.facts = self._with_parameters(leaf, leaf.facts)
        return True

    def _settings(self) -> list[object]:
        """What may change without a change of objects: groups, and of parameters what asks for a
        gradient, shapes and dtypes."""
        parameters = [t.parameter for t in self.tracked.values()]
        return [
            *(len(g["params"]) for o in self.optimizers for g in o.param_groups),
            *((p.requires_grad, p.shape, p.dtype) for p in parameters),
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
        number = 0
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if id(parameter) in self.tracked:
                        self.tracked[id(parameter)].group = number
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
        for name, parameter in own_parameters(leaf.module):
            tracked = self.tracked.get(id(parameter))
            owner = tracked.leaf if tracked else leaf
            tied = None
            if tracked and (owner is not leaf or tracked.name != name):
                tied = f"{owner.name}.{tracked.name}".lstrip(".")
            told[name] = ParameterFacts(
                tuple(parameter.shape),
                str(parameter.dtype).removeprefix("torch."),
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


def _same(one: object, other: object) -> bool:
    return one is other


def _walk(module: nn.Module) -> Iterator[object]:
    """Modules and parameters, cheaply: no names, shared ones once a place."""
    ahead: list[nn.Module] = [module]
    seen: set[int] = set()
    while ahead:
        each = ahead.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        yield type(each)  # another, once a lazy module has seen its first input
        yield from each._parameters.values()
        ahead.extend(m for m in each._modules.values() if m is not None)
