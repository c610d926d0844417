"""Losses of scores by class against the right class."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.layers.losses.base import LOSSES, Loss
from layerscope.engine.layers.losses.theory import (
    OfLogits,
    softmax_fluctuation,
    softmax_second_moment,
)

__all__ = ["CrossEntropy"]


_softmax_second_moment = lru_cache(maxsize=4096)(softmax_second_moment)


def _log_second(log_q: float, batch: int, outputs: int) -> float:
    """Of g = (p − onehot)/batch."""
    peak = _softmax_second_moment(round(min(log_q, 12.0), 6), outputs)
    second = max(0.0, peak * outputs - 2 / outputs + 1) / outputs
    return (math.log(second) if second > 0 else -1e8) - 2 * math.log(batch)


@LOSSES.register
class CrossEntropy(Loss):
    name = "cross_entropy"
    formula = "mean of −ln softmax(y)[class]"
    gradient_formula = "∂L/∂y = (softmax(y) − one-hot(class))/batch"
    source = "Bridle 1990; torch.nn.functional.cross_entropy"
    help = "For classes: minus the log of the probability given to the right one."
    classifies = True
    theory = OfLogits(_log_second, softmax_fluctuation)

    @staticmethod
    def function(output: Tensor, target: Tensor) -> Tensor:
        shifted = output - output.amax(1, keepdim=True)  # no exp of a large number
        log_sum = shifted.exp().sum(1).log()  # (batch,)
        return (log_sum - shifted.gather(1, target[:, None])[:, 0]).mean()

    @staticmethod
    def gradient(output: Tensor, target: Tensor) -> Tensor:
        e = (output - output.amax(1, keepdim=True)).exp()
        p = e / e.sum(1, keepdim=True)  # (batch, classes)
        p[torch.arange(len(target)), target] -= 1
        return p / len(target)

    @staticmethod
    def reference(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target)

    @staticmethod
    def symbolic(x: sympy.Symbol, t: sympy.Symbol) -> sympy.Expr:
        return sympy.log(1 + sympy.exp(t - x))  # two classes: x the right one's logit, t the other

    @classmethod
    def constant(cls, target: Tensor) -> float:
        """The entropy of the classes' shares: the loss of always answering with these."""
        share = torch.bincount(target).double() / max(len(target), 1)
        return float(-(share * share.clamp_min(1e-300).log()).sum())

    @classmethod
    def slope(cls, x: Tensor, t: float) -> Tensor:
        logits = torch.stack([x, torch.full_like(x, t)], dim=1)  # (n, 2)
        return cls.gradient(logits, torch.zeros(len(x), dtype=torch.long))[:, 0] * len(x)
