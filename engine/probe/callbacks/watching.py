"""What every callback does: begins a probe, ends its steps, and closes it."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, Self

from torch import nn

from layerscope.engine.basis.ending import State, state_after
from layerscope.engine.probe.probe import Probe
from layerscope.engine.probe.telling import ProbeWarning, TrainingStopped
from layerscope.engine.probe.watch import watch

__all__ = ["Hook", "Watching", "base"]


def base(*places: tuple[str, str]) -> type[Any]:
    """The class of that name in the first of the modules that is there; ``object`` where none is:
    then making a callback says what to install."""
    for module, name in places:
        try:
            found: type[Any] = getattr(import_module(module), name)
        except ImportError:
            continue
        return found
    return object


class Hook(Protocol):
    """What is there as long as one training."""

    def remove(self) -> None: ...


class Watching:
    """A probe that lasts as long as one training; ``options`` are ``watch``'s own.

    The probe never ends a training by an error of its own: one that cannot begin is told once.

    Not every library tells its callbacks that a training was ended by an error. Then the probe is
    closed by the next training, with the callback, or where a ``with`` block around the training
    ends: ``with TransformersCallback() as callback: Trainer(…, callbacks=[callback]).train()``.
    """

    library = ""
    """What has to be installed."""
    there: type[Any] = object
    """The callback's base in that library."""

    def __init__(self, **options: Any) -> None:
        if self.there is object:
            raise ImportError(
                f"{type(self).__name__} needs {self.library}: pip install {self.library}"
            )
        super().__init__()
        self.options = options
        self.probe: Probe | None = None
        """The run of the last training; may be asked for its findings at any time."""
        self.hooks: list[Hook] = []
        """Of its own, beside the probe's: there as long as one training."""
        self._abandoned: weakref.finalize[Any, Any] | None = None
        """Closes the probe where the callback is let go of without an end."""

    def begin(self, model: nn.Module, optimizers: Any, **options: Any) -> None:
        """A training begins."""
        self.end("stopped")
        try:
            self.probe = watch(model, optimizers, **{**options, **self.options})
            self._abandoned = weakref.finalize(self, _close, self.probe, self.hooks, "stopped")
        except (TypeError, ValueError) as error:
            warnings.warn(f"layerscope: not recorded: {error}", ProbeWarning, stacklevel=2)

    def step(self, loss: Any, stop: Callable[[], object]) -> None:
        """An optimiser's step has ended; ``stop`` asks the trainer to end at ``stop_on``."""
        if self.probe is not None:
            try:
                self.probe.step(loss)
            except TrainingStopped:
                self.end("stopped")
                stop()

    def end(self, state: State = "finished") -> None:
        """The training is over; asked twice, the first time counts."""
        _close(self.probe, self.hooks, state)
        if self._abandoned is not None:
            self._abandoned.detach()  # it would hold the probe, and the model, as long as itself
            self._abandoned = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(state_after(error))

    def __getstate__(self) -> dict[str, Any]:
        # Whoever copies a trainer copies no run.
        return {**self.__dict__, "probe": None, "hooks": [], "_abandoned": None}


def _close(probe: Probe | None, hooks: list[Hook], state: State) -> None:
    """Leaves no hook anywhere."""
    while hooks:
        hooks.pop().remove()
    if probe is not None:
        probe.close(state)
