"""The batch that a model is looked at with, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from layerscope.engine.probe.outputs import fresh, mapped, tensors

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """``x`` is what goes into the model: a tensor, a tuple of its arguments or a dict of them by
    name; ``y`` is what the loss gets beside the output."""

    x: Any
    y: Any

    @classmethod
    def of(cls, given: Any) -> Batch:
        """The batch ``(x, y)``.

        Errors: ``TypeError`` for what is no pair or has no tensor, ``ValueError`` for an empty one.
        """
        if not isinstance(given, tuple | list):
            kind = type(given).__name__
            raise TypeError(f"batch: expected the pair (x, y), got {_a(kind)}")
        if len(given) != 2:
            raise ValueError(f"batch: expected the pair (x, y), got {len(given)} entries")
        x, y = given
        if not isinstance(x, Tensor | tuple | list | Mapping):
            kind = type(x).__name__
            raise TypeError(
                f"batch: expected x to be a tensor, a tuple of inputs or a dict, got {_a(kind)}"
            )
        found = list(tensors(x))
        if not found:
            raise TypeError("batch: expected a tensor in x, there is none")
        if any(t.numel() == 0 for t in found):
            shape = next(tuple(t.shape) for t in found if t.numel() == 0)
            raise ValueError(f"batch: a tensor in x has no entries, its shape is {shape}")
        return cls(x, y)

    def through(self, model: nn.Module) -> Any:
        """The model's output for a copy of ``x``."""
        x = fresh(self.x)
        if isinstance(x, Tensor):
            return model(x)
        return model(**x) if isinstance(x, Mapping) else model(*x)

    def target(self) -> Any:
        """A copy of ``y``, which the loss may write into."""
        return fresh(self.y)

    def changed(self, x: Callable[[Tensor], Tensor] | None = None,
                y: Callable[[Tensor], Tensor] | None = None) -> Batch:  # fmt: skip
        """The batch with its tensors of floats changed."""
        return Batch(_floats(self.x, x), _floats(self.y, y))


def _floats(value: Any, change: Callable[[Tensor], Tensor] | None) -> Any:
    if change is None:
        return value
    return mapped(value, lambda t: change(t) if t.is_floating_point() else t)


def _a(kind: str) -> str:
    return f"an object of type {kind}"
