"""From sizes, variances and gains to the network that the recursions of theory run over."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

from layerscope.engine.layers import ACTIVATIONS, chosen_norm
from layerscope.engine.layers.normalization import Normalization
from layerscope.engine.theory.moments import moment_table
from layerscope.engine.theory.state import MeanFieldNetwork, log_of, log_of_square

__all__ = ["check_scale", "network"]

FEWEST_UNITS = 8  # a norm over fewer units makes them too far from Gaussian
FEWEST_SAMPLES = 16  # a norm over fewer samples likewise


def network(
    activation: str, *, depth: int, width: int, inputs: int, outputs: int, batch: int,
    variance: Callable[[int, int], float | None], init_scale: float = 1.0,
    output_scale: float = 1.0, weight_gains: Sequence[float] | None = None,
    biases: Callable[[int], float] = lambda n_in: 0.0, norm: str = "none",
    norm_gain: float = 1.0, residual: bool = False, orthogonal: bool = False,
    calibrated: float | None = None,
) -> MeanFieldNetwork | str:  # fmt: skip
    """The network, fed with independent samples of unit mean square; or why there is no theory.

    Arguments as of `predict`; ``biases``: the variance of a layer's biases by n_in.

    Errors: as `predict`.
    """
    _check(locals(), ("depth", "width", "inputs", "outputs", "batch"))
    scales = {"init_scale": init_scale, "output_scale": output_scale, "norm_gain": norm_gain}
    for name, value in scales.items():
        check_scale(name, value)
    gains = [1.0] * (depth + 1) if weight_gains is None else list(weight_gains)
    if len(gains) != depth + 1 or not all(math.isfinite(g) and g >= 0 for g in gains):
        raise ValueError(f"expected {depth + 1} finite gains ≥ 0, got {gains!r}")
    phi, normalization = ACTIVATIONS[activation], chosen_norm(norm)
    fans = [(inputs, width), *[(width, width)] * (depth - 1), (width, outputs)]
    drawn = {fan: variance(*fan) for fan in set(fans)}
    reason = _refusal(drawn, normalization, width, batch)
    if reason is not None:
        return reason
    log_w = {f: log_of(f[0] * cast(float, v)) + log_of_square(init_scale) for f, v in drawn.items()}
    others = [0.0] * depth + [log_of_square(output_scale)]
    factors = [log_of_square(gain) + last for gain, last in zip(gains, others, strict=True)]
    return MeanFieldNetwork(
        table=moment_table(activation),
        fans=fans,
        log_sigma_w2=[log_w[fan] + factor for fan, factor in zip(fans, factors, strict=True)],
        log_sigma_b2=[log_of(biases(n_in)) for n_in, _ in fans],
        batch=batch,
        norm=None if normalization is None else normalization.theory,
        residual=residual,
        activated=phi.adds_layer,
        orthogonal=orthogonal,
        log_input=0.0,
        input_norm_variance=2 / inputs,
        input_correlation=0.0,
        input_wobble=1 / inputs,
        input_lean=0.0,
        input_centred=None,
        log_gain=0.0,
        log_norm_gain=log_of_square(norm_gain),
        settled=_settled(gains[:-1]),
        log_calibrated=None
        if calibrated is None
        else [log_of_square(calibrated * init_scale) + factor for factor in factors],
    )


def check_scale(name: str, value: float) -> None:
    """Errors: ``ValueError`` naming a factor that is negative or not finite."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be finite and ≥ 0, got {value!r}")


def _settled(gains: Sequence[float]) -> int:
    """From which of the hidden layers on their gains are the same; 0 where all are."""
    return max((i + 1 for i, gain in enumerate(gains) if gain != gains[-1]), default=0)


def _check(given: dict[str, object], sizes: tuple[str, ...]) -> None:
    for name in sizes:
        value = given[name]
        if not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{name} must be a whole number ≥ 1, got {value!r}")


def _refusal(
    drawn: dict[tuple[int, int], float | None],
    norm: type[Normalization] | None,
    width: int,
    batch: int,
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
    if norm is None:
        return None
    name = norm.option()
    if norm.theory is None:
        return f"no theory for this setting: the norm {name!r}"
    if norm.theory.over == "features" and width < FEWEST_UNITS:
        return f"no theory for this setting: a {name} norm over fewer than {FEWEST_UNITS} units"
    if norm.theory.over == "batch" and batch < FEWEST_SAMPLES:
        return f"no theory for this setting: {name} norm over fewer than {FEWEST_SAMPLES} samples"
    return None
