"""An error of a scale stands only where the experiment itself was not seen to learn."""

import math
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from layerscope.engine.basis.cancellation import Stopped, never
from layerscope.engine.diagnosis import diagnose, trial
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.run import FixEvent, Summary, TrialEvent, result, result_cost, run
from layerscope.engine.diagnosis.trial import (
    MOST_PASSES,
    RATES,
    STEPS,
    Attempt,
    Trial,
    after_trial,
    is_tried,
    trial_cost,
    try_experiment,
)
from layerscope.engine.execution import steps
from layerscope.engine.experiment.specification import Experiment

ADAM_ALONE = Experiment(depth=5, width=32, batch=32, init_scale=0.1)
NEITHER = Experiment(depth=10, width=32, batch=32, activation="sigmoid", init_scale=0.3)
FAR_ABOVE = Experiment(
    depth=2, width=48, batch=96, activation="hardtanh", init_scale=60, data="digits",
    loss="cross_entropy", seed=534,
)  # fmt: skip
GROWS = Experiment(
    depth=30,
    width=32,
    init="xavier_normal",
    norm="layer",
    residual=True,
    data="digits",
    batch=96,
    seed=104,
)
OVERFLOW = Experiment(depth=50, width=32, batch=32, activation="linear", init="normal")
TOLD = Attempt("Adam", 0.001, 37, 2.3, 1.8, 1.8, learned=True)
FAILED = Attempt("SGD", 0.1, STEPS, 2.3, 2.3, 2.3, learned=False)


def found(experiment):
    return diagnose(gather(experiment))


def every(findings):
    return [f for root in findings for f in (root, *root.consequences)]


def test_a_scale_that_adam_divides_out_is_a_warning_that_says_so():
    before = found(ADAM_ALONE)
    tried = try_experiment(ADAM_ALONE, before)
    assert (tried.learned("Adam"), tried.learned("SGD")) == (True, False)
    after = after_trial(before, tried)
    assert before[0].severity == "error"
    assert not [f for f in every(after) if f.severity == "error"]
    assert [f.rule for f in every(after)] == [f.rule for f in every(before)]
    assert after[0].severity == "warning"
    for words in ("Adam learns (", "SGD does not (rates 0.01, 0.1: not kept below"):
        assert words in after[0].explanation
    won = next(a for a in tried.attempts if a.learned)
    for figure in (
        f"rate {won.rate:g}",
        f"{won.before:.3g} → {won.after:.3g}",
        f"{won.steps} step",
    ):
        assert figure in after[0].explanation
    assert won.lowest <= won.after < trial.SHARE * tried.constant
    descents = [a for a in tried.attempts if a.optimizer == "SGD"]
    assert [a.rate for a in descents] == list(RATES["SGD"])
    assert min(a.lowest for a in descents) >= trial.SHARE * tried.constant


def test_an_error_that_neither_optimiser_gets_over_stands_and_says_that_it_was_tried():
    before = found(NEITHER)
    tried = try_experiment(NEITHER, before)
    assert not tried.learns
    after = after_trial(before, tried)
    assert [f.severity for f in every(after)] == [f.severity for f in every(before)]
    rates = ", ".join(f"{rate:g}" for rate in RATES["Adam"])
    assert f"neither Adam (rates {rates}: not kept below" in after[0].explanation
    assert all(a.steps <= 2 * STEPS for a in tried.attempts)


def test_where_both_learn_no_error_is_left():
    descent = replace(TOLD, optimizer="SGD", rate=0.1)
    tried = Trial(64, 2.3, (TOLD, descent))
    assert "Adam learns (" in tried.text
    assert "SGD learns too (rate 0.1: loss 2.3 → 1.8 in 37 steps)" in tried.text
    after = after_trial(found(NEITHER), tried)
    assert not [f for f in every(after) if f.severity == "error"]


@pytest.mark.parametrize("experiment", [OVERFLOW, Experiment(depth=3, width=16, batch=16)])
def test_what_a_trial_could_not_change_is_not_tried(experiment):
    findings = found(experiment)
    assert not is_tried(findings)
    assert try_experiment(experiment, findings) is None


def test_a_warning_of_a_scale_that_neither_optimiser_gets_over_is_an_error():
    before = found(FAR_ABOVE)
    assert {f.severity for f in every(before)} == {"warning"}
    tried = try_experiment(FAR_ABOVE, before)
    assert not tried.learns
    after = after_trial(before, tried)
    assert [f.rule for f in after] == [f.rule for f in before]
    assert {f.severity for f in after} == {"error"}
    assert all(tried.text in f.explanation for f in after)
    *_, event = run(FAR_ABOVE)
    assert isinstance(event, TrialEvent)
    assert event.verdict.severity == "error"


@pytest.mark.parametrize("end", [{"after": 2.3 * 0.85}, {"after": 9.0, "forecast": 1.0}])
def test_what_ends_between_learning_and_nothing_or_still_comes_down_is_no_judgement(end):
    before = found(FAR_ABOVE)
    tried = Trial(64, 2.3, (replace(FAILED, optimizer="Adam", **end), FAILED))
    assert (tried.learns, tried.stuck) == (False, False)
    after = after_trial(before, tried)
    assert [f.severity for f in after] == [f.severity for f in before]
    assert all(tried.text in f.explanation for f in after)
    assert Trial(64, 2.3, (FAILED, replace(FAILED, after=math.nan, forecast=math.inf))).stuck


def test_what_is_no_warning_of_a_scale_stays_what_it_is():
    before = found(FAR_ABOVE)
    tried = Trial(64, 2.3, (FAILED,))
    inert = changed(before[0], rule="inert_parameters", severity="warning", consequences=[])
    note = changed(before[0], severity="info")
    assert after_trial([inert, note], tried) == [inert, note]
    assert not is_tried([inert, note])


def test_a_pace_is_kept_for_as_many_steps_again():
    assert trial._forecast(2.0, 1.0) == pytest.approx(1 / 8)  # halved in 50 of 150 steps
    for before, now in ((1.0, 1.0), (1.0, 1.2), (math.inf, math.nan), (math.inf, 1.0)):
        assert trial._forecast(before, now) == math.inf


@pytest.mark.parametrize(
    ("loss", "forecast", "promising"),
    [
        (0.9, 0.7, True),  # at its pace it would learn
        (0.9, 0.85, False),
        (50.0, 6.0, True),  # halved in 50 steps, from far above
        (50.0, 7.0, False),
        (0.95, 0.9, False),
        (50.0, math.inf, False),
    ],
)
def test_what_may_yet_learn_has_as_many_steps_again(loss, forecast, promising):
    one = trial._Training(ADAM_ALONE, "Adam", 0.001, 1.0, never)
    one.goal, one.loss, one.forecast = trial.SHARE, loss, forecast
    assert one.is_promising is promising


@pytest.mark.slow
def test_the_rate_that_comes_nearest_goes_on():
    tried = try_experiment(GROWS, found(GROWS))
    adam = [a for a in tried.attempts if a.optimizer == "Adam"]
    assert [a.rate for a in adam] == list(RATES["Adam"])
    (longest,) = (a for a in adam if a.steps == 2 * STEPS)
    assert longest.learned
    assert f"Adam learns (rate {longest.rate:g}" in tried.text
    assert longest.rate != RATES["Adam"][0]


def test_what_a_narrow_format_makes_too_dear_is_tried_in_float32(monkeypatch):
    narrow = ADAM_ALONE.model_copy(update={"dtype": "bfloat16"})
    findings = found(ADAM_ALONE)
    assert try_experiment(ADAM_ALONE, findings).dtype == "float32"
    assert trial_cost(narrow).flops > trial_cost(ADAM_ALONE).flops
    monkeypatch.setattr(trial, "BUDGET_FLOPS", trial._typical(ADAM_ALONE))
    assert trial_cost(narrow) == trial_cost(ADAM_ALONE)
    tried = try_experiment(narrow, findings)
    assert tried.to_dict()["dtype"] == "float32"
    assert tried.text.startswith("Tried on 32 samples in float32: Adam learns (")


def test_an_error_that_is_of_no_scale_keeps_all_of_them():
    scale = found(ADAM_ALONE)
    assert is_tried(scale)
    assert not is_tried([*scale, *found(OVERFLOW)])


def test_what_would_cost_too_much_is_not_tried_and_costs_nothing(monkeypatch):
    findings = found(ADAM_ALONE)
    assert trial_cost(ADAM_ALONE).flops > 0
    monkeypatch.setattr(trial, "BUDGET_FLOPS", 1)
    assert trial_cost(ADAM_ALONE).flops == 0
    assert try_experiment(ADAM_ALONE, findings) is None
    assert result(ADAM_ALONE, check=False)["trial"] is None


def test_no_more_passes_are_made_than_are_priced(monkeypatch):
    made = []
    passes = steps.passes

    def counted(*arguments):
        made.append(arguments)
        return passes(*arguments)

    monkeypatch.setattr(steps, "passes", counted)
    assert not try_experiment(NEITHER, found(NEITHER)).learns
    assert len(made) <= MOST_PASSES
    assert result_cost(NEITHER).flops - result_cost(NEITHER, fixes=False).flops > (
        trial_cost(NEITHER).flops
    )


def test_it_can_be_stopped():
    findings = found(ADAM_ALONE)
    with pytest.raises(Stopped):
        try_experiment(ADAM_ALONE, findings, lambda: True)


def test_it_comes_after_the_fixes_and_into_the_result():
    events = list(run(ADAM_ALONE))
    names = [e.event for e in events]
    assert names[names.index("summary") :] == ["summary", "fix", "trial"]
    summary = next(e for e in events if isinstance(e, Summary))
    event = next(e for e in events if isinstance(e, TrialEvent))
    assert [f.rule for f in event.findings] == [f.rule for f in summary.findings]
    assert (summary.verdict.severity, event.verdict.severity) == ("error", "warning")
    assert event.verdict.title == summary.verdict.title
    assert event.verdict.text == f"{event.trial.text} {summary.verdict.text}"
    fix = next(e for e in events if isinstance(e, FixEvent))
    assert event.findings[fix.finding].fix == fix.fix.change
    assert event.findings[fix.finding].fix_verified
    whole = result(ADAM_ALONE, check=False)
    told = event.to_dict()
    assert whole["findings"] == told["findings"]
    assert whole["trial"] == told["trial"]
    assert whole["verdict"] == told["verdict"]
    assert [f["severity"] for f in whole["findings"]] == [f["severity"] for f in told["findings"]]


def test_without_fixes_nothing_is_tried():
    assert not [e for e in run(ADAM_ALONE, fixes=False) if isinstance(e, TrialEvent)]
    whole = result(ADAM_ALONE, check=False, fixes=False)
    assert whole["trial"] is None
    assert whole["verdict"]["severity"] == "error"


def test_what_is_no_number_is_null_on_the_wire():
    attempt = replace(TOLD, after=float("nan"))
    told = Trial(64, 2.3, (attempt, FAILED)).to_dict()
    assert told["attempts"][0]["after"] is None
    assert told["attempts"][0]["steps"] == 37
    assert told["learned"] == {"Adam": True, "SGD": False}
