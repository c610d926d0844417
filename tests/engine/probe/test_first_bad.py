"""Who is to blame for a NaN where attention is masked: the mask only if it came of its −Inf."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from layerscope.engine.probe.calls import Call, Masks
from layerscope.engine.probe.outputs import is_mask
from layerscope.engine.probe.watch import watch
from layerscope.engine.probe.watched import Leaf

BAD = 5
"""The step in which something breaks."""
ways = pytest.mark.parametrize(
    ("every", "checks"), [(1, True), (1, False), (100, True), (100, False), (None, True)]
)


class Mask(nn.Module):
    """Hides what comes later, or everything."""

    def __init__(self, diagonal=1):
        super().__init__()
        self.diagonal = diagonal

    def forward(self, scores):
        size = scores.shape[-1]
        later = torch.ones(size, size).triu(self.diagonal).bool()
        return scores.masked_fill(later, -math.inf)


class Softmax(nn.Module):
    def forward(self, scores):
        return scores.softmax(-1)


class Cooled(nn.Module):
    def forward(self, scores):
        return scores / 2


class Log(nn.Module):
    def forward(self, x):
        return x.log()


class InPlace(nn.Module):
    def forward(self, x):
        return x.log_()


class Attention(nn.Module):
    """``softmax``: whether a module makes it; ``cooled``: whether one stands between."""

    def __init__(self, *, softmax=True, cooled=False, diagonal=1):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.mask = Mask(diagonal)
        if softmax:
            self.softmax = Softmax()
        if cooled:
            self.cooled = Cooled()

    def forward(self, x):
        v = self.v(x)
        scores = self.mask(self.q(x) @ self.k(x).transpose(1, 2) / 3)
        if hasattr(self, "cooled"):
            scores = self.cooled(scores)
        shares = self.softmax(scores) if hasattr(self, "softmax") else scores.softmax(-1)
        return x + self.out(shares @ v)


class Net(nn.Module):
    """The logarithm gets something negative where ``breaks``."""

    def __init__(self, *, log=Log, **options):
        super().__init__()
        self.attention = Attention(**options)
        self.norm, self.log, self.head = nn.LayerNorm(8), log(), nn.Linear(8, 3)
        self.breaks = False

    def forward(self, x):
        h = self.norm(self.attention(x))
        return self.head(self.log(h if self.breaks else h.abs() + 1).mean(1))


def trained(model, *, every=1, checks=True, spoil=lambda number: None, loss=None, steps=7):
    """The probe, after steps in which the numbers given to the model do not change."""
    torch.manual_seed(0)
    x, y = torch.randn(16, 6, 8), torch.randint(3, (16,))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    loss = loss or nn.CrossEntropyLoss()
    with watch(model, optimizer, loss=loss, to=":memory:", every=every, budget=1.0) as probe:
        for number in range(1, steps + 1):
            probe._recorder.modules.checks = checks and probe.origin is None
            if hasattr(model, "breaks"):
                model.breaks = spoil is None and number == BAD
            value = probe.loss(model(x), y)
            optimizer.zero_grad()
            value.backward()
            if spoil is not None and number == BAD:
                spoil(model)
            optimizer.step()
            probe.step(value)
    assert probe.error is None, probe.error
    return probe


@ways
@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("log", [Log, InPlace])
def test_a_logarithm_is_not_the_masks(every, checks, softmax, log):
    probe = trained(Net(softmax=softmax, log=log), every=every, checks=checks, spoil=None)
    origin = probe.origin
    assert (origin.step, origin.direction, origin.module) == (BAD, "forward", "log")
    assert origin.what.split(" among")[0].endswith("NaN")
    if log is Log:
        assert origin.operands.startswith("ln −")


@ways
@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("cooled", [True, False])
def test_a_softmax_of_nothing_is(every, checks, softmax, cooled):
    model = Net(softmax=softmax, cooled=cooled)
    mask = model.attention.mask

    def spoil(model):
        mask.diagonal = -5 if model.training else 1

    probe = trained(model, every=every, checks=checks, spoil=spoil)
    origin = probe.origin
    assert (origin.step, origin.direction, origin.module) == (BAD + 1, "forward", "attention.mask")
    assert "576 −Inf among 576 in the output of attention.mask" in origin.what


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("softmax", [True, False])
def test_of_several_masks_the_one_that_leaves_nothing_is(softmax, checks):
    model = nn.Sequential(
        Attention(softmax=softmax), Attention(softmax=softmax, diagonal=-5), nn.Flatten(),
        nn.Linear(48, 3),
    )  # fmt: skip
    assert trained(model, steps=1, checks=checks).origin.module == "1.mask"


@ways
def test_an_infinity_in_a_gradient_is_not_the_masks(every, checks):
    def spoil(model):
        model.head.weight.grad[0, 0] = math.inf

    origin = trained(Net(), every=every, checks=checks, spoil=spoil).origin
    assert (origin.step, origin.direction, origin.module) == (BAD, "backward", "head")


@ways
@pytest.mark.parametrize("softmax", [True, False])
def test_the_loss_itself_is_not_the_masks(every, checks, softmax):
    asked = []

    def loss(output, target):
        asked.append(None)
        bad = len(asked) >= BAD
        return F.cross_entropy(output, target) * (math.nan if bad else 1.0)

    origin = trained(Net(softmax=softmax), every=every, checks=checks, loss=loss).origin
    assert (origin.direction, origin.module) == ("loss", None)
    assert origin.what == (
        "the loss is nan, and no module's output was seen that is not finite but for −Inf as a mask"
        " gives"
    )


@ways
def test_a_mask_at_the_end_is_blamed_for_the_loss_it_makes(every, checks):
    class Choice(nn.Module):
        """Leaves no answer to choose from in the end."""

        def __init__(self):
            super().__init__()
            self.scores, self.none, self.mask = nn.Linear(8, 3), False, nn.Identity()

        def forward(self, x):
            scores = self.scores(x.mean(1))
            return self.mask(scores.masked_fill(torch.tensor([self.none, True, self.none]), -1e9
                             if not self.none else -math.inf))  # fmt: skip

    def spoil(model):
        model.none = True

    probe = trained(Choice(), every=every, checks=checks, spoil=spoil)
    assert (probe.origin.step, probe.origin.module) == (BAD + 1, "mask")


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_a_nan_that_goes_no_further_is_told_with_its_module(checks, masked):
    """Late, by its figures, where nobody looks at outputs as they are made."""

    class Mended(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.log = Attention(), Log()
            if not masked:
                self.attention.mask = nn.Identity()
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.log(self.attention(x)).nan_to_num().mean(1))

    probe = trained(Mended(), checks=checks)
    assert probe.origin is not None
    assert (probe.origin.direction, probe.origin.module) == ("forward", "log")
    assert [f.modules for f in probe.findings() if f.rule == "nonfinite"] == [("log",)]


@ways
@pytest.mark.parametrize("softmax", [True, False])
def test_a_healthy_mask_is_nobodys_fault(every, checks, softmax):
    probe = trained(Net(softmax=softmax, cooled=True), every=every, checks=checks)
    assert probe.origin is None
    assert not [f for f in probe.findings() if f.rule == "nonfinite"]


def test_a_checkpoint_around_masks_counts_what_it_would_count_without_a_probe():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = Attention(softmax=False), Attention(softmax=False)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            both = nn.Sequential(self.one, self.two)
            return self.head(checkpoint(both, x, use_reentrant=False).mean(1).log())

    probe = trained(Twice(), steps=1)
    assert probe.origin is not None


def test_of_a_step_no_mask_is_held_after_it():
    model = Net(softmax=False)
    x, y = torch.randn(4, 6, 8), torch.randint(3, (4,))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watch(model, optimizer, every=1, budget=1.0, to=":memory:") as probe:
        masks = probe._recorder.modules.masks
        probe._recorder.modules.checks = True
        loss = F.cross_entropy(model(x), y)
        assert masks.call.leaf.name == "attention.mask"
        assert masks.left.shape == (4, 3)
        loss.backward()
        optimizer.step()
        probe.step(loss)
        assert (masks.call, masks.left, masks._last, masks.seen) == (None, None, None, False)


def test_a_mask_is_let_go_as_soon_as_a_module_has_made_zeros_of_it():
    masks, scores = Masks(), torch.tensor([0.0, -math.inf])
    call = Call(Leaf("mask", Mask()), (), {}, scores, None, first=False)
    assert masks.named_for(call) is None
    masks.passed((torch.ones(2),), {})
    assert masks.call is not None
    masks.passed((), {"scores": scores})
    assert masks.call is None
    assert masks.seen


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([1.0, -math.inf], True), ([-math.inf, -math.inf], True), ([-math.inf, math.inf], False),
        ([-math.inf, math.nan], False), ([math.nan], False), ([math.inf], False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_what_looks_like_a_mask(numbers, found, dtype):
    output = torch.tensor(numbers, dtype=dtype)
    assert is_mask(nn.Identity(), output) is found
    assert not is_mask(nn.Linear(1, 1), output)
    assert not is_mask(nn.ReLU(), output)
    assert not is_mask(nn.Identity(), output.to_sparse())
