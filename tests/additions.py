"""One new entry for every registry, each in one class or function, as anybody would write it.

Importing this module registers them; `tests.test_one_place` does so and takes them out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.analyses import analysis
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.cost import cost
from layerscope.engine.experiment.data import Sample, dataset
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.matmul import matmul_variant
from layerscope.engine.layers import ACTIVATIONS, NORMS, Activation, Normalization
from layerscope.engine.layers.initialization.base import init_scheme
from layerscope.engine.layers.losses import LOSSES, Loss


@ACTIVATIONS.register
class Snake(Activation):
    name = "snake"
    formula = "x + sin² x"
    gradient_formula = "∂L/∂x = g · (1 + sin 2x)"
    source = "Ziyin, Hartwig & Ueda 2020"
    help = "Learns periodic functions."

    @staticmethod
    def function(x: Tensor) -> Tensor:
        return x + torch.sin(x).square()

    @staticmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        return g * (1 + torch.sin(2 * saved))

    @staticmethod
    def reference(x: Tensor) -> Tensor:
        return x + torch.sin(x) ** 2

    @staticmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        return x + sympy.sin(x) ** 2


@NORMS.register
class PeakNorm(Normalization):
    name = "peak_norm"
    formula = "y = γ·x/max |x| + β over the features of each sample"
    gradient_formula = "∂L/∂x = (ĝ − [|x̂| = 1]·x̂·Σ(ĝ·x̂))/max |x|,  ĝ = γ·g"
    source = "a test"
    help = "Each sample's largest entry to 1."

    @staticmethod
    def normalize(x: Tensor) -> tuple[Tensor, Tensor]:
        inverse = 1 / x.abs().amax(1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        return x * inverse, inverse

    @staticmethod
    def normalize_backward(g: Tensor, normalized: Tensor, inverse: Tensor) -> Tensor:
        size = normalized.abs()
        largest = (size == size.amax(1, keepdim=True)).to(g.dtype)
        along = (g * normalized).sum(1, keepdim=True) / largest.sum(1, keepdim=True)
        return (g - largest * normalized.sign() * along) * inverse

    @staticmethod
    def reference(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        y = x / x.abs().amax(1, keepdim=True)
        return y * parameters["weight"] + parameters["bias"]


@LOSSES.register
class LogCosh(Loss):
    name = "log_cosh"
    formula = "mean ln cosh(y − t)"
    gradient_formula = "∂L/∂y = tanh(y − t)/N"
    source = "a test"
    help = "A smooth Huber."

    @staticmethod
    def function(output: Tensor, target: Tensor) -> Tensor:
        d = (output - target).abs()
        return (d + torch.log1p(torch.exp(-2 * d)) - 0.6931471805599453).mean()  # ln 2

    @staticmethod
    def gradient(output: Tensor, target: Tensor) -> Tensor:
        return torch.tanh(output - target) / output.numel()

    @staticmethod
    def reference(output: Tensor, target: Tensor) -> Tensor:
        d = output - target
        return (torch.nn.functional.softplus(-2 * d, threshold=700) + d).mean()

    @staticmethod
    def symbolic(x: sympy.Symbol, t: sympy.Symbol) -> sympy.Expr:
        return sympy.log(sympy.cosh(x - t))


@init_scheme(
    formula="√(3/n_in) · (rand + rand − 1)",
    source="a test",
    help="Entries with a triangular density.",
    variance=lambda n_in, n_out: 3 / n_in / 6,
)
def triangular(n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor:
    """The sum of two uniform draws, (n_in, n_out)."""
    both = torch.rand(2, n_in, n_out, generator=generator)
    return (both.sum(0) - 1) * (3 / n_in) ** 0.5


@dataset(
    formula="x = 2·(measurements − mean)/std, by feature; t = the grower",
    source="UCI wine recognition data, by scikit-learn's load_wine",
    help="178 real wines; the target is one of three growers.",
    features=13,
    samples=178,
    numbers=3,
    classes=3,
    requires=("scikit-learn",),
)
def wine(batch: int, features: int, generator: torch.Generator) -> Sample:
    """``batch`` wines in random order."""
    from sklearn.datasets import load_wine

    data = load_wine()
    x = torch.tensor(data.data, dtype=torch.float32)
    order = torch.randperm(len(x), generator=generator)[:batch]
    label = torch.tensor(data.target)[order]
    return Sample(2 * ((x - x.mean(0)) / x.std(0))[order], torch.eye(3)[label], label)


@rule(formula="always", source="a test", help="Nothing is wrong.")
def always(evidence: Evidence) -> Finding | None:
    """A note on every network."""
    return evidence.finding(
        "always", "info", evidence.hidden_linear_maps, title="There are layers",
        explanation="It was looked.", direction="forward",
        evidence={"layers": len(evidence.records)}, threshold={},
    )  # fmt: skip


@matmul_variant(
    name="transposed",
    title="of transposes",
    formula="c = (bᵀ @ aᵀ)ᵀ",
    source="a test",
    help="The same numbers the other way round.",
    growth="m·k·n multiply-adds in BLAS",
    tile="whole",
    memory="none of its own",
    extra_bytes=lambda m, k, n: 0,
)
def transposed(a: Tensor, b: Tensor) -> Tensor:
    """Both transposed."""
    return (b.t() @ a.t()).t()


class _Depth:
    def __init__(self, depth: int) -> None:
        self.depth = depth

    def to_dict(self) -> dict[str, Any]:
        return {"depth": self.depth}


@analysis("how_deep", title="How deep", formula="depth", source="a test", help="Counts.", cost=cost)
def how_deep(experiment: Experiment, *, should_stop: ShouldStop = never) -> _Depth:
    """The depth."""
    return _Depth(experiment.depth)
