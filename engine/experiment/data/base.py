"""What a dataset is, and the registry that holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry

__all__ = ["DATASETS", "Dataset", "Draw", "InputMoments", "Sample", "dataset", "measured_moments"]

ATOMS = 32  # values of a target that stand for all of them
ENTRIES = 2**18  # of samples that stand for the data one by one
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
    wobble: float | None = None
    """Variance of that correlation over pairs of samples; None: that of independent features."""
    centred: tuple[float, float] | None = None
    """Length variance and wobble once the mean of all samples is taken off; None: as before."""
    target_mean: float = 0.0
    target_atoms: tuple[tuple[float, float], ...] = ()
    """Its values and how often each comes; empty: it is Gaussian."""
    target_correlation: float = 0.0
    """E[t·t']/E[t²] of two samples' targets."""
    lean: float = 0.0
    """Covariance of the two correlations over pairs of samples: that of images and labels, say."""


def measured_moments(x: Tensor, number: Tensor) -> InputMoments:
    """Of samples ``x`` (n, features) and their targets (n, k)."""
    x, t = x.double(), number.double()
    n = len(x)
    lengths = x.square().mean(1)
    second, target = float(lengths.mean()), float(t.square().mean())
    if n < 2 or second == 0:
        return InputMoments(second, 0.0, 0.0, target)
    alike, agree = _cosines(x, second), _cosines(t, target)
    mean, common = _over_pairs(alike), _over_pairs(agree)
    return InputMoments(
        second,
        float(lengths.var()) / second**2,
        mean,
        target,
        max(0.0, _over_pairs(alike * alike) - mean**2),
        _centred(x),
        float(t.mean()),
        _atoms(t),
        common,
        _over_pairs(alike * agree) - mean * common,
    )


def _centred(x: Tensor) -> tuple[float, float] | None:
    x = x - x.mean(0)
    lengths = x.square().mean(1)
    second = float(lengths.mean())
    if second == 0:
        return None
    alike = _cosines(x, second)
    return float(lengths.var()) / second**2, _over_pairs(alike * alike)


def _atoms(values: Tensor) -> tuple[tuple[float, float], ...]:
    """Each value and its share, should there be few; else the middles of as many equal parts."""
    found, counts = torch.unique(values, return_counts=True)
    if len(found) <= ATOMS:
        shares = counts.double() / values.numel()
        return tuple(zip(found.tolist(), shares.tolist(), strict=True))
    at = (torch.arange(ATOMS, dtype=torch.float64) + 0.5) / ATOMS
    return tuple((value, 1 / ATOMS) for value in values.flatten().quantile(at).tolist())


def _cosines(rows: Tensor, second: float) -> Tensor:
    """r·r'/E[r²] of every two rows (n, k), whose mean square this is; (n, n)."""
    found: Tensor = rows @ rows.t() / (rows.shape[1] * second or 1.0)
    return found


def _over_pairs(values: Tensor) -> float:
    """Mean over pairs of different samples, (n, n)."""
    n = len(values)
    return float(values.sum() - values.diagonal().sum()) / (n * (n - 1))


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
    normal: bool = False
    """Whether every feature and every number is a standard normal draw of its own, and every class
    as likely as the others."""
    everything: Callable[[], Sample] | None = None
    """All samples there are, of which a batch holds each at most once; None: there is no end."""
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
        sample = self._drawn(features, MEASURED)
        return measured_moments(sample.x * scale + mean, sample.number)

    def population(self, features: int) -> Sample:
        """All samples there are, or as many, always the same, as stand for them."""
        if self.everything is not None:
            return self.everything()
        return self._drawn(features, min(MEASURED, max(64, ENTRIES // features)))

    def _drawn(self, features: int, most: int) -> Sample:
        batch = min(most, self.samples or most)
        return self.draw(batch, features, torch.Generator().manual_seed(0))


DATASETS: Registry[Dataset] = Registry("data")
dataset = DATASETS.decorator(Dataset)
"""Registers the decorated drawing function under its own name."""
