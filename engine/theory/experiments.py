"""What theory predicts for an experiment: its parameters handed to ``layerscope.engine.theory``."""

from __future__ import annotations

from functools import lru_cache, partial

from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.theory import Prediction, predict

__all__ = ["predict_experiment"]


def _variance(e: Experiment, n_in: int, n_out: int) -> float | None:
    """Of an entry, where theory speaks of the scheme; of weights that are 0 it always does."""
    found = e.weight_variance(n_in, n_out)
    return found if INITS[e.init].mean_field or found == 0 else None


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
    moments = e.input_moments
    return predict(
        e.phi,
        depth=e.depth,
        width=e.width,
        inputs=e.n_inputs,
        outputs=e.n_outputs,
        batch=e.batch,
        variance=partial(_variance, e),
        init_scale=e.init_scale,
        output_scale=e.output_scale,
        weight_gains=e.weight_gains,
        bias_std=e.bias_std,
        bias_variance=e.bias_variance,
        norm=e.norm,
        norm_gain=e.norm_gain,
        residual=e.residual,
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
        orthogonal=scheme.orthogonal,
    )
