"""The classic mistake: mse without the squeeze, run for real."""

# ruff: noqa: D103  as short as in the notes; what each does stands beside it on the page

from __future__ import annotations

from dataclasses import dataclass

import torch

from layerscope.engine.foundations.ladder.base import Node, Problem, source_of
from layerscope.engine.foundations.ladder.functions import forward, mse
from layerscope.engine.foundations.record import Record

__all__ = ["Mistake", "mistake", "mse_without_squeeze"]

CORNER = 8  # rows and columns of the table that are shown


def mse_without_squeeze(output: Node, targ: Node) -> Node:
    return (output - targ).pow(2).mean()


@dataclass(frozen=True, slots=True)
class Mistake(Record):
    """What (N, 1) minus (N,) gave, beside what was meant."""

    output_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    broadcast_shape: tuple[int, ...]
    """Of output − target as torch computed it."""
    right_shape: tuple[int, ...]
    wrong_loss: float
    right_loss: float
    wrong_elements: int
    """Squares averaged; N would have been right."""
    wrong_bytes: int
    """Memory of the difference."""
    gradient_ratio: float | None
    """Size of the wrong gradient by the output against the right one's (norms)."""
    target_mean: float
    mean_difference: float
    """Largest difference between the wrong gradient and 2·(output − mean of the targets)/N."""
    corner: tuple[tuple[float, ...], ...]
    """The first squares of the N × N table; the right ones are its diagonal."""
    wrong_code: str
    right_code: str
    """The two losses as they were run."""


def mistake(problem: Problem) -> Mistake:
    """Run both losses on the network's output for this batch.

    >>> from layerscope.engine.foundations.ladder.base import problem as draw
    >>> found = mistake(draw(200, 100, 50, seed=0))
    >>> found.output_shape, found.target_shape, found.broadcast_shape
    ((200, 1), (200,), (200, 200))
    """
    _, _, out, _ = forward(problem.copy())
    out = out.detach().requires_grad_()  # (batch, 1)
    targ = problem.targ  # (batch,)
    wrong_loss = mse_without_squeeze(out, targ)
    (wrong,) = torch.autograd.grad(wrong_loss, out)
    right_loss = mse(out, targ)
    (right,) = torch.autograd.grad(right_loss, out)
    difference = out.detach() - targ  # (batch, batch)
    to_the_mean = 2 * (out.detach() - targ.mean()) / targ.numel()
    norm = float(right.norm())
    return Mistake(
        output_shape=tuple(out.shape),
        target_shape=tuple(targ.shape),
        broadcast_shape=tuple(difference.shape),
        right_shape=tuple((out.squeeze(1) - targ).shape),
        wrong_loss=wrong_loss.item(),
        right_loss=right_loss.item(),
        wrong_elements=difference.numel(),
        wrong_bytes=difference.numel() * difference.element_size(),
        gradient_ratio=float(wrong.norm()) / norm if norm else None,
        target_mean=float(targ.mean()),
        mean_difference=float((wrong - to_the_mean).abs().max()),
        corner=tuple(map(tuple, difference[:CORNER, :CORNER].square().tolist())),
        wrong_code=source_of(mse_without_squeeze).code,
        right_code=source_of(mse).code,
    )
