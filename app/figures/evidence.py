"""A finding's evidence: each figure beside the limits that it was held against."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layerscope.app.figures.text import shown

__all__ = ["Measured", "evidence_rows"]

WHOLE = 1e5
"""From here on a whole number is written with an exponent."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure, and the limits that it was held against; either may be missing."""

    name: str
    value: str
    limits: str


def evidence_rows(evidence: Mapping[str, Any], threshold: Mapping[str, Any]) -> list[Measured]:
    """Every figure beside its limits; limits of no one figure come last. What is neither a number
    nor text is neither.

    A limit is a figure's by its name: ``warning_share`` and ``error_share`` limit ``worst_share``.

    >>> evidence_rows({"worst_share": 0.5, "layers": 3}, {"warning_share": 0.05, "least_batch": 8})
    ... # doctest: +NORMALIZE_WHITESPACE
    [Measured(name='worst share', value='0.500', limits='warning 0.0500'),
     Measured(name='layers', value='3', limits=''),
     Measured(name='least batch', value='', limits='8')]
    """
    rows = []
    left = {key: value for key, value in threshold.items() if isinstance(value, int | float | str)}
    for name, value in evidence.items():
        if not isinstance(value, int | float | str):
            continue
        limiting = [key for key in left if f"_{name}".endswith(f"_{_base(key)}")]
        held = {key: left.pop(key) for key in limiting}
        limits = ", ".join(f"{_qualifier(key)}{_figure(v)}" for key, v in held.items())
        rows.append(Measured(_spaced(name), _figure(value), limits))
    rows += [Measured(_spaced(key), "", _figure(value)) for key, value in left.items()]
    return rows


def _base(key: str) -> str:
    return re.sub(r"^(warning|error)_|_(grow|shrink)$", "", key)


def _qualifier(key: str) -> str:
    """``warning`` of warning_share, ``error grow`` of error_decades_grow, nothing of ratio."""
    rest = _spaced(key.replace(_base(key), "", 1)).split()
    return " ".join([*rest, ""])


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if math.isfinite(value) and value == int(value) and abs(value) < WHOLE:
        return str(int(value)).replace("-", "−")
    return shown(value)
