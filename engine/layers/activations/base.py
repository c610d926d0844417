"""The activations' common form: a function of one number, applied elementwise."""

from __future__ import annotations

import copyreg
import math
import re
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import FunctionType, new_class
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from layerscope.engine.basis.narrow import widened
from layerscope.engine.basis.registry import Registry
from layerscope.engine.basis.symbolic import sympy
from layerscope.engine.layers.base import Layer

__all__ = ["ACTIVATIONS", "Activation", "Activations", "Parameter", "activation_of"]


class Parameter(NamedTuple):
    """What can be chosen of an activation: a slope, say. ``usual``: its value where nothing is
    said; ``constant``: the name under which its functions find it; ``setting``: PyTorch's name of
    it; ``written``: ``formula``, ``gradient_formula`` and ``subgradient`` with any value."""

    usual: float
    constant: str
    setting: str
    written: Callable[[float], dict[str, str]]


class Activation(Layer):
    """An elementwise φ with its derivative.

    A subclass states ``function`` (φ) and ``chain`` (g · φ') side by side; ``saves`` says which
    tensor ``chain`` reads: the layer's input x, or its output y where φ' follows from y alone,
    which lets the input be freed.
    """

    role = "activation"
    keeps = ("input",)
    saves: ClassVar[Literal["input", "output"]] = "input"
    subgradient: ClassVar[str] = ""
    """Which value of φ' is chosen at the kinks, in words; empty where φ is smooth."""
    recommended_init: ClassVar[str] = "xavier_normal"
    """The init scheme to try first where the signal fails."""
    parameter: ClassVar[Parameter | None] = None
    """None: there is nothing to choose."""
    often_at_fault: ClassVar[bool] = False
    """Whether φ itself stops deep networks, so that another one is worth a try."""

    def __init_subclass__(cls) -> None:
        cls.keeps = ("input",) if cls.saves == "input" else ("output",)

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

    @classmethod
    def torch_forward(cls, x: Tensor, parameters: Mapping[str, Tensor], skip: Tensor) -> Tensor:  # noqa: ARG003
        return cls.reference(x)

    def pushforward(self, v: Tensor | None, x: Tensor) -> Tensor:
        slope = self.derivative(x)  # (1, n)
        return torch.diag(slope[0]) if v is None else v * slope

    def forward(self, x: Tensor) -> Tensor:
        y = self.function(widened(x)).to(x.dtype)
        self._saved = (x if self.saves == "input" else y,)
        return y

    def backward(self, g: Tensor) -> Tensor:
        (saved,) = self.saved
        return self.chain(widened(g), widened(saved)).to(g.dtype)


_CHOSEN = re.compile(r"(\w+)\(([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?)\)", re.ASCII)


class Activations(Registry[type[Activation]]):
    """Activations by name; one with a parameter also as ``name(value)``, which is not listed.

    >>> ACTIVATIONS["leaky_relu(0.2)"].formula, "leaky_relu(0.2)" in list(ACTIVATIONS)
    ('max(x, 0.2·x)', False)
    """

    def __getitem__(self, name: str) -> type[Activation]:
        chosen = _CHOSEN.fullmatch(name)
        if chosen is None or not math.isfinite(float(chosen[2])):
            return super().__getitem__(name)
        return _with(super().__getitem__(chosen[1]), float(chosen[2]))


@lru_cache(maxsize=256)
def _with(activation: type[Activation], value: float) -> type[Activation]:
    """The activation with another value of its parameter: the same functions, which find it."""
    parameter = activation.parameter
    if parameter is None:
        raise KeyError(f"{activation.name} has no parameter")

    def moved(name: str) -> Any:
        f: Any = getattr(activation, name)
        scope = {**f.__globals__, parameter.constant: value}
        return staticmethod(
            FunctionType(f.__code__, scope, f.__name__, f.__defaults__, f.__closure__)
        )

    changed = {name: moved(name) for name in ("function", "chain", "reference", "symbolic")}
    changed |= {"torch_settings": ((parameter.setting, value),), **parameter.written(value)}
    return new_class(
        activation.__name__, (activation,), {"metaclass": _Chosen},
        lambda scope: scope.update(changed, made_of=(activation, value)),
    )  # fmt: skip


class _Chosen(ABCMeta):
    """The kind of what `_with` makes: no module has it by its name, so it is pickled as what it was
    made of."""

    made_of: tuple[type[Activation], float]


def _as_made(chosen: _Chosen) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return _with, chosen.made_of


copyreg.pickle(_Chosen, _as_made)


ACTIVATIONS = Activations("activation")


def activation_of(module: nn.Module) -> type[Activation] | None:
    """The activation that a module of PyTorch computes; None where none here does.

    >>> activation_of(nn.Tanh()).name, activation_of(nn.Dropout())
    ('tanh', None)
    """
    return next((a for a in ACTIVATIONS.values() if a.computes(module)), None)
