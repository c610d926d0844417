import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layerscope.engine.basis.heatmap import heatmap
from layerscope.engine.execution.layer_tensors import TENSORS, layer_tensors
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.experiment.specification import Experiment


def test_every_tensor_is_the_one_the_passes_made():
    e = Experiment(depth=3, width=6, batch=4)
    found = layer_tensors(e, 2)
    for step in passes(Network(e)):
        if isinstance(step, ForwardStep) and step.info.index == 2:
            assert torch.equal(found["activation"], step.output)
            assert torch.equal(found["weight"], step.layer.parameters["weight"])
        if isinstance(step, BackwardStep) and step.info.index == 2:
            assert torch.equal(found["activation.grad"], step.gradient)
            assert torch.equal(found["bias.grad"], step.layer.gradients["bias"])


def test_what_a_layer_does_not_have_is_none():
    found = layer_tensors(Experiment(depth=1, width=3, batch=2), 1)
    assert [name for name in TENSORS if found[name] is None] == [
        "weight", "weight.grad", "bias", "bias.grad",
    ]  # fmt: skip


def test_an_unknown_layer_or_tensor_is_named():
    with pytest.raises(IndexError, match="layer 9: expected 0 to 2"):
        layer_tensors(Experiment(depth=1), 9)
    with pytest.raises(KeyError, match="expected one of activation"):
        layer_tensors(Experiment(depth=1), 0, ["weights"])


@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    bad=st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e30]), max_size=5),
    seed=st.integers(0, 99),
)
def test_no_nan_inf_or_extreme_is_hidden(shape, bad, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator)
    for value in bad:
        x.view(-1)[int(torch.randint(x.numel(), (1,), generator=generator))] = value
    picture = heatmap(x)
    assert picture["rows"] <= 128
    assert picture["columns"] <= 128
    for name, mask in (("nan", x.isnan()), ("posinf", x == math.inf), ("neginf", x == -math.inf)):
        assert sum(count for _, _, count in picture[name]) == int(mask.sum())
    finite = x[x.isfinite()]
    shown = [v for row in picture["values"] for v in row if v is not None]
    if len(finite):
        assert max(map(abs, shown)) == pytest.approx(float(finite.abs().max()), rel=1e-5)
        assert picture["limit"] == max(map(abs, shown))
    else:
        assert shown == []
        assert picture["limit"] is None


def test_a_small_tensor_is_shown_entry_by_entry():
    x = torch.arange(6.0).reshape(2, 3) - 2
    assert heatmap(x)["values"] == x.tolist()
    assert heatmap(x)["pooling"] == "none: one cell an entry"


def test_pooling_keeps_the_sign_of_the_extreme():
    x = torch.zeros(256, 2)
    x[1, 0], x[3, 1] = -5, 4
    values = np.array(heatmap(x)["values"])
    assert values[0, 0] == -5
    assert values[1, 1] == 4


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (1,), ()])
def test_odd_shapes(shape):
    picture = heatmap(torch.ones(shape))
    assert picture["shape"] == list(shape)


@pytest.mark.parametrize("value", [1e-45, 1.1754942e-38, 3e38])
def test_rounding_survives_the_ends_of_float32(value):
    assert heatmap(torch.tensor([value]))["values"][0][0] == pytest.approx(value, rel=0.3)
