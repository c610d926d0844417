"""From a model and a batch to findings: a look, or two, the rules on records, and the checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn
from torch.optim import Optimizer

from layerscope.engine.diagnosis import RULES, SEVERITIES, Finding, diagnose
from layerscope.engine.diagnosis.diagnose import explained_by
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
    found: list[tuple[Finding, frozenset[str]]] = []
    for check in CHECKS.values():
        finding = check.find(subject)
        if finding is not None:
            found.append((finding, _closure(check.explains)))
    found += [(f, explained_by(f.rule)) for f in _on_records(subject)]
    return _rooted(found)


def _on_records(subject: Subject) -> list[Finding]:
    if not subject.look.records or subject.look.failure is not None:
        return []
    found = diagnose(subject.evidence, RECORD_RULES)
    if subject.opened is None or not subject.opened.records:
        return found
    later = Subject(subject.opened, None, None).evidence
    lasting = {f.rule: f for root in diagnose(later, RECORD_RULES) for f in _all([root])}
    return [
        replace(f, consequences=[c for c in f.consequences if c.rule in lasting])
        for f in found if f.rule in lasting
    ]  # fmt: skip


def _closure(names: Sequence[str]) -> frozenset[str]:
    further = (explained_by(name) for name in names if name in RULES)
    return frozenset(names).union(*further)


def _rooted(found: Sequence[tuple[Finding, frozenset[str]]]) -> list[Finding]:
    roots: list[Finding] = []
    below: dict[int, list[Finding]] = {}
    causes: list[tuple[int, frozenset[str]]] = []
    for place, (finding, explains) in enumerate(found):
        over = [
            i for i, (other, others) in enumerate(found)
            if i != place and finding.rule in others and other.severity != "info"
            and not (other.rule in explains and i > place)
        ]  # fmt: skip
        if over:
            below.setdefault(over[0], []).append(finding)
        else:
            causes.append((place, explains))
    kept = {place for place, _ in causes}
    for place, finding in ((p, found[p][0]) for p, _ in causes):
        own = list(finding.consequences)
        ahead = [place]
        while ahead:  # what is explained by something that is explained itself comes up here too
            for each in below.get(ahead.pop(), []):
                own.append(replace(each, consequences=[]))
                own += each.consequences
                ahead += [i for i, (f, _) in enumerate(found) if f is each and i not in kept]
        worst = max([finding, *own], key=lambda f: SEVERITIES.index(f.severity)).severity
        roots.append(replace(finding, consequences=own, severity=worst))
    return sorted(roots, key=lambda f: -SEVERITIES.index(f.severity))


def _all(found: Sequence[Finding]) -> list[Finding]:
    return [f for root in found for f in (root, *root.consequences)]


def accusations(found: Sequence[Finding]) -> dict[str, int]:
    """How severe each rule's worst finding is, notes left out."""
    worst: dict[str, int] = {}
    for finding in _all(found):
        severity = SEVERITIES.index(finding.severity)
        if severity:
            worst[finding.rule] = max(severity, worst.get(finding.rule, 0))
    return worst
