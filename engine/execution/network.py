"""From the specification to layers: which there are, and how each is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.basis.role import Role
from layerscope.engine.execution.draws import Drawn, Draws
from layerscope.engine.experiment.data import DATASETS, Sample
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import (
    ACTIVATIONS,
    Add,
    Layer,
    Linear,
    Normalization,
    chosen_norm,
)
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.layers.losses import LOSSES, Loss

__all__ = ["LayerInfo", "Network", "layout", "seeds"]


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """Which layer stands where: ``shape`` is its output's, ``source`` the layer that a sum adds, −1
    for the network's input; None for every other kind of layer."""

    index: int
    layer: type[Layer]
    block: int
    shape: tuple[int, int]
    n_in: int
    source: int | None = None
    ends_block: bool = False

    @property
    def name(self) -> str:
        return f"{self.layer.name}{self.block}"

    @property
    def kind(self) -> str:
        """The layer's name in its registry."""
        return self.layer.name

    @property
    def role(self) -> Role:
        return self.layer.role

    def to_dict(self) -> dict[str, object]:
        told = ("index", "name", "kind", "role", "block")
        return {**{name: getattr(self, name) for name in told}, "shape": list(self.shape)}


def seeds(experiment: Experiment) -> tuple[int, int]:
    """Two independent seeds, for data and for weights, made of the experiment's one.

    Apart, so that another batch size leaves the weights as they were. Torch's generator reads only
    32 bits of a seed; NumPy's SeedSequence mixes all of them.
    """
    data, weights = np.random.SeedSequence(experiment.seed).spawn(2)
    return int(data.generate_state(1)[0]), int(weights.generate_state(1)[0])


def layout(experiment: Experiment) -> list[LayerInfo]:
    """The network's layers in forward order; the output layer's block is depth + 1.

    >>> [layer.name for layer in layout(Experiment(depth=1, norm="layer"))]
    ['linear1', 'layer_norm1', 'relu1', 'linear2']
    >>> [layer.name for layer in layout(Experiment(depth=1, block_order="linear_last"))]
    ['relu1', 'linear1', 'linear2']
    """
    layers: list[LayerInfo] = []
    e, n_in = experiment, experiment.n_inputs
    norm, activation = chosen_norm(e.norm), ACTIVATIONS[e.phi]
    within: list[type[Layer]] = [] if norm is None else [norm]
    if activation.adds_layer:
        within.append(activation)
    within.insert(len(within) if e.ends_linear else 0, Linear)
    for block in range(1, e.depth + 2):
        hidden, before = block <= e.depth, len(layers) - 1
        width = e.width if hidden else e.n_outputs
        here: list[type[Layer]] = within if hidden else [Linear]
        if e.has_sum(block):
            here = [*within, Add]
        for layer in here:
            source, ends = before if layer is Add else None, layer is here[-1]
            n_out = width if layer is Linear else n_in
            shape = (e.batch, n_out)
            layers.append(LayerInfo(len(layers), layer, block, shape, n_in, source, ends))
            n_in = n_out
    return layers


class Network:
    """The layers of an experiment, drawn one after the other in forward order, in float32 and then
    cast, so that the same seed is the same network in every number format."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.infos = layout(experiment)
        data_seed, weight_seed = seeds(experiment)
        self._generator = torch.Generator().manual_seed(weight_seed)
        shapes = tuple((i.n_in, i.shape[1]) for i in self.infos if i.layer is Linear)
        self._shapes, self._key = shapes, (weight_seed, *_decides_draws(experiment), shapes)
        self._drawn: list[Drawn] = []
        self._known = _draws.of(self._key)
        entries = sum((n_in + 1) * n_out for n_in, n_out in shapes)
        self._remembers = _draws.worth(entries * torch.float32.itemsize)
        sample = DATASETS[experiment.data].draw(
            experiment.batch, experiment.n_inputs, torch.Generator().manual_seed(data_seed)
        )
        self.loss: Loss = LOSSES[experiment.loss](experiment.reduction)
        self.loss.scale = experiment.backward_scale
        self.feed(sample)

    @property
    def starts(self) -> frozenset[int]:
        """Indices of the layers with which blocks begin."""
        ends = [info.index + 1 for info in self.infos if info.ends_block]
        return frozenset([0, *ends[:-1]])

    def feed(self, sample: Sample) -> None:
        """Take ``sample`` for the next pass."""
        e, x = self.experiment, sample.x
        dtype = e.torch_dtype
        if e.input_scale != 1:
            x = x * e.input_scale
        if e.input_mean:
            x = x + e.input_mean
        self.x = x.to(dtype)  # (batch, inputs)
        label = sample.label if self.loss.classifies else None
        self.target = sample.number.to(dtype) if label is None else label

    def build(self, info: LayerInfo, x: Tensor) -> Layer:
        """The layer at ``info``; must be called in forward order. ``x`` is its input."""
        layer = info.layer.build(
            info.n_in, info.shape[1], x.dtype,
            lambda n_in, n_out: self._draw(n_in, n_out, x, info.block),
        )  # fmt: skip
        if isinstance(layer, Normalization) and self.experiment.norm_gain != 1:
            layer.parameters["weight"].fill_(self.experiment.norm_gain)
        return layer

    def _draw(self, n_in: int, n_out: int, x: Tensor, block: int) -> tuple[Tensor, Tensor]:
        """Weight (n_in, n_out) and bias (n_out,) of a block whose input is ``x``, in float32."""
        e = self.experiment
        scheme = INITS[e.init]
        weight, drawn = self._next(n_in, n_out)
        if scheme.calibrate is not None:
            weight = scheme.calibrate(weight, x)
        weight = weight * e.init_scale
        for factor in e.weight_factors(block):
            weight = weight * factor
        if drawn is None:
            bias = torch.zeros(n_out)
        else:
            bias = drawn * (e.bias_std if e.bias_std > 0 else e.init_scale)
        return weight, bias + e.bias_mean if e.bias_mean else bias

    def _next(self, n_in: int, n_out: int) -> Drawn:
        """The next draw: the known one, as long as what is asked for is what was then. A draw
        depends on the seed and on the shapes before it alone, whichever layers asked for them."""
        if self._known is not None:
            place = len(self._drawn)
            if place < len(self._known) and self._known[place][0].shape == (n_in, n_out):
                self._drawn.append(self._known[place])
                return self._drawn[-1]
            self._known = None
            for weight, _ in self._drawn:  # the generator has to be where it would be
                self._fresh(*weight.shape)
        drawn = self._fresh(n_in, n_out)
        if self._remembers and len(self._drawn) < len(self._shapes):
            self._drawn.append(drawn)
            if len(self._drawn) == len(self._shapes):
                _draws.remember(self._key, self._drawn)
        return drawn

    def _fresh(self, n_in: int, n_out: int) -> Drawn:
        e = self.experiment
        scheme = INITS[e.init]
        if e.fan == "fan_in":
            weight = scheme.draw(n_in, n_out, generator=self._generator)
        else:
            weight = scheme.draw(n_out, n_in, generator=self._generator).t().contiguous()
        if e.bias_std > 0:
            return weight, torch.randn(n_out, generator=self._generator)
        if scheme.bias is not None:
            return weight, scheme.bias(n_in, n_out, generator=self._generator)
        return weight, None


def _decides_draws(experiment: Experiment) -> tuple[object, ...]:
    """What decides them beside the seed and the layers' shapes: the scheme's own function, which
    another one may have been registered for, and whether biases are drawn."""
    e = experiment
    return INITS[e.init].draw, INITS[e.init].bias, e.fan, e.bias_std > 0


_draws = Draws()
