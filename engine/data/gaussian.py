"""Independent standard normal numbers: the notes' data."""

from __future__ import annotations

import torch

from layerscope.engine.data.base import CLASSES, DATASETS, Dataset, Sample

__all__ = ["gaussian"]


def gaussian(batch: int, features: int, generator: torch.Generator) -> Sample:
    """Standard normal input, one standard normal number and one random class per sample."""
    x = torch.randn(batch, features, generator=generator)
    number = torch.randn(batch, generator=generator)[:, None]  # (batch, 1): the notes' squeeze
    label = torch.randint(CLASSES, (batch,), generator=generator)
    return Sample(x, number, label)


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
