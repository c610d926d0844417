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
from layerscope.app.why import evaluation, evaluation_of_trainings
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.diagnosis import RULES
from layerscope.engine.diagnosis.rule import Rule
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.probe.rules import TRAINING_RULES
from layerscope.engine.probe.rules.base import TrainingRule

__all__ = [
    "DiagnosisPage", "Score", "TrainingScore", "Trainings", "TrialRow", "Trials", "Wrong", "router",
]  # fmt: skip

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
class TrialRow:
    """How many of a kind of networks an error accuses: from the pass, once tried, and of those at
    even and at odd places of the corpus."""

    name: str
    cases: int
    before: str
    after: str
    even: str
    odd: str


@dataclass(frozen=True, slots=True)
class Trials:
    """What it changes that experiments whose errors are of a scale are trained a little."""

    tried: int
    lowered: int
    rows: Sequence[TrialRow]


@dataclass(frozen=True, slots=True)
class TrainingScore:
    """A row about real trainings: shares in words, and the bars' lengths in per cent."""

    name: str
    over_time: bool
    pairs: int
    recall: str
    right_kind: str
    apart: str
    healthy: int
    false_alarms: str
    kind_bar: float
    alarm_bar: float


@dataclass(frozen=True, slots=True)
class Trainings:
    """What the probe says of real small trainings. ``wrong`` are cases in words."""

    total: TrainingScore
    halves: Sequence[TrainingScore]
    scores: Sequence[TrainingScore]
    seeds: int
    trainings: int
    wrong: Sequence[str]
    not_shown: Sequence[str]


@dataclass(frozen=True, slots=True)
class DiagnosisPage:
    """What the template receives."""

    rules: Sequence[Rule]
    names: Sequence[str]
    training_rules: Sequence[TrainingRule]
    trainings: Trainings | None
    recall: str
    false_alarm_rate: str
    faulty: int
    healthy: int
    undecided: int
    scores: Sequence[Score]
    missed: Sequence[Wrong]
    alarms: Sequence[Wrong]
    trials: Trials | None
    measured: bool


router = APIRouter(include_in_schema=False)


@router.get("/why/diagnosis", response_class=HTMLResponse, name="why_diagnosis")
async def diagnosis(request: Request) -> Response:
    """The table of the evaluation as a picture, and every rule in the words of its code."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    return await render(request, "pages/why/diagnosis.html", _page())


def _page() -> DiagnosisPage:
    rules, over_time = list(RULES.values()), list(TRAINING_RULES.values())
    trainings = _trainings(evaluation_of_trainings())
    table = evaluation()
    if table is None:
        nothing = ("–", "–", 0, 0, 0, (), (), (), None)
        return DiagnosisPage(rules, tuple(RULES), over_time, trainings, *nothing, measured=False)
    return DiagnosisPage(
        rules=rules,
        names=tuple(RULES),
        training_rules=over_time,
        trainings=trainings,
        recall=percent(table["recall"]),
        false_alarm_rate=percent(table["false_alarm_rate"]),
        faulty=table["faulty"],
        healthy=table["healthy"],
        undecided=table["undecided"],
        scores=[_score(row, table) for row in table["rules"]],
        missed=[_wrong(case["experiment"], ()) for case in table["missed"][:SHOWN]],
        alarms=[_wrong(c["experiment"], c["rules"]) for c in table["false_alarms"][:SHOWN]],
        trials=_trials(table.get("after_trials")),
        measured=True,
    )


def _score(row: dict[str, Any], table: dict[str, Any]) -> Score:
    return Score(
        rule=row["rule"], hits=row["hits"], sole=row["sole"], false_alarms=row["false_alarms"],
        warnings=row["warnings"],
        hit_bar=round(100 * row["hits"] / max(1, table["faulty"]), 2),
        alarm_bar=round(100 * row["false_alarms"] / max(1, table["healthy"]), 2),
    )  # fmt: skip


KINDS = {
    "faulty": "faulty: neither optimiser trains it",
    "healthy": "healthy: both do",
    "adam_only": "Adam alone trains it",
}
"""Of networks, as the table counts them."""


def _trials(counts: dict[str, Any] | None) -> Trials | None:
    if counts is None:
        return None
    rows = [
        TrialRow(
            name=name,
            cases=counts["all"][kind]["cases"],
            before=_accused(counts["all"][kind], "errors_before"),
            after=_accused(counts["all"][kind], "errors"),
            even=_accused(counts["even"][kind], "errors"),
            odd=_accused(counts["odd"][kind], "errors"),
        )
        for kind, name in KINDS.items()
    ]
    return Trials(counts["tried"], len(counts["lowered"]), rows)


def _accused(counted: dict[str, Any], which: str) -> str:
    return percent(counted[which] / max(1, counted["cases"]))


def _trainings(table: dict[str, Any] | None) -> Trainings | None:
    if table is None:
        return None
    cases, seeds = table["cases"], table["seeds"]
    return Trainings(
        total=_training_score("all", table["all"]),
        halves=[
            _training_score("by which thresholds may be chosen", table["thresholds"]),
            _training_score("held out", table["held_out"]),
        ],
        scores=[_training_score(row["rule"], row) for row in table["rules"] if row["pairs"]],
        seeds=seeds,
        trainings=sum(2 if case["rule"] else 1 for case in cases),
        wrong=[words for case in cases for words in _judged_wrongly(case, seeds)],
        not_shown=[case["title"] for case in cases if case.get("is_fault") is False],
    )


def _training_score(name: str, row: dict[str, Any]) -> TrainingScore:
    return TrainingScore(
        name=name, over_time=name in TRAINING_RULES, pairs=row["pairs"],
        recall=_share(row["recall"]),
        right_kind=_share(row["right_kind"]), apart=_share(row["apart"]),
        healthy=row["healthy"], false_alarms=_share(row["false_alarms"]),
        kind_bar=round(100 * (row["right_kind"] or 0), 2),
        alarm_bar=round(100 * (row["false_alarms"] or 0), 2),
    )  # fmt: skip


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _judged_wrongly(case: dict[str, Any], seeds: int) -> list[str]:
    """A case of which something was not said, or said wrongly, with some seed."""
    words = []
    if case.get("is_fault"):
        if missed := seeds - case["found"]:
            words.append(f"{case['title']}: missed with {missed} of {seeds} seeds")
        if other := case["found"] - case["named"]:
            told = ", ".join(rule for rule in case["told"] if rule != case["rule"])
            words.append(f"{case['title']}: with {other} of {seeds} seeds called {told}")
    if case["is_healthy"] and case["alarms"]:
        twin = "the repaired twin of “{}”" if case["rule"] else "{}"
        words.append(
            f"{twin.format(case['title'])}: healthy, and accused of "
            f"{', '.join(case['accused_of'])} with {case['alarms']} of {seeds} seeds"
        )
    return words


def _wrong(parameters: dict[str, Any], rules: Sequence[str]) -> Wrong:
    try:
        query = Experiment.from_json(parameters).to_query()
    except InvalidParameters:  # of a corpus older than today's bounds
        return Wrong("a specification that is no longer accepted", "")
    words = ", ".join(f"{name} {value}" for name, value in query.items()) or "the default"
    found = f" ({', '.join(rules)})" if rules else ""
    return Wrong(words + found, urlencode(query))
