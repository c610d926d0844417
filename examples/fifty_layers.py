"""The notes' fifty layers of ``randn(100, 100)``: where the signal is lost, scale by scale.

    python examples/fifty_layers.py

A run is an iterator: one that is no longer read computes no further.
"""

import layerscope


def lost_at(scale: float) -> str:
    """The first layer that has a NaN or an Inf, or nothing but zeros."""
    experiment = layerscope.Experiment(
        depth=50, width=100, activation="linear", init="normal", init_scale=scale
    )
    forward = (e for e in layerscope.run(experiment) if e.event == "forward")
    for layer, event in enumerate(forward, start=1):
        signal = event.record.activation
        if signal.finite < signal.count:
            return f"overflows at layer {layer}"
        if signal.zeros == signal.count:
            return f"is zero from layer {layer}"
        if layer == experiment.depth:
            break
    return f"std {signal.std:.3g} at layer {layer}"


def main() -> None:
    """Print what becomes of each."""
    for scale in (1.0, 0.01, 0.1):
        print(f"randn × {scale:<5} {lost_at(scale)}")


if __name__ == "__main__":
    main()
