"""Estimated memory beside what tensors really hold while a network runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from layerscope.engine.analyses.autograd_check import compare_with_autograd
from layerscope.engine.analyses.base import ANALYSES
from layerscope.engine.execution import network
from layerscope.engine.execution.draws import Draws
from layerscope.engine.execution.footprint import Stored
from layerscope.engine.execution.memory import BASE, SCATTERED, moments, peak_bytes
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import LossStep, passes
from layerscope.engine.experiment.specification import Experiment

SMALL = {"width": 30, "batch": 50}


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is, at most `MOST_BYTES` of all networks together, is a part of ``BASE``."""
    monkeypatch.setattr(network, "_draws", Draws(most_bytes=0))


LAST = {"block_order": "linear_last"}


class Counted(TorchFunctionMode):
    """How many bytes of tensors made in its block lived at once, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._live: dict[int, tuple[Stored, int]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._live.setdefault(storage._cdata, (Stored(tensor), storage.nbytes()))
        self._live = {key: kept for key, kept in self._live.items() if kept[0].lives}
        self.most = max(self.most, sum(size for _, size in self._live.values()))
        return result


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(
    "change",
    [
        {"depth": 1}, {"depth": 2, "inputs": 200}, {"depth": 6}, {"depth": 8, "norm": "layer"},
        {"depth": 7, "residual": True}, {"depth": 5, "norm": "batch", "residual": True},
        {"depth": 5, "activation": "gelu"}, {"depth": 3, "activation": "linear"},
        {"depth": 3, "width": 80, "batch": 3}, {"depth": 4, "width": 80, "batch": 3, "inputs": 9},
        {"depth": 6, **LAST}, {"depth": 6, "residual": True, **LAST},
        {"depth": 8, "norm": "layer", "residual": True, **LAST},
        {"depth": 6, "norm": "batch", "inputs": 200, "residual": True, **LAST},
        {"depth": 6, "activation": "gelu", "residual": True, **LAST},
        {"depth": 5, "activation": "linear", "residual": True, **LAST},
    ],
)  # fmt: skip
def test_the_passes_hold_what_is_estimated(change: dict[str, Any], dtype: str) -> None:
    e = Experiment(**{**SMALL, **change, "dtype": dtype})
    with Counted() as counted:
        for _ in passes(Network(e)):
            pass
    estimated = max(max(m.forward, m.backward) for m in moments(e))
    assert 0.9 * counted.most <= estimated <= 1.25 * counted.most


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_the_forward_pass_alone_holds_what_is_estimated(dtype: str) -> None:
    """Where little but the weight is there, it is held as it was drawn beside its cast."""
    e = Experiment(depth=1, width=200, inputs=200, batch=2, dtype=dtype)
    with Counted() as counted:
        for step in passes(Network(e)):
            if isinstance(step, LossStep):
                break
    estimated = max(m.forward for m in moments(e))
    assert 0.9 * counted.most <= estimated <= 1.25 * counted.most


def test_blocks_that_are_not_looked_at_hold_as_much_as_those_that_are() -> None:
    each = [max(m.kept for m in moments(Experiment(**SMALL, depth=d))) for d in (5, 6, 7, 500)]
    block = each[1] - each[0]
    assert each[2] - each[1] == block
    assert each[3] - each[2] == 493 * block


def test_statistics_of_a_narrow_format_take_a_copy_in_float32() -> None:
    e = Experiment(depth=1, width=400, inputs=1, batch=400, dtype="float16", activation="linear")
    plain, read = (max(m.backward for m in moments(e, recorded=r)) for r in (False, True))
    assert read - plain == pytest.approx(4 * 400 * 400, rel=0.6)


def test_small_tensors_leave_gaps_and_large_ones_do_not() -> None:
    small, large = (Experiment(depth=1, width=2048, inputs=1, batch=b) for b in (64, 4096))
    held = [max(max(m.forward, m.backward) for m in moments(e)) for e in (small, large)]
    assert peak_bytes(small) - BASE == pytest.approx(SCATTERED * held[0], rel=0.02)
    assert peak_bytes(large) - BASE == pytest.approx(held[1], rel=0.02)


def test_the_check_holds_no_graph_of_the_whole_network() -> None:
    """What it holds more for ten more blocks are their inputs in both formats, and our own."""
    at = []
    for depth in (10, 20):
        with Counted() as counted:
            compare_with_autograd(Experiment(**SMALL, depth=depth))
        at.append(counted.most)
    entries = SMALL["width"] * SMALL["batch"]
    ours = 4 * (entries + SMALL["width"] ** 2)
    assert (at[1] - at[0]) / 10 < 1.2 * ((8 + 4) * entries + ours)


@pytest.mark.parametrize(
    "change", [{}, {"norm": "layer", "residual": True}, {"activation": "gelu"}]
)
def test_the_check_takes_no_more_than_it_says(change: dict[str, Any]) -> None:
    e = Experiment(**SMALL, depth=6, **change)
    with Counted() as counted:
        compare_with_autograd(e)
    needed = (ANALYSES["autograd_check"].cost(e).bytes - BASE) / SCATTERED
    assert counted.most <= 1.2 * needed
    assert torch.is_grad_enabled()
