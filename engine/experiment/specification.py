"""The experiment: a frozen specification that determines every number that follows; each parameter
is one field below, with its label, bounds, unit and help."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import ValidationInfo, field_validator

from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.registry import Described
from layerscope.engine.basis.specification import Options, Specification, Text, parameter
from layerscope.engine.experiment.data import DATASETS, InputMoments
from layerscope.engine.experiment.gains import EXPECTED, LONGEST, gains_of, read_gains
from layerscope.engine.layers import ACTIVATIONS, NORMS
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.layers.losses import LOSSES, REDUCTIONS

__all__ = ["DTYPES", "MAX_SEED", "Experiment"]

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
FANS: Options = {
    "fan_in": {
        "formula": "variance by n_in", "source": "He et al. 2015",
        "help": "Keeps the length of the signal on its way forward.",
    },
    "fan_out": {
        "formula": "variance by n_out", "source": "He et al. 2015; PyTorch's mode='fan_out'",
        "help": "Keeps the length of the gradient on its way back: the weight is drawn as if it "
        "led from its outputs to its inputs.",
    },
}  # fmt: skip
ORDERS: Options = {
    "linear_first": {
        "formula": "linear, [norm], φ, [sum]", "source": "He et al. 2015",
        "help": "A block ends in its activation, and a sum adds what that has made positive.",
    },
    "linear_last": {
        "formula": "[norm], φ, linear, [sum]",
        "source": "He et al. 2016, Identity mappings in deep residual networks; GPT-2",
        "help": "The pre-activation block: the stream passes every sum as it is, and a branch ends "
        "in its linear layer.",
    },
}  # fmt: skip
MAX_SEED = 2**53 - 1  # the largest whole number that JSON readers keep exactly


def _described(entries: Iterable[tuple[str, Described]]) -> Options:
    return {name: {"formula": e.formula, "source": e.source, "help": e.help} for name, e in entries}


def _norms() -> Options:
    none = {"formula": "y = x", "source": "", "help": "No normalisation."}
    return {"none": none, **_described((norm.option(), norm) for norm in NORMS.values())}


def _datasets() -> Options:
    found = _described(DATASETS.items())
    own = {name: {"features": str(d.features)} for name, d in DATASETS.items() if d.features}
    return {name: {**text, **own.get(name, {})} for name, text in found.items()}


def _dtypes() -> Options:
    return {
        name: {
            "formula": f"max {torch.finfo(d).max:.3g}, smallest normal {torch.finfo(d).tiny:.3g}",
            "source": "IEEE 754" if d != torch.bfloat16 else "Google Brain 2018",
            "help": f"{torch.finfo(d).bits} bits, rounding error {torch.finfo(d).eps:.2g}",
        }
        for name, d in DTYPES.items()
    }


class Experiment(Specification):
    """A fully connected network at initialisation, its data and its number format.

    >>> Experiment(activation="linear", init="normal", init_scale=0.01).to_query()
    {'init_scale': '0.01', 'activation': 'linear', 'init': 'normal'}
    """

    init_scale: float = parameter(
        1.0, "Init scale",
        "Multiplies whatever the init scheme draws: randn with 0.01 is the notes' randn * 0.01.",
        slider=(0.001, 10), log=True, ge=0, le=100,
    )  # fmt: skip
    depth: int = parameter(
        50, "Depth", "Hidden blocks: linear, [norm], activation, [residual sum].",
        unit="blocks", slider=(1, 100), ge=1, le=1000,
    )  # fmt: skip
    width: int = parameter(
        100, "Width", "Units per hidden layer.", unit="units", slider=(1, 512), ge=1, le=4096
    )
    activation: str = parameter(
        "relu", "Activation", "The nonlinearity φ after every hidden layer.",
        options=lambda: _described(ACTIVATIONS.items()),
    )  # fmt: skip
    alpha: float | None = parameter(
        None, "Alpha",
        "Of an activation that has a parameter: leaky_relu's slope below 0 (0.01), elu's α (1).",
        rare=True, ge=0, le=100,
    )  # fmt: skip
    init: str = parameter(
        "kaiming_normal", "Init scheme", "How weights are drawn.",
        options=lambda: _described(INITS.items()),
    )  # fmt: skip
    norm: str = parameter(
        "none", "Norm", "Normalisation between linear and activation.", options=_norms
    )
    norm_gain: float = parameter(
        1.0, "Norm gain",
        "γ of every norm at initialisation: at 0 (zero-γ) each residual branch begins at φ(0).",
        rare=True, ge=0, le=100,
    )  # fmt: skip
    residual: bool = parameter(
        False, "Residual", "Adds each block's input to its output, where their shapes agree."
    )
    branch_scale: float = parameter(
        1.0, "Branch scale",
        "Multiplies the weight once more in every block that has a residual sum.",
        rare=True, ge=0, le=100,
    )  # fmt: skip
    block_order: str = parameter(
        "linear_first", "Block order", "Where a hidden block's linear layer stands.",
        options=lambda: ORDERS, rare=True,
    )  # fmt: skip
    bias_std: float = parameter(
        0.0, "Bias std",
        "Biases are drawn from N(0, bias_std²); at 0 they are the init scheme's, mostly 0.",
        ge=0, le=100,
    )  # fmt: skip
    bias_mean: float = parameter(
        0.0, "Bias mean", "Added to every bias: constant biases, negative ones too.",
        rare=True, ge=-100, le=100,
    )  # fmt: skip
    fan: str = parameter(
        "fan_in", "Fan", "Which side of a weight its init scheme takes for the inputs.",
        options=lambda: FANS, rare=True,
    )  # fmt: skip
    output_scale: float = parameter(
        1.0, "Output scale", "Multiplies the weight of the last layer once more.",
        rare=True, ge=0, le=100,
    )  # fmt: skip
    layer_gains: Annotated[str, Text(read_gains, LONGEST, EXPECTED)] = parameter(
        "", "Gain by layer",
        "Multiplies each layer's weight once more, the last number all that follow: "
        "30, 1 scales the first layer alone.",
        rare=True,
    )  # fmt: skip
    data: str = parameter(
        "gaussian", "Data", "What goes in, and what should come out.",
        options=_datasets,
    )  # fmt: skip
    input_scale: float = parameter(
        1.0, "Input scale",
        "Multiplies the data: 6.02, and a mean of 4.88, are the digits as they come.",
        rare=True, ge=0, le=1000,
    )  # fmt: skip
    input_mean: float = parameter(
        0.0, "Input mean", "Added to the scaled data: what is not centred, or only positive.",
        rare=True, ge=-1000, le=1000,
    )  # fmt: skip
    loss: str = parameter(
        "mse", "Loss", "What the backward pass starts from.",
        options=lambda: _described(LOSSES.items()),
    )  # fmt: skip
    reduction: str = parameter(
        "mean", "Reduction", "How the loss makes one number of its terms.",
        options=lambda: REDUCTIONS, rare=True,
    )  # fmt: skip
    backward_scale: float = parameter(
        1.0, "Loss scale",
        "Multiplies the gradient that the loss sends back; a training divides it out again.",
        rare=True, ge=1e-6, le=10**9,
    )  # fmt: skip
    dtype: str = parameter("float32", "Number format", "Every tensor's dtype.", options=_dtypes)
    batch: int = parameter(200, "Batch", "Samples.", unit="samples", ge=1, le=65536)
    inputs: int | None = parameter(
        None, "Inputs", "Input features of Gaussian data; absent: as the width. Digits have 64.",
        unit="features", ge=1, le=4096,
    )  # fmt: skip
    seed: int = parameter(
        0, "Seed", "The same seed gives the same bits, in any process.", ge=0, le=MAX_SEED
    )

    @field_validator("*")
    @classmethod
    def _no_negative_zero(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
            raise ValueError(cls.expectation(str(info.field_name)))
        return value

    def _go_together(self) -> None:
        dataset = DATASETS[self.data]
        given, layers = len(gains_of(self.layer_gains)), self.depth + 1
        if given > layers:
            most = f"expected at most {layers} numbers, one for each linear layer"
            raise FieldError("layer_gains", f"{most}; {given} were given")
        if self.alpha is not None and ACTIVATIONS[self.activation].parameter is None:
            raise FieldError("alpha", f"expected nothing: {self.activation} has no parameter")
        n = dataset.features
        if n is not None and self.inputs not in (None, n):
            raise FieldError("inputs", f"expected {n} or nothing: {self.data} has {n} features")
        if dataset.samples is not None and self.batch > dataset.samples:
            most = f"expected at most {dataset.samples}"
            raise FieldError("batch", f"{most}: {self.data} has {dataset.samples} samples")
        if dataset.classes is None and LOSSES[self.loss].classifies:
            others = ", ".join(name for name, loss in LOSSES.items() if not loss.classifies)
            raise FieldError("loss", f"expected one of: {others}; {self.data} has no classes")

    @property
    def phi(self) -> str:
        """The activation with its parameter, as `ACTIVATIONS` knows it.

        >>> Experiment(activation="leaky_relu", alpha=0.2).phi, Experiment().phi
        ('leaky_relu(0.2)', 'relu')
        """
        return self.activation if self.alpha is None else f"{self.activation}({self.alpha!r})"

    @property
    def n_inputs(self) -> int:
        """Input features: as asked for, as the data has, or as the width."""
        return self.inputs or DATASETS[self.data].features or self.width

    @property
    def n_outputs(self) -> int:
        """Output features: one per class for a loss over classes, else one per number."""
        dataset = DATASETS[self.data]
        classes = dataset.classes if LOSSES[self.loss].classifies else None
        return classes or dataset.numbers

    def weight_variance(self, n_in: int, n_out: int) -> float | None:
        """Of one entry as the scheme means it, before ``init_scale``; None: it has no such figure.

        >>> [Experiment(fan=fan).weight_variance(100, 50) for fan in ("fan_in", "fan_out")]
        [0.02, 0.04]
        """
        fans = (n_in, n_out) if self.fan == "fan_in" else (n_out, n_in)
        return INITS[self.init].variance(*fans)

    @property
    def ends_linear(self) -> bool:
        """Whether the linear layer is the last of its block, but for a sum."""
        return self.block_order == "linear_last"

    def has_sum(self, block: int) -> bool:
        """Whether the block, from 1, ends in a residual sum."""
        same = self.n_inputs == self.width if block == 1 else block <= self.depth
        return self.residual and same

    def weight_factors(self, block: int) -> tuple[float, ...]:
        """What multiplies the weight of a block, from 1, once it has its ``init_scale``, in order;
        the output layer's block is depth + 1.

        >>> e = Experiment(depth=2, output_scale=0.5, layer_gains="30,1")
        >>> [e.weight_factors(block) for block in (1, 2, 3)]
        [(30.0,), (), (0.5,)]
        """
        first = (self.output_scale,) if block > self.depth else ()
        return tuple(f for f in (*first, *self._gains(block)) if f != 1)

    def _gains(self, block: int) -> tuple[float, ...]:
        gains = gains_of(self.layer_gains)
        branch = (self.branch_scale,) if self.has_sum(block) else ()
        return (*branch, *gains[min(block, len(gains)) - 1 :][:1])

    @property
    def weight_gains(self) -> tuple[float, ...]:
        """Of every linear layer, what multiplies its weight beside the scales that all hidden
        layers, and the last one, have.

        >>> Experiment(depth=3, layer_gains="30,1", branch_scale=0.5, residual=True).weight_gains
        (15.0, 0.5, 0.5, 1.0)
        """
        return tuple(math.prod(self._gains(block)) for block in range(1, self.depth + 2))

    @property
    def hidden_gain(self) -> float | None:
        """The one of all hidden layers behind the first, or of the only one; None where they
        differ."""
        gains = self.weight_gains[: self.depth]
        found = set(gains[1:] or gains)
        return found.pop() if len(found) == 1 else None

    @property
    def input_moments(self) -> InputMoments:
        """Of the data as it goes in."""
        return DATASETS[self.data].moments(self.n_inputs, self.input_scale, self.input_mean)

    @property
    def beyond_theory(self) -> str | None:
        """What mean-field theory cannot describe whatever the rest is."""
        if self.bias_mean:
            return f"biases of mean {self.bias_mean:g}, in which all units of a layer agree"
        if self.ends_linear:
            return "blocks that end in their linear layer"
        return None

    def bias_variance(self, n_in: int) -> float:
        """Of the biases of a layer with so many inputs.

        >>> Experiment(bias_std=0.5).bias_variance(100)
        0.25
        """
        if self.bias_std > 0:
            return self.bias_std**2
        return self.init_scale**2 * INITS[self.init].bias_variance(n_in)

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]
