"""A finding of a run, as pages show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def finding_view(found: Mapping[str, Any]) -> FindingView:
    """The view of what a store has of a finding: whoever posted it may have put anything into it,
    and what is not of a field's kind is left out.

    >>> finding_view({"rule": "odd", "modules": 3, "evidence": [], "threshold": {"x": None}})
    ... # doctest: +NORMALIZE_WHITESPACE
    FindingView(severity='info', title='', explanation='', modules='', since=None, rule='odd',
                evidence=[], fix='')
    """
    modules, since = found.get("modules"), found.get("since")
    return FindingView(
        severity=str(found.get("severity", "info")),
        title=str(found.get("title", "")),
        explanation=str(found.get("explanation", "")),
        modules=listed([str(m) for m in modules] if isinstance(modules, list) else [], MOST_NAMES),
        since=since if isinstance(since, int) else None,
        rule=str(found.get("rule", "")),
        evidence=evidence_rows(_not_said(found), _mapping(found.get("threshold"))),
        fix=_fix(found.get("fix")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _not_said(found: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence, without sentences that the explanation holds already."""
    said = str(found.get("explanation", ""))
    evidence = _mapping(found.get("evidence")).items()
    return {name: v for name, v in evidence if not (isinstance(v, str) and v and v in said)}


def _fix(fix: Any) -> str:
    if isinstance(fix, Mapping):
        return str(fix.get("code") or ", ".join(f"{k} = {v}" for k, v in fix.items()))
    return str(fix or "")
