"""``preflight``: a model, a batch and a loss looked at before any training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, is_lazy
from torch.optim import Optimizer

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.again import random_state
from layerscope.engine.probe.outputs import has_parameters
from layerscope.engine.probe.preflight.batch import Batch
from layerscope.engine.probe.preflight.checks.formats import format_rows
from layerscope.engine.probe.preflight.fixes import (
    NotCopied,
    fixed,
    learning_rate,
    original_course,
    weighed,
)
from layerscope.engine.probe.preflight.judging import accusations, findings_of, judged
from layerscope.engine.probe.preflight.report import Report
from layerscope.engine.probe.preflight.subject import Subject
from layerscope.engine.probe.preflight.trial import Course, Setup
from layerscope.engine.probe.preflight.untouched import untouched

__all__ = ["preflight"]


def preflight(
    model: nn.Module,
    batch: Any,
    loss: Callable[..., Any],
    optimizer: Optimizer | None = None,
    fixes: bool = True,
) -> Report:
    """Looks at ``model`` before any training: one forward and one backward pass, and what they say.

    Nothing is left behind in the model, in its gradients, modes or hooks, in the optimiser, in the
    batch or in any random state. Errors of the model or the loss are findings.

    Args:
        model: any module, in the state in which its training would begin.
        batch: ``(x, y)``; ``x`` is a tensor, a tuple of the model's inputs or a dict of them by
            name. At least 30 samples, for units to be called dead.
        loss: called as ``loss(output, y)``, as in the training.
        optimizer: the one that will train it: its parameters and its rate are judged too.
        fixes: whether changes are tried, each on a deep copy that is trained for 20 steps on the
            batch, beside one that is not changed.

    Errors: ``TypeError`` or ``ValueError`` for what is no model, batch, loss or optimiser.

    >>> _ = torch.manual_seed(1)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> report = preflight(model, (torch.randn(32, 4), torch.randn(32)), nn.MSELoss())
    >>> report.findings[0].title
    'Output (32, 1) and target (32,) broadcast to (32, 32) in mse_loss'
    >>> print(report.findings[0].fix["code"])
    y = y.reshape(-1, 1)
    """
    given = _checked(model, batch, loss, optimizer)
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    with random_state():
        model = _materialised(model, given)
    if isinstance(loss, nn.Module):
        with untouched(loss):
            return _flown(model, given, loss, optimizer, fixes=fixes)
    return _flown(model, given, loss, optimizer, fixes=fixes)


def _checked(model: Any, batch: Any, loss: Any, optimizer: Any) -> Batch:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    if not has_parameters(model):
        raise ValueError(f"model: {type(model).__name__} has no parameters, so nothing can train")
    if not callable(loss):
        raise TypeError(f"loss: expected a function of output and target, got {loss!r}")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        kind = type(optimizer).__name__
        raise TypeError(f"optimizer: expected a torch.optim.Optimizer, got {kind}")
    return Batch.of(batch)


def _materialised(model: nn.Module, batch: Batch) -> nn.Module:
    """A copy that has seen its first input, where the model is lazy; else the model itself."""
    if not any(is_lazy(p) for p in model.parameters()):
        return model
    # A lazy buffer, unlike a lazy parameter, does not know how to copy itself.
    lazy = [b for b in model.buffers() if isinstance(b, UninitializedBuffer)]
    known = {id(b): UninitializedBuffer(device=b.device, dtype=b.dtype) for b in lazy}  # type: ignore[call-arg]
    twin = copy.deepcopy(model, known)
    with torch.no_grad():
        try:
            batch.through(twin)
        except Exception:  # said as a finding, by the pass that is looked at
            return twin
    return twin


def _flown(
    model: nn.Module, batch: Batch, loss: Callable[..., Any], optimizer: Optimizer | None,
    *, fixes: bool,
) -> Report:  # fmt: skip
    with untouched(model):
        subject = judged(model, batch, loss, optimizer)
    found = findings_of(subject)
    losses, reason = Course(), "not asked for" if not fixes else None
    if fixes:
        with untouched(model):
            found, losses, reason = _tried(Setup(model, batch, loss, optimizer), subject, found)
    return Report(
        findings=found,
        records=subject.look.records,
        loss=subject.look.loss,
        constant_loss=subject.reference and subject.reference.constant,
        losses=list(losses.losses),
        formats=format_rows(subject),
        unseen=dict(subject.look.unseen),
        fixes_not_tried=reason,
        evidence=subject.evidence,
    )


def _tried(
    setup: Setup, subject: Subject, found: list[Finding]
) -> tuple[list[Finding], Course, str | None]:
    """The findings with what helps, the losses of the original, and why nothing was tried."""
    failure = subject.look.failure
    if failure is not None:
        return found, Course(), f"the {failure.where} pass fails" if (
            failure.where != "loss"
        ) else "the loss fails"  # fmt: skip
    try:
        before = original_course(setup)
    except NotCopied as error:
        return found, Course(), str(error)
    found = weighed(fixed(setup, subject, found, before), before)
    if not accusations(found):
        rate = learning_rate(setup, subject, before)
        found = [rate, *found] if rate is not None else found
    return found, before, None
