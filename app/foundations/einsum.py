"""Einsum: axes coloured by letter, loops, cost, an equal form; or the broken rule, placed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from layerscope.app.forms import Form
from layerscope.app.foundations.step import Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.specification import Specification, Text, parameter
from layerscope.engine.basis.text import number_text, time_text
from layerscope.engine.foundations.einsum.examples import EXAMPLES, NOTES_RULES, NotesRule
from layerscope.engine.foundations.einsum.explanation import EinsumExplanation, EinsumRun, explain
from layerscope.engine.foundations.einsum.explanation import run as einsum_run
from layerscope.engine.foundations.einsum.grammar import MAX_LENGTH, EinsumError, EinsumLimitError
from layerscope.engine.foundations.record import shape_text
from layerscope.engine.foundations.tensors.display import TensorDisplay
from layerscope.engine.foundations.tensors.literals import parse_shape
from layerscope.engine.foundations.tensors.scanner import LiteralError

__all__ = [
    "STEP", "EinsumAnswer", "EinsumForm", "Link", "Numbers", "View", "shapes", "shapes_text",
]  # fmt: skip

OF_SHAPES = frozenset({"no_operand", "missing_term", "negative_size"})
"""Rules that are broken by the shapes alone: their message stands beside those."""
MOST_OPERANDS = 8
MOST_CHARACTERS = 400


@dataclass(frozen=True)
class EinsumAnswer:
    """What the equation means, and what it gave."""

    explanation: EinsumExplanation
    run: EinsumRun | None
    """None where it would be too large."""
    too_large: str | None = None
    """What is, and by how much."""

    def to_dict(self) -> dict[str, Any]:
        return {**self.explanation.to_dict(), "run": self.run, "too_large": self.too_large}


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


Shapes = Annotated[tuple[tuple[int, ...], ...], Text(shapes, MOST_CHARACTERS)]


class EinsumForm(Specification):
    """An equation, and the shapes of its operands."""

    equation: Annotated[str, Text(str, MAX_LENGTH)] = parameter(
        EXAMPLES[0].equation, "Equation",
        "Letters, commas, an arrow and '...', or the sublist form [0, 1], [1, 2], [0, 2]; "
        f"at most {MAX_LENGTH} characters.",
    )  # fmt: skip
    shapes: Shapes = parameter(
        shapes_text(EXAMPLES[0].shapes), "Shapes",
        "Of the operands, in order: (5, 784), (784, 10).",
    )  # fmt: skip
    seed: int = parameter(0, "Seed", "Of the operands' numbers.", ge=0, le=2**53 - 1)


def _answer(asked: EinsumForm, should_stop: ShouldStop) -> EinsumAnswer:
    try:
        explanation = explain(asked.equation, asked.shapes)
    except EinsumError as error:
        beside = "shapes" if error.rule in OF_SHAPES else "equation"
        raise FieldError(beside, str(error)) from error
    try:
        done = einsum_run(asked.equation, asked.shapes, seed=asked.seed, should_stop=should_stop)
    except EinsumLimitError as error:
        return EinsumAnswer(explanation, None, str(error))
    return EinsumAnswer(explanation, done)


HUES = 12  # classes hue-0 … hue-11 of css/foundations-einsum.css
MOST_SHOWN = 150  # cells of a tensor that are written out on the page


@dataclass(frozen=True, slots=True)
class Link:
    """One of the notes' examples."""

    title: str
    equation: str
    query: str
    current: bool


@dataclass(frozen=True, slots=True)
class Numbers:
    """One tensor, written out where it is small."""

    name: str
    shape: str
    view: TensorDisplay | None


@dataclass(frozen=True, slots=True)
class View:
    """What the template draws beside the engine's record."""

    links: Sequence[Link]
    rules: Sequence[NotesRule]
    broken: EinsumError | None = None
    hues: dict[str, int] | None = None
    tensors: Sequence[Numbers] = ()
    time: str = ""
    form_time: str = ""
    points: str = ""
    naive: str = ""
    flops: str = ""
    speedup: str = ""
    difference: str = ""


def _links(form: Form[EinsumForm]) -> list[Link]:
    links = []
    for example in EXAMPLES:
        typed = {"equation": example.equation, "shapes": shapes_text(example.shapes)}
        current = all(form.typed[name] == text for name, text in typed.items())
        links.append(Link(example.title, example.equation, urlencode(typed), current))
    return links


def _refused(form: Form[EinsumForm], error: Exception | None) -> View:
    broken = error.__cause__ if isinstance(error, FieldError) else None
    return View(_links(form), NOTES_RULES, broken if isinstance(broken, EinsumError) else None)


def _view(form: Form[EinsumForm], answer: EinsumAnswer) -> View:
    e = answer.explanation
    explained = View(
        links=_links(form),
        rules=NOTES_RULES,
        hues={letter.label: letter.index % HUES for letter in e.letters},
        points=number_text(e.points),
        naive=number_text(e.contraction.naive_flops),
        flops=number_text(e.contraction.flops),
        speedup=number_text(e.contraction.speedup) if e.contraction.speedup else "",
    )
    return explained if answer.run is None else _computed(explained, e, answer.run)


def _computed(explained: View, e: EinsumExplanation, run: EinsumRun) -> View:
    tensors = [
        (o.name, o.shape, view) for o, view in zip(e.operands, run.operands, strict=True)
    ] + [("result", run.shape, run.result)]
    return replace(
        explained,
        tensors=[
            Numbers(name, shape_text(shape), v if v and v.elements <= MOST_SHOWN else None)
            for name, shape, v in tensors
        ],
        time=time_text(run.seconds),
        form_time=time_text(run.form_seconds),
        difference="0" if run.max_difference == 0 else f"{run.max_difference:.1e}",
    )


STEP = Step(
    name="einsum",
    title="Einsum",
    lead="Any product and sum of tensors in one line: which letters are kept, which are summed.",
    form=EinsumForm,
    answer=_answer,
    picture=_view,
    refused=_refused,
    summary="An einsum equation explained, and computed",
    help="For every axis its letter; for every letter whether it is summed, kept or batched; the "
    "result's shape, the nested loops, FLOPs, the order of contraction, an equal form with "
    "@, *, sum and transpose, and the numbers for standard normal operands, or what is too large "
    "for that. A broken rule is a 422 that names it, its letter and its place.",
    example={"equation": "ik,kj->ij", "canonical": "ik,kj->ij", "summed": ["k"], "shape": [5, 10]},
)
