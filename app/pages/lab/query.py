"""The Lab's query string: an experiment within the server's limits, and what a part asks beside."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from layerscope.app.settings import Settings
from layerscope.engine.execution.cost import cost
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Pairs", "experiment_of", "split"]

Pairs = Sequence[tuple[str, str]]


def experiment_of(request: Request, pairs: Pairs) -> Experiment:
    """The experiment of ``pairs``.

    Errors: ``InvalidParameters``, and ``OverLimit`` for what this server does not run.
    """
    settings: Settings = request.app.state.settings
    experiment = Experiment.from_strings(pairs)
    settings.limits.check(cost(experiment))
    return experiment


def split(pairs: Pairs, *names: str) -> tuple[Pairs, dict[str, str]]:
    """The experiment's own pairs, and the values of ``names``, the last where there are several.

    >>> split([("depth", "3"), ("block", "2")], "block", "side")
    ([('depth', '3')], {'block': '2'})
    """
    return [p for p in pairs if p[0] not in names], dict(p for p in pairs if p[0] in names)
