"""A checkpoint as a picture: a row for each tensor, its magnitudes by powers of two, and what each
number format can hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.app.figures.text import number
from layerscope.app.templating import templates
from layerscope.engine.analyses.precision.formats import FORMATS
from layerscope.engine.basis.text import bytes_text
from layerscope.engine.store.checkpoints import TensorReport
from layerscope.engine.store.checkpoints.inspection import NARROW

__all__ = ["Band", "Mark", "TensorRow", "checkpoint_page"]

LOWEST, HIGHEST = -150, 128
"""Powers of two with a place of their own are float32's, those between. What float64 has beyond is
gathered at both ends."""
SHADES = 6


@dataclass(frozen=True, slots=True)
class Mark:
    """One power of two of one tensor: where it is drawn, how dark, and how many entries it has."""

    x: int
    shade: int
    text: str


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One tensor: its line in the picture and in the table."""

    name: str
    dtype: str
    shape: str
    figures: Sequence[str]
    losses: Sequence[str]
    concerns: str
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Band:
    """What a format holds: from its smallest normal number, or its smallest, to its largest."""

    name: str
    least: int
    normal: int
    end: int


def checkpoint_page(file: str, reports: Sequence[TensorReport], whole: dict[str, Any]) -> str:
    """One HTML file with everything in it: no script, no address of anything else."""
    low, high = _bounds(reports)
    bands = [
        Band(
            name,
            *(min(high, max(low, e)) - low for e in (
                FORMATS[name].least_exponent, FORMATS[name].min_exponent,
                FORMATS[name].max_exponent + 1,
            )),
        )
        for name in NARROW
    ]  # fmt: skip
    return templates.env.get_template("exports/checkpoint.html").render(
        file=file,
        rows=[_row(report, low) for report in reports],
        bands=bands,
        ticks=[(e - low, e) for e in range(-(-low // 8) * 8, high + 1, 8)],
        width=high - low,
        whole=whole,
        size=bytes_text(whole["bytes"]),
        formats=NARROW,
    )


def _bounds(reports: Sequence[TensorReport]) -> tuple[int, int]:
    seen = [
        e
        for report in reports
        if report.statistics and report.statistics.histogram.positive.size
        for e in (
            report.statistics.histogram.exponents[0],
            report.statistics.histogram.exponents[-1],
        )
    ]
    low, high = min([*seen, -26]), max([*seen, 17])  # float16's range, and more where there is more
    return max(LOWEST, low), min(HIGHEST, high) + 1


def _row(report: TensorReport, low: int) -> TensorRow:
    s = report.statistics
    losses = [_loss(report, name) for name in NARROW]
    figures = ["–"] * 4 if s is None else [number(v) for v in (s.mean, s.std, s.min, s.max)]
    concerns = "; ".join(report.concerns) or (f"not read: {report.unread}" if report.unread else "")
    shape = " × ".join(map(str, report.shape))
    return TensorRow(
        report.name, report.dtype, shape, figures, losses, concerns, _marks(report, low)
    )


def _marks(report: TensorReport, low: int) -> list[Mark]:
    if report.statistics is None:
        return []
    h = report.statistics.histogram
    found: dict[int, int] = {}
    for e, count in zip(h.exponents, (h.positive + h.negative).tolist(), strict=True):
        if count:
            place = min(HIGHEST, max(LOWEST, e))
            found[place] = found.get(place, 0) + count
    most = max(found.values(), default=0)
    return [
        Mark(
            e - low,
            max(1, min(SHADES, SHADES + math.ceil(math.log10(count / most)))),
            f"{count:,} {_range(e)}",
        )
        for e, count in found.items()
    ]


def _range(e: int) -> str:
    if e == LOWEST:
        return f"below 2^{LOWEST + 1}"
    return f"from 2^{e} on" if e == HIGHEST else f"from 2^{e}"


def _loss(report: TensorReport, name: str) -> str:
    fit = report.fits.get(name)
    if fit is None or not fit.counted:
        return "–"
    return f"{100 * fit.lost / fit.counted:.3g} %"
