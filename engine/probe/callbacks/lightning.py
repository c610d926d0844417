"""A callback for Lightning: ``Trainer(callbacks=[LightningCallback()])``."""

from __future__ import annotations

from typing import Any

from layerscope.engine.basis.ending import state_after
from layerscope.engine.probe.callbacks.watching import Watching, base

__all__ = ["LightningCallback"]

Base: Any = base(("lightning.pytorch", "Callback"), ("pytorch_lightning", "Callback"))


class LightningCallback(Watching, Base):  # type: ignore[misc]
    """Watches the module that a ``Trainer`` fits, by its own optimisers; takes ``watch``'s
    options. With gradient accumulation a step is one of the optimiser."""

    library, there = "lightning", Base
    _steps = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._steps = trainer.global_step
        self.begin(pl_module, list(trainer.optimizers), scaler=scaler)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._steps:
            return  # more gradients are gathered first
        self._steps = trainer.global_step
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None:
            loss = loss * trainer.accumulate_grad_batches  # by which Lightning has divided it

        def stop() -> None:
            trainer.should_stop = True

        self.step(loss, stop)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.end(state_after(exception))
