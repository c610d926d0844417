"""A result in words, for the page as it stands without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from app.figures import number
from engine.experiment import Experiment, InvalidExperiment
from engine.records import LayerRecord
from engine.statistics import Statistics

__all__ = ["FindingWords", "Fix", "Outcome", "TableRow", "outcome"]


@dataclass(frozen=True, slots=True)
class Fix:
    """A change of specification as a link; ✓ only where it was run and helped."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class FindingWords:
    """One finding, its evidence as ``name value`` pairs."""

    severity: str
    title: str
    explanation: str
    evidence: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """One layer of the table."""

    block: int
    name: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands on the page once an experiment has run, or why it did not."""

    severity: str
    title: str
    text: str
    fix: Fix | None = None
    findings: Sequence[FindingWords] = ()
    rows: Sequence[TableRow] = ()
    result: dict[str, Any] | None = field(default=None, repr=False)


def outcome(
    experiment: Experiment, whole: dict[str, Any], records: Sequence[LayerRecord]
) -> Outcome:
    """The outcome of a complete result."""
    findings = whole["findings"]
    verdict = whole["verdict"]
    return Outcome(
        severity=verdict["severity"],
        title=verdict["title"],
        text=verdict["text"],
        fix=next((_fix(experiment, f) for f in findings if f["fix"]), None),
        findings=[_words(f) for f in findings],
        rows=[_row(r) for r in records],
        result=whole,
    )


def _fix(experiment: Experiment, finding: Mapping[str, Any]) -> Fix | None:
    """``Try init kaiming_normal ✓``, as a link to the experiment with that change."""
    try:
        changed = Experiment.from_json({**experiment.to_dict(), **finding["fix"]})
    except InvalidExperiment:
        return None
    what = ", ".join(
        f"{(Experiment.model_fields[name].title or name).lower()} {value}"
        for name, value in finding["fix"].items()
    )
    mark = " ✓" if finding["fix_verified"] else ""
    return Fix(f"Try {what}{mark}", f"/?{urlencode(changed.to_query())}")


def _words(finding: Mapping[str, Any]) -> FindingWords:
    evidence = ", ".join(
        f"{name.replace('_', ' ')} {_figure(value)}"
        for name, value in finding["evidence"].items()
        if isinstance(value, int | float | str)
    )
    return FindingWords(finding["severity"], finding["title"], finding["explanation"], evidence)


def _figure(value: float | str) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _row(record: LayerRecord) -> TableRow:
    s, g = record.activation, record.gradient
    weight = record.parameters.get("weight")
    norm = _norm(weight.gradient) if weight else None
    figures = (
        number(s.mean),
        number(s.std),
        str(s.zeros),
        str(s.nan),
        str(s.posinf + s.neginf),
        number(g.std if g else None),
        number(norm) if weight else "",
    )
    return TableRow(record.info.block, record.info.name, figures)


def _norm(s: Statistics | None) -> float | None:
    """The Euclidean norm over the finite entries."""
    return s.rms * s.finite**0.5 if s is not None and s.rms is not None else None
