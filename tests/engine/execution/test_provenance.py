"""Where NaN, infinities and zeros came from: any function of tensors, told with its operands."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn

from layerscope.engine.execution import causes as causes_module
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.provenance import (
    Cause,
    Operand,
    Origin,
    ailments,
    causes,
    in_words,
    origin,
    vanishing,
)
from layerscope.engine.execution.recording import record_all
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS, NORMS
from layerscope.engine.layers.losses import LOSSES

INF, NAN = math.inf, math.nan


def why(function, names, ailment: str) -> Cause:
    (found,) = causes(function, names, tensor="activation", asked=[ailment])
    json.dumps(found.to_dict(), allow_nan=False)
    assert Cause.from_bytes(found.to_bytes()) == found
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_an_overflow_of_a_product_names_its_factors_and_the_format(dtype):
    big = torch.finfo(dtype).max / 4
    x = torch.tensor([[1.0, big], [1.0, 1.0]], dtype=dtype)
    w = torch.tensor([[1.0], [8.0]], dtype=dtype)
    found = why(lambda: torch.addmm(torch.zeros(1, dtype=dtype), x, w), {"x": x, "w": w}, "Inf")
    assert (found.operation, found.entry, found.terms) == ("addmm", (0, 0), 3)
    assert [(g.name, g.entry, g.value) for g in found.operands] == [
        ("x", (0, 1), float(x[0, 1])), ("w", (1, 0), 8.0),
    ]  # fmt: skip
    if dtype != torch.float64:
        assert found.exact == pytest.approx(8 * float(x[0, 1]), rel=1e-2)
        assert f"is beyond {str(dtype).removeprefix('torch.')}'s largest number" in found.said


def test_many_terms_that_each_fit_overflow_together():
    x, w = torch.full((1, 100), 3e37), torch.ones(100, 1)
    found = why(lambda: x @ w, {"x": x, "w": w}, "Inf")
    assert found.exact == pytest.approx(3e39)
    assert found.said.startswith("3e+37 · 1 + 99 more terms = 3e+39 is beyond float32's largest")


def test_a_sum_that_fits_says_that_a_part_of_it_does_not():
    factors = (Operand(3e38, "x", (0, 0)), Operand(1.0, "w", (0, 0)))
    found = Origin("mm", (0, 0), factors, INF, exact=3e38, terms=3, factors=(2,))
    assert in_words(found, torch.float32) == (
        "3e+38 · 1 + 2 more terms = 3e+38, but a partial sum is beyond float32's largest number, "
        "3.4e+38"
    )


@pytest.mark.parametrize(
    ("x", "w", "said"),
    [
        ([INF, INF], [1.0, -1.0], "Inf · 1 + Inf · −1 = Inf − Inf = NaN"),
        ([INF, 1.0], [0.0, 1.0], "Inf · 0 + 1 more term = NaN"),
        ([1e30, 1e30], [1e30, -1e30], "both are beyond float32's largest number, 3.4e+38, and"),
        ([NAN, 1.0], [1.0, 1.0], "x[0, 0] is NaN"),
        ([1.0, 1.0], [1.0, NAN], "w[1, 0] is NaN"),
    ],
)
def test_nan_of_a_product_of_matrices(x, w, said):
    x, w = torch.tensor([x]), torch.tensor(w)[:, None]
    if (x @ w).isinf():  # some processors add a product before it is rounded: Inf less a number
        said = "= 0, but a partial sum is beyond float32's largest number, 3.4e+38"
        assert said in why(lambda: x @ w, {"x": x, "w": w}, "Inf").said
    else:
        assert said in why(lambda: x @ w, {"x": x, "w": w}, "NaN").said


def test_two_products_beyond_all_numbers_are_told_with_the_nan_that_they_make():
    factors = (Operand(1e30, "x", (0, 0)), Operand(1e30, "w", (0, 0)),
               Operand(1e30, "x", (0, 1)), Operand(-1e30, "w", (1, 0)))  # fmt: skip
    found = Origin("mm", (0, 0), factors, NAN, exact=0.0, terms=2, factors=(2, 2))
    assert in_words(found, torch.float32) == (
        "1e+30 · 1e+30 + 1e+30 · −1e+30: both are beyond float32's largest number, 3.4e+38, and "
        "Inf − Inf = NaN"
    )


@pytest.mark.parametrize(
    ("function", "value", "said"),
    [
        (torch.log, 0.0, "ln 0 = −Inf"),
        (torch.log, -1.0, "ln −1 = NaN"),
        (torch.reciprocal, 0.0, "1 / 0 = Inf"),
        (torch.rsqrt, 0.0, "1/√(0) = Inf"),
        (torch.sqrt, -4.0, "√(−4) = NaN"),
        (lambda x: 1 / x, 0.0, "1 / 0 = Inf"),
        (lambda x: x / x, 0.0, "0 / 0 = NaN"),
        (lambda x: x - x, INF, "Inf − Inf = NaN"),
        (lambda x: x * 0, -INF, "−Inf · 0 = NaN"),
        (torch.exp, 1000.0, "e^(1e+03) = Inf"),
        (torch.exp, 89.0, "e^(89) = 4.49e+38 is beyond float32's largest number"),
        (lambda x: x / 3e-39, 3e3, "is beyond float32's largest number"),
        (lambda x: x + 3e38, 3e38, "3e+38 + 3e+38 = 6e+38 is beyond float32's largest number"),
        (lambda x: (x - 5).sqrt(), 1.0, "√(−4) = NaN"),
    ],
)
def test_an_operation_on_one_number_is_written_out(function, value, said):
    x = torch.tensor([2.0, value])
    found = origin(lambda: function(x), (1,), {"x": x})
    assert found.made_here
    assert said in in_words(found, torch.float32)


BAD = (INF, -INF, NAN, 3e38, -3e38, 1e30)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("value", BAD)
def test_whatever_an_activation_makes_of_what_is_not_finite_has_a_cause(name, value):
    x = torch.tensor([[0.5, value]])
    activation = ACTIVATIONS[name]
    out = activation.function(x)
    found = causes(
        lambda: activation.function(x), {"x": x}, tensor="activation", asked=["Inf", "NaN"]
    )
    assert {f.ailment for f in found} == {
        a for a, there in (("Inf", out.isinf()), ("NaN", out.isnan())) if bool(there.any())
    }
    for cause in found:
        assert cause.entry == (0, 1)
        came_in = math.isnan(value) if cause.ailment == "NaN" else math.isinf(value)
        assert (cause.operation == "given") == came_in
        if not came_in:
            numbers = [math.nan if g.value is None else g.value for g in cause.operands]
            assert cause.operands
            assert cause.ailment == "Inf" or not all(map(math.isfinite, numbers))


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("value", [INF, 1e30, 5.0])
def test_whatever_a_norm_makes_of_it_has_a_cause(name, value):
    x = torch.full((1, 4), value)
    layer = NORMS[name](4, torch.float32)
    out = layer.forward(x)
    asked = ["NaN"] if bool(out.isnan().any()) else ["0"] if not bool(out.any()) else []
    found = causes(lambda: layer.forward(x), {"x": x}, tensor="activation", asked=asked)
    assert len(found) == len(asked)
    for cause in found:
        if value == INF:
            assert ("Inf − Inf = NaN" in cause.said) or ("Inf · 0 = NaN" in cause.said)
        elif layer.theory and layer.theory.centred:
            one = name == "batch_norm"
            assert ("one number, itself" in cause.said) == one
            assert ("4 numbers, all alike" in cause.said) == (not one)
        else:
            assert "1e+30^2 = 1e+60 is beyond float32's largest number" in cause.said


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("value", [INF, 3e38])
def test_a_loss_that_is_not_finite_has_a_cause(name, value):
    loss = LOSSES[name]
    output = torch.tensor([[value, 1.0, -value]])
    target = torch.tensor([1]) if loss.classifies else torch.zeros(1, 3)
    made = loss.function(output, target)
    asked = ["NaN"] if bool(made.isnan()) else ["Inf"] if bool(made.isinf()) else []
    found = causes(
        lambda: loss.function(output, target), {"output": output, "target": target},
        tensor="loss", asked=asked,
    )  # fmt: skip
    assert len(found) == len(asked)
    for cause in found:
        assert cause.operands


def test_dead_rectifiers_are_told_by_the_largest_input():
    x = torch.tensor([[-3.0, -0.25], [-1.0, -2.0]])
    found = vanishing(lambda: x.clamp_min(0) @ torch.ones(2, 2), {"x": x})
    assert (found.operation, found.entry, found.operands[0].value) == ("clamp_min", (0, 1), -0.25)
    assert in_words(found, torch.float32) == (
        "all 4 inputs are at most 0, the largest is −0.25: max(0, −0.25) = 0"
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_an_underflow_is_told_by_what_came_nearest(dtype):
    tiny = torch.finfo(dtype).smallest_normal
    x = torch.tensor([[1.0, 2.0]], dtype=dtype) * tiny
    w = torch.tensor([[1.0, 3.0], [1.0, 1.0]], dtype=dtype) * tiny
    found = why(lambda: torch.mm(x, w), {"x": x, "w": w}, "0")
    assert found.entry == (0, 1)
    if dtype != torch.float64:  # where the exact product is below float64's smallest number too
        assert found.exact == pytest.approx(5 * tiny**2)
        assert f"is below {str(dtype).removeprefix('torch.')}'s smallest number" in found.said
        assert found.said.endswith("the farthest from 0 of 2")


def test_a_cast_to_a_narrower_format_can_be_what_loses_a_number():
    x = torch.tensor([1e-30, 7e4])
    assert "is beyond float16's largest number" in why(lambda: x.half(), {"x": x}, "Inf").said
    found = vanishing(lambda: x[:1].half(), {"x": x})
    assert in_words(found, torch.float16).startswith("1e-30 = 1e-30 is below float16's smallest")


def test_zeros_that_came_in_are_not_made_here():
    x, w = torch.rand(3, 4), torch.zeros(4, 2)
    found = vanishing(lambda: torch.addmm(torch.zeros(2), x, w), {"x": x, "w": w})
    assert not found.made_here
    assert in_words(found, torch.float32) == "w is 0 in all 8 entries"


def gives(module: nn.Module, x: Tensor, ailment: str) -> str:
    names = {"x": x, **dict(module.named_parameters())}
    return why(lambda: module(x), names, ailment).said


@pytest.mark.parametrize(
    ("module", "x", "ailment", "said"),
    [
        (nn.LayerNorm(4), torch.full((1, 4), 2.0), "0", "the mean of 4 numbers, all alike"),
        (nn.BatchNorm1d(2), torch.ones(3, 2), "0", "the mean of 3 numbers, all alike"),
        (nn.RMSNorm(2), torch.full((1, 2), 1e30), "0", "1e+30^2 = 1e+60 is beyond"),
        (nn.Softmax(1), torch.tensor([[1.0, INF]]), "NaN", "Inf − Inf = NaN"),
        (nn.Softmax(1), torch.tensor([[-INF, -INF]]), "NaN", "−Inf − (−Inf) = NaN"),
        (nn.LogSoftmax(1), torch.tensor([[INF, 0.0]]), "NaN", "Inf − Inf = NaN"),
        (nn.GELU(), torch.tensor([[-INF]]), "NaN", "gelu(−Inf) = NaN"),
        (nn.Hardswish(), torch.tensor([[-INF]]), "NaN", "−Inf · 0 = NaN"),
        (nn.ReLU(), -torch.ones(2, 2), "0", "all 4 inputs are at most 0, the largest is −1"),
        (nn.Flatten(), torch.full((1, 2, 2), INF), "Inf", "x[0, 0, 0] is Inf"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_module_of_pytorch_will_do(module, x, ailment, said):
    assert said in gives(module, x, ailment)


def test_a_backward_pass_of_autograd_is_followed_too():
    x = torch.tensor([2.0, 0.0])

    def by_input():
        with torch.enable_grad():
            leaf = x.clone().requires_grad_()
            return torch.autograd.grad(leaf.sqrt().sum(), leaf)[0]

    found = origin(by_input, (1,), {"x": x})
    assert found.operation == "div"
    assert in_words(found, torch.float32).endswith(" / 0 = Inf")


def test_an_entry_that_is_not_there_is_refused():
    with pytest.raises(IndexError, match=r"entry \(2,\): the result has shape \(2,\)"):
        origin(lambda: torch.ones(2), (2,))
    with pytest.raises(ValueError, match="1 of 2 entries are not zero"):
        vanishing(lambda: torch.tensor([0.0, 1.0]) * 1)


def first_causes(**parameters) -> dict[tuple[str, str, str], str]:
    records, _ = record_all(Network(Experiment(**parameters)))
    return {
        (r.facts.name, c.tensor, c.ailment): c.said for r in reversed(records) for c in r.causes
    }


def test_every_relu_of_a_block_died():
    said = first_causes(width=8, seed=2)[("relu17", "activation", "0")]
    assert said.startswith("all 1,600 inputs are at most 0, the largest is ")


def test_one_sample_less_its_own_mean():
    said = first_causes(batch=1, norm="batch")[("batch_norm1", "activation", "0")]
    assert said.endswith("in all 100 entries: the mean of one number, itself, is taken off")


def test_minus_infinity_times_zero_within_an_activation():
    found = first_causes(activation="gelu", init="normal", init_scale=3)
    assert found[("gelu29", "activation", "NaN")].startswith("−Inf · 0 = NaN, at [0, ")
    assert "is beyond float32's largest number" in found[("linear29", "activation", "Inf")]


def test_a_bias_a_residual_sum_and_a_gradient_can_overflow():
    bias = first_causes(dtype="float16", depth=1, init="zeros", bias_std=100, width=4)
    assert ("linear1", "activation", "0") not in bias  # what is not zero is not asked about
    wide = first_causes(activation="linear", init="normal", residual=True, depth=40)
    assert any(name.startswith(("add", "linear")) for name, _, a in wide if a == "Inf")
    back = first_causes(activation="tanh", init="normal", init_scale=100, dtype="float16", depth=10)
    assert "is beyond float16's largest number" in back[("tanh9", "gradient", "Inf")]
    assert back[("linear9", "gradient", "NaN")].startswith("Inf · 0 = NaN")


def test_every_record_that_ails_anew_has_a_cause_and_no_other():
    for parameters in (
        {"activation": "linear", "init": "normal"},
        {"activation": "linear", "init": "normal", "init_scale": 0.01},
        {"activation": "mish", "init": "uniform", "init_scale": 50, "norm": "none"},
        {"activation": "squared_relu", "depth": 9, "init_scale": 30},
    ):
        records, _ = record_all(Network(Experiment(**parameters)))
        known: frozenset = frozenset()
        for record in records:
            here = ailments(record.activation)
            told = {c.ailment for c in record.causes if c.tensor == "activation"}
            assert told == here - known, record.facts.name
            known = here


def test_of_one_input_it_is_said_that_it_is_the_only_one():
    x = torch.tensor([[-2.0]])
    [found] = causes(lambda: x.relu(), {"x": x}, tensor="activation", asked=["0"])
    assert found.said == "its only input, −2, is at most 0: max(0, −2) = 0"


def test_layers_too_large_to_be_run_again_on_tape_tell_no_cause(monkeypatch):
    experiment = Experiment(depth=45, width=20, batch=10, activation="linear", init="normal",
                            init_scale=30)  # fmt: skip
    told, _ = record_all(Network(experiment))
    assert any(r.causes for r in told)
    monkeypatch.setattr(causes_module, "MOST_TRACED", 10)
    records, loss = record_all(Network(experiment))
    assert not any(r.causes for r in records)
    assert loss.cause is None
    assert [r.gradient for r in records] == [r.gradient for r in told]
