"""What a loss is asked, told by its output, its target and itself."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from msgspec import msgpack
from torch import nn

from layerscope.engine.probe.step import Task
from layerscope.engine.probe.task import task_of

CLASSES = torch.arange(12) % 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("of", [F.softmax, F.log_softmax])
def test_a_softmax_is_over_the_batch_or_over_the_classes(of, dtype):
    z = torch.randn(12, 3, dtype=dtype)
    assert task_of(F.cross_entropy, (of(z, 0), CLASSES)).over_batch
    assert not task_of(F.cross_entropy, (of(z, 1), CLASSES)).over_batch
    assert not task_of(F.cross_entropy, (z, CLASSES)).over_batch


def test_who_adds_up_to_one_in_the_first_columns_alone_is_no_softmax():
    z = torch.rand(12, 9)
    z[:, :6] = z[:, :6].softmax(0)
    assert not task_of(F.cross_entropy, (z, CLASSES)).over_batch
    z[:4] = z[:4].softmax(1)
    assert not task_of(F.cross_entropy, (z, CLASSES)).probabilities
    assert task_of(F.cross_entropy, (z.softmax(1), CLASSES)).probabilities


def test_each_sample_against_each_has_two_directions():
    similar = torch.randn(12, 12)
    assert not task_of(F.nll_loss, (similar.log_softmax(0), torch.arange(12))).over_batch


def test_rows_and_columns_that_both_add_up_to_one_are_over_the_classes():
    even = torch.full((8, 4), 0.25)
    even[:, :2], even[:, 2:] = 0.125, 0.375
    assert task_of(F.cross_entropy, (even, CLASSES[:8])).probabilities
    assert not task_of(F.cross_entropy, (even * 0.5, CLASSES[:8])).over_batch


@pytest.mark.parametrize("smoothing", [1.0, 0.2])
def test_smoothing_is_a_losss_own_or_given_with_the_call(smoothing):
    z = torch.randn(12, 3)
    by_name = task_of(F.cross_entropy, (z, CLASSES), {"label_smoothing": smoothing})
    own = task_of(nn.CrossEntropyLoss(label_smoothing=smoothing), (z, CLASSES))
    assert (by_name.smoothing, own.smoothing) == (smoothing, smoothing)


def mse_loss(output, target):
    return (output - target).square().mean()


@pytest.mark.parametrize(
    ("loss", "own", "entry_by_entry"),
    [
        (nn.MSELoss(), True, True), (F.mse_loss, True, True), (mse_loss, False, False),
        (F.nll_loss, True, False), (nn.CrossEntropyLoss(), True, False),
    ],
)  # fmt: skip
def test_a_loss_is_pytorchs_by_itself_not_by_its_name(loss, own, entry_by_entry):
    task = task_of(loss, (torch.randn(12, 3), CLASSES))
    assert (task.own, task.entry_by_entry) == (own, entry_by_entry)


def test_numbers_of_classes_are_told_from_others_where_shapes_differ():
    z = torch.randn(12, 3)
    assert task_of(F.mse_loss, (z, CLASSES[:, None].float())).whole
    assert not task_of(F.mse_loss, (z, z[:, :1])).whole
    assert not task_of(F.mse_loss, (z, z.round())).whole


def test_bytes_of_before_are_read():
    task = task_of(F.mse_loss, (torch.randn(12, 3), torch.zeros(12, 1)))
    known = msgpack.decode(task.to_bytes()[1:])
    before = Task.from_bytes(task.to_bytes()[:1] + msgpack.encode(known[:-7]))
    assert (before.own, before.entry_by_entry, before.whole) == (False, False, False)
    assert before.output == task.output


def test_samples_of_several_classes_are_told_from_those_of_one():
    z = torch.rand(12, 3)
    assert task_of(F.binary_cross_entropy, (z, torch.tensor([[1.0, 1, 0]] * 12))).several
    assert not task_of(F.binary_cross_entropy, (z, F.one_hot(CLASSES).float())).several
    assert not task_of(F.cross_entropy, (z, CLASSES)).several


def test_outputs_are_alike_or_opposite():
    z = torch.randn(12, 3)
    assert task_of(F.mse_loss, (z, 2 * z)).alike == pytest.approx(1)
    assert task_of(F.mse_loss, (z, -z)).alike == pytest.approx(-1)
    for output, target in [
        (z, -z.clone().requires_grad_()), (z.abs(), -z), (z[:, :1], -z[:, :1]), (z[:4], -z[:4]),
        (z, torch.zeros(12, 3)), (z, CLASSES),
    ]:  # fmt: skip
        assert task_of(F.mse_loss, (output, target)).alike is None
