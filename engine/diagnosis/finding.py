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

    ``modules`` are the qualified names of those concerned, in forward order; ``layers`` the first
    and last of them as indices, ``blocks`` as blocks (hidden ones count from 1). ``since`` is the
    step of a training from which on it held, None outside one. ``threshold`` is what the evidence
    was held against. ``consequences`` are findings of other rules that follow from this one.
    """

    rule: str
    severity: Severity
    title: str
    explanation: str
    direction: Direction
    modules: tuple[str, ...]
    layers: tuple[int, int]
    blocks: tuple[int, int]
    evidence: dict[str, Any]
    threshold: dict[str, Any]
    since: int | None = None
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
            "modules": list(self.modules),
            "since": self.since,
            "layers": list(self.layers),
            "blocks": list(self.blocks),
            "evidence": self.evidence,
            "threshold": self.threshold,
            "fix": self.fix,
            "fix_verified": self.fix_verified,
            "consequences": [c.to_dict() for c in self.consequences],
        }
