"""A callback for Hugging Face's ``Trainer``: ``Trainer(…, callbacks=[TransformersCallback()])``."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from layerscope.engine.probe.callbacks.watching import Watching, base

__all__ = ["TransformersCallback"]

Base: Any = base(("transformers", "TrainerCallback"))


class TransformersCallback(Watching, Base):  # type: ignore[misc]
    """Watches the model that a ``Trainer`` trains; takes ``watch``'s options.

    The trainer does not tell its loss step by step: it is read off the model's own output, the
    mean over the batches of a step. Of a model that computes none it is not known.
    """

    library, there = "transformers", Base

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        self._losses: list[Tensor] = []
        self.begin(model, optimizer)
        if self.probe is not None:
            self.hooks.append(model.register_forward_hook(partial(_saw, self._losses)))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        losses = list(self._losses)
        self._losses.clear()

        def stop() -> None:
            control.should_training_stop = True

        self.step(sum(losses) / len(losses) if losses else None, stop)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.end()


def _saw(losses: list[Tensor], _module: nn.Module, _given: Any, output: Any) -> None:
    """A hook of the model's that does not hold the callback."""
    loss = output.get("loss") if hasattr(output, "get") else None
    if isinstance(loss, Tensor) and loss.requires_grad:
        losses.append(loss.detach().mean())
