"""How well the diagnosis does: every rule's hits and false alarms, and the rules themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.figures.axes import percent
from layerscope.app.pages.render import render
from layerscope.app.why import evaluation
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.diagnosis import RULES
from layerscope.engine.diagnosis.rule import Rule
from layerscope.engine.experiment.specification import Experiment

__all__ = ["DiagnosisPage", "Score", "Wrong", "router"]

SHOWN = 12
"""Wrong cases that are listed, of each kind."""


@dataclass(frozen=True, slots=True)
class Score:
    """A rule's row: counts, and the bars' lengths in per cent of the whole width."""

    rule: str
    hits: int
    sole: int
    false_alarms: int
    warnings: int
    hit_bar: float
    alarm_bar: float


@dataclass(frozen=True, slots=True)
class Wrong:
    """A case that was judged wrongly, as a link to the Lab."""

    words: str
    query: str


@dataclass(frozen=True, slots=True)
class DiagnosisPage:
    """What the template receives."""

    rules: Sequence[Rule]
    recall: str
    false_alarm_rate: str
    faulty: int
    healthy: int
    undecided: int
    scores: Sequence[Score]
    missed: Sequence[Wrong]
    alarms: Sequence[Wrong]
    measured: bool


router = APIRouter(include_in_schema=False)


@router.get("/why/diagnosis", response_class=HTMLResponse, name="why_diagnosis")
async def diagnosis(request: Request) -> Response:
    """The table of the evaluation as a picture, and every rule in the words of its code."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    return await render(request, "pages/why/diagnosis.html", _page())


def _page() -> DiagnosisPage:
    rules = list(RULES.values())
    table = evaluation()
    if table is None:
        return DiagnosisPage(rules, "–", "–", 0, 0, 0, (), (), (), measured=False)
    return DiagnosisPage(
        rules=rules,
        recall=percent(table["recall"]),
        false_alarm_rate=percent(table["false_alarm_rate"]),
        faulty=table["faulty"],
        healthy=table["healthy"],
        undecided=table["undecided"],
        scores=[_score(row, table) for row in table["rules"]],
        missed=[_wrong(case["experiment"], ()) for case in table["missed"][:SHOWN]],
        alarms=[_wrong(c["experiment"], c["rules"]) for c in table["false_alarms"][:SHOWN]],
        measured=True,
    )


def _score(row: dict[str, Any], table: dict[str, Any]) -> Score:
    return Score(
        rule=row["rule"], hits=row["hits"], sole=row["sole"], false_alarms=row["false_alarms"],
        warnings=row["warnings"],
        hit_bar=round(100 * row["hits"] / max(1, table["faulty"]), 2),
        alarm_bar=round(100 * row["false_alarms"] / max(1, table["healthy"]), 2),
    )  # fmt: skip


def _wrong(parameters: dict[str, Any], rules: Sequence[str]) -> Wrong:
    try:
        query = Experiment.from_json(parameters).to_query()
    except InvalidParameters:  # of a corpus older than today's bounds
        return Wrong("a specification that is no longer accepted", "")
    words = ", ".join(f"{name} {value}" for name, value in query.items()) or "the default"
    found = f" ({', '.join(rules)})" if rules else ""
    return Wrong(words + found, urlencode(query))
