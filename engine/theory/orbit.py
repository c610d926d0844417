"""Weights that no seed changes, and every level that the data draws through all their blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from layerscope.engine.layers import ACTIVATIONS
from layerscope.engine.theory.moments import moment_table
from layerscope.engine.theory.population import PANEL, REACH, Measured, NormalLevels, Population
from layerscope.engine.theory.quadrature import Array, apply

__all__ = ["LARGEST", "Block", "FixedNetwork", "Law", "TooLarge", "drawn", "law_of", "orbit"]

LARGEST = 1e100  # of a number whose fourth power float64 is to hold, after a loss has squared it
DRAWN = 2048  # samples that stand for Gaussian data where the loss compares outputs
VALUES = 4_000_000  # of those samples' levels, in all layers, at most
TORN = 0.05
"""Part of a block's largest output by which neighbouring levels may differ: else one comes between,
at most `MOST_CUTS` of them, in `HALVINGS` rounds."""
MOST_CUTS, HALVINGS = 1000, 60
COLUMNS = 2
"""Times the number of outputs: as many units of such a sample stand for all."""

Law = NormalLevels | Measured


class FixedNetwork(NamedTuple):
    """What is known of it: ``values`` are the entries of each linear layer, the output's last;
    ``diagonal``: on the diagonal alone. ``normal``: mean and std of Gaussian features, or None with
    ``population``; ``numbers``: mean and std of the targets then."""

    activation: str
    fans: Sequence[tuple[int, int]]
    values: Sequence[float]
    diagonal: bool
    batch: int
    residual: bool
    normal: tuple[float, float] | None
    population: Population | None
    loss: str
    log_gain: float
    """ln of what multiplies the gradient of the mean loss."""
    dtype: str
    numbers: tuple[float, float] = (0.0, 1.0)

    @property
    def outputs(self) -> int:
        return self.fans[-1][1]

    @property
    def samples(self) -> Population:
        """Those that stand for data that is not normal."""
        if self.population is None:
            raise ValueError("expected normal features or samples that stand for them, got neither")
        return self.population

    @property
    def rounding(self) -> float:
        return float(torch.finfo(getattr(torch, self.dtype)).eps)

    def adds(self, index: int) -> bool:
        """Whether the block, from 0, ends in a residual sum."""
        n_in, n_out = self.fans[index]
        return self.residual and n_in == n_out and index < len(self.fans) - 1

    def live(self) -> int:
        """Hidden units with an input of their own."""
        return min(self.fans[0])


class Block(NamedTuple):
    """By level, over e^log: what comes in, the pre-activation, what the activation makes of it, and
    what goes out. ``wide``: whether features come in that differ within a sample."""

    h: Array
    z: Array
    post: Array
    out: Array
    log: float
    wide: bool


class TooLarge(ArithmeticError):
    """Beyond what float64 holds."""


def law_of(net: FixedNetwork) -> Law:
    """The levels that the tensors are drawn by."""
    features = net.fans[0][0]
    if net.normal is None:
        return _measured(net, net.samples.x)
    mean, std = net.normal
    kinks = tuple(k / net.values[0] for k in ACTIVATIONS[net.activation].kinks if net.values[0])
    units, within = net.live(), (0.0, 0.0)
    if not net.diagonal:
        kept = 1 - 1 / features
        within = std**2 * kept, 2 * std**4 * kept / features
        units, std, kinks = 1, std / math.sqrt(features), tuple(k / features for k in kinks)
    coarse = NormalLevels(mean, std, net.batch, units, edges=kinks, within=within)
    edges = _steep(net, mean, std, kinks)
    if len(edges) == len(kinks):
        return coarse
    return NormalLevels(mean, std, net.batch, units, edges=edges, within=within)


def _steep(
    net: FixedNetwork, mean: float, std: float, kinks: tuple[float, ...]
) -> tuple[float, ...]:
    """Further levels at which to cut: where the blocks tear neighbours apart, ever more finely."""
    at = np.unique([*kinks, *(mean + std * np.arange(-REACH, REACH + PANEL / 2, PANEL))])
    first, outs = len(at), _outputs(net, at)
    for _ in range(HALVINGS):
        steps = np.abs(np.diff(outs))  # (blocks, levels − 1)
        torn = (steps > TORN * np.abs(outs).max(1, keepdims=True)).any(0)
        torn &= np.diff(at) > np.spacing(np.abs(at[1:])) * 4
        if not torn.any() or len(at) + torn.sum() > first + MOST_CUTS:
            break
        places, middles = np.flatnonzero(torn) + 1, (at[1:] + at[:-1])[torn] / 2
        at = np.insert(at, places, middles)
        outs = np.insert(outs, places, _outputs(net, middles), axis=1)
    return (*kinks, *(() if len(at) == first else at.tolist()))


def _outputs(net: FixedNetwork, levels: Array) -> Array:
    """(blocks, levels)."""
    return np.stack([block.out for block in orbit(net, levels)])


def _measured(net: FixedNetwork, x: Array) -> Measured:
    whole = net.samples.whole
    if net.diagonal:
        return Measured(x[:, : net.live()], net.batch, whole=whole)
    return Measured(x.mean(1, keepdims=True), net.batch, whole=whole, within=x.var(1))


def drawn(net: FixedNetwork, *, classes: bool) -> tuple[Measured, Array]:
    """Samples of normal features, each unit's values the quantiles of its law in another order;
    and their classes, or as many normal numbers as there are outputs."""
    rng = np.random.default_rng(0)
    outputs, features = net.outputs, net.fans[0][0]
    units = min(features, COLUMNS * outputs) if net.diagonal else 1
    count = max(256, min(DRAWN, VALUES // (units * len(net.fans))))
    mean, std = net.normal or (0.0, 1.0)
    if not net.diagonal:
        std /= math.sqrt(features)
    shares = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    quantiles = torch.special.ndtri(shares).numpy()
    z = np.stack([rng.permutation(quantiles) for _ in range(units)], axis=1)
    inputs = Measured(mean + std * z, net.batch, whole=False)
    if classes:
        return inputs, rng.permutation(np.arange(count) % outputs)
    middle, wide = net.numbers
    targets = np.stack([rng.permutation(quantiles) for _ in range(outputs)], axis=1)
    return inputs, middle + wide * targets


def orbit(net: FixedNetwork, levels: Array) -> list[Block]:
    """Every level through all blocks; the output layer's last."""
    phi = ACTIVATIONS[net.activation]
    scaled = moment_table(net.activation).homogeneous
    h, log, wide, found = levels, 0.0, True, []
    for index, ((n_in, _), value) in enumerate(zip(net.fans, net.values, strict=True)):
        a = value if net.diagonal else value * n_in
        z = a * h
        peak = float(np.abs(z).max())
        if scaled and peak > 0:
            h, z, log = h / peak, z / peak, log + math.log(peak)
        last = index == len(net.fans) - 1
        post = z if last else apply(phi.function, z)
        out = h + post if net.adds(index) else post
        if not np.abs(out).max() < LARGEST:
            raise TooLarge
        found.append(Block(h, z, post, out, log, wide))
        h, wide = out, wide and net.adds(index)
    return found
