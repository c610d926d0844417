"""Findings in words, with their evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.app.figures.evidence import Measured, evidence_rows

__all__ = ["FindingWords", "finding_words"]

CHARTS = {
    "saturation": "silent", "dead_units": "silent",
    "symmetry": "magnitudes", "precision_loss": "magnitudes",
}  # fmt: skip
"""The chart that shows a rule's findings, where it is not that of their direction."""


@dataclass(frozen=True, slots=True)
class FindingWords:
    """One finding. ``block`` and ``row`` are where it begins, in the direction of its signal."""

    severity: str
    title: str
    explanation: str
    rule: str
    layers: str
    block: int
    row: int
    chart: str
    evidence: Sequence[Measured]
    consequences: Sequence[FindingWords]


def finding_words(finding: Mapping[str, Any]) -> FindingWords:
    """The words of a finding of the API, its consequences under it."""
    first, last = finding["blocks"]
    begins = 1 if finding["direction"] == "backward" else 0
    return FindingWords(
        severity=finding["severity"],
        title=finding["title"],
        explanation=finding["explanation"],
        rule=finding["rule"],
        layers=f"layer {first}" if first == last else f"layers {first} to {last}",
        block=finding["blocks"][begins],
        row=finding["layers"][begins],
        chart=CHARTS.get(finding["rule"], "gradients" if begins else "activations"),
        evidence=evidence_rows(finding["evidence"], finding["threshold"]),
        consequences=[finding_words(c) for c in finding["consequences"]],
    )
