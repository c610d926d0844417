"""Running an experiment: a stream of events, each as soon as it is known."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from layerscope.engine.basis.cancellation import ShouldStop, Stopped, never
from layerscope.engine.diagnosis import Evidence, Finding, Verdict
from layerscope.engine.diagnosis.diagnose import diagnose, diagnose_early, undecided, verdict
from layerscope.engine.diagnosis.expectation import beside_theory
from layerscope.engine.diagnosis.first_steps import steps_flops
from layerscope.engine.diagnosis.fixes import FINDINGS, Fix, Outcomes, fixes_cost, verified_fix
from layerscope.engine.diagnosis.gathering import complete
from layerscope.engine.diagnosis.trial import Trial, after_trial, trial_cost, try_experiment
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.recording import Backward, Forward, Loss, Start, recorded
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.theory import Prediction
from layerscope.engine.theory.experiments import predict_experiment

__all__ = [
    "Backward", "Event", "FindingEvent", "FixEvent", "Forward", "ResultCost", "Start", "Stopped",
    "Summary", "TrialEvent", "result", "result_cost", "run", "run_cost",
]  # fmt: skip


WORDS_BYTES = 40 * 2**10
"""Of what is told of a block in the end, as Python's objects and as text: as measured."""


@dataclass(frozen=True, slots=True)
class FindingEvent:
    """Something found wrong, as soon as it is known; the summary repeats it in its final form."""

    event: ClassVar[str] = "finding"
    finding: Finding

    def to_dict(self) -> dict[str, Any]:
        return self.finding.to_dict()


@dataclass(frozen=True, slots=True)
class Summary:
    """``baseline`` is the loss of the best constant output, ``undecided`` the rules that could not
    be asked, and why; ``timing`` is in milliseconds. ``unfixed``: why no fix is tried, where that
    costs too much."""

    event: ClassVar[str] = "summary"
    loss: float
    baseline: float | None
    findings: list[Finding]
    undecided: list[dict[str, str]]
    verdict: Verdict
    theory: Prediction
    timing: dict[str, float]
    unfixed: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As on the wire; a loss that is not finite is null, its name in ``loss_text``."""
        finite = math.isfinite(self.loss)
        return {
            "loss": self.loss if finite else None,
            "loss_text": f"{self.loss:.6g}",
            "baseline": self.baseline,
            "findings": [f.to_dict() for f in self.findings],
            "undecided": self.undecided,
            "verdict": asdict(self.verdict),
            "theory": self.theory.to_dict(),
            "trial": None,
            "unfixed": self.unfixed or None,
            "check": None,
            "timing": self.timing,
        }


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """The experiment itself was tried: findings, in the summary's order and with their fixes, and
    verdict after it."""

    event: ClassVar[str] = "trial"
    trial: Trial
    findings: list[Finding]
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """What of the summary is otherwise from now on."""
        return {
            "trial": self.trial.to_dict(),
            "findings": [f.to_dict() for f in self.findings],
            "verdict": asdict(self.verdict),
        }


@dataclass(frozen=True, slots=True)
class FixEvent:
    """A fix that was tried and works, for the finding with this place in the summary's list."""

    event: ClassVar[str] = "fix"
    finding: int
    fix: Fix

    def to_dict(self) -> dict[str, Any]:
        return {"finding": self.finding, **self.fix.to_dict()}


Event = Start | Forward | Backward | FindingEvent | Summary | TrialEvent | FixEvent


def run(
    experiment: Experiment, *, fixes: bool = True, should_stop: ShouldStop = never
) -> Iterator[Event]:
    """Forward, backward and diagnosis of ``experiment``, layer by layer.

    After the summary come, if ``fixes``, fixes found by running changed specifications, for the
    most severe findings, and, where its errors are of a scale, what a trial of the experiment
    changes of it: last, since it takes ten times as long as most fixes and changes none of them.

    >>> [e.event for e in run(Experiment(depth=1, width=3, batch=4))][:3]
    ['start', 'forward', 'forward']
    """
    began = time.perf_counter()
    network = Network(experiment)
    yield Start(experiment, network.infos)
    records: list[Record] = []
    reported = False
    loss = Loss(math.nan, None)
    forward_ms = 0.0
    for event in recorded(network, should_stop):
        if isinstance(event, Loss):
            loss = event
            forward_ms = _milliseconds_since(began)
            continue
        yield event
        if isinstance(event, Forward):
            records.append(event.record)
        newest = event.record.gradient or event.record.activation
        if newest.finite < newest.count and not reported:
            reported = True
            for finding in diagnose_early(Evidence(records, starts=network.starts)):
                yield FindingEvent(finding)
    theory = predict_experiment(experiment)
    evidence = complete(network, records, loss, should_stop)
    findings = beside_theory(diagnose(evidence), theory)
    for finding in findings:
        yield FindingEvent(finding)
    yield Summary(
        loss=loss.value,
        baseline=evidence.baseline,
        findings=findings,
        undecided=undecided(evidence),
        verdict=verdict(evidence, findings),
        theory=theory,
        timing={"forward_ms": forward_ms, "total_ms": _milliseconds_since(began)},
    )
    if fixes:
        yield from _tried(experiment, evidence, findings, should_stop)


def _tried(
    experiment: Experiment, evidence: Evidence, findings: list[Finding], should_stop: ShouldStop
) -> Iterator[TrialEvent | FixEvent]:
    """What takes more than the pass: changes of the experiment, then it itself."""
    outcomes, told = Outcomes(), list(findings)
    for place, finding in enumerate(findings[:FINDINGS]):
        fix = verified_fix(
            experiment, evidence, finding, outcomes=outcomes, should_stop=should_stop
        )
        if fix is not None:
            told[place] = fix.given_to(finding)
            yield FixEvent(place, fix)
    trial = try_experiment(experiment, findings, should_stop)
    if trial is not None:
        after = after_trial(told, trial)
        said = verdict(evidence, after)
        before = next(f.explanation for f in findings if f.title == said.title)
        yield TrialEvent(trial, after, replace(said, text=f"{trial.text} {before}"))


def run_cost(experiment: Experiment) -> Cost:
    """What `run` without fixes takes."""
    return _run_cost(cost(experiment), experiment)


def _run_cost(passes: Cost, experiment: Experiment) -> Cost:
    steps = Cost(steps_flops(experiment), 0)
    return passes.then(_analysis_cost("float32_comparison", experiment)).beside(steps)


@dataclass(frozen=True, slots=True)
class ResultCost:
    """What the parts of a whole result take: the ``passes`` alone, the `run` without fixes, the
    trial and fixes for all that may be found, the check against autograd, and what is ``told``
    beside them."""

    passes: Cost
    run: Cost
    fixes: Cost
    check: Cost
    told: Cost

    @classmethod
    def of(cls, experiment: Experiment) -> ResultCost:
        """Every part asked for once."""
        passes = cost(experiment)
        return cls(
            passes=passes,
            run=_run_cost(passes, experiment),
            fixes=trial_cost(experiment).then(fixes_cost(experiment)),
            check=_analysis_cost("autograd_check", experiment),
            told=Cost(0, (experiment.depth + 1) * WORDS_BYTES),
        )

    def sum(self, *, check: bool, fixes: bool = True) -> Cost:
        """Of all parts, with the check and the fixes or without them."""
        whole = self.run.then(self.fixes) if fixes else self.run
        return (whole.then(self.check) if check else whole).beside(self.told)


def result_cost(experiment: Experiment, *, check: bool = True, fixes: bool = True) -> Cost:
    """What the whole result takes, with fixes for all that may be found."""
    return ResultCost.of(experiment).sum(check=check, fixes=fixes)


def _analysis_cost(name: str, experiment: Experiment) -> Cost:
    from layerscope.engine.analyses import ANALYSES

    return ANALYSES[name].cost(experiment)


def result(
    experiment: Experiment,
    *,
    check: bool = True,
    fixes: bool = True,
    should_stop: ShouldStop = never,
) -> dict[str, Any]:
    """The whole result of ``experiment``; ``check``: with every gradient against autograd's;
    ``fixes``: with those that were tried for what was found, and findings and verdict as they are
    once the experiment itself was tried."""
    from layerscope.engine.analyses.autograd_check import compare_with_autograd

    layers: list[Forward] = []
    summary: dict[str, Any] = {}
    for event in run(experiment, fixes=fixes, should_stop=should_stop):
        if isinstance(event, Forward):
            layers.append(event)
        elif isinstance(event, Summary):
            summary = event.to_dict()
        elif isinstance(event, TrialEvent):
            summary.update(event.to_dict())
        elif isinstance(event, FixEvent):
            summary["findings"][event.finding].update(fix=event.fix.change, fix_verified=True)
    if check:
        summary["check"] = compare_with_autograd(experiment, should_stop=should_stop).to_dict()
    return {
        "experiment": experiment.to_dict(),
        "layers": [layer.complete_dict() for layer in layers],
        **summary,
    }


def _milliseconds_since(began: float) -> float:
    return (time.perf_counter() - began) * 1e3
