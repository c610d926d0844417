"""What goes into the model beside what is asked of it: targets that are among the inputs, and what
attention is given to."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from layerscope.engine.probe.outputs import tensors
from layerscope.engine.probe.step import MadeOf, Oddity

__all__ = ["Attended", "InputsReader", "attended"]

LEAST_LOOKS = 3
"""In each of which it was so."""
LEAST_LENGTH = 4
"""Of a sequence."""
LEAST_NUMBERS = 3
"""Different ones: two columns of a few yes and no may be alike by chance."""
LEAST_SAMPLES = 8
MOST_TARGETS = 1_000_000
"""Of more it would take too long."""


class Attended(NamedTuple):
    """One call of PyTorch's attention: the module's name, how long what is looked at is, whether a
    mask says which place sees which, and which keys are left out, (samples, places)."""

    name: str
    length: int
    masked: bool
    left_out: Tensor | None


def attended(
    name: str, module: nn.MultiheadAttention, inputs: Sequence[Any], named: dict[str, Any]
) -> Attended | None:
    """Of a call; None where it is no self-attention of whole batches."""
    call = dict(zip(("query", "key", "value", "key_padding_mask"), inputs, strict=False)) | named
    query = call.get("query")
    of_itself = call.get("key") is query
    if not isinstance(query, Tensor) or query.dim() != 3 or not of_itself:
        return None
    mask = call.get("key_padding_mask")
    if isinstance(mask, Tensor) and mask.is_floating_point():
        mask = mask == -math.inf
    more = len(inputs) > 5 and inputs[5] is not None
    masked = more or call.get("attn_mask") is not None or bool(call.get("is_causal"))
    length = query.shape[1 if module.batch_first else 0]
    return Attended(name, length, masked, mask if isinstance(mask, Tensor) else None)


class InputsReader:
    """Holds against one another, in looks at a training, what was given to the model and to its
    attention, and what the loss was asked."""

    def __init__(self) -> None:
        self._looks = 0
        self._seen: Counter[str] = Counter()
        self._found: dict[str, Oddity] = {}

    def read(
        self, inputs: Any, target: Any, calls: Sequence[Attended], made: MadeOf | None
    ) -> tuple[Oddity, ...]:
        """What has held in every look so far, some of them at least."""
        given = [t.detach() for t in tensors(inputs) if t.dim() > 1 and t.numel()]
        if not given:
            return ()
        self._looks += 1
        with contextlib.suppress(Exception):  # shapes of others' may be any
            found = [*_of_masks(given, calls)]
            if isinstance(target, Tensor):
                found += _of_targets(given, target.detach(), calls, made)
            for odd in found:
                self._found.setdefault(odd.what, odd)
            self._seen.update({odd.what for odd in found})
        if self._looks < LEAST_LOOKS:
            return ()
        return tuple(o for what, o in self._found.items() if self._seen[what] == self._looks)


def _of_targets(
    given: Sequence[Tensor], target: Tensor, calls: Sequence[Attended], made: MadeOf | None
) -> Iterator[Oddity]:
    if target.numel() > MOST_TARGETS or not (target != target.flatten()[0]).any():
        return
    data = [x for x in given if x.dtype is not torch.bool and not _of_zeros_and_ones(x)]
    for x in data:
        whole = not x.is_floating_point() and not target.is_floating_point()
        alone = len(data) == 1  # of two sequences each may be seen by another part
        tokens = whole and alone and x.dim() == 2 and x.numel() == target.numel()
        if tokens and _asked(made, target):
            yield from _of_tokens(x, target.reshape(x.shape), calls)
        # Of tokens one may be what is to be remembered; of a table none is.
        table = x.is_floating_point() and x.dim() == 2 and x.shape[1] > 1
        if table and target.numel() == len(x) >= LEAST_SAMPLES:
            alike = (x == target.reshape(-1, 1)).all(0).nonzero()
            if len(alike):
                what = "value" if target.is_floating_point() else "label"
                place = (int(alike[0]),)
                yield Oddity(f"{what} in a column", tuple(x.shape), place, None)


def _of_zeros_and_ones(x: Tensor) -> bool:
    """A mask in whole numbers."""
    return not x.is_floating_point() and bool(((x == 0) | (x == 1)).all())


def _asked(made: MadeOf | None, target: Tensor) -> bool:
    """Whether the loss holds an answer against each of the targets as they are: who shifts them
    within it leaves one out."""
    if made is None or len(made.output) < 2 or not made.output[1]:
        return False
    return math.prod(made.output) // made.output[1] == target.numel()


def _of_tokens(x: Tensor, target: Tensor, calls: Sequence[Attended]) -> Iterator[Oddity]:
    sizes, length = tuple(x.shape), x.shape[1]
    if length < LEAST_LENGTH or len(torch.unique(x)) < LEAST_NUMBERS:
        return
    if torch.equal(x, target):
        yield Oddity("targets as given", sizes, sizes, None)
    elif torch.equal(target[:, :-1], x[:, 1:]):
        open_ones = [c.name for c in calls if not c.masked and c.length == length]
        if open_ones:
            yield Oddity("next ones seen", sizes, sizes, open_ones[0])


def _of_masks(given: Sequence[Tensor], calls: Sequence[Attended]) -> Iterator[Oddity]:
    """Attention that is given to places alone which all hold one and the same."""
    for call in calls:
        out = call.left_out
        x = next((x for x in given if out is not None and x.shape[:2] == out.shape), None)
        if x is None or out is None or out.all() or not out.any():
            continue
        seen, hidden = x[~out], x[out]
        if (seen == seen.flatten()[0]).all() and len(torch.unique(hidden)) >= LEAST_NUMBERS:
            yield Oddity("padding attended", tuple(out.shape), (int((~out).sum()),), call.name)
