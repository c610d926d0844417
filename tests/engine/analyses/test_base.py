"""The registry of analyses: every entry runs, tells its cost, stops, and becomes JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from torch import Tensor

from layerscope.engine.analyses import ANALYSES, AnalysisUndefined, analysis
from layerscope.engine.analyses.spectrum import EXACT_WORK
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.execution.cost import Limits, OverLimit, cost
from layerscope.engine.experiment.specification import DTYPES, Experiment
from layerscope.engine.layers import ACTIVATIONS, Activation

pytestmark = pytest.mark.slow

SMALL = Experiment(depth=3, width=6, batch=5, activation="tanh", dtype="bfloat16")
every = pytest.mark.parametrize("name", list(ANALYSES))


def test_the_order_is_that_of_the_names_whatever_was_imported_first() -> None:
    with ANALYSES.temporarily():
        analysis("a_late_one", title="", formula="", source="", help="", cost=cost)(
            ANALYSES["correlations"].run
        )
        assert list(ANALYSES)[:2] == ["a_late_one", "autograd_check"]
        assert list(ANALYSES) == sorted(entry["name"] for entry in ANALYSES.describe())


@every
def test_an_analysis_says_what_it_is_and_its_result_is_json(name: str) -> None:
    entry = ANALYSES[name]
    assert all((entry.title, entry.formula, entry.source, entry.help))
    json.dumps(entry.run(SMALL).to_dict(), allow_nan=False)


@every
def test_an_analysis_stops_when_asked(name: str) -> None:
    other = SMALL.model_copy(update={"activation": "mish"})  # nothing of it is kept from before
    with pytest.raises(Stopped):
        ANALYSES[name].run(other, should_stop=lambda: True)


@every
def test_the_cost_grows_with_the_network_or_is_the_same_for_all(name: str) -> None:
    small = ANALYSES[name].cost(SMALL)
    deeper = ANALYSES[name].cost(SMALL.model_copy(update={"depth": 300}))
    wider = ANALYSES[name].cost(SMALL.model_copy(update={"width": 300}))
    if not small == deeper == wider:
        assert small.flops < min(deeper.flops, wider.flops)
        assert small.bytes < min(deeper.bytes, wider.bytes)


def test_what_costs_too_much_is_refused_before_it_runs() -> None:
    wide = Experiment(width=4096, depth=1000)
    assert EXACT_WORK < 4096**3 * 1000
    with pytest.raises(OverLimit, match="floating point operations"):
        Limits().check(ANALYSES["spectrum"].cost(wide))


def test_precision_costs_the_reference_and_a_run_in_each_format() -> None:
    e = Experiment(depth=10, width=30)
    needed = ANALYSES["precision"].cost(e)
    each = [cost(Experiment(depth=10, width=30, dtype=dtype)) for dtype in DTYPES]
    assert needed.flops == sum(run.flops for run in each)
    assert needed.bytes >= cost(Experiment(depth=10, width=30, dtype="float64")).bytes


def test_wide_formats_cost_no_comparison_with_float32() -> None:
    assert ANALYSES["float32_comparison"].cost(Experiment()).flops == 0
    assert ANALYSES["float32_comparison"].run(Experiment(depth=1)).to_dict()["cosines"] is None


def test_an_undefined_analysis_names_the_parameter_in_the_way() -> None:
    with pytest.raises(AnalysisUndefined, match="expected none, layer or rms") as caught:
        ANALYSES["spectrum"].run(Experiment(norm="batch", depth=2, width=4))
    assert caught.value.field == "norm"


class Exponential(Activation):
    name = "exponential"
    formula = "exp x"
    gradient_formula = "∂L/∂x = g·y"
    source = "a test"
    help = "Its moments leave float64 long before its arguments do."
    saves = "output"

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x.exp()

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g * saved

    reference = function

    @staticmethod
    def symbolic(x: Any) -> Any:
        import sympy

        return sympy.exp(x)


@every
def test_an_activation_without_finite_moments_is_answered_or_refused_in_words(name: str) -> None:
    with ACTIVATIONS.temporarily():
        ACTIVATIONS.register(Exponential)
        e = Experiment(depth=3, width=6, batch=5, activation="exponential", init="normal")
        refused = None
        try:
            json.dumps(ANALYSES[name].run(e).to_dict(), allow_nan=False)
        except AnalysisUndefined as error:
            refused = error
        if refused is not None:
            assert refused.field in Experiment.model_fields
            assert "finite" in str(refused)
