"""Layerscope: what happens inside a neural network, forward, backward, and why it goes wrong.

Every name is loaded when it is first used: ``import layerscope`` alone loads neither torch nor a
web framework.

>>> import layerscope
>>> layerscope.Experiment(depth=2).depth
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layerscope.engine.diagnosis.run import run
    from layerscope.engine.experiment import Experiment
    from layerscope.engine.maps.computing import map  # noqa: A004
    from layerscope.engine.probe.callbacks.fastai import FastaiCallback
    from layerscope.engine.probe.callbacks.forwarding import ToTensorBoard, ToWandb
    from layerscope.engine.probe.callbacks.lightning import LightningCallback
    from layerscope.engine.probe.callbacks.transformers import TransformersCallback
    from layerscope.engine.probe.preflight.flight import preflight
    from layerscope.engine.probe.ranks import Ranks
    from layerscope.engine.probe.watch import watch
    from layerscope.engine.statistics import statistics

__all__ = [
    "Experiment", "FastaiCallback", "LightningCallback", "Ranks", "ToTensorBoard",
    "ToWandb", "TransformersCallback", "map", "preflight", "run", "statistics", "watch",
]  # fmt: skip

_HOMES = {
    "Experiment": ("layerscope.engine.experiment", "Experiment"),
    "FastaiCallback": ("layerscope.engine.probe.callbacks.fastai", "FastaiCallback"),
    "LightningCallback": ("layerscope.engine.probe.callbacks.lightning", "LightningCallback"),
    "Ranks": ("layerscope.engine.probe.ranks", "Ranks"),
    "ToTensorBoard": ("layerscope.engine.probe.callbacks.forwarding", "ToTensorBoard"),
    "ToWandb": ("layerscope.engine.probe.callbacks.forwarding", "ToWandb"),
    "TransformersCallback": (
        "layerscope.engine.probe.callbacks.transformers",
        "TransformersCallback",
    ),
    "map": ("layerscope.engine.maps.computing", "map"),
    "preflight": ("layerscope.engine.probe.preflight.flight", "preflight"),
    "run": ("layerscope.engine.diagnosis.run", "run"),
    "statistics": ("layerscope.engine.statistics", "statistics"),
    "watch": ("layerscope.engine.probe.watch", "watch"),
}
"""Where each public name is defined: module and name there."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'layerscope' has no attribute {name!r}")
    from importlib import import_module

    module, original = _HOMES[name]
    value = globals()[name] = getattr(import_module(module), original)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
