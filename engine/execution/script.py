"""An experiment as a stand-alone PyTorch script that reproduces the same bits: put together from
the engine's own source, so that it cannot drift away from what the engine does."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from layerscope.engine.basis.narrow import NARROW
from layerscope.engine.basis.source import source_text
from layerscope.engine.execution.network import seeds
from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.experiment.gains import gains_of
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS, Activation, Normalization, chosen_norm
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.layers.losses import LOSSES

__all__ = ["as_pytorch"]

_HEADER = '''\
"""A Layerscope experiment, stand-alone: {summary}.

Needs torch{extra}. Forward and backward are written out by hand, as in Layerscope's engine; the
digest printed at the end is of every activation's and every gradient's bits. They depend on the
processor, on torch's build and on its threads: one here, as there.
"""

from __future__ import annotations

import hashlib
{math}from dataclasses import dataclass

import torch
from torch import Tensor
'''

_NETWORK = """
torch.set_num_threads(1)  # sums and factorisations are split among threads, and round otherwise

# The same two generators as Layerscope derives from seed {seed}: one for data, one for weights.
data = torch.Generator().manual_seed({data_seed})
weights = torch.Generator().manual_seed({weight_seed})
DTYPE = torch.{dtype}
DEPTH, WIDTH, OUTPUTS = {depth}, {width}, {outputs}
{gains}
sample = draw_data({batch}, {inputs}, data)
x = {data}.to(DTYPE)  # (batch, inputs)
target = {target}

digest = hashlib.sha256()


def seen(name: str, tensor: Tensor) -> None:
    digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    std = f"{{float(tensor.double().std()):.6g}}" if tensor.numel() > 1 else "of one number"
    print(f"{{name:>24}}  std {{std}}")


def linear(x: Tensor, n_out: int{factors}) -> tuple[Tensor, Tensor]:
    w = {weight}
{calibrate}    w = w * {init_scale!r}
{scaled}    b = {bias}
    return w.to(DTYPE), b.to(DTYPE)


def linear_backward(name: str, g: Tensor, x: Tensor, w: Tensor) -> Tensor:
    seen(f"{{name}}.weight.grad", x.t() @ g)  # (n_in, n_out)
    seen(f"{{name}}.bias.grad", g.sum(0))  # (n_out,)
    return g @ w.t()  # (batch, n_in)

{backward}
# Forward: tape holds each layer's backward pass and what it needs.
tape = []
for block in range(1, DEPTH + 1):
{start}{forward}
w, b = linear(x, OUTPUTS{as_last})
tape.append((linear_backward, f"linear{{DEPTH + 1}}", x, w))
x = torch.addmm(b, x, w)  # (batch, outputs)
seen(f"linear{{DEPTH + 1}}", x)

print("loss", float(loss(x, target){terms}))

# Backward: g is the gradient of the loss by a layer's output.
g = {gradient}
for backward, name, *saved in reversed(tape):
    seen(f"{{name}}.grad", g)
    g = backward(name, g, *saved)
{meet}
print("sha256", digest.hexdigest())
"""


def as_pytorch(experiment: Experiment) -> str:
    """Python source that runs ``experiment`` with torch alone and prints every layer's std.

    >>> "def draw_weight" in as_pytorch(Experiment())
    True
    """
    e = experiment
    scheme, loss = INITS[e.init], LOSSES[e.loss]
    wanted: list[tuple[Callable[..., Any], str]] = [
        (DATASETS[e.data].draw, "draw_data"), (scheme.draw, "draw_weight"),
        (loss.function, "loss"), (loss.gradient, "loss_gradient"),
    ]  # fmt: skip
    if scheme.calibrate is not None:
        wanted.append((scheme.calibrate, "calibrate"))
    if scheme.bias is not None and not e.bias_std:
        wanted.append((scheme.bias, "draw_bias"))
    activation, norm = ACTIVATIONS[e.phi], chosen_norm(e.norm)
    if activation.adds_layer:
        wanted += [(activation.function, "activation"), (activation.chain, "activation_backward")]
    if norm is not None:
        wanted += [
            (norm.normalize, "normalize"), (norm.normalize_backward, "normalize_backward"),
        ]  # fmt: skip
    data_seed, weight_seed = seeds(e)
    query = ", ".join(f"{k} {v}" for k, v in e.to_query().items()) or "the default settings"
    narrow = e.torch_dtype in NARROW
    gains, (hidden, last) = gains_of(e.layer_gains), _factors(e)
    backward, forward = _layers(e, norm, activation, hidden, narrow)
    network = _NETWORK.format(
        seed=e.seed, data_seed=data_seed, weight_seed=weight_seed, dtype=e.dtype, depth=e.depth,
        width=e.width, outputs=e.n_outputs, batch=e.batch, inputs=e.n_inputs,
        target="sample.label" if loss.classifies else "sample.number.to(DTYPE)",
        calibrate="    w = calibrate(w, x)\n" if scheme.calibrate else "",
        data=_data(e),
        weight=_weight(e),
        init_scale=e.init_scale,
        scaled="    for factor in factors:\n        w = w * factor\n" if hidden + last else "",
        factors=", *factors: float" if hidden + last else "",
        as_last="".join(f", {factor}" for factor in last),
        gains=f"GAINS = {gains!r}\n" if gains else "",
        bias=_bias(e) + (f" + {e.bias_mean!r}" if e.bias_mean else ""),
        backward=backward, forward=forward, start="    start = x\n" if e.residual else "",
        terms=" * target.numel()" if e.reduction == "sum" else "",
        gradient=_gradient(e, narrow),
        meet="    if name in shortcut:\n        g = g + shortcut.pop(name)\n" if e.residual else "",
    )  # fmt: skip
    given: set[str] = set()
    sources = [text for function, name in wanted for text in _source(function, name, given)]
    body = "\n\n\n".join(["", *sources]) + "\n\n" + network
    header = _HEADER.format(
        summary=query,
        extra="".join(f" and {package}" for package in DATASETS[e.data].requires),
        math="import math\n" if "math." in body else "",
    )
    return header + body


def _data(e: Experiment) -> str:
    """What goes in, before it is cast."""
    scaled = "sample.x" if e.input_scale == 1 else f"sample.x * {e.input_scale!r}"
    if e.input_mean:
        scaled = f"{scaled} + {e.input_mean!r}"
    return scaled if scaled == "sample.x" else f"({scaled})"


def _weight(e: Experiment) -> str:
    """How a layer's weight is drawn, before it is scaled."""
    if e.fan == "fan_in":
        return "draw_weight(x.shape[1], n_out, generator=weights)"
    return "draw_weight(n_out, x.shape[1], generator=weights).t().contiguous()"


def _factors(e: Experiment) -> tuple[list[str], list[str]]:
    """What multiplies the weights of hidden layers, and of the last one, beside the init scale."""
    gain = ["GAINS[min({}, len(GAINS)) - 1]"] if e.layer_gains else []
    branch = [f"{e.branch_scale!r} if start.shape[1] == WIDTH else 1.0"] if e.residual else []
    hidden = [*(branch if e.branch_scale != 1 else []), *(g.format("block") for g in gain)]
    output = [repr(e.output_scale)] if e.output_scale != 1 else []
    return hidden, [*output, *(g.format("DEPTH + 1") for g in gain)]


def _gradient(e: Experiment, narrow: bool) -> str:
    """The gradient that the loss sends back, in the network's format."""
    output = "x.float()" if narrow else "x"
    target = "target.float()" if narrow and not LOSSES[e.loss].classifies else "target"
    wide = f"loss_gradient({output}, {target})"
    factors = [repr(e.backward_scale)] if e.backward_scale != 1 else []
    factors += ["target.numel()"] if e.reduction == "sum" else []
    if factors:
        wide += f" * {factors[0]}" if len(factors) == 1 else f" * ({' * '.join(factors)})"
    return f"({wide}).to(DTYPE)" if narrow else wide


def _bias(e: Experiment) -> str:
    """How a layer's biases are drawn."""
    if e.bias_std > 0:
        return f"torch.randn(n_out, generator=weights) * {e.bias_std!r}"
    if INITS[e.init].bias is not None:
        return f"draw_bias(x.shape[1], n_out, generator=weights) * {e.init_scale!r}"
    return "torch.zeros(n_out)"


def _layers(
    e: Experiment, norm: type[Normalization] | None, activation: type[Activation],
    factors: list[str], narrow: bool,
) -> tuple[str, str]:  # fmt: skip
    """The backward passes of every kind of layer but the linear, as functions, and the forward pass
    of a block."""
    backward = forward = ""
    gain = e.norm_gain
    linear = f"""\
    w, b = linear(x, WIDTH{"".join(f", {factor}" for factor in factors)})
    tape.append((linear_backward, f"linear{{block}}", x, w))
    x = torch.addmm(b, x, w)  # (batch, width)
    seen(f"linear{{block}}", x)
"""
    width = "x.shape[1]" if e.ends_linear else "WIDTH"
    names = [layer.name for layer in (norm, activation) if layer is not None and layer.adds_layer]
    first = names[0] if e.ends_linear and names else "linear"
    if norm is not None:
        bias = '    seen(f"{name}.bias.grad", g.sum(0))\n' if norm.shifts else ""
        gamma = f" * torch.tensor({gain!r}, dtype=DTYPE)" if gain != 1 else ""
        scaled = f"(hat{gamma})" if gamma else "hat"
        beta = f" + torch.zeros({width}, dtype=DTYPE)" if norm.shifts else ""
        backward += f"""
def norm_backward(name: str, g: Tensor, hat: Tensor, inverse: Tensor) -> Tensor:
    wide = g.to(hat.dtype)
    seen(f"{{name}}.weight.grad", (wide * hat).sum(0).to(DTYPE))
{bias}    return normalize_backward(wide{gamma}, hat, inverse).to(DTYPE)

"""
        forward += f"""\
    hat, inverse = normalize(x)
    tape.append((norm_backward, f"{norm.name}{{block}}", hat, inverse))
    x = {scaled}.to(DTYPE){beta}
    seen(f"{norm.name}{{block}}", x)
"""
    if activation.adds_layer:
        wide, back = (".float()", ".to(DTYPE)") if narrow else ("", "")
        backward += f"""
def phi_backward(name: str, g: Tensor, saved: Tensor) -> Tensor:
    return activation_backward(g{wide}, saved{wide}){back}

"""
        saved = "y" if activation.saves == "output" else "x"
        forward += f"""\
    y = activation(x{wide}){back}
    tape.append((phi_backward, f"{activation.name}{{block}}", {saved}))
    x = y
    seen(f"{activation.name}{{block}}", x)
"""
    forward = forward + linear if e.ends_linear else linear + forward
    if e.residual:
        backward += """
shortcut: dict[str, Tensor] = {}


def add_backward(name: str, g: Tensor, start: str) -> Tensor:
    shortcut[start] = g  # it meets the other path again below the block
    return g

"""
        forward += f"""\
    if start.shape[1] == WIDTH:
        x = x + start
        tape.append((add_backward, f"add{{block}}", f"{first}{{block}}"))
        seen(f"add{{block}}", x)
"""
    return backward, forward


def _source(function: Callable[..., Any], name: str, given: set[str]) -> Iterator[str]:
    """The function as ``name``, after the constants and functions it uses and nobody has given."""
    plain = inspect.unwrap(function)
    scope = plain.__globals__
    for used in sorted(set(_names(plain.__code__)) & set(scope) - given):
        value = scope[used]
        if isinstance(value, int | float):
            given.add(used)
            yield f"{used} = {value!r}"
        elif dataclasses.is_dataclass(value):
            given.add(used)
            yield source_text(value).strip()  # type: ignore[arg-type]
        elif inspect.isfunction(inspect.unwrap(value)) and value.__module__ != "torch":
            given.add(used)
            yield from _source(value, used, given)
    text = textwrap.dedent(source_text(plain))
    text = text[re.search(r"^def ", text, flags=re.MULTILINE).start() :]  # type: ignore[union-attr]
    yield re.sub(r"^def \w+", f"def {name}", text, count=1).strip()


def _names(code: CodeType) -> Iterator[str]:
    """Every global name that a function's code, or a function within it, looks up."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
