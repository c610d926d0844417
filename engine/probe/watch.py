"""``watch``: attaches a probe to a model that trains, if it can be watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer

from layerscope.engine.diagnosis import SEVERITIES, Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.asking import AskedLoss
from layerscope.engine.probe.distributed import named_by_rank, refuse_parts
from layerscope.engine.probe.outputs import has_parameters
from layerscope.engine.probe.pace import Pace
from layerscope.engine.probe.probe import Probe, watched_already
from layerscope.engine.probe.sinks import Several, Sink, sink_for
from layerscope.engine.probe.telling import News, Teller
from layerscope.engine.probe.watched import Watched, unwrapped

__all__ = ["watch"]


def watch(
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    loss: Callable[..., Any] | None = None,
    to: Any = None,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    every: int | None = None,
    budget: float = 0.05,
    scaler: Any = None,
    on_finding: Callable[[Finding], Any] | None = None,
    stop_on: Severity | None = None,
    also: Sequence[Sink] = (),
) -> Probe:
    """Watches ``model`` while it trains; the training's bits stay what they would be without.

    Args:
        model: any module; what happens in each of its leaves is recorded.
        optimizer: the one that trains it, or several of them; without one, neither learning rates
            nor updates are known.
        loss: the loss function, called through ``probe.loss`` so that its targets are seen.
        to: where the run is written: None (the store of this folder), ``":memory:"``, a file, an
            SQLAlchemy URL or a server's address.
        name: what people call the run.
        config: what it was made with, to be shown beside it.
        every: records every that-many steps; None lets ``budget`` decide.
        budget: share of the step time that recording may cost.
        scaler: the gradient scaler, so that gradients are reported unscaled.
        on_finding: called by ``probe.step`` with each finding that is new.
        stop_on: the severity from which on a finding ends the ``with`` block.
        also: who else gets what is recorded: ``ToTensorBoard``, ``ToWandb``, any ``Sink``.

    Errors: ``TypeError`` or ``ValueError`` for what cannot be watched, at once; nothing later.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), 0.1)
    >>> with watch(model, optimizer, loss=nn.MSELoss(), to=":memory:") as probe:
    ...     loss = probe.loss(model(torch.ones(5, 4)), torch.zeros(5, 1))
    ...     loss.backward()
    ...     optimizer.step()
    ...     probe.step(loss)
    >>> [facts.name for facts in probe.facts()], len(probe.steps())
    (['0', '1', '2'], 1)
    """
    _checked(model, every, budget, config)
    refuse_parts(model)
    _checked_calls(loss, on_finding, scaler, stop_on)
    watched = Watched(model, _optimizers(model, optimizer))
    tell = Teller()
    sink = sink_for(to, *named_by_rank(name, config))
    return Probe(
        watched, Pace(every, budget), Several(sink, also, tell) if also else sink,
        AskedLoss(loss), News(on_finding, stop_on), scaler, tell,
    )  # fmt: skip


def _checked(model: Any, every: Any, budget: Any, config: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    if not has_parameters(model):
        raise ValueError(f"model: {type(model).__name__} has no parameters, so nothing can train")
    if every is not None and (type(every) is not int or every < 1):
        raise ValueError(f"every: expected a number of steps from 1 on, or None, got {every!r}")
    if not isinstance(budget, int | float) or not 0 < budget <= 1:
        raise ValueError(f"budget: expected a share of the step time in (0, 1], got {budget!r}")
    if config is not None and not isinstance(config, Mapping):
        raise TypeError(f"config: expected a mapping of settings, got {type(config).__name__}")
    if watched_already(model):
        raise ValueError("model: it, or a part of it, is watched already; close that probe first")


def _checked_calls(loss: Any, on_finding: Any, scaler: Any, stop_on: Any) -> None:
    if loss is not None and not callable(loss):
        raise TypeError(f"loss: expected the loss function, got {type(loss).__name__}")
    if on_finding is not None and not callable(on_finding):
        kind = type(on_finding).__name__
        raise TypeError(f"on_finding: expected a function of a finding, got {kind}")
    if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
        raise TypeError(f"scaler: expected a torch.amp.GradScaler, got {type(scaler).__name__}")
    if stop_on is not None and stop_on not in SEVERITIES:
        known = ", ".join(SEVERITIES)
        raise ValueError(f"stop_on: expected one of {known}, or None, got {stop_on!r}")


def _optimizers(model: nn.Module, given: Any) -> list[Optimizer]:
    """One, several or none, as a list of those that step."""
    several = given if isinstance(given, list | tuple) else [] if given is None else [given]
    found = []
    for each in several:
        inner = unwrapped(each)
        if inner is None:
            raise TypeError(
                "optimizer: expected a torch.optim.Optimizer or a list of them, "
                f"got {type(each).__name__}"
            )
        found.append(inner)
    own = {id(p) for p in model.parameters()}
    theirs = {id(p) for o in found for g in o.param_groups for p in g["params"]}
    if found and not own & theirs:
        raise ValueError("optimizer: none of its parameters is one of the model's")
    return found
