"""In which order to contract: two operands at a time, and what each step costs (opt_einsum)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import opt_einsum
from opt_einsum.parser import get_symbol

from layerscope.engine.foundations.einsum.grammar import EinsumLimitError
from layerscope.engine.foundations.einsum.shapes import LIMITS, Binding, EinsumLimits
from layerscope.engine.foundations.record import Record

__all__ = ["Contraction", "Path", "Step", "contraction", "flops_of", "other_orders", "refuse_path"]

Labels = tuple[str, ...]
Path = tuple[tuple[int, ...], ...]

OPTIMAL = 5  # operands; with more, every order is no longer tried out


@dataclass(frozen=True, slots=True)
class Step(Record):
    """One step: the operands it consumes, and the intermediate result it leaves."""

    operands: tuple[str, ...]
    """Names: ``x0``, ``x1``, ... as given, ``v0``, ``v1``, ... left by earlier steps."""
    result: str
    """The name of what it leaves; ``result`` for the last."""
    text: str
    labels: tuple[str, ...]
    """Of the axes of what it leaves."""
    shape: tuple[int, ...]
    summed: tuple[str, ...]
    flops: int | float
    elements: int
    """Of what it leaves."""


@dataclass(frozen=True, slots=True)
class Contraction(Record):
    """The order that was found, against doing everything in one nest of loops."""

    path: tuple[tuple[int, ...], ...]
    """As opt_einsum and torch take it: positions in the list of what is left, results appended."""
    steps: tuple[Step, ...]
    naive_flops: int | float
    """One multiplication for each operand after the first, and one addition if anything is summed,
    at every point of the nest of loops."""
    flops: int | float
    """The same, summed over the steps."""
    largest_intermediate: int
    """Elements of the largest result but the last; 0 for a single step."""
    speedup: float | None
    """Naive by ordered FLOPs; None where there is nothing to compute."""


def flops_of(points: int, operands: int, sums: bool) -> int | float:
    """FLOPs of a nest of loops with that many points; a float where JSON's integers end.

    >>> flops_of(5 * 784 * 10, operands=2, sums=True)
    78400
    """
    flops = points * (operands - 1 + sums)
    return flops if flops < 2**53 else float(flops)


def contraction(binding: Binding, limits: EinsumLimits = LIMITS) -> Contraction:
    """Find the order, and refuse what is too large even in it.

    Errors:
        `EinsumLimitError` for too many FLOPs or elements of an intermediate result.

    >>> from layerscope.engine.foundations.einsum.grammar import parse_equation
    >>> from layerscope.engine.foundations.einsum.shapes import bind
    >>> chain = bind(parse_equation("ij,jk,kl->il"), [(100, 5), (5, 100), (100, 3)])
    >>> [step.text for step in contraction(chain).steps]
    ['v0[j, l] = x1[j, k] · x2[k, l]', 'result[i, l] = x0[i, j] · v0[j, l]']
    """
    terms = [_effective(binding, i) for i in range(len(binding.shapes))]
    path = _path(binding, terms)
    steps = _steps(binding, terms, path, limits)
    flops = sum(step.flops for step in steps)
    points = math.prod(binding.sizes.values())
    naive = flops_of(points, len(binding.shapes), bool(binding.summed))
    return Contraction(
        path=tuple(path),
        steps=tuple(steps),
        naive_flops=naive,
        flops=flops,
        largest_intermediate=max((step.elements for step in steps[:-1]), default=0),
        speedup=naive / flops if flops else None,
    )


def other_orders(binding: Binding, limits: EinsumLimits = LIMITS) -> list[Path]:
    """Every order of three operands that is within the limits; none for other numbers."""
    if len(binding.shapes) != 3:
        return []
    terms = [_effective(binding, i) for i in range(3)]
    orders: list[Path] = []
    for first in ((0, 1), (0, 2), (1, 2)):
        path = [first, (0, 1)]
        with suppress(EinsumLimitError):
            _steps(binding, terms, path, limits)
            orders.append(tuple(path))
    return orders


def refuse_path(binding: Binding, path: Path, limits: EinsumLimits) -> None:
    """Errors: `EinsumLimitError` where this order is not within the limits."""
    _steps(binding, [_effective(binding, i) for i in range(len(binding.shapes))], path, limits)


def _steps(
    binding: Binding, terms: list[Labels], path: Sequence[tuple[int, ...]], limits: EinsumLimits
) -> list[Step]:
    steps: list[Step] = []
    names = [f"x{i}" for i in range(len(terms))]
    for chosen in path:
        inputs = [(names[i], terms[i]) for i in chosen]
        terms = [term for i, term in enumerate(terms) if i not in chosen]
        names = [name for i, name in enumerate(names) if i not in chosen]
        name = f"v{len(steps)}" if names else "result"
        step = _step(binding, inputs, terms, name)
        steps.append(step)
        terms.append(step.labels)
        names.append(name)
        if step.elements > limits.elements:
            what = f"elements of the intermediate result {name} {step.shape}"
            raise EinsumLimitError(what, limits.elements, step.elements)
    flops = sum(step.flops for step in steps)
    if flops > limits.flops:
        raise EinsumLimitError("floating-point operations", int(limits.flops), int(flops))
    return steps


def _effective(binding: Binding, operand: int) -> Labels:
    # What takes part in the products: each label once, stretched axes not at all.
    labels = binding.axes[operand]
    kept = [label for axis, label in enumerate(labels) if not binding.stretched(operand, axis)]
    return tuple(dict.fromkeys(kept))


def _path(binding: Binding, terms: list[Labels]) -> list[tuple[int, ...]]:
    if len(terms) < 3:
        return [tuple(range(len(terms)))]
    symbols = {label: get_symbol(i) for i, label in enumerate(binding.sizes)}
    inputs = ",".join("".join(symbols[label] for label in term) for term in terms)
    output = "".join(symbols[label] for label in binding.output)
    shapes = [tuple(binding.sizes[label] for label in term) for term in terms]
    optimize = "optimal" if len(terms) <= OPTIMAL else "auto"
    path, _ = opt_einsum.contract_path(
        f"{inputs}->{output}", *shapes, shapes=True, optimize=optimize
    )
    return [tuple(sorted(step)) for step in path]


def _step(
    binding: Binding,
    inputs: list[tuple[str, tuple[str, ...]]],
    left: list[Labels],
    name: str,
) -> Step:
    present = list(dict.fromkeys(label for _, term in inputs for label in term))
    needed = {*binding.output, *(label for term in left for label in term)}
    labels = tuple(label for label in present if label in needed) if left else binding.output
    summed = tuple(label for label in present if label not in needed)
    points = math.prod(binding.sizes[label] for label in present)
    shape = tuple(binding.sizes[label] for label in labels)
    product = " · ".join(_indexed(operand, term) for operand, term in inputs)
    return Step(
        operands=tuple(operand for operand, _ in inputs),
        result=name,
        text=f"{_indexed(name, labels)} = {product}",
        labels=labels,
        shape=shape,
        summed=summed,
        flops=flops_of(points, len(inputs), bool(summed)),
        elements=math.prod(shape),
    )


def _indexed(name: str, labels: tuple[str, ...]) -> str:
    return f"{name}[{', '.join(labels)}]" if labels else name
