"""What the entries of a weight are meant to be distributed as, before the init scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Atom", "Density", "Describe", "Distribution", "normal_density", "normal_entries",
    "uniform_entries",
]  # fmt: skip

Density = Callable[[Tensor], Tensor]


class Atom(NamedTuple):
    """One exact value that many weights have."""

    value: float
    share: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of one entry of a weight."""

    text: str
    """In the field's notation: ``N(0, 0.141²)``."""
    std: float | None
    """The root of the intended variance; None where the data decides or there is none."""
    density: Density | None = None
    """At float64 values; its integral is 1 less the atoms' shares. None where all are atoms, or
    where none is stated."""
    atoms: tuple[Atom, ...] = ()


Describe = Callable[[int, int, float], Distribution]
"""``(n_in, n_out, std)``, the last the root of the scheme's variance, 0 where it has none."""


def normal_entries(_in: int, _out: int, std: float) -> Distribution:
    """Independent N(0, std²)."""
    return Distribution(f"N(0, {std:.3g}²)", std, normal_density(std))


def normal_density(std: float) -> Density:
    """That of N(0, std²)."""

    def density(w: Tensor) -> Tensor:
        return torch.exp(-0.5 * (w / std) ** 2) / (std * math.sqrt(2 * math.pi))

    return density


def uniform_entries(_in: int, _out: int, std: float) -> Distribution:
    """Independent and uniform about 0."""
    bound = std * math.sqrt(3)

    def density(w: Tensor) -> Tensor:
        return (w.abs() <= bound).double() / (2 * bound)

    return Distribution(f"U(−{bound:.3g}, {bound:.3g})", std, density)
