"""What a class of module is to a network: one entry a class, found by its bases too."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from layerscope.engine.basis.role import Role

__all__ = ["UNKNOWN", "Kind", "describe", "kind_of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What holds for every module of some classes.

    ``unit_axis`` is that of the output; ``as_input`` says that it is the input's instead, as of
    whatever acts entry by entry. ``weight_unit_axis``: the units in the weight. ``centres``: a
    norm that takes the mean away. ``elementwise``: a function of one number that draws nothing at
    random and has no parameter, so that its derivative can be asked for. ``mode`` tells that train
    and eval differ. ``running``: the norm keeps running statistics in buffers of PyTorch's names.
    """

    role: Role | None = None
    unit_axis: int | None = None
    as_input: bool = False
    weight_unit_axis: int = 0
    centres: bool = False
    elementwise: bool = False
    mode: bool = False
    running: bool = False


UNKNOWN = Kind(as_input=True)
"""A module of a class that nobody has described."""

_kinds: dict[type[nn.Module] | str, Kind] = {}


def describe(kind: Kind, *classes: type[nn.Module] | str) -> None:
    """Says what modules of ``classes`` and of classes derived from them are.

    A class of a library that may be absent is given by its qualified name.

    >>> class Gate(nn.Module): ...
    >>> describe(Kind(role="activation", as_input=True), Gate)
    >>> kind_of(Gate()).role
    'activation'
    """
    for cls in classes:
        _kinds[cls] = kind


def kind_of(module: nn.Module) -> Kind:
    """The entry of the module's class or of its nearest base that has one.

    >>> kind_of(nn.Conv2d(1, 1, 1)).unit_axis
    1
    """
    for base in type(module).__mro__:
        for key in (base, f"{base.__module__}.{base.__qualname__}"):
            if key in _kinds:
                return _kinds[key]
    return UNKNOWN


def _attributes(module: object, *names: str) -> list[type[nn.Module]]:
    """The classes of these names that this release of PyTorch has."""
    return [getattr(module, name) for name in names if hasattr(module, name)]


_features = -1
_channels = 1

describe(Kind("linear_map", _features), nn.Linear, nn.Bilinear)
describe(Kind("linear_map", _channels), nn.Conv1d, nn.Conv2d, nn.Conv3d)
describe(
    Kind("linear_map", _channels, weight_unit_axis=1),
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
describe(Kind("linear_map", _features, weight_unit_axis=1), "transformers.pytorch_utils.Conv1D")
describe(Kind(unit_axis=_features), nn.Embedding, nn.EmbeddingBag)
describe(Kind("norm", _features, centres=True), nn.LayerNorm)
describe(
    Kind("norm", _features),
    *_attributes(nn, "RMSNorm"),
    "transformers.models.llama.modeling_llama.LlamaRMSNorm",
    "transformers.models.t5.modeling_t5.T5LayerNorm",
)
describe(
    Kind("norm", _channels, centres=True, mode=True, running=True),
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
describe(Kind("norm", _channels, centres=True), nn.GroupNorm)
describe(Kind("norm", _channels), nn.LocalResponseNorm)
describe(
    Kind("activation", as_input=True, elementwise=True),
    nn.ReLU, nn.LeakyReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Hardshrink, nn.Softshrink, nn.Softplus,
    nn.Softsign, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Tanhshrink, nn.Threshold,
    "transformers.activations.NewGELUActivation", "transformers.activations.GELUActivation",
)  # fmt: skip
describe(Kind("activation", as_input=True), nn.PReLU, nn.GLU)
describe(Kind("activation", as_input=True, mode=True), nn.RReLU)
describe(
    Kind(as_input=True, mode=True),
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
describe(Kind(unit_axis=_features), nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
describe(
    Kind(unit_axis=_channels),
    *(
        getattr(nn, f"{which}{rank}d")
        for which in ("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "LPPool")
        for rank in (1, 2, 3)
    ),
)
describe(Kind(unit_axis=_features), nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.Flatten, nn.Unflatten)
