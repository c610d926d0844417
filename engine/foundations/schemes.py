"""All init schemes side by side on one specification: their weights, and the signal they carry.

The weights are those of the first layer, in units of their intended std, so that every histogram
has the same axes; the signal is the std after each block, forward only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import ForwardStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.foundations.record import Record
from layerscope.engine.layers.initialization import INITS, Distribution, InitScheme
from layerscope.engine.statistics import Statistics, distinct_columns, statistics, units

__all__ = [
    "AXIS", "BINS", "HOLDS", "Atom", "BlockSignal", "SchemeEvent", "SchemeResult", "SchemesEnd",
    "SchemesStart", "WeightHistogram", "schemes", "schemes_cost",
]  # fmt: skip

AXIS = 4.0  # standard deviations to either side: beyond lies 1 of 16,000 normal weights
BINS = 40
FEW = 3  # different values up to which a weight is drawn as spikes, not as bars
HOLDS = 10.0
"""The signal holds when its std, from the first block to the last, changes by less than this, units
differ from each other, and so do samples."""
ALIKE = 1e-4
"""Samples that differ by less than this share of their length are one: nothing learns from them."""

Outcome = Literal["holds", "grows", "shrinks", "overflows", "dies", "copies", "alike"]


@dataclass(frozen=True, slots=True)
class Atom(Record):
    """One exact value that many weights have."""

    value: float
    share: float


@dataclass(frozen=True, slots=True)
class WeightHistogram(Record):
    """The first layer's weight over −4 to 4 units, and the intended density over it."""

    shape: tuple[int, int]
    unit: float
    """Weight that one unit stands for: the intended std times the init scale; the measured rms
    where none is intended; 1 where every weight is zero."""
    density: tuple[float, ...]
    """Per unit, of each of the `BINS` bars: all bars and what lies outside add up to 1, less the
    atoms."""
    below: int
    above: int
    """Weights outside the axis."""
    nonfinite: int
    atoms: tuple[Atom, ...]
    """Exact values that many weights share, with their shares."""
    curve_x: tuple[float, ...]
    curve: tuple[float, ...]
    """The intended density per unit; empty where all is atoms or no distribution is stated."""
    intended: str
    intended_std: float | None
    """With the init scale."""
    intended_atoms: tuple[Atom, ...]
    mean: float | None
    std: float | None


@dataclass(frozen=True, slots=True)
class BlockSignal(Record):
    """The activations after one block."""

    block: int
    std: float | None
    rms: float | None
    share_zero: float
    nonfinite: int


@dataclass(frozen=True, slots=True)
class SchemesStart(Record):
    """What is about to be drawn; the same for every scheme."""

    event: ClassVar[str] = "start"

    experiment: dict[str, Any]
    schemes: tuple[str, ...]
    axis: float
    bins: int
    holds: float


@dataclass(frozen=True, slots=True)
class SchemeResult(Record):
    """One scheme on the specification."""

    event: ClassVar[str] = "scheme"

    name: str
    index: int
    formula: str
    source: str
    help: str
    assumes: str
    gain: float | None
    """Intended std · √n_in · init scale: 1 keeps a linear signal, √2 one through ReLU."""
    weight: WeightHistogram
    signal: tuple[BlockSignal, ...]
    outcome: Outcome
    factor: float | None
    """By which the std changes from one block to the next, as a geometric mean."""
    until: int | None
    """The first block that is not finite, or all zero; None where there is none."""
    words: str


@dataclass(frozen=True, slots=True)
class SchemesEnd(Record):
    """Who holds."""

    event: ClassVar[str] = "end"

    holding: tuple[str, ...]


SchemeEvent = SchemesStart | SchemeResult | SchemesEnd


def schemes_cost(experiment: Experiment, names: Sequence[str] | None = None) -> Cost:
    """What the comparison costs: every scheme's operations, one scheme's memory.

    Both passes are counted although only the forward one is run.
    """
    costs = [cost(_with(experiment, name)) for name in names or INITS]
    return Cost(sum(c.flops for c in costs), max(c.bytes for c in costs))


def schemes(
    experiment: Experiment,
    names: Sequence[str] | None = None,
    *,
    should_stop: ShouldStop = never,
) -> Iterator[SchemeEvent]:
    """Every scheme on ``experiment``, whose own ``init`` does not matter.

    Args:
        names: of `layerscope.engine.layers.initialization.INITS`; all when None.

    Yields:
        `SchemesStart`, a `SchemeResult` for each scheme, `SchemesEnd`.

    Errors:
        ``ValueError`` for an unknown name; `Stopped` before the next layer once
        ``should_stop()`` is true.

    >>> [e.event for e in schemes(Experiment(depth=2, width=8), ["zeros", "normal"])]
    ['start', 'scheme', 'scheme', 'end']
    """
    chosen = list(INITS) if names is None else list(names)
    for name in chosen:
        if name not in INITS:
            raise ValueError(f"unknown init scheme {name!r}; expected one of: {', '.join(INITS)}")
    same = {k: v for k, v in experiment.to_dict().items() if k != "init"}
    yield SchemesStart(same, tuple(chosen), AXIS, BINS, HOLDS)
    holding: list[str] = []
    for index, name in enumerate(chosen):
        result = _result(_with(experiment, name), index, should_stop)
        if result.outcome == "holds":
            holding.append(name)
        yield result
    yield SchemesEnd(tuple(holding))


def _with(experiment: Experiment, name: str) -> Experiment:
    return experiment.model_copy(update={"init": name})


def _result(experiment: Experiment, index: int, should_stop: ShouldStop) -> SchemeResult:
    scheme: InitScheme = INITS[experiment.init]
    n_in, width = experiment.n_inputs, experiment.width
    expected = scheme.intended(n_in, width)
    weight: WeightHistogram | None = None
    signal: list[BlockSignal] = []
    last: Tensor | None = None
    for step in passes(Network(experiment), should_stop):
        if not isinstance(step, ForwardStep) or step.info.block > experiment.depth:
            break  # the loss and the backward pass are not asked for
        if weight is None:
            weight = _histogram(step.layer.parameters["weight"], expected, experiment.init_scale)
        if step.info.ends_block:
            signal.append(_signal(step.info.block, statistics(step.output)))
            last = step.output
    assert weight is not None and last is not None  # noqa: S101, PT018  there is a block
    outcome, factor, until, words = _judged(signal)
    if outcome == "holds":
        outcome, words = _told_apart(last, words)
    std = expected.std
    return SchemeResult(
        name=scheme.name,
        index=index,
        formula=scheme.formula,
        source=scheme.source,
        help=scheme.help,
        assumes=scheme.assumes,
        gain=None if std is None else std * math.sqrt(n_in) * experiment.init_scale,
        weight=weight,
        signal=tuple(signal),
        outcome=outcome,
        factor=factor,
        until=until,
        words=words,
    )


def _told_apart(last: Tensor, words: str) -> tuple[Outcome, str]:
    """Whether a signal of lasting size still says anything: units apart, and samples apart."""
    batch, width = last.shape
    if width > 1 and distinct_columns(last) == 1:
        return "copies", f"all {width} units are copies, though {words.removeprefix('holds: ')}"
    alike = units(last).sample_correlation if width > 1 else None
    if alike is not None and math.sqrt(max(0.0, 1 - alike)) < ALIKE:
        return "alike", f"all {batch} samples look the same, though {words.removeprefix('holds: ')}"
    return "holds", words


def _signal(block: int, s: Statistics) -> BlockSignal:
    return BlockSignal(block, s.std, s.rms, s.zeros / s.count, s.count - s.finite)


def _histogram(weight: Tensor, expected: Distribution, scale: float) -> WeightHistogram:
    measured = statistics(weight)
    w = weight.double().flatten()
    w = w[torch.isfinite(w)]
    intended_std = None if expected.std is None else expected.std * scale
    unit = intended_std or measured.rms or 1.0
    atoms, rest = _atoms(w)
    counts = torch.histc(rest / unit, BINS, -AXIS, AXIS)
    width = 2 * AXIS / BINS
    x, curve = _curve(expected, scale, unit, intended_std)
    return WeightHistogram(
        shape=(weight.shape[0], weight.shape[1]),
        unit=unit,
        density=tuple((counts / max(1, w.numel()) / width).tolist()),
        below=int((rest < -AXIS * unit).sum()),
        above=int((rest > AXIS * unit).sum()),
        nonfinite=weight.numel() - w.numel(),
        atoms=atoms,
        curve_x=x,
        curve=curve,
        intended=expected.text if scale == 1 else f"{scale:g} · ({expected.text})",
        intended_std=intended_std,
        intended_atoms=tuple(Atom(a.value * scale, a.share) for a in expected.atoms),
        mean=measured.mean,
        std=measured.std,
    )


def _atoms(w: Tensor) -> tuple[tuple[Atom, ...], Tensor]:
    """Spikes and what is no spike: exact zeros always are one, other values where there are few."""
    total = max(1, w.numel())
    values, counts = torch.unique(w, return_counts=True)
    if len(values) <= FEW:
        pairs = zip(values.tolist(), counts.tolist(), strict=True)
        return tuple(Atom(v + 0.0, c / total) for v, c in pairs), w[:0]
    zeros = int((w == 0).sum())
    return ((Atom(0.0, zeros / total),) if zeros else ()), w[w != 0]


def _curve(
    expected: Distribution, scale: float, unit: float, intended_std: float | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if expected.density is None or scale == 0:
        return (), ()
    x = torch.linspace(-AXIS, AXIS, 161, dtype=torch.float64)
    # Where the data sets the scale (LSUV), the shape is compared at the measured rms.
    one = unit / scale
    if intended_std is None:
        fine = torch.linspace(-1, 1, 20001, dtype=torch.float64)
        mass = expected.density(fine)
        one = math.sqrt(float((mass * fine**2).sum() / mass.sum()))
    return tuple(x.tolist()), tuple((expected.density(x * one) * one).tolist())


def _judged(signal: Sequence[BlockSignal]) -> tuple[Outcome, float | None, int | None, str]:
    # The spread where there is one; units that are all copies still carry a size.
    sizes = [s.std or s.rms for s in signal]
    broken = next((s.block for s in signal if s.nonfinite), None)
    dead = next((s.block for s, size in zip(signal, sizes, strict=True) if not size), None)
    alive = [size for s, size in zip(signal, sizes, strict=True) if size and not s.nonfinite]
    ratio = alive[-1] / alive[0] if alive else None
    factor = ratio ** (1 / (len(alive) - 1)) if ratio and len(alive) > 1 else None
    per = f", × {factor:.3g} a layer" if factor is not None else ""
    if broken is not None and (dead is None or broken < dead):
        return "overflows", factor, broken, f"overflows at layer {broken}{per}"
    if dead is not None:
        return "dies", factor, dead, f"exactly zero from layer {dead}{per}"
    assert ratio is not None  # noqa: S101  neither broken nor dead: every block has a size
    last = len(signal)
    change = f"std × {ratio:.3g} from layer 1 to {last}" if last > 1 else f"std {alive[0]:.3g}"
    if ratio >= HOLDS:
        return "grows", factor, None, f"{change}{per}"
    if ratio <= 1 / HOLDS:
        return "shrinks", factor, None, f"{change}{per}"
    return "holds", factor, None, f"holds: {change}"
