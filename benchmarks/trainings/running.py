"""Trains one of the corpus with the probe attached: what it says, and how far the training came."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch

import layerscope
from benchmarks.trainings.case import Training
from layerscope.engine.diagnosis import Finding

__all__ = ["Result", "accused", "carried_out", "train"]


@dataclass(frozen=True)
class Result:
    """What came of a training: the loss it is judged by before and after, NaN where it is not
    finite, and the findings."""

    before: float
    after: float
    findings: list[Finding]


def carried_out(build: Callable[[bool], Training], faulty: bool, seed: int) -> Result:
    """Builds and trains with ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several faults have PyTorch warn of them
        torch.manual_seed(seed)
        training = build(faulty)
        before = _score(training)
        torch.manual_seed(seed)
        findings = train(training)
        return Result(before, _score(training), findings)


def train(training: Training) -> list[Finding]:
    """The usual loop, watched in every step."""
    model, forward = training.model, training.forward or training.model
    with layerscope.watch(
        model, training.optimizers, loss=training.loss, every=1, to=":memory:"
    ) as probe:
        for number in range(training.steps):
            training.each(number)
            training.zero_grad()
            for _ in range(training.parts):
                rows = torch.randint(len(training.x), (training.batch,))
                loss = probe.loss(forward(training.x[rows]), training.y[rows])
                (loss / training.parts).backward()
            training.limit()
            for optimizer in training.optimizers:
                optimizer.step()
            probe.step(loss)
    if probe.error is not None:
        raise probe.error
    return probe.findings()


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
