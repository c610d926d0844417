"""Makes the corpus on which the diagnosis is measured: specifications and their simulated truth.

Two things are simulated, neither of which the diagnosis looks at:

- does it train? 300 full-batch steps by PyTorch's autograd, with the best of three learning rates
  of Adam and with the best of four of SGD with momentum; it learned if the loss fell below 0.6 of
  that of the best constant output, it did not if it stayed above 0.9, at these rates and at others
  between them (a rate that has come to nothing in 150 steps, and gained less than 3 % in the last
  50 of them, is given up);
- does its number format hold? In its own dtype every weight gradient is finite and points within
  45 degrees of where autograd's does in float64, as far as float64 knows it.

*Healthy*: both Adam and SGD learn and the format holds. *Faulty*: neither learns, or the format
does not hold. In between (only one optimiser learns, or slowly) there is no truth to be held
against; such specifications are left out, and counted. ``python -m tools.make_corpus`` draws
specifications over all activations, inits, depths, norms, residual sums, number formats and losses
until it has enough of both, and writes ``engine/diagnosis/corpus.json``.

That is the part by which thresholds were, and may be, chosen. With ``--report`` it appends to the
other one, on which nothing is chosen and whose figures are published: cases that are drawn in turn
as above and of the kinds that such draws meet seldom. Which they are follows from the seed and the
case's number alone, so that a run that was stopped goes on where it was, and nobody picks.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.layers.initialization import INITS
from tools.simulated_truth import AGREE, Descent, format_agreement, shares_reached

__all__ = ["KINDS", "drawn_for_report"]

PATH = Path(__file__).parent.parent / "engine" / "diagnosis" / "corpus.json"
LEARNED = 0.6  # of the constant predictor's loss: below this something was learned
STUCK = 0.9  # of the same: above this nothing was
USUAL = {"adam": 1e-3, "sgd": 0.01}
"""Rates with which a training is begun; what learns at them is asked no further."""
OTHERS = {"adam": (1e-2, 1e-4), "sgd": (0.1, 0.001, 1.0)}
BETWEEN = {"adam": (3e-3, 3e-4), "sgd": (0.03, 0.3, 0.003)}
"""Asked where at those neither optimiser comes to anything: a window that lies between two rates is
one all the same."""


def draw(rng: random.Random) -> Experiment:
    """A specification: ordinary choices, or (three in five) with anything changed."""
    ordinary = rng.random() < 0.4
    activation = rng.choice(list(ACTIVATIONS))
    init = rng.choice(
        ["kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "lecun_normal",
         "orthogonal", "truncated_normal", "lsuv", "pytorch_default"]
        if ordinary else list(INITS)
    )  # fmt: skip
    data = rng.choice(["digits", "digits", "gaussian"])
    return Experiment(
        activation=activation,
        init=init,
        init_scale=1.0 if ordinary else round(10 ** rng.uniform(-2, 1), 3),
        depth=rng.choice(
            [1, 2, 3, 4, 6, 10, 15, 20, 30, 50] if ordinary else [2, 5, 10, 20, 35, 50]
        ),
        width=rng.choice([32, 48, 64]),
        batch=rng.choice([48, 64, 96]),
        norm=rng.choice(["none", *Experiment.options("norm")]),
        residual=rng.random() < 0.3,
        bias_std=rng.choice([0.0, 0.0, 0.1, 1.0]),
        data=data,
        loss=rng.choice(["cross_entropy", "mse"]) if data == "digits" else "mse",
        dtype=rng.choice(["float32"] * 6 + ["float64", "bfloat16", "float16"]),
        seed=rng.randrange(1000),
    )


KINDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "residual growth": {
        "residual": (True,),
        "norm": ("none",),
        "depth": (10, 15, 20, 30),
        "init": ("kaiming_normal", "xavier_normal", "orthogonal"),
        "activation": ("relu", "tanh", "gelu", "silu", "leaky_relu"),
        "dtype": ("float32",),
        "init_scale": (0.7, 1.0, 1.3),
    },
    "bfloat16 under batch norm": {
        "norm": ("batch",),
        "dtype": ("bfloat16",),
        "depth": (2, 5, 10, 20, 35),
        "init": ("kaiming_normal", "xavier_uniform", "normal"),
        "init_scale": (0.3, 1.0, 3.0),
    },
    "saturation": {
        "activation": ("softsign", "tanh", "hardtanh", "sigmoid", "softsign"),
        "init": ("xavier_normal", "lecun_normal", "kaiming_normal", "normal"),
        "init_scale": (10.0, 30.0, 60.0, 100.0),
        "depth": (1, 2, 5, 10),
        "dtype": ("float32",),
        "norm": ("none",),
        "bias_std": (0.0, 1.0),
    },
    "a scale that Adam divides out": {
        "init_scale": (0.02, 0.05, 0.1, 0.3, 3.0, 10.0),
        "depth": (2, 3, 5, 8),
        "norm": ("none", "none", "rms"),
        "dtype": ("float32",),
        "init": ("normal", "kaiming_normal", "xavier_normal", "pytorch_default"),
        "activation": ("relu", "leaky_relu", "gelu", "silu", "elu", "linear"),
    },
    "norms that begin at zero": {
        "norm": ("layer", "batch", "rms"),
        "norm_gain": (0.0,),
        "residual": (True,),
        "depth": (3, 10, 30),
        "dtype": ("float32",),
        "init": ("kaiming_normal", "xavier_normal", "orthogonal"),
        "init_scale": (1.0,),
    },
    "zero branches": {
        "init": ("zeros", "identity", "kaiming_normal"),
        "residual": (True,),
        "init_scale": (0.0, 0.1, 1.0),
        "depth": (3, 10, 30),
        "dtype": ("float32",),
    },
}
"""What `draw` meets too seldom: choices that make the rest of a specification likely to be one."""


def draw_kind(rng: random.Random, kind: str) -> Experiment:
    """A specification as `draw` would, with the choices of ``kind``."""
    chosen = {name: rng.choice(options) for name, options in KINDS[kind].items()}
    return Experiment.model_validate({**draw(rng).to_dict(), **chosen})


def judge(experiment: Experiment) -> dict[str, Any]:
    """The simulated truth on one specification."""
    agreement = format_agreement(experiment)
    shares = dict.fromkeys(USUAL, math.inf)

    def train(rates: Mapping[str, Sequence[float]]) -> None:
        descents = [Descent(n, r) for n, s in shares.items() if s >= LEARNED for r in rates[n]]
        reached = shares_reached(experiment, descents) if descents else []
        for (name, _), share in zip(descents, reached, strict=True):
            shares[name] = min(shares[name], share)

    train({name: [rate] for name, rate in USUAL.items()})
    train(OTHERS)
    if agreement > AGREE and min(shares.values()) > STUCK:
        train(BETWEEN)
    truth = None
    if agreement <= AGREE or min(shares.values()) > STUCK:
        truth = False
    elif max(shares.values()) < LEARNED:
        truth = True
    return {
        "experiment": {k: v for k, v in experiment.to_dict().items() if k in experiment.to_query()},
        "healthy": truth,
        **{n: round(share, 4) if math.isfinite(share) else None for n, share in shares.items()},
        "gradient_agreement": round(agreement, 4),
    }


def main() -> None:
    """Draw and judge until there are enough of both kinds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=160, help="healthy and faulty ones to find")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=PATH)
    parser.add_argument("--report", type=int, default=0, help="cases of the other half, in all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.report:
        _report(options.out, options.seed, options.report)
        return
    rng = random.Random(options.seed)  # noqa: S311  not a secret
    found: dict[bool | None, list[dict[str, Any]]] = {True: [], False: [], None: []}
    while min(len(found[True]), len(found[False])) < options.each:
        case = judge(draw(rng))
        found[case["healthy"]].append(case)
        print(*(f"{len(found[t]):4} {t}" for t in found), json.dumps(case), flush=True)
        lines = ",\n".join(json.dumps(c) for cases in found.values() for c in cases)
        options.out.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def drawn_for_report(seed: int, number: int) -> tuple[Experiment, str | None]:
    """The specification of so many a case of the reporting half, and its kind if it is of one."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311  not a secret
    if number % 2 == 0:
        return draw(rng), None
    kind = list(KINDS)[number // 2 % len(KINDS)]
    return draw_kind(rng, kind), kind


def _report(path: Path, seed: int, count: int) -> None:
    """Appends until the reporting half has so many cases."""
    cases = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    for number in range(sum(case.get("held_out", False) for case in cases), count):
        experiment, kind = drawn_for_report(seed, number)
        cases.append({**judge(experiment), "held_out": True} | ({"kind": kind} if kind else {}))
        print(number, json.dumps(cases[-1]), flush=True)
        lines = ",\n".join(json.dumps(case) for case in cases)
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
