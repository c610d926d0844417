"""What every layer promises: a forward pass, and the backward pass written by hand beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor

__all__ = ["Layer", "Role"]

Role = Literal["linear_map", "activation", "norm", "sum"]
"""What a layer is to its network, whoever wrote it: what rules, theory and pictures go by."""


class Layer(ABC):
    """One step of a network.

    ``forward`` keeps only what ``backward`` needs; ``backward`` consumes it and fills
    ``gradients`` with one tensor for each entry of ``parameters``, of the same shape.
    """

    role: ClassVar[Role]
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

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The layer's output for the input ``x`` of shape (batch, n_in)."""

    @abstractmethod
    def backward(self, g: Tensor) -> Tensor:
        """Gradient by the input, given ``g``, the gradient by the output; fills ``gradients``."""

    def release(self) -> None:
        """Forget what ``forward`` kept and the parameters' gradients."""
        self.gradients.clear()
