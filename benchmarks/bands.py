"""Whether theory's band keeps its promise: 95 of 100 seeds, at every layer, and not by being wide.

Run ``python -m benchmarks.bands [--seeds 80] [--first 0] [--jobs 2]``. Of every setting, and of the
activations and the gradients apart: the least share of seeds whose std lies inside the band of a
layer, with that layer; the median and the widest band as high over low; and how many tensors have
none. Then by how much the root mean square of the weights' gradients, over seeds, is off at the
worst layer. Limit: a share of 0.93, at every layer that has a band.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
from functools import partial
from statistics import fmean, median
from typing import Any, NamedTuple

import torch

from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.theory import LayerPrediction, Spread
from layerscope.engine.theory.experiments import predict_experiment

LIMIT = 0.93
BASE: dict[str, Any] = {"depth": 10, "width": 100, "batch": 64, "init": "lecun_normal"}
DIGITS: dict[str, Any] = {"data": "digits", "loss": "cross_entropy"}
SETTINGS: tuple[dict[str, Any], ...] = (
    {"depth": 50, "batch": 200, "init": "kaiming_normal"},  # the Lab as it opens
    {"depth": 3, "width": 400, "init": "kaiming_normal", "loss": "mae"},
    {"activation": "leaky_relu", "init": "xavier_uniform", "bias_std": 0.3},
    {"activation": "elu", "bias_std": 0.1, "loss": "huber"},
    {"activation": "selu", "depth": 30},
    {"activation": "linear", "loss": "mae"},
    {"activation": "linear", "init": "orthogonal", "depth": 20},
    {"activation": "tanh"},
    {"activation": "tanh", "init_scale": 1.5, "bias_std": 0.2, "depth": 20},
    {"activation": "tanh", "width": 24, "depth": 30, "batch": 16},
    {"activation": "hardtanh", "init": "pytorch_default", "inputs": 30},
    {"activation": "sigmoid"},
    {"activation": "sigmoid", "init_scale": 4.0, "bias_std": 0.5, "loss": "mae"},
    {"activation": "softplus"},
    {"activation": "softplus", "init": "xavier_normal", "depth": 5, "loss": "mae"},
    {"activation": "gelu", "init": "kaiming_normal", "width": 200},
    {"activation": "gelu", "bias_std": 0.2, "loss": "huber"},
    {"activation": "silu", "init": "kaiming_normal", "init_scale": 1.3, "depth": 20},
    {"activation": "silu", "init_scale": 2.0},
    {"activation": "mish", "init": "kaiming_normal"},
    {"activation": "tanh", "init": "orthogonal", **DIGITS},
    {"init": "kaiming_normal", **DIGITS},
    {"init": "kaiming_normal", "data": "digits", "batch": 200},
    {"activation": "tanh", "data": "digits", "loss": "mae"},
    {"activation": "sigmoid", "init_scale": 2.0, **DIGITS},
    {"init": "kaiming_normal", "norm": "layer"},
    {"activation": "sigmoid", "norm": "layer", "residual": True},
    {"activation": "gelu", "norm": "layer", "residual": True, "depth": 20, **DIGITS},
    {"activation": "silu", "norm": "rms", "loss": "mae"},
    {"activation": "softplus", "norm": "rms", "residual": True},
    {"activation": "tanh", "residual": True},
    {"init": "kaiming_normal", "residual": True, "branch_scale": 0.3},
    {"activation": "tanh", "norm": "batch", "batch": 128},
    {"activation": "silu", "norm": "batch", "batch": 128},
    {"norm": "batch", "residual": True, "batch": 200, **DIGITS},
    {"init": "lsuv", "activation": "tanh"},
    {"init": "lsuv", "activation": "tanh", "bias_std": 0.3, "loss": "huber"},
    {"init": "lsuv", "loss": "cross_entropy"},
    {"init": "lsuv", **DIGITS},
    {"init": "lsuv", "activation": "selu", "depth": 30},
    {"init": "lsuv", "activation": "sigmoid", "loss": "mae"},
    {"init": "lsuv", "activation": "tanh", "residual": True},
    {"init": "lsuv", "activation": "gelu", "norm": "layer", **DIGITS},
    {"init": "lsuv", "activation": "hardtanh", "width": 400, "inputs": 20, "batch": 16},
    {"init": "lsuv", "activation": "silu", "init_scale": 2.0, "inputs": 300},
    {"init": "lsuv", "activation": "gelu", "depth": 50, "batch": 200},
    {"init": "lsuv", "activation": "hardswish", "depth": 4, **DIGITS},
    {"init": "lsuv", "activation": "squared_relu", "depth": 4},
    {"init": "orthogonal", "activation": "linear", "bias_std": 0.5, "data": "digits"},
    {"init": "orthogonal", "activation": "tanh", "bias_std": 0.3},
    {"init": "identity", "activation": "linear", "init_scale": 1.1},
    {"init": "identity", "activation": "tanh", "init_scale": 1.5, "inputs": 30},
    {"init": "identity", "activation": "gelu", "residual": True, "depth": 4, "loss": "huber"},
    {"init": "identity", "activation": "relu", "loss": "cross_entropy", "input_mean": 0.5},
    {"init": "identity", "activation": "tanh", **DIGITS},
    {"init": "constant", "activation": "tanh", "init_scale": 5.0},
    {"init": "constant", "activation": "relu", "loss": "mae", "batch": 200},
    {"init": "constant", "activation": "tanh", "residual": True, "depth": 5},
    {"init": "constant", "activation": "sigmoid", "data": "digits", "loss": "mae"},
)
"""What each changes of `BASE`."""


class Tensors(NamedTuple):
    """Of one seed's layers, by index: std of the output, of the gradient by it, and the mean square
    of the gradient by its weight."""

    activation: dict[int, float]
    gradient: dict[int, float]
    weight: dict[int, float]


class Held(NamedTuple):
    """What became of the bands of a setting's activations, or of its gradients."""

    share: float | None
    """None: there is no band at all."""
    where: str
    middle: float
    widest: float
    missing: int


def measured(experiment: Experiment) -> Tensors:
    """One network, once forward and back."""
    found = Tensors({}, {}, {})
    for step in passes(Network(experiment)):
        if isinstance(step, ForwardStep):
            found.activation[step.info.index] = float(step.output.double().std())
        elif isinstance(step, BackwardStep):
            found.gradient[step.info.index] = float(step.gradient.double().std())
            weight = step.layer.gradients.get("weight")
            if weight is not None and step.info.role == "linear_map":
                found.weight[step.info.index] = float(weight.double().square().mean())
    return found


def spread_of(layer: LayerPrediction, name: str) -> Spread | None:
    """The prediction of its output or of the gradient by it."""
    return layer.activation if name == "activation" else layer.gradient


def held(layers: tuple[LayerPrediction, ...], seen: list[Tensors], name: str) -> Held:
    """The band of every layer against all seeds."""
    least, where, missing, ratios = None, "", 0, []
    for layer in layers:
        spread = spread_of(layer, name)
        if spread is None or spread.low is None or spread.high is None:
            missing += 1
            continue
        ratios.append(10 ** (spread.high - spread.low))
        stds = [getattr(each, name)[layer.index] for each in seen]
        inside = [s > 0 and spread.low <= math.log10(s) <= spread.high for s in stds]
        share = fmean(inside)
        if least is None or share < least:
            least, where = share, layer.name
    return Held(least, where, median(ratios or [1.0]), max(ratios, default=1.0), missing)


def off(layers: tuple[LayerPrediction, ...], seen: list[Tensors]) -> tuple[float, str]:
    """Worst relative error of a weight gradient's rms over seeds, and the layer."""
    worst, where = 0.0, "none predicted"
    for layer in layers:
        if layer.weight_gradient is None:
            continue
        rms = math.sqrt(fmean(each.weight[layer.index] for each in seen))
        told = 10**layer.weight_gradient
        error = rms / told - 1 if told else math.inf if rms else 0.0
        if abs(error) >= abs(worst):
            worst, where = error, layer.name
    return worst, where


def judged(
    seeds: int, first: int, change: dict[str, Any]
) -> tuple[Held, Held, tuple[float, str], str]:
    """One setting."""
    torch.set_num_threads(1)
    setting = {**BASE, **change}
    prediction = predict_experiment(Experiment(**setting))
    seen = [measured(Experiment(**setting, seed=first + s)) for s in range(seeds)]
    layers = prediction.layers
    told = prediction.reason or prediction.gradient_reason or ""
    return (*(held(layers, seen, of) for of in ("activation", "gradient")), off(layers, seen), told)


def words(found: Held) -> str:
    """A column of the table."""
    if found.share is None:
        return f"{'no band':>38}"
    ratio = f"{found.middle:.2f} {found.widest:7.2f}"
    return f"{found.share:6.3f} {found.where:>13} {ratio:>13} {found.missing:3d}"


def main() -> int:
    """Print one line per setting, then how many keep the limit; 1 unless all do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=80)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    print(f"{BASE}, and:")
    head = f"{'least':>6} {'at':>13} {'high/low max':>13} {'no':>3}"
    print(f"{'activations':>78} {'gradients':>38}  weight gradient")
    print(f"{'setting':40}{head} {head}  off by")
    kept = none = 0
    with multiprocessing.Pool(options.jobs) as pool:
        work = partial(judged, options.seeds, options.first)
        for change, found in zip(SETTINGS, pool.imap(work, SETTINGS), strict=True):
            forward, back, (error, where), told = found
            shares = [h.share for h in (forward, back) if h.share is not None]
            kept += bool(shares) and all(share >= LIMIT for share in shares)
            none += not shares
            name = " ".join(str(v) if v is not True else k for k, v in change.items())
            print(f"{name[:39]:40}{words(forward)} {words(back)}  {100 * error:+5.0f} % {where}")
            if told:
                print(f"    {told}")
    banded = len(SETTINGS) - none
    print(f"{kept} of {banded} settings keep {LIMIT} at every layer that has a band")
    print(f"{none} have no band at all")
    return int(kept < banded)


if __name__ == "__main__":
    sys.exit(main())
