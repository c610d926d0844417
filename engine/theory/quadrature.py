"""Gaussian expectations E[f(√q Z)] and E[f(u)·g(v)], to about 1e-12, for q from 1e-80 to 1e80.

An activation bends on the scale of u = 1, its argument on the scale of z = u/√q = 1: no single
set of Gauss–Hermite nodes sees both. Here the line is cut into panels at the edges of *both*
scales and at the activation's kinks, and every panel gets its own Gauss–Legendre nodes, so that
no panel holds a kink, and the activation and the Gaussian are smooth within each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Array", "Function", "apply", "expectation", "nodes", "pair_expectation"]

Array = npt.NDArray[np.float64]
Function = Callable[[Tensor], Tensor]

NODES = 12  # per panel: panels are narrow against the distance of any activation's nearest pole
CHUNK = 1024  # torch's vectorised functions use threads from about twice this on
PAIR_NODES = 8  # per panel and axis in two dimensions: about 1e-9
Z_EDGE = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 13.0)
"""The Gaussian's scale: beyond 13 standard deviations lies 1e-38 of its mass."""
U_EDGE = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, *(16.0 * 4.0**k for k in range(13)))
"""The activation's scale: fine near 0, then geometric, for tails as slow as softsign's 1/u."""


def _symmetric(edges: Sequence[float]) -> Array:
    positive = np.asarray(edges, dtype=np.float64)
    return np.concatenate([-positive[::-1], [0.0], positive])


_Z = _symmetric(Z_EDGE)
_U = _symmetric(U_EDGE)
_RULE = {n: np.polynomial.legendre.leggauss(n) for n in (NODES, PAIR_NODES)}


def _panels(edges: Array, n: int) -> tuple[Array, Array]:
    """Nodes z and weights (with the Gaussian density) of the panels between sorted ``edges``.

    ``edges`` has shape (rows, E); both results have shape (rows, (E − 1)·n).
    """
    x, w = _RULE[n]
    half = np.diff(edges) / 2  # (rows, E − 1)
    middle = edges[:, :-1] + half
    z = middle[..., None] + half[..., None] * x  # (rows, E − 1, n)
    weight = half[..., None] * w * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return z.reshape(len(edges), -1), weight.reshape(len(edges), -1)


def _edges(u_edges: Array, centre: Array, scale: Array) -> Array:
    """Edges in z where u = centre + scale·z meets an edge of either scale; shape (rows, E)."""
    with np.errstate(over="ignore"):  # an edge beyond the largest float is clipped like any other
        mapped = (u_edges - centre[:, None]) / scale[:, None]
    inside = np.clip(mapped, _Z[0], _Z[-1])
    base = np.broadcast_to(_Z, (len(scale), len(_Z)))
    return np.sort(np.concatenate([base, inside], axis=1), axis=1)


def nodes(q: npt.ArrayLike, kinks: Sequence[float] = ()) -> tuple[Array, Array]:
    """Nodes z and weights w with E[f(√q Z)] = Σ w·f(√q z), for each q > 0 of shape (Q,).

    Returns two arrays of shape (Q, N). Errors: ``ValueError`` for a q that is not positive and
    finite.
    """
    lengths = np.atleast_1d(np.asarray(q, dtype=np.float64))
    if not bool(np.all((lengths > 0) & np.isfinite(lengths))):
        raise ValueError(f"q is a variance and must be positive and finite, got {q!r}")
    u_edges = np.concatenate([_U, np.asarray(kinks, dtype=np.float64)])
    edges = _edges(u_edges, np.zeros(len(lengths)), np.sqrt(lengths))
    wide = (np.diff(edges) > 0).any(axis=0)  # edges out of reach have left empty panels at the ends
    used = np.flatnonzero(wide)
    return _panels(edges[:, used[0] : used[-1] + 2], NODES)


def apply(f: Function, u: Array) -> Array:
    """f over an array, in pieces too small for torch to hand to its threads.

    Waking the pool costs more than these few thousand entries, and milliseconds where other work
    holds the cores.
    """
    flat = torch.from_numpy(np.ascontiguousarray(u).reshape(-1))
    pieces = [f(flat[start : start + CHUNK]) for start in range(0, max(1, len(flat)), CHUNK)]
    found: Array = torch.cat(pieces).numpy().reshape(u.shape)
    return found


def expectation(f: Function, q: npt.ArrayLike, kinks: Sequence[float] = ()) -> Array:
    """E[f(√q Z)] for Z ~ N(0, 1).

    Args:
        f: elementwise function of a float64 tensor, smooth between its ``kinks``.
        q: variances, each ≥ 0 (q = 0 gives f(0)); scalar or shape (Q,).
        kinks: where f or a derivative of it jumps.

    Returns:
        float64 array of shape (Q,).

    Errors:
        ``ValueError`` for a q that is negative or not finite.

    Example:
        >>> relu_squared = lambda u: u.clamp_min(0).square()
        >>> expectation(relu_squared, [1.0, 1e80], kinks=(0.0,)) / [1.0, 1e80]
        array([0.5, 0.5])
    """
    lengths = np.atleast_1d(np.asarray(q, dtype=np.float64))
    at_zero = lengths == 0
    z, w = nodes(np.where(at_zero, 1.0, lengths), kinks)
    values = apply(f, np.sqrt(lengths)[:, None] * z)
    integral: Array = np.sum(w * values, axis=1)
    if at_zero.any():
        integral[at_zero] = apply(f, np.zeros(1))[0]
    return integral


def pair_expectation(
    f: Function, g: Function, q: float, c: float, kinks: Sequence[float] = ()
) -> float:
    """E[f(u)·g(v)] for u, v ~ N(0, q) with correlation c in [−1, 1]; accurate to about 1e-9.

    v = √q·(c·z₁ + √(1−c²)·z₂): the inner integral over z₂ is cut at the kinks of g seen from each
    z₁, the outer one at those of f and, finely, where a kink of g comes into view.

    Errors:
        ``ValueError`` for a q that is not positive and finite, or a c outside [−1, 1].

    Example:
        >>> identity = lambda u: u
        >>> round(pair_expectation(identity, identity, 4.0, 0.5), 9)
        2.0
    """
    if not (q > 0 and math.isfinite(q)) or not -1 <= c <= 1:
        raise ValueError(f"expected 0 < q < inf and −1 ≤ c ≤ 1, got q={q!r}, c={c!r}")
    root, rest = math.sqrt(q), math.sqrt((1 - c) * (1 + c))
    if rest < 1e-12:
        sign = math.copysign(1.0, c)
        both = (*kinks, *(sign * k for k in kinks))
        return float(expectation(lambda u: f(u) * g(sign * u), q, both)[0])
    bends = np.asarray([0.0, *kinks])
    inner_u = np.unique(np.concatenate([_U, bends]))
    outer = [inner_u / root]
    if c != 0:
        around = rest * np.concatenate([[0.0], np.logspace(-1, 5, 7, base=2.0)])
        offsets = np.concatenate([-around, around])
        outer.append((bends[:, None] / (root * c) + offsets).ravel())
    cuts = np.clip(np.concatenate([_Z, *outer]), _Z[0], _Z[-1])
    z1, w1 = _panels(np.unique(cuts)[None], PAIR_NODES)  # (1, N1)
    centre = root * c * z1[0]
    edges = _edges(inner_u, centre, np.full(len(centre), root * rest))
    z2, w2 = _panels(edges, PAIR_NODES)  # (N1, N2)
    inner = np.sum(w2 * apply(g, centre[:, None] + root * rest * z2), axis=1)
    return float(np.sum(w1[0] * apply(f, root * z1[0]) * inner))
