"""What theory predicts for an experiment: its parameters handed to ``layerscope.engine.theory``."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import chosen_norm
from layerscope.engine.layers.initialization import INITS, FixedWeight
from layerscope.engine.layers.losses import LOSSES
from layerscope.engine.theory import Prediction, predict
from layerscope.engine.theory.network import network
from layerscope.engine.theory.orbit import FixedNetwork
from layerscope.engine.theory.population import Population
from layerscope.engine.theory.state import MeanFieldNetwork, log_of
from layerscope.engine.theory.unmixed import predict_fixed

__all__ = ["network_of", "predict_experiment"]


def _variance(e: Experiment, n_in: int, n_out: int) -> float | None:
    """Of an entry, where theory speaks of the scheme; of weights that are 0 it always does."""
    found, scheme = e.weight_variance(n_in, n_out), INITS[e.init]
    if scheme.calibrated_std is not None and scheme.orthogonal:
        return 1 / max(n_in, n_out)
    return found if scheme.mean_field or found == 0 else None


def _fixed(e: Experiment, weight: FixedWeight) -> Prediction:
    """Of weights that no seed changes."""
    norm = chosen_norm(e.norm)
    tied = norm is not None and norm.couples_samples
    apart = "a norm ties together the units that such weights keep apart"
    copies = "what a norm makes of units that are copies is not derived"
    for value, why in (
        (
            tied,
            "batch norm ties samples together, and what it makes of such weights is not derived",
        ),
        (norm is not None, apart if weight.diagonal else copies),
        (e.bias_variance(e.width) > 0, "drawn biases give each unit a number of its own"),
    ):
        if value:
            return Prediction(available=False, reason=f"no theory for this setting: {why}")
    data, loss = DATASETS[e.data], LOSSES[e.loss]
    fans = [(e.n_inputs, e.width), *[(e.width, e.width)] * (e.depth - 1), (e.width, e.n_outputs)]
    scales = [e.init_scale] * e.depth + [e.init_scale * e.output_scale]
    drawn = [weight.value(*(fan if e.fan == "fan_in" else fan[::-1])) for fan in fans]
    values = [math.prod(each) for each in zip(drawn, scales, e.weight_gains, strict=True)]
    population = None
    if not data.normal:
        sample = data.population(e.n_inputs)
        label = sample.label if loss.classifies else None
        target = sample.number.double() if label is None else label
        x = sample.x.double() * e.input_scale + e.input_mean
        whole = data.everything is not None
        population = Population(x.numpy(), target.numpy(), whole)
    terms = loss.terms(e.batch, e.n_outputs) if e.reduction == "sum" else 1
    return predict_fixed(
        FixedNetwork(
            e.phi, fans, values, weight.diagonal, e.batch, e.residual,
            (e.input_mean, e.input_scale) if data.normal else None, population, e.loss,
            math.log(terms * e.backward_scale), e.dtype,
        )
    )  # fmt: skip


@lru_cache(maxsize=256)
def predict_experiment(experiment: Experiment) -> Prediction:
    """The prediction for ``experiment``, or why there is none; the same every time.

    >>> predict_experiment(Experiment()).phase
    'critical'
    """
    e = experiment
    scheme = INITS[e.init]
    if e.beyond_theory is not None:
        return Prediction(
            available=False, reason=f"no theory for this setting: {e.beyond_theory}"
        )  # fmt: skip
    if scheme.fixed is not None:
        return _fixed(e, scheme.fixed)
    moments = e.input_moments
    return predict(
        e.phi,
        **_of_network(e),
        bias_std=e.bias_std,
        bias_variance=e.bias_variance,
        input_second_moment=moments.mean_square,
        input_norm_variance=moments.length_variance,
        input_correlation=moments.correlation,
        input_wobble=moments.wobble,
        input_centred=moments.centred,
        input_lean=moments.lean,
        dtype=e.dtype,
        loss=e.loss,
        reduction=e.reduction,
        backward_scale=e.backward_scale,
        target_second_moment=moments.target_mean_square,
        target_mean=moments.target_mean,
        target_correlation=moments.target_correlation,
        target_atoms=moments.target_atoms,
        gaussian_weights=scheme.gaussian,
    )


def _of_network(e: Experiment) -> dict[str, Any]:
    """What `predict` and `network` both take."""
    scheme = INITS[e.init]
    return {
        "depth": e.depth, "width": e.width, "inputs": e.n_inputs, "outputs": e.n_outputs,
        "batch": e.batch, "variance": partial(_variance, e), "init_scale": e.init_scale,
        "output_scale": e.output_scale, "weight_gains": e.weight_gains, "norm": e.norm,
        "norm_gain": e.norm_gain, "residual": e.residual, "orthogonal": scheme.orthogonal,
        "calibrated": scheme.calibrated_std,
    }  # fmt: skip


def network_of(e: Experiment, second_moment: float) -> MeanFieldNetwork | str:
    """The network of an experiment, fed with inputs of this mean square; or why there is no theory.

    >>> network_of(Experiment(init="identity"), 1.0)
    'no theory for this setting: weights of identity are not drawn'
    """
    if e.beyond_theory is not None:
        return f"no theory for this setting: {e.beyond_theory}"
    if INITS[e.init].fixed is not None:
        return f"no theory for this setting: weights of {e.init} are not drawn"
    net = network(e.phi, **_of_network(e), biases=e.bias_variance)
    return net if isinstance(net, str) else net._replace(log_input=log_of(second_moment))
