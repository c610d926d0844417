"""Layers' tensors themselves, picked out of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.network import Network, layout
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, LossStep, passes
from layerscope.engine.experiment.specification import Experiment

__all__ = ["TENSORS", "layer_tensors", "tensors_cost", "tensors_of_layers"]

TENSORS = ("activation", "activation.grad", "weight", "weight.grad", "bias", "bias.grad")

Named = dict[str, Tensor | None]


def tensors_cost(experiment: Experiment) -> Cost:
    """What it takes to pick out the tensors of any one layer, and to draw pictures of them."""
    layers = layout(experiment)
    entries = max(info.shape[0] * info.shape[1] for info in layers)
    weights = max(info.n_in * info.shape[1] for info in layers if info.role == "linear_map")
    size = experiment.torch_dtype.itemsize
    kept = Cost(0, 2 * size * (entries + weights))
    # A picture is pooled from float64, of which a masked copy is made.
    drawn = Cost(0, (8 * (size < 8) + 8 + 1) * max(entries, weights))
    return cost(experiment).then(drawn).beside(kept)


def layer_tensors(
    experiment: Experiment,
    layer: int,
    names: Sequence[str] = TENSORS,
    *,
    should_stop: ShouldStop = never,
) -> Named:
    """``tensors_of_layers`` of the one with index ``layer``."""
    return tensors_of_layers(experiment, {layer: names}, should_stop=should_stop)[layer]


def tensors_of_layers(
    experiment: Experiment, wanted: Mapping[int, Sequence[str]], *, should_stop: ShouldStop = never
) -> dict[int, Named]:
    """The named tensors of several layers by index; None for what a layer does not have.

    The network is run again as far as needed: the backward pass only if a gradient is asked for.

    Errors: ``IndexError`` naming the range of layers; ``KeyError`` naming an unknown tensor.
    """
    network = Network(experiment)
    for layer, names in wanted.items():
        if not 0 <= layer < len(network.infos):
            raise IndexError(f"layer {layer}: expected 0 to {len(network.infos) - 1}")
        for name in names:
            if name not in TENSORS:
                raise KeyError(f"tensor {name!r}: expected one of {', '.join(TENSORS)}")
    found: dict[int, Named] = {layer: dict.fromkeys(names) for layer, names in wanted.items()}
    left = {(layer, name.endswith(".grad")) for layer, names in wanted.items() for name in names}
    for step in passes(network, should_stop):
        if isinstance(step, LossStep) or step.info.index not in wanted:
            continue
        if isinstance(step, ForwardStep):
            here = {"activation": step.output, **step.layer.parameters}
        else:
            here = {f"{name}.grad": g for name, g in step.layer.gradients.items()}
            here["activation.grad"] = step.gradient
        names = wanted[step.info.index]
        found[step.info.index].update({n: here[n].clone() for n in names if n in here})
        left.discard((step.info.index, isinstance(step, BackwardStep)))
        if not left:
            break
    return found
