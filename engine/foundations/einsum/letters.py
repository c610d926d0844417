"""Letter by letter and axis by axis: what an equation does with each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from layerscope.engine.foundations.einsum.grammar import ELLIPSIS
from layerscope.engine.foundations.einsum.shapes import Binding
from layerscope.engine.foundations.record import Record

__all__ = [
    "Axis", "Letter", "OperandAxes", "Role", "letter_of", "operand_axes", "result_axes",
]  # fmt: skip

Role = Literal["summed", "kept", "batched"]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axis(Record):
    """One axis of one operand, or of the result."""

    axis: int
    size: int
    label: str
    """The loop that runs along it: its letter, or ``e0``, ``e1``, ... under an ellipsis."""
    subscript: str
    """As it was typed: a letter, a number of the sublist form, or ``...``."""
    index: int
    """Of the label among all `EinsumExplanation.letters`; what a page colours it by."""
    role: Role
    diagonal: bool
    """The letter stands more than once in this term."""
    stretched: bool
    """Size 1 where the letter is longer elsewhere: broadcast."""


@dataclass(frozen=True, slots=True)
class OperandAxes(Record):
    """One operand, or the result, axis by axis."""

    name: str
    term: str
    shape: Shape
    axes: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Letter(Record):
    """One letter, which is one loop."""

    label: str
    subscript: str
    index: int
    size: int
    role: Role
    """``summed``: not in the output. ``kept``: in the output and in one operand. ``batched``: in
    the output and in several operands, which are matched along it without being summed."""
    operands: tuple[int, ...]
    diagonal_in: tuple[int, ...]
    """Operands of which it takes a diagonal."""
    stretched_in: tuple[int, ...]
    """Operands that are broadcast along it."""
    ellipsis: bool
    sentence: str


def letter_of(binding: Binding, label: str) -> Letter:
    """What one label does: where it stands, and what becomes of it."""
    operands = tuple(i for i, labels in enumerate(binding.axes) if label in labels)
    role: Role = "batched" if len(operands) > 1 else "kept"
    role = role if label in binding.output else "summed"
    ellipsis = label not in {x for term in binding.equation.terms for x in term.letters}
    diagonal = tuple(i for i in operands if binding.axes[i].count(label) > 1)
    stretched = tuple(i for i in operands if binding.stretched(i, binding.axes[i].index(label)))
    name = f"{ELLIPSIS} ({label})" if ellipsis else binding.equation.shown(label)
    return Letter(
        label=label,
        subscript=ELLIPSIS if ellipsis else binding.equation.shown(label),
        index=list(binding.sizes).index(label),
        size=binding.sizes[label],
        role=role,
        operands=operands,
        diagonal_in=diagonal,
        stretched_in=stretched,
        ellipsis=ellipsis,
        sentence=_sentence(name, role, operands, diagonal, stretched),
    )


def _sentence(
    name: str,
    role: Role,
    operands: tuple[int, ...],
    diagonal: tuple[int, ...],
    stretched: tuple[int, ...],
) -> str:
    where = _operands(operands)
    said = {
        "summed": f"{name} is summed: it is in {where} and not in the output",
        "kept": f"{name} is kept: {where} brings it into the output",
        "batched": f"{name} is batched: it pairs up {where} and stays in the output",
    }[role]
    if diagonal:
        said += f"; repeated within one term, it walks the diagonal of {_operands(diagonal)}"
    if stretched:
        said += f"; {_operands(stretched)}, of size 1 there, is used again for each of its values"
    return f"{said}."


def _operands(indices: tuple[int, ...]) -> str:
    names = [f"x{i}" for i in indices]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def operand_axes(binding: Binding, letters: tuple[Letter, ...], index: int) -> OperandAxes:
    """One operand, axis by axis."""
    labels = binding.axes[index]
    by_label = {letter.label: letter for letter in letters}
    axes = tuple(
        _axis(by_label[label], axis, size, labels.count(label) > 1, binding.stretched(index, axis))
        for axis, (label, size) in enumerate(zip(labels, binding.shapes[index], strict=True))
    )
    term = binding.equation.term_text(binding.equation.terms[index])
    return OperandAxes(f"x{index}", term, binding.shapes[index], axes)


def result_axes(binding: Binding, letters: tuple[Letter, ...]) -> OperandAxes:
    """The result, axis by axis; its letters come first of all."""
    shape = binding.shape
    axes = tuple(
        _axis(letter, axis, size, diagonal=False, stretched=False)
        for axis, (letter, size) in enumerate(zip(letters, shape, strict=False))
    )
    return OperandAxes("result", binding.equation.term_text(binding.equation.output), shape, axes)


def _axis(letter: Letter, axis: int, size: int, diagonal: bool, stretched: bool) -> Axis:
    return Axis(
        axis=axis,
        size=size,
        label=letter.label,
        subscript=letter.subscript,
        index=letter.index,
        role=letter.role,
        diagonal=diagonal,
        stretched=stretched,
    )
