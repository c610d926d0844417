"""A callback for fastai: ``Learner(…, cbs=[FastaiCallback()])``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch.optim import Optimizer

from layerscope.engine.probe.callbacks.watching import Watching, base

__all__ = ["FastaiCallback"]

Base: Any = base(("fastai.callback.core", "Callback"))


class FastaiCallback(Watching, Base):  # type: ignore[misc]
    """Watches the model that a ``Learner`` fits; takes ``watch``'s options.

    fastai's own optimisers are none of PyTorch's, and their steps are not seen: gradients,
    parameters and activations are. With ``opt_func=partial(OptimWrapper, opt=torch.optim.Adam)``
    updates are, too.
    """

    library, there = "fastai", Base
    learn: Any
    order = 90  # after what changes the loss or the gradients

    def before_fit(self) -> None:
        inner = getattr(self.learn.opt, "opt", None)
        self.begin(self.learn.model, inner if isinstance(inner, Optimizer) else None)

    def after_batch(self) -> None:
        if self.learn.training:
            self.step(self.learn.loss, self._stop)

    def _stop(self) -> None:
        raise import_module("fastai.callback.core").CancelFitException

    def after_cancel_fit(self) -> None:
        self.end("stopped")

    def after_fit(self) -> None:
        self.end()
