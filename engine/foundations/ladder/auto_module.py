"""Rung 7: a ``Module`` that calls ``super().__init__()`` by itself, as fastai's does."""

# ruff: noqa: D101  as short as in the notes; what each does stands beside it on the page

from __future__ import annotations

from typing import Any, Self

from torch import Tensor, nn

from layerscope.engine.foundations.ladder.base import Rung
from layerscope.engine.foundations.ladder.module import ModuleAttempt, mse

__all__ = ["AUTO_MODULE", "Forgetful", "Model", "Module", "forgotten"]


class Module(nn.Module):
    """``nn.Module``, ready before a subclass's ``__init__`` runs, whether or not that calls it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ARG004
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self

    def __init__(self) -> None:
        """Done already; a second time would forget what a subclass has registered by now."""


class Model(Module):
    def __init__(self, n_in: int, nh: int, n_out: int) -> None:
        self.layers = nn.Sequential(nn.Linear(n_in, nh), nn.ReLU(), nn.Linear(nh, n_out))
        self.loss = mse

    def forward(self, x: Tensor, targ: Tensor) -> Tensor:
        return self.loss(self.layers(x), targ)


class Forgetful(nn.Module):
    """What the same ``__init__`` does over ``nn.Module`` itself."""

    def __init__(self) -> None:
        self.layers = nn.Sequential(nn.ReLU())


def forgotten() -> str:
    """The error that forgetting ``super().__init__()`` gives, actually run.

    >>> forgotten()
    'AttributeError: cannot assign module before Module.__init__() call'
    """
    try:
        Forgetful()
    except AttributeError as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("torch let a module through that was never initialised")


AUTO_MODULE = Rung(
    name="auto_module",
    title="A Module that calls super().__init__() itself",
    gain="The one line that everybody forgets is gone; the rest is nn.Module as it was.",
    cost="Some magic: __new__ has run nn.Module.__init__ before your own __init__ begins.",
    shown=(Module, Model),
    start=lambda problem: ModuleAttempt(problem, Model),
)
