"""What a layer takes is seen by watching it, exactly."""

from __future__ import annotations

import pytest
import torch

from layerscope.engine.execution.footprint import (
    SQUARE,
    TINY,
    Shape,
    Size,
    Watch,
    footprint,
    kept_by_autograd,
    largest,
)
from layerscope.engine.layers import ACTIVATIONS, NORMS, Add, Linear


def test_what_lived_at_the_same_time_is_added_up_and_what_went_is_not():
    x = torch.ones(TINY.batch, TINY.n_in)
    weight = torch.ones(TINY.n_in, TINY.n_out, dtype=torch.float64)
    with Watch(TINY) as watch:
        y = (x * 2 + 1).double() @ weight
        copy = weight.clone()
        del copy
        z = y > 0
    assert watch.held == Size(outputs=8 + 1)
    assert Size(outputs=8, matrix=8) in watch.peaks
    assert Size(inputs=8) in watch.peaks  # 2x and 2x + 1
    assert z.all()


def test_a_view_and_a_change_in_place_take_nothing():
    x = torch.ones(SQUARE.batch, SQUARE.n_in)
    with Watch(SQUARE) as watch:
        x.view(-1).mul_(2)
        x.t()
    assert watch.peaks == {Size()}


def test_a_linear_layer_keeps_its_input_and_makes_three_gradients():
    found = footprint(Linear, torch.float32)
    assert (found.keeps_input, found.keeps_output, found.saved) == (True, False, Size())
    assert found.parameters == Size(matrix=4)
    assert found.forward == {Size(outputs=4)}
    shape = Shape(10, 20, 30)
    assert largest(found.backward, shape) == 4 * (10 * 20 + 20 * 30)


def test_an_activation_keeps_what_it_says_it_saves():
    for activation in ACTIVATIONS.values():
        if activation.adds_layer:
            found = footprint(activation, torch.float32)
            assert found.keeps_input == (activation.saves == "input")
            assert found.keeps_output == (activation.saves == "output")
            assert found.saved == Size()


def test_a_norm_keeps_what_it_normalised_in_float32_at_least():
    for norm in NORMS.values():
        found = footprint(norm, torch.float16)
        assert (found.keeps_input, found.keeps_output) == (False, False)
        assert found.saved.outputs == 4


def test_a_sum_keeps_nothing():
    found = footprint(Add, torch.float64)
    assert (found.keeps_input, found.keeps_output, found.saved) == (False, False, Size())


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_autograd_keeps_input_or_output_alone_of_what_is_one_operator(activation):
    assert kept_by_autograd(ACTIVATIONS[activation]) == Size()


def test_autograd_keeps_what_lies_between_several_operators():
    assert kept_by_autograd(NORMS["batch_norm"]).outputs >= 8
