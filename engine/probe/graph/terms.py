"""What autograd's graph tells of a loss that is a sum: a mean cross entropy, and what is added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from layerscope.engine.probe.graph.operations import (
    DISTANCES,
    LEAF,
    SHAPES,
    NameOf,
    is_map,
    kind,
    operands,
    shape,
    through_shapes,
    weight_of,
)
from layerscope.engine.probe.step import Oddity

__all__ = ["terms_beside"]

LIKELIHOODS = frozenset({"NllLoss", "NllLoss2D"})
MEAN = 1
"""PyTorch's number for ``reduction="mean"``."""
OF_WEIGHTS = SHAPES | {
    "Abs", "Pow", "Sum", "Mean", "Norm", "LinalgVectorNorm", "Sqrt", "Add", "Mul", "Div", "Stack",
    "Cat",
}  # fmt: skip
MOST_NODES = 2048


def terms_beside(root: Any, name_of: NameOf) -> Iterator[Oddity]:
    """Of a sum that a mean cross entropy is a term of, without a factor: whether another one is a
    ``penalty`` on weights alone, ``after``: how many of them; or a ``distance``, the mean of its
    own. ``before``: how many classes there are; ``behind``: the weight that gives the logits."""
    parts = list(_parts(root))
    likelihood = next((each for each in parts if kind(each) in LIKELIHOODS and _mean(each)), None)
    made = None if likelihood is None else through_shapes(operands(likelihood)[0])
    if made is None or kind(made) != "LogSoftmax" or len(shape(made)) < 2:
        return
    classes = (shape(made)[1],)
    layer = _layer(through_shapes(operands(made)[0]), *classes)
    name = None if layer is None else name_of(weight_of(layer))
    if name is None:
        return
    held = sum(_weights(each) for each in parts if each is not likelihood)
    if held:
        yield Oddity("penalty", classes, (held,), name)
    if any(kind(each) in DISTANCES and _mean(each) for each in parts):
        yield Oddity("distance", classes, (), name)


def _layer(made: Any, classes: int) -> Any:
    """That gives the logits, by itself or side by side with something else."""
    fitting = [made]
    if kind(made) == "Cat":
        fitting = [through_shapes(e) for e in operands(made) if shape(e)[-1:] == (classes,)]
    return fitting[0] if len(fitting) == 1 and is_map(fitting[0]) else None


def _mean(node: Any) -> bool:
    return getattr(node, "_saved_reduction", None) == MEAN


def _parts(root: Any) -> Iterator[Any]:
    waiting = [root]
    for node in waiting:
        if len(waiting) > MOST_NODES:
            return
        if kind(node) == "Add" or kind(node) in SHAPES:
            waiting += operands(node)
        else:
            yield node


def _weights(term: Any) -> int:
    """How many parameters a term is made of, by sizes and sums alone; 0 where data take part."""
    waiting, seen, held = [term], {id(term): term}, 0
    for node in waiting:
        if node.name() == LEAF:
            held += 1
            continue
        if len(seen) > MOST_NODES or kind(node) not in OF_WEIGHTS:
            return 0
        for each in operands(node):
            if id(each) not in seen:
                seen[id(each)] = each
                waiting.append(each)
    return held
