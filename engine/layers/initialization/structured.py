"""Schemes whose entries depend on one another: orthogonal, sparse, constant, data-driven."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerscope.engine.layers.initialization.base import FixedWeight, init_scheme
from layerscope.engine.layers.initialization.distribution import Atom, Distribution, normal_density

__all__ = ["constant", "identity", "lsuv", "orthogonal", "sparse", "unit_variance", "zeros"]


def _orthogonal_entries(n_in: int, n_out: int, std: float) -> Distribution:
    """A coordinate of a uniform unit vector in n dimensions: c · (1 − w²)^((n−3)/2) on [−1, 1]."""
    n = max(n_in, n_out)
    text = f"a coordinate of a random unit vector in {n} dimensions"
    if n == 1:
        return Distribution(text, std, None, (Atom(-1.0, 0.5), Atom(1.0, 0.5)))
    log_c = math.lgamma(n / 2) - math.lgamma((n - 1) / 2) - 0.5 * math.log(math.pi)

    def density(w: Tensor) -> Tensor:
        inside = (1 - w**2).clamp_min(1e-300)
        value = torch.exp(log_c + (n - 3) / 2 * torch.log(inside))
        return torch.where(w.abs() < 1, value, torch.zeros_like(w))

    return Distribution(text, std, density)


def _copies(n_in: int, n_out: int) -> int:
    """Bytes of the copies that LAPACK works on."""
    return 2 * 4 * n_in * n_out


def _factorisation(n_in: int, n_out: int) -> int:
    """Operations of the QR decomposition, by Householder's reflections, and of forming Q."""
    return 8 * max(n_in, n_out) * min(n_in, n_out) ** 2


@init_scheme(
    formula="Q of the QR decomposition of randn(n_in, n_out), signs fixed by R's diagonal",
    source="Saxe, McClelland & Ganguli 2014; torch.nn.init.orthogonal_",
    help="An isometry: all singular values are 1, so a linear network keeps every length.",
    assumes="a linear layer or tanh near 0; multiply by √2 for ReLU",
    variance=lambda n_in, n_out: 1.0 / max(n_in, n_out),
    orthogonal=True,
    describe=_orthogonal_entries,
    draw_flops=_factorisation,
    draw_bytes=_copies,
)
def orthogonal(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """A matrix with orthonormal columns (or rows, the fewer of the two), (n_in, n_out)."""
    tall = torch.randn(max(n_in, n_out), min(n_in, n_out), generator=generator)
    q: Tensor
    q, r = torch.linalg.qr(tall)
    q = q * torch.where(r.diagonal() < 0, -1.0, 1.0)  # makes the distribution uniform (Haar)
    return (q if n_in >= n_out else q.t()).contiguous()


def _sparse_entries(n_in: int, _out: int, std: float) -> Distribution:
    """N(0, 0.01²) but for the zeros."""
    zeros = math.ceil(0.1 * n_in) / n_in
    whole = normal_density(0.01)

    def density(w: Tensor) -> Tensor:
        return whole(w) * (1 - zeros)

    text = f"N(0, 0.01²), {100 * zeros:.3g} % exactly 0"
    return Distribution(text, std, density if zeros < 1 else None, (Atom(0.0, zeros),))


@init_scheme(
    formula="0.01 · randn, with a tenth of each unit's inputs set to 0",
    source="Martens 2010; torch.nn.init.sparse_(w, sparsity=0.1, std=0.01)",
    help="Units that listen to different inputs; at a std of 0.01 the signal dies without scaling.",
    assumes="units that should differ from one another from the start",
    variance=lambda n_in, n_out: 1e-4 * (1 - math.ceil(0.1 * n_in) / n_in),
    describe=_sparse_entries,
)
def sparse(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Normal entries with std 0.01, ⌈n_in/10⌉ of each column zero, (n_in, n_out)."""
    weight = torch.randn(n_in, n_out, generator=generator) * 0.01
    order = torch.rand(n_in, n_out, generator=generator).argsort(dim=0)  # a random rank per column
    return weight.masked_fill(order < math.ceil(0.1 * n_in), 0)


def _identity_entries(n_in: int, n_out: int, _std: float) -> Distribution:
    """Ones on the diagonal, else zeros."""
    ones = 1 / max(n_in, n_out)
    atoms = (Atom(0.0, 1 - ones), Atom(1.0, ones)) if ones < 1 else (Atom(1.0, 1.0),)
    return Distribution("1 on the diagonal, else 0", None, None, atoms)


@init_scheme(
    formula="1 on the diagonal, 0 elsewhere",
    source="Le, Jaitly & Hinton 2015; torch.nn.init.eye_",
    help="The layer passes its input on unchanged; nothing tells layers apart but the data.",
    assumes="equal widths; a ReLU passes the positive part for ever",
    mean_field=False,
    fixed=FixedWeight(lambda n_in, n_out: 1.0, diagonal=True),
    describe=_identity_entries,
)
def identity(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """The identity, cut or padded with zeros to (n_in, n_out)."""
    return torch.eye(n_in, n_out)


@init_scheme(
    formula="0",
    source="the classic mistake",
    help="Every unit computes the same and receives the same gradient: symmetry never breaks.",
    assumes="something else breaks the symmetry (residual branches: Zhang et al. 2019, Fixup)",
    variance=lambda n_in, n_out: 0.0,
    mean_field=False,
    describe=lambda _in, _out, _std: Distribution("0", 0.0, None, (Atom(0.0, 1.0),)),
)
def zeros(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """All zeros, (n_in, n_out)."""
    return torch.zeros(n_in, n_out)


def _constant_entries(n_in: int, _out: int, _std: float) -> Distribution:
    """One value."""
    return Distribution(f"{1 / n_in:.3g}", None, None, (Atom(1 / n_in, 1.0),))


@init_scheme(
    formula="1/n_in",
    source="torch.nn.init.constant_",
    help="Every unit takes the mean of its inputs: all units are copies of one another.",
    assumes="nothing: it cannot train",
    mean_field=False,
    fixed=FixedWeight(lambda n_in, n_out: 1 / n_in, diagonal=False),
    describe=_constant_entries,
)
def constant(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    """Every entry 1/n_in, (n_in, n_out)."""
    return torch.full((n_in, n_out), 1 / n_in)


def unit_variance(weight: Tensor, x: Tensor) -> Tensor:
    """``weight`` divided by the std of ``x @ weight``; unchanged where that is 0 or not finite.

    Shapes: weight (n_in, n_out), x (batch, n_in).
    """
    std = float((x.double() @ weight.double()).std(correction=0))
    return weight / std if math.isfinite(std) and std > 0 else weight


def _lsuv_entries(n_in: int, n_out: int, _std: float) -> Distribution:
    """Orthogonal in shape; the scale is the batch's."""
    found = _orthogonal_entries(n_in, n_out, math.sqrt(1 / max(n_in, n_out)))
    text = "orthogonal, at the scale that this batch asks for"
    return Distribution(text, None, found.density)


@init_scheme(
    formula="orthogonal, then divided by the std of x @ w on this batch",
    source="Mishkin & Matas 2015, All you need is a good init",
    help="Layer-sequential unit variance: measured, not derived, so it holds for any activation.",
    assumes="a representative first batch",
    mean_field=False,
    calibrate=unit_variance,
    calibrated_std=1.0,
    orthogonal=True,
    describe=_lsuv_entries,
    draw_flops=_factorisation,
    draw_bytes=_copies,
)
def lsuv(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """An orthogonal matrix, (n_in, n_out); ``unit_variance`` scales it once its input is known."""
    return orthogonal(n_in, n_out, generator=generator)
