"""The weights' formula is that of a layer which is there."""

import pytest

from layerscope.app.pages.controls import experiment_controls
from layerscope.app.pages.lab.blocks import blocks
from layerscope.app.pages.lab.captions import chart_words
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.execution.network import layout
from layerscope.engine.experiment import Experiment
from layerscope.engine.theory.experiments import predict_experiment


@pytest.mark.parametrize(
    ("typed", "formula"),
    [
        ({}, "w = 1 · √(2/100) · randn(100, 100)"),
        ({"inputs": "100", "width": "50", "depth": "1"}, "w = 1 · √(2/100) · randn(100, 50)"),
        ({"inputs": "100", "width": "50", "depth": "2"}, "w = 1 · √(2/50) · randn(50, 50)"),
        ({"data": "digits", "width": "30", "depth": "1"}, "w = 1 · √(2/64) · randn(64, 30)"),
        ({"width": "30", "depth": "1"}, "w = 1 · √(2/30) · randn(30, 30)"),
        (
            {"init": "pytorch_default", "init_scale": "2"},
            "w = 2 · U(−a, a), a = √(1/100), biases alike",
        ),
        ({"data": "nothing", "depth": "x"}, "w = 1 · √(2/100) · randn(100, 100)"),
    ],
    ids=str,
)  # fmt: skip
def test_the_formula_is_that_of_a_layer_which_is_there(typed, formula):
    assert experiment_controls(typed, {})["init_scale"].formula == formula


def test_one_number_in_a_layer_is_told_as_what_it_is():
    """Its size is drawn, and it has no standard deviation."""
    experiment = Experiment(depth=1, width=1, batch=1)
    records = gather(experiment).records
    activations, *_ = chart_words(
        experiment, blocks(layout(experiment)), records, predict_experiment(experiment)
    )
    assert {w.text for w in activations.empty if w.side == "before"} == {
        "one activation in a layer has no standard deviation"
    }
    assert "none, of one number in a layer" in activations.described[1].text
