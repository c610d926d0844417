"""Independent standard normal numbers: the notes' data."""

from __future__ import annotations

import torch

from layerscope.engine.experiment.data.base import InputMoments, Sample, dataset

__all__ = ["gaussian"]

GAUSSIAN_CLASSES = 10  # as many as the digits have, so that the losses compare


@dataset(
    formula="x = randn(batch, inputs), t = randn(batch)",
    source="the notes",
    help="Independent standard normal numbers, input and target: nothing to learn, all to see.",
    classes=GAUSSIAN_CLASSES,
    known_moments=lambda features: InputMoments(1.0, 2 / features, 0.0, 1.0),
)
def gaussian(batch: int, features: int, generator: torch.Generator) -> Sample:
    """Standard normal input, one standard normal number and one random class per sample."""
    x = torch.randn(batch, features, generator=generator)
    number = torch.randn(batch, generator=generator)[:, None]  # (batch, 1): the notes' squeeze
    label = torch.randint(GAUSSIAN_CLASSES, (batch,), generator=generator)
    return Sample(x, number, label)
