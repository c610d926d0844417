"""Schemes whose entries are independent uniform draws."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from layerscope.engine.layers.initialization.base import init_scheme
from layerscope.engine.layers.initialization.distribution import uniform_entries

__all__ = ["kaiming_uniform", "pytorch_default", "uniform", "uniform_bias", "xavier_uniform"]


@init_scheme(
    formula="U(−1, 1)",
    source="torch.rand, centred",
    help="Uniform between −1 and 1, whatever the width: variance 1/3.",
    assumes="nothing: the width is ignored",
    variance=lambda n_in, n_out: 1.0 / 3.0,
    describe=uniform_entries,
)
def uniform(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Entries uniform on (−1, 1), (n_in, n_out)."""
    return torch.rand(n_in, n_out, generator=generator) * 2 - 1


@init_scheme(
    formula="U(−a, a), a = √(6/n_in)",
    source="He et al. 2015, Delving deep into rectifiers",
    help="kaiming_normal's variance 2/n_in from a uniform distribution.",
    assumes="ReLU",
    variance=lambda n_in, n_out: 2.0 / n_in,
    describe=uniform_entries,
)
def kaiming_uniform(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Entries uniform with variance 2/n_in, (n_in, n_out)."""
    return (torch.rand(n_in, n_out, generator=generator) * 2 - 1) * math.sqrt(6 / n_in)


@init_scheme(
    formula="U(−a, a), a = √(6/(n_in + n_out))",
    source="Glorot & Bengio 2010",
    help="The original Glorot scheme: variance 2/(n_in + n_out).",
    assumes="an activation that is close to the identity around 0, such as tanh",
    variance=lambda n_in, n_out: 2.0 / (n_in + n_out),
    describe=uniform_entries,
)
def xavier_uniform(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Entries uniform with variance 2/(n_in + n_out), (n_in, n_out)."""
    return (torch.rand(n_in, n_out, generator=generator) * 2 - 1) * math.sqrt(6 / (n_in + n_out))


def uniform_bias(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Biases uniform with variance 1/(3 n_in), (n_out,)."""
    return (torch.rand(n_out, generator=generator) * 2 - 1) * math.sqrt(1 / n_in)


@init_scheme(
    formula="U(−a, a), a = √(1/n_in), biases alike",
    source="torch.nn.Linear.reset_parameters (kaiming_uniform_ with a = √5)",
    help="What nn.Linear does by default: variance 1/(3·n_in), too little for any depth; behind "
    "some layers the signal is what the biases give.",
    assumes="nothing: kept for history; the weights shrink the signal by √3 or more a layer",
    variance=lambda n_in, n_out: 1.0 / (3.0 * n_in),
    bias=uniform_bias,
    bias_variance=lambda n_in: 1.0 / (3.0 * n_in),
    describe=uniform_entries,
)
def pytorch_default(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """Entries uniform with variance 1/(3 n_in), (n_in, n_out)."""
    return (torch.rand(n_in, n_out, generator=generator) * 2 - 1) * math.sqrt(1 / n_in)
