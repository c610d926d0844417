"""What a preflight found, and as JSON takes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from layerscope.engine.diagnosis import Evidence, Finding, undecided, verdict
from layerscope.engine.execution.records import Record

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """Findings and records of one preflight.

    ``findings``: worst first; a warning or an error is an accusation, ``info`` a note.
    ``records``: one a call of a module, in forward order.
    ``loss``: of the batch, before any step; ``constant_loss``: of the best answer that looks at
    nothing, where the loss tells. ``losses``: of a copy, in the steps that fixes are held against.
    ``formats``: what narrower number formats would lose, by kind of tensor. ``unseen``: modules
    whose output could not be read, with the reason. ``fixes_not_tried``: why not, where they were
    not.
    """

    findings: Sequence[Finding]
    records: Sequence[Record]
    loss: float | None
    constant_loss: float | None
    losses: Sequence[float]
    formats: Sequence[dict[str, Any]]
    unseen: dict[str, str]
    fixes_not_tried: str | None
    evidence: Evidence = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing worse than a note was found."""
        return all(f.severity == "info" for f in self.findings)

    @property
    def title(self) -> str:
        """One line on the whole."""
        worst = next((f for f in self.findings if f.severity != "info"), None)
        if worst is not None:
            return worst.title
        return verdict(self.evidence, []).title if self.records else "Nothing was found"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON takes it: what is not finite is None."""
        return {
            "title": self.title,
            "ok": self.ok,
            "loss": _finite(self.loss),
            "constant_loss": _finite(self.constant_loss),
            "losses": [_finite(v) for v in self.losses],
            "findings": [_plain(f.to_dict()) for f in self.findings],
            "undecided": undecided(self.evidence) if self.records else [],
            "modules": [_plain(r.to_dict()) for r in self.records],
            "formats": [dict(row) for row in self.formats],
            "unseen": dict(self.unseen),
            "fixes_not_tried": self.fixes_not_tried,
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """With arrays as lists and without what JSON has no word for."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return _finite(value)
    return value.tolist() if hasattr(value, "tolist") else value
