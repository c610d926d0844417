"""The spectrum: singular values through depth, and how two inputs come to look alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerscope.app.figures import spectrum as pictures
from layerscope.app.figures.text import number
from layerscope.app.pages.why.frame import View
from layerscope.engine.analyses.spectrum import Spectrum
from layerscope.engine.theory.spectrum import JacobianSpectrum, SpectrumEstimate
from layerscope.engine.theory.stretch import Stretch

__all__ = ["VIEW", "SpectrumRow", "SpectrumView"]


@dataclass(frozen=True, slots=True)
class SpectrumRow:
    """One depth of one scheme, for the table; with what theory says of the moments of σ²."""

    scheme: str
    depth: int
    largest: str
    smallest: str
    condition: str
    zeros: str
    rms: str
    rms_theory: str
    spread: str
    spread_theory: str


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
            _row(name, depth, s, told)
            for name, spectra in found.spectra.schemes.items()
            for depth, s, told in zip(
                found.spectra.depths, spectra, found.spectra.theory[name], strict=True
            )
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


def _row(
    name: str, depth: int, s: JacobianSpectrum | SpectrumEstimate, told: Stretch | None
) -> SpectrumRow:
    theory = (_power(told.log10_rms), number(told.dispersion)) if told else ("–", "–")
    if isinstance(s, SpectrumEstimate):
        rms = None if s.log10_mean_square is None else s.log10_mean_square / 2
        return SpectrumRow(name, depth, f"≈ {_power(s.log10_largest)}", "–", "–", "–",
                           f"≈ {_power(rms)}", theory[0], "–", theory[1])  # fmt: skip
    moments = s.moments()
    if moments is None:
        return SpectrumRow(name, depth, "0", "0", "–", str(s.zeros), "0", theory[0], "–", theory[1])
    high, low = s.log10_values[0], s.log10_values[-1]
    ratio = _power(high - low if math.isfinite(high - low) else None)
    return SpectrumRow(name, depth, _power(high), _power(low), ratio, str(s.zeros),
                       _power(moments[0]), theory[0], number(moments[1]), theory[1])  # fmt: skip


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
