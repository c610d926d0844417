"""What a dataset is, and the registry that holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry

__all__ = ["DATASETS", "Dataset", "Draw", "InputMoments", "Sample", "dataset", "measured_moments"]

MEASURED = 2048  # samples drawn at most to measure moments: they are then known to about 2 %


@dataclass(frozen=True, slots=True)
class Sample:
    """A batch: ``x`` (batch, features) float32, ``number`` (batch, k), and ``label`` (batch,) where
    there are classes."""

    x: Tensor
    number: Tensor
    label: Tensor | None = None


Draw = Callable[[int, int, torch.Generator], Sample]
"""``(batch, features, generator) -> Sample``."""


class InputMoments(NamedTuple):
    """What mean-field theory must know of the data."""

    mean_square: float
    """Of x over samples and features."""
    length_variance: float
    """Relative variance of a sample's mean square."""
    correlation: float
    """E[x·x']/E[x²] of two samples."""
    target_mean_square: float
    """Of the regression target's numbers."""


def measured_moments(x: Tensor, number: Tensor) -> InputMoments:
    """Of samples ``x`` (n, features) and their targets (n, k)."""
    x = x.double()
    n, features = x.shape
    lengths = x.square().mean(1)
    second = float(lengths.mean())
    target = float(number.double().square().mean())
    if n < 2 or second == 0:
        return InputMoments(second, 0.0, 0.0, target)
    total = x.sum(0).square().sum() - x.square().sum()  # Σ over pairs of different samples of x·x'
    return InputMoments(
        second,
        float(lengths.var()) / second**2,
        float(total) / (n * (n - 1) * features * second),
        target,
    )


@dataclass(frozen=True, slots=True)
class Dataset:
    """A source of batches. ``features`` and ``samples`` are None where any number will do."""

    draw: Draw
    _: KW_ONLY
    formula: str
    source: str
    help: str
    features: int | None = None
    samples: int | None = None
    numbers: int = 1
    """How many numbers a sample's regression target has."""
    classes: int | None = None
    """How many classes there are for a loss over classes; None: there is no such loss of it."""
    requires: tuple[str, ...] = ()
    """Packages beside torch that ``draw`` imports, as one installs them."""
    known_moments: Callable[[int, float, float], InputMoments] | None = None
    """By the number of features, of the data times a scale and plus a mean; None: measured."""

    @property
    def name(self) -> str:
        return self.draw.__name__

    def moments(self, features: int, scale: float = 1.0, mean: float = 0.0) -> InputMoments:
        """Of the data times ``scale`` and plus ``mean``: as stated, or measured from one draw, the
        same every time."""
        if self.known_moments is not None:
            return self.known_moments(features, scale, mean)
        batch = min(MEASURED, self.samples or MEASURED)
        sample = self.draw(batch, features, torch.Generator().manual_seed(0))
        return measured_moments(sample.x * scale + mean, sample.number)


DATASETS: Registry[Dataset] = Registry("data")
dataset = DATASETS.decorator(Dataset)
"""Registers the decorated drawing function under its own name."""
