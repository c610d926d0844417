"""A finding: what is wrong, how it is known, what helps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["SEVERITIES", "Direction", "Finding", "Severity"]

Severity = Literal["info", "warning", "error"]
Direction = Literal["forward", "backward", "both"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")  # in ascending order


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found.

    ``blocks`` are the first and last block concerned (hidden blocks count from 1), ``layers`` the
    same as indices into the network's layers. ``threshold`` is what the evidence was held against.
    ``consequences`` are findings of other rules that follow from this one.
    """

    rule: str
    severity: Severity
    title: str
    explanation: str
    direction: Direction
    layers: tuple[int, int]
    blocks: tuple[int, int]
    evidence: dict[str, Any]
    threshold: dict[str, Any]
    chart: str
    """Which chart of the Lab shows it: activations, gradients, magnitudes or units."""
    fix: dict[str, Any] | None = None
    fix_verified: bool = False
    consequences: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As in the contract's ``findings``."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "title": self.title,
            "explanation": self.explanation,
            "direction": self.direction,
            "layers": list(self.layers),
            "blocks": list(self.blocks),
            "evidence": self.evidence,
            "threshold": self.threshold,
            "chart": self.chart,
            "fix": self.fix,
            "fix_verified": self.fix_verified,
            "consequences": [c.to_dict() for c in self.consequences],
        }
