"""A callback for fastai: ``Learner(…, cbs=[FastaiCallback()])``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch.optim import Optimizer

from layerscope.engine.probe.callbacks.watching import Watching, base

__all__ = ["FastaiCallback"]

Base: Any = base(("fastai.callback.core", "Callback"))


class _Seen(Optimizer):
    """An optimiser of fastai's own, which is none of PyTorch's, where PyTorch's hooks see it: while
    it is followed, its steps go through here."""

    def __init__(self, own: Any) -> None:
        self._own, self._step = own, own.step
        super().__init__([{"params": list(g["params"])} for g in own.param_groups], {})
        own.step = self._follow

    def _follow(self, *args: Any, **named: Any) -> Any:
        for mine, its in zip(self.param_groups, self._own.param_groups, strict=False):
            mine.update(its)  # the learning rate, as its schedule has left it
        return self.step(*args, **named)

    def step(self, *args: Any, **named: Any) -> Any:
        return self._step(*args, **named)

    def remove(self) -> None:
        """Leaves the optimiser as it was."""
        if vars(self._own).get("step") == self._follow:
            del self._own.step

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))  # else a copy of the optimiser could not step


class FastaiCallback(Watching, Base):  # type: ignore[misc]
    """Watches the model that a ``Learner`` fits, with an optimiser of fastai's own or of PyTorch's;
    takes ``watch``'s options."""

    library, there = "fastai", Base
    learn: Any
    order = 90  # after what changes the loss or the gradients

    def before_fit(self) -> None:
        self.end("stopped")  # nobody follows the steps of the last training
        inner = getattr(self.learn.opt, "opt", None)
        if isinstance(inner, Optimizer):
            self.begin(self.learn.model, inner)
            return
        try:
            seen = _Seen(self.learn.opt)
        except (AttributeError, TypeError, ValueError):  # of another make, or without parameters
            self.begin(self.learn.model, None)
        else:
            self.begin(self.learn.model, seen)
            self.hooks.append(seen)

    def after_batch(self) -> None:
        if self.learn.training:
            self.step(self.learn.loss, self._stop)

    def _stop(self) -> None:
        raise import_module("fastai.callback.core").CancelFitException

    def after_cancel_fit(self) -> None:
        self.end("stopped")

    def after_fit(self) -> None:
        self.end()
