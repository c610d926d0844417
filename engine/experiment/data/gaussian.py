"""Independent standard normal numbers: the notes' data."""

from __future__ import annotations

import torch

from layerscope.engine.experiment.data.base import InputMoments, Sample, dataset

__all__ = ["gaussian"]

GAUSSIAN_CLASSES = 10  # as many as the digits have, so that the losses compare


def _moments(features: int, scale: float, mean: float) -> InputMoments:
    """Of scale·z + mean, z standard normal: E[x²] = s² + m², Var[x²] = 2s⁴ + 4s²m², and of two
    Var[x·x'] = s⁴ + 2s²m²."""
    s2, m2 = scale**2, mean**2
    second = s2 + m2
    if second == 0:
        return InputMoments(0.0, 0.0, 0.0, 1.0)
    own, common = s2 / second, m2 / second  # their squares may be beyond float64
    varied = (own**2 + 2 * own * common) / features
    centred = 2 / features, 1 / features
    return InputMoments(second, 2 * varied, common, 1.0, varied, centred)


@dataset(
    formula="x = randn(batch, inputs), t = randn(batch)",
    source="the notes",
    help="Independent standard normal numbers, input and target: nothing to learn, all to see.",
    classes=GAUSSIAN_CLASSES,
    normal=True,
    known_moments=_moments,
)
def gaussian(batch: int, features: int, generator: torch.Generator) -> Sample:
    """Standard normal input, one standard normal number and one random class per sample."""
    x = torch.randn(batch, features, generator=generator)
    number = torch.randn(batch, generator=generator)[:, None]  # (batch, 1): the notes' squeeze
    label = torch.randint(GAUSSIAN_CLASSES, (batch,), generator=generator)
    return Sample(x, number, label)
