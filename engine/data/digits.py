"""The real handwritten digits that scikit-learn carries."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from layerscope.engine.data.base import CLASSES, DATASETS, Dataset, Sample

__all__ = ["all_digits", "digits"]


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
