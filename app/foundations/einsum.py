"""The einsum question: an equation and the shapes of its operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.app.foundations.query import Field, FieldError, Question, whole
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.foundations.einsum.explanation import (
    EXAMPLES,
    EinsumError,
    EinsumExplanation,
    EinsumRun,
    explain,
    run,
)
from layerscope.engine.foundations.einsum.grammar import MAX_LENGTH
from layerscope.engine.foundations.record import shape_text
from layerscope.engine.foundations.tensors.literals import parse_shape
from layerscope.engine.foundations.tensors.scanner import LiteralError

__all__ = ["EINSUM", "EinsumAnswer", "Refusal", "shapes", "shapes_text"]

OF_SHAPES = frozenset({"no_operand", "missing_term", "negative_size"})
"""Rules that are broken by the shapes alone: their message stands beside those."""
MOST_OPERANDS = 8
MOST_CHARACTERS = 400


class Refusal(FieldError):
    """A broken rule of einsum: `FieldError` with the engine's own account of it."""

    def __init__(self, error: EinsumError) -> None:
        beside = "shapes" if error.rule in OF_SHAPES else "equation"
        super().__init__(beside, str(error))
        self.rule = error.rule
        self.position = error.position
        self.sentence = error.to_dict()["sentence"]


@dataclass(frozen=True)
class EinsumAnswer:
    """What the equation means, and what it gave."""

    explanation: EinsumExplanation
    run: EinsumRun

    def to_dict(self) -> dict[str, Any]:
        """As JSON: the explanation's fields, and under ``run`` the numbers."""
        return {**self.explanation.to_dict(), "run": self.run.to_dict()}


def shapes(text: str) -> tuple[tuple[int, ...], ...]:
    """Shapes one after the other: each in brackets, or separated by semicolons.

    Errors: ``ValueError`` (`LiteralError`) naming the shape and what was expected.

    >>> shapes("(5, 784), (784, 10)"), shapes("3; 2"), shapes("()")
    (((5, 784), (784, 10)), ((3,), (2,)), ((),))
    """
    parts = _bracketed(text) if any(c in text for c in "()[]") else text.split(";")
    if len(parts) > MOST_OPERANDS:
        raise ValueError(f"{len(parts)} shapes; expected at most {MOST_OPERANDS}")
    found = []
    for number, part in enumerate(parts):
        try:
            found.append(parse_shape(part))
        except LiteralError as error:
            shown = part.strip() if len(part) <= 40 else f"{part[:40]}…"
            raise ValueError(
                f"shape {number}, {shown!r}: found {error.found}, expected {error.expected}"
            ) from None
    return tuple(found)


def _bracketed(text: str) -> list[str]:
    parts: list[str] = []
    rest = text.strip()
    while rest:
        close = {"(": ")", "[": "]"}.get(rest[0])
        end = rest.find(close) if close else -1
        if end < 0:
            raise ValueError(
                f"{rest[:20]!r} is no shape; expected each in brackets, such as (2, 3), (3, 4)"
            )
        parts.append(rest[: end + 1])
        rest = rest[end + 1 :].strip()
        if rest[:1] in (",", ";") and rest[1:].strip():
            rest = rest[1:].strip()
    return parts


def shapes_text(given: Sequence[tuple[int, ...]]) -> str:
    """Shapes as they are typed.

    >>> shapes_text([(2, 3), (3,)])
    '(2, 3), (3,)'
    """
    return ", ".join(map(shape_text, given))


def _equation(text: str) -> str:
    return text


def _answer(
    equation: str, shapes: tuple[tuple[int, ...], ...], seed: int, should_stop: ShouldStop = never
) -> EinsumAnswer:
    try:
        done = run(equation, shapes, seed=seed, should_stop=should_stop)
        return EinsumAnswer(explain(equation, shapes), done)
    except EinsumError as error:
        raise Refusal(error) from None


_FIRST = EXAMPLES[0]

EINSUM = Question(
    name="einsum",
    summary="An einsum equation explained, and computed",
    help="For every axis its letter; for every letter whether it is summed, kept or batched; the "
    "result's shape, the nested loops, FLOPs, the order of contraction, an equal form with "
    "@, *, sum and transpose, and the numbers for standard normal operands. A broken rule is a "
    "422 that names it, its letter and its place.",
    fields=(
        Field(
            "equation", "Equation", _FIRST.equation, _equation,
            "Letters, commas, an arrow and '...', or the sublist form [0, 1], [1, 2], [0, 2]; "
            f"at most {MAX_LENGTH} characters.",
            longest=MAX_LENGTH,
        ),
        Field(
            "shapes", "Shapes", shapes_text(_FIRST.shapes), shapes,
            "Of the operands, in order: (5, 784), (784, 10).", longest=MOST_CHARACTERS,
        ),
        Field("seed", "Seed", "0", whole(0, 2**53 - 1), "Of the operands' numbers."),
    ),
    answer=_answer,
    stoppable=True,
    example={"equation": "ik,kj->ij", "canonical": "ik,kj->ij", "summed": ["k"], "shape": [5, 10]},
)  # fmt: skip
