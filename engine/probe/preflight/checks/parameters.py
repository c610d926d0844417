"""Parameters that should learn and will not: frozen, forgotten, out of the gradient's reach."""

from __future__ import annotations

from collections.abc import Sequence

from layerscope.engine.basis.text import listed
from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.preflight.checks.base import check
from layerscope.engine.probe.preflight.subject import Subject

__all__ = ["forgotten", "frozen", "no_gradient"]


@check(
    formula="no parameter asks for a gradient (error), or some do not (a note)",
    source="torch.nn.Parameter.requires_grad",
    explains=("no_gradient", "frozen"),
)
def frozen(subject: Subject) -> Finding | None:
    """``requires_grad`` is False: deliberate, where something else trains."""
    values, asked = subject.look.values, subject.look.gradients
    ice = [n for n in values if n not in asked]
    if not ice:
        return None
    severity: Severity = "info" if asked else "error"
    modules = subject.modules_of(ice)
    title = f"{len(ice)} of {len(values)} parameters are frozen" if asked else (
        "No parameter asks for a gradient: nothing can be trained"
    )  # fmt: skip
    return subject.finding(
        "frozen", severity, modules, title,
        f"requires_grad is False for {listed(ice, 3)}. {_trains(subject, list(asked))}",
        {"frozen": len(ice), "parameters": len(values)}, {"trainable_parameters": 1},
        code=None if asked else "model.requires_grad_(True)",
    )  # fmt: skip


def _trains(subject: Subject, names: Sequence[str]) -> str:
    return f"What trains is {', '.join(subject.modules_of(names)[:4])}." if names else ""


@check(
    formula="a parameter that gets a gradient is in no group of the optimiser; one of the "
    "optimiser's is not the model's",
    source="torch.optim.Optimizer.param_groups",
)
def forgotten(subject: Subject) -> Finding | None:
    """What the optimiser does not know, or knows of another model."""
    if subject.optimizer is None:
        return None
    given = {id(p) for group in subject.optimizer.param_groups for p in group["params"]}
    named = dict(subject.model.named_parameters())
    if not given & {id(p) for p in named.values()}:
        return subject.finding(
            "frozen", "error", tuple(subject.in_order),
            "The optimiser steps other parameters than this model's",
            f"None of its {len(given)} parameters is one of the model's {len(named)}: it was made "
            "for another copy, or before the parameters were replaced.",
            {"in_optimizer": 0, "parameters": len(named)}, {"in_optimizer": len(named)},
            code="optimizer = type(optimizer)(model.parameters(), **optimizer.defaults)",
        )  # fmt: skip
    out = [n for n in subject.look.gradients if id(named[n]) not in given]
    out = [n for n in out if subject.look.gradients[n] is not None] if subject.look.loss else out
    if not out:
        return None
    modules = subject.modules_of(out)
    backbone = _backbone(subject, modules)
    severity: Severity = "info" if backbone else "warning"
    said = " They are all that comes first, as where only a head is trained." if backbone else ""
    return subject.finding(
        "frozen", severity, modules,
        f"{len(out)} of {len(named)} parameters are not in the optimiser",
        f"{listed(out, 3)} would get a gradient and never move.{said}",
        {"not_in_optimizer": len(out), "parameters": len(named)}, {"not_in_optimizer": 0},
        code=None if backbone else "\n".join(
            f'optimizer.add_param_group({{"params": model.get_submodule("{m}").parameters()}})'
            for m in modules
        ),
    )  # fmt: skip


def _backbone(subject: Subject, modules: Sequence[str]) -> bool:
    """Whether these are the first of the network, and at least half of it."""
    first = subject.in_order[: len(modules)]
    return list(modules) == first and len(modules) > 1 and 2 * len(modules) >= len(
        subject.in_order
    )  # fmt: skip


@check(
    formula="a parameter that asks for a gradient gets none from the loss",
    source="torch.autograd",
    explains=("vanishing_gradient",),
)
def no_gradient(subject: Subject) -> Finding | None:
    """Layers that no gradient reaches: detached on the way, or never called."""
    look = subject.look
    if look.failure is not None or look.loss is None or not look.gradients:
        return None
    missing = [n for n, g in look.gradients.items() if g is None]
    if not missing:
        return None
    modules = subject.modules_of(missing)
    cut = [m for m in modules if m in look.called]
    if not look.loss_reaches:
        return subject.finding(
            "no_gradient", "error", modules, "The loss has no gradient",
            "It does not depend on any parameter through operations that can be differentiated: "
            f"{_where(subject, modules)}",
            {"without_gradient": len(missing), "parameters": len(look.gradients)},
            {"without_gradient": 0}, direction="backward",
        )  # fmt: skip
    if cut:
        title = f"No gradient reaches {listed(cut, 3)}"
        own = [n for n in missing if subject.owners.get(n) in cut]
        told = f"{listed(own, 3)}: part of the forward pass, but {_where(subject, cut)}"
        rest = [m for m in modules if m not in cut]
        told += f" {listed(rest, 3)} is not called at all." if rest else ""
    else:
        title = f"{listed(modules, 3)} takes no part in the forward pass"
        told = f"{listed(missing, 3)} ask for a gradient, and the output does not depend on them."
    return subject.finding(
        "no_gradient", "error" if cut else "warning", modules, title, told,
        {"without_gradient": len(missing), "parameters": len(look.gradients),
         "called": len(cut), "not_called": len(modules) - len(cut)},
        {"without_gradient": 0}, direction="backward",
    )  # fmt: skip


def _where(subject: Subject, modules: Sequence[str]) -> str:
    """Between which calls the way back is cut."""
    calls = subject.look.calls
    silent = [i for i, c in enumerate(calls) if c.record.gradient is None]
    last = max((i for i in silent if calls[i].record.facts.name in modules), default=None)
    if last is None:
        return "the output does not depend on them: their result is dropped or detached."
    after = next((c for c in calls[last + 1 :] if c.record.gradient is not None), None)
    before = calls[last].record.facts.name
    ends = "the loss" if after is None else after.record.facts.name
    made = "cannot pass one" if not calls[last].reaches else "gets none back"
    return (
        f"the way back ends between {before}, whose output {made}, and {ends}: a detach, an item, "
        "an argmax, a conversion to NumPy or a no_grad lies there."
    )
