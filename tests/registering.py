"""Registers `tests.additions` for a while, and what the sweeps with them ask for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from layerscope.engine.analyses import ANALYSES
from layerscope.engine.diagnosis import RULES
from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.foundations.calculus import derivative_of
from layerscope.engine.foundations.matmul import MATMULS
from layerscope.engine.layers import ACTIVATIONS, NORMS
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.theory.experiments import predict_experiment

REGISTRIES = {
    "activation": ACTIVATIONS, "init": INITS, "norm": NORMS, "loss": LOSSES, "data": DATASETS,
    "rule": RULES, "matmul": MATMULS, "analysis": ANALYSES,
}  # fmt: skip
SMALL: dict[str, Any] = {"depth": 3, "width": 16, "batch": 40}
CHOICES: dict[str, str] = {
    "activation": "snake", "init": "triangular", "norm": "peak", "loss": "log_cosh", "data": "wine",
}  # fmt: skip
CHANGES = [*({k: v} for k, v in CHOICES.items()), CHOICES, {**CHOICES, "residual": True}]


@contextmanager
def additions() -> Iterator[None]:
    """Every entry of `tests.additions` is there within, and gone at the end."""
    with ExitStack() as stack:
        for registry in REGISTRIES.values():
            stack.enter_context(registry.temporarily())
        for cached in (derivative_of, predict_experiment):
            stack.callback(cached.cache_clear)  # they remember by name what is gone afterwards
        sys.modules.pop("tests.additions", None)
        importlib.import_module("tests.additions")
        yield


def params(change: dict[str, Any]) -> dict[str, str]:
    given = SMALL | change
    return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in given.items()}


def named(change: dict[str, Any]) -> str:
    return "-".join(map(str, change.values()))
