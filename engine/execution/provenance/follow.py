"""Goes back through a tape: from an entry of a result to the operation that made it what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from layerscope.engine.execution.provenance.origin import Operand, Origin
from layerscope.engine.execution.provenance.tape import Index, Step, Tape, index_of
from layerscope.engine.execution.provenance.terms import deciding, terms_of

__all__ = ["BY_ONE", "CASTS", "Follow", "is_view", "number", "within"]

Place = tuple[Tensor, Index]

COPIES = frozenset({"clone", "detach", "alias", "contiguous", "lift_fresh", "_to_copy", "to",
                    "convert_element_type"})  # fmt: skip
CASTS = frozenset({"_to_copy", "to", "convert_element_type"})
"""Copies that may change the number format, and with it the number."""
MOVES = frozenset({"gather", "index_select", "index", "cat", "stack", "repeat", "flip", "roll",
                   "constant_pad_nd", "take", "embedding", "take_along_dim"})  # fmt: skip
"""Operations whose entries are entries of an input, elsewhere."""
CHOICES = frozenset({"amax", "amin", "max", "min"})
"""Operations that choose one entry along an axis."""
SPREADS = frozenset({"var", "std", "linalg_vector_norm"})
"""Operations on all entries along an axis, told by the one farthest from zero."""
BY_ONE = frozenset({"mul", "div", "mm", "bmm"})
"""Operations whose result is zero because one of their operands is."""


def number(tensor: Tensor, entry: Index) -> float:
    """An entry as a float."""
    return float(tensor.detach()[entry])


class _Sum(NamedTuple):
    """One entry of a sum: its terms in float64, and of those that decide the entries behind
    them."""

    figures: Tensor
    factors: list[list[Place]]


class Follow:
    """Knows a tape and the names of tensors that were there before."""

    def __init__(self, tape: Tape, names: Mapping[int, str]) -> None:
        self._tape, self._names = tape, names
        self._sums: dict[tuple[int, Index], _Sum] = {}
        """By the operation's id, which the tape keeps, and the entry."""

    def entry(self, tensor: Tensor, entry: Index) -> Origin:
        """The operation that made ``tensor``'s entry: NaN followed to NaN, Inf to Inf, 0 to 0."""
        seen: set[int] = set()
        while True:
            step, value = self._tape.step(tensor), number(tensor, entry)
            if step is None or self.named(tensor) or id(step) in seen:
                operand = self.operand(tensor, entry)
                return Origin("given", entry, (operand,), value, made_here=False)
            seen.add(id(step))
            places = self.places(step, entry)
            before = None if places is None else self._before(step, value, places)
            if before is None:
                return self.made(step, entry, places)
            tensor, entry = before

    def named(self, tensor: Tensor) -> bool:
        """Whether it is one that the caller named."""
        return id(tensor) in self._names

    def places(self, step: Step, entry: Index) -> list[Place] | None:
        """The operands' entries that an entry of the output depends on; None where unknown.

        Of a sum only those of the terms that decide.
        """
        if is_view(step):
            return [(step.inputs[0], _source(step, entry))]
        if step.name in MOVES:
            return _moved(step, entry)
        if step.adds_up:
            return list(chain.from_iterable(self._sum(step, entry).factors))
        if step.name in CHOICES | SPREADS:
            return _along(step, entry)
        return _elementwise(step, entry)

    def _before(self, step: Step, value: float, places: Sequence[Place]) -> Place | None:
        """The operand that already was what the result is; None where it came into being here."""
        numbers = [number(*p) for p in places]
        pairs = list(zip(places, numbers, strict=True))
        if is_view(step) and step.name not in CASTS:
            return places[0]
        if math.isnan(value):
            return next((p for p, n in pairs if math.isnan(n)), None)
        if math.isinf(value):
            return next((p for p, n in pairs if math.isinf(n)), None)
        if step.name in MOVES or step.name in CHOICES:
            return next((p for p, n in pairs if n == value), None)
        if value != 0 or (step.name not in BY_ONE and any(numbers)):
            return None
        zeros = [p for p, n in pairs if n == 0]
        # What was computed says more of a zero than a parameter that is zero beside it.
        return next((p for p in zeros if not self.named(p[0])), zeros[0] if zeros else None)

    def operand(self, tensor: Tensor, entry: Index) -> Operand:
        """How one number that went into an operation is told."""
        value = number(tensor, entry)
        while not self.named(tensor):
            step = self._tape.step(tensor)
            if step is None or not is_view(step) or step.name in CASTS:
                made_by, count = self._summed_up(step, entry)
                return Operand(value, made_by=made_by, terms=count)
            tensor, entry = step.inputs[0], _source(step, entry)
        return Operand(value, self._names[id(tensor)], entry)

    def _summed_up(self, step: Step | None, entry: Index) -> tuple[str | None, int | None]:
        """The operation's name, and how many terms it adds; a sum that is divided is a mean."""
        if step is None:
            return None, None
        if step.name == "div":
            tensor, place = step.tensors[0], within(step.tensors[0], entry)
            inner = self._tape.step(tensor)
            while inner is not None and is_view(inner) and not self.named(tensor):
                tensor, place = inner.inputs[0], _source(inner, place)
                inner = self._tape.step(tensor)
            if inner is not None and inner.name == "sum":
                return "mean", len(terms_of(inner, place).figures())
        return step.name, len(terms_of(step, entry).figures()) if step.adds_up else None

    def made(self, step: Step, entry: Index, places: list[Place] | None) -> Origin:
        """That the operation ``step`` made this entry of its output, from what."""
        value = number(step.output, entry)
        if places is None:
            return Origin(step.name, entry, (), value)
        if step.adds_up:
            return self._summed(step, entry, value)
        shown = [self.operand(*p) for p in places]
        shown += [Operand(float(a)) for a in step.inputs if isinstance(a, int | float)]
        exact, before = _exact(step, places), self._not_finite(places)
        return Origin(step.name, entry, tuple(shown), value, exact, before=before)

    def _not_finite(self, places: Sequence[Place]) -> Origin | None:
        """Where the first operand that is not finite came into being, if it did on this tape."""
        place = next((p for p in places if not math.isfinite(number(*p))), None)
        found = None if place is None else self.entry(*place)
        return found if found and found.made_here else None

    def _summed(self, step: Step, entry: Index, value: float) -> Origin:
        """A sum, of products or of plain numbers: its deciding terms."""
        figures, factors = self._sum(step, entry)
        operands = tuple(self.operand(*factor) for factor in chain.from_iterable(factors))
        finite = bool(torch.isfinite(figures).all())
        exact = float(figures.sum()) if finite else None
        if exact is not None and step.name == "mean":
            exact /= len(figures)
        shape = tuple(map(len, factors))
        return Origin(step.name, entry, operands, value, exact, len(figures), shape)

    def _sum(self, step: Step, entry: Index) -> _Sum:
        known = self._sums.get((id(step), entry))
        if known is None:
            terms = terms_of(step, entry)
            figures = terms.figures()
            chosen = deciding(figures, number(step.output, entry))
            known = _Sum(figures, [terms.factors(k) for k in chosen])
            self._sums[id(step), entry] = known
        return known


def is_view(step: Step) -> bool:
    """Whether the output shows entries of the first input and computes nothing."""
    returned = step.function._schema.returns
    alias = returned[0].alias_info if returned else None
    return step.name in COPIES or (alias is not None and not alias.is_write)


def _source(step: Step, entry: Index) -> Index:
    """Where the entry of a view lies in the tensor that it shows."""
    if step.name in COPIES:
        return entry
    base: Tensor = step.inputs[0]
    places = torch.arange(base.numel(), device=base.device).view(base.shape)
    shown = step.function(places, *step.inputs[1:], **step.arguments)
    if isinstance(shown, tuple | list):  # a split: the part of this shape that shows these entries
        again = step.function(*step.inputs, **step.arguments)
        parts = zip(shown, again, strict=True)
        shown = next(p for p, whole in parts if whole.data_ptr() == step.output.data_ptr())
    return index_of(shown[entry], base.shape)


def _moved(step: Step, entry: Index) -> list[Place] | None:
    """Where an entry that was moved came from; None for what fills a border."""
    sources = [t for t in step.tensors if t.is_floating_point()]
    if step.name in ("index", "gather", "index_select", "take", "embedding"):
        sources = sources[:1]
    numbered, start = {}, 1
    for tensor in sources:
        count = tensor.numel()
        numbered[id(tensor)] = torch.arange(
            start, start + count, device=tensor.device, dtype=torch.float64
        ).view(tensor.shape)
        start += count

    def replaced(argument: object) -> object:
        if isinstance(argument, list | tuple):
            return [replaced(each) for each in argument]
        return numbered.get(id(argument), argument)

    at = int(step.function(*(replaced(a) for a in step.inputs), **step.arguments)[entry])
    for tensor in sources:
        low = int(numbered[id(tensor)].reshape(-1)[0]) if tensor.numel() else at + 1
        if low <= at < low + tensor.numel():
            return [(tensor, index_of(at - low, tensor.shape))]
    return None


def _along(step: Step, entry: Index) -> list[Place] | None:
    """The entry that a maximum or minimum is; of a spread, the one that decides."""
    x = step.tensors[0]
    asked = step.inputs[1] if len(step.inputs) > 1 else step.arguments.get("dim")
    if step.name == "linalg_vector_norm":
        asked = step.inputs[2] if len(step.inputs) > 2 else step.arguments.get("dim")
    axes = {a % x.dim() for a in range(x.dim())} if asked in (None, []) else (
        {a % x.dim() for a in ([asked] if isinstance(asked, int) else asked)}
    )  # fmt: skip
    kept, where = iter(entry), [0] * x.dim()
    for axis in range(x.dim()):
        if step.output.dim() == x.dim():
            index = next(kept)
            where[axis] = -1 if axis in axes else index
        else:
            where[axis] = -1 if axis in axes else next(kept)
    chosen = tuple(slice(None) if i < 0 else i for i in where)
    places = torch.arange(x.numel(), device=x.device).view(x.shape)[chosen].reshape(-1)
    figures = x.detach().reshape(-1)[places]
    if step.name in SPREADS:
        at = int(figures.abs().argmax())  # a NaN counts as the largest
    else:
        value = step.output[entry]
        same = torch.isnan(figures) if bool(torch.isnan(value)) else figures == value
        at = int(same.int().argmax())
    return [(x, index_of(places[at], x.shape))]


def _elementwise(step: Step, entry: Index) -> list[Place] | None:
    """One entry of every tensor, broadcast to the output's shape."""
    tensors = step.tensors
    try:
        shape = torch.broadcast_shapes(*(t.shape for t in tensors))  # type: ignore[no-untyped-call]
    except RuntimeError:
        return None
    if shape != step.output.shape or not tensors:
        return None
    if step.name == "where":
        condition, *rest = tensors
        first = bool(condition[within(condition, entry)])
        sides = [a for a in step.inputs[1:3] if isinstance(a, Tensor)]
        if len(sides) == len(rest) == 2:
            tensors = [rest[0] if first else rest[1]]
        else:  # a number on one side
            tensor_chosen = isinstance(step.inputs[1], Tensor) == first
            tensors = rest if tensor_chosen else []
    elif step.name == "masked_fill":
        filled = bool(tensors[1][within(tensors[1], entry)])
        tensors = tensors[2:] if filled else tensors[:1]
    return [(t, within(t, entry)) for t in tensors]


def within(tensor: Tensor, entry: Index) -> Index:
    """The entry of a tensor that is broadcast to a larger shape."""
    inner = entry[len(entry) - tensor.dim() :]
    return tuple(0 if n == 1 else i for i, n in zip(inner, tensor.shape, strict=True))


def _exact(step: Step, places: Sequence[Place]) -> float | None:
    """The operation on the same numbers in float64."""
    if step.name in CASTS:
        return number(*places[0])
    if sum(isinstance(a, Tensor) for a in step.inputs) != len(places):
        return None
    wide = iter([torch.tensor(number(*p), dtype=torch.float64) for p in places])
    inputs = [next(wide) if isinstance(a, Tensor) else a for a in step.inputs]
    try:
        return float(step.function(*inputs, **step.arguments))
    except (RuntimeError, TypeError, NotImplementedError, AssertionError):
        return None
