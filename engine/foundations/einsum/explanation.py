"""Einstein summation explained: which letter is summed, kept or batched, and what it costs.

    explain("ik,kj->ij", [(5, 784), (784, 10)])   everything that can be said without numbers
    run("ik,kj->ij", [(5, 784), (784, 10)])       the numbers, and how long they take

Equations are read by `…einsum.grammar`, never evaluated; everything is bounded
before it is allocated. An explanation allocates nothing of the operands' size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never, stop_if
from layerscope.engine.basis.cores import on_cores
from layerscope.engine.foundations.einsum.examples import EXAMPLES, NOTES_RULES, Example
from layerscope.engine.foundations.einsum.form import equal_form
from layerscope.engine.foundations.einsum.grammar import (
    RULES,
    EinsumError,
    EinsumLimitError,
    Equation,
)
from layerscope.engine.foundations.einsum.letters import (
    Axis,
    Letter,
    OperandAxes,
    letter_of,
    operand_axes,
    result_axes,
)
from layerscope.engine.foundations.einsum.loops import nested_loops
from layerscope.engine.foundations.einsum.path import Contraction, contraction
from layerscope.engine.foundations.einsum.shapes import (
    LIMITS,
    UNCOMPUTED,
    Binding,
    EinsumLimits,
    bind,
)
from layerscope.engine.foundations.einsum.sublist import parse, parse_sublist
from layerscope.engine.foundations.record import Record, shape_text
from layerscope.engine.foundations.tensors.display import MAX_CELLS, TensorDisplay, display_tensor

__all__ = [
    "EXAMPLES", "LIMITS", "NOTES_RULES", "RULES", "Axis", "EinsumError", "EinsumExplanation",
    "EinsumLimitError", "EinsumLimits", "EinsumRun", "Example", "Letter", "OperandAxes", "einsum",
    "explain", "parse", "parse_sublist", "run",
]  # fmt: skip

Shape = tuple[int, ...]

TIME = 0.05  # s, for repeating one computation
SAMPLES = 25
ROUNDING = 1e-5  # of float32 sums in two orders, relative to the sum of the terms' magnitudes


@dataclass(frozen=True, slots=True)
class EinsumExplanation(Record):
    """Everything there is to say of an equation and its shapes."""

    equation: str
    """As typed."""
    canonical: str
    """With the output written out; the sublist form as letters."""
    explicit: bool
    sublist: bool
    operands: tuple[OperandAxes, ...]
    result: OperandAxes
    letters: tuple[Letter, ...]
    """In the order of the loops: the output's, then those summed."""
    summed: tuple[str, ...]
    kept: tuple[str, ...]
    batched: tuple[str, ...]
    diagonal: tuple[str, ...]
    stretched: tuple[str, ...]
    shape: Shape
    elements: int
    """Of the result."""
    points: int | float
    """Of the nest of loops."""
    loops: str
    """Python that computes the same, one number at a time, in terms of ``x0``, ``x1``, ..."""
    contraction: Contraction
    torch_code: str
    form: str | None
    """The same by other operators; None where it was not verified."""
    form_note: str


@dataclass(frozen=True, slots=True)
class EinsumRun(Record):
    """The numbers, for operands drawn from the standard normal distribution."""

    seed: int
    operands: tuple[TensorDisplay | None, ...]
    """Cell by cell; None where there are too many to be looked at."""
    result: TensorDisplay | None
    shape: Shape
    elements: int
    max_shown: int
    equal: bool
    """The form without einsum gives torch's result, within float32 rounding."""
    max_difference: float
    """Largest between the two."""
    seconds: float
    """Median time of ``torch.einsum``, on one core."""
    form_seconds: float
    """Median time of the form without einsum."""
    samples: int


def explain(
    equation: str | Equation, shapes: Sequence[Shape], *, limits: EinsumLimits = UNCOMPUTED
) -> EinsumExplanation:
    """What an equation means for operands of these shapes, far beyond what could be computed.

    Args:
        equation: letters, or the sublist form as text, or already parsed.
        shapes: of the operands, in order.

    Errors:
        `EinsumError` naming the broken rule, `EinsumLimitError` what is too large and by how much.

    >>> batched = explain("bij,bjk->bik", [(3, 2, 5), (3, 5, 4)])
    >>> batched.summed, batched.kept, batched.batched, batched.shape, batched.form
    (('j',), ('i', 'k'), ('b',), (3, 2, 4), 'x0 @ x1')
    >>> explain("ij,jk->ik", [(2, 3), (4, 5)])
    Traceback (most recent call last):
        ...
    layerscope.engine.foundations.einsum.grammar.EinsumError: 'j' has size 3 at axis 1 of operand \
0 but size 4 at axis 0 of operand 1; its sizes must be equal, or 1
    """
    binding = _bound(equation, shapes, limits)
    order = contraction(binding, limits)
    letters = tuple(letter_of(binding, label) for label in binding.sizes)
    points = math.prod(binding.sizes.values())
    form = equal_form(binding, order)
    same = form.verified()
    return EinsumExplanation(
        equation=binding.equation.text,
        canonical=binding.equation.canonical,
        explicit=binding.equation.explicit,
        sublist=binding.equation.sublist,
        operands=tuple(operand_axes(binding, letters, i) for i in range(len(binding.shapes))),
        result=result_axes(binding, letters),
        letters=letters,
        summed=tuple(letter.label for letter in letters if letter.role == "summed"),
        kept=tuple(letter.label for letter in letters if letter.role == "kept"),
        batched=tuple(letter.label for letter in letters if letter.role == "batched"),
        diagonal=tuple(letter.label for letter in letters if letter.diagonal_in),
        stretched=tuple(letter.label for letter in letters if letter.stretched_in),
        shape=binding.shape,
        elements=math.prod(binding.shape),
        points=points if points < 2**53 else float(points),
        loops=nested_loops(binding),
        contraction=order,
        torch_code=_torch_code(binding.equation),
        form=form.text if same is not None else None,
        form_note=_note(binding, same),
    )


def einsum(equation: str, *operands: Tensor, limits: EinsumLimits = LIMITS) -> Tensor:
    """Einstein summation by this module's own parser and form, without ``torch.einsum``.

    Errors: as `explain`.

    >>> einsum("ii->i", torch.tensor([[1.0, 2], [3, 4]]))
    tensor([1., 4.])
    """
    binding = _bound(equation, [tuple(operand.shape) for operand in operands], limits)
    return equal_form(binding, contraction(binding, limits)).value(operands)


def run(
    equation: str | Equation,
    shapes: Sequence[Shape],
    *,
    seed: int = 0,
    limits: EinsumLimits = LIMITS,
    should_stop: ShouldStop = never,
) -> EinsumRun:
    """Compute it on standard normal float32 operands fixed by ``seed``, by torch and by the form.

    Errors: as `explain`; `Stopped` within one computation of when ``should_stop()`` turns true.

    >>> done = run("ij->ji", [(2, 3)])
    >>> done.shape, done.equal, done.max_difference
    ((3, 2), True, 0.0)
    """
    binding = _bound(equation, shapes, limits)
    form = equal_form(binding, contraction(binding, limits))
    stop_if(should_stop)
    generator = torch.Generator().manual_seed(seed)
    operands = [torch.randn(shape, generator=generator) for shape in binding.shapes]
    canonical = binding.equation.canonical
    expected = torch.einsum(canonical, *operands)
    stop_if(should_stop)
    ours = form.value(operands)
    difference = float((ours - expected).abs().max()) if expected.numel() else 0.0
    stop_if(should_stop)
    # The terms' magnitudes, not their sum, which may cancel, decide how much is rounded away.
    terms = torch.einsum(canonical, *(operand.abs() for operand in operands))
    magnitude = float(terms.max()) if terms.numel() else 0.0
    seconds, samples = _median_seconds(lambda: torch.einsum(canonical, *operands), should_stop)
    form_seconds, _ = _median_seconds(lambda: form.value(operands), should_stop)
    return EinsumRun(
        seed=seed,
        operands=tuple(map(_view, operands)),
        result=_view(expected),
        shape=tuple(expected.shape),
        elements=expected.numel(),
        max_shown=MAX_CELLS,
        equal=difference <= ROUNDING * magnitude,
        max_difference=difference,
        seconds=seconds,
        form_seconds=form_seconds,
        samples=samples,
    )


def _bound(equation: str | Equation, shapes: Sequence[Shape], limits: EinsumLimits) -> Binding:
    if len(shapes) > limits.operands:
        raise EinsumLimitError("operands", limits.operands, len(shapes))
    parsed = parse(equation, len(shapes)) if isinstance(equation, str) else equation
    return bind(parsed, shapes, limits)


def _note(binding: Binding, verified: Sequence[Shape] | None) -> str:
    if verified is None:
        return "no equal form: the one that was built did not give the same"
    where = "these shapes"
    if tuple(verified) != binding.shapes:
        where = f"small shapes, {', '.join(map(shape_text, verified))}"
    return f"verified: gives exactly the same on whole numbers of {where}"


def _torch_code(equation: Equation) -> str:
    names = [f"x{i}" for i in range(len(equation.terms))]
    if not equation.sublist:
        return f"torch.einsum({equation.text.strip()!r}, {', '.join(names)})"
    parts = [f"{n}, {equation.term_text(t)}" for n, t in zip(names, equation.terms, strict=True)]
    output = [equation.term_text(equation.output)] if equation.explicit else []
    return f"torch.einsum({', '.join([*parts, *output])})"


def _view(tensor: Tensor) -> TensorDisplay | None:
    return display_tensor(tensor) if tensor.numel() <= MAX_CELLS else None


def _median_seconds(compute: Callable[[], Tensor], should_stop: ShouldStop) -> tuple[float, int]:
    samples: list[float] = []
    spent = 0.0
    while len(samples) < SAMPLES and spent < TIME:
        stop_if(should_stop)
        with on_cores(1):  # as in the matmul race: no thread waits for a core that is busy
            started = perf_counter()
            compute()
            samples.append(perf_counter() - started)
        spent += samples[-1]
    return float(np.median(samples)), len(samples)
