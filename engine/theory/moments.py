"""What mean-field theory needs to know of an activation: its Gaussian moments as functions of q.

Computed by quadrature at Chebyshev nodes of ln q, one unit of ln q at a time and only where a
question leads; every further question is a small polynomial. Second moments are kept as logarithms,
the rest as ratios, so that nothing overflows; beyond 1e±20 every activation has become a power law
and the logarithms continue as straight lines.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial import chebyshev

from layerscope.engine.layers.activations import ACTIVATIONS, Activation
from layerscope.engine.theory.quadrature import Array, Function, apply, nodes

__all__ = [
    "MAX_LOG_Q",
    "ORDER",
    "MomentTable",
    "Moments",
    "MomentsUndefined",
    "Spectrum",
    "moment_table",
]

MAX_LOG_Q = 46.0  # ln 1e20: corrections to the power law are below 1e-10 from there on
ORDER = 32
"""Hermite orders kept of each spectrum; the rest is one power, matched in value and slope."""
CHEBYSHEV = 12  # nodes per unit of ln q: interpolation error about 1e-13
SPECTRAL = 7  # the same for the spectra: about 1e-7
LINEARISE = 1e-9  # below this q, Var φ of a φ with φ(0) ≠ 0 is lost to rounding: q·E[φ']² instead
VALUES = 17
DIRECT = 9  # of the values: before the slopes; what is about the mean comes behind these


class MomentsUndefined(ArithmeticError):
    """φ or φ' has no moments that float64 can hold; the message says at which length."""


class Moments(NamedTuple):
    """Moments of φ(u) and φ'(u) for u ~ N(0, q), at one q.

    ``log_second`` = ln E[φ²], with its first and second derivative by ln q; ``mean`` =
    E[φ]/√E[φ²]; ``skew`` = E[φ³]/E[φ²]^1.5; ``kurtosis`` = E[φ⁴]/E[φ²]²; ``log_variance`` =
    ln Var φ; ``log_slope2`` = ln E[φ'²], likewise with derivatives; ``slope_kurtosis`` =
    E[φ'⁴]/E[φ'²]²; ``mixed`` = E[φ²φ'²]/(E[φ²]E[φ'²]); ``slope_mean`` = E[φ']/√E[φ'²].
    ``variance_kurtosis`` = E[(φ − E[φ])⁴]/(Var φ)²; ``variance_growth``: derivative of
    ``log_variance`` by ln q; ``mean_growth``, ``mean_curvature``: first and second derivative of
    E[φ], over √E[φ²].
    """

    log_second: float
    mean: float
    skew: float
    kurtosis: float
    log_variance: float
    log_slope2: float
    slope_kurtosis: float
    mixed: float
    slope_mean: float
    growth: float
    curvature: float
    slope_growth: float
    slope_curvature: float
    variance_kurtosis: float
    variance_growth: float
    mean_growth: float
    mean_curvature: float

    @property
    def variance_share(self) -> float:
        """Var φ/E[φ²]."""
        return math.exp(min(0.0, self.log_variance - self.log_second))

    @property
    def third(self) -> float:
        """E[(φ − E[φ])³]/E[φ²]^1.5."""
        return self.skew - 3 * self.mean + 2 * self.mean**3


class Spectrum(NamedTuple):
    """Squared Hermite coefficients of φ, φ², φ'² and (φ − E[φ])², as shares of the sums of all.

    By Mehler's formula E[f(u)f(v)] = Σ_k h_k² c^k for two Gaussians of correlation c, and the sum
    of all is E[f²]; shape (4, ORDER).
    """

    shares: Array


def _hermite(z: Array, values: Array) -> Array:
    """Squared coefficients by the orthonormal Hermite polynomials; z (Q, N), values (V, Q, N)."""
    out = np.empty((len(values), len(z), ORDER))
    before, now = np.zeros_like(z), np.ones_like(z)
    for k in range(ORDER):
        out[:, :, k] = np.einsum("vqn,qn->vq", values, now) ** 2
        before, now = now, (z * now - math.sqrt(k) * before) / math.sqrt(k + 1)
    return out


class MomentTable:
    """Moments and spectra of one activation, filled in lazily.

    Args:
        function: φ, and ``derivative``: φ', both elementwise on float64 tensors.
        kinks: where either jumps.
    """

    def __init__(
        self, function: Function, derivative: Function, kinks: tuple[float, ...] = ()
    ) -> None:
        self.function, self.derivative, self.kinks = function, derivative, kinks
        probe = torch.tensor([-3.0, -1.0, -0.3, 0.0, 0.3, 1.0, 3.0], dtype=torch.float64)
        self.homogeneous = bool(torch.allclose(function(8 * probe), 8 * function(probe), 1e-14, 0))
        """φ(a·u) = a·φ(u) for a > 0: every ratio of moments is then the same at every length."""
        self.at_zero = float(function(probe)[3])
        self._pieces: dict[int, Array] = {}
        self._spectra: dict[int, Array] = {}
        self._seconds: dict[int, list[float]] = {}
        self._one: float | None = None

    def _sample(self, q: Array) -> tuple[Array, Array, Array, Array]:
        z, w = nodes(q, self.kinks)
        u = np.sqrt(q)[:, None] * z
        return z, w, apply(self.function, u), apply(self.derivative, u)

    def compute(self, q: Array) -> Array:
        """The first nine fields of `Moments` and ``variance_kurtosis`` by direct quadrature; shape
        (Q, 10)."""
        _, w, phi, slope = self._sample(q)
        second = np.sum(w * phi**2, axis=1)
        slope2 = np.sum(w * slope**2, axis=1)
        mean = np.sum(w * phi, axis=1)
        away = phi - mean[:, None]
        variance = np.sum(w * away**2, axis=1)
        fourth = np.sum(w * (away / np.sqrt(variance)[:, None]) ** 4, axis=1)
        slope_mean = np.sum(w * slope, axis=1)
        if self.at_zero != 0:
            fourth = np.where(q < LINEARISE, 3.0, fourth)
            variance = np.where(q < LINEARISE, q * slope_mean**2, variance)
        g = phi / np.sqrt(second)[:, None]
        d2 = slope**2 / slope2[:, None]
        columns = (
            np.log(second),
            mean / np.sqrt(second),
            np.sum(w * g**3, axis=1),
            np.sum(w * g**4, axis=1),
            np.log(variance),
            np.log(slope2),
            np.sum(w * d2**2, axis=1),
            np.sum(w * g**2 * d2, axis=1),
            slope_mean / np.sqrt(slope2),
            fourth,
        )
        return np.stack(columns, axis=1)

    def spectrum_at(self, q: Array) -> Array:
        """Shares of `Spectrum` by direct quadrature; shape (Q, 4·ORDER)."""
        z, w, phi, slope = self._sample(q)
        away = phi - np.sum(w * phi, axis=1)[:, None]
        if self.at_zero != 0:
            away = np.where((q < LINEARISE)[:, None], z, away)
        away = away / np.sqrt(np.sum(w * away**2, axis=1))[:, None]  # no square underflows
        powers = np.stack([phi, phi**2, slope**2, away**2])  # (4, Q, N)
        norms = np.sum(w * powers**2, axis=2)  # (4, Q)
        squares = _hermite(z, w * powers) / norms[:, :, None]
        found: Array = np.concatenate(list(squares), axis=1)
        return found

    def _fit(self, index: int, spectra: bool) -> Array:
        """Chebyshev coefficients over ln q in [index, index + 1]; shape (nodes, columns)."""
        t = chebyshev.chebpts1(SPECTRAL if spectra else CHEBYSHEV)
        q = np.exp(index + (t + 1) / 2)
        if spectra:
            shares = chebyshev.chebfit(t, self.spectrum_at(q), SPECTRAL - 1)
            return np.asarray(shares, dtype=np.float64)
        fit = chebyshev.chebfit(t, self.compute(q), CHEBYSHEV - 1)
        logs = fit[:, [0, 5, 4, 1]]  # dt/dlnq = 2
        first = np.zeros_like(logs)
        second = np.zeros_like(logs)
        first[:-1] = 2 * chebyshev.chebder(logs, 1)
        second[:-2] = 4 * chebyshev.chebder(logs, 2)
        slopes = np.stack([first[:, 0], second[:, 0], first[:, 1], second[:, 1]], axis=1)
        about = [fit[:, DIRECT:], first[:, 2:], second[:, 3:]]
        return np.concatenate([fit[:, :DIRECT], slopes, *about], axis=1)

    def _piece(self, index: int, spectra: bool) -> Array:
        store = self._spectra if spectra else self._pieces
        found = store.get(index)
        if found is None:
            with np.errstate(all="ignore"):  # what came of it is looked at
                found = self._fit(index, spectra)
            if not np.isfinite(found).all():
                raise MomentsUndefined(
                    f"the activation has no finite moments at ln q from {index} to {index + 1}"
                )
            store[index] = found
        return found

    def _interpolate(self, log_q: float, spectra: bool) -> Array:
        index = min(math.floor(log_q), math.floor(MAX_LOG_Q) - 1)
        angle = math.acos(min(1.0, max(-1.0, 2 * (log_q - index) - 1)))
        piece = self._piece(index, spectra)
        value: Array = np.cos(angle * _DEGREES[: len(piece)]) @ piece
        return value

    def _clamp(self, log_q: float) -> float:
        if self.homogeneous:
            return 0.0
        return min(MAX_LOG_Q, max(-MAX_LOG_Q, log_q))

    def at(self, log_q: float) -> Moments:
        """The moments at q = e^log_q, for any finite ``log_q``."""
        inside = self._clamp(log_q)
        m = Moments(*self._interpolate(inside, False).tolist())
        if self.homogeneous:
            return m._replace(
                log_second=m.log_second + log_q, log_variance=m.log_variance + log_q,
                growth=1.0, curvature=0.0, slope_growth=0.0, slope_curvature=0.0,
                variance_growth=1.0, mean_growth=m.mean / 2, mean_curvature=m.mean / 4,
            )  # fmt: skip
        a, rate = m.growth, m.mean_growth  # so far the derivatives are those of E[φ]/√E[φ²]
        m = m._replace(
            mean_growth=rate + m.mean * a / 2,
            mean_curvature=m.mean_curvature + rate * a + m.mean * (m.curvature / 2 + a * a / 4),
        )
        beyond = log_q - inside
        if beyond == 0:
            return m
        variance_growth = 1.0 if inside < 0 and self.at_zero != 0 else m.growth
        return m._replace(
            variance_growth=variance_growth,
            log_second=m.log_second + m.growth * beyond,
            log_slope2=m.log_slope2 + m.slope_growth * beyond,
            log_variance=m.log_variance + variance_growth * beyond,
        )

    def log_second(self, log_q: float) -> float:
        """ln E[φ²] at q = e^log_q, as `at` has it: what a length map asks again and again."""
        inside = self._clamp(log_q)
        if self.homogeneous:
            if self._one is None:
                self._one = self.at(0.0).log_second
            return self._one + log_q
        if inside != log_q:
            return self.at(log_q).log_second
        index = min(math.floor(inside), math.floor(MAX_LOG_Q) - 1)
        series = self._seconds.get(index)
        if series is None:
            series = self._seconds[index] = self._piece(index, False)[::-1, 0].tolist()
        t = 2 * (inside - index) - 1
        here = before = 0.0
        for c in series[:-1]:  # Clenshaw's recurrence
            here, before = c + 2 * t * here - before, here
        found: float = series[-1] + t * here - before
        return found

    def spectrum(self, log_q: float) -> Spectrum:
        """The Hermite shares at q = e^log_q."""
        row = self._interpolate(self._clamp(log_q), True)
        return Spectrum(row.reshape(4, ORDER))

    def curves(self, log_q: Array) -> Array:
        """All fields of `Moments` for many lengths at once, the last two as derivatives of
        E[φ]/√E[φ²]; shape (len(log_q), VALUES)."""
        inside = np.zeros_like(log_q) if self.homogeneous else np.clip(log_q, -MAX_LOG_Q, MAX_LOG_Q)
        index = np.minimum(np.floor(inside), math.floor(MAX_LOG_Q) - 1).astype(int)
        basis = chebyshev.chebvander(2 * (inside - index) - 1, CHEBYSHEV - 1)
        out = np.empty((len(log_q), VALUES))
        for piece in np.unique(index):
            rows = index == piece
            out[rows] = basis[rows] @ self._piece(int(piece), False)
        beyond = log_q - inside
        out[:, 0] += beyond * out[:, 9]
        out[:, 5] += beyond * out[:, 11]
        return out


_DEGREES = np.arange(CHEBYSHEV)


@lru_cache(maxsize=64)
def _table(activation: type[Activation]) -> MomentTable:
    return MomentTable(activation.function, activation.derivative, activation.kinks)


def moment_table(activation: str) -> MomentTable:
    """The table of the activation registered under this name; built once, filled as asked.

    Errors:
        ``KeyError`` naming the known activations.

    Example:
        >>> m = moment_table("relu").at(0.0)
        >>> round(math.exp(m.log_second), 9), round(m.kurtosis, 9)
        (0.5, 6.0)
    """
    return _table(ACTIVATIONS[activation])
