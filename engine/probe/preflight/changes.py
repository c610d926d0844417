"""Changes that may help: what each does to a copy, and the same as the lines of Python to add."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from layerscope.engine.probe.kinds import kind_of
from layerscope.engine.probe.outputs import has_parameters
from layerscope.engine.probe.preflight.look import Call, Look
from layerscope.engine.probe.preflight.trial import Setup

__all__ = ["Change", "Layer", "changes_for"]


@dataclass(frozen=True)
class Change:
    """``apply`` alters a copy; ``lines`` do the same to the original."""

    lines: tuple[str, ...]
    apply: Callable[[Setup], None]


@dataclass(frozen=True)
class Layer:
    """A linear map to be drawn anew: its name, the gain's ``nonlinearity`` in the words of
    ``torch.nn.init``, and the slope of a leaky one."""

    name: str
    nonlinearity: str
    slope: float
    transposed: bool


GAINS: Mapping[type[nn.Module], str] = {
    nn.ReLU: "relu", nn.ReLU6: "relu", nn.GELU: "relu", nn.SiLU: "relu", nn.ELU: "relu",
    nn.CELU: "relu", nn.Softplus: "relu", nn.Mish: "relu", nn.Hardswish: "relu",
    nn.LeakyReLU: "leaky_relu", nn.Tanh: "tanh", nn.Hardtanh: "tanh", nn.Softsign: "tanh",
    nn.Sigmoid: "sigmoid", nn.SELU: "linear",
}  # fmt: skip
"""By the activation that follows; of what is not named, a linear one's."""


def _layers(look: Look) -> list[Layer]:
    """Every linear map of the user's that trains, with the activation that follows it."""
    found: dict[str, Layer] = {}
    for place, call in enumerate(look.calls):
        name, weight = call.record.facts.name, getattr(call.module, "weight", None)
        if call.record.facts.role != "linear_map" or name in found:
            continue
        if not isinstance(weight, nn.Parameter) or not weight.requires_grad or weight.dim() < 2:
            continue
        after = _activation(look.calls[place + 1 :])
        gain = GAINS.get(type(after), "linear") if after is not None else "linear"
        slope = float(getattr(after, "negative_slope", 0.0))
        turned = kind_of(call.module).weight_unit_axis == 1
        found[name] = Layer(name, gain, slope, turned)
    return list(found.values())


def _activation(calls: list[Call]) -> nn.Module | None:
    for call in calls:
        if call.record.facts.role == "linear_map":
            return None
        if call.record.facts.role == "activation":
            return call.module
    return None


Draw = Callable[[Tensor, Layer], Any]


def _fan(layer: Layer) -> str:
    return "fan_out" if layer.transposed else "fan_in"


def _gain(layer: Layer) -> float:
    return nn.init.calculate_gain(layer.nonlinearity, layer.slope)  # type: ignore[arg-type]


def _kaiming(weight: Tensor, layer: Layer) -> None:
    nn.init.kaiming_normal_(weight, layer.slope, _fan(layer), layer.nonlinearity)  # type: ignore[arg-type]


def _xavier(weight: Tensor, layer: Layer) -> None:
    nn.init.xavier_normal_(weight, _gain(layer))


def _orthogonal(weight: Tensor, layer: Layer) -> None:
    nn.init.orthogonal_(weight, _gain(layer))


def _kaiming_line(layer: Layer) -> str:
    return (
        f'nn.init.kaiming_normal_(layer.weight, a={layer.slope:g}, mode="{_fan(layer)}", '
        f'nonlinearity="{layer.nonlinearity}")'
    )


SCHEMES: tuple[tuple[Draw, Callable[[Layer], str]], ...] = (
    (_kaiming, _kaiming_line),
    (_xavier, lambda layer: f"nn.init.xavier_normal_(layer.weight, gain={_gain(layer)!r})"),
    (_orthogonal, lambda layer: f"nn.init.orthogonal_(layer.weight, gain={_gain(layer)!r})"),
)


def _initialisations(look: Look) -> Iterator[Change]:
    layers = _layers(look)
    for draw, line in SCHEMES if layers else ():
        yield Change(tuple(_init_lines(layers, line)), _drawing(layers, draw))


def _drawing(layers: list[Layer], draw: Draw) -> Callable[[Setup], None]:
    def apply(setup: Setup) -> None:
        for layer in layers:
            module = setup.model.get_submodule(layer.name)
            draw(module.weight, layer)  # type: ignore[arg-type]
            if module.bias is not None:
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    return apply


def _init_lines(layers: list[Layer], line: Callable[[Layer], str]) -> Iterator[str]:
    """Runs of layers that are drawn alike, in order: the same numbers come of the same seed."""
    start = 0
    while start < len(layers):
        end = start
        while end < len(layers) and line(layers[end]) == line(layers[start]):
            end += 1
        names = ", ".join(f"{layer.name!r}" for layer in layers[start:end])
        yield f"for name in [{names}]:"
        yield "    layer = model.get_submodule(name)"
        yield f"    {line(layers[start])}"
        yield "    if layer.bias is not None:"
        yield "        nn.init.zeros_(layer.bias)"
        start = end


def _smaller_output(look: Look) -> Iterator[Change]:
    """The last layer scaled, so that answers have the size of targets, or none to speak of."""
    layers = _layers(look)
    if not layers or look.output is None:
        return
    rms = float(look.output.double().square().mean().sqrt())
    if not math.isfinite(rms) or rms == 0:
        return
    y = look.batch.y
    wanted = 0.1  # of logits: every class nearly alike
    if isinstance(y, Tensor) and y.is_floating_point() and bool(torch.isfinite(y).all()):
        wanted = float(y.double().std(unbiased=False)) or wanted
    factor, name = float(f"{min(1.0, wanted / rms):.1g}"), layers[-1].name
    if not 0 < factor < 1:
        return

    def apply(setup: Setup) -> None:
        with torch.no_grad():
            for p in setup.model.get_submodule(name).parameters():
                p.mul_(factor)

    yield Change(
        ("with torch.no_grad():",
         f"    for p in model.get_submodule({name!r}).parameters():",
         f"        p.mul_({factor:g})"),
        apply,
    )  # fmt: skip


def _standardised_input(look: Look) -> Iterator[Change]:
    """Mean 0 and std 1 by feature or channel. Only where ``x`` is one tensor of floats."""
    x = look.batch.x
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2 or len(x) < 2:
        return
    dims = [0] if x.dim() == 2 else [d for d in range(x.dim()) if d != (1 if x.dim() > 3 else 2)]

    def standardised(t: Tensor) -> Tensor:
        std = t.std(dims, keepdim=True)
        return (t - t.mean(dims, keepdim=True)) / torch.where(std > 0, std, 1.0)

    def apply(setup: Setup) -> None:
        setup.batch = setup.batch.changed(x=standardised)

    yield Change(
        (f"mean, std = x.mean({dims}, keepdim=True), x.std({dims}, keepdim=True)",
         "x = (x - mean) / torch.where(std > 0, std, 1.0)"),
        apply,
    )  # fmt: skip


def _train_mode(look: Look) -> Iterator[Change]:
    resting = [n for n, m in look.model.named_modules() if kind_of(m).mode and not m.training]
    if not look.model.training:
        yield Change(("model.train()",), lambda setup: _void(setup.model.train()))
        return

    def apply(setup: Setup) -> None:
        for name in resting:
            setup.model.get_submodule(name).train()

    lines = (f"for name in {resting!r}:", "    model.get_submodule(name).train()")
    yield Change(lines, apply)


def _void(_: object) -> None:
    return None


def _shaped_target(look: Look) -> Iterator[Change]:
    y, output = look.batch.y, look.output
    if not isinstance(y, Tensor) or output is None or y.numel() != output.numel():
        return
    shape = [-1, *output.shape[1:]]

    def apply(setup: Setup) -> None:
        setup.batch = setup.batch.changed(y=lambda t: t.reshape(shape))

    yield Change((f"y = y.reshape({', '.join(map(str, shape))})",), apply)


def _without_last(look: Look) -> Iterator[Change]:
    """The last module, where it has no parameters and the output is its own, left out."""
    if not look.calls:
        return
    last = look.calls[-1]
    name = last.record.facts.name
    if not name or has_parameters(last.module) or name not in look.called:
        return

    def apply(setup: Setup) -> None:
        parent, _, own = name.rpartition(".")
        setattr(setup.model.get_submodule(parent), own, nn.Identity())

    yield Change((f"model.set_submodule({name!r}, nn.Identity())",), apply)


def _into_optimizer(look: Look) -> Iterator[Change]:
    trained = list(look.gradients)
    if not trained:
        yield Change(("model.requires_grad_(True)",), lambda s: _void(s.model.requires_grad_(True)))
        return

    def apply(setup: Setup) -> None:
        if setup.optimizer is None:
            return
        known = {id(p) for group in setup.optimizer.param_groups for p in group["params"]}
        missing = [p for p in setup.model.parameters() if p.requires_grad and id(p) not in known]
        if missing:
            setup.optimizer.add_param_group({"params": missing})

    yield Change(
        ('known = {id(p) for group in optimizer.param_groups for p in group["params"]}',
         "missing = [p for p in model.parameters() if p.requires_grad and id(p) not in known]",
         'optimizer.add_param_group({"params": missing})'),
        apply,
    )  # fmt: skip


Source = Callable[[Look], Iterator[Change]]
WEIGHTS: tuple[Source, ...] = (_initialisations, _standardised_input)
SOURCES: Mapping[str, tuple[Source, ...]] = {
    **dict.fromkeys(
        ("exploding_activation", "vanishing_activation", "exploding_gradient", "dead_units",
         "vanishing_gradient", "rank_collapse", "symmetry", "mean_shift",
         "large_bias"), WEIGHTS,
    ),
    "nonfinite": (_initialisations, _standardised_input),
    "saturation": (_standardised_input, _initialisations),
    "output_scale": (_smaller_output, *WEIGHTS),
    "input_scale": (_standardised_input,),
    "eval_mode": (_train_mode,),
    "wrong_loss": (_shaped_target, _without_last),
    "frozen": (_into_optimizer,),
}  # fmt: skip
"""What is tried for the finding of a rule, in this order."""


def changes_for(rule: str, look: Look) -> Iterator[Change]:
    """Candidates against a finding of ``rule``."""
    for source in SOURCES.get(rule, ()):
        yield from source(look)
