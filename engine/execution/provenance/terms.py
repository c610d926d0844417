"""Sums: their terms, and those without which they would not have become what they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.execution.provenance.tape import Index, Step, index_of

__all__ = ["Terms", "deciding", "terms_of"]

Place = tuple[Tensor, Index]


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a sum: numbers that stand alone, then products of two, by flat index."""

    alone: list[tuple[Tensor, Tensor]]
    pairs: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def figures(self) -> Tensor:
        """Every term in float64, (terms,)."""
        values = [_at(*part) for part in self.alone]
        if self.pairs is not None:
            values.append(_at(*self.pairs[0]) * _at(*self.pairs[1]))
        return torch.cat(values)

    def factors(self, k: int) -> list[Place]:
        """The entries that the term with index ``k`` is the product of."""
        for tensor, places in self.alone:
            if k < len(places):
                return [(tensor, index_of(places[k], tensor.shape))]
            k -= len(places)
        return [(t, index_of(places[k], t.shape)) for t, places in self.pairs or ()]


def terms_of(step: Step, entry: Index) -> Terms:
    """The terms of one entry of a sum, a mean or a product of matrices."""
    tensors = step.tensors
    if step.name in ("sum", "mean"):
        x = tensors[0]
        axes = _axes(step, x.dim())
        if step.output.dim() < x.dim():  # the axes that were summed are gone
            kept = iter(entry)
            entry = tuple(0 if a in axes else next(kept) for a in range(x.dim()))
        chosen: Any = tuple(slice(None) if a in axes else i for a, i in enumerate(entry))
        return Terms([(x, _places(x)[chosen].reshape(-1))])
    *added, a, b = tensors
    *batch, row, column = entry
    alone = [(t, _places(t)[_within(t, entry)].reshape(1)) for t in added]
    across: Any = (*batch, slice(None), column)
    left, right = _places(a)[(*batch, row)], _places(b)[across]
    return Terms(alone, ((a, left), (b, right)))


def deciding(figures: Tensor, value: float) -> list[int]:
    """Indices of at most two terms: those that are not finite, or else those that are largest."""
    invalid = torch.nonzero(figures.isnan()).flatten().tolist()
    if invalid:
        return invalid[:1]
    rising = torch.nonzero(figures == math.inf).flatten().tolist()
    falling = torch.nonzero(figures == -math.inf).flatten().tolist()
    if rising or falling:
        if not math.isnan(value):
            return rising[:1] or falling[:1]
        # Where one side alone is infinite, finite terms have added up to the other.
        finite = figures.nan_to_num(0.0, 0.0, 0.0)
        return (rising[:1] or [int(finite.argmax())]) + (falling[:1] or [int(finite.argmin())])
    if not len(figures):
        return []
    if math.isnan(value):  # Inf − Inf of partial sums: the largest either way
        ends = {int(figures.argmax()), int(figures.argmin())}
        return sorted(ends, key=lambda k: -abs(float(figures[k])))
    return [int(figures.abs().argmax())]


def _at(tensor: Tensor, places: Tensor) -> Tensor:
    return tensor.detach().reshape(-1)[places].double()


def _places(tensor: Tensor) -> Tensor:
    return torch.arange(tensor.numel(), device=tensor.device).view(tensor.shape)


def _within(tensor: Tensor, entry: Index) -> Index:
    inner = entry[len(entry) - tensor.dim() :]
    return tuple(0 if n == 1 else i for i, n in zip(inner, tensor.shape, strict=True))


def _axes(step: Step, dim: int) -> set[int]:
    asked = step.inputs[1] if len(step.inputs) > 1 else step.arguments.get("dim")
    if asked is None or asked == []:
        return set(range(dim))
    return {a % dim for a in ([asked] if isinstance(asked, int) else asked)}
