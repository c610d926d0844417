"""The forward and the backward pass over a network, one layer at a time: yields tensors, measures
nothing, and is what statistics, the inspector and the check against autograd all consume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never, stop_if
from layerscope.engine.execution.network import LayerInfo, Network
from layerscope.engine.layers import Add, Layer

__all__ = ["BackwardStep", "ForwardStep", "LossStep", "Step", "passes"]


@dataclass(slots=True)
class ForwardStep:
    """A layer's input and output have been computed; ``x`` is its input, ``skip`` what a sum adds
    to it."""

    info: LayerInfo
    layer: Layer
    x: Tensor
    output: Tensor
    skip: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LossStep:
    """The loss, 0-d, of the network's output."""

    loss: Tensor
    output: Tensor


@dataclass(slots=True)
class BackwardStep:
    """The gradient by a layer's output, and in ``layer.gradients`` those by its parameters.

    ``by_input`` is what the layer hands back, ``shortcut`` what reached its output over a skip and
    is part of ``gradient``."""

    info: LayerInfo
    layer: Layer
    gradient: Tensor
    by_input: Tensor
    shortcut: Tensor | None = None


Step = ForwardStep | LossStep | BackwardStep


def passes(network: Network, should_stop: ShouldStop = never) -> Iterator[Step]:
    """Every layer forward, the loss, every layer backward, keeping what the backward pass needs and
    no more; a step's tensors are valid until the next step is asked for."""
    layers: list[Layer] = []
    skipped: dict[int, Tensor] = {}
    sources = {info.source for info in network.infos if info.source is not None}
    x = network.x
    if -1 in sources:
        skipped[-1] = x
    for info in network.infos:
        stop_if(should_stop)
        layer = network.build(info, x)
        skip = None
        if isinstance(layer, Add) and info.source is not None:
            skip = layer.skip = skipped.pop(info.source)
        output = layer.forward(x)
        layers.append(layer)
        if info.index in sources:
            skipped[info.index] = output
        step = ForwardStep(info, layer, x, output, skip)
        x = output
        yield step
        del step.layer, step.x, step.output, step.skip  # nobody keeps memory with a step
    stop_if(should_stop)
    yield LossStep(network.loss.forward(x, network.target), x)
    yield from _backward(network, layers, should_stop)


def _backward(
    network: Network, layers: list[Layer], should_stop: ShouldStop
) -> Iterator[BackwardStep]:
    g = network.loss.backward()
    shortcut: dict[int, Tensor] = {}  # by layer: the gradient that reaches its output over a skip
    for info in reversed(network.infos):
        stop_if(should_stop)
        over_skip = shortcut.pop(info.index, None)
        if over_skip is not None:
            g = g + over_skip
        layer = layers.pop()
        if info.source is not None:
            shortcut[info.source] = g
        by_input = layer.backward(g)
        step = BackwardStep(info, layer, g, by_input, over_skip)
        g = by_input
        yield step
        del step.layer, step.gradient, step.by_input, step.shortcut, over_skip
        layer.release()
