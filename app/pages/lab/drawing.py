"""What a browser draws of an experiment, as short arrays; ``static/js/lab/series.js`` reads them.

A *row* is a layer's index and what one pass brought. A *tensor* within it is ``[classes, spread,
lost, zeros, count, exponent, counts]``: the CSS classes of its cell on the strip; its std (of a
gradient the rms where there is no std); 1 for Inf in it plus 2 for NaN; how many entries are zero,
and of how many; and how many have each power of two, from ``exponent`` on, whatever their sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from layerscope.app.figures.strip import cell_css, lost
from layerscope.app.pages.lab.blocks import SIDES, Block
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics
from layerscope.engine.theory import Prediction

__all__ = ["backward_row", "forward_row", "norm", "theory"]

Row = list[Any]


def forward_row(record: Record) -> Row:
    """``[index, activation, mean, share of dead units, weight, share at which φ is flat]``; all but
    the first two may be null."""
    s, units, weight = record.activation, record.units, record.parameters.get("weight")
    return [
        record.facts.index,
        _tensor(s, s.std),
        s.mean,
        units.dead / units.width if units and units.width else None,
        weight and _tensor(weight.value, weight.value.std),
        record.saturation,
    ]


def backward_row(record: Record, reference: float) -> Row:
    """``[index, gradient, norm of the weight's gradient]``; either may be null. ``reference`` is
    what the cell's colour holds the gradient against."""
    s, weight = record.gradient, record.parameters.get("weight")
    return [
        record.facts.index,
        s and _tensor(s, s.rms if s.std is None else s.std, reference),
        norm(weight.gradient) if weight else None,
    ]


def _tensor(s: Statistics, spread: float | None, reference: float = 1.0) -> Row:
    counts = (s.histogram.positive + s.histogram.negative).tolist()
    cell = cell_css(s, reference)
    return [cell, spread, lost(s), s.zeros, s.count, s.histogram.first, counts]


def norm(s: Statistics | None) -> float | None:
    """The Euclidean norm over the finite entries."""
    return s.rms * math.sqrt(s.finite) if s is not None and s.rms is not None else None


def theory(
    prediction: Prediction, blocks: Sequence[Block], experiment: Experiment
) -> dict[str, Any]:
    """What theory predicts of each block's activation and gradient, on each side of φ.

    ``[std, low, high]``: 95 of 100 seeds lie between the last two. Null for what the experiment's
    number format could not hold. Empty without a theory.
    """
    if not prediction.layers:
        return {}
    limits = torch.finfo(experiment.torch_dtype)
    smallest = limits.tiny * limits.eps

    def held(value: float | None) -> float | None:
        return value if value is not None and smallest <= value <= limits.max else None

    tensors: dict[str, dict[int, Row]] = {"activation": {}, "gradient": {}}
    for layer in prediction.layers:
        for name, found in tensors.items():
            spread = getattr(layer, name)
            values = spread.to_dict() if spread else {}
            found[layer.index] = [held(values.get(of)) for of in ("std", "low", "high")]
    nothing = [None] * 3
    return {
        name: {side: [found.get(block.at(side), nothing) for block in blocks] for side in SIDES}
        for name, found in tensors.items()
    }
