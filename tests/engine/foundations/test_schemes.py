"""All schemes on one specification: histograms count every weight, signals are the run's."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.diagnosis.run import Forward, run
from layerscope.engine.execution.cost import cost
from layerscope.engine.execution.network import Network
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.schemes import AXIS, BINS, SchemeResult, schemes, schemes_cost
from layerscope.engine.layers.initialization import INITS


def results(experiment, names=None):
    return {e.name: e for e in schemes(experiment, names) if isinstance(e, SchemeResult)}


@pytest.fixture(scope="module")
def notes():
    return results(Experiment())


def test_order_and_events():
    events = [e.event for e in schemes(Experiment(depth=2, width=6, batch=5))]
    assert events == ["start", *["scheme"] * len(INITS), "end"]
    first, *_, last = schemes(Experiment(depth=2, width=6, batch=5), ["zeros", "orthogonal"])
    assert first.schemes == ("zeros", "orthogonal")
    assert "init" not in first.experiment
    assert last.holding == ("orthogonal",)


def test_the_notes_results_for_relu(notes):
    """randn overflows, 1/√n vanishes through ReLU to about 1e-8, Kaiming holds."""
    assert notes["normal"].outcome == "overflows"
    assert 30 < notes["normal"].until <= 50
    assert notes["lecun_normal"].outcome == "shrinks"
    assert 1e-9 < notes["lecun_normal"].signal[-1].std < 1e-6
    assert notes["kaiming_normal"].outcome == "holds"
    assert notes["zeros"].outcome == "dies"
    assert notes["zeros"].until == 1
    assert notes["lecun_normal"].factor == pytest.approx(math.sqrt(0.5), rel=0.05)


def test_a_size_that_lasts_is_no_signal_where_nothing_is_told_apart(notes):
    assert notes["constant"].outcome == "copies"
    assert notes["constant"].words.startswith("all 100 units are copies, though std ×")
    sigmoid = results(Experiment(activation="sigmoid", width=40, depth=30), ["xavier_normal"])
    assert sigmoid["xavier_normal"].outcome == "alike"
    assert sigmoid["xavier_normal"].words.startswith("all 200 samples look the same")
    one = results(Experiment(width=1, depth=2, activation="tanh"), ["constant"])["constant"]
    assert one.outcome == "holds"  # one unit is nobody's copy
    branches = results(Experiment(residual=True, width=16, depth=4), ["zeros"])["zeros"]
    assert branches.outcome == "holds"
    assert list(schemes(Experiment(depth=3, width=8), ["constant"]))[-1].holding == ()


@pytest.mark.slow
def test_the_signal_is_the_run_of_the_same_experiment(notes):
    for name in ("kaiming_normal", "lsuv", "sparse"):
        experiment = Experiment(init=name)
        stds = [
            e.record.activation.std
            for e in run(experiment, fixes=False)
            if isinstance(e, Forward) and e.info.ends_block and e.info.block <= experiment.depth
        ]
        assert [s.std for s in notes[name].signal] == stds
        assert [s.block for s in notes[name].signal] == list(range(1, 51))


@pytest.mark.parametrize("name", INITS)
def test_bars_atoms_and_the_outside_count_every_weight(notes, name):
    h = notes[name].weight
    bars = math.fsum(h.density) * 2 * AXIS / BINS
    atoms = math.fsum(a.share for a in h.atoms)
    outside = (h.below + h.above) / math.prod(h.shape)
    assert bars + atoms + outside == pytest.approx(1, abs=1e-9)
    assert h.nonfinite == 0


def test_gain_is_the_theory_number(notes):
    assert notes["kaiming_normal"].gain == pytest.approx(math.sqrt(2))
    assert notes["lecun_normal"].gain == pytest.approx(1)
    assert notes["normal"].gain == pytest.approx(10)
    scaled = results(Experiment(depth=1, init_scale=0.1), ["normal"])
    assert scaled["normal"].gain == pytest.approx(1)


def test_the_curve_of_lsuv_has_the_measured_scale(notes):
    h = notes["lsuv"].weight
    step = h.curve_x[1] - h.curve_x[0]
    second = sum(x * x * y for x, y in zip(h.curve_x, h.curve, strict=True)) * step
    assert second == pytest.approx(1, rel=0.01)


def test_the_histogram_is_of_the_weight_that_is_run(notes):
    network = Network(Experiment(init="kaiming_uniform"))
    weight = network.build(network.infos[0], network.x).parameters["weight"].double()
    h = notes["kaiming_uniform"].weight
    edges = torch.linspace(-AXIS, AXIS, BINS + 1, dtype=torch.float64) * h.unit
    counts = torch.histogram(weight.flatten(), edges).hist
    assert h.density == pytest.approx((counts / weight.numel() / (2 * AXIS / BINS)).tolist())
    assert h.std == pytest.approx(float(weight.std()))


def test_the_cost_is_that_of_every_scheme():
    experiment = Experiment(depth=3, width=20)
    each = [cost(experiment.model_copy(update={"init": name})) for name in INITS]
    total = schemes_cost(experiment)
    assert total.flops == sum(c.flops for c in each)
    assert total.bytes == max(c.bytes for c in each)


def test_stops_before_the_next_layer():
    asked = iter([False] * 20)
    with pytest.raises(Stopped):
        list(schemes(Experiment(depth=50, width=5), should_stop=lambda: next(asked, True)))


def test_an_unknown_scheme_is_named():
    with pytest.raises(ValueError, match="'nothing'; expected one of: normal, "):
        next(schemes(Experiment(), ["nothing"]))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    st.builds(
        Experiment,
        depth=st.integers(1, 4),
        width=st.integers(1, 12),
        batch=st.integers(1, 9),
        inputs=st.none() | st.integers(1, 9),
        init_scale=st.sampled_from([0.0, 1e-30, 0.1, 1.0, 100.0]),
        activation=st.sampled_from(["relu", "tanh", "linear", "gelu"]),
        dtype=st.sampled_from(["float32", "float64", "float16", "bfloat16"]),
        norm=st.sampled_from(["none", "layer"]),
        bias_std=st.sampled_from([0.0, 1.0]),
    )
)
def test_every_result_is_json(experiment):
    for event in schemes(experiment):
        json.dumps(event.to_dict(), allow_nan=False)
