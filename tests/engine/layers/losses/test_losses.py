import pytest
import torch

from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.layers.losses.regression import MeanSquaredError, difference


@pytest.mark.parametrize("batch", [1, 2, 17])
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_equal_torch(name, batch, scale):
    generator = torch.Generator().manual_seed(batch)
    output = torch.randn(batch, 4, dtype=torch.float64, generator=generator) * scale
    if LOSSES[name].classifies:
        target = torch.randint(4, (batch,), generator=generator)
    else:
        target = torch.randn(batch, 4, dtype=torch.float64, generator=generator)
    theirs_output = output.clone().requires_grad_()
    theirs = LOSSES[name].reference(theirs_output, target)
    theirs.backward()
    loss = LOSSES[name]()
    torch.testing.assert_close(loss.forward(output, target), theirs.detach())
    torch.testing.assert_close(loss.backward(), theirs_output.grad)


def test_the_missing_squeeze_is_refused():
    with pytest.raises(ValueError, match=r"\(5, 1\), target \(5,\)"):
        difference(torch.zeros(5, 1), torch.zeros(5))


@pytest.mark.parametrize("name", LOSSES)
def test_slope_is_the_derivative_of_one_term(name):
    x = torch.linspace(-3, 3, 25, dtype=torch.float64) + 0.013  # off the kinks
    step = 1e-6
    term = {
        "mse": lambda x: (x - 0.5) ** 2,
        "mae": lambda x: (x - 0.5).abs(),
        "huber": lambda x: torch.nn.functional.huber_loss(
            x, torch.full_like(x, 0.5), reduction="none"
        ),
        "cross_entropy": lambda x: torch.log1p(torch.exp(0.5 - x)),
    }[name]
    numeric = (term(x + step) - term(x - step)) / (2 * step)
    torch.testing.assert_close(LOSSES[name].slope(x, 0.5), numeric, rtol=1e-6, atol=1e-8)


def test_backward_before_forward_is_named():
    with pytest.raises(RuntimeError, match="before forward"):
        MeanSquaredError().backward()
