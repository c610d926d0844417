"""The broadcasting question: two to four shapes, each with an indexing applied first."""

from __future__ import annotations

from layerscope.app.foundations.query import Field, FieldError, Question
from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.tensors.broadcasting import Broadcast, Operand, broadcast
from layerscope.engine.foundations.tensors.indexing import Index, parse_index
from layerscope.engine.foundations.tensors.literals import parse_shape

__all__ = ["BROADCASTING", "NAMES"]

NAMES = "abcd"


def _shape(text: str) -> tuple[int, ...]:
    if not text.strip():
        raise ValueError("nothing typed; expected a shape, such as 3, 1 (a number's is ())")
    return parse_shape(text)


def _optional_shape(text: str) -> tuple[int, ...] | None:
    return _shape(text) if text.strip() else None


def _answer(**given: tuple[int, ...] | Index | None) -> Broadcast:
    operands: list[Operand] = []
    for name in NAMES:
        shape, index = given[name], given[f"{name}_index"]
        assert isinstance(index, Index)  # noqa: S101 - as its reader gives
        if not isinstance(shape, tuple):
            if index.steps:
                raise FieldError(f"{name}_index", f"there is no {name} to be indexed")
            continue
        if len(operands) < NAMES.index(name):
            raise FieldError(
                name, f"{NAMES[len(operands)]} is empty; expected shapes without a gap"
            )
        try:
            broadcast([Operand(shape, index), ()])  # alone, so that a refusal finds its field
        except ShapeError as error:
            raise FieldError(f"{name}_index", str(error)) from None
        except ValueError as error:
            raise FieldError(name, str(error)) from None
        operands.append(Operand(shape, index))
    return broadcast(operands)


def _fields() -> tuple[Field, ...]:
    found = []
    for name, default in zip(NAMES, ("3", "3, 3", "", ""), strict=True):
        required = name in "ab"
        read = _shape if required else _optional_shape
        text = "Sizes separated by commas; () is a number's shape." + (
            "" if required else " Empty: no such operand."
        )
        found.append(Field(name, name, default, read, text))
        found.append(
            Field(
                f"{name}_index", f"{name} indexed by", "", parse_index,
                "Adds axes of size 1: [:, None], [..., None], unsqueeze(1), or several in a row.",
            )
        )  # fmt: skip
    return tuple(found)


BROADCASTING = Question(
    name="broadcasting",
    summary="How shapes are aligned, which axes stretch, which fail",
    help="The alignment axis by axis from the right, the result's shape and strides as torch "
    "reports them, bytes stored and bytes seen; or the axis that fails (`ok` is false) and why.",
    fields=_fields(),
    answer=_answer,
    example={"ok": True, "shape": [3, 3], "failed_axis": None},
)
