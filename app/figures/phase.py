"""A phase diagram as coordinates: coloured cells, contours of depth, the edge, the point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator

from layerscope.app.figures.axes import Axis, Frame, path, round_ticks
from layerscope.app.figures.strip import step
from layerscope.engine.analyses.phase_diagram import PhasePosition, trainable_depth
from layerscope.engine.theory import FixedPoint, PhaseRow

__all__ = ["CONTOURS", "Colour", "Contour", "PhasePicture", "phase_picture"]

WIDTH, HEIGHT = 720.0, 470.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 12.0, 34.0
FINER = 3  # cells between two points of the grid, each way
CONTOURS = (10, 20, 50, 100, 300)
"""Trainable depths at which a line is drawn."""


@dataclass(frozen=True, slots=True)
class Colour:
    """All cells of one colour: its class, and a path of rectangles."""

    css: str
    path: str


@dataclass(frozen=True, slots=True)
class Contour:
    """Lines of one trainable depth, on both sides of the edge; where a label fits, if anywhere."""

    depth: int
    path: str
    label: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class PhasePicture(Frame):
    """Everything of the drawing."""

    colours: tuple[Colour, ...]
    contours: tuple[Contour, ...]
    edge: str
    passed: str
    """The part of the edge whose length is unstable: a signal passes it and does not settle."""
    corner: tuple[float, float] | None
    """The edge, where it is a single point."""
    point: tuple[float, float] | None
    far: tuple[float, float]
    """The largest σw and σb of the axes."""
    names: tuple[tuple[str, float, float], ...]
    """Where the phases' names stand."""


def phase_picture(found: PhasePosition) -> PhasePicture:
    """A phase diagram's. Colour: the gradient's rms after as many layers as the experiment has, √χ1
    for each, on the scale of the Lab's strip."""
    d = found.diagram
    far_w, far_b = d.sigma_w[-1], d.rows[-1].sigma_b
    x = Axis(0.0, far_w, LEFT, WIDTH - RIGHT)
    y = Axis(0.0, far_b, HEIGHT - BOTTOM, TOP)
    edge = [(math.sqrt(p.sigma_w2), math.sqrt(p.sigma_b2), p.stable) for p in d.critical]
    corner = (x.place(edge[0][0]), y.place(edge[0][1])) if len(edge) == 1 else None
    return PhasePicture(
        width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT, top=TOP,
        bottom=HEIGHT - BOTTOM, x_ticks=round_ticks(x, 7), y_ticks=round_ticks(y, 6),
        colours=tuple(_colours(d.rows, x, y, found.experiment.depth)),
        contours=tuple(_contours(d.rows, d.sigma_w, x, y)),
        edge=path(x, y, [(w, b if stable else None) for w, b, stable in edge]),
        passed=path(x, y, [(w, None if stable else b) for w, b, stable in edge]), corner=corner,
        point=None if found.sigma_w is None else (x.place(found.sigma_w), y.place(found.sigma_b)),
        far=(far_w, far_b), names=tuple(_names(d.rows, d.sigma_w, x, y)),
    )  # fmt: skip


def _exponent(point: FixedPoint, depth: int) -> float:
    """log10 of χ1^(depth/2), as far as the scale and a little more goes."""
    if point.chi1 is None:
        return 50.0
    return max(-50.0, min(50.0, 0.5 * depth * math.log10(max(point.chi1, 1e-300))))


def _colours(rows: Sequence[PhaseRow], x: Axis, y: Axis, depth: int) -> list[Colour]:
    """Cells between the grid's points, bilinear; neighbours of one colour are one rectangle."""
    field = np.array([[_exponent(p, depth) for p in row.points] for row in rows])
    down, across = (FINER * (n - 1) for n in field.shape)
    at_b = (np.arange(down) + 0.5) / FINER
    at_w = (np.arange(across) + 0.5) / FINER
    j, i = at_b.astype(int), at_w.astype(int)
    t, u = (at_b - j)[:, None], at_w - i
    lower = field[j][:, i] * (1 - u) + field[j][:, i + 1] * u
    upper = field[j + 1][:, i] * (1 - u) + field[j + 1][:, i + 1] * u
    fine = lower * (1 - t) + upper * t
    height, width = y.high / down, x.high / across
    found: dict[int, list[str]] = {}
    for row in range(down):
        colours = [step(10.0**v) for v in fine[row].tolist()]
        top, bottom = y.place((row + 1) * height), y.place(row * height)
        start = 0
        for end in range(1, across + 1):
            if end < across and colours[end] == colours[start]:
                continue
            left, right = x.place(start * width), x.place(end * width)
            across_it, down_it = round(right - left, 2), round(bottom - top, 2)
            found.setdefault(colours[start], []).append(
                f"M{left} {top}h{across_it}v{down_it}h{-across_it}z"
            )
            start = end
    return [Colour(f"q{colour}", "".join(parts)) for colour, parts in sorted(found.items())]


def _inverse(point: FixedPoint) -> float:
    """1/depth, negative in order and positive in chaos: it passes the edge in a straight line."""
    depth = trainable_depth(point)
    inverse = 0.0 if depth is None else min(10.0, 1 / depth) if depth > 0 else 10.0
    return -inverse if point.phase == "ordered" else inverse


def _contours(
    rows: Sequence[PhaseRow], sigma_w: Sequence[float], x: Axis, y: Axis
) -> Iterator[Contour]:
    lines_at = contour_generator(
        x=[x.place(w) for w in sigma_w],
        y=[y.place(row.sigma_b) for row in rows],
        z=np.array([[_inverse(p) for p in row.points] for row in rows]),
    ).lines
    for row, level in enumerate(CONTOURS):
        lines = [line.tolist() for line in (*lines_at(-1 / level), *lines_at(1 / level))]
        drawn = "".join("M" + "L".join(f"{w:g} {b:g}" for w, b in line) for line in lines)
        yield Contour(level, drawn, _spot([(w, b) for line in lines for w, b in line], row))


def _spot(spots: Sequence[tuple[float, float]], row: int) -> tuple[float, float] | None:
    """On the ordered side, each line's label lower than the last one's: lines lie close."""
    if not spots:
        return None
    wanted = TOP + (0.46 + 0.09 * row) * (HEIGHT - TOP - BOTTOM)
    near = min(spots, key=lambda s: (abs(s[1] - wanted) > 8, s[0]))
    return near if near[0] < WIDTH - RIGHT - 30 else None


def _names(
    rows: Sequence[PhaseRow], sigma_w: Sequence[float], x: Axis, y: Axis
) -> list[tuple[str, float, float]]:
    """The middle of the longest stretch of each phase, in the row at two thirds of the height."""
    row = rows[2 * len(rows) // 3]
    found = []
    for name in ("ordered", "chaotic"):
        at = [w for w, p in zip(sigma_w, row.points, strict=True) if p.phase == name]
        if len(at) > 3:
            found.append((name, x.place((at[0] + at[-1]) / 2), y.place(row.sigma_b)))
    return found
