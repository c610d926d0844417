"""The losses that people use, called through the probe."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from layerscope.engine.probe.asking import LEAST_SAMPLES, AskedLoss
from layerscope.engine.probe.watch import watch

N, C = 6, 4
NUMBERS, CLASSES = torch.randn(N, C), torch.randint(0, C, (N,))


class Unhashable:
    """A loss of the user's own, as a dataclass would be."""

    __hash__ = None

    def __call__(self, y, t):
        return (y - t).square().mean()


def lengths(n, of):
    return torch.full((n,), of)


LOSSES = {
    "cross entropy": (nn.CrossEntropyLoss(), (CLASSES,)),
    "ignoring all": (nn.CrossEntropyLoss(ignore_index=0), (torch.zeros_like(CLASSES) + 1,)),
    "of each sample": (nn.CrossEntropyLoss(reduction="none"), (CLASSES,)),
    "weighted": (nn.CrossEntropyLoss(weight=torch.ones(C)), (CLASSES,)),
    "KL": (nn.KLDivLoss(reduction="batchmean"), (NUMBERS.softmax(1),)),
    "Poisson": (nn.PoissonNLLLoss(), (NUMBERS.abs(),)),
    "margin": (nn.MultiMarginLoss(), (CLASSES,)),
    "many labels": (nn.MultiLabelSoftMarginLoss(), (NUMBERS.sign().clamp(0),)),
    "hinge": (nn.HingeEmbeddingLoss(), (NUMBERS.sign(),)),
    "triplet": (nn.TripletMarginLoss(), (NUMBERS, NUMBERS.flip(0))),
    "cosine": (nn.CosineEmbeddingLoss(), (NUMBERS, torch.ones(N))),
    "gaussian": (nn.GaussianNLLLoss(), (NUMBERS, torch.ones(N, C))),
    "ctc": (
        lambda y, t: nn.CTCLoss()(
            y[:, None].log_softmax(2), t, lengths(1, N), lengths(1, 2)
        ),
        (torch.tensor([[1, 2]]),),
    ),
    "complex": (lambda y, t: (torch.view_as_complex(y.view(N, -1, 2)) - t).abs().mean(), (0j,)),
    "no target": (lambda y: y.square().mean(), ()),
    "sparse": (lambda y, t: (y - t.to_dense()).square().mean(), (NUMBERS.to_sparse(),)),
    "empty": (lambda y, t: y.square().mean(), (torch.empty(64, 0),)),
    "a list": (lambda y, t: (y - t[0]).square().mean(), ([NUMBERS],)),
    "half": (nn.MSELoss(), (NUMBERS.half(),)),
    "unhashable": (Unhashable(), (NUMBERS,)),
    "two outputs": (lambda y, t: (y[0] - t).square().mean(), (NUMBERS[0],)),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_switches_the_probe_off(name):
    function, target = LOSSES[name]
    model = nn.Linear(3, C)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, loss=function, every=1, to=":memory:") as probe:
        for _ in range(2):
            value = probe.loss(model(torch.ones(N, 3)), *target).mean()
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(value)
    assert probe.error is None
    assert [step.loss for step in probe.steps()][-1] == value.item()


def test_the_users_loss_is_called_as_often_as_they_call_it():
    calls = []

    def counted(y, t):
        calls.append(y)
        return (y - t).square().mean()

    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, loss=counted, every=1, to=":memory:") as probe:
        for _ in range(3):
            probe.loss(model(torch.ones(N, 3)), torch.zeros(N, 1)).backward()
            optimizer.step()
            probe.step()
    assert len(calls) == 3


def test_the_constant_answers_loss_is_told_of_steps_that_look_closer():
    model, y = nn.Linear(3, 1), torch.arange(8.0)[:, None]
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with watch(model, optimizer, loss=nn.MSELoss(), every=1, to=":memory:") as probe:
        for _ in range(6):
            probe.loss(model(torch.ones(8, 3)), y).backward()
            optimizer.step()
            probe.step()
    known = [step.baseline for step in probe.steps()]
    assert known == [y.var(correction=0).item()] * 4 + [None] * 2


def asked(loss, output, target):
    found = AskedLoss(loss)
    found.looks((output, target), {})
    found.saw((output, target), {}, loss(output, target))
    assert found.task is not None
    return found


@pytest.mark.parametrize(
    ("loss", "outputs", "targets", "known"),
    [
        (nn.MSELoss(), (LEAST_SAMPLES, 1), torch.arange(float(LEAST_SAMPLES))[:, None], True),
        (nn.MSELoss(), (1, 5), torch.arange(5.0)[None], False),
        (nn.CrossEntropyLoss(), (1, 3), torch.zeros(1, dtype=torch.int64), False),
        (nn.CrossEntropyLoss(), (1, 3, 8), torch.arange(8)[None] % 3, True),
        # A critic is asked for ones alone of what is real: to answer so is no achievement.
        (nn.BCEWithLogitsLoss(), (64, 1), torch.ones(64, 1), False),
        (nn.CrossEntropyLoss(), (64, 3), torch.ones(64, dtype=torch.int64), False),
    ],
)
def test_a_constant_answer_is_a_measure_of_samples_that_differ(loss, outputs, targets, known):
    found = asked(loss, torch.randn(outputs), targets)
    assert (found.constant is not None) is known


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (nn.MSELoss(), True),
        (lambda y, t: (y - t).square().mean(), True),
        (lambda y, t: (y - t).abs().mean(), True),
        (lambda y, t: (y[:, 0] - t).square().mean(), False),
        (lambda y, t: (y - t).square().mean() / 3, False),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_loss_of_the_users_is_known_to_broadcast_by_what_it_gives(loss, told):
    assert asked(loss, torch.randn(16, 1), torch.randn(16)).task.entry_by_entry is told
