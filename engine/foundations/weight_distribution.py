"""The distribution that each init scheme means its weights to have, as a density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from layerscope.engine.foundations.tensor_view import Record
from layerscope.engine.initialization import INITS

__all__ = ["Atom", "Intended", "intended"]

Density = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Atom(Record):
    """One exact value that many weights have."""

    value: float
    share: float


@dataclass(frozen=True)
class Intended:
    """What one weight is meant to be distributed as, before the init scale."""

    text: str
    """In the field's notation: ``N(0, 0.141²)``."""
    std: float | None
    """The root of the intended variance; None where the data decides or there is none."""
    density: Density | None
    """At float64 values; its integral is 1 less the atoms' shares. None where all are atoms."""
    atoms: tuple[Atom, ...] = ()


def intended(scheme: str, n_in: int, n_out: int) -> Intended:
    """The intended distribution of one entry of a (n_in, n_out) weight.

    A scheme that is not described here has no more than its variance.

    Errors: ``KeyError`` naming the value and every registered scheme.

    >>> intended("kaiming_normal", 100, 50).text, intended("xavier_uniform", 3, 3).text
    ('N(0, 0.141²)', 'U(−1, 1)')
    """
    variance = INITS[scheme].variance(n_in, n_out)
    std = None if variance is None else math.sqrt(variance)
    describe = _DESCRIBED.get(scheme)
    if describe is not None:
        return describe(n_in, n_out, std or 0.0)
    text = "no distribution stated" if std is None else f"variance {variance:.3g}"
    return Intended(text, std, None)


def _normal(_in: int, _out: int, std: float) -> Intended:
    def density(w: Tensor) -> Tensor:
        return torch.exp(-0.5 * (w / std) ** 2) / (std * math.sqrt(2 * math.pi))

    return Intended(f"N(0, {std:.3g}²)", std, density)


def _uniform(_in: int, _out: int, std: float) -> Intended:
    bound = std * math.sqrt(3)

    def density(w: Tensor) -> Tensor:
        return (w.abs() <= bound).double() / (2 * bound)

    return Intended(f"U(−{bound:.3g}, {bound:.3g})", std, density)


def _truncated(n_in: int, n_out: int, std: float) -> Intended:
    inner = std / 0.87962566103423978  # std of a standard normal truncated at ±2
    whole = _normal(n_in, n_out, inner).density
    kept = math.erf(2 / math.sqrt(2))

    def density(w: Tensor) -> Tensor:
        assert whole is not None  # noqa: S101  a normal has a density
        return whole(w) / kept * (w.abs() <= 2 * inner)

    return Intended(f"N(0, {inner:.3g}²) within ±{2 * inner:.3g}", std, density)


def _orthogonal(n_in: int, n_out: int, std: float) -> Intended:
    # A coordinate of a uniform unit vector in n dimensions: c · (1 − w²)^((n−3)/2) on [−1, 1].
    n = max(n_in, n_out)
    text = f"a coordinate of a random unit vector in {n} dimensions"
    if n == 1:
        return Intended(text, std, None, (Atom(-1.0, 0.5), Atom(1.0, 0.5)))
    log_c = math.lgamma(n / 2) - math.lgamma((n - 1) / 2) - 0.5 * math.log(math.pi)

    def density(w: Tensor) -> Tensor:
        inside = (1 - w**2).clamp_min(1e-300)
        value = torch.exp(log_c + (n - 3) / 2 * torch.log(inside))
        return torch.where(w.abs() < 1, value, torch.zeros_like(w))

    return Intended(text, std, density)


def _lsuv(n_in: int, n_out: int, std: float) -> Intended:  # noqa: ARG001
    found = _orthogonal(n_in, n_out, math.sqrt(1 / max(n_in, n_out)))
    return Intended("orthogonal, at the scale that this batch asks for", None, found.density)


def _sparse(n_in: int, n_out: int, std: float) -> Intended:
    zeros = math.ceil(0.1 * n_in) / n_in
    whole = _normal(n_in, n_out, 0.01).density

    def density(w: Tensor) -> Tensor:
        assert whole is not None  # noqa: S101  a normal has a density
        return whole(w) * (1 - zeros)

    text = f"N(0, 0.01²), {100 * zeros:.3g} % exactly 0"
    return Intended(text, std, density if zeros < 1 else None, (Atom(0.0, zeros),))


def _identity(n_in: int, n_out: int, std: float) -> Intended:  # noqa: ARG001
    ones = 1 / max(n_in, n_out)
    atoms = (Atom(0.0, 1 - ones), Atom(1.0, ones)) if ones < 1 else (Atom(1.0, 1.0),)
    return Intended("1 on the diagonal, else 0", None, None, atoms)


def _zeros(_in: int, _out: int, _std: float) -> Intended:
    return Intended("0", 0.0, None, (Atom(0.0, 1.0),))


def _constant(n_in: int, _out: int, _std: float) -> Intended:
    return Intended(f"{1 / n_in:.3g}", None, None, (Atom(1 / n_in, 1.0),))


_DESCRIBED: dict[str, Callable[[int, int, float], Intended]] = {
    "normal": _normal,
    "kaiming_normal": _normal,
    "xavier_normal": _normal,
    "lecun_normal": _normal,
    "truncated_normal": _truncated,
    "uniform": _uniform,
    "kaiming_uniform": _uniform,
    "xavier_uniform": _uniform,
    "pytorch_default": _uniform,
    "orthogonal": _orthogonal,
    "lsuv": _lsuv,
    "sparse": _sparse,
    "identity": _identity,
    "zeros": _zeros,
    "constant": _constant,
}
