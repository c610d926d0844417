"""How well the diagnosis does: every rule's hits and false alarms, and the rules themselves."""

from __future__ import annotations

import json
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
    "Accused", "DiagnosisPage", "KindRow", "Score", "Totals", "TrainingScore", "Trainings",
    "TrialRow", "Trials", "Wrong", "router",
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
class Accused:
    """The share of so many networks that an error accuses: from the pass, and once tried."""

    cases: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A group of networks, in the half of the corpus that is held out and in the one by which
    thresholds were chosen."""

    name: str
    held_out: Accused
    choosing: Accused


@dataclass(frozen=True, slots=True)
class KindRow:
    """The networks of the held out half that were drawn of one kind: of how many, by group, an
    error accuses how many once they were tried."""

    name: str
    groups: Sequence[str]


@dataclass(frozen=True, slots=True)
class Trials:
    """What it changes that experiments in which something is of a scale are trained a little."""

    tried: int
    lowered: int
    raised: int
    rows: Sequence[TrialRow]
    kinds: Sequence[KindRow]


@dataclass(frozen=True, slots=True)
class Totals:
    """A figure for each group of networks: its name, the share accused, and of how many."""

    figures: Sequence[tuple[str, str, str]]
    of: str
    """Which cases they are about, in words."""


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
    totals: Totals | None
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
        nothing = (None, 0, (), (), (), None)
        return DiagnosisPage(rules, tuple(RULES), over_time, trainings, *nothing, measured=False)
    missed, alarms = _wrongs(table)
    return DiagnosisPage(
        rules=rules,
        names=tuple(RULES),
        training_rules=over_time,
        trainings=trainings,
        totals=_totals(table),
        undecided=table["undecided"],
        scores=[_score(row, table) for row in table["rules"]],
        missed=[_wrong(each, ()) for each in missed[:SHOWN]],
        alarms=[_wrong(each, found) for each, found in alarms[:SHOWN]],
        trials=_trials(table.get("after_trials")),
        measured=True,
    )


def _wrongs(table: dict[str, Any]) -> tuple[list[dict[str, Any]], list[tuple[Any, list[str]]]]:
    """The faulty that were missed, and the healthy that were accused with the rules that did: once
    tried, where that is known."""
    missed = [case["experiment"] for case in table["missed"]]
    alarms = [(case["experiment"], case["rules"]) for case in table["false_alarms"]]
    if trials := table.get("after_trials"):
        named = {json.dumps(each): rules for each, rules in alarms}
        accused = [(each, named.get(json.dumps(each), [])) for each in trials["accused"]]
        return trials["missed"], accused
    return missed, alarms


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


def _totals(table: dict[str, Any]) -> Totals:
    """Of what nothing was chosen by, once tried; of all of it, by the pass, where that is all there
    is."""
    if trials := table.get("after_trials"):
        found = [_accused(trials["held_out"][kind]) for kind in KINDS]
        told = [(a.after, f"of {a.cases}") for a in found]
        of = "networks that the rules first saw when they were set: nothing was chosen by them"
    else:
        told = [
            (percent(table["recall"]), f"of {table['faulty']}"),
            (percent(table["false_alarm_rate"]), f"of {table['healthy']}"),
        ]
        of = "all networks, by the pass alone"
    names = ("faulty networks found", "healthy ones accused", "accused, though Adam trains them")
    return Totals([(name, *each) for name, each in zip(names, told, strict=False)], of)


def _trials(counts: dict[str, Any] | None) -> Trials | None:
    if counts is None:
        return None
    rows = [
        TrialRow(
            name=name,
            held_out=_accused(counts["held_out"][kind]),
            choosing=_accused(counts["choosing"][kind]),
        )
        for kind, name in KINDS.items()
    ]
    kinds = [
        KindRow(name, [f"{each[g]['errors']} of {each[g]['cases']}" for g in KINDS])
        for name, each in counts["kinds"].items()
    ]
    lowered, raised = len(counts["lowered"]), len(counts["raised"])
    return Trials(counts["tried"], lowered, raised, rows, kinds)


def _accused(counted: dict[str, Any]) -> Accused:
    before, after = (
        percent(counted[which] / max(1, counted["cases"])) for which in ("errors_before", "errors")
    )
    return Accused(counted["cases"], before, after)


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
