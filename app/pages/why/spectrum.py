"""The spectrum: singular values through depth, and how two inputs come to look alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures import number
from layerscope.app.figures.spectrum import (
    CorrelationPicture,
    DepthPicture,
    HistogramPicture,
    correlation_picture,
    depth_picture,
    histogram_picture,
)
from layerscope.app.pages.why.frame import View
from layerscope.engine.analyses.spectrum import Spectrum
from layerscope.engine.theory.spectrum import JacobianSpectrum, SpectrumEstimate

__all__ = ["VIEW", "SpectrumRow", "SpectrumView"]


@dataclass(frozen=True, slots=True)
class SpectrumRow:
    """One depth of one scheme, for the table."""

    scheme: str
    depth: int
    largest: str
    smallest: str
    condition: str
    zeros: str


@dataclass(frozen=True, slots=True)
class SpectrumView:
    """What the template draws."""

    verdict: str
    histogram: HistogramPicture | None
    depth: DepthPicture
    correlation: CorrelationPicture | None
    rows: tuple[SpectrumRow, ...]


def _view(found: Spectrum) -> SpectrumView:
    return SpectrumView(
        _verdict(found),
        histogram_picture(found.spectra),
        depth_picture(found.spectra),
        correlation_picture(found.correlation, found.spectra.experiment.depth),
        tuple(_rows(found)),
    )


def _verdict(found: Spectrum) -> str:
    s = found.spectra
    depth = s.depths[-1]
    if not s.exact:
        return (
            f"Too wide to take apart: the largest singular value and the mean square after {depth} "
            "layers are estimated from products with vectors."
        )
    words = []
    for name, title in (("gaussian", "Gaussian"), ("orthogonal", "orthogonal")):
        last = s.schemes[name][-1]
        if not isinstance(last, JacobianSpectrum) or not last.log10_values:
            words.append(f"no direction is left with {title} weights")
            continue
        decades = last.log10_values[0] - last.log10_values[-1]
        lost = f", {last.zeros} directions lost" if last.zeros else ""
        words.append(f"within {number(decades)} decades with {title} weights{lost}")
    return f"Singular values after {depth} layer{'s' if depth > 1 else ''}: {'; '.join(words)}."


def _power(log10: float | None) -> str:
    if log10 is None:
        return "–"
    return number(10.0**log10) if abs(log10) < 290 else f"10^{log10:.1f}"


def _rows(found: Spectrum) -> list[SpectrumRow]:
    rows = []
    for name, spectra in found.spectra.schemes.items():
        for depth, s in zip(found.spectra.depths, spectra, strict=True):
            rows.append(_row(name, depth, s))
    return rows


def _row(name: str, depth: int, s: JacobianSpectrum | SpectrumEstimate) -> SpectrumRow:
    if isinstance(s, SpectrumEstimate):
        rms = None if s.log10_mean_square is None else s.log10_mean_square / 2
        return SpectrumRow(name, depth, f"≈ {_power(s.log10_largest)}", "–",
                           f"rms ≈ {_power(rms)}", "–")  # fmt: skip
    values: Sequence[float] = s.log10_values
    if not values:
        return SpectrumRow(name, depth, "0", "0", "–", str(s.zeros))
    ratio = values[0] - values[-1]
    return SpectrumRow(
        name, depth, _power(values[0]), _power(values[-1]),
        _power(ratio if math.isfinite(ratio) else None), str(s.zeros),
    )  # fmt: skip


VIEW = View(
    "spectrum",
    "Spectrum",
    "How unevenly the layers stretch directions: the singular values of ∂(last hidden layer)/"
    "∂(input) at one sample, with Gaussian and with orthogonal weights of the same variance.",
    ("activation", "init_scale", "init", "depth", "width", "bias_std"),
    _view,
    ("Spectrum", "Singular values of the whole network's Jacobian"),
)
