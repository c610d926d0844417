"""What the theory costs: milliseconds of processor time for one prediction, cold and warm.

Run ``python -m benchmarks.theory``. Limits: 5 ms for 50 layers, 30 ms for 1000, warm; 1000 ms for
a fine phase diagram.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from layerscope.engine.theory import phase_diagram, predict

REPEATS = 20


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Least processor time of ``repeats`` calls: other processes only ever add to it."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1e3 * best


def prediction(activation: str, depth: int) -> Callable[[], object]:
    """A prediction for Kaiming-normal weights at width 100, as a function of nothing."""
    return lambda: predict(
        activation, depth=depth, width=100, inputs=100, outputs=1, batch=200,
        variance=lambda n_in, _: 2 / n_in,
    )  # fmt: skip


def main() -> None:
    """Print one line per activation."""
    predict("hardtanh", depth=1, width=8, inputs=8, outputs=1, batch=2, variance=lambda *_: 0.1)
    print("processor time [ms]  50 layers cold    warm   1000 warm   phase 60x40 warm")
    for activation in ("linear", "relu", "leaky_relu", "tanh", "gelu", "selu", "sigmoid"):
        cold = milliseconds(prediction(activation, 50), 1)
        warm = milliseconds(prediction(activation, 50), REPEATS)
        deep = milliseconds(prediction(activation, 1000), 3)
        phase_diagram(activation)
        phase = milliseconds(lambda name=activation: phase_diagram(name), 1)  # type: ignore[misc]
        print(f"{activation:<20}{cold:15.1f}{warm:9.2f}{deep:12.1f}{phase:14.0f}")


if __name__ == "__main__":
    main()
