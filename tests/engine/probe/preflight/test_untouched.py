from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from layerscope.engine.probe.preflight import preflight
from layerscope.engine.probe.preflight.untouched import untouched
from tests.engine.probe.preflight.networks import CE, classes, cnn, images, mlp


def traces(model, optimizer):
    """Everything that could have changed, as values that compare."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "bits": {n: t.detach().numpy().tobytes() for n, t in tensors.items()},
        "objects": {n: id(t) for n, t in tensors.items()},
        "grads": {n: (id(p.grad), None if p.grad is None else p.grad.numpy().tobytes())
                  for n, p in model.named_parameters()},
        "training": [m.training for m in model.modules()],
        "hooks": [[dict(getattr(m, h)) for h in hooks] for m in model.modules()],
        "asks": [p.requires_grad for p in model.parameters()],
        "optimizer": repr(optimizer.state_dict()),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr(np.random.get_state()),
        "python": random.getstate(),
        "global": [len(d) for d in (
            torch.nn.modules.module._global_forward_hooks,
            torch.nn.modules.module._global_forward_pre_hooks)],
        "grad mode": torch.is_grad_enabled(),
    }  # fmt: skip


class Careless(nn.Module):
    """Draws from everywhere, counts, keeps, clips its own weights."""

    def __init__(self, fails=False):
        super().__init__()
        self.inner = cnn()
        self.calls, self.seen, self.fails = 0, [], fails

    def forward(self, x):
        self.calls += 1
        self.seen.append(x)
        self.last = x
        self.register_buffer("late", torch.ones(2), persistent=False)
        self.inner[0].weight.data.clamp_(-0.01, 0.01)
        random.random()
        np.random.rand()
        out = self.inner(x.add_(torch.randn_like(x)))
        if self.fails:
            raise RuntimeError("by intent")
        return out


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("fixes", [False, True])
def test_nothing_is_left_behind(fails, fixes):
    model, (x, y) = Careless(fails), images()
    model.inner[5].eval()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    if not fails:
        CE(model(x.clone()), y).backward()
        optimizer.step()
    model.calls, model.seen = 0, []
    if hasattr(model, "last"):
        del model.last
    given = x.clone()
    before = traces(model, optimizer)
    with torch.no_grad():
        before["grad mode"] = False
        preflight(model, (x, y), CE, optimizer, fixes)
        assert traces(model, optimizer) == before
    assert torch.equal(x, given)
    assert (model.calls, model.seen, hasattr(model, "last")) == (0, [], False)
    copy.deepcopy(model)


def test_optimisers_that_step_in_the_backward_pass_rest():
    model = mlp()
    stepped = []
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: stepped.append(p))
    preflight(model, classes(), CE, fixes=False)
    assert not stepped
    CE(model(classes()[0]), classes()[1]).backward()
    assert len(stepped) == len(list(model.parameters()))


def test_a_training_afterwards_ends_in_the_same_bits():
    ends = []
    for looked in (False, True):
        torch.manual_seed(0)
        model, (x, y) = cnn(), images()
        optimizer = torch.optim.Adam(model.parameters())
        if looked:
            preflight(model, (x, y), CE, optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*ends)


def test_an_interrupt_is_no_excuse():
    model = cnn()
    before = traces(model, torch.optim.SGD(model.parameters(), 0.1))
    with pytest.raises(KeyboardInterrupt), untouched(model):
        model(images()[0])
        model.eval()
        raise KeyboardInterrupt
    assert traces(model, torch.optim.SGD(model.parameters(), 0.1)) == before
