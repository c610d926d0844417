"""The real handwritten digits that scikit-learn carries."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from layerscope.engine.experiment.data.base import InputMoments, Sample, dataset, measured_moments

__all__ = ["all_digits", "digits"]

DIGITS = 10


@lru_cache(maxsize=1)
def all_digits() -> tuple[Tensor, Tensor]:
    """The 1,797 digits, standardised as a whole, (1797, 64), and their classes (1797,)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32)
    return (x - x.mean()) / x.std(), torch.tensor(data.target)


@lru_cache(maxsize=64)
def digits_moments(_features: int, scale: float = 1.0, mean: float = 0.0) -> InputMoments:
    """Of all of them, and of rows with a single 1."""
    x, label = all_digits()
    found = measured_moments(x * scale + mean, torch.eye(DIGITS)[label])
    return found._replace(target_mean_square=1 / DIGITS)


def _everything() -> Sample:
    x, label = all_digits()
    return Sample(x, torch.eye(DIGITS)[label], label)


@dataset(
    formula="x = (pixels − mean)/std of 8×8 images, t = the digit",
    source="UCI optical recognition of handwritten digits, by scikit-learn's load_digits",
    help="1,797 real handwritten digits, standardised; the target is the digit, one of ten.",
    features=64,
    samples=1797,
    numbers=DIGITS,
    classes=DIGITS,
    requires=("scikit-learn",),
    everything=_everything,
    known_moments=digits_moments,
)
def digits(batch: int, features: int, generator: torch.Generator) -> Sample:
    """``batch`` of the digits in random order without repetition; the number is the one-hot class.

    Errors: ``ValueError`` if ``features`` is not 64 or ``batch`` exceeds 1797.
    """
    x, label = all_digits()
    if features != x.shape[1] or batch > len(x):
        raise ValueError(
            f"digits has {len(x)} samples of {x.shape[1]} features; asked for {batch} of {features}"
        )
    order = torch.randperm(len(x), generator=generator)[:batch]
    return Sample(x[order], torch.eye(DIGITS)[label[order]], label[order])
