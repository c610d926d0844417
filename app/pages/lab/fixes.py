"""Fixes that were tried, as links: what to change, and both curves before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from layerscope.app.figures.sketch import Sketch, line
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Curves", "FixLink", "fix_link", "words"]


@dataclass(frozen=True, slots=True)
class Curves:
    """The rms by layer of activations and gradients, as small pictures."""

    forward: Sketch
    backward: Sketch

    @property
    def fault(self) -> float | None:
        """Where nothing is finite any more, going forward or else going back."""
        return self.backward.fault if self.forward.fault is None else self.forward.fault


@dataclass(frozen=True, slots=True)
class FixLink:
    """A change of specification that was run and helped, as a link to it; where scripts run, the
    experiment that it came from is drawn behind the changed one."""

    label: str
    title: str
    href: str
    before: Curves
    after: Curves


def fix_link(experiment: Experiment, fix: Mapping[str, Any], lab: str) -> FixLink:
    """The link of a ``fix`` event, to the address of the ``lab``; ✓ only where it says that the
    change of ``experiment`` was run and helped."""
    changed = Experiment.from_json({**experiment.to_dict(), **fix["fix"]})
    failed = fix["tried"] - 1
    tried = f", after {failed} other{'s' * (failed > 1)} that did not help" if failed else ""
    pin = quote(urlencode(experiment.to_query()), safe="")
    return FixLink(
        label=f"Try {words(fix['fix'])}{' ✓' if fix['fix_verified'] else ''}",
        title=f"Run with the same seed and data: the fault is gone{tried}. "
        "rms of activations and gradients by layer, before and after.",
        href=f"{lab}?{urlencode(changed.to_query())}#pin={pin}",
        before=_curves(fix["before"]),
        after=_curves(fix["after"]),
    )


def words(change: Mapping[str, Any]) -> str:
    """A change of specification in words.

    >>> words({"init": "lsuv", "init_scale": 1.0, "residual": True})
    'init scheme lsuv, init scale 1, residual on'
    >>> words({"layer_gains": ""})
    'no gain by layer'
    """
    return ", ".join(
        _set((Experiment.model_fields[name].title or name).lower(), value)
        for name, value in change.items()
    )


def _set(parameter: str, value: object) -> str:
    if value is None or value == "":
        return f"no {parameter}"
    if isinstance(value, bool):
        return f"{parameter} {'on' if value else 'off'}"
    return f"{parameter} {value:g}" if isinstance(value, float) else f"{parameter} {value}"


def _curves(curves: Mapping[str, Sequence[float | None]]) -> Curves:
    return Curves(line(curves["activation_rms"]), line(curves["gradient_rms"]))
