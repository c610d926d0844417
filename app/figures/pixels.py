"""A tensor as a picture's bytes, one a pooled cell; ``static/js/heatmap.js`` gives them colours."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from layerscope.engine.basis.heatmap import heatmap

__all__ = ["INF", "LEVELS", "NAN", "ZERO", "Pixels", "pixels"]

NAN, INF, ZERO, LEVELS = 0, 1, 128, 126
"""A finite cell is ``ZERO`` plus its level from −``LEVELS`` to ``LEVELS``."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """``cells`` are the bytes of ``rows`` × ``columns`` cells, in base64; ``limit`` is the largest
    magnitude, None where nothing is finite."""

    rows: int
    columns: int
    cells: str
    limit: float | None
    pooling: str


def pixels(tensor: Tensor) -> Pixels:
    """``tensor`` pooled as ``heatmap`` does it.

    The level goes with √|x|, which shows small entries beside a large one, and is at least 1 for
    what is not zero. A cell with an infinity shows that, else one with a NaN does.

    >>> import torch
    >>> shown = pixels(torch.tensor([[0.0, 1.0, -0.25, float("nan"), float("inf")]]))
    >>> list(base64.b64decode(shown.cells))
    [128, 254, 65, 0, 1]
    """
    pooled = heatmap(tensor)
    limit = pooled["limit"]
    shape = pooled["rows"], pooled["columns"]
    values = np.array(pooled["values"], np.float64).reshape(shape)  # None becomes NaN
    share = np.sqrt(np.abs(np.nan_to_num(values)) / limit) if limit else np.zeros(shape)
    level = np.sign(values) * np.maximum(1, np.round(LEVELS * share))
    cells = (ZERO + np.nan_to_num(level)).astype(np.uint8)
    for name, state in (("nan", NAN), ("posinf", INF), ("neginf", INF)):
        for row, column, _ in pooled[name]:
            cells[row, column] = state
    text = base64.b64encode(cells.tobytes()).decode()
    return Pixels(*shape, text, limit, pooled["pooling"])
