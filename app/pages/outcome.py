"""A result in words, for the page as it stands without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.app.figures import number
from layerscope.app.pages.findings import FindingWords, finding_words
from layerscope.engine.execution.events import Forward
from layerscope.engine.statistics import Statistics

__all__ = ["Outcome", "TableRow", "outcome"]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One layer of the table."""

    index: int
    block: int
    name: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What stands on the page once an experiment has run, or why it did not.

    ``undecided`` are the rules that could not be asked, each with the reason.
    """

    severity: str
    title: str
    text: str
    findings: Sequence[FindingWords] = ()
    undecided: Sequence[tuple[str, str]] = ()
    rows: Sequence[TableRow] = ()

    @property
    def count(self) -> int:
        """How many findings, consequences included."""
        return sum(map(_with_consequences, self.findings))


def outcome(whole: dict[str, Any], layers: Sequence[Forward]) -> Outcome:
    """The outcome of a complete result."""
    verdict = whole["verdict"]
    return Outcome(
        severity=verdict["severity"],
        title=verdict["title"],
        text=verdict["text"],
        findings=[finding_words(f) for f in whole["findings"]],
        undecided=[(u["rule"], u["reason"]) for u in whole["undecided"]],
        rows=[_row(layer) for layer in layers],
    )


def _with_consequences(finding: FindingWords) -> int:
    return 1 + sum(map(_with_consequences, finding.consequences))


def _row(layer: Forward) -> TableRow:
    info, record = layer.info, layer.record
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
    return TableRow(info.index, info.block, info.name, figures)


def _norm(s: Statistics | None) -> float | None:
    """The Euclidean norm over the finite entries."""
    return s.rms * s.finite**0.5 if s is not None and s.rms is not None else None
