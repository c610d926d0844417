"""Trains one of the corpus with the probe attached: what it says, and how far the training came."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import layerscope
from benchmarks.trainings.case import Measure, Training, nothing
from layerscope.engine.diagnosis import Finding

__all__ = ["Result", "accused", "carried_out", "looped", "train"]


@dataclass(frozen=True)
class Result:
    """What came of a training: the loss it is judged by before and after, NaN where it is not
    finite, and what was found by who watched it: of ours, the findings."""

    before: float
    after: float
    findings: list[Any]


def carried_out(
    build: Callable[[bool], Training], faulty: bool, seed: int,
    watched: Callable[[Training], list[Any]] | None = None,
) -> Result:  # fmt: skip
    """Builds and trains with ``seed``, by ``watched``, which is ``train`` where none is given; the
    global generator is left as it was."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several faults have PyTorch warn of them
        torch.manual_seed(seed)
        training = build(faulty)
        before = _score(training)
        torch.manual_seed(seed)
        findings = (watched or train)(training)
        return Result(before, _score(training), findings)


def train(training: Training) -> list[Finding]:
    """The usual loop, watched in every step."""
    with layerscope.watch(
        training.model, training.optimizers, loss=training.loss if training.heard else None,
        every=1, to=":memory:",
    ) as probe:  # fmt: skip
        loss_of = probe.loss if training.heard else None
        looped(training, loss_of=loss_of, stepped=probe.step)
    if probe.error is not None:
        raise probe.error
    return probe.findings()


def looped(
    training: Training, *, loss_of: Measure | None = None, begun: Callable[[int], None] = nothing,
    went_back: Callable[[], None] = nothing, stepped: Callable[[Tensor], None] = nothing,
) -> None:  # fmt: skip
    """The usual loop: ``begun`` is called with a step's number as it begins, ``went_back`` after
    the backward pass and ``stepped`` with the loss after the optimiser."""
    forward, loss_of = training.forward or training.model, loss_of or training.loss
    for number in range(training.steps):
        training.each(number)
        begun(number)
        training.zero_grad()
        for _ in range(training.parts):
            rows = torch.randint(len(training.x), (training.batch,))
            loss = loss_of(forward(training.x[rows]), training.y[rows])
            (loss / training.parts).backward()
        went_back()
        training.limit()
        for optimizer in training.optimizers:
            optimizer.step()
        stepped(loss)


def _score(training: Training) -> float:
    """The loss over all data, in evaluation mode."""
    modes = [(m, m.training) for m in training.model.modules()]
    training.model.eval()
    with torch.no_grad():
        output = (training.forward or training.model)(training.x)
        value = float((training.measure or training.loss)(output, training.y))
    for module, mode in modes:
        module.training = mode
    return value if math.isfinite(value) else math.nan


def accused(findings: list[Finding]) -> list[str]:
    """The rules of the roots that are more than a note."""
    return [f.rule for f in findings if f.severity != "info"]
