"""What a hidden layer, repeated for ever, would do: fixed points, scales and phase."""

from __future__ import annotations

import math

from layerscope.engine.theory.kernel import fixed_correlation
from layerscope.engine.theory.meanfield import TRAINABLE, depth_scale, fixed_point, phase_of
from layerscope.engine.theory.state import MeanFieldNetwork, Trace

__all__ = ["asymptotics"]


BATCH_NORM_CHI = "E[φ′²]/Var φ under batch norm, π/(π − 1) for ReLU"
SCALED_BATCH_NORM_CHI = "γ²σw²E[φ′²] over the variance that batch norm divides by"


def asymptotics(activation: str, net: MeanFieldNetwork, traces: list[Trace]) -> dict[str, object]:
    """Fields of a `Prediction` by name; what does not apply to the setting is left out."""
    index = len(traces) - 2
    last = traces[-2]
    log_w = last.weighed.log_w
    sigma_w2 = math.exp(log_w) if log_w < 690 else None
    out: dict[str, object] = {"sigma_w2": sigma_w2}
    step = log_w + last.moments.log_slope2 - last.log_scale  # of the branch alone
    q_star = math.exp(min(690.0, net.log_norm_gain))  # behind a norm
    if net.norm is not None and net.norm.over == "batch":
        fixed = {"q_star": q_star, "q_kind": "finite"}
        if net.residual or not net.norm.centred:
            return out | fixed
        if net.log_norm_gain:  # small γ lets the norm's ε count, which the ratio below leaves out
            chi1 = math.exp(min(690.0, step))
            return out | fixed | {"chi1": chi1, "chi1_is": SCALED_BATCH_NORM_CHI}
        # What all samples share is taken off, what varies is stretched to 1 again: for ReLU
        # π/(π − 1) (Yang et al. 2019, A mean field theory of batch normalization).
        chi1 = math.exp(min(690.0, last.moments.log_slope2 - last.moments.log_variance))
        return out | fixed | {"chi1": chi1, "chi1_is": BATCH_NORM_CHI}
    if net.residual:
        return out | {"chi1": 1 + math.exp(min(690.0, step))}
    if net.norm is not None or net.log_calibrated is not None:
        if net.norm is None:
            q_star = math.exp(max(-690.0, min(690.0, last.pre.log_second)))
        chi1 = math.exp(min(690.0, step))
        c_star, chi_c = fixed_correlation(last.kernel, last.weighed.share)
        xi_c = depth_scale(chi_c)
        return out | {
            "chi1": chi1, "q_star": q_star, "q_kind": "finite", "c_star": c_star, "xi_c": xi_c,
            "xi_q": 0.0, "trainable_depth": None if xi_c is None else TRAINABLE * xi_c,
            "phase": phase_of(chi1),
        }  # fmt: skip
    if sigma_w2 is None:
        return out
    start = math.exp(max(-690.0, min(690.0, traces[net.settled].pre.log_second)))
    point = fixed_point(activation, sigma_w2, math.exp(net.log_sigma_b2[index]), start=start)
    names = ("chi1", "q_star", "c_star", "xi_q", "xi_c", "trainable_depth", "phase")
    return out | {n: getattr(point, n) for n in names} | {"q_kind": point.kind}
