"""The phase diagram: the plane of σw and σb, its edge, and the experiment as a point to drag."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from layerscope.app.figures.phase import PhasePicture, phase_picture
from layerscope.app.figures.text import number
from layerscope.app.pages.why.frame import View
from layerscope.engine.analyses.phase_diagram import PhasePosition, trainable_depth

__all__ = ["VIEW", "PhaseView"]

SIDES = {
    "critical": "On the edge: signal and gradient pass any number of layers.",
    "ordered": "Ordered: every two inputs end up alike, gradients vanish.",
    "chaotic": "Chaotic: gradients explode, and near inputs are torn apart or lengths run away.",
}
"""What is said of a phase."""


@dataclass(frozen=True, slots=True)
class PhaseView:
    """What the template draws."""

    picture: PhasePicture
    facts: tuple[tuple[str, str, str], ...]
    """Name, formula and value of each number at the point."""
    verdict: str
    data: dict[str, Any]
    """For the script: the experiment's own point, and the grid, off which others are read and
    judged while the point is dragged."""


def _view(found: PhasePosition) -> PhaseView:
    picture = phase_picture(found)
    return PhaseView(picture, _facts(found), _verdict(found), _data(found, picture))


def _facts(found: PhasePosition) -> tuple[tuple[str, str, str], ...]:
    p = found.point
    if p is None:
        return ()
    q_star = {"infinite": "∞, lengths grow without limit", "any": "any, every length is kept"}
    depth = trainable_depth(p)
    return (
        ("σw", "√n · std of a weight", number(found.sigma_w)),
        ("σb", "std of a bias", number(found.sigma_b)),
        ("q*", "length where layers settle", q_star.get(p.kind, number(p.q_star))),
        ("χ₁", "σw² E[φ′²]", "∞" if p.chi1 is None else number(p.chi1)),
        ("c*", "correlation of any two inputs", number(p.c_star)),
        ("ξc", "−1/ln χ, in layers", "∞" if p.xi_c is None else number(p.xi_c)),
        ("trainable to", "6 ξc", "any depth" if depth is None else f"{number(depth)} layers"),
    )


def _verdict(found: PhasePosition) -> str:
    p = found.point
    if p is None:
        return f"No place in this plane: the weights of {found.experiment.init} have no variance."
    depth, layers = trainable_depth(p), found.experiment.depth
    if depth is None:
        return SIDES[p.phase]
    reaches = "enough for" if depth >= layers else "less than"
    return f"{SIDES[p.phase]} Trainable to about {number(depth)} layers, {reaches} these {layers}."


def _data(found: PhasePosition, picture: PhasePicture) -> dict[str, Any]:
    return {
        "own": [found.sigma_w, found.sigma_b],
        "layers": found.experiment.depth,
        "sides": SIDES,
        "far": picture.far,
        "box": [picture.left, picture.top, picture.right, picture.bottom],
        "chi1": [[p.chi1 for p in row.points] for row in found.diagram.rows],
        "depth": [[trainable_depth(p) for p in row.points] for row in found.diagram.rows],
        "phase": [[p.phase for p in row.points] for row in found.diagram.rows],
    }


def _told(found: PhasePosition) -> PhasePosition:
    """Without the thousand points of the grid, which the picture has as lines and colours."""
    return replace(found, diagram=replace(found.diagram, rows=()))


VIEW = View(
    "phase",
    "Phase diagram",
    "Ordered, chaotic, and the edge between them, for weights of std σw/√n and biases of std σb. "
    "Drag the point; letting go runs it in the Lab.",
    ("activation", "init", "init_scale", "bias_std", "depth", "width"),
    _view,
    ("Why?", "The phase diagram: where this setting lies, where the signal holds"),
    _told,
    onward=("Spectrum", "why_spectrum"),
)
