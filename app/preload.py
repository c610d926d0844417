"""Everything loaded, compiled and run once, for the processes that are forked from this one.

``python -m layerscope.app.preload CHANNEL`` is the fork server as a program of its own.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from functools import partial

import layerscope.app.main  # noqa: F401 - whatever a computation may need is imported with it
from layerscope.app.results import EVERYTHING, complete
from layerscope.app.templating import load_templates, templates
from layerscope.app.workers.forking import serve_forks
from layerscope.engine.analyses.phase_diagram import phase_diagram
from layerscope.engine.basis.cancellation import never
from layerscope.engine.basis.cores import keep_to_cores
from layerscope.engine.execution.prices import measure, use
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.calculus import derivative_of, differentiable
from layerscope.engine.foundations.ladder import ladder
from layerscope.engine.statistics import warm_up
from layerscope.engine.theory.experiments import predict_experiment

__all__ = ["VANISHING", "main", "prepare", "run_everything_once"]

VANISHING = Experiment(depth=12, width=16, batch=16, activation="linear", init_scale=0.1)


def run_everything_once() -> None:
    """Compile every kernel, into the cache where there is one, and run a tiny experiment."""
    warm_up()
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        tiny = Experiment(depth=2, width=8, batch=8, norm="layer", residual=True, dtype=dtype)
        complete(tiny, EVERYTHING, never)
    complete(VANISHING, EVERYTHING, never)  # has a finding, so that fixes are tried


def prepare() -> None:
    """All of it, and what imports or derives for a second when first asked: data sets, SymPy. Last
    it measures what operations cost, for whoever is forked from here.

    On one core: what OpenMP started in threads would be missing in a fork.
    """
    keep_to_cores(1)
    run_everything_once()
    tiny = Experiment(depth=1, width=4, batch=4)
    first: list[Callable[[], object]] = [
        lambda: predict_experiment(Experiment()),
        lambda: predict_experiment(Experiment(data="digits", loss="cross_entropy")),
        lambda: phase_diagram(tiny),
        lambda: ladder(2, 2, 2),
        *(partial(derivative_of, name) for name in differentiable()),
        partial(load_templates, templates.env, "partials/"),
    ]
    for each in first:
        each()
    use(measure())


def main() -> None:
    """Serve the channel that the first argument numbers."""
    prepare()
    serve_forks(socket.socket(fileno=int(sys.argv[-1])))


if __name__ == "__main__":
    main()
