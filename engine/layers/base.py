"""What every layer promises: a forward pass, and the backward pass written by hand beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from layerscope.engine.basis.role import Role

__all__ = ["DrawParameters", "Layer"]

DrawParameters = Callable[[int, int], tuple[Tensor, Tensor]]
"""``(n_in, n_out) -> weight (n_in, n_out), bias (n_out,)`` as the specification has them drawn."""


class Layer(ABC):
    """A step of a network: ``forward`` keeps what ``backward`` needs, which fills ``gradients``
    with one tensor for each entry of ``parameters``, of the same shape."""

    role: ClassVar[Role]
    adds_layer: ClassVar[bool] = True
    """False for what a network has no layer for: the identity as activation."""
    couples_samples: ClassVar[bool] = False
    """True where a sample's output depends on the other samples of its batch."""
    kinks: ClassVar[tuple[float, ...]] = ()
    """Where the derivative by the input jumps, in ascending order."""
    torch_modules: ClassVar[tuple[type[nn.Module], ...]] = ()
    """Modules of PyTorch that compute the same."""
    torch_settings: ClassVar[tuple[tuple[str, object], ...]] = ()
    """Attributes that such a module must have: a LeakyReLU of another slope is another function."""
    keeps: ClassVar[tuple[str, ...]] = ()
    """What ``saved`` holds, in words."""
    name: ClassVar[str]
    """Registry name, and the ``kind`` of the layer's records."""
    formula: ClassVar[str]
    """The forward pass as a formula in plain text."""
    gradient_formula: ClassVar[str]
    """The backward pass as a formula; g is the gradient of the loss by the layer's output y."""
    source: ClassVar[str]
    help: ClassVar[str]

    def __init__(self) -> None:
        self.parameters: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self._saved: tuple[Tensor, ...] | None = None

    @property
    def saved(self) -> tuple[Tensor, ...]:
        """What ``forward`` kept for ``backward``."""
        if self._saved is None:
            raise RuntimeError(f"{self.name}: backward was called before forward")
        return self._saved

    def twin(self) -> Self:
        """A layer of the same parameters that kept the same, to be run again without a trace."""
        other = copy(self)
        other.gradients = {}
        return other

    def as_it_is(self) -> Self:
        """A layer that has what this one has now, also once this one is released."""
        other = object.__new__(type(self))  # ``copy`` takes ten times as long
        other.__dict__.update(self.__dict__, gradients=dict(self.gradients))
        return other

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The layer's output for the input ``x`` of shape (batch, n_in)."""

    @abstractmethod
    def backward(self, g: Tensor) -> Tensor:
        """Gradient by the input, given ``g``, the gradient by the output; fills ``gradients``."""

    @classmethod
    def option(cls) -> str:
        """The name under which an experiment chooses it."""
        return cls.name

    @classmethod
    def build(cls, n_in: int, n_out: int, dtype: torch.dtype, draw: DrawParameters) -> Self:  # noqa: ARG003
        """The layer from ``n_in`` to ``n_out`` units at initialisation; one without parameters."""
        return cls()

    @classmethod
    @abstractmethod
    def torch_forward(cls, x: Tensor, parameters: Mapping[str, Tensor], skip: Tensor) -> Tensor:
        """The same function by PyTorch's own operators: what autograd is asked about.

        ``skip`` is the block's input, which only a residual sum looks at.
        """

    @abstractmethod
    def pushforward(self, v: Tensor | None, x: Tensor) -> Tensor:
        """Rows ``v`` (k, n_in) through the layer's derivative at one sample ``x`` (1, n_in).

        v @ (∂y/∂x)ᵀ of shape (k, n_out), for k small changes of the input; None stands for the
        identity. A residual sum takes the block's input to be that from which ``v`` counts.
        Calls ``forward`` anew where it must.
        """

    def largest_term(self, g: Tensor) -> float:  # noqa: ARG002
        """The size of the terms that ``backward(g)`` adds up; 0 where it adds up nothing.

        Where terms cancel, their rounding is all that is left of the gradient by the input.
        """
        return 0.0

    @classmethod
    def computes(cls, module: nn.Module) -> bool:
        """Whether ``module`` is this layer in PyTorch's words.

        >>> from layerscope.engine.layers import ACTIVATIONS
        >>> ACTIVATIONS["leaky_relu"].computes(nn.LeakyReLU(0.2))
        False
        """
        return type(module) in cls.torch_modules and all(
            getattr(module, name) == value for name, value in cls.torch_settings
        )

    def release(self) -> None:
        """Forget what ``forward`` kept and the parameters' gradients."""
        self.gradients.clear()
        self._saved = None
