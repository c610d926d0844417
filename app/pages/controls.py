"""The form of an experiment, with the weights' formula as its values make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from layerscope.app.forms import Control, controls
from layerscope.engine.experiment import Experiment

__all__ = ["experiment_controls"]


def experiment_controls(typed: Mapping[str, str], errors: Mapping[str, str]) -> dict[str, Control]:
    """The controls of an experiment by name, in the order in which one plays with them."""
    found = controls(Experiment, typed, errors)
    found["init_scale"] = replace(found["init_scale"], formula=_weight(found))
    return found


def _weight(found: Mapping[str, Control]) -> str:
    """How the weights of a hidden layer are drawn: ``w = 1 · √(2/100) · randn(100, 100)``.

    Of the only one where there is one, which takes what the data has; else of any behind it.
    """
    width = found["width"].value
    n_in = _features(found) or width if found["depth"].value == "1" else width
    formula = found["init"].chosen.formula or found["init"].value
    if found["fan"].value == "fan_out":  # drawn from the outputs to the inputs, and turned over
        formula = formula.replace("n_in", width).replace("n_out", n_in)
        return f"w = {found['init_scale'].value} · ({formula})ᵀ"
    formula = formula.replace("n_in", n_in).replace("n_out", width)
    return f"w = {found['init_scale'].value} · {formula}"


def _features(found: Mapping[str, Control]) -> str:
    """How many input features were asked for or the data has; empty where as many as units."""
    return found["inputs"].value or found["data"].chosen.features
