"""What trials change of the diagnosis on the corpus: whom an error accuses once the experiment
itself was trained a little."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.diagnosis.diagnose import diagnose
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.trial import after_trial, try_experiment
from layerscope.engine.experiment.specification import Experiment

__all__ = ["DRAWN_FREELY", "AfterTrial", "adam_alone", "count_trials", "judge_by_trial"]

DRAWN_FREELY = "drawn freely"
"""What cases are called that are of no kind."""
TRAINED = 0.6  # of the constant predictor's loss, as the corpus has it of an optimiser that trains


@dataclass(frozen=True, slots=True)
class AfterTrial:
    """Whether a case was found faulty by its pass, whether it was tried, and whether an error
    stands after that."""

    error: bool
    tried: bool
    stands: bool


def judge_by_trial(case: dict[str, Any], should_stop: ShouldStop = never) -> AfterTrial:
    """A case of the corpus diagnosed, and tried where what is found is of a scale.

    >>> judge_by_trial({"experiment": {"depth": 5, "width": 32, "batch": 32, "init_scale": 0.1}})
    AfterTrial(error=True, tried=True, stands=False)
    """
    experiment = Experiment(**case["experiment"])
    found = diagnose(gather(experiment, should_stop))
    error = any(f.severity == "error" for f in found)
    tried = try_experiment(experiment, found, should_stop)
    if tried is not None:
        found = after_trial(found, tried)
    return AfterTrial(error, tried is not None, any(f.severity == "error" for f in found))


def adam_alone(case: dict[str, Any]) -> bool:
    """Whether Adam trains a case's network, its number format holds, and SGD does not train it."""
    adam, sgd = (case[name] for name in ("adam", "sgd"))
    learns = adam is not None and adam < TRAINED and case["healthy"] is None
    return learns and (sgd is None or sgd >= TRAINED)


def count_trials(
    cases: Sequence[dict[str, Any]], judged: Sequence[AfterTrial | None]
) -> dict[str, Any]:
    """The counts over all cases, over the half by which thresholds were chosen (``choosing``), and
    over the one that is ``held_out``; of that by ``kinds`` too, as far as cases were drawn of one.

    ``judged``: by case, None where it was not asked, as of one that is neither healthy nor faulty
    nor trained by Adam alone. ``lowered`` are the places of those whose errors became warnings,
    ``raised`` of those whose warnings became errors. ``missed`` and ``accused`` are the
    specifications of the faulty without an error in the end, and of the healthy with one.
    """
    places = range(len(cases))
    held_out = [i for i in places if cases[i].get("held_out")]
    of_kind: dict[str, list[int]] = {}
    for i in held_out:
        of_kind.setdefault(cases[i].get("kind", DRAWN_FREELY), []).append(i)
    return {
        "tried": sum(j is not None and j.tried for j in judged),
        "lowered": [i for i, j in enumerate(judged) if j is not None and j.error and not j.stands],
        "raised": [i for i, j in enumerate(judged) if j is not None and j.stands and not j.error],
        "missed": _judged(cases, judged, healthy=False, stands=False),
        "accused": _judged(cases, judged, healthy=True, stands=True),
        "all": _counts(cases, judged, places),
        "choosing": _counts(cases, judged, [i for i in places if not cases[i].get("held_out")]),
        "held_out": _counts(cases, judged, held_out),
        "kinds": {kind: _counts(cases, judged, each) for kind, each in of_kind.items()},
    }


def _judged(
    cases: Sequence[dict[str, Any]],
    judged: Sequence[AfterTrial | None],
    *,
    healthy: bool,
    stands: bool,
) -> list[dict[str, Any]]:
    return [
        c["experiment"] for c, j in zip(cases, judged, strict=True)
        if j is not None and c["healthy"] is healthy and j.stands == stands
    ]  # fmt: skip


def _counts(
    cases: Sequence[dict[str, Any]], judged: Sequence[AfterTrial | None], places: Sequence[int]
) -> dict[str, Any]:
    groups = {
        "faulty": [i for i in places if cases[i]["healthy"] is False],
        "healthy": [i for i in places if cases[i]["healthy"]],
        "adam_only": [i for i in places if adam_alone(cases[i])],
    }
    told: dict[str, Any] = {}
    for name, members in groups.items():
        asked = [j for i in members if (j := judged[i]) is not None]
        stands = sum(j.stands for j in asked)
        told[name] = {
            "cases": len(asked),
            "errors_before": sum(j.error for j in asked),
            "errors": stands,
            "share": stands / len(asked) if asked else None,
        }
    return told
