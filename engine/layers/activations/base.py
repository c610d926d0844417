"""The activations' common form: a function of one number, applied elementwise."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry
from layerscope.engine.layers.base import Layer

if TYPE_CHECKING:
    import sympy

__all__ = ["ACTIVATIONS", "Activation"]


class Activation(Layer):
    """An elementwise φ with its derivative.

    A subclass states ``function`` (φ) and ``chain`` (g · φ') side by side; ``saves`` says which
    tensor ``chain`` reads: the layer's input x, or its output y where φ' follows from y alone,
    which lets the input be freed.
    """

    role = "activation"
    saves: ClassVar[Literal["input", "output"]] = "input"
    kinks: ClassVar[tuple[float, ...]] = ()
    """Where φ' jumps (or φ itself is pieced together), in ascending order."""
    subgradient: ClassVar[str] = ""
    """Which value of φ' is chosen at the kinks, in words; empty where φ is smooth."""

    def __init__(self) -> None:
        super().__init__()
        self._saved: Tensor | None = None

    @staticmethod
    @abstractmethod
    def function(x: Tensor) -> Tensor:
        """φ(x), of the shape and dtype of ``x``."""

    @staticmethod
    @abstractmethod
    def chain(g: Tensor, saved: Tensor) -> Tensor:
        """g · φ'(x), where ``saved`` is x or y = φ(x) as ``saves`` says."""

    @staticmethod
    @abstractmethod
    def reference(x: Tensor) -> Tensor:
        """The same function by PyTorch's own operator: what autograd is asked about."""

    @staticmethod
    @abstractmethod
    def symbolic(x: sympy.Symbol) -> sympy.Expr:
        """φ as a SymPy expression of the real symbol ``x``."""

    @classmethod
    def derivative(cls, x: Tensor) -> Tensor:
        """φ'(x), elementwise, by the hand-written backward pass."""
        saved = x if cls.saves == "input" else cls.function(x)
        return cls.chain(torch.ones_like(x), saved)

    def forward(self, x: Tensor) -> Tensor:
        y = self.function(x)
        self._saved = x if self.saves == "input" else y
        return y

    def backward(self, g: Tensor) -> Tensor:
        if self._saved is None:
            raise RuntimeError(f"{self.name}: backward was called before forward")
        return self.chain(g, self._saved)

    def release(self) -> None:
        super().release()
        self._saved = None


ACTIVATIONS: Registry[type[Activation]] = Registry("activation")
