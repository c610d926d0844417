"""What ``probe.step`` is given, and when: the loss as it is used, and a sentence for wrong use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from layerscope.engine.probe.accelerator import Afar

__all__ = ["loss_given", "without_update"]

Tell = Callable[[str, str], None]


def loss_given(loss: Any, tell: Tell) -> float | Tensor | None:
    """A loss as a number; one on an accelerator as the tensor it is, read when the device has come
    to it; None where there is none, or what there is, as the user is told, is no number.

    >>> loss_given([0.5, 1.5], lambda kind, sentence: print(sentence))
    probe.step expected the loss as one number, got [0.5, 1.5]
    """
    if loss is None:
        return None
    if isinstance(loss, Tensor) and loss.numel() == 1 and Afar.holds(loss):
        return loss.detach()
    try:
        return float(loss.detach() if isinstance(loss, Tensor) else loss)
    except (TypeError, ValueError, RuntimeError):
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
        tell("loss", f"probe.step expected the loss as one number, got {what:.80}")
        return None


def without_update(number: int, *, forward: bool, tell: Tell) -> None:
    """Says what is wrong where ``step`` is called behind step ``number`` and no optimiser has
    stepped since; ``forward`` is whether any module was called."""
    if not forward and number:
        tell("twice", f"probe.step was called twice after step {number}: nothing happened between; "
             "call it once an optimiser step")  # fmt: skip
    else:
        tell("no update", f"no optimiser step was seen before probe.step in step {number + 1}: "
             "call it after optimizer.step(), and give that optimiser to `watch`")  # fmt: skip
