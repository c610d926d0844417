"""Normalisation layers: centre and rescale, over features or over the batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerscope.engine.basis.narrow import widened
from layerscope.engine.basis.registry import Registry
from layerscope.engine.layers.base import DrawParameters, Layer

__all__ = [
    "EPSILON", "NORMS", "BatchNorm", "LayerNorm", "NormTheory", "Normalization", "RMSNorm",
    "chosen_norm", "standardize", "standardize_backward",
]  # fmt: skip

EPSILON = 1e-5  # PyTorch's default for layer and batch norm; RMS norm uses it here too


def standardize(x: Tensor, dim: int, *, centred: bool) -> tuple[Tensor, Tensor]:
    """``x`` (batch, n) at zero mean (if ``centred``) and unit mean square along ``dim``; and 1/σ.

    Narrow floats are normalised in float32, as PyTorch does, lest their squares overflow.
    """
    wide = widened(x)
    if centred:
        wide = wide - wide.mean(dim, keepdim=True)
    inverse = torch.rsqrt(wide.square().mean(dim, keepdim=True) + EPSILON)
    return wide * inverse, inverse


def standardize_backward(
    g: Tensor, normalized: Tensor, inverse: Tensor, dim: int, *, centred: bool
) -> Tensor:
    """Gradient by the input of ``standardize``: what moves mean or scale is projected out."""
    along = normalized * (g * normalized).mean(dim, keepdim=True)
    if centred:
        g = g - g.mean(dim, keepdim=True)
    return (g - along) * inverse


class NormTheory(NamedTuple):
    """What mean-field theory must know of a norm that divides by a root mean square.

    ``over``: what the mean square is over, the features of a sample or the batch of a feature;
    ``centred``: whether the mean over the same is taken off first; ``epsilon``: added to it.
    """

    over: Literal["features", "batch"]
    centred: bool
    epsilon: float = EPSILON


class Normalization(Layer):
    """y = γ · normalize(x) + β, with one γ for all units, 1 unless it is set, and β = 0 at
    initialisation; a subclass states ``normalize`` and ``normalize_backward`` side by side."""

    role = "norm"
    keeps = ("x̂", "1/σ")
    shifts: ClassVar[bool] = True
    """Whether there is a β."""
    symmetric: ClassVar[bool] = False
    """Whether ∂y/∂x of a sample at initialisation is a symmetric matrix."""
    theory: ClassVar[NormTheory | None] = None
    """None: mean-field theory has nothing to say of it."""

    @staticmethod
    @abstractmethod
    def normalize(x: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` (batch, n) normalised, and 1/scale by which it was multiplied, (broadcastable)."""

    @staticmethod
    @abstractmethod
    def normalize_backward(g: Tensor, normalized: Tensor, inverse: Tensor) -> Tensor:
        """Gradient by the input of ``normalize``, whose results are ``normalized, inverse``."""

    @staticmethod
    @abstractmethod
    def reference(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """The same function by PyTorch's own operator: what autograd is asked about."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.parameters = {"weight": torch.ones(width, dtype=dtype)}
        if self.shifts:
            self.parameters["bias"] = torch.zeros(width, dtype=dtype)

    @classmethod
    def option(cls) -> str:
        """The name without its ending: ``layer`` for layer_norm."""
        return cls.name.removesuffix("_norm")

    @classmethod
    def build(cls, n_in: int, n_out: int, dtype: torch.dtype, draw: DrawParameters) -> Self:  # noqa: ARG003
        return cls(n_out, dtype)

    def forward(self, x: Tensor) -> Tensor:
        normalized, _ = self._saved = self.normalize(x)
        y = (normalized * self.parameters["weight"]).to(x.dtype)  # (batch, n)
        return y + self.parameters["bias"] if self.shifts else y

    def backward(self, g: Tensor) -> Tensor:
        normalized, inverse = self.saved
        wide = g.to(normalized.dtype)
        self.gradients["weight"] = (wide * normalized).sum(0).to(g.dtype)  # (n,)
        if self.shifts:
            self.gradients["bias"] = g.sum(0)  # (n,)
        wide = wide * self.parameters["weight"]
        return self.normalize_backward(wide, normalized, inverse).to(g.dtype)

    @classmethod
    def torch_forward(cls, x: Tensor, parameters: Mapping[str, Tensor], skip: Tensor) -> Tensor:  # noqa: ARG003
        return cls.reference(x, parameters)

    def pushforward(self, v: Tensor | None, x: Tensor) -> Tensor:
        alone = self.twin()
        alone.forward(x)
        if v is not None and self.symmetric:
            return alone.backward(v)
        jacobian = alone.backward(torch.eye(x.shape[1], dtype=x.dtype))  # (n, n): row i is ∂y_i/∂x
        return jacobian.t() if v is None else v @ jacobian.t()

    def largest_term(self, g: Tensor) -> float:
        if self._saved is None or not g.numel():
            return 0.0
        return float(self._saved[1].abs().max()) * float(g.abs().max())


NORMS: Registry[type[Normalization]] = Registry("norm")


def chosen_norm(option: str) -> type[Normalization] | None:
    """The norm that an experiment's ``norm`` names; None for ``none``.

    Errors: ``KeyError`` naming the value and every choice.

    >>> chosen_norm("layer").name, chosen_norm("none")
    ('layer_norm', None)
    """
    choices = {"none": None, **{norm.option(): norm for norm in NORMS.values()}}
    if option not in choices:
        raise KeyError(f"unknown norm {option!r}; expected one of: {', '.join(choices)}")
    return choices[option]


@NORMS.register
class LayerNorm(Normalization):
    name = "layer_norm"
    formula = "y = γ·(x − μ)/√(σ² + 10⁻⁵) + β, μ and σ over the features of each sample"
    gradient_formula = "∂L/∂x = (ĝ − mean ĝ − x̂·mean(ĝ·x̂))/σ,  ĝ = γ·g,  means over features"
    source = "Ba, Kiros & Hinton 2016"
    help = "Each sample to mean 0 and variance 1 over its features."
    torch_modules = (nn.LayerNorm,)
    symmetric = True
    theory = NormTheory(over="features", centred=True)

    @staticmethod
    def normalize(x: Tensor) -> tuple[Tensor, Tensor]:
        return standardize(x, 1, centred=True)

    @staticmethod
    def normalize_backward(g: Tensor, normalized: Tensor, inverse: Tensor) -> Tensor:
        return standardize_backward(g, normalized, inverse, 1, centred=True)

    @staticmethod
    def reference(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        return F.layer_norm(x, (x.shape[1],), parameters["weight"], parameters["bias"], EPSILON)


@NORMS.register
class BatchNorm(Normalization):
    name = "batch_norm"
    formula = "y = γ·(x − μ)/√(σ² + 10⁻⁵) + β, μ and σ over the batch for each feature"
    gradient_formula = "∂L/∂x = (ĝ − mean ĝ − x̂·mean(ĝ·x̂))/σ,  ĝ = γ·g,  means over the batch"
    source = "Ioffe & Szegedy 2015 (training mode)"
    help = "Each feature to mean 0 and variance 1 over the batch; a batch of one becomes zero."
    torch_modules = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    theory = NormTheory(over="batch", centred=True)
    couples_samples = True

    @staticmethod
    def normalize(x: Tensor) -> tuple[Tensor, Tensor]:
        return standardize(x, 0, centred=True)

    @staticmethod
    def normalize_backward(g: Tensor, normalized: Tensor, inverse: Tensor) -> Tensor:
        return standardize_backward(g, normalized, inverse, 0, centred=True)

    @staticmethod
    def reference(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        # F.batch_norm refuses a batch of one, so its definition stands here.
        centred = x - x.mean(0)
        y = centred / (centred.square().mean(0) + EPSILON).sqrt()
        return y * parameters["weight"] + parameters["bias"]


@NORMS.register
class RMSNorm(Normalization):
    name = "rms_norm"
    formula = "y = γ·x/√(mean x² + 10⁻⁵) over the features of each sample"
    gradient_formula = "∂L/∂x = (ĝ − x̂·mean(ĝ·x̂))/rms,  ĝ = γ·g,  mean over features"
    source = "Zhang & Sennrich 2019"
    help = "Each sample to mean square 1; its mean is left alone."
    torch_modules = (nn.RMSNorm,)
    symmetric = True
    theory = NormTheory(over="features", centred=False)
    shifts = False

    @staticmethod
    def normalize(x: Tensor) -> tuple[Tensor, Tensor]:
        return standardize(x, 1, centred=False)

    @staticmethod
    def normalize_backward(g: Tensor, normalized: Tensor, inverse: Tensor) -> Tensor:
        return standardize_backward(g, normalized, inverse, 1, centred=False)

    @staticmethod
    def reference(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        return F.rms_norm(x, (x.shape[1],), parameters["weight"], EPSILON)
