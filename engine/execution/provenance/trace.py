"""Runs a function once more, on tape, and asks where a number of its result came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from layerscope.engine.execution.provenance.follow import Follow
from layerscope.engine.execution.provenance.origin import Origin
from layerscope.engine.execution.provenance.tape import Index, Tape
from layerscope.engine.execution.provenance.vanishing import vanished

__all__ = ["Trace", "origin", "vanishing"]


class Trace:
    """A function's result and what is known of how it came to be; run once, without gradients."""

    def __init__(self, function: Callable[[], Tensor], names: Mapping[str, Tensor]) -> None:
        self._tape = Tape()
        with torch.no_grad(), self._tape:
            self.result = function()
        self._follow = Follow(self._tape, {id(t): name for name, t in names.items()})

    def entry(self, entry: Index) -> Origin:
        """The operation that made one entry of the result.

        Errors: ``IndexError`` where the result has no such entry.
        """
        shape = tuple(self.result.shape)
        inside = [0 <= i < n for i, n in zip(entry, shape, strict=False)]
        if len(entry) != len(shape) or not all(inside):
            raise IndexError(f"entry {entry}: the result has shape {shape}")
        return self._follow.entry(self.result, entry)

    def zeros(self) -> Origin:
        """The operation that made all of the result zero.

        Errors: ``ValueError`` where it is not.
        """
        left = int(torch.count_nonzero(self.result))
        if left:
            raise ValueError(f"{left} of {self.result.numel()} entries are not zero")
        return vanished(self._tape, self._follow, self.result)


def origin(
    function: Callable[[], Tensor], entry: Index, names: Mapping[str, Tensor] | None = None
) -> Origin:
    """The operation in ``function()`` that made the result's entry at ``entry`` what it is.

    Followed back are NaN to NaN, Inf to Inf and zero to zero; a number that is none of these was
    made by the last operation.

    Args:
        function: computes a tensor from tensors that exist; run once, without gradients.
        entry: index into its result.
        names: tensors that ``function`` reads, by the name under which operands are told.

    Errors: ``IndexError`` where the result has no such entry.

    >>> x = torch.tensor([1e30, 1.0])
    >>> found = origin(lambda: (x * x) + 1, (0,), {"x": x})
    >>> found.operation, found.result, [o.name for o in found.operands]
    ('mul', inf, ['x', 'x'])
    """
    return Trace(function, names or {}).entry(entry)


def vanishing(function: Callable[[], Tensor], names: Mapping[str, Tensor] | None = None) -> Origin:
    """The operation that made all of ``function()`` zero, told by the entry that came nearest.

    Errors: ``ValueError`` where the result is not all zero.

    >>> x = torch.tensor([-3.0, -1.0])
    >>> found = vanishing(lambda: x.clamp_min(0) * 2, {"x": x})
    >>> found.operation, found.operands[0].value, found.every
    ('clamp_min', -1.0, 2)
    """
    return Trace(function, names or {}).zeros()
