"""What operations cost on this machine, as measured once: everything in terms of float32's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from layerscope.engine.execution.network import Network, layout
from layerscope.engine.execution.recording import record_all
from layerscope.engine.experiment.specification import DTYPES, Experiment
from layerscope.engine.layers import Linear

__all__ = ["TYPICAL", "Prices", "measure", "prices", "use"]


@dataclass(frozen=True, slots=True)
class Prices:
    """Operations of float32's matrix product that take as long, on one core.

    ``product``: for one operation of a matrix product, by dtype; ``entry``: for one entry of a
    layer's output, both passes and statistics; ``layer``: for a layer whatever its size;
    ``per_second``: how many a core does.
    """

    product: Mapping[str, float]
    entry: Mapping[str, float]
    layer: float
    per_second: float


TYPICAL = Prices(
    product={"float32": 1.0, "float64": 2.0, "bfloat16": 12.0, "float16": 20.0},
    entry={"float32": 600.0, "float64": 900.0, "bfloat16": 1500.0, "float16": 1500.0},
    layer=1e7,
    per_second=6e10,
)
"""Of a core without instructions for narrow formats; until there is a measurement, and wherever
the same specification must have the same answer on every machine."""

_used = TYPICAL


def prices() -> Prices:
    """Those of this machine, once there is somebody who measured them."""
    return _used


def use(measured: Prices) -> None:
    """Let these be the prices of this process."""
    global _used
    _used = measured


SIDES = {"float32": 384, "float64": 256, "bfloat16": 128, "float16": 128}
"""Of the square matrices multiplied, by dtype: a few milliseconds each."""
ENTRIES = Experiment(depth=1, width=256, inputs=1, batch=256, activation="gelu")
"""Nearly all of its time is spent on entries, and on a function that takes longer than most."""
LAYERS = Experiment(depth=40, width=2, batch=2)
"""Nearly all of its time is spent on having layers."""
TRIES = 3
"""The quickest counts: another program may have been in the way of the others."""


def measure() -> Prices:
    """The prices on this machine and the calling thread's cores; takes some 0.2 s.

    An operation is none quicker than a typical core's: on one with instructions for large products
    these alone are quick, and in terms of them all else would be beyond limits that mean time.
    """
    seconds = {name: _product(dtype, SIDES[name]) for name, dtype in DTYPES.items()}
    one = max(seconds["float32"], 1 / TYPICAL.per_second)
    layer = _quickest(lambda: _run(LAYERS)) / len(layout(LAYERS))
    entries = 2 * ENTRIES.batch * ENTRIES.width  # of the first linear map and of its activation
    others = len(layout(ENTRIES)) * layer
    return Prices(
        product={name: max(1.0, took / one) for name, took in seconds.items()},
        entry={
            name: max(1.0, (_quickest(partial(_run, ENTRIES, name)) - others) / entries / one)
            for name in DTYPES
        },
        layer=layer / one,
        per_second=1 / one,
    )


def _product(dtype: torch.dtype, side: int) -> float:
    """Seconds for one operation of the three products of a linear layer."""
    weight = torch.full((side, side), 1 / side, dtype=dtype)
    layer, x = Linear(weight, torch.zeros(side, dtype=dtype)), torch.ones_like(weight)

    def both_passes() -> None:
        layer.backward(layer.forward(x))

    return _quickest(both_passes) / (6 * side**3)


def _run(experiment: Experiment, dtype: str = "float32") -> None:
    record_all(Network(experiment.model_copy(update={"dtype": dtype})))


def _quickest(work: Callable[[], object]) -> float:
    """Seconds of processor time, which others that wait for the same core do not add to."""
    found = []
    for _ in range(TRIES):
        began = time.thread_time()
        work()
        found.append(time.thread_time() - began)
    return min(found)
