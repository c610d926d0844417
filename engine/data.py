"""What goes into an experiment: input and target, drawn or real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from engine.registry import Registry

__all__ = ["CLASSES", "DATASETS", "Dataset", "Sample", "digits", "gaussian"]

CLASSES = 10  # of the digits; Gaussian data has as many, so that the losses compare


@dataclass(frozen=True, slots=True)
class Sample:
    """A batch: ``x`` (batch, features) float32, ``number`` (batch, k) and ``label`` (batch,)."""

    x: Tensor
    number: Tensor
    label: Tensor


@dataclass(frozen=True, slots=True)
class Dataset:
    """A source of batches. ``features`` and ``samples`` are None where any number will do."""

    name: str
    formula: str
    source: str
    help: str
    features: int | None
    samples: int | None
    numbers: int
    """How many numbers a sample's regression target has."""
    draw: Callable[[int, int, torch.Generator], Sample]


DATASETS: Registry[Dataset] = Registry("data")


def gaussian(batch: int, features: int, generator: torch.Generator) -> Sample:
    """Standard normal input, one standard normal number and one random class per sample."""
    x = torch.randn(batch, features, generator=generator)
    number = torch.randn(batch, generator=generator)[:, None]  # (batch, 1): the notes' squeeze
    label = torch.randint(CLASSES, (batch,), generator=generator)
    return Sample(x, number, label)


@lru_cache(maxsize=1)
def all_digits() -> tuple[Tensor, Tensor]:
    """The 1,797 digits, standardised as a whole, (1797, 64), and their classes (1797,)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32)
    return (x - x.mean()) / x.std(), torch.tensor(data.target)


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
    return Sample(x[order], torch.eye(CLASSES)[label[order]], label[order])


DATASETS.register(
    Dataset(
        name="gaussian",
        formula="x = randn(batch, inputs), t = randn(batch)",
        source="the notes",
        help="Independent standard normal numbers, input and target: nothing to learn, all to see.",
        features=None,
        samples=None,
        numbers=1,
        draw=gaussian,
    )
)
DATASETS.register(
    Dataset(
        name="digits",
        formula="x = (pixels − mean)/std of 8×8 images, t = the digit",
        source="UCI optical recognition of handwritten digits, by scikit-learn's load_digits",
        help="1,797 real handwritten digits, standardised; the target is the digit, one of ten.",
        features=64,
        samples=1797,
        numbers=CLASSES,
        draw=digits,
    )
)
