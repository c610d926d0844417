"""From a model and a batch to findings: a look, or two, the rules on records, and the checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from layerscope.engine.diagnosis import RULES, SEVERITIES, Finding
from layerscope.engine.diagnosis.diagnose import follows, found_by
from layerscope.engine.diagnosis.roots import every, rooted
from layerscope.engine.probe.preflight.batch import Batch
from layerscope.engine.probe.preflight.checks import CHECKS
from layerscope.engine.probe.preflight.look import Look, look
from layerscope.engine.probe.preflight.reference import reference_of
from layerscope.engine.probe.preflight.subject import Subject

__all__ = ["RECORD_RULES", "accusations", "findings_of", "judged"]


def judged(
    model: nn.Module, batch: Batch, loss: Callable[..., Any], optimizer: Optimizer | None
) -> Subject:
    """A look at ``model``, and a second one where weights are zero by design. Leaves traces:
    gradients, running statistics, and in those weights; for use within ``untouched``."""
    _forget(model)
    first = look(model, batch, loss)
    opened = None
    gates = _gates(first)
    if gates:
        _open(model, gates)
        _forget(model)
        opened = look(model, batch, loss)
    _forget(model)
    return Subject(first, reference_of(first, loss), optimizer, opened)


def _forget(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.grad = None


def _gates(found: Look) -> list[str]:
    """Weights that are zero and get a gradient: a branch, a head or a gain that a first step opens.

    What they shut off for now is no fault. Biases are zero as a rule and shut nothing off.
    """
    return [
        name for name, gradient in found.gradients.items()
        if gradient is not None and gradient.zeros < gradient.count == gradient.finite
        and found.values[name].zeros == found.values[name].count
        and "bias" not in name.rpartition(".")[2]
    ]  # fmt: skip


def _open(model: nn.Module, gates: Sequence[str]) -> None:
    """Moves them down their gradients, to the size that weights of their fan-in have."""
    named = dict(model.named_parameters())
    with torch.no_grad():
        for name in gates:
            p = named[name]
            if p.grad is None or p.grad.layout is not torch.strided:
                continue
            rms = p.grad.double().square().mean().sqrt()
            fan_in = p.numel() / p.shape[0] if p.dim() > 1 else 1.0
            p.copy_(-p.grad.double() / rms * fan_in**-0.5)


RECORD_RULES = tuple(name for name in RULES if name not in CHECKS)
"""Those on records that no check here asks of the loss itself."""


def findings_of(subject: Subject) -> list[Finding]:
    """Everything found, worst first, what follows from another finding under it."""
    checked = [f for check in CHECKS.values() if (f := check.find(subject)) is not None]
    return rooted([*checked, *_on_records(subject)], _explains)


def _explains(cause: Finding, effect: Finding) -> bool:
    if cause.rule in CHECKS:
        return cause.severity != "info" and effect.rule in CHECKS[cause.rule].explains
    return effect.rule in RULES and follows(cause, effect)


def _on_records(subject: Subject) -> list[Finding]:
    if not subject.look.records or subject.look.failure is not None:
        return []
    found = found_by(subject.evidence, RECORD_RULES)
    if subject.opened is None or not subject.opened.records:
        return found
    later = found_by(Subject(subject.opened, None, None).evidence, RECORD_RULES)
    lasting = {f.rule for f in later}
    return [f for f in found if f.rule in lasting]


def accusations(found: Sequence[Finding]) -> dict[str, int]:
    """How severe each rule's worst finding is, notes left out."""
    worst: dict[str, int] = {}
    for finding in every(found):
        severity = SEVERITIES.index(finding.severity)
        if severity:
            worst[finding.rule] = max(severity, worst.get(finding.rule, 0))
    return worst
