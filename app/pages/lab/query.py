"""The Lab's query string: an experiment within the server's limits, and what a part asks beside."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from fastapi import Request

from layerscope.app.settings import Settings
from layerscope.engine.execution.cost import cost
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Pairs", "experiment_of", "pairs_of", "split"]

MOST_PARAMETERS = 100
Pairs = Sequence[tuple[str, str]]


def pairs_of(request: Request) -> list[tuple[str, str]]:
    """The query's pairs; a query with far too many of them is cut, and refused for the rest."""
    text = request.scope["query_string"].decode("latin-1")
    parts = text.split("&")
    pairs = parse_qsl("&".join(parts[:MOST_PARAMETERS]), keep_blank_values=True)
    if len(parts) > MOST_PARAMETERS:
        pairs.append(("query", f"more than {MOST_PARAMETERS} parameters"))
    return pairs


def experiment_of(request: Request, pairs: Pairs) -> Experiment:
    """The experiment of ``pairs``.

    Errors: ``InvalidExperiment``, and ``OverLimit`` for what this server does not run.
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
