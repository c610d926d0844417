"""An experiment as a stand-alone PyTorch script that reproduces the same bits.

The script is put together from the engine's own source, function by function, so that it cannot
drift away from what the engine does.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from layerscope.engine.basis.source import source_text
from layerscope.engine.data import DATASETS
from layerscope.engine.execution.network import seeds
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.initialization import INITS
from layerscope.engine.layers import ACTIVATIONS, Activation, Normalization, chosen_norm
from layerscope.engine.losses import LOSSES

__all__ = ["as_pytorch"]

_HEADER = '''\
"""A Layerscope experiment, stand-alone: {summary}.

Needs torch{extra}. Forward and backward are written out by hand, as in Layerscope's engine; the
digest printed at the end is of every activation's and every gradient's bits.
"""

from __future__ import annotations

import hashlib
{math}from dataclasses import dataclass

import torch
from torch import Tensor
'''

_NETWORK = """
# The same two generators as Layerscope derives from seed {seed}: one for data, one for weights.
data = torch.Generator().manual_seed({data_seed})
weights = torch.Generator().manual_seed({weight_seed})
DTYPE = torch.{dtype}
DEPTH, WIDTH, OUTPUTS = {depth}, {width}, {outputs}

sample = draw_data({batch}, {inputs}, data)
x = sample.x.to(DTYPE)  # (batch, inputs)
target = {target}

digest = hashlib.sha256()


def seen(name: str, tensor: Tensor) -> None:
    digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    std = f"{{float(tensor.double().std()):.6g}}" if tensor.numel() > 1 else "of one number"
    print(f"{{name:>24}}  std {{std}}")


def linear(x: Tensor, n_out: int) -> tuple[Tensor, Tensor]:
    w = draw_weight(x.shape[1], n_out, generator=weights)
{calibrate}    w = w * {init_scale!r}
    b = {bias}
    return w.to(DTYPE), b.to(DTYPE)


# Forward: tape holds what each layer's backward pass needs.
tape = []
for block in range(1, DEPTH + 1):
    start = x
    w, b = linear(x, WIDTH)
    tape.append(("linear", block, x, w))
    x = torch.addmm(b, x, w)  # (batch, width)
    seen(f"linear{{block}}", x)
{norm_forward}{activation_forward}{residual_forward}
w, b = linear(x, OUTPUTS)
tape.append(("linear", DEPTH + 1, x, w))
x = torch.addmm(b, x, w)  # (batch, outputs)
seen(f"linear{{DEPTH + 1}}", x)

print("loss", float(loss(x, target)))

# Backward: g is the gradient of the loss by a layer's output.
g = loss_gradient(x, target)
shortcut = None
for kind, block, *saved in reversed(tape):
    if kind == "start":  # of a residual block: the two paths meet again
        g, shortcut = g + shortcut[block], None
        continue
    seen(f"{{kind}}{{block}}.grad", g)
    if kind == "linear":
        x, w = saved
        seen(f"linear{{block}}.weight.grad", x.t() @ g)  # (n_in, n_out)
        seen(f"linear{{block}}.bias.grad", g.sum(0))  # (n_out,)
        g = g @ w.t()  # (batch, n_in)
{backward}
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
        (DATASETS[e.data].draw, "draw_data"),
        (scheme.draw, "draw_weight"),
        (loss.function, "loss"),
        (loss.gradient, "loss_gradient"),
    ]
    if scheme.calibrate is not None:
        wanted.append((scheme.calibrate, "calibrate"))
    activation, norm = ACTIVATIONS[e.activation], chosen_norm(e.norm)
    if activation.adds_layer:
        wanted += [(activation.function, "activation"), (activation.chain, "activation_backward")]
    if norm is not None:
        wanted += [
            (norm.normalize, "normalize"), (norm.normalize_backward, "normalize_backward"),
        ]  # fmt: skip
    data_seed, weight_seed = seeds(e)
    query = ", ".join(f"{k} {v}" for k, v in e.to_query().items()) or "the default settings"
    network = _NETWORK.format(
        seed=e.seed, data_seed=data_seed, weight_seed=weight_seed, dtype=e.dtype, depth=e.depth,
        width=e.width, outputs=e.n_outputs, batch=e.batch, inputs=e.n_inputs,
        target="sample.label" if loss.classifies else "sample.number.to(DTYPE)",
        calibrate="    w = calibrate(w, x)\n" if scheme.calibrate else "",
        init_scale=e.init_scale,
        bias=f"torch.randn(n_out, generator=weights) * {e.bias_std!r}"
        if e.bias_std > 0
        else "torch.zeros(n_out)",
        norm_forward=_norm_forward(norm), activation_forward=_activation_forward(activation),
        residual_forward=_residual_forward(e), backward=_backward(norm, activation, e.residual),
    )  # fmt: skip
    if e.residual:
        network = (
            network.replace(
                "    w, b = linear(x, WIDTH)\n",
                '    if x.shape[1] == WIDTH:\n        tape.append(("start", block))\n'
                "    w, b = linear(x, WIDTH)\n",
            )
            .replace("shortcut = None\n", "shortcut: dict[int, Tensor] = {}\n")
            .replace("g, shortcut = g + shortcut[block], None", "g = g + shortcut.pop(block)")
        )
    else:
        network = re.sub(r"shortcut = None\n|    if kind == \"start\".*?continue\n", "", network,
                         flags=re.DOTALL)  # fmt: skip
    body = "\n\n\n".join(["", *_sources(wanted)]) + "\n\n" + network
    header = _HEADER.format(
        summary=query,
        extra="".join(f" and {package}" for package in DATASETS[e.data].requires),
        math="import math\n" if "math." in body else "",
    )
    return header + body


def _norm_forward(norm: type[Normalization] | None) -> str:
    if norm is None:
        return ""
    return f"""\
    hat, inverse = normalize(x)
    tape.append(("{norm.name}", block, hat, inverse))
    x = hat.to(DTYPE){" + torch.zeros(WIDTH, dtype=DTYPE)" if norm.shifts else ""}
    seen(f"{norm.name}{{block}}", x)
"""


def _activation_forward(activation: type[Activation]) -> str:
    if not activation.adds_layer:
        return ""
    return f"""\
    y = activation(x)
    tape.append(("{activation.name}", block, {"y" if activation.saves == "output" else "x"}))
    x = y
    seen(f"{activation.name}{{block}}", x)
"""


def _residual_forward(e: Experiment) -> str:
    if not e.residual:
        return ""
    return """\
    if start.shape[1] == WIDTH:
        x = x + start
        tape.append(("add", block))
        seen(f"add{block}", x)
"""


def _backward(
    norm: type[Normalization] | None, activation: type[Activation], residual: bool
) -> str:
    lines = ""
    if norm is not None:
        bias = f'        seen(f"{norm.name}{{block}}.bias.grad", g.sum(0))\n' if norm.shifts else ""
        lines += f"""\
    if kind == "{norm.name}":
        hat, inverse = saved
        wide = g.to(hat.dtype)
        seen(f"{norm.name}{{block}}.weight.grad", (wide * hat).sum(0).to(DTYPE))
{bias}        g = normalize_backward(wide, hat, inverse).to(DTYPE)
"""
    if activation.adds_layer:
        lines += f"""\
    if kind == "{activation.name}":
        g = activation_backward(g, saved[0])
"""
    if residual:
        lines += '    if kind == "add":\n        shortcut[block] = g\n'
    return lines


def _sources(wanted: list[tuple[Callable[..., Any], str]]) -> Iterator[str]:
    """The functions under their new names, each after the constants and functions it uses."""
    given: set[str] = set()
    for function, name in wanted:
        yield from _source(function, name, given)


def _source(function: Callable[..., Any], name: str, given: set[str]) -> Iterator[str]:
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
