"""What a dataset is, and the registry that holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry

__all__ = ["CLASSES", "DATASETS", "Dataset", "Sample"]

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
