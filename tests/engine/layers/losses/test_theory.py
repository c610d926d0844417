"""What theory says of a softmax, against draws of it."""

import math

import pytest
import torch

from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.layers.losses.theory import softmax_second_moment
from layerscope.engine.theory.losses import loss_gradient

SCALES = (0.3, 1.0, 4.0, 15.0, 31.9, 32.1, 60.0, 200.0)


@pytest.mark.parametrize("outputs", [2, 10, 100])
@pytest.mark.parametrize("scale", SCALES)
def test_the_square_of_a_softmax_at_any_scale_of_its_logits(scale, outputs):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(40_000, outputs, dtype=torch.float64, generator=generator)
    squares = logits.softmax(1).square().mean(1)
    error = float(squares.std()) / math.sqrt(len(squares))
    assert softmax_second_moment(2 * math.log(scale), outputs) == pytest.approx(
        float(squares.mean()), abs=4 * error + 1e-12, rel=1e-4
    )


def test_its_gradient_grows_less_and_less_with_the_logits():
    law = LOSSES["cross_entropy"].theory
    found = [
        loss_gradient(law, 2 * math.log(scale), 0.1, batch=64, outputs=10)
        for scale in (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
    ]  # fmt: skip
    sizes, responses = [g.log_second for g in found], [g.response for g in found]
    assert sizes == sorted(sizes)
    assert responses == sorted(responses, reverse=True)
    assert all(0 < r < 0.2 for r in responses)
    assert all(abs(g.bend) < 0.1 for g in found)
