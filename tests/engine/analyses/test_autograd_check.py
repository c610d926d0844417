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
