"""A layer's tensors themselves, picked out of a run."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.experiment.specification import Experiment

__all__ = ["TENSORS", "layer_tensors"]

TENSORS = ("activation", "activation.grad", "weight", "weight.grad", "bias", "bias.grad")


def layer_tensors(
    experiment: Experiment,
    layer: int,
    names: Sequence[str] = TENSORS,
    *,
    should_stop: ShouldStop = never,
) -> dict[str, Tensor | None]:
    """The named tensors of the layer with index ``layer``; None for what it does not have.

    The network is run again as far as needed: the backward pass only if a gradient is asked for.

    Errors: ``IndexError`` naming the range of layers; ``KeyError`` naming an unknown tensor.
    """
    network = Network(experiment)
    if not 0 <= layer < len(network.infos):
        raise IndexError(f"layer {layer}: expected 0 to {len(network.infos) - 1}")
    for name in names:
        if name not in TENSORS:
            raise KeyError(f"tensor {name!r}: expected one of {', '.join(TENSORS)}")
    found: dict[str, Tensor | None] = dict.fromkeys(names)
    needs_backward = any(name.endswith(".grad") for name in names)
    for step in passes(network, should_stop):
        if isinstance(step, ForwardStep) and step.info.index == layer:
            here = {"activation": step.output, **step.layer.parameters}
            found.update({n: here[n].clone() for n in names if n in here})
            if not needs_backward:
                break
        elif isinstance(step, BackwardStep) and step.info.index == layer:
            gradients = {f"{n}.grad": g for n, g in step.layer.gradients.items()}
            gradients["activation.grad"] = step.gradient
            found.update({n: gradients[n].clone() for n in names if n in gradients})
            break
    return found
