"""What each layer of a block makes of the gradient that passes it, as measured over all blocks."""

from __future__ import annotations

import math
from itertools import pairwise

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.execution.records import Record

__all__ = ["gradient_factors", "in_words"]


def gradient_factors(evidence: Evidence) -> list[tuple[Record, float]]:
    """By what the layers of a block multiply the gradient's rms going back, last layer first, each
    the geometric mean over the blocks; told by the last block's records.

    Empty where blocks differ, where a sum lets the gradient pass beside, and where one is lost.
    """
    blocks = evidence.hidden_blocks
    kinds = {tuple(r.facts.kind for r in block) for block in blocks[1:]}
    if len(blocks) < 2 or len(kinds) != 1 or any(r.facts.adds is not None for r in blocks[-1]):
        return []
    logs: list[list[float]] = [[] for _ in blocks[-1]]
    for before, block in pairwise(blocks):
        path = [before[-1], *block]
        sizes = [r.gradient.rms if r.gradient else None for r in path]
        if any(not size for size in sizes):
            return []
        for found, (earlier, later) in zip(logs, pairwise(sizes), strict=True):
            found.append(math.log(earlier or 1) - math.log(later or 1))
    means = [sum(found) / len(found) for found in logs]
    if any(abs(mean) > 600 for mean in means):
        return []
    return [(r, math.exp(mean)) for r, mean in zip(blocks[-1], means, strict=True)][::-1]


def in_words(evidence: Evidence) -> str:
    """The factors in a sentence, a norm's with that of the layer whose scale it takes away."""
    factors = gradient_factors(evidence)
    if len(factors) < 2:
        return ""
    parts = [f"{r.facts.kind} by {factor:.3g}" for r, factor in factors]
    said = f" Of that {', '.join(parts[:-1])} and {parts[-1]}"
    norm = next((i for i, (r, _) in enumerate(factors) if r.facts.role == "norm"), None)
    if norm is not None and norm + 1 < len(factors):
        (first, a), (second, b) = factors[norm], factors[norm + 1]
        said += f"; {first.facts.kind} takes the weights' scale away, and with {second.facts.kind} "
        said += f"multiplies by {a * b:.3g}"
    return f"{said}."
