"""The notes' results, through the API: rows 8 to 13 of what the project has to show."""

from __future__ import annotations

import httpx
import pytest

from layerscope.engine.diagnosis.run import ResultCost
from layerscope.engine.experiment.presets import PRESETS
from layerscope.engine.experiment.specification import Experiment

NOTES = {"activation": "linear", "init": "normal", "depth": 50, "width": 100, "batch": 200}


@pytest.fixture(scope="module")
def site(serve):
    """A server that checks all that is asked for here, and tries fixes for little of it: trainings
    of fifty layers take a hundred times as long as what these tests are about."""
    experiments = [Experiment(**NOTES), *(preset.experiment for preset in PRESETS)]
    most = max(ResultCost.of(e).sum(check=True, fixes=False).flops for e in experiments)
    with serve(max_flops=most, warm_up=False) as running:
        yield running


@pytest.fixture(scope="module")
def ask(site):
    def get(**parameters):
        response = site.client.get("/api/v1/experiment", params=parameters)
        assert response.status_code == 200, response.text
        return response.json()

    return get


def blocks(result, kind=None):
    """The layers that end a hidden block, by block from 1."""
    last = {}
    for layer in result["layers"]:
        if layer["block"] <= result["experiment"]["depth"] and kind in (None, layer["kind"]):
            last[layer["block"]] = layer["activation"]
    return last


def test_randn_through_50_layers_overflows_at_38_and_is_nan_from_39(ask):
    result = ask(**NOTES)
    by_block = blocks(result)
    first_inf = min(b for b, s in by_block.items() if s["posinf"] or s["neginf"])
    first_nan = min(b for b, s in by_block.items() if s["nan"])
    assert (first_inf, first_nan) == (38, 39)
    assert by_block[50]["nan"] == by_block[50]["count"]
    assert by_block[50]["std"] is None
    assert result["loss"] is None
    finding = result["findings"][0]
    assert (finding["rule"], finding["severity"]) == ("nonfinite", "error")
    assert finding["layers"][0] == 37  # indices count from 0


def test_randn_times_a_hundredth_is_exactly_zero_from_46_on(ask):
    by_block = blocks(ask(**NOTES, init_scale=0.01))
    for block, s in by_block.items():
        assert (s["zeros"] == s["count"]) == (block >= 46), block


def test_randn_times_a_tenth_holds(ask):
    stds = [s["std"] for s in blocks(ask(**NOTES, init_scale=0.1)).values()]
    assert len(stds) == 50
    assert all(0.5 < std < 2 for std in stds)


def test_a_slight_variation_from_a_tenth_changes_it_all(ask):
    above = blocks(ask(**NOTES, init_scale=0.12))[50]["std"]
    below = blocks(ask(**NOTES, init_scale=0.08))[50]["std"]
    assert above > 1e3
    assert below < 1e-3


def test_relu_times_a_tenth_vanishes(ask):
    last = blocks(ask(init="normal", init_scale=0.1))[50]
    assert 1e-9 < last["std"] < 1e-7


def test_kaiming_holds_with_relu(ask):
    result = ask()
    stds = [s["std"] for s in blocks(result).values()]
    assert all(0.03 < std < 3 for std in stds)
    assert not [f for f in result["findings"] if f["severity"] == "error"]


def test_randn_weights_give_a_first_layer_of_std_ten(ask):
    result = ask(depth=1, width=50, inputs=100, activation="linear", init="normal")
    assert result["layers"][0]["shape"] == [200, 50]
    assert result["layers"][0]["activation"]["std"] == pytest.approx(10, rel=0.1)


def test_the_notes_model_after_relu(ask):
    """linear, ReLU, linear on 200 samples of 100, with Kaiming weights: mean 0.57, std 0.83."""
    result = ask(depth=1, width=50, inputs=100)
    assert [layer["kind"] for layer in result["layers"]] == ["linear", "relu", "linear"]
    assert result["layers"][1]["activation"]["mean"] == pytest.approx(0.57, abs=0.05)
    assert result["layers"][1]["activation"]["std"] == pytest.approx(0.83, abs=0.06)
    assert result["layers"][2]["shape"] == [200, 1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_equal_autograd(ask, dtype):
    check = ask(depth=10, dtype=dtype, check="true")["check"]
    bound = {"float32": 1e-4, "float64": 1e-11}[dtype]
    assert check["compared"] == 21 + 2 * 11  # every output, every weight and bias
    assert check["autograd_max_relative_error"] < bound


@pytest.mark.slow
def test_a_presets_address_gives_the_presets_experiment(site):
    presets = site.client.get("/api/v1/presets").json()
    assert [p["name"] for p in presets][:3] == ["randn", "randn-0.01", "randn-0.1"]
    for preset in presets:
        url = f"/api/v1/experiment?{preset['query']}"
        answer: httpx.Response = site.client.get(url)
        assert answer.json()["experiment"] == preset["experiment"], preset["name"]
