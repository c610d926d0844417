"""A finding of a run, as pages show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.app.figures.evidence import Measured, evidence_rows
from layerscope.engine.basis.text import listed

__all__ = ["FindingView", "finding_view"]

MOST_NAMES = 4
"""Modules of a finding that are named."""


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding of the list."""

    severity: str
    title: str
    explanation: str
    modules: str
    since: int | None
    rule: str
    evidence: Sequence[Measured]
    fix: str


def finding_view(found: dict[str, Any]) -> FindingView:
    """The view of what a store has of a finding."""
    return FindingView(
        severity=str(found.get("severity", "info")),
        title=str(found.get("title", "")),
        explanation=str(found.get("explanation", "")),
        modules=listed(list(found.get("modules") or ()), MOST_NAMES),
        since=found.get("since"),
        rule=str(found.get("rule", "")),
        evidence=evidence_rows(_not_said(found), found.get("threshold") or {}),
        fix=_fix(found.get("fix")),
    )


def _not_said(found: dict[str, Any]) -> dict[str, Any]:
    """The evidence, without sentences that the explanation holds already."""
    said = str(found.get("explanation", ""))
    evidence = (found.get("evidence") or {}).items()
    return {name: v for name, v in evidence if not (isinstance(v, str) and v and v in said)}


def _fix(fix: Any) -> str:
    if isinstance(fix, dict):
        return str(fix.get("code") or ", ".join(f"{k} = {v}" for k, v in fix.items()))
    return str(fix or "")
