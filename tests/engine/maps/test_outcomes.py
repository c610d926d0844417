"""A cell's number is the Lab's own, bit for bit, wherever the Lab tells it too."""

from __future__ import annotations

import math

import pytest

from layerscope.engine.analyses.correlations import STARTS, correlations
from layerscope.engine.analyses.spectrum import jacobian_spectra
from layerscope.engine.diagnosis.run import result
from layerscope.engine.execution.cost import cost
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.measuring import measured, reading
from layerscope.engine.maps.outcomes import OUTCOMES, START, Reading, Subject, total_cost
from layerscope.engine.maps.training import train
from layerscope.engine.training import Training, step_cost

SMALL = {"depth": 3, "width": 12, "batch": 8}
SPECIFICATIONS = [
    Experiment(**SMALL),
    Experiment(**SMALL, activation="tanh", init="lecun_normal", init_scale=3.0, bias_std=0.2),
    Experiment(**SMALL, activation="linear", norm="layer", residual=True, seed=5),
    Experiment(**SMALL, dtype="float16", init="normal"),
    Experiment(**SMALL, dtype="bfloat16", init="zeros"),
    Experiment(**SMALL, data="digits", loss="cross_entropy"),
    Experiment(depth=40, width=12, batch=8, init="normal", init_scale=20.0),
]


def of_lab(whole, block, part):
    last = [layer for layer in whole["layers"] if layer["block"] == block][-1]
    return last[part]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", SPECIFICATIONS, ids=lambda e: str(e.to_query()))
def test_loss_and_stds_are_the_labs(experiment):
    whole = result(experiment, check=False)
    found = reading(experiment, None, "loss")
    if whole["loss"] is None:
        assert found.number is None
        assert found.text == whole["loss_text"]
    else:
        assert found.number == whole["loss"]
    signal = of_lab(whole, experiment.depth, "activation")
    faults = signal["nan"] + signal["posinf"] + signal["neginf"]
    last = reading(experiment, None, "last_std")
    assert last.number == (None if faults else signal["std"])
    first, back = (of_lab(whole, block, "gradient") for block in (1, experiment.depth))
    ratio = reading(experiment, None, "gradient_ratio")
    if ratio.number is not None:
        assert ratio.number == first["std"] / back["std"]
    else:
        assert ratio.text in ("nan", "inf", "the last block's gradient is zero")


@pytest.mark.parametrize("experiment", SPECIFICATIONS, ids=lambda e: str(e.to_query()))
def test_faults_and_findings_are_the_labs(experiment):
    whole = result(experiment, check=False)
    faulty = [
        layer["block"]
        for layer in whole["layers"]
        if layer["activation"]["finite"] < layer["activation"]["count"]
    ]
    assert reading(experiment, None, "first_nonfinite").number == (faulty[0] if faulty else None)
    severities = [finding["severity"] for finding in whole["findings"]]
    level = max((OUTCOMES["finding"].levels.index(s) for s in severities), default=0)
    found = reading(experiment, None, "finding")
    assert found.number == level
    assert found.text in {"", *(f["rule"] for f in whole["findings"])}
    ends = [
        [each for each in whole["layers"] if each["block"] == block][-1]["units"]
        for block in range(1, experiment.depth + 1)
    ]
    share = sum(u["dead"] for u in ends) / sum(u["width"] for u in ends)
    assert reading(experiment, None, "dead_share").number == share


def test_condition_and_correlation_are_those_of_their_page():
    experiment = Experiment(depth=4, width=12, batch=8, activation="tanh", init="lecun_normal")
    spectra = jacobian_spectra(experiment).schemes["gaussian"]
    assert reading(experiment, None, "condition").number == spectra[-1].log10_condition
    path = correlations(experiment).paths[STARTS.index(START)]
    assert reading(experiment, None, "correlation").number == path.mean[-1]


def test_what_has_no_number_says_why():
    huge = Experiment(**SMALL, init_scale=100.0).model_copy(update={"depth": 300})
    dead = Experiment(**SMALL, init="zeros")
    assert reading(dead, None, "condition").text == "inf"
    assert reading(dead, None, "correlation") == Reading(None, "nan")
    assert reading(huge, None, "last_std").text in ("nan", "inf")
    assert reading(dead, None, "gradient_ratio").text == "the last block's gradient is zero"
    assert math.isnan(Reading(None, "nan").value)
    assert Reading.of(-math.inf).value == -math.inf
    assert Reading(None, "a sentence").value != Reading(None, "a sentence").value


def test_training_is_the_engines_and_accuracy_counts_the_batch():
    digits = Experiment(**SMALL | {"batch": 60}, data="digits", loss="cross_entropy")
    how = Training(learning_rate=0.2, steps=25)
    trained = train(digits, how)
    assert reading(digits, how, "accuracy").number == trained.accuracy
    assert reading(digits, how, "trained_loss").number == trained.loss
    assert (trained.accuracy * 60) == pytest.approx(round(trained.accuracy * 60))
    assert trained.loss < reading(digits, None, "loss").number


def test_one_step_is_one_step():
    e = Experiment(**SMALL)
    still = reading(e, Training(learning_rate=0.0, steps=3), "trained_loss")
    assert still.number == reading(e, None, "loss").number
    assert train(e, Training(steps=2)).steps == 2


def test_a_training_that_diverges_has_no_accuracy():
    digits = Experiment(**SMALL, data="digits", loss="cross_entropy", init_scale=50.0)
    found = reading(digits, Training(learning_rate=1e6, steps=50), "accuracy")
    assert found.number is None
    assert "the loss after" in found.text


def test_costs_count_every_step():
    e = Experiment(**SMALL)
    assert total_cost(e, OUTCOMES["loss"]) == cost(e)
    for how in (Training(steps=9), Training(steps=9, optimizer="adam")):
        trained = total_cost(e, OUTCOMES["trained_loss"], how)
        step = step_cost(e, how)
        assert trained.flops == 9 * step.flops + cost(e).flops
        assert trained.bytes == step.bytes > cost(e).bytes
    for each in OUTCOMES.values():
        assert each.cost(e).flops > 0


@pytest.mark.parametrize("name", OUTCOMES)
def test_every_outcome_describes_itself_and_gives_a_reading(name):
    outcome = OUTCOMES[name]
    assert outcome.title
    assert outcome.formula
    assert outcome.source
    assert outcome.help
    digits = Experiment(**SMALL, data="digits", loss="cross_entropy", activation="tanh")
    subject = Subject(digits, Training(steps=2) if outcome.trains else None)
    found = outcome.read(subject)
    assert found.number is not None or found.text == "none"
    if outcome.bounds and found.number is not None:
        assert outcome.bounds[0] <= found.number <= outcome.bounds[1] + 1e-12


def test_what_an_experiment_cannot_have_is_objected_to():
    assert "classes" in OUTCOMES["accuracy"].objection(Experiment())
    assert "ties" in OUTCOMES["correlation"].objection(Experiment(norm="batch"))
    assert "parallel" in OUTCOMES["correlation"].objection(Experiment(inputs=1))


def test_another_engine_is_refused():
    with pytest.raises(ValueError, match="another engine"):
        measured(0, Experiment(**SMALL).to_dict(), None, "loss", "0" * 64)
