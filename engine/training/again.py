"""A layer's tensors at a step that is over: computed anew from the checkpoint before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.narrow import widened
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.layer_tensors import tensors_cost
from layerscope.engine.execution.passes import ForwardStep, LossStep, Step
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.probe.step import Quantity
from layerscope.engine.statistics import Statistics, statistics
from layerscope.engine.training.folder import TrainingFolder
from layerscope.engine.training.recording import unscaled
from layerscope.engine.training.run import recomputed
from layerscope.engine.training.specification import Training
from layerscope.engine.training.trainer import step_cost

__all__ = ["Again", "Kept", "again_cost", "start_of", "tensors_again"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A tensor of a layer, with the figures that a recorded step has of it. A gradient is as the
    optimiser had it: what the loss was multiplied with is divided out."""

    quantity: Quantity
    parameter: str
    """'' of what is the layer's own."""
    place: int
    """Of the parameter among the layer's."""
    tensor: Tensor
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Again:
    """A layer's ``tensors``: its output, the gradient there, its parameters, their gradients.
    ``start`` is the step of the checkpoint that it took, 0 for none; ``index`` the layer's."""

    start: int
    index: int
    tensors: list[Kept]


def start_of(folder: TrainingFolder, step: int) -> int:
    """The step after which there is the checkpoint that ``step`` is computed anew from."""
    return max((kept for kept in folder.checkpoints() if kept < step), default=0)


def again_cost(experiment: Experiment, training: Training, steps: int) -> Cost:
    """Of so many steps from a checkpoint on, and of pictures of a layer's tensors at the last."""
    each = step_cost(experiment, training)
    # The network is drawn first, in a pass of its own, which is that of `tensors_cost`.
    kept = Cost(steps * each.flops, each.bytes - cost(experiment).bytes)
    return tensors_cost(experiment).beside(kept)


def tensors_again(
    folder: TrainingFolder, step: int, layer: str, *, should_stop: ShouldStop = never
) -> Again:
    """The tensors of the layer of this name at ``step``, to the bits that it trained with.

    Errors: ``ValueError`` for a layer that there is not; ``Stopped``; of the files.
    """
    trainer = recomputed(folder, step - 1, should_stop)
    network = trainer.network
    info = next((info for info in network.infos if info.name == layer), None)
    if info is None:
        raise ValueError(f"layer: expected one of this network, got {layer[:80]!r}")
    found: list[Kept] = []

    def keep(quantity: Quantity, tensor: Tensor, name: str = "", place: int = 0) -> None:
        kept = tensor.clone()
        found.append(Kept(quantity, name, place, kept, statistics(kept)))

    def seen(event: Step) -> None:
        if isinstance(event, LossStep) or event.info.index != info.index:
            return
        if isinstance(event, ForwardStep):
            keep(Quantity.ACTIVATION, event.output)
            for place, (name, value) in enumerate(event.layer.parameters.items()):
                keep(Quantity.VALUE, value, name, place)
            return
        scale = network.loss.scale
        told = unscaled(statistics(event.gradient), scale)
        own = network.loss.unscaled(widened(event.gradient)).clone()
        found.append(Kept(Quantity.GRADIENT, "", 0, own, told))
        gradients: Mapping[str, Tensor] = event.layer.gradients
        for place, name in enumerate(event.layer.parameters):
            gradient = network.loss.unscaled(widened(gradients[name]))
            keep(Quantity.PARAMETER_GRADIENT, gradient, name, place)

    trainer.advance(should_stop=should_stop, seen=seen)
    return Again(trainer.restored, info.index, found)
