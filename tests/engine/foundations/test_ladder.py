"""Every rung has the first rung's loss and gradients, and the code shown is the code run."""

import json
import linecache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.ladder import GRADIENTS, RUNGS, climb, ladder, mistake, problem
from layerscope.engine.foundations.ladder.auto_module import Forgetful, Module
from layerscope.engine.foundations.ladder.mistake import mse_without_squeeze


def autograd(p):
    """The same network by torch's own operators alone."""
    p = p.copy(requires_grad=True)
    out = F.linear(F.relu(F.linear(p.inp, p.w1.t(), p.b1)), p.w2.t(), p.b2)
    loss = F.mse_loss(out[:, 0], p.targ)
    gradients = torch.autograd.grad(loss, [getattr(p, n) for n in GRADIENTS])
    return loss.item(), dict(zip(GRADIENTS, gradients, strict=True))


@pytest.mark.parametrize("name", RUNGS)
@pytest.mark.parametrize("shape", [(200, 100, 50), (1, 1, 1), (7, 3, 1), (1, 5, 4), (33, 1, 9)])
def test_every_rung_equals_autograd_in_float64(name, shape):
    p = problem(*shape, seed=3, dtype=torch.float64)
    loss, gradients = autograd(p)
    attempt = RUNGS[name].start(p)
    for _ in range(2):  # the second time must not add to the first
        assert attempt.forward().item() == pytest.approx(loss, rel=1e-14)
        attempt.backward()
        found = attempt.gradients()
        assert set(found) == set(GRADIENTS)
        for gradient in GRADIENTS:
            assert found[gradient].shape == gradients[gradient].shape
            torch.testing.assert_close(found[gradient], gradients[gradient], rtol=1e-12, atol=1e-14)


def test_all_rungs_agree_to_float64_rounding_on_the_notes_network():
    found = ladder()
    assert [r.name for r in found.rungs] == list(RUNGS)
    assert found.agree
    for rung in found.rungs:
        assert rung.float64.largest < 1e-14
        assert rung.float64.loss_difference < 1e-14
        assert rung.float32.relative < 1e-5
        assert rung.forward_seconds > 0
        assert rung.backward_seconds > 0
    assert found.rungs[0].float64.differences == dict.fromkeys(GRADIENTS, 0.0)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_a_wrong_gradient_would_be_noticed(monkeypatch):
    from layerscope.engine.foundations.ladder import classes

    def halved(self):
        self.inp.g = (self.inp > 0).to(self.inp.dtype) * self.out.g / 2

    monkeypatch.setattr(classes.Relu, "backward", halved)
    agreement = {r.name: r.float64.agrees for r in climb(20, 10, 5)}
    assert agreement == {name: name != "classes" for name in RUNGS}


@pytest.mark.parametrize("name", RUNGS)
def test_the_source_shown_is_what_stands_in_its_file(name):
    for source in RUNGS[name].sources:
        line = linecache.getline(source.file, source.line)  # tests run in the project's folder
        assert line.strip().startswith((f"def {source.name}", f"class {source.name}"))
        assert source.code.splitlines()[0] == line.rstrip()
        assert "type: ignore" not in source.code
        compile(source.code, source.file, "exec")


def test_nothing_touches_the_global_random_state():
    before = torch.get_rng_state()
    climb(5, 4, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_missing_squeeze_broadcasts_to_n_by_n():
    p = problem(200, 100, 50, seed=0)
    found = mistake(p)
    assert found.output_shape == (200, 1)
    assert found.target_shape == (200,)
    assert found.broadcast_shape == (200, 200)
    assert found.right_shape == (200,)
    assert found.wrong_elements == 200 * 200
    assert found.wrong_bytes == 4 * 200 * 200
    loss, _ = autograd(p)
    assert found.right_loss == pytest.approx(loss, rel=1e-6)
    assert found.wrong_loss != pytest.approx(loss, rel=1e-3)


def test_the_mistake_pulls_every_output_to_the_mean_of_the_targets():
    p = problem(50, 20, 10, seed=1, dtype=torch.float64)
    assert mistake(p).mean_difference < 1e-14
    out = torch.randn(50, 1, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(mse_without_squeeze(out, p.targ), out)
    torch.testing.assert_close(g, 2 * (out - p.targ.mean()).detach() / 50)


def test_the_right_squares_are_the_corner_s_diagonal():
    p = problem(30, 8, 4, seed=2, dtype=torch.float64)
    found = mistake(p)
    attempt = RUNGS["sequential"].start(p)
    attempt.forward()
    out = attempt.module.layers(attempt.p.inp).detach()[:, 0]
    squares = (out - p.targ).square()[:8].tolist()
    assert [found.corner[i][i] for i in range(8)] == pytest.approx(squares)


def test_one_sample_makes_no_mistake():
    found = mistake(problem(1, 3, 2, seed=0))
    assert found.broadcast_shape == (1, 1)
    assert found.wrong_loss == pytest.approx(found.right_loss)


def test_a_module_is_ready_before_its_own_init():
    class Net(Module):
        def __init__(self, width, *, bias=True):
            self.inner = nn.Linear(width, 2, bias=bias)

    class Polite(Module):
        def __init__(self):
            self.first = nn.Linear(2, 2)
            super().__init__()  # allowed, and forgets nothing

    class Below(Net):
        def __init__(self):
            super().__init__(3)
            self.more = nn.ReLU()

    assert len(list(Net(3, bias=False).parameters())) == 1
    assert len(list(Polite().parameters())) == 2
    assert [name for name, _ in Below().named_children()] == ["inner", "more"]
    with pytest.raises(AttributeError, match=r"before Module\.__init__"):
        Forgetful()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1, 1), ValueError, "batch is 0; expected at least 1"),
        ((1, 1, -2), ValueError, "n_hidden is -2; expected at least 1"),
        ((10**9, 1, 1), LimitError, "batch: 1000000000 asked for, at most 512 allowed"),
        ((1, 1, 1, -1), ValueError, "seed is -1"),
    ],
)
def test_bounds(arguments, error, message):
    with pytest.raises(error, match=message):
        climb(*arguments)


def test_stops():
    with pytest.raises(Stopped):
        climb(should_stop=lambda: True)


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**53 - 1))
def test_every_network_agrees(batch, n_in, n_hidden, seed):
    p = problem(batch, n_in, n_hidden, seed, torch.float64)
    loss, gradients = autograd(p)
    for rung in RUNGS.values():
        attempt = rung.start(p)
        assert attempt.forward().item() == pytest.approx(loss, rel=1e-12, abs=1e-14)
        attempt.backward()
        for name, found in attempt.gradients().items():
            torch.testing.assert_close(found, gradients[name], rtol=1e-10, atol=1e-12)
