"""What is called without being a module: activations in a forward pass, losses in a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from layerscope.engine.probe import constant

__all__ = ["ActivationCalls", "LossCall", "LossCalls", "Outer", "activation_function"]

ACTIVATIONS: Mapping[Any, type[nn.Module]] = {
    F.relu: nn.ReLU, torch.relu: nn.ReLU, Tensor.relu: nn.ReLU, torch.relu_: nn.ReLU,
    Tensor.relu_: nn.ReLU, torch.tanh: nn.Tanh, Tensor.tanh: nn.Tanh, torch.sigmoid: nn.Sigmoid,
    Tensor.sigmoid: nn.Sigmoid, F.gelu: nn.GELU, F.silu: nn.SiLU, F.elu: nn.ELU, F.selu: nn.SELU,
    F.celu: nn.CELU, F.leaky_relu: nn.LeakyReLU, F.softplus: nn.Softplus, F.mish: nn.Mish,
    F.hardtanh: nn.Hardtanh, F.hardswish: nn.Hardswish, F.hardsigmoid: nn.Hardsigmoid,
    F.relu6: nn.ReLU6, F.softsign: nn.Softsign,
}  # fmt: skip
"""Functions of PyTorch by the module that computes the same."""

LOSSES = (*(loss.function for loss in constant.LOSSES), F.poisson_nll_loss, F.kl_div)


def activation_function(function: Any, args: Any, named: Mapping[str, Any]) -> nn.Module | None:
    """The module that computes what a call of PyTorch's function does; None for another one."""
    module = ACTIVATIONS.get(function)
    if module is None or not args or not isinstance(args[0], Tensor):
        return None
    settings = {n: v for n, v in named.items() if n not in ("input", "inplace")}
    try:
        return module(*args[1:], **settings)
    except TypeError:  # given otherwise than the module takes it
        return None


Seen = Callable[[nn.Module, Tensor, Tensor], None]


class ActivationCalls(TorchFunctionMode):
    """Tells ``seen`` of every activation called as a function: module, input, output."""

    def __init__(self, seen: Seen, quiet: Callable[[], bool]) -> None:
        super().__init__()
        self._seen, self._quiet = seen, quiet

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        module = activation_function(func, args, named)
        if module is None or self._quiet():
            return func(*args, **named)
        x = args[0].detach()
        before = x.clone() if func in (Tensor.relu_, torch.relu_) or named.get("inplace") else x
        result = func(*args, **named)
        if isinstance(result, Tensor):
            self._seen(module, before, result)
        return result


@dataclass(frozen=True)
class LossCall:
    """One call of a loss of PyTorch's, with what it was given."""

    function: Any
    output: Tensor
    target: Tensor
    rest: tuple[Any, ...]
    named: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.function.__name__)

    @property
    def entry_by_entry(self) -> bool:
        """Whether output and target have to be of one shape."""
        return constant.entry_by_entry(self.function)

    def of(self, output: Tensor) -> float:
        """The same loss of another output."""
        return float(self.function(output, self.target, *self.rest, **self.named))


@dataclass(frozen=True)
class Outer:
    """An operation of two tensors of as many entries whose result pairs each with each."""

    operation: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    result: tuple[int, ...]


@dataclass
class _Found:
    calls: list[LossCall] = field(default_factory=list)
    outer: list[Outer] = field(default_factory=list)


class LossCalls(TorchFunctionMode):
    """Keeps the losses that were called, and what broadcast by accident."""

    def __init__(self) -> None:
        super().__init__()
        self.found = _Found()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        if func in LOSSES:
            self._called(func, list(args), dict(named))
        result = func(*args, **named)
        operands = [a for a in args if isinstance(a, Tensor)]
        if len(operands) == 2 and isinstance(result, Tensor):
            self._paired(func, operands[0], operands[1], result)
        return result

    def _called(self, function: Any, args: list[Any], named: dict[str, Any]) -> None:
        output = args.pop(0) if args else named.pop("input", None)
        target = args.pop(0) if args else named.pop("target", None)
        if isinstance(output, Tensor) and isinstance(target, Tensor):
            call = LossCall(function, output.detach(), target.detach(), tuple(args), named)
            self.found.calls.append(call)

    def _paired(self, function: Any, a: Tensor, b: Tensor, result: Tensor) -> None:
        if a.dim() == b.dim() or result.numel() <= max(a.numel(), b.numel()):
            return
        if [n for n in a.shape if n > 1] == [n for n in b.shape if n > 1]:
            shapes = tuple(a.shape), tuple(b.shape)
            name = getattr(function, "__name__", "operation").strip("_")
            self.found.outer.append(Outer(name, shapes, tuple(result.shape)))
