"""The spectrum: singular values through depth, and how two inputs come to look alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerscope.app.figures import spectrum as pictures
from layerscope.app.figures.text import number
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
    histogram: pictures.HistogramPicture | None
    depth: pictures.DepthPicture
    correlation: pictures.CorrelationPicture | None
    rows: tuple[SpectrumRow, ...]


def _view(found: Spectrum) -> SpectrumView:
    return SpectrumView(
        _verdict(found),
        pictures.histogram_picture(found.spectra),
        pictures.depth_picture(found.spectra),
        pictures.correlation_picture(found.correlation, found.spectra.experiment.depth),
        tuple(
            _row(name, depth, s)
            for name, spectra in found.spectra.schemes.items()
            for depth, s in zip(found.spectra.depths, spectra, strict=True)
        ),
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


def _row(name: str, depth: int, s: JacobianSpectrum | SpectrumEstimate) -> SpectrumRow:
    if isinstance(s, SpectrumEstimate):
        rms = None if s.log10_mean_square is None else s.log10_mean_square / 2
        return SpectrumRow(name, depth, f"≈ {_power(s.log10_largest)}", "–",
                           f"rms ≈ {_power(rms)}", "–")  # fmt: skip
    if not s.log10_values:
        return SpectrumRow(name, depth, "0", "0", "–", str(s.zeros))
    high, low = s.log10_values[0], s.log10_values[-1]
    ratio = _power(high - low if math.isfinite(high - low) else None)
    return SpectrumRow(name, depth, _power(high), _power(low), ratio, str(s.zeros))


VIEW = View(
    "spectrum",
    "Spectrum",
    "How unevenly the layers stretch directions: the singular values of ∂(last hidden layer)/"
    "∂(input) at one sample, with Gaussian and with orthogonal weights of the same variance.",
    ("activation", "init_scale", "init", "depth", "width", "bias_std"),
    _view,
    ("Spectrum", "Singular values of the whole network's Jacobian"),
    onward=("Precision", "why_precision"),
)
