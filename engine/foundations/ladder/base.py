"""What every rung starts from, and what it must be able to do: forward, backward, gradients."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from layerscope.engine.basis.source import source_lines
from layerscope.engine.foundations.record import Record

__all__ = [
    "GRADIENTS", "Attempt", "Node", "Problem", "Rung", "Source", "problem",
    "source_of",
]  # fmt: skip

Node = Any
"""A tensor that may carry its gradient as ``.g``, as in the notes; torch's stubs know no ``.g``."""

GRADIENTS = ("inp", "w1", "b1", "w2", "b2")
"""What the loss is differentiated by: the batch and every parameter."""


@dataclass(frozen=True)
class Problem:
    """One batch and one set of weights of the notes' network: linear, ReLU, linear, mse."""

    inp: Tensor
    """(batch, n_in)"""
    targ: Tensor
    """(batch,)"""
    w1: Tensor
    """(n_in, n_hidden)"""
    b1: Tensor
    """(n_hidden,)"""
    w2: Tensor
    """(n_hidden, 1)"""
    b2: Tensor
    """(1,)"""

    def copy(self, *, requires_grad: bool = False) -> Problem:
        """Tensors of its own; with ``requires_grad`` autograd follows all but the target."""
        tensors = {name: getattr(self, name).clone() for name in ("targ", *GRADIENTS)}
        for name in GRADIENTS:
            tensors[name].requires_grad_(requires_grad)
        return Problem(**tensors)


def problem(
    batch: int, n_in: int, n_hidden: int, seed: int, dtype: torch.dtype = torch.float32
) -> Problem:
    """The notes' ``randn`` batch and Kaiming weights, biases zero; drawn in float32, then cast.

    >>> problem(200, 100, 50, seed=0).w1.shape
    torch.Size([100, 50])
    """
    g = torch.Generator().manual_seed(seed)
    inp = torch.randn(batch, n_in, generator=g)
    targ = torch.randn(batch, generator=g)
    w1 = torch.randn(n_in, n_hidden, generator=g) * math.sqrt(2 / n_in)
    w2 = torch.randn(n_hidden, 1, generator=g) * math.sqrt(2 / n_hidden)
    tensors = (inp, targ, w1, torch.zeros(n_hidden), w2, torch.zeros(1))
    return Problem(*(tensor.to(dtype) for tensor in tensors))


class Attempt(Protocol):
    """A rung at work on one problem; ``forward`` and ``backward`` may be repeated in turn."""

    def forward(self) -> Tensor:
        """The loss, 0-d."""

    def backward(self) -> None:
        """Every gradient, from what ``forward`` left behind."""

    def gradients(self) -> dict[str, Tensor]:
        """By the names of `GRADIENTS`, each in the shape it has in the `Problem`."""


@dataclass(frozen=True, slots=True)
class Source(Record):
    """One function or class as it stands in its file."""

    name: str
    file: str
    """Relative to the project: ``engine/foundations/ladder/classes.py``."""
    line: int
    """Of its first line in that file."""
    code: str


@dataclass(frozen=True)
class Rung:
    """One way to write the same network."""

    name: str
    title: str
    gain: str
    """What this rung has that the one before had not."""
    cost: str
    """What still has to be written by hand, or what it costs."""
    shown: tuple[Callable[..., Any], ...]
    """The functions and classes that make up the rung, in the order in which one reads them."""
    start: Callable[[Problem], Attempt]

    @property
    def sources(self) -> tuple[Source, ...]:
        """The very code that is run, read from its file."""
        return tuple(source_of(each) for each in self.shown)


def source_of(shown: Callable[..., Any]) -> Source:
    """The source of one function or class, from its file."""
    lines, line = source_lines(shown)
    code = re.sub(r"  # (type: ignore|noqa).*", "", "".join(lines))  # not part of the lesson
    file = f"{shown.__module__.removeprefix('layerscope.').replace('.', '/')}.py"
    return Source(shown.__name__, file, line, textwrap.dedent(code).rstrip())
