"""Normalisation layers: centre and rescale, over features or over the batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from layerscope.engine.basis.registry import Registry
from layerscope.engine.layers.base import Layer

__all__ = ["EPSILON", "NORMS", "BatchNorm", "LayerNorm", "Normalization", "RMSNorm"]

EPSILON = 1e-5  # PyTorch's default for layer and batch norm; RMS norm uses it here too


def normalize(x: Tensor, dim: int, *, centred: bool, eps: float) -> tuple[Tensor, Tensor]:
    """``x`` at zero mean (if ``centred``) and unit mean square along ``dim``; and 1/σ.

    Narrow floats are normalised in float32, as PyTorch does, lest their squares overflow.

    Shapes: (batch, n) → (batch, n) and 1/σ with size 1 along ``dim``.
    """
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    if centred:
        wide = wide - wide.mean(dim, keepdim=True)
    inverse = torch.rsqrt(wide.square().mean(dim, keepdim=True) + eps)
    return wide * inverse, inverse


def normalize_backward(
    g: Tensor, normalized: Tensor, inverse: Tensor, dim: int, *, centred: bool
) -> Tensor:
    """Gradient by the input of ``normalize``: what moves the mean or the scale is projected out."""
    along = normalized * (g * normalized).mean(dim, keepdim=True)
    if centred:
        g = g - g.mean(dim, keepdim=True)
    return (g - along) * inverse


class Normalization(Layer):
    """y = γ · (x − μ)/√(σ² + ε) + β, over the dimension and with the parts a subclass names."""

    role = "norm"
    dim: ClassVar[int]
    """1: each sample over its features; 0: each feature over the batch."""
    centred: ClassVar[bool]

    @staticmethod
    @abstractmethod
    def reference(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """The same function by PyTorch's own operator: what autograd is asked about."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.parameters = {"weight": torch.ones(width, dtype=dtype)}
        if self.centred:
            self.parameters["bias"] = torch.zeros(width, dtype=dtype)
        self._saved: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        self._saved = normalize(x, self.dim, centred=self.centred, eps=EPSILON)
        y = (self._saved[0] * self.parameters["weight"]).to(x.dtype)  # (batch, n)
        return y + self.parameters["bias"] if self.centred else y

    def backward(self, g: Tensor) -> Tensor:
        if self._saved is None:
            raise RuntimeError(f"{self.name}: backward was called before forward")
        normalized, inverse = self._saved
        wide = g.to(normalized.dtype)
        self.gradients["weight"] = (wide * normalized).sum(0).to(g.dtype)  # (n,)
        if self.centred:
            self.gradients["bias"] = g.sum(0)  # (n,)
        wide = wide * self.parameters["weight"]
        dx = normalize_backward(wide, normalized, inverse, self.dim, centred=self.centred)
        return dx.to(g.dtype)

    @property
    def gain(self) -> float:
        """The largest 1/σ: what the backward pass multiplies a gradient by at most."""
        return float(self._saved[1].max()) if self._saved is not None else 1.0

    def release(self) -> None:
        super().release()
        self._saved = None


NORMS: Registry[type[Normalization]] = Registry("norm")


@NORMS.register
class LayerNorm(Normalization):
    name = "layer_norm"
    formula = "y = γ·(x − μ)/√(σ² + 10⁻⁵) + β, μ and σ over the features of each sample"
    gradient_formula = "∂L/∂x = (ĝ − mean ĝ − x̂·mean(ĝ·x̂))/σ,  ĝ = γ·g,  means over features"
    source = "Ba, Kiros & Hinton 2016"
    help = "Each sample to mean 0 and variance 1 over its features."
    dim = 1
    centred = True

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
    dim = 0
    centred = True

    @staticmethod
    def reference(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        centred = x - x.mean(
            0
        )  # F.batch_norm refuses a batch of one, so its definition stands here
        y = centred / (centred.square().mean(0) + EPSILON).sqrt()
        return y * parameters["weight"] + parameters["bias"]


@NORMS.register
class RMSNorm(Normalization):
    name = "rms_norm"
    formula = "y = γ·x/√(mean x² + 10⁻⁵) over the features of each sample"
    gradient_formula = "∂L/∂x = (ĝ − x̂·mean(ĝ·x̂))/rms,  ĝ = γ·g,  mean over features"
    source = "Zhang & Sennrich 2019"
    help = "Each sample to mean square 1; its mean is left alone."
    dim = 1
    centred = False

    @staticmethod
    def reference(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        return F.rms_norm(x, (x.shape[1],), parameters["weight"], EPSILON)
