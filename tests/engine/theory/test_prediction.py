"""The prediction's form: layers, refusals, JSON, extremes, forecasts, loss gradients."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from layerscope.engine.layers.activations import ACTIVATIONS
from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.theory import Prediction, predict
from layerscope.engine.theory.losses import loss_gradient

SIZES: dict[str, Any] = {"depth": 6, "width": 64, "inputs": 32, "outputs": 3, "batch": 16}


HUNDRED: dict[str, Any] = {"width": 100, "inputs": 100, "outputs": 1, "batch": 200}


def kaiming(n_in: int, n_out: int) -> float:
    return 2 / n_in


def constant(value: float) -> Callable[[int, int], float]:
    return lambda *_: value


def _every_number(text: str) -> list[float]:
    found: list[float] = []
    for_each = {
        f"parse_{kind}": lambda number: found.append(float(number))
        for kind in ("int", "float", "constant")
    }
    json.loads(text, **for_each)
    return found


@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("norm", ["none", "layer", "batch", "rms"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    "variance", [lambda n, _: 2 / n, constant(1.0), lambda *_: 1e-6, constant(0.0)]
)
def test_json_holds_only_finite_numbers(
    name: str, norm: str, residual: bool, variance: Callable[[int, int], float]
) -> None:
    sizes = SIZES | {"inputs": 64, "depth": 12}
    for bias in (0.0, 0.5):
        p = predict(name, **sizes, variance=variance, norm=norm, residual=residual, bias_std=bias)
        assert p.available
        text = json.dumps(p.to_dict(), allow_nan=False)
        assert all(map(math.isfinite, _every_number(text)))


@pytest.mark.parametrize(
    ("norm", "residual", "kinds"),
    [
        ("none", False, ["linear", "relu"]),
        ("layer", False, ["linear", "layer_norm", "relu"]),
        ("rms", True, ["linear", "rms_norm", "relu", "add"]),
    ],
)
def test_layers_come_in_the_networks_order(norm: str, residual: bool, kinds: list[str]) -> None:
    p = predict("relu", **SIZES, variance=kaiming, norm=norm, residual=residual)
    first = [k for k in kinds if k != "add"]  # 32 inputs, 64 units: nothing to add in block 1
    assert [x.kind for x in p.layers] == first + kinds * 5 + ["linear"]
    assert [x.index for x in p.layers] == list(range(len(p.layers)))
    assert (p.layers[-1].block, p.layers[-1].units, p.layers[-1].name) == (7, 3, "linear7")


def test_linear_adds_no_layer() -> None:
    p = predict("linear", **SIZES, variance=kaiming)
    assert [x.kind for x in p.layers] == ["linear"] * 7


def test_notes_of_the_reference_network() -> None:
    p = predict("relu", depth=1, width=50, inputs=100, outputs=1, batch=10_000, variance=kaiming)
    relu = p.layers[1].to_dict()["activation"]
    assert isinstance(relu, dict)
    assert relu["mean"] == pytest.approx(0.5642, abs=1e-4)  # 1/√π
    # √(1 − 1/π) = 0.8256, and samples of 100 inputs differ in length: E√q is 1/400 below √E[q]
    assert relu["std"] == pytest.approx(0.8266, abs=2e-4)
    assert p.phase == "critical"


def test_plain_randn_multiplies_by_ten() -> None:
    p = predict(
        "linear", depth=50, width=100, inputs=100, outputs=1, batch=200, variance=constant(1.0)
    )
    for layer in p.layers[:50]:
        assert layer.activation.rms == pytest.approx(layer.block, abs=1e-9)
    found = {(f.dtype, f.direction, f.event): f for f in p.forecast}
    overflow = found["float32", "forward", "overflow"]
    assert overflow.block == pytest.approx(38, abs=1)
    assert (overflow.layer, overflow.extrapolated) == (overflow.block - 1, False)
    assert found["float16", "forward", "overflow"].block == 5  # 65504 < 4.45·10⁵
    assert found["bfloat16", "forward", "overflow"].block == overflow.block
    assert found["float8_e4m3fn", "forward", "overflow"].block == 3  # 448 < 4450; 445 still fits


def test_small_randn_vanishes() -> None:
    p = predict(
        "linear", depth=50, width=100, inputs=100, outputs=1, batch=200,
        variance=constant(1.0), init_scale=0.01,
    )  # fmt: skip
    found = {(f.dtype, f.event): f.block for f in p.forecast if f.direction == "forward"}
    assert found["float32", "zero"] == pytest.approx(46, abs=1)
    assert found["float32", "subnormal"] == 38
    assert found["float16", "zero"] == 9  # 4.45·10⁻⁹ is below half of 2⁻²⁴, 4.45·10⁻⁸ is not


@pytest.mark.parametrize(("residual", "vanishes"), [(True, False), (False, True)])
def test_a_branch_of_zeros_that_a_sum_passes_by_has_not_vanished(
    residual: bool, vanishes: bool
) -> None:
    p = predict(
        "relu", depth=10, width=32, inputs=32, outputs=1, batch=64, norm="layer", norm_gain=0.0,
        residual=residual, variance=lambda n_in, _: 2 / n_in,
    )  # fmt: skip
    assert p.layers[1].activation.rms is None  # the norm's output is exactly zero
    assert any(f.event == "zero" for f in p.forecast) is vanishes


def test_forecast_looks_beyond_the_network() -> None:
    p = predict(
        "linear", depth=20, width=100, inputs=100, outputs=1, batch=200, variance=constant(1.0)
    )
    (found,) = [
        f for f in p.forecast
        if (f.dtype, f.direction, f.event) == ("float32", "forward", "overflow")
    ]  # fmt: skip
    assert (found.extrapolated, found.layer) == (True, None)
    assert found.block == pytest.approx(38, abs=1)


@pytest.mark.parametrize(("scale", "event"), [(1.0, "overflow"), (0.01, "zero")])
def test_forecast_agrees_with_float32_itself(scale: float, event: str) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(200, 100, generator=generator)
    happened = 0
    while happened < 60 and bool((x != 0).any() if event == "zero" else x.isfinite().all()):
        happened += 1
        x = x @ (scale * torch.randn(100, 100, generator=generator))
    p = predict(
        "linear", depth=60, width=100, inputs=100, outputs=1, batch=200,
        variance=constant(1.0), init_scale=scale,
    )  # fmt: skip
    found = {(f.dtype, f.event): f.block for f in p.forecast if f.direction == "forward"}
    assert found["float32", event] == pytest.approx(happened, abs=1)


def test_beyond_float64_logarithms_remain() -> None:
    p = predict(
        "linear", depth=400, width=100, inputs=100, outputs=1, batch=8, variance=constant(1.0)
    )
    last = p.layers[399].to_dict()["activation"]
    assert isinstance(last, dict)
    assert last["rms"] is None
    assert last["log10_rms"] == pytest.approx(400, abs=1e-6)


def test_zero_weights_predict_exact_zeros() -> None:
    p = predict("relu", **SIZES, variance=constant(0.0))
    layer = p.layers[4].to_dict()
    assert isinstance(layer["activation"], dict)
    assert (layer["activation"]["rms"], layer["activation"]["log10_rms"]) == (0.0, None)
    assert isinstance(layer["gradient"], dict)
    assert layer["gradient"]["rms"] == 0.0
    assert {f.event for f in p.forecast if f.direction == "forward"} == {"zero", "subnormal"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"variance": lambda *_: None}, "does not draw independent entries"),
        ({"norm": "layer", "width": 4}, "fewer than 8 units"),
        ({"norm": "batch", "batch": 4}, "fewer than 16 samples"),
    ],
)
def test_where_there_is_no_theory_it_says_so(given: dict[str, Any], why: str) -> None:
    p = predict("relu", **(SIZES | {"variance": kaiming} | given))
    assert not p.available
    assert p.reason is not None
    assert "no theory for this setting" in p.reason
    assert why in p.reason
    assert p.to_dict()["layers"] == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"norm": "batch"}, "batch norm couples"),
        ({"loss": "focal"}, "the gradient of the loss 'focal'"),
    ],
)
def test_forward_alone_where_the_gradient_is_underived(given: dict[str, Any], why: str) -> None:
    p = predict("relu", **SIZES, variance=kaiming, **given)
    assert p.available
    assert p.gradient_reason is not None
    assert why in p.gradient_reason
    assert all(x.gradient is None for x in p.layers)
    assert all(f.direction == "forward" for f in p.forecast)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"depth": 0}, "depth must be a whole number ≥ 1, got 0"),
        ({"batch": 1.5}, "batch must be a whole number"),
        ({"init_scale": math.nan}, "init_scale must be finite"),
        ({"bias_std": -1.0}, "bias_std must be finite"),
        ({"dtype": "int8"}, "unknown dtype 'int8'; expected one of: float64"),
        ({"variance": lambda *_: -1.0}, "must be finite and ≥ 0, got -1.0"),
    ],
)
def test_bad_input_names_the_value(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict("relu", **(SIZES | {"variance": kaiming} | given))


def test_an_unknown_norm_names_the_choices() -> None:
    with pytest.raises(KeyError, match="unknown norm 'group'; expected one of: none, layer"):
        predict("relu", **SIZES, variance=kaiming, norm="group")


def test_phases() -> None:
    def phase(name: str, gain: float) -> Prediction:
        return predict(name, **SIZES, variance=lambda n, _: gain / n)

    assert [phase("tanh", g).phase for g in (0.5, 1.0, 3.0)] == ["ordered", "critical", "chaotic"]
    assert [phase("relu", g).q_kind for g in (1.0, 2.0, 3.0)] == ["zero", "any", "infinite"]
    assert phase("relu", 1.0).xi_c == pytest.approx(1 / math.log(2))


def _simulated(loss: str, q: float, outputs: int, target: float) -> float:
    generator = torch.Generator().manual_seed(0)
    shape = (200_000, outputs)
    out = (q**0.5 * torch.randn(shape, dtype=torch.float64, generator=generator)).requires_grad_()
    if loss == "cross_entropy":
        labels = torch.randint(0, outputs, (shape[0],), generator=generator)
        value = torch.nn.functional.cross_entropy(out, labels)
    else:
        y = target**0.5 * torch.randn(shape, dtype=torch.float64, generator=generator)
        value = {
            "mse": torch.nn.functional.mse_loss,
            "mae": torch.nn.functional.l1_loss,
            "huber": torch.nn.functional.huber_loss,
        }[loss](out, y)
    value.backward()
    assert out.grad is not None
    return float(out.grad.square().mean())


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "cross_entropy"])
@pytest.mark.parametrize("q", [1e-6, 0.5, 30.0])
def test_gradients_of_losses(loss: str, q: float) -> None:
    outputs = 5
    g = loss_gradient(
        LOSSES[loss].theory, math.log(q), 0.0, target=0.7, batch=200_000, outputs=outputs
    )
    exact = _simulated(loss, q, outputs, 0.7)
    assert math.exp(g.log_second) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_correlation_of_two_samples_gradients(loss: str) -> None:
    rng = np.random.default_rng(0)
    q, c, target = 2.0, 0.8, 0.5
    shared = rng.normal(size=400_000)
    a, b = (
        math.sqrt(q) * (math.sqrt(c) * shared + math.sqrt(1 - c) * rng.normal(size=400_000))
        - math.sqrt(target) * rng.normal(size=400_000)
        for _ in range(2)
    )
    slope = {"mse": lambda d: d, "mae": np.sign, "huber": lambda d: np.clip(d, -1, 1)}[loss]
    exact = np.mean(slope(a) * slope(b)) / np.mean(slope(a) ** 2)
    found = loss_gradient(
        LOSSES[loss].theory, math.log(q), c, target=target, batch=2, outputs=1
    ).cross
    assert found == pytest.approx(exact, abs=0.01)


def test_every_registered_loss_has_its_gradient() -> None:
    assert all(loss.theory is not None for loss in LOSSES.values())


@pytest.mark.parametrize(
    ("width", "depth", "bias"),
    [
        (2, 5, 0.064),  # so few units that the expansion in 1/width says nothing
        (32, 50, 1.0),  # some seeds' length is squared in every block
    ],
)
def test_where_the_chain_of_lengths_says_nothing_the_expansion_stays(
    width: int, depth: int, bias: float
) -> None:
    scale = 0.108**2 / 3 if width == 32 else 2 / width
    p = predict(
        "squared_relu", depth=depth, width=width, inputs=width, outputs=1, batch=48,
        variance=constant(scale), bias_std=bias,
    )  # fmt: skip
    assert p.available
    assert len(p.layers) == 2 * depth + 1
    assert all(map(math.isfinite, _every_number(json.dumps(p.to_dict()))))
