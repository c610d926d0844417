"""The same equation for operands so small that they can be computed."""

from __future__ import annotations

from collections.abc import Iterator

from layerscope.engine.foundations.einsum.grammar import EinsumLimitError
from layerscope.engine.foundations.einsum.path import Path, refuse_path
from layerscope.engine.foundations.einsum.shapes import LIMITS, UNCOMPUTED, Binding, bind

__all__ = ["shrunk"]

SIZES = ((2, 3, 4, 5), (2, 3), (2,))
"""Given to the letters in turn; neighbours differ where there is room, so that no two axes can be
taken for one another."""


def shrunk(binding: Binding, path: Path) -> Binding:
    """Itself where it is within the limits in this order, else with smaller sizes that are.

    Axes of size 1 and 0 stay what they are, and so does what is stretched.

    >>> from layerscope.engine.foundations.einsum.grammar import parse_equation
    >>> from layerscope.engine.foundations.einsum.shapes import UNCOMPUTED
    >>> large = bind(parse_equation("ik,kj->ij"), [(10**6, 1), (10**5, 10**6)], UNCOMPUTED)
    >>> shrunk(large, [(0, 1)]).shapes
    ((2, 1), (4, 3))
    """
    return next(each for each in _smaller(binding) if _computable(each, path))


def _computable(binding: Binding, path: Path) -> bool:
    try:
        bind(binding.equation, binding.shapes, LIMITS)
        refuse_path(binding, path, LIMITS)
    except EinsumLimitError:
        return False
    return True


def _smaller(binding: Binding) -> Iterator[Binding]:
    yield binding
    labels = [label for label, size in binding.sizes.items() if size > 1]
    for turn in SIZES:
        yield _resized(binding, {x: turn[i % len(turn)] for i, x in enumerate(labels)})
    for count in range(len(labels) - 1, -1, -1):  # with none left every size is 1 or 0
        yield _resized(binding, {x: 2 if i < count else 1 for i, x in enumerate(labels)})


def _resized(binding: Binding, sizes: dict[str, int]) -> Binding:
    shapes = [
        tuple(
            1 if size == 1 else min(size, sizes.get(x, size))
            for size, x in zip(shape, of, strict=True)
        )
        for shape, of in zip(binding.shapes, binding.axes, strict=True)
    ]
    return bind(binding.equation, shapes, UNCOMPUTED)
