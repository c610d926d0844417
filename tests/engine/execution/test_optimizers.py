"""Our optimisers beside PyTorch's, step by step, to rounding."""

from __future__ import annotations

import pytest
import torch

from layerscope.engine.execution.optimizers import OPTIMIZERS

TORCH = {
    "sgd": lambda p, decay: torch.optim.SGD(p, 0.05, weight_decay=decay),
    "momentum": lambda p, decay: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=decay),
    "nesterov": lambda p, decay: torch.optim.SGD(
        p, 0.05, momentum=0.9, nesterov=True, weight_decay=decay
    ),
    "rmsprop": lambda p, decay: torch.optim.RMSprop(p, 0.05, weight_decay=decay),
    "adam": lambda p, decay: torch.optim.Adam(p, 0.05, weight_decay=decay),
    "adamw": lambda p, decay: torch.optim.AdamW(p, 0.05, weight_decay=decay),
}


def test_every_optimizer_has_its_reference():
    assert list(TORCH) == list(OPTIMIZERS)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", TORCH)
def test_it_is_pytorchs_step_by_step(name, dtype, decay):
    generator = torch.Generator().manual_seed(1)
    start = [torch.randn(size, generator=generator, dtype=dtype) for size in ((5, 7), (7,))]
    ours = [each.clone() for each in start]
    theirs = [torch.nn.Parameter(each.clone()) for each in start]
    optimizer = OPTIMIZERS[name](0.05, weight_decay=decay)
    reference = TORCH[name](theirs, decay)
    for step in range(1, 61):
        if step == 30:
            optimizer.rate = 0.01
            reference.param_groups[0]["lr"] = 0.01
        optimizer.step = step
        for place, (value, parameter) in enumerate(zip(ours, theirs, strict=True)):
            size = 10.0 ** (step % 9 - 6)
            gradient = torch.randn(value.shape, generator=generator, dtype=dtype) * size
            optimizer.apply(str(place), value, gradient)
            parameter.grad = gradient.clone()
        reference.step()
        for value, parameter in zip(ours, theirs, strict=True):
            eps = torch.finfo(dtype).eps
            torch.testing.assert_close(value, parameter.detach(), rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_goes_on_from_its_state_to_the_same_bits(name):
    generator = torch.Generator().manual_seed(2)
    gradients = torch.randn(20, 6, generator=generator)

    def run(optimizer, value, first, last):
        for step in range(first, last):
            optimizer.step = step + 1
            optimizer.apply("w", value, gradients[step])
        return value

    whole = run(OPTIMIZERS[name](0.1, weight_decay=0.01), torch.ones(6), 0, 20)
    half = OPTIMIZERS[name](0.1, weight_decay=0.01)
    value = run(half, torch.ones(6), 0, 10)
    state = half.state()
    run(half, value.clone(), 10, 15)  # what is done afterwards does not change what was kept
    again = OPTIMIZERS[name](0.1, weight_decay=0.01)
    again.restore(state)
    assert torch.equal(run(again, value, 10, 20), whole)
