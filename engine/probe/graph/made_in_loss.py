"""Which operations of a loss's graph make what is not finite of what is."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from msgspec.structs import replace
from torch import Tensor

from layerscope.engine.basis.text import listed
from layerscope.engine.probe.graph.operations import is_leaf, kind, operands
from layerscope.engine.probe.step import Origin

__all__ = ["REPAIRS", "InLoss", "explained", "in_loss"]

REPAIRS = {
    "Log": "x.clamp_min(1e-8).log()", "Log2": "x.clamp_min(1e-8).log2()",
    "Log10": "x.clamp_min(1e-8).log10()", "Log1P": "x.clamp_min(-1 + 1e-7).log1p()",
    "Sqrt": "(x + 1e-8).sqrt()", "Rsqrt": "(x + 1e-8).rsqrt()",
    "Reciprocal": "x.clamp_min(1e-8).reciprocal()", "Div": "x / total.clamp_min(1e-8)",
    "Exp": "x.clamp_max(30).exp()", "Acos": "x.clamp(-1 + 1e-6, 1 - 1e-6).acos()",
    "Asin": "x.clamp(-1 + 1e-6, 1 - 1e-6).asin()",
    "Atanh": "x.clamp(-1 + 1e-6, 1 - 1e-6).atanh()",
    "Pow": "x.clamp_min(1e-8).pow(exponent)", "Std": "x.std(correction=0)",
    "LogSigmoid": "torch.nn.functional.logsigmoid(x)",
}  # fmt: skip
"""What of finite numbers can be none, by the operation's name, and a line that cannot."""
BETWEEN = frozenset({"Div"})
"""Of these some are by a number alone, which makes none: they are named beside others."""
MOST_NODES = 512


class InLoss(NamedTuple):
    """What is said of them, and the line that helps."""

    words: str
    fix: str | None
    """None where it may be one of several."""


def in_loss(loss: Any) -> InLoss | None:
    """Of the operations between the last layers and ``loss``; None where it has no graph.

    >>> import torch
    >>> in_loss(torch.ones(2, requires_grad=True).log().mean()).fix
    'x.clamp_min(1e-8).log()'
    """
    if not isinstance(loss, Tensor) or loss.grad_fn is None:
        return None
    with contextlib.suppress(Exception):  # operations of others' may answer with any
        return _said(_kinds(loss.grad_fn))
    return None


def explained(origin: Origin, made: InLoss) -> Origin:
    """With what is said of the loss, where nothing more is known of it, and the line that helps."""
    line = {} if made.fix is None else {"line": made.fix}
    return replace(
        origin, operands=origin.operands or made.words, evidence={**origin.evidence, **line}
    )


def _said(found: list[str]) -> InLoss:
    if not found:
        return InLoss(
            "Between the last layer and the loss autograd keeps no operation that makes such of "
            "finite numbers: it came with the targets or weights, or is beyond the format's range",
            "assert target.isfinite().all()",
        )
    sure = [each for each in found if each not in BETWEEN] or found
    names = listed([each.lower() for each in found], 4)
    return InLoss(
        f"Between the last layer and the loss autograd keeps {names}, which can make such of "
        "finite numbers",
        REPAIRS[sure[0]] if len(sure) == 1 else None,
    )


def _kinds(root: Any) -> list[str]:
    """Those operations, each once, nearest to the layers first."""
    waiting, seen = [root], {id(root): root}
    for node in waiting:
        if len(seen) > MOST_NODES:
            break
        given = operands(node)
        if any(map(is_leaf, given)) and node is not root:
            continue  # a layer: what it gave was looked at
        for each in given:
            if id(each) not in seen and not is_leaf(each):
                seen[id(each)] = each
                waiting.append(each)
    return list(dict.fromkeys(kind(node) for node in reversed(waiting) if _can(node)))


def _can(node: Any) -> bool:
    """Not a power by a whole number, which is finite of what is."""
    power = getattr(node, "_saved_exponent", 0.5) if kind(node) == "Pow" else 0.5
    whole = isinstance(power, int | float) and power >= 1 and power == int(power)
    return kind(node) in REPAIRS and not whole
