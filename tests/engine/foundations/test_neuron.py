"""A neuron: equal to torch, term by term, with the gradients autograd finds."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.engine.foundations.errors import LimitError, ShapeError
from layerscope.engine.foundations.neuron import MAX_INPUTS, neuron
from layerscope.engine.layers.activations import ACTIVATIONS

number = st.floats(-10, 10)


@settings(deadline=None)  # the first example loads what the others find loaded
@given(
    st.lists(st.tuples(number, number), max_size=6), number, st.sampled_from(sorted(ACTIVATIONS))
)
def test_equals_torch(pairs: list[tuple[float, float]], bias: float, activation: str) -> None:
    inputs, weights = [x for x, _ in pairs], [w for _, w in pairs]
    done = neuron(inputs, weights, bias, activation)
    x, w = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (inputs, weights))
    b = torch.tensor(bias, dtype=torch.float64, requires_grad=True)
    total = x.dot(w) + b
    output = ACTIVATIONS[activation].reference(total)
    close = {"rel_tol": 1e-9, "abs_tol": 1e-9}
    assert math.isclose(done.total, total.item(), **close)
    assert math.isclose(done.output, output.item(), **close)
    assert len(done.terms) == len(pairs)
    for term in done.terms:
        assert term.product == term.input * term.weight
        assert term.running == sum(x * w for x, w in pairs[: term.index + 1])
    if all(abs(done.total - kink) > 1e-6 for kink in ACTIVATIONS[activation].kinks):
        output.backward()
        assert math.isclose(done.derivative, b.grad.item(), **close)
        torch.testing.assert_close(torch.tensor(done.input_gradients, dtype=torch.float64), x.grad)
        torch.testing.assert_close(torch.tensor(done.weight_gradients, dtype=torch.float64), w.grad)
    assert json.loads(json.dumps(done.to_dict(), allow_nan=False)) == done.to_dict()


def test_the_sum_is_written_out() -> None:
    done = neuron([1.0, 2.0], [0.5, -1.0], 0.25, "relu")
    assert [term.text for term in done.terms] == ["1 × 0.5 = 0.5", "2 × -1 = -2"]
    assert done.equation == "0.5 - 2 + 0.25 = -1.25"
    assert (done.weighted_sum, done.total, done.output) == (-1.5, -1.25, 0.0)
    assert done.to_dict()["total_text"] == "-1.25"
    assert done.formula == "max(0, x)"


def test_without_inputs_the_bias_remains() -> None:
    done = neuron([], [], 0.5, "linear")
    assert (done.total, done.output, done.equation) == (0.5, 0.5, "0.5 = 0.5")


def test_the_curve_reaches_the_point() -> None:
    near, far = neuron([1.0], [1.0], 0.0, "tanh"), neuron([10.0], [10.0], 0.0, "tanh")
    assert (near.curve.x[0], near.curve.x[-1]) == (-6, 6)
    assert far.curve.x[-1] == 125
    assert near.curve.y[-1] == pytest.approx(math.tanh(6))
    assert near.curve.derivative[60] == 1


def test_non_finite_numbers_are_marked() -> None:
    done = neuron([math.inf, 1e308], [1.0, -100.0], 0.0, "relu").to_dict()
    assert (done["total"], done["total_text"]) == (None, "nan")
    assert (done["terms"][1]["product"], done["terms"][1]["product_text"]) == (None, "-inf")
    assert None not in done["curve"]["x"]


def test_errors_are_named() -> None:
    with pytest.raises(ShapeError, match="2 inputs but 1 weights; each input needs its weight"):
        neuron([1.0, 2.0], [1.0], 0.0, "relu")
    with pytest.raises(LimitError, match="inputs of a neuron: 65 asked for, at most 64"):
        neuron([1.0] * (MAX_INPUTS + 1), [1.0] * (MAX_INPUTS + 1), 0.0, "relu")
    with pytest.raises(KeyError, match="unknown activation 'step'"):
        neuron([1.0], [1.0], 0.0, "step")
