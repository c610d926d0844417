"""What a training of the corpus is, and the registry of all of them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["CASES", "Case", "Measure", "Training", "healthy", "nothing", "pair"]

Measure = Callable[[Tensor, Tensor], Tensor]


def nothing(*_: Any) -> None:
    """What a training does at a place where it does nothing of its own."""


@dataclass
class Training:
    """A model, its data ``x`` and ``y`` (first axis: samples), and how it is trained.

    ``forward`` computes the output of a batch where that is not the model's own call, ``each`` is
    called with a step's number before it, ``zero`` and ``limit`` before the backward pass and
    between it and the optimiser's step. ``parts``: batches whose gradients are added up to one
    step. ``measure`` is the loss by which the result is judged, where it is not what is trained.
    ``heard``: the loss is called through the probe.
    """

    model: nn.Module
    x: Tensor
    y: Tensor
    loss: Measure
    optimizer: Optimizer | list[Optimizer]
    steps: int = 60
    batch: int = 64
    parts: int = 1
    forward: Callable[[Tensor], Tensor] | None = None
    each: Callable[[int], None] = nothing
    zero: Callable[[], None] | None = None
    limit: Callable[[], None] = nothing
    measure: Measure | None = None
    heard: bool = True

    @property
    def optimizers(self) -> list[Optimizer]:
        return self.optimizer if isinstance(self.optimizer, list) else [self.optimizer]

    def zero_grad(self) -> None:
        """Sets the gradients to nothing, or what this training does in its place."""
        if self.zero is not None:
            self.zero()
        else:
            for each in self.optimizers:
                each.zero_grad()


@dataclass(frozen=True)
class Case:
    """A fault and its repaired twin (``build(True)`` and ``build(False)``), or, without ``rules``,
    a healthy training (``build(False)``).

    ``rules``: names under which the fault may be told, the best first. ``learnable``: whether there
    is anything in the data to be learned.
    """

    name: str
    kind: str
    build: Callable[[bool], Training]
    rules: tuple[str, ...] = ()
    learnable: bool = True
    title: str = field(default="", compare=False)

    @property
    def held_out(self) -> bool:
        """Whether no threshold may be chosen by it: half of the names, by their checksum."""
        return bool(zlib.crc32(self.name.encode()) & 1)


CASES: dict[str, Case] = {}


def _add(case: Case) -> None:
    if case.name in CASES:
        raise ValueError(f"{case.name}: there is a training of this name already")
    CASES[case.name] = case


def pair(kind: str, *rules: str) -> Callable[[Callable[[bool], Training]], None]:
    """Registers ``function(faulty)`` under its name; its docstring says what is wrong."""

    def add(function: Callable[[bool], Training]) -> None:
        _add(Case(function.__name__, kind, function, rules, title=_title(function)))

    return add


def healthy(
    kind: str, *, learnable: bool = True
) -> Callable[[Callable[[], Training]], None]:  # fmt: skip
    """Registers ``function()``; its docstring says what only looks wrong."""

    def add(function: Callable[[], Training]) -> None:
        _add(
            Case(
                function.__name__, kind, lambda _: function(), learnable=learnable,
                title=_title(function),
            )
        )  # fmt: skip

    return add


def _title(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().rstrip(".")
