"""Schemes whose entries are independent Gaussian draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerscope.engine.layers.initialization.base import init_scheme
from layerscope.engine.layers.initialization.distribution import (
    Distribution,
    normal_density,
    normal_entries,
)

__all__ = [
    "kaiming_normal", "lecun_normal", "normal", "truncated_entries", "truncated_normal",
    "xavier_normal",
]  # fmt: skip


@init_scheme(
    formula="randn(n_in, n_out)",
    source="the notes; torch.randn",
    help="Plain standard normal draws: multiplies the signal's std by √n_in at every layer.",
    assumes="nothing: the width is ignored",
    variance=lambda n_in, n_out: 1.0,
    describe=normal_entries,
)
def normal(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Standard normal entries, (n_in, n_out)."""
    return torch.randn(n_in, n_out, generator=generator)


@init_scheme(
    formula="√(2/n_in) · randn(n_in, n_out)",
    source="He et al. 2015, Delving deep into rectifiers",
    help="Keeps the forward signal's second moment through ReLU layers.",
    assumes="ReLU: half of a centred signal is zeroed, the factor 2 makes up for it",
    variance=lambda n_in, n_out: 2.0 / n_in,
    describe=normal_entries,
)
def kaiming_normal(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Normal entries with std √(2/n_in), (n_in, n_out)."""
    return torch.randn(n_in, n_out, generator=generator) * math.sqrt(2 / n_in)


@init_scheme(
    formula="√(2/(n_in + n_out)) · randn(n_in, n_out)",
    source="Glorot & Bengio 2010",
    help="A compromise between keeping the forward and the backward variance.",
    assumes="an activation that is close to the identity around 0, such as tanh",
    variance=lambda n_in, n_out: 2.0 / (n_in + n_out),
    describe=normal_entries,
)
def xavier_normal(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Normal entries with std √(2/(n_in + n_out)), (n_in, n_out)."""
    return torch.randn(n_in, n_out, generator=generator) * math.sqrt(2 / (n_in + n_out))


@init_scheme(
    formula="√(1/n_in) · randn(n_in, n_out)",
    source="LeCun et al. 1998 (Efficient BackProp); Klambauer et al. 2017",
    help="Keeps the variance through linear layers; what SELU was derived for. The notes' × 0.1.",
    assumes="a linear layer, or SELU",
    variance=lambda n_in, n_out: 1.0 / n_in,
    describe=normal_entries,
)
def lecun_normal(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Normal entries with std √(1/n_in), (n_in, n_out)."""
    return torch.randn(n_in, n_out, generator=generator) * math.sqrt(1 / n_in)


def truncated_entries(_in: int, _out: int, std: float) -> Distribution:
    """Normal, cut off at two standard deviations."""
    inner = std / 0.87962566103423978  # std of a standard normal truncated at ±2
    whole = normal_density(inner)
    kept = math.erf(2 / math.sqrt(2))

    def density(w: Tensor) -> Tensor:
        return whole(w) / kept * (w.abs() <= 2 * inner)

    return Distribution(f"N(0, {inner:.3g}²) within ±{2 * inner:.3g}", std, density)


@init_scheme(
    formula="√(1/n_in)/0.8796 · randn clipped by redrawing to |z| ≤ 2",
    source="TensorFlow's VarianceScaling (fan_in, truncated_normal)",
    help="As lecun_normal without the tails: no weight lies beyond two standard deviations.",
    assumes="a linear layer; no outlier weights wanted",
    variance=lambda n_in, n_out: 1.0 / n_in,
    describe=truncated_entries,
)
def truncated_normal(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Normal entries truncated at two standard deviations, rescaled to std √(1/n_in)."""
    below = 0.5 * (1 + math.erf(-2 / math.sqrt(2)))  # chance that a standard normal is under −2
    u = torch.rand(n_in, n_out, generator=generator, dtype=torch.float64)
    u = below + u * (1 - 2 * below)
    z = math.sqrt(2) * torch.erfinv(2 * u - 1)  # inverse distribution function, so never redrawn
    std = 0.87962566103423978  # of a standard normal truncated at ±2
    return (z.clamp(-2, 2) * (math.sqrt(1 / n_in) / std)).float()
