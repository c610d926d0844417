"""An equation meets shapes: every axis gets its letter, every letter its size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.engine.foundations.einsum.grammar import (
    ELLIPSIS,
    EinsumError,
    EinsumLimitError,
    Equation,
    Term,
)

__all__ = ["LIMITS", "UNCOMPUTED", "Binding", "EinsumLimits", "bind"]

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EinsumLimits:
    """Bounds, checked before anything is allocated."""

    operands: int = 8
    axes: int = 8
    """Of one operand."""
    letters: int = 24
    """Different ones, axes under an ellipsis included: so many loops the equation stands for."""
    elements: int = 2**20
    """Of one operand, of the result and of every intermediate result."""
    flops: float = 2**31
    """Of the whole computation in its best order, two matrices of 1024 × 1024: tenths of a
    second, in which one step of a run cannot be stopped."""


LIMITS = EinsumLimits()
UNCOMPUTED = EinsumLimits(elements=2**53, flops=math.inf)
"""Of what is explained without being computed: whatever JSON can name exactly."""


@dataclass(frozen=True, slots=True)
class Binding:
    """An equation with the shapes it is applied to.

    A *label* names one loop: a letter, or ``e0``, ``e1``, ... for the axes under the ellipses,
    counted from the left of the widest one.
    """

    equation: Equation
    shapes: tuple[Shape, ...]
    axes: tuple[tuple[str, ...], ...]
    """The label of every axis of every operand."""
    output: tuple[str, ...]
    sizes: dict[str, int]
    """Of every label, in the order of the loops: the output's, then those summed."""

    @property
    def shape(self) -> Shape:
        """Of the result."""
        return tuple(self.sizes[label] for label in self.output)

    @property
    def summed(self) -> tuple[str, ...]:
        """The labels that are not in the output."""
        return tuple(label for label in self.sizes if label not in self.output)

    def stretched(self, operand: int, axis: int) -> bool:
        """Whether this axis has size 1 where its label is longer, and so is broadcast."""
        return self.shapes[operand][axis] == 1 != self.sizes[self.axes[operand][axis]]


def bind(equation: Equation, shapes: Sequence[Shape], limits: EinsumLimits = LIMITS) -> Binding:
    """Give every axis of every operand its label.

    Errors:
        `EinsumError` naming the broken rule: wrong number of operands, a term that does not fit
        its operand, or sizes that disagree.

    >>> from layerscope.engine.foundations.einsum.grammar import parse_equation
    >>> bind(parse_equation("...ij,jk"), [(7, 2, 3), (3, 4)]).sizes
    {'e0': 7, 'i': 2, 'k': 4, 'j': 3}
    """
    shapes = tuple(tuple(shape) for shape in shapes)
    _check_counts(equation, shapes, limits)
    hidden = [_hidden(equation, i, term, shapes[i]) for i, term in enumerate(equation.terms)]
    widest = max(hidden)
    names = tuple(f"e{i}" for i in range(widest))
    axes = tuple(
        _labels(term, names[widest - count :])
        for term, count in zip(equation.terms, hidden, strict=True)
    )
    output = _labels(equation.output, names)
    sizes = _sizes(equation, shapes, axes)
    order = [*output, *(label for label in sizes if label not in output)]
    if len(order) > limits.letters:
        raise EinsumLimitError("different letters", limits.letters, len(order))
    binding = Binding(equation, shapes, axes, output, {label: sizes[label] for label in order})
    if math.prod(binding.shape) > limits.elements:
        raise EinsumLimitError(
            f"elements of the result {binding.shape}", limits.elements, math.prod(binding.shape)
        )
    return binding


def _check_counts(equation: Equation, shapes: tuple[Shape, ...], limits: EinsumLimits) -> None:
    terms = equation.terms
    if not shapes:
        raise EinsumError("no_operand", "no operand is given; expected at least one")
    if len(shapes) > limits.operands:
        raise EinsumLimitError("operands", limits.operands, len(shapes))
    if len(terms) > len(shapes):
        first = terms[len(shapes)]
        raise EinsumError(
            "missing_operand",
            f"the equation has {len(terms)} terms but {_count(len(shapes), 'operand')} given: term "
            f"{equation.term_text(first)!r} at index {first.start} has none",
            position=first.start,
        )
    if len(terms) < len(shapes):
        raise EinsumError(
            "missing_term",
            f"{_count(len(shapes), 'operand')} given but the equation has "
            f"{len(terms)}: operand {len(terms)} of shape {shapes[len(terms)]} has no term",
            position=terms[-1].start,
        )
    for index, shape in enumerate(shapes):
        if any(size < 0 for size in shape):
            raise EinsumError("negative_size", f"operand {index} has shape {shape}; expected ≥ 0")
        if len(shape) > limits.axes:
            raise EinsumLimitError(f"axes of operand {index}", limits.axes, len(shape))
        if math.prod(shape) > limits.elements:
            what = f"elements of operand {index} {shape}"
            raise EinsumLimitError(what, limits.elements, math.prod(shape))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} is" if number == 1 else f"{number} {noun}s are"


def _hidden(equation: Equation, operand: int, term: Term, shape: Shape) -> int:
    """How many axes of the operand its ellipsis covers; 0 without one."""
    named = len(term.letters)
    rest = len(shape) - named
    if rest == 0 or (rest > 0 and term.has_ellipsis):
        return rest
    beside = " beside its ellipsis" if term.has_ellipsis else ""
    advice = "" if rest < 0 else "; an ellipsis '...' would cover the rest"
    raise EinsumError(
        "dimension_count",
        f"term {equation.term_text(term)!r} at index {term.start} names {named} axes{beside} but "
        f"operand {operand} of shape {shape} has {len(shape)}{advice}",
        position=term.start,
    )


def _labels(term: Term, hidden: tuple[str, ...]) -> tuple[str, ...]:
    labels: list[str] = []
    for subscript in term.subscripts:
        labels.extend(hidden if subscript == ELLIPSIS else (subscript,))
    return tuple(labels)


def _sizes(
    equation: Equation, shapes: tuple[Shape, ...], axes: tuple[tuple[str, ...], ...]
) -> dict[str, int]:
    sizes: dict[str, int] = {}
    where: dict[str, str] = {}
    for operand, (shape, labels) in enumerate(zip(shapes, axes, strict=True)):
        first: dict[str, int] = {}
        for axis, (size, label) in enumerate(zip(shape, labels, strict=True)):
            here = f"axis {axis} of operand {operand}"
            if label in first and shape[first[label]] != size:
                raise _unequal(equation, operand, label, shape, first[label], axis)
            first.setdefault(label, axis)
            if sizes.get(label, 1) == 1:
                sizes[label], where[label] = size, here
            elif size not in (1, sizes[label]):
                raise _disagree(
                    equation, operand, label, (sizes[label], where[label]), (size, here)
                )
    return sizes


def _unequal(
    equation: Equation, operand: int, letter: str, shape: Shape, first: int, second: int
) -> EinsumError:
    shown = equation.shown(letter)
    return EinsumError(
        "diagonal_sizes",
        f"'{shown}' stands twice in the term of operand {operand}, for axis {first} of size "
        f"{shape[first]} and axis {second} of size {shape[second]}; a diagonal needs equal sizes, "
        "and here not even 1 is stretched",
        position=_place(equation.terms[operand], letter, last=True),
        letter=shown,
    )


def _disagree(
    equation: Equation, operand: int, label: str, one: tuple[int, str], other: tuple[int, str]
) -> EinsumError:
    term = equation.terms[operand]
    sizes = f"size {one[0]} at {one[1]} but size {other[0]} at {other[1]}"
    if label not in term.letters:
        return EinsumError(
            "ellipsis_sizes",
            f"the ellipses cover {sizes}, aligned from the right; sizes must be equal, or 1",
            position=_place(term, ELLIPSIS),
        )
    shown = equation.shown(label)
    return EinsumError(
        "letter_sizes",
        f"'{shown}' has {sizes}; its sizes must be equal, or 1",
        position=_place(term, label),
        letter=shown,
    )


def _place(term: Term, subscript: str, *, last: bool = False) -> int:
    places = [p for s, p in zip(term.subscripts, term.positions, strict=True) if s == subscript]
    return places[-1 if last else 0]
