"""Networks whose weights no seed changes: identity, where no unit hears another, and equal weights,
where all units are copies.

Every tensor is a function of the level of a unit (`layerscope.engine.theory.population`): with
h₀ = the level and block l

    z = a·h,  h ← φ(z)  or  h + φ(z),    a = v, or v·n_in where all entries are v,

and back, with d the derivative of the output by the unit,

    d ← b·φ'(z)·d  or  d + b·φ'(z)·d,    b = v, or v·n_out.

One-dimensional pushforwards of what the data draws, hence exact: Gaussian levels by quadrature,
real data by counting all of it, losses over classes of Gaussian data by fixed draws (to about 1 %).
The seeds differ in their data alone: the band is that of a mean over independent values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch

from layerscope.engine.layers import ACTIVATIONS, Add, Layer, Linear
from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.theory.orbit import (
    LARGEST,
    Block,
    FixedNetwork,
    Law,
    TooLarge,
    drawn,
    law_of,
    orbit,
)
from layerscope.engine.theory.population import NormalLevels, figures
from layerscope.engine.theory.quadrature import Array, apply
from layerscope.engine.theory.record import (
    LayerPrediction,
    Prediction,
    forecasts,
    places,
    without_band,
)
from layerscope.engine.theory.sent import OfMeasured, OfNormal, Side, of_measured, of_normal
from layerscope.engine.theory.spread import LN10, Spread, of_figures

__all__ = ["predict_fixed"]

LARGEST_LOG = 700.0
"""Of what float64 holds the exponential of."""
RAREST = 4.0
"""Relative variance of a gradient's mean square, over seeds: beyond, a few levels that hardly a
batch has carry the mean, and no seed is near it."""
ROUNDING = 1e-12
"""Of the outputs' gradients: a sum of them below this share of their size is rounding."""


def predict_fixed(net: FixedNetwork) -> Prediction:
    """Every tensor of the network, as `predict` has it.

    Errors: ``KeyError`` for an unknown activation or loss.

    Example:
        >>> from layerscope.engine.theory.orbit import FixedNetwork
        >>> net = FixedNetwork(
        ...     "linear", [(50, 50), (50, 1)], [2.0, 1.0], diagonal=True, batch=8, residual=False,
        ...     normal=(0.0, 1.0), population=None, loss="mse", log_gain=0.0, dtype="float32",
        ... )
        >>> [round(x.activation.to_dict()["rms"], 6) for x in predict_fixed(net).layers]
        [2.0, 2.0]
    """
    if net.diagonal and net.live() < min(net.fans[-1]) and net.fans[-1][1] > net.fans[-1][0]:
        return _nothing("fewer inputs than units, and fewer units than outputs")
    try:
        law = law_of(net)
        blocks = orbit(net, law.levels)
    except TooLarge:
        return _nothing("numbers beyond what float64 holds")
    sent, ways, why = _backward(net, law, blocks)
    layers = tuple(_layers(net, law, blocks, sent, ways, further=why is None))
    notes = [
        _note(net, sent),
        *without_band(layers, "activation"),
        *without_band(layers, "gradient"),
    ]
    if why is None:
        notes += _missing(layers)
    return Prediction(
        available=True,
        gradient_reason=None if why is None else f"no theory for this setting: {why}",
        notes=tuple(notes),
        layers=layers,
        forecast=forecasts(layers, net.batch, net.dtype, backward=why is None),
    )


def _nothing(why: str) -> Prediction:
    return Prediction(available=False, reason=f"no theory for this setting: {why}")


def _note(net: FixedNetwork, sent: OfNormal | OfMeasured | None) -> str:
    units = "no unit hears another" if net.diagonal else "all units are copies"
    found = f"no seed changes the weights, and {units}: the data alone makes what is drawn"
    if isinstance(sent, OfMeasured) and sent.x is None:
        return f"{found}; gradients from fixed draws, to about 1 %"
    return found


def _missing(layers: Sequence[LayerPrediction]) -> list[str]:
    """Of gradients that levels carry which hardly a batch has."""
    missing = [x.block for x in layers if x.gradient is None]
    if not missing:
        return []
    why = "inputs that hardly a batch holds carry their mean"
    return [f"no theory of the gradients at {places(missing)}: {why}"]


def _backward(
    net: FixedNetwork, law: Law, blocks: list[Block]
) -> tuple[OfNormal | OfMeasured | None, list[Block], str | None]:
    """What the loss sends; the blocks by the levels of those samples; why it goes no further."""
    if net.loss not in LOSSES:
        return None, blocks, f"the gradient of the loss {net.loss!r}"
    loss, outputs = LOSSES[net.loss], net.outputs
    if net.diagonal and net.live() < outputs:
        return None, blocks, "units without an input of their own are among the outputs"
    sent: OfNormal | OfMeasured
    target: npt.NDArray[np.generic]
    if isinstance(law, NormalLevels) and outputs == 1 and not loss.classifies:
        out = _plain(blocks[-1])
        if out is None:
            return None, blocks, "outputs beyond what float64 holds"
        sent = of_normal(loss, law, out, net.numbers)
    else:
        x = None
        if isinstance(law, NormalLevels):
            law, target = drawn(net, classes=loss.classifies)
            blocks = orbit(net, law.levels)
        else:
            population = net.samples
            x, target = population.x, population.target
        out = _plain(blocks[-1])
        if out is None:
            return None, blocks, "outputs beyond what float64 holds"
        sent = of_measured(
            loss, law, out, torch.from_numpy(target), outputs, copies=not net.diagonal, x=x
        )
        if np.abs(sent.back).max() <= ROUNDING * np.abs(sent.g).max():
            return sent, blocks, "what the loss sends the outputs, all equal, adds up to zero"
    return sent, blocks, None


def _plain(block: Block) -> Array | None:
    """The output itself, where float64 holds its powers."""
    peak = float(np.abs(block.out).max())
    if peak and block.log + math.log(peak) > math.log(LARGEST) / 2:
        return None
    return block.out * math.exp(block.log)


class _Kinds(NamedTuple):
    """Of the linear layer, the activation and the sum of a block."""

    pre: Spread | None
    post: Spread | None
    added: Spread | None


_NOTHING = _Kinds(None, None, None)


def _layers(
    net: FixedNetwork, law: Law, blocks: list[Block], sent: OfNormal | OfMeasured | None,
    ways: list[Block], *, further: bool,
) -> Iterator[LayerPrediction]:  # fmt: skip
    phi = ACTIVATIONS[net.activation]
    back, weights = _gradients(net, sent, ways, further=further)
    logs = [g.pre.rms if g.pre else None for g in back]
    index = 0
    for place, (block, gradient, weight) in enumerate(zip(blocks, back, weights, strict=True)):
        n_out = net.fans[place][1]
        ahead = _signals(net, law, block, place)
        kinds: list[tuple[type[Layer], Spread | None, Spread | None]]
        kinds = [(Linear, ahead.pre, gradient.pre)]
        if phi.adds_layer and place < len(blocks) - 1:
            kinds.append((phi, ahead.post, gradient.post))
        if net.adds(place):
            kinds.append((Add, ahead.added, gradient.added))
        for layer, activation, behind in kinds:
            if activation is None:
                continue
            linear = layer.role == "linear_map"
            yield LayerPrediction(
                index=index, name=f"{layer.name}{place + 1}", kind=layer.name, role=layer.role,
                block=place + 1, units=n_out, activation=activation, gradient=behind,
                weight_gradient=weight if linear else None,
                chi=_ratio(logs, place) if linear else None,
            )  # fmt: skip
            index += 1


def _ratio(logs: Sequence[float | None], place: int) -> float | None:
    """Of the gradient's second moments, at a block's linear layer and at the next."""
    if place + 1 >= len(logs):
        return None
    here, there = logs[place], logs[place + 1]
    if here is None or there is None:
        return None
    step = 2 * LN10 * (here - there)
    return math.exp(step) if -690 < step < 690 else None


def _signals(net: FixedNetwork, law: Law, block: Block, place: int) -> _Kinds:
    n = net.fans[place][1]
    last = place == len(net.fans) - 1
    share = min(net.live(), n) / n if net.diagonal else 1.0
    shown: Law = law
    if last and net.diagonal:  # of the units, so many are put out
        shown = law.first(min(net.live(), n))

    def spread(f: Array, *, wide: bool = False) -> Spread:
        peak = float(np.abs(f).max())
        if peak == 0 and not wide:
            return Spread(0.0, None, None, None, None, None)
        top = math.log(peak) if peak else 0.0
        more = math.exp(min(LARGEST_LOG, -2 * (block.log + top))) if wide else 0.0
        found = figures(shown, f / math.exp(top), share, more)
        return of_figures(found, block.log + top, net.batch * n, net.rounding)

    wide = block.wide and not net.diagonal
    return _Kinds(
        spread(block.z), None if last else spread(block.post),
        spread(block.out, wide=wide) if net.adds(place) else None,
    )  # fmt: skip


def _gradients(
    net: FixedNetwork, sent: OfNormal | OfMeasured | None, blocks: list[Block], *, further: bool
) -> tuple[list[_Kinds], list[float | None]]:
    """By block: the gradients, and log10 of the root mean square of the weight's; ``further``:
    whether they get beyond the output layer."""
    found, weights = [_NOTHING] * len(blocks), cast(list[float | None], [None] * len(blocks))
    if sent is None:
        return found, weights
    phi, loss = ACTIVATIONS[net.activation], LOSSES[net.loss]
    width, outputs = net.fans[-1]
    log = sent.log_scale + net.log_gain - math.log(loss.terms(net.batch, outputs))
    found[-1] = _Kinds(
        of_figures(sent.outset(), log, net.batch * outputs, net.rounding), None, None
    )
    weights[-1] = _weight(net, sent, blocks, len(blocks) - 1, None, log)
    d = np.ones_like(blocks[-1].z)
    d[-1] = 0.0  # where no unit hears anything nothing is drawn, and no peak may be there
    skipped = np.zeros_like(d)
    for place in range(len(blocks) - 2, -1, -1) if further else ():
        n, block = net.fans[place][1], blocks[place]
        through = net.values[place + 1] * (1 if net.diagonal else net.fans[place + 1][1])
        stream = through * d + skipped
        with np.errstate(over="ignore"):  # φ' of what is beyond float64 is that of infinity
            plain = block.z * np.exp(np.float64(block.log))
        d = stream * apply(phi.derivative, plain)
        peak = max(float(np.abs(stream).max()), float(np.abs(d).max()))
        if peak > 0:
            stream, d, log = stream / peak, d / peak, log + math.log(peak)
        skipped = stream if net.adds(place) else np.zeros_like(d)
        share = min(outputs, width) / n if net.diagonal else 1.0
        pre, post = (_drawn(net, sent, f, share, log, net.batch * n) for f in (d, stream))
        found[place] = _Kinds(pre, post, post if net.adds(place) else None)
        if pre is not None:
            weights[place] = _weight(net, sent, blocks, place, d, log)
    return found, weights


def _drawn(
    net: FixedNetwork, sent: OfNormal | OfMeasured, f: Array, share: float, log: float, entries: int
) -> Spread | None:
    """``None``: what a batch has of it is hardly ever near its mean."""
    peak = float(np.abs(f).max())
    found = sent.figures(f / (peak or 1.0), share)
    if found.wander > RAREST * found.central**2:
        return None
    return of_figures(found, log + math.log(peak or 1.0), entries, net.rounding)


def _weight(
    net: FixedNetwork, sent: OfNormal | OfMeasured, blocks: list[Block], place: int,
    d: Array | None, log: float,
) -> float:  # fmt: skip
    block, (n_in, n_out) = blocks[place], net.fans[place]
    peak = float(np.abs(block.h).max())
    scale = block.log + (math.log(peak) if peak else 0.0)
    live = n_in if place == 0 else min(net.live(), n_in)
    wide = math.exp(min(LARGEST_LOG, -2 * scale)) if block.wide and not net.diagonal else 0.0
    into = Side(
        block.h / peak if peak else block.h, n_in, live, wide,
        features=place == 0 and net.diagonal,
    )  # fmt: skip
    if into.features:  # the data as it is
        into, scale = into._replace(h=block.h * math.exp(block.log)), 0.0
    second = sent.weight(into, d, n_out, diagonal=net.diagonal)
    return 0.5 * (math.log(second) + 2 * (scale + log)) / LN10 if second > 0 else -math.inf
