"""What theory predicts for one network, tensor by tensor: the dashed line over the measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from layerscope.engine.layers import ACTIVATIONS, Activation, Add, Linear, chosen_norm
from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.layers.losses.theory import LossTheory
from layerscope.engine.layers.normalization import Normalization
from layerscope.engine.theory.asymptotics import asymptotics
from layerscope.engine.theory.backward import Gradient, GradientTrace, backward
from layerscope.engine.theory.forecast import formats_up_to
from layerscope.engine.theory.forward import CENTRED, MOST_UNEVEN, forward, given
from layerscope.engine.theory.losses import Targets, loss_gradient
from layerscope.engine.theory.moments import MomentsUndefined
from layerscope.engine.theory.network import check_scale, network
from layerscope.engine.theory.record import (
    LayerPrediction,
    Prediction,
    forecasts,
    without_band,
)
from layerscope.engine.theory.spread import LN10, UNSTABLE, of_gradient, of_signal
from layerscope.engine.theory.state import (
    LOG_ZERO,
    MeanFieldNetwork,
    SignalMoments,
    Trace,
    log_of,
    log_of_square,
    mix,
)
from layerscope.engine.theory.transport import LengthChain, LengthLaw, needed

__all__ = ["predict"]

SECOND_ORDER = 0.5
"""Over the width: by as much may be off what hardly fluctuates, under batch norm and LSUV."""
MOST_ALIKE = 0.12
"""Over the number of directions that a batch spans: beyond, a unit's values are too few apart."""
MOST_REDRAWN = 0.5
"""Relative variance of what LSUV has scaled a layer by, given its input: with one output it is that
of one over a std of so few numbers, of which there is hardly a mean."""
REDRAWN = "LSUV divides the output by a std over so few numbers that gradients have no mean"
MOST_SHIFTED = 0.3
"""Of an activation's second moment, that samples' unequal lengths add to it where they grow apart:
beyond, its std is what the longest make it."""
UNEVEN = "samples' lengths grow apart, and LSUV holds only what they have together"
ALIKE = "batch norm of samples that span few directions, in which no unit is Gaussian"
MANY = "how far many outputs align the gradient with a residual stream is not derived"
TOGETHER = (
    "no weight gradients: targets go with their inputs, and how the correlations of samples and of "
    "what is sent back for them change together through the layers is not derived"
)
SCALED = (
    "no weight gradients: an activation with a mean makes samples alike, and how LSUV's scale, "
    "which goes by what sets them apart, moves with that is not derived"
)
FEWEST_OPEN = 4
"""Units of a layer, as many as E[φ'⁴]/E[φ'²]² leaves of them, that pass a gradient on: with fewer
its size is no longer its mean with some spread; with less than one not near its mean either."""
SATURATED = "so few units are not saturated that the gradient hangs on which they are"
LEAST_APART = 0.3
"""Part of a pre-activation's second moment about its mean: below, LSUV scales by what two samples'
correlation leaves of 1, whose relative error is several times that correlation's."""


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
    output_scale: float = 1.0,
    weight_gains: Sequence[float] | None = None,
    bias_std: float = 0.0,
    bias_variance: Callable[[int], float] | None = None,
    norm: str = "none",
    norm_gain: float = 1.0,
    residual: bool = False,
    input_second_moment: float = 1.0,
    input_norm_variance: float | None = None,
    input_correlation: float = 0.0,
    input_wobble: float | None = None,
    input_centred: tuple[float, float] | None = None,
    input_lean: float = 0.0,
    dtype: str = "float32",
    loss: str = "mse",
    reduction: str = "mean",
    backward_scale: float = 1.0,
    target_second_moment: float = 1.0,
    target_mean: float = 0.0,
    target_correlation: float = 0.0,
    target_atoms: tuple[tuple[float, float], ...] = (),
    gaussian_weights: bool = True,
    orthogonal: bool = False,
    calibrated: float | None = None,
) -> Prediction:
    """Predict every tensor of a network of blocks linear, [norm], [activation], [+ block's input].

    The layers and their order are the network's own; ``linear`` as activation adds no layer, a
    residual sum stands only where the block's input has its width, and a last linear layer follows.

    Args:
        activation: registered name.
        depth, width, inputs, outputs, batch: sizes; ``depth`` counts hidden blocks.
        variance: variance of a weight's entry by (n_in, n_out), or ``None`` for a scheme whose
            entries are not independent draws around 0 (identity, constant).
        init_scale: factor on every weight; ``output_scale``: another on the last;
            ``weight_gains``: one for each linear layer, the last one's at the end. bias_std:
            standard deviation of Gaussian biases; ``bias_variance``: in its place the variance of a
            layer's biases by n_in.
        norm: ``none`` or the option of a registered norm; ``norm_gain``: γ of all of them.
        input_second_moment: mean of x² over the data; ``input_norm_variance``: relative variance of
            a sample's mean x², 2/inputs (Gaussian data) unless given; ``input_correlation``: of two
            samples; ``input_wobble``: its variance over pairs, 1/inputs unless given;
            ``input_centred``: both variances once the mean of all samples is taken off;
            ``input_lean``: its covariance with the correlation of their targets.
        dtype: for the forecast. loss: registered name; ``reduction``: ``mean`` or ``sum``;
            ``backward_scale``: what its gradient is multiplied with.
        target_second_moment: of the targets; ``target_mean``: theirs; ``target_correlation``: of
            two samples'; ``target_atoms``: values and how often each comes, if not Gaussian.
        gaussian_weights: whether entries are Gaussian; ``orthogonal``: whether columns or rows are
            orthonormal, which takes most of the fluctuation away. ``calibrated``: the std to which
            each weight was scaled to bring this batch (LSUV), before the scales and gains;
            ``variance`` is then that of weights that nothing went into.

    Returns:
        A `Prediction`; ``available`` is false with a ``reason`` where there is no theory.

    Errors:
        ``ValueError`` naming a size, dtype or variance out of bounds; ``KeyError`` for an
        unknown activation or norm.

    Example:
        >>> sizes = dict(depth=3, width=100, inputs=100, outputs=1, batch=8)
        >>> p = predict("relu", **sizes, variance=lambda n_in, n_out: 2 / n_in)
        >>> [(x.name, round(x.to_dict()["activation"]["rms"], 6)) for x in p.layers[:2]]
        [('linear1', 1.414214), ('relu1', 1.0)]
    """
    for name, value in {"bias_std": bias_std, "backward_scale": backward_scale}.items():
        check_scale(name, value)
    formats_up_to(dtype)
    phi, normalization = ACTIVATIONS[activation], chosen_norm(norm)
    biases = bias_variance or (lambda n_in: bias_std**2)
    net = network(
        activation, depth=depth, width=width, inputs=inputs, outputs=outputs, batch=batch,
        variance=variance, init_scale=init_scale, output_scale=output_scale,
        weight_gains=weight_gains, biases=biases, norm=norm, norm_gain=norm_gain,
        residual=residual, orthogonal=orthogonal, calibrated=calibrated,
    )  # fmt: skip
    if isinstance(net, str):
        return Prediction(available=False, reason=net)
    net = net._replace(
        log_input=log_of(input_second_moment),
        input_norm_variance=2 / inputs if input_norm_variance is None else input_norm_variance,
        input_correlation=input_correlation,
        input_wobble=1 / inputs if input_wobble is None else input_wobble,
        input_lean=input_lean,
        input_centred=input_centred,
        log_gain=_log_gain(loss, reduction, batch, outputs) + log_of_square(backward_scale),
    )
    law = LOSSES[loss].theory if loss in LOSSES else None
    targets = Targets(target_second_moment, target_mean, target_correlation, target_atoms)
    try:
        traces = forward(net)
        if any(_uneven(net, t) and t.post and t.post.shift > MOST_SHIFTED for t in traces):
            return Prediction(available=False, reason=f"no theory for this setting: {UNEVEN}")
        gradient_reason = _gradient_refusal(loss, law, net, traces)
        gradients: list[GradientTrace] | None = None
        if law is not None and gradient_reason is None:
            out = traces[-1].pre
            send = loss_gradient(
                law, out.log_second, out.cross, targets=targets, batch=batch, outputs=outputs,
                wobble=out.wobble, lean=out.lean,
            )  # fmt: skip
            send = send._replace(log_second=send.log_second + net.log_gain)
            gradients = backward(net, traces, send)
        laws = _laws(net, traces, law if gradients else None, targets)
        kinds = (Linear, normalization, phi, Add)
        layers = tuple(_layers(kinds, net, traces, gradients, laws))
        limits = asymptotics(activation, net, traces)
    except MomentsUndefined as error:
        return Prediction(available=False, reason=f"no theory for this setting: {error}")
    return Prediction(
        available=True,
        gradient_reason=gradient_reason,
        notes=_notes(net, traces, layers, gaussian_weights),
        sigma_b2=biases(width),
        layers=layers,
        forecast=forecasts(layers, batch, dtype),
        **limits,  # type: ignore[arg-type]
    )


def _log_gain(loss: str, reduction: str, batch: int, outputs: int) -> float:
    if reduction == "mean" or loss not in LOSSES:
        return 0.0
    return 2 * math.log(LOSSES[loss].terms(batch, outputs))


def _gradient_refusal(
    loss: str, law: LossTheory | None, net: MeanFieldNetwork, traces: list[Trace]
) -> str | None:
    if law is None:
        return f"no theory for this setting: the gradient of the loss {loss!r}"
    if _uneven(net, traces[-1]):
        return f"no theory for this setting: {UNEVEN}"
    if any(t.weighed.apart < LEAST_APART for t in traces):
        return (
            "no theory for this setting: LSUV scales weights by how far samples differ, and these "
            "have come to look alike"
        )
    if any(t.weighed.redrawn > MOST_REDRAWN for t in traces):
        return f"no theory for this setting: {REDRAWN}"
    if any(_open(t) < 1 for t in traces[:-1]):
        return f"no theory for this setting: {SATURATED}"
    if net.norm is not None and net.norm.over == "batch":
        return (
            "no theory for this setting: batch norm couples the samples' gradients, which explode "
            "by a factor that depends on how their correlations evolve (Yang et al. 2019)"
        )
    biased = any(t.added and abs(t.moments.mean) > CENTRED for t in traces)
    if biased and net.norm is None and traces[-1].n > 1:
        return (
            "no theory for this setting: an activation with a mean gives the residual stream a "
            "direction, and how far several outputs align the gradient with it is not derived"
        )
    return None


def _notes(
    net: MeanFieldNetwork,
    traces: list[Trace],
    layers: Sequence[LayerPrediction],
    gaussian: bool,
) -> tuple[str, ...]:
    notes = [*without_band(layers, "activation"), *without_band(layers, "gradient")]
    if layers[-1].gradient is not None and (why := _no_weight_gradients(net, traces)):
        notes.append(why)
    if not gaussian and not net.orthogonal:
        notes.append("weights are not Gaussian: exact in their second moment, 1/width beyond it")
    if net.norm is not None and net.norm.over == "batch":
        notes.append("batch norm: a large batch of samples that stay uncorrelated is assumed")
    if net.residual:
        notes.append("residual: leading order in 1/width; the band holds the forward fluctuations")
    if net.log_calibrated is None and max(t.pre.own for t in traces) > 1:
        notes.append(
            "depth is large against width: the mean is carried by rare seeds, and most lie near "
            "the middle of the band"
        )
    return tuple(notes)


class _Law(NamedTuple):
    """What the chain of lengths says of one block; ``None`` where perturbation is good enough."""

    pre: LengthLaw | None = None
    post: LengthLaw | None = None
    gradient: LengthLaw | None = None
    post_gradient: LengthLaw | None = None
    unknown: bool = False
    """Whether neither is: lengths differ too much between seeds."""


def _laws(
    net: MeanFieldNetwork, traces: list[Trace], loss: LossTheory | None, targets: Targets
) -> list[_Law]:
    if not needed(net, traces):
        return [_Law()] * len(traces)
    chain = LengthChain(net, traces)
    if not chain.reaches:
        return [_Law(unknown=True)] * len(traces)
    nothing: list[tuple[LengthLaw | None, LengthLaw | None]] = [(None, None)] * len(traces)
    back = nothing if loss is None else chain.gradients(loss, targets) or nothing
    return [_Law(*s, *g) for s, g in zip(chain.signals(), back, strict=True)]


def _layers(
    kinds: tuple[type[Linear], type[Normalization] | None, type[Activation], type[Add]],
    net: MeanFieldNetwork,
    traces: list[Trace],
    gradients: list[GradientTrace] | None,
    laws: list[_Law],
) -> Iterator[LayerPrediction]:
    """One prediction per layer, in the network's order."""
    index, batch = 0, net.batch
    x = given(net)
    of_batch = net.norm is not None and net.norm.over == "batch"
    scaled = net.log_calibrated is not None
    unknown = (SECOND_ORDER / traces[0].n) ** 2 if of_batch or scaled else 0.0
    untold = _no_weight_gradients(net, traces)
    shut = _last_shut(traces)
    for position, t in enumerate(traces):
        block, n, law = position + 1, t.n, laws[position]
        g = gradients[position] if gradients else None
        why = UNSTABLE if law.unknown else UNEVEN if _uneven(net, t) else None
        if of_batch and t.normed and mix(1.0, t.normed.overlap(), batch) > MOST_ALIKE:
            why = ALIKE
        k = (2.0, 2 * t.pre.overlap())
        if t.normed is None:
            k = 2 - 2 * t.weighed.isometry, 2 * (t.pre.overlap() - t.weighed.alike)
        m = t.moments  # the chain's law is that of the length: the units' own noise comes on top
        fresh = 0.0
        if law.post:
            rate = m.variance_growth
            fresh = max(0.0, m.variance_kurtosis - 1 - 2 * rate**2 * t.weighed.isometry)
        centred = net.norm is not None and net.norm.centred
        loose = 0.0 if centred else 2 / n  # the mean that a norm keeps takes some of the std
        rows = [
            (t.pre, g.pre if g else None, k, law.pre, law.gradient),
            (t.normed, g.normed if g else None, _units(t.normed, loose), None, None),
            (t.post, g.post if g else None, _units(t.post, fresh), law.post, law.post_gradient),
            (t.added, g.added if g else None, (0.0, 0.0), None, None),
        ]
        for layer, (signal, gradient, measured, onward, back) in zip(kinds, rows, strict=True):
            if signal is None or layer is None:
                continue
            linear = layer.role == "linear_map"
            off = unknown + (_curved(t, batch) if signal is t.post and scaled else 0.0)
            ahead = of_signal(signal, n, batch, measured, onward, off)
            behind = of_gradient(gradient, signal, n, batch, back) if gradient else None
            if behind and net.residual and net.norm is None and traces[-1].n > 1:
                behind = behind.without_band(MANY)
            if behind and position <= shut:
                behind = behind.without_band(SATURATED)
            if why is not None:
                ahead, behind = ahead.without_band(why), behind and behind.without_band(why)
            yield LayerPrediction(
                index=index,
                name=f"{layer.name}{block}",
                kind=layer.name,
                role=layer.role,
                block=block,
                units=n,
                activation=ahead,
                gradient=behind,
                weight_gradient=None
                if not linear or gradient is None or untold
                else _weight_gradient(net, x, t.weighed.share, gradient),
                chi=_chi(gradients, position) if linear else None,
            )
            index += 1
        x = t.after()


def _open(t: Trace) -> float:
    """So many of its units would pass a gradient on if each were either open or shut."""
    return t.n / t.moments.slope_kurtosis


def _last_shut(traces: list[Trace]) -> int:
    """The last hidden block with so few open units that there is no band for what comes through
    it; −1 where none is."""
    few = (i for i, t in enumerate(traces[:-1]) if _open(t) < FEWEST_OPEN)
    return max(few, default=-1)


def _no_weight_gradients(net: MeanFieldNetwork, traces: list[Trace]) -> str | None:
    if net.input_lean:
        return TOGETHER
    shifted = any(abs(t.moments.mean) > CENTRED for t in traces)
    return SCALED if net.log_calibrated is not None and shifted else None


def _uneven(net: MeanFieldNetwork, t: Trace) -> bool:
    return net.log_calibrated is not None and t.pre.own >= MOST_UNEVEN


def _curved(t: Trace, batch: int) -> float:
    """Relative variance of E[φ²] over a batch whose lengths differ, their mean alone being given:
    by how much they do is known as from so many samples."""
    m = t.moments
    bend = m.curvature + m.growth * m.growth - m.growth
    return (0.5 * bend * t.pre.own) ** 2 * 2 / batch


def _units(signal: SignalMoments | None, measured: float) -> tuple[float, float]:
    """Of one sample and of two, by their overlap."""
    return (measured, measured * signal.overlap()) if signal else (0.0, 0.0)


def _chi(gradients: list[GradientTrace] | None, position: int) -> float | None:
    """Ratio of the gradient's second moment at this block's linear layer to that at the next."""
    if gradients is None or position + 1 >= len(gradients):
        return None
    step = gradients[position].pre.log_second - gradients[position + 1].pre.log_second
    return math.exp(step) if -690 < step < 690 else None


def _weight_gradient(net: MeanFieldNetwork, x: SignalMoments, share: float, g: Gradient) -> float:
    """log10 rms of xᵀg: Σ_αβ E[x_α·x_β g_α·g_β] over the batch, to leading order in depth/width.

    The two correlations move together over draws of the weights, g's following x's; so do the
    lengths, by the gradient's response.
    """
    batch = net.batch
    together = x.cross * g.cross + share * g.drift * x.wobble + g.agreed * x.lean
    pairs = batch * max(0.0, 1 + (batch - 1) * together)
    response = 0.0 if net.log_calibrated is not None else share * g.response
    length = max(0.0, min(1.0, response * mix(x.own, x.shared, batch)))
    log_second = x.log_second + g.log_second + log_of(pairs) + length
    return -math.inf if log_second < LOG_ZERO / 2 else 0.5 * log_second / LN10
