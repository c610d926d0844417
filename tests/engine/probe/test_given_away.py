"""Targets that are among the inputs, and what attention is left to see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from layerscope.engine.probe.given_away import Attended, InputsReader, attended
from layerscope.engine.probe.step import MadeOf

TEXT = torch.randint(9, (8, 13), generator=torch.Generator().manual_seed(0))
X, NEXT = TEXT[:, :-1], TEXT[:, 1:]
EACH = MadeOf("cross_entropy", "linear", (X.numel(), 9), None, True)
OPEN, CLOSED = Attended("heard", 12, False, None), Attended("heard", 12, True, None)


def found(inputs, target, calls=(), made=EACH, looks=3):
    reader = InputsReader()
    for _ in range(looks - 1):
        reader.read(inputs, target, calls, made)
    return {odd.what: odd for odd in reader.read(inputs, target, calls, made)}


def test_targets_that_are_the_tokens_given():
    assert set(found(X, X)) == {"targets as given"}
    assert set(found(((X,), {}), X.flatten())) == {"targets as given"}
    assert not found(X, NEXT)
    assert not found(X, X, looks=2)


def test_who_shifts_them_within_the_loss_asks_for_fewer():
    assert not found(X, X, made=MadeOf("cross_entropy", "linear", (8 * 11, 9), None, True))
    assert not found(X, X, made=None)


def test_the_next_token_is_seen_by_attention_without_a_mask():
    assert found(X, NEXT, [OPEN])["next ones seen"].behind == "heard"
    assert not found(X, NEXT, [CLOSED])
    assert not found(X, NEXT, [OPEN._replace(length=8)])
    assert not found((TEXT[:, 1:].flip(1), X), NEXT, [OPEN])  # another sequence's may be it
    assert found((X, torch.ones_like(X)), NEXT, [OPEN])  # beside a mask of ones


def test_a_label_in_a_table():
    y = torch.arange(16) % 3
    table = torch.cat([torch.randn(16, 4), y[:, None]], 1)
    assert found(table, y)["label in a column"].after == (4,)
    assert set(found(table, table[:, 1])) == {"value in a column"}
    assert set(found(table, table[:, 1:2])) == {"value in a column"}
    assert not found(table[:, :4], y)
    assert not found(table, torch.zeros(16))


def test_a_token_that_is_to_be_remembered_is_none():
    assert not found(X, X[:, 0])


def test_once_otherwise_is_enough():
    reader = InputsReader()
    for target in (X, NEXT, X, X):
        assert not reader.read(X, target, (), EACH) or target is X
    assert not reader.read(X, X, (), EACH)


PADDED = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 1, 2, 0]])
KNOWN = PADDED != 0


@pytest.mark.parametrize(
    "x", [PADDED, PADDED[..., None].float().expand(2, 5, 3).contiguous()], ids=["tokens", "numbers"]
)
def test_padding_that_alone_is_attended_to(x):
    odd = found(x, None, [Attended("heard", 5, False, KNOWN)])["padding attended"]
    assert (odd.before, odd.after, odd.behind) == ((2, 5), (3,), "heard")
    for mask in (~KNOWN, None, torch.ones_like(KNOWN), torch.zeros_like(KNOWN)):
        assert not found(x, None, [Attended("heard", 5, False, mask)])


def seen_by(model: nn.Module, *given: Tensor, **named) -> list[Attended | None]:
    calls: list[Attended | None] = []

    def hook(module, inputs, named, _):
        calls.append(attended("", module, inputs, named))

    for each in model.modules():
        if isinstance(each, nn.MultiheadAttention):
            each.register_forward_hook(hook, with_kwargs=True)
    model(*given, **named)
    return calls


def test_of_a_call_its_masks_are_told():
    x = torch.randn(2, 5, 8)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    hidden = torch.zeros(2, 5).masked_fill(~KNOWN, -math.inf)
    (call,) = seen_by(layer, x)
    assert call == Attended("", 5, False, None)
    (call,) = seen_by(layer, x, src_mask=mask, src_key_padding_mask=hidden)
    assert call is not None
    assert call.masked
    assert call.left_out is not None
    assert torch.equal(call.left_out, ~KNOWN)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    assert seen_by(attention, x, x[:, :3], x[:, :3]) == [None]
