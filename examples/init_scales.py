"""Fifty layers at several init scales: what is left of the signal, and what the diagnosis says.

python examples/init_scales.py
"""

import layerscope


def main() -> None:
    """Print a line for each scale."""
    print(f"{'scale':>6}  {'std after 50 layers':>20}  {'loss':>10}  verdict")
    for scale in (0.5, 0.9, 1.0, 1.1, 2.0):
        experiment = layerscope.Experiment(depth=50, width=100, init_scale=scale)
        events = list(layerscope.run(experiment, fixes=False))
        hidden = [e.record.activation for e in events if e.event == "forward"][-2]
        summary = next(e for e in events if e.event == "summary")
        std = "not finite" if hidden.std is None else f"{hidden.std:.3g}"
        print(f"{scale:>6}  {std:>20}  {summary.loss:>10.3g}  {summary.verdict.title}")


if __name__ == "__main__":
    main()
