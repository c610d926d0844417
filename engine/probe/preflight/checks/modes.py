"""Norms and dropout in the mode for evaluation, before a training."""

from __future__ import annotations

from torch import nn

from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.kinds import kind_of
from layerscope.engine.probe.preflight.checks.base import check
from layerscope.engine.probe.preflight.subject import Subject

__all__ = ["eval_mode"]


@check(
    formula="a module that behaves otherwise in training is in eval mode; a note where it, or all "
    "that comes before what trains, is frozen",
    source="torch.nn.Module.train",
)
def eval_mode(subject: Subject) -> Finding | None:
    """Norms that keep old statistics, dropout that drops nothing."""
    resting = [
        (name, module) for name, module in subject.model.named_modules()
        if kind_of(module).mode and not module.training and _acts(module)
    ]  # fmt: skip
    if not resting:
        return None
    trained = [n for n, m in resting if not _frozen(m)]
    deliberate = subject.model.training and not trained
    severity: Severity = "info" if deliberate else "warning"
    names = tuple(name for name, _ in resting)
    whole = not subject.model.training
    code = "model.train()" if whole else "\n".join(
        f'model.get_submodule("{name}").train()' for name in names
    )  # fmt: skip
    kinds = ", ".join(dict.fromkeys(type(m).__name__ for _, m in resting))
    return subject.finding(
        "eval_mode", severity, names,
        "The model is in eval mode" if whole else f"{len(names)} modules are in eval mode",
        f"{kinds}: norms use their running statistics and do not update them, dropout drops "
        f"nothing. Concerned: {', '.join(names[:4])}.",
        {"in_eval_mode": len(names), "model_training": subject.model.training},
        {"in_eval_mode": 0}, direction="forward", code=code,
    )  # fmt: skip


def _acts(module: nn.Module) -> bool:
    """A dropout of nothing and a norm without running statistics are the same in either mode."""
    if kind_of(module).running:
        return bool(getattr(module, "track_running_stats", True))
    return getattr(module, "p", 1.0) > 0


def _frozen(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return not own or not any(p.requires_grad for p in own)
