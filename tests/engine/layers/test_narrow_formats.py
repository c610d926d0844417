"""float16 and bfloat16 over their whole range: finite where PyTorch is, and as near the truth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from layerscope.engine.layers import ACTIVATIONS, NORMS
from layerscope.engine.layers.losses import LOSSES

FORMATS = (torch.float16, torch.bfloat16)


def every_number(dtype: torch.dtype) -> Tensor:
    """All of the format but NaN, (1, numbers)."""
    numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    return numbers[~numbers.isnan()][None]


def theirs(function, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    (by_input,) = torch.autograd.grad(y, leaf, g)
    return y.detach(), by_input


def finite_where(expected: Tensor, ours: Tensor, x: Tensor) -> None:
    lost = torch.isfinite(expected) & ~torch.isfinite(ours)
    assert not bool(lost.any()), x.expand_as(lost)[lost][:5].tolist()


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_of_every_number_of_the_format(name, dtype):
    activation = ACTIVATIONS[name]
    # The reference's own softplus has a threshold for float64, at which float32 overflows.
    reference = F.softplus if name == "softplus" else activation.reference
    x = every_number(dtype)
    layer = activation()
    ours = layer.forward(x), layer.backward(torch.ones_like(x))
    assert {t.dtype for t in ours} == {dtype}
    torchs = theirs(reference, x, torch.ones_like(x))
    exact = theirs(reference, x.double(), torch.ones_like(x).double())
    limits = torch.finfo(dtype)
    for mine, other, truth in zip(ours, torchs, exact, strict=True):
        finite_where(other, mine, x)
        both = torch.isfinite(mine) & torch.isfinite(other) & torch.isfinite(truth)
        off, its_off = (mine.double() - truth).abs(), (other.double() - truth).abs()
        rounding = limits.eps * truth.abs() + limits.smallest_normal * limits.eps
        # What float32 rounds in between: differences from 1, times x and its powers.
        interior = 16 * torch.finfo(torch.float32).eps * x.double().abs().clamp(1, 100) ** 2
        worse = both & (off > its_off + rounding + interior)
        assert not bool(worse.any()), x[worse][:5].tolist()


@pytest.mark.parametrize("dtype", [*FORMATS, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_infinite_gradient_goes_back_as_autograds(name, dtype):
    activation = ACTIVATIONS[name]
    x = torch.tensor([[-math.inf, -1e4, -5.0, -1.0, 0.0, 1.0, 5.0, 1e4, math.inf]], dtype=dtype)
    for g in (torch.full_like(x, math.inf), torch.full_like(x, -math.inf)):
        layer = activation()
        layer.forward(x)
        _, expected = theirs(activation.reference, x, g)
        ours = layer.backward(g)
        lost = ours.isnan() & ~expected.isnan()
        assert not bool(lost.any()), (name, x[lost].tolist())


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 3e4, 6.5e4])
@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_finite_where_pytorchs_is(name, scale, dtype):
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(32, 16, generator=generator) * scale).clamp(-65504, 65504).to(dtype)
    g = torch.randn(32, 16, generator=generator).to(dtype)
    layer = NORMS[name](16, dtype)
    y, by_input = layer.forward(x), layer.backward(g)
    parameters = {"weight": torch.ones(16, dtype=dtype), "bias": torch.zeros(16, dtype=dtype)}
    expected = theirs(lambda x: NORMS[name].reference(x, parameters), x, g)
    finite_where(expected[0], y, x)
    finite_where(expected[1], by_input, x)


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0, 3e4, 6.5e4])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_finite_where_pytorchs_is(name, scale, dtype):
    generator = torch.Generator().manual_seed(0)
    loss = LOSSES[name]()
    output = (torch.randn(64, 10, generator=generator) * scale).clamp(-65504, 65504).to(dtype)
    target = torch.randn(64, 10, generator=generator).to(dtype)
    if loss.classifies:
        target = torch.randint(10, (64,), generator=generator)
    value, gradient = loss.forward(output, target), loss.backward()
    leaf = output.clone().requires_grad_()
    expected = loss.reference(leaf, target)
    (by_output,) = torch.autograd.grad(expected, leaf)
    finite_where(expected.detach(), value, output)
    finite_where(by_output, gradient, output)
    if bool(torch.isfinite(expected.detach())):
        assert float(value) == pytest.approx(
            float(expected.detach()), rel=4 * torch.finfo(dtype).eps
        )
