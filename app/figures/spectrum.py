"""Singular values and correlations as coordinates: histogram, condition through depth, c-map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from layerscope.app.figures import axes
from layerscope.app.figures.axes import Axis, Curve, Frame, Tick, decades, path, round_ticks
from layerscope.engine.analyses.correlations import Correlations
from layerscope.engine.analyses.spectrum import JacobianSpectra
from layerscope.engine.theory.spectrum import JacobianSpectrum, SpectrumEstimate

__all__ = [
    "Band", "CorrelationPicture", "DepthPicture", "HistogramPicture",
    "correlation_picture", "depth_picture", "histogram_picture",
]  # fmt: skip

BINS = 48
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 12.0, 34.0


@dataclass(frozen=True, slots=True)
class HistogramPicture:
    """How many singular values lie where, after the last layer."""

    frame: Frame
    curves: tuple[Curve, ...]
    theory: tuple[float, ...]
    """Where √(mean σ²) should be; two places where the schemes differ in it."""
    depth: int
    floor: str
    """What lies below the axis, in words; empty if nothing does."""


@dataclass(frozen=True, slots=True)
class DepthPicture:
    """Condition number through depth; of an estimate, largest value and root mean square."""

    frame: Frame
    curves: tuple[Curve, ...]
    points: tuple[tuple[str, float, float], ...]
    label: str


@dataclass(frozen=True, slots=True)
class Band:
    """From the lowest to the highest pair; the mean; the theory."""

    start: float
    area: str
    mean: str
    theory: str
    label: tuple[float, float]


@dataclass(frozen=True, slots=True)
class CorrelationPicture:
    """Correlation of two inputs by layer."""

    frame: Frame
    bands: tuple[Band, ...]


def _axes(x: tuple[float, float], y: tuple[float, float], width: float) -> tuple[Axis, Axis]:
    return Axis(*x, LEFT, width - RIGHT), Axis(*y, 300.0 - BOTTOM, TOP)


def _framed(x: Axis, y: Axis, x_ticks: tuple[Tick, ...], y_ticks: tuple[Tick, ...]) -> Frame:
    return Frame(
        x.end + RIGHT, y.start + BOTTOM, x.start, x.end, y.end, y.start, x_ticks, y_ticks
    )  # fmt: skip


def histogram_picture(found: JacobianSpectra) -> HistogramPicture | None:
    """The histogram of log10 σ after the last layer; None where the values are only estimated.

    Values more than 40 decades below the largest are counted in words, not drawn.
    """
    last: dict[str, JacobianSpectrum] = {}
    for name, spectra in found.schemes.items():
        spectrum = spectra[-1]
        if isinstance(spectrum, SpectrumEstimate):
            return None
        last[name] = spectrum
    values = [v for s in last.values() for v in s.log10_values] or [0.0]
    theory = _distinct(found.log10_rms(name)[-1] for name in found.schemes)
    known = [*values, *theory]
    high = max(known) + 0.2
    low = max(min(known) - 0.2, high - 40)
    edges = np.linspace(low, high, BINS + 1)
    counts = {n: np.histogram(np.asarray(s.log10_values), edges)[0] for n, s in last.items()}
    top = max(1, *(int(c.max()) for c in counts.values()))
    x, y = _axes((low, high), (0.0, 1.2 * top), 560.0)  # the axis' name has room over its ticks
    outside = [
        f"{name}: {missing}"
        for name, s in last.items()
        if (missing := s.zeros + sum(v < low for v in s.log10_values))
    ]
    return HistogramPicture(
        frame=_framed(x, y, decades(x, 6), round_ticks(y, 4, whole=True)),
        curves=tuple(
            Curve(name, name, axes.steps(x, y, edges.tolist(), c.tolist()))
            for name, c in counts.items()
        ),
        theory=tuple(x.place(each) for each in theory if x.inside(each)),
        depth=found.depths[-1],
        floor=", ".join(outside),
    )


def _distinct(values: Iterable[float | None]) -> tuple[float, ...]:
    """Those that there are, and that a line would show apart."""
    return tuple(dict.fromkeys(round(value, 6) for value in values if value is not None))


def depth_picture(found: JacobianSpectra) -> DepthPicture:
    """log10 of the condition number (of the directions that are not lost) at every depth taken."""
    lines: list[tuple[str, str, list[float | None]]] = []
    for name, spectra in found.schemes.items():
        if found.exact:
            lines.append((name, name, [_condition(s) for s in spectra]))
        else:
            estimates = [s for s in spectra if isinstance(s, SpectrumEstimate)]
            lines.append((f"{name}, largest", name, [s.log10_largest for s in estimates]))
            rms = [None if s.log10_mean_square is None else s.log10_mean_square / 2
                   for s in estimates]  # fmt: skip
            lines.append((f"{name}, rms", f"{name} thin", rms))
    if not found.exact:
        told = [found.log10_rms(name) for name in found.schemes]
        lines += [("rms, theory", "theory", each) for each in told if each.count(None) < len(each)]
    known = [v for _, _, ys in lines for v in ys if v is not None]
    low, high = min([0.0, *known]), max([1.0, *known])
    x, y = _axes((0.0, float(found.depths[-1])), (low - 0.04 * (high - low), high * 1.06), 560.0)
    points = [
        (css, x.place(d), y.place(v))
        for _, css, ys in lines
        if css != "theory"
        for d, v in zip(found.depths, ys, strict=True)
        if v is not None
    ]
    return DepthPicture(
        frame=_framed(x, y, round_ticks(x, 6, whole=True), decades(y, 5)),
        curves=tuple(
            Curve(name, css, path(x, y, zip(found.depths, ys, strict=True)))
            for name, css, ys in lines
        ),
        points=tuple(points),
        label="largest over smallest σ" if found.exact else "largest σ and root mean square",
    )


def _condition(s: JacobianSpectrum | SpectrumEstimate) -> float | None:
    if isinstance(s, SpectrumEstimate) or not s.log10_values:
        return None
    return s.log10_values[0] - s.log10_values[-1]


def correlation_picture(found: Correlations, depth: int) -> CorrelationPicture | None:
    """The correlations of pairs of inputs by layer; None where none was measured."""
    if not found.paths:
        return None
    known = [v for p in found.paths for v in (*p.low, *p.theory) if v is not None]
    low = min([0.0, *known])
    x, y = _axes((1.0, float(max(2, depth))), (low - 0.03, 1.03), 1120.0)
    bands = []
    for p in found.paths:
        layers = range(1, len(p.mean) + 1)
        first = p.mean[0] if p.mean[0] is not None else p.start
        bands.append(
            Band(
                p.start,
                _area(x, y, zip(layers, p.low, p.high, strict=True)),
                path(x, y, zip(layers, p.mean, strict=True)),
                path(x, y, zip(range(1, len(p.theory) + 1), p.theory, strict=True)),
                (x.start + 6, y.place(first) - 5),
            )
        )
    return CorrelationPicture(
        _framed(x, y, round_ticks(x, 10, whole=True), round_ticks(y, 5)), tuple(bands)
    )


def _area(x: Axis, y: Axis, band: Iterable[tuple[int, float | None, float | None]]) -> str:
    """Closed, from the lower to the upper end by layer, as far as both are known."""
    known = [each for each in band if None not in each]
    if len(known) < 2:
        return ""
    there = path(x, y, [(layer, b) for layer, _, b in known])
    back = path(x, y, [(layer, a) for layer, a, _ in reversed(known)])
    return f"{there}L{back[1:]}Z"
