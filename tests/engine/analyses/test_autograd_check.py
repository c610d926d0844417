import pytest
import torch

from layerscope.engine.analyses.autograd_check import compare_with_autograd
from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS, Linear


def test_it_notices_a_wrong_activation_gradient(monkeypatch):
    right = compare_with_autograd(Experiment(depth=3, activation="tanh", dtype="float64"))
    monkeypatch.setattr(ACTIVATIONS["tanh"], "chain", staticmethod(lambda g, y: g * (1 - y)))
    wrong = compare_with_autograd(Experiment(depth=3, activation="tanh", dtype="float64"))
    assert right.autograd_max_relative_error < 1e-12
    assert wrong.autograd_max_relative_error > 0.01


def test_it_notices_a_wrong_weight_gradient_and_says_where(monkeypatch):
    backward = Linear.backward

    def careless(self, g):
        out = backward(self, g)
        self.gradients["weight"] = self.gradients["weight"] * 1.01
        return out

    monkeypatch.setattr(Linear, "backward", careless)
    check = compare_with_autograd(Experiment(depth=2, dtype="float64"))
    assert check.autograd_max_relative_error == pytest.approx(0.01, rel=0.01)
    assert check.worst.endswith(".weight")


def test_what_overflowed_is_skipped_and_said_so():
    check = compare_with_autograd(Experiment(activation="linear", init="normal"))
    assert check.autograd_max_relative_error is None
    assert check.skipped == 153
    assert "float32" in check.reason


@pytest.mark.parametrize(("dtype", "bound"), [("float16", 0.2), ("bfloat16", 1.0)])
def test_narrow_formats_are_compared_too(dtype, bound):
    check = compare_with_autograd(Experiment(depth=5, dtype=dtype, activation="tanh"))
    assert 0 < check.autograd_max_relative_error < bound


def test_it_can_be_stopped():
    with pytest.raises(Stopped):
        compare_with_autograd(Experiment(), should_stop=lambda: True)


def test_it_leaves_no_gradient_on_our_tensors():
    compare_with_autograd(Experiment(depth=2))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "bfloat16", "norm": "batch", "depth": 8},
        {"dtype": "bfloat16", "depth": 10, "activation": "tanh"},
        {"dtype": "float16", "depth": 5, "activation": "gelu"},
        {"norm": "layer", "width": 2, "depth": 3},  # conditioning: no fault of anybody's formulas
        {"loss": "mae", "depth": 3, "dtype": "bfloat16"},
        {"loss": "huber", "depth": 3, "batch": 1000},
    ],
    ids=str,
)
def test_what_is_off_is_off_as_far_in_torchs_own_autograd(changes):
    check = compare_with_autograd(Experiment(**{"width": 32, "batch": 64, **changes}))
    assert check.autograd_max_relative_error <= max(2 * check.torch_max_relative_error, 1e-3)


def test_a_wrong_gradient_is_farther_off_than_torchs_own(monkeypatch):
    monkeypatch.setattr(ACTIVATIONS["tanh"], "chain", staticmethod(lambda g, y: g * (1 - y)))
    wrong = compare_with_autograd(Experiment(depth=3, activation="tanh"))
    assert wrong.autograd_max_relative_error > 100 * wrong.torch_max_relative_error


def test_in_float64_there_is_nothing_beside_it():
    assert (
        compare_with_autograd(Experiment(depth=2, dtype="float64")).torch_max_relative_error is None
    )
