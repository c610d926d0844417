"""Products of many matrices whose singular values lie too far apart for one float64 matrix.

The product is kept as Q·diag(e^d)·T, Q orthogonal and T well-conditioned, with the logarithms d
apart (the stabilised products of quantum Monte Carlo: Loh et al. 1992; Bai et al. 2011).
"""

from __future__ import annotations

import math

import numpy as np

from layerscope.engine.theory.quadrature import Array

__all__ = ["Product"]

DIRECT = math.log(1e8)  # spread of scales up to which one LAPACK call is accurate
SWEEPS = 60  # of the QR iteration that separates singular values of very different size
DEPENDENT = 1e-13
"""A column whose part independent of those before it is smaller than this, relatively, has none."""
SETTLED = 1e-9  # relative off-diagonal at which two of them count as separated


class Product:
    """Q·diag(e^d)·T, multiplied from the left by one matrix after another.

    T has orthonormal-like rows of mixed size ≤ O(1); directions that a factor kills are dropped.
    """

    def __init__(self, columns: int) -> None:
        self.q: Array = np.eye(columns)
        self.d: Array = np.zeros(columns)
        self.t: Array = np.eye(columns)

    def apply(self, matrix: Array) -> None:
        """Self ← matrix · self."""
        b = matrix @ self.q  # (n_out, r)
        if b.shape[1] == 0:  # the product is zero already, and stays zero
            self.q = b
            return
        norms = np.linalg.norm(b, axis=0)
        with np.errstate(divide="ignore"):
            order = np.argsort(-(np.log(norms) + self.d), kind="stable")
        for _ in range(len(order)):
            q, r = np.linalg.qr(b[:, order])  # r (k, r), k = min(n_out, r)
            k = len(r)
            diagonal = np.abs(np.diagonal(r))
            alive = diagonal > DEPENDENT * norms[order][:k]
            beside = np.abs(np.triu(r, 1)) > DEPENDENT * norms[order]
            hiding = np.flatnonzero(~alive & beside.any(axis=1))
            if len(hiding) == 0:
                break
            # a column that depends on those before it goes last, or its row would hide the others
            order = np.append(np.delete(order, hiding[0]), order[hiding[0]])
        d, t = self.d[order], self.t[order]
        with np.errstate(divide="ignore"):
            scale = d[:k] + np.log(diagonal)
        q, r, scale = q[:, :k][:, alive], r[alive], scale[alive]
        # row i of R·diag(e^d) over its own scale: exponents relative to it, never overflowing
        relative = np.exp(np.clip(d[None, :] - scale[:, None], -745.0, 700.0))
        self.q, self.d, self.t = q, scale, (r * relative) @ t

    def log_singular_values(self) -> Array:
        """ln of the singular values that are not exactly zero, descending."""
        if len(self.d) == 0:
            return np.empty(0)
        d, t = self.d, self.t
        if d.max() - d.min() < DIRECT:
            return _log_svd(d, t)
        for _ in range(SWEEPS):  # M = diag(e^d)·T; Mᵀ = Tᵀ diag(e^d) = Q R diag(e^d)
            order = np.argsort(-d, kind="stable")
            r = np.linalg.qr(t[order].T, mode="r")
            k = min(len(r), len(d))
            with np.errstate(divide="ignore"):
                scale = d[order][:k] + np.log(np.abs(np.diagonal(r)))
            keep = np.isfinite(scale)
            gap = np.clip(d[order][None, :] - scale[keep, None], -745.0, 700.0)
            t, d = r[keep] * np.exp(gap), scale[keep]
            off = np.abs(np.triu(t, 1))
            if off.max(initial=0.0) < SETTLED:
                break
        return _by_blocks(d, t)


def _log_svd(d: Array, t: Array) -> Array:
    top = float(d.max())
    values = np.linalg.svd(np.exp(d - top)[:, None] * t, compute_uv=False)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values[values > 0]) + top)


def _by_blocks(d: Array, t: Array) -> Array:
    """Rows whose coupling has not died out are of like size: one small SVD for each such run."""
    out, start, n = [], 0, len(d)
    coupled = np.abs(np.triu(t, 1)) >= SETTLED
    reach = np.maximum.accumulate(
        np.where(coupled.any(axis=1), n - 1 - np.argmax(coupled[:, ::-1], axis=1), np.arange(n))
    )
    while start < n:
        end = start
        while end < reach[end] or reach[start : end + 1].max() > end:
            end = int(reach[start : end + 1].max())
        block = slice(start, end + 1)
        out.append(_log_svd(d[block], t[block, block]))
        start = end + 1
    return np.sort(np.concatenate(out))[::-1]
