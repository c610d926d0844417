"""Singular values of the end-to-end Jacobian through depth.

J = ∂out/∂in = Wᵀ_L D_(L−1) Wᵀ_(L−1) … D_1 Wᵀ_1, with D the slopes φ'(z) of one sample. Its singular
values say how unevenly directions are stretched: orthogonal weights keep them together where
Gaussian ones spread them, exponentially in depth (Saxe et al. 2014; Pennington, Schoenholz &
Ganguli 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.theory.products import Product
from layerscope.engine.theory.quadrature import Array

__all__ = [
    "JacobianSpectrum", "SpectrumEstimate", "estimate_spectrum", "jacobian_spectrum",
    "spectrum_through_depth",
]  # fmt: skip


def _check(weights: Sequence[Tensor], slopes: Sequence[Tensor | None]) -> None:
    if not weights:
        raise ValueError("expected at least one weight, got none")
    if len(slopes) not in (len(weights), len(weights) - 1):
        raise ValueError(
            f"expected one vector of slopes per weight, the last one optional: "
            f"{len(weights)} weights, {len(slopes)} slopes"
        )
    for i, w in enumerate(weights):
        if w.ndim != 2 or (i and w.shape[0] != weights[i - 1].shape[1]):
            raise ValueError(
                f"weight {i} of shape {tuple(w.shape)} does not follow one of shape "
                f"{tuple(weights[i - 1].shape)}; expected (n_in, n_out)"
            )
        if not bool(torch.isfinite(w).all()):
            raise ValueError(f"weight {i} holds NaN or infinity")
    for i, s in enumerate(slopes):
        if s is not None and s.shape != (weights[i].shape[1],):
            raise ValueError(
                f"slopes {i} have shape {tuple(s.shape)}; expected ({weights[i].shape[1]},)"
            )


def _factors(weights: Sequence[Tensor], slopes: Sequence[Tensor | None]) -> list[Array]:
    """D_l Wᵀ_l of shape (n_out, n_in), in order of application."""
    _check(weights, slopes)
    out = []
    for i, w in enumerate(weights):
        matrix = w.detach().to(torch.float64).cpu().numpy().T
        slope = slopes[i] if i < len(slopes) else None
        if slope is not None:
            matrix = slope.detach().to(torch.float64).cpu().numpy()[:, None] * matrix
        out.append(matrix)
    return out


def _product(factors: Sequence[Array]) -> Product:
    product = Product(factors[0].shape[1])
    for matrix in factors:
        product.apply(matrix)
    return product


@dataclass(frozen=True, slots=True)
class JacobianSpectrum:
    """Singular values of an end-to-end Jacobian, exact up to float64 rounding.

    ``log10_values``: log10 of the non-zero ones, descending; ``zeros``: how many are exactly zero
    (dead directions); ``log10_condition``: largest over smallest, ``None`` with a zero among them.
    """

    log10_values: tuple[float, ...]
    zeros: int
    log10_condition: float | None

    def moments(self) -> tuple[float, float] | None:
        """log10 √(mean σ²) and mean σ⁴/(mean σ²)², zeros included; ``None`` where all are zero."""
        if not self.log10_values:
            return None
        top = self.log10_values[0]
        squares = 10.0 ** (2 * (np.asarray(self.log10_values) - top))
        mean = float(squares.sum()) / (len(squares) + self.zeros)
        fourth = float((squares**2).sum()) / (len(squares) + self.zeros)
        return top + 0.5 * math.log10(mean), fourth / mean**2

    def histogram(self, bins: int = 40) -> dict[str, list[float] | list[int]]:
        """Counts of log10 σ in even bins, with their edges."""
        if not self.log10_values:
            return {"edges": [], "counts": []}
        counts, edges = np.histogram(np.asarray(self.log10_values), bins=bins)
        return {"edges": edges.tolist(), "counts": counts.tolist()}

    def to_dict(self) -> dict[str, object]:
        """JSON-able, with the histogram."""
        return {**asdict(self), "histogram": self.histogram()}


def _spectrum(product: Product, size: int) -> JacobianSpectrum:
    values = product.log_singular_values() / math.log(10.0)
    zeros = size - len(values)
    condition = float(values[0] - values[-1]) if zeros == 0 and size else None
    return JacobianSpectrum(tuple(values.tolist()), zeros, condition)


def jacobian_spectrum(
    weights: Sequence[Tensor], slopes: Sequence[Tensor | None]
) -> JacobianSpectrum:
    """The singular values of ∂out/∂in at one sample.

    Args:
        weights: (n_in, n_out) each, in forward order, as in y = x @ w.
        slopes: φ'(z) of each layer's units, shape (n_out,); ``None`` for no activation. The last
            layer's may be left out.

    Errors: ``ValueError`` naming the shape that does not fit, or a weight that is not finite.

    Example:
        >>> eye = 2 * torch.eye(2, dtype=torch.float64)
        >>> jacobian_spectrum([eye] * 1000, [None] * 1000).log10_condition
        0.0
    """
    factors = _factors(weights, slopes)
    size = min(factors[0].shape[1], factors[-1].shape[0])
    return _spectrum(_product(factors), size)


def spectrum_through_depth(
    weights: Sequence[Tensor], slopes: Sequence[Tensor | None], layers: Sequence[int]
) -> list[JacobianSpectrum]:
    """The spectrum of ∂(layer)/∂in after each of the given numbers of layers (1 … L), ascending.

    Errors: ``ValueError`` for a number of layers out of range or order.
    """
    factors = _factors(weights, slopes)
    wanted = list(layers)
    if wanted != sorted(set(wanted)) or not all(1 <= n <= len(factors) for n in wanted):
        raise ValueError(f"expected ascending numbers from 1 to {len(factors)}, got {layers!r}")
    product, found = Product(factors[0].shape[1]), []
    for count, matrix in enumerate(factors, start=1):
        product.apply(matrix)
        if count in wanted:
            found.append(_spectrum(product, min(factors[0].shape[1], matrix.shape[0])))
    return found


@dataclass(frozen=True, slots=True)
class SpectrumEstimate:
    """What products with the Jacobian and its transpose tell without forming it.

    Estimates: ``log10_largest`` of the largest singular value (Lanczos, from below) and
    ``log10_mean_square`` of the mean σ² (Hutchinson), with the relative standard error of the
    latter. ``None`` where the Jacobian is zero.
    """

    log10_largest: float | None
    log10_mean_square: float | None
    relative_error: float | None
    products: int
    estimated: bool = True

    def to_dict(self) -> dict[str, object]:
        """JSON-able."""
        return asdict(self)


def estimate_spectrum(
    weights: Sequence[Tensor],
    slopes: Sequence[Tensor | None],
    *,
    generator: torch.Generator,
    steps: int = 12,
    probes: int = 16,
) -> SpectrumEstimate:
    """For widths too large for `jacobian_spectrum`: vector products only, O(L·n²) each.

    The vector is rescaled at every layer and the logarithms kept, so that no depth overflows.

    Errors: as `jacobian_spectrum`; ``ValueError`` for fewer than 1 step or 2 probes.
    """
    if steps < 1 or probes < 2:
        raise ValueError(f"expected at least 1 step and 2 probes, got {steps!r} and {probes!r}")
    factors = _factors(weights, slopes)
    n = factors[0].shape[1]
    noise = torch.randn(n, probes + 1, dtype=torch.float64, generator=generator).numpy()
    _, norms = _multiply(factors, noise[:, :probes], forward=True)
    top = float(norms.max())
    if top == -math.inf:
        return SpectrumEstimate(None, None, None, probes)
    squares = np.exp(2 * (norms - top))  # |Jv|² for v ~ N(0, I): mean is the sum of σ²
    size = min(n, factors[-1].shape[0])
    mean = float(squares.mean())
    error = float(squares.std(ddof=1) / mean / math.sqrt(probes))
    largest = _lanczos(factors, noise[:, probes], steps)
    return SpectrumEstimate(
        None if largest is None else largest / math.log(10.0),
        (2 * top + math.log(mean / size)) / math.log(10.0),
        error,
        probes + 2 * steps,
    )


def _multiply(factors: Sequence[Array], x: Array, *, forward: bool) -> tuple[Array, Array]:
    """J·x or Jᵀ·x by columns: unit vectors and ln of their lengths."""
    lengths = np.zeros(x.shape[1])
    for matrix in factors if forward else reversed(factors):
        x = matrix @ x if forward else matrix.T @ x
        norm = np.linalg.norm(x, axis=0)
        with np.errstate(divide="ignore"):
            lengths = lengths + np.log(norm)
        x = x / np.where(norm > 0, norm, 1.0)
    return x, lengths


def _lanczos(factors: Sequence[Array], start: Array, steps: int) -> float | None:
    """ln of the largest singular value by Lanczos on JᵀJ, with full re-orthogonalisation."""
    v = start / np.linalg.norm(start)
    basis: list[Array] = []
    images: list[Array] = []
    reference: float | None = None
    for _ in range(min(steps, len(start))):
        basis.append(v)
        u, up = _multiply(factors, v[:, None], forward=True)
        w, down = _multiply(factors, u, forward=False)
        length = float(up[0] + down[0])
        if length == -math.inf:
            break
        reference = length if reference is None else reference
        image = w[:, 0] * math.exp(max(-700.0, min(700.0, length - reference)))  # JᵀJv, rescaled
        images.append(image)
        span = np.stack(basis, axis=1)
        rest = image - span @ (span.T @ image)
        rest -= span @ (span.T @ rest)
        norm = float(np.linalg.norm(rest))
        if norm <= 1e-12 * float(np.linalg.norm(image)):
            break
        v = rest / norm
    if reference is None:
        return None
    span, image = np.stack(basis[: len(images)], axis=1), np.stack(images, axis=1)
    small = span.T @ image
    top = float(np.linalg.eigvalsh((small + small.T) / 2)[-1])
    return 0.5 * (math.log(top) + reference) if top > 0 else None
