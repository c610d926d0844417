"""What theory predicts for one network, tensor by tensor: the dashed line over the measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

from engine.layers.activations import ACTIVATIONS
from engine.theory.backward import Gradient, GradientTrace, backward
from engine.theory.forecast import Forecast, Level, forecast, formats_up_to
from engine.theory.forward import (
    LOG_ZERO,
    Network,
    Norm,
    Signal,
    Trace,
    forward,
    given,
    log_of,
    mix,
)
from engine.theory.kernel import fixed_correlation
from engine.theory.losses import LOSS_THEORY, loss_gradient
from engine.theory.meanfield import TRAINABLE, Phase, depth_scale, fixed_point, phase_of
from engine.theory.moments import moment_table
from engine.theory.transport import Chain, Tensor, needed

__all__ = ["LayerPrediction", "Prediction", "Spread", "predict"]

NORMS: tuple[Norm, ...] = ("none", "layer", "batch", "rms")
FEWEST_UNITS = 8  # a norm over fewer units makes them too far from Gaussian
FEWEST_SAMPLES = 16  # likewise a norm over fewer samples
BAND = 1.96  # normal quantile: 95 of 100 seeds fall inside
ROUNDING = 1e-6  # least variance of ln of a second moment: a band of 0.1 %, never a line
MOST_SHIFT = 5.0
"""Bound on ln of the 1/width correction of a mean: beyond, no seed that will be seen shows it."""
LN10 = math.log(10.0)


class Spread(NamedTuple):
    """Prediction for one tensor; each number as log10 (``None``: exactly 0 or undefined).

    ``rms`` is the root of the mean over seeds of the second moment, ``std`` the same about the
    tensor's own mean; 95 of 100 seeds have their std between ``low`` and ``high``. Fluctuations are
    log-normal, so that the band's middle, the typical seed, lies below the mean.
    """

    mean_share: float
    rms: float | None
    std: float | None
    low: float | None
    high: float | None
    typical: float | None

    def to_dict(self) -> dict[str, float | None]:
        """The numbers, ``None`` where beyond float64, and their log10, which never is."""
        rms = _number(self.rms)
        out = {"mean": None if rms is None else self.mean_share * rms, "rms": rms}
        for name, value in (("std", self.std), ("low", self.low), ("high", self.high)):
            out[name] = _number(value, missing=self.rms is None)
        out |= {
            "log10_rms": self.rms, "log10_std": self.std, "log10_low": self.low,
            "log10_high": self.high,
        }  # fmt: skip
        return out


class LayerPrediction(NamedTuple):
    """One layer of the network; ``chi`` of a linear layer is the factor by which the second moment
    of the gradient changes over its whole block, going back."""

    index: int
    name: str
    kind: str
    block: int
    units: int
    activation: Spread
    gradient: Spread | None
    weight_gradient: float | None
    chi: float | None

    def to_dict(self) -> dict[str, object]:
        """JSON-able."""
        weight = None
        if self.kind == "linear" and self.gradient is not None:
            weight = {
                "rms": _number(self.weight_gradient),
                "log10_rms": self.weight_gradient,
            }
        return {
            "index": self.index, "name": self.name, "kind": self.kind, "block": self.block,
            "units": self.units, "activation": self.activation.to_dict(),
            "gradient": self.gradient.to_dict() if self.gradient else None,
            "weight_gradient": weight, "chi": self.chi,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prediction:
    """Everything theory says of one specification, or why it says nothing.

    ``q_kind`` tells what ``q_star`` is (see `FixedPoint`); with a norm the lengths are those behind
    it. Scales and phases are ``None`` where the notion does not apply.
    """

    available: bool
    reason: str | None = None
    gradient_reason: str | None = None
    notes: tuple[str, ...] = ()
    sigma_w2: float | None = None
    sigma_b2: float | None = None
    chi1: float | None = None
    q_star: float | None = None
    q_kind: str | None = None
    c_star: float | None = None
    xi_q: float | None = None
    xi_c: float | None = None
    trainable_depth: float | None = None
    phase: Phase | None = None
    layers: tuple[LayerPrediction, ...] = ()
    forecast: tuple[Forecast, ...] = field(default=())

    def to_dict(self) -> dict[str, object]:
        """JSON-able; no NaN and no infinity anywhere."""
        plain = (
            "available", "reason", "gradient_reason", "sigma_w2", "sigma_b2", "chi1", "q_star",
            "q_kind", "c_star", "xi_q", "xi_c", "trainable_depth", "phase",
        )  # fmt: skip
        out: dict[str, object] = {name: getattr(self, name) for name in plain}
        out["notes"] = list(self.notes)
        out["layers"] = [layer.to_dict() for layer in self.layers]
        out["forecast"] = [f.to_dict() for f in self.forecast]
        return out


def _number(log10: float | None, *, missing: bool = True) -> float | None:
    """10^log10: 0 where it underflows or is exactly 0, ``None`` where float64 cannot hold it."""
    if log10 is None:
        return 0.0 if missing else None
    return None if log10 > 300 else 10.0**log10


def _spread(
    log_second: float,
    mean: float,
    cross: float,
    shift: float,
    variance: float,
    n: int,
    batch: int,
    drop: float | None = None,
    centred: bool = False,
) -> Spread:
    """Numbers of a tensor of ``batch`` samples and ``n`` independent units.

    The tensor's own mean is random: its expected square is the mean's, plus what n units and the
    correlated samples leave of the variance. Taken off, and corrected for N − 1, that is the std.
    ``drop``: by how much the mean of ln lies below ln of the mean, half the variance unless given.
    ``centred``: a norm has taken the mean off.
    """
    drop = 0.5 * variance if drop is None else drop
    if log_second < LOG_ZERO / 2:
        return Spread(0.0, None, None, None, None, None)
    entries = n * batch
    log_rms = 0.5 * (log_second + shift)
    own_mean = mean * mean + mix(1 - mean * mean, cross - mean * mean, batch) / n
    central = 1.0 if centred else max(0.0, 1 - own_mean)
    variance = max(variance, ROUNDING)
    rms = log_rms / LN10
    typical = rms - 0.5 * drop / LN10
    if entries < 2 or central <= 0:
        return Spread(mean, rms, None, None, None, typical)
    std = rms + 0.5 * math.log10(central * entries / (entries - 1))
    middle, half = std - 0.5 * drop / LN10, 0.5 * BAND * math.sqrt(variance) / LN10
    return Spread(mean, rms, std, middle - half, middle + half, typical)


def _of_signal(
    s: Signal, n: int, batch: int, measured: float, law: Tensor | None, centred: bool
) -> Spread:
    """``measured``: relative variance of a mean over n units given their law; samples share it."""
    redrawn = measured / n * mix(1.0, s.overlap(), batch)
    own, shift, mean, drop = s.own, _bounded(s.shift), s.mean, None
    shared = s.shared
    if law is not None:
        own, shift = law.variance, law.log_mean - s.log_second
        shared *= own / s.own if s.own > 0 else 0.0
        mean = math.copysign(math.sqrt(max(0.0, 1 - law.central)), mean) if mean else 0.0
    variance = mix(own, shared, batch) + redrawn
    if law is not None:
        drop = law.log_mean - law.mean_log + 0.5 * (variance - own)
    return _spread(s.log_second, mean, s.cross, shift, variance, n, batch, drop)


def _of_gradient(g: Gradient, at: Signal, n: int, batch: int, law: Tensor | None) -> Spread:
    if law is None:
        shift, variance = g.of_tensor(at, batch)
        return _spread(g.log_second, 0.0, g.cross, _bounded(shift), variance, n, batch)
    rest = mix(g.own, g.shared, batch)
    share = mix(1.0, at.shared / at.own if at.own > 0 else 0.0, batch)
    variance = share * law.variance + rest
    drop = max(0.0, law.log_mean - law.mean_log) + 0.5 * rest
    shift = law.log_mean - g.log_second
    return _spread(g.log_second, 0.0, g.cross, shift, variance, n, batch, drop)


def _bounded(shift: float) -> float:
    return max(-MOST_SHIFT, min(MOST_SHIFT, shift))


def predict(
    activation: str,
    *,
    depth: int,
    width: int,
    inputs: int,
    outputs: int,
    batch: int,
    variance: Callable[[int, int], float | None],
    init_scale: float = 1.0,
    bias_std: float = 0.0,
    norm: str = "none",
    residual: bool = False,
    input_second_moment: float = 1.0,
    input_norm_variance: float | None = None,
    input_correlation: float = 0.0,
    dtype: str = "float32",
    loss: str = "mse",
    target_second_moment: float = 1.0,
    gaussian_weights: bool = True,
    orthogonal: bool = False,
    norm_eps: float = 1e-5,
) -> Prediction:
    """Predict every tensor of a network of blocks linear, [norm], [activation], [+ block's input].

    The layers and their order are the network's own; ``linear`` as activation adds no layer, a
    residual sum stands only where the block's input has its width, and a last linear layer follows.

    Args:
        activation: registered name.
        depth, width, inputs, outputs, batch: sizes; ``depth`` counts hidden blocks.
        variance: variance of a weight's entry by (n_in, n_out), or ``None`` for a scheme whose
            entries are not independent draws around 0 (identity, constant).
        init_scale: factor on every weight. bias_std: standard deviation of Gaussian biases.
        norm: ``none``, ``layer``, ``batch`` or ``rms``, with ``norm_eps`` added to the variance.
        input_second_moment: mean of x² over the data; ``input_norm_variance``: relative variance of a
            sample's mean x², 2/inputs (Gaussian data) unless given; ``input_correlation``: of two samples.
        dtype: for the forecast. loss: registered name. target_second_moment: of the targets.
        gaussian_weights: whether entries are Gaussian; ``orthogonal``: whether columns or rows are
            orthonormal, which takes most of the fluctuation away.

    Returns:
        A `Prediction`; ``available`` is false with a ``reason`` where there is no theory.

    Errors:
        ``ValueError`` naming a size, dtype, norm or variance out of bounds; ``KeyError`` for an
        unknown activation.

    Example:
        >>> kaiming = lambda n_in, n_out: 2 / n_in
        >>> p = predict("relu", depth=3, width=100, inputs=100, outputs=1, batch=8, variance=kaiming)
        >>> [(x.name, round(x.to_dict()["activation"]["rms"], 6)) for x in p.layers[:2]]
        [('linear1', 1.414214), ('relu1', 1.0)]
    """
    _check(locals(), ("depth", "width", "inputs", "outputs", "batch"))
    for name, value in (("init_scale", init_scale), ("bias_std", bias_std)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and ≥ 0, got {value!r}")
    if norm not in NORMS:
        raise ValueError(f"unknown norm {norm!r}; expected one of: {', '.join(NORMS)}")
    formats_up_to(dtype)
    ACTIVATIONS[activation]
    fans = [(inputs, width), *[(width, width)] * (depth - 1), (width, outputs)]
    drawn = {fan: variance(*fan) for fan in set(fans)}
    reason = _refusal(drawn, norm, width, batch)
    if reason is not None:
        return Prediction(available=False, reason=reason)
    log_w = {f: log_of(f[0] * init_scale**2 * cast(float, v)) for f, v in drawn.items()}
    net = Network(
        table=moment_table(activation),
        fans=fans,
        log_sigma_w2=[log_w[fan] for fan in fans],
        log_sigma_b2=log_of(bias_std**2),
        batch=batch,
        norm=cast(Norm, norm),
        norm_eps=norm_eps,
        residual=residual,
        activated=activation != "linear",
        orthogonal=orthogonal,
        log_input=log_of(input_second_moment),
        input_norm_variance=2 / inputs if input_norm_variance is None else input_norm_variance,
        input_correlation=input_correlation,
    )
    traces = forward(net)
    gradients: list[GradientTrace] | None = None
    gradient_reason = _gradient_refusal(loss, norm)
    if gradient_reason is None:
        out = traces[-1].pre
        send = loss_gradient(
            loss, out.log_second, out.cross, target=target_second_moment, batch=batch,
            outputs=outputs,
        )  # fmt: skip
        gradients = backward(net, traces, send)
    laws = _laws(net, traces, loss if gradients else None, target_second_moment)
    layers = tuple(_layers(activation, net, traces, gradients, laws))
    return Prediction(
        available=True,
        gradient_reason=gradient_reason,
        notes=_notes(net, traces, gaussian_weights),
        sigma_b2=bias_std**2,
        layers=layers,
        forecast=_forecasts(layers, net, dtype),
        **_asymptotics(activation, net, traces),  # type: ignore[arg-type]
    )


def _check(given: dict[str, object], sizes: tuple[str, ...]) -> None:
    for name in sizes:
        value = given[name]
        if not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{name} must be a whole number ≥ 1, got {value!r}")


def _refusal(
    drawn: dict[tuple[int, int], float | None], norm: str, width: int, batch: int
) -> str | None:
    """Why there is no theory for this setting, or ``None``."""
    for fan, value in drawn.items():
        if value is None:
            return (
                "no theory for this setting: the init scheme does not draw independent entries "
                "around 0 with a variance known beforehand"
            )
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"variance{fan} must be finite and ≥ 0, got {value!r}")
    if norm in ("layer", "rms") and width < FEWEST_UNITS:
        return f"no theory for this setting: a {norm} norm over fewer than {FEWEST_UNITS} units"
    if norm == "batch" and batch < FEWEST_SAMPLES:
        return f"no theory for this setting: batch norm over fewer than {FEWEST_SAMPLES} samples"
    return None


def _gradient_refusal(loss: str, norm: str) -> str | None:
    if loss not in LOSS_THEORY:
        return f"no theory for this setting: the gradient of the loss {loss!r}"
    if norm == "batch":
        return (
            "no theory for this setting: batch norm couples the samples' gradients, which explode "
            "by a factor that depends on how their correlations evolve (Yang et al. 2019)"
        )
    return None


def _notes(net: Network, traces: list[Trace], gaussian: bool) -> tuple[str, ...]:
    notes = []
    if not gaussian and not net.orthogonal:
        notes.append("weights are not Gaussian: exact in their second moment, 1/width beyond it")
    if net.norm == "batch":
        notes.append("batch norm: a large batch of samples that stay uncorrelated is assumed")
    if net.residual:
        notes.append("residual: leading order in 1/width; the band holds the forward fluctuations")
    if max(t.pre.own for t in traces) > 1:
        notes.append(
            "depth is large against width: the mean is carried by rare seeds, and most lie near "
            "the middle of the band"
        )
    return tuple(notes)


def _asymptotics(activation: str, net: Network, traces: list[Trace]) -> dict[str, object]:
    """Fixed point and scales of a hidden layer repeated for ever."""
    index = min(1, len(traces) - 2)
    last = traces[-2]
    log_w = net.log_sigma_w2[index]
    sigma_w2 = math.exp(log_w) if log_w < 690 else None
    out: dict[str, object] = {"sigma_w2": sigma_w2}
    step = log_w + last.moments.log_slope2 - last.log_scale  # of the branch alone
    if net.norm == "batch":
        return out | {"q_star": 1.0, "q_kind": "finite"}
    if net.residual:
        return out | {"chi1": 1 + math.exp(min(690.0, step))}
    if net.norm != "none":
        chi1 = math.exp(min(690.0, step))
        c_star, chi_c = fixed_correlation(last.kernel, last.share)
        xi_c = depth_scale(chi_c)
        return out | {
            "chi1": chi1, "q_star": 1.0, "q_kind": "finite", "c_star": c_star, "xi_c": xi_c,
            "xi_q": 0.0, "trainable_depth": None if xi_c is None else TRAINABLE * xi_c,
            "phase": phase_of(chi1),
        }  # fmt: skip
    if sigma_w2 is None:
        return out
    start = math.exp(max(-690.0, min(690.0, traces[0].pre.log_second)))
    point = fixed_point(activation, sigma_w2, math.exp(net.log_sigma_b2), start=start)
    names = ("chi1", "q_star", "c_star", "xi_q", "xi_c", "trainable_depth", "phase")
    return out | {n: getattr(point, n) for n in names} | {"q_kind": point.kind}


class _Law(NamedTuple):
    """What the chain of lengths says of one block; ``None`` where perturbation is good enough."""

    pre: Tensor | None = None
    post: Tensor | None = None
    gradient: Tensor | None = None
    post_gradient: Tensor | None = None


def _laws(net: Network, traces: list[Trace], loss: str | None, target: float) -> list[_Law]:
    if not needed(net, traces):
        return [_Law()] * len(traces)
    chain = Chain(net, traces)
    nothing: list[tuple[Tensor | None, Tensor | None]] = [(None, None)] * len(traces)
    back = nothing if loss is None else chain.gradients(loss, target)
    return [_Law(*s, *g) for s, g in zip(chain.signals(), back, strict=True)]


def _layers(
    activation: str,
    net: Network,
    traces: list[Trace],
    gradients: list[GradientTrace] | None,
    laws: list[_Law],
) -> Iterator[LayerPrediction]:
    """One prediction per layer, in the network's order."""
    index, batch = 0, net.batch
    x = given(net)
    for position, t in enumerate(traces):
        block, n, law = position + 1, t.n, laws[position]
        g = gradients[position] if gradients else None
        k = 2 - 2 * t.isometry if t.normed is None else 2.0
        m = t.moments  # the chain's law is that of the length: the units' own noise comes on top
        fresh = max(0.0, m.kurtosis - 1 - 2 * m.growth**2 * t.isometry) if law.post else 0.0
        kinds = [
            ("linear", t.pre, g.pre if g else None, k, law.pre, law.gradient),
            (f"{net.norm}_norm", t.normed, g.normed if g else None, 0.0, None, None),
            (activation, t.post, g.post if g else None, fresh, law.post, law.post_gradient),
            ("add", t.added, g.added if g else None, 0.0, None, None),
        ]
        for kind, signal, gradient, measured, ahead, back in kinds:
            if signal is None:
                continue
            yield LayerPrediction(
                index=index,
                name=f"{kind}{block}",
                kind=kind,
                block=block,
                units=n,
                activation=_of_signal(
                    signal, n, batch, measured, ahead, kind in ("layer_norm", "batch_norm")
                ),
                gradient=None if gradient is None else _of_gradient(gradient, signal, n, batch, back),
                weight_gradient=None
                if kind != "linear" or gradient is None
                else _weight_gradient(net, x, t.share, gradient),
                chi=_chi(gradients, position) if kind == "linear" else None,
            )
            index += 1
        x = t.after()


def _chi(gradients: list[GradientTrace] | None, position: int) -> float | None:
    """Ratio of the gradient's second moment at this block's linear layer to that at the next."""
    if gradients is None or position + 1 >= len(gradients):
        return None
    step = gradients[position].pre.log_second - gradients[position + 1].pre.log_second
    return math.exp(step) if -690 < step < 690 else None


def _weight_gradient(net: Network, x: Signal, share: float, g: Gradient) -> float | None:
    """log10 rms of xᵀg: Σ_αβ E[x_α·x_β g_α·g_β] over the batch, to leading order in depth/width.

    The two correlations move together over draws of the weights, g's following x's; so do the
    lengths, by the gradient's response.
    """
    batch = net.batch
    together = x.cross * g.cross + share * g.drift * x.wobble
    pairs = batch * max(0.0, 1 + (batch - 1) * together)
    length = max(0.0, min(1.0, share * g.response * mix(x.own, x.shared, batch)))
    log_second = x.log_second + g.log_second + log_of(pairs) + length
    return None if log_second < LOG_ZERO / 2 else 0.5 * log_second / LN10


def _forecasts(
    layers: tuple[LayerPrediction, ...], net: Network, dtype: str
) -> tuple[Forecast, ...]:
    hidden = [x for x in layers if x.kind == "linear"][:-1]
    depth = len(hidden)

    def levels(which: Literal["activation", "gradient"]) -> list[Level]:
        found = []
        for layer in layers:
            spread: Spread | None = getattr(layer, which)
            if spread is not None:
                entries = net.batch * layer.units
                found.append(Level(layer.index, layer.block, spread.typical, entries))
        return found

    def slope(which: Literal["activation", "gradient"], pair: list[LayerPrediction]) -> float:
        if len(pair) < 2:
            return 0.0
        a, b = (getattr(x, which).typical for x in pair)
        return 0.0 if a is None or b is None else float(b - a)

    out = forecast(
        [x for x in levels("activation") if x.block <= depth] or levels("activation"),
        direction="forward", dtype=dtype, depth=depth, slope=slope("activation", hidden[-2:]),
    )  # fmt: skip
    if layers[-1].gradient is not None:
        out += forecast(
            levels("gradient")[::-1], direction="backward", dtype=dtype, depth=depth,
            slope=slope("gradient", hidden[1::-1]),
        )  # fmt: skip
    return tuple(out)
