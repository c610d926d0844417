"""Why a whole tensor is zero: the operation that left nothing of what was there."""

from __future__ import annotations

import torch
from torch import Tensor

from layerscope.engine.execution.provenance.follow import BY_ONE, CASTS, Follow, is_view
from layerscope.engine.execution.provenance.origin import Origin
from layerscope.engine.execution.provenance.tape import Index, Step, Tape, index_of
from layerscope.engine.execution.provenance.words import figure

__all__ = ["vanished"]

FROM_BELOW = frozenset({"relu", "clamp_min", "clamp", "threshold", "hardtanh"})
"""Operations that leave nothing of what is too small: the largest operand came nearest."""


PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm"})
MOST_OPERATIONS = 1 << 28  # of a product of matrices that is computed again in float64


def vanished(tape: Tape, follow: Follow, tensor: Tensor) -> Origin:
    """The operation that made all of ``tensor`` zero, told by the entry that came nearest to not
    being so; ``every`` is the number of entries."""
    seen: set[int] = set()
    while True:
        count: int | None = tensor.numel()
        step = tape.step(tensor)
        if step is None or follow.named(tensor) or id(step) in seen:
            entry = (0,) * tensor.dim()
            return Origin(
                "given", entry, (follow.operand(tensor, entry),), 0.0, made_here=False, every=count
            )
        seen.add(id(step))
        before = _before(step, follow)
        if before is not None:
            tensor = before
            continue
        if is_view(step) and step.name not in CASTS:  # it shows the zeros of a tensor with others
            return follow.entry(tensor, (0,) * tensor.dim())
        nearest = _nearest(step)
        entry = nearest or _largest_factors(step)
        count = None if nearest is None else count
        made = follow.made(step, entry, follow.places(step, entry))
        return Origin(
            made.operation, made.entry, made.operands, made.result, made.exact, made.terms,
            made.factors, because=_condition(tape, follow, step, entry), every=count,
            before=made.before,
        )  # fmt: skip


def _before(step: Step, follow: Follow) -> Tensor | None:
    """The operand that was all zero already, and by which the output is."""
    tensors = [t for t in step.tensors if t.is_floating_point()]
    empty = [t for t in tensors if _empty(t)]
    if is_view(step) or len(empty) == len(tensors):
        candidates = empty
    elif step.name == "div":
        candidates = empty if any(t is tensors[0] for t in empty) else []
    elif step.name in BY_ONE:
        candidates = empty
    elif step.name in ("addmm", "baddbmm") and _empty(tensors[0]):
        candidates = [t for t in tensors[1:] if _empty(t)]
    else:
        candidates = []
    computed = [t for t in candidates if not follow.named(t)]
    return next(iter(computed or candidates), None)


def _empty(tensor: Tensor) -> bool:
    return tensor.numel() > 0 and not bool(torch.count_nonzero(tensor))


def _largest_factors(step: Step) -> Index:
    """The entry at which the longest row meets the longest column of a product of matrices."""
    *_, a, b = step.tensors
    place = (a.norm(dim=-1)[..., :, None] * b.norm(dim=-2)[..., None, :]).argmax()
    return index_of(place, step.output.shape)


def _nearest(step: Step) -> Index | None:
    """The entry at which the output came nearest to not being zero; None where that is too much."""
    if step.name in PRODUCTS and step.tensors[-1].numel() * step.output.shape[-2] > MOST_OPERATIONS:
        return None
    exact = _in_float64(step)
    if exact is None or _empty(exact):
        operand = next((t for t in step.tensors if t.is_floating_point()), step.output)
        shown = operand if operand.shape == step.output.shape else step.output
        exact = shown.double() if step.name in FROM_BELOW else shown.double().abs()
    else:
        exact = exact.abs()
    return index_of(exact.argmax(), exact.shape)


def _in_float64(step: Step) -> Tensor | None:
    """The whole operation on the same numbers in float64."""

    def wide(argument: object) -> object:
        if isinstance(argument, Tensor) and argument.is_floating_point():
            return argument.double()
        return argument

    if step.name in CASTS:
        return step.tensors[0].double()
    try:
        made = step.function(*map(wide, step.inputs), **step.arguments)
    except (RuntimeError, TypeError, NotImplementedError, AssertionError):
        return None
    same = isinstance(made, Tensor) and made.shape == step.output.shape
    return made.double() if same else None


COMPARISONS = {"le": "≤", "lt": "<", "ge": "≥", "gt": ">", "eq": "=", "ne": "≠"}


def _condition(tape: Tape, follow: Follow, step: Step, entry: Index) -> str | None:
    """What decided which of two numbers an entry is, as a comparison in figures."""
    if step.name not in ("where", "masked_fill"):
        return None
    condition = step.inputs[0] if step.name == "where" else step.inputs[1]
    while True:
        made = tape.step(condition)
        if made is None:
            return None
        if made.name in ("bitwise_or", "logical_or", "bitwise_and", "logical_and"):
            truth = bool(condition[entry])
            condition = next(t for t in made.tensors if bool(t[entry]) == truth)
            continue
        sign = COMPARISONS.get(made.name)
        places = follow.places(made, entry)
        if sign is None or not places:
            return None
        numbers = [float(t[place]) for t, place in places]
        numbers += [float(a) for a in made.inputs if isinstance(a, int | float)]
        if len(numbers) != 2:
            return None
        holds = "" if bool(condition[entry]) else "not "
        return f"{holds}{figure(numbers[0])} {sign} {figure(numbers[1])}"
